//! Owns restores over a seed: what it has is proved where it lands, what it lacks is read, and nothing else comes of it.
//! Refuses to know how bytes get from one file to another.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cofferdam::{
    BytesSource, CancelToken, CompressionLevel, Error, ErrorKind, IfExists, Observer, OnPartial, Opener,
    Progress, ReleasePolicy, Restored, Sealer, Sparse, StreamDigest, Warning,
};

use streams::counting::CountedSource;
use streams::forge::{Forger, with_forged_prefix};
use streams::{
    DIGESTS, KEY, SEGMENT, SUITES, Shared, counted, in_order, names_in, opener, scratch, seal, small_sealer,
    threads,
};

/// Segments of the streams here, the last of them shorter.
const SEGMENTS: usize = 20;

/// A stream, its plaintext, a directory for the target, and another one for seeds.
struct Fixture {
    directory: tempfile::TempDir,
    seeds: tempfile::TempDir,
    plaintext: Vec<u8>,
    sealed: Shared,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::sealed_by(&small_sealer(), SEGMENTS)
    }

    fn sealed_by(sealer: &Sealer, segments: usize) -> Fixture {
        let plaintext = counted(segments * SEGMENT - 5);
        let sealed = Shared::new(seal(sealer, plaintext.clone()));
        Fixture { directory: scratch(), seeds: scratch(), plaintext, sealed }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    /// A seed that holds the plaintext, but for these segments.
    fn seed_without(&self, name: &str, changed: &[usize]) -> PathBuf {
        let mut bytes = self.plaintext.clone();
        changed.iter().for_each(|segment| bytes[segment * SEGMENT + 77] ^= 1);
        self.seed_of(name, &bytes)
    }

    fn seed_of(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.seeds.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Restores, and tells how many bytes of the sealed stream were read.
    fn restore(&self, opener: &Opener) -> (Result<Restored, Error>, u64) {
        let read = Arc::new(AtomicU64::new(0));
        let source = CountedSource::of(self.sealed.clone(), read.clone());
        let restored = opener.restore_to(source, self.target());
        (restored, read.load(Ordering::SeqCst))
    }

    /// The most that is read for so many plaintext bytes: their frames, the closing frames, the envelope and the index.
    fn read_at_most(&self, plaintext_len: u64) -> u64 {
        let around = self.sealed.as_ref().len().saturating_sub(self.plaintext.len());
        plaintext_len + around as u64 + 8192
    }

    /// Cancels a restore once so many segments have committed.
    fn interrupt(&self, opener: &Opener, segments: u64) -> Error {
        let told = Told::stopping_after(segments);
        let opener = opener.clone().cancel(told.cancel.clone()).observer(told);
        let error = self.restore(&opener).0.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        error
    }

    fn assert_restored(&self) {
        assert!(fs::read(self.target()).unwrap() == self.plaintext, "the target is not the plaintext");
        assert_eq!(names_in(self.directory.path()), [Path::new("db")], "something is left beside the target");
    }
}

/// Notes what it is told, and cancels after so many segments.
struct Told {
    after: u64,
    cancel: CancelToken,
    events: Mutex<Vec<String>>,
}

impl Told {
    fn new() -> Arc<Told> {
        Told::stopping_after(u64::MAX)
    }

    fn stopping_after(after: u64) -> Arc<Told> {
        Arc::new(Told { after, cancel: CancelToken::new(), events: Mutex::default() })
    }

    fn note(&self, event: String) {
        self.events.lock().unwrap().push(event);
    }

    fn has(&self, event: &str) -> bool {
        self.events.lock().unwrap().iter().any(|told| told == event)
    }
}

impl Observer for Told {
    fn progress(&self, progress: &Progress) {
        if progress.segments >= self.after {
            self.cancel.cancel();
        }
    }

    fn seeding(&self, taken: u64) {
        self.note(format!("seeding {taken}"));
    }

    fn proving(&self, proved: u64) {
        self.note(format!("proving {proved}"));
    }

    fn resumed(&self, bytes: u64, segments: u64) {
        self.note(format!("resumed {bytes} {segments}"));
    }

    fn seeded(&self, bytes: u64, segments: u64) {
        self.note(format!("seeded {bytes} {segments}"));
    }

    fn warning(&self, warning: &Warning) {
        self.note(format!("{warning:?}"));
    }
}

fn level() -> CompressionLevel {
    CompressionLevel::default()
}

/// Runs of zeros are left out where nothing was written: where a seed was taken over, something was.
#[test]
fn zeros_of_the_stream_lie_over_what_the_seed_has_there() {
    for level in [None, Some(CompressionLevel::default())] {
        let mut plaintext = counted(SEGMENTS * SEGMENT - 5);
        // Whole segments, parts of segments, and the end.
        for range in [0..SEGMENT, 3 * SEGMENT..6 * SEGMENT + 4096, 8 * SEGMENT + 4096..8 * SEGMENT + 8192] {
            plaintext[range].fill(0);
        }
        let end = plaintext.len();
        plaintext[end - SEGMENT..].fill(0);
        let sealer = level.into_iter().fold(small_sealer(), Sealer::compression);
        let sealed = Shared::new(seal(&sealer, plaintext.clone()));
        // The restore goes on over a seed from its first byte, or from behind segments that are right.
        let beginning = &plaintext[..2 * SEGMENT];
        let seeds = [0, end / 2, end, end + 70_000]
            .map(|len| [beginning, &vec![0xEE; len][..]].concat())
            .into_iter()
            .chain([vec![0xEE; end], vec![0; end]]);
        let seeds: Vec<Vec<u8>> = seeds.collect();
        for (seed, sparse) in seeds.iter().flat_map(|seed| [(seed, Sparse::Auto), (seed, Sparse::Never)]) {
            let fixture = Fixture {
                directory: scratch(),
                seeds: scratch(),
                plaintext: plaintext.clone(),
                sealed: sealed.clone(),
            };
            let seed = fixture.seed_of("old", seed);
            let opener = opener().sparse(sparse).threads(threads(2));
            fixture.restore(&opener.clone().seed(&seed)).0.unwrap();
            fixture.assert_restored();
            // A second run goes on over what the first one took, with the seed and without.
            for again in [opener.clone().seed(&seed), opener.clone()] {
                fs::remove_file(fixture.target()).unwrap();
                fixture.interrupt(&opener.clone().seed(&seed), 7);
                fixture.restore(&again).0.unwrap();
                fixture.assert_restored();
            }
        }
    }
}

#[test]
fn what_a_seed_has_is_not_read_and_it_stays_as_it_is() {
    let sealers = SUITES.into_iter().flat_map(|suite| DIGESTS.map(|digest| (suite, digest)));
    for (suite, digest) in sealers {
        let plain = || small_sealer().suite(suite).digest(digest);
        for sealer in [plain(), plain().compression(level())] {
            let fixture = Fixture::sealed_by(&sealer, SEGMENTS);
            let seed = fixture.seed_without("old", &[0, 7, 8, 13]);
            let before = fs::read(&seed).unwrap();
            let told = Told::new();
            let opener = opener().threads(threads(2)).seed(&seed).observer(told.clone());
            let (restored, read) = fixture.restore(&opener);
            let restored = restored.unwrap();
            let had = (SEGMENT * (SEGMENTS - 5)) as u64;
            assert_eq!((restored.seeded_bytes, restored.resumed_bytes), (had, 0));
            assert!(restored.warnings.is_empty());
            let missing = fixture.plaintext.len() as u64 - had;
            assert!(read <= fixture.read_at_most(missing), "{read} bytes were read for {missing}");
            assert!(told.has(&format!("seeded {had} {}", SEGMENTS - 5)));
            assert!(told.has(&format!("seeding {}", SEGMENT * (SEGMENTS - 1))), "{:?}", told.events);
            assert!(told.has(&format!("proving {had}")));
            fixture.assert_restored();
            assert!(fs::read(seed).unwrap() == before);
        }
    }
}

#[test]
fn every_release_and_number_of_threads_restores_over_a_seed() {
    let releases = [ReleasePolicy::AtOnce, ReleasePolicy::AfterDigest];
    for (release, count) in releases.into_iter().flat_map(|release| [1, 2, 4].map(|count| (release, count))) {
        let fixture = Fixture::new();
        for changed in [&[][..], &[0], &[1, 3, 5, 7, 9, 11, 13, 15, 17, 19], &[18, 19]] {
            let seed = fixture.seed_without("old", changed);
            let opener = opener().release(release).threads(threads(count)).seed(seed);
            let restored = fixture.restore(&opener).0.unwrap();
            let unproved = changed.iter().filter(|segment| **segment < SEGMENTS - 1).count() + 1;
            assert_eq!(restored.seeded_bytes, (SEGMENT * (SEGMENTS - unproved)) as u64);
            fixture.assert_restored();
            fs::remove_file(fixture.target()).unwrap();
        }
    }
}

#[test]
fn a_seed_may_be_of_any_length_and_content() {
    for segments in [1, 2, SEGMENTS] {
        let fixture = Fixture::sealed_by(&small_sealer(), segments);
        let plaintext = &fixture.plaintext;
        let full = segments - 1;
        let longer = [&plaintext[..], &[9; 3 * SEGMENT]].concat();
        let cases: [(&[u8], usize); 7] = [
            (&[], 0),
            (&plaintext[..1], 0),
            (&plaintext[..full * SEGMENT], full),
            (&plaintext[..plaintext.len() - 1], full),
            (plaintext, full),
            (&longer, full),
            (&vec![0x5A; plaintext.len()], 0),
        ];
        for (bytes, proved) in cases {
            let seed = fixture.seed_of("old", bytes);
            let restored = fixture.restore(&opener().seed(seed)).0.unwrap();
            assert_eq!(restored.seeded_bytes, (proved * SEGMENT) as u64, "{} bytes", bytes.len());
            fixture.assert_restored();
            fs::remove_file(fixture.target()).unwrap();
        }
    }
    let fixture = Fixture::sealed_by(&small_sealer(), 2);
    let empty =
        Fixture { plaintext: Vec::new(), sealed: Shared::new(seal(&small_sealer(), Vec::new())), ..fixture };
    let seed = empty.seed_of("old", &counted(SEGMENT));
    empty.restore(&opener().seed(seed)).0.unwrap();
    empty.assert_restored();
}

#[test]
fn holes_of_a_seed_are_proved_as_the_zeros_that_they_are() {
    let mut plaintext = counted(SEGMENTS * SEGMENT);
    plaintext[2 * SEGMENT..17 * SEGMENT].fill(0);
    let sealed = Shared::new(seal(&small_sealer(), plaintext.clone()));
    let fixture = Fixture { directory: scratch(), seeds: scratch(), plaintext, sealed };
    let path = fixture.seeds.path().join("sparse");
    let sparse = File::create(&path).unwrap();
    sparse.write_all_at(&fixture.plaintext[..2 * SEGMENT], 0).unwrap();
    // Behind its last data is a hole, up to its end.
    sparse.set_len(15 * SEGMENT as u64).unwrap();
    let restored = fixture.restore(&opener().seed(path)).0.unwrap();
    assert_eq!(restored.seeded_bytes, 15 * SEGMENT as u64);
    fixture.assert_restored();
}

#[test]
fn the_target_itself_under_any_name_and_a_file_of_another_file_system_are_seeds() {
    let fixture = Fixture::new();
    let replacing = || opener().if_exists(IfExists::Replace);
    let had = (SEGMENT * (SEGMENTS - 2)) as u64;
    let place_old = |path: &Path| {
        let mut old = fixture.plaintext.clone();
        old[4 * SEGMENT] ^= 1;
        fs::write(path, &old).unwrap();
        old
    };
    let old = place_old(&fixture.target());
    assert_eq!(
        fixture.restore(&opener().seed(fixture.target())).0.unwrap_err().kind(),
        ErrorKind::TargetExists
    );
    assert!(fs::read(fixture.target()).unwrap() == old);
    assert_eq!(fixture.restore(&replacing().seed(fixture.target())).0.unwrap().seeded_bytes, had);
    fixture.assert_restored();

    place_old(&fixture.target());
    let second = fixture.directory.path().join("second");
    fs::hard_link(fixture.target(), &second).unwrap();
    assert_eq!(fixture.restore(&replacing().seed(&second)).0.unwrap().seeded_bytes, had);
    assert!(fs::read(&second).unwrap() == old, "the other name has what it had");
    fs::remove_file(&second).unwrap();
    fixture.assert_restored();

    place_old(&fixture.target());
    let link = fixture.seeds.path().join("link");
    symlink(fixture.target(), &link).unwrap();
    assert_eq!(fixture.restore(&replacing().seed(&link)).0.unwrap().seeded_bytes, had);
    fixture.assert_restored();

    let elsewhere = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let seed = elsewhere.path().join("old");
    place_old(&seed);
    assert_eq!(fixture.restore(&replacing().seed(&seed)).0.unwrap().seeded_bytes, had);
    fixture.assert_restored();
}

#[test]
fn what_is_no_seed_and_where_one_is_of_no_use_is_refused_before_the_first_byte() {
    let fixture = Fixture::new();
    let fifo = fixture.seeds.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    let refused = [
        (fifo.clone(), ErrorKind::Usage, "a FIFO"),
        (fixture.seeds.path().to_owned(), ErrorKind::Usage, "a directory"),
        (PathBuf::from("/dev/null"), ErrorKind::Usage, "a device"),
        (fixture.seeds.path().join("none"), ErrorKind::Io, "could not be opened"),
    ];
    for (seed, kind, says) in refused {
        let (error, read) = fixture.restore(&opener().seed(&seed));
        let error = error.unwrap_err();
        assert_eq!((error.kind(), read), (kind, 0), "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(names_in(fixture.directory.path()).is_empty());
    }
    let seed = fixture.seed_without("old", &[]);
    let in_order = opener().seed(&seed).restore_to(in_order(fixture.sealed.clone()), fixture.target());
    assert_eq!(in_order.unwrap_err().kind(), ErrorKind::Usage);
    assert!(names_in(fixture.directory.path()).is_empty());

    // A FIFO is opened for its reader; nothing goes into it.
    let reader = thread::spawn({
        let fifo = fifo.clone();
        move || fs::read(fifo).unwrap()
    });
    let source = BytesSource::new(fixture.sealed.clone());
    assert_eq!(opener().seed(&seed).restore_to(source, &fifo).unwrap_err().kind(), ErrorKind::Usage);
    assert!(reader.join().unwrap().is_empty());
}

#[test]
fn an_interrupted_restore_goes_on_with_the_same_seed_another_or_none() {
    for cut in [1, 6, 14] {
        for second in ["same", "none", "other", "gone"] {
            let fixture = Fixture::new();
            let seed = fixture.seed_without("old", &[0, 5, 6, 12]);
            fixture.interrupt(&opener().seed(&seed), cut);
            let again = match second {
                "same" => opener().seed(&seed),
                "none" => opener(),
                "other" => opener().seed(fixture.seed_of("other", &vec![1; fixture.plaintext.len()])),
                _ => {
                    fs::write(&seed, b"gone").unwrap();
                    opener().seed(&seed)
                }
            };
            let (restored, read) = fixture.restore(&again.threads(threads(2)));
            let restored = restored.unwrap();
            // What the first run took is kept, wherever it stands, with what it had read.
            let kept = (SEGMENT * (SEGMENTS - 5)) as u64;
            assert!(restored.resumed_bytes >= kept, "{second} after {cut}: {}", restored.resumed_bytes);
            let missing = fixture.plaintext.len() as u64 - restored.resumed_bytes - restored.seeded_bytes;
            assert!(read <= fixture.read_at_most(missing), "{second} after {cut}: {read} for {missing}");
            fixture.assert_restored();
        }
    }
}

#[test]
fn a_seed_fills_the_gaps_of_what_is_kept_and_nothing_that_is_right_is_taken_again() {
    let fixture = Fixture::new();
    fixture.interrupt(&opener().threads(threads(1)), 10);
    let staging = fixture.directory.path().join(".db.cofferdam-staging");
    let staging = OpenOptions::new().write(true).open(staging).unwrap();
    for segment in [2, 7] {
        staging.write_all_at(b"rot", (segment * SEGMENT) as u64).unwrap();
    }
    // The seed lacks one of the two.
    let seed = fixture.seed_without("old", &[7]);
    let told = Told::new();
    let (restored, read) = fixture.restore(&opener().seed(seed).observer(told.clone()));
    let restored = restored.unwrap();
    let whole = (SEGMENT * (SEGMENTS - 1)) as u64;
    assert_eq!(restored.resumed_bytes + restored.seeded_bytes, whole - SEGMENT as u64);
    assert!(restored.resumed_bytes >= 8 * SEGMENT as u64);
    assert!(told.has(&format!("seeding {}", whole - restored.resumed_bytes)), "{:?}", told.events);
    assert!(read <= fixture.read_at_most(2 * SEGMENT as u64), "{read} bytes were read");
    fixture.assert_restored();
}

#[test]
fn planted_staging_bytes_and_a_planted_seed_are_read_again() {
    let fixture = Fixture::new();
    fixture.interrupt(&opener(), 3);
    let staging = fixture.directory.path().join(".db.cofferdam-staging");
    fs::write(&staging, vec![0xF0; fixture.plaintext.len() + 9]).unwrap();
    let seed = fixture.seed_of("old", &vec![0xF1; fixture.plaintext.len()]);
    let restored = fixture.restore(&opener().seed(seed)).0.unwrap();
    assert_eq!((restored.resumed_bytes, restored.seeded_bytes), (0, 0));
    fixture.assert_restored();
}

#[test]
fn a_restart_discards_what_was_taken_and_takes_it_again() {
    let fixture = Fixture::new();
    let seed = fixture.seed_without("old", &[3]);
    fixture.interrupt(&opener().seed(&seed), 8);
    let anew = opener().seed(&seed).on_partial(OnPartial::Discard);
    let restored = fixture.restore(&anew).0.unwrap();
    assert_eq!((restored.resumed_bytes, restored.seeded_bytes), (0, (SEGMENT * (SEGMENTS - 2)) as u64));
    fixture.assert_restored();
}

/// Cancels as soon as a segment of the seed has been taken and looked at.
struct StopSeeding(CancelToken);

impl Observer for StopSeeding {
    fn progress(&self, progress: &Progress) {
        panic!("{progress:?}");
    }

    fn seeding(&self, _: u64) {
        self.0.cancel();
    }
}

#[test]
fn what_was_taken_is_kept_though_nothing_has_committed_and_before_that_nothing_is() {
    let fixture = Fixture::new();
    let seed = fixture.seed_without("old", &[5]);
    let cancel = CancelToken::new();
    cancel.cancel();
    let error = fixture.restore(&opener().seed(&seed).cancel(cancel)).0.unwrap_err();
    assert_eq!((error.kind(), error.resumable_bytes()), (ErrorKind::Cancelled, None));
    assert!(names_in(fixture.directory.path()).is_empty());

    let cancel = CancelToken::new();
    let stopped = opener().seed(&seed).cancel(cancel.clone()).observer(Arc::new(StopSeeding(cancel)));
    let error = fixture.restore(&stopped).0.unwrap_err();
    assert_eq!((error.kind(), error.resumable_bytes()), (ErrorKind::Cancelled, Some(0)));
    let restored = fixture.restore(&opener()).0.unwrap();
    let had = (SEGMENT * (SEGMENTS - 2)) as u64;
    assert!((SEGMENT as u64..=had).contains(&restored.resumed_bytes), "{}", restored.resumed_bytes);
    assert_eq!(restored.seeded_bytes, 0);
    fixture.assert_restored();
}

/// The forger holds key, storage and seed: what he sealed is in the seed, and the index names it.
#[test]
fn forged_segments_that_a_seed_holds_are_published_by_no_run() {
    let fixture = Fixture::new();
    let mut forged_plaintext = fixture.plaintext.clone();
    forged_plaintext[..3 * SEGMENT].fill(0xF0);
    let prefix = with_forged_prefix(fixture.sealed.as_ref(), 3);

    let mut forger = Forger::of(fixture.sealed.as_ref());
    let mut chain = forger.chain_behind(4);
    for index in 5..8 {
        chain = forger.put(index, &vec![0xF0; SEGMENT], chain, |_| {});
    }
    forger.say_digest(forger.chain_over_entries());
    let mut middle_plaintext = fixture.plaintext.clone();
    middle_plaintext[5 * SEGMENT..8 * SEGMENT].fill(0xF0);

    for (sealed, old) in [(prefix, forged_plaintext), (forger.finish(), middle_plaintext)] {
        let seed = fixture.seed_of("old", &old);
        let forged = Fixture {
            sealed: Shared::new(sealed),
            plaintext: fixture.plaintext.clone(),
            directory: scratch(),
            seeds: scratch(),
        };
        for run in 1..=3 {
            let error = forged.restore(&opener().seed(&seed)).0.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "run {run}: {error}");
            assert!(!forged.target().exists());
        }
        let genuine = Fixture { sealed: fixture.sealed.clone(), ..forged };
        genuine.restore(&opener().seed(&seed)).0.unwrap();
        genuine.assert_restored();
    }
}

#[test]
fn with_a_pin_a_seed_stands_for_segments_of_the_pinned_stream_alone() {
    let fixture = Fixture::new();
    let opened = reference::open(fixture.sealed.as_ref(), &reference::Key::KeyFile(KEY)).unwrap();
    let pinned = || opener().expect_digest(StreamDigest(opened.stream_digest));
    let mut old = fixture.plaintext.clone();
    old[..3 * SEGMENT].fill(0xF0);
    let seed = fixture.seed_of("old", &old);
    let forged = Fixture {
        sealed: Shared::new(with_forged_prefix(fixture.sealed.as_ref(), 3)),
        plaintext: fixture.plaintext.clone(),
        directory: scratch(),
        seeds: scratch(),
    };
    let error = forged.restore(&pinned().seed(&seed)).0.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Damaged | ErrorKind::DigestMismatch), "{error}");
    assert!(names_in(forged.directory.path()).is_empty());
    let restored = fixture.restore(&pinned().seed(&seed)).0.unwrap();
    assert_eq!(restored.seeded_bytes, (SEGMENT * (SEGMENTS - 4)) as u64);
    fixture.assert_restored();
}

