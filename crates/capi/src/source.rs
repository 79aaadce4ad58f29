//! Where a stream's bytes come from, as C names it.
//! Knows nothing of streams: a call opens it.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ffi::{c_char, c_int, c_void};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::{io, ptr};

use cofferdam::{Error, Source, open_descriptor, open_path};
use lent::{Held, Lease, LentBytes, ReadBehindGate};

use crate::arguments;
use crate::call::{usage, value_or};
use crate::handle::{self, Object};
use crate::source_callbacks::{
    CallbackPlace, CallbackSource, PlaceSource, ReadAtCallbacks, ReadCallbacks, cfd_read_at_callbacks,
    cfd_read_callbacks,
};
use crate::status::cfd_status;

/// Where bytes come from. It is made for one call, which takes it, whatever comes of that; nothing is opened before. What is wrong with its
/// arguments is the error of that call, so that a source need not be looked at in between. Any thread may use it, one at a time.
pub struct cfd_source(Place);

enum Place {
    Path(PathBuf),
    Descriptor(OwnedFd),
    Memory(LentBytes),
    Read(ReadCallbacks),
    ReadAt(ReadAtCallbacks),
    Refused(Error),
}

impl Object for cfd_source {
    const MAGIC: u64 = 0x6366_645f_736f_7572;
    const NAME: &'static str = "source";
}

/// What a call reads, and what it has to hold until it ends.
pub(crate) struct OpenSource {
    pub(crate) source: Box<dyn Source>,
    pub(crate) lease: Option<Box<dyn Held>>,
}

impl cfd_source {
    /// The source at `source`, which is the call's from now on.
    ///
    /// # Safety
    /// As of [`handle::take`].
    pub(crate) unsafe fn taken(source: *mut cfd_source) -> Result<cfd_source, Error> {
        // SAFETY: the same is asked for there.
        let taken = unsafe { handle::take(source)? };
        taken.ok_or_else(|| usage("the source is another process's"))
    }

    /// Its path, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Path(path) => Some(path),
            _ => None,
        }
    }

    pub(crate) fn open(self) -> Result<OpenSource, Error> {
        let failed = |error| Error::io("the input could not be opened", error);
        let unheld = |source| Ok(OpenSource { source, lease: None });
        match self.0 {
            Place::Path(path) => open_path(path).map_err(failed).and_then(unheld),
            Place::Descriptor(descriptor) => open_descriptor(descriptor).map_err(failed).and_then(unheld),
            Place::Memory(lent) => {
                let lease = Lease::new(lent);
                let place = ReadBehindGate::new(lease.gate()).map_err(failed)?;
                Ok(OpenSource { source: Box::new(PlaceSource::new(place)), lease: Some(Box::new(lease)) })
            }
            Place::Read(ReadCallbacks(callbacks)) if callbacks.read.is_none() => {
                Err(usage("the source's `read` is NULL"))
            }
            Place::ReadAt(ReadAtCallbacks(callbacks)) if callbacks.read_at.is_none() => {
                Err(usage("the source's `read_at` is NULL"))
            }
            Place::Read(callbacks) => {
                let lease = Lease::new(callbacks);
                let source = Box::new(CallbackSource(lease.gate()));
                Ok(OpenSource { source, lease: Some(Box::new(lease)) })
            }
            Place::ReadAt(callbacks) => {
                let lease = Lease::new(callbacks);
                let place = CallbackPlace::new(lease.gate()).map_err(failed)?;
                Ok(OpenSource { source: Box::new(PlaceSource::new(place)), lease: Some(Box::new(lease)) })
            }
            Place::Refused(error) => Err(error),
        }
    }
}

fn given(place: impl FnOnce() -> Result<Place, Error>) -> *mut cfd_source {
    value_or(ptr::null_mut(), || Ok(handle::give(cfd_source(place().unwrap_or_else(Place::Refused)))))
}

/// The file at `path`, which all threads read at once; a FIFO or a character device, which is read in order; a block device. The path is
/// copied. Yours, until a call takes it or cfd_source_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_source_path(path: *const c_char) -> *mut cfd_source {
    // SAFETY: the header asks for a string.
    given(|| unsafe { arguments::path(path, "the source's path") }.map(|path| Place::Path(path.to_owned())))
}

/// What the descriptor `fd` is open on: a file from where it stands, a pipe, a socket. It is duplicated, and yours stays open. Of a pipe it
/// reads all there is: keep no other copy of its writing end, or the end never comes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_source_fd(fd: c_int) -> *mut cfd_source {
    given(|| duplicate(fd, "the source's descriptor").map(Place::Descriptor))
}

/// The `len` bytes at `bytes`. They stay yours; nobody may write or free them until the call that takes the source has returned, or until
/// the reader is freed that it is given to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_source_memory(bytes: *const c_void, len: usize) -> *mut cfd_source {
    given(|| {
        arguments::check_range(bytes, len, "the memory to read from")?;
        // SAFETY: the header asks for these bytes.
        Ok(Place::Memory(unsafe { LentBytes::new(bytes.cast(), len, ()) }))
    })
}

/// What `callbacks` read in order. The structure is copied; its `context` has to stay until `release` is called, which is before the call
/// returns that the source is given to, or before cfd_source_free does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_source_read(callbacks: *const cfd_read_callbacks) -> *mut cfd_source {
    // SAFETY: the header asks for NULL or a structure.
    let callbacks = unsafe { callbacks.as_ref() };
    given(|| {
        let callbacks = callbacks.ok_or_else(|| usage("the source's callbacks are NULL"))?;
        Ok(Place::Read(ReadCallbacks(*callbacks)))
    })
}

/// What `callbacks` read at offsets, from several threads at once. The structure is copied; its `context` has to stay until `release` is
/// called, which is before the call returns that the source is given to, or before cfd_reader_free or cfd_source_free does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_source_read_at(callbacks: *const cfd_read_at_callbacks) -> *mut cfd_source {
    // SAFETY: the header asks for NULL or a structure.
    let callbacks = unsafe { callbacks.as_ref() };
    given(|| {
        let callbacks = callbacks.ok_or_else(|| usage("the source's callbacks are NULL"))?;
        Ok(Place::ReadAt(ReadAtCallbacks(*callbacks)))
    })
}

/// Frees a source that no call was given. NULL is no error. CFD_USAGE: it has been freed or taken (found in builds for debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_source_free(source: *mut cfd_source) -> cfd_status {
    // SAFETY: the header asks for NULL or a source that nobody uses.
    unsafe { handle::free(source) }
}

/// A descriptor of our own for what `fd` is open on.
pub(crate) fn duplicate(fd: c_int, name: &str) -> Result<OwnedFd, Error> {
    if fd < 0 {
        return Err(usage(format!("{name} is {fd}")));
    }
    // SAFETY: it is not negative, and is used for one system call, which says whether it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned().map_err(|error: io::Error| Error::io(format!("{name} is {fd}"), error))
}
