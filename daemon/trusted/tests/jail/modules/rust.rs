//! Rust: hashing with random seeds, output, a panic that is caught.

#![allow(non_camel_case_types)]

use std::ffi::{c_char, c_void};

#[repr(C)]
struct Format(*const c_char, *const c_char, u64);

#[repr(C)]
struct Table {
    struct_size: u32,
    abi_version: u32,
    name: *const c_char,
    version: *const c_char,
    license: *const c_char,
    flags: u64,
    formats: *const Format,
    create: extern "C" fn(*const c_void, *mut *mut c_void) -> i32,
    configure: extern "C" fn(*mut c_void, *const c_void) -> i32,
    start: extern "C" fn(*mut c_void) -> i32,
    process: extern "C" fn(*mut c_void, *const c_void, *mut c_void) -> i32,
    stop: extern "C" fn(*mut c_void) -> i32,
    destroy: extern "C" fn(*mut c_void),
    save_state: *const c_void,
    restore_state: *const c_void,
}

struct Shared<T>(T);
unsafe impl<T> Sync for Shared<T> {}

static FORMATS: Shared<[Format; 2]> = Shared([
    Format(c"stats".as_ptr(), c"coldshoe-soft".as_ptr(), 0),
    Format(std::ptr::null(), std::ptr::null(), 0),
]);

static TABLE: Shared<Table> = Shared(Table {
    struct_size: std::mem::size_of::<Table>() as u32,
    abi_version: 1,
    name: c"test".as_ptr(),
    version: c"1".as_ptr(),
    license: c"Apache-2.0 OR MIT".as_ptr(),
    flags: 0,
    formats: FORMATS.0.as_ptr(),
    create,
    configure,
    start: verb,
    process,
    stop: verb,
    destroy,
    save_state: std::ptr::null(),
    restore_state: std::ptr::null(),
});

fn work() -> i32 {
    let squares: std::collections::HashMap<u32, u32> = (0..10_000).map(|n| (n, n * n)).collect();
    println!("rust: {} squares", squares.len());
    match std::panic::catch_unwind(|| panic!("and carry on")) {
        Err(_) if squares[&9] == 81 => 0,
        _ => -1,
    }
}

extern "C" fn create(_: *const c_void, instance: *mut *mut c_void) -> i32 {
    unsafe { *instance = 8 as *mut c_void };
    work()
}

extern "C" fn configure(_: *mut c_void, _: *const c_void) -> i32 {
    0
}

extern "C" fn verb(_: *mut c_void) -> i32 {
    0
}

extern "C" fn process(_: *mut c_void, _: *const c_void, _: *mut c_void) -> i32 {
    work()
}

extern "C" fn destroy(_: *mut c_void) {}

#[no_mangle]
pub extern "C" fn coldshoe_ipa_module() -> *const c_void {
    (&raw const TABLE.0).cast()
}
