//! Scene, light and sensor together.

use crate::bayer::Mosaic;
use crate::delayed::Register;
use crate::lens::{Lens, LensConfig};
use crate::light::Light;
use crate::metering::{self, Metering};
use crate::scene::Scene;
use crate::sensor::{Captured, SensorConfig, SensorLimits, SensorRequest, VirtualSensor};

/// A camera that looks at a scene.
///
/// The sensor's controls have delays of their own. The camera holds the faster ones back, so that
/// what was asked together lands on the same frame, [`Camera::delay`] frames later.
pub struct Camera {
    scene: Box<dyn Scene>,
    light: Light,
    /// The scene under the light: worth keeping, for it changes with the light alone.
    radiance: Mosaic,
    sensor: VirtualSensor,
    exposure: Register<Option<f64>>,
    analogue_gain: Register<Option<f64>>,
    digital_gain: Register<Option<f64>>,
    /// The lens, and where it was focused when `radiance` was made.
    lens: Option<(Lens, f64)>,
}

impl Camera {
    /// A camera with the default sensor.
    #[must_use]
    pub fn new(scene: Box<dyn Scene>, light: Light) -> Self {
        Self::with_sensor(scene, light, SensorConfig::default())
    }

    /// A camera with a sensor of choice.
    #[must_use]
    pub fn with_sensor(scene: Box<dyn Scene>, light: Light, config: SensorConfig) -> Self {
        let radiance = scene.radiance(&light);
        let sensor = VirtualSensor::new(config, radiance.size(), radiance.cfa());
        let delays = sensor.limits().delays;
        let held_back = |delay| Register::new(None, delays.longest() - delay);
        Self {
            exposure: held_back(delays.exposure),
            analogue_gain: held_back(delays.analogue_gain),
            digital_gain: held_back(delays.digital_gain),
            lens: None,
            scene,
            light,
            radiance,
            sensor,
        }
    }

    /// The same with a lens that an actuator moves.
    #[must_use]
    pub fn with_lens(mut self, config: LensConfig) -> Self {
        self.lens = Some((Lens::new(config), config.first));
        self.look();
        self
    }

    /// Farthest and nearest focus of the lens, dioptres; none where nothing moves it.
    #[must_use]
    pub fn lens(&self) -> Option<(f64, f64)> {
        self.lens.as_ref().map(|(lens, _)| lens.range())
    }

    /// Asks for a focus, dioptres. Without a lens that moves nothing happens.
    pub fn request_lens(&mut self, dioptres: f64) {
        let next = self.sensor.next_sequence();
        if let Some((lens, _)) = &mut self.lens {
            lens.ask(next, dioptres);
        }
    }

    /// Changes the scene, from the next frame on; the sensor's size and filters stay, so the scene
    /// has to be of the same. Returns whether it is.
    pub fn set_scene(&mut self, scene: Box<dyn Scene>) -> bool {
        let same = scene.size() == self.scene.size() && scene.cfa() == self.scene.cfa();
        if same {
            self.scene = scene;
            self.look();
        }
        same
    }

    fn look(&mut self) {
        self.radiance = match &self.lens {
            Some((_, dioptres)) => self.scene.focused(&self.light, *dioptres),
            None => self.scene.radiance(&self.light),
        };
    }

    /// What may be asked of the sensor.
    #[must_use]
    pub fn limits(&self) -> SensorLimits {
        self.sensor.limits()
    }

    /// Frames until a request takes effect: what is asked before frame n applies to n + delay.
    #[must_use]
    pub fn delay(&self) -> u64 {
        self.limits().delays.longest()
    }

    /// Asks for exposure and gains. They are clamped to the limits; NaN asks for nothing.
    pub fn request(&mut self, request: &SensorRequest) {
        let next = self.sensor.next_sequence();
        if request.exposure_us.is_some() {
            self.exposure.queue(next, request.exposure_us);
        }
        if request.analogue_gain.is_some() {
            self.analogue_gain.queue(next, request.analogue_gain);
        }
        if request.digital_gain.is_some() {
            self.digital_gain.queue(next, request.digital_gain);
        }
    }

