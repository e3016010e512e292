//! From DN to white-balanced light: black level, lens shading, white balance, clipping.

use coldshoe_isp::soft::Lsc;

use crate::bayer::{Dimensions, RawFrame};

/// Light behind each pixel, 0 to 1, row by row.
///
/// `black` is a fraction of full scale for R, Gr, Gb and B. Where the sensor clipped, its channels
/// clip at different levels once gains are applied, and white would turn pink: all are cut at the
/// level of the lowest, so blown highlights stay neutral.
pub fn balance(raw: &RawFrame, black: [f64; 4], lsc: Option<&Lsc>, gains: [f64; 4]) -> Vec<f32> {
    let full = f64::from(raw.full_scale());
    let white = f64::from(raw.white()) / full;
    // A black level at white or above leaves no light; divide by a hair then, not by 0.
    let scale = black.map(|black| (1.0 / (white - black).max(1e-6)) as f32);
    let black = black.map(|black| black as f32);
    let gains = gains.map(|gain| gain as f32);
    let lowest = gains.iter().fold(1.0, |a: f32, &b| a.min(b));
    let size = raw.size();
    let mut light = Vec::with_capacity(size.pixels());
    for (y, row) in raw.data().chunks_exact(size.width()).enumerate() {
        let shading = lsc.map(|lsc| Row::new(lsc, size, y));
        for (x, &dn) in row.iter().enumerate() {
            let channel = raw.cfa().channel(x, y) as usize;
            let gain = shading.as_ref().map_or([1.0; 4], |row| row.at(x));
            let value = (f32::from(dn) / full as f32 - black[channel]) * scale[channel];
            // With a gain below 1 a clipped pixel ends below 1 as well.
            let dimmest = gain.iter().fold(1.0, |a: f32, &b| a.min(b));
            let clip = lowest * dimmest;
            light.push((value * gain[channel] * gains[channel]).clamp(0.0, clip));
        }
    }
    light
}

/// Lens shading gains along a row of pixels: nodes interpolated between the rows of the grid.
struct Row {
    /// R, Gr, Gb, B at each column of the grid.
    nodes: [[f32; 4]; Lsc::COLUMNS],
    step: f32,
}

impl Row {
    fn new(lsc: &Lsc, size: Dimensions, y: usize) -> Self {
        let at = (y as f64 + 0.5) / size.height() as f64 * (Lsc::ROWS - 1) as f64;
        let above = (at as usize).min(Lsc::ROWS - 2);
        let part = at - above as f64;
        let gain = |channel, column| {
            let (a, b) = (
                lsc.node(channel, column, above),
                lsc.node(channel, column, above + 1),
            );
            (a + (b - a) * part) as f32
        };
        Self {
            nodes: std::array::from_fn(|column| {
                std::array::from_fn(|channel| gain(channel, column))
            }),
            step: (Lsc::COLUMNS - 1) as f32 / size.width() as f32,
        }
    }

    fn at(&self, x: usize) -> [f32; 4] {
        let at = (x as f32 + 0.5) * self.step;
        let left = (at as usize).min(Lsc::COLUMNS - 2);
        let part = at - left as f32;
        let (a, b) = (&self.nodes[left], &self.nodes[left + 1]);
        std::array::from_fn(|channel| a[channel] + (b[channel] - a[channel]) * part)
    }
}
