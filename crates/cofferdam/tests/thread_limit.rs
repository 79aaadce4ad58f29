//! More threads than there may be are refused by every call that takes them, before anything is read or made.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use cofferdam::{BytesSource, ErrorKind, MemorySink, NullSink, Opener, Pool, PoolError, THREADS_MAX};

mod streams;
use streams::{KEY, identities_of, opener, small_sealer, threads};

#[test]
fn the_limit_is_1024() {
    assert_eq!(THREADS_MAX.get(), 1024);
    assert!(matches!(Pool::new(threads(1025)), Err(PoolError::TooMany { threads }) if threads.get() == 1025));
}

#[test]
fn more_threads_than_the_limit_are_a_usage_error_of_sealing_opening_and_verifying() {
    let sealed = streams::seal(&small_sealer(), vec![1; 10]);
    // Too short for a pool: what was asked for is refused whether it would have been made or not.
    for len in [10, 1 << 20] {
        for count in [1025, 100_000, usize::MAX] {
            let sealer = small_sealer().threads(threads(count));
            let refused = sealer.seal(BytesSource::new(vec![1; len]), NullSink::new()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage, "{refused}");
            assert!(refused.to_string().contains("1024"), "{refused}");
            let opener = opener().threads(threads(count));
            let refused = opener.open(BytesSource::new(sealed.clone()), MemorySink::new().0).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage, "{refused}");
            let refused = opener.verify(streams::in_order(sealed.clone())).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Usage, "{refused}");
        }
    }
}

#[test]
fn as_many_threads_as_the_limit_are_taken() {
    let sealed = streams::seal(&small_sealer().threads(THREADS_MAX), vec![1; 10]);
    Opener::new(identities_of(KEY)).threads(THREADS_MAX).verify(BytesSource::new(sealed)).unwrap();
}

#[test]
fn a_file_is_not_made_for_a_stream_with_too_many_threads() {
    let directory = tempfile::tempdir().unwrap();
    let (input, output) = (directory.path().join("input"), directory.path().join("output"));
    std::fs::write(&input, "a snapshot").unwrap();
    let refused = small_sealer().threads(threads(1025)).seal_file(&input, &output).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert_eq!(streams::names_in(directory.path()), [std::path::Path::new("input")]);
}
