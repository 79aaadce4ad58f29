//! A log that is replayed into a file, on a disk that loses power at every call, and on one whose calls fail.
//! Knows nothing of how the sink sees to what must hold.
mod crash;

use crash::{Goal, Killed, chosen, sweep_crashes, sweep_faults, wal::LogRestore};

#[test]
fn whatever_a_power_cut_leaves_the_log_goes_on_behind_what_was_durable_and_the_target_becomes_whole() {
    let ordinary = Goal { states: 40_000, deep_states: 10_000 };
    let full = Goal { states: 900_000, deep_states: 250_000 };
    sweep_crashes("log", &chosen(ordinary, full), LogRestore::new);
}

#[test]
fn whichever_call_fails_nothing_that_was_durable_is_lost_and_the_next_attempt_succeeds() {
    sweep_faults("log", LogRestore::new);
    sweep_faults("log, gone on with", |number| Killed::new(LogRestore::new(number), number));
}
