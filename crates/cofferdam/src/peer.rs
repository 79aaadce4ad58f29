//! A stream that goes over a socket to a receiver, and the receiver that makes a file of it.
//! It knows no protocol; the sink does.
//!
//! The sender restores into a [`PeerSink`], with [`Opener::open`](crate::Opener::open); the receiver is [`receive_file`]. The
//! plaintext is encrypted on its way if both ends hold the same key; the receiver needs no key of the stream, and cannot check
//! it: the sender has.
//!
//! ```
//! use std::sync::mpsc;
//! use cofferdam::peer::{Event, PeerSink, Security, preshared_key, receive_file};
//! use cofferdam::{BytesSource, CancelToken, Identities, MemorySink, Opener, Recipients, Sealer, StageOptions, WrappingKey};
//!
//! let (sink, sealed) = MemorySink::new();
//! let key = WrappingKey::from_bytes([7; 32]); // in earnest: WrappingKey::generate()
//! Sealer::new(Recipients::new().wrapping_key(key)).seal(BytesSource::new(*b"a snapshot"), sink)?;
//!
//! let directory = tempfile::tempdir()?;
//! let target = directory.path().join("db");
//! let security = Security::Key(preshared_key(&[9; 32])?);
//! std::thread::scope(|scope| {
//!     let (told, addresses) = mpsc::channel();
//!     let observe = move |event| if let Event::Listening(address) = event { drop(told.send(address)) };
//!     let (theirs, at) = (security.clone(), &target);
//!     let received = scope.spawn(move || {
//!         let listen = "tcp://127.0.0.1:0".parse().unwrap();
//!         receive_file(&listen, theirs, at, &StageOptions::default(), &CancelToken::new(), &observe)
//!     });
//!     let sink = PeerSink::connect(&addresses.recv()?, security)?;
//!     let identities = Identities::new().wrapping_key(WrappingKey::from_bytes([7; 32]));
//!     Opener::new(identities).open(BytesSource::new(sealed.take().unwrap()), sink)?;
//!     received.join().unwrap()?;
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! assert_eq!(std::fs::read(&target)?, b"a snapshot");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use contract::{AttemptId, CommitError, IfExists, StreamingSink};
use keys::WrappingKey;
use local::{Opened, StagedFile};
pub use peer::{
    Address, AddressError, EpochFile, Event, PeerError, PeerSink, PresharedKey, Security, Timing,
};
use peer::{Ending, Published, ReceiveError, Receiver};
use storage::{OnPartial, StageOptions};
use stream::{
    CompareSink, CountedSink, RECEIVER_ID, changed_since, claim_of, is_difference, resolved, tell_kept,
};

use crate::{CancelToken, Error, ErrorKind, Kept, KeyError, Remedy, StreamDigest};

/// Reads the content of a key file, as [`WrappingKey::parse`] does: one form of key file for both uses. The channel's
/// key is derived from it under a label, and reveals nothing about streams sealed with the same file; whoever has the
/// file has both.
///
/// # Errors
/// [`KeyError::Unreadable`].
pub fn preshared_key(content: &[u8]) -> Result<PresharedKey, KeyError> {
    Ok(PresharedKey::from_bytes(*WrappingKey::parse(content)?.peer_psk()))
}

