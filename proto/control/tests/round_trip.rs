//! Whatever is valid comes back as it was; whatever is not is refused.

use coldshoe_control::{DecodeError, Message, client, decode, encode, keeper, worker};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 _.:-]{1,40}"
}

fn label() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{0,60}"
}

fn path() -> impl Strategy<Value = String> {
    "/[^\\p{Cc}]{0,60}"
}

fn what() -> impl Strategy<Value = String> {
    "[^\\p{Cc}]{1,200}"
}

fn slots() -> impl Strategy<Value = u32> {
    (0_u32..=4).prop_map(|n| 1 << n)
}

fn capacity() -> impl Strategy<Value = u32> {
    1..=coldshoe_control::MAX_CAPACITY
}

fn number() -> impl Strategy<Value = u32> {
    1..=u32::MAX
}

fn session() -> impl Strategy<Value = u64> {
    1..=u64::MAX
}

/// Two positive finite numbers, the smaller one first.
fn range() -> impl Strategy<Value = (f64, f64)> {
    let positive = proptest::num::f64::POSITIVE | proptest::num::f64::NORMAL;
    let number = positive.prop_map(f64::abs);
    (number.clone(), number).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn limits() -> impl Strategy<Value = Vec<client::Limit>> {
    let limit = (name(), any::<u64>()).prop_map(|(name, value)| client::Limit { name, value });
    vec(limit, 0..=32)
}

fn sensor() -> impl Strategy<Value = client::Sensor> {
    let shape = (
        name(),
        1..=65_536_u32,
        1..=65_536_u32,
        1..=4_i32,
        6..=24_u32,
    );
    let ranges = (range(), range(), range(), range());
    let rest = (1.0..1e9_f64, 0.0..1.0_f64, 0..=16_u32, 0..=16_u32);
    (shape, ranges, rest).prop_map(|(shape, ranges, rest)| {
        let (model, width, height, bayer_order, bit_depth) = shape;
        let (exposure, gain, frame, (line_length_us, _)) = ranges;
        let (max_digital_gain, black_level, exposure_delay, gain_delay) = rest;
        client::Sensor {
            model,
            width,
            height,
            bayer_order,
            bit_depth,
            line_length_us,
            min_exposure_us: exposure.0,
            max_exposure_us: exposure.1,
            min_analogue_gain: gain.0,
            max_analogue_gain: gain.1,
            max_digital_gain,
            black_level,
            exposure_delay,
            gain_delay,
            min_frame_duration_us: frame.0,
            max_frame_duration_us: frame.1,
            min_lens_position: black_level,
            max_lens_position: black_level + f64::from(exposure_delay),
            exposure_margin_lines: gain_delay,
        }
    })
}

fn module() -> impl Strategy<Value = client::ModuleInfo> {
    (name(), label(), label(), path(), label()).prop_map(
        |(name, version, license, path, profile)| client::ModuleInfo {
            name,
            version,
            license,
            path,
            profile,
        },
    )
}

fn confinement() -> impl Strategy<Value = client::Confinement> {
    let numbers = any::<(bool, u32, u32, u32)>();
    let lines = || vec(label(), 0..=8);
    let lists = (lines(), limits(), lines(), lines(), lines(), lines());
    let rest = (any::<u64>(), lines(), lines(), label());
    (numbers, lists, rest).prop_map(
        |(numbers, (open_files, limits, notes, namespaces, landlock_rights, seals), rest)| {
            client::Confinement {
                no_new_privs: numbers.0,
                seccomp_mode: numbers.1,
                seccomp_filters: numbers.2,
                landlock_abi: numbers.3,
                open_files,
                limits,
                notes,
                namespaces,
                landlock_rights,
                seals,
                capabilities: rest.0,
                cgroup: rest.1,
                degraded: rest.2,
                speculation: rest.3,
            }
        },
    )
}

fn wake() -> impl Strategy<Value = client::Wake> {
    proptest::sample::select(vec![client::Wake::Sleep, client::Wake::Predictive])
}

fn token() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), client::TOKEN)
}

