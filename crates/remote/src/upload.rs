//! An object that is being written: looked at first, sent in parts, put in place at the end on a condition, or given up.
//! Knows no part's place in the object, and no sink: whoever sends numbers the parts.

mod address;
mod calls;
mod fault;
mod in_flight;
mod lanes;
mod listing;
mod options;
mod persist;
mod settle;
mod shared;
mod verdict;
mod wire;
mod xml;

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use self::address::Address;
use self::calls::{AttemptName, Calls, Condition, Found};
pub use self::fault::{PublishError, UploadFault, UploadFaultKind};
use self::fault::{failed, fault};
use self::in_flight::{InFlight, Sent};
use self::lanes::Lanes;
pub use self::listing::{UnfinishedUpload, UnfinishedUploads};
pub use self::options::{IfThere, UploadNotice, UploadOptions};
use self::persist::{Cause, OnCancel, Patience};
use self::settle::{Put, give_up};
pub use self::shared::{ObjectState, SharedUpload, StoredPart, UploadName};
use self::verdict::{Refusal, Verdict};
pub use self::wire::{Body, CONNECTION_LEN};
use crate::{Place, runtime};

/// An object that is being written. Dropped before [`Upload::complete`] or [`Upload::put_whole`], it is given up: that takes at
/// most [`UploadOptions::abort_max`]. What cannot be given up by then is told ([`UploadNotice::Left`]); [`UnfinishedUploads`] finds it.
///
/// Every part is sent until the store has acknowledged it, the same bytes each time. Calls block, and may come from any thread.
pub struct Upload {
    calls: Arc<Calls>,
    patience: Patience,
    shown: String,
    condition: Condition,
    /// Whether it was not to be seen whether an object is there: then only the store's own condition protects it.
    unseen: bool,
    id: Option<Arc<str>>,
    /// Others send to it, too: it is not given up with this.
    is_shared: bool,
    tags: Vec<Option<String>>,
    in_flight: InFlight,
    lanes: Arc<Lanes>,
}

/// A part that the store has, and its bytes, which are free for others.
#[derive(Debug)]
pub struct SentPart {
    /// The part's number, from 0.
    pub index: usize,
    /// What was sent.
    pub body: Body,
}

impl Upload {
    /// Looks whether an object is there. Nothing is written by that.
    ///
    /// A user who may write and not look is told so by some stores: then there is an upload all the same where the store itself
    /// decides at the end.
    ///
    /// # Errors
    /// An [`UploadFault`], which names the place: an object is there and [`IfThere::Refuse`]; it may not be written.
    /// [`io::ErrorKind::Unsupported`] for an HTTP server. [`io::ErrorKind::InvalidInput`] for settings that make no sense.
    pub fn open(place: &Place, options: &UploadOptions) -> io::Result<Upload> {
        let mut upload = Upload::new(place, options, AttemptName::new()?)?;
        upload.look_before(options.if_exists)?;
        Ok(upload)
    }

    fn new(place: &Place, options: &UploadOptions, attempt: AttemptName) -> io::Result<Upload> {
        Upload::check(place)?;
        let Address { dialect, object, wire, settings, .. } = Address::of(place, &options.retry)?;
        Ok(Upload {
            calls: Arc::new(Calls { wire, dialect, object, attempt, settings }),
            patience: Patience::of(place, options),
            shown: place.to_string(),
            condition: Condition::Absent,
            unseen: false,
            id: None,
            is_shared: false,
            tags: Vec::new(),
            in_flight: InFlight::new(),
            lanes: Lanes::new(),
        })
    }

    /// Refuses a place that no uploads go to. Nothing is asked for.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for an HTTP server.
    pub fn check(place: &Place) -> io::Result<()> {
        match address::takes_uploads(place.kind()) {
            true => Ok(()),
            false => Err(address::no_uploads(place)),
        }
    }

    fn look_before(&mut self, if_exists: IfThere) -> io::Result<()> {
        let found = match self.head()? {
            Ok(found) => found,
            Err(cause) if cause.is_forbidden() => {
                self.unseen = true;
                let decides = if_exists == IfThere::Refuse && self.calls.dialect.completes_on_condition();
                if !decides && if_exists == IfThere::Refuse {
                    return Err(self
                        .fault(UploadFaultKind::Denied, "whether an object is there may not be looked at"));
                }
                self.condition = if decides { Condition::Absent } else { Condition::Anything };
                if !decides {
                    (self.patience.on_notice)(&UploadNotice::Unguarded { object: self.shown.clone() });
                }
                return Ok(());
            }
            Err(cause) => return Err(self.failed("it cannot be looked at", &cause)),
        };
        self.condition = match (found, if_exists) {
            (None, _) => Condition::Absent,
            (Some(_), IfThere::Refuse) => return Err(self.fault(UploadFaultKind::Exists, "it exists")),
            (Some(found), IfThere::Replace) if found.is_named(self.calls.dialect) => {
                Condition::Unchanged(found)
            }
            (Some(_), IfThere::Replace) => {
                let why = "an object is there, and the store gives no version of it by which only that one would be replaced";
                return Err(self.fault(UploadFaultKind::Unversioned, why));
            }
        };
        Ok(())
    }

