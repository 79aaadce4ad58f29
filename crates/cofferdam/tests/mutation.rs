//! Owns the exhaustive mutation of a golden stream: no bit, cut, swap, loss, double or splice of it is accepted.
//! Refuses to know which check finds a mutant; the class that is due comes from the reference opener.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use cofferdam::{
    CompressionLevel, Error, ErrorKind, Identities, Identity, IfExists, OnPartial, Opener, Pool, Recipients,
    Sealer, Warning,
};
use reference::Verdict;
use sha2::{Digest, Sha256};

use streams::map::{Kind, Record, records, segments};
use streams::{
    DIGESTS, FRAME, KEY, READINGS, Reading, SEGMENT, SUITES, Shared, class_of, counted, identities_of,
    names_in, open, recipients_of, scratch, seal, threads, verify,
};

/// A stream of three segments of four small frames, and who may open it.
struct Golden {
    sealed: Vec<u8>,
    plaintext: Vec<u8>,
    records: Vec<Record>,
    opener: Opener,
    key: reference::Key,
}

/// The class that a mutant is to be refused in.
#[derive(Clone, Copy)]
enum Due<'a> {
    /// FORMAT gives all mutants of a region this one.
    Stated(&'static str),
    /// One of these: the reference opener says which.
    OneOf(&'a [&'static str]),
}

/// What became of the mutants so far.
#[derive(Default)]
struct Tally {
    mutants: usize,
    /// Opened all the same, and rightly: one key copy is damaged, and the other one served.
    mended: usize,
}

impl Golden {
    fn new(sealer: Sealer, identities: Identities, key: reference::Key) -> Golden {
        Golden::of(counted(3 * SEGMENT - 1000), sealer, identities, key)
    }

    fn of(plaintext: Vec<u8>, sealer: Sealer, identities: Identities, key: reference::Key) -> Golden {
        let sealer = sealer.frame_len(FRAME as u32).segment_len(SEGMENT as u64);
        let sealed = seal(&sealer.metadata("host", "db1").metadata("taken", "at noon"), plaintext.clone());
        let opener = Opener::new(identities).pool(Pool::new(threads(1)).unwrap());
        let golden = Golden { records: records(&sealed), sealed, plaintext, opener, key };
        for reading in READINGS {
            assert!(open(&golden.opener, reading, golden.sealed.clone()).unwrap().1 == golden.plaintext);
            assert_eq!(verify(&golden.opener, reading, golden.sealed.clone()).unwrap().warnings, []);
        }
        golden
    }

    fn key_file() -> Golden {
        Golden::sealed_by(Sealer::new(recipients_of(KEY)))
    }

    fn sealed_by(sealer: Sealer) -> Golden {
        Golden::new(sealer, identities_of(KEY), reference::Key::KeyFile(KEY))
    }

    /// A compressed stream: some of its frames are, and some would not get shorter.
    fn compressed(sealer: Sealer) -> Golden {
        let mut plaintext = counted(3 * SEGMENT - 1000);
        fastrand::Rng::with_seed(1).fill(&mut plaintext[2 * FRAME..3 * FRAME]);
        let sealer = sealer.compression(CompressionLevel::default());
        let golden = Golden::of(plaintext, sealer, identities_of(KEY), reference::Key::KeyFile(KEY));
        let data = golden.ranges(&[Kind::Data]);
        let flags: BTreeSet<u8> = data.iter().map(|range| golden.sealed[range.start + 1]).collect();
        assert_eq!(flags, BTreeSet::from([0, 1]), "frames of both kinds");
        golden
    }

    fn compressed_for_key_file() -> Golden {
        Golden::compressed(Sealer::new(recipients_of(KEY)))
    }

    fn x25519() -> Golden {
        let identity = Identity::generate();
        let file = identity.file_text("today").unwrap();
        let secret = file.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap().to_owned();
        let recipients = Recipients::new().parse(&identity.recipient()).unwrap();
        let identities = Identities::new().identity_file(file.as_bytes()).unwrap();
        Golden::new(Sealer::new(recipients), identities, reference::Key::AgeIdentity(secret))
    }

