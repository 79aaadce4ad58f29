//! Opening, for C.
//! Joins what C gives to the facade's builder, and does none of its work.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ffi::{c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr;

use cofferdam::{
    Error, Identities, Opener, Restored, SecretString, StreamDigest, TargetError, WrappingKey, inspect_source,
};
use parking_lot::RwLock;

use crate::arguments::{self, Out, array, bytes, write_if_wanted};
use crate::call::{call, call_briefly, usage, value_or};
use crate::cancel::cfd_cancel;
use crate::error::cfd_error;
use crate::handle::{self, Object};
use crate::key_file;
use crate::observer::{Context, Told, cfd_on_progress, cfd_on_warning};
use crate::pairs::cfd_pairs;
use crate::report::cfd_report;
use crate::sealer::{if_exists_of, on_partial_of, threads_of};
use crate::shared_memory::SharedMemory;
use crate::sink::{OpenSink, cfd_sink, of_memory, too_long};
use crate::source::cfd_source;
use crate::status::cfd_status;

/// How streams are opened, and with which keys. A call works with what was set when it began. Any number of threads may make calls with one
/// opener at once. A cfd_opener_add_, _set_ or _on_ function wants to be alone: beside another call's beginning it is CFD_USAGE, and nothing is
/// set. It has no threads, so it can be set up before a fork. Of these functions each copies what it is given; keys are wiped when it is freed.
pub struct cfd_opener(RwLock<Settings>);

#[derive(Clone)]
struct Settings {
    opener: Opener,
    identities: Identities,
    told: Told,
    memory: Option<SharedMemory>,
}

impl Object for cfd_opener {
    const MAGIC: u64 = 0x6366_645f_6f70_656e;
    const NAME: &'static str = "opener";
}

impl Settings {
    /// Without a key it verifies, and nothing more.
    fn into_opener(self) -> Opener {
        let opener = match &self.memory {
            Some(memory) => self.opener.budget(memory.budget()),
            None => self.opener,
        };
        match self.identities.is_empty() {
            true => opener,
            false => opener.identities(self.identities),
        }
    }

    fn tell(&mut self, change: impl FnOnce(&mut Told)) -> Result<(), Error> {
        change(&mut self.told);
        self.opener = self.opener.clone().observer(self.told.observer());
        Ok(())
    }
}

fn open(opener: &Opener, source: cfd_source, sink: cfd_sink) -> Result<Restored, Error> {
    match (source.path(), sink.path()) {
        (Some(sealed), Some(target)) => opener.restore_file(sealed, target),
        (None, Some(target)) => {
            let target = target.to_owned();
            let opened = source.open()?;
            let (_lease, source) = (opened.lease, opened.source);
            opener.restore_to(source, target)
        }
        (_, None) => {
            let source = source.open()?;
            let OpenSink { sink, lease, capacity } = sink.open()?;
            let _leases = (source.lease, lease);
            let mut refused = None;
            let opened = opener.open_sized(source.source, |len| {
                refused = len.zip(capacity).filter(|(len, capacity)| len > capacity);
                match refused {
                    // It only stops the call: what is told of it is said below.
                    Some((needed, _)) => Err(TargetError::TooLarge { path: PathBuf::new(), needed }),
                    None => Ok(sink),
                }
            });
            match refused {
                Some((len, capacity)) => Err(too_long(len, capacity)),
                None => opened.map_err(|error| of_memory(error, capacity)),
            }
        }
    }
}

/// The settings of the opener at `opener`, as they are now.
///
/// # Safety
/// As of [`handle::borrow`].
pub(crate) unsafe fn opener_of(opener: *const cfd_opener) -> Result<Opener, Error> {
    // SAFETY: the same is asked for here.
    let opener = unsafe { handle::borrow(opener)? };
    let settings = opener.0.try_read().ok_or_else(|| usage("another thread is setting up this opener"))?;
    Ok(settings.clone().into_opener())
}

