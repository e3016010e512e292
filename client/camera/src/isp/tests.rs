use coldshoe_isp::{Block, ParamsBuilder, soft};

use super::*;
use crate::bayer::{Cfa, Dimensions};
use crate::camera::Camera;
use crate::light::Light;
use crate::scene::{CheckerScene, Scene as _};
use crate::sensor::SensorConfig;

fn params(fill: impl FnOnce(&mut ParamsBuilder<'_>)) -> Vec<u8> {
    let mut bytes = vec![0; soft::MAX_PAYLOAD];
    let mut params = ParamsBuilder::new(&mut bytes, soft::VERSION).unwrap();
    fill(&mut params);
    let len = params.finish();
    bytes.truncate(len);
    bytes
}

fn isp(blocks: impl FnOnce(&mut ParamsBuilder<'_>)) -> SoftIsp {
    let mut isp = SoftIsp::new();
    isp.apply(&params(blocks)).unwrap();
    isp
}

/// An 8-bit frame without black level.
fn frame(cfa: Cfa, dn: impl Fn(usize, usize) -> u16) -> RawFrame {
    let size = Dimensions::new(32, 24).unwrap();
    let data = (0..size.pixels()).map(|at| dn(at % 32, at / 32)).collect();
    RawFrame::new(size, cfa, 8, (0, 255), data).unwrap()
}

fn grey(dn: u16) -> RawFrame {
    frame(Cfa::Rggb, |_, _| dn)
}

fn all_are(picture: &Rgb8, pixel: [u8; 3]) {
    assert!(
        picture.data().chunks_exact(3).all(|p| p == pixel),
        "{:?}",
        picture.pixel(0, 0)
    );
}

#[test]
fn without_a_block_the_picture_is_the_frame() {
    for dn in [0, 1, 100, 254, 255] {
        all_are(&SoftIsp::new().render(&grey(dn)), [dn as u8; 3]);
    }
}

#[test]
fn one_scene_in_every_filter_order_gives_one_picture() {
    let colour = [200_u16, 120, 40];
    for cfa in Cfa::ALL {
        let raw = frame(cfa, |x, y| colour[cfa.channel(x, y).rgb()]);
        all_are(&SoftIsp::new().render(&raw), [200, 120, 40]);
    }
}

#[test]
fn a_black_level_is_taken_off_and_full_light_stays_white() {
    let isp = isp(|p| p.push(&BlackLevel::uniform(51.0 / 255.0)).unwrap());
    all_are(&isp.render(&grey(51)), [0; 3]);
    all_are(&isp.render(&grey(20)), [0; 3]);
    all_are(&isp.render(&grey(153)), [128; 3]);
    all_are(&isp.render(&grey(255)), [255; 3]);
}

#[test]
fn a_black_level_at_full_scale_leaves_black_and_does_not_divide_by_zero() {
    let isp = isp(|p| p.push(&BlackLevel([u16::MAX; 4])).unwrap());
    all_are(&isp.render(&grey(254)), [0; 3]);
}

#[test]
fn gains_make_neutral_what_was_tinted() {
    let isp = isp(|p| p.push(&WbGains::from_gains([2.0, 1.0, 1.0, 1.6])).unwrap());
    let tinted = [60_u16, 120, 75];
    let raw = frame(Cfa::Gbrg, |x, y| tinted[Cfa::Gbrg.channel(x, y).rgb()]);
    all_are(&isp.render(&raw), [120; 3]);
}

#[test]
fn blown_highlights_stay_neutral_whatever_the_gains() {
    for gains in [[2.0, 1.0, 1.0, 1.6], [0.7, 1.0, 1.0, 1.3], [3.0; 4]] {
        let isp = isp(|p| p.push(&WbGains::from_gains(gains)).unwrap());
        let [r, g, b] = isp.render(&grey(255)).pixel(8, 8).unwrap();
        assert!(r == g && g == b, "{gains:?}: {r} {g} {b}");
    }
}

#[test]
fn blown_highlights_stay_neutral_under_shading_gains_below_one() {
    let isp = isp(|p| {
        p.push(&WbGains::from_gains([2.0, 1.0, 1.0, 1.6])).unwrap();
        p.push(&Lsc::from_fn(|c, x, _| if c == 0 { 0.5 } else { 0.6 + x }))
            .unwrap();
    });
    let picture = isp.render(&grey(255));
    for pixel in picture.data().chunks_exact(3) {
        let spread = pixel.iter().max().unwrap() - pixel.iter().min().unwrap();
        assert!(spread <= 12, "{pixel:?}");
    }
}

#[test]
fn the_matrix_is_applied_row_by_row() {
    let swap = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];
    let isp = isp(|p| p.push(&Ccm::from_rows(swap)).unwrap());
    let colour = [200_u16, 120, 40];
    let raw = frame(Cfa::Rggb, |x, y| colour[Cfa::Rggb.channel(x, y).rgb()]);
    all_are(&isp.render(&raw), [40, 120, 200]);
}

#[test]
fn the_tone_curve_is_applied_last() {
    let isp = isp(|p| p.push(&ToneCurve::from_fn(f64::sqrt)).unwrap());
    let [r, ..] = isp.render(&grey(64)).pixel(0, 0).unwrap();
    assert!(r.abs_diff(128) <= 1);
}

#[test]
fn shading_gains_flatten_a_shaded_frame() {
    let shade = |channel: usize, x: f64, y: f64| {
        1.0 - [0.4, 0.3, 0.3, 0.2][channel] * ((2.0 * x - 1.0).powi(2) + (2.0 * y - 1.0).powi(2))
            / 2.0
    };
    let cfa = Cfa::Bggr;
    let raw = frame(cfa, |x, y| {
        let light = shade(
            cfa.channel(x, y) as usize,
            (x as f64 + 0.5) / 32.0,
            (y as f64 + 0.5) / 24.0,
        );
        (200.0 * light).round() as u16
    });
    let isp = isp(|p| {
        p.push(&Lsc::from_fn(|c, x, y| 1.0 / shade(c, x, y)))
            .unwrap()
    });
    let picture = isp.render(&raw);
    assert!(
        picture.data().iter().all(|v| v.abs_diff(200) <= 2),
        "{:?}",
        picture.pixel(0, 0)
    );
}

#[test]
fn what_a_buffer_does_not_name_stays_and_what_it_disables_goes() {
    let mut isp = isp(|p| p.push(&WbGains::from_gains([2.0; 4])).unwrap());
    isp.apply(&params(|p| p.push(&Ccm::identity()).unwrap()))
        .unwrap();
    all_are(&isp.render(&grey(50)), [100; 3]);
    isp.apply(&params(|p| p.push_disabled::<WbGains>().unwrap()))
        .unwrap();
    all_are(&isp.render(&grey(50)), [50; 3]);
}

#[test]
fn of_a_bad_buffer_nothing_is_taken_over() {
    let mut isp = SoftIsp::new();
    let mut bytes = params(|p| {
        p.push(&WbGains::from_gains([2.0; 4])).unwrap();
        p.push(&Ccm::identity()).unwrap();
    });
    let reserved = bytes.len() - 1;
    bytes[reserved] = 1;
    assert!(isp.apply(&bytes).is_err());
    assert!(isp.apply(&bytes[..20]).is_err());
    all_are(&isp.render(&grey(50)), [50; 3]);
}

#[test]
fn an_unknown_block_is_refused() {
    struct Secret;
    impl Block for Secret {
        const KIND: u16 = 9;
        const NAME: &'static str = "SECRET";
        const SIZE: usize = 16;
        fn encode(&self, _: &mut [u8]) {}
        fn decode(_: &[u8]) -> Result<Self, coldshoe_isp::BlockError> {
            Ok(Self)
        }
    }
    let error = SoftIsp::new()
        .apply(&params(|p| p.push(&Secret).unwrap()))
        .unwrap_err();
    assert!(error.to_string().contains('9'), "{error}");
}

#[test]
fn the_neutral_row_comes_out_neutral_and_colours_come_out_right() {
    for kelvin in [2856.0, 6500.0, 9000.0] {
        let scene = CheckerScene::new();
        let light = Light::new(kelvin, 0.0);
        let [r, g, b] = scene.neutral(&light).unwrap();
        let ccm = scene.ccm(kelvin);
        let mut camera =
            Camera::with_sensor(Box::new(scene), light, SensorConfig::default().noiseless());
        let black = camera.limits().black;
        let isp = isp(|p| {
            let lens = |c: usize, x, y| 1.0 / CheckerScene::lens([0, 1, 1, 2][c], x, y);
            p.push(&BlackLevel::uniform(black)).unwrap();
            p.push(&WbGains::from_gains([g / r, 1.0, 1.0, g / b]))
                .unwrap();
            p.push(&Ccm::from_rows(ccm)).unwrap();
            p.push(&Lsc::from_fn(lens)).unwrap();
        });
        let picture = isp.render(&camera.next_frame().raw);
        let mean = |patch| patch_mean(&picture, patch);
        // Neutral 6.5 to 3.5: bright enough to measure, dark enough not to clip.
        for patch in 21..=23 {
            let [r, g, b] = mean(patch);
            assert!(
                (r / g - 1.0).abs() < 0.03 && (b / g - 1.0).abs() < 0.03,
                "{kelvin}: {r} {g} {b}"
            );
        }
        let level = mean(22)[1] / CheckerScene::patch_srgb(22).unwrap()[1];
        for patch in 1..=18 {
            let want = CheckerScene::patch_srgb(patch).unwrap();
            for (got, want) in mean(patch).iter().zip(want) {
                assert!(
                    (got / level - want).abs() < 0.09,
                    "{kelvin} patch {patch}: {got} {want}"
                );
            }
        }
    }
}

fn patch_mean(picture: &Rgb8, patch: usize) -> [f64; 3] {
    let [x0, x1, y0, y1] = CheckerScene::patch(patch).unwrap();
    let mut sum = [0.0; 3];
    for y in y0..y1 {
        for x in x0..x1 {
            let pixel = picture.pixel(x, y).unwrap();
            sum = [0, 1, 2].map(|i| sum[i] + f64::from(pixel[i]));
        }
    }
    sum.map(|sum| sum / ((x1 - x0) * (y1 - y0)) as f64)
}
