//! Owns `cargo xtask planted`: mistakes that are easily made, each of which a test must find.
//! Knows none of them: a patch in `xtask/planted` says in its header what the mistake is, and which tests fail with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use servers::installed::FOLDER_VARIABLE;

use crate::{python, remote, steps, tidy};

/// The patches, from the root of the repository.
const FOLDER: &str = "xtask/planted";

/// What the line of a header begins with that says which tests fail: of one program, those whose names begin with the last word.
const CAUGHT_BY: &str = "Caught by: cargo test ";

/// The same of tests of the Python package.
const CAUGHT_BY_PYTHON: &str = "Caught by: pytest ";

/// A test that takes longer has found nothing.
const TEST_SECONDS_MAX: &str = "600";

/// Plants the mistakes one after another, all or those that are named; or `--check`s that they can be, or `--list`s them.
///
/// # Errors
/// A patch that does not apply or does not compile; a test that fails without the mistake, or passes with it.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut mistakes = Mistake::all(root)?;
    match arguments {
        ["--list"] => mistakes.iter().for_each(|mistake| println!("{:<28}{}", mistake.name, mistake.about)),
        ["--check"] => check(root, &mistakes)?,
        names => {
            mistakes.retain(|mistake| names.is_empty() || names.contains(&&*mistake.name));
            if mistakes.len() < names.len() {
                return Err("no such mistake; `cargo xtask planted --list` names them".into());
            }
            check(root, &mistakes)?;
            plant(root, &mistakes)?;
        }
    }
    Ok(())
}

/// A patch and its header.
struct Mistake {
    name: String,
    patch: PathBuf,
    about: String,
    test: Test,
}

/// Which tests find it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    /// What `cargo test` is told.
    Cargo(String),
    /// What the names of tests of Python begin with.
    Python(String),
}

impl Test {
    fn of(header: &str) -> Option<Test> {
        header.lines().find_map(|line| {
            let cargo = line.strip_prefix(CAUGHT_BY).map(|told| Test::Cargo(told.to_owned()));
            cargo.or_else(|| Some(Test::Python(line.strip_prefix(CAUGHT_BY_PYTHON)?.to_owned())))
        })
    }

    /// What stands in the sources where there is such a test.
    fn definition(&self) -> String {
        match self {
            Test::Cargo(told) => format!("fn {}", told.rsplit(' ').next().unwrap_or_default()),
            Test::Python(name) => format!("def {name}"),
        }
    }

    fn run(&self, tree: &Path) -> Result<Counts, String> {
        match self {
            Test::Cargo(told) => run_tests(tree, told),
            Test::Python(name) => {
                let [home, target] = ["python", "build"].map(|folder| tree.with_file_name(folder));
                python::printed_by(tree, &home, &target, name).map(|printed| Counts::of_pytest(&printed))
            }
        }
    }
}

impl Mistake {
    fn all(root: &Path) -> Result<Vec<Mistake>, String> {
        let mut patches = Vec::new();
        tidy::files_in(&root.join(FOLDER), |_| false, &mut patches)?;
        patches.sort();
        patches.into_iter().map(Mistake::read).collect()
    }

    fn read(patch: PathBuf) -> Result<Mistake, String> {
        let text = tidy::read(&patch)?;
        Ok(Mistake {
            name: patch.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            about: text.lines().next().unwrap_or_default().to_owned(),
            test: Test::of(&text).ok_or_else(|| format!("{}: no line `{CAUGHT_BY}…`", patch.display()))?,
            patch,
        })
    }

