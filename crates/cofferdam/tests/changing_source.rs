//! Owns what becomes of a sealed stream that changes between two reads of it: an error, or a stream that is whole. No panic.
//! Refuses to know where the readers read; a source counts how often they look, and changes before each look in turn.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use cofferdam::{
    Arrival, BytesSource, CancelToken, Error, ErrorKind, MemorySink, Observer, Opener, Progress, ReadAt,
    Restored, Source,
};

use streams::forge::with_forged_prefix;
use streams::map::{Kind, ranges};
use streams::{
    FRAME, KEY, OTHER_KEY, SEGMENT, counted, identities_of, names_in, opener, recipients_of, scratch, seal,
    small_sealer,
};

/// Bytes that are `before` for so many looks at them, and `after` from then on. To ask for the length is a look, too.
struct Changing {
    before: Vec<u8>,
    after: Vec<u8>,
    at: usize,
    looks: AtomicUsize,
}

impl Changing {
    fn now(&self) -> &[u8] {
        if self.looks.load(Ordering::SeqCst) < self.at { &self.before } else { &self.after }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let found = usize::try_from(offset).ok().and_then(|at| self.now().get(at..at + buffer.len()));
        self.looks.fetch_add(1, Ordering::SeqCst);
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Changing {
    fn len(&self) -> u64 {
        let len = self.now().len() as u64;
        self.looks.fetch_add(1, Ordering::SeqCst);
        len
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read(offset, buffer)
    }
}

struct ChangingSource {
    bytes: Arc<Changing>,
    next: usize,
    /// So many looks it has had at least once it is read in order.
    looks_in_order: usize,
}

impl ChangingSource {
    fn new(before: &[u8], after: &[u8], at: usize) -> (ChangingSource, Arc<Changing>) {
        let (before, after) = (before.to_vec(), after.to_vec());
        let bytes = Arc::new(Changing { before, after, at, looks: AtomicUsize::new(0) });
        (ChangingSource { bytes: bytes.clone(), next: 0, looks_in_order: 0 }, bytes)
    }
}

impl Source for ChangingSource {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.bytes.clone())
    }

    fn read_within(&mut self, buffer: &mut [u8], _patience: Duration) -> io::Result<Arrival> {
        self.bytes.looks.fetch_max(self.looks_in_order, Ordering::SeqCst);
        let left = self.bytes.now().len().saturating_sub(self.next);
        let count = buffer.len().min(left).min(10_000);
        if count == 0 {
            return Ok(Arrival::End);
        }
        self.bytes.read(self.next as u64, &mut buffer[..count])?;
        self.next += count;
        Ok(Arrival::Bytes(count))
    }
}

fn open(opener: &Opener, source: ChangingSource) -> Result<Vec<u8>, Error> {
    let (sink, contents) = MemorySink::new();
    opener.open(source, sink).map(|_| contents.take().unwrap())
}

fn assert_no_fault_of_the_program(outcome: &Result<impl Sized, Error>, what: &str) {
    let Err(error) = outcome else { return };
    use ErrorKind::{Damaged, Limit, NoKey, NotAStream, SourceChanged, Truncated};
    let kinds = [Damaged, Limit, NoKey, NotAStream, SourceChanged, Truncated];
    assert!(kinds.contains(&error.kind()), "{what}: {:?}: {error}", error.kind());
}

/// `sealed` with the fields of a preamble that say how it is cut: bytes of a frame, frames of a segment.
fn cut_otherwise(sealed: &[u8], frame_len: u32, frames: u32) -> Vec<u8> {
    let mut other = sealed.to_vec();
    other[16..20].copy_from_slice(&frame_len.to_le_bytes());
    other[20..24].copy_from_slice(&frames.to_le_bytes());
    other
}

