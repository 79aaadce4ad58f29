//! Restores of trees that were broken off, and run again: what is kept is a claim, and nothing that is not the tree's gets into it.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../../crates/tree/tests/fixture/mod.rs"]
mod fixture;
mod place;

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use contract::{AttemptId, CommitError, IfExists, StreamingSink};
use fixture::{difference, list};
use local::StagedFile;
use place::{Fixture, Memory, checkpoint, fresh, replacing, write_positioned};
use storage::{OnPartial, StageOptions, TargetError};
use tree_sink::{
    Attempt, Finished, OldTree, Opened, Placement, TreeOptions, TreeSink, TreeSinkError, attempt_beside,
    finish_published, remove_attempt, remove_beside,
};

const STAGING: &str = ".target.cofferdam-staging";
const JOURNAL: &str = ".target.cofferdam-journal";

/// Of one tree, and never the same twice, as those of the engine.
fn attempt_id() -> AttemptId {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    AttemptId::new(format!("restore of tree 17, attempt {number}").as_bytes()).unwrap()
}

fn is_ours(found: &AttemptId) -> bool {
    found.as_bytes().starts_with(b"restore of tree 17")
}

fn open(fixture: &Fixture, options: TreeOptions) -> Result<Opened, TreeSinkError> {
    let attempt = Attempt { id: &attempt_id(), is_ours: &is_ours };
    TreeSink::open(fixture.target(), &Memory(fixture.plaintext.clone()), &options, &attempt)
}

fn new(fixture: &Fixture, options: TreeOptions) -> TreeSink {
    match open(fixture, options).unwrap() {
        Opened::Fresh(sink) => sink,
        other => panic!("not fresh: {other:?}"),
    }
}

fn resumable(fixture: &Fixture, options: TreeOptions) -> TreeSink {
    match open(fixture, options).unwrap() {
        Opened::Resumable { sink, attempt_id: found } => {
            assert!(is_ours(&found), "{found:?}");
            sink
        }
        other => panic!("not resumable: {other:?}"),
    }
}

fn at(fixture: &Fixture, name: &str) -> PathBuf {
    fixture.target().with_file_name(name)
}

const SEGMENT_LEN: usize = 100_000;

/// Leaves what a restore that is broken off after half of the tree leaves.
fn break_off(fixture: &Fixture, options: TreeOptions) {
    let mut sink = new(fixture, options);
    let positioned = sink.positioned().unwrap();
    for (at, segment) in
        (0..).step_by(SEGMENT_LEN).zip(fixture.plaintext.chunks(SEGMENT_LEN)).take(halfway(fixture))
    {
        positioned.write_all_at(at, segment).unwrap();
        sink.commit_segment(&checkpoint()).unwrap();
    }
    drop(sink);
    assert_eq!(
        fixture.beside().iter().filter(|name| name.starts_with('.')).collect::<Vec<_>>(),
        [JOURNAL, STAGING]
    );
}

fn halfway(fixture: &Fixture) -> usize {
    fixture.plaintext.len() / SEGMENT_LEN / 2
}

/// Goes on as an engine does: what is right where it is counts, and the rest is written. Gives how many segments were right.
fn go_on(fixture: &Fixture, mut sink: TreeSink) -> usize {
    assert_eq!(sink.last_commit().unwrap(), None);
    let kept = sink.resumable().unwrap();
    assert_eq!(kept.len(), fixture.plaintext.len() as u64);
    let segments: Vec<_> = (0..).step_by(SEGMENT_LEN).zip(fixture.plaintext.chunks(SEGMENT_LEN)).collect();
    let is_right: Vec<bool> = segments
        .iter()
        .map(|(at, segment)| {
            let mut found = vec![0xaa; segment.len()];
            kept.read_exact_at(*at, &mut found).unwrap();
            found == **segment
        })
        .collect();
    let prefix = is_right.iter().take_while(|right| **right).count();
    sink.resume_at(prefix as u64, (prefix * SEGMENT_LEN).min(fixture.plaintext.len()) as u64).unwrap();
    let positioned = sink.positioned().unwrap();
    for (index, (at, segment)) in segments.iter().enumerate().skip(prefix) {
        match is_right[index] {
            true => sink.confirm_segment(index as u64, *at, segment.len() as u64).unwrap(),
            false => positioned.write_all_at(*at, segment).unwrap(),
        }
        sink.commit_segment(&checkpoint()).unwrap();
    }
    sink.publish(fixture.plaintext.len() as u64).unwrap();
    is_right.iter().filter(|right| **right).count()
}

fn assert_restored(fixture: &Fixture) {
    assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None);
    assert_eq!(fixture.beside(), ["target"]);
}

#[test]
fn a_restore_that_is_broken_off_goes_on_where_it_was() {
    let fixture = Fixture::new();
    break_off(&fixture, fresh());
    assert!(go_on(&fixture, resumable(&fixture, fresh())) >= halfway(&fixture));
    assert_restored(&fixture);
}

