//! What holds on every database, looked at from outside: the tables, the pointer, what a later sink finds.
//! Knows a database only as a [`Database`].

#[cfg(feature = "sqlite")]
mod lossy;
#[cfg(feature = "postgres")]
mod on_server;
#[cfg(feature = "postgres")]
mod proxy;
#[cfg(feature = "postgres")]
mod server;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::{
    io::{self, Read},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use contract::{
    AttemptId, Checkpoint, CommitError, IfExists, SinkCapabilities, StreamingSink, SyncTo, Visibility,
    WriteAt,
};
use testing::conformance::{SinkUnderTest, check_all};

use super::{
    connection::{Connection, Value},
    sink::ROW_LEN_MAX,
    *,
};

/// A database of its own, and the ways into it.
#[derive(Clone)]
struct Database(Rc<dyn Ways>);

trait Ways {
    fn sink(&self, options: &DatabaseOptions) -> io::Result<DatabaseSink>;
    fn published(&self, target: &DatabaseTarget) -> io::Result<Option<Published>>;
    fn session(&self) -> Box<dyn Connection>;
}

impl Database {
    fn sink(&self, name: &str) -> DatabaseSink {
        self.0.sink(&options(name)).unwrap()
    }

    fn replacing(&self, name: &str) -> DatabaseSink {
        self.0.sink(&options(name).if_exists(IfExists::Replace)).unwrap()
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.published(&target(name)).unwrap()?.read_to_end(&mut bytes).unwrap();
        Some(bytes)
    }

    fn execute(&self, sql: &str) -> u64 {
        self.0.session().execute(sql, &[]).unwrap()
    }

