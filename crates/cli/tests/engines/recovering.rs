//! A server that is killed under load, and recovered on another day from a base backup and the archive alone.
//! How large that is, `cargo xtask engines` says.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::server::{Server, block};

#[test]
fn a_killed_server_is_recovered_to_its_last_archived_commit() {
    let Some(server) = Server::new() else { return };
    let extent = Extent::from_environment();
    server.start("data");
    server.sql("create table log (chunk int, filler text)");
    server.done("pg_basebackup -h \"$PWD\" -U postgres -D base -X none -c fast");

    let half = extent.chunks / 2;
    load(&server, 0..half, extent.kills / 2);
    server.sql("select pg_create_restore_point('half')");
    load(&server, half..extent.chunks, extent.kills - extent.kills / 2);
    let last = server.segment();
    server.sql("select pg_switch_wal()");
    server.wait_for_archived(&last);
    // The archive knows nothing of this, which is in a segment that is not full.
    insert(&server, extent.chunks).unwrap();
    server.kill("data");

    let segments = server.archived().into_iter().filter(|file| file.len() == SEGMENT_NAME_LEN);
    let segments: Vec<String> = segments.collect();
    assert!(segments.len() >= extent.segments(), "{} of {extent:?}", segments.len());
    // Each of them is what the server had. It keeps them all here.
    for segment in &segments {
        let wal = fs::read(server.path(&format!("data/pg_wal/{segment}"))).unwrap();
        assert!(server.opened(segment) == wal, "{segment}");
    }
    println!("{} segments, the server was killed {} times", segments.len(), extent.kills + 1);

    // To the end of the archive.
    recover(&server, "restored", "");
    assert_eq!(chunks(&server), whole(extent.chunks));
    server.fill_segment();
    server.wait_for_archived_by("restored", "00000002.history");
    assert!(!server.opened("00000002.history").is_empty());
    assert!(server.archived().iter().any(|file| file.ends_with(".backup")));
    server.kill("restored");

    // To a point in time, on the next timeline, with what the dead server had not archived yet at hand: it is not asked for.
    recover(
        &server,
        "restored-2",
        "recovery_target_name = 'half'\nrecovery_target_timeline = '1'\nrecovery_target_action = 'promote'\n",
    );
    assert_eq!(chunks(&server), whole(half));
    server.kill("restored-2");
}

/// The end of the log that only the dead server has; what it leaves unfinished is archived as such.
#[test]
fn the_last_segment_of_a_dead_server_is_recovered_and_archived_as_partial() {
    let Some(server) = Server::new() else { return };
    server.start("data");
    server.sql("create table log (chunk int, filler text)");
    server.done("pg_basebackup -h \"$PWD\" -U postgres -D base -X none -c fast");
    insert(&server, 0).unwrap();
    let archived = server.segment();
    server.sql("select pg_switch_wal()");
    server.wait_for_archived(&archived);
    server.sql("insert into log select 1, 'x' from generate_series(1, 200)");
    let last = server.segment();
    server.kill("data");

    server.done(&format!("cp -a base restored && cp -a data/pg_wal/{last} restored/pg_wal/"));
    recover(&server, "restored", "");
    assert_eq!(chunks(&server), whole(2));
    server.fill_segment();
    let partial = format!("{last}.partial");
    server.wait_for_archived_by("restored", &partial);
    assert!(server.opened(&partial) == fs::read(server.path(&format!("restored/pg_wal/{partial}"))).unwrap());
}

