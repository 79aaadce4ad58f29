//! Streams that somebody has to have signed: what is no such stream is never published, whatever it pretends and however it is read.
//! Refuses to know how a signature is made or read; that is `signatures`'.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cofferdam::signatures::{Message, PublicKey, SecretKey, Signature, StreamHash, TrustedKeys};
use cofferdam::{
    BytesSource, CancelToken, DigestKind, Durability, Error, ErrorKind, MemorySink, NullSink, Observer,
    Opener, Pin, PinCheck, Progress, Restored, SignedBy, StreamDigest, stream_message,
};

use streams::forge::{Forger, wholly_forged, with_forged_prefix};
use streams::{
    KEY, READINGS, Reading, SEGMENT, Shared, counted, in_order, names_in, opener, scratch, seal,
    small_sealer, verify,
};

const SEGMENTS: usize = 6;

/// Keys that `ssh-keygen` has made for this test.
const SEALER: &str = include_str!("signed/sealer");
const FORGER: &str = include_str!("signed/forger");

fn key(text: &str) -> SecretKey {
    SecretKey::parse(text.as_bytes(), || None).unwrap()
}

fn trusted() -> TrustedKeys {
    key(SEALER).public_key().clone().into()
}

/// The digest that a reader finds who shares no code with the library.
fn digest_of(sealed: &[u8]) -> StreamDigest {
    StreamDigest(reference::open(sealed, &reference::Key::KeyFile(KEY)).unwrap().stream_digest)
}

/// Signs the stream in `sealed`, as FORMAT F11.3 says, and shares no line of code with the check of it.
fn signature_of(sealed: &[u8]) -> Signature {
    let message = Message::stream(1, StreamHash::Blake3, &digest_of(sealed).0);
    assert_eq!(message.bytes(), format!("cofferdam stream 1 blake3 {}\n", digest_of(sealed)).as_bytes());
    key(SEALER).sign(&message).unwrap()
}

fn signed(signature: Signature) -> SignedBy {
    SignedBy::new(&trusted(), signature).unwrap()
}

/// A genuine stream with its signature, and a place to restore it to.
struct Fixture {
    directory: tempfile::TempDir,
    plaintext: Vec<u8>,
    genuine: Vec<u8>,
}

impl Fixture {
    fn new() -> Fixture {
        let plaintext = counted(SEGMENTS * SEGMENT - 5);
        Fixture { directory: scratch(), genuine: seal(&small_sealer(), plaintext.clone()), plaintext }
    }

    /// Demands the signature of the genuine stream.
    fn demanding(&self) -> Opener {
        opener().check_pin(signed(signature_of(&self.genuine)))
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("db")
    }

    fn restore(&self, opener: &Opener, reading: Reading, sealed: &[u8]) -> Result<Restored, Error> {
        let sealed = Shared::new(sealed.to_vec());
        match reading {
            Reading::Seekable => opener.restore_to(BytesSource::new(sealed), self.target()),
            Reading::Sequential => opener.restore_to(in_order(sealed), self.target()),
        }
    }

    fn assert_restored(&self) {
        assert!(fs::read(self.target()).unwrap() == self.plaintext, "the target is not the plaintext");
        assert_eq!(names_in(self.directory.path()), [Path::new("db")]);
    }
}

/// Right in all its parts, under the same key, and its footer states the digest of the genuine stream.
fn with_a_lying_footer(genuine: &[u8]) -> Vec<u8> {
    let mut forger = Forger::of(genuine);
    let chain = forger.chain_start();
    forger.put_all_from(0, chain);
    forger.finish()
}

