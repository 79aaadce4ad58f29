//! `MREC`, what the JavaScript library `@digitaldefiance/ecies-lib` writes for several recipients: chunks, each with a table of its
//! recipients. It knows no other format, and not where a recipient's key is kept.
//!
//! ```text
//! header(64): "MREC"  u16 version = 2  u16 recipients  u32 index  u32 plaintext_len  u32 sealed_len  u8 flags
//!             ephemeral public key(33)  zeros(10)                                                       (big-endian)
//! recipient:  id  u16 wrapped_len = 60  nonce(12)  tag(16)  ciphertext(32)       wraps the stream's key, bound to the id
//! chunk:      header  recipient*  nonce(12)  ciphertext  tag(16)                 bound to header and recipients
//! ```
//!
//! The key is one for the whole stream, drawn anew for each. So chunks that open under one key, numbered from 0 to one that says that
//! it is the last, are that stream and all of it. The library marks none where the length is a multiple of the chunk's: then there is no such
//! proof. How long an id is, no field says: it is found in the first chunk, by what it unwraps.

use frame_worker::{Backend, Cipher};
use keys::{ForeignKey, Zeroizing};

use crate::bytes::{be16_at, be32_at, bytes_at};
use crate::ecie::{check_lens, check_plaintext_len, is_last};
use crate::ecies::{NONCE_LEN, PUBLIC_KEY_LEN, RecipientKey, TAG_LEN};
use crate::{Chunk, ChunkLens, Chunks, Cut, Cutter, Fault, FaultKind, HEAD_LEN_MAX, Layout, Mark, Wholeness};

/// Cuts an `MREC` stream into its chunks.
pub(crate) struct MrecCutter {
    layout: TableLayout,
    first_len: usize,
    next: u64,
    /// Whether the chunk that was cut last says that it is the last.
    is_marked: bool,
    ended: bool,
}

/// Opens the chunks of an `MREC` stream.
pub(crate) struct MrecChunks {
    layout: TableLayout,
    first_len: usize,
    /// Under the stream's key.
    cipher: Cipher,
}

/// How a chunk's header and its table are laid out, which is the same in all chunks of a stream.
#[derive(Clone, Copy, Debug)]
struct TableLayout {
    recipients: usize,
    id_len: usize,
}

/// What a chunk's header says.
struct Header {
    recipients: usize,
    index: u32,
    plaintext_len: usize,
    is_last: bool,
    ephemeral: [u8; PUBLIC_KEY_LEN],
}

/// What a recipient can tell of a stream from its beginning.
pub(crate) enum Head {
    /// It takes this many bytes of it, or all that there are.
    More(usize),
    /// How it is cut and opened.
    Opened(MrecCutter, MrecChunks),
}

/// How the stream that begins with `beginning` is cut and opened by the recipient who has `key`.
///
/// # Errors
/// It begins with no chunk that the library writes, or `key` is no recipient's.
pub(crate) fn begin(
    beginning: &[u8],
    is_all: bool,
    key: &ForeignKey,
    backend: Backend,
) -> Result<Head, Fault> {
    if beginning.len() < HEADER_LEN && !is_all {
        return Ok(Head::More(HEADER_LEN));
    }
    let header = Header::parse(beginning, 0)?;
    let recipients = header.recipients;
    if recipients > RECIPIENTS_MAX {
        let what = format!("the MREC stream has {recipients} recipients: {RECIPIENTS_MAX} at most are read");
        return Err(Fault::new(FaultKind::Limit, what));
    }
    let key = RecipientKey::new(key, "an MREC stream", backend)?;
    let agreed = key.agree(&header.ephemeral).ok_or_else(|| Fault::damaged(format!("chunk 0 {NO_POINT}")))?;
    for id_len in ID_LENS.into_iter().chain(1..=ID_LEN_MAX) {
        let layout = TableLayout { recipients, id_len };
        // At once for the usual lengths, and at once for all others: what comes from afar takes a request each time.
        let longest = if ID_LENS.contains(&id_len) { ID_LENS[1] } else { ID_LEN_MAX };
        let table_end = TableLayout { recipients, id_len: longest }.table_end();
        if beginning.len() < table_end && !is_all {
            return Ok(Head::More(table_end));
        }
        let of = |recipient| layout.unwrap(beginning, recipient, &agreed);
        if let Some(stream_key) = (0..recipients).find_map(of) {
            let first_len = header.plaintext_len;
            let cutter = MrecCutter { layout, first_len, next: 0, is_marked: false, ended: false };
            let cipher = key.cipher(&stream_key);
            return Ok(Head::Opened(cutter, MrecChunks { layout, first_len, cipher }));
        }
    }
    let what = "the key is that of none of the stream's recipients, or the first chunk is damaged";
    Err(Fault::new(FaultKind::NoForeignKey, what))
}

