//! Answers that are final, and answers that make no sense: what is said, and how often is asked.

use std::{
    io::{self, Read, Write},
    net::TcpListener,
    thread,
};

use cofferdam_io::FetchFault;

use crate::{
    at, fault, observed, open, open_with, options, read,
    server::{Object, Reply, Server, bytes},
};

const LEN: usize = 1 << 20;

fn object() -> Object {
    Object::new(bytes(1, LEN), "\"a\"")
}

#[test]
fn permanent_answers_fail_at_once() {
    for (status, expected, kind) in [
        (400, FetchFault::Refused, io::ErrorKind::Other),
        (401, FetchFault::Denied, io::ErrorKind::PermissionDenied),
        (403, FetchFault::Denied, io::ErrorKind::PermissionDenied),
        (404, FetchFault::NotFound, io::ErrorKind::NotFound),
        (405, FetchFault::Refused, io::ErrorKind::Other),
        (410, FetchFault::NotFound, io::ErrorKind::NotFound),
        (301, FetchFault::Refused, io::ErrorKind::Other),
        (501, FetchFault::Refused, io::ErrorKind::Other),
        (505, FetchFault::Refused, io::ErrorKind::Other),
    ] {
        let server = Server::scripted(object(), move |_, _| Reply::status(status));
        let (options, retries) = observed(options());
        let url = format!("{}?signature=5ecret", server.url());
        let error = open_with(&url, options).unwrap_err();
        assert_eq!((fault(&error), error.kind()), (expected, kind), "{error}");
        assert!(
            error.to_string().contains(&server.url()) && error.to_string().contains(&status.to_string()),
            "{error}"
        );
        assert!(!error.to_string().contains("5ecret"), "{error}");
        assert_eq!((server.requests().len(), retries.lock().unwrap().len()), (1, 0), "{status}");
        assert!(server.requests()[0].target.ends_with("?signature=5ecret"));
    }
}

