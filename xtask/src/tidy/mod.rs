//! Owns the walk over the repository that checks what the compiler does not: style, crate edges, leftovers.
//! Knows no rule itself; each file beside this one holds the rules about one thing.

mod edges;
mod finding;
mod functions;
mod lints;
mod manifest;
mod seams;
mod seeded;
mod source;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use finding::Finding;
use manifest::Manifest;
use source::Source;

/// What is checked beside the workspace's members.
const EXTRA_FOLDERS: [&str; 4] = ["fuzz", "docs", ".ci", ".cargo"];

/// Folders that hold what programs made.
const MADE_FOLDERS: [&str; 3] = ["target", "corpus", "artifacts"];

/// Checks the repository at `root` against every rule. The findings are sorted by path and line.
///
/// # Errors
/// A file or folder that cannot be read.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let text = read(&root.join("Cargo.toml"))?;
    let workspace = Manifest::parse("Cargo.toml", &text);
    let mut findings = edges::check_reasons(&workspace);
    findings.extend(seeded::check("Cargo.toml", &text));
    let mut files = files_in(root, Depth::Alone)?;
    for member in &workspace.members {
        let path = format!("{member}/Cargo.toml");
        let text = read(&root.join(&path))?;
        let manifest = Manifest::parse(&path, &text);
        findings.extend(seeded::check(&path, &text));
        findings.extend(edges::check_crate(&manifest));
        findings.extend(lints::check(&workspace, &manifest));
        files.extend(files_in(&root.join(member), Depth::All)?);
    }
    for folder in EXTRA_FOLDERS.map(|folder| root.join(folder)) {
        if folder.is_dir() {
            files.extend(files_in(&folder, Depth::All)?);
        }
    }
    for file in files {
        findings.extend(check_file(root, &file)?);
    }
    findings.sort();
    findings.dedup();
    Ok(findings)
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

/// Checks one file; one that is not text has nothing to say here.
fn check_file(root: &Path, file: &Path) -> Result<Vec<Finding>, String> {
    let bytes = fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let Ok(text) = String::from_utf8(bytes) else { return Ok(Vec::new()) };
    let path = file.strip_prefix(root).unwrap_or(file).to_string_lossy().into_owned();
    let mut findings = words::private_paths(&path, &text);
    if file.extension().is_some_and(|extension| extension == "rs") {
        let source = Source::new(&path, &text);
        findings.extend(words::check(&source));
        findings.extend(functions::check(&source));
        findings.extend(seams::check(&source));
    }
    Ok(findings)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Alone,
    All,
}

fn files_in(folder: &Path, depth: Depth) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error| format!("cannot list {}: {error}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        let made = MADE_FOLDERS.iter().any(|made| entry.file_name() == *made);
        // In a second checkout of the repository, `.git` is a file with the first one's path.
        if kind.is_file() && entry.file_name() != ".git" {
            files.push(entry.path());
        } else if kind.is_dir() && depth == Depth::All && !made {
            files.extend(files_in(&entry.path(), depth)?);
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let findings = check(&crate::repository_root()).unwrap();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "tidy found faults:\n{}", lines.join("\n"));
    }
}
