//! Holds every limit on slots to its boundary, from the reader's and from the writer's side.
//! Needs no identity where the limit is one that a keyless reader checks.

#![cfg(feature = "age")]
#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use keys::{
    EXTERNAL_NAME_LEN_MAX, Identities, Identity, KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, KeyError,
    Recipients, SLOT_BODY_LEN_MAX, SLOT_COUNT_MAX, STANZA_COUNT_MAX, SealedSlot, SecretString, StreamKey,
    UnwrapError, WrappingKey, check_slots,
};

#[test]
fn a_reader_takes_16_slots_and_not_17() {
    let slot = SealedSlot { kind: 9, body: vec![] };
    assert_eq!(check_slots(&vec![slot.clone(); SLOT_COUNT_MAX]), Ok(()));
    let verdict = check_slots(&vec![slot; SLOT_COUNT_MAX + 1]);
    assert_eq!(verdict, Err(UnwrapError::Limit { slot: None, what: "slots", found: 17, max: 16 }));
}

#[test]
fn a_writer_makes_16_slots_and_not_17() {
    let mut recipients = Recipients::new();
    for _ in 0..SLOT_COUNT_MAX {
        recipients = recipients.wrapping_key(WrappingKey::generate().unwrap());
    }
    assert_eq!(recipients.wrap(&stream_key(), &HEAD).unwrap().len(), SLOT_COUNT_MAX);
    let recipients = recipients.parse(&Identity::generate().recipient()).unwrap();
    let error = recipients.wrap(&stream_key(), &HEAD).unwrap_err();
    assert_eq!(error, KeyError::TooMany { what: "key slots", count: 17, max: 16 });
}

#[test]
fn a_reader_takes_256_stanzas_and_not_257() {
    assert_eq!(check_slots(&[age_slot(&stanzas(STANZA_COUNT_MAX))]), Ok(()));
    let too_many = [SealedSlot { kind: 9, body: vec![] }, age_slot(&stanzas(STANZA_COUNT_MAX + 1))];
    let verdict = Err(UnwrapError::Limit { slot: Some(1), what: "age stanzas", found: 257, max: 256 });
    assert_eq!(check_slots(&too_many), verdict);
    let identities = Identities::new();
    assert_eq!(identities.unwrap(&too_many, &HEAD, &mut |_| true).map(|_| ()), verdict);
}

#[test]
fn a_writer_makes_255_recipients_and_not_256() {
    let recipient = Identity::generate().recipient();
    let mut recipients = Recipients::new();
    for _ in 1..STANZA_COUNT_MAX {
        recipients = recipients.parse(&recipient).unwrap();
    }
    let slots = recipients.wrap(&stream_key(), &HEAD).unwrap();
    assert_eq!(check_slots(&slots), Ok(()));
    let error = recipients.parse(&recipient).unwrap().wrap(&stream_key(), &HEAD).unwrap_err();
    assert_eq!(error, KeyError::TooMany { what: "age recipients", count: 256, max: 255 });
}

#[test]
fn stanzas_in_the_payload_do_not_count() {
    let mut slot = age_slot(&stanzas(1));
    slot.body.extend("\n-> X25519 x\n".repeat(STANZA_COUNT_MAX).bytes());
    assert_eq!(check_slots(&[slot]), Ok(()));
}

#[test]
fn a_slot_fills_a_key_copy_and_no_more() {
    let slot = |len| SealedSlot { kind: 9, body: vec![0; len] };
    assert_eq!(check_slots(&[slot(SLOT_BODY_LEN_MAX)]), Ok(()));
    let verdict = check_slots(&[slot(SLOT_BODY_LEN_MAX + 1)]);
    assert!(matches!(verdict, Err(UnwrapError::Limit { slot: Some(0), what: "bytes", .. })), "{verdict:?}");
    let verdict = check_slots(&[slot(SLOT_BODY_LEN_MAX), slot(0)]);
    assert!(matches!(verdict, Err(UnwrapError::Limit { slot: None, .. })), "{verdict:?}");
}

