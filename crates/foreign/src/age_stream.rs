//! The payload of an age file: STREAM, of chunks of 64 KiB under ChaCha20-Poly1305 (C2SP age.md, "Payload").
//! It knows the payload's key, and no header.

use frame_worker::{Backend, Cipher, Suite};

use crate::{Chunk, ChunkLens, Chunks, Cut, Cutter, Fault, Layout, Wholeness};

/// Opens and seals chunks under the key of one payload.
pub(crate) struct AgeChunks {
    cipher: Cipher,
}

impl AgeChunks {
    /// Under the payload's `key`, which is not used for another payload.
    pub(crate) fn new(backend: Backend, key: &[u8; 32]) -> AgeChunks {
        AgeChunks { cipher: Cipher::new(backend, Suite::ChaCha20Poly1305, key) }
    }

    /// Seals `plaintext` as `chunk` into all of `wire`. Once for each chunk: the nonce follows from it.
    pub(crate) fn seal(&self, chunk: &Chunk, plaintext: &[u8], wire: &mut [u8]) {
        let (ciphertext, tag) = wire.split_at_mut(plaintext.len());
        tag.copy_from_slice(&self.cipher.seal(nonce(chunk), &[], plaintext, ciphertext));
    }
}

impl Chunks for AgeChunks {
    fn longest(&self) -> ChunkLens {
        FULL
    }

    fn open(&self, chunk: &Chunk, wire: &[u8], plaintext: &mut [u8]) -> Result<(), &'static str> {
        let (ciphertext, tag) = wire.split_last_chunk::<TAG_LEN>().ok_or(NO_TAG)?;
        self.cipher.open(nonce(chunk), &[], ciphertext, tag, plaintext).map_err(|_| FORGED)
    }

    fn layout(&self, payload_len: u64) -> Option<Result<Layout, Fault>> {
        Some(layout(payload_len))
    }
}

/// How a payload of `payload_len` bytes is cut: full chunks, and one that is shorter, or full too, but empty only alone.
fn layout(payload_len: u64) -> Result<Layout, Fault> {
    let chunks = payload_len.div_ceil(FULL.wire as u64);
    let Some(before) = chunks.checked_sub(1) else { return Err(no_chunk()) };
    let wire = (payload_len - before * FULL.wire as u64) as usize;
    let plaintext = last_plaintext_len(before, wire)?;
    Ok(Layout { chunks, full: FULL, last: ChunkLens { wire, plaintext } })
}

/// Plaintext bytes of a last chunk that has `wire` bytes, behind `before` others.
fn last_plaintext_len(before: u64, wire: usize) -> Result<usize, Fault> {
    match wire.checked_sub(TAG_LEN) {
        None => Err(Fault::truncated("the age file ends within a chunk: it has been cut short, or added to")
            .in_chunk(before)),
        Some(0) if before > 0 => {
            let what =
                "the last chunk of the age file is empty, which only the first may be: it has been changed";
            Err(Fault::damaged(what).in_chunk(before))
        }
        Some(plaintext) => Ok(plaintext),
    }
}

fn no_chunk() -> Fault {
    Fault::truncated("the age file ends behind its header: it has no chunk").in_chunk(0)
}

/// Cuts a payload whose length shows at its end.
#[derive(Debug, Default)]
pub(crate) struct AgeCutter {
    next: u64,
    ended: bool,
}

impl Cutter for AgeCutter {
    fn cut(&mut self, ahead: &[u8], is_all: bool) -> Result<Cut, Fault> {
        if self.ended {
            return Ok(Cut::End);
        }
        let index = self.next;
        // Whether a full chunk is the last one, the byte behind it says.
        if ahead.len() > FULL.wire {
            self.next += 1;
            return Ok(Cut::Chunk(Chunk { index, last: false, lens: FULL }));
        }
        match (is_all, ahead.len()) {
            (false, _) => Ok(Cut::More(FULL.wire + 1)),
            (true, 0) => Err(no_chunk()),
            (true, wire) => {
                let plaintext = last_plaintext_len(index, wire)?;
                self.ended = true;
                Ok(Cut::Chunk(Chunk { index, last: true, lens: ChunkLens { wire, plaintext } }))
            }
        }
    }

    fn claim(&self) -> Wholeness {
        Wholeness::Proved
    }
}

/// Eleven bytes of a counter, big-endian, and one that is 1 for the last chunk.
fn nonce(chunk: &Chunk) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[3..11].copy_from_slice(&chunk.index.to_be_bytes());
    nonce[11] = u8::from(chunk.last);
    nonce
}

