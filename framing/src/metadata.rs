//! The metadata record: the caller's key-value pairs, encrypted (FORMAT §6).
//! It knows no cipher: the body is bytes to it, and entries are coded apart from it.

use crate::field::{array, exact, put, to_usize, u16_at, u32_at, zeros};
use crate::limits::{METADATA_HEAD_LEN, METADATA_LEN_MAX, TAG_LEN};
use crate::{FramingError, Record};

/// The clear part of the record. The body's key derives from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetadataHead {
    /// Drawn anew for each stream.
    pub salt: [u8; 16],
    /// Bytes of ciphertext and tag behind the head.
    pub body_len: u32,
}

impl MetadataHead {
    /// The record's first bytes.
    pub fn to_bytes(&self) -> [u8; METADATA_HEAD_LEN] {
        let mut bytes = [0; METADATA_HEAD_LEN];
        put(&mut bytes, 0, &self.salt);
        put(&mut bytes, 16, &self.body_len.to_le_bytes());
        bytes
    }

    /// Parses the record's first bytes.
    pub fn parse(bytes: &[u8]) -> Result<MetadataHead, FramingError> {
        let bytes: &[u8; METADATA_HEAD_LEN] = exact(bytes, Record::Metadata)?;
        let head = MetadataHead { salt: array(bytes, 0), body_len: u32_at(bytes, 16) };
        if to_usize(head.body_len) < TAG_LEN {
            return Err(damaged("is shorter than its tag"));
        }
        if to_usize(head.body_len) > METADATA_LEN_MAX + TAG_LEN {
            return Err(FramingError::limit(Record::Metadata, "is longer than 64 KiB"));
        }
        zeros(&bytes[20..], Record::Metadata)?;
        Ok(head)
    }

    /// Bytes of the whole record.
    pub fn record_len(&self) -> usize {
        METADATA_HEAD_LEN + to_usize(self.body_len)
    }
}

/// The plaintext of the pairs, sorted by key. An error for a key that is doubled or over 65,535 bytes, and for
/// more than 64 KiB in all.
pub fn encode_entries(entries: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>, FramingError> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort();
    let mut bytes = Vec::new();
    let mut before: Option<&[u8]> = None;
    for (key, value) in sorted {
        if before == Some(key) {
            return Err(damaged("has a key twice"));
        }
        let too_long = || FramingError::limit(Record::Metadata, "is longer than 64 KiB");
        let key_len = u16::try_from(key.len()).map_err(|_| too_long())?;
        let value_len = u32::try_from(value.len()).map_err(|_| too_long())?;
        bytes.extend(key_len.to_le_bytes());
        bytes.extend(value_len.to_le_bytes());
        bytes.extend(key);
        bytes.extend(value);
        if bytes.len() > METADATA_LEN_MAX {
            return Err(too_long());
        }
        before = Some(key);
    }
    Ok(bytes)
}

/// The pairs of a decrypted body; keys strictly ascend.
#[allow(clippy::type_complexity)] // A pair of byte strings needs no name of its own.
pub fn decode_entries(bytes: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, FramingError> {
    if bytes.len() > METADATA_LEN_MAX {
        return Err(FramingError::limit(Record::Metadata, "is longer than 64 KiB"));
    }
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (key, value, after) =
            split_entry(rest).ok_or_else(|| damaged("has an entry that is cut short"))?;
        if entries.last().is_some_and(|(before, _)| before.as_slice() >= key) {
            return Err(damaged("has keys that do not ascend"));
        }
        entries.push((key.to_vec(), value.to_vec()));
        rest = after;
    }
    Ok(entries)
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(ENTRY_HEAD_LEN)?;
    let (key, rest) = rest.split_at_checked(usize::from(u16_at(head, 0)))?;
    let (value, rest) = rest.split_at_checked(to_usize(u32_at(head, 2)))?;
    Some((key, value, rest))
}

fn damaged(problem: &'static str) -> FramingError {
    FramingError::damaged(Record::Metadata, problem)
}

const ENTRY_HEAD_LEN: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn pair(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
        (key.into(), value.into())
    }

    #[test]
    fn pairs_are_sorted_and_read_back() {
        let bytes = encode_entries(&[pair("host", "a"), pair("app", "")]).unwrap();
        assert_eq!(bytes, b"\x03\0\0\0\0\0app\x04\0\x01\0\0\0hosta");
        assert_eq!(decode_entries(&bytes).unwrap(), [pair("app", ""), pair("host", "a")]);
        assert_eq!(decode_entries(&[]).unwrap(), []);
    }

    #[test]
    fn unordered_doubled_and_cut_entries_are_damaged() {
        for bytes in [
            &b"\x01\0\0\0\0\0b\x01\0\0\0\0\0a"[..],
            b"\x01\0\0\0\0\0a\x01\0\0\0\0\0a",
            b"\x05\0\0\0\0\0a",
            b"\0",
        ] {
            assert_eq!(decode_entries(bytes).unwrap_err().fault, Fault::Damaged, "{bytes:?}");
        }
        assert!(encode_entries(&[pair("a", "1"), pair("a", "2")]).is_err());
    }

    #[test]
    fn lengths_are_checked_before_anything_follows_them() {
        let head = |body_len| MetadataHead { salt: [1; 16], body_len }.to_bytes();
        assert_eq!(MetadataHead::parse(&head(15)).unwrap_err().fault, Fault::Damaged);
        assert!(MetadataHead::parse(&head(16)).is_ok());
        assert!(MetadataHead::parse(&head(65536 + 16)).is_ok());
        assert_eq!(MetadataHead::parse(&head(65536 + 17)).unwrap_err().fault, Fault::Limit);
        assert!(encode_entries(&[(vec![], vec![0; 65536 - 6])]).is_ok());
        assert_eq!(encode_entries(&[(vec![], vec![0; 65536 - 5])]).unwrap_err().fault, Fault::Limit);
    }
}
