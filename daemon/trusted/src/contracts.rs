//! What parameters may say, by format: a session is about one of these, or is none.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use coldshoe_contract::{Contract, ContractError};
use coldshoe_control::Trouble;
use coldshoe_control::client::ErrorCode;

/// More bytes than any contract has.
const MAX_FILE: u64 = 1 << 20;
/// More files than any directory of contracts has.
const MAX_FILES: usize = 256;

/// A directory of contracts that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractsError {
    /// It cannot be read, or a file of it.
    #[error(
        "the contracts in {} cannot be read\n  why: {source}\n  try: name a directory with FORMAT.toml files with --contract-dir",
        path.display()
    )]
    Unreadable {
        /// What cannot be read.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file of it is no contract, or of another format than its name says.
    #[error(
        "{} is no contract\n  why: {source}\n  try: what `coldshoectl contract show` prints of those that are built in",
        path.display()
    )]
    NoContract {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<ContractError>,
    },
}

/// Every format that this daemon knows.
#[derive(Debug)]
pub(crate) struct Contracts(HashMap<String, Contract>);

impl Contracts {
    /// Those that are built in, and `FORMAT.toml` files of directories. What is built in cannot be
    /// replaced, and of several files for one format the first counts.
    pub(crate) fn load(dirs: &[PathBuf]) -> Result<Self, ContractsError> {
        let mut known = HashMap::new();
        for (format, text) in Contract::BUILTIN {
            let contract = Contract::of(format, Some(text));
            let contract = contract.map_err(|source| ContractsError::NoContract {
                path: format.into(),
                source: Box::new(source),
            })?;
            known.insert(format.to_owned(), contract);
        }
        for dir in dirs {
            for path in files(dir).map_err(unreadable(dir))? {
                let format = path.file_stem().and_then(|stem| stem.to_str());
                let Some(format) = format.filter(|format| !known.contains_key(*format)) else {
                    tracing::warn!(path = %path.display(), "passed over: its format has a contract");
                    continue;
                };
                let text = read(&path).map_err(unreadable(&path))?;
                let contract = Contract::of(format, Some(&text));
                let contract = contract.map_err(|source| ContractsError::NoContract {
                    path: path.clone(),
                    source: Box::new(source),
                })?;
                known.insert(format.to_owned(), contract);
            }
        }
        Ok(Self(known))
    }

    /// The contract of a format.
    pub(crate) fn of(&self, format: &str) -> Result<&Contract, Trouble> {
        self.0.get(format).ok_or_else(|| {
            let mut known: Vec<&str> = self.0.keys().map(String::as_str).collect();
            known.sort_unstable();
            Trouble::new(
                ErrorCode::BadArgument,
                format!("there is no contract of the parameter format {format:?}"),
                format!("known are: {}", known.join(", ")),
                "give coldshoed the directory with its FORMAT.toml with --contract-dir: what is not \
                 documented is not let through",
            )
        })
    }

    /// Refuses a module that says that it sends block types which a format does not have.
    pub(crate) fn admit(&self, module: &str, format: &str, blocks: u64) -> Result<(), Trouble> {
        let outside = blocks & !self.of(format)?.all_blocks();
        if outside == 0 {
            return Ok(());
        }
        let types: Vec<String> = (0..u64::BITS)
            .filter(|bit| outside >> bit & 1 == 1)
            .map(|bit| bit.to_string())
            .collect();
        Err(Trouble::new(
            ErrorCode::ModuleRefused,
            format!("module {module:?} is refused"),
            format!(
                "it says that it sends blocks of type {}, which the format {format} does not have",
                types.join(", ")
            ),
            "`coldshoectl contract show` prints those that it has; hidden ones are not let through",
        ))
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> ContractsError {
    let path = path.to_owned();
    move |source| ContractsError::Unreadable { path, source }
}

/// The `.toml` files of a directory, by name.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
        if found.len() > MAX_FILES {
            return Err(io::Error::other(format!(
                "it has more than {MAX_FILES} files"
            )));
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)?;
    match text.len() as u64 > MAX_FILE {
        true => Err(io::Error::other(format!(
            "it has more than {MAX_FILE} bytes"
        ))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mine(format: &str) -> String {
        let (_, text) = Contract::BUILTIN[2];
        text.replacen("coldshoe-soft", format, 1)
    }

    fn dir(files: &[(&str, String)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn formats_are_those_built_in_and_those_of_directories() {
        let broken = ("notes.txt", "no contract".to_owned());
        let mine = dir(&[("mine.toml", mine("mine")), broken]);
        let contracts = Contracts::load(&[mine.path().to_owned()]).unwrap();
        for format in ["rkisp1", "mali-c55", "coldshoe-soft", "mine"] {
            assert_eq!(contracts.of(format).unwrap().format(), format);
        }
        let trouble = contracts.of("hidden").unwrap_err();
        assert_eq!(trouble.code, ErrorCode::BadArgument);
        assert!(trouble.why.contains("mali-c55, mine, rkisp1"), "{trouble}");
    }

    #[test]
    fn what_is_built_in_is_not_replaced_and_what_is_broken_is_told() {
        let worse = ("rkisp1.toml", "format = \"rkisp1\"".to_owned());
        let found = dir(&[worse]);
        assert!(Contracts::load(&[found.path().to_owned()]).is_ok());
        for (name, text, why) in [
            ("mine.toml", "format = 7".to_owned(), "mine.toml"),
            ("mine.toml", mine("other"), "`other`"),
        ] {
            let found = dir(&[(name, text)]);
            let error = Contracts::load(&[found.path().to_owned()]).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
        let error = Contracts::load(&["/nowhere".into()])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/nowhere") && error.contains("--contract-dir"),
            "{error}"
        );
        let large = "#".repeat(MAX_FILE as usize + 1);
        let found = dir(&[("large.toml", large)]);
        assert!(Contracts::load(&[found.path().to_owned()]).is_err());
    }

    #[test]
    fn a_module_that_declares_a_hidden_block_is_refused() {
        let contracts = Contracts::load(&[]).unwrap();
        assert!(contracts.admit("m", "coldshoe-soft", 0b11111).is_ok());
        let trouble = contracts.admit("m", "coldshoe-soft", 1 << 5 | 1 << 63);
        let trouble = trouble.unwrap_err();
        assert_eq!(trouble.code, ErrorCode::ModuleRefused);
        assert!(trouble.why.contains("type 5, 63"), "{trouble}");
    }
}
