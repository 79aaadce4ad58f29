//! What holds with and without age: keys that the caller holds, an external service, and what shows of either.
//! Knows no age identity.

#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keys::{
    ExternalKey, Identities, KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, KeyError, KeySchedule, Recipients,
    SealedSlot, StreamKey, UnwrapError, WrappingKey,
};

const HEAD: [u8; 80] = [0x3a; 80];
const KEY: [u8; 32] = [0xc5; 32];

fn opened(identities: &Identities, slots: &[SealedSlot]) -> Result<[u8; 32], UnwrapError> {
    identities.unwrap(slots, &HEAD, &mut |key| key.expose() == &KEY).map(|key| *key.expose())
}

fn stream_key() -> StreamKey {
    StreamKey::from_bytes(KEY)
}

/// A service whose wrapping is its own business.
fn masked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0x55).collect()
}

fn of_service() -> Recipients {
    Recipients::new().external_with("kms/one", |_, key| Ok(masked(key.expose()))).unwrap()
}

#[test]
fn a_service_wraps_each_streams_key_and_unwraps_it() {
    let slots = of_service().wrap(&stream_key(), &HEAD).unwrap();
    assert_eq!(slots.iter().map(|slot| slot.kind).collect::<Vec<_>>(), [KIND_EXTERNAL]);
    let identities = Identities::new().external(["kms/one"], |_, ciphertext| {
        StreamKey::copy_from(&masked(ciphertext)).ok_or_else(|| "no key".into())
    });
    assert_eq!(opened(&identities, &slots), Ok(KEY));
    let other = StreamKey::from_bytes([1; 32]);
    assert_ne!(of_service().wrap(&other, &HEAD).unwrap(), slots);
}

/// FORMAT §4: the stream's id is bytes 32..48 of the preamble.
#[test]
fn a_service_is_told_which_key_of_which_stream() {
    let head: [u8; 80] = std::array::from_fn(|at| at as u8);
    let stream_id: [u8; 16] = std::array::from_fn(|at| 32 + at as u8);
    let wrap = move |asked: ExternalKey<'_>, key: &StreamKey| {
        assert_eq!((asked.name, asked.stream_id), ("kms/one", stream_id));
        Ok(masked(key.expose()))
    };
    let recipients = Recipients::new().external_with("kms/one", wrap).unwrap();
    let slots = recipients.wrap(&stream_key(), &head).unwrap();
    let identities = Identities::new().external(["kms/two", "kms/one"], move |asked, ciphertext| {
        assert_eq!((asked.name, asked.stream_id), ("kms/one", stream_id));
        StreamKey::copy_from(&masked(ciphertext)).ok_or_else(|| "no key".into())
    });
    let found = identities.unwrap(&slots, &head, &mut |key| key.expose() == &KEY).unwrap();
    assert_eq!(found.expose(), &KEY);
}

#[test]
fn what_a_service_says_once_it_was_told_to_stop_is_no_verdict() {
    let slots = of_service().wrap(&stream_key(), &HEAD).unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = stopped.clone();
    let identities = Identities::new().external(["kms/one"], move |_, _| {
        stop.store(true, Ordering::SeqCst);
        Err("killed".into())
    });
    let verdict = identities.unwrap_unless(&slots, &HEAD, &mut |_| true, &|| stopped.load(Ordering::SeqCst));
    assert_eq!(verdict.unwrap_err(), UnwrapError::Cancelled);
}

#[test]
fn a_service_that_refuses_is_named() {
    let recipients = Recipients::new().external_with("kms/two", |_, _| Err("no such key".into())).unwrap();
    let refused = recipients.wrap(&stream_key(), &HEAD).unwrap_err();
    assert_eq!(refused, KeyError::Recipient { problem: "kms/two: no such key".to_owned() });
    assert!(Recipients::new().external_with("", |_, _| Ok(Vec::new())).is_err());
    let long = Recipients::new().external_with("k", |_, _| Ok(vec![0; 1 << 20])).unwrap();
    assert!(matches!(long.wrap(&stream_key(), &HEAD), Err(KeyError::TooMany { .. })));
}

#[test]
fn clones_open_what_the_set_opens() {
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([9; 32]));
    let slots = recipients.clone().wrap(&stream_key(), &HEAD).unwrap();
    assert_eq!(slots[0].kind, KIND_WRAPPING_KEY);
    let identities = Identities::new().wrapping_key(WrappingKey::from_bytes([9; 32]));
    assert_eq!(opened(&identities.clone(), &slots), Ok(KEY));
    assert_eq!(opened(&identities, &slots), Ok(KEY));
}

/// An age file for somebody else: its one stanza is of a type that nobody knows.
#[test]
fn an_age_slot_is_checked_and_passed_over_by_who_holds_no_identity() {
    let age = |text: String| SealedSlot { kind: KIND_AGE, body: text.into_bytes() };
    let mac = "A".repeat(43);
    let whole = age(format!("age-encryption.org/v1\n-> someone\n\n--- {mac}\n0123456789abcdef"));
    let identities = Identities::new().wrapping_key(WrappingKey::from_bytes([9; 32]));
    let none = opened(&identities, std::slice::from_ref(&whole));
    assert_eq!(none, Err(UnwrapError::NoKey { slots: 1, notes: Vec::new() }));
    let own = Recipients::new().wrapping_key(WrappingKey::from_bytes([9; 32]));
    let slots = [vec![whole], own.wrap(&stream_key(), &HEAD).unwrap()].concat();
    assert_eq!(opened(&identities, &slots), Ok(KEY));
    let cut = age("age-encryption.org/v1\n-> someone\n".to_owned());
    assert!(matches!(opened(&identities, &[cut]), Err(UnwrapError::Malformed { slot: 0, .. })));
}

#[test]
fn sets_are_shared_by_threads_and_cloned() {
    fn is_shared<T: Send + Sync + Clone + Debug + 'static>() {}
    is_shared::<Recipients>();
    is_shared::<Identities>();
}

/// Every byte of every secret is 0xc5, 197, or 'Z', 90.
#[test]
fn nothing_secret_is_shown() {
    let z = || WrappingKey::from_bytes([b'Z'; 32]);
    let schedule = KeySchedule::new(&stream_key(), &[0; 128]);
    let shown = [
        format!("{:?}", stream_key()),
        format!("{:?}", z()),
        format!("{:?}", Recipients::new().wrapping_key(z())),
        format!("{:?}", Identities::new().wrapping_key(z())),
        format!("{:?} {:?}", schedule.segment(&[0; 48]), schedule.journal(&[0; 16])),
    ];
    for shown in shown {
        for secret in ["197", "90", "c5", "ZZ", "["] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
    assert_eq!(format!("{:?}", z()), "WrappingKey(32 secret bytes)");
}
