//! Owns mutation testing: which parts are mutated, under which tests, and what is to be said of the survivors.
//! Knows nothing of how mutants are made: cargo-mutants does that, and runs the tests.

mod survivors;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::steps;
use survivors::{Accepted, Mutant, Tried};

/// A part of the program whose every mutant is caught by the tests beside it, or explained.
struct Part {
    name: &'static str,
    package: &'static str,
    /// The files that are mutated, as globs; none for all of the package.
    files: &'static [&'static str],
    /// The packages whose tests are run; the mutated one's where none is named.
    tested_by: &'static [&'static str],
    /// The functions that are mutated, as expressions that match names of mutants; none for all.
    functions: &'static [&'static str],
    /// What cargo is told to choose test programs by; nothing for all of the package.
    programs: &'static [&'static str],
    /// Tests that are left out: they take seconds, and others see the same.
    slow: &'static [&'static str],
}

const PARTS: &[Part] = &[
    Part { name: "framing", package: "cofferdam-framing", ..WHOLE },
    Part { name: "frame-worker", package: "cofferdam-frame-worker", ..WHOLE },
    Part { name: "keys", package: "cofferdam-keys", slow: SCRYPT, ..WHOLE },
    Part { name: "signatures", package: "cofferdam-signatures", ..WHOLE },
    Part {
        name: "sequencer",
        package: "cofferdam-segment-worker",
        files: &["segment-worker/src/sequencer.rs"],
        programs: &["--lib"],
        ..WHOLE
    },
    Part {
        name: "opening",
        package: "cofferdam-stream",
        tested_by: &["cofferdam", "cofferdam-stream"],
        files: &[
            "crates/stream/src/checkpoint.rs",
            "crates/stream/src/envelope.rs",
            "crates/stream/src/feed/*.rs",
            "crates/stream/src/index.rs",
            "crates/stream/src/index_chain.rs",
            "crates/stream/src/key_area.rs",
            "crates/stream/src/pin.rs",
            "crates/stream/src/key_area/decision.rs",
            "crates/stream/src/restore_id.rs",
            "crates/stream/src/resume.rs",
            "crates/stream/src/trailer.rs",
        ],
        functions: COMPARING,
        programs: &[
            "--lib",
            "--test=attacks_on_bytes",
            "--test=changing_source",
            "--test=forged_prefix",
            "--test=index_claims",
            "--test=key_copies",
            "--test=resume",
            "--test=seal_resume",
            "--test=trailer_claims",
            "--test=vectors",
        ],
        ..WHOLE
    },
];

/// Of stream opening, what compares: records with each other, with arithmetic, and with what was seen before.
const COMPARING: &[&str] = &[
    r" (Index|Walk<'a>|IndexBuilder|KeyArea<'a>)::",
    r" (CheckpointMaker::read|RestoreId::accept|Envelope::judge|Envelope::begins_with)\b",
    r" ExpectedPin<'a>::check\b",
    r" SequentialFeed<'a, S>::(segment_header|closing|index_page|directory|footer)\b",
    r" (SeekableFeed<'a>::(begin|close|end)|KeptFeed<'a>::(begin|due|close|check_page|settle))\b",
    r" (decide|read_closing|check_entries|chain_behind|check_agrees)\b",
];

/// Tests that compute scrypt as it is written, a second each.
const SCRYPT: &[&str] = &["a_passphrase_of_the_written_work_factor_opens"];

/// All of a package under all of its tests.
const WHOLE: Part =
    Part { name: "", package: "", tested_by: &[], files: &[], functions: &[], programs: &[], slow: &[] };

const USE: &str = "use: cargo xtask mutants [PART] [--shard K/N], K from 0 on";

/// Where the survivors are explained, from the root of the repository.
const SURVIVORS: &str = "xtask/src/mutants/survivors.txt";

const INSTALL: &str =
    "mutants are made by cargo-mutants, which is not there: cargo install --locked cargo-mutants";

/// What cargo-mutants ends with: all caught; some survived; some were stopped by the clock.
const ENDS_OF_A_RUN: [Option<i32>; 3] = [Some(0), Some(2), Some(3)];

/// Tries the mutants that `arguments` choose: `[PART] [--shard K/N]`.
///
/// # Errors
/// Survivors that are not explained; explanations of mutants that are caught; cargo-mutants missing or failing.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let choice = Choice::parse(arguments)?;
    let version = steps::cargo(root).args(["mutants", "--version"]).stderr(Stdio::null()).output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Err(INSTALL.to_owned());
    }
    let path = root.join(SURVIVORS);
    let text =
        fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let accepted = Accepted::parse(&text)?;
    let (mut report, mut findings) = (String::new(), String::new());
    for part in &choice.parts {
        println!("== {}", part.name);
        let (all, tried) = try_part(root, part, choice.shard)?;
        report.push_str(&format!("{:<14}{}\n", part.name, tried.summary()));
        findings.extend(accepted.judge(&all, &tried).iter().map(|finding| format!("\n{finding}")));
    }
    print!("\n{report}");
    if findings.is_empty() { Ok(()) } else { Err(format!("see {SURVIVORS}:{findings}")) }
}

struct Choice<'a> {
    parts: Vec<&'static Part>,
    /// As cargo-mutants takes it.
    shard: Option<&'a str>,
}

