//! Owns the development tasks' command line: setup, test, ci, tidy, vectors, crash, engines, fuzz, mutants, parts, planted, remote,
//! age, compare, memory, results, bench-gate, dist.

mod age;
#[cfg(feature = "vectors")]
mod checked_in;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod compare;
#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod crash;
mod dist;
mod engines;
mod fuzz;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod gate;
mod mutants;
mod packages;
mod parts;
mod planted;
mod programs;
mod python;
mod remote;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod results;
mod server_programs;
mod steps;
mod tidy;
#[cfg(feature = "vectors")]
mod vectors;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
Cofferdam's development tasks

cargo xtask setup                     install the programs that the tests call (apt-get, as root; pip, npm)
cargo xtask test                      everything that must hold; says what is missing, and installs nothing
cargo xtask test --install            setup, then test
cargo xtask test STEP                 one step of it
cargo xtask test --list               the steps
cargo xtask ci                        test, cargo-deny, and a short run of each fuzz target
cargo xtask tidy                      style, crate edges, leftovers
cargo xtask vectors                   write docs/vectors again
cargo xtask vectors --check           compare docs/vectors with what would be written
cargo xtask crash [PART] [--full] [--seed N] [--program PATH]
                                      stop the program wherever it can be stopped, and look
cargo xtask remote [--restore N] [--seal N] [--many N] [--seed N] [--full]
                                      restore from servers and upload to them through a proxy that fails, by seeds
cargo xtask age [--full]              seal and open age files both ways with age, at chunk edges, on several threads; in
                                      full with rage, which it builds once, at each edge and of 1 GiB
cargo xtask engines [--full|--costs]  the engines of examples/: with --full, 1,000 segments of a server that is killed;
                                      with --costs, what archiving a segment takes beside `cp`
cargo xtask dist [--check|--try]      what users install, of the last commit, in target/dist; --check builds it twice and
                                      compares, and tries each where nothing else is (as root); --try does that alone
cargo xtask fuzz [TARGET] [--seconds N]   run the fuzz targets, 60 seconds each unless said otherwise
cargo xtask mutants [PART] [--shard K/N]  change the code in small ways: each change is caught by a test, or explained
cargo xtask parts [--runs N] [--seed N]   restore by many processes that are killed and paused, by seeds, 500 times
cargo xtask planted [NAME…]           plant known mistakes in a copy of the sources: the tests find each of them
cargo xtask planted --check           whether they still can be planted
cargo xtask planted --list            what they are
cargo xtask compare [--directory DIR]… [--size 1GiB]… [--rounds N] [--seconds N] [--only NAME,…]
                                      this program, age, restic and others beside cp, as whole processes
cargo xtask compare-remote [--size 2GiB] [--rounds N] [--program PATH]
                                      restores from servers on this machine beside curl, and over a long narrow way
cargo xtask compare-trees [--directory DIR] [--tree toolchain|FILES]… [--rounds N] [--only NAME,…] [--program PATH]
                                      directories sealed and restored beside tar, cp, rsync, restic, borg
cargo xtask memory-trees [DIRECTORY [MEMBERS]]   a tree of ten million members sealed from a pipe and listed: time, memory
cargo xtask memory [DIRECTORY [SIZE SIZE]]   its peak memory at two sizes, beside its bars
cargo xtask results [--disk DIR] [SECTION…]  measure again what bench/RESULTS.md says
cargo xtask results --list            its sections
cargo xtask bench-gate [--directory DIR] [--size SIZE] [--accept | --against PROGRAM]
                                      ratios beside those of bench/ratios.tsv: status 1 where one got worse by more
                                      than 10 %, 2 on another machine; --accept writes them there; --against judges
                                      those of files beside an earlier build of the program, in the same run
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<ExitCode, String> {
    let root = repository_root();
    match arguments {
        ["bench-gate", rest @ ..] => gate_task(&root, rest),
        _ => task(&root, arguments).map(|()| ExitCode::SUCCESS),
    }
}

