//! The gate on real threads; `loom-tests` tries every interleaving of two or three.
//! They see the gate from outside alone.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use crate::sync::gate::Gate;

/// Starts a thread that reserves `bytes` and then says `bytes`; returns when it stands in the queue.
fn queue_up(gate: &Arc<Gate>, bytes: usize, served: &mpsc::Sender<usize>) -> thread::JoinHandle<()> {
    let (sender, queued) = mpsc::channel();
    let (gate, served) = (gate.clone(), served.clone());
    let waits = thread::spawn(move || {
        // It is asked for the first time when it has its place, and later perhaps again.
        let stop = || {
            let _ = sender.send(());
            false
        };
        assert!(gate.take(bytes, stop));
        served.send(bytes).unwrap();
        gate.give(bytes);
    });
    queued.recv().unwrap();
    waits
}

#[test]
fn what_is_taken_is_gone_until_it_is_given() {
    let gate = Gate::new(10);
    assert!(gate.try_take(7));
    assert!(!gate.try_take(4));
    assert!(gate.try_take(3));
    assert!(gate.try_take(0));
    gate.give(7);
    assert!(gate.take(7, || false));
    gate.give(10);
    assert!(gate.try_take(gate.total()));
}

#[test]
fn whoever_tries_keeps_to_the_growth_limit_and_whoever_waits_does_not() {
    let gate = Gate::new(10);
    gate.limit_growth(6);
    assert!(!gate.try_take(7) && gate.try_take(6) && !gate.try_take(1));
    assert!(gate.try_take(0) && gate.take(4, || false));
    gate.limit_growth(2);
    gate.give(7);
    assert_eq!(gate.used(), 3);
    assert!(!gate.try_take(1), "more is out than may be grown to");
    gate.limit_growth(usize::MAX);
    assert!(gate.try_take(7) && !gate.try_take(1));
}

#[test]
fn reservations_are_served_in_the_order_of_asking() {
    let gate = Arc::new(Gate::new(10));
    assert!(gate.try_take(10));
    let (sender, served) = mpsc::channel();
    // Each needs more than half, so that no two are served at once.
    let threads = [9, 6, 10, 7, 8].map(|bytes| queue_up(&gate, bytes, &sender));
    gate.give(10);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(served.try_iter().collect::<Vec<_>>(), [9, 6, 10, 7, 8]);
}

#[test]
fn who_does_something_else_in_his_place_is_served_in_his_turn() {
    let gate = Arc::new(Gate::new(10));
    assert!(gate.try_take(10));
    let (sender, served) = mpsc::channel();
    let before = queue_up(&gate, 9, &sender);
    let place = gate.line_up(8);
    let behind = queue_up(&gate, 7, &sender);
    gate.give(8);
    assert!(!place.try_take(), "there is enough, and another one is first");
    gate.give(2);
    before.join().unwrap();
    assert!(place.try_take() && !place.try_take());
    assert_eq!(served.try_iter().collect::<Vec<_>>(), [9]);
    gate.give(8);
    behind.join().unwrap();
}

#[test]
fn who_only_tries_does_not_overtake_who_waits() {
    let gate = Arc::new(Gate::new(10));
    assert!(gate.try_take(4));
    let (sender, served) = mpsc::channel();
    let waits = queue_up(&gate, 10, &sender);
    assert!(!gate.try_take(1), "6 are free, and the one who waits for them comes first");
    assert!(served.try_recv().is_err());
    gate.give(4);
    waits.join().unwrap();
    assert!(gate.try_take(10));
}

#[test]
fn who_gives_up_takes_nothing_and_leaves_the_queue() {
    let gate = Gate::new(10);
    assert!(gate.try_take(10));
    assert!(!gate.take(1, || true));
    gate.give(10);
    assert!(gate.try_take(10), "nobody waits any more");
}

#[test]
#[should_panic(expected = "no more credit comes back than was taken")]
fn credit_that_was_not_taken_is_not_given() {
    Gate::new(10).give(1);
}

#[test]
#[should_panic(expected = "refused before")]
fn nobody_waits_for_more_than_there_can_be() {
    Gate::new(10).take(11, || false);
}
