//! A live database of SQLite into a sealed stream and back, and queries out of the stream itself.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::installed::Installed;
use crate::programs::has;

struct Place {
    directory: TempDir,
    program: PathBuf,
    recipient: String,
}

impl Place {
    fn new() -> Option<Place> {
        if !has(&["sqlite3", "make", "cc", "pkg-config"], &["sqlite3.h"]) {
            return None;
        }
        let program = Installed::shared().program("sqlite", "sealed_sqlite");
        let directory = tempfile::tempdir().unwrap();
        let mut place = Place { directory, program, recipient: String::new() };
        let made = place.run(env!("CARGO_BIN_EXE_cofferdam"), &["keygen", "-o", "key.txt"]);
        place.recipient = text(&made).trim().to_owned();
        Some(place)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).args(arguments).current_dir(self.directory.path()).output().unwrap()
    }

    fn sealed_sqlite(&self, arguments: &[&str]) -> Output {
        self.run(self.program.to_str().unwrap(), arguments)
    }

    /// Statements in SQLite's own program.
    fn sql(&self, database: &str, statements: &str) -> String {
        text(&self.run("sqlite3", &[database, statements]))
    }

    fn backup(&self, database: &str) {
        text(&self.sealed_sqlite(&["backup", database, &self.recipient, "sealed.cfd"]));
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

const ROWS: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
    insert into rows select i, hex(randomblob(50)) from n";
/// Of everything that is in it.
const DIGEST: &str = "select count(*), sum(i), sum(length(t)), min(t), max(t) from rows";

#[test]
fn a_database_is_sealed_while_it_is_open_and_is_the_same_afterwards() {
    let Some(place) = Place::new() else { return };
    for mode in ["delete", "wal"] {
        let database = format!("{mode}.db");
        place.sql(&database, &format!("pragma journal_mode={mode}; create table rows (i, t)"));
        // Somebody has it open, in a transaction that is not committed, with rows of others that are not checkpointed.
        let mut other = Command::new("sqlite3")
            .arg(&database)
            .current_dir(place.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut input = other.stdin.take().unwrap();
        writeln!(input, "{ROWS}; begin; insert into rows values (-1, 'not committed'); select 'ready';")
            .unwrap();
        let mut output = BufReader::new(other.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");

        place.backup(&database);
        let restored = format!("{mode}-restored.db");
        text(&place.sealed_sqlite(&["restore", "sealed.cfd", "key.txt", &restored]));
        drop(input);
        assert!(other.wait().unwrap().success());

        assert_eq!(place.sql(&restored, "pragma integrity_check"), "ok\n");
        let expected = place.sql(&database, DIGEST);
        assert!(expected.starts_with("20000|200010000|"), "{expected}");
        assert_eq!(place.sql(&restored, DIGEST), expected);
        assert_eq!(text(&place.sealed_sqlite(&["query", "sealed.cfd", "key.txt", DIGEST])), expected);
        fs::remove_file(place.directory.path().join("sealed.cfd")).unwrap();
    }
}

#[test]
fn a_query_reads_what_it_needs_and_writes_nothing() {
    let Some(place) = Place::new() else { return };
    place.sql(
        "a.db",
        &format!("create table rows (i integer primary key, t); {ROWS}; create index by_t on rows (t)"),
    );
    place.backup("a.db");
    // Sorting needs room, which it has in memory.
    let query = "select i from rows order by t || i limit 3";
    assert_eq!(
        text(&place.sealed_sqlite(&["query", "sealed.cfd", "key.txt", query])),
        place.sql("a.db", query)
    );
    for statement in
        ["insert into rows values (0, 'x')", "drop table rows", "pragma journal_mode=wal; vacuum"]
    {
        let refused = place.sealed_sqlite(&["query", "sealed.cfd", "key.txt", statement]);
        assert_eq!(refused.status.code(), Some(1), "{statement}");
    }
    let mut names: Vec<_> =
        fs::read_dir(place.directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.db", "key.txt", "sealed.cfd"]);
}

#[test]
fn a_damaged_page_is_an_error_of_the_queries_that_need_it() {
    let Some(place) = Place::new() else { return };
    place.sql("a.db", &format!("create table rows (i integer primary key, t); {ROWS}"));
    place.backup("a.db");
    let path = place.directory.path().join("sealed.cfd");
    let mut sealed = fs::read(&path).unwrap();
    let at = sealed.len() * 3 / 4;
    sealed[at] ^= 1;
    fs::write(&path, sealed).unwrap();
    let first =
        text(&place.sealed_sqlite(&["query", "sealed.cfd", "key.txt", "select t from rows where i = 1"]));
    assert_eq!(first, place.sql("a.db", "select t from rows where i = 1"));
    let all = place.sealed_sqlite(&["query", "sealed.cfd", "key.txt", DIGEST]);
    assert_eq!(all.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&all.stderr).contains("disk I/O error"), "{all:?}");
    // Nothing of it is restored.
    let restored = place.sealed_sqlite(&["restore", "sealed.cfd", "key.txt", "b.db"]);
    assert_eq!(restored.status.code(), Some(1));
    assert!(!place.directory.path().join("b.db").exists());
}

#[test]
fn an_empty_database_is_one() {
    let Some(place) = Place::new() else { return };
    fs::write(place.directory.path().join("empty.db"), b"").unwrap();
    place.backup("empty.db");
    text(&place.sealed_sqlite(&["restore", "sealed.cfd", "key.txt", "b.db"]));
    assert_eq!(place.sql("b.db", "select count(*) from sqlite_schema"), "0\n");
    // There is no database here, and none is made.
    let missing = place.sealed_sqlite(&["backup", "missing.db", &place.recipient, "other.cfd"]);
    assert_eq!(missing.status.code(), Some(1));
    for name in ["missing.db", "other.cfd"] {
        assert!(!place.directory.path().join(name).exists(), "{name}");
    }
}
