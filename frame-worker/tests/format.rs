//! FORMAT §§8 and 11, computed here from records put together by hand: what a worker seals, and what digests bind.
//! It knows no key schedule; ciphers are held to the published vectors elsewhere.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use frame_worker::{
    Backend, ChainValue, Cipher, Closing, ClosingFields, DigestKind, Fragment, FrameError, FrameIndex,
    FrameWorker, OpenedFrame, SegmentDigest, Shape, Suite, digests_equal,
};
use sha2::{Digest, Sha256};

const KEY: [u8; 32] = [3; 32];
/// Bits that every kind and many an index has as well: taking them together and flipping them differ.
const BASE: [u8; 12] = [0xFF, 1, 2, 3, 4, 5, 6, 0x0F, 0x35, 0x5A, 0xA5, 0x0F];
const SUITES: [Suite; 2] = [Suite::Aes256Gcm, Suite::ChaCha20Poly1305];
const DIGESTS: [DigestKind; 3] = [DigestKind::Blake3, DigestKind::Sha256, DigestKind::Tags];

fn shape() -> Shape {
    Shape::new(4096, 300).unwrap()
}

fn worker(suite: Suite, digest: DigestKind) -> FrameWorker {
    FrameWorker::new(Backend::default(), suite, digest, shape(), &KEY, &BASE)
}

/// FORMAT F8.1.
fn nonce(kind: u8, index: u32) -> [u8; 12] {
    let mut nonce = BASE;
    nonce[7] ^= kind;
    for (at, byte) in index.to_le_bytes().into_iter().enumerate() {
        nonce[8 + at] ^= byte;
    }
    nonce
}

/// The 16 bytes of a frame header.
fn header(kind: u8, index: u32, plaintext_len: u32, body_len: u32) -> Vec<u8> {
    let fields = [index, plaintext_len, body_len].map(u32::to_le_bytes);
    [&[kind, 0, 0, 0][..], fields.as_flattened()].concat()
}

/// FORMAT F8.2, F8.5.
fn data_frame(suite: Suite, index: u32, plaintext: &[u8]) -> Vec<u8> {
    let len = plaintext.len() as u32;
    let header = header(1, index, len, len + 16);
    let mut text = vec![0; plaintext.len()];
    let cipher = Cipher::new(Backend::default(), suite, &KEY);
    let tag = cipher.seal(nonce(1, index), &header, plaintext, &mut text);
    [&header[..], &text, &tag].concat()
}

/// FORMAT §8: clear bytes, then the tag over them and nothing.
fn closing_frame(suite: Suite, kind: u8, index: u32, clear: &[u8]) -> Vec<u8> {
    let cipher = Cipher::new(Backend::default(), suite, &KEY);
    [clear, &cipher.seal(nonce(kind, index), clear, &[], &mut [])].concat()
}

/// FORMAT §11: H.
fn hash(kind: DigestKind, parts: &[&[u8]]) -> [u8; 32] {
    match kind {
        DigestKind::Blake3 => blake3::hash(&parts.concat()).into(),
        DigestKind::Sha256 | DigestKind::Tags => Sha256::digest(parts.concat()).into(),
    }
}

/// FORMAT F1.5.
fn label(name: &str) -> Vec<u8> {
    format!("cofferdam/v1/{name}\0").into_bytes()
}

/// FORMAT §11; a tag, of 16 bytes, stands in the first half of 32.
fn fragment(kind: DigestKind, frame: &[u8]) -> Vec<u8> {
    match kind {
        DigestKind::Tags => frame[frame.len() - 16..].to_vec(),
        _ => hash(kind, &[&label("frame"), frame]).to_vec(),
    }
}

fn kinds() -> impl Iterator<Item = (Suite, DigestKind)> {
    SUITES.into_iter().flat_map(|suite| DIGESTS.map(|digest| (suite, digest)))
}

