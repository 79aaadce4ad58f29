//! Owns the reading of docs/vectors: every file is opened, and the verdict compared with its header.
//! Refuses to know how the files are made; their headers are the only source of expectations here.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use cofferdam::{BytesSource, Error, ErrorKind, Identities, Opener, Warning, WrappingKey};
use reference::{Key, Verdict};
use sha2::{Digest, Sha256};
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use streams::{READINGS, Reading, Shared, class_of, class_of_kind, open, verify};

const VECTORS_MIN: usize = 500;

#[test]
fn the_reference_opener_gives_the_verdicts_of_every_vector() {
    let vectors = read_vectors();
    assert!(vectors.len() >= VECTORS_MIN, "{} vectors, at least {VECTORS_MIN} must be there", vectors.len());
    for vector in &vectors {
        let outcome = reference::open(&vector.sealed, &vector.key);
        let class = reference_class(&outcome);
        assert_eq!(class, vector.sequential, "verdict on {}", vector.name);
        let facts = outcome.ok().map(|opened| Facts {
            plaintext_sha256: hex::encode(Sha256::digest(&opened.plaintext)),
            plaintext_len: opened.plaintext.len(),
            metadata: opened.metadata,
            stream_digest: hex::encode(opened.stream_digest),
        });
        assert_eq!(facts, vector.opened, "contents of {}", vector.name);
        let keyless = reference::verify(&vector.sealed, None);
        assert_eq!(reference_class(&keyless), vector.keyless, "{} without a key", vector.name);
        if !vector.slow {
            let verified = reference::verify(&vector.sealed, Some(&vector.key));
            assert_eq!(reference_class(&verified), vector.verify, "{} verified", vector.name);
        }
    }
}

/// It was written from FORMAT alone. Python and its modules are not on every machine.
#[test]
fn a_reader_in_another_language_gives_the_verdict_of_every_vector() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let python = |arguments: &[&Path]| Command::new("python3").args(arguments).output();
    let modules = ["-c", "import blake3, cryptography, zstandard"].map(Path::new);
    if !python(&modules).is_ok_and(|ran| ran.status.success()) {
        return;
    }
    let ran = python(&[&docs.join("reader.py"), &docs.join("vectors")]).unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains(&format!("{} vectors, 0 of them", read_vectors().len())), "{said}");
}

#[test]
fn both_readers_give_the_verdict_of_every_vector() {
    let mut wrong = Wrong::default();
    for vector in &read_vectors() {
        for reading in READINGS {
            let opened = open(&vector.opener(), reading, vector.shared());
            wrong.compare(class_of(&opened), vector.due(reading), &format!("{}, {reading:?}", vector.name));
            let Ok((restored, plaintext)) = opened else { continue };
            let facts = Facts {
                plaintext_sha256: hex::encode(Sha256::digest(&plaintext)),
                plaintext_len: plaintext.len(),
                metadata: restored.metadata,
                stream_digest: hex::encode(restored.stream_digest.0),
            };
            assert_eq!(Some(facts), vector.opened, "contents of {}, {reading:?}", vector.name);
            let warns = restored.warnings.iter().any(|found| matches!(found, Warning::KeyCopyDamaged { .. }));
            let due = vector.verify != vector.sequential;
            assert_eq!(warns, due, "warnings of {}, {reading:?}", vector.name);
        }
    }
    wrong.assert_none();
}

/// A reader of single frames opens every good vector, and a faulty one only where the fault is in records that it does not look at:
/// what closes a segment, and what says how segments hang together (FORMAT F13.9, F13.10).
#[test]
fn a_reader_gives_the_plaintext_of_every_good_vector_and_refuses_what_it_looks_at() {
    let mut wrong = Wrong::default();
    for vector in &read_vectors() {
        let read = vector.opener().reader(BytesSource::new(vector.shared())).map_err(|error| error.kind());
        let read = read.and_then(|mut reader| {
            let mut plaintext = Vec::new();
            let read = reader.read_to_end(&mut plaintext);
            read.map(|_| plaintext).map_err(|error| error.downcast::<Error>().unwrap().kind())
        });
        let due = vector.due(Reading::Seekable);
        match (&read, &vector.opened) {
            (Ok(plaintext), Some(facts)) => {
                assert_eq!(hex::encode(Sha256::digest(plaintext)), facts.plaintext_sha256, "{}", vector.name);
            }
            (Ok(_), None) => {
                let is_elsewhere = NOT_LOOKED_AT.iter().any(|part| vector.name.contains(part));
                assert!(is_elsewhere, "{} is read, and {due} is due", vector.name);
            }
            // Without a footer it says *damaged*, and that a verification tells more (FORMAT F13.11).
            (Err(ErrorKind::Damaged), None) if due == "truncated" => {}
            (Err(kind), _) => wrong.compare(class_of_kind(*kind), due, &vector.name),
        }
    }
    wrong.assert_none();
}

