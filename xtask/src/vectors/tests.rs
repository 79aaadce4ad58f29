//! Owns the proofs that the vectors say what the format says, by the reference opener.
//! Refuses to know the files: `cargo xtask vectors --check` compares those.

use super::case::{CaseKey, Expect};
use super::cases;
use super::plan::{CALLER_KEY, Plan, Record};
use super::reference::{self, Key, Verdict};
use std::collections::BTreeSet;

const VECTORS_MIN: usize = 60;
const VECTORS_BYTES_MAX: usize = 2 << 20;
const ENTRIES_PER_PAGE: usize = 4096;

#[test]
fn every_case_gets_its_verdict_from_the_reference_opener() {
    for case in cases::all() {
        let key = match case.key_given() {
            CaseKey::KeyFile(key) => Key::KeyFile(key),
            CaseKey::Identity(identity) => Key::AgeIdentity(identity.to_owned()),
        };
        let outcome = reference::open(case.sealed(), &key);
        let class = match &outcome {
            Ok(_) => Expect::Success,
            Err(Verdict::Damaged(_)) => Expect::Damaged,
            Err(Verdict::Truncated) => Expect::Truncated,
            Err(Verdict::NoKey) => Expect::NoKey,
            Err(Verdict::Limit) => Expect::Limit,
            Err(Verdict::Unsupported) => Expect::Unsupported,
        };
        assert_eq!(class, case.expect(), "{}: {:?}", case.name(), outcome.err());
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

/// Too large to be checked in: the pages stand after every 4096 segments and after the last.
#[test]
fn an_index_page_follows_every_4096_segments_and_the_last() {
    let lens = vec![&[1_usize][..]; ENTRIES_PER_PAGE + 1];
    for (segments, pages) in [(ENTRIES_PER_PAGE - 1, 1), (ENTRIES_PER_PAGE, 1), (ENTRIES_PER_PAGE + 1, 2)] {
        let sealed = Plan::of_segments(&lens[..segments]).seal();
        assert_eq!(sealed.record(Record::Directory).len(), 8 * pages);
        let opened = reference::open(&sealed.bytes, &Key::KeyFile(CALLER_KEY)).expect("the stream opens");
        assert_eq!((opened.segments, opened.plaintext), (segments, sealed.plaintext));
    }
}

#[test]
fn a_missing_page_between_segments_is_damage() {
    let lens = vec![&[1_usize][..]; ENTRIES_PER_PAGE + 1];
    let sealed = Plan::of_segments(&lens).seal().without(Record::Page(0));
    let outcome = reference::open(&sealed.bytes, &Key::KeyFile(CALLER_KEY));
    assert!(matches!(outcome, Err(Verdict::Damaged(_))), "{:?}", outcome.err());
}
