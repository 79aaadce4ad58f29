//! The envelope of a stream that lies still: its records, read at their offsets.
//! It judges none of them; the envelope does.

use std::io;

use cofferdam_io::{Fetch, ReadAt};
use framing::MetadataHead;
use framing::limits::{METADATA_HEAD_LEN, PREAMBLE_BLOCK_LEN};

use crate::envelope::{Access, Envelope, read_preamble};
use crate::index::{read, read_what_there_is};
use crate::resources::Resources;
use crate::{Error, ErrorKind, memory};

/// Reads the records before the segments at their offsets. `None` if the source ends among them: what it is then,
/// reading it from the front says best.
pub(crate) fn read_seekable_envelope<'a>(
    source: &dyn ReadAt,
    access: impl Into<Access<'a>>,
    resources: &Resources,
) -> Result<Option<Envelope>, Error> {
    let access = access.into();
    let beginning = Beginning::of(source)?;
    let source = beginning.source();
    let Some(Head { block, origin, area, unread }) = read_head(source, access)? else { return Ok(None) };
    if source.len() < origin + METADATA_HEAD_LEN as u64 {
        return Ok(None);
    }
    let mut metadata = vec![0; METADATA_HEAD_LEN];
    read(source, origin, &mut metadata)?;
    let Ok(head) = MetadataHead::parse(&metadata) else { return Ok(None) };
    if source.len() < origin + head.record_len() as u64 {
        return Ok(None);
    }
    memory::grow("the metadata", &mut metadata, head.record_len())?;
    read(source, origin + METADATA_HEAD_LEN as u64, &mut metadata[METADATA_HEAD_LEN..])?;
    Envelope::open(&block, &area, &metadata, access, resources)
        .map(Some)
        .map_err(|error| unread.filter(|_| error.kind() != ErrorKind::Cancelled).unwrap_or(error))
}

/// As [`read_seekable_envelope`], of a stream whose metadata is damaged: it is not read.
///
/// # Errors
/// Preamble or key area are missing, or are refused.
pub(crate) fn read_seekable_envelope_without_metadata<'a>(
    source: &dyn ReadAt,
    access: impl Into<Access<'a>>,
    resources: &Resources,
) -> Result<Envelope, Error> {
    let access = access.into();
    let head = read_head(source, access)?;
    let Some(Head { block, area, unread, .. }) = head else {
        let mut first = vec![0; source.len().min(PREAMBLE_BLOCK_LEN as u64) as usize];
        read(source, 0, &mut first)?;
        // What is no stream of ours is not one that was cut.
        read_preamble(&first, access)?;
        let what = "the sealed stream ends before its first segment";
        return Err(Error::new(ErrorKind::Truncated, what).at(source.len()));
    };
    Envelope::without_metadata(&block, &area, access, resources)
        .map_err(|error| unread.filter(|_| error.kind() != ErrorKind::Cancelled).unwrap_or(error))
}

/// A source whose first bytes have been read in one go, where each read is a request.
struct Beginning<'a> {
    source: &'a dyn ReadAt,
    bytes: Vec<u8>,
}

impl<'a> Beginning<'a> {
    fn of(source: &'a dyn ReadAt) -> Result<Beginning<'a>, Error> {
        let mut bytes = Vec::new();
        if source.fetch().is_some() {
            bytes.resize(source.len().min(BEGINNING_LEN) as usize, 0);
            read(source, 0, &mut bytes)?;
        }
        Ok(Beginning { source, bytes })
    }

    /// What the records are read from.
    fn source(&self) -> &dyn ReadAt {
        if self.bytes.is_empty() { self.source } else { self }
    }
}

impl ReadAt for Beginning<'_> {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let range = offset as usize..(offset as usize).saturating_add(buffer.len());
        match self.bytes.get(range) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            None => self.source.read_exact_at(offset, buffer),
        }
    }

    fn len(&self) -> u64 {
        self.source.len()
    }

    fn fetch(&self) -> Option<&dyn Fetch> {
        self.source.fetch()
    }
}

/// The records before the segments, mostly.
const BEGINNING_LEN: u64 = 16 << 10;

/// Preamble block and key area.
struct Head {
    block: Vec<u8>,
    area: Vec<u8>,
    origin: u64,
    /// Why a part of the key area is zeros: it could not be read. One of the two copies may do without.
    unread: Option<Error>,
}

fn read_head(source: &dyn ReadAt, access: Access<'_>) -> Result<Option<Head>, Error> {
    if source.len() < PREAMBLE_BLOCK_LEN as u64 {
        return Ok(None);
    }
    let mut block = vec![0; PREAMBLE_BLOCK_LEN];
    read(source, 0, &mut block)?;
    let preamble = read_preamble(&block, access)?;
    let origin = preamble.origin();
    if source.len() < origin {
        return Ok(None);
    }
    let mut area = memory::zeroed("the key copies", 2 * preamble.key_copy_len as usize)?;
    let at = PREAMBLE_BLOCK_LEN as u64;
    let unread = match read(source, at, &mut area) {
        Err(error) if error.kind() == ErrorKind::Io => {
            read_what_there_is(source, at, &mut area)?;
            Some(error)
        }
        read => {
            read?;
            None
        }
    };
    Ok(Some(Head { block, area, origin, unread }))
}