impl MrecCutter {
    fn check(&self, header: &Header) -> Result<(), Fault> {
        let due = self.next;
        if header.recipients != self.layout.recipients {
            return Err(Fault::damaged("a chunk has other recipients than the first").in_chunk(due));
        }
        if u64::from(header.index) != due {
            let what = format!("chunk {} stands where chunk {due} is due", header.index);
            return Err(Fault::damaged(what).in_chunk(due));
        }
        check_plaintext_len(header.plaintext_len, self.first_len, header.is_last, due)
    }
}

impl Cutter for MrecCutter {
    fn cut(&mut self, ahead: &[u8], is_all: bool) -> Result<Cut, Fault> {
        if self.ended {
            return Ok(Cut::End);
        }
        if ahead.len() < HEADER_LEN && !is_all {
            return Ok(Cut::More(HEADER_LEN));
        }
        let index = self.next;
        let header = Header::parse(ahead, index)?;
        self.check(&header)?;
        let lens = self.layout.lens(header.plaintext_len);
        let Some(last) = is_last(ahead, is_all, lens.wire, header.is_last, index)? else {
            return Ok(Cut::More(lens.wire + 1));
        };
        (self.next, self.ended, self.is_marked) = (index + 1, last, header.is_last);
        Ok(Cut::Chunk(Chunk { index, last, lens }))
    }

    fn claim(&self) -> Wholeness {
        if self.is_marked { Wholeness::Proved } else { Wholeness::Asserted(UNMARKED) }
    }
}

impl Chunks for MrecChunks {
    fn longest(&self) -> ChunkLens {
        self.layout.lens(self.first_len)
    }

    fn mark(&self, payload_len: u64) -> Option<Mark> {
        let full = self.longest().wire as u64;
        let before = payload_len.div_ceil(full).checked_sub(1)?;
        Some(Mark { offset: before * full, len: HEADER_LEN })
    }

    fn claim_at(&self, mark: &[u8]) -> Wholeness {
        match Header::parse(mark, 0) {
            Ok(header) if !header.is_last => Wholeness::Asserted(UNMARKED),
            // What is no header is found where it stands.
            _ => Wholeness::Proved,
        }
    }

    fn layout_of_reads(&self, payload_len: u64) -> Option<Result<Layout, Fault>> {
        let full = self.longest();
        let before = payload_len.div_ceil(full.wire as u64).checked_sub(1)?;
        let wire = (payload_len - before * full.wire as u64) as usize;
        let plaintext = wire.checked_sub(full.wire - full.plaintext).filter(|len| *len > 0);
        let last = plaintext.map(|plaintext| ChunkLens { wire, plaintext });
        let cut = || Fault::truncated("the stream ends within a chunk").in_chunk(before);
        Some(last.map(|last| Layout { chunks: before + 1, full, last }).ok_or_else(cut))
    }

    fn open(&self, chunk: &Chunk, wire: &[u8], plaintext: &mut [u8]) -> Result<(), &'static str> {
        // What the header says is authenticated below. Read at its place, no cutter has compared it.
        let header = Header::parse(wire, chunk.index).map_err(|_| "is not what it was when it was cut")?;
        if u64::from(header.index) != chunk.index || header.is_last && !chunk.last {
            return Err("is another chunk of the stream");
        }
        // Under the key of the first chunk, whatever key this one wraps: so it is of the same stream.
        let (authenticated, sealed) = wire.split_at_checked(self.layout.table_end()).ok_or(OTHER_LENGTH)?;
        let parts = sealed.split_first_chunk::<NONCE_LEN>().and_then(|(nonce, sealed)| {
            let (ciphertext, tag) = sealed.split_last_chunk::<TAG_LEN>()?;
            (ciphertext.len() == plaintext.len()).then_some((*nonce, ciphertext, tag))
        });
        let (nonce, ciphertext, tag) = parts.ok_or(OTHER_LENGTH)?;
        self.cipher.open(nonce, authenticated, ciphertext, tag, plaintext).map_err(|_| "fails authentication")
    }
}

