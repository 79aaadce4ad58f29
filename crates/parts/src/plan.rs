//! A plan: one stream, its target, and the parts that it is restored in.
//! It knows neither who restores them nor where anything lies.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use crate::key::random_id;
use crate::text::{Hex, Lines, Quoted, Values, Writer, parse_number};
use crate::{
    PARTS_MAX, PATH_LEN_MAX, PLAN_LEN_MAX, PartExtent, PlanKey, PlannedUpload, RandomError, RecordError,
    TreeTarget,
};

/// A plan whose parts tile its stream: they meet, the first begins at its beginning, and the chain after the last is its digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    id: PlanId,
    content: NewPlan,
}

/// What a plan says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewPlan {
    /// Names the stream.
    pub stream_id: [u8; 16],
    /// Fixes every byte of the stream's preamble, metadata and segments.
    pub stream_digest: [u8; 32],
    /// Where workers find the stream, in their caller's words: a path or a URL.
    pub source: OsString,
    /// What the stream becomes.
    pub target: PlanTarget,
    /// Whether a target that exists is replaced.
    pub replaces: bool,
    /// The mode that a new file gets.
    pub mode: Option<u32>,
    /// The time of modification that a new file gets.
    pub modified: Option<Modified>,
    /// How the plaintext, a tree, becomes a directory. None: the target is a file.
    pub tree: Option<TreeTarget>,
    /// Bytes of a target that has only the first of the plaintext: the archive of a tree without a catalog.
    pub len: Option<u64>,
    /// The parts, in order.
    pub parts: Vec<PartExtent>,
}

/// What a stream becomes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlanTarget {
    /// A file or directory, by an absolute path that is the same everywhere.
    Path(PathBuf),
    /// An object in a store.
    Object {
        /// Its URL, without anything secret.
        url: String,
        /// What attempts send to.
        upload: PlannedUpload,
    },
}

impl PlanTarget {
    /// The path or the URL.
    pub fn name(&self) -> &OsStr {
        match self {
            PlanTarget::Path(path) => path.as_os_str(),
            PlanTarget::Object { url, .. } => url.as_ref(),
        }
    }

    fn is_named(&self) -> bool {
        let name = self.name();
        !name.is_empty()
            && name.len() <= PATH_LEN_MAX
            && match self {
                PlanTarget::Path(path) => path.is_absolute(),
                PlanTarget::Object { url, .. } => is_url(url),
            }
    }
}

/// A time since 1970 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Modified {
    /// Seconds, below 0 before 1970.
    pub seconds: i64,
    /// Nanoseconds of the second.
    pub nanos: u32,
}

/// Names a plan: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanId(pub [u8; 16]);

impl Plan {
    /// A new plan, under an id of its own.
    ///
    /// # Errors
    /// See [`UnusablePlan`].
    pub fn new(content: NewPlan) -> Result<Plan, UnusablePlan> {
        if content.parts.len() > PARTS_MAX {
            return Err(UnusablePlan::TooManyParts);
        }
        let is_source = (1..=PATH_LEN_MAX).contains(&content.source.len());
        if !is_source || !content.target.is_named() {
            return Err(UnusablePlan::Path);
        }
        let mode_fits = content.mode.is_none_or(|mode| mode <= MODE_MAX);
        let time_fits = content.modified.is_none_or(|modified| modified.nanos < NANOS);
        if !tiles(&content) || !fits_target(&content) || !mode_fits || !time_fits {
            return Err(UnusablePlan::Contradictory);
        }
        Ok(Plan { id: PlanId(random_id().map_err(UnusablePlan::Random)?), content })
    }

