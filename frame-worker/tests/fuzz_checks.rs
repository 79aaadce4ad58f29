//! The fuzz target's checks on the compressed frames of the vectors, which are opened here by the format's key schedule, and on
//! each of their texts cut and with flipped bits: what a fuzzer begins with.

#![cfg(feature = "zstd")]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "../../fuzz/src/compressed.rs"]
mod compressed;
#[path = "../../framing/tests/vector_files/mod.rs"]
mod vector_files;

use frame_worker::{Backend, Cipher, Suite};
use hkdf::Hkdf;
use sha2::Sha256;

/// The first frame of a vector, as it is inside of its AEAD.
struct Text {
    plaintext_len: usize,
    bytes: Vec<u8>,
}

#[test]
fn a_text_is_taken_where_its_vector_opens_and_refused_where_it_is_at_fault() {
    let (mut taken, mut refused) = (0, 0);
    for name in vector_files::names() {
        let Some(text) = first_text(&name) else { continue };
        let header = vector_files::header_of(&name);
        let accepted = compressed::accepts(text.plaintext_len, &text.bytes);
        if header.starts_with("sequential: success") {
            assert!(accepted, "{name}");
            taken += 1;
        } else if header.contains("(FORMAT F8.10)") {
            assert!(!accepted, "{name}");
            refused += 1;
        }
    }
    assert!(taken >= 15 && refused >= 35, "{taken} taken, {refused} refused");
}

#[test]
fn no_flipped_bit_and_no_cut_of_a_text_breaks_a_check() {
    for text in vector_files::names().iter().filter_map(|name| first_text(name)) {
        let input = |mode, bytes: &[u8]| [&[mode], &text.plaintext_len.to_le_bytes()[..2], bytes].concat();
        for at in 0..text.bytes.len() {
            let mut flipped = text.bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            compressed::check(&input(0, &flipped));
            compressed::check(&input(0, &text.bytes[..at]));
            compressed::check(&input(1, &text.bytes[at..]));
            compressed::check(&input(2, &text.bytes[at..]));
        }
    }
}

/// The text of DATA 0 in segment 0, if that is compressed, is there, and opens with the vector's key.
fn first_text(name: &str) -> Option<Text> {
    let header = vector_files::header_of(name);
    let caller_key = hex::decode(header.lines().find_map(|line| line.strip_prefix("key: "))?).unwrap();
    let stream = vector_files::stream_of(name);
    let pre = stream.get(..128).filter(|pre| pre[12] == 1)?;
    let suite = if pre[10] == 1 { Suite::Aes256Gcm } else { Suite::ChaCha20Poly1305 };
    let origin = 4096 + 2 * u32_at(pre, 112) as usize;
    let segment_at = origin + 32 + u32_at(stream.get(origin..origin + 32)?, 16) as usize;
    let segment = stream.get(segment_at..segment_at + 48)?;
    let frame = stream.get(segment_at + 48..)?;
    let frame_header = frame.get(..16).filter(|header| header[1] == 1)?;
    let body = frame.get(16..16 + u32_at(frame_header, 12) as usize)?;

    // One slot of kind 2: its header, its salt, then the stream key under the caller's.
    let slot = stream.get(4096 + 32 + 8..)?.get(..80)?;
    let secret = expand(&Hkdf::new(Some(&slot[..32]), &caller_key), "slot2", &pre[..80]);
    let stream_key = open(Suite::Aes256Gcm, secret, b"", &slot[32..])?;
    let stream_root = expand::<32>(&Hkdf::new(Some(&pre[48..80]), &stream_key), "stream", &pre[..48]);
    let mut secret = expand::<44>(&Hkdf::from_prk(&stream_root).unwrap(), "segment", segment);
    secret[32 + 7] ^= 1;
    let bytes = open(suite, secret, frame_header, body)?;
    Some(Text { plaintext_len: u32_at(frame_header, 8) as usize, bytes })
}

/// FORMAT F10.4: 32 bytes of key and 12 of nonce.
fn open(suite: Suite, secret: [u8; 44], aad: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let cipher = Cipher::new(Backend::default(), suite, secret[..32].try_into().unwrap());
    let (ciphertext, tag) = body.split_last_chunk()?;
    let mut plaintext = vec![0; ciphertext.len()];
    cipher.open(secret[32..].try_into().unwrap(), aad, ciphertext, tag, &mut plaintext).ok()?;
    Some(plaintext)
}

fn expand<const LEN: usize>(prk: &Hkdf<Sha256>, name: &str, context: &[u8]) -> [u8; LEN] {
    let label = format!("cofferdam/v1/{name}\0");
    let mut out = [0; LEN];
    prk.expand_multi_info(&[label.as_bytes(), context], &mut out).unwrap();
    out
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}
