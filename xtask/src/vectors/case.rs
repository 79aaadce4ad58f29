//! Owns one vector: the stream, the key to try, what a reader must say, and the text of its file.
//! Refuses to know how the stream came about.

use super::crypto::sha256;
use super::plan::CALLER_KEY;
use super::sealed::Sealed;

/// An age identity made for the vectors alone. It is the one recipient, or the first, of all age files without a passphrase.
pub(super) const IDENTITY: &str =
    "AGE-SECRET-KEY-18R6VLL0W7TZ7HC585A5RAM8V02HKUNVYTNHNYZYG4P9QYC8G464S2E05N5";
/// Another one. It opens `stream-key.age` alone, as its second recipient.
pub(super) const SECOND_IDENTITY: &str =
    "AGE-SECRET-KEY-1PW3KC73HUFMVJGVPYK53NL28LYZESHJFMRVMGHUXQ9J8NYN0NTESJQATNZ";

/// The passphrase of `passphrase-10.age` and its like.
pub(super) const PASSPHRASE: &str = "correct horse battery staple";

pub(super) struct Case {
    name: String,
    comment: String,
    expect: Verdicts,
    keys: Vec<CaseKey>,
    facts: Vec<String>,
    slow: bool,
    content: Content,
}

/// What each kind of reader must say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Verdicts {
    /// A restore from a pipe, with the keys.
    pub(super) sequential: Expect,
    /// A verification without any key.
    pub(super) keyless: Expect,
    /// A restore from a file, by the index.
    pub(super) random_access: Expect,
    /// A complete verification with the keys, from a pipe.
    pub(super) verify: Expect,
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
    Passphrase(&'static str),
}

/// The sealed bytes, or how they differ from those of another case.
enum Content {
    Whole(Vec<u8>),
    Patched { base: String, base_bytes: Vec<u8>, bytes: Vec<u8> },
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
        let (sequential, keyless, random_access, verify) = (expect, expect, expect, expect);
        Case {
            name: name.to_owned(),
            comment: comment.to_owned(),
            expect: Verdicts { sequential, keyless, random_access, verify },
            keys: vec![CaseKey::KeyFile(CALLER_KEY)],
            facts: Vec::new(),
            slow: false,
            content: Content::Whole(sealed.bytes),
        }
    }

    pub(super) fn damaged(name: &str, comment: &str, sealed: Sealed) -> Case {
        Case::bad(name, Expect::Damaged, comment, sealed)
    }

    pub(super) fn key(self, key: CaseKey) -> Case {
        self.keys(&[key])
    }

    /// All of these, in place of `CALLER_KEY`.
    pub(super) fn keys(self, keys: &[CaseKey]) -> Case {
        Case { keys: keys.to_vec(), ..self }
    }

    pub(super) fn metadata(mut self, entries: &[(&str, &str)]) -> Case {
        self.facts.extend(
            entries
                .iter()
                .map(|(key, value)| format!("metadata: {}={}", hex::encode(key), hex::encode(value))),
        );
        self
    }

    /// What a reader without a key says, where that is not what the holder of one says.
    pub(super) fn keyless(mut self, expect: Expect) -> Case {
        self.expect.keyless = expect;
        self
    }

    /// The digest is *tags*, which nobody can verify without a key (FORMAT F13.12).
    pub(super) fn refused_without_a_key(self) -> Case {
        self.keyless(Expect::Unsupported)
    }

    /// A key copy is not good: a complete verification says so before all that comes behind it.
    pub(super) fn verifies_as_damaged(mut self) -> Case {
        (self.expect.verify, self.expect.keyless) = (Expect::Damaged, Expect::Damaged);
        self
    }

    /// Takes seconds and 1 GiB to open.
    pub(super) fn slow(self) -> Case {
        Case { slow: true, ..self }
    }

    /// Written down as what differs from the stream of `base`, unless that is shorter: a patch changes and cuts.
    pub(super) fn patch_of(mut self, base: &str, base_bytes: &[u8]) -> Case {
        self.content = match self.content {
            Content::Whole(bytes) if bytes.len() <= base_bytes.len() => {
                Content::Patched { base: base.to_owned(), base_bytes: base_bytes.to_vec(), bytes }
            }
            other => other,
        };
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

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Header lines, an empty line, and the sealed bytes as they are, unless they are a patch.
    pub(super) fn file(&self) -> Vec<u8> {
        let Verdicts { sequential, keyless, random_access, verify } = self.expect;
        let mut lines = vec![
            format!("sequential: {}", sequential.class()),
            format!("keyless: {}", keyless.class()),
            format!("random-access: {}", random_access.class()),
        ];
        if verify != sequential {
            lines.push(format!("verify: {}", verify.class()));
        }
        lines.extend(self.keys.iter().map(CaseKey::line));
        lines.extend(self.facts.iter().cloned());
        if self.slow {
            lines.push("slow: scrypt takes seconds and 1 GiB".to_owned());
        }
        lines.push(format!("comment: {}", self.comment));
        let bytes: &[u8] = match &self.content {
            Content::Whole(bytes) => bytes,
            Content::Patched { base, base_bytes, bytes } => {
                lines.push(format!("base: {base}.cfdv"));
                lines.push(format!("len: {}", bytes.len()));
                lines.extend(patches(base_bytes, bytes));
                &[]
            }
        };
        [format!("{}\n\n", lines.join("\n")).as_bytes(), bytes].concat()
    }
}

impl CaseKey {
    fn line(&self) -> String {
        match self {
            CaseKey::KeyFile(bytes) => format!("key: {}", hex::encode(bytes)),
            CaseKey::Identity(text) => format!("identity: {text}"),
            CaseKey::Passphrase(text) => format!("passphrase: {text}"),
        }
    }
}

/// A line for each run of bytes that differ.
fn patches(base: &[u8], bytes: &[u8]) -> Vec<String> {
    let differs = |at: &usize| base[*at] != bytes[*at];
    let mut lines = Vec::new();
    let mut at = 0;
    while let Some(start) = (at..bytes.len()).find(differs) {
        let end = (start..bytes.len()).find(|at| !differs(at)).unwrap_or(bytes.len());
        lines.push(format!("patch: {start}={}", hex::encode(&bytes[start..end])));
        at = end;
    }
    lines
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
    pub(super) fn expect(&self) -> Verdicts {
        self.expect
    }

    pub(super) fn keys_given(&self) -> &[CaseKey] {
        &self.keys
    }

    pub(super) fn is_slow(&self) -> bool {
        self.slow
    }

    pub(super) fn sealed(&self) -> &[u8] {
        match &self.content {
            Content::Whole(bytes) | Content::Patched { bytes, .. } => bytes,
        }
    }
}
