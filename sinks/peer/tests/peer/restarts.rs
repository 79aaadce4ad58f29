//! A receiver that ends and starts again in the middle of a stream.
//! Knows what each end may still have afterwards.

use std::sync::Arc;

use contract::{CommitError, StreamingSink};
use peer::{Ending, PeerError, Security};

use crate::{
    post::{Post, SEGMENT_LEN, checkpoint, commit, connect, loopback, reason, send, stream, write},
    proxy::{Act, Proxy},
};

fn restart(post: Post) -> Post {
    let (store, directory) = post.stop();
    Post::over(store, directory, &loopback(), Security::PlaintextOnThisMachine)
}

#[test]
fn the_next_sender_goes_on_from_the_durable_checkpoint() {
    let post = Post::open();
    let mut sink = post.connect();
    for index in 0..3 {
        commit(&mut sink, index).unwrap();
    }
    let post = restart(post);
    assert!(commit(&mut sink, 3).is_err());
    let mut sink = post.connect();
    assert_eq!(sink.last_commit().unwrap(), Some(checkpoint(2)), "a stop makes durable what was committed");
    sink.resume_at(3, 3 * SEGMENT_LEN as u64).unwrap();
    send(&mut sink, 3..5);
    let store = post.store.clone();
    assert_eq!(post.join().unwrap(), Ending::Published);
    assert_eq!(store.lock().target, Some(stream(5)));
}

#[test]
fn a_sender_starts_over_where_it_cannot_use_the_checkpoint() {
    let post = Post::open();
    let mut sink = post.connect();
    commit(&mut sink, 0).unwrap();
    let post = restart(post);
    let mut sink = post.connect();
    assert!(sink.last_commit().unwrap().is_some());
    sink.resume_at(0, 0).unwrap();
    send(&mut sink, 0..2);
    let store = post.store.clone();
    post.join().unwrap();
    assert_eq!(store.lock().target, Some(stream(2)));
}

#[test]
fn a_resume_at_another_place_than_the_checkpoint_is_refused_and_the_receiver_stays() {
    let post = Post::open();
    commit(&mut post.connect(), 0).unwrap();
    let post = restart(post);
    for at in [SEGMENT_LEN as u64 + 1, u64::from(u32::MAX)] {
        let refused = post.connect().resume_at(1, at).unwrap_err();
        assert!(matches!(reason(&refused), PeerError::NotDone(_)), "{refused}");
    }
    let mut sink = post.connect();
    assert_eq!(sink.last_commit().unwrap(), Some(checkpoint(0)));
    sink.resume_at(1, SEGMENT_LEN as u64).unwrap();
    send(&mut sink, 1..3);
    let store = post.store.clone();
    assert_eq!(post.join().unwrap(), Ending::Published);
    assert_eq!(store.lock().target, Some(stream(3)));
}

#[test]
fn a_commit_that_is_durable_when_the_receiver_starts_again_is_known_and_the_stream_goes_on() {
    let post = Post::open();
    let proxy = Proxy::before(&post.address, |_| Act::Pass);
    let mut sink = connect(&proxy.address);
    commit(&mut sink, 0).unwrap();
    write(&mut sink, 1).unwrap();
    // What the lost answer said: the receiver committed the segment, synced it, and went.
    let (store, directory) = post.stop();
    let both = stream(2);
    store.lock().durable = Some((both, checkpoint(1)));
    let post = Post::over(store, directory, &loopback(), Security::PlaintextOnThisMachine);
    *proxy.upstream.lock() = post.address.clone();
    sink.commit_segment(&checkpoint(1)).unwrap();
    send(&mut sink, 2..4);
    let store = post.store.clone();
    assert_eq!(post.join().unwrap(), Ending::Published);
    assert_eq!(store.lock().target, Some(stream(4)));
}

#[test]
fn commits_that_the_receiver_lost_are_not_taken_for_granted() {
    let post = Post::open();
    let proxy = Proxy::before(&post.address, |_| Act::Pass);
    let mut sink = connect(&proxy.address);
    commit(&mut sink, 0).unwrap();
    write(&mut sink, 1).unwrap();
    let (store, directory) = post.stop();
    // Power was lost, and with it what was not durable.
    store.lock().durable = None;
    let post = Post::over(Arc::clone(&store), directory, &loopback(), Security::PlaintextOnThisMachine);
    *proxy.upstream.lock() = post.address.clone();
    let Err(CommitError::NotCommitted(error)) = sink.commit_segment(&checkpoint(1)) else {
        panic!("committed")
    };
    assert_eq!(reason(&error), &PeerError::CommitsLost);
    let mut next = post.connect();
    assert_eq!(next.last_commit().unwrap(), None);
    send(&mut next, 0..2);
    post.join().unwrap();
    assert_eq!(store.lock().target, Some(stream(2)));
}

#[test]
fn what_was_discarded_is_gone_for_the_next_sender() {
    let post = Post::open();
    let mut sink = post.connect();
    commit(&mut sink, 0).unwrap();
    sink.durability().unwrap().make_durable(&checkpoint(0)).unwrap();
    sink.discard().unwrap();
    drop(sink);
    let mut next = post.connect();
    assert_eq!(next.last_commit().unwrap(), None);
    send(&mut next, 0..1);
    let store = post.store.clone();
    post.join().unwrap();
    assert_eq!(store.lock().target, Some(stream(1)));
}

#[test]
fn what_became_of_a_publish_is_unknown_if_the_receiver_began_anew_since() {
    let post = Post::open();
    let proxy = Proxy::before(&post.address, |_| Act::Pass);
    let mut sink = connect(&proxy.address);
    commit(&mut sink, 0).unwrap();
    // What the lost answer said: the receiver published the stream, tidied up, and went.
    let (store, directory) = post.stop();
    store.lock().durable = None;
    let post = Post::over(store, directory, &loopback(), Security::PlaintextOnThisMachine);
    *proxy.upstream.lock() = post.address.clone();
    let Err(CommitError::Unknown(error)) = sink.publish(SEGMENT_LEN as u64) else { panic!("known") };
    assert_eq!(reason(&error), &PeerError::CommitsLost);
    post.stop();
}
