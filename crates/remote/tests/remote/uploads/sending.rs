//! What is sent, how often, and which answers are believed.

use std::{
    io::Write,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use remote::{
    Place,
    upload::{Body, IfThere, PublishError, Upload, UploadFaultKind},
};

use super::{
    BEGUN, COMPLETED, NO_ANSWERS, STORED, fault_of, impatient, open, open_with, options, serve, serve_each,
    serve_when, settings_of, small, store, take_request, until_given,
};

/// What stands behind the status of an answer that has all that a store's has, and something that is none of it.
const NO_ANSWER_TO_PUT: [(u16, &str); 5] = [
    (200, "ETag: \"5f-62\"\r\nContent-Type: text/html\r\n\r\n<html>log in</html>"),
    (200, "ETag: \"1\"\r\n\r\n<Error><Message>m</Message></Error>"),
    (200, "ETag:\r\n\r\n"),
    (200, "ETag: \"\"\r\n\r\n"),
    (202, "ETag: \"1\"\r\n\r\n"),
];

const NO_ANSWER_TO_POST: [(u16, &str); 6] = [
    (200, "<CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>"),
    (
        200,
        "<CompleteMultipartUploadResult><Bucket>zz</Bucket><Key>key</Key><ETag>1</ETag></CompleteMultipartUploadResult>",
    ),
    (
        200,
        "<CompleteMultipartUploadResult><Bucket>bucket</Bucket><Key>other</Key><ETag>1</ETag></CompleteMultipartUploadResult>",
    ),
    (202, "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>"),
    (
        200,
        "<CompleteMultipartUploadResult><ETag>1</ETag><Error><Code>InternalError</Code></Error></CompleteMultipartUploadResult>",
    ),
    (
        200,
        "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult><Error><Code>InternalError</Code></Error>",
    ),
];

#[test]
fn an_answer_that_is_a_stores_but_for_one_thing_is_not_believed() {
    for (status, rest) in NO_ANSWER_TO_PUT {
        let given = Arc::new(AtomicUsize::new(0));
        let options = until_given(&given);
        let answers = store(move |_| {
            given.fetch_add(1, Ordering::Relaxed);
            (status, rest.to_owned())
        });
        let put = open_with(answers, &options).put_whole(small());
        assert!(put.is_err(), "{status} {rest:?}");
    }
    for (status, text) in NO_ANSWER_TO_POST {
        let given = Arc::new(AtomicUsize::new(0));
        let options = until_given(&given);
        let answers = store(move |head| match head {
            head if head.contains("uploads=") => (200, BEGUN.to_owned()),
            head if head.starts_with("PUT") => (200, STORED.to_owned()),
            head if head.starts_with("POST") => {
                given.fetch_add(1, Ordering::Relaxed);
                (status, format!("\r\n{text}"))
            }
            _ => (404, "\r\n".to_owned()),
        });
        let mut upload = open_with(answers, &options);
        upload.send(0, small()).unwrap();
        upload.wait().unwrap().unwrap();
        assert!(upload.complete().is_err(), "{status} {text}");
    }
}

#[test]
fn a_small_object_is_stored_only_if_the_answer_names_it() {
    for rest in NO_ANSWERS {
        let given = Arc::new(AtomicUsize::new(0));
        let options = until_given(&given);
        let answers = store(move |_| {
            given.fetch_add(1, Ordering::Relaxed);
            (200, rest.to_owned())
        });
        let put = open_with(answers, &options).put_whole(Body::Memory(b"small".as_slice().into()));
        assert!(put.is_err(), "{rest:?}");
    }
    let upload = open(store(|_| (200, "ETag: \"1\"\r\n\r\n".to_owned())));
    upload.put_whole(Body::Memory(b"small".as_slice().into())).unwrap();
}

#[test]
fn parts_are_an_object_only_if_the_answer_names_it() {
    for (rest, done) in NO_ANSWERS.map(|rest| (rest, false)).into_iter().chain([(COMPLETED, true)]) {
        let given = Arc::new(AtomicUsize::new(0));
        let options = until_given(&given);
        let answers = store(move |first| match first {
            first if first.contains("uploads=") => (200, BEGUN.to_owned()),
            first if first.starts_with("PUT") => (200, "ETag: \"1\"\r\n\r\n".to_owned()),
            first if first.starts_with("POST") => {
                given.fetch_add(1, Ordering::Relaxed);
                (200, rest.to_owned())
            }
            _ => (404, "\r\n".to_owned()),
        });
        let mut upload = open_with(answers, &options);
        upload.begin().unwrap();
        upload.send(0, Body::Memory(b"part".as_slice().into())).unwrap();
        upload.wait().unwrap().unwrap();
        match upload.complete() {
            Ok(()) => assert!(done, "{rest:?}"),
            Err(PublishError::NotDone(error) | PublishError::Unknown(error)) => {
                assert!(!done, "{error}");
            }
        }
    }
}

/// An object that comes while a small one is made, at a store that heeds no condition: as with parts, it is looked at right before.
#[test]
fn a_small_object_is_not_put_over_one_that_came_meanwhile() {
    let (looks, puts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (looked, put) = (looks.clone(), puts.clone());
    let address = serve(move |head| match head.split(' ').next().unwrap() {
        "HEAD" if looked.fetch_add(1, Ordering::Relaxed) == 0 => (404, "\r\n".to_owned()),
        "HEAD" => (200, STORED.to_owned()),
        _ => {
            put.fetch_add(1, Ordering::Relaxed);
            (200, STORED.to_owned())
        }
    });
    match open(settings_of(address)).put_whole(small()).unwrap_err() {
        PublishError::NotDone(error) => assert_eq!(fault_of(&error), UploadFaultKind::Exists, "{error}"),
        PublishError::Unknown(error) => panic!("{error}"),
    }
    assert_eq!((looks.load(Ordering::Relaxed), puts.load(Ordering::Relaxed)), (2, 0));
}

#[test]
fn an_object_without_a_version_is_not_replaced() {
    for (head, is_taken) in
        [("Content-Length: 3\r\n\r\n", false), ("Content-Length: 3\r\nETag: \"1\"\r\n\r\n", true)]
    {
        let place = Place::parse("s3://bucket/key", settings_of(serve(move |_| (200, head.to_owned()))));
        let mut options = options();
        options.if_exists = IfThere::Replace;
        let opened = Upload::open(&place.unwrap(), &options);
        assert_eq!(
            opened.as_ref().err().map(fault_of),
            (!is_taken).then_some(UploadFaultKind::Unversioned),
            "{opened:?}"
        );
    }
}

/// The last byte is in the system's buffers long before the store has it, and its answer comes later than any request may be silent.
#[test]
fn a_part_that_is_long_on_its_way_is_sent_once() {
    let puts = Arc::new(AtomicUsize::new(0));
    let counted = puts.clone();
    let address = serve_when(
        |head| {
            if head.starts_with("PUT") {
                thread::sleep(Duration::from_secs(2));
            }
        },
        move |head| match head.split(' ').next().unwrap() {
            "HEAD" => (404, "\r\n".to_owned()),
            "POST" => (200, BEGUN.to_owned()),
            "PUT" => {
                counted.fetch_add(1, Ordering::Relaxed);
                (200, STORED.to_owned())
            }
            _ => (404, "\r\n".to_owned()),
        },
    );
    let mut options = options();
    options.retry.read_timeout = Duration::from_millis(500);
    options.retry.no_progress = Duration::from_secs(30);
    let place = Place::parse("s3://bucket/key", settings_of(address)).unwrap();
    let mut upload = Upload::open(&place, &options).unwrap();
    // Less than the system's buffers hold, and so long that a slow link may take half a minute for it.
    upload.send(0, Body::Memory(vec![7; 1 << 20].into())).unwrap();
    assert_eq!(upload.wait().unwrap().unwrap().index, 0);
    assert_eq!(puts.load(Ordering::Relaxed), 1);
}

/// A byte now and then is no answer, though all of them come in the end.
#[test]
fn an_answer_that_trickles_is_not_waited_for() {
    let address = serve_each(|mut stream| {
        if take_request(&stream, &|_| {})?.starts_with("HEAD") {
            return write!(stream, "HTTP/1.1 404 X\r\nConnection: close\r\n\r\n");
        }
        write!(stream, "HTTP/1.1 200 X\r\nConnection: close\r\nETag: \"1\"\r\nContent-Length: 3000\r\n\r\n")?;
        (0..3000).try_for_each(|_| {
            thread::sleep(Duration::from_millis(20));
            stream.write_all(b" ")
        })
    });
    let error = open_with(settings_of(address), &impatient()).put_whole(small()).unwrap_err();
    assert!(matches!(error, PublishError::Unknown(_)), "{error:?}");
}

/// It may take minutes to put an object together, but whoever waits for nothing as long does not for that.
#[test]
fn the_last_answer_is_waited_for_no_longer_than_any_other() {
    let address = serve(|head| match head.split(' ').next().unwrap() {
        "POST" if head.contains("uploads=") => (200, BEGUN.to_owned()),
        "POST" => {
            thread::sleep(Duration::from_secs(60));
            (200, COMPLETED.to_owned())
        }
        "PUT" => (200, STORED.to_owned()),
        _ => (404, "\r\n".to_owned()),
    });
    let mut options = impatient();
    options.retry.read_timeout = options.retry.no_progress;
    let mut upload = open_with(settings_of(address), &options);
    upload.begin().unwrap();
    upload.send(0, small()).unwrap();
    upload.wait().unwrap().unwrap();
    assert!(upload.complete().is_err());
}

/// Four are on their way when the store has enough of it: of those that follow never more than three.
#[test]
fn a_store_that_asks_for_less_gets_fewer_parts_at_once() {
    let (all_in, parts) = (Barrier::new(4), AtomicUsize::new(0));
    let [at_once, most]: [Arc<AtomicUsize>; 2] = Default::default();
    let seen = most.clone();
    let address = serve(move |head| match head.split(' ').next().unwrap() {
        "POST" => (200, BEGUN.to_owned()),
        "PUT" if parts.fetch_add(1, Ordering::Relaxed) < 4 => {
            all_in.wait();
            (503, "\r\n<Error><Code>SlowDown</Code></Error>".to_owned())
        }
        "PUT" => {
            seen.fetch_max(at_once.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(200));
            at_once.fetch_sub(1, Ordering::Relaxed);
            (200, STORED.to_owned())
        }
        _ => (404, "\r\n".to_owned()),
    });
    let mut options = options();
    options.retry.no_progress = Duration::from_secs(3600);
    let place = Place::parse("s3://bucket/key", settings_of(address)).unwrap();
    let mut upload = Upload::open(&place, &options).unwrap();
    for index in 0..4 {
        upload.send(index, small()).unwrap();
    }
    while upload.wait().unwrap().is_some() {}
    assert!((1..=3).contains(&most.load(Ordering::Relaxed)), "{most:?}");
}
