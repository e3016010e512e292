//! What passes, what does not, and why.
#![forbid(unsafe_code)]

mod common;

use coldshoe_contract::{Class, Contract, Reason, Report, Tally, UNKNOWN_NAMED, Verdict, Whole};
use coldshoe_isp::soft::{BlackLevel, Ccm, Lsc, SoftParams, ToneCurve, WbGains};
use coldshoe_isp::{ParamsBuilder, ParseError, soft};
use common::{DISABLE, ENABLE, buffer, full, least, set};

fn contract(name: &str) -> Contract {
    Contract::builtin(name).expect("built in")
}

fn all() -> impl Iterator<Item = Contract> {
    Contract::BUILTIN
        .into_iter()
        .map(|(name, _)| contract(name))
}

/// What is refused of a buffer: types and reasons.
fn refusals(contract: &Contract, bytes: &[u8]) -> Vec<(u16, Reason)> {
    let mut report = Report::new();
    contract.validate(bytes, contract.all_blocks(), &mut report);
    let refusals = report.refusals().iter();
    refusals
        .map(|refusal| (refusal.kind, refusal.reason))
        .collect()
}

fn accepted(contract: &Contract, bytes: &[u8]) -> Vec<u16> {
    let mut report = Report::new();
    contract.validate(bytes, contract.all_blocks(), &mut report);
    report.accepted().iter().map(|block| block.kind).collect()
}

fn failing(name: &str) -> Contract {
    let (_, text) = Contract::BUILTIN
        .into_iter()
        .find(|(known, _)| *known == name)
        .expect("built in");
    let text = text.replace("mode = \"drop\"", "mode = \"fail\"");
    Contract::parse(name, &text).expect("a contract")
}

#[test]
fn a_buffer_of_every_block_passes_whole_and_goes_on_byte_for_byte() {
    for contract in all() {
        let bytes = full(&contract);
        assert_eq!(bytes.len(), contract.max_payload());
        let (mut report, mut out) = (Report::new(), vec![0; bytes.len()]);
        let verdict = contract.validate(&bytes, contract.all_blocks(), &mut report);
        assert_eq!(verdict, Verdict::Accepted, "{:?}", report.refusals());
        let admitted = contract.admit(&bytes, contract.all_blocks(), &mut out, &mut report);
        assert_eq!(admitted, Ok(&bytes[..]));
    }
}

#[test]
fn sizes_are_those_of_the_kernels_tables() {
    let sizes = |name| -> Vec<usize> {
        let contract = contract(name);
        let kinds = contract.blocks().iter().map(|block| block.kind());
        assert!(kinds.eq(0..contract.blocks().len() as u16));
        contract.blocks().iter().map(|block| block.size()).collect()
    };
    assert_eq!(
        sizes("rkisp1"),
        [
            40, 104, 120, 16, 56, 16, 32, 80, 80, 16, 16, 24, 2392, 32, 104, 24, 48, 24, 584, 584,
            112
        ]
    );
    assert_eq!(
        sizes("mali-c55"),
        [24, 16, 16, 240, 240, 16, 16, 32, 16, 12304, 16]
    );
    assert_eq!(sizes("coldshoe-soft"), soft::TABLE.sizes);
    assert_eq!(contract("coldshoe-soft").max_payload(), soft::MAX_PAYLOAD);
    assert_eq!(contract("coldshoe-soft").version(), soft::VERSION);
}

#[test]
fn an_unknown_block_is_refused_and_the_others_go_on() {
    let contract = contract("rkisp1");
    let good = least(&contract, 3);
    for kind in [21, 63, 64, u16::MAX] {
        let bytes = buffer(1, &[(kind, ENABLE, vec![0; 8]), (3, ENABLE, good.clone())]);
        assert_eq!(refusals(&contract, &bytes), [(kind, Reason::Unknown)]);
        let (mut report, mut out) = (Report::new(), [0; 64]);
        let admitted = contract.admit(&bytes, u64::MAX, &mut out, &mut report);
        let want = buffer(1, &[(3, ENABLE, good.clone())]);
        assert_eq!(admitted, Ok(&want[..]));
    }
}

