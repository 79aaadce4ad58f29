//! Tests of the staged file on a real file system.
//! Knows nothing of the inner parts but what their effects show.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use contract::AttemptId;
use rustix::fs::{CWD, FileType as NodeType, FlockOperation, Mode, flock, mknodat};
use storage::{Sparse, StageOptions, TargetError, TargetKind};

use super::{faulty::FaultyDisk, *};

fn replace() -> StageOptions {
    options(IfExists::Replace, None)
}

fn refuse() -> StageOptions {
    options(IfExists::Refuse, None)
}

fn options(if_exists: IfExists, expected_len: Option<u64>) -> StageOptions {
    StageOptions::default().if_exists(if_exists).expected_len(expected_len)
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn fill(sink: &StagedFile, bytes: &[u8]) {
    sink.positioned().unwrap().write_all_at(0, bytes).unwrap();
}

fn restore(path: &Path, options: &StageOptions, bytes: &[u8]) {
    let mut sink = StagedFile::create(path, options).unwrap();
    fill(&sink, bytes);
    sink.publish(bytes.len() as u64).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_target_appears_at_publish_and_nothing_else_stays() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    let mut sink = StagedFile::create(&path, &refuse()).unwrap();
    assert_eq!(scratch.names(), [".target.cofferdam-staging"]);
    assert_eq!(mode(&sink.staging_path()), 0o600);
    fill(&sink, b"new contents");
    assert!(!path.exists());
    sink.publish(12).unwrap();
    drop(sink);
    assert_eq!(scratch.names(), ["target"]);
    assert_eq!(fs::read(&path).unwrap(), b"new contents");
}

#[test]
fn a_new_target_has_the_mode_that_any_new_file_has() {
    let scratch = Scratch::new();
    restore(&scratch.at("target"), &refuse(), b"x");
    File::create(scratch.at("ordinary")).unwrap();
    assert_eq!(mode(&scratch.at("target")), mode(&scratch.at("ordinary")));
}

#[test]
fn a_replaced_target_keeps_its_mode_and_attributes_and_loses_its_contents() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    for bits in [0o400, 0o604, 0o640, 0o755, 0o666] {
        let _ = fs::remove_file(&path);
        fs::write(&path, b"old and longer than the new").unwrap();
        let attribute = rustix::fs::setxattr(&path, "user.origin", b"here", rustix::fs::XattrFlags::empty());
        fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        restore(&path, &replace(), b"new");
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), bits);
        if attribute.is_ok() {
            let mut value = [0; 8];
            let len = rustix::fs::getxattr(&path, "user.origin", &mut value[..]).unwrap();
            assert_eq!(&value[..len], b"here");
        }
    }
}

#[test]
fn a_replaced_target_keeps_its_owner_where_that_is_allowed() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    fs::write(&path, b"old").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    // Root may give files away; for everyone else the owner is the same before and after.
    let _ = std::os::unix::fs::chown(&path, Some(12_345), Some(54_321));
    let before = fs::metadata(&path).unwrap();
    restore(&path, &replace(), b"new");
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino());
}

#[test]
fn dropped_or_discarded_it_leaves_the_old_target_and_no_staging_file() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    fs::write(&path, b"old").unwrap();
    let sink = StagedFile::create(&path, &replace()).unwrap();
    fill(&sink, b"half of the n");
    drop(sink);
    assert_eq!(scratch.names(), ["target"]);
    let mut sink = StagedFile::create(&path, &replace()).unwrap();
    let writer = sink.positioned().unwrap();
    writer.write_all_at(0, b"half of the n").unwrap();
    sink.discard().unwrap();
    assert_eq!(scratch.names(), ["target"]);
    assert!(writer.write_all_at(13, b"ew").is_err());
    assert!(sink.publish(13).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn an_existing_target_is_refused_at_the_start_and_when_it_appears_before_publish() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    let mut sink = StagedFile::create(&path, &refuse()).unwrap();
    fill(&sink, b"new");
    fs::write(&path, b"appeared").unwrap();
    let Err(CommitError::NotCommitted(error)) = sink.publish(3) else { panic!("it replaced the target") };
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    drop(sink);
    assert_eq!(scratch.names(), ["target"]);
    assert_eq!(fs::read(&path).unwrap(), b"appeared");
    assert!(matches!(StagedFile::create(&path, &refuse()), Err(TargetError::Exists { .. })));
}

