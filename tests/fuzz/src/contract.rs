//! A contract's verdict against that of a second implementation.

mod oracle;

use std::sync::LazyLock;

use coldshoe_contract::{
    Allowed, Block, Contract, Reason, Refusal, Report, UNKNOWN_NAMED, Verdict,
};
use coldshoe_isp::{Blocks, ParamsBuilder};

use self::oracle::{Oracle, Told};
use crate::input::Input;

/// A contract in one mode, and who judges by it.
struct Court {
    contract: Contract,
    oracle: Oracle,
    fails: bool,
}

static COURTS: LazyLock<Vec<Court>> = LazyLock::new(|| {
    let text = |(name, text): (&str, &str), mode: &str| {
        // One flag that is the driver's own: no format that is built in has any.
        let text = text.replacen("mode = \"drop\"", &format!("mode = \"{mode}\""), 1);
        let text = match mode {
            "fail" => text.replacen("[quarantine]", "[flags]\nOWN = 9\n\n[quarantine]", 1),
            _ => text,
        };
        Court {
            contract: Contract::parse(name, &text).expect("a contract"),
            oracle: Oracle::new(&text),
            fails: mode == "fail",
        }
    };
    let modes = ["drop", "fail"].into_iter();
    modes
        .flat_map(|mode| Contract::BUILTIN.map(|builtin| text(builtin, mode)))
        .collect()
});

/// The first byte says which contract, and whether the rest is a buffer or how to make one: good
/// blocks, and what to change about them. Bit 6: with a mask of what the hardware has.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let head = input.u8();
    let court = &COURTS[usize::from(head & 7) % COURTS.len()];
    let capabilities = if head & 64 == 0 {
        u64::MAX
    } else {
        input.u64()
    };
    if head & 128 == 0 {
        let most = court.contract.max_payload() + 64;
        compare(court, input.bytes(most), capabilities);
    } else {
        compare(court, &made(&court.contract, input), capabilities);
    }
}

/// A buffer of good blocks with as many changes as the script has.
fn made(contract: &Contract, mut input: Input) -> Vec<u8> {
    let mut data = Vec::new();
    while !input.is_empty() && data.len() <= contract.max_payload() {
        let (which, flags, changes) = (input.u8(), input.u8(), input.u8());
        let blocks = contract.blocks();
        let (kind, mut body) = match blocks.get(usize::from(which) % (blocks.len() + 1)) {
            Some(block) => (block.kind(), good(block)),
            None => (which.into(), vec![0; usize::from(which / 32) * 8]),
        };
        if changes & 128 != 0 {
            body.truncate(usize::from(input.u8() & 3) * 8);
        }
        for _ in 0..changes & 7 {
            let (at, value) = (usize::from(input.u16()), input.u8());
            if !body.is_empty() {
                let at = at % body.len();
                body[at] = value;
            }
        }
        data.extend(kind.to_le_bytes());
        // Mostly flags that have a meaning.
        let flags = u16::from(flags & 3)
            | if flags & 128 == 0 {
                0
            } else {
                u16::from(flags) << 7
            };
        data.extend(flags.to_le_bytes());
        data.extend((8 + body.len() as u32).to_le_bytes());
        data.extend(body);
    }
    let mut bytes = contract.version().to_le_bytes().to_vec();
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    bytes
}

/// A body in which every field says the least that it may.
fn good(block: &Block) -> Vec<u8> {
    let mut body = vec![0; block.size() - 8];
    for field in block.fields() {
        let least = match &field.allowed {
            Allowed::Range { min, .. } => *min,
            Allowed::Values(values) => values[0].0,
        };
        let width = field.number.width();
        let bits = (least as u32) << field.bits.map_or(0, |(first, _)| first);
        for place in body[field.offset..field.end()].chunks_mut(width) {
            let both = place.iter_mut().zip(bits.to_le_bytes());
            both.for_each(|(byte, bits)| *byte |= bits);
        }
    }
    body
}

