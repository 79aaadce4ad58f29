//! Records as JSON in which nothing steers a terminal: such characters are written as `\u009b`, which parses to the same string.
//! Knows no record.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::printable::steers;

/// `record` on one line, without a line end.
pub(crate) fn to_string(record: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    // Records hold strings, numbers and lists of them: there is nothing that JSON could refuse, and memory takes all.
    let _ = write(&mut bytes, record);
    String::from_utf8(bytes).unwrap_or_default()
}

/// Writes `record` on one line, without a line end.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write(out: &mut impl Write, record: &impl Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, Escaping);
    Ok(record.serialize(&mut serializer)?)
}

/// As compact JSON; of strings, more than JSON demands is escaped.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| steers(*character)) {
            CompactFormatter.write_string_fragment(out, &rest[..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = &rest[at + character.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(out, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_escaped_and_parses_to_the_same() {
        let cases = [
            ("plain \u{e4}\u{65e5}", "\"plain \u{e4}\u{65e5}\""),
            ("a\u{9b}2Jb", r#""a\u009b2Jb""#),
            ("txt\u{202e}exe", r#""txt\u202eexe""#),
            ("\u{7f}", r#""\u007f""#),
            ("e\x1b]0;\n\"\\", r#""e\u001b]0;\n\"\\""#),
            ("\u{e0041}\u{2028}", r#""\udb40\udc41\u2028""#),
        ];
        for (text, expected) in cases {
            let written = to_string(&text);
            assert_eq!(written, expected);
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }
        // A key, too; and what is no string is as it was.
        let record = serde_json::json!({"k\u{85}": [1, null, true, "x"]});
        assert_eq!(to_string(&record), r#"{"k\u0085":[1,null,true,"x"]}"#);
    }
}
