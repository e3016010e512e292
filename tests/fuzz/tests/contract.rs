//! Two implementations of a contract say the same of whatever comes.
#![forbid(unsafe_code)]

use coldshoe_fuzz::named;
use proptest::collection::vec;
use proptest::prelude::*;

/// Good blocks of a contract, in any order, some with changes.
fn blocks() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![4 => 0_u8..3, 1 => any::<u8>()];
    let changes = prop_oneof![3 => Just(0_u8), 3 => 1_u8..4, 1 => 128_u8..132];
    let block = (0_u8..24, flags, changes, vec(any::<u8>(), 16)).prop_map(
        |(which, flags, changes, bytes)| {
            let cut = usize::from(changes >> 7);
            let used = cut + usize::from(changes & 7) * 3;
            [&[which, flags, changes], &bytes[..used]].concat()
        },
    );
    vec(block, 0..16).prop_map(|blocks| blocks.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, ..ProptestConfig::default() })]

    #[test]
    fn good_blocks_with_changes_are_judged_alike(court in 0_u8..6, blocks in blocks()) {
        (named("contract").run)(&[&[128 | court][..], &blocks].concat());
    }

    #[test]
    fn hardware_that_lacks_blocks_is_judged_alike(
        court in 0_u8..6,
        capabilities: u64,
        blocks in blocks(),
    ) {
        let head = [&[192 | court][..], &capabilities.to_le_bytes()].concat();
        (named("contract").run)(&[head, blocks].concat());
    }

    #[test]
    fn arbitrary_bytes_behind_a_true_header_are_judged_alike(
        court in 0_u8..6,
        words in vec((0_u16..24, 0_u16..4, prop_oneof![Just(8_u32), Just(16), any::<u32>()]), 0..40),
    ) {
        let data: Vec<u8> = words
            .iter()
            .flat_map(|(kind, flags, size)| {
                [&kind.to_le_bytes()[..], &flags.to_le_bytes(), &size.to_le_bytes()].concat()
            })
            .collect();
        let size = data.len() as u32;
        let head = [&[court][..], &1_u32.to_le_bytes(), &size.to_le_bytes()].concat();
        (named("contract").run)(&[head, data].concat());
    }

    #[test]
    fn arbitrary_bytes_are_judged_alike(bytes in vec(any::<u8>(), 0..300)) {
        (named("contract").run)(&bytes);
    }
}
