//! Requests that fail and are made again: where they go on, what is told of them, when they end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cofferdam_io::FetchFault;

use crate::{
    at, fault, observed, open, open_with, opened_at, options, policy, read, read_in_order,
    server::{Object, Reply, Server, bytes},
};

const LEN: usize = 1 << 20;

fn object() -> Object {
    Object::new(bytes(1, LEN), "\"a\"")
}

#[test]
fn a_body_that_breaks_off_goes_on_at_the_byte_it_reached() {
    let script = |number, _: &_| match number {
        1 => Reply::cut(0),
        2 => Reply::cut(1),
        3 => Reply::cut(100_000),
        _ => Reply::ok(),
    };
    let server = Server::scripted(object(), script);
    let (options, retries) = observed(options());
    let source = open_with(&server.url(), options).unwrap();
    assert!(read(&*at(&source), 200_000, 300_000).unwrap() == bytes(1, LEN)[200_000..500_000]);
    let ranges = [200_000, 200_000, 200_001, 300_001].map(|first| Some((first, 499_999)));
    assert_eq!(server.ranges()[1..], ranges);
    let retries = retries.lock().unwrap();
    // A byte is too little to begin the waits anew.
    assert_eq!(retries.iter().map(|retry| retry.attempt).collect::<Vec<_>>(), [1, 2, 1]);
    assert!(
        retries[2].to_string().contains(&format!("{}, bytes 300001..500000: ", server.url())),
        "{}",
        retries[2]
    );
    assert_eq!((source.tally().requests, source.tally().retries), (5, 3));
}