#[test]
fn attributes_that_were_set_are_taken_back_and_links_are_made_again() {
    let fixture = Fixture::new();
    // It fails when everything but the rename is done: the target has appeared.
    let mut sink = new(&fixture, fresh());
    write_positioned(&sink, &fixture.plaintext, SEGMENT_LEN, 2);
    sink.commit_segment(&checkpoint()).unwrap();
    fs::create_dir(fixture.target()).unwrap();
    sink.publish(fixture.plaintext.len() as u64).unwrap_err();
    drop(sink);
    fs::remove_dir(fixture.target()).unwrap();
    let staging = at(&fixture, STAGING);
    assert_eq!(
        difference(&strip_root(&fixture.tree()), &strip_root(&staging)),
        None,
        "all attributes are set"
    );
    let mut sink = resumable(&fixture, fresh());
    assert_eq!(
        difference(&strip_root(&fixture.tree()), &strip_root(&staging)),
        None,
        "before it is known whose it is"
    );
    sink.last_commit().unwrap();
    for path in list(&staging).keys().filter(|path| !path.is_empty()) {
        let path = staging.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path));
        let found = path.symlink_metadata().unwrap();
        assert!(found.is_dir() || found.is_file(), "{path:?}");
        assert_eq!(found.mode() & 0o7777, if found.is_dir() { 0o700 } else { 0o600 }, "{path:?}");
    }
    let segments = fixture.plaintext.len().div_ceil(SEGMENT_LEN);
    assert_eq!(go_on(&fixture, sink), segments, "nothing is written again");
    assert_restored(&fixture);
}

/// A tree without what its root is given last.
fn strip_root(tree: &Path) -> fixture::Listing {
    list(tree).into_iter().filter(|(path, _)| !path.is_empty()).collect()
}

#[test]
fn what_is_wrong_longer_shorter_or_gone_is_written_again_and_what_is_of_others_goes() {
    let fixture = Fixture::new();
    break_off(&fixture, fresh());
    let right = go_on(&fixture, resumable(&fixture, fresh()));
    fs::remove_dir_all(fixture.target()).unwrap();
    break_off(&fixture, fresh());
    let staging = at(&fixture, STAGING);
    let file = staging.join("a/b/6");
    let mut bytes = fs::read(&file).unwrap();
    bytes[60_000] ^= 1;
    bytes.extend(b"behind its end");
    fs::write(&file, &bytes).unwrap();
    fs::write(staging.join("a/b/5"), "short").unwrap();
    fs::remove_file(staging.join("a/b/4")).unwrap();
    // What the tree does not have, what is of another kind in it, and what has two names.
    fs::write(staging.join("a/stranger"), "planted").unwrap();
    fs::create_dir_all(staging.join("strange/deep")).unwrap();
    fs::write(staging.join("strange/deep/f"), "planted").unwrap();
    fs::remove_file(staging.join("a/b/3")).unwrap();
    symlink("/etc/passwd", staging.join("a/b/3")).unwrap();
    fs::remove_file(staging.join("a/b/2")).unwrap();
    let outside = fixture.scratch.path().join("outside");
    fs::write(&outside, vec![7; 511]).unwrap();
    fs::hard_link(&outside, staging.join("a/b/2")).unwrap();
    assert!(go_on(&fixture, resumable(&fixture, fresh())) < right);
    assert_restored(&fixture);
    assert_eq!(fs::read(&outside).unwrap(), vec![7; 511], "another name's file is not written");
    assert_eq!(fs::metadata(&outside).unwrap().nlink(), 1);
}

#[test]
fn zeros_are_written_over_what_was_no_hole() {
    let fixture = Fixture::of(|tree| {
        let file = fs::File::create(tree.join("sparse")).unwrap();
        file.set_len(3 << 20).unwrap();
        fs::write(tree.join("text"), "text").unwrap();
    });
    break_off(&fixture, fresh());
    let path = at(&fixture, STAGING).join("sparse");
    fs::write(path, vec![0xff; 3 << 20]).unwrap();
    go_on(&fixture, resumable(&fixture, fresh()));
    assert_restored(&fixture);
}

#[test]
fn what_is_written_again_leaves_holes_where_they_were() {
    let fixture = Fixture::of(|tree| {
        let file = fs::File::create(tree.join("sparse")).unwrap();
        file.set_len(64 << 20).unwrap();
        fs::write(tree.join("text"), "text").unwrap();
    });
    break_off(&fixture, fresh());
    let mut sink = resumable(&fixture, fresh());
    sink.last_commit().unwrap();
    // As of a pipe: everything comes again.
    sink.resume_at(0, 0).unwrap();
    write_positioned(&sink, &fixture.plaintext, SEGMENT_LEN, 2);
    sink.publish(fixture.plaintext.len() as u64).unwrap();
    let found = fs::metadata(fixture.target().join("sparse")).unwrap();
    assert!(found.blocks() * 512 < 1 << 20, "{} blocks", found.blocks());
    drop(sink);
    assert_restored(&fixture);
}

