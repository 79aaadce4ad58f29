//! Connections and servers that fail while an object is written: it ends whole, or not there, and what is said is true.
//! Knows what a proxy can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contract::{CommitError, StreamingSink as _};
use object::ObjectSink;
use parking_lot::Mutex;
use remote::upload::{UploadFaultKind, UploadNotice};
use servers::{Fault, FaultKind, Plan, Request};

use crate::stores::{
    Bucket, MIB, Server, THREE_PARTS, each_store, fault, kind, options, replacing, short_waits, stream,
    upload, write,
};

fn puts(request: &Request) -> bool {
    request.method() == "PUT" && !request.is_part()
}

/// Each part is sent again after each of these, and what arrives is what was sent.
#[test]
fn parts_are_sent_again_until_the_store_has_them() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    let bytes = stream(THREE_PARTS, 1);
    for (number, first) in [
        Fault::CutRequest { after: 100 },
        Fault::CutRequest { after: 3 << 20 },
        Fault::CutAnswer { after: 20 },
        Fault::LoseAnswer,
        Fault::Status { code: 503, retry_after: Some(1) },
        Fault::Status { code: 500, retry_after: None },
        Fault::Status { code: 429, retry_after: Some(0) },
    ]
    .into_iter()
    .enumerate()
    {
        let retries = Arc::new(Mutex::new(Vec::new()));
        let mut options = options(bytes.len());
        let told = retries.clone();
        options.upload.on_retry = Arc::new(move |retry| told.lock().push(retry.to_string()));
        bucket
            .proxy
            .set_plan(Plan::script(Request::is_part, [Some(first.clone()), None, Some(first.clone())]));
        let key = format!("parts-{number}");
        upload(&bucket.place(&key), &bytes, &options).unwrap();
        assert!(bucket.read(&key).as_deref() == Some(&bytes[..]), "{first:?}");
        let told = retries.lock();
        assert_eq!(told.len(), 2, "{first:?}: {told:?}");
        assert!(told.iter().all(|retry| retry.contains("part") && !retry.contains("X-Amz")), "{told:?}");
    }
    assert_eq!(bucket.open_uploads(), 0);
}

/// The store has done it, and the answer is lost: the object is known again.
#[test]
fn a_lost_answer_to_the_last_request_is_no_failure() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        let bucket = Bucket::of(server);
        let bytes = stream(len, 2);
        let last = if len == THREE_PARTS { Request::is_complete } else { puts };
        bucket.proxy.set_plan(Plan::script(last, [Some(Fault::LoseAnswer)]));
        upload(&bucket.place("lost"), &bytes, &options(len)).unwrap();
        assert!(bucket.read("lost").as_deref() == Some(&bytes[..]), "{server:?} {len}");
        assert_eq!(bucket.proxy.counts().faults[&FaultKind::LoseAnswer], 1);
        assert_eq!(bucket.open_uploads(), 0);
    }
}

/// The answer is lost, and before it can be looked at somebody else's object stands there.
#[test]
fn an_object_of_somebody_elses_is_never_taken_for_ones_own() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        let bucket = Bucket::of(server);
        let bytes = stream(len, 3);
        let mut sink = ObjectSink::open(&bucket.place("others"), &options(len)).unwrap();
        write(&mut sink, &bytes).unwrap();
        let name = bucket.name.clone();
        let sent = AtomicBool::new(false);
        let last = if len == THREE_PARTS { Request::is_complete } else { puts };
        bucket.proxy.set_plan(Plan::new(move |request| {
            if !last(request) {
                return None;
            }
            // It comes to nothing the first time, and then another object is there.
            (!sent.swap(true, Ordering::Relaxed)).then(|| {
                server.put(&name, "others", b"another's");
                Fault::CutRequest { after: 0 }
            })
        }));
        assert_eq!(kind(sink.publish(len as u64)), (UploadFaultKind::Exists, true), "{server:?} {len}");
        assert_eq!(bucket.read("others").as_deref(), Some(&b"another's"[..]));
        bucket.proxy.set_plan(Plan::none());
        assert_eq!(bucket.open_uploads(), 0);
    }
}

/// Nothing is heard any more: what can be given up is known not to come, and what cannot is not known.
#[test]
fn when_nothing_is_heard_after_the_last_request_only_what_is_known_is_said() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        // What has a name is given up, and can come no more.
        let is_known = server != Server::Azure && len == THREE_PARTS;
        let bucket = Bucket::of(server);
        // A machine that is busy may need longer to come to the last request.
        let unheard = [2, 8, 32].into_iter().find_map(|seconds| unheard(&bucket, len, seconds));
        let (kind, was_known) = unheard.expect("the last request goes out");
        assert_eq!(was_known, is_known, "{server:?} {kind:?}");
        assert_eq!(bucket.open_uploads(), 0);
    }
}

