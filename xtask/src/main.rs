//! Owns the development tasks' command line: test, ci, tidy, vectors, fuzz.
//! Knows nothing of the engine; each task is a module of its own.

mod checked_in;
mod fuzz;
mod programs;
mod steps;
mod tidy;
mod vectors;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Cofferdam's development tasks

cargo xtask test                      everything that must hold; installs the programs that the tests need
cargo xtask test STEP                 one step of it
cargo xtask test --list               the steps
cargo xtask ci                        test, the checked-in vectors, and a short run of each fuzz target
cargo xtask tidy                      style, crate edges, leftovers
cargo xtask vectors                   write docs/vectors again
cargo xtask vectors --check           compare docs/vectors with what would be written
cargo xtask fuzz [TARGET] [--seconds N]   run the fuzz targets, 60 seconds each unless said otherwise
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    let root = repository_root();
    match arguments {
        ["test"] => steps::run_all(&root, steps::TEST),
        ["test", "--list"] => {
            steps::list();
            Ok(())
        }
        ["test", step] => steps::run_one(&root, step),
        ["ci"] => steps::run_all(&root, &[steps::TEST, steps::CI_ALONE].concat()),
        ["tidy"] => tidy::run(&root),
        ["vectors"] => checked_in::write(&root),
        ["vectors", "--check"] => checked_in::check(&root),
        ["fuzz", rest @ ..] => fuzz::run(&root, rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("no such task\n\n{USAGE}")),
    }
}

/// The folder that holds the workspace's manifest.
pub(crate) fn repository_root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}
