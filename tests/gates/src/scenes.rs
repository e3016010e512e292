//! The scenes that are judged on: generated ones, and real raw data where it is found.

use std::path::{Path, PathBuf};

use anyhow::Result;
use coldshoe_camera::scene::{self, Mondrian};
use coldshoe_camera::{Cfa, Dimensions, Light, Mosaic, Scene};

/// Cells in a row that are enough: 16×12 zones of some cells each, so that noise is what a small
/// sensor's would be, and thousands of frames take seconds.
const COLUMNS: usize = 96;

/// The tuning files that the scenes' cameras ship with.
pub mod tuning {
    /// Of the built-in scene's sensor.
    pub const VIRTUAL: &[u8] = include_bytes!("../../../daemon/jailed/open/tuning/virtual.toml");
    /// Of the relit ColorChecker's.
    pub const FLEA3: &[u8] = include_bytes!("../../../daemon/jailed/open/tuning/flea3.toml");
    /// Of raw frames.
    pub const RAW: &[u8] = include_bytes!("../../../daemon/jailed/open/tuning/raw.toml");
}

/// A scene with the tuning of its camera.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called in the report.
    pub name: String,
    /// The tuning file's content.
    pub tuning: &'static [u8],
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    BuiltIn,
    Mondrian(u64),
    File(PathBuf),
}

impl Source {
    /// A scene of random surfaces.
    #[must_use]
    pub fn mondrian(seed: u64) -> Self {
        Self {
            name: format!("mondrian-{seed}"),
            tuning: tuning::VIRTUAL,
            what: What::Mondrian(seed),
        }
    }

    /// Opens it, thinned to what is enough.
    ///
    /// # Errors
    /// A file that is no scene.
    pub fn open(&self) -> Result<Box<dyn Scene>> {
        let scene = match &self.what {
            What::BuiltIn => scene::open(None)?,
            What::Mondrian(seed) => Box::new(Mondrian::new(*seed)),
            What::File(path) => scene::open(Some(path))?,
        };
        Ok(Box::new(Thinned::new(scene)))
    }
}

/// All scenes; those of real data only where it is found. The text says what is missing.
#[must_use]
pub fn all() -> (Vec<Source>, Option<String>) {
    let source = |name: &str, tuning, what| Source {
        name: name.into(),
        tuning,
        what,
    };
    let mut scenes = vec![
        source("built-in", tuning::VIRTUAL, What::BuiltIn),
        Source::mondrian(1),
        Source::mondrian(2),
    ];
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (data, sidecars) = (here.join("../../../shared/data"), here.join("../data/scenes"));
    let files = [
        ("flea3", tuning::FLEA3, data.join("flea3-colorchecker"), "flea3-colorchecker"),
        ("openisp", tuning::RAW, sidecars.join("openisp.toml"), "openisp"),
        ("nikon", tuning::RAW, sidecars.join("nikon.toml"), "nikon-dsc1339"),
    ];
    let mut missing = Vec::new();
    for (name, tuning, path, folder) in files {
        if data.join(folder).exists() {
            scenes.push(source(name, tuning, What::File(path)));
        } else {
            missing.push(folder);
        }
    }
    let missing = (!missing.is_empty()).then(|| {
        format!("{} in {}", missing.join(", "), data.display())
    });
    (scenes, missing)
}

/// Every so many cells of a scene.
struct Thinned {
    scene: Box<dyn Scene>,
    size: Dimensions,
    step: usize,
}

impl Thinned {
    fn new(scene: Box<dyn Scene>) -> Self {
        let (width, height) = (scene.size().width() / 2, scene.size().height() / 2);
        let step = (width / COLUMNS).max(1);
        let side = |cells: usize| (cells / step * 2) as u64;
        let size = Dimensions::new(side(width), side(height));
        Self {
            size: size.unwrap_or(scene.size()),
            step,
            scene,
        }
    }
}

impl Scene for Thinned {
    fn name(&self) -> &str {
        self.scene.name()
    }

    fn size(&self) -> Dimensions {
        self.size
    }

    fn cfa(&self) -> Cfa {
        self.scene.cfa()
    }

    fn radiance(&self, light: &Light) -> Mosaic {
        let whole = self.scene.radiance(light);
        let width = whole.size().width();
        Mosaic::from_fn(self.size, self.cfa(), |x, y, _| {
            let at = |pixel: usize| pixel / 2 * 2 * self.step + pixel % 2;
            whole.data()[at(y) * width + at(x)]
        })
    }

    fn neutral(&self, light: &Light) -> Option<[f64; 3]> {
        self.scene.neutral(light)
    }
}
