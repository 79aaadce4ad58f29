//! The records of a pax extended header: `LEN KEY=VALUE` and a line feed (TREE T1.7).
//! Knows which keys the strict profile has, and not what follows from a value.

use std::collections::BTreeMap;

use crate::{Xattr, limits::XATTR_NAME_LEN_MAX};

/// The records that have a meaning, by key.
#[derive(Debug, Default)]
pub(super) struct Records<'a> {
    values: BTreeMap<&'a [u8], &'a [u8]>,
}

impl<'a> Records<'a> {
    /// Reads all records.
    ///
    /// # Errors
    /// What of them is outside of the strict profile.
    pub(super) fn parse(mut bytes: &'a [u8]) -> Result<Records<'a>, String> {
        let mut records = Records::default();
        while !bytes.is_empty() {
            let (key, value, rest) = split(bytes).ok_or("a malformed pax record")?;
            check_key(key, value).map_err(|what| format!("{what}: {}", key.escape_ascii()))?;
            if records.values.insert(key, value).is_some() {
                return Err(format!("a pax key that occurs twice: {}", key.escape_ascii()));
            }
            bytes = rest;
        }
        Ok(records)
    }

    /// The value of a key.
    pub(super) fn value(&self, key: &str) -> Option<&'a [u8]> {
        self.values.get(key.as_bytes()).copied()
    }

    /// A value of decimal digits.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, String> {
        let parse = |value| digits(value).ok_or_else(|| format!("a pax {key} that is no number"));
        self.value(key).map(parse).transpose()
    }

    /// Extended attributes, by name and value, in the order of their keys.
    pub(super) fn xattrs(&self) -> Result<Vec<Xattr>, String> {
        let named = self.values.iter().filter_map(|(key, value)| Some((key.strip_prefix(XATTR)?, value)));
        let named = named.map(|(name, value)| match unescape(name) {
            Some(name) if (1..=XATTR_NAME_LEN_MAX).contains(&name.len()) && !name.contains(&0) => {
                Ok(Xattr { name, value: value.to_vec() })
            }
            _ => Err(format!("an extended attribute of no name that may be: {}", name.escape_ascii())),
        });
        let mut xattrs = named.collect::<Result<Vec<_>, _>>()?;
        xattrs.sort();
        match xattrs.windows(2).any(|two| two[0].name == two[1].name) {
            true => Err("an extended attribute that occurs twice".into()),
            false => Ok(xattrs),
        }
    }
}

/// Records as they are written.
#[derive(Debug, Default)]
pub(super) struct RecordsWriter {
    bytes: Vec<u8>,
    is_binary: bool,
}

impl RecordsWriter {
    /// Adds a record of a key that has none yet.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.is_binary |= std::str::from_utf8(value).is_err() && !key.starts_with(XATTR);
        self.bytes.extend(record(key, value));
    }

    /// Adds an extended attribute.
    pub(super) fn push_xattr(&mut self, xattr: &Xattr) {
        let escaped = xattr.name.iter().flat_map(|byte| match byte {
            b'=' => b"%3D".to_vec(),
            b'%' => b"%25".to_vec(),
            byte => vec![*byte],
        });
        let key: Vec<u8> = XATTR.iter().copied().chain(escaped).collect();
        self.push(&key, &xattr.value);
    }

    /// All records; empty where there is none.
    pub(super) fn finish(self) -> Vec<u8> {
        // First, for it says how those after it are to be read.
        let charset = if self.is_binary { record(CHARSET, b"BINARY") } else { Vec::new() };
        [charset, self.bytes].concat()
    }
}

/// A record's length counts its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// Key, value and what follows of the first record.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(LEN_DIGITS_MAX + 1).position(|byte| *byte == b' ')?;
    let len = digits(&bytes[..space]).filter(|_| bytes[0] != b'0')?;
    let (record, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn check_key(key: &[u8], value: &[u8]) -> Result<(), &'static str> {
    let is = |keys: &[&str]| keys.iter().any(|known| known.as_bytes() == key);
    if is(&MEANINGFUL) {
        return match value {
            b"" => Err("a pax key without a value"),
            _ if value.contains(&0) => Err("a pax value with a NUL in it"),
            _ => Ok(()),
        };
    }
    if key == CHARSET {
        let text: Vec<u8> = value.iter().copied().filter(|byte| *byte != b' ').collect();
        return match &*text {
            b"BINARY" | b"ISO-IR106462000UTF-8" => Ok(()),
            _ => Err("a character set that is not UTF-8"),
        };
    }
    match is(&IGNORED) || key.starts_with(XATTR) || key.starts_with(b"LIBARCHIVE.") {
        true => Ok(()),
        false => Err("a pax key outside of the profile"),
    }
}

