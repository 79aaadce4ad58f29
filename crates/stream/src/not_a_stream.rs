//! Input that is no stream of ours: what it looks like, from its first bytes.
//! It opens nothing, and only words depend on it: a wrong guess costs nobody anything.

use framing::{Fault, FramingError, Preamble};

#[cfg(feature = "foreign")]
use crate::chunked::{Detected, Format};
use crate::{Error, ErrorKind, GivenInstead, Remedy};

/// Parses the preamble in `block`. What is no stream of ours is told by what it looks like.
pub(crate) fn parse_preamble(block: &[u8]) -> Result<Preamble, Error> {
    Preamble::parse(block).map_err(|error| beginning_refused(error, block))
}

/// An error of the record at the very beginning; `first` is as much of the input as has been read.
pub(crate) fn beginning_refused(error: FramingError, first: &[u8]) -> Error {
    match error.fault {
        Fault::NotAStream => not_a_stream(first),
        Fault::Truncated if first.is_empty() => {
            Error::new(ErrorKind::Truncated, "the input is empty: there is no stream in it")
                .advise("Whatever should have written it has written nothing.")
        }
        _ => Error::framing(error, 0),
    }
}

fn not_a_stream(first: &[u8]) -> Error {
    let seen = |what: &str| Error::new(ErrorKind::NotAStream, format!("this is no Cofferdam stream: {what}"));
    #[cfg(feature = "foreign")]
    if let Some(looks) = Format::detect(first) {
        let what = match looks {
            Detected::Armored => "an armored age file",
            Detected::Binary(format) => format.with_article(),
        };
        let remedy = Remedy::GiveStream(GivenInstead::OtherFormat);
        return seen(&format!("it looks like {what}")).remedied(remedy);
    }
    match looks_like(first) {
        Some(Look { what, next: Next::Say(advice) }) => seen(&format!("it looks like {what}")).advise(advice),
        Some(Look { what, next: Next::Do(remedy) }) => {
            seen(&format!("it looks like {what}")).remedied(remedy)
        }
        None => seen("it does not begin as one does").advise("Is it the right file?"),
    }
}

/// What something looks like, with its article, and what to do then.
struct Look {
    what: &'static str,
    next: Next,
}

