//! Others who write the same object: before the end, at the end, and at the same moment.
//! Knows no fault of a connection.

use std::sync::Barrier;
use std::thread;

use contract::StreamingSink as _;
use object::ObjectSink;
use remote::upload::UploadFaultKind;
use servers::Plan;

use crate::stores::{
    Bucket, Server, THREE_PARTS, each_store, kind, options, replacing, stream, upload, write,
};

#[test]
fn an_object_that_appears_before_the_end_stays() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        let bucket = Bucket::of(server);
        let bytes = stream(len, 1);
        let mut sink = ObjectSink::open(&bucket.place("appears"), &options(len)).unwrap();
        write(&mut sink, &bytes).unwrap();
        bucket.put("appears", b"another's");
        assert_eq!(kind(sink.publish(len as u64)), (UploadFaultKind::Exists, true), "{server:?}");
        drop(sink);
        assert_eq!(bucket.read("appears").as_deref(), Some(&b"another's"[..]));
        assert_eq!(bucket.open_uploads(), 0);
    }
}

/// After the last look, and before the request that counts.
#[test]
fn an_object_that_appears_at_the_last_moment_stays_where_the_store_decides() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        let bucket = Bucket::of(server);
        let bytes = stream(len, 3);
        let mut sink = ObjectSink::open(&bucket.place("late"), &options(len)).unwrap();
        write(&mut sink, &bytes).unwrap();
        let name = bucket.name.clone();
        bucket.proxy.set_plan(Plan::new(move |request| {
            if request.is_complete() || request.method() == "PUT" && !request.is_part() {
                server.put(&name, "late", b"another's");
            }
            None
        }));
        let published = sink.publish(len as u64);
        if server == Server::Gcs && len == THREE_PARTS {
            published.unwrap();
            assert!(bucket.read("late").as_deref() == Some(&bytes[..]), "as is said of this store");
            continue;
        }
        assert_eq!(kind(published), (UploadFaultKind::Exists, true), "{server:?} {len}");
        assert_eq!(bucket.read("late").as_deref(), Some(&b"another's"[..]));
        assert_eq!(bucket.open_uploads(), 0);
    }
}

#[test]
fn an_object_that_was_to_be_replaced_and_is_another_by_now_stays() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        let bucket = Bucket::of(server);
        let bytes = stream(len, 2);
        bucket.put("changes", b"before");
        let mut sink = ObjectSink::open(&bucket.place("changes"), &replacing(len)).unwrap();
        write(&mut sink, &bytes).unwrap();
        bucket.put("changes", b"another's");
        assert_eq!(kind(sink.publish(len as u64)), (UploadFaultKind::Replaced, true), "{server:?}");
        assert_eq!(bucket.read("changes").as_deref(), Some(&b"another's"[..]));
        assert_eq!(bucket.open_uploads(), 0);
    }
}

/// The store decides: all have looked, and found nothing. SeaweedFS looks, and then completes an upload, which S3 does at once; Google
/// decides nothing where parts are put together. So two may win there, and one of theirs is there, whole.
#[test]
fn of_several_who_publish_at_once_one_wins_and_the_others_are_told() {
    if servers::installed::is_skipped() {
        return;
    }
    for (round, (server, len)) in each_store().into_iter().enumerate() {
        let bucket = Bucket::of(server);
        let start = Barrier::new(SEALERS);
        let race = |number: usize| {
            let bytes = stream(len, (round * SEALERS + number) as u64);
            let opened = ObjectSink::open(&bucket.place("one"), &options(len));
            let written = opened.and_then(|mut sink| write(&mut sink, &bytes).map(|()| sink));
            // The others wait for it, whatever has come of it.
            start.wait();
            (bytes, written.unwrap().publish(len as u64))
        };
        let race = &race;
        let ends: Vec<_> = thread::scope(|scope| {
            let sealers: Vec<_> = (0..SEALERS).map(|number| scope.spawn(move || race(number))).collect();
            sealers.into_iter().map(|sealer| sealer.join().unwrap()).collect()
        });
        let said: Vec<_> = ends.iter().map(|(_, published)| format!("{published:?}")).collect();
        let there = bucket.read("one").unwrap_or_else(|| panic!("{server:?} {len}: {said:?}"));
        let (mut winners, mut is_a_winners) = (0, false);
        for (bytes, published) in ends {
            match published {
                Ok(()) => {
                    winners += 1;
                    is_a_winners |= there == bytes;
                }
                lost => {
                    let (kind, is_known) = kind(lost);
                    assert!(matches!(kind, UploadFaultKind::Exists | UploadFaultKind::Conflict), "{kind:?}");
                    assert!(is_known);
                }
            }
        }
        assert!(is_a_winners, "round {round}: what is there is the winner's");
        let is_decided_at_once = server == Server::Azure || len == 10;
        assert!(winners == 1 || !is_decided_at_once, "round {round}: {winners}");
        assert_eq!(bucket.open_uploads(), 0);
    }
}

#[test]
fn one_who_reads_the_key_sees_nothing_before_the_end() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    let bytes = stream(THREE_PARTS, 9);
    let mut sink = ObjectSink::open(&bucket.place("unseen"), &options(bytes.len())).unwrap();
    write(&mut sink, &bytes).unwrap();
    assert_eq!(bucket.read("unseen"), None);
    sink.discard().unwrap();
    assert_eq!((bucket.read("unseen"), bucket.open_uploads()), (None, 0));
    upload(&bucket.place("unseen"), &bytes, &options(bytes.len())).unwrap();
}

const SEALERS: usize = 3;
