//! The sink: bytes into parts, in order; the parts on their way; the object at the end.
//! Knows no request and no store.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use contract::{
    Checkpoint, CommitError, IfExists, SinkCapabilities, StreamingSink, SyncTo, Visibility, WriteAt,
    cursor::{Committed, Cursor},
};
use remote::Place;
use remote::upload::{Body, IfThere, PublishError, SharedUpload, Upload, UploadOptions};

use crate::held::{Filling, Held};
use crate::parts::{ExpectedLen, PartPlan};

/// How an object is written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObjectOptions {
    /// What to do with an object that is there. One that is replaced must still be the one that was there when the sink was opened.
    pub if_exists: IfExists,
    /// What is known of its length.
    pub expected_len: ExpectedLen,
    /// Bytes of memory that the sink may use; it asks for them of the stream's budget.
    pub memory: usize,
    /// A directory for parts that do not fit into that memory. They lie there in a file without a name, readable by this user alone,
    /// as they are: plaintext, if that is what is written.
    pub spool: Option<PathBuf>,
    /// How requests are made again, who may end that, and who is told.
    pub upload: UploadOptions,
}

impl ObjectOptions {
    /// A sink that may use `memory` bytes, refuses an object that is there, and knows no length.
    pub fn new(memory: usize) -> ObjectOptions {
        ObjectOptions {
            if_exists: IfExists::Refuse,
            expected_len: ExpectedLen::Unknown,
            memory,
            spool: None,
            upload: UploadOptions::default(),
        }
    }
}

/// A range of an object that several programs send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ObjectRange {
    /// The number of its first part in the object, from 0.
    pub first: usize,
    /// Bytes of each part but the last.
    pub part_len: usize,
    /// Bytes of the range.
    pub len: u64,
}

/// What the store calls the parts that a sink has sent of a shared upload, once that is published.
#[derive(Clone, Debug, Default)]
pub struct SentTags(Arc<OnceLock<Vec<String>>>);

impl SentTags {
    /// The tags, in order; `None` before the sink was published.
    pub fn tags(&self) -> Option<&[String]> {
        self.0.get().map(Vec::as_slice)
    }
}

/// Writes a stream to an object in a store: S3 and what speaks its protocol, Google Cloud Storage, Azure.
///
/// Its class is *atomic*, and its bytes are [`Visibility::Private`]: parts of an upload can be read by nobody.
///
/// - **Publish** puts the object in place on a condition: nothing is there, or still what was there when the sink was opened. Where
///   the store cannot put parts together on a condition (Google), it is looked at right before. If the answer is lost, the object is
///   looked at, and known again by a number that only this sink has.
/// - **Discard and Drop** give the parts up, and wait until the store has none of them, for a time that the options say. (Azure has no
///   such request: blocks that no blob was made of expire within a week.)
/// - **A rollback** takes back what is in the part that is being filled. Once a part with bytes of the segment has been handed over,
///   it is an error.
/// - It resumes nothing.
#[derive(Debug)]
pub struct ObjectSink {
    /// Gone after publish, discard, or the first error.
    upload: Option<Upload>,
    plan: PartPlan,
    held: Held,
    filling: Option<Filling>,
    /// The number of the part that is filled, or is next.
    index: usize,
    cursor: Cursor,
    /// The number of the first part in the object.
    first: usize,
    /// Of a range of an object: where its tags go.
    sent: Option<SentTags>,
}

impl ObjectSink {
    /// Looks at the object, and begins an upload if one will be needed. What cannot be done is refused here.
    ///
    /// # Errors
    /// A [`NoRoom`](crate::NoRoom) or an [`UploadFault`](remote::upload::UploadFault) in an error; [`io::ErrorKind::FileTooLarge`];
    /// those of [`Upload::open`]; a spool file that cannot be made.
    pub fn open(place: &Place, options: &ObjectOptions) -> io::Result<ObjectSink> {
        Upload::check(place)?;
        let plan = PartPlan::new(options.expected_len, options.memory, options.spool.is_some())?;
        let held = Held::new(&plan, options.spool.as_deref())?;
        let mut how = options.upload.clone();
        how.if_exists = match options.if_exists {
            IfExists::Refuse => IfThere::Refuse,
            IfExists::Replace => IfThere::Replace,
        };
        let mut upload = Upload::open(place, &how)?;
        if plan.is_in_parts() {
            upload.begin()?;
        }
        Ok(ObjectSink {
            upload: Some(upload),
            plan,
            held,
            filling: None,
            index: 0,
            cursor: Cursor::default(),
            first: 0,
            sent: None,
        })
    }

    /// A sink of a range of the object that `upload` becomes, from its own offset 0 on. Its publish waits until the store has all parts, and puts
    /// nothing in place: the tags are in what is returned with it. Dropped or discarded, it leaves at the store what that has taken, which
    /// another sink of the range replaces.
    ///
    /// # Errors
    /// A [`NoRoom`](crate::NoRoom) in an error; a spool file that cannot be made.
    pub fn join(
        upload: SharedUpload,
        range: ObjectRange,
        options: &ObjectOptions,
    ) -> io::Result<(ObjectSink, SentTags)> {
        let plan = PartPlan::of_range(range.part_len, range.len, options.memory, options.spool.is_some())?;
        let held = Held::new(&plan, options.spool.as_deref())?;
        let sent = SentTags::default();
        let sink = ObjectSink {
            upload: Some(upload.into_upload()),
            plan,
            held,
            filling: None,
            index: 0,
            cursor: Cursor::default(),
            first: range.first,
            sent: Some(sent.clone()),
        };
        Ok((sink, sent))
    }

