//! A drill of a real PostgreSQL base backup: it is unpacked, verified, started, and asked.
//! The server is an ordinary user's, in a directory of the test's, on a Unix socket alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::drilling::copy_program;
use crate::place::{Place, Ran};
use crate::programs::skipped;

/// Runs as a user who may have a server, which root may not.
struct User {
    directory: PathBuf,
    /// Of PostgreSQL's programs.
    programs: PathBuf,
}

impl User {
    /// With a program of ours, since the one that is tested may lie where this user cannot go.
    fn new(place: &Place, programs: PathBuf) -> User {
        let directory = place.path("user");
        fs::create_dir(&directory).unwrap();
        copy_program(Path::new(env!("CARGO_BIN_EXE_cofferdam")), &directory.join("cofferdam"));
        fs::copy(place.path("key.txt"), directory.join("key.txt")).unwrap();
        if is_root() {
            fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(0o711)).unwrap();
            for path in [directory.clone(), directory.join("key.txt")] {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        User { directory, programs }
    }

    /// A line of shell, with PostgreSQL's programs and ours on the search path.
    fn shell(&self, line: &str) -> Ran {
        let mut command = match is_root() {
            false => Command::new("sh"),
            true => {
                let mut command = Command::new("setpriv");
                let id = NOBODY.to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "sh"]);
                command
            }
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{path}", self.directory.display(), self.programs.display());
        command
            .args(["-ec", line])
            .current_dir(&self.directory)
            .env("PATH", path)
            .env("HOME", &self.directory);
        Ran::of(command.output().unwrap())
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.shell("pg_ctl -D data -m immediate -w stop >>log 2>&1 || true");
    }
}

#[test]
fn a_base_backup_is_unpacked_verified_started_and_asked() {
    let Some(programs) = programs() else {
        skipped("no PostgreSQL here; `cargo xtask setup` installs it");
        return;
    };
    let place = Place::new();
    let user = User::new(&place, programs);
    let make = format!(
        "initdb -D data -U postgres -A trust --no-sync >>log
        pg_ctl -D data -l log -w -o \"-c listen_addresses='' -c unix_socket_directories='$PWD'\" start >>log
        psql -h \"$PWD\" -U postgres -qc 'create table accounts as select n, n * 7 as balance from generate_series(1, 5000) n'
        pg_basebackup -h \"$PWD\" -U postgres -Ft -X fetch -D - >base.tar
        cofferdam seal -r {} --sequence $(date +%s) -o base.cfd base.tar
        mkdir scratch",
        place.recipient
    );
    user.shell(&make).assert_done();
    place.write_program(user.directory.join("check.sh"), CHECK);
    fs::set_permissions(user.directory.join("check.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(user.directory.join("drill.toml"), DRILL).unwrap();
    if is_root() {
        chown(user.directory.join("drill.toml"), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let ran = user.shell("cofferdam drill drill.toml");
    let evidence: Value =
        serde_json::from_slice(&fs::read(user.directory.join("drill.json")).unwrap()).unwrap();
    let said = &evidence["streams"][0];
    assert_eq!(ran.code, 0, "{}\n{said:#}", ran.stderr);
    // The sum of 7, 14, … 35000, which the server was asked for.
    let sum = 7 * 5000 * 5001 / 2;
    let output = said["check"]["output_tail"].as_str().unwrap();
    assert!(output.contains("backup successfully verified"), "{output}");
    assert!(output.trim_end().ends_with(&format!("sum {sum}")), "{output}");
    assert!(said["age_seconds"].as_u64().is_some());
    assert_eq!(fs::read_dir(user.directory.join("scratch")).unwrap().count(), 0);
    assert!(is_over(&user.directory.join("scratch")), "the restored server goes on");

    // A backup that was sealed with a hole in it: every byte of it is what was sealed, and its own check finds it.
    let spoil = format!(
        "offset=$(grep -abom1 'accounts' base.tar | cut -d: -f1)
        dd if=/dev/urandom of=base.tar bs=1 seek=$offset count=4 conv=notrunc 2>>log
        cofferdam seal --force -r {} --sequence $(date +%s) -o base.cfd base.tar
        cofferdam drill drill.toml",
        place.recipient
    );
    user.shell(&spoil).assert_failed(16, "base backup: the check ended with ");
    assert_eq!(fs::read_dir(user.directory.join("scratch")).unwrap().count(), 0);
}

/// Whether no process has anything below `directory` as its working directory.
fn is_over(directory: &Path) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut directories = processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok());
    !directories.any(|at| at.starts_with(directory))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// On the search path, or where Debian has them: of several versions the latest.
fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    folders.sort_by_key(|folder| folder.parent()?.file_name()?.to_str()?.parse::<u32>().ok());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = folders.into_iter().rev().chain(std::env::split_paths(&path));
    found.find(|folder| ["initdb", "pg_verifybackup"].iter().all(|name| folder.join(name).is_file()))
}

/// Who owns nothing, on every system.
const NOBODY: u32 = 65_534;

const DRILL: &str = "
scratch = \"scratch\"
evidence = \"drill.json\"

[[stream]]
name = \"base backup\"
sealed = \"base.cfd\"
identity = [\"key.txt\"]
mode = \"restore\"
check = [\"./check.sh\", \"{}\"]
check_timeout = \"5m\"
max_age = \"1d\"
sequence_is_time = true
";

/// As docs/RUNBOOKS.md has it.
const CHECK: &str = r#"#!/bin/sh
set -e
mkdir -m 700 data
tar -xf "$1" -C data
pg_verifybackup data
apart="-c archive_mode=off -c max_logical_replication_workers=0 -c port=5432"
pg_ctl -D data -l log -w -o "-c listen_addresses='' -c unix_socket_directories='$PWD' $apart" start >/dev/null
trap 'pg_ctl -D data -m immediate -w stop >/dev/null' EXIT
psql -h "$PWD" -p 5432 -U postgres -qtAc "select 'sum ' || sum(balance) from accounts"
"#;
