//! The sweeps: a trial cut short by a power cut at every call, by another while it recovers, and by calls that fail.
//! Knows neither the trial's work nor what makes it right.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use parking_lot::Mutex;

use super::{
    CrashState, CrashStates, Done, Failure, Fault, FaultPlan, HookedStorage, Operation, Promises,
    SimulatedDisk, Times, Trial,
};

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Crash states that are recovered at each call, at most; more are thinned out evenly.
    pub states_max: usize,
    /// Of so many of them one is crashed again, at every call of its recovery; 0 for none.
    pub deep_every: usize,
    /// Crash states that are recovered at each call of a recovery, at most: of one from a power cut,
    pub deep_states_max: usize,
    /// and of one from a kill.
    pub killed_states_max: usize,
    /// Decides which subsets are tried where there are too many.
    pub seed: u64,
}

/// What was tried, and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Calls at which the power was cut.
    pub points: usize,
    /// Disks that a power cut left, each recovered from.
    pub states: usize,
    /// Disks that a second power cut left, during the recovery from a first.
    pub deep_states: usize,
    /// Disks that a power cut left, during the recovery from a kill.
    pub killed_states: usize,
    /// Attempts with a call that failed.
    pub faults: usize,
    /// What did not hold, and where: the first of them.
    pub violations: Vec<String>,
    /// How many they are in all.
    pub violation_count: usize,
}

/// Cuts the power at every call that changes the disk, and recovers from every disk that this may leave.
pub fn crashes<T: Trial>(trial: &T, extent: &Extent) -> Report {
    let mut report = Report::default();
    let points = match points(trial, &trial.disk(), 0, extent.seed) {
        Ok(points) => points,
        Err(failure) => {
            report.violate(format!("undisturbed: {failure}"));
            return report;
        }
    };
    report.points = points.len();
    let work: Vec<(usize, usize)> = points
        .iter()
        .enumerate()
        .flat_map(|(point, at)| thinned(at.states.len(), extent.states_max).map(move |state| (point, state)))
        .collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(report));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Report::default();
                loop {
                    // Hands out numbers; what they lead to was there before the threads were.
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((point, state)) = work.get(number) else { break };
                    let deep = extent.deep_every > 0 && number % extent.deep_every == 0;
                    points[*point].try_state(trial, *state, deep.then_some(extent), &mut own);
                    if *state == 0 {
                        points[*point].try_kill(trial, extent, &mut own);
                    }
                }
                found.lock().merge(own);
            });
        }
    });
    found.into_inner()
}

/// Makes each call fail in turn, in every way, once and for ever; then takes the power, or tries again.
pub fn faults<T: Trial>(trial: &T, extent: &Extent) -> Report {
    let mut report = Report::default();
    for fault in Fault::ALL {
        for times in [Times::Once, Times::ForEver] {
            for call in 1..=CALLS_MAX {
                let plan = Arc::new(FaultPlan::new(call, fault, times));
                fail_once(
                    trial,
                    plan.clone(),
                    &format!("call {call} fails, {fault:?} {times:?}"),
                    extent,
                    &mut report,
                );
                if plan.calls() < call {
                    break;
                }
            }
        }
    }
    report
}

/// A call of an attempt, and the disks that a power cut just before it may leave.
struct Point {
    place: String,
    killed: SimulatedDisk,
    states: CrashStates,
    promised: u64,
    done: bool,
}

/// Runs an attempt, and takes down the disks that a power cut may leave at each call and at its end.
fn points<T: Trial>(
    trial: &T,
    disk: &SimulatedDisk,
    promised: u64,
    seed: u64,
) -> Result<Vec<Point>, Failure> {
    let promises = Arc::new(Promises::after(promised));
    let points = Arc::new(Mutex::new(Vec::new()));
    let hooked = {
        let (disk, promises, points) = (disk.clone(), promises.clone(), points.clone());
        HookedStorage::new(Arc::new(disk.clone()), move |call| {
            if call.operation.changes() {
                let mut points = points.lock();
                let place = place(points.len(), call.operation);
                points.push(Point::at(place, &disk, seed, promises.made(), false));
            }
            None
        })
    };
    let done = trial.attempt(Arc::new(hooked), &promises)?;
    trial.check(disk, true).map_err(Failure::Wrong)?;
    let mut points = std::mem::take(&mut *points.lock());
    points.push(Point::at("at its end".into(), disk, seed, promises.made(), done == Done::Now));
    Ok(points)
}