fn resume() -> impl Strategy<Value = client::Resume> {
    let sensor = proptest::option::of(sensor());
    let controls = proptest::option::of(controls());
    (token(), number(), sensor, any::<bool>(), controls).prop_map(
        |(token, generation, sensor, started, controls)| client::Resume {
            token,
            generation,
            started: started && sensor.is_some(),
            sensor,
            controls,
        },
    )
}

fn listing() -> impl Strategy<Value = client::Body> {
    let listed = (
        (session(), number(), any::<(u32, bool, u32)>()),
        (name(), label(), name(), 1..=6_i32),
    );
    let listed = listed.prop_map(|(numbers, names)| client::SessionInfo {
        session: numbers.0,
        module: names.0,
        stand_in: names.1,
        camera: names.2,
        state: names.3,
        generation: numbers.1,
        worker_pid: numbers.2.0,
        standby: numbers.2.1,
        faults: numbers.2.2,
        owner: numbers.1,
        restarts: numbers.2.2,
        statistics: numbers.2.1.then(|| client::Statistics {
            fresh: numbers.0,
            latency_max_us: numbers.0,
            af_state: numbers.1,
            refusals: vec![
                client::RefusedBlocks {
                    r#type: numbers.1,
                    reason: numbers.2.0,
                    count: numbers.2.2,
                };
                (numbers.1 % 33) as usize
            ],
            ..client::Statistics::default()
        }),
    });
    let numbers = (session(), any::<(u64, u64, u32, u64, u64)>());
    let texts = (name(), name(), any::<i32>(), what(), label());
    let fault = (numbers, texts).prop_map(|((number, n), texts)| client::FaultRecord {
        number,
        time: n.0,
        session: n.1,
        camera: texts.0,
        module: texts.1,
        generation: n.2,
        reason: texts.2,
        frame: n.3,
        what: texts.3,
        why: texts.4,
        recovery_us: n.4,
    });
    let quarantined = (name(), any::<u64>(), label())
        .prop_map(|(module, since, why)| client::Quarantined { module, since, why });
    let most = 0..=client::MAX_LISTED;
    (
        vec(listed, most.clone()),
        vec(fault, most.clone()),
        vec(quarantined, most),
    )
        .prop_map(|(sessions, faults, quarantined)| {
            client::Listing {
                sessions,
                faults,
                quarantined,
            }
            .into()
        })
}

