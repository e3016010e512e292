//! Writes the seed corpus anew: `cargo run -p coldshoe-fuzz --example seeds`. What fuzzers found and
//! what was written by hand stays.
#![forbid(unsafe_code)]

#[path = "../../../proto/libcamera/tests/peers/mod.rs"]
mod peers;

use std::fs;
use std::path::Path;
use std::process::Command;

use coldshoe_control::client::{
    Body, Close, Configure, Confinement, Done, Envelope, Error, Hello, Limit, ModuleInfo,
    OpenSession, Sensor, SessionFault, SessionOpened, Start, Stop, Wake,
};
use coldshoe_control::worker::{self, Assignment, Failed, Jail, Loaded, Namespace, Stage};
use coldshoe_isp::soft::{BlackLevel, Ccm, ToneCurve, WbGains};
use coldshoe_isp::{ParamsBuilder, Statistics, soft};
use peers::pen::{Dice, Pen};
use peers::schema::Schema;
use prost::Message;

fn main() {
    blocks();
    contract();
    control();
    daemon();
    client();
    replies();
    elf();
    module_table();
    files();
    libcamera();
}

fn save(target: &str, name: &str, bytes: impl AsRef<[u8]>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&dir).expect("in this crate");
    fs::write(dir.join(name), bytes).expect("in this crate");
}

/// Parameters as the open module writes them, but for the large block.
fn params() -> Vec<u8> {
    let mut bytes = vec![0; soft::MAX_PAYLOAD];
    let mut builder = ParamsBuilder::new(&mut bytes, soft::VERSION).expect("room");
    builder.push(&BlackLevel([4096; 4])).expect("room");
    let gains = WbGains::from_gains([1.8, 1.0, 1.0, 1.5]);
    builder.push(&gains).expect("room");
    let rows = [[1.6, -0.4, -0.2], [-0.3, 1.5, -0.2], [0.0, -0.6, 1.6]];
    builder.push(&Ccm::from_rows(rows)).expect("room");
    builder.push_disabled::<soft::Lsc>().expect("room");
    let len = builder.finish();
    bytes.truncate(len);
    bytes
}

fn blocks() {
    save("blocks", "common", params());
    let mut bytes = vec![0; soft::MAX_PAYLOAD];
    let mut builder = ParamsBuilder::new(&mut bytes, soft::VERSION).expect("room");
    let curve = ToneCurve::from_fn(|x| x.powf(0.45));
    builder.push(&curve).expect("room");
    let len = builder.finish();
    save("blocks", "curve", &bytes[..len]);
    save("blocks", "empty", [1, 0, 0, 0, 0, 0, 0, 0]);
    let mut stats = vec![0; Statistics::SIZE];
    let mut frame = Statistics::empty(7, 640, 480);
    for (index, zone) in frame.zones.iter_mut().enumerate() {
        (zone.r, zone.g, zone.b, zone.valid) = (9000 * index as u64, 1_000_000, 500_000, 100);
    }
    frame.histogram[40] = 19_200;
    frame.encode(&mut stats).expect("room");
    save("statistics", "frame", stats);
}

/// The first byte chooses the contract; 128 and above make a buffer of good blocks.
fn contract() {
    let raw = [&[2][..], &params()].concat();
    save("contract", "soft", raw);
    let all = |head: u8, blocks: u8| {
        let good = (0..blocks).flat_map(|block| [block, 2, 0]);
        std::iter::once(head).chain(good).collect::<Vec<u8>>()
    };
    save("contract", "rkisp1-all", all(128, 21));
    save("contract", "rkisp1-all-or-nothing", all(131, 21));
    save("contract", "mali-c55-all", all(129, 11));
    save("contract", "coldshoe-soft-all", all(130, 5));
    let some = [
        &[192][..],
        &0x1f_ffff_u64.to_le_bytes(),
        &[3, 2, 0, 11, 1, 0],
    ];
    save("contract", "rkisp1-capabilities", some.concat());
    let wrong = [
        128, 3, 3, 0, 21, 2, 0, 5, 2, 0, 5, 2, 0, 11, 2, 1, 0, 0, 9, 12, 2, 1, 0xff, 7, 1,
    ];
    save("contract", "rkisp1-refusals", wrong);
    let short = [131, 3, 1, 128, 0, 5, 0x84, 0, 1, 2, 128, 1];
    save("contract", "rkisp1-sizes-and-flags", short);
    let mesh = [129, 9, 2, 1, 11, 0, 1, 10, 2, 1, 6, 0, 16];
    save("contract", "mali-c55-mesh", mesh);
    let curve = [130, 3, 2, 2, 4, 0, 1, 8, 0, 1, 4, 2, 0, 0, 0];
    save("contract", "coldshoe-soft-curve", curve);
}

