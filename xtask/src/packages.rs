//! Packs every crate of the engine, as for a registry, in the order of their dependencies.

use std::path::Path;

use cargo_metadata::MetadataCommand;

use crate::steps;

/// Members of the workspace that nobody else builds.
const OURS_ALONE: [&str; 5] =
    ["xtask", "cofferdam-bench", "cofferdam-loom-tests", "cofferdam-python", "cofferdam-servers"];

/// What a package has beside its sources.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Packs them into `target/package`. Needs no network: nothing is compared with a registry, and lock files stay out.
///
/// # Errors
/// A package without its licences; what cargo says.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut cargo = steps::cargo(root);
    cargo.args(["package", "--quiet", "--offline", "--no-verify", "--allow-dirty", "--exclude-lockfile"]);
    let mut metadata = MetadataCommand::new();
    let metadata = metadata.current_dir(root).no_deps().exec().map_err(|error| error.to_string())?;
    let mut packed = 0;
    for package in metadata.packages.iter().filter(|package| !OURS_ALONE.contains(&package.name.as_str())) {
        for licence in LICENCES.map(|licence| package.manifest_path.with_file_name(licence)) {
            if !licence.is_file() {
                return Err(format!("{licence} is missing: link it to the one at the root"));
            }
        }
        cargo.args(["-p", &package.name]);
        packed += 1;
    }
    match cargo.status() {
        Ok(status) if status.success() => println!("{packed} crates are packed in target/package"),
        Ok(status) => return Err(format!("cargo package ended with {status}")),
        Err(error) => return Err(format!("cannot start cargo: {error}")),
    }
    Ok(())
}
