//! A staged file with its journal, on a disk that loses power at every call, and on one whose calls fail.
//! Knows nothing of how the sink sees to what must hold.
mod crash;

use crash::{Goal, Killed, chosen, staged::StagedRestore, sweep_crashes, sweep_faults};

#[test]
fn whatever_a_power_cut_leaves_the_target_is_old_or_new_and_what_was_durable_is_kept() {
    let ordinary = Goal { states: 60_000, deep_states: 15_000 };
    let full = Goal { states: 1_200_000, deep_states: 400_000 };
    sweep_crashes("staged file", &chosen(ordinary, full), StagedRestore::new);
}

#[test]
fn whichever_call_fails_nothing_that_was_durable_is_lost_and_the_next_attempt_succeeds() {
    sweep_faults("staged file", StagedRestore::new);
    let killed = |number| Killed::new(StagedRestore::new(number), number);
    sweep_faults("staged file, gone on with", killed);
}
