//! Owns the header of an age v1 file: its grammar, the number of its stanzas, and what kind of key they ask for.
//! Refuses to know ciphers, and what stands behind the header.
//!
//! The age library reads header and payload nonce in one step, and says of either that the file is invalid. A reader of
//! this format has to tell a header that is none (FORMAT F5.2: final, whoever reads) from one that nobody can open (F5.13:
//! a fault of this slot, found by whoever tries it). So the grammar is checked here, and the library opens.

use std::ops::Range;

use crate::slot::{SLOT_COUNT_MAX, SlotFault};

/// The header of an age file, as far as it matters before anything is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AgeHeader {
    /// What opens the file.
    pub(crate) lock: Lock,
    /// Bytes of the header, the line that ends it included.
    pub(crate) len: usize,
}

/// What an age file asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Identities other than a passphrase.
    Identity,
    /// A passphrase and nothing else, stretched so hard. `None`: the stanza says no work factor.
    Passphrase(Option<WorkFactor>),
    /// A passphrase beside something else, which age forbids.
    Mixed,
}

/// The binary logarithm of scrypt's N, of any size: what is too large for a `u64` is the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WorkFactor(pub(crate) u64);

impl WorkFactor {
    /// Bytes that scrypt takes with age's r of 8. The factor is within its limit.
    pub(crate) fn memory(self) -> usize {
        debug_assert!(self.0 <= u64::from(WORK_FACTOR_MAX));
        SCRYPT_BLOCK_LEN << self.0
    }

    /// scrypt's N. The factor is within its limit.
    pub(crate) fn work(self) -> u64 {
        debug_assert!(self.0 <= u64::from(WORK_FACTOR_MAX));
        1 << self.0
    }

    /// Of the stanza's arguments, the second: digits without a zero before them (C2SP, age).
    fn parse(arguments: &[&[u8]]) -> Option<WorkFactor> {
        let [_salt, digits] = arguments else { return None };
        if digits.is_empty() || digits[0] == b'0' || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let value = digits
            .iter()
            .fold(0_u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
        Some(WorkFactor(value))
    }
}

/// Parses the header that `body` begins with. Stanzas are counted before anything is parsed.
pub(crate) fn parse(body: &[u8]) -> Result<AgeHeader, SlotFault> {
    let count = stanza_count(body);
    if count > STANZA_COUNT_MAX {
        return Err(SlotFault::Limit {
            what: "age stanzas",
            found: count as u64,
            max: STANZA_COUNT_MAX as u64,
        });
    }
    let mut lines = Lines { rest: body };
    let header = Header::read(&mut lines).ok_or(SlotFault::Malformed("it is not an age v1 file"))?;
    Ok(AgeHeader { lock: header.lock(), len: body.len() - lines.rest.len() })
}

/// A stanza, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StanzaPlace<'a> {
    /// Its first line without the mark: its type, and what follows that. Visible ASCII characters.
    pub(crate) arguments: Vec<&'a str>,
    /// All of its lines, in the body of the slot.
    pub(crate) lines: Range<usize>,
}

impl StanzaPlace<'_> {
    pub(crate) fn kind(&self) -> &str {
        self.arguments[0]
    }

    /// Whether it is nobody's: age adds such a stanza, for readers to pass over.
    pub(crate) fn is_grease(&self) -> bool {
        self.kind().ends_with("-grease")
    }
}

/// The stanzas of the header that `body` begins with, which [`parse`] has passed.
pub(crate) fn stanzas(body: &[u8]) -> Vec<StanzaPlace<'_>> {
    let mut lines = Lines { rest: body };
    let at = |lines: &Lines<'_>| body.len() - lines.rest.len();
    let mut stanzas = Vec::new();
    lines.next();
    loop {
        let begin = at(&lines);
        let Some(first) = lines.next().and_then(|line| line.strip_prefix(b"-> ")) else { return stanzas };
        let text = std::str::from_utf8(first).unwrap_or_default();
        if pass_stanza_body(&mut lines).is_none() {
            return stanzas;
        }
        stanzas.push(StanzaPlace { arguments: text.split(' ').collect(), lines: begin..at(&lines) });
    }
}

/// Counts the lines that begin a stanza, up to the line that ends the header. The body of a stanza is base64,
/// which has neither `-` nor `>`, so no other line of a header begins so.
pub(crate) fn stanza_count(body: &[u8]) -> usize {
    let header = body.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"---"));
    header.filter(|line| line.starts_with(b"-> ")).count()
}

/// The first argument of each stanza, which says its kind, in the order of the header. It has been parsed.
pub(crate) fn stanza_kinds(body: &[u8]) -> Vec<String> {
    let header = body.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"---"));
    let kinds = header.filter_map(|line| line.strip_prefix(b"-> ")?.split(|byte| *byte == b' ').next());
    kinds.map(|kind| String::from_utf8_lossy(kind).into_owned()).collect()
}

/// The stanzas by what they ask for.
struct Header {
    stanzas: usize,
    scrypt: Option<Option<WorkFactor>>,
}