    fn count(&self, sql: &str) -> i64 {
        self.0.session().first_row(sql, &[]).unwrap().unwrap().integer().unwrap()
    }
}

fn target(name: &str) -> DatabaseTarget {
    DatabaseTarget::new(name).unwrap()
}

fn options(name: &str) -> DatabaseOptions {
    DatabaseOptions::new(target(name)).attempt_id(AttemptId::new(name.as_bytes()))
}

fn checkpoint(segments: u64) -> Checkpoint {
    Checkpoint::from_bytes([segments as u8; Checkpoint::LEN])
}

/// Bytes whose period fits no row.
fn bytes(len: usize) -> Vec<u8> {
    (0_u8..251).cycle().take(len).collect()
}

fn write(sink: &mut DatabaseSink, index: u64, at: u64, data: &[u8]) -> Result<(), CommitError> {
    sink.begin_segment(index, at)?;
    sink.write_tentative(at, data)?;
    sink.commit_segment(&checkpoint(index + 1))
}

fn publish_whole(mut sink: DatabaseSink, data: &[u8]) {
    write(&mut sink, 0, 0, data).unwrap();
    sink.publish(data.len() as u64).unwrap();
}

fn not_committed<T: std::fmt::Debug>(done: Result<T, CommitError>) -> io::ErrorKind {
    match done {
        Err(CommitError::NotCommitted(error)) => error.kind(),
        other => panic!("{other:?} where it should have been refused"),
    }
}

/// Every check that holds on every database.
const CHECKS: [fn(&Database); 14] = [
    it_keeps_the_contract,
    its_target_keeps_the_contract_of_a_private_sink,
    rows_hold_at_most_a_mebibyte_and_join_without_a_gap,
    one_statement_reads_what_is_published,
    the_next_sink_finds_attempt_id_and_checkpoint_and_resumes,
    progress_is_neither_built_upon_nor_overwritten_by_chance,
    what_nobody_committed_is_begun_anew_with_the_new_attempt_id,
    a_replaced_or_abandoned_restore_leaves_no_rows,
    rows_left_by_a_crash_are_swept_by_the_next_sink,
    rows_that_someone_else_removed_or_added_are_not_published,
    a_published_name_is_refused_at_the_start_and_at_the_end,
    a_reader_never_goes_on_in_another_restore,
    a_row_longer_than_any_that_a_sink_writes_is_refused_unread,
    tables_of_another_version_or_shape_are_refused,
];

fn it_keeps_the_contract(database: &Database) {
    let violations = check_all(&mut || under_test(database, IfExists::Refuse, |sink| sink));
    assert!(violations.is_empty(), "{violations:#?}");
}

fn its_target_keeps_the_contract_of_a_private_sink(database: &Database) {
    for if_exists in [IfExists::Refuse, IfExists::Replace] {
        let violations = check_all(&mut || under_test(database, if_exists, AsThoughPrivate));
        assert!(violations.is_empty(), "{violations:#?}");
    }
}

fn rows_hold_at_most_a_mebibyte_and_join_without_a_gap(database: &Database) {
    let mebibyte = 1 << 20;
    let mut sink = database.sink("rows");
    let mut at = 0;
    let lens = [0, 1, mebibyte - 1, mebibyte, mebibyte + 1, 2 * mebibyte, 2 * mebibyte + 7];
    for (index, len) in lens.into_iter().enumerate() {
        write(&mut sink, index as u64, at, &bytes(len)).unwrap();
        at += len as u64;
    }
    sink.publish(at).unwrap();
    let longest = "SELECT CAST(MAX(LENGTH(bytes)) AS BIGINT) FROM cofferdam_chunks";
    assert_eq!(database.count(longest), 1 << 20);
    let whole: Vec<u8> = lens.into_iter().flat_map(bytes).collect();
    assert!(database.read("rows").unwrap() == whole);
}

fn one_statement_reads_what_is_published(database: &Database) {
    publish_whole(database.sink("other"), b"something else");
    publish_whole(database.sink("db1"), b"what db1 was");
    publish_whole(database.replacing("db1"), b"what db1 is");
    let growing = &mut database.replacing("db1");
    write(growing, 0, 0, b"what db1 may become").unwrap();
    let documented = "SELECT c.bytes FROM cofferdam_published p JOIN cofferdam_chunks c ON c.restore = p.restore \
         WHERE p.name = 'db1' ORDER BY c.position";
    let row = database.0.session().first_row(documented, &[]).unwrap();
    assert_eq!(row.unwrap().bytes().unwrap(), b"what db1 is");
}

fn the_next_sink_finds_attempt_id_and_checkpoint_and_resumes(database: &Database) {
    let mut first = database.replacing("resumed");
    write(&mut first, 0, 0, b"first, ").unwrap();
    write(&mut first, 1, 7, b"second, ").unwrap();
    first.begin_segment(2, 15).unwrap();
    first.write_tentative(15, b"lost").unwrap();
    drop(first);

    let later = options("resumed").attempt_id(AttemptId::new(b"the later one"));
    let mut second = database.0.sink(&later).unwrap();
    assert_eq!(second.attempt_id(), AttemptId::new(b"resumed").as_ref());
    assert_eq!(second.last_commit().unwrap(), Some(checkpoint(2)));
    second.resume_at(2, 15).unwrap();
    write(&mut second, 2, 15, b"third").unwrap();
    second.publish(20).unwrap();
    assert_eq!(database.read("resumed").unwrap(), b"first, second, third");
}

fn progress_is_neither_built_upon_nor_overwritten_by_chance(database: &Database) {
    write(&mut database.sink("progress"), 0, 0, b"kept").unwrap();
    for (index, at) in [(1, 3), (1, 5), (2, 4), (0, 4), (1, 0)] {
        assert!(database.sink("progress").resume_at(index, at).is_err(), "segment {index} at {at}");
    }
    assert!(database.sink("progress").begin_segment(0, 0).is_err());
    assert_eq!(not_committed(database.sink("progress").publish(4)), io::ErrorKind::InvalidInput);
    assert_eq!(database.sink("progress").last_commit().unwrap(), Some(checkpoint(1)));
    let mut over = database.sink("progress");
    over.resume_at(0, 0).unwrap();
    drop(over);
    assert_eq!(database.sink("progress").last_commit().unwrap(), None);
}

fn what_nobody_committed_is_begun_anew_with_the_new_attempt_id(database: &Database) {
    drop(database.sink("bare"));
    let later = options("bare").attempt_id(AttemptId::new(b"later"));
    let mut sink = database.0.sink(&later).unwrap();
    assert_eq!(sink.attempt_id(), AttemptId::new(b"later").as_ref());
    assert_eq!(sink.last_commit().unwrap(), None);
    drop(sink);
    let unlabelled = later.attempt_id(None);
    assert_eq!(database.0.sink(&unlabelled).unwrap().attempt_id(), None);
}

fn a_replaced_or_abandoned_restore_leaves_no_rows(database: &Database) {
    let rows = || {
        let of = "FROM cofferdam_restores r LEFT JOIN cofferdam_chunks c ON c.restore = r.id WHERE r.name = 'swept'";
        let orphans =
            "SELECT COUNT(*) FROM cofferdam_chunks WHERE restore NOT IN (SELECT id FROM cofferdam_restores)";
        (database.count(&format!("SELECT COUNT(*) {of}")), database.count(orphans))
    };
    let pieces = |sink: &mut DatabaseSink, count: u64| {
        sink.begin_segment(0, 0).unwrap();
        (0..count).for_each(|at| sink.write_tentative(at, b"x").unwrap());
        sink.commit_segment(&checkpoint(1)).unwrap();
    };
    let mut old = database.sink("swept");
    pieces(&mut old, 200); // more than one transaction sweeps
    old.publish(200).unwrap();
    assert_eq!(rows(), (200, 0));
    drop(old);
    publish_whole(database.replacing("swept"), b"new");
    assert_eq!(rows(), (1, 0));
    let mut discarded = database.replacing("swept");
    pieces(&mut discarded, 3);
    discarded.discard().unwrap();
    drop(discarded);
    let mut restarted = database.replacing("swept");
    pieces(&mut restarted, 3);
    drop(restarted);
    database.replacing("swept").resume_at(0, 0).unwrap();
    assert_eq!(rows(), (2, 0)); // what is published, and the restart without a chunk
    assert_eq!(database.read("swept").unwrap(), b"new");
}

fn rows_left_by_a_crash_are_swept_by_the_next_sink(database: &Database) {
    publish_whole(database.sink("crash"), b"old");
    publish_whole(database.replacing("crash"), b"new");
    // As a crash between the pointer's turn and the sweep leaves it.
    database.execute(
        "INSERT INTO cofferdam_restores (name, state, epoch, label, segments, length) \
         SELECT name, 'garbage', 1, label, 1, 3 FROM cofferdam_restores WHERE name = 'crash'",
    );
    database.execute(
        "INSERT INTO cofferdam_chunks (restore, position, bytes) SELECT g.id, 0, c.bytes \
         FROM cofferdam_restores g, cofferdam_chunks c, cofferdam_restores r \
         WHERE g.state = 'garbage' AND r.name = 'crash' AND r.state = 'published' AND c.restore = r.id",
    );
    let chunks = "SELECT COUNT(*) FROM cofferdam_restores r JOIN cofferdam_chunks c ON c.restore = r.id \
         WHERE r.name = 'crash'";
    assert_eq!(database.count(chunks), 2);
    drop(database.replacing("crash"));
    assert_eq!(database.count(chunks), 1);
    assert_eq!(database.read("crash").unwrap(), b"new");
}

fn rows_that_someone_else_removed_or_added_are_not_published(database: &Database) {
    let growing = "(SELECT id FROM cofferdam_restores WHERE name = 'touched' AND state = 'growing')";
    let first_row = format!("cofferdam_chunks WHERE restore = {growing} AND position = 0");
    let harm = [
        format!("DELETE FROM {first_row}"),
        format!("INSERT INTO cofferdam_chunks SELECT restore, 8, bytes FROM {first_row}"),
        format!("UPDATE cofferdam_chunks SET position = 9 WHERE restore = {growing} AND position = 4"),
    ];
    publish_whole(database.sink("touched"), b"old");
    for statement in harm {
        let mut sink = database.replacing("touched");
        write(&mut sink, 0, 0, b"1234").unwrap();
        write(&mut sink, 1, 4, b"5678").unwrap();
        assert_eq!(database.execute(&statement), 1, "{statement}");
        assert_eq!(not_committed(sink.publish(8)), io::ErrorKind::InvalidData, "{statement}");
        drop(sink);
        assert_eq!(database.read("touched").unwrap(), b"old");
        database.replacing("touched").discard().unwrap();
    }
}

fn a_published_name_is_refused_at_the_start_and_at_the_end(database: &Database) {
    publish_whole(database.sink("taken"), b"old");
    assert_eq!(database.0.sink(&options("taken")).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    let mut late = database.sink("taken late");
    write(&mut late, 0, 0, b"new").unwrap();
    database.execute("UPDATE cofferdam_published SET name = 'taken late' WHERE name = 'taken'");
    assert_eq!(not_committed(late.publish(3)), io::ErrorKind::AlreadyExists);
    drop(late);
    assert_eq!(database.read("taken late").unwrap(), b"old");
    let mut again = database.replacing("taken late");
    again.resume_at(1, 3).unwrap();
    again.publish(3).unwrap();
    assert_eq!(database.read("taken late").unwrap(), b"new");
}

fn a_reader_never_goes_on_in_another_restore(database: &Database) {
    let whole = bytes(3 << 20);
    publish_whole(database.sink("read"), &whole);
    let mut reader = database.0.published(&target("read")).unwrap().unwrap();
    assert_eq!((reader.len(), reader.is_empty()), (3 << 20, false));
    let mut first = vec![0; 1000];
    reader.read_exact(&mut first).unwrap();
    assert!(first == whole[..1000]);
    publish_whole(database.replacing("read"), &vec![0xFE; 3 << 20]);
    let mut rest = Vec::new();
    let error = reader.read_to_end(&mut rest).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(rest == whole[1000..1000 + rest.len()]);
    assert!(database.0.published(&target("never")).unwrap().is_none());
}

fn a_row_longer_than_any_that_a_sink_writes_is_refused_unread(database: &Database) {
    let len = 2 * ROW_LEN_MAX;
    publish_whole(database.sink("stretched"), &bytes(len));
    let row = "restore = (SELECT restore FROM cofferdam_published WHERE name = 'stretched') AND position = 0";
    let stretch = format!("UPDATE cofferdam_chunks SET bytes = ?1 WHERE {row}");
    for (row_len, expected) in [(ROW_LEN_MAX, None), (ROW_LEN_MAX + 1, Some(io::ErrorKind::InvalidData))] {
        let row = bytes(row_len);
        assert_eq!(database.0.session().execute(&stretch, &[Value::Bytes(&row)]).unwrap(), 1);
        let mut reader = database.0.published(&target("stretched")).unwrap().unwrap();
        let read = reader.read_exact(&mut vec![0; ROW_LEN_MAX]).map_err(|error| error.kind());
        assert_eq!(read.err(), expected, "{row_len} bytes");
    }
}

fn tables_of_another_version_or_shape_are_refused(database: &Database) {
    let prefixed = |name| target(name).with_prefix("second").unwrap();
    let options = DatabaseOptions::new(prefixed("x"));
    assert!(database.0.published(&options.target).unwrap().is_none());
    let mut sink = database.0.sink(&options).unwrap();
    write(&mut sink, 0, 0, b"1").unwrap();
    drop(sink);
    database.execute("UPDATE second_restores SET checkpoint = label");
    assert_eq!(database.0.sink(&options).unwrap_err().kind(), io::ErrorKind::InvalidData);
    database.execute("UPDATE second_version SET version = 2");
    assert_eq!(database.0.sink(&options).unwrap_err().kind(), io::ErrorKind::Unsupported);
    let refused = database.0.published(&options.target).map(|_| ());
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::Unsupported);
}

fn under_test<S: StreamingSink + 'static>(
    database: &Database,
    if_exists: IfExists,
    wrap: impl Fn(DatabaseSink) -> S + 'static,
) -> SinkUnderTest {
    // Names that no other sink has; the order with other accesses does not matter.
    let name = format!("target {}", SINKS_UNDER_TEST.fetch_add(1, Ordering::Relaxed));
    if if_exists == IfExists::Replace {
        publish_whole(database.sink(&name), b"the old target");
    }
    let open = {
        let (database, options) = (database.clone(), options(&name).if_exists(if_exists));
        move || database.0.sink(&options).map(&wrap)
    };
    let database = database.clone();
    SinkUnderTest::new(open().unwrap(), move || database.read(&name)).reopening(open)
}

