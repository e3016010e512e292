//! A first look at a module's bytes, so that what cannot load in the jail is refused by its reason
//! instead of by the violation that it would end in.
//!
//! Only the headers are read, and each table is bounded before it is: the bytes are anybody's.

use std::io::{self, Read, Seek};

use object::elf::{
    DF_1_PIE, DF_TEXTREL, DT_FLAGS, DT_FLAGS_1, DT_NEEDED, DT_STRTAB, DT_TEXTREL, EM_AARCH64,
    EM_RISCV, EM_X86_64, ET_DYN, FileHeader64, Machine, PF_W, PF_X, PT_DYNAMIC, PT_GNU_STACK,
    PT_INTERP, PT_LOAD, ProgramHeader64,
};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};
use object::{LittleEndian, ReadCache, ReadRef};

type Header = FileHeader64<LittleEndian>;
const E: LittleEndian = LittleEndian;

/// Most program headers; a module of today has ten.
const MAX_SEGMENTS: u16 = 64;
/// Largest dynamic section, in bytes; a module of today has one of 500.
const MAX_DYNAMIC: u64 = 64 << 10;

/// Longest path of a dynamic loader, in bytes.
const MAX_INTERPRETER: u64 = 255;
/// The same with that of a library, and its end.
const MAX_NAME: u64 = 256;

const ASKED: &str = "asks for an executable stack";
const UNSAID: &str = "does not say what stack it needs, so that the loader makes it executable";

/// The machines that coldshoe knows.
const MACHINES: [(Machine, &str); 3] = [
    (EM_X86_64, "x86_64"),
    (EM_AARCH64, "aarch64"),
    (EM_RISCV, "riscv64"),
];

/// Why a file is no module for this machine and its jail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// The bytes cannot be read.
    #[error("its copy cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Something else altogether.
    #[error("it is not an ELF file")]
    NotElf,
    /// 32 bits, or big-endian.
    #[error("it is not built for a 64-bit little-endian machine")]
    Class,
    /// For another machine.
    #[error("it is built for {0}, this machine is {here}", here = std::env::consts::ARCH)]
    Machine(String),
    /// A program or an object file.
    #[error("it is {0}, not a shared object")]
    NotShared(&'static str),
    /// Its tables contradict each other or the file's size.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// A segment that may be written and executed.
    #[error("it has a segment that is writable and executable at once, which the jail forbids")]
    WritableCode,
    /// The stack would have to be executable.
    #[error("it {0}, which the jail forbids")]
    Stack(&'static str),
    /// Code that the loader would have to write to.
    #[error("it has text relocations: the loader would have to write to its code")]
    TextRelocations,
}

impl Unfit {
    /// What to do about it, on one line.
    pub fn remedy(&self) -> String {
        match self {
            Self::WritableCode => "link the module without -N and without writable code".into(),
            Self::Stack(_) => {
                "link the module with -z noexecstack; assembler files need .note.GNU-stack".into()
            }
            Self::TextRelocations => "compile all of the module with -fPIC".into(),
            Self::Damaged(_) => "copy or install the module again".into(),
            _ => format!(
                "install a build of the module for {}",
                std::env::consts::ARCH
            ),
        }
    }
}

/// Whether these bytes can be a module for this machine, by a look at their headers: the one that the
/// daemon has before it starts a worker. Leaves the position at the beginning.
///
/// # Errors
/// The first reason why not.
pub fn check<R: Read + Seek>(mut content: R) -> Result<(), Unfit> {
    let size = content.seek(io::SeekFrom::End(0))?;
    let result = look(&ReadCache::new(&mut content), size);
    content.rewind()?;
    result
}

/// The dynamic loader that a program for this machine names, by a look at its headers. Leaves the
/// position at the beginning.
///
/// # Errors
/// Why it is no such program.
pub(crate) fn interpreter<R: Read + Seek>(mut content: R) -> Result<String, Unfit> {
    let result = named_interpreter(&ReadCache::new(&mut content));
    content.rewind()?;
    result
}

fn named_interpreter<'a>(data: impl ReadRef<'a>) -> Result<String, Unfit> {
    let segments = segments(header(data)?, data)?;
    let damaged = |why: &str| Unfit::Damaged(why.to_owned());
    let named = segments
        .iter()
        .find(|segment| segment.p_type(E) == PT_INTERP);
    let named = named.ok_or_else(|| damaged("it names no dynamic loader"))?;
    if named.p_filesz(E) > MAX_INTERPRETER {
        return Err(damaged("the name of its dynamic loader is too long"));
    }
    let bytes = named.data(E, data).unwrap_or_default();
    let text = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    match std::str::from_utf8(text) {
        Ok(path) if path.starts_with('/') && !path.contains(char::is_control) => {
            Ok(path.to_owned())
        }
        _ => Err(damaged("the name of its dynamic loader is no path")),
    }
}

