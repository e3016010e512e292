//! The handle of a session: its life.

use std::collections::BTreeSet;
use std::ffi::{c_char, c_int};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use coldshoe::{Buffer, Open, Session};

use crate::entry::{enter, or_nothing};
use crate::fail::Fail;
use crate::info::{Sizes, Strings};
use crate::record::{Filled, Out, Record, read, reference};
use crate::tickets::Tickets;
use crate::{
    coldshoe_buffer, coldshoe_counters, coldshoe_error, coldshoe_health, coldshoe_info,
    coldshoe_sensor, coldshoe_status, text,
};
use coldshoe_status::COLDSHOE_OK;

/// One camera with one module in its jail. Opened with coldshoe_session_open(), freed with
/// coldshoe_session_close() or coldshoe_session_free().
#[derive(Debug)]
pub struct coldshoe_session {
    strings: Strings,
    sizes: Sizes,
    state: Mutex<State>,
}

/// What calls on a session change.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) sizes: Sizes,
    pub(crate) tickets: Tickets,
    /// The next slot is in the caller's hands.
    pub(crate) claimed: bool,
}

/// Handles may be handed on, and be in the wrong hands at the same time.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<(coldshoe_session, coldshoe_buffer, coldshoe_error)>();
};

/// What a session is opened with. Zero, wherever it may stand, means: as usual.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct coldshoe_open {
    /// sizeof(struct coldshoe_open)
    pub struct_size: usize,
    /// Path of the daemon's control socket. NULL: $XDG_RUNTIME_DIR/coldshoe/control.sock,
    /// else /run/coldshoe/control.sock.
    pub socket: *const c_char,
    /// Name of the module, never a path.
    pub module: *const c_char,
    /// Name of the camera; selects the tuning file.
    pub camera: *const c_char,
    /// Format of the statistics, for example "coldshoe-stats-1".
    pub stats_format: *const c_char,
    /// Format of the parameters, for example "coldshoe-soft".
    pub params_format: *const c_char,
    /// Frames that can be in flight: a power of two, 1 to 16. 0: 4.
    pub slots: u32,
    /// Bytes of statistics that a slot holds, at most 16 MiB. 0: 64 KiB.
    pub stats_capacity: u32,
    /// Bytes of parameters that an answer holds at most, at most 16 MiB. 0: 16 KiB.
    pub params_capacity: u32,
    /// Number of buffers, at most 16.
    pub buffer_count: u32,
    /// Bit n: the ISP has block type n. 0: every type.
    pub isp_capabilities: u64,
    /// Array of `buffer_count` buffers for statistics, which frames name by their place in it. NULL
    /// without buffers. A session that opens takes them: their handles are freed, the places in the
    /// array become NULL, and their memory stays until the session is freed.
    pub buffers: *mut *mut coldshoe_buffer,
    /// Not 0: keep a second worker ready, where the daemon's profile allows it. Another one takes over
    /// within a frame then.
    pub standby: u32,
    /// 0
    pub reserved: u32,
    /// What the parameters may say, where that is not built in: the text of a contract, in TOML. NULL:
    /// that of `params_format`.
    pub contract: *const c_char,
}

// SAFETY: the first field is its size, the four-byte ones are paired, and any bytes are a number or
// a pointer.
unsafe impl Record for coldshoe_open {}

/// Connects to the daemon and opens a session: the module is loaded in its jail by then.
///
/// On success `*session` is the caller's. On failure it and the buffers are left as they were, and
/// buffers that were sealed for it can still be given to another session:
/// COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_UNREACHABLE, COLDSHOE_ERROR_NO_SUCH_MODULE,
/// COLDSHOE_ERROR_MODULE_REFUSED, COLDSHOE_ERROR_MODULE_FAILED, COLDSHOE_ERROR_SANDBOX_UNAVAILABLE,
/// COLDSHOE_ERROR_DENIED, COLDSHOE_ERROR_LIMIT, COLDSHOE_ERROR_RESOURCES, COLDSHOE_ERROR_VERSION,
/// COLDSHOE_ERROR_CONNECTION, COLDSHOE_ERROR_TIMEOUT, and COLDSHOE_ERROR_BUSY of a buffer.
///
/// Waits for the daemon, for 10 s at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_open(
    open: *const coldshoe_open,
    session: *mut *mut coldshoe_session,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let open = read(open, "open")?;
            let session = Out::new(session, "session")?;
            let handle = with_buffers(&open, |buffers| opened(&open.checked()?, buffers))?;
            session.set(Box::into_raw(Box::new(handle)));
            Ok(COLDSHOE_OK)
        })
    }
}