/// A task that is done or fails.
fn task(root: &Path, arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["setup"] => programs::install_missing(),
        ["test", "--install"] => programs::install_missing().and_then(|()| steps::run_all(root, steps::TEST)),
        ["test"] => steps::run_all(root, steps::TEST),
        ["test", "--list"] => {
            steps::list();
            Ok(())
        }
        ["test", step] => steps::run_one(root, step),
        ["ci"] => steps::run_all(root, &[steps::TEST, steps::CI_ALONE].concat()),
        ["tidy"] => tidy::run(root),
        ["vectors"] => vectors_task(root, Vectors::Write),
        ["vectors", "--check"] => vectors_task(root, Vectors::Check),
        ["crash", rest @ ..] => crash_task(root, rest),
        ["dist", rest @ ..] => dist::run(root, rest),
        ["engines", rest @ ..] => engines::run(root, rest),
        ["fuzz", rest @ ..] => fuzz::run(root, rest),
        ["remote", rest @ ..] => remote::run(root, rest),
        ["age", rest @ ..] => age::run(root, rest),
        ["mutants", rest @ ..] => mutants::run(root, rest),
        ["parts", rest @ ..] => parts::run(root, rest),
        ["planted", rest @ ..] => planted::run(root, rest),
        [
            "compare" | "compare-remote" | "compare-trees" | "memory-trees" | "tar-stream" | "memory"
            | "results" | "timed",
            rest @ ..,
        ] => measuring_task(root, arguments[0], rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("no such task\n\n{USAGE}")),
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn crash_task(root: &Path, arguments: &[&str]) -> Result<(), String> {
    crash::run(root, arguments)
}

/// The tracer reads the registers of Linux processes on these two architectures.
#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
pub(crate) fn crash_task(_root: &Path, _arguments: &[&str]) -> Result<(), String> {
    println!("skipped: programs are traced on Linux with glibc, on x86-64 and aarch64");
    Ok(())
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn measuring_task(root: &Path, task: &str, arguments: &[&str]) -> Result<(), String> {
    match task {
        "compare" => {
            compare::run(root, &results::Machine::now(root), arguments).map(|text| println!("{text}"))
        }
        "compare-remote" => {
            compare::from_far(root, &results::Machine::now(root), arguments).map(|text| println!("{text}"))
        }
        "compare-trees" => {
            compare::trees(root, &results::Machine::now(root), arguments).map(|text| println!("{text}"))
        }
        "memory-trees" => compare::memory_of_trees(root, arguments).map(|table| print!("{table}")),
        "tar-stream" => compare::write_archive(arguments),
        "memory" => compare::memory(root, arguments).map(|table| print!("{table}")),
        "results" => results::run(root, arguments),
        _ => compare::timed::run(arguments),
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn gate_task(root: &Path, arguments: &[&str]) -> Result<ExitCode, String> {
    gate::run(root, arguments)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn gate_task(root: &Path, arguments: &[&str]) -> Result<ExitCode, String> {
    measuring_task(root, "bench-gate", arguments).map(|()| ExitCode::SUCCESS)
}

/// What a process took is asked from Linux, and where there is room.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn measuring_task(_root: &Path, task: &str, _arguments: &[&str]) -> Result<(), String> {
    Err(format!("`{task}` measures on Linux with glibc alone"))
}

/// What to do with the test vectors.
#[derive(Clone, Copy)]
enum Vectors {
    Write,
    Check,
}

#[cfg(feature = "vectors")]
fn vectors_task(root: &Path, task: Vectors) -> Result<(), String> {
    match task {
        Vectors::Write => checked_in::write(root),
        Vectors::Check => checked_in::check(root),
    }
}

/// Starts the xtask that has the generator, which takes minutes to build the first time.
#[cfg(not(feature = "vectors"))]
fn vectors_task(root: &Path, task: Vectors) -> Result<(), String> {
    let mut cargo = steps::cargo(root);
    cargo.args(["run", "--package", "xtask", "--features", "vectors", "--", "vectors"]);
    if let Vectors::Check = task {
        cargo.arg("--check");
    }
    match cargo.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the generator ended with {status}")),
        Err(error) => Err(format!("cannot start cargo: {error}")),
    }
}

/// The folder that holds the workspace's manifest: of the checkout that cargo runs this for, which two may build into one
/// target directory, or else of the one that it was built in.
pub(crate) fn repository_root() -> PathBuf {
    let built_in = || env!("CARGO_MANIFEST_DIR").into();
    let mut root = env::var_os("CARGO_MANIFEST_DIR").map_or_else(built_in, PathBuf::from);
    root.pop();
    root
}