#[test]
fn a_stream_that_becomes_another_before_any_look_at_it_is_an_error_or_one_of_the_two() {
    let long = counted(3 * SEGMENT + 7);
    let short = counted(FRAME + 1);
    let first = seal(&small_sealer(), long.clone());
    let cut = first[..first.len() - 1].to_vec();
    let larger = small_sealer().frame_len(64 << 10).segment_len(256 << 10).metadata("a", "b");
    let others = [
        (seal(&small_sealer(), short.clone()), short.clone()),
        (seal(&larger, long.clone()), long.clone()),
        (seal(&small_sealer().metadata("more", "of it"), short.clone()), short.clone()),
        (cut_otherwise(&first, 4 << 20, 1), Vec::new()),
        (cut.clone(), Vec::new()),
        (Vec::new(), Vec::new()),
        (vec![0xFF; first.len()], Vec::new()),
    ];
    for before in [&first, &cut] {
        for (number, (after, plaintext)) in others.iter().enumerate() {
            let mut at = 0;
            loop {
                let what = format!("number {number} before look {at}");
                let (source, bytes) = ChangingSource::new(before, after, at);
                let opened = open(&opener(), source);
                assert_no_fault_of_the_program(&opened, &what);
                assert!(
                    opened.is_err() || opened.is_ok_and(|found| found == long || found == *plaintext),
                    "{what}"
                );
                let (source, _) = ChangingSource::new(before, after, at);
                assert_no_fault_of_the_program(&Opener::keyless().verify(source), &what);
                if bytes.looks.load(Ordering::SeqCst) < at {
                    break;
                }
                at += 1;
            }
            assert!(at > 5, "{at} looks");
        }
    }
}

