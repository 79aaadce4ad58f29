//! `cargo xtask tidy`: what neither the compiler nor clippy checks of this repository.

mod edges;
mod links;
mod manifests;
mod sources;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::MetadataCommand;

/// What is checked beside the workspace's members.
const EXTRA_FOLDERS: [&str; 6] = ["fuzz", "docs", "examples", "packaging", ".ci", ".cargo"];

/// Folders that hold what programs made.
pub(crate) const MADE_FOLDERS: [&str; 3] = ["target", "corpus", "artifacts"];

/// A breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    /// What is wrong; what to do.
    said: String,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, said: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, rule, said: said.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.path, self.line, self.rule, self.said)
    }
}

/// Checks the repository and prints what it finds.
///
/// # Errors
/// At least one finding, or a file that cannot be read.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let findings = check(root)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(format!("tidy found {count} faults; each line above says where and what to do")),
    }
}

/// The findings on the repository at `root`, by path and line.
fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let mut cargo = MetadataCommand::new();
    let metadata = cargo.current_dir(root).no_deps().exec().map_err(|error| error.to_string())?;
    let workspace = read(&root.join("Cargo.toml"))?;
    let mut findings = manifests::check_reasons(&workspace);
    findings.extend(tracked(root)?.iter().filter_map(|path| check_tracked(path)));
    let mut files = Vec::new();
    files_in(root, |_| false, &mut files)?;
    let mut folders = EXTRA_FOLDERS.map(|folder| root.join(folder)).to_vec();
    for package in &metadata.packages {
        let manifest = package.manifest_path.as_std_path();
        findings.extend(manifests::check(package, &relative(root, manifest), &workspace, &read(manifest)?));
        folders.extend(manifest.parent().map(Path::to_owned));
    }
    for folder in folders {
        files_in(&folder, |name| !MADE_FOLDERS.contains(&name), &mut files)?;
    }
    for file in files {
        let bytes = fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        // What is not text has nothing to say here.
        if let Ok(text) = String::from_utf8(bytes) {
            let path = relative(root, &file);
            findings.extend(sources::check(&path, &text));
            if path.ends_with(".md") {
                findings.extend(links::check(root, &path, &text));
            }
        }
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
}

/// The paths that Git has. None, where this is no checkout.
fn tracked(root: &Path) -> Result<Vec<String>, String> {
    if !root.join(".git").exists() {
        return Ok(Vec::new());
    }
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output();
    match listed {
        Ok(listed) if listed.status.success() => {
            Ok(String::from_utf8_lossy(&listed.stdout).split_terminator('\0').map(str::to_owned).collect())
        }
        Ok(listed) => Err(format!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim())),
        Err(error) => Err(format!("git ls-files: {error}")),
    }
}

/// What Python makes of a source is no source.
fn check_tracked(path: &str) -> Option<Finding> {
    let is_made = path.ends_with(".pyc") || path.split('/').any(|name| name == "__pycache__");
    is_made.then(|| {
        Finding::new(path, 1, "made", "Python has made this of a source; remove it: git rm --cached")
    })
}

/// Appends the files of `folder` and of the folders in it that `enter` says yes to.
pub(crate) fn files_in(
    folder: &Path,
    enter: fn(&str) -> bool,
    files: &mut Vec<PathBuf>,
) -> Result<(), String> {
    let unreadable = |error| format!("cannot list {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        // In a second checkout of the repository, `.git` is a file with the first one's path.
        if kind.is_file() && entry.file_name() != ".git" {
            files.push(entry.path());
        } else if kind.is_dir() && enter(&entry.file_name().to_string_lossy()) {
            files_in(&entry.path(), enter, files)?;
        }
    }
    Ok(())
}

pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn relative(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_has_made_is_not_checked_in() {
        for path in ["python/tests/__pycache__/test_a.cpython-311.pyc", "a.pyc", "__pycache__/text"] {
            assert!(check_tracked(path).is_some(), "{path}");
        }
        for path in ["python/tests/test_a.py", "docs/pycache.md"] {
            assert!(check_tracked(path).is_none(), "{path}");
        }
        let tracked = tracked(&crate::repository_root()).unwrap();
        assert!(tracked.is_empty() || tracked.iter().any(|path| path == "xtask/src/tidy/mod.rs"));
    }

    #[test]
    fn this_repository_is_tidy() {
        let findings = check(&crate::repository_root()).unwrap();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "tidy found faults:\n{}", lines.join("\n"));
    }
}
