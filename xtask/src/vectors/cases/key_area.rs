//! Owns the faults of the key area: copies, slots, and what the slots open to.
//! Refuses to know what the key is good for.

use super::super::case::{Case, CaseKey, Expect, IDENTITY, SECOND_IDENTITY};
use super::super::plan::{
    CALLER_KEY, KeyCopy, OTHER_CALLER_KEY, OTHER_STREAM_KEY, Plan, Record, Slot, Stage,
};

/// `STREAM_KEY` for the two identities of the vectors, by the age program.
pub(super) const STREAM_KEY_AGE: &[u8] = include_bytes!("../age-files/stream-key.age");
/// The first 31 bytes of it, for the first identity.
pub(super) const PAYLOAD_31_AGE: &[u8] = include_bytes!("../age-files/payload-31-bytes.age");
/// `OTHER_STREAM_KEY` for the first identity.
const OTHER_STREAM_KEY_AGE: &[u8] = include_bytes!("../age-files/other-stream-key.age");

const MAGIC: usize = 0;
const SLOTS_LEN: usize = 16;
const SLOT_COUNT: usize = 20;
const RESERVED: usize = 22;
const SLOT: usize = 32;
const SLOT_LEN: u32 = 88;
/// From the end of a copy of 4096 bytes.
const FILL_END: usize = 4096 - 65;
const MAC: usize = 4096 - 64;

pub(super) fn cases() -> Vec<Case> {
    [copies(), slot_shapes(), age_files(), shut()].into_iter().flatten().collect()
}

/// Both copies say this, with a right MAC and checksum.
fn says(name: &str, expect: Expect, comment: &str, at: usize, bytes: &[u8]) -> Case {
    let plan = Plan::small().edit_key_copies(Stage::Fields, at, bytes);
    Case::bad(&format!("key-area-{name}"), expect, comment, plan.seal())
}

fn copies() -> Vec<Case> {
    let checksums = Plan::small().seal().flip_last(Record::KeyCopy(0)).flip_last(Record::KeyCopy(1));
    let macs = Plan::small().edit_key_copies(Stage::BeforeChecksum, MAC, &[0; 32]);
    vec![
        says("magic", Expect::Damaged, "both copies begin with another magic", MAGIC, b"X"),
        says(
            "earlier-draft",
            Expect::Unsupported,
            "both copies begin with the magic of an earlier draft of the format",
            MAGIC,
            b"CFDKEYS\0",
        ),
        says("reserved", Expect::Damaged, "a reserved byte of both copies is 1", RESERVED, &[1]),
        says(
            "fill",
            Expect::Damaged,
            "the byte before the MAC, which must be zero, is 1 in both copies",
            FILL_END,
            &[1],
        ),
        Case::damaged("key-area-checksums", "the checksum of both copies is wrong", checksums),
        Case::damaged("key-area-macs", "the MAC of both copies is wrong under a right checksum", macs.seal()),
    ]
}

fn slot_shapes() -> Vec<Case> {
    let slots = |slots: &[Slot]| Plan::small().slots(slots).seal();
    let short = Slot::Opaque { kind: 2, body: vec![7; 79] };
    // A key file opens the second slot, but the shapes of all are judged before any is tried.
    let external = |name_len: u16| {
        let body = [&name_len.to_le_bytes()[..], &[b'n'; 300]].concat();
        [Slot::Opaque { kind: 3, body }, Slot::KeyFile(CALLER_KEY)]
    };
    let seventeen = vec![Slot::Opaque { kind: 900, body: Vec::new() }; 17];
    vec![
        says("slots-len-huge", Expect::Damaged, "slots_len is 2^32 - 1", SLOTS_LEN, &[0xFF; 4]),
        says("slots-left-over", Expect::Damaged, "slot_count is 0 and slots_len 88", SLOT_COUNT, &[0, 0]),
        says(
            "slot-overrun",
            Expect::Damaged,
            "a slot ends behind slots_len",
            SLOT + 4,
            &(SLOT_LEN + 1).to_le_bytes(),
        ),
        says("slot-len-huge", Expect::Damaged, "a slot of 2^32 - 1 bytes", SLOT + 4, &[0xFF; 4]),
        says("slot-reserved", Expect::Damaged, "a reserved byte of a slot is 1", SLOT + 2, &[1]),
        Case::damaged("key-area-key-file-slot-short", "a kind-2 slot of 79 bytes", slots(&[short])),
        Case::damaged("key-area-external-name-len-0", "a kind-3 slot without a name", slots(&external(0))),
        Case::bad(
            "key-area-external-name-len-256",
            Expect::Limit,
            "a name of 256 bytes",
            slots(&external(256)),
        ),
        Case::bad("key-area-seventeen-slots", Expect::Limit, "one slot too many", slots(&seventeen)),
    ]
}

