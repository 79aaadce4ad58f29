//! Tests of a staged file that takes owner and mode of the target that it replaces, wherever a crash comes.
//! Know the files by their names, owners and rights.

use std::{fs, io::Write as _, os::unix::fs::MetadataExt as _, path::Path};

use rustix::process::geteuid;
use storage::{StageOptions, TargetError};

use super::{
    attempts::{STAGING, attempt_id, attempt_to, go_on, names, open, resume, stream},
    faulty::FaultyDisk,
    others_tests::{chmod, mode},
    *,
};

/// Owner and mode that a replaced target has before. Only root can make another user's.
fn metadata_of_targets() -> Vec<(u32, u32)> {
    let ours = geteuid().as_raw();
    let mut all = vec![(ours, 0o640), (ours, 0o666)];
    if geteuid().is_root() {
        all.extend([(NOBODY, 0o600), (NOBODY, 0o664)]);
    }
    all
}

const NOBODY: u32 = 65_534;

/// A target to be replaced, and its directory.
fn replaced((owner, mode): (u32, u32)) -> (tempfile::TempDir, FaultyDisk) {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    fs::write(&target, b"old").unwrap();
    chmod(&target, mode);
    if owner != geteuid().as_raw() {
        std::os::unix::fs::lchown(&target, Some(owner), None).unwrap();
    }
    let faulty = FaultyDisk::over(directory.path());
    (directory, faulty)
}

/// A restore that was killed after the target's metadata was copied and before the rename.
fn killed_after_the_metadata_was_copied(copy_metadata: (u32, u32)) -> tempfile::TempDir {
    let (_scratch, faulty) = replaced(copy_metadata);
    attempt_to(&faulty, IfExists::Replace).unwrap();
    let whole = faulty.calls();
    let (directory, faulty) = replaced(copy_metadata);
    // The last five changes: the rename, two syncs, the journal's removal, the directory's sync.
    faulty.fail_calls(whole - 5..usize::MAX);
    attempt_to(&faulty, IfExists::Replace);
    let staged = fs::metadata(directory.path().join(STAGING)).unwrap();
    assert_eq!(
        (staged.uid(), staged.mode() & 0o777),
        copy_metadata,
        "the crash came after the metadata was copied"
    );
    directory
}

fn open_to_replace(directory: &Path) -> Result<Opened, TargetError> {
    let options = StageOptions::default().if_exists(IfExists::Replace);
    StagedFile::open(directory.join("target"), &options, &attempt_id())
}

#[test]
fn wherever_a_crash_comes_while_a_target_is_replaced_what_was_kept_is_gone_on_with() {
    for copy_metadata in metadata_of_targets() {
        let whole = {
            let (_scratch, faulty) = replaced(copy_metadata);
            attempt_to(&faulty, IfExists::Replace).unwrap();
            faulty.calls()
        };
        for first in 0..whole {
            let (directory, faulty) = replaced(copy_metadata);
            faulty.fail_calls(first..usize::MAX);
            attempt_to(&faulty, IfExists::Replace);
            let staged = fs::read(directory.path().join(STAGING)).unwrap_or_default();
            match open_to_replace(directory.path()).unwrap() {
                Opened::Resumable { sink, .. } => {
                    assert_eq!(mode(directory.path(), STAGING), 0o600, "before change {first}");
                    assert_eq!(
                        sink.found.as_ref().unwrap().len,
                        staged.len() as u64,
                        "before change {first}"
                    );
                    resume(sink);
                }
                Opened::Fresh(mut sink) => {
                    assert!(
                        staged.is_empty(),
                        "before change {first} of {whole}: {} bytes lost",
                        staged.len()
                    );
                    go_on(&mut sink, 0).unwrap();
                }
                Opened::Published(published) => published.finish().unwrap(),
            }
            let target = fs::metadata(directory.path().join("target")).unwrap();
            assert_eq!((target.uid(), target.mode() & 0o777), copy_metadata, "before change {first}");
            assert_eq!(fs::read(directory.path().join("target")).unwrap(), stream());
            assert_eq!(names(directory.path()), ["target"]);
        }
    }
}

#[test]
fn what_a_crash_leaves_with_the_targets_rights_is_its_owners_alone_again_whatever_is_refused() {
    for copy_metadata in metadata_of_targets() {
        let directory = killed_after_the_metadata_was_copied(copy_metadata);
        assert!(matches!(open(directory.path()), Err(TargetError::Exists { .. })), "{copy_metadata:?}");
        let staged = fs::metadata(directory.path().join(STAGING)).unwrap();
        assert_eq!((staged.uid(), staged.mode() & 0o777), (geteuid().as_raw(), 0o600), "{copy_metadata:?}");
        assert_eq!(fs::read(directory.path().join(STAGING)).unwrap(), stream());

        let directory = killed_after_the_metadata_was_copied(copy_metadata);
        assert_eq!(StagedFile::remove_beside(directory.path().join("target")).unwrap().len(), 2);
        assert_eq!(names(directory.path()), ["target"]);
    }
}

#[test]
fn what_was_announced_and_is_another_file_now_or_has_changed_since_is_not_gone_on_with() {
    for copy_metadata in metadata_of_targets().into_iter().filter(|(_, mode)| mode & 0o066 != 0) {
        for change in [
            |staging: &Path| {
                fs::OpenOptions::new().append(true).open(staging).unwrap().write_all(b"!").unwrap()
            },
            |staging: &Path| {
                let planted = staging.with_file_name("planted");
                fs::copy(staging, &planted).unwrap();
                let model = fs::metadata(staging).unwrap();
                File::open(&planted).unwrap().set_modified(model.modified().unwrap()).unwrap();
                std::os::unix::fs::lchown(&planted, Some(model.uid()), None).unwrap();
                fs::rename(planted, staging).unwrap();
            },
        ] {
            let directory = killed_after_the_metadata_was_copied(copy_metadata);
            change(&directory.path().join(STAGING));
            let found = open_to_replace(directory.path());
            match found {
                Ok(Opened::Fresh(_)) => assert_ne!(copy_metadata.0, NOBODY),
                Err(TargetError::NotOurs { owner, .. }) => assert_eq!(copy_metadata.0, owner),
                other => panic!("{copy_metadata:?}: {other:?}"),
            }
        }
    }
}
