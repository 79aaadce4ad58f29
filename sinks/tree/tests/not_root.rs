//! Restores of trees by a user who is not root: what modes keep their owner out of.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../../crates/tree/tests/fixture/mod.rs"]
#[allow(dead_code, reason = "trees of every kind are others' to compare")]
mod fixture;
mod place;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    thread,
};

use contract::{AttemptId, CommitError, IfExists, StreamingSink};
use place::{Fixture, Memory, checkpoint, fresh, replacing, write_positioned};
use rustix::{
    fs::{Gid, Uid},
    process::geteuid,
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};
use storage::TargetError;
use tree_sink::{Attempt, Opened, Owners, Placement, TreeOptions, TreeSink, TreeSinkError};

/// Runs `act` as a user that is not root and has all of the fixture: on a thread of its own, whose user changes alone.
fn as_user(fixture: &Fixture, act: impl FnOnce() + Send) {
    if !geteuid().is_root() {
        return act();
    }
    give(fixture.scratch.path());
    thread::scope(|scope| {
        let done = scope.spawn(|| {
            let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
            set_thread_groups(&[]).unwrap();
            set_thread_res_gid(group, group, group).unwrap();
            set_thread_res_uid(user, user, user).unwrap();
            act();
        });
        done.join().unwrap();
    });
}

