//! States as they are found: whose they are, whether they are whole, and by which path. And two sealings at once.
//! Refuses to know what is in one.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cofferdam::{Attempt, ErrorKind, Observer, OnPartial, Progress, Remedy, Sealed, discard, leftovers};

use crate::place::{Left, Place};
use crate::streams::{SEGMENT, counted, names_in, scratch, small_sealer};

fn interrupted() -> (Place, Left) {
    let place = Place::new(counted(6 * SEGMENT));
    let left = place.seal_until(small_sealer(), 3);
    (place, left)
}

/// It is refused, twice, and nothing changes; then `mend` makes it good again, and the sealing resumes.
fn assert_refused_until(place: &Place, kind: ErrorKind, what: &str, mend: impl FnOnce()) {
    let beside = || [place.staging(), place.journal()].map(|path| fs::read(path).unwrap());
    let before = beside();
    for _ in 0..2 {
        let refused = place.seal(&small_sealer()).unwrap_err();
        assert_eq!(refused.kind(), kind, "{what}: {refused:?}");
        assert!(beside() == before && !place.output().exists(), "{what}");
    }
    mend();
    assert!(place.seal(&small_sealer()).unwrap().resumed_bytes >= 3 * SEGMENT as u64, "{what}");
    place.take_sealed();
}

#[test]
fn kept_bytes_without_their_state_are_refused_and_restart_replaces_them() {
    let (place, left) = interrupted();
    fs::remove_file(&left.state_path).unwrap();
    for _ in 0..2 {
        let refused = place.seal(&small_sealer()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::JournalMismatch);
        assert!(matches!(refused.remedy(), Some(Remedy::Restart(_))), "{refused:?}");
        assert!(fs::read(place.staging()).unwrap() == left.staging);
    }
    assert_eq!(place.seal(&small_sealer().on_partial(OnPartial::Discard)).unwrap().resumed_bytes, 0);
    assert_ne!(place.take_sealed()[..128], left.staging[..128]);
}

#[test]
fn a_state_without_kept_bytes_is_replaced_and_a_new_stream_is_sealed() {
    let (place, left) = interrupted();
    fs::remove_file(place.staging()).unwrap();
    fs::remove_file(place.journal()).unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap().resumed_bytes, 0);
    assert_ne!(place.take_sealed()[..128], left.staging[..128]);
}

#[test]
fn a_crash_before_the_first_byte_is_no_reason_to_refuse() {
    // Journal and empty staging file are there, the state is not yet.
    let (place, left) = interrupted();
    fs::write(place.staging(), b"").unwrap();
    fs::remove_file(&left.state_path).unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap().resumed_bytes, 0);
    place.take_sealed();
}

#[test]
fn a_state_that_others_could_have_written_or_read_is_not_believed() {
    for mode in [0o604, 0o602, 0o660, 0o640, 0o620, 0o666] {
        let (place, left) = interrupted();
        fs::set_permissions(&left.state_path, Permissions::from_mode(mode)).unwrap();
        assert_refused_until(&place, ErrorKind::JournalMismatch, &format!("{mode:o}"), || {
            place.put_state(&left)
        });
    }
}

#[test]
fn a_state_that_is_another_users_is_not_believed() {
    let (place, left) = interrupted();
    // Only root can give files away; for others there is nothing to try.
    if chown(&left.state_path, Some(65_534), None).is_err() {
        return;
    }
    let own = || chown(&left.state_path, Some(0), None).unwrap();
    assert_refused_until(&place, ErrorKind::JournalMismatch, "another user's", own);
}

#[test]
fn a_state_that_is_a_link_or_no_file_is_not_believed() {
    type Make = fn(&Path, &Path);
    let make: [(&str, Make); 3] = [
        ("symbolic link", |path, aside| symlink(aside, path).unwrap()),
        ("hard link", |path, aside| fs::hard_link(aside, path).unwrap()),
        ("directory", |path, _| fs::create_dir(path).unwrap()),
    ];
    for (what, make) in make {
        let (place, left) = interrupted();
        let aside = place.directory.path().join("aside");
        fs::rename(&left.state_path, &aside).unwrap();
        make(&left.state_path, &aside);
        assert_refused_until(&place, ErrorKind::JournalMismatch, what, || {
            let _ = fs::remove_file(&left.state_path);
            let _ = fs::remove_dir(&left.state_path);
            fs::rename(&aside, &left.state_path).unwrap();
        });
    }
}

