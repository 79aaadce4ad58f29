//! A PostgreSQL server that archives through the module: an ordinary user's, in a directory of the test's, on a Unix socket alone.
//! Its settings are those of docs/OPERATIONS.md, word by word, but for places and keys.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::installed::{Installed, copy};
use crate::programs::{has, skipped};

/// It runs until it is dropped, also by a panic.
pub(crate) struct Server {
    directory: TempDir,
    /// Of PostgreSQL's programs.
    programs: PathBuf,
    recipient: String,
}

impl Server {
    /// A server that has never been started, and archives into `archive`. None where there is no PostgreSQL.
    pub(crate) fn new() -> Option<Server> {
        let Some(programs) = programs() else {
            skipped("no PostgreSQL here; `cargo xtask setup` installs it");
            return None;
        };
        if !has(&["make", "cc", "pkg-config"], &["postgresql"]) {
            return None;
        }
        let installed = Installed::shared();
        let directory = directory();
        let mut server = Server { directory, programs, recipient: String::new() };
        copy(Path::new(env!("CARGO_BIN_EXE_cofferdam")), &server.path("cofferdam"));
        copy(&installed.library(), &server.path("lib"));
        copy(&installed.archive_module(&server.programs), &server.path("cofferdam_archive.so"));
        fs::create_dir(server.path("archive")).unwrap();
        if geteuid().is_root() {
            for path in [server.path(""), server.path("archive")] {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        server.recipient = server.done("cofferdam keygen -o wal.key").trim().to_owned();
        server.done("initdb -D data -U postgres -A trust --wal-segsize=1 --no-sync");
        let settings = server.here(&block("archive_library"));
        let settings =
            settings.replace("'cofferdam_archive'", &format!("'{}'", server.text("cofferdam_archive.so")));
        server.append("data/postgresql.conf", &format!("{settings}{SETTINGS}"));
        Some(server)
    }

    /// A line of the documentation, with this server's places and keys.
    pub(crate) fn here(&self, settings: &str) -> String {
        settings
            .replace("age1…", &self.recipient)
            .replace("/srv/wal", &self.text("archive"))
            .replace("/etc/cofferdam/wal.key", &self.text("wal.key"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn recipient(&self) -> &str {
        &self.recipient
    }

    /// Appends to a file that is the server's.
    pub(crate) fn append(&self, name: &str, text: &str) {
        let mut whole = fs::read_to_string(self.path(name)).unwrap_or_default();
        whole.push_str(text);
        self.write(name, whole.as_bytes());
    }

    /// Writes a file that is then the server's.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
        if geteuid().is_root() {
            chown(self.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    /// Starts the one in `data`, and returns when it takes connections, after its recovery.
    pub(crate) fn start(&self, data: &str) {
        let started = self.shell(&self.start_line(data));
        assert!(started.status.success(), "{}\n{}", String::from_utf8_lossy(&started.stderr), self.log());
    }

    /// The command that starts it.
    pub(crate) fn start_line(&self, data: &str) -> String {
        format!(
            "pg_ctl -D {data} -l log -w -t 120 -o \"-c listen_addresses='' -c unix_socket_directories='$PWD'\" start >>pg_ctl.log"
        )
    }

    /// As an operator stops it.
    pub(crate) fn stop(&self, data: &str) {
        self.done(&format!("pg_ctl -D {data} -m fast -w -t 120 stop"));
    }

    /// Kills every process of it at once, as nothing but a power cut does otherwise.
    pub(crate) fn kill(&self, data: &str) {
        let Some(server) = self.pid(data) else { return };
        // Who stands still starts no process that would outlive it, and keep its memory from the next one.
        let _ = kill_process(server, Signal::STOP);
        wait_until("the server to stand still", || {
            stat(server).is_none_or(|(state, _)| matches!(state, 'T' | 'Z' | 'X'))
        });
        let of_server = children(server);
        // The first of them first, so that it sees nothing.
        for pid in [server].into_iter().chain(of_server.iter().copied()) {
            let _ = kill_process(pid, Signal::KILL);
        }
        wait_until("the end of the server", || !of_server.iter().chain([&server]).any(|pid| is_alive(*pid)));
        // After a power cut its number is nobody's, but here it may be a zombie's.
        for lock in [self.path(data).join("postmaster.pid"), self.path(".s.PGSQL.5432.lock")] {
            let _ = fs::remove_file(lock);
        }
    }

    pub(crate) fn pid(&self, data: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.path(data).join("postmaster.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.parse().ok()?)
    }

    /// The process that archives, when there is one.
    pub(crate) fn archiver(&self, data: &str) -> Pid {
        let found = Cell::new(None);
        wait_until("the archiver", || {
            let children = self.pid(data).map(children).unwrap_or_default();
            found.set(children.into_iter().find(|pid| command_line(*pid).contains("archiver")));
            found.get().is_some()
        });
        found.get().unwrap()
    }

    /// What statements answer.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|said| panic!("{statements}: {said}\n{}", self.log()))
    }

    /// The same, for a server that may be killed meanwhile.
    pub(crate) fn try_sql(&self, statements: &str) -> Result<String, String> {
        let mut command = self.command("psql");
        command.args([
            "-h",
            &self.text(""),
            "-U",
            "postgres",
            "-X",
            "-v",
            "ON_ERROR_STOP=1",
            "-qtAc",
            statements,
        ]);
        let output = command.output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// The segment that is written now.
    pub(crate) fn segment(&self) -> String {
        self.sql("select pg_walfile_name(pg_current_wal_lsn())")
    }

    /// Writes something and switches to the next segment; the name of the one that is full.
    pub(crate) fn fill_segment(&self) -> String {
        self.sql("create table if not exists filler (n int); insert into filler values (1)");
        let segment = self.segment();
        self.sql("select pg_switch_wal()");
        segment
    }

    /// Where the archive has the file of this name.
    pub(crate) fn sealed(&self, file: &str) -> PathBuf {
        self.path("archive").join(format!("{file}.cfd"))
    }

    /// A segment full of what does not compress; its name.
    pub(crate) fn fill_whole_segment(&self) -> String {
        let segment = self.segment();
        self.sql(
            "select pg_logical_emit_message(true, 'filler', string_agg(md5(random()::text || n), '')) from generate_series(1, 30000) n;
            select pg_switch_wal()",
        );
        segment
    }

    /// Has the running server take these settings.
    pub(crate) fn set(&self, settings: &str) {
        self.write("data/postgresql.auto.conf", settings.as_bytes());
        self.sql("select pg_reload_conf()");
    }

    /// Seconds of processor time that a process, and those it has waited for, have taken.
    pub(crate) fn processor_time(&self, process: Pid) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap();
        // proc(5): utime, stime, cutime and cstime are the 14th to the 17th field.
        let fields = stat.rsplit_once(") ").unwrap().1.split(' ').skip(11).take(4);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
        ticks as f64 / USER_HZ
    }

    /// Waits until the server knows that the file is archived.
    pub(crate) fn wait_for_archived(&self, file: &str) {
        self.wait_for_archived_by("data", file);
    }

    /// The same, of the server in `data`.
    pub(crate) fn wait_for_archived_by(&self, data: &str, file: &str) {
        let status =
            |ending: &str| self.path(&format!("{data}/pg_wal/archive_status/{file}.{ending}")).exists();
        let is_archived = || status("done") || (!status("ready") && self.sealed(file).exists());
        self.wait(&format!("{file} to be archived"), is_archived);
    }

    /// Waits until the log has these words after its first `from` bytes.
    pub(crate) fn wait_for_words(&self, from: usize, words: &str) {
        self.wait(words, || self.log()[from..].contains(words));
    }

    /// Waits, and shows the log where that is in vain.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < end, "waited for {what} in vain\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The plaintext of what the archive has of the file of this name.
    pub(crate) fn opened(&self, file: &str) -> Vec<u8> {
        let output = self.shell(&format!("cofferdam cat -i wal.key archive/{file}.cfd"));
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The files that the archive has, without the ending.
    pub(crate) fn archived(&self) -> Vec<String> {
        let names = fs::read_dir(self.path("archive")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| Some(name.strip_suffix(".cfd")?.to_owned())).collect()
    }

    /// Runs a line of shell that has to succeed; what it printed.
    pub(crate) fn done(&self, line: &str) -> String {
        let output = self.shell(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// A line of shell, with PostgreSQL's programs and ours on the search path.
    pub(crate) fn shell(&self, line: &str) -> Output {
        let mut command = self.command("sh");
        command.args(["-ec", line]);
        command.output().unwrap()
    }

    /// Puts faults into the system calls of a process, as strace(1) takes them behind `inject=`; returns once it does.
    pub(crate) fn strace(&self, process: Pid, fault: &str) -> Child {
        let log = self.path("strace.log");
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-p",
            &process.as_raw_nonzero().to_string(),
            "-e",
            &format!("inject={fault}"),
            "-o",
            "/dev/null",
        ]);
        command.stderr(fs::File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        wait_until("strace", || fs::read_to_string(&log).unwrap().contains("attached"));
        child
    }

    /// As the user who may have a server, which root may not.
    fn command(&self, program: &str) -> Command {
        let mut command = match geteuid().is_root() {
            false => Command::new(program),
            true => {
                let mut command = Command::new("setpriv");
                let id = NOBODY.to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", program]);
                command
            }
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{}:{path}", self.text(""), self.programs.display());
        command
            .current_dir(self.directory.path())
            .env("PATH", path)
            .env("LD_LIBRARY_PATH", self.directory.path().join("lib"))
            .env("HOME", self.directory.path());
        command
    }

    fn text(&self, name: &str) -> String {
        let path = self.path(name).display().to_string();
        path.trim_end_matches('/').to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for data in ["data", "restored", "restored-2"] {
            self.kill(data);
        }
    }
}

/// The block of settings in docs/OPERATIONS.md that has this word.
pub(crate) fn block(word: &str) -> String {
    block_in("ini", word)
}

/// The block in this language in docs/OPERATIONS.md that has this word.
pub(crate) fn block_in(language: &str, word: &str) -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/OPERATIONS.md")).unwrap();
    let begin = format!("```{language}\n");
    let mut blocks = page.split(&*begin).skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        .find(|block| block.contains(word))
        .unwrap_or_else(|| panic!("no {language} with {word}"))
        .to_owned()
}

pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "waited for {what} in vain");
        thread::sleep(Duration::from_millis(20));
    }
}

fn children(parent: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let pids = numbers.filter_map(Pid::from_raw);
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent.as_raw_nonzero().get())).collect()
}

fn is_alive(pid: Pid) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

/// The state of a process, and its parent.
fn stat(pid: Pid) -> Option<(char, i32)> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn command_line(pid: Pid) -> String {
    fs::read_to_string(format!("/proc/{}/cmdline", pid.as_raw_nonzero())).unwrap_or_default()
}

/// In memory where there is room. A directory that everybody may pass through, as the user of the server has to.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |found| found.f_bavail * found.f_frsize);
    let directory = if free > ROOM { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    directory
}

/// On the search path, or where Debian has them: of several versions the latest.
fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    folders.sort_by_key(|folder| folder.parent()?.file_name()?.to_str()?.parse::<u32>().ok());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = folders.into_iter().rev().chain(std::env::split_paths(&path));
    found.find(|folder| ["initdb", "pg_basebackup"].iter().all(|name| folder.join(name).is_file()))
}

/// What the tests need beside what is tested: all of the log is kept, so that the archive can be compared with it, and what a killed server
/// had of shared memory lies in its directory, and goes with it.
const SETTINGS: &str = "
dynamic_shared_memory_type = mmap
wal_keep_size = 8GB
max_wal_size = 1GB
checkpoint_timeout = 30s
fsync = off
";
/// What a server takes here, several at a time, with room to spare.
const ROOM: u64 = 4 << 30;
/// time(7): what Linux counts processor time in, for programs, on every machine.
const USER_HZ: f64 = 100.0;
/// Who owns nothing, on every system.
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(600);
