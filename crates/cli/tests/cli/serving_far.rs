//! `cofferdam serve` of a stream in a store: what a read costs there, and what a client sees when the store fails.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use servers::installed::{is_skipped, is_skipped_without};
use servers::{Fault, FaultProxy, Identity, Nginx, Plan, Request, SeaweedFs};

use crate::place::{Place, json_lines};
use crate::served::{Disk, ServeProcess, ask, full_pipe, get, run};

const EIO: u32 = 5;
const FRAME: u64 = 64 << 10;
const SEGMENT: u64 = 1 << 20;

/// A place with `plain`, random bytes, sealed in frames of 64 KiB and segments of 1 MiB.
fn sealed_place(len: u64) -> Place {
    let place = Place::new();
    let mut plain = vec![0; len as usize];
    fastrand::Rng::with_seed(7).fill(&mut plain);
    fs::write(place.path("plain"), plain).unwrap();
    let recipient = place.recipient.clone();
    let seal = ["seal", "-r", &recipient, "--segment-size", "1MiB", "-o", "sealed.cfd", "plain"];
    place.run(seal).assert_done();
    place
}

/// A place, and a store that has its stream, behind a proxy.
struct Stored {
    place: Place,
    proxy: FaultProxy,
    url: String,
}

impl Stored {
    fn new(place: Place) -> Stored {
        let store = SeaweedFs::shared();
        let bucket = store.new_bucket().unwrap();
        store.put(&bucket, "sealed.cfd", &place.read("sealed.cfd")).unwrap();
        let proxy = FaultProxy::start(store.address(), Plan::none()).unwrap();
        Stored { place, proxy, url: format!("s3://{bucket}/sealed.cfd") }
    }

    fn serve(&self, arguments: &[&str]) -> ServeProcess {
        let variables = SeaweedFs::shared().environment(self.proxy.address(), Identity::Reader);
        ServeProcess::start_with(&self.place, &[arguments, &[&self.url]].concat(), &variables)
    }

    /// Requests and bytes of answers so far; those of the last answer may be counted a moment after it has come.
    fn cost(&self) -> (u64, u64) {
        let counts = self.proxy.counts();
        (counts.requests, counts.bytes_down)
    }
}

/// Random offsets, and the frames and segments that reads of 4 KiB there touch.
fn random_reads(len: u64) -> (Vec<u64>, u64, u64) {
    let mut random = fastrand::Rng::with_seed(11);
    let offsets: Vec<u64> = (0..60).map(|_| random.u64(0..len - 4096)).collect();
    let touched = |unit: u64| {
        let units: BTreeSet<u64> = offsets.iter().flat_map(|at| [at / unit, (at + 4095) / unit]).collect();
        units.len() as u64
    };
    let (frames, segments) = (touched(FRAME), touched(SEGMENT));
    (offsets, frames, segments)
}

#[test]
fn random_reads_cost_their_frames_and_segments_by_either_protocol() {
    if is_skipped() {
        return;
    }
    let len = 24 << 20;
    let stored = Stored::new(sealed_place(len));
    let plain = stored.place.read("plain");
    let (offsets, frames, segments) = random_reads(len);
    for by_nbd in [true, false] {
        let served = stored.serve(&["--http", "--nbd", "socket"]);
        let mut disk = Disk::open(&stored.place.path("socket"));
        let before = stored.cost();
        for at in &offsets {
            let read = match by_nbd {
                true => disk.read(*at, 4096).unwrap(),
                false => get(served.url(), Some((*at, at + 4095))).1,
            };
            assert!(read == plain[*at as usize..*at as usize + 4096]);
        }
        let after = stored.cost();
        let (requests, bytes) = (after.0 - before.0, after.1 - before.1);
        assert!(requests * 10 <= (frames + segments) * 11, "{requests} for {frames} and {segments}");
        let needed = frames * (FRAME + 32) + segments * 48;
        assert!(bytes * 10 <= needed * 11, "{bytes} of {needed}");
        // A second time they are there.
        for at in &offsets {
            assert_eq!(disk.read(*at, 4096).unwrap().len(), 4096);
        }
        assert_eq!(stored.cost().0, after.0);
        served.end(Signal::TERM).assert_done();
    }
}

