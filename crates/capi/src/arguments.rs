//! What C hands over by pointers, as what Rust knows: strings, paths, slices, results.
//! Knows nothing of what they are for.
#![allow(unsafe_code, reason = "what C hands over is pointers")]

use std::ffi::{CStr, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;

use cofferdam::Error;

use crate::call::usage;

/// The string at `text`, in UTF-8; `name` is the argument's.
///
/// # Safety
/// `text` is NULL, or a string with its NUL, which stays as it is for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str, Error> {
    // SAFETY: the same is asked for there.
    let text = unsafe { string(text, name)? };
    text.to_str().map_err(|_| usage(format!("{name} is not UTF-8")))
}

/// The path at `path`, of any bytes.
///
/// # Safety
/// As of [`text`].
pub(crate) unsafe fn path<'a>(path: *const c_char, name: &str) -> Result<&'a Path, Error> {
    // SAFETY: the same is asked for there.
    let path = unsafe { string(path, name)? };
    match path.is_empty() {
        true => Err(usage(format!("{name} is empty"))),
        false => Ok(Path::new(OsStr::from_bytes(path.to_bytes()))),
    }
}

/// # Safety
/// As of [`text`].
unsafe fn string<'a>(text: *const c_char, name: &str) -> Result<&'a CStr, Error> {
    match text.is_null() {
        true => Err(usage(format!("{name} is NULL"))),
        // SAFETY: it is not NULL, so it ends with a NUL and stays.
        false => Ok(unsafe { CStr::from_ptr(text) }),
    }
}

/// The `len` bytes at `bytes`, which may be NULL where there are none.
///
/// # Safety
/// `bytes` is NULL, or leads to `len` bytes that stay as they are for `'a`.
pub(crate) unsafe fn bytes<'a>(bytes: *const c_void, len: usize, name: &str) -> Result<&'a [u8], Error> {
    check_range(bytes, len, name)?;
    match len {
        0 => Ok(&[]),
        // SAFETY: it is not NULL, and of a length that a slice can have; the caller says that the bytes are there.
        _ => Ok(unsafe { slice::from_raw_parts(bytes.cast(), len) }),
    }
}

/// The `len` bytes at `bytes`, to be written.
///
/// # Safety
/// `bytes` is NULL, or leads to `len` bytes that nobody else uses for `'a`.
pub(crate) unsafe fn bytes_mut<'a>(
    bytes: *mut c_void,
    len: usize,
    name: &str,
) -> Result<&'a mut [u8], Error> {
    check_range(bytes, len, name)?;
    match len {
        0 => Ok(&mut []),
        // SAFETY: it is not NULL, and of a length that a slice can have; the caller says that they are its alone.
        _ => Ok(unsafe { slice::from_raw_parts_mut(bytes.cast(), len) }),
    }
}

/// Whether there may be `len` bytes at `bytes`.
pub(crate) fn check_range(bytes: *const c_void, len: usize, name: &str) -> Result<(), Error> {
    if bytes.is_null() && len > 0 {
        return Err(usage(format!("{name} is NULL, and {len} bytes are to be there")));
    }
    match isize::try_from(len).is_ok() && bytes.addr().checked_add(len).is_some() {
        true => Ok(()),
        false => Err(usage(format!("{name} has {len} bytes, more than there is memory"))),
    }
}

/// The array of `LEN` bytes at `bytes`.
///
/// # Safety
/// As of [`bytes`], of `LEN` bytes.
pub(crate) unsafe fn array<const LEN: usize>(bytes: *const u8, name: &str) -> Result<[u8; LEN], Error> {
    match bytes.is_null() {
        true => Err(usage(format!("{name} is NULL"))),
        // SAFETY: it is not NULL, so there are `LEN` bytes; bytes are aligned everywhere.
        false => Ok(unsafe { bytes.cast::<[u8; LEN]>().read() }),
    }
}

/// Room for a result, which the caller has to give.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `room` is NULL, or leads to room for a `T`, which stays.
    pub(crate) unsafe fn new(room: *mut T, name: &str) -> Result<Out<T>, Error> {
        match room.is_null() {
            true => Err(usage(format!("{name} is NULL"))),
            false => Ok(Out(room)),
        }
    }

    pub(crate) fn write(&self, value: T) {
        // SAFETY: `new` has asked for room.
        unsafe { self.0.write(value) };
    }
}

/// Writes `value` where the caller has given room for it.
///
/// # Safety
/// `room` is NULL, or leads to room for a `T`.
pub(crate) unsafe fn write_if_wanted<T>(room: *mut T, value: T) {
    if !room.is_null() {
        // SAFETY: it is not NULL, so there is room.
        unsafe { room.write(value) };
    }
}
