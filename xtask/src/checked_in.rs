//! Owns the comparison of the test vectors that are checked in with those that xtask makes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::vectors;

/// Where the vectors are, from the root.
const VECTORS: &str = "docs/vectors";

/// Where they are made for a comparison, with the number of the process behind it.
const SCRATCH: &str = "target/xtask-vectors";

/// The one file beside the vectors that is written by hand.
const HAND_WRITTEN: &str = "README.md";

/// Writes the vectors into the repository.
///
/// # Errors
/// What the generator could not make or write.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let folder = root.join(VECTORS);
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {VECTORS}: {error}"))?;
    vectors::generate(&folder)?;
    println!("{VECTORS} is written; `cargo xtask vectors --check` names files that nothing makes any more");
    Ok(())
}

/// Makes the vectors elsewhere and compares them, byte for byte and file for file.
///
/// # Errors
/// Every file that differs, is missing, or is left over.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let scratch = root.join(format!("{SCRATCH}-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|error| format!("cannot create {}: {error}", scratch.display()))?;
    let made = vectors::generate(&scratch).and_then(|()| files(&scratch));
    fs::remove_dir_all(&scratch).map_err(|error| format!("cannot remove {}: {error}", scratch.display()))?;
    let made = made?;
    let differences = differences(&made, &files(&root.join(VECTORS))?);
    if differences.is_empty() {
        println!("{} files in {VECTORS} are as made", made.len());
        return Ok(());
    }
    Err(format!("{VECTORS} is not as made; run `cargo xtask vectors`\n{}", differences.join("\n")))
}

type Files = BTreeMap<String, Vec<u8>>;

fn differences(made: &Files, checked_in: &Files) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, bytes) in made {
        match checked_in.get(name) {
            None => lines.push(format!("  {name} is missing")),
            Some(other) if other != bytes => lines.push(format!("  {name} differs")),
            Some(_) => {}
        }
    }
    let left_over = checked_in.keys().filter(|name| !made.contains_key(*name) && *name != HAND_WRITTEN);
    lines.extend(left_over.map(|name| format!("  {name} is left over: remove it")));
    lines
}

/// The files of a folder by name; an absent folder has none.
fn files(folder: &Path) -> Result<Files, String> {
    let mut files = Files::new();
    if !folder.exists() {
        return Ok(files);
    }
    let unreadable = |error| format!("cannot read {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            files.insert(name.to_string_lossy().into_owned(), fs::read(&path).map_err(unreadable)?);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn the_vectors_of_this_repository_are_as_made() {
        check(&crate::repository_root()).unwrap();
    }

    #[test]
    fn equal_folders_do_not_differ_and_the_readme_is_free() {
        let made = folder(&[("a", "1")]);
        assert_eq!(differences(&made, &folder(&[("a", "1"), ("README.md", "text")])), Vec::<String>::new());
    }

    #[test]
    fn a_changed_a_missing_and_a_left_over_file_are_named() {
        let lines = differences(&folder(&[("a", "1"), ("b", "2")]), &folder(&[("a", "9"), ("c", "3")]));
        assert_eq!(lines, ["  a differs", "  b is missing", "  c is left over: remove it"]);
    }
}
