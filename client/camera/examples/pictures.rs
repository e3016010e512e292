//! Renders scenes with the exposure and white balance that ground truth asks for.
//!
//! `cargo run --release -p coldshoe-camera --example pictures -- OUT_DIR [SCENE…]`

use std::error::Error;
use std::path::{Path, PathBuf};

use coldshoe_camera::{Camera, Light, SensorRequest, SoftIsp, scene};
use coldshoe_isp::soft::{self, BlackLevel, Ccm, Lsc, ToneCurve, WbGains};
use coldshoe_isp::{ParamsBuilder, Statistics};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next().ok_or("usage: pictures OUT_DIR [SCENE…]")?;
    picture(None, 2856.0, &out)?;
    picture(None, 6500.0, &out)?;
    for scene in arguments {
        picture(Some(&scene), 5000.0, &out)?;
    }
    Ok(())
}

fn picture(path: Option<&Path>, kelvin: f64, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut camera = Camera::new(scene::open(path)?, Light::new(kelvin, 0.0));
    let total = camera.target_exposure_us(0.0);
    let limits = camera.limits();
    let exposure = total.min(limits.max_exposure_us);
    camera.request(&SensorRequest {
        exposure_us: Some(exposure),
        analogue_gain: Some(total / exposure),
        digital_gain: Some(1.0),
    });
    for _ in 0..camera.delay() {
        camera.next_frame();
    }
    let frame = camera.next_frame();
    let stats = frame.statistics();
    let neutral = camera.neutral().unwrap_or_else(|| grey_world(&stats));
    let mut isp = SoftIsp::new();
    let plain = isp.render(&frame.raw);
    isp.apply(&params(path.is_none(), kelvin, limits.black, neutral)?)?;
    let picture = isp.render(&frame.raw);
    let name = format!("camera-{}-{kelvin}", camera.scene().name());
    plain.write_png(out.join(format!("{name}-raw.png")))?;
    picture.write_png(out.join(format!("{name}.png")))?;
    println!(
        "{name}: {total:.0} µs, applied {:?}, neutral {neutral:.3?}",
        frame.applied
    );
    Ok(())
}

fn params(
    built_in: bool,
    kelvin: f64,
    black: f64,
    [r, g, b]: [f64; 3],
) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = vec![0; soft::MAX_PAYLOAD];
    let mut params = ParamsBuilder::new(&mut bytes, soft::VERSION)?;
    params.push(&BlackLevel::uniform(black))?;
    // The smallest gain is 1, so that full light stays full light.
    let brightest = r.max(g).max(b);
    params.push(&WbGains::from_gains(
        [r, g, g, b].map(|value| brightest / value),
    ))?;
    params.push(&ToneCurve::from_fn(|x| x.powf(1.0 / 2.2)))?;
    if built_in {
        let scene = scene::CheckerScene::new();
        params.push(&Ccm::from_rows(scene.ccm(kelvin)))?;
        params.push(&Lsc::from_fn(|channel, x, y| {
            1.0 / scene::CheckerScene::lens([0, 1, 1, 2][channel], x, y)
        }))?;
    }
    let len = params.finish();
    bytes.truncate(len);
    Ok(bytes)
}

fn grey_world(stats: &Statistics) -> [f64; 3] {
    let zones = (0..Statistics::ZONES).filter_map(|zone| stats.zone_rgb(zone));
    zones.fold([0.0; 3], |sum, zone| [0, 1, 2].map(|i| sum[i] + zone[i]))
}
