//! Tuning files: read here, handed to the module as bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use coldshoe_control::Trouble;
use coldshoe_control::client::ErrorCode;
use memfd::{FileSeal, MemfdOptions};

/// Largest tuning file, in bytes.
const MAX_TUNING: u64 = 1 << 20;

/// A tuning file, as the worker gets it.
#[derive(Debug)]
pub(crate) struct Tuning {
    /// Where it was found.
    pub(crate) path: PathBuf,
    /// A sealed copy of its content.
    pub(crate) content: OwnedFd,
}

/// Finds the tuning of `module` for `camera`: the first `MODULE/CAMERA.toml` of the directories,
/// else the first `MODULE/default.toml`. `None` if there is neither.
pub(crate) fn find(
    dirs: &[PathBuf],
    module: &str,
    camera: &str,
) -> Result<Option<Tuning>, Trouble> {
    let names = [
        format!("{}.toml", file_name(camera)),
        "default.toml".to_owned(),
    ];
    let candidates = names
        .iter()
        .flat_map(|name| dirs.iter().map(move |dir| dir.join(module).join(name)));
    for path in candidates {
        match read(&path) {
            Ok(content) => return Ok(Some(Tuning { path, content })),
            // A camera's name may be longer than a file's can be.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename
                ) => {}
            Err(error) => {
                return Err(Trouble::new(
                    ErrorCode::ModuleRefused,
                    format!("the tuning of module {module:?} for camera {camera:?} cannot be used"),
                    format!("{}: {error}", path.display()),
                    "mend the file or take it away; without one the module's own defaults count",
                ));
            }
        }
    }
    Ok(None)
}

/// Camera names can be device tree paths: what is no plain file name becomes dashes.
fn file_name(camera: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    let name: String = camera
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect();
    name.trim_start_matches(['.', '-']).to_owned()
}

fn read(path: &Path) -> io::Result<OwnedFd> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(MAX_TUNING + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_TUNING {
        return Err(io::Error::other(format!(
            "it is larger than {MAX_TUNING} bytes"
        )));
    }
    sealed(&content)
}

fn sealed(content: &[u8]) -> io::Result<OwnedFd> {
    let memfd = MemfdOptions::default()
        .allow_sealing(true)
        .close_on_exec(true)
        .create("coldshoe-tuning")
        .map_err(io::Error::other)?;
    let mut file: &File = memfd.as_file();
    file.write_all(content)?;
    io::Seek::rewind(&mut file)?;
    memfd
        .add_seals(&[
            FileSeal::SealShrink,
            FileSeal::SealGrow,
            FileSeal::SealWrite,
            FileSeal::SealSeal,
        ])
        .map_err(io::Error::other)?;
    Ok(memfd.into_file().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(tuning: Tuning) -> String {
        let mut text = String::new();
        File::from(tuning.content)
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    #[test]
    fn the_cameras_own_file_goes_before_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("open");
        std::fs::create_dir(&module).unwrap();
        let dirs = [dir.path().join("missing"), dir.path().to_owned()];
        assert!(find(&dirs, "open", "imx219").unwrap().is_none());
        std::fs::write(module.join("default.toml"), "default").unwrap();
        assert_eq!(
            content(find(&dirs, "open", "imx219").unwrap().unwrap()),
            "default"
        );
        std::fs::write(module.join("imx219.toml"), "own").unwrap();
        assert_eq!(
            content(find(&dirs, "open", "imx219").unwrap().unwrap()),
            "own"
        );
    }

    #[test]
    fn a_camera_name_never_leaves_the_directory() {
        assert_eq!(
            file_name("/base/soc/i2c@1/imx219@10"),
            "base-soc-i2c@1-imx219@10"
        );
        assert_eq!(file_name("../../etc/passwd"), "etc-passwd");
        assert!(!file_name("..").contains('.'));
    }

    #[test]
    fn a_camera_name_too_long_for_a_file_takes_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("open");
        std::fs::create_dir(&module).unwrap();
        std::fs::write(module.join("default.toml"), "default").unwrap();
        let dirs = [dir.path().to_owned()];
        let found = find(&dirs, "open", &"x".repeat(256)).unwrap();
        assert_eq!(content(found.unwrap()), "default");
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused_by_path() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("open");
        std::fs::create_dir_all(module.join("a.toml")).unwrap();
        let large = vec![b'#'; MAX_TUNING as usize + 1];
        std::fs::write(module.join("b.toml"), &large).unwrap();
        let dirs = [dir.path().to_owned()];
        assert!(
            find(&dirs, "open", "a")
                .unwrap_err()
                .why
                .contains("not a regular file")
        );
        assert!(find(&dirs, "open", "b").unwrap_err().why.contains("larger"));
        std::fs::write(module.join("b.toml"), &large[1..]).unwrap();
        assert!(find(&dirs, "open", "b").unwrap().is_some());
    }
}
