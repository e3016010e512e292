use proptest::prelude::*;

use super::*;
use crate::flicker::{Fit, LAG, Mains, ROWS, Seen};
use crate::tone::Followed;

const AF: AfState = AfState {
    phase: Phase::Coarse { turned: true },
    target: Some(4.5),
    step: -0.8,
    origin: 1.0,
    best: 0.3,
    best_at: 2.0,
    before: 0.1,
    behind: 0.2,
    last: 0.25,
    least: 0.05,
    since: 3,
    waited: 2,
    lasted: 1,
    changed: true,
};

const SEEN: Seen = Seen {
    timestamp_ns: 123_456_789,
    exposure_us: 8_000.0,
    rows: [2e-5; ROWS],
};

const STATE: State = State {
    last_frame: Some(1234),
    requests: Requests {
        exposure: ExposureRequest {
            auto: true,
            ev: -1.5,
            exposure_us: None,
            gain: Some(2.0),
            metering: Some(Metering::Spot),
        },
        white: WhiteRequest {
            auto: false,
            mode: LightMode::Cloudy,
            manual: ManualWhite::Gains(1.8, 1.4),
        },
        focus: FocusRequest {
            mode: FocusMode::Continuous,
            position: Some(2.5),
            paused: true,
            pause_after: true,
        },
        trigger: Some(1),
        brightness: -0.25,
        contrast: 1.25,
        saturation: 0.5,
        sharpness: 1.5,
    },
    agc: AgcState {
        filtered: Some(12_345.6),
        held: Some(Exposure {
            exposure_us: 10_000.0,
            analogue_gain: 1.125,
            digital_gain: 1.0625,
        }),
        frames: 77,
        response: Response {
            seen: (10_000.0, 0.6),
            slope: 0.5,
        },
        calm: Some(12_000.0),
    },
    af: AF,
    awb: AwbState {
        white: WhitePoint {
            red: 0.6,
            blue: 0.5,
        },
        pace: Pace::Steady { far: 2 },
    },
    black: BlackState {
        start: 0.0625,
        level: 0.05,
    },
    ccm: Some(5100.0),
    flicker: FlickerState {
        found: Some(Mains::Hz60),
        seen: (Some(Mains::Hz50), 3),
        missing: 7,
        past: {
            let mut past = [None; LAG];
            past[0] = Some(SEEN);
            past
        },
        fits: [Fit {
            phase: 0.25,
            step: -0.125,
            sums: [1.0, -0.5, 2.0, 0.25, -0.75],
            energy: 12.5,
        }; 2],
    },
    stretch: Some(StretchState {
        dark: Followed {
            level: 0.02,
            moving: true,
        },
        bright: Followed {
            level: 0.6,
            moving: false,
        },
    }),
};

fn positive() -> impl Strategy<Value = f64> {
    prop_oneof![Just(f64::MIN_POSITIVE), Just(f64::MAX), 1e-6..1e9_f64]
}

fn requests() -> impl Strategy<Value = Requests> {
    let optional = || prop::option::of(positive());
    let exposure = (any::<bool>(), -1e3..1e3_f64, optional(), optional());
    let manual = prop_oneof![
        Just(ManualWhite::Hold),
        (positive(), positive()).prop_map(|(red, blue)| ManualWhite::Gains(red, blue)),
        positive().prop_map(ManualWhite::Temperature),
    ];
    let modes = (0..4_usize, 0..7_u32, 0..3_usize, prop::option::of(0..2_u32));
    let focus = (
        prop::option::of(0.0..100.0_f64),
        any::<bool>(),
        any::<bool>(),
    );
    let tone = (-1.0..=1.0_f64, 0.0..9.0_f64, 0.0..9.0_f64, 0.0..9.0_f64);
    (exposure, any::<bool>(), manual, modes, focus, tone).prop_map(
        |(
            (auto, ev, exposure_us, gain),
            auto_white,
            manual,
            (metering, light, mode, trigger),
            (position, paused, pause_after),
            (brightness, contrast, saturation, sharpness),
        )| Requests {
            exposure: ExposureRequest {
                auto,
                ev,
                exposure_us,
                gain,
                metering: [
                    None,
                    Some(Metering::Matrix),
                    Some(Metering::Centre),
                    Some(Metering::Spot),
                ][metering],
            },
            white: WhiteRequest {
                auto: auto_white,
                mode: LightMode::of(light).unwrap(),
                manual,
            },
            focus: FocusRequest {
                mode: [FocusMode::Manual, FocusMode::Auto, FocusMode::Continuous][mode],
                position,
                paused,
                pause_after,
            },
            trigger,
            brightness,
            contrast,
            saturation,
            sharpness,
        },
    )
}

