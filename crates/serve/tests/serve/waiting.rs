//! A source that answers for no part of itself, or not yet: who waits for it, who does not, and who has left.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use serve::{HTTP_READS_MAX, HttpUrl, NBD_CLIENT_READS_MAX, READS_MAX, Server};

use crate::http::ask;
use crate::nbd::{Client, READ};
use crate::source::{Source, server, wait_until};

/// A server by both protocols, of a source of 4 MiB.
struct Both {
    source: Arc<Source>,
    url: HttpUrl,
    folder: tempfile::TempDir,
    notices: Arc<std::sync::Mutex<Vec<String>>>,
    _server: Server,
}

impl Both {
    fn new() -> Both {
        let (source, folder) = (Source::new(4 << 20), tempfile::tempdir().unwrap());
        let (mut server, notices) = server(&source);
        let url = server.listen_http(0).unwrap();
        server.listen_nbd(&folder.path().join("socket")).unwrap();
        Both { source, url, folder, notices, _server: server }
    }

    fn disk(&self) -> Client {
        Client::connected(&self.folder.path().join("socket"))
    }

    /// A client that has asked for 4 KiB at `offset`, and waits.
    fn asking(&self, offset: u64) -> TcpStream {
        let (url, last) = (&self.url, offset + 4095);
        let mut stream = TcpStream::connect(url.address()).unwrap();
        let (path, host) = (url.path(), url.address());
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes={offset}-{last}\r\n\r\n")
            .unwrap();
        stream
    }

    /// A client that has asked for as much at once as one may, and more.
    fn asking_disk(&self, offset: u64) -> Client {
        let mut disk = self.disk();
        (0..20).for_each(|number| disk.request(0, READ, number, offset + number * 4096, 4096));
        disk
    }

    fn assert_is_served(&self, offset: usize) {
        let bytes = &self.source.bytes[offset..offset + 4096];
        let range = format!("bytes={offset}-{}", offset + 4095);
        assert!(ask(&self.url, "GET", &[("Range", &range)]).body == bytes);
        assert!(self.disk().read(offset as u64, 4096).unwrap() == bytes);
    }

    /// Waits until so many reads wait for the source.
    fn wait_for_reads(&self, count: usize) {
        wait_until("as many reads as there may be", || self.source.running().0 == count);
    }
}

#[test]
fn what_is_kept_is_served_though_every_slot_waits_for_the_source() {
    let both = Both::new();
    both.source.keep(0..1 << 20);
    both.source.close();
    let waiting: Vec<_> = (0..40).map(|number| both.asking((2 << 20) + number * 4096)).collect();
    let disks = [(); 3].map(|()| both.asking_disk(3 << 20));
    both.wait_for_reads(READS_MAX);
    for offset in [0, 5000, (1 << 20) - 4096] {
        both.assert_is_served(offset);
    }
    let mut disk = both.disk();
    assert!(disk.read(0, 1 << 20).unwrap() == both.source.bytes[..1 << 20]);
    // Of what is kept in part, the rest is waited for.
    disk.request(0, READ, 1, (1 << 20) - 10, 20);
    both.source.open();
    assert_eq!(disk.answer(), (0, 1));
    assert!(disk.take(20) == both.source.bytes[(1 << 20) - 10..][..20]);
    drop((waiting, disks));
}

#[test]
fn what_is_kept_waits_for_no_read_of_its_own_connection() {
    let both = Both::new();
    both.source.keep(0..1 << 20);
    both.source.close();
    // More of them than there are slots, and longer than all the memory of a connection.
    let mut disk = both.disk();
    (0..100).for_each(|number| disk.request(0, READ, number, (1 << 20) + number, 1 << 20));
    both.wait_for_reads(NBD_CLIENT_READS_MAX);
    for (number, len) in [(100, 4096), (101, 1 << 20)] {
        disk.request(0, READ, number, 0, len);
        assert_eq!(disk.answer(), (0, number));
        assert!(disk.take(len as usize) == both.source.bytes[..len as usize]);
    }
    both.source.open();
    let mut answered: Vec<u64> = (0..100)
        .map(|_| {
            let (error, number) = disk.answer();
            assert!(
                error == 0
                    && disk.take(1 << 20) == both.source.bytes[(1 << 20) + number as usize..][..1 << 20]
            );
            number
        })
        .collect();
    answered.sort_unstable();
    assert!(answered.into_iter().eq(0..100));
}

#[test]
fn a_read_whose_client_has_left_is_given_up_and_nobody_hears_of_it() {
    let both = Both::new();
    both.source.close();
    let waiting: Vec<_> = (0..40).map(|number| both.asking(number * 4096)).collect();
    let disks = [(); 3].map(|()| both.asking_disk(1 << 20));
    both.wait_for_reads(READS_MAX);
    drop((waiting, disks));
    both.wait_for_reads(0);
    both.source.close_range(0..2 << 20);
    both.assert_is_served(2 << 20);
    assert!(both.notices.lock().unwrap().is_empty());
}

#[test]
fn no_client_has_every_slot() {
    let both = Both::new();
    both.source.close_range(0..1 << 20);
    // All connections of this process are one client of NBD, and all of HTTP are one.
    let disks = [(); 3].map(|()| both.asking_disk(0));
    both.wait_for_reads(NBD_CLIENT_READS_MAX);
    assert!(ask(&both.url, "GET", &[("Range", "bytes=2000000-2000009")]).status == 206);
    assert_eq!(both.source.running(), (NBD_CLIENT_READS_MAX, NBD_CLIENT_READS_MAX + 1));
    drop(disks);
    both.wait_for_reads(0);
    let waiting: Vec<_> = (0..40).map(|number| both.asking(number * 4096)).collect();
    both.wait_for_reads(HTTP_READS_MAX);
    assert!(both.disk().read(2_000_000, 10).is_ok());
    drop(waiting);
}

#[test]
fn a_client_that_closes_its_side_is_answered_all_the_same() {
    let both = Both::new();
    let mut stream = TcpStream::connect(both.url.address()).unwrap();
    let (path, host) = (both.url.path(), both.url.address());
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(&both.source.bytes));
    let mut disk = both.disk();
    disk.request(0, READ, 1, 0, 4 << 20);
    disk.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(disk.answer(), (0, 1));
    assert!(disk.take(4 << 20) == both.source.bytes && disk.is_left());
}

#[test]
fn a_client_that_has_closed_its_side_is_not_waited_for_long() {
    let both = Both::new();
    both.source.close();
    let (mut stream, disk) = (both.asking(0), both.asking_disk(0));
    both.wait_for_reads(1 + NBD_CLIENT_READS_MAX);
    stream.shutdown(Shutdown::Write).unwrap();
    disk.0.shutdown(Shutdown::Write).unwrap();
    both.wait_for_reads(0);
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
}