#[test]
fn a_writer_does_not_overfill_a_key_copy() {
    let ciphertext = vec![0; SLOT_BODY_LEN_MAX - 3];
    let recipients = Recipients::new().external("k", &ciphertext).unwrap();
    assert_eq!(recipients.wrap(&stream_key(), &HEAD).unwrap()[0].body.len(), SLOT_BODY_LEN_MAX);
    let error = recipients.external("k", b"").unwrap().wrap(&stream_key(), &HEAD).unwrap_err();
    assert!(matches!(error, KeyError::TooMany { what: "bytes of key slots", .. }), "{error}");
    assert!(Recipients::new().external("k", &[&ciphertext[..], b"x"].concat()).is_err());
}

#[test]
fn a_work_factor_above_20_is_a_limit_and_is_not_computed() {
    for work_factor in [21, 22, 63, 64, 255, 256, 4096, u64::MAX] {
        // Salt and body have the right lengths and any content: scrypt with 2^63 would never return.
        let stanza = format!("-> scrypt {} {work_factor}\n{}\n", "A".repeat(22), "A".repeat(43));
        let identities = Identities::new().passphrase(SecretString::from("correct horse"));
        let verdict = identities.unwrap(&[age_slot(&stanza)], &HEAD, &mut |_| true).map(|_| ());
        let expected =
            UnwrapError::Limit { slot: Some(0), what: "as scrypt work factor", found: work_factor, max: 20 };
        assert_eq!(verdict, Err(expected));
    }
}

/// Passphrase slots that nobody has the passphrase for, with these work factors. The last factors are small: only the sum of
/// all decides, and nothing that takes long is computed.
fn passphrase_slots(factors: &[u8]) -> Vec<SealedSlot> {
    let slot = |factor| age_slot(&format!("-> scrypt {} {factor}\n{}\n", "A".repeat(22), "A".repeat(43)));
    factors.iter().map(slot).collect()
}

#[test]
fn more_scrypt_than_16_slots_of_the_factor_that_is_written_is_a_limit_and_is_not_computed() {
    let identities = Identities::new()
        .ask_passphrase(|| panic!("nobody is asked for a slot that will not be tried"))
        .wrapping_key(WrappingKey::from_bytes([9; 32]));
    // 4 * 2^20 is 2^22, the limit; the smallest slot is one too many.
    let mut slots = passphrase_slots(&[20, 20, 20, 20, 1]);
    let verdict = identities.unwrap(&slots, &HEAD, &mut |_| true).map(|_| ());
    let what = "steps of scrypt with the other passphrase slots";
    let expected = UnwrapError::Limit { slot: Some(0), what, found: (1 << 22) + 2, max: 1 << 22 };
    assert_eq!(verdict, Err(expected));
    // A key of another kind opens all the same.
    slots.extend(
        Recipients::new().wrapping_key(WrappingKey::from_bytes([9; 32])).wrap(&stream_key(), &HEAD).unwrap(),
    );
    assert!(identities.unwrap(&slots, &HEAD, &mut |_| true).is_ok());
}

#[test]
fn a_slot_that_is_refused_for_its_own_factor_does_not_count_against_the_others() {
    let identities = Identities::new().passphrase(SecretString::from("correct horse"));
    let passphrase = Recipients::new()
        .passphrase_with_work_factor(SecretString::from("correct horse"), 1)
        .unwrap()
        .wrap(&stream_key(), &HEAD)
        .unwrap();
    let slots = [passphrase_slots(&[21, 63]), passphrase].concat();
    assert!(identities.unwrap(&slots, &HEAD, &mut |_| true).is_ok());
}

