//! Wraps keys for recipients and opens them with identities, through the public interface.

#![cfg(feature = "age")]
#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keys::{
    Identities, Identity, KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, KeyError, KeyMaterial, Recipients,
    SealedSlot, SecretString, StreamKey, UnwrapError, WrappingKey, check_slots,
};

#[test]
fn each_identity_alone_opens_what_all_were_given() {
    let (anna, bert) = (Identity::generate(), Identity::generate());
    let key_file = [9; 32];
    let stream_key = stream_key();
    let slots = Recipients::new()
        .parse(&anna.recipient())
        .unwrap()
        .parse(&bert.recipient())
        .unwrap()
        .wrapping_key(WrappingKey::from_bytes(key_file))
        .passphrase_with_work_factor(secret("correct horse"), FAST)
        .unwrap()
        .external("kms/one", b"opaque")
        .unwrap()
        .wrap(&stream_key, &HEAD)
        .unwrap();

    let kinds: Vec<u16> = slots.iter().map(|slot| slot.kind).collect();
    assert_eq!(kinds, [KIND_AGE, KIND_WRAPPING_KEY, KIND_EXTERNAL, KIND_AGE]);
    for identities in [
        holding(&anna),
        holding(&bert),
        Identities::new().wrapping_key(WrappingKey::from_bytes(key_file)),
        Identities::new().passphrase(secret("correct horse")),
        Identities::new().external(["kms/one"], |_, ciphertext| {
            assert_eq!(ciphertext, b"opaque");
            Ok(StreamKey::from_bytes(KEY))
        }),
    ] {
        assert_eq!(opened(&identities, &slots), Ok(KEY));
    }
}

#[test]
fn a_passphrase_of_the_written_work_factor_opens() {
    let recipients = Recipients::new().passphrase(secret("correct horse")).unwrap();
    let slots = recipients.wrap(&stream_key(), &HEAD).unwrap();
    let header = String::from_utf8_lossy(&slots[0].body).into_owned();
    assert!(header.lines().nth(1).unwrap().ends_with(" 18"), "{header}");
    assert_eq!(opened(&Identities::new().passphrase(secret("correct horse")), &slots), Ok(KEY));
}

#[test]
fn strangers_open_nothing() {
    let slots = Recipients::new()
        .parse(&Identity::generate().recipient())
        .unwrap()
        .wrapping_key(WrappingKey::generate().unwrap())
        .passphrase_with_work_factor(secret("correct horse"), FAST)
        .unwrap()
        .wrap(&stream_key(), &HEAD)
        .unwrap();
    let stranger = holding(&Identity::generate())
        .wrapping_key(WrappingKey::generate().unwrap())
        .passphrase(secret("battery staple"));
    for identities in [stranger, Identities::new()] {
        assert_eq!(opened(&identities, &slots), Err(UnwrapError::NoKey { slots: 3, notes: vec![] }));
    }
}

#[test]
fn no_slots_are_no_key() {
    let verdict = opened(&holding(&Identity::generate()), &[]);
    assert_eq!(verdict, Err(UnwrapError::NoKey { slots: 0, notes: vec![] }));
}

#[test]
fn a_key_that_is_not_the_streams_is_a_mismatch() {
    let anna = Identity::generate();
    let recipients = Recipients::new().parse(&anna.recipient()).unwrap();
    let slots = recipients.wrap(&StreamKey::from_bytes([1; 32]), &HEAD).unwrap();
    assert_eq!(opened(&holding(&anna), &slots), Err(UnwrapError::Mismatch { slot: 0 }));
}

#[test]
fn a_later_slot_opens_behind_a_mismatch() {
    let anna = Identity::generate();
    let recipients = Recipients::new().parse(&anna.recipient()).unwrap();
    let mut slots = recipients.wrap(&StreamKey::from_bytes([1; 32]), &HEAD).unwrap();
    slots.extend(recipients.wrap(&stream_key(), &HEAD).unwrap());
    assert_eq!(opened(&holding(&anna), &slots), Ok(KEY));
}