fn sensor() -> Sensor {
    Sensor {
        model: "imx219".into(),
        width: 3280,
        height: 2464,
        bayer_order: 1,
        bit_depth: 10,
        line_length_us: 18.9,
        min_exposure_us: 75.0,
        max_exposure_us: 66_000.0,
        min_analogue_gain: 1.0,
        max_analogue_gain: 10.67,
        max_digital_gain: 16.0,
        black_level: 0.0625,
        exposure_delay: 2,
        gain_delay: 1,
        min_frame_duration_us: 33_333.0,
        max_frame_duration_us: 66_667.0,
        min_lens_position: 0.0,
        max_lens_position: 0.0,
        exposure_margin_lines: 0,
    }
}

fn open_session(module: &str) -> OpenSession {
    OpenSession {
        standby: false,
        resume: None,
        module: module.into(),
        camera: "virtual".into(),
        stats_format: "coldshoe-stats-1".into(),
        params_format: "coldshoe-soft".into(),
        slots: 4,
        stats_capacity: 8192,
        params_capacity: 4096,
        isp_capabilities: 31,
        buffers: 0,
    }
}

fn opened() -> SessionOpened {
    SessionOpened {
        token: vec![7; 16],
        standby: false,
        session: 1,
        generation: 1,
        module: Some(ModuleInfo {
            name: "good".into(),
            version: "1".into(),
            license: "MIT".into(),
            path: "/m/good.so".into(),
            profile: "single".into(),
        }),
        confinement: Some(Confinement {
            notes: vec!["a note".into()],
            limits: vec![Limit {
                name: "nofile".into(),
                value: 16,
            }],
            ..Confinement::default()
        }),
        worker_pid: 4711,
        wake: Wake::Sleep.into(),
    }
}

fn fault() -> SessionFault {
    SessionFault {
        session: 1,
        what: "the worker died".into(),
        why: "SIGSEGV".into(),
        remedy: "ask its author".into(),
        ..SessionFault::default()
    }
}

fn error() -> Error {
    Error {
        what: "no session".into(),
        why: "none is free".into(),
        remedy: "close one".into(),
        ..Error::default()
    }
}

fn bodies() -> Vec<Body> {
    let session = 1;
    vec![
        Hello::offer(&[], "seed").into(),
        open_session("good").into(),
        opened().into(),
        Configure {
            session,
            sensor: Some(sensor()),
        }
        .into(),
        Start { session }.into(),
        Stop { session }.into(),
        Close { session }.into(),
        Done { session }.into(),
        fault().into(),
        error().into(),
    ]
}

fn control() {
    for body in bodies() {
        let (name, fds) = (body.kind(), body.fds() as u8);
        let mut bytes = vec![fds];
        bytes.extend(Envelope::new(7, body).encode_to_vec());
        save("control", &format!("client-{name}"), bytes);
    }
    let assignment = Assignment {
        session: 1,
        generation: 1,
        module_name: "open".into(),
        camera: "virtual".into(),
        stats_format: "coldshoe-stats-1".into(),
        params_format: "coldshoe-soft".into(),
        slots: 4,
        stats_capacity: 8192,
        params_capacity: 4096,
        has_tuning: true,
        wake: Wake::Sleep.into(),
        jail: Some(Jail {
            gate: vec![6; 16],
            readable: vec!["/usr/lib".into()],
            namespaces: vec![Namespace::User.into(), Namespace::Mount.into()],
            landlock_abi: 7,
            preload: vec!["libm.so.6".into()],
            limits: vec![Limit {
                name: "nofile".into(),
                value: 16,
            }],
            ..Jail::default()
        }),
        ..Assignment::default()
    };
    let loaded = Loaded {
        name: "open".into(),
        version: "1".into(),
        license: "MIT".into(),
        threads: false,
        blocks: 0,
    };
    let bodies: Vec<worker::Body> = vec![
        assignment.into(),
        loaded.into(),
        Failed::new(Stage::Load, "no module", "it is a text").into(),
        worker::Gated {}.into(),
    ];
    for body in bodies {
        let (name, fds) = (body.kind(), body.fds() as u8);
        let mut bytes = vec![8 | fds];
        bytes.extend(worker::Envelope::new(7, body).encode_to_vec());
        save("control", &format!("worker-{name}"), bytes);
    }
}

/// One datagram of a script.
fn datagram(fds: u8, bytes: &[u8]) -> Vec<u8> {
    let mut script = vec![fds];
    script.extend((bytes.len() as u16).to_le_bytes());
    script.extend(bytes);
    script
}

fn message(serial: u32, fds: u8, body: impl Into<Body>) -> Vec<u8> {
    datagram(fds, &Envelope::new(serial, body).encode_to_vec())
}

