//! Owns one build of the products: which commands make them, in which environment.
//! What may differ between two machines is said to the compilers here: folders, times, flags of the user's own.

use std::fmt;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::Tools;
use super::{compare, empty, output, succeed};
use crate::steps;

/// The version of the products.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Of `docs`, what is installed: all that those refer to which an operator reads.
const DOCUMENTS: [&str; 9] = [
    "ARCHITECTURE.md",
    "DESIGN.md",
    "FORMAT.md",
    "MANIFEST.md",
    "OPERATIONS.md",
    "PARTS.md",
    "RUNBOOKS.md",
    "THREAT-MODEL.md",
    "TREE.md",
];
/// The same of `examples`.
const EXAMPLES: [&str; 4] = [
    "many-machines/README.md",
    "many-machines/kubernetes.yaml",
    "many-machines/processes.sh",
    "many-machines/slurm.sh",
];

/// What is built: the last commit. What the working tree has beside it is in no product.
pub(super) struct Commit {
    id: String,
    /// When it was made, in seconds since 1970: the time of every file in the products.
    seconds: String,
    root: PathBuf,
}

impl Commit {
    /// # Errors
    /// What git says.
    pub(super) fn last(root: &Path) -> Result<Commit, String> {
        let shown = output(Command::new("git").args(["log", "-1", "--format=%H %ct"]).current_dir(root))?;
        let (id, seconds) = shown.trim().split_once(' ').ok_or("git shows no commit")?;
        Ok(Commit { id: id.into(), seconds: seconds.into(), root: root.into() })
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commit {}, of {} s since 1970", self.id, self.seconds)
    }
}

/// A finished build.
pub(super) struct Products {
    /// What is handed out, files alone.
    pub(super) folder: PathBuf,
    /// What was compiled, before it was packed.
    compiled: PathBuf,
}

impl Products {
    /// Those that a build has left in its folder.
    pub(super) fn of(build: &Path) -> Products {
        Products { folder: build.join("products"), compiled: build.join("compiled") }
    }

    /// The names of the files that are handed out, in order.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub(super) fn names(&self) -> Result<Vec<String>, String> {
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into());
        Ok(files(&self.folder)?.iter().filter_map(name).collect())
    }

    /// The paths of all files, what was compiled before what was packed, each in order.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, String> {
        Ok([self.compiled()?, files(&self.folder)?].concat())
    }

    fn compiled(&self) -> Result<Vec<PathBuf>, String> {
        files(&self.compiled)
    }

    /// The folder that all files are under.
    pub(super) fn build(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

/// One build, in a folder of its own.
pub(super) struct Build<'a> {
    folder: PathBuf,
    /// Where cargo has the crates.
    home: PathBuf,
    commit: &'a Commit,
    tools: &'a Tools,
}

