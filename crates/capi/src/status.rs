//! What came of a call, as a number.
#![allow(unsafe_code, reason = "an exported name")]

use std::ffi::{CStr, c_char, c_int};

use cofferdam::ErrorKind;

/// What came of a call. The numbers are stable, and up to 17 those with which the command `cofferdam` exits. There will be more of them:
/// treat one that you do not know as CFD_IO.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum cfd_status {
    /// It is done.
    CFD_OK = 0,
    /// Reading, writing, or the machine failed.
    CFD_IO = 1,
    /// You asked for something that is not possible: a NULL, an object that has been freed, choices that exclude each other.
    CFD_USAGE = 2,
    /// The sealed stream is damaged or was tampered with.
    CFD_DAMAGED = 3,
    /// None of the keys that were given opens the stream.
    CFD_NO_KEY = 4,
    /// The sealed stream ends too early.
    CFD_TRUNCATED = 5,
    /// The target exists, and replacing it was not asked for.
    CFD_TARGET_EXISTS = 6,
    /// A size or count is beyond a limit: of the format, of the memory that was given.
    CFD_LIMIT = 7,
    /// What is kept beside the target of an interrupted attempt is of another stream or target, or is damaged.
    CFD_JOURNAL_MISMATCH = 8,
    /// Another process is writing the same target.
    CFD_TARGET_LOCKED = 9,
    /// The target has been published, but it is not known whether that survives a power cut.
    CFD_DURABILITY_UNKNOWN = 10,
    /// The bytes are no Cofferdam stream.
    CFD_NOT_A_STREAM = 11,
    /// The source changed while it was read.
    CFD_SOURCE_CHANGED = 12,
    /// The stream has been opened to its end, and nothing proves that it is whole.
    CFD_UNPROVEN = 13,
    /// The stream is older than the one that was asked for.
    CFD_STALE = 14,
    /// Nothing has come from afar for as long as was allowed.
    CFD_NO_PROGRESS = 15,
    /// Nobody who was named has signed the stream.
    CFD_NOT_SIGNED = 17,
    /// The stream is not the one whose digest was given.
    CFD_DIGEST_MISMATCH = 18,
    /// The stream is of a version or has a feature that this library does not know.
    CFD_UNSUPPORTED = 19,
    /// The store does not let this caller read or write.
    CFD_DENIED = 20,
    /// The system provided no thread or no memory.
    CFD_EXHAUSTED = 21,
    /// The call was cancelled.
    CFD_CANCELLED = 22,
    /// A fault of this library, which was caught. The objects that the call was given are refused from then on; free them.
    CFD_PANIC = 23,
}

use cfd_status::*;

impl cfd_status {
    pub(crate) fn of(kind: ErrorKind) -> cfd_status {
        match kind {
            ErrorKind::Usage => CFD_USAGE,
            ErrorKind::Damaged => CFD_DAMAGED,
            ErrorKind::DigestMismatch => CFD_DIGEST_MISMATCH,
            ErrorKind::NotSigned => CFD_NOT_SIGNED,
            ErrorKind::NoKey => CFD_NO_KEY,
            ErrorKind::Truncated => CFD_TRUNCATED,
            ErrorKind::TargetExists => CFD_TARGET_EXISTS,
            ErrorKind::Limit => CFD_LIMIT,
            ErrorKind::Unsupported => CFD_UNSUPPORTED,
            ErrorKind::JournalMismatch => CFD_JOURNAL_MISMATCH,
            ErrorKind::TargetLocked => CFD_TARGET_LOCKED,
            ErrorKind::DurabilityUnknown => CFD_DURABILITY_UNKNOWN,
            ErrorKind::NotAStream => CFD_NOT_A_STREAM,
            ErrorKind::Unproven => CFD_UNPROVEN,
            ErrorKind::Stale => CFD_STALE,
            ErrorKind::SourceChanged => CFD_SOURCE_CHANGED,
            ErrorKind::Denied => CFD_DENIED,
            ErrorKind::NoProgress => CFD_NO_PROGRESS,
            ErrorKind::Exhausted => CFD_EXHAUSTED,
            ErrorKind::Cancelled => CFD_CANCELLED,
            // `Io`, and what is not known yet.
            _ => CFD_IO,
        }
    }
}

const NAMES: [(cfd_status, &CStr); 23] = [
    (CFD_OK, c"ok"),
    (CFD_IO, c"io"),
    (CFD_USAGE, c"usage"),
    (CFD_DAMAGED, c"damaged"),
    (CFD_NO_KEY, c"no-key"),
    (CFD_TRUNCATED, c"truncated"),
    (CFD_TARGET_EXISTS, c"target-exists"),
    (CFD_LIMIT, c"limit"),
    (CFD_JOURNAL_MISMATCH, c"other-journal"),
    (CFD_TARGET_LOCKED, c"target-held"),
    (CFD_DURABILITY_UNKNOWN, c"durability-unknown"),
    (CFD_NOT_A_STREAM, c"not-a-stream"),
    (CFD_SOURCE_CHANGED, c"source-changed"),
    (CFD_UNPROVEN, c"unproven"),
    (CFD_STALE, c"stale"),
    (CFD_NO_PROGRESS, c"no-progress"),
    (CFD_NOT_SIGNED, c"not-signed"),
    (CFD_DIGEST_MISMATCH, c"digest-mismatch"),
    (CFD_UNSUPPORTED, c"unsupported"),
    (CFD_DENIED, c"denied"),
    (CFD_EXHAUSTED, c"exhausted"),
    (CFD_CANCELLED, c"interrupted"),
    (CFD_PANIC, c"panic"),
];

/// The name of a status, as the command prints it with `--json`: "target-exists", for example. A static string; "unknown" for a number that
/// is none.
#[unsafe(no_mangle)]
pub extern "C" fn cfd_status_name(status: c_int) -> *const c_char {
    let named = NAMES.iter().find(|(named, _)| *named as c_int == status);
    named.map_or(c"unknown", |(_, name)| name).as_ptr()
}
