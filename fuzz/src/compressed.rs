//! Checks for the fuzzer: compressed frames, one at a time. The key is known here and every frame sealed with it, so that the
//! zstd inside is what is judged. It knows no stream, and no way to decompress but the frame worker's.
//!
//! An input is a byte of mode, two bytes of plaintext_len, and by the mode the text of a frame, the blocks of one whose zstd
//! header is made here, or plaintext to be sealed.

use std::sync::{Arc, LazyLock};

use frame_worker::{
    Backend, Cipher, Codec, Compression, CompressionLevel, DigestKind, FRAME_OVERHEAD, FrameError,
    FrameIndex, FrameWorker, Shape, Suite,
};

const FRAME_LEN: usize = 65_536;
/// Room after the longest plaintext; what stands there stays as it is.
const BEYOND: usize = 64;
const UNTOUCHED: u8 = 0xA5;
const KEY: [u8; 32] = [3; 32];
const NONCE: [u8; 12] = [9; 12];

static WORKER: LazyLock<FrameWorker> = LazyLock::new(|| {
    let shape = Shape::new(FRAME_LEN as u32, 4).expect("65536 and 4 are within the limits");
    let shape = shape.with_compression(Compression::Zstd);
    let codec = Codec::new(CompressionLevel::default(), shape).expect("there is memory for contexts");
    FrameWorker::new(Backend::default(), Suite::Aes256Gcm, DigestKind::Blake3, shape, &KEY, &NONCE)
        .with_codec(Arc::new(codec), &[7; 32])
});

/// Everything below, for one input. Panics on a fault.
pub(crate) fn check(data: &[u8]) {
    let Some((&[mode, low, high], rest)) = data.split_first_chunk() else { return };
    let plaintext_len = u16::from_le_bytes([low, high]);
    match mode % 3 {
        0 => {
            accepts(plaintext_len.into(), rest);
        }
        1 => {
            accepts(plaintext_len.into(), &[&zstd_header(plaintext_len)[..], rest].concat());
        }
        _ => comes_back(&rest[..rest.len().min(FRAME_LEN)]),
    }
}

/// Whether the worker takes `text` for `plaintext_len` bytes. It does only if FORMAT F8.5 and F8.10 hold, it writes no byte
/// beyond, and what raw and repeated blocks say it neither refuses nor changes.
pub(crate) fn accepts(plaintext_len: usize, text: &[u8]) -> bool {
    let mut out = vec![UNTOUCHED; FRAME_LEN + BEYOND];
    let opened = WORKER.open(FrameIndex(0), &forged(plaintext_len, text), &mut out);
    let (plaintext, beyond) = out.split_at(plaintext_len.min(FRAME_LEN));
    assert!(beyond.iter().all(|&byte| byte == UNTOUCHED), "bytes beyond the plaintext were written");
    let fits = (1..=FRAME_LEN).contains(&plaintext_len) && (1..plaintext_len).contains(&text.len());
    let blocks = strict_blocks(text, plaintext_len);
    let content = blocks.as_deref().and_then(content).filter(|content| content.len() == plaintext_len);
    match opened {
        Ok(opened) => {
            assert!(fits && blocks.is_some(), "the text is not as FORMAT wants it");
            assert_eq!(opened.plaintext_len as usize, plaintext_len);
            let hashed = WORKER.hash_run(FrameIndex(0), plaintext);
            assert_eq!(opened.plaintext, hashed.first().and_then(|frame| frame.plaintext));
            assert!(content.is_none_or(|content| content == plaintext));
            true
        }
        Err(FrameError::Framing(_)) => {
            assert!(!fits, "the header's lengths are right");
            false
        }
        Err(FrameError::Decompression { .. }) => {
            assert!(fits && content.is_none(), "the text is right");
            false
        }
        Err(error) => panic!("the tag is right: {error}"),
    }
}

/// What is sealed opens to itself, compressed if and only if that is shorter.
fn comes_back(plaintext: &[u8]) {
    if plaintext.is_empty() {
        return;
    }
    let mut frame = vec![0; plaintext.len() + FRAME_OVERHEAD];
    let sealed = WORKER.seal(FrameIndex(0), plaintext, &mut frame).expect("there is memory for contexts");
    let full_len = frame.len();
    frame.truncate(sealed.wire_len());
    assert_eq!(frame[1] == 1, frame.len() < full_len);
    let mut out = vec![0; plaintext.len()];
    assert_eq!(WORKER.open(FrameIndex(0), &frame, &mut out), Ok(sealed));
    assert_eq!(out, plaintext);
}

/// DATA frame 0, compressed, sealed as a writer with the key can seal anything.
fn forged(plaintext_len: usize, text: &[u8]) -> Vec<u8> {
    let mut header = [0; 16];
    header[..2].copy_from_slice(&[1, 1]);
    header[8..12].copy_from_slice(&(plaintext_len as u32).to_le_bytes());
    header[12..].copy_from_slice(&(text.len() as u32 + 16).to_le_bytes());
    let mut nonce = NONCE;
    nonce[7] ^= 1;
    let mut ciphertext = vec![0; text.len()];
    let cipher = Cipher::new(Backend::default(), Suite::Aes256Gcm, &KEY);
    let tag = cipher.seal(nonce, &header, text, &mut ciphertext);
    [&header[..], &ciphertext, &tag].concat()
}

/// Magic, Single_Segment with four bytes of content size, and that.
fn zstd_header(plaintext_len: u16) -> [u8; 9] {
    let [low, high] = plaintext_len.to_le_bytes();
    [0x28, 0xB5, 0x2F, 0xFD, 0b1010_0000, low, high, 0, 0]
}

enum Block<'a> {
    Raw(&'a [u8]),
    Run(u8, usize),
    Compressed,
}

/// The blocks of `text`, if its header is as FORMAT F8.10 wants it and nothing stands after them.
fn strict_blocks(text: &[u8], plaintext_len: usize) -> Option<Vec<Block<'_>>> {
    let (&descriptor, rest) = text.strip_prefix(&[0x28, 0xB5, 0x2F, 0xFD])?.split_first()?;
    let (size, mut rest) = rest.split_at_checked(1 << (descriptor >> 6))?;
    let size = size.iter().rev().fold(0, |size, &byte| size << 8 | u64::from(byte));
    let size = size + if descriptor >> 6 == 1 { 256 } else { 0 };
    (descriptor & 0b0011_1111 == 0b0010_0000 && size == plaintext_len as u64).then_some(())?;
    let mut blocks = Vec::new();
    loop {
        let (&[low, middle, high], after) = rest.split_first_chunk()?;
        let size = usize::from(high) << 13 | usize::from(middle) << 5 | usize::from(low >> 3);
        let (block, after) = match low >> 1 & 3 {
            0 => after.split_at_checked(size).map(|(bytes, after)| (Block::Raw(bytes), after))?,
            1 => after.split_first().map(|(&byte, after)| (Block::Run(byte, size), after))?,
            2 => after.split_at_checked(size).map(|(_, after)| (Block::Compressed, after))?,
            _ => return None,
        };
        blocks.push(block);
        rest = after;
        if low & 1 == 1 {
            return rest.is_empty().then_some(blocks);
        }
    }
}

/// What blocks say that need no decoder, cut soon after the longest plaintext.
fn content(blocks: &[Block<'_>]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    for block in blocks {
        match block {
            Block::Raw(bytes) => content.extend_from_slice(bytes),
            Block::Run(byte, len) => content.resize((content.len() + len).min(FRAME_LEN + 1), *byte),
            Block::Compressed => return None,
        }
        content.truncate(FRAME_LEN + 1);
    }
    Some(content)
}
