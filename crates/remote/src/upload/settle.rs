//! Puts an object in place and finds out whether it is: sends the request until it is answered, and looks after doubt.
//! Decides nothing: the verdict does.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::calls::{Aborted, Calls, Condition};
use super::options::UploadNotice;
use super::persist::{Cause, Patience};
use super::verdict::{self, Refusal, Seen, Step, Verdict};
use super::wire::{Body, slow};
use crate::retry::Backoff;

/// What makes an object.
pub(super) enum Put {
    /// The parts of an upload, by what the store calls them.
    Parts {
        id: Arc<str>,
        tags: Vec<String>,
        /// It is not given up: whoever asks again goes on from what is there.
        is_shared: bool,
    },
    /// One request.
    Whole(Body),
}

/// Puts the object in place if `condition` holds. Says what is known, and the last thing that went wrong.
pub(super) async fn settle(
    calls: &Calls,
    put: &Put,
    condition: &Condition,
    patience: &Patience,
    what: &str,
) -> (Verdict, Option<Cause>) {
    let settling = Settling { calls, put, condition, patience };
    let mut backoff = Backoff::new(&patience.policy, Instant::now());
    let mut doubtful = false;
    loop {
        let Err(cause) = answered(send(calls, put, condition), patience).await else {
            return (Verdict::Done, None);
        };
        doubtful |= cause.is_doubtful();
        match verdict::after(&cause, doubtful, condition) {
            Step::Again => match settling.wait_to_resend(what, cause, &mut backoff).await {
                Ok(None) => {}
                Ok(Some((seen, cause))) => {
                    return (settling.replaced(seen, &cause, doubtful).await, Some(cause));
                }
                Err(cause) => return (settling.look(&cause, doubtful).await, Some(cause)),
            },
            Step::Look => return (settling.look(&cause, doubtful).await, Some(cause)),
            Step::Refused(refusal) => return (settling.refused(refusal, &cause).await, Some(cause)),
        }
    }
}

/// An object that is being put in place.
struct Settling<'a> {
    calls: &'a Calls,
    put: &'a Put,
    condition: &'a Condition,
    patience: &'a Patience,
}

impl Settling<'_> {
    /// Waits until the request may be sent again. What stands there must be what stood there before, also where the store has the
    /// condition: not every one heeds it. If it is not, what is there instead comes back, and why the request was to be sent again.
    ///
    /// # Errors
    /// It is not to be sent again.
    async fn wait_to_resend(
        &self,
        what: &str,
        mut cause: Cause,
        backoff: &mut Backoff,
    ) -> Result<Option<(Seen, Cause)>, Cause> {
        loop {
            let last = cause.to_string();
            self.patience.wait_after(what, cause, backoff).await?;
            let seen = tokio::select! {
                seen = self.seen() => seen,
                () = self.patience.cancelled() => Err(Cause::Cancelled),
            };
            match seen {
                Ok(Seen::Unchanged) => return Ok(None),
                Ok(seen) => return Ok(Some((seen, Cause::Lost(last)))),
                // Who may put and not look goes by the store's condition.
                Err(cause) if cause.is_forbidden() && self.store_decides() => return Ok(None),
                Err(failed) if failed.may_pass() => cause = failed,
                Err(failed) => return Err(failed),
            }
        }
    }

    /// Whether the store itself refuses to replace what has come meanwhile, if it heeds conditions.
    fn store_decides(&self) -> bool {
        matches!(self.put, Put::Whole(_))
            || self.calls.dialect.completes_on_condition()
            || *self.condition == Condition::Anything
    }

    /// What is known once `seen` stands there, before the request is sent again.
    async fn replaced(&self, seen: Seen, cause: &Cause, doubtful: bool) -> Verdict {
        match seen {
            Seen::Ours => Verdict::Done,
            _ if !doubtful => Verdict::NotDone(Refusal::Exists),
            seen => self.conclude(seen, self.store_decides() || is_unmet(cause)).await,
        }
    }

    /// What is known after an answer that refuses the only request so far.
    async fn refused(&self, refusal: Refusal, cause: &Cause) -> Verdict {
        match cause.status() {
            Some(_) => verdict::once_refused(refusal, self.see().await),
            None => Verdict::NotDone(refusal),
        }
    }

    /// What has become of requests that may have been carried out.
    async fn look(&self, cause: &Cause, doubtful: bool) -> Verdict {
        if !doubtful {
            // No request has had an effect: throttled, or cancelled before one was sent again.
            return Verdict::NotDone(Refusal::Other);
        }
        match self.see().await {
            Seen::Ours => Verdict::Done,
            seen => self.conclude(seen, is_unmet(cause)).await,
        }
    }

    /// What is known where the object has not been `seen`. An upload that has a name is given up, so that none of its requests can be
    /// carried out later.
    async fn conclude(&self, seen: Seen, unmet: bool) -> Verdict {
        let aborted = match self.put {
            Put::Parts { id, is_shared: false, .. } if self.calls.dialect.names_uploads() => {
                give_up(self.calls, id, self.patience.abort_max).await.ok()
            }
            Put::Parts { .. } | Put::Whole(_) => None,
        };
        // It may have come between the two.
        let seen = if aborted.is_some() { self.see().await } else { seen };
        verdict::in_the_end(seen, aborted, unmet)
    }

    /// Whose object is there, as often as it takes to see it.
    async fn see(&self) -> Seen {
        let look = async {
            loop {
                match self.seen().await {
                    Ok(seen) => return seen,
                    Err(cause) if cause.may_pass() => tokio::time::sleep(PAUSE).await,
                    Err(_) => return Seen::Unseen,
                }
            }
        };
        tokio::time::timeout(look_max(self.patience), look).await.unwrap_or(Seen::Unseen)
    }

    /// Whose object is there.
    async fn seen(&self) -> Result<Seen, Cause> {
        Ok(match (self.calls.head().await?, self.condition) {
            (Some(found), _) if found.attempt.as_ref() == Some(&self.calls.attempt) => Seen::Ours,
            (Some(found), _) if !found.is_named(self.calls.dialect) => {
                return Err(Cause::Lost("the answer does not say which object is there".into()));
            }
            (None, Condition::Absent) | (_, Condition::Anything) => Seen::Unchanged,
            (Some(found), Condition::Unchanged(before))
                if found.is_version_of(before, self.calls.dialect) =>
            {
                Seen::Unchanged
            }
            (Some(_), Condition::Absent) | (_, Condition::Unchanged(_)) => Seen::Others,
        })
    }
}

