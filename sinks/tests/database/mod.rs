//! What the tests of a database in a file have in common: the target, its marks, and what is published under it.
//! Knows no stream.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{io::Read, path::Path};

use sinks::{
    Checkpoint, IfExists,
    database::{DatabaseOptions, DatabaseTarget, Published},
};

pub(crate) fn options() -> DatabaseOptions {
    let target = DatabaseTarget::new("db1").unwrap();
    DatabaseOptions { if_exists: IfExists::Replace, ..DatabaseOptions::new(target) }
}

/// The mark of so many segments.
pub(crate) fn checkpoint(segments: u64) -> Checkpoint {
    Checkpoint::from_bytes([segments as u8; Checkpoint::LEN])
}

/// What is published.
pub(crate) fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    Published::sqlite(path, &options().target).unwrap()?.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}
