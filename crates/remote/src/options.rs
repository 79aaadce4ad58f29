//! How a place is read and written: retries, who hears of them, who may stop them.
//! Knows no place.

use std::{fmt, sync::Arc};

use crate::{Retry, RetryPolicy};

/// How a place is read and written.
#[derive(Clone)]
pub struct RemoteOptions {
    pub(crate) retries: RetryPolicy,
    pub(crate) on_retry: Arc<dyn Fn(&Retry) + Send + Sync>,
    pub(crate) cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl RemoteOptions {
    /// The default policy of retries, nobody hears of them, and nothing is cancelled.
    pub fn new() -> Self {
        Self { retries: RetryPolicy::default(), on_retry: Arc::new(|_| {}), cancelled: Arc::new(|| false) }
    }

    /// How failed requests are made again.
    #[must_use]
    pub fn retries(mut self, policy: RetryPolicy) -> Self {
        self.retries = policy;
        self
    }

    /// Calls `observer` before each wait for another try, on a thread of the requests: it must not wait for anything.
    #[must_use]
    pub fn on_retry(mut self, observer: Arc<dyn Fn(&Retry) + Send + Sync>) -> Self {
        self.on_retry = observer;
        self
    }

    /// Whoever waits asks `cancelled` about every 50 ms, and waits no more once it says so.
    #[must_use]
    pub fn cancel_when(mut self, cancelled: Arc<dyn Fn() -> bool + Send + Sync>) -> Self {
        self.cancelled = cancelled;
        self
    }
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RemoteOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RemoteOptions").field("retries", &self.retries).finish_non_exhaustive()
    }
}
