//! Owns sealings that are cut off at every place there is, and gone on with.
//! Refuses to know how the sealer finds out where to go on: a map of the finished stream says where it must have.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, FileTimes};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aes_gcm::aead::{Aead, KeyInit};
use cofferdam::{
    CancelToken, DigestKind, Earlier, Error, ErrorKind, Existing, Identities, Observer, Progress, Sealed,
    Sealer, Suite, Warning,
};
use hkdf::Hkdf;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use sha2::Sha256;
use sinks::{Checkpoint, Label, Opened, StageOptions, StagedFile, StreamingSink};
use tempfile::TempDir;

use reference::Key;
use streams::map::{Kind, ranges, records, segments};
use streams::{
    FRAME, KEY, OTHER_KEY, SEGMENT, counted, identities_of, names_in, scratch, small_sealer, threads,
};

/// A directory with an input, and room for an output.
struct Place {
    directory: TempDir,
    plaintext: Vec<u8>,
}

/// What an interrupted sealing has left.
#[derive(Clone)]
struct Left {
    staging: Vec<u8>,
    state: Vec<u8>,
}

impl Place {
    fn new(plaintext: Vec<u8>) -> Place {
        let place = Place { directory: scratch(), plaintext };
        fs::write(place.input(), &place.plaintext).unwrap();
        place
    }

    fn input(&self) -> PathBuf {
        self.directory.path().join("input")
    }

    fn output(&self) -> PathBuf {
        self.directory.path().join("sealed.cfd")
    }

    fn staging(&self) -> PathBuf {
        self.directory.path().join(".sealed.cfd.cofferdam-staging")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join(".sealed.cfd.cofferdam-journal")
    }

    fn seal(&self, sealer: &Sealer) -> Result<Sealed, Error> {
        sealer.seal_file_resumable(&self.input(), &self.output(), &identities_of(KEY))
    }

    /// Seals until so many segments have committed, in this and earlier attempts.
    fn seal_until(&self, sealer: Sealer, segments: u64) -> Left {
        let token = CancelToken::new();
        let observer = Arc::new(Interruption { segments, token: token.clone() });
        let interrupted = self.seal(&sealer.observer(observer).cancel(token)).unwrap_err();
        assert_eq!(interrupted.kind(), ErrorKind::Cancelled);
        assert!(interrupted.kept() >= Some(1), "{interrupted:?}");
        self.left()
    }

    fn left(&self) -> Left {
        Left { staging: fs::read(self.staging()).unwrap(), state: fs::read(self.state()).unwrap() }
    }

    fn put(&self, left: &Left) {
        fs::write(self.staging(), &left.staging).unwrap();
        fs::write(self.state(), &left.state).unwrap();
    }

    /// The sealed stream, which opens with the reference; then it is removed.
    fn take_sealed(&self) -> Vec<u8> {
        let sealed = fs::read(self.output()).unwrap();
        let opened = reference::open(&sealed, &Key::KeyFile(KEY)).unwrap();
        assert!(opened.plaintext == self.plaintext);
        let names: Vec<_> = ["input", "sealed.cfd"].map(PathBuf::from).into();
        assert_eq!(names_in(self.directory.path()), names, "nothing else is left");
        fs::remove_file(self.output()).unwrap();
        sealed
    }
}

/// Cancels once so many segments have committed.
struct Interruption {
    segments: u64,
    token: CancelToken,
}

impl Observer for Interruption {
    fn progress(&self, progress: &Progress) {
        if progress.segments >= self.segments {
            self.token.cancel();
        }
    }
}

/// Notes what it is told.
#[derive(Default)]
struct Notes {
    resumed: Mutex<Option<(u64, u64)>>,
    warnings: Mutex<Vec<Warning>>,
}

impl Observer for Notes {
    fn progress(&self, _: &Progress) {}

    fn resumed(&self, kept: u64, segments: u64) {
        *self.resumed.lock().unwrap() = Some((kept, segments));
    }

    fn warning(&self, warning: &Warning) {
        self.warnings.lock().unwrap().push(*warning);
    }
}

