//! Owns the comparison of two builds, and the search for folders in what was compiled.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::build::Products;

/// # Errors
/// Names each file that is in one build alone, or differs, and where it does first.
pub(super) fn check(first: &Products, second: &Products) -> Result<(), String> {
    let within = |products: &Products| -> Result<BTreeSet<PathBuf>, String> {
        let files = products.files()?.into_iter();
        Ok(files.filter_map(|file| Some(file.strip_prefix(products.build()).ok()?.to_owned())).collect())
    };
    let names: BTreeSet<PathBuf> = within(first)?.union(&within(second)?).cloned().collect();
    let mut findings = Vec::new();
    for name in &names {
        let finding = match (fs::read(first.build().join(name)), fs::read(second.build().join(name))) {
            (Ok(one), Ok(other)) => difference(&one, &other),
            (Err(error), _) | (_, Err(error)) => Some(error.to_string()),
        };
        findings.extend(finding.map(|finding| format!("{}: {finding}", name.display())));
    }
    if findings.is_empty() {
        println!("dist: both builds are the same, {} files", names.len());
        return Ok(());
    }
    Err(format!(
        "the builds in {} and {} differ:\n{}",
        first.build().display(),
        second.build().display(),
        findings.join("\n")
    ))
}

/// Where two contents differ first.
fn difference(one: &[u8], other: &[u8]) -> Option<String> {
    let at = one.iter().zip(other).position(|(one, other)| one != other);
    match at {
        Some(at) => Some(format!("they differ from byte {at} on, of {} and {}", one.len(), other.len())),
        None => (one.len() != other.len()).then(|| format!("{} and {} bytes", one.len(), other.len())),
    }
}

/// # Errors
/// A file that has the path of one of `folders` in it, or has no list of the crates that it is made of.
pub(super) fn check_compiled(file: &Path, folders: &[&Path]) -> Result<(), String> {
    let bytes = fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let place = |text: &[u8]| bytes.windows(text.len()).position(|window| window == text);
    for folder in folders {
        if let Some(at) = place(folder.as_os_str().as_bytes()) {
            return Err(format!("{}: at byte {at} it names the folder {}", file.display(), folder.display()));
        }
    }
    match place(AUDITABLE_SECTION) {
        Some(_) => Ok(()),
        None => Err(format!("{}: it has no list of crates; cargo-auditable makes one", file.display())),
    }
}

/// The section of an ELF file that cargo-auditable writes.
const AUDITABLE_SECTION: &[u8] = b".dep-v0\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_said_by_its_place() {
        assert_eq!(difference(b"same", b"same"), None);
        assert!(difference(b"same", b"sane").unwrap().contains("byte 2"));
        assert!(difference(b"same", b"same ").unwrap().contains("4 and 5 bytes"));
    }

    #[test]
    fn a_compiled_file_that_names_its_folder_is_refused() {
        let checked = |file: &Path, folder: &str| check_compiled(file, &[Path::new(folder)]).unwrap_err();
        // This test is such a file, by these words.
        let test = std::env::current_exe().unwrap();
        assert!(checked(&test, "/a-folder/of-this-test").contains("names the folder"));
        let manifest = crate::repository_root().join("Cargo.toml");
        assert!(checked(&manifest, "/a-folder/of-this-test").contains("no list of crates"));
    }
}
