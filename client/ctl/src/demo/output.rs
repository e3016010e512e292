//! The directory that the demo writes to.

use std::fs;
use std::path::{Path, PathBuf};

use coldshoe_camera::Rgb8;

use super::Error;

/// A directory, and what was written to it.
#[derive(Debug)]
pub(super) struct Output {
    dir: PathBuf,
    written: Vec<PathBuf>,
}

impl Output {
    /// Makes the directory, and sees to it that files can be written: a film is too long to find
    /// that out at its end.
    pub(super) fn prepare(dir: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Output {
            path: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(failed)?;
        tempfile::tempfile_in(dir).map_err(failed)?;
        Ok(Self {
            dir: dir.to_owned(),
            written: Vec::new(),
        })
    }

    /// Writes a file, or replaces it.
    pub(super) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.dir.join(name);
        match fs::write(&path, bytes) {
            Ok(()) => {
                self.written.push(path);
                Ok(())
            }
            Err(source) => Err(Error::Output { path, source }),
        }
    }

    /// Writes a picture as PNG and returns its bytes.
    pub(super) fn picture(&mut self, name: &str, picture: &Rgb8) -> Result<Vec<u8>, Error> {
        let png = picture
            .to_png()
            .map_err(|error| Error::Picture(error.to_string()))?;
        self.write(name, &png)?;
        Ok(png)
    }

    /// The files, in order.
    pub(super) fn written(&self) -> &[PathBuf] {
        &self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_with_its_parents_and_nothing_else_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/b");
        Output::prepare(&out).unwrap();
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Output::prepare(file.path()).unwrap_err().to_string();
        assert!(error.contains(&*file.path().to_string_lossy()), "{error}");
        assert_eq!(error.lines().count(), 3);
    }

    #[test]
    fn other_files_stay_and_ours_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("mine"), "kept").unwrap();
        for text in ["first", "second"] {
            let mut output = Output::prepare(dir.path()).unwrap();
            output.write("report.html", text.as_bytes()).unwrap();
            assert_eq!(output.written(), [dir.path().join("report.html")]);
        }
        assert_eq!(fs::read(dir.path().join("mine")).unwrap(), b"kept");
        assert_eq!(fs::read(dir.path().join("report.html")).unwrap(), b"second");
    }
}
