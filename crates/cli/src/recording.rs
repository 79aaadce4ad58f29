//! `--record`: what clients read while something is served, and the file that it is written to, each time as a whole.
//! It knows no client; the recorder does.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::{ErrorKind, IfExists, Reader, TargetError};
use serve::{Recorder, WorkingSet};

use crate::failure::Failure;
use crate::printable::Name;
use crate::report::Report;
use crate::whole_file::{self, Fault, Kind, Links, ReplacedFile, UNWRITTEN};

/// A file under a name that this command may take.
pub(crate) struct RecordFile {
    path: PathBuf,
    if_exists: IfExists,
    /// What was written last: a file that has something else in it is not this command's.
    written: Option<Vec<u8>>,
}

/// A stream that is read, and the file that says where.
pub(crate) struct Recording {
    file: RecordFile,
    pub(crate) recorder: Arc<Recorder>,
    tag: String,
    /// When it was written last, and how many bytes had been touched by then.
    written_at: Instant,
    written_len: u64,
}

impl RecordFile {
    /// Looks whether `path` can be written, and may. What is there stays until the first write.
    pub(crate) fn new(path: &Path, if_exists: IfExists) -> Result<RecordFile, Failure> {
        let file = RecordFile { path: path.to_owned(), if_exists, written: None };
        let standing = file.standing()?;
        whole_file::refuse_other_leftovers(path, WorkingSet::is_begun_by)?;
        whole_file::stage(path, standing).map_err(|error| file.refused(&error))?;
        Ok(file)
    }

    fn write(&mut self, content: &[u8]) -> Result<(), Failure> {
        let standing = self.standing()?;
        whole_file::refuse_other_leftovers(&self.path, WorkingSet::is_begun_by)?;
        let written = whole_file::write(&self.path, standing, content, PRIVATE);
        if let Ok(()) | Err(Fault::Unknown(_)) = &written {
            // It was in place, if only for a moment: from now on anything else there is somebody's.
            self.written = Some(content.to_vec());
        }
        written.map_err(|fault| match fault {
            Fault::Refused(error) => self.refused(&error),
            Fault::NotWritten(error) | Fault::Unknown(error) => self.not_written(&error),
        })
    }

    /// What may be replaced, if there is anything: first what --force means, and from then on what was written.
    fn standing(&self) -> Result<Option<ReplacedFile>, Failure> {
        let kind = Kind {
            name: "file of `serve --record`",
            len_max: WorkingSet::TEXT_LEN_MAX + 1,
            links: Links::Refused,
        };
        match (&self.written, self.if_exists) {
            (None, IfExists::Refuse) => Ok(None),
            (None, IfExists::Replace) => whole_file::read_own(&self.path, kind, |content| {
                content.is_empty() || WorkingSet::is_begun_by(content)
            }),
            // Anything else is found to be there when it is staged.
            (Some(written), _) => {
                Ok(whole_file::read_own(&self.path, kind, |content| content == written).unwrap_or_default())
            }
        }
    }

    /// Whether there is something of its name that this command has not written.
    fn has_other_content(&self) -> bool {
        self.written.is_none() && fs::symlink_metadata(&self.path).is_ok()
    }

    fn refused(&self, error: &TargetError) -> Failure {
        let name = Name::from(&*self.path);
        match error {
            TargetError::Exists { .. } | TargetError::Symlink { .. } if self.written.is_some() => {
                let what = format!("{name} is no longer the file that was written here, and is left alone");
                Failure::new(ErrorKind::TargetExists, what)
            }
            TargetError::Exists { .. } | TargetError::Symlink { .. } => {
                Failure::new(ErrorKind::TargetExists, format!("{name} exists"))
                    .advise("Give another name, or replace it with `--force`.")
            }
            error => whole_file::refused(error, format!("{name} could not be made")),
        }
    }

    fn not_written(&self, error: &dyn fmt::Display) -> Failure {
        let what = format!("{} could not be written: {error}", Name::from(&*self.path));
        Failure::new(ErrorKind::Io, what).advise(UNWRITTEN)
    }
}

impl Recording {
    /// Of what is read of `reader`, through the recorder.
    pub(crate) fn new(file: RecordFile, reader: &Reader) -> Recording {
        let recorder = Recorder::new(Arc::new(reader.clone()), u64::from(reader.frame_len()));
        let tag = reader.stream_id().to_string();
        Recording { file, recorder: Arc::new(recorder), tag, written_at: Instant::now(), written_len: 0 }
    }

    /// Writes it, if that is due, and there is something new.
    pub(crate) fn write_now_and_then(&mut self, report: Report) {
        if self.written_at.elapsed() < WRITTEN_EVERY {
            return;
        }
        self.written_at = Instant::now();
        let set = self.working_set();
        if set.touched_len() > self.written_len
            && let Err(failure) = self.write(&set)
        {
            report.warning(failure.message);
        }
    }

    /// Writes it for the last time, and gives what was written. If nothing was read, what an earlier run has recorded stays.
    pub(crate) fn finish(mut self, report: Report) -> Result<Option<WorkingSet>, Failure> {
        let set = self.working_set();
        if set.ranges().is_empty() && self.file.has_other_content() {
            report.warning(format!("nothing was read: {} stays as it was", Name::from(&*self.file.path)));
            return Ok(None);
        }
        self.write(&set)?;
        if self.recorder.is_full() {
            report.warning("more was read than is recorded: it lies in too many places");
        }
        Ok(Some(set))
    }

    fn write(&mut self, set: &WorkingSet) -> Result<(), Failure> {
        self.file.write(set.to_string().as_bytes())?;
        self.written_len = set.touched_len();
        Ok(())
    }

    fn working_set(&self) -> WorkingSet {
        self.recorder.working_set(&self.tag)
    }
}

/// A record that is lost with the machine is that much shorter.
const WRITTEN_EVERY: Duration = Duration::from_secs(10);

/// It says what somebody reads.
const PRIVATE: u32 = 0o600;
