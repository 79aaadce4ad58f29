//! What is sent to each kind of store: names, credentials, conditions.

use cofferdam_io::FetchFault;
use remote::{Place, RemoteSource};

use crate::{
    at, fault, observed, options, read,
    server::{Object, Reply, Server, bytes},
};

const LEN: usize = 1 << 20;

fn object() -> Object {
    Object::new(bytes(1, LEN), "\"a\"")
}

fn place(url: &str, options: &[(&str, String)]) -> Place {
    Place::parse(url, options.iter().map(|(name, value)| ((*name).to_owned(), value.clone()))).unwrap()
}

fn s3(server: &Server, url: &str) -> Place {
    let options = [
        ("AWS_ENDPOINT_URL", format!("http://{}", server.address())),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_REGION", "eu-west-1".into()),
        ("AWS_ACCESS_KEY_ID", "an-id".into()),
        ("AWS_SECRET_ACCESS_KEY", "5ecret".into()),
    ];
    place(url, &options)
}

#[test]
fn a_key_is_sent_as_the_object_is_named() {
    for (url, target) in [
        ("s3://bucket/dir/db.cfd", "/bucket/dir/db.cfd"),
        ("s3://bucket/with%20space%3F", "/bucket/with%20space%3F"),
        ("s3://bucket/100%25", "/bucket/100%25"),
        ("s3://bucket/100%2525", "/bucket/100%2525"),
        ("s3://bucket/ü", "/bucket/%C3%BC"),
        ("s3://bucket/a+b", "/bucket/a%2Bb"),
    ] {
        let server = Server::start(object());
        let source = RemoteSource::open(s3(&server, url), options()).unwrap();
        assert!(read(&*at(&source), 100_000, 10).unwrap() == bytes(1, LEN)[100_000..100_010]);
        for request in server.requests() {
            assert_eq!(request.target, target);
            let signed = &request.headers["authorization"];
            assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=an-id/"), "{signed}");
        }
        assert_eq!(server.requests()[1].headers["if-match"], "\"a\"");
    }
}

#[test]
fn the_stores_own_word_is_passed_on() {
    for (status, code, expected) in [
        (403, "InvalidAccessKeyId", FetchFault::Denied),
        (404, "NoSuchBucket", FetchFault::NotFound),
        (301, "PermanentRedirect", FetchFault::Refused),
    ] {
        let script =
            move |_, _: &_| Reply::status(status).text(&format!("<Error><Code>{code}</Code></Error>"));
        let server = Server::scripted(object(), script);
        let error = RemoteSource::open(s3(&server, "s3://bucket/key"), options()).unwrap_err();
        assert_eq!(fault(&error), expected);
        assert!(error.to_string().contains(&format!("{status} {code}")), "{error}");
        assert!(!error.to_string().contains("5ecret"), "{error}");
    }
}

#[test]
fn a_temporary_error_is_known_by_the_stores_word_as_well() {
    let script = |number, _: &_| match number {
        1 => Reply::status(400).text("<Error><Code>RequestTimeout</Code></Error>"),
        2 => Reply::status(403).text("<Error><Code>SlowDown</Code></Error>"),
        _ => Reply::ok(),
    };
    let server = Server::scripted(object(), script);
    let (options, retries) = observed(options());
    let source = RemoteSource::open(s3(&server, "s3://bucket/key"), options).unwrap();
    assert!(read(&*at(&source), 100_000, 10).is_ok());
    assert_eq!((retries.lock().unwrap().len(), source.tally().throttled), (2, 1));
}

#[test]
fn without_credentials_it_is_said_soon() {
    // The place where a machine gets its credentials has none.
    let server = Server::scripted(object(), |_, _| Reply::status(404));
    let options = [
        ("AWS_ENDPOINT_URL", format!("http://{}", server.address())),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_METADATA_ENDPOINT", format!("http://{}", server.address())),
    ];
    let error = RemoteSource::open(place("s3://bucket/key", &options), crate::options()).unwrap_err();
    assert_eq!(fault(&error), FetchFault::Denied, "{error}");
    assert!(error.to_string().contains("no credentials"), "{error}");
    assert!(server.requests().iter().all(|request| !request.target.starts_with("/bucket")));
}