/// The libraries that a program for this machine needs, by name. Leaves the position at the beginning.
///
/// # Errors
/// Why it is no such program.
pub(crate) fn needed<R: Read + Seek>(mut content: R) -> Result<Vec<String>, Unfit> {
    let result = named_libraries(&ReadCache::new(&mut content));
    content.rewind()?;
    result
}

fn named_libraries<'a>(data: impl ReadRef<'a>) -> Result<Vec<String>, Unfit> {
    let segments = segments(header(data)?, data)?;
    let mut of = segments.iter().filter(|s| s.p_type(E) == PT_DYNAMIC);
    let Some(dynamic) = of.next().filter(|s| s.p_filesz(E) <= MAX_DYNAMIC) else {
        return Ok(Vec::new());
    };
    let entries = dynamic
        .dynamic(E, data)
        .map_err(|error| Unfit::Damaged(error.to_string()))?
        .unwrap_or_default();
    let of = |tag| entries.iter().filter(move |entry| entry.tag(E) == tag);
    let Some(strings) = of(DT_STRTAB).next().map(|entry| entry.val(E)) else {
        return Ok(Vec::new());
    };
    let name = |offset: u64| {
        let bytes = loaded(segments, data, strings.checked_add(offset)?)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        String::from_utf8(bytes.get(..end)?.to_vec()).ok()
    };
    let named = of(DT_NEEDED).filter_map(|entry| name(entry.val(E)));
    Ok(named.collect())
}

/// What is loaded to this address, as long as a name can be.
fn loaded<'a>(
    segments: &[ProgramHeader64<LittleEndian>],
    data: impl ReadRef<'a>,
    address: u64,
) -> Option<&'a [u8]> {
    let mut loads = segments.iter().filter(|s| s.p_type(E) == PT_LOAD);
    loads.find_map(|segment| {
        let within = address.checked_sub(segment.p_vaddr(E))?;
        let left = segment.p_filesz(E).checked_sub(within)?.min(MAX_NAME);
        let offset = segment.p_offset(E).checked_add(within)?;
        data.read_bytes_at(offset, left).ok()
    })
}

fn look<'a>(data: impl ReadRef<'a>, size: u64) -> Result<(), Unfit> {
    let header = header(data)?;
    let segments = segments(header, data)?;
    let damaged = |why: &str| Err(Unfit::Damaged(why.to_owned()));
    let of = |kind| segments.iter().filter(move |s| s.p_type(E) == kind);
    if of(PT_LOAD).next().is_none() {
        return damaged("it has nothing to load");
    }
    for segment in of(PT_LOAD) {
        let (offset, length) = segment.file_range(E);
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return damaged("a segment ends beyond the end of the file");
        }
        let both = PF_W | PF_X;
        if segment.p_flags(E) & both == both {
            return Err(Unfit::WritableCode);
        }
    }
    match of(PT_GNU_STACK).next_back() {
        Some(stack) if stack.p_flags(E) & PF_X == PF_X => return Err(Unfit::Stack(ASKED)),
        Some(_) => {}
        None => return Err(Unfit::Stack(UNSAID)),
    }
    let Some(dynamic) = of(PT_DYNAMIC).next() else {
        return damaged("it has no dynamic section");
    };
    if dynamic.p_filesz(E) > MAX_DYNAMIC {
        return damaged("its dynamic section is too large");
    }
    let entries = dynamic
        .dynamic(E, data)
        .map_err(|error| Unfit::Damaged(error.to_string()))?
        .unwrap_or_default();
    judge_dynamic(entries)
}

fn header<'a>(data: impl ReadRef<'a>) -> Result<&'a Header, Unfit> {
    let Ok([0x7f, b'E', b'L', b'F', class, endian]) = data.read_bytes_at(0, 6) else {
        return Err(Unfit::NotElf);
    };
    if (*class, *endian) != (2, 1) {
        return Err(Unfit::Class);
    }
    let header: &Header = data
        .read_at(0)
        .map_err(|()| Unfit::Damaged("it is shorter than an ELF header".into()))?;
    let machine = header.e_machine(E);
    let name = MACHINES.iter().find(|(known, _)| *known == machine);
    match name {
        Some((_, name)) if *name == std::env::consts::ARCH => {}
        Some((_, name)) => return Err(Unfit::Machine((*name).to_owned())),
        None => return Err(Unfit::Machine(format!("ELF machine {}", machine.0))),
    }
    if header.e_type(E) != ET_DYN {
        return Err(Unfit::NotShared("a program or an object file"));
    }
    Ok(header)
}

fn segments<'a>(
    header: &Header,
    data: impl ReadRef<'a>,
) -> Result<&'a [ProgramHeader64<LittleEndian>], Unfit> {
    if header.e_phnum(E) > MAX_SEGMENTS {
        return Err(Unfit::Damaged("it has too many segments".into()));
    }
    header
        .program_headers(E, data)
        .map_err(|error| Unfit::Damaged(error.to_string()))
}

