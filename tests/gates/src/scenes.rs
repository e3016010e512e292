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

    /// The tuning for a scene of one's own.
    #[must_use]
    pub fn whole(name: &str, tuning: &'static [u8]) -> Self {
        Self {
            name: name.into(),
            tuning,
            what: What::BuiltIn,
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

/// All scenes; those of real data only where it is found: in `data`, or beside the sources. The text
/// says what is missing.
///
/// # Errors
/// A sidecar that cannot be read or written.
pub fn all(data: Option<&Path>) -> Result<(Vec<Source>, Option<String>)> {
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
    let beside = here.join("../../../shared/data");
    // A sidecar elsewhere names the frame: what is relative would be looked for beside it.
    let data = std::path::absolute(data.unwrap_or(&beside))?;
    let data = data.as_path();
    let files = [
        ("flea3", tuning::FLEA3, "flea3-colorchecker", None),
        ("openisp", tuning::RAW, "openisp", Some("openisp.toml")),
        ("nikon", tuning::RAW, "nikon-dsc1339", Some("nikon.toml")),
    ];
    let mut missing = Vec::new();
    for (name, tuning, folder, sidecar) in files {
        let folder = data.join(folder);
        if !folder.exists() {
            missing.push(folder.display().to_string());
            continue;
        }
        let path = match sidecar {
            None => folder,
            Some(sidecar) => sidecar_of(&here.join("../data/scenes").join(sidecar), data)?,
        };
        scenes.push(source(name, tuning, What::File(path)));
    }
    let missing = (!missing.is_empty()).then(|| missing.join(", "));
    Ok((scenes, missing))
}

/// A sidecar that names its frame from wherever it is; the one in the sources does so only beside
/// the data.
fn sidecar_of(sidecar: &Path, data: &Path) -> Result<PathBuf> {
    let text = std::fs::read_to_string(sidecar)?;
    let place = |line: &str| match line.split_once("shared/data/") {
        Some((key, rest)) if key.starts_with("file") => {
            let (rest, _) = rest.split_once('"').unwrap_or((rest, ""));
            format!("file = {:?}", data.join(rest))
        }
        _ => line.to_owned(),
    };
    let text: Vec<String> = text.lines().map(place).collect();
    let name = sidecar.file_name().unwrap_or_default().to_string_lossy();
    let path = std::env::temp_dir().join(format!("coldshoe-gates-{}-{name}", std::process::id()));
    std::fs::write(&path, text.join("\n"))?;
    Ok(path)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_data_in_a_relative_folder_opens_from_wherever_its_sidecar_lies() {
        let data = Path::new("../../../shared/data");
        let (sources, missing) = all(Some(data)).unwrap();
        missing
            .iter()
            .for_each(|missing| eprintln!("SKIPPED, for it is not there: {missing}"));
        for source in sources {
            source.open().unwrap();
        }
    }
}
