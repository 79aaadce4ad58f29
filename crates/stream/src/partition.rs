//! How a stream is cut into parts: ranges of whole segments, with the chain around each, before any of them is opened.
//! It opens no segment and knows no plan.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;

use frame_worker::DigestKind;
use sources::Source;
use storage::FileTime;

use crate::envelope::Envelope;
use crate::file_attributes::{self, Malformed};
use crate::index::{Index, Walk};
use crate::index_chain::check_entries_around;
use crate::open::{OpenOptions, of_place};
use crate::resources::longest_run;
use crate::{ContentKind, Error, ErrorKind, Reader, Remedy, StreamDigest, StreamHead, StreamId, Warning};

/// A stream cut into parts, as the entries of its index have them. No segment has been read: a part is proved by being opened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Partition {
    /// Names the stream.
    pub stream_id: StreamId,
    /// What the chain over all entries of the index comes to: it fixes every byte of the stream's preamble, metadata and segments.
    pub stream_digest: StreamDigest,
    /// The permission bits of the file that was sealed, where the stream keeps them.
    pub mode: Option<u32>,
    /// When that file was last modified.
    pub modified: Option<FileTime>,
    /// What the plaintext is, where it is more than the bytes of a file.
    pub content: Option<ContentKind>,
    /// The parts, in order; together they are all of the stream.
    pub parts: Vec<ChainedSegments>,
    /// The most bytes of plaintext that are opened at once, and written together.
    pub run_len_max: u64,
}

/// Whole segments of a stream, and the chain around them.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ChainedSegments {
    /// The segments; the end is excluded.
    pub segments: Range<u64>,
    /// Which bytes of the stream's plaintext they are.
    pub plaintext: Range<u64>,
    /// The chain value before the first of them.
    pub chain_before: [u8; 32],
    /// The chain value after the last of them.
    pub chain_after: [u8; 32],
}

impl OpenOptions<'_> {
    /// Cuts the stream in `source` into so many `parts`, whose segments differ by one at most.
    ///
    /// # Errors
    /// As of a stream that is opened, for what stands before and after its segments. [`ErrorKind::Usage`] if the source cannot be read
    /// at offsets, or the stream has fewer segments; [`ErrorKind::NoKey`] without a key; [`ErrorKind::Unsupported`] of a stream whose
    /// digest fixes nothing (FORMAT F11.4): its parts might be of two streams.
    pub fn partition(&self, parts: NonZeroU64, source: impl Source) -> Result<Partition, Error> {
        Ok(self.partition_read(parts, source)?.0)
    }

    /// As [`partition`](Self::partition), with what reads the stream at any place, where its plaintext is more than the bytes of a file.
    ///
    /// # Errors
    /// As of [`partition`](Self::partition).
    pub fn partition_read(
        &self,
        parts: NonZeroU64,
        source: impl Source,
    ) -> Result<(Partition, Option<Reader>), Error> {
        self.resources.check()?;
        let place = source.positioned().ok_or_else(|| {
            let what = "a stream can be cut into parts only where the source has offsets";
            Error::new(ErrorKind::Usage, what).remedied(Remedy::GiveFile)
        })?;
        let around = self.read_around_segments(source, &place);
        let partition = around.and_then(|(envelope, index)| {
            let envelope = Arc::new(envelope);
            let walk = Walk::new(place.clone(), &envelope, index);
            let cut = self.cut(parts, &walk).and_then(|partition| {
                let read = partition.content.map(|_| self.reader_of(&walk.source, &envelope, &walk.index));
                Ok((partition, read.transpose()?))
            });
            cut.map_err(|error| error.of_stream(StreamHead::of(&envelope)))
        });
        partition.map_err(|error| of_place(error, Some(place)))
    }

    fn cut(&self, parts: NonZeroU64, walk: &Walk<'_>) -> Result<Partition, Error> {
        let envelope = walk.envelope;
        check_pinnable(envelope)?;
        let ranges = ranges_of(parts, &walk.index)?;
        let budget = self.resources.budget_from(&*walk.source);
        let expected = self.expected(envelope);
        let chained =
            check_entries_around(walk, ranges.iter().cloned(), expected, &budget, &self.resources.cancel)?;
        let parts = ranges.into_iter().zip(chained).map(|(segments, chained)| ChainedSegments {
            segments,
            plaintext: chained.walk.plaintext_offset()..chained.plaintext_end,
            chain_before: chained.before.0,
            chain_after: chained.after.0,
        });
        let attributes = file_attributes::find(&envelope.metadata).and_then(|found| {
            found.inspect_err(|Malformed| self.tell(&Warning::FileAttributesMalformed)).ok()
        });
        Ok(Partition {
            stream_id: envelope.preamble.stream_id,
            stream_digest: StreamDigest(walk.index.footer.stream_digest),
            mode: attributes.map(|found| found.permissions()),
            modified: attributes.map(|found| found.modified),
            content: ContentKind::of_metadata(&envelope.metadata)?,
            parts: parts.collect(),
            run_len_max: longest_run(envelope.shape()),
        })
    }

    fn tell(&self, warning: &Warning) {
        if let Some(observer) = &self.resources.observer {
            observer.warning(warning);
        }
    }
}

fn check_pinnable(envelope: &Envelope) -> Result<(), Error> {
    if envelope.schedule.is_none() {
        return Err(Error::new(ErrorKind::NoKey, "without a key a stream can be verified and not opened"));
    }
    if envelope.preamble.digest == DigestKind::Tags {
        let what = "a stream with the digest `tags` is not cut into parts: its digest fixes no bytes";
        return Err(Error::new(ErrorKind::Unsupported, what)
            .advise("Restore it as a whole, or seal with another digest."));
    }
    Ok(())
}

fn ranges_of(parts: NonZeroU64, index: &Index) -> Result<Vec<Range<u64>>, Error> {
    let segments = index.footer.segments;
    let parts = parts.get();
    if parts > segments {
        let segments = if segments == 1 { "1 segment".to_owned() } else { format!("{segments} segments") };
        let what =
            format!("the stream has {segments}, and a part one at least: it is not cut into {parts} parts");
        return Err(Error::new(ErrorKind::Usage, what).advise("Ask for fewer parts."));
    }
    let cut = |part: u64| (u128::from(segments) * u128::from(part) / u128::from(parts)) as u64;
    Ok((0..parts).map(|part| cut(part)..cut(part + 1)).collect())
}
