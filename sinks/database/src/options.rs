//! How to restore into a database.
//! Knows neither the tables nor the database.

use contract::{AttemptId, IfExists};

use super::target::DatabaseTarget;

/// How to restore into a database.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DatabaseOptions {
    /// The name to publish, and its tables.
    pub target: DatabaseTarget,
    /// What to do if the name is published already.
    pub if_exists: IfExists,
    /// Says whose progress it is, to the caller of a later attempt: see
    /// [`DatabaseSink::attempt_id`](super::DatabaseSink::attempt_id).
    pub attempt_id: Option<AttemptId>,
}

impl DatabaseOptions {
    /// For `target`, which must not be published yet; nobody's progress.
    pub fn new(target: DatabaseTarget) -> Self {
        Self { target, if_exists: IfExists::Refuse, attempt_id: None }
    }

    /// Chooses what to do if the name is published already. Default: refuse it.
    #[must_use]
    pub fn if_exists(mut self, if_exists: IfExists) -> Self {
        self.if_exists = if_exists;
        self
    }

    /// Says whose progress it is, to the caller of a later attempt. Default: nobody's.
    #[must_use]
    pub fn attempt_id(mut self, attempt_id: impl Into<Option<AttemptId>>) -> Self {
        self.attempt_id = attempt_id.into();
        self
    }
}
