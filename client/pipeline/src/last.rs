//! What the pipeline goes on with when nothing fresh comes.

use coldshoe_frame::FrameReply;

use crate::Answer;

/// The last good answer, in private memory.
#[derive(Debug)]
pub(crate) struct LastGood {
    any: bool,
    frame: u64,
    params: Vec<u8>,
    params_len: usize,
    reply: FrameReply,
}

impl LastGood {
    pub(crate) fn new(params_capacity: usize) -> Self {
        Self {
            any: false,
            frame: 0,
            params: vec![0; params_capacity],
            params_len: 0,
            reply: FrameReply::default(),
        }
    }

    /// There is none any more.
    pub(crate) fn forget(&mut self) {
        self.any = false;
        self.params_len = 0;
    }

    /// Takes over a good answer. Parameters come by exchange of buffers; none leave the last ones
    /// in force.
    pub(crate) fn replace(
        &mut self,
        frame: u64,
        reply: FrameReply,
        params: &mut Vec<u8>,
        params_len: usize,
    ) {
        if params_len > 0 {
            std::mem::swap(params, &mut self.params);
            self.params_len = params_len;
        }
        self.any = true;
        self.frame = frame;
        self.reply = reply;
    }

    /// None as long as there has been none.
    pub(crate) fn answer(&self) -> Option<Answer<'_>> {
        self.any.then(|| Answer {
            frame: self.frame,
            params: &self.params[..self.params_len],
            wanted: self.reply.wanted,
            metadata: self.reply.metadata,
        })
    }
}
