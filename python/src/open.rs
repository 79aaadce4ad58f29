//! `restore`, `restore_into`, `verify` and `metadata`: the calls that open a whole stream, or its head.
//! The library opens; nothing here does.

use std::path::PathBuf;
use std::sync::Arc;

use cofferdam::{
    ContentKind, Error, ErrorKind, Foreign, Identities, IfNoTree, Opener, SignedBy, StreamDigest,
    TargetError, TreeOutcome, check_tree,
};
use lent::{Lease, TentativeSink, is_full};
use pyo3::prelude::*;

use crate::call::{self, Control, Failed};
use crate::number::{Number, count, seconds};
use crate::report::{Restored, RestoredTree, pairs};
use crate::seal::if_exists;
use crate::signed::signed_by;
use crate::source::{Given, InOrder, Opened, check_there};
use crate::target::{self, Target};
use crate::{buffer, error, keys, tree_options};

/// What every call that opens may be told.
#[derive(Default)]
pub(crate) struct Asked<'a> {
    pub(crate) expect_digest: Option<&'a str>,
    pub(crate) min_sequence: Option<Number<u64>>,
    pub(crate) signed: Option<SignedBy>,
    pub(crate) threads: Option<Number<usize>>,
    pub(crate) memory: Option<Number<usize>>,
}

/// An opener of streams, of those of age too. Without `identities` one that can only verify.
pub(crate) fn opener(py: Python<'_>, identities: Option<Identities>, asked: Asked<'_>) -> PyResult<Opener> {
    let mut opener = identities.map_or_else(Opener::keyless, Opener::new).foreign(Foreign::Open);
    if let Some(digest) = asked.expect_digest {
        let digest: StreamDigest = digest
            .parse()
            .map_err(|why| error::usage(py, &format!("`expect_digest` is 64 hexadecimal digits: {why}")))?;
        opener = opener.expect_digest(digest);
    }
    if let Some(Number(sequence)) = asked.min_sequence {
        opener = opener.min_sequence(sequence);
    }
    if let Some(signed) = asked.signed {
        opener = opener.check_pin(signed);
    }
    if let Some(threads) = count(py, asked.threads, "threads")? {
        opener = opener.threads(threads);
    }
    if let Some(memory) = count(py, asked.memory, "memory")? {
        opener = opener.memory(memory.get());
    }
    Ok(opener)
}

