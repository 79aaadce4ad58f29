//! Frames of compressed streams: both ways, at every boundary, and each malformation of the zstd inside the AEAD.
//! What a writer never makes is made here with the zstd library itself.

#![cfg(feature = "zstd")]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::sync::Arc;

use frame_worker::{
    Backend, ChainValue, Cipher, ClosingFields, Codec, Compression, CompressionLevel, DigestKind,
    FRAME_OVERHEAD, FrameError, FrameIndex, FrameWorker, OpenedFrame, SegmentDigest, SegmentEnd, Shape,
    Suite,
};
use zstd::zstd_safe::{CCtx, CParameter};

const FRAME_LEN: usize = 8192;
const KEY: [u8; 32] = [3; 32];
const NONCE: [u8; 12] = [9; 12];
const PLAINTEXT_KEY: [u8; 32] = [7; 32];

fn shape() -> Shape {
    Shape::new(FRAME_LEN as u32, 8).unwrap().with_compression(Compression::Zstd)
}

fn worker(suite: Suite, digest: DigestKind) -> FrameWorker {
    let codec = Arc::new(Codec::new(CompressionLevel::default(), shape()).unwrap());
    FrameWorker::new(Backend::default(), suite, digest, shape(), &KEY, &NONCE)
        .with_codec(codec, &PLAINTEXT_KEY)
}

fn default_worker() -> FrameWorker {
    worker(Suite::Aes256Gcm, DigestKind::Blake3)
}

/// Half of it compresses to nothing, the other half not at all.
fn plaintext(len: usize) -> Vec<u8> {
    let mut bytes = vec![b'a'; len];
    let half = len / 2;
    getrandom::fill(&mut bytes[half..]).unwrap();
    bytes
}

fn seal_run(worker: &FrameWorker, plaintext: &[u8]) -> (Vec<OpenedFrame>, Vec<u8>) {
    let mut wire = vec![0; FrameWorker::run_wire_len(shape(), plaintext.len())];
    let sealed = worker.seal_run(FrameIndex(0), plaintext, &mut wire).unwrap();
    wire.truncate(sealed.iter().map(OpenedFrame::wire_len).sum());
    (sealed, wire)
}

#[test]
fn what_was_sealed_opens_at_every_length_under_every_suite_and_digest() {
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        for digest in [DigestKind::Blake3, DigestKind::Sha256, DigestKind::Tags] {
            let worker = worker(suite, digest);
            for len in [1, 2, 15, 16, 17, 4096, FRAME_LEN - 1, FRAME_LEN, FRAME_LEN + 1, 3 * FRAME_LEN + 7] {
                let plaintext = plaintext(len);
                let (sealed, wire) = seal_run(&worker, &plaintext);
                let mut out = vec![0; len];
                assert_eq!(worker.open_run(FrameIndex(0), &wire, &mut out).unwrap(), sealed, "{len} bytes");
                assert!(out == plaintext, "{len} bytes");
                let hashed = worker.hash_run(FrameIndex(0), &plaintext);
                let plain = |frames: &[OpenedFrame]| {
                    frames
                        .iter()
                        .map(|frame| (frame.index, frame.plaintext_len, frame.plaintext))
                        .collect::<Vec<_>>()
                };
                assert_eq!(plain(&sealed), plain(&hashed));
            }
        }
    }
}

/// FORMAT F8.5: the flag if and only if the body is shorter.
#[test]
fn a_frame_is_compressed_only_where_that_makes_it_shorter() {
    let mut random = vec![0; FRAME_LEN];
    getrandom::fill(&mut random).unwrap();
    for (plaintext, compressed) in
        [(vec![0; FRAME_LEN], true), (random, false), (vec![1], false), (vec![0; 8], false)]
    {
        let (sealed, wire) = seal_run(&default_worker(), &plaintext);
        assert_eq!(wire[1], u8::from(compressed));
        assert_eq!(wire.len() < plaintext.len() + FRAME_OVERHEAD, compressed);
        assert_eq!(sealed[0].body_len as usize, wire.len() - 16);
    }
}

