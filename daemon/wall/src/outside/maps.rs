//! Which file an address of a worker lies in.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};

/// Longest map that is read, in bytes: a worker can make it as long as it likes.
const MAX_MAP: u64 = 4 << 20;

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
        if link.as_os_str() != format!("/proc/{pid}/maps").as_str() {
            let what = format!("it is no map of process {pid} but {}", link.display());
            return Err(io::Error::other(what));
        }
        Ok(Maps(fd.into()))
    }

    /// `address` as its file's name and the distance from where that file begins in memory, which
    /// is what its author's tools resolve: `libc.so.6+0x10fe32`. Read now, so the worker should be
    /// held: a call that waits for an answer does that.
    pub fn locate(&mut self, address: u64) -> String {
        let mut text = Vec::new();
        let read = self
            .0
            .rewind()
            .and_then(|()| (&mut self.0).take(MAX_MAP).read_to_end(&mut text));
        match read {
            Ok(_) => locate(&String::from_utf8_lossy(&text), address),
            Err(_) => format!("{address:#x}"),
        }
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

fn locate(map: &str, address: u64) -> String {
    let mappings = || map.lines().filter_map(mapping);
    let Some(found) = mappings().find(|m| (m.start..m.end).contains(&address)) else {
        return format!("{address:#x}, where nothing is mapped");
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

    const MAP: &str = "\
7f0000000000-7f0000001000 r--p 00000000 00:23 11                         /m/module.so
7f0000001000-7f0000003000 r-xp 00001000 00:23 11                         /m/module.so
7f0000010000-7f0000020000 r-xp 00002000 fe:00 12                         /usr/lib/x86_64-linux-gnu/libc.so.6
7f0000030000-7f0000031000 rw-p 00000000 00:00 0 
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn an_address_is_told_relative_to_the_file_it_lies_in() {
        assert_eq!(locate(MAP, 0x7f00_0000_1a2b), "module.so+0x1a2b");
        assert_eq!(locate(MAP, 0x7f00_0001_0010), "libc.so.6+0x10");
        assert_eq!(locate(MAP, 0x7f00_0003_0004), "anonymous memory+0x4");
        assert_eq!(locate(MAP, 0x7ffd_0000_0001), "[stack]+0x1");
    }

    #[test]
    fn an_address_of_nothing_is_told_as_it_is() {
        assert!(locate(MAP, 0x1000).starts_with("0x1000"));
        assert!(locate("no map at all\n\0-\n-", 0x1000).starts_with("0x1000"));
    }

    #[test]
    fn a_module_in_memory_has_the_modules_name() {
        let map = "10000-20000 r-xp 00000000 00:01 7   /memfd:coldshoe-module (deleted)\n";
        assert_eq!(locate(map, 0x1_0001), "module.so+0x1");
    }

    #[test]
    fn another_file_is_no_map() {
        let null = File::open("/dev/null").unwrap();
        assert!(Maps::new(null.into(), 1).is_err());
        let own = File::open("/proc/self/maps").unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut maps = Maps::new(own.into(), pid).unwrap();
        let here = locate as *const () as u64;
        assert!(maps.locate(here).contains("+0x"));
    }
}
