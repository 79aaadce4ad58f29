//! `RSE1`, what the Rust and Python library `streaming-crypto` writes: a header, then segments of frames, then an empty segment that is
//! marked as the final one. It knows no other format, and not where its key is kept.
//!
//! ```text
//! header(80):  "RSE1"  u16 version = 1  u16 profile  u16 cipher  u16 kdf  u16 compression  u16 strategy  u16 domain  u16 flags
//!              u32 chunk_len  u64 plaintext_len  u32 crc(0..32)  u32 dictionary  salt(16)  u32 key_id  u32 hint  u64 time  zeros(8)
//! segment(28): u32 index  u32 wrapped_len  u32 frames_len  u32 crc(frames)  u32 frames  u16 digest  u16 flags  u32 crc(0..24)
//! frame(22):   "SV2F"  version = 1  u8 kind  u32 segment  u32 index  u32 plaintext_len  u32 sealed_len    (all little-endian)
//! wrapped:     u32 plaintext_len  plaintext  u32 crc(plaintext)                  one segment, cut into DATA frames
//! ```
//!
//! A DATA frame is bound to the header and to its number. Nothing else is: checksums and digests have no key, and neither has the mark of the
//! final segment. The nonce is the salt and the frame's number *in its segment*, so **each segment repeats the nonces of the one
//! before**. So a stream of it is never proved.

mod frames;
mod header;
mod segment;

use frame_worker::{Backend, Cipher};
use keys::ForeignKey;

use crate::{Chunk, ChunkLens, Chunks, Cut, Cutter, Fault, Wholeness};
use header::Header;
pub(crate) use header::{HEADER_LEN, MAGIC};
use segment::{SEGMENT_LEN, Segment, WRAPPING_LEN, frames_len_max};

/// Cuts an `RSE1` stream into its segments.
pub(crate) struct Rse1Cutter {
    chunk_len: usize,
    /// What the header says of the plaintext, where it says anything.
    declared_len: Option<u64>,
    plaintext_len: u64,
    next: u64,
    ended: bool,
}

/// Opens the segments of an `RSE1` stream.
pub(crate) struct Rse1Chunks {
    header: [u8; HEADER_LEN],
    cipher: Cipher,
    chunk_len: usize,
}

/// How the stream with this header is cut and opened.
///
/// # Errors
/// It is no header that the library writes, or asks for what is not read here.
pub(crate) fn begin(
    bytes: &[u8; HEADER_LEN],
    key: &ForeignKey,
    backend: Backend,
) -> Result<(Rse1Cutter, Rse1Chunks), Fault> {
    let header = Header::parse(bytes)?;
    let cipher = Cipher::new(backend, header.suite, &*header.derive_key(bytes, key)?);
    let Header { chunk_len, declared_len, .. } = header;
    let cutter = Rse1Cutter { chunk_len, declared_len, plaintext_len: 0, next: 0, ended: false };
    Ok((cutter, Rse1Chunks { header: *bytes, cipher, chunk_len }))
}

impl Rse1Cutter {
    /// The segment that is due, its bytes, and whether it is the last: an empty final segment belongs to the one before. `Err` of a
    /// number where it takes more to say: so many bytes.
    fn segment(&self, ahead: &[u8], is_all: bool) -> Result<Result<(Segment, usize, bool), usize>, Fault> {
        let more = |len| match is_all {
            true => Err(Fault::truncated("the stream ends before its final segment").in_chunk(self.next)),
            false => Ok(Err(len)),
        };
        if ahead.len() < SEGMENT_LEN {
            return more(SEGMENT_LEN);
        }
        let segment = self.due(ahead, self.next)?;
        let own_len = SEGMENT_LEN + segment.frames_len;
        let len = if segment.is_final { own_len } else { own_len + SEGMENT_LEN };
        if ahead.len() < len {
            return more(len);
        }
        if segment.is_final {
            return Ok(Ok((segment, own_len, true)));
        }
        let next = self.due(&ahead[own_len..], self.next + 1)?;
        match next.is_final && next.frames == 0 {
            true => Ok(Ok((segment, len, true))),
            false => Ok(Ok((segment, own_len, false))),
        }
    }

    /// The header of segment `due`.
    fn due(&self, bytes: &[u8], due: u64) -> Result<Segment, Fault> {
        let segment = Segment::parse(bytes, self.chunk_len, due)?;
        if u64::from(segment.index) != due {
            let what = format!("segment {} stands where segment {due} is due", segment.index);
            return Err(Fault::damaged(what).in_chunk(due));
        }
        Ok(segment)
    }
}

impl Cutter for Rse1Cutter {
    fn cut(&mut self, ahead: &[u8], is_all: bool) -> Result<Cut, Fault> {
        if self.ended {
            return Ok(Cut::End);
        }
        let (segment, wire, last) = match self.segment(ahead, is_all)? {
            Ok(segment) => segment,
            Err(len) => return Ok(Cut::More(len)),
        };
        let index = self.next;
        let plaintext = segment.plaintext_len();
        if plaintext < self.chunk_len && !last {
            let what = "a segment is shorter than a chunk, and is not the last";
            return Err(Fault::damaged(what).in_chunk(index));
        }
        let total = self.plaintext_len + plaintext as u64;
        if last && self.declared_len.is_some_and(|said| said != total) {
            let what = format!("the segments have {total} bytes in all, and the header says another number");
            return Err(Fault::damaged(what).in_chunk(index));
        }
        (self.next, self.plaintext_len, self.ended) = (index + 1, total, last);
        Ok(Cut::Chunk(Chunk { index, last, lens: ChunkLens { wire, plaintext } }))
    }

    fn claim(&self) -> Wholeness {
        Wholeness::Asserted(if self.plaintext_len == 0 { EMPTY } else { UNPROVED })
    }
}

impl Chunks for Rse1Chunks {
    fn longest(&self) -> ChunkLens {
        let wire = 2 * SEGMENT_LEN + frames_len_max(self.chunk_len + WRAPPING_LEN);
        ChunkLens { wire, plaintext: self.chunk_len }
    }

    fn open(&self, chunk: &Chunk, wire: &[u8], plaintext: &mut [u8]) -> Result<(), &'static str> {
        let segment = Segment::parse(wire, self.chunk_len, chunk.index).ok();
        let segment = segment.filter(|segment| segment.plaintext_len() == plaintext.len());
        let segment = segment.ok_or("is not what it was when it was cut")?;
        if segment.frames == 0 {
            return Ok(());
        }
        let frames =
            wire.get(SEGMENT_LEN..SEGMENT_LEN + segment.frames_len).ok_or("is shorter than it says")?;
        frames::open(&self.header, &self.cipher, &segment, frames, plaintext)
    }
}

/// What nothing of a stream shows.
pub(crate) const UNPROVED: &str = "RSE1 authenticates no end, and each of its segments repeats the nonces of the one before, so segments may \
     be missing at the end, and whoever has seen two of them can forge others";
const EMPTY: &str = "it is empty, and nothing of it is authenticated: it may be what is left of a longer one";
