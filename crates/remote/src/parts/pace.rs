//! How long parts are, and how many are fetched at once: within named bounds, by what was measured, as memory allows.
//! Makes no request and reads no clock.

use std::time::{Duration, Instant};

/// What is fetched at once, as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    /// Bytes of the next part.
    pub(super) part_len: usize,
    /// Parts on their way at once.
    pub(super) lanes: usize,
}

/// What has been seen of the place, and what follows from it.
#[derive(Debug)]
pub(super) struct Pace {
    lanes: usize,
    window: Window,
    trial: Option<Trial>,
    /// Whether each trial has brought something so far: then the next one goes further.
    in_start: bool,
    /// Windows until more lanes are tried again.
    rest: u32,
    throttled: u64,
    /// A part's time to its first byte, in seconds, and its bytes per second after that: smoothed.
    latency: f64,
    rate: f64,
}

/// What arrived since some moment.
#[derive(Debug)]
struct Window {
    since: Instant,
    bytes: u64,
    parts: usize,
    /// Parts still to arrive that were begun before it, with other lanes.
    earlier: usize,
    /// Whether somebody had to wait for bytes in it: otherwise more lanes would bring nothing.
    awaited: bool,
}

impl Window {
    /// One that begins `now`, or once so many parts have arrived.
    fn after(earlier: usize, now: Instant) -> Self {
        Self { since: now, bytes: 0, parts: 0, earlier, awaited: false }
    }
}

/// More lanes than before, until it is known what they bring.
#[derive(Debug)]
struct Trial {
    lanes_before: usize,
    rate_before: f64,
}

/// A part that has arrived.
pub(super) struct Arrived {
    pub(super) len: usize,
    pub(super) latency: Duration,
    /// From the first byte to the last.
    pub(super) transfer: Duration,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        let window = Window::after(0, now);
        Self {
            lanes: LANES_START,
            window,
            trial: None,
            in_start: true,
            rest: 0,
            throttled: 0,
            latency: 0.0,
            rate: 0.0,
        }
    }

    /// What follows for `granted` bytes of memory, where `step_len` of them are read at once.
    pub(super) fn plan(&self, granted: usize, step_len: usize) -> Plan {
        // A step touches its own length and a part at either end; one more is on its way.
        let free = granted.saturating_sub(step_len);
        let lanes_with = |part_len| free.saturating_sub(2 * part_len) / (part_len + CONNECTION_LEN);
        let lanes_fit = lanes_with(PART_LEN_MIN).min(LANES_START).max(lanes_with(PART_LEN_START / 2));
        let lanes = self.lanes.min(lanes_fit).max(1);
        let fits = free.saturating_sub(lanes * CONNECTION_LEN) / (lanes + 2);
        let suits = (self.latency * self.rate * TRANSFER_PER_LATENCY) as usize;
        let part_len = suits.clamp(PART_LEN_START, PART_LEN_MAX).min(fits).max(PART_LEN_MIN);
        Plan { part_len, lanes }
    }

    /// Somebody waits for bytes.
    pub(super) fn awaited(&mut self) {
        self.window.awaited = true;
    }

    pub(super) fn arrived(&mut self, part: &Arrived, now: Instant) {
        let rate = part.len as f64 / part.transfer.as_secs_f64().max(1e-6);
        let first = self.rate == 0.0;
        let smooth = |before: f64, new: f64| if first { new } else { before + (new - before) * SMOOTHING };
        self.latency = smooth(self.latency, part.latency.as_secs_f64());
        self.rate = smooth(self.rate, rate);
        if self.window.earlier > 0 {
            self.window.earlier -= 1;
            self.window.since = now;
            return;
        }
        self.window.bytes += part.len as u64;
        self.window.parts += 1;
        let elapsed = now.saturating_duration_since(self.window.since);
        if self.window.parts >= self.lanes.max(WINDOW_PARTS_MIN) && elapsed >= WINDOW_MIN {
            let lanes_before = self.lanes;
            self.close_window(self.window.bytes as f64 / elapsed.as_secs_f64());
            self.window = Window::after(if self.lanes == lanes_before { 0 } else { lanes_before }, now);
        }
    }

    /// The place has asked for fewer requests `times` in all.
    pub(super) fn throttled(&mut self, times: u64, now: Instant) {
        if times == self.throttled {
            return;
        }
        self.throttled = times;
        self.lanes = fewer_lanes(self.lanes);
        self.trial = None;
        self.in_start = false;
        self.rest = REST_AFTER_THROTTLING;
        self.window = Window::after(0, now);
    }

    fn close_window(&mut self, rate: f64) {
        if let Some(trial) = self.trial.take() {
            if rate < trial.rate_before * GAIN_MIN {
                self.lanes = trial.lanes_before;
                self.in_start = false;
                self.rest = REST_AFTER_TRIAL;
                return;
            }
        } else if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        if self.window.awaited && self.lanes < LANES_MAX {
            self.trial = Some(Trial { lanes_before: self.lanes, rate_before: rate });
            let more = if self.in_start { self.lanes } else { self.lanes.div_ceil(2) };
            self.lanes = (self.lanes + more).min(LANES_MAX);
        }
    }
}

/// What is left of `lanes` once a place has asked for fewer requests: a quarter less, and one at least. So do uploads, too.
pub(crate) fn fewer_lanes(lanes: usize) -> usize {
    lanes.saturating_sub((lanes / 4).max(1)).max(1)
}

