//! The metrics of requests, and the calls that report them through the `metrics` facade; and their spans.
//! Without the features `metrics` and `tracing` the calls do nothing. No label says where a request went: that may hold a secret.

use crate::Place;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// Bytes of an object are read.
    Download,
    /// An object is made, or what was begun of one is listed or given up.
    Upload,
}

#[cfg(feature = "metrics")]
mod facade {
    use metrics::{Unit, counter, describe_counter};

    use super::Direction;
    use crate::failure::SetbackKind;

    const REQUESTS: &str = "cofferdam_requests_total";
    const RECEIVED: &str = "cofferdam_received_bytes_total";
    const SENT: &str = "cofferdam_sent_bytes_total";
    const RETRIES: &str = "cofferdam_request_retries_total";

    /// Tells the facade's recorder what each figure is, and has all begin at 0. To be called once it is installed.
    pub fn describe_metrics() {
        describe_counter!(REQUESTS, Unit::Count, "Requests sent to stores and servers, each try counted.");
        describe_counter!(
            RECEIVED,
            Unit::Bytes,
            "Bytes of objects that have arrived, those that arrived twice counted twice."
        );
        describe_counter!(SENT, Unit::Bytes, "Bytes of objects that a store has taken.");
        describe_counter!(
            RETRIES,
            Unit::Count,
            "Requests that failed and were made again: for an outage, because the place asked for fewer, for a wrong answer, or for want of credentials."
        );
        for direction in [Direction::Download, Direction::Upload] {
            counter!(REQUESTS, "direction" => direction.name()).absolute(0);
            for cause in SetbackKind::ALL {
                let (direction, cause) = (direction.name(), cause.name());
                counter!(RETRIES, "direction" => direction, "cause" => cause).absolute(0);
            }
        }
        counter!(RECEIVED).absolute(0);
        counter!(SENT).absolute(0);
    }

    impl Direction {
        fn name(self) -> &'static str {
            match self {
                Direction::Download => "download",
                Direction::Upload => "upload",
            }
        }
    }

    pub(crate) fn request(direction: Direction) {
        counter!(REQUESTS, "direction" => direction.name()).increment(1);
    }

    pub(crate) fn received(bytes: usize) {
        counter!(RECEIVED).increment(bytes as u64);
    }

    pub(crate) fn sent(bytes: usize) {
        counter!(SENT).increment(bytes as u64);
    }

    pub(crate) fn retry(direction: Direction, cause: &'static str) {
        counter!(RETRIES, "direction" => direction.name(), "cause" => cause).increment(1);
    }
}

#[cfg(not(feature = "metrics"))]
mod facade {
    use super::Direction;

    pub(crate) fn request(_: Direction) {}
    pub(crate) fn received(_: usize) {}
    pub(crate) fn sent(_: usize) {}
    pub(crate) fn retry(_: Direction, _: &'static str) {}
}

#[cfg(feature = "metrics")]
pub use facade::describe_metrics;
pub(crate) use facade::{received, request, retry, sent};

/// The span of whoever opens a source or an object: the parent of its requests, which are made on threads of their own.
#[derive(Clone, Debug)]
pub(crate) struct CallerSpan(#[cfg(feature = "tracing")] tracing::Span);

impl CallerSpan {
    #[cfg(feature = "tracing")]
    pub(crate) fn current() -> CallerSpan {
        CallerSpan(tracing::Span::current())
    }

    #[cfg(not(feature = "tracing"))]
    pub(crate) fn current() -> CallerSpan {
        CallerSpan()
    }

    /// Makes a request until its answer begins, in a span that says what it is for. `place` has nothing secret.
    #[cfg(feature = "tracing")]
    pub(crate) async fn request<T>(
        &self,
        direction: Direction,
        place: &Place,
        asked: impl Future<Output = T>,
    ) -> T {
        let span = tracing::debug_span!(parent: &self.0, "request", direction = ?direction, place = %place);
        tracing::Instrument::instrument(asked, span).await
    }

    #[cfg(not(feature = "tracing"))]
    pub(crate) async fn request<T>(&self, _: Direction, _: &Place, asked: impl Future<Output = T>) -> T {
        asked.await
    }
}