/// # Safety
/// As of [`handle::borrow`].
unsafe fn change(
    opener: *mut cfd_opener,
    change: impl FnOnce(&mut Settings) -> Result<(), Error>,
) -> Result<(), Error> {
    // SAFETY: the same is asked for here.
    let opener = unsafe { handle::borrow(opener)? };
    let mut settings = opener.0.try_write().ok_or_else(|| usage("another thread is using this opener"))?;
    change(&mut settings)
}

/// # Safety
/// As of [`handle::borrow`].
unsafe fn set(opener: *mut cfd_opener, set: impl FnOnce(Opener) -> Result<Opener, Error>) -> cfd_status {
    call_briefly(|| {
        // SAFETY: the same is asked for here.
        unsafe {
            change(opener, |settings| {
                settings.opener = set(settings.opener.clone())?;
                Ok(())
            })
        }
    })
}

/// # Safety
/// As of [`handle::borrow`] and [`call`].
unsafe fn add(
    opener: *mut cfd_opener,
    error: *mut *mut cfd_error,
    add: impl FnOnce(Identities) -> Result<Identities, Error>,
) -> cfd_status {
    let work = || {
        let add = |settings: &mut Settings| {
            settings.identities = add(settings.identities.clone())?;
            Ok(())
        };
        // SAFETY: the same is asked for here.
        unsafe { change(opener, add) }
    };
    // SAFETY: the same is asked for here.
    unsafe { call(error, work) }
}

/// An opener with everything at its default, and without a key: so it verifies that a stream is consistent, and nothing more. Yours, until
/// cfd_opener_free.
#[unsafe(no_mangle)]
pub extern "C" fn cfd_opener_new() -> *mut cfd_opener {
    value_or(ptr::null_mut(), || {
        let settings = Settings {
            opener: Opener::keyless(),
            identities: Identities::new(),
            told: Told::default(),
            memory: None,
        };
        Ok(handle::give(cfd_opener(RwLock::new(settings))))
    })
}

/// Frees an opener that no call uses. NULL is no error. CFD_USAGE: it has been freed (found in builds for debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_free(opener: *mut cfd_opener) -> cfd_status {
    // SAFETY: the header asks for NULL or an opener that nobody uses.
    unsafe { handle::free(opener) }
}

/// Opens with the identities in the `len` bytes at `text` too: one a line, `#` before a comment; or one private SSH key. Errors: CFD_USAGE where
/// they are none, or need a passphrase.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_add_identities(
    opener: *mut cfd_opener,
    text: *const c_char,
    len: usize,
    error: *mut *mut cfd_error,
) -> cfd_status {
    // SAFETY: the header asks for these bytes, and for the rest.
    unsafe {
        add(opener, error, |identities| {
            Ok(identities.identity_file(bytes(text.cast(), len, "the identities")?)?)
        })
    }
}

/// Opens with the identities in the file at `path` too. Errors: as of cfd_opener_add_identities, and CFD_IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_add_identity_file(
    opener: *mut cfd_opener,
    path: *const c_char,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let file = |identities: Identities| {
        // SAFETY: the header asks for a string.
        let path = unsafe { arguments::path(path, "the path of the identities")? };
        Ok(identities.identity_file(key_file::read(path, "identities")?.as_slice())?)
    };
    // SAFETY: the header asks for it.
    unsafe { add(opener, error, file) }
}

/// Opens with `passphrase` too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_add_passphrase(
    opener: *mut cfd_opener,
    passphrase: *const c_char,
    error: *mut *mut cfd_error,
) -> cfd_status {
    // SAFETY: the header asks for a string, and for the rest.
    unsafe {
        add(opener, error, |identities| {
            Ok(identities.passphrase(SecretString::from(arguments::text(passphrase, "the passphrase")?)))
        })
    }
}

/// Opens with the 32 bytes at `key` too, a wrapping key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_add_key(
    opener: *mut cfd_opener,
    key: *const u8,
    error: *mut *mut cfd_error,
) -> cfd_status {
    // SAFETY: the header asks for 32 bytes, and for the rest.
    unsafe {
        add(opener, error, |identities| {
            Ok(identities.wrapping_key(WrappingKey::from_bytes(array(key, "the key")?)))
        })
    }
}