#[test]
fn another_directory_than_the_journals_is_not_touched() {
    let fixture = Fixture::new();
    break_off(&fixture, fresh());
    let staging = at(&fixture, STAGING);
    fs::rename(&staging, fixture.scratch.path().join("moved")).unwrap();
    fs::DirBuilder::new().mode(0o700).create(&staging).unwrap();
    fs::write(staging.join("mine"), "somebody's only copy").unwrap();
    let refused = open(&fixture, fresh()).unwrap_err();
    assert!(matches!(refused, TreeSinkError::Target(TargetError::InTheWay { .. })), "{refused}");
    assert!(remove_beside(fixture.target()).is_err());
    assert_eq!(fs::read(staging.join("mine")).unwrap(), b"somebody's only copy");
}

#[test]
fn a_journal_that_others_can_write_is_not_believed() {
    for mode in [0o620, 0o602, 0o640] {
        let fixture = Fixture::new();
        break_off(&fixture, fresh());
        fs::set_permissions(at(&fixture, JOURNAL), fs::Permissions::from_mode(mode)).unwrap();
        let refused = open(&fixture, fresh()).unwrap_err();
        assert!(matches!(refused, TreeSinkError::Target(TargetError::OpenToOthers { .. })), "{refused}");
    }
    let fixture = Fixture::new();
    break_off(&fixture, fresh());
    fs::hard_link(at(&fixture, JOURNAL), fixture.scratch.path().join("second")).unwrap();
    let refused = open(&fixture, fresh()).unwrap_err();
    assert!(matches!(refused, TreeSinkError::Target(TargetError::Shared { .. })), "{refused}");
    fs::remove_file(at(&fixture, JOURNAL)).unwrap();
    symlink(fixture.scratch.path().join("second"), at(&fixture, JOURNAL)).unwrap();
    let refused = open(&fixture, fresh()).unwrap_err();
    assert!(matches!(refused, TreeSinkError::Target(TargetError::InTheWay { .. })), "{refused}");
}

#[test]
fn what_is_kept_is_discarded_on_demand() {
    let fixture = Fixture::new();
    break_off(&fixture, fresh());
    let sink = new(&fixture, fresh().on_partial(OnPartial::Discard));
    assert_eq!(fs::read_dir(at(&fixture, STAGING)).unwrap().count(), 0);
    drop(sink);
    assert!(fixture.beside().is_empty());
    break_off(&fixture, fresh());
    let removed = remove_beside(fixture.target()).unwrap();
    assert_eq!(removed, [at(&fixture, STAGING), at(&fixture, JOURNAL)]);
    assert!(fixture.beside().is_empty());
    assert!(remove_beside(fixture.target()).unwrap().is_empty());
}

#[test]
fn a_run_that_is_refused_removes_the_journal_of_one_that_died_before_it_had_anything() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.target()).unwrap();
    let mut empty = fs::OpenOptions::new();
    empty.create_new(true).write(true).mode(0o600).open(at(&fixture, JOURNAL)).unwrap();
    let refused = open(&fixture, fresh()).unwrap_err();
    assert!(matches!(refused, TreeSinkError::Target(TargetError::DirectoryExists { .. })), "{refused:?}");
    assert_eq!(fixture.beside(), ["target"]);
}

#[test]
fn a_sink_that_is_at_work_is_not_in_anybodys_reach() {
    let fixture = Fixture::new();
    break_off(&fixture, fresh());
    let sink = resumable(&fixture, fresh());
    for refused in
        [open(&fixture, fresh()).map(drop), remove_beside(fixture.target()).map(drop).map_err(Into::into)]
    {
        assert!(matches!(refused, Err(TreeSinkError::Target(TargetError::Held { .. }))));
    }
    drop(sink);
    go_on(&fixture, resumable(&fixture, fresh()));
    assert_restored(&fixture);
}

/// The states that a crash leaves after the rename, made by hand: the journal's intent is kept from a publish that failed at the rename.
fn publish_without_tidying_up(fixture: &Fixture, options: TreeOptions) {
    let mut sink = new(fixture, options);
    write_positioned(&sink, &fixture.plaintext, SEGMENT_LEN, 2);
    sink.commit_segment(&checkpoint()).unwrap();
    // The target is another directory for the moment of the rename, which is then made by hand.
    let [target, staging] = [fixture.target(), at(fixture, STAGING)];
    let old = fixture.scratch.path().join("old");
    if target.exists() {
        fs::rename(&target, &old).unwrap();
        fs::create_dir(&target).unwrap();
    } else {
        fs::create_dir(&target).unwrap();
    }
    sink.publish(fixture.plaintext.len() as u64).unwrap_err();
    drop(sink);
    fs::remove_dir(&target).unwrap();
    fs::rename(&staging, &target).unwrap();
    if old.exists() {
        fs::rename(&old, &staging).unwrap();
    }
}