/// Publishes where the last request never gets through, with this patience. `None` if that was over before there was a last request.
fn unheard(bucket: &Bucket, len: usize, seconds: u64) -> Option<(UploadFaultKind, bool)> {
    let (key, bytes) = (format!("silent-{seconds}"), stream(len, 4));
    let mut options = options(len);
    options.upload.retry.no_progress = Duration::from_secs(seconds);
    let last = if len == THREE_PARTS { Request::is_complete } else { puts };
    let cuts = || bucket.proxy.counts().faults.get(&FaultKind::CutRequest).copied();
    let before = cuts();
    bucket.proxy.set_plan(Plan::always(last, Fault::CutRequest { after: 0 }));
    let place = bucket.place(&key);
    let published = ObjectSink::open(&place, &options).and_then(|mut sink| {
        write(&mut sink, &bytes)?;
        Ok(sink.publish(len as u64))
    });
    bucket.proxy.set_plan(Plan::none());
    assert_eq!(bucket.read(&key), None);
    match published {
        Ok(published) => (cuts() > before).then(|| kind(published)),
        Err(error) => {
            assert_eq!(fault(&error), UploadFaultKind::NoProgress, "{error}");
            None
        }
    }
}

#[test]
fn a_conflict_is_told_apart_from_an_object_that_is_there() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    let bytes = stream(THREE_PARTS, 5);
    let conflict = Fault::Status { code: 409, retry_after: None };
    bucket.proxy.set_plan(Plan::script(Request::is_complete, [Some(conflict)]));
    assert_eq!(
        kind(upload(&bucket.place("conflict"), &bytes, &options(bytes.len()))),
        (UploadFaultKind::Conflict, true)
    );
    assert_eq!((bucket.read("conflict"), bucket.open_uploads()), (None, 0));
    // Afresh, it comes to its end.
    upload(&bucket.place("conflict"), &bytes, &options(bytes.len())).unwrap();
}

#[test]
fn a_store_that_takes_no_part_is_given_up_on_and_what_was_sent_too() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    let bytes = stream(THREE_PARTS, 6);
    for (answer, expected) in [(403, UploadFaultKind::Denied), (503, UploadFaultKind::NoProgress)] {
        let refused = Fault::Status { code: answer, retry_after: None };
        bucket.proxy.set_plan(Plan::new(move |request| {
            request.target().contains("partNumber=2").then(|| refused.clone())
        }));
        let mut options = options(bytes.len());
        // Only one that is said to come later is waited for: for all else a busy machine gets its time.
        if expected == UploadFaultKind::NoProgress {
            options.upload.retry.no_progress = Duration::from_secs(1);
        }
        assert_eq!(kind(upload(&bucket.place("refused"), &bytes, &options)), (expected, true));
        assert_eq!((bucket.read("refused"), bucket.open_uploads()), (None, 0), "{answer}");
    }
}

#[test]
fn a_cancelled_upload_ends_soon_says_so_and_leaves_nothing() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    let bytes = stream(30 * MIB, 7);
    let cancelled = Arc::new(AtomicBool::new(false));
    let seen = cancelled.clone();
    let mut options = options(bytes.len());
    options.upload.retry = short_waits();
    options.upload.retry.no_progress = Duration::from_secs(600);
    options.upload.is_cancelled = Arc::new(move || seen.load(Ordering::Relaxed));
    let mut sink = ObjectSink::open(&bucket.place("cancelled"), &options).unwrap();
    let flag = cancelled.clone();
    bucket.proxy.set_plan(Plan::new(move |request| {
        let is_part = request.is_part();
        if is_part {
            flag.store(true, Ordering::Relaxed);
        }
        is_part.then_some(Fault::Status { code: 503, retry_after: Some(300) })
    }));
    let error = write(&mut sink, &bytes).unwrap_err();
    assert_eq!(fault(&error), UploadFaultKind::Cancelled);
    assert_eq!(error.to_string().split(": ").last(), Some("interrupted"));
    drop(sink);
    assert_eq!((bucket.read("cancelled"), bucket.open_uploads()), (None, 0));
}

