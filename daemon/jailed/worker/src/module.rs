//! The module: loading, checking its table, calling its verbs.

use core::ffi::{c_char, c_void};
use std::ffi::{CStr, CString};
use std::path::Path;

use coldshoe_control::clean;
use coldshoe_control::worker::{Failed, Loaded, Stage};
use coldshoe_ipa::abi;
use coldshoe_wall::inside::Confined;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::assignment::Load;
use crate::host::Log;

/// Longest string of a module's table, in bytes.
const MAX_STRING: usize = 128;
/// Most pairs of formats.
const MAX_FORMATS: usize = 64;

type Verb = unsafe extern "C" fn(*mut c_void) -> i32;

/// A loaded module with its instance. Nothing here is ever unloaded: the process ends first.
pub(crate) struct Module {
    about: Loaded,
    verbs: Verbs,
    instance: *mut c_void,
    log: &'static Log,
}

#[derive(Clone, Copy)]
struct Verbs {
    create: unsafe extern "C" fn(*const abi::Init, *mut *mut c_void) -> i32,
    configure: unsafe extern "C" fn(*mut c_void, *const abi::Sensor) -> i32,
    start: Verb,
    process: unsafe extern "C" fn(*mut c_void, *const abi::FrameIn, *mut abi::FrameOut) -> i32,
    stop: Verb,
    destroy: unsafe extern "C" fn(*mut c_void),
}

impl Module {
    /// Loads the module, checks its table and makes its instance.
    pub(crate) fn load(
        load: &Load,
        tuning: Option<&[u8]>,
        permit: Confined,
    ) -> Result<Self, Failed> {
        let table = open(permit.into_place().path())?;
        let (about, verbs) = check(load, table)?;
        let log: &'static Log = Box::leak(Box::default());
        let mut module = Self {
            about,
            verbs,
            instance: std::ptr::null_mut(),
            log,
        };
        module.create(load, tuning)?;
        Ok(module)
    }

    pub(crate) fn about(&self) -> &Loaded {
        &self.about
    }

    pub(crate) fn configure(&self, sensor: &abi::Sensor) -> Result<(), Failed> {
        // SAFETY: a live instance, a valid structure, one call at a time.
        let code = unsafe { (self.fresh().configure)(self.instance, sensor) };
        self.verdict(Stage::Configure, "configure", code)
    }

    pub(crate) fn start(&self) -> Result<(), Failed> {
        // SAFETY: a live instance, one call at a time.
        let code = unsafe { (self.fresh().start)(self.instance) };
        self.verdict(Stage::Start, "start", code)
    }

    pub(crate) fn stop(&self) -> Result<(), Failed> {
        // SAFETY: a live instance, one call at a time.
        let code = unsafe { (self.fresh().stop)(self.instance) };
        self.verdict(Stage::Stop, "stop", code)
    }

    /// One frame; `false` if the module answered an error, which it has logged.
    pub(crate) fn process(&self, frame: &abi::FrameIn, out: &mut abi::FrameOut) -> bool {
        // SAFETY: a live instance, valid structures, one call at a time.
        unsafe { (self.verbs.process)(self.instance, frame, out) == 0 }
    }

    fn create(&mut self, load: &Load, tuning: Option<&[u8]>) -> Result<(), Failed> {
        let host: &'static abi::Host = Box::leak(Box::new(self.log.table()));
        let texts = [&load.camera, &load.stats_format, &load.params_format]
            .map(|text| CString::new(text.as_str()).unwrap_or_default());
        let [camera, stats_format, params_format] = &texts;
        let init = abi::Init {
            struct_size: size_of::<abi::Init>() as u32,
            reserved: 0,
            host,
            camera: camera.as_ptr(),
            stats_format: stats_format.as_ptr(),
            params_format: params_format.as_ptr(),
            isp_capabilities: load.isp_capabilities,
            tuning: tuning.map_or(std::ptr::null(), <[u8]>::as_ptr),
            tuning_size: tuning.map_or(0, <[u8]>::len),
        };
        // SAFETY: valid structures; strings and tuning live across the call.
        let code = unsafe { (self.verbs.create)(&init, &mut self.instance) };
        self.verdict(Stage::Create, "create", code)
    }

