//! Who is let in, and what somebody on the way can see and do.
//! Knows no stream but as bytes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use contract::StreamingSink;
use parking_lot::Mutex;
use peer::{Address, Ending, EpochFile, Event, PeerError, Receiver, Security};

use crate::{
    post::{Post, SEGMENT_LEN, commit, connect_impatiently, key, reason, segment, send, stream, try_connect},
    proxy::{Act, From, Proxy},
};

fn turned_away(post: &Post) -> PeerError {
    let event = post.wait_for("a refusal", |event| matches!(event, Event::TurnedAway(_)));
    let Event::TurnedAway(why) = event else { unreachable!() };
    why
}

#[test]
fn with_the_same_key_a_stream_arrives() {
    let post = Post::guarded(key(1));
    let store = post.store.clone();
    send(&mut try_connect(&post.address, key(1)).unwrap(), 0..3);
    assert_eq!(post.join().unwrap(), Ending::Published);
    assert_eq!(store.lock().target, Some(stream(3)));
}

#[test]
fn another_key_is_refused_at_both_ends() {
    let post = Post::guarded(key(1));
    let error = try_connect(&post.address, key(2)).err().unwrap();
    assert_eq!(reason(&error), &PeerError::KeyRefused);
    assert_eq!(turned_away(&post), PeerError::KeyRefused);
    post.stop();
}

#[test]
fn a_key_on_one_side_is_refused_at_both_ends() {
    for (theirs, ours) in [(Security::PlaintextAnywhere, key(1)), (key(1), Security::PlaintextAnywhere)] {
        let post = Post::guarded(theirs);
        let error = try_connect(&post.address, ours).err().unwrap();
        assert_eq!(reason(&error), &PeerError::KeyOnOneSide);
        assert_eq!(turned_away(&post), PeerError::KeyOnOneSide);
        post.stop();
    }
}

#[test]
fn without_a_key_nobody_listens_to_a_network_unless_that_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let everywhere: Address = "tcp://0.0.0.0:0".parse().unwrap();
    let bind = |security| {
        let epochs = EpochFile::beside(directory.path().join("target")).unwrap();
        Receiver::bind(&everywhere, security, epochs)
    };
    let error = bind(Security::PlaintextOnThisMachine).unwrap_err();
    assert_eq!(reason(&error), &PeerError::PlaintextRefused);
    bind(Security::PlaintextAnywhere).unwrap();
    bind(key(1)).unwrap();
}

#[test]
fn with_a_key_nothing_of_the_stream_is_seen_on_the_way() {
    for (security, is_seen) in [(key(1), false), (Security::PlaintextOnThisMachine, true)] {
        let post = Post::guarded(security.clone());
        let proxy = Proxy::before(&post.address, |_| Act::Pass);
        send(&mut try_connect(&proxy.address, security).unwrap(), 0..1);
        post.join().unwrap();
        let seen = proxy.seen.lock();
        assert!(seen.len() > SEGMENT_LEN);
        // 16 bytes occur by chance in no ciphertext.
        let piece = &segment(0)[100..116];
        assert_eq!(seen.windows(16).any(|window| window == piece), is_seen);
    }
}

/// What goes in place of a record, from it and the one before.
type Change = fn(&[u8], &[u8]) -> Vec<Vec<u8>>;

#[test]
fn a_record_of_the_sender_changed_repeated_lost_or_moved_is_refused() {
    // Handshake, HELLO, BEGIN, three of DATA, COMMIT.
    assert_refused(From::Sender, 7);
}

#[test]
fn a_record_of_the_receiver_changed_repeated_lost_or_moved_is_refused() {
    // Handshake, WELCOME, COMMITTED.
    assert_refused(From::Receiver, 3);
}

fn assert_refused(from: From, count: usize) {
    let changes: [Change; 4] = [
        |now, _| vec![now.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 3)).collect()],
        |now, _| vec![now.to_vec(), now.to_vec()],
        |_, _| vec![],
        |_, before| vec![before.to_vec()],
    ];
    for number in 0..count {
        for (kind, change) in changes.iter().enumerate() {
            let post = Post::guarded(key(1));
            let mut before = vec![0; 48];
            let change = *change;
            let proxy = Proxy::before(&post.address, move |record| {
                if record.from != from || record.connection > 0 {
                    return Act::Pass;
                }
                let earlier = std::mem::replace(&mut before, record.payload.clone());
                if record.number == number {
                    Act::Instead(change(&record.payload, &earlier))
                } else {
                    Act::Pass
                }
            });
            let what = format!("record {number} from {from:?}, change {kind}");
            let sent = connect_impatiently(&proxy.address, key(1)).map_err(drop).and_then(|mut sink| {
                commit(&mut sink, 0).map_err(drop)?;
                commit(&mut sink, 1).map_err(drop)
            });
            // A commit whose answer was tampered with is asked for again over another connection, where that can be trusted.
            let committed = post.store.lock().commits;
            assert!(sent.is_err() || committed == 2, "{what}: {sent:?}, {committed} commits");
            assert_eq!(post.store.lock().target, None, "{what}");
            if from == From::Sender && kind != 2 {
                assert!(sent.is_err() || number == 0, "{what} was taken");
            }
            post.stop();
        }
    }
}

#[test]
fn a_greeting_said_again_gets_no_epoch() {
    let post = Post::guarded(key(1));
    let said = Arc::new(Mutex::new(Vec::new()));
    let recorded = said.clone();
    let proxy = Proxy::before(&post.address, move |record| {
        if record.from == From::Sender {
            recorded.lock().push(record.payload.clone());
        }
        Act::Pass
    });
    let mut sink = try_connect(&proxy.address, key(1)).unwrap();
    commit(&mut sink, 0).unwrap();
    // Byte for byte what the sender said, to a receiver that has drawn another ephemeral key.
    let Address::Tcp(address) = &post.address else { panic!("only TCP") };
    let mut replay = TcpStream::connect(address).unwrap();
    replay.write_all(b"CFDPEER\0\x02\x01").unwrap();
    for payload in said.lock().iter() {
        let len = u16::try_from(payload.len()).unwrap().to_le_bytes();
        // It may have been turned away before it is through.
        let _ = replay.write_all(&len).and_then(|()| replay.write_all(payload));
    }
    assert!(matches!(turned_away(&post), PeerError::Protocol(_)));
    drop(replay);
    // The sender that was there still is.
    commit(&mut sink, 1).unwrap();
    sink.publish(2 * SEGMENT_LEN as u64).unwrap();
    let store = post.store.clone();
    post.join().unwrap();
    assert_eq!(store.lock().target, Some(stream(2)));
}

#[test]
fn an_end_that_speaks_another_protocol_is_told_apart() {
    let post = Post::guarded(key(1));
    let Address::Tcp(address) = &post.address else { panic!("only TCP") };
    TcpStream::connect(address).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(turned_away(&post), PeerError::Protocol("it does not speak this protocol"));
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(b"CFDPEER\0\x01\x01").unwrap();
    assert_eq!(turned_away(&post), PeerError::Protocol("it speaks another version"));
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"CFDPEER\0\x02\x01");
    post.stop();
}
