//! Owns the text of manifests: what another program has made by docs/MANIFEST.md is read, made again to the byte, and nothing like it.
//! Refuses to know streams and signatures.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use parts::{MANIFEST_LEN_MAX, Manifest, RecordError, SHARDS_MAX, Shard, ShardName, UnusableManifest};
use sha2::{Digest as _, Sha256};

/// `manifest.py` made it.
const MANIFEST: &str = include_str!("manifest.txt");

fn shard(name: &[u8], source: &str, plaintext_len: u64) -> Shard {
    Shard {
        name: ShardName::new(OsString::from_vec(name.to_vec())).unwrap(),
        stream_digest: Sha256::digest(name).into(),
        plaintext_len,
        source: source.into(),
    }
}

fn shards() -> Vec<Shard> {
    vec![
        shard(b"users", "s3://backups/users.cfd", 5),
        shard(b"\xffshard", "/srv/backups/raw.cfd", 0),
        shard(b"Orders of may", "orders%.cfd", 1 << 40),
    ]
}

#[test]
fn a_manifest_that_another_program_has_made_is_read_and_made_again_to_the_byte() {
    let read = Manifest::parse(MANIFEST.as_bytes()).unwrap();
    assert_eq!(read, Manifest::new(Some(17), shards()).unwrap());
    assert_eq!(read.to_text(), MANIFEST);
    assert_eq!((read.sequence(), read.plaintext_len()), (Some(17), (1 << 40) + 5));
    assert_eq!(read.id(), <[u8; 32]>::from(Sha256::digest(MANIFEST)));
}

#[test]
fn a_name_that_leads_elsewhere_is_none() {
    for wrong in ["", ".", "..", "../x", "/x", "a/b", "a/", ".hidden", "a\0b", "a.cofferdam-journal"] {
        assert_eq!(ShardName::new(wrong), None, "{wrong:?}");
    }
    assert_eq!(ShardName::new("x".repeat(ShardName::LEN_MAX + 1)), None);
    for right in ["x", "a..b", "a.", "a.cofferdam", "a b", "-", "\u{1f980}", &"x".repeat(ShardName::LEN_MAX)]
    {
        assert!(ShardName::new(right).is_some(), "{right:?}");
    }
    for wrong in
        ["..", "../x", "%2E%2E", "/users", "%2Fusers", "users%2Fa", ".users", "users%00", "users.cofferdam-x"]
    {
        let text = MANIFEST.replace("shard users", &format!("shard {wrong}"));
        assert!(matches!(Manifest::parse(text.as_bytes()), Err(RecordError::Malformed { .. })), "{wrong}");
    }
}

#[test]
fn a_shard_comes_once_and_in_one_order() {
    let twice = Manifest::new(None, vec![shard(b"a", "1", 0), shard(b"b", "2", 0), shard(b"a", "3", 0)]);
    assert_eq!(twice, Err(UnusableManifest::Twice(ShardName::new("a").unwrap())));
    let lines: Vec<&str> = MANIFEST.lines().collect();
    for order in [[0, 1, 2, 4, 3, 5], [0, 1, 2, 3, 3, 5]] {
        let text: String = order.map(|line| format!("{}\n", lines[line])).concat();
        assert_eq!(Manifest::parse(text.as_bytes()), Err(RecordError::Contradictory), "{text}");
    }
}

/// Each byte counts: what is read has one spelling.
#[test]
fn no_text_but_one_says_the_same() {
    let read = Manifest::parse(MANIFEST.as_bytes()).unwrap();
    for at in 0..MANIFEST.len() {
        let mut text = MANIFEST.as_bytes().to_vec();
        text[at] ^= 1;
        assert!(Manifest::parse(&text).map_or(true, |changed| changed != read), "{at}");
        text.remove(at);
        assert!(Manifest::parse(&text).map_or(true, |shorter| shorter != read), "{at}");
    }
    for wrong in [
        format!("{MANIFEST}\n"),
        format!("{MANIFEST}shard zebra {} 0 z\n", "0".repeat(64)),
        MANIFEST.trim_end().to_owned(),
        MANIFEST.replace('\n', "\r\n"),
        MANIFEST.replace("sequence 17", "sequence 017"),
        MANIFEST.replace("shards 3", "shards 4"),
        MANIFEST.replace("shards 3", "shards 2"),
        MANIFEST.replace("shards 3", "shards 0"),
        MANIFEST.replace("users.cfd", "users%2Ecfd"),
        MANIFEST.replace("manifest 1", "manifest 2"),
        MANIFEST.replace(" s3://backups/users.cfd", " "),
        String::new(),
    ] {
        assert!(Manifest::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_manifest_has_a_shard_at_least_and_10_000_at_most() {
    let many = |count: usize| (0..count).map(|at| shard(at.to_string().as_bytes(), "x", u64::MAX)).collect();
    assert_eq!(Manifest::new(None, Vec::new()), Err(UnusableManifest::ShardCount));
    assert_eq!(Manifest::new(None, many(SHARDS_MAX + 1)), Err(UnusableManifest::ShardCount));
    let most = Manifest::new(None, many(SHARDS_MAX)).unwrap();
    assert_eq!(most.plaintext_len(), u64::MAX);
    assert_eq!(Manifest::parse(most.to_text().as_bytes()).unwrap(), most);
    let long = (0..SHARDS_MAX).map(|at| shard(at.to_string().as_bytes(), &"x".repeat(1000), 0)).collect();
    assert_eq!(Manifest::new(None, long), Err(UnusableManifest::TooLong));
    assert_eq!(Manifest::parse(&vec![b'x'; MANIFEST_LEN_MAX + 1]), Err(RecordError::TooLong));
    assert_eq!(Manifest::new(None, vec![shard(b"a", "", 0)]), Err(UnusableManifest::TooLong));
}
