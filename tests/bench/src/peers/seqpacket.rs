//! A socket that keeps messages whole, the simplest honest IPC: 4 KiB both ways.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Result, ensure};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};

use super::{check, stamp};
use crate::contest::{Contestant, Exchange, Kind, Pair, SMALL};
use crate::launch::{Launch, Seat};

pub(crate) struct Seqpacket;

struct Client {
    socket: OwnedFd,
    stats: Vec<u8>,
    params: Vec<u8>,
    seq: u64,
}

fn receive(socket: &OwnedFd, to: &mut [u8]) -> Result<()> {
    let (len, _) = recv(socket, &mut *to, RecvFlags::empty())?;
    ensure!(len == to.len(), "{len} bytes instead of {}", to.len());
    Ok(())
}

impl Contestant for Seqpacket {
    fn name(&self) -> &'static str {
        "seqpacket-4k"
    }

    fn about(&self) -> &'static str {
        "SEQPACKET socket, 4 KiB both ways"
    }

    fn kind(&self) -> Kind {
        Kind::Asleep
    }

    fn open(&self, launch: &Launch) -> Result<Pair> {
        let kind = SocketType::SEQPACKET;
        let (socket, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        let peer = launch.peer(self, &[theirs.as_fd()])?;
        let client = Client {
            socket,
            stats: vec![2; SMALL],
            params: vec![0; SMALL],
            seq: 0,
        };
        Ok(Pair::new(client, peer))
    }

    fn serve(&self, mut seat: Seat) -> Result<()> {
        let socket = seat.fd()?;
        let (mut stats, mut params) = (vec![0; SMALL], vec![1; SMALL]);
        seat.ready()?;
        for _ in 0..seat.trips {
            receive(&socket, &mut stats)?;
            params[..8].copy_from_slice(&stats[..8]);
            send(&socket, &params, SendFlags::empty())?;
        }
        Ok(())
    }
}

impl Exchange for Client {
    fn trip(&mut self) -> Result<()> {
        self.seq += 1;
        stamp(&mut self.stats, self.seq);
        send(&self.socket, &self.stats, SendFlags::empty())?;
        receive(&self.socket, &mut self.params)?;
        check(&self.params, self.seq)
    }
}