/// In the names of vectors whose fault is in DIGEST or TERMINATOR, in a digest or the chain, in a frame that holds no byte,
/// or in the TABLE of a segment that has none.
const NOT_LOOKED_AT: [&str; 8] = [
    "digest",
    "terminator",
    "last-missing",
    "last-too-early",
    "segment-of-an-older-attempt",
    "frame-empty",
    "frame-without-plaintext",
    "table-missing-empty",
];

#[test]
fn a_verification_gives_the_verdict_of_every_vector_and_counts_both_key_copies() {
    let mut wrong = Wrong::default();
    for vector in read_vectors().iter().filter(|vector| !vector.slow) {
        for reading in READINGS {
            let verified = verify(&vector.opener(), reading, vector.shared());
            let due = if vector.verify == vector.sequential { vector.due(reading) } else { &vector.verify };
            wrong.compare(class_of(&verified), due, &format!("{}, {reading:?}", vector.name));
        }
    }
    wrong.assert_none();
}

#[test]
fn a_reader_without_a_key_gives_the_verdict_of_every_vector() {
    let mut wrong = Wrong::default();
    for vector in &read_vectors() {
        let name = &vector.name;
        for reading in READINGS {
            let verified = verify(&Opener::keyless(), reading, vector.shared());
            wrong.compare(class_of(&verified), &vector.keyless, &format!("{name}, {reading:?}"));
            let Ok(verified) = verified else { continue };
            let said = vector.opened.as_ref().map(|facts| &facts.stream_digest);
            assert!(
                said.is_none_or(|said| *said == hex::encode(verified.stream_digest.0)),
                "{name}: its digest"
            );
        }
    }
    wrong.assert_none();
}

#[test]
fn the_pin_of_every_vector_but_those_of_tags_is_taken_and_another_one_refused() {
    for vector in read_vectors().iter().filter(|vector| !vector.slow) {
        let Some(facts) = &vector.opened else { continue };
        let pin: [u8; 32] = bytes_of(&facts.stream_digest).try_into().unwrap();
        let mut other = pin;
        other[31] ^= 1;
        // The digest of *tags* fixes nothing, so there is nothing to compare (FORMAT F11.4).
        let tags = vector.sealed[11] == 3;
        for (pin, due) in [(pin, "success"), (other, "damaged")] {
            let due = if tags { "unsupported" } else { due };
            for reading in READINGS {
                let opener = vector.opener().expect_digest(cofferdam::StreamDigest(pin));
                let outcome = open(&opener, reading, vector.shared());
                assert_eq!(class_of(&outcome), due, "{}, {reading:?}", vector.name);
            }
        }
    }
}

/// The verdicts that were not the due ones: all of them are told at once.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn compare(&mut self, found: &str, due: &str, what: &str) {
        if found != due {
            self.0.push(format!("{what}: {found}, {due} is due"));
        }
    }

    fn assert_none(&self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}

/// One file of docs/vectors.
struct Vector {
    name: String,
    sequential: String,
    keyless: String,
    random_access: String,
    verify: String,
    key: Key,
    opened: Option<Facts>,
    slow: bool,
    sealed: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Facts {
    plaintext_sha256: String,
    plaintext_len: usize,
    metadata: Vec<(Vec<u8>, Vec<u8>)>,
    stream_digest: String,
}

/// The lines of a header, by name.
struct Header<'a>(&'a str);

impl<'a> Header<'a> {
    /// The header and the bytes behind it.
    fn split(file: &'a [u8]) -> (Header<'a>, &'a [u8]) {
        let end = file.windows(2).position(|pair| pair == b"\n\n").expect("an empty line ends the header");
        (Header(std::str::from_utf8(&file[..end]).expect("the header is text")), &file[end + 2..])
    }

