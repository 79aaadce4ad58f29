//! The frames of one segment of an `RSE1` stream: DATA, then a digest, then a terminator, and what they hold.
//! It does not know where the segment stands but by its number.

use frame_worker::Cipher;

use super::header::HEADER_LEN;
use super::segment::{DIGEST_HEAD_LEN, FRAME_LEN, Segment, TAG_LEN, WRAPPING_LEN};
use crate::bytes::{bytes_at, le32_at};
use crate::held_key::forged;

/// Opens all of `frames`, which are those of `segment`, into all of `plaintext`.
pub(super) fn open(
    header: &[u8; HEADER_LEN],
    cipher: &Cipher,
    segment: &Segment,
    frames: &[u8],
    plaintext: &mut [u8],
) -> Result<(), &'static str> {
    if crc32fast::hash(frames) != segment.crc {
        return Err("has the checksum of another");
    }
    let data = check(segment, frames)?;
    let mut unwrapped = Unwrapped::new(plaintext);
    for frame in &data {
        // Whole frames of plaintext go to their place; the first and the last have something of the wrapping, too.
        let mut bound = [0; AUTHENTICATED_LEN];
        bound[..HEADER_LEN].copy_from_slice(header);
        bound[HEADER_LEN] = DATA;
        bound[HEADER_LEN + 1..].copy_from_slice(&frame.head[SEGMENT_AT..SEALED_LEN_AT]);
        let nonce = nonce(header, frame.index);
        unwrapped.take(frame.ciphertext.len(), |out| {
            cipher
                .open(nonce, &bound, frame.ciphertext, frame.tag, out)
                .map_err(|_| forged(segment.index.into()))
        })?;
    }
    unwrapped.finish()
}

/// A DATA frame.
struct Frame<'a> {
    head: &'a [u8],
    index: u32,
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

/// The DATA frames of a segment, all of whose frames are `frames`: as many as it says, in order, with the right digest behind them.
fn check<'a>(segment: &Segment, frames: &'a [u8]) -> Result<Vec<Frame<'a>>, &'static str> {
    let mut rest = frames;
    let mut data = Vec::with_capacity(segment.frames);
    let mut wrapped_len = 0;
    for index in 0..segment.frames as u32 {
        let (head, sealed) = take(&mut rest, DATA, segment.index, index)?;
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(OUT_OF_PLACE)?;
        if ciphertext.is_empty() || le32_at(head, PLAINTEXT_LEN_AT) as usize != ciphertext.len() {
            return Err(OUT_OF_PLACE);
        }
        wrapped_len += ciphertext.len();
        data.push(Frame { head, index, ciphertext, tag });
    }
    let frames = segment.frames as u32;
    let (_, digest) = take(&mut rest, DIGEST, segment.index, frames)?;
    let (_, nothing) = take(&mut rest, TERMINATOR, segment.index, frames + 1)?;
    if wrapped_len != segment.wrapped_len || !nothing.is_empty() || !rest.is_empty() {
        return Err(OUT_OF_PLACE);
    }
    check_digest(segment, &data, digest)?;
    Ok(data)
}

/// The next frame, which has to be of this kind and number: its header and what follows it.
fn take<'a>(
    rest: &mut &'a [u8],
    kind: u8,
    segment: u32,
    index: u32,
) -> Result<(&'a [u8], &'a [u8]), &'static str> {
    let (head, behind) = rest.split_at_checked(FRAME_LEN).ok_or(OUT_OF_PLACE)?;
    let is_due = head.starts_with(FRAME_MAGIC)
        && head[VERSION_AT] == VERSION
        && head[KIND_AT] == kind
        && le32_at(head, SEGMENT_AT) == segment
        && le32_at(head, INDEX_AT) == index;
    let body = behind.split_at_checked(le32_at(head, SEALED_LEN_AT) as usize).filter(|_| is_due);
    let (body, behind) = body.ok_or(OUT_OF_PLACE)?;
    *rest = behind;
    Ok((head, body))
}

