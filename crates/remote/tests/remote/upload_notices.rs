//! What an upload's user is told beside its outcome: that nothing protects an object, that parts may stay at the store.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use remote::Place;
use remote::upload::{IfThere, PublishError, Upload, UploadFaultKind, UploadNotice, UploadOptions};

use crate::uploads::{BEGUN, STORED, fault_of, impatient, options, serve, settings_of, small};

/// Options that write down each notice.
fn observed() -> (UploadOptions, Arc<Mutex<Vec<UploadNotice>>>) {
    let told: Arc<Mutex<Vec<UploadNotice>>> = Arc::default();
    let (own, mut options) = (told.clone(), options());
    options.on_notice = Arc::new(move |notice| own.lock().unwrap().push(notice.clone()));
    (options, told)
}

/// A place at a store whose answers to HEAD and DELETE are these; it takes every part, and refuses to put them together.
fn place(head: (u16, &'static str), delete: (u16, &'static str)) -> Place {
    let address = serve(move |asked| {
        let method = asked.split(' ').next().unwrap();
        let (status, rest) = match (method, asked.contains("?uploads")) {
            ("HEAD", _) => head,
            ("DELETE", _) => delete,
            ("PUT", _) => (200, STORED),
            ("POST", true) => (200, BEGUN),
            ("POST", false) => (400, "\r\n<Error><Code>InvalidPart</Code></Error>"),
            // What is left of an upload: nothing.
            _ => (404, "\r\n<Error><Code>NoSuchUpload</Code></Error>"),
        };
        (status, rest.to_owned())
    });
    Place::parse("s3://bucket/key", settings_of(address)).unwrap()
}

const NOTHING: (u16, &str) = (404, "\r\n");
const DENIED: (u16, &str) = (403, "\r\n<Error><Code>AccessDenied</Code></Error>");
/// Of a proxy, or of a server that is no store.
const PAGE: (u16, &str) = (404, "\r\n<html><body>Not Found</body></html>");
const DONE: (u16, &str) = (204, "\r\n");

#[test]
fn who_may_replace_and_not_look_is_told() {
    for (if_exists, is_told) in [(IfThere::Replace, true), (IfThere::Refuse, false)] {
        let (mut options, told) = observed();
        options.if_exists = if_exists;
        Upload::open(&place(DENIED, DONE), &options).unwrap();
        let expected = UploadNotice::Unguarded { object: "s3://bucket/key".to_owned() };
        let expected = if is_told { vec![expected] } else { vec![] };
        assert_eq!(*told.lock().unwrap(), expected, "{if_exists:?}");
    }
}

#[test]
fn what_cannot_be_given_up_is_told_once_and_what_is_given_up_is_not() {
    for (delete, left) in [(DENIED, Some("AccessDenied")), (PAGE, Some("404")), (DONE, None)] {
        for completes in [false, true] {
            let (options, told) = observed();
            let mut upload = Upload::open(&place(NOTHING, delete), &options).unwrap();
            upload.send(0, small()).unwrap();
            upload.wait().unwrap();
            if completes {
                let error = upload.complete().unwrap_err();
                // What has not been given up may yet be completed by nobody: the store has refused it.
                assert!(matches!(error, PublishError::NotDone(_)), "{error:?}");
            } else {
                drop(upload);
            }
            let told = told.lock().unwrap();
            assert_eq!(told.len(), usize::from(left.is_some()), "{told:?} {completes}");
            for notice in &*told {
                let UploadNotice::Left { what } = notice else { panic!("{notice:?}") };
                assert!(what.contains("s3://bucket/key") && what.contains(left.unwrap()), "{what}");
            }
        }
    }
}

/// The store's settings allow each request an hour of silence; the caller allows nothing of the kind.
#[test]
fn a_store_s_own_timeout_makes_nobody_wait_longer_than_nothing_may_get_on() {
    let address = serve(|_| {
        thread::sleep(Duration::from_secs(60));
        (404, "\r\n".to_owned())
    });
    let mut with = settings_of(address);
    with.push(("AWS_READ_TIMEOUT".to_owned(), "1h".to_owned()));
    let error = Upload::open(&Place::parse("s3://bucket/key", with).unwrap(), &impatient()).unwrap_err();
    assert_eq!(fault_of(&error), UploadFaultKind::NoProgress, "{error}");
}
