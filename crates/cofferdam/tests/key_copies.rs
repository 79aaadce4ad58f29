//! Owns every pair of key copies: each in each state, one generation or two, opened, verified, verified without a key, and
//! inspected.
//! Refuses to know how a copy is judged; what is due is the table of FORMAT F5.17, written down here once more.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cofferdam::{Identities, Opener, SlotSummary, Warning, inspect};
use framing::{KeyCopy, Preamble, Slot};
use keys::{KeySchedule, StreamKey};
use sha2::{Digest, Sha256};

use streams::forge::{schedule, stream_key};
use streams::map::{Kind, ranges};
use streams::{
    FRAME, READINGS, Shared, class_of, counted, open, opener, scratch, seal, small_sealer, verify,
};

/// What a copy is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Good,
    /// Good, with a slot more than the other that is.
    Longer,
    /// Well formed and authentic, with no slot that the key opens.
    Closed,
    /// It says 17 slots: a limit.
    TooMany,
    MacWrong,
    Unusable,
}

use State::{Closed, Good, Longer, MacWrong, TooMany, Unusable};

const STATES: [State; 6] = [Good, Longer, Closed, TooMany, MacWrong, Unusable];
const GENERATIONS: [[u64; 2]; 3] = [[1, 1], [1, 2], [2, 1]];

/// A stream with these two key copies.
struct Maker {
    sealed: Vec<u8>,
    preamble: Preamble,
    schedule: KeySchedule,
    slot: Slot,
}

impl Maker {
    fn new() -> Maker {
        let sealed = seal(&small_sealer(), counted(FRAME));
        let preamble = Preamble::parse(&sealed[..4096]).unwrap();
        let copy = &sealed[ranges(&sealed, Kind::KeyCopy)[0].clone()];
        let slot = Slot { kind: 2, body: copy[40..120].to_vec() };
        Maker { schedule: schedule(&sealed, &preamble), sealed, preamble, slot }
    }

    fn mac(&self, covered: &[u8]) -> [u8; 32] {
        self.schedule.key_area_mac(&self.preamble.to_bytes(), covered)
    }

    /// FORMAT §5, the table of the key copy.
    fn copy(&self, state: State, generation: u64) -> Vec<u8> {
        let mut slots = vec![self.slot.clone()];
        match state {
            Longer => slots.push(Slot { kind: 900, body: Vec::new() }),
            Closed => slots[0].body[79] ^= 1,
            _ => {}
        }
        let len = self.preamble.key_copy_len;
        let mut copy = KeyCopy::encode(generation, &slots, len, |_| [0; 32], |_, _| [0; 32]).unwrap();
        if state == TooMany {
            copy[20] = 17;
        }
        let (mac_at, sum_at) = (copy.len() - 64, copy.len() - 32);
        let used = copy[..32 + u32::from_le_bytes(copy[16..20].try_into().unwrap()) as usize].to_vec();
        let mac = self.mac(&used);
        copy[mac_at..sum_at].copy_from_slice(&mac);
        if state == MacWrong {
            copy[mac_at] ^= 1;
        }
        let sum: [u8; 32] = Sha256::digest([&used, &copy[mac_at..sum_at]].concat()).into();
        copy[sum_at..].copy_from_slice(&sum);
        if state == Unusable {
            copy[sum_at] ^= 1;
        }
        copy
    }

    fn stream(&self, states: [State; 2], generations: [u64; 2]) -> Shared {
        let mut sealed = self.sealed.clone();
        for (number, range) in ranges(&self.sealed, Kind::KeyCopy).into_iter().enumerate() {
            sealed[range].copy_from_slice(&self.copy(states[number], generations[number]));
        }
        Shared::new(sealed)
    }
}

/// A row of the table: the class of a restore, what it warns of, and the class of a complete verification.
type Row = (&'static str, Option<Warning>, &'static str);

/// FORMAT F5.12 and F5.17.
fn due(states: [State; 2], generations: [u64; 2], has_key: bool) -> Row {
    let rank = |number: usize| (states[number] != Unusable).then_some(generations[number]);
    let (taken, other) = if rank(1) > rank(0) { (1, 0) } else { (0, 1) };
    // Without a key no slot is tried, and every MAC counts as right.
    let seen = |number: usize| match states[number] {
        Closed | MacWrong if !has_key => Good,
        state => state,
    };
    let aside = |copy: usize| Some(Warning::KeyCopyDamaged { copy: copy as u8 });
    match (seen(taken), seen(other)) {
        (Unusable, _) => ("damaged", None, "damaged"),
        (TooMany, _) => ("limit", None, "limit"),
        (Closed, _) => ("no key", None, "no key"),
        (MacWrong, Unusable | MacWrong) => ("damaged", None, "damaged"),
        (MacWrong, TooMany) => ("limit", None, "limit"),
        (MacWrong, Closed) => ("no key", None, "no key"),
        (MacWrong, Good | Longer) => ("success", aside(taken), "damaged"),
        (Good | Longer, Unusable | TooMany | MacWrong) => ("success", aside(other), "damaged"),
        // The slots of the other copy are not tried: that none of them opens is no matter.
        (Good | Longer, Good | Longer | Closed) if generations[0] != generations[1] => {
            ("success", Some(Warning::RewrapUnfinished), "success")
        }
        (Good | Longer, Good | Longer | Closed) if states[0] != states[1] => {
            ("success", aside(other), "damaged")
        }
        (Good | Longer, Good | Longer | Closed) => ("success", None, "success"),
    }
}

