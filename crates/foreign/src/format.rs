//! The formats that are read, and what each begins with.
//! It opens nothing.

use std::fmt;

use crate::armor::{ARMOR_BEGIN, WHITE_LEN_MAX};
use crate::{agcm, ecie, mrec, rse1};

/// A format of other programs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Format {
    /// age-encryption.org, version 1.
    Age,
    /// `AGCM`, of the Go library harpocrates.
    Agcm,
    /// `ECIE`, of the JavaScript library ecies-lib, for one recipient.
    Ecie,
    /// `MREC`, of the JavaScript library ecies-lib, for several recipients.
    Mrec,
    /// `RSE1`, of the Rust and Python library streaming-crypto.
    Rse1,
}

impl Format {
    /// What a stream that begins with `first` looks like: [`Format::FIRST_LEN`] bytes of it, or all that there are.
    pub fn detect(first: &[u8]) -> Option<Detected> {
        let begins = |with: &[u8]| first.starts_with(with);
        if first.trim_ascii_start().starts_with(ARMOR_BEGIN) {
            return Some(Detected::Armored);
        }
        let format = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning));
        format.map(|(_, format)| Detected::Binary(*format))
    }

    /// Whether more bytes than `first` may show a format that these do not show yet.
    pub fn may_be(first: &[u8]) -> bool {
        let begins = BEGINNINGS.iter().any(|(beginning, _)| beginning.starts_with(first));
        let begins = begins || ARMOR_BEGIN.starts_with(first.trim_ascii_start());
        begins && Format::detect(first).is_none()
    }

    /// Bytes that tell a format: an armored file may have white space before it.
    pub const FIRST_LEN: usize = WHITE_LEN_MAX + ARMOR_BEGIN.len();

    /// The name, for records and messages.
    pub fn name(self) -> &'static str {
        match self {
            Format::Age => "age",
            Format::Agcm => "AGCM",
            Format::Ecie => "ECIE",
            Format::Mrec => "MREC",
            Format::Rse1 => "RSE1",
        }
    }

    /// The name with its article and noun: "an age file".
    pub fn with_article(self) -> &'static str {
        match self {
            Format::Age => "an age file",
            Format::Agcm => "an AGCM stream, as harpocrates writes it",
            Format::Ecie => "an ECIE stream, as ecies-lib writes it",
            Format::Mrec => "an MREC stream, as ecies-lib writes it",
            Format::Rse1 => "an RSE1 stream, as streaming-crypto writes it",
        }
    }
}

/// What a stream looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detected {
    /// A format, as its bytes are.
    Binary(Format),
    /// An armored age file.
    Armored,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What streams begin with, of any version.
const BEGINNINGS: [(&[u8], Format); 5] = [
    (b"age-encryption.org/", Format::Age),
    (agcm::MAGIC, Format::Agcm),
    (ecie::MAGIC, Format::Ecie),
    (mrec::MAGIC, Format::Mrec),
    (rse1::MAGIC, Format::Rse1),
];
