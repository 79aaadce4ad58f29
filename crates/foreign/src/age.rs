//! Age files: the header, opened with identities or made for recipients, and the payload behind it.
//! Header and stanzas are the age library's, by way of `keys`; the payload is ours.

use std::fmt;
use std::sync::Arc;

use frame_worker::Backend;
use hkdf::Hkdf;
use keys::{AgeFileError, AgePayload, KeyError, Recipients, Zeroizing, inspect_age_file};
use sha2::{Digest as _, Sha256};

use crate::age_stream::{AgeChunks, AgeCutter, FULL, TAG_LEN};
use crate::{Chunk, ChunkLens, Fault, FaultKind, Format, HEAD_LEN_MAX, HeadStep, Keys, Opened, Wholeness};

/// Opens the header of the age file that begins with `beginning`.
pub(crate) fn open_head(beginning: &[u8], is_all: bool, keys: &Keys<'_>) -> Result<HeadStep, Fault> {
    let opened = keys.identities.open_age_file(beginning, keys.cancelled);
    let AgePayload { head_len, key, stanzas } = match opened {
        Ok(payload) => payload,
        Err(error) => return more_or_fault(error, beginning.len(), is_all).map(HeadStep::More),
    };
    let identity = Sha256::digest(&beginning[..head_len]).into();
    Ok(HeadStep::Opened(Box::new(Opened {
        format: Format::Age,
        head_len,
        cutter: Box::<AgeCutter>::default(),
        chunks: Arc::new(AgeChunks::new(keys.backend, &key)),
        claim: Wholeness::Proved,
        identity,
        secret: secret_of(&key, &identity),
        notes: stanzas,
    })))
}

/// What the header of the age file says that begins with `beginning`: its length with the nonce, and the kinds of its stanzas. Nothing of it
/// is authenticated. `Ok(Err(n))` asks for `n` bytes in all.
pub(crate) fn inspect(beginning: &[u8], is_all: bool) -> Result<Result<(usize, Vec<String>), usize>, Fault> {
    match inspect_age_file(beginning) {
        Ok(found) => Ok(Ok(found)),
        Err(error) => more_or_fault(error, beginning.len(), is_all).map(Err),
    }
}

/// How many bytes are needed in all, where that is what is missing.
fn more_or_fault(error: AgeFileError, len: usize, is_all: bool) -> Result<usize, Fault> {
    match error {
        AgeFileError::More(_) if is_all => {
            Err(Fault::truncated("the age file ends within its header").at(len as u64))
        }
        AgeFileError::More(_) if len >= HEAD_LEN_MAX => {
            let what = format!("the header of the age file has no end within {HEAD_LEN_MAX} bytes");
            Err(Fault::new(FaultKind::Limit, what))
        }
        AgeFileError::More(more) => Ok(more.min(HEAD_LEN_MAX)),
        error => Err(fault(error)),
    }
}

fn fault(error: AgeFileError) -> Fault {
    match error {
        AgeFileError::Version => {
            Fault::new(FaultKind::Unsupported, "the age file is of another version than 1")
        }
        AgeFileError::Malformed(problem) => {
            Fault::damaged(format!("the header of the age file is wrong: {problem}"))
        }
        AgeFileError::Altered => Fault::damaged(
            "the header of the age file has been changed: a key opens it, and its MAC is another",
        ),
        AgeFileError::NoKey { passphrase, given, notes } => no_key(passphrase, given, &notes),
        AgeFileError::Limit { what, found, max } => {
            let what = format!("the age file has {found} {what}, at most {max} are accepted");
            Fault::new(FaultKind::Limit, what)
        }
        AgeFileError::Memory { needed } => {
            let what = format!(
                "there is no memory for the passphrase of the age file, which takes {} MiB",
                needed >> 20
            );
            Fault::new(FaultKind::Memory, what)
        }
        AgeFileError::Cancelled => Fault::new(FaultKind::Cancelled, "interrupted"),
        _ => Fault::damaged("the header of the age file cannot be read"),
    }
}

