//! The formats that are read, and what each begins with.
//! It opens nothing.

use std::fmt;

use crate::armor::{ARMOR_BEGIN, WHITE_LEN_MAX};

/// A format of other programs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Format {
    /// age-encryption.org, version 1.
    Age,
}

impl Format {
    /// What a stream that begins with `first` looks like: [`Format::FIRST_LEN`] bytes of it, or all that there are.
    pub fn of(first: &[u8]) -> Option<Looks> {
        let begins = |with: &[u8]| first.starts_with(with);
        if first.trim_ascii_start().starts_with(ARMOR_BEGIN) {
            return Some(Looks::Armored);
        }
        begins(AGE_BEGINNING).then_some(Looks::Bare(Format::Age))
    }

    /// Whether more bytes than `first` may show a format that these do not show yet.
    pub fn may_be(first: &[u8]) -> bool {
        let begins = AGE_BEGINNING.starts_with(first) || ARMOR_BEGIN.starts_with(first.trim_ascii_start());
        begins && Format::of(first).is_none()
    }

    /// Bytes that tell a format: an armored file may have white space before it.
    pub const FIRST_LEN: usize = WHITE_LEN_MAX + ARMOR_BEGIN.len();

    /// The name, for records and messages.
    pub fn name(self) -> &'static str {
        match self {
            Format::Age => "age",
        }
    }

    /// The name with its article and noun: "an age file".
    pub fn with_article(self) -> &'static str {
        match self {
            Format::Age => "an age file",
        }
    }
}

/// What a stream looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Looks {
    /// A format, as its bytes are.
    Bare(Format),
    /// An armored age file.
    Armored,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Of any version: which of them it is, its first line says.
const AGE_BEGINNING: &[u8] = b"age-encryption.org/";