#[test]
fn a_head_that_breaks_off_is_asked_for_again() {
    let script = |number, _: &_| match number {
        0 => Reply::cut(0),
        1 => Reply::cut(1000),
        2 => Reply::status(500),
        _ => Reply::ok(),
    };
    let server = Server::scripted(object(), script);
    let source = open(&server.url()).unwrap();
    assert!(read(&*at(&source), 0, 65_536).unwrap() == bytes(1, LEN)[..65_536]);
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn an_answer_that_stalls_is_left_after_the_read_timeout() {
    let script = |number, _: &_| match number {
        1 => Reply::stall(70_000),
        2 => Reply::stall(0),
        _ => Reply::ok(),
    };
    // On a busy machine an answer that does not stall may take a second, too.
    let is_left = [1, 4, 16].into_iter().any(|seconds| {
        let server = Server::scripted(object(), script);
        let mut policy = policy();
        policy.read_timeout = Duration::from_secs(seconds);
        let (options, retries) = observed(options().retries(policy));
        let source = open_with(&server.url(), options).unwrap();
        assert!(read(&*at(&source), 100_000, 200_000).unwrap() == bytes(1, LEN)[100_000..300_000]);
        let cause = format!("nothing arrived for {seconds} s");
        server.ranges()[2..] == [Some((170_000, 299_999)); 2]
            && retries.lock().unwrap()[0].cause.contains(&cause)
    });
    assert!(is_left);
}

#[test]
fn a_trickle_is_progress() {
    let server =
        Server::scripted(object(), |number, _| if number == 0 { Reply::ok() } else { Reply::pieces(1) });
    let source = open(&server.url()).unwrap();
    assert!(read(&*at(&source), 100_000, 3000).unwrap() == bytes(1, LEN)[100_000..103_000]);
    assert_eq!(server.requests().len(), 2);
}

/// A byte now and then, in one answer or at each request, and a server that lets go of its first answer as slowly: none of them would
/// ever end.
#[test]
fn a_trickle_below_the_least_ends_at_the_deadline() {
    let mut policy = policy();
    policy.no_progress = Duration::from_secs(1);
    policy.read_timeout = Duration::from_millis(100);
    policy.min_bytes_per_second = 1000;
    let slow: fn() -> Reply = || Reply::trickle(1, Duration::from_millis(20));
    let few: fn() -> Reply = || Reply::stall(14);
    for reply in [slow, few] {
        let script = move |number, _: &_| if number == 0 { Reply::ok() } else { reply() };
        let (_server, mut source) = opened_at(&object(), script, &policy);
        let error = read(&*at(&source), 100_000, 3000).unwrap_err();
        assert_eq!((fault(&error), error.kind()), (FetchFault::NoProgress, io::ErrorKind::TimedOut));
        assert_eq!(fault(&read_in_order(&mut source).unwrap_err()), FetchFault::NoProgress);
        let at_once = Server::scripted(object(), move |_, _| reply());
        let error = open_with(&at_once.url(), options().retries(policy.clone())).unwrap_err();
        assert_eq!(fault(&error), FetchFault::NoProgress);
    }
}

/// Each brings more than the least in a second, and the same again.
#[test]
fn a_head_that_breaks_off_at_the_same_byte_each_time_ends_at_the_deadline() {
    let mut policy = policy();
    policy.no_progress = Duration::from_secs(1);
    policy.min_bytes_per_second = 1000;
    // Whoever does not end by itself is ended otherwise.
    let cut = |number, _: &_| if number < 2000 { Reply::cut(2000) } else { Reply::status(404) };
    let server = Server::scripted(object(), cut);
    let (options, retries) = observed(options().retries(policy));
    let error = open_with(&server.url(), options).unwrap_err();
    assert_eq!(fault(&error), FetchFault::NoProgress, "{error}");
    let attempts: Vec<_> = retries.lock().unwrap().iter().map(|retry| retry.attempt).collect();
    assert!(attempts.iter().copied().eq(1..=attempts.len() as u32), "{attempts:?}");
}

#[test]
fn wrong_answers_add_up_between_heads_that_come_no_further() {
    let script = |number, _: &_| match number % 2 {
        _ if number > 20 => Reply::status(404),
        0 => Reply::cut(2000),
        _ => Reply::ok().with("content-range", "bytes 5-9/1048576"),
    };
    let server = Server::scripted(object(), script);
    assert_eq!(fault(&open(&server.url()).unwrap_err()), FetchFault::Refused);
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn temporary_answers_are_waited_out_for_as_long_as_the_server_asks() {
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        let script = move |number, _: &_| match number {
            1 => Reply::status(status).with("retry-after", "1"),
            2 => Reply::status(status).with("retry-after", "no number"),
            _ => Reply::ok(),
        };
        let server = Server::scripted(object(), script);
        let (options, retries) = observed(options());
        let source = open_with(&server.url(), options).unwrap();
        assert!(read(&*at(&source), 100_000, 10).unwrap() == bytes(1, LEN)[100_000..100_010]);
        let retries = retries.lock().unwrap();
        assert_eq!((retries.len(), retries[0].wait), (2, Duration::from_secs(1)), "{status}");
        assert!(retries[1].wait <= Duration::from_millis(10));
        assert!(retries[0].cause.contains(&status.to_string()), "{}", retries[0].cause);
        assert_eq!(source.tally().throttled, if status == 429 || status == 503 { 2 } else { 0 });
    }
}

#[test]
fn without_progress_it_ends_at_the_deadline() {
    let mut policy = policy();
    policy.no_progress = Duration::from_millis(50);
    let script = |number, _: &_| if number == 0 { Reply::ok() } else { Reply::status(503) };
    let (_server, source) = opened_at(&object(), script, &policy);
    let error = read(&*at(&source), 100_000, 10).unwrap_err();
    assert_eq!((fault(&error), error.kind()), (FetchFault::NoProgress, io::ErrorKind::TimedOut));
    assert!(error.to_string().contains("503"), "{error}");
    assert!(!at(&source).changed().unwrap());
}

/// The moment is that of RFC 9110 §5.6.7.
#[test]
fn a_moment_that_is_past_is_no_wait_that_is_too_long() {
    let script = |number, _: &_| match number {
        0 => Reply::ok(),
        _ => Reply::status(503).with("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
    };
    let mut policy = policy();
    policy.no_progress = Duration::from_millis(50);
    let (_server, source) = opened_at(&object(), script, &policy);
    let error = read(&*at(&source), 100_000, 10).unwrap_err();
    assert_eq!(fault(&error), FetchFault::NoProgress);
    assert!(error.to_string().contains("503") && !error.to_string().contains("left alone"), "{error}");
}

#[test]
fn a_server_that_asks_for_more_time_than_there_is_is_not_waited_for() {
    let script = |number, _: &_| match number {
        0 => Reply::ok(),
        _ => Reply::status(503).with("retry-after", "3600"),
    };
    let server = Server::scripted(object(), script);
    let source = open(&server.url()).unwrap();
    let error = read(&*at(&source), 100_000, 10).unwrap_err();
    assert_eq!(fault(&error), FetchFault::NoProgress);
    assert!(error.to_string().contains("3600 s"), "{error}");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn nobody_listening_is_an_outage() {
    let mut policy = policy();
    policy.no_progress = Duration::from_millis(50);
    let (options, retries) = observed(options().retries(policy));
    // No system gives this port to a test.
    let error = open_with("http://127.0.0.1:1/object?secret=1", options).unwrap_err();
    assert_eq!(fault(&error), FetchFault::NoProgress, "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(retries.lock().unwrap().iter().all(|retry| !retry.to_string().contains("secret")));
}

#[test]
fn a_cancelled_wait_ends_and_is_no_timeout() {
    let stalled = |number, _: &_| if number == 0 { Reply::ok() } else { Reply::stall(5) };
    let down = |number, _: &_| match number {
        0 => Reply::ok(),
        _ => Reply::status(503).with("retry-after", "100"),
    };
    let scripts: [fn(usize, &crate::server::Request) -> Reply; 2] = [stalled, down];
    for script in scripts {
        let server = Server::scripted(object(), script);
        let flag = Arc::new(AtomicBool::new(false));
        let own = flag.clone();
        let options = options().cancel_when(Arc::new(move || own.load(Ordering::Acquire)));
        let mut source = open_with(&server.url(), options).unwrap();
        std::thread::scope(|scope| {
            let at = at(&source);
            let reading = scope.spawn(move || read(&*at, 100_000, 10));
            while server.requests().len() < 2 {
                std::thread::yield_now();
            }
            flag.store(true, Ordering::Release);
            let error = reading.join().unwrap().unwrap_err();
            assert_eq!((fault(&error), error.kind()), (FetchFault::Cancelled, io::ErrorKind::Other));
        });
        let error = read_in_order(&mut source).unwrap_err();
        assert_eq!(fault(&error), FetchFault::Cancelled);
        let error = open_with(&server.url(), crate::options().cancel_when(Arc::new(|| true))).unwrap_err();
        assert_eq!(fault(&error), FetchFault::Cancelled);
    }
}