    fn is_compressed(&self) -> bool {
        self.sealed[12] & 1 == 1
    }

    /// Classes of a change to a byte behind the metadata.
    fn classes(&self) -> &'static [&'static str] {
        if self.is_compressed() { &["damaged", "truncated"] } else { &["damaged"] }
    }

    fn ranges(&self, kinds: &[Kind]) -> Vec<Range<usize>> {
        let chosen = self.records.iter().filter(|record| kinds.contains(&record.kind));
        chosen.map(|record| record.range.clone()).collect()
    }

    /// The record in which the byte at `at` lies.
    fn kind_at(&self, at: usize) -> Kind {
        self.records.iter().find(|record| record.range.contains(&at)).unwrap().kind
    }

    /// The golden stream with the bits of `mask` flipped in its byte at `at`.
    fn flipped(&self, at: usize, mask: u8) -> Vec<u8> {
        let mut mutant = self.sealed.clone();
        mutant[at] ^= mask;
        mutant
    }

    /// As [`Golden::judge_as`], in the class of the reference opener.
    fn judge(&self, mutant: Vec<u8>, tally: &mut Tally, what: impl Fn() -> String) -> &'static str {
        let due = match reference::open(&mutant, &self.key) {
            Ok(_) => "success",
            Err(Verdict::Damaged(_)) => "damaged",
            Err(Verdict::NotAStream) => "not a stream",
            Err(Verdict::Truncated) => "truncated",
            Err(Verdict::NoKey) => "no key",
            Err(Verdict::Limit) => "limit",
            Err(Verdict::Unsupported) => "unsupported",
        };
        self.judge_as(due, mutant, tally, what);
        due
    }

    /// Both readers refuse `mutant`, in the class that is due. A mutant that one key copy alone is wrong in opens, with
    /// the right plaintext and a warning, and a verification refuses it.
    fn judge_as(&self, due: &str, mutant: Vec<u8>, tally: &mut Tally, what: impl Fn() -> String) {
        if mutant == self.sealed {
            return;
        }
        tally.mutants += 1;
        // A compressed frame that says a longer body may reach beyond the end: to the reference, which reads in order, that is
        // truncated, and to who knows the segment's end it is damaged (FORMAT F13.4).
        let overrun = self.is_compressed() && due == "truncated" && mutant.len() == self.sealed.len();
        let mutant = Shared::new(mutant);
        for reading in READINGS {
            let outcome = open(&self.opener, reading, mutant.clone());
            let class = class_of(&outcome);
            let is_due = class == due || (overrun && reading == Reading::Seekable && class == "damaged");
            assert!(is_due, "{}: {class}, {due} is due, {reading:?}", what());
            let Ok((restored, plaintext)) = outcome else { continue };
            assert!(plaintext == self.plaintext, "{}: other plaintext came out", what());
            assert!(
                matches!(restored.warnings[..], [Warning::KeyCopyDamaged { .. }]),
                "{}: a warning",
                what()
            );
            let verified = verify(&self.opener, reading, mutant.clone());
            assert_eq!(class_of(&verified), "damaged", "{}: verification", what());
        }
        tally.mended += usize::from(due == "success");
    }

    /// Flips every bit of the bytes in `range`.
    fn flip(&self, range: Range<usize>, due: Due<'_>, tally: &mut Tally) {
        for at in range {
            for bit in 0..8 {
                let what = || format!("bit {bit} of byte {at}, {:?}", self.kind_at(at));
                let mutant = self.flipped(at, 1 << bit);
                match due {
                    Due::Stated(class) => self.judge_as(class, mutant, tally, what),
                    Due::OneOf(classes) => {
                        let class = self.judge(mutant, tally, what);
                        assert!(classes.contains(&class), "{}: {class}", what());
                    }
                }
            }
        }
    }

    /// Every bit of everything behind the metadata; of ciphertext every `step`-th byte, of DATA headers and tags all.
    fn flip_body(&self, tally: &mut Tally, step: usize) {
        for Record { kind, range, .. } in self.records.iter().filter(|record| record.kind > Kind::Metadata) {
            for at in range.clone() {
                let (head, tail) = (at - range.start, range.end - at);
                if *kind != Kind::Data || head < 16 || tail <= 16 || head.is_multiple_of(step) {
                    self.flip(at..at + 1, Due::OneOf(self.classes()), tally);
                }
            }
        }
    }

    /// All orders of records that differ from the golden one by a swap, a loss or a double.
    fn rearranged(&self, ranges: &[Range<usize>], tally: &mut Tally) {
        for (one, first) in ranges.iter().enumerate() {
            self.refuse(
                &replaced(&self.sealed, &[(first.clone(), &[])]),
                tally,
                &format!("{first:?} dropped"),
            );
            let twice = self.sealed[first.clone()].repeat(2);
            self.refuse(
                &replaced(&self.sealed, &[(first.clone(), &twice)]),
                tally,
                &format!("{first:?} doubled"),
            );
            for second in &ranges[one + 1..] {
                let (a, b) = (self.sealed[first.clone()].to_vec(), self.sealed[second.clone()].to_vec());
                let swapped = replaced(&self.sealed, &[(first.clone(), &b), (second.clone(), &a)]);
                self.refuse(&swapped, tally, &format!("{first:?} and {second:?} swapped"));
            }
        }
    }

    fn refuse(&self, mutant: &[u8], tally: &mut Tally, what: &str) {
        if mutant != self.sealed {
            let class = self.judge(mutant.to_vec(), tally, || what.to_owned());
            assert_ne!(class, "success", "{what}");
        }
    }
}

