//! What arrives is what was written, in however many parts, from memory and from a spool file.
//! Knows no fault.

use std::fs;

use contract::StreamingSink as _;
use object::{ExpectedLen, NoRoom, ObjectOptions, ObjectSink};
use remote::Place;
use remote::upload::UploadFaultKind;
use servers::Identity;

use crate::stores::{
    Bucket, MEMORY, MIB, THREE_PARTS, each_store, fault, kind, options, replacing, stream, upload, write,
};

const PART: usize = 5 * MIB;

#[test]
fn every_length_about_the_end_of_a_part_arrives_whole() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    for len in [0, 1, PART - 1, PART, PART + 1, 2 * PART - 1, 2 * PART, 2 * PART + 1, THREE_PARTS] {
        let (key, bytes) = (format!("len {len}?#%"), stream(len, len as u64));
        let place = bucket.place(&format!("len%20{len}%3F%23%25"));
        upload(&place, &bytes, &options(len)).unwrap();
        let there =
            bucket.read(&key.replace('%', "%25").replace(' ', "%20").replace('?', "%3F").replace('#', "%23"));
        assert!(there.as_deref() == Some(&bytes[..]), "{len}");
    }
    assert_eq!(bucket.open_uploads(), 0);
    let parts = bucket.proxy.seen().iter().filter(|seen| seen.request.is_part()).count();
    // By hand: a stream of one part takes one request, and the others as many parts as they have.
    assert_eq!(parts, 2 + 2 + 2 + 3 + 3);
}

#[test]
fn a_stream_of_several_parts_arrives_whole_in_each_store() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        let bucket = Bucket::of(server);
        let bytes = stream(len, 8);
        upload(&bucket.place("whole/of it"), &bytes, &options(len)).unwrap();
        assert!(bucket.read("whole/of%20it").as_deref() == Some(&bytes[..]), "{server:?} {len}");
    }
}

#[test]
fn what_memory_does_not_hold_goes_through_a_file_that_has_no_name() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    let directory = tempfile::tempdir().unwrap();
    let bytes = stream(THREE_PARTS, 3);
    let mut options = options(bytes.len());
    options.memory = 3 * MIB;
    assert!(NoRoom::within(&ObjectSink::open(&bucket.place("spooled"), &options).unwrap_err()).is_some());
    assert!(bucket.proxy.seen().is_empty(), "it is refused before anything is asked");
    options.spool = Some(directory.path().to_owned());
    let mut sink = ObjectSink::open(&bucket.place("spooled"), &options).unwrap();
    assert!(sink.capabilities().reserve_bytes <= 3 * MIB);
    write(&mut sink, &bytes).unwrap();
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    sink.publish(bytes.len() as u64).unwrap();
    assert!(bucket.read("spooled").as_deref() == Some(&bytes[..]));
}

#[test]
fn an_object_that_is_there_is_refused_before_a_byte_or_replaced() {
    if servers::installed::is_skipped() {
        return;
    }
    for (server, len) in each_store() {
        let bucket = Bucket::of(server);
        let bytes = stream(len, 4);
        bucket.put("there", b"before");
        let refused = ObjectSink::open(&bucket.place("there"), &options(len)).unwrap_err();
        assert_eq!(
            (refused.kind(), fault(&refused)),
            (std::io::ErrorKind::AlreadyExists, UploadFaultKind::Exists)
        );
        assert_eq!(bucket.read("there").as_deref(), Some(&b"before"[..]));
        upload(&bucket.place("there"), &bytes, &replacing(len)).unwrap();
        assert!(bucket.read("there").as_deref() == Some(&bytes[..]));
        // The second run: it is there.
        assert_eq!(
            kind(upload(&bucket.place("there"), &bytes, &options(len))),
            (UploadFaultKind::Exists, true)
        );
        // Whether there was one or not, replacing makes it.
        upload(&bucket.place("new"), &bytes, &replacing(len)).unwrap();
        assert!(bucket.read("new").as_deref() == Some(&bytes[..]));
        assert_eq!(bucket.open_uploads(), 0);
    }
}

#[test]
fn a_longer_stream_than_was_said_is_refused_and_leaves_nothing() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    let mut options = options(0);
    options.expected_len = ExpectedLen::AtMost(THREE_PARTS as u64);
    let mut sink = ObjectSink::open(&bucket.place("longer"), &options).unwrap();
    let error = write(&mut sink, &stream(THREE_PARTS + 1, 5)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
    drop(sink);
    assert_eq!((bucket.read("longer"), bucket.open_uploads()), (None, 0));
}

#[test]
fn whoever_may_not_write_or_is_not_known_is_told_before_a_byte() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    for who in [Identity::Reader, Identity::Stranger, Identity::Unknown] {
        let place = bucket.place_as("denied", who);
        let error = ObjectSink::open(&place, &options(THREE_PARTS)).unwrap_err();
        assert_eq!(
            (error.kind(), fault(&error)),
            (std::io::ErrorKind::PermissionDenied, UploadFaultKind::Denied),
            "{who:?}"
        );
        assert!(!error.to_string().contains(who.secret_key()), "{error}");
    }
    assert_eq!(bucket.open_uploads(), 0);
}

#[test]
fn an_http_server_takes_no_uploads() {
    let place = Place::parse("https://user:5ecret@host.invalid/file?sig=5ecret", []).unwrap();
    let error = ObjectSink::open(&place, &ObjectOptions::new(MEMORY)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(!error.to_string().contains("5ecret"), "{error}");
}

#[test]
fn a_rollback_takes_back_what_is_in_the_part_that_is_filled_and_refuses_the_rest() {
    if servers::installed::is_skipped() {
        return;
    }
    let bucket = Bucket::new();
    let bytes = stream(THREE_PARTS, 6);
    let mut sink = ObjectSink::open(&bucket.place("rolled%20back"), &options(bytes.len())).unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, &stream(PART, 7)).unwrap();
    sink.rollback_segment().unwrap();
    write(&mut sink, &bytes).unwrap();
    sink.publish(bytes.len() as u64).unwrap();
    assert!(bucket.read("rolled%20back").as_deref() == Some(&bytes[..]));

    let mut sink = ObjectSink::open(&bucket.place("sent"), &options(bytes.len())).unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, &bytes[..PART + 1]).unwrap();
    assert!(sink.rollback_segment().is_err());
    assert!(sink.begin_segment(0, 0).is_err(), "an error is final");
    drop(sink);
    assert_eq!((bucket.read("sent"), bucket.open_uploads()), (None, 0));
}
