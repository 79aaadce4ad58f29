//! A PostgreSQL server of a test's own: an ordinary user's, in a temporary directory, on a Unix socket alone.
//! Knows nothing of the tables.

use std::{
    env, fs,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use postgres::{Client, Config, NoTls};
use tempfile::TempDir;

/// It runs until it is dropped, also by a panic.
pub(super) struct Server {
    directory: TempDir,
    programs: PathBuf,
}

impl Server {
    /// One for all tests that run at the same time and do it no harm.
    pub(super) fn shared() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock();
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *running = Arc::downgrade(&server);
            server
        })
    }

    pub(super) fn start() -> Self {
        let directory = directory();
        if rustix::process::geteuid().is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let server = Self { directory, programs: programs() };
        let data = server.data();
        server.run(
            "initdb",
            &["-D", &data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        );
        server.start_again();
        server
    }

    /// Returns when it takes connections, after its recovery.
    pub(super) fn start_again(&self) {
        let socket = self.socket_directory().to_string_lossy().into_owned();
        let options = format!("-c listen_addresses='' -c unix_socket_directories='{socket}'");
        let log = format!("{socket}/log");
        self.run("pg_ctl", &["-D", &self.data(), "-l", &log, "-o", &options, "-w", "start"]);
    }

    /// As a crash: no session is told, nothing is written that a commit has not written.
    pub(super) fn crash(&self) {
        self.run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }

    pub(super) fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(self.socket_directory()).user(USER).dbname(database);
        config
    }

    /// Statements of a test's own.
    pub(super) fn client(&self, database: &str) -> Client {
        self.config(database).connect(NoTls).unwrap()
    }

    fn data(&self) -> String {
        self.directory.path().join("data").to_string_lossy().into_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.command(program).args(arguments).output().unwrap();
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}\n{log}");
    }

    /// The server refuses to be root's.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = Command::new("setpriv");
        if rustix::process::geteuid().is_root() {
            let id = NOBODY.to_string();
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program);
        } else {
            command = Command::new(program);
        }
        command.current_dir(self.directory.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have crashed already.
        let _ = self.command("pg_ctl").args(["-D", &self.data(), "-m", "immediate", "-w", "stop"]).output();
    }
}

/// In memory where there is room: the checks need the server's syncs, not a disk's.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
    if free > ROOM { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// On the search path, or where Debian has them: of several versions the latest.
fn programs() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let version = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<PathBuf> = debian.map(|folder| folder.unwrap().path()).collect();
    versions.sort_by_key(|folder| version(folder));
    let folders = env::split_paths(&path).chain(versions.into_iter().rev().map(|folder| folder.join("bin")));
    let found = folders.into_iter().find(|folder| folder.join("initdb").is_file());
    found.expect(
        "these tests start a server: apt-get install postgresql, or put initdb and pg_ctl on the path",
    )
}

pub(super) const USER: &str = "cofferdam";
/// What a few servers take, with room to spare.
const ROOM: u64 = 2 << 30;
/// Who owns nothing, on every system.
const NOBODY: u32 = 65_534;
