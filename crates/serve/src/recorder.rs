//! What clients have read of a source, in the order in which they did so first.
//! Knows no client, and no file that it is kept in.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cofferdam_io::ReadAt;

use crate::WorkingSet;
use crate::working_set::RANGES_MAX;

/// A source that remembers which of its units were read.
pub struct Recorder {
    source: Arc<dyn ReadAt>,
    unit_len: u64,
    /// Reads that have begun.
    begun: AtomicU64,
    touched: Mutex<Touched>,
}

/// In units.
#[derive(Default)]
struct Touched {
    /// All that was touched, by where it begins, no two adjacent.
    seen: BTreeMap<u64, u64>,
    /// The same, each with the number of the read that touched it.
    stretches: Vec<(u64, Range<u64>)>,
    is_full: bool,
}

impl Recorder {
    /// Of units of `unit_len` bytes: those that the source reads at once.
    pub fn new(source: Arc<dyn ReadAt>, unit_len: u64) -> Recorder {
        Recorder { source, unit_len: unit_len.max(1), begun: AtomicU64::new(0), touched: Mutex::default() }
    }

    /// What was touched so far of these bytes, which `tag` stands for.
    pub fn working_set(&self, tag: &str) -> WorkingSet {
        let len = self.source.len();
        let in_bytes = |units: Range<u64>| units.start * self.unit_len..(units.end * self.unit_len).min(len);
        let touched = self.touched().in_order();
        WorkingSet::of(tag, len, touched.into_iter().map(in_bytes).collect())
    }

    /// Whether more was touched than is remembered: too many ranges.
    pub fn is_full(&self) -> bool {
        self.touched().is_full
    }

    /// The number of a read that begins: reads end in another order.
    fn begin(&self) -> u64 {
        // Relaxed: numbers alone, of which no two are alike. No partner.
        self.begun.fetch_add(1, Ordering::Relaxed)
    }

    /// Notes that the read of this number has read these bytes.
    fn touch(&self, number: u64, offset: u64, len: usize) {
        if len > 0 {
            let end = offset + len as u64;
            self.touched().touch(number, offset / self.unit_len..end.div_ceil(self.unit_len));
        }
    }

    fn touched(&self) -> MutexGuard<'_, Touched> {
        // What it guards is whole at every step.
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadAt for Recorder {
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at_unless(offset, buffer, &|| false)
    }

    fn read_exact_at_unless(
        &self,
        offset: u64,
        buffer: &mut [u8],
        is_given_up: &(dyn Fn() -> bool + Sync),
    ) -> io::Result<()> {
        let number = self.begin();
        self.source.read_exact_at_unless(offset, buffer, is_given_up)?;
        self.touch(number, offset, buffer.len());
        Ok(())
    }

    fn read_cached_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let number = self.begin();
        let count = self.source.read_cached_at(offset, buffer);
        self.touch(number, offset, count);
        count
    }

    fn len(&self) -> u64 {
        self.source.len()
    }

    fn changed(&self) -> io::Result<bool> {
        self.source.changed()
    }
}

impl Touched {
    /// Adds those of `units` that are new, unless there are too many already.
    fn touch(&mut self, number: u64, units: Range<u64>) {
        let mut at = units.start;
        while at < units.end && !self.is_full {
            let before = self.seen.range(..=at).next_back();
            if let Some((_, end)) = before.filter(|(_, end)| **end > at) {
                at = *end;
                continue;
            }
            let after = self.seen.range(at..).next().map_or(u64::MAX, |(start, _)| *start);
            let gap = at..units.end.min(after);
            at = gap.end;
            self.add(number, gap);
        }
    }

    /// Adds units of which none was touched.
    fn add(&mut self, number: u64, gap: Range<u64>) {
        self.stretches.push((number, gap.clone()));
        if self.stretches.len() == STRETCHES_MAX {
            self.merge();
            self.is_full = self.stretches.len() > RANGES_MAX;
        }
        let end = self.seen.remove(&gap.end).unwrap_or(gap.end);
        match self.seen.range_mut(..gap.start).next_back() {
            Some((_, before)) if *before == gap.start => *before = end,
            _ => {
                self.seen.insert(gap.start, end);
            }
        }
    }

    /// Puts the stretches in the order in which their reads began, and joins those that follow each other.
    fn merge(&mut self) {
        self.stretches.sort_by_key(|(number, _)| *number);
        self.stretches.dedup_by(|(_, next), (_, last)| {
            let is_next = last.end == next.start;
            if is_next {
                last.end = next.end;
            }
            is_next
        });
    }

    /// As many as are remembered, the first of them.
    fn in_order(&mut self) -> Vec<Range<u64>> {
        self.merge();
        self.is_full |= self.stretches.len() > RANGES_MAX;
        self.stretches.iter().take(RANGES_MAX).map(|(_, units)| units.clone()).collect()
    }
}