/// With credentials from the server's own machine.
fn s3_by_metadata(server: &Server) -> Place {
    let address = format!("http://{}", server.address());
    let options = [
        ("AWS_ENDPOINT_URL", address.clone()),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_METADATA_ENDPOINT", address),
    ];
    place("s3://bucket/key", &options)
}

#[test]
fn credentials_without_end_are_not_read_to_their_end() {
    let long = "x".repeat(64 * 1024 + 1);
    let server = Server::scripted(object(), move |_, _| {
        // A terabyte is announced; more than this does not come, and nobody waits for it.
        Reply::status(200).text(&long).with("content-length", "1000000000000")
    });
    let error = RemoteSource::open(s3_by_metadata(&server), options()).unwrap_err();
    assert_eq!(fault(&error), FetchFault::Denied, "{error}");
    assert!(error.to_string().contains("more than 64 KiB"), "{error}");
    assert!(error.to_string().len() < 1000);
}

#[test]
fn credentials_as_long_as_they_may_be_are_taken() {
    let script = |_, request: &crate::server::Request| match request.target.as_str() {
        "/latest/api/token" => Reply::status(200).text("a-token"),
        "/latest/meta-data/iam/security-credentials/" => Reply::status(200).text("a-role"),
        "/latest/meta-data/iam/security-credentials/a-role" => {
            let credentials = "{\"AccessKeyId\":\"an-id\",\"SecretAccessKey\":\"5ecret\",\"Token\":\"a-session\",\
                               \"Expiration\":\"2099-01-01T00:00:00Z\"}";
            Reply::status(200).text(&(credentials.to_owned() + &" ".repeat(65_536 - credentials.len())))
        }
        _ => Reply::ok(),
    };
    let server = Server::scripted(object(), script);
    assert!(RemoteSource::open(s3_by_metadata(&server), options()).is_ok());
    assert_eq!(server.requests().last().unwrap().headers["x-amz-security-token"], "a-session");
}

#[test]
fn of_refused_credentials_the_status_and_the_code_are_said() {
    let text = "<Error><Code>ExpiredToken</Code><Message>the token 5ecret is old</Message></Error>";
    let server = Server::scripted(object(), move |_, _| Reply::status(403).text(text));
    let error = RemoteSource::open(s3_by_metadata(&server), options()).unwrap_err();
    assert_eq!(fault(&error), FetchFault::Denied, "{error}");
    assert!(error.to_string().contains("403") && error.to_string().contains("ExpiredToken"), "{error}");
    assert!(!error.to_string().contains("5ecret"), "{error}");
}

#[test]
fn a_user_in_a_url_is_sent_and_not_shown() {
    let server = Server::start(object());
    let url = server.url().replace("http://", "http://user:pa%3A55@");
    let source = crate::open(&url).unwrap();
    assert!(read(&*at(&source), 100_000, 10).is_ok());
    // RFC 7617 §2: `user:pa:55` in base 64.
    assert!(
        server.requests().iter().all(|request| request.headers["authorization"] == "Basic dXNlcjpwYTo1NQ==")
    );
    assert_eq!(source.place().to_string(), server.url());
}

#[test]
fn an_endpoint_without_tls_is_refused_soon_where_that_was_not_allowed() {
    let server = Server::start(object());
    let options = [
        ("AWS_ENDPOINT_URL", format!("http://{}", server.address())),
        ("AWS_ACCESS_KEY_ID", "an-id".into()),
        ("AWS_SECRET_ACCESS_KEY", "5ecret".into()),
    ];
    let error = RemoteSource::open(place("s3://bucket/key", &options), crate::options()).unwrap_err();
    assert_eq!(fault(&error), FetchFault::Refused, "{error}");
    assert!(server.requests().is_empty());
}
