//! What the archive module does with a file that the server offers, once and again, and when it cannot.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use cofferdam::{FileSource, Identities, Opener};
use rustix::process::{Pid, Signal};

use crate::programs::has;
use crate::server::{Server, wait_until};

#[test]
fn each_file_is_sealed_and_is_what_the_server_has() {
    let Some(server) = started() else { return };
    let segments: Vec<String> = (0..3).map(|_| server.fill_segment()).collect();
    for segment in &segments {
        server.wait_for_archived(segment);
        assert!(server.opened(segment) == server.wal(segment), "{segment}");
    }
    // No file is left under another name, and no secret is on this host but the test's own.
    let mut names = server.archived();
    names.sort();
    assert_eq!(names.len(), fs::read_dir(server.path("archive")).unwrap().count());
    // Its name is within, where the storage cannot change it.
    let identities = Identities::new()
        .identity_file(fs::read_to_string(server.path("wal.key")).unwrap().as_str())
        .unwrap();
    let opener = Opener::new(identities);
    let metadata = opener.metadata(FileSource::open(server.sealed(&segments[0])).unwrap()).unwrap();
    let pair = (b"postgresql.file".to_vec(), segments[0].clone().into_bytes());
    assert!(metadata.contains(&pair), "{metadata:?}");
}

#[test]
fn a_file_that_is_offered_again_is_archived_already() {
    let Some(server) = started() else { return };
    let segment = archived_segment(&server);
    let before = fs::metadata(server.sealed(&segment)).unwrap();
    let from = offer_again(&server, &segment);
    server.wait_for_words(from, &format!("\"{segment}\" is archived already"));
    server.wait_for_archived(&segment);
    let after = fs::metadata(server.sealed(&segment)).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
}

#[test]
fn a_stream_that_somebody_else_has_put_there_is_refused() {
    let Some(server) = started() else { return };
    let segment = archived_segment(&server);
    // Of the very same segment, for the same recipient: nobody can tell it apart by opening it.
    let seal = format!(
        "cofferdam seal -q --force -r {} -o archive/{segment}.cfd data/pg_wal/{segment}",
        server.recipient()
    );
    server.done(&seal);
    let planted = fs::read(server.sealed(&segment)).unwrap();
    let from = offer_again(&server, &segment);
    server.wait_for_words(from, "is another stream than the one that");
    assert_kept(&server, &segment);
    assert!(fs::read(server.sealed(&segment)).unwrap() == planted);

    // As the message says: it is moved away, and the segment is sealed again.
    fs::remove_file(server.sealed(&segment)).unwrap();
    server.fill_segment();
    server.wait_for_archived(&segment);
    assert!(server.opened(&segment) == server.wal(&segment));
}

#[test]
fn a_damaged_stream_is_not_what_was_archived() {
    let Some(server) = started() else { return };
    let segment = archived_segment(&server);
    let mut sealed = fs::read(server.sealed(&segment)).unwrap();
    let middle = sealed.len() / 2;
    sealed[middle] ^= 1;
    server.write(&format!("archive/{segment}.cfd"), &sealed);
    let from = offer_again(&server, &segment);
    server.wait_for_words(from, "could not archive");
    assert_kept(&server, &segment);
}

#[test]
fn without_a_record_what_is_there_is_nobodys_word() {
    let Some(server) = started() else { return };
    let segment = archived_segment(&server);
    let record = server.path(&format!("data/cofferdam_archive/{segment}"));
    let whole = fs::read(&record).unwrap();
    // None, one that a crash has cut off, one of something else.
    for bytes in [None, Some(&whole[..whole.len() - 1]), Some(&b"length=1\n"[..])] {
        match bytes {
            None => fs::remove_file(&record).unwrap(),
            Some(bytes) => server.write(&format!("data/cofferdam_archive/{segment}"), bytes),
        }
        let from = offer_again(&server, &segment);
        server.wait_for_words(from, "this server has no record of having archived it");
        assert_kept(&server, &segment);
    }
    server.write(&format!("data/cofferdam_archive/{segment}"), &whole);
    server.fill_segment();
    server.wait_for_archived(&segment);
}

