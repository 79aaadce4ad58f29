//! Owns re-wrapping: the new keys open, the old ones do not, the data is untouched, and no cut-off locks anybody out.
//! Refuses to know the command line around it.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use std::fs;
use std::path::{Path, PathBuf};

use cofferdam::{
    BytesSource, CancelToken, ErrorKind, Identities, Identity, IfExists, Opener, RecipientChange, Recipients,
    Remedy, SecretString, SlotSummary, Warning, inspect, list_recipients, rewrap, rewrap_to,
};
use reference::KeyCopies;

use streams::{
    KEY, OTHER_KEY, READINGS, SEGMENT, Shared, class_of, counted, identities_of, names_in, open,
    recipients_of, scratch, seal, small_sealer, threads, verify,
};

/// Where the two key copies of these streams lie.
const COPIES: [usize; 2] = [4096, 8192];
const COPY_LEN: usize = 4096;
/// Where the key area ends, and the data begins.
const ORIGIN: usize = 4096 + 2 * COPY_LEN;

/// A sealed file in a directory of its own.
struct Sealed {
    directory: tempfile::TempDir,
    path: PathBuf,
}

impl Sealed {
    fn new() -> Sealed {
        let directory = scratch();
        let path = directory.path().join("sealed.cfd");
        fs::write(&path, seal(&small_sealer(), plaintext())).unwrap();
        Sealed { directory, path }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }
}

fn plaintext() -> Vec<u8> {
    counted(SEGMENT + 1)
}

/// Opens with both readers, and says what came of it.
fn class_with(key: [u8; 32], sealed: &[u8]) -> &'static str {
    let sealed = Shared::new(sealed.to_vec());
    let classes = READINGS.map(|reading| {
        let opener = Opener::new(identities_of(key)).threads(threads(1));
        let outcome = open(&opener, reading, sealed.clone());
        if let Ok((_, opened)) = &outcome {
            assert!(*opened == plaintext(), "{reading:?}");
        }
        class_of(&outcome)
    });
    assert_eq!(classes[0], classes[1]);
    classes[0]
}

fn generations(sealed: &[u8]) -> [u64; 2] {
    COPIES.map(|at| u64::from_le_bytes(sealed[at + 8..at + 16].try_into().unwrap()))
}

#[test]
fn the_new_key_opens_the_old_one_does_not_and_no_data_byte_has_changed() {
    let sealed = Sealed::new();
    let before = sealed.bytes();
    let said = rewrap(&sealed.path, &identities_of(KEY), &recipients_of(OTHER_KEY)).unwrap();
    assert_eq!((said.generation, said.slots), (2, 1));
    let after = sealed.bytes();
    assert_eq!(after.len(), before.len());
    assert!(after[..4096] == before[..4096], "the preamble");
    assert!(after[ORIGIN..] == before[ORIGIN..], "all behind the key area");
    assert!(after[COPIES[0]..COPIES[1]] == after[COPIES[1]..ORIGIN], "both copies are equal");
    assert_eq!(class_with(OTHER_KEY, &after), "success");
    assert_eq!(class_with(KEY, &after), "no key");
    let oracle = reference::open(&after, &reference::Key::KeyFile(OTHER_KEY)).unwrap();
    assert_eq!((oracle.plaintext == plaintext(), oracle.key_copies), (true, KeyCopies::Good));
    assert_eq!(names_in(sealed.directory.path()).len(), 1);
}

#[test]
fn each_rewrap_counts_one_generation_and_draws_a_new_salt() {
    let sealed = Sealed::new();
    let mut salts = std::collections::HashSet::from([sealed.bytes()[4096 + 40..4096 + 72].to_vec()]);
    let keys = [KEY, OTHER_KEY];
    for turn in 0..6 {
        let said =
            rewrap(&sealed.path, &identities_of(keys[turn % 2]), &recipients_of(keys[1 - turn % 2])).unwrap();
        assert_eq!(said.generation, turn as u64 + 2);
        assert_eq!(generations(&sealed.bytes()), [turn as u64 + 2; 2]);
        assert!(salts.insert(sealed.bytes()[4096 + 40..4096 + 72].to_vec()), "the salt of a slot came again");
    }
    assert_eq!(class_with(KEY, &sealed.bytes()), "success");
}