fn give(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

/// Nobody's, as Debian numbers it.
const USER: u32 = 65_534;

fn attempt_id() -> AttemptId {
    AttemptId::new(b"restore of tree 17").unwrap()
}

fn open(fixture: &Fixture, options: TreeOptions) -> Result<Opened, TreeSinkError> {
    let attempt = Attempt { id: &attempt_id(), is_ours: &|found| *found == attempt_id() };
    TreeSink::open(fixture.target(), &Memory(fixture.plaintext.clone()), &options, &attempt)
}

fn restore(fixture: &Fixture, options: TreeOptions) -> Result<(), CommitError> {
    let mut sink = match open(fixture, options).unwrap() {
        Opened::Fresh(sink) | Opened::Published { sink, .. } => sink,
        Opened::Resumable { mut sink, .. } => {
            sink.last_commit().unwrap();
            sink.resume_at(0, 0).unwrap();
            sink
        }
    };
    write_positioned(&sink, &fixture.plaintext, 100_000, 1);
    sink.commit_segment(&checkpoint()).unwrap();
    sink.publish(fixture.plaintext.len() as u64)
}

fn into() -> TreeOptions {
    fresh().placement(Placement::Into)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// A tree whose directories may not be written, one of them in another.
fn read_only(fixture_modes: [u32; 2]) -> Fixture {
    Fixture::of(|tree| {
        fs::create_dir_all(tree.join("d/e")).unwrap();
        for name in ["d/1", "d/e/2", "z"] {
            fs::write(tree.join(name), name).unwrap();
        }
        set_mode(&tree.join("d/e"), fixture_modes[1]);
        set_mode(&tree.join("d"), fixture_modes[0]);
    })
}

#[test]
fn a_tree_with_directories_that_may_not_be_written_is_moved_again_over_itself() {
    for modes in [[0o500, 0o555], [0o755, 0o500], [0o300, 0o100]] {
        let fixture = read_only(modes);
        as_user(&fixture, || {
            fs::create_dir(fixture.target()).unwrap();
            restore(&fixture, into()).unwrap();
            for run in 0..2 {
                restore(&fixture, into().if_exists(IfExists::Replace)).unwrap();
                let found = ["d", "d/e"].map(|name| fixture.target().join(name));
                assert_eq!(mode(&found[0]), modes[0], "run {run}");
                set_mode(&found[0], 0o700);
                assert_eq!(mode(&found[1]), modes[1], "run {run}");
                set_mode(&found[1], 0o700);
                for name in ["d/1", "d/e/2", "z"] {
                    assert_eq!(fs::read(fixture.target().join(name)).unwrap(), name.as_bytes());
                }
                set_mode(&found[1], modes[1]);
                set_mode(&found[0], modes[0]);
                assert!(!fixture.target().join(".cofferdam-journal").exists());
            }
            // Whoever removes the place wants to get into it.
            set_mode(&fixture.target().join("d"), 0o700);
            set_mode(&fixture.target().join("d/e"), 0o700);
        });
    }
}

/// As of a file that is replaced: what a group was given is not given to another one.
#[test]
fn what_was_for_another_group_is_not_passed_on_to_this_users() {
    if !geteuid().is_root() {
        return;
    }
    // By its name or its number, the group is not this user's; of the last it is.
    let files = [
        ("a", 42, 0o660, 0o600),
        ("b", 42, 0o664, 0o644),
        ("c", 42, 0o676, 0o666),
        ("d", USER, 0o660, 0o660),
    ];
    let fixture = Fixture::of(|tree| {
        for (name, group, mode, _) in files {
            fs::write(tree.join(name), name).unwrap();
            chown(tree.join(name), Some(USER), Some(group)).unwrap();
            set_mode(&tree.join(name), mode);
        }
        fs::create_dir(tree.join("directory")).unwrap();
        chown(tree.join("directory"), Some(USER), Some(42)).unwrap();
        set_mode(&tree.join("directory"), 0o775);
        chown(tree, Some(USER), Some(USER)).unwrap();
    });
    as_user(&fixture, || {
        let restored = fixture.restore(fresh());
        assert_eq!((restored.left_out.owners, restored.left_out.group_rights), (4, 4));
        for (name, _, _, expected) in files {
            assert_eq!(mode(&fixture.target().join(name)), expected, "{name}");
        }
        assert_eq!(mode(&fixture.target().join("directory")), 0o755);
        // Who says that all is to be theirs has said so of its rights.
        fs::rename(fixture.target(), fixture.scratch.path().join("first")).unwrap();
        let restored = fixture.restore(fresh().owners(Owners::Ours));
        assert_eq!((restored.left_out.owners, restored.left_out.group_rights), (0, 0));
        for (name, _, sealed, _) in files {
            assert_eq!(mode(&fixture.target().join(name)), sealed, "{name}");
        }
    });
}

/// The move stops after a directory that its owner may not even enter has been moved: the next run gets into it.
#[test]
fn a_move_that_stopped_is_brought_to_its_end_where_directories_keep_their_owner_out() {
    let fixture = Fixture::of(|tree| {
        for directory in ["a", "n"] {
            fs::create_dir(tree.join(directory)).unwrap();
            fs::write(tree.join(directory).join("1"), "one").unwrap();
            set_mode(&tree.join(directory), 0);
        }
        fs::write(tree.join("m"), "m").unwrap();
    });
    as_user(&fixture, || {
        fs::create_dir(fixture.target()).unwrap();
        let Opened::Fresh(mut sink) = open(&fixture, into()).unwrap() else { panic!("nothing was there") };
        write_positioned(&sink, &fixture.plaintext, 100_000, 1);
        sink.commit_segment(&checkpoint()).unwrap();
        fs::create_dir(fixture.target().join("m")).unwrap();
        let error = sink.publish(fixture.plaintext.len() as u64).unwrap_err();
        assert!(matches!(error, CommitError::Unknown(_)) && error.to_string().contains(" m "), "{error}");
        drop(sink);
        // As long as that is there it is refused, and nothing is as open as it would have to be for the move.
        open(&fixture, into()).unwrap_err();
        assert_eq!(mode(&fixture.target().join("a")), 0);
        fs::remove_dir(fixture.target().join("m")).unwrap();
        restore(&fixture, into()).unwrap();
        for name in ["a", "n"] {
            let directory = fixture.target().join(name);
            assert_eq!(mode(&directory), 0);
            set_mode(&directory, 0o700);
            assert_eq!(fs::read(directory.join("1")).unwrap(), b"one");
        }
        assert_eq!(fs::read(fixture.target().join("m")).unwrap(), b"m");
        assert!(!fixture.target().join(".cofferdam-journal").exists());
    });
}

/// Its attributes are set twice, in the private directory and in the target: what it lacks is one thing.
#[test]
fn what_a_directory_that_both_have_lacks_is_counted_once() {
    let fixture = read_only([0o755, 0o755]);
    as_user(&fixture, || {
        let left_out = ["", "d/e"].map(|there| {
            fs::create_dir_all(fixture.target().join(there)).unwrap();
            let Opened::Fresh(mut sink) = open(&fixture, into()).unwrap() else {
                panic!("nothing was there")
            };
            let outcome = sink.restored();
            write_positioned(&sink, &fixture.plaintext, 100_000, 1);
            sink.commit_segment(&checkpoint()).unwrap();
            sink.publish(fixture.plaintext.len() as u64).unwrap();
            fs::remove_dir_all(fixture.target()).unwrap();
            let restored = outcome.lock().clone();
            restored.unwrap().left_out
        });
        assert_eq!(left_out[0], left_out[1]);
    });
}

/// What keeps its own mode, and what is another user's, is not changed: that shows before anything is moved, with its path.
#[test]
fn a_directory_that_cannot_be_changed_is_named_before_anything_is_moved() {
    let fixture = read_only([0o755, 0o755]);
    // Of no member of its own.
    let implied = {
        let mut writer = tree::CatalogWriter::new(fixture.scratch.path()).unwrap();
        let path = tree::TreePath::parse(b"d/1").unwrap();
        let member = tree::Member::new(path, tree::EntryKind::File, 0o600);
        let mut plaintext = member.to_header().unwrap();
        writer.push(member.to_entry(plaintext.len() as u64)).unwrap();
        plaintext.extend([0; 1_024]);
        let catalog = writer.finish(plaintext.len() as u64).unwrap();
        let mut bytes = vec![0; cofferdam_io::ReadAt::len(&catalog) as usize];
        cofferdam_io::ReadAt::read_exact_at(&catalog, 0, &mut bytes).unwrap();
        plaintext.extend(bytes);
        plaintext
    };
    let refused = |plaintext: &[u8]| {
        let plaintext = Memory(plaintext.to_vec());
        let options = into().if_exists(IfExists::Replace);
        let attempt = Attempt { id: &attempt_id(), is_ours: &|found| *found == attempt_id() };
        let refused = TreeSink::open(fixture.target(), &plaintext, &options, &attempt).unwrap_err();
        assert!(
            matches!(&refused, TreeSinkError::Target(TargetError::Io { path, .. }) if *path == fixture.target().join("d")),
            "{refused}"
        );
        let left = fs::read_dir(fixture.target()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["d"]);
    };
    let directory = fixture.target().join("d");
    as_user(&fixture, || {
        fs::create_dir_all(&directory).unwrap();
        set_mode(&directory, 0o555);
        refused(&implied);
        assert_eq!(mode(&directory), 0o555);
        set_mode(&directory, 0o755);
    });
    if geteuid().is_root() {
        chown(&directory, Some(0), Some(0)).unwrap();
        set_mode(&directory, 0o777);
        let fixture = &fixture;
        thread::scope(|scope| {
            scope.spawn(|| {
                set_thread_res_uid(Uid::from_raw(USER), Uid::from_raw(USER), Uid::from_raw(USER)).unwrap();
                refused(&fixture.plaintext);
            });
        });
    }
}

/// A stranger can seal such a tree; whoever restores it gets it, and can replace it.
#[test]
fn a_root_that_its_owner_may_not_enter_comes_back_and_is_replaced() {
    for root_mode in [0, 0o400, 0o600, 0o100] {
        let fixture = Fixture::of(|tree| {
            fs::write(tree.join("f"), "f").unwrap();
            set_mode(tree, root_mode);
        });
        as_user(&fixture, || {
            for options in [fresh(), replacing()] {
                restore(&fixture, options).unwrap();
                assert_eq!(
                    (mode(&fixture.target()), fixture.beside()),
                    (root_mode, vec!["target".to_owned()])
                );
            }
            set_mode(&fixture.target(), 0o700);
            assert_eq!(fs::read(fixture.target().join("f")).unwrap(), b"f");
            set_mode(&fixture.target(), root_mode);
            // Cut off after its root had got its mode: the next run compares it, and gives it that mode again.
            let Opened::Fresh(mut sink) = open(&fixture, replacing()).unwrap() else {
                panic!("nothing was left")
            };
            write_positioned(&sink, &fixture.plaintext, 100_000, 1);
            sink.commit_segment(&checkpoint()).unwrap();
            let [target, other] = ["target", "other"].map(|name| fixture.target().with_file_name(name));
            set_mode(&target, 0o700);
            fs::rename(&target, &other).unwrap();
            fs::create_dir(&target).unwrap();
            sink.publish(fixture.plaintext.len() as u64).unwrap_err();
            drop(sink);
            fs::remove_dir(&target).unwrap();
            fs::rename(fixture.target().with_file_name(".target.cofferdam-staging"), &target).unwrap();
            set_mode(&target, root_mode);
            restore(&fixture, replacing()).unwrap();
            assert_eq!(mode(&target), root_mode);
            set_mode(&target, 0o700);
            assert_eq!(fs::read(target.join("f")).unwrap(), b"f");
        });
    }
}
