//! What clients have read of a source, in the order in which they did so first.
//! Knows no client, and no file that it is kept in.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cofferdam_io::ReadAt;

use crate::WorkingSet;
use crate::working_set::RANGES_MAX;

/// A source that remembers which of its units were read.
pub struct Recorder {
    source: Arc<dyn ReadAt>,
    unit_len: u64,
    touched: Mutex<Touched>,
}

/// In units.
#[derive(Default)]
struct Touched {
    /// All that was touched, by where it begins, no two adjacent.
    seen: BTreeMap<u64, u64>,
    /// The same, in the order in which it was touched first.
    ranges: Vec<Range<u64>>,
    is_full: bool,
}

impl Recorder {
    /// Of units of `unit_len` bytes: those that the source reads at once.
    pub fn new(source: Arc<dyn ReadAt>, unit_len: u64) -> Recorder {
        Recorder { source, unit_len: unit_len.max(1), touched: Mutex::default() }
    }

    /// What was touched so far of these bytes, which `tag` stands for.
    pub fn working_set(&self, tag: &str) -> WorkingSet {
        let len = self.source.len();
        let in_bytes = |units: &Range<u64>| units.start * self.unit_len..(units.end * self.unit_len).min(len);
        WorkingSet::of(tag, len, self.touched().ranges.iter().map(in_bytes).collect())
    }

    /// Whether more was touched than is remembered: too many ranges.
    pub fn is_full(&self) -> bool {
        self.touched().is_full
    }

    /// Notes that these bytes are read. Returns the units that are new.
    fn touch(&self, offset: u64, len: usize) -> Vec<Range<u64>> {
        let end = offset.saturating_add(len as u64).min(self.source.len());
        self.touched().touch(offset / self.unit_len..end.div_ceil(self.unit_len))
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
        // Before it is read: reads end in another order than they were asked for.
        let new = self.touch(offset, buffer.len());
        let read = self.source.read_exact_at_unless(offset, buffer, is_given_up);
        if read.is_err() {
            new.iter().for_each(|units| self.touched().forget(units));
        }
        read
    }

    fn read_kept_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let count = self.source.read_kept_at(offset, buffer);
        self.touch(offset, count);
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
    /// Adds units, and returns those that are new.
    fn touch(&mut self, units: Range<u64>) -> Vec<Range<u64>> {
        let mut new = Vec::new();
        let mut at = units.start;
        while at < units.end {
            let before = self.seen.range(..=at).next_back();
            if let Some((_, end)) = before.filter(|(_, end)| **end > at) {
                at = *end;
                continue;
            }
            let after = self.seen.range(at..).next().map_or(u64::MAX, |(start, _)| *start);
            let gap = at..units.end.min(after);
            at = gap.end;
            self.add(gap.clone());
            new.push(gap);
        }
        new
    }

    /// Takes units back that could not be read: whoever reads them later may be luckier.
    fn forget(&mut self, units: &Range<u64>) {
        let rest = |range: Range<u64>| {
            let rest = [range.start..range.end.min(units.start), range.start.max(units.end)..range.end];
            rest.into_iter().filter(|rest| !rest.is_empty())
        };
        self.seen = self
            .seen
            .iter()
            .flat_map(|(start, end)| rest(*start..*end))
            .map(|rest| (rest.start, rest.end))
            .collect();
        self.ranges = self.ranges.iter().cloned().flat_map(rest).collect();
        self.is_full |= self.ranges.len() > RANGES_MAX;
        self.ranges.truncate(RANGES_MAX);
    }

    /// Adds units of which none was touched.
    fn add(&mut self, gap: Range<u64>) {
        let is_full = self.ranges.len() == RANGES_MAX;
        match self.ranges.last_mut() {
            Some(last) if last.end == gap.start => last.end = gap.end,
            _ if is_full => {
                self.is_full = true;
                return;
            }
            _ => self.ranges.push(gap.clone()),
        }
        let end = self.seen.remove(&gap.end).unwrap_or(gap.end);
        match self.seen.range_mut(..gap.start).next_back() {
            Some((_, before)) if *before == gap.start => *before = end,
            _ => {
                self.seen.insert(gap.start, end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
