//! Every value that is left in the queue is taken, once, whoever comes for it.
//! Each thread leaves a value and then takes one, as the orchestrator and the pool's threads do between them.

use loom::thread;

use super::{check, check_catches};
use crate::broken;
use crate::patient::queue::Queue;
use crate::prim::Arc;

/// The same model for the queue and for its broken copy.
macro_rules! three_leave_and_take {
    ($queue:ty) => {
        || {
            let queue = Arc::new(<$queue>::new());
            let threads = [1_u32, 2].map(|value| {
                let queue = queue.clone();
                thread::spawn(move || {
                    queue.leave(value);
                    queue.take()
                })
            });
            queue.leave(3);
            let mut taken = vec![queue.take()];
            taken.extend(threads.map(|thread| thread.join().unwrap()));
            taken.sort_unstable();
            assert_eq!(taken, [Some(1), Some(2), Some(3)], "each value is taken once");
            assert_eq!(queue.take(), None);
        }
    };
}

#[test]
fn every_value_is_taken_once() {
    check(three_leave_and_take!(Queue<u32>));
}

#[test]
fn canary_a_queue_that_looks_and_takes_under_two_locks() {
    check_catches("each value is taken once", three_leave_and_take!(broken::queue::LooksBeforeItTakes<u32>));
}
