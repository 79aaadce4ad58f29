//! NBD as clients mean it: the handshake, reads in any order, several at once.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serve::{GRACE, Limits, Server};
use tempfile::TempDir;

use crate::source::{Source, server, wait_until};

pub(crate) const READ: u16 = 0;
pub(crate) const CACHE: u16 = 5;
pub(crate) const GO: u32 = 7;
pub(crate) const ACK: u32 = 1;

/// A server on a socket.
pub(crate) struct NbdFixture {
    pub(crate) source: Arc<Source>,
    pub(crate) server: Server,
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

/// One side of a connection, that says what it likes.
pub(crate) struct Client(pub(crate) UnixStream);

impl NbdFixture {
    pub(crate) fn new(len: usize) -> NbdFixture {
        NbdFixture::with_limits(len, Limits::default())
    }

    pub(crate) fn with_limits(len: usize, limits: Limits) -> NbdFixture {
        let folder = tempfile::tempdir().unwrap();
        let (source, path) = (Source::new(len), folder.path().join("socket"));
        let mut server = server(&source).0.limits(limits);
        server.listen_nbd(&path).unwrap();
        NbdFixture { source, server, path, _folder: folder }
    }

    /// A client that has read the greeting and said its `flags`.
    pub(crate) fn greeted(&self, flags: u32) -> Client {
        Client::greeted(&self.path, flags)
    }

    /// A client that may read.
    pub(crate) fn client(&self) -> Client {
        Client::connected(&self.path)
    }
}

impl Client {
    fn greeted(socket: &Path, flags: u32) -> Client {
        let mut client = Client(UnixStream::connect(socket).unwrap());
        client.0.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
        assert_eq!(client.take(18), b"NBDMAGICIHAVEOPT\0\x03");
        client.say(&flags.to_be_bytes());
        client
    }