impl Header {
    /// `None` for what breaks the grammar.
    fn read(lines: &mut Lines<'_>) -> Option<Header> {
        if lines.next()? != VERSION {
            return None;
        }
        let mut header = Header { stanzas: 0, scrypt: None };
        loop {
            let line = lines.next()?;
            let Some(arguments) = line.strip_prefix(b"-> ") else {
                let mac = line.strip_prefix(b"--- ")?;
                return (header.stanzas > 0 && mac.len() == MAC_LEN && is_base64(mac)).then_some(header);
            };
            header.stanza(arguments)?;
            pass_stanza_body(lines)?;
        }
    }

    fn stanza(&mut self, arguments: &[u8]) -> Option<()> {
        let arguments: Vec<&[u8]> = arguments.split(|byte| *byte == b' ').collect();
        let visible = |argument: &&[u8]| !argument.is_empty() && argument.iter().all(u8::is_ascii_graphic);
        if !arguments.iter().all(visible) {
            return None;
        }
        self.stanzas += 1;
        if arguments[0] == b"scrypt" {
            self.scrypt = Some(WorkFactor::parse(&arguments[1..]));
        }
        Some(())
    }

    fn lock(&self) -> Lock {
        match self.scrypt {
            None => Lock::Identity,
            Some(factor) if self.stanzas == 1 => Lock::Passphrase(factor),
            Some(_) => Lock::Mixed,
        }
    }
}

/// A body is lines of 64 characters, and one that is shorter, empty if need be.
fn pass_stanza_body(lines: &mut Lines<'_>) -> Option<()> {
    loop {
        let line = lines.next()?;
        if line.len() > BODY_LINE_LEN || !is_base64(line) {
            return None;
        }
        if line.len() < BODY_LINE_LEN {
            return Some(());
        }
    }
}

/// Whether `text` is base64 without padding and without bits that say nothing (RFC 4648).
fn is_base64(text: &[u8]) -> bool {
    let value = |byte: &u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let bits_left = match text.len() % 4 {
        0 => 0,
        1 => return false,
        2 => 0b1111,
        _ => 0b11,
    };
    text.iter().all(|byte| value(byte).is_some())
        && text.last().and_then(value).is_none_or(|last| last & bits_left == 0)
}

/// What is left, line by line. A line ends with a line feed.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(line)
    }
}

/// Most stanzas of one age file; the age library adds one of its own, so 255 recipients at most.
pub const STANZA_COUNT_MAX: usize = 256;
/// The scrypt work factor that is written, as a power of two: about a second and 256 MiB.
pub const WORK_FACTOR: u8 = 18;
/// The largest scrypt work factor that is accepted: about four seconds and 1 GiB.
pub const WORK_FACTOR_MAX: u8 = 20;
/// The most that scrypt's N may come to over all passphrase slots of a key area: as many slots as there may be, each with
/// the work factor that is written.
pub const SCRYPT_WORK_MAX: u64 = (SLOT_COUNT_MAX as u64) << WORK_FACTOR;

pub(crate) const VERSION: &[u8] = b"age-encryption.org/v1";
const BODY_LINE_LEN: usize = 64;
/// Characters of 32 bytes.
const MAC_LEN: usize = 43;
/// 128 bytes times age's r.
const SCRYPT_BLOCK_LEN: usize = 128 * 8;

const _: () = assert!(WORK_FACTOR <= WORK_FACTOR_MAX);
const _: () = assert!(SCRYPT_BLOCK_LEN.checked_shl(WORK_FACTOR_MAX as u32).is_some());

#[cfg(test)]
mod tests {
    use super::*;

    fn file(stanzas: &str) -> Vec<u8> {
        format!("age-encryption.org/v1\n{stanzas}--- {}\nthe payload\n", "A".repeat(43)).into_bytes()
    }

    fn lock_of(stanzas: &str) -> Option<Lock> {
        parse(&file(stanzas)).ok().map(|header| header.lock)
    }

    fn passphrase(factor: u64) -> Option<Lock> {
        Some(Lock::Passphrase(Some(WorkFactor(factor))))
    }

    #[test]
    fn what_opens_a_file_follows_from_its_stanzas() {
        assert_eq!(lock_of("-> X25519 abc\nAAAA\n"), Some(Lock::Identity));
        assert_eq!(lock_of("-> scrypt salt 18\nAAAA\n"), passphrase(18));
        for both in ["-> scrypt s 1\n\n-> X25519 abc\n\n", "-> X25519 abc\n\n-> scrypt s 1\n\n"] {
            assert_eq!(lock_of(both), Some(Lock::Mixed), "{both}");
        }
        assert_eq!(lock_of("-> scrypt s 1\n\n-> scrypt s 1\n\n"), Some(Lock::Mixed));
    }

