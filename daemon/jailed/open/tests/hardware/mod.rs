//! Simulators of ISPs: what they do to a raw frame as far as their statistics go.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod mali_c55;
pub mod rkisp1;

use std::collections::VecDeque;

use coldshoe_camera::RawFrame;
use coldshoe_isp::{Block, Blocks};

/// An ISP that obeys parameter buffers and measures frames.
pub trait Isp {
    /// Takes over what a buffer says.
    fn obey(&mut self, blocks: &Blocks<'_>);

    /// The statistics buffer of a frame.
    fn measure(&self, raw: &RawFrame, frame: u32) -> Vec<u8>;
}

/// Parameters on their way to an ISP.
#[derive(Default)]
pub struct Pipeline {
    queued: VecDeque<Vec<u8>>,
}

impl Pipeline {
    /// Queues a buffer; the one of `latency` frames ago reaches the ISP.
    pub fn send(&mut self, params: &[u8], latency: usize, isp: &mut dyn Isp) {
        self.queued.push_back(params.to_vec());
        while self.queued.len() > latency {
            let buffer = self.queued.pop_front().unwrap();
            isp.obey(&Blocks::parse(&buffer).unwrap());
        }
    }
}

/// The block of a type, if it is in the buffer.
pub fn find<B: Block>(blocks: &Blocks<'_>) -> Option<B> {
    let block = blocks.iter().find(|block| block.kind == B::KIND)?;
    Some(B::decode(block.body).unwrap())
}

/// Cells of a frame: for each its place in 0..1 and R, Gr, Gb, B as fractions of full scale.
pub fn cells(raw: &RawFrame) -> impl Iterator<Item = (f64, f64, [f64; 4])> + '_ {
    let (width, height) = (raw.size().width(), raw.size().height());
    let full = f64::from(raw.full_scale());
    (0..height / 2).flat_map(move |cy| {
        (0..width / 2).map(move |cx| {
            let mut channels = [0.0; 4];
            for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let (x, y) = (2 * cx + x, 2 * cy + y);
                let value = f64::from(raw.data()[y * width + x]) / full;
                channels[raw.cfa().channel(x, y) as usize] = value;
            }
            let place = |n: usize, side: usize| (2 * n + 1) as f64 / side as f64;
            (place(cx, width), place(cy, height), channels)
        })
    })
}

/// The zone of a place.
pub fn zone(x: f64, y: f64, columns: usize) -> usize {
    (y * columns as f64) as usize * columns + (x * columns as f64) as usize
}
