//! A first look at a module's file, so that what cannot load is refused by its reason.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

const HEADER: usize = 20;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const SHARED_OBJECT: u16 = 3;

/// The machines that coldshoe knows, as ELF numbers them.
const MACHINES: [(u16, &str); 3] = [(62, "x86_64"), (183, "aarch64"), (243, "riscv64")];

/// Says why the file cannot be a module for this machine.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let mut header = [0; HEADER];
    // Opening a pipe would wait for somebody to write to it.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut file = File::options()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .map_err(|error| format!("it cannot be opened: {error}"))?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err("it is not a regular file".into());
    }
    match file.read_exact(&mut header) {
        Ok(()) => judge(&header),
        Err(_) => Err("it is not an ELF file: it is shorter than an ELF header".into()),
    }
}

fn judge(header: &[u8; HEADER]) -> Result<(), String> {
    let [0x7f, b'E', b'L', b'F', class, data, ..] = *header else {
        return Err("it is not an ELF file".into());
    };
    if class != CLASS_64 || data != LITTLE_ENDIAN {
        return Err("it is not built for a 64-bit little-endian machine".into());
    }
    let kind = u16::from_le_bytes([header[16], header[17]]);
    let machine = u16::from_le_bytes([header[18], header[19]]);
    let name = |number| {
        MACHINES
            .iter()
            .find(|(known, _)| *known == number)
            .map_or_else(
                || format!("ELF machine {number}"),
                |(_, name)| (*name).to_owned(),
            )
    };
    if name(machine) != std::env::consts::ARCH {
        let here = std::env::consts::ARCH;
        return Err(format!(
            "it is built for {}, this machine is {here}",
            name(machine)
        ));
    }
    if kind != SHARED_OBJECT {
        return Err("it is not a shared object".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: u16, machine: u16) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[16..18].copy_from_slice(&kind.to_le_bytes());
        header[18..20].copy_from_slice(&machine.to_le_bytes());
        header
    }

    fn here() -> u16 {
        MACHINES
            .iter()
            .find(|(_, name)| *name == std::env::consts::ARCH)
            .unwrap()
            .0
    }

    #[test]
    fn a_shared_object_for_this_machine_passes() {
        assert_eq!(judge(&header(SHARED_OBJECT, here())), Ok(()));
    }

    #[test]
    fn other_machines_are_named() {
        for (machine, name) in MACHINES
            .iter()
            .filter(|(_, name)| *name != std::env::consts::ARCH)
        {
            assert!(
                judge(&header(SHARED_OBJECT, *machine))
                    .unwrap_err()
                    .contains(name)
            );
        }
        assert!(
            judge(&header(SHARED_OBJECT, 4242))
                .unwrap_err()
                .contains("ELF machine 4242")
        );
    }

    #[test]
    fn programs_objects_and_other_files_are_refused() {
        assert!(judge(&header(1, here())).is_err());
        assert!(judge(&[b'#'; HEADER]).unwrap_err().contains("not an ELF"));
        let mut narrow = header(SHARED_OBJECT, here());
        narrow[4] = 1;
        assert!(judge(&narrow).unwrap_err().contains("64-bit"));
    }
}
