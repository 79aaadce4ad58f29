//! Sealing, for C.
//! Joins what C gives to the facade's builder, and does none of its work.
#![allow(unsafe_code, reason = "what C hands over is pointers, and exported names")]

use std::ffi::{c_char, c_int, c_void};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::ptr;

use cofferdam::{
    CompressionLevel, DigestKind, Error, IfExists, OnPartial, Recipients, Sealed, Sealer, SecretString,
    Suite, THREADS_MAX, WrappingKey,
};
use parking_lot::RwLock;

use crate::arguments::{self, array, bytes, write_if_wanted};
use crate::call::{call, call_briefly, usage, value_or};
use crate::cancel::cfd_cancel;
use crate::error::cfd_error;
use crate::handle::{self, Object};
use crate::key_file;
use crate::observer::{Context, Told, cfd_on_progress, cfd_on_warning};
use crate::report::cfd_report;
use crate::shared_memory::SharedMemory;
use crate::sink::{cfd_sink, of_memory};
use crate::source::cfd_source;
use crate::status::cfd_status;

/// What becomes of a target that exists.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum cfd_if_exists {
    /// It is refused, at the start, and again at publish if one has appeared.
    CFD_REFUSE = 0,
    /// It is replaced at publish, atomically.
    CFD_REPLACE = 1,
}

/// What becomes of what an interrupted call has left beside the target.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum cfd_on_partial {
    /// It is proved, and the call resumes from there.
    CFD_RESUME = 0,
    /// It is removed unread.
    CFD_DISCARD = 1,
}

/// The AEAD.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum cfd_suite {
    /// AES-256-GCM.
    CFD_AES_256_GCM = 1,
    /// ChaCha20-Poly1305.
    CFD_CHACHA20_POLY1305 = 2,
}

/// What segments are digested with.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum cfd_digest {
    /// BLAKE3.
    CFD_BLAKE3 = 1,
    /// SHA-256.
    CFD_SHA256 = 2,
    /// The AEAD's tags themselves: no pin, and nothing to verify without a key.
    CFD_TAGS = 3,
}

/// How streams are sealed, and for whom. A call works with what was set when it began. Any number of threads may make calls with one sealer at
/// once. A cfd_sealer_add_, _set_ or _on_ function wants to be alone: beside another call's beginning it is CFD_USAGE, and nothing is set. It
/// has no threads, so it can be set up before a fork. Of these functions each copies what it is given.
pub struct cfd_sealer(RwLock<Settings>);

#[derive(Clone)]
pub(crate) struct Settings {
    sealer: Sealer,
    recipients: Recipients,
    told: Told,
    memory: Option<SharedMemory>,
    state_dir: Option<PathBuf>,
}

impl Object for cfd_sealer {
    const MAGIC: u64 = 0x6366_645f_7365_616c;
    const NAME: &'static str = "sealer";
}

impl Settings {
    /// Where plans and interrupted sealings are kept.
    pub(crate) fn state_dir(&self) -> Option<PathBuf> {
        self.state_dir.clone()
    }

    pub(crate) fn into_sealer(self) -> Sealer {
        let sealer = match &self.memory {
            Some(memory) => self.sealer.budget(memory.budget()),
            None => self.sealer,
        };
        sealer.recipients(self.recipients)
    }

    fn seal(self, source: cfd_source, sink: cfd_sink) -> Result<Sealed, Error> {
        let state_dir = self.state_dir.clone();
        let sealer = self.into_sealer();
        match (source.path(), sink.path(), state_dir) {
            (Some(input), Some(output), Some(state_dir)) => {
                sealer.seal_file_resumable(input, output, state_dir)
            }
            (_, _, Some(_)) => Err(usage("a sealing is resumable from a path to a path alone")),
            (Some(input), Some(output), None) => sealer.seal_file(input, output),
            (_, Some(output), None) => {
                let output = output.to_owned();
                let opened = source.open()?;
                let (_lease, source) = (opened.lease, opened.source);
                sealer.seal_to(source, output)
            }
            (_, None, None) => {
                let (source, sink) = (source.open()?, sink.open()?);
                let _leases = (source.lease, sink.lease);
                sealer.seal(source.source, sink.sink).map_err(|error| of_memory(error, sink.capacity))
            }
        }
    }
}

/// The settings of the sealer at `sealer`, as they are now.
///
/// # Safety
/// As of [`handle::borrow`].
pub(crate) unsafe fn sealer_of(sealer: *const cfd_sealer) -> Result<Sealer, Error> {
    // SAFETY: the same is asked for here.
    unsafe { settings(sealer) }.map(Settings::into_sealer)
}