impl Point {
    fn at(place: String, disk: &SimulatedDisk, seed: u64, promised: u64, done: bool) -> Point {
        Point { place, killed: disk.after_kill(), states: disk.crash_states(seed), promised, done }
    }

    /// Recovers from one of the states; with an extent, crashes that recovery too.
    fn try_state<T: Trial>(&self, trial: &T, index: usize, deep: Option<&Extent>, report: &mut Report) {
        let state = self.states.state(index);
        report.states += 1;
        if let Err(what) = self.recover(trial, &state) {
            report.violate(format!("{}, {state}: {what}", self.place));
            return;
        }
        if let Some(extent) = deep {
            let first = format!("{}, {state}", self.place);
            let disk = self.states.state(index).disk;
            report.deep_states +=
                self.crash_recovery(trial, &disk, &first, extent.deep_states_max, extent.seed, report);
        }
    }

    /// Kills the attempt here, and takes the power from the next one.
    fn try_kill<T: Trial>(&self, trial: &T, extent: &Extent, report: &mut Report) {
        let first = format!("killed {}", self.place);
        if let Err(what) = trial.check(&self.killed, self.done) {
            return report.violate(format!("{first}: {what}"));
        }
        let disk = self.killed.after_kill();
        report.killed_states +=
            self.crash_recovery(trial, &disk, &first, extent.killed_states_max, extent.seed, report);
    }

    /// Recovers, and takes the power at each call of it. Counts the states.
    fn crash_recovery<T: Trial>(
        &self,
        trial: &T,
        disk: &SimulatedDisk,
        first: &str,
        states_max: usize,
        seed: u64,
        report: &mut Report,
    ) -> usize {
        let inner = match points(trial, disk, self.promised, seed) {
            Ok(inner) => inner,
            Err(failure) => {
                report.violate(format!("{first}: {failure}"));
                return 0;
            }
        };
        let mut count = 0;
        for point in inner {
            for index in thinned(point.states.len(), states_max) {
                let second = point.states.state(index);
                count += 1;
                if let Err(what) = point.recover(trial, &second) {
                    report.violate(format!("{first}; then {}, {second}: {what}", point.place));
                }
            }
        }
        count
    }

    fn recover<T: Trial>(&self, trial: &T, state: &CrashState) -> Result<(), String> {
        trial.check(&state.disk, self.done).map_err(|what| format!("before recovery: {what}"))?;
        let promises = Promises::after(self.promised);
        trial.attempt(Arc::new(state.disk.clone()), &promises).map_err(|failure| failure.to_string())?;
        trial.check(&state.disk, true).map_err(|what| format!("after recovery: {what}"))
    }
}

/// One attempt with a plan of faults.
fn fail_once<T: Trial>(trial: &T, plan: Arc<FaultPlan>, place: &str, extent: &Extent, report: &mut Report) {
    report.faults += 1;
    let (disk, promises) = (trial.disk(), Promises::default());
    let storage = Arc::new(disk.failing(plan));
    let ended = catch_unwind(AssertUnwindSafe(|| trial.attempt(storage, &promises)));
    let done = match ended {
        Ok(Ok(_)) => true,
        Ok(Err(Failure::Refused(_))) => false,
        Ok(Err(failure)) => return report.violate(format!("{place}: {failure}")),
        Err(_) => return report.violate(format!("{place}: P4: panicked")),
    };
    if let Err(what) = trial.check(&disk, done) {
        return report.violate(format!("{place}: {what}"));
    }
    let point = Point::at(place.into(), &disk, extent.seed, promises.made(), done);
    for index in thinned(point.states.len(), extent.deep_states_max) {
        point.try_state(trial, index, None, report);
    }
    // Tried again where the power stayed: what memory holds may be better than what the medium has.
    let again = points(trial, &disk, promises.made(), extent.seed);
    let point = match again.map(|mut points| points.pop()) {
        Ok(Some(point)) => Point { place: format!("{place}; tried again, {}", point.place), ..point },
        Ok(None) => return,
        Err(failure) => return report.violate(format!("{place}; tried again: {failure}")),
    };
    for index in thinned(point.states.len(), extent.deep_states_max) {
        point.try_state(trial, index, None, report);
    }
}