    /// The verbs, with no error of an earlier one left that could pass for the reason of the next.
    fn fresh(&self) -> &Verbs {
        self.log.take_error();
        &self.verbs
    }

    fn verdict(&self, stage: Stage, verb: &str, code: i32) -> Result<(), Failed> {
        if code == 0 {
            return Ok(());
        }
        let why = self.log.take_error().unwrap_or_else(|| {
            format!("it returned {code} ({}) and logged no reason", errno(code))
        });
        Err(Failed::new(
            stage,
            &format!("{verb}() of the module failed"),
            &why,
        ))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if !self.instance.is_null() {
            // SAFETY: a live instance, called last.
            unsafe { (self.verbs.destroy)(self.instance) };
        }
    }
}

fn errno(code: i32) -> std::io::Error {
    std::io::Error::from_raw_os_error(code.saturating_neg())
}

fn abi_error(why: impl AsRef<str>) -> Failed {
    Failed::new(
        Stage::Abi,
        "the shared object is no coldshoe module",
        why.as_ref(),
    )
}

fn open(path: &Path) -> Result<*const abi::Module, Failed> {
    // SAFETY: this runs foreign initialisers, which is what this confined process is for.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| {
        // The loader's own words are behind the library's.
        let why = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string);
        Failed::new(Stage::Load, "the dynamic loader refused the module", &why)
    })?;
    // SAFETY: the header gives the symbol this type.
    let entry = unsafe { library.get::<abi::EntryFn>(abi::ENTRY_SYMBOL.to_bytes_with_nul()) };
    let entry = *entry
        .map_err(|_| abi_error("it does not export coldshoe_ipa_module(), see coldshoe_ipa.h"))?;
    std::mem::forget(library);
    // SAFETY: as the header declares it.
    Ok(unsafe { entry() })
}

/// Reads the table once. A module that lies here only harms this process.
fn check(load: &Load, table: *const abi::Module) -> Result<(Loaded, Verbs), Failed> {
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
    };
    let about = Loaded {
        name: text(table.name).ok_or_else(|| abi_error("its name is missing"))?,
        version: text(table.version).unwrap_or_default(),
        license: text(table.license).unwrap_or_default(),
        threads: table.flags & abi::FLAG_THREADS != 0,
    };
    let formats = formats(table.formats);
    let speaks = formats
        .iter()
        .any(|(stats, params)| *stats == load.stats_format && *params == load.params_format);
    if !speaks {
        let offered: Vec<String> = formats
            .iter()
            .map(|(stats, params)| format!("{stats} → {params}"))
            .collect();
        return Err(Failed::new(
            Stage::Abi,
            &format!(
                "the module cannot turn {} into {}",
                load.stats_format, load.params_format
            ),
            &format!("it offers: {}", offered.join(", ")),
        ));
    }
    Ok((about, verbs))
}

fn formats(list: *const abi::Format) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if list.is_null() || !list.is_aligned() {
        return found;
    }
    for index in 0..MAX_FORMATS {
        // SAFETY: the list goes on until a pair of nulls, which the loop has not met yet.
        let pair = unsafe { *list.add(index) };
        let (Some(stats), Some(params)) = (text(pair.stats), text(pair.params)) else {
            break;
        };
        found.push((stats, params));
    }
    found
}

/// A string of the table, cut to a bounded length.
fn text(raw: *const c_char) -> Option<String> {
    if raw.is_null() {
        return None;
    }
    // SAFETY: the header asks for NUL-terminated constants.
    let bytes = unsafe { CStr::from_ptr(raw) }.to_bytes();
    let text = clean(&String::from_utf8_lossy(
        &bytes[..bytes.len().min(MAX_STRING)],
    ));
    (!text.is_empty()).then_some(text)
}
