//! A plan: one stream, its target, and the parts that it is restored in.
//! It knows neither who restores them nor where anything lies.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::key::random_id;
use crate::text::{Hex, Lines, Quoted, Values, Writer, parse_number};
use crate::{
    PARTS_MAX, PATH_LEN_MAX, PLAN_LEN_MAX, PartExtent, PlanKey, RandomError, RecordError, TreeTarget,
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
    /// What the stream becomes, by an absolute path that is the same everywhere.
    pub target: PathBuf,
    /// Whether a target that exists is replaced.
    pub replaces: bool,
    /// The mode that a new target gets.
    pub mode: Option<u32>,
    /// The time of modification that a new target gets.
    pub modified: Option<Modified>,
    /// How the plaintext, a tree, becomes a directory. None: the target is a file.
    pub tree: Option<TreeTarget>,
    /// Bytes of a target that has only the first of the plaintext: the archive of a tree without a catalog.
    pub len: Option<u64>,
    /// The parts, in order.
    pub parts: Vec<PartExtent>,
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
        let usable = |path: &OsStr| !path.is_empty() && path.len() <= PATH_LEN_MAX;
        if !usable(&content.source) || !usable(content.target.as_os_str()) || !content.target.is_absolute() {
            return Err(UnusablePlan::Path);
        }
        let mode_fits = content.mode.is_none_or(|mode| mode <= MODE_MAX);
        let time_fits = content.modified.is_none_or(|modified| modified.nanos < NANOS);
        if !tiles(&content) || !content.is_possible() || !mode_fits || !time_fits {
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
        text.line("target", &[&Quoted(content.target.as_os_str())]);
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
        text.line("parts", &[&content.parts.len()]);
        for (number, part) in content.parts.iter().enumerate() {
            let PartExtent { segments, plaintext, chain_before, chain_after } = part;
            let ranges: [&dyn fmt::Display; 5] =
                [&number, &segments.start, &segments.end, &plaintext.start, &plaintext.end];
            let chain: [&dyn fmt::Display; 2] = [&Hex(chain_before), &Hex(chain_after)];
            text.line("part", &[&ranges[..], &chain[..]].concat());
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
        let target = Some(PathBuf::from(target.path(0)?))
            .filter(|path| path.is_absolute())
            .ok_or_else(|| target.malformed())?;
        let replaces = parse_exists(&lines.line::<1>("exists")?)?;
        let mode = lines.line_if_there::<1>("mode")?.map(|mode| parse_mode(&mode)).transpose()?;
        let modified =
            lines.line_if_there::<1>("modified")?.map(|modified| parse_modified(&modified)).transpose()?;
        let tree = lines.line_if_there::<4>("tree")?.map(|tree| TreeTarget::parse(&tree)).transpose()?;
        let len = lines.line_if_there::<1>("length")?.map(|len| len.number(0)).transpose()?;
        let parts = parse_parts(&mut lines)?;
        lines.end()?;
        let content =
            NewPlan { stream_id, stream_digest, source, target, replaces, mode, modified, tree, len, parts };
        if tiles(&content) && content.is_possible() {
            Ok(Plan { id, content })
        } else {
            Err(RecordError::Contradictory)
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

    /// The target, by its absolute path.
    pub fn target(&self) -> &Path {
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

    /// A directory has what its tree says, and all of it.
    fn is_possible(&self) -> bool {
        let is_of_file = self.mode.is_some() || self.modified.is_some() || self.len.is_some();
        !(self.tree.is_some() && is_of_file) && self.len.is_none_or(|len| len < self.plaintext_len())
    }
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
    /// The source or the target has no path or too long a one, or the target's is not absolute.
    Path,
    /// The parts do not tile the stream, or mode or time are none.
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
                "the source or the target has no name, or one of more than {PATH_LEN_MAX} bytes, or the target's is not absolute"
            ),
            UnusablePlan::Contradictory => out.write_str("the parts are not the whole stream"),
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