    /// One that may read.
    pub(crate) fn connected(socket: &Path) -> Client {
        let mut client = Client::greeted(socket, 3);
        client.option(GO, b"\0\0\0\0\0\0");
        while client.reply().1 != ACK {}
        client
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn number(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    /// Whether the server has ended the connection, and said nothing before.
    pub(crate) fn is_left(&mut self) -> bool {
        let mut said = Vec::new();
        // What it had not read may make it a reset.
        let _ = self.0.read_to_end(&mut said);
        said.is_empty()
    }

    pub(crate) fn option(&mut self, option: u32, data: &[u8]) {
        let len = data.len() as u32;
        self.say(&[b"IHAVEOPT", &option.to_be_bytes()[..], &len.to_be_bytes(), data].concat());
    }

    /// The option that is replied to, the reply's kind, and its data.
    pub(crate) fn reply(&mut self) -> (u32, u32, Vec<u8>) {
        assert_eq!(self.take(8), b"\0\x03\xe8\x89\x04\x55\x65\xa9");
        let (option, kind, len) = (self.number(), self.number(), self.number());
        (option, kind, self.take(len as usize))
    }

    pub(crate) fn request(&mut self, flags: u16, command: u16, cookie: u64, offset: u64, len: u32) {
        let flags = flags.to_be_bytes();
        let head = [b"\x25\x60\x95\x13", &flags[..], &command.to_be_bytes(), &cookie.to_be_bytes()].concat();
        self.say(&[&head, &offset.to_be_bytes()[..], &len.to_be_bytes()].concat());
    }

    /// The error and the cookie.
    pub(crate) fn answer(&mut self) -> (u32, u64) {
        assert_eq!(self.take(4), b"\x67\x44\x66\x98");
        (self.number(), u64::from_be_bytes(self.take(8).try_into().unwrap()))
    }

    pub(crate) fn read(&mut self, offset: u64, len: u32) -> Result<Vec<u8>, u32> {
        self.request(0, READ, offset ^ 0xabcd, offset, len);
        match self.answer() {
            (0, cookie) if cookie == offset ^ 0xabcd => Ok(self.take(len as usize)),
            (error, _) => Err(error),
        }
    }
}

#[test]
fn an_export_is_described_and_read() {
    let served = NbdFixture::new(3_000_001);
    let mut client = served.greeted(3);
    client.option(3, b"");
    assert_eq!(client.reply(), (3, 2, b"\0\0\0\x08disk.img".to_vec()));
    assert_eq!(client.reply(), (3, ACK, vec![]));
    for (option, question) in [(6, &b"\0\0\0\x08disk.img\0\x01\0\x03"[..]), (GO, b"\0\0\0\0\0\0")] {
        client.option(option, question);
        // 3,000,001 bytes; flags 1, 2, 256 and 1024.
        assert_eq!(client.reply(), (option, 3, b"\0\0\0\0\0\0\0\x2d\xc6\xc1\x05\x03".to_vec()));
        // 1, 65,536 and 32 MiB.
        assert_eq!(client.reply(), (option, 3, b"\0\x03\0\0\0\x01\0\x01\0\0\x02\0\0\0".to_vec()));
        assert_eq!(client.reply(), (option, ACK, vec![]));
    }
    for (offset, len) in [(0, 1), (1, 4096), (2_999_999, 2), (0, 3_000_001), (3_000_001, 0), (7, 0)] {
        let read = client.read(offset, len).unwrap();
        assert!(read == served.source.bytes[offset as usize..][..len as usize], "{offset} {len}");
    }
    served.server.finish(GRACE);
    assert!(!served.path.exists());
}

#[test]
fn the_oldest_way_to_begin_has_zeroes_unless_they_are_not_wanted() {
    let served = NbdFixture::new(1000);
    for (flags, zeroes) in [(1, 124), (3, 0)] {
        for name in [&b""[..], b"disk.img"] {
            let mut client = served.greeted(flags);
            client.option(1, name);
            assert_eq!(client.take(10), b"\0\0\0\0\0\0\x03\xe8\x05\x03");
            assert_eq!(client.take(zeroes), vec![0; zeroes]);
            assert_eq!(client.read(990, 10).unwrap(), served.source.bytes[990..]);
        }
    }
}

#[test]
fn replies_come_as_they_are_ready_and_as_many_are_worked_on_as_may_be() {
    let served = NbdFixture::new(1 << 20);
    let mut client = served.client();
    served.source.close();
    (0..40_u64).for_each(|number| client.request(0, READ, number, number * 100, 100));
    wait_until("the reads at once", || served.source.running().0 == 16);
    served.source.open();
    let mut seen = [false; 40];
    for _ in 0..40 {
        let (error, number) = client.answer();
        let bytes = client.take(100);
        assert!(error == 0 && bytes == served.source.bytes[number as usize * 100..][..100]);
        assert!(!std::mem::replace(&mut seen[number as usize], true));
    }
    assert_eq!(served.source.running().1, 16);
}

#[test]
fn what_is_refused_does_not_wait_for_what_is_read() {
    let served = NbdFixture::new(1 << 20);
    let mut client = served.client();
    served.source.close();
    client.request(0, READ, 1, 0, 10);
    client.request(0, READ, 2, 1 << 20, 1);
    assert_eq!(client.answer(), (22, 2));
    served.source.open();
    assert_eq!(client.answer(), (0, 1));
    assert_eq!(client.take(10), served.source.bytes[..10]);
}

#[test]
fn what_a_client_will_read_is_read_before() {
    let served = NbdFixture::new(3_000_001);
    let mut client = served.client();
    client.request(0, CACHE, 1, 5, 2_999_996);
    assert_eq!(client.answer(), (0, 1));
    assert_eq!(served.source.reads.load(std::sync::atomic::Ordering::Relaxed), 3);
    client.request(0, CACHE, 2, 5, 2_999_997);
    assert_eq!(client.answer(), (22, 2));
}

#[test]
fn a_hundred_clients_read_at_once() {
    let served = NbdFixture::new(1 << 20);
    std::thread::scope(|scope| {
        for number in 0..100_u64 {
            let served = &served;
            scope.spawn(move || {
                let mut client = served.client();
                for round in 0..10 {
                    let offset = number * 10_007 + round;
                    assert!(
                        client.read(offset, 4096).unwrap() == served.source.bytes[offset as usize..][..4096]
                    );
                }
            });
        }
    });
}

#[test]
fn what_was_asked_before_the_end_is_answered() {
    let mut served = NbdFixture::new(1 << 20);
    let mut leaving = served.client();
    let mut staying = served.client();
    served.source.close();
    leaving.request(0, READ, 1, 0, 10);
    leaving.request(0, 2, 2, 0, 0);
    staying.request(0, READ, 3, 10, 10);
    wait_until("both reads", || served.source.running().0 == 2);
    let ending = std::mem::replace(&mut served.server, server(&served.source).0);
    let finishing = std::thread::spawn(move || ending.finish(Duration::from_secs(600)));
    // Then it is ending, and both answers still wait.
    wait_until("a refusal", || UnixStream::connect(&served.path).is_err());
    assert!(!finishing.is_finished());
    served.source.open();
    assert_eq!(leaving.answer(), (0, 1));
    assert_eq!(leaving.take(10), served.source.bytes[..10]);
    assert!(leaving.is_left());
    assert_eq!(staying.answer(), (0, 3));
    assert_eq!(staying.take(10), served.source.bytes[10..20]);
    assert!(staying.is_left());
    finishing.join().unwrap();
}
