//! What a sealed file says of itself, without a key.
//! It checks structure and checksums, and no digest: what it reports is a claim.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};

use frame_worker::{Compression, DigestKind, Suite};
use framing::Preamble;
use framing::limits::PREAMBLE_BLOCK_LEN;
use sources::{FileSource, ReadAt, Source};

use crate::envelope::{Access, Envelope};
use crate::feed::sequential::read_envelope;
use crate::feed::window::Window;
use crate::index::{Index, read};
use crate::key_area::KeyArea;
use crate::open::of_place;
use crate::resources::Resources;
use crate::seekable_envelope::read_seekable_envelope;
use crate::{Error, ErrorKind, Remedy, StreamDigest, StreamId, Warning, memory};

/// What a sealed file says of itself. Nothing of it is authenticated.
#[non_exhaustive]
pub struct Inspection {
    /// Names the stream.
    pub stream_id: StreamId,
    /// The AEAD.
    pub suite: Suite,
    /// What segments are digested with.
    pub digest: DigestKind,
    /// Whether frames may be compressed.
    pub compression: Compression,
    /// Plaintext bytes of a full frame.
    pub frame_len: u32,
    /// Plaintext bytes of a full segment.
    pub segment_len: u64,
    /// Both key copies, where usable.
    pub key_copies: [Option<KeyCopySummary>; 2],
    /// Bytes of the metadata record.
    pub metadata_len: u64,
    /// Bytes of the file.
    pub sealed_len: u64,
    /// What the trailer says; absent if the file does not end with one.
    pub trailer: Option<TrailerSummary>,
    /// What is not as it should be.
    pub warnings: Vec<Warning>,
    source: Arc<dyn ReadAt>,
    envelope: Envelope,
    index: Option<Index>,
}

/// What a key copy holds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct KeyCopySummary {
    /// Counts re-wraps.
    pub generation: u64,
    /// How the stream can be opened.
    pub slots: Vec<SlotSummary>,
}

/// One way to the stream key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SlotSummary {
    /// An age file with stanzas of these types (`X25519`, `scrypt`, `ssh-ed25519`, …).
    Age(Vec<String>),
    /// A key that the caller holds: a [`WrappingKey`](keys::WrappingKey).
    KeyFile,
    /// An external service of this name.
    External(String),
    /// A kind that this release does not know.
    Unknown(u16),
}

impl SlotSummary {
    /// The number of its kind (FORMAT §5).
    pub fn kind(&self) -> u16 {
        match self {
            Self::Age(_) => keys::KIND_AGE,
            Self::KeyFile => keys::KIND_WRAPPING_KEY,
            Self::External(_) => keys::KIND_EXTERNAL,
            Self::Unknown(kind) => *kind,
        }
    }
}

/// What the trailer says of its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TrailerSummary {
    /// How many segments the stream has.
    pub segments: u64,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
    /// The stream digest.
    pub stream_digest: StreamDigest,
}

/// What the index says of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SegmentSummary {
    /// Its number, from 0.
    pub index: u64,
    /// Where it begins in the file, in bytes.
    pub position: u64,
    /// Its length in the file, in bytes.
    pub wire_len: u64,
    /// Where its plaintext begins, in bytes.
    pub plaintext_offset: u64,
    /// Length of the plaintext in bytes.
    pub plaintext_len: u64,
    /// How many DATA frames it has.
    pub frame_count: u32,
    /// Its digest, of the kind that the stream names.
    pub digest: [u8; 32],
}

/// Looks at the sealed file at `path`.
///
/// # Errors
/// The file cannot be read, or what stands before the segments is damaged, truncated or not supported.
pub fn inspect(path: impl AsRef<Path>) -> Result<Inspection, Error> {
    let path = path.as_ref();
    let file = FileSource::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => no_file(path),
        _ => Error::io(format!("{} could not be opened", path.display()), error),
    })?;
    inspect_source(file)
}

/// As [`inspect`], of any source that can be read at offsets.
///
/// # Errors
/// As [`inspect`]; [`ErrorKind::Usage`] where the source has no offsets.
pub fn inspect_source(source: impl Source) -> Result<Inspection, Error> {
    let place = source.positioned().ok_or_else(|| {
        Error::new(ErrorKind::Usage, "a stream can be inspected only where the source has offsets")
            .remedied(Remedy::Verify)
    })?;
    examine(source, place.clone()).map_err(|error| of_place(error, Some(place)))
}

fn no_file(path: &Path) -> Error {
    Error::new(ErrorKind::Usage, format!("{}: only a file can be inspected", path.display()))
        .remedied(Remedy::Verify)
}