fn each(mut check: impl FnMut([State; 2], [u64; 2])) {
    for first in STATES {
        for second in STATES {
            GENERATIONS.iter().for_each(|&generations| check([first, second], generations));
        }
    }
}

#[test]
fn with_a_key_every_pair_of_copies_opens_warns_and_is_verified_as_the_table_says() {
    let maker = Maker::new();
    each(|states, generations| {
        let (class, warning, verified) = due(states, generations, true);
        let sealed = maker.stream(states, generations);
        for reading in READINGS {
            let what = format!("{states:?} of {generations:?}, {reading:?}");
            let opened = open(&opener(), reading, sealed.clone());
            assert_eq!(class_of(&opened), class, "{what}");
            if let Ok((restored, _)) = opened {
                assert_eq!(restored.warnings, Vec::from_iter(warning), "{what}");
            }
            assert_eq!(class_of(&verify(&opener(), reading, sealed.clone())), verified, "{what}");
        }
    });
}

#[test]
fn without_a_key_every_pair_of_copies_is_verified_as_the_table_says() {
    let maker = Maker::new();
    each(|states, generations| {
        let (_, warning, class) = due(states, generations, false);
        let sealed = maker.stream(states, generations);
        for reading in READINGS {
            let what = format!("{states:?} of {generations:?}, {reading:?}");
            let verified = verify(&Opener::keyless(), reading, sealed.clone());
            assert_eq!(class_of(&verified), class, "{what}");
            if let Ok(verified) = verified {
                assert_eq!(verified.warnings, Vec::from_iter(warning), "{what}");
            }
        }
    });
}

/// Of each copy that is usable and has well-formed slots, an inspection shows what it says of itself.
#[test]
fn an_inspection_shows_every_pair_of_copies_that_a_stream_opens_with() {
    let maker = Maker::new();
    let directory = scratch();
    let path = directory.path().join("sealed.cfd");
    let shown = |state, generation| {
        let slots = match state {
            Unusable | TooMany => return None,
            Longer => vec![SlotSummary::KeyFile, SlotSummary::Unknown(900)],
            Good | Closed | MacWrong => vec![SlotSummary::KeyFile],
        };
        Some((generation, slots))
    };
    each(|states, generations| {
        let what = format!("{states:?} of {generations:?}");
        let (class, warning, _) = due(states, generations, false);
        fs::write(&path, maker.stream(states, generations)).unwrap();
        let seen = inspect(&path);
        assert_eq!(class_of(&seen), class, "{what}");
        if let Ok(seen) = seen {
            let found = seen.key_copies.map(|copy| copy.map(|copy| (copy.generation, copy.slots)));
            assert_eq!(found, [0, 1].map(|copy| shown(states[copy], generations[copy])), "{what}");
            assert_eq!(seen.warnings, Vec::from_iter(warning), "{what}");
        }
    });
}

/// A fault of a key copy is told where the copy stands.
#[test]
fn a_fault_of_a_copy_is_told_where_that_copy_stands() {
    let maker = Maker::new();
    let at = ranges(&maker.sealed, Kind::KeyCopy).into_iter().map(|range| range.start as u64);
    let at: Vec<u64> = at.collect();
    let position = |states, generations| {
        let refused = open(&opener(), READINGS[0], maker.stream(states, generations)).unwrap_err();
        refused.position()
    };
    for state in [TooMany, Closed] {
        assert_eq!(position([state, Good], [1, 1]), Some(at[0]), "{state:?}");
        assert_eq!(position([Good, state], [1, 2]), Some(at[1]), "{state:?}");
        assert_eq!(position([MacWrong, state], [1, 1]), Some(at[1]), "{state:?}");
    }
    assert_eq!(position([Unusable, Unusable], [1, 1]), Some(at[0]));
    assert_eq!(position([MacWrong, MacWrong], [1, 1]), Some(at[0]));
}

#[test]
fn two_copies_that_are_damaged_are_told_from_two_that_are_not_authentic() {
    let maker = Maker::new();
    for (state, said) in [(Unusable, "both key copies are damaged"), (MacWrong, "no key copy is authentic")] {
        let refused = open(&opener(), READINGS[0], maker.stream([state, state], [1, 1])).unwrap_err();
        assert!(refused.to_string().starts_with(said), "{refused}");
    }
}

/// A slot may cost a question, a second, or a call over the network.
#[test]
fn the_slots_of_two_equal_copies_are_tried_once() {
    let mut maker = Maker::new();
    maker.slot = Slot { kind: 3, body: b"\x03\0kms".to_vec() };
    let key = *stream_key(&maker.sealed).expose();
    for (state, class) in [(Good, "success"), (MacWrong, "damaged")] {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        let identities = Identities::new().external(["kms"], move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(StreamKey::from_bytes(key))
        });
        let opened = open(&Opener::new(identities), READINGS[0], maker.stream([state, state], [1, 1]));
        assert_eq!((class_of(&opened), calls.load(Ordering::SeqCst)), (class, 1), "{state:?}");
    }
}
