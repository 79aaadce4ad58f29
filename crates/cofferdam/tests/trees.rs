//! Owns trees through the engine: a directory is sealed, and restored as it was or not at all.
//! Refuses to know how a tree is laid out; what it is made of is the fixture's.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../tree/tests/fixture/mod.rs"]
mod fixture;
mod streams;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use cofferdam::{BytesSource, IfExists, MemorySink};
use fixture::{difference, list, make_tree};
use tree::{Catalog, Content, OnChange, Plan, TreePath, TreeRoot, TreeSource, WalkOptions};
use tree_sink::{SetIdBits, TreeOptions, TreeSink};

use streams::{in_order, opener, scratch, small_sealer};

/// Seals a directory in frames and segments so small that most files span many.
fn seal(directory: &Path, plan: &Path) -> Vec<u8> {
    let root = || TreeRoot::open(directory).unwrap();
    let (plan, _) = Plan::create(&root(), plan, &WalkOptions::default()).unwrap();
    let source = TreeSource::new(root(), Arc::new(plan), OnChange::Refuse).unwrap();
    let (sink, contents) = MemorySink::new();
    small_sealer().seal(source, sink).unwrap();
    contents.take().unwrap()
}

/// A directory with one of everything, and what it is when it is sealed.
fn sealed_tree() -> (tempfile::TempDir, fixture::Listing, Vec<u8>) {
    let scratch = scratch();
    let directory = scratch.path().join("tree");
    fs::create_dir(&directory).unwrap();
    fs::create_dir(scratch.path().join("at")).unwrap();
    make_tree(&directory);
    let listing = list(&directory);
    let sealed = seal(&directory, &scratch.path().join("plan"));
    (scratch, listing, sealed)
}

fn sink(sealed: &[u8], target: &Path) -> TreeSink {
    let reader = opener().reader(BytesSource::new(sealed.to_vec())).unwrap();
    let options = TreeOptions::new(IfExists::Refuse).set_id_bits(SetIdBits::Restore);
    TreeSink::create(target, &reader, &options).unwrap()
}

#[test]
fn a_directory_is_sealed_and_restored_at_offsets_and_in_order() {
    let (scratch, expected, sealed) = sealed_tree();
    let target = scratch.path().join("at/offsets");
    opener().open(BytesSource::new(sealed.clone()), sink(&sealed, &target)).unwrap();
    assert_eq!(difference(&expected, &list(&target)), None);
    let target = scratch.path().join("at/in-order");
    opener().open(in_order(sealed.clone()), sink(&sealed, &target)).unwrap();
    assert_eq!(difference(&expected, &list(&target)), None);
}

#[test]
fn a_damaged_tree_leaves_nothing() {
    let (scratch, _, sealed) = sealed_tree();
    let place = scratch.path().join("at");
    for at in [sealed.len() / 4, sealed.len() / 2] {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        opener().open(BytesSource::new(damaged), sink(&sealed, &place.join("target"))).unwrap_err();
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    }
}

#[test]
fn files_are_found_and_read_one_by_one() {
    let (_scratch, listing, sealed) = sealed_tree();
    let reader = Arc::new(opener().reader(BytesSource::new(sealed)).unwrap());
    let Content::Tree(catalog) = Catalog::open(reader.clone()).unwrap() else {
        panic!("a directory has a catalog");
    };
    let mut files = 0;
    for (name, found) in listing.iter().filter(|(name, _)| !name.is_empty()) {
        let located = catalog.find(&TreePath::parse(name).unwrap()).unwrap().unwrap();
        let mut contents = vec![0; located.entry.size as usize];
        assert_eq!(reader.read_at(located.data_at(), &mut contents).unwrap(), contents.len());
        if located.entry.size > 0 {
            assert!(contents == found.contents, "{}", located.entry.path);
            files += 1;
        }
    }
    assert!(files > 10);
}
