//! Owns restores from a real server over HTTP: many under one budget, of an object that is replaced, of a server that falls silent.
//! Refuses to know how requests are made again; the tests of `crates/remote` do.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use cofferdam::remote::{Place, RemoteOptions, RemoteSource, RetryPolicy};
use cofferdam::{
    Budget, CompressionLevel, Error, ErrorKind, MemorySink, Opener, Pool, Remedy, Restored, Sealer,
};
use servers::installed::is_skipped;
use servers::{Fault, FaultKind, FaultProxy, Nginx, Plan, Request};

use streams::{FRAME, counted, opener, scratch, seal, small_sealer, threads};

/// No test waits longer for what has to come.
const LONG: Duration = Duration::from_secs(300);

fn sealer() -> Sealer {
    small_sealer().segment_len(64 * FRAME as u64)
}

/// A folder with the sealed streams of these plaintexts, `0.cfd` and so on, and the server of it. All are of one moment, for nginx
/// makes a tag of the time of a file and its length.
fn served(streams: &[(Sealer, &Vec<u8>)]) -> (tempfile::TempDir, Nginx) {
    let directory = scratch();
    for (number, (sealer, plaintext)) in streams.iter().enumerate() {
        let sealed = seal(sealer, (*plaintext).clone());
        let mut file = File::create(directory.path().join(format!("{number}.cfd"))).unwrap();
        file.write_all(&sealed).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + LONG).unwrap();
    }
    let server = Nginx::start(directory.path()).unwrap();
    (directory, server)
}

/// As patient as an operator's: what a busy machine is slow with is not asked for twice.
fn source(url: &str) -> RemoteSource {
    source_with(url, RetryPolicy::default())
}

/// For a server that falls silent.
fn impatient_source(url: &str) -> RemoteSource {
    let mut policy = RetryPolicy::default();
    policy.no_progress = Duration::from_secs(3);
    policy.read_timeout = Duration::from_millis(500);
    source_with(url, policy)
}

fn source_with(url: &str, policy: RetryPolicy) -> RemoteSource {
    let place = Place::parse(url, []).unwrap();
    RemoteSource::open(place, RemoteOptions::new().retries(policy)).unwrap()
}

fn open(url: &str, opener: &Opener) -> Result<Vec<u8>, Error> {
    let (sink, contents) = MemorySink::new();
    opener.open(source(url), sink)?;
    Ok(contents.take().unwrap())
}

fn is_later(request: &Request) -> bool {
    request.is_read() && request.field("range").is_some_and(|range| !range.starts_with("bytes=0-"))
}

