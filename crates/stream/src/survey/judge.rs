//! Has segments judged by several threads, some at a time.
//! It knows neither what they are judged by nor what becomes of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::one_segment::{Located, OpenedSegment};
use crate::{Error, ErrorKind};

/// A segment that may be one, or what stands in its place.
pub(super) enum Found {
    Segment { index: u64, located: Located },
    Broken(Error),
}

/// A segment that has been judged whole, or why it is not.
pub(super) type Judged = Result<OpenedSegment, Error>;

/// Judges a segment, or fails at something else than the segment.
pub(super) type Judge<'a> = dyn Fn(u64, &Located) -> Result<Judged, Error> + Sync + 'a;

/// Judges `batch` on so many threads, the caller's among them. In order, with whether each says that it is the last.
pub(super) fn judge_all(
    batch: Vec<Found>,
    threads: usize,
    judge: &Judge<'_>,
) -> Result<Vec<(Judged, bool)>, Error> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            match batch.get(at) {
                Some(Found::Segment { index, located }) => done.push((at, judge(*index, located)?)),
                Some(Found::Broken(_)) => {}
                None => return Ok::<_, Error>(done),
            }
        }
    };
    let mut done = thread::scope(|scope| {
        let mut others = Vec::new();
        for _ in 1..threads.min(batch.len()) {
            others.push(thread::Builder::new().spawn_scoped(scope, work).map_err(Error::no_thread)?);
        }
        let mut done = work()?;
        for other in others {
            done.extend(other.join().map_err(|_| Error::new(ErrorKind::Io, PANICKED))??);
        }
        Ok::<_, Error>(done)
    })?;
    done.sort_by_key(|(at, _)| *at);
    let mut done = done.into_iter().map(|(_, judged)| judged);
    let judged = batch.into_iter().map(|found| match found {
        Found::Segment { located, .. } => (done.next().expect("each segment is judged"), located.last),
        Found::Broken(error) => (Err(error), false),
    });
    Ok(judged.collect())
}

const PANICKED: &str = "a worker panicked: this is a fault of the program";
