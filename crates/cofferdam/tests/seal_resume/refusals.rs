//! Interrupted sealings that do not go on: what is said, and that nothing is lost by it.
//! Journals that are wrong are made by the sink, as another program would.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cofferdam::{
    CancelToken, DigestKind, ErrorKind, IfExists, Kept, Observer, OnPartial, Progress, Remedy, Sealed,
    Sealer, Suite,
};
use contract::{AttemptId, Checkpoint, StreamingSink};
use local::{Opened, StagedFile};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use storage::StageOptions;

use crate::place::{Place, put_private, whole_segments};
use crate::reference::{self, Key};
use crate::streams::{self, FRAME, KEY, SEGMENT, counted, names_in, small_sealer, threads};

#[test]
fn an_input_that_changed_is_an_error_that_says_so() {
    let place = Place::new(counted(6 * SEGMENT));
    let left = place.seal_until(small_sealer(), 3);
    let times = place.modified();
    let touch = |time| place.touch(time);
    let refused = |words: &str| {
        let refused = place.seal(&small_sealer()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::SourceChanged, "{refused:?}");
        assert!(format!("{refused:?}").contains(words), "{refused:?}");
        assert_eq!(refused.remedy(), Some(Remedy::Restart(Kept::ChangedInput)), "{refused:?}");
        assert!(place.left() == left);
    };

    let longer = [&place.plaintext[..], b"more"].concat();
    fs::write(place.input(), &longer).unwrap();
    touch(times);
    refused("98308 bytes, and had 98304");

    fs::write(place.input(), &place.plaintext).unwrap();
    touch(times + Duration::from_nanos(1));
    refused("modified after");

    // Every segment that stands in the file, whole, is looked at, from its first byte to its last.
    for segment in 0..whole_segments(&left.staging) {
        for at in [0, SEGMENT / 2, SEGMENT - 1] {
            let mut changed = place.plaintext.clone();
            changed[segment * SEGMENT + at] ^= 1;
            fs::write(place.input(), &changed).unwrap();
            touch(times);
            refused("other bytes");
            assert_eq!(place.seal(&small_sealer()).unwrap_err().segment(), Some(segment as u64));
        }
    }

    fs::write(place.input(), &place.plaintext).unwrap();
    touch(times);
    place.seal(&small_sealer()).unwrap();
    place.take_sealed();
}

/// Appends to a file at the first progress.
struct Appending(PathBuf);

impl Observer for Appending {
    fn progress(&self, progress: &Progress) {
        if progress.segments == 1 {
            File::options().append(true).open(&self.0).unwrap().write_all(b"more").unwrap();
        }
    }
}

#[test]
fn of_an_input_that_changes_while_it_is_sealed_nothing_is_said_to_be_of_use() {
    let place = Place::new(counted(6 * SEGMENT));
    let refused = place.seal(&small_sealer().observer(Arc::new(Appending(place.input())))).unwrap_err();
    assert_eq!((refused.kind(), refused.resumable_bytes()), (ErrorKind::SourceChanged, None), "{refused:?}");
    let refused = place.seal(&small_sealer()).unwrap_err();
    assert!(matches!(refused.remedy(), Some(Remedy::Restart(_))), "{refused:?}");
}

#[test]
fn a_changed_input_is_sealed_anew_when_that_is_asked_for() {
    let mut place = Place::new(counted(6 * SEGMENT));
    let left = place.seal_until(small_sealer(), 3);
    place.plaintext = counted(4 * SEGMENT);
    fs::write(place.input(), &place.plaintext).unwrap();
    let sealed = place.seal(&small_sealer().on_partial(OnPartial::Discard)).unwrap();
    assert_eq!(sealed.resumed_bytes, 0);
    assert_ne!(place.take_sealed()[..128], left.staging[..128]);
}