#[test]
fn a_file_that_stands_at_a_new_targets_name_for_a_moment_lends_it_neither_mode_nor_owner_nor_attributes() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    let mut sink = StagedFile::create(&path, &refuse()).unwrap();
    fill(&sink, b"secret");
    let before = fs::metadata(sink.staging_path()).unwrap();
    fs::write(&path, b"").unwrap();
    let _ = rustix::fs::setxattr(&path, "user.origin", b"elsewhere", rustix::fs::XattrFlags::empty());
    fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    // Root may make it another user's; for everyone else it is their own.
    let _ = std::os::unix::fs::chown(&path, Some(12_345), Some(54_321));
    let mode_due = sink.finish(6).unwrap();
    fs::remove_file(&path).unwrap();
    sink.target_dir.put(&sink.claims.staging.name, sink.claims.staging.id).unwrap();
    sink.settle(mode_due).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    File::create(scratch.at("ordinary")).unwrap();
    assert_eq!(mode(&path), mode(&scratch.at("ordinary")));
    assert!(rustix::fs::getxattr(&path, "user.origin", &mut [0; 16][..]).is_err());
}

#[test]
fn a_target_that_becomes_something_else_before_publish_is_not_replaced() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    let mut sink = StagedFile::create(&path, &replace()).unwrap();
    fill(&sink, b"new");
    mknodat(CWD, &path, NodeType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert!(matches!(sink.publish(3), Err(CommitError::NotCommitted(_))));
    assert_eq!(storage::classify(&path).unwrap(), TargetKind::Fifo);
}

#[test]
fn a_symbolic_link_is_refused_or_followed_once() {
    let scratch = Scratch::new();
    fs::create_dir(scratch.at("far")).unwrap();
    fs::write(scratch.at("far/file"), b"old").unwrap();
    symlink("far/file", scratch.at("link")).unwrap();
    symlink("nowhere", scratch.at("dangling")).unwrap();
    assert!(matches!(StagedFile::create(scratch.at("link"), &refuse()), Err(TargetError::Symlink { .. })));
    let dangling = scratch.at("dangling");
    assert!(matches!(StagedFile::create(&dangling, &replace()), Err(TargetError::DanglingLink { .. })));

    let mut sink = StagedFile::create(scratch.at("link"), &replace()).unwrap();
    // The link is turned elsewhere meanwhile: it is not asked again.
    fs::remove_file(scratch.at("link")).unwrap();
    symlink("victim", scratch.at("link")).unwrap();
    fill(&sink, b"new");
    sink.publish(3).unwrap();
    assert_eq!(fs::read(scratch.at("far/file")).unwrap(), b"new");
    assert!(!scratch.at("victim").exists());
    assert!(scratch.at("link").is_symlink());
}