/// `bytes` with some ranges, in ascending order, replaced.
fn replaced(bytes: &[u8], pieces: &[(Range<usize>, &[u8])]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    for (range, piece) in pieces {
        out.extend(&bytes[at..range.start]);
        out.extend(*piece);
        at = range.end;
    }
    out.extend(&bytes[at..]);
    out
}

impl Tally {
    fn report(&self, what: &str, mutants_min: usize) {
        let Tally { mutants, mended } = self;
        println!(
            "{what}: {mutants} mutants, 0 accepted, {mended} opened by the other key copy and not verified"
        );
        assert!(*mutants >= mutants_min, "{what}: {mutants} mutants, at least {mutants_min} were to be made");
    }
}

#[test]
fn every_bit_of_the_preamble() {
    let (golden, mut tally) = (Golden::key_file(), Tally::default());
    golden.flip(0..8, Due::Stated("not a stream"), &mut tally);
    // Fields that the key of a slot is bound to make it open under no key.
    let classes = ["damaged", "limit", "unsupported", "no key", "truncated"];
    golden.flip(8..128, Due::OneOf(&classes), &mut tally);
    golden.flip(128..4096, Due::Stated("damaged"), &mut tally);
    assert_eq!(tally.mended, 0);
    tally.report("preamble", 4096 * 8);
}

#[test]
fn every_bit_of_the_first_key_copy() {
    let (golden, mut tally) = (Golden::key_file(), Tally::default());
    let copy = golden.ranges(&[Kind::KeyCopy])[0].clone();
    golden.flip(copy, Due::Stated("success"), &mut tally);
    assert_eq!(tally.mended, tally.mutants);
    tally.report("key copy 0", 4096 * 8);
}

#[test]
fn every_bit_of_the_second_key_copy() {
    let (golden, mut tally) = (Golden::key_file(), Tally::default());
    let copy = golden.ranges(&[Kind::KeyCopy])[1].clone();
    golden.flip(copy, Due::Stated("success"), &mut tally);
    assert_eq!(tally.mended, tally.mutants);
    tally.report("key copy 1", 4096 * 8);
}

#[test]
fn every_byte_of_both_key_copies_at_once() {
    let (golden, mut tally) = (Golden::key_file(), Tally::default());
    let copies = golden.ranges(&[Kind::KeyCopy]);
    for at in copies[0].clone() {
        let mut mutant = golden.flipped(at, 1 << (at % 8));
        mutant[at + copies[0].len()] ^= 1 << (at % 7);
        let class = golden.judge(mutant, &mut tally, || format!("byte {at} and its like"));
        assert_eq!(class, "damaged", "byte {at} and its like");
    }
    tally.report("both key copies", 4096);
}

