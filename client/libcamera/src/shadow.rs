//! Copies of the camera's buffers for the worker, where the parameters in them have a contract: it never
//! has the camera's own, and what it writes is judged before they have it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use coldshoe_contract::{Contract, Report};
use coldshoe_frame::Foreign;
use coldshoe_libcamera_wire::{Buffers, Plane, Wrong};
use memfd::{FileSeal, MemfdOptions};

/// Buffers at a time: pipelines have eight of each kind at most.
const MAX_BUFFERS: usize = 64;

/// A buffer of the host's, and the worker's copy.
struct Shadow {
    real: Foreign,
    copy: File,
    offset: usize,
    length: usize,
}

/// All of them, by their numbers.
#[derive(Default)]
pub(crate) struct Shadows {
    contract: Option<Contract>,
    of: BTreeMap<u32, Shadow>,
    scratch: Vec<u8>,
    admitted: Vec<u8>,
    report: Report,
}

impl Shadow {
    fn of(plane: &Plane<'_, OwnedFd>) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let size = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let (offset, length) = (size(plane.offset), size(plane.length));
        if !offset.is_multiple_of(16) {
            return Err(format!("it begins at {offset}"));
        }
        let all = offset.saturating_add(length);
        let real = Foreign::map(plane.fd.as_fd(), all).map_err(|error| text(&error))?;
        let options = MemfdOptions::default().allow_sealing(true);
        let copy = options
            .create("coldshoe-shadow")
            .map_err(|error| text(&error))?;
        let file = copy.as_file();
        file.set_len(all as u64).map_err(|error| text(&error))?;
        let seals = [FileSeal::SealShrink, FileSeal::SealGrow, FileSeal::SealSeal];
        copy.add_seals(&seals).map_err(|error| text(&error))?;
        Ok(Self {
            real,
            copy: copy.into_file(),
            offset,
            length,
        })
    }
}

impl Buffers<OwnedFd> for Shadows {
    fn share(
        &mut self,
        contract: &str,
        planes: &[Plane<'_, OwnedFd>],
    ) -> Result<Option<Vec<OwnedFd>>, Wrong> {
        let wrong = |id: u32, why: &dyn std::fmt::Display| {
            Wrong::new(format!("buffer {id} has no copy for the worker: {why}"))
        };
        if self.contract.is_none() {
            let known = Contract::builtin(contract);
            self.contract = Some(known.map_err(|error| Wrong::new(error.to_string()))?);
        }
        let mut fds = Vec::new();
        let mut made = Vec::new();
        for plane in planes {
            if self.of.len().saturating_add(made.len()) >= MAX_BUFFERS {
                return Err(wrong(plane.id, &format!("there are {MAX_BUFFERS} already")));
            }
            let shadow = Shadow::of(plane).map_err(|why| wrong(plane.id, &why))?;
            let fd = shadow.copy.try_clone();
            fds.push(fd.map_err(|error| wrong(plane.id, &error))?.into());
            made.push((plane.id, shadow));
        }
        self.of.extend(made);
        Ok(Some(fds))
    }

    fn forget(&mut self, id: u32) {
        self.of.remove(&id);
    }

    fn refresh(&mut self, id: u32) -> Result<(), Wrong> {
        let Some(shadow) = self.of.get(&id) else {
            return Ok(());
        };
        self.scratch.resize(shadow.length, 0);
        let read = shadow.real.read(shadow.offset, &mut self.scratch);
        let written = shadow
            .copy
            .write_all_at(&self.scratch, shadow.offset as u64);
        match (read, written) {
            (true, Ok(())) => Ok(()),
            (_, written) => Err(Wrong::new(format!(
                "buffer {id} is not copied: {written:?}"
            ))),
        }
    }

    fn admit(&mut self, id: u32, used: Option<u32>) -> Result<Option<u32>, Wrong> {
        let (Some(shadow), Some(contract)) = (self.of.get_mut(&id), &self.contract) else {
            return Ok(None);
        };
        let used = used.map_or(shadow.length, |used| {
            usize::try_from(used).unwrap_or(usize::MAX)
        });
        let wrong = |why: &dyn std::fmt::Display| {
            Wrong::new(format!("the parameters in buffer {id}: {why}"))
        };
        if used > shadow.length {
            return Err(wrong(&format!("{used} bytes of {}", shadow.length)));
        }
        self.scratch.resize(used, 0);
        let read = shadow
            .copy
            .read_exact_at(&mut self.scratch, shadow.offset as u64);
        read.map_err(|error| wrong(&error))?;
        self.admitted.resize(shadow.length, 0);
        let every = contract.all_blocks();
        let admitted = contract.admit(&self.scratch, every, &mut self.admitted, &mut self.report);
        let admitted = admitted.map_err(|whole| wrong(&whole))?;
        if !shadow.real.write(shadow.offset, admitted) {
            return Err(wrong(&"they do not fit"));
        }
        Ok(u32::try_from(admitted.len()).ok())
    }
}

#[cfg(test)]
mod tests {
    use coldshoe_frame::Buffer;
    use coldshoe_isp::{ParamsBuilder, rkisp1};

