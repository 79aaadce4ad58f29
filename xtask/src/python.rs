//! The Python package as its users have it: a wheel, installed where nothing else of ours is, and tried there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use servers::installed::SEAWEEDFS;
use servers::{Identity, Place, SeaweedFs};

/// What builds and tries the wheel, from PyPI, in these versions.
const TOOLS: [&str; 6] = [
    "maturin==1.16.0",
    "mypy==1.18.2",
    "pytest==8.4.2",
    "fsspec==2026.9.0",
    "typing-extensions==4.15.0",
    "distributed==2026.8.0",
];

/// Builds the wheel once, installs it, checks its types and runs its tests. The program that they compare with is built by the step `tests`, and the server
/// of S3 is installed by `setup`; without them, those tests skip themselves.
///
/// # Errors
/// What failed.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let home = root.join("target/python");
    let paths = install(root, &home, &root.join("target"))?;
    let paths = paths.each_ref().map(PathBuf::as_path);
    let (package, tests) = (paths[0].join("cofferdam"), root.join("python/tests"));
    python(&paths, &["-m", "mypy", "--strict", "--cache-dir", "/dev/null", text(&package)?], &home)?;
    python(&paths, &["-m", "mypy.stubtest", "--ignore-missing-stub", "cofferdam._native"], &home)?;
    let store = Store::start()?;
    let mut pytest = command("python3", &paths, &[&PYTEST[..], &[text(&tests)?]].concat(), root)?;
    succeeds(pytest.envs(store.environment.iter().cloned()))
}

/// What the tests print whose names begin with `name`: those of the sources in `tree`, with their wheel, which is built in `target` and installed in `home`.
///
/// # Errors
/// They cannot be run.
pub(crate) fn printed_by(tree: &Path, home: &Path, target: &Path, name: &str) -> Result<String, String> {
    let paths = install(tree, home, target)?;
    let paths = paths.each_ref().map(PathBuf::as_path);
    let tests = tree.join("python/tests");
    let mut pytest = command("python3", &paths, &[&PYTEST[..], &["-k", name, text(&tests)?]].concat(), tree)?;
    let output = pytest.output().map_err(|error| format!("cannot start {pytest:?}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Builds the wheel of the sources in `root`, and installs it. Returns Python's path: where the wheel is, and where the tools are. The sources are not in
/// it: what is checked and tried is what was installed.
fn install(root: &Path, home: &Path, target: &Path) -> Result<[PathBuf; 2], String> {
    let [wheels, installed] = ["wheels", "installed"].map(|name| home.join(name));
    let tools = tools_in(home)?;
    empty(&wheels)?;
    empty(&installed)?;
    let manifest = root.join("python/Cargo.toml");
    let maturin = tools.join("bin/maturin");
    let build = ["build", "--quiet", "--profile", "dev", "--manifest-path", text(&manifest)?];
    let to = ["--target-dir", text(target)?, "--out", text(&wheels)?];
    succeeds(&mut command(text(&maturin)?, &[&tools], &[&build[..], &to].concat(), root)?)?;
    let wheel = fs::read_dir(&wheels).map_err(|error| error.to_string())?.flatten().next();
    let wheel = wheel.ok_or("maturin has made no wheel")?.path();
    let install =
        ["-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", text(&installed)?];
    python(&[], &[&install[..], &[text(&wheel)?]].concat(), root)?;
    Ok([installed, tools])
}

/// Installs what builds and tries the wheel, once. Where it is.
///
/// # Errors
/// What pip says.
pub(crate) fn tools(root: &Path) -> Result<PathBuf, String> {
    tools_in(&root.join("target/python"))
}

fn tools_in(home: &Path) -> Result<PathBuf, String> {
    let tools = home.join("tools");
    let stamp = tools.join(".installed");
    let due = TOOLS.join(" ");
    if fs::read_to_string(&stamp).ok().as_ref() != Some(&due) {
        empty(&tools)?;
        let pip = ["-m", "pip", "install", "--quiet", "--target", text(&tools)?];
        python(&[], &[&pip[..], &TOOLS].concat(), home)?;
        fs::write(&stamp, due).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    }
    Ok(tools)
}

/// What the tests are told of a server of S3, and the server, as long as they run.
#[derive(Default)]
struct Store {
    environment: Vec<(&'static str, String)>,
    _server: Option<SeaweedFs>,
}

impl Store {
    fn start() -> Result<Store, String> {
        if !SEAWEEDFS.program().is_file() {
            return Ok(Store::default());
        }
        let failed = |error: std::io::Error| format!("the server of S3: {error}");
        let server = SeaweedFs::start(Place::Memory).map_err(failed)?;
        let mut environment = server.environment(server.address(), Identity::Owner);
        environment.push(("COFFERDAM_TEST_BUCKET", server.new_bucket().map_err(failed)?));
        Ok(Store { environment, _server: Some(server) })
    }
}

fn python(paths: &[&Path], arguments: &[&str], folder: &Path) -> Result<(), String> {
    succeeds(&mut command("python3", paths, arguments, folder)?)
}

/// A program with nothing in Python's path but its own library and `paths`.
fn command(program: &str, paths: &[&Path], arguments: &[&str], folder: &Path) -> Result<Command, String> {
    let joined = std::env::join_paths(paths).map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("PYTHONPATH", joined).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("PIP_ROOT_USER_ACTION", "ignore").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    let ours = folder.join("target/debug/cofferdam");
    if ours.is_file() {
        command.env("COFFERDAM_PROGRAM", ours);
    }
    Ok(command)
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} ended with {status}")),
        Err(error) => Err(format!("cannot start {command:?}: {error}")),
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

const PYTEST: [&str; 5] = ["-m", "pytest", "-q", "-p", "no:cacheprovider"];
