//! Bytes and numbers as text: hexadecimal, counts, pace, names of suites and digests.

use std::fmt;
use std::time::Duration;

use cofferdam::{Compression, DigestKind, Metadata, Suite};
use serde::Serialize;

use crate::printable;
use crate::size::Size;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `1 segment`, `2 segments`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// `sentence` about `number` things: of `{it was|they were}` it has what is for one, or for several.
pub(crate) fn agree(number: u64, sentence: &str) -> String {
    let mut text = String::new();
    let mut rest = sentence;
    while let Some((before, (choice, after))) =
        rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    {
        let (one, several) = choice.split_once('|').unwrap_or((choice, choice));
        text.extend([before, if number == 1 { one } else { several }]);
        rest = after;
    }
    text + rest
}

/// Bytes a second, in words.
pub(crate) fn pace(bytes: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    if seconds <= 0.0 {
        return "at once".to_owned();
    }
    format!("{}/s", Size((bytes as f64 / seconds) as u64))
}

/// As `--suite` names it.
pub(crate) fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::Aes256Gcm => "aes256gcm",
        Suite::ChaCha20Poly1305 => "chacha20poly1305",
    }
}

pub(crate) fn compression_name(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "none",
        Compression::Zstd => "zstd",
    }
}

/// As `--digest` names it.
pub(crate) fn digest_name(digest: DigestKind) -> &'static str {
    match digest {
        DigestKind::Blake3 => "blake3",
        DigestKind::Sha256 => "sha256",
        DigestKind::Tags => "tags",
    }
}

/// Bytes that are mostly text.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Text {
    Utf8(String),
    Hex { hex: String },
}

impl Text {
    pub(crate) fn of(bytes: &[u8]) -> Text {
        match std::str::from_utf8(bytes) {
            Ok(text) => Text::Utf8(text.to_owned()),
            Err(_) => Text::Hex { hex: hex(bytes) },
        }
    }
}

impl fmt::Display for Text {
    /// On one line, whatever it holds: metadata comes from whoever made the stream.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::Utf8(text) => f.write_str(&printable::line(text)),
            Text::Hex { hex } => write!(f, "0x{hex}"),
        }
    }
}

/// A pair of a stream's metadata.
#[derive(Serialize)]
pub(crate) struct Pair {
    pub(crate) key: Text,
    pub(crate) value: Text,
}

impl Pair {
    /// Whether the program itself has put it there.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(&self.key, Text::Utf8(key) if key.starts_with("cofferdam."))
    }
}

/// A stream's metadata.
pub(crate) fn pairs(metadata: &Metadata) -> Vec<Pair> {
    metadata.iter().map(|(key, value)| Pair { key: Text::of(key), value: Text::of(value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(&[0, 0x7f, 0xff]), "007fff");
    }

    #[test]
    fn a_sentence_agrees_with_its_number() {
        let said = |number| agree(number, "had changed while {it was|they were} sealed: {its|their} bytes");
        assert_eq!(said(1), "had changed while it was sealed: its bytes");
        assert_eq!([said(0), said(2)], ["had changed while they were sealed: their bytes"; 2]);
        assert_eq!(agree(1, "nothing to choose"), "nothing to choose");
    }

    #[test]
    fn control_characters_of_metadata_do_not_reach_the_terminal() {
        assert_eq!(Text::of(b"a\x1b[2Jb\n").to_string(), "a\\u{1b}[2Jb\\n");
        assert_eq!(Text::of(&[0xff, 0]).to_string(), "0xff00");
    }
}
