//! The proxy before nginx: each fault as a client sees it, and what goes through when nothing fails.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use servers::{Answer, Fault, FaultKind, FaultProxy, Nginx, Plan, request};

use crate::{assert_bytes, bytes};

const FILE: &[u8] = b"0123456789";
const LARGE_LEN: usize = (4 << 20) + 5;

/// One nginx for all tests of this file.
fn nginx() -> &'static Nginx {
    static NGINX: OnceLock<Nginx> = OnceLock::new();
    NGINX.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap().keep();
        fs::write(folder.join("file"), FILE).unwrap();
        fs::write(folder.join("other"), b"of another").unwrap();
        fs::write(folder.join("large"), bytes(LARGE_LEN)).unwrap();
        Nginx::start(&folder).unwrap()
    })
}

fn proxy(plan: Plan) -> FaultProxy {
    FaultProxy::start(nginx().address(), plan).unwrap()
}

fn failing(fault: Fault) -> FaultProxy {
    proxy(Plan::always(|_| true, fault))
}

const RANGE: &[(&str, &str)] = &[("Range", "bytes=2-5")];

fn get(proxy: &FaultProxy, target: &str, fields: &[(&str, &str)]) -> io::Result<Answer> {
    request(proxy.address(), "GET", target, fields, &[])
}

fn only(proxy: &FaultProxy, kind: FaultKind) {
    assert_eq!(proxy.counts().faults.into_iter().collect::<Vec<_>>(), [(kind, 1)]);
}

/// All that comes over a connection for one request.
fn raw(proxy: &FaultProxy, target: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

#[test]
fn nothing_is_changed_where_nothing_fails() {
    let proxy = proxy(Plan::none());
    let direct = request(nginx().address(), "GET", "/file", RANGE, &[]).unwrap();
    let through = get(&proxy, "/file", RANGE).unwrap();
    assert_bytes(&through, 206, Some("bytes 2-5/10"), b"2345");
    assert_eq!(through.field("etag"), direct.field("etag"));
    assert_bytes(&get(&proxy, "/large", &[]).unwrap(), 200, None, &bytes(LARGE_LEN));
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.requests, counts.faults.len()), (2, 2, 0));
    assert!(counts.bytes_down > LARGE_LEN as u64 && counts.bytes_down < LARGE_LEN as u64 + 2000);
    let seen: Vec<_> =
        proxy.seen().iter().map(|seen| (seen.request.target().to_owned(), seen.status)).collect();
    assert_eq!(seen, [("/file".to_owned(), 206), ("/large".to_owned(), 200)]);
}

#[test]
fn a_connection_carries_many_requests() {
    let proxy = proxy(Plan::none());
    let mut stream = BufReader::new(TcpStream::connect(proxy.address()).unwrap());
    for _ in 0..3 {
        stream.get_mut().write_all(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        let mut body = [0; 10];
        stream.read_exact(&mut body).unwrap();
        assert_eq!(body, FILE);
    }
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.requests), (1, 3));
}

#[test]
fn an_answer_is_cut_at_any_byte() {
    let whole = raw(&proxy(Plan::none()), "/file");
    for after in 0..=whole.len() {
        let proxy = failing(Fault::CutAnswer { after: after as u64 });
        let got = raw(&proxy, "/file");
        // The date in it may be another.
        assert_eq!(got.len(), after);
        assert_eq!(got[..after.min(20)], whole[..after.min(20)]);
        only(&proxy, FaultKind::CutAnswer);
    }
}

#[test]
fn a_cut_request_gets_no_answer() {
    for after in [0, 1, 20, 49] {
        let proxy = failing(Fault::CutRequest { after });
        assert!(raw(&proxy, "/file").is_empty());
        assert_eq!(proxy.counts().bytes_up, after);
        only(&proxy, FaultKind::CutRequest);
    }
}

#[test]
fn a_lost_answer_was_given() {
    let proxy = failing(Fault::LoseAnswer);
    assert!(raw(&proxy, "/large").is_empty());
    let counts = proxy.counts();
    assert!(counts.bytes_up > 0);
    assert_eq!(counts.bytes_down, 0);
    only(&proxy, FaultKind::LoseAnswer);
}

#[test]
fn a_stalled_answer_stands_still_until_the_client_leaves_or_the_time_is_over() {
    let proxy = failing(Fault::Stall { after: 15, at_most: Duration::from_secs(600) });
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut start = [0; 15];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut start).is_err());
    only(&proxy, FaultKind::Stall);
    let proxy = failing(Fault::Stall { after: 15, at_most: Duration::from_millis(100) });
    assert_eq!(get(&proxy, "/file", &[]).unwrap().body, FILE);
}

#[test]
fn a_status_is_told_in_the_servers_place() {
    for retry_after in [None, Some(1)] {
        let proxy = failing(Fault::Status { code: 503, retry_after });
        let answer = get(&proxy, "/file", &[]).unwrap();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.field("retry-after"), retry_after.map(|_| "1"));
        assert_eq!(proxy.counts().bytes_up, 0);
        only(&proxy, FaultKind::Status);
    }
}

#[test]
fn a_range_is_answered_by_the_whole() {
    let proxy = failing(Fault::WholeBody);
    assert_bytes(&get(&proxy, "/file", RANGE).unwrap(), 200, None, FILE);
    only(&proxy, FaultKind::WholeBody);
    assert_bytes(&get(&proxy, "/file", &[]).unwrap(), 200, None, FILE);
    only(&proxy, FaultKind::WholeBody);
}

