//! The same algorithms in closed loops with other ISPs: a virtual sensor, a simulator of the ISP
//! that makes its statistics and obeys its blocks, and the contract as the judge of every buffer.

mod common;
mod hardware;

use coldshoe_camera::{Camera, Cfa, Dimensions, Light, Mosaic, Scene, SensorConfig, SensorRequest};
use coldshoe_camera::{angle, scene};
use coldshoe_contract::{Contract, Report, Verdict};
use coldshoe_ipa::{Answer, Applied, Controls, FrameIn, Ipa, IpaError};
use coldshoe_ipa_open::Open;
use coldshoe_ipa_open::targets::Kind;
use coldshoe_isp::{Blocks, mali_c55, rkisp1};
use common::{delays, sensor};
use hardware::mali_c55::MaliC55;
use hardware::rkisp1::Rkisp1;
use hardware::{Isp, Pipeline, find};
use proptest::prelude::*;

const NOTHING: Applied = Applied {
    exposure_us: 0.0,
    analogue_gain: 1.0,
    digital_gain: 1.0,
    black_level: 0.0,
    lens_position: f64::NAN,
};

const TUNING: &str = include_str!("../tuning/virtual.toml");

/// The built-in ColorChecker, diluted with light of the lamp's colour: grey on average.
struct Greyish(Box<dyn Scene>);

impl Scene for Greyish {
    fn name(&self) -> &str {
        "greyish"
    }

    fn size(&self) -> Dimensions {
        self.0.size()
    }

    fn cfa(&self) -> Cfa {
        self.0.cfa()
    }

    fn radiance(&self, light: &Light) -> Mosaic {
        let sharp = self.0.radiance(light);
        let neutral = self.0.neutral(light).unwrap();
        let level = 1.5 * sharp.mean() / ((neutral[0] + 2.0 * neutral[1] + neutral[2]) / 4.0);
        let mut values = sharp.data().iter();
        Mosaic::from_fn(sharp.size(), sharp.cfa(), |_, _, channel| {
            values.next().unwrap() + (level * neutral[channel.rgb()]) as f32
        })
    }

    fn neutral(&self, light: &Light) -> Option<[f64; 3]> {
        self.0.neutral(light)
    }
}

struct Rig {
    camera: Camera,
    isp: Box<dyn Isp>,
    module: Open,
    contract: Contract,
    pipeline: Pipeline,
    /// Frames that parameters take.
    latency: usize,
    params: Vec<u8>,
    frame: u64,
    controls: Controls,
}

struct Step {
    answer: Answer,
    exposure_ratio: f64,
    white_error: f64,
}

impl Rig {
    fn new(kind: Kind, tuning: &str, isp: Box<dyn Isp>, light: Light, latency: usize) -> Self {
        let scene = Box::new(Greyish(scene::open(None).unwrap()));
        let config = SensorConfig {
            delays: delays(2),
            ..SensorConfig::default()
        };
        let camera = Camera::with_sensor(scene, light, config);
        let contract = Contract::builtin(match kind {
            Kind::Rkisp1 => "rkisp1",
            Kind::MaliC55 => "mali-c55",
            Kind::Soft => "coldshoe-soft",
        });
        let contract = contract.unwrap();
        let mut module =
            Open::of_kind(kind, Some(tuning.as_bytes()), contract.all_blocks()).unwrap();
        module.configure(&sensor(&camera)).unwrap();
        module.start().unwrap();
        let mut rig = Self {
            camera,
            isp,
            module,
            contract,
            pipeline: Pipeline::default(),
            latency,
            params: vec![0; 16 << 10],
            frame: 0,
            controls: Controls::default(),
        };
        // Before the first frame.
        rig.process(None).unwrap();
        rig
    }

    fn rkisp1(revision: u32, light: Light, latency: usize) -> Self {
        let tuning = format!("{TUNING}\n[rkisp1]\nrevision = {revision}\n");
        let isp = Box::new(Rkisp1::of_revision(revision));
        Self::new(Kind::Rkisp1, &tuning, isp, light, latency)
    }

    fn mali_c55(light: Light, latency: usize) -> Self {
        Self::new(
            Kind::MaliC55,
            TUNING,
            Box::new(MaliC55::new()),
            light,
            latency,
        )
    }