#[test]
fn of_blocks_that_come_twice_none_passes_in_whatever_order() {
    let contract = contract("rkisp1");
    let (good, bad) = (least(&contract, 3), vec![0xff; 8]);
    let other = (5, ENABLE, least(&contract, 5));
    for pair in [[&good, &bad], [&bad, &good], [&good, &good]] {
        let blocks = [
            (3, ENABLE, pair[0].clone()),
            other.clone(),
            (3, DISABLE, pair[1].clone()),
        ];
        let bytes = buffer(1, &blocks);
        assert_eq!(refusals(&contract, &bytes), [(3, Reason::Duplicate)]);
        assert_eq!(accepted(&contract, &bytes), [5]);
        let mut report = Report::new();
        contract.validate(&bytes, u64::MAX, &mut report);
        assert_eq!((report.refused(), report.refusals()[0].times), (2, 2));
    }
}

#[test]
fn a_block_that_the_hardware_does_not_have_is_refused() {
    let contract = contract("mali-c55");
    let bytes = full(&contract);
    let mut report = Report::new();
    let verdict = contract.validate(&bytes, contract.all_blocks() & !(1 << 9), &mut report);
    assert_eq!(verdict, Verdict::Dropped);
    let refusals = report.refusals();
    assert_eq!((refusals.len(), refusals[0].kind), (1, 9));
    assert_eq!(refusals[0].reason, Reason::Unsupported);
}

#[test]
fn flags_without_a_meaning_and_both_at_once_are_refused() {
    let contract = contract("rkisp1");
    for flags in [3, 4, 0x80, 0x100, 0x8002, 0xffff] {
        let bytes = buffer(1, &[(3, flags, least(&contract, 3))]);
        assert_eq!(refusals(&contract, &bytes), [(3, Reason::Flags { flags })]);
    }
    for flags in [0, DISABLE, ENABLE] {
        let bytes = buffer(1, &[(3, flags, least(&contract, 3))]);
        assert_eq!(refusals(&contract, &bytes), []);
    }
}

#[test]
fn a_flag_of_the_driver_passes_where_the_contract_names_it() {
    let (_, text) = Contract::BUILTIN[0];
    let text = text.replace("[source]", "[flags]\nLATCH = 9\n\n[source]");
    let named = Contract::parse("rkisp1", &text).expect("a contract");
    let with = |flags| buffer(1, &[(3, flags, least(&named, 3))]);
    assert_eq!(refusals(&named, &with(1 << 9 | ENABLE)), []);
    let flags = 1 << 10;
    assert_eq!(
        refusals(&named, &with(flags)),
        [(3, Reason::Flags { flags })]
    );
}

#[test]
fn a_wrong_size_is_refused_and_a_header_alone_only_switches_off() {
    let contract = contract("rkisp1");
    for (flags, len, got) in [
        (ENABLE, 0, 8),
        (0, 0, 8),
        (ENABLE, 16, 24),
        (DISABLE, 16, 24),
    ] {
        let bytes = buffer(1, &[(3, flags, vec![0; len])]);
        assert_eq!(refusals(&contract, &bytes), [(3, Reason::Size { got })]);
    }
    assert_eq!(
        accepted(&contract, &buffer(1, &[(3, DISABLE, vec![])])),
        [3]
    );
}

#[test]
fn the_body_of_a_block_that_is_switched_off_is_zero_or_as_documented() {
    let contract = contract("rkisp1");
    // No effect has the number 0.
    for body in [vec![0; 16], least(&contract, 11)] {
        assert_eq!(
            accepted(&contract, &buffer(1, &[(11, DISABLE, body)])),
            [11]
        );
    }
    let mut hidden = vec![0; 16];
    hidden[15] = 1;
    let refused = refusals(&contract, &buffer(1, &[(11, DISABLE, hidden)]));
    assert!(matches!(
        refused[..],
        [(11, Reason::Range { field: 0, .. })]
    ));
}

#[test]
fn every_bit_that_no_field_has_is_refused_where_it_is() {
    for contract in all() {
        for block in contract.blocks() {
            let good = least(&contract, block.kind());
            let mut own = vec![0_u8; good.len()];
            for field in block.fields() {
                for index in 0..field.len {
                    // All the field's bits, whatever they mean.
                    set(&mut own, field, index, i64::from(u32::MAX));
                }
            }
            // Every byte of small blocks, and the ends and some of large ones.
            for at in
                (0..good.len()).filter(|at| *at < 128 || at % 509 == 0 || good.len() - at < 16)
            {
                for bit in (0..8).filter(|bit| own[at] & 1 << bit == 0) {
                    let mut body = good.clone();
                    body[at] |= 1 << bit;
                    let bytes = buffer(contract.version(), &[(block.kind(), ENABLE, body)]);
                    let reason = Reason::Reserved { at: at as u32 };
                    assert_eq!(refusals(&contract, &bytes), [(block.kind(), reason)]);
                }
            }
        }
    }
}