#[test]
fn another_file_of_the_same_name_is_refused() {
    let Some(server) = started() else { return };
    let segment = archived_segment(&server);
    let sealed = fs::read(server.sealed(&segment)).unwrap();
    let mut other = server.wal(&segment);
    other[5000] ^= 1;
    server.write(&format!("data/pg_wal/{segment}"), &other);
    let from = offer_again(&server, &segment);
    server.wait_for_words(from, &format!("was archived from another \"{segment}\""));
    assert_kept(&server, &segment);
    assert!(fs::read(server.sealed(&segment)).unwrap() == sealed);
}

/// Killed after the record and before the stream has its name, and the other way round.
#[test]
fn what_a_crash_has_left_is_sealed_anew() {
    let Some(server) = started() else { return };
    let segment = archived_segment(&server);
    let staged = server.staged(&segment);
    fs::rename(server.sealed(&segment), &staged).unwrap();
    offer_again(&server, &segment);
    server.wait_for_archived(&segment);
    assert!(server.opened(&segment) == server.wal(&segment));
    assert!(!staged.exists());

    // Both names: killed between the link and the removal of the first.
    fs::hard_link(server.sealed(&segment), &staged).unwrap();
    let from = offer_again(&server, &segment);
    server.wait_for_words(from, "is archived already");
    server.wait_for_archived(&segment);
    assert!(!staged.exists());
}

#[test]
fn an_archive_that_is_missing_is_tried_again() {
    let Some(server) = Server::new() else { return };
    fs::remove_dir(server.path("archive")).unwrap();
    server.start("data");
    let segment = server.fill_segment();
    server.wait_for_words(0, "could not archive");
    assert_kept(&server, &segment);
    server.done("mkdir archive");
    server.fill_segment();
    server.wait_for_archived(&segment);
    assert!(server.opened(&segment) == server.wal(&segment));
}

#[test]
fn settings_that_are_wrong_are_said_and_nothing_is_lost() {
    let Some(server) = Server::new() else { return };
    let secret = fs::read_to_string(server.path("wal.key")).unwrap();
    let secret = secret.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    server.append("data/postgresql.conf", "cofferdam.directory = 'archive'\n");
    server.start("data");
    let segment = server.fill_segment();
    server.wait_for_words(0, "cofferdam.directory is no absolute path: \"archive\"");
    assert_kept(&server, &segment);
    // After a reload, too: nothing goes on with what was set before. No secret key is a recipient, nor is it said again.
    let directory = format!("cofferdam.directory = '{}'\n", server.path("archive").display());
    for recipients in ["age1nobody", secret, &format!("{}, age1nobody", server.recipient()), " , ", ""] {
        let from = server.log().len();
        server.append("data/postgresql.conf", &format!("{directory}cofferdam.recipients = '{recipients}'\n"));
        server.done("pg_ctl -D data reload");
        server.fill_segment();
        server.wait_for_words(
            from,
            if recipients.is_empty() { "archiving is not configured" } else { "could not archive" },
        );
        let log = server.log();
        let mut warnings =
            log[from..].lines().filter(|line| line.contains("WARNING") || line.contains("DETAIL"));
        assert!(!warnings.any(|line| line.contains(secret)), "{log}");
        assert_kept(&server, &segment);
    }
    let right = format!("cofferdam.recipients = '{}'\ncofferdam.compression = zstd\n", server.recipient());
    server.append("data/postgresql.conf", &right);
    server.done("pg_ctl -D data reload");
    server.fill_segment();
    server.wait_for_archived(&segment);
    assert!(server.opened(&segment) == server.wal(&segment));
    // What a switch leaves of a segment is zeros.
    let len = fs::metadata(server.sealed(&segment)).unwrap().len();
    assert!(len < 300_000, "{len}");
}

