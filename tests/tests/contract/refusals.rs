//! A hostile module for each refusal, and as its control what it put into shared memory: that would
//! go to the ISP, the sensor or the lens if nothing stood in between.

use coldshoe::{Class, Open, Outcome, Session, Wanted, WhyHeld};
use rustix::fs::fstat;
use rustix::io::pread;

use crate::{daemon, frame, module, open, streaming};

/// What holds a row.
#[derive(Clone, Copy, Debug)]
enum Held {
    /// The block is left out, for this reason.
    Block(u16, Class),
    /// The whole buffer is refused.
    Buffer,
    /// Another value is granted.
    Clamped,
    /// The request is none.
    NoQuantity,
}

struct Row {
    name: &'static str,
    /// What the module does in each frame.
    does: &'static str,
    /// What of it must not get through.
    attack: Vec<u8>,
    held: Held,
    /// Blocks that this hardware has.
    capabilities: u64,
}

fn row(name: &'static str, does: &'static str, attack: impl Into<Vec<u8>>, held: Held) -> Row {
    Row {
        name,
        does,
        attack: attack.into(),
        held,
        capabilities: u64::MAX,
    }
}

fn rows() -> Vec<Row> {
    use Held::{Block, Buffer, Clamped, NoQuantity};
    let number = |value: f64| value.to_le_bytes();
    vec![
        row(
            "a block that nobody documents",
            r#"gains(0,256,256,256);block(21,0,"HIDDEN!!",8)"#,
            "HIDDEN!!",
            Block(21, Class::Unknown),
        ),
        row(
            "a block of another size",
            r#"block(3,0,"gains and what they hide!",24)"#,
            "and what they hide",
            Block(3, Class::Size),
        ),
        row(
            "a block that is switched off with a body of another size",
            r#"block(3,1,"switched off, and more..",24)"#,
            "switched off",
            Block(3, Class::Size),
        ),
        row(
            "enable and disable at once",
            "gains(3,259,257,258)",
            [3, 0, 3, 0, 16, 0, 0, 0, 3, 1],
            Block(3, Class::Flags),
        ),
        row(
            "a flag of the hardware's own",
            "gains(1<<15,259,257,258)",
            [3, 0, 0, 0x80, 16, 0, 0, 0, 3, 1],
            Block(3, Class::Flags),
        ),
        row(
            "reserved bits of a field",
            "gains(0,0xfd03,257,258)",
            [0x03, 0xfd, 1, 1, 2, 1],
            Block(3, Class::Reserved),
        ),
        row(
            "a reserved byte of a block",
            r#"block(5,0,"\5SECRET\7",8)"#,
            "SECRET",
            Block(5, Class::Reserved),
        ),
        row(
            "a field out of its range",
            r#"block(10,0,"\1\2\3\4\5\6\7\0",8)"#,
            [1, 2, 3, 4, 5, 6, 7],
            Block(10, Class::Range),
        ),
        row(
            "a block twice, the second to undo the first",
            "gains(0,259,257,258);gains(0,1023,1023,1023)",
            [0xff, 3, 0xff, 3, 0xff, 3],
            Block(3, Class::Duplicate),
        ),
        Row {
            capabilities: !(1 << 5),
            ..row(
                "a block that this hardware does not have",
                r#"block(5,0,"\171\0\0\0\0\0\0\0",8)"#,
                [5, 0, 0, 0, 16, 0, 0, 0, 0o171],
                Block(5, Class::Unsupported),
            )
        },
        row(
            "10,000 blocks",
            r#"for(int i=0;i<10000;i++)block(i,0,"",0)"#,
            [9, 39, 0, 0, 8, 0, 0, 0, 10, 39, 0, 0, 8, 0, 0, 0],
            Buffer,
        ),
        row(
            "a block within a block",
            r#"sized(3,0,32,"",0);block(21,0,"NESTED!!",8);append("........",8)"#,
            "NESTED!!",
            Block(3, Class::Size),
        ),
        row(
            "a block that is longer than the buffer",
            r#"sized(3,0,1<<31,"OVERLONG",8)"#,
            "OVERLONG",
            Buffer,
        ),
        row(
            "a block that is shorter than its header",
            r#"sized(3,0,0,"UNDERRUN",8)"#,
            "UNDERRUN",
            Buffer,
        ),
        row(
            "an exposure that is not a number",
            "want(COLDSHOE_IPA_WANT_EXPOSURE,__builtin_nan(\"0xbad\"))",
            [0xad, 0x0b, 0, 0, 0, 0, 0xf8, 0x7f],
            NoQuantity,
        ),
        row(
            "an exposure without end",
            "want(COLDSHOE_IPA_WANT_EXPOSURE,INFINITY)",
            number(f64::INFINITY),
            NoQuantity,
        ),
        row(
            "an exposure before its beginning",
            "want(COLDSHOE_IPA_WANT_EXPOSURE,-4321)",
            number(-4321.0),
            NoQuantity,
        ),
        row(
            "a denormal gain",
            "want(COLDSHOE_IPA_WANT_ANALOGUE_GAIN,0x1p-1060)",
            number(f64::from_bits(1 << 14)),
            NoQuantity,
        ),
        row(
            "an exposure longer than any",
            "want(COLDSHOE_IPA_WANT_EXPOSURE,1e9)",
            number(1e9),
            Clamped,
        ),
        row(
            "a gain that no sensor has",
            "want(COLDSHOE_IPA_WANT_ANALOGUE_GAIN,1e6)",
            number(1e6),
            Clamped,
        ),
        row(
            "an exposure that jumps with each frame",
            "want(COLDSHOE_IPA_WANT_EXPOSURE,frame%2?21:29876)",
            number(29_876.0),
            Clamped,
        ),
        row(
            "a lens that hammers from end to end",
            "want(COLDSHOE_IPA_WANT_LENS_POSITION,frame%2?12.25:0)",
            number(12.25),
            Clamped,
        ),
    ]
}

