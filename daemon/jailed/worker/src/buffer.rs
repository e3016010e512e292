//! Bytes at an address that any module may cast to what it likes.

/// A fixed buffer, aligned to 16 bytes.
pub(crate) struct Buffer {
    lanes: Vec<u128>,
    len: usize,
}

impl Buffer {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            lanes: vec![0; len.div_ceil(size_of::<u128>())],
            len,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the vector owns at least `len` initialised bytes, and bytes have no alignment.
        unsafe { std::slice::from_raw_parts(self.lanes.as_ptr().cast(), self.len) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed for writing; any bytes make valid lanes.
        unsafe { std::slice::from_raw_parts_mut(self.lanes.as_mut_ptr().cast(), self.len) }
    }
}
