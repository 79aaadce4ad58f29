//! Owns `cargo xtask bench-gate`: the ratios of this commit beside those in `bench/ratios.tsv`.
//! Knows no second: a ratio is taken in one run, of this program and of something that does not change with it.
//!
//! It is no step of `cargo xtask test`: only a machine that does nothing else gives ratios that hold.

mod options;
mod ratios;
mod verdict;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::options::{Action, Options};
use self::ratios::{Accepted, Ratio, Ratios, parse_lines};
use self::verdict::{TOLERANCE, Verdict, judge, missing};
use crate::compare::paired::{self, Case, Extent};
use crate::compare::{self, Direction, Place, size_text};
use crate::results::{self, Machine};

/// Compares, and says what got worse, better, or is new: `[--directory DIR] [--size SIZE] [--accept]`.
///
/// The status is 0 where nothing got worse; 1 where something did, could not be measured, or was accepted and is not measured
/// any more; and 2 where the ratios that are accepted are those of another machine: then they are shown, and are no verdict.
/// With `--accept`, what was measured is written instead.
///
/// # Errors
/// Arguments that are not understood, a file that cannot be read or written, a measurement that fails.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<ExitCode, String> {
    let options = Options::parse(arguments)?;
    let machine = Machine::now(root);
    let mut accepted = read(root)?;
    let place = Place::new(&options.directory)?;
    let volume = Volume { root, cofferdam: compare::build(root)?, place, size: options.size };
    if options.action == Action::Accept {
        if let Some(doubt) = machine.doubt() {
            eprintln!("bench-gate: {doubt}: the ratios say so at their head, and are better taken again");
        }
        accepted.ratios.retain(|key, _| !volume.measures(key));
        write(root, &accepted.with(machine.name(), volume.measure(&[])?).text(&machine.line()))?;
        println!("{FILE} is written");
        return Ok(ExitCode::SUCCESS);
    }
    let findings = judge(&accepted.ratios, |keys| volume.measure(keys))?;
    for finding in &findings {
        println!("{finding}");
    }
    if accepted.machine != machine.name() {
        println!(
            "\nno verdict: {FILE} is of {:?}, and this machine is {:?}",
            accepted.machine,
            machine.name()
        );
        return Ok(ExitCode::from(OTHER_MACHINE));
    }
    let missing = missing(&accepted.ratios, &findings, |key| volume.measures(key));
    for key in &missing {
        println!("MISSING {key}: it is accepted, and was not measured");
    }
    let worse = findings.iter().filter(|finding| finding.verdict == Verdict::Worse).count();
    println!("\n{worse} of {} ratios got worse by more than {:.0} %", findings.len(), TOLERANCE * 100.0);
    Ok(if worse == 0 && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the ratios are taken.
struct Volume<'a> {
    root: &'a Path,
    cofferdam: PathBuf,
    place: Place,
    size: u64,
}

impl Volume<'_> {
    /// The ratios of these keys, or all where none is named.
    fn measure(&self, keys: &[&str]) -> Result<Ratios, String> {
        let wanted = |key: &str| keys.is_empty() || keys.contains(&key);
        let mut ratios = Ratios::new();
        if keys.is_empty() || keys.iter().any(|key| key.contains(IN_MEMORY)) {
            eprintln!("bench-gate: in memory");
            let arguments = [&["--tsv"], keys].concat();
            ratios = parse_lines(&results::bench(self.root, "ratios", &arguments, &self.place.directory)?)?;
        }
        for case in self.cases() {
            let key = self.key(case);
            if wanted(&key) {
                eprintln!("bench-gate: {key}");
                let extent = Extent { size: self.size, pairs: PAIRS, runs: RUNS };
                let of_pairs = paired::ratios(&self.place, &self.cofferdam, case, extent)?;
                ratios.insert(key, summary(of_pairs));
            }
        }
        if wanted(WIRE) {
            let overhead = paired::overhead(&self.place, &self.cofferdam, self.cases()[0], WIRE_SIZE)?;
            ratios.insert(WIRE.to_owned(), Ratio { median: overhead, spread: 0.0 });
        }
        Ok(ratios)
    }

    /// Whole processes: on a disk `cp` has to have synced as well.
    fn cases(&self) -> [Case; 4] {
        let other = if self.place.is_tmpfs() { "cp" } else { "cp-sync" };
        let case = |ours, direction| Case { ours, other, direction };
        [
            case("cofferdam", Direction::Restore),
            case("cofferdam", Direction::Seal),
            case("cofferdam-tags", Direction::Restore),
            case("cofferdam-tags", Direction::Seal),
        ]
    }

    fn key(&self, case: Case) -> String {
        let digest = if case.ours == "cofferdam-tags" { ".tags" } else { "" };
        format!("{}.{}{digest}.{}", case.direction.name(), self.extent(), case.other)
    }

    /// The words of a key that say where and how much.
    fn extent(&self) -> String {
        let place = if self.place.is_tmpfs() { "tmpfs" } else { "disk" };
        format!("{place}.{}", size_text(self.size).replace(' ', ""))
    }

    /// Whether a ratio of this key is taken here.
    fn measures(&self, key: &str) -> bool {
        key.contains(IN_MEMORY) || key.starts_with(ON_WIRE) || key.contains(&format!(".{}.", self.extent()))
    }
}

