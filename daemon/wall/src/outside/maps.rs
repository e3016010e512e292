//! Which file an address of a worker lies in.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Instant;

/// Longest map that is read, in bytes, some thousand lines: a worker can make it as long as it likes,
/// and the kernel takes its time for each line.
const MAX_MAP: usize = 256 << 10;

/// The memory map of a worker, readable for its life.
#[derive(Debug)]
pub struct Maps(File);

impl Maps {
    /// Takes a descriptor that is said to be `/proc/PID/maps` of the process `pid`.
    ///
    /// # Errors
    /// It is not.
    pub fn new(fd: OwnedFd, pid: i32) -> io::Result<Maps> {
        let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
        // The mount that it was opened through is gone once the worker has a root of its own.
        let names = [format!("/proc/{pid}/maps"), format!("/{pid}/maps")];
        if !names.iter().any(|name| link.as_os_str() == name.as_str()) {
            let what = format!("it is no map of process {pid} but {}", link.display());
            return Err(io::Error::other(what));
        }
        Ok(Maps(fd.into()))
    }

    /// `address` as its file's name and the distance from where that file begins in memory, which
    /// is what its author's tools resolve: `libc.so.6+0x10fe32`. Read now, up to a bound and not
    /// past `deadline`, so the worker should be held: a call that waits for an answer does that.
    pub fn locate(&mut self, address: u64, deadline: Instant) -> String {
        match self.read(deadline) {
            Ok((text, whole)) => locate(&String::from_utf8_lossy(&text), whole, address),
            Err(_) => format!("{address:#x}"),
        }
    }

    /// Its whole lines, and whether these are all.
    fn read(&mut self, deadline: Instant) -> io::Result<(Vec<u8>, bool)> {
        self.0.rewind()?;
        let (mut text, mut length) = (vec![0; MAX_MAP], 0);
        let whole = loop {
            // The kernel gives a few lines at a time.
            match self.0.read(&mut text[length..])? {
                0 => break length < MAX_MAP,
                _ if Instant::now() > deadline => break false,
                size => length += size,
            }
        };
        text.truncate(length);
        if !whole {
            let end = text.iter().rposition(|byte| *byte == b'\n');
            text.truncate(end.map_or(0, |end| end + 1));
        }
        Ok((text, whole))
    }
}

/// One line of the map.
struct Mapping<'a> {
    start: u64,
    end: u64,
    path: &'a str,
}

fn mapping(line: &str) -> Option<Mapping<'_>> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        path: fields.nth(4).unwrap_or_default().trim(),
    })
}

/// `whole`: nothing is missing at the end of `map`.
fn locate(map: &str, whole: bool, address: u64) -> String {
    let mappings = || map.lines().filter_map(mapping);
    let Some(found) = mappings().find(|m| (m.start..m.end).contains(&address)) else {
        return match whole {
            true => format!("{address:#x}, where nothing is mapped"),
            false => format!("{address:#x}, its map is too long"),
        };
    };
    if found.path.is_empty() {
        let within = address - found.start;
        return format!("anonymous memory+{within:#x}");
    }
    let first = mappings().find(|m| m.path == found.path);
    let base = first.map_or(found.start, |first| first.start);
    // A module that is loaded from its memory has a name of the kernel's making.
    let name = match found.path {
        path if path.starts_with("/memfd:") => "module.so",
        path => path.rsplit('/').next().unwrap_or(path),
    };
    format!("{name}+{:#x}", address - base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MAP: &str = "\
7f0000000000-7f0000001000 r--p 00000000 00:23 11                         /m/module.so
7f0000001000-7f0000003000 r-xp 00001000 00:23 11                         /m/module.so
7f0000010000-7f0000020000 r-xp 00002000 fe:00 12                         /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000030000-7f0000031000 rw-p 00000000 00:00 0 
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn an_address_is_told_relative_to_the_file_it_lies_in() {
        assert_eq!(locate(MAP, true, 0x7f00_0000_1a2b), "module.so+0x1a2b");
        assert_eq!(locate(MAP, true, 0x7f00_0001_0010), "libc.so.6+0x10");
        assert_eq!(locate(MAP, true, 0x7f00_0003_0004), "anonymous memory+0x4");
        assert_eq!(locate(MAP, true, 0x7ffd_0000_0001), "[stack]+0x1");
    }

    #[test]
    fn an_address_of_nothing_is_told_as_it_is() {
        assert!(locate(MAP, true, 0x1000).starts_with("0x1000"));
        assert!(locate("no map at all\n\0-\n-", true, 0x1000).starts_with("0x1000"));
    }

    #[test]
    fn a_module_in_memory_has_the_modules_name() {
        let map = "10000-20000 r-xp 00000000 00:01 7   /memfd:coldshoe-module (deleted)\n";
        assert_eq!(locate(map, true, 0x1_0001), "module.so+0x1");
    }

    #[test]
    fn another_file_is_no_map() {
        let null = File::open("/dev/null").unwrap();
        assert!(Maps::new(null.into(), 1).is_err());
        let own = File::open("/proc/self/maps").unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut maps = Maps::new(own.into(), pid).unwrap();
        let here = locate as *const () as u64;
        let later = Instant::now() + Duration::from_secs(60);
        assert!(maps.locate(here, later).contains("+0x"));
    }

    #[test]
    fn a_map_that_is_cut_off_does_not_say_that_nothing_is_there() {
        assert_eq!(locate(MAP, false, 0x7f00_0000_1a2b), "module.so+0x1a2b");
        assert_eq!(
            locate(MAP, false, 0x7ffe_0000_0000),
            "0x7ffe00000000, its map is too long"
        );
    }

    #[test]
    fn reading_ends_at_the_bound_and_at_the_deadline_with_a_whole_line() {
        let mut file = tempfile::tempfile().unwrap();
        let lines = MAP.repeat(MAX_MAP / MAP.len() + 1);
        std::io::Write::write_all(&mut file, lines.as_bytes()).unwrap();
        let mut maps = Maps(file);
        let later = Instant::now() + Duration::from_secs(60);
        let (text, whole) = maps.read(later).unwrap();
        assert!(!whole && text.len() <= MAX_MAP && text.ends_with(b"\n"));
        assert!(text.len() > MAX_MAP - MAP.len());
        let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
        assert_eq!(maps.read(past).unwrap(), (Vec::new(), false));
    }
}
