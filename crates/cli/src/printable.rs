//! Text on its way to a person: what would steer a terminal, or be seen by nobody, is written out.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::{Serialize, Serializer};

use crate::text::Text;

/// `text` as one line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, steers)
}

/// `text` with the line ends that it has.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| character != '\n' && steers(character))
}

/// The name of a file, as it is: any bytes. In JSON a string where it is UTF-8, else `{"hex": …}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Name(Vec<u8>);

impl From<&Path> for Name {
    fn from(path: &Path) -> Name {
        Name::from(path.as_os_str())
    }
}

impl From<&OsStr> for Name {
    fn from(name: &OsStr) -> Name {
        Name(name.as_bytes().to_vec())
    }
}

impl fmt::Display for Name {
    /// On one line; bytes that are not UTF-8 as `\xff`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.utf8_chunks().try_for_each(|chunk| {
            f.write_str(&line(chunk.valid()))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))
        })
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Text::of(&self.0).serialize(serializer)
    }
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let escape = |character: char| match is_escaped(character) {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    Cow::Owned(text.chars().map(escape).collect())
}

/// Whether a character acts on the terminal, or on the text around it, rather than being seen. Joiners (U+200C, U+200D)
/// are part of how words and emoji look, and stay.
pub(crate) fn steers(character: char) -> bool {
    character.is_control() || UNSEEN.iter().any(|range| range.contains(&character))
}

/// Format characters and separators of Unicode that turn text around, break lines, or take no room.
const UNSEEN: [std::ops::RangeInclusive<char>; 9] = [
    '\u{ad}'..='\u{ad}',       // soft hyphen
    '\u{61c}'..='\u{61c}',     // Arabic letter mark
    '\u{180e}'..='\u{180e}',   // Mongolian vowel separator
    '\u{200b}'..='\u{200b}',   // zero width space
    '\u{200e}'..='\u{200f}',   // left-to-right and right-to-left mark
    '\u{2028}'..='\u{202e}',   // line and paragraph separator; embeddings and overrides
    '\u{2060}'..='\u{206f}',   // word joiner, invisible operators, isolates
    '\u{feff}'..='\u{feff}',   // byte order mark
    '\u{e0000}'..='\u{e007f}', // tags
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        let cases = [
            ("plain text, äöü, 日本", "plain text, äöü, 日本"),
            ("e\x1b]0;title\x07", "e\\u{1b}]0;title\\u{7}"),
            ("a\tb\rc\u{7f}\u{9b}2J", "a\\tb\\rc\\u{7f}\\u{9b}2J"),
            ("\u{2068}yubikey\u{2069}", "\\u{2068}yubikey\\u{2069}"),
            ("txt\u{202e}exe", "txt\\u{202e}exe"),
            ("\u{feff}x\u{200b}\u{2028}", "\\u{feff}x\\u{200b}\\u{2028}"),
            ("family 👩\u{200d}👧", "family 👩\u{200d}👧"),
        ];
        for (text, shown) in cases {
            assert_eq!(line(text), shown);
            assert_eq!(lines(text), shown);
        }
    }

    #[test]
    fn a_line_end_stays_where_there_may_be_several_lines_alone() {
        assert_eq!(line("two\nlines"), "two\\nlines");
        assert_eq!(lines("two\nlines"), "two\nlines");
    }

    #[test]
    fn a_name_is_shown_on_one_line_and_told_exactly_in_json() {
        let cases: [(&[u8], &str, &str); 3] = [
            (b"db.img", "db.img", r#""db.img""#),
            (b"two\nlines\x1b", "two\\nlines\\u{1b}", r#""two\nlines\u001b""#),
            (b"n\xffm\xc3", "n\\xffm\\xc3", r#"{"hex":"6eff6dc3"}"#),
        ];
        for (bytes, shown, json) in cases {
            let name = Name::from(OsStr::from_bytes(bytes));
            assert_eq!(name.to_string(), shown);
            assert_eq!(serde_json::to_string(&name).unwrap(), json);
        }
    }
}
