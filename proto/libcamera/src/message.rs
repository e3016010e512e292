//! Two datagrams are a message.

use std::sync::Arc;

/// Bytes of the first datagram of a message.
pub const HEADER: usize = 8;
/// Bytes that a message can have: more than the kernel's default buffers take, which libcamera leaves
/// alone.
pub const MAX_MESSAGE: usize = 256 << 10;
/// Descriptors that a message can have: the kernel's own bound.
pub const MAX_FDS: usize = 253;
/// Bytes of the command and the cookie.
const PREFIX: usize = 8;

/// A message: a command, a cookie, and what belongs to them.
#[derive(Debug)]
pub struct Message<F> {
    /// All of the second datagram.
    pub bytes: Vec<u8>,
    /// Its descriptors.
    pub fds: Arc<[F]>,
}

impl<F> Clone for Message<F> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            fds: Arc::clone(&self.fds),
        }
    }
}

impl<F> Message<F> {
    /// Number of the call or event; 0 is Exit.
    #[must_use]
    pub fn command(&self) -> u32 {
        number(&self.bytes, 0)
    }

    /// What an answer has in common with its call; 0 for events.
    #[must_use]
    pub fn cookie(&self) -> u32 {
        number(&self.bytes, 4)
    }

    /// What comes after the two.
    #[must_use]
    pub fn arguments(&self) -> &[u8] {
        self.bytes.get(PREFIX..).unwrap_or_default()
    }
}

/// The datagram that announces a message.
#[must_use]
pub fn header<F>(message: &Message<F>) -> [u8; HEADER] {
    let length = u32::try_from(message.bytes.len()).unwrap_or(u32::MAX);
    let fds = u8::try_from(message.fds.len()).unwrap_or(u8::MAX);
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&length.to_ne_bytes());
    header[4] = fds;
    header
}

pub(crate) fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at.saturating_add(4));
    four.and_then(|four| four.try_into().ok())
        .map_or(0, u32::from_ne_bytes)
}

/// Datagrams that make no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Neither a header nor announced.
    #[error("a header of {0} bytes, where they have {HEADER}")]
    Header(usize),
    /// A header with descriptors of its own.
    #[error("a header with {0} descriptors")]
    HeaderFds(usize),
    /// More than a message can have.
    #[error("it announces {0} bytes, and messages have {PREFIX} to {MAX_MESSAGE}")]
    Length(u32),
    /// More than a message can have.
    #[error("it announces {0} descriptors, and messages have {MAX_FDS} at most")]
    Fds(u8),
    /// Not what the header says.
    #[error("it announces {announced} bytes and sends {sent}")]
    OtherLength {
        /// By the header.
        announced: usize,
        /// In the datagram.
        sent: usize,
    },
    /// Not what the header says.
    #[error("it announces {announced} descriptors and sends {sent}")]
    OtherFds {
        /// By the header.
        announced: usize,
        /// With the datagram.
        sent: usize,
    },
}

/// Makes messages of datagrams.
#[derive(Debug, Default)]
pub struct Frames {
    announced: Option<(usize, usize)>,
}

impl Frames {
    /// One more datagram; a message, if that was its second. After an error, whose descriptors are
    /// closed, nothing that follows can be understood.
    ///
    /// # Errors
    ///
    /// What is no header, and what is not as its header says.
    pub fn datagram<F>(&mut self, bytes: &[u8], fds: Vec<F>) -> Result<Option<Message<F>>, Broken> {
        let Some((announced, announced_fds)) = self.announced.take() else {
            self.announced = Some(announcement(bytes, fds.len())?);
            return Ok(None);
        };
        let sent = bytes.len();
        if sent != announced {
            return Err(Broken::OtherLength { announced, sent });
        }
        if fds.len() != announced_fds {
            return Err(Broken::OtherFds {
                announced: announced_fds,
                sent: fds.len(),
            });
        }
        Ok(Some(Message {
            bytes: bytes.to_vec(),
            fds: fds.into(),
        }))
    }
}

fn announcement(bytes: &[u8], fds: usize) -> Result<(usize, usize), Broken> {
    let &[a, b, c, d, announced_fds, _, _, _] = bytes else {
        return Err(Broken::Header(bytes.len()));
    };
    if fds != 0 {
        return Err(Broken::HeaderFds(fds));
    }
    let length = u32::from_ne_bytes([a, b, c, d]);
    let announced = usize::try_from(length).unwrap_or(usize::MAX);
    if !(PREFIX..=MAX_MESSAGE).contains(&announced) {
        return Err(Broken::Length(length));
    }
    if usize::from(announced_fds) > MAX_FDS {
        return Err(Broken::Fds(announced_fds));
    }
    Ok((announced, announced_fds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8], fds: &[u8]) -> Message<u8> {
        Message {
            bytes: bytes.to_vec(),
            fds: fds.into(),
        }
    }

    #[test]
    fn two_datagrams_are_a_message() {
        let sent = message(&[1, 0, 0, 0, 2, 0, 0, 0, 9], &[7]);
        let mut frames = Frames::default();
        let first = frames.datagram::<u8>(&header(&sent), Vec::new());
        assert!(matches!(first, Ok(None)));
        let got = frames.datagram(&sent.bytes, vec![7]).unwrap().unwrap();
        assert_eq!((got.command(), got.cookie()), (1, 2));
        assert_eq!((got.arguments(), &got.fds[..]), (&[9][..], &[7][..]));
    }

    #[test]
    fn what_is_not_as_announced_is_none() {
        let eight = message(&[0; 8], &[]);
        for (first, second, fds, error) in [
            (&[0; 3][..], &[0; 8][..], vec![], Broken::Header(3)),
            (&[0; 8], &[0; 8], vec![], Broken::Length(0)),
            (&[255; 8], &[0; 8], vec![], Broken::Length(u32::MAX)),
            (
                &[8, 0, 0, 0, 254, 0, 0, 0],
                &[0; 8],
                vec![],
                Broken::Fds(254),
            ),
            (
                &header(&eight),
                &[0; 9],
                vec![],
                Broken::OtherLength {
                    announced: 8,
                    sent: 9,
                },
            ),
            (
                &header(&eight),
                &[0; 8],
                vec![1],
                Broken::OtherFds {
                    announced: 0,
                    sent: 1,
                },
            ),
        ] {
            let mut frames = Frames::default();
            let result = match frames.datagram::<u8>(first, Vec::new()) {
                Ok(_) => frames.datagram(second, fds).map(drop),
                Err(error) => Err(error),
            };
            assert_eq!(result, Err(error));
        }
        let header_with_fd = Frames::default().datagram(&header(&eight), vec![1_u8]);
        assert_eq!(header_with_fd.map(drop), Err(Broken::HeaderFds(1)));
    }
}
