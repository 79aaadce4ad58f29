//! HTTP as clients mean it: bytes, ranges, conditions, many at once.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serve::{GRACE, HttpUrl};

use crate::nbd::Client;
use crate::source::{Source, patient, server, wait_until};

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether as much has come as was promised.
    pub(crate) fn is_whole(&self) -> bool {
        self.field("content-length").is_none_or(|len| len == self.body.len().to_string())
    }
}

/// Sends `text`, which is the whole of what is sent, and reads to the connection's end.
pub(crate) fn exchange(url: &HttpUrl, text: &str) -> Answer {
    let mut stream = TcpStream::connect(url.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut said = Vec::new();
    // A connection that breaks ends what has come.
    let _ = stream.read_to_end(&mut said);
    let end = said.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(said.len());
    let head = String::from_utf8(said[..end].to_vec()).unwrap();
    let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: said.get(end + 4..).unwrap_or_default().to_vec() }
}

/// A request with `fields`, after which the connection ends.
pub(crate) fn ask(url: &HttpUrl, method: &str, fields: &[(&str, &str)]) -> Answer {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let host = url.address();
    let path = url.path();
    exchange(url, &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n"))
}

#[test]
fn all_bytes_and_any_range_of_them_are_served() {
    let source = Source::new(3_000_001);
    let (mut server, _) = server(&source);
    let url = server.listen_http(0).unwrap();
    assert!(url.address().ip().is_loopback() && url.path().ends_with("/disk.img"));
    let whole = ask(&url, "GET", &[]);
    assert_eq!((whole.status, whole.field("accept-ranges")), (200, Some("bytes")));
    assert_eq!((whole.field("etag"), whole.field("cache-control")), (Some("\"0123abcd\""), Some("no-store")));
    assert!(whole.body == source.bytes);
    let head = ask(&url, "HEAD", &[("Range", "bytes=0-4")]);
    assert_eq!((head.status, head.field("content-length"), head.body.len()), (200, Some("3000001"), 0));
    // Around the lengths of pieces.
    let piece = 256 << 10;
    for first in [0, 1, piece - 1, piece, piece + 1, 3_000_000] {
        for len in [1, 2, piece - 1, piece, piece + 1, 5 * piece + 3] {
            let last = (first + len - 1).min(3_000_000);
            let part = ask(&url, "GET", &[("Range", &format!("bytes={first}-{}", first + len - 1))]);
            assert_eq!(part.status, 206);
            assert_eq!(part.field("content-range"), Some(&*format!("bytes {first}-{last}/3000001")));
            assert!(part.body == source.bytes[first..=last], "{first} {len}");
        }
    }
    let beyond = ask(&url, "GET", &[("Range", "bytes=3000001-")]);
    assert_eq!((beyond.status, beyond.field("content-range")), (416, Some("bytes */3000001")));
    assert_eq!(ask(&url, "GET", &[("Range", "bytes=0-1,4-5")]).body.len(), 3_000_001);
    assert_eq!(ask(&url, "GET", &[("Range", "bytes=0-1"), ("Range", "bytes=4-5")]).body.len(), 3_000_001);
    server.finish(GRACE);
}

#[test]
fn nothing_is_served_as_nothing() {
    let (mut server, _) = server(&Source::new(0));
    let url = server.listen_http(0).unwrap();
    let whole = ask(&url, "GET", &[]);
    assert_eq!((whole.status, whole.field("content-length"), whole.body.len()), (200, Some("0"), 0));
    let part = ask(&url, "GET", &[("Range", "bytes=0-0")]);
    assert_eq!((part.status, part.field("content-range")), (416, Some("bytes */0")));
}

#[test]
fn a_client_that_has_the_bytes_or_means_others_gets_none() {
    let source = Source::new(1000);
    let (mut server, _) = server(&source);
    let url = server.listen_http(0).unwrap();
    let tag = "\"0123abcd\"";
    let unchanged = ask(&url, "GET", &[("If-None-Match", tag)]);
    assert_eq!((unchanged.status, unchanged.field("etag"), unchanged.body.len()), (304, Some(tag), 0));
    assert_eq!(ask(&url, "GET", &[("If-Match", "\"x\"")]).status, 412);
    let range = ("Range", "bytes=10-19");
    assert_eq!(ask(&url, "GET", &[range, ("If-Range", tag)]).body, source.bytes[10..20]);
    for other in ["\"x\"", "W/\"0123abcd\"", "Tue, 15 Nov 1994 08:12:31 GMT"] {
        let whole = ask(&url, "GET", &[range, ("If-Range", other)]);
        assert_eq!((whole.status, whole.body.len()), (200, 1000));
    }
}

#[test]
fn a_connection_takes_one_request_after_another() {
    let source = Source::new(1000);
    let (mut server, _) = server(&source);
    let url = server.listen_http(0).unwrap();
    let (host, path) = (url.address(), url.path());
    let one = |range: &str, rest: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={range}\r\n{rest}\r\n")
    };
    let both = exchange(&url, &(one("0-9", "") + &one("10-19", "Connection: close\r\n")));
    // The second answer follows the ten bytes of the first.
    assert_eq!(both.body[..10], source.bytes[..10]);
    assert!(both.body.ends_with(&source.bytes[10..20]));
}

