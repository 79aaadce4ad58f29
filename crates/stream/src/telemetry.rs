//! The names under which streams say what they do through the `metrics` facade, and the calls that say it.
//! Without the feature `metrics` they do nothing. It knows no stream; whoever runs one says its figures.
//!
//! Names follow Prometheus' conventions: a prefix, base units, `_total` for what only grows. No label has a name from outside.

use crate::under_way::Operation;

/// A figure that a program can collect: its name, its unit, and what it counts.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    #[cfg_attr(not(feature = "metrics"), expect(dead_code, reason = "said to the facade alone"))]
    help: &'static str,
}

pub(crate) const READ: Figure = Figure {
    name: "cofferdam_read_bytes_total",
    help: "Bytes of runs that streams have read, without index and key area.",
};
pub(crate) const PROCESSED: Figure = Figure {
    name: "cofferdam_processed_bytes_total",
    help: "Plaintext bytes that have been opened, sealed, or proved, by operation.",
};
pub(crate) const WRITTEN: Figure =
    Figure { name: "cofferdam_written_bytes_total", help: "Bytes that sinks have taken, committed or not." };
pub(crate) const COMMITTED: Figure = Figure {
    name: "cofferdam_committed_bytes_total",
    help: "Plaintext bytes of segments that have committed, without those that were there already.",
};
pub(crate) const COMMITTED_SEGMENTS: Figure = Figure {
    name: "cofferdam_committed_segments_total",
    help: "Segments that have committed, without those that were there already.",
};
pub(crate) const DURABLE: Figure = Figure {
    name: "cofferdam_durable_bytes_total",
    help: "Bytes of sinks that became known to survive a power cut.",
};
pub(crate) const REUSED: Figure = Figure {
    name: "cofferdam_reused_bytes_total",
    help: "Plaintext bytes that were there already and have proved right: kept ones, and a seed's.",
};
pub(crate) const ROLLED_BACK: Figure = Figure {
    name: "cofferdam_rolled_back_segments_total",
    help: "Segments that had begun and had not committed when their stream ended.",
};
pub(crate) const STAGE_SECONDS: Figure = Figure {
    name: "cofferdam_stage_seconds_total",
    help: "Seconds that threads have spent in a stage, all threads together.",
};
pub(crate) const SEGMENT_SECONDS: Figure =
    Figure { name: "cofferdam_segment_duration_seconds", help: "From a segment's first step to its commit." };
pub(crate) const STREAMS: Figure =
    Figure { name: "cofferdam_streams_total", help: "Streams that have ended, by outcome." };
pub(crate) const IN_FLIGHT: Figure = Figure {
    name: "cofferdam_in_flight_bytes",
    help: "Bytes of the memory budget that are in use: frames on their way.",
};
pub(crate) const LIMIT: Figure = Figure {
    name: "cofferdam_memory_limit_bytes",
    help: "Bytes that frames in flight may take at the moment: less while memory is short.",
};
pub(crate) const PRESSURE: Figure = Figure {
    name: "cofferdam_memory_pressure",
    help: "How short memory is: 0 not, 1 some work is delayed for it, 2 much is.",
};

#[cfg(feature = "metrics")]
mod facade {
    use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

    use super::*;

    /// Tells the facade's recorder what each figure is. To be called once it is installed; a program that does not call it has
    /// figures without explanations.
    pub fn describe_metrics() {
        for Figure { name, help } in [READ, PROCESSED, WRITTEN, COMMITTED, DURABLE, REUSED] {
            describe_counter!(name, Unit::Bytes, help);
        }
        for Figure { name, help } in [COMMITTED_SEGMENTS, ROLLED_BACK, STREAMS] {
            describe_counter!(name, Unit::Count, help);
        }
        for Figure { name, help } in [IN_FLIGHT, LIMIT] {
            describe_gauge!(name, Unit::Bytes, help);
        }
        describe_gauge!(PRESSURE.name, PRESSURE.help);
        // The facade's counters are whole numbers.
        describe_gauge!(STAGE_SECONDS.name, Unit::Seconds, STAGE_SECONDS.help);
        describe_histogram!(SEGMENT_SECONDS.name, Unit::Seconds, SEGMENT_SECONDS.help);
    }

    pub(crate) fn count(figure: &Figure, operation: Operation, by: u64) {
        if by > 0 {
            counter!(figure.name, "operation" => operation.name()).increment(by);
        }
    }

    pub(crate) fn count_stream(operation: Operation, outcome: &'static str) {
        counter!(STREAMS.name, "operation" => operation.name(), "outcome" => outcome).increment(1);
    }

    pub(crate) fn add_seconds(operation: Operation, stage: &'static str, seconds: f64) {
        if seconds > 0.0 {
            let gauge = gauge!(STAGE_SECONDS.name, "operation" => operation.name(), "stage" => stage);
            gauge.increment(seconds);
        }
    }

    pub(crate) fn record(figure: &Figure, operation: Operation, value: f64) {
        histogram!(figure.name, "operation" => operation.name()).record(value);
    }

    pub(crate) fn set(figure: &Figure, value: f64) {
        gauge!(figure.name).set(value);
    }
}

#[cfg(not(feature = "metrics"))]
mod facade {
    use super::*;

    pub(crate) fn count(_: &Figure, _: Operation, _: u64) {}
    pub(crate) fn count_stream(_: Operation, _: &'static str) {}
    pub(crate) fn add_seconds(_: Operation, _: &'static str, _: f64) {}
    pub(crate) fn record(_: &Figure, _: Operation, _: f64) {}
    pub(crate) fn set(_: &Figure, _: f64) {}
}

pub use facade::*;
