//! The names under which requests are counted through the `metrics` facade, and the calls that count them.
//! Without the feature `metrics` they do nothing. No label says where a request went: that may hold a secret.

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

    const REQUESTS: &str = "cofferdam_requests_total";
    const RECEIVED: &str = "cofferdam_received_bytes_total";
    const SENT: &str = "cofferdam_sent_bytes_total";
    const RETRIES: &str = "cofferdam_request_retries_total";

    /// Tells the facade's recorder what each figure is. To be called once it is installed.
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
    }

    fn name(direction: Direction) -> &'static str {
        match direction {
            Direction::Download => "download",
            Direction::Upload => "upload",
        }
    }

    pub(crate) fn request(direction: Direction) {
        counter!(REQUESTS, "direction" => name(direction)).increment(1);
    }

    pub(crate) fn received(bytes: usize) {
        counter!(RECEIVED).increment(bytes as u64);
    }

    pub(crate) fn sent(bytes: usize) {
        counter!(SENT).increment(bytes as u64);
    }

    pub(crate) fn retry(direction: Direction, cause: &'static str) {
        counter!(RETRIES, "direction" => name(direction), "cause" => cause).increment(1);
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

pub use facade::*;
