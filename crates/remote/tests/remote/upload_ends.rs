//! The last request of an upload, to stores that lose its answer, refuse what they have done, or heed no condition: what is said is true.

use std::sync::{Arc, Mutex};
use std::thread;

use remote::Place;
use remote::upload::{IfThere, PublishError, Upload, UploadFaultKind, UploadOptions};

use crate::uploads::{
    BEGUN, SILENCE, STORED, fault_of, impatient, options, serve, settings, settings_of, small,
};

/// What a store has been asked for, and what stands there: the head of the answer to HEAD.
#[derive(Default)]
struct StoreState {
    there: Option<String>,
    attempt: String,
    ends: usize,
}

type Answer = (u16, String);

/// What the last request puts there.
fn ours(state: &StoreState) -> String {
    format!("ETag: \"ours\"\r\nx-amz-meta-cofferdamattempt: {}\r\n\r\n", state.attempt)
}

fn version(number: u32) -> String {
    format!("ETag: \"{number}\"\r\nx-goog-generation: {number}\r\n\r\n")
}

/// A store of one object, whose answers to the request that makes it are `end`'s. It looks at no condition.
fn store(
    there: Option<String>,
    end: impl Fn(&mut StoreState) -> Answer + Send + Sync + 'static,
) -> (std::net::SocketAddr, Arc<Mutex<StoreState>>) {
    let state = Arc::new(Mutex::new(StoreState { there, ..StoreState::default() }));
    let own = state.clone();
    let address = serve(move |head| {
        let mut state = own.lock().unwrap();
        let attempt = head.lines().find_map(|line| line.split_once("cofferdamattempt: "));
        attempt.iter().for_each(|(_, attempt)| state.attempt = attempt.to_string());
        let (method, target) = head.split_once(' ').unwrap();
        let (target, _) = target.split_once(' ').unwrap();
        let is_end = match method {
            "POST" => target.contains("uploadId="),
            "PUT" => !target.contains("partNumber="),
            _ => false,
        };
        if is_end {
            state.ends += 1;
            return end(&mut state);
        }
        match (method, &state.there) {
            ("HEAD", Some(there)) if there.starts_with("403") => (403, "\r\n".to_owned()),
            ("HEAD", Some(there)) => (200, there.clone()),
            ("POST", _) => (200, BEGUN.to_owned()),
            ("PUT", _) => (200, STORED.to_owned()),
            ("DELETE", _) => (204, "\r\n".to_owned()),
            ("GET", _) => error(404, "NoSuchUpload"),
            _ => (404, "\r\n".to_owned()),
        }
    });
    (address, state)
}