fn published(fixture: &Fixture, options: TreeOptions) -> TreeSink {
    match open(fixture, options).unwrap() {
        Opened::Published { sink, attempt_id: found } => {
            assert!(is_ours(&found), "{found:?}");
            sink
        }
        other => panic!("not published: {other:?}"),
    }
}

#[test]
fn a_restore_that_was_published_is_compared_and_tidied_up_after() {
    for old_tree in [None, Some(OldTree::Remove), Some(OldTree::Keep)] {
        let fixture = Fixture::new();
        let options = match old_tree {
            None => fresh(),
            Some(old_tree) => {
                fs::create_dir_all(fixture.target().join("old")).unwrap();
                replacing().old_tree(old_tree)
            }
        };
        publish_without_tidying_up(&fixture, options);
        // The target is there, and is no obstacle to the restore that has put it there.
        let mut sink = published(&fixture, fresh());
        write_positioned(&sink, &fixture.plaintext, 70_000, 3);
        sink.publish(fixture.plaintext.len() as u64).unwrap();
        let restored = sink.restored().lock().clone().unwrap();
        drop(sink);
        assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None, "{old_tree:?}");
        match old_tree {
            Some(OldTree::Keep) => {
                assert_eq!(fixture.beside(), ["target", "target.cofferdam-old"]);
                assert!(restored.old_tree.unwrap().join("old").is_dir());
            }
            _ => assert_eq!(fixture.beside(), ["target"]),
        }
    }
}

#[test]
fn a_published_target_that_has_changed_since_is_a_target_like_any_other() {
    let change: [&dyn Fn(&Path); 4] = [
        &|tree| fs::write(tree.join("a.txt"), "another").unwrap(),
        &|tree| fs::remove_file(tree.join("a/link")).unwrap(),
        &|tree| fs::write(tree.join("a/b/5"), [1; 1_024]).unwrap(),
        &|tree| {
            fs::remove_file(tree.join("a.txt")).unwrap();
            symlink("a/b/5", tree.join("a.txt")).unwrap();
        },
    ];
    for change in change {
        let fixture = Fixture::new();
        fs::create_dir_all(fixture.target().join("old")).unwrap();
        publish_without_tidying_up(&fixture, replacing());
        change(&fixture.target());
        let mut sink = published(&fixture, replacing());
        let positioned = sink.positioned().unwrap();
        let written = positioned.write_all_at(0, &fixture.plaintext);
        let outcome = written.and_then(|()| {
            sink.publish(fixture.plaintext.len() as u64).map_err(|error| io::Error::other(error.to_string()))
        });
        assert!(outcome.is_err());
        assert!(sink.difference().load(Ordering::Relaxed));
        drop(sink);
        // What was kept says nothing any more; the old tree is not taken away by a run that refuses. The target is refused or replaced.
        assert_eq!(fixture.beside(), ["target", "target.cofferdam-old"]);
        let old = fixture.target().with_file_name("target.cofferdam-old");
        assert!(old.join("old").is_dir());
        fs::remove_dir_all(old).unwrap();
        assert!(matches!(
            open(&fixture, fresh()).unwrap_err(),
            TreeSinkError::Target(TargetError::DirectoryExists { .. })
        ));
        fixture.restore(replacing());
        assert_restored(&fixture);
    }
}

/// Another tree's restore was done and had not tidied up: whoever may not replace what it has made takes nothing away.
#[test]
fn a_run_that_is_refused_takes_no_old_tree_away() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.target().join("old")).unwrap();
    publish_without_tidying_up(&fixture, replacing());
    let plaintext = Memory(fixture.plaintext.clone());
    let attempt = Attempt { id: &attempt_id(), is_ours: &|_| false };
    for options in [fresh(), fresh().on_partial(OnPartial::Discard)] {
        let refused = TreeSink::open(fixture.target(), &plaintext, &options, &attempt).unwrap_err();
        assert!(matches!(refused, TreeSinkError::Target(TargetError::DirectoryExists { .. })), "{refused}");
        assert!(at(&fixture, STAGING).join("old").is_dir());
    }
    let opened = TreeSink::open(fixture.target(), &plaintext, &replacing(), &attempt).unwrap();
    let Opened::Published { sink, .. } = opened else { panic!("{opened:?}") };
    sink.tidy().unwrap();
    assert_eq!(fixture.beside(), ["target"]);
}

