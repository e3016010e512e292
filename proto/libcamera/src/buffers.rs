//! Memory that a host shares with its worker.

use crate::Wrong;

/// A plane of a buffer that the host wants to share.
#[derive(Debug)]
pub struct Plane<'a, F> {
    /// The buffer's number.
    pub id: u32,
    /// Its memory.
    pub fd: &'a F,
    /// Where the plane begins.
    pub offset: u32,
    /// Bytes that it has.
    pub length: u32,
}

/// The memory behind shared buffers. A worker never has the host's own: what the host says that it may
/// read is copied to it, and what it says that it has filled is judged as a copy before the host's
/// buffer has it.
pub trait Buffers<F> {
    /// The host shares these. What the worker gets in place of their descriptors, in the same order;
    /// `None`: them.
    ///
    /// # Errors
    ///
    /// They cannot be had like that.
    fn share(&mut self, contract: &str, planes: &[Plane<'_, F>]) -> Result<Option<Vec<F>>, Wrong>;

    /// The host does not share this one any more.
    fn forget(&mut self, id: u32);

    /// The worker may read this one, as it is now.
    ///
    /// # Errors
    ///
    /// It cannot be copied.
    fn refresh(&mut self, id: u32) -> Result<(), Wrong>;

    /// The worker has filled so much of this one, or all of it. How much of that the host's buffer
    /// has now; `None`: it is the host's own.
    ///
    /// # Errors
    ///
    /// What is in it is nothing that hardware may get.
    fn admit(&mut self, id: u32, used: Option<u32>) -> Result<Option<u32>, Wrong>;
}

/// All of it is shared as it is.
impl<F> Buffers<F> for () {
    fn share(&mut self, _: &str, _: &[Plane<'_, F>]) -> Result<Option<Vec<F>>, Wrong> {
        Ok(None)
    }

    fn forget(&mut self, _: u32) {}

    fn refresh(&mut self, _: u32) -> Result<(), Wrong> {
        Ok(())
    }

    fn admit(&mut self, _: u32, _: Option<u32>) -> Result<Option<u32>, Wrong> {
        Ok(None)
    }
}
