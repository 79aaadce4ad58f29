//! Owns that runs go on several at once, each within a deadline, and what is printed of them in the end.
//! Knows nothing of what a run does.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use servers::FaultKind;

/// What one run has shown.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Scenario and end, in words.
    pub(crate) end: String,
    pub(crate) requests: u64,
    pub(crate) faults: BTreeMap<FaultKind, u64>,
    /// What must not be, each with what was expected.
    pub(crate) violations: Vec<String>,
}

/// Runs each seed of `seeds`, prints what was seen, and fails where anything was wrong.
pub(crate) fn run_all(what: &str, seeds: Range<u64>, run: fn(u64) -> Shown) {
    let begun = Instant::now();
    let (done, ends) = mpsc::channel();
    let count = seeds.end - seeds.start;
    let left = std::sync::Arc::new(std::sync::Mutex::new(seeds));
    for _ in 0..AT_ONCE {
        let (left, done) = (std::sync::Arc::clone(&left), done.clone());
        thread::spawn(move || {
            loop {
                let Some(seed) = left.lock().unwrap().next() else {
                    return;
                };
                done.send((seed, within_deadline(seed, run))).unwrap();
            }
        });
    }
    drop(done);
    let (mut ends_by, mut faults, mut requests, mut violations) =
        (BTreeMap::<String, u64>::new(), BTreeMap::<FaultKind, u64>::new(), 0, Vec::new());
    for (seed, shown) in ends {
        *ends_by.entry(shown.end).or_default() += 1;
        requests += shown.requests;
        for (kind, count) in shown.faults {
            *faults.entry(kind).or_default() += count;
        }
        for violation in shown.violations {
            let violation = format!("seed {seed}: {violation}");
            say(&format!("VIOLATION {what}: {violation}"));
            violations.push(violation);
        }
    }
    say(&format!("\n{count} {what}, {requests} requests, {:.1} s", begun.elapsed().as_secs_f64()));
    for (end, count) in &ends_by {
        say(&format!("  {end:<48}{count:>6}"));
    }
    let faults: Vec<String> = faults.iter().map(|(kind, count)| format!("{kind:?} {count}")).collect();
    say(&format!("  faults: {}; violations {}", faults.join(", "), violations.len()));
    assert_eq!(ends_by.values().sum::<u64>(), count);
    assert!(violations.is_empty(), "{} violations, the first: {}", violations.len(), violations[0]);
}

/// A run that does not end is left behind: its thread cannot be stopped.
fn within_deadline(seed: u64, run: fn(u64) -> Shown) -> Shown {
    let (done, end) = mpsc::channel();
    let runner = thread::Builder::new().name(format!("seed {seed}")).spawn(move || done.send(run(seed)));
    runner.unwrap();
    end.recv_timeout(DEADLINE).unwrap_or_else(|error| Shown {
        end: format!("no end: {error}"),
        violations: vec![format!("no end within {DEADLINE:?}: {error}")],
        ..Shown::default()
    })
}

/// Not captured, as what `println!` prints would be.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// They wait more than they work.
const AT_ONCE: usize = 6;

/// Many times what the longest run takes.
const DEADLINE: Duration = Duration::from_secs(600);
