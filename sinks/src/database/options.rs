//! How to restore into a database.
//! Knows neither the tables nor the database.

use super::target::DatabaseTarget;
use crate::{Existing, Label};

/// How to restore into a database.
#[derive(Clone, Debug)]
pub struct DatabaseOptions {
    /// The name to publish, and its tables.
    pub target: DatabaseTarget,
    /// What to do if the name is published already.
    pub existing: Existing,
    /// Says whose progress it is, to the caller of a later attempt: see
    /// [`DatabaseSink::label`](super::DatabaseSink::label).
    pub label: Option<Label>,
}

impl DatabaseOptions {
    /// For a target that is not published yet, without a label.
    pub fn new(target: DatabaseTarget) -> Self {
        Self { target, existing: Existing::Refuse, label: None }
    }
}
