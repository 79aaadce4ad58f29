//! Owns the faults of the metadata record, and the encoding of its entries.
//! Refuses to know what metadata mean.

use super::super::case::{Case, Expect};
use super::super::plan::{Plan, Record};

const BODY_LEN: usize = 16;
const RESERVED: usize = 20;

pub(super) fn cases() -> Vec<Case> {
    [headers(), contents()].into_iter().flatten().collect()
}

/// Entries as {key length, value length, key, value}.
pub(super) fn entries(entries: &[(&str, &str)]) -> Vec<u8> {
    let entry = |(key, value): &(&str, &str)| {
        let key_len = u16::try_from(key.len()).expect("a vector's keys are short");
        let value_len = u32::try_from(value.len()).expect("a vector's values are short");
        [&key_len.to_le_bytes()[..], &value_len.to_le_bytes(), key.as_bytes(), value.as_bytes()].concat()
    };
    entries.iter().flat_map(entry).collect()
}

fn headers() -> Vec<Case> {
    let says = |name, expect, comment, at, bytes: &[u8]| {
        Case::bad(name, expect, comment, Plan::small().edit(Record::Metadata, at, bytes).seal())
    };
    let with_entry = Plan::small().with(|plan| plan.metadata = entries(&[("key", "value")]));
    let above = u32::to_le_bytes((64 << 10) + 17);
    vec![
        says("metadata-body-short", Expect::Damaged, "body_len 15 has no room for a tag", BODY_LEN, &[15]),
        says(
            "metadata-body-long",
            Expect::Limit,
            "body_len is one byte above 64 KiB and a tag",
            BODY_LEN,
            &above,
        ),
        says("metadata-reserved", Expect::Damaged, "a reserved byte is 1", RESERVED, &[1]),
        Case::damaged(
            "metadata-tag",
            "a bit of the tag is wrong",
            with_entry.seal().flip_last(Record::Metadata),
        ),
    ]
}

fn contents() -> Vec<Case> {
    let holds = |name, comment, plaintext: &[u8]| {
        Case::damaged(name, comment, Plan::small().with(|plan| plan.metadata = plaintext.to_vec()).seal())
    };
    vec![
        holds(
            "metadata-keys-descend",
            "the second key sorts before the first",
            &entries(&[("b", "1"), ("a", "2")]),
        ),
        holds("metadata-keys-equal", "the same key twice", &entries(&[("a", "1"), ("a", "2")])),
        holds("metadata-empty-key-twice", "the empty key twice", &entries(&[("", "1"), ("", "2")])),
        holds(
            "metadata-empty-key-second",
            "the empty key behind another",
            &entries(&[("a", "1"), ("", "2")]),
        ),
        holds("metadata-entry-cut", "the plaintext ends inside an entry's lengths", &[1, 0, 0, 0, 0]),
        holds("metadata-value-overrun", "a value reaches behind the plaintext", b"\x01\0\x02\0\0\0av"),
    ]
}
