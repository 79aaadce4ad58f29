//! What a drill has found out, as JSON: the records, and the file that is replaced as a whole.
//! The schema is its own, and the same on every machine; `docs/RUNBOOKS.md` has its fields.

use std::borrow::Cow;
use std::path::Path;

use cofferdam::{ErrorKind, FORMAT_VERSION, Inspection, Restored, StreamId, Warning};
use serde::Serialize;

use super::check::{CONTEXT_LEN, Checked, Ended, TAIL_LEN};
use super::file::{CheckCommand, DrillFile, DrillStream, Mode};
use crate::clock::Utc;
use crate::failure::Failure;
use crate::printable::{self, Name};
use crate::secrets;
use crate::signatures::KeyName;
use crate::text::digest_name;
use crate::whole_file::{self, Fault, Kind, Links, ReplacedFile, UNWRITTEN};

/// What the file says.
#[derive(Serialize)]
pub(super) struct Evidence {
    /// The version of the schema, which tells evidence from other JSON.
    cofferdam_drill: u32,
    pub(super) result: Outcome,
    exit_code: u8,
    begun: Utc,
    ended: Utc,
    cofferdam_version: &'static str,
    format_version: u16,
    drill_file: FileRecord,
    pub(super) streams: Vec<StreamRecord>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    Passed,
    Failed,
    Interrupted,
    /// An interrupted drill has not come to it.
    NotTried,
}

#[derive(Serialize)]
struct FileRecord {
    name: Name,
    blake3: String,
}

/// Of one stream. What was not found out is null.
#[derive(Serialize)]
pub(super) struct StreamRecord {
    pub(super) name: String,
    pub(super) sealed: Name,
    mode: &'static str,
    pub(super) result: Outcome,
    pub(super) begun: Option<Utc>,
    pub(super) seconds: Option<f64>,
    pub(super) stream_id: Option<String>,
    pub(super) stream_digest: Option<String>,
    pub(super) digest_kind: Option<&'static str>,
    /// Whether the digest was compared with one of the drill's file, and is that.
    pinned: Option<bool>,
    /// Whose signature of it the drill's file demands, and was found.
    pub(super) signed_by: Option<KeyName>,
    /// Whether a key has proved who could have sealed it, or digests alone were compared.
    authenticity: Option<&'static str>,
    pub(super) sequence: Option<u64>,
    pub(super) sealed_at: Option<Utc>,
    pub(super) age_seconds: Option<u64>,
    max_age_seconds: Option<u64>,
    min_sequence: Option<u64>,
    pub(super) segments: Option<u64>,
    pub(super) plaintext_bytes: Option<u64>,
    pub(super) sealed_bytes: Option<u64>,
    /// Of opening and writing, without the check.
    pub(super) open_seconds: Option<f64>,
    pub(super) bytes_per_second: Option<f64>,
    pub(super) scratch_free_bytes: Option<u64>,
    /// What was looked at, where that is not all.
    pub(super) sample: Option<SampleRecord>,
    pub(super) check: Option<CheckRecord>,
    pub(super) warnings: Vec<String>,
    pub(super) error: Option<ErrorRecord>,
    /// Whether there is a key to open it with.
    #[serde(skip)]
    is_keyed: bool,
    /// Whose digest kind and sealed length those are: what was looked at need not be what was opened.
    #[serde(skip)]
    inspected_id: Option<StreamId>,
}

/// Whole segments, each proved to be at its place; nothing is said of the others.
#[derive(Serialize)]
pub(super) struct SampleRecord {
    pub(super) segments: Vec<u64>,
    pub(super) of_segments: u64,
    pub(super) plaintext_bytes: u64,
}

#[derive(Serialize)]
pub(super) struct CheckRecord {
    argv: Vec<String>,
    /// Null where it did not end by itself.
    exit_code: Option<i32>,
    signal: Option<i32>,
    timed_out: bool,
    seconds: f64,
    output_bytes: u64,
    output_tail: String,
    /// The numbers of processes that it has started, and that could not be ended.
    left_processes: Vec<i32>,
}

#[derive(Serialize)]
pub(super) struct ErrorRecord {
    kind: &'static str,
    exit_code: u8,
    message: String,
    advice: Option<String>,
    segment: Option<u64>,
    frame: Option<u32>,
    position: Option<u64>,
}

