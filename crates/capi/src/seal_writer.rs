//! Sealing what is written, for C.
//! Joins what C gives to the facade's writer, and does none of its work.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ffi::c_void;
use std::io::Write;

use cofferdam::{Error, ErrorKind, SealWriter};
use lent::Held;
use parking_lot::Mutex;

use crate::arguments::{Out, bytes, write_if_wanted};
use crate::call::{call, usage};
use crate::error::cfd_error;
use crate::handle::{self, Object};
use crate::report::cfd_report;
use crate::sealer::{cfd_sealer, sealer_of};
use crate::sink::{cfd_sink, of_memory, too_little};
use crate::status::cfd_status;

/// Seals what is written to it, on threads of its own. One thread at a time may use it: another one waits. It belongs to the process that has
/// made it: in a forked child it is CFD_USAGE, and freeing it there frees nothing.
pub struct cfd_seal_writer(Mutex<State>);

struct State {
    /// Before the lease: it has to end before what it writes to is given back.
    writer: Option<SealWriter>,
    lease: Option<Box<dyn Held>>,
    /// Of the memory that it seals into, where it is memory.
    capacity: Option<u64>,
    /// Whether that was too little. A writer that has failed says what it was for ever, and why only once.
    is_full: bool,
}

impl State {
    fn failed(&mut self, error: Error) -> Error {
        let error = match self.capacity.filter(|_| self.is_full) {
            Some(capacity) => too_little(capacity),
            None => of_memory(error, self.capacity),
        };
        self.is_full = self.capacity.is_some() && error.kind() == ErrorKind::Limit;
        error
    }
}

impl Object for cfd_seal_writer {
    const MAGIC: u64 = 0x6366_645f_7772_6974;
    const NAME: &'static str = "writer";
    const HAS_THREADS: bool = true;
}

/// A writer that seals into `sink` as `sealer` says, into `*writer`. It takes the sink, whatever it returns. Yours, until cfd_seal_writer_free.
/// Its threads inherit the caller's signal mask. Errors: CFD_USAGE, CFD_EXHAUSTED where there is no thread; what else goes wrong is the error
/// of a later write, or of cfd_seal_writer_finish.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_seal_writer_new(
    sealer: *const cfd_sealer,
    sink: *mut cfd_sink,
    writer: *mut *mut cfd_seal_writer,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a sink, and gives it up.
        let sink = unsafe { cfd_sink::taken(sink)? };
        // SAFETY: the header asks for room for a pointer.
        let room = unsafe { Out::new(writer, "the place for the writer")? };
        // SAFETY: the header asks for a sealer.
        let sealer = unsafe { sealer_of(sealer)? };
        let (writer, lease, capacity) = match sink.path() {
            Some(output) => (sealer.writer_to(output)?, None, None),
            None => {
                let opened = sink.open()?;
                (sealer.writer(opened.sink)?, opened.lease, opened.capacity)
            }
        };
        let state = State { writer: Some(writer), lease, capacity, is_full: false };
        room.write(handle::give(cfd_seal_writer(Mutex::new(state))));
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Seals the `len` bytes at `bytes`, all of them, after those that came before. They are copied. It may block until others have been
/// sealed. Errors: what the sealing has come to; after one, nothing but freeing the writer is of use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_seal_writer_write(
    writer: *mut cfd_seal_writer,
    bytes: *const c_void,
    len: usize,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a writer.
        let writer = unsafe { handle::borrow(writer)? };
        // SAFETY: the header asks for these bytes.
        let bytes = unsafe { self::bytes(bytes, len, "the bytes to seal")? };
        let mut state = writer.0.lock();
        let open = state.writer.as_mut().ok_or_else(finished)?;
        let written = open.write_all(bytes);
        written.map_err(|error| state.failed(of_write(error)))
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Seals what is left, and publishes. The writer takes nothing more, and is still to be freed. `report` may be NULL; it is written on success
/// alone. Errors: as of cfd_seal.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_seal_writer_finish(
    writer: *mut cfd_seal_writer,
    report: *mut cfd_report,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a writer.
        let writer = unsafe { handle::borrow(writer)? };
        let mut state = writer.0.lock();
        let open = state.writer.take().ok_or_else(finished)?;
        let sealed = open.finish().map_err(|error| state.failed(error));
        // Its thread has ended: what it wrote to is given back.
        state.lease = None;
        // SAFETY: the header asks for NULL or room.
        unsafe { write_if_wanted(report, cfd_report::from(&sealed?)) };
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Frees a writer. One that was not finished publishes nothing: this waits until it is rolled back. NULL is no error. CFD_USAGE: it has been
/// freed (found in builds for debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_seal_writer_free(writer: *mut cfd_seal_writer) -> cfd_status {
    // SAFETY: the header asks for NULL or a writer that nobody uses.
    unsafe { handle::free(writer) }
}

fn finished() -> Error {
    usage("the writer has been finished")
}

/// The facade's own error, which has come through `Write`. Its causes stay behind it.
fn of_write(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::new(ErrorKind::Io, "the bytes could not be sealed").because(error),
    }
}