/// A long frame is sampled before it is compressed. 128 KiB of text in it are found wherever they begin, and so is what each page of
/// a database has in its second half. What only repeats itself from far away is not, which is the price of sampling.
#[test]
fn a_long_frame_is_compressed_where_a_sample_of_it_becomes_shorter() {
    const LONG: usize = 256 * 1024;
    let shape = Shape::new(LONG as u32, 8).unwrap().with_compression(Compression::Zstd);
    let codec = Arc::new(Codec::new(CompressionLevel::default(), shape).unwrap());
    let worker =
        FrameWorker::new(Backend::default(), Suite::Aes256Gcm, DigestKind::Blake3, shape, &KEY, &NONCE)
            .with_codec(codec, &PLAINTEXT_KEY);
    let is_compressed = |plaintext: &[u8]| {
        let mut wire = vec![0; FrameWorker::run_wire_len(shape, plaintext.len())];
        worker.seal_run(FrameIndex(0), plaintext, &mut wire).unwrap();
        wire[1] == 1
    };
    let random = || {
        let mut bytes = vec![0; LONG];
        getrandom::fill(&mut bytes).unwrap();
        bytes
    };
    assert!(!is_compressed(&random()));
    let mut repeating = random();
    let (first, second) = repeating.split_at_mut(LONG / 2);
    second.copy_from_slice(first);
    assert!(!is_compressed(&repeating), "the documented limit");
    for at in (0..=LONG - 128 * 1024).step_by(4096) {
        let mut with_text = random();
        with_text[at..][..128 * 1024].fill(b'a');
        assert!(is_compressed(&with_text), "text at {at}");
    }
    let mut pages = random();
    pages.chunks_mut(16 * 1024).for_each(|page| page[8 * 1024..].fill(b'a'));
    assert!(is_compressed(&pages), "text in half of each page");
    let short = &repeating[LONG / 2 - 16 * 1024..][..32 * 1024];
    assert!(!is_compressed(short), "random as well");
    assert!(
        is_compressed(&[&short[..16 * 1024], &short[..16 * 1024]].concat()),
        "short frames are tried as a whole"
    );
}

#[test]
fn a_keyless_worker_makes_the_same_fragments_and_no_plaintext() {
    let (mut sealed, wire) = seal_run(&default_worker(), &plaintext(3 * FRAME_LEN));
    let keyless = FrameWorker::keyless(DigestKind::Blake3, shape()).unwrap();
    let opened = keyless.open_run(FrameIndex(0), &wire, &mut []).unwrap();
    sealed.iter_mut().for_each(|frame| frame.plaintext = None);
    assert_eq!(opened, sealed);
}

#[test]
fn every_flipped_bit_of_a_compressed_frame_is_refused() {
    let worker = default_worker();
    let (_, mut frame) = seal_run(&worker, &[5; 200]);
    for bit in 0..frame.len() * 8 {
        frame[bit / 8] ^= 1 << (bit % 8);
        assert!(worker.open(FrameIndex(0), &frame, &mut [0; FRAME_LEN]).is_err(), "bit {bit}");
        frame[bit / 8] ^= 1 << (bit % 8);
    }
}

/// A DATA frame that says `plaintext_len` and holds `text`, sealed with the segment's key.
fn forged(plaintext_len: u32, text: &[u8]) -> Vec<u8> {
    let mut header = [0; 16];
    header[..2].copy_from_slice(&[1, 1]);
    header[8..12].copy_from_slice(&plaintext_len.to_le_bytes());
    header[12..].copy_from_slice(&(text.len() as u32 + 16).to_le_bytes());
    let mut nonce = NONCE;
    nonce[7] ^= 1;
    let mut ciphertext = vec![0; text.len()];
    let tag =
        Cipher::new(Backend::default(), Suite::Aes256Gcm, &KEY).seal(nonce, &header, text, &mut ciphertext);
    [&header[..], &ciphertext, &tag].concat()
}

/// One zstd frame, made with `parameters` set.
fn zstd(plaintext: &[u8], parameters: &[CParameter]) -> Vec<u8> {
    let mut context = CCtx::create();
    for &parameter in parameters {
        context.set_parameter(parameter).unwrap();
    }
    let mut text = Vec::with_capacity(plaintext.len() + 1024);
    context.compress2(&mut text, plaintext).unwrap();
    text
}