/// A command that merely fails says to the server that its log ends here: it would promote, and lose the rest.
#[test]
fn a_damaged_segment_stops_the_recovery_and_loses_nothing() {
    let Some(server) = Server::new() else { return };
    server.start("data");
    server.sql("create table log (chunk int, filler text)");
    server.done("pg_basebackup -h \"$PWD\" -U postgres -D base -X none -c fast");
    insert(&server, 0).unwrap();
    let middle = server.segment();
    insert(&server, 1).unwrap();
    let last = server.segment();
    server.sql("select pg_switch_wal()");
    server.wait_for_archived(&last);
    server.kill("data");

    // An archive that is not mounted is not one that has ended.
    prepare(&server, "unmounted", "");
    server.done("mv archive away && mkdir archive");
    server.shell(&server.start_line("unmounted"));
    server.wait_for_words(0, "could not restore file");
    server.wait("the end of the server", || server.try_sql("select 1").is_err());
    server.kill("unmounted");
    server.done("rmdir archive && mv away archive");
    let from = server.log().len();

    let sealed = fs::read(server.sealed(&middle)).unwrap();
    let mut damaged = sealed.clone();
    let at = damaged.len() / 2;
    damaged[at] ^= 1;
    server.write(&format!("archive/{middle}.cfd"), &damaged);

    prepare(&server, "restored", "");
    // It may have answered already when it finds the damage.
    server.shell(&server.start_line("restored"));
    server.wait_for_words(from, "could not restore file");
    server.wait("the end of the server", || server.try_sql("select 1").is_err());
    server.kill("restored");
    let log = server.log();
    assert!(!log.contains("archive recovery complete"), "{log}");

    // Another copy, and it goes on from there.
    server.write(&format!("archive/{middle}.cfd"), &sealed);
    server.start("restored");
    wait_for_promotion(&server);
    assert_eq!(chunks(&server), whole(2));
}

/// How much there is of it, which a variable says.
#[derive(Debug)]
struct Extent {
    /// Commits of a megabyte each.
    chunks: usize,
    kills: usize,
}

impl Extent {
    fn from_environment() -> Extent {
        let number = |variable: &str| std::env::var(variable).ok().map(|value| value.parse().unwrap());
        Extent {
            chunks: number("COFFERDAM_ENGINES_CHUNKS").unwrap_or(30),
            kills: number("COFFERDAM_ENGINES_KILLS").unwrap_or(2),
        }
    }

    /// A commit of a megabyte is more than a segment of one.
    fn segments(&self) -> usize {
        self.chunks
    }
}

/// Commits `chunks` while somebody kills the server so many times. Each is tried until the server has said that it is committed.
fn load(server: &Server, chunks: std::ops::Range<usize>, kills: usize) {
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut rng = fastrand::Rng::with_seed(kills as u64);
            for _ in 0..kills {
                thread::sleep(Duration::from_millis(rng.u64(100..900)));
                server.kill("data");
                server.start("data");
            }
        });
        for chunk in chunks {
            while let Err(said) = insert(server, chunk) {
                // Also where it has ended since the server did not start again.
                assert!(!killer.is_finished() || server.try_sql("select 1").is_ok(), "{said}");
                thread::sleep(Duration::from_millis(50));
            }
        }
    });
}

/// A commit that may have been made already. What it writes does not compress.
fn insert(server: &Server, chunk: usize) -> Result<String, String> {
    server.try_sql(&format!(
        "insert into log select {chunk}, (select string_agg(md5(random()::text || n || m), '') from generate_series(1, 160) m)
        from generate_series(1, 200) n where not exists (select from log where chunk = {chunk})"
    ))
}

/// The chunks that the server has, each with its rows.
fn chunks(server: &Server) -> String {
    server.sql("select count(*), count(distinct chunk), max(chunk) from log")
}

fn whole(chunks: usize) -> String {
    format!("{}|{chunks}|{}", 200 * chunks, chunks - 1)
}

/// From the base backup and the archive, as docs/OPERATIONS.md says.
fn recover(server: &Server, data: &str, more: &str) {
    prepare(server, data, more);
    server.start(data);
    wait_for_promotion(server);
}

fn prepare(server: &Server, data: &str, more: &str) {
    if !server.path(data).exists() {
        server.done(&format!("cp -a base {data}"));
    }
    server.write("archive/archive-is-here", b"");
    server.append(
        &format!("{data}/postgresql.conf"),
        &format!("{}{more}", server.here(&block("restore_command"))),
    );
    server.write(&format!("{data}/recovery.signal"), b"");
}

fn wait_for_promotion(server: &Server) {
    server.wait("the end of the recovery", || {
        server.try_sql("select pg_is_in_recovery()").is_ok_and(|answer| answer == "f")
    });
}

/// Of the name of a segment; others have a point in them.
const SEGMENT_NAME_LEN: usize = 24;