#[test]
fn a_directory_that_others_can_write_is_not_used() {
    for mode in [0o720, 0o702, 0o777, 0o1777] {
        let (place, _) = interrupted();
        let set = |mode| fs::set_permissions(place.states.path(), Permissions::from_mode(mode)).unwrap();
        set(mode);
        assert_refused_until(&place, ErrorKind::Usage, &format!("{mode:o}"), || set(0o755));
    }
}

#[test]
fn a_damaged_state_is_refused_at_every_byte_and_restart_replaces_it() {
    let (place, left) = interrupted();
    for at in 0..left.state.len() {
        let mut damaged = left.clone();
        damaged.state[at] ^= 1;
        place.put_state(&damaged);
        assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::JournalMismatch, "byte {at}");
    }
    for len in [0, 1, left.state.len() - 1] {
        place.put_state(&Left { state: left.state[..len].to_vec(), ..left.clone() });
        assert_eq!(
            place.seal(&small_sealer()).unwrap_err().kind(),
            ErrorKind::JournalMismatch,
            "{len} bytes"
        );
    }
    assert_eq!(place.seal(&small_sealer().on_partial(OnPartial::Discard)).unwrap().resumed_bytes, 0);
    place.take_sealed();
}

#[test]
fn where_no_state_can_be_kept_nothing_is_begun() {
    let place = Place::new(counted(2 * SEGMENT));
    let file = place.input();
    for states in [file.join("states"), file.clone(), PathBuf::from("/proc/self/states")] {
        let refused = small_sealer().seal_file_resumable(place.input(), place.output(), &states).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Io, "{refused:?}");
        assert!(refused.remedy() == Some(Remedy::OtherStateDirectory), "{refused:?}");
        assert_eq!(names_in(place.directory.path()), [PathBuf::from("input")]);
    }
}

#[test]
fn by_whichever_way_an_output_is_named_its_state_is_found() {
    let (place, _) = interrupted();
    let elsewhere = scratch();
    let link = elsewhere.path().join("link");
    symlink(place.directory.path(), &link).unwrap();
    let name = place.directory.path().file_name().unwrap();
    let roundabout = place.directory.path().join("..").join(name).join(".").join("sealed.cfd");
    let again = |output: &Path| {
        let refused = small_sealer().digest(cofferdam::DigestKind::Sha256);
        refused.seal_file_resumable(place.input(), output, place.states.path()).unwrap_err().kind()
    };
    // It has found what is kept, and refuses another form of it.
    assert_eq!(again(&roundabout), ErrorKind::Usage);
    assert_eq!(again(&link.join("sealed.cfd")), ErrorKind::Usage);
    let sealed =
        small_sealer().seal_file_resumable(place.input(), link.join("sealed.cfd"), place.states.path());
    assert!(sealed.unwrap().resumed_bytes >= 3 * SEGMENT as u64);
    place.take_sealed();
}

#[test]
fn in_a_directory_that_was_moved_kept_bytes_have_no_state_until_it_is_moved_back() {
    let (place, _) = interrupted();
    let moved = place.directory.path().with_extension("moved");
    fs::rename(place.directory.path(), &moved).unwrap();
    let sealing = small_sealer();
    let refused =
        sealing.seal_file_resumable(moved.join("input"), moved.join("sealed.cfd"), place.states.path());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::JournalMismatch);
    fs::rename(&moved, place.directory.path()).unwrap();
    assert!(place.seal(&small_sealer()).unwrap().resumed_bytes >= 3 * SEGMENT as u64);
    place.take_sealed();
}

/// At the first progress of a sealing, tries another thing once.
struct Meanwhile<F>(Mutex<Option<F>>);

impl<F: FnOnce() + Send> Observer for Meanwhile<F> {
    fn progress(&self, _: &Progress) {
        if let Some(act) = self.0.lock().unwrap().take() {
            act();
        }
    }
}

fn seal_and_meanwhile(place: &Place, act: impl FnOnce() + Send + 'static) -> Sealed {
    let observer = Arc::new(Meanwhile(Mutex::new(Some(act))));
    place.seal(&small_sealer().observer(observer)).unwrap()
}

