//! What is asked of sensor and lens, and what is granted.
#![forbid(unsafe_code)]

use coldshoe_contract::{
    Actuator, Actuators, Clamp, Contract, Dioptres, Gain, GainCode, GainModel, Granted, Judged,
    Limits, LimitsError, Lines, Microseconds, Rates, Sensor, Unfit, Wanted,
};
use proptest::prelude::*;

const RATES: Rates = Rates {
    exposure_factor: 2.0,
    analogue_gain_factor: 4.0,
    digital_gain_factor: 4.0,
    frame_duration_factor: 2.0,
    lens_dioptres: 1.0,
};

fn us(value: f64) -> Microseconds {
    Microseconds::new(value).expect("a time")
}

fn gain(value: f64) -> Gain {
    Gain::new(value).expect("a gain")
}

fn dioptres(value: f64) -> Dioptres {
    Dioptres::new(value).expect("a lens position")
}

fn sensor() -> Sensor {
    Sensor {
        line: us(20.0),
        exposure: (us(100.0), us(200_000.0)),
        margin: Lines(10),
        frame_duration: (us(8_000.0), us(100_000.0)),
        analogue_gain: (gain(1.0), gain(16.0)),
        digital_gain: (gain(1.0), gain(4.0)),
        lens: Some((dioptres(0.0), dioptres(10.0))),
        exposure_delay: 2,
        frame_duration_delay: 2,
    }
}

/// Exposed for 10 ms of 20, at gains of 2, focused at half a metre.
fn start() -> Wanted {
    Wanted {
        exposure_us: Some(10_000.0),
        analogue_gain: Some(2.0),
        digital_gain: Some(2.0),
        lens_position: Some(2.0),
        frame_duration_us: Some(20_000.0),
    }
}

fn actuators(sensor: Sensor) -> Actuators {
    Actuators::new(Limits::new(sensor).expect("a sensor"), RATES, start())
}

fn exposure(exposure_us: f64) -> Wanted {
    Wanted {
        exposure_us: Some(exposure_us),
        ..Wanted::default()
    }
}

#[test]
fn what_is_within_all_limits_is_granted_as_it_is() {
    let mut actuators = actuators(sensor());
    let wanted = Wanted {
        exposure_us: Some(12_000.0),
        analogue_gain: Some(3.0),
        digital_gain: Some(1.5),
        lens_position: Some(2.5),
        frame_duration_us: Some(16_666.0),
    };
    let granted = actuators.grant(0, &wanted);
    assert_eq!(granted.judged, [Judged::Granted; 5]);
    assert_eq!(granted.exposure, us(12_000.0));
    assert_eq!(granted.lens, Some(dioptres(2.5)));
    assert!(!granted.is_violation());
}

#[test]
fn what_nobody_asks_for_stays() {
    let mut actuators = actuators(sensor());
    let granted = actuators.grant(0, &Wanted::default());
    assert_eq!(granted.judged, [Judged::Kept; 5]);
    assert_eq!(
        (granted.exposure, granted.digital_gain),
        (us(10_000.0), gain(2.0))
    );
}

#[test]
fn what_is_no_quantity_is_refused_and_what_was_granted_last_stays() {
    for (value, unfit) in [
        (f64::NAN, Unfit::Nan),
        (f64::INFINITY, Unfit::Infinite),
        (-1.0, Unfit::Negative),
        (1e-310, Unfit::Denormal),
    ] {
        let mut actuators = actuators(sensor());
        let all = Wanted {
            exposure_us: Some(value),
            analogue_gain: Some(value),
            digital_gain: Some(value),
            lens_position: Some(value),
            frame_duration_us: Some(value),
        };
        let granted = actuators.grant(0, &all);
        assert_eq!(granted.judged, [Judged::Refused(unfit); 5]);
        assert!(granted.is_violation());
        let kept = (granted.exposure, granted.lens, granted.frame_duration);
        assert_eq!(kept, (us(10_000.0), Some(dioptres(2.0)), us(20_000.0)));
        assert_eq!(actuators.requests(Actuator::Lens).refused, 1);
    }
}

