//! Owns the streams that open: suites, digests, sizes, key copies, slots and metadata.
//! Refuses to know faults, but for those that a reader gets past.

use super::super::case::{Case, CaseKey, IDENTITY, SECOND_IDENTITY};
use super::super::plan::{
    CALLER_KEY, FRAME_LEN, Hash, KeyCopy, OTHER_CALLER_KEY, OTHER_STREAM_KEY, Plan, Record, Slot, Stage,
    Suite, counting_from,
};
use super::key_area::STREAM_KEY_AGE;
use super::metadata::entries;

const FRAME: usize = FRAME_LEN as usize;

pub(super) fn cases() -> Vec<Case> {
    [suites_and_digests(), sizes(), key_copies(), slots(), choices()].into_iter().flatten().collect()
}

fn suites_and_digests() -> Vec<Case> {
    let suites = [(Suite::Aes256Gcm, "aes-256-gcm"), (Suite::ChaCha20Poly1305, "chacha20-poly1305")];
    let digests = [(Hash::Blake3, "blake3"), (Hash::Sha256, "sha-256"), (Hash::Tags, "tags")];
    let sealed = |suite, digest| {
        let plan = Plan::framed().with(|plan| (plan.suite, plan.digest) = (suite, digest));
        plan.seal()
    };
    suites
        .iter()
        .flat_map(|suite| digests.iter().map(move |digest| (suite, digest)))
        .map(|((suite, suite_name), (digest, digest_name))| {
            Case::good(
                &format!("success-{suite_name}-{digest_name}"),
                &format!(
                    "{suite_name} with the digest {digest_name}; two segments, of two frames and of one"
                ),
                sealed(*suite, *digest),
            )
        })
        .collect()
}

/// FORMAT §15, whose values another program computed.
fn worked_example() -> Case {
    let plan = Plan::worked_example();
    Case::good("success-worked-example", "the stream of FORMAT §15, byte for byte", plan.seal())
        .key(CaseKey::KeyFile(counting_from(0x80)))
}

fn sizes() -> Vec<Case> {
    let full_segment = Plan::of_segments(&[&[FRAME], &[1]]).with(|plan| plan.frames_per_segment = 1);
    vec![
        worked_example(),
        Case::good(
            "success-empty",
            "empty input is one LAST segment without DATA",
            Plan::of_segments(&[&[]]).seal(),
        ),
        Case::good("success-one-byte", "one byte", Plan::of_segments(&[&[1]]).seal()),
        Case::good(
            "success-one-frame-and-a-byte",
            "a full frame and one of a single byte",
            Plan::of_segments(&[&[FRAME, 1]]).seal(),
        ),
        Case::good("success-full-segment", "a full segment and one byte in the next", full_segment.seal()),
        Case::good(
            "success-short-segments",
            "segments may end early: three of one short frame",
            Plan::of_segments(&[&[10], &[20], &[30]]).seal(),
        ),
        Case::good(
            "success-empty-last-segment",
            "a sealer that did not know the end adds an empty LAST segment",
            Plan::of_segments(&[&[10], &[]]).seal(),
        ),
    ]
}

