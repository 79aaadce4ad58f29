//! Owns what can go wrong with keys, grouped by who is to blame.
//! Refuses to know exit codes and the stream around the slots; no message holds anything secret.

use std::fmt;

/// Why keys could not be made, read or wrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The caller gave key material that cannot be read, or that this build does not support.
    Unreadable {
        /// What was being read.
        what: KeyMaterial,
        /// The line of the text, counted from 1, where there are lines.
        line: Option<usize>,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The caller gave nobody who could open the stream.
    NoRecipients,
    /// The caller asks for more than the format holds.
    TooMany {
        /// What there is too much of, with its unit.
        what: &'static str,
        /// How many were asked for.
        count: usize,
        /// How many the format allows.
        max: usize,
    },
    /// A recipient did not take the stream key: its plugin or service failed, or it cannot stand beside the others.
    Recipient {
        /// What age, the plugin or the service said.
        problem: String,
    },
    /// The caller gave recipients that do not go together in what is made.
    Unsuitable {
        /// Which, and why.
        problem: &'static str,
    },
    /// A passphrase takes more memory than the operating system gives.
    Memory {
        /// Bytes that were asked for.
        needed: usize,
    },
    /// The operating system gave no random numbers.
    Random {
        /// What it said.
        problem: String,
    },
}

impl KeyError {
    pub(crate) fn unreadable(what: KeyMaterial, problem: impl Into<String>) -> Self {
        Self::Unreadable { what, line: None, problem: problem.into() }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { what, line: None, problem } => write!(f, "{what}: {problem}"),
            Self::Unreadable { what, line: Some(line), problem } => {
                write!(f, "{what}, line {line}: {problem}")
            }
            Self::NoRecipients => {
                write!(f, "nobody could open the stream: give a recipient, a passphrase or a key file")
            }
            Self::TooMany { what, count, max } => {
                write!(f, "{count} {what}, the format allows {max}")
            }
            Self::Recipient { problem } => {
                write!(f, "the stream key could not be wrapped for a recipient: {problem}")
            }
            Self::Unsuitable { problem } => f.write_str(problem),
            Self::Memory { needed } => {
                write!(f, "there is no memory for a passphrase's slot, which takes {} MiB", needed >> 20)
            }
            Self::Random { problem } => {
                write!(f, "the operating system gave no random numbers: {problem}")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// What the age library or a plugin said, on one line. The marks of direction that age puts around names, which nobody
/// sees, are left out.
#[cfg(any(feature = "age", test))]
pub(crate) fn said(by: impl fmt::Display) -> String {
    let text = by.to_string().replace(['\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}'], "");
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The kinds of key material that a caller hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyMaterial {
    /// A recipient string, or a file of them.
    Recipient,
    /// An identity file: age's own, or an SSH private key.
    IdentityFile,
    /// A passphrase or its work factor.
    Passphrase,
    /// A key file of 32 bytes.
    KeyFile,
    /// A key wrapped by an external service.
    ExternalKey,
}

impl fmt::Display for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recipient => "recipient",
            Self::IdentityFile => "identity file",
            Self::Passphrase => "passphrase",
            Self::KeyFile => "key file",
            Self::ExternalKey => "external key",
        })
    }
}

/// Why no slot gave the stream key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnwrapError {
    /// No slot opens with the identities given.
    NoKey {
        /// How many slots there are.
        slots: usize,
        /// Why an identity that might have opened one did not: a plugin's message, a hook's error.
        notes: Vec<String>,
    },
    /// A slot opened, but its key is not the stream's: the slot belongs to another stream, or was replaced.
    Mismatch {
        /// The first such slot, counted from 0.
        slot: usize,
    },
    /// A slot's bytes are wrong.
    Malformed {
        /// The slot, counted from 0.
        slot: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A passphrase slot takes more memory than the operating system gives. Whether it would have opened is not known.
    Memory {
        /// The slot, counted from 0.
        slot: usize,
        /// Bytes that were asked for.
        needed: usize,
    },
    /// The caller has cancelled.
    Cancelled,
    /// A count, a size or a work factor is above its limit.
    Limit {
        /// The slot, counted from 0; absent where the slots together are too many or too long.
        slot: Option<usize>,
        /// What is too large, with its unit.
        what: &'static str,
        /// What was found.
        found: u64,
        /// The limit.
        max: u64,
    },
}

impl fmt::Display for UnwrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey { slots, notes } => {
                match slots {
                    1 => f.write_str("the one key slot does not open with what was given")?,
                    _ => write!(f, "none of the {slots} key slots opens with what was given")?,
                }
                notes.iter().try_for_each(|note| write!(f, "; {note}"))
            }
            Self::Mismatch { slot } => write!(
                f,
                "key slot {slot} opens, but its key is not this stream's: the slot was replaced or the \
                 preamble is damaged"
            ),
            Self::Malformed { slot, problem } => write!(f, "key slot {slot} is damaged: {problem}"),
            Self::Memory { slot, needed } => {
                write!(
                    f,
                    "there is no memory for the passphrase of key slot {slot}, which takes {} MiB",
                    needed >> 20
                )
            }
            Self::Cancelled => f.write_str("interrupted"),
            Self::Limit { slot: Some(slot), what, found, max } => {
                write!(f, "key slot {slot} has {found} {what}, at most {max} are accepted")
            }
            Self::Limit { slot: None, what, found, max } => {
                write!(f, "the key area has {found} {what}, at most {max} are accepted")
            }
        }
    }
}

impl std::error::Error for UnwrapError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_library_says_in_lines_is_said_in_one_without_marks_that_nobody_sees() {
        assert_eq!(said("no such plugin"), "no such plugin");
        assert_eq!(
            said("\n  could not find\n\n\u{2068}age-plugin-x\u{2069}  \non the path\n"),
            "could not find age-plugin-x on the path"
        );
        assert_eq!(said(""), "");
    }
}
