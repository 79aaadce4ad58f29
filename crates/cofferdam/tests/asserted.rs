//! Streams of other tools of which nothing proves that they are whole: refused, or published as asserted and never as restored; and what was made
//! of them by somebody without a key, through the whole of the engine.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "peer")]
use cofferdam::peer::{Address, Event, PeerSink, Security, receive_file};
use cofferdam::{
    Arrival, Asserted, BytesSource, Error, ErrorKind, FileSource, Foreign, ForeignKey, Format, Identities,
    Identity, MemorySink, Opener, ReadAt, Recipients, Remedy, SealedAs, Sealer, Source,
};
#[cfg(feature = "peer")]
use cofferdam::{CancelToken, StageOptions};

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
    &["ecies-lib/small.enc", "ecies-lib/three_ck.enc", "ecies-lib/big.enc", "ecies-lib/multi_exact.enc"],
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

/// Cancels when it goes: a failed assertion ends the receiver, too.
#[cfg(feature = "peer")]
struct CancelAtEnd(CancelToken);

#[cfg(feature = "peer")]
impl Drop for CancelAtEnd {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Has `send` send to a receiver for `target`, whose end is the result.
#[cfg(feature = "peer")]
fn received(target: &Path, send: impl FnOnce(&Address)) -> Result<(), Error> {
    let ends = CancelAtEnd(CancelToken::new());
    let cancel = ends.0.clone();
    std::thread::scope(|scope| {
        let (told, addresses) = std::sync::mpsc::channel();
        let observe = move |event| {
            if let Event::Listening(address) = event {
                told.send(address).unwrap();
            }
        };
        let receiver = scope.spawn(move || {
            let listen = "tcp://127.0.0.1:0".parse().unwrap();
            let security = Security::PlaintextOnThisMachine;
            receive_file(&listen, security, target, &StageOptions::default(), &cancel, &observe)
        });
        let address = addresses.recv().unwrap();
        let ends = ends;
        send(&address);
        if !target.exists() {
            drop(ends);
        }
        receiver.join().unwrap().map(drop)
    })
}

#[cfg(feature = "peer")]
fn send(name: &str, reading: Reading, address: &Address) -> Result<(), Error> {
    let sink = PeerSink::connect(address, Security::PlaintextOnThisMachine).unwrap();
    let opener = opener(name, Foreign::AcceptUnproven);
    let sent = match reading {
        Reading::Seekable => opener.open(BytesSource::new(vector(name)), sink),
        Reading::Sequential => opener.open(in_order(vector(name)), sink),
    };
    sent.map(drop)
}

/// A receiver reports what it has put in place, and has no word for what is not proved.
#[cfg(feature = "peer")]
#[test]
fn a_receiver_gets_what_is_proved_and_nothing_that_is_asserted() {
    let directory = scratch();
    let target = directory.path().join("target");
    let ended = received(&target, |address| {
        for name in [
            "ecies-lib/three.enc",
            "harpocrates-agcm/three.agcm",
            "harpocrates-agcm/empty.agcm",
            "streaming-crypto/aes_sha256_11.rse1",
        ] {
            for reading in READINGS {
                let error = send(name, reading, address).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Usage, "{name}: {error}");
                assert!(error.as_asserted().is_none() && error.remedy().is_none(), "{name}: {error}");
                let staged = fs::read(directory.path().join(".target.cofferdam-staging")).unwrap_or_default();
                assert!(staged.iter().all(|byte| *byte == 0), "{name}: bytes have gone out");
                assert!(!target.exists(), "{name}");
            }
        }
        send("ecies-lib/multi_three.enc", Reading::Seekable, address).unwrap();
    });
    ended.unwrap();
    assert_eq!(fs::read(&target).unwrap(), vector("ecies-lib/multi_three.plain"));
}

/// Of one format it shows only when all has come, where it comes in order: then the receiver has had segments, and publishes none.
#[cfg(feature = "peer")]
#[test]
fn a_receiver_publishes_nothing_of_what_turns_out_to_be_asserted_at_its_end() {
    for reading in READINGS {
        let directory = scratch();
        let target = directory.path().join("target");
        let ended = received(&target, |address| {
            let error = send("ecies-lib/multi_exact.enc", reading, address).unwrap_err();
            assert_eq!((error.kind(), error.as_asserted()), (ErrorKind::Usage, None), "{error}");
        });
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(!target.exists());
    }
}