fn open(frame: &[u8], room: usize) -> Result<OpenedFrame, FrameError> {
    default_worker().open(FrameIndex(0), frame, &mut vec![0; room])
}

/// FORMAT F8.10. The keys are right in all of them: whoever knows a recipient can make such a frame.
#[test]
fn what_a_writer_never_makes_of_a_frame_is_refused() {
    let plaintext = [b'z'; 4000];
    let good = zstd(&plaintext, &[]);
    assert_eq!(open(&forged(4000, &good), FRAME_LEN).unwrap().plaintext_len, 4000);
    let wide = zstd(&plaintext, &[CParameter::ContentSizeFlag(false)]);
    let two = [zstd(&plaintext[..2000], &[]), zstd(&plaintext[2000..], &[])].concat();
    let skippable = [&[0x50, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, 0][..], &good].concat();
    let mut reserved = good.clone();
    reserved[4] |= 0b1000;
    let mut unused = good.clone();
    unused[4] |= 0b1_0000;
    let mut dictionary = good.clone();
    dictionary[4] |= 1;
    let cases: [(&str, u32, Vec<u8>); 13] = [
        ("of another size, longer", 4001, good.clone()),
        ("of another size, shorter", 3999, good.clone()),
        ("with a checksum", 4000, zstd(&plaintext, &[CParameter::ChecksumFlag(true)])),
        ("without a content size, so with a window", 4000, wide),
        ("with a byte after it", 4000, [&good[..], &[0]].concat()),
        ("two", 4000, two),
        ("after a skippable one", 4000, skippable.clone()),
        ("skippable", 4000, skippable[..9].to_vec()),
        ("with the reserved bit", 4000, reserved),
        ("with the unused bit", 4000, unused),
        ("with a dictionary", 4000, dictionary),
        ("cut short", 4000, good[..good.len() - 1].to_vec()),
        ("none", 4000, vec![7; 20]),
    ];
    for (what, plaintext_len, text) in cases {
        let refused = open(&forged(plaintext_len, &text), FRAME_LEN);
        assert_eq!(refused, Err(FrameError::Decompression { frame: FrameIndex(0) }), "{what}");
    }
}

/// A few bytes that unfold to megabytes are stopped at the length that the header says, which is at most a frame.
#[test]
fn a_bomb_writes_no_more_than_its_header_says() {
    let bomb = zstd(&vec![0; 64 << 20], &[CParameter::WindowLog(27)]);
    assert!(bomb.len() < FRAME_LEN);
    let mut out = vec![0xAA; 2 * FRAME_LEN];
    let refused = default_worker().open(FrameIndex(0), &forged(FRAME_LEN as u32, &bomb), &mut out);
    assert_eq!(refused, Err(FrameError::Decompression { frame: FrameIndex(0) }));
    // One whose header says the right size, and whose blocks say more.
    let mut liar = zstd(&vec![0; 2 * FRAME_LEN], &[]);
    let size_at = 5;
    assert_eq!(liar[4] & 0b1110_0000, 0b0110_0000, "a content size of two bytes, less 256");
    liar[size_at..size_at + 2].copy_from_slice(&(FRAME_LEN as u16 - 256).to_le_bytes());
    let refused = default_worker().open(FrameIndex(0), &forged(FRAME_LEN as u32, &liar), &mut out);
    assert_eq!(refused, Err(FrameError::Decompression { frame: FrameIndex(0) }));
    assert!(out[FRAME_LEN..].iter().all(|&byte| byte == 0xAA), "nothing behind the frame's room was written");
}

