//! Owns `cargo xtask compare`: whole processes beside `cp`, in turn, as tables.
//! Knows nothing of what the programs do inside: wall time, processor time and peak memory are taken from outside.

pub(crate) mod contestant;
mod entries;
mod far;
mod input;
mod memory;
mod options;
mod place;
mod scratch;
mod size;
mod table;
pub(crate) mod timed;
mod trees;
pub(crate) mod volume;

use std::path::{Path, PathBuf};

use self::options::Options;
use crate::results::Machine;
use crate::steps;

pub(crate) use self::entries::{run as memory_of_trees, write_archive};
pub(crate) use self::far::run as from_far;
pub(crate) use self::memory::run as memory;
pub(crate) use self::place::Place;
pub(crate) use self::size::{parse_size, size_text};
pub(crate) use self::trees::run as trees;

/// Compares what `arguments` choose and gives the tables.
///
/// # Errors
/// Arguments that are not understood; too little room; a program that fails or restores other bytes than it sealed.
pub(crate) fn run(root: &Path, machine: &Machine, arguments: &[&str]) -> Result<String, String> {
    let options = Options::parse(arguments)?;
    let cofferdam = build(root)?;
    let (contestants, missing) = contestant::present(&options.only);
    for advice in &missing {
        eprintln!("{advice}");
    }
    let mut text = machine.stamp();
    for directory in &options.directories {
        for &size in &options.sizes {
            let place = Place::new(directory)?;
            let tables = table::compare(&place, size, &contestants, &cofferdam, options.effort)?;
            text.push_str(&format!("\n\n{tables}"));
        }
    }
    Ok(text)
}

/// Builds the program as users have it, and says where it is.
///
/// # Errors
/// It does not build.
pub(crate) fn build(root: &Path) -> Result<PathBuf, String> {
    match steps::cargo(root).args(["build", "--quiet", "--release", "-p", "cofferdam-cli"]).status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("the program does not build: {status}")),
        Err(error) => return Err(format!("cannot start cargo: {error}")),
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    program(&root.join(target).join("release/cofferdam"))
}

/// The program at `path`, from the root: it is started in other folders.
///
/// # Errors
/// It is not there.
pub(crate) fn program(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|error| format!("there is no program {}: {error}", path.display()))
}
