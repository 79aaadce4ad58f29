//! An upload that several programs send to: one begins it, each sends parts under numbers of its own, one puts them together or gives it up.
//! Knows what tells the upload and its object from others; who sends which part, its users agree on.

use std::{fmt, io};

use super::calls::{AttemptName, Condition, Found};
use super::settle::{Put, give_up};
use super::{PublishError, Upload, UploadFaultKind, UploadOptions};
use crate::{Place, runtime};

/// What tells an upload that several programs send to from others. Nothing of it gives access.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadName {
    /// The store's name for it.
    pub id: String,
    /// What is kept with the object, by which it is known again.
    pub attempt: [u8; 16],
    /// The version of the object that it replaces: an entity tag, or Google's generation. `None`: nothing was there.
    pub replaces: Option<String>,
}

/// An upload that several programs send to. Dropped, it stays what it is: it ends with [`SharedUpload::complete`] or
/// [`SharedUpload::abort`], whoever calls them.
#[derive(Debug)]
pub struct SharedUpload {
    upload: Upload,
}

/// What stands where the object belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObjectState {
    /// The object that this upload has become.
    Ours,
    /// What stood there when the upload was begun: nothing, or the object that it replaces.
    Unchanged,
    /// Something else, or nothing where something was.
    Others,
}

/// A part that the store has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPart {
    /// Its number, from 1.
    pub number: u64,
    /// Its bytes.
    pub len: u64,
    /// What the store calls it.
    pub tag: String,
}

impl SharedUpload {
    /// Looks whether an object is there, and begins an upload.
    ///
    /// # Errors
    /// As [`Upload::open`] and [`Upload::begin`]. [`io::ErrorKind::Unsupported`] for Azure, whose uploads have no names: none could be
    /// given up, and any program's block list would do away with it. A fault too where the object may not be looked at.
    pub fn begin(place: &Place, options: &UploadOptions) -> io::Result<SharedUpload> {
        let mut upload = Upload::open(place, options)?;
        refuse_unnamed(&upload, place)?;
        if upload.unseen {
            let what = "an upload by several programs has to look at the object, and may not";
            return Err(upload.fault(UploadFaultKind::Denied, what));
        }
        upload.begin()?;
        upload.is_shared = true;
        Ok(SharedUpload { upload })
    }

    /// The one with this `name`. Nothing is asked for.
    ///
    /// # Errors
    /// As [`Upload::open`] where that asks for nothing, and as [`SharedUpload::begin`].
    pub fn of(place: &Place, options: &UploadOptions, name: &UploadName) -> io::Result<SharedUpload> {
        let mut upload = Upload::new(place, options, AttemptName::from_bytes(name.attempt))?;
        refuse_unnamed(&upload, place)?;
        upload.id = Some(name.id.as_str().into());
        upload.is_shared = true;
        if let Some(version) = &name.replaces {
            upload.condition = Condition::Unchanged(Found::of_version(upload.calls.dialect, version));
        }
        Ok(SharedUpload { upload })
    }

    /// What tells it from others.
    pub fn name(&self) -> UploadName {
        let Upload { calls, condition, id, .. } = &self.upload;
        let replaces = match condition {
            Condition::Unchanged(found) => found.version(calls.dialect).map(str::to_owned),
            Condition::Absent | Condition::Anything => None,
        };
        UploadName {
            id: id.as_deref().unwrap_or_default().to_owned(),
            attempt: calls.attempt.bytes(),
            replaces,
        }
    }

    /// To send parts of it: those that [`Upload::finish`] tells of stay at the store.
    pub fn into_upload(self) -> Upload {
        self.upload
    }

    /// What stands where the object belongs.
    ///
    /// # Errors
    /// An [`UploadFault`](super::UploadFault).
    pub fn look(&self) -> io::Result<ObjectState> {
        let Upload { calls, condition, .. } = &self.upload;
        let found = self.upload.head()?;
        let found = found.map_err(|cause| self.upload.failed("it cannot be looked at", &cause))?;
        Ok(match (found, condition) {
            (Some(found), _) if found.attempt.as_ref() == Some(&calls.attempt) => ObjectState::Ours,
            (None, Condition::Absent) => ObjectState::Unchanged,
            (Some(found), Condition::Unchanged(before)) if found.is_version_of(before, calls.dialect) => {
                ObjectState::Unchanged
            }
            _ => ObjectState::Others,
        })
    }

    /// The parts that the store has of it, in order; `None` if it has no such upload: it was completed, or given up by somebody.
    ///
    /// # Errors
    /// An [`UploadFault`](super::UploadFault).
    pub fn parts(&self) -> io::Result<Option<Vec<StoredPart>>> {
        let (calls, patience) = (self.upload.calls.clone(), self.upload.patience.clone());
        let (id, what) = (self.name().id, format!("listing the parts of {}", self.upload.shown));
        let listed = runtime::run(async move {
            let (mut parts, mut after) = (Vec::new(), 0);
            loop {
                let list = || async { calls.list_parts(&id, after).await };
                let Some((page, next)) = patience.persist(&what, list).await? else { return Ok(None) };
                parts.extend(page);
                match next {
                    Some(next) => after = next,
                    None => return Ok(Some(parts)),
                }
            }
        })?;
        listed.map_err(|cause| self.upload.failed("its parts cannot be listed", &cause))
    }

    /// Puts the parts with these `tags` together, from the first on, and makes them the object, on the condition that stands in its name.
    /// Whatever comes of it, the upload is not given up. Look first whether it has [become the object](ObjectState::Ours).
    ///
    /// # Errors
    /// What is known of it. A fault with [`UploadFaultKind::PartsChanged`] where the store has other parts than these.
    pub fn complete(&mut self, tags: Vec<String>) -> Result<(), PublishError> {
        let Some(id) = self.upload.id.clone() else {
            let what = "it has been put together already";
            return Err(PublishError::NotDone(self.upload.fault(UploadFaultKind::Other, what)));
        };
        self.upload.look_again().map_err(PublishError::NotDone)?;
        self.upload.settle(Put::Parts { id, tags, is_shared: true })
    }

    /// Gives it up, until the store has nothing of it any more, for [`UploadOptions::abort_max`]. If it has become the object, that stays.
    ///
    /// # Errors
    /// The store may still have parts.
    pub fn abort(&self) -> io::Result<()> {
        let (calls, id) = (self.upload.calls.clone(), self.name().id);
        let at_most = self.upload.patience.abort_max;
        let gone = runtime::run(async move { give_up(&calls, &id, at_most).await })?;
        gone.map(drop).map_err(|cause| {
            self.upload.failed("what was sent could not be given up, and may stay at the store", &cause)
        })
    }
}

fn refuse_unnamed(upload: &Upload, place: &Place) -> io::Result<()> {
    match upload.calls.dialect.names_uploads() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::Unsupported, format!("{place}: {AZURE}"))),
    }
}

impl fmt::Display for UploadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

const AZURE: &str = "Azure has no upload that several programs could send to: its blocks have no name that one of them could give up";