/// Without the stream, and whatever has become of the tree since.
#[test]
fn what_is_left_to_do_of_a_published_tree_is_done_by_its_attempts_name_alone() {
    for old_tree in [OldTree::Remove, OldTree::Keep] {
        let fixture = Fixture::new();
        fs::create_dir_all(fixture.target().join("old")).unwrap();
        publish_without_tidying_up(&fixture, replacing().old_tree(old_tree));
        let found = attempt_beside(fixture.target(), Placement::Whole).unwrap().unwrap();
        let file = fixture.target().join("a.txt");
        fs::write(&file, "written since").unwrap();
        let other = attempt_id();
        assert_eq!(finish_published(fixture.target(), &replacing(), &other).unwrap(), Finished::Nothing);
        assert_eq!(remove_attempt(fixture.target(), &other).unwrap(), Vec::<PathBuf>::new());
        assert!(at(&fixture, STAGING).join("old").is_dir());
        let mode = || fs::metadata(fixture.target()).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(), 0o700);
        let finished = finish_published(fixture.target(), &replacing(), &found).unwrap();
        let Finished::Done(Some(restored)) = finished else { panic!("{finished:?}") };
        assert!(restored.counts.files > 0, "{restored:?}");
        let old = fixture.target().with_file_name("target.cofferdam-old");
        assert_eq!(restored.old_tree, (old_tree == OldTree::Keep).then_some(old));
        assert_eq!(mode(), fs::metadata(fixture.tree()).unwrap().permissions().mode() & 0o7777);
        assert_eq!(fs::read(&file).unwrap(), b"written since");
        let kept: &[&str] =
            if old_tree == OldTree::Keep { &["target", "target.cofferdam-old"] } else { &["target"] };
        assert_eq!(fixture.beside(), kept);
        assert_eq!(finish_published(fixture.target(), &replacing(), &found).unwrap(), Finished::Nothing);
    }
    // Of one that was not published nothing is done, but that it can be removed.
    let fixture = Fixture::new();
    break_off(&fixture, fresh());
    let found = attempt_beside(fixture.target(), Placement::Whole).unwrap().unwrap();
    assert_eq!(finish_published(fixture.target(), &fresh(), &found).unwrap(), Finished::Nothing);
    assert_eq!(remove_attempt(fixture.target(), &attempt_id()).unwrap(), Vec::<PathBuf>::new());
    assert!(at(&fixture, STAGING).is_dir());
    assert_eq!(remove_attempt(fixture.target(), &found).unwrap().len(), 2);
    assert_eq!(fixture.beside(), Vec::<String>::new());
}

/// Who may rename what is beside the target has none of it removed: what goes is the tree that was replaced, and nothing that has come to its name.
#[test]
fn what_has_come_to_the_old_trees_name_since_is_not_removed() {
    for old_tree in [OldTree::Remove, OldTree::Keep] {
        let fixture = Fixture::new();
        fs::create_dir_all(fixture.target().join("old")).unwrap();
        publish_without_tidying_up(&fixture, replacing().old_tree(old_tree));
        let mut sink = published(&fixture, fresh());
        write_positioned(&sink, &fixture.plaintext, SEGMENT_LEN, 2);
        let moved = fixture.scratch.path().join("moved");
        fs::rename(at(&fixture, STAGING), &moved).unwrap();
        fs::create_dir_all(at(&fixture, STAGING).join("precious")).unwrap();
        sink.publish(fixture.plaintext.len() as u64).unwrap();
        drop(sink);
        assert!(at(&fixture, STAGING).join("precious").is_dir());
        assert!(moved.join("old").is_dir());
        assert_eq!(difference(&list(&fixture.tree()), &list(&fixture.target())), None);
    }
}

#[test]
fn the_old_tree_is_kept_if_the_new_one_was_moved_away_before_anybody_tidied_up() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.target()).unwrap();
    fs::write(fixture.target().join("old"), "the only copy").unwrap();
    publish_without_tidying_up(&fixture, replacing());
    fs::rename(fixture.target(), fixture.scratch.path().join("moved")).unwrap();
    for options in [fresh(), replacing(), replacing().on_partial(OnPartial::Discard)] {
        let refused = open(&fixture, options).unwrap_err();
        assert!(matches!(refused, TreeSinkError::Target(TargetError::InTheWay { .. })), "{refused}");
    }
    assert!(remove_beside(fixture.target()).is_err());
    assert_eq!(fs::read(at(&fixture, STAGING).join("old")).unwrap(), b"the only copy");
}

/// Directories that are no members have the mode that TREE T2.2 says.
#[test]
fn directories_that_are_no_members_are_as_the_format_says() {
    let fixture = Fixture::of(|_| ());
    let mut writer = tree::CatalogWriter::new(fixture.scratch.path()).unwrap();
    let mut plaintext = Vec::new();
    for path in ["a/b/c/f", "a/b/d/g", "h", "i/j"] {
        let member =
            tree::Member::new(tree::TreePath::parse(path.as_bytes()).unwrap(), tree::EntryKind::File, 0o600);
        let header = member.to_header().unwrap();
        writer.push(member.to_entry(header.len() as u64)).unwrap();
        plaintext.extend(header);
    }
    plaintext.extend([0; 1_024]);
    let catalog = writer.finish(plaintext.len() as u64).unwrap();
    let mut bytes = vec![0; cofferdam_io::ReadAt::len(&catalog) as usize];
    cofferdam_io::ReadAt::read_exact_at(&catalog, 0, &mut bytes).unwrap();
    plaintext.extend(bytes);
    let fixture = Fixture { plaintext, ..fixture };
    fixture.restore(fresh());
    let modes: Vec<(OsString, u32)> = ["", "a", "a/b", "a/b/c", "a/b/d", "i"]
        .map(|name| (name.into(), fs::metadata(fixture.target().join(name)).unwrap().mode() & 0o7777))
        .to_vec();
    assert!(modes.iter().all(|(_, mode)| *mode == 0o755), "{modes:?}");
}

