//! Answers that point elsewhere: what is secret goes nowhere else, and a circle has an end.

use cofferdam_io::FetchFault;
use remote::{Place, RemoteSource};

use crate::{
    at, fault, observed, open, open_with, options, read,
    server::{Object, Reply, Request, Server, bytes},
};

const LEN: usize = 1 << 20;

fn object() -> Object {
    Object::new(bytes(1, LEN), "\"a\"")
}

/// A server that points at `elsewhere`, with a status that keeps the method.
fn pointing_at(elsewhere: &str) -> Server {
    let elsewhere = elsewhere.to_owned();
    Server::scripted(object(), move |_, _| Reply::status(307).with("location", &elsewhere))
}

fn s3(server: &Server, more: &[(&str, String)]) -> Place {
    let mut options =
        vec![("AWS_ENDPOINT_URL", format!("http://{}", server.address())), ("AWS_ALLOW_HTTP", "true".into())];
    options.extend_from_slice(more);
    Place::parse("s3://bucket/key", options.into_iter().map(|(name, value)| (name.to_owned(), value)))
        .unwrap()
}

#[test]
fn a_redirect_is_followed() {
    let script = |_, request: &Request| match request.target.as_str() {
        "/object" => Reply::status(302).with("location", "/elsewhere"),
        _ => Reply::ok(),
    };
    let server = Server::scripted(object(), script);
    let source = open(&server.url()).unwrap();
    assert!(read(&*at(&source), 100_000, 10).unwrap() == bytes(1, LEN)[100_000..100_010]);
    assert_eq!(server.requests().last().unwrap().headers["if-match"], "\"a\"");
}

#[test]
fn without_a_secret_it_is_followed_to_another_server_which_is_not_told_from_where() {
    let other = Server::start(object());
    let server = pointing_at(&other.url());
    let source = open(&server.url()).unwrap();
    assert!(read(&*at(&source), 100_000, 10).unwrap() == bytes(1, LEN)[100_000..100_010]);
    assert_eq!(other.requests().len(), 2);
    assert!(other.requests().iter().all(|request| !request.headers.contains_key("referer")));
}

#[test]
fn a_secret_stays_with_the_server_that_the_url_names() {
    let other = Server::start(object());
    let server = pointing_at(&format!("{}?signature=of-its-own", other.url()));
    for url in [
        format!("{}?signature=5ecret", server.url()),
        server.url().replace("http://", "http://user:5ecret@"),
        server.url().replace("http://", "http://user@"),
    ] {
        let asked = server.requests().len();
        let error = open(&url).unwrap_err();
        assert_eq!(fault(&error), FetchFault::Refused, "{error}");
        assert!(error.to_string().contains("307") && !error.to_string().contains("5ecret"), "{error}");
        assert_eq!(server.requests().len(), asked + 1);
    }
    assert!(other.requests().is_empty());

    let script = |_, request: &Request| match request.target.as_str() {
        "/object?signature=5ecret" => Reply::status(307).with("location", "/elsewhere"),
        _ => Reply::ok(),
    };
    let server = Server::scripted(object(), script);
    let url = format!("{}?signature=5ecret", server.url()).replace("http://", "http://user:password@");
    let source = open(&url).unwrap();
    assert!(read(&*at(&source), 100_000, 10).is_ok());
    assert_eq!(server.requests().len(), 4);
    let kept = |request: &Request| {
        request.headers.contains_key("authorization") && !request.headers.contains_key("referer")
    };
    assert!(server.requests().iter().all(kept));
}

#[test]
fn a_circle_is_an_error_at_once() {
    let server = pointing_at("/object");
    let (options, retries) = observed(options());
    let error = open_with(&server.url(), options).unwrap_err();
    assert_eq!(fault(&error), FetchFault::Refused, "{error}");
    // The first request, and ten redirects.
    assert_eq!((server.requests().len(), retries.lock().unwrap().len()), (11, 0));
}

#[test]
fn what_is_signed_for_a_store_is_sent_to_no_other() {
    let other = Server::start(object());
    let server = pointing_at(&other.url());
    let keys = [
        ("AWS_ACCESS_KEY_ID", "an-id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "5ecret".to_owned()),
        ("AWS_SESSION_TOKEN", "a-token".to_owned()),
    ];
    let error = RemoteSource::open(s3(&server, &keys), options()).unwrap_err();
    assert_eq!(fault(&error), FetchFault::Refused, "{error}");
    assert!(error.to_string().contains("307"), "{error}");
    assert_eq!((server.requests().len(), other.requests().len()), (1, 0));
    assert_eq!(server.requests()[0].headers["x-amz-security-token"], "a-token");
}

#[test]
fn credentials_are_taken_from_nobody_else() {
    let other = Server::scripted(object(), |_, _| Reply::status(200).text("a-role"));
    let server = pointing_at(&other.url());
    let metadata = [("AWS_METADATA_ENDPOINT", format!("http://{}", server.address()))];
    let error = RemoteSource::open(s3(&server, &metadata), options()).unwrap_err();
    assert_eq!(fault(&error), FetchFault::Denied, "{error}");
    assert!(other.requests().is_empty());
}
