//! How to restore into a database.
//! Knows neither the tables nor the database.

use super::target::DatabaseTarget;
use crate::Existing;

/// How to restore into a database.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// The name to publish, and its tables.
    pub target: DatabaseTarget,
    /// What to do if the name is published already.
    pub existing: Existing,
    /// Says whose progress it is, to the caller of a later attempt: see
    /// [`DatabaseSink::label`](super::DatabaseSink::label). The sink stores it and compares nothing. At most
    /// [`Self::LABEL_LEN_MAX`] bytes.
    pub label: Vec<u8>,
}

impl DatabaseOptions {
    /// For a target that is not published yet, without a label.
    pub fn new(target: DatabaseTarget) -> Self {
        Self { target, existing: Existing::Refuse, label: Vec::new() }
    }

    /// Longest label, in bytes.
    pub const LABEL_LEN_MAX: usize = 384;
}