/// Whoever can write where the tree is staged exchanges directories for links out of it, again and again: nothing outside is made or changed.
#[test]
fn directories_that_become_links_while_a_tree_is_restored_lead_nowhere() {
    let fixture = Fixture::of(|tree| {
        for directory in ["a", "b"] {
            fs::create_dir(tree.join(directory)).unwrap();
            for name in 0..8 {
                fs::write(tree.join(directory).join(format!("{name}")), vec![b'x'; 100 + name]).unwrap();
            }
            symlink("0", tree.join(directory).join("link")).unwrap();
            fs::hard_link(tree.join(directory).join("1"), tree.join(directory).join("2nd")).unwrap();
        }
    });
    let outside = fixture.scratch.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("0"), "not ours").unwrap();
    fs::set_permissions(outside.join("0"), fs::Permissions::from_mode(0o604)).unwrap();
    let before = list(&outside);
    let staging = at(&fixture, STAGING);
    let (swaps, restores, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let link = fixture.scratch.path().join("link");
            symlink(&outside, &link).unwrap();
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while swaps.load(Ordering::Relaxed) < SWAPS {
                let cwd = rustix::fs::CWD;
                // Either the directory is not there, or the link takes its place, and the next time gives it back.
                if rustix::fs::renameat_with(cwd, staging.join("a"), cwd, &link, flags).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
                if !link.is_symlink() && !staging.exists() {
                    let _ = fs::remove_dir_all(&link);
                    symlink(&outside, &link).unwrap();
                }
            }
        });
        while swaps.load(Ordering::Relaxed) < SWAPS {
            restores.fetch_add(1, Ordering::Relaxed);
            let Ok(Opened::Fresh(mut sink)) = open(&fixture, fresh().on_partial(OnPartial::Discard)) else {
                continue;
            };
            let written = sink.positioned().unwrap().write_all_at(0, &fixture.plaintext);
            let done = written.is_ok() && sink.publish(fixture.plaintext.len() as u64).is_ok();
            failures.fetch_add(usize::from(!done), Ordering::Relaxed);
            drop(sink);
            if fixture.target().exists() {
                // What was swapped out is missed or a link in it: whatever was published, it goes.
                fs::remove_dir_all(fixture.target()).unwrap();
            }
        }
    });
    println!("{restores:?} restores, {failures:?} of them failed, {swaps:?} swaps");
    assert_eq!(difference(&before, &list(&outside)), None);
}

/// So often a directory and a link change places.
const SWAPS: usize = 10_000;

/// A directory that is there, with something of its own, and what a restore into it leaves at each name.
fn into() -> TreeOptions {
    fresh().placement(Placement::Into)
}

fn merge(fixture: &Fixture, options: TreeOptions) -> Result<(), CommitError> {
    let mut sink = match open(fixture, options).unwrap() {
        Opened::Fresh(sink) => sink,
        Opened::Resumable { mut sink, .. } => {
            sink.last_commit().unwrap();
            sink.resume_at(0, 0).unwrap();
            sink
        }
        other => panic!("{other:?}"),
    };
    write_positioned(&sink, &fixture.plaintext, SEGMENT_LEN, 2);
    sink.commit_segment(&checkpoint()).unwrap();
    sink.publish(fixture.plaintext.len() as u64)
}

/// All but the root, which keeps its own attributes.
fn assert_merged(fixture: &Fixture, own: &[&str]) {
    let mut found = strip_root(&fixture.target());
    own.iter().for_each(|name| assert!(found.remove(name.as_bytes()).is_some(), "{name}"));
    let mut expected = strip_root(&fixture.tree());
    // The directory that has a file of its own in it has the time of that.
    for listing in [&mut found, &mut expected] {
        listing.values_mut().for_each(|found| found.first_name.clear());
    }
    assert_eq!(difference(&expected, &found), None);
    assert!(!fixture.target().join(".cofferdam-staging").exists());
    assert!(!fixture.target().join(".cofferdam-journal").exists());
}

#[test]
fn a_tree_is_moved_into_a_directory_that_keeps_what_is_its_own() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.target().join("a/b")).unwrap();
    fs::write(fixture.target().join("a/b/mine"), "mine").unwrap();
    fs::write(fixture.target().join("mine"), "mine").unwrap();
    fs::set_permissions(fixture.target(), fs::Permissions::from_mode(0o711)).unwrap();
    merge(&fixture, into()).unwrap();
    assert_merged(&fixture, &["a/b/mine", "mine"]);
    assert_eq!(fs::metadata(fixture.target()).unwrap().mode() & 0o7777, 0o711);
    // Once more: all of its files are there now.
    let refused = open(&fixture, into()).unwrap_err();
    assert!(matches!(refused, TreeSinkError::Target(TargetError::Exists { .. })), "{refused}");
    fs::write(fixture.target().join("a.txt"), "changed").unwrap();
    merge(&fixture, into().if_exists(IfExists::Replace)).unwrap();
    assert_merged(&fixture, &["a/b/mine", "mine"]);
}

