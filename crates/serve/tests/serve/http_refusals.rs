//! HTTP as strangers, browsers and broken media use it: nothing is said, and nothing wrong is served.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serve::HttpUrl;

use crate::http::{Answer, ask, exchange};
use crate::source::{Source, one_that_is_left_soon, server};

#[test]
fn without_the_token_there_is_nothing() {
    let (mut server, notices) = server(&Source::new(1000));
    let url = server.listen_http(0).unwrap();
    let token = url.path().split('/').nth(1).unwrap().to_owned();
    let mut other = token.clone().into_bytes();
    other[0] = if other[0] == b'0' { b'1' } else { b'0' };
    let other = String::from_utf8(other).unwrap();
    let host = url.address();
    let get = |target: &str| {
        exchange(&url, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    let refused = get("/");
    let paths = [
        format!("/{other}/disk.img"),
        format!("/{token}/disk"),
        format!("/{token}/"),
        format!("/{token}"),
        format!("/{token}//disk.img"),
        format!("/{token}/disk.img/"),
        format!("//{token}/disk.img"),
        format!("/x/../{token}/disk.img"),
        "/disk.img".to_owned(),
        "*".to_owned(),
    ];
    for path in paths {
        let answer = get(&path);
        assert_eq!((answer.status, &answer.body), (404, &refused.body), "{path}");
        assert_eq!((answer.field("etag"), answer.field("accept-ranges")), (None, None));
    }
    // A stranger is not told which methods there are, either.
    let post = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange(&url, &post).status, 404);
    assert_eq!(get(&format!("/{token}/disk.img?a=b")).status, 200);
    assert!(notices.lock().unwrap().is_empty());
}

#[test]
fn another_host_is_misdirected_and_none_is_a_bad_request() {
    let (mut server, _) = server(&Source::new(1000));
    let url = server.listen_http(0).unwrap();
    let (port, path) = (url.address().port(), url.path().to_owned());
    let status = |target: &str, hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        exchange(&url, &format!("GET {target} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")).status
    };
    let own = format!("127.0.0.1:{port}");
    assert_eq!(status(&path, &[&own]), 200);
    for host in [
        &format!("localhost:{port}"),
        "evil.example",
        &format!("evil.example:{port}"),
        "127.0.0.1",
        "localhost",
        &format!("127.0.0.1:{}", port ^ 1),
        &format!("127.0.0.1.evil.example:{port}"),
        &format!("localhost.:{port}"),
        &format!("[::1]:{port}"),
        &format!("0.0.0.0:{port}"),
        "",
    ] {
        assert_eq!(status(&path, &[host]), 421, "{host}");
    }
    assert_eq!(status(&path, &[]), 400);
    assert_eq!(status(&path, &[&own, &own]), 400);
    assert_eq!(status(&format!("http://{own}{path}"), &[&own]), 200);
    assert_eq!(status(&format!("http://evil.example:{port}{path}"), &[&own]), 421);
}

#[test]
fn only_reading_is_allowed_and_no_other_site_is_told_anything() {
    let (mut server, _) = server(&Source::new(1000));
    let url = server.listen_http(0).unwrap();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"] {
        let answer = ask(&url, method, &[("Content-Length", "0"), ("Origin", "http://evil.example")]);
        assert_eq!((answer.status, answer.field("allow")), (405, Some("GET, HEAD")), "{method}");
        assert_eq!(answer.field("access-control-allow-origin"), None);
    }
    let answer = ask(&url, "GET", &[("Origin", "http://evil.example")]);
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (200, None));
}

