//! Lines of a record: a word, a space, values with a space between them; the last line is the MAC over all before it.
//! It knows no record. What it reads has one spelling, so two texts that differ never say the same.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

use crate::{PATH_LEN_MAX, PlanKey, RecordError};

/// A record that is written.
pub(crate) struct Writer(String);

impl Writer {
    /// Of this `kind`, in its version 1.
    pub(crate) fn new(kind: &str) -> Writer {
        Writer(format!("{kind} 1\n"))
    }

    pub(crate) fn line(&mut self, word: &str, values: &[&dyn fmt::Display]) {
        self.0.push_str(word);
        for value in values {
            write!(self.0, " {value}").expect("a string takes everything");
        }
        self.0.push('\n');
    }

    /// Without a MAC: who vouches for it says so elsewhere.
    pub(crate) fn finish_unauthenticated(self) -> String {
        self.0
    }

    pub(crate) fn finish(mut self, key: &PlanKey) -> String {
        let mac = key.mac(self.0.as_bytes());
        self.line("mac", &[&Hex(&mac)]);
        self.0
    }
}

/// A record that is read: authentic, line by line.
pub(crate) struct Lines<'a> {
    rest: &'a str,
    /// Number of the line that comes next.
    number: usize,
}

impl<'a> Lines<'a> {
    /// Checks kind and MAC, and gives the lines between them.
    pub(crate) fn of(
        text: &'a [u8],
        kind: &str,
        len_max: usize,
        key: &PlanKey,
    ) -> Result<Lines<'a>, RecordError> {
        if text.len() > len_max {
            return Err(RecordError::TooLong);
        }
        let head = format!("{kind} 1\n");
        if !text.starts_with(head.as_bytes()) {
            return Err(of_other_kind(text, kind));
        }
        let end = text.len().checked_sub(MAC_LINE_LEN).filter(|end| *end >= head.len());
        let (clear, mac) = text.split_at(end.ok_or(RecordError::Forged)?);
        let mac = mac.strip_prefix(b"mac ").and_then(|mac| mac.strip_suffix(b"\n"));
        let mac = mac.and_then(|mac| std::str::from_utf8(mac).ok()).and_then(parse_hex);
        if !clear.ends_with(b"\n") || !mac.is_some_and(|mac| key.verify(clear, &mac)) {
            return Err(RecordError::Forged);
        }
        Lines::after(clear, head.len())
    }

    /// The lines of a text that has no MAC.
    pub(crate) fn unauthenticated(
        text: &'a [u8],
        kind: &str,
        len_max: usize,
    ) -> Result<Lines<'a>, RecordError> {
        if text.len() > len_max {
            return Err(RecordError::TooLong);
        }
        let head = format!("{kind} 1\n");
        if !text.starts_with(head.as_bytes()) {
            return Err(of_other_kind(text, kind));
        }
        Lines::after(text, head.len())
    }

    fn after(clear: &'a [u8], head_len: usize) -> Result<Lines<'a>, RecordError> {
        let clear = std::str::from_utf8(clear).map_err(|_| RecordError::Malformed { line: 1 })?;
        Ok(Lines { rest: &clear[head_len..], number: 2 })
    }

    /// The values of the next line, which has to begin with `word` and to have as many of them.
    pub(crate) fn line<const N: usize>(&mut self, word: &str) -> Result<Values<'a, N>, RecordError> {
        let malformed = RecordError::Malformed { line: self.number };
        let (line, rest) = self.rest.split_once('\n').ok_or(malformed)?;
        let mut words = line.split(' ');
        if words.next() != Some(word) {
            return Err(malformed);
        }
        let values = [(); N].map(|()| words.next().unwrap_or_default());
        if words.next().is_some() || values.contains(&"") {
            return Err(malformed);
        }
        (self.rest, self.number) = (rest, self.number + 1);
        Ok(Values { values, malformed })
    }

    /// The same of a line that need not be there.
    pub(crate) fn line_if_there<const N: usize>(
        &mut self,
        word: &str,
    ) -> Result<Option<Values<'a, N>>, RecordError> {
        let is_there = self.rest.strip_prefix(word).is_some_and(|rest| rest.starts_with(' '));
        if is_there { self.line(word).map(Some) } else { Ok(None) }
    }

    /// Nothing follows.
    pub(crate) fn end(&self) -> Result<(), RecordError> {
        if self.rest.is_empty() { Ok(()) } else { Err(RecordError::Malformed { line: self.number }) }
    }
}

/// Of a text that is not of this `kind`, in its version 1.
fn of_other_kind(text: &[u8], kind: &str) -> RecordError {
    let version = text.strip_prefix(kind.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
    match version {
        Some([digit, ..]) if digit.is_ascii_digit() => RecordError::OtherVersion,
        _ => RecordError::OtherKind,
    }
}

/// The values of a line.
pub(crate) struct Values<'a, const N: usize> {
    values: [&'a str; N],
    malformed: RecordError,
}

impl<const N: usize> Values<'_, N> {
    pub(crate) fn number(&self, index: usize) -> Result<u64, RecordError> {
        parse_number(self.values[index]).ok_or(self.malformed)
    }

    pub(crate) fn range(&self, index: usize) -> Result<Range<u64>, RecordError> {
        Ok(self.number(index)?..self.number(index + 1)?)
    }

    pub(crate) fn bytes<const LEN: usize>(&self, index: usize) -> Result<[u8; LEN], RecordError> {
        parse_hex(self.values[index]).ok_or(self.malformed)
    }

    pub(crate) fn path(&self, index: usize) -> Result<OsString, RecordError> {
        let decoded: Vec<u8> = percent_decode_str(self.values[index]).collect();
        let path = OsString::from_vec(decoded);
        // One spelling alone.
        let is_usable = path.len() <= PATH_LEN_MAX && Quoted(&path).to_string() == self.values[index];
        if is_usable { Ok(path) } else { Err(self.malformed) }
    }

    pub(crate) fn word(&self, index: usize) -> &str {
        self.values[index]
    }

    /// Of a value that is none of those that it may be.
    pub(crate) fn malformed(&self) -> RecordError {
        self.malformed
    }
}

/// Bytes as hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// A path or a URL as one word of ASCII.
pub(crate) struct Quoted<'a>(pub(crate) &'a OsStr);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        percent_encode(self.0.as_bytes(), QUOTED).fmt(out)
    }
}

/// Decimal digits without a sign and without leading zeros.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let is_spelt = text == "0" || !text.starts_with('0');
    (is_spelt && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Lower-case hexadecimal digits, of exactly so many bytes.
pub(crate) fn parse_hex<const LEN: usize>(text: &str) -> Option<[u8; LEN]> {
    let digits = text.as_bytes();
    let is_spelt = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() != 2 * LEN || !is_spelt {
        return None;
    }
    let mut bytes = [0; LEN];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(bytes)
}

const QUOTED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');
/// `mac `, the digits, and the line end.
const MAC_LINE_LEN: usize = 4 + 64 + 1;