/// Everything that the worker wrote.
fn written(session: &Session) -> Vec<u8> {
    let segment = session.return_segment();
    let mut bytes = vec![0; fstat(segment).expect("a segment").st_size as usize];
    let mut at = 0;
    while at < bytes.len() {
        let read = pread(segment, &mut bytes[at..], at as u64).expect("read");
        assert!(read > 0, "the segment is shorter than it says");
        at += read;
    }
    bytes
}

fn has(bytes: &[u8], attack: &[u8]) -> bool {
    bytes.windows(attack.len()).any(|window| window == attack)
}

fn numbers(wanted: &Wanted) -> Vec<u8> {
    let Wanted {
        exposure_us,
        analogue_gain,
        digital_gain,
        lens_position,
        frame_duration_us,
    } = *wanted;
    [
        exposure_us,
        analogue_gain,
        digital_gain,
        lens_position,
        frame_duration_us,
    ]
    .into_iter()
    .flatten()
    .flat_map(f64::to_le_bytes)
    .collect()
}

/// Whether the attack is in what the pipeline goes on with.
fn gets_through(outcome: &Outcome<'_>, attack: &[u8]) -> bool {
    outcome
        .answer()
        .is_some_and(|answer| has(answer.params, attack) || has(&numbers(&answer.wanted), attack))
}

#[test]
fn what_the_contract_does_not_allow_does_not_get_through() {
    let daemon = daemon();
    println!("{:<62} {:<12} CONTROL", "REFUSAL", "HELD AS");
    for (at, row) in rows().into_iter().enumerate() {
        let name = format!("row{at}");
        module(&daemon, &name, &[("IN_PROCESS", row.does)]);
        let open = Open {
            isp_capabilities: row.capabilities,
            ..open(&daemon, &name)
        };
        let mut session = streaming(&open);
        let mut worked = false;
        // Three in a row that are refused whole are a worker that hangs.
        let frames = match row.held {
            Held::Buffer => 2,
            _ => 6,
        };
        for number in 0..frames {
            let ticket = session.submit(&frame(number), &[1; 64]);
            let outcome = session.wait(ticket.expect("started"));
            assert!(
                !gets_through(&outcome, &row.attack),
                "{}: {outcome:?}",
                row.name
            );
            match row.held {
                Held::Buffer => assert!(
                    matches!(
                        outcome,
                        Outcome::Held {
                            why: WhyHeld::Malformed,
                            ..
                        }
                    ),
                    "{}: {outcome:?}",
                    row.name
                ),
                _ => assert!(outcome.is_fresh(), "{}: {outcome:?}", row.name),
            }
            worked |= has(&written(&session), &row.attack);
        }
        let counters = session.counters();
        let held_as = match row.held {
            Held::Block(kind, class) => {
                let found = match class {
                    Class::Unknown => session.refusals().unknown(),
                    class => session.refusals().count(kind, class),
                };
                assert!(found >= frames, "{}: {:?}", row.name, session.refusals());
                assert!(
                    counters.refused_blocks >= frames,
                    "{}: {counters:?}",
                    row.name
                );
                class.name()
            }
            Held::Buffer => {
                assert_eq!(counters.rejected, frames, "{}", row.name);
                "buffer"
            }
            Held::Clamped => {
                assert!(counters.clamped_requests >= 2, "{}: {counters:?}", row.name);
                "clamped"
            }
            Held::NoQuantity => {
                assert_eq!(counters.refused_requests, frames, "{}", row.name);
                "no quantity"
            }
        };
        // The module does what it says, or the row would show nothing.
        assert!(worked, "{}: it is not in the segment", row.name);
        println!("{:<62} {held_as:<12} in shared memory", row.name);
        session.close().expect("closed");
    }
    daemon.assert_at_rest();
}

