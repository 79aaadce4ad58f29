//! Owns the steps of `cargo xtask test` and `ci`: their order, their commands, what is said about them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{fuzz, packages, planted, programs, python, remote, tidy};

/// How long `ci` runs each fuzz target. Long campaigns are run by hand.
const CI_FUZZ_SECONDS: &str = "10";

/// What the line of a test program's result begins with.
const RESULT_MARK: &str = "test result:";

/// One step: something that holds or does not.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    name: &'static str,
    about: &'static str,
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    /// A cargo command and what it finds in its environment.
    Cargo(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// The same, for test programs: their results are gathered.
    Tests(&'static [&'static str]),
    /// A function of xtask.
    Own(fn(&Path) -> Result<(), String>),
}

/// The steps of `cargo xtask test`, the quick ones first.
///
/// Every step that compiles the workspace asks for the same packages and all features, so that dependencies are
/// compiled once for checking (clippy, doc), once for running, and for the models once more.
pub(crate) const TEST: &[Step] = &[
    Step {
        name: "fmt",
        about: "the sources are formatted",
        work: Work::Cargo(&["fmt", "--all", "--check"], &[]),
    },
    Step {
        name: "fmt-fuzz",
        about: "the fuzz targets are formatted",
        work: Work::Cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"], &[]),
    },
    Step { name: "tidy", about: "style, crate edges, leftovers", work: Work::Own(tidy::run) },
    Step {
        name: "planted",
        about: "the mistakes that tests must find can still be planted",
        work: Work::Own(plantable),
    },
    Step {
        name: "clippy",
        about: "no warning in any target",
        work: Work::Cargo(
            &["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"],
            &[],
        ),
    },
    Step {
        name: "doc",
        about: "the documentation builds without a warning",
        work: Work::Cargo(
            &["doc", "--workspace", "--lib", "--bin", "xtask", "--all-features", "--no-deps"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
    },
    Step {
        name: "default",
        about: "the library builds with its default features alone",
        work: Work::Cargo(&["clippy", "-p", "cofferdam", "--", "-D", "warnings"], &[]),
    },
    Step {
        name: "portable",
        about: "the library builds with the portable backend alone",
        work: Work::Cargo(
            &[
                "clippy",
                "-p",
                "cofferdam",
                "--no-default-features",
                "--features",
                "portable",
                "--",
                "-D",
                "warnings",
            ],
            &[],
        ),
    },
    Step {
        name: "bare",
        about: "the command builds without the features that it has by default",
        work: Work::Cargo(
            &["clippy", "-p", "cofferdam-cli", "--no-default-features", "--", "-D", "warnings"],
            &[],
        ),
    },
    Step {
        name: "package",
        about: "every crate of the engine packs, in order, with its licences",
        work: Work::Own(packages::check),
    },
    Step {
        name: "no-age",
        about: "the library seals and opens without age, for keys that the caller holds",
        work: Work::Tests(&[
            "test",
            "-p",
            "cofferdam",
            "--no-default-features",
            "--features",
            "fast",
            "--test",
            "own_keys",
        ]),
    },
    Step {
        name: "models",
        about: "every interleaving of the engine's own synchronisation",
        work: Work::Tests(&["test", "--release", "-p", "cofferdam-loom-tests"]),
    },
    Step {
        name: "tests",
        about: "unit, integration and documentation tests of the workspace; docs/vectors is as made",
        work: Work::Tests(&["test", "--workspace", "--exclude", "cofferdam-loom-tests", "--all-features"]),
    },
    Step {
        name: "crash",
        about: "the program stopped at a sample of the places where it can be stopped",
        work: Work::Own(short_crash),
    },
    Step {
        name: "remote",
        about: "restores from servers and uploads to them through a proxy that fails",
        work: Work::Own(short_remote),
    },
    Step {
        name: "python",
        about: "the wheel in an environment of its own: its tests, its types, its documentation",
        work: Work::Own(python::check),
    },
];

/// What `cargo xtask ci` does beside [`TEST`].
pub(crate) const CI_ALONE: &[Step] = &[
    Step {
        name: "deny",
        about: "licences, sources and bans of dependencies, by deny.toml",
        work: Work::Own(deny),
    },
    Step { name: "fuzz", about: "a short run of each fuzz target", work: Work::Own(short_fuzz) },
];

/// Prints the steps.
pub(crate) fn list() {
    for (steps, of) in [(TEST, "test, ci"), (CI_ALONE, "ci")] {
        for step in steps {
            println!("{:<10}{:<10}{}\n{:20}{}", step.name, of, step.about, "", by_hand(step));
        }
    }
}

/// Runs `steps` in order, up to the first that fails.
///
/// # Errors
/// The step that failed and how to run it alone; a program that is missing.
pub(crate) fn run_all(root: &Path, steps: &[Step]) -> Result<(), String> {
    if steps.iter().any(|step| matches!(step.work, Work::Tests(_))) {
        programs::check()?;
    }
    let mut durations = Vec::new();
    let mut results = Vec::new();
    for step in steps {
        durations.push((step.name, run_step(root, step, &mut results)?));
    }
    println!();
    for line in &results {
        println!("{line}");
    }
    if steps.len() == 1 {
        return Ok(());
    }
    for (name, duration) in &durations {
        println!("{name:<10}{:>7.1} s", duration.as_secs_f64());
    }
    let total: Duration = durations.iter().map(|(_, duration)| *duration).sum();
    println!("all {} steps hold, {:.1} s", durations.len(), total.as_secs_f64());
    Ok(())
}

/// Runs the step called `name`.
///
/// # Errors
/// As [`run_all`]; a name that no step has.
pub(crate) fn run_one(root: &Path, name: &str) -> Result<(), String> {
    let mut steps = TEST.iter().chain(CI_ALONE);
    let Some(step) = steps.find(|step| step.name == name) else {
        return Err(format!("no step is called {name}; `cargo xtask test --list` shows them"));
    };
    run_all(root, &[*step])
}

fn run_step(root: &Path, step: &Step, results: &mut Vec<String>) -> Result<Duration, String> {
    println!("\n== {}: {}", step.name, step.about);
    let start = Instant::now();
    let outcome = match step.work {
        Work::Cargo(arguments, environment) => run_cargo(root, arguments, environment),
        Work::Tests(arguments) => run_tests(root, arguments, results),
        Work::Own(run) => run(root),
    };
    let duration = start.elapsed();
    match outcome {
        Ok(()) => {
            println!("== {} holds, {:.1} s", step.name, duration.as_secs_f64());
            Ok(duration)
        }
        Err(error) => Err(format!(
            "step `{}` failed after {:.1} s: {error}\nrun it alone: cargo xtask test {}\nor by hand:   {}",
            step.name,
            duration.as_secs_f64(),
            step.name,
            by_hand(step),
        )),
    }
}

/// The command that does the same without xtask's steps.
fn by_hand(step: &Step) -> String {
    match step.work {
        Work::Cargo(arguments, environment) => {
            let environment = environment.iter().map(|(name, value)| format!("{name}=\"{value}\" "));
            format!("{}cargo {}", environment.collect::<String>(), arguments.join(" "))
        }
        Work::Tests(arguments) => format!("cargo {}", arguments.join(" ")),
        Work::Own(_) => format!("cargo xtask test {}", step.name),
    }
}

/// Asks cargo-deny, where it is installed, what it can say without a network.
fn deny(root: &Path) -> Result<(), String> {
    if !programs::is_on_path("cargo-deny") {
        println!("skipped: cargo-deny is not here; `cargo install --locked cargo-deny` installs it");
        return Ok(());
    }
    run_cargo(root, &["deny", "--offline", "--all-features", "check", "bans", "licenses", "sources"], &[])
}

fn short_fuzz(root: &Path) -> Result<(), String> {
    fuzz::run(root, &["--seconds", CI_FUZZ_SECONDS])
}

fn plantable(root: &Path) -> Result<(), String> {
    planted::run(root, &["--check"])
}

fn short_crash(root: &Path) -> Result<(), String> {
    crate::crash_task(root, &[])
}

fn short_remote(root: &Path) -> Result<(), String> {
    remote::run(root, &[])
}

fn run_cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let status = cargo(root).args(arguments).envs(environment.iter().copied()).status();
    ended(status.map_err(|error| format!("cannot start cargo: {error}"))?)
}

/// Runs cargo and shows what it prints, and keeps the closing line of each test program.
fn run_tests(root: &Path, arguments: &[&str], results: &mut Vec<String>) -> Result<(), String> {
    let mut child = cargo(root)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|error| format!("cannot read what cargo prints: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            if line.starts_with(RESULT_MARK) {
                results.push(line.into_owned());
            }
        }
    }
    ended(child.wait().map_err(|error| format!("cannot wait for cargo: {error}"))?)
}

/// The cargo that runs this program, in the root of the repository.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn ended(status: std::process::ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("the command ended with {status}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own() {
        let mut names: Vec<&str> = TEST.iter().chain(CI_ALONE).map(|step| step.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn an_unknown_step_names_the_list() {
        let message = run_one(&crate::repository_root(), "no-such-step").unwrap_err();
        assert!(message.contains("--list"), "{message}");
    }
}