#[test]
fn a_key_that_does_not_open_cannot_rewrap() {
    let sealed = Sealed::new();
    let before = sealed.bytes();
    let refused = rewrap(&sealed.path, &identities_of(OTHER_KEY), &recipients_of(OTHER_KEY)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoKey);
    let refused = rewrap(&sealed.path, &identities_of(KEY), &Recipients::new()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(sealed.bytes() == before);
}

/// The numbers are of a list that somebody has looked at: between that and the change it may have become another.
#[test]
fn a_list_is_changed_only_if_it_is_the_one_that_was_looked_at() {
    let sealed = Sealed::new();
    let list = |identities: &Identities| {
        let source = BytesSource::new(sealed.bytes());
        list_recipients(source, Some(identities), &CancelToken::new()).unwrap()
    };
    let looked_at = list(&identities_of(KEY));
    assert_eq!((looked_at.generation, looked_at.recipients.len(), looked_at.is_authentic), (1, 1, true));
    let other = recipients_of(OTHER_KEY);
    let add = |generation| RecipientChange::Edit { remove: &[], add: Some(&other), generation };
    assert_eq!(rewrap(&sealed.path, &identities_of(KEY), add(Some(1))).unwrap().slots, 2);
    let before = sealed.bytes();
    for generation in [0, 1, 3] {
        let refused = rewrap(&sealed.path, &identities_of(KEY), add(Some(generation))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::SourceChanged);
    }
    assert!(sealed.bytes() == before);
    let now = list(&identities_of(OTHER_KEY));
    let opens: Vec<_> = now.recipients.iter().map(|listed| listed.opens).collect();
    assert_eq!((now.generation, opens), (2, vec![Some(false), Some(true)]));
    let remove = RecipientChange::Edit { remove: &[1], add: None, generation: Some(2) };
    rewrap(&sealed.path, &identities_of(OTHER_KEY), remove).unwrap();
    assert_eq!(
        (class_with(KEY, &sealed.bytes()), class_with(OTHER_KEY, &sealed.bytes())),
        ("no key", "success")
    );
    let oracle = reference::open(&sealed.bytes(), &reference::Key::KeyFile(OTHER_KEY)).unwrap();
    assert_eq!(oracle.key_copies, KeyCopies::Good);
}

#[test]
fn slots_that_do_not_fit_are_a_limit_and_nothing_has_changed() {
    let sealed = Sealed::new();
    let before = sealed.bytes();
    // L − 96 bytes hold the slots; a slot has a header of 8 bytes, and this kind a name with its length before it.
    let room = COPY_LEN - 96 - 8 - 2 - "kms".len();
    let too_long = recipients_of(OTHER_KEY).external("kms", &vec![0; room]).unwrap();
    let refused = rewrap(&sealed.path, &identities_of(KEY), &too_long).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Limit);
    let many = (0..17).fold(Recipients::new(), |many, key| {
        many.wrapping_key(cofferdam::WrappingKey::from_bytes([key; 32]))
    });
    assert!(rewrap(&sealed.path, &identities_of(KEY), &many).is_err());
    assert!(sealed.bytes() == before);
    let just_fits = recipients_of(OTHER_KEY).external("kms", &vec![0; room - 88]).unwrap();
    rewrap(&sealed.path, &identities_of(KEY), &just_fits).unwrap();
    assert_eq!(class_with(OTHER_KEY, &sealed.bytes()), "success");
}

#[test]
fn generations_written_by_hand_are_not_built_upon() {
    let sealed = Sealed::new();
    let mut bytes = sealed.bytes();
    for at in COPIES {
        bytes[at + 8..at + 16].copy_from_slice(&u64::MAX.to_le_bytes());
    }
    fs::write(&sealed.path, &bytes).unwrap();
    // Whoever writes a generation by hand makes both copies damaged, and those are not built upon.
    let refused = rewrap(&sealed.path, &identities_of(KEY), &recipients_of(OTHER_KEY)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged);
    assert!(sealed.bytes() == bytes);
}

