//! What is fetched ahead: in which order, with how many requests, in how much memory, and how it ends.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cofferdam_io::{Fetch, FetchFault, ReadAt};

use crate::{
    at, fault, open, open_with, options, policy, read,
    server::{Object, Reply, Request, Server, bytes},
};

const MIB: usize = 1 << 20;
const HEAD: usize = 64 << 10;
const LONG: Duration = Duration::from_secs(600);

fn fetch(at: &dyn ReadAt) -> &dyn Fetch {
    at.fetch().expect("it comes from afar")
}

/// Reads all of `segments` in steps, asking for as many segments ahead as are taken on, as the engine does; gives what was read and
/// the most memory that was held.
fn read_ahead(at: &dyn ReadAt, segments: &[Range<u64>], step_len: u64) -> io::Result<(Vec<u8>, usize)> {
    let fetch = fetch(at);
    let (mut to_ask, mut read_all, mut most_held) = (VecDeque::from(segments.to_vec()), Vec::new(), 0);
    for segment in segments {
        let mut start = segment.start;
        while start < segment.end {
            while let Some(next) = to_ask.front() {
                if !fetch.ask(next.clone()) {
                    break;
                }
                to_ask.pop_front();
            }
            let step = start..segment.end.min(start + step_len);
            while !fetch.wait(step.clone(), Duration::from_millis(50))? {
                most_held = most_held.max(fetch.held());
            }
            most_held = most_held.max(fetch.held());
            read_all.extend(read(at, step.start, (step.end - step.start) as usize)?);
            fetch.release(step.clone());
            start = step.end;
        }
    }
    Ok((read_all, most_held))
}

/// A request that has just ended may still have its block.
fn check_nothing_held(fetch: &dyn Fetch) {
    while fetch.held() > 0 {
        std::thread::yield_now();
    }
}

fn segments(len: usize, each: usize) -> Vec<Range<u64>> {
    (0..len).step_by(each).map(|start| start as u64..len.min(start + each) as u64).collect()
}

#[test]
fn what_was_asked_for_arrives_once_in_few_requests_and_within_its_memory() {
    let object = bytes(1, 40 * MIB + 123);
    let server = Server::start(Object::new(object.clone(), "\"a\""));
    let source = open(&server.url()).unwrap();
    let at = at(&source);
    let granted = fetch(&*at).min_memory(MIB).max(32 * MIB);
    fetch(&*at).grant(granted);
    let (read, most_held) = read_ahead(&*at, &segments(object.len(), 8 * MIB), MIB as u64).unwrap();
    assert!(read == object);
    assert!(most_held <= granted && most_held > 8 * MIB, "{most_held} of {granted}");
    assert_eq!(source.tally().bytes as usize, object.len() + HEAD);
    assert!(server.requests().len() <= 24, "{:?}", server.ranges());
    fetch(&*at).grant(0);
    check_nothing_held(fetch(&*at));
}

#[test]
fn the_least_memory_is_enough_whatever_the_steps() {
    let object = bytes(2, 9 * MIB + 77);
    for (step_len, segment_len) in
        [(1, 3 * MIB), (65_536, HEAD), (MIB, 8 * MIB), (MIB + 1, 9 * MIB), (3 * MIB + 5, 4 * MIB)]
    {
        let server = Server::start(Object::new(object.clone(), "\"a\""));
        let source = open(&server.url()).unwrap();
        let at = at(&source);
        let granted = fetch(&*at).min_memory(step_len);
        fetch(&*at).grant(granted);
        let step_len = if step_len == 1 { 100_000 } else { step_len };
        let (read, most_held) =
            read_ahead(&*at, &segments(object.len(), segment_len), step_len as u64).unwrap();
        assert!(read == object);
        assert!(most_held <= granted, "{most_held} of {granted} for steps of {step_len}");
        // What came with the first request is not fetched again where it is a segment.
        let twice = if segment_len == HEAD { 0 } else { HEAD };
        assert_eq!(source.tally().bytes as usize, object.len() + twice);
    }
}

#[test]
fn nothing_is_begun_for_which_there_is_no_memory() {
    let object = bytes(12, 40 * MIB);
    let server = Server::start(Object::new(object, "\"a\""));
    let source = open(&server.url()).unwrap();
    let at = at(&source);
    let fetch = fetch(&*at);
    let granted = fetch.min_memory(MIB) + 10 * MIB;
    fetch.grant(granted);
    assert!(fetch.ask(MIB as u64..40 * MIB as u64));
    assert!(fetch.wait(MIB as u64..3 * MIB as u64, LONG).unwrap());
    // Nothing is released, so the rest cannot come, however long it is waited for.
    assert!(!fetch.wait(39 * MIB as u64..40 * MIB as u64, Duration::from_millis(300)).unwrap());
    assert!(fetch.held() <= granted, "{} of {granted}", fetch.held());
    assert!(source.tally().bytes as usize <= granted);
}