/// FORMAT §11, put together here by hand: the fragment of the TABLE, then the plaintext digest, then the count.
#[test]
fn digests_of_a_compressed_segment_are_those_of_the_format() {
    let worker = default_worker();
    let text = plaintext(FRAME_LEN + 100);
    let (frames, wire) = seal_run(&worker, &text);
    let (preamble, header) = ([1; 112], [2; 48]);
    let mut digest =
        SegmentDigest::new(DigestKind::Blake3, &preamble, &header).with_table(Some(&PLAINTEXT_KEY), &header);
    frames.iter().for_each(|frame| digest.absorb(frame));
    let body_lens: Vec<u32> = frames.iter().map(|frame| frame.body_len).collect();
    assert_eq!(digest.body_lens(), Some(&body_lens[..]));
    let (table, fragment) = worker.seal_table(&body_lens);
    let plaintext_digest = digest.plaintext_digest(2).unwrap();
    let ended = digest.finish(2, Some(&SegmentEnd { table: fragment, plaintext_digest }));

    let plain = |index: u32, text: &[u8]| {
        let mut hasher = blake3::Hasher::new_keyed(&PLAINTEXT_KEY);
        hasher.update(b"cofferdam/v1/plain-frame\0").update(&index.to_le_bytes()).update(text);
        *hasher.finalize().as_bytes()
    };
    let mut hasher = blake3::Hasher::new_keyed(&PLAINTEXT_KEY);
    hasher.update(b"cofferdam/v1/plain\0").update(&header);
    hasher.update(&plain(0, &text[..FRAME_LEN])).update(&plain(1, &text[FRAME_LEN..]));
    hasher.update(&2_u32.to_le_bytes());
    assert_eq!(plaintext_digest, *hasher.finalize().as_bytes());

    let fragment = |frame: &[u8]| {
        *blake3::Hasher::new().update(b"cofferdam/v1/frame\0").update(frame).finalize().as_bytes()
    };
    let (first, second) = wire.split_at(frames[0].wire_len());
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"cofferdam/v1/digest\0").update(&preamble).update(&header);
    hasher.update(&fragment(first)).update(&fragment(second)).update(&fragment(&table));
    hasher.update(&plaintext_digest).update(&2_u32.to_le_bytes());
    assert_eq!(ended, *hasher.finalize().as_bytes());
}

#[test]
fn every_flipped_bit_of_a_table_and_of_the_closing_frames_is_refused() {
    let worker = default_worker();
    let (mut table, fragment) = worker.seal_table(&[100, 4000]);
    let opened = worker.open_table(&table, 2).unwrap();
    assert_eq!((&opened.body_lens[..], opened.fragment), (&[100, 4000][..], fragment));
    for bit in 0..table.len() * 8 {
        table[bit / 8] ^= 1 << (bit % 8);
        assert!(worker.open_table(&table, 2).is_err(), "bit {bit}");
        table[bit / 8] ^= 1 << (bit % 8);
    }
    let fields = ClosingFields {
        frame_count: 2,
        plaintext_len: FRAME_LEN as u64 + 1,
        digest: [1; 32],
        plaintext_digest: Some([4; 32]),
        last: true,
        chain_before: ChainValue([2; 32]),
    };
    let mut closing = worker.seal_closing(&fields);
    assert_eq!(closing.len(), 176);
    assert_eq!(worker.open_closing(&closing).unwrap().fields, fields);
    for bit in 0..closing.len() * 8 {
        closing[bit / 8] ^= 1 << (bit % 8);
        assert!(worker.open_closing(&closing).is_err(), "bit {bit}");
        closing[bit / 8] ^= 1 << (bit % 8);
    }
}

/// FORMAT F13.9: how long a frame is follows from its place, whatever its header says.
#[test]
fn a_frame_opened_alone_is_as_long_as_its_place_wants() {
    let worker = default_worker();
    for (len, compresses) in [(FRAME_LEN, true), (FRAME_LEN - 1, true), (5, false)] {
        let plaintext = if compresses { vec![b'a'; len] } else { plaintext(len) };
        let (sealed, wire) = seal_run(&worker, &plaintext);
        assert_eq!(wire.len() < len, compresses);
        let mut out = vec![0; len];
        worker.open_alone(FrameIndex(0), &wire, &mut out).unwrap();
        assert!(out == plaintext);
        for other in [len - 1, len + 1, 0, 2 * len] {
            let refused = worker.open_alone(FrameIndex(0), &wire, &mut vec![0; other]);
            assert_eq!(refused, Err(FrameError::NotDue { due: FrameIndex(0) }), "{len} into {other}");
        }
        let elsewhere = worker.open_alone(FrameIndex(1), &wire, &mut out);
        assert_eq!(elsewhere, Err(FrameError::NotDue { due: FrameIndex(1) }), "{sealed:?}");
    }
}
