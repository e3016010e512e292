//! Errors told on three lines.

use std::fmt;

use crate::client::{Error, ErrorCode, FaultReason, SessionFault};
use crate::codec::DecodeError;
use crate::text::clean;

/// An error told on three lines: what happened, why, and what to do.
///
/// ```text
/// module "acme" was not loaded
///   why: /usr/lib/coldshoe/acme.so is for aarch64, this machine is x86_64
///   try: install the module's package for x86_64
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The reason, for programs.
    pub code: ErrorCode,
    /// What happened, naming the object; one line.
    pub what: String,
    /// Why; one line.
    pub why: String,
    /// What to do; one line.
    pub remedy: String,
}

impl Trouble {
    /// An error of three lines; each text is made fit to travel, see [`clean`].
    #[must_use]
    pub fn new(
        code: ErrorCode,
        what: impl AsRef<str>,
        why: impl AsRef<str>,
        remedy: impl AsRef<str>,
    ) -> Self {
        Self {
            code,
            what: clean(what.as_ref()),
            why: clean(why.as_ref()),
            remedy: clean(remedy.as_ref()),
        }
    }

    /// The same three lines as the fault of a session's worker; `frame` is the
    /// last one that the worker was known to handle, 0 if none.
    #[must_use]
    pub fn into_fault(self, session: u64, reason: FaultReason, frame: u64) -> SessionFault {
        let Error {
            what, why, remedy, ..
        } = self.into();
        SessionFault {
            session,
            reason: reason.into(),
            what,
            why,
            remedy,
            frame,
            ..SessionFault::default()
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.why.is_empty() {
            write!(f, "\n  why: {}", self.why)?;
        }
        if !self.remedy.is_empty() {
            write!(f, "\n  try: {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Trouble {}

impl From<Trouble> for Error {
    /// The texts are cleaned again, for the fields of a [`Trouble`] are open, and
    /// an error that the codec refuses would never be heard of.
    fn from(trouble: Trouble) -> Self {
        let what = if trouble.what.is_empty() {
            trouble.code.as_str_name()
        } else {
            &trouble.what
        };
        Self {
            code: trouble.code.into(),
            what: clean(what),
            why: clean(&trouble.why),
            remedy: clean(&trouble.remedy),
        }
    }
}

impl From<Error> for Trouble {
    /// A code that is unknown here becomes [`ErrorCode::Unspecified`].
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.what, error.why, error.remedy)
    }
}

impl From<SessionFault> for Trouble {
    fn from(fault: SessionFault) -> Self {
        Self::new(ErrorCode::ModuleFailed, fault.what, fault.why, fault.remedy)
    }
}

impl From<&DecodeError> for Trouble {
    /// What to tell the peer that sent the refused datagram.
    fn from(error: &DecodeError) -> Self {
        match error {
            DecodeError::Invalid { kind, invalid, .. } => Self::new(
                ErrorCode::BadArgument,
                format!("{kind} was refused"),
                invalid.to_string(),
                format!("give {} a value within its limits", invalid.field),
            ),
            _ => Self::new(
                ErrorCode::Protocol,
                "a message on the control socket was refused",
                error.to_string(),
                "use the client library of the daemon's release",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble() -> Trouble {
        Trouble::new(
            ErrorCode::NoSuchModule,
            "no module \"x\"",
            "it is not in /m",
            "list them",
        )
    }

    #[test]
    fn it_prints_what_why_and_what_to_try() {
        assert_eq!(
            trouble().to_string(),
            "no module \"x\"\n  why: it is not in /m\n  try: list them"
        );
    }

    #[test]
    fn it_comes_back_from_the_wire_as_it_was() {
        assert_eq!(Trouble::from(Error::from(trouble())), trouble());
    }

    #[test]
    fn a_fault_keeps_the_three_lines() {
        let fault = trouble().into_fault(7, FaultReason::Crash, 42);
        assert_eq!(fault.reason(), FaultReason::Crash);
        assert_eq!((fault.session, fault.frame), (7, 42));
        let back = Trouble::from(fault);
        assert_eq!(back.code, ErrorCode::ModuleFailed);
        assert_eq!(back.remedy, "list them");
    }

    #[test]
    fn whatever_its_fields_hold_the_wire_accepts_it() {
        let wild = Trouble {
            code: ErrorCode::Internal,
            what: String::new(),
            why: "\x1b\n".repeat(5000),
            remedy: "ü".repeat(5000),
        };
        let envelope = crate::client::Envelope::new(1, Error::from(wild));
        assert!(crate::encode(&envelope).is_ok());
    }
}
