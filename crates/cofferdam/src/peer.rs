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

use keys::WrappingKey;
pub use sinks::peer::{
    Address, AddressError, EpochFile, Event, PeerError, PeerSink, PresharedKey, Security, Timing,
};
use sinks::peer::{Ending, Published, ReceiveError, Receiver};
use sinks::{CommitError, Earlier, Label, Opened, StageOptions, StagedFile};

use crate::checkpoint::claim_of;
use crate::tentative::tell_kept;
use crate::{CancelToken, Error, ErrorKind, KeyError, StreamDigest};

/// Reads the content of a key file, as [`WrappingKey::parse`] does: one form of key file for both uses. Take a key of its own
/// for each.
///
/// # Errors
/// [`KeyError::Unreadable`].
pub fn preshared_key(content: &[u8]) -> Result<PresharedKey, KeyError> {
    Ok(PresharedKey::from_bytes(*WrappingKey::parse(content)?.to_bytes()))
}

/// Listens at `listen`, takes one stream from a [`PeerSink`] through as many connections as it takes, and makes it the file at
/// `target`, all or nothing. Progress is kept beside the target: the same call goes on from there.
///
/// # What is taken on trust
/// A receiver has no key of the stream, and its journal is under none. Where the journal says that the file at `target` was
/// published, the call ends with `Ok` before anybody connects, as for the receiver that was cut off after the rename: what
/// the file holds is not looked at. Whoever can write the target's directory as this user can bring that about, and what is
/// kept can be changed as well before it is published. Where that matters, compare the target with what was sent.
///
/// # Errors
/// A target that cannot be written is refused before anybody can connect. [`ErrorKind::Cancelled`] after `cancel`: what
/// had committed is durable. [`Error::kept`] says what is kept for the next call.
pub fn receive_file(
    listen: &Address,
    security: Security,
    target: &Path,
    options: &StageOptions,
    cancel: &CancelToken,
    observe: &(dyn Fn(Event) + Sync),
) -> Result<Received, Error> {
    let published = Mutex::new(None);
    let note = |event| match event {
        Event::Published(whole) => *published.lock().unwrap_or_else(PoisonError::into_inner) = Some(whole),
        event => observe(event),
    };
    let received = receive(listen, security, target, options, cancel, &note);
    received.map_err(|error| tell_kept(error, target, options.existing))?;
    Ok(Received::of(published.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

/// What has been received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Bytes of the target; absent where an earlier call had put it in place.
    pub plaintext_len: Option<u64>,
    /// The digest of the stream, as its sender says: a receiver has no key, and cannot check it. Absent where the sender was
    /// another program than ours.
    pub stream_digest: Option<StreamDigest>,
}

impl Received {
    fn of(published: Option<Published>) -> Received {
        let plaintext_len = published.as_ref().map(|published| published.len);
        let claim = published.and_then(|published| published.mark).map(|mark| claim_of(&mark));
        // A mark of an earlier sender's may be further on than what the last one has sent.
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
    let Some(sink) = open(target, options)? else { return Ok(()) };
    let unable = |error| Error::io(format!("{listen} could not be listened at"), error);
    let epochs = EpochFile::beside(target)
        .map_err(|error| Error::io("the receiver's epoch could not be read", error))?;
    let receiver = Receiver::bind(listen, security, epochs).map_err(unable)?;
    let mut first = Some(sink);
    let again = StageOptions { earlier: Earlier::Resume, ..*options };
    let reopen = || match first.take() {
        Some(sink) => Ok(sink),
        None => match open(target, &again) {
            Ok(Some(sink)) => Ok(sink),
            Ok(None) => Err(io::Error::other("the target was published meanwhile")),
            Err(error) => Err(io::Error::other(error)),
        },
    };
    match receiver.run(reopen, &|| cancel.is_cancelled(), observe).map_err(failed)? {
        Ending::Published => Ok(()),
        Ending::Stopped => Err(Error::new(ErrorKind::Cancelled, "interrupted")),
    }
}

/// The receiver's sink. `None`: an earlier receiver has published the target, and was cut off before it had tidied up. That
/// is the journal's word alone: nothing here could tell the stream from another.
fn open(target: &Path, options: &StageOptions) -> Result<Option<StagedFile>, Error> {
    let label = Label::new(LABEL).expect("a short label");
    let of_another = || {
        Error::new(ErrorKind::OtherJournal, "what is kept beside the target is not a receiver's")
            .advise("Finish what was begun there, receive to another name, or discard it with `--restart`.")
    };
    match StagedFile::open(target, options, &label).map_err(Error::target)? {
        Opened::Fresh(sink) => Ok(Some(sink)),
        Opened::Resumable { sink, label: found } if found == label => Ok(Some(sink)),
        Opened::Published(published) if *published.label() == label => {
            published
                .finish()
                .map_err(|error| Error::io("the target's name could not be made durable", error))?;
            Ok(None)
        }
        Opened::Resumable { .. } | Opened::Published(_) => Err(of_another()),
    }
}

fn failed(error: ReceiveError) -> Error {
    match error {
        ReceiveError::OutcomeUnknown(error) => Error::publish(CommitError::Unknown(error)),
        ReceiveError::Sink(error) => Error::publish(CommitError::NotCommitted(error)),
        ReceiveError::Network(error) => Error::io("nobody can connect any more", error),
        ReceiveError::Epoch(error) => Error::io("the receiver's epoch could not be kept", error),
    }
}

/// What a receiver calls its journal: it knows nothing of the stream by which to call it.
const LABEL: &[u8] = b"cofferdam/v1/receive";