#[test]
fn a_file_that_comes_while_a_tree_is_restored_into_its_directory_is_not_moved_over() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.target()).unwrap();
    let Opened::Fresh(mut sink) = open(&fixture, into()).unwrap() else { panic!("nothing was there") };
    write_positioned(&sink, &fixture.plaintext, SEGMENT_LEN, 2);
    sink.commit_segment(&checkpoint()).unwrap();
    fs::write(fixture.target().join("a.txt"), "precious").unwrap();
    let refused = sink.publish(fixture.plaintext.len() as u64).unwrap_err();
    assert!(refused.to_string().contains("a.txt"), "{refused}");
    assert_eq!(fs::read(fixture.target().join("a.txt")).unwrap(), b"precious");
}

/// One that replaces the directory would take the other's files away; one that moves into it would fill what is about to go.
#[test]
fn who_replaces_a_directory_and_who_moves_a_tree_into_it_see_one_another() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.target()).unwrap();
    let link = fixture.scratch.path().join("link");
    symlink(fixture.target(), &link).unwrap();
    let plaintext = Memory(fixture.plaintext.clone());
    let held = |target: &Path, options: TreeOptions| {
        let attempt = Attempt { id: &attempt_id(), is_ours: &is_ours };
        let refused = TreeSink::open(target, &plaintext, &options, &attempt).unwrap_err();
        assert!(matches!(refused, TreeSinkError::Target(TargetError::Held { .. })), "{refused}");
    };
    let moving = new(&fixture, into());
    held(&fixture.target(), replacing());
    held(&fixture.target(), replacing().on_partial(OnPartial::Discard));
    held(&fixture.target(), into());
    drop(moving);
    assert_eq!(fixture.beside(), ["target"]);
    let replacing_one = new(&fixture, replacing());
    held(&fixture.target(), into());
    held(&link, into());
    assert_eq!(fs::read_dir(fixture.target()).unwrap().count(), 0);
    drop(replacing_one);
    merge(&fixture, into()).unwrap();
    assert_merged(&fixture, &[]);
}

/// A run that is refused and cut off leaves a journal that says nothing: it is in nobody's way, and the next one that is refused removes it.
#[test]
fn an_empty_journal_does_not_stay_beside_a_target_that_is_refused() {
    let fixture = Fixture::new();
    fixture.restore(fresh());
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(at(&fixture, JOURNAL)).unwrap();
    let refused = open(&fixture, fresh()).unwrap_err();
    assert!(matches!(refused, TreeSinkError::Target(TargetError::DirectoryExists { .. })), "{refused}");
    assert_restored(&fixture);
}

#[test]
fn what_lies_at_the_private_directorys_name_without_a_journal_is_not_removed() {
    for options in [fresh(), fresh().on_partial(OnPartial::Discard)] {
        let fixture = Fixture::new();
        let planted = fixture.target().with_file_name(".target.cofferdam-staging");
        fs::create_dir(&planted).unwrap();
        fs::write(planted.join("precious"), "precious").unwrap();
        let refused = open(&fixture, options).unwrap_err();
        assert!(matches!(refused, TreeSinkError::Target(TargetError::InTheWay { .. })), "{refused}");
        assert_eq!(fs::read(planted.join("precious")).unwrap(), b"precious");
        // Empty, it is nobody's.
        fs::remove_file(planted.join("precious")).unwrap();
        drop(new(&fixture, options));
    }
}

#[test]
fn what_cannot_be_merged_is_refused_before_anything_is_changed() {
    let outside = |fixture: &Fixture| fixture.scratch.path().join("outside");
    type Make<'a> = &'a dyn Fn(&Fixture);
    let makes: [Make<'_>; 4] = [
        // A file where a directory would be, and the other way round; a link in place of a directory.
        &|fixture| fs::write(fixture.target().join("a"), "a file").unwrap(),
        &|fixture| fs::create_dir(fixture.target().join("a.txt")).unwrap(),
        &|fixture| {
            fs::create_dir(outside(fixture)).unwrap();
            symlink(outside(fixture), fixture.target().join("a")).unwrap();
        },
        &|fixture| {
            fs::create_dir(outside(fixture)).unwrap();
            fs::create_dir(fixture.target().join("a")).unwrap();
            symlink(outside(fixture), fixture.target().join("a/b")).unwrap();
        },
    ];
    for make in makes {
        let fixture = Fixture::new();
        fs::create_dir(fixture.target()).unwrap();
        make(&fixture);
        let before = list(fixture.scratch.path());
        for options in [into(), into().if_exists(IfExists::Replace)] {
            let refused = open(&fixture, options).unwrap_err();
            assert!(matches!(refused, TreeSinkError::Target(TargetError::OtherKind { .. })), "{refused}");
        }
        let after = list(fixture.scratch.path());
        assert!(before.keys().eq(after.keys()));
    }
    let fixture = Fixture::new();
    let refused = open(&fixture, into()).unwrap_err();
    assert!(matches!(refused, TreeSinkError::Target(TargetError::NoDirectory { .. })), "{refused}");
}