fn check_digest(segment: &Segment, data: &[Frame<'_>], said: &[u8]) -> Result<(), &'static str> {
    let kind = segment.digest;
    let lens: Vec<[u8; 8]> = data.iter().map(|frame| frame.index_and_len()).collect();
    let counts = [segment.index.to_le_bytes(), (segment.frames as u32).to_le_bytes()];
    let of_frames =
        data.iter().zip(&lens).flat_map(|(frame, lens)| [&lens[..], frame.ciphertext, &frame.tag[..]]);
    let digest = kind.of(counts.iter().map(|count| &count[..]).chain(of_frames));
    let mut head = [0; DIGEST_HEAD_LEN];
    head[..2].copy_from_slice(&kind.number().to_be_bytes());
    head[2..].copy_from_slice(&(kind.len() as u16).to_be_bytes());
    match said.split_at_checked(DIGEST_HEAD_LEN) == Some((&head[..], &digest[..])) {
        true => Ok(()),
        false => Err("has the digest of another"),
    }
}

impl Frame<'_> {
    fn index_and_len(&self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.index.to_le_bytes());
        bytes[4..].copy_from_slice(&((self.ciphertext.len() + TAG_LEN) as u32).to_le_bytes());
        bytes
    }
}

/// The plaintext of a segment as it comes out of its frames: four bytes of length, the plaintext, four bytes of checksum.
struct Unwrapped<'a> {
    plaintext: &'a mut [u8],
    /// How much of the wrapped plaintext has come.
    taken: usize,
    around: [u8; WRAPPING_LEN],
}

impl Unwrapped<'_> {
    fn new(plaintext: &mut [u8]) -> Unwrapped<'_> {
        Unwrapped { plaintext, taken: 0, around: [0; WRAPPING_LEN] }
    }

    /// Takes the next `len` bytes, which `open` writes: to their place, if all of them are plaintext.
    fn take(
        &mut self,
        len: usize,
        open: impl FnOnce(&mut [u8]) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let (begin, end) = (self.taken, self.taken + len);
        self.taken = end;
        if begin >= LEN_LEN && end <= LEN_LEN + self.plaintext.len() {
            return open(&mut self.plaintext[begin - LEN_LEN..end - LEN_LEN]);
        }
        let mut opened = keys::Zeroizing::new(vec![0; len]);
        open(&mut opened)?;
        for (at, byte) in (begin..).zip(opened.iter()) {
            let behind = LEN_LEN + self.plaintext.len();
            match at {
                0..LEN_LEN => self.around[at] = *byte,
                _ if at < behind => self.plaintext[at - LEN_LEN] = *byte,
                _ => self.around[LEN_LEN + at - behind] = *byte,
            }
        }
        Ok(())
    }

    /// Compares what was wrapped around with what came.
    fn finish(self) -> Result<(), &'static str> {
        let len = bytes_at(&self.around, 0).map(u32::from_le_bytes);
        let crc = bytes_at(&self.around, LEN_LEN).map(u32::from_le_bytes);
        match len == Some(self.plaintext.len() as u32) && crc == Some(crc32fast::hash(self.plaintext)) {
            true => Ok(()),
            false => Err("is authentic, and has the length or the checksum of another"),
        }
    }
}

/// The salt's first twelve bytes, the last eight of which are XORed with the frame's number in its segment.
fn nonce(header: &[u8; HEADER_LEN], index: u32) -> [u8; 12] {
    let mut nonce = bytes_at::<12>(header, SALT_AT).expect("the header has its salt");
    let number = u64::from(index).to_le_bytes();
    nonce[4..].iter_mut().zip(number).for_each(|(byte, of_number)| *byte ^= of_number);
    nonce
}

const FRAME_MAGIC: &[u8; 4] = b"SV2F";
const VERSION: u8 = 1;
const VERSION_AT: usize = 4;
const KIND_AT: usize = 5;
const SEGMENT_AT: usize = 6;
const INDEX_AT: usize = 10;
const PLAINTEXT_LEN_AT: usize = 14;
const SEALED_LEN_AT: usize = 18;
const DATA: u8 = 1;
const TERMINATOR: u8 = 2;
const DIGEST: u8 = 3;
const SALT_AT: usize = 40;
const LEN_LEN: usize = 4;
/// The header, and of a frame its kind, segment, number and plaintext length.
const AUTHENTICATED_LEN: usize = HEADER_LEN + 1 + 4 + 4 + 4;
const OUT_OF_PLACE: &str = "has a frame that is out of place, missing, or of another length";

const _: () = assert!(SEALED_LEN_AT - SEGMENT_AT == 12 && AUTHENTICATED_LEN == 93);
