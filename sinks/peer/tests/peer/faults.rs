//! What the network does to messages, and what the sender then says.
//! Knows which message each fault hits.

use std::{sync::mpsc, thread};

use contract::{CommitError, StreamingSink};
use peer::{Ending, Event, PeerError, PeerSink, Security};

use crate::{
    post::{
        Post, SEGMENT_LEN, checkpoint, commit, connect, connect_by_force, impatient, reason, send, stream,
        write,
    },
    proxy::{Act, COMMIT, COMMITTED, DATA, DURABLE_ACK, FINISHED, Proxy, Record, WELCOME},
    store::Fault,
};

/// A script that does something to the `nth` message of a kind on the first connection, and lets all else pass.
fn at(kind: u8, nth: usize, mut act: impl FnMut(&Record) -> Act + Send) -> impl FnMut(&Record) -> Act + Send {
    let mut count = 0;
    move |record| {
        if record.connection > 0 || record.payload[0] != kind {
            return Act::Pass;
        }
        count += 1;
        if count - 1 == nth { act(record) } else { Act::Pass }
    }
}

/// Sends four segments through the script, and shows that they arrive.
fn assert_arrives(script: impl FnMut(&Record) -> Act + Send + 'static) {
    let post = Post::open();
    let proxy = Proxy::before(&post.address, script);
    send(&mut connect_by_force(&proxy.address), 0..4);
    let store = post.store.clone();
    assert_eq!(post.join().unwrap(), Ending::Published);
    assert_eq!(store.lock().target, Some(stream(4)));
    assert_eq!(store.lock().commits, 4, "no segment was committed twice");
}

#[test]
fn a_commit_whose_answer_is_lost_with_its_connection_is_known_and_the_stream_goes_on() {
    for cut in [0, 1, 2, 10, 18] {
        assert_arrives(at(COMMITTED, 1, move |_| Act::CutAfter(cut)));
    }
}

#[test]
fn a_welcome_that_is_lost_as_well_does_not_lock_the_sender_out() {
    for lost in [1, 2, 3] {
        assert_arrives(move |record| match (record.connection, record.payload[0]) {
            (0, COMMITTED) => Act::CutAfter(0),
            (again, WELCOME) if (1..=lost).contains(&again) => Act::CutAfter(0),
            _ => Act::Pass,
        });
    }
}

#[test]
fn an_answer_that_never_comes_is_asked_for_after_a_silence() {
    assert_arrives(at(COMMITTED, 1, |_| Act::Lose));
    assert_arrives(at(COMMITTED, 1, |_| Act::Hold));
}

#[test]
fn answers_said_again_are_let_pass() {
    assert_arrives(|record: &Record| match record.payload[0] {
        COMMITTED => Act::Instead(vec![record.payload.clone(), record.payload.clone()]),
        _ => Act::Pass,
    });
}

#[test]
fn an_answer_to_an_earlier_commit_is_not_taken_for_this_one() {
    let mut first = Vec::new();
    // In place of the third answer comes the first again.
    let mut count = 0;
    let old_for_new = move |record: &Record| {
        if record.payload[0] != COMMITTED || record.connection > 0 {
            return Act::Pass;
        }
        count += 1;
        match count {
            1 => first = record.payload.clone(),
            3 => return Act::Instead(vec![first.clone()]),
            _ => {}
        }
        Act::Pass
    };
    assert_arrives(old_for_new);
}

#[test]
fn an_answer_said_again_does_not_stand_for_a_commit_that_never_arrived() {
    let post = Post::open();
    let mut commits = 0;
    let proxy = Proxy::before(&post.address, move |record| match (record.connection, record.payload[0]) {
        (0, COMMITTED) => Act::Instead(vec![record.payload.clone(), record.payload.clone()]),
        (0, COMMIT) => {
            commits += 1;
            if commits == 2 { Act::Hold } else { Act::Pass }
        }
        _ => Act::Pass,
    });
    let mut sink = connect_by_force(&proxy.address);
    commit(&mut sink, 0).unwrap();
    let outcome = commit(&mut sink, 1);
    assert!(matches!(outcome, Err(CommitError::NotCommitted(_))), "{outcome:?}");
    assert_eq!(post.store.lock().commits, 1);
    post.stop();
}

#[test]
fn an_answer_of_an_older_epoch_is_not_taken() {
    // Of the epoch before this one, for the very segment that is due: it comes, and then silence.
    let stale = |record: &Record| {
        let mut payload = record.payload.clone();
        payload[1] -= 1;
        Act::Instead(vec![payload])
    };
    assert_arrives(at(COMMITTED, 2, stale));
}

