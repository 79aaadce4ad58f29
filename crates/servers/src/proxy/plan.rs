//! Owns who decides which request fails how: a script, a seed, or a function of the caller's.
//! Knows nothing of how a fault is done.

use super::fault::{Fault, FaultKind};
use crate::http::Head;

/// A request, as the proxy got it.
#[derive(Clone, Debug)]
pub struct Request {
    index: u64,
    head: Head,
}

impl Request {
    pub(super) fn new(index: u64, head: &Head) -> Request {
        Request { index, head: head.clone() }
    }

    /// How many came to the proxy before it.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Such as `GET`.
    pub fn method(&self) -> &str {
        self.head.method()
    }

    /// The path and what follows it, still encoded.
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The value of a field of its head, whose name is of any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// Whether it asks for bytes of an object.
    pub fn is_read(&self) -> bool {
        self.method() == "GET" && !self.target().contains("list")
    }

    /// Whether it sends a part of an upload: of S3 and GCS, or a block of Azure.
    pub fn is_part(&self) -> bool {
        self.method() == "PUT" && (self.target().contains("partNumber=") || self.asks_for("comp=block"))
    }

    /// Whether it completes an upload: of S3 and GCS, or a list of blocks of Azure.
    pub fn is_complete(&self) -> bool {
        self.method() == "POST" && self.target().contains("uploadId=")
            || self.method() == "PUT" && self.asks_for("comp=blocklist")
    }

    /// How many bytes its range has, where it says its ends.
    pub fn range_len(&self) -> Option<u64> {
        let (first, last) = self.field("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        (last + 1).checked_sub(first).filter(|len| *len > 0)
    }

    /// How long its body is, where it says so.
    pub fn content_len(&self) -> Option<u64> {
        self.field("content-length")?.parse().ok()
    }

    fn asks_for(&self, pair: &str) -> bool {
        let query = self.target().split_once('?').map_or("", |(_, query)| query);
        query.split('&').any(|found| found == pair)
    }
}

/// Who decides which request fails, and how. Requests are shown to it one at a time, before the server sees them.
pub struct Plan(Box<Decide>);

type Decide = dyn FnMut(&Request) -> Option<Fault> + Send;

impl Plan {
    /// Nothing fails.
    pub fn none() -> Plan {
        Plan::new(|_| None)
    }

    /// What `decide` says, which may also do what is to happen before the request.
    pub fn new(decide: impl FnMut(&Request) -> Option<Fault> + Send + 'static) -> Plan {
        Plan(Box::new(decide))
    }

    /// The requests that `which` says yes to fail with the faults of `script`, one after another; those after its end do not.
    pub fn script(
        which: impl Fn(&Request) -> bool + Send + 'static,
        script: impl IntoIterator<Item = Option<Fault>>,
    ) -> Plan {
        let mut script = script.into_iter().collect::<Vec<_>>().into_iter();
        Plan::new(move |request| if which(request) { script.next().flatten() } else { None })
    }

    /// Every request that `which` says yes to fails with `fault`.
    pub fn always(which: impl Fn(&Request) -> bool + Send + 'static, fault: Fault) -> Plan {
        Plan::new(move |request| which(request).then(|| fault.clone()))
    }

    /// About one request `in_every` fails, with a fault of one of `kinds`. Which and how is decided by the seed and the order in
    /// which requests come.
    ///
    /// # Panics
    /// No kinds, or a request in every 0.
    pub fn seeded(seed: u64, in_every: u32, kinds: &[FaultKind]) -> Plan {
        assert!(in_every > 0 && !kinds.is_empty(), "what fails, and how often");
        let (mut numbers, kinds) = (fastrand::Rng::with_seed(seed), kinds.to_vec());
        Plan::new(move |request| {
            let fails = numbers.u32(0..in_every) == 0;
            let kind = kinds[numbers.usize(0..kinds.len())];
            fails.then(|| kind.draw(&mut numbers, request)).flatten()
        })
    }

    pub(super) fn decide(&mut self, request: &Request) -> Option<Fault> {
        (self.0)(request)
    }
}
