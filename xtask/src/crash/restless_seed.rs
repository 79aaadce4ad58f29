//! Owns the long run of restores over a seed that is changed, cut or replaced meanwhile; the short one is among the tests.

use super::{Extent, Setting};
use crate::steps;

/// Runs the test of it in its full extent, or leaves it to the tests.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    if setting.extent == Extent::Short {
        return Ok(());
    }
    let mut cargo = steps::cargo(&setting.root);
    cargo.args(["test", "-p", "cofferdam", "--test", "seed", "--", "never_changes_the_target"]);
    let status = cargo.env("COFFERDAM_CRASH_STATES", "full").status();
    match status.map_err(|error| format!("cannot start cargo: {error}"))?.success() {
        true => Ok(()),
        false => Err("restores over a seed that changes meanwhile failed".into()),
    }
}