#[test]
fn a_writer_asks_for_no_more_scrypt_than_a_reader_does() {
    let with = |factors: &[u8]| {
        factors.iter().fold(Recipients::new(), |recipients, factor| {
            recipients.passphrase_with_work_factor(SecretString::from("correct horse"), *factor).unwrap()
        })
    };
    let refused = with(&[20, 20, 20, 20, 1]).wrap(&stream_key(), &HEAD).unwrap_err();
    assert!(matches!(refused, KeyError::TooMany { max: 0x40_0000, .. }), "{refused}");
    assert_eq!(with(&[1; SLOT_COUNT_MAX]).wrap(&stream_key(), &HEAD).unwrap().len(), SLOT_COUNT_MAX);
}

#[test]
fn who_has_cancelled_waits_for_one_slot_at_most() {
    let slots = passphrase_slots(&[1; 5]);
    let identities = Identities::new().passphrase(SecretString::from("correct horse"));
    for slots_tried in 0..5 {
        let asked = std::cell::Cell::new(0);
        let cancelled = || asked.replace(asked.get() + 1) == slots_tried;
        let verdict = identities.unwrap_unless(&slots, &HEAD, &mut |_| true, &cancelled).map(|_| ());
        assert_eq!((verdict, asked.get()), (Err(UnwrapError::Cancelled), slots_tried + 1));
    }
    let verdict = identities.unwrap_unless(&slots, &HEAD, &mut |_| true, &|| false).map(|_| ());
    assert!(matches!(verdict, Err(UnwrapError::NoKey { slots: 5, .. })), "{verdict:?}");
}

/// An age file that nobody can open, before one that a key file opens.
fn assert_faulty_only_to_whom_tries_it(faulty: &SealedSlot) {
    let key = || WrappingKey::from_bytes([9; 32]);
    let good = Recipients::new().wrapping_key(key()).wrap(&stream_key(), &HEAD).unwrap();
    let both = [vec![faulty.clone()], good].concat();
    let identity = Identity::generate().file_text("today").unwrap();
    let person = || Identities::new().identity_file(identity.as_bytes()).unwrap();
    let verdict = |identities: Identities, slots: &[SealedSlot]| {
        identities.unwrap(slots, &HEAD, &mut |_| true).map(|_| ())
    };
    assert_eq!(check_slots(&both), Ok(()));
    assert_eq!(verdict(Identities::new().wrapping_key(key()), &both), Ok(()));
    assert_eq!(verdict(person().wrapping_key(key()), &both), Ok(()));
    let tried = verdict(person(), std::slice::from_ref(faulty));
    assert!(matches!(tried, Err(UnwrapError::Malformed { slot: 0, .. })), "{tried:?}");
    let untried = verdict(Identities::new().wrapping_key(key()), std::slice::from_ref(faulty));
    assert!(matches!(untried, Err(UnwrapError::NoKey { slots: 1, .. })), "{untried:?}");
}

#[test]
fn an_age_file_that_is_cut_behind_its_header_is_a_fault_of_its_slot_alone() {
    let mut slot = age_slot(&stanzas(1));
    for left in [0, 15] {
        slot.body.truncate(slot.body.len() - (16 + 48) + left);
        assert_faulty_only_to_whom_tries_it(&slot);
        slot = age_slot(&stanzas(1));
    }
}

#[test]
fn a_passphrase_beside_other_recipients_is_a_fault_of_its_slot_alone() {
    let passphrase = format!("-> scrypt {} 1\n{}\n", "A".repeat(22), "A".repeat(43));
    for stanzas in [passphrase.clone() + &stanzas(1), stanzas(1) + &passphrase, passphrase.repeat(2)] {
        assert_faulty_only_to_whom_tries_it(&age_slot(&stanzas));
    }
}

