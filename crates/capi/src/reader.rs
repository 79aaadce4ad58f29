//! Any byte of a stream, for C.
//! Joins what C gives to the facade's reader, and does none of its work.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ffi::c_void;

use cofferdam::Reader;
use lent::Held;

use crate::arguments::{Out, bytes_mut};
use crate::call::{call, value_or};
use crate::error::cfd_error;
use crate::handle::{self, Object};
use crate::opener::{cfd_opener, opener_of};
use crate::pairs::cfd_pairs;
use crate::source::cfd_source;
use crate::status::cfd_status;

/// The plaintext of a stream, read at any place. What it gives is authentic and at its place; that the whole stream is there it does not say:
/// cfd_verify does. Any number of threads may use it at once. It belongs to the process that has made it: in a forked child it is CFD_USAGE,
/// and freeing it there frees nothing.
pub struct cfd_reader {
    /// Before the lease: it has to end before what it reads is given back.
    reader: Reader,
    _lease: Option<Box<dyn Held>>,
}

impl Object for cfd_reader {
    const MAGIC: u64 = 0x6366_645f_7265_6164;
    const NAME: &'static str = "reader";
    const HAS_THREADS: bool = true;
}

/// A reader of the stream in `source`, into `*reader`. It takes the source, whatever it returns. Yours, until cfd_reader_free. It holds a share
/// of the opener's memory, at most half of it; where cfd_opener_set_memory has said how much that is, and others hold it, this waits until
/// one of them is freed, or the opener's cancel is used. Errors: those of opening, and CFD_USAGE where the source has no offsets (a pipe, cfd_source_read).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_reader_new(
    opener: *const cfd_opener,
    source: *mut cfd_source,
    reader: *mut *mut cfd_reader,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a source, and gives it up.
        let source = unsafe { cfd_source::taken(source)? };
        // SAFETY: the header asks for room for a pointer.
        let room = unsafe { Out::new(reader, "the place for the reader")? };
        // SAFETY: the header asks for an opener.
        let opener = unsafe { opener_of(opener)? };
        let opened = source.open()?;
        let lease = opened.lease;
        let reader = opener.reader(opened.source)?;
        room.write(handle::give(cfd_reader { reader, _lease: lease }));
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Length of the plaintext in bytes. 0 where `reader` is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_reader_len(reader: *const cfd_reader) -> u64 {
    // SAFETY: the header asks for NULL or a reader.
    value_or(0, || unsafe { handle::borrow(reader) }.map(|reader| reader.reader.len()))
}

/// Fills `buffer` with the `len` bytes of plaintext from `offset` on. `*count` says how many it is: fewer only at the stream's end, 0 behind it.
/// After an error the buffer holds nothing of use. Errors: CFD_DAMAGED and its kin, with the place; CFD_IO; CFD_SOURCE_CHANGED. A frame
/// that is damaged fails the reads that need it, and no others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_reader_read_at(
    reader: *const cfd_reader,
    offset: u64,
    buffer: *mut c_void,
    len: usize,
    count: *mut usize,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a reader.
        let reader = unsafe { handle::borrow(reader)? };
        // SAFETY: the header asks for room for a number.
        let room = unsafe { Out::new(count, "the place for the count")? };
        // SAFETY: the header asks for this buffer, which is the call's alone.
        let buffer = unsafe { bytes_mut(buffer, len, "the buffer")? };
        room.write(reader.reader.read_at(offset, buffer)?);
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// The pairs of the stream, into `*pairs`: a copy, yours until cfd_pairs_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_reader_metadata(
    reader: *const cfd_reader,
    pairs: *mut *mut cfd_pairs,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a reader.
        let reader = unsafe { handle::borrow(reader)? };
        // SAFETY: the header asks for room for a pointer.
        let room = unsafe { Out::new(pairs, "the place for the pairs")? };
        room.write(handle::give(cfd_pairs(reader.reader.metadata().clone())));
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Frees a reader that no call uses, and waits until nobody reads its source. NULL is no error. CFD_USAGE: it has been freed (found in builds for
/// debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_reader_free(reader: *mut cfd_reader) -> cfd_status {
    // SAFETY: the header asks for NULL or a reader that nobody uses.
    unsafe { handle::free(reader) }
}