fn daemon() {
    let hello = message(1, 0, Hello::offer(&[], "seed"));
    let session = 1;
    let orders = [
        message(2, 1, open_session("good")),
        message(3, 1, open_session("bad")),
        message(4, 1 | 2 << 3, open_session("../bad")),
        message(5, 0, Start { session }),
        message(6, 0, Close { session }),
        message(
            7,
            0,
            Configure {
                session,
                sensor: Some(sensor()),
            },
        ),
        message(8, 0, Done { session }),
    ];
    save(
        "daemon",
        "orders",
        [hello.clone(), orders.concat()].concat(),
    );
    let wrong = [
        message(2, 0, open_session("bad")),
        message(3, 5, Start { session }),
    ];
    save(
        "daemon",
        "wrong-descriptors",
        [hello.clone(), wrong.concat()].concat(),
    );
    save("daemon", "no-hello", &orders[0]);
    save(
        "daemon",
        "two-hellos",
        [hello.clone(), hello.clone()].concat(),
    );
    let later = Hello {
        version: 99,
        ..Hello::offer(&["x"], "seed")
    };
    save("daemon", "later-version", message(1, 0, later));
    save(
        "daemon",
        "garbage",
        [hello, datagram(0, &[0xff; 40])].concat(),
    );
}

fn client() {
    let answer = |messages: &[Vec<u8>]| {
        let mut script = vec![messages.len() as u8];
        script.extend(messages.concat());
        script
    };
    let done = |serial| answer(&[message(serial, 0, Done { session: 1 })]);
    let hello = answer(&[message(1, 0, Hello::offer(&[], "seed"))]);
    let good = [
        hello.clone(),
        answer(&[message(2, 3 | 3 << 5, opened())]),
        done(3),
        done(4),
    ]
    .concat();
    // An answer in the right form, and looks at it.
    let frame = |params: &[u8]| {
        [
            &[2][..],
            &[7; 16],
            &[1, 0],
            &(params.len() as u16).to_le_bytes(),
            params,
            &[4, 3, 4, 2, 0, 5],
        ]
        .concat()
    };
    let params = params();
    save("client", "frames", [good.clone(), frame(&params)].concat());
    for (name, at, value) in [
        ("unknown-block", 8, 40),
        ("other-version", 0, 9),
        ("size", 4, 9),
    ] {
        let mut wrong = params.clone();
        wrong[at] = value;
        save("client", name, [good.clone(), frame(&wrong)].concat());
    }
    let long = [&[2][..], &[7; 16], &[1, 2, 0, 0], &[0xff; 4], &[4]].concat();
    save("client", "long-answer", [good.clone(), long].concat());
    let faulted = [
        hello.clone(),
        answer(&[message(0, 0, fault()), message(2, 3 | 3 << 5, opened())]),
    ];
    save("client", "fault", faulted.concat());
    let wrong = [hello.clone(), answer(&[message(2, 3 | 1 << 3, opened())])];
    save("client", "wrong-segment", wrong.concat());
    let refused = [hello, answer(&[message(0, 0, error())])];
    save("client", "refused", refused.concat());
    save("client", "garbage", answer(&[datagram(0, &[0xff; 40])]));
}

fn replies() {
    let params = params();
    let head = [
        &[2][..],
        &999_u16.to_le_bytes(),
        &1_u32.to_le_bytes(),
        &5_u64.to_le_bytes(),
    ]
    .concat();
    let answer = [
        &[1, 1][..],
        &[0; 128],
        &(params.len() as u16).to_le_bytes(),
        &params,
        &[2],
    ]
    .concat();
    save("replies", "answer", [head.clone(), answer].concat());
    let empty = [&[0x11, 0, 0, 0][..], &[0x12]].concat();
    save("replies", "empty", [head.clone(), empty].concat());
    let lies = [&[1, 6, 0, 0][..], &[0xff; 4], &[9, 0, 0, 0], &[2]].concat();
    save("replies", "lies", [head.clone(), lies].concat());
    let scribble = [&[0][..], &[0, 1], &[16, 0], &[0xa5; 16], &[2]].concat();
    save("replies", "scribble", [head, scribble].concat());
}

/// What a C compiler makes of nothing much.
fn elf() {
    let dir = tempfile::tempdir().expect("a directory");
    let (source, object) = (dir.path().join("m.c"), dir.path().join("m.so"));
    fs::write(&source, "int f(void) { return 1; }").expect("written");
    for (name, flags) in [
        ("stack", &["-s", "-z", "execstack"][..]),
        ("writable-code", &["-s", "-Wl,-N"]),
        ("plain", &["-s"]),
    ] {
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-nostdlib", "-Wl,-z,noseparate-code"])
            .args(["-Wl,--build-id=none", "-fno-asynchronous-unwind-tables"])
            .args(flags)
            .arg("-o")
            .args([&object, &source])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "cc");
        save("elf", name, fs::read(&object).expect("compiled"));
    }
    // The first program header is at 64, its offset in the file 8 bytes in.
    let mut beyond = fs::read(&object).expect("compiled");
    beyond[72..80].fill(0xff);
    save("elf", "segment-that-wraps", beyond);
    save("elf", "script", "#!/bin/sh\n");
}