/// Listens at `listen`, takes one stream from a [`PeerSink`] through as many connections as it takes, and makes it
/// the file at `target`, all or nothing. Progress is kept beside the target, and the same call resumes from there.
///
/// # What is proved
/// `Ok` says that every byte of the target came in this call, over a connection that held the key if there is one, or
/// was there already as an earlier call had committed it. A receiver has no key of the stream, and its journal is
/// under none: where the journal says that the file at `target` was put there, that is a claim, and the call listens
/// like any other. The sender sends everything, and it is compared with the file. If they are equal the call ends
/// with `Ok`, otherwise with [`ErrorKind::TargetExists`]. With [`IfExists::Replace`] the claim is ignored, and the
/// file replaced.
///
/// What an earlier call committed and this one resumes from is not read again: whoever can write this user's files in
/// the target's directory can change it before it is published. If that matters, start over with
/// [`OnPartial::Discard`].
///
/// # Errors
/// A target that cannot be written is refused before anybody can connect. [`ErrorKind::Cancelled`] after `cancel`: what
/// had committed is durable. [`Error::resumable_bytes`] says what is kept for the next call.
pub fn receive_file(
    listen: &Address,
    security: Security,
    target: impl AsRef<Path>,
    options: &StageOptions,
    cancel: &CancelToken,
    observe: &(dyn Fn(Event) + Sync),
) -> Result<Received, Error> {
    let target = target.as_ref();
    #[cfg(feature = "parts")]
    crate::tree_leftovers::refuse_restart_over_plan(target, options.on_partial)?;
    let published = Mutex::new(None);
    let note = |event| match event {
        Event::Published(whole) => *published.lock().unwrap_or_else(PoisonError::into_inner) = Some(whole),
        event => observe(event),
    };
    let received = receive(listen, security, target, options, cancel, &note);
    received.map_err(|error| tell_kept(error, target, options.if_exists))?;
    Ok(Received::of(published.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// What has been received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Received {
    /// Bytes of the target.
    pub plaintext_len: Option<u64>,
    /// The digest of the stream, as its sender says: a receiver has no key, and cannot check it. Absent where the sender was
    /// another program than ours.
    pub stream_digest: Option<StreamDigest>,
}

impl Received {
    fn of(published: Option<Published>) -> Received {
        let plaintext_len = published.as_ref().map(|published| published.len);
        let claim =
            published.and_then(|published| published.checkpoint).map(|checkpoint| claim_of(&checkpoint));
        // A checkpoint of an earlier sender's may be further on than what the last one has sent.
        let digest =
            claim.filter(|(len, _)| Some(*len) == plaintext_len).map(|(_, chain)| StreamDigest(chain.0));
        Received { plaintext_len, stream_digest: digest }
    }
}

fn receive(
    listen: &Address,
    security: Security,
    target: &Path,
    options: &StageOptions,
    cancel: &CancelToken,
    observe: &(dyn Fn(Event) + Sync),
) -> Result<(), Error> {
    let sink = open(target, options)?;
    let unable = |error| Error::io(format!("{listen} could not be listened at"), error);
    let epochs = EpochFile::beside(target)
        .map_err(|error| Error::io("the receiver's epoch could not be read", error))?;
    let receiver = Receiver::bind(listen, security, epochs).map_err(unable)?;
    let mut first = Some(sink);
    let again = options.on_partial(OnPartial::Resume);
    let reopen = || match first.take() {
        Some(sink) => Ok(sink),
        None => open(target, &again).map_err(io::Error::other),
    };
    match receiver.run(reopen, &|| cancel.is_cancelled(), observe).map_err(failed)? {
        Ending::Published => Ok(()),
        Ending::Stopped => Err(Error::new(ErrorKind::Cancelled, "interrupted")),
    }
}

/// The receiver's sink. Where an earlier receiver has put the target in place, and was cut off before it had tidied up, if its
/// journal is right, the stream is compared with the target; or replaces it, if that is wanted.
fn open(target: &Path, options: &StageOptions) -> Result<CountedSink<Box<dyn StreamingSink>>, Error> {
    open_uncounted(target, options).map(CountedSink::new)
}

fn open_uncounted(target: &Path, options: &StageOptions) -> Result<Box<dyn StreamingSink>, Error> {
    let attempt_id = AttemptId::new(RECEIVER_ID).expect("a short label");
    for _ in 0..ATTEMPTS_MAX {
        let published = match StagedFile::open(target, options, &attempt_id).map_err(Error::target)? {
            Opened::Fresh(sink) => return Ok(Box::new(sink)),
            Opened::Resumable { sink, attempt_id: found } if found == attempt_id => {
                return Ok(Box::new(sink));
            }
            Opened::Published(published) if *published.attempt_id() == attempt_id => published,
            Opened::Resumable { .. } | Opened::Published(_) => return Err(of_another()),
        };
        match options.if_exists {
            IfExists::Refuse => return Ok(Box::new(CompareSink::over(published, &resolved(target))?)),
            IfExists::Replace => published
                .finish()
                .map_err(|error| Error::io("what an earlier receiver left could not be removed", error))?,
        }
    }
    Err(Error::new(ErrorKind::TargetLocked, "other receivers of the same target keep coming in between"))
}

fn of_another() -> Error {
    Error::new(ErrorKind::JournalMismatch, "what is kept beside the target is not a receiver's")
        .remedied(Remedy::Restart(Kept::OtherReceipt))
}

fn failed(error: ReceiveError) -> Error {
    match error {
        ReceiveError::Sink(error) if is_difference(&error) => changed_since(),
        ReceiveError::NoThread(error) => Error::no_thread(error),
        ReceiveError::OutcomeUnknown(error) => Error::publish(CommitError::Unknown(error)),
        ReceiveError::Sink(error) => Error::publish(CommitError::NotCommitted(error)),
        ReceiveError::Network(error) => Error::io("nobody can connect any more", error),
        ReceiveError::Epoch(error) => Error::io("the receiver's epoch could not be kept", error),
    }
}

/// How often other receivers may come in between.
const ATTEMPTS_MAX: usize = 3;
