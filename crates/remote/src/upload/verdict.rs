//! What is known of an object after a request to put it in place: the one decision that is made once, and must be right.
//! Knows answers and no requests; all cases are in one table.

use super::calls::{Aborted, Condition};
use super::persist::Cause;

/// What to do after a request to put the object in place that did not plainly succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Send it again, if there is time.
    Again,
    /// Look at the object: an earlier request may have put it there.
    Look,
    /// It has not been put there, and will not be.
    Refused(Refusal),
}

/// Why an object has not been put in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Another is there.
    Exists,
    /// What was to be replaced is another by now, or gone.
    Replaced,
    /// Somebody else was putting one there at the same time.
    Conflict,
    /// The store has lost the upload: somebody gave it up, or it was too old.
    UploadGone,
    /// Anything else: the answer says what.
    Other,
}

/// What to say in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is in place.
    Done,
    /// It is not, and will not be.
    NotDone(Refusal),
    /// It may be, or may yet come.
    Unknown,
}

/// What was found where the object belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// This attempt's object.
    Ours,
    /// What was there before the first request: nothing, or the object that is to be replaced.
    Unchanged,
    /// Something else: another object, or none any more.
    Others,
    /// It could not be looked at.
    Unseen,
}

/// What to do after `cause`; `doubtful` says that this request or an earlier one may have been carried out.
pub(crate) fn after(cause: &Cause, doubtful: bool, condition: &Condition) -> Step {
    if cause.may_pass() {
        return Step::Again;
    }
    if doubtful {
        return Step::Look;
    }
    let unmet = match condition {
        Condition::Absent => Refusal::Exists,
        Condition::Unchanged(_) | Condition::Anything => Refusal::Replaced,
    };
    let status = cause.status().map(|status| status.as_u16());
    Step::Refused(match (status, cause.code()) {
        (Some(412), _) | (Some(409), Some("BlobAlreadyExists")) => unmet,
        // A condition on an object that is gone.
        (Some(404), Some("NoSuchKey" | "BlobNotFound")) => unmet,
        (Some(409), _) => Refusal::Conflict,
        (Some(404), Some("NoSuchUpload")) => Refusal::UploadGone,
        _ => Refusal::Other,
    })
}

/// What is known once `seen` stands there, after a single request that was refused. Somebody between here and the store may have sent
/// it twice, and have passed the second answer on.
pub(crate) fn once_refused(refusal: Refusal, seen: Seen) -> Verdict {
    match (refusal, seen) {
        (_, Seen::Ours) => Verdict::Done,
        // The parts may be gone since they have become the object.
        (Refusal::UploadGone, Seen::Unseen) => Verdict::Unknown,
        (refusal, Seen::Unchanged | Seen::Others | Seen::Unseen) => Verdict::NotDone(refusal),
    }
}

/// What is known once `seen` is what stands there, after doubt. `aborted` says what came of giving the upload up, where it has a
/// name: what is given up can come no more. `unmet` says that the condition does not hold any more where the store heeds it.
pub(crate) fn in_the_end(seen: Seen, aborted: Option<Aborted>, unmet: bool) -> Verdict {
    match (seen, aborted) {
        (Seen::Ours, _) => Verdict::Done,
        (Seen::Others, Some(Aborted::Now)) => Verdict::NotDone(Refusal::Exists),
        (Seen::Unchanged | Seen::Unseen, Some(Aborted::Now)) => Verdict::NotDone(Refusal::Other),
        // The condition held for somebody else: this attempt's is not there, and its requests fail from now on.
        (Seen::Others, Some(Aborted::Before) | None) if unmet => Verdict::NotDone(Refusal::Exists),
        (Seen::Others | Seen::Unchanged | Seen::Unseen, Some(Aborted::Before) | None) => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::super::calls::Found;
    use super::*;

    fn status(status: u16, code: Option<&str>) -> Cause {
        let status = StatusCode::from_u16(status).unwrap();
        Cause::Status { status, code: code.map(str::to_owned), retry_after: None }
    }

    fn seen_before() -> Condition {
        Condition::Unchanged(Found { etag: Some("\"1\"".into()), generation: None, attempt: None })
    }

    /// Amazon S3 API Reference, CompleteMultipartUpload; Azure, Put Block List, "Conditional headers" and error codes.
    #[test]
    fn each_answer_has_its_step() {
        use Refusal::{Conflict, Exists, Other, Replaced, UploadGone};
        for (cause, absent, unchanged) in [
            (status(412, Some("PreconditionFailed")), Exists, Replaced),
            (status(412, None), Exists, Replaced),
            (status(409, Some("BlobAlreadyExists")), Exists, Replaced),
            (status(409, Some("ConditionalRequestConflict")), Conflict, Conflict),
            (status(404, Some("NoSuchUpload")), UploadGone, UploadGone),
            (status(404, Some("NoSuchKey")), Exists, Replaced),
            (status(404, None), Other, Other),
            (status(403, Some("AccessDenied")), Other, Other),
            (status(400, Some("InvalidPart")), Other, Other),
            (status(501, Some("NotImplemented")), Other, Other),
        ] {
            assert_eq!(after(&cause, false, &Condition::Absent), Step::Refused(absent), "{cause}");
            assert_eq!(after(&cause, false, &seen_before()), Step::Refused(unchanged), "{cause}");
            // After a request whose answer was lost, each of them may be the answer to the one that won.
            assert_eq!(after(&cause, true, &Condition::Absent), Step::Look, "{cause}");
        }
        for cause in [
            Cause::Stalled,
            Cause::Lost("reset".into()),
            status(503, Some("SlowDown")),
            status(500, None),
            status(200, Some("InternalError")),
        ] {
            assert_eq!(after(&cause, false, &Condition::Absent), Step::Again, "{cause}");
            assert!(cause.is_doubtful());
        }
        assert!(!status(429, None).is_doubtful());
    }

    #[test]
    fn a_refusal_stands_unless_the_object_is_there() {
        for refusal in
            [Refusal::Exists, Refusal::Replaced, Refusal::Conflict, Refusal::UploadGone, Refusal::Other]
        {
            assert_eq!(once_refused(refusal, Seen::Ours), Verdict::Done);
            for seen in [Seen::Unchanged, Seen::Others] {
                assert_eq!(once_refused(refusal, seen), Verdict::NotDone(refusal));
            }
            let expected = match refusal {
                Refusal::UploadGone => Verdict::Unknown,
                refusal => Verdict::NotDone(refusal),
            };
            assert_eq!(once_refused(refusal, Seen::Unseen), expected);
        }
    }

    /// All of them: 4 × 3 × 2.
    #[test]
    fn only_what_can_no_longer_come_is_said_not_to() {
        for aborted in [None, Some(Aborted::Before), Some(Aborted::Now)] {
            for unmet in [false, true] {
                assert_eq!(in_the_end(Seen::Ours, aborted, unmet), Verdict::Done);
                for seen in [Seen::Unchanged, Seen::Unseen] {
                    let expected = match aborted {
                        Some(Aborted::Now) => Verdict::NotDone(Refusal::Other),
                        _ => Verdict::Unknown,
                    };
                    assert_eq!(in_the_end(seen, aborted, unmet), expected, "{seen:?} {aborted:?} {unmet}");
                }
                let expected = match aborted == Some(Aborted::Now) || unmet {
                    true => Verdict::NotDone(Refusal::Exists),
                    false => Verdict::Unknown,
                };
                assert_eq!(in_the_end(Seen::Others, aborted, unmet), expected, "{aborted:?} {unmet}");
            }
        }
    }
}