fn age_files() -> Vec<Case> {
    let age = |name, expect, comment, file: &[u8]| {
        Case::bad(name, expect, comment, Plan::small().slots(&[Slot::Age(file.to_vec())]).seal())
            .key(CaseKey::Identity(IDENTITY))
    };
    vec![
        age("key-area-age-payload-31", Expect::Damaged, "the age file holds 31 bytes", PAYLOAD_31_AGE),
        age(
            "key-area-age-other-stream-key",
            Expect::Damaged,
            "the age file holds a key that the preamble does not commit to",
            OTHER_STREAM_KEY_AGE,
        ),
        age(
            "key-area-age-header",
            Expect::Damaged,
            "a kind-1 slot that holds no age file",
            b"not an age file",
        ),
        age("key-area-age-256-stanzas", Expect::NoKey, "256 stanzas of an unknown type", &stanzas(256)),
        age("key-area-age-257-stanzas", Expect::Limit, "one stanza too many", &stanzas(257)),
        age(
            "no-key-identity",
            Expect::NoKey,
            "the identity given is not among the recipients of the age file",
            OTHER_STREAM_KEY_AGE,
        )
        .key(CaseKey::Identity(SECOND_IDENTITY)),
    ]
}

fn shut() -> Vec<Case> {
    let no_key = |name, comment, plan: Plan| Case::bad(name, Expect::NoKey, comment, plan.seal());
    let older_only = Plan::small().with(|plan| {
        plan.key_copies[1] = KeyCopy { generation: 2, slots: vec![Slot::KeyFile(OTHER_CALLER_KEY)] };
    });
    let tag = SLOT + 8 + 64;
    // The newest copy opens, which its MAC then denies.
    let newest_without_mac = Plan::small()
        .with(|plan| {
            plan.key_copies[0].generation = 2;
            plan.key_copies[1].slots = vec![Slot::KeyFile(OTHER_CALLER_KEY)];
        })
        .edit_at(Stage::BeforeChecksum, Record::KeyCopy(0), MAC, &[0; 32]);
    let flipped_tag = Plan::small().edit_key_copies(Stage::Fields, tag, &[0; 16]);
    vec![
        no_key(
            "no-key-wrong-key",
            "another key file than the one given",
            Plan::small().slots(&[Slot::KeyFile(OTHER_CALLER_KEY)]),
        ),
        no_key("no-key-no-slots", "a key area without slots", Plan::small().slots(&[])),
        no_key(
            "no-key-older-copy",
            "only the copy of the lower generation has the key: it is not asked",
            older_only,
        ),
        no_key(
            "no-key-newest-key-copy-mac-bad",
            "the newest key copy opens and its MAC is wrong; the other, which is taken then, does not open (FORMAT F5.14)",
            newest_without_mac,
        ),
        no_key("no-key-slot-tag", "the tag of the only slot is wrong in both copies", flipped_tag),
        Case::damaged(
            "key-area-other-stream-key",
            "a kind-2 slot opens to a key that the preamble does not commit to",
            Plan::small()
                .slots(&[Slot::KeyFileTo { caller_key: CALLER_KEY, stream_key: OTHER_STREAM_KEY }])
                .seal(),
        ),
    ]
}

/// An age header of so many stanzas that nobody can open.
fn stanzas(count: usize) -> Vec<u8> {
    let mac = format!("--- {}\n", "A".repeat(43));
    [b"age-encryption.org/v1\n", "-> unknown\n\n".repeat(count).as_bytes(), mac.as_bytes(), &[7; 64]].concat()
}
