//! An object is put into a store that answers "yes" to everything, as somebody between here and the store may: that is not believed.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use remote::Place;
use remote::upload::{
    Body, IfThere, PublishError, UnfinishedUploads, Upload, UploadFault, UploadFaultKind, UploadOptions,
};

use super::policy;

/// A store at which nothing ever is, and whose answers to all but HEAD are what `answer` makes of the request's head.
fn store(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Vec<(String, String)> {
    settings_of(serve(move |head| match head.starts_with("HEAD") {
        true => (404, "\r\n".to_owned()),
        false => answer(head),
    }))
}

/// A server whose answers are what `answer` makes of the request's head: a status, and all that comes after the first line.
fn serve(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> SocketAddr {
    serve_when(|_| {}, answer)
}

/// As [`serve`], and before it reads a request's body it does `first`.
fn serve_when(
    first: impl Fn(&str) + Send + Sync + 'static,
    answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> SocketAddr {
    serve_each(move |mut stream| {
        let head = take_request(&stream, &first)?;
        let (status, rest) = answer(&head);
        write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n{rest}")
    })
}

/// A server that does with each connection what `each` does.
fn serve_each(each: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, each) = (stream.unwrap(), each.clone());
            // Whoever asks may be gone before it is answered.
            thread::spawn(move || drop(each(stream)));
        }
    });
    address
}

/// Reads a request, and gives its head. Before its body `first` is done.
fn take_request(stream: &TcpStream, first: &dyn Fn(&str)) -> io::Result<String> {
    let mut lines = BufReader::new(stream);
    let (mut head, mut len) = (String::new(), 0);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head += &line;
    }
    first(&head);
    lines.read_exact(&mut vec![0; len])?;
    Ok(head)
}

fn settings_of(address: SocketAddr) -> Vec<(String, String)> {
    settings([
        ("AWS_ENDPOINT", &format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "an-id"),
        ("AWS_SECRET_ACCESS_KEY", "5ecret"),
    ])
}

fn settings<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
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

const BEGUN: &str =
    "\r\n<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
const COMPLETED: &str =
    "\r\n<CompleteMultipartUploadResult><ETag>\"1-1\"</ETag></CompleteMultipartUploadResult>";
const STORED: &str = "ETag: \"1\"\r\n\r\n";

fn small() -> Body {
    Body::Memory(b"small".as_slice().into())
}