#[test]
fn a_range_up_to_the_last_number_is_an_answer_that_cannot_be_used() {
    let server = Server::scripted(object(), |_, _| {
        Reply::ok().with("content-range", "bytes 0-18446744073709551615/18446744073709551615")
    });
    let error = open(&server.url()).unwrap_err();
    assert_eq!(fault(&error), FetchFault::Refused);
    assert!(error.to_string().contains("beyond the last byte"), "{error}");
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_later_permanent_answer_fails_at_once_too() {
    for (status, expected) in
        [(400, FetchFault::Refused), (403, FetchFault::Denied), (405, FetchFault::Refused)]
    {
        let script = move |number, _: &_| if number == 0 { Reply::ok() } else { Reply::status(status) };
        let server = Server::scripted(object(), script);
        let source = open(&server.url()).unwrap();
        assert_eq!(fault(&read(&*at(&source), 100_000, 10).unwrap_err()), expected);
        assert_eq!(server.requests().len(), 2);
        assert!(!at(&source).changed().unwrap());
    }
}

#[test]
fn wrong_answers_are_never_taken_and_asked_for_again_twice() {
    let wrong: [fn() -> Reply; 8] = [
        Reply::whole,
        || Reply::ok().with("content-range", "bytes 100000-100010/1048576"),
        || Reply::ok().with("content-range", "bytes 100001-100010/1048576"),
        || Reply::ok().with("content-range", "bytes 100000-100009/*"),
        || Reply::ok().with("content-range", "nonsense"),
        // At which the client library panics, where sums are checked.
        || Reply::ok().with("content-range", "bytes 100000-18446744073709551615/1048576"),
        || Reply::ok().without("content-range"),
        || Reply::ok().without("etag"),
    ];
    for (case, wrong) in wrong.into_iter().enumerate() {
        let answered = |times: usize| {
            let script =
                move |number, _: &_| if number > 0 && number <= times { wrong() } else { Reply::ok() };
            let server = Server::scripted(object(), script);
            let source = open(&server.url()).unwrap();
            let read = read(&*at(&source), 100_000, 10);
            assert_eq!(server.requests().len(), times.min(3) + if times < 3 { 2 } else { 1 }, "case {case}");
            read
        };
        assert!(answered(1).unwrap() == bytes(1, LEN)[100_000..100_010], "case {case}");
        assert!(answered(2).unwrap() == bytes(1, LEN)[100_000..100_010], "case {case}");
        let error = answered(3).unwrap_err();
        assert_eq!(fault(&error), FetchFault::Refused, "case {case}: {error}");
    }
}

#[test]
fn a_first_answer_that_makes_no_sense_is_never_taken() {
    let script = |_, _: &_| Reply::ok().with("content-range", "bytes 5-9/1048576");
    let server = Server::scripted(object(), script);
    assert_eq!(fault(&open(&server.url()).unwrap_err()), FetchFault::Refused);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_body_of_another_length_than_its_range_is_never_taken() {
    for len in ["5", "11", "0", "-1", "ten"] {
        let script = move |number, _: &_| match number {
            1 => Reply::ok().with("content-length", len),
            _ => Reply::ok(),
        };
        let server = Server::scripted(object(), script);
        let source = open(&server.url()).unwrap();
        assert!(read(&*at(&source), 100_000, 10).unwrap() == bytes(1, LEN)[100_000..100_010]);
        assert_eq!(server.ranges()[1..], [Some((100_000, 100_009)); 2], "{len}");
    }
}

#[test]
fn an_encoded_body_is_refused() {
    let twice = "gzip\r\ncontent-encoding: gzip";
    for encoding in ["gzip", "br", "gzip, identity", twice, "identity\r\ncontent-encoding: gzip"] {
        let script = move |_, _: &_| Reply::ok().with("content-encoding", encoding);
        let server = Server::scripted(object(), script);
        let error = open(&server.url()).unwrap_err();
        assert_eq!(fault(&error), FetchFault::Refused);
        let shown = encoding.replace("\r\ncontent-encoding: ", ", ");
        assert!(error.to_string().contains(&shown), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    for encoding in ["identity", "Identity", "", "aws-chunked"] {
        let script = move |_, _: &_| Reply::ok().with("content-encoding", encoding);
        let server = Server::scripted(object(), script);
        assert!(open(&server.url()).is_ok(), "{encoding}");
    }
    let script =
        |number, _: &_| if number == 0 { Reply::ok() } else { Reply::ok().with("content-encoding", "gzip") };
    let server = Server::scripted(object(), script);
    let source = open(&server.url()).unwrap();
    assert_eq!(fault(&read(&*at(&source), 100_000, 10).unwrap_err()), FetchFault::Refused);
}

#[test]
fn an_answer_that_says_two_things_of_the_object_is_not_taken() {
    for (header, values) in [
        ("etag", "\"a\"\r\netag: \"b\""),
        ("etag", "\"b\"\r\netag: \"a\""),
        ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT\r\nlast-modified: Thu, 22 Oct 2015 07:28:00 GMT"),
        ("content-range", "bytes 100000-100009/1048576\r\ncontent-range: bytes 0-9/1048576"),
    ] {
        let script = move |number, _: &_| match number {
            0 => Reply::ok(),
            _ => Reply::ok().with(header, values),
        };
        let server = Server::scripted(object(), script);
        let error = read(&*at(&open(&server.url()).unwrap()), 100_000, 10).unwrap_err();
        assert_eq!(fault(&error), FetchFault::Refused, "{error}");
        assert!(error.to_string().contains(header), "{error}");
        assert_eq!(server.requests().len(), 4);
    }
    for whole in [false, true] {
        let script = move |_, _: &_| {
            let reply = if whole { Reply::whole() } else { Reply::ok() };
            reply.with("etag", "\"a\"\r\netag: \"b\"")
        };
        let server = Server::scripted(object(), script);
        let error = open(&server.url()).unwrap_err();
        assert_eq!(fault(&error), FetchFault::Refused, "{error}");
        assert!(error.to_string().contains("etag"), "{error}");
    }
    // Twice the same is one word.
    let script = |_, _: &_| Reply::ok().with("etag", "\"a\"\r\netag: \"a\"");
    let server = Server::scripted(object(), script);
    assert!(read(&*at(&open(&server.url()).unwrap()), 100_000, 10).is_ok());
}

#[test]
fn an_error_text_without_end_is_not_read_to_its_end() {
    // The server says that a terabyte follows, and sends 8 KiB of it for as long as somebody reads.
    let script = |_, _: &_| Reply::status(404).with("content-length", "1000000000000");
    let server = Server::scripted(object(), script);
    let mut policy = crate::policy();
    policy.read_timeout = std::time::Duration::from_millis(100);
    policy.no_progress = std::time::Duration::from_millis(300);
    let error = open_with(&server.url(), options().retries(policy)).unwrap_err();
    assert!(matches!(fault(&error), FetchFault::NotFound | FetchFault::NoProgress), "{error}");
}

#[test]
fn what_does_not_speak_http_is_refused_soon() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/object", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n\r\n");
        }
    });
    let (options, retries) = observed(options());
    let error = open_with(&url, options).unwrap_err();
    assert_eq!(fault(&error), FetchFault::Refused, "{error}");
    assert_eq!(retries.lock().unwrap().len(), 2);
}