/// Of each format: what it begins with, the bytes before its chunks, and a whole stream.
fn one_of_each_format(identity: &Identity) -> Vec<(&'static str, usize, Vec<u8>)> {
    let recipients = Recipients::new().parse(&identity.recipient()).unwrap();
    let (sink, contents) = MemorySink::new();
    let sealer = Sealer::new(recipients).sealed_as(SealedAs::Age);
    sealer.seal(BytesSource::new(*b"some words"), sink).unwrap();
    let age = contents.take().unwrap().to_vec();
    let age_head = age.len() - 16 - 10;
    vec![
        ("age-encryption.org/", age_head, age),
        ("ECIE", 32, vector("ecies-lib/small.enc")),
        ("MREC", 64, vector("ecies-lib/multi_three.enc")),
        ("AGCM", 24, vector("harpocrates-agcm/three.agcm")),
        ("RSE1", 80, vector("streaming-crypto/aes_sha256_11.rse1")),
    ]
}

/// A file that was lost, and a program that has printed nothing, look like this. Nothing replaces a target by it.
#[test]
fn nothing_is_no_stream_and_a_part_of_a_head_is_none_whatever_is_accepted() {
    let identity = Identity::generate();
    let text = identity.file_text("today").unwrap();
    let directory = scratch();
    let target = directory.path().join("target");
    let of_each = one_of_each_format(&identity);
    for key in [ECIES_KEY.into(), key_of("harpocrates-agcm/"), key_of("streaming-crypto/")] {
        let identities = Identities::new().identity_file(text.as_bytes()).unwrap();
        let identities = identities.foreign_key(ForeignKey::parse(&key).unwrap());
        let opener = Opener::new(identities).foreign(Foreign::AcceptUnproven).threads(threads(1));
        let refused = |bytes: &[u8], kinds: &[ErrorKind]| {
            for reading in READINGS {
                fs::write(&target, "there").unwrap();
                let opener = opener.clone().if_exists(cofferdam::IfExists::Replace);
                let restored = match reading {
                    Reading::Seekable => opener.restore_to(BytesSource::new(bytes.to_vec()), &target),
                    Reading::Sequential => opener.restore_to(in_order(bytes.to_vec()), &target),
                };
                let error = restored.unwrap_err();
                assert!(kinds.contains(&error.kind()), "{bytes:?}: {error}");
                assert_eq!(fs::read(&target).unwrap(), b"there", "{bytes:?}");
                assert!(opener.verify(BytesSource::new(bytes.to_vec())).is_err(), "{bytes:?}");
            }
        };
        refused(&[], &[ErrorKind::Truncated]);
        for (magic, head_len, whole) in &of_each {
            assert!(whole.starts_with(magic.as_bytes()));
            (1..magic.len()).for_each(|len| refused(&whole[..len], &[ErrorKind::NotAStream]));
            for len in [magic.len(), magic.len() + 1, head_len - 1] {
                refused(&whole[..len], &[ErrorKind::Truncated, ErrorKind::Damaged]);
            }
        }
    }
}

/// The head of one format, and what another one has behind its own; with the keys of both.
#[test]
fn the_head_of_one_format_and_the_chunks_of_another_are_no_stream() {
    let identity = Identity::generate();
    let text = identity.file_text("today").unwrap();
    let of_each = one_of_each_format(&identity);
    for key in [ECIES_KEY.into(), key_of("harpocrates-agcm/"), key_of("streaming-crypto/")] {
        for (name, head_len, head) in &of_each {
            for (other, other_len, body) in of_each.iter().filter(|(other, ..)| other != name) {
                let identities = Identities::new().identity_file(text.as_bytes()).unwrap();
                let identities = identities.foreign_key(ForeignKey::parse(&key).unwrap());
                let opener = Opener::new(identities).foreign(Foreign::AcceptUnproven).threads(threads(1));
                // All of the other, and what it has behind its head.
                for body in [&body[..], &body[*other_len..]] {
                    for reading in READINGS {
                        let mixed = [&head[..*head_len], body].concat();
                        let (published, ended) = open(&opener, reading, &mixed);
                        let kind = ended.unwrap_err().kind();
                        assert!(
                            published.is_none() && kind != ErrorKind::Unproven,
                            "{name}, {other}: {kind:?}"
                        );
                    }
                }
            }
        }
    }
}

