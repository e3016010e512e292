//! A camera without hardware.
//!
//! A [`Scene`] under a [`Light`] gives radiance, a [`VirtualSensor`] turns it into raw frames with
//! the delays, noise and clipping of a real one, [`statistics`] measures them in the format
//! `coldshoe-stats-1`, and [`SoftIsp`] makes pictures of them as the blocks of `coldshoe-soft` say.
//! [`Camera`] puts scene, light and sensor together.
//!
//! [`metering`] and [`angle`] know the right answers: they judge an algorithm from outside.
//!
//! ```
//! use coldshoe_camera::{Camera, Light, SensorRequest, SoftIsp, scene};
//! let mut camera = Camera::new(scene::open(None)?, Light::default());
//! camera.request(&SensorRequest { exposure_us: Some(8_000.0), ..SensorRequest::default() });
//! let frame = camera.next_frame();
//! let picture = SoftIsp::new().render(&frame.raw);
//! assert_eq!((picture.width(), picture.height()), (640, 480));
//! # Ok::<(), scene::SceneError>(())
//! ```
#![forbid(unsafe_code)]

pub mod angle;
mod bayer;
mod camera;
mod delayed;
mod isp;
mod lens;
mod light;
pub mod metering;
mod rgb8;
pub mod scene;
mod sensor;
pub mod statistics;

pub use bayer::{Cfa, Channel, Dimensions, DimensionsError, Mosaic, RawFrame, RawFrameError};
pub use camera::Camera;
pub use isp::SoftIsp;
pub use lens::LensConfig;
pub use light::{Flicker, Light, black_body};
pub use rgb8::{PictureError, Rgb8};
pub use scene::{Scene, SceneError};
pub use sensor::{
    Applied, Captured, Delays, SensorConfig, SensorLimits, SensorRequest, VirtualSensor,
};