fn client_body() -> impl Strategy<Value = client::Body> {
    let hello = (number(), vec("[a-z0-9-]{1,64}", 0..=32), label()).prop_map(
        |(version, features, software)| {
            client::Hello {
                version,
                features,
                software,
            }
            .into()
        },
    );
    let open_session = (
        (name(), name(), name(), name()),
        (slots(), capacity(), capacity(), any::<u64>(), 0..=16_u32),
        (any::<bool>(), proptest::option::of(resume())),
    )
        .prop_map(|(names, sizes, (standby, resume))| {
            client::OpenSession {
                module: names.0,
                camera: names.1,
                stats_format: names.2,
                params_format: names.3,
                slots: sizes.0,
                stats_capacity: sizes.1,
                params_capacity: sizes.2,
                isp_capabilities: sizes.3,
                buffers: sizes.4,
                standby,
                resume: resume.map(Box::new),
            }
            .into()
        });
    let session_opened = (
        session(),
        number(),
        module(),
        confinement(),
        number(),
        (wake(), token(), any::<bool>()),
    )
        .prop_map(
            |(session, generation, module, confinement, worker_pid, (wake, token, standby))| {
                client::SessionOpened {
                    session,
                    generation,
                    module: Some(module),
                    confinement: Some(confinement),
                    worker_pid,
                    wake: wake.into(),
                    token,
                    standby,
                }
                .into()
            },
        );
    let configure = (session(), sensor()).prop_map(|(session, sensor)| {
        client::Configure {
            session,
            sensor: Some(sensor),
        }
        .into()
    });
    let replaced = (
        (session(), number(), number(), any::<u64>()),
        (module(), confinement(), wake()),
    )
        .prop_map(|(numbers, (module, confinement, wake))| {
            client::WorkerReplaced {
                session: numbers.0,
                generation: numbers.1,
                worker_pid: numbers.2,
                module: Some(module),
                confinement: Some(confinement),
                wake: wake.into(),
                recovery_us: numbers.3,
            }
            .into()
        });
    let report = (session(), number(), 1..=3_i32, any::<i32>(), any::<u64>()).prop_map(
        |(session, generation, course, reason, frame)| {
            client::Report {
                session,
                generation,
                course,
                reason,
                frame,
            }
            .into()
        },
    );
    let list =
        (1..=3_i32, any::<u64>()).prop_map(|(topic, after)| client::List { topic, after }.into());
    let lines = || (what(), label(), label());
    let of = || (label(), any::<(u64, u32, bool)>());
    let fault = (session(), any::<i32>(), lines(), of()).prop_map(
        |(session, reason, (what, why, remedy), (module, of))| {
            client::SessionFault {
                session,
                reason,
                what,
                why,
                remedy,
                frame: of.0,
                module,
                generation: of.1,
                quarantined: of.2,
            }
            .into()
        },
    );
    let error = (any::<i32>(), lines()).prop_map(|(code, (what, why, remedy))| {
        client::Error {
            code,
            what,
            why,
            remedy,
        }
        .into()
    });
    prop_oneof![
        hello,
        open_session,
        session_opened,
        configure,
        session().prop_map(|session| client::Start { session }.into()),
        session().prop_map(|session| client::Stop { session }.into()),
        session().prop_map(|session| client::Close { session }.into()),
        any::<u64>().prop_map(|session| client::Done { session }.into()),
        replaced,
        fault,
        error,
        report,
        list,
        listing(),
        name().prop_map(|module| client::Release { module }.into()),
        steer(),
        (name(), path()).prop_map(|(ipa, module)| client::OpenLibcamera { ipa, module }.into()),
        (session(), label())
            .prop_map(|(session, sensor)| client::Initialised { session, sensor }.into()),
        replace_worker(),
        (session(), any::<u64>(), label(), any::<bool>()).prop_map(
            |(session, messages, why, shallow)| {
                client::Withheld {
                    session,
                    messages,
                    why,
                    shallow,
                }
                .into()
            }
        ),
    ]
}

/// Some of the controls, each within its range.
fn controls() -> impl Strategy<Value = client::Controls> {
    let many = coldshoe_control::CONTROLS.len();
    let values = vec(proptest::option::of(0.0..=1.0_f64), many);
    values.prop_map(|values| {
        let mut controls = client::Controls::default();
        for (control, share) in coldshoe_control::CONTROLS.iter().zip(values) {
            if let Some(share) = share {
                let value = control.least + share * (control.most - control.least);
                controls.set(control.name, [value.clamp(control.least, control.most); 2]);
            }
        }
        controls
    })
}

fn replace_worker() -> impl Strategy<Value = client::Body> {
    let reason = proptest::sample::select(vec![
        client::FaultReason::Unspecified,
        client::FaultReason::Deadline,
        client::FaultReason::Protocol,
    ]);
    (session(), reason, label()).prop_map(|(session, reason, why)| {
        client::ReplaceWorker {
            session,
            reason: reason.into(),
            why,
        }
        .into()
    })
}

fn steer() -> impl Strategy<Value = client::Body> {
    (session(), controls(), any::<(bool, bool, bool)>()).prop_map(|(session, controls, hold)| {
        client::Steer {
            session,
            controls: Some(controls),
            hold_ae: hold.0,
            hold_awb: hold.1,
            hold_af: hold.2,
        }
        .into()
    })
}

