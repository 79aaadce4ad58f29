//! Owns the running of the fuzz targets: their build with coverage counters, their seeds, their report.
//!
//! The counters are LLVM's own and need no nightly toolchain: a stable `rustc` inserts them, and libFuzzer, which is
//! built with the machine's C++ compiler, reads them. There is no address sanitizer; the parsers under test have no
//! `unsafe` for it to watch.

mod seeds;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{programs, steps};

/// The targets, each a file of its own in `fuzz/fuzz_targets`.
const TARGETS: [&str; 8] =
    ["preamble", "splitter", "trailer", "compressed", "serve", "foreign", "signature", "tree"];

/// How long a target runs unless said otherwise.
const SECONDS: u32 = 60;

/// A target that needs more memory than this has a fault.
const MEMORY_MIB_MAX: u32 = 512;

/// An input that takes longer than this shows a fault.
const INPUT_SECONDS_MAX: u32 = 10;

/// The longest input that the fuzzer makes, in bytes: several small frames, or a page of some hundred entries.
const INPUT_LEN_MAX: usize = 65_536;

/// The C++ compilers that can build libFuzzer.
const COMPILERS: [&str; 3] = ["c++", "g++", "clang++"];

/// Counters at every edge, and the operands of comparisons as hints.
const COVERAGE_FLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    --cfg fuzzing";

/// Runs the targets that `arguments` choose: `[TARGET] [--seconds N]`.
///
/// # Errors
/// A missing compiler, a build that fails, a target that finds a fault: with the input that shows it.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let choice = Choice::parse(arguments)?;
    let folder = root.join("fuzz");
    let programs = build(&folder, &choice.targets)?;
    let mut report = Vec::new();
    for (target, program) in choice.targets.iter().zip(programs) {
        let corpus = folder.join("corpus").join(target);
        let seeds = seeds::write(root, target, &corpus)?;
        println!("== {target}: {} seconds, {seeds} seeds", choice.seconds);
        let executions = run_target(&folder, target, &program, &corpus, choice.seconds)?;
        report.push(format!("{target:<10}{executions:>14} executions, no fault"));
    }
    for line in report {
        println!("{line}");
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
struct Choice {
    targets: Vec<&'static str>,
    seconds: u32,
}

impl Choice {
    fn parse(arguments: &[&str]) -> Result<Choice, String> {
        let mut choice = Choice { targets: TARGETS.to_vec(), seconds: SECONDS };
        let mut rest = arguments;
        if let Some((&first, others)) = rest.split_first()
            && !first.starts_with("--")
        {
            let target = TARGETS.into_iter().find(|target| *target == first);
            let unknown = || format!("no fuzz target is called {first}; there are {}", TARGETS.join(", "));
            choice.targets = vec![target.ok_or_else(unknown)?];
            rest = others;
        }
        match rest {
            [] => Ok(choice),
            ["--seconds", seconds] => {
                let wrong = |_| format!("--seconds takes a whole number, not {seconds}");
                choice.seconds = seconds.parse().map_err(wrong)?;
                Ok(choice)
            }
            _ => Err("use: cargo xtask fuzz [TARGET] [--seconds N]".to_owned()),
        }
    }
}

/// Builds the targets with coverage counters; returns their programs.
fn build(folder: &Path, targets: &[&str]) -> Result<Vec<PathBuf>, String> {
    let has_compiler =
        COMPILERS.iter().any(|name| programs::is_on_path(name)) || std::env::var_os("CXX").is_some();
    if !has_compiler {
        return Err("libFuzzer needs a C++ compiler: on Debian or Ubuntu, apt-get install -y g++".to_owned());
    }
    let host = host()?;
    let target_dir = folder.join("target");
    // With --target the flags reach the engine alone; build scripts could not link the counters.
    let mut cargo = steps::cargo(folder);
    cargo.args(["build", "--release", "--locked", "--target", &host, "--target-dir"]).arg(&target_dir);
    for target in targets {
        cargo.args(["--bin", target]);
    }
    let status = cargo.env("RUSTFLAGS", COVERAGE_FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS").status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("the fuzz targets do not build: {status}")),
        Err(error) => return Err(format!("cannot start cargo: {error}")),
    }
    let programs = target_dir.join(host).join("release");
    Ok(targets.iter().map(|target| programs.join(target)).collect())
}

/// The triple of this machine, as `rustc` names it.
fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output =
        Command::new(rustc).arg("-vV").output().map_err(|error| format!("cannot start rustc: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

/// Runs one target; returns how many inputs it executed.
fn run_target(
    folder: &Path,
    target: &str,
    program: &Path,
    corpus: &Path,
    seconds: u32,
) -> Result<u64, String> {
    let artifacts = folder.join("artifacts").join(target);
    fs::create_dir_all(&artifacts)
        .map_err(|error| format!("cannot create {}: {error}", artifacts.display()))?;
    let mut child = Command::new(program)
        .arg(corpus)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-max_len={INPUT_LEN_MAX}"))
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let mut executions = None;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            executions = executions.or(executed(&line));
            show(&line);
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for {target}: {error}"))?;
    match executions {
        Some(executions) if status.success() => Ok(executions),
        _ => Err(format!(
            "{target} ended with {status}; the input that shows the fault is in {}",
            artifacts.display()
        )),
    }
}

/// Passes on what libFuzzer says, but for the inputs that it keeps and its dictionary.
fn show(line: &str) {
    let is_kept_input = line.contains("\tNEW") || line.contains("\tREDUCE ");
    let is_dictionary = line.starts_with('"') || line.starts_with("######");
    if !is_kept_input && !is_dictionary {
        // Standard error may be closed; the run counts all the same.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

fn executed(line: &str) -> Option<u64> {
    line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_arguments_every_target_runs() {
        assert_eq!(Choice::parse(&[]), Ok(Choice { targets: TARGETS.to_vec(), seconds: SECONDS }));
    }

    #[test]
    fn a_target_and_a_time_can_be_chosen() {
        let choice = Choice::parse(&["trailer", "--seconds", "5"]);
        assert_eq!(choice, Ok(Choice { targets: vec!["trailer"], seconds: 5 }));
        assert!(Choice::parse(&["nothing"]).unwrap_err().contains("splitter"));
        assert!(Choice::parse(&["--seconds", "soon"]).is_err());
    }

    #[test]
    fn executions_are_read_from_the_closing_statistics() {
        assert_eq!(executed("stat::number_of_executed_units: 7859001"), Some(7_859_001));
        assert_eq!(executed("stat::peak_rss_mb:              27"), None);
    }
}