#[test]
fn what_a_first_run_has_read_is_there_in_the_second() {
    if is_skipped() {
        return;
    }
    let len = 24 << 20;
    let stored = Stored::new(sealed_place(len));
    let (offsets, frames, _) = random_reads(len);
    let first = stored.serve(&["--nbd", "socket", "--record", "boot.set"]);
    let mut disk = Disk::open(&stored.place.path("socket"));
    offsets.iter().for_each(|at| assert!(disk.read(*at, 4096).is_ok()));
    first.end(Signal::TERM).assert_done();
    let second = stored.serve(&["--nbd", "socket", "--warm", "boot.set"]);
    second.wait_for("warmed");
    let before = stored.cost();
    assert!(before.1 > frames * FRAME);
    let (mut disk, plain) = (Disk::open(&stored.place.path("socket")), stored.place.read("plain"));
    for at in &offsets {
        assert!(disk.read(*at, 4096).unwrap() == plain[*at as usize..*at as usize + 4096]);
    }
    assert_eq!(stored.cost().0, before.0);
    second.end(Signal::TERM).assert_done();
}

/// nbdkit has e2fsprogs' library read the file system, and asks for what that needs alone.
#[test]
fn a_file_of_a_file_system_is_read_without_the_rest_being_fetched() {
    if is_skipped() || is_skipped_without(&["mke2fs", "nbdkit", "nbdcopy"]) {
        return;
    }
    let place = Place::new();
    let mut content = vec![0; 300_000];
    fastrand::Rng::with_seed(3).fill(&mut content);
    fs::create_dir_all(place.path("tree/etc")).unwrap();
    fs::write(place.path("tree/etc/wanted"), &content).unwrap();
    for number in 0..40 {
        fs::write(place.path(&format!("tree/{number}")), vec![number; 1 << 20]).unwrap();
    }
    run(&place, "mke2fs", &["-q", "-t", "ext4", "-d", "tree", "plain", "64M"]).assert_done();
    let recipient = place.recipient.clone();
    place.run(["seal", "-r", &recipient, "-o", "sealed.cfd", "plain"]).assert_done();
    let stored = Stored::new(place);
    let served = stored.serve(&["--nbd", "socket"]);
    let (socket, copy) = (stored.place.path("socket"), stored.place.path("copy"));
    let socket = format!("socket={}", socket.display());
    let copied = format!("nbdcopy \"$uri\" '{}'", copy.display());
    let nbdkit = ["-U", "-", "--filter=ext2", "nbd", &socket, "ext2file=/etc/wanted", "--run", &copied];
    run(&stored.place, "nbdkit", &nbdkit).assert_done();
    let copied = stored.place.read("copy");
    assert!(copied[..content.len()] == content[..] && copied.len() < content.len() + 4096);
    let bytes = stored.cost().1;
    assert!(bytes < 4 << 20, "{bytes} of 64 MiB");
    served.end(Signal::TERM).assert_done();
}

/// Whether a request is for bytes beyond the beginning.
fn is_later(request: &Request) -> bool {
    request.is_read() && request.field("range").is_some_and(|range| !range.starts_with("bytes=0-"))
}

#[test]
fn a_store_that_fails_changes_or_stalls_is_an_error_at_the_client_and_never_other_bytes() {
    if is_skipped() {
        return;
    }
    let place = sealed_place(8 << 20);
    let plain = place.read("plain");
    let server = Nginx::start(place.directory.path()).unwrap();
    let stall = || Fault::Stall { after: 2000, at_most: Duration::from_secs(600) };
    let denied = || Fault::Status { code: 403, retry_after: None };
    for fault in [Fault::OtherTag, Fault::WholeBody, Fault::Damage { at: 500 }, denied(), stall()] {
        let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
        let url = proxy.url("sealed.cfd");
        let served = ServeProcess::start(&place, &["--http", "--nbd", "socket", "--timeout", "5s", &url]);
        let mut disk = Disk::open(&place.path("socket"));
        // What an answer begins with.
        assert!(disk.read(0, 256 << 10).unwrap() == plain[..256 << 10]);
        proxy.set_plan(Plan::always(is_later, fault.clone()));
        assert_eq!(disk.read(5 << 20, 4096), Err(EIO), "{fault:?}");
        let (status, _) = get(served.url(), Some((6 << 20, (6 << 20) + 4095)));
        assert_eq!(status, 500, "{fault:?}");
        let (status, body) = get(served.url(), None);
        assert!(status == 200 && body.len() < plain.len() && plain.starts_with(&body), "{fault:?}");
        // What was read before is still there, and the rest is when the store is.
        assert!(disk.read(0, 4096).unwrap() == plain[..4096]);
        proxy.set_plan(Plan::none());
        assert!(disk.read(5 << 20, 4096).unwrap() == plain[5 << 20..][..4096], "{fault:?}");
        let said = served.end(Signal::TERM);
        said.assert_done();
        assert!(json_lines(said.stderr.as_bytes()).iter().any(|said| said["event"] == "warning"));
        let names_cause = !matches!(fault, Fault::Status { .. }) || said.stderr.contains("403");
        assert!(names_cause, "{}", said.stderr);
    }
}