fn examine(in_order: impl Source, source: Arc<dyn ReadAt>) -> Result<Inspection, Error> {
    let Some(envelope) = read_seekable_envelope(&*source, Access::Inspecting, &Resources::default())? else {
        return Err(fault_at_the_beginning(in_order));
    };
    let index = Index::read(&*source, &envelope)?;
    let Preamble { suite, digest, shape, stream_id, .. } = envelope.preamble;
    Ok(Inspection {
        stream_id,
        suite,
        digest,
        compression: shape.compression(),
        frame_len: shape.frame_len(),
        segment_len: shape.segment_len(),
        key_copies: key_copies(&*source, &envelope)?,
        metadata_len: envelope.metadata_len,
        sealed_len: source.len(),
        trailer: index.as_ref().map(|index| TrailerSummary {
            segments: index.footer.segments,
            plaintext_len: index.footer.plaintext_len,
            stream_digest: StreamDigest(index.footer.stream_digest),
        }),
        warnings: envelope.warnings.clone(),
        source,
        envelope,
        index,
    })
}

impl Inspection {
    /// Calls `each` for every segment of the index, a page of which is in memory at a time.
    ///
    /// # Errors
    /// A page cannot be read or does not parse.
    pub fn for_each_segment(&self, mut each: impl FnMut(&SegmentSummary)) -> Result<(), Error> {
        let Some(index) = &self.index else { return Ok(()) };
        let mut number = 0;
        for page in 0..index.footer.pages {
            for entry in index.page(&*self.source, &self.envelope, page)? {
                each(&SegmentSummary {
                    index: number,
                    position: self.envelope.origin().saturating_add(entry.wire_offset),
                    wire_len: entry.wire_len,
                    plaintext_offset: entry.plaintext_offset,
                    plaintext_len: u64::from(entry.plaintext_len),
                    frame_count: entry.frame_count,
                    digest: entry.digest,
                });
                number += 1;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspection")
            .field("stream_id", &self.stream_id)
            .field("suite", &self.suite)
            .field("digest", &self.digest)
            .field("compression", &self.compression)
            .field("frame_len", &self.frame_len)
            .field("segment_len", &self.segment_len)
            .field("key_copies", &self.key_copies)
            .field("metadata_len", &self.metadata_len)
            .field("sealed_len", &self.sealed_len)
            .field("trailer", &self.trailer)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// What is wrong before the segments: reading from the front tells *damaged* from *truncated*.
fn fault_at_the_beginning(in_order: impl Source) -> Error {
    let read = read_envelope(&mut Window::new(in_order), Access::Inspecting, &Resources::default());
    let short = || Error::new(ErrorKind::Truncated, "the sealed stream ends before its first segment");
    read.err().unwrap_or_else(short)
}

fn key_copies(source: &dyn ReadAt, envelope: &Envelope) -> Result<[Option<KeyCopySummary>; 2], Error> {
    let mut area = memory::zeroed("the key copies", 2 * envelope.preamble.key_copy_len as usize)?;
    read(source, PREAMBLE_BLOCK_LEN as u64, &mut area)?;
    let preamble = envelope.preamble.to_bytes();
    let area = KeyArea::parse(&preamble, &area);
    let mut copies = [None, None];
    for (index, copy) in area.usable() {
        // The slots of the copy that serves are well formed; of the other one there is a warning, and nothing to show.
        let Ok(slots) = copy.slots() else { continue };
        let slots = slots.iter().map(|slot| summary(slot.kind, &slot.body)).collect();
        copies[index] = Some(KeyCopySummary { generation: copy.generation, slots });
    }
    Ok(copies)
}

fn summary(kind: u16, body: &[u8]) -> SlotSummary {
    match kind {
        keys::KIND_AGE => SlotSummary::Age(age_stanzas(body)),
        keys::KIND_WRAPPING_KEY => SlotSummary::KeyFile,
        keys::KIND_EXTERNAL => {
            let len = body.first_chunk().map_or(0, |len| usize::from(u16::from_le_bytes(*len)));
            let name = body.get(2..2 + len).unwrap_or_default();
            SlotSummary::External(String::from_utf8_lossy(name).into_owned())
        }
        other => SlotSummary::Unknown(other),
    }
}

/// The types of an age header's recipient stanzas: lines `-> TYPE …` up to the one that begins with `---`.
fn age_stanzas(body: &[u8]) -> Vec<String> {
    body.split(|byte| *byte == b'\n')
        .take_while(|line| !line.starts_with(b"---"))
        .filter_map(|line| line.strip_prefix(b"-> "))
        .map(|line| {
            String::from_utf8_lossy(line.split(|byte| *byte == b' ').next().unwrap_or_default()).into_owned()
        })
        .collect()
}
