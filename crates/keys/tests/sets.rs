//! What the sets of recipients and identities say of themselves, the sizes of FORMAT §5, and what errors say.
//! Opens a slot only to see that what was added is what opens.

#![cfg(feature = "age")]
#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

#[cfg(feature = "unstable-age")]
use std::collections::HashSet;

use keys::{
    EXTERNAL_NAME_LEN_MAX, Identities, Identity, KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, KeyError,
    KeyMaterial, Recipients, SLOT_BODY_LEN_MAX, SLOT_COUNT_MAX, SLOT_HEADER_LEN, SLOTS_LEN_MAX,
    STANZA_COUNT_MAX, SecretString, StreamKey, UnwrapError, WORK_FACTOR, WORK_FACTOR_MAX, WrappingKey,
};

const HEAD: [u8; 80] = [0x3a; 80];
/// Quick to compute.
const FAST: u8 = 2;

fn stream_key() -> StreamKey {
    StreamKey::from_bytes([0xc5; 32])
}

fn passphrase() -> SecretString {
    SecretString::from("correct horse")
}

/// FORMAT §2 and §5.
#[test]
fn sizes_are_those_of_the_format() {
    assert_eq!((KIND_AGE, KIND_WRAPPING_KEY, KIND_EXTERNAL), (1, 2, 3));
    assert_eq!((SLOT_COUNT_MAX, SLOT_HEADER_LEN), (16, 8));
    assert_eq!((SLOTS_LEN_MAX, SLOT_BODY_LEN_MAX), (262_144 - 96, 262_144 - 96 - 8));
    assert_eq!((STANZA_COUNT_MAX, EXTERNAL_NAME_LEN_MAX), (256, 255));
    assert_eq!((WORK_FACTOR, WORK_FACTOR_MAX), (18, 20));
}

#[test]
fn a_set_of_recipients_is_empty_until_anyone_is_in_it() {
    assert!(Recipients::new().is_empty());
    let identity = Identity::generate();
    for recipients in [
        Recipients::new().parse(&identity.recipient()).unwrap(),
        Recipients::new().passphrase_with_work_factor(passphrase(), FAST).unwrap(),
        Recipients::new().wrapping_key(WrappingKey::from_bytes([9; 32])),
        Recipients::new().external("kms/one", b"opaque").unwrap(),
    ] {
        assert!(!recipients.is_empty());
        assert_eq!(recipients.wrap(&stream_key(), &HEAD).unwrap().len(), 1);
    }
}

#[test]
fn a_set_of_identities_is_empty_until_anything_is_in_it() {
    assert!(Identities::new().is_empty());
    let text = Identity::generate().file_text("today").unwrap();
    for identities in [
        Identities::new().identity_file(text.as_bytes()).unwrap(),
        Identities::new().passphrase(passphrase()),
        Identities::new().ask_passphrase(|| None),
        Identities::new().wrapping_key(WrappingKey::from_bytes([9; 32])),
        Identities::new().external(["kms/one"], |_, _| Err("never".into())),
    ] {
        assert!(!identities.is_empty());
    }
}

/// FORMAT §2: 16 slots, of whatever kinds.
#[test]
fn slots_of_all_kinds_count_together() {
    let with = |keys: u8, external: u8, passphrases: u8| {
        let mut recipients = Recipients::new().parse(&Identity::generate().recipient()).unwrap();
        for key in 0..keys {
            recipients = recipients.wrapping_key(WrappingKey::from_bytes([key; 32]));
        }
        for _ in 0..external {
            recipients = recipients.external("k", b"").unwrap();
        }
        for _ in 0..passphrases {
            recipients = recipients.passphrase_with_work_factor(passphrase(), FAST).unwrap();
        }
        recipients.wrap(&stream_key(), &HEAD).map(|slots| slots.len())
    };
    for (keys, external, passphrases) in [(5, 5, 5), (15, 0, 0), (0, 15, 0), (0, 0, 15), (1, 13, 1)] {
        assert_eq!(with(keys, external, passphrases), Ok(16));
    }
    for (keys, external, passphrases) in [(6, 5, 5), (5, 6, 5), (5, 5, 6), (16, 0, 0), (0, 16, 0), (0, 0, 16)]
    {
        let refused = Err(KeyError::TooMany { what: "key slots", count: 17, max: 16 });
        assert_eq!(with(keys, external, passphrases), refused);
    }
}

/// FORMAT §2: slots_len is at most L - 96, and L at most 256 KiB; each slot has a header of 8 bytes.
#[test]
fn slots_fill_a_key_area_to_its_last_byte_and_no_further() {
    let half = 131_000;
    let rest = 262_144 - 96 - 2 * 8 - 2 * 3 - half;
    let with = |rest: usize| {
        let recipients = Recipients::new().external("k", &vec![0; half]).unwrap();
        recipients.external("k", &vec![0; rest]).unwrap().wrap(&stream_key(), &HEAD)
    };
    assert_eq!(with(rest).unwrap().len(), 2);
    let refused = KeyError::TooMany { what: "bytes of key slots", count: 262_049, max: 262_048 };
    assert_eq!(with(rest + 1).unwrap_err(), refused);
}

/// A recipient that answers with stanzas of its own making, as a plugin may.
#[cfg(feature = "unstable-age")]
struct ManyStanzas(usize);

