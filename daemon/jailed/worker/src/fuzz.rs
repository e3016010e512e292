//! For the fuzzers, which may not hold unsafe code: arbitrary bytes as a module's table.

use core::ffi::{c_char, c_void};
use std::alloc::{Layout, alloc, dealloc};
use std::ffi::CString;

use coldshoe_control::encode;
use coldshoe_control::worker::Envelope;
use coldshoe_ipa::abi;

use crate::table::{self, MAX_FORMATS, MAX_STRING};

const STATS: &str = "coldshoe-stats-1";
const PARAMS: &str = "coldshoe-soft";

/// Makes a table of `bytes`, reads it, and checks that the answer can be said.
///
/// The bytes: size and version of the table, `u32` each; a byte whose bits say which verbs are
/// there; a byte of flags; then strings that end with a zero: name, version, license, and pairs of
/// formats. An empty string stands for a null, `s` and `p` for the formats that are asked for.
pub fn module_table(bytes: &[u8]) {
    let Some((head, strings)) = bytes.split_first_chunk::<10>() else {
        return;
    };
    let [s0, s1, s2, s3, v0, v1, v2, v3, verbs, flags] = *head;
    let size = u32::from_le_bytes([s0, s1, s2, s3]);
    let strings: Vec<Option<CString>> = strings
        .split(|byte| *byte == 0)
        .take(3 + 2 * (MAX_FORMATS + 1))
        .map(|text| match text {
            b"" => None,
            b"s" => CString::new(STATS).ok(),
            b"p" => CString::new(PARAMS).ok(),
            text => CString::new(text).ok(),
        })
        .collect();
    let raw = |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    let string = |at: usize| strings.get(at).map_or(std::ptr::null(), raw);
    let pairs = strings.get(3..).unwrap_or_default().chunks_exact(2);
    let mut formats: Vec<abi::Format> = pairs
        .map(|pair| format(raw(&pair[0]), raw(&pair[1])))
        .collect();
    // Without the nulls at the end, the list ends where no more of it counts.
    if formats.len() < MAX_FORMATS {
        formats.push(format(std::ptr::null(), std::ptr::null()));
    }
    formats.truncate(MAX_FORMATS);
    // As large as it may be for this list: reading past it is noticed.
    formats.shrink_to_fit();
    let has = |bit: u8| verbs & 1 << bit != 0;
    let module = abi::Module {
        struct_size: size,
        abi_version: u32::from_le_bytes([v0, v1, v2, v3]),
        name: string(0),
        version: string(1),
        license: string(2),
        flags: flags.into(),
        formats: if has(7) {
            std::ptr::null()
        } else {
            formats.as_ptr()
        },
        create: has(0).then_some(create),
        configure: has(1).then_some(configure),
        start: has(2).then_some(verb),
        process: has(3).then_some(process),
        stop: has(4).then_some(verb),
        destroy: has(5).then_some(destroy),
        save_state: None,
        restore_state: None,
    };
    judge(&module, size as usize);
}

/// Reads a copy of the table that is as long as it says, and no longer.
fn judge(module: &abi::Module, size: usize) {
    // Size and version are always there.
    let len = size.clamp(8, size_of::<abi::Module>());
    let Ok(layout) = Layout::from_size_align(len, align_of::<abi::Module>()) else {
        return;
    };
    // SAFETY: the layout is not empty; `len` bytes of the table are copied to as many. What is
    // read of them is by the contract of `read`, and they are freed as they were allocated.
    let answer = unsafe {
        let place = alloc(layout);
        if place.is_null() {
            return;
        }
        place.copy_from_nonoverlapping(std::ptr::from_ref(module).cast(), len);
        let answer = table::read(place.cast(), STATS, PARAMS);
        dealloc(place, layout);
        answer
    };
    let said = match answer {
        Ok((about, _)) => {
            for text in [&about.name, &about.version, &about.license] {
                assert!(text.len() <= MAX_STRING);
            }
            encode(&Envelope::new(1, about))
        }
        Err(failed) => encode(&Envelope::new(1, failed)),
    };
    assert!(said.is_ok(), "{said:?}");
}

fn format(stats: *const c_char, params: *const c_char) -> abi::Format {
    abi::Format {
        stats,
        params,
        blocks: 0,
    }
}

unsafe extern "C" fn create(_: *const abi::Init, _: *mut *mut c_void) -> i32 {
    0
}

unsafe extern "C" fn configure(_: *mut c_void, _: *const abi::Sensor) -> i32 {
    0
}

unsafe extern "C" fn verb(_: *mut c_void) -> i32 {
    0
}

unsafe extern "C" fn process(_: *mut c_void, _: *const abi::FrameIn, _: *mut abi::FrameOut) -> i32 {
    0
}

unsafe extern "C" fn destroy(_: *mut c_void) {}
