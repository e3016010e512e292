//! What a module really asked for.
#![forbid(unsafe_code)]

mod common;

use coldshoe_contract::{BlockUse, Contract, UnknownUse, Usage};
use common::{DISABLE, ENABLE, buffer};

#[test]
fn blocks_and_fields_are_told_with_the_ranges_of_their_values_passed_or_not() {
    let contract = Contract::builtin("rkisp1").expect("built in");
    let gains = |red: u16| {
        let gains = [red, 256, 300, 256].map(u16::to_le_bytes);
        (3, ENABLE, gains.concat())
    };
    let mut usage = Usage::new(&contract);
    usage.add(&buffer(1, &[gains(400), (5, DISABLE, vec![])]), u64::MAX);
    usage.add(&buffer(1, &[gains(200), (40, 0, vec![0; 24])]), u64::MAX);
    // Beyond the range, and refused.
    usage.add(&buffer(1, &[gains(2000), (40, 0, vec![])]), u64::MAX);
    usage.add(&[1, 2, 3], u64::MAX);
    assert_eq!(usage.buffers(), 4);
    let used = &usage.blocks()[3];
    // The gain is ten bits of its number: the eleventh is not the field's.
    assert_eq!(used.fields[0], Some((200, 2000 & 0x3ff)));
    assert_eq!(used.fields[2], Some((300, 300)));
    assert_eq!((used.configured, usage.refused(3)), (3, 1));
    assert_eq!(
        (usage.blocks()[5].disabled, usage.blocks()[5].configured),
        (1, 0)
    );
    let never = BlockUse {
        fields: vec![None; 3],
        ..BlockUse::default()
    };
    assert_eq!(usage.blocks()[9], never);
    let (times, largest) = (2, 32);
    let unknown: Vec<_> = usage.unknown().collect();
    assert_eq!(unknown, [(40, UnknownUse { times, largest })]);
    assert!(usage.has_refusals());
    assert_eq!(usage.tally().buffers(), 1);
}
