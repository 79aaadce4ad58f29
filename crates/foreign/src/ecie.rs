//! `ECIE`, what the JavaScript library `@digitaldefiance/ecies-lib` writes for one recipient: chunks, each a header and an ECIES message
//! of its own. It knows no other format, and not where its key is kept.
//!
//! ```text
//! header(32): "ECIE"  u16 version = 1  u32 index  u32 plaintext_len  u32 message_len  u16 flags  zeros(12)    (big-endian)
//! message:    version = 1  suite = 1  type = 0x42  ephemeral public key(33)  nonce(12)  tag(16)  u64 plaintext_len  ciphertext
//! checksum:   SHA-256 of the plaintext, where flag 1 is set
//! ```
//!
//! Only the message is authenticated, and of it the first 36 bytes and the plaintext: **not the header**, so neither the chunk's number nor
//! whether it is the last. Anyone can cut a stream, change its order and mix it with others of the same recipient, without any
//! key. So a stream of it is never proved. Where the length is a multiple of the chunk's the library marks no last chunk. Of an empty
//! plaintext it writes nothing at all: nothing is no stream here, since nobody could tell it from a file that was lost.

use frame_worker::digests_equal;
use framing::limits::FRAME_LEN_MAX;
use sha2::{Digest as _, Sha256};

use crate::bytes::{be16_at, be32_at, bytes_at};
use crate::ecies::{NONCE_LEN, PUBLIC_KEY_LEN, RecipientKey, TAG_LEN};
use crate::held_key::forged;
use crate::{Chunk, ChunkLens, Chunks, Cut, Cutter, Fault, FaultKind, Wholeness};

/// Cuts an `ECIE` stream into its chunks.
#[derive(Debug)]
pub(crate) struct EcieCutter {
    next: u64,
    /// What the first chunk says, as it was when the stream was begun.
    first: Header,
    ended: bool,
}

/// Opens the chunks of an `ECIE` stream.
pub(crate) struct EcieChunks {
    key: RecipientKey,
    longest: ChunkLens,
}

/// What a chunk's header says.
#[derive(Clone, Copy, Debug)]
struct Header {
    index: u32,
    plaintext_len: usize,
    is_last: bool,
    has_checksum: bool,
}

/// How the stream that begins with `beginning` is cut and opened.
///
/// # Errors
/// It begins with no chunk that the library writes.
pub(crate) fn begin(beginning: &[u8], key: RecipientKey) -> Result<(EcieCutter, EcieChunks), Fault> {
    let first = Header::parse(beginning, 0)?;
    Ok((EcieCutter { next: 0, first, ended: false }, EcieChunks { key, longest: first.lens() }))
}

impl EcieCutter {
    /// The first chunk, too, is no other than it was when buffers were made for it.
    fn check(&self, header: &Header) -> Result<(), Fault> {
        let due = self.next;
        if u64::from(header.index) != due {
            let what = format!("chunk {} stands where chunk {due} is due", header.index);
            return Err(Fault::damaged(what).in_chunk(due));
        }
        if header.has_checksum != self.first.has_checksum {
            let what = "some chunks have a checksum, and others have none";
            return Err(Fault::damaged(what).in_chunk(due));
        }
        check_plaintext_len(header.plaintext_len, self.first.plaintext_len, header.is_last, due)
    }
}

impl Cutter for EcieCutter {
    fn cut(&mut self, ahead: &[u8], is_all: bool) -> Result<Cut, Fault> {
        if self.ended {
            return Ok(Cut::End);
        }
        let index = self.next;
        if ahead.len() < HEADER_LEN && !is_all {
            return Ok(Cut::More(HEADER_LEN));
        }
        let header = Header::parse(ahead, index)?;
        self.check(&header)?;
        let lens = header.lens();
        let Some(last) = is_last(ahead, is_all, lens.wire, header.is_last, index)? else {
            return Ok(Cut::More(lens.wire + 1));
        };
        (self.next, self.ended) = (index + 1, last);
        Ok(Cut::Chunk(Chunk { index, last, lens }))
    }

    fn claim(&self) -> Wholeness {
        Wholeness::Asserted(UNPROVED)
    }
}

