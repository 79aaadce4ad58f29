//! What nobody completed is listed, and given up: by its very key, and by the store's clock.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use remote::upload::{UnfinishedUploads, UploadFaultKind};

use super::{NO_ANSWERS, fault_of, listening, options, settings_of, store};

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

const DATE: &str = "Wed, 10 Nov 2010 21:48:33 GMT";

fn page(uploads: &str) -> String {
    format!("Date: {DATE}\r\n\r\n<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>")
}

fn entry(key: &str, id: &str) -> String {
    format!(
        "<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>"
    )
}

/// Whatever time it is here: it is years later.
#[test]
fn the_age_of_an_upload_is_by_the_stores_clock() {
    let age = |rest: String| {
        let listed = UnfinishedUploads::open("s3://bucket/", store(move |_| (200, rest.clone())), &options());
        let uploads = listed.unwrap().uploads().unwrap();
        assert_eq!(uploads[0].begun, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_289_422_113)));
        uploads[0].age
    };
    assert_eq!(age(page(&entry("a", "1"))), Some(Duration::from_secs(3600)));
    assert_eq!(age(page(&entry("a", "1")).replace("21:48", "20:40")), Some(Duration::ZERO));
    // The other forms of RFC 9110 §5.6.7.
    for date in ["Wednesday, 10-Nov-10 21:48:33 GMT", "Wed Nov 10 21:48:33 2010"] {
        assert_eq!(
            age(page(&entry("a", "1")).replace(DATE, date)),
            Some(Duration::from_secs(3600)),
            "{date}"
        );
    }
    for other in ["Dato: ", "Date: yesterday, "] {
        assert_eq!(age(page(&entry("a", "1")).replace("Date: ", other)), None);
    }
}

/// A store that is years ahead: what was begun a minute ago, by the clock here, is not old.
#[test]
fn an_upload_is_no_older_than_by_the_clock_here() {
    let now = SystemTime::now();
    let begun = humantime::format_rfc3339_seconds(now - Duration::from_secs(60)).to_string();
    let rest = page(&entry("a", "1"))
        .replace("2010-11-10T20:48:33.000Z", &begun)
        .replace(DATE, "Fri, 31 Dec 9999 23:59:59 GMT");
    let settings = store(move |_| (200, rest.clone()));
    let uploads = UnfinishedUploads::open("s3://bucket/", settings, &options()).unwrap().uploads().unwrap();
    // A minute, and what has passed since: no test takes a day.
    assert!(uploads[0].age.unwrap() < Duration::from_secs(86_400), "{:?}", uploads[0].age);
}

#[test]
fn a_list_with_more_in_it_than_keys_can_have_is_an_error_and_what_was_not_asked_for_is_left_out() {
    let list = |uploads: String| {
        let settings = store(move |_| (200, page(&uploads)));
        UnfinishedUploads::open("s3://bucket/db/", settings, &options()).unwrap().uploads()
    };
    let long = format!("db/{}", "k".repeat(1022));
    for (key, id) in [(long.as_str(), "1"), ("db/a", &"u".repeat(1025))] {
        let listed = list(entry(key, id));
        assert_eq!(
            listed.map_err(|error| fault_of(&error)).err(),
            Some(UploadFaultKind::Other),
            "{key} {id}"
        );
    }
    for (key, is_listed) in [(&long[..1024], true), ("other/a", false), (&long[1..], false)] {
        assert_eq!(list(entry(key, "1")).unwrap().len(), usize::from(is_listed), "{key}");
    }
    let marker = format!("<IsTruncated>true</IsTruncated><NextKeyMarker>{long}</NextKeyMarker>");
    assert!(list(marker).is_err());
}

/// Who may give uploads up and not list their parts (`ListParts`): the store's word on the first counts.
#[test]
fn an_upload_is_given_up_without_the_right_to_look_at_it() {
    let settings = store(|head| match head.split(' ').next().unwrap() {
        "DELETE" => (204, "\r\n".to_owned()),
        _ if head.contains("uploads=") => (200, page(&entry("a", "1"))),
        _ => (403, "\r\n".to_owned()),
    });
    let listing = UnfinishedUploads::open("s3://bucket/", settings, &options()).unwrap();
    let upload = listing.uploads().unwrap().remove(0);
    listing.abort(&upload).unwrap();
}

/// `DELETE /bucket/key?uploadId=` would be the removal of the object to a store that does not look closely.
#[test]
fn an_upload_without_a_name_is_no_entry_and_is_never_given_up() {
    for (key, id) in [("a", ""), ("", "1")] {
        let rest = page(&(entry("b", "1") + &entry(key, id)));
        let listed = UnfinishedUploads::open("s3://bucket/", store(move |_| (200, rest.clone())), &options());
        let error = listed.unwrap().uploads().unwrap_err();
        assert!(error.to_string().contains("without a key or without a name"), "{error}");
    }
    let (address, heads) = listening();
    let other = page(&entry("a", "1"));
    let listing = UnfinishedUploads::open("s3://bucket/", store(move |_| (200, other.clone())), &options());
    let mut upload = listing.unwrap().uploads().unwrap().remove(0);
    upload.id.clear();
    let heedless = UnfinishedUploads::open("s3://bucket/", settings_of(address), &options()).unwrap();
    assert!(heedless.abort(&upload).is_err());
    assert!(heads.lock().unwrap().is_empty());
}

#[test]
fn an_upload_is_given_up_by_its_very_key() {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = heads.clone();
    let uploads: String =
        ["db//a", "/b", "c d&amp;%2F", "../e", "f/./g"].iter().map(|key| entry(key, "1")).collect();
    let settings = store(move |head| {
        heard.lock().unwrap().push(head.lines().next().unwrap().to_owned());
        match head.split(' ').next().unwrap() {
            "DELETE" => (204, "\r\n".to_owned()),
            _ if head.contains("uploads=") => (200, page(&uploads)),
            _ => (404, "\r\n<Error><Code>NoSuchUpload</Code></Error>".to_owned()),
        }
    });
    let listing = UnfinishedUploads::open("s3://bucket/", settings, &options()).unwrap();
    let given_up: Vec<_> =
        listing.uploads().unwrap().iter().map(|upload| listing.abort(upload).is_ok()).collect();
    // In the order of their bytes: those with dots are other keys to a URL.
    assert_eq!(given_up, [false, true, true, true, false]);
    let heads = heads.lock().unwrap();
    let asked: Vec<_> = heads.iter().filter_map(|head| head.strip_prefix("DELETE /bucket/")).collect();
    assert_eq!(
        asked,
        ["/b?uploadId=1 HTTP/1.1", "c%20d%26%252F?uploadId=1 HTTP/1.1", "db//a?uploadId=1 HTTP/1.1"]
    );
}