/// A chunk that is full.
pub(crate) const FULL: ChunkLens = ChunkLens { wire: PLAINTEXT_LEN + TAG_LEN, plaintext: PLAINTEXT_LEN };
const PLAINTEXT_LEN: usize = 64 * 1024;
pub(crate) const TAG_LEN: usize = 16;
const FORGED: &str = "fails authentication";
const NO_TAG: &str = "is shorter than its tag";

#[cfg(test)]
mod tests {
    use super::*;

    const WIRE: u64 = FULL.wire as u64;

    #[test]
    fn a_payload_is_full_chunks_and_a_last_one_that_is_empty_only_alone() {
        for (len, chunks, last) in [
            (16, 1, 0),
            (17, 1, 1),
            (WIRE - 1, 1, 65_535),
            (WIRE, 1, 65_536),
            (WIRE + 17, 2, 1),
            (2 * WIRE, 2, 65_536),
            (3 * WIRE - 5, 3, 65_531),
        ] {
            let found = layout(len).unwrap();
            assert_eq!((found.chunks, found.last.plaintext), (chunks, last), "{len}");
            assert_eq!(found.plaintext_len(), len - 16 * chunks, "{len}");
        }
        for len in [0, 1, 15, WIRE + 1, WIRE + 15] {
            assert_eq!(layout(len).unwrap_err().kind, crate::FaultKind::Truncated, "{len}");
        }
        assert_eq!(layout(WIRE + 16).unwrap_err().kind, crate::FaultKind::Damaged);
    }

    #[test]
    fn what_is_cut_in_order_is_what_the_layout_says() {
        for len in
            [0, 1, 15, 16, 17, WIRE - 1, WIRE, WIRE + 1, WIRE + 16, WIRE + 17, 2 * WIRE, 2 * WIRE + 100]
        {
            let bytes = vec![0; len as usize];
            let mut cutter = AgeCutter::default();
            let (mut at, mut chunks, mut plaintext) = (0, 0, 0);
            let cut = loop {
                let ahead = &bytes[at..];
                // No more at a time than is asked for.
                let shown = ahead.len().min(FULL.wire + 1);
                match cutter.cut(&ahead[..shown], shown == ahead.len()) {
                    Ok(Cut::Chunk(chunk)) => {
                        assert_eq!(chunk.index, chunks);
                        (at, chunks) = (at + chunk.lens.wire, chunks + 1);
                        plaintext += chunk.lens.plaintext as u64;
                    }
                    Ok(Cut::End) => break Ok((chunks, plaintext)),
                    Ok(other) => panic!("{other:?}"),
                    Err(fault) => break Err(fault.kind),
                }
            };
            let expected = layout(len);
            let expected =
                expected.map(|found| (found.chunks, found.plaintext_len())).map_err(|fault| fault.kind);
            assert_eq!(cut, expected, "{len}");
        }
    }

    #[test]
    fn a_chunk_opens_at_its_place_alone_and_as_the_last_or_not() {
        let chunks = AgeChunks::new(Backend::default(), &[7; 32]);
        let chunk = Chunk { index: 258, last: false, lens: ChunkLens { wire: 21, plaintext: 5 } };
        let (mut wire, mut plaintext) = ([0; 21], [0; 5]);
        chunks.seal(&chunk, b"hello", &mut wire);
        assert_eq!(chunks.open(&chunk, &wire, &mut plaintext), Ok(()));
        assert_eq!(&plaintext, b"hello");
        for other in
            [Chunk { index: 257, ..chunk }, Chunk { index: 2, ..chunk }, Chunk { last: true, ..chunk }]
        {
            assert_eq!(chunks.open(&other, &wire, &mut plaintext), Err(FORGED), "{other:?}");
        }
        for bit in 0..8 * wire.len() {
            wire[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(chunks.open(&chunk, &wire, &mut plaintext), Err(FORGED), "bit {bit}");
            wire[bit / 8] ^= 1 << (bit % 8);
        }
    }

    /// C2SP age.md: the counter is 11 bytes, big-endian, from zero; then the flag.
    #[test]
    fn the_nonce_counts_from_its_eleventh_byte() {
        let of = |index, last| nonce(&Chunk { index, last, lens: FULL });
        assert_eq!(of(0, false), [0; 12]);
        assert_eq!(of(0, true), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(of(0x0102, false), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0]);
        assert_eq!(of(u64::MAX, true), [0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }
}
