use super::*;

fn size() -> Dimensions {
    Dimensions::new(200, 100).unwrap()
}

fn flat(value: f32) -> Mosaic {
    Mosaic::from_fn(size(), Cfa::Rggb, |_, _, _| value)
}

fn sensor(config: SensorConfig) -> VirtualSensor {
    VirtualSensor::new(config, size(), Cfa::Rggb)
}

/// No delays.
fn prompt(config: SensorConfig) -> SensorConfig {
    SensorConfig {
        delays: Delays {
            exposure: 0,
            analogue_gain: 0,
            digital_gain: 0,
        },
        ..config
    }
}

fn ask(exposure_us: f64, analogue_gain: f64, digital_gain: f64) -> SensorRequest {
    SensorRequest {
        exposure_us: Some(exposure_us),
        analogue_gain: Some(analogue_gain),
        digital_gain: Some(digital_gain),
    }
}

/// Mean and variance above black, DN.
fn moments(frame: &RawFrame) -> (f64, f64) {
    let n = frame.data().len() as f64;
    let values = frame.data().iter();
    let values: Vec<_> = values
        .map(|dn| f64::from(*dn) - f64::from(frame.black()))
        .collect();
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance)
}

#[test]
fn signal_is_proportional_to_light_exposure_and_gain() {
    let config = prompt(SensorConfig {
        bits: 14,
        ..SensorConfig::default()
    })
    .noiseless();
    let mut sensor = sensor(config);
    for (light, us, gain, digital) in [
        (0.02, 5000.0, 1.0, 1.0),
        (0.04, 5000.0, 1.0, 1.0),
        (0.02, 20_000.0, 1.0, 1.0),
        (0.02, 5000.0, 4.0, 1.0),
        (0.02, 5000.0, 2.0, 2.5),
    ] {
        sensor.queue(&ask(us, gain, digital));
        let frame = sensor.capture(&flat(light));
        let range = f64::from(frame.raw.white() - frame.raw.black());
        let want = f64::from(light) * frame.applied.total_us() / 1000.0 * range;
        assert!(
            (moments(&frame.raw).0 - want).abs() <= 1.5,
            "{:?}",
            frame.applied
        );
    }
}

#[test]
fn noise_has_the_mean_and_variance_of_theory() {
    for (light, gain) in [
        (0.0, 1.0),
        (0.0002, 1.0),
        (0.0006, 4.0),
        (0.01, 1.0),
        (0.02, 2.0),
    ] {
        let config = prompt(SensorConfig {
            bits: 12,
            ..SensorConfig::default()
        });
        let (well, read) = (config.full_well, config.read_noise);
        let mut sensor = sensor(config);
        sensor.queue(&ask(10_000.0, gain, 1.0));
        let frame = sensor.capture(&flat(light));
        let dn_per_e =
            frame.applied.analogue_gain * f64::from(frame.raw.white() - frame.raw.black()) / well;
        let electrons = f64::from(light) * frame.applied.exposure_us / 1000.0 * well;
        let want_mean = electrons * dn_per_e;
        // Rounding to whole DN adds 1/12.
        let want_variance = (electrons + read * read) * dn_per_e.powi(2) + 1.0 / 12.0;
        let (mean, variance) = moments(&frame.raw);
        let n = frame.raw.data().len() as f64;
        let standard_error = (want_variance / n).sqrt();
        assert!(
            (mean - want_mean).abs() < 5.0 * standard_error + 0.02,
            "{light} {gain}: {mean}"
        );
        let spread = (2.0 / n).sqrt();
        assert!(
            (variance / want_variance - 1.0).abs() < 6.0 * spread,
            "{light} {gain}: {variance} against {want_variance}"
        );
    }
}

