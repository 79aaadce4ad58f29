//! The object is replaced or removed while it is read: an error says so, and nothing of the other one is read.

use std::{io, sync::Arc};

use cofferdam_io::{FetchFault, ReadAt};

use crate::{
    at, fault, observed, open, open_with, options, read,
    server::{Object, Reply, Server, bytes},
};

const LEN: usize = 1 << 20;

fn check_changed(error: &io::Error, at: &dyn ReadAt) {
    assert_eq!(fault(error), FetchFault::Changed, "{error}");
    assert!(at.changed().unwrap());
}

#[test]
fn each_later_request_has_the_identity_as_its_condition() {
    let server = Server::start(Object::new(bytes(1, LEN), "\"first\""));
    let source = open(&server.url()).unwrap();
    read(&*at(&source), 200_000, 10).unwrap();
    read(&*at(&source), LEN as u64 - 10, 10).unwrap();
    let conditions: Vec<_> =
        server.requests().iter().map(|request| request.headers.get("if-match").cloned()).collect();
    let tag = Some("\"first\"".to_owned());
    assert_eq!(conditions, [None, tag.clone(), tag]);
    assert!(!at(&source).changed().unwrap());
}

#[test]
fn another_object_is_refused_by_the_condition_and_not_asked_for_again() {
    let (options, retries) = observed(options());
    let server = Server::start(Object::new(bytes(1, LEN), "\"first\""));
    let source = open_with(&server.url(), options).unwrap();
    server.replace(Object::new(bytes(2, LEN), "\"second\""));
    check_changed(&read(&*at(&source), 200_000, 10).unwrap_err(), &*at(&source));
    assert_eq!(server.requests().len(), 2);
    assert!(retries.lock().unwrap().is_empty());
}

#[test]
fn another_object_is_seen_where_the_server_does_not_heed_the_condition() {
    let object = Object::new(bytes(1, LEN), "\"first\"");
    let others = [
        Object { etag: Some("\"second\"".into()), ..object.clone() },
        Object { bytes: bytes(2, LEN + 1).into(), ..object.clone() },
        Object::new(bytes(2, LEN - 1), "\"first\""),
        Object::new(bytes(2, 100), "\"second\""),
    ];
    for other in others {
        let server = Server::scripted(object.clone(), |_, _| Reply::ok().heedless());
        let source = open(&server.url()).unwrap();
        server.replace(other);
        check_changed(&read(&*at(&source), 200_000, 10).unwrap_err(), &*at(&source));
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn a_change_that_is_undone_is_the_cause_of_no_later_fault() {
    let first = Object::new(bytes(1, LEN), "\"first\"");
    let server = Server::start(first.clone());
    let source = open(&server.url()).unwrap();
    server.replace(Object::new(bytes(2, LEN), "\"second\""));
    check_changed(&read(&*at(&source), 200_000, 10).unwrap_err(), &*at(&source));
    // What was read before says nothing.
    read(&*at(&source), 10, 10).unwrap();
    assert!(at(&source).changed().unwrap());
    server.replace(first);
    read(&*at(&source), 300_000, 10).unwrap();
    assert!(!at(&source).changed().unwrap());
    server.script(|_, _| Reply::status(403));
    assert_eq!(fault(&read(&*at(&source), 200_000, 10).unwrap_err()), FetchFault::Denied);
    assert!(!at(&source).changed().unwrap());
}

#[test]
fn an_object_that_is_gone_has_changed() {
    for status in [404, 410, 412, 416] {
        let script = move |number, _: &_| if number == 0 { Reply::ok() } else { Reply::status(status) };
        let server = Server::scripted(Object::new(bytes(1, LEN), "\"a\""), script);
        let source = open(&server.url()).unwrap();
        check_changed(&read(&*at(&source), 200_000, 10).unwrap_err(), &*at(&source));
        assert_eq!(server.requests().len(), 2);
    }
}

#[test]
fn an_object_that_is_replaced_within_an_answer_is_not_gone_on_with() {
    for heedless in [false, true] {
        let server = Arc::new(Server::start(Object::new(bytes(1, LEN), "\"first\"")));
        let weak = Arc::downgrade(&server);
        // The answer that breaks off is still of the first object: what is served is looked at after the script.
        server.script(move |number, _| match number {
            1 => Reply::cut(50_000),
            2 => {
                weak.upgrade().unwrap().replace(Object::new(bytes(2, LEN), "\"second\""));
                if heedless { Reply::ok().heedless() } else { Reply::ok() }
            }
            _ => Reply::ok(),
        });
        let (options, retries) = observed(options());
        let source = open_with(&server.url(), options).unwrap();
        check_changed(&read(&*at(&source), 100_000, 500_000).unwrap_err(), &*at(&source));
        assert_eq!(server.ranges()[2], Some((150_000, 599_999)));
        assert_eq!(retries.lock().unwrap().len(), 1);
    }
}

/// In UTC it is a year of five digits.
#[test]
fn a_time_of_modification_beyond_the_last_year_is_another_one() {
    let object = Object { etag: None, ..Object::new(bytes(1, LEN), "") };
    let server = Server::scripted(object.clone(), |_, _| Reply::ok().heedless());
    let source = open(&server.url()).unwrap();
    server.replace(Object { last_modified: Some("Fri, 31 Dec 9999 23:59:59 -0100".into()), ..object });
    check_changed(&read(&*at(&source), 300_000, 10).unwrap_err(), &*at(&source));
}

#[test]
fn a_time_of_modification_is_a_condition_where_there_is_no_strong_tag() {
    for etag in [None, Some("W/\"weak\"".to_owned())] {
        let object = Object { etag, ..Object::new(bytes(1, LEN), "") };
        for heedless in [false, true] {
            let script = move |_, _: &_| if heedless { Reply::ok().heedless() } else { Reply::ok() };
            let server = Server::scripted(object.clone(), script);
            let source = open(&server.url()).unwrap();
            assert!(read(&*at(&source), 200_000, 10).unwrap() == object.bytes[200_000..200_010]);
            assert_eq!(server.requests()[1].headers["if-unmodified-since"], crate::server::LONG_AGO);
            server.replace(Object {
                bytes: bytes(2, LEN).into(),
                last_modified: Some("Thu, 22 Oct 2015 07:28:00 GMT".into()),
                ..object.clone()
            });
            check_changed(&read(&*at(&source), 300_000, 10).unwrap_err(), &*at(&source));
        }
    }
}