    /// How the object is cut into parts.
    pub fn plan(&self) -> &PartPlan {
        &self.plan
    }

    /// Runs one call, and takes no other if it fails.
    fn guarded<T>(&mut self, call: impl FnOnce(&mut ObjectSink) -> io::Result<T>) -> io::Result<T> {
        if self.upload.is_none() {
            return Err(closed());
        }
        let done = call(self);
        if done.is_err() {
            self.upload = None;
        }
        done
    }

    fn write(&mut self, at: u64, mut data: &[u8]) -> io::Result<()> {
        self.cursor.write(at, data.len())?;
        if at + data.len() as u64 > self.plan.len_max {
            let message = format!(
                "the object gets longer than the {} bytes that it was to have at most",
                self.plan.len_max
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        while !data.is_empty() {
            let mut filling = match self.filling.take() {
                // A full part waits for the byte after it: the last one may be all there is.
                Some(filling) if filling.len() == self.plan.part_len => {
                    self.send(filling)?;
                    self.room()?
                }
                Some(filling) => filling,
                None => self.room()?,
            };
            let fits = data.len().min(self.plan.part_len - filling.len());
            let appended = filling.append(&data[..fits], self.plan.part_len);
            self.filling = Some(filling);
            appended?;
            data = &data[fits..];
        }
        Ok(())
    }

    fn send(&mut self, filling: Filling) -> io::Result<()> {
        let index = self.first + self.index;
        self.upload()?.send(index, filling.into_body())?;
        self.index += 1;
        Ok(())
    }

    /// Room for the next part; waits for the store to acknowledge one where all of it is in use.
    fn room(&mut self) -> io::Result<Filling> {
        while let Some(sent) = self.upload()?.try_wait()? {
            self.held.give_back(sent.body);
        }
        loop {
            if let Some(filling) = self.held.take()? {
                return Ok(filling);
            }
            let sent = self.upload()?.wait()?.expect("what is in use and not being filled is on its way");
            self.held.give_back(sent.body);
        }
    }

    /// Of a range of an object: sends what is left, and waits until the store has all.
    fn finish(&mut self, sent: &SentTags) -> io::Result<()> {
        if let Some(last) = self.filling.take() {
            self.send(last)?;
        }
        let tags = self.upload.take().ok_or_else(closed)?.finish()?;
        if tags.len() != self.index {
            return Err(io::Error::other("the store has not named all parts that were sent"));
        }
        sent.0.set(tags).map_err(|_| closed())
    }

    fn upload(&mut self) -> io::Result<&mut Upload> {
        self.upload.as_mut().ok_or_else(closed)
    }

    fn check_complete(&self, len: u64) -> io::Result<()> {
        self.cursor.check_closed()?;
        let written = self.cursor.committed_end();
        if written == len {
            return Ok(());
        }
        let message = format!("publishing {len} bytes where {written} were written");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

impl StreamingSink for ObjectSink {
    fn capabilities(&self) -> SinkCapabilities {
        SinkCapabilities::new(Visibility::Private).reserve_bytes(self.plan.memory_len())
    }

    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        Ok(None)
    }

    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.guarded(|sink| sink.cursor.begin(index, at))
    }

    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.guarded(|sink| sink.write(at, data))
    }

    fn rollback_segment(&mut self) -> io::Result<()> {
        self.guarded(|sink| {
            let end = sink.cursor.roll_back()?;
            let begun = sink.index as u64 * sink.plan.part_len as u64;
            match end.checked_sub(begun) {
                Some(kept) => {
                    if let Some(filling) = &mut sink.filling {
                        filling.truncate(kept as usize);
                    }
                    Ok(())
                }
                None => Err(io::Error::other("bytes of this segment have been sent, and are not taken back")),
            }
        })
    }

    fn commit_segment(&mut self, _: &Checkpoint) -> Result<(), CommitError> {
        let committed = self.guarded(|sink| match sink.cursor.commit() {
            Committed::OpenSegment => Ok(()),
            Committed::NothingOpen => {
                let message = "an object is written in order, and no segment is open";
                Err(io::Error::new(io::ErrorKind::InvalidInput, message))
            }
        });
        committed.map_err(CommitError::NotCommitted)
    }

    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.guarded(|sink| sink.check_complete(plain_len)).map_err(CommitError::NotCommitted)?;
        if let Some(sent) = self.sent.clone() {
            return self.guarded(|sink| sink.finish(&sent)).map_err(CommitError::NotCommitted);
        }
        let last = self.filling.take();
        let published = match (self.index, last) {
            (0, last) => {
                let body = last.map_or(Body::Memory(bytes::Bytes::new()), Filling::into_body);
                self.upload.take().map(|upload| upload.put_whole(body))
            }
            (_, last) => {
                if let Some(last) = last {
                    self.guarded(|sink| sink.send(last)).map_err(CommitError::NotCommitted)?;
                }
                self.upload.take().map(Upload::complete)
            }
        };
        match published {
            Some(Ok(())) => Ok(()),
            Some(Err(PublishError::NotDone(error))) => Err(CommitError::NotCommitted(error)),
            Some(Err(PublishError::Unknown(error))) => Err(CommitError::Unknown(error)),
            None => Err(CommitError::NotCommitted(closed())),
        }
    }

    fn discard(&mut self) -> io::Result<()> {
        self.filling = None;
        self.upload.take().map_or(Ok(()), |mut upload| upload.abort())
    }

    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        None
    }

    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        None
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the upload is over, or failed earlier")
}
