//! What somebody else has put where the archive module writes: in its archive, and in its records.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::thread;

use crate::archiving::{archived_segment, assert_kept, offer_again, started};
use crate::programs::has;
use crate::server::{Server, wait_until};

/// Whoever can write to the archive has not the rights of the server's user on its host, and gets none.
#[test]
fn a_link_beside_the_target_is_not_followed() {
    let Some(server) = started() else { return };
    let segment = next_segment(&server);
    server.write("precious", b"the server's");
    symlink(server.path("precious"), server.staged(&segment)).unwrap();
    server.fill_segment();
    server.wait_for_archived(&segment);
    assert_eq!(fs::read(server.path("precious")).unwrap(), b"the server's");
    assert!(fs::symlink_metadata(server.sealed(&segment)).unwrap().is_file());
    assert!(server.opened(&segment) == server.wal(&segment));
}

/// It has a reader, and takes all that is written to it.
#[test]
fn a_fifo_beside_the_target_is_no_archive() {
    let Some(server) = started() else { return };
    let segment = next_segment(&server);
    server.done(&format!("mkfifo archive/{segment}.cfd.sealing"));
    let mut fifo = OpenOptions::new().read(true).write(true).open(server.staged(&segment)).unwrap();
    // It reads until the tests end: nobody can tell it that there is nothing more.
    thread::spawn(move || while fifo.read(&mut [0; 4096]).is_ok() {});
    server.fill_segment();
    server.wait_for_archived(&segment);
    assert!(fs::symlink_metadata(server.sealed(&segment)).unwrap().is_file());
    assert!(server.opened(&segment) == server.wal(&segment));
}

#[test]
fn what_is_no_file_is_not_what_was_archived() {
    let Some(server) = started() else { return };
    let segment = archived_segment(&server);
    server.done(&format!("rm archive/{segment}.cfd && mkfifo archive/{segment}.cfd"));
    let from = offer_again(&server, &segment);
    server.wait_for_words(from, "exists, and is no plain file");
    assert_kept(&server, &segment);
}

/// Two servers in one directory, against all advice: each stages under the same names as the other.
#[test]
fn a_stream_of_another_server_is_not_published_in_place_of_this_ones() {
    let Some(server) = started() else { return };
    if !has(&["strace"], &[]) {
        return;
    }
    archived_segment(&server);
    // Between the record and the name. Not every machine has the first of the two calls.
    let mut strace = server.strace(server.archiver("data"), "?link,linkat:delay_enter=120000000");
    let segment = server.fill_segment();
    let record = server.path(&format!("data/cofferdam_archive/{segment}"));
    wait_until("the record", || record.exists());
    server.write("archive/another", b"another server's");
    fs::rename(server.path("archive/another"), server.staged(&segment)).unwrap();
    strace.kill().unwrap();
    strace.wait().unwrap();
    server.wait_for_archived(&segment);
    assert!(server.opened(&segment) == server.wal(&segment));
}

/// The directory of the records is a name that an administrator may take for the archive's.
#[test]
fn what_is_no_record_stays_where_the_records_are() {
    let Some(server) = Server::new() else { return };
    let records = server.path("data/cofferdam_archive").display().to_string();
    server.append("data/postgresql.conf", &format!("cofferdam.directory = '{records}'\n"));
    server.done("mkdir data/cofferdam_archive");
    // The server has none of these any more. It looks before its first file.
    let streams = ["0000000100000000000000FF.cfd", "00000002.history.cfd"];
    for name in streams {
        server.write(&format!("data/cofferdam_archive/{name}"), b"a stream");
    }
    server.write("data/cofferdam_archive/0000000100000000000000FF", b"a record");
    server.start("data");
    let segment = server.fill_segment();
    server.wait("the segment", || fs::exists(format!("{records}/{segment}.cfd")).unwrap());
    for name in streams {
        assert!(fs::exists(format!("{records}/{name}")).unwrap(), "{name}");
    }
    assert!(!fs::exists(format!("{records}/0000000100000000000000FF")).unwrap());
}

/// The segment that is full next.
fn next_segment(server: &Server) -> String {
    server.sql("create table if not exists filler (n int); insert into filler values (1)");
    server.segment()
}
