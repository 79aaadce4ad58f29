//! Catalogs as they are written are read back: in any order, over many pages.

use super::*;
use crate::{EntryKind, Member, NameFault};

fn entry(path: &str, kind: EntryKind, size: u64) -> Entry {
    Member { size, ..Member::new(TreePath::parse(path.as_bytes()).unwrap(), kind, 0o644) }.to_entry(512)
}

fn written(entries: impl IntoIterator<Item = Entry>) -> Result<Arc<WrittenCatalog>, TreeError> {
    let mut writer = CatalogWriter::new(&std::env::temp_dir())?;
    entries.into_iter().try_for_each(|entry| writer.push(entry))?;
    let tar_len = writer.next_header_at() + 1_024;
    writer.finish(tar_len).map(Arc::new)
}

fn checked(entries: impl IntoIterator<Item = Entry>) -> Result<CheckedCatalog, TreeError> {
    match Catalog::open(written(entries)?.into_plaintext())? {
        Content::Tree(catalog) => catalog.check(),
        Content::PlainFile { .. } => panic!("there is a catalog"),
    }
}

#[test]
fn a_catalog_of_many_pages_finds_each_member() {
    for count in [1_u64, 4_095, 4_096, 4_097, 20_000] {
        for is_shuffled in [false, true] {
            let mut entries: Vec<Entry> = (0..count)
                .map(|number| {
                    entry(&format!("{:04}/{number:06}", number / 100), EntryKind::File, number % 1_500)
                })
                .collect();
            if is_shuffled {
                fastrand::Rng::with_seed(count).shuffle(&mut entries);
            }
            let checked = checked(entries.clone()).unwrap();
            let catalog = checked.catalog();
            assert_eq!((catalog.entries(), checked.counts().files), (count, count));
            let mut header_at = 0;
            for (number, entry) in (0..).zip(&entries) {
                let located = catalog.entry(number).unwrap().unwrap();
                assert!(located.entry == *entry && located.header_at == header_at);
                header_at += entry.archive_len().unwrap();
            }
            assert_eq!(catalog.entry(count).unwrap(), None);
            assert_eq!(catalog.entry_at(header_at).unwrap(), None);
            for entry in entries.iter().step_by(997) {
                assert_eq!(catalog.find(&entry.path).unwrap().unwrap().entry, *entry);
            }
            for absent in ["", "0000/", "9999/9", "0000/0000000"].iter().filter(|path| !path.is_empty()) {
                if let Ok(path) = TreePath::parse(absent.as_bytes()) {
                    assert_eq!(catalog.find(&path).unwrap(), None);
                }
            }
            entries.sort_by(|one, other| one.path.cmp(&other.path));
            for places in [0..u64::MAX, count / 3..count / 2, count..count + 1] {
                let expected = entries.iter().skip(places.start as usize);
                let expected = expected.take((places.end - places.start).min(count) as usize);
                let found: Vec<Entry> =
                    catalog.in_order(places).map(|located| located.unwrap().entry).collect();
                assert!(found.iter().eq(expected));
            }
            for (place, entry) in (0..).zip(&entries).step_by(991) {
                assert_eq!(catalog.entry_in_order(place).unwrap().unwrap().entry, *entry);
                assert_eq!(catalog.place_of(&entry.path).unwrap(), place);
            }
        }
    }
}

#[test]
fn pages_of_the_longest_paths_and_links_stay_within_their_limits() {
    let long = |number: u32| format!("{number:04}/{}xx", "d/".repeat(2_044));
    let entries = (0..300).map(|number| {
        let mut entry = entry(&long(number), EntryKind::Symlink, 0);
        entry.link = vec![b'l'; 4_095];
        entry
    });
    let checked = checked(entries).unwrap();
    assert_eq!(checked.catalog().entries(), 300);
    assert!(checked.catalog().pages() > 4);
}

#[test]
fn what_cannot_be_in_one_tree_is_refused_when_it_is_written_whatever_the_order() {
    let file = |path| entry(path, EntryKind::File, 0);
    let fault = |entries: Vec<Entry>| match written(entries) {
        Err(TreeError::Name { fault, .. }) => Some(fault),
        _ => None,
    };
    assert_eq!(fault(vec![file("a"), file("a")]), Some(NameFault::Duplicate));
    assert_eq!(fault(vec![file("b"), file("a"), file("c"), file("b")]), Some(NameFault::Duplicate));
    assert_eq!(fault(vec![file("a"), file("a/b")]), Some(NameFault::BelowNonDirectory));
    assert_eq!(fault(vec![file("a/b"), file("a")]), Some(NameFault::BelowNonDirectory));
    assert_eq!(fault(vec![file("a/b"), entry("a", EntryKind::Directory, 0)]), None);
}

#[test]
fn a_tree_without_a_catalog_is_a_plain_file() {
    let mut writer = CatalogWriter::new(&std::env::temp_dir()).unwrap();
    (0..10_000).for_each(|number| writer.push(entry(&format!("{number:05}"), EntryKind::File, 0)).unwrap());
    let written = Arc::new(writer.finish_without_catalog(77).unwrap());
    assert_eq!(ReadAt::len(&*written), 64);
    assert!(matches!(Catalog::open(written.into_plaintext()), Ok(Content::PlainFile { tar_len: 77 })));
}

#[test]
fn an_archive_without_its_end_has_no_catalog() {
    for end in [0, 512, 1_023] {
        let mut writer = CatalogWriter::new(&std::env::temp_dir()).unwrap();
        writer.push(entry("a", EntryKind::File, 1)).unwrap();
        let tar_len = writer.next_header_at() + end;
        assert!(matches!(writer.finish(tar_len), Err(TreeError::OutsideProfile { .. })));
    }
}

#[test]
fn paths_that_differ_in_case_alone_are_in_one_tree_and_are_found() {
    let found = |paths: [&str; 3]| {
        let plaintext = written(paths.map(|path| entry(path, EntryKind::File, 0))).unwrap().into_plaintext();
        let Content::Tree(catalog) = Catalog::open(plaintext).unwrap() else { panic!("it is a tree") };
        catalog.check().unwrap().same_but_for_case().unwrap().map(|path| path.to_string())
    };
    assert_eq!(found(["A", "B", "a"]), Some("a".to_owned()));
    assert_eq!(found(["A/1", "a/2", "b"]), Some("a".to_owned()));
    assert_eq!(found(["A/1", "A/2", "b"]), None);
}