/// Before they are merged. Most of a source that is read in order by several at once becomes few.
const STRETCHES_MAX: usize = 2 * RANGES_MAX;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc::{Receiver, channel};
    use std::{slice, thread};

    use super::*;

    struct Zeros(u64);

    impl ReadAt for Zeros {
        fn read_exact_at(&self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
            buffer.fill(0);
            Ok(())
        }

        fn len(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn units_are_remembered_in_the_order_of_their_first_touch() {
        let recorder = Recorder::new(Arc::new(Zeros(1050)), 100);
        let read = |offset, len: usize| recorder.read_exact_at(offset, &mut vec![0; len]).unwrap();
        read(500, 1);
        read(599, 2);
        read(0, 100);
        read(450, 300);
        read(1049, 1);
        read(0, 0);
        assert_eq!(recorder.working_set("a").ranges(), [500..700, 0..100, 400..500, 700..800, 1000..1050]);
    }

    /// Bytes of which some cannot be read, or not yet.
    struct Broken(Mutex<Range<u64>>);

    impl ReadAt for Broken {
        fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
            let broken = self.0.lock().unwrap();
            match offset < broken.end && broken.start < offset + buffer.len() as u64 {
                true => Err(io::ErrorKind::InvalidData.into()),
                false => Ok(()),
            }
        }

        fn len(&self) -> u64 {
            1000
        }
    }

    #[test]
    fn what_could_not_be_read_is_not_remembered_until_it_can() {
        let source = Arc::new(Broken(Mutex::new(200..201)));
        let recorder = Recorder::new(source.clone(), 100);
        let read = |offset, len: usize| recorder.read_exact_at(offset, &mut vec![0; len]).is_ok();
        let recorded = || recorder.working_set("a").ranges().to_vec();
        assert!(read(0, 200) && read(700, 100) && !read(200, 100));
        assert_eq!(recorded(), [0..200, 700..800]);
        // What others have read stays.
        assert!(read(300, 100) && !read(100, 400));
        assert_eq!(recorded(), [0..200, 700..800, 300..400]);
        *source.0.lock().unwrap() = 0..0;
        assert!(read(100, 400));
        assert_eq!(recorded(), [0..200, 700..800, 300..400, 200..300, 400..500]);
    }

    #[test]
    fn what_is_not_kept_and_no_bytes_at_all_touch_nothing() {
        let broken = Recorder::new(Arc::new(Broken(Mutex::new(0..1000))), 100);
        let sound = Recorder::new(Arc::new(Zeros(1000)), 100);
        for offset in [0, 50, 100, 950] {
            assert_eq!(broken.read_cached_at(offset, &mut [0; 40]), 0);
            assert!(broken.read_exact_at(offset, &mut [0; 40]).is_err());
            assert!(sound.read_exact_at(offset, &mut []).is_ok());
            assert_eq!(sound.read_cached_at(offset, &mut []), 0);
        }
        assert_eq!((broken.working_set("a").ranges(), sound.working_set("a").ranges()), (&[][..], &[][..]));
    }

    /// Bytes whose first read waits to be told how it ends.
    struct PausedSource {
        reads: AtomicU64,
        first: Mutex<Receiver<bool>>,
    }

    impl ReadAt for PausedSource {
        fn read_exact_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
            let is_first = self.reads.fetch_add(1, Ordering::SeqCst) == 0;
            match !is_first || self.first.lock().unwrap().recv().unwrap() {
                true => Ok(()),
                false => Err(io::ErrorKind::Interrupted.into()),
            }
        }

        fn len(&self) -> u64 {
            1000
        }
    }

    #[test]
    fn what_one_reader_has_had_stays_when_another_gives_up_and_the_order_is_that_of_the_beginnings() {
        for is_read in [false, true] {
            let (tell, first) = channel();
            let source = Arc::new(PausedSource { reads: AtomicU64::new(0), first: Mutex::new(first) });
            let recorder = Recorder::new(source.clone(), 100);
            thread::scope(|scope| {
                let waiting = scope.spawn(|| recorder.read_exact_at(500, &mut [0; 200]).is_ok());
                while source.reads.load(Ordering::SeqCst) == 0 {
                    thread::yield_now();
                }
                recorder.read_exact_at(0, &mut [0; 100]).unwrap();
                recorder.read_exact_at(500, &mut [0; 100]).unwrap();
                assert_eq!(recorder.working_set("a").ranges(), [0..100, 500..600]);
                tell.send(is_read).unwrap();
                assert_eq!(waiting.join().unwrap(), is_read);
            });
            let due = if is_read { vec![600..700, 0..100, 500..600] } else { vec![0..100, 500..600] };
            assert_eq!(recorder.working_set("a").ranges(), due);
        }
    }

    #[test]
    fn more_ranges_than_a_file_may_have_are_not_remembered_and_adjacent_ones_are_one() {
        let recorder = Recorder::new(Arc::new(Zeros(4 * STRETCHES_MAX as u64)), 1);
        let read = |offset| recorder.read_exact_at(offset, &mut [0; 1]).unwrap();
        // Pairs of which the second one is read first.
        (0..2 * RANGES_MAX as u64).for_each(|number| read(2 * (number ^ 1)));
        assert!(recorder.is_full());
        assert_eq!(recorder.working_set("a").ranges().len(), RANGES_MAX);
        let recorder = Recorder::new(Arc::new(Zeros(4 * STRETCHES_MAX as u64)), 1);
        let read = |offset| recorder.read_exact_at(offset, &mut [0; 1]).unwrap();
        (0..3 * RANGES_MAX as u64).for_each(read);
        assert_eq!(recorder.working_set("a").ranges(), slice::from_ref(&(0..3 * RANGES_MAX as u64)));
        assert!(!recorder.is_full());
    }

    /// Against a set of units, and a list of those that were new.
    #[test]
    fn whatever_is_read_is_remembered_once() {
        let mut rng = fastrand::Rng::with_seed(7);
        let recorder = Recorder::new(Arc::new(Zeros(1000)), 1);
        let (mut seen, mut order) = (HashSet::new(), Vec::new());
        for _ in 0..300 {
            let (offset, len) = (rng.u64(0..980), rng.usize(0..20));
            recorder.read_exact_at(offset, &mut vec![0; len]).unwrap();
            order.extend((offset..offset + len as u64).filter(|unit| seen.insert(*unit)));
            let recorded: Vec<u64> = recorder.working_set("").ranges().iter().cloned().flatten().collect();
            assert_eq!(recorded, order);
        }
        assert!(seen.len() > 800);
    }
}