/// Goes on with what is left: the first `kept` segments are as they were, all others are new.
fn assert_goes_on(place: &Place, left: &Left, whole: &[u8], kept: usize, what: &str) -> Vec<u8> {
    place.put(left);
    let notes = Arc::new(Notes::default());
    place.seal(&small_sealer().observer(notes.clone())).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    let sealed = place.take_sealed();
    let resumed = notes.resumed.lock().unwrap().map(|(_, segments)| segments as usize);
    let warned = notes.warnings.lock().unwrap().contains(&Warning::NothingToGoOnWith);
    assert_eq!((resumed, warned), ((kept > 0).then_some(kept), kept == 0), "{what}");
    let before = segments(whole);
    match kept.checked_sub(1) {
        Some(last) => {
            assert!(sealed[..before[last].end] == whole[..before[last].end], "{what}: what is kept changed");
        }
        None => assert_ne!(sealed[..128], whole[..128], "{what}: a new stream has a new beginning"),
    }
    let abandoned: HashSet<_> = before.iter().map(|segment| salt(whole, segment)).collect();
    for segment in &segments(&sealed)[kept..] {
        assert!(!abandoned.contains(salt(&sealed, segment)), "{what}: an abandoned salt came again");
    }
    sealed
}

fn salt<'a>(sealed: &'a [u8], segment: &Range<usize>) -> &'a [u8] {
    &sealed[segment.start + 32..segment.start + 48]
}

/// A place with a sealing of five segments and a bit, interrupted after the last, when all of it was there.
fn sealed_whole() -> (Place, Left) {
    let place = Place::new(counted(5 * SEGMENT + FRAME + 7));
    let left = place.seal_until(small_sealer().threads(threads(2)), 6);
    assert_eq!(segments(&left.staging).len(), 6);
    (place, left)
}

#[test]
fn cut_anywhere_a_sealing_goes_on_behind_the_last_whole_segment() {
    let (place, left) = sealed_whole();
    let whole = left.staging.clone();
    let ends: Vec<usize> = segments(&whole).iter().map(|segment| segment.end).collect();
    let mut cuts = HashSet::from([0, 1, whole.len() - 1, whole.len()]);
    for record in records(&whole) {
        let Range { start, end } = record.range;
        cuts.extend([start, start + 1, (start + end) / 2, end - 1, end, end + 1]);
    }
    cuts.retain(|cut| *cut <= whole.len());
    assert!(cuts.len() > 180, "{} cuts", cuts.len());
    for cut in cuts {
        let left = Left { staging: whole[..cut].to_vec(), state: left.state.clone() };
        let kept = ends.iter().filter(|end| **end <= cut).count();
        let sealed = assert_goes_on(&place, &left, &whole, kept, &format!("cut at {cut}"));
        // Nothing behind LAST is random.
        assert_eq!(kept == 6, sealed == whole, "cut at {cut}");
    }
}

#[test]
fn changed_anywhere_a_sealing_goes_on_behind_the_last_segment_before_the_change() {
    let (place, left) = sealed_whole();
    let whole = left.staging.clone();
    let mut places = 0;
    for record in records(&whole) {
        let kept = match record.kind {
            // One key copy may be damaged: the other one serves.
            Kind::KeyCopy => continue,
            Kind::Preamble if record.range.start == 0 => 0,
            Kind::Preamble | Kind::Metadata => 0,
            Kind::SegmentHeader | Kind::Data | Kind::Digest | Kind::Terminator => record.segment,
            Kind::Page | Kind::Directory | Kind::Footer => 6,
        };
        let Range { start, end } = record.range;
        for at in [start, (start + end) / 2, end - 1] {
            let mut left = left.clone();
            left.staging[at] ^= 0x10;
            assert_goes_on(&place, &left, &whole, kept, &format!("byte {at} of a {:?}", record.kind));
            places += 1;
        }
    }
    assert!(places > 120, "{places} places");
}

