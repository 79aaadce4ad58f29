//! Holds passphrases against a limit on the process's memory: an error with words, where the library would abort.
//! Needs `prlimit`, of util-linux.

#![cfg(target_os = "linux")]
#![cfg(feature = "age")]
#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use std::process::Command;

use keys::{Identities, KIND_AGE, KeyError, Recipients, SealedSlot, SecretString, StreamKey, UnwrapError};

/// Bytes of address space: less than scrypt with work factor 20 takes, and plenty for one with 10.
const LIMIT: usize = 512 << 20;
/// Set in the process that runs under the limit.
const LIMITED: &str = "COFFERDAM_TEST_LIMITED";

#[test]
fn a_passphrase_without_memory_for_it_is_an_error_and_no_abort() {
    if std::env::var_os(LIMITED).is_some() {
        return under_the_limit();
    }
    let limited = Command::new("prlimit")
        .arg(format!("--as={LIMIT}"))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_passphrase_without_memory_for_it_is_an_error_and_no_abort", "--nocapture"])
        .env(LIMITED, "yes")
        .output()
        .unwrap();
    assert!(limited.status.success(), "{limited:?}");
}

fn under_the_limit() {
    let passphrase = || SecretString::from("correct horse");
    let head = [7; 80];
    let with = |factor| Recipients::new().passphrase_with_work_factor(passphrase(), factor).unwrap();
    let stream_key = StreamKey::from_bytes([1; 32]);
    let small = with(10).wrap(&stream_key, &head).unwrap();

    let refused = with(20).wrap(&stream_key, &head).unwrap_err();
    assert!(matches!(refused, KeyError::Memory { needed } if needed >= 1 << 30), "{refused}");

    let stanza = format!("-> scrypt {} 20\n{}\n", "A".repeat(22), "A".repeat(43));
    let file = format!("age-encryption.org/v1\n{stanza}--- {}\n{}", "A".repeat(43), "n".repeat(16 + 48));
    let large = SealedSlot { kind: KIND_AGE, body: file.into() };
    let identities = Identities::new().passphrase(passphrase());
    let verdict = |slots: &[SealedSlot]| identities.unwrap(slots, &head, &mut |_| true).map(|_| ());
    let refused = verdict(std::slice::from_ref(&large)).unwrap_err();
    assert!(matches!(refused, UnwrapError::Memory { slot: 0, needed } if needed >= 1 << 30), "{refused}");
    // What there is memory for opens all the same.
    assert_eq!(verdict(&[vec![large], small].concat()), Ok(()));
}
