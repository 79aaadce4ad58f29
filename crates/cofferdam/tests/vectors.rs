//! Owns the reading of docs/vectors: every file is opened, and the verdict compared with its header.
//! Refuses to know how the files are made; their headers are the only source of expectations here.

mod reference;

use reference::{Key, KeyCopies, Verdict};
use sha2::{Digest, Sha256};
use std::path::Path;

const VECTORS_MIN: usize = 60;

#[test]
fn the_reference_opener_gives_the_verdict_of_every_vector() {
    let vectors = read_vectors();
    assert!(vectors.len() >= VECTORS_MIN, "{} vectors, at least {VECTORS_MIN} must be there", vectors.len());
    for vector in &vectors {
        let outcome = match reference::open(&vector.sealed, &vector.key) {
            Ok(opened) => Outcome {
                class: "success",
                opened: Some(Facts {
                    plaintext_sha256: hex::encode(Sha256::digest(&opened.plaintext)),
                    plaintext_len: opened.plaintext.len(),
                    metadata: opened.metadata,
                    stream_digest: hex::encode(opened.stream_digest),
                }),
                key_copies: opened.key_copies,
            },
            Err(verdict) => Outcome { class: class_of(verdict), opened: None, key_copies: KeyCopies::Good },
        };
        vector.compare(&outcome);
    }
}

/// One file of docs/vectors.
struct Vector {
    name: String,
    class: String,
    key: Key,
    opened: Option<Facts>,
    key_copies: KeyCopies,
    sealed: Vec<u8>,
}

/// What a reader made of a vector; each reader under test fills one in.
struct Outcome {
    class: &'static str,
    opened: Option<Facts>,
    key_copies: KeyCopies,
}

#[derive(Debug, PartialEq, Eq)]
struct Facts {
    plaintext_sha256: String,
    plaintext_len: usize,
    metadata: Vec<(Vec<u8>, Vec<u8>)>,
    stream_digest: String,
}

impl Vector {
    fn parse(name: String, file: &[u8]) -> Vector {
        let end = file.windows(2).position(|pair| pair == b"\n\n").expect("an empty line ends the header");
        let header = std::str::from_utf8(&file[..end]).expect("the header is text");
        let all = |wanted: &'static str| {
            header
                .lines()
                .filter_map(|line| line.split_once(": "))
                .filter(move |(field, _)| *field == wanted)
                .map(|(_, value)| value)
        };
        let one = |wanted| all(wanted).next().unwrap_or_else(|| panic!("{name} has no line {wanted:?}"));
        let class = one("expect").to_owned();
        let key = match all("identity").next() {
            Some(identity) => Key::AgeIdentity(identity.to_owned()),
            None => Key::KeyFile(bytes_of(one("key")).try_into().expect("a key has 32 bytes")),
        };
        let metadata = all("metadata").map(|line| {
            let (key, value) = line.split_once('=').expect("metadata is KEY=VALUE in hex");
            (bytes_of(key), bytes_of(value))
        });
        let opened = (class == "success").then(|| Facts {
            plaintext_sha256: one("plaintext-sha256").to_owned(),
            plaintext_len: one("plaintext-len").parse().expect("plaintext-len is a number"),
            metadata: metadata.collect(),
            stream_digest: one("stream-digest").to_owned(),
        });
        let key_copies = match all("verify").next() {
            None => KeyCopies::Good,
            Some("damaged") => KeyCopies::Faulty,
            Some(other) => panic!("{name}: verify: {other:?}"),
        };
        Vector { class, key, opened, key_copies, sealed: file[end + 2..].to_vec(), name }
    }

    fn compare(&self, outcome: &Outcome) {
        assert_eq!(outcome.class, self.class, "verdict on {}", self.name);
        assert_eq!(outcome.opened, self.opened, "contents of {}", self.name);
        assert_eq!(outcome.key_copies, self.key_copies, "key copies of {}", self.name);
    }
}

fn read_vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors");
    let entries = std::fs::read_dir(&folder).expect("docs/vectors is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "cfdv"));
    paths.sort();
    let name_of = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| Vector::parse(name_of(path), &std::fs::read(path).expect("a readable vector")))
        .collect()
}

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Damaged(_) => "damaged",
        Verdict::Truncated => "truncated",
        Verdict::NoKey => "no key",
        Verdict::Limit => "limit",
        Verdict::Unsupported => "unsupported",
    }
}

fn bytes_of(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hexadecimal digits")
}
