//! Structures that say how large they are, and plain variables of the caller's.
//!
//! A program may have been compiled with an older or a newer header than the library. What an older
//! one lacks counts as zero, which for every field means: as usual. What a newer one adds may be
//! there as long as it is zero; of a structure that the library fills it becomes zero.

use std::mem::MaybeUninit;
use std::ptr;

use crate::fail::Fail;

/// No structure will ever be that large; a size that is not set is, more often than not.
const MAX_SIZE: usize = 4096;
/// Structures grow in whole words, so that no size ends within a field.
const WORD: usize = 8;

/// A structure of the header.
///
/// # Safety
/// It is `repr(C)`, begins with a `usize` that is its size, is made of whole words without padding,
/// and any bytes make a value of it.
pub(crate) unsafe trait Record: Copy {}

/// A structure of the caller's.
///
/// # Safety
/// `from` is NULL or good for reading as many bytes as the structure says that it has.
pub(crate) unsafe fn read<T: Record>(from: *const T, name: &'static str) -> Result<T, Fail> {
    // SAFETY: passed on.
    let size = unsafe { size(from, name) }?;
    let mut value = MaybeUninit::<T>::zeroed();
    let known = size.min(size_of::<T>());
    // SAFETY: the caller vouches for `size` bytes; the value has room for `known`.
    unsafe { ptr::copy(from.cast::<u8>(), value.as_mut_ptr().cast(), known) };
    for at in known..size {
        // SAFETY: within `size` bytes.
        if unsafe { from.cast::<u8>().add(at).read() } != 0 {
            return Err(Fail::Argument {
                name,
                why: "it sets a field that this release of libcoldshoe does not know".into(),
                remedy: "leave it zero, or use a newer libcoldshoe",
            });
        }
    }
    // SAFETY: any bytes make a value, and all of them are initialised.
    Ok(unsafe { value.assume_init() })
}

/// The size that a structure says it has.
///
/// # Safety
/// `of` is NULL or good for reading its first field.
unsafe fn size<T: Record>(of: *const T, name: &'static str) -> Result<usize, Fail> {
    aligned(of, name)?;
    // SAFETY: not NULL, aligned, and the rest the caller vouches for.
    let size = unsafe { of.cast::<usize>().read() };
    if (WORD..=MAX_SIZE).contains(&size) && size.is_multiple_of(WORD) {
        return Ok(size);
    }
    Err(Fail::Argument {
        name,
        why: format!("its struct_size is {size}").into(),
        remedy: "set struct_size to the sizeof of the structure",
    })
}

fn aligned<T>(pointer: *const T, name: &'static str) -> Result<(), Fail> {
    if pointer.is_null() {
        return Err(Fail::null(name));
    }
    if !pointer.is_aligned() {
        return Err(Fail::Argument {
            name,
            why: "its address is not aligned".into(),
            remedy: "pass the address of a variable of its type",
        });
    }
    Ok(())
}

/// Something of the caller's that is there.
///
/// # Safety
/// `pointer` is NULL or that of a `T` that nobody frees during `'a`.
pub(crate) unsafe fn reference<'a, T>(
    pointer: *const T,
    name: &'static str,
) -> Result<&'a T, Fail> {
    aligned(pointer, name)?;
    // SAFETY: not NULL, aligned, and the rest the caller vouches for.
    Ok(unsafe { &*pointer })
}

/// A variable of the caller's that a call fills, looked at before the call does anything.
#[derive(Debug)]
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `to` is NULL or good for writing a `T` as long as this value lives.
    pub(crate) unsafe fn new(to: *mut T, name: &'static str) -> Result<Self, Fail> {
        aligned(to, name)?;
        Ok(Self(to))
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: `new` was promised so.
        unsafe { self.0.write(value) };
    }
}

/// A structure of the caller's that a call fills, looked at before the call does anything.
#[derive(Debug)]
pub(crate) struct Filled<T> {
    to: *mut T,
    size: usize,
}