/// A forger can make the checksum right; the MAC and the commitment he cannot.
fn forge_key_copies(golden: &Golden, tally: &mut Tally) {
    let copies = golden.ranges(&[Kind::KeyCopy]);
    let len = copies[0].len();
    let slots_len = golden.sealed[copies[0].start + 16..][..4].try_into().unwrap();
    let slots_end = 32 + u32::from_le_bytes(slots_len) as usize;
    for offset in (0..slots_end + 8).chain(len - 64..len - 32) {
        for bit in 0..8 {
            for forged in [&copies[..1], &copies[1..], &copies[..]] {
                let mut mutant = golden.sealed.clone();
                for copy in forged {
                    let copy = &mut mutant[copy.clone()];
                    copy[offset] ^= 1 << bit;
                    let slots_len = u32::from_le_bytes(copy[16..20].try_into().unwrap()) as usize;
                    let used = 32 + slots_len.min(len - 96);
                    let checksum = Sha256::digest([&copy[..used], &copy[len - 64..len - 32]].concat());
                    copy[len - 32..].copy_from_slice(&checksum);
                }
                let both = forged.len() == 2;
                let what = || format!("bit {bit} of byte {offset} forged in {} key copies", forged.len());
                let class = golden.judge(mutant, tally, what);
                assert!(class != "success" || !both, "{}", what());
            }
        }
    }
}

#[test]
fn key_copies_with_a_forged_checksum() {
    let (golden, mut tally) = (Golden::key_file(), Tally::default());
    forge_key_copies(&golden, &mut tally);
    tally.report("key copies with a forged checksum", 3800);
}

/// An age file with one X25519 stanza and 32 bytes in it (C2SP, age): version line, stanza, its body, MAC line, nonce, payload
/// with its tag.
const AGE_FILE_LEN_MIN: usize = 22 + (10 + 43 + 1) + (43 + 1) + (4 + 43 + 1) + 16 + (32 + 16);

#[test]
fn key_copies_with_an_age_file_and_a_forged_checksum() {
    let (golden, mut tally) = (Golden::x25519(), Tally::default());
    forge_key_copies(&golden, &mut tally);
    // The rest of a slot is of random length: age adds a stanza that nobody understands, or none. Each of these bytes, 32
    // before the slots, 8 and 32 behind them, has eight bits and three ways to be forged.
    tally.report("age: key copies with a forged checksum", (32 + AGE_FILE_LEN_MIN + 8 + 32) * 8 * 3);
}

#[test]
fn every_bit_of_the_metadata_and_of_all_behind_it() {
    let (golden, mut tally) = (Golden::key_file(), Tally::default());
    for metadata in golden.ranges(&[Kind::Metadata]) {
        golden.flip(metadata, Due::OneOf(&["damaged", "limit", "truncated"]), &mut tally);
    }
    golden.flip_body(&mut tally, 61);
    assert_eq!(tally.mended, 0);
    tally.report("metadata, segments, trailer", 18_000);
}

#[test]
fn every_bit_of_a_compressed_stream_behind_the_key_area() {
    let (golden, mut tally) = (Golden::compressed_for_key_file(), Tally::default());
    for metadata in golden.ranges(&[Kind::Metadata]) {
        golden.flip(metadata, Due::OneOf(&["damaged", "limit", "truncated"]), &mut tally);
    }
    golden.flip_body(&mut tally, 7);
    assert_eq!(tally.mended, 0);
    tally.report("compressed: metadata, segments, trailer", 18_000);
}