#[test]
fn the_stream_that_was_signed_is_restored_from_file_and_pipe() {
    for reading in READINGS {
        let fixture = Fixture::new();
        let restored = fixture.restore(&fixture.demanding(), reading, &fixture.genuine).unwrap();
        assert_eq!(
            (restored.digest, restored.stream_digest),
            (DigestKind::Blake3, digest_of(&fixture.genuine))
        );
        fixture.assert_restored();
        let keyless = Opener::keyless().check_pin(signed(signature_of(&fixture.genuine)));
        verify(&keyless, reading, fixture.genuine.clone()).unwrap();
    }
    let sealed = seal(&small_sealer().digest(DigestKind::Sha256), counted(2 * SEGMENT));
    let message = stream_message(DigestKind::Sha256, digest_of(&sealed)).unwrap();
    assert!(message.bytes().starts_with(b"cofferdam stream 1 sha256 "));
    let demanding = opener().check_pin(signed(key(SEALER).sign(&message).unwrap()));
    verify(&demanding, Reading::Seekable, sealed).unwrap();
}

/// Whoever knows a recipient can seal another stream; who has the key and the storage, whatever they like.
#[test]
fn another_stream_is_refused_before_a_sink_is_made_and_nothing_of_it_is_published() {
    let fixture = Fixture::new();
    let another = seal(&small_sealer(), fixture.plaintext.clone());
    let forged = [
        (another, ErrorKind::NotSigned),
        (wholly_forged(&fixture.genuine), ErrorKind::NotSigned),
        (with_forged_prefix(&fixture.genuine, 2), ErrorKind::Damaged),
        (with_a_lying_footer(&fixture.genuine), ErrorKind::Damaged),
    ];
    for (sealed, kind) in forged {
        for run in 1..=2 {
            let refused = fixture.restore(&fixture.demanding(), Reading::Seekable, &sealed).unwrap_err();
            assert_eq!(refused.kind(), kind, "run {run}: {refused}");
            assert!(names_in(fixture.directory.path()).is_empty());
        }
        let made =
            fixture.demanding().open_sized(BytesSource::new(sealed.clone()), |_| -> Result<MemorySink, _> {
                panic!("a sink was made")
            });
        assert_eq!(made.unwrap_err().kind(), kind);
        // What came in order is kept beside the target.
        let elsewhere =
            Fixture { directory: scratch(), plaintext: Vec::new(), genuine: fixture.genuine.clone() };
        let refused = elsewhere.restore(&fixture.demanding(), Reading::Sequential, &sealed).unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(!elsewhere.target().exists());
        let refused = fixture.demanding().reader(BytesSource::new(sealed.clone())).err().unwrap();
        assert_eq!(refused.kind(), kind);
        let part = fixture.demanding().open_segments(3..5, BytesSource::new(sealed.clone()), NullSink::new());
        assert_eq!(part.unwrap_err().kind(), kind);
        for reading in READINGS {
            assert_eq!(verify(&fixture.demanding(), reading, sealed.clone()).unwrap_err().kind(), kind);
            let keyless = Opener::keyless().check_pin(signed(signature_of(&fixture.genuine)));
            assert_eq!(verify(&keyless, reading, sealed.clone()).unwrap_err().kind(), kind);
        }
    }
    fixture.restore(&fixture.demanding(), Reading::Seekable, &fixture.genuine).unwrap();
    fixture.assert_restored();
}