/// `harpocrates` writes its header and nothing else for no plaintext: such a stream is asserted, with words of its own.
#[test]
fn a_header_without_a_chunk_is_asserted_only_where_the_tool_writes_such_files() {
    let name = "harpocrates-agcm/empty.agcm";
    assert_eq!(vector(name).len(), 24);
    for reading in READINGS {
        let (published, ended) = open(&opener(name, Foreign::AcceptUnproven), reading, &vector(name));
        assert_eq!(published.as_deref(), Some(&[][..]));
        assert!(asserted(&ended).missing.contains("it is empty"), "{}", asserted(&ended).missing);
        let (published, ended) = open(&opener(name, Foreign::Open), reading, &vector(name));
        assert_eq!((published, ended.unwrap_err().kind()), (None, ErrorKind::Usage));
    }
}

/// All that a reader gives of `sealed`, in pieces that begin at odd places.
fn read_in_ranges(opener: &Opener, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut reader = opener.foreign_reader(BytesSource::new(sealed.to_vec()))?;
    let mut plaintext = vec![0; usize::try_from(reader.len()).unwrap()];
    // From the end on: nothing is there because it was read before.
    for begin in (0..plaintext.len()).step_by(7).rev() {
        let piece = begin..plaintext.len().min(begin + 7);
        reader.seek(io::SeekFrom::Start(begin as u64)).unwrap();
        let read = reader.read_exact(&mut plaintext[piece]);
        read.map_err(|error| error.downcast::<Error>().unwrap())?;
    }
    Ok(plaintext)
}

/// Of `MREC` alone: number and mark of each chunk are authenticated with it.
#[test]
fn ranges_of_a_stream_whose_end_is_marked_are_its_bytes_or_an_error() {
    let name = "ecies-lib/multi_three.enc";
    let (sealed, plaintext) = (vector(name), vector("ecies-lib/multi_three.plain"));
    let opener = opener(name, Foreign::Open);
    assert_eq!(read_in_ranges(&opener, &sealed).unwrap(), plaintext);
    let mut mutant = sealed.clone();
    for bit in 0..8 * sealed.len() {
        mutant[bit / 8] ^= 1 << (bit % 8);
        let read = read_in_ranges(&opener, &mutant);
        assert!(read.is_err() || read.is_ok_and(|read| read == plaintext), "bit {bit}");
        mutant[bit / 8] ^= 1 << (bit % 8);
    }
    for len in 0..sealed.len() {
        assert!(read_in_ranges(&opener, &sealed[..len]).is_err(), "the first {len} bytes");
    }
    // 40 bytes in chunks of 16: three, the first two of one length.
    let at = |magic: usize| sealed.windows(4).enumerate().filter(|(_, four)| four == b"MREC").nth(magic);
    let [second, third] = [1, 2].map(|chunk| at(chunk).unwrap().0);
    assert_eq!(third, 2 * second);
    let exchanged = [&sealed[second..third], &sealed[..second], &sealed[third..]].concat();
    let doubled = [&sealed[..second], &sealed[..second], &sealed[third..]].concat();
    let removed = [&sealed[..second], &sealed[third..]].concat();
    for (mutant, what) in [(exchanged, "exchanged"), (doubled, "doubled"), (removed, "removed")] {
        assert_eq!(read_in_ranges(&opener, &mutant).unwrap_err().kind(), ErrorKind::Damaged, "{what}");
    }
}

#[test]
fn there_are_no_ranges_where_nothing_binds_a_chunk_to_its_place_and_the_error_says_why() {
    for (name, why) in [
        ("ecies-lib/three.enc", "nothing in it binds a chunk to its place"),
        ("harpocrates-agcm/three.agcm", "nothing in it binds a chunk to its place"),
        ("streaming-crypto/aes_sha256_40000.rse1", "how long its segments are only they themselves say"),
        ("ecies-lib/multi_exact.enc", "its last chunk is not marked"),
    ] {
        let error = read_in_ranges(&opener(name, Foreign::AcceptUnproven), &vector(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{name}: {error}");
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
}