    fn apply(&self, folder: &Path, options: &[&str]) -> Result<(), String> {
        let mut git = Command::new("git");
        git.current_dir(folder).arg("apply").args(options).arg(&self.patch);
        // Otherwise git takes the paths for those of a repository around `folder`, and does nothing.
        git.env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder));
        let output = git.output().map_err(|error| format!("cannot start git: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

/// Checks that each patch applies to the sources, and that there are the tests that it names. Builds nothing.
fn check(root: &Path, mistakes: &[Mistake]) -> Result<(), String> {
    let mut sources = String::new();
    for file in files(root)?.iter().filter(|file| file.extension().is_some_and(|it| it == "rs" || it == "py"))
    {
        sources += &tidy::read(file)?;
    }
    let mut wrong = String::new();
    for mistake in mistakes {
        let definition = mistake.test.definition();
        if !sources.contains(&definition) {
            wrong += &format!("{}: no test is called `{definition}…`\n", mistake.name);
        }
        if let Err(said) = mistake.apply(root, &["--check"]) {
            wrong += &format!("{}: {said}", mistake.name);
        }
    }
    if mistakes.is_empty() {
        return Err(format!("there is no mistake in {FOLDER}"));
    }
    if !wrong.is_empty() {
        return Err(format!("{wrong}CONTRIBUTING.md says how to renew a patch in {FOLDER}"));
    }
    println!("{} mistakes can be planted", mistakes.len());
    Ok(())
}

/// Plants each mistake in a copy of the sources, and runs the tests that must find it.
fn plant(root: &Path, mistakes: &[Mistake]) -> Result<(), String> {
    let tree = copy(root)?;
    let mut unplanted = BTreeMap::new();
    for Mistake { test, .. } in mistakes {
        unplanted.entry(test).or_insert_with(|| test.run(&tree));
    }
    let mut missed = Vec::new();
    for mistake in mistakes {
        let begun = Instant::now();
        let verdict = match &unplanted[&mistake.test] {
            Ok(Counts { passed: 1.., failed: 0, .. }) => find(mistake, &tree),
            other => Err(format!("its tests do not pass without it: {other:?}")),
        };
        let word = if verdict.is_ok() { "found" } else { "NOT FOUND" };
        let (Ok(said) | Err(said)) = &verdict;
        println!("planted {:<28}{:>6.1} s  {word}: {said}", mistake.name, begun.elapsed().as_secs_f64());
        missed.extend(verdict.err().map(|_| mistake.name.as_str()));
    }
    println!("planted mistakes: {}, found: {}", mistakes.len(), mistakes.len() - missed.len());
    match missed.is_empty() {
        true => Ok(()),
        false => Err(format!("not found: {}", missed.join(", "))),
    }
}

/// What the tests say of the mistake.
fn find(mistake: &Mistake, tree: &Path) -> Result<String, String> {
    mistake.apply(tree, &[])?;
    let counts = mistake.test.run(tree);
    mistake.apply(tree, &["--reverse"])?;
    match counts? {
        Counts { passed: 0, failed: 1.., panic } => Ok(panic.chars().take(200).collect()),
        Counts { passed, failed, .. } => Err(format!("{passed} tests passed, {failed} failed")),
    }
}

/// Builds a test program and runs it. Where it does not come to an end, no test has passed or failed.
fn run_tests(tree: &Path, test: &str) -> Result<Counts, String> {
    let run = |mut command: Command, option: &[&str]| {
        command.args(["test", "--quiet"]).args(option).args(test.split(' ')).current_dir(tree);
        command.env("CARGO_TARGET_DIR", tree.with_file_name("build"));
        command.env(FOLDER_VARIABLE, servers::installed::folder());
        // A mistake shows in some of the runs that are drawn.
        command.envs(remote::environment());
        // What debuggers need takes time to link.
        command.envs([("CARGO_PROFILE_DEV_DEBUG", "none"), ("CARGO_PROFILE_TEST_DEBUG", "none")]);
        command.output().map_err(|error| format!("cannot start {command:?}: {error}"))
    };
    let built = run(steps::cargo(tree), &["--no-run"])?;
    if !built.status.success() {
        return Err(format!("does not compile:\n{}", String::from_utf8_lossy(&built.stderr)));
    }
    let mut limited = Command::new("timeout");
    limited.arg(TEST_SECONDS_MAX).arg(steps::cargo(tree).get_program());
    let output = run(limited, &[])?;
    Ok(Counts::of(&String::from_utf8_lossy(&output.stdout)))
}

/// What a test program says in the end.
#[derive(PartialEq, Eq, Default, Debug)]
struct Counts {
    passed: usize,
    failed: usize,
    /// The first line of the first panic's message.
    panic: String,
}

impl Counts {
    fn of(printed: &str) -> Counts {
        let result = printed.lines().find_map(|line| line.strip_prefix("test result: ")).unwrap_or_default();
        let number = |what: &str| {
            let mut words = result.split([' ', ';']);
            let at = words.clone().position(|word| word == what)?;
            words.nth(at - 1)?.parse().ok()
        };
        let panic = printed.lines().skip_while(|line| !line.contains(" panicked at ")).nth(1);
        Counts {
            passed: number("passed").unwrap_or(0),
            failed: number("failed").unwrap_or(0),
            panic: panic.unwrap_or_default().to_owned(),
        }
    }

    /// The same of pytest, whose last line has each number before its word.
    fn of_pytest(printed: &str) -> Counts {
        let result = printed.trim_end().lines().next_back().unwrap_or_default();
        let words: Vec<&str> = result.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let number = |what: &str| {
            let at = words.iter().position(|word| *word == what)?;
            words[at.checked_sub(1)?].parse().ok()
        };
        let panic = printed.lines().find_map(|line| line.strip_prefix("E ")).unwrap_or_default().trim();
        Counts {
            passed: number("passed").unwrap_or(0),
            failed: number("failed").unwrap_or(0),
            panic: panic.to_owned(),
        }
    }
}

/// Copies the sources into `target`, all as if just written: cargo must not take what it built with a mistake for what is here now.
fn copy(root: &Path) -> Result<PathBuf, String> {
    let tree = root.join("target/planted/tree");
    let failed = |error| format!("cannot copy the sources to {}: {error}", tree.display());
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(failed)?;
    }
    for file in files(root)? {
        let copied = tree.join(file.strip_prefix(root).unwrap_or(&file));
        fs::create_dir_all(copied.parent().unwrap_or(&tree)).map_err(failed)?;
        fs::write(copied, fs::read(file).map_err(failed)?).map_err(failed)?;
    }
    tree.canonicalize().map_err(failed)
}

/// The files of the repository. Git is not asked: in an unpacked archive it knows nothing.
fn files(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    tidy::files_in(root, |name| name != ".git" && !tidy::MADE_FOLDERS.contains(&name), &mut files)?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_test_program_printed_is_counted() {
        let printed = "\nthread 'a' panicked at b.rs:1:2:\nwrong\nmore\n\
            test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.1s\n";
        assert_eq!(Counts::of(printed), Counts { passed: 1, failed: 2, panic: "wrong".into() });
        assert_eq!(Counts::of("error: could not compile\n"), Counts::default());
        let printed = "F.\n>   assert a\nE       assert 1 == 2\nFAILED a.py::b\n1 failed, 2 passed, 9 deselected in 0.1s\n";
        assert_eq!(
            Counts::of_pytest(printed),
            Counts { passed: 2, failed: 1, panic: "assert 1 == 2".into() }
        );
        assert_eq!(Counts::of_pytest("9 deselected in 0.1s\n"), Counts::default());
    }

    #[test]
    fn a_patch_that_does_not_apply_and_a_test_that_is_not_there_are_named() {
        let root = crate::repository_root();
        let mut mistakes = Mistake::all(&root).unwrap();
        check(&root, &mistakes).unwrap();
        mistakes[0].test = Test::Cargo("--test a -- no_such_test".to_owned() + "_is_there");
        mistakes[1].patch.set_file_name("gone.patch");
        let said = check(&root, &mistakes).unwrap_err();
        assert!(said.starts_with(&format!("{}: no test is called ", mistakes[0].name)), "{said}");
        assert!(said.contains(&format!("\n{}: error: ", mistakes[1].name)), "{said}");
    }
}
