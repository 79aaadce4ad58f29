//! Streams of other tools of which nothing proves that they are whole: refused, or published as asserted and never as restored; and what was made
//! of them by somebody without a key, through the whole of the engine.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::{
    Arrival, Asserted, BytesSource, Error, ErrorKind, FileSource, Foreign, ForeignKey, Format, Identities,
    MemorySink, Opener, ReadAt, Remedy, Sealer, Source,
};

use streams::{READINGS, Reading, identities_of, in_order, names_in, recipients_of, scratch, threads};

const ECIES_KEY: &str = "1ab42cc412b618bdea3a599e3c9bae199ebf030895b039e9db1e30dafb12b727";

fn vector(name: &str) -> Vec<u8> {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../foreign/tests/vectors/other-tools");
    fs::read(Path::new(vectors).join(name)).unwrap()
}

fn key_of(name: &str) -> Vec<u8> {
    match name.split('/').next() {
        Some("ecies-lib") => ECIES_KEY.into(),
        Some(folder) => vector(&format!("{folder}/key.hex")),
        None => unreachable!(),
    }
}

fn opener(name: &str, foreign: Foreign) -> Opener {
    let key = ForeignKey::parse(&key_of(name)).unwrap();
    Opener::new(Identities::new().foreign_key(key)).foreign(foreign).threads(threads(2))
}

/// What has come out, and how it ended.
fn open(opener: &Opener, reading: Reading, sealed: &[u8]) -> (Option<Vec<u8>>, Result<(), Error>) {
    let (sink, contents) = MemorySink::new();
    let opened = match reading {
        Reading::Seekable => opener.open(BytesSource::new(sealed.to_vec()), sink),
        Reading::Sequential => opener.open(in_order(sealed.to_vec()), sink),
    };
    (contents.take().map(|bytes| bytes.to_vec()), opened.map(drop))
}

fn asserted(ended: &Result<(), Error>) -> &Asserted {
    let error = ended.as_ref().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unproven);
    error.as_asserted().unwrap()
}

#[test]
fn a_stream_that_nothing_proves_is_an_error_that_says_what_was_published() {
    for (name, format) in [
        ("ecies-lib/big.enc", Format::Ecie),
        ("ecies-lib/multi_exact.enc", Format::Mrec),
        ("harpocrates-agcm/c64k.agcm", Format::Agcm),
        ("streaming-crypto/chacha_b3_40000.rse1", Format::Rse1),
    ] {
        let (sealed, plaintext) =
            (vector(name), vector(&Path::new(name).with_extension("plain").to_string_lossy()));
        for reading in READINGS {
            let (published, ended) = open(&opener(name, Foreign::AcceptUnproven), reading, &sealed);
            assert_eq!(published.as_ref(), Some(&plaintext), "{name}");
            let said = asserted(&ended);
            assert_eq!((said.format, said.plaintext_len), (format, plaintext.len() as u64));
            assert!(!said.missing.is_empty());

            let (published, ended) = open(&opener(name, Foreign::Open), reading, &sealed);
            let error = ended.unwrap_err();
            assert_eq!((error.kind(), error.remedy()), (ErrorKind::Usage, Some(Remedy::AcceptUnproven)));
            assert!(error.as_asserted().is_none() && published.is_none(), "{name}");

            let (published, ended) = open(&opener(name, Foreign::Refuse), reading, &sealed);
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::NotAStream);
            assert!(published.is_none());
        }
    }
}

#[test]
fn a_stream_that_proves_itself_is_restored_whatever_would_be_accepted() {
    let name = "ecies-lib/multi_three.enc";
    for foreign in [Foreign::Open, Foreign::AcceptUnproven] {
        for reading in READINGS {
            let (published, ended) = open(&opener(name, foreign), reading, &vector(name));
            ended.unwrap();
            assert_eq!(published, Some(vector("ecies-lib/multi_three.plain")));
        }
    }
}