impl TableLayout {
    /// Where recipient `recipient` stands in a chunk.
    fn entry(&self, recipient: usize) -> usize {
        HEADER_LEN + recipient * (self.id_len + LEN_LEN + WRAPPED_LEN)
    }

    /// Where the table of recipients ends.
    fn table_end(&self) -> usize {
        self.entry(self.recipients)
    }

    fn lens(&self, plaintext_len: usize) -> ChunkLens {
        ChunkLens { wire: self.table_end() + NONCE_LEN + plaintext_len + TAG_LEN, plaintext: plaintext_len }
    }

    /// The stream's key, out of what the `chunk` has for `recipient`, if this is the layout and `agreed` is that recipient's.
    fn unwrap(&self, chunk: &[u8], recipient: usize, agreed: &Cipher) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let entry = chunk.get(self.entry(recipient)..self.entry(recipient + 1))?;
        let (id, entry) = entry.split_at_checked(self.id_len)?;
        let (len, wrapped) = entry.split_first_chunk::<LEN_LEN>()?;
        if usize::from(u16::from_be_bytes(*len)) != WRAPPED_LEN {
            return None;
        }
        let nonce = bytes_at(wrapped, 0)?;
        let tag = bytes_at(wrapped, NONCE_LEN)?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        agreed.open(nonce, id, wrapped.get(NONCE_LEN + TAG_LEN..)?, &tag, &mut *key).ok()?;
        Some(key)
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
        let version = be16_at(bytes, VERSION_AT);
        if version != VERSION {
            let what = format!("a chunk is of version {version}: 2 is known");
            return Err(Fault::new(FaultKind::Unsupported, what).in_chunk(chunk));
        }
        let flags = bytes[FLAGS_AT];
        if flags & !IS_LAST != 0 || bytes[RESERVED_AT..].iter().any(|byte| *byte != 0) {
            let what = "a chunk has flags or fields that are not known";
            return Err(Fault::new(FaultKind::Unsupported, what).in_chunk(chunk));
        }
        let recipients = usize::from(be16_at(bytes, RECIPIENTS_AT));
        if recipients == 0 {
            return Err(Fault::damaged("a chunk has no recipient").in_chunk(chunk));
        }
        let plaintext_len = be32_at(bytes, PLAINTEXT_LEN_AT) as usize;
        check_lens(plaintext_len, be32_at(bytes, SEALED_LEN_AT) as usize, TAG_LEN, chunk)?;
        Ok(Header {
            recipients,
            index: be32_at(bytes, INDEX_AT),
            plaintext_len,
            is_last: flags & IS_LAST != 0,
            ephemeral: bytes_at(bytes, EPHEMERAL_AT).expect("the header has its key"),
        })
    }
}

/// What each chunk begins with.
pub(crate) const MAGIC: &[u8; 4] = b"MREC";
const VERSION: u16 = 2;
const VERSION_AT: usize = 4;
const RECIPIENTS_AT: usize = 6;
const INDEX_AT: usize = 8;
const PLAINTEXT_LEN_AT: usize = 12;
const SEALED_LEN_AT: usize = 16;
const FLAGS_AT: usize = 20;
const EPHEMERAL_AT: usize = 21;
const RESERVED_AT: usize = EPHEMERAL_AT + PUBLIC_KEY_LEN;
/// Bytes of a chunk's header.
pub(crate) const HEADER_LEN: usize = 64;
const IS_LAST: u8 = 1;

const KEY_LEN: usize = 32;
const LEN_LEN: usize = 2;
const WRAPPED_LEN: usize = NONCE_LEN + TAG_LEN + KEY_LEN;
/// The lengths of ids that the library itself comes with, the shorter first: an ObjectId, a GUID.
const ID_LENS: [usize; 2] = [12, 16];
const ID_LEN_MAX: usize = 255;
/// So that the table of the first chunk is within a head's limit.
const RECIPIENTS_MAX: usize = 1024;
const OTHER_LENGTH: &str = "has another length than it says";
const NO_POINT: &str = "has an ephemeral key that is no point of secp256k1";

const _: () = assert!(HEADER_LEN + RECIPIENTS_MAX * (ID_LEN_MAX + LEN_LEN + WRAPPED_LEN) <= HEAD_LEN_MAX);

/// What a stream without a last chunk does not show.
const UNMARKED: &str = "no chunk is marked as the last, as this tool leaves it where the length is a multiple of the chunk's: it may \
                        have been longer";