/// Whether the store has said that the condition does not hold.
fn is_unmet(cause: &Cause) -> bool {
    cause.status().is_some_and(|status| matches!(status.as_u16(), 409 | 412))
}

/// Waits for the answer. A cancellation does not end a request whose outcome would then be unknown: it limits the waiting, and ends
/// that for another request.
async fn answered(
    sending: impl Future<Output = Result<(), Cause>>,
    patience: &Patience,
) -> Result<(), Cause> {
    if (patience.is_cancelled)() {
        return Err(Cause::Cancelled);
    }
    let mut sending = pin!(sending);
    tokio::select! {
        answered = &mut sending => return answered,
        () = patience.cancelled() => {}
    }
    let answer_max = slow(&patience.policy);
    (patience.on_notice)(&UploadNotice::AnswerAwaited {
        object: patience.place.to_string(),
        at_most: answer_max + patience.abort_max + 2 * look_max(patience),
    });
    tokio::time::timeout(answer_max, sending).await.unwrap_or(Err(Cause::Stalled))
}

async fn send(calls: &Calls, put: &Put, condition: &Condition) -> Result<(), Cause> {
    match put {
        Put::Parts { id, tags, .. } => calls.complete(id, tags, condition).await,
        Put::Whole(body) => calls.put_whole(body.clone(), condition).await,
    }
}

/// Asks the store to drop the parts of an upload until it has none of them: one that was on its way may come after the first time.
pub(super) async fn give_up(calls: &Calls, id: &str, at_most: Duration) -> Result<Aborted, Cause> {
    let until = Instant::now() + at_most;
    let mut first = None;
    loop {
        let asked = async {
            let aborted = calls.abort(id).await?;
            // What the first request found: a later one finds nothing, if the first had its effect.
            let aborted = *first.get_or_insert(aborted);
            match calls.has_upload(id).await {
                // Who may give it up and not look goes by what the store said.
                Err(cause) if cause.is_forbidden() => Ok((aborted, false)),
                has => has.map(|has| (aborted, has)),
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Cause::Stalled);
        }
        match tokio::time::timeout(left, asked).await {
            Ok(Ok((aborted, false))) => return Ok(aborted),
            Ok(Err(cause)) if !cause.may_pass() => return Err(cause),
            Ok(Ok((_, true)) | Err(_)) => {}
            Err(_) => return Err(Cause::Stalled),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How long the object is looked at after doubt, where the store does not answer.
fn look_max(patience: &Patience) -> Duration {
    LOOK_MAX.min(patience.policy.no_progress)
}

const LOOK_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);
