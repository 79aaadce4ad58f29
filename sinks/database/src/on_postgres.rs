//! A session with a PostgreSQL server.
//! Knows no table.

use std::{collections::HashMap, io};

use contract::CommitError;
use postgres::{
    Client, Statement,
    error::{Severity, SqlState},
    types::{ToSql, Type},
};

use super::{
    connection::{Cell, Connection, Dialect, Row, Value},
    options::DatabaseOptions,
    published::Published,
    sink::DatabaseSink,
    target::DatabaseTarget,
};

impl DatabaseSink {
    /// A sink in the PostgreSQL database that `connect` connects to. It is called again if the connection is
    /// lost during a commit, to learn whether that has happened. The caller chooses TLS and timeouts there,
    /// and answers for them:
    ///
    /// ```no_run
    /// use database::{DatabaseOptions, DatabaseSink, DatabaseTarget, postgres};
    ///
    /// let mut config: postgres::Config = "host=/run/postgresql user=app dbname=app".parse()?;
    /// config.connect_timeout(std::time::Duration::from_secs(10));
    /// let connect = move || config.connect(postgres::NoTls); // a Unix socket needs no TLS
    /// let options = DatabaseOptions::new(DatabaseTarget::new("db1")?);
    /// let sink = DatabaseSink::postgres(connect, &options)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// The session waits for the server's disk at each commit, also where the server's default is not to. The
    /// server ends a session of which nothing has come within a transaction for a minute, or which its
    /// keepalives do not find for two, and with it the lock that keeps other restores out. A pooler between
    /// them must give each client a session of its own.
    ///
    /// No call on the sink may be made from within an asynchronous runtime: the client has one of its own.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]: the name is published, and replacing it was not asked for.
    /// [`io::ErrorKind::ResourceBusy`]: another restore into the same target is at work.
    /// [`io::ErrorKind::Unsupported`]: the server runs with `fsync` off, or the tables are of another
    /// version. The server's own.
    pub fn postgres(
        connect: impl FnMut() -> Result<Client, postgres::Error> + Send + 'static,
        options: &DatabaseOptions,
    ) -> io::Result<Self> {
        let target = &options.target;
        let lock = format!("{} {}", target.prefix(), target.name());
        Self::over(Box::new(PostgresSession::to_write(Box::new(connect), lock)?), options)
    }
}

impl Published {
    /// What is published as `target` in the PostgreSQL database that `connect` connects to. None: nothing is.
    ///
    /// # Errors
    /// The tables are of another version; the server's own.
    pub fn postgres(
        connect: impl FnMut() -> Result<Client, postgres::Error> + Send + 'static,
        target: &DatabaseTarget,
    ) -> io::Result<Option<Self>> {
        Self::over(Box::new(PostgresSession::to_read(Box::new(connect))?), target)
    }
}

type Connect = Box<dyn FnMut() -> Result<Client, postgres::Error> + Send>;

pub(super) struct PostgresSession {
    connect: Connect,
    client: Client,
    /// What this session keeps others out of.
    lock: Option<String>,
    statements: HashMap<String, Statement>,
}

impl PostgresSession {
    pub(super) fn to_read(mut connect: Connect) -> io::Result<Self> {
        let client = connect().map_err(io_error)?;
        Ok(Self { connect, client, lock: None, statements: HashMap::new() })
    }

    pub(super) fn to_write(connect: Connect, lock: String) -> io::Result<Self> {
        let mut session = Self { lock: Some(lock), ..Self::to_read(connect)? };
        session.settle(LOCK_WAIT_AT_START)?;
        session.keep_others_out().map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => {
                let message =
                    "another restore into the same target is at work, or its end is not yet noticed";
                io::Error::new(io::ErrorKind::ResourceBusy, message)
            }
            _ => error,
        })?;
        session.wait_for_locks(LOCK_WAIT)?;
        Ok(session)
    }

    /// What the session relies on, whatever the server's defaults are.
    fn settle(&mut self, lock_wait: &str) -> io::Result<()> {
        self.client.batch_execute(SETTINGS).map_err(io_error)?;
        self.wait_for_locks(lock_wait)?;
        let fsync: String = self.client.query_one("SHOW fsync", &[]).map_err(io_error)?.get(0);
        if fsync == "on" {
            return Ok(());
        }
        let message =
            "the server runs with fsync off: what commits there does not survive a crash of its machine";
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    fn wait_for_locks(&mut self, at_most: &str) -> io::Result<()> {
        self.client.batch_execute(&format!("SET lock_timeout = '{at_most}'")).map_err(io_error)
    }

    /// Waits for whoever is in: one that has just ended is, until the server has noticed.
    fn keep_others_out(&mut self) -> io::Result<()> {
        let Some(lock) = self.lock.as_deref() else { return Ok(()) };
        let sql = "SELECT pg_advisory_lock(hashtextextended($1, 0))";
        self.client.execute(sql, &[&lock]).map(|_| ()).map_err(io_error)
    }

    /// Prepared once a session: a segment is many rows.
    fn prepared(&mut self, sql: &str) -> io::Result<Statement> {
        if let Some(known) = self.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(&sql.replace('?', "$")).map_err(io_error)?;
        self.statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }
}

