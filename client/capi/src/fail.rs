//! Why a call failed. The words are only made for a caller that wants them.

use std::borrow::Cow;

use coldshoe::{Error, ErrorCode, SendError, SubmitError, WhySkipped};

use crate::coldshoe_status;
use coldshoe_status::*;

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Fail {
    /// An argument cannot be.
    Argument {
        name: &'static str,
        why: Cow<'static, str>,
        remedy: &'static str,
    },
    /// Another thread is in there.
    Busy,
    /// An earlier call panicked half way.
    Broken,
    /// This call panicked.
    Panicked,
    /// The session's slot is claimed, or it is not.
    Slot { claimed: bool },
    /// The library's own.
    Session(Error),
    /// The library's own, of a frame.
    Submit(SubmitError),
    /// The session's worker has failed.
    Fault(coldshoe::Trouble),
}

/// What happened, why, and what to do.
pub(crate) type Lines = [Cow<'static, str>; 3];

impl Fail {
    pub(crate) fn null(name: &'static str) -> Self {
        Self::Argument {
            name,
            why: "it is NULL".into(),
            remedy: "pass the address of one",
        }
    }

    pub(crate) fn status(&self) -> coldshoe_status {
        match self {
            Self::Argument { .. } => COLDSHOE_ERROR_ARGUMENT,
            Self::Busy => COLDSHOE_ERROR_BUSY,
            Self::Broken | Self::Panicked => COLDSHOE_ERROR_INTERNAL,
            Self::Slot { .. } => COLDSHOE_ERROR_STATE,
            Self::Session(error) => of_session(error),
            Self::Submit(error) => of_frame(error),
            Self::Fault(trouble) => of_daemon(trouble.code),
        }
    }

    pub(crate) fn lines(&self) -> Lines {
        match self {
            Self::Argument { name, why, remedy } => [
                format!("the argument {name} was refused").into(),
                why.clone(),
                (*remedy).into(),
            ],
            Self::Busy => [
                "the handle was not used".into(),
                "another thread is in a call on it".into(),
                "use a handle on one thread at a time".into(),
            ],
            Self::Broken => [
                "the handle cannot be used any more".into(),
                "an earlier call on it failed half way".into(),
                "free it and make a new one".into(),
            ],
            Self::Panicked => [
                "libcoldshoe failed".into(),
                "it ran into a mistake of its own, which it wrote to standard error".into(),
                "report it; free the handle and make a new one".into(),
            ],
            Self::Slot { claimed: true } => [
                "the frame was not submitted".into(),
                "the session's next slot is claimed".into(),
                "submit, queue or abandon the slot first".into(),
            ],
            Self::Slot { claimed: false } => [
                "the frame was not submitted".into(),
                "no slot of the session is claimed".into(),
                "claim one; stopping a session abandons it".into(),
            ],
            Self::Session(error) => split(&error.to_string()),
            Self::Submit(error) => split(&error.to_string()),
            Self::Fault(trouble) => split(&trouble.to_string()),
        }
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl From<SubmitError> for Fail {
    fn from(error: SubmitError) -> Self {
        Self::Submit(error)
    }
}

fn of_session(error: &Error) -> coldshoe_status {
    match error {
        Error::Unreachable { .. } | Error::NoSocket => COLDSHOE_ERROR_UNREACHABLE,
        Error::Refused(trouble) => of_daemon(trouble.code),
        Error::Geometry(_)
        | Error::Contract(_)
        | Error::Sensor(_)
        | Error::Send(SendError::Encode(_)) => COLDSHOE_ERROR_ARGUMENT,
        Error::Segment(_) | Error::Watch(_) => COLDSHOE_ERROR_RESOURCES,
        Error::Send(_) | Error::Recv(_) | Error::Unexpected(..) => COLDSHOE_ERROR_CONNECTION,
        Error::Late(..) => COLDSHOE_ERROR_TIMEOUT,
        _ => COLDSHOE_ERROR_INTERNAL,
    }
}

fn of_frame(error: &SubmitError) -> coldshoe_status {
    match error {
        SubmitError::Skipped(WhySkipped::Full) => COLDSHOE_ERROR_FULL,
        SubmitError::Skipped(_) => COLDSHOE_ERROR_MODULE_FAILED,
        SubmitError::NotStarted => COLDSHOE_ERROR_STATE,
        SubmitError::TooLarge { .. } | SubmitError::Unaligned(_) | SubmitError::NoSuchBuffer(_) => {
            COLDSHOE_ERROR_ARGUMENT
        }
        _ => COLDSHOE_ERROR_INTERNAL,
    }
}

fn of_daemon(code: ErrorCode) -> coldshoe_status {
    match code {
        ErrorCode::Version => COLDSHOE_ERROR_VERSION,
        ErrorCode::Protocol => COLDSHOE_ERROR_CONNECTION,
        ErrorCode::NoSuchModule => COLDSHOE_ERROR_NO_SUCH_MODULE,
        ErrorCode::ModuleRefused | ErrorCode::ModuleQuarantined => COLDSHOE_ERROR_MODULE_REFUSED,
        ErrorCode::ModuleFailed => COLDSHOE_ERROR_MODULE_FAILED,
        ErrorCode::NoSuchSession | ErrorCode::BadState => COLDSHOE_ERROR_STATE,
        ErrorCode::BadSegment | ErrorCode::BadArgument => COLDSHOE_ERROR_ARGUMENT,
        ErrorCode::Limit => COLDSHOE_ERROR_LIMIT,
        ErrorCode::SandboxUnavailable => COLDSHOE_ERROR_SANDBOX_UNAVAILABLE,
        ErrorCode::Denied => COLDSHOE_ERROR_DENIED,
        ErrorCode::Unspecified | ErrorCode::Internal => COLDSHOE_ERROR_INTERNAL,
    }
}

/// The parts of a message of up to three lines, as every error of this project is told.
fn split(message: &str) -> Lines {
    let (rest, remedy) = message.rsplit_once("\n  try: ").unwrap_or((message, ""));
    let (what, why) = rest.split_once("\n  why: ").unwrap_or((rest, ""));
    [what, why, remedy].map(|line| line.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_apart_into_its_lines_whatever_is_missing() {
        assert_eq!(split("a\n  why: b\n  try: c"), ["a", "b", "c"]);
        assert_eq!(split("a\n  why: b"), ["a", "b", ""]);
        assert_eq!(split("a\n  try: c"), ["a", "", "c"]);
        assert_eq!(split(""), ["", "", ""]);
    }

    #[test]
    fn whatever_the_library_refuses_has_all_three_lines() {
        let fails = [
            Fail::null("frame"),
            Fail::Busy,
            Fail::Broken,
            Fail::Panicked,
            Fail::Slot { claimed: true },
            Fail::Slot { claimed: false },
            Error::NoSocket.into(),
            SubmitError::NotStarted.into(),
            SubmitError::Skipped(WhySkipped::Full).into(),
        ];
        for fail in fails {
            assert!(fail.lines().iter().all(|line| !line.is_empty()), "{fail:?}");
            assert!((fail.status() as i32) < 0, "{fail:?}");
        }
    }
}