/// The stream before a re-wrap, and after.
fn before_and_after() -> (Vec<u8>, Vec<u8>) {
    let sealed = Sealed::new();
    let before = sealed.bytes();
    rewrap(&sealed.path, &identities_of(KEY), &recipients_of(OTHER_KEY)).unwrap();
    (before, sealed.bytes())
}

/// The old key opens as long as the copy that is written first is not whole; from then on the new one does.
fn assert_one_key_opens(state: &[u8], first_is_whole: bool, what: &str) {
    let (opens, does_not) = if first_is_whole { (OTHER_KEY, KEY) } else { (KEY, OTHER_KEY) };
    assert_eq!(class_with(opens, state), "success", "{what}");
    assert_eq!(class_with(does_not, state), "no key", "{what}");
}

#[test]
fn a_cut_off_after_any_byte_leaves_one_whole_list_of_who_may_open() {
    let (before, after) = before_and_after();
    // A fresh stream is taken by its first copy, so the second one is written first.
    let [second, first] = COPIES;
    for written in 0..=COPY_LEN {
        let mut state = before.clone();
        state[first..first + written].copy_from_slice(&after[first..first + written]);
        // Bytes at the end that are the same in both make the copy whole earlier.
        let whole = state[first..first + COPY_LEN] == after[first..first + COPY_LEN];
        assert_one_key_opens(&state, whole, &format!("{written} bytes of the first copy are written"));
    }
    for written in 0..=COPY_LEN {
        let mut state = after.clone();
        state[second + written..second + COPY_LEN]
            .copy_from_slice(&before[second + written..second + COPY_LEN]);
        assert_one_key_opens(&state, true, &format!("{written} bytes of the second copy are written"));
    }
}

#[test]
fn a_power_cut_that_keeps_any_of_the_sectors_leaves_one_whole_list() {
    const SECTOR: usize = 512;
    let (before, after) = before_and_after();
    let [second, first] = COPIES;
    let mix = |into: &mut Vec<u8>, at: usize, kept: u32| {
        for sector in (0..COPY_LEN / SECTOR).filter(|sector| kept >> sector & 1 == 1) {
            let range = at + sector * SECTOR..at + (sector + 1) * SECTOR;
            into[range.clone()].copy_from_slice(&after[range]);
        }
    };
    for kept in 0..1 << (COPY_LEN / SECTOR) {
        let mut state = before.clone();
        mix(&mut state, first, kept);
        let whole = state[first..first + COPY_LEN] == after[first..first + COPY_LEN];
        assert_one_key_opens(&state, whole, &format!("sectors {kept:#b} of the first copy are written"));
        // The first copy was synced before the second one is touched.
        let mut state = [&before[..first], &after[first..]].concat();
        mix(&mut state, second, kept);
        assert_one_key_opens(&state, true, &format!("sectors {kept:#b} of the second copy are written"));
    }
}

#[test]
fn an_unfinished_rewrap_is_a_warning_and_running_it_again_finishes_it() {
    let (before, after) = before_and_after();
    let [second, first] = COPIES;
    let unfinished = [&before[..first], &after[first..]].concat();
    for reading in READINGS {
        let restored = verify(&Opener::new(identities_of(OTHER_KEY)), reading, unfinished.clone()).unwrap();
        assert_eq!(restored.warnings, [Warning::RewrapUnfinished], "{reading:?}");
        let keyless = verify(&Opener::keyless(), reading, unfinished.clone()).unwrap();
        assert_eq!(keyless.warnings, [Warning::RewrapUnfinished], "{reading:?}");
    }
    assert_eq!(generations(&unfinished), [1, 2]);
    let directory = scratch();
    let path = directory.path().join("sealed.cfd");
    fs::write(&path, &unfinished).unwrap();
    let said = rewrap(&path, &identities_of(OTHER_KEY), &recipients_of(OTHER_KEY)).unwrap();
    assert_eq!(said.generation, 3);
    let mended = fs::read(&path).unwrap();
    assert!(mended[second..first] == mended[first..ORIGIN]);
    for reading in READINGS {
        assert_eq!(
            verify(&Opener::new(identities_of(OTHER_KEY)), reading, mended.clone()).unwrap().warnings,
            []
        );
    }
}

