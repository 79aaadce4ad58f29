//! Lists who can open a stream, and changes that: those who are taken out do not open it any more, and all others are as they were.
//! That a changed age file is one says the age library, which opens it.

#![cfg(feature = "age")]
#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use keys::{
    Identities, Identity, KeyError, ListedRecipient, RecipientKind, Recipients, SLOT_COUNT_MAX, SealedSlot,
    SecretString, StreamKey, WrappingKey, check_slots, list_recipients,
};

const HEAD: [u8; 80] = [0x3a; 80];
const KEY: [u8; 32] = [0xc5; 32];
const FILE: [u8; 32] = [9; 32];

/// Anna and Ben share an age file; then come a key file, a service and a passphrase: numbers 1 to 5.
struct Everybody {
    anna: Identity,
    ben: Identity,
    slots: Vec<SealedSlot>,
}

impl Everybody {
    fn new() -> Everybody {
        let [anna, ben] = [(); 2].map(|()| Identity::generate());
        let recipients = recipients(&[&anna, &ben])
            .passphrase_with_work_factor(SecretString::from("correct horse"), 1)
            .unwrap()
            .external_with("kms", |_, key| Ok(key.expose().iter().map(|byte| byte ^ 0x55).collect()))
            .unwrap()
            .wrapping_key(WrappingKey::from_bytes(FILE));
        let slots = recipients.wrap(&stream_key(), &HEAD).unwrap();
        Everybody { anna, ben, slots }
    }

    /// What can be opened with each of the five, in the order of their numbers.
    fn opened(&self, slots: &[SealedSlot]) -> [bool; 5] {
        check_slots(slots).unwrap();
        [of(&self.anna), of(&self.ben), of_file(), of_service(), of_passphrase()]
            .map(|identities| identities.unwrap(slots, &HEAD, &mut is_right).is_ok())
    }
}

fn recipients(of: &[&Identity]) -> Recipients {
    of.iter().fold(Recipients::new(), |all, one| all.parse(&one.recipient()).unwrap())
}

fn of(identity: &Identity) -> Identities {
    Identities::new().identity_file(identity.file_text("today").unwrap().as_bytes()).unwrap()
}

fn of_file() -> Identities {
    Identities::new().wrapping_key(WrappingKey::from_bytes(FILE))
}

fn of_service() -> Identities {
    Identities::new().external(["kms"], |_, wrapped| {
        let bytes: Vec<u8> = wrapped.iter().map(|byte| byte ^ 0x55).collect();
        StreamKey::copy_from(&bytes).ok_or_else(|| "no key".into())
    })
}

fn of_passphrase() -> Identities {
    Identities::new().passphrase(SecretString::from("correct horse"))
}

fn stream_key() -> StreamKey {
    StreamKey::from_bytes(KEY)
}

fn is_right(key: &StreamKey) -> bool {
    key.expose() == &KEY
}

fn change(
    with: &Identities,
    slots: &[SealedSlot],
    removed: &[usize],
    added: Option<&Recipients>,
) -> Result<Vec<SealedSlot>, KeyError> {
    with.change_slots(slots, removed, added, &stream_key(), &HEAD)
}

fn marked(with: &Identities, slots: &[SealedSlot]) -> Vec<ListedRecipient> {
    let mut list = list_recipients(slots);
    with.mark_opened(slots, &mut list, &HEAD, &mut is_right, &|| false);
    list
}

#[test]
fn a_list_says_which_of_them_is_mine_and_whose_it_is_where_that_is_known() {
    let all = Everybody::new();
    let opens = |with: &Identities| marked(with, &all.slots).iter().map(|it| it.opens).collect::<Vec<_>>();
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(opens(&of(&all.anna)), [yes, no, None, None, None]);
    assert_eq!(opens(&of(&all.ben)), [no, yes, None, None, None]);
    assert_eq!(opens(&of_file()), [None, None, yes, None, None]);
    assert_eq!(
        opens(&Identities::new().wrapping_key(WrappingKey::from_bytes([8; 32]))),
        [None, None, no, None, None]
    );
    assert_eq!(opens(&of_service()), [None, None, None, yes, None]);
    assert_eq!(opens(&of_passphrase().wrapping_key(WrappingKey::from_bytes(FILE))), [no, no, yes, None, yes]);
    assert_eq!(opens(&of(&Identity::generate())), [no, no, None, None, None]);
    let named = marked(&of(&all.ben), &all.slots);
    assert_eq!(named[1].recipient.as_ref(), Some(&all.ben.recipient()));
    assert!(named.iter().enumerate().all(|(at, it)| at == 1 || it.recipient.is_none()));
}

