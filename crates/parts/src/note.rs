//! The notes of whoever commits: which file is about to become the target, that an upload is, and that the plan is done.
//! They say nothing of a byte; they keep a second commit from doing anything again.

use crate::text::{Hex, Lines, Writer};
use crate::{NOTE_LEN_MAX, Plan, PlanId, PlanKey, RecordError};

/// The file that is about to get the target's name. If that file has it, the plan has been committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publishing {
    /// Which file.
    pub file: FileIdentity,
}

/// What tells a file from others on its file system, whatever its name, its content and its rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileIdentity {
    /// Its number.
    pub inode: u64,
    /// When it was made, where that is known: in nanoseconds since 1970.
    pub created: Option<u64>,
}

impl Publishing {
    /// Its text.
    pub fn to_text(&self, key: &PlanKey, plan: PlanId) -> String {
        let mut text = Writer::new(PUBLISHING);
        text.line("plan", &[&plan]);
        text.line("inode", &[&self.file.inode]);
        if let Some(created) = self.file.created {
            text.line("created", &[&created]);
        }
        text.finish(key)
    }

    /// Reads the note of a commit of `plan`.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse(text: &[u8], key: &PlanKey, plan: PlanId) -> Result<Publishing, RecordError> {
        let mut lines = Lines::of(text, PUBLISHING, NOTE_LEN_MAX, key)?;
        check_plan(&mut lines, plan)?;
        let inode = lines.line::<1>("inode")?.number(0)?;
        let created = lines.line_if_there::<1>("created")?.map(|created| created.number(0)).transpose()?;
        lines.end()?;
        Ok(Publishing { file: FileIdentity { inode, created } })
    }

    /// The file that a note names, whoever has written it: for who has no key, and does nothing but leave that file alone.
    pub fn claim(text: &[u8]) -> Option<FileIdentity> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.starts_with(PUBLISHING))?;
        let number = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)?.parse().ok());
        Some(FileIdentity { inode: number("inode ")?, created: number("created ") })
    }
}

/// The store is about to be asked for the object. If the upload is gone, it may be that object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completing;

impl Completing {
    /// Its text.
    pub fn to_text(&self, key: &PlanKey, plan: PlanId) -> String {
        let mut text = Writer::new(COMPLETING);
        text.line("plan", &[&plan]);
        text.finish(key)
    }

    /// Reads the note of a commit of `plan`.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse(text: &[u8], key: &PlanKey, plan: PlanId) -> Result<Completing, RecordError> {
        let mut lines = Lines::of(text, COMPLETING, NOTE_LEN_MAX, key)?;
        check_plan(&mut lines, plan)?;
        lines.end().map(|()| Completing)
    }
}

/// The plan has been committed: its target is in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Bytes of the target, as it was then; of a tree's plaintext.
    pub target_len: u64,
    /// The digest of the stream.
    pub stream_digest: [u8; 32],
}

impl Committed {
    /// Of this plan.
    pub fn of(plan: &Plan) -> Committed {
        Committed { target_len: plan.target_len(), stream_digest: plan.content().stream_digest }
    }

    /// Its text.
    pub fn to_text(&self, key: &PlanKey, plan: PlanId) -> String {
        let mut text = Writer::new(COMMITTED);
        text.line("plan", &[&plan]);
        text.line("digest", &[&Hex(&self.stream_digest)]);
        text.line("length", &[&self.target_len]);
        text.finish(key)
    }

    /// Reads the note of a commit of `plan`.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse(text: &[u8], key: &PlanKey, plan: PlanId) -> Result<Committed, RecordError> {
        let mut lines = Lines::of(text, COMMITTED, NOTE_LEN_MAX, key)?;
        check_plan(&mut lines, plan)?;
        let stream_digest = lines.line::<1>("digest")?.bytes(0)?;
        let target_len = lines.line::<1>("length")?.number(0)?;
        lines.end()?;
        Ok(Committed { target_len, stream_digest })
    }
}

fn check_plan(lines: &mut Lines<'_>, plan: PlanId) -> Result<(), RecordError> {
    match PlanId(lines.line::<1>("plan")?.bytes(0)?) == plan {
        true => Ok(()),
        false => Err(RecordError::OtherPlan),
    }
}

const PUBLISHING: &str = "cofferdam-publishing";
const COMPLETING: &str = "cofferdam-completing";
const COMMITTED: &str = "cofferdam-committed";
