//! Files on a file system that fills up: a mapped one, in a process of its own, must end, and not by a signal; a staged one keeps what it
//! has. Knows nothing of how room is taken.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may, and so may what only tests call")]

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use contract::{AttemptId, Checkpoint, IfExists, StreamingSink};
use local::{Opened, StagedFile};
use mmap::MappedFile;
use storage::{Disk, StageOptions, TargetError};

#[test]
fn a_full_file_system_is_an_error_at_creation_and_never_a_signal() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        return sweep(Path::new(&directory));
    }
    for kind in [Kind::InMemory, Kind::OnDisk] {
        let Some(small) = SmallFileSystem::mount(kind) else {
            // Mounting takes rights that this process may not have.
            println!("skipped: no small file system {kind:?} could be mounted here");
            continue;
        };
        let status = Command::new(env::current_exe().unwrap())
            .args(["--exact", "a_full_file_system_is_an_error_at_creation_and_never_a_signal", "--nocapture"])
            .env(DIRECTORY, small.directory())
            .status()
            .unwrap();
        assert_eq!(status.signal(), None, "{kind:?}: {status}");
        assert!(status.success(), "{kind:?}: {status}");
    }
}

#[test]
fn zeros_fit_where_their_length_does_not_and_what_does_not_fit_is_an_error_that_loses_nothing() {
    for kind in [Kind::InMemory, Kind::OnDisk] {
        let Some(small) = SmallFileSystem::mount(kind) else {
            println!("skipped: no small file system {kind:?} could be mounted here");
            continue;
        };
        let path = small.directory().join("target");
        let mut sink = staged(&path);
        let writer = sink.positioned().unwrap();
        writer.write_all_at(0, &[0xA5; PIECE_LEN]).unwrap();
        for at in (PIECE_LEN as u64..STAGED_LEN).step_by(PIECE_LEN) {
            writer.write_all_at(at, &[0; PIECE_LEN]).unwrap();
        }
        sink.publish(STAGED_LEN).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), STAGED_LEN, "{kind:?}");
        fs::remove_file(&path).unwrap();
        fill_up(&path, kind);
        drop(writer);
    }
}

/// Writes a staged file that does not fit, and finds what was committed of it once there is room again.
fn fill_up(path: &Path, kind: Kind) {
    let mut sink = staged(path);
    let writer = sink.positioned().unwrap();
    let piece = vec![0x5A; PIECE_LEN];
    writer.write_all_at(0, &piece).unwrap();
    let checkpoint = Checkpoint::from_bytes([7; Checkpoint::LEN]);
    sink.commit_segment(&checkpoint).unwrap();
    sink.durability().unwrap().make_durable(&checkpoint).unwrap();
    let full = (PIECE_LEN as u64..STAGED_LEN)
        .step_by(PIECE_LEN)
        .find_map(|at| writer.write_all_at(at, &piece).err());
    assert_eq!(full.map(|error| error.kind()), Some(io::ErrorKind::StorageFull), "{kind:?}");
    assert!(sink.publish(STAGED_LEN).is_err() && !path.exists(), "{kind:?}");
    drop((sink, writer));
    let Opened::Resumable { sink, .. } = open_staged(path) else { panic!("{kind:?}: nothing was kept") };
    let mut found = vec![0; PIECE_LEN];
    sink.resumable().unwrap().read_exact_at(0, &mut found).unwrap();
    assert!(found == piece, "{kind:?}");
}

fn staged(path: &Path) -> StagedFile {
    match open_staged(path) {
        Opened::Fresh(sink) => sink,
        other => panic!("the directory was empty: {other:?}"),
    }
}

fn open_staged(path: &Path) -> Opened {
    let options = StageOptions::default().expected_len(STAGED_LEN);
    StagedFile::open(path, &options, &AttemptId::new(b"too long").unwrap()).unwrap()
}

/// For every length from nothing to twice the room there is.
fn sweep(directory: &Path) {
    let room = rustix::fs::statvfs(directory).unwrap();
    let room = usize::try_from(room.f_bfree * room.f_frsize).unwrap();
    let (mut taken, mut refused) = (0, 0);
    // Lengths that fall anywhere in a page.
    for len in (0..2 * room).step_by(room / 50 + 1) {
        match write_while_full(directory, len) {
            Ok(()) => taken += 1,
            Err(error) => {
                assert!(matches!(error.kind(), io::ErrorKind::StorageFull), "{len} bytes: {error:?}");
                refused += 1;
            }
        }
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "{len} bytes left something");
    }
    println!("{}: {taken} lengths were taken, {refused} refused", directory.display());
    assert!(taken > 30 && refused > 30, "{taken} lengths were taken, {refused} refused");
}

/// Takes room for `len` bytes, fills what is left with another file, and writes all the same.
fn write_while_full(directory: &Path, len: usize) -> io::Result<()> {
    let path = directory.join("target");
    let options = StageOptions::default().expected_len(Some(len as u64));
    // The one looks at the room before it takes it; the other takes it blindly.
    let asked = MappedFile::create(&path, &options).map_err(|error| match error {
        TargetError::NoRoom { .. } => io::ErrorKind::StorageFull.into(),
        error => io::Error::other(error),
    });
    drop(asked?);
    let disk = Arc::new(mmap::with_maps(Disk::open(directory)?));
    let mut sink = MappedFile::on(disk, OsStr::new("target"), IfExists::Refuse, len as u64)?;
    let filler = directory.join("filler");
    fill(&filler);
    let writer = sink.positioned().unwrap();
    for at in (0..len).step_by(PIECE_LEN).collect::<Vec<_>>().into_iter().rev() {
        writer.write_all_at(at as u64, &vec![0xA5; PIECE_LEN.min(len - at)]).unwrap();
    }
    sink.publish(len as u64).unwrap();
    let published = fs::read(&path)?;
    assert!(published.len() == len && published.iter().all(|byte| *byte == 0xA5), "{len} bytes");
    fs::remove_file(&path)?;
    fs::remove_file(filler)
}

/// A file as large as there is room for.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let full = loop {
        if let Err(error) = file.write_all(&[1; 4_096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    InMemory,
    OnDisk,
}

/// A file system of a few MiB, mounted until it is dropped.
struct SmallFileSystem(tempfile::TempDir);

impl SmallFileSystem {
    fn mount(kind: Kind) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let small = Self(directory);
        let (root, image) = (small.root(), small.0.path().join("image"));
        fs::create_dir(&root).unwrap();
        let mounted = match kind {
            Kind::InMemory => {
                let size = format!("size={ROOM}");
                run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "small"]).arg(&root))
            }
            Kind::OnDisk => {
                File::create(&image).unwrap().set_len(ROOM).unwrap();
                run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))
                    && run(Command::new("mount").args(["-o", "loop"]).args([&image, &root]))
            }
        };
        if !mounted {
            // There is nothing to unmount.
            fs::remove_dir(&root).unwrap();
            return None;
        }
        fs::create_dir(small.directory()).unwrap();
        Some(small)
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }

    fn directory(&self) -> PathBuf {
        self.root().join("directory")
    }
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        let root = self.root();
        let unmounted = !root.exists() || run(Command::new("umount").arg(&root));
        assert!(unmounted, "{} stays mounted", root.display());
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

const DIRECTORY: &str = "COFFERDAM_SMALL_FILE_SYSTEM";
const ROOM: u64 = 4 << 20;
const PIECE_LEN: usize = 30_011;
/// Longer than the file system.
const STAGED_LEN: u64 = 600 * PIECE_LEN as u64;