#[test]
fn whoever_is_taken_out_does_not_open_it_and_all_others_do() {
    let all = Everybody::new();
    assert_eq!(all.opened(&all.slots), [true; 5]);
    for gone in 0_u32..32 {
        let numbers: Vec<usize> = (1..=5).filter(|number| gone >> (number - 1) & 1 == 1).collect();
        let changed = change(&of(&all.anna), &all.slots, &numbers, None);
        if gone == 31 {
            assert_eq!(changed, Err(KeyError::NoRecipients));
            continue;
        }
        let changed = changed.unwrap();
        let expected: [bool; 5] = std::array::from_fn(|at| gone >> at & 1 == 0);
        assert_eq!(all.opened(&changed), expected, "{numbers:?}");
        // Nothing else is wrapped anew.
        let others = |slots: &[SealedSlot]| {
            slots.iter().filter(|slot| slot.body.len() < 200).cloned().collect::<Vec<_>>()
        };
        assert!(others(&changed).iter().all(|slot| others(&all.slots).contains(slot)));
        assert_eq!(list_recipients(&changed).len(), 5 - numbers.len());
    }
}

#[test]
fn a_taken_out_recipient_is_taken_out_of_a_file_again_and_again() {
    let all = Everybody::new();
    let more: Vec<Identity> = (0..20).map(|_| Identity::generate()).collect();
    let mut slots = recipients(&more.iter().collect::<Vec<_>>()).wrap(&stream_key(), &HEAD).unwrap();
    for (count, gone) in more.iter().enumerate().take(19) {
        let list = marked(&of(gone), &slots);
        let number = list.iter().find(|it| it.opens == Some(true)).unwrap().number;
        slots = change(&of(&more[19]), &slots, &[number], None).unwrap();
        assert_eq!(list_recipients(&slots).len(), 19 - count);
        assert!(of(gone).unwrap(&slots, &HEAD, &mut is_right).is_err());
        assert!(of(&more[19]).unwrap(&slots, &HEAD, &mut is_right).is_ok());
    }
    drop(all);
}

#[test]
fn to_take_some_out_of_an_age_file_one_of_it_is_needed() {
    let all = Everybody::new();
    for with in [of_file(), of_passphrase(), of(&Identity::generate()), Identities::new()] {
        let refused = change(&with, &all.slots, &[1], None).unwrap_err();
        assert!(refused.to_string().contains("none of the identities given opens that"), "{refused}");
        // All of it goes without.
        let changed = change(&with, &all.slots, &[1, 2], None).unwrap();
        assert_eq!(all.opened(&changed), [false, false, true, true, true]);
    }
    let changed = change(&of(&all.ben), &all.slots, &[2], None).unwrap();
    assert_eq!(all.opened(&changed), [true, false, true, true, true]);
}

/// The identity opens the stanza, and the MAC of the header is another: somebody without the file key has changed it.
#[test]
fn a_header_that_somebody_has_changed_is_not_made_authentic() {
    let all = Everybody::new();
    let mut slots = all.slots.clone();
    let text = String::from_utf8_lossy(&slots[0].body).into_owned();
    let last = text.find("\n--- ").unwrap() + 1;
    slots[0].body.splice(last..last, *b"-> planted\n\n");
    check_slots(&slots).unwrap();
    assert!(change(&of(&all.anna), &slots, &[2], None).is_err());
    assert_eq!(marked(&of(&all.anna), &slots)[0].opens, Some(false));
}

/// Every byte of the header, changed in two ways: what is still an age file is listed, and gets no MAC that makes the change authentic.
#[test]
fn a_header_with_any_byte_changed_is_listed_and_not_made_authentic() {
    let all = Everybody::new();
    let anna = of(&all.anna);
    let header_len = {
        let body = &all.slots[0].body;
        let mac = body.windows(5).position(|window| window == b"\n--- ").unwrap() + 1;
        mac + body[mac..].iter().position(|byte| *byte == b'\n').unwrap() + 1
    };
    let mut listed = 0;
    for at in 0..header_len {
        for bit in [1, 0x20] {
            let mut slots = all.slots.clone();
            slots[0].body[at] ^= bit;
            if check_slots(&slots).is_err() {
                continue;
            }
            listed += 1;
            let list = marked(&anna, &slots);
            assert!(list.iter().all(|it| it.slot != 0 || it.opens != Some(true)), "byte {at}");
            let of_file = list.iter().filter(|it| it.slot == 0).count();
            for number in 1..=of_file {
                let changed = change(&anna, &slots, &[number], None);
                assert!(of_file == 1 || changed.is_err(), "byte {at}, number {number}");
            }
        }
    }
    assert!(listed > header_len / 2, "most changes leave an age file: {listed} of {header_len}");
}

#[test]
fn numbers_that_nobody_has_are_refused() {
    let all = Everybody::new();
    for number in [0, 6, usize::MAX] {
        let refused = change(&of(&all.anna), &all.slots, &[number], None).unwrap_err();
        assert!(refused.to_string().contains("the list of 5"), "{refused}");
    }
}

#[test]
fn those_who_are_added_open_it_and_passphrases_are_tried_last() {
    let all = Everybody::new();
    let new = Identity::generate();
    let added = recipients(&[&new]);
    let changed = change(&of_file(), &all.slots, &[], Some(&added)).unwrap();
    assert_eq!(all.opened(&changed), [true; 5]);
    assert!(of(&new).unwrap(&changed, &HEAD, &mut is_right).is_ok());
    let kinds: Vec<_> = list_recipients(&changed).into_iter().map(|it| it.kind).collect();
    assert_eq!((kinds.len(), &kinds[5]), (6, &RecipientKind::Passphrase));
    // One goes and another comes, at once: also if it is the last one.
    let alone = recipients(&[&all.anna]).wrap(&stream_key(), &HEAD).unwrap();
    let changed = change(&of(&all.anna), &alone, &[1], Some(&added)).unwrap();
    assert_eq!(all.opened(&changed), [false; 5]);
    assert!(of(&new).unwrap(&changed, &HEAD, &mut is_right).is_ok());
}