    /// Both ISPs, the first in both of its layouts.
    fn all(light: Light, latency: usize) -> [(&'static str, Self); 3] {
        [
            ("rkisp1 revision 10", Self::rkisp1(10, light, latency)),
            ("rkisp1 revision 12", Self::rkisp1(12, light, latency)),
            ("mali-c55", Self::mali_c55(light, latency)),
        ]
    }

    /// Asks the module and has the contract judge the answer: every byte of it must pass.
    fn process(&mut self, stats: Option<(&[u8], Applied)>) -> Result<Answer, IpaError> {
        self.frame += 1;
        let input = FrameIn {
            frame: self.frame,
            sensor_timestamp_ns: 0,
            deadline_ns: u64::MAX,
            applied: stats.map_or(NOTHING, |(_, applied)| applied),
            controls: self.controls,
            stats: stats.map(|(bytes, _)| bytes),
        };
        let answer = self.module.process(&input, &mut self.params)?;
        let params = &self.params[..answer.params_size];
        let mut report = Report::new();
        let verdict = self
            .contract
            .validate(params, self.contract.all_blocks(), &mut report);
        assert_eq!(
            verdict,
            Verdict::Accepted,
            "frame {}: {:?}",
            self.frame,
            report.refusals()
        );
        assert_eq!(report.accepted_size(), params.len());
        self.pipeline.send(params, self.latency, self.isp.as_mut());
        Ok(answer)
    }

    fn step(&mut self) -> Step {
        let captured = self.camera.next_frame();
        let stats = self.isp.measure(&captured.raw, self.frame as u32);
        let applied = Applied {
            exposure_us: captured.applied.exposure_us,
            analogue_gain: captured.applied.analogue_gain,
            digital_gain: captured.applied.digital_gain,
            black_level: self.camera.limits().black,
            lens_position: f64::NAN,
        };
        let answer = self.process(Some((&stats, applied))).unwrap();
        if answer.wanted.set != 0 {
            self.camera.request(&SensorRequest {
                exposure_us: Some(answer.wanted.exposure_us),
                analogue_gain: Some(answer.wanted.analogue_gain),
                digital_gain: Some(answer.wanted.digital_gain),
            });
        }
        let white = [
            1.0 / answer.metadata.colour_gain_red,
            1.0,
            1.0 / answer.metadata.colour_gain_blue,
        ];
        Step {
            exposure_ratio: captured.applied.total_us() / self.camera.target_exposure_us(0.0),
            white_error: angle::recovery(white, self.camera.neutral().unwrap()),
            answer,
        }
    }

    fn run(&mut self, frames: usize) -> Vec<Step> {
        (0..frames).map(|_| self.step()).collect()
    }
}

#[test]
fn exposure_and_white_balance_converge_whatever_the_pipelines_depth() {
    for (latency, kelvin, ev) in [(0, 2856.0, 0.0), (2, 5000.0, 2.0), (4, 6500.0, -3.0)] {
        for (name, mut rig) in Rig::all(Light::new(kelvin, ev), latency) {
            let steps = rig.run(60);
            let wrong = |step: &Step| (step.exposure_ratio - 1.0).abs() > 0.05;
            let settled = steps.iter().rposition(wrong).map_or(0, |last| last + 1);
            assert!(
                settled <= 30,
                "{name} {kelvin} K {ev} EV: exposure in {settled} frames"
            );
            let last = &steps[59];
            assert!(
                last.white_error <= 2.0,
                "{name} {kelvin} K {ev} EV: {}",
                last.white_error
            );
        }
    }
}

impl Rig {
    /// A frame whose statistics are these bytes; the sensor goes on, and follows if it is asked.
    fn step_with(&mut self, bytes: &[u8]) -> Result<Answer, IpaError> {
        let captured = self.camera.next_frame();
        let applied = Applied {
            exposure_us: captured.applied.exposure_us,
            analogue_gain: captured.applied.analogue_gain,
            digital_gain: captured.applied.digital_gain,
            ..NOTHING
        };
        let answer = self.process(Some((bytes, applied)))?;
        assert_sane(&self.camera, &answer);
        Ok(answer)
    }

