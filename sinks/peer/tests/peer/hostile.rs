//! Bytes that no sender sends, to a receiver that takes plaintext.
//! Knows the shape of a record, so that they reach beyond the first check.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::Arc,
};

use contract::{CommitError, StreamingSink};
use peer::{Address, Ending, Event, PeerError, Security};

use fastrand::Rng;

use crate::{
    post::{Post, SEGMENT_LEN, checkpoint, commit, key, reason, send, stream, try_connect},
    proxy::COMMITTED,
};

fn random_bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// Says all of `bytes`, and reads what is answered until the receiver closes.
fn say(post: &Post, bytes: &[u8]) {
    let Address::Tcp(address) = &post.address else { panic!("only TCP") };
    let mut socket = TcpStream::connect(address).unwrap();
    // The receiver may close in the middle.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let _ = socket.read_to_end(&mut Vec::new());
}

fn record(payload: &[u8]) -> Vec<u8> {
    [&u16::try_from(payload.len()).unwrap().to_le_bytes(), payload].concat()
}

fn hello(rng: &mut Rng) -> Vec<u8> {
    let mut hello = vec![1];
    hello.extend(random_bytes(rng, 16));
    hello.extend([0; 8]);
    record(&hello)
}

#[test]
fn a_receiver_outlives_any_bytes_and_then_takes_a_stream() {
    let post = Post::open();
    let mut rng = Rng::with_seed(1);
    for round in 0..300 {
        let mut said = Vec::new();
        if round % 10 > 0 {
            said.extend(b"CFDPEER\0\x02\x00");
        }
        if round % 10 > 1 {
            said.extend(hello(&mut rng));
        }
        for _ in 0..1 + rng.u8(..4) {
            let len = usize::from(rng.u8(..));
            let mut payload = random_bytes(&mut rng, len);
            if let Some(kind) = payload.first_mut() {
                *kind %= 20;
            }
            said.extend(record(&payload));
        }
        let len = rng.usize(..8);
        said.extend(random_bytes(&mut rng, len));
        say(&post, &said);
    }
    assert_eq!(post.store.lock().target, None);
    let mut sink = post.connect();
    send(&mut sink, 0..2);
    let store = post.store.clone();
    assert_eq!(post.join().unwrap(), Ending::Published);
    assert_eq!(store.lock().target, Some(stream(2)));
}

#[test]
fn the_longest_record_there_can_be_is_read_and_refused() {
    let post = Post::open();
    let mut said = b"CFDPEER\0\x02\x00".to_vec();
    said.extend(hello(&mut Rng::with_seed(2)));
    said.extend(record(&vec![6; usize::from(u16::MAX)]));
    say(&post, &said);
    send(&mut post.connect(), 0..1);
    post.join().unwrap();
}

#[test]
fn a_stream_that_was_given_up_stays_so_if_its_sender_does_not_hear_of_it() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let path = directory.path().join("socket");
    let address = Address::Unix(path.clone());
    let post = Post::over(Arc::default(), directory, &address, Security::PlaintextOnThisMachine);
    let mut sender = UnixStream::connect(path).unwrap();
    sender.write_all(b"CFDPEER\0\x02\x00").unwrap();
    sender.write_all(&hello(&mut Rng::with_seed(3))).unwrap();
    // The receiver's opening, and its welcome as a record.
    sender.read_exact(&mut [0; 10 + 2 + 219]).unwrap();
    let bytes = [7; 100];
    let begin = [&[5][..], &[0; 16]].concat();
    let data = [&[6][..], &[0; 8], &bytes].concat();
    let hash = blake3::hash(&bytes);
    let commit =
        [&[7][..], &1_u64.to_le_bytes(), &[0; 8], hash.as_bytes(), &checkpoint(0).to_bytes()].concat();
    for payload in [begin, data, commit] {
        sender.write_all(&record(&payload)).unwrap();
    }
    let mut committed = [0; 2 + 17];
    sender.read_exact(&mut committed).unwrap();
    assert_eq!(committed[2], COMMITTED);
    // From here on no answer can be sent.
    sender.shutdown(Shutdown::Read).unwrap();
    sender.write_all(&record(&[15])).unwrap();
    drop(sender);
    post.wait_for("the sender's leave", |event| matches!(event, Event::Left(_)));
    assert_eq!(post.connect().last_commit().unwrap(), None);
    post.stop();
}

#[test]
fn a_publish_of_another_length_than_has_committed_is_refused_and_the_receiver_stays() {
    let post = Post::open();
    let mut sink = post.connect();
    commit(&mut sink, 0).unwrap();
    let Err(CommitError::NotCommitted(error)) = sink.publish(SEGMENT_LEN as u64 - 1) else { panic!("taken") };
    assert!(matches!(reason(&error), PeerError::NotDone(_)), "{error}");
    drop(sink);
    assert_eq!(post.connect().last_commit().unwrap(), Some(checkpoint(0)));
    post.stop();
}

#[test]
fn a_receiver_with_a_key_outlives_greetings_of_every_length() {
    let post = Post::guarded(key(1));
    let mut rng = Rng::with_seed(3);
    for len in (0..200).chain([65_534, 65_535]) {
        let payload = random_bytes(&mut rng, len);
        say(&post, &[&b"CFDPEER\0\x02\x01"[..], &record(&payload)].concat());
    }
    send(&mut try_connect(&post.address, key(1)).unwrap(), 0..1);
    let store = post.store.clone();
    assert_eq!(post.join().unwrap(), Ending::Published);
    assert_eq!(store.lock().target, Some(stream(1)));
}