impl<'a> Build<'a> {
    pub(super) fn new(folder: PathBuf, home: PathBuf, commit: &'a Commit, tools: &'a Tools) -> Build<'a> {
        Build { folder, home, commit, tools }
    }

    /// Builds all products.
    ///
    /// # Errors
    /// What failed; a compiled file that names this machine's folders.
    pub(super) fn run(&self) -> Result<Products, String> {
        let products = self.folder.join("products");
        empty(&products)?;
        self.check_out()?;
        forget_other_times(&self.folder, &self.commit.seconds)?;
        let (host, kept) = (host()?, self.folder.join("compiled"));
        empty(&kept)?;
        let static_target = static_target(&host)?;
        let build = ["auditable", "build", "--locked", "--release"];
        succeed(self.cargo(&host, "")?.args(build).args(["-p", "cofferdam-cli"]))?;
        // Apart, since the next one may have the same name.
        let keep = |target: &str, name: &str, to: &str| {
            let copied = fs::copy(self.compiled(target, name), kept.join(to));
            copied.map_err(|error| format!("cannot keep {name}: {error}"))
        };
        keep(&host, "cofferdam", "cofferdam")?;
        self.write_pages(&kept.join("cofferdam"))?;
        let deb = ["deb", "--no-build", "--no-strip", "-p", "cofferdam-cli", "--output"];
        succeed(self.cargo(&host, "")?.args(deb).arg(&products))?;
        succeed(self.cargo(&host, "")?.args(build).args(["-p", "cofferdam-capi", "--lib"]))?;
        keep(&host, "libcofferdam_capi.so", "libcofferdam_capi.so")?;
        self.pack_library(&host, &products)?;
        self.build_wheel(&host, &products)?;
        keep(&host, "lib_native.so", "lib_native.so")?;
        succeed(
            self.cargo(&static_target, "-Ctarget-feature=+crt-static")?
                .args(build)
                .args(["-p", "cofferdam-cli"]),
        )?;
        self.pack_static(&static_target, &products)?;
        self.write_bills(&host, &products)?;
        keep(&static_target, "cofferdam", "cofferdam-static")?;
        let products = Products::of(&self.folder);
        for file in products.compiled()? {
            compare::check_compiled(&file, &[&self.folder, &self.home])?;
        }
        Ok(products)
    }

    fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    fn compiled(&self, target: &str, name: &str) -> PathBuf {
        self.folder.join("target").join(target).join("release").join(name)
    }

    /// The sources of the commit, and nothing else. A file that an earlier build has had as it is keeps its time, and one that
    /// changes gets the time of now, whatever that of its commit: by these cargo knows what is to be built again.
    fn check_out(&self) -> Result<(), String> {
        let source = self.source();
        if !source.join(".git").exists() {
            empty(&source)?;
            let clone = ["clone", "--quiet", "--shared", "--no-checkout"];
            succeed(Command::new("git").args(clone).arg(&self.commit.root).arg(&source))?;
        }
        let git = || {
            let mut git = Command::new("git");
            git.current_dir(&source);
            git
        };
        succeed(git().args(["checkout", "--quiet", "--force", "--detach", &self.commit.id]))?;
        succeed(git().args(["clean", "--quiet", "-ffdx"]))
    }

    /// Cargo for one target, with nothing of the folders, the clock or the user's flags in what it makes. That there is a
    /// target keeps the flags from build scripts and macros.
    fn cargo(&self, target: &str, flag: &str) -> Result<Command, String> {
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
        let renamed = [
            (self.folder.as_path(), "/cofferdam"),
            (&self.home, "/cargo"),
            (Path::new(sysroot.trim()), "/rust"),
        ]
        .map(|(from, to)| format!("{}={to}", from.display()));
        let mut flags = renamed.each_ref().map(|it| format!("--remap-path-prefix={it}")).to_vec();
        flags.extend((!flag.is_empty()).then(|| flag.to_owned()));
        let mut cargo = steps::cargo(&self.source());
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        cargo.env("CFLAGS", renamed.each_ref().map(|it| format!("-ffile-prefix-map={it}")).join(" "));
        cargo.env("CARGO_HOME", &self.home).env("CARGO_TARGET_DIR", self.folder.join("target"));
        cargo.env("CARGO_BUILD_TARGET", target).env("CARGO_INCREMENTAL", "0");
        cargo.env("SOURCE_DATE_EPOCH", &self.commit.seconds).env("LC_ALL", "C.UTF-8");
        self.tools.lend(&mut cargo)?;
        Ok(cargo)
    }

    /// What the program says of itself: manual pages and completions. `crates/cli/Cargo.toml` names them for the Debian package.
    fn write_pages(&self, program: &Path) -> Result<(), String> {
        let pages = self.source().join("pages");
        let man = pages.join("man1");
        empty(&man)?;
        succeed(Command::new(program).args(["man", "--dir"]).arg(&man))?;
        for (shell, name) in [("bash", "cofferdam"), ("zsh", "_cofferdam"), ("fish", "cofferdam.fish")] {
            let script = output(Command::new(program).args(["completions", shell]))?;
            let path = pages.join(shell);
            empty(&path)?;
            fs::write(path.join(name), script).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The static program, with what a package has beside it, as it lies under a prefix.
    fn pack_static(&self, target: &str, products: &Path) -> Result<(), String> {
        let (name, folder) = self.tree(target)?;
        let (source, pages) = (self.source(), self.source().join("pages"));
        let file = |from: PathBuf, to: &str| {
            let to = folder.join(to);
            let made = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::copy(&from, &to));
            made.map(|_| ()).map_err(|error| format!("cannot copy {}: {error}", from.display()))
        };
        file(self.compiled(target, "cofferdam"), "bin/cofferdam")?;
        for page in fs::read_dir(pages.join("man1")).map_err(|error| error.to_string())?.flatten() {
            file(page.path(), &format!("share/man/man1/{}", page.file_name().display()))?;
        }
        file(pages.join("bash/cofferdam"), "share/bash-completion/completions/cofferdam")?;
        file(pages.join("zsh/_cofferdam"), "share/zsh/site-functions/_cofferdam")?;
        file(pages.join("fish/cofferdam.fish"), "share/fish/vendor_completions.d/cofferdam.fish")?;
        for document in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"] {
            file(source.join(document), &format!("share/doc/cofferdam/{document}"))?;
        }
        for document in DOCUMENTS {
            file(source.join("docs").join(document), &format!("share/doc/cofferdam/docs/{document}"))?;
        }
        for example in EXAMPLES {
            file(source.join("examples").join(example), &format!("share/doc/cofferdam/examples/{example}"))?;
        }
        self.archive(&name, products)
    }

    /// The C library, its header and its pkg-config file, which finds the others wherever the archive is unpacked.
    fn pack_library(&self, target: &str, products: &Path) -> Result<(), String> {
        let (name, folder) = self.tree(&format!("c-{target}"))?;
        let library = self.compiled(target, "libcofferdam_capi.so");
        succeed(Command::new(self.source().join("crates/capi/install.sh")).arg(library).arg(&folder))?;
        let path = folder.join("lib/pkgconfig/cofferdam.pc");
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = text.replace(&format!("prefix={}", folder.display()), "prefix=${pcfiledir}/../..");
        fs::write(&path, text).map_err(|error| error.to_string())?;
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            fs::copy(self.source().join(licence), folder.join(licence)).map_err(|error| error.to_string())?;
        }
        self.archive(&name, products)
    }

    /// The name and the empty folder of an archive.
    fn tree(&self, of: &str) -> Result<(String, PathBuf), String> {
        let name = format!("cofferdam-{VERSION}-{of}");
        let folder = self.folder.join("trees").join(&name);
        empty(&folder)?;
        // As install.sh has it, which asks the system.
        Ok((name, folder.canonicalize().map_err(|error| error.to_string())?))
    }

    fn archive(&self, name: &str, products: &Path) -> Result<(), String> {
        let mut tar = Command::new("tar");
        tar.current_dir(self.folder.join("trees")).args([
            "-c",
            "-I",
            "gzip -n -9",
            "--format=ustar",
            "--sort=name",
        ]);
        tar.args(["--owner=0", "--group=0", "--numeric-owner", "--mode=u+rw,go=rX"]);
        tar.arg(format!("--mtime=@{}", self.commit.seconds));
        succeed(tar.arg("-f").arg(products.join(format!("{name}.tar.gz"))).arg(name))
    }

    fn build_wheel(&self, target: &str, products: &Path) -> Result<(), String> {
        let cargo = self.cargo(target, "")?;
        let mut maturin = Command::new(self.tools.python_tools.join("bin/maturin"));
        maturin
            .current_dir(self.source())
            .envs(cargo.get_envs().filter_map(|(name, value)| Some((name, value?))));
        maturin.args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--auditwheel",
            "check",
            "--target",
            target,
        ]);
        maturin.args(["--manifest-path", "python/Cargo.toml", "--out"]).arg(products);
        // It calls cargo itself, by this name.
        let auditable = self.folder.join("cargo-auditable.sh");
        let script = format!("#!/bin/sh\nexec '{}' auditable \"$@\"\n", cargo.get_program().display());
        let written = fs::write(&auditable, script);
        let written = written.and_then(|()| fs::set_permissions(&auditable, Permissions::from_mode(0o755)));
        written.map_err(|error| format!("{}: {error}", auditable.display()))?;
        succeed(maturin.env("CARGO", auditable))
    }

    /// The bills of materials: which crates, of which versions, are in the program, the library and the wheel.
    fn write_bills(&self, target: &str, products: &Path) -> Result<(), String> {
        let options =
            ["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--target", target];
        for (folder, package) in [
            ("crates/cli", "cofferdam-cli"),
            ("crates/capi", "cofferdam-capi"),
            ("python", "cofferdam-python"),
        ] {
            let manifest = format!("{folder}/Cargo.toml");
            succeed(self.cargo(target, "")?.args(options).args(["--manifest-path", &manifest]))?;
            let path = self.source().join(folder).join(format!("{package}.cdx.json"));
            let bill = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            // The ids of crates are their paths.
            let bill = bill.replace(&*self.folder.to_string_lossy(), "/cofferdam");
            let path = products.join(format!("{package}-{VERSION}.cdx.json"));
            fs::write(&path, bill).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// Has all be compiled anew in a folder whose last build was of another time. Crates that embed files have the time from SOURCE_DATE_EPOCH (rust-embed, of
/// which age's translations make use), and cargo does not know that they do.
fn forget_other_times(folder: &Path, seconds: &str) -> Result<(), String> {
    let noted = folder.join("time");
    if fs::read_to_string(&noted).is_ok_and(|time| time == seconds) {
        return Ok(());
    }
    // In this order: whoever is stopped in between begins with nothing.
    empty(&folder.join("target"))?;
    fs::write(&noted, seconds).map_err(|error| format!("{}: {error}", noted.display()))
}

/// The target of the compiler itself.
fn host() -> Result<String, String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.ok_or("rustc names no host")?.to_owned())
}

