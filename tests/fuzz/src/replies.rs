//! The return segment into the client's half of the frame path.

use coldshoe_frame::{FrameReply, Geometry, Replies, Reply};
use coldshoe_isp::Blocks;
use coldshoe_isp::soft::{self, SoftParams};

use crate::input::Input;
use crate::segment::Segment;

/// A generation, the size of a slot, and where sequence numbers begin; then rewrites of the
/// segment and looks at it, in any order.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Input(bytes);
    let (slots, params) = (1 << (script.u8() % 3), 1 + u32::from(script.u16() % 1024));
    let geometry = Geometry::new(slots, 16, params).expect("within bounds");
    let segment = Segment::new(geometry);
    let generation = script.u32();
    let replies = Replies::map(segment.as_fd(), geometry, generation).expect("sealed");
    let first = script.u64();
    let mut room = vec![0; geometry.params_capacity()];
    while !script.is_empty() {
        let verb = script.u8();
        let seq = first.wrapping_add(u64::from(verb >> 4));
        match verb % 3 {
            0 => segment.scribble(&mut script),
            1 => segment.answer(&mut script, generation, seq),
            _ => match replies.take(seq, &mut room) {
                Some(Ok(reply)) => judge(&reply, &room),
                Some(Err(error)) => assert!(!error.to_string().is_empty()),
                None => {}
            },
        }
    }
}

/// What every reply that was let through keeps.
fn judge(reply: &Reply, room: &[u8]) {
    let params = &room[..reply.params_len];
    numbers(&reply.reply);
    if let Ok(blocks) = Blocks::parse(params)
        && soft::TABLE.check(&blocks).is_ok()
    {
        let _ = SoftParams::decode(params);
    }
}

fn numbers(reply: &FrameReply) {
    let FrameReply { wanted, metadata } = reply;
    let size = |value: f64| value.is_finite() && value >= 0.0;
    let wanted = [
        wanted.exposure_us,
        wanted.analogue_gain,
        wanted.digital_gain,
        wanted.lens_position,
        wanted.frame_duration_us,
    ];
    let found = [
        metadata.luminance,
        metadata.colour_temperature,
        metadata.lux,
    ];
    let gains = metadata.colour_gains.into_iter().flatten();
    assert!(
        wanted
            .into_iter()
            .chain(found)
            .flatten()
            .chain(gains)
            .all(size)
    );
}