    fn all(&self, wanted: &'static str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.lines().filter_map(|line| line.split_once(": "));
        fields.filter(move |(field, _)| *field == wanted).map(|(_, value)| value)
    }

    fn one(&self, wanted: &'static str) -> &'a str {
        self.all(wanted).next().unwrap_or_else(|| panic!("no line {wanted:?} in {}", self.0))
    }

    fn keys(&self) -> Key {
        let files =
            self.all("key").map(|key| Key::KeyFile(bytes_of(key).try_into().expect("a key has 32 bytes")));
        let identities = self.all("identity").map(|text| Key::AgeIdentity(text.to_owned()));
        let passphrases = self.all("passphrase").map(|text| Key::Passphrase(text.to_owned()));
        Key::Several(files.chain(identities).chain(passphrases).collect())
    }
}

impl Vector {
    fn read(folder: &Path, name: &str) -> Vector {
        let file = std::fs::read(folder.join(name)).expect("a readable vector");
        let (header, bytes) = Header::split(&file);
        let [sequential, keyless, random_access] =
            ["sequential", "keyless", "random-access"].map(|reader| header.one(reader).to_owned());
        let verify = header.all("verify").next().unwrap_or(&sequential).to_owned();
        let metadata = header.all("metadata").map(|line| {
            let (key, value) = line.split_once('=').expect("metadata is KEY=VALUE in hex");
            (bytes_of(key), bytes_of(value))
        });
        let opened = (sequential == "success").then(|| Facts {
            plaintext_sha256: header.one("plaintext-sha256").to_owned(),
            plaintext_len: header.one("plaintext-len").parse().expect("plaintext-len is a number"),
            metadata: metadata.collect(),
            stream_digest: header.one("stream-digest").to_owned(),
        });
        let sealed = match header.all("base").next() {
            Some(base) => patched(&std::fs::read(folder.join(base)).expect("the base of a patch"), &header),
            None => bytes.to_vec(),
        };
        let (key, slow) = (header.keys(), header.all("slow").next().is_some());
        let name = name.to_owned();
        Vector { name, sequential, keyless, random_access, verify, key, opened, slow, sealed }
    }

    fn opener(&self) -> Opener {
        fn with(identities: Identities, key: &Key) -> Identities {
            match key {
                Key::KeyFile(key) => identities.wrapping_key(WrappingKey::from_bytes(*key)),
                Key::AgeIdentity(text) => identities.identity_file(text.as_bytes()).unwrap(),
                Key::Passphrase(text) => identities.passphrase(text.clone().into()),
                Key::Several(keys) => keys.iter().fold(identities, with),
            }
        }
        Opener::new(with(Identities::new(), &self.key))
    }

    fn shared(&self) -> Shared {
        Shared::new(self.sealed.clone())
    }

    fn due(&self, reading: Reading) -> &str {
        match reading {
            Reading::Seekable => &self.random_access,
            Reading::Sequential => &self.sequential,
        }
    }
}

/// The stream of another vector's file, changed and cut as `header` says.
fn patched(base: &[u8], header: &Header<'_>) -> Vec<u8> {
    let mut sealed = Header::split(base).1.to_vec();
    sealed.truncate(header.one("len").parse().expect("len is a number"));
    for patch in header.all("patch") {
        let (at, bytes) = patch.split_once('=').expect("a patch is OFFSET=HEX");
        let (at, bytes): (usize, _) = (at.parse().expect("an offset"), bytes_of(bytes));
        sealed[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    sealed
}

fn read_vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors");
    let entries = std::fs::read_dir(&folder).expect("docs/vectors is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "cfdv"));
    paths.sort();
    let name_of = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
    paths.iter().map(|path| Vector::read(&folder, &name_of(path))).collect()
}

fn reference_class(outcome: &Result<reference::Opened, Verdict>) -> &'static str {
    match outcome {
        Ok(_) => "success",
        Err(Verdict::Damaged(_)) => "damaged",
        Err(Verdict::NotAStream) => "not a stream",
        Err(Verdict::Truncated) => "truncated",
        Err(Verdict::NoKey) => "no key",
        Err(Verdict::Limit) => "limit",
        Err(Verdict::Unsupported) => "unsupported",
    }
}

fn bytes_of(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hexadecimal digits")
}