#[test]
fn less_memory_than_before_slows_and_does_not_stop() {
    let object = bytes(3, 24 * MIB);
    let server = Server::start(Object::new(object.clone(), "\"a\""));
    let source = open(&server.url()).unwrap();
    let at = at(&source);
    let fetch = fetch(&*at);
    let least = fetch.min_memory(MIB);
    fetch.grant(100 * MIB);
    assert!(fetch.ask(0..24 * MIB as u64));
    let mut all = Vec::new();
    for step in segments(object.len(), MIB) {
        assert!(fetch.wait(step.clone(), LONG).unwrap());
        fetch.grant(least);
        all.extend(read(&*at, step.start, MIB).unwrap());
        fetch.release(step);
    }
    assert!(all == object);
}

#[test]
fn nothing_is_fetched_that_was_released_and_nothing_more_than_was_asked_for() {
    let object = bytes(4, 40 * MIB);
    let server = Server::start(Object::new(object, "\"a\""));
    let source = open(&server.url()).unwrap();
    let at = at(&source);
    let fetch = fetch(&*at);
    // Without memory nothing is fetched; what is asked for first is taken on however long it is.
    assert!(fetch.ask(MIB as u64..30 * MIB as u64));
    assert!(!fetch.ask(30 * MIB as u64..31 * MIB as u64));
    fetch.release(2 * MIB as u64..30 * MIB as u64);
    assert!(fetch.ask(35 * MIB as u64..36 * MIB as u64));
    fetch.grant(fetch.min_memory(MIB).max(64 * MIB));
    let (first, last) = (MIB as u64..2 * MIB as u64, 35 * MIB as u64..36 * MIB as u64);
    assert!(fetch.wait(first.clone(), LONG).unwrap() && fetch.wait(last.clone(), LONG).unwrap());
    assert_eq!(source.tally().bytes, 2 * MIB as u64 + HEAD as u64);
    assert!(fetch.held() >= 2 * MIB);
    fetch.release(first);
    fetch.release(last);
    fetch.grant(0);
    check_nothing_held(fetch);
}

#[test]
fn neighbours_and_those_with_a_short_gap_come_with_one_request() {
    let object = bytes(5, 8 * MIB);
    let server = Server::start(Object::new(object.clone(), "\"a\""));
    let source = open(&server.url()).unwrap();
    let at = at(&source);
    let fetch = fetch(&*at);
    for range in [100_000..200_000, 200_000..300_000, 310_000..400_000, 4_000_000..4_000_100] {
        assert!(fetch.ask(range));
    }
    fetch.grant(64 * MIB);
    for range in [150_000..300_000, 310_000..400_000, 4_000_000..4_000_100] {
        assert!(fetch.wait(range.clone(), LONG).unwrap());
        assert!(read(&*at, range.start, 50).unwrap() == object[range.start as usize..][..50]);
    }
    let mut ranges = server.ranges()[1..].to_vec();
    ranges.sort_unstable();
    assert_eq!(ranges, [Some((100_000, 399_999)), Some((4_000_000, 4_000_099))]);
}

