//! What is restored into a database is called, and what its tables are called.
//! Knows no statement.

use std::io;

/// The name that is published, and the tables that it is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseTarget {
    prefix: String,
    name: String,
}

impl DatabaseTarget {
    /// The target called `name`, in tables whose names begin with `cofferdam`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: an empty name, one of more than [`Self::NAME_LEN_MAX`] bytes, or one
    /// with a NUL.
    pub fn new(name: &str) -> io::Result<Self> {
        if name.is_empty() || name.len() > Self::NAME_LEN_MAX || name.contains('\0') {
            let max = Self::NAME_LEN_MAX;
            return Err(invalid(format!(
                "a target in a database needs a name of 1 to {max} bytes without NUL"
            )));
        }
        Ok(Self { prefix: "cofferdam".into(), name: name.into() })
    }

    /// The same in tables whose names begin with `prefix`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: not 1 to [`Self::PREFIX_LEN_MAX`] of `a` to `z`, `0` to `9` and `_`,
    /// beginning with a letter.
    pub fn with_prefix(self, prefix: &str) -> io::Result<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = prefix.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        if !begins || prefix.len() > Self::PREFIX_LEN_MAX || !prefix.bytes().all(plain) {
            let max = Self::PREFIX_LEN_MAX;
            let message = format!("{prefix:?} is not 1 to {max} of a-z, 0-9 and _, beginning with a letter");
            return Err(invalid(message));
        }
        Ok(Self { prefix: prefix.into(), ..self })
    }

    /// The name under which it is published.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the names of its tables begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Longest name, in bytes.
    pub const NAME_LEN_MAX: usize = 255;
    /// Longest prefix, in bytes: a table's name must fit the 63 that PostgreSQL keeps.
    pub const PREFIX_LEN_MAX: usize = 40;
}

/// What the tables are called.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) version: String,
    pub(super) restores: String,
    pub(super) chunks: String,
    pub(super) published: String,
}

impl Tables {
    pub(super) fn of(target: &DatabaseTarget) -> Self {
        let table = |name: &str| format!("{}_{name}", target.prefix);
        Self {
            version: table("version"),
            restores: table("restores"),
            chunks: table("chunks"),
            published: table("published"),
        }
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_what_needs_no_quotes_in_a_statement() {
        let target = || DatabaseTarget::new("db1").unwrap();
        for good in ["a", "cofferdam", "backup_2", &"p".repeat(DatabaseTarget::PREFIX_LEN_MAX)] {
            assert_eq!(target().with_prefix(good).unwrap().prefix(), good);
        }
        let long = "p".repeat(DatabaseTarget::PREFIX_LEN_MAX + 1);
        for bad in ["", "2a", "_a", "A", "a-b", "a b", "a;drop", "a\"", "ä", &long] {
            assert!(target().with_prefix(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_any_text_within_its_length() {
        for good in ["db 1", "'; --", &"n".repeat(DatabaseTarget::NAME_LEN_MAX)] {
            assert_eq!(DatabaseTarget::new(good).unwrap().name(), good);
        }
        for bad in ["", "a\0b", &"n".repeat(DatabaseTarget::NAME_LEN_MAX + 1)] {
            assert!(DatabaseTarget::new(bad).is_err(), "{bad:?}");
        }
    }
}
