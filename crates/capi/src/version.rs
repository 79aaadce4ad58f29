//! Which release this is.
#![allow(unsafe_code, reason = "an exported name")]

use std::ffi::{CStr, c_char};

/// The library's version that runs, for example "0.1.0": `CFD_VERSION_MAJOR` and the others are the header's. A static string.
#[unsafe(no_mangle)]
pub extern "C" fn cfd_version() -> *const c_char {
    VERSION.as_ptr()
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};