fn fault_of(error: &io::Error) -> UploadFaultKind {
    UploadFault::within(error).unwrap_or_else(|| panic!("{error:?}")).kind()
}

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
    for (rest, done) in NO_ANSWERS.map(|rest| (rest, false)).into_iter().chain([(COMPLETED, true)]) {
        let mut upload = open(store(move |first| match first {
            first if first.contains("uploads=") => (200, BEGUN.to_owned()),
            first if first.starts_with("PUT") => (200, "ETag: \"1\"\r\n\r\n".to_owned()),
            first if first.starts_with("POST") => (200, rest.to_owned()),
            _ => (404, "\r\n".to_owned()),
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

/// A store that takes everything, and the heads of what it was asked.
fn listening() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = heads.clone();
    let address = serve(move |head| {
        heard.lock().unwrap().push(head.to_ascii_lowercase());
        match head.starts_with("HEAD") {
            true => (404, "\r\n".to_owned()),
            false => (200, STORED.to_owned()),
        }
    });
    (address, heads)
}

#[test]
fn requests_go_by_the_proxy_that_the_settings_name() {
    let (proxy, heads) = listening();
    let mut settings = settings_of(proxy);
    settings[0].1 = "http://store.invalid".to_owned();
    settings.push(("AWS_PROXY_URL".to_owned(), format!("http://{proxy}")));
    open(settings).put_whole(small()).unwrap();
    let heads = heads.lock().unwrap();
    assert!(heads.iter().all(|head| head.contains(" http://store.invalid/bucket/key ")), "{heads:?}");
    assert!(heads.iter().any(|head| head.starts_with("put ")), "{heads:?}");
}

/// The S3 reference, "Requester Pays buckets" and "Signature calculations": both headers are part of what is signed.
#[test]
fn what_the_settings_say_of_payer_payload_and_type_is_sent() {
    let (address, heads) = listening();
    let mut with = settings_of(address);
    with.extend(settings([
        ("AWS_REQUEST_PAYER", "true"),
        ("AWS_UNSIGNED_PAYLOAD", "true"),
        ("AWS_DEFAULT_CONTENT_TYPE", "application/x-ours"),
        ("AWS_USER_AGENT", "ours/1"),
    ]));
    open(with).put_whole(small()).unwrap();
    let heads = heads.lock().unwrap();
    let put = heads.iter().find(|head| head.starts_with("put ")).unwrap();
    for line in [
        "x-amz-request-payer: requester",
        "x-amz-content-sha256: unsigned-payload",
        "content-type: application/x-ours",
        "user-agent: ours/1",
    ] {
        assert_eq!(put.lines().filter(|said| *said == line).count(), 1, "{line} in {put}");
    }
    assert!(put.contains(";x-amz-request-payer"), "it is signed: {put}");
}

#[test]
fn a_setting_that_uploads_cannot_heed_is_refused_before_a_request() {
    let (address, heads) = listening();
    for (name, value) in [
        ("AWS_CHECKSUM_ALGORITHM", "sha256"),
        ("AWS_CONDITIONAL_PUT", "disabled"),
        ("AWS_SSE_CUSTOMER_KEY_BASE64", "c2VjcmV0"),
        ("AWS_S3_EXPRESS", "true"),
    ] {
        let mut with = settings_of(address);
        with.push((name.to_owned(), value.to_owned()));
        // The name of a directory bucket, without which that setting is none.
        let place = Place::parse("s3://bucket--usw2-az1--x-s3/key", with).unwrap();
        let error = Upload::open(&place, &options()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
    }
    let azure = settings([
        ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0"),
        ("AZURE_STORAGE_ENCRYPTION_KEY", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="),
    ]);
    let error = Upload::open(&Place::parse("az://container/key", azure).unwrap(), &options()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(heads.lock().unwrap().is_empty());
}

#[test]
fn credentials_go_without_tls_only_where_the_settings_allow_it() {
    let (address, heads) = listening();
    let account = format!(
        r#"{{"gcs_base_url":"http://{address}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#
    );
    let url = format!("http://{address}");
    for (place, with, allowed) in [
        ("gs://bucket/key", settings([("GOOGLE_SERVICE_ACCOUNT_KEY", &account)]), "GOOGLE_ALLOW_HTTP"),
        ("s3://bucket/key", settings_of(address)[..1].to_vec(), "AWS_ALLOW_HTTP"),
        (
            "az://container/key",
            settings([
                ("AZURE_STORAGE_ACCOUNT_NAME", "account"),
                ("AZURE_STORAGE_TOKEN", "5ecret"),
                ("AZURE_STORAGE_ENDPOINT", &url),
            ]),
            "AZURE_ALLOW_HTTP",
        ),
    ] {
        let open = |with: &[(String, String)]| {
            Upload::open(&Place::parse(place, with.to_vec()).unwrap(), &options())
        };
        let error = open(&with).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{place}: {error}");
        assert!(heads.lock().unwrap().is_empty(), "{place}");
        let consent = settings([(allowed, "true"), ("AWS_SKIP_SIGNATURE", "true")]);
        open(&[&with[..], &consent].concat()).unwrap();
        assert_eq!(std::mem::take(&mut *heads.lock().unwrap()).len(), 1, "{place}");
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
            (!is_taken).then_some(UploadFaultKind::Exists),
            "{opened:?}"
        );
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
            _ => (404, "\r\n".to_owned()),
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

/// Whoever gives credentials takes the connection, and never says a word.
#[test]
fn credentials_that_never_come_end_an_upload_before_it_begins() {
    let silent = serve_when(|_| thread::park(), |_| (500, "\r\n".to_owned()));
    let (address, heads) = listening();
    let mut with = settings_of(address)[..3].to_vec();
    with.push(("AWS_METADATA_ENDPOINT".to_owned(), format!("http://{silent}")));
    let mut options = options();
    options.retry.read_timeout = Duration::from_millis(100);
    options.retry.no_progress = Duration::from_secs(3600);
    let error = Upload::open(&Place::parse("s3://bucket/key", with).unwrap(), &options).unwrap_err();
    assert_eq!(fault_of(&error), UploadFaultKind::Denied, "{error}");
    assert!(heads.lock().unwrap().is_empty());
}

/// They have run out when the object is to be put in place: nothing has been asked for then, and a cancellation ends it.
#[test]
fn credentials_that_never_come_again_end_the_last_request() {
    for (cancels, expected) in [(false, UploadFaultKind::Denied), (true, UploadFaultKind::Cancelled)] {
        let [is_silent, is_cancelled]: [Arc<AtomicBool>; 2] = Default::default();
        let (silent, cancelled) = (is_silent.clone(), is_cancelled.clone());
        let metadata = serve_when(
            move |_| {
                while silent.load(Ordering::Relaxed) {
                    cancelled.store(cancels, Ordering::Relaxed);
                    thread::park_timeout(Duration::from_secs(1));
                }
            },
            |head| (200, format!("\r\n{}", metadata_of_a_minute(head.split(' ').nth(1).unwrap()))),
        );
        let (looks, puts) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let put = puts.clone();
        let address = serve(move |head| {
            if !head.starts_with("HEAD") {
                put.fetch_add(1, Ordering::Relaxed);
                return (200, STORED.to_owned());
            }
            if looks.fetch_add(1, Ordering::Relaxed) == 1 {
                is_silent.store(true, Ordering::Relaxed);
                // The library takes credentials for good enough that it got a tenth of a second ago.
                thread::sleep(Duration::from_millis(150));
            }
            (404, "\r\n".to_owned())
        });
        let mut with = settings_of(address)[..3].to_vec();
        with.push(("AWS_METADATA_ENDPOINT".to_owned(), format!("http://{metadata}")));
        let mut options = options();
        options.retry.read_timeout = Duration::from_secs(1);
        options.retry.no_progress = Duration::from_secs(if cancels { 3600 } else { 1 });
        options.is_cancelled = Arc::new(move || is_cancelled.load(Ordering::Relaxed));
        let upload = Upload::open(&Place::parse("s3://bucket/key", with).unwrap(), &options).unwrap();
        match upload.put_whole(small()).unwrap_err() {
            PublishError::NotDone(error) => assert_eq!(fault_of(&error), expected, "{error}"),
            PublishError::Unknown(error) => panic!("{error}"),
        }
        assert_eq!(puts.load(Ordering::Relaxed), 0);
    }
}

/// Credentials of so short a validity that they are asked for afresh each time.
fn metadata_of_a_minute(path: &str) -> String {
    match path {
        "/latest/meta-data/iam/security-credentials/a-role" => {
            let until = humantime::format_rfc3339_seconds(SystemTime::now() + Duration::from_secs(60));
            format!(
                "{{\"AccessKeyId\":\"an-id\",\"SecretAccessKey\":\"5ecret\",\"Token\":\"t\",\"Expiration\":\"{until}\"}}"
            )
        }
        "/latest/meta-data/iam/security-credentials/" => "a-role".to_owned(),
        _ => "a-token".to_owned(),
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
        write!(stream, "HTTP/1.1 200 X\r\nConnection: close\r\nETag: \"1\"\r\nContent-Length: 250\r\n\r\n")?;
        (0..250).try_for_each(|_| {
            thread::sleep(Duration::from_millis(20));
            stream.write_all(b" ")
        })
    });
    let mut options = options();
    options.retry.no_progress = Duration::from_secs(1);
    let place = Place::parse("s3://bucket/key", settings_of(address)).unwrap();
    let error = Upload::open(&place, &options).unwrap().put_whole(small()).unwrap_err();
    assert!(matches!(error, PublishError::Unknown(_)), "{error:?}");
}

/// It may take minutes to put an object together, but whoever waits for nothing as long does not for that.
#[test]
fn the_last_answer_is_waited_for_no_longer_than_any_other() {
    let address = serve(|head| match head.split(' ').next().unwrap() {
        "POST" if head.contains("uploads=") => (200, BEGUN.to_owned()),
        "POST" => {
            thread::sleep(Duration::from_secs(20));
            (200, COMPLETED.to_owned())
        }
        "PUT" => (200, STORED.to_owned()),
        _ => (404, "\r\n".to_owned()),
    });
    let mut options = options();
    options.retry.read_timeout = Duration::from_secs(1);
    options.retry.no_progress = Duration::from_secs(1);
    let place = Place::parse("s3://bucket/key", settings_of(address)).unwrap();
    let mut upload = Upload::open(&place, &options).unwrap();
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