#[test]
fn an_answer_to_a_commit_that_was_never_made_is_an_error() {
    let post = Post::open();
    let proxy = Proxy::before(
        &post.address,
        at(COMMITTED, 0, |record| {
            let mut payload = record.payload.clone();
            payload[9] += 1;
            Act::Instead(vec![payload])
        }),
    );
    let Err(CommitError::Unknown(error)) = commit(&mut connect(&proxy.address), 0) else { panic!("taken") };
    assert!(matches!(reason(&error), PeerError::Protocol(_)), "{error}");
    post.stop();
}

#[test]
fn a_commit_that_never_arrived_is_not_committed() {
    for cut in [0, 1, 2, 100, 242] {
        let post = Post::open();
        let proxy = Proxy::before(&post.address, at(COMMIT, 1, move |_| Act::CutAfter(cut)));
        let mut sink = connect(&proxy.address);
        commit(&mut sink, 0).unwrap();
        let outcome = commit(&mut sink, 1);
        assert!(matches!(outcome, Err(CommitError::NotCommitted(_))), "cut after {cut}: {outcome:?}");
        assert_eq!(post.store.lock().commits, 1);
        drop(sink);
        let mut next = post.connect();
        assert_eq!(next.last_commit().unwrap(), Some(checkpoint(0)), "what was committed was made durable");
        post.stop();
    }
}

#[test]
fn a_half_open_connection_is_left_after_the_limit() {
    let post = Post::open();
    let proxy = Proxy::before(&post.address, at(COMMIT, 0, |_| Act::Hold));
    let outcome = commit(&mut connect_by_force(&proxy.address), 0);
    assert!(matches!(outcome, Err(CommitError::NotCommitted(_))), "{outcome:?}");
    post.stop();
}

#[test]
fn a_peer_that_stays_dead_leaves_the_outcome_unknown_and_the_sender_does_not_hang() {
    let post = Post::open();
    let mut is_dead = false;
    let proxy = Proxy::before(&post.address, move |record| {
        is_dead |= record.payload[0] == COMMIT;
        if is_dead { Act::Hold } else { Act::Pass }
    });
    let timing = impatient().attempts_max(3);
    let security = Security::PlaintextOnThisMachine;
    let mut sink = PeerSink::connect_with(&proxy.address, security, timing).unwrap();
    let Err(CommitError::Unknown(error)) = commit(&mut sink, 0) else { panic!("known") };
    assert!(matches!(reason(&error), PeerError::Silent(_)), "{error}");
    post.stop();
}

#[test]
fn a_publish_whose_answer_is_lost_is_known() {
    assert_arrives(at(FINISHED, 0, |_| Act::CutAfter(0)));
    assert_arrives(at(FINISHED, 0, |_| Act::CutAfter(9)));
    assert_arrives(at(FINISHED, 0, |_| Act::Lose));
}

#[test]
fn a_sync_whose_answer_is_lost_fails_and_is_found_done_by_the_next_sender() {
    for cut in [0, 50] {
        let post = Post::open();
        let proxy = Proxy::before(&post.address, at(DURABLE_ACK, 0, move |_| Act::CutAfter(cut)));
        let mut sink = connect(&proxy.address);
        commit(&mut sink, 0).unwrap();
        sink.durability().unwrap().make_durable(&checkpoint(0)).unwrap_err();
        drop(sink);
        assert_eq!(post.connect().last_commit().unwrap(), Some(checkpoint(0)));
        post.stop();
    }
}

#[test]
fn a_byte_changed_on_the_way_in_plaintext_is_not_committed() {
    let post = Post::open();
    let proxy = Proxy::before(
        &post.address,
        at(DATA, 3, |record| {
            let mut payload = record.payload.clone();
            payload[1_000] ^= 1;
            Act::Instead(vec![payload])
        }),
    );
    let mut sink = connect(&proxy.address);
    commit(&mut sink, 0).unwrap();
    let Err(CommitError::NotCommitted(error)) = commit(&mut sink, 1) else { panic!("committed") };
    assert!(matches!(reason(&error), PeerError::NotDone(said) if said.contains("not those that were sent")));
    assert_eq!(post.store.lock().commits, 1);
    post.stop();
}

#[test]
fn a_connection_lost_while_data_goes_fails_the_write_or_the_commit_and_commits_nothing() {
    for nth in 0..3 {
        let post = Post::open();
        let proxy = Proxy::before(&post.address, at(DATA, nth, |_| Act::CutAfter(1_000)));
        commit(&mut connect(&proxy.address), 0).unwrap_err();
        assert_eq!(post.store.lock().commits, 0);
        post.stop();
    }
}

