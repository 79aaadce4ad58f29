//! An upload that several programs send to: what the store says of it, page by page, and what is not believed.

use std::sync::{Arc, Mutex};

use remote::Place;
use remote::upload::{ObjectState, SharedUpload, StoredPart, UploadFaultKind, UploadName};

use super::{NO_ANSWERS, fault_of, options, serve, settings_of, store};

fn name() -> UploadName {
    UploadName { id: "an upload/1".into(), attempt: [0xAB; 16], replaces: None }
}

fn upload(settings: Vec<(String, String)>, name: &UploadName) -> SharedUpload {
    SharedUpload::of(&Place::parse("s3://bucket/db", settings).unwrap(), &options(), name).unwrap()
}

fn page(first: u64, last: u64, next: Option<u64>) -> String {
    let parts = (first..=last).map(|number| {
        format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>&quot;t{number}&quot;</ETag><Size>7</Size></Part>"
        )
    });
    let parts: String = parts.collect();
    let next = next.map_or(String::new(), |next| {
        format!("<IsTruncated>true</IsTruncated><NextPartNumberMarker>{next}</NextPartNumberMarker>")
    });
    format!("\r\n<ListPartsResult>{next}{parts}</ListPartsResult>")
}

/// A store gives a thousand at once, and a plan may have ten times as many.
#[test]
fn all_pages_of_the_parts_are_asked_for() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = asked.clone();
    let settings = store(move |head| {
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let after = target.split_once("part-number-marker=").map(|(_, after)| after.to_owned());
        noted.lock().unwrap().push(target);
        let rest = match after.as_deref() {
            None => page(1, 1000, Some(1000)),
            Some("1000") => page(1001, 1002, Some(1002)),
            _ => page(10_000, 10_000, None),
        };
        (200, rest)
    });
    let parts = upload(settings, &name()).parts().unwrap().unwrap();
    let numbers: Vec<u64> = parts.iter().map(|part| part.number).collect();
    assert_eq!(numbers, (1..=1002).chain([10_000]).collect::<Vec<_>>());
    assert_eq!(parts[1], StoredPart { number: 2, len: 7, tag: "\"t2\"".into() });
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|target| target.contains("uploadId=an+upload%2F1")), "{asked:?}");
}

#[test]
fn a_list_of_parts_that_is_none_or_has_no_end_is_an_error() {
    let parts = |status: u16, rest: String| upload(store(move |_| (status, rest.clone())), &name()).parts();
    for rest in NO_ANSWERS {
        assert!(parts(200, rest.to_owned()).is_err(), "{rest:?}");
    }
    for next in [0, 5, 10_001] {
        let error = parts(200, page(1, 2, Some(next))).unwrap_err();
        assert!(error.to_string().contains("goes back, or on beyond any number"), "{next}: {error}");
    }
    let error = |code: &str| format!("\r\n<Error><Code>{code}</Code></Error>");
    assert_eq!(parts(404, error("NoSuchUpload")).unwrap(), None);
    // That the bucket is not there says nothing of an upload.
    assert!(parts(404, error("NoSuchBucket")).is_err());
    assert_eq!(fault_of(&parts(403, error("AccessDenied")).unwrap_err()), UploadFaultKind::Denied);
}

/// What is known again is what has this attempt's name; what was to be replaced is known by its version alone.
#[test]
fn what_stands_there_is_told_apart() {
    let standing = |status: u16, head: &'static str, replaces: Option<&str>| {
        let settings = settings_of(serve(move |_| (status, head.to_owned())));
        upload(settings, &UploadName { replaces: replaces.map(str::to_owned), ..name() }).look().unwrap()
    };
    const OURS: &str = "ETag: \"1\"\r\nx-amz-meta-cofferdamattempt: abababababababababababababababab\r\n\r\n";
    const OLD: &str = "ETag: \"1\"\r\nx-amz-meta-cofferdamattempt: another\r\n\r\n";
    for replaces in [None, Some("\"1\""), Some("\"2\"")] {
        assert_eq!(standing(200, OURS, replaces), ObjectState::Ours);
    }
    for (status, head, replaces, expected) in [
        (404, "\r\n", None, ObjectState::Unchanged),
        (404, "\r\n", Some("\"1\""), ObjectState::Others),
        (200, OLD, None, ObjectState::Others),
        (200, OLD, Some("\"1\""), ObjectState::Unchanged),
        (200, OLD, Some("\"2\""), ObjectState::Others),
        // Without a version it cannot be told to be the same.
        (200, "\r\n", Some("\"1\""), ObjectState::Others),
    ] {
        assert_eq!(standing(status, head, replaces), expected, "{status} {head:?} {replaces:?}");
    }
}

#[test]
fn an_upload_without_a_name_is_shared_by_nobody() {
    let settings = [("AZURE_STORAGE_ACCOUNT_NAME", "account"), ("AZURE_SKIP_SIGNATURE", "true")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let place = Place::parse("az://container/db", settings).unwrap();
    let error = SharedUpload::of(&place, &options(), &name()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported, "{error}");
}
