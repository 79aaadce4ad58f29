//! Sources that the caller wrote: functions that give bytes.
//! Knows nothing of what they read.
#![allow(unsafe_code, reason = "the functions are the caller's, in C")]

use std::ffi::{c_int, c_void};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cofferdam::{Arrival, ReadAt, Source};
use lent::Gate;

/// Bytes that come once, in order: from a socket, from a program's own buffers. All that is not said to be NULL is needed.
///
/// The functions are called by the thread that made the call, and by one of the writer's where it is a cfd_seal_writer's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct cfd_read_callbacks {
    /// Handed to the functions.
    pub context: *mut c_void,
    /// Puts the next bytes into `buffer`, at most `len`, and returns how many: 0 at the end, and only there. A negative `errno` value is a
    /// failure, and nothing more is read; -EAGAIN and -EINTR say that there is nothing yet, and it is called again. A call that waits cannot be
    /// cancelled: wait for 100 ms at most, then return -EAGAIN.
    pub read: Option<unsafe extern "C" fn(context: *mut c_void, buffer: *mut c_void, len: usize) -> i64>,
    /// Called once, last, whatever came of it. NULL: nothing is to be done.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Bytes that lie still, and are read at offsets: an engine's own file, a page cache.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct cfd_read_at_callbacks {
    /// Handed to the functions.
    pub context: *mut c_void,
    /// How many bytes there are. It does not change.
    pub len: u64,
    /// Fills `buffer` with the `len` bytes from `offset` on, all of which are there. Returns 0, or an `errno` value. **Called from several
    /// threads at once.**
    pub read_at: Option<
        unsafe extern "C" fn(context: *mut c_void, offset: u64, buffer: *mut c_void, len: usize) -> c_int,
    >,
    /// Called once, last, whatever came of it. NULL: nothing is to be done.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// The caller's functions, until they are released.
pub(crate) struct ReadCallbacks(pub(crate) cfd_read_callbacks);
/// The same, for reads at offsets.
pub(crate) struct ReadAtCallbacks(pub(crate) cfd_read_at_callbacks);

// SAFETY: the header asks for functions that may be called on any thread, one at a time.
unsafe impl Send for ReadCallbacks {}
// SAFETY: they are called through `CallbackSource` alone, which is one thread's at a time.
unsafe impl Sync for ReadCallbacks {}
// SAFETY: the header asks for functions that may be called on several threads at once.
unsafe impl Send for ReadAtCallbacks {}
// SAFETY: the same.
unsafe impl Sync for ReadAtCallbacks {}

/// What a callback's number says: 0, or an `errno` value.
pub(crate) fn outcome_of(code: c_int) -> io::Result<()> {
    match code {
        0 => Ok(()),
        1..=ERRNO_MAX => Err(io::Error::from_raw_os_error(code)),
        _ => Err(io::Error::other(format!("a callback returned {code}, which is no errno value"))),
    }
}

/// The source over [`ReadCallbacks`].
pub(crate) struct CallbackSource(pub(crate) Arc<Gate<ReadCallbacks>>);

impl Source for CallbackSource {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        if buffer.is_empty() {
            return Ok(Arrival::Bytes(0));
        }
        let len = buffer.len();
        let count = self.0.enter(|ReadCallbacks(callbacks)| {
            let read = callbacks.read.ok_or(io::ErrorKind::InvalidInput)?;
            // SAFETY: the function is the caller's, with its own context; the buffer has `len` bytes, which are this call's alone.
            Ok(unsafe { read(callbacks.context, buffer.as_mut_ptr().cast(), len) })
        })?;
        match usize::try_from(count) {
            Ok(0) => Ok(Arrival::End),
            Ok(count) if count <= len => Ok(Arrival::Bytes(count)),
            Ok(count) => {
                Err(io::Error::other(format!("a callback read {count} bytes into a buffer of {len}")))
            }
            Err(_) => match outcome_of(c_int::try_from(-i128::from(count)).unwrap_or(c_int::MAX)) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
                {
                    // A callback that does not wait itself would keep a processor busy.
                    thread::sleep(patience.min(PAUSE));
                    Ok(Arrival::NothingYet)
                }
                outcome => outcome.map(|()| Arrival::NothingYet),
            },
        }
    }
}

/// The source over [`ReadAtCallbacks`], which may outlive the call.
pub(crate) struct CallbackPlace {
    callbacks: Arc<Gate<ReadAtCallbacks>>,
    len: u64,
}

impl CallbackPlace {
    pub(crate) fn new(callbacks: Arc<Gate<ReadAtCallbacks>>) -> io::Result<CallbackPlace> {
        let len = callbacks.enter(|ReadAtCallbacks(callbacks)| Ok(callbacks.len))?;
        Ok(CallbackPlace { callbacks, len })
    }
}

impl ReadAt for CallbackPlace {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if buffer.is_empty() {
            return Ok(());
        }
        self.callbacks.enter(|ReadAtCallbacks(callbacks)| {
            let read_at = callbacks.read_at.ok_or(io::ErrorKind::InvalidInput)?;
            // SAFETY: the function is the caller's, with its own context; the buffer has that many bytes, which are this call's alone.
            outcome_of(unsafe {
                read_at(callbacks.context, offset, buffer.as_mut_ptr().cast(), buffer.len())
            })
        })
    }

    fn len(&self) -> u64 {
        self.len
    }
}

/// What lies still, read in order from its start where the engine wants that.
pub(crate) struct PlaceSource<P> {
    place: Arc<P>,
    position: u64,
}

impl<P: ReadAt + 'static> PlaceSource<P> {
    pub(crate) fn new(place: P) -> PlaceSource<P> {
        PlaceSource { place: Arc::new(place), position: 0 }
    }
}

impl<P: ReadAt + 'static> Source for PlaceSource<P> {
    fn len(&self) -> Option<u64> {
        Some(self.place.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.place.clone())
    }

    fn read_within(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<Arrival> {
        let left = usize::try_from(self.place.len() - self.position).unwrap_or(usize::MAX);
        let count = left.min(buffer.len());
        if left == 0 {
            return Ok(Arrival::End);
        }
        self.place.read_exact_at(self.position, &mut buffer[..count])?;
        self.position += count as u64;
        Ok(Arrival::Bytes(count))
    }
}

impl Drop for ReadCallbacks {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // SAFETY: the function is the caller's, with its own context; it is called once, last.
            unsafe { release(self.0.context) };
        }
    }
}

impl Drop for ReadAtCallbacks {
    fn drop(&mut self) {
        if let Some(release) = self.0.release {
            // SAFETY: the function is the caller's, with its own context; it is called once, last.
            unsafe { release(self.0.context) };
        }
    }
}

/// The highest `errno` value that Linux has room for.
const ERRNO_MAX: c_int = 4095;
const PAUSE: Duration = Duration::from_millis(5);
