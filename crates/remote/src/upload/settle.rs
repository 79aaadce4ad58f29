//! Puts an object in place and finds out whether it is: sends the request until it is answered, and looks after doubt.
//! Decides nothing: the verdict does.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::calls::{Aborted, Calls, Condition};
use super::options::AnswerAwaited;
use super::persist::{Cause, Patience};
use super::verdict::{self, Refusal, Seen, Step, Verdict};
use super::wire::{Body, slow};
use crate::retry::Backoff;

/// What makes an object.
pub(super) enum Put {
    /// The parts of an upload, by what the store calls them.
    Parts { id: Arc<str>, tags: Vec<String> },
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
    let mut backoff = Backoff::new(&patience.policy, Instant::now());
    let mut doubtful = false;
    loop {
        let Err(cause) = answered(send(calls, put, condition), patience).await else {
            return (Verdict::Done, None);
        };
        match verdict::after(&cause, doubtful, condition) {
            Step::Again => {
                doubtful |= cause.is_doubtful();
                let last = cause.to_string();
                if let Err(cause) = patience.wait_after(what, cause, &mut backoff).await {
                    return (look(calls, put, condition, patience, &cause, doubtful).await, Some(cause));
                }
                if is_unguarded(calls, put, condition) && see(calls).await != seen_before(condition) {
                    let cause = Cause::Lost(last);
                    return (look(calls, put, condition, patience, &cause, true).await, Some(cause));
                }
            }
            Step::Look => {
                return (look(calls, put, condition, patience, &cause, doubtful).await, Some(cause));
            }
            Step::Refused(refusal) => return (Verdict::NotDone(refusal), Some(cause)),
        }
    }
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
    (patience.on_answer_awaited)(&AnswerAwaited {
        object: patience.place.to_string(),
        at_most: answer_max + patience.abort_max + 2 * LOOK_MAX,
    });
    tokio::time::timeout(answer_max, sending).await.unwrap_or(Err(Cause::Stalled))
}

async fn send(calls: &Calls, put: &Put, condition: &Condition) -> Result<(), Cause> {
    match put {
        Put::Parts { id, tags } => calls.complete(id, tags, condition).await,
        Put::Whole(body) => calls.put_whole(body.clone(), condition).await,
    }
}

/// Whether the store would replace whatever is there by now.
fn is_unguarded(calls: &Calls, put: &Put, condition: &Condition) -> bool {
    matches!(put, Put::Parts { .. })
        && !calls.dialect.completes_on_condition()
        && *condition != Condition::Anything
}

fn seen_before(condition: &Condition) -> Seen {
    match condition {
        Condition::Absent => Seen::Nothing,
        Condition::Unchanged(_) | Condition::Anything => Seen::Others,
    }
}

/// What has become of requests that may have been carried out. An upload that has a name is given up, so that none of them can be
/// carried out later.
async fn look(
    calls: &Calls,
    put: &Put,
    condition: &Condition,
    patience: &Patience,
    cause: &Cause,
    doubtful: bool,
) -> Verdict {
    if !doubtful {
        // No request has had an effect: throttled, or cancelled before one was sent again.
        return Verdict::NotDone(Refusal::Other);
    }
    let unmet = cause.status().is_some_and(|status| matches!(status.as_u16(), 409 | 412));
    let seen = see(calls).await;
    if seen == Seen::Ours {
        return Verdict::Done;
    }
    let aborted = match put {
        Put::Parts { id, .. } if calls.dialect.names_uploads() => {
            give_up(calls, id, patience.abort_max).await.ok()
        }
        Put::Parts { .. } | Put::Whole(_) => None,
    };
    // It may have come between the two.
    let seen = if aborted.is_some() { see(calls).await } else { seen };
    match verdict::in_the_end(seen, aborted, unmet) {
        // Nobody said that what was to be replaced is another by now: it is what stands there.
        Verdict::NotDone(Refusal::Exists) if !unmet && *condition != Condition::Absent => {
            Verdict::NotDone(Refusal::Other)
        }
        verdict => verdict,
    }
}

/// Whose object is there.
async fn see(calls: &Calls) -> Seen {
    let look = async {
        loop {
            match calls.head().await {
                Ok(None) => return Seen::Nothing,
                Ok(Some(found)) if found.attempt.as_ref() == Some(&calls.attempt) => return Seen::Ours,
                Ok(Some(_)) => return Seen::Others,
                Err(cause) if cause.may_pass() => tokio::time::sleep(PAUSE).await,
                Err(_) => return Seen::Unseen,
            }
        }
    };
    tokio::time::timeout(LOOK_MAX, look).await.unwrap_or(Seen::Unseen)
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
            Ok::<_, Cause>((aborted, calls.has_upload(id).await?))
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
const LOOK_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);