/// Another stream does not get around its index by having none.
#[test]
fn another_stream_without_its_index_is_refused_before_a_sink_is_made() {
    const TRUNCATED: &[ErrorKind] = &[ErrorKind::Truncated];
    // Whose stream it is shows before what is wrong with its end.
    const CHANGED: &[ErrorKind] = &[ErrorKind::Damaged, ErrorKind::NotSigned, ErrorKind::DigestMismatch];
    let fixture = Fixture::new();
    let another = seal(&small_sealer(), fixture.plaintext.clone());
    let footer_len = 112;
    let mut broken: Vec<(Vec<u8>, &[ErrorKind])> = [1, footer_len, footer_len + 1, another.len() / 2]
        .map(|len| (another[..another.len() - len].to_vec(), TRUNCATED))
        .into();
    for at in [footer_len, footer_len - 24] {
        let mut changed = another.clone();
        let at = changed.len() - at;
        changed[at] ^= 1;
        broken.push((changed, CHANGED));
    }
    broken.push(([&another[..], b"more"].concat(), CHANGED));
    let pinned = opener().expect_digest(digest_of(&fixture.genuine));
    for (sealed, kinds) in broken {
        for demanding in [&fixture.demanding(), &pinned] {
            let made = demanding.open_sized(BytesSource::new(sealed.clone()), |_| -> Result<MemorySink, _> {
                panic!("a sink was made")
            });
            assert!(kinds.contains(&made.unwrap_err().kind()));
            let refused = fixture.restore(demanding, Reading::Seekable, &sealed).unwrap_err();
            assert!(kinds.contains(&refused.kind()), "{refused}");
            assert!(names_in(fixture.directory.path()).is_empty(), "nothing is kept of it");
            for reading in READINGS {
                let refused = verify(demanding, reading, sealed.clone()).unwrap_err();
                assert!(kinds.contains(&refused.kind()), "{refused}");
            }
        }
    }
    // Nothing of another stream stands in the way.
    fixture.restore(&fixture.demanding(), Reading::Seekable, &fixture.genuine).unwrap();
    fixture.assert_restored();
}

#[test]
fn what_is_kept_of_another_stream_is_read_again_where_a_signature_is_demanded() {
    let fixture = Fixture::new();
    let forged = wholly_forged(&fixture.genuine);
    let cancel = CancelToken::new();
    let observer = Arc::new(CancelAfter { segments: 3, cancel: cancel.clone() });
    let interrupted = opener().durability(Durability::Each).cancel(cancel).observer(observer);
    let error = fixture.restore(&interrupted, Reading::Seekable, &forged).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(names_in(fixture.directory.path()).len() == 2, "a staging file and a journal are kept");
    let restored = fixture.restore(&fixture.demanding(), Reading::Seekable, &fixture.genuine).unwrap();
    assert_eq!(restored.resumed_bytes, 0);
    fixture.assert_restored();
}

#[test]
fn a_planted_prefix_under_a_true_digest_is_refused_in_every_run() {
    let fixture = Fixture::new();
    let forged = with_forged_prefix(&fixture.genuine, 3);
    // What a first run, which demands nothing, leaves of it.
    for _ in 0..2 {
        let refused = fixture.restore(&opener(), Reading::Seekable, &forged).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Damaged);
    }
    let refused = fixture.restore(&fixture.demanding(), Reading::Seekable, &forged).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged);
    assert!(!fixture.target().exists());
    let restored = fixture.restore(&fixture.demanding(), Reading::Seekable, &fixture.genuine).unwrap();
    assert_eq!(restored.stream_digest, digest_of(&fixture.genuine));
    fixture.assert_restored();
}

#[test]
fn a_seed_stands_for_segments_of_the_signed_stream_alone() {
    let fixture = Fixture::new();
    let seeds = scratch();
    let mut old = fixture.plaintext.clone();
    old[..3 * SEGMENT].fill(0xF0);
    let seed = seeds.path().join("old");
    fs::write(&seed, &old).unwrap();
    for (sealed, kind) in [
        (with_forged_prefix(&fixture.genuine, 3), ErrorKind::Damaged),
        (wholly_forged(&fixture.genuine), ErrorKind::NotSigned),
    ] {
        let refused =
            fixture.restore(&fixture.demanding().seed(&seed), Reading::Seekable, &sealed).unwrap_err();
        assert_eq!(refused.kind(), kind, "{refused}");
        assert!(names_in(fixture.directory.path()).is_empty());
    }
    let demanding = fixture.demanding().seed(&seed);
    let restored = fixture.restore(&demanding, Reading::Seekable, &fixture.genuine).unwrap();
    assert!(restored.seeded_bytes > 0);
    fixture.assert_restored();
}