#[test]
fn a_run_is_the_frames_of_the_format_with_their_nonces_and_fragments() {
    for (suite, digest) in kinds() {
        let plaintext: Vec<u8> = (0..2 * 4096 + 77).map(|at| (at % 253) as u8).collect();
        let worker = worker(suite, digest);
        let mut wire = vec![0; plaintext.len() + 3 * 32];
        assert_eq!(FrameWorker::run_wire_len(shape(), plaintext.len()), wire.len());
        let sealed = worker.seal_run(FrameIndex(254), &plaintext, &mut wire);
        let frames: Vec<_> =
            (254..).zip(plaintext.chunks(4096)).map(|(index, text)| data_frame(suite, index, text)).collect();
        assert_eq!(wire, frames.concat());
        let expected = (254..).zip(&frames).map(|(index, frame)| {
            let mut bytes = fragment(digest, frame);
            bytes.resize(32, 0);
            OpenedFrame {
                index: FrameIndex(index),
                plaintext_len: frame.len() as u32 - 32,
                fragment: Fragment::from_bytes(bytes.try_into().unwrap()),
                body_len: frame.len() as u32 - 16,
                plaintext: None,
            }
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(sealed.as_ref(), Ok(&expected));
        let mut opened = vec![0; plaintext.len()];
        assert_eq!(worker.open_run(FrameIndex(254), &wire, &mut opened), Ok(expected));
        assert_eq!(opened, plaintext);
    }
}

#[test]
fn closing_frames_are_those_of_the_format_and_the_chain_goes_over_both() {
    for (suite, kind) in kinds() {
        let fields = ClosingFields {
            frame_count: 259,
            plaintext_len: 258 * 4096 + 1,
            digest: [0xD1; 32],
            plaintext_digest: None,
            last: true,
            chain_before: ChainValue([0xC4; 32]),
        };
        let digest = [&header(2, 259, 0, 48)[..], &[0xD1; 32]].concat();
        let clear = [
            &header(3, 260, 0, 64)[..],
            &259_u32.to_le_bytes(),
            &1_u32.to_le_bytes(),
            &(258_u64 * 4096 + 1).to_le_bytes(),
            &[0xC4; 32],
        ]
        .concat();
        let expected = [closing_frame(suite, 2, 259, &digest), closing_frame(suite, 3, 260, &clear)].concat();
        let worker = worker(suite, kind);
        let sealed = worker.seal_closing(&fields);
        assert_eq!(sealed[..], expected);
        let chain_after = ChainValue(hash(kind, &[&label("chain"), &expected]));
        assert_eq!(worker.open_closing(&sealed), Ok(Closing { fields, chain_after, table: None }));
        assert_eq!(ChainValue::after(kind, &sealed), chain_after);
    }
}

#[test]
fn closing_frames_that_count_differently_contradict_each_other() {
    let worker = worker(Suite::Aes256Gcm, DigestKind::Blake3);
    let of = |frame_count| {
        worker.seal_closing(&ClosingFields {
            frame_count,
            plaintext_len: 2 * 4096 - 1,
            digest: [0xD1; 32],
            plaintext_digest: None,
            last: false,
            chain_before: ChainValue([0xC4; 32]),
        })
    };
    let (two, three) = (of(2), of(3));
    let mut mixed = two;
    mixed[..64].copy_from_slice(&three[..64]);
    assert_eq!(worker.open_closing(&mixed), Err(FrameError::Closing));
    let keyless = FrameWorker::keyless(DigestKind::Blake3, shape()).unwrap();
    assert_eq!(keyless.open_closing(&mixed), Err(FrameError::Closing));
}

/// FORMAT §8: each tag is over its own record. A worker without a key sees the same fields, and checks no tag.
#[test]
fn the_tag_of_each_closing_frame_is_checked_under_its_own_index() {
    let worker = worker(Suite::Aes256Gcm, DigestKind::Sha256);
    let keyless = FrameWorker::keyless(DigestKind::Sha256, shape()).unwrap();
    let fields = ClosingFields {
        frame_count: 2,
        plaintext_len: 5000,
        digest: [0xD1; 32],
        plaintext_digest: None,
        last: false,
        chain_before: ChainValue([0xC4; 32]),
    };
    let sealed = worker.seal_closing(&fields);
    assert_eq!(keyless.open_closing(&sealed), worker.open_closing(&sealed));
    for (at, frame) in [(63, 2), (143, 3)] {
        let mut forged = sealed.clone();
        forged[at] ^= 1;
        let refused = Err(FrameError::Authentication { frame: FrameIndex(frame) });
        assert_eq!(worker.open_closing(&forged), refused, "byte {at}");
        assert_eq!(keyless.open_closing(&forged).unwrap().fields, fields);
    }
    let mut damaged = sealed;
    damaged[64 + 1] = 1;
    let Err(FrameError::Framing(error)) = worker.open_closing(&damaged) else { panic!("a flag is set") };
    assert_eq!(error.offset, 64);
}

#[test]
fn a_segments_digest_binds_preamble_header_fragments_and_their_number() {
    for kind in DIGESTS {
        let frames = [data_frame(Suite::Aes256Gcm, 0, &[5; 4096]), data_frame(Suite::Aes256Gcm, 1, &[6; 9])];
        let (preamble, header) = ([0xA1; 112], [0xB2; 48]);
        let mut digest = SegmentDigest::new(kind, &preamble, &header);
        for frame in &frames {
            digest.absorb(&OpenedFrame {
                index: FrameIndex(0),
                plaintext_len: frame.len() as u32 - 32,
                body_len: frame.len() as u32 - 16,
                fragment: Fragment::new(kind, &frame[..16], &frame[16..]),
                plaintext: None,
            });
        }
        let fragments: Vec<u8> = frames.iter().flat_map(|frame| fragment(kind, frame)).collect();
        assert_eq!(fragments.len(), if kind == DigestKind::Tags { 32 } else { 64 });
        let parts = [&label("digest")[..], &preamble, &header, &fragments, &[2, 0, 0, 0]];
        assert_eq!(digest.finish(2, None), hash(kind, &parts), "{kind:?}");
    }
}

#[test]
fn a_chain_starts_with_preamble_and_metadata_record() {
    for kind in DIGESTS {
        let (preamble, metadata) = ([0xA1; 112], [0xE3; 50]);
        let expected = hash(kind, &[&label("stream"), &preamble, &metadata]);
        assert_eq!(ChainValue::start(kind, &preamble, &metadata), ChainValue(expected), "{kind:?}");
    }
}

#[test]
fn digests_are_equal_with_all_their_bits_and_with_no_fewer() {
    let digest = [0x5A; 32];
    assert!(digests_equal(&digest, &digest));
    for bit in 0..256 {
        let mut other = digest;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!digests_equal(&digest, &other), "bit {bit}");
    }
}

/// FORMAT F8.3: a DATA frame, at its index, and no byte more.
#[test]
fn what_is_not_the_frame_that_is_due_is_refused_before_its_tag() {
    let worker = worker(Suite::Aes256Gcm, DigestKind::Blake3);
    let due = FrameIndex(2);
    let refused = Err(FrameError::NotDue { due });
    let frame = data_frame(Suite::Aes256Gcm, 2, &[5; 10]);
    let mut out = [0; 4096];
    assert!(worker.open(due, &frame, &mut out).is_ok());
    assert_eq!(out[..10], [5; 10]);
    let other = data_frame(Suite::Aes256Gcm, 3, &[5; 10]);
    assert_eq!(worker.open(due, &other, &mut out), refused);
    let longer = [&frame[..], &[0]].concat();
    assert_eq!(worker.open(due, &longer, &mut out), refused);
    assert_eq!(worker.open(due, &frame[..frame.len() - 1], &mut out), refused);
    let digest = closing_frame(Suite::Aes256Gcm, 2, 2, &[&header(2, 2, 0, 48)[..], &[0xD1; 32]].concat());
    assert_eq!(worker.open(due, &digest, &mut out), refused);
    assert_eq!(worker.open(due, &frame, &mut out[..9]), refused);
    let keyless = FrameWorker::keyless(DigestKind::Blake3, shape()).unwrap();
    for wrong in [&other, &longer, &digest] {
        assert_eq!(keyless.open(due, wrong, &mut []), refused);
    }
}

#[test]
fn a_worker_without_a_key_says_so_and_hands_out_no_plaintext() {
    let keyless = FrameWorker::keyless(DigestKind::Sha256, shape()).unwrap();
    assert!(!keyless.yields_plaintext());
    assert!(worker(Suite::Aes256Gcm, DigestKind::Sha256).yields_plaintext());
    assert_eq!(keyless.shape(), shape());
    let wire =
        [data_frame(Suite::Aes256Gcm, 0, &[5; 4096]), data_frame(Suite::Aes256Gcm, 1, &[6; 9])].concat();
    let mut out = [0; 5000];
    assert_eq!(keyless.open_run(FrameIndex(0), &wire, &mut out).unwrap().len(), 2);
    assert_eq!(out, [0; 5000]);
    assert!(FrameWorker::keyless(DigestKind::Tags, shape()).is_none());
}

#[test]
fn a_refusal_says_which_frame_and_why() {
    let worker = worker(Suite::Aes256Gcm, DigestKind::Blake3);
    let due = FrameIndex(7);
    let mut frame = data_frame(Suite::Aes256Gcm, 7, &[5; 10]);
    let said = |frame: &[u8], due| worker.open(due, frame, &mut [0; 10]).unwrap_err();
    assert_eq!(said(&frame, FrameIndex(8)).to_string(), "frame 8 is missing or out of place");
    assert_eq!(said(&frame[..15], due).to_string(), "the frame at byte 0 is cut short");
    frame[20] ^= 1;
    assert_eq!(said(&frame, due).to_string(), "frame 7 fails authentication");
    assert_eq!(FrameError::Closing.to_string(), "the closing frames contradict each other");
}
