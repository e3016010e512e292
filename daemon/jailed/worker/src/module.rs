//! The module: loading, calling its verbs.

use core::ffi::c_void;
use std::ffi::CString;
use std::path::Path;

use coldshoe_control::worker::{Failed, Loaded, Stage};
use coldshoe_ipa::abi;
use coldshoe_wall::inside::Confined;
use coldshoe_worker::table::{self, Verbs, abi_error};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::assignment::Load;
use crate::host::Log;

/// A loaded module with its instance. Nothing here is ever unloaded: the process ends first.
pub(crate) struct Module {
    about: Loaded,
    verbs: Verbs,
    instance: *mut c_void,
    log: &'static Log,
}

impl Module {
    /// Loads the module, checks its table and makes its instance.
    pub(crate) fn load(
        load: &Load,
        tuning: Option<&[u8]>,
        permit: Confined,
    ) -> Result<Self, Failed> {
        let table = open(permit.into_place().path())?;
        // SAFETY: as the header asks of it. A module that lies here only harms this process.
        let (about, verbs) =
            unsafe { table::read(table, &load.stats_format, &load.params_format)? };
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

    /// Has the module write what it has learnt into `room`. `None` if it keeps nothing, has nothing to
    /// keep yet, or says that it wrote more than there is room for.
    pub(crate) fn save<'a>(&self, room: &'a mut [u8]) -> Option<&'a [u8]> {
        let state = self.verbs.state?;
        // SAFETY: a live instance, valid memory of that size, one call at a time.
        let size = unsafe { (state.save)(self.instance, room.as_mut_ptr(), room.len()) };
        let size = usize::try_from(size).ok().filter(|size| *size > 0)?;
        room.get(..size)
    }

    /// Gives back what another instance saved; the reason why the module does without.
    pub(crate) fn restore(&self, saved: &[u8]) -> Result<(), String> {
        let Some(state) = self.verbs.state else {
            return Err("the module keeps no state".to_owned());
        };
        self.log.take_error();
        // SAFETY: a live instance, valid memory of that size, one call at a time.
        let code = unsafe { (state.restore)(self.instance, saved.as_ptr(), saved.len()) };
        match code {
            0 => Ok(()),
            code => Err(self.reason(code)),
        }
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
        Err(Failed::new(
            stage,
            &format!("{verb}() of the module failed"),
            &self.reason(code),
        ))
    }

    fn reason(&self, code: i32) -> String {
        self.log
            .take_error()
            .unwrap_or_else(|| format!("it returned {code} ({}) and logged no reason", errno(code)))
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