#[test]
fn a_rewrap_mends_a_damaged_key_copy_and_verification_says_so() {
    for damaged in COPIES {
        let sealed = Sealed::new();
        let mut bytes = sealed.bytes();
        bytes[damaged + 100] ^= 1;
        fs::write(&sealed.path, &bytes).unwrap();
        assert_eq!(class_of(&verify(&streams::opener(), READINGS[0], bytes)), "damaged");
        rewrap(&sealed.path, &identities_of(KEY), &recipients_of(KEY)).unwrap();
        assert_eq!(class_of(&verify(&streams::opener(), READINGS[0], sealed.bytes())), "success");
    }
}

#[test]
fn two_rewraps_at_once_are_one_and_a_refusal() {
    let sealed = Sealed::new();
    let held = fs::File::open(&sealed.path).unwrap();
    held.lock().unwrap();
    let before = sealed.bytes();
    let refused = rewrap(&sealed.path, &identities_of(KEY), &recipients_of(OTHER_KEY)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TargetLocked);
    assert!(sealed.bytes() == before);
    held.unlock().unwrap();
    rewrap(&sealed.path, &identities_of(KEY), &recipients_of(OTHER_KEY)).unwrap();
}

#[test]
fn from_an_age_identity_to_a_passphrase_and_a_key_file() {
    let identity = Identity::generate();
    let secret = |text: &str| SecretString::from(text.to_owned());
    let path = |directory: &Path| directory.join("sealed.cfd");
    let directory = scratch();
    let sealer = cofferdam::Sealer::new(Recipients::new().parse(&identity.recipient()).unwrap());
    fs::write(path(directory.path()), seal(&sealer, plaintext())).unwrap();
    let by_identity = || {
        let file = identity.file_text("today").unwrap();
        Identities::new().identity_file(file.as_bytes()).unwrap()
    };
    let recipients =
        recipients_of(OTHER_KEY).passphrase_with_work_factor(secret("correct horse"), 2).unwrap();
    let said = rewrap(path(directory.path()), &by_identity(), &recipients).unwrap();
    assert_eq!(said.slots, 2);
    let bytes = fs::read(path(directory.path())).unwrap();
    let class = |identities| class_of(&open(&Opener::new(identities), READINGS[0], bytes.clone()));
    assert_eq!(class(by_identity()), "no key");
    assert_eq!(class(identities_of(OTHER_KEY)), "success");
    assert_eq!(class(Identities::new().passphrase(secret("correct horse"))), "success");
    assert_eq!(class(Identities::new().passphrase(secret("battery staple"))), "no key");
    let seen = inspect(path(directory.path())).unwrap();
    let slots = [SlotSummary::KeyFile, SlotSummary::Age(vec!["scrypt".to_owned()])];
    for copy in seen.key_copies {
        let copy = copy.unwrap();
        assert_eq!((copy.generation, &copy.slots[..]), (2, &slots[..]));
    }
}

/// Copies under `recipients` into `copy.cfd` beside the original.
fn copied(sealed: &Sealed, recipients: &Recipients) -> Result<Vec<u8>, ErrorKind> {
    let copy = sealed.directory.path().join("copy.cfd");
    let refuse = IfExists::Refuse;
    let done = rewrap_to(&sealed.path, &copy, &identities_of(KEY), recipients, refuse, &CancelToken::new());
    done.map(|_| fs::read(&copy).unwrap()).map_err(|error| error.kind())
}

/// Twelve keys to external services, with names and keys of 400 bytes: more than a copy of 4 KiB holds.
fn many_recipients() -> Recipients {
    (0..12).fold(recipients_of(OTHER_KEY), |recipients, index| {
        recipients.external_with(&format!("kms-{index}"), |_, _| Ok(vec![7; 400])).unwrap()
    })
}