impl Connection for PostgresSession {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn begin(&mut self) -> io::Result<()> {
        self.client.batch_execute("BEGIN").map_err(io_error)
    }

    fn commit(&mut self) -> Result<(), CommitError> {
        self.client.batch_execute("COMMIT").map_err(|error| {
            // An ERROR is an answer: the transaction is rolled back. A FATAL is the session's end, and so is
            // no answer.
            let severity = error.as_db_error().and_then(|error| error.parsed_severity());
            let refused = severity == Some(Severity::Error);
            let error = io_error(error);
            if refused { CommitError::NotCommitted(error) } else { CommitError::Unknown(error) }
        })
    }

    fn roll_back(&mut self) -> io::Result<()> {
        self.client.batch_execute("ROLLBACK").map_err(io_error)
    }

    /// The lock is the lost session's until the server has ended that one, and its transaction before it.
    fn connect_again(&mut self) -> io::Result<()> {
        self.client = (self.connect)().map_err(io_error)?;
        self.statements.clear();
        self.settle(LOCK_WAIT)?;
        self.keep_others_out()
    }

    fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> io::Result<u64> {
        let statement = self.prepared(sql)?;
        self.client.execute(&statement, &parameters(values)).map_err(io_error)
    }

    fn first_row(&mut self, sql: &str, values: &[Value<'_>]) -> io::Result<Option<Row>> {
        let statement = self.prepared(sql)?;
        let rows = self.client.query(&statement, &parameters(values)).map_err(io_error)?;
        let Some(row) = rows.first() else { return Ok(None) };
        (0..row.len()).map(|column| cell(row, column)).collect::<io::Result<_>>().map(Row::new).map(Some)
    }
}

fn parameters<'a>(values: &'a [Value<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    let parameter = |value: &'a Value<'a>| match value {
        Value::Integer(integer) => integer as &(dyn ToSql + Sync),
        Value::Text(text) => text,
        Value::Bytes(bytes) => bytes,
    };
    values.iter().map(parameter).collect()
}

fn cell(row: &postgres::Row, column: usize) -> io::Result<Cell> {
    let cell = match *row.columns()[column].type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(column).map(|found| found.map(Cell::Integer)),
        Type::TEXT => row.try_get::<_, Option<String>>(column).map(|found| found.map(Cell::Text)),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(column).map(|found| found.map(Cell::Bytes)),
        _ => Ok(None),
    };
    cell.map(|cell| cell.unwrap_or(Cell::Null)).map_err(io_error)
}

fn io_error(error: postgres::Error) -> io::Error {
    let kind = match error.code() {
        Some(&SqlState::DISK_FULL) => io::ErrorKind::StorageFull,
        Some(&SqlState::LOCK_NOT_AVAILABLE) => io::ErrorKind::ResourceBusy,
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => io::ErrorKind::PermissionDenied,
        Some(_) => io::ErrorKind::Other,
        None if error.is_closed() => io::ErrorKind::ConnectionReset,
        None => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

const DIALECT: Dialect = Dialect {
    bytes: "BYTEA",
    assigned_key: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    table_exists: "SELECT 1 WHERE to_regclass(?1) IS NOT NULL",
    lock_schema: "SELECT pg_advisory_xact_lock(hashtextextended('cofferdam tables', 0))",
    // Bytes are not worth the server's attempts to compress them a second time.
    alter_chunks: "ALTER COLUMN bytes SET STORAGE EXTERNAL",
};

/// For a restore that was just ended, and for one that is at work: then it is refused.
const LOCK_WAIT_AT_START: &str = "5s";
/// Longer than a transaction stays open whose client was lost: see [`SETTINGS`].
const LOCK_WAIT: &str = "90s";
/// A server whose default is to wait for standbys, too, goes on doing so.
const SETTINGS: &str = "\
    SET default_transaction_isolation = 'read committed'; \
    SET idle_in_transaction_session_timeout = '60s'; \
    SET tcp_keepalives_idle = 60; \
    SET tcp_keepalives_interval = 10; \
    SET tcp_keepalives_count = 6; \
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