/// The median of the ratios and how far the middle half of them reaches.
fn summary(mut ratios: Vec<f64>) -> Ratio {
    ratios.sort_unstable_by(f64::total_cmp);
    let quartile = |part: usize| ratios[(ratios.len() - 1) * part / 4];
    Ratio { median: quartile(2), spread: (quartile(3) - quartile(1)) / quartile(2) }
}

fn read(root: &Path) -> Result<Accepted, String> {
    match fs::read_to_string(root.join(FILE)) {
        Ok(text) => Accepted::parse(&text).map_err(|error| format!("{FILE}: {error}")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Accepted::default()),
        Err(error) => Err(format!("cannot read {FILE}: {error}")),
    }
}

fn write(root: &Path, text: &str) -> Result<(), String> {
    fs::write(root.join(FILE), text).map_err(|error| format!("cannot write {FILE}: {error}"))
}

const FILE: &str = "bench/ratios.tsv";

/// The status where the ratios in the file are those of another machine.
const OTHER_MACHINE: u8 = 2;

/// What all keys have that the bench measures.
const IN_MEMORY: &str = ".memory.";

/// What sealing adds, at defaults, for one X25519 recipient.
const WIRE: &str = "wire.64MiB";
const ON_WIRE: &str = "wire.";
const WIRE_SIZE: u64 = 64 << 20;

/// Pairs of blocks, and runs of a block.
const PAIRS: usize = 5;
const RUNS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(file_system: &str) -> Volume<'static> {
        let place = Place {
            directory: "/here".into(),
            file_system: file_system.to_owned(),
            room: 0,
            room_in_memory: 0,
        };
        Volume { root: Path::new("/"), cofferdam: PathBuf::new(), place, size: 1 << 30 }
    }

    #[test]
    fn keys_say_what_where_how_much_and_beside_what() {
        let keys = |file_system| {
            let volume = volume(file_system);
            volume.cases().map(|case| volume.key(case))
        };
        assert_eq!(
            keys("tmpfs"),
            [
                "restore.tmpfs.1GiB.cp",
                "seal.tmpfs.1GiB.cp",
                "restore.tmpfs.1GiB.tags.cp",
                "seal.tmpfs.1GiB.tags.cp"
            ]
        );
        assert_eq!(keys("ext4")[0], "restore.disk.1GiB.cp-sync");
    }

    #[test]
    fn what_is_measured_is_of_the_place_and_the_size_or_of_neither() {
        let volume = volume("tmpfs");
        for case in volume.cases() {
            assert!(volume.measures(&volume.key(case)));
        }
        assert!(volume.measures("seal.memory.tags.1.bare") && volume.measures(WIRE));
        assert!(!volume.measures("seal.tmpfs.64MiB.cp") && !volume.measures("seal.disk.1GiB.cp-sync"));
    }

    #[test]
    fn a_ratio_is_the_median_and_its_spread_that_of_the_quartiles() {
        let ratio = summary(vec![3.0, 0.9, 1.0, 1.2, 0.5]);
        assert_eq!(ratio.median, 1.0);
        assert!((ratio.spread - 0.3).abs() < 1e-9, "{ratio:?}");
    }

    #[test]
    fn what_is_checked_in_can_be_read() {
        let accepted = read(&crate::repository_root()).unwrap();
        assert!(accepted.ratios.contains_key(WIRE), "{accepted:?}");
    }
}
