//! Owns `cargo xtask dist`: what users install, made of the last commit alone, in `target/dist`.
//! Uploads nothing, and knows no place where it could.

mod build;
mod compare;
mod install;
mod tools;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use build::{Build, Commit, Products};
use tools::Tools;

/// The products and the folders that they are built in, from the root of the repository.
const FOLDER: &str = "target/dist";

/// The first build, from there.
const BUILD: &str = "build";

/// Makes the products; with `--check`, makes them a second time in another folder, compares, and installs each where nothing else
/// is; with `--try`, does the last alone, to those that are there.
///
/// # Errors
/// Arguments that are not understood; a program that is missing; what failed; a product that names the folder it was built
/// in; with `--check`, products that differ, or do not work once installed.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let dist = root.join(FOLDER);
    match arguments {
        [] => make(root, &dist, Builds::One).map(|_| ()),
        ["--check"] => make(root, &dist, Builds::Two).and_then(|products| try_out(root, &dist, &products)),
        ["--try"] => try_out(root, &dist, &Products::of(&dist.join(BUILD))),
        [argument, ..] => Err(format!("{argument} is not understood")),
    }
}

/// How often the products are made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Builds {
    One,
    Two,
}

fn make(root: &Path, dist: &Path, builds: Builds) -> Result<Products, String> {
    tools::check(&tools::TO_BUILD)?;
    let tools = Tools::installed(root)?;
    let commit = Commit::last(root)?;
    println!("dist: {commit}");
    let first = Build::new(dist.join(BUILD), tools::cargo_home()?, &commit, &tools).run()?;
    // Nothing is handed out before it is known to be what anybody would build.
    if builds == Builds::Two {
        compare::check(&first, &build_elsewhere(dist, &commit, &tools)?)?;
    }
    publish(&first, dist)?;
    Ok(first)
}

fn try_out(root: &Path, dist: &Path, products: &Products) -> Result<(), String> {
    tools::check(&tools::TO_TRY)?;
    install::check(root, dist, products)
}

/// Builds in a folder of another name, with crates that cargo finds under another name.
fn build_elsewhere(dist: &Path, commit: &Commit, tools: &Tools) -> Result<Products, String> {
    let folder = dist.join("again/in-a-folder-of-another-name");
    let home = folder.join("home-of-cargo");
    empty(&home)?;
    let own = tools::cargo_home()?;
    for entry in fs::read_dir(&own).map_err(|error| format!("cannot list {}: {error}", own.display()))? {
        let entry = entry.map_err(|error| error.to_string())?;
        std::os::unix::fs::symlink(entry.path(), home.join(entry.file_name()))
            .map_err(|error| error.to_string())?;
    }
    Build::new(folder.join("build"), home, commit, tools).run()
}

/// Puts the products and their checksums into `dist`, in place of those of an earlier run.
fn publish(products: &Products, dist: &Path) -> Result<(), String> {
    let failed = |error| format!("cannot write in {}: {error}", dist.display());
    for entry in fs::read_dir(dist).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            fs::remove_file(path).map_err(failed)?;
        }
    }
    let names = products.names()?;
    for name in &names {
        fs::copy(products.folder.join(name), dist.join(name)).map_err(failed)?;
    }
    let sums = output(Command::new("sha256sum").args(&names).current_dir(dist))?;
    fs::write(dist.join("SHA256SUMS"), &sums).map_err(failed)?;
    print!("{sums}");
    Ok(())
}

/// Runs a command to its end.
fn succeed(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} ended with {status}")),
        Err(error) => Err(format!("cannot start {}: {error}", command.get_program().display())),
    }
}

/// What a command prints, which has to succeed.
fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output =
        output.map_err(|error| format!("cannot start {}: {error}", command.get_program().display()))?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{command:?} printed no text: {error}"))
}

/// Makes a folder that is empty.
fn empty(folder: &Path) -> Result<(), String> {
    let failed = |error| format!("cannot make {}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)
}

#[cfg(test)]
mod tests {
    use cargo_metadata::MetadataCommand;

    /// What `Build` writes before the package is made, and what cargo builds.
    const MADE: [&str; 2] = ["../../pages/", "target/release/"];

    #[test]
    fn the_debian_package_is_made_of_files_that_exist() {
        let metadata = MetadataCommand::new().current_dir(crate::repository_root()).no_deps().exec().unwrap();
        let package =
            metadata.packages.iter().find(|package| package.name.as_str() == "cofferdam-cli").unwrap();
        let folder = package.manifest_path.parent().unwrap();
        let deb = &package.metadata["deb"];
        let assets = deb["assets"].as_array().unwrap().iter().map(|asset| asset[0].as_str().unwrap());
        let named =
            assets.chain([deb["license-file"][0].as_str().unwrap(), deb["changelog"].as_str().unwrap()]);
        for file in named.filter(|file| !MADE.iter().any(|made| file.starts_with(made))) {
            assert!(folder.join(file).is_file(), "{file}");
        }
    }
}
