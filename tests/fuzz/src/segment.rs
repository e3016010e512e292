//! A return segment, and a worker that writes there what it likes.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use coldshoe_frame::{Geometry, create_return};

use crate::input::Input;

// Where things lie; `coldshoe-frame` says so to nobody.
const HEADERS: u64 = 256;
const HEADER: u64 = 128;
const PAYLOAD: u64 = 4096;
const REPLY: u64 = 128;

/// The segment, as its writer has it.
pub(crate) struct Segment {
    file: File,
    geometry: Geometry,
}

impl Segment {
    pub(crate) fn new(geometry: Geometry) -> Self {
        let fd = create_return(&geometry).expect("memory");
        Self {
            file: fd.into(),
            geometry,
        }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Bytes anywhere, as far as the segment goes.
    pub(crate) fn scribble(&self, script: &mut Input<'_>) {
        let at = u64::from(script.u16()) % self.geometry.return_len() as u64;
        let bytes = script.counted();
        let room = self.geometry.return_len() - at as usize;
        self.write(at, &bytes[..bytes.len().min(room)]);
    }

    /// An answer to `seq` in the right form: lengths, status and content are the script's, and the
    /// sequence number may be, too.
    pub(crate) fn answer(&self, script: &mut Input<'_>, generation: u32, seq: u64) {
        let shape = script.u8();
        let slot = seq % u64::from(self.geometry.slots());
        let stride = (REPLY + self.geometry.params_capacity() as u64).next_multiple_of(HEADER);
        let payload = PAYLOAD + slot * stride;
        if shape & 1 != 0 {
            let record = script.bytes(REPLY as usize);
            self.write(payload, record);
        }
        let params = script.counted();
        let fits = &params[..params.len().min(self.geometry.params_capacity())];
        self.write(payload + REPLY, fits);
        let header = HEADERS + slot * HEADER;
        let len = if shape & 2 != 0 {
            script.u32()
        } else {
            params.len() as u32
        };
        let status = if shape & 4 != 0 { script.u32() } else { 0 };
        let done = if shape & 8 != 0 {
            script.u64()
        } else {
            u64::from(generation) << 32 | seq & u64::from(u32::MAX)
        };
        self.write(header + 8, &len.to_le_bytes());
        self.write(header + 12, &status.to_le_bytes());
        self.write(header, &done.to_le_bytes());
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.file
            .write_all_at(bytes, at)
            .expect("within the segment");
    }
}
