//! The keys of a drill's streams. Each stream's are looked at and read on a thread of their own, so that a place which never answers, a mount
//! whose server is gone for one, fails its stream alone.
//! It knows no key.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::{CancelToken, ErrorKind, Identities};

use super::file::DrillStream;
use crate::duration_text;
use crate::failure::Failure;
use crate::key_args::OpeningKeys;
use crate::named_files::NamedFiles;
use crate::report::Report;

/// Notes the files of keys that `streams` name. Of each stream whose files have not answered within `limit`, or that has other ones than a
/// drill can read, the failure is given.
pub(super) fn name_files(
    streams: &[DrillStream],
    limit: Duration,
    files: &mut NamedFiles,
) -> Vec<Option<Failure>> {
    let name = |keys: &OpeningKeys| -> Result<_, Failure> {
        let mut files = NamedFiles::default();
        keys.name_files(&mut files)?;
        Ok((files, keys.refuse_pipes().err()))
    };
    let pending: Vec<_> =
        streams.iter().map(|stream| stream.keys.clone().map(|keys| begin(keys, name))).collect();
    let deadline = Instant::now() + limit;
    let named = pending.into_iter().map(|pending| match pending?.wait(deadline, limit) {
        Ok((named, refused)) => {
            files.append(named);
            refused
        }
        Err(failure) => Some(failure),
    });
    named.collect()
}

/// Reads the keys of all `streams`, each within `limit`, but of those that have failed. None where a stream names no key.
pub(super) fn read(
    streams: &[DrillStream],
    failed: Vec<Option<Failure>>,
    limit: Duration,
    cancel: &CancelToken,
    report: Report,
) -> Vec<Result<Option<Identities>, Failure>> {
    let read = |cancel: CancelToken| move |keys: &OpeningKeys| keys.identities(&cancel, report);
    let begun = streams.iter().zip(failed).map(|(stream, failed)| match failed {
        Some(failure) => Err(failure),
        None => Ok(stream.keys.clone().map(|keys| begin(keys, read(cancel.clone())))),
    });
    let pending: Vec<_> = begun.collect();
    let deadline = Instant::now() + limit;
    let identities =
        |pending: Option<Pending<_>>| pending.map_or(Ok(None), |pending| pending.wait(deadline, limit));
    pending.into_iter().map(|pending| pending.and_then(identities)).collect()
}

/// What a thread finds out.
struct Pending<T>(Receiver<Result<T, Failure>>);

/// Does `work` on a thread of its own, which ends with the program if it does not before.
fn begin<T: Send + 'static>(
    keys: Arc<OpeningKeys>,
    work: impl FnOnce(&OpeningKeys) -> Result<T, Failure> + Send + 'static,
) -> Pending<T> {
    let (sender, receiver) = channel();
    // Nobody may wait for it any more. Without a thread the channel is closed.
    let answer = move || drop(sender.send(work(&keys)));
    drop(thread::Builder::new().name("keys".to_owned()).spawn(answer));
    Pending(receiver)
}

impl<T> Pending<T> {
    /// Waits until `deadline`, which is `limit` after the beginning.
    fn wait(self, deadline: Instant, limit: Duration) -> Result<T, Failure> {
        match self.0.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(found) => found,
            Err(RecvTimeoutError::Timeout) => {
                let limit = duration_text::words(limit);
                Err(Failure::new(ErrorKind::NoProgress, format!("the keys could not be read within {limit}"))
                    .advise("Where they lie does not answer: look at the mount."))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Failure::new(ErrorKind::Exhausted, "there was no thread to read the keys"))
            }
        }
    }
}