/// What somebody does to a seed while it is in use.
fn meddle(path: &Path, rng: &mut fastrand::Rng) {
    let file = || OpenOptions::new().write(true).open(path);
    // The file may be gone between two of these; then nothing is done.
    let _ = match rng.u8(0..5) {
        0 => file().and_then(|file| {
            let len = file.metadata()?.len().max(1);
            file.write_all_at(&[rng.u8(..); 4096], rng.u64(0..len))
        }),
        1 => file().and_then(|file| file.set_len(rng.u64(0..file.metadata()?.len().max(1)))),
        2 => file().and_then(|file| file.set_len(file.metadata()?.len() + rng.u64(0..1 << 20))),
        3 => {
            let other = path.with_extension("other");
            fs::write(&other, vec![rng.u8(..); rng.usize(0..1 << 18)]).and_then(|()| fs::rename(other, path))
        }
        _ => fs::remove_file(path),
    };
}

/// Counts what it is told, so that somebody else can do something after so many times.
#[derive(Default)]
struct Moments(AtomicU64);

impl Moments {
    fn pass(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn passed(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Observer for Moments {
    fn progress(&self, _: &Progress) {
        self.pass();
    }

    fn seeding(&self, _: u64) {
        self.pass();
    }

    fn proving(&self, _: u64) {
        self.pass();
    }
}

/// Restores `runs` times over a seed that is changed, cut, replaced or removed meanwhile, from some moment on: moments are what an
/// observer is told, and no time, so that they lie all over the run however long that takes.
fn restore_over_a_restless_seed(runs: u64, segments: usize) {
    let fixture = Fixture::sealed_by(&small_sealer(), segments);
    let usual = Arc::new(Moments::default());
    let undisturbed = opener().seed(fixture.seed_without("old", &[])).observer(usual.clone());
    fixture.restore(&undisturbed).0.unwrap();
    fs::remove_file(fixture.target()).unwrap();
    let mut whole = 0;
    for run in 0..runs {
        let mut rng = fastrand::Rng::with_seed(run);
        let changed = [rng.usize(..segments - 1)];
        let seed = fixture.seed_without("old", &changed);
        let (done, moments) = (AtomicBool::new(false), Arc::new(Moments::default()));
        let after = rng.u64(..=usual.passed());
        let restored = thread::scope(|scope| {
            let (seed, done, now, mut rng) = (&seed, &done, &moments, rng.fork());
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    if now.passed() >= after {
                        meddle(seed, &mut rng);
                    }
                    thread::sleep(Duration::from_micros(rng.u64(0..300)));
                }
            });
            let opener = opener().threads(threads(2)).seed(seed).observer(moments.clone());
            let restored = fixture.restore(&opener).0;
            done.store(true, Ordering::SeqCst);
            restored
        });
        match restored {
            Ok(restored) => {
                whole += u64::from(restored.seeded_bytes > 0);
                fixture.assert_restored();
                fs::remove_file(fixture.target()).unwrap();
            }
            // It was gone before it was opened: then nothing is restored, and nothing made.
            Err(error) if after == 0 && error.to_string().contains("the seed") => {
                assert!(names_in(fixture.directory.path()).is_empty(), "run {run}: {error}");
            }
            Err(error) => panic!("run {run}: {error}"),
        }
    }
    assert!(whole > 0, "no seed was of any use");
}