fn worker_body() -> impl Strategy<Value = worker::Body> {
    let filter = (1..=400_usize, any::<u8>()).prop_map(|(n, byte)| vec![byte; 8 * n]);
    let jail = (
        filter,
        (vec(path(), 0..=8), vec("[a-z0-9._+-]{1,40}", 0..=16)),
        limits(),
        (vec(1..=6_i32, 0..=8), number(), any::<bool>()),
    )
        .prop_map(|(gate, (readable, preload), limits, rest)| worker::Jail {
            gate,
            readable,
            limits,
            namespaces: rest.0,
            landlock_abi: rest.1,
            mdwe: rest.2,
            preload,
        });
    let assignment = (
        (session(), number(), name(), any::<u64>(), any::<bool>()),
        (name(), name(), name()),
        (slots(), capacity(), capacity()),
        jail,
        (0..=16_u32, wake(), any::<u32>()),
    )
        .prop_map(|(ids, names, sizes, jail, rest)| {
            worker::Assignment {
                session: ids.0,
                generation: ids.1,
                module_name: ids.2,
                camera: names.0,
                stats_format: names.1,
                params_format: names.2,
                slots: sizes.0,
                stats_capacity: sizes.1,
                params_capacity: sizes.2,
                isp_capabilities: ids.3,
                jail: Some(jail),
                has_tuning: ids.4,
                buffers: rest.0,
                wake: rest.1.into(),
                save_every: rest.2,
            }
            .into()
        });
    let loaded = (name(), label(), label(), any::<(bool, u64)>()).prop_map(
        |(name, version, license, rest)| {
            worker::Loaded {
                name,
                version,
                license,
                threads: rest.0,
                blocks: rest.1,
            }
            .into()
        },
    );
    let failed = (any::<i32>(), what(), label())
        .prop_map(|(stage, what, why)| worker::Failed { stage, what, why }.into());
    prop_oneof![
        assignment,
        Just(worker::Divided {}.into()),
        Just(worker::Entered {}.into()),
        Just(worker::Proceed {}.into()),
        Just(worker::Gated {}.into()),
        sensor().prop_map(|sensor| worker::Configure {
            sensor: Some(sensor)
        }
        .into()),
        proptest::option::of(vec(any::<u8>(), 0..=32 << 10))
            .prop_map(|state| worker::Start { state }.into()),
        Just(worker::Save {}.into()),
        Just(worker::Stop {}.into()),
        loaded,
        failed,
        label().prop_map(|not_restored| worker::Done { not_restored }.into()),
    ]
}

fn keeper_body() -> impl Strategy<Value = keeper::Body> {
    let pid = || 1..=i32::MAX;
    let spawn = (path(), any::<(u64, u64, Option<u32>, Option<u32>)>()).prop_map(
        |(program, (stack, core, uid, gid))| {
            keeper::Body::Spawn(keeper::Spawn {
                program,
                stack,
                core,
                uid,
                gid,
            })
        },
    );
    let ended = (pid(), any::<(Option<i32>, Option<i32>, bool, u64)>()).prop_map(
        |(pid, (code, signal, core, peak))| {
            keeper::Body::Ended(keeper::Ended {
                pid,
                code,
                signal,
                core,
                peak,
            })
        },
    );
    prop_oneof![
        spawn,
        vec(pid(), 0..=1024).prop_map(|pids| keeper::Body::Retain(keeper::Retain { pids })),
        Just(keeper::Body::Ping(keeper::Ping {})),
        pid().prop_map(|pid| keeper::Body::Started(keeper::Started { pid })),
        label().prop_map(|why| keeper::Body::NotStarted(keeper::NotStarted { why })),
        pid().prop_map(|pid| keeper::Body::Here(keeper::Here { pid })),
        ended,
    ]
}

fn keeper_envelope() -> impl Strategy<Value = keeper::Envelope> {
    (any::<u32>(), keeper_body()).prop_map(|(serial, body)| keeper::Envelope::new(serial, body))
}

