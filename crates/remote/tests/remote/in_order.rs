//! Servers without ranges, or without a word by which to tell one object from another: read once, in order, or not at all.

use std::time::Duration;

use cofferdam_io::FetchFault;
use sources::Source;

use crate::{
    fault, open, opened_at, policy, read_in_order,
    server::{Object, Reply, Request, Server, bytes},
};

const LEN: usize = 3 << 20;

fn object() -> Object {
    Object::new(bytes(1, LEN), "\"a\"")
}

fn whole(_: usize, _: &Request) -> Reply {
    Reply::whole()
}

#[test]
fn without_ranges_it_is_read_in_order_with_one_request() {
    let server = Server::scripted(object(), whole);
    let mut source = open(&server.url()).unwrap();
    assert!(source.positioned().is_none());
    assert!(source.in_order_since().unwrap().contains("no ranges"));
    assert_eq!(Source::len(&source), Some(LEN as u64));
    let opened = server.requests().len();
    assert!(read_in_order(&mut source).unwrap() == bytes(1, LEN));
    assert_eq!(server.requests().len(), opened + 1);
    assert_eq!(source.tally().bytes, LEN as u64);
}

#[test]
fn without_anything_to_tell_it_by_it_is_read_in_order_even_with_ranges() {
    for (etag, last_modified) in [
        (None, None),
        (Some("W/\"weak\""), None),
        (Some("\"\""), None),
        // Modified this second, by a clock that is ahead.
        (Some("W/\"weak\""), Some("Wed, 21 Oct 2099 07:28:00 GMT")),
    ] {
        let object =
            Object { etag: etag.map(Into::into), last_modified: last_modified.map(Into::into), ..object() };
        let server = Server::start(object);
        let mut source = open(&server.url()).unwrap();
        assert!(source.positioned().is_none(), "{etag:?} {last_modified:?}");
        assert!(source.in_order_since().unwrap().contains("strong ETag"));
        assert!(read_in_order(&mut source).unwrap() == bytes(1, LEN));
    }
}

#[test]
fn a_break_goes_on_only_with_a_strong_tag() {
    for (etag, goes_on) in [(Some("\"strong\""), true), (Some("W/\"weak\""), false), (None, false)] {
        let script = |number, request: &Request| match number {
            2 => Reply::cut(1_000_000).whole_too(),
            _ => whole(number, request),
        };
        let object = Object { etag: etag.map(Into::into), last_modified: None, ..object() };
        let server = Server::scripted(object, script);
        let mut source = open(&server.url()).unwrap();
        assert_eq!(server.requests().len(), 2);
        match read_in_order(&mut source) {
            Ok(read) => assert!(goes_on && read == bytes(1, LEN)),
            Err(error) => {
                assert!(!goes_on, "{error}");
                assert_eq!(fault(&error), FetchFault::Refused);
                assert!(error.to_string().contains("at byte 1000000"), "{error}");
            }
        }
        assert_eq!(server.requests().len(), if goes_on { 4 } else { 3 });
    }
}

/// Each try brings all of it again, which takes more than half of the patience, and then one byte more.
#[test]
fn a_byte_now_and_then_does_not_pay_for_what_comes_again() {
    let script = |number, request: &Request| match number {
        // Whoever does not end by itself gets all of it.
        2..30 => Reply::trickle(50_000, Duration::from_millis(100)).whole_too().cut_too(300_000 + number),
        _ => whole(number, request),
    };
    let mut policy = policy();
    policy.no_progress = Duration::from_secs(1);
    policy.min_bytes_per_second = 1000;
    let (_server, mut source) = opened_at(&object(), script, &policy);
    assert_eq!(fault(&read_in_order(&mut source).unwrap_err()), FetchFault::NoProgress);
}

#[test]
fn a_break_before_the_first_byte_is_tried_again() {
    let script = |number, request: &Request| match number {
        2 => Reply::status(503),
        3 => Reply::cut(0).whole_too(),
        _ => whole(number, request),
    };
    let object = Object { etag: None, last_modified: None, ..object() };
    let server = Server::scripted(object, script);
    assert!(read_in_order(&mut open(&server.url()).unwrap()).unwrap() == bytes(1, LEN));
}

#[test]
fn another_object_is_seen_by_whatever_is_said_of_it() {
    let others = [
        Object::new(bytes(2, LEN), "\"b\""),
        Object { etag: Some("W/\"b\"".into()), ..object() },
        Object::new(bytes(2, LEN + 1), "\"a\""),
    ];
    for other in others {
        let server = Server::scripted(object(), |_, _| Reply::whole().heedless());
        let mut source = open(&server.url()).unwrap();
        server.replace(other);
        assert_eq!(fault(&read_in_order(&mut source).unwrap_err()), FetchFault::Changed);
    }
    let object = Object { etag: Some("W/\"a\"".into()), ..object() };
    let server = Server::scripted(object.clone(), whole);
    let mut source = open(&server.url()).unwrap();
    server.replace(Object { last_modified: Some("Thu, 22 Oct 2015 07:28:00 GMT".into()), ..object });
    assert_eq!(fault(&read_in_order(&mut source).unwrap_err()), FetchFault::Changed);
}

#[test]
fn an_answer_without_a_length_is_refused() {
    let script = |_, _: &_| Reply::whole().without("content-length");
    let server = Server::scripted(object(), script);
    assert_eq!(fault(&open(&server.url()).unwrap_err()), FetchFault::Refused);
}