/// `cargo xtask crash --full` asks for the long run.
#[test]
fn a_seed_that_changes_at_any_moment_never_changes_the_target() {
    match std::env::var_os("COFFERDAM_CRASH_STATES").is_some_and(|states| states == "full") {
        true => restore_over_a_restless_seed(1000, (64 << 20) / SEGMENT),
        false => restore_over_a_restless_seed(60, 64),
    }
}

/// Changes a seed each time it is told of something: between taking and proving, and between proving and the rest.
struct Treacherous {
    seed: PathBuf,
    number: AtomicU64,
    /// When all of it is changed at once: nothing that is taken from then on is of any use.
    after: u64,
}

impl Treacherous {
    fn strike(&self) {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        meddle(&self.seed, &mut fastrand::Rng::with_seed(number));
    }
}

impl Observer for Treacherous {
    fn progress(&self, _: &Progress) {
        self.strike();
    }

    fn seeding(&self, taken: u64) {
        if taken >= self.after {
            fs::write(&self.seed, vec![0xEE; SEGMENTS * SEGMENT]).unwrap();
        }
    }

    fn proving(&self, proved: u64) {
        if proved >= self.after {
            self.strike();
        }
    }
}

#[test]
fn what_is_proved_are_the_bytes_that_were_taken_and_not_the_seed() {
    let whole = (SEGMENT * (SEGMENTS - 1)) as u64;
    for after in [1, whole / 2, whole] {
        let fixture = Fixture::new();
        let seed = fixture.seed_without("old", &[4]);
        let treacherous = Arc::new(Treacherous { seed: seed.clone(), number: AtomicU64::new(0), after });
        let restored = fixture.restore(&opener().seed(&seed).observer(treacherous)).0.unwrap();
        let had = (SEGMENT * (SEGMENTS - 2)) as u64;
        // What was taken before it changed has proved right, and stays so.
        let least = if after == whole { had } else { SEGMENT as u64 };
        assert!((least..=had).contains(&restored.seeded_bytes), "{} after {after}", restored.seeded_bytes);
        fixture.assert_restored();
    }
}