/// FORMAT F5.13: a slot is tried with each key, also behind one that opens it to something else.
#[test]
fn a_later_unwrapper_of_one_name_opens_behind_a_mismatch() {
    let slots = Recipients::new().external("kms/one", b"opaque").unwrap().wrap(&stream_key(), &HEAD).unwrap();
    let answers = |identities: Identities, key: [u8; 32]| {
        identities.external(["kms/one"], move |_, _| Ok(StreamKey::from_bytes(key)))
    };
    let wrong_first = answers(answers(Identities::new(), [1; 32]), KEY);
    assert_eq!(opened(&wrong_first, &slots), Ok(KEY));
    let both_wrong = answers(answers(Identities::new(), [1; 32]), [2; 32]);
    let note = "the key that its service gave for kms/one does not open the stream".to_owned();
    let notes = vec![note.clone(), note];
    assert_eq!(opened(&both_wrong, &slots), Err(UnwrapError::NoKey { slots: 1, notes }));
}

#[test]
fn slots_of_unknown_kinds_are_skipped() {
    let anna = Identity::generate();
    let mut slots: Vec<_> =
        [0, 4, u16::MAX].map(|kind| SealedSlot { kind, body: b"of a later version".to_vec() }).into();
    slots.extend(Recipients::new().parse(&anna.recipient()).unwrap().wrap(&stream_key(), &HEAD).unwrap());
    assert_eq!(opened(&holding(&anna), &slots), Ok(KEY));
}

#[test]
fn a_wrapped_key_differs_every_time() {
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([9; 32]));
    let one = recipients.wrap(&stream_key(), &HEAD).unwrap();
    let two = recipients.wrap(&stream_key(), &HEAD).unwrap();
    assert_ne!(one[0].body[..32], two[0].body[..32], "the salt");
    assert_ne!(one[0].body[32..], two[0].body[32..], "the ciphertext");
}

#[test]
fn a_payload_that_is_not_32_bytes_is_malformed() {
    let anna = age::x25519::Identity::generate();
    for len in [0, 1, 31, 33, 64, 65_536, 65_537] {
        let body = age::encrypt(&anna.to_public(), &vec![7; len]).unwrap();
        let verdict = opened(&holding_age(&anna), &[SealedSlot { kind: KIND_AGE, body }]);
        assert!(matches!(verdict, Err(UnwrapError::Malformed { slot: 0, .. })), "{len} bytes: {verdict:?}");
    }
}

#[test]
fn no_flipped_bit_of_an_age_file_gives_a_key() {
    let anna = Identity::generate();
    let slots = Recipients::new().parse(&anna.recipient()).unwrap().wrap(&stream_key(), &HEAD).unwrap();
    let identities = holding(&anna);
    for bit in 0..slots[0].body.len() * 8 {
        let mut body = slots[0].body.clone();
        body[bit / 8] ^= 1 << (bit % 8);
        let verdict = opened(&identities, &[SealedSlot { kind: KIND_AGE, body }]);
        assert!(
            matches!(verdict, Err(UnwrapError::Malformed { .. } | UnwrapError::NoKey { .. })),
            "bit {bit}: {verdict:?}"
        );
    }
}

#[test]
fn no_truncation_of_an_age_file_gives_a_key() {
    let anna = Identity::generate();
    let slots = Recipients::new().parse(&anna.recipient()).unwrap().wrap(&stream_key(), &HEAD).unwrap();
    let identities = holding(&anna);
    for len in 0..slots[0].body.len() {
        let body = slots[0].body[..len].to_vec();
        let verdict = opened(&identities, &[SealedSlot { kind: KIND_AGE, body }]);
        assert!(matches!(verdict, Err(UnwrapError::Malformed { slot: 0, .. })), "{len} bytes: {verdict:?}");
    }
}

#[test]
fn bytes_after_an_age_file_are_malformed() {
    let anna = Identity::generate();
    let mut slots = Recipients::new().parse(&anna.recipient()).unwrap().wrap(&stream_key(), &HEAD).unwrap();
    slots[0].body.push(0);
    let verdict = opened(&holding(&anna), &slots);
    assert!(matches!(verdict, Err(UnwrapError::Malformed { slot: 0, .. })), "{verdict:?}");
}