#[test]
fn another_input_is_told_from_a_changed_one() {
    let place = Place::new(counted(6 * SEGMENT));
    place.seal_until(small_sealer(), 3);
    // The first input keeps its inode number as long as it stands.
    fs::rename(place.input(), place.directory.path().join("first")).unwrap();
    fs::write(place.input(), b"another").unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::JournalMismatch);
    // A copy that is the same in all that counts serves as well.
    fs::remove_file(place.input()).unwrap();
    fs::copy(place.directory.path().join("first"), place.input()).unwrap();
    let first = fs::metadata(place.directory.path().join("first")).unwrap();
    let copy = File::options().write(true).open(place.input()).unwrap();
    copy.set_times(FileTimes::new().set_modified(first.modified().unwrap())).unwrap();
    assert_ne!(copy.metadata().unwrap().ino(), first.ino());
    fs::remove_file(place.directory.path().join("first")).unwrap();
    place.seal(&small_sealer()).unwrap();
    place.take_sealed();
}

#[test]
fn a_stream_keeps_its_form_and_another_one_that_is_asked_for_is_refused() {
    let place = Place::new(counted(6 * SEGMENT));
    let begun = || small_sealer().suite(Suite::Aes256Gcm).digest(DigestKind::Sha256).metadata("host", "db1");
    place.seal_until(begun(), 3);
    let others = [
        begun().suite(Suite::ChaCha20Poly1305),
        begun().digest(DigestKind::Blake3),
        begun().frame_len(2 * FRAME as u32),
        begun().segment_len(2 * SEGMENT as u64),
        begun().metadata("host2", "db2"),
        small_sealer().metadata("host", "db2"),
    ];
    for other in others {
        assert_eq!(place.seal(&other).unwrap_err().kind(), ErrorKind::Usage);
    }
    // What is not said is as it was.
    let unsaid = Sealer::new(streams::recipients_of(KEY)).threads(threads(4)).memory(1 << 20);
    assert_eq!(
        place.seal(&unsaid).unwrap().segments,
        6,
        "an input of this length would be one segment otherwise"
    );
    let sealed = place.take_sealed();
    let opened = reference::open(&sealed, &Key::KeyFile(KEY)).unwrap();
    let of_caller: Vec<_> = opened.metadata.iter().filter(|(key, _)| key != b"cofferdam.file").collect();
    assert_eq!(of_caller, [&(b"host".to_vec(), b"db1".to_vec())]);
}

/// Leaves a journal with this label beside the output, as a sink of another make would.
fn leave_journal(place: &Place, attempt_id: &[u8]) {
    let attempt_id = AttemptId::new(attempt_id).unwrap();
    let Opened::Fresh(mut sink) =
        StagedFile::open(place.output(), &StageOptions::default(), &attempt_id).unwrap()
    else {
        panic!("there is something already");
    };
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, b"something").unwrap();
    sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).unwrap();
}

#[test]
fn a_journal_of_something_else_is_refused_and_kept() {
    let place = Place::new(counted(2 * SEGMENT));
    for attempt_id in [&b""[..], b"a restore, perhaps", &[7; 120], &[0; 384]] {
        leave_journal(&place, attempt_id);
        let left = [place.staging(), place.journal()].map(|path| fs::read(path).unwrap());
        let refused = place.seal(&small_sealer()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::JournalMismatch);
        assert!(matches!(refused.remedy(), Some(Remedy::Restart(_))));
        assert!([place.staging(), place.journal()].map(|path| fs::read(path).unwrap()) == left);
        place.seal(&small_sealer().on_partial(OnPartial::Discard)).unwrap();
        place.take_sealed();
    }
}

#[test]
fn a_file_that_is_no_journal_is_removed_by_no_sealing_that_was_not_told_to() {
    let place = Place::new(counted(2 * SEGMENT));
    let notes = b"somebody's notes. ".repeat(300);
    put_private(&place.journal(), &notes);
    let plainly = || small_sealer().seal_file(place.input(), place.output());
    let refusals = [
        (plainly(), Remedy::ResumeOrDiscard(Kept::NotOurs)),
        (place.seal(&small_sealer()), Remedy::Restart(Kept::Journal)),
    ];
    for (refused, remedy) in refusals {
        let refused = refused.unwrap_err();
        assert_eq!((refused.kind(), refused.remedy()), (ErrorKind::JournalMismatch, Some(remedy)));
        assert!(fs::read(place.journal()).unwrap() == notes);
    }
    place.seal(&small_sealer().on_partial(OnPartial::Discard)).unwrap();
    place.take_sealed();
}

