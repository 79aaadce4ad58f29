//! Owns one vector: the stream, the key to try, what a reader must say, and the text of its file.
//! Refuses to know how the stream came about.

use super::crypto::sha256;
use super::plan::CALLER_KEY;
use super::sealed::Sealed;

/// An age identity made for the vectors alone. It opens `stream-key.age` and the two faulty age files.
pub(super) const IDENTITY: &str =
    "AGE-SECRET-KEY-18R6VLL0W7TZ7HC585A5RAM8V02HKUNVYTNHNYZYG4P9QYC8G464S2E05N5";
/// Another one. It opens `stream-key.age` alone, as its second recipient.
pub(super) const SECOND_IDENTITY: &str =
    "AGE-SECRET-KEY-1PW3KC73HUFMVJGVPYK53NL28LYZESHJFMRVMGHUXQ9J8NYN0NTESJQATNZ";

pub(super) struct Case {
    name: String,
    comment: String,
    expect: Expect,
    key: CaseKey,
    facts: Vec<String>,
    sealed: Vec<u8>,
}

/// The verdict classes of docs/vectors/README.md.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expect {
    Success,
    Damaged,
    NotAStream,
    Truncated,
    NoKey,
    Limit,
    Unsupported,
}

#[derive(Clone, Copy)]
pub(super) enum CaseKey {
    KeyFile([u8; 32]),
    Identity(&'static str),
}

impl Case {
    /// A stream that opens with `CALLER_KEY`.
    pub(super) fn good(name: &str, comment: &str, sealed: Sealed) -> Case {
        let facts = vec![
            format!("plaintext-sha256: {}", hex::encode(sha256(&sealed.plaintext))),
            format!("plaintext-len: {}", sealed.plaintext.len()),
            format!("stream-digest: {}", hex::encode(sealed.stream_digest)),
        ];
        Case { facts, ..Case::bad(name, Expect::Success, comment, sealed) }
    }

    /// A stream that must be refused to the holder of `CALLER_KEY`.
    pub(super) fn bad(name: &str, expect: Expect, comment: &str, sealed: Sealed) -> Case {
        Case {
            name: name.to_owned(),
            comment: comment.to_owned(),
            expect,
            key: CaseKey::KeyFile(CALLER_KEY),
            facts: Vec::new(),
            sealed: sealed.bytes,
        }
    }

    pub(super) fn damaged(name: &str, comment: &str, sealed: Sealed) -> Case {
        Case::bad(name, Expect::Damaged, comment, sealed)
    }

    pub(super) fn key(self, key: CaseKey) -> Case {
        Case { key, ..self }
    }

    pub(super) fn metadata(mut self, entries: &[(&str, &str)]) -> Case {
        self.facts.extend(
            entries
                .iter()
                .map(|(key, value)| format!("metadata: {}={}", hex::encode(key), hex::encode(value))),
        );
        self
    }

    /// Opens, but a full verification calls it damaged.
    pub(super) fn verifies_as_damaged(mut self) -> Case {
        self.facts.push("verify: damaged".to_owned());
        self
    }

    /// Names the clause of FORMAT that the comment is about.
    pub(super) fn clause(mut self, clause: &str) -> Case {
        self.comment = format!("{} (FORMAT {clause})", self.comment);
        self
    }

    pub(super) fn file_name(&self) -> String {
        format!("{}.cfdv", self.name)
    }

    /// Header lines, an empty line, and the sealed bytes as they are.
    pub(super) fn file(&self) -> Vec<u8> {
        let key = match self.key {
            CaseKey::KeyFile(bytes) => format!("key: {}", hex::encode(bytes)),
            CaseKey::Identity(text) => format!("identity: {text}"),
        };
        let mut lines = vec![format!("expect: {}", self.expect.class()), key];
        lines.extend(self.facts.iter().cloned());
        lines.push(format!("comment: {}", self.comment));
        [format!("{}\n\n", lines.join("\n")).as_bytes(), &self.sealed].concat()
    }
}

impl Expect {
    pub(super) fn class(self) -> &'static str {
        match self {
            Expect::Success => "success",
            Expect::Damaged => "damaged",
            Expect::NotAStream => "not a stream",
            Expect::Truncated => "truncated",
            Expect::NoKey => "no key",
            Expect::Limit => "limit",
            Expect::Unsupported => "unsupported",
        }
    }
}

#[cfg(test)]
impl Case {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn expect(&self) -> Expect {
        self.expect
    }

    pub(super) fn key_given(&self) -> CaseKey {
        self.key
    }

    pub(super) fn sealed(&self) -> &[u8] {
        &self.sealed
    }
}