#[test]
fn every_field_passes_at_its_ends_and_is_refused_beyond_them_by_name_and_element() {
    for contract in all() {
        for block in contract.blocks() {
            for (field, number) in block.fields().iter().zip(0..) {
                let (least, most) = match field.bits {
                    Some((first, _)) => (0, i64::from(field.mask >> first)),
                    None => field.number.range(),
                };
                let around = (-4098..=4098).chain([32768, 32769, least, most]);
                // What it can say at all: bits outside a mask are another reason.
                let ones = u32::MAX >> (32 - 8 * field.number.width());
                let outside = ones & !field.mask;
                let possible = around
                    .filter(|value| (least..=most).contains(value))
                    .filter(|value| field.bits.is_some() || *value as u32 & outside == 0);
                let (index, mut body) = (field.len - 1, common::least(&contract, block.kind()));
                for value in possible {
                    set(&mut body, field, index, value);
                    let bytes = buffer(contract.version(), &[(block.kind(), ENABLE, body.clone())]);
                    let refused = refusals(&contract, &bytes);
                    if field.allowed.has(value) {
                        assert_eq!(refused, [], "{} {} {value}", block.name(), field.name);
                    } else {
                        let index = index as u32;
                        let reason = Reason::Range {
                            field: number,
                            index,
                            value,
                        };
                        assert_eq!(refused, [(block.kind(), reason)], "{}", field.name);
                    }
                }
            }
        }
    }
}

#[test]
fn a_curve_that_falls_is_refused_where_it_falls() {
    let contract = contract("coldshoe-soft");
    let mut body = vec![0; 520];
    coldshoe_isp::Block::encode(&ToneCurve::linear(), &mut body);
    assert_eq!(
        accepted(&contract, &buffer(1, &[(3, ENABLE, body.clone())])),
        [3]
    );
    body[200..202].fill(0);
    let falls = Reason::Falls {
        field: 0,
        index: 100,
    };
    assert_eq!(
        refusals(&contract, &buffer(1, &[(3, ENABLE, body)])),
        [(3, falls)]
    );
}

#[test]
fn lengths_that_do_not_add_up_refuse_the_buffer() {
    let contract = contract("rkisp1");
    let whole = |bytes: &[u8]| {
        let mut report = Report::new();
        let verdict = contract.validate(bytes, u64::MAX, &mut report);
        assert_eq!((report.accepted(), report.refusals()), (&[][..], &[][..]));
        match verdict {
            Verdict::Refused(whole) => whole,
            other => panic!("{other:?}"),
        }
    };
    let good = buffer(1, &[(3, ENABLE, least(&contract, 3))]);
    let mut cut = good.clone();
    cut.pop();
    let data_size = |whole| matches!(whole, Whole::Framing(ParseError::DataSize { .. }));
    assert!(data_size(whole(&cut)));
    let mut longer = good.clone();
    longer.push(0);
    assert!(data_size(whole(&longer)));
    assert_eq!(
        whole(&[0; 7]),
        Whole::Framing(ParseError::Truncated { len: 7 })
    );
    for size in [0_u32, 4, 12, 24, 1 << 31, u32::MAX] {
        let mut nested = good.clone();
        nested[12..16].copy_from_slice(&size.to_le_bytes());
        let found = whole(&nested);
        assert!(
            matches!(found, Whole::Framing(ParseError::Size { .. })),
            "{size}: {found:?}"
        );
    }
    let (got, want) = (2, 1);
    assert_eq!(whole(&buffer(2, &[])), Whole::Version { got, want });
    let many = buffer(1, &vec![(99, 0, vec![]); 10_000]);
    let (len, max) = (many.len(), 4512);
    assert_eq!(whole(&many), Whole::Long { len, max });
}

#[test]
fn as_many_refusals_as_fit_into_a_buffer_are_counted_and_some_are_named() {
    let contract = contract("rkisp1");
    let mut blocks = vec![(99, 0, vec![]); 300];
    blocks.extend(vec![(3, 0, vec![]); 200]);
    blocks.push((5, DISABLE, vec![]));
    let (mut report, mut tally) = (Report::new(), Tally::default());
    let verdict = contract.validate(&buffer(1, &blocks), u64::MAX, &mut report);
    assert_eq!((verdict, report.refused()), (Verdict::Dropped, 500));
    assert_eq!(report.refusals().len(), UNKNOWN_NAMED + 1);
    assert_eq!(report.accepted().len(), 1);
    tally.add(&report);
    tally.add(&report);
    assert_eq!(
        (tally.unknown(), tally.count(3, Class::Duplicate)),
        (600, 400)
    );
    assert_eq!(
        tally.iter().collect::<Vec<_>>(),
        [(3, Class::Duplicate, 400)]
    );
}

