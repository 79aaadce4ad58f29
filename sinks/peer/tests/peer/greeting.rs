//! Senders that greet slowly, or not to the end: whom they keep out, and for how long.
//! Knows the bytes of a greeting in plaintext.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use local::NullSink;
use peer::{Address, Ending, Event, PeerError, Security};
use tempfile::tempdir;

use crate::post::{Post, loopback, send, timing};

/// What a sender without a key says first, and what a receiver answers.
const OPENING: &[u8; 10] = b"CFDPEER\0\x02\x00";

fn connect(post: &Post) -> TcpStream {
    let Address::Tcp(address) = &post.address else { panic!("only TCP") };
    TcpStream::connect(address).unwrap()
}

/// Whether the receiver still listens to a greeting of which the first half has been said.
fn is_listened_to(mut greeting: TcpStream) -> bool {
    let mut answer = [0; OPENING.len()];
    greeting.write_all(&OPENING[5..]).and_then(|()| greeting.read_exact(&mut answer)).is_ok()
        && answer == *OPENING
}

/// As many as are greeted at once, and then one more.
#[test]
fn senders_that_stop_in_the_middle_of_their_greeting_keep_nobody_out() {
    let post = Post::open();
    let mut slow: Vec<_> = (0..8).map(|_| connect(&post)).collect();
    slow.iter_mut().for_each(|slow| slow.write_all(&OPENING[..5]).unwrap());
    let mut sink = post.connect();
    post.wait_for("the ninth", |event| matches!(event, Event::Joined(1)));
    // One had to make room, the one that came first. The others are where they were.
    let listened_to: Vec<bool> = slow.into_iter().map(is_listened_to).collect();
    assert_eq!(listened_to, [false, true, true, true, true, true, true, true]);
    send(&mut sink, 0..1);
    assert_eq!(post.join().unwrap(), Ending::Published);
}

#[test]
fn many_more_than_are_greeted_at_once_keep_nobody_out() {
    let post = Post::open();
    let slow: Vec<_> = (0..100)
        .map(|_| {
            let mut slow = connect(&post);
            slow.write_all(&OPENING[..5]).unwrap();
            slow
        })
        .collect();
    // Behind a rush it may be dropped with it, and has to try again.
    let mut sink = std::iter::repeat_with(|| try_connect(&post)).take(100).flatten().next().unwrap();
    post.wait_for("a sender", |event| matches!(event, Event::Joined(_)));
    drop(slow);
    send(&mut sink, 0..1);
    assert_eq!(post.join().unwrap(), Ending::Published);
}

fn try_connect(post: &Post) -> Option<peer::PeerSink> {
    crate::post::try_connect(&post.address, Security::PlaintextOnThisMachine).ok()
}

/// Each step comes within the limit, all of them together do not.
#[test]
fn a_greeting_that_comes_in_steps_has_one_limit_for_all_of_them() {
    let limit = Duration::from_secs(1);
    let timing = timing().greeting(limit);
    let directory = Arc::new(tempdir().unwrap());
    let security = Security::PlaintextOnThisMachine;
    let post = Post::timed(Arc::default(), directory, &loopback(), security, timing, || Ok(NullSink::new()));
    let mut slow = connect(&post);
    let hello = [&[1][..], &[7; 16], &[0; 8]].concat();
    let len = u16::try_from(hello.len()).unwrap().to_le_bytes();
    for step in [&OPENING[..], &len, &hello] {
        // The pace of a sender, and nothing that is waited for: slower still would be turned away all the more.
        thread::sleep(limit * 6 / 10);
        let _ = slow.write_all(step);
    }
    let _ = slow.shutdown(Shutdown::Write);
    let first = post.wait_for("a verdict", |event| matches!(event, Event::TurnedAway(_) | Event::Joined(_)));
    assert_eq!(first, Event::TurnedAway(PeerError::Silent(limit)));
    post.stop();
}