/// Whether the chunk of `wire_len` bytes that `ahead` begins with, which `is_marked` as the last or not, ends its stream. `None` where more
/// of it is needed to say.
pub(crate) fn is_last(
    ahead: &[u8],
    is_all: bool,
    wire_len: usize,
    is_marked: bool,
    index: u64,
) -> Result<Option<bool>, Fault> {
    // One byte more says whether another chunk follows.
    if ahead.len() <= wire_len && !is_all {
        return Ok(None);
    }
    if ahead.len() < wire_len {
        return Err(Fault::truncated("the stream ends within a chunk").in_chunk(index));
    }
    let last = ahead.len() == wire_len;
    if is_marked && !last {
        let what = "bytes follow the chunk that says that it is the last";
        return Err(Fault::damaged(what).in_chunk(index));
    }
    Ok(Some(last))
}

/// All chunks are as long as the first, but for the last, which says that it is.
pub(crate) fn check_plaintext_len(
    plaintext_len: usize,
    of_first: usize,
    is_marked: bool,
    index: u64,
) -> Result<(), Fault> {
    if plaintext_len > of_first || plaintext_len < of_first && !is_marked {
        let what = "a chunk has another length than the first, and does not say that it is the last";
        return Err(Fault::damaged(what).in_chunk(index));
    }
    Ok(())
}

impl Chunks for EcieChunks {
    fn longest(&self) -> ChunkLens {
        self.longest
    }

    fn open(&self, chunk: &Chunk, wire: &[u8], plaintext: &mut [u8]) -> Result<(), &'static str> {
        let header = Header::parse(wire, chunk.index).ok().filter(|header| header.lens() == chunk.lens);
        let has_checksum = header.ok_or("is not what it was when it was cut")?.has_checksum;
        let (message, checksum) = wire[HEADER_LEN..].split_at(MESSAGE_OVERHEAD + plaintext.len());
        let message = Message::parse(message)?;
        let cipher =
            self.key.agree(&message.ephemeral).ok_or("has an ephemeral key that is no point of secp256k1")?;
        cipher
            .open(message.nonce, message.authenticated, message.ciphertext, &message.tag, plaintext)
            .map_err(|_| forged(chunk.index))?;
        let said = bytes_at(checksum, 0).unwrap_or_default();
        match has_checksum && !digests_equal(&Sha256::digest(&*plaintext).into(), &said) {
            true => Err("is authentic, and has the checksum of another"),
            false => Ok(()),
        }
    }
}

impl Header {
    fn parse(bytes: &[u8], chunk: u64) -> Result<Header, Fault> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(Fault::truncated("the stream ends in the header of a chunk").in_chunk(chunk));
        };
        if !bytes.starts_with(MAGIC) {
            return Err(Fault::damaged("no chunk stands where one is due").in_chunk(chunk));
        }
        let (version, flags) = (be16_at(bytes, VERSION_AT), be16_at(bytes, FLAGS_AT));
        if version != VERSION {
            let what = format!("a chunk is of version {version}: 1 is known");
            return Err(Fault::new(FaultKind::Unsupported, what).in_chunk(chunk));
        }
        if flags & !(IS_LAST | HAS_CHECKSUM) != 0 || bytes[RESERVED_AT..].iter().any(|byte| *byte != 0) {
            let what = "a chunk has flags or fields that are not known";
            return Err(Fault::new(FaultKind::Unsupported, what).in_chunk(chunk));
        }
        let plaintext_len = be32_at(bytes, PLAINTEXT_LEN_AT) as usize;
        check_lens(plaintext_len, be32_at(bytes, MESSAGE_LEN_AT) as usize, MESSAGE_OVERHEAD, chunk)?;
        Ok(Header {
            index: be32_at(bytes, INDEX_AT),
            plaintext_len,
            is_last: flags & IS_LAST != 0,
            has_checksum: flags & HAS_CHECKSUM != 0,
        })
    }

    fn lens(&self) -> ChunkLens {
        let checksum_len = if self.has_checksum { CHECKSUM_LEN } else { 0 };
        let wire = HEADER_LEN + MESSAGE_OVERHEAD + self.plaintext_len + checksum_len;
        ChunkLens { wire, plaintext: self.plaintext_len }
    }
}