#[test]
fn two_sealings_of_one_output_at_once_do_not_touch_each_others_state() {
    let place = Place::new(counted(6 * SEGMENT));
    let (input, output) = (place.input(), place.output());
    let states = place.states.path().to_owned();
    seal_and_meanwhile(&place, move || {
        let before = names_in(&states);
        for on_partial in [OnPartial::Resume, OnPartial::Discard] {
            let second = small_sealer().on_partial(on_partial).seal_file_resumable(&input, &output, &states);
            assert_eq!(second.unwrap_err().kind(), ErrorKind::TargetLocked);
        }
        assert_eq!(discard(&output, Some(&states)).unwrap_err().kind(), ErrorKind::TargetLocked);
        assert_eq!(leftovers(&output, Some(&states)).unwrap().attempt, Attempt::Sealing);
        assert_eq!(names_in(&states), before);
    });
    place.take_sealed();
}

#[test]
fn two_sealings_of_two_outputs_at_once_have_a_state_each() {
    let place = Place::new(counted(6 * SEGMENT));
    let (input, states) = (place.input(), place.states.path().to_owned());
    let other = place.directory.path().join("other.cfd");
    let sealed_meanwhile = other.clone();
    seal_and_meanwhile(&place, move || {
        let mine = names_in(&states);
        small_sealer().seal_file_resumable(&input, &sealed_meanwhile, &states).unwrap();
        assert_eq!(names_in(&states), mine);
    });
    fs::remove_file(other).unwrap();
    place.take_sealed();
}

#[test]
fn a_sealing_that_fails_before_anything_is_kept_leaves_no_state() {
    let place = Place::new(counted(6 * SEGMENT));
    let token = cofferdam::CancelToken::new();
    token.cancel();
    assert_eq!(place.seal(&small_sealer().cancel(token)).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(names_in(place.directory.path()), [PathBuf::from("input")]);
    assert_eq!(names_in(place.states.path()), Vec::<PathBuf>::new());
}

#[test]
fn what_is_kept_is_shown_and_discarded_and_then_nothing_is() {
    let (place, left) = interrupted();
    let states = Some(place.states.path());
    let found = leftovers(place.output(), states).unwrap();
    assert_eq!(found.attempt, Attempt::Sealing);
    assert_eq!(found.staging, Some((place.staging(), left.staging.len() as u64)));
    assert_eq!((found.journal, found.state), (Some(place.journal()), Some(left.state_path.clone())));
    let (stream_id, input_len) = found.sealing.unwrap();
    // FORMAT §4: the stream id stands at byte 32 of the preamble.
    assert_eq!((&stream_id.0[..], input_len), (&left.staging[32..48], place.plaintext.len() as u64));
    assert_eq!(found.problems, Vec::<String>::new());
    assert!(place.left() == left);
    // Without the directory of states only what lies beside is seen.
    assert_eq!(leftovers(place.output(), None).unwrap().state, None);

    let mut removed = discard(place.output(), states).unwrap();
    let mut expected = vec![place.staging(), place.journal(), left.state_path];
    removed.sort();
    expected.sort();
    assert_eq!(removed, expected);
    assert!(leftovers(place.output(), states).unwrap().is_empty());
    assert_eq!(discard(place.output(), states).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(names_in(place.directory.path()), [PathBuf::from("input")]);
    assert_eq!(names_in(place.states.path()), Vec::<PathBuf>::new());
}

#[test]
fn discarding_removes_a_damaged_state_and_refuses_one_that_is_not_ours() {
    let (place, left) = interrupted();
    fs::set_permissions(&left.state_path, Permissions::from_mode(0o666)).unwrap();
    let states = Some(place.states.path());
    let found = leftovers(place.output(), states).unwrap();
    assert_eq!((found.sealing, found.problems.len()), (None, 1));
    assert_eq!(discard(place.output(), states).unwrap_err().kind(), ErrorKind::JournalMismatch);
    fs::set_permissions(&left.state_path, Permissions::from_mode(0o600)).unwrap();
    fs::write(&left.state_path, b"no state").unwrap();
    assert_eq!(discard(place.output(), states).unwrap().len(), 3);
}