#[test]
fn what_cannot_be_read_is_an_error_with_one_line_or_a_body_that_is_cut_off() {
    let source = Source::new(4 << 20);
    let (mut server, notices) = server(&source);
    let url = server.listen_http(0).unwrap();
    source.break_range(2_000_000..2_000_001);
    let first = ask(&url, "GET", &[("Range", "bytes=1999990-2000100")]);
    assert_eq!((first.status, first.field("content-range"), first.field("etag")), (500, None, None));
    assert_eq!(first.body, b"these bytes could not be read: the medium is broken\n");
    let later = ask(&url, "GET", &[]);
    assert!(later.status == 200 && !later.is_whole() && later.body.len() <= 2_000_000);
    assert!(source.bytes.starts_with(&later.body));
    assert_eq!(notices.lock().unwrap().len(), 2);
    assert!(ask(&url, "GET", &[("Range", "bytes=0-9")]).body == source.bytes[..10]);
}

/// Asks until there is an answer: on a busy machine this client may be too slow as well, where others are left soon.
fn answered(exchange: impl Fn() -> Answer) -> Answer {
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        let answer = exchange();
        if answer.status != 0 && answer.is_whole() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
}

/// Asks for `fields` of it until there is an answer.
fn ask_until_answered(url: &HttpUrl, fields: &[(&str, &str)]) -> Answer {
    answered(|| ask(url, "GET", fields))
}

/// Waits for the server to end the connection, and returns what it said.
fn to_the_end(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_client_that_says_nothing_or_too_slowly_or_too_much_is_left() {
    let (server, _) = server(&Source::new(1000));
    let mut server = server.limits(one_that_is_left_soon());
    let url = server.listen_http(0).unwrap();
    let begin = |text: &str| {
        let mut stream = TcpStream::connect(url.address()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    assert_eq!(to_the_end(begin("")), "");
    assert_eq!(to_the_end(begin("GET / HTT")), "");
    let host = url.address();
    // After an answer, too.
    let kept_alive = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(answered(|| exchange(&url, &kept_alive)).status, 404);
    let field = "x".repeat(17 << 10);
    let much = format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {field}\r\n\r\n");
    assert_eq!(answered(|| exchange(&url, &much)).status, 431);
    assert_eq!(answered(|| exchange(&url, "\x16\x03\x01 what is this\r\n\r\n")).status, 400);
}

#[test]
fn a_client_that_takes_nothing_is_left_and_the_next_is_served() {
    let source = Source::new(64 << 20);
    let (server, _) = server(&source);
    let mut server = server.limits(one_that_is_left_soon());
    let url = server.listen_http(0).unwrap();
    let mut silent = TcpStream::connect(url.address()).unwrap();
    write!(silent, "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", url.path(), url.address()).unwrap();
    silent.read_exact(&mut [0; 1]).unwrap();
    // There is room for one.
    assert_eq!(ask_until_answered(&url, &[("Range", "bytes=0-9")]).body, source.bytes[..10]);
    let mut taken = Vec::new();
    let _ = silent.read_to_end(&mut taken);
    assert!(taken.len() < 63 << 20, "{}", taken.len());
}

/// Whatever it asks for, and though it need not know the token.
#[test]
fn a_stranger_who_asks_on_and_takes_no_answer_is_left() {
    let source = Source::new(1000);
    let (server, _) = server(&source);
    let mut server = server.limits(one_that_is_left_soon());
    let url = server.listen_http(0).unwrap();
    let mut silent = TcpStream::connect(url.address()).unwrap();
    silent.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let asked = format!("GET /x HTTP/1.1\r\nHost: {}\r\n\r\n", url.address()).repeat(1000);
    while silent.write_all(asked.as_bytes()).is_ok() {}
    assert_eq!(ask_until_answered(&url, &[]).body, source.bytes);
    drop(silent);
}

#[test]
fn connections_beyond_the_limit_wait_for_others_to_end() {
    let source = Source::new(1000);
    let (server, _) = server(&source);
    let mut server = server.limits(one_that_is_left_soon());
    let url = server.listen_http(0).unwrap();
    let idle = TcpStream::connect(url.address()).unwrap();
    // The one that says nothing is left, and then it is this one's turn.
    assert_eq!(ask_until_answered(&url, &[]).body, source.bytes);
    drop(idle);
}