#[test]
fn few_electrons_are_counted_as_poisson_does() {
    let config = SensorConfig {
        read_noise: 0.0,
        ..SensorConfig::default()
    };
    let mut noise = Noise::new(&config, 0);
    let counts: Vec<_> = (0..100_000).map(|_| noise.collect(2.0)).collect();
    for (count, want) in [
        (0.0, 0.1353),
        (1.0, 0.2707),
        (2.0, 0.2707),
        (3.0, 0.1804),
        (6.0, 0.0120),
    ] {
        let share = counts.iter().filter(|c| **c == count).count() as f64 / 1e5;
        assert!(
            (share - want).abs() < 0.006,
            "{count}: {share} against {want}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_frames_and_another_gives_others() {
    let film = |seed| {
        let mut sensor = sensor(SensorConfig {
            seed,
            ..SensorConfig::default()
        });
        [sensor.capture(&flat(0.01)), sensor.capture(&flat(0.01))]
    };
    assert_eq!(film(1), film(1));
    assert_ne!(film(1)[0].raw, film(2)[0].raw);
    assert_ne!(film(1)[0].raw, film(1)[1].raw);
}

#[test]
fn black_and_white_are_the_ends() {
    let mut sensor = sensor(SensorConfig::default().noiseless());
    let dark = sensor.capture(&flat(0.0)).raw;
    assert!(dark.data().iter().all(|dn| *dn == 64));
    let bright = sensor.capture(&flat(100.0)).raw;
    assert!(bright.data().iter().all(|dn| *dn == 1023));
}

#[test]
fn digital_gain_clips_at_white_again() {
    let mut sensor = sensor(prompt(SensorConfig::default().noiseless()));
    sensor.queue(&ask(10_000.0, 1.0, 4.0));
    let frame = sensor.capture(&flat(0.05)).raw;
    assert!(frame.data().iter().all(|dn| *dn == frame.white()));
}

#[test]
fn each_control_has_its_own_delay() {
    let delays = Delays {
        exposure: 3,
        analogue_gain: 1,
        digital_gain: 0,
    };
    let mut sensor = sensor(SensorConfig {
        delays,
        ..SensorConfig::default()
    });
    sensor.queue(&ask(20_000.0, 2.0, 1.5));
    let applied: Vec<_> = (0..5)
        .map(|_| sensor.capture(&flat(0.01)).applied)
        .collect();
    let changed = |of: fn(&Applied) -> f64, to: f64| {
        applied
            .iter()
            .position(|a| (of(a) - to).abs() < 20.0 * to / 1000.0)
    };
    assert_eq!(changed(|a| a.exposure_us, 20_000.0), Some(3));
    assert_eq!(changed(|a| a.analogue_gain, 2.0), Some(1));
    assert_eq!(changed(|a| a.digital_gain, 1.5), Some(0));
}

#[test]
fn requests_are_clamped_to_the_limits() {
    let mut sensor = sensor(prompt(SensorConfig::default()));
    let limits = sensor.limits();
    sensor.queue(&ask(f64::INFINITY, 1e9, 1e9));
    let most = sensor.capture(&flat(0.0)).applied;
    assert_eq!(most.exposure_us, limits.max_exposure_us);
    assert_eq!(most.analogue_gain, limits.max_analogue_gain);
    assert_eq!(most.digital_gain, limits.max_digital_gain);
    sensor.queue(&ask(-1.0, 0.0, f64::NEG_INFINITY));
    let least = sensor.capture(&flat(0.0)).applied;
    assert_eq!(least.exposure_us, limits.min_exposure_us);
    assert_eq!(least.analogue_gain, limits.min_analogue_gain);
    assert_eq!(least.digital_gain, limits.min_digital_gain);
}

#[test]
fn nan_asks_for_nothing() {
    let mut sensor = sensor(prompt(SensorConfig::default()));
    sensor.queue(&ask(5000.0, 3.0, 1.25));
    let before = sensor.capture(&flat(0.0)).applied;
    sensor.queue(&ask(f64::NAN, f64::NAN, f64::NAN));
    assert_eq!(sensor.capture(&flat(0.0)).applied, before);
}

#[test]
fn what_is_applied_comes_in_lines_codes_and_steps_nearest_to_the_request() {
    let mut sensor = sensor(prompt(SensorConfig::default()));
    for gain in [1.0, 1.003, 1.7, 4.9, 7.77, 10.5] {
        sensor.queue(&ask(1234.5, gain, 1.111));
        let applied = sensor.capture(&flat(0.0)).applied;
        assert!((applied.exposure_us - 65.0 * 18.904).abs() < 1e-9);
        assert!((applied.digital_gain - 284.0 / 256.0).abs() < 1e-12);
        let nearest = (0..=232_u16)
            .map(gain_of)
            .min_by(|a, b| (a - gain).abs().total_cmp(&(b - gain).abs()))
            .unwrap();
        assert_eq!(applied.analogue_gain, nearest, "asked for {gain}");
    }
}

#[test]
fn a_configuration_out_of_reach_is_brought_into_it() {
    let config = SensorConfig {
        bits: 40,
        black: f64::NAN,
        line_us: -1.0,
        lines: (0, 0),
        max_gain_code: 999,
        max_digital_gain: f64::NAN,
        frame_us: f64::NAN,
        delays: Delays {
            exposure: 99,
            analogue_gain: 99,
            digital_gain: 99,
        },
        full_well: 0.0,
        read_noise: f64::NAN,
        shot_noise: true,
        seed: 0,
    };
    let mut sensor = sensor(config);
    let limits = sensor.limits();
    assert_eq!((limits.bits, limits.delays.longest()), (16, 4));
    assert!(limits.max_analogue_gain.is_finite() && limits.min_exposure_us > 0.0);
    assert_eq!(sensor.capture(&flat(0.01)).raw.bits(), 16);
}

#[test]
fn in_a_light_that_beats_rows_differ_unless_exposure_is_whole_beats() {
    let config = prompt(SensorConfig {
        line_us: 100.0,
        lines: (1, 300),
        bits: 14,
        ..SensorConfig::default()
    });
    let mut sensor = sensor(config.noiseless());
    let lamp = crate::Light::default().beating(100.0, 0.5).flicker();
    let mut rows = |exposure_us| {
        sensor.queue(&ask(exposure_us, 1.0, 1.0));
        let frame = sensor.capture_in(&flat(0.02), lamp);
        let data = frame.raw.data().chunks_exact(200);
        data.map(|row| f64::from(row[0] - frame.raw.black()))
            .collect::<Vec<_>>()
    };
    // A beat is 100 rows: the brightest is half of one from the darkest.
    let short = rows(5_000.0);
    let extreme = |better: fn(f64, f64) -> bool| {
        (0..short.len()).fold(0, |best, y| {
            if better(short[y], short[best]) {
                y
            } else {
                best
            }
        })
    };
    let (bright, dark) = (extreme(|a, b| a > b), extreme(|a, b| a < b));
    assert!(
        (bright.abs_diff(dark) as f64 - 50.0).abs() <= 1.0,
        "{bright} {dark}"
    );
    let swing = short[bright] / short[dark];
    let want = (1.0 + std::f64::consts::FRAC_1_PI) / (1.0 - std::f64::consts::FRAC_1_PI);
    assert!((swing / want - 1.0).abs() < 0.01, "{swing} {want}");
    let whole = rows(10_000.0);
    assert!(whole.iter().all(|row| *row == whole[0]));
}

proptest::proptest! {
    #[test]
    fn whatever_is_asked_what_is_applied_is_within_the_limits(us: f64, gain: f64, digital: f64) {
        let mut sensor = VirtualSensor::new(
            prompt(SensorConfig::default()),
            Dimensions::new(2, 2).unwrap(),
            Cfa::Rggb,
        );
        sensor.queue(&ask(us, gain, digital));
        let radiance = Mosaic::from_fn(Dimensions::new(2, 2).unwrap(), Cfa::Rggb, |_, _, _| 0.1);
        let (limits, applied) = (sensor.limits(), sensor.capture(&radiance).applied);
        let within = |value, min, max| (min..=max).contains(&value);
        proptest::prop_assert!(within(applied.exposure_us, limits.min_exposure_us, limits.max_exposure_us));
        proptest::prop_assert!(within(applied.analogue_gain, 1.0, limits.max_analogue_gain));
        proptest::prop_assert!(within(applied.digital_gain, 1.0, limits.max_digital_gain));
    }
}