/// Restores ``source`` into ``target``, all or nothing.
///
/// ``identities`` are what opens it, one or a list; ``passphrase`` another one. With ``expect_digest`` (hexadecimal digits, as :class:`Sealed` has them) a
/// stream with another digest is refused, with ``min_sequence`` one whose number is lower, with ``signed_by`` (SSH public keys, text or the name of
/// a file) one that none of them has signed: ``signature`` is bytes or the name of a file, by default that of the stream with ``.sig`` at its end.
/// ``threads`` and ``memory`` (bytes) bound what the call uses; ``timeout`` is how many seconds a store may bring nothing, 300 by default.
/// With ``force`` a target that exists is replaced, atomically; without it is refused. ``progress`` is called with a :class:`Progress` on this thread, a
/// few times a second; what it raises cancels the call.
///
/// Where the stream is a tree and the target is a path, that becomes a directory. With ``keep_old`` and ``force`` the directory that is replaced is kept
/// as ``TARGET.cofferdam-old``; with ``into`` the contents are moved into a directory that exists, name by name, and nothing else there is touched. Root gives
/// files to the owners' names, else their numbers; with ``numeric_owner`` to the numbers, with ``no_owner`` to itself. Set-id bits and devices are left
/// out but with ``set_id`` and ``devices``. Each of these refuses a stream that is no tree. What was left out, :attr:`Restored.tree` says. A file object gets
/// the tree's tar archive, an object in a store all of the plaintext.
///
/// Raises a kind of :exc:`Error`, and leaves the target as it was, unless it is a :exc:`DurabilityUnknownError`. Its ``resumable_bytes`` says what is
/// kept beside a target that is a file: the same call proves that and goes on from there, :func:`discard` removes it. A file object gets each segment
/// once it is proved, and what it got before an error stays.
#[pyfunction]
#[pyo3(signature = (
    source, target, identities = None, *, passphrase = None, force = false, keep_old = false, into = false, numeric_owner = false, no_owner = false,
    set_id = false, devices = false, expect_digest = None, min_sequence = None, signed_by = None, signature = None, threads = None, memory = None,
    timeout = None, progress = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn restore(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    target: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    force: bool,
    keep_old: bool,
    into: bool,
    numeric_owner: bool,
    no_owner: bool,
    set_id: bool,
    devices: bool,
    expect_digest: Option<&str>,
    min_sequence: Option<Number<u64>>,
    signed_by: Option<&Bound<'_, PyAny>>,
    signature: Option<&Bound<'_, PyAny>>,
    threads: Option<Number<usize>>,
    memory: Option<Number<usize>>,
    timeout: Option<f64>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Restored> {
    let signed = self::signed_by(source, signed_by, signature)?;
    let asked = Asked { expect_digest, min_sequence, signed, threads, memory };
    let opener =
        opener(py, keys::identities(py, identities, passphrase)?, asked)?.if_exists(if_exists(force));
    let timeout = seconds(py, timeout)?;
    let (source, target) = (Given::new(source, timeout)?, Target::new(target)?);
    let tree = tree_options::Asked { force, keep_old, into, numeric_owner, no_owner, set_id, devices };
    tree.check(py, (&source, &target), tree_options::files(identities, [signed_by, signature])?)?;
    let outcome = TreeOutcome::default();
    let opener = tree.opener(opener, &outcome);
    let restored = call::run(py, progress, move |Control { cancel, observer }| {
        let opener = opener.cancel(cancel.clone()).observer(observer);
        let (source, target) = match (source, target) {
            (Given::Path(sealed), Target::Path(target)) => {
                check_there(&sealed)?;
                return Ok(opener.restore_file(sealed, target)?);
            }
            ends => ends,
        };
        let Opened { source, lease: _lease } = source.open(&cancel)?;
        Ok::<_, Failed>(match target {
            Target::Path(target) => opener.restore_to(source, target)?,
            Target::Place(place) => opener.restore_to_object(source, &target::object(place, timeout))?,
            Target::File(object) => {
                opener.open_archive(source, target::ordered(object), IfNoTree::OpenAll)?
            }
        })
    })?;
    Restored::new(py, restored, outcome.restored().map(RestoredTree::from))
}

/// Restores ``source`` into the beginning of ``buffer``, in place, on all cores, and copies nothing.
///
/// ``buffer`` is any object whose memory can be written and lies in one piece: a ``bytearray``, an array of numpy. **Until this returns, and if it
/// raises, it holds anything**: also bytes that nobody has verified. It cannot be resized meanwhile.
///
/// ``identities`` are what opens it, one or a list; ``passphrase`` another one. With ``expect_digest`` (hexadecimal digits, as :class:`Sealed` has them) a
/// stream with another digest is refused, with ``min_sequence`` one whose number is lower, with ``signed_by`` (SSH public keys, text or the name of
/// a file) one that none of them has signed: ``signature`` is bytes or the name of a file, by default that of the stream with ``.sig`` at its end.
/// ``threads`` and ``memory`` (bytes) bound what the call uses; ``timeout`` is how many seconds a store may bring nothing, 300 by default.
///
/// Raises :exc:`LimitError` where the buffer is too small, and other kinds of :exc:`Error`.
#[pyfunction]
#[pyo3(signature = (
    source, buffer, identities = None, *, passphrase = None, expect_digest = None, min_sequence = None, signed_by = None, signature = None,
    threads = None, memory = None, timeout = None, progress = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn restore_into(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    buffer: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    expect_digest: Option<&str>,
    min_sequence: Option<Number<u64>>,
    signed_by: Option<&Bound<'_, PyAny>>,
    signature: Option<&Bound<'_, PyAny>>,
    threads: Option<Number<usize>>,
    memory: Option<Number<usize>>,
    timeout: Option<f64>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Restored> {
    let signed = self::signed_by(source, signed_by, signature)?;
    let asked = Asked { expect_digest, min_sequence, signed, threads, memory };
    let opener = opener(py, keys::identities(py, identities, passphrase)?, asked)?;
    let memory = buffer::lend_mut(buffer)?;
    let source = Given::new(source, seconds(py, timeout)?)?;
    if matches!(&source, Given::Memory(bytes) if memory.overlaps(bytes)) {
        return Err(error::usage(py, "the stream lies in the buffer that it is to be restored into"));
    }
    let restored = call::run(py, progress, move |Control { cancel, observer }| {
        let room = memory.capacity();
        let memory = Lease::new(memory);
        let sink = TentativeSink::new(memory.gate()).map_err(|why| Error::io("the buffer is gone", why))?;
        let opener = opener.cancel(cancel.clone()).observer(observer);
        let Opened { source, lease: _lease } = source.open(&cancel)?;
        let mut refused = None;
        let opened = opener.open_sized(source, |len| {
            refused = len.filter(|len| *len > room);
            match refused {
                // It only stops the call: what is told of it is said below.
                Some(needed) => Err(TargetError::TooLarge { path: PathBuf::new(), needed }),
                None => Ok(sink),
            }
        });
        match refused {
            Some(needed) => Err(Failed::from(too_small(&format!("has {needed} bytes"), room))),
            None => opened.map_err(|why| match is_full(&why) {
                true => Failed::from(too_small("is longer than the buffer", room).because(why)),
                false => Failed::from(why),
            }),
        }
    })?;
    Restored::new(py, restored, None)
}

fn too_small(stream: &str, room: u64) -> Error {
    let what = format!("the stream {stream}, and the buffer has room for {room}");
    Error::new(ErrorKind::Limit, what)
        .advise("Give it a larger one; `cofferdam.inspect` says how many bytes a stream has.")
}

/// Checks all of ``source``, and writes nothing.
///
/// With a key everything is checked that a restore checks, of a tree its catalog and its headers too. Without one every digest and the structure: the stream is consistent then, and nothing is said
/// about who made it, unless ``expect_digest`` or ``signed_by`` does.
///
/// ``identities`` are what opens it, one or a list; ``passphrase`` another one. With ``expect_digest`` (hexadecimal digits, as :class:`Sealed` has them) a
/// stream with another digest is refused, with ``min_sequence`` one whose number is lower, with ``signed_by`` (SSH public keys, text or the name of
/// a file) one that none of them has signed: ``signature`` is bytes or the name of a file, by default that of the stream with ``.sig`` at its end.
/// ``threads`` and ``memory`` (bytes) bound what the call uses; ``timeout`` is how many seconds a store may bring nothing, 300 by default.
///
/// Raises a kind of :exc:`Error` where anything is wrong.
#[pyfunction]
#[pyo3(signature = (
    source, identities = None, *, passphrase = None, expect_digest = None, min_sequence = None, signed_by = None, signature = None,
    threads = None, memory = None, timeout = None, progress = None,
))]
#[allow(clippy::too_many_arguments, reason = "they are a Python call's keywords")]
pub(crate) fn verify(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    expect_digest: Option<&str>,
    min_sequence: Option<Number<u64>>,
    signed_by: Option<&Bound<'_, PyAny>>,
    signature: Option<&Bound<'_, PyAny>>,
    threads: Option<Number<usize>>,
    memory: Option<Number<usize>>,
    timeout: Option<f64>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Restored> {
    let signed = self::signed_by(source, signed_by, signature)?;
    let asked = Asked { expect_digest, min_sequence, signed, threads, memory };
    let opener = opener(py, keys::identities(py, identities, passphrase)?, asked)?;
    let source = Given::new(source, seconds(py, timeout)?)?;
    let verified = call::run(py, progress, move |Control { cancel, observer }| {
        let opener = opener.cancel(cancel.clone()).observer(observer);
        let Opened { source, lease: _lease } = source.open(&cancel)?;
        let again = source.positioned();
        let verified = opener.verify(source)?;
        let is_tree = ContentKind::of_metadata(&verified.metadata).ok().flatten() == Some(ContentKind::Tree);
        if let Some(again) = again.filter(|_| is_tree) {
            // Each frame is whole by now: whether they are a tree is seen in a few of them.
            check_tree(&Arc::new(opener.reader(InOrder::new(again))?))?;
        }
        Ok::<_, Failed>(verified)
    })?;
    Restored::new(py, verified, None)
}

/// The pairs that a stream was sealed with, as bytes; none of its segments is read.
///
/// They are as whoever sealed the stream wrote them. That the stream is whole is not said by that: :func:`verify` does.
///
/// Raises :exc:`NoKeyError`, :exc:`NotAStreamError`, :exc:`DamagedError` and other kinds of :exc:`Error`.
#[pyfunction]
#[pyo3(signature = (source, identities = None, *, passphrase = None, timeout = None))]
pub(crate) fn metadata(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    identities: Option<&Bound<'_, PyAny>>,
    passphrase: Option<String>,
    timeout: Option<f64>,
) -> PyResult<Py<PyAny>> {
    let opener = opener(py, keys::identities(py, identities, passphrase)?, Asked::default())?;
    let source = Given::new(source, seconds(py, timeout)?)?;
    let read = call::run(py, None, move |Control { cancel, .. }| {
        let Opened { source, lease: _lease } = source.open(&cancel)?;
        Ok::<_, Failed>(opener.cancel(cancel).metadata(source)?)
    })?;
    pairs(py, &read)
}
