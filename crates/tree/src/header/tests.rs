//! Headers: what is written is read back, and what is outside of the profile is refused.

use super::*;
use crate::Xattr;

fn path(text: &str) -> TreePath {
    TreePath::parse(text.as_bytes()).unwrap()
}

fn file(text: &str) -> Member {
    Member {
        size: 3,
        uid: 1_000,
        gid: 100,
        user: b"user".to_vec(),
        group: b"users".to_vec(),
        modified: Timestamp { seconds: 1_700_000_000, nanos: 0 },
        ..Member::new(path(text), EntryKind::File, 0o640)
    }
}

fn xattr(name: &str, len: usize) -> Xattr {
    Xattr { name: name.as_bytes().to_vec(), value: vec![7; len] }
}

fn comes_back(member: &Member) -> usize {
    let header = member.to_header().unwrap();
    assert_eq!(Member::parse(&header).as_ref(), Ok(member));
    let first = FirstBlock::parse(header.first_chunk().unwrap()).unwrap();
    assert_eq!(first.header_len(), header.len());
    header.len()
}

#[test]
fn a_plain_member_takes_one_block() {
    assert_eq!(comes_back(&file("a/b")), 512);
    assert_eq!(comes_back(&Member::new(TreePath::root(), EntryKind::Directory, 0o1777)), 512);
    assert_eq!(comes_back(&file(&"n".repeat(100))), 512);
    assert_eq!(comes_back(&file(&format!("{}/{}", "d".repeat(153), "n".repeat(100)))), 512);
    let symlink = Member { link: b"../../etc".to_vec(), ..Member::new(path("l"), EntryKind::Symlink, 0o777) };
    assert_eq!(comes_back(&symlink), 512);
    let device = Member { device: (8, 1_048_575), ..Member::new(path("sda"), EntryKind::BlockDevice, 0o660) };
    assert_eq!(comes_back(&device), 512);
}

#[test]
fn what_a_block_cannot_say_goes_into_records() {
    let (mut directory, mut non_utf8) = (Member::new(path("d"), EntryKind::Directory, 0o755), file("f"));
    directory.path = path(&format!("{}/{}", "d".repeat(156), "n".repeat(99)));
    non_utf8.path = TreePath::parse(&[b'\xff'; 101]).unwrap();
    let long = |text: &str| text.repeat(2_047) + "x";
    let long_link =
        Member { link: long("./").into_bytes(), ..Member::new(path("l"), EntryKind::Symlink, 0o777) };
    let cases = [
        directory,
        non_utf8,
        long_link,
        file(&"n".repeat(101)),
        file(&long("d/")),
        Member { uid: 2_097_152, gid: u32::MAX - 1, ..file("f") },
        Member { user: vec![b'u'; 32], group: vec![b'g'; 255], ..file("f") },
        Member { size: 1 << 33, ..file("f") },
        Member { size: SIZE_MAX - 511, ..file("f") },
        Member { xattrs: vec![xattr("user.a=", 65_536), xattr("user.b", 0)], ..file("f") },
    ];
    for member in &cases {
        assert!(comes_back(member) >= 1_536, "{member:?}");
    }
}

#[test]
fn times_keep_their_nanoseconds_before_1970_too() {
    for (seconds, nanos, decimal) in [
        (0, 1, "0.000000001"),
        (1, 500_000_000, "1.5"),
        (-1, 0, "-1"),
        (-2, 500_000_000, "-1.5"),
        (-1, 999_999_999, "-0.000000001"),
        (i64::MIN + 1, 0, "-9223372036854775807"),
        (i64::MIN, 0, "-9223372036854775808"),
        (i64::MIN, 500_000_000, "-9223372036854775807.5"),
        (1 << 33, 0, "8589934592"),
    ] {
        let modified = Timestamp { seconds, nanos };
        assert_eq!(modified.to_decimal(), decimal);
        assert_eq!(Timestamp::of_decimal(decimal.as_bytes()), Some(modified));
        assert_eq!(comes_back(&Member { modified, ..file("f") }), 1_536);
    }
    let of = |text: &str| Timestamp::of_decimal(text.as_bytes());
    assert_eq!(of("1.0000000019"), Some(Timestamp { seconds: 1, nanos: 1 }));
    assert_eq!(of("-1.0000000001"), Some(Timestamp { seconds: -2, nanos: 999_999_999 }));
    for bad in [
        "",
        "-",
        ".5",
        "1.",
        "1e3",
        "+1",
        " 1",
        "1.-5",
        "9223372036854775808",
        "-9223372036854775808.5",
        "-9223372036854775809",
    ] {
        assert_eq!(of(bad), None, "{bad:?}");
    }
}

