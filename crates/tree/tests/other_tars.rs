//! Archives that other programs write: within the strict profile they get a catalog that says what is in them, else they are plain files.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod fixture;

use std::{fs, path::Path, process::Command, sync::Arc};

use cofferdam_io::ReadAt;
use fixture::{Listing, list, make_tree};
use tree::{ArchiveScanner, Catalog, CatalogWriter, CheckedCatalog, Content, EntryKind, TreeError, TreePath};

/// The catalog of an archive that comes in order.
fn catalog_of(archive: &[u8]) -> Result<CheckedCatalog, TreeError> {
    let (mut scanner, mut writer) = (ArchiveScanner::default(), CatalogWriter::new(&std::env::temp_dir())?);
    for piece in archive.chunks(10_007) {
        scanner.push(piece, &mut |found| writer.push(found.member.to_entry(found.header_len)))?;
    }
    let written = Arc::new(writer.finish(scanner.finish()?)?);
    assert!(written.len() >= 64);
    match Catalog::open(written.into_plaintext())? {
        Content::Tree(catalog) => catalog.check(),
        Content::PlainFile { .. } => panic!("it was finished with a catalog"),
    }
}

fn write(program: &str, arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Whether the catalog has all that is in the directory, and nothing else.
fn check_against(listing: &Listing, checked: &CheckedCatalog, archive: &[u8], what: &str, nanoseconds: bool) {
    let catalog = checked.catalog();
    // It writes the second before 1970 that a fraction follows, where tar's others write the number.
    let is_bsdtar = what.starts_with("bsdtar");
    for (name, found) in listing {
        let path = if name.is_empty() { TreePath::root() } else { TreePath::parse(name).unwrap() };
        let Some(located) = catalog.find(&path).unwrap() else {
            // The root is a member of no archive of Python's `add` with a name for it, nor of the last kinds.
            assert!(name.is_empty(), "{what}: {path} is missing");
            continue;
        };
        let entry = &located.entry;
        assert_eq!(entry.mode, found.kind_and_mode & 0o7777, "{what}: {path}");
        if entry.kind == EntryKind::File {
            let data = &archive[located.data_at() as usize..][..entry.size as usize];
            assert!(data == found.contents, "{what}: {path}");
        }
        if entry.kind == EntryKind::Symlink {
            assert_eq!(entry.link, found.contents, "{what}: {path}");
        } else if nanoseconds && entry.kind != EntryKind::HardLink && !(is_bsdtar && found.modified.0 < 0) {
            assert_eq!(
                (entry.modified.seconds, i64::from(entry.modified.nanos)),
                found.modified,
                "{what}: {path}"
            );
        }
    }
    assert!(catalog.entries() as usize >= listing.len() - 1, "{what}");
}

#[test]
fn what_the_three_programs_write_within_the_profile_is_taken() {
    let scratch = tempfile::tempdir().unwrap();
    make_tree(scratch.path());
    let listing = list(scratch.path());
    let mut commands: Vec<(&str, Vec<String>, bool)> = Vec::new();
    for option in [
        "--sort=name",
        "--xattrs",
        "--numeric-owner",
        "--blocking-factor=1",
        "--blocking-factor=100",
        "--pax-option=delete=atime,delete=ctime",
        "--no-recursion",
        "--record-size=512",
        "--acls",
        "--hard-dereference",
        "--owner=nobody:65534",
    ] {
        let arguments = ["--format=posix", option, "-cf", "-", "."];
        commands.push((
            "tar",
            arguments.into_iter().map(str::to_owned).collect(),
            option != "--no-recursion",
        ));
    }
    for options in [
        vec![],
        vec!["--xattrs"],
        vec!["--acls"],
        vec!["--uid", "3000000"],
        vec!["-b", "1"],
        vec!["-b", "100"],
        vec!["--no-xattrs"],
    ] {
        let arguments = [vec!["--format=pax"], options, vec!["--no-read-sparse", "-cf", "-", "."]].concat();
        commands.push(("bsdtar", arguments.into_iter().map(str::to_owned).collect(), true));
    }
    let mut taken = 0;
    for (program, arguments, is_whole) in commands {
        let what = format!("{program} {}", arguments.join(" "));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let archive = write(program, &arguments, scratch.path());
        let checked = catalog_of(&archive).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(checked.catalog().tar_len(), archive.len() as u64, "{what}");
        if is_whole {
            check_against(&listing, &checked, &archive, &what, true);
        }
        taken += 1;
    }
    assert_eq!(taken, 18);
}

#[test]
fn what_python_writes_is_taken() {
    let scratch = tempfile::tempdir().unwrap();
    make_tree(scratch.path());
    let listing = list(scratch.path());
    for (format, name) in [("PAX_FORMAT", "."), ("PAX_FORMAT", "x")] {
        let script = format!(
            "import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.{format}); t.add('.', {name:?}); t.close()"
        );
        let archive = write("python3", &["-c", &script], scratch.path());
        let checked = catalog_of(&archive).unwrap();
        if name == "." {
            check_against(&listing, &checked, &archive, format, false);
        } else {
            assert!(checked.catalog().find(&TreePath::parse(b"x/a/b/7").unwrap()).unwrap().is_some());
        }
    }
}

#[test]
fn short_names_in_ustar_are_taken_from_all_of_them() {
    let scratch = tempfile::tempdir().unwrap();
    for directory in ["d", "d/e"] {
        fs::create_dir(scratch.path().join(directory)).unwrap();
    }
    for file in ["a", "d/b", "d/e/c"] {
        fs::write(scratch.path().join(file), file.repeat(300)).unwrap();
    }
    fs::hard_link(scratch.path().join("a"), scratch.path().join("d/hard")).unwrap();
    let listing = list(scratch.path());
    let python = "import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.USTAR_FORMAT); t.add('.'); t.close()";
    let commands: [(&str, Vec<&str>); 8] = [
        ("tar", vec!["--format=ustar", "-cf", "-", "."]),
        ("tar", vec!["--format=ustar", "-cf", "-", "a", "d"]),
        ("tar", vec!["--format=ustar", "--transform=s,^./,,", "-cf", "-", "."]),
        ("tar", vec!["--format=posix", "-cf", "-", "d", "a"]),
        ("bsdtar", vec!["--format=ustar", "-cf", "-", "."]),
        ("bsdtar", vec!["--format=ustar", "-cf", "-", "a", "d"]),
        ("bsdtar", vec!["-cf", "-", "d", "a"]),
        ("python3", vec!["-c", python]),
    ];
    for (program, arguments) in commands {
        let what = format!("{program} {}", arguments.join(" "));
        let archive = write(program, &arguments, scratch.path());
        let checked = catalog_of(&archive).unwrap_or_else(|error| panic!("{what}: {error}"));
        check_against(&listing, &checked, &archive, &what, false);
    }
}

#[test]
fn what_is_outside_of_the_profile_is_said_and_has_no_catalog() {
    let scratch = tempfile::tempdir().unwrap();
    let sparse = fs::File::create(scratch.path().join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    fs::write(scratch.path().join("n".repeat(150)), "x").unwrap();
    let twice = "import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|'); t.add('sparse'); t.add('sparse'); t.close()";
    let global = "import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', pax_headers={'comment': 'x'}); t.add('sparse'); t.close()";
    let absolute = "import sys, tarfile, io\nt = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')\ni = tarfile.TarInfo('/etc/passwd')\nt.addfile(i, io.BytesIO())\nt.close()";
    let commands: [(&str, Vec<&str>); 8] = [
        ("tar", vec!["--format=gnu", "-cf", "-", "."]),
        ("tar", vec!["--format=oldgnu", "-cf", "-", "."]),
        ("tar", vec!["--format=v7", "-cf", "-", "sparse"]),
        ("tar", vec!["--format=posix", "--sparse", "-cf", "-", "."]),
        ("bsdtar", vec!["--format=gnutar", "-cf", "-", "."]),
        ("python3", vec!["-c", twice]),
        ("python3", vec!["-c", global]),
        ("python3", vec!["-c", absolute]),
    ];
    for (program, arguments) in commands {
        let archive = write(program, &arguments, scratch.path());
        let refused = catalog_of(&archive).map(|_| ());
        let is_outside = matches!(refused, Err(TreeError::OutsideProfile { .. } | TreeError::Name { .. }));
        assert!(is_outside, "{program} {arguments:?}: {refused:?}");
    }
}