impl Evidence {
    pub(super) fn new(
        file: &DrillFile,
        begun: Utc,
        ended: Utc,
        streams: Vec<StreamRecord>,
        failure: Option<&Failure>,
    ) -> Evidence {
        let is_interrupted =
            streams.iter().any(|stream| matches!(stream.result, Outcome::Interrupted | Outcome::NotTried));
        Evidence {
            cofferdam_drill: SCHEMA,
            result: match failure {
                None => Outcome::Passed,
                Some(_) if is_interrupted => Outcome::Interrupted,
                Some(_) => Outcome::Failed,
            },
            exit_code: failure.map_or(0, Failure::exit_code),
            begun,
            ended,
            cofferdam_version: env!("CARGO_PKG_VERSION"),
            format_version: FORMAT_VERSION,
            drill_file: FileRecord { name: file.name.clone(), blake3: file.digest.clone() },
            streams,
        }
    }

    /// Puts it into the file at `path`.
    ///
    /// Gives the bytes that are in it now.
    pub(super) fn write(&self, path: &Path, mode: u32) -> Result<Vec<u8>, Failure> {
        // Something else may have come there since the drill began.
        let standing = standing(path)?;
        // Records hold strings, numbers and lists of them: there is nothing that JSON could refuse.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        let what = format!("the evidence could not be written to {}", Name::from(path));
        let written = whole_file::write(path, standing, text.as_bytes(), mode);
        written.map(|()| text.into_bytes()).map_err(|fault| match fault {
            Fault::Refused(error) => whole_file::refused(&error, what),
            Fault::NotWritten(error) => Failure::io(what, error).advise(UNWRITTEN),
            Fault::Unknown(error) => Failure::new(
                ErrorKind::DurabilityUnknown,
                format!("the evidence is in {}, and may not survive a power cut: {error}", Name::from(path)),
            ),
        })
    }
}

/// Whether a file begins as evidence does, however it is laid out. All of it may be longer than what can be held.
fn is_evidence(text: &[u8]) -> bool {
    let mut rest = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    MARK.iter().all(|byte| rest.next() == Some(byte)) && matches!(rest.next(), Some(b'1'..=b'9'))
}

/// Refuses a file that would be lost: one that no drill has written, by its content.
pub(super) fn refuse_other_file(path: &Path) -> Result<(), Failure> {
    standing(path).map(drop)
}

/// What is there, and is replaced. Nothing else is lost with that.
fn standing(path: &Path) -> Result<Option<ReplacedFile>, Failure> {
    whole_file::refuse_other_leftovers(path, |kept| kept.starts_with(HEAD))?;
    let kind = Kind { name: "evidence of a drill", len_max: LEN_MAX, links: Links::Followed };
    whole_file::read_own(path, kind, is_evidence)
}

impl StreamRecord {
    /// Of a stream that nothing is known about yet.
    pub(super) fn new(stream: &DrillStream) -> StreamRecord {
        StreamRecord {
            name: stream.name.clone(),
            sealed: stream.sealed.name(),
            mode: match stream.mode {
                Mode::Restore { .. } => "restore",
                Mode::Verify => "verify",
                Mode::Sample { .. } => "sample",
            },
            result: Outcome::NotTried,
            begun: None,
            seconds: None,
            stream_id: None,
            stream_digest: None,
            digest_kind: None,
            pinned: None,
            signed_by: None,
            authenticity: None,
            sequence: None,
            sealed_at: None,
            age_seconds: None,
            max_age_seconds: stream.age.max.map(|age| age.as_secs()),
            min_sequence: stream.min_sequence,
            segments: None,
            plaintext_bytes: None,
            sealed_bytes: None,
            open_seconds: None,
            bytes_per_second: None,
            scratch_free_bytes: None,
            sample: None,
            check: None,
            warnings: Vec::new(),
            error: None,
            is_keyed: stream.keys.is_some(),
            inspected_id: None,
        }
    }