/// Refuses lengths that do not go together, and those that are not read.
pub(crate) fn check_lens(
    plaintext_len: usize,
    sealed_len: usize,
    overhead: usize,
    chunk: u64,
) -> Result<(), Fault> {
    if plaintext_len == 0 || plaintext_len.checked_add(overhead) != Some(sealed_len) {
        let what =
            format!("a chunk of {plaintext_len} bytes says that it has {sealed_len} when it is sealed");
        return Err(Fault::damaged(what).in_chunk(chunk));
    }
    if plaintext_len > CHUNK_LEN_MAX {
        let what = format!("a chunk has {plaintext_len} bytes: {CHUNK_LEN_MAX} at most are read");
        return Err(Fault::new(FaultKind::Limit, what).in_chunk(chunk));
    }
    Ok(())
}

/// The ECIES message of a chunk.
struct Message<'a> {
    authenticated: &'a [u8],
    ephemeral: [u8; PUBLIC_KEY_LEN],
    nonce: [u8; NONCE_LEN],
    tag: [u8; TAG_LEN],
    ciphertext: &'a [u8],
}

impl Message<'_> {
    fn parse(bytes: &[u8]) -> Result<Message<'_>, &'static str> {
        if bytes.get(..EPHEMERAL_AT) != Some(&[MESSAGE_VERSION, SUITE_AES256GCM_SHA256, TYPE_WITH_LENGTH]) {
            return Err("has a message of a version, suite or type that is not known");
        }
        let message = || {
            Some(Message {
                authenticated: bytes.get(..NONCE_AT)?,
                ephemeral: bytes_at(bytes, EPHEMERAL_AT)?,
                nonce: bytes_at(bytes, NONCE_AT)?,
                tag: bytes_at(bytes, TAG_AT)?,
                ciphertext: bytes.get(MESSAGE_OVERHEAD..)?,
            })
        };
        let message = message().ok_or("is shorter than it says")?;
        match bytes_at(bytes, LEN_AT).map(u64::from_be_bytes) == Some(message.ciphertext.len() as u64) {
            true => Ok(message),
            false => Err("has a message that says another length"),
        }
    }
}

/// What each chunk begins with.
pub(crate) const MAGIC: &[u8; 4] = b"ECIE";
/// Bytes of a chunk's header.
const HEADER_LEN: usize = 32;
/// Bytes of the first chunk that no two streams share: its ephemeral key is among them.
pub(crate) const NAMED_LEN: usize = HEADER_LEN + NONCE_AT;
const VERSION: u16 = 1;
const VERSION_AT: usize = 4;
const INDEX_AT: usize = 6;
const PLAINTEXT_LEN_AT: usize = 10;
const MESSAGE_LEN_AT: usize = 14;
const FLAGS_AT: usize = 18;
const RESERVED_AT: usize = 20;
const IS_LAST: u16 = 1;
const HAS_CHECKSUM: u16 = 2;
const CHECKSUM_LEN: usize = 32;
/// The library's default is 1 MiB, and it has no limit of its own.
const CHUNK_LEN_MAX: usize = FRAME_LEN_MAX as usize;

const MESSAGE_VERSION: u8 = 1;
const SUITE_AES256GCM_SHA256: u8 = 1;
const TYPE_WITH_LENGTH: u8 = 0x42;
const EPHEMERAL_AT: usize = 3;
const NONCE_AT: usize = EPHEMERAL_AT + PUBLIC_KEY_LEN;
const TAG_AT: usize = NONCE_AT + NONCE_LEN;
const LEN_AT: usize = TAG_AT + TAG_LEN;
const MESSAGE_OVERHEAD: usize = LEN_AT + 8;

const _: () = assert!(MESSAGE_OVERHEAD == 72);

/// What nothing of a stream shows.
pub(crate) const UNPROVED: &str = "ECIE authenticates neither the numbers of its chunks nor which one is the last, so chunks may be missing, \
     moved, or another stream's";
