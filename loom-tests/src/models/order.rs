//! Results of two segments, posted in any order, are committed in order.
//! The orchestrator here does what the real one does: it takes from the mailbox, reorders, and commits from the front.

use std::collections::VecDeque;

use loom::thread;

use super::{check, check_catches};
use crate::broken;
use crate::patient::mailbox::Mailbox;
use crate::patient::reorder::Reorder;
use crate::prim::Arc;

/// Two segments: the first of two runs, the second of one. Each run is a job of its own.
const RUNS: [u32; 2] = [2, 1];

macro_rules! segments_commit_in_order {
    ($reorder:ident) => {
        || {
            let mailbox = Arc::new(Mailbox::new());
            let jobs = [vec![(0_usize, 1_u32), (1, 0)], vec![(0, 0)]].map(|posts| {
                let mailbox = mailbox.clone();
                thread::spawn(move || {
                    for post in posts {
                        mailbox.post(post);
                    }
                })
            });
            let mut flights: VecDeque<_> = [(0_usize, $reorder::new()), (1, $reorder::new())].into();
            let (mut emitted, mut committed) = (Vec::new(), Vec::new());
            for _ in 0..RUNS.iter().sum() {
                let (segment, run) = mailbox.take(1);
                let front = flights.front().expect("a result belongs to a segment in flight").0;
                assert!(flights[segment - front].1.insert(run, 1, (segment, run)));
                while let Some((segment, runs)) = flights.front_mut() {
                    while let Some(run) = runs.pop() {
                        emitted.push(run);
                    }
                    if runs.next() < RUNS[*segment] {
                        break;
                    }
                    committed.push(*segment);
                    flights.pop_front();
                }
            }
            assert_eq!(emitted, [(0, 0), (0, 1), (1, 0)], "bytes go out in order");
            assert_eq!(committed, [0, 1], "segments commit in order, each once");
            for job in jobs {
                job.join().unwrap();
            }
        }
    };
}

#[test]
fn segments_commit_in_order_whatever_order_their_results_come_in() {
    check(segments_commit_in_order!(Reorder));
}

#[test]
fn canary_a_reordering_that_takes_what_comes() {
    use broken::reorder::AsItComes;
    check_catches("bytes go out in order", segments_commit_in_order!(AsItComes));
}
