//! A mapped file on a disk that loses power at every call, and on one whose calls fail.
//! Knows nothing of how the sink sees to what must hold.
mod crash;

use crash::{Goal, chosen, mapped::MappedRestore, sweep_crashes, sweep_faults};

#[test]
fn whatever_a_power_cut_leaves_the_target_is_old_or_new_and_can_be_written_again() {
    let (ordinary, full) =
        (Goal { states: 10_000, deep_states: 2_000 }, Goal { states: 100_000, deep_states: 30_000 });
    sweep_crashes("mapped file", &chosen(ordinary, full), MappedRestore::new);
}

#[test]
fn whichever_call_fails_the_target_is_old_or_new_and_the_next_attempt_succeeds() {
    sweep_faults("mapped file", MappedRestore::new);
}