    /// What a drill of this kind can show: a check without a key proves less than one with it.
    pub(super) fn depth(&self) -> &'static str {
        match self.is_keyed {
            true => self.mode,
            false => "verify-without-key",
        }
    }

    /// What a stream that proved whole is, and how long that took.
    pub(super) fn opened(&mut self, restored: &Restored, seconds: f64) {
        self.set_stream_id(restored.stream_id);
        self.stream_digest = Some(restored.stream_digest.to_string());
        self.segments = Some(restored.segments);
        self.plaintext_bytes = Some(restored.plaintext_len);
        self.warnings = restored.warnings.iter().map(Warning::to_string).collect();
        self.took(restored.plaintext_len, seconds);
    }

    /// What it was compared with, of which nothing can be said before all that was to be opened has proved right.
    pub(super) fn proved(&mut self, stream: &DrillStream) {
        self.pinned = Some(stream.expect_digest.is_some());
        self.authenticity = Some(match (&stream.keys, stream.expect_digest) {
            (Some(_), _) => "checked",
            (None, _) if stream.signed_by.is_given() => "signed",
            (None, Some(_)) => "pinned",
            (None, None) => "not checked",
        });
    }

    pub(super) fn took(&mut self, plaintext_len: u64, seconds: f64) {
        self.open_seconds = Some(seconds);
        self.bytes_per_second = (seconds > 0.0).then(|| (plaintext_len as f64 / seconds).round());
    }

    /// Bytes of plaintext that proved right.
    pub(super) fn proved_bytes(&self) -> u64 {
        match &self.sample {
            Some(sample) => sample.plaintext_bytes,
            None => self.plaintext_bytes.unwrap_or(0),
        }
    }

    /// Names the stream, as it was authenticated.
    pub(super) fn set_stream_id(&mut self, stream_id: StreamId) {
        self.stream_id = Some(stream_id.to_string());
        if self.inspected_id != Some(stream_id) {
            self.forget_structure();
        }
    }

    /// It may be another stream's.
    pub(super) fn forget_structure(&mut self) {
        (self.digest_kind, self.sealed_bytes) = (None, None);
    }

    /// What a look at its structure shows, before anything of it is authenticated.
    pub(super) fn inspected(&mut self, inspection: &Inspection) {
        self.inspected_id = Some(inspection.stream_id);
        self.digest_kind = Some(digest_name(inspection.digest));
        self.sealed_bytes = Some(inspection.sealed_len);
    }

    /// It did not open. What was seen of a stream before need not be of the one that failed: another may have taken its place meanwhile.
    pub(super) fn did_not_open(&mut self) {
        self.forget_structure();
        (self.stream_id, self.stream_digest) = (None, None);
        (self.segments, self.plaintext_bytes) = (None, None);
        (self.sequence, self.sealed_at, self.age_seconds) = (None, None, None);
    }

    pub(super) fn failed(&mut self, failure: &Failure) {
        let is_interrupted = failure.kind() == ErrorKind::Cancelled;
        self.result = if is_interrupted { Outcome::Interrupted } else { Outcome::Failed };
        self.error = Some(ErrorRecord {
            kind: failure.kind_name(),
            exit_code: failure.exit_code(),
            message: said(&failure.message),
            advice: failure.advice.as_deref().map(said),
            segment: failure.segment,
            frame: failure.frame,
            position: failure.position,
        });
    }
}

impl CheckRecord {
    pub(super) fn new(check: &CheckCommand, checked: &Checked) -> CheckRecord {
        let (exit_code, signal) = match checked.ended {
            Ended::Code(code) => (Some(code), None),
            Ended::Signal(signal) => (None, Some(signal)),
            Ended::TimedOut | Ended::Interrupted => (None, None),
        };
        CheckRecord {
            argv: check.argv.iter().map(|argument| said(argument)).collect(),
            exit_code,
            signal,
            timed_out: checked.ended == Ended::TimedOut,
            seconds: checked.took.as_secs_f64(),
            output_bytes: checked.output_len,
            output_tail: said_last(&checked.tail, checked.output_len),
            left_processes: checked.left.iter().map(|process| process.as_raw_nonzero().get()).collect(),
        }
    }

    /// The last line that it printed.
    pub(super) fn last_line(&self) -> Option<&str> {
        self.output_tail.lines().rev().map(str::trim).find(|line| !line.is_empty())
    }
}

/// Without what is secret in a URL, or would steer a terminal.
fn said(text: &str) -> String {
    let hidden: Cow<'_, str> = secrets::hide(text);
    printable::lines(&hidden).into_owned()
}

/// The end of what a check printed, `len` bytes in all, of which these are the last. What is secret is looked for before anything is cut
/// off that it could be known by; the word that is cut already goes first.
fn said_last(tail: &[u8], len: u64) -> String {
    let is_cut = len > tail.len() as u64;
    let word = tail.iter().take(CONTEXT_LEN).position(u8::is_ascii_whitespace).unwrap_or(CONTEXT_LEN);
    let text = String::from_utf8_lossy(if is_cut { &tail[word.min(tail.len())..] } else { tail });
    let hidden = secrets::hide(&text);
    let begin = (hidden.len().saturating_sub(TAIL_LEN)..).find(|at| hidden.is_char_boundary(*at));
    printable::lines(&hidden[begin.unwrap_or_default()..]).into_owned()
}

const SCHEMA: u32 = 1;
/// What a file of evidence begins with.
const HEAD: &[u8] = b"{\n  \"cofferdam_drill\"";
/// By which evidence is known: the brace, and the first field.
const MARK: &[u8] = b"{\"cofferdam_drill\":";
/// Bytes of evidence that are looked at.
const LEN_MAX: u64 = 4096;