    /// Its text.
    pub fn to_text(&self, key: &PlanKey) -> String {
        let content = &self.content;
        let mut text = Writer::new(KIND);
        text.line("plan", &[&self.id]);
        text.line("stream", &[&Hex(&content.stream_id)]);
        text.line("digest", &[&Hex(&content.stream_digest)]);
        text.line("source", &[&Quoted(&content.source)]);
        text.line("target", &[&Quoted(content.target.name())]);
        text.line("exists", &[&exists_word(content.replaces)]);
        if let Some(mode) = content.mode {
            text.line("mode", &[&format_args!("{mode:04o}")]);
        }
        if let Some(Modified { seconds, nanos }) = content.modified {
            text.line("modified", &[&format_args!("{seconds}.{nanos:09}")]);
        }
        if let Some(tree) = content.tree {
            text.line("tree", &tree.words());
        }
        if let Some(len) = content.len {
            text.line("length", &[&len]);
        }
        let upload = content.upload();
        if let Some(upload) = upload {
            upload.write_head(&mut text);
        }
        text.line("parts", &[&content.parts.len()]);
        for (number, part) in content.parts.iter().enumerate() {
            let PartExtent { segments, plaintext, chain_before, chain_after } = part;
            let ranges: [&dyn fmt::Display; 5] =
                [&number, &segments.start, &segments.end, &plaintext.start, &plaintext.end];
            let chain: [&dyn fmt::Display; 2] = [&Hex(chain_before), &Hex(chain_after)];
            text.line("part", &[&ranges[..], &chain[..]].concat());
        }
        if let Some(upload) = upload {
            upload.write_cuts(&mut text);
        }
        text.finish(key)
    }

    /// Reads a plan that was made under `key`.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn parse(text: &[u8], key: &PlanKey) -> Result<Plan, RecordError> {
        let mut lines = Lines::of(text, KIND, PLAN_LEN_MAX, key)?;
        let id = PlanId(lines.line::<1>("plan")?.bytes(0)?);
        let stream_id = lines.line::<1>("stream")?.bytes(0)?;
        let stream_digest = lines.line::<1>("digest")?.bytes(0)?;
        let source = lines.line::<1>("source")?.path(0)?;
        let target = lines.line::<1>("target")?;
        let (target, misnamed) = (target.path(0)?, target.malformed());
        let replaces = parse_exists(&lines.line::<1>("exists")?)?;
        let mode = lines.line_if_there::<1>("mode")?.map(|mode| parse_mode(&mode)).transpose()?;
        let modified =
            lines.line_if_there::<1>("modified")?.map(|modified| parse_modified(&modified)).transpose()?;
        let tree = lines.line_if_there::<4>("tree")?.map(|tree| TreeTarget::parse(&tree)).transpose()?;
        let len = lines.line_if_there::<1>("length")?.map(|len| len.number(0)).transpose()?;
        let upload = PlannedUpload::parse_head(&mut lines)?;
        let parts = parse_parts(&mut lines)?;
        let target = match upload {
            None => PlanTarget::Path(target.into()),
            Some(mut upload) => {
                upload.parse_cuts(&mut lines, parts.len())?;
                PlanTarget::Object { url: target.into_string().map_err(|_| misnamed)?, upload }
            }
        };
        lines.end()?;
        if !target.is_named() {
            return Err(misnamed);
        }
        let content =
            NewPlan { stream_id, stream_digest, source, target, replaces, mode, modified, tree, len, parts };
        match tiles(&content) && fits_target(&content) {
            true => Ok(Plan { id, content }),
            false => Err(RecordError::Contradictory),
        }
    }

    /// Its name.
    pub fn id(&self) -> PlanId {
        self.id
    }

    /// What it says.
    pub fn content(&self) -> &NewPlan {
        &self.content
    }

    /// The target.
    pub fn target(&self) -> &PlanTarget {
        &self.content.target
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[PartExtent] {
        &self.content.parts
    }

    /// Bytes of the stream's plaintext.
    pub fn plaintext_len(&self) -> u64 {
        self.content.plaintext_len()
    }

    /// Bytes of the target, where that is a file; of the plaintext of a tree.
    pub fn target_len(&self) -> u64 {
        self.content.len.unwrap_or_else(|| self.plaintext_len())
    }
}

impl NewPlan {
    fn plaintext_len(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.plaintext.end)
    }

    /// Whether both plan the same, however the parts are cut for a store, and whatever that calls the upload.
    pub fn plans_as(&self, other: &NewPlan) -> bool {
        self.target.name() == other.target.name()
            && *self == NewPlan { target: self.target.clone(), ..other.clone() }
    }

    /// The upload, of a plan for an object.
    pub(crate) fn upload(&self) -> Option<&PlannedUpload> {
        match &self.target {
            PlanTarget::Path(_) => None,
            PlanTarget::Object { upload, .. } => Some(upload),
        }
    }
}