fn module_table() {
    let table = |verbs: u8, strings: &str| {
        let size = size_of::<coldshoe_ipa::abi::Module>() as u32;
        let mut bytes = size.to_le_bytes().to_vec();
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend([verbs, 0]);
        bytes.extend(strings.replace('|', "\0").bytes());
        bytes
    };
    save("module_table", "good", table(0x3f, "open|1.0|MIT|s|p||"));
    save("module_table", "no-verb", table(0x1f, "open|1.0|MIT|s|p||"));
    save(
        "module_table",
        "other-formats",
        table(0x3f, "a|||x|y|z|p||"),
    );
    let many = "a|||".to_owned() + &"x|y|".repeat(64) + "s|p|";
    save("module_table", "many-formats", table(0x3f, &many));
    save("module_table", "short", &table(0x3f, "open|||s|p||")[..9]);
    let mut short = table(0x3f, "open|||s|p||");
    short[0] = 8;
    save("module_table", "says-it-is-short", short);
}

fn files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read(root.join(path)).expect(path);
    for name in ["default", "flea3", "raw", "virtual"] {
        let path = format!("daemon/jailed/open/tuning/{name}.toml");
        save("tuning", name, read(&path));
    }
    for name in ["single", "threaded"] {
        let path = format!("policy/jail/profiles/{name}.toml");
        save("profile", name, read(&path));
    }
    let digest = "0123456789abcdef".repeat(4);
    let trust = format!(
        "version = 1\n\n[[module]]\npath = \"/m/a.so\"\nsha256 = \"{digest}\"\nstate = \"trusted\"\n\
         origin = \"flag\"\n\n[[module]]\npath = \"/m/b.so\"\nsha256 = \"{digest}\"\n\
         state = \"changed\"\norigin = \"installed\"\nfound = \"{digest}\"\n"
    );
    save("trust_file", "two-modules", trust);
    save("trust_file", "empty", "version = 1\n");
    save("trust_file", "later", "version = 2\nwhat = 1\n");
}

/// What happens to a host and a worker, as the target reads it.
fn happens(what: u8, front: &[u8], bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u16).to_le_bytes();
    [&[what], front, &length, bytes].concat()
}

/// A camera's life in every interface, with a worker that is replaced in the middle of it.
fn libcamera() {
    for schema in Schema::all() {
        let series = ["0.3", "0.4", "0.7"]
            .iter()
            .position(|known| *known == schema.series);
        let ipas = ["ipu3", "mali-c55", "raspberrypi", "rkisp1", "soft", "vimc"];
        let ipa = ipas.iter().position(|known| *known == schema.ipa);
        let mut script = vec![ipa.expect("known") as u8, series.expect("known") as u8];
        let (mut host, mut worker) = (Pen::new(true), Pen::new(false));
        let mut dice = Dice(7);
        let life = ["init", "configure", "start"].map(|name| schema.command(name));
        let others = 2..=schema.calls.len() as u32;
        let others = others.filter(|command| !life.contains(command));
        for command in life.into_iter().chain(others) {
            let call = schema.call(command).expect("there is");
            let event = schema.answering(command);
            let by = event.and_then(|(_, event)| event.answers.as_ref()?.1.as_deref());
            // Long enough for every field that both have.
            let fixed = by.map(|name| {
                (
                    name,
                    if name == "buffers" {
                        &[1; 12][..]
                    } else {
                        &[1; 4]
                    },
                )
            });
            let said = host.parameters(&schema, &call.parameters, fixed, &mut dice);
            script.extend(happens(0, &[command as u8, said.fds as u8], &said.bytes));
            worker.others = host.own().to_vec();
            if let Some((result, fields)) = &call.answer {
                let body = worker.parameters(&schema, fields, None, &mut dice).bytes;
                let result = if *result { &[0; 4][..] } else { &[] };
                script.extend(happens(2, &[], &[result, &body].concat()));
            } else {
                script.push(3);
            }
            if let Some((number, event)) = event {
                let body = worker.parameters(&schema, &event.parameters, fixed, &mut dice);
                script.extend(happens(4, &[number as u8], &body.bytes));
            }
        }
        script.push(7);
        script.extend([6, 0xe8, 3]);
        save(
            "libcamera",
            &format!("{}-{}", schema.ipa, schema.series),
            script,
        );
    }
}
