//! Where a stream goes, as C names it.
//! Knows nothing of streams: a call opens it.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ffi::{c_char, c_int, c_void};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::ptr;

use cofferdam::{Error, ErrorKind, PipeSink, StreamingSink};
use lent::{Held, Lease, LentMemory, TentativeSink};

use crate::arguments;
use crate::call::{usage, value_or};
use crate::handle::{self, Object};
use crate::sink_callbacks::{SinkCallbacks, cfd_sink_callbacks};
use crate::source::duplicate;
use crate::status::cfd_status;

/// Where a stream goes. It is made for one call, which takes it, whatever comes of that; nothing is created before. What is wrong with its
/// arguments is the error of that call, so that a sink need not be looked at in between. Any thread may use it, one at a time.
pub struct cfd_sink(Target);

enum Target {
    Path(PathBuf),
    Descriptor(OwnedFd),
    Memory(LentMemory),
    Write(SinkCallbacks),
    Refused(Error),
}

impl Object for cfd_sink {
    const MAGIC: u64 = 0x6366_645f_7369_6e6b;
    const NAME: &'static str = "sink";
}

/// What a call writes to, and what it has to hold until it ends.
pub(crate) struct OpenSink {
    pub(crate) sink: Box<dyn StreamingSink>,
    pub(crate) lease: Option<Box<dyn Held>>,
    /// The most bytes that fit, where that is known.
    pub(crate) capacity: Option<u64>,
}

impl cfd_sink {
    /// The sink at `sink`, which is the call's from now on.
    ///
    /// # Safety
    /// As of [`handle::take`].
    pub(crate) unsafe fn taken(sink: *mut cfd_sink) -> Result<cfd_sink, Error> {
        // SAFETY: the same is asked for there.
        let taken = unsafe { handle::take(sink)? };
        taken.ok_or_else(|| usage("the sink is another process's"))
    }

    /// Its path, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.0 {
            Target::Path(path) => Some(path),
            _ => None,
        }
    }

    /// A path has no sink of its own: a call hands it to the facade.
    pub(crate) fn open(self) -> Result<OpenSink, Error> {
        let failed = |error| Error::io("the output could not be opened", error);
        match self.0 {
            Target::Path(_) => Err(usage("the sink is a path")),
            Target::Descriptor(descriptor) => {
                let sink = Box::new(PipeSink::to_descriptor(File::from(descriptor)));
                Ok(OpenSink { sink, lease: None, capacity: None })
            }
            Target::Memory(memory) => {
                let capacity = Some(memory.capacity());
                let lease = Lease::new(memory);
                let sink = Box::new(TentativeSink::new(lease.gate()).map_err(failed)?);
                Ok(OpenSink { sink, lease: Some(Box::new(lease)), capacity })
            }
            Target::Write(callbacks) => {
                let wrong = "the sink's `write` is NULL, or its flags are not known; CFD_SINK_PARALLEL needs CFD_SINK_PRIVATE";
                if !callbacks.are_usable() {
                    return Err(usage(wrong));
                }
                let lease = Lease::new(callbacks);
                let sink = Box::new(TentativeSink::new(lease.gate()).map_err(failed)?);
                Ok(OpenSink { sink, lease: Some(Box::new(lease)), capacity: None })
            }
            Target::Refused(error) => Err(error),
        }
    }
}

/// The memory that was given is too little for a stream of `len` bytes.
pub(crate) fn too_long(len: u64, capacity: u64) -> Error {
    let what = format!("the stream has {len} bytes, and the memory has room for {capacity}");
    Error::new(ErrorKind::Limit, what)
        .advise("Give it more memory: `cfd_inspect` says how many bytes a stream has.")
}

/// The same, of a stream whose length was not known: the error is that of the write that no longer fitted.
pub(crate) fn of_memory(error: Error, capacity: Option<u64>) -> Error {
    match capacity.filter(|_| lent::is_full(&error)) {
        Some(capacity) => too_little(capacity).because(error),
        None => error,
    }
}

pub(crate) fn too_little(capacity: u64) -> Error {
    let what = format!("the stream is longer than the memory, which has room for {capacity} bytes");
    Error::new(ErrorKind::Limit, what).advise("Give it more memory.")
}

fn given(target: impl FnOnce() -> Result<Target, Error>) -> *mut cfd_sink {
    value_or(ptr::null_mut(), || Ok(handle::give(cfd_sink(target().unwrap_or_else(Target::Refused)))))
}

/// A file at `path`, all or nothing: it is written beside its name, synced, renamed to it, and its directory is synced. A file that is there
/// is refused before the first byte, unless cfd_sealer_set_if_exists or cfd_opener_set_if_exists says otherwise. A FIFO is written in
/// order, each segment once it is verified. A symbolic link is refused, or followed where replacing was asked for: what it leads to is replaced.
/// So where others may write to the directory, make the file yourself (O_EXCL) and use cfd_sink_fd. The path is copied. Yours, until a call
/// takes it or cfd_sink_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sink_path(path: *const c_char) -> *mut cfd_sink {
    // SAFETY: the header asks for a string.
    given(|| unsafe { arguments::path(path, "the sink's path") }.map(|path| Target::Path(path.to_owned())))
}

/// The descriptor `fd`, written in order from where it stands, each segment once it is verified. What is out stays out: whoever reads it has
/// to wait for the call's CFD_OK. Nothing is synced. Where its reader is gone the system raises SIGPIPE, as of write(2): in a thread that ignores or blocks it, the call is
/// CFD_IO. It is duplicated, and yours stays open; the duplicate is closed when the stream ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sink_fd(fd: c_int) -> *mut cfd_sink {
    given(|| duplicate(fd, "the sink's descriptor").map(Target::Descriptor))
}

/// The `capacity` bytes at `memory`: the stream is opened in place there, by all threads, and not copied. The memory is the call's alone
/// until it returns. **Only after CFD_OK is what it holds the stream's**, cfd_report.plaintext_len bytes of it; after an error there may be
/// anything in it, also bytes that nobody has verified. A stream that is known to be longer is refused with CFD_LIMIT before the first byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sink_memory(memory: *mut c_void, capacity: usize) -> *mut cfd_sink {
    given(|| {
        arguments::check_range(memory, capacity, "the memory to write to")?;
        // SAFETY: the header asks for this memory.
        Ok(Target::Memory(unsafe { LentMemory::new(memory.cast(), capacity, ()) }))
    })
}

/// What `callbacks` take. The structure is copied; its `context` has to stay until `release` is called, which is before the call returns that
/// the sink is given to, or before cfd_seal_writer_finish, cfd_seal_writer_free or cfd_sink_free does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sink_write(callbacks: *const cfd_sink_callbacks) -> *mut cfd_sink {
    // SAFETY: the header asks for NULL or a structure.
    let callbacks = unsafe { callbacks.as_ref() };
    given(|| {
        let callbacks = callbacks.ok_or_else(|| usage("the sink's callbacks are NULL"))?;
        Ok(Target::Write(SinkCallbacks::new(*callbacks)))
    })
}

/// Frees a sink that no call was given; its `abort` and `release` are called. NULL is no error. CFD_USAGE: it has been freed or taken (found
/// in builds for debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sink_free(sink: *mut cfd_sink) -> cfd_status {
    // SAFETY: the header asks for NULL or a sink that nobody uses.
    unsafe { handle::free(sink) }
}
