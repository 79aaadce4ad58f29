//! A row that is measured in a process of its own, so that its peak of memory is its own as well.
//! It knows no row: its arguments are the bench's, which is run again with them.

use std::env;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a process measured of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// How long the work took.
    pub time: Duration,
    /// The most bytes of the process that were resident at once: the program, its libraries as far as touched, stacks,
    /// buffers.
    pub peak: u64,
}

impl Measured {
    /// Runs this program again, for the row that `arguments` name, and takes what it measured.
    ///
    /// # Panics
    /// The child failed, or printed something else.
    pub fn of_child(arguments: &[String]) -> Measured {
        let program = env::current_exe().expect("the program knows its path");
        let mut command = Command::new(program);
        command.arg(ROW).args(arguments).stderr(Stdio::inherit());
        let output = command.output().expect("the program can be run again");
        assert!(output.status.success(), "the row {arguments:?} failed");
        let printed = String::from_utf8_lossy(&output.stdout);
        Measured::parse(&printed).unwrap_or_else(|| panic!("the row {arguments:?} printed {printed:?}"))
    }

    /// The row that this process is to measure, if it is such a child.
    pub fn row() -> Option<Vec<String>> {
        let mut arguments = env::args().skip(1);
        (arguments.next().as_deref() == Some(ROW)).then(|| arguments.collect())
    }

    /// In the child: tells the parent that the work took `time`, and what was the peak so far.
    pub fn tell(time: Duration) {
        println!("{} {}", time.as_nanos(), peak());
    }

    fn parse(printed: &str) -> Option<Measured> {
        let (nanos, peak) = printed.trim().split_once(' ')?;
        Some(Measured { time: Duration::from_nanos(nanos.parse().ok()?), peak: peak.parse().ok()? })
    }
}

/// The most bytes of this process that were resident at once: `VmHWM` of proc(5).
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells a process of itself");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak is told");
    let kib = line.trim().trim_end_matches("kB").trim();
    kib.parse::<u64>().expect("it is told in KiB") << 10
}

/// Stands before a row's arguments.
const ROW: &str = "--row";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_holds_what_was_touched_and_given_back() {
        let before = peak();
        drop(std::hint::black_box(vec![1_u8; 64 << 20]));
        assert!((64 << 20..before + (128 << 20)).contains(&peak()), "{before} {}", peak());
    }

    #[test]
    fn what_a_child_tells_is_what_its_parent_reads() {
        let told = Measured::parse("1500000000 4096\n");
        assert_eq!(told, Some(Measured { time: Duration::from_millis(1500), peak: 4096 }));
        for other in ["", "1", "1 x", "1 2 3"] {
            assert_eq!(Measured::parse(other), None, "{other:?}");
        }
    }
}
