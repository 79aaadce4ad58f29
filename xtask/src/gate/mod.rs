//! Owns `cargo xtask bench-gate`: the ratios of this commit beside those in `bench/ratios.tsv`, or beside an earlier program.
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

use harness::{Effort, Summary, WarmUp, ratio};

use self::options::{Action, Options};
use self::ratios::{Accepted, Ratio, Ratios, parse_lines};
use self::verdict::{TOLERANCE, Verdict, judge, missing};
use crate::compare::contestant::{self, Direction};
use crate::compare::volume::{Fixture, Volume, in_turn, walls};
use crate::compare::{self, Place, size_text};
use crate::results::{self, Machine};

/// Compares, and says what got worse, better, or is new:
/// `[--directory DIR] [--size SIZE] [--accept | --against PROGRAM]`.
///
/// The status is 0 where nothing got worse; 1 where something did, could not be measured, or was accepted and is not measured
/// any more; and 2 where the ratios that are accepted are those of another machine: then they are shown, and are no verdict.
/// With `--accept`, what was measured is written instead. With `--against`, the rows of files are judged beside that earlier
/// program, which takes turns with this one, on whatever machine.
///
/// # Errors
/// Arguments that are not understood, a file that cannot be read or written, a measurement that fails.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<ExitCode, String> {
    let Options { directory, size, action } = Options::parse(arguments)?;
    let machine = Machine::now(root);
    let mut accepted = read(root)?;
    let place = Place::new(&directory)?;
    let earlier = match &action {
        Action::Against(path) => Some(compare::program(path)?),
        Action::Compare | Action::Accept => None,
    };
    let gate = Gate { root, cofferdam: compare::build(root)?, earlier, place, size };
    if action == Action::Accept {
        if let Some(doubt) = machine.doubt() {
            eprintln!("bench-gate: {doubt}: the ratios say so at their head, and are better taken again");
        }
        accepted.ratios.retain(|key, _| !gate.measures(key));
        write(root, &accepted.with(machine.name(), gate.measure(&[])?).text(&machine.line()))?;
        println!("{FILE} is written");
        return Ok(ExitCode::SUCCESS);
    }
    let same_machine = accepted.machine == machine.name();
    gate.report(accepted, same_machine)
}

/// Where the ratios are taken, and of what.
struct Gate<'a> {
    root: &'a Path,
    cofferdam: PathBuf,
    earlier: Option<PathBuf>,
    place: Place,
    size: u64,
}

/// Whole processes: ours, beside what does not change with it.
#[derive(Clone, Copy)]
struct Case {
    ours: &'static str,
    direction: Direction,
}

const CASES: [Case; 4] = [
    Case { ours: "cofferdam", direction: Direction::Restore },
    Case { ours: "cofferdam", direction: Direction::Seal },
    Case { ours: TAGS, direction: Direction::Restore },
    Case { ours: TAGS, direction: Direction::Seal },
];

