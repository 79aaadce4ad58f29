//! Owns what a reader without a key says of the older cases, where that is not what the holder of one says.
//! Refuses to know why: each case says it of itself. Newer cases name their keyless verdict where they are made.

use super::super::case::{Case, Expect};

pub(super) fn mark(case: Case) -> Case {
    match case.name() {
        name if KEYED.contains(&name) => case.keyless(Expect::Success),
        name if TAGS.contains(&name) => case.keyless(Expect::Unsupported),
        name if DIGESTED.contains(&name) => case.keyless(Expect::Damaged),
        _ => case,
    }
}

/// The fault takes a key to be seen: tags, MACs, the commitment, and what is inside of slots and metadata.
const KEYED: &[&str] = &[
    "footer-mac",
    "key-area-age-256-stanzas",
    "key-area-age-other-stream-key",
    "key-area-age-payload-31",
    "key-area-macs",
    "key-area-other-stream-key",
    "metadata-empty-key-second",
    "metadata-empty-key-twice",
    "metadata-entry-cut",
    "metadata-keys-descend",
    "metadata-keys-equal",
    "metadata-value-overrun",
    "no-key-identity",
    "no-key-newest-key-copy-mac-bad",
    "no-key-no-slots",
    "no-key-older-copy",
    "no-key-slot-tag",
    "no-key-wrong-key",
    "preamble-commitment",
    "success-newest-key-copy-mac-bad",
];

/// No slot opens because of a damage that the digests show.
const DIGESTED: &[&str] = &["preamble-stream-id-flipped"];

/// The digest is *tags*, which nobody can verify without a key (F13.12).
const TAGS: &[&str] =
    &["frame-tags-digest-tag", "success-aes-256-gcm-tags", "success-chacha20-poly1305-tags"];