/// What a stream needs of a budget, as it says itself.
fn needed(url: &str) -> usize {
    match open(url, &opener().memory(1)).err().unwrap().remedy() {
        Some(Remedy::RaiseMemory { needed }) => needed as usize,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hundred_restores_under_one_budget_end() {
    if is_skipped() {
        return;
    }
    let plaintext = counted(20 << 16);
    let compressed = sealer().compression(CompressionLevel::default());
    let (_directory, server) = served(&[(sealer(), &plaintext), (compressed, &plaintext)]);
    let urls = [0, 1].map(|number| server.url(&format!("{number}.cfd")));
    let most = urls.iter().map(|url| needed(url)).max().unwrap();
    let (pool, budget) = (Pool::new(threads(2)).unwrap(), Budget::new(3 * most));
    let (done, ends) = mpsc::channel();
    for number in 0..100 {
        let (pool, budget, done) = (pool.clone(), budget.clone(), done.clone());
        let (url, plaintext) = (urls[number % 2].clone(), plaintext.clone());
        thread::spawn(move || {
            let opened = open(&url, &opener().pool(pool).budget(budget));
            done.send(opened.is_ok_and(|opened| opened == plaintext)).unwrap();
        });
    }
    for _ in 0..100 {
        assert!(ends.recv_timeout(LONG).expect("no stream waits for ever"));
    }
    assert_eq!(budget.used(), 0, "all of it has come back");
}

/// One stream that has borrowed all there is, and others that come: it gives back, on a way that is slow.
#[test]
fn a_stream_alone_uses_the_budget_and_shares_it_when_others_come() {
    if is_skipped() {
        return;
    }
    let plaintext = counted(24 << 20);
    let (_directory, server) = served(&[(sealer(), &plaintext)]);
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    proxy.link().set_latency(Duration::from_millis(20));
    proxy.link().set_bandwidth(8 << 20);
    let (url, near) = (proxy.url("0.cfd"), server.url("0.cfd"));
    let budget = Budget::new(4 * needed(&near));
    let first = thread::spawn({
        let (budget, opener) = (budget.clone(), opener().threads(threads(2)));
        move || open(&url, &opener.budget(budget))
    });
    for _ in 0..4 {
        let opened = open(&near, &opener().threads(threads(1)).budget(budget.clone()));
        assert!(opened.unwrap() == plaintext);
    }
    assert!(first.join().unwrap().unwrap() == plaintext);
    assert_eq!(budget.used(), 0);
}

/// Yesterday's copy, of which a hundredth has changed, here and there. The proxy counts what the server has sent, heads included.
#[test]
fn with_a_seed_little_more_is_sent_than_has_changed() {
    if is_skipped() {
        return;
    }
    let plaintext = counted(48 << 20);
    let (directory, server) = served(&[(sealer(), &plaintext)]);
    let segment_len = 64 * FRAME;
    let segments = plaintext.len() / segment_len;
    let mut old = plaintext.clone();
    (0..segments).step_by(100).for_each(|segment| old[segment * segment_len + 5] ^= 1);
    let [seed, target] = ["seed", "target"].map(|name| directory.path().join(name));
    fs::write(&seed, &old).unwrap();
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    opener().seed(&seed).restore_to(source(&proxy.url("0.cfd")), &target).unwrap();
    assert!(fs::read(&target).unwrap() == plaintext);
    let whole = fs::metadata(directory.path().join("0.cfd")).unwrap().len();
    let sent = proxy.counts().bytes_down;
    assert!(sent <= whole * 3 / 100, "{sent} bytes of {whole}");
}

#[test]
fn an_answer_of_another_object_is_never_a_part_of_a_restore() {
    if is_skipped() {
        return;
    }
    let [one, other] = [1, 2].map(|by| counted(8 << 20).iter().map(|byte| byte.wrapping_mul(by)).collect());
    let (_directory, server) = served(&[(sealer(), &one), (sealer(), &other)]);
    let directory = scratch();
    for fault in [
        Fault::OtherTarget("/1.cfd".into()),
        Fault::OtherTag,
        Fault::OtherTotal,
        Fault::ShiftedRange,
        Fault::WholeBody,
        Fault::WeakTag,
        Fault::NoTag,
    ] {
        let kind = fault.kind();
        let proxy = FaultProxy::start(server.address(), Plan::always(is_later, fault)).unwrap();
        let target = directory.path().join("db");
        let restored = opener().restore_to(impatient_source(&proxy.url("0.cfd")), &target);
        match restored {
            Ok(_) => assert!(fs::read(&target).unwrap() == one, "{kind:?}"),
            Err(error) => {
                // The other object has the same tag and length: the stream's own authentication tells them apart.
                let kinds = match kind {
                    FaultKind::OtherTarget => [ErrorKind::Damaged; 3],
                    _ => [ErrorKind::SourceChanged, ErrorKind::Io, ErrorKind::NoProgress],
                };
                assert!(kinds.contains(&error.kind()), "{kind:?}: {error:?}");
                assert!(!target.exists());
            }
        }
        let _ = fs::remove_file(&target);
    }
}

/// Whoever reads here and there pays for the frames and for the beginnings of their segments.
#[test]
fn random_reads_cost_their_frames_and_segments() {
    if is_skipped() {
        return;
    }
    let (frame, segment) = (16 * FRAME as u64, 256 * FRAME as u64);
    let mut plaintext = vec![0; 24 * segment as usize];
    fastrand::Rng::with_seed(5).fill(&mut plaintext);
    let sealer = small_sealer().frame_len(frame as u32).segment_len(segment);
    let (_directory, server) = served(&[(sealer, &plaintext)]);
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    let reader = opener().memory(256 << 20).reader(source(&proxy.url("0.cfd"))).unwrap();
    let before = proxy.counts();
    let mut random = fastrand::Rng::with_seed(1);
    let (mut frames, mut segments) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..60 {
        let offset = random.u64(0..reader.len() - 4096);
        let mut bytes = [0; 4096];
        assert_eq!(reader.read_at(offset, &mut bytes).unwrap(), 4096);
        assert!(bytes == plaintext[offset as usize..offset as usize + 4096]);
        frames.extend([offset / frame, (offset + 4095) / frame]);
        segments.extend([offset / segment, (offset + 4095) / segment]);
    }
    let after = proxy.counts();
    let touched = (frames.len() + segments.len()) as u64;
    let requests = after.requests - before.requests;
    assert!(requests * 10 <= touched * 11, "{requests} requests for {touched} frames and segments");
    let needed = frames.len() as u64 * (frame + 32) + segments.len() as u64 * 48;
    let bytes = after.bytes_down - before.bytes_down;
    assert!(bytes * 10 <= needed * 11, "{bytes} bytes of {needed}");
    // A list of the same takes no more requests, and then they are there.
    let ranges: Vec<_> = frames.iter().map(|number| number * frame..(number + 1) * frame).collect();
    let reader = opener().memory(256 << 20).reader(source(&proxy.url("0.cfd"))).unwrap();
    let before = proxy.counts().requests;
    reader.prefetch(&ranges).unwrap();
    let fetched = proxy.counts().requests;
    assert!((fetched - before) * 10 <= touched * 11, "{} requests", fetched - before);
    for range in ranges {
        let mut bytes = vec![0; frame as usize];
        assert_eq!(reader.read_at(range.start, &mut bytes).unwrap(), bytes.len());
        assert!(bytes == plaintext[range.start as usize..range.end as usize]);
    }
    assert_eq!(proxy.counts().requests, fetched);
}

fn restore(source: RemoteSource, target: &Path) -> Result<Restored, Error> {
    opener().threads(threads(2)).restore_to(source, target)
}

/// An outage ends a restore once nothing has come for long enough; the next run goes on, also where bytes were planted in what is kept.
#[test]
fn a_restore_that_the_network_ended_resumes_and_believes_nothing_that_was_planted() {
    if is_skipped() {
        return;
    }
    let plaintext = counted(8 << 20);
    let (_served, server) = served(&[(sealer(), &plaintext)]);
    let directory = scratch();
    let target = directory.path().join("db");
    // From the middle on nothing comes, however often it is asked for.
    let plan = Plan::new(move |request| {
        let (first, last) = request.field("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let is_of_segments = last - first > 500_000 && last > 4 << 20;
        is_of_segments.then(|| Fault::Stall { after: (4_u64 << 20).saturating_sub(first), at_most: LONG })
    });
    let proxy = FaultProxy::start(server.address(), plan).unwrap();
    let error = restore(impatient_source(&proxy.url("0.cfd")), &target).err().unwrap();
    assert_eq!((error.kind(), error.remedy()), (ErrorKind::NoProgress, Some(Remedy::TryLater)));
    assert!(error.resumable_bytes() > Some(0) && !target.exists());
    let staging = directory.path().join(".db.cofferdam-staging");
    let mut kept = fs::read(&staging).unwrap();
    kept[100_000] ^= 1;
    fs::write(&staging, kept).unwrap();
    let before = proxy.counts().bytes_down;
    proxy.set_plan(Plan::none());
    let restored = restore(source(&proxy.url("0.cfd")), &target).unwrap();
    assert!(fs::read(&target).unwrap() == plaintext);
    assert!(restored.resumed_bytes > 0, "{restored:?}");
    let fetched = proxy.counts().bytes_down - before;
    let most = (plaintext.len() as u64 - restored.resumed_bytes) * 101 / 100 + 300_000;
    assert!(fetched <= most, "{fetched} of {most} bytes");
}

/// Of 192 segments, found by the index or by their looks: not a request for each, nor for each of their frames.
#[test]
fn a_survey_of_a_server_takes_few_requests() {
    if is_skipped() {
        return;
    }
    let plaintext = counted(12 << 20);
    let sealed = seal(&small_sealer().segment_len(16 * FRAME as u64), plaintext);
    let directory = scratch();
    let server = Nginx::start(directory.path()).unwrap();
    for without_end in [0, 1] {
        fs::write(directory.path().join("0.cfd"), &sealed[..sealed.len() - without_end]).unwrap();
        let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
        proxy.link().set_latency(Duration::from_millis(20));
        let surveyed = opener()
            .memory(32 << 20)
            .threads(threads(2))
            .survey(source(&proxy.url("0.cfd")), |_| ())
            .unwrap();
        assert_eq!(surveyed.plaintext_len, 12 << 20);
        let requests = proxy.counts().requests;
        assert!(requests <= 32, "{requests} requests");
    }
}