#[test]
fn no_more_slots_and_no_more_scrypt_than_the_format_has_room_for() {
    let own = || Recipients::new().wrapping_key(WrappingKey::from_bytes(FILE));
    let many = (1..SLOT_COUNT_MAX).fold(own(), |all, _| all.wrapping_key(WrappingKey::from_bytes(FILE)));
    let slots = many.wrap(&stream_key(), &HEAD).unwrap();
    let refused = change(&of_file(), &slots, &[], Some(&own())).unwrap_err();
    assert_eq!(refused, KeyError::TooMany { what: "key slots", count: 17, max: 16 });
    assert_eq!(change(&of_file(), &slots, &[3], Some(&own())).unwrap().len(), SLOT_COUNT_MAX);
}

#[cfg(feature = "ssh")]
#[test]
fn an_ssh_key_is_known_by_its_tag() {
    let public = include_str!("vectors/ssh_ed25519.pub");
    let slots = Recipients::new().parse(public.trim()).unwrap().wrap(&stream_key(), &HEAD).unwrap();
    let list = list_recipients(&slots);
    let RecipientKind::Age { stanza, tag } = &list[0].kind else { panic!("{list:?}") };
    assert_eq!((stanza.as_str(), tag), ("ssh-ed25519", &keys::ssh_tag(public)));
    for other in ["", "ssh-ed25519", "ssh-ed25519 !", &public.replace("ssh-ed25519", "ssh-dss")] {
        assert_eq!(keys::ssh_tag(other), None, "{other}");
    }
}

#[cfg(feature = "pq")]
mod post_quantum {
    use super::*;

    fn pq() -> Identity {
        Identity::try_generate_post_quantum().unwrap()
    }

    #[test]
    fn a_post_quantum_identity_opens_what_is_wrapped_for_it() {
        let [own, other] = [pq(), pq()];
        let slots = recipients(&[&own, &other]).wrap(&stream_key(), &HEAD).unwrap();
        assert_eq!(slots.len(), 1);
        for identity in [&own, &other] {
            assert!(of(identity).unwrap(&slots, &HEAD, &mut is_right).is_ok());
        }
        assert!(of(&pq()).unwrap(&slots, &HEAD, &mut is_right).is_err());
        let list = marked(&of(&other), &slots);
        assert_eq!(list[1].recipient.as_ref(), Some(&other.recipient()));
        assert!(list.iter().all(|it| it.kind.is_post_quantum() == Some(true)));
    }

    #[test]
    fn identities_of_both_kinds_stand_in_one_file() {
        let (classic, hybrid) = (Identity::generate(), pq());
        let text = format!("{}\r\n{}", *classic.file_text("a").unwrap(), *hybrid.file_text("b").unwrap());
        let both = Identities::new().identity_file(&text).unwrap();
        for identity in [&classic, &hybrid] {
            let slots = recipients(&[identity]).wrap(&stream_key(), &HEAD).unwrap();
            assert!(both.unwrap(&slots, &HEAD, &mut is_right).is_ok());
        }
        let broken = text.replace("AGE-SECRET-KEY-PQ-1", "AGE-SECRET-KEY-PQ-1X");
        let refused = Identities::new().identity_file(broken).unwrap_err();
        assert!(matches!(refused, KeyError::Unreadable { line: Some(7), .. }), "{refused}");
        let late = format!("{text}nonsense\n");
        let refused = Identities::new().identity_file(late).unwrap_err();
        assert!(refused.to_string().contains("line 8"), "{refused}");
    }

    /// They would open what the others are to protect.
    #[test]
    fn classic_recipients_stand_beside_no_post_quantum_ones() {
        let (classic, hybrid) = (Identity::generate(), pq());
        for both in [[&classic, &hybrid], [&hybrid, &classic]] {
            let refused = recipients(&both).wrap(&stream_key(), &HEAD).unwrap_err();
            assert!(refused.to_string().contains("post-quantum"), "{refused}");
        }
        // A passphrase and a key file withstand a quantum computer as well.
        let beside = recipients(&[&hybrid]).wrapping_key(WrappingKey::from_bytes(FILE));
        let slots = beside.wrap(&stream_key(), &HEAD).unwrap();
        for (slots, new) in
            [(&slots, &classic), (&recipients(&[&classic]).wrap(&stream_key(), &HEAD).unwrap(), &hybrid)]
        {
            let refused = change(&of(&hybrid), slots, &[], Some(&recipients(&[new]))).unwrap_err();
            assert!(refused.to_string().contains("replace all at once"), "{refused}");
        }
        assert!(change(&of(&hybrid), &slots, &[1], Some(&recipients(&[&classic]))).is_ok());
    }
}
