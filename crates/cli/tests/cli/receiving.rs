//! `cofferdam receive` and a restore that goes to it: who is let in, what arrives, what either end keeps when it is killed.
//! The real program at both ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use rustix::process::{Pid, Signal};

use crate::injected::injected;
use crate::place::{Place, SEGMENT_LEN, end_of, wait_until};
use crate::programs::has;

/// A receiver that listens, killed if the test fails.
pub(crate) struct Receiver {
    child: Option<Child>,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Receiver {
    /// Started with `options`, of which `--listen` is the test's own.
    pub(crate) fn start(place: &Place, options: &[&str]) -> Receiver {
        Receiver::of(place.spawn(["receive", "--json", "target"].iter().chain(options)))
    }

    /// One that cannot remove what it kept beside the target: it ends as one that is killed after the rename would. The first
    /// removal is of what it tries the file system with.
    fn start_untidy(place: &Place) -> Receiver {
        let receive = ["receive", "--json", "target", "--listen", "127.0.0.1:0"];
        let mut command = injected(place, &["unlink,unlinkat:error=EIO:when=2+"], &receive);
        Receiver::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn of(mut child: Child) -> Receiver {
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with('{')
            && stdout
                .read_line({
                    line.clear();
                    &mut line
                })
                .unwrap()
                > 0
        {}
        if line.is_empty() {
            panic!("it does not listen: {:?}", end_of(child));
        }
        let listening: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(listening["event"], "listening");
        let address = listening["address"].as_str().unwrap().to_owned();
        Receiver { child: Some(child), stdout, address }
    }

    fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Ends it by a signal, and gives its exit code.
    pub(crate) fn interrupt(mut self) -> i32 {
        let child = self.child.take().unwrap();
        interrupt(&child);
        end_of(child).code
    }

    /// Waits for its end, and gives what it said last.
    pub(crate) fn end(mut self) -> (i32, String) {
        let ran = end_of(self.child.take().unwrap());
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        (ran.code, line)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn restore<'a>(options: &[&'a str], address: &'a str) -> Vec<&'a str> {
    [&["restore", "-i", "key.txt", "--json"], options, &["sealed.cfd", address]].concat()
}

fn assert_received(place: &Place, receiver: Receiver) {
    let (code, said) = receiver.end();
    assert_eq!(code, 0, "{said}");
    let record: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(record["event"], "received");
    assert_eq!(record["plaintext_len"].as_u64(), Some(place.read("plain").len() as u64));
    assert_is_digest_of_what_was_sent(place, &record);
    assert_eq!(place.read("target"), place.read("plain"));
    let left: Vec<_> = place.names().into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// One of the streams that lie there has it, as `inspect` reads their trailers.
#[track_caller]
fn assert_is_digest_of_what_was_sent(place: &Place, record: &serde_json::Value) {
    let digests = ["sealed.cfd", "other.cfd"].map(|name| {
        let shown = place.run(["inspect", "--json", name]);
        let stream: Option<serde_json::Value> = serde_json::from_slice(&shown.stdout).ok();
        stream.map(|stream| stream["trailer"]["stream_digest"].clone())
    });
    assert!(record["stream_digest"].is_string(), "{record}");
    assert!(digests.iter().flatten().any(|digest| *digest == record["stream_digest"]), "{record}");
}

#[test]
fn a_restore_arrives_over_a_unix_socket_and_over_loopback_with_and_without_a_key() {
    let listens: [(&[&str], &[&str]); 3] = [
        (&["--listen", "unix:socket"], &[]),
        (&["--listen", "127.0.0.1:0"], &[]),
        (&["--listen", "tcp://127.0.0.1:0", "--peer-key", "psk.txt"], &["--peer-key", "psk.txt"]),
    ];
    for (receiving, sending) in listens {
        let place = Place::with_sealed(4);
        place.run(["keygen", "--key-file", "-o", "psk.txt"]).assert_done();
        let receiver = Receiver::start(&place, receiving);
        let address = receiver.address.clone();
        let sent = place.run(restore(sending, &address));
        sent.assert_done();
        assert!(sent.text().contains("\"restored\"") && sent.text().contains(&address), "{}", sent.text());
        assert_received(&place, receiver);
        assert!(!place.path("socket").exists());
    }
}

#[test]
fn another_key_and_no_key_are_refused_and_the_receiver_waits_on() {
    let place = Place::with_sealed(2);
    place.run(["keygen", "--key-file", "-o", "psk.txt"]).assert_done();
    place.run(["keygen", "--key-file", "-o", "other.txt"]).assert_done();
    let receiver = Receiver::start(&place, &["--listen", "127.0.0.1:0", "--peer-key", "psk.txt"]);
    let address = receiver.address.clone();
    for (options, words) in [
        (&["--peer-key", "other.txt"][..], "does not hold the same key"),
        (&[], "one end has a key and the other has none"),
    ] {
        let refused = place.run(restore(options, &address));
        refused.assert_failed(1, words);
        // It was reached, and what helps is an option of this command.
        refused.assert_failed(1, "did not take the connection");
        refused.assert_failed(1, "Give --peer-key with the same key file at both ends");
        assert!(!refused.stderr.contains("reached"), "{}", refused.stderr);
    }
    place.run(restore(&["--peer-key", "psk.txt"], &address)).assert_done();
    assert_received(&place, receiver);
}

#[test]
fn what_cannot_be_is_refused_before_anybody_listens() {
    let place = Place::with_sealed(1);
    fs::write(place.path("there"), b"old").unwrap();
    place.run(["receive", "--listen", "127.0.0.1:0", "there"]).assert_failed(6, "exists");
    place
        .run(["receive", "--listen", "0.0.0.0:0", "target"])
        .assert_failed(1, "or --insecure-plaintext at both");
    place.run(["receive", "--listen", "unix:plain", "target"]).assert_failed(1, "it is no socket");
    place.run(["receive", "--listen", "nowhere", "target"]).assert_failed(2, "HOST:PORT");
    place.run(restore(&["--force"], "unix:socket")).assert_failed(2, "receive");
    place.run(restore(&["--insecure-plaintext"], "target")).assert_failed(2, "for a receiver");
    place.run(restore(&[], "unix:socket")).assert_failed(1, "could not be reached");
    let receiver = Receiver::start(&place, &["--listen", "unix:socket"]);
    place.run(["receive", "--listen", "unix:other", "target"]).assert_failed(9, "");
    receiver.kill();
    assert_eq!(place.read("there"), b"old");
}

#[test]
fn with_force_a_target_is_replaced() {
    let place = Place::with_sealed(2);
    fs::write(place.path("target"), b"old").unwrap();
    let receiver = Receiver::start(&place, &["--listen", "unix:socket", "--force"]);
    place.run(restore(&[], "unix:socket")).assert_done();
    assert_received(&place, receiver);
}

/// A restore from a pipe, of which the test gives as much as it likes.
pub(crate) struct Fed {
    child: Child,
    stdin: ChildStdin,
}

impl Fed {
    pub(crate) fn start(place: &Place, segments: u64) -> Fed {
        let (position, len) = place.segment(segments - 1);
        let arguments = ["restore", "-i", "key.txt", "--json", "--durability", "each", "-", "unix:socket"];
        let mut child = place.spawn(arguments);
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&place.read("sealed.cfd")[..position + len]).unwrap();
        Fed { child, stdin }
    }

    /// The source ends: the stream is cut off.
    pub(crate) fn end(self) -> i32 {
        drop(self.stdin);
        end_of(self.child).code
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Waits until the receiver's newest durable checkpoint is about so many plaintext bytes, as the journal's slots say it.
pub(crate) fn wait_for_checkpoint(place: &Place, len: u64) {
    wait_until("a durable checkpoint", || {
        let journal = fs::read(place.path(".target.cofferdam-journal")).unwrap_or_default();
        // Generation 8 bytes, then the checkpoint, with its plaintext bytes at 32.
        let checkpoints = [4096, 8192].map(|slot| journal.get(slot + 8 + 32..slot + 8 + 40));
        checkpoints.iter().flatten().any(|field| u64::from_le_bytes((*field).try_into().unwrap()) >= len)
    });
}

fn interrupt(child: &Child) {
    rustix::process::kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

pub(crate) fn restored_from(place: &Place) -> u64 {
    let sent = place.run(restore(&[], "unix:socket"));
    sent.assert_done();
    let record: serde_json::Value = serde_json::from_str(sent.text()).unwrap();
    record["kept"].as_u64().unwrap()
}

#[test]
fn a_receiver_that_is_killed_goes_on_from_its_own_journal() {
    let place = Place::with_sealed(12);
    for segments in 2..12 {
        let receiver = Receiver::start(&place, &["--listen", "unix:socket"]);
        let sender = Fed::start(&place, segments);
        wait_for_checkpoint(&place, (segments - 1) * SEGMENT_LEN as u64);
        receiver.kill();
        assert_ne!(sender.end(), 0);
        assert!(!place.path("target").exists());
    }
    let receiver = Receiver::start(&place, &["--listen", "unix:socket"]);
    assert!(restored_from(&place) >= 10 * SEGMENT_LEN as u64);
    assert_received(&place, receiver);
}

#[test]
fn a_sender_that_is_killed_or_interrupted_leaves_what_it_committed_to_the_next() {
    let place = Place::with_sealed(12);
    let receiver = Receiver::start(&place, &["--listen", "unix:socket"]);
    let sender = Fed::start(&place, 3);
    wait_for_checkpoint(&place, 2 * SEGMENT_LEN as u64);
    sender.kill();
    let sender = Fed::start(&place, 7);
    wait_for_checkpoint(&place, 6 * SEGMENT_LEN as u64);
    interrupt(&sender.child);
    assert_eq!(end_of(sender.child).code, 130);
    assert!(restored_from(&place) >= 6 * SEGMENT_LEN as u64);
    assert_received(&place, receiver);
}

#[test]
fn another_stream_does_not_go_on_behind_this_one_unless_it_starts_over() {
    let place = Place::with_sealed(4);
    let receiver = Receiver::start(&place, &["--listen", "unix:socket"]);
    let sender = Fed::start(&place, 3);
    wait_for_checkpoint(&place, 2 * SEGMENT_LEN as u64);
    sender.kill();
    // A restore of the same stream right here is another attempt, too.
    let receiver = {
        receiver.kill();
        place.run(restore(&[], "target")).assert_failed(8, "not of a restore");
        Receiver::start(&place, &["--listen", "unix:socket"])
    };
    place.seal("plain", "other.cfd").assert_done();
    let other = ["restore", "-i", "key.txt", "other.cfd", "unix:socket"];
    place.run(other).assert_failed(8, "another stream");
    place.run(other.iter().chain(&["--restart"])).assert_done();
    assert_received(&place, receiver);
}

#[test]
fn a_receiver_that_is_interrupted_says_what_it_keeps_and_leaves_no_socket() {
    let place = Place::with_sealed(4);
    let mut receiver = Receiver::start(&place, &["--listen", "unix:socket"]);
    let sender = Fed::start(&place, 3);
    wait_for_checkpoint(&place, 2 * SEGMENT_LEN as u64);
    let child = receiver.child.take().unwrap();
    interrupt(&child);
    let ran = end_of(child);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(ran.stderr.contains("run the same command again to go on from there"), "{}", ran.stderr);
    assert!(!place.path("socket").exists());
    sender.kill();
    let shown = place.run(["status", "--json", "target"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["attempt"], "receiving");
    assert!(shown["durable_len"].as_u64() >= Some(2 * SEGMENT_LEN as u64), "{shown}");
    let receiver = Receiver::start(&place, &["--listen", "unix:socket"]);
    assert!(restored_from(&place) >= 2 * SEGMENT_LEN as u64);
    assert_received(&place, receiver);
}

#[test]
fn of_a_damaged_stream_only_what_was_verified_reaches_the_receiver() {
    let place = Place::with_sealed(6);
    let whole = place.read("sealed.cfd");
    place.damage_segment(3);
    let receiver = Receiver::start(&place, &["--listen", "unix:socket"]);
    place.run(restore(&[], "unix:socket")).assert_failed(3, "");
    assert!(!place.path("target").exists());
    wait_for_checkpoint(&place, 3 * SEGMENT_LEN as u64);
    fs::write(place.path("sealed.cfd"), whole).unwrap();
    assert_eq!(restored_from(&place), 3 * SEGMENT_LEN as u64);
    assert_received(&place, receiver);
}

/// The target is in place, and a journal beside it says so.
fn untidy() -> Place {
    let place = Place::with_sealed(4);
    let receiver = Receiver::start_untidy(&place);
    let address = receiver.address.clone();
    place.run(restore(&[], &address));
    receiver.end();
    assert_eq!(place.read("target"), place.read("plain"));
    assert!(place.path(".target.cofferdam-journal").exists());
    place
}

#[test]
fn a_journal_that_says_the_target_is_in_place_is_a_claim_that_the_sender_confirms() {
    if !has("strace") {
        return;
    }
    let place = untidy();
    for options in [&["--listen", "127.0.0.1:0"][..], &["--listen", "127.0.0.1:0", "--force"]] {
        // With nobody to send anything, there is nothing to have received.
        assert_eq!(Receiver::start(&place, options).interrupt(), 130);
    }
    let place = untidy();
    let receiver = Receiver::start(&place, &["--listen", "127.0.0.1:0"]);
    let address = receiver.address.clone();
    place.run(restore(&[], &address)).assert_done();
    assert_received(&place, receiver);
}

#[test]
fn a_target_that_is_not_what_the_journal_claims_is_not_received_and_with_force_it_is_replaced() {
    if !has("strace") {
        return;
    }
    let place = untidy();
    // Of the same length and time, as whoever plants both would leave it.
    let target = fs::OpenOptions::new().write(true).open(place.path("target")).unwrap();
    let modified = target.metadata().unwrap().modified().unwrap();
    target.write_all_at(b"planted", 3).unwrap();
    target.set_modified(modified).unwrap();
    let planted = place.read("target");
    let receiver = Receiver::start(&place, &["--listen", "127.0.0.1:0"]);
    let address = receiver.address.clone();
    let sent = place.run(restore(&[], &address));
    assert_eq!(sent.code, 1, "{}", sent.stderr);
    let ran = end_of({ receiver }.child.take().unwrap());
    ran.assert_failed(6, "not what was restored any more");
    assert_eq!(place.read("target"), planted);
    let receiver = Receiver::start(&place, &["--listen", "127.0.0.1:0", "--force"]);
    let address = receiver.address.clone();
    place.run(restore(&[], &address)).assert_done();
    assert_received(&place, receiver);
}
