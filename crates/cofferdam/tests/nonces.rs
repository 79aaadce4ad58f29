//! Owns the proof that no key meets a nonce twice: all pairs are derived anew from the wire, by another program.
//! Refuses to know how the engine derives them; a pair that is wrong here opens nothing.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use cofferdam::{Arrival, BytesSource, CancelToken, MemorySink, Observer, Progress, ReadAt, Sealer, Source};
use hkdf::Hkdf;
use sha2::Sha256;

use streams::map::{Kind, records};
use streams::{FRAME, KEY, counted, in_order, names_in, scratch, seal, small_sealer, threads};

/// A key and a nonce, as one AEAD call takes them.
type Pair = [u8; 44];

/// All pairs that were used for `sealed`: the slots', the metadata's, and that of every frame (FORMAT §10).
fn pairs(sealed: &[u8]) -> Vec<Pair> {
    let slot = &sealed[4096 + 40..4096 + 120];
    let slot_pair = expand(&extract(&slot[..32], &KEY), "slot2", &sealed[..80]);
    let stream_key = open(&slot_pair, b"", &slot[32..]);
    let stream: [u8; 32] = expand(&extract(&sealed[48..80], &stream_key), "stream", &sealed[..48]);
    let mut pairs = vec![slot_pair];
    let mut segment = [0; 44];
    for record in records(sealed) {
        let bytes = &sealed[record.range];
        match record.kind {
            Kind::Metadata => {
                let pair = expand(&stream, "metadata", &bytes[..32]);
                open(&pair, b"", &bytes[32..]);
                pairs.push(pair);
            }
            Kind::SegmentHeader => segment = expand(&stream, "segment", bytes),
            Kind::Data | Kind::Digest | Kind::Terminator => {
                let pair = of_frame(&segment, bytes);
                let clear = if record.kind == Kind::Data { 16 } else { bytes.len() - 16 };
                open(&pair, &bytes[..clear], &bytes[clear..]);
                pairs.push(pair);
            }
            _ => {}
        }
    }
    pairs
}

/// F8.1: byte 7 of the base nonce takes the kind, bytes 8 to 11 the index.
fn of_frame(segment: &Pair, header: &[u8]) -> Pair {
    let mut pair = *segment;
    pair[32 + 7] ^= header[0];
    for byte in 0..4 {
        pair[32 + 8 + byte] ^= header[4 + byte];
    }
    pair
}

/// That a pair opens what it is said to have sealed shows that it is the one that was used.
fn open(pair: &Pair, aad: &[u8], body: &[u8]) -> Vec<u8> {
    let (key, nonce) = pair.split_at(32);
    let cipher = aes_gcm::Aes256Gcm::new(key.try_into().unwrap());
    cipher.decrypt(nonce.try_into().unwrap(), Payload { msg: body, aad }).unwrap()
}

fn extract(salt: &[u8], key: &[u8]) -> Hkdf<Sha256> {
    Hkdf::new(Some(salt), key)
}

fn expand<const LEN: usize>(key: &impl Expand, name: &str, context: &[u8]) -> [u8; LEN] {
    let mut out = [0; LEN];
    key.expand_into(&[b"cofferdam/v1/", name.as_bytes(), b"\0", context].concat(), &mut out);
    out
}

/// What HKDF expands: the result of its first step, or a key that stands in for it.
trait Expand {
    fn expand_into(&self, info: &[u8], out: &mut [u8]);
}

impl Expand for Hkdf<Sha256> {
    fn expand_into(&self, info: &[u8], out: &mut [u8]) {
        self.expand(info, out).unwrap();
    }
}

impl Expand for [u8; 32] {
    fn expand_into(&self, info: &[u8], out: &mut [u8]) {
        Hkdf::<Sha256>::from_prk(self).unwrap().expand_into(info, out);
    }
}

fn assert_all_differ(pairs: &[Pair]) {
    let (mut seen, mut nonces) = (HashSet::new(), HashSet::new());
    for pair in pairs {
        assert!(seen.insert(pair), "a key met a nonce twice");
        nonces.insert(&pair[32..]);
    }
    // Beyond what is demanded: base nonces are random too, so that not even nonces repeat.
    assert_eq!(nonces.len(), pairs.len());
}

fn aes_sealer() -> Sealer {
    small_sealer().suite(cofferdam::Suite::Aes256Gcm)
}

#[test]
fn no_key_meets_a_nonce_twice_in_a_long_stream_of_short_segments() {
    let frames = 8192;
    let sealed = seal(&aes_sealer().segment_len(FRAME as u64).threads(threads(8)), counted(frames * FRAME));
    let pairs = pairs(&sealed);
    assert_eq!(pairs.len(), 2 + 3 * frames);
    assert_all_differ(&pairs);
}

