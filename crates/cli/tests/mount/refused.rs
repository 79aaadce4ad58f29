//! What is not mounted, before anything is: the directory, the stream, the keys.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::place::{Place, assert_refused};

fn make_file(tree: &Path) {
    fs::write(tree.join("file"), "of a tree").unwrap();
}

fn mount(place: &Place, arguments: &[&str]) -> Output {
    let output = place.cofferdam(&[&["mount"], arguments].concat()).output().unwrap();
    assert!(place.mounts().is_empty());
    output
}

#[test]
fn a_directory_that_is_not_empty_or_none_is_refused_before_anybody_is_asked() {
    let Some(place) = Place::with_tree(make_file) else { return };
    // A passphrase would be asked for, and there is no terminal.
    let refused = |directory: &str, code: i32, words: &str| {
        let output = mount(&place, &["--passphrase", "tree.cfd", directory]);
        assert_refused(&output, code, words);
    };
    refused("tree", 6, "tree: the directory is not empty");
    refused("absent", 1, "absent: ");
    refused("tree.cfd", 1, "tree.cfd: ");
    refused("-", 2, "DIR");
    refused("s3://bucket/key", 2, "DIR");
    assert_eq!(fs::read(place.path("tree/file")).unwrap(), b"of a tree");
}

#[test]
fn a_stream_that_cannot_be_opened_is_refused_with_its_own_code() {
    let Some(place) = Place::with_tree(make_file) else { return };
    let sealed = fs::read(place.path("tree.cfd")).unwrap();
    fs::write(place.path("cut.cfd"), &sealed[..sealed.len() - 9]).unwrap();
    fs::write(place.path("none"), "no stream at all, and long enough to be looked at as one".repeat(99))
        .unwrap();
    assert!(place.cofferdam(&["keygen", "-o", "other.txt"]).output().unwrap().status.success());
    for (key, sealed, code) in [
        ("other.txt", "tree.cfd", 4),
        ("key.txt", "cut.cfd", 3),
        ("key.txt", "none", 11),
        ("key.txt", "absent", 1),
        ("absent", "tree.cfd", 1),
    ] {
        assert_refused(&mount(&place, &["-i", key, sealed, "mnt"]), code, "cofferdam: ");
    }
    let digest = "0".repeat(64);
    let pinned = mount(&place, &["-i", "key.txt", "--expect-digest", &digest, "tree.cfd", "mnt"]);
    assert_refused(&pinned, 3, "tree.cfd");
}

#[test]
fn a_tree_whose_catalog_is_damaged_is_refused() {
    let Some(place) = Place::with_tree(make_file) else { return };
    let reader = place.reader("tree.cfd");
    let last = reader.len() - 1;
    let range = reader.ciphertext_range(last..last + 1).unwrap();
    place.change_sealed("tree.cfd", range);
    assert_refused(&mount(&place, &["-i", "key.txt", "tree.cfd", "mnt"]), 3, "tree.cfd: ");
}
