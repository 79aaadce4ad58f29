//! The key-value pairs of a stream, for C.
//! Knows nothing of streams.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ffi::c_void;

use cofferdam::Metadata;

use crate::arguments::{bytes, write_if_wanted};
use crate::call::{usage, value_or};
use crate::handle::{self, Object};
use crate::status::cfd_status;

/// The pairs of a stream, sorted by key. They do not change: any number of threads may read them.
pub struct cfd_pairs(pub(crate) Metadata);

impl Object for cfd_pairs {
    const MAGIC: u64 = 0x6366_645f_7061_6972;
    const NAME: &'static str = "list of pairs";
}

/// How many pairs there are. 0 where `pairs` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_pairs_count(pairs: *const cfd_pairs) -> usize {
    // SAFETY: the header asks for NULL or pairs that have not been freed.
    value_or(0, || unsafe { handle::borrow(pairs) }.map(|pairs| pairs.0.len()))
}

/// The pair number `index`, from 0: whether there is one. Key and value are bytes, without a NUL, and stay until the pairs are freed. Each of
/// the four places for them may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_pairs_at(
    pairs: *const cfd_pairs,
    index: usize,
    key: *mut *const u8,
    key_len: *mut usize,
    value: *mut *const u8,
    value_len: *mut usize,
) -> bool {
    value_or(false, || {
        // SAFETY: the header asks for NULL or pairs that have not been freed.
        let pairs = unsafe { handle::borrow(pairs)? };
        let (found_key, found_value) = pairs.0.get(index).ok_or_else(|| usage("there is no such pair"))?;
        // SAFETY: the header asks for NULL or room.
        unsafe {
            write_if_wanted(key, found_key.as_ptr());
            write_if_wanted(key_len, found_key.len());
            write_if_wanted(value, found_value.as_ptr());
            write_if_wanted(value_len, found_value.len());
        }
        Ok(true)
    })
}

/// The value of the key of `key_len` bytes at `key`: whether there is one. The value stays until the pairs are freed; both places for it may
/// be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_pairs_find(
    pairs: *const cfd_pairs,
    key: *const c_void,
    key_len: usize,
    value: *mut *const u8,
    value_len: *mut usize,
) -> bool {
    value_or(false, || {
        // SAFETY: the header asks for NULL or pairs that have not been freed.
        let pairs = unsafe { handle::borrow(pairs)? };
        // SAFETY: the header asks for these bytes.
        let key = unsafe { bytes(key, key_len, "the key")? };
        let found = pairs.0.iter().find(|(of, _)| of == key);
        let (_, found_value) = found.ok_or_else(|| usage("there is no such pair"))?;
        // SAFETY: the header asks for NULL or room.
        unsafe {
            write_if_wanted(value, found_value.as_ptr());
            write_if_wanted(value_len, found_value.len());
        }
        Ok(true)
    })
}

/// Frees the pairs. NULL is no error. CFD_USAGE: they have been freed (found in builds for debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_pairs_free(pairs: *mut cfd_pairs) -> cfd_status {
    // SAFETY: the header asks for NULL or pairs that nobody uses.
    unsafe { handle::free(pairs) }
}