/// Refuses every stream but the one whose digest is the 32 bytes at `digest`, with CFD_DIGEST_MISMATCH: cfd_report.stream_digest, from a place
/// that you trust. Without a key, cfd_verify then proves every byte of the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_expect_digest(opener: *mut cfd_opener, digest: *const u8) -> cfd_status {
    // SAFETY: the header asks for 32 bytes, and for an opener.
    unsafe { set(opener, |opener| Ok(opener.expect_digest(StreamDigest(array(digest, "the digest")?)))) }
}

/// Refuses streams with a lower number, or none, with CFD_STALE: see cfd_sealer_set_sequence. Whoever knows a recipient can seal a stream with
/// any number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_set_min_sequence(opener: *mut cfd_opener, sequence: u64) -> cfd_status {
    // SAFETY: the header asks for an opener.
    unsafe { set(opener, |opener| Ok(opener.min_sequence(sequence))) }
}

/// Takes over from the file at `path` what it has of the plaintext at the same places, after proving it, and reads only the rest of the
/// stream. For a cfd_sink_path.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_set_seed(opener: *mut cfd_opener, path: *const c_char) -> cfd_status {
    // SAFETY: the header asks for a string, and for an opener.
    unsafe { set(opener, |opener| Ok(opener.seed(arguments::path(path, "the seed's path")?))) }
}

/// What becomes of a cfd_sink_path that exists, a cfd_if_exists. Default: CFD_REFUSE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_set_if_exists(opener: *mut cfd_opener, if_exists: c_int) -> cfd_status {
    // SAFETY: the header asks for an opener.
    unsafe { set(opener, |opener| Ok(opener.if_exists(if_exists_of(if_exists)?))) }
}

/// What becomes of what an interrupted call has left beside a cfd_sink_path, a cfd_on_partial. Default: CFD_RESUME.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_set_on_partial(opener: *mut cfd_opener, on_partial: c_int) -> cfd_status {
    // SAFETY: the header asks for an opener.
    unsafe { set(opener, |opener| Ok(opener.on_partial(on_partial_of(on_partial)?))) }
}

/// How many threads work on a stream, the caller's among them: 1 to 1024. They are made by the call and end with it. Default: as many as the
/// machine runs at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_set_threads(opener: *mut cfd_opener, threads: usize) -> cfd_status {
    // SAFETY: the header asks for an opener.
    unsafe { set(opener, |opener| Ok(opener.threads(threads_of(threads)?))) }
}

/// The most bytes of frames in memory, in all the calls of this opener together; in a process that is forked later, in each of
/// its calls. Default: 32 MiB a call, less where memory is short.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_set_memory(opener: *mut cfd_opener, bytes: usize) -> cfd_status {
    // SAFETY: the header asks for an opener.
    call_briefly(|| unsafe {
        change(opener, |settings| {
            settings.memory = Some(SharedMemory::new(bytes));
            Ok(())
        })
    })
}

/// Stops this opener's calls when `cancel` is used. It may be freed before the opener.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_set_cancel(
    opener: *mut cfd_opener,
    cancel: *const cfd_cancel,
) -> cfd_status {
    // SAFETY: the header asks for an opener and a cancel object.
    unsafe { set(opener, |opener| Ok(opener.cancel(handle::borrow(cancel)?.0.clone()))) }
}

/// Has `progress` called after each segment, with `context`, which has to stay as long as calls of this opener run. NULL: nobody is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_on_progress(
    opener: *mut cfd_opener,
    progress: cfd_on_progress,
    context: *mut c_void,
) -> cfd_status {
    let context = Context(context);
    // SAFETY: the header asks for an opener.
    call_briefly(|| unsafe {
        change(opener, |settings| settings.tell(|told| told.progress = Some((progress, context))))
    })
}

/// Has `warning` called for what is wrong and does not stop a stream, with `context`, which has to stay as long as calls of this opener run.
/// NULL: nobody is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_opener_on_warning(
    opener: *mut cfd_opener,
    warning: cfd_on_warning,
    context: *mut c_void,
) -> cfd_status {
    let context = Context(context);
    // SAFETY: the header asks for an opener.
    call_briefly(|| unsafe {
        change(opener, |settings| settings.tell(|told| told.warning = Some((warning, context))))
    })
}

