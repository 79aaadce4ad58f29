//! What the system says of memory: what this process may still take, and how short it is.
//! It reads a few small files under `/proc` and `/sys`, never writes one, and starts nothing.

mod cgroup;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use segment_worker::{Budget, MemoryPressure};

/// Where the system says how much memory there is and how short it is: `/proc` and `/sys` under a root.
///
/// Nothing is kept from one question to the next: limits change, and processes move. What is absent, unreadable or not understood
/// counts as not said.
#[derive(Clone, Debug)]
pub struct SystemMemory {
    root: PathBuf,
}

/// Memory that something limits: the machine, or a cgroup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Limit {
    /// Bytes in all.
    bytes: u64,
    /// Bytes that are free, or are a page cache that can be given up.
    left: u64,
}

impl Default for SystemMemory {
    fn default() -> SystemMemory {
        SystemMemory::at("/")
    }
}

impl SystemMemory {
    /// As a system whose root directory is `root` says.
    pub fn at(root: impl Into<PathBuf>) -> SystemMemory {
        SystemMemory { root: root.into() }
    }

    /// Bytes that this process may still take before the machine or one of its cgroups has none left. `None` where nothing says.
    pub fn left(&self) -> Option<u64> {
        self.limits().iter().map(|limit| limit.left).min()
    }

    /// The budget of a stream whose caller says nothing: it grows to `most` bytes, or to a quarter of what is [left](Self::left) if that
    /// is less. [`MEMORY_DEFAULT`] of it can be had for what a stream needs at least, however little is left.
    pub fn budget(&self, most: usize) -> Budget {
        let share = self.left().map_or(most, |left| usize::try_from(left / SHARE_OF_LEFT).unwrap_or(most));
        let growth = most.min(share);
        Budget::growing_to(growth.max(MEMORY_DEFAULT), growth)
    }

    /// How short memory is, after it was `before`: by the pressure that the kernel reports for this process's cgroup or for the
    /// machine, and where it reports none, by what is left.
    pub(crate) fn pressure(&self, before: MemoryPressure) -> MemoryPressure {
        let of_cgroup = cgroup::v2_directories(self).into_iter().next();
        let files = of_cgroup.map(|directory| directory.join("memory.pressure"));
        let stalls = files.into_iter().chain([PathBuf::from("proc/pressure/memory")]);
        match stalls.filter_map(|file| Stalls::parse(&self.read(&file)?)).next() {
            Some(stalls) => stalls.pressure(before),
            None => self.scarcity().map_or(MemoryPressure::None, |percent| level(percent, SCARCITY, before)),
        }
    }

    /// The percentage of the memory that is taken, of what has least left.
    fn scarcity(&self) -> Option<f64> {
        let taken = |limit: &Limit| 100.0 - 100.0 * (limit.left as f64 / limit.bytes.max(1) as f64).min(1.0);
        self.limits().iter().map(taken).max_by(f64::total_cmp)
    }

    fn limits(&self) -> Vec<Limit> {
        let mut limits = cgroup::limits(self);
        limits.extend(self.of_machine());
        limits
    }

    fn of_machine(&self) -> Option<Limit> {
        let text = self.read(Path::new("proc/meminfo"))?;
        let kib = |name| field(&text, name)?.strip_suffix("kB")?.trim_end().parse::<u64>().ok();
        Some(Limit {
            bytes: kib("MemTotal:")?.checked_mul(1024)?,
            left: kib("MemAvailable:")?.checked_mul(1024)?,
        })
    }

    /// What stands in a small file, whose path is relative to the root.
    fn read(&self, path: &Path) -> Option<String> {
        let mut text = String::new();
        File::open(self.root.join(path)).ok()?.take(FILE_LEN_MAX).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

/// How much of the last ten seconds tasks could do nothing for lack of memory, in percent: some of them, and all at once.
struct Stalls {
    some: f64,
    full: f64,
}

impl Stalls {
    /// `some avg10=1.00 avg60=…`, and the same for `full`.
    fn parse(text: &str) -> Option<Stalls> {
        let average = |name| {
            let average = field(text, name)?.split_whitespace().find_map(|word| word.strip_prefix("avg10="));
            average?.parse().ok().filter(|percent| (0.0..=100.0).contains(percent))
        };
        Some(Stalls { some: average("some")?, full: average("full")? })
    }

    fn pressure(&self, before: MemoryPressure) -> MemoryPressure {
        level(self.some, SOME_STALLED, before).max(level(self.full, ALL_STALLED, before))
    }
}

/// From which percentage on pressure is some, and high. It is less again under the half of what made it so.
#[derive(Clone, Copy)]
struct Thresholds {
    some: f64,
    high: f64,
    /// What a level has to fall to before it is left, of the threshold that it was reached by.
    leave: f64,
}

fn level(percent: f64, thresholds: Thresholds, before: MemoryPressure) -> MemoryPressure {
    let Thresholds { some, high, leave } = thresholds;
    let reached =
        |threshold, level| percent >= threshold || (before >= level && percent >= threshold * leave);
    if reached(high, MemoryPressure::High) {
        MemoryPressure::High
    } else if reached(some, MemoryPressure::Some) {
        MemoryPressure::Some
    } else {
        MemoryPressure::None
    }
}

/// What follows `name` in the line that begins with it.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Bytes of buffers that a stream's budget has unless told otherwise.
pub const MEMORY_DEFAULT: usize = 32 * 1024 * 1024;
/// A stream grows to this part of what is left, and no further.
const SHARE_OF_LEFT: u64 = 4;
/// More of a file is not read.
const FILE_LEN_MAX: u64 = 64 * 1024;
/// Of tasks of which some were stalled.
const SOME_STALLED: Thresholds = Thresholds { some: 10.0, high: 40.0, leave: 0.5 };
/// Of tasks that were all stalled at once.
const ALL_STALLED: Thresholds = Thresholds { some: 5.0, high: 20.0, leave: 0.5 };
/// Of memory that is taken.
const SCARCITY: Thresholds = Thresholds { some: 90.0, high: 95.0, leave: 0.95 };

#[cfg(test)]
mod tests;
