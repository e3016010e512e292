//! From the trait to the C table.

use core::ffi::{c_char, c_void};
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use crate::abi::{self, LogLevel};
use crate::ipa::{FrameIn, Host, Init, Ipa, IpaError};

const EINVAL: i32 = -22;
const EIO: i32 = -5;

/// Exports a type that implements [`Ipa`] as the module of this shared object.
#[macro_export]
macro_rules! export_ipa {
    ($module:ty) => {
        /// The symbol that coldshoe looks up.
        #[unsafe(no_mangle)]
        pub extern "C" fn coldshoe_ipa_module() -> *const $crate::abi::Module {
            static ENTRY: $crate::Entry = $crate::Entry::new();
            $crate::module_table::<$module>(&ENTRY)
        }
    };
}

/// Where a module's table lives once it has been asked for.
#[derive(Debug)]
pub struct Entry(OnceLock<Table>);

#[derive(Debug)]
struct Table {
    module: abi::Module,
}

// SAFETY: the table's pointers lead to allocations that are never freed or written again.
unsafe impl Send for Table {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Table {}

impl Entry {
    /// An empty entry.
    #[expect(clippy::new_without_default, reason = "used in a static only")]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }
}

/// The C table of `T`, made once and kept in `entry`.
pub fn module_table<T: Ipa>(entry: &'static Entry) -> *const abi::Module {
    let table = entry.0.get_or_init(|| {
        let info = T::INFO;
        let mut formats: Vec<abi::Format> = info
            .formats
            .iter()
            .map(|format| abi::Format {
                stats: leaked(format.stats),
                params: leaked(format.params),
                blocks: format.blocks,
            })
            .collect();
        formats.push(abi::Format {
            stats: std::ptr::null(),
            params: std::ptr::null(),
            blocks: 0,
        });
        let flags = if info.flags.threads {
            abi::FLAG_THREADS
        } else {
            0
        };
        Table {
            module: abi::Module {
                struct_size: size_of::<abi::Module>() as u32,
                abi_version: abi::ABI_VERSION,
                name: leaked(info.name),
                version: leaked(info.version),
                license: leaked(info.license),
                flags,
                formats: Vec::leak(formats).as_ptr(),
                create: Some(create::<T>),
                configure: Some(configure::<T>),
                start: Some(start::<T>),
                process: Some(process::<T>),
                stop: Some(stop::<T>),
                destroy: Some(destroy::<T>),
                save_state: Some(save_state::<T>),
                restore_state: Some(restore_state::<T>),
            },
        }
    });
    &raw const table.module
}

/// A constant C string. A NUL inside cuts it, as C would.
fn leaked(text: &str) -> *const c_char {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    Vec::leak(bytes).as_ptr().cast()
}

/// An instance beside its host. A verb that panicked leaves `ipa` empty: what it left behind is
/// not to be trusted.
struct Instance<T> {
    host: Host,
    ipa: Option<T>,
}

impl<T: Ipa> Instance<T> {
    fn call<R>(
        &mut self,
        verb: &str,
        body: impl FnOnce(&mut T) -> Result<R, IpaError>,
    ) -> Result<R, i32> {
        let Some(mut ipa) = self.ipa.take() else {
            return Err(EIO);
        };
        match catch_unwind(AssertUnwindSafe(|| (body(&mut ipa), ipa))) {
            Ok((result, ipa)) => {
                self.ipa = Some(ipa);
                result.map_err(|error| {
                    self.host.log(LogLevel::Error, error);
                    EINVAL
                })
            }
            Err(_) => {
                self.host
                    .log(LogLevel::Error, format_args!("{verb} panicked"));
                Err(EIO)
            }
        }
    }
}

/// # Safety
/// `instance` came from `create::<T>` and has not been destroyed; no other call is under way.
unsafe fn verb<T: Ipa, R>(
    instance: *mut c_void,
    name: &str,
    body: impl FnOnce(&mut T) -> Result<R, IpaError>,
) -> Result<R, i32> {
    // SAFETY: by the contract above the pointer leads to a live, unaliased instance.
    match unsafe { instance.cast::<Instance<T>>().as_mut() } {
        Some(instance) => instance.call(name, body),
        None => Err(EINVAL),
    }
}

fn code(result: Result<(), i32>) -> i32 {
    result.err().unwrap_or(0)
}

/// # Safety
/// `text` is null or NUL-terminated and lives as long as `'a`.
unsafe fn text<'a>(text: *const c_char) -> &'a str {
    if text.is_null() {
        return "";
    }
    // SAFETY: by the contract above.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("")
}

/// # Safety
/// `data` is null or points to `size` readable bytes that live as long as `'a`.
unsafe fn bytes<'a>(data: *const u8, size: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: by the contract above.
    Some(unsafe { std::slice::from_raw_parts(data, size) })
}