    fn stats_size(&self) -> usize {
        match self.contract.format() {
            "rkisp1" => rkisp1::Stats::SIZE,
            _ => mali_c55::Stats::SIZE,
        }
    }
}

/// What is asked of the sensor is within its limits, and what is said is a number.
fn assert_sane(camera: &Camera, answer: &Answer) {
    let (wanted, limits) = (answer.wanted, camera.limits());
    if wanted.set != 0 {
        assert!((limits.min_exposure_us..=limits.max_exposure_us).contains(&wanted.exposure_us));
        let gains = limits.min_analogue_gain..=limits.max_analogue_gain;
        assert!(gains.contains(&wanted.analogue_gain));
        assert!((1.0..=limits.max_digital_gain).contains(&wanted.digital_gain));
    }
    let said = answer.metadata;
    for value in [
        said.luminance,
        said.colour_temperature,
        said.colour_gain_red,
        said.colour_gain_blue,
    ] {
        assert!(value.is_finite() && value >= 0.0, "{said:?}");
    }
}

#[test]
fn dark_and_glaring_light_and_statistics_that_are_none_are_lived_through() {
    for (name, mut rig) in Rig::all(Light::new(5000.0, 0.0), 2) {
        let size = rig.stats_size();
        let (nothing, everything) = (vec![0; size], vec![0xff; size]);
        for ev in [-10.0, 10.0, -3.0, 0.0] {
            rig.camera.set_light(Light::new(5000.0, ev));
            for frame in 0..50 {
                match frame % 10 {
                    3 => assert!(rig.step_with(&nothing[1..]).is_err(), "{name}: cut short"),
                    5 if frame < 30 => assert!(rig.step_with(&nothing).is_ok()),
                    7 if frame < 30 => assert!(rig.step_with(&everything).is_ok()),
                    _ => {
                        let answer = rig.step().answer;
                        assert_sane(&rig.camera, &answer);
                    }
                }
            }
        }
        let last = rig.run(50).pop().unwrap();
        assert!(
            (last.exposure_ratio - 1.0).abs() <= 0.05,
            "{name}: {}",
            last.exposure_ratio
        );
        assert!(last.white_error <= 2.0, "{name}: {}", last.white_error);
    }
}

#[test]
fn once_converged_a_static_scene_moves_nothing_much() {
    for (name, mut rig) in Rig::all(Light::new(4000.0, 0.0), 3) {
        rig.run(60);
        let steps = rig.run(40);
        let spread = |value: fn(&Step) -> f64| {
            let values = steps.iter().map(value);
            let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), v| {
                (v.min(low), v.max(high))
            });
            high - low
        };
        assert!(spread(|step| step.exposure_ratio) <= 0.02, "{name}");
        assert!(spread(|step| step.white_error) <= 0.2, "{name}");
    }
}

#[test]
fn another_light_is_reached_without_swinging_whatever_the_pipelines_depth() {
    for latency in [1, 5] {
        for (name, mut rig) in Rig::all(Light::new(2856.0, 0.0), latency) {
            rig.run(40);
            rig.camera.set_light(Light::new(6500.0, 0.0));
            let steps = rig.run(100);
            let last = steps[99].white_error;
            assert!(last <= 2.0, "{name}: {last}");
            let arrived = steps
                .iter()
                .position(|step| step.white_error <= 2.5)
                .unwrap();
            let after = steps[arrived..]
                .iter()
                .map(|step| step.white_error)
                .fold(0.0, f64::max);
            assert!(after <= 3.0, "{name}: {after} after frame {arrived}");
        }
    }
}

#[test]
fn before_anything_was_measured_nothing_is_asked_of_the_sensor() {
    for (name, mut rig) in Rig::all(Light::default(), 0) {
        let answer = rig.step_with(&vec![0; rig.stats_size()]).unwrap();
        assert_eq!(answer.wanted.set, 0, "{name}");
    }
}

#[test]
fn contrast_and_saturation_are_asked_of_the_block_that_has_them_or_of_curve_and_matrix() {
    let controls = Controls {
        set: Controls::CONTRAST | Controls::SATURATION,
        contrast: 1.25,
        saturation: 0.5,
        ..Controls::default()
    };
    let answer = |capabilities: u64, controls| {
        let mut rig = Rig::rkisp1(10, Light::default(), 0);
        rig.module = Open::of_kind(Kind::Rkisp1, Some(TUNING.as_bytes()), capabilities).unwrap();
        rig.module.configure(&sensor(&rig.camera)).unwrap();
        rig.module.start().unwrap();
        rig.controls = controls;
        let answer = rig.process(None).unwrap();
        let blocks = Blocks::parse(&rig.params[..answer.params_size]).unwrap();
        let (ctk, goc) = (find::<rkisp1::Ctk>(&blocks), find::<rkisp1::Goc>(&blocks));
        (find::<rkisp1::Cproc>(&blocks), ctk.unwrap(), goc.unwrap())
    };
    let (cproc, ctk, goc) = answer(u64::MAX, controls);
    let (_, neutral_ctk, neutral_goc) = answer(u64::MAX, Controls::default());
    assert_eq!(
        cproc.map(|cproc| (cproc.contrast, cproc.saturation)),
        Some((160, 64))
    );
    assert_eq!((ctk, goc), (neutral_ctk, neutral_goc));
    let (cproc, ctk, goc) = answer(!(1 << 10), controls);
    assert_eq!(cproc, None);
    assert!(ctk != neutral_ctk && goc != neutral_goc);
}