/// Whether all that is said is of such a target. A directory has what its tree says, and all of it; an object has an upload of these parts,
/// which replaces nothing that is not to be replaced.
fn fits_target(content: &NewPlan) -> bool {
    let is_of_file = content.mode.is_some() || content.modified.is_some() || content.len.is_some();
    match (content.upload(), content.tree) {
        (None, None) => content.len.is_none_or(|len| len < content.plaintext_len()),
        (None, Some(_)) => !is_of_file,
        (Some(_), Some(_)) => false,
        (Some(upload), None) => {
            !is_of_file && upload.fits(&content.parts) && (content.replaces || upload.replaces.is_none())
        }
    }
}

/// Whether it begins as a URL does; what more it has to be, whoever opens it knows.
fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !rest.is_empty()
    })
}

/// Whether the parts are the whole stream, each once.
fn tiles(content: &NewPlan) -> bool {
    let (Some(first), Some(last)) = (content.parts.first(), content.parts.last()) else { return false };
    (first.segments.start, first.plaintext.start) == (0, 0)
        && last.chain_after == content.stream_digest
        && content.parts.iter().all(PartExtent::is_possible)
        && content.parts.windows(2).all(|pair| pair[0].meets(&pair[1]))
}

fn parse_parts(lines: &mut Lines<'_>) -> Result<Vec<PartExtent>, RecordError> {
    let values = lines.line::<1>("parts")?;
    let count = values.number(0)?;
    if count > PARTS_MAX as u64 {
        return Err(values.malformed());
    }
    (0..count)
        .map(|number| {
            let values = lines.line::<7>("part")?;
            if values.number(0)? != number {
                return Err(values.malformed());
            }
            Ok(PartExtent {
                segments: values.range(1)?,
                plaintext: values.range(3)?,
                chain_before: values.bytes(5)?,
                chain_after: values.bytes(6)?,
            })
        })
        .collect()
}

fn exists_word(replaces: bool) -> &'static str {
    if replaces { "replace" } else { "refuse" }
}

fn parse_exists(values: &Values<'_, 1>) -> Result<bool, RecordError> {
    match values.word(0) {
        "replace" => Ok(true),
        "refuse" => Ok(false),
        _ => Err(values.malformed()),
    }
}

fn parse_mode(values: &Values<'_, 1>) -> Result<u32, RecordError> {
    let word = values.word(0);
    let mode = u32::from_str_radix(word, 8).ok().filter(|mode| *mode <= MODE_MAX);
    mode.filter(|mode| format!("{mode:04o}") == word).ok_or_else(|| values.malformed())
}

fn parse_modified(values: &Values<'_, 1>) -> Result<Modified, RecordError> {
    let parse = |word: &str| {
        let (seconds, nanos) = word.split_once('.')?;
        let is_spelt = nanos.len() == 9 && nanos.bytes().all(|byte| byte.is_ascii_digit());
        let seconds_spelt = parse_number(seconds.strip_prefix('-').unwrap_or(seconds)).is_some();
        let seconds = seconds.parse().ok().filter(|_| seconds_spelt && seconds != "-0")?;
        Some(Modified { seconds, nanos: nanos.parse().ok().filter(|_| is_spelt)? })
    };
    parse(values.word(0)).ok_or_else(|| values.malformed())
}

impl fmt::Display for PlanId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(out)
    }
}

impl fmt::Debug for PlanId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Why there is no such plan.
#[derive(Debug)]
#[non_exhaustive]
pub enum UnusablePlan {
    /// It has more than [`PARTS_MAX`] parts.
    TooManyParts,
    /// The source or the target has no name or too long a one, or the target's is no absolute path and no URL.
    Path,
    /// The parts do not tile the stream, or the upload is not of them, or mode or time are none.
    Contradictory,
    /// There are no random numbers for its id.
    Random(RandomError),
}

impl fmt::Display for UnusablePlan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnusablePlan::TooManyParts => write!(out, "a plan has at most {PARTS_MAX} parts"),
            UnusablePlan::Path => write!(
                out,
                "the source or the target has no name, or one of more than {PATH_LEN_MAX} bytes, or the target's is no absolute path and no URL"
            ),
            UnusablePlan::Contradictory => {
                out.write_str("the parts are not the whole stream, or do not fit its target")
            }
            UnusablePlan::Random(error) => error.fmt(out),
        }
    }
}

impl Error for UnusablePlan {}

const KIND: &str = "cofferdam-plan";
/// Permission bits, without set-id and sticky bits.
const MODE_MAX: u32 = 0o777;
/// Nanoseconds of a second.
const NANOS: u32 = 1_000_000_000;