#[test]
fn every_byte_behind_the_metadata_under_every_suite_and_digest() {
    for suite in SUITES {
        for (digest, is_compressed) in
            DIGESTS.into_iter().flat_map(|digest| [(digest, false), (digest, true)])
        {
            let sealer = Sealer::new(recipients_of(KEY)).suite(suite).digest(digest);
            let golden = if is_compressed { Golden::compressed(sealer) } else { Golden::sealed_by(sealer) };
            let mut tally = Tally::default();
            for Record { kind, range, .. } in
                golden.records.iter().filter(|record| record.kind > Kind::Metadata)
            {
                let dense = |at: &usize| *kind != Kind::Data || at - range.start < 16 || range.end - at <= 16;
                for at in range.clone().filter(|at| dense(at) || at.is_multiple_of(64)) {
                    let mutant = golden.flipped(at, 1 << (at * 5 % 8));
                    let class = golden.judge(mutant, &mut tally, || format!("byte {at}, {kind:?}"));
                    assert!(golden.classes().contains(&class), "byte {at}, {kind:?}: {class}");
                }
            }
            tally.report(&format!("{suite:?}, {digest:?}, compressed: {is_compressed}"), 1800);
        }
    }
}

#[test]
fn every_byte_of_a_stream_for_an_age_identity() {
    let (golden, mut tally) = (Golden::x25519(), Tally::default());
    for at in 0..golden.sealed.len() {
        let kind = golden.kind_at(at);
        // Zeros and ciphertext are many and alike: the tests with a key file take them all.
        let thin = matches!(kind, Kind::Preamble | Kind::KeyCopy | Kind::Data);
        if thin && golden.sealed[at] == 0 && !at.is_multiple_of(16)
            || kind == Kind::Data && !at.is_multiple_of(16)
        {
            continue;
        }
        let mask = 1 << (at * 5 % 8);
        let class = golden.judge(golden.flipped(at, mask), &mut tally, || format!("byte {at}, {kind:?}"));
        assert_eq!(class == "success", kind == Kind::KeyCopy, "byte {at}, {kind:?}");
    }
    tally.report("age: bytes", 5000);
}

#[test]
fn every_length() {
    every_length_of(&Golden::key_file(), "lengths");
    every_length_of(&Golden::compressed_for_key_file(), "compressed: lengths");
}

fn every_length_of(golden: &Golden, name: &str) {
    let mut tally = Tally::default();
    for len in 0..golden.sealed.len() {
        golden.judge_as("truncated", golden.sealed[..len].to_vec(), &mut tally, || {
            format!("cut to {len} bytes")
        });
    }
    for more in [vec![0], vec![0; 4096], golden.sealed.clone()] {
        let class =
            golden.judge([&golden.sealed[..], &more].concat(), &mut tally, || "bytes behind".to_owned());
        assert_eq!(class, "damaged", "{} bytes behind the footer", more.len());
    }
    tally.report(name, golden.sealed.len());
}

#[test]
fn every_length_around_the_edges_of_records_for_an_age_identity() {
    let (golden, mut tally) = (Golden::x25519(), Tally::default());
    let edges: Vec<usize> = golden.records.iter().map(|record| record.range.end).collect();
    let near = |len: &usize| edges.iter().any(|edge| len.abs_diff(*edge) <= 20);
    for len in (0..golden.sealed.len()).filter(near) {
        let class = golden.judge(golden.sealed[..len].to_vec(), &mut tally, || format!("cut to {len} bytes"));
        assert_eq!(class, "truncated", "cut to {len} bytes");
    }
    tally.report("age: lengths", 900);
}

#[test]
fn every_record_swapped_dropped_and_doubled() {
    let goldens = [
        (Golden::key_file(), "records"),
        (Golden::x25519(), "age: records"),
        (Golden::compressed_for_key_file(), "compressed: records"),
    ];
    for (golden, name) in goldens {
        let mut tally = Tally::default();
        let all: Vec<_> = golden.records.iter().map(|record| record.range.clone()).collect();
        golden.rearranged(&all, &mut tally);
        golden.rearranged(&segments(&golden.sealed), &mut tally);
        assert_eq!(tally.mended, 0);
        tally.report(name, 400);
    }
}

#[test]
fn every_record_and_segment_of_another_stream_for_the_same_recipient() {
    splices(&Golden::key_file(), &Golden::key_file(), "splices");
    let [golden, other] = [(); 2].map(|()| Golden::compressed_for_key_file());
    splices(&golden, &other, "compressed: splices");
}