impl Report {
    /// Adds another sweep's.
    pub fn merge(&mut self, other: Report) {
        self.points += other.points;
        self.states += other.states;
        self.deep_states += other.deep_states;
        self.killed_states += other.killed_states;
        self.faults += other.faults;
        self.violation_count += other.violation_count;
        let room = VIOLATIONS_MAX.saturating_sub(self.violations.len());
        self.violations.extend(other.violations.into_iter().take(room));
    }

    /// # Panics
    /// Something did not hold. For tests.
    pub fn assert_clean(&self) {
        assert!(self.violation_count == 0, "{}\n{self}", self.violations.join("\n"));
    }

    fn violate(&mut self, what: String) {
        self.violation_count += 1;
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "points {}, crash states recovered {}, two deep {}, after a kill {}, attempts with a failing call {}, \
             violations {}",
            self.points, self.states, self.deep_states, self.killed_states, self.faults, self.violation_count
        )
    }
}

/// Up to `max` of `count` numbers, evenly spread, the first and the last among them.
fn thinned(count: usize, max: usize) -> impl Iterator<Item = usize> {
    let taken = count.min(max);
    (0..taken).map(move |number| if taken < 2 { 0 } else { number * (count - 1) / (taken - 1) })
}

fn place(number: usize, operation: Operation) -> String {
    format!("before change {} ({operation:?})", number + 1)
}

/// Violations that are kept with their words.
const VIOLATIONS_MAX: usize = 20;

/// A trial makes fewer calls than this.
const CALLS_MAX: u64 = 100_000;

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use contract::IfExists;
    use storage::Storage;

    use super::*;

    /// Replaces a file as a whole, with a step left out.
    struct Replace {
        left_out: Option<Operation>,
    }

    impl Trial for Replace {
        fn disk(&self) -> SimulatedDisk {
            let disk = SimulatedDisk::new();
            disk.put("file", b"old");
            disk
        }

        fn attempt(&self, storage: Arc<dyn Storage>, promises: &Promises) -> Result<Done, Failure> {
            let (made, name) = (OsStr::new("file~"), OsStr::new("file"));
            if storage.open(made)?.is_some() {
                storage.remove(made)?;
            }
            let file = storage.create(made)?;
            file.write_all_at(b"new", 0)?;
            file.copy_metadata_from(name, IfExists::Replace)?;
            let does = |step| self.left_out != Some(step);
            if does(Operation::SyncAll) {
                match (file.sync_all(), does(Operation::CopyMetadata)) {
                    (Err(_), false) => file.sync_all()?, // the mistake that `Operation::CopyMetadata` stands for here
                    (result, _) => result?,
                }
            }
            storage.rename(made, name, IfExists::Replace)?;
            if does(Operation::Sync) {
                storage.sync()?;
            }
            promises.make(1);
            Ok(Done::Now)
        }

        fn check(&self, disk: &SimulatedDisk, done: bool) -> Result<(), String> {
            match disk.contents("file").as_deref() {
                Some(b"new") => Ok(()),
                Some(b"old") if !done => Ok(()),
                found => Err(format!("{found:?}")),
            }
        }
    }

    const EXTENT: Extent =
        Extent { states_max: 4096, deep_every: 1, deep_states_max: 4096, killed_states_max: 4096, seed: 1 };

    #[test]
    fn work_in_the_right_order_stands_everything_and_the_states_are_as_many_as_can_be_counted_by_hand() {
        let right = Replace { left_out: None };
        let report = crashes(&right, &EXTENT);
        report.assert_clean();
        // Before create, write, metadata, sync, rename, sync, and at the end, the name, the length, the bytes, the
        // metadata and the rename are pending one after another: 1 + 2 + 8 + 16 + 2 + 4 + 1.
        assert_eq!((report.points, report.states), (7, 34));
        assert!(report.deep_states > 34 && report.killed_states > 34, "{report}");
        let report = faults(&right, &EXTENT);
        report.assert_clean();
        // Seven calls, and an attempt that no fault strikes since it makes no eighth: in four ways, once and for ever.
        assert_eq!(report.faults, 8 * 4 * 2);
    }

    #[test]
    fn each_step_that_is_left_out_is_found() {
        for step in [Operation::SyncAll, Operation::Sync] {
            let report = crashes(&Replace { left_out: Some(step) }, &EXTENT);
            assert!(report.violation_count > 0, "{step:?}: {report}");
        }
        let retried = Replace { left_out: Some(Operation::CopyMetadata) };
        crashes(&retried, &EXTENT).assert_clean();
        assert!(faults(&retried, &EXTENT).violation_count > 0, "a sync that was tried again");
    }
}
