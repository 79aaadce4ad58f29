//! The heads of those formats whose key their user holds as it is: AGCM, ECIE, MREC and RSE1.
//! It knows of each where its chunks begin and what names a stream, and leaves the rest to its module.

use std::sync::Arc;

use keys::{ForeignKey, Zeroizing};
use sha2::{Digest as _, Sha256};

use crate::age::secret_of;
use crate::ecies::RecipientKey;
use crate::{
    Chunks, Cut, Cutter, Fault, FaultKind, Format, HEAD_LEN_MAX, HeadStep, Inspected, Keys, Opened,
    Wholeness, agcm, ecie, mrec, rse1,
};

/// Opens the head of the stream of `format` that begins with `beginning`, and its first chunk, where that is no longer than a head:
/// so a key that is another's is told from damage.
pub(crate) fn open_head(
    format: Format,
    beginning: &[u8],
    is_all: bool,
    keys: &Keys<'_>,
) -> Result<HeadStep, Fault> {
    let key = keys.identities.foreign().ok_or_else(|| {
        Fault::new(
            FaultKind::NoForeignKey,
            format!("this is {}, and no key of such streams was given", format.with_article()),
        )
    })?;
    let need = named_len(format);
    if beginning.len() < need && !is_all {
        return Ok(HeadStep::More(need));
    }
    let parts = match begin(format, beginning, is_all, key, keys)? {
        Ok(parts) => parts,
        Err(more) => return Ok(HeadStep::More(more)),
    };
    let head_len = head_len(format);
    if let Some(more) = parts.try_key(&beginning[head_len..], is_all)? {
        return Ok(HeadStep::More(head_len + more));
    }
    let identity = identity_of(format, beginning);
    let (cutter, chunks) = match begin(format, beginning, is_all, key, keys)? {
        Ok(Parts { cutter, chunks, .. }) => (cutter, chunks),
        Err(more) => return Ok(HeadStep::More(more)),
    };
    Ok(HeadStep::Opened(Box::new(Opened {
        format,
        head_len,
        cutter,
        chunks,
        claim: if is_all && beginning.len() == head_len { OF_HEAD_ALONE } else { claim_of(format) },
        identity,
        secret: secret_of(key.bytes(), &identity),
        notes: Vec::new(),
    })))
}

/// What the head of such a stream says without a key.
pub(crate) fn inspect(
    format: Format,
    beginning: &[u8],
    is_all: bool,
) -> Result<Result<Inspected, usize>, Fault> {
    let head_len = head_len(format);
    if beginning.len() < head_len {
        return match is_all {
            true => Err(ends_in_head(format)),
            false => Ok(Err(head_len)),
        };
    }
    let notes = match claim_of(format) {
        Wholeness::Proved => vec![ONLY_WITH_KEY.to_owned()],
        Wholeness::Asserted(missing) => vec![missing.to_owned()],
    };
    Ok(Ok(Inspected { format, head_len, notes }))
}

/// How a stream is cut and opened.
struct Parts {
    cutter: Box<dyn Cutter>,
    chunks: Arc<dyn Chunks>,
}

/// `Ok(Err(n))` asks for `n` bytes in all.
fn begin(
    format: Format,
    beginning: &[u8],
    is_all: bool,
    key: &ForeignKey,
    keys: &Keys<'_>,
) -> Result<Result<Parts, usize>, Fault> {
    let backend = keys.backend;
    Ok(Ok(match format {
        Format::Agcm => {
            let header = beginning.first_chunk().ok_or_else(|| ends_in_head(format))?;
            let (cutter, chunks) = agcm::begin(header, key, backend)?;
            Parts { cutter: Box::new(cutter), chunks: Arc::new(chunks) }
        }
        Format::Rse1 => {
            let header = beginning.first_chunk().ok_or_else(|| ends_in_head(format))?;
            let (cutter, chunks) = rse1::begin(header, key, backend)?;
            Parts { cutter: Box::new(cutter), chunks: Arc::new(chunks) }
        }
        Format::Mrec => match mrec::begin(beginning, is_all, key, backend)? {
            mrec::Head::More(more) => return Ok(Err(more)),
            mrec::Head::Opened(cutter, chunks) => {
                Parts { cutter: Box::new(cutter), chunks: Arc::new(chunks) }
            }
        },
        Format::Ecie | Format::Age => {
            let key = RecipientKey::new(key, "an ECIE stream", backend)?;
            let (cutter, chunks) = ecie::begin(beginning, key)?;
            Parts { cutter: Box::new(cutter), chunks: Arc::new(chunks) }
        }
    }))
}