/// Leaves half of `sealed` beside `target`, as an interrupted restore does.
fn interrupt(sealed: &[u8], target: &Path) {
    let cancel = CancelToken::new();
    let now = cancel.clone();
    let opener = opener().cancel(cancel).observer(Arc::new(Meanwhile(move || now.cancel())));
    let error = opener.restore_to(BytesSource::new(sealed.to_vec()), target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn a_stream_that_changes_before_any_look_of_a_restore_that_goes_on_publishes_the_one_or_the_other() {
    let plaintexts = [counted(3 * SEGMENT + 7), counted(6 * SEGMENT)];
    let [before, longer] = plaintexts.clone().map(|plaintext| seal(&small_sealer(), plaintext));
    let cut = before[..before.len() - 1].to_vec();
    let forged = with_forged_prefix(&before, 2);
    for (number, after) in [longer, cut, forged, Vec::new()].iter().enumerate() {
        let mut at = 0;
        loop {
            let directory = scratch();
            let target = directory.path().join("db");
            interrupt(&before, &target);
            let (source, bytes) = ChangingSource::new(&before, after, at);
            let outcome = opener().restore_to(source, &target);
            if bytes.looks.load(Ordering::SeqCst) < at {
                break;
            }
            // The other stream's label is not the one that is kept there.
            let other = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::JournalMismatch);
            if !other {
                assert_no_fault_of_the_program(&outcome, &format!("number {number} before look {at}"));
            }
            let published = fs::read(&target).ok();
            assert_eq!(published.is_some(), outcome.is_ok());
            assert!(published.is_none_or(|found| plaintexts.contains(&found)), "number {number}, look {at}");
            at += 1;
        }
        assert!(at > 5, "{at} looks");
    }
}

#[test]
fn an_input_that_changes_before_any_look_of_a_sealing_makes_no_worker_panic() {
    let before = counted(3 * SEGMENT + 7);
    for after in [counted(SEGMENT), counted(9 * SEGMENT), Vec::new()] {
        let mut at = 0;
        loop {
            let (source, bytes) = ChangingSource::new(&before, &after, at);
            let (sink, _contents) = MemorySink::new();
            let outcome = small_sealer().seal(source, sink);
            assert_no_fault_of_the_program(&outcome, &format!("{} bytes before look {at}", after.len()));
            if bytes.looks.load(Ordering::SeqCst) < at {
                break;
            }
            at += 1;
        }
        assert!(at > 2, "{at} looks");
    }
}

/// Opens a stream that lacks its last byte where it is read at offsets, so that it is read in order as well, and is `after`
/// then.
fn read_twice(whole: &[u8], after: &[u8]) -> Result<Vec<u8>, Error> {
    let cut = &whole[..whole.len() - 1];
    let (source, _) = ChangingSource::new(cut, after, LOOKS_MAX);
    open(&opener(), ChangingSource { looks_in_order: LOOKS_MAX, ..source })
}

#[test]
fn a_beginning_that_changes_between_its_two_reads_is_told() {
    let whole = seal(&small_sealer().metadata("host", "db1"), counted(3 * SEGMENT));
    let metadata = ranges(&whole, Kind::Metadata)[0].clone();
    let mut salted = whole.clone();
    salted[40] ^= 1;
    let mut described = whole.clone();
    described[metadata.end - 1] ^= 1;
    let longer_frames = cut_otherwise(&whole, 4 << 20, 1);
    let another = seal(&small_sealer(), counted(SEGMENT));
    let gone = whole[..metadata.start].to_vec();
    let garbage = vec![0xFF; whole.len()];
    for after in [longer_frames, salted, described, another, gone, garbage] {
        let error = read_twice(&whole, &after).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
    }
}

#[test]
fn key_copies_may_change_between_the_two_reads_for_a_rewrap_changes_them() {
    let plaintext = counted(3 * SEGMENT);
    let whole = seal(&small_sealer(), plaintext.clone());
    let directory = scratch();
    let path = directory.path().join("sealed.cfd");
    fs::write(&path, &whole).unwrap();
    cofferdam::rewrap(&path, &identities_of(KEY), &recipients_of(OTHER_KEY)).unwrap();
    assert!(read_twice(&whole, &fs::read(&path).unwrap()).unwrap() == plaintext);
}

/// Does something to the sealed file once a segment has committed.
struct Meanwhile<F>(F);

impl<F: Fn() + Send + Sync> Observer for Meanwhile<F> {
    fn progress(&self, progress: &Progress) {
        if progress.segments == 1 {
            (self.0)();
        }
    }
}

#[test]
fn a_file_that_is_written_or_cut_while_it_is_restored_has_changed_and_is_not_said_to_be_damaged() {
    let directory = scratch();
    let [path, target] = ["sealed.cfd", "db"].map(|name| directory.path().join(name));
    let whole = seal(&small_sealer(), counted(400 * SEGMENT));
    for cut in [false, true] {
        fs::write(&path, &whole).unwrap();
        let file = path.clone();
        let change = move || {
            let file = File::options().write(true).open(&file).unwrap();
            match cut {
                true => file.set_len(60_000).unwrap(),
                false => io::Write::write_all(&mut &file, &vec![0xFF; 400 * SEGMENT]).unwrap(),
            }
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        };
        let restoring = opener().memory(1 << 20).observer(Arc::new(Meanwhile(change)));
        let error: Error = restoring.restore_file(&path, &target).map(|_: Restored| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
        assert!(!target.exists() && error.resumable_bytes().is_some_and(|kept| kept > 0));
        // What was kept is as good as it was.
        fs::write(&path, &whole).unwrap();
        assert!(opener().restore_file(&path, &target).unwrap().resumed_bytes > 0);
        fs::remove_file(&target).unwrap();
        assert_eq!(names_in(directory.path()).len(), 1);
    }
}

/// More than any reader here takes.
const LOOKS_MAX: usize = 1_000_000;

/// Files of age and of a tool of which nothing proves that it is whole: their heads, lengths and chunks are looked at one after another.
#[cfg(feature = "foreign")]
mod foreign {
    use std::io::Read as _;

    use cofferdam::{Foreign, Identities, Identity, Recipients, SealedAs, Sealer};

    use super::*;

    const CHUNK: usize = 64 << 10;

    struct Files {
        identity: Identity,
        plaintexts: [Vec<u8>; 2],
        before: Vec<u8>,
        others: Vec<Vec<u8>>,
    }

    impl Files {
        fn new() -> Files {
            let identity = Identity::generate();
            let recipients = Recipients::new().parse(&identity.recipient()).unwrap();
            let sealer = Sealer::new(recipients).sealed_as(SealedAs::Age);
            let plaintexts = [counted(9 * CHUNK + 7), counted(2 * CHUNK)];
            let [before, another] = plaintexts.clone().map(|plaintext| seal(&sealer, plaintext));
            let last = before.len() - 9 - 14 - 2 * (CHUNK + 16);
            let others = vec![
                another,
                before[..before.len() - 1].to_vec(),
                before[..last].to_vec(),
                before[..100].to_vec(),
                [&before[..], &[0; CHUNK]].concat(),
                [&before[..before.len() - 1], &[0x55; 40_000]].concat(),
                seal(&small_sealer(), counted(FRAME)),
                vec![0xFF; before.len()],
                Vec::new(),
            ];
            Files { identity, plaintexts, before, others }
        }

        fn opener(&self) -> Opener {
            let text = self.identity.file_text("today").unwrap();
            Opener::new(Identities::new().identity_file(text.as_bytes()).unwrap()).foreign(Foreign::Open)
        }

        /// Calls `try_one` with a source that changes before each look in turn, for each of the others.
        fn each(&self, mut try_one: impl FnMut(ChangingSource, &str)) {
            for (number, after) in self.others.iter().enumerate() {
                let mut at = 0;
                loop {
                    let (source, bytes) = ChangingSource::new(&self.before, after, at);
                    try_one(source, &format!("number {number} before look {at}"));
                    if bytes.looks.load(Ordering::SeqCst) < at {
                        break;
                    }
                    at += 1;
                }
                assert!(at > 3, "{at} looks");
            }
        }
    }

    #[test]
    fn an_age_file_that_becomes_another_before_any_look_is_an_error_or_one_of_the_two() {
        let files = Files::new();
        files.each(|source, what| {
            let opened = open(&files.opener(), source);
            assert_no_fault_of_the_program(&opened, what);
            assert!(opened.is_err() || opened.is_ok_and(|found| files.plaintexts.contains(&found)), "{what}");
        });
    }

    #[test]
    fn a_reader_of_an_age_file_that_becomes_another_gives_what_was_sealed_there_or_an_error() {
        let files = Files::new();
        files.each(|source, what| {
            let Ok(mut reader) = files.opener().foreign_reader(source).inspect_err(|error| fits(error, what))
            else {
                return;
            };
            let mut read = Vec::new();
            match reader.read_to_end(&mut read) {
                Ok(_) => assert!(files.plaintexts.contains(&read), "{what}"),
                Err(error) => fits(&error.downcast::<Error>().unwrap(), what),
            }
            assert!(files.plaintexts.iter().any(|plaintext| plaintext.starts_with(&read)), "{what}");
        });
    }

    fn fits(error: &Error, what: &str) {
        let kinds = [
            ErrorKind::Damaged,
            ErrorKind::NotAStream,
            ErrorKind::NoKey,
            ErrorKind::SourceChanged,
            ErrorKind::Truncated,
        ];
        assert!(kinds.contains(&error.kind()), "{what}: {:?}: {error}", error.kind());
    }

    #[test]
    fn an_input_that_changes_before_any_look_of_a_sealing_as_an_age_file_makes_no_worker_panic() {
        let files = Files::new();
        let recipients = || Recipients::new().parse(&files.identity.recipient()).unwrap();
        let before = counted(9 * CHUNK + 7);
        for after in [counted(CHUNK), counted(20 * CHUNK), Vec::new()] {
            let mut at = 0;
            loop {
                let (source, bytes) = ChangingSource::new(&before, &after, at);
                let (sink, contents) = MemorySink::new();
                let sealer = Sealer::new(recipients()).sealed_as(SealedAs::Age);
                let outcome = sealer.seal(source, sink);
                let what = format!("{} bytes before look {at}", after.len());
                assert_no_fault_of_the_program(&outcome, &what);
                // What was sealed is an age file, whatever of the two is in it.
                if let Some(sealed) = contents.take() {
                    open_bytes(&files.opener(), sealed.to_vec(), &what);
                }
                if bytes.looks.load(Ordering::SeqCst) < at {
                    break;
                }
                at += 1;
            }
            assert!(at > 2, "{at} looks");
        }
    }

    fn open_bytes(opener: &Opener, sealed: Vec<u8>, what: &str) {
        let opened = opener.open(BytesSource::new(sealed), MemorySink::new().0);
        assert!(opened.is_ok(), "{what}");
    }
}