#[test]
fn the_passphrase_is_asked_for_once_and_only_for_a_passphrase_slot() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let identities = Identities::new().ask_passphrase(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Some(secret("battery staple"))
    });

    let without = Recipients::new().parse(&Identity::generate().recipient()).unwrap();
    assert!(opened(&identities, &without.wrap(&stream_key(), &HEAD).unwrap()).is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    let mut with = Recipients::new();
    for passphrase in ["correct horse", "battery staple"] {
        with = with.passphrase_with_work_factor(secret(passphrase), FAST).unwrap();
    }
    let slots = with.wrap(&stream_key(), &HEAD).unwrap();
    for _ in 0..2 {
        assert_eq!(opened(&identities, &slots), Ok(KEY));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_passphrase_that_nobody_gives_is_no_key() {
    let recipients = Recipients::new().passphrase_with_work_factor(secret("correct horse"), FAST).unwrap();
    let slots = recipients.wrap(&stream_key(), &HEAD).unwrap();
    let verdict = opened(&Identities::new().ask_passphrase(|| None), &slots);
    assert_eq!(verdict, Err(UnwrapError::NoKey { slots: 1, notes: vec![] }));
}

#[test]
fn a_hook_is_called_for_the_names_on_its_list_only() {
    let recipients = Recipients::new().external("kms/evil", b"").unwrap();
    let slots = recipients.wrap(&stream_key(), &HEAD).unwrap();
    let identities =
        Identities::new().external(["kms/one"], |key, _| panic!("{} is not on the list of names", key.name));
    assert_eq!(opened(&identities, &slots), Err(UnwrapError::NoKey { slots: 1, notes: vec![] }));
}

#[test]
fn what_a_hook_says_reaches_the_caller() {
    let slots = Recipients::new().external("kms/one", b"x").unwrap().wrap(&stream_key(), &HEAD).unwrap();
    let identities = Identities::new().external(["kms/one"], |_, _| Err("the service is down".into()));
    let notes = vec!["kms/one: the service is down".to_owned()];
    assert_eq!(opened(&identities, &slots), Err(UnwrapError::NoKey { slots: 1, notes }));
}

#[test]
fn an_empty_set_of_recipients_is_refused() {
    assert!(Recipients::new().is_empty());
    assert_eq!(Recipients::new().wrap(&stream_key(), &HEAD).unwrap_err(), KeyError::NoRecipients);
}

#[test]
fn recipients_that_cannot_be_read_are_refused() {
    let typo = Identity::generate().recipient().replace('1', "2");
    let secret_key = Identity::generate().file_text("now").unwrap().lines().last().unwrap().to_owned();
    for text in ["", "age1", &typo, "# comment", &secret_key, "nobody@example.org"] {
        let Err(error) = Recipients::new().parse(text) else { panic!("{text} was taken") };
        assert!(matches!(error, KeyError::Unreadable { what: KeyMaterial::Recipient, .. }), "{error}");
        assert!(!error.to_string().contains("AGE-SECRET"), "{error}");
    }
}

#[test]
fn a_recipients_file_may_have_comments_and_names_the_line_at_fault() {
    let anna = Identity::generate();
    let text = format!("# us\n\n  {}  \r\n", anna.recipient());
    let slots = Recipients::new().recipients_file(&text).unwrap().wrap(&stream_key(), &HEAD).unwrap();
    assert_eq!(opened(&holding(&anna), &slots), Ok(KEY));

    let Err(error) = Recipients::new().recipients_file(&format!("{text}nobody\n")) else { panic!("taken") };
    assert!(matches!(error, KeyError::Unreadable { line: Some(4), .. }), "{error}");
    assert!(Recipients::new().recipients_file("# nobody yet\n").is_err());
}

#[test]
fn an_identity_file_may_have_comments_and_several_identities() {
    let (anna, bert) = (Identity::generate(), Identity::generate());
    let text = [anna.file_text("2025-01-01").unwrap(), bert.file_text("2025-01-02").unwrap()]
        .map(|text| text.to_string())
        .concat();
    let identities = Identities::new().identity_file(&text).unwrap();
    for identity in [anna, bert] {
        let recipients = Recipients::new().parse(&identity.recipient()).unwrap();
        assert_eq!(opened(&identities, &recipients.wrap(&stream_key(), &HEAD).unwrap()), Ok(KEY));
    }
}

#[test]
fn identity_files_that_cannot_be_read_say_why() {
    for (content, reason) in [
        (&b"# nothing here\n"[..], "holds no identity"),
        (b"", "holds no identity"),
        (b"# a comment\nAGE-SECRET-KEY-1NOTAKEY\n", "line 2"),
        (b"\xff\xfe", "UTF-8"),
        (b"age-encryption.org/v1\n-> scrypt x 18\n\xff", "encrypted identity files are not supported"),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", "encrypted identity files are not supported"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "SSH"),
    ] {
        let Err(error) = Identities::new().identity_file(content) else { panic!("{reason}: taken") };
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!error.to_string().contains("NOTAKEY"), "{error}");
    }
}

#[test]
fn a_time_of_creation_cannot_add_a_line() {
    assert!(Identity::generate().file_text("now\nAGE-SECRET-KEY-1").is_err());
}

#[test]
fn an_empty_passphrase_and_a_work_factor_out_of_range_are_refused() {
    assert!(Recipients::new().passphrase(secret("")).is_err());
    for work_factor in [0, 21, 64, 255] {
        assert!(Recipients::new().passphrase_with_work_factor(secret("x"), work_factor).is_err());
    }
}

#[cfg(feature = "unstable-age")]
#[test]
fn a_scrypt_recipient_does_not_stand_among_others() {
    let recipients = Recipients::new()
        .parse(&Identity::generate().recipient())
        .unwrap()
        .recipient(Box::new(fast_scrypt("correct horse")));
    let error = recipients.wrap(&stream_key(), &HEAD).unwrap_err();
    assert!(matches!(error, KeyError::Recipient { .. }), "{error}");
}

#[test]
fn an_age_file_of_many_writes_opens_like_one_of_a_single_write() {
    let anna = age::x25519::Identity::generate();
    let recipient = anna.to_public();
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient)).unwrap();
    let mut body = Vec::new();
    let mut payload = encryptor.wrap_output(&mut body).unwrap();
    KEY.iter().for_each(|byte| payload.write_all(&[*byte]).unwrap());
    payload.finish().unwrap();
    let slots = [SealedSlot { kind: KIND_AGE, body }];
    assert_eq!(check_slots(&slots), Ok(()));
    assert_eq!(opened(&holding_age(&anna), &slots), Ok(KEY));
}

#[cfg(feature = "unstable-age")]
fn fast_scrypt(passphrase: &str) -> age::scrypt::Recipient {
    let mut recipient = age::scrypt::Recipient::new(age::secrecy::SecretString::from(passphrase));
    recipient.set_work_factor(FAST);
    recipient
}

fn holding_age(identity: &age::x25519::Identity) -> Identities {
    let text = identity.to_string();
    Identities::new().identity_file(age::secrecy::ExposeSecret::expose_secret(&text)).unwrap()
}

fn holding(identity: &Identity) -> Identities {
    let text = identity.file_text("2025-01-01T00:00:00Z").unwrap();
    Identities::new().identity_file(text.as_bytes()).unwrap()
}

fn opened(identities: &Identities, slots: &[SealedSlot]) -> Result<[u8; 32], UnwrapError> {
    identities.unwrap(slots, &HEAD, &mut |key| key.expose() == &KEY).map(|key| *key.expose())
}

fn stream_key() -> StreamKey {
    StreamKey::from_bytes(KEY)
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

const KEY: [u8; 32] = [0xc5; 32];
const HEAD: [u8; 80] = [0x3a; 80];
/// A scrypt work factor that takes no time.
const FAST: u8 = 2;