#[test]
fn a_contract_that_fails_refuses_the_whole_buffer_with_a_block() {
    let contract = failing("rkisp1");
    let good = (3, ENABLE, least(&contract, 3));
    let bytes = buffer(1, &[good.clone(), (99, 0, vec![])]);
    let (mut report, mut out) = (Report::new(), [0; 64]);
    let admitted = contract.admit(&bytes, u64::MAX, &mut out, &mut report);
    assert_eq!(admitted, Err(Whole::Blocks(1)));
    assert_eq!(report.accepted(), []);
    assert_eq!(report.refusals()[0].reason, Reason::Unknown);
    let bytes = buffer(1, &[good]);
    assert_eq!(
        contract.admit(&bytes, u64::MAX, &mut out, &mut report),
        Ok(&bytes[..])
    );
}

#[test]
fn a_buffer_of_which_nothing_passes_goes_on_empty_and_one_without_room_not_at_all() {
    let contract = contract("rkisp1");
    let (mut report, mut out) = (Report::new(), [0xaa; 16]);
    let none = buffer(1, &[(99, 0, vec![0; 64])]);
    let admitted = contract.admit(&none, u64::MAX, &mut out, &mut report);
    assert_eq!(admitted, Ok(&buffer(1, &[])[..]));
    let more = buffer(1, &[(3, ENABLE, least(&contract, 3))]);
    let admitted = contract.admit(&more, u64::MAX, &mut out, &mut report);
    assert_eq!(admitted, Err(Whole::NoRoom { need: 24, room: 16 }));
    assert_eq!(report.accepted(), []);
}

#[test]
fn the_first_thing_that_is_wrong_is_the_reason() {
    let contract = contract("rkisp1");
    // Flags, size and content are wrong: what is nearer to the header is told.
    let blocks = [(11, 3, vec![0xff; 24]), (1, ENABLE, vec![0xff; 96])];
    assert_eq!(
        refusals(&contract, &buffer(1, &blocks)),
        [
            (11, Reason::Flags { flags: 3 }),
            (1, Reason::Reserved { at: 0 })
        ]
    );
    let mut report = Report::new();
    contract.validate(&buffer(1, &blocks), 0, &mut report);
    assert!(
        report
            .refusals()
            .iter()
            .all(|refusal| refusal.reason == Reason::Unsupported)
    );
}

#[test]
fn what_the_software_isp_encodes_passes_and_what_passes_it_decodes() {
    let contract = contract("coldshoe-soft");
    let mut bytes = vec![0; soft::MAX_PAYLOAD];
    let mut params = ParamsBuilder::new(&mut bytes, soft::VERSION).expect("room");
    params.push(&BlackLevel::uniform(0.06)).expect("room");
    params
        .push(&WbGains::from_gains([1.9, 1.0, 1.0, 1.4]))
        .expect("room");
    params
        .push(&Ccm::from_rows([[-8.0, 7.9, 0.1]; 3]))
        .expect("room");
    params
        .push(&ToneCurve::from_fn(|x| x.powf(0.45)))
        .expect("room");
    params
        .push(&Lsc::from_fn(|_, x, y| 0.5 + 7.5 * x * y))
        .expect("room");
    let len = params.finish();
    let (mut report, mut out) = (Report::new(), [0; soft::MAX_PAYLOAD]);
    let admitted = contract.admit(&bytes[..len], 31, &mut out, &mut report);
    assert_eq!(admitted, Ok(&bytes[..len]));
    assert!(SoftParams::decode(&bytes[..len]).is_ok());
}

#[test]
fn refusals_are_told_in_words_that_name_the_field_and_what_it_may_say() {
    let contract = contract("rkisp1");
    let mut body = least(&contract, 0);
    body[20..22].copy_from_slice(&5000_i16.to_le_bytes());
    let mut report = Report::new();
    contract.validate(&buffer(1, &[(0, ENABLE, body)]), u64::MAX, &mut report);
    let why = contract.why(&report.refusals()[0]);
    assert_eq!(why, "fixed_val.r is 5000, not of -4096..=4095");
}