fn places(address: std::net::SocketAddr) -> [Place; 2] {
    let account = format!(
        r#"{{"gcs_base_url":"http://{address}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#
    );
    let google = settings([("GOOGLE_SERVICE_ACCOUNT_KEY", &account), ("GOOGLE_ALLOW_HTTP", "true")]);
    [
        Place::parse("s3://bucket/key", settings_of(address)).unwrap(),
        Place::parse("gs://bucket/key", google).unwrap(),
    ]
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Parts {
    One,
    Several,
}

/// What came of it: the kind of failure, and whether the object is known not to be there.
fn publish(place: &Place, if_exists: IfThere, parts: Parts) -> Result<(), (UploadFaultKind, bool)> {
    publish_with(options(), place, if_exists, parts)
}

/// The same, with options.
fn publish_with(
    mut options: UploadOptions,
    place: &Place,
    if_exists: IfThere,
    parts: Parts,
) -> Result<(), (UploadFaultKind, bool)> {
    options.if_exists = if_exists;
    let mut upload = Upload::open(place, &options).unwrap();
    let published = match parts {
        Parts::One => upload.put_whole(small()),
        Parts::Several => {
            upload.send(0, small()).unwrap();
            upload.wait().unwrap();
            upload.complete()
        }
    };
    published.map_err(|error| match error {
        PublishError::NotDone(error) => (fault_of(&error), true),
        PublishError::Unknown(error) => (fault_of(&error), false),
    })
}

fn error(status: u16, code: &str) -> Answer {
    (status, format!("\r\n<Error><Code>{code}</Code></Error>"))
}

fn done() -> Answer {
    let named = "<CompleteMultipartUploadResult><ETag>\"1-1\"</ETag></CompleteMultipartUploadResult>";
    (200, format!("ETag: \"1\"\r\nx-goog-generation: 9\r\n\r\n{named}"))
}

/// The store is busy, and before it is asked again somebody else has written there. It would replace that, whatever the request says.
#[test]
fn what_comes_before_a_request_is_sent_again_is_not_replaced() {
    for (before, if_exists, expected) in [
        (None, IfThere::Refuse, UploadFaultKind::Exists),
        (Some(version(1)), IfThere::Replace, UploadFaultKind::Replaced),
    ] {
        for which in 0..2 {
            for parts in [Parts::One, Parts::Several] {
                let (address, state) = store(before.clone(), |state| match state.ends {
                    1 => {
                        state.there = Some(version(2));
                        error(503, "ServiceUnavailable")
                    }
                    _ => done(),
                });
                let place = &places(address)[which];
                assert_eq!(publish(place, if_exists, parts), Err((expected, true)), "{place} {parts:?}");
                assert_eq!(state.lock().unwrap().ends, 1, "{place} {parts:?}");
            }
        }
    }
}

#[test]
fn a_request_is_sent_again_where_all_is_as_it_was_or_may_not_be_looked_at() {
    for (there, if_exists) in [
        (None, IfThere::Refuse),
        (Some(version(1)), IfThere::Replace),
        (Some("403".to_owned()), IfThere::Refuse),
        (Some("403".to_owned()), IfThere::Replace),
    ] {
        for parts in [Parts::One, Parts::Several] {
            let (address, state) = store(there.clone(), move |state| match state.ends {
                1 => error(503, "SlowDown"),
                // Parts are answered by their document, one request by its head.
                _ if parts == Parts::One => (200, STORED.to_owned()),
                _ => done(),
            });
            assert_eq!(publish(&places(address)[0], if_exists, parts), Ok(()), "{there:?} {parts:?}");
            assert_eq!(state.lock().unwrap().ends, 2, "{there:?} {parts:?}");
        }
    }
}

const REFUSALS: [(u16, &str, UploadFaultKind); 5] = [
    (412, "PreconditionFailed", UploadFaultKind::Exists),
    (409, "ConditionalRequestConflict", UploadFaultKind::Conflict),
    (403, "AccessDenied", UploadFaultKind::Denied),
    (404, "NoSuchUpload", UploadFaultKind::UploadGone),
    (404, "NoSuchBucket", UploadFaultKind::NoBucket),
];

/// Somebody between here and the store has sent the request twice, and passes the second answer on.
#[test]
fn a_refusal_of_what_has_been_done_already_is_no_failure() {
    for (status, code, _) in REFUSALS {
        for parts in [Parts::One, Parts::Several] {
            let (address, _) = store(None, move |state| {
                state.there = Some(ours(state));
                error(status, code)
            });
            assert_eq!(publish(&places(address)[0], IfThere::Refuse, parts), Ok(()), "{status} {parts:?}");
        }
    }
}

#[test]
fn a_refusal_of_what_has_not_been_done_stands() {
    for (status, code, kind) in REFUSALS {
        for there in [None, Some(version(2))] {
            let (address, _) = store(None, move |state| {
                state.there = there.clone();
                error(status, code)
            });
            let published = publish(&places(address)[0], IfThere::Refuse, Parts::Several);
            assert_eq!(published, Err((kind, true)), "{status}");
        }
    }
}

/// The parts are gone since they are the object, or since somebody gave them up: who may not look cannot tell.
#[test]
fn an_upload_that_is_gone_at_a_store_that_shows_nothing_is_not_known_to_have_failed() {
    let (address, _) = store(Some("403".to_owned()), |_| error(404, "NoSuchUpload"));
    let published = publish(&places(address)[0], IfThere::Refuse, Parts::Several);
    assert_eq!(published, Err((UploadFaultKind::Unknown, false)));
}

/// Between here and the store somebody answers in its place, for longer than is waited: no other object has been seen then.
#[test]
fn an_answer_that_names_no_object_is_not_taken_for_another_object() {
    let (address, _) = store(None, |state| {
        state.there = Some("Content-Type: text/html\r\n\r\n".to_owned());
        error(503, "ServiceUnavailable")
    });
    let published = publish_with(impatient(), &places(address)[0], IfThere::Refuse, Parts::One);
    assert_eq!(published, Err((UploadFaultKind::Unknown, false)));
}

/// Whichever request it is: the upload ends as soon as was asked for, also where a store may take its time.
#[test]
fn an_answer_that_never_comes_ends_the_upload() {
    let requests = [
        ("POST /bucket/key?uploads", Parts::Several),
        ("PUT /bucket/key?partNumber", Parts::Several),
        ("POST /bucket/key?uploadId", Parts::Several),
        ("PUT /bucket/key ", Parts::One),
    ];
    thread::scope(|scope| {
        for (which, parts) in requests {
            scope.spawn(move || check_silence(which, parts));
        }
    });
}

/// An upload to a store that does not answer requests of that beginning.
fn check_silence(which: &'static str, parts: Parts) {
    let address = serve(move |head| match head.split(' ').next().unwrap() {
        _ if head.starts_with(which) => (200, SILENCE.to_owned()),
        "POST" => (200, BEGUN.to_owned()),
        "PUT" => (200, STORED.to_owned()),
        "DELETE" => (204, "\r\n".to_owned()),
        "GET" => error(404, "NoSuchUpload"),
        _ => (404, "\r\n".to_owned()),
    });
    let mut options = impatient();
    options.retry.read_timeout = options.retry.no_progress;
    let mut upload = Upload::open(&places(address)[0], &options).unwrap();
    let ended = match parts {
        Parts::One => upload.put_whole(small()),
        Parts::Several => upload
            .send(0, small())
            .and_then(|()| upload.wait())
            .map_err(PublishError::NotDone)
            .and_then(|_| upload.complete()),
    };
    let expected = match parts {
        Parts::One => UploadFaultKind::Unknown,
        Parts::Several => UploadFaultKind::NoProgress,
    };
    match ended.unwrap_err() {
        PublishError::NotDone(error) | PublishError::Unknown(error) => {
            assert_eq!(fault_of(&error), expected, "{which}: {error}");
        }
    }
}