static SINKS_UNDER_TEST: AtomicUsize = AtomicUsize::new(0);

/// The same sink; only the capabilities say that nobody sees its bytes before publish, as nobody does through the
/// pointer.
struct AsThoughPrivate(DatabaseSink);

impl StreamingSink for AsThoughPrivate {
    fn capabilities(&self) -> SinkCapabilities {
        self.0.capabilities().visibility(Visibility::Private)
    }
    fn last_commit(&mut self) -> io::Result<Option<Checkpoint>> {
        self.0.last_commit()
    }
    fn resume_at(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.0.resume_at(index, at)
    }
    fn begin_segment(&mut self, index: u64, at: u64) -> io::Result<()> {
        self.0.begin_segment(index, at)
    }
    fn write_tentative(&mut self, at: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_tentative(at, data)
    }
    fn rollback_segment(&mut self) -> io::Result<()> {
        self.0.rollback_segment()
    }
    fn commit_segment(&mut self, checkpoint: &Checkpoint) -> Result<(), CommitError> {
        self.0.commit_segment(checkpoint)
    }
    fn publish(&mut self, plain_len: u64) -> Result<(), CommitError> {
        self.0.publish(plain_len)
    }
    fn discard(&mut self) -> io::Result<()> {
        self.0.discard()
    }
    fn positioned(&self) -> Option<Arc<dyn WriteAt>> {
        self.0.positioned()
    }
    fn durability(&self) -> Option<Arc<dyn SyncTo>> {
        self.0.durability()
    }
}