/// # Safety
/// As of [`handle::borrow`].
pub(crate) unsafe fn settings(sealer: *const cfd_sealer) -> Result<Settings, Error> {
    // SAFETY: the same is asked for here.
    let sealer = unsafe { handle::borrow(sealer)? };
    let settings = sealer.0.try_read().ok_or_else(|| usage("another thread is setting up this sealer"))?;
    Ok(settings.clone())
}

/// # Safety
/// As of [`handle::borrow`].
unsafe fn change(
    sealer: *mut cfd_sealer,
    change: impl FnOnce(&mut Settings) -> Result<(), Error>,
) -> Result<(), Error> {
    // SAFETY: the same is asked for here.
    let sealer = unsafe { handle::borrow(sealer)? };
    let mut settings = sealer.0.try_write().ok_or_else(|| usage("another thread is using this sealer"))?;
    change(&mut settings)
}

/// # Safety
/// As of [`handle::borrow`].
unsafe fn set(sealer: *mut cfd_sealer, set: impl FnOnce(Sealer) -> Result<Sealer, Error>) -> cfd_status {
    call_briefly(|| {
        // SAFETY: the same is asked for here.
        unsafe {
            change(sealer, |settings| {
                settings.sealer = set(settings.sealer.clone())?;
                Ok(())
            })
        }
    })
}

/// # Safety
/// As of [`handle::borrow`] and [`call`].
unsafe fn add(
    sealer: *mut cfd_sealer,
    error: *mut *mut cfd_error,
    add: impl FnOnce(Recipients) -> Result<Recipients, Error>,
) -> cfd_status {
    let work = || {
        let add = |settings: &mut Settings| {
            settings.recipients = add(settings.recipients.clone())?;
            Ok(())
        };
        // SAFETY: the same is asked for here.
        unsafe { change(sealer, add) }
    };
    // SAFETY: the same is asked for here.
    unsafe { call(error, work) }
}

pub(crate) fn if_exists_of(number: c_int) -> Result<IfExists, Error> {
    match number {
        0 => Ok(IfExists::Refuse),
        1 => Ok(IfExists::Replace),
        _ => Err(usage(format!("{number} is no cfd_if_exists"))),
    }
}

pub(crate) fn on_partial_of(number: c_int) -> Result<OnPartial, Error> {
    match number {
        0 => Ok(OnPartial::Resume),
        1 => Ok(OnPartial::Discard),
        _ => Err(usage(format!("{number} is no cfd_on_partial"))),
    }
}

pub(crate) fn threads_of(threads: usize) -> Result<NonZeroUsize, Error> {
    match NonZeroUsize::new(threads) {
        None => Err(usage("no threads are too few")),
        Some(threads) if threads > THREADS_MAX => {
            Err(usage(format!("more than {THREADS_MAX} threads are too many")))
        }
        Some(threads) => Ok(threads),
    }
}

/// A sealer with everything at its default, and for nobody yet. Yours, until cfd_sealer_free.
#[unsafe(no_mangle)]
pub extern "C" fn cfd_sealer_new() -> *mut cfd_sealer {
    value_or(ptr::null_mut(), || {
        let recipients = Recipients::new();
        let sealer = Sealer::new(recipients.clone());
        let settings = Settings { sealer, recipients, told: Told::default(), memory: None, state_dir: None };
        Ok(handle::give(cfd_sealer(RwLock::new(settings))))
    })
}

/// Frees a sealer that no call uses. NULL is no error. CFD_USAGE: it has been freed (found in builds for debugging).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_free(sealer: *mut cfd_sealer) -> cfd_status {
    // SAFETY: the header asks for NULL or a sealer that nobody uses.
    unsafe { handle::free(sealer) }
}

/// Seals for `recipient` too: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`. Errors: CFD_USAGE where it is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_add_recipient(
    sealer: *mut cfd_sealer,
    recipient: *const c_char,
    error: *mut *mut cfd_error,
) -> cfd_status {
    // SAFETY: the header asks for a string, and for the rest.
    unsafe {
        add(sealer, error, |recipients| Ok(recipients.parse(arguments::text(recipient, "the recipient")?)?))
    }
}

/// Seals for the recipients in the file at `path` too: one a line, `#` before a comment. Errors: CFD_IO, and CFD_USAGE where a line is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_add_recipients_file(
    sealer: *mut cfd_sealer,
    path: *const c_char,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let file = |recipients: Recipients| {
        // SAFETY: the header asks for a string.
        let path = unsafe { arguments::path(path, "the path of the recipients")? };
        let content = key_file::read(path, "recipients")?;
        let text = str::from_utf8(&content).map_err(|_| usage("the file of recipients is not UTF-8"))?;
        Ok(recipients.recipients_file(text)?)
    };
    // SAFETY: the header asks for it.
    unsafe { add(sealer, error, file) }
}

