//! A base backup that comes as an archive through a pipe: sealed while it comes, restored as a directory, started. And a cluster that is started
//! above a mount, where nothing is restored.

use std::fs;
use std::process::Command;

use rustix::process::{Signal, geteuid};

use crate::mount_process::MountProcess;
use crate::programs::skipped;
use crate::server::{Server, block_in};

#[test]
fn a_base_backup_in_an_archive_is_sealed_from_the_pipe_and_starts() {
    let Some(server) = Server::new() else { return };
    server.start("data");
    server.sql(
        "create table numbers (n int primary key, filler text);
        insert into numbers select n, md5(n::text) from generate_series(1, 50000) n",
    );
    let expected = server.sql("select count(*), sum(n), md5(string_agg(filler, '' order by n)) from numbers");
    server.done(&format!(
        "pg_basebackup -h \"$PWD\" -U postgres -Ft -X fetch -c fast -D - | tee base.tar |
        cofferdam seal --tar --json -r {} -o base.cfd - >sealed.json",
        server.recipient()
    ));
    let record = fs::read_to_string(server.path("sealed.json")).unwrap();
    assert!(record.contains("\"catalog\":true"), "{record}");
    server.done("cofferdam cat --tar -i wal.key base.cfd | cmp - base.tar");
    server.kill("data");

    server.done("cofferdam restore -i wal.key base.cfd restored");
    // What tar makes of the archive is the same.
    server.done("mkdir by-tar && tar -xf base.tar -C by-tar && diff -r by-tar restored");
    // The archive says nothing of the directory itself, and the server wants it to be its user's alone.
    server.done("chmod 700 restored");
    server.start("restored");
    let found = server.sql("select count(*), sum(n), md5(string_agg(filler, '' order by n)) from numbers");
    assert_eq!(found, expected);
    server.done("pg_amcheck -h \"$PWD\" -U postgres --install-missing --heapallindexed -a");
    server.kill("restored");
}

#[test]
fn a_table_space_is_a_link_in_the_archive_and_has_its_own() {
    let Some(server) = Server::new() else { return };
    server.done("mkdir space");
    server.start("data");
    server.sql(&format!("create tablespace fast location '{}'", server.path("space").display()));
    server.sql("create table numbers (n int) tablespace fast; insert into numbers values (7)");
    server.done("pg_basebackup -h \"$PWD\" -U postgres -Ft -X fetch -c fast -D archives");
    for archive in fs::read_dir(server.path("archives")).unwrap() {
        let archive = archive.unwrap().file_name().into_string().unwrap();
        if archive.ends_with(".tar") {
            let recipient = server.recipient();
            let sealed =
                server.done(&format!("cofferdam seal --tar --json -r {recipient} archives/{archive}"));
            assert!(sealed.contains("\"catalog\":true"), "{archive}: {sealed}");
        }
    }
    let listed = server.done("cofferdam ls -i wal.key archives/base.tar.cfd pg_tblspc");
    assert!(listed.lines().count() >= 1, "{listed}");
}

#[test]
fn a_cluster_is_recovered_above_a_mount() {
    let has_overlay = fs::read_to_string("/proc/filesystems").unwrap().contains("\toverlay\n");
    if !geteuid().is_root() || !has_overlay || fs::File::open("/dev/fuse").is_err() {
        return skipped("it takes root, FUSE and overlays");
    }
    let Some(server) = Server::new() else { return };
    server.start("data");
    server
        .sql("create table numbers (n int primary key); insert into numbers select generate_series(1, 9000)");
    server.kill("data");
    server.done(&format!("cofferdam seal --quiet -r {} -o data.cfd data", server.recipient()));

    let root = |line: &str| {
        let output = Command::new("sh").args(["-ec", line]).current_dir(server.path("")).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    root("mkdir mnt var; mount -t tmpfs upper var");
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command.args(["mount", "--json", "--allow-other", "-i", "wal.key", "data.cfd", "mnt"]);
    command.current_dir(server.path(""));
    let mounted = MountProcess::spawn(command, server.path("errors"));
    let lines = block_in("sh", "lowerdir=");
    let places = [("/var/tmp", "var"), ("/mnt/srv", "mnt"), ("/mnt/rw", "rw")];
    root(&places.iter().fold(lines, |lines, (there, here)| lines.replace(there, here)));

    server.start("rw");
    assert_eq!(server.sql("select count(*), sum(n) from numbers"), "9000|40504500");
    server.sql("insert into numbers values (0); checkpoint");
    server.stop("rw");
    root("umount rw; umount var");
    assert_eq!(mounted.end(Signal::TERM).code, Some(0));
    // What was sealed has not changed.
    server.done("cofferdam diff --no-owner -i wal.key data.cfd data");
}