fn client_envelope() -> impl Strategy<Value = client::Envelope> {
    (any::<u32>(), client_body()).prop_map(|(serial, body)| client::Envelope::new(serial, body))
}

fn worker_envelope() -> impl Strategy<Value = worker::Envelope> {
    (any::<u32>(), worker_body()).prop_map(|(serial, body)| worker::Envelope::new(serial, body))
}

fn comes_back<M: Message + PartialEq>(envelope: &M) {
    let datagram = encode(envelope).expect("a valid envelope");
    let fds = envelope.declared_fds() as usize;
    assert_eq!(decode(&datagram, fds, false).as_ref(), Ok(envelope));
}

fn is_refused_with_other_fds<M: Message + PartialEq>(envelope: &M, received: usize) {
    let datagram = encode(envelope).expect("a valid envelope");
    let serial = envelope.serial();
    let refusal = decode::<M>(&datagram, received, false).expect_err("a wrong number");
    assert!(matches!(refusal, DecodeError::Fds { .. }), "{refusal}");
    assert_eq!(refusal.serial(), serial);
}

/// What a peer's bytes decode to is as good as what this side would send.
fn is_refused_or_valid<M: Message + PartialEq>(bytes: &[u8], fds: usize) {
    if let Ok(envelope) = decode::<M>(bytes, fds, false) {
        comes_back(&envelope);
    }
}

proptest! {
    #[test]
    fn every_client_message_comes_back(envelope in client_envelope()) {
        comes_back(&envelope);
    }

    #[test]
    fn every_worker_message_comes_back(envelope in worker_envelope()) {
        comes_back(&envelope);
    }

    #[test]
    fn every_keeper_message_comes_back(envelope in keeper_envelope()) {
        comes_back(&envelope);
    }

    #[test]
    fn a_client_message_with_another_number_of_fds_is_refused(
        envelope in client_envelope(),
        off in 1..8_usize,
    ) {
        is_refused_with_other_fds(&envelope, (envelope.fds as usize + off) % 8);
    }

    #[test]
    fn a_worker_message_with_another_number_of_fds_is_refused(
        envelope in worker_envelope(),
        off in 1..8_usize,
    ) {
        is_refused_with_other_fds(&envelope, (envelope.fds as usize + off) % 8);
    }

    #[test]
    fn a_declaration_that_the_kind_does_not_ask_for_is_refused(
        mut envelope in client_envelope(),
        off in 1..8_u32,
    ) {
        let required = envelope.fds;
        envelope.fds = (required + off) % 8;
        prop_assert!(encode(&envelope).is_err());
        let datagram = envelope.encode_to_vec();
        for received in [required, envelope.fds] {
            let refusal = decode::<client::Envelope>(&datagram, received as usize, false);
            let is_fds = matches!(refusal, Err(DecodeError::Fds { .. }));
            prop_assert!(is_fds);
        }
    }

    #[test]
    fn part_of_a_message_is_refused(envelope in client_envelope(), cut in any::<prop::sample::Index>()) {
        let datagram = encode(&envelope).expect("a valid envelope");
        let part = &datagram[..cut.index(datagram.len())];
        let fds = envelope.fds as usize;
        prop_assert!(decode::<client::Envelope>(part, fds, false).is_err());
    }

    #[test]
    fn a_message_with_changed_bytes_is_refused_or_valid(
        client in client_envelope(),
        worker in worker_envelope(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = client.encode_to_vec();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        is_refused_or_valid::<client::Envelope>(&bytes, client.fds as usize);

        let mut bytes = worker.encode_to_vec();
        bytes.push(0);
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        is_refused_or_valid::<worker::Envelope>(&bytes, worker.fds as usize);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), fds in 0..6_usize) {
        is_refused_or_valid::<client::Envelope>(&bytes, fds);
        is_refused_or_valid::<worker::Envelope>(&bytes, fds);
        is_refused_or_valid::<keeper::Envelope>(&bytes, fds);
    }
}