#[test]
fn what_was_changed_is_refused_or_asserted_and_what_is_refused_is_not_published() {
    for name in [
        "ecies-lib/three.enc",
        "ecies-lib/multi_three.enc",
        "harpocrates-agcm/three.agcm",
        "streaming-crypto/aes_sha256_11.rse1",
    ] {
        let (sealed, plaintext) =
            (vector(name), vector(&Path::new(name).with_extension("plain").to_string_lossy()));
        let opener = opener(name, Foreign::AcceptUnproven).threads(threads(1));
        let judge = |mutant: &[u8], what: &str| {
            for reading in READINGS {
                let (published, ended) = open(&opener, reading, mutant);
                match (published, ended) {
                    (None, Err(error)) => assert_ne!(error.kind(), ErrorKind::Unproven, "{name}: {what}"),
                    (Some(published), ended) => {
                        asserted(&ended);
                        assert!(plaintext.starts_with(&published), "{name}: {what}");
                    }
                    (None, Ok(())) => {
                        panic!("{name}: {what}: nothing was published, and that was called a success")
                    }
                }
            }
        };
        let mut mutant = sealed.clone();
        for bit in 0..8 * sealed.len() {
            mutant[bit / 8] ^= 1 << (bit % 8);
            judge(&mutant, &format!("bit {bit}"));
            mutant[bit / 8] ^= 1 << (bit % 8);
        }
        (0..sealed.len()).for_each(|len| judge(&sealed[..len], &format!("the first {len} bytes")));
    }
}

#[test]
fn a_file_is_published_whole_or_not_at_all_and_a_second_run_writes_it_again() {
    let directory = scratch();
    let (sealed, target) = (directory.path().join("sealed"), directory.path().join("target"));
    let whole = vector("harpocrates-agcm/c64k.agcm");
    let opener = opener("harpocrates-agcm/c64k.agcm", Foreign::AcceptUnproven);
    // The first three chunks are right.
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&sealed, &damaged).unwrap();
    let error = opener.restore_file(&sealed, &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(!target.exists());
    fs::write(&sealed, &whole).unwrap();
    let ended = opener.restore_file(&sealed, &target).map(drop);
    assert_eq!(asserted(&ended).format, Format::Agcm);
    assert_eq!(fs::read(&target).unwrap(), vector("harpocrates-agcm/c64k.plain"));
    assert_eq!(names_in(directory.path()).len(), 2);
}

/// A sealer that takes plaintext of a stream makes nothing of it unless it was proved, or asserted and so said.
#[test]
fn what_is_converted_is_published_only_when_the_old_stream_has_been() {
    let sealer = Sealer::new(recipients_of(streams::KEY)).threads(threads(1));
    let convert = |name: &str, foreign, sealed: Vec<u8>| {
        let (sink, contents) = MemorySink::new();
        let ended = opener(name, foreign).convert(in_order(sealed), |plaintext| sealer.seal(plaintext, sink));
        (contents.take().map(|bytes| bytes.to_vec()), ended.map(drop))
    };
    let reopened = |sealed: Vec<u8>| {
        let (sink, contents) = MemorySink::new();
        Opener::new(identities_of(streams::KEY)).open(BytesSource::new(sealed), sink).unwrap();
        contents.take().unwrap().to_vec()
    };
    for (name, is_proved) in [("ecies-lib/multi_three.enc", true), ("ecies-lib/big.enc", false)] {
        let plaintext = vector(&Path::new(name).with_extension("plain").to_string_lossy());
        let (sealed, ended) = convert(name, Foreign::AcceptUnproven, vector(name));
        assert_eq!(reopened(sealed.unwrap()), plaintext);
        assert_eq!(ended.is_ok(), is_proved);
        if !is_proved {
            asserted(&ended);
            let (sealed, ended) = convert(name, Foreign::Open, vector(name));
            assert!(sealed.is_none());
            assert_eq!(ended.unwrap_err().remedy(), Some(Remedy::AcceptUnproven));
        }
        let mut cut = vector(name);
        cut.pop();
        let (sealed, ended) = convert(name, Foreign::AcceptUnproven, cut);
        assert!(sealed.is_none());
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Truncated);
    }
}