/// With musl where its standard library is installed: a static glibc asks for shared libraries of its own version when it
/// looks up names.
fn static_target(host: &str) -> Result<String, String> {
    let musl = host.replace("-gnu", "-musl");
    let folder = output(Command::new("rustc").args(["--print", "target-libdir", "--target", &musl]))?;
    if Path::new(folder.trim()).is_dir() {
        return Ok(musl);
    }
    println!(
        "dist: `rustup target add {musl}` is not done; the static program has glibc, and finds no name of a server"
    );
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> String {
        fs::read_to_string(crate::repository_root().join(path)).unwrap()
    }

    #[test]
    fn what_was_compiled_for_another_time_is_compiled_anew() {
        let folder = std::env::temp_dir().join(format!("cofferdam-dist-{}", std::process::id()));
        let kept = folder.join("target/kept");
        for (time, stays) in [("1", false), ("1", true), ("2", false), ("1", false)] {
            fs::create_dir_all(kept.parent().unwrap()).unwrap();
            fs::write(&kept, "").unwrap();
            forget_other_times(&folder, time).unwrap();
            assert_eq!(kept.exists(), stays, "{time}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_an_installed_document_refers_to_is_installed() {
        for document in DOCUMENTS {
            let text = read(&format!("docs/{document}"));
            for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
                let is_installed = match link.strip_prefix("../") {
                    Some(path) => {
                        path.strip_prefix("examples/").is_none_or(|example| EXAMPLES.contains(&example))
                    }
                    None => !link.ends_with(".md") || link.contains('/') || DOCUMENTS.contains(&link),
                };
                assert!(is_installed, "docs/{document} refers to {link}");
            }
        }
    }

    #[test]
    fn the_debian_package_has_the_same_documents() {
        let manifest = read("crates/cli/Cargo.toml");
        let names = |from: &str| {
            let lines = manifest.lines().filter_map(|line| line.trim().strip_prefix(from));
            lines.filter_map(|line| line.split('"').next()).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(names("[\"../../docs/"), DOCUMENTS);
        assert_eq!(names("[\"../../examples/"), EXAMPLES);
        let examples = crate::repository_root().join("examples/many-machines");
        let mut found: Vec<_> = fs::read_dir(examples)
            .unwrap()
            .map(|entry| format!("many-machines/{}", entry.unwrap().file_name().display()))
            .collect();
        found.sort();
        assert_eq!(found, EXAMPLES);
    }
}