impl<T: Record> Filled<T> {
    /// # Safety
    /// `to` is NULL or good for reading and writing as many bytes as the structure says that it has,
    /// as long as this value lives.
    pub(crate) unsafe fn new(to: *mut T, name: &'static str) -> Result<Self, Fail> {
        // SAFETY: passed on.
        let size = unsafe { size(to, name) }?;
        Ok(Self { to, size })
    }

    /// Fills what the caller's structure has; its size stays.
    pub(crate) fn fill(self, value: &T) {
        let known = self.size.min(size_of::<T>());
        let from = ptr::from_ref(value).cast::<u8>();
        let to = self.to.cast::<u8>();
        // SAFETY: `new` was promised `size` bytes there; sizes are of a word at least.
        unsafe {
            ptr::copy(from.add(WORD), to.add(WORD), known - WORD);
            ptr::write_bytes(to.add(known), 0, self.size - known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Old {
        struct_size: usize,
        first: u64,
        second: u64,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C, align(8))]
    struct New {
        old: Old,
        third: u64,
    }

    // SAFETY: three words, none of them padding.
    unsafe impl Record for Old {}
    // SAFETY: four words, none of them padding.
    unsafe impl Record for New {}

    fn old(struct_size: usize) -> Old {
        Old {
            struct_size,
            first: 1,
            second: 2,
        }
    }

    fn new(third: u64) -> New {
        let old = old(size_of::<New>());
        New { old, third }
    }

    fn read_as<T: Record, S>(from: &S) -> Result<T, Fail> {
        // SAFETY: no test says that it has more than `S`.
        unsafe { read(ptr::from_ref(from).cast(), "record") }
    }

    fn fill_as<T: Record, S>(to: &mut S, value: &T) {
        // SAFETY: no test says that it has more than `S`.
        let filled = unsafe { Filled::new(ptr::from_mut(to).cast::<T>(), "record") };
        filled.unwrap().fill(value);
    }

    #[test]
    fn what_an_older_program_lacks_is_zero() {
        let read: New = read_as(&old(size_of::<Old>())).unwrap();
        assert_eq!((read.old.second, read.third), (2, 0));
        let read: Old = read_as(&old(16)).unwrap();
        assert_eq!((read.first, read.second), (1, 0));
    }

    #[test]
    fn what_a_newer_program_adds_may_be_zero_and_nothing_else() {
        assert_eq!(read_as::<Old, _>(&new(0)).unwrap().second, 2);
        for bit in [0, 63] {
            assert!(read_as::<Old, _>(&new(1 << bit)).is_err());
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for size in [0, 7, 12, 23, MAX_SIZE + 8, usize::MAX] {
            let refused = read_as::<Old, _>(&old(size)).unwrap_err();
            assert!(refused.lines()[1].contains("struct_size"), "{size}");
        }
        let odd = ptr::without_provenance::<Old>(9);
        // SAFETY: neither is read from.
        let refused = unsafe { [read(ptr::null::<Old>(), "null"), read(odd, "odd")] };
        assert!(refused.iter().all(Result::is_err));
    }

    #[test]
    fn filling_an_older_programs_structure_stops_at_its_end() {
        let mut to = New {
            old: old(size_of::<Old>()),
            third: 3,
        };
        let value = New {
            old: Old {
                first: 10,
                second: 20,
                ..old(0)
            },
            third: 30,
        };
        fill_as(&mut to, &value);
        assert_eq!((to.old.first, to.old.second, to.third), (10, 20, 3));
        assert_eq!(to.old.struct_size, size_of::<Old>());
    }

    #[test]
    fn filling_a_newer_programs_structure_zeroes_what_is_not_known() {
        let mut to = new(u64::MAX);
        fill_as(&mut to, &old(0));
        assert_eq!(to, new(0));
    }
}