    #[test]
    fn a_work_factor_has_any_size_and_one_spelling() {
        for (said, factor) in [("1", 1), ("255", 255), ("256", 256), ("18446744073709551616", u64::MAX)] {
            assert_eq!(lock_of(&format!("-> scrypt s {said}\n\n")), passphrase(factor), "{said}");
        }
        for said in ["0", "01", "+1", "1a", "0x10"] {
            assert_eq!(lock_of(&format!("-> scrypt s {said}\n\n")), Some(Lock::Passphrase(None)), "{said}");
        }
        assert_eq!(lock_of("-> scrypt s\n\n"), Some(Lock::Passphrase(None)));
        assert_eq!(lock_of("-> scrypt s 1 2\n\n"), Some(Lock::Passphrase(None)));
    }

    #[test]
    fn a_header_ends_where_its_last_line_does() {
        let body = file("-> a b c\n\n");
        assert_eq!(parse(&body).unwrap().len, body.len() - b"the payload\n".len());
    }

    #[test]
    fn stanzas_lie_one_after_another_between_the_first_line_and_the_mac() {
        let full = "A".repeat(64);
        let parts = ["-> a b c\n\n", &format!("-> d\n{full}\nAA\n"), "-> x-grease\nAAAA\n"];
        let body = file(&parts.concat());
        let found = stanzas(&body);
        let kinds: Vec<_> = found.iter().map(|stanza| (stanza.kind(), stanza.is_grease())).collect();
        assert_eq!(kinds, [("a", false), ("d", false), ("x-grease", true)]);
        assert_eq!(found[0].arguments, ["a", "b", "c"]);
        for (stanza, part) in found.iter().zip(parts) {
            assert_eq!(&body[stanza.lines.clone()], part.as_bytes());
        }
        assert_eq!(found[0].lines.start, VERSION.len() + 1);
        assert!(body[found[2].lines.end..].starts_with(b"--- "));
    }

    #[test]
    fn a_body_is_full_lines_and_a_shorter_one() {
        let full = "A".repeat(64);
        for body in ["\n", "AA\n", "AAA\n", &format!("{full}\n\n"), &format!("{full}\n{full}\nAAAA\n")] {
            assert_eq!(lock_of(&format!("-> a\n{body}")), Some(Lock::Identity), "{body:?}");
        }
        for body in
            ["", "A\n", "AB\n", "AAB\n", "AA=\n", "A A\n", &format!("{full}\n"), &format!("{full}A\n\n")]
        {
            assert_eq!(lock_of(&format!("-> a\n{body}")), None, "{body:?}");
        }
    }

    /// RFC 4648 §3.5: bits behind the last whole byte are zero: four of two characters, two of three, none of four.
    #[test]
    fn base64_has_no_bits_that_say_nothing() {
        for text in
            ["AA", "AQ", "Ag", "Aw", "AAE", "AAc", "AA0", "AA8", "AAAB", "AAAz", "AAA9", "AAA+", "AAA/"]
        {
            assert_eq!(lock_of(&format!("-> a\n{text}\n")), Some(Lock::Identity), "{text}");
        }
        for text in
            ["AB", "AC", "AE", "AI", "Ah", "A0", "A+", "A/", "AAB", "AAC", "AAb", "AA1", "AA/", "AA-A"]
        {
            assert_eq!(lock_of(&format!("-> a\n{text}\n")), None, "{text}");
        }
    }

    /// RFC 7914: 128 · N · r bytes, and age's r is 8.
    #[test]
    fn a_work_factor_takes_a_kilobyte_for_each_of_its_steps() {
        for (factor, work, memory) in [(1, 2, 2 << 10), (18, 262_144, 256 << 20), (20, 1_048_576, 1 << 30)] {
            assert_eq!((WorkFactor(factor).work(), WorkFactor(factor).memory()), (work, memory), "{factor}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_is_no_age_file() {
        let whole = file("-> a\n\n");
        let header_len = parse(&whole).unwrap().len;
        for len in 0..header_len {
            assert!(parse(&whole[..len]).is_err(), "{len} bytes");
        }
        assert!(parse(&whole[..header_len]).is_ok());
        for (from, to) in
            [("v1", "v2"), ("-> a", "->a"), ("-> a", "-> a  b"), ("-> a", "-> "), ("--- A", "---A")]
        {
            let text = String::from_utf8(whole.clone()).unwrap().replacen(from, to, 1);
            assert!(parse(text.as_bytes()).is_err(), "{to:?}");
        }
        assert!(parse(&file("")).is_err());
    }

    #[test]
    fn the_age_library_takes_what_is_taken_here_but_for_a_passphrase_beside_others() {
        for stanzas in
            ["-> a\n\n", "-> a b c\nAAAA\n-> d\nAA\n", "-> scrypt s 256\n\n", "-> scrypt s 1\n\n-> a\n\n"]
        {
            let mut body = file(stanzas);
            body.extend([7; 16 + 16]);
            let mixed = parse(&body).unwrap().lock == Lock::Mixed;
            assert_eq!(age::Decryptor::new(&body[..]).is_err(), mixed, "{stanzas}");
        }
    }
}