    /// Begins to take parts, unless it has begun. A store that refuses this user does so here.
    ///
    /// # Errors
    /// An [`UploadFault`].
    pub fn begin(&mut self) -> io::Result<()> {
        if self.id.is_some() {
            return Ok(());
        }
        let (calls, patience) = (self.calls.clone(), self.patience.clone());
        let what = format!("beginning to upload {}", self.shown);
        let create = async move { patience.persist(&what, || async { calls.create().await }).await };
        let id = runtime::run(create)?.map_err(|cause| self.failed("no upload can be begun", &cause))?;
        self.id = Some(id.into());
        Ok(())
    }

    /// Sends part `index`, from 0, in the background. [`Upload::wait`] tells when the store has it.
    ///
    /// # Errors
    /// As [`Upload::begin`].
    pub fn send(&mut self, index: usize, body: Body) -> io::Result<()> {
        self.begin()?;
        let id = self.id.clone().expect("it has begun");
        let (calls, lanes) = (self.calls.clone(), self.lanes.clone());
        let patience = Patience { in_request: OnCancel::LetEnd, ..self.patience.clone() };
        let what = format!("sending part {} of {}", index + 1, self.shown);
        if self.tags.len() <= index {
            self.tags.resize(index + 1, None);
        }
        self.in_flight.add(index, async move {
            let put = || async {
                let lane = tokio::select! {
                    lane = lanes.clone().enter() => lane,
                    () = patience.cancelled() => return Err(Cause::Cancelled),
                };
                let put = calls.put_part(&id, index, body.clone()).await;
                match &put {
                    Ok(_) => lane.taken(),
                    Err(cause) if cause.is_throttling() => lane.throttled(),
                    Err(_) => {}
                }
                put
            };
            let tag = patience.persist(&what, put).await;
            Sent { index, body, tag }
        })
    }

    /// Parts that are on their way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Waits until the store has one of the parts that are on their way; nothing if none is.
    ///
    /// # Errors
    /// An [`UploadFault`]: a part is refused, nothing got on for too long, or the caller has cancelled.
    pub fn wait(&mut self) -> io::Result<Option<SentPart>> {
        match self.in_flight.wait(&*self.patience.is_cancelled) {
            Ok(sent) => sent.map(|sent| self.take(sent)).transpose(),
            Err(cause) => Err(self.failed("", &cause)),
        }
    }

    /// As [`Upload::wait`], without waiting: nothing if none has arrived since.
    ///
    /// # Errors
    /// As [`Upload::wait`].
    pub fn try_wait(&mut self) -> io::Result<Option<SentPart>> {
        self.in_flight.try_wait().map(|sent| self.take(sent)).transpose()
    }

    fn take(&mut self, Sent { index, body, tag }: Sent) -> io::Result<SentPart> {
        match tag {
            Ok(tag) => {
                self.tags[index] = Some(tag);
                Ok(SentPart { index, body })
            }
            Err(cause) => Err(self.failed(&format!("part {} could not be sent", index + 1), &cause)),
        }
    }

    /// Puts the parts together, in the order of their numbers, and makes them the object. All have been waited for.
    ///
    /// # Errors
    /// What is known of it. After [`PublishError::NotDone`] nothing is left at the store.
    pub fn complete(mut self) -> Result<(), PublishError> {
        while self.in_flight() > 0 {
            self.wait().map_err(PublishError::NotDone)?;
        }
        let tags: Option<Vec<String>> = self.tags.drain(..).collect();
        let (Some(id), Some(tags)) = (self.id.clone(), tags) else {
            let what = "parts are missing of what was to be put together";
            return Err(PublishError::NotDone(self.fault(UploadFaultKind::Other, what)));
        };
        self.look_again().map_err(PublishError::NotDone)?;
        self.settle(Put::Parts { id, tags, is_shared: false })
    }

    /// Waits until the store has all that was sent of a [shared](SharedUpload) upload: what it calls each part, in the order of their
    /// numbers. What becomes of the upload is decided elsewhere.
    ///
    /// # Errors
    /// As [`Upload::wait`].
    pub fn finish(mut self) -> io::Result<Vec<String>> {
        while self.in_flight() > 0 {
            self.wait()?;
        }
        Ok(self.tags.drain(..).flatten().collect())
    }

    /// Makes `body` the object, in one request. Nothing has been sent before.
    ///
    /// # Errors
    /// As [`Upload::complete`].
    pub fn put_whole(mut self, body: Body) -> Result<(), PublishError> {
        self.look_again().map_err(PublishError::NotDone)?;
        // An upload that was begun and is not needed is given up after it, whatever comes of that.
        let begun = self.id.take();
        let settled = self.settle(Put::Whole(body));
        self.id = begun;
        settled
    }