/// What to do about it.
#[derive(Clone, Copy)]
enum Next {
    /// As this sentence says.
    Say(&'static str),
    /// Something that the caller has a word for.
    Do(Remedy),
}

fn looks_like(first: &[u8]) -> Option<Look> {
    let signed = SIGNATURES
        .iter()
        .find(|(at, signature, ..)| first.get(*at..).is_some_and(|bytes| bytes.starts_with(signature)));
    if let Some(&(_, _, what, next)) = signed {
        return Some(Look { what, next });
    }
    if first.iter().all(|byte| *byte == 0) {
        return Some(Look {
            what: "a file of zeros",
            next: Next::Say(
                "A copy that was cut off, or a disk that lost data, leaves such files. Take another copy.",
            ),
        });
    }
    if is_key_file(first) {
        return Some(Look { what: "a key file", next: Next::Do(Remedy::GiveStream(GivenInstead::KeyFile)) });
    }
    is_text(first).then_some(Look { what: "a text file", next: RIGHT_FILE })
}

/// 64 hexadecimal digits and a line end, as the command writes a key file.
fn is_key_file(first: &[u8]) -> bool {
    let digits = first.trim_ascii_end();
    digits.len() == 64 && digits.iter().all(u8::is_ascii_hexdigit)
}

/// UTF-8 without control characters but those of plain text. The last character may have been cut.
fn is_text(first: &[u8]) -> bool {
    let first = &first[..first.len().min(TEXT_LEN)];
    let valid = match std::str::from_utf8(first) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&first[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !valid.contains(|character: char| character.is_control() && !"\t\n\r\u{c}\u{1b}".contains(character))
}

/// So much of a file is looked at to call it text.
const TEXT_LEN: usize = 512;

const IDENTITY: Next = Next::Do(Remedy::GiveStream(GivenInstead::Identity));
const RECIPIENTS: Next = Next::Do(Remedy::GiveStream(GivenInstead::Recipients));
const MANIFEST: Next = Next::Do(Remedy::GiveStream(GivenInstead::Manifest));
const DATABASE: Next = Next::Do(Remedy::GiveStream(GivenInstead::Database));
const PACKED: Next = Next::Say("If a sealed stream is in it, unpack that first.");
const BY_AGE: Next = Next::Say(match cfg!(feature = "foreign") {
    true => "`age -d` opens it, and so does a restore.",
    false => "`age -d` opens it.",
});
const BY_GPG: Next = Next::Say("`gpg -d` opens it.");
const ANSWER: Next = Next::Say(
    "That is often a server's answer in place of the file: fetch it again, and look at what comes.",
);
const TEXT_MODE: Next = Next::Say("Fetch it again as binary data, or take another copy.");
const RIGHT_FILE: Next = Next::Say("Is it the right file?");

/// Where the bytes are, the bytes, what has them, and what to do then. The first that fits is told.
const SIGNATURES: [(usize, &[u8], &str, Next); 45] = [
    (0, b"\x89CFD", "one that a transfer in text mode has changed: its line ends are others", TEXT_MODE),
    (0, b"\xc2\x89CFD", "one that was taken for text and converted to UTF-8", TEXT_MODE),
    (0, b"\xef\xbf\xbdCFD", "one that was taken for text and converted to UTF-8", TEXT_MODE),
    (0, b"\x09CFD", "one whose bytes have lost their eighth bit", TEXT_MODE),
    (0, b"iUNGRA0KGg", "one in Base64", Next::Say("`base64 -d` gives the stream.")),
    (
        0,
        b"CFDJHEAD",
        "the journal of an interrupted run",
        Next::Say("It lies beside a target, and is not the sealed file."),
    ),
    (0, b"cofferdam-manifest ", "a manifest of streams", MANIFEST),
    (0, b"age-encryption.org/", "an age file", BY_AGE),
    (0, b"-----BEGIN AGE ENCRYPTED FILE-----", "an age file", BY_AGE),
    (0, b"AGE-SECRET-KEY-", "an age identity", IDENTITY),
    (0, b"AGE-PLUGIN-", "an age identity", IDENTITY),
    (0, b"# created: ", "an age identity", IDENTITY),
    (0, b"age1", "a list of age recipients", RECIPIENTS),
    (0, b"-----BEGIN OPENSSH PRIVATE KEY-----", "an SSH private key", IDENTITY),
    (0, b"-----BEGIN PGP ", "a PGP message", BY_GPG),
    (0, b"\x85\x01\x0c\x03", "a PGP message", BY_GPG),
    (0, b"\x85\x02\x0c\x03", "a PGP message", BY_GPG),
    (0, b"\x84\x5e\x03", "a PGP message", BY_GPG),
    (0, b"\x8c\x0d\x04", "a PGP message", BY_GPG),
    (0, b"-----BEGIN ", "a key or certificate in PEM", RIGHT_FILE),
    (0, b"Salted__", "a file of `openssl enc`", Next::Say("`openssl enc -d` opens it.")),
    (0, b"LUKS\xba\xbe", "a LUKS volume", Next::Say("`cryptsetup open` opens it.")),
    (0, b"\x1f\x8b", "a gzip file", PACKED),
    (0, b"\xfd7zXZ\0", "an xz file", PACKED),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file", PACKED),
    (0, b"\x04\x22\x4d\x18", "an lz4 file", PACKED),
    (0, b"BZh", "a bzip2 file", PACKED),
    (0, b"PK\x03\x04", "a zip archive", PACKED),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", PACKED),
    (257, b"ustar", "a tar archive", PACKED),
    (0, b"\x7fELF", "a program or library (ELF)", RIGHT_FILE),
    (0, b"MZ", "a Windows program", RIGHT_FILE),
    (0, b"#!", "a script", RIGHT_FILE),
    (0, b"SQLite format 3\0", "a SQLite database", DATABASE),
    (0, b"PGDMP", "a dump of `pg_dump`", Next::Say("`pg_restore` reads it.")),
    (0, b"QFI\xfb", "a QCOW2 disk image", RIGHT_FILE),
    (0, b"%PDF-", "a PDF document", RIGHT_FILE),
    (0, b"\x89PNG", "a PNG image", RIGHT_FILE),
    (0, b"\xff\xd8\xff", "a JPEG image", RIGHT_FILE),
    (0, b"<!DOCTYPE", "an HTML page", ANSWER),
    (0, b"<!doctype", "an HTML page", ANSWER),
    (0, b"<html", "an HTML page", ANSWER),
    (0, b"<?xml", "an XML document", ANSWER),
    (0, b"{\"", "a JSON document", ANSWER),
    (
        0,
        b"version https://git-lfs",
        "a pointer of Git LFS",
        Next::Say("`git lfs pull` fetches the file itself."),
    ),
];

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use sources::{Arrival, ReadAt, Source};

    use super::*;
    use crate::feed::sequential::read_envelope;
    use crate::feed::window::Window;
    use crate::resources::Resources;

    /// Brings a byte at a time.
    struct Trickle(Vec<u8>);

    impl Source for Trickle {
        fn len(&self) -> Option<u64> {
            None
        }

        fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
            None
        }

        fn read_within(&mut self, buffer: &mut [u8], _: Duration) -> std::io::Result<Arrival> {
            if self.0.is_empty() {
                return Ok(Arrival::End);
            }
            buffer[0] = self.0.remove(0);
            Ok(Arrival::Bytes(1))
        }
    }

    #[test]
    fn no_signature_hides_another() {
        for (at, signature, what, _) in SIGNATURES {
            let bytes = [&vec![b'x'; at][..], signature, b"\0more"].concat();
            assert_eq!(looks_like(&bytes).unwrap().what, what);
        }
    }

    #[test]
    fn what_trickles_in_is_named_as_what_comes_at_once() {
        let mut archive = vec![b'x'; 600];
        archive[257..262].copy_from_slice(b"ustar");
        let cases: [(Vec<u8>, &str); 4] = [
            (archive, "a tar archive"),
            (b"age-encryption.org/v1\n".to_vec(), "an age file"),
            (b"z\xc3\xa9ro".to_vec(), "a text file"),
            (b"\x80".to_vec(), "it does not begin as one does"),
        ];
        for (bytes, words) in cases {
            let mut window = Window::new(Trickle(bytes));
            let error = read_envelope(&mut window, None, &Resources::default()).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::NotAStream);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn text_is_told_from_bytes_wherever_it_is_cut() {
        let text = "é".repeat(TEXT_LEN);
        for len in 1..8 {
            assert!(is_text(&text.as_bytes()[..len]), "{len}");
        }
        assert!(is_text(&[b"x", text.as_bytes()].concat()), "the limit cuts a character");
        for bytes in [&b"\xff"[..], b"a\0b", b"\xc3\x28", b"\x07bell"] {
            assert!(!is_text(bytes), "{bytes:?}");
        }
    }
}