fn agc() -> impl Strategy<Value = AgcState> {
    let held = (positive(), positive(), positive()).prop_map(
        |(exposure_us, analogue_gain, digital_gain)| Exposure {
            exposure_us,
            analogue_gain,
            digital_gain,
        },
    );
    let optional = (prop::option::of(positive()), prop::option::of(held));
    (optional, prop::option::of(positive()), any::<u32>()).prop_map(
        |((filtered, held), calm, frames)| AgcState {
            calm,
            filtered,
            held,
            frames,
            response: STATE.agc.response,
        },
    )
}

fn awb() -> impl Strategy<Value = AwbState> {
    let pace = prop_oneof![
        (0..=10_u32).prop_map(|frames| Pace::Start { frames }),
        (0..3_u32).prop_map(|far| Pace::Steady { far }),
        Just(Pace::Chase),
    ];
    (0.01..=100.0_f64, 0.01..=100.0_f64, pace).prop_map(|(red, blue, pace)| AwbState {
        white: WhitePoint { red, blue },
        pace,
    })
}

fn af() -> impl Strategy<Value = AfState> {
    let phase = prop_oneof![
        Just(Phase::Idle),
        any::<bool>().prop_map(|turned| Phase::Coarse { turned }),
        Just(Phase::Fine),
        Just(Phase::Arriving),
        Just(Phase::Focused),
        Just(Phase::Failed),
    ];
    let target = prop::option::of(0.0..100.0_f64);
    (phase, target, any::<[u32; 3]>(), any::<bool>()).prop_map(|(phase, target, n, changed)| {
        AfState {
            phase,
            target,
            since: n[0],
            waited: n[1],
            lasted: n[2],
            changed,
            ..AF
        }
    })
}

fn flicker() -> impl Strategy<Value = FlickerState> {
    let mains = || prop::option::of(prop::sample::select(Mains::ALL.to_vec()));
    let seen = (any::<u64>(), 0.0..=1e9_f64, any::<[u8; ROWS]>()).prop_map(
        |(timestamp_ns, exposure_us, rows)| Seen {
            timestamp_ns,
            exposure_us,
            rows: rows.map(f32::from),
        },
    );
    let past = prop::collection::vec(prop::option::of(seen), LAG);
    let fit = || {
        let sums = (any::<[i32; 5]>(), 0.0..1e9_f64);
        (0.0..=1.0_f64, -0.5..=0.5_f64, sums).prop_map(|(phase, step, (sums, energy))| Fit {
            phase,
            step,
            sums: sums.map(f64::from),
            energy,
        })
    };
    let last = (mains(), mains(), any::<u32>(), any::<u32>());
    (last, past, fit(), fit()).prop_map(|((found, last, frames, missing), past, a, b)| {
        FlickerState {
            found,
            seen: (last, frames),
            missing,
            past: past.try_into().unwrap(),
            fits: [a, b],
        }
    })
}

fn stretch() -> impl Strategy<Value = Option<StretchState>> {
    let followed =
        || (1e-3..=1.0_f64, any::<bool>()).prop_map(|(level, moving)| Followed { level, moving });
    prop::option::of(
        (followed(), followed()).prop_map(|(dark, bright)| StretchState { dark, bright }),
    )
}

fn states() -> impl Strategy<Value = State> {
    let black =
        (0.0..=0.5_f64, 0.0..=0.5_f64).prop_map(|(start, level)| BlackState { start, level });
    let frame = prop::option::of(any::<u64>());
    let ccm = prop::option::of(positive());
    let light = (flicker(), stretch());
    (frame, requests(), agc(), af(), awb(), black, ccm, light).prop_map(
        |(last_frame, requests, agc, af, awb, black, ccm, (flicker, stretch))| State {
            last_frame,
            requests,
            agc,
            af,
            awb,
            black,
            ccm,
            flicker,
            stretch,
        },
    )
}