#[test]
fn what_is_not_a_file_is_refused_and_named() {
    let scratch = Scratch::new();
    mknodat(CWD, scratch.at("fifo"), NodeType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(scratch.at("socket")).unwrap();
    let cases = [
        (scratch.at("fifo"), TargetKind::Fifo),
        (scratch.at("socket"), TargetKind::Socket),
        (scratch.at(""), TargetKind::Directory),
        (scratch.at("new/"), TargetKind::Directory),
        (scratch.at(".."), TargetKind::Directory),
        ("/".into(), TargetKind::Directory),
        ("".into(), TargetKind::Directory),
        ("/dev/null".into(), TargetKind::CharacterDevice),
    ];
    for (path, expected) in cases {
        match StagedFile::create(&path, &replace()) {
            Err(TargetError::NotAFile { kind, .. }) => assert_eq!(kind, expected, "{}", path.display()),
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    assert_eq!(scratch.names(), ["fifo", "socket"]);
}

#[test]
fn a_missing_directory_and_one_where_no_file_can_be_made_are_refused() {
    let scratch = Scratch::new();
    let missing = StagedFile::create(scratch.at("missing/target"), &refuse()).unwrap_err();
    assert!(matches!(missing, TargetError::NoDirectory { .. }), "{missing}");
    #[cfg(target_os = "linux")]
    {
        let error = StagedFile::create(Path::new("/sys/target"), &refuse()).unwrap_err();
        assert!(matches!(error, TargetError::NotWritable { .. }), "{error}");
    }
}

#[test]
fn more_than_the_file_system_holds_is_refused_before_anything_is_made() {
    let scratch = Scratch::new();
    let whole = rustix::fs::statvfs(scratch.0.path()).unwrap();
    let expected_len = Some(whole.f_blocks * whole.f_frsize + 1);
    let options = options(IfExists::Refuse, expected_len).sparse(Sparse::Never);
    let error = StagedFile::create(scratch.at("target"), &options).unwrap_err();
    // With the room that is free: it was asked for before any was taken.
    assert!(matches!(error, TargetError::NoRoom { free: Some(_), .. }), "{error}");
    assert!(scratch.names().is_empty());
}

#[test]
fn a_length_that_turns_out_otherwise_leaves_no_trace() {
    let scratch = Scratch::new();
    for (name, expected_len, len) in [("less", 1 << 20, 5_000), ("more", 10, 5_000), ("none", 1 << 20, 0)] {
        let options = options(IfExists::Refuse, Some(expected_len));
        let sink = StagedFile::create(scratch.at(name), &options).unwrap();
        assert_eq!(fs::metadata(sink.staging_path()).unwrap().len(), 0);
        drop(sink);
        restore(&scratch.at(name), &options, &vec![7; len]);
        let metadata = fs::metadata(scratch.at(name)).unwrap();
        assert_eq!(metadata.len(), len as u64);
        // Blocks of 512 bytes: what was taken beyond the end has been given back.
        assert!(metadata.blocks() * 512 <= 64 << 10, "{name}: {} blocks", metadata.blocks());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_immutable_target_or_directory_is_refused_where_the_mark_can_be_set() {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

    let scratch = Scratch::new();
    fs::create_dir(scratch.at("sub")).unwrap();
    fs::write(scratch.at("sub/target"), b"old").unwrap();
    for (marked, target) in [("sub/target", "sub/target"), ("sub", "sub/target"), ("sub", "sub/new")] {
        let file = File::open(scratch.at(marked)).unwrap();
        for checkpoint in [IFlags::IMMUTABLE, IFlags::APPEND] {
            // Only root may, and not on every file system.
            let Ok(flags) = ioctl_getflags(&file) else { return };
            if ioctl_setflags(&file, flags | checkpoint).is_err() {
                return;
            }
            let created = StagedFile::create(scratch.at(target), &replace());
            ioctl_setflags(&file, flags).unwrap();
            assert!(matches!(created, Err(TargetError::Immutable { .. })), "{marked}: {created:?}");
        }
    }
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_done() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    let first = StagedFile::create(&path, &replace()).unwrap();
    fill(&first, b"first");
    let error = StagedFile::create(&path, &replace()).unwrap_err();
    assert!(matches!(error, TargetError::Held { .. }), "{error}");
    assert!(first.staging_path().exists());
    drop(first);
    restore(&path, &replace(), b"second");
    assert_eq!(fs::read(&path).unwrap(), b"second");
}

#[test]
fn a_stale_staging_file_is_removed_and_never_built_upon() {
    let scratch = Scratch::new();
    let stale = scratch.at(".target.cofferdam-staging");
    fs::write(&stale, b"left by a crash, and longer than what follows").unwrap();
    let held = File::open(&stale).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    assert!(matches!(StagedFile::create(scratch.at("target"), &refuse()), Err(TargetError::Held { .. })));
    // Closed alone, it would stay locked for as long as a process that another test just starts has it open, too.
    flock(&held, FlockOperation::Unlock).unwrap();
    restore(&scratch.at("target"), &refuse(), b"new");
    assert_eq!(fs::read(scratch.at("target")).unwrap(), b"new");
    assert_eq!(scratch.names(), ["target"]);
}

#[test]
fn what_stands_at_the_staging_name_and_is_not_ours_is_left_alone() {
    let scratch = Scratch::new();
    let staging = scratch.at(".target.cofferdam-staging");
    fs::write(scratch.at("victim"), b"precious").unwrap();
    let in_the_way = |what: &str| {
        let error = StagedFile::create(scratch.at("target"), &refuse()).unwrap_err();
        assert!(matches!(error, TargetError::InTheWay { .. }), "{what}: {error}");
    };
    symlink("victim", &staging).unwrap();
    in_the_way("symlink");
    fs::remove_file(&staging).unwrap();
    fs::create_dir(&staging).unwrap();
    in_the_way("directory");
    fs::remove_dir(&staging).unwrap();
    mknodat(CWD, &staging, NodeType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    in_the_way("fifo");
    assert_eq!(fs::read(scratch.at("victim")).unwrap(), b"precious");
}

#[test]
fn a_drop_does_not_remove_what_another_writer_put_at_the_staging_name() {
    let scratch = Scratch::new();
    let sink = StagedFile::create(scratch.at("target"), &refuse()).unwrap();
    fs::remove_file(sink.staging_path()).unwrap();
    fs::write(sink.staging_path(), b"another's").unwrap();
    drop(sink);
    assert_eq!(scratch.names(), [".target.cofferdam-staging"]);
}

#[test]
fn of_writers_that_race_for_a_target_one_at_a_time_holds_it() {
    race(|_| Attempt::Plain);
}

#[test]
fn of_writers_with_a_journal_that_race_for_a_target_one_at_a_time_holds_it() {
    race(|_| Attempt::Journalled);
}

#[test]
fn of_writers_with_and_without_a_journal_that_race_for_a_target_one_at_a_time_holds_it() {
    race(|writer| if writer.is_multiple_of(2) { Attempt::Plain } else { Attempt::Journalled });
}

/// How a writer that races opens its sink.
#[derive(Clone, Copy)]
enum Attempt {
    Plain,
    Journalled,
}

impl Attempt {
    fn open(self, path: &Path) -> Result<StagedFile, TargetError> {
        match self {
            Self::Plain => StagedFile::create(path, &replace()),
            Self::Journalled => {
                match StagedFile::open(path, &replace(), &AttemptId::new(b"race").unwrap())? {
                    Opened::Fresh(sink) | Opened::Resumable { sink, .. } => Ok(sink),
                    Opened::Published(published) => panic!("{published:?}: nothing crashed behind a rename"),
                }
            }
        }
    }
}

fn race(attempt: fn(u8) -> Attempt) {
    const RACES: usize = 250;
    const WRITERS: u8 = 4;
    let scratch = Scratch::new();
    let path = scratch.at("target");
    let start = Barrier::new(WRITERS.into());
    let holders = AtomicUsize::new(0);
    // A writer that panics would leave the others at the barrier: what is wrong is returned and looked at here.
    let run = |writer: u8| {
        (0..RACES)
            .map(|race| {
                if writer == 0 && race.is_multiple_of(2) {
                    // Every other race begins with a stale file, put there while nobody holds the target.
                    fs::write(path.with_file_name(".target.cofferdam-staging"), b"stale").unwrap();
                }
                start.wait();
                let outcome = race_once(attempt(writer), &path, &holders, writer);
                start.wait();
                outcome
            })
            .collect::<Vec<_>>()
    };
    let outcomes: Vec<Vec<Outcome>> = thread::scope(|scope| {
        let run = &run;
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || run(writer))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    for race in 0..RACES {
        let outcomes: Vec<&Outcome> = outcomes.iter().map(|writer| &writer[race]).collect();
        assert!(outcomes.contains(&&Outcome::Won), "race {race} has no winner: {outcomes:?}");
        let wrong = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Wrong(_)));
        assert!(!wrong, "race {race}: {outcomes:?}");
    }
    assert_eq!(scratch.names(), ["target"]);
}

#[derive(PartialEq, Eq, Debug)]
enum Outcome {
    Won,
    Held,
    Wrong(String),
}

fn race_once(attempt: Attempt, path: &Path, holders: &AtomicUsize, writer: u8) -> Outcome {
    let mut sink = match attempt.open(path) {
        Ok(sink) => sink,
        Err(TargetError::Held { .. }) => return Outcome::Held,
        Err(error) => return Outcome::Wrong(error.to_string()),
    };
    // SeqCst: the two adds of two holders must be seen in one order by both.
    let others = holders.fetch_add(1, Ordering::SeqCst);
    let written = sink.positioned().unwrap().write_all_at(0, &[writer; 4_096]);
    holders.fetch_sub(1, Ordering::SeqCst);
    let published = sink.publish(4_096);
    let found = fs::read(path).unwrap_or_default();
    let whole = found.len() == 4_096 && found.iter().all(|byte| *byte == found[0]);
    match (others, written, published, whole) {
        (0, Ok(()), Ok(()), true) => Outcome::Won,
        wrong => Outcome::Wrong(format!("{wrong:?}")),
    }
}

#[test]
fn the_first_failed_write_is_final() {
    let scratch = Scratch::new();
    let faulty = FaultyDisk::over(scratch.0.path());
    let mut sink = StagedFile::create_in(faulty.storage(), OsStr::new("target"), &refuse()).unwrap();
    fill(&sink, b"good");
    faulty.fail_calls(faulty.calls()..faulty.calls() + 1);
    let first = sink.positioned().unwrap().write_all_at(4, b"more").unwrap_err();
    // The medium works again, and is not asked again. Whoever comes later hears of the first failure.
    let later = sink.positioned().unwrap().write_all_at(8, b"more").unwrap_err();
    assert!(later.kind() == first.kind() && later.to_string().contains(&first.to_string()), "{later}");
    let commit = sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).unwrap_err();
    assert!(commit.to_string().contains(&first.to_string()), "{commit}");
    assert!(matches!(sink.publish(4), Err(CommitError::NotCommitted(_))));
    drop(sink);
    assert!(scratch.names().is_empty());
}

#[test]
fn a_handle_that_outlives_the_publish_cannot_change_the_target() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    let mut sink = StagedFile::create(&path, &refuse()).unwrap();
    let writer = sink.positioned().unwrap();
    writer.write_all_at(0, b"good").unwrap();
    sink.publish(4).unwrap();
    assert!(writer.write_all_at(4, b"more").is_err());
    assert_eq!(fs::read(&path).unwrap(), b"good");
}

#[test]
fn a_rolled_back_segment_does_not_show_in_the_file() {
    let scratch = Scratch::new();
    let path = scratch.at("target");
    let mut sink = StagedFile::create(&path, &refuse()).unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, &[0xEE; 10_000]).unwrap();
    sink.rollback_segment().unwrap();
    sink.begin_segment(0, 0).unwrap();
    sink.write_tentative(0, &[1; 100]).unwrap();
    sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN])).unwrap();
    sink.publish(100).unwrap();
    assert_eq!(fs::read(&path).unwrap(), [1; 100]);
}

