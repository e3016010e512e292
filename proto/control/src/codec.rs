//! Datagrams to messages and back; no I/O.

use crate::check::{Invalid, MAX_BUFFERS};

/// Most bytes in a datagram.
pub const MAX_DATAGRAM: usize = 64 << 10;
/// Most file descriptors that a datagram may carry.
pub const MAX_FDS: usize = 4 + MAX_BUFFERS as usize;

/// What the codec must know of an envelope.
pub trait Message: prost::Message + Default + std::fmt::Debug {
    /// Ties an answer to its request; 0 answers nothing.
    fn serial(&self) -> u32;
    /// Number of descriptors that the envelope says it carries.
    fn declared_fds(&self) -> u32;
    /// Number of descriptors that its message requires; `None` without a message.
    fn required_fds(&self) -> Option<u32>;
    /// Name of its message.
    fn kind(&self) -> &'static str;
    /// Checks every field of its message.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that holds a value that cannot be.
    fn validate(&self) -> Result<(), Invalid>;
}

/// A message that must not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// It does not fit a datagram.
    #[error("{kind} of {bytes} bytes exceeds a datagram of {MAX_DATAGRAM}: shorten its lists")]
    TooLarge {
        /// Name of the message.
        kind: &'static str,
        /// Its encoded size.
        bytes: usize,
    },
    /// The envelope holds no message.
    #[error("envelope without a message: set its body")]
    NoBody,
    /// The envelope declares another number of descriptors than the message requires.
    #[error("{kind} declares {declared} file descriptors but requires {required}")]
    Fds {
        /// Name of the message.
        kind: &'static str,
        /// Number that the envelope declares.
        declared: u32,
        /// Number that the message requires.
        required: u32,
    },
    /// A field holds a value that the peer would refuse.
    #[error("{kind}: {invalid}")]
    Invalid {
        /// Name of the message.
        kind: &'static str,
        /// The field, and what is wrong with it.
        invalid: Invalid,
    },
}

/// A datagram that is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No bytes at all.
    #[error("empty datagram")]
    Empty,
    /// More bytes than a datagram may have.
    #[error("datagram exceeds {MAX_DATAGRAM} bytes")]
    TooLarge,
    /// The kernel cut off data or descriptors.
    #[error("the kernel cut off part of the datagram or of its file descriptors")]
    Truncated,
    /// The bytes are no envelope.
    #[error("datagram is no envelope: {0}")]
    Undecodable(prost::DecodeError),
    /// An envelope without a message that is known here.
    #[error("envelope without a known message")]
    NoBody {
        /// Serial of the envelope.
        serial: u32,
    },
    /// The number of descriptors is not the one that the message requires.
    #[error(
        "{kind} came with {received} file descriptors and declares {declared}, but requires {required}"
    )]
    Fds {
        /// Name of the message.
        kind: &'static str,
        /// Serial of the envelope.
        serial: u32,
        /// Number that came.
        received: usize,
        /// Number that the envelope declares.
        declared: u32,
        /// Number that the message requires.
        required: u32,
    },
    /// A field holds a value that cannot be.
    #[error("{kind}: {invalid}")]
    Invalid {
        /// Name of the message.
        kind: &'static str,
        /// Serial of the envelope.
        serial: u32,
        /// The field, and what is wrong with it.
        invalid: Invalid,
    },
}

impl DecodeError {
    /// Serial of the refused message, to answer it; 0 if it could not be read.
    #[must_use]
    pub fn serial(&self) -> u32 {
        match self {
            Self::NoBody { serial } | Self::Fds { serial, .. } | Self::Invalid { serial, .. } => {
                *serial
            }
            Self::Empty | Self::TooLarge | Self::Truncated | Self::Undecodable(_) => 0,
        }
    }
}

/// Makes the datagram of a message.
///
/// # Errors
/// [`EncodeError`] if a peer's [`decode`] would refuse it.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, EncodeError> {
    let kind = message.kind();
    let declared = message.declared_fds();
    let required = message.required_fds().ok_or(EncodeError::NoBody)?;
    if declared != required {
        return Err(EncodeError::Fds {
            kind,
            declared,
            required,
        });
    }
    message
        .validate()
        .map_err(|invalid| EncodeError::Invalid { kind, invalid })?;
    let bytes = message.encoded_len();
    if bytes > MAX_DATAGRAM {
        return Err(EncodeError::TooLarge { kind, bytes });
    }
    Ok(message.encode_to_vec())
}