impl Gate<'_> {
    /// Measures, prints what came of it, and judges.
    fn report(&self, mut accepted: Accepted, same_machine: bool) -> Result<ExitCode, String> {
        if self.earlier.is_some() {
            let level = Ratio { median: 1.0, spread: 0.0 };
            accepted.ratios.extend(CASES.map(|case| (self.key(case, AGAINST), level)));
        }
        let is_judged = |key: &str| match (key.ends_with(AGAINST), self.earlier.is_some()) {
            (true, _) => true,
            (false, true) if self.is_of_files(key) => false,
            _ => same_machine,
        };
        let findings = judge(&accepted.ratios, is_judged, |keys| self.measure(keys))?;
        findings.iter().for_each(|finding| println!("{finding}"));
        if !same_machine {
            println!("\n{FILE} is of {:?}, which this machine is not", accepted.machine);
            if self.earlier.is_none() {
                return Ok(ExitCode::from(OTHER_MACHINE));
            }
        }
        let missing = missing(&accepted.ratios, &findings, |key| self.measures(key));
        missing.iter().for_each(|key| println!("MISSING {key}: it is accepted, and was not measured"));
        let worse = findings.iter().filter(|finding| finding.verdict == Verdict::Worse).count();
        println!("\n{worse} of {} ratios got worse by more than {:.0} %", findings.len(), TOLERANCE * 100.0);
        Ok(if worse == 0 && missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The ratios of these keys, or all where none is named.
    fn measure(&self, keys: &[&str]) -> Result<Ratios, String> {
        let wanted = |key: &str| keys.is_empty() || keys.contains(&key);
        let mut ratios = Ratios::new();
        if keys.is_empty() || keys.iter().any(|key| key.contains(IN_MEMORY)) {
            eprintln!("bench-gate: in memory");
            let arguments = [&["--tsv"], keys].concat();
            ratios = parse_lines(&results::bench(self.root, "ratios", &arguments, &self.place.directory)?)?;
        }
        for case in CASES {
            if wanted(&self.key(case, self.base())) || wanted(&self.key(case, AGAINST)) {
                eprintln!("bench-gate: {}", self.key(case, self.base()));
                ratios.extend(self.measure_files(case)?);
            }
        }
        if wanted(WIRE) {
            let volume = Volume::new(&self.place, &self.cofferdam, WIRE_SIZE, FILES)?;
            let ours = fixture(&volume, "ours", CASES[0].ours, &self.cofferdam)?;
            ours.run(Direction::Seal)?;
            let overhead = ours.sealed_len()? as f64 / WIRE_SIZE as f64 - 1.0;
            ratios.insert(WIRE.to_owned(), Ratio { median: overhead, spread: 0.0 });
        }
        Ok(ratios)
    }

    /// Our time beside that of `cp`, and beside that of the earlier program, all in one run.
    fn measure_files(&self, case: Case) -> Result<Ratios, String> {
        let volume = Volume::new(&self.place, &self.cofferdam, self.size, FILES)?;
        let mut fixtures = vec![
            fixture(&volume, "base", self.base(), &self.cofferdam)?,
            fixture(&volume, "ours", case.ours, &self.cofferdam)?,
        ];
        if let Some(earlier) = &self.earlier {
            fixtures.push(fixture(&volume, "earlier", case.ours, earlier)?);
        }
        for fixture in &fixtures {
            fixture.run(Direction::Seal)?;
        }
        let turns: Vec<&Fixture<'_>> = fixtures.iter().collect();
        let samples = in_turn(&turns, case.direction, Effort::of(ROUNDS, WarmUp::None), RUNS)?;
        fixtures[1].run(Direction::Restore)?;
        volume.check(&fixtures[1])?;
        let beside = |index: usize| Ratio::from(ratio(&walls(&samples[1]), &walls(&samples[index])));
        let mut ratios = Ratios::from([(self.key(case, self.base()), beside(0))]);
        if self.earlier.is_some() {
            ratios.insert(self.key(case, AGAINST), beside(2));
        }
        Ok(ratios)
    }

    /// On a disk `cp` has to have synced as well.
    fn base(&self) -> &'static str {
        if self.place.is_tmpfs() { "cp" } else { "cp-sync" }
    }

    fn key(&self, case: Case, other: &str) -> String {
        let digest = if case.ours == TAGS { ".tags" } else { "" };
        format!("{}.{}{digest}.{other}", case.direction.name(), self.extent())
    }

    /// The words of a key that say where and how much.
    fn extent(&self) -> String {
        let place = if self.place.is_tmpfs() { "tmpfs" } else { "disk" };
        format!("{place}.{}", size_text(self.size).replace(' ', ""))
    }

    fn is_of_files(&self, key: &str) -> bool {
        key.contains(&format!(".{}.", self.extent()))
    }

    /// Whether a ratio of this key is taken here.
    fn measures(&self, key: &str) -> bool {
        key.contains(IN_MEMORY) || key.starts_with(ON_WIRE) || self.is_of_files(key)
    }
}

fn fixture<'a>(
    volume: &'a Volume,
    folder: &str,
    contestant: &str,
    program: &'a Path,
) -> Result<Fixture<'a>, String> {
    let found =
        contestant::find(contestant).ok_or_else(|| format!("no contestant is called {contestant}"))?;
    volume.fixture(folder, found, program)
}

impl From<Summary> for Ratio {
    fn from(summary: Summary) -> Ratio {
        Ratio { median: summary.median, spread: summary.spread() }
    }
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
const TAGS: &str = "cofferdam-tags";
/// What stands for the earlier program in a key. None of these is ever accepted.
const AGAINST: &str = "against";
/// What all keys have that the bench measures.
const IN_MEMORY: &str = ".memory.";
/// What sealing adds, at defaults, for one X25519 recipient.
const WIRE: &str = "wire.64MiB";
const ON_WIRE: &str = "wire.";
const WIRE_SIZE: u64 = 64 << 20;
/// A plaintext, three sealed forms, one of them restored.
const FILES: u64 = 5;
/// Rounds of blocks, and runs of a block.
const ROUNDS: usize = 5;
const RUNS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(file_system: &str) -> Gate<'static> {
        let place = Place { directory: "/here".into(), file_system: file_system.to_owned(), room: 0 };
        Gate { root: Path::new("/"), cofferdam: PathBuf::new(), earlier: None, place, size: 1 << 30 }
    }

    #[test]
    fn keys_say_what_where_how_much_and_beside_what() {
        let keys = |file_system| {
            let gate = gate(file_system);
            CASES.map(|case| gate.key(case, gate.base()))
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
        let gate = gate("tmpfs");
        for case in CASES {
            assert!(gate.measures(&gate.key(case, gate.base())));
        }
        assert!(gate.measures("seal.memory.tags.1.bare") && gate.measures(WIRE));
        assert!(!gate.measures("seal.tmpfs.64MiB.cp") && !gate.measures("seal.disk.1GiB.cp-sync"));
    }

    #[test]
    fn what_is_checked_in_can_be_read() {
        let accepted = read(&crate::repository_root()).unwrap();
        assert!(accepted.ratios.contains_key(WIRE), "{accepted:?}");
    }
}