fn splices(golden: &Golden, other: &Golden, name: &str) {
    let mut tally = Tally::default();
    let splice = |range: &Range<usize>, theirs: &Range<usize>, tally: &mut Tally, what: &str| {
        let mutant = replaced(&golden.sealed, &[(range.clone(), &other.sealed[theirs.clone()])]);
        golden.refuse(&mutant, tally, &format!("{what} {range:?} from {theirs:?} of another stream"));
    };
    for ours in segments(&golden.sealed) {
        for theirs in segments(&other.sealed) {
            splice(&ours, &theirs, &mut tally, "segment");
        }
    }
    for ours in golden.records.iter().filter(|record| record.kind != Kind::KeyCopy) {
        for theirs in other.records.iter().filter(|record| record.kind == ours.kind) {
            splice(&ours.range, &theirs.range, &mut tally, "record");
        }
    }
    // Both key copies, then all that stands before each record.
    splice(&(4096..12_288), &(4096..12_288), &mut tally, "key area");
    for record in &golden.records[1..] {
        let begin = 0..record.range.start;
        splice(&begin, &begin, &mut tally, "beginning");
    }
    assert_eq!(tally.mended, 0);
    tally.report(name, 200);
}

#[test]
fn one_key_copy_of_another_stream_does_no_harm() {
    let (golden, other, mut tally) = (Golden::key_file(), Golden::key_file(), Tally::default());
    for copy in golden.ranges(&[Kind::KeyCopy]) {
        let mutant = replaced(&golden.sealed, &[(copy.clone(), &other.sealed[copy.clone()])]);
        golden.judge(mutant, &mut tally, || format!("key copy {copy:?} of another stream"));
    }
    tally.report("key copies of another stream", 2);
}

#[test]
fn a_file_target_stays_as_it_was_and_beside_it_is_only_what_can_be_gone_on_with() {
    let (golden, mut mutants) = (Golden::key_file(), 0);
    let directory = scratch();
    let [sealed, target] = ["sealed.cfd", "target"].map(|name| directory.path().join(name));
    let damage =
        golden.ranges(&[Kind::SegmentHeader, Kind::Data, Kind::Digest, Kind::Terminator, Kind::Footer]);
    let cuts = damage.iter().map(|range| golden.sealed[..range.end - 1].to_vec());
    let flips = damage.iter().map(|range| golden.flipped(range.end - 1, 1));
    for mutant in flips.chain(cuts) {
        fs::write(&sealed, &mutant).unwrap();
        // What a mutant before this one has left would be gone on with, past its damage.
        let opener = Opener::new(identities_of(KEY)).threads(threads(2)).on_partial(OnPartial::Discard);
        let refused = opener.restore_file(&sealed, &target).unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Damaged | ErrorKind::Truncated), "{refused}");
        assert_left(directory.path(), &refused);
        assert!(!target.exists(), "{refused}");
        fs::write(&target, b"the old contents").unwrap();
        let again = opener.if_exists(IfExists::Replace).restore_file(&sealed, &target).unwrap_err();
        assert_eq!(again.kind(), refused.kind());
        assert_eq!(fs::read(&target).unwrap(), b"the old contents");
        assert_left(directory.path(), &again);
        fs::remove_file(&target).unwrap();
        mutants += 1;
    }
    println!("files: {mutants} mutants, 0 accepted, 0 bytes at the target");
    assert!(mutants >= 40);
}

/// Beside sealed file and target there are staging file and journal where the error says that something is kept, and
/// nothing otherwise.
fn assert_left(directory: &Path, error: &Error) {
    let mut left = names_in(directory);
    left.retain(|name| !["sealed.cfd", "target"].map(Path::new).contains(&name.as_path()));
    let kept = [".target.cofferdam-journal", ".target.cofferdam-staging"].map(PathBuf::from);
    let due = if error.resumable_bytes().is_some() { &kept[..] } else { &[] };
    assert_eq!(left, due, "{error}");
}