#[test]
fn a_hole_of_zeros_is_not_taken_for_what_was_sealed() {
    // What a power cut leaves where the length of a file was durable before its bytes.
    let (place, left) = sealed_whole();
    let whole = left.staging.clone();
    for (index, segment) in segments(&whole).into_iter().enumerate() {
        let mut left = left.clone();
        left.staging[segment].fill(0);
        assert_goes_on(&place, &left, &whole, index, &format!("segment {index} is zeros"));
    }
    let mut left = left;
    left.staging[..4096].fill(0);
    assert_goes_on(&place, &left, &whole, 0, "the preamble is zeros");
}

#[test]
fn with_one_key_copy_damaged_a_sealing_goes_on_and_says_so() {
    let (place, mut left) = sealed_whole();
    let copy = ranges(&left.staging, Kind::KeyCopy)[0].clone();
    left.staging[copy.start + 40] ^= 1;
    place.put(&left);
    let notes = Arc::new(Notes::default());
    place.seal(&small_sealer().observer(notes.clone())).unwrap();
    assert_eq!(*notes.warnings.lock().unwrap(), [Warning::KeyCopyDamaged { copy: 0 }]);
    assert!(fs::read(place.output()).unwrap() == left.staging);
}

#[test]
fn every_length_form_and_number_of_threads_goes_on_from_every_segment() {
    for len in [0, 1, FRAME, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT, 3 * SEGMENT + FRAME] {
        let place = Place::new(counted(len));
        let total = len.div_ceil(SEGMENT).max(1);
        for after in 1..=total {
            let sealer = || small_sealer().threads(threads(1 + after % 4));
            // Of an empty input there is nothing to keep but the state.
            let token = CancelToken::new();
            let observer = Arc::new(Interruption { segments: after as u64, token: token.clone() });
            place.seal(&sealer().observer(observer).cancel(token)).unwrap_err();
            let report = place.seal(&sealer()).unwrap();
            assert_eq!((report.segments as usize, report.plaintext_len as usize), (total, len));
            assert!(report.kept >= (after * SEGMENT).min(len) as u64);
            assert_eq!(place.take_sealed().len() as u64, report.wire_len);
        }
    }
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        for digest in streams::DIGESTS {
            let place = Place::new(counted(4 * SEGMENT));
            place.seal_until(small_sealer().suite(suite).digest(digest), 2);
            assert!(place.seal(&small_sealer()).unwrap().kept >= 2 * SEGMENT as u64);
            place.take_sealed();
        }
    }
}

/// A frame's place under a key of its own: stream, attempt salt, kind and index.
type Spot = (Vec<u8>, Vec<u8>, u8, u32);

/// All frames that stand in a stream up to where it ends, or to where a hole is.
fn frames(bytes: &[u8]) -> Vec<(Spot, Vec<u8>)> {
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut frames = Vec::new();
    let headers = bytes.windows(8).enumerate().filter(|(_, magic)| magic == b"CFDSEG1\0");
    for (header, _) in headers.filter(|(at, _)| at + 48 <= bytes.len()) {
        let salt = bytes[header + 32..header + 48].to_vec();
        let mut at = header + 48;
        while at + 16 <= bytes.len() && matches!(bytes[at], 1..=3) {
            let end = at + 16 + u32_at(at + 12) as usize;
            if end > bytes.len() {
                break;
            }
            let spot = (bytes[32..80].to_vec(), salt.clone(), bytes[at], u32_at(at + 4));
            frames.push((spot, bytes[at..end].to_vec()));
            if bytes[at] == 3 {
                break;
            }
            at = end;
        }
    }
    frames
}

