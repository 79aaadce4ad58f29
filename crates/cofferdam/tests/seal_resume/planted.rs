//! What an attacker puts beside an output: he knows the recipient and the input's length and time, and can write there.
//! Refuses to know how the sealer finds out; nothing of his may be in what is published, or be called sealed.

use std::fs;
use std::path::PathBuf;

use cofferdam::{ErrorKind, IfExists, OnPartial, Recipients, Remedy, Sealer, WrappingKey};

use crate::place::{Left, Place, put_private};
use crate::reference::{self, Key};
use crate::streams::map::segments;
use crate::streams::{self, KEY, OTHER_KEY, SEGMENT, counted, names_in, small_sealer};

/// The attacker's own sealing, of an input of the same length and time, for the victim's recipient and his own; with what
/// of the plaintext he could guess.
fn planted(victim: &Place, guessed: &[u8]) -> (Place, Left) {
    let mut plaintext = vec![0; victim.plaintext.len()];
    plaintext[..guessed.len()].copy_from_slice(guessed);
    let attacker = Place::new(plaintext);
    attacker.touch(victim.modified());
    let left = attacker.seal_until(of_attacker(), 3);
    (attacker, left)
}

fn of_attacker() -> Sealer {
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY));
    let both = recipients.wrapping_key(WrappingKey::from_bytes(OTHER_KEY));
    Sealer::new(both).frame_len(4096).segment_len(SEGMENT as u64).threads(streams::threads(2))
}

fn plant(victim: &Place, left: &Left) {
    put_private(&victim.staging(), &left.staging);
    put_private(&victim.journal(), &left.journal);
}

/// The victim's sealed stream opens with his key, holds his input, and does not open with the attacker's.
fn assert_victims(victim: &Place) {
    let sealed = victim.take_sealed();
    assert!(reference::open(&sealed, &Key::KeyFile(OTHER_KEY)).is_err());
}

#[test]
fn planted_bytes_are_not_resumed_though_all_of_them_are_the_inputs() {
    let victim = Place::new(counted(6 * SEGMENT));
    let (_attacker, left) = planted(&victim, &victim.plaintext);
    plant(&victim, &left);
    for _ in 0..2 {
        let refused = victim.seal(&small_sealer()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::JournalMismatch, "{refused:?}");
        assert!(matches!(refused.remedy(), Some(Remedy::Restart(_))), "{refused:?}");
        assert!(!victim.output().exists());
        assert_eq!(names_in(victim.states.path()), Vec::<PathBuf>::new());
    }
    assert_eq!(victim.seal(&small_sealer().on_partial(OnPartial::Discard)).unwrap().resumed_bytes, 0);
    assert_victims(&victim);
}

#[test]
fn planted_bytes_in_place_of_our_own_are_not_resumed_and_a_new_stream_is_sealed() {
    let victim = Place::new(counted(6 * SEGMENT));
    let own = victim.seal_until(small_sealer(), 3);
    let (_attacker, left) = planted(&victim, &victim.plaintext);
    plant(&victim, &left);
    assert_eq!(victim.seal(&small_sealer()).unwrap().resumed_bytes, 0);
    let sealed = fs::read(victim.output()).unwrap();
    assert!(sealed[..128] != own.staging[..128] && sealed[..128] != left.staging[..128]);
    assert_victims(&victim);
}

#[test]
fn a_planted_tail_behind_our_own_segments_is_not_resumed() {
    let victim = Place::new(counted(6 * SEGMENT));
    let own = victim.seal_until(small_sealer(), 6);
    let (_attacker, left) = planted(&victim, &victim.plaintext);
    for kept in 1..=3 {
        let end = segments(&own.staging)[kept - 1].end;
        let mut mixed = own.clone();
        mixed.staging.truncate(end);
        mixed.staging.extend(&left.staging[end..]);
        victim.put(&mixed);
        assert_eq!(victim.seal(&small_sealer()).unwrap().resumed_bytes, (kept * SEGMENT) as u64);
        assert_victims(&victim);
    }
}

#[test]
fn a_planted_journal_alone_is_refused_or_nothing() {
    let victim = Place::new(counted(4 * SEGMENT));
    let (_attacker, left) = planted(&victim, &[]);
    put_private(&victim.journal(), &left.journal);
    victim.seal(&small_sealer()).unwrap();
    assert_victims(&victim);
}

#[test]
fn a_state_that_someone_brings_along_does_not_serve_for_another_path() {
    let victim = Place::new(counted(6 * SEGMENT));
    let (_attacker, left) = planted(&victim, &victim.plaintext);
    let own = victim.seal_until(small_sealer(), 3);
    plant(&victim, &left);
    victim.put_state(&Left { state: left.state.clone(), ..own.clone() });
    for _ in 0..2 {
        let refused = victim.seal(&small_sealer()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::JournalMismatch, "{refused:?}");
        assert!(refused.to_string().contains("another output"), "{refused:?}");
    }
    victim.put(&own);
    assert!(victim.seal(&small_sealer()).unwrap().resumed_bytes >= 3 * SEGMENT as u64);
    assert_victims(&victim);
}

#[test]
fn a_planted_finished_output_is_not_called_sealed_with_a_journal_or_without_one() {
    for with_journal in [true, false] {
        let victim = Place::new(counted(4 * SEGMENT));
        let (attacker, left) = planted(&victim, &[]);
        attacker.seal(&of_attacker()).unwrap();
        let standing = fs::read(attacker.output()).unwrap();
        fs::write(victim.output(), &standing).unwrap();
        if with_journal {
            put_private(&victim.journal(), &left.journal);
        }
        for _ in 0..2 {
            let refused = victim.seal(&small_sealer()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::TargetExists, "{refused:?}");
            assert!(fs::read(victim.output()).unwrap() == standing);
        }
        victim.seal(&small_sealer().if_exists(IfExists::Replace)).unwrap();
        assert_victims(&victim);
    }
}

#[test]
fn a_plain_seal_does_not_take_planted_bytes_for_its_own_either() {
    let victim = Place::new(counted(4 * SEGMENT));
    let (_attacker, left) = planted(&victim, &victim.plaintext);
    plant(&victim, &left);
    let plainly = || small_sealer().seal_file(victim.input(), victim.output());
    assert_eq!(plainly().unwrap_err().kind(), ErrorKind::JournalMismatch);
    fs::remove_file(victim.journal()).unwrap();
    plainly().unwrap();
    assert_victims(&victim);
}
