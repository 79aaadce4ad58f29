//! Owns the trial of the products: each is installed where nothing else is, and does there what the README says first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::build::Products;
use super::{empty, output, succeed};
use crate::tidy;

/// Needs to be root: each place is a root directory of its own.
///
/// # Errors
/// What cannot be installed, or does not work where it is.
pub(super) fn check(root: &Path, dist: &Path, products: &Products) -> Result<(), String> {
    let commands = first_commands(&tidy::read(&root.join("README.md"))?)?;
    let trials = dist.join("trials");
    let product = |end: &str| {
        let mut names =
            products.names()?.into_iter().filter(|name| name.ends_with(end) && !name.contains("-c-"));
        names.next_back().map(|name| dist.join(name)).ok_or_else(|| format!("no product ends with {end}"))
    };
    let library =
        products.names()?.into_iter().find(|name| name.contains("-c-")).ok_or("no archive of the library")?;
    static_program(&trials.join("static"), &product(".tar.gz")?, &commands)?;
    let debian = trials.join("debian");
    debian_package(&debian, &product(".deb")?, &commands)?;
    c_library(root, &trials.join("c"), &dist.join(library), &debian)?;
    wheel(&trials.join("python"), &product(".whl")?)?;
    fs::remove_dir_all(&trials).map_err(|error| format!("{}: {error}", trials.display()))
}

/// The commands of the README's block, up to the first restore, without their comments.
fn first_commands(readme: &str) -> Result<Vec<String>, String> {
    let lines = readme
        .lines()
        .skip_while(|line| *line != "## The command")
        .filter(|line| line.starts_with("cofferdam "));
    let mut commands = Vec::new();
    for line in lines {
        commands.push(line.split(" #").next().unwrap_or(line).trim().to_owned());
        if line.starts_with("cofferdam restore ") {
            return Ok(commands);
        }
    }
    Err("the README has no block of commands with a restore".into())
}

/// A root directory in which the README's commands are run.
struct Trial<'a> {
    root: &'a Path,
    /// The program, as it is called in there.
    program: &'a str,
}

impl Trial<'_> {
    fn command(&self, program: &str) -> Command {
        let mut chroot = Command::new("chroot");
        chroot
            .arg(self.root)
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/");
        chroot
    }

    /// Runs them, and compares what they restored with what they sealed.
    fn run(&self, commands: &[String]) -> Result<(), String> {
        let path = |name: &str| self.root.join(name);
        for (name, len) in [("db.img", INPUT_LEN), ("big.img", 2 * INPUT_LEN)] {
            fs::write(path(name), content(len)).map_err(|error| error.to_string())?;
        }
        let mut recipient = String::new();
        for command in commands {
            println!("dist: {}: {command}", self.root.display());
            let words = command
                .split_whitespace()
                .skip(1)
                .map(|word| if word == "age1…" { &recipient } else { word });
            let words: Vec<String> = words.map(str::to_owned).collect();
            let printed = output(self.command(self.program).args(words))?;
            if command.contains(" keygen ") {
                recipient = printed
                    .split_whitespace()
                    .find(|word| word.starts_with("age1"))
                    .unwrap_or_default()
                    .into();
            }
        }
        same(&path("db.img"), &path("db.img.new"))
    }
}

/// The demo, with `/proc`, in which a program finds itself, mounted for it alone.
fn demo(root: &Path) -> Result<(), String> {
    let script = r#"mount --bind /proc "$0/proc" && exec chroot "$0" cofferdam demo --dir / /db.img"#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script]).arg(root).stdout(Stdio::null());
    succeed(&mut unshare)
}

/// The program alone in a root directory: no shell, no library, no folder for temporary files.
fn static_program(folder: &Path, archive: &Path, commands: &[String]) -> Result<(), String> {
    let (unpacked, root) = (folder.join("unpacked"), folder.join("root"));
    unpack(archive, &unpacked)?;
    empty(&root)?;
    let copied = fs::copy(unpacked.join("bin/cofferdam"), root.join("cofferdam"));
    copied.map_err(|error| format!("{}: {error}", archive.display()))?;
    Trial { root: &root, program: "/cofferdam" }.run(commands)?;
    println!("dist: {} works where nothing else is", archive.display());
    Ok(())
}

/// The package in the smallest Debian of this machine's release: installed, installed again, and removed without a trace.
fn debian_package(root: &Path, package: &Path, commands: &[String]) -> Result<(), String> {
    let release = output(Command::new("sh").args(["-c", ". /etc/os-release && echo $VERSION_CODENAME"]))?;
    empty(root)?;
    succeed(Command::new("mmdebstrap").args(["--quiet", "--variant=essential", release.trim()]).arg(root))?;
    let name = package.file_name().ok_or("a package without a name")?;
    fs::copy(package, root.join(name)).map_err(|error| format!("{}: {error}", package.display()))?;
    let trial = Trial { root, program: "cofferdam" };
    let in_root = |program: &str, arguments: &[&str]| output(trial.command(program).args(arguments));
    let file = format!("/{}", name.display());
    for _ in ["at first", "over itself"] {
        in_root("dpkg", &["--install", &file])?;
        trial.run(commands)?;
        for made in ["db.img.cfd", "db.zst.cfd", "big.img.cfd", "db.img.new", "key.txt"] {
            fs::remove_file(root.join(made)).map_err(|error| format!("{made}: {error}"))?;
        }
    }
    demo(root)?;
    in_root("dpkg", &["--verify", "cofferdam"])?;
    in_root("bash", &["-n", "/usr/share/bash-completion/completions/cofferdam"])?;
    let listed = in_root("dpkg", &["--listfiles", "cofferdam"])?;
    for expected in PACKAGED {
        if !listed.lines().any(|line| line == expected) || !root.join(&expected[1..]).is_file() {
            return Err(format!("{}: it has no {expected}", package.display()));
        }
    }
    // The library's trial needs the root as it is, and not the package.
    in_root("dpkg", &["--purge", "cofferdam"])?;
    let left = listed.lines().filter(|line| line.contains("cofferdam") && root.join(&line[1..]).exists());
    match left.count() {
        0 => println!("dist: {} installs, works, and goes without a trace", package.display()),
        count => return Err(format!("{}: {count} files stay where it is removed", package.display())),
    }
    Ok(())
}