/// A move that stops half-way, because a directory has come to the name of a file meanwhile, is brought to its end by the next.
#[test]
fn a_move_that_is_cut_off_is_brought_to_its_end_without_force() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.target()).unwrap();
    let mut sink = new(&fixture, into());
    write_positioned(&sink, &fixture.plaintext, SEGMENT_LEN, 2);
    sink.commit_segment(&checkpoint()).unwrap();
    fs::create_dir(fixture.target().join("a.txt")).unwrap();
    let error = sink.publish(fixture.plaintext.len() as u64).unwrap_err();
    assert!(matches!(error, CommitError::Unknown(_)), "{error}");
    drop(sink);
    fs::remove_dir(fixture.target().join("a.txt")).unwrap();
    merge(&fixture, into()).unwrap();
    assert_merged(&fixture, &[]);
}

/// Whoever brings his own move to its end needs no force; whoever begins another one does.
#[test]
fn a_cut_off_move_lets_no_other_tree_replace_files() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.target()).unwrap();
    let mut sink = new(&fixture, into());
    write_positioned(&sink, &fixture.plaintext, SEGMENT_LEN, 2);
    sink.commit_segment(&checkpoint()).unwrap();
    fs::create_dir(fixture.target().join("a.txt")).unwrap();
    sink.publish(fixture.plaintext.len() as u64).unwrap_err();
    drop(sink);
    fs::remove_dir(fixture.target().join("a.txt")).unwrap();
    fs::write(fixture.target().join("a.txt"), "precious").unwrap();
    let other = AttemptId::new(b"of another tree").unwrap();
    let options = into().on_partial(OnPartial::Discard);
    let attempt = Attempt { id: &other, is_ours: &|found| !is_ours(found) };
    let refused = TreeSink::open(fixture.target(), &Memory(fixture.plaintext.clone()), &options, &attempt);
    let refused = refused.unwrap_err();
    assert!(matches!(refused, TreeSinkError::Target(TargetError::Exists { .. })), "{refused}");
    assert_eq!(fs::read(fixture.target().join("a.txt")).unwrap(), b"precious");
}

#[test]
fn what_a_restore_of_a_file_has_left_stays_its_own() {
    let fixture = Fixture::new();
    let mut sink = match StagedFile::open(fixture.target(), &StageOptions::default(), &attempt_id()).unwrap()
    {
        local::Opened::Fresh(sink) => sink,
        other => panic!("not fresh: {other:?}"),
    };
    sink.positioned().unwrap().write_all_at(0, b"of a file").unwrap();
    sink.commit_segment(&checkpoint()).unwrap();
    drop(sink);
    let left = [STAGING, JOURNAL].map(|name| fs::read(at(&fixture, name)).unwrap());
    for options in [fresh(), replacing(), fresh().on_partial(OnPartial::Discard)] {
        let refused = open(&fixture, options).unwrap_err();
        assert!(matches!(refused, TreeSinkError::Target(TargetError::InTheWay { .. })), "{refused}");
        assert_eq!([STAGING, JOURNAL].map(|name| fs::read(at(&fixture, name)).unwrap()), left);
    }
    let opened = StagedFile::open(fixture.target(), &StageOptions::default(), &attempt_id()).unwrap();
    assert!(matches!(opened, local::Opened::Resumable { .. }), "{opened:?}");
}

/// Who restores another tree there, or the same name again, does what was left to do, and shows nobody what is to be private.
#[test]
fn a_published_tree_of_others_is_tidied_up_after_with_the_mode_that_it_had() {
    let fixture = Fixture::of(|tree| {
        fs::write(tree.join("f"), "f").unwrap();
        fs::set_permissions(tree, fs::Permissions::from_mode(0o750)).unwrap();
    });
    for (is_skeleton_there, mode) in [(true, 0o750), (false, 0o700)] {
        fs::create_dir_all(fixture.target().join("old")).unwrap();
        publish_without_tidying_up(&fixture, replacing());
        if !is_skeleton_there {
            fs::OpenOptions::new().write(true).open(at(&fixture, JOURNAL)).unwrap().set_len(65_536).unwrap();
        }
        published(&fixture, fresh()).tidy().unwrap();
        assert_eq!(fixture.beside(), ["target"]);
        assert_eq!(fs::metadata(fixture.target()).unwrap().mode() & 0o7777, mode);
        assert_eq!(fs::read(fixture.target().join("f")).unwrap(), b"f");
        fs::remove_dir_all(fixture.target()).unwrap();
    }
}