/// Of a disk that hangs there is no end: the work is given up, and then the process.
#[test]
fn an_archive_that_hangs_blocks_neither_the_server_nor_its_stop() {
    let Some(server) = Server::new() else { return };
    if !has(&["strace"], &[]) {
        return;
    }
    server.append("data/postgresql.conf", "cofferdam.timeout = 1s\n");
    server.start("data");
    archived_segment(&server);
    let archiver = server.archiver("data");
    let mut strace = server.strace(archiver, "fsync,fdatasync,sync_file_range:delay_enter=120000000");
    let segment = server.fill_segment();
    // While it waits, only the archiver's own thread takes signals, once it has started the other one.
    server.wait("the thread that works", || threads(archiver).len() > 1);
    let signals = [Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2, Signal::QUIT];
    for thread in threads(archiver).into_iter().filter(|thread| *thread != archiver) {
        for signal in signals {
            assert!(is_blocked(archiver, thread, signal), "{thread:?} {signal:?}");
        }
    }
    server.wait("signals to be taken", || {
        !signals.iter().any(|signal| is_blocked(archiver, archiver, *signal))
    });
    let begun = Instant::now();
    thread::scope(|scope| {
        let stop = scope.spawn(|| server.stop("data"));
        server.wait_for_words(0, "does not answer");
        // Nobody can wait for a thread of which it has not told the end.
        strace.kill().unwrap();
        strace.wait().unwrap();
        stop.join().unwrap();
    });
    let took = begun.elapsed();
    // Whoever waited for the sync would wait for two minutes.
    assert!(took < Duration::from_secs(100), "{took:?} {}", server.log());
    assert!(!server.sealed(&segment).exists());
    // The next start archives it.
    server.start("data");
    server.wait_for_archived(&segment);
    assert!(server.opened(&segment) == server.wal(&segment));
}

#[test]
fn records_of_what_the_server_has_no_more_go_away() {
    let Some(server) = started() else { return };
    let segment = archived_segment(&server);
    server.write("data/cofferdam_archive/0000000100000000000000FF", b"of long ago");
    // The archiver looks before its first file.
    server.stop("data");
    server.start("data");
    server.fill_segment();
    wait_until("the record to go", || {
        !server.path("data/cofferdam_archive/0000000100000000000000FF").exists()
    });
    assert!(server.path(&format!("data/cofferdam_archive/{segment}")).exists());
}

/// The signal to finish comes while a file is archived, and the archiver must not miss it: it would sleep for a minute.
#[test]
fn a_server_that_stops_archives_what_it_has_and_does_not_wait() {
    let Some(server) = Server::new() else { return };
    fs::remove_dir(server.path("archive")).unwrap();
    server.start("data");
    let segments: Vec<String> = (0..BACKLOG).map(|_| server.fill_segment()).collect();
    server.wait_for_words(0, "failed too many times");
    server.done("mkdir archive");
    server.fill_segment();
    server.wait("the first of them", || server.sealed(&segments[0]).exists());
    let begun = Instant::now();
    server.stop("data");
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(55), "{took:?}");
    for segment in &segments {
        assert!(server.sealed(segment).exists(), "{segment}");
    }
}

pub(crate) fn started() -> Option<Server> {
    let server = Server::new()?;
    server.start("data");
    Some(server)
}

pub(crate) fn archived_segment(server: &Server) -> String {
    let segment = server.fill_segment();
    server.wait_for_archived(&segment);
    segment
}

/// As after a crash between archiving and noting that. Returns how long the log was.
pub(crate) fn offer_again(server: &Server, segment: &str) -> usize {
    let status = |ending: &str| server.path(&format!("data/pg_wal/archive_status/{segment}.{ending}"));
    let from = server.log().len();
    server.kill("data");
    if status("done").exists() {
        fs::rename(status("done"), status("ready")).unwrap();
    }
    server.start("data");
    server.fill_segment();
    from
}

/// The server still wants to archive it.
pub(crate) fn assert_kept(server: &Server, segment: &str) {
    assert!(server.path(&format!("data/pg_wal/archive_status/{segment}.ready")).exists());
    assert!(server.path(&format!("data/pg_wal/{segment}")).exists());
}

impl Server {
    /// What the server has under this name.
    pub(crate) fn wal(&self, segment: &str) -> Vec<u8> {
        fs::read(self.path(&format!("data/pg_wal/{segment}"))).unwrap()
    }

    /// Where it is sealed before it has its name.
    pub(crate) fn staged(&self, segment: &str) -> PathBuf {
        self.path(&format!("archive/{segment}.cfd.sealing"))
    }
}

fn threads(process: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero())).unwrap();
    let numbers = tasks.map(|task| task.unwrap().file_name().into_string().unwrap().parse().unwrap());
    numbers.filter_map(Pid::from_raw).collect()
}

fn is_blocked(process: Pid, thread: Pid, signal: Signal) -> bool {
    let path = format!("/proc/{}/task/{}/status", process.as_raw_nonzero(), thread.as_raw_nonzero());
    let status = fs::read_to_string(path).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (signal.as_raw() - 1) & 1 == 1
}

/// Enough for a stop to find the archiver at work.
const BACKLOG: usize = 60;
