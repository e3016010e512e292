//! The light of a frame's cells, those that clipped included, and what it would be at another gain.
//!
//! Of a clipped cell only the least is known. The rest is taken from the shape of what is below:
//! between two ranks the logarithm of light is a straight line in the logit of the rank (a
//! log-logistic distribution), and goes on so beyond the clipping point.

use crate::measure::Measured;

/// Points that stand for the clipped cells.
const TAIL: usize = 16;
const POINTS: usize = 256 + TAIL;
/// Ranks, as shares of the cells that are not clipped, that the shape is read from.
const SHAPE: (f64, f64) = (0.4, 0.95);
/// How wide light is spread, at least and at most: logarithms of light over logits of rank.
const SPREAD: (f64, f64) = (0.15, 0.6);
/// With a smaller share of clipped cells than this, zones tell the mean of the others.
const FEW: f64 = 0.001;
/// Luminance at which a neutral surface clips, under any light.
const NEUTRAL: (f64, f64) = (0.65, 0.85);
/// Trust in the shape without clipped cells, with all clipped more, and the most.
const TRUST: (f64, f64, f64) = (0.25, 0.5, 0.58);
/// The most that the logit of the share of unclipped cells is taken for.
const LOGIT: f64 = 3.0;

/// Cells by rank: light, full light being 1, and their share.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    level: [f64; POINTS],
    share: [f64; POINTS],
    /// A cell clips when its luminance is above this: its brightest channel is ahead of it.
    clips_at: f64,
}

impl Cells {
    /// The cells of a frame; `None` where nothing was counted.
    pub(super) fn of(frame: &Measured) -> Option<Self> {
        let total: f64 = frame.histogram.iter().sum();
        if total <= 0.0 {
            return None;
        }
        let mut cells = Self {
            level: [0.0; POINTS],
            share: [0.0; POINTS],
            clips_at: clips_at(frame),
        };
        // Cells of one strong colour clip below that; they are no highlights.
        let (mut clipped, mut sum) = (1.0, 0.0);
        for (i, count) in frame.histogram.iter().take(POINTS - TAIL).enumerate() {
            let level = (i as f64 + 0.5) * frame.bin_width;
            if level > cells.clips_at {
                break;
            }
            cells.level[i] = level;
            cells.share[i] = count / total;
            sum += cells.share[i] * level;
            clipped -= cells.share[i];
        }
        let clipped = clipped.clamp(0.0, 1.0);
        if frame.clipped < FEW {
            cells.centre(frame, sum, 1.0 - clipped);
        }
        cells.extend(clipped);
        Some(cells)
    }

    /// Bins are wide in the dark; zones know the mean better.
    fn centre(&mut self, frame: &Measured, sum: f64, share: f64) {
        let known = |light: f64, zone: &crate::measure::Zone| light + zone.luminance;
        let zones = frame
            .zones
            .iter()
            .filter(|zone| zone.valid > 0.0 || zone.clipped > 0.0);
        let count = zones.clone().count();
        if count == 0 || share <= 0.0 {
            return;
        }
        let mean = zones.fold(0.0, known) / count as f64;
        let half = frame.bin_width / 2.0;
        let shift = ((mean - sum) / share).clamp(-half, half);
        for level in &mut self.level[..POINTS - TAIL] {
            *level = (*level + shift).max(0.0);
        }
    }

    /// Gives the clipped share its light.
    fn extend(&mut self, clipped: f64) {
        let below = 1.0 - clipped;
        let at = |share: f64| {
            let mut seen = 0.0;
            let bins = self.share.iter().zip(&self.level);
            let found = bins.take(POINTS - TAIL).find(|(count, _)| {
                seen += **count;
                seen >= share * below && seen > 0.0
            });
            found.map_or(self.clips_at, |(_, level)| *level)
        };
        let (low, high) = (at(SHAPE.0).max(1e-4), at(SHAPE.1).max(1e-4));
        let rise = logit(SHAPE.1 * below) - logit(SHAPE.0 * below);
        // Not a number where nothing is below.
        let spread = ((high / low).ln() / rise).max(SPREAD.0).min(SPREAD.1);
        let spread = spread * trust(clipped);
        for i in 0..TAIL {
            let rank = below + clipped * (i as f64 + 0.5) / TAIL as f64;
            let beyond = spread * (logit(rank) - logit(below));
            self.level[POINTS - TAIL + i] = self.clips_at * beyond.exp();
            self.share[POINTS - TAIL + i] = clipped / TAIL as f64;
        }
    }

    /// Mean luminance at a gain, a clipped cell being full light. A cell that clips jumps to it from
    /// `clips_at`; which of those that did would come back is not known, so none jumps down.
    pub(super) fn mean(&self, gain: f64) -> f64 {
        let cells = self.level.iter().zip(&self.share).enumerate();
        cells
            .map(|(i, (level, share))| {
                let light = level * gain;
                share
                    * match light >= self.clips_at {
                        true => 1.0,
                        false if i < POINTS - TAIL => light,
                        false => light / self.clips_at,
                    }
            })
            .sum()
    }

    /// Mean luminance of the ranks `low..high` at a gain; `None` without cells there.
    pub(super) fn mean_of_ranks(&self, low: f64, high: f64, gain: f64) -> Option<f64> {
        let (mut below, mut sum, mut weight) = (0.0, 0.0, 0.0);
        for (level, share) in self.level.iter().zip(&self.share) {
            let part = (f64::min(below + share, high) - f64::max(below, low)).max(0.0);
            sum += part * (level * gain).min(1.0);
            weight += part;
            below += share;
        }
        (weight > 0.0).then(|| sum / weight)
    }

    /// Mean light of the clipped cells; full light if there are none.
    pub(super) fn clipped_light(&self) -> f64 {
        let tail = &self.level[POINTS - TAIL..];
        (tail.iter().sum::<f64>() / TAIL as f64).max(1.0)
    }
}

/// How far the shape of the light is followed beyond clipping. A few highlights have a shape of their
/// own, and what is decided on a little burnt frame has to be right within 5 %: too much would be
/// overshoot. A frame that is mostly burnt is far from the aim anyway.
fn trust(clipped: f64) -> f64 {
    (TRUST.0 + TRUST.1 * clipped).min(TRUST.2)
}

fn logit(share: f64) -> f64 {
    let share = share.clamp(1e-6, 1.0 - 1e-6);
    (share / (1.0 - share)).ln().clamp(-LOGIT, LOGIT)
}

/// Luminance over brightest channel, on average over the light of the frame.
fn clips_at(frame: &Measured) -> f64 {
    let (mut luminance, mut brightest) = (0.0, 0.0);
    for zone in frame.zones.iter().filter(|zone| zone.valid > 0.0) {
        let [r, g, b] = zone.rgb;
        luminance += (r + 2.0 * g + b) / 4.0;
        brightest += r.max(g).max(b);
    }
    let ratio: f64 = luminance / brightest;
    if ratio.is_finite() {
        ratio.clamp(NEUTRAL.0, NEUTRAL.1)
    } else {
        NEUTRAL.1
    }
}