#[test]
fn what_the_sensor_cannot_do_is_clamped_and_no_violation() {
    let mut actuators = actuators(sensor());
    actuators.grant(
        0,
        &Wanted {
            digital_gain: Some(3.5),
            ..Wanted::default()
        },
    );
    let granted = actuators.grant(
        1,
        &Wanted {
            digital_gain: Some(5.0),
            ..Wanted::default()
        },
    );
    assert_eq!(granted.digital_gain, gain(4.0));
    let judged = granted.of(Actuator::DigitalGain);
    assert_eq!(judged, Judged::Clamped(Clamp::Sensor));
    assert!(!granted.is_violation());
    assert_eq!(actuators.requests(Actuator::DigitalGain).sensor, 1);
}

#[test]
fn an_exposure_that_jumps_each_frame_changes_only_as_fast_as_the_contract_lets_it() {
    let mut actuators = actuators(sensor());
    let mut last = 10_000.0;
    for frame in 0..50 {
        let wanted = if frame % 2 == 0 { 100.0 } else { 19_000.0 };
        let granted = actuators.grant(frame, &exposure(wanted));
        let now = granted.exposure.get();
        assert!((last / 2.0..=last * 2.0).contains(&now), "{last} to {now}");
        last = now;
    }
    assert!(actuators.requests(Actuator::Exposure).rate > 40);
}

#[test]
fn a_lens_that_is_hammered_moves_a_step_a_frame() {
    let mut actuators = actuators(sensor());
    let mut last = 2.0;
    for frame in 0..50 {
        let lens_position = Some(if frame % 2 == 0 { 10.0 } else { 0.0 });
        let wanted = Wanted {
            lens_position,
            ..Wanted::default()
        };
        let granted = actuators.grant(frame, &wanted);
        let now = granted.lens.expect("a lens").get();
        assert!((now - last).abs() <= 1.0, "{last} to {now}");
        assert!(granted.is_violation());
        last = now;
    }
}

#[test]
fn a_request_is_held_against_what_is_on_its_way_and_not_against_what_is_in_force() {
    let mut actuators = actuators(sensor());
    // In force at frame 2: until then the sensor still exposes for 10 ms.
    assert_eq!(actuators.grant(0, &exposure(5_000.0)).exposure, us(5_000.0));
    let granted = actuators.grant(1, &exposure(19_000.0));
    assert_eq!(granted.exposure, us(10_000.0));
    assert_eq!(granted.of(Actuator::Exposure), Judged::Clamped(Clamp::Rate));
}

#[test]
fn exposure_yields_to_the_frame_duration_that_is_wanted() {
    let mut actuators = actuators(sensor());
    let wanted = Wanted {
        exposure_us: Some(15_000.0),
        frame_duration_us: Some(12_000.0),
        ..Wanted::default()
    };
    let granted = actuators.grant(0, &wanted);
    assert_eq!(granted.frame_duration, us(12_000.0));
    // Ten lines of 20 µs less.
    assert_eq!(granted.exposure, us(11_800.0));
    assert_eq!(
        granted.of(Actuator::Exposure),
        Judged::Clamped(Clamp::Frame)
    );
}

#[test]
fn a_longer_exposure_does_not_come_before_the_longer_frame() {
    let mut actuators = actuators(Sensor {
        exposure_delay: 1,
        frame_duration_delay: 2,
        ..sensor()
    });
    let wanted = Wanted {
        exposure_us: Some(20_000.0),
        frame_duration_us: Some(40_000.0),
        ..Wanted::default()
    };
    let first = actuators.grant(0, &wanted);
    // At frame 1 a frame still takes 20 ms.
    assert_eq!(
        (first.exposure, first.frame_duration),
        (us(19_800.0), us(40_000.0))
    );
    let second = actuators.grant(1, &wanted);
    assert_eq!(second.exposure, us(20_000.0));
}

#[test]
fn a_shorter_frame_does_not_come_before_the_shorter_exposure() {
    let mut actuators = actuators(Sensor {
        exposure_delay: 2,
        frame_duration_delay: 1,
        ..sensor()
    });
    let wanted = Wanted {
        exposure_us: Some(6_000.0),
        frame_duration_us: Some(10_000.0),
        ..Wanted::default()
    };
    let first = actuators.grant(0, &wanted);
    // At frame 1 the exposure is still 10 ms.
    assert_eq!(
        (first.exposure, first.frame_duration),
        (us(6_000.0), us(10_200.0))
    );
    let second = actuators.grant(1, &wanted);
    assert_eq!(second.frame_duration, us(10_000.0));
}

