//! The pool: jobs run on its threads, in the order in which they came, and jobs that were left on their caller's too.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::error::Error as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

use frame_worker::{Pool, PoolError};

fn pool(threads: usize) -> Pool {
    Pool::new(NonZeroUsize::new(threads).unwrap()).unwrap()
}

/// A pool of one thread that does a job until something is sent, or the sender goes.
fn busy_pool() -> (Pool, Sender<()>) {
    let pool = pool(1);
    let (release, released) = channel::<()>();
    let (begun, has_begun) = channel();
    pool.spawn(move || {
        begun.send(()).unwrap();
        _ = released.recv();
    });
    has_begun.recv().unwrap();
    (pool, release)
}

fn received<T>(results: Receiver<T>) -> Vec<T> {
    results.into_iter().collect()
}

#[test]
fn a_pool_has_as_many_threads_as_it_was_told() {
    assert_eq!([1, 2, 3].map(|threads| pool(threads).threads()), [1, 2, 3]);
    assert!(format!("{:?}", pool(3)).contains("num_threads: 3"));
}

#[test]
fn the_threads_of_the_machine_are_what_the_system_says() {
    let machine = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    assert_eq!(Pool::threads_of_the_machine().get(), machine.min(1024));
}

#[test]
fn jobs_run_on_a_thread_of_the_pool_in_order() {
    let pool = pool(1);
    let (sender, results) = channel();
    for job in 0..3 {
        let (sender, own) = (sender.clone(), pool.clone());
        pool.spawn(move || sender.send((job, own.is_current(), thread::current().id())).unwrap());
    }
    drop(sender);
    let results = received(results);
    let [(0, true, thread), (1, true, _), (2, true, _)] = results[..] else { panic!("{results:?}") };
    assert_ne!(thread, thread::current().id());
    assert!(!pool.is_current());
}

#[test]
fn jobs_that_were_left_run_by_themselves() {
    let (sender, results) = channel();
    let pool = pool(2);
    for job in 0..3 {
        let sender = sender.clone();
        pool.queue(move || sender.send(job).unwrap());
    }
    drop(sender);
    let mut results = received(results);
    results.sort_unstable();
    assert_eq!(results, [0, 1, 2]);
}

#[test]
fn jobs_queued_from_many_threads_are_all_done_though_threads_come_and_go() {
    let pool = pool(2);
    let (sender, results) = channel();
    thread::scope(|scope| {
        for lane in 0..4_usize {
            let (pool, sender) = (pool.clone(), sender.clone());
            scope.spawn(move || {
                for job in 0..2000_usize {
                    let sender = sender.clone();
                    pool.queue(move || sender.send(lane * 2000 + job).unwrap());
                    if job % 7 == 0 {
                        // Threads that find nothing go, and the next job has to call one.
                        thread::yield_now();
                    }
                }
            });
        }
    });
    drop(sender);
    let mut results = received(results);
    results.sort_unstable();
    assert_eq!(results, (0..8000).collect::<Vec<_>>());
}

/// Queues a job that queues the next one, until `turn` comes or `left` jobs have been done; sends how many are left.
fn queue_chain(pool: &Pool, turn: Receiver<()>, left: usize, ended: Sender<usize>) {
    let own = pool.clone();
    pool.queue(move || match turn.try_recv() {
        Err(TryRecvError::Empty) if left > 0 => queue_chain(&own, turn, left - 1, ended),
        _ => ended.send(left).unwrap(),
    });
}

#[test]
fn what_is_spawned_has_its_turn_between_jobs_that_never_end() {
    let pool = pool(1);
    let (ended, end) = channel();
    let (taken, turn) = channel();
    let own = pool.clone();
    pool.queue(move || {
        own.spawn(move || taken.send(()).unwrap());
        queue_chain(&own, turn, 10_000, ended);
    });
    assert!(end.recv().unwrap() > 9_000, "a few dozen jobs, and then it is the other's turn");
}

#[test]
fn the_oldest_job_that_no_thread_has_begun_is_done_by_the_caller() {
    let (pool, release) = busy_pool();
    let (sender, results) = channel();
    for job in 0..2 {
        let sender = sender.clone();
        pool.queue(move || sender.send((job, thread::current().id())).unwrap());
    }
    drop(sender);
    let here = thread::current().id();
    for job in 0..2 {
        assert!(pool.try_run_one());
        assert_eq!(results.try_recv(), Ok((job, here)));
    }
    assert!(!pool.try_run_one());
    drop(release);
    assert_eq!(received(results), []);
}

#[test]
fn a_pool_that_cannot_be_made_says_why() {
    let refused = Pool::new(NonZeroUsize::new(1025).unwrap()).unwrap_err();
    assert!(refused.to_string().starts_with("1025 threads are too many: at most 1024"), "{refused}");
    assert!(refused.source().is_none());
    let refused = PoolError::NoThread(std::io::Error::other("no more of them"));
    assert!(refused.to_string().ends_with("gave no thread: no more of them"), "{refused}");
    assert_eq!(refused.source().unwrap().to_string(), "no more of them");
}

/// A queue that is never empty, from outside, must not keep what was spawned waiting for ever.
#[test]
fn what_was_spawned_has_its_turn_among_jobs_without_end() {
    for threads in [1, 2, 3] {
        let pool = pool(threads);
        let (done, spawned) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for _ in 0..4 * threads {
            again(&pool, &done, &spawned);
        }
        let flag = spawned.clone();
        pool.spawn(move || flag.store(true, Ordering::SeqCst));
        while !spawned.load(Ordering::SeqCst) {
            assert!(done.load(Ordering::SeqCst) < 1_000_000, "{threads} threads");
            thread::yield_now();
        }
    }
}

/// A job that queues its like until something spawned has run.
fn again(pool: &Pool, done: &Arc<AtomicUsize>, stop: &Arc<AtomicBool>) {
    let (next, done, stop) = (pool.clone(), done.clone(), stop.clone());
    pool.queue(move || {
        done.fetch_add(1, Ordering::SeqCst);
        if !stop.load(Ordering::SeqCst) {
            again(&next, &done, &stop);
        }
    });
}

/// Jobs are done while what was spawned holds threads, as long as one is free.
#[test]
fn jobs_go_on_beside_what_was_spawned_and_takes_long() {
    let pool = pool(2);
    let (release, held) = channel::<()>();
    pool.spawn(move || _ = held.recv());
    let (told, tell) = channel();
    for number in 0..200 {
        let told = told.clone();
        pool.queue(move || told.send(number).unwrap());
    }
    let mut numbers: Vec<i32> = (0..200).map(|_| tell.recv().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    release.send(()).unwrap();
}
