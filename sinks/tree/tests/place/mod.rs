//! A tree that has been sealed, and a place to restore it to.
#![allow(dead_code, reason = "each program uses some of it")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use cofferdam_io::ReadAt;
use contract::{Checkpoint, IfExists, StreamingSink};
use sources::{Arrival, Source};
use tempfile::TempDir;
use tree::{OnChange, Plan, TreeRoot, TreeSource, WalkOptions};
use tree_sink::{SetIdBits, TreeOptions, TreeSink, TreeSinkError};

use crate::fixture::make_tree;

pub(crate) struct Memory(pub(crate) Vec<u8>);

impl ReadAt for Memory {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let found = self.0.get(offset as usize..offset as usize + buffer.len());
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

/// The plaintext of a directory.
pub(crate) fn seal(tree: &Path, scratch: &Path) -> Vec<u8> {
    let root = || TreeRoot::open(tree).unwrap();
    let (plan, _) = Plan::create(&root(), &scratch.join("plan"), &WalkOptions::default()).unwrap();
    let plan = Arc::new(plan);
    let mut source = TreeSource::new(root(), plan.clone(), OnChange::Refuse).unwrap();
    let mut plaintext = vec![0; plan.plain_len() as usize];
    let mut at = 0;
    while let Arrival::Bytes(count) = source.read_within(&mut plaintext[at..], Duration::ZERO).unwrap() {
        at += count;
    }
    plan.remove().unwrap();
    plaintext
}

pub(crate) struct Fixture {
    pub(crate) scratch: TempDir,
    pub(crate) plaintext: Vec<u8>,
}

impl Fixture {
    /// A tree of every kind, sealed, and a place to restore it to.
    pub(crate) fn new() -> Fixture {
        Fixture::of(make_tree)
    }

    pub(crate) fn of(make: impl Fn(&Path)) -> Fixture {
        let scratch = tempfile::tempdir().unwrap();
        let tree = scratch.path().join("tree");
        fs::create_dir(&tree).unwrap();
        make(&tree);
        let plaintext = seal(&tree, scratch.path());
        fs::create_dir(scratch.path().join("at")).unwrap();
        Fixture { scratch, plaintext }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.scratch.path().join("tree")
    }

    pub(crate) fn target(&self) -> PathBuf {
        self.scratch.path().join("at/target")
    }

    pub(crate) fn sink(&self, options: TreeOptions) -> TreeSink {
        TreeSink::create(self.target(), &Memory(self.plaintext.clone()), &options).unwrap()
    }

    pub(crate) fn refusal(&self, options: TreeOptions) -> TreeSinkError {
        TreeSink::create(self.target(), &Memory(self.plaintext.clone()), &options).unwrap_err()
    }

    /// What stands beside the target.
    pub(crate) fn beside(&self) -> Vec<String> {
        let entries = fs::read_dir(self.scratch.path().join("at")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    pub(crate) fn restore(&self, options: TreeOptions) -> tree_sink::Restored {
        let mut sink = self.sink(options);
        write_positioned(&sink, &self.plaintext, 100_000, 1);
        sink.commit_segment(&checkpoint()).unwrap();
        sink.publish(self.plaintext.len() as u64).unwrap();
        sink.restored().lock().clone().unwrap()
    }
}

pub(crate) fn fresh() -> TreeOptions {
    TreeOptions::new(IfExists::Refuse).set_id_bits(SetIdBits::Restore)
}

pub(crate) fn replacing() -> TreeOptions {
    TreeOptions::new(IfExists::Replace).set_id_bits(SetIdBits::Restore)
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint::from_bytes([7; Checkpoint::LEN])
}

/// Writes all of it in pieces, in an order of chance, from some threads.
pub(crate) fn write_positioned(sink: &TreeSink, plaintext: &[u8], piece_len: usize, threads: usize) {
    let positioned = sink.positioned().unwrap();
    let mut pieces: Vec<usize> = (0..plaintext.len()).step_by(piece_len).collect();
    fastrand::Rng::with_seed(piece_len as u64).shuffle(&mut pieces);
    std::thread::scope(|scope| {
        for part in pieces.chunks(pieces.len().div_ceil(threads).max(1)) {
            let positioned = &positioned;
            scope.spawn(move || {
                for at in part {
                    let end = plaintext.len().min(at + piece_len);
                    positioned.write_all_at(*at as u64, &plaintext[*at..end]).unwrap();
                }
            });
        }
    });
}
