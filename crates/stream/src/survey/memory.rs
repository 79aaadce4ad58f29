//! What a survey takes of its one budget: for segments that are held, and for what is fetched to look for segments in.
//! It looks at none.

use std::iter;

use frame_worker::Pool;
use segment_worker::{Edges, Lease, StreamError};

use crate::far::FarSource;
use crate::fetch_memory::{FetchMemory, FetchNeeds};
use crate::one_segment::SegmentOpener;
use crate::segment_fetch::SegmentFetch;
use crate::{Error, Resources};

/// On how many threads segments are judged.
pub(super) fn threads(resources: &Resources) -> usize {
    resources.pool.as_ref().map_or_else(|| resources.threads().get(), Pool::threads)
}

/// As many as the budget allows to hold a segment each, and a run; of a far source, as its part that is not for what is fetched does.
/// Where others share it, what is free of that is taken.
pub(super) fn threads_that_hold_segments(
    resources: &Resources,
    opener: &SegmentOpener,
) -> Result<(usize, Option<Lease>), Error> {
    let [_, needed] = lens_to_hold(opener);
    let budget = resources.budget();
    let total = budget.total();
    if total < needed {
        return Err(Error::opening(StreamError::Budget { needed, total }));
    }
    let held = if opener.fetch.is_some() { total - total / FETCH_PART } else { total };
    let threads = threads(resources).min(held / needed);
    let taken = (1..=threads).rev().find_map(|threads| Some((threads, budget.try_lease(threads * needed)?)));
    // One there is in any case.
    Ok(taken.map_or((1, None), |(threads, lease)| (threads, Some(lease))))
}

/// How much of a far source is fetched at once, and by what; nothing where the budget has no memory for it beside a segment: then each read
/// is a request of its own.
pub(super) fn window_fetch(resources: &Resources, opener: &SegmentOpener) -> Option<(SegmentFetch, u64)> {
    let far = FarSource::of(&opener.source)?;
    let budget = resources.budget();
    let [run_len, segment_len] = lens_to_hold(opener);
    let step_len = far.fetch().min_memory(run_len);
    let least = 2 * step_len;
    let most = (budget.growth() / FETCH_PART).max(least).min(budget.total().saturating_sub(segment_len));
    let mut lens = iter::successors(Some(most), |len| Some(len / 2)).take_while(|len| *len >= least);
    let (len, lease) = lens.find_map(|len| Some((len, budget.try_lease(len)?)))?;
    let needs = FetchNeeds { least: len, beside: budget.total() };
    let memory = FetchMemory::new(far.clone(), &budget, needs);
    // The rest is for connections, and parts that are not needed as a whole.
    let window_len = (len - step_len) as u64 / 4 * 3;
    Some((SegmentFetch::new(far, memory, Some(lease), &resources.cancel), window_len))
}

/// Bytes of a run as it is read, and of a run and the plaintext of its segment, as long as they can be.
fn lens_to_hold(opener: &SegmentOpener) -> [usize; 2] {
    let shape = opener.envelope.shape();
    let run = opener.frames_per_run as usize * shape.frame_wire_len() as usize + Edges::len_max(shape);
    [run, shape.segment_len() as usize + run]
}

/// Of the budget, the part for what is fetched of a far source.
const FETCH_PART: usize = 2;