#[test]
fn over_many_attempts_no_frame_is_ever_encrypted_to_two_different_bodies() {
    let place = Place::new(counted(24 * SEGMENT + 5));
    let mut seen: HashMap<Spot, Vec<u8>> = HashMap::new();
    let mut attempts = 0;
    let mut note = |bytes: &[u8]| {
        for (spot, frame) in frames(bytes) {
            let before = seen.entry(spot).or_insert_with(|| frame.clone());
            assert!(*before == frame, "one nonce, two bodies");
        }
        seen.len()
    };
    let mut count = 0;
    // Steps of two segments forward, and now and then something of it is lost again.
    for until in (2..=24).step_by(2) {
        let mut left = place.seal_until(small_sealer().threads(threads(3)), until);
        count = note(&left.staging);
        attempts += 1;
        let lost = [0, 100, SEGMENT + 300, 2 * SEGMENT + 5000][until as usize / 2 % 4];
        let end = left.staging.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        left.staging.truncate(end.saturating_sub(lost));
        place.put(&left);
    }
    place.seal(&small_sealer()).unwrap();
    let whole = place.take_sealed();
    let due = segments(&whole).len() * 6;
    count = count.max(note(&whole));
    assert!(attempts == 12 && count > due + 20, "{count} frames in {attempts} attempts, {due} in the result");
}

#[test]
fn an_input_that_changed_is_an_error_that_says_so() {
    let place = Place::new(counted(6 * SEGMENT));
    let left = place.seal_until(small_sealer(), 3);
    let times = fs::metadata(place.input()).unwrap().modified().unwrap();
    let touch = |time: SystemTime| {
        let input = File::options().write(true).open(place.input()).unwrap();
        input.set_times(FileTimes::new().set_modified(time)).unwrap();
    };
    let refused = |words: &str| {
        let refused = place.seal(&small_sealer()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io, "{refused:?}");
        assert!(format!("{refused:?}").contains(words), "{refused:?}");
        assert!(format!("{refused:?}").contains("--restart"), "{refused:?}");
        assert!(place.left().staging == left.staging && place.left().state == left.state);
    };

    let longer = [&place.plaintext[..], b"more"].concat();
    fs::write(place.input(), &longer).unwrap();
    touch(times);
    refused("98308 bytes, and had 98304");

    fs::write(place.input(), &place.plaintext).unwrap();
    touch(times + Duration::from_nanos(1));
    refused("modified after");

    // The last segment that stands in the file, whole, is the one that is looked at.
    let last = ranges_of_whole_segments(&left.staging) - 1;
    let mut changed = place.plaintext.clone();
    changed[last * SEGMENT + 5] ^= 1;
    fs::write(place.input(), &changed).unwrap();
    touch(times);
    refused("other bytes");

    fs::write(place.input(), &place.plaintext).unwrap();
    touch(times);
    place.seal(&small_sealer()).unwrap();
    place.take_sealed();
}

/// How many segments stand in a stream from its front, each up to its TERMINATOR.
fn ranges_of_whole_segments(staging: &[u8]) -> usize {
    frames(staging).iter().filter(|((_, _, kind, _), _)| *kind == 3).count()
}

#[test]
fn a_changed_input_is_sealed_anew_when_that_is_asked_for() {
    let mut place = Place::new(counted(6 * SEGMENT));
    let left = place.seal_until(small_sealer(), 3);
    place.plaintext = counted(4 * SEGMENT);
    fs::write(place.input(), &place.plaintext).unwrap();
    let sealed = place.seal(&small_sealer().earlier(Earlier::Discard)).unwrap();
    assert_eq!(sealed.kept, 0);
    assert_ne!(place.take_sealed()[..128], left.staging[..128]);
}

#[test]
fn another_input_is_told_from_a_changed_one() {
    let place = Place::new(counted(6 * SEGMENT));
    place.seal_until(small_sealer(), 3);
    // The first input keeps its inode number as long as it stands.
    fs::rename(place.input(), place.directory.path().join("first")).unwrap();
    fs::write(place.input(), b"another").unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::OtherJournal);
    // A copy that is the same in all that counts serves as well.
    fs::remove_file(place.input()).unwrap();
    fs::copy(place.directory.path().join("first"), place.input()).unwrap();
    let first = fs::metadata(place.directory.path().join("first")).unwrap();
    let copy = File::options().write(true).open(place.input()).unwrap();
    copy.set_times(FileTimes::new().set_modified(first.modified().unwrap())).unwrap();
    assert_ne!(copy.metadata().unwrap().ino(), first.ino());
    fs::remove_file(place.directory.path().join("first")).unwrap();
    place.seal(&small_sealer()).unwrap();
    place.take_sealed();
}