#[test]
fn a_range_is_told_wrongly() {
    let proxy = failing(Fault::ShiftedRange);
    assert_bytes(&get(&proxy, "/file", RANGE).unwrap(), 206, Some("bytes 3-6/10"), b"2345");
    only(&proxy, FaultKind::ShiftedRange);
    let proxy = failing(Fault::OtherTotal);
    assert_bytes(&get(&proxy, "/file", RANGE).unwrap(), 206, Some("bytes 2-5/11"), b"2345");
    only(&proxy, FaultKind::OtherTotal);
    assert_bytes(&get(&proxy, "/file", &[]).unwrap(), 200, None, FILE);
    only(&proxy, FaultKind::OtherTotal);
}

#[test]
fn a_length_is_told_wrongly() {
    let proxy = failing(Fault::WrongLength { by: 3 });
    assert_eq!(get(&proxy, "/file", &[]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    let proxy = failing(Fault::WrongLength { by: -3 });
    assert_eq!(get(&proxy, "/file", &[]).unwrap().body, b"0123456");
    only(&proxy, FaultKind::WrongLength);
}

#[test]
fn a_tag_is_weak_or_missing_or_another() {
    let tag = |fault| get(&failing(fault), "/file", &[]).unwrap().field("etag").map(str::to_owned);
    let strong = tag(Fault::Delay(Duration::ZERO)).unwrap();
    assert_eq!(tag(Fault::WeakTag), Some(format!("W/{strong}")));
    assert_eq!(tag(Fault::NoTag), None);
    let other = tag(Fault::OtherTag).unwrap();
    assert!(other != strong && other.starts_with('"') && other.ends_with('"'), "{other}");
}

#[test]
fn another_target_is_answered() {
    let proxy = failing(Fault::OtherTarget("/other".into()));
    assert_eq!(get(&proxy, "/file", &[]).unwrap().body, b"of another");
    only(&proxy, FaultKind::OtherTarget);
}

#[test]
fn a_bit_of_the_body_is_another() {
    let proxy = failing(Fault::Damage { at: 2_000_000 });
    let mut expected = bytes(LARGE_LEN);
    expected[2_000_000] ^= 1;
    assert_bytes(&get(&proxy, "/large", &[]).unwrap(), 200, None, &expected);
    only(&proxy, FaultKind::Damage);
}

#[test]
fn a_script_is_followed_by_what_it_is_for() {
    let fault = |code| Some(Fault::Status { code, retry_after: None });
    let proxy = proxy(Plan::script(|request| request.target() == "/file", [fault(500), None, fault(429)]));
    let status = |target| get(&proxy, target, &[]).unwrap().status();
    let got = ["/file", "/other", "/file", "/other", "/file", "/file"].map(status);
    assert_eq!(got, [500, 200, 200, 200, 429, 200]);
}

#[test]
fn a_plan_may_change_what_is_served_before_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"first").unwrap();
    let nginx = Nginx::start(folder.path()).unwrap();
    let plan = Plan::new(move |request| {
        if request.index() == 1 {
            fs::write(&file, b"second").unwrap();
        }
        None
    });
    let proxy = FaultProxy::start(nginx.address(), plan).unwrap();
    assert_eq!(get(&proxy, "/file", &[]).unwrap().body, b"first");
    assert_eq!(get(&proxy, "/file", &[]).unwrap().body, b"second");
}

#[test]
fn a_seed_says_which_requests_fail_and_how() {
    let drawn = |seed| {
        let proxy = proxy(Plan::seeded(seed, 3, &FaultKind::ERRING));
        for _ in 0..40 {
            let _ = get(&proxy, "/file", RANGE);
        }
        proxy.seen().iter().map(|seen| seen.fault).collect::<Vec<_>>()
    };
    let first = drawn(1);
    assert_eq!(first, drawn(1));
    assert_ne!(first, drawn(2));
    let failing = first.iter().flatten().count();
    assert!((4..30).contains(&failing), "{failing} of 40");
}

#[test]
fn the_way_is_as_long_and_as_narrow_as_it_is_set() {
    let proxy = proxy(Plan::none());
    let took = |target| {
        let begun = Instant::now();
        get(&proxy, target, &[]).unwrap();
        begun.elapsed()
    };
    proxy.link().set_latency(Duration::from_millis(40));
    assert!(took("/file") >= Duration::from_millis(80), "once for the connection, once for the answer");
    proxy.link().set_latency(Duration::ZERO);
    proxy.link().set_bandwidth(20 << 20);
    assert!(took("/large") >= Duration::from_millis(190), "4 MiB at 20 MiB/s");
}

#[test]
fn an_outage_ends_what_is_open_and_refuses_what_is_new() {
    let proxy = failing(Fault::Stall { after: 0, at_most: Duration::from_secs(600) });
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    while proxy.counts().faults.is_empty() {
        std::thread::yield_now();
    }
    proxy.set_plan(Plan::none());
    proxy.set_outage(true);
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    assert!(get(&proxy, "/file", &[]).is_err());
    proxy.set_outage(false);
    assert_eq!(get(&proxy, "/file", &[]).unwrap().body, FILE);
}

#[test]
fn a_body_goes_up_as_it_was_sent() {
    let server = servers::SeaweedFs::shared();
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    let body = bytes(3 << 20);
    let target = format!("/{}/through-the-proxy", servers::SeaweedFs::OPEN_BUCKET);
    assert_eq!(request(proxy.address(), "PUT", &target, &[], &body).unwrap().status(), 200);
    assert_bytes(&get(&proxy, &target, &[]).unwrap(), 200, None, &body);
    assert!(proxy.counts().bytes_up > body.len() as u64);
    // A lost answer to a request that changes something: it is done.
    proxy.set_plan(Plan::always(|request| request.method() == "DELETE", Fault::LoseAnswer));
    assert!(request(proxy.address(), "DELETE", &target, &[], &[]).is_err());
    assert_eq!(get(&proxy, &target, &[]).unwrap().status(), 404);
}
