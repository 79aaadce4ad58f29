//! How do I restore into a storage engine that may be killed at any moment? `cargo run --release -p cofferdam --example wal_into_engine`
//! A stream goes into a log, the log into a redb table. The process that does it is killed again and again, and goes on.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use cofferdam::{
    BytesSource, FileSource, Identities, MemorySink, Observer, Opener, Progress, Recipients, Sealer,
    WrappingKey,
};
use contract::AttemptId;
use redb::{Database, ReadableDatabase, TableDefinition};
use wal::{self, AtPublish, Finished, Lsn, Opened, WalSink};

/// What the engine keeps: bytes by their offset in the stream.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// How far the log is applied, written in the same transaction as what was applied.
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
const APPLIED: &str = "applied up to this lsn";
const LEN: &str = "applied in full; the stream's length";
/// Records of one transaction.
const RECORDS_MAX: usize = 8;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(directory) = env::args_os().nth(1) {
        return restore_into_engine(Path::new(&directory));
    }
    let directory = tempfile::tempdir()?;
    let plaintext: Vec<u8> = (0..=250).cycle().take(8 << 20).collect();
    prepare(directory.path(), &plaintext)?;
    let kills = kill_and_go_on(20, || {
        let mut child = Command::new(env::current_exe()?);
        child.arg(directory.path());
        Ok(child)
    })?;
    assert!(contents(directory.path())? == plaintext);
    println!("killed {kills} times; the table holds the {} bytes of the stream", plaintext.len());
    Ok(())
}

/// Brings the stream into the engine, whatever an earlier process left undone.
pub(crate) fn restore_into_engine(directory: &Path) -> Result<(), Box<dyn Error>> {
    let database = Database::create(directory.join("engine.redb"))?;
    let log = directory.join("restore.wal");
    let attempt_id =
        AttemptId::new(b"what this log is for: compared, where there may be several").ok_or("too long")?;
    if state(&database, LEN)?.is_none() {
        let finished = match WalSink::open_path(&log, &attempt_id, AtPublish::Keep)? {
            Opened::Finished(finished) => finished,
            Opened::Ready(sink) => {
                restore_into_log(directory, sink)?;
                match WalSink::open_path(&log, &attempt_id, AtPublish::Keep)? {
                    Opened::Finished(finished) => finished,
                    Opened::Ready(_) => {
                        return Err("a stream was published, and its log is not finished".into());
                    }
                }
            }
        };
        apply(finished, &database)?;
    }
    // The engine has all of it, durably.
    Ok(wal::remove_path(&log)?)
}

/// Goes on behind the last segment that the log has, by itself.
fn restore_into_log(directory: &Path, sink: WalSink) -> Result<(), Box<dyn Error>> {
    let key = WrappingKey::parse(&fs::read(directory.join("key"))?)?;
    let opener = Opener::new(Identities::new().wrapping_key(key)).observer(Arc::new(Announce));
    opener.open(FileSource::open(directory.join("sealed.cfd"))?, sink)?;
    Ok(())
}

/// Applies the log's records behind those that the engine has.
fn apply(mut finished: Finished, database: &Database) -> Result<(), Box<dyn Error>> {
    let reader = finished.reader()?;
    let applied = state(database, APPLIED)?.map_or(Lsn::FIRST, Lsn::from_u64);
    let mut records = reader.records_from(applied).peekable();
    while records.peek().is_some() {
        let transaction = database.begin_write()?;
        for record in records.by_ref().take(RECORDS_MAX) {
            let record = record?;
            transaction.open_table(BLOCKS)?.insert(record.at, &record.bytes[..])?;
            transaction.open_table(STATE)?.insert(APPLIED, record.next.to_u64())?;
        }
        transaction.commit()?;
        println!("applied");
    }
    let transaction = database.begin_write()?;
    transaction.open_table(STATE)?.insert(LEN, finished.stream_len())?;
    Ok(transaction.commit()?)
}

fn state(database: &Database, key: &str) -> Result<Option<u64>, Box<dyn Error>> {
    match database.begin_read()?.open_table(STATE) {
        Ok(table) => Ok(table.get(key)?.map(|value| value.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Says so when a segment has committed, so that somebody can kill this process in the middle.
struct Announce;

impl Observer for Announce {
    fn progress(&self, _progress: &Progress) {
        println!("committed");
    }
}

/// Seals a stream of many segments into the directory.
pub(crate) fn prepare(directory: &Path, plaintext: &[u8]) -> Result<(), Box<dyn Error>> {
    let key = WrappingKey::generate()?;
    fs::write(directory.join("key"), key.to_hex().as_bytes())?;
    let (sink, sealed) = MemorySink::new();
    let sealer = Sealer::new(Recipients::new().wrapping_key(key)).frame_len(16 << 10).segment_len(64 << 10);
    sealer.seal(BytesSource::new(plaintext.to_vec()), sink)?;
    Ok(fs::write(directory.join("sealed.cfd"), sealed.take().ok_or("nothing was sealed")?)?)
}

/// Kills one process after another once it has said a random number of lines, and lets one after that come to its end.
pub(crate) fn kill_and_go_on(
    kills_max: u64,
    child: impl Fn() -> Result<Command, Box<dyn Error>>,
) -> Result<u64, Box<dyn Error>> {
    let mut kills = 0;
    loop {
        let lines_max = if kills < kills_max { RandomState::new().hash_one(kills) % 12 } else { u64::MAX };
        let mut running = child()?.stdout(Stdio::piped()).spawn()?;
        let said = BufReader::new(running.stdout.take().ok_or("no pipe")?).lines();
        let steps = said.map_while(Result::ok).filter(|line| line == "committed" || line == "applied");
        if steps.zip(1..).any(|(_, count)| count >= lines_max) {
            running.kill()?;
        }
        let status = running.wait()?;
        match status.code() {
            Some(0) => return Ok(kills),
            Some(code) => return Err(format!("the process failed with code {code}").into()),
            None => kills += 1,
        }
    }
}

/// All that is in the engine, once it has all of it.
pub(crate) fn contents(directory: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let database = Database::open(directory.join("engine.redb"))?;
    let blocks = database.begin_read()?.open_table(BLOCKS)?;
    let mut bytes = Vec::new();
    for block in blocks.range(0..)? {
        let (at, block) = block?;
        assert_eq!(at.value(), bytes.len() as u64, "a block is missing or stands twice");
        bytes.extend_from_slice(block.value());
    }
    assert_eq!(state(&database, LEN)?, Some(bytes.len() as u64));
    Ok(bytes)
}