/// Requests that begin in `range` are never answered to the end.
fn stalling(range: Range<u64>) -> Plan {
    let begins_there = move |request: &Request| {
        let asked = request.field("range").and_then(|asked| asked.strip_prefix("bytes=")?.split_once('-'));
        asked.is_some_and(|(first, _)| range.contains(&first.parse().unwrap_or(0)))
    };
    Plan::always(begins_there, Fault::Stall { after: 2000, at_most: Duration::from_secs(600) })
}

/// Clients that wait for far more reads than there are turns: of 4 KiB each, in frames of the eight MiB from 8 MiB on.
fn waiting(served: &ServeProcess, socket: &Path) -> (Vec<TcpStream>, [Disk; 3]) {
    let place = |number: u64| (8 << 20) + number * FRAME;
    let by_http = (0..40).map(|number| ask(served.url(), place(number), 4096)).collect();
    let by_nbd = [0, 20, 40].map(|first| {
        let mut disk = Disk::open(socket);
        (first..first + 20).for_each(|number| disk.ask(place(number), 4096));
        disk
    });
    (by_http, by_nbd)
}

#[test]
fn reads_that_hang_end_with_their_clients_and_keep_nobody_from_what_is_kept() {
    if is_skipped() {
        return;
    }
    let stored = Stored::new(sealed_place(24 << 20));
    let (plain, socket) = (stored.place.read("plain"), stored.place.path("socket"));
    let served = stored.serve(&["--http", "--nbd", "socket"]);
    let is_served = |at: usize| {
        let by_http = get(served.url(), Some((at as u64, at as u64 + 4095))).1;
        by_http == plain[at..][..4096]
            && Disk::open(&socket).read(at as u64, 4096).unwrap() == plain[at..][..4096]
    };
    assert!(is_served(5000));
    stored.proxy.set_plan(stalling(8 << 20..16 << 20));
    let clients = waiting(&served, &socket);
    crate::place::wait_until("reads that hang", || stored.proxy.counts().faults.values().sum::<u64>() > 4);
    assert!(is_served(5000));
    drop(clients);
    // The store still does not answer them.
    assert!(is_served(20 << 20));
    let ended = served.end(Signal::TERM);
    ended.assert_done();
    assert_eq!(ended.stderr, "", "nobody waited for what could not be read");
}

#[test]
fn reads_that_hang_keep_nobody_waiting_for_longer_than_the_store_may() {
    if is_skipped() {
        return;
    }
    let stored = Stored::new(sealed_place(24 << 20));
    let (plain, socket) = (stored.place.read("plain"), stored.place.path("socket"));
    let served = stored.serve(&["--http", "--nbd", "socket", "--timeout", "10s"]);
    let mut disk = Disk::open(&socket);
    assert!(disk.read(5000, 4096).unwrap() == plain[5000..9096]);
    stored.proxy.set_plan(stalling(0..24 << 20));
    let clients = waiting(&served, &socket);
    crate::place::wait_until("reads that hang", || stored.proxy.counts().faults.values().sum::<u64>() > 4);
    assert!(disk.read(5000, 4096).unwrap() == plain[5000..9096]);
    stored.proxy.set_plan(Plan::none());
    assert!(disk.read(20 << 20, 4096).unwrap() == plain[20 << 20..][..4096]);
    drop(clients);
    served.end(Signal::TERM).assert_done();
}

#[test]
fn what_is_said_of_a_store_that_fails_keeps_nobody_from_it_once_it_is_back() {
    if is_skipped() {
        return;
    }
    let place = sealed_place(24 << 20);
    let (plain, server) = (place.read("plain"), Nginx::start(place.directory.path()).unwrap());
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    let (unread, errors) = full_pipe();
    let arguments = ["--http", "--nbd", "socket", &proxy.url("sealed.cfd")];
    let served = ServeProcess::start_saying(&place, &arguments, errors);
    proxy.set_plan(Plan::always(is_later, Fault::Status { code: 503, retry_after: None }));
    let clients = waiting(&served, &place.path("socket"));
    // Each thread of the net has had something to say.
    crate::place::wait_until("reads that fail", || proxy.counts().faults.values().sum::<u64>() > 8);
    proxy.set_plan(Plan::none());
    assert!(get(served.url(), Some((20 << 20, (20 << 20) + 4095))).1 == plain[20 << 20..][..4096]);
    drop(clients);
    served.end_silently(Signal::TERM).assert_done();
    drop(unread);
}

