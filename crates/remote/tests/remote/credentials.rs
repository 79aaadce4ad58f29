//! Settings and credentials that no request can have: an error, and neither a panic nor a wait without end.

use std::{
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use cofferdam_io::FetchFault;
use remote::upload::{Body, Upload, UploadFaultKind};
use remote::{Place, RemoteSource};

use crate::fault;
use crate::uploads::settings::metadata_of_a_minute;
use crate::uploads::{BEGUN, STORED, fault_of, listening, open, serve, settings, settings_of};

#[test]
fn a_setting_that_no_request_can_have_is_refused_before_one_is_made() {
    let (address, heads) = listening();
    for (name, value) in [
        ("AWS_SESSION_TOKEN", "5ecret\n"),
        ("AWS_ACCESS_KEY_ID", "an\u{1}id"),
        ("AWS_SECRET_ACCESS_KEY", "5ecret\r\n"),
        ("AWS_REGION", "us-east-1\n"),
        ("AWS_ENDPOINT", "127.0.0.1:9000"),
        ("AWS_ENDPOINT", "http://127.0.0.1 :9000"),
        ("AWS_ENDPOINT", "http://127.0.0.1:9000/a b"),
    ] {
        let mut with = settings_of(address);
        with.retain(|(other, _)| other != name);
        with.push((name.to_owned(), value.to_owned()));
        let place = || Place::parse("s3://bucket/key", with.clone()).unwrap();
        for error in [
            RemoteSource::open(place(), crate::options()).map(drop).unwrap_err(),
            Upload::open(&place(), &crate::uploads::options()).map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
            assert!(error.to_string().contains(name) && !error.to_string().contains("5ecret"), "{error}");
        }
    }
    assert!(heads.lock().unwrap().is_empty());
}

/// Settings of a store at `store`, and of a server that gives `token` with the credentials.
fn with_token(store: std::net::SocketAddr, token: &'static str) -> Vec<(String, String)> {
    let metadata = serve(move |head| (200, metadata_of_a_minute(head, token)));
    let mut with = settings_of(store)[..3].to_vec();
    with.extend(settings([("AWS_METADATA_ENDPOINT", &format!("http://{metadata}"))]));
    with
}

#[test]
fn credentials_that_no_request_can_have_end_a_source_and_an_upload() {
    let (store, heads) = listening();
    for token in ["t\\nX: y", "t\\u0000"] {
        let place = || Place::parse("s3://bucket/key", with_token(store, token)).unwrap();
        let error = RemoteSource::open(place(), crate::options()).map(drop).unwrap_err();
        assert_eq!(fault(&error), FetchFault::Denied, "{error}");
        let error = Upload::open(&place(), &crate::uploads::options()).map(drop).unwrap_err();
        assert_eq!(fault_of(&error), UploadFaultKind::Denied, "{error}");
    }
    assert!(heads.lock().unwrap().is_empty());
}

/// They are good when the upload begins, and not when its parts are sent.
#[test]
fn credentials_that_go_bad_under_way_end_an_upload() {
    let is_bad = Arc::new(AtomicBool::new(false));
    let (bad, now_bad) = (is_bad.clone(), is_bad);
    let metadata = serve(move |head| {
        (200, metadata_of_a_minute(head, if bad.load(Ordering::Relaxed) { "t\\nX: y" } else { "t" }))
    });
    let store = serve(move |head| match head.split(' ').next().unwrap() {
        "POST" => {
            now_bad.store(true, Ordering::Relaxed);
            // The library takes credentials for good enough that it got a tenth of a second ago.
            thread::sleep(Duration::from_millis(150));
            (200, BEGUN.to_owned())
        }
        "PUT" => (200, STORED.to_owned()),
        _ => (404, "\r\n".to_owned()),
    });
    let mut with = settings_of(store)[..3].to_vec();
    with.extend(settings([("AWS_METADATA_ENDPOINT", &format!("http://{metadata}"))]));
    let mut upload = open(with);
    let error = send(&mut upload).unwrap_err();
    assert_eq!(fault_of(&error), UploadFaultKind::Denied, "{error}");
}

fn send(upload: &mut Upload) -> io::Result<()> {
    upload.send(0, Body::Memory(b"part".as_slice().into()))?;
    upload.wait().map(drop)
}