#[test]
fn another_length_magic_version_or_size_is_refused() {
    let bytes = STATE.encode();
    for len in [0, 8, 40, SIZE - 1] {
        assert_eq!(State::decode(&bytes[..len]), Err(StateError::Format));
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(State::decode(&longer), Err(StateError::Format));
    for at in [0, 4, 8] {
        let mut bytes = bytes;
        bytes[at] ^= 1;
        assert_eq!(State::decode(&bytes), Err(StateError::Format));
    }
}

#[test]
fn values_out_of_range_are_refused() {
    type Break = fn(&mut State);
    let odd: [Break; 21] = [
        |s| s.requests.exposure.ev = f64::INFINITY,
        |s| s.requests.exposure.gain = Some(-1.0),
        |s| s.requests.white.manual = ManualWhite::Gains(1.0, 0.0),
        |s| s.requests.contrast = -0.1,
        |s| s.agc.filtered = Some(f64::NAN),
        |s| s.agc.response.slope = f64::NAN,
        |s| s.requests.brightness = 1.5,
        |s| s.requests.sharpness = -1.0,
        |s| s.af.step = f64::NAN,
        |s| s.af.target = Some(f64::INFINITY),
        |s| {
            s.agc.held = s.agc.held.map(|held| Exposure {
                digital_gain: 0.0,
                ..held
            })
        },
        |s| s.awb.white.red = -1.0,
        |s| s.awb.white.blue = 1e9,
        |s| s.awb.pace = Pace::Steady { far: u32::MAX },
        |s| s.black.level = 0.6,
        |s| s.ccm = Some(f64::INFINITY),
        |s| s.flicker.fits[0].energy = f64::NAN,
        |s| s.flicker.fits[1].phase = 1.5,
        |s| s.flicker.past[0].as_mut().unwrap().exposure_us = -0.5,
        |s| s.agc.calm = Some(-1.0),
        |s| s.stretch.as_mut().unwrap().dark.level = 1.5,
    ];
    for (i, break_it) in odd.into_iter().enumerate() {
        let mut state = STATE;
        break_it(&mut state);
        assert_eq!(
            State::decode(&state.encode()),
            Err(StateError::Value),
            "{i}"
        );
    }
    assert_eq!(State::decode(&STATE.encode()), Ok(STATE));
}

#[test]
fn flags_that_are_none_and_a_frame_that_is_not_there_are_refused() {
    let mut bytes = STATE.encode();
    bytes[13] |= 1;
    assert_eq!(State::decode(&bytes), Err(StateError::Value));
    let mut bytes = STATE.encode();
    bytes[12] &= !4;
    assert_eq!(State::decode(&bytes), Err(StateError::Value));
}

proptest! {
    #[test]
    fn what_was_saved_comes_back(state in states()) {
        prop_assert_eq!(State::decode(&state.encode()), Ok(state));
    }

    #[test]
    fn no_bytes_are_taken_that_would_not_be_written(
        state in states(),
        changes in prop::collection::vec((12..SIZE, any::<u8>()), 0..6),
    ) {
        let mut bytes = state.encode();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(state) = State::decode(&bytes) {
            prop_assert_eq!(state.encode(), bytes);
        }
    }

    #[test]
    fn a_state_torn_between_two_is_taken_as_it_is_or_refused(
        first in states(),
        second in states(),
        at in 0..SIZE,
    ) {
        let mut bytes = first.encode();
        bytes[at..].copy_from_slice(&second.encode()[at..]);
        if let Ok(state) = State::decode(&bytes) {
            prop_assert_eq!(state.encode(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_behind_the_head_do_no_harm(rest in prop::collection::vec(any::<u8>(), SIZE - 12)) {
        let mut bytes = STATE.encode();
        bytes[12..].copy_from_slice(&rest);
        if let Ok(state) = State::decode(&bytes) {
            prop_assert_eq!(state.encode(), bytes);
        }
    }
}
