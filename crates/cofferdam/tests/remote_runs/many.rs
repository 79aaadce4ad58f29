//! Owns many restores in one process under one budget, and memory that is short for a while: less is in flight then, and none fails.
//! Knows nothing of what goes wrong on the way.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::remote::{RemoteOptions, RemoteSource};
use cofferdam::{
    Budget, Error, MemoryPressure, Observer, Opener, Pool, Progress, Remedy, Restored, SystemMemory,
};
use servers::{FaultProxy, Plan};

use crate::common::{policy, said, scratch};
use crate::runs::say;
use crate::stores::{Object, Store};
use crate::streams::{Stream, many, opener};

/// Restores `count` streams from S3, some at once. Where they are enough to be under way for long, memory gets short once they have
/// grown.
pub(crate) fn run(count: usize) {
    let begun = Instant::now();
    let stream = many();
    let object = Store::S3.object("many".to_owned());
    object.put(&stream.sealed);
    let proxy = FaultProxy::start(Store::S3.address(), Plan::none()).unwrap();
    let system = scratch();
    report_stalls(system.path(), 0);
    let heard = Arc::new(Heard::default());
    let at_once = AT_ONCE.min(count);
    let budget = Budget::new(at_once * BUDGET_OF_EACH);
    let restores = Restores {
        stream,
        object: &object,
        proxy: &proxy,
        left: Mutex::new(0..count),
        opener: opener()
            .pool(Pool::new(2.try_into().unwrap()).unwrap())
            .budget(budget.clone())
            .system_memory(SystemMemory::at(system.path()))
            .observer(heard.clone()),
    };
    let least = at_once * restores.needed();
    let (ends, shortage) = thread::scope(|scope| {
        let restorers: Vec<_> = (0..at_once).map(|_| scope.spawn(|| restores.some())).collect();
        let is_long = count >= LONG_FROM;
        let shortage = is_long.then(|| shortage(&proxy, &budget, system.path(), &heard, least));
        let ends: Vec<Vec<_>> = restorers.into_iter().map(|restorer| restorer.join().unwrap()).collect();
        (ends.concat(), shortage)
    });
    let failed: Vec<String> = ends.iter().filter_map(|end| end.clone().err()).collect();
    say(&format!(
        "\n{count} restores of {} MiB, {at_once} at once in {} MiB, {:.1} s: {} identical, {} failed",
        stream.sealed.len() >> 20,
        budget.total() >> 20,
        begun.elapsed().as_secs_f64(),
        ends.len() - failed.len(),
        failed.len(),
    ));
    if let Some(Shortage { before, during }) = shortage {
        let [before, during, least] = [before, during, least].map(|bytes| bytes >> 20);
        say(&format!(
            "  in flight {before} MiB, while memory is short {during} MiB; {least} MiB are the least"
        ));
    }
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!((ends.len(), budget.used()), (count, 0));
}

struct Restores<'a> {
    stream: &'a Stream,
    object: &'a Object,
    proxy: &'a FaultProxy,
    left: Mutex<std::ops::Range<usize>>,
    opener: Opener,
}

impl Restores<'_> {
    /// One after another, until none is left.
    fn some(&self) -> Vec<Result<(), String>> {
        let mut ends = Vec::new();
        while self.left.lock().unwrap().next().is_some() {
            ends.push(self.one());
        }
        ends
    }

    fn one(&self) -> Result<(), String> {
        let folder = scratch();
        let target = folder.path().join("target");
        self.restore(&self.opener, &target).map_err(|error| said(&error))?;
        match fs::read(target).unwrap() == self.stream.plaintext {
            true => Ok(()),
            false => Err("the target is not the plaintext".to_owned()),
        }
    }

    fn restore(&self, opener: &Opener, target: &Path) -> Result<Restored, Error> {
        let options = RemoteOptions::new().retries(policy(READ_TIMEOUT));
        let source = RemoteSource::open(self.object.place(self.proxy.address()), options).unwrap();
        opener.restore_to(source, target)
    }

    /// What a stream needs of a budget, as it says itself.
    fn needed(&self) -> usize {
        let refused = self.restore(&opener().memory(1), &scratch().path().join("target"));
        match refused.unwrap_err().remedy() {
            Some(Remedy::RaiseMemory { needed }) => needed as usize,
            other => panic!("{other:?}"),
        }
    }
}

/// Bytes in flight, before and while memory was short.
struct Shortage {
    before: usize,
    during: usize,
}

/// Makes memory short once the streams hold more than the least that they need, and has enough of it again once they do not.
fn shortage(proxy: &FaultProxy, budget: &Budget, system: &Path, heard: &Heard, least: usize) -> Shortage {
    proxy.link().set_bandwidth(BANDWIDTH);
    let grown = least + (budget.total() - least) / 2;
    let before = wait_for("the streams grow", || Some(budget.used()).filter(|&used| used > grown));
    report_stalls(system, 90);
    wait_for("the pressure is heard of", || heard.highest().filter(|&it| it == MemoryPressure::High));
    let during = wait_for("they give back", || Some(budget.used()).filter(|&used| used <= least));
    report_stalls(system, 0);
    proxy.link().set_bandwidth(0);
    Shortage { before, during }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The pressures that streams have told of.
#[derive(Default)]
struct Heard(Mutex<Vec<MemoryPressure>>);

impl Heard {
    fn highest(&self) -> Option<MemoryPressure> {
        self.0.lock().unwrap().iter().copied().max()
    }
}

impl Observer for Heard {
    fn progress(&self, _: &Progress) {}

    fn memory_pressure(&self, pressure: MemoryPressure) {
        self.0.lock().unwrap().push(pressure);
    }
}

/// Makes the system under `root` say that of the last ten seconds so many percent were lost for lack of memory.
fn report_stalls(root: &Path, percent: u32) {
    let pressure = root.join("proc/pressure");
    fs::create_dir_all(&pressure).unwrap();
    let line = |kind| format!("{kind} avg10={percent}.00 avg60=0.00 avg300=0.00 total=0\n");
    // In one step: a stream may be reading it.
    fs::write(pressure.join("new"), [line("some"), line("full")].concat()).unwrap();
    fs::rename(pressure.join("new"), pressure.join("memory")).unwrap();
}

/// How many are under way at once. Each that ends makes room for another.
const AT_ONCE: usize = 20;

/// Bytes of the budget for each of them: about twice what it needs.
const BUDGET_OF_EACH: usize = 256 * (1 << 20) / AT_ONCE;

/// From how many on memory gets short: fewer might be done before.
const LONG_FROM: usize = 100;

/// Bytes per second of each connection: a stream takes seconds.
const BANDWIDTH: u64 = 1 << 20;

const READ_TIMEOUT: Duration = Duration::from_secs(15);

const DEADLINE: Duration = Duration::from_secs(120);
