//! Owns what a proxy has seen: requests, bytes, faults.
//! Decides nothing.

use std::collections::BTreeMap;

use super::fault::FaultKind;
use super::plan::Request;

/// What has gone through a proxy so far.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Connections of clients.
    pub connections: u64,
    /// Requests whose heads came whole.
    pub requests: u64,
    /// Bytes of requests that servers were sent, with their heads.
    pub bytes_up: u64,
    /// Bytes of answers that clients were sent, with their heads.
    pub bytes_down: u64,
    /// Faults by kind, those that a message had no place for not counted.
    pub faults: BTreeMap<FaultKind, u64>,
}

/// A request that has gone through a proxy, with what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// What was asked.
    pub request: Request,
    /// What was to go wrong.
    pub fault: Option<FaultKind>,
    /// What the client was told; 0 where it was told nothing.
    pub status: u16,
}

/// How many requests are remembered: the first ones.
pub(super) const SEEN_MAX: usize = 1 << 16;
