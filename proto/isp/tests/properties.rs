//! What holds for any bytes and any parameters.

use coldshoe_isp::soft::{self, BlackLevel, Ccm, Lsc, SoftParams, ToneCurve, Update, WbGains};
use coldshoe_isp::{Block, BlockFlags, Blocks, ParamsBuilder, RawBlock, Statistics};
use proptest::prelude::*;

/// Up to eight blocks of different types with whole-word bodies.
fn raw_blocks() -> impl Strategy<Value = Vec<(u16, u16, Vec<u8>)>> {
    let body = prop::collection::vec(any::<u64>(), 0..6)
        .prop_map(|words| words.iter().flat_map(|word| word.to_le_bytes()).collect());
    prop::collection::btree_map(0_u16..64, (0_u16..3, body), 0..8).prop_map(|blocks| {
        blocks
            .into_iter()
            .map(|(kind, (flags, body))| (kind, flags, body))
            .collect()
    })
}

fn build(version: u32, blocks: &[RawBlock<'_>]) -> Vec<u8> {
    let mut bytes = vec![0xa5; 8 + blocks.iter().map(|b| b.body.len() + 8).sum::<usize>()];
    let mut params = ParamsBuilder::new(&mut bytes, version).unwrap();
    for block in blocks {
        params.push_raw(block).unwrap();
    }
    assert_eq!(params.finish(), bytes.len());
    bytes
}

fn round_trip<B: Block + PartialEq + std::fmt::Debug>(block: &B) {
    let mut body = vec![0; B::SIZE - 8];
    block.encode(&mut body);
    assert_eq!(B::decode(&body).as_ref(), Ok(block));
    assert!(B::decode(&body[1..]).is_err());
}

proptest! {
    #[test]
    fn what_was_built_is_what_is_walked(version: u32, blocks in raw_blocks()) {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|(kind, flags, body)| RawBlock {
                kind: *kind,
                flags: BlockFlags::from_bits(*flags).unwrap(),
                body,
            })
            .collect();
        let bytes = build(version, &blocks);
        let walked = Blocks::parse(&bytes).unwrap();
        prop_assert_eq!(walked.version(), version);
        prop_assert_eq!(walked.iter().collect::<Vec<_>>(), blocks);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = Blocks::parse(&bytes);
        let _ = SoftParams::decode(&bytes);
        let _ = Statistics::decode(&bytes);
    }

    #[test]
    fn whatever_parses_serialises_identically(
        blocks in raw_blocks(),
        flip in any::<prop::sample::Index>(),
        mask in 0_u8..4,
    ) {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|(kind, _, body)| RawBlock { kind: *kind, flags: BlockFlags::NONE, body })
            .collect();
        let mut bytes = build(1, &blocks);
        let at = flip.index(bytes.len());
        bytes[at] ^= mask;
        if let Ok(walked) = Blocks::parse(&bytes) {
            prop_assert_eq!(build(walked.version(), &walked.iter().collect::<Vec<_>>()), bytes);
        }
    }

    #[test]
    fn typed_blocks_round_trip(
        four: [u16; 4],
        rows in prop::array::uniform3(prop::array::uniform3(-9.0..9.0)),
        gamma in 0.2..3.0,
        bulge in 0.0..6.0,
    ) {
        round_trip(&BlackLevel(four));
        round_trip(&WbGains(four));
        round_trip(&Ccm::from_rows(rows));
        round_trip(&ToneCurve::from_fn(|x| x.powf(gamma)));
        round_trip(&Lsc::from_fn(|c, x, y| 0.5 + bulge * x * y + c as f64 / 4.0));
    }

    #[test]
    fn a_whole_buffer_says_what_was_pushed(gains in prop::array::uniform4(0.0..15.9), off: bool) {
        let mut bytes = [0; soft::MAX_PAYLOAD];
        let mut params = ParamsBuilder::new(&mut bytes, soft::VERSION).unwrap();
        let gains = WbGains::from_gains(gains);
        params.push(&gains).unwrap();
        if off {
            params.push_disabled::<Lsc>().unwrap();
        }
        let len = params.finish();
        let want = SoftParams {
            wb_gains: Update::Set(gains),
            lsc: if off { Update::Disable } else { Update::Keep },
            ..SoftParams::default()
        };
        prop_assert_eq!(SoftParams::decode(&bytes[..len]), Ok(want));
    }

    #[test]
    fn spoiled_statistics_never_panic_and_what_decodes_encodes_identically(
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let mut bytes = vec![0; Statistics::SIZE];
        Statistics::empty(3, 320, 240).encode(&mut bytes).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(stats) = Statistics::decode(&bytes) {
            let mut again = vec![0; Statistics::SIZE];
            stats.encode(&mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }
}