#[test]
fn a_key_that_opens_is_not_refused_for_a_neighbours_work_factor() {
    let stanza = format!("-> scrypt {} 21\n{}\n", "A".repeat(22), "A".repeat(43));
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes([9; 32]));
    let mut slots = vec![age_slot(&stanza)];
    slots.extend(recipients.wrap(&stream_key(), &HEAD).unwrap());
    let identities = Identities::new()
        .passphrase(SecretString::from("correct horse"))
        .wrapping_key(WrappingKey::from_bytes([9; 32]));
    assert!(identities.unwrap(&slots, &HEAD, &mut |_| true).is_ok());
}

#[test]
fn a_wrapped_key_is_80_bytes_and_no_other_length() {
    for len in [0, 1, 79, 81, 160] {
        let verdict = check_slots(&[SealedSlot { kind: KIND_WRAPPING_KEY, body: vec![0; len] }]);
        assert!(matches!(verdict, Err(UnwrapError::Malformed { slot: 0, .. })), "{len} bytes: {verdict:?}");
    }
    assert_eq!(check_slots(&[SealedSlot { kind: KIND_WRAPPING_KEY, body: vec![0; 80] }]), Ok(()));
}

#[test]
fn an_external_keys_name_has_1_to_255_bytes_of_utf_8() {
    let check = |body: &[u8]| check_slots(&[SealedSlot { kind: KIND_EXTERNAL, body: body.to_vec() }]);
    let named = |len: u16| [&len.to_le_bytes()[..], &vec![b'k'; usize::from(len)]].concat();
    for body in [&named(1), &named(255), &b"\x01\0kciphertext".to_vec()] {
        assert_eq!(check(body), Ok(()));
    }
    for body in
        [&b""[..], b"\x01", b"\x00\0", b"\x02\0k", b"\x01\0\xff", b"\xff\0k", b"\xff\xff", b"\xff\xffabc"]
    {
        let verdict = check(body);
        assert!(matches!(verdict, Err(UnwrapError::Malformed { slot: 0, .. })), "{body:?}: {verdict:?}");
    }
    for body in [&named(256), &named(u16::MAX)] {
        let verdict = check(body);
        assert!(matches!(verdict, Err(UnwrapError::Limit { slot: Some(0), .. })), "{verdict:?}");
    }
    assert!(Recipients::new().external("", b"").is_err());
    assert!(Recipients::new().external(&"k".repeat(EXTERNAL_NAME_LEN_MAX), b"").is_ok());
    assert!(Recipients::new().external(&"k".repeat(EXTERNAL_NAME_LEN_MAX + 1), b"").is_err());
}

#[test]
fn an_age_slot_that_is_no_age_file_is_malformed() {
    for body in ["", "age-encryption.org/v1\n", "age-encryption.org/v2\n-> x\n\n--- x\n", "\n-> X25519"] {
        let verdict = check_slots(&[SealedSlot { kind: KIND_AGE, body: body.into() }]);
        assert!(matches!(verdict, Err(UnwrapError::Malformed { slot: 0, .. })), "{body:?}: {verdict:?}");
    }
}

#[test]
fn a_slot_full_of_short_lines_is_malformed() {
    // Parsed line by line this would take half a minute.
    let short_lines = format!("-> someone\n{}", "A\n".repeat(120_000));
    let verdict = check_slots(&[age_slot(&short_lines)]);
    assert!(matches!(verdict, Err(UnwrapError::Malformed { slot: 0, .. })), "{verdict:?}");
}

/// A syntactically right age file with these stanzas and a MAC that nobody has computed.
fn age_slot(stanzas: &str) -> SealedSlot {
    let body = format!("age-encryption.org/v1\n{stanzas}--- {}\n{}", "A".repeat(43), "n".repeat(16 + 48));
    SealedSlot { kind: KIND_AGE, body: body.into() }
}

fn stanzas(count: usize) -> String {
    "-> someone\n\n".repeat(count)
}

fn stream_key() -> StreamKey {
    StreamKey::from_bytes([0xc5; 32])
}

const HEAD: [u8; 80] = [0x3a; 80];
