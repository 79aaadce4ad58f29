//! The tables: made where they are missing, refused where they are of another version.
//! Knows no restore.

use std::io;

use contract::CommitError;

use super::{
    connection::{Connection, Value, transact},
    target::Tables,
};

/// Makes the tables if they are not there. One transaction, so that all of them are there or none.
///
/// A session that may read and write the tables but not make any finds them, and makes none.
pub(super) fn prepare(connection: &mut dyn Connection, tables: &Tables) -> io::Result<()> {
    if version(connection, tables)?.is_none() {
        transact(connection, |connection| create(connection, tables)).map_err(inner)?;
    }
    match version(connection, tables)? {
        Some(VERSION) => Ok(()),
        found => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "{} says version {found:?}, and this program knows {VERSION}: choose another prefix",
                tables.version
            ),
        )),
    }
}

/// None: there are no tables.
pub(super) fn version(connection: &mut dyn Connection, tables: &Tables) -> io::Result<Option<i64>> {
    let exists = connection.dialect().table_exists;
    if connection.first_row(exists, &[Value::Text(&tables.version)])?.is_none() {
        return Ok(None);
    }
    let sql = format!("SELECT version FROM {}", tables.version);
    connection.first_row(&sql, &[])?.map(|mut row| row.integer()).transpose()
}

fn create(connection: &mut dyn Connection, tables: &Tables) -> io::Result<()> {
    let dialect = connection.dialect();
    if !dialect.lock_schema.is_empty() {
        connection.execute(dialect.lock_schema, &[])?;
    }
    if version(connection, tables)?.is_some() {
        return Ok(()); // another one made them while this one waited
    }
    let Tables { version, restores, chunks, published } = tables;
    let (bytes, assigned_key) = (dialect.bytes, dialect.assigned_key);
    let mut statements = vec![
        format!("CREATE TABLE {version} (version BIGINT NOT NULL)"),
        format!(
            "CREATE TABLE {restores} (id {assigned_key}, name TEXT NOT NULL, state TEXT NOT NULL, \
             epoch BIGINT NOT NULL, label {bytes} NOT NULL, segments BIGINT NOT NULL, \
             length BIGINT NOT NULL, checkpoint {bytes}, \
             CHECK (state IN ('growing', 'published', 'garbage')))"
        ),
        format!("CREATE UNIQUE INDEX {restores}_growing ON {restores} (name) WHERE state = 'growing'"),
        format!(
            "CREATE TABLE {chunks} (restore BIGINT NOT NULL, position BIGINT NOT NULL, \
             bytes {bytes} NOT NULL, PRIMARY KEY (restore, position))"
        ),
        format!("CREATE TABLE {published} (name TEXT PRIMARY KEY, restore BIGINT NOT NULL)"),
        format!("INSERT INTO {version} (version) VALUES ({VERSION})"),
    ];
    if !dialect.alter_chunks.is_empty() {
        statements.push(format!("ALTER TABLE {chunks} {}", dialect.alter_chunks));
    }
    for statement in &statements {
        connection.execute(statement, &[])?;
    }
    Ok(())
}

fn inner(error: CommitError) -> io::Error {
    match error {
        CommitError::NotCommitted(error) | CommitError::Unknown(error) => error,
    }
}

/// What the version's row says.
const VERSION: i64 = 1;