/// Parts on their way at once: at first, and at most; more than at first only if parts need not be shorter than half of the first
/// ones for it. One connection of a store brings 80 to 90 MB/s.
const LANES_START: usize = 4;
const LANES_MAX: usize = 32;
/// Bytes of a part: at least, at first, and at most.
pub(super) const PART_LEN_MIN: usize = 1 << 20;
const PART_LEN_START: usize = 8 << 20;
const PART_LEN_MAX: usize = 64 << 20;
/// What a connection buffers, in bytes: hyper reads into at most 408 KiB, may have two such buffers, and TLS holds a few records.
pub(super) const CONNECTION_LEN: usize = 1 << 20;
/// How much longer a part is to take than its first byte: what is lost to waiting is then a ninth.
const TRANSFER_PER_LATENCY: f64 = 8.0;
/// How much of a new figure goes into a smoothed one.
const SMOOTHING: f64 = 0.2;
/// What is compared: at least so many parts, in at least so long.
const WINDOW_PARTS_MIN: usize = 4;
const WINDOW_MIN: Duration = Duration::from_millis(200);
/// More lanes stay if they bring at least this.
const GAIN_MIN: f64 = 1.05;
/// Windows without a trial: after one that brought nothing, and after the place asked for less.
const REST_AFTER_TRIAL: u32 = 8;
const REST_AFTER_THROTTLING: u32 = 1;

const _: () = assert!(PART_LEN_MIN <= PART_LEN_START && PART_LEN_START <= PART_LEN_MAX);
const _: () = assert!(LANES_START >= 1 && LANES_START <= LANES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// What plan and step can hold at most: the parts of a step, and a part on its way in each lane.
    fn worst(plan: Plan, step_len: usize) -> usize {
        step_len + 2 * plan.part_len + plan.lanes * (plan.part_len + CONNECTION_LEN)
    }

    #[test]
    fn a_plan_keeps_to_the_memory_that_is_granted() {
        let pace = Pace::new(Instant::now());
        for step_len in [1, 64 << 10, MIB, 8 * MIB + 1, 64 * MIB] {
            let least = step_len + 4 * MIB;
            for granted in [least, least + 1, least + 3 * MIB, 64 * MIB + least, 1 << 30] {
                let plan = pace.plan(granted, step_len);
                assert!(plan.part_len >= PART_LEN_MIN && plan.lanes >= 1);
                assert!(worst(plan, step_len) <= granted, "{plan:?} in {granted} with {step_len}");
            }
        }
        assert_eq!(pace.plan(1 << 30, MIB), Plan { part_len: 8 * MIB, lanes: 4 });
        assert_eq!(pace.plan(0, MIB), Plan { part_len: MIB, lanes: 1 });
    }

    #[test]
    fn parts_become_longer_where_the_first_byte_takes_long() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        // 50 ms at 50 MB/s: 2.5 MB, eight times.
        let part = Arrived {
            len: 8 * MIB,
            latency: Duration::from_millis(50),
            transfer: Duration::from_secs_f64(8.388_608 / 50.0),
        };
        pace.arrived(&part, now);
        assert_eq!(pace.plan(1 << 30, MIB).part_len, 20_000_000);
        let part =
            Arrived { len: 8 * MIB, latency: Duration::from_secs(10), transfer: Duration::from_millis(1) };
        for _ in 0..100 {
            pace.arrived(&part, now);
        }
        assert_eq!(pace.plan(1 << 30, MIB).part_len, PART_LEN_MAX);
    }

    /// Fetches for so many seconds from a place whose throughput follows from the lanes; gives the share of parts in each number of
    /// them.
    fn run(
        pace: &mut Pace,
        now: &mut Instant,
        secs: u64,
        rate: impl Fn(usize) -> f64,
        awaited: bool,
    ) -> [f64; LANES_MAX + 1] {
        let end = *now + Duration::from_secs(secs);
        let (mut shares, mut parts) = ([0.0; LANES_MAX + 1], 0.0);
        while *now < end {
            let lanes = pace.plan(1 << 40, MIB).lanes;
            let each = Duration::from_secs_f64((8 * MIB) as f64 / rate(lanes));
            *now += each;
            if awaited {
                pace.awaited();
            }
            pace.arrived(&Arrived { len: 8 * MIB, latency: Duration::ZERO, transfer: each }, *now);
            shares[lanes] += 1.0;
            parts += 1.0;
        }
        shares.map(|share| share / parts)
    }

    #[test]
    fn lanes_are_added_as_long_as_that_brings_something_and_somebody_waits() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(run(&mut pace, &mut now, 10, |_| 50e6, false)[LANES_START], 1.0);
        let shares = run(&mut pace, &mut now, 20, |lanes| 50e6 * lanes.min(16) as f64, true);
        assert!(shares[16] > 0.5 && shares[..16].iter().sum::<f64>() < 0.1, "{shares:?}");
        let shares = run(&mut pace, &mut now, 20, |lanes| 50e6 * lanes as f64, true);
        assert!(shares[LANES_MAX] > 0.7, "{shares:?}");
    }

    #[test]
    fn lanes_that_bring_nothing_are_given_up() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let shares = run(&mut pace, &mut now, 20, |_| 1e9, true);
        assert!(shares[LANES_START] > 0.7, "{shares:?}");
    }

    #[test]
    fn throttling_takes_lanes_away_and_they_come_back() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        pace.throttled(1, now);
        pace.throttled(1, now);
        assert_eq!(pace.plan(1 << 30, MIB).lanes, 3);
        for times in 2..9 {
            pace.throttled(times, now);
        }
        assert_eq!(pace.plan(1 << 30, MIB).lanes, 1);
        run(&mut pace, &mut now, 30, |lanes| 50e6 * lanes as f64, true);
        assert!(pace.plan(1 << 30, MIB).lanes >= LANES_START, "{pace:?}");
    }
}
