//! Owns `cargo xtask results`: all figures of `bench/RESULTS.md` by one command, a section each.
//! Knows no figure and judges none; what stands between a section's marks is replaced, the text around it stays.

mod machine;
mod marks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

pub(crate) use self::machine::Machine;
use crate::{compare, steps};

/// A part of the results, and what measures it.
struct Section {
    name: &'static str,
    work: Work,
}

enum Work {
    /// What the machine is.
    Machine,
    /// `cargo xtask compare` with these words.
    Compare(At, &'static str),
    /// Peak memory, with files on the disk.
    Memory,
    /// Tables of a bench, by their names, once a place.
    Bench(&'static str, &'static [&'static str], &'static [At]),
    /// What criterion prints of single frames.
    Frames,
    /// The bench of the C ABI, which is that crate's own: it needs its shared library.
    CAbi,
}

/// Where files lie meanwhile.
#[derive(Clone, Copy)]
enum At {
    Tmpfs,
    Disk,
}

/// All of them. A new bench is a line here and a pair of marks there. Of what is large there are fewer rounds and programs: all
/// of it should not take much more than half an hour.
const SECTIONS: &[Section] = &[
    Section { name: "machine", work: Work::Machine },
    Section { name: "tmpfs", work: Work::Compare(At::Tmpfs, "--size 1GiB") },
    Section { name: "disk", work: Work::Compare(At::Disk, DISK) },
    Section { name: "large", work: Work::Compare(At::Disk, LARGE) },
    Section { name: "memory", work: Work::Memory },
    Section { name: "cancel", work: Work::Bench("cancel", &[], &[At::Tmpfs, At::Disk]) },
    Section { name: "ratios", work: Work::Bench("ratios", &[], &[At::Tmpfs]) },
    Section { name: "frames", work: Work::Frames },
    Section { name: "sinks", work: Work::Bench("sinks", &["sinks"], &[At::Tmpfs]) },
    Section { name: "durability", work: Work::Bench("sinks", &["durability"], &[At::Disk]) },
    Section { name: "seeds", work: Work::Bench("seeds", &[], &[At::Tmpfs]) },
    Section { name: "streams", work: Work::Bench("streams", &[], &[At::Tmpfs]) },
    Section { name: "reader", work: Work::Bench("reader", &[], &[At::Tmpfs]) },
    Section { name: "served", work: Work::Bench("served", &[], &[At::Tmpfs]) },
    Section { name: "c-abi", work: Work::CAbi },
];

const DISK: &str = "--size 1GiB --only cp-sync,cofferdam,cofferdam-tags,age,restic";
const LARGE: &str = "--size 4GiB --rounds 3 --only cp-sync,cofferdam";

/// Measures the sections that are named, or all, and writes each as soon as it is there: `[--disk DIR] [SECTION…]`.
///
/// # Errors
/// A section that is not known or has no marks; a measurement that fails.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let (disk, names) = match arguments {
        ["--list"] => {
            SECTIONS.iter().for_each(|section| println!("{}", section.name));
            return Ok(());
        }
        ["--disk", directory, names @ ..] => (PathBuf::from(directory), names),
        names => (std::env::temp_dir(), names),
    };
    let chosen = chosen(names)?;
    let text = read(root)?;
    for section in &chosen {
        marks::replaced(&text, section.name, "").map_err(|error| format!("{RESULTS}: {error}"))?;
    }
    // Once for all of them: later the load is that of the measurements themselves.
    let machine = Machine::now(root);
    for section in chosen {
        eprintln!("results: measuring {}", section.name);
        let begun = Instant::now();
        measure(root, &machine, section, &disk)?;
        eprintln!("results: {} took {:.0} s", section.name, begun.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Puts `content` between the marks of a section.
///
/// # Errors
/// The file cannot be read or written, or has no such marks.
pub(crate) fn replace(root: &Path, section: &str, content: &str) -> Result<(), String> {
    let replaced = marks::replaced(&read(root)?, section, content);
    let text = replaced.map_err(|error| format!("{RESULTS}: {error}"))?;
    fs::write(root.join(RESULTS), text).map_err(|error| format!("cannot write {RESULTS}: {error}"))
}

fn chosen(names: &[&str]) -> Result<Vec<&'static Section>, String> {
    if names.is_empty() {
        return Ok(SECTIONS.iter().collect());
    }
    let find = |name: &&str| SECTIONS.iter().find(|section| section.name == *name);
    let known = || SECTIONS.iter().map(|section| section.name).collect::<Vec<_>>().join(", ");
    names
        .iter()
        .map(|name| find(name).ok_or_else(|| format!("no section is called {name}; there are {}", known())))
        .collect()
}

fn measure(root: &Path, machine: &Machine, section: &Section, disk: &Path) -> Result<(), String> {
    let directory = |at: &At| match at {
        At::Tmpfs => PathBuf::from(TMPFS),
        At::Disk => disk.to_owned(),
    };
    let content = match section.work {
        Work::Machine => return replace(root, section.name, &machine.lines()),
        Work::Compare(at, words) => {
            let directory = directory(&at);
            let directory = directory.to_string_lossy();
            let words: Vec<&str> = ["--directory", &directory].into_iter().chain(words.split(' ')).collect();
            return replace(root, section.name, &compare::run(root, machine, &words)?);
        }
        Work::Memory => compare::memory(root, &[&disk.to_string_lossy()])?,
        Work::Bench(name, tables, places) => {
            let tables = places.iter().map(|at| bench(root, name, tables, &directory(at)));
            tables.collect::<Result<Vec<_>, _>>()?.join("\n")
        }
        Work::CAbi => bench_of(root, "cofferdam-capi", "cost", &[], Path::new(TMPFS))?,
        Work::Frames => frames(&bench(root, "frames", &["--discard-baseline", "--quiet"], Path::new(TMPFS))?),
    };
    replace(root, section.name, &format!("{}\n\n{content}", machine.stamp()))
}

/// Criterion's lines as they are, without those on its way.
fn frames(printed: &str) -> String {
    let is_figure =
        |line: &&str| !line.is_empty() && !line.starts_with("Benchmarking") && !line.contains("change:");
    format!("```text\n{}\n```", printed.lines().filter(is_figure).collect::<Vec<_>>().join("\n"))
}

/// What a bench prints, with its files in `directory`.
pub(crate) fn bench(root: &Path, name: &str, arguments: &[&str], directory: &Path) -> Result<String, String> {
    bench_of(root, "cofferdam-bench", name, arguments, directory)
}

fn bench_of(
    root: &Path,
    package: &str,
    name: &str,
    arguments: &[&str],
    directory: &Path,
) -> Result<String, String> {
    let output = steps::cargo(root)
        .args(["bench", "--quiet", "-p", package, "--bench", name, "--"])
        .args(arguments)
        .env("COFFERDAM_BENCH_DIRECTORY", directory)
        .env("TMPDIR", directory)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("the bench {name} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("the bench {name} prints what is no text"))
}

fn read(root: &Path) -> Result<String, String> {
    fs::read_to_string(root.join(RESULTS)).map_err(|error| format!("cannot read {RESULTS}: {error}"))
}

const RESULTS: &str = "bench/RESULTS.md";
const TMPFS: &str = "/dev/shm";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_its_marks_in_the_results() {
        let text = read(&crate::repository_root()).unwrap();
        for section in SECTIONS {
            marks::replaced(&text, section.name, "").unwrap();
        }
    }

    #[test]
    fn every_pair_of_marks_in_the_results_belongs_to_a_section() {
        let text = read(&crate::repository_root()).unwrap();
        let mut marked: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("<!-- begin ")?.strip_suffix(" -->")).collect();
        let mut sections: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
        marked.sort_unstable();
        sections.sort_unstable();
        assert_eq!(marked, sections, "a section needs a line in the table above");
    }

    #[test]
    fn sections_are_chosen_by_name_and_all_of_them_by_none() {
        assert_eq!(chosen(&[]).unwrap().len(), SECTIONS.len());
        let names: Vec<&str> =
            chosen(&["sinks", "disk"]).unwrap().iter().map(|section| section.name).collect();
        assert_eq!(names, ["sinks", "disk"]);
        let message = chosen(&["disks"]).err().unwrap();
        assert!(message.contains("no section is called disks; there are machine,"), "{message}");
    }
}