/// A sealing that fails by itself is what is reported, and not that its plaintext had no reader.
#[test]
fn of_two_failures_of_a_conversion_the_first_is_told() {
    let directory = scratch();
    let taken = directory.path().join("taken");
    fs::write(&taken, "there").unwrap();
    let sealer = Sealer::new(recipients_of(streams::KEY));
    let name = "ecies-lib/multi_three.enc";
    let ended = opener(name, Foreign::Open)
        .convert(in_order(vector(name)), |plaintext| sealer.seal_to(plaintext, &taken));
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::TargetExists);
    assert_eq!(fs::read(&taken).unwrap(), b"there");
}

/// At its places something else than in order, as a file is that was replaced between two reads of it.
struct Changed {
    at_places: Arc<Fixed>,
    in_order: BytesSource,
}

struct Fixed {
    bytes: Vec<u8>,
    shows_it: bool,
}

impl ReadAt for Fixed {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let begin = usize::try_from(offset).unwrap();
        let found = self.bytes.get(begin..begin + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn changed(&self) -> io::Result<bool> {
        Ok(self.shows_it)
    }
}

impl Changed {
    fn new(before: &[u8], after: &[u8], shows_it: bool) -> Changed {
        Changed {
            at_places: Arc::new(Fixed { bytes: before.to_vec(), shows_it }),
            in_order: BytesSource::new(after.to_vec()),
        }
    }
}

impl Source for Changed {
    fn len(&self) -> Option<u64> {
        Some(self.at_places.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        Some(self.at_places.clone())
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        self.in_order.read_within(buffer, patience)
    }
}

const OF_ONE_KEY: [&[&str]; 3] = [
    &[
        "ecies-lib/empty.enc",
        "ecies-lib/small.enc",
        "ecies-lib/three_ck.enc",
        "ecies-lib/big.enc",
        "ecies-lib/multi_exact.enc",
    ],
    &["harpocrates-agcm/empty.agcm", "harpocrates-agcm/three.agcm", "harpocrates-agcm/c64k.agcm"],
    &["streaming-crypto/aes_sha256_40000.rse1", "streaming-crypto/chacha_b3_40000.rse1"],
];

/// Buffers are made for what the head says, and the chunks are cut from what comes later.
#[test]
fn a_stream_that_becomes_another_behind_its_head_is_an_error_or_asserted_and_no_panic() {
    use ErrorKind::{Damaged, NoKey, SourceChanged, Truncated, Unproven};
    let mut longer = 0;
    for names in OF_ONE_KEY {
        let opener = opener(names[0], Foreign::AcceptUnproven);
        for (before, after) in names.iter().flat_map(|before| names.iter().map(move |after| (before, after)))
        {
            for shows_it in [false, true] {
                let what = format!("{before}, then {after}, {shows_it}");
                let (sink, contents) = MemorySink::new();
                let ended = opener.open(Changed::new(&vector(before), &vector(after), shows_it), sink);
                let error = ended.unwrap_err();
                let kind = error.kind();
                longer += usize::from(error.to_string().contains("has another length than the first"));
                match shows_it {
                    true => assert_eq!(kind, SourceChanged, "{what}: {error}"),
                    false => {
                        assert!([Damaged, NoKey, Truncated, Unproven].contains(&kind), "{what}: {error}")
                    }
                }
                let published = contents.take().map(|bytes| bytes.to_vec());
                assert_eq!(published.is_some(), kind == Unproven, "{what}");
                let plain = vector(&Path::new(after).with_extension("plain").to_string_lossy());
                assert!(published.is_none_or(|bytes| bytes == plain), "{what}");
            }
        }
    }
    assert!(longer > 0, "no chunk was longer than the first said");
}

/// What is added while it is read is no part of what was opened, and nothing else would show that it is missing.
#[test]
fn a_file_that_grows_while_it_is_read_is_not_asserted() {
    let name = "harpocrates-agcm/c64k.agcm";
    let directory = scratch();
    let [path, target] = ["sealed", "target"].map(|name| directory.path().join(name));
    fs::write(&path, vector(name)).unwrap();
    let source = FileSource::open(&path).unwrap();
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
    let error = opener(name, Foreign::AcceptUnproven).restore_to(source, &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error}");
    assert!(!target.exists());
}
