//! `AGCM`, what the Go library `github.com/agilira/harpocrates` writes: a header, then chunks of a length and an AES-256-GCM message.
//! It knows no other format, and not where its key is kept.
//!
//! ```text
//! header: "AGCM"  u32 version = 1  nonce(12)  u32 chunk_len          (little-endian)
//! chunk:  u32 sealed_len  ciphertext(sealed_len - 16)  tag(16)
//! ```
//!
//! The library appends a counter to the nonce and then takes its first twelve bytes, so that **every chunk has the same nonce**.
//! No chunk is the last one by anything that it says. So a stream of it is never proved, whatever its tags say.

use frame_worker::{Backend, Cipher, Suite};
use framing::limits::FRAME_LEN_MAX;
use keys::ForeignKey;

use crate::bytes::{bytes_at, le32_at};
use crate::held_key::{forged, of_32_bytes};
use crate::{Chunk, ChunkLens, Chunks, Cut, Cutter, Fault, FaultKind, Wholeness};

/// Cuts an `AGCM` stream into its chunks.
#[derive(Debug)]
pub(crate) struct AgcmCutter {
    chunk_len: usize,
    next: u64,
    ended: bool,
}

/// Opens the chunks of an `AGCM` stream.
pub(crate) struct AgcmChunks {
    cipher: Cipher,
    nonce: [u8; NONCE_LEN],
    chunk_len: usize,
}

/// How the stream with this header is cut and opened.
///
/// # Errors
/// It is no header that the library writes, or the key has not 32 bytes.
pub(crate) fn begin(
    header: &[u8; HEADER_LEN],
    key: &ForeignKey,
    backend: Backend,
) -> Result<(AgcmCutter, AgcmChunks), Fault> {
    let version = le32_at(header, VERSION_AT);
    if version != VERSION {
        let what = format!("the AGCM stream is of version {version}: 1 is known");
        return Err(Fault::new(FaultKind::Unsupported, what));
    }
    let chunk_len = le32_at(header, CHUNK_LEN_AT) as usize;
    if !(1..=CHUNK_LEN_MAX).contains(&chunk_len) {
        let what = format!("the AGCM stream has chunks of {chunk_len} bytes: 1 to {CHUNK_LEN_MAX} are read");
        return Err(Fault::new(FaultKind::Limit, what));
    }
    let key = of_32_bytes(key, "an AGCM stream")?;
    let cipher = Cipher::new(backend, Suite::Aes256Gcm, &key);
    let nonce = bytes_at(header, NONCE_AT).expect("the header has its nonce");
    Ok((AgcmCutter { chunk_len, next: 0, ended: false }, AgcmChunks { cipher, nonce, chunk_len }))
}

impl AgcmCutter {
    /// Plaintext bytes of the chunk that says that it has `sealed_len` bytes.
    fn plaintext_len(&self, sealed_len: usize) -> Result<usize, Fault> {
        let len = sealed_len.checked_sub(TAG_LEN).filter(|len| (1..=self.chunk_len).contains(len));
        len.ok_or_else(|| {
            let (least, most) = (TAG_LEN + 1, self.chunk_len + TAG_LEN);
            let what = format!("a chunk says that it has {sealed_len} bytes: {least} to {most} are possible");
            Fault::damaged(what).in_chunk(self.next)
        })
    }
}

impl Cutter for AgcmCutter {
    fn cut(&mut self, ahead: &[u8], is_all: bool) -> Result<Cut, Fault> {
        if self.ended {
            return Ok(Cut::End);
        }
        let index = self.next;
        if is_all && ahead.is_empty() {
            // Only of a stream without a chunk: the last of several has been seen to be the last.
            self.ended = true;
            return Ok(Cut::Chunk(Chunk { index, last: true, lens: ChunkLens { wire: 0, plaintext: 0 } }));
        }
        if ahead.len() < LEN_LEN {
            return match is_all {
                true => Err(Fault::truncated("the stream ends in the length of a chunk").in_chunk(index)),
                false => Ok(Cut::More(LEN_LEN)),
            };
        }
        let sealed_len = le32_at(ahead, 0) as usize;
        let plaintext = self.plaintext_len(sealed_len)?;
        let wire = LEN_LEN + sealed_len;
        // One byte more says whether another chunk follows.
        if ahead.len() <= wire && !is_all {
            return Ok(Cut::More(wire + 1));
        }
        if ahead.len() < wire {
            return Err(Fault::truncated("the stream ends within a chunk").in_chunk(index));
        }
        let last = ahead.len() == wire;
        if plaintext < self.chunk_len && !last {
            let what = "bytes follow a chunk that is shorter than the others, and so the last";
            return Err(Fault::damaged(what).in_chunk(index));
        }
        (self.next, self.ended) = (index + 1, last);
        Ok(Cut::Chunk(Chunk { index, last, lens: ChunkLens { wire, plaintext } }))
    }

    fn claim(&self) -> Wholeness {
        Wholeness::Asserted(if self.next == 0 { EMPTY } else { UNPROVED })
    }
}

impl Chunks for AgcmChunks {
    fn longest(&self) -> ChunkLens {
        ChunkLens { wire: LEN_LEN + self.chunk_len + TAG_LEN, plaintext: self.chunk_len }
    }

    fn open(&self, chunk: &Chunk, wire: &[u8], plaintext: &mut [u8]) -> Result<(), &'static str> {
        if chunk.lens.wire == 0 {
            return Ok(());
        }
        let sealed = wire.get(LEN_LEN..).unwrap_or_default();
        let parts = sealed.split_last_chunk::<TAG_LEN>().filter(|(text, _)| text.len() == plaintext.len());
        let (ciphertext, tag) = parts.ok_or("has another length than it says")?;
        self.cipher.open(self.nonce, &[], ciphertext, tag, plaintext).map_err(|_| forged(chunk.index))
    }
}

/// What a stream begins with.
pub(crate) const MAGIC: &[u8; 4] = b"AGCM";
/// Bytes before the first chunk.
pub(crate) const HEADER_LEN: usize = 24;
const VERSION: u32 = 1;
const VERSION_AT: usize = 4;
const NONCE_AT: usize = 8;
const NONCE_LEN: usize = 12;
const CHUNK_LEN_AT: usize = 20;
const LEN_LEN: usize = 4;
const TAG_LEN: usize = 16;
/// The library itself has a limit of 10 MiB, and a default of 64 KiB.
const CHUNK_LEN_MAX: usize = FRAME_LEN_MAX as usize;

const _: () = assert!(NONCE_AT + NONCE_LEN == CHUNK_LEN_AT && CHUNK_LEN_AT + 4 == HEADER_LEN);

/// What nothing of a stream shows.
pub(crate) const UNPROVED: &str = "AGCM marks no last chunk and seals all of them under one nonce, so chunks may be missing at the end or \
     exchanged, and whoever has seen two of them can forge others";
pub(crate) const EMPTY: &str =
    "it is empty, and nothing of it is authenticated: it may be what is left of a longer one";