#[test]
fn one_request_that_fails_ends_nothing_else_that_is_fetched_first() {
    if is_skipped() {
        return;
    }
    let (place, len) = (sealed_place(24 << 20), 24 << 20);
    let (plain, server) = (place.read("plain"), Nginx::start(place.directory.path()).unwrap());
    let every_other: String = (0..len / FRAME / 2).map(|at| format!("{} 1\n", at * 2 * FRAME)).collect();
    let count = len / FRAME / 2;
    for (ranges, count) in [(format!("0 {len}\n"), 1), (every_other, count)] {
        let set = format!("cofferdam working set 1\ntag 0\nlength {len}\n{ranges}end {count}\n");
        fs::write(place.path("warm.set"), set).unwrap();
        let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
        let denied = Fault::Status { code: 403, retry_after: None };
        // Requests from 8 MiB on: the first of them that is made.
        let mut is_denied = false;
        proxy.set_plan(Plan::new(move |request| {
            let range =
                request.field("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
            let begin = range.and_then(|(first, _)| first.parse::<u64>().ok());
            let is_first = !is_denied && begin.is_some_and(|begin| (8 << 20..16 << 20).contains(&begin));
            is_denied |= is_first;
            is_first.then(|| denied.clone())
        }));
        let url = proxy.url("sealed.cfd");
        let served = ServeProcess::start(&place, &["--nbd", "socket", "--warm", "warm.set", &url]);
        served.wait_for("warmed");
        assert_eq!(proxy.counts().faults.values().sum::<u64>(), 1);
        let before = proxy.counts().requests;
        let mut disk = Disk::open(&place.path("socket"));
        for at in (0..len).step_by(2 * FRAME as usize) {
            assert!(disk.read(at, 4096).unwrap() == plain[at as usize..][..4096]);
        }
        assert_eq!(proxy.counts().requests, before, "all was there");
        served.end(Signal::TERM).assert_done();
    }
}

#[test]
fn an_object_that_is_replaced_is_an_error_and_no_mixture() {
    if is_skipped() {
        return;
    }
    let stored = Stored::new(sealed_place(8 << 20));
    let plain = stored.place.read("plain");
    let served = stored.serve(&["--http", "--nbd", "socket"]);
    let mut disk = Disk::open(&stored.place.path("socket"));
    assert!(disk.read(0, 256 << 10).unwrap() == plain[..256 << 10]);
    let other = sealed_place(8 << 20);
    let (bucket, key) = stored.url.strip_prefix("s3://").unwrap().split_once('/').unwrap();
    SeaweedFs::shared().put(bucket, key, &other.read("sealed.cfd")).unwrap();
    assert_eq!(disk.read(5 << 20, 4096), Err(EIO));
    let (status, body) = get(served.url(), None);
    assert!(status == 200 && body.len() < plain.len() && plain.starts_with(&body));
    assert!(disk.read(0, 4096).unwrap() == plain[..4096]);
    served.end(Signal::TERM).assert_done();
}

#[test]
fn a_signal_ends_it_while_a_client_waits_for_a_store_that_stalls() {
    if is_skipped() {
        return;
    }
    let stored = Stored::new(sealed_place(8 << 20));
    let served = stored.serve(&["--http", "--nbd", "socket"]);
    let stall = Fault::Stall { after: 2000, at_most: Duration::from_secs(600) };
    let before = stored.cost().0;
    stored.proxy.set_plan(Plan::always(is_later, stall));
    let address = served.url().strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut client = TcpStream::connect(address.0).unwrap();
    write!(client, "GET /{} HTTP/1.1\r\nHost: {}\r\n\r\n", address.1, address.0).unwrap();
    crate::place::wait_until("a request that stalls", || stored.cost().0 > before);
    served.end(Signal::TERM).assert_done();
    let mut said = Vec::new();
    let _ = client.read_to_end(&mut said);
    assert!(said.len() < 1000, "{}", said.len());
    assert!(!stored.place.path("socket").exists());
}

#[test]
fn what_is_fetched_first_from_a_store_that_stalls_keeps_nobody_from_ending() {
    if is_skipped() {
        return;
    }
    let stored = Stored::new(sealed_place(8 << 20));
    let set = "cofferdam working set 1\ntag 0\nlength 8388608\n4194304 1000000\nend 1\n";
    fs::write(stored.place.path("warm.set"), set).unwrap();
    stored.proxy.set_plan(stalling(4 << 20..6 << 20));
    let served = stored.serve(&["--nbd", "socket", "--warm", "warm.set"]);
    // Other reads go on.
    let mut disk = Disk::open(&stored.place.path("socket"));
    assert!(disk.read(0, 4096).unwrap() == stored.place.read("plain")[..4096]);
    let ended = served.end(Signal::TERM);
    ended.assert_done();
    assert!(!ended.stderr.contains("was fetched first"), "{}", ended.stderr);
}
