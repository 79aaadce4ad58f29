//! What the settings say of a store is heeded, or refused; whoever gives the credentials may say nothing.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

use remote::{
    Place,
    upload::{PublishError, Upload, UploadFaultKind},
};

use super::{STORED, fault_of, listening, open, options, serve, serve_when, settings, settings_of, small};

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
            |head| (200, metadata_of_a_minute(head, "t")),
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
        options.retry.read_timeout = Duration::from_secs(3);
        options.retry.no_progress = Duration::from_secs(if cancels { 3600 } else { 3 });
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
pub(crate) fn metadata_of_a_minute(head: &str, token: &str) -> String {
    let text = match head.split(' ').nth(1).unwrap() {
        "/latest/meta-data/iam/security-credentials/a-role" => {
            let until = humantime::format_rfc3339_seconds(SystemTime::now() + Duration::from_secs(60));
            format!(
                "{{\"AccessKeyId\":\"an-id\",\"SecretAccessKey\":\"5ecret\",\"Token\":\"{token}\",\"Expiration\":\"{until}\"}}"
            )
        }
        "/latest/meta-data/iam/security-credentials/" => "a-role".to_owned(),
        _ => "a-token".to_owned(),
    };
    format!("\r\n{text}")
}
