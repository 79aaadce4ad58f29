//! Engines that link the library, as their operators build and run them: PostgreSQL's archiver, SQLite, LMDB.
//! Every program here is built from `examples/` with the installed header and pkg-config.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod archiving;
mod costs;
mod installed;
mod lmdb;
mod programs;
mod recovering;
mod server;
mod sqlite;
mod strangers;
