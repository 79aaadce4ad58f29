//! Restores into tables of a database: SQLite (feature `sqlite`) and PostgreSQL (feature `postgres`).
//! Owns the tables' layout; what the bytes mean it does not know.
//!
//! # The tables
//!
//! Their names begin with a prefix, `cofferdam` if no other is chosen; they are made if they are missing.
//!
//! | table | a row is | columns |
//! |---|---|---|
//! | `cofferdam_published` | a target's name, and the restore that is published under it: the *pointer* | `name`, `restore` |
//! | `cofferdam_restores` | a restore | `id` (never used twice), `name`, `state`, `epoch`, `attempt_id`, `segments`, `length`, `checkpoint` |
//! | `cofferdam_chunks` | at most 1 MiB of a restore's bytes | `restore`, `position` (the offset of the first byte), `bytes` |
//! | `cofferdam_version` | the version of this layout, 1; one row | `version` |
//!
//! `state` is `growing` (at most one per name: there may be progress to resume from), `published`, or `garbage`
//! (replaced or given up; the next open, publish or discard of that name removes its rows, 64 a transaction).
//! `segments`, `length` and `checkpoint` are those of the last commit; they change in the transaction that inserts
//! the segment's rows.
//!
//! # Reading what is published
//!
//! [`Published`] is a [`Read`](std::io::Read). In SQL it is one statement, which sees one restore or the
//! other, never both:
//!
//! ```sql
//! SELECT c.bytes FROM cofferdam_published p JOIN cofferdam_chunks c ON c.restore = p.restore
//! WHERE p.name = 'db1' ORDER BY c.position
//! ```
//!
//! Nothing else in the tables is meant for an application. Bytes of rows that were removed stay in the database's
//! files until it writes over them or is vacuumed, as those of all rows do. To take a published target back:
//!
//! ```sql
//! BEGIN;
//! DELETE FROM cofferdam_published WHERE name = 'db1';
//! UPDATE cofferdam_restores SET state = 'garbage' WHERE name = 'db1' AND state = 'published';
//! COMMIT;
//! ```
//!
//! # What can be seen, and when
//!
//! Committed rows are there for everyone who may read the table, long before the restore is published, so a
//! sink's bytes are [`Visibility::Visible`](contract::Visibility::Visible): the engine holds each segment until its
//! digest is verified, and no unverified byte reaches the database at all. That is also what keeps
//! transactions short: a segment's rows, its checkpoint and its COMMIT follow one another, and no transaction
//! is open while the source is waited for.
//!
//! What the user named is the *pointer*, though, and it is switched only at publish, in one transaction: the class is
//! *atomic*. Rules 5, 6, 10 and 13 of the contract bind only sinks that call themselves private; for the pointer this
//! one keeps them as well, and its tests run the conformance suite both as it is and as if it had called itself
//! private.
//!
//! # Who may write
//!
//! An attempt belongs to whoever raised its `epoch` last. Every transaction compares the epoch, so nothing of an
//! earlier holder commits any more, however late it arrives. On PostgreSQL an advisory lock keeps a second restore
//! into the same target out in the first place; SQLite has none, and there the later one takes over.
//!
//! # A commit without an answer
//!
//! If the connection is lost during a COMMIT, the sink connects again, waits until the server is done with the lost
//! session, and reads the checkpoint back: if it is the new one, the commit happened; if it is the previous one, it
//! did not. Only if it cannot look, the answer is [`CommitError::Unknown`](contract::CommitError::Unknown). SQLite
//! has no connection to lose; there a COMMIT that fails in a sync is unknown and stays so, since what can be read
//! after a failed sync is not what is on the medium.
//!
//! ```
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! # #[cfg(feature = "sqlite")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use database::{DatabaseOptions, DatabaseSink, DatabaseTarget, Published};
//! use contract::{Checkpoint, StreamingSink};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("app.db");
//! let target = DatabaseTarget::new("db1")?;
//! let mut sink = DatabaseSink::sqlite(&path, &DatabaseOptions::new(target.clone()))?;
//! sink.begin_segment(0, 0)?;
//! sink.write_tentative(0, b"all or nothing")?;
//! sink.commit_segment(&Checkpoint::from_bytes([0; Checkpoint::LEN]))?;
//! assert!(Published::sqlite(&path, &target)?.is_none());
//! sink.publish(14)?;
//! let published = Published::sqlite(&path, &target)?.expect("it was published");
//! assert_eq!(std::io::read_to_string(published)?, "all or nothing");
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
mod connection;
#[cfg(feature = "postgres")]
mod on_postgres;
#[cfg(feature = "sqlite")]
mod on_sqlite;
mod options;
mod published;
mod schema;
mod sink;
mod target;

/// The client that [`DatabaseSink::postgres`] is made with.
#[cfg(feature = "postgres")]
pub use ::postgres;
pub use options::DatabaseOptions;
pub use published::Published;
pub use sink::DatabaseSink;
pub use target::DatabaseTarget;

#[cfg(test)]
mod tests;
