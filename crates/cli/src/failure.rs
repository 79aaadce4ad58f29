//! Why a command failed: kind, words, place, advice, and the exit code of each kind.
//! It knows no channel; the report says it.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use cofferdam::{CancelToken, ErrorKind, KeyError, StreamHead};

use crate::{interrupt, remedy};

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: FailureKind,
    pub(crate) message: String,
    pub(crate) advice: Option<String>,
    pub(crate) segment: Option<u64>,
    pub(crate) frame: Option<u32>,
    pub(crate) position: Option<u64>,
    pub(crate) kept: Option<u64>,
    about: Option<Box<About>>,
}

/// What it is about.
#[derive(Debug)]
enum About {
    /// A commit.
    Parts(FailedParts),
    /// A stream that a key had opened by then.
    Stream(StreamHead),
}

/// Parts of a plan that are to be run before it can be committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FailedParts {
    /// All of them.
    pub(crate) missing: Vec<u64>,
    /// Those of them that had been run, and whose files are not what their receipts say.
    pub(crate) wrong: Vec<u64>,
}

/// What went wrong: with the library, or with what only this command does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FailureKind {
    Library(ErrorKind),
    /// What was restored is what was sealed, and the operator's own check of it has failed.
    CheckFailed,
    /// A directory is not what a tree holds.
    Differs,
    /// Parts of a plan have no receipt whose file is right.
    PartsMissing,
}

impl From<ErrorKind> for FailureKind {
    fn from(kind: ErrorKind) -> FailureKind {
        FailureKind::Library(kind)
    }
}

impl PartialEq<ErrorKind> for FailureKind {
    fn eq(&self, kind: &ErrorKind) -> bool {
        *self == FailureKind::Library(*kind)
    }
}

/// Every kind's name in JSON, and its exit code. These are stable.
const TABLE: [(FailureKind, &str, u8); 24] = [
    (FailureKind::Library(ErrorKind::Io), "io", 1),
    (FailureKind::Library(ErrorKind::Usage), "usage", 2),
    (FailureKind::Library(ErrorKind::Damaged), "damaged", 3),
    (FailureKind::Library(ErrorKind::DigestMismatch), "digest-mismatch", 3),
    (FailureKind::Library(ErrorKind::NoKey), "no-key", 4),
    (FailureKind::Library(ErrorKind::Truncated), "truncated", 5),
    (FailureKind::Library(ErrorKind::TargetExists), "target-exists", 6),
    (FailureKind::Library(ErrorKind::Limit), "limit", 7),
    (FailureKind::Library(ErrorKind::Unsupported), "unsupported", 7),
    (FailureKind::Library(ErrorKind::JournalMismatch), "other-journal", 8),
    (FailureKind::Library(ErrorKind::TargetLocked), "target-held", 9),
    (FailureKind::Library(ErrorKind::DurabilityUnknown), "durability-unknown", 10),
    (FailureKind::Library(ErrorKind::NotAStream), "not-a-stream", 11),
    (FailureKind::Library(ErrorKind::SourceChanged), "source-changed", 12),
    (FailureKind::Library(ErrorKind::Unproven), "unproven", 13),
    (FailureKind::Library(ErrorKind::Stale), "stale", 14),
    (FailureKind::Library(ErrorKind::NoProgress), "no-progress", 15),
    (FailureKind::CheckFailed, "check-failed", 16),
    (FailureKind::Library(ErrorKind::NotSigned), "not-signed", 17),
    (FailureKind::Differs, "different", 18),
    (FailureKind::PartsMissing, "parts-missing", 19),
    (FailureKind::Library(ErrorKind::Denied), "denied", 1),
    (FailureKind::Library(ErrorKind::Exhausted), "exhausted", 1),
    (FailureKind::Library(ErrorKind::Cancelled), "interrupted", interrupt::EXIT_INTERRUPTED),
];

