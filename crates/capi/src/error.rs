//! What went wrong, as an object for C.
//! Knows nothing of what was called.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::error::Error as _;
use std::ffi::{CString, c_char, c_int};
use std::{io, ptr};

use cofferdam::Error;

use crate::arguments::write_if_wanted;
use crate::handle::{self, Object};
use crate::status::cfd_status;

/// What went wrong: a status, words, a place in the stream, what to do. It holds nothing secret. It does not change: any number of threads
/// may read it.
pub struct cfd_error {
    status: cfd_status,
    message: CString,
    advice: Option<CString>,
    segment: Option<u64>,
    frame: Option<u32>,
    position: Option<u64>,
    resumable_bytes: Option<u64>,
    os_code: c_int,
}

impl Object for cfd_error {
    const MAGIC: u64 = 0x6366_645f_6572_726f;
    const NAME: &'static str = "error";
}

impl cfd_error {
    pub(crate) fn of(error: &Error) -> cfd_error {
        let mut message = error.to_string();
        let mut os_code = 0;
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            let io = error.downcast_ref::<io::Error>();
            os_code = io.and_then(io::Error::raw_os_error).unwrap_or(os_code);
            cause = error.source();
        }
        cfd_error {
            status: cfd_status::of(error.kind()),
            message: string(message),
            advice: error.advice().map(|advice| string(in_words_of_c(advice))),
            segment: error.segment(),
            frame: error.frame(),
            position: error.position(),
            resumable_bytes: error.resumable_bytes(),
            os_code,
        }
    }

    pub(crate) fn of_panic(words: &str) -> cfd_error {
        cfd_error {
            status: cfd_status::CFD_PANIC,
            message: string(format!("a fault of this library: {words}")),
            advice: Some(string("Free the objects that this call was given, and report it.".to_owned())),
            segment: None,
            frame: None,
            position: None,
            resumable_bytes: None,
            os_code: 0,
        }
    }

    pub(crate) fn status(&self) -> cfd_status {
        self.status
    }
}

/// A string of C ends at the first NUL.
fn string(text: String) -> CString {
    CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default()
}

/// The facade's sentences name its own calls; these are the same here.
fn in_words_of_c(advice: &str) -> String {
    WORDS.iter().fold(advice.to_owned(), |advice, (rust, c)| advice.replace(rust, c))
}

const WORDS: [(&str, &str); 8] = [
    ("`IfExists::Replace`", "CFD_REPLACE (cfd_sealer_set_if_exists, cfd_opener_set_if_exists)"),
    ("`OnPartial::Discard`", "CFD_DISCARD (cfd_opener_set_on_partial, cfd_sealer_set_on_partial)"),
    ("`Identities::foreign_key`", "the command `cofferdam`"),
    ("`Foreign::AcceptUnproven`", "the command `cofferdam`"),
    ("An opener that is told to (`Opener::foreign`)", "The command `cofferdam`"),
    ("`Opener::log`", "the command `cofferdam`"),
    ("`ObjectTarget::spool`", "the command `cofferdam`"),
    ("`ObjectTarget::len_max`", "the command `cofferdam`"),
];

/// # Safety
/// `error` is NULL or an error that has not been freed.
unsafe fn read<T>(error: *const cfd_error, otherwise: T, read: impl FnOnce(&cfd_error) -> T) -> T {
    crate::call::value_or(otherwise, || {
        // SAFETY: the same is asked for here.
        unsafe { handle::borrow(error) }.map(|error| read(&error))
    })
}

/// # Safety
/// As of [`read`]; `room` is NULL or leads to room for a `T`.
unsafe fn read_place<T>(
    error: *const cfd_error,
    room: *mut T,
    place: impl FnOnce(&cfd_error) -> Option<T>,
) -> bool {
    // SAFETY: the same is asked for here.
    match unsafe { read(error, None, place) } {
        Some(value) => {
            // SAFETY: the same is asked for here.
            unsafe { write_if_wanted(room, value) };
            true
        }
        None => false,
    }
}

/// What kind of failure it was. CFD_OK where `error` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_error_status(error: *const cfd_error) -> cfd_status {
    // SAFETY: the header asks for it.
    unsafe { read(error, cfd_status::CFD_OK, |error| error.status) }
}

/// What happened, where, and what caused it: one line in English, UTF-8. It stays until the error is freed. "" where `error` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_error_message(error: *const cfd_error) -> *const c_char {
    // SAFETY: the header asks for it.
    unsafe { read(error, c"".as_ptr(), |error| error.message.as_ptr()) }
}

/// What can be done about it, a sentence; NULL where there is nothing to say. It stays until the error is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_error_advice(error: *const cfd_error) -> *const c_char {
    // SAFETY: the header asks for it.
    unsafe {
        read(error, ptr::null(), |error| error.advice.as_ref().map_or(ptr::null(), |advice| advice.as_ptr()))
    }
}

/// Whether it happened in a segment of the stream, and in which, from 0. `segment` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_error_segment(error: *const cfd_error, segment: *mut u64) -> bool {
    // SAFETY: the header asks for it.
    unsafe { read_place(error, segment, |error| error.segment) }
}

/// Whether it happened in a frame, and in which of its segment, from 0. `frame` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_error_frame(error: *const cfd_error, frame: *mut u32) -> bool {
    // SAFETY: the header asks for it.
    unsafe { read_place(error, frame, |error| error.frame) }
}

/// Whether it is known where in the sealed stream it happened, and at which byte, from 0. `position` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_error_position(error: *const cfd_error, position: *mut u64) -> bool {
    // SAFETY: the header asks for it.
    unsafe { read_place(error, position, |error| error.position) }
}

/// Whether something is kept beside the target, from which the same call resumes, and how many bytes of it: 0 where that is not known.
/// `bytes` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_error_resumable_bytes(error: *const cfd_error, bytes: *mut u64) -> bool {
    // SAFETY: the header asks for it.
    unsafe { read_place(error, bytes, |error| error.resumable_bytes) }
}

/// The `errno` value of the system call, or of the callback, that caused it; 0 where there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_error_os_code(error: *const cfd_error) -> c_int {
    // SAFETY: the header asks for it.
    unsafe { read(error, 0, |error| error.os_code) }
}

/// Frees an error. NULL is no error. CFD_USAGE: it has been freed (found in builds for debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_error_free(error: *mut cfd_error) -> cfd_status {
    // SAFETY: the header asks for NULL or an error that nobody uses.
    unsafe { handle::free(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentences themselves, as they stand in the source of the crate that has them.
    #[test]
    fn no_advice_names_what_only_rust_has() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../stream/src/remedy.rs");
        let source = std::fs::read_to_string(source).unwrap();
        let sentences: Vec<&str> =
            source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let sentences = sentences.join("\n");
        let names =
            |text: &str| text.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).count();
        assert!(names(&sentences) > 20);
        assert_eq!(names(&in_words_of_c(&sentences)), 0);
    }
}