/// Fills `info`. COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_info(
    session: *mut coldshoe_session,
    info: *mut coldshoe_info,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let info = Filled::new(info, "info")?;
            let handle = reference(session, "session")?;
            let state = lock(&handle.state)?;
            info.fill(&coldshoe_info::new(
                &state.session,
                handle.sizes,
                &handle.strings,
            ));
            Ok(COLDSHOE_OK)
        })
    }
}

/// Tells the module about the sensor's mode. Not while the session is started.
///
/// COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_STATE, COLDSHOE_ERROR_MODULE_FAILED,
/// COLDSHOE_ERROR_CONNECTION, COLDSHOE_ERROR_TIMEOUT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
/// Waits for the module, for 10 s at most.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_configure(
    session: *mut coldshoe_session,
    sensor: *const coldshoe_sensor,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let sensor = read(sensor, "sensor")?.checked()?;
            within(session, |state| Ok(state.session.configure(&sensor)?))
        })
    }
}

/// Starts the module: frames may follow. Errors as of coldshoe_session_configure().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_start(
    session: *mut coldshoe_session,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            within(session, |state| Ok(state.session.start()?))
        })
    }
}

/// Stops the module. Frames in flight are given up, and a slot that is claimed is abandoned. Errors
/// as of coldshoe_session_configure().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_stop(
    session: *mut coldshoe_session,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            within(session, |state| {
                state.claimed = false;
                Ok(state.session.stop()?)
            })
        })
    }
}

/// The last fault of a worker of this session, whether another one has taken over by now or not:
/// COLDSHOE_OK if there was none, else COLDSHOE_ERROR_MODULE_FAILED, with the reason in `*error`.
/// COLDSHOE_ERROR_INTERNAL: it ended with its daemon. Never waits. In an event loop it also takes note of what made the descriptor of coldshoe_session_poll_fd() readable: try the frames
/// in flight afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_fault(
    session: *mut coldshoe_session,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            within(session, |state| match state.session.fault() {
                Some(fault) => Err(Fail::Fault(fault.trouble.clone())),
                None => Ok(()),
            })
        })
    }
}

/// How the session does: an enum coldshoe_health. COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY,
/// COLDSHOE_ERROR_INTERNAL. Never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_health(
    session: *mut coldshoe_session,
    health: *mut c_int,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let health = Out::new(health, "health")?;
            within(session, |state| {
                health.set(coldshoe_health::from(state.session.health()) as c_int);
                Ok(())
            })
        })
    }
}

/// Fills `counters`. COLDSHOE_ERROR_ARGUMENT, COLDSHOE_ERROR_BUSY, COLDSHOE_ERROR_INTERNAL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_counters(
    session: *mut coldshoe_session,
    counters: *mut coldshoe_counters,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let counters = Filled::new(counters, "counters")?;
            within(session, |state| {
                counters.fill(&state.session.counters().into());
                Ok(())
            })
        })
    }
}

/// Closes a session, waits until its worker is gone, for 10 s at most, and frees the handle, its
/// buffers and everything that came from it, whatever it returns but for
/// COLDSHOE_ERROR_ARGUMENT (NULL) and COLDSHOE_ERROR_BUSY.
///
/// COLDSHOE_ERROR_CONNECTION, COLDSHOE_ERROR_TIMEOUT, COLDSHOE_ERROR_MODULE_FAILED,
/// COLDSHOE_ERROR_STATE, COLDSHOE_ERROR_INTERNAL: the worker is gone, or will be soon, all the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_close(
    session: *mut coldshoe_session,
    error: *mut *mut coldshoe_error,
) -> c_int {
    // SAFETY: the caller's pointers, as the header says.
    unsafe {
        enter(error, || {
            let handle = freed(session, "session", |handle| &handle.state)?;
            let state = handle.state.into_inner();
            let state = state.unwrap_or_else(PoisonError::into_inner);
            state.session.close()?;
            Ok(COLDSHOE_OK)
        })
    }
}

/// Frees a session as coldshoe_session_close() does, without waiting for its worker's end. NULL is
/// left alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn coldshoe_session_free(session: *mut coldshoe_session) {
    or_nothing((), || {
        // SAFETY: the caller's pointer, as the header says.
        unsafe { freed(session, "session", |handle| &handle.state) }.map(drop)
    });
}

impl coldshoe_open {
    /// # Safety
    /// The strings are NULL or strings.
    unsafe fn checked(&self) -> Result<Open, Fail> {
        let usual = Open::default();
        let or = |value, usual| if value == 0 { usual } else { value };
        // SAFETY: passed on.
        unsafe {
            Ok(Open {
                socket: text::optional(self.socket, "open.socket")?.map(PathBuf::from),
                module: text::required(self.module, "open.module")?.to_owned(),
                camera: text::required(self.camera, "open.camera")?.to_owned(),
                stats_format: text::required(self.stats_format, "open.stats_format")?.to_owned(),
                params_format: text::required(self.params_format, "open.params_format")?.to_owned(),
                slots: or(self.slots, usual.slots),
                stats_capacity: or(self.stats_capacity, usual.stats_capacity),
                params_capacity: or(self.params_capacity, usual.params_capacity),
                standby: self.standby != 0,
                contract: text::optional(self.contract, "open.contract")?.map(str::to_owned),
                isp_capabilities: match self.isp_capabilities {
                    0 => usual.isp_capabilities,
                    some => some,
                },
            })
        }
    }
}