#[test]
fn what_cannot_be_read_twice_is_refused() {
    let place = Place::new(Vec::new());
    fs::remove_file(place.input()).unwrap();
    mknodat(CWD, place.input(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(names_in(place.directory.path()), [PathBuf::from("input")]);
}

#[test]
fn an_output_that_exists_is_refused_or_replaced_as_without_an_interruption() {
    let place = Place::new(counted(4 * SEGMENT));
    place.seal_until(small_sealer(), 2);
    fs::write(place.output(), b"old").unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::TargetExists);
    assert_eq!(fs::read(place.output()).unwrap(), b"old");
    let sealed = place.seal(&small_sealer().if_exists(IfExists::Replace)).unwrap();
    assert!(sealed.resumed_bytes >= 2 * SEGMENT as u64);
    place.take_sealed();
}

#[test]
fn a_cancellation_while_the_kept_segments_are_read_loses_none_of_them() {
    let place = Place::new(counted(6 * SEGMENT));
    let left = place.seal_until(small_sealer(), 3);
    let token = CancelToken::new();
    token.cancel();
    let refused = place.seal(&small_sealer().cancel(token)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Cancelled);
    assert!(place.left() == left);
    assert!(place.seal(&small_sealer()).unwrap().resumed_bytes >= 3 * SEGMENT as u64);
    place.take_sealed();
}

/// Seals to the end, and puts the journal back as it was after the rename, before it was removed.
fn cut_off_after_the_rename(place: &Place) -> Sealed {
    let kept_name = place.directory.path().join("journal");
    let state = Arc::default();
    let observer = Keeping {
        journal: place.journal(),
        second_name: kept_name.clone(),
        states: place.states.path().into(),
        state: Arc::clone(&state),
    };
    let sealed = place.seal(&small_sealer().observer(Arc::new(observer))).unwrap();
    fs::rename(kept_name, place.journal()).unwrap();
    put_state_back(&state);
    sealed
}

/// A file and its bytes.
type KeptState = Arc<Mutex<Option<(PathBuf, Vec<u8>)>>>;

fn put_state_back(state: &KeptState) {
    let (path, bytes) = state.lock().unwrap().take().unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// At the first progress gives the journal a second name, and keeps a copy of the state.
struct Keeping {
    journal: PathBuf,
    second_name: PathBuf,
    states: PathBuf,
    state: KeptState,
}

impl Observer for Keeping {
    fn progress(&self, _: &Progress) {
        if !self.second_name.exists() {
            fs::hard_link(&self.journal, &self.second_name).unwrap();
            let state = self.states.join(&names_in(&self.states)[0]);
            let bytes = fs::read(&state).unwrap();
            *self.state.lock().unwrap() = Some((state, bytes));
        }
    }
}

#[test]
fn a_crash_between_rename_and_removal_of_the_state_comes_out_as_done() {
    let place = Place::new(counted(4 * SEGMENT));
    let sealed = cut_off_after_the_rename(&place);
    let again = place.seal(&small_sealer()).unwrap();
    let mut due = sealed;
    due.resumed_bytes = due.plaintext_len;
    assert_eq!(again, due);
    place.take_sealed();
}

#[test]
fn a_crash_after_the_journal_is_gone_and_before_the_state_is_comes_out_as_done() {
    for if_exists in [IfExists::Refuse, IfExists::Replace] {
        let place = Place::new(counted(4 * SEGMENT));
        let sealed = cut_off_after_the_rename(&place);
        fs::remove_file(place.journal()).unwrap();
        let again = place.seal(&small_sealer().if_exists(if_exists)).unwrap();
        let mut due = sealed;
        due.resumed_bytes = due.plaintext_len;
        assert_eq!(again, due);
        place.take_sealed();
    }
}

#[test]
fn a_state_whose_output_is_another_stream_is_given_up() {
    let place = Place::new(counted(4 * SEGMENT));
    let sealed = cut_off_after_the_rename(&place);
    fs::remove_file(place.journal()).unwrap();
    let other = place.seal_to_another_output();
    fs::write(place.output(), &other).unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::TargetExists);
    assert!(fs::read(place.output()).unwrap() == other);
    let anew = place.seal(&small_sealer().if_exists(IfExists::Replace)).unwrap();
    assert_ne!(anew.stream_id, sealed.stream_id);
    place.take_sealed();
}

#[test]
fn an_output_of_other_bytes_than_the_input_has_is_not_said_to_be_sealed_from_it() {
    // Of the same length and time: only reading all of it tells.
    for at in [0, 2 * SEGMENT, 4 * SEGMENT - 1] {
        let mut place = Place::new(counted(4 * SEGMENT));
        cut_off_after_the_rename(&place);
        let times = place.modified();
        place.plaintext[at] ^= 1;
        fs::write(place.input(), &place.plaintext).unwrap();
        place.touch(times);
        assert_taken_for_changed(&place, &format!("byte {at} of the input"));
    }
}

#[test]
fn what_was_published_of_an_older_input_is_not_taken_for_the_newer_one() {
    let mut place = Place::new(counted(4 * SEGMENT));
    let old = cut_off_after_the_rename(&place);
    place.plaintext = counted(3 * SEGMENT);
    fs::write(place.input(), &place.plaintext).unwrap();
    assert_eq!(place.seal(&small_sealer()).unwrap_err().kind(), ErrorKind::TargetExists);
    let new = place.seal(&small_sealer().if_exists(IfExists::Replace)).unwrap();
    assert_ne!(new.stream_id, old.stream_id);
    place.take_sealed();
}

/// What stands at the output is not believed to be what was sealed, and nothing is left beside it.
fn assert_taken_for_changed(place: &Place, what: &str) {
    let standing = fs::read(place.output()).unwrap();
    let refused = place.seal(&small_sealer()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TargetExists, "{what}: {refused:?}");
    assert!(refused.to_string().contains("not what was sealed"), "{what}: {refused:?}");
    assert!(matches!(refused.remedy(), Some(Remedy::Replace(_))), "{what}: {refused:?}");
    assert!(fs::read(place.output()).unwrap() == standing, "{what}");
    let names: Vec<_> = ["input", "sealed.cfd"].map(PathBuf::from).into();
    assert_eq!(names_in(place.directory.path()), names, "{what}");
    place.seal(&small_sealer().if_exists(IfExists::Replace)).unwrap();
    place.take_sealed();
}

#[test]
fn an_output_that_has_changed_since_it_was_put_in_place_is_not_taken_for_sealed() {
    let len = {
        let place = Place::new(counted(4 * SEGMENT));
        cut_off_after_the_rename(&place);
        fs::metadata(place.output()).unwrap().len() as usize
    };
    // The magic, a key copy, frames, the last byte.
    for at in [3, 4_100, len / 4, len / 2, len - 1] {
        let place = Place::new(counted(4 * SEGMENT));
        cut_off_after_the_rename(&place);
        let mut sealed = fs::read(place.output()).unwrap();
        sealed[at] ^= 1;
        fs::write(place.output(), sealed).unwrap();
        assert_taken_for_changed(&place, &format!("byte {at}"));
    }
    for cut in [0, 100, len / 2, len - 1] {
        let place = Place::new(counted(4 * SEGMENT));
        cut_off_after_the_rename(&place);
        File::options().write(true).open(place.output()).unwrap().set_len(cut as u64).unwrap();
        assert_taken_for_changed(&place, &format!("cut to {cut} bytes"));
    }
}

#[test]
fn a_journal_that_names_another_stream_as_published_is_not_believed() {
    let place = Place::new(counted(4 * SEGMENT));
    cut_off_after_the_rename(&place);
    // Of the same input, in the same file: only the key tells.
    let journal = fs::read(place.journal()).unwrap();
    fs::remove_file(place.journal()).unwrap();
    let inode = fs::metadata(place.output()).unwrap().ino();
    fs::write(place.output(), place.seal_to_another_output()).unwrap();
    assert_eq!(fs::metadata(place.output()).unwrap().ino(), inode);
    put_private(&place.journal(), &journal);
    assert_taken_for_changed(&place, "another stream");
}
