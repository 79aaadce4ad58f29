//! The models, each a claim about one of the files, with the canaries that show that it can fail.
//! It knows how a model is run: every interleaving, with so many preemptions.

use std::any::type_name;
use std::env;
use std::process::Command;

mod cancel;
mod gate;
mod mailbox;
mod marks;
mod order;

/// Runs `model` in every interleaving with at most [`PREEMPTIONS_MAX`] preemptions. Panics where one fails.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(model);
}

/// Runs `model` of a broken copy, which has to fail with a message that has `symptom` in it.
///
/// It runs in a process of its own, which runs the calling test alone: loom cannot unwind out of a deadlock, and aborts.
fn check_catches<M: Fn() + Send + Sync + 'static>(symptom: &str, model: M) {
    if env::var_os(IN_CHILD).is_some() {
        return check(model);
    }
    let mut path = type_name::<M>().split("::").skip(1);
    let test = path.by_ref().take_while(|part| *part != "{{closure}}").collect::<Vec<_>>().join("::");
    let child = Command::new(env::current_exe().expect("a test knows its file"))
        .args([&test, "--exact", "--nocapture", "--test-threads=1"])
        .env(IN_CHILD, "1")
        .output()
        .expect("a test can be run again");
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success(), "the model misses the fault");
    assert!(said.contains(symptom), "it failed otherwise than it should: {said}");
}

/// Two are enough for every fault that the canaries hold; the third is for those that nobody thought of.
const PREEMPTIONS_MAX: usize = 3;
/// How loom names a model in which everyone waits.
const DEADLOCK: &str = "deadlock";
/// Set for a process that is to run a broken model itself.
const IN_CHILD: &str = "COFFERDAM_LOOM_CANARY";