#[test]
fn a_lens_that_is_not_there_is_not_granted() {
    let mut actuators = actuators(Sensor {
        lens: None,
        ..sensor()
    });
    let wanted = Wanted {
        lens_position: Some(1.0),
        ..Wanted::default()
    };
    let granted = actuators.grant(0, &wanted);
    assert_eq!(
        (granted.lens, granted.of(Actuator::Lens)),
        (None, Judged::Absent)
    );
    assert_eq!(actuators.requests(Actuator::Lens).absent, 1);
}

#[test]
fn a_state_that_cannot_be_is_taken_for_the_nearest_that_can() {
    let state = Wanted {
        exposure_us: Some(1e9),
        analogue_gain: Some(f64::NAN),
        digital_gain: Some(-3.0),
        lens_position: Some(f64::INFINITY),
        frame_duration_us: None,
    };
    let limits = Limits::new(sensor()).expect("a sensor");
    let granted = Actuators::new(limits, RATES, state).grant(0, &Wanted::default());
    assert_eq!(granted.exposure, us(99_800.0));
    assert_eq!(
        (granted.analogue_gain, granted.digital_gain),
        (gain(1.0), gain(1.0))
    );
    assert_eq!(
        (granted.lens, granted.frame_duration),
        (Some(dioptres(10.0)), us(100_000.0))
    );
}

#[test]
fn a_sensor_that_cannot_be_is_refused_by_what_is_wrong() {
    let zero = us(0.0);
    for (sensor, error) in [
        (
            Sensor {
                line: zero,
                ..sensor()
            },
            LimitsError::NoLine,
        ),
        (
            Sensor {
                exposure: (zero, us(1.0)),
                ..sensor()
            },
            LimitsError::Empty("exposure"),
        ),
        (
            Sensor {
                frame_duration: (us(2.0), us(1.0)),
                ..sensor()
            },
            LimitsError::Empty("frame duration"),
        ),
        (
            Sensor {
                analogue_gain: (gain(2.0), gain(1.0)),
                ..sensor()
            },
            LimitsError::Empty("analogue gain"),
        ),
        (
            Sensor {
                digital_gain: (gain(0.0), gain(1.0)),
                ..sensor()
            },
            LimitsError::Empty("digital gain"),
        ),
        (
            Sensor {
                lens: Some((dioptres(2.0), dioptres(1.0))),
                ..sensor()
            },
            LimitsError::Empty("lens"),
        ),
        (
            Sensor {
                exposure_delay: 9,
                ..sensor()
            },
            LimitsError::Delay(9),
        ),
        (
            Sensor {
                margin: Lines(5_000),
                ..sensor()
            },
            LimitsError::NoFit,
        ),
    ] {
        assert_eq!(Limits::new(sensor), Err(error));
    }
}

#[test]
fn lines_times_and_blanking_follow_from_the_length_of_a_line() {
    let limits = Limits::new(Sensor {
        line: us(18.9),
        ..sensor()
    })
    .expect("a sensor");
    for lines in [0, 1, 7, 1_763, 1_000_000] {
        assert_eq!(limits.lines(limits.time(Lines(lines))), Lines(lines));
    }
    assert_eq!(limits.lines(us(18.8)), Lines(0));
    assert_eq!(limits.lines(us(f64::MAX)), Lines(u32::MAX));
    assert_eq!(limits.vblank(us(18_900.0), Lines(720)), Lines(280));
    assert_eq!(limits.vblank(us(18_900.0), Lines(2_000)), Lines(0));
}

#[test]
fn codes_and_gains_follow_from_the_model() {
    // imx219: 256 / (256 − code).
    let inverse = GainModel::Linear {
        m0: 0.0,
        c0: 256.0,
        m1: -1.0,
        c1: 256.0,
    };
    let sixteenths = GainModel::Linear {
        m0: 1.0,
        c0: 0.0,
        m1: 0.0,
        c1: 16.0,
    };
    let decibels = GainModel::Decibels { step: 0.3 };
    for (model, code, value) in [
        (inverse, 128, 2.0),
        (inverse, 232, 256.0 / 24.0),
        (sixteenths, 40, 2.5),
        (decibels, 0, 1.0),
        (decibels, 100, 10_f64.powf(1.5)),
    ] {
        let found = model.gain(GainCode(code)).expect("a gain");
        assert!((found.get() - value).abs() < 1e-9, "{found}");
        assert_eq!(model.code(found), Some(GainCode(code)));
    }
    assert_eq!(inverse.gain(GainCode(256)), None);
    assert_eq!(inverse.gain(GainCode(300)), None);
    assert_eq!(decibels.code(gain(0.0)), None);
    assert_eq!(decibels.code(gain(0.5)), None);
}

