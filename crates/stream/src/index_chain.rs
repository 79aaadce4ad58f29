//! The chain over the entries of an index: what the stream digest has to be if the index is right.
//! It reads no segment. The closing frames of a segment follow from key, entry and the chain before it.

use std::ops::Range;

use frame_worker::{ChainValue, ClosingFields};
use framing::IndexEntry;
use segment_worker::{Budget, CancelToken};

use crate::feed::segment_runs::header_of;
use crate::index::Walk;
use crate::page_fetch::PageFetch;
use crate::pin::ExpectedPin;
use crate::{Error, ErrorKind};

/// Compares the chain over all entries with the footer, and with what is `expected` of the pin. `walk` is at its beginning.
///
/// To be asked before anything of the index takes the place of a segment that is not read: whoever has the key can make
/// pages and MACs that name segments of his own, and not two lists of segments with one chain. Without a key the
/// closing frames cannot be made again, nothing may be skipped, and nothing is compared here.
pub(crate) fn check_entries(
    walk: &Walk<'_>,
    expected: ExpectedPin<'_>,
    budget: &Budget,
    cancel: &CancelToken,
) -> Result<(), Error> {
    if walk.envelope.schedule.is_none() {
        return Ok(());
    }
    let mut walk = walk.clone();
    let chain = chain_behind(&mut walk, u64::MAX, budget, cancel)?;
    check_whole(&walk, chain, expected)
}

/// A range of the segments that an index names, and the chain around it.
pub(crate) struct ChainedRange<'a> {
    /// Before the first segment of the range.
    pub(crate) walk: Walk<'a>,
    pub(crate) before: ChainValue,
    pub(crate) after: ChainValue,
    /// Where the plaintext of the range ends in the stream's.
    pub(crate) plaintext_end: u64,
}

/// As [`check_entries`], with the chain before and after the segments of each of `ranges`, which are there and in order. The
/// envelope has a key.
pub(crate) fn check_entries_around<'a>(
    walk: &Walk<'a>,
    ranges: impl IntoIterator<Item = Range<u64>>,
    expected: ExpectedPin<'_>,
    budget: &Budget,
    cancel: &CancelToken,
) -> Result<Vec<ChainedRange<'a>>, Error> {
    let mut walk = walk.clone();
    assert_eq!(walk.segments(), 0, "a chain begins before the first segment");
    let mut chain = walk.envelope.chain;
    let mut chained = Vec::new();
    for range in ranges {
        let before = chain_on(&mut walk, chain, range.start, budget, cancel)?;
        let start = walk.without_page();
        chain = chain_on(&mut walk, before, range.end, budget, cancel)?;
        let plaintext_end = walk.plaintext_offset();
        chained.push(ChainedRange { walk: start, before, after: chain, plaintext_end });
    }
    let end = chain_on(&mut walk, chain, u64::MAX, budget, cancel)?;
    check_whole(&walk, end, expected)?;
    Ok(chained)
}

/// `walk` has passed all entries, and `chain` is over them.
fn check_whole(walk: &Walk<'_>, chain: ChainValue, expected: ExpectedPin<'_>) -> Result<(), Error> {
    walk.check_end()?;
    if chain.0 != walk.index.footer.stream_digest {
        let what = "the segments that the index names do not make the stream digest of the footer";
        return Err(Error::damaged(what).at(walk.index.footer_position()));
    }
    expected.check(chain)
}

/// Moves `walk` from its beginning behind the first `segments` entries, or behind all if there are fewer, and computes the
/// chain value there. The envelope has a key.
pub(crate) fn chain_behind(
    walk: &mut Walk<'_>,
    segments: u64,
    budget: &Budget,
    cancel: &CancelToken,
) -> Result<ChainValue, Error> {
    assert_eq!(walk.segments(), 0, "a chain begins before the first segment");
    let chain = walk.envelope.chain;
    chain_on(walk, chain, segments, budget, cancel)
}

/// As [`chain_behind`], from where `walk` is: the chain value there is `chain`. `segments` count from the stream's first.
fn chain_on(
    walk: &mut Walk<'_>,
    mut chain: ChainValue,
    segments: u64,
    budget: &Budget,
    cancel: &CancelToken,
) -> Result<ChainValue, Error> {
    let mut pages = PageFetch::new(walk, segments, budget);
    while walk.segments() < segments && !walk.is_at_end() {
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
        }
        if let Some(pages) = &mut pages {
            pages.load(walk, cancel)?;
        }
        let entry = walk.entry()?;
        chain = chain_after(walk, &entry, chain)?;
        walk.pass(&entry)?;
    }
    Ok(chain)
}

/// The chain value after the segment that comes next in `walk`, whose entry is `entry`, where the value before it is
/// `chain`. The envelope has a key.
pub(crate) fn chain_after(
    walk: &Walk<'_>,
    entry: &IndexEntry,
    chain: ChainValue,
) -> Result<ChainValue, Error> {
    let (worker, _) = walk.envelope.segment(&header_of(walk.segments(), entry))?;
    Ok(worker.chain_after(&ClosingFields {
        frame_count: entry.frame_count,
        plaintext_len: u64::from(entry.plaintext_len),
        digest: entry.digest,
        plaintext_digest: entry.plaintext_digest,
        last: walk.is_at_last(),
        chain_before: chain,
    }))
}