/// A header of one pax record before a block.
fn with_record(key: &str, value: &str, change: impl FnOnce(&mut Block)) -> Vec<u8> {
    let mut records = RecordsWriter::default();
    records.push(key.as_bytes(), value.as_bytes());
    let records = records.finish();
    let mut header = Vec::new();
    Block { size: records.len() as u64, ..Block::new(b'x') }.write(&mut header);
    header.extend(records);
    header.resize(1_024, 0);
    let mut block = Block { name: b"f".to_vec(), mode: 0o644, ..Block::new(b'0') };
    change(&mut block);
    block.write(&mut header);
    header
}

#[test]
fn two_sizes_that_differ_are_refused() {
    let sizes = |pax: u64, own: u64| {
        Member::parse(&with_record("size", &pax.to_string(), |block| block.size = own)).map(|it| it.size)
    };
    let beyond = 1 << 33;
    assert_eq!(sizes(7, 7), Ok(7));
    for own in [0, beyond - 1] {
        assert_eq!(sizes(beyond, own), Ok(beyond));
    }
    for (pax, own) in [(7, 6), (0, 7), (7, 0), (beyond - 1, 0), (beyond, 7), (u64::MAX, 0)] {
        assert!(sizes(pax, own).is_err(), "{pax} beside {own}");
    }
}

#[test]
fn names_that_leave_the_tree_are_refused_wherever_they_stand() {
    for name in ["/etc/passwd", "../x", "a/../../x", "./../x", "a//b", ""] {
        let in_block = with_record("comment", "x", |block| block.name = name.as_bytes().to_vec());
        assert!(matches!(Member::parse(&in_block), Err(HeaderFault::Name(..))), "{name}");
        if !name.is_empty() {
            let in_record = with_record("path", name, |_| {});
            assert!(matches!(Member::parse(&in_record), Err(HeaderFault::Name(..))), "{name}");
        }
        let of_link = |block: &mut Block| (block.typeflag, block.link) = (b'1', name.as_bytes().to_vec());
        assert!(Member::parse(&with_record("comment", "x", of_link)).is_err(), "a link to {name}");
    }
    let prefixed = |block: &mut Block| block.prefix = b"..".to_vec();
    assert!(Member::parse(&with_record("comment", "x", prefixed)).is_err());
}

#[test]
fn other_types_and_members_with_bytes_that_have_none_are_refused() {
    for flag in [b'g', b'7', b'S', b'L', b'K', b'M', b'V', b'D', 0, b'x'] {
        let header = with_record("comment", "x", |block| block.typeflag = flag);
        assert!(Member::parse(&header).is_err(), "type {}", flag.escape_ascii());
    }
    for flag in b'1'..=b'6' {
        let with_bytes = |block: &mut Block| {
            (block.typeflag, block.size, block.link) = (flag, 1, b"t".to_vec());
        };
        assert!(Member::parse(&with_record("comment", "x", with_bytes)).is_err(), "type {flag}");
    }
}

#[test]
fn a_header_is_read_whole_or_not_at_all() {
    let header = Member { uid: 1 << 30, ..file("f") }.to_header().unwrap();
    for len in [0, 1, 511, 512, 1_024, 1_535] {
        assert!(Member::parse(&header[..len]).is_err(), "{len} bytes");
    }
    assert!(Member::parse(&[&*header, &[0; 512]].concat()).is_err());
    assert!(Member::parse(&[0; 512]).is_err());
}

#[test]
fn what_a_header_cannot_keep_is_an_error_and_not_left_out() {
    let cases = [
        Member { mode: 0o10000, ..file("f") },
        Member { uid: u32::MAX, ..file("f") },
        Member { device: (1 << 21, 0), ..Member::new(path("d"), EntryKind::CharDevice, 0) },
        Member { size: 1, ..Member::new(path("d"), EntryKind::Directory, 0) },
        Member { user: vec![b'u'; 256], ..file("f") },
        Member { xattrs: (0..17).map(|at| xattr(&format!("user.{at}"), 65_536)).collect(), ..file("f") },
        Member::new(path("l"), EntryKind::Symlink, 0o777),
    ];
    for member in &cases {
        assert!(member.to_header().is_err(), "{:?}", member.kind);
    }
}

#[test]
fn a_time_in_base_256_needs_a_record() {
    let in_base_256 = |mut header: Vec<u8>| {
        let at = header.len() - 512;
        header[at + 136] = 0x80;
        header[at + 148..at + 156].fill(b' ');
        let sum: u32 = header[at..].iter().map(|byte| u32::from(*byte)).sum();
        header[at + 148..at + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    };
    let read = |key: &str| Member::parse(&in_base_256(with_record(key, "-1.5", |_| {})));
    assert_eq!(read("mtime").unwrap().modified, Timestamp { seconds: -2, nanos: 500_000_000 });
    assert!(read("comment").is_err());
}
