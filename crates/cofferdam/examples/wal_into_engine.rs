//! How do I restore into a storage engine that may be killed at any moment? `cargo run --release -p cofferdam --features wal --example wal_into_engine`
//! A stream goes into a log, the log into a redb table; killed anywhere, the next call resumes. A test kills it, again and again.

use std::error::Error;
use std::fs;
use std::path::Path;

use cofferdam::wal::{self, AtPublish, Finished, Lsn, Opened, WalSink};
use cofferdam::{
    AttemptId, BytesSource, FileSource, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey,
};
use redb::{Database, ReadableDatabase, TableDefinition};

/// What the engine keeps: bytes by their offset in the stream.
const BLOCKS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("blocks");
/// How far the log is applied, written in the same transaction as what was applied.
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
const APPLIED: &str = "applied up to this lsn";
const LEN: &str = "applied in full; the stream's length";
/// Records of one transaction.
const RECORDS_MAX: usize = 8;

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let plaintext: Vec<u8> = (0..=250).cycle().take(8 << 20).collect();
    prepare(directory.path(), &plaintext)?;
    restore_into_engine(directory.path())?;
    assert!(contents(directory.path())? == plaintext);
    println!("the table holds the {} bytes of the stream", plaintext.len());
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

/// Resumes after the last segment that the log has, by itself.
fn restore_into_log(directory: &Path, sink: WalSink) -> Result<(), Box<dyn Error>> {
    let key = WrappingKey::parse(&fs::read(directory.join("key"))?)?;
    let opener = Opener::new(Identities::new().wrapping_key(key)).on_progress(|_| println!("committed"));
    opener.open(FileSource::open(directory.join("sealed.cfd"))?, sink)?;
    Ok(())
}

/// Applies the log's records after those that the engine has.
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

/// Seals a stream of many segments into the directory.
pub(crate) fn prepare(directory: &Path, plaintext: &[u8]) -> Result<(), Box<dyn Error>> {
    let key = WrappingKey::generate()?;
    fs::write(directory.join("key"), key.to_hex().as_bytes())?;
    let (sink, sealed) = MemorySink::new();
    let sealer = Sealer::new(Recipients::new().wrapping_key(key)).frame_len(16 << 10).segment_len(64 << 10);
    sealer.seal(BytesSource::new(plaintext.to_vec()), sink)?;
    Ok(fs::write(directory.join("sealed.cfd"), sealed.take().ok_or("nothing was sealed")?)?)
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