fn compare(court: &Court, buffer: &[u8], capabilities: u64) {
    let (contract, mut report) = (&court.contract, Report::new());
    let verdict = contract.validate(buffer, capabilities, &mut report);
    let Some(told) = court.oracle.judge(buffer, capabilities) else {
        assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
        assert!(report.accepted().is_empty() && report.refusals().is_empty());
        return;
    };
    let (bad, good): (Vec<_>, Vec<_>) = told.iter().partition(|told| told.refused.is_some());
    refusals(contract, &report, &bad);
    match (bad.is_empty(), court.fails) {
        (true, _) => assert_eq!(verdict, Verdict::Accepted),
        (false, false) => assert_eq!(verdict, Verdict::Dropped),
        (false, true) => {
            assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
            assert!(report.accepted().is_empty());
            return;
        }
    }
    let accepted = report.accepted().iter();
    let accepted: Vec<_> = accepted
        .map(|block| (block.kind, block.offset as usize, block.size as usize))
        .collect();
    let want: Vec<_> = good
        .iter()
        .map(|told| (told.kind, told.offset, told.size))
        .collect();
    assert_eq!(accepted, want);
    goes_on(contract, buffer, capabilities, &want);
}

/// What is refused is the same blocks for the same reasons.
fn refusals(contract: &Contract, report: &Report, bad: &[&Told]) {
    assert_eq!(report.refused() as usize, bad.len());
    let unknown = |told: &&&Told| matches!(told.refused, Some(("unknown", _)));
    assert_eq!(report.unknown(), bad.iter().filter(unknown).count());
    let named = |told: &Told, refusal: &Refusal| {
        let field = match refusal.reason {
            Reason::Range { field, .. } | Reason::Falls { field, .. } => {
                let block = contract.block(refusal.kind).expect("of the format");
                Some(block.fields()[usize::from(field)].name.clone())
            }
            _ => None,
        };
        let reason = (refusal.reason.class().name(), field);
        told.kind == refusal.kind && told.refused.as_ref() == Some(&reason)
    };
    let mut unnamed = 0;
    for told in bad {
        let found = report.refusals().iter().any(|refusal| named(told, refusal));
        if !found {
            assert!(unknown(&told), "{told:?}, {:?}", report.refusals());
            unnamed += 1;
        }
    }
    assert!(unnamed == 0 || report.unknown() > UNKNOWN_NAMED);
    for refusal in report.refusals() {
        let same = bad.iter().filter(|told| named(told, refusal));
        let times = if refusal.reason == Reason::Unknown {
            1
        } else {
            same.clone().count()
        };
        assert_eq!(refusal.times as usize, times, "{refusal:?}");
        assert!(
            same.clone()
                .any(|told| told.offset == refusal.offset as usize)
        );
    }
}

/// What passes goes on byte for byte, can be built again, and passes again.
fn goes_on(contract: &Contract, buffer: &[u8], capabilities: u64, good: &[(u16, usize, usize)]) {
    let (mut report, mut out) = (Report::new(), vec![0xaa; buffer.len()]);
    let admitted = contract.admit(buffer, capabilities, &mut out, &mut report);
    let admitted = admitted.expect("there is room").to_vec();
    let blocks: Vec<u8> = good
        .iter()
        .flat_map(|(_, offset, size)| &buffer[*offset..offset + size])
        .copied()
        .collect();
    assert_eq!(admitted[8..], blocks);
    let verdict = contract.validate(&admitted, capabilities, &mut report);
    assert_eq!(verdict, Verdict::Accepted);
    // Flags of a driver are none of the common ones, which is all that this reader knows.
    if contract.flags().is_empty() {
        let blocks = Blocks::parse(&admitted).expect("well framed");
        let mut again = vec![0; admitted.len()];
        let mut builder = ParamsBuilder::new(&mut again, blocks.version()).expect("room");
        for block in &blocks {
            builder.push_raw(&block).expect("a block that passed");
        }
        assert_eq!(builder.finish(), admitted.len());
        assert_eq!(again, admitted);
    }
}