    /// Gives up what was sent: asks for it until the store has nothing left of it, for [`UploadOptions::abort_max`].
    ///
    /// # Errors
    /// The store may still have parts.
    pub fn abort(&mut self) -> io::Result<()> {
        let cut_off = self.in_flight.end(self.patience.abort_max);
        if self.is_shared {
            return Ok(());
        }
        let Some(id) = self.id.take() else { return Ok(()) };
        if !self.calls.dialect.names_uploads() {
            return Ok(());
        }
        let calls = self.calls.clone();
        let at_most = self.patience.abort_max;
        let gone = runtime::run(async move {
            let gone = give_up(&calls, &id, at_most).await;
            if cut_off > 0 {
                // A store may be at a part still whose connection has ended.
                tokio::time::sleep(AFTER_CUT).await;
                return give_up(&calls, &id, at_most).await;
            }
            gone
        })?;
        gone.map(drop).map_err(|cause| {
            self.failed("what was sent could not be given up, and may stay at the store", &cause)
        })
    }

    /// As [`Upload::abort`], where there is an error to report already, or nobody to report one to.
    fn abort_or_tell(&mut self) {
        if let Err(error) = self.abort() {
            (self.patience.on_notice)(&UploadNotice::Left { what: error.to_string() });
        }
    }

    /// Whether another object is there by now, for stores that put parts together on no condition, or heed none at all and do not say
    /// so. It is not atomic, and better than nothing.
    fn look_again(&self) -> io::Result<()> {
        if self.unseen || self.condition == Condition::Anything {
            return Ok(());
        }
        let found = self.head()?.map_err(|cause| self.failed("it cannot be looked at", &cause))?;
        match (&self.condition, found) {
            // A request that was sent before has made it, and whoever asks again is told so.
            (_, Some(found)) if found.attempt.as_ref() == Some(&self.calls.attempt) => Ok(()),
            (Condition::Absent, None) => Ok(()),
            (Condition::Unchanged(before), Some(now)) if now.is_version_of(before, self.calls.dialect) => {
                Ok(())
            }
            (Condition::Absent, Some(_)) => Err(self.refused(Refusal::Exists, None)),
            _ => Err(self.refused(Refusal::Replaced, None)),
        }
    }

    /// Has the object put in place, and finds out what became of it.
    fn settle(&mut self, put: Put) -> Result<(), PublishError> {
        let (calls, patience, condition) =
            (self.calls.clone(), self.patience.clone(), self.condition.clone());
        let what = format!("putting {} in place", self.shown);
        let settled =
            runtime::run(async move { settle::settle(&calls, &put, &condition, &patience, &what).await });
        let (verdict, cause) = settled.map_err(PublishError::Unknown)?;
        match verdict {
            Verdict::Done => {
                // What has become the object is not given up.
                self.id = None;
                Ok(())
            }
            Verdict::NotDone(refusal) => {
                let error = self.refused(refusal, cause.as_ref());
                self.abort_or_tell();
                Err(PublishError::NotDone(error))
            }
            Verdict::Unknown => {
                // Whoever gave it up now might have to hear that it was complete.
                self.id = None;
                let what = "whether the object is in place is not known";
                let what = cause.map_or(what.to_owned(), |cause| format!("{what}: {cause}"));
                let what = self.patience.place.redact(&what);
                Err(PublishError::Unknown(self.fault(UploadFaultKind::Unknown, &what)))
            }
        }
    }

    fn head(&self) -> io::Result<Result<Option<Found>, Cause>> {
        let (calls, patience) = (self.calls.clone(), self.patience.clone());
        let what = format!("looking at {}", self.shown);
        runtime::run(async move { patience.persist(&what, || async { calls.head().await }).await })
    }

    fn refused(&self, refusal: Refusal, cause: Option<&Cause>) -> io::Error {
        let refusal = match (refusal, &self.condition) {
            (Refusal::Exists, Condition::Unchanged(_)) => Refusal::Replaced,
            (refusal, _) => refusal,
        };
        match refusal {
            Refusal::Exists => self.fault(UploadFaultKind::Exists, "another object is there by now"),
            Refusal::Replaced => self.fault(
                UploadFaultKind::Replaced,
                "the object that was to be replaced is another by now, or gone",
            ),
            Refusal::Conflict => {
                self.fault(UploadFaultKind::Conflict, "somebody else was writing it at the same time")
            }
            Refusal::UploadGone => self.fault(
                UploadFaultKind::UploadGone,
                "the store has no parts of it any more: somebody gave them up",
            ),
            Refusal::Other => match cause {
                Some(cause) => self.failed("it could not be put in place", cause),
                None => self.fault(UploadFaultKind::Other, "it could not be put in place"),
            },
        }
    }

    fn failed(&self, what: &str, cause: &Cause) -> io::Error {
        failed(&self.patience.place, &self.shown, what, cause)
    }

    fn fault(&self, kind: UploadFaultKind, what: &str) -> io::Error {
        fault(&self.shown, kind, what)
    }
}

/// How long a store may be at a part after its connection has ended.
const AFTER_CUT: Duration = Duration::from_millis(500);

impl Drop for Upload {
    fn drop(&mut self) {
        self.abort_or_tell();
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("place", &self.shown)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
