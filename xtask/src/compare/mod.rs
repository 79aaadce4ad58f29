//! Owns `cargo xtask compare`: whole processes beside each other, in one run, as tables and charts.
//! Knows nothing of what the programs do inside: wall time, processor time and peak memory are taken from outside.

mod chart;
mod contestant;
mod contestants;
mod fixture;
mod group;
mod input;
mod memory;
mod options;
pub(crate) mod paired;
mod place;
mod rounds;
mod scratch;
mod size;
mod table;
pub(crate) mod timed;

use std::path::{Path, PathBuf};

use self::group::{Group, Plan};
use self::input::Kind;
use self::options::{Options, Output};
use crate::results::{self, Machine};
use crate::steps;

pub(crate) use self::contestant::Direction;
pub(crate) use self::memory::run as memory;
pub(crate) use self::place::Place;
pub(crate) use self::size::{parse_size, size_text};

/// Compares what `arguments` choose, prints the tables, and writes them where that is asked for. `machine` is as it was
/// before.
///
/// # Errors
/// Arguments that are not understood; too little room; a program that fails or restores other bytes than it sealed.
pub(crate) fn run(root: &Path, machine: &Machine, arguments: &[&str]) -> Result<(), String> {
    let options = Options::parse(arguments)?;
    let cofferdam = build(root)?;
    let (contestants, missing) = contestants::present(&options.only);
    for advice in &missing {
        eprintln!("{advice}");
    }
    let mut sections: Vec<(&'static str, String)> = Vec::new();
    for directory in &options.directories {
        for &size in &options.sizes {
            for &kind in &options.kinds {
                let Options { order, limits, .. } = options;
                let plan = Plan { place: Place::new(directory)?, kind, size, order, limits };
                let group = Group::measure(plan, &contestants, &cofferdam)?;
                let text = format!("{}\n\n{}", machine.stamp(), table::markdown(&group));
                println!("{text}");
                if options.output == Output::Write {
                    write_chart(root, &group)?;
                }
                add(&mut sections, section(&group.plan), &text);
            }
        }
    }
    match options.output {
        Output::Print => Ok(()),
        Output::Write => sections.iter().try_for_each(|(name, text)| results::replace(root, name, text)),
    }
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
    let program = root.join(target).join("release/cofferdam");
    program
        .canonicalize()
        .map_err(|error| format!("{} was built and is not there: {error}", program.display()))
}

/// The section of `bench/RESULTS.md` that a group belongs to.
fn section(plan: &Plan) -> &'static str {
    match (plan.kind, plan.place.is_tmpfs(), plan.size >= LARGE) {
        (Kind::Random | Kind::Zeros, _, _) => "inputs",
        (Kind::Real, true, false) => "tmpfs",
        (Kind::Real, true, true) => "tmpfs-large",
        (Kind::Real, false, false) => "disk",
        (Kind::Real, false, true) => "disk-large",
    }
}

/// Groups of one section stand one behind the other.
fn add(sections: &mut Vec<(&'static str, String)>, name: &'static str, text: &str) {
    match sections.iter_mut().find(|(section, _)| *section == name) {
        Some((_, so_far)) => *so_far = format!("{so_far}\n{text}"),
        None => sections.push((name, text.to_owned())),
    }
}

/// The chart of a group beside the results, which show those of [`CHARTED`].
fn write_chart(root: &Path, group: &Group) -> Result<(), String> {
    let name = section(&group.plan);
    if !CHARTED.contains(&name) {
        return Ok(());
    }
    let path = root.join(format!("bench/compare-{name}.svg"));
    std::fs::write(&path, chart::svg(group))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Sections of one group, which people look at first.
const CHARTED: [&str; 2] = ["tmpfs", "disk"];

/// From here on a size is a section of its own: it does not fit the page cache three times.
const LARGE: u64 = 4 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_one_section_stand_together() {
        let mut sections = Vec::new();
        for (name, text) in [("inputs", "a\n"), ("tmpfs", "b\n"), ("inputs", "c\n")] {
            add(&mut sections, name, text);
        }
        assert_eq!(sections, [("inputs", "a\n\nc\n".to_owned()), ("tmpfs", "b\n".to_owned())]);
    }

    #[test]
    fn a_group_belongs_to_the_section_of_its_place_its_size_and_its_bytes() {
        let mut plan = group::made_up(&[("cp", &[1])]).plan;
        assert_eq!(section(&plan), "tmpfs");
        plan.size = 8 << 30;
        assert_eq!(section(&plan), "tmpfs-large");
        plan.place.file_system = "ext4".to_owned();
        assert_eq!(section(&plan), "disk-large");
        plan.size = 1 << 30;
        assert_eq!(section(&plan), "disk");
        plan.kind = Kind::Zeros;
        assert_eq!(section(&plan), "inputs");
    }
}