#[cfg(feature = "unstable-age")]
impl age::Recipient for ManyStanzas {
    fn wrap_file_key(
        &self,
        _: &age_core::format::FileKey,
    ) -> Result<(Vec<age_core::format::Stanza>, HashSet<String>), age::EncryptError> {
        let stanza = || age_core::format::Stanza { tag: "many".to_owned(), args: vec![], body: vec![] };
        Ok((std::iter::repeat_with(stanza).take(self.0).collect(), HashSet::new()))
    }
}

/// FORMAT §2: 256 stanzas, of which the library adds one. How many a recipient answers with is seen when it has.
#[cfg(feature = "unstable-age")]
#[test]
fn a_writer_makes_256_stanzas_and_not_more_whoever_answers_with_them() {
    let wrap = |stanzas: usize| {
        Recipients::new().recipient(Box::new(ManyStanzas(stanzas))).wrap(&stream_key(), &HEAD)
    };
    let count = |stanzas| {
        let slots = wrap(stanzas).unwrap();
        let body = String::from_utf8_lossy(&slots[0].body).into_owned();
        body.lines()
            .take_while(|line| !line.starts_with("---"))
            .filter(|line| line.starts_with("-> "))
            .count()
    };
    assert_eq!((count(1), count(255)), (2, 256));
    for stanzas in [256, 300] {
        let refused = KeyError::TooMany { what: "age stanzas", count: stanzas + 1, max: 256 };
        assert_eq!(wrap(stanzas).unwrap_err(), refused);
    }
}

#[test]
fn errors_say_what_was_given_and_what_is_wrong() {
    let unreadable = |what, line| KeyError::Unreadable { what, line, problem: "it is empty".to_owned() };
    let texts = [
        (unreadable(KeyMaterial::Recipient, None), "recipient: it is empty"),
        (unreadable(KeyMaterial::Recipient, Some(3)), "recipient, line 3: it is empty"),
        (unreadable(KeyMaterial::IdentityFile, None), "identity file: it is empty"),
        (unreadable(KeyMaterial::Passphrase, None), "passphrase: it is empty"),
        (unreadable(KeyMaterial::KeyFile, None), "key file: it is empty"),
        (unreadable(KeyMaterial::ExternalKey, None), "external key: it is empty"),
        (KeyError::TooMany { what: "key slots", count: 17, max: 16 }, "17 key slots, the format allows 16"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
    for (error, part) in [
        (KeyError::NoRecipients, "give a recipient"),
        (KeyError::Recipient { problem: "it says no".to_owned() }, "it says no"),
        (KeyError::Random { problem: "none left".to_owned() }, "none left"),
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_refusal_names_the_slot_and_says_how_many_there_are() {
    let no_key = |slots, notes: &[&str]| {
        let notes = notes.iter().map(|&note| note.to_owned()).collect();
        UnwrapError::NoKey { slots, notes }.to_string()
    };
    assert_eq!(no_key(1, &[]), "the one key slot does not open with what was given");
    assert_eq!(no_key(3, &["kms: no"]), "none of the 3 key slots opens with what was given; kms: no");
    let slot = Some(2);
    let texts = [
        (UnwrapError::Malformed { slot: 2, problem: "it is not" }, "key slot 2 is damaged: it is not"),
        (
            UnwrapError::Limit { slot, what: "age stanzas", found: 257, max: 256 },
            "key slot 2 has 257 age stanzas, at most 256 are accepted",
        ),
        (
            UnwrapError::Limit { slot: None, what: "slots", found: 17, max: 16 },
            "the key area has 17 slots, at most 16 are accepted",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
    assert!(UnwrapError::Mismatch { slot: 2 }.to_string().contains("key slot 2 opens"));
}

#[test]
fn a_wrapping_key_gives_its_bytes_and_its_digits() {
    let bytes: [u8; 32] = std::array::from_fn(|at| (at as u8).wrapping_mul(17) ^ 0x5C);
    let key = WrappingKey::from_bytes(bytes);
    assert_eq!(*key.to_bytes(), bytes);
    assert_eq!(*key.to_hex(), bytes.map(|byte| format!("{byte:02x}")).concat());
    for digits in [key.to_hex().to_string(), key.to_hex().to_uppercase()] {
        assert_eq!(*WrappingKey::parse(digits.as_bytes()).unwrap().to_bytes(), bytes);
    }
}

/// What is given in place of an identity file is named; what looks like nothing known is not.
#[test]
fn what_is_no_identity_file_is_named_by_what_it_is() {
    let said = |content: &[u8]| {
        let Err(error) = Identities::new().identity_file(content) else { panic!("{content:?} was taken") };
        assert!(matches!(error, KeyError::Unreadable { what: KeyMaterial::IdentityFile, .. }), "{error}");
        error.to_string()
    };
    let recipient = Identity::generate().recipient();
    for text in [recipient.clone(), format!("# mine\n\n  {recipient}\n"), "ssh-ed25519 AAAA me".to_owned()] {
        assert!(said(text.as_bytes()).contains("this is a recipient"), "{text}");
    }
    let digits = "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdefABCD";
    assert!(said(digits.as_bytes()).contains("this is a key file"));
    for text in [&digits[1..], &digits.replace('0', "g"), &format!("{digits}0"), "words"] {
        let said = said(text.as_bytes());
        assert!(!said.contains("this is"), "{text}: {said}");
    }
    assert!(said(b"\x89CFD\r\n\xFF").contains("this is no text"));
}