/// Reads the message of a datagram that came with `fds` descriptors; `truncated`
/// says that the kernel cut off data or descriptors.
///
/// Decoding allocates a small multiple of the datagram at most: a list of empty
/// entries, the worst case, takes 32 bytes for each two, so 1 MiB in all, and
/// up to three times that while the list grows.
///
/// # Errors
/// [`DecodeError`] if the datagram is empty, too large or cut off, is no envelope
/// with a known message, carries another number of descriptors than the envelope
/// declares or the message requires, or if a field holds a value that cannot be.
pub fn decode<M: Message>(datagram: &[u8], fds: usize, truncated: bool) -> Result<M, DecodeError> {
    if datagram.is_empty() {
        return Err(DecodeError::Empty);
    }
    if datagram.len() > MAX_DATAGRAM {
        return Err(DecodeError::TooLarge);
    }
    if truncated {
        return Err(DecodeError::Truncated);
    }
    let message = M::decode(datagram).map_err(DecodeError::Undecodable)?;
    let kind = message.kind();
    let serial = message.serial();
    let declared = message.declared_fds();
    let required = message
        .required_fds()
        .ok_or(DecodeError::NoBody { serial })?;
    if declared != required || usize::try_from(required) != Ok(fds) {
        return Err(DecodeError::Fds {
            kind,
            serial,
            received: fds,
            declared,
            required,
        });
    }
    message.validate().map_err(|invalid| DecodeError::Invalid {
        kind,
        serial,
        invalid,
    })?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::client::{
        Body, Confinement, Done, Envelope, ModuleInfo, OpenSession, SessionOpened, Stop, Wake,
    };

    /// The largest kind of message, as many bytes long as asked for.
    fn envelope_of(bytes: usize) -> Envelope {
        let envelope = |last: usize| {
            let mut notes = vec!["x".repeat(4000); 16];
            notes.push("x".repeat(last));
            Envelope::new(
                1,
                SessionOpened {
                    session: 1,
                    generation: 1,
                    module: Some(ModuleInfo {
                        name: "m".into(),
                        path: "/m".into(),
                        ..Default::default()
                    }),
                    confinement: Some(Confinement {
                        notes,
                        ..Default::default()
                    }),
                    worker_pid: 1,
                    wake: Wake::Sleep.into(),
                    token: vec![7; 16],
                    standby: false,
                },
            )
        };
        let fixed = envelope(1000).encoded_len() - 1000;
        envelope(bytes - fixed)
    }

    #[test]
    fn a_full_datagram_passes_and_one_byte_more_does_not() {
        let full = envelope_of(MAX_DATAGRAM);
        let datagram = encode(&full).unwrap();
        assert_eq!(datagram.len(), MAX_DATAGRAM);
        assert_eq!(decode(&datagram, 3, false), Ok(full));

        let over = envelope_of(MAX_DATAGRAM + 1);
        let refusal = EncodeError::TooLarge {
            kind: "SessionOpened",
            bytes: MAX_DATAGRAM + 1,
        };
        assert_eq!(encode(&over), Err(refusal));
        let datagram = over.encode_to_vec();
        let refusal = decode::<Envelope>(&datagram, 2, false);
        assert_eq!(refusal, Err(DecodeError::TooLarge));
    }

    #[test]
    fn an_empty_datagram_is_refused() {
        assert_eq!(decode::<Envelope>(&[], 0, false), Err(DecodeError::Empty));
    }

    #[test]
    fn a_truncated_datagram_is_refused_even_if_it_decodes() {
        let datagram = encode(&Envelope::new(1, Done { session: 1 })).unwrap();
        let refusal = decode::<Envelope>(&datagram, 0, true);
        assert_eq!(refusal, Err(DecodeError::Truncated));
    }

    #[test]
    fn an_envelope_without_a_message_is_refused_and_its_serial_told() {
        let hollow = Envelope {
            serial: 9,
            fds: 0,
            body: None,
        };
        assert_eq!(encode(&hollow), Err(EncodeError::NoBody));
        let refusal = decode::<Envelope>(&hollow.encode_to_vec(), 0, false).unwrap_err();
        assert_eq!(refusal, DecodeError::NoBody { serial: 9 });
        assert_eq!(refusal.serial(), 9);
    }

    #[test]
    fn a_message_of_a_later_version_counts_as_none() {
        // Field 500, two bytes long: a body that is not known here.
        let datagram = [0x08, 0x05, 0xa2, 0x1f, 0x02, 0x08, 0x01];
        let refusal = decode::<Envelope>(&datagram, 0, false);
        assert_eq!(refusal, Err(DecodeError::NoBody { serial: 5 }));
    }

    #[test]
    fn an_invalid_field_is_refused_both_ways_and_the_serial_told() {
        let lost = Envelope::new(3, Stop { session: 0 });
        assert!(matches!(encode(&lost), Err(EncodeError::Invalid { .. })));
        let refusal = decode::<Envelope>(&lost.encode_to_vec(), 0, false).unwrap_err();
        assert_eq!(refusal.to_string(), "Stop: session is 0 or missing");
        assert_eq!(refusal.serial(), 3);
    }

    #[test]
    fn no_message_requires_more_descriptors_than_a_datagram_may_carry() {
        use crate::worker::{self, Assignment};
        let most = worker::Body::from(Assignment {
            has_tuning: true,
            buffers: MAX_BUFFERS,
            ..Default::default()
        });
        assert_eq!(most.fds() as usize, MAX_FDS);
        let open = OpenSession {
            buffers: MAX_BUFFERS,
            resume: Some(Default::default()),
            ..Default::default()
        };
        let opened = Body::from(SessionOpened::default());
        assert!(Body::from(open).fds().max(opened.fds()) as usize <= MAX_FDS);
    }
}