#[test]
fn a_failure_of_the_receivers_sink_is_told_as_what_it_is() {
    for fault in [Fault::Write, Fault::Commit, Fault::CommitUnknown] {
        let post = Post::open();
        let mut sink = post.connect();
        commit(&mut sink, 0).unwrap();
        post.store.lock().fault = Some(fault);
        let error = commit(&mut sink, 1).unwrap_err();
        // A write may be told of before the commit is asked for.
        if fault != Fault::Write {
            assert_eq!(matches!(error, CommitError::NotCommitted(_)), fault == Fault::Commit, "{error:?}");
        }
        assert!(error.to_string().contains("the store broke"), "{error}");
        assert!(post.join().is_err());
    }
}

#[test]
fn a_sync_or_a_publish_that_fails_at_the_receiver_is_told() {
    let post = Post::open();
    let mut sink = post.connect();
    commit(&mut sink, 0).unwrap();
    post.store.lock().fault = Some(Fault::Sync);
    let error = sink.durability().unwrap().make_durable(&checkpoint(0)).unwrap_err();
    assert!(error.to_string().contains("the store broke"), "{error}");
    assert!(post.join().is_err());

    let post = Post::open();
    let mut sink = post.connect();
    commit(&mut sink, 0).unwrap();
    post.store.lock().fault = Some(Fault::PublishUnknown);
    assert!(matches!(sink.publish(SEGMENT_LEN as u64), Err(CommitError::Unknown(_))));
    assert!(post.join().is_err());
}

#[test]
fn a_sync_runs_beside_further_commits() {
    let post = Post::open();
    let (begun, has_begun) = mpsc::channel();
    let (let_go, go_on) = mpsc::channel();
    post.store.lock().gate = Some((begun, go_on));
    let mut sink = post.connect();
    commit(&mut sink, 0).unwrap();
    let durability = sink.durability().unwrap();
    thread::scope(|scope| {
        let synced = scope.spawn(|| durability.make_durable(&checkpoint(0)));
        has_begun.recv().unwrap();
        // The sync waits at its gate; the stream does not wait for it.
        commit(&mut sink, 1).unwrap();
        commit(&mut sink, 2).unwrap();
        let_go.send(()).unwrap();
        synced.join().unwrap().unwrap();
    });
    assert_eq!(post.store.lock().durable.as_ref().unwrap().1, checkpoint(0));
    post.stop();
}

#[test]
fn a_segment_that_is_dropped_half_written_leaves_what_was_committed() {
    let post = Post::open();
    let mut sink = post.connect();
    commit(&mut sink, 0).unwrap();
    write(&mut sink, 1).unwrap();
    drop(sink);
    post.wait_for("the sender's leave", |event| matches!(event, Event::Left(_)));
    let mut next = post.connect();
    assert_eq!(next.last_commit().unwrap(), Some(checkpoint(0)));
    next.resume_at(1, SEGMENT_LEN as u64).unwrap();
    send(&mut next, 1..3);
    let store = post.store.clone();
    post.join().unwrap();
    assert_eq!(store.lock().target, Some(stream(3)));
}

#[test]
fn a_request_said_again_commits_nothing_twice() {
    for kind in [DATA, COMMIT] {
        let post = Post::open();
        let twice = |record: &Record| Act::Instead(vec![record.payload.clone(), record.payload.clone()]);
        let proxy = Proxy::before(&post.address, at(kind, 1, twice));
        let mut sink = connect(&proxy.address);
        let sent = (0..3).try_for_each(|index| commit(&mut sink, index));
        assert!(sent.is_err(), "what nobody sent was taken");
        drop(sink);
        let mut next = post.connect();
        let found = next.last_commit().unwrap();
        let committed = post.store.lock().commits;
        assert_eq!(found, committed.checked_sub(1).map(checkpoint));
        if found.is_some() {
            next.resume_at(committed, committed * SEGMENT_LEN as u64).unwrap();
        }
        send(&mut next, committed..4);
        let store = post.store.clone();
        post.join().unwrap();
        assert_eq!(store.lock().target, Some(stream(4)));
    }
}

#[test]
fn a_handle_that_outlives_the_sink_does_not_hold_the_connection() {
    let post = Post::open();
    let mut sink = post.connect();
    commit(&mut sink, 0).unwrap();
    let durability = sink.durability().unwrap();
    drop(sink);
    post.wait_for("the sender's leave", |event| matches!(event, Event::Left(_)));
    durability.make_durable(&checkpoint(0)).unwrap_err();
    post.stop();
}
