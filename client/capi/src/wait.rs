//! From a ticket to an outcome.

use std::ffi::c_int;
use std::os::fd::AsRawFd;

use crate::entry::enter;
use crate::record::{Filled, Out};
use crate::session::{told_within, within};
use crate::{coldshoe_error, coldshoe_outcome, coldshoe_session, coldshoe_status};
use coldshoe_status::{COLDSHOE_AGAIN, COLDSHOE_OK};

/// Waits for a frame's answer, at most to its deadline, and fills `outcome`. Each ticket has one
/// outcome; a number that names none (0, used before, of another session, made up) has
/// COLDSHOE_OUTCOME_HELD with COLDSHOE_REASON_NOT_IN_FLIGHT.
///
/// On failure `outcome` is left as it was, and the ticket is still good: COLDSHOE_ERROR_ARGUMENT,
/// COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL. A module that fails, lies or is late is not a failure
/// of this call, but an outcome.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_wait(
    session: *mut coldshoe_session,
    ticket: u64,
    outcome: *mut coldshoe_outcome,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let outcome = Filled::new(outcome, "outcome")?;
            within(session, |state| {
                outcome.fill(&match state.tickets.take(ticket) {
                    Some(ticket) => state.session.wait(ticket).into(),
                    None => coldshoe_outcome::not_in_flight(state.session.last()),
                });
                Ok(())
            })
        })
    }
}

/// The outcome of a frame if it can be told by now; never waits. COLDSHOE_AGAIN: it cannot, `outcome`
/// is left as it was, the ticket is still good, and the descriptor of coldshoe_session_poll_fd()
/// becomes readable when it is worth while to try again, at the frame's deadline at the latest.
/// Otherwise as coldshoe_session_wait().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_try_wait(
    session: *mut coldshoe_session,
    ticket: u64,
    outcome: *mut coldshoe_outcome,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let outcome = Filled::new(outcome, "outcome")?;
            told_within(session, |state| {
                let Some(held) = state.tickets.take(ticket) else {
                    outcome.fill(&coldshoe_outcome::not_in_flight(state.session.last()));
                    return Ok(COLDSHOE_OK);
                };
                match state.session.try_wait(held) {
                    Ok(told) => outcome.fill(&told.into()),
                    Err(held) => {
                        state.tickets.put_back(ticket, held);
                        return Ok(COLDSHOE_AGAIN);
                    }
                }
                Ok(COLDSHOE_OK)
            })
        })
    }
}

/// For event loops: sets `*fd` to a descriptor that is readable when coldshoe_session_try_wait() may
/// have an outcome for a ticket that it answered COLDSHOE_AGAIN to, and when the daemon has something
/// to say. When it is readable, call coldshoe_session_fault(), then try every frame in flight: a worker
/// may ring when there is none, and only that call makes it quiet again. It stays the same for the life of the session, belongs to it, and is only polled, never read
/// from or closed.
///
/// COLDSHOE_ERROR_RESOURCES, COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_poll_fd(
    session: *mut coldshoe_session,
    fd: *mut c_int,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let fd = Out::new(fd, "fd")?;
            within(session, |state| {
                fd.set(state.session.poll_fd()?.as_raw_fd());
                Ok(())
            })
        })
    }
}