#[test]
fn a_digest_of_tags_is_not_signed_with_a_key_and_without() {
    let sealed = seal(&small_sealer().digest(DigestKind::Tags), counted(2 * SEGMENT));
    let digest = digest_of(&sealed);
    assert_eq!(stream_message(DigestKind::Tags, digest).unwrap_err().kind(), ErrorKind::Unsupported);
    // As if it were of another digest.
    for hash in [StreamHash::Blake3, StreamHash::Sha256] {
        let signature = key(SEALER).sign(&Message::stream(1, hash, &digest.0)).unwrap();
        for demanding in [opener(), Opener::keyless()] {
            for reading in READINGS {
                let demanding = demanding.clone().check_pin(signed(signature.clone()));
                let refused = verify(&demanding, reading, sealed.clone()).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
            }
        }
    }
}

#[test]
fn a_signature_of_others_or_of_other_things_is_refused_before_any_stream_is_looked_at() {
    let genuine = Fixture::new().genuine;
    let message = stream_message(DigestKind::Blake3, digest_of(&genuine)).unwrap();
    let by_others = key(FORGER).sign(&message).unwrap();
    let of_evidence = key(SEALER).sign(&Message::evidence(message.bytes().to_vec())).unwrap();
    for (signature, words) in [(by_others, "is not trusted here"), (of_evidence, "evidence@cofferdam")] {
        let refused = SignedBy::new(&trusted(), signature).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotSigned);
        assert!(format!("{refused:?}").contains(words), "{refused:?}");
    }
}

/// The name of a digest is part of the line: one value under two names is two streams.
#[test]
fn a_signature_of_the_same_value_under_another_digest_is_of_another_stream() {
    let genuine = Fixture::new().genuine;
    let message = Message::stream(1, StreamHash::Sha256, &digest_of(&genuine).0);
    let demanding = opener().check_pin(signed(key(SEALER).sign(&message).unwrap()));
    assert_eq!(verify(&demanding, Reading::Seekable, genuine).unwrap_err().kind(), ErrorKind::NotSigned);
}

#[test]
fn metadata_alone_are_of_no_signature() {
    let fixture = Fixture::new();
    let refused = fixture.demanding().metadata(BytesSource::new(fixture.genuine.clone())).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
}

/// Each check is asked, and each with what was computed.
#[test]
fn of_several_checks_each_has_to_accept_the_stream() {
    #[derive(Debug)]
    struct Only(StreamDigest);
    impl PinCheck for Only {
        fn check(&self, pin: &Pin) -> Result<(), Error> {
            assert_eq!(pin.digest, DigestKind::Blake3);
            match pin.stream_digest == self.0 {
                true => Ok(()),
                false => Err(Error::new(ErrorKind::Stale, "it is not on the list")),
            }
        }
    }
    let genuine = Fixture::new().genuine;
    let own = || Only(digest_of(&genuine));
    let other = || Only(StreamDigest([0; 32]));
    let kind = |opener: Opener| {
        verify(&opener, Reading::Seekable, genuine.clone()).map_err(|error| error.kind()).map(drop)
    };
    assert_eq!(kind(opener().check_pin(own()).check_pin(own())), Ok(()));
    assert_eq!(kind(opener().check_pin(own()).check_pin(other())), Err(ErrorKind::Stale));
    assert_eq!(kind(opener().check_pin(other()).check_pin(own())), Err(ErrorKind::Stale));
    let pinned = opener().check_pin(own()).expect_digest(StreamDigest([0; 32]));
    assert_eq!(kind(pinned), Err(ErrorKind::DigestMismatch));
}

#[test]
fn who_has_signed_is_said() {
    let genuine = Fixture::new().genuine;
    let public = include_str!("signed/sealer.pub");
    let keys = TrustedKeys::parse(public).unwrap();
    let signed_by = SignedBy::new(&keys, signature_of(&genuine)).unwrap();
    assert_eq!(signed_by.signer(), &PublicKey::parse(public).unwrap());
    assert_eq!(signed_by.signer().comment(), "sealer");
}

struct CancelAfter {
    segments: u64,
    cancel: CancelToken,
}

impl Observer for CancelAfter {
    fn progress(&self, progress: &Progress) {
        if progress.segments >= self.segments {
            self.cancel.cancel();
        }
    }
}