    /// Captures the next frame.
    pub fn next_frame(&mut self) -> Captured {
        let next = self.sensor.next_sequence();
        self.sensor.queue(&SensorRequest {
            exposure_us: self.exposure.at(next),
            analogue_gain: self.analogue_gain.at(next),
            digital_gain: self.digital_gain.at(next),
        });
        let position = self.lens.as_mut().map(|(lens, seen)| {
            let position = lens.at(next);
            (position, std::mem::replace(seen, position))
        });
        if position.is_some_and(|(now, seen)| now != seen) {
            self.look();
        }
        Captured {
            lens_position: position.map(|(now, _)| now),
            ..self.sensor.capture_in(&self.radiance, self.light.flicker())
        }
    }

    /// Changes the light, from the next frame on.
    pub fn set_light(&mut self, light: Light) {
        if light != self.light {
            self.light = light;
            self.look();
        }
    }

    /// The light on the scene.
    #[must_use]
    pub const fn light(&self) -> Light {
        self.light
    }

    /// The scene.
    #[must_use]
    pub fn scene(&self) -> &dyn Scene {
        self.scene.as_ref()
    }

    /// The scene under the present light.
    #[must_use]
    pub const fn radiance(&self) -> &Mosaic {
        &self.radiance
    }

    /// Ground truth: raw RGB of a neutral surface under the present light.
    #[must_use]
    pub fn neutral(&self) -> Option<[f64; 3]> {
        self.scene.neutral(&self.light)
    }

    /// Ground truth: exposure × gains, µs, at which the picture is on target.
    #[must_use]
    pub fn target_exposure_us(&self, ev: f64) -> f64 {
        metering::total_exposure_us(&self.radiance, &Metering { ev })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::CheckerScene;
    use crate::sensor::Delays;

    fn camera(config: SensorConfig) -> Camera {
        Camera::with_sensor(Box::new(CheckerScene::new()), Light::default(), config)
    }

    #[test]
    fn what_is_asked_together_lands_on_one_frame() {
        let delays = Delays {
            exposure: 3,
            analogue_gain: 1,
            digital_gain: 0,
        };
        let mut camera = camera(SensorConfig {
            delays,
            ..SensorConfig::default()
        });
        let before = camera.next_frame().applied;
        camera.request(&SensorRequest {
            exposure_us: Some(5000.0),
            analogue_gain: Some(2.0),
            digital_gain: Some(1.5),
        });
        for _ in 0..camera.delay() {
            assert_eq!(camera.next_frame().applied, before);
        }
        let after = camera.next_frame().applied;
        assert!((after.exposure_us - 5000.0).abs() < 20.0);
        assert_eq!((after.analogue_gain, after.digital_gain), (2.0, 1.5));
    }

    #[test]
    fn a_new_light_shows_in_the_next_frame() {
        let mut camera = camera(SensorConfig::default().noiseless());
        let mean = |frame: &Captured| {
            let sum: f64 = frame.raw.data().iter().map(|dn| f64::from(*dn)).sum();
            sum / frame.raw.data().len() as f64 - f64::from(frame.raw.black())
        };
        let before = mean(&camera.next_frame());
        camera.set_light(Light::new(5000.0, -1.0));
        let after = mean(&camera.next_frame());
        assert!((1.8..2.1).contains(&(before / after)), "{before} {after}");
    }

    #[test]
    fn frames_are_numbered_from_zero() {
        let mut camera = camera(SensorConfig::default());
        let numbers: Vec<_> = (0..3).map(|_| camera.next_frame().sequence).collect();
        assert_eq!(numbers, [0, 1, 2]);
    }

    #[test]
    fn the_oracle_and_the_statistics_agree_on_the_target() {
        let mut camera = camera(
            SensorConfig {
                bits: 14,
                ..SensorConfig::default()
            }
            .noiseless(),
        );
        let total = camera.target_exposure_us(0.0);
        camera.request(&SensorRequest {
            exposure_us: Some(total),
            ..SensorRequest::default()
        });
        for _ in 0..camera.delay() {
            camera.next_frame();
        }
        let frame = camera.next_frame();
        let stats = frame.statistics();
        let zones = coldshoe_isp::Statistics::ZONES;
        let mean: f64 = (0..zones)
            .filter_map(|zone| stats.zone_luminance(zone))
            .sum::<f64>()
            / zones as f64;
        let want = metering::mean_luminance(camera.radiance(), frame.applied.total_us());
        assert!((mean / want - 1.0).abs() < 0.005, "{mean} against {want}");
        assert!(mean > 0.155);
    }
}
