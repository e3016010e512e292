//! A session in words, for the daemon that comes after this one: a sealed memory file with a protobuf
//! in it, versioned.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use coldshoe_control::client::{Confinement, Controls, ModuleInfo, OpenSession, Sensor};
use memfd::{FileSeal, MemfdOptions};
use prost::Message;

const VERSION: u32 = 1;
/// Most bytes: two states, a report, names.
const MOST: u64 = 1 << 20;

/// A session.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Kept {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) request: Option<OpenSession>,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) token: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    pub(crate) sensor: Option<Sensor>,
    #[prost(bool, tag = "5")]
    pub(crate) streaming: bool,
    /// Of the last worker that was made.
    #[prost(uint32, tag = "6")]
    pub(crate) generation: u32,
    #[prost(bool, tag = "7")]
    pub(crate) stands_in: bool,
    #[prost(uint32, tag = "8")]
    pub(crate) faults: u32,
    /// What the module had saved, the newest first.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(crate) states: Vec<Vec<u8>>,
    #[prost(message, optional, tag = "10")]
    pub(crate) module: Option<KeptModule>,
    /// The one on duty.
    #[prost(message, optional, tag = "11")]
    pub(crate) worker: Option<KeptWorker>,
    /// Whose it is.
    #[prost(uint32, tag = "12")]
    pub(crate) owner_uid: u32,
    #[prost(uint32, tag = "18")]
    pub(crate) owner_pid: u32,
    #[prost(string, tag = "14")]
    pub(crate) software: String,
    /// When it began, in microseconds since 1970.
    #[prost(uint64, tag = "15")]
    pub(crate) began_us: u64,
    /// What others than its pipeline ask for, if it was told of any.
    #[prost(message, optional, tag = "16")]
    pub(crate) controls: Option<Controls>,
    #[prost(uint32, tag = "17")]
    pub(crate) restarts: u32,
    /// Its module failed too often in it, and nothing stands in.
    #[prost(bool, tag = "13")]
    pub(crate) quarantined: bool,
}

/// The bytes that its workers load.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeptModule {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) path: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) digest: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(crate) size: u64,
    /// Where the tuning file was.
    #[prost(string, optional, tag = "5")]
    pub(crate) tuning: Option<String>,
}

/// A worker.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeptWorker {
    #[prost(uint32, tag = "1")]
    pub(crate) generation: u32,
    /// Serial of the last order.
    #[prost(uint32, tag = "2")]
    pub(crate) serial: u32,
    #[prost(message, optional, tag = "3")]
    pub(crate) module: Option<ModuleInfo>,
    #[prost(message, optional, tag = "4")]
    pub(crate) confinement: Option<Confinement>,
    /// The pipeline's number of the newest frame when it started.
    #[prost(uint64, tag = "5")]
    pub(crate) since: u64,
    /// The same frame's sequence number.
    #[prost(uint32, tag = "7")]
    pub(crate) since_seq: u32,
    #[prost(bool, tag = "6")]
    pub(crate) restored: bool,
}

impl Kept {
    /// Writes it into a memory file that nobody can change.
    pub(crate) fn write(mut self) -> io::Result<OwnedFd> {
        self.version = VERSION;
        let memfd = MemfdOptions::default()
            .allow_sealing(true)
            .close_on_exec(true)
            .create("coldshoe-session")
            .map_err(io::Error::other)?;
        memfd.as_file().write_all(&self.encode_to_vec())?;
        let seals = [
            FileSeal::SealShrink,
            FileSeal::SealGrow,
            FileSeal::SealWrite,
            FileSeal::SealSeal,
        ];
        memfd.add_seals(&seals).map_err(io::Error::other)?;
        Ok(memfd.into_file().into())
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is too large, no such text, or of another version.
    pub(crate) fn read(fd: OwnedFd) -> io::Result<Self> {
        let mut file = File::from(fd);
        file.rewind()?;
        let mut bytes = Vec::new();
        file.take(MOST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST {
            return Err(io::Error::other(format!("it has more than {MOST} bytes")));
        }
        let kept = Self::decode(bytes.as_slice()).map_err(io::Error::other)?;
        if kept.version != VERSION {
            let what = format!(
                "it is of version {}, this daemon has {VERSION}",
                kept.version
            );
            return Err(io::Error::other(what));
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept() -> Kept {
        Kept {
            token: vec![7; 16],
            streaming: true,
            generation: 3,
            states: vec![vec![1; 40], vec![2; 40]],
            worker: Some(KeptWorker {
                generation: 3,
                serial: 9,
                ..KeptWorker::default()
            }),
            ..Kept::default()
        }
    }

    #[test]
    fn what_was_written_is_read_by_the_next_daemon_and_changed_by_nobody() {
        let fd = kept().write().unwrap();
        let mut file = File::from(fd.try_clone().unwrap());
        assert!(file.write_all(b"x").is_err() && file.set_len(0).is_err());
        let read = Kept::read(fd).unwrap();
        assert_eq!(
            read,
            Kept {
                version: VERSION,
                ..kept()
            }
        );
    }

    #[test]
    fn another_version_is_refused() {
        let mut file = tempfile::tempfile().unwrap();
        let other = Kept {
            version: 2,
            ..kept()
        };
        file.write_all(&other.encode_to_vec()).unwrap();
        let error = Kept::read(file.into()).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let _ = Kept::read(file.into());
        }
    }
}
