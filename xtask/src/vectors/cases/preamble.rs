//! Owns the faults of the preamble: every field, the reserved bytes and the padding.
//! Refuses to know the key area, but for what a changed preamble does to a slot.

use super::super::case::{Case, CaseKey, Expect, IDENTITY};
use super::super::plan::{Plan, Record, Slot};
use super::key_area::STREAM_KEY_AGE;

const VERSION: usize = 8;
const SUITE: usize = 10;
const DIGEST: usize = 11;
const FLAGS: usize = 12;
const FRAME_LEN_FIELD: usize = 16;
const FRAMES_PER_SEGMENT: usize = 20;
const RESERVED: usize = 24;
const STREAM_ID: usize = 32;
const COMMITMENT: usize = 80;
const KEY_COPY_LEN: usize = 112;
const RESERVED_END: usize = 127;
const PADDING_END: usize = 4095;

pub(super) fn cases() -> Vec<Case> {
    [unknown(), sizes(), zeros(), changed_after_sealing()].into_iter().flatten().collect()
}

/// A stream whose preamble says this from the beginning. It ends with its preamble, which a reader judges before all
/// else.
fn says(name: &str, expect: Expect, comment: &str, at: usize, bytes: &[u8]) -> Case {
    Case::bad(
        &format!("preamble-{name}"),
        expect,
        comment,
        Plan::small().edit(Record::Preamble, at, bytes).seal().cut_after(Record::Preamble),
    )
}

fn unknown() -> Vec<Case> {
    let sealed = Plan::small().seal().cut_after(Record::Preamble);
    let block = sealed.record(Record::Preamble).to_vec();
    let without_return = [&block[..4], &block[5..]].concat();
    let text_mode = sealed.clone().replace(Record::Preamble, &without_return);
    let cut = |bytes: &[u8]| sealed.clone().replace(Record::Preamble, bytes);
    let other = |name, comment, sealed| Case::bad(name, Expect::NotAStream, comment, sealed);
    let unsupported = |name, comment, at, bytes: &[u8]| says(name, Expect::Unsupported, comment, at, bytes);
    vec![
        says("magic", Expect::NotAStream, "the first byte of the magic is 0x88", 0, &[0x88]),
        other("preamble-magic-text-mode", "a text-mode transfer took the CR out of the magic", text_mode),
        other("preamble-magic-short", "three bytes, of which the third is not the magic's", cut(b"\x89CG")),
        other("preamble-magic-one-byte", "one byte, which is not the magic's first", cut(b"a")),
        unsupported("version-0", "version 0", VERSION, &[0, 0]),
        unsupported("version-2", "version 2", VERSION, &[2, 0]),
        unsupported("suite-0", "suite 0", SUITE, &[0]),
        unsupported("suite-3", "suite 3", SUITE, &[3]),
        unsupported("digest-0", "digest 0", DIGEST, &[0]),
        unsupported("digest-4", "digest 4", DIGEST, &[4]),
        unsupported("flag-1", "flag bit 1 is unknown", FLAGS, &[2]),
        unsupported("flag-31", "flag bit 31 is unknown", FLAGS + 3, &[0x80]),
    ]
}

fn sizes() -> Vec<Case> {
    let number = |value: u32| value.to_le_bytes();
    vec![
        says("frame-len-0", Expect::Limit, "frame_len 0", FRAME_LEN_FIELD, &number(0)),
        says(
            "frame-len-small",
            Expect::Limit,
            "frame_len 2048 is below the limit",
            FRAME_LEN_FIELD,
            &number(2048),
        ),
        says(
            "frame-len-large",
            Expect::Limit,
            "frame_len 8 MiB is above the limit",
            FRAME_LEN_FIELD,
            &number(8 << 20),
        ),
        says(
            "frame-len-odd",
            Expect::Damaged,
            "frame_len 5000 is no multiple of 4096",
            FRAME_LEN_FIELD,
            &number(5000),
        ),
        says("frames-per-segment-0", Expect::Damaged, "frames_per_segment 0", FRAMES_PER_SEGMENT, &number(0)),
        says(
            "segment-len",
            Expect::Limit,
            "frame_len times frames_per_segment is 4096 bytes above 1 GiB",
            FRAMES_PER_SEGMENT,
            &number(262_145),
        ),
        says(
            "segment-len-overflow",
            Expect::Limit,
            "frame_len times frames_per_segment is 2^32, which is 0 in 32 bits",
            FRAMES_PER_SEGMENT,
            &number(1 << 20),
        ),
        says("key-copy-len-0", Expect::Damaged, "L is 0", KEY_COPY_LEN, &number(0)),
        says(
            "key-copy-len-odd",
            Expect::Damaged,
            "L is 4100, no multiple of 4096",
            KEY_COPY_LEN,
            &number(4100),
        ),
        says(
            "key-copy-len-large",
            Expect::Limit,
            "L is 4096 bytes above 256 KiB",
            KEY_COPY_LEN,
            &number((256 << 10) + 4096),
        ),
        says(
            "key-copy-len-large-odd",
            Expect::Damaged,
            "L is one byte above 256 KiB: the multiple is checked before the limit",
            KEY_COPY_LEN,
            &number((256 << 10) + 1),
        ),
    ]
}

fn zeros() -> Vec<Case> {
    let damaged = |name, comment, at| says(name, Expect::Damaged, comment, at, &[1]);
    vec![
        damaged("reserved", "byte 24, reserved, is 1", RESERVED),
        damaged("reserved-end", "byte 127, reserved, is 1", RESERVED_END),
        damaged("padding", "byte 128, padding, is 1", RESERVED_END + 1),
        damaged("padding-end", "byte 4095, padding, is 1", PADDING_END),
    ]
}

/// Bytes 0..80 are bound to a kind-2 slot, so a change there shuts it; an age file opens, and the commitment differs.
fn changed_after_sealing() -> Vec<Case> {
    let key_file = Plan::small();
    let age = Plan::small().slots(&[Slot::Age(STREAM_KEY_AGE.to_vec())]);
    let no_commitment = Plan::small().edit(Record::Preamble, COMMITMENT, &[0; 32]);
    vec![
        Case::bad(
            "preamble-stream-id-flipped",
            Expect::NoKey,
            "a changed stream_id shuts a kind-2 slot",
            key_file.seal().flip(Record::Preamble, STREAM_ID),
        ),
        Case::damaged(
            "preamble-stream-id-flipped-age",
            "an age slot opens under a changed stream_id, and the commitment differs",
            age.seal().flip(Record::Preamble, STREAM_ID),
        )
        .key(CaseKey::Identity(IDENTITY)),
        Case::damaged("preamble-commitment", "the commitment is to no key at all", no_commitment.seal()),
    ]
}