impl Failure {
    pub(crate) fn new(kind: impl Into<FailureKind>, message: impl Into<String>) -> Failure {
        let (kind, message) = (kind.into(), message.into());
        Failure {
            kind,
            message,
            advice: None,
            segment: None,
            frame: None,
            position: None,
            kept: None,
            about: None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(ErrorKind::Usage, message)
    }

    pub(crate) fn io(what: impl fmt::Display, error: io::Error) -> Failure {
        Failure::new(ErrorKind::Io, format!("{what}: {error}"))
    }

    /// A signal came before there was anything to roll back.
    pub(crate) fn interrupted() -> Failure {
        Failure::new(ErrorKind::Cancelled, "interrupted")
    }

    #[must_use]
    pub(crate) fn advise(mut self, advice: impl Into<String>) -> Failure {
        self.advice = Some(advice.into());
        self
    }

    /// Adds a sentence to the advice there is.
    #[must_use]
    pub(crate) fn advise_also(self, sentence: &str) -> Failure {
        let advice =
            self.advice.as_ref().map_or(sentence.to_owned(), |advice| format!("{advice} {sentence}"));
        self.advise(advice)
    }

    /// What has failed is the report alone, of what `done` says.
    #[must_use]
    pub(crate) fn of_report(mut self, done: impl fmt::Display) -> Failure {
        self.message = format!("{done}; only the report of it failed: {}", self.message);
        self
    }

    /// Names `input` in what is a verdict on its bytes.
    #[must_use]
    pub(crate) fn of_input(mut self, input: impl fmt::Display) -> Failure {
        use ErrorKind::{
            Damaged, DigestMismatch, Limit, NoKey, NotAStream, NotSigned, SourceChanged, Stale, Truncated,
            Unsupported,
        };
        if matches!(
            self.kind,
            FailureKind::Library(
                Damaged
                    | DigestMismatch
                    | Limit
                    | NoKey
                    | NotAStream
                    | NotSigned
                    | SourceChanged
                    | Stale
                    | Truncated
                    | Unsupported
            )
        ) {
            self.message = format!("{input}: {}", self.message);
        }
        self
    }

    /// Once a signal has come, what else has failed is no matter.
    #[must_use]
    pub(crate) fn unless_interrupted(self, cancel: &CancelToken) -> Failure {
        if cancel.is_cancelled() { Failure::interrupted() } else { self }
    }

    /// The parts that a commit lacks.
    pub(crate) fn parts(&self) -> Option<&FailedParts> {
        match self.about.as_deref() {
            Some(About::Parts(parts)) => Some(parts),
            _ => None,
        }
    }

    /// The head of the stream that failed, if a key had opened it by then.
    pub(crate) fn head(&self) -> Option<&StreamHead> {
        match self.about.as_deref() {
            Some(About::Stream(head)) => Some(head),
            _ => None,
        }
    }

    /// Says which parts of a plan are to be run, and which of them had been.
    #[must_use]
    pub(crate) fn of_parts(mut self, missing: Vec<u64>, wrong: Vec<u64>) -> Failure {
        self.about = Some(Box::new(About::Parts(FailedParts { missing, wrong })));
        self
    }

    /// Names what of several things has failed.
    #[must_use]
    pub(crate) fn of_part(mut self, name: impl fmt::Display) -> Failure {
        self.message = format!("{name}: {}", self.message);
        self
    }

    /// Key material that came from `origin`.
    pub(crate) fn keys(origin: impl fmt::Display, error: KeyError) -> Failure {
        let mut failure = Failure::from(error);
        failure.message = format!("{origin}: {}", failure.message);
        failure
    }

    pub(crate) fn kind(&self) -> FailureKind {
        self.kind
    }

    /// The kind's name in JSON.
    pub(crate) fn kind_name(&self) -> &'static str {
        self.row().1
    }

    /// What the process exits with; for a signal, that signal's code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            FailureKind::Library(ErrorKind::Cancelled) => interrupt::exit_code(),
            _ => self.row().2,
        }
    }

    fn row(&self) -> &'static (FailureKind, &'static str, u8) {
        TABLE.iter().find(|row| row.0 == self.kind).unwrap_or(&TABLE[0])
    }
}

impl From<cofferdam::Error> for Failure {
    fn from(error: cofferdam::Error) -> Failure {
        Failure {
            kind: error.kind().into(),
            message: with_causes(&error),
            advice: advice_of(&error).map(str::to_owned),
            segment: error.segment(),
            frame: error.frame(),
            position: error.position(),
            kept: error.resumable_bytes(),
            about: error.head().cloned().map(|head| Box::new(About::Stream(head))),
        }
    }
}

impl From<measure::Error> for Failure {
    fn from(error: measure::Error) -> Failure {
        let kind = match error {
            measure::Error::Stream(error) => return error.into(),
            measure::Error::Plan { .. } => ErrorKind::Usage,
            measure::Error::Cancelled => ErrorKind::Cancelled,
            _ => ErrorKind::Io,
        };
        let advice = error.advice().map(str::to_owned);
        Failure { advice, ..Failure::new(kind, with_causes(&error)) }
    }
}

/// What to do about an error, in this command's words where they are others than the library's.
fn advice_of(error: &cofferdam::Error) -> Option<&'static str> {
    error.remedy().and_then(remedy::words).or_else(|| error.advice())
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Failure {
        cofferdam::Error::from(error).into()
    }
}

/// The error and what caused it, each cause once.
pub(crate) fn with_causes(error: &dyn StdError) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !message.contains(&said) {
            message = format!("{message}: {said}");
        }
        cause = error.source();
    }
    message
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use super::*;
    use crate::args::AFTER_HELP;
    use crate::commands::json::OBJECTS;

    #[test]
    fn the_exit_codes_are_those_of_the_documentation() {
        let codes: Vec<u8> = TABLE.iter().map(|row| Failure::new(row.0, "").exit_code()).collect();
        let due = [1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 1, 1, 130];
        assert_eq!(codes, due);
    }

    /// Each kind stands in one row of the table, with its code, and in the help.
    #[test]
    fn the_kinds_are_those_of_operations_and_of_the_help() {
        let operations = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md");
        let operations = std::fs::read_to_string(operations).unwrap();
        let (_, kinds) = OBJECTS.split_once("Kinds of errors").unwrap();
        let (kinds, _) = kinds.split_once(").\n").unwrap();
        for (kind, name, code) in TABLE {
            // Causes of other things have the same names.
            let rows = operations.lines().filter_map(|row| row.strip_prefix("| "));
            let rows = rows.filter(|row| row.starts_with(|first: char| first.is_ascii_digit()));
            let rows = rows.filter(|row| row.contains(&format!("`{name}`")));
            let codes: Vec<&str> = rows.filter_map(|row| row.split([' ', ',']).next()).collect();
            assert_eq!(codes, [code.to_string()], "{kind:?}");
            assert!(kinds.split([' ', ',', '\n']).any(|word| word == name), "{kind:?}");
            assert!(AFTER_HELP.contains(&format!("\n{code:>5}  ")), "{kind:?}");
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let inner = io::Error::other("disk on fire");
        let outer = io::Error::other(inner);
        assert_eq!(with_causes(&outer), "disk on fire");
    }
}