fn judge_dynamic(entries: &[object::elf::Dyn64<LittleEndian>]) -> Result<(), Unfit> {
    for entry in entries.iter().take_while(|entry| entry.tag(E).0 != 0) {
        let value = entry.val(E);
        match entry.tag(E) {
            DT_TEXTREL => return Err(Unfit::TextRelocations),
            DT_FLAGS if value & DF_TEXTREL.0 != 0 => {
                return Err(Unfit::TextRelocations);
            }
            DT_FLAGS_1 if value & DF_1_PIE.0 != 0 => {
                return Err(Unfit::NotShared("a program"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Cursor;
    use std::process::Command;
    use std::sync::OnceLock;

    use proptest::prelude::*;

    use super::*;

    fn judge(bytes: &[u8]) -> Result<(), Unfit> {
        check(Cursor::new(bytes))
    }

    /// A shared object that the C compiler makes of nothing much.
    fn built(source: &str, flags: &[&str]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("m.c"), dir.path().join("m.so"));
        std::fs::write(&input, source).unwrap();
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&output, &input])
            .args(flags)
            .status()
            .unwrap();
        assert!(status.success());
        std::fs::read(output).unwrap()
    }

    fn sound() -> &'static [u8] {
        static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
        BYTES.get_or_init(|| built("int x; int f(void) { return x; }", &[]))
    }

    fn with(patch: impl FnOnce(&mut Vec<u8>)) -> Result<(), Unfit> {
        let mut bytes = sound().to_vec();
        patch(&mut bytes);
        judge(&bytes)
    }

    #[test]
    fn a_shared_object_for_this_machine_passes_and_is_at_its_beginning_again() {
        let mut content = Cursor::new(sound());
        check(&mut content).unwrap();
        assert_eq!(content.position(), 0);
    }

    #[test]
    fn other_machines_are_named() {
        for (machine, name) in [(62_u16, "x86_64"), (183, "aarch64"), (243, "riscv64")] {
            if name == std::env::consts::ARCH {
                continue;
            }
            let unfit = with(|b| b[18..20].copy_from_slice(&machine.to_le_bytes())).unwrap_err();
            assert!(unfit.to_string().contains(name), "{unfit}");
        }
        let unfit = with(|b| b[18..20].copy_from_slice(&4242_u16.to_le_bytes())).unwrap_err();
        assert!(unfit.to_string().contains("ELF machine 4242"), "{unfit}");
        assert!(matches!(with(|b| b[4] = 1), Err(Unfit::Class)));
        assert!(matches!(with(|b| b[5] = 2), Err(Unfit::Class)));
    }

    #[test]
    fn programs_objects_and_other_files_are_refused() {
        assert!(matches!(with(|b| b[16] = 1), Err(Unfit::NotShared(_))));
        let own = File::open(std::env::current_exe().unwrap()).unwrap();
        assert!(matches!(check(own), Err(Unfit::NotShared("a program"))));
        for text in ["", "#!/bin/sh", "\x7fEL", "\x7fELF\x02"] {
            assert!(
                matches!(judge(text.as_bytes()), Err(Unfit::NotElf)),
                "{text}"
            );
        }
        assert!(matches!(judge(&sound()[..63]), Err(Unfit::Damaged(_))));
    }

    #[test]
    fn what_the_jail_would_kill_for_is_refused_with_the_flag_that_mends_it() {
        let plain = "int x; int f(void) { return x; }";
        let stack = judge(&built(plain, &["-z", "execstack"])).unwrap_err();
        assert!(matches!(stack, Unfit::Stack(ASKED)), "{stack}");
        assert!(stack.remedy().contains("noexecstack"));
        let code = judge(&built(plain, &["-Wl,-N", "-nostdlib"])).unwrap_err();
        assert!(matches!(code, Unfit::WritableCode), "{code}");
        let absolute = "__asm__(\".text\\n.globl g\\ng: .quad g\\n\");";
        let text = judge(&built(absolute, &["-Wl,-z,notext", "-nostdlib"])).unwrap_err();
        assert!(matches!(text, Unfit::TextRelocations), "{text}");
    }

    #[test]
    fn a_file_that_was_cut_off_is_damaged() {
        let whole = sound();
        for length in [64, 600, whole.len() / 2] {
            assert!(
                matches!(judge(&whole[..length]), Err(Unfit::Damaged(_))),
                "{length}"
            );
        }
        assert!(matches!(
            with(|b| b[56..58].fill(0xff)),
            Err(Unfit::Damaged(_))
        ));
        assert!(matches!(
            with(|b| b[56..58].fill(0)),
            Err(Unfit::Damaged(_))
        ));
    }

    #[test]
    fn a_library_of_this_machine_passes() {
        let found = Command::new("cc")
            .arg("-print-file-name=libm.so.6")
            .output()
            .unwrap();
        let path = String::from_utf8(found.stdout).unwrap();
        check(File::open(path.trim()).unwrap()).unwrap();
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_read_without_bound(
            patches in prop::collection::vec((0_usize..4096, any::<u8>()), 1..16),
            length in 0_usize..20_000,
        ) {
            let mut bytes = sound().to_vec();
            for (at, value) in patches {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            bytes.truncate(length);
            let _ = judge(&bytes);
        }
    }
}