#[test]
fn no_key_meets_a_nonce_twice_in_a_segment_of_many_frames() {
    let frames = 8192;
    let sealer = aes_sealer().segment_len((frames * FRAME) as u64).threads(threads(8));
    let pairs = pairs(&seal(&sealer, counted(frames * FRAME)));
    assert_eq!(pairs.len(), 2 + frames + 2);
    assert_all_differ(&pairs);
}

#[test]
fn the_same_plaintext_sealed_again_uses_no_pair_again() {
    let plaintext = counted(100 * FRAME);
    let mut all = Vec::new();
    for _ in 0..4 {
        all.extend(pairs(&seal(&aes_sealer(), plaintext.clone())));
        let (sink, contents) = MemorySink::new();
        aes_sealer().seal(in_order(plaintext.clone()), sink).unwrap();
        all.extend(pairs(&contents.take().unwrap()));
    }
    assert_all_differ(&all);
}

/// Cancels once so many segments have committed.
struct Interruption {
    after: u64,
    token: CancelToken,
}

impl Observer for Interruption {
    fn progress(&self, progress: &Progress) {
        if progress.segments >= self.after {
            self.token.cancel();
        }
    }
}

#[test]
fn an_interrupted_seal_leaves_nothing_and_the_repeated_one_uses_no_pair_again() {
    let directory = scratch();
    let [input, output] = ["input", "sealed.cfd"].map(|name| directory.path().join(name));
    std::fs::write(&input, counted(20 * streams::SEGMENT)).unwrap();
    let mut all = Vec::new();
    for after in 1..10 {
        let token = CancelToken::new();
        let observer = Arc::new(Interruption { after, token: token.clone() });
        let interrupted = aes_sealer().observer(observer).cancel(token).seal_file(&input, &output);
        assert_eq!(interrupted.unwrap_err().kind(), cofferdam::ErrorKind::Cancelled);
        assert_eq!(names_in(directory.path()), [std::path::PathBuf::from("input")]);
        aes_sealer().seal_file(&input, &output).unwrap();
        all.extend(pairs(&std::fs::read(&output).unwrap()));
        std::fs::remove_file(&output).unwrap();
    }
    assert_all_differ(&all);
}

/// What a sealer wrote before it was stopped, as somebody who sees the medium would.
#[derive(Clone, Default)]
struct Seen(Arc<std::sync::Mutex<Vec<u8>>>);

impl io::Write for Seen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes that fail once `left` of them have been read.
struct Failing {
    inner: BytesSource,
    left: usize,
}

impl Source for Failing {
    fn len(&self) -> Option<u64> {
        None
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        None
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        let room = buffer.len().min(self.left);
        if room == 0 {
            return Err(io::Error::other("the medium is gone"));
        }
        let arrival = self.inner.read_within(&mut buffer[..room], patience)?;
        if let Arrival::Bytes(count) = arrival {
            self.left -= count;
        }
        Ok(arrival)
    }
}

#[test]
fn what_an_interrupted_seal_has_let_out_shares_no_pair_with_the_repeated_one() {
    let plaintext = counted(12 * streams::SEGMENT);
    let mut salts = HashSet::new();
    let mut attempts = 0;
    for segments in [3, 6, 9, 12] {
        let seen = Seen::default();
        let source = Failing {
            inner: BytesSource::new(plaintext.clone()),
            left: (segments * streams::SEGMENT).min(plaintext.len() - 1),
        };
        let failed = aes_sealer().seal(source, cofferdam::PipeSink::new(seen.clone()));
        assert_eq!(failed.unwrap_err().kind(), cofferdam::ErrorKind::Io);
        let partial = seen.0.lock().unwrap().clone();
        let whole = seal(&aes_sealer(), plaintext.clone());
        assert_all_differ(&pairs(&whole));
        for sealed in [&partial, &whole] {
            // Keys derive from stream id and salt, and those of a segment from its attempt salt.
            assert!(salts.insert(sealed[32..80].to_vec()), "a stream id and salt came again");
            let headers = sealed.windows(8).enumerate().filter(|(_, magic)| magic == b"CFDSEG1\0");
            for (at, _) in headers.filter(|(at, _)| at + 48 <= sealed.len()) {
                attempts += 1;
                assert!(salts.insert(sealed[at + 32..at + 48].to_vec()), "an attempt salt came again");
            }
        }
    }
    assert!(attempts > 4 * 12 + 10, "{attempts} attempts were seen");
}