/// Seals for `passphrase` too. Errors: CFD_USAGE where it cannot be one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_add_passphrase(
    sealer: *mut cfd_sealer,
    passphrase: *const c_char,
    error: *mut *mut cfd_error,
) -> cfd_status {
    // SAFETY: the header asks for a string, and for the rest.
    unsafe {
        add(sealer, error, |recipients| {
            let passphrase = arguments::text(passphrase, "the passphrase")?;
            Ok(recipients.passphrase(SecretString::from(passphrase))?)
        })
    }
}

/// Seals for the holder of the 32 bytes at `key` too: a wrapping key, which a key service or a key file keeps.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_add_key(
    sealer: *mut cfd_sealer,
    key: *const u8,
    error: *mut *mut cfd_error,
) -> cfd_status {
    // SAFETY: the header asks for 32 bytes, and for the rest.
    unsafe {
        add(sealer, error, |recipients| {
            Ok(recipients.wrapping_key(WrappingKey::from_bytes(array(key, "the key")?)))
        })
    }
}

/// Adds a pair to the streams, encrypted with them: bytes, 64 KiB in all. What is not possible is the error of the call that seals.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_add_pair(
    sealer: *mut cfd_sealer,
    key: *const c_void,
    key_len: usize,
    value: *const c_void,
    value_len: usize,
) -> cfd_status {
    // SAFETY: the header asks for these bytes, and for a sealer.
    unsafe {
        set(sealer, |sealer| {
            Ok(sealer.metadata(bytes(key, key_len, "the key")?, bytes(value, value_len, "the value")?))
        })
    }
}

/// Numbers the streams, for cfd_opener_set_min_sequence.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_sequence(sealer: *mut cfd_sealer, sequence: u64) -> cfd_status {
    // SAFETY: the header asks for a sealer.
    unsafe { set(sealer, |sealer| Ok(sealer.sequence(sequence))) }
}

/// The AEAD, a cfd_suite. Default: AES-256-GCM where the processor has instructions for it, else ChaCha20-Poly1305.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_suite(sealer: *mut cfd_sealer, suite: c_int) -> cfd_status {
    let suite = match suite {
        1 => Ok(Suite::Aes256Gcm),
        2 => Ok(Suite::ChaCha20Poly1305),
        _ => Err(usage(format!("{suite} is no cfd_suite"))),
    };
    // SAFETY: the header asks for a sealer.
    unsafe { set(sealer, |sealer| Ok(sealer.suite(suite?))) }
}

/// What segments are digested with, a cfd_digest. Default: BLAKE3.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_digest(sealer: *mut cfd_sealer, digest: c_int) -> cfd_status {
    let digest = match digest {
        1 => Ok(DigestKind::Blake3),
        2 => Ok(DigestKind::Sha256),
        3 => Ok(DigestKind::Tags),
        _ => Err(usage(format!("{digest} is no cfd_digest"))),
    };
    // SAFETY: the header asks for a sealer.
    unsafe { set(sealer, |sealer| Ok(sealer.digest(digest?))) }
}

/// Compresses with zstd at `level`, 1 to 19, what gets shorter by it. The lengths then tell how well it did. Default: no compression.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_compression(sealer: *mut cfd_sealer, level: c_int) -> cfd_status {
    let level = CompressionLevel::new(level).ok_or_else(|| usage(format!("{level} is no level of zstd")));
    // SAFETY: the header asks for a sealer.
    unsafe { set(sealer, |sealer| Ok(sealer.compression(level?))) }
}

/// Plaintext bytes of a frame: a multiple of 4096, at most 4 MiB. Default: 64 KiB, 256 KiB with compression.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_frame_len(sealer: *mut cfd_sealer, bytes: u32) -> cfd_status {
    // SAFETY: the header asks for a sealer.
    unsafe { set(sealer, |sealer| Ok(sealer.frame_len(bytes))) }
}

/// Plaintext bytes of a segment: a multiple of the frame's, at most 1 GiB. Default: 8 MiB; 1 MiB for an input of at most 8 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_segment_len(sealer: *mut cfd_sealer, bytes: u64) -> cfd_status {
    // SAFETY: the header asks for a sealer.
    unsafe { set(sealer, |sealer| Ok(sealer.segment_len(bytes))) }
}

/// What becomes of a cfd_sink_path that exists, a cfd_if_exists. Default: CFD_REFUSE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_if_exists(sealer: *mut cfd_sealer, if_exists: c_int) -> cfd_status {
    // SAFETY: the header asks for a sealer.
    unsafe { set(sealer, |sealer| Ok(sealer.if_exists(if_exists_of(if_exists)?))) }
}

/// What becomes of what an interrupted call has left, with cfd_sealer_set_state_dir: a cfd_on_partial. Default: CFD_RESUME.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_on_partial(sealer: *mut cfd_sealer, on_partial: c_int) -> cfd_status {
    // SAFETY: the header asks for a sealer.
    unsafe { set(sealer, |sealer| Ok(sealer.on_partial(on_partial_of(on_partial)?))) }
}