    use super::*;

    const LENGTH: usize = 4096;

    /// A host's buffer, and the worker's end of it.
    fn shared(shadows: &mut Shadows) -> (Buffer, File) {
        let host = Buffer::create(LENGTH).unwrap();
        let fd = host.as_fd().try_clone_to_owned().unwrap();
        let plane = Plane {
            id: 7,
            fd: &fd,
            offset: 0,
            length: LENGTH as u32,
        };
        let mut fds = shadows.share("rkisp1", &[plane]).unwrap().unwrap();
        (host, File::from(fds.pop().unwrap()))
    }

    fn read(host: &Buffer, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let there = Foreign::map(host.as_fd(), LENGTH).unwrap();
        assert!(there.read(0, &mut bytes));
        bytes
    }

    /// Parameters that the contract knows: gains of white balance, and bytes that are none.
    fn parameters() -> Vec<u8> {
        let mut bytes = vec![0; LENGTH];
        let mut builder = ParamsBuilder::new(&mut bytes, rkisp1::VERSION).unwrap();
        let gains = rkisp1::AwbGain::from_gains([1.5, 1.0, 1.0, 2.0]);
        builder.push(&gains).unwrap();
        let length = builder.finish();
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn what_the_contract_allows_gets_to_the_host() {
        let mut shadows = Shadows::default();
        let (host, worker) = shared(&mut shadows);
        let parameters = parameters();
        worker.write_all_at(&parameters, 0).unwrap();
        let used = parameters.len() as u32;
        assert_eq!(shadows.admit(7, Some(used)), Ok(Some(used)));
        assert_eq!(read(&host, parameters.len()), parameters);
        // What it writes afterwards does not.
        worker.write_all_at(&[255; 64], 0).unwrap();
        assert_eq!(read(&host, parameters.len()), parameters);
    }

    #[test]
    fn what_it_does_not_know_does_not() {
        let mut shadows = Shadows::default();
        let (host, worker) = shared(&mut shadows);
        let mut hidden = parameters();
        // A block of a type that nobody has documented.
        hidden[8..10].copy_from_slice(&999_u16.to_le_bytes());
        worker.write_all_at(&hidden, 0).unwrap();
        // Nothing is left but the header.
        assert_eq!(shadows.admit(7, Some(hidden.len() as u32)), Ok(Some(8)));
        assert_eq!(read(&host, 64)[8..], [0; 56]);
        worker.write_all_at(&[255; 64], 0).unwrap();
        assert!(shadows.admit(7, Some(64)).is_err());
        assert!(shadows.admit(7, Some(u32::MAX)).is_err());
        // Without it the worker would have the host's buffer itself.
        assert_eq!(shadows.admit(8, Some(64)), Ok(None));
    }

    #[test]
    fn the_worker_reads_what_the_host_had_when_it_said_so() {
        let mut shadows = Shadows::default();
        let (mut host, worker) = shared(&mut shadows);
        assert!(host.write(0, b"statistics"));
        let mut seen = [0; 10];
        worker.read_exact_at(&mut seen, 0).unwrap();
        assert_eq!(seen, [0; 10]);
        shadows.refresh(7).unwrap();
        worker.read_exact_at(&mut seen, 0).unwrap();
        assert_eq!(&seen, b"statistics");
        shadows.forget(7);
        shadows.refresh(7).unwrap();
    }
}
