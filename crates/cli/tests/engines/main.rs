//! Engines that link the library, as their operators build and run them: PostgreSQL's archiver, SQLite, LMDB; and RocksDB, which a mount serves.
//! Every program here is built from `examples/` with the installed header and pkg-config.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test fails by panicking.

mod archiving;
mod base_backup;
mod costs;
mod installed;
mod lmdb;
#[allow(dead_code, reason = "the tests of `mount` use all of it")]
#[path = "../mount/mount_process.rs"]
mod mount_process;
mod programs;
mod recovering;
mod rocksdb;
mod rocksdb_costs;
#[path = "../mount/sealed_tree.rs"]
mod sealed_tree;
mod server;
mod sqlite;
mod strangers;