/// Has calls of cfd_seal from a path to a path keep what they have sealed when they are interrupted; the same call then resumes. What it needs
/// for that is kept in the directory at `path`, which is made if it is missing and which nobody else may write: **it holds the key of the
/// unfinished stream**. Other calls of cfd_seal are CFD_USAGE then. Default: NULL, nothing is kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_state_dir(
    sealer: *mut cfd_sealer,
    path: *const c_char,
) -> cfd_status {
    call_briefly(|| {
        let state_dir = match path.is_null() {
            true => None,
            // SAFETY: the header asks for a string.
            false => Some(unsafe { arguments::path(path, "the state's directory")? }.to_owned()),
        };
        let keep = |settings: &mut Settings| {
            settings.state_dir = state_dir;
            Ok(())
        };
        // SAFETY: the header asks for a sealer.
        unsafe { change(sealer, keep) }
    })
}

/// How many threads work on a stream, the caller's among them: 1 to 1024. They are made by the call and end with it. Default: as many as the
/// machine runs at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_threads(sealer: *mut cfd_sealer, threads: usize) -> cfd_status {
    // SAFETY: the header asks for a sealer.
    unsafe { set(sealer, |sealer| Ok(sealer.threads(threads_of(threads)?))) }
}

/// The most bytes of frames in memory, in all the calls of this sealer together; in a process that is forked later, in each of
/// its calls. Default: 32 MiB a call, less where memory is short.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_memory(sealer: *mut cfd_sealer, bytes: usize) -> cfd_status {
    // SAFETY: the header asks for a sealer.
    call_briefly(|| unsafe {
        change(sealer, |settings| {
            settings.memory = Some(SharedMemory::new(bytes));
            Ok(())
        })
    })
}

/// Stops this sealer's calls when `cancel` is used. It may be freed before the sealer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_set_cancel(
    sealer: *mut cfd_sealer,
    cancel: *const cfd_cancel,
) -> cfd_status {
    // SAFETY: the header asks for a sealer and a cancel object.
    unsafe { set(sealer, |sealer| Ok(sealer.cancel(handle::borrow(cancel)?.0.clone()))) }
}

/// Has `progress` called after each segment, with `context`, which has to stay as long as calls of this sealer run. NULL: nobody is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_on_progress(
    sealer: *mut cfd_sealer,
    progress: cfd_on_progress,
    context: *mut c_void,
) -> cfd_status {
    let context = Context(context);
    // SAFETY: the header asks for a sealer.
    call_briefly(|| unsafe {
        change(sealer, |settings| settings.tell(|told| told.progress = Some((progress, context))))
    })
}

/// Has `warning` called for what is wrong and does not stop a stream, with `context`, which has to stay as long as calls of this sealer run.
/// NULL: nobody is told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_sealer_on_warning(
    sealer: *mut cfd_sealer,
    warning: cfd_on_warning,
    context: *mut c_void,
) -> cfd_status {
    let context = Context(context);
    // SAFETY: the header asks for a sealer.
    call_briefly(|| unsafe {
        change(sealer, |settings| settings.tell(|told| told.warning = Some((warning, context))))
    })
}

impl Settings {
    fn tell(&mut self, change: impl FnOnce(&mut Told)) -> Result<(), Error> {
        change(&mut self.told);
        self.sealer = self.sealer.clone().observer(self.told.observer());
        Ok(())
    }
}

/// Seals all of `source` into `sink`, and publishes it: all, or nothing. It takes both, whatever it returns. From a path to a path the file's
/// mode and time are kept in the stream, and the two must not be one file. `report` may be NULL; it is written on success alone.
///
/// It blocks, and works on threads of its own as well, which inherit the caller's signal mask. From any thread. Errors: all there are but those of opening; after CFD_DURABILITY_UNKNOWN the
/// target may be the new one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfd_seal(
    sealer: *const cfd_sealer,
    source: *mut cfd_source,
    sink: *mut cfd_sink,
    report: *mut cfd_report,
    error: *mut *mut cfd_error,
) -> cfd_status {
    let work = || {
        // SAFETY: the header asks for these objects, and gives them up.
        let (source, sink) = unsafe { (cfd_source::taken(source), cfd_sink::taken(sink)) };
        let (source, sink) = (source?, sink?);
        // SAFETY: the header asks for a sealer.
        let in_use = unsafe { handle::borrow(sealer)? };
        // SAFETY: the same.
        let sealed = unsafe { settings(sealer)? }.seal(source, sink)?;
        drop(in_use);
        // SAFETY: the header asks for NULL or room.
        unsafe { write_if_wanted(report, cfd_report::from(&sealed)) };
        Ok(())
    };
    // SAFETY: the header asks for NULL or room for a pointer.
    unsafe { call(error, work) }
}