#[test]
fn what_is_kept_of_head_and_tail_is_not_fetched_again() {
    let object = bytes(11, 100_000);
    let server = Server::start(Object::new(object.clone(), "\"a\""));
    let source = open(&server.url()).unwrap();
    let at = at(&source);
    let fetch = fetch(&*at);
    fetch.grant(64 * MIB);
    read(&*at, 99_999, 1).unwrap();
    for range in [0..50_000, 40_000..60_000, 50_000..100_000] {
        assert!(fetch.ask(range.clone()));
        assert!(fetch.wait(range.clone(), LONG).unwrap());
        let (start, len) = (range.start, (range.end - range.start) as usize);
        assert!(read(&*at, start, len).unwrap() == object[start as usize..][..len]);
        fetch.release(range);
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn bytes_can_be_read_before_the_rest_of_their_part_has_come() {
    let object = bytes(6, 8 * MIB);
    let script = |number, _: &_| if number == 0 { Reply::ok() } else { Reply::stall(3 * MIB) };
    let server = Server::scripted(Object::new(object.clone(), "\"a\""), script);
    let source = open(&server.url()).unwrap();
    let at = at(&source);
    let fetch = fetch(&*at);
    fetch.grant(64 * MIB);
    assert!(fetch.ask(0..8 * MIB as u64));
    assert!(fetch.wait(0..3 * MIB as u64, LONG).unwrap());
    assert!(read(&*at, MIB as u64, 2 * MIB).unwrap() == object[MIB..3 * MIB]);
    assert!(!fetch.wait(0..3 * MIB as u64 + 1, Duration::from_millis(20)).unwrap());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_part_that_will_not_come_fails_whoever_waits_and_the_next_one_may_ask_again() {
    let object = bytes(7, 8 * MIB);
    let script = |number, _: &_| if number == 1 { Reply::status(403) } else { Reply::ok() };
    let server = Server::scripted(Object::new(object.clone(), "\"a\""), script);
    let source = open(&server.url()).unwrap();
    let at = at(&source);
    let fetch = fetch(&*at);
    fetch.grant(64 * MIB);
    let range = MIB as u64..2 * MIB as u64;
    fetch.ask(range.clone());
    assert_eq!(fault(&fetch.wait(range.clone(), LONG).unwrap_err()), FetchFault::Denied);
    assert_eq!(fault(&fetch.wait(range.clone(), LONG).unwrap_err()), FetchFault::Denied);
    fetch.release(range.clone());
    assert!(fetch.ask(range.clone()));
    assert!(fetch.wait(range.clone(), LONG).unwrap());
    assert!(read(&*at, range.start, MIB).unwrap() == object[MIB..2 * MIB]);
}

#[test]
fn an_object_that_is_replaced_under_the_read_ahead_is_an_error_and_no_mixture() {
    for heedless in [false, true] {
        let object = bytes(8, 24 * MIB);
        let server = Arc::new(Server::start(Object::new(object.clone(), "\"a\"")));
        let weak = Arc::downgrade(&server);
        server.script(move |number, _| {
            if number == 2 {
                weak.upgrade().unwrap().replace(Object::new(bytes(9, 24 * MIB), "\"b\""));
            }
            if heedless { Reply::ok().heedless() } else { Reply::ok() }
        });
        let source = open(&server.url()).unwrap();
        let at = at(&source);
        fetch(&*at).grant(fetch(&*at).min_memory(MIB));
        let error = read_ahead(&*at, &segments(object.len(), 4 * MIB), MIB as u64).unwrap_err();
        assert_eq!(fault(&error), FetchFault::Changed);
        assert!(at.changed().unwrap());
    }
}

#[test]
fn a_dropped_source_asks_for_nothing_more() {
    let script = |number, _: &_| if number == 0 { Reply::ok() } else { Reply::stall(1000) };
    let server = Server::scripted(Object::new(bytes(10, 24 * MIB), "\"a\""), script);
    let mut short = policy();
    short.read_timeout = Duration::from_millis(50);
    let source = open_with(&server.url(), options().retries(short)).unwrap();
    let at = at(&source);
    fetch(&*at).grant(64 * MIB);
    fetch(&*at).ask(0..24 * MIB as u64);
    while server.requests().len() < 4 {
        std::thread::yield_now();
    }
    drop((source, at));
    // A request that has just been begun may still come. Of those that stall, each would be made again after at most 60 ms.
    let begun = Instant::now();
    loop {
        let requests = server.requests().len();
        std::thread::sleep(Duration::from_millis(200));
        if server.requests().len() == requests {
            break;
        }
        assert!(begun.elapsed() < LONG, "{requests} requests, and no end");
    }
}

#[test]
fn seeded_faults_never_change_what_is_read() {
    // Of one seed the requests may be few, and a busy machine makes some of them again.
    let mut faults_of_all = 0;
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let object = bytes(seed, rng.usize(MIB..12 * MIB));
        let faults = Arc::new(Mutex::new(0));
        let (own, mut of_server) = (faults.clone(), rng.fork());
        let script = move |number: usize, request: &Request| {
            let len = request.range().map_or(0, |(first, last)| (last - first + 1) as usize);
            if number == 0 || of_server.u8(..) < 128 {
                return Reply::ok();
            }
            *own.lock().unwrap() += 1;
            match of_server.u8(..7) {
                0 | 1 => Reply::cut(of_server.usize(..=len)),
                2 => Reply::stall(of_server.usize(..=len)),
                3 => Reply::status(503),
                4 => Reply::status(500).with("retry-after", "0"),
                5 => Reply::pieces(of_server.usize(1..20_000)),
                _ => Reply::ok().with("content-range", "nonsense"),
            }
        };
        let server = Server::scripted(Object::new(object.clone(), "\"a\""), script);
        let mut short = policy();
        short.read_timeout = Duration::from_millis(100);
        let source = open_with(&server.url(), options().retries(short)).unwrap();
        let at = at(&source);
        let step_len = rng.usize(50_000..2 * MIB);
        let granted = fetch(&*at).min_memory(step_len) + rng.usize(..8 * MIB);
        fetch(&*at).grant(granted);
        let segments = segments(object.len(), rng.usize(MIB..5 * MIB));
        match read_ahead(&*at, &segments, step_len as u64) {
            Ok((read, most_held)) => {
                assert!(read == object, "seed {seed}");
                assert!(most_held <= granted, "seed {seed}");
            }
            // Three wrong answers in a row are possible, and final.
            Err(error) => assert_eq!(fault(&error), FetchFault::Refused, "seed {seed}: {error}"),
        }
        faults_of_all += *faults.lock().unwrap();
    }
    assert!(faults_of_all > 30, "{faults_of_all}");
}