#[test]
fn without_a_key_that_opens_it_nothing_goes_on_and_nothing_is_lost() {
    let place = Place::new(counted(6 * SEGMENT));
    let left = place.seal_until(small_sealer(), 3);
    for identities in [Identities::new(), identities_of(OTHER_KEY)] {
        let refused = small_sealer().seal_file_resumable(&place.input(), &place.output(), &identities);
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NoKey);
        assert!(refused.advice().unwrap().contains("--restart"));
        assert!(place.left().staging == left.staging && place.left().state == left.state);
    }
    let sealer = small_sealer().earlier(Earlier::Discard);
    sealer.seal_file_resumable(&place.input(), &place.output(), &Identities::new()).unwrap();
    assert_ne!(place.take_sealed()[..128], left.staging[..128]);
}

#[test]
fn a_stream_keeps_its_form_and_another_one_that_is_asked_for_is_refused() {
    let place = Place::new(counted(6 * SEGMENT));
    let begun = || small_sealer().suite(Suite::Aes256Gcm).digest(DigestKind::Sha256).metadata("host", "db1");
    place.seal_until(begun(), 3);
    let others = [
        begun().suite(Suite::ChaCha20Poly1305),
        begun().digest(DigestKind::Blake3),
        begun().frame_len(2 * FRAME as u32),
        begun().segment_len(2 * SEGMENT as u64),
        begun().metadata("host2", "db2"),
        small_sealer().metadata("host", "db2"),
    ];
    for other in others {
        assert_eq!(place.seal(&other).unwrap_err().kind(), ErrorKind::Usage);
    }
    // What is not said is as it was.
    let unsaid = Sealer::new(streams::recipients_of(KEY)).threads(threads(4)).memory(1 << 20);
    place.seal(&unsaid).unwrap();
    let sealed = place.take_sealed();
    let opened = reference::open(&sealed, &Key::KeyFile(KEY)).unwrap();
    assert_eq!(opened.metadata, [(b"host".to_vec(), b"db1".to_vec())]);
}

#[test]
fn the_state_is_short_and_has_no_secret_in_it() {
    let place = Place::new(counted(6 * SEGMENT));
    let Left { staging, state } = place.seal_until(small_sealer(), 3);
    assert!(state.len() < 1000, "{} bytes", state.len());
    for secret in [stream_key(&staging), KEY] {
        for part in secret.windows(4) {
            assert!(!state.windows(4).any(|window| window == part), "a part of a key is in the state");
        }
    }
    for part in place.plaintext.chunks_exact(16).step_by(16) {
        assert!(!state.windows(16).any(|window| window == part), "plaintext is in the state");
    }
}

/// The stream key, from the kind-2 slot (FORMAT F5.10), by other code than the sealer's.
fn stream_key(sealed: &[u8]) -> [u8; 32] {
    let slot = &sealed[4096 + 40..4096 + 120];
    let mut secret = [0; 44];
    let info = [b"cofferdam/v1/slot2\0", &sealed[..80]].concat();
    Hkdf::<Sha256>::new(Some(&slot[..32]), &KEY).expand(&info, &mut secret).unwrap();
    let cipher = aes_gcm::Aes256Gcm::new(secret[..32].try_into().unwrap());
    let opened = cipher.decrypt(secret[32..].try_into().unwrap(), &slot[32..]).unwrap();
    opened.try_into().unwrap()
}

/// Leaves a journal with this label beside the output, as a sink of another make would.
fn leave_journal(place: &Place, label: &[u8]) {
    let label = Label::new(label).unwrap();
    let Opened::Fresh(mut sink) =
        StagedFile::open(&place.output(), &StageOptions::default(), &label).unwrap()
    else {
        panic!("there is something already");
    };
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, b"something").unwrap();
    sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).unwrap();
}

