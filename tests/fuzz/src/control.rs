//! Control datagrams into the decoder, of both protocols and in both roles.

use coldshoe_control::client::Envelope as OfClients;
use coldshoe_control::worker::Envelope as OfWorkers;
use coldshoe_control::{MAX_FDS, Message, Trouble, decode, encode};

use crate::input::Input;

/// A byte for the descriptors that came along and the protocol; the rest is the datagram.
pub(crate) fn run(bytes: &[u8]) {
    let mut script = Input(bytes);
    let head = script.u8();
    let fds = usize::from(head & 7) % (MAX_FDS + 2);
    if head & 8 == 0 {
        both_ways::<OfClients>(script.0, fds);
    } else {
        both_ways::<OfWorkers>(script.0, fds);
    }
}

/// What is let through can be sent on as it is.
fn both_ways<M: Message>(datagram: &[u8], fds: usize) {
    match decode::<M>(datagram, fds, false) {
        Ok(message) => {
            assert_eq!(usize::try_from(message.declared_fds()), Ok(fds));
            let sent = encode(&message).expect("what was let in may go out");
            let again = decode::<M>(&sent, fds, false).expect("what goes out is let in");
            assert_eq!(encode(&again), Ok(sent));
        }
        Err(error) => {
            let trouble = Trouble::from(&error);
            // The answer to a message that is refused is itself one that is not.
            let answer = coldshoe_control::client::Error::from(trouble);
            let said = encode(&OfClients::new(error.serial(), answer));
            assert!(said.is_ok(), "{said:?}");
        }
    }
}