/// A program in C, built with what the archive holds wherever it is unpacked, and run in the root directory of Debian.
fn c_library(root: &Path, folder: &Path, archive: &Path, debian: &Path) -> Result<(), String> {
    unpack(archive, folder)?;
    let mut pkg_config = Command::new("pkg-config");
    pkg_config.args(["--cflags", "--libs", "cofferdam"]).env("PKG_CONFIG_PATH", folder.join("lib/pkgconfig"));
    let flags = output(&mut pkg_config)?;
    let program = debian.join("seal_and_restore");
    let mut cc = Command::new("cc");
    cc.arg(root.join("crates/capi/examples/seal_and_restore.c")).args(flags.split_whitespace());
    succeed(cc.arg("-o").arg(&program))?;
    succeed(Command::new("cp").arg("-a").arg(folder.join("lib")).arg(debian.join("library")))?;
    let mut run = Trial { root: debian, program: "" }.command("/seal_and_restore");
    run.args(["db.img", "db.img.cfd", "db.img.new"]).env("LD_LIBRARY_PATH", "/library");
    succeed(&mut run)?;
    same(&debian.join("db.img"), &debian.join("db.img.new"))?;
    println!("dist: {} builds a program that works", archive.display());
    Ok(())
}

/// The wheel in a new environment of each Python here that is recent enough, with nothing but itself.
fn wheel(folder: &Path, wheel: &Path) -> Result<(), String> {
    for python in pythons() {
        let is_recent = ["-c", "import sys; sys.exit(sys.version_info < (3, 11))"];
        if !Command::new(&python).args(is_recent).status().is_ok_and(|status| status.success()) {
            continue;
        }
        empty(folder)?;
        succeed(Command::new(&python).args(["-m", "venv"]).arg(folder.join("venv")))?;
        let inside = folder.join("venv/bin/python");
        let install = ["-I", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"];
        succeed(Command::new(&inside).args(install).arg(wheel))?;
        fs::write(folder.join("db.img"), content(INPUT_LEN)).map_err(|error| error.to_string())?;
        print!("dist: {} works in ", wheel.display());
        succeed(Command::new(&inside).args(["-I", "-c", PYTHON_TRIAL]).current_dir(folder).env_clear())?;
        same(&folder.join("db.img"), &folder.join("db.img.new"))?;
    }
    // Of the one that is called so, at least, there has to be a line.
    if folder.join("db.img.new").exists() { Ok(()) } else { Err("no Python of 3.11 or later is here".into()) }
}

/// The one on the search path, and those that pyenv has.
fn pythons() -> Vec<PathBuf> {
    let root = Command::new("pyenv").arg("root").output().map(|output| output.stdout).unwrap_or_default();
    let versions = Path::new(String::from_utf8_lossy(&root).trim()).join("versions");
    let installed = fs::read_dir(versions).into_iter().flatten().flatten();
    std::iter::once("python3".into())
        .chain(installed.map(|version| version.path().join("bin/python3")))
        .collect()
}

fn unpack(archive: &Path, folder: &Path) -> Result<(), String> {
    empty(folder)?;
    succeed(Command::new("tar").args(["-x", "--strip-components=1", "-f"]).arg(archive).arg("-C").arg(folder))
}

fn same(one: &Path, other: &Path) -> Result<(), String> {
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    match read(one)? == read(other)? {
        true => Ok(()),
        false => Err(format!("{} is not {}", other.display(), one.display())),
    }
}

/// Bytes that no two blocks have alike.
fn content(len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(18);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

/// A few segments, the last of them short.
const INPUT_LEN: usize = (20 << 20) + 1;

/// What a user looks for.
const PACKAGED: [&str; 6] = [
    "/usr/bin/cofferdam",
    "/usr/share/man/man1/cofferdam.1.gz",
    "/usr/share/man/man1/cofferdam-restore.1.gz",
    "/usr/share/bash-completion/completions/cofferdam",
    "/usr/share/zsh/vendor-completions/_cofferdam",
    "/usr/share/fish/vendor_completions.d/cofferdam.fish",
];

/// The first lines of `python/README.md`.
const PYTHON_TRIAL: &str = r#"
import sys, cofferdam
identity = cofferdam.Identity.generate()
with open("key.txt", "w") as file:
    file.write(identity.file_text())
cofferdam.seal("db.img", "db.img.cfd", identity.recipient)
cofferdam.restore("db.img.cfd", "db.img.new", "key.txt")
print(sys.version.split()[0], cofferdam.__file__)
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_commands_that_a_trial_can_run() {
        let readme = tidy::read(&crate::repository_root().join("README.md")).unwrap();
        let commands = first_commands(&readme).unwrap();
        assert_eq!(commands[0], "cofferdam keygen -o key.txt");
        assert_eq!(commands.last().unwrap(), "cofferdam restore -i key.txt db.img.cfd db.img.new");
        // Anything but words needs a shell, which an empty root does not have.
        assert!(commands.iter().all(|command| !command.contains(['|', '>', '"', '\'', '$', ';'])));
    }
}
