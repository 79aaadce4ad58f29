//! What else the machine does, as the system counts it before anything is measured.
//! It waits for nothing and judges no figure.

use std::fs;

/// The load average of the last minute: processes that ran, or waited for a processor or a disk.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Load(pub f64);

impl Load {
    /// As it is now; `None` where the system does not tell.
    pub(crate) fn now() -> Option<Load> {
        of(&fs::read_to_string("/proc/loadavg").ok()?)
    }

    /// Whether figures that are measured now may be wrong, because something else runs, or did within the last minutes.
    pub fn is_busy(self) -> bool {
        self.0 > LOAD_MAX
    }
}

/// `0.61 0.70 0.88 3/312 12025` (proc_loadavg(5))
fn of(loadavg: &str) -> Option<Load> {
    loadavg.split(' ').next()?.parse().ok().map(Load)
}

/// A machine where nothing runs stays below.
const LOAD_MAX: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_figure_of_the_kernels_line_is_that_of_a_minute() {
        assert_eq!(of("0.61 0.70 0.88 3/312 12025\n"), Some(Load(0.61)));
        assert_eq!(of(""), None);
        assert_eq!(of("unknown"), None);
    }

    #[test]
    fn a_machine_is_busy_above_a_half() {
        let busy = [0.0, 0.5, 0.51, 64.0].map(|load| Load(load).is_busy());
        assert_eq!(busy, [false, false, true, true]);
    }
}
