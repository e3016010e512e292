//! Parameter blocks and statistics.

use coldshoe_isp::soft::{self, SoftParams};
use coldshoe_isp::{BlockError, Blocks, ParamsBuilder, Statistics};

/// A parameter buffer. What is walked is built again from what was found, byte for byte.
pub(crate) fn run(bytes: &[u8]) {
    let typed = SoftParams::decode(bytes);
    let Ok(blocks) = Blocks::parse(bytes) else {
        assert!(typed.is_err());
        return;
    };
    let mut again = vec![0; bytes.len()];
    let mut builder = ParamsBuilder::new(&mut again, blocks.version()).expect("room");
    for block in &blocks {
        builder.push_raw(&block).expect("a block that was walked");
    }
    assert_eq!(builder.finish(), bytes.len());
    assert_eq!(again, bytes);
    let known = soft::TABLE.check(&blocks);
    assert!(typed.is_err() || known.is_ok());
    if typed.is_ok() {
        assert!(bytes.len() <= soft::MAX_PAYLOAD);
    }
    let mut merged = SoftParams::default();
    let every: Result<(), BlockError> = blocks.iter().try_for_each(|block| merged.merge(&block));
    assert_eq!(typed.is_ok(), known.is_ok() && every.is_ok());
}

/// Statistics. What decodes encodes to the same bytes, and every derived number is one.
pub(crate) fn statistics(bytes: &[u8]) {
    let Ok(stats) = Statistics::decode(bytes) else {
        return;
    };
    stats.check().expect("checked by decoding");
    let mut again = vec![0; Statistics::SIZE];
    let len = stats.encode(&mut again).expect("what was decoded");
    assert_eq!(&again[..len], bytes);
    assert!(stats.range().into_iter().all(f64::is_finite));
    for zone in 0..Statistics::ZONES {
        let rgb = stats.zone_rgb(zone).into_iter().flatten();
        assert!(rgb.chain(stats.zone_luminance(zone)).all(f64::is_finite));
        let _ = stats.zone_cells(zone);
    }
    for position in [0.0, 0.5, 1.0] {
        assert!(
            stats
                .bin_level(position * Statistics::BINS as f64)
                .is_finite()
        );
    }
}