#[test]
fn a_copy_has_room_for_what_the_original_has_not_and_the_same_data() {
    let sealed = Sealed::new();
    let before = sealed.bytes();
    let refused = rewrap(&sealed.path, &identities_of(KEY), &many_recipients()).unwrap_err();
    assert_eq!((refused.kind(), refused.remedy()), (ErrorKind::Limit, Some(Remedy::CopyWithRoom)));
    let copy = copied(&sealed, &many_recipients()).unwrap();
    assert!(sealed.bytes() == before, "the original is as it was");
    let len = u32::from_le_bytes(copy[112..116].try_into().unwrap()) as usize;
    assert!(len > COPY_LEN && len.is_multiple_of(4096));
    assert!(copy[..112] == before[..112] && copy[116..4096] == before[116..4096], "the preamble, but for L");
    assert!(copy[4096..4096 + len] == copy[4096 + len..4096 + 2 * len], "both copies are equal");
    assert!(copy[4096 + 2 * len..] == before[ORIGIN..], "all after the key area");
    assert_eq!(class_with(OTHER_KEY, &copy), "success");
    assert_eq!(class_with(KEY, &copy), "no key");
    // The pin does not change with the keys (FORMAT F4.6).
    let digest = |sealed: &[u8]| sealed[sealed.len() - 64..sealed.len() - 32].to_vec();
    assert_eq!(digest(&copy), digest(&before));
}

/// FORMAT F12.9: what was sealed for one recipient takes a post-quantum stanza of age, 1.7 KB, in place.
#[test]
fn a_new_stream_has_room_for_a_post_quantum_stanza() {
    let sealed = Sealed::new();
    let recipients = recipients_of(KEY).external_with("as-large-as-one", |_, _| Ok(vec![7; 1800])).unwrap();
    let said = rewrap(&sealed.path, &identities_of(KEY), &recipients).unwrap();
    assert_eq!(said.slots, 2);
    assert_eq!(said.room_bytes, COPY_LEN - 96 - (8 + 80) - (8 + 2 + "as-large-as-one".len() + 1800));
}

#[test]
fn a_copy_replaces_nothing_unasked_and_never_its_original() {
    let sealed = Sealed::new();
    let before = sealed.bytes();
    fs::write(sealed.directory.path().join("copy.cfd"), b"mine").unwrap();
    assert_eq!(copied(&sealed, &recipients_of(OTHER_KEY)), Err(ErrorKind::TargetExists));
    assert_eq!(fs::read(sealed.directory.path().join("copy.cfd")).unwrap(), b"mine");
    let same = |path: &Path| {
        let recipients = recipients_of(OTHER_KEY);
        let replace = IfExists::Replace;
        rewrap_to(&sealed.path, path, &identities_of(KEY), &recipients, replace, &CancelToken::new())
    };
    assert_eq!(same(&sealed.path).unwrap_err().kind(), ErrorKind::Usage);
    let link = sealed.directory.path().join("link.cfd");
    std::os::unix::fs::symlink(&sealed.path, &link).unwrap();
    assert_eq!(same(&link).unwrap_err().kind(), ErrorKind::Usage);
    assert!(sealed.bytes() == before);
}

#[test]
fn a_copy_that_does_not_come_to_its_end_leaves_nothing() {
    let sealed = Sealed::new();
    let names = names_in(sealed.directory.path());
    let copy = sealed.directory.path().join("copy.cfd");
    let cancel = CancelToken::new();
    cancel.cancel();
    let recipients = recipients_of(OTHER_KEY);
    let stopped = rewrap_to(&sealed.path, &copy, &identities_of(KEY), &recipients, IfExists::Refuse, &cancel);
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    let other = Identities::new();
    let shut = rewrap_to(&sealed.path, &copy, &other, &recipients, IfExists::Refuse, &CancelToken::new());
    assert_eq!(shut.unwrap_err().kind(), ErrorKind::NoKey);
    // Cut within the key area: there is no data to copy, and no key to find.
    fs::write(&sealed.path, &sealed.bytes()[..ORIGIN - 1]).unwrap();
    assert_eq!(copied(&sealed, &recipients), Err(ErrorKind::Truncated));
    assert_eq!(names_in(sealed.directory.path()), names);
}
