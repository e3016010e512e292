//! From statistics to a frame in flight.

use std::ffi::{c_int, c_void};

use coldshoe::{Frame, SubmitError, Ticket};

use crate::entry::enter;
use crate::fail::Fail;
use crate::record::{Out, read};
use crate::session::{State, within};
use crate::{coldshoe_error, coldshoe_frame, coldshoe_session};

/// Submits a frame with `len` bytes of statistics at `stats`, which are copied into its slot and must
/// not be written to meanwhile; NULL if `len` is 0. Never waits.
///
/// On success `*ticket` names the frame for coldshoe_session_wait(), even if there was no free slot
/// and the module was not asked: then its outcome is COLDSHOE_OUTCOME_SKIPPED. A ticket that is never
/// waited for costs no memory, but its slot until its deadline. On failure `*ticket` is left as it
/// was:
/// COLDSHOE_ERROR_ARGUMENT (more statistics than a slot holds among others), COLDSHOE_ERROR_STATE
/// (not started, or a slot is claimed), COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_submit(
    session: *mut coldshoe_session,
    frame: *const coldshoe_frame,
    stats: *const c_void,
    len: usize,
    ticket: *mut u64,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        submitted(session, frame, ticket, error, |state, frame| {
            let capacity = state.sizes.stats_capacity;
            let stats = match len {
                0 => &[][..],
                _ if stats.is_null() => return Err(Fail::null("stats")),
                _ if len > capacity => return Err(SubmitError::TooLarge { len, capacity }.into()),
                _ => std::slice::from_raw_parts(stats.cast(), len),
            };
            Ok(state.session.submit(frame, stats)?)
        })
    }
}

/// Submits a frame whose statistics are the first `len` bytes of a buffer that the session was
/// opened with, by its place among them. The buffer must not be written to before the frame has its
/// outcome. Otherwise as coldshoe_session_submit().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_submit_buffer(
    session: *mut coldshoe_session,
    frame: *const coldshoe_frame,
    buffer: u32,
    len: usize,
    ticket: *mut u64,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        submitted(session, frame, ticket, error, |state, frame| {
            Ok(state.session.submit_buffer(frame, buffer, len)?)
        })
    }
}

/// Asks for parameters before the first frame: there are no statistics yet. Otherwise as
/// coldshoe_session_submit().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_prepare(
    session: *mut coldshoe_session,
    frame: *const coldshoe_frame,
    ticket: *mut u64,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        submitted(session, frame, ticket, error, |state, frame| {
            Ok(state.session.prepare(frame)?)
        })
    }
}

/// Publishes all frames that were queued with coldshoe_session_queue_slot(), with one wake-up.
/// Waiting for a frame does so, too. COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY,
/// COLDSHOE_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_ring(
    session: *mut coldshoe_session,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            within(session, |state| {
                state.session.ring();
                Ok(())
            })
        })
    }
}

/// # Safety
/// Each pointer is NULL or what the header says.
unsafe fn submitted(
    session: *mut coldshoe_session,
    frame: *const coldshoe_frame,
    ticket: *mut u64,
    error: *mut *mut coldshoe_error,
    submit: impl FnOnce(&mut State, &Frame) -> Result<Ticket, Fail>,
) -> c_int {
    // SAFETY: passed on.
    unsafe {
        enter(error, || {
            let frame = read(frame, "frame")?.checked()?;
            let ticket = Out::new(ticket, "ticket")?;
            within(session, |state| {
                if state.claimed {
                    return Err(Fail::Slot { claimed: true });
                }
                let submitted = submit(state, &frame)?;
                ticket.set(state.tickets.put(submitted));
                Ok(())
            })
        })
    }
}