/// It is too late: the store has been asked, and its answer counts.
#[test]
fn a_cancellation_after_the_last_request_waits_for_its_answer() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        let bucket = Bucket::of(server);
        let bytes = stream(len, 8);
        let cancelled = Arc::new(AtomicBool::new(false));
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut options = options(len);
        let (flag, list) = (cancelled.clone(), told.clone());
        options.upload.is_cancelled = Arc::new(move || flag.load(Ordering::Relaxed));
        options.upload.on_notice = Arc::new(move |notice| list.lock().push(notice.clone()));
        let place = bucket.place("late");
        let mut sink = ObjectSink::open(&place, &options).unwrap();
        write(&mut sink, &bytes).unwrap();
        let last = if len == THREE_PARTS { Request::is_complete } else { puts };
        bucket.proxy.set_plan(Plan::new(move |request| {
            last(request).then(|| {
                cancelled.store(true, Ordering::Relaxed);
                Fault::Delay(Duration::from_secs(1))
            })
        }));
        sink.publish(len as u64).unwrap();
        assert!(bucket.read("late").as_deref() == Some(&bytes[..]), "{server:?} {len}");
        let told = told.lock();
        let is_of_it = |notice: &UploadNotice| match notice {
            UploadNotice::AnswerAwaited { object, .. } => *object == place.to_string(),
            _ => false,
        };
        assert!(told.iter().all(is_of_it) && told.len() <= 1, "{told:?}");
    }
}

/// Nobody sends the last request for one who wants no more.
#[test]
fn a_cancellation_before_the_last_request_leaves_nothing() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        let bucket = Bucket::of(server);
        let bytes = stream(len, 9);
        let cancelled = Arc::new(AtomicBool::new(false));
        let flag = cancelled.clone();
        let mut options = options(len);
        options.upload.is_cancelled = Arc::new(move || flag.load(Ordering::Relaxed));
        let mut sink = ObjectSink::open(&bucket.place("early"), &options).unwrap();
        write(&mut sink, &bytes).unwrap();
        cancelled.store(true, Ordering::Relaxed);
        assert_eq!(kind(sink.publish(len as u64)), (UploadFaultKind::Cancelled, true), "{server:?} {len}");
        assert_eq!((bucket.read("early"), bucket.open_uploads()), (None, 0), "{server:?} {len}");
    }
}

/// What was to be replaced stands there, and nobody has said that it is another one.
#[test]
fn a_cancellation_in_doubt_is_no_word_on_the_object_that_was_to_be_replaced() {
    if servers::installed::is_skipped() {
        return;
    }
    for server in [Server::S3, Server::Gcs] {
        let bucket = Bucket::of(server);
        let bytes = stream(THREE_PARTS, 10);
        bucket.put("doubt", b"before");
        let cancelled = Arc::new(AtomicBool::new(false));
        let flag = cancelled.clone();
        let mut options = replacing(THREE_PARTS);
        options.upload.is_cancelled = Arc::new(move || flag.load(Ordering::Relaxed));
        let mut sink = ObjectSink::open(&bucket.place("doubt"), &options).unwrap();
        write(&mut sink, &bytes).unwrap();
        bucket.proxy.set_plan(Plan::new(move |request| {
            request.is_complete().then(|| {
                cancelled.store(true, Ordering::Relaxed);
                Fault::CutRequest { after: 0 }
            })
        }));
        assert_eq!(kind(sink.publish(THREE_PARTS as u64)), (UploadFaultKind::Cancelled, true), "{server:?}");
        assert_eq!(bucket.read("doubt").as_deref(), Some(&b"before"[..]));
        assert_eq!(bucket.open_uploads(), 0);
    }
}

/// Whatever goes wrong by chance, it ends whole and said so, or not there and said so.
#[test]
fn whatever_passes_by_chance_what_is_said_is_true() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    let mut ends = [0; 3];
    for seed in 0..12 {
        let len = if seed % 3 == 0 { 1000 } else { THREE_PARTS };
        let (key, bytes) = (format!("chance-{seed}"), stream(len, seed));
        let kinds: Vec<_> = FaultKind::PASSING.into_iter().filter(|kind| *kind != FaultKind::Stall).collect();
        bucket.proxy.set_plan(Plan::seeded(seed, 4, &kinds));
        let ended = upload(&bucket.place(&key), &bytes, &options(len));
        bucket.proxy.set_plan(Plan::none());
        let there = bucket.read(&key);
        match ended {
            Ok(()) => {
                ends[0] += 1;
                assert!(there.as_deref() == Some(&bytes[..]), "seed {seed}");
            }
            Err(CommitError::NotCommitted(error)) => {
                ends[1] += 1;
                assert_eq!(there, None, "seed {seed}: {error}");
            }
            Err(CommitError::Unknown(error)) => {
                ends[2] += 1;
                assert!(there.is_none_or(|there| there == bytes), "seed {seed}: {error}");
            }
        }
    }
    println!("{ends:?}: whole, not there, unknown");
    assert!(ends[0] >= 6, "{ends:?}");
}
