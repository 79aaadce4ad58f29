//! Owns the proofs that the vectors say what the format says, by the reference opener.
//! Refuses to know the files: `cargo xtask vectors --check` compares those.

use super::case::{CaseKey, Expect};
use super::cases;
use super::crypto::sha256;
use super::plan::{CALLER_KEY, Frame, Plan, Record};
use super::reference::{self, Key, KeyCopies, Verdict};
use super::sealed::Sealed;
use super::zstd_frame::{Block, ContentSize, ZstdFrame};
use std::collections::BTreeSet;

const VECTORS_MIN: usize = 500;
const VECTORS_BYTES_MAX: usize = 7 << 20;
const ENTRIES_PER_PAGE: usize = 4096;

#[test]
fn every_case_gets_its_verdicts_from_the_reference_opener() {
    let mut wrong = Vec::new();
    for case in cases::all() {
        let keys = case.keys_given().iter().map(|key| match *key {
            CaseKey::KeyFile(key) => Key::KeyFile(key),
            CaseKey::Identity(text) => Key::AgeIdentity(text.to_owned()),
            CaseKey::Passphrase(text) => Key::Passphrase(text.to_owned()),
        });
        let key = Key::Several(keys.collect());
        let due = case.expect();
        let mut compare = |reader: &str, outcome: Result<reference::Opened, Verdict>, due: Expect| {
            if class(&outcome) != due {
                wrong.push(format!("{}, {reader}: {due:?} is due, not {:?}", case.name(), outcome.err()));
            }
        };
        compare("keyless", reference::verify(case.sealed(), None), due.keyless);
        if !case.is_slow() {
            compare("verify", reference::verify(case.sealed(), Some(&key)), due.verify);
        }
        compare("sequential", reference::open(case.sealed(), &key), due.sequential);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn class(outcome: &Result<reference::Opened, Verdict>) -> Expect {
    match outcome {
        Ok(_) => Expect::Success,
        Err(Verdict::Damaged(_)) => Expect::Damaged,
        Err(Verdict::NotAStream) => Expect::NotAStream,
        Err(Verdict::Truncated) => Expect::Truncated,
        Err(Verdict::NoKey) => Expect::NoKey,
        Err(Verdict::Limit) => Expect::Limit,
        Err(Verdict::Unsupported) => Expect::Unsupported,
    }
}

#[test]
fn names_are_unique_and_all_files_together_stay_small() {
    let cases = cases::all();
    let names: BTreeSet<_> = cases.iter().map(|case| case.file_name()).collect();
    assert_eq!(names.len(), cases.len());
    assert!(names.len() >= VECTORS_MIN);
    let bytes: usize = cases.iter().map(|case| case.file().len()).sum();
    assert!(bytes < VECTORS_BYTES_MAX, "{} vectors of {bytes} bytes", cases.len());
}

#[test]
fn making_the_cases_again_changes_no_byte() {
    assert!(cases::all().iter().map(|case| case.file()).eq(cases::all().iter().map(|case| case.file())));
}

/// Of a stream of 4096 segments and one of 4095 there is no file; of 4097 there is.
#[test]
fn an_index_page_follows_every_4096_segments_and_the_last() {
    let lens = vec![&[1_usize][..]; ENTRIES_PER_PAGE];
    for segments in [ENTRIES_PER_PAGE - 1, ENTRIES_PER_PAGE] {
        let sealed = Plan::of_segments(&lens[..segments]).seal();
        assert_eq!(sealed.record(Record::Directory).len(), 40);
        let opened = reference::open(&sealed.bytes, &Key::KeyFile(CALLER_KEY)).expect("the stream opens");
        assert_eq!((opened.segments, opened.plaintext), (segments, sealed.plaintext));
    }
}

#[test]
fn the_worked_example_of_format_15_comes_out_byte_for_byte() {
    let sealed = Plan::worked_example().seal();
    let expected = "c05ed792227860a63803184a685a882c02c2750b16dffb997d9bf382bfd9080f";
    assert_eq!(hex::encode(sha256(&sealed.bytes)), expected);
    let stream_digest = "2dc74c27ff0d7a6499faa013b81573433e4b467bf28f0d6ae0c8b785280efe75";
    assert_eq!(hex::encode(sealed.stream_digest), stream_digest);
}

#[test]
fn the_compressed_worked_example_of_format_15_comes_out_byte_for_byte() {
    let sealed = Plan::compressed_worked_example().seal();
    assert_eq!(
        hex::encode(sha256(&sealed.bytes)),
        "aebf9361ecdac565938e1a83801bf7775eb32344554009d2f55dfab33c71662e"
    );
    assert_eq!(
        hex::encode(sealed.stream_digest),
        "22caea7162d2f0481deb6caee65c2bdfa7c5092ddf554f19a64c71e7541e283b"
    );
}

/// Two small streams with every kind of record.
fn small_streams() -> [Sealed; 2] {
    let metadata = |plan: &mut Plan| plan.metadata = vec![1, 0, 0, 0, 0, 0, b'k'];
    let run = || ZstdFrame::of(&[Block::Run(b'c', 30)]).frame();
    [
        Plan::of_segments(&[&[10], &[20]]).with(metadata).seal(),
        Plan::compressed(&[&[run()], &[Frame::Plain(20)]]).with(metadata).seal(),
    ]
}

#[test]
fn a_flipped_bit_in_any_byte_is_noticed() {
    for sealed in small_streams() {
        let key_area =
            sealed.record_range(Record::KeyCopy(0)).start..sealed.record_range(Record::KeyCopy(1)).end;
        let mut bytes = sealed.bytes.clone();
        for at in 0..bytes.len() {
            bytes[at] ^= 1 << (at % 8);
            match reference::open(&bytes, &Key::KeyFile(CALLER_KEY)) {
                Ok(opened) => {
                    assert!(key_area.contains(&at), "byte {at} went unnoticed");
                    assert_eq!(opened.key_copies, KeyCopies::Faulty, "byte {at} went unnoticed");
                    assert_eq!(opened.plaintext, sealed.plaintext);
                }
                Err(verdict) => assert!(!key_area.contains(&at), "byte {at}: {verdict:?}"),
            }
            bytes[at] = sealed.bytes[at];
        }
    }
}

#[test]
fn every_shorter_input_is_truncated() {
    for sealed in small_streams() {
        for len in 0..sealed.bytes.len() {
            let outcome = reference::open(&sealed.bytes[..len], &Key::KeyFile(CALLER_KEY));
            assert_eq!(outcome.err(), Some(Verdict::Truncated), "the first {len} bytes");
        }
    }
}

/// So no case is refused for what it was not made for: a decoder that is not strict takes all of these.
#[test]
fn what_only_the_strict_header_forbids_a_decoder_takes() {
    let right = ZstdFrame::of(&[]).descriptor;
    let blocks = [Block::Run(b'c', 100)];
    let frame = ZstdFrame::of(&blocks);
    let skippable = b"\x50\x2A\x4D\x18\0\0\0\0";
    let texts = [
        ZstdFrame { descriptor: right | 1 << 4, ..frame.clone() }.text(),
        ZstdFrame { descriptor: right | 1, before_size: &[0], ..frame.clone() }.text(),
        ZstdFrame { descriptor: right | 1 << 2, after_blocks: &[0x41, 0x65, 0xC2, 0xB8], ..frame.clone() }
            .text(),
        ZstdFrame { descriptor: 0, before_size: &[0], content_size: ContentSize::Absent, ..frame.clone() }
            .text(),
        ZstdFrame { descriptor: 0, before_size: &[0], content_size: ContentSize::Four(100), ..frame.clone() }
            .text(),
        [&frame.text()[..], &ZstdFrame::of(&[Block::Raw(Vec::new())]).text()].concat(),
        [skippable, &frame.text()[..]].concat(),
        [&frame.text()[..], skippable].concat(),
    ];
    for text in texts {
        let plain = zstd::bulk::decompress(&text, 100).expect("a decoder takes it");
        assert_eq!(plain, [b'c'; 100], "{text:x?}");
    }
}
