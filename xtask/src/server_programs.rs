//! Owns the programs that Debian does not have, servers above all, and their installation by the package managers of Python, Node.js
//! and Rust. Knows neither where those get them from, nor what the programs are told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use servers::installed::{AZURITE, Package, RAGE, SEAWEEDFS, find_on_path};

/// A program that tests start, in a folder of its own.
pub(crate) struct ServerProgram {
    package: Package,
    purpose: &'static str,
    installer: Installer,
}

/// Who installs it.
#[derive(Clone, Copy)]
enum Installer {
    Pip,
    Npm,
    Cargo,
}

/// The servers that every run of the tests needs.
const SERVERS: [ServerProgram; 2] = [
    ServerProgram {
        package: SEAWEEDFS,
        purpose: "the tests restore from it and upload to it by S3",
        installer: Installer::Pip,
    },
    ServerProgram {
        package: AZURITE,
        purpose: "the tests restore from it and upload to it as to Azure",
        installer: Installer::Npm,
    },
];

/// What `cargo xtask age --full` alone needs: it takes minutes to build.
pub(crate) const OTHER_AGE: ServerProgram = ServerProgram {
    package: RAGE,
    purpose: "its files and ours are opened by the other",
    installer: Installer::Cargo,
};

/// Those servers that are not installed.
pub(crate) fn missing() -> Vec<&'static ServerProgram> {
    SERVERS.iter().filter(|server| !server.package.program().is_file()).collect()
}

impl ServerProgram {
    /// What is missing, and what for.
    pub(crate) fn line(&self) -> String {
        format!("{} {}: {}", self.package.name, self.package.version, self.purpose)
    }

    /// The Debian packages that its installation needs and that are not here.
    pub(crate) fn debian_packages(&self) -> Vec<&'static str> {
        match self.installer {
            Installer::Pip if succeeds("python3", &["-m", "pip", "--version"]) => vec![],
            Installer::Pip => vec!["python3", "python3-pip"],
            Installer::Npm if find_on_path("npm").is_some() && find_on_path("node").is_some() => vec![],
            Installer::Npm => vec!["nodejs", "npm"],
            Installer::Cargo => vec![],
        }
    }

    /// The command that installs it.
    pub(crate) fn by_hand(&self) -> String {
        let (program, arguments) = self.command(&self.package.folder());
        format!("{program} {}", arguments.join(" "))
    }

    /// The program, which is installed if it is not here.
    ///
    /// # Errors
    /// What failed.
    pub(crate) fn provide(&self) -> Result<PathBuf, String> {
        let program = self.package.program();
        if !program.is_file() {
            self.install()?;
        }
        Ok(program)
    }

    /// Installs it beside its place first: a folder in its place is whole.
    ///
    /// # Errors
    /// What failed.
    pub(crate) fn install(&self) -> Result<(), String> {
        println!("== installing {} {}", self.package.name, self.package.version);
        let folder = self.package.folder();
        let beside = folder.with_file_name(format!("{}.partial", self.package.name));
        let failed = |error| format!("cannot make {}: {error}", folder.display());
        if beside.exists() {
            fs::remove_dir_all(&beside).map_err(failed)?;
        }
        fs::create_dir_all(&beside).map_err(failed)?;
        let (program, arguments) = self.command(&beside);
        let mut command = Command::new(program);
        // pip warns administrators of the system's folders, which it leaves alone here.
        command.args(&arguments).env("PIP_ROOT_USER_ACTION", "ignore");
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("{program} {} ended with {status}", arguments.join(" "))),
            Err(error) => return Err(format!("cannot start {program}: {error}")),
        }
        fs::rename(&beside, &folder).map_err(failed)?;
        match self.package.program().is_file() {
            true => Ok(()),
            false => Err(format!("{} is still missing", self.package.program().display())),
        }
    }

    fn command(&self, folder: &Path) -> (&'static str, Vec<String>) {
        let Package { name, version, .. } = self.package;
        let folder = folder.to_string_lossy().into_owned();
        let (program, arguments, package) = match self.installer {
            Installer::Pip => (
                "python3",
                ["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"].as_slice(),
                format!("{name}=={version}"),
            ),
            Installer::Npm => (
                "npm",
                ["install", "--loglevel=error", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]
                    .as_slice(),
                format!("{name}@{version}"),
            ),
            Installer::Cargo => (
                "cargo",
                ["install", "--locked", "--no-track", "--root"].as_slice(),
                format!("{name}@{version}"),
            ),
        };
        let arguments = arguments.iter().map(|argument| String::from(*argument));
        (program, arguments.chain([folder, package]).collect())
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_by_hand_names_the_version_and_the_folder() {
        for server in SERVERS.iter().chain([&OTHER_AGE]) {
            let command = server.by_hand();
            assert!(command.contains(server.package.version), "{command}");
            assert!(command.contains(&*server.package.folder().to_string_lossy()), "{command}");
        }
    }
}
