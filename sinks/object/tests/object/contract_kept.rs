//! The conformance suite, over each store.
//! Knows no fault.

use object::{ExpectedLen, ObjectOptions, ObjectSink};
use testing::conformance::{SinkUnderTest, check_all};

use crate::stores::{Bucket, MEMORY, Server, short_waits};

fn check_with(server: Server, expected_len: ExpectedLen, memory: usize) {
    let bucket = std::sync::Arc::new(Bucket::of(server));
    let mut count = 0;
    let violations = check_all(&mut || {
        count += 1;
        let key = format!("contract/{count}");
        let mut options = ObjectOptions::new(memory);
        (options.expected_len, options.upload.retry) = (expected_len, short_waits());
        let sink = ObjectSink::open(&bucket.place(&key), &options).unwrap();
        let bucket = bucket.clone();
        SinkUnderTest::new(sink, move || bucket.read(&key))
    });
    assert!(violations.is_empty(), "{violations:#?}");
    assert_eq!(bucket.open_uploads(), 0, "what is dropped is given up");
}

#[test]
fn an_object_of_one_request_keeps_the_contract() {
    if servers::installed::is_skipped() {
        return;
    }
    for server in Server::ALL {
        check_with(server, ExpectedLen::AtMost(5 << 20), MEMORY);
    }
}

/// An upload is begun each time, and not needed.
#[test]
fn an_object_that_may_be_long_keeps_the_contract() {
    if servers::installed::is_skipped() {
        return;
    }
    for server in Server::ALL {
        check_with(server, ExpectedLen::Unknown, 130 << 20);
    }
}
