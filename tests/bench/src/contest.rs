//! Who takes part.
//!
//! To add a contestant, write a module under `peers/` and name it in [`ALL`]; goals that name it
//! (`goals.rs`) are measured from then on.

use anyhow::Result;

use crate::launch::{Launch, Peer, Seat};
use crate::peers::{
    direct::Inline, eventfd::Eventfd, flood, frame::Frame, futex::Futex, iceoryx::Iceoryx,
    isolated::Isolated, libcamera::Libcamera, seqpacket::Seqpacket, session::Session, spin::Spin,
};

/// Size of small statistics and of parameters, in bytes.
pub(crate) const SMALL: usize = 4 << 10;
/// Size of large statistics.
pub(crate) const LARGE: usize = 64 << 10;

/// How both sides wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In the kernel.
    Asleep,
    /// On their CPUs: not measured where both share one.
    Awake,
    /// Awake when a frame is due: with a pace, and a CPU each.
    Predictive,
    /// Not at all: there is no other side.
    Inline,
    /// The peer is an enemy; every frame ends at its deadline.
    Hostile,
}

/// One way to bring a frame to a peer and its answer back.
pub(crate) trait Contestant: Sync {
    /// For the command line and for goals.
    fn name(&self) -> &'static str;
    /// For the tables.
    fn about(&self) -> &'static str;
    fn kind(&self) -> Kind;
    /// Starts a peer, and returns the measured side.
    fn open(&self, launch: &Launch) -> Result<Pair>;
    /// The peer's side, in its own process: answers `seat.trips` frames.
    fn serve(&self, seat: Seat) -> Result<()>;
}

/// The measured side of an exchange.
pub(crate) trait Exchange {
    /// Brings one frame there and its answer back, both in full.
    fn trip(&mut self) -> Result<()>;
}

/// An exchange that is going on.
pub(crate) struct Pair {
    pub(crate) exchange: Box<dyn Exchange>,
    /// None for [`Kind::Inline`].
    pub(crate) peer: Option<Peer>,
}

impl Pair {
    pub(crate) fn new(exchange: impl Exchange + 'static, peer: Peer) -> Self {
        Self {
            exchange: Box::new(exchange),
            peer: Some(peer),
        }
    }

    pub(crate) fn inline(exchange: impl Exchange + 'static) -> Self {
        Self {
            exchange: Box::new(exchange),
            peer: None,
        }
    }
}

/// Everybody, in the order of the tables.
pub(crate) static ALL: &[&dyn Contestant] = &[
    &Spin,
    &Futex,
    &Eventfd,
    &Seqpacket,
    &Libcamera::SMALL,
    &Libcamera::LARGE,
    &Iceoryx::EVENT,
    &Iceoryx::SPIN,
    &Frame::SMALL,
    &Frame::SMALL_JAILED,
    &Frame::LARGE,
    &Frame::LARGE_JAILED,
    &Frame::AWAKE,
    &Isolated::PLAIN,
    &Isolated::SEQPACKET,
    &Isolated::JAILED,
    &Isolated::RELAYED,
    &Isolated::FRAME_PLAIN,
    &Isolated::FRAME_RELAYED,
    &Session::CALL,
    &Session::TOKIO,
    &Session::PREDICTIVE,
    &Inline::TRUSTING_SMALL,
    &Inline::DIRECT_SMALL,
    &Inline::FRAME_SMALL,
    &Inline::TRUSTING_LARGE,
    &Inline::DIRECT_LARGE,
    &Inline::FRAME_LARGE,
    &flood::Silence,
    &flood::Flood,
    &flood::Naive,
];

/// The contestant of a name.
pub(crate) fn find(name: &str) -> Result<&'static dyn Contestant> {
    ALL.iter()
        .copied()
        .find(|contestant| contestant.name() == name)
        .ok_or_else(|| anyhow::anyhow!("no contestant is named {name}; --list names them all"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for contestant in ALL {
            let found = find(contestant.name()).unwrap();
            assert_eq!(found.about(), contestant.about());
        }
    }
}