#[test]
fn what_is_left_of_an_answer_is_what_was_allowed_and_a_dropped_block_keeps_its_content() {
    let daemon = daemon();
    // Good gains, and one time a hidden block beside them; then only the hidden one.
    let does = r#"if(frame!=3)gains(0,256+frame,256,300);if(frame>1)block(21,0,"HIDDEN!!",8)"#;
    module(&daemon, "mixed", &[("IN_PROCESS", does)]);
    let mut session = streaming(&open(&daemon, "mixed"));
    for number in 1..=4 {
        let ticket = session.submit(&frame(number), &[1; 64]);
        let outcome = session.wait(ticket.expect("started"));
        assert!(outcome.is_fresh(), "{outcome:?}");
        let answer = outcome.answer().expect("fresh");
        let red = match number {
            3 => {
                assert_eq!(answer.params, [1, 0, 0, 0, 0, 0, 0, 0], "no block of it");
                continue;
            }
            number => (256 + number as u16).to_le_bytes(),
        };
        let head = [1, 0, 0, 0, 16, 0, 0, 0, 3, 0, 0, 0, 16, 0, 0, 0];
        assert_eq!(answer.params[..16], head);
        assert_eq!(answer.params[16..18], red);
        assert_eq!(answer.params.len(), 24);
    }
    assert_eq!(session.counters().refused_blocks, 3);
    assert_eq!(session.refusals().unknown(), 3);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn what_an_application_sets_by_hand_comes_at_once_and_is_nobodys_violation() {
    let daemon = daemon();
    // It does as it is told.
    let does = "want(COLDSHOE_IPA_WANT_EXPOSURE,in->controls.exposure_us)";
    module(&daemon, "obeys", &[("IN_PROCESS", does)]);
    let mut session = streaming(&open(&daemon, "obeys"));
    for number in 1..=100 {
        let mut bracketed = frame(number);
        let exposure_us = if number % 2 == 0 { 1000.0 } else { 30_000.0 };
        bracketed.controls.exposure_us = Some(exposure_us);
        let ticket = session.submit(&bracketed, &[1; 64]);
        let outcome = session.wait(ticket.expect("started"));
        assert!(outcome.is_fresh(), "{outcome:?}");
        let wanted = outcome.answer().expect("fresh").wanted;
        assert_eq!(wanted.exposure_us, Some(exposure_us));
    }
    assert_eq!(session.counters().clamped_requests, 0);
    assert_eq!(session.counters().faults, 0);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn the_first_frame_duration_that_is_asked_for_is_granted_and_then_its_rate_counts() {
    let daemon = daemon();
    let does = "want(COLDSHOE_IPA_WANT_FRAME_DURATION,frame<3?33333:11e6)";
    module(&daemon, "slow", &[("IN_PROCESS", does)]);
    let mut session = Session::open(&open(&daemon, "slow")).expect("a session");
    let sensor = coldshoe::Sensor {
        max_frame_duration_us: 11e6,
        ..coldshoe_tests::sensor()
    };
    session.configure(&sensor).expect("configured");
    session.start().expect("started");
    let mut granted = Vec::new();
    for number in 1..=4 {
        let ticket = session.submit(&frame(number), &[1; 64]);
        let outcome = session.wait(ticket.expect("started"));
        let wanted = outcome.answer().expect("fresh").wanted;
        granted.push(wanted.frame_duration_us.expect("asked for"));
    }
    assert_eq!(granted, [33_333.0, 33_333.0, 266_664.0, 2_133_312.0]);
    session.close().expect("closed");
    daemon.assert_at_rest();
}

#[test]
fn requests_are_granted_at_the_rate_of_the_contract() {
    let daemon = daemon();
    let does = "want(COLDSHOE_IPA_WANT_EXPOSURE,30000);want(COLDSHOE_IPA_WANT_LENS_POSITION,12)";
    module(&daemon, "fast", &[("IN_PROCESS", does)]);
    let mut session = streaming(&open(&daemon, "fast"));
    let rates = session.contract().rates();
    // What the sensor applied to the first frame is where it begins.
    let (mut exposure, mut lens) = (100.0, 0.0);
    for number in 1..=8 {
        let ticket = session.submit(&frame(number), &[1; 64]);
        let outcome = session.wait(ticket.expect("started"));
        let wanted = outcome.answer().expect("fresh").wanted;
        exposure = f64::min(30_000.0, exposure * rates.exposure_factor);
        lens = f64::min(12.0, lens + rates.lens_dioptres);
        assert_eq!(wanted.exposure_us, Some(exposure), "frame {number}");
        assert_eq!(wanted.lens_position, Some(lens), "frame {number}");
    }
    assert_eq!((exposure, lens), (30_000.0, 12.0));
    session.close().expect("closed");
    daemon.assert_at_rest();
}