unsafe extern "C" fn create<T: Ipa>(init: *const abi::Init, instance: *mut *mut c_void) -> i32 {
    // SAFETY: the host passes a valid structure.
    let Some(init) = (unsafe { init.as_ref() }) else {
        return EINVAL;
    };
    if instance.is_null() {
        return EINVAL;
    }
    // SAFETY: the header promises a host table that lives until destroy.
    let host = unsafe { Host::from_raw(init.host) };
    // SAFETY: the header promises strings and bytes that live during the call.
    let init = unsafe {
        Init {
            host,
            camera: text(init.camera),
            stats_format: text(init.stats_format),
            params_format: text(init.params_format),
            isp_capabilities: init.isp_capabilities,
            tuning: bytes(init.tuning, init.tuning_size),
        }
    };
    match catch_unwind(AssertUnwindSafe(|| T::create(&init))) {
        Ok(Ok(ipa)) => {
            let made = Box::into_raw(Box::new(Instance {
                host,
                ipa: Some(ipa),
            }));
            // SAFETY: checked for null above; the host passes room for one pointer.
            unsafe { instance.write(made.cast()) };
            0
        }
        Ok(Err(error)) => {
            host.log(LogLevel::Error, error);
            EINVAL
        }
        Err(_) => {
            host.log(LogLevel::Error, "create panicked");
            EIO
        }
    }
}

unsafe extern "C" fn configure<T: Ipa>(instance: *mut c_void, sensor: *const abi::Sensor) -> i32 {
    // SAFETY: the host passes a valid structure.
    let Some(sensor) = (unsafe { sensor.as_ref() }) else {
        return EINVAL;
    };
    // SAFETY: the host calls verbs of a live instance, one at a time.
    code(unsafe { verb::<T, _>(instance, "configure", |ipa| ipa.configure(sensor)) })
}

unsafe extern "C" fn start<T: Ipa>(instance: *mut c_void) -> i32 {
    // SAFETY: the host calls verbs of a live instance, one at a time.
    code(unsafe { verb::<T, _>(instance, "start", T::start) })
}

unsafe extern "C" fn process<T: Ipa>(
    instance: *mut c_void,
    frame: *const abi::FrameIn,
    out: *mut abi::FrameOut,
) -> i32 {
    // SAFETY: the host passes valid structures that nobody else touches during the call.
    let (Some(frame), Some(out)) = (unsafe { (frame.as_ref(), out.as_mut()) }) else {
        return EINVAL;
    };
    if out.params.is_null() {
        return EINVAL;
    }
    // SAFETY: the header promises this many writable bytes during the call.
    let params = unsafe { std::slice::from_raw_parts_mut(out.params, out.params_capacity) };
    let input = FrameIn {
        frame: frame.frame,
        sensor_timestamp_ns: frame.sensor_timestamp_ns,
        deadline_ns: frame.deadline_ns,
        applied: frame.applied,
        controls: frame.controls,
        // SAFETY: the header promises this many readable bytes during the call.
        stats: unsafe { bytes(frame.stats, frame.stats_size) },
    };
    // SAFETY: the host calls verbs of a live instance, one at a time.
    match unsafe { verb::<T, _>(instance, "process", |ipa| ipa.process(&input, params)) } {
        Ok(answer) => {
            out.params_size = answer.params_size;
            out.wanted = answer.wanted;
            out.metadata = answer.metadata;
            0
        }
        Err(code) => code,
    }
}

unsafe extern "C" fn stop<T: Ipa>(instance: *mut c_void) -> i32 {
    // SAFETY: the host calls verbs of a live instance, one at a time.
    code(unsafe { verb::<T, _>(instance, "stop", T::stop) })
}

unsafe extern "C" fn destroy<T: Ipa>(instance: *mut c_void) {
    if instance.is_null() {
        return;
    }
    // SAFETY: made by `create::<T>`, and the host does not use it again.
    let instance = unsafe { Box::from_raw(instance.cast::<Instance<T>>()) };
    let _ = catch_unwind(AssertUnwindSafe(move || drop(instance)));
}

unsafe extern "C" fn save_state<T: Ipa>(
    instance: *mut c_void,
    state: *mut u8,
    capacity: usize,
) -> i64 {
    if state.is_null() {
        return i64::from(EINVAL);
    }
    // SAFETY: the header promises this many writable bytes during the call.
    let room = unsafe { std::slice::from_raw_parts_mut(state, capacity) };
    // SAFETY: the host calls verbs of a live instance, one at a time.
    match unsafe { verb::<T, _>(instance, "save_state", |ipa| ipa.save_state(room)) } {
        Ok(size) => size.unwrap_or(0) as i64,
        Err(code) => i64::from(code),
    }
}

unsafe extern "C" fn restore_state<T: Ipa>(
    instance: *mut c_void,
    state: *const u8,
    size: usize,
) -> i32 {
    // SAFETY: the header promises this many readable bytes during the call.
    let Some(state) = (unsafe { bytes(state, size) }) else {
        return EINVAL;
    };
    // SAFETY: the host calls verbs of a live instance, one at a time.
    code(unsafe { verb::<T, _>(instance, "restore_state", |ipa| ipa.restore_state(state)) })
}
