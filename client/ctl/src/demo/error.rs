//! Why a demo failed.

use std::io;
use std::path::PathBuf;

use coldshoe::{SubmitError, Trouble};
use coldshoe_camera::{DimensionsError, PictureError, SceneError};
use coldshoe_isp::stats::StatsError;

use super::daemon::DaemonError;
use super::one_line;
use crate::installation::InstallationError;

/// Why a demo failed, told on three lines.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The scene cannot be used.
    #[error("the scene cannot be used\n  why: {}\n  try: {}", one_line(&.0.to_string()), .0.remedy())]
    Scene(#[from] SceneError),
    /// Nowhere to put the pictures.
    #[error("nothing can be written to {}\n  why: {source}\n  try: name another directory with --out", path.display())]
    Output {
        /// The directory or file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The table cannot be printed.
    #[error("the table cannot be printed\n  why: {0}\n  try: send standard output elsewhere")]
    Print(io::Error),
    /// A picture cannot be made.
    #[error("a picture cannot be made\n  why: {0}\n  try: a scene of another size")]
    Picture(String),
    /// No signal handlers.
    #[error("cannot listen for signals\n  why: {0}\n  try: again, with fewer processes running")]
    Signals(io::Error),
    /// No daemon to start.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The daemon does not run.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The daemon refused something.
    #[error(transparent)]
    Session(#[from] coldshoe::Error),
    /// The worker failed in the middle of the film.
    #[error(transparent)]
    Fault(Trouble),
    /// What was to be done to the worker could not be.
    #[error("harm could not be done\n  why: {0}\n  try: the demo without --chaos")]
    Deed(io::Error),
    /// The pipeline was left alone.
    #[error(
        "the film did not go on as it must\n  why: frames without parameters: {without}, late frames: {late}\n  try: again when the machine is less busy, with --seed {seed}; if it is so again, report it"
    )]
    Halted {
        /// Frames without parameters.
        without: usize,
        /// Late frames.
        late: usize,
        /// Of the faults.
        seed: u64,
    },
    /// A frame was not accepted.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A frame's statistics have no form.
    #[error("a frame's statistics cannot be sent\n  why: {0}\n  try: another scene")]
    Statistics(#[from] StatsError),
    /// The module does not answer.
    #[error(
        "module {module:?} left the last part of the film without parameters\n  why: of {frames} frames it answered {fresh} in time, {held} were held, {refused} refused by the ISP\n  try: another module, or again when the machine is less busy"
    )]
    NoAnswer {
        /// The module.
        module: String,
        /// Frames of the film.
        frames: usize,
        /// Answered in time.
        fresh: usize,
        /// Held.
        held: usize,
        /// Refused by the ISP.
        refused: usize,
    },
    /// The user has had enough.
    #[error("interrupted\n  why: a signal came\n  try: fewer --frames if it takes too long")]
    Interrupted,
}

impl Error {
    /// The exit code that tells it to scripts.
    pub(crate) fn exit_code(&self) -> u8 {
        use coldshoe::ErrorCode;
        match self {
            Self::Daemon(_) | Self::Session(coldshoe::Error::Unreachable { .. }) => 4,
            Self::Session(coldshoe::Error::Refused(trouble)) => match trouble.code {
                ErrorCode::NoSuchModule => 3,
                ErrorCode::Denied => 5,
                ErrorCode::SandboxUnavailable => 6,
                _ => 1,
            },
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}

impl From<PictureError> for Error {
    fn from(error: PictureError) -> Self {
        Self::Picture(error.to_string())
    }
}

impl From<DimensionsError> for Error {
    fn from(error: DimensionsError) -> Self {
        Self::Picture(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coldshoe::ErrorCode;

    fn refused(code: ErrorCode) -> u8 {
        Error::Session(Trouble::new(code, "a", "b", "c").into()).exit_code()
    }

    #[test]
    fn exit_codes_tell_what_is_missing() {
        assert_eq!(refused(ErrorCode::NoSuchModule), 3);
        assert_eq!(refused(ErrorCode::Denied), 5);
        assert_eq!(refused(ErrorCode::SandboxUnavailable), 6);
        assert_eq!(refused(ErrorCode::ModuleRefused), 1);
        assert_eq!(Error::Interrupted.exit_code(), 130);
    }

    #[test]
    fn every_error_of_our_own_has_three_lines() {
        let io = || io::Error::other("reason");
        for error in [
            Error::Output {
                path: "x".into(),
                source: io(),
            },
            Error::Print(io()),
            Error::Picture("reason".into()),
            Error::Signals(io()),
            Error::Submit(SubmitError::NotStarted),
            Error::Interrupted,
            Error::Deed(io()),
            Error::Halted {
                without: 1,
                late: 2,
                seed: 3,
            },
            Error::NoAnswer {
                module: "m".into(),
                frames: 4,
                fresh: 1,
                held: 2,
                refused: 1,
            },
        ] {
            let text = error.to_string();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!(lines.len(), 3, "{text}");
            assert!(lines[1].starts_with("  why: ") && lines[2].starts_with("  try: "));
        }
    }
}