#[test]
fn the_rates_of_every_contract_let_a_sensor_settle_within_ten_frames() {
    for (name, _) in Contract::BUILTIN {
        let rates = Contract::builtin(name).expect(name).rates();
        let limits = Limits::new(sensor()).expect("a sensor");
        let mut actuators = Actuators::new(limits, rates, start());
        let all = Wanted {
            exposure_us: Some(99_000.0),
            analogue_gain: Some(16.0),
            digital_gain: Some(1.0),
            lens_position: Some(10.0),
            frame_duration_us: Some(100_000.0),
        };
        let granted = (0..10).map(|frame| actuators.grant(frame, &all)).last();
        assert_eq!(
            granted.map(|granted| granted.judged),
            Some([Judged::Granted; 5]),
            "{name}"
        );
    }
}

fn number() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        2 => Just(None),
        1 => any::<f64>().prop_map(Some),
        3 => (0.0_f64..1.5).prop_map(Some),
        4 => (0.0_f64..16.0).prop_map(|octave| Some(octave.exp2())),
        4 => (6.0_f64..18.0).prop_map(|octave| Some(octave.exp2())),
    ]
}

fn wanted() -> impl Strategy<Value = Wanted> {
    (number(), number(), number(), number(), number()).prop_map(
        |(exposure_us, analogue_gain, digital_gain, lens_position, frame_duration_us)| Wanted {
            exposure_us,
            analogue_gain,
            digital_gain,
            lens_position,
            frame_duration_us,
        },
    )
}

/// What is in force at a frame, told from all that was granted.
fn in_force(granted: &[(u64, Granted)], delay: u32, frame: u64) -> Option<Granted> {
    let arrived = |(asked, _): &&(u64, Granted)| asked + u64::from(delay) <= frame;
    granted
        .iter()
        .rev()
        .find(arrived)
        .map(|(_, granted)| *granted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_asked_the_sensors_limits_the_rates_and_the_frame_are_kept(
        requests in prop::collection::vec((1_u64..3, wanted()), 1..60),
        state in wanted(),
        exposure_delay in 0_u32..=8,
        frame_duration_delay in 0_u32..=8,
        lens in any::<bool>(),
    ) {
        let sensor = Sensor {
            exposure_delay,
            frame_duration_delay,
            lens: sensor().lens.filter(|_| lens),
            ..sensor()
        };
        let limits = Limits::new(sensor).expect("a sensor");
        // One that is not known is held against no rate at first.
        let state = Wanted {
            frame_duration_us: state.frame_duration_us.or(Some(20_000.0)),
            ..state
        };
        let mut actuators = Actuators::new(limits, RATES, state);
        let mut frame = 0;
        let mut granted = vec![(0, actuators.grant(0, &Wanted::default()))];
        // That is in force from the beginning.
        let begin = granted[0].1;
        let near = 1.0 + 1e-9;
        for (step, wanted) in requests {
            frame += step;
            let now = actuators.grant(frame, &wanted);
            let last = granted.last().expect("one").1;
            let times = (now.exposure.get(), now.frame_duration.get());
            prop_assert!((100.0..=200_000.0).contains(&times.0));
            prop_assert!((8_000.0..=100_000.0).contains(&times.1));
            prop_assert!((1.0..=16.0).contains(&now.analogue_gain.get()));
            prop_assert!((1.0..=4.0).contains(&now.digital_gain.get()));
            prop_assert!(now.lens.is_none_or(|lens| (0.0..=10.0).contains(&lens.get())));
            prop_assert_eq!(now.lens.is_some(), lens);
            for (now, last, factor) in [
                (times.0, last.exposure.get(), 2.0),
                (times.1, last.frame_duration.get(), 2.0),
                (now.analogue_gain.get(), last.analogue_gain.get(), 4.0),
                (now.digital_gain.get(), last.digital_gain.get(), 4.0),
            ] {
                prop_assert!(now <= last * factor * near && now * near >= last / factor);
            }
            granted.push((frame, now));
        }
        for frame in 0..frame + 20 {
            let exposure = in_force(&granted, exposure_delay, frame).unwrap_or(begin).exposure;
            let whole = in_force(&granted, frame_duration_delay, frame).unwrap_or(begin);
            let needs = exposure.get() + 10.0 * 20.0;
            prop_assert!(needs <= whole.frame_duration.get() * near, "frame {}", frame);
        }
    }
}
