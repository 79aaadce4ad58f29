//! Sealing anew what was opened, in one pass: plaintext goes from an opener to a sealer through a pipe of this process's.
//! It opens and seals nothing itself, and decides one thing: whether the end of the plaintext is its end.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use cofferdam_io::ReadAt;
use local::PipeSink;
use segment_worker::CancelToken;
use sources::{Arrival, PipeSource, Source};
use stream::Opening;

use crate::{Error, ErrorKind, Metadata, Opener, Restored, Sealed};

/// The plaintext of a stream that is being opened, to be sealed. It ends only when the stream has been proved to its end, or has been
/// published as asserted; otherwise reading it fails there, so that nothing is made of a part.
#[derive(Debug)]
pub struct Plaintext {
    pipe: PipeSource,
    /// The stream's pairs, once what stands before its segments is open.
    metadata: Receiver<Metadata>,
    known: Option<Metadata>,
    verdict: Receiver<Verdict>,
    /// What it said, once the pipe has ended.
    said: Option<Verdict>,
}

/// What has become of the stream whose plaintext it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Published,
    NotPublished,
}

/// A stream that has been opened, and sealed anew.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Converted {
    /// What was opened.
    pub opened: Restored,
    /// What was made of it.
    pub sealed: Sealed,
}

impl Opener {
    /// Opens all of `source`, and has `seal` seal what comes out, at the same time, on this thread: a [`Sealer`](crate::Sealer)'s
    /// `seal`, `seal_to` and the like. No plaintext goes to a disk. What `seal` makes is published only if the stream has been proved
    /// to its end; of one that nothing proves, see [`Opener::foreign`].
    ///
    /// The opener and the sealer must not share a pool, a budget or a cancel token: each would wait for the other. Cancel the sealer's.
    ///
    /// # Errors
    /// Those of [`Opener::open`] and those of `seal`: of two, the one that has brought about the other. With
    /// [`ErrorKind::Unproven`] what `seal` made has been published.
    pub fn convert(
        &self,
        source: impl Source + 'static,
        seal: impl FnOnce(Plaintext) -> Result<Sealed, Error>,
    ) -> Result<Converted, Error> {
        let (reader, writer) =
            io::pipe().map_err(|error| Error::io("there is no pipe for the plaintext", error))?;
        self.require_identities()?;
        self.refuse_seed("the plaintext is sealed anew")?;
        let ((tell_metadata, metadata), (tell, verdict)) = (channel(), channel());
        let cancel = CancelToken::new();
        let opener = self.clone().cancel(cancel.clone());
        let open = move || {
            let sink = PipeSink::to_descriptor(writer);
            let opened = opener.stream().open_with(source, move |envelope, _| {
                // Whoever seals may have no use for it.
                let _ = tell_metadata.send(envelope.metadata().clone());
                Ok(Opening::plain(sink, envelope).into())
            });
            let published = match &opened {
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::Unproven,
            };
            // A sealer that is gone has an error of its own.
            let _ = tell.send(if published { Verdict::Published } else { Verdict::NotPublished });
            opened
        };
        let opening = thread::Builder::new().name("cofferdam-open".to_owned());
        let opening = opening.spawn(open).map_err(Error::no_thread)?;
        let pipe = PipeSource::new(reader.into());
        let sealed = seal(Plaintext { pipe, metadata, known: None, verdict, said: None });
        if sealed.is_err() {
            // Whatever it still waits for comes for nobody.
            cancel.cancel();
        }
        let opened = opening.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (opened, sealed) {
            (Ok(opened), Ok(sealed)) => Ok(Converted { opened, sealed }),
            (Ok(_), Err(error)) => Err(error),
            (Err(error), Ok(_)) => Err(error),
            (Err(opening), Err(sealing)) => {
                Err(if is_for_want_of_plaintext(&sealing) { opening } else { sealing })
            }
        }
    }
}

/// Whether a sealing has failed because its plaintext did not come to its end.
fn is_for_want_of_plaintext(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        let error_of_io = error.downcast_ref::<io::Error>();
        if error_of_io.is_some_and(|error| error.get_ref().is_some_and(|inner| inner.is::<NotWhole>())) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl Plaintext {
    /// The pairs of the stream that it is of, this library's own too, for [`Sealer::keep_metadata`](crate::Sealer::keep_metadata); empty of
    /// a stream of another format. Waits until a key has opened what stands before the segments, unless `cancel` is cancelled. By then the
    /// number that is asked for has been judged, and of a source that has offsets the pin.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`]; the stream could not be opened so far, which [`Opener::convert`] then says why.
    pub fn metadata(&mut self, cancel: &CancelToken) -> Result<Metadata, Error> {
        if let Some(metadata) = &self.known {
            return Ok(metadata.clone());
        }
        loop {
            if cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
            }
            match self.metadata.recv_timeout(LOOK_AGAIN) {
                Ok(metadata) => return Ok(self.known.insert(metadata).clone()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let error = io::Error::new(io::ErrorKind::ConnectionAborted, NotWhole);
                    return Err(Error::io("the plaintext could not be read", error));
                }
            }
        }
    }

    /// What has become of the stream, once its last byte has come: waits for it so long.
    fn verdict(&mut self, patience: Duration) -> Option<Verdict> {
        if self.said.is_none() {
            self.said = match self.verdict.try_recv() {
                Ok(verdict) => Some(verdict),
                Err(TryRecvError::Disconnected) => Some(Verdict::NotPublished),
                Err(TryRecvError::Empty) => match self.verdict.recv_timeout(patience) {
                    Ok(verdict) => Some(verdict),
                    Err(RecvTimeoutError::Disconnected) => Some(Verdict::NotPublished),
                    Err(RecvTimeoutError::Timeout) => None,
                },
            };
        }
        self.said
    }
}

impl Source for Plaintext {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        match self.pipe.read_within(buffer, patience)? {
            Arrival::End => match self.verdict(patience) {
                Some(Verdict::Published) => Ok(Arrival::End),
                Some(Verdict::NotPublished) => {
                    Err(io::Error::new(io::ErrorKind::ConnectionAborted, NotWhole))
                }
                None => Ok(Arrival::NothingYet),
            },
            arrival => Ok(arrival),
        }
    }
}

/// How soon it shows that nobody waits any more.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The plaintext has ended, and the stream it is of has not been proved.
#[derive(Debug)]
struct NotWhole;

impl std::fmt::Display for NotWhole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the stream that it is of could not be opened to its end")
    }
}

impl std::error::Error for NotWhole {}