#[test]
fn denoising_is_sent_by_gain_where_the_tuning_has_it() {
    let strength = |tuning: &str, gain: f64| {
        let mut rig = Rig::rkisp1(10, Light::default(), 0);
        rig.module = Open::of_kind(Kind::Rkisp1, Some(tuning.as_bytes()), u64::MAX).unwrap();
        rig.module.configure(&sensor(&rig.camera)).unwrap();
        rig.module.start().unwrap();
        let captured = rig.camera.next_frame();
        let stats = rig.isp.measure(&captured.raw, 0);
        let applied = Applied {
            exposure_us: 1000.0,
            analogue_gain: gain,
            ..NOTHING
        };
        let answer = rig.process(Some((&stats, applied))).unwrap();
        let blocks = Blocks::parse(&rig.params[..answer.params_size]).unwrap();
        let flt = find::<rkisp1::Flt>(&blocks).unwrap();
        assert_eq!(
            find::<rkisp1::Dpf>(&blocks).is_some(),
            tuning.contains("denoise")
        );
        (
            flt.thresh_sh0,
            find::<rkisp1::DpfStrength>(&blocks).map(|dpf| dpf.rgb),
        )
    };
    let levels = ["100"; 17].join(", ");
    let tuned = format!(
        "{TUNING}\n[rkisp1.denoise]\ngreen = [16, 16, 16, 8, 8, 8]\nred_blue = [16, 16, 16, 8, 8, 8]\n\
         noise_levels = [{levels}]\nstrength = [[1, 16], [8, 64]]\n"
    );
    assert_eq!(strength(&tuned, 1.0), (26, Some([16; 3])));
    let (threshold, dpf) = strength(&tuned, 8.0);
    assert!(threshold > 50, "{threshold}");
    assert_eq!(dpf, Some([64; 3]));
    assert_eq!(strength(TUNING, 1.0), (26, None));
}

#[test]
fn sharpness_reaches_the_isp_that_sharpens_and_changes_nothing_of_the_others() {
    let params = |rig: &mut Rig, sharpness| {
        rig.controls = Controls {
            set: Controls::SHARPNESS,
            sharpness,
            ..Controls::default()
        };
        let answer = rig.process(None).unwrap();
        rig.params[..answer.params_size].to_vec()
    };
    let factors = |params: &[u8]| {
        let flt = find::<rkisp1::Flt>(&Blocks::parse(params).unwrap()).unwrap();
        [
            flt.fac_bl1,
            flt.fac_bl0,
            flt.fac_mid,
            flt.fac_sh0,
            flt.fac_sh1,
        ]
    };
    for (name, mut rig) in Rig::all(Light::default(), 0) {
        let asked = [0.0, 1.0, 2.0, 16.0].map(|sharpness| params(&mut rig, sharpness));
        if name.starts_with("rkisp1") {
            let want = [
                [2, 6, 6, 6, 6],
                [2, 6, 10, 12, 16],
                [2, 6, 20, 24, 32],
                [2, 6, 63, 63, 63],
            ];
            assert_eq!(asked.map(|params| factors(&params)), want, "{name}");
        } else {
            assert!(asked.iter().all(|params| *params == asked[0]), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_of_the_right_size_lead_to_a_buffer_that_the_contract_accepts_in_full(
        bytes in prop::collection::vec(any::<u8>(), mali_c55::Stats::SIZE),
        exposure in prop_oneof![Just(f64::NAN), Just(0.0), 1e-9..1e12_f64],
        gain in prop_oneof![Just(f64::INFINITY), 1e-6..1e6_f64],
    ) {
        for (_, mut rig) in Rig::all(Light::default(), 0) {
            let size = rig.stats_size();
            let applied = Applied {
                exposure_us: exposure,
                analogue_gain: gain,
                black_level: exposure,
                ..NOTHING
            };
            // Often enough for colours to count.
            for _ in 0..8 {
                let answer = rig.process(Some((&bytes[..size], applied))).unwrap();
                assert_sane(&rig.camera, &answer);
            }
        }
    }
}
