//! A proxy on the loopback interface that fails as networks and servers do, when and as a [`Plan`] says.
//! It knows HTTP/1.1 and neither stores nor signatures; what it does not have to change goes through as it came.

mod connection;
mod counts;
mod edit;
mod fault;
mod link;
mod plan;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub use counts::{Counts, Seen};
pub use fault::{Fault, FaultKind};
pub use link::Link;
pub use plan::{Plan, Request};

use crate::http::Head;
use crate::listener::Listener;
use connection::Connection;

/// A running proxy: a thread per connection. It ends when it is dropped.
pub struct FaultProxy {
    listener: Listener,
    shared: Arc<Shared>,
}

impl FaultProxy {
    /// Passes what it is asked on to `upstream`, and lets fail what `plan` says.
    ///
    /// # Errors
    /// There is no port to listen on.
    pub fn start(upstream: SocketAddr, plan: Plan) -> io::Result<FaultProxy> {
        let shared = Arc::new(Shared::new(upstream, plan));
        let listener = Listener::start("proxy", {
            let shared = Arc::clone(&shared);
            move |number, client, streams| {
                shared.counts.lock().connections += 1;
                Connection::new(&shared, streams, number, client)?.serve()
            }
        })?;
        Ok(FaultProxy { listener, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The URL of `path` through it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address())
    }

    /// Fails from now on what `plan` says.
    pub fn set_plan(&self, plan: Plan) {
        *self.shared.plan.lock() = plan;
    }

    /// How far and how wide the way is.
    pub fn link(&self) -> &Link {
        &self.shared.link
    }

    /// Ends all connections, and each new one at once, until it is told otherwise.
    pub fn set_outage(&self, outage: bool) {
        self.listener.refuse(outage);
    }

    /// What has gone through so far.
    pub fn counts(&self) -> Counts {
        let mut counts = self.shared.counts.lock().clone();
        // Totals, read for themselves.
        counts.bytes_up = self.shared.bytes_up.load(Ordering::Relaxed);
        counts.bytes_down = self.shared.bytes_down.load(Ordering::Relaxed);
        counts
    }

    /// The requests that came so far, in order, also those that are being answered: of very many the first.
    pub fn seen(&self) -> Vec<Seen> {
        let mut seen = self.shared.seen.lock().clone();
        seen.sort_by_key(|seen| seen.request.index());
        seen
    }
}

/// What the threads of a proxy share.
struct Shared {
    upstream: SocketAddr,
    plan: Mutex<Plan>,
    link: Link,
    counts: Mutex<Counts>,
    seen: Mutex<Vec<Seen>>,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

impl Shared {
    fn new(upstream: SocketAddr, plan: Plan) -> Shared {
        Shared {
            upstream,
            plan: Mutex::new(plan),
            link: Link::default(),
            counts: Mutex::default(),
            seen: Mutex::default(),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
        }
    }

    /// Counts a request and decides what goes wrong with it.
    fn decide(&self, head: &Head) -> (Request, Option<Fault>) {
        // Under the plan's lock, so that it sees the requests in the order of their numbers.
        let mut plan = self.plan.lock();
        let request = {
            let mut counts = self.counts.lock();
            counts.requests += 1;
            Request::new(counts.requests - 1, head)
        };
        let fault = plan.decide(&request);
        (request, fault)
    }

    fn note_fault(&self, kind: FaultKind) {
        *self.counts.lock().faults.entry(kind).or_default() += 1;
    }

    fn note_seen(&self, seen: Seen) {
        let mut all = self.seen.lock();
        if all.len() < counts::SEEN_MAX {
            all.push(seen);
        }
    }

    /// The client is told `status` of the request `index` next.
    fn note_status(&self, index: u64, status: u16) {
        let mut all = self.seen.lock();
        if let Some(seen) = all.iter_mut().rfind(|seen| seen.request.index() == index) {
            seen.status = status;
        }
    }
}
