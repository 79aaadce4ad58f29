//! What the public types promise to whoever shares and prints them. It compiles, or it does not.
//! Runs one stream only, to see that a clone of a sealer seals as the sealer does.

#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::Mutex;
use std::thread;

use cofferdam::{
    Budget, BytesSource, CancelToken, Error, ErrorKind, Identities, Inspection, KeyError, Leftovers,
    MemorySink, Opener, ParseHexError, Pool, Progress, Recipients, Remedy, Restored, Rewrapped, SealWriter,
    Sealed, Sealer, StagedFile, StreamDigest, StreamId, StreamKey, Warning, WrappingKey,
};

fn is_shared<T: Send + Sync + Clone + Debug + 'static>() {}
fn is_shown<T: Debug + Send + 'static>() {}
fn is_text<T: Display + FromStr<Err = ParseHexError> + Debug>() {}

#[test]
fn public_types_are_sent_shared_cloned_and_shown() {
    is_shared::<Sealer>();
    is_shared::<Opener>();
    is_shared::<Recipients>();
    is_shared::<Identities>();
    is_shared::<Budget>();
    is_shared::<Pool>();
    is_shared::<CancelToken>();
    is_shared::<(Sealed, Restored, Rewrapped, Progress, Warning, ErrorKind, Leftovers, Remedy)>();
    is_shown::<(Error, KeyError, Inspection, StreamKey, WrappingKey, StagedFile, SealWriter)>();
    is_text::<StreamDigest>();
    is_text::<StreamId>();
}

#[test]
fn nothing_secret_is_shown_of_a_sealer_and_an_opener() {
    let key = || WrappingKey::from_bytes([b'Z'; 32]);
    let sealer = Sealer::new(Recipients::new().wrapping_key(key())).metadata("host", "hidden");
    let opener = Opener::new(Identities::new().wrapping_key(key()));
    for shown in [format!("{sealer:?}"), format!("{opener:?}")] {
        for secret in ["90, 90", "ZZ", "5a5a", "hidden"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[test]
fn ids_and_digests_are_hexadecimal_both_ways() {
    let digest = StreamDigest([0xa5; 32]);
    assert_eq!(digest.to_string(), "a5".repeat(32));
    assert_eq!("A5".repeat(32).parse(), Ok(digest));
    let id = StreamId([1; 16]);
    assert_eq!(id.to_string().parse(), Ok(id));
    let short = "a5".repeat(31).parse::<StreamDigest>().unwrap_err();
    assert_eq!(short.to_string(), "expected 64 hexadecimal digits, found 62");
    assert!("a5".repeat(32).parse::<StreamId>().is_err());
}

#[test]
fn one_sealer_serves_many_threads_and_a_closure_watches_it() {
    static SEEN: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let sealer = Sealer::new(Recipients::new().wrapping_key(WrappingKey::from_bytes([7; 32])))
        .frame_len(4096)
        .segment_len(4096)
        .on_progress(|progress| SEEN.lock().unwrap().push(progress.committed));
    thread::scope(|scope| {
        for len in [1_usize, 2] {
            let sealer = sealer.clone();
            scope.spawn(move || {
                let (sink, _contents) = MemorySink::new();
                let sealed = sealer.seal(BytesSource::new(vec![0; len]), sink).unwrap();
                assert_eq!(sealed.plaintext_len, len as u64);
            });
        }
    });
    let mut seen = SEEN.lock().unwrap().clone();
    seen.sort_unstable();
    assert_eq!(seen, [1, 2]);
}