fn opened(open: &Open, buffers: &mut Vec<Buffer>) -> Result<coldshoe_session, Fail> {
    let session = Session::open_taking(open, buffers)?;
    let sizes = Sizes {
        slots: open.slots,
        stats_capacity: open.stats_capacity as usize,
        params_capacity: open.params_capacity as usize,
    };
    Ok(coldshoe_session {
        strings: Strings::of(&session),
        sizes,
        state: Mutex::new(State {
            session,
            sizes,
            tickets: Tickets::new(),
            claimed: false,
        }),
    })
}

/// Opens something with the buffers of the caller's array, and frees their handles if that succeeds.
///
/// # Safety
/// The array is NULL or has as many places as it is said to, each NULL or that of a buffer.
unsafe fn with_buffers(
    open: &coldshoe_open,
    opened: impl FnOnce(&mut Vec<Buffer>) -> Result<coldshoe_session, Fail>,
) -> Result<coldshoe_session, Fail> {
    const MOST: usize = 16;
    let refused = |why: &str, remedy| Fail::Argument {
        name: "open.buffers",
        why: why.to_owned().into(),
        remedy,
    };
    let count = open.buffer_count as usize;
    if count == 0 {
        return opened(&mut Vec::new());
    }
    if count > MOST {
        return Err(refused("there are more than 16", "use fewer"));
    }
    // SAFETY: passed on.
    unsafe { reference(open.buffers, "open.buffers") }?;
    // SAFETY: the caller vouches for the places, and the first is there.
    let places = unsafe { std::slice::from_raw_parts_mut(open.buffers, count) };
    if places.iter().collect::<BTreeSet<_>>().len() < count {
        return Err(refused("one is there twice", "give each buffer once"));
    }
    let mut held = Vec::with_capacity(count);
    for place in places.iter() {
        // SAFETY: passed on.
        held.push(unsafe { reference(*place, "open.buffers[]") }?.lock()?);
    }
    // Nobody else has them now, and none is away.
    let mut buffers = held.iter_mut().filter_map(|held| held.take()).collect();
    let session = opened(&mut buffers);
    if session.is_err() {
        let mut back = buffers.into_iter();
        held.iter_mut().for_each(|held| **held = back.next());
        return session;
    }
    drop(held);
    for place in places {
        // SAFETY: `coldshoe_buffer_create` made it with `Box::into_raw`, and it is there once.
        drop(unsafe { Box::from_raw(std::mem::replace(place, std::ptr::null_mut())) });
    }
    session
}

/// What a mutex guards, for one thread at a time and while it is whole. Never waits.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, Fail> {
    mutex.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => Fail::Busy,
        TryLockError::Poisoned(_) => Fail::Broken,
    })
}

/// Does something with a session.
///
/// # Safety
/// `session` is NULL or that of a session.
pub(crate) unsafe fn within(
    session: *const coldshoe_session,
    call: impl FnOnce(&mut State) -> Result<(), Fail>,
) -> Result<coldshoe_status, Fail> {
    // SAFETY: passed on.
    unsafe { told_within(session, |state| call(state).map(|()| COLDSHOE_OK)) }
}

/// The same for what can end well in more than one way.
///
/// # Safety
/// As for [`within`].
pub(crate) unsafe fn told_within(
    session: *const coldshoe_session,
    call: impl FnOnce(&mut State) -> Result<coldshoe_status, Fail>,
) -> Result<coldshoe_status, Fail> {
    // SAFETY: passed on.
    let handle = unsafe { reference(session, "session") }?;
    let mut state = lock(&handle.state)?;
    call(&mut state)
}

/// Takes a handle back, unless a thread is using it: better it is never freed.
///
/// # Safety
/// `handle` is NULL or came from `Box::into_raw`, and is not used any more.
pub(crate) unsafe fn freed<H, T>(
    handle: *mut H,
    name: &'static str,
    guarded: fn(&H) -> &Mutex<T>,
) -> Result<Box<H>, Fail> {
    // SAFETY: passed on.
    let used = guarded(unsafe { reference(handle, name) }?).try_lock();
    if let Err(TryLockError::WouldBlock) = used {
        return Err(Fail::Busy);
    }
    drop(used);
    // SAFETY: passed on.
    Ok(unsafe { Box::from_raw(handle) })
}