/// What to give is said by the kind of key that the file asks for.
fn no_key(passphrase: bool, given: bool, notes: &[String]) -> Fault {
    let mut what = match (passphrase, given) {
        (true, true) => "the passphrase given does not open the age file",
        (true, false) => "the age file is sealed with a passphrase, and none was given",
        (false, true) => "none of the identities given opens the age file",
        (false, false) => "the age file is sealed for identities, and none was given",
    }
    .to_owned();
    for note in notes {
        what.push_str("; ");
        what.push_str(note);
    }
    Fault::new(FaultKind::NoKey, what)
}

/// A new age file, as far as it stands before its payload, and what seals that.
pub struct AgeSealing {
    head: Vec<u8>,
    chunks: AgeChunks,
    identity: [u8; 32],
    secret: Zeroizing<[u8; 32]>,
}

impl AgeSealing {
    /// For `recipients`, with a new key.
    ///
    /// # Errors
    /// As [`Recipients::new_age_file`].
    pub fn new(recipients: &Recipients, backend: Backend) -> Result<AgeSealing, KeyError> {
        let file = recipients.new_age_file()?;
        let identity = Sha256::digest(&file.head).into();
        Ok(AgeSealing {
            chunks: AgeChunks::new(backend, &file.key),
            secret: secret_of(&file.key, &identity),
            identity,
            head: file.head,
        })
    }

    /// What stands before the payload.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// As [`Opened::identity`].
    pub fn identity(&self) -> [u8; 32] {
        self.identity
    }

    /// As [`Opened::secret`].
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// A chunk that is full.
    pub fn full() -> ChunkLens {
        FULL
    }

    /// Bytes of the whole file, of `plaintext_len` bytes of plaintext.
    pub fn file_len(&self, plaintext_len: u64) -> u64 {
        let chunks = plaintext_len.div_ceil(FULL.plaintext as u64).max(1);
        self.head.len() as u64 + plaintext_len + chunks * TAG_LEN as u64
    }

    /// Seals `plaintext` as the chunks from `first` on, full but for the last, one behind the other into all of `wire`. Each of them
    /// once: the nonce follows from its number. `ends` says that the file ends with them; only then may they be none but one, of no bytes.
    pub fn seal(&self, first: u64, ends: bool, plaintext: &[u8], wire: &mut [u8]) {
        let count = plaintext.len().div_ceil(FULL.plaintext).max(1) as u64;
        let mut rest = wire;
        let mut texts = plaintext.chunks(FULL.plaintext);
        for index in first..first + count {
            let text = texts.next().unwrap_or_default();
            let (chunk_wire, left) = std::mem::take(&mut rest).split_at_mut(text.len() + TAG_LEN);
            let last = ends && index + 1 == first + count;
            assert!(last || text.len() == FULL.plaintext, "only the last chunk is shorter");
            let lens = ChunkLens { wire: chunk_wire.len(), plaintext: text.len() };
            self.chunks.seal(&Chunk { index, last, lens }, text, chunk_wire);
            rest = left;
        }
        assert!(rest.is_empty(), "chunks fill the room that was reckoned for them");
    }

    /// Bytes of `plaintext_len` bytes of plaintext in chunks.
    pub fn wire_len(plaintext_len: usize) -> usize {
        plaintext_len + plaintext_len.div_ceil(FULL.plaintext).max(1) * TAG_LEN
    }
}

impl fmt::Debug for AgeSealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeSealing").field("head_len", &self.head.len()).finish_non_exhaustive()
    }
}

/// A key of our own, which says nothing of the payload's.
fn secret_of(key: &[u8; 32], identity: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    let mut secret = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(identity), key)
        .expand(SECRET_LABEL, &mut secret[..])
        .expect("32 bytes are one block of the hash");
    secret
}

const SECRET_LABEL: &[u8] = b"cofferdam/v1/foreign";
