//! Archives that other programs write into a pipe: they pass bit for bit, and their catalog follows.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod fixture;

use std::{
    io,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use cofferdam_io::ReadAt;
use fixture::{list, make_tree};
use sources::{Arrival, BytesSource, Source};
use tree::{
    Catalog, CatalogOutcome, CatalogWriter, CheckedCatalog, Content, Entry, EntryKind, Member, NameFault,
    TarSource, TreeError, TreePath,
};

/// What a source of this archive gives, read in pieces of `piece_len`.
fn read_all(archive: &[u8], piece_len: usize) -> (io::Result<Vec<u8>>, CatalogOutcome) {
    let inner = BytesSource::new(archive.to_vec());
    let mut source = TarSource::new(inner, &std::env::temp_dir()).unwrap();
    assert!(source.positioned().is_none() && Source::len(&source).is_none());
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; piece_len]);
    let outcome = source.outcome();
    loop {
        match source.read_within(&mut buffer, Duration::ZERO) {
            Ok(Arrival::Bytes(count)) => bytes.extend_from_slice(&buffer[..count]),
            Ok(Arrival::End) => return (Ok(bytes), outcome),
            Ok(Arrival::NothingYet) => {}
            Err(error) => return (Err(error), outcome),
        }
    }
}

/// Why an archive gives no plaintext.
fn refusal(archive: &[u8]) -> String {
    let (read, outcome) = read_all(archive, 10_007);
    let said = read.map(|plaintext| plaintext.len()).unwrap_err().to_string();
    assert_eq!(outcome.get().unwrap().as_ref().unwrap_err().to_string(), said);
    said
}

/// Why an archive has no catalog, which then is a plain file of its length.
fn reason(archive: &[u8]) -> String {
    let (read, outcome) = read_all(archive, 10_007);
    let plaintext = read.unwrap();
    assert!(plaintext.len() == archive.len() + 64 && plaintext.starts_with(archive));
    let content = Catalog::open(Arc::new(Memory::of(plaintext))).unwrap();
    assert!(matches!(content, Content::PlainFile { tar_len } if tar_len == archive.len() as u64));
    outcome.get().unwrap().as_ref().unwrap_err().to_string()
}

/// The catalog behind an archive within the profile.
fn catalog(archive: &[u8], piece_len: usize) -> CheckedCatalog {
    let (read, outcome) = read_all(archive, piece_len);
    let plaintext = read.unwrap();
    assert!(plaintext.starts_with(archive), "the archive passes bit for bit");
    let counts = *outcome.get().unwrap().as_ref().unwrap_or_else(|error| panic!("{error}"));
    let Content::Tree(catalog) = Catalog::open(Arc::new(Memory::of(plaintext))).unwrap() else {
        panic!("an archive within the profile has a catalog");
    };
    let checked = catalog.check().unwrap();
    assert_eq!(checked.counts(), counts);
    assert_eq!(checked.catalog().tar_len(), archive.len() as u64);
    checked
}

struct Memory {
    bytes: Vec<u8>,
    reads: AtomicUsize,
}

impl Memory {
    fn of(bytes: Vec<u8>) -> Memory {
        Memory { bytes, reads: AtomicUsize::new(0) }
    }
}

