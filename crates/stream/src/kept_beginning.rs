//! The beginning of an interrupted stream: compared with the digest of what was written, then taken under the kept key.
//! It knows no segment, and asks no slot: whoever resumes the seal has the key already.

use cofferdam_io::ReadAt;
use frame_worker::Backend;
use framing::limits::{METADATA_HEAD_LEN, PREAMBLE_BLOCK_LEN};
use framing::{MetadataHead, Preamble};
use sha2::{Digest as _, Sha256};

use crate::envelope::Envelope;
use crate::index::read;
use crate::sealing_state::SealingState;
use crate::{Error, ErrorKind};

/// What stands before the first segment, as it was written.
pub(crate) struct Beginning {
    pub(crate) envelope: Envelope,
    /// A key copy that is not as it was written, and the bytes that it has to have.
    pub(crate) wrong_copy: Option<WrongCopy>,
}

/// Bytes to be written again.
pub(crate) struct WrongCopy {
    pub(crate) position: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The digest of a new stream's first bytes, which hold the same key copy twice.
pub(crate) fn digest_of(head: &[u8], key_copy_len: u32) -> [u8; 32] {
    let (block, rest) = head.split_at(PREAMBLE_BLOCK_LEN);
    let (copy, rest) = rest.split_at(key_copy_len as usize);
    digest(block, copy, &rest[key_copy_len as usize..])
}

impl Beginning {
    /// Reads it from `source`. `None` if it is not what `state` says was written: then nothing behind it can be used.
    pub(crate) fn read(
        source: &dyn ReadAt,
        state: &SealingState,
        backend: Backend,
    ) -> Result<Option<Beginning>, Error> {
        match Beginning::read_as_written(source, state, backend) {
            Err(error) if is_of_the_bytes(error.kind()) => Ok(None),
            other => other,
        }
    }

    fn read_as_written(
        source: &dyn ReadAt,
        state: &SealingState,
        backend: Backend,
    ) -> Result<Option<Beginning>, Error> {
        let read_at = |position: u64, len: usize| {
            let mut bytes = vec![0; len];
            read(source, position, &mut bytes).map(|()| bytes)
        };
        let block = read_at(0, PREAMBLE_BLOCK_LEN)?;
        let preamble = Preamble::parse(&block).map_err(|error| Error::framing(error, 0))?;
        let (origin, copy_len) = (preamble.origin(), preamble.key_copy_len as usize);
        let copies_at = [PREAMBLE_BLOCK_LEN as u64, PREAMBLE_BLOCK_LEN as u64 + copy_len as u64];
        let copies = [read_at(copies_at[0], copy_len)?, read_at(copies_at[1], copy_len)?];
        let head = MetadataHead::parse(&read_at(origin, METADATA_HEAD_LEN)?)
            .map_err(|error| Error::framing(error, origin))?;
        let metadata = read_at(origin, head.record_len())?;
        let as_written = copies.each_ref().map(|copy| digest(&block, copy, &metadata) == state.beginning);
        let wrong_copy = match as_written {
            [true, true] => None,
            [true, false] => Some(WrongCopy { position: copies_at[1], bytes: copies[0].clone() }),
            [false, true] => Some(WrongCopy { position: copies_at[0], bytes: copies[1].clone() }),
            [false, false] => return Ok(None),
        };
        let envelope = Envelope::under_key(preamble, &metadata, &state.key, backend)?;
        Ok(Some(Beginning { envelope, wrong_copy }))
    }
}

fn is_of_the_bytes(kind: ErrorKind) -> bool {
    use ErrorKind::{Damaged, Limit, NotAStream, Truncated, Unsupported};
    matches!(kind, Damaged | Limit | NotAStream | Truncated | Unsupported)
}

fn digest(block: &[u8], copy: &[u8], metadata: &[u8]) -> [u8; 32] {
    let digest = Sha256::new().chain_update(LABEL).chain_update(block).chain_update(copy);
    digest.chain_update(metadata).finalize().into()
}

const LABEL: &[u8] = b"cofferdam/v1/beginning\0";