impl<'a> Choice<'a> {
    fn parse(arguments: &[&'a str]) -> Result<Choice<'a>, String> {
        let (name, shard) = match *arguments {
            [] => (None, None),
            ["--shard", shard] => (None, Some(shard)),
            [name] if !name.starts_with('-') => (Some(name), None),
            [name, "--shard", shard] if !name.starts_with('-') => (Some(name), Some(shard)),
            _ => return Err(USE.to_owned()),
        };
        let parts: Vec<_> = PARTS.iter().filter(|part| name.is_none_or(|name| name == part.name)).collect();
        if parts.is_empty() {
            let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
            return Err(format!("there are the parts {}\n{USE}", names.join(", ")));
        }
        Ok(Choice { parts, shard })
    }
}

/// All mutants of a part by their full names, and what became of those that were tried.
fn try_part(
    root: &Path,
    part: &Part,
    shard: Option<&str>,
) -> Result<(BTreeMap<String, Mutant>, Tried), String> {
    let listed = cargo_mutants(root, part).args(["--list", "--colors", "never"]).output();
    let listed = listed.map_err(|error| format!("cannot start cargo mutants: {error}"))?;
    if !listed.status.success() {
        return Err(format!("cargo mutants --list: {}", String::from_utf8_lossy(&listed.stderr)));
    }
    let listed = String::from_utf8_lossy(&listed.stdout);
    let listed: Vec<&str> = listed.lines().filter(|name| is_chosen(part, name)).collect();
    let all =
        survivors::with_sources(&listed, |file| fs::read_to_string(root.join(file)).unwrap_or_default())?;
    let output = output_folder(root).join(part.name);
    fs::create_dir_all(&output).map_err(|error| format!("cannot create {}: {error}", output.display()))?;
    let mut cargo = cargo_mutants(root, part);
    cargo.arg("--output").arg(&output);
    if let Some(shard) = shard {
        cargo.args(["--shard", shard]);
    }
    cargo.args(part.tested_by.iter().flat_map(|package| ["--test-package", package]));
    cargo.args(part.programs.iter().map(|program| format!("--cargo-arg={program}")));
    if !part.slow.is_empty() {
        cargo.args(["--", "--"]).args(part.slow.iter().flat_map(|test| ["--skip", test]));
    }
    let status = cargo.status();
    let status = status.map_err(|error| format!("cannot start cargo mutants: {error}"))?;
    if !ENDS_OF_A_RUN.contains(&status.code()) {
        return Err(format!("cargo mutants ended with {status}: the tests fail as they are, say"));
    }
    let lines = |file: &str| {
        let path = output.join("mutants.out").join(file);
        let text =
            fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()));
        Ok::<_, String>(text?.lines().filter(|name| is_chosen(part, name)).map(str::to_owned).collect())
    };
    let tried = Tried {
        caught: lines("caught.txt")?,
        timed_out: lines("timeout.txt")?,
        unviable: lines("unviable.txt")?,
        missed: lines("missed.txt")?,
    };
    Ok((all, tried))
}

/// Whether a mutant is of the functions of `part`. Which functions are named does not matter to
/// cargo-mutants where it leaves out a field of a struct: it tries all of those.
fn is_chosen(part: &Part, name: &str) -> bool {
    part.functions.is_empty() || !name.contains(": delete field ")
}

/// The command that makes a part's mutants, without what becomes of them. Dependencies are compiled once for all parts,
/// and without what debuggers need.
fn cargo_mutants(root: &Path, part: &Part) -> Command {
    let mut cargo = steps::cargo(root);
    cargo.args(["mutants", "--all-features", "--package", part.package]);
    for file in part.files {
        cargo.args(["--file", file]);
    }
    for function in part.functions {
        cargo.args(["--re", function]);
    }
    cargo.env("CARGO_TARGET_DIR", output_folder(root).join("build"));
    cargo.env(servers::installed::FOLDER_VARIABLE, servers::installed::folder());
    cargo.envs([("CARGO_PROFILE_DEV_DEBUG", "none"), ("CARGO_PROFILE_TEST_DEBUG", "none")]);
    cargo
}

fn output_folder(root: &Path) -> PathBuf {
    root.join("target/mutants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_and_a_shard_can_be_chosen() {
        let chosen = |arguments: &[&str]| {
            let choice = Choice::parse(arguments).ok()?;
            Some((
                choice.parts.iter().map(|part| part.name).collect::<Vec<_>>(),
                choice.shard.map(str::to_owned),
            ))
        };
        let all: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        assert_eq!(chosen(&[]), Some((all.clone(), None)));
        assert_eq!(chosen(&["--shard", "1/8"]), Some((all, Some("1/8".to_owned()))));
        assert_eq!(chosen(&["framing"]), Some((vec!["framing"], None)));
        assert_eq!(chosen(&["framing", "--shard", "0/2"]), Some((vec!["framing"], Some("0/2".to_owned()))));
        for wrong in [&["nothing"][..], &["--shard"], &["framing", "keys"], &["framing", "--shard"]] {
            assert_eq!(chosen(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn fields_are_mutants_of_whole_packages_alone() {
        let part = |name| PARTS.iter().find(|part| part.name == name).unwrap();
        let field = "a.rs:1:2: delete field len from struct Record expression in read";
        assert!(is_chosen(part("framing"), field) && !is_chosen(part("opening"), field));
        assert!(is_chosen(part("opening"), "a.rs:1:2: delete ! in read"));
    }

    #[test]
    fn every_survivor_that_is_explained_is_of_a_file_that_is_there() {
        let root = crate::repository_root();
        let accepted = Accepted::parse(&fs::read_to_string(root.join(SURVIVORS)).unwrap()).unwrap();
        for mutant in accepted.mutants() {
            let text = fs::read_to_string(root.join(&mutant.file)).unwrap();
            assert!(text.lines().any(|line| line.trim() == mutant.line), "{mutant}");
        }
    }
}