impl ReadAt for Memory {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        buffer.copy_from_slice(&self.bytes[offset as usize..][..buffer.len()]);
        Ok(())
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

fn write(program: &str, arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

fn file(text: &str) -> Member {
    Member::new(path(text), EntryKind::File, 0o644)
}

fn hard_link(text: &str, target: &str) -> Member {
    Member { link: target.into(), ..Member::new(path(text), EntryKind::HardLink, 0o644) }
}

/// The archive of members without data.
fn archive_of(members: &[Member]) -> Vec<u8> {
    let headers: Vec<u8> = members.iter().flat_map(|member| member.to_header().unwrap()).collect();
    [headers, vec![0; 1_024]].concat()
}

const PYTHON: &str = "import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.PAX_FORMAT); t.add('.'); t.close()";
/// What each program writes by itself, or is told to write so that it is within the profile.
const COMMANDS: [(&str, &[&str]); 5] = [
    ("tar", &["--format=posix", "-cf", "-", "."]),
    ("tar", &["--format=posix", "--sort=name", "--xattrs", "-cf", "-", "."]),
    ("bsdtar", &["--no-read-sparse", "-cf", "-", "."]),
    ("bsdtar", &["--format=pax", "--no-read-sparse", "-cf", "-", "."]),
    ("python3", &["-c", PYTHON]),
];

#[test]
fn archives_of_the_three_programs_pass_bit_for_bit_and_get_a_catalog() {
    let scratch = tempfile::tempdir().unwrap();
    make_tree(scratch.path());
    for (program, arguments) in COMMANDS {
        let archive = write(program, arguments, scratch.path());
        for piece_len in [1_000, 10_240, 1 << 20] {
            let checked = catalog(&archive, piece_len);
            assert_eq!(checked.counts().hard_links, 2, "{program} {arguments:?}");
            for (name, found) in list(scratch.path()).iter().filter(|(name, _)| !name.is_empty()) {
                let located = checked.catalog().find(&TreePath::parse(name).unwrap()).unwrap().unwrap();
                let data = &archive[located.data_at() as usize..][..located.entry.size as usize];
                let is_same = located.entry.kind != EntryKind::File || data == found.contents;
                assert!(is_same, "{program} {arguments:?}: {}", located.entry.path);
            }
        }
    }
}

#[test]
fn the_pieces_do_not_matter() {
    let archive = archive_of(&[file("a"), hard_link("b", "a"), file("c")]);
    let (expected, _) = read_all(&archive, archive.len());
    let expected = expected.unwrap();
    for piece_len in [1, 7, 511, 512, 513] {
        assert!(read_all(&archive, piece_len).0.unwrap() == expected, "pieces of {piece_len}");
    }
}

#[test]
fn an_archive_in_another_format_passes_and_is_a_plain_file() {
    let scratch = tempfile::tempdir().unwrap();
    make_tree(scratch.path());
    let mut exotic = vec![
        (write("tar", &["--format=gnu", "-cf", "-", "."], scratch.path()), "GNU"),
        (write("tar", &["--format=v7", "-cf", "-", "a/b/c/script"], scratch.path()), "no ustar header"),
        (write("tar", &["--format=posix", "--sparse", "-cf", "-", "sparse"], scratch.path()), "GNU.sparse"),
    ];
    // Twice the same, in order and out of it; what is seen at the end alone; a link to what is none, or comes later.
    for (members, what) in [
        (vec![file("a"), file("a")], "occurs twice"),
        (vec![file("b"), file("c"), file("a"), file("b")], "occurs twice"),
        (vec![file("b"), file("a/c"), file("a")], "not a directory"),
        (vec![file("a"), hard_link("b", "c")], "hard link"),
        (vec![hard_link("a", "b"), file("b")], "hard link"),
        (vec![file("a"), hard_link("b", "a"), hard_link("c", "b")], "hard link"),
    ] {
        exotic.push((archive_of(&members), what));
    }
    exotic.push(([archive_of(&[file("a")]), archive_of(&[file("b")])].concat(), "behind the archive's end"));
    for (archive, what) in exotic {
        let reason = reason(&archive);
        assert!(reason.contains(what), "`{what}`: {reason}");
    }
}

#[test]
fn an_archive_that_is_cut_off_is_an_error() {
    let scratch = tempfile::tempdir().unwrap();
    make_tree(scratch.path());
    for format in ["--format=posix", "--format=gnu"] {
        let archive = write("tar", &[format, "-b1", "-cf", "-", "a", "a.txt"], scratch.path());
        assert!(archive.ends_with(&[0; 1_024]) && !archive.ends_with(&[0; 1_536]));
        // Within a header, data, padding; between members; within the end.
        let whole = archive.len();
        for len in (512..whole).step_by(100_003).chain([1_000, 1_024, whole - 1_024, whole - 512, whole - 1])
        {
            let error = refusal(&archive[..len]);
            assert!(
                error.contains(&format!("it ends at byte {len}, and not with two blocks of zeros")),
                "{format}: {error}"
            );
        }
    }
    assert!(refusal(&[archive_of(&[file("a")]), vec![0; 100]].concat()).contains("cut off"));
    // Zeros of a file are not the archive's end.
    let zeros = Member { size: 8_192, ..file("zeros") };
    let archive = [zeros.to_header().unwrap(), vec![0; 4_096]].concat();
    assert!(refusal(&archive).contains("cut off"));
}

#[test]
fn what_is_no_archive_is_an_error_and_not_a_plain_file() {
    let scratch = tempfile::tempdir().unwrap();
    make_tree(scratch.path());
    let packed = write("sh", &["-c", "tar c . | gzip"], scratch.path());
    let image =
        [vec![0; 1 << 20], b"a boot sector is not always the first".to_vec(), vec![0; 1 << 20]].concat();
    let text = b"CREATE TABLE t (a int);\n".repeat(1_000);
    for bytes in [&packed, &image, &text, &vec![0xff; 20_000]] {
        let error = refusal(bytes);
        assert!(error.contains("this is no tar archive: it does not begin with a header"), "{error}");
    }
    // Whoever reads on gets no tree.
    for bytes in [&text, &b"ustar".to_vec()] {
        let scratch = std::env::temp_dir();
        let mut source = TarSource::new(BytesSource::new(bytes.clone()), &scratch).unwrap();
        let (mut buffer, mut said) = ([0; 512], Vec::new());
        while said.len() < 40 {
            match source.read_within(&mut buffer, Duration::MAX) {
                Err(error) => said.push((error.kind(), error.to_string())),
                Ok(Arrival::Bytes(_)) if said.is_empty() => {}
                Ok(_) => panic!("{said:?}"),
            }
        }
        assert!(said.iter().all(|again| *again == said[0]), "{said:?}");
    }
    assert!(refusal(b"").contains("nothing came"));
    assert!(refusal(b"ustar").contains("it has 5 bytes"));
    // An empty archive is one.
    assert_eq!(catalog(&vec![0; 10_240], 512).counts().files, 0);
}

#[test]
fn an_archive_in_any_order_is_checked_with_few_reads() {
    const FILES: u32 = 60_000;
    let mut rng = fastrand::Rng::with_seed(3);
    let mut numbers: Vec<u32> = (0..FILES).collect();
    rng.shuffle(&mut numbers);
    let mut members: Vec<Member> = numbers.iter().map(|number| file(&format!("d/{number:08}"))).collect();
    let links = (0..5_000).map(|number| hard_link(&format!("l/{number}"), &format!("d/{:08}", number * 7)));
    members.extend(links);
    let mut writer = CatalogWriter::new(&std::env::temp_dir()).unwrap();
    members.iter().for_each(|member| writer.push(member.to_entry(512)).unwrap());
    let tar_len = writer.next_header_at() + 1_024;
    let written = Arc::new(writer.finish(tar_len).unwrap());
    let mut plaintext = vec![0; tar_len as usize + written.len() as usize];
    written.read_exact_at(0, &mut plaintext[tar_len as usize..]).unwrap();
    let memory = Arc::new(Memory::of(plaintext));
    let Content::Tree(opened) = Catalog::open(memory.clone()).unwrap() else { panic!() };
    let checked = opened.check().unwrap();
    // A few for each page; far fewer than members.
    let reads = memory.reads.load(Ordering::Relaxed);
    assert!(reads < 10 * checked.catalog().pages(), "{reads} reads of {} pages", checked.catalog().pages());

    let found: Vec<Entry> =
        checked.catalog().in_order(0..u64::MAX).map(|located| located.unwrap().entry).collect();
    let reads = memory.reads.load(Ordering::Relaxed) - reads;
    assert!(reads < 10 * checked.catalog().pages(), "{reads} reads of {} pages", checked.catalog().pages());
    let mut expected: Vec<Entry> = members.iter().map(|member| member.to_entry(512)).collect();
    expected.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found == expected);
}

#[test]
fn what_the_medium_says_is_passed_on() {
    struct Failing;
    impl Source for Failing {
        fn len(&self) -> Option<u64> {
            None
        }
        fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
            None
        }
        fn read_within(&mut self, _: &mut [u8], _: Duration) -> io::Result<Arrival> {
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        }
    }
    let mut source = TarSource::new(Failing, &std::env::temp_dir()).unwrap();
    let error = source.read_within(&mut [0; 10], Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let none = TarSource::new(Failing, Path::new("/nowhere/at/all"));
    assert!(matches!(none, Err(TreeError::Io { .. })));
}

#[test]
fn links_of_postgresql_end_with_a_slash() {
    // A link to a directory of which pg_basebackup writes the name as that of a directory.
    let link = Member {
        link: b"/srv/fast".to_vec(),
        ..Member::new(path("pg_tblspc/16384"), EntryKind::Symlink, 0o777)
    };
    let mut header = link.to_header().unwrap();
    let name = b"pg_tblspc/16384/\0\0";
    header[..name.len()].copy_from_slice(name);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_eq!(Member::parse(&header).unwrap(), link);
    header[..name.len()].fill(0);
    header[..2].copy_from_slice(b"./");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let fault = Member::parse(&header).unwrap_err();
    assert!(matches!(fault, tree::HeaderFault::Name(_, NameFault::Dots)), "{fault}");
}
