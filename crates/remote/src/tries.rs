//! One request until it has succeeded, or has failed for good: counts, waits, tells whoever listens.
//! Knows no store, and not what is asked for.

use std::time::{Duration, Instant};

use cofferdam_io::{FetchError, FetchFault};

use crate::{
    Place, RemoteOptions, Retry,
    failure::{Failure, Setback, SetbackKind},
    retry::Backoff,
    tally::Counters,
    telemetry::CallerSpan,
};

/// What all requests to a place share.
pub(crate) struct Context {
    pub(crate) place: Place,
    pub(crate) options: RemoteOptions,
    pub(crate) counters: Counters,
    pub(crate) caller: CallerSpan,
}

impl Context {
    pub(crate) fn new(place: Place, options: RemoteOptions) -> Self {
        Self { place, options, counters: Counters::default(), caller: CallerSpan::current() }
    }

    pub(crate) fn cancelled(&self) -> FetchError {
        FetchError::new(FetchFault::Cancelled, format!("{}: cancelled", self.place))
    }
}

/// The tries of one request.
pub(crate) struct Tries {
    backoff: Backoff,
    /// In a row, of the kinds that seldom go by themselves.
    hopeless: u32,
    /// What is read once more since a try began at the start.
    skipping: Option<Skipping>,
}

/// Bytes that come again, before those that are waited for.
struct Skipping {
    begun: Instant,
    bytes: u64,
    backoff: Backoff,
}

impl Tries {
    pub(crate) fn new(context: &Context) -> Self {
        let progress = context.counters.progressed(0);
        let backoff = Backoff::after(&context.options.retries, Instant::now(), progress);
        Self { backoff, hopeless: 0, skipping: None }
    }

    /// `len` bytes that were waited for have arrived. `what` is as of [`again`](Self::again).
    ///
    /// # Errors
    /// Too few have for too long.
    pub(crate) fn arrived(
        &mut self,
        context: &Context,
        len: usize,
        what: impl FnOnce() -> String,
    ) -> Result<(), FetchError> {
        self.hopeless = 0;
        let bytes = context.counters.progressed(len);
        if let Some(skipping) = self.skipping.take() {
            self.backoff.repeated(skipping.begun.elapsed(), bytes);
        }
        let is_enough = self.backoff.arrived(Instant::now(), bytes);
        is_enough.then_some(()).ok_or_else(|| too_slow(context, &what()))
    }

    /// `len` bytes have come again, which are no progress, and take the time that they take.
    ///
    /// # Errors
    /// As [`arrived`](Self::arrived).
    pub(crate) fn skipped(
        &mut self,
        context: &Context,
        len: usize,
        what: impl FnOnce() -> String,
    ) -> Result<(), FetchError> {
        let now = Instant::now();
        let backoff = || Backoff::new(&context.options.retries, now);
        let skipping =
            self.skipping.get_or_insert_with(|| Skipping { begun: now, bytes: 0, backoff: backoff() });
        skipping.bytes += len as u64;
        let is_enough = skipping.backoff.arrived(now, skipping.bytes);
        is_enough.then_some(()).ok_or_else(|| too_slow(context, &what()))
    }

    /// For so long nobody took anything.
    pub(crate) fn paused(&mut self, pause: Duration) {
        self.backoff.paused(pause);
    }

    /// Waits until the request is to be made again. `what` says what is asked for, in words that come after the place.
    ///
    /// # Errors
    /// It is not to be made again.
    pub(crate) async fn again(
        &mut self,
        context: &Context,
        failure: Failure,
        what: &str,
    ) -> Result<(), FetchError> {
        self.skipping = None;
        let setback = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Setback(setback) => setback,
        };
        match setback.kind {
            SetbackKind::Throttled => context.counters.throttled(),
            SetbackKind::BadAnswer | SetbackKind::NoCredentials => self.hopeless += 1,
            SetbackKind::Outage => {}
        }
        let place = &context.place;
        if self.hopeless >= HOPELESS_MAX {
            return Err(given_up(place, what, &setback));
        }
        let Some(wait) = self.backoff.next_wait(Instant::now(), setback.after) else {
            return Err(no_progress(context, what, &setback));
        };
        context.counters.retry(setback.kind);
        (context.options.on_retry)(&Retry {
            what: format!("{place}{what}"),
            cause: setback.cause,
            attempt: self.backoff.attempt(),
            wait,
        });
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn given_up(place: &Place, what: &str, setback: &Setback) -> FetchError {
    let fault =
        if setback.kind == SetbackKind::NoCredentials { FetchFault::Denied } else { FetchFault::Refused };
    FetchError::new(fault, format!("{place}{what}: {}", setback.cause))
}

fn no_progress(context: &Context, what: &str, setback: &Setback) -> FetchError {
    let place = &context.place;
    let cause = &setback.cause;
    let limit = context.options.retries.no_progress.as_secs();
    let message = match setback.after.filter(|after| !after.is_zero()) {
        Some(after) => format!(
            "{place}{what}: {cause}, and asks to be left alone for {} s, longer than is waited; try again later",
            after.as_secs()
        ),
        None => format!(
            "{place}{what}: nothing to speak of has arrived for {limit} s: {cause}; try again when network and server work"
        ),
    };
    FetchError::new(FetchFault::NoProgress, message)
}

fn too_slow(context: &Context, what: &str) -> FetchError {
    let place = &context.place;
    let policy = &context.options.retries;
    let message = format!(
        "{place}{what}: less than {} bytes per second have arrived for {} s, which counts as nothing; try again when network and server work",
        policy.min_bytes_per_second,
        policy.no_progress.as_secs()
    );
    FetchError::new(FetchFault::NoProgress, message)
}

/// Tries in a row that were answered wrongly, or for which there were no credentials.
const HOPELESS_MAX: u32 = 3;
