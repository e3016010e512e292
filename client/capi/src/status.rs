//! How a call ended.

/// How a call ended, as functions return it: 0 or more if it did what it is for, negative if it
/// failed. A newer library may answer values that this header does not name; the sign tells which
/// kind they are of.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum coldshoe_status {
    /// Done.
    COLDSHOE_OK = 0,
    /// Nothing can be told of the frame yet. From coldshoe_session_try_wait() alone.
    COLDSHOE_AGAIN = 1,
    /// The library or the daemon failed. The session is of no use any more: free it.
    COLDSHOE_ERROR_INTERNAL = -1,
    /// An argument is NULL, has an impossible size or value, or is no UTF-8.
    COLDSHOE_ERROR_ARGUMENT = -2,
    /// Not in this state of the session.
    COLDSHOE_ERROR_STATE = -3,
    /// Another thread is in a call on the same handle.
    COLDSHOE_ERROR_BUSY = -4,
    /// No daemon can be reached.
    COLDSHOE_ERROR_UNREACHABLE = -5,
    /// The daemon hung up, or cannot be understood.
    COLDSHOE_ERROR_CONNECTION = -6,
    /// The daemon did not answer in time.
    COLDSHOE_ERROR_TIMEOUT = -7,
    /// Library and daemon have no version of the protocol in common.
    COLDSHOE_ERROR_VERSION = -8,
    /// The kernel gives no memory or no descriptor.
    COLDSHOE_ERROR_RESOURCES = -9,
    /// The daemon has too many of something.
    COLDSHOE_ERROR_LIMIT = -10,
    /// The daemon has no such module.
    COLDSHOE_ERROR_NO_SUCH_MODULE = -11,
    /// The module's file was not loaded: wrong file, interface, architecture or trust.
    COLDSHOE_ERROR_MODULE_REFUSED = -12,
    /// The module failed, or what runs it.
    COLDSHOE_ERROR_MODULE_FAILED = -13,
    /// This machine cannot confine a module as it has to be.
    COLDSHOE_ERROR_SANDBOX_UNAVAILABLE = -14,
    /// Policy says no.
    COLDSHOE_ERROR_DENIED = -15,
    /// As many frames are in flight as there are slots. From coldshoe_session_claim_slot() alone.
    COLDSHOE_ERROR_FULL = -16,
}
