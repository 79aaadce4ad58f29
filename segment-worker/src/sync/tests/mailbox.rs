//! The mailbox on real threads; `loom-tests` tries every interleaving of two or three.
//! They see the mailbox from outside alone.

use std::thread;

use crate::sync::mailbox::Mailbox;

#[test]
fn results_of_one_thread_come_in_its_order() {
    let mailbox = Mailbox::new();
    assert_eq!(mailbox.try_take(), None);
    mailbox.post(1);
    mailbox.post(2);
    mailbox.post(3);
    assert_eq!((mailbox.take(1), mailbox.try_take(), mailbox.take(1)), (1, Some(2), 3));
    assert_eq!(mailbox.try_take(), None);
}

#[test]
fn results_of_many_threads_all_come_once() {
    let mailbox = Mailbox::new();
    let taken = thread::scope(|scope| {
        for writer in 0..4 {
            let mailbox = &mailbox;
            scope.spawn(move || (0..250).for_each(|n| mailbox.post(writer * 250 + n)));
        }
        (0..1000)
            .map(|taken| mailbox.take((1000_usize - taken).div_ceil(2)))
            .collect::<std::collections::BTreeSet<_>>()
    });
    assert_eq!(taken, (0..1000).collect());
}
