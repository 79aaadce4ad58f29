//! Two senders and one receiver: the newest holds it.
//! Knows no fault of the network but a lost connection.

use contract::{CommitError, StreamingSink};
use peer::{EpochFile, Event, PeerError, Security};

use crate::{
    post::{
        Post, SEGMENT_LEN, checkpoint, commit, connect, connect_by_force, loopback, reason, send, stream,
        write,
    },
    proxy::{Act, COMMIT, Proxy},
};

#[test]
fn a_second_sender_fences_the_first_and_finds_what_it_committed() {
    let post = Post::open();
    let mut first = post.connect();
    commit(&mut first, 0).unwrap();
    let mut second = post.connect();
    assert_eq!(second.last_commit().unwrap(), Some(checkpoint(0)));
    let error = commit(&mut first, 1).unwrap_err();
    assert_eq!(reason(error.io()), &PeerError::Fenced { epoch: 2 });
    second.resume_at(1, SEGMENT_LEN as u64).unwrap();
    send(&mut second, 1..3);
    let store = post.store.clone();
    post.join().unwrap();
    assert_eq!(store.lock().target, Some(stream(3)));
}

#[test]
fn a_fenced_sender_hears_it_whatever_it_was_doing() {
    for what in ["commit", "sync", "roll back", "publish", "discard"] {
        let post = Post::open();
        let mut first = post.connect();
        commit(&mut first, 0).unwrap();
        if matches!(what, "commit" | "roll back") {
            write(&mut first, 1).unwrap();
        }
        let mut second = post.connect();
        let error = match what {
            "commit" => match first.commit_segment(&checkpoint(1)) {
                Err(CommitError::NotCommitted(error)) => error,
                other => panic!("{other:?}"),
            },
            "sync" => first.durability().unwrap().make_durable(&checkpoint(0)).unwrap_err(),
            "roll back" => first.rollback_segment().unwrap_err(),
            "publish" => match first.publish(SEGMENT_LEN as u64) {
                Err(CommitError::NotCommitted(error)) => error,
                other => panic!("{other:?}"),
            },
            _ => first.discard().unwrap_err(),
        };
        assert_eq!(reason(&error), &PeerError::Fenced { epoch: 2 }, "{what}");
        assert_eq!(second.last_commit().unwrap(), Some(checkpoint(0)), "{what}");
        post.stop();
    }
}

#[test]
fn a_fenced_sender_that_lost_its_connection_does_not_take_the_receiver_back() {
    let post = Post::open();
    // The first sender's commit is held back until it gives up and connects again; by then the second has come.
    let proxy = Proxy::before(&post.address, |record| match (record.connection, record.payload[0]) {
        (0, COMMIT) => Act::Hold,
        _ => Act::Pass,
    });
    let mut first = connect_by_force(&proxy.address);
    write(&mut first, 0).unwrap();
    let mut second = post.connect();
    let Err(CommitError::Unknown(error) | CommitError::NotCommitted(error)) =
        first.commit_segment(&checkpoint(0))
    else {
        panic!("committed")
    };
    assert_eq!(reason(&error), &PeerError::Fenced { epoch: 2 });
    assert!(first.publish(0).is_err());
    send(&mut second, 0..2);
    let store = post.store.clone();
    post.join().unwrap();
    assert_eq!(store.lock().target, Some(stream(2)));
    assert_eq!(store.lock().commits, 2);
}

#[test]
fn the_epoch_grows_over_a_restart_and_goes_with_the_publish() {
    let post = Post::open();
    drop(post.connect());
    drop(post.connect());
    let (store, directory) = post.stop();
    let post = Post::over(store, directory, &loopback(), Security::PlaintextOnThisMachine);
    let mut sink = post.connect();
    assert_eq!(post.wait_for("a sender", |event| matches!(event, Event::Joined(_))), Event::Joined(3));
    assert_eq!(std::fs::read_dir(post.directory()).unwrap().count(), 1);
    send(&mut sink, 0..1);
    let target = post.directory().join("target");
    // Holds the directory beyond the receiver's end.
    let directory = post.directory().to_owned();
    assert!(EpochFile::beside(&target).is_ok());
    let count = move || std::fs::read_dir(&directory).map_or(0, Iterator::count);
    post.join().unwrap();
    assert_eq!(count(), 0);
}

#[test]
fn a_commit_under_an_older_epoch_is_refused() {
    let post = Post::open();
    drop(post.connect());
    let proxy = Proxy::before(&post.address, |record| match record.payload[0] {
        COMMIT => {
            let mut payload = record.payload.clone();
            payload[1] -= 1;
            Act::Instead(vec![payload])
        }
        _ => Act::Pass,
    });
    let mut sink = connect(&proxy.address);
    let Err(CommitError::NotCommitted(error)) = commit(&mut sink, 0) else { panic!("committed") };
    assert!(matches!(reason(&error), PeerError::Fenced { .. }), "{error}");
    assert_eq!(post.store.lock().commits, 0);
    post.stop();
}