#[test]
fn a_hundred_clients_read_at_once_and_no_more_of_the_source_than_was_set() {
    let source = Source::new(1 << 20);
    let (mut server, _) = server(&source);
    let url = server.listen_http(0).unwrap();
    source.close();
    let clients: Vec<_> = (0..100_usize)
        .map(|number| {
            let (url, source) = (url.clone(), source.clone());
            std::thread::spawn(move || {
                let first = number * 10_007;
                let part = ask(&url, "GET", &[("Range", &format!("bytes={first}-{}", first + 4095))]);
                assert!(part.status == 206 && part.body == source.bytes[first..first + 4096]);
            })
        })
        .collect();
    wait_until("as many reads as there may be", || source.running().0 == serve::HTTP_READS_MAX);
    source.open();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(source.running(), (0, serve::HTTP_READS_MAX));
}

#[test]
fn a_client_that_leaves_in_the_middle_takes_nothing_with_it() {
    let source = Source::new(64 << 20);
    let (mut server, _) = server(&source);
    let url = server.listen_http(0).unwrap();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(url.address()).unwrap();
        write!(stream, "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", url.path(), url.address()).unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
    }
    // Nobody reads on for them: far from all has been read when the next client is served.
    assert_eq!(ask(&url, "GET", &[("Range", "bytes=-10")]).body, source.bytes[(64 << 20) - 10..]);
    let reads = source.reads.load(std::sync::atomic::Ordering::Relaxed);
    // The system buffers some MiB for each; a piece is 256 KiB.
    assert!(reads < 20 * 128, "{reads}");
}

#[test]
fn however_many_pause_others_are_served_by_http_and_nbd() {
    let source = Source::new(64 << 20);
    let folder = tempfile::tempdir().unwrap();
    let (server, _) = server(&source);
    let mut server = server.limits(patient());
    let url = server.listen_http(0).unwrap();
    server.listen_nbd(&folder.path().join("socket")).unwrap();
    // The first piece is kept, and what is read ahead has to wait: far more than there are slots, and less than there is memory.
    source.keep(0..serve::OWN_LEN as u64);
    source.close();
    let paused: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(url.address()).unwrap();
            // The system keeps little for it.
            rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 64 << 10).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
            write!(stream, "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", url.path(), url.address()).unwrap();
            stream.read_exact(&mut [0; 1]).unwrap();
            stream
        })
        .collect();
    wait_until("reads ahead", || source.running().0 == serve::HTTP_READS_MAX);
    // Now all of it is read, and nobody takes it.
    source.open();
    let mut disk = Client::connected(&folder.path().join("socket"));
    for offset in 0..100_usize {
        let bytes = &source.bytes[offset..offset + 1_000_000];
        let range = format!("bytes={offset}-{}", offset + 999_999);
        assert!(ask(&url, "GET", &[("Range", &range)]).body == bytes);
        assert!(disk.read(offset as u64, 1_000_000).unwrap() == bytes);
    }
    drop(paused);
}

#[test]
fn an_answer_that_has_begun_is_ended_when_the_server_does_and_none_begins() {
    let source = Source::new(1 << 20);
    let (mut server, _) = server(&source);
    let url = server.listen_http(0).unwrap();
    source.close();
    let (asked, all) = (url.clone(), source.clone());
    let client = std::thread::spawn(move || assert!(ask(&asked, "GET", &[]).body == all.bytes));
    wait_until("the read", || source.running().0 > 0);
    let finishing = std::thread::spawn(move || server.finish(Duration::from_secs(600)));
    // Then it is ending, and the answer still waits.
    wait_until("a refusal", || TcpStream::connect(url.address()).is_err());
    assert!(!finishing.is_finished() && !client.is_finished());
    source.open();
    client.join().unwrap();
    finishing.join().unwrap();
    assert!(TcpStream::connect(url.address()).is_err());
}