#[test]
fn other_links_to_a_replaced_file_keep_the_old_contents() {
    let scratch = Scratch::new();
    fs::write(scratch.at("target"), b"old").unwrap();
    fs::hard_link(scratch.at("target"), scratch.at("other")).unwrap();
    let reader = OpenOptions::new().read(true).open(scratch.at("target")).unwrap();
    restore(&scratch.at("target"), &replace(), b"new");
    assert_eq!(fs::read(scratch.at("other")).unwrap(), b"old");
    let mut three = [0; 3];
    reader.read_exact_at(&mut three, 0).unwrap();
    assert_eq!(&three, b"old");
}

#[test]
fn a_target_with_the_longest_name_is_staged() {
    let scratch = Scratch::new();
    let name = "n".repeat(255);
    restore(&scratch.at(&name), &refuse(), b"x");
    assert_eq!(scratch.names(), [name]);
}

#[test]
fn a_relative_name_without_a_directory_means_the_working_directory() {
    let target_dir = TargetDir::resolve(Path::new("no-such-file-here"), IfExists::Refuse).unwrap();
    assert_eq!(target_dir.directory_path(), Path::new("."));
    let here = rustix::fs::fstat(target_dir.directory().unwrap()).unwrap();
    assert_eq!(here.st_ino, fs::metadata(".").unwrap().ino());
}

/// Makes `path` belong to nobody; only root can.
fn give_to_nobody(path: &Path) {
    std::os::unix::fs::lchown(path, Some(65534), None).unwrap();
}

#[test]
fn root_is_not_led_by_what_others_put_into_a_sticky_directory() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can make the files of another user that this is about.
    }
    let directory = tempfile::tempdir().unwrap();
    let shared = directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    let ours = directory.path().join("ours");
    fs::write(&ours, "old").unwrap();
    let [file, link] = ["file", "link"].map(|name| shared.join(name));
    fs::write(&file, "bait").unwrap();
    symlink(&ours, &link).unwrap();
    for path in [&file, &link] {
        assert!(StagedFile::create(path, &replace()).is_ok(), "{}: ours", path.display());
        give_to_nobody(path);
        let refused = StagedFile::create(path, &replace()).err();
        assert!(matches!(refused, Some(TargetError::SomeoneElses { .. })), "{}: {refused:?}", path.display());
    }
    assert_eq!(fs::read(&ours).unwrap(), b"old");
}
