//! An object is put into a store that answers "yes" to everything, as somebody between here and the store may: that is not believed.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use remote::Place;
use remote::upload::{Body, PublishError, UnfinishedUploads, Upload, UploadOptions};

use super::policy;

/// A store at which nothing ever is, and whose answers to all but HEAD are what `answer` makes of the request's first line.
fn store(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Vec<(String, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut len) = (String::new(), 0);
            lines.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    len = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            lines.read_exact(&mut vec![0; len]).unwrap();
            let (status, rest) =
                if first.starts_with("HEAD") { (404, "\r\n".to_owned()) } else { answer(&first) };
            let _ = write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n{rest}");
        }
    });
    [
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID", "key".into()),
        ("AWS_SECRET_ACCESS_KEY", "secret".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn options() -> UploadOptions {
    let mut options = UploadOptions::default();
    options.retry = policy();
    options.retry.no_progress = Duration::from_millis(300);
    options.abort_max = Duration::from_millis(300);
    options
}

fn open(settings: Vec<(String, String)>) -> Upload {
    Upload::open(&Place::parse("s3://bucket/key", settings).unwrap(), &options()).unwrap()
}

/// What stands behind the head of an answer that is no store's.
const NO_ANSWERS: [&str; 5] = [
    "\r\n",
    "\r\n   ",
    "Content-Type: text/html\r\n\r\n<html><body>Welcome to our hotel</body></html>",
    "\r\n<Error><Message>no code</Message></Error>",
    "\r\n<?xml version=\"1.0\"?><CompleteMultipartUploadRes",
];

#[test]
fn a_small_object_is_stored_only_if_the_answer_names_it() {
    for rest in NO_ANSWERS {
        let upload = open(store(move |_| (200, rest.to_owned())));
        let put = upload.put_whole(Body::Memory(b"small".as_slice().into()));
        assert!(put.is_err(), "{rest:?}");
    }
    let upload = open(store(|_| (200, "ETag: \"1\"\r\n\r\n".to_owned())));
    upload.put_whole(Body::Memory(b"small".as_slice().into())).unwrap();
}

#[test]
fn parts_are_an_object_only_if_the_answer_names_it() {
    let named = "\r\n<CompleteMultipartUploadResult><ETag>\"1-1\"</ETag></CompleteMultipartUploadResult>";
    for (rest, done) in NO_ANSWERS.map(|rest| (rest, false)).into_iter().chain([(named, true)]) {
        let mut upload = open(store(move |first| {
            let begun =
                "\r\n<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
            match first {
                first if first.contains("uploads=") => (200, begun.to_owned()),
                first if first.starts_with("PUT") => (200, "ETag: \"1\"\r\n\r\n".to_owned()),
                first if first.starts_with("POST") => (200, rest.to_owned()),
                _ => (404, "\r\n".to_owned()),
            }
        }));
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

#[test]
fn a_list_that_is_none_or_has_no_end_is_an_error() {
    let list = |rest: &'static str| {
        let settings = store(move |_| (200, rest.to_owned()));
        UnfinishedUploads::open("s3://bucket/", settings, &options()).unwrap().uploads()
    };
    for rest in NO_ANSWERS {
        assert!(list(rest).is_err(), "{rest:?}");
    }
    let endless = "\r\n<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>\
                   <NextUploadIdMarker>u</NextUploadIdMarker></ListMultipartUploadsResult>";
    assert!(list(endless).unwrap_err().to_string().contains("the store's list goes back"));
    assert!(list("\r\n<ListMultipartUploadsResult/>").unwrap().is_empty());
}

#[test]
fn a_prefix_with_an_empty_name_in_it_is_refused() {
    for url in ["s3://bucket//", "s3://bucket/db//"] {
        assert!(UnfinishedUploads::open(url, [], &options()).is_err(), "{url}");
    }
}