impl Parts {
    /// Opens the first chunk, which `payload` begins with. `Some(n)` asks for `n` bytes of it in all.
    fn try_key(mut self, payload: &[u8], is_all: bool) -> Result<Option<usize>, Fault> {
        match self.cutter.cut(payload, is_all)? {
            Cut::More(more) if more <= KEY_CHECK_LEN_MAX => Ok(Some(more)),
            Cut::Chunk(chunk) => {
                let mut plaintext = Zeroizing::new(vec![0; chunk.lens.plaintext]);
                let opened = self.chunks.open(&chunk, &payload[..chunk.lens.wire], &mut plaintext);
                opened.map(|()| None).map_err(|problem| {
                    let what = format!("chunk 0 {problem}");
                    if problem == FORGED_FIRST {
                        Fault::new(FaultKind::NoForeignKey, what)
                    } else {
                        Fault::damaged(what)
                    }
                })
            }
            // Too long to be looked at here: whoever opens it says what is wrong.
            Cut::More(_) | Cut::Pass(_) | Cut::End => Ok(None),
        }
    }
}

/// Bytes before the first chunk.
fn head_len(format: Format) -> usize {
    match format {
        Format::Agcm => agcm::HEADER_LEN,
        Format::Rse1 => rse1::HEADER_LEN,
        Format::Age | Format::Ecie | Format::Mrec => 0,
    }
}

/// Bytes that name a stream: they have something random in them.
fn named_len(format: Format) -> usize {
    match format {
        Format::Ecie => ecie::NAMED_LEN,
        Format::Mrec => mrec::HEADER_LEN,
        Format::Age | Format::Agcm | Format::Rse1 => head_len(format),
    }
}

fn identity_of(format: Format, beginning: &[u8]) -> [u8; 32] {
    let named = &beginning[..beginning.len().min(named_len(format))];
    Sha256::new().chain_update(format.name()).chain_update(named).finalize().into()
}

/// What a stream can show at best.
fn claim_of(format: Format) -> Wholeness {
    match format {
        Format::Age | Format::Mrec => Wholeness::Proved,
        Format::Agcm => Wholeness::Asserted(agcm::UNPROVED),
        Format::Ecie => Wholeness::Asserted(ecie::UNPROVED),
        Format::Rse1 => Wholeness::Asserted(rse1::UNPROVED),
    }
}

fn ends_in_head(format: Format) -> Fault {
    Fault::truncated(format!("the {format} stream ends within its header"))
}

/// The 32 bytes of a key, which `what` takes.
pub(crate) fn of_32_bytes(key: &ForeignKey, what: &str) -> Result<Zeroizing<[u8; 32]>, Fault> {
    let bytes = <[u8; 32]>::try_from(key.bytes()).map_err(|_| {
        let what = format!("the key of {what} has 32 bytes, and the one given has {}", key.bytes().len());
        Fault::new(FaultKind::NoForeignKey, what)
    })?;
    Ok(Zeroizing::new(bytes))
}

/// What is wrong with a chunk whose tag does not match. Of the first one nobody can tell which it is.
pub(crate) fn forged(chunk: u64) -> &'static str {
    if chunk == 0 { FORGED_FIRST } else { "fails authentication" }
}

/// What a stream without a chunk shows. Only one of `AGCM` is written so.
const OF_HEAD_ALONE: Wholeness = Wholeness::Asserted(agcm::EMPTY);
const FORGED_FIRST: &str =
    "fails authentication: it was sealed with another key than the one given, or is damaged";
/// A first chunk of at most this length is opened with the head.
const KEY_CHECK_LEN_MAX: usize = HEAD_LEN_MAX - rse1::HEADER_LEN;
const ONLY_WITH_KEY: &str = "whether the end of it is marked, and so proved, shows when it is opened";
