//! The contestants: each file is one way to exchange frames, both sides of it.

pub(crate) mod direct;
pub(crate) mod eventfd;
pub(crate) mod flood;
pub(crate) mod frame;
pub(crate) mod futex;
pub(crate) mod iceoryx;
pub(crate) mod isolated;
pub(crate) mod libcamera;
mod path;
pub(crate) mod seqpacket;
pub(crate) mod session;
pub(crate) mod spin;

/// Puts the number of a frame at the start of its payload.
fn stamp(payload: &mut [u8], seq: u64) {
    payload[..8].copy_from_slice(&seq.to_le_bytes());
}

/// The answer to a frame carries its number.
fn check(payload: &[u8], seq: u64) -> anyhow::Result<()> {
    anyhow::ensure!(
        payload[..8] == seq.to_le_bytes(),
        "the answer is to another frame"
    );
    Ok(())
}