/// The label in a state: its length stands at byte 12, and it follows.
fn label_of(state: &[u8]) -> &[u8] {
    let len = u32::from_le_bytes(state[12..16].try_into().unwrap()) as usize;
    &state[16..16 + len]
}

#[test]
fn a_journal_of_something_else_is_refused_and_kept() {
    let place = Place::new(counted(2 * SEGMENT));
    for label in [&b""[..], b"a restore, perhaps", &[7; 120], &[0; 384]] {
        leave_journal(&place, label);
        let left = place.left();
        let refused = place.seal(&small_sealer()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OtherJournal);
        assert!(refused.advice().unwrap().contains("--restart"));
        assert!(place.left().staging == left.staging && place.left().state == left.state);
        place.seal(&small_sealer().earlier(Earlier::Discard)).unwrap();
        place.take_sealed();
    }
}

#[test]
fn a_state_that_was_forged_is_found_out_by_its_mac() {
    let place = Place::new(counted(4 * SEGMENT));
    let left = place.seal_until(small_sealer(), 2);
    let good = label_of(&left.state).to_vec();
    // Its length, its inode, its stream, its MAC: with a journal around it that is right.
    for at in [16, 40, 80, 100, 119] {
        fs::remove_file(place.state()).unwrap();
        fs::remove_file(place.staging()).unwrap();
        let mut label = good.clone();
        label[at] ^= 1;
        leave_journal(&place, &label);
        fs::write(place.staging(), &left.staging).unwrap();
        assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::OtherJournal, "byte {at}");
    }
    place.put(&left);
    place.seal(&small_sealer()).unwrap();
    place.take_sealed();
}

#[test]
fn what_cannot_be_read_twice_is_refused() {
    let place = Place::new(Vec::new());
    fs::remove_file(place.input()).unwrap();
    mknodat(CWD, place.input(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(names_in(place.directory.path()), [PathBuf::from("input")]);
}

#[test]
fn index_pages_are_written_again_wherever_a_sealing_was_cut() {
    // One frame a segment: two full pages, and a bit.
    let total = 2 * 4096 + 3;
    let place = Place::new(counted(total * FRAME - 9));
    let sealer = || small_sealer().segment_len(FRAME as u64).threads(threads(2));
    let left = place.seal_until(sealer(), total as u64);
    let whole = left.staging.clone();
    let pages = ranges(&whole, Kind::Page);
    let ends: Vec<usize> = segments(&whole).iter().map(|segment| segment.end).collect();
    let resume = |left: &Left| {
        place.put(left);
        let report = place.seal(&sealer()).unwrap();
        (report.kept.div_ceil(FRAME as u64) as usize, place.take_sealed())
    };
    for cut in [pages[0].start, pages[0].start + 70, pages[0].end, pages[1].start + 1, pages[1].end + 60] {
        let (kept, sealed) = resume(&Left { staging: whole[..cut].to_vec(), state: left.state.clone() });
        assert_eq!(kept, ends.iter().filter(|end| **end <= cut).count(), "cut at {cut}");
        assert!(sealed[..ends[kept - 1]] == whole[..ends[kept - 1]]);
    }
    // A page that is wrong with whole segments behind it: it is mended, and they stay.
    for at in [pages[0].start, pages[0].start + 5000, pages[1].end - 1, pages[2].start] {
        let mut left = left.clone();
        left.staging[at] ^= 1;
        let (kept, sealed) = resume(&left);
        assert_eq!(kept, total, "byte {at}");
        assert!(sealed == whole, "byte {at}");
    }
}

#[test]
fn an_output_that_exists_is_refused_or_replaced_as_without_an_interruption() {
    let place = Place::new(counted(4 * SEGMENT));
    place.seal_until(small_sealer(), 2);
    fs::write(place.output(), b"old").unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::TargetExists);
    assert_eq!(fs::read(place.output()).unwrap(), b"old");
    let sealed = place.seal(&small_sealer().existing(Existing::Replace)).unwrap();
    assert!(sealed.kept >= 2 * SEGMENT as u64);
    place.take_sealed();
}
