//! Mistakes planted in the sinks, one after another: the sweeps of the crash tests find each of them.
//! Knows where no mistake is planted. One test, since a planted mistake is planted for the whole process.
#![cfg(debug_assertions)]

mod crash;

use std::panic::{AssertUnwindSafe, catch_unwind};

use contract::seeded::{Bug, plant};
use crash::{SEED, mapped::MappedRestore, staged::StagedRestore, wal::LogRestore};
use testing::simulation::{Extent, Trial, crashes, faults};

#[test]
fn each_planted_mistake_is_found_and_nothing_is_where_none_is_planted() {
    let table: [(Bug, Check); 13] = [
        (Bug::StagingSyncSkipped, staged),
        (Bug::MarkBeforeData, staged),
        (Bug::SyncRetried, staged),
        (Bug::FootingSkipped, staged),
        (Bug::BothSlotsAtOnce, staged),
        (Bug::IntentMissing, staged),
        (Bug::RenameBeforeSync, staged),
        (Bug::DirectorySyncMissing, staged),
        (Bug::CacheBelieved, staged),
        (Bug::LinkBeforeSync, mapped),
        (Bug::LsnBeforeRecords, log),
        (Bug::TornTailBelieved, log),
        (Bug::ReplayUnsynced, log),
    ];
    for check in [staged, mapped, log] {
        check().expect("nothing is planted");
    }
    let mut missed = Vec::new();
    for (bug, check) in table {
        let planted = plant(bug);
        match check() {
            Ok(()) => missed.push(bug),
            Err(first) => println!("seeded {bug:?}: found: {first}"),
        }
        drop(planted);
    }
    println!("seeded bugs of the sinks: {} planted, {} found", table.len(), table.len() - missed.len());
    assert!(missed.is_empty(), "not found: {missed:?}");
}

type Check = fn() -> Result<(), String>;

fn staged() -> Result<(), String> {
    swept(StagedRestore::new)
}

fn mapped() -> Result<(), String> {
    swept(MappedRestore::new)
}

fn log() -> Result<(), String> {
    swept(LogRestore::new)
}

/// Sweeps as the crash tests do, over a few trials; gives the first thing that did not hold.
fn swept<T: Trial>(make: impl Fn(u64) -> T) -> Result<(), String> {
    let extent =
        Extent { states_max: 256, deep_every: 0, deep_states_max: 12, killed_states_max: 8, seed: SEED };
    for number in 0..TRIALS {
        let trial = make(number);
        for sweep in [crashes::<T>, faults::<T>] {
            let report = catch_unwind(AssertUnwindSafe(|| sweep(&trial, &extent)));
            let report = report.map_err(|_| "P4: panicked".to_owned())?;
            if let Some(first) = report.violations.into_iter().next() {
                return Err(format!("trial {number}: {first}"));
            }
        }
    }
    Ok(())
}

const TRIALS: u64 = 12;
