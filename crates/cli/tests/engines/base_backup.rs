//! A base backup that comes as an archive through a pipe: sealed while it comes, restored as a directory, started.

use std::fs;

use crate::server::Server;

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
