//! The programs that some tests call, which not every machine has.

use std::io::{self, Write};

/// Whether `program` is on the search path. Where it is not, the test that asks returns, and this has said so on the
/// terminal. `cargo xtask test` does not begin without them.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        skipped(&format!("no {program} here; `cargo xtask setup` installs it"));
    }
    found
}

/// Says on the terminal that the test that asks cannot be done here, and why.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    // Not captured, as what `eprintln!` prints would be.
    let _ = writeln!(io::stderr(), "skipped {test}: {why}");
}
