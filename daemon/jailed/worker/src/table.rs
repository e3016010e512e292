//! The table of a module: what it says of itself, checked.

use core::ffi::{c_char, c_void};
use std::ffi::CStr;

use coldshoe_control::clean;
use coldshoe_control::worker::{Failed, Loaded, Stage};
use coldshoe_ipa::abi;

/// Longest string that is taken from a table, in bytes; the rest is cut off.
pub const MAX_STRING: usize = 128;
/// Most pairs of formats; those behind them do not count.
pub const MAX_FORMATS: usize = 64;

type Verb = unsafe extern "C" fn(*mut c_void) -> i32;

/// The verbs that every module has.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are the header's")]
pub struct Verbs {
    pub create: unsafe extern "C" fn(*const abi::Init, *mut *mut c_void) -> i32,
    pub configure: unsafe extern "C" fn(*mut c_void, *const abi::Sensor) -> i32,
    pub start: Verb,
    pub process: unsafe extern "C" fn(*mut c_void, *const abi::FrameIn, *mut abi::FrameOut) -> i32,
    pub stop: Verb,
    pub destroy: unsafe extern "C" fn(*mut c_void),
    /// If the module has both.
    pub state: Option<StateVerbs>,
}

/// The verbs that keep what a module has learnt.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are the header's")]
pub struct StateVerbs {
    pub save: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> i64,
    pub restore: unsafe extern "C" fn(*mut c_void, *const u8, usize) -> i32,
}

/// Why a shared object is no module.
pub fn abi_error(why: impl AsRef<str>) -> Failed {
    Failed::new(
        Stage::Abi,
        "the shared object is no coldshoe module",
        why.as_ref(),
    )
}

/// Reads a table once: what the module says of itself, and its verbs, if it can turn the one format
/// into the other.
///
/// # Safety
/// `table` is null or what the header asks for: as many bytes as it says, strings that end with a
/// NUL, and formats that end with a pair of nulls or after [`MAX_FORMATS`] pairs.
pub unsafe fn read(
    table: *const abi::Module,
    stats_format: &str,
    params_format: &str,
) -> Result<(Loaded, Verbs), Failed> {
    if table.is_null() || !table.is_aligned() {
        return Err(abi_error("coldshoe_ipa_module() returned no table"));
    }
    // SAFETY: every version of the table begins with its size and its ABI version.
    let (size, version) = unsafe { ((*table).struct_size, (*table).abi_version) };
    if version != abi::ABI_VERSION {
        return Err(abi_error(format!(
            "it is built for version {version} of the module interface, this worker speaks {}",
            abi::ABI_VERSION
        )));
    }
    if (size as usize) < size_of::<abi::Module>() {
        return Err(abi_error(format!(
            "its table has {size} bytes, version {version} has {}",
            size_of::<abi::Module>()
        )));
    }
    // SAFETY: the size covers the whole structure.
    let table = unsafe { *table };
    let missing = |verb| abi_error(format!("its table has no {verb}()"));
    let verbs = Verbs {
        create: table.create.ok_or_else(|| missing("create"))?,
        configure: table.configure.ok_or_else(|| missing("configure"))?,
        start: table.start.ok_or_else(|| missing("start"))?,
        process: table.process.ok_or_else(|| missing("process"))?,
        stop: table.stop.ok_or_else(|| missing("stop"))?,
        destroy: table.destroy.ok_or_else(|| missing("destroy"))?,
        state: table
            .save_state
            .zip(table.restore_state)
            .map(|(save, restore)| StateVerbs { save, restore }),
    };
    // SAFETY: a list that ends, by the contract.
    let formats = unsafe { formats(table.formats) };
    let blocks = formats
        .iter()
        .find(|(stats, params, _)| *stats == stats_format && *params == params_format)
        .map(|(.., blocks)| *blocks);
    // SAFETY: NUL-terminated strings by the contract.
    let [name, version, license] =
        unsafe { [text(table.name), text(table.version), text(table.license)] };
    let about = Loaded {
        name: name.ok_or_else(|| abi_error("its name is missing"))?,
        version: version.unwrap_or_default(),
        license: license.unwrap_or_default(),
        threads: table.flags & abi::FLAG_THREADS != 0,
        blocks: blocks.unwrap_or(0),
    };
    if blocks.is_none() {
        let offered: Vec<String> = formats
            .iter()
            .map(|(stats, params, _)| format!("{stats} → {params}"))
            .collect();
        return Err(Failed::new(
            Stage::Abi,
            &format!(
                "the module cannot turn {} into {}",
                stats_format, params_format
            ),
            &format!("it offers: {}", offered.join(", ")),
        ));
    }
    Ok((about, verbs))
}

/// # Safety
/// `list` is null or ends with a pair of nulls or after [`MAX_FORMATS`] pairs of strings.
unsafe fn formats(list: *const abi::Format) -> Vec<(String, String, u64)> {
    let mut found = Vec::new();
    if list.is_null() || !list.is_aligned() {
        return found;
    }
    for index in 0..MAX_FORMATS {
        // SAFETY: the list goes on until a pair of nulls, which the loop has not met yet.
        let pair = unsafe { *list.add(index) };
        // SAFETY: strings by the contract.
        let [stats, params] = unsafe { [text(pair.stats), text(pair.params)] };
        let (Some(stats), Some(params)) = (stats, params) else {
            break;
        };
        found.push((stats, params, pair.blocks));
    }
    found
}

/// A string of the table, cut to a bounded length.
///
/// # Safety
/// `raw` is null or a string that ends with a NUL.
unsafe fn text(raw: *const c_char) -> Option<String> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: the header asks for NUL-terminated constants.
    let bytes = unsafe { CStr::from_ptr(raw) }.to_bytes();
    let bytes = &bytes[..bytes.len().min(MAX_STRING)];
    let mut text = clean(&String::from_utf8_lossy(bytes));
    // What is no text got longer: three bytes for each.
    text.truncate(text.floor_char_boundary(MAX_STRING));
    (!text.is_empty()).then_some(text)
}