fn key_copies() -> Vec<Case> {
    let generations = Plan::small().with(|plan| {
        plan.key_copies[0] = KeyCopy { generation: 6, slots: vec![Slot::KeyFile(OTHER_CALLER_KEY)] };
        plan.key_copies[1].generation = 7;
    });
    let mac_at = Plan::small().key_copy_len as usize - 64;
    let newest_without_mac = Plan::small().with(|plan| plan.key_copies[1].generation = 2).edit_at(
        Stage::BeforeChecksum,
        Record::KeyCopy(1),
        mac_at,
        &[0; 32],
    );
    let slots_len = Plan::small().edit(Record::KeyCopy(0), 16, &[0xFF; 4]);
    vec![
        Case::good(
            "success-newest-key-copy",
            "the copies differ and the second has the higher generation, so it alone counts",
            generations.seal(),
        ),
        Case::good(
            "success-first-key-copy-bad",
            "the checksum of the first key copy is wrong, the second opens",
            Plan::small().seal().flip(Record::KeyCopy(0), 40),
        )
        .verifies_as_damaged(),
        Case::good(
            "success-first-key-copy-slots-len",
            "slots_len of the first key copy is 2^32 - 1 under a right checksum, the second opens (FORMAT F5.1)",
            slots_len.seal(),
        )
        .verifies_as_damaged(),
        Case::good(
            "success-second-key-copy-bad",
            "the checksum of the second key copy is wrong, the first opens",
            Plan::small().seal().flip_last(Record::KeyCopy(1)),
        )
        .verifies_as_damaged(),
        Case::good(
            "success-newest-key-copy-mac-bad",
            "the newest key copy has a good checksum and a wrong MAC, so the other one is taken",
            newest_without_mac.seal(),
        )
        .verifies_as_damaged(),
        Case::good(
            "success-key-copies-differ",
            "two good copies of one generation differ: the first opens, a complete verification refuses (FORMAT F5.16)",
            Plan::small().with(|plan| plan.key_copies[1].slots.push(Slot::KeyFile(OTHER_CALLER_KEY))).seal(),
        )
        .verifies_as_damaged(),
    ]
}

fn slots() -> Vec<Case> {
    let age = || Plan::small().slots(&[Slot::Age(STREAM_KEY_AGE.to_vec())]).seal();
    let opaque = |kind| Slot::Opaque { kind, body: b"\x04\0name and a wrapped key".to_vec() };
    let another_key = Slot::KeyFileTo { caller_key: CALLER_KEY, stream_key: OTHER_STREAM_KEY };
    let sixteen = [vec![opaque(900); 15], vec![Slot::KeyFile(CALLER_KEY)]].concat();
    vec![
        Case::good("success-age", "a kind-1 slot: an age file that two X25519 recipients open", age())
            .key(CaseKey::Identity(IDENTITY)),
        Case::good("success-age-second-recipient", "the second recipient of the age file", age())
            .key(CaseKey::Identity(SECOND_IDENTITY)),
        Case::good(
            "success-second-slot",
            "two key-file slots, of which the second opens",
            Plan::small().slots(&[Slot::KeyFile(OTHER_CALLER_KEY), Slot::KeyFile(CALLER_KEY)]).seal(),
        ),
        Case::good(
            "success-slot-with-another-key",
            "the first slot opens to a key that is not committed to, the second to the stream key (FORMAT F5.13)",
            Plan::small().slots(&[another_key, Slot::KeyFile(CALLER_KEY)]).seal(),
        ),
        Case::good(
            "success-external-slot-skipped",
            "a kind-3 slot is skipped by a reader that was given a key file",
            Plan::small().slots(&[opaque(3), Slot::KeyFile(CALLER_KEY)]).seal(),
        ),
        Case::good(
            "success-sixteen-slots",
            "as many slots as may be, fifteen of an unknown kind, which are skipped",
            Plan::small().slots(&sixteen).seal(),
        ),
    ]
}

fn choices() -> Vec<Case> {
    let listed = [("b", "2"), ("host", "example"), ("z", "")];
    let empty_key = [("", "of the empty key"), ("a", "1")];
    vec![
        Case::good(
            "success-metadata",
            "three metadata entries, the last with an empty value",
            Plan::small().with(|plan| plan.metadata = entries(&listed)).seal(),
        )
        .metadata(&listed),
        Case::good(
            "success-metadata-empty-key",
            "an empty metadata key, which can only be the first (FORMAT F6.3)",
            Plan::small().with(|plan| plan.metadata = entries(&empty_key)).seal(),
        )
        .metadata(&empty_key),
        Case::good(
            "success-large-key-copies",
            "key copies of 8192 bytes",
            Plan::small().with(|plan| plan.key_copy_len = 8192).seal(),
        ),
        Case::good(
            "success-largest-segment",
            "frames of 4096 bytes, 262144 a segment: 1 GiB, the limit itself",
            Plan::small().with(|plan| plan.frames_per_segment = 262_144).seal(),
        ),
        Case::good(
            "success-largest-frame",
            "a frame length of 4 MiB, the limit itself",
            Plan::small().edit(Record::Preamble, 16, &(4_u32 << 20).to_le_bytes()).seal(),
        ),
    ]
}
