//! Restores into tables of a database.
//! Owns the tables' layout; what the bytes mean it does not know.

mod attempt;
mod connection;
#[cfg(feature = "sqlite")]
mod on_sqlite;
mod options;
mod published;
mod schema;
mod sink;
mod target;

pub use options::DatabaseOptions;
pub use published::Published;
pub use sink::DatabaseSink;
pub use target::DatabaseTarget;
