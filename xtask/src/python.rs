//! The Python package as its users have it: a wheel, installed where nothing else of ours is, and tried there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What builds and tries the wheel, from PyPI, in these versions.
const TOOLS: [&str; 5] =
    ["maturin==1.16.0", "mypy==1.18.2", "pytest==8.4.2", "fsspec==2026.9.0", "typing-extensions==4.15.0"];

/// Builds the wheel once, installs it, checks its types and runs its tests. The program that they compare with is built by the step `tests`; without it,
/// those tests skip themselves.
///
/// # Errors
/// What failed.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let tools = tools(root)?;
    let home = root.join("target/python");
    let [wheels, installed] = ["wheels", "installed"].map(|name| home.join(name));
    empty(&wheels)?;
    empty(&installed)?;
    let target = root.join("target");
    let manifest = root.join("python/Cargo.toml");
    let maturin = tools.join("bin/maturin");
    let build = ["build", "--quiet", "--profile", "dev", "--manifest-path", text(&manifest)?];
    let to = ["--target-dir", text(&target)?, "--out", text(&wheels)?];
    run(text(&maturin)?, &[&tools], &[&build[..], &to].concat(), root)?;
    let wheel = fs::read_dir(&wheels).map_err(|error| error.to_string())?.flatten().next();
    let wheel = wheel.ok_or("maturin has made no wheel")?.path();
    let install =
        ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", text(&installed)?];
    python(&[], &[&install[..], &[text(&wheel)?]].concat(), root)?;
    // The sources are not in the path: what is checked and tried is what was installed.
    let paths = [&*installed, &*tools];
    let package = installed.join("cofferdam");
    python(&paths, &["-m", "mypy", "--strict", "--cache-dir", "/dev/null", text(&package)?], &home)?;
    python(&paths, &["-m", "mypy.stubtest", "--ignore-missing-stub", "cofferdam._native"], &home)?;
    let tests = root.join("python/tests");
    python(&paths, &["-m", "pytest", "-q", "-p", "no:cacheprovider", text(&tests)?], root)
}

/// Installs what builds and tries the wheel, once. Where it is.
///
/// # Errors
/// What pip says.
pub(crate) fn tools(root: &Path) -> Result<PathBuf, String> {
    let tools = root.join("target/python/tools");
    let stamp = tools.join(".installed");
    let due = TOOLS.join(" ");
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&due) {
        empty(&tools)?;
        let install = ["-m", "pip", "install", "--quiet", "--target", text(&tools)?];
        python(&[], &install.into_iter().chain(TOOLS).collect::<Vec<_>>(), root)?;
        fs::write(&stamp, due).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    }
    Ok(tools)
}

fn python(paths: &[&Path], arguments: &[&str], folder: &Path) -> Result<(), String> {
    run("python3", paths, arguments, folder)
}

/// Runs a program with nothing in Python's path but its own library and `paths`.
fn run(program: &str, paths: &[&Path], arguments: &[&str], folder: &Path) -> Result<(), String> {
    let joined = std::env::join_paths(paths).map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("PYTHONPATH", joined).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("PIP_ROOT_USER_ACTION", "ignore").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    let ours = folder.join("target/debug/cofferdam");
    if ours.is_file() {
        command.env("COFFERDAM_PROGRAM", ours);
    }
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {} ended with {status}", arguments.join(" "))),
        Err(error) => Err(format!("cannot start {program}: {error}")),
    }
}

fn empty(folder: &Path) -> Result<(), String> {
    let failed = |error| format!("cannot make {}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed)?;
    }
    fs::create_dir_all(folder).map_err(failed)
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| format!("{} is no text", path.display()))
}