/// Opens all of `source` into `sink`, and publishes it: all, or nothing. It takes both, whatever it returns. `report` may be NULL; it is
/// written on success alone. After an error the target is as it was, but for CFD_DURABILITY_UNKNOWN; what a cfd_sink_path had got is kept beside it,
/// and the same call resumes from there (cfd_error_resumable_bytes).
///
/// It blocks, and works on threads of its own as well, which inherit the caller's signal mask. From any thread. Errors: all there are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_open(
    opener: *const cfd_opener,
    source: *mut cfd_source,
    sink: *mut cfd_sink,
    report: *mut cfd_report,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for these objects, and gives them up.
        let (source, sink) = unsafe { (cfd_source::taken(source), cfd_sink::taken(sink)) };
        let (source, sink) = (source?, sink?);
        // SAFETY: the header asks for an opener.
        let _in_use = unsafe { handle::borrow(opener)? };
        // SAFETY: the same.
        let restored = open(&unsafe { opener_of(opener)? }, source, sink)?;
        // SAFETY: the header asks for NULL or room.
        unsafe { write_if_wanted(report, cfd_report::from(&restored)) };
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// Checks all of `source`, and writes nothing. It takes the source, whatever it returns. With a key every tag, MAC and digest is checked. Without
/// one it proves that the stream is consistent, and not who made it; with cfd_opener_expect_digest, that it is that very stream. `report` may be
/// NULL. It blocks, as cfd_open does. From any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_verify(
    opener: *const cfd_opener,
    source: *mut cfd_source,
    report: *mut cfd_report,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a source, and gives it up.
        let source = unsafe { cfd_source::taken(source)? };
        // SAFETY: the header asks for an opener.
        let _in_use = unsafe { handle::borrow(opener)? };
        // SAFETY: the same.
        let opener = unsafe { opener_of(opener)? };
        let opened = source.open()?;
        let (_lease, source) = (opened.lease, opened.source);
        let verified = opener.verify(source)?;
        // SAFETY: the header asks for NULL or room.
        unsafe { write_if_wanted(report, cfd_report::from(&verified)) };
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// The pairs of the stream in `source`, into `*pairs`: yours, until cfd_pairs_free. It takes the source, whatever it returns. It needs a key, and
/// reads no segment: that the stream is whole is not said. From any thread. Errors: those of cfd_verify, and CFD_USAGE with
/// cfd_opener_expect_digest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_metadata(
    opener: *const cfd_opener,
    source: *mut cfd_source,
    pairs: *mut *mut cfd_pairs,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a source, and gives it up.
        let source = unsafe { cfd_source::taken(source)? };
        // SAFETY: the header asks for room for a pointer.
        let room = unsafe { Out::new(pairs, "the place for the pairs")? };
        // SAFETY: the header asks for an opener.
        let opener = unsafe { opener_of(opener)? };
        let opened = source.open()?;
        let (_lease, source) = (opened.lease, opened.source);
        room.write(handle::give(cfd_pairs(opener.metadata(source)?)));
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}

/// What the stream in `source` says of itself, without a key. **A claim**: structure and checksums are checked, and no digest, so that anybody
/// can have written it. It takes the source, whatever it returns; that needs offsets (no pipe). `report` may be NULL. From any thread. Errors:
/// CFD_TRUNCATED where it does not end with a footer; CFD_DAMAGED, CFD_NOT_A_STREAM, CFD_IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_inspect(
    source: *mut cfd_source,
    report: *mut cfd_report,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for a source, and gives it up.
        let source = unsafe { cfd_source::taken(source)? };
        let opened = source.open()?;
        let (_lease, source) = (opened.lease, opened.source);
        let inspected = cfd_report::try_from(&inspect_source(source)?)?;
        // SAFETY: the header asks for NULL or room.
        unsafe { write_if_wanted(report, inspected) };
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}