/// The number that decimal digits are, at least one and nothing but digits.
pub(super) fn digits(bytes: &[u8]) -> Option<u64> {
    let text =
        std::str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

fn unescape(name: &[u8]) -> Option<Vec<u8>> {
    let mut parts = name.split(|byte| *byte == b'%');
    let mut out = parts.next()?.to_vec();
    for part in parts {
        let (byte, rest) = match part {
            [b'3', b'D', rest @ ..] => (b'=', rest),
            [b'2', b'5', rest @ ..] => (b'%', rest),
            // As GNU tar takes it.
            rest => {
                out.push(b'%');
                out.extend_from_slice(rest);
                continue;
            }
        };
        out.push(byte);
        out.extend_from_slice(rest);
    }
    Some(out)
}

const XATTR: &[u8] = b"SCHILY.xattr.";
const CHARSET: &[u8] = b"hdrcharset";
const MEANINGFUL: [&str; 8] = ["path", "linkpath", "size", "uid", "gid", "mtime", "uname", "gname"];
const IGNORED: [&str; 10] = [
    "atime",
    "ctime",
    "comment",
    "SCHILY.dev",
    "SCHILY.ino",
    "SCHILY.nlink",
    "SCHILY.fflags",
    "SCHILY.acl.access",
    "SCHILY.acl.default",
    "RHT.security.selinux",
];
/// Digits of a record's length at most: all records of a header are shorter than this many can say.
const LEN_DIGITS_MAX: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        assert_eq!(record(b"path", b"a"), b"9 path=a\n");
        assert_eq!(record(b"path", b"ab"), b"11 path=ab\n");
        let long = record(b"path", &[b'x'; 988]);
        assert!(long.starts_with(b"998 path=") && long.len() == 998, "{}", long.len());
        let longer = record(b"path", &[b'x'; 990]);
        assert!(longer.starts_with(b"1001 path=") && longer.len() == 1_001, "{}", longer.len());
    }

    #[test]
    fn records_are_read_as_posix_has_them() {
        let records = Records::parse(b"9 path=a\n19 comment=a b = c\n\n20 mtime=1350244992.\n").unwrap_err();
        assert!(records.contains("malformed"), "{records}");
        let records = Records::parse(b"9 path=a\n20 mtime=1350244992\n15 comment== \n\n").unwrap();
        assert_eq!(records.value("path"), Some(b"a".as_slice()));
        assert_eq!(records.value("mtime"), Some(b"1350244992".as_slice()));
        assert_eq!(records.value("size"), None);
    }

    #[test]
    fn what_is_malformed_or_outside_is_refused() {
        for bad in [
            &b"9 path=a"[..],
            b"8 path=a\n",
            b"11 path=a\n",
            b"09 path=a\n",
            b"9  path=a\n",
            b"-9 path=a\n",
            b"+9 path=a\n",
            b"99999999999999999999 path=a\n",
            b"5 =a\n",
            b"7 path\n",
            b"8 path=\n",
            b"9 path=\0\n",
            b"9 path=a\n9 path=a\n",
            b"9 path=a\n9 path=b\n",
            b"22 GNU.sparse.major=1\n",
            b"18 unheard.of=yes\n",
            b"0 path=a\n",
            b"2 \n",
            b"24 hdrcharset=ISO-8859-1\n",
            b" 9 path=a\n",
        ] {
            assert!(Records::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn attributes_come_back_with_any_name_and_value() {
        let mut writer = RecordsWriter::default();
        let values: [(&[u8], &[u8]); 3] = [(b"user.%", b""), (b"user.a=b", b"\xff\n\0"), (b"user.%3D", b"x")];
        let mut xattrs = values.map(|(name, value)| Xattr { name: name.to_vec(), value: value.to_vec() });
        xattrs.iter().for_each(|xattr| writer.push_xattr(xattr));
        xattrs.sort();
        let bytes = writer.finish();
        assert_eq!(Records::parse(&bytes).unwrap().xattrs().unwrap(), xattrs);
    }
}
