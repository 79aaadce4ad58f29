//! The programs that these tests call, which not every machine has.

use std::io::{self, Write};
use std::path::Path;

/// Whether all of `programs` are on the search path, and all of `headers` where Debian has them. Where one is not, the test that asks returns,
/// and this has said so on the terminal. `cargo xtask test` does not begin without them.
pub(crate) fn has(programs: &[&str], headers: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        |program: &&&str| !std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let here = |header: &&&str| !Path::new("/usr/include").join(header).exists();
    let missing = programs.iter().find(on_path).or_else(|| headers.iter().find(here));
    if let Some(missing) = missing {
        skipped(&format!("no {missing} here; `cargo xtask setup` installs it"));
    }
    missing.is_none()
}

/// Says on the terminal that the test that asks cannot be done here, and why.
pub(crate) fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    // Not captured, as what `eprintln!` prints would be.
    let _ = writeln!(io::stderr(), "skipped {test}: {why}");
}
