//! The metrics of streams, and the calls that report them through the `metrics` facade.
//! Without the feature `metrics` the calls do nothing. It knows no stream; whoever runs one has the figures.
//!
//! Names follow Prometheus' conventions: a prefix, base units, `_total` for what only grows. No label comes from outside.

use crate::stream_metrics::Operation;

/// What is counted or measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Metric {
    Read,
    Processed,
    Written,
    Committed,
    CommittedSegments,
    Durable,
    Reused,
    RolledBackSegments,
    SegmentSeconds,
    InFlight,
    Limit,
    Pressure,
}

/// How a stream has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StreamOutcome {
    Complete,
    /// Published, and nothing proves that it is whole.
    Asserted,
    Failed,
}

#[cfg(feature = "metrics")]
mod facade {
    use segment_worker::Stage;

    use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

    use super::{Metric, Operation, StreamOutcome};
    use crate::ErrorKind;
    use crate::stream_metrics::name_of;

    impl StreamOutcome {
        /// As a label has it.
        fn name(self) -> &'static str {
            match self {
                StreamOutcome::Complete => "complete",
                StreamOutcome::Asserted => "asserted",
                StreamOutcome::Failed => "failed",
            }
        }

        /// Those with which `operation` can end.
        fn of(operation: Operation) -> impl Iterator<Item = StreamOutcome> {
            let may_be_asserted = operation == Operation::Open && cfg!(feature = "foreign");
            let all = [StreamOutcome::Complete, StreamOutcome::Asserted, StreamOutcome::Failed];
            all.into_iter().filter(move |outcome| *outcome != StreamOutcome::Asserted || may_be_asserted)
        }
    }

    impl Metric {
        fn name(self) -> &'static str {
            match self {
                Metric::Read => "cofferdam_read_bytes_total",
                Metric::Processed => "cofferdam_processed_bytes_total",
                Metric::Written => "cofferdam_written_bytes_total",
                Metric::Committed => "cofferdam_committed_bytes_total",
                Metric::CommittedSegments => "cofferdam_committed_segments_total",
                Metric::Durable => "cofferdam_durable_bytes_total",
                Metric::Reused => "cofferdam_reused_bytes_total",
                Metric::RolledBackSegments => "cofferdam_rolled_back_segments_total",
                Metric::SegmentSeconds => "cofferdam_segment_duration_seconds",
                Metric::InFlight => "cofferdam_in_flight_bytes",
                Metric::Limit => "cofferdam_memory_limit_bytes",
                Metric::Pressure => "cofferdam_memory_pressure",
            }
        }
    }

    /// Tells the facade's recorder what each metric means, and has the counters whose labels are known begin at 0. To be called once, when it
    /// is installed.
    pub fn describe_metrics() {
        for (metric, help) in BYTES {
            describe_counter!(metric.name(), Unit::Bytes, help);
        }
        for (metric, help) in SEGMENTS {
            describe_counter!(metric.name(), Unit::Count, help);
        }
        describe_counter!(STREAMS, Unit::Count, "Streams that have ended, by outcome.");
        // The facade's counters are whole numbers.
        let help = "Seconds that threads have spent in a stage, added up over all threads.";
        describe_gauge!(STAGE_SECONDS, Unit::Seconds, help);
        let help = "From a segment's first step to its commit.";
        describe_histogram!(Metric::SegmentSeconds.name(), Unit::Seconds, help);
        let help = "Bytes of the memory budget in use, of the stream that reported last.";
        describe_gauge!(Metric::InFlight.name(), Unit::Bytes, help);
        let help = "Bytes that may be in use at the moment: fewer while memory is short.";
        describe_gauge!(Metric::Limit.name(), Unit::Bytes, help);
        describe_gauge!(Metric::Pressure.name(), "How short memory is: 0 not, 1 somewhat, 2 very.");
        let help = "Reads of single places that failed, by cause; those that were given up are not counted.";
        describe_counter!(READ_FAILURES, Unit::Count, help);
        begin();
    }

    /// A counter that appears with its first event has no rate for that event, and one that is absent may be of another version.
    fn begin() {
        for (operation, metrics) in COUNTED {
            for metric in *metrics {
                counter!(metric.name(), "operation" => operation.name()).absolute(0);
            }
        }
        for (operation, stages) in STAGES {
            for outcome in StreamOutcome::of(*operation) {
                counter!(STREAMS, "operation" => operation.name(), "outcome" => outcome.name()).absolute(0);
            }
            for stage in *stages {
                gauge!(STAGE_SECONDS, "operation" => operation.name(), "stage" => name_of(*stage)).set(0.0);
            }
        }
        for cause in CAUSES {
            counter!(READ_FAILURES, "cause" => cause).absolute(0);
        }
    }

    /// What each operation counts.
    const COUNTED: &[(Operation, &[Metric])] = &[
        (Operation::Open, &STREAMED),
        (Operation::Seal, &STREAMED),
        (Operation::Prove, &[Metric::Read, Metric::Processed, Metric::Written, Metric::Committed]),
        (Operation::Read, &[Metric::Read, Metric::Processed]),
        (Operation::Survey, &[Metric::Read, Metric::Processed, Metric::Written]),
        #[cfg(feature = "peer")]
        (Operation::Receive, &RECEIVED),
    ];
    /// The stages of those that are streams.
    const STAGES: &[(Operation, &[Stage])] = &[
        (Operation::Open, &Stage::ALL),
        (Operation::Seal, &Stage::ALL),
        (Operation::Prove, &Stage::ALL),
        #[cfg(feature = "peer")]
        (Operation::Receive, &[Stage::Write, Stage::Commit, Stage::Sync, Stage::Publish]),
    ];
    const STREAMED: [Metric; 8] = [
        Metric::Read,
        Metric::Processed,
        Metric::Written,
        Metric::Committed,
        Metric::CommittedSegments,
        Metric::Durable,
        Metric::Reused,
        Metric::RolledBackSegments,
    ];
    #[cfg(feature = "peer")]
    const RECEIVED: [Metric; 7] = [
        Metric::Read,
        Metric::Written,
        Metric::Committed,
        Metric::CommittedSegments,
        Metric::Durable,
        Metric::Reused,
        Metric::RolledBackSegments,
    ];
    const CAUSES: [&str; 7] =
        ["damaged", "truncated", "source_changed", "io", "denied", "no_progress", "other"];

    pub(crate) fn count_read_failure(kind: ErrorKind) {
        let cause = match kind {
            // Nobody waits for it any more.
            ErrorKind::Cancelled => return,
            ErrorKind::Damaged | ErrorKind::DigestMismatch | ErrorKind::NotSigned => "damaged",
            ErrorKind::Truncated => "truncated",
            ErrorKind::SourceChanged => "source_changed",
            ErrorKind::Io => "io",
            ErrorKind::Denied => "denied",
            ErrorKind::NoProgress => "no_progress",
            _ => "other",
        };
        counter!(READ_FAILURES, "cause" => cause).increment(1);
    }

    const BYTES: [(Metric, &str); 6] = [
        (Metric::Read, "Bytes of segments that were read, or have come from a sender."),
        (Metric::Processed, "Plaintext bytes that were opened, sealed, or compared with what was sealed."),
        (Metric::Written, "Bytes that sinks have taken, committed or not."),
        (
            Metric::Committed,
            "Plaintext bytes of segments that have committed, proved right, or, without a key, have the digests that the stream says.",
        ),
        (Metric::Durable, "Bytes that became durable before the end of their stream."),
        (
            Metric::Reused,
            "Plaintext bytes that were kept from an earlier attempt or in a seed, and proved right.",
        ),
    ];
    const SEGMENTS: [(Metric, &str); 2] = [
        (Metric::CommittedSegments, "Segments that have committed."),
        (
            Metric::RolledBackSegments,
            "Segments that had begun and had not committed when their stream ended, and are read again.",
        ),
    ];
    const STREAMS: &str = "cofferdam_streams_total";
    const READ_FAILURES: &str = "cofferdam_read_failures_total";
    const STAGE_SECONDS: &str = "cofferdam_stage_seconds";

    pub(crate) fn count(metric: Metric, operation: Operation, by: u64) {
        if by > 0 {
            counter!(metric.name(), "operation" => operation.name()).increment(by);
        }
    }

    pub(crate) fn count_stream(operation: Operation, outcome: StreamOutcome) {
        counter!(STREAMS, "operation" => operation.name(), "outcome" => outcome.name()).increment(1);
    }

    pub(crate) fn add_seconds(operation: Operation, stage: &'static str, seconds: f64) {
        if seconds > 0.0 {
            let operation = operation.name();
            gauge!(STAGE_SECONDS, "operation" => operation, "stage" => stage).increment(seconds);
        }
    }

    pub(crate) fn record(metric: Metric, operation: Operation, value: f64) {
        histogram!(metric.name(), "operation" => operation.name()).record(value);
    }

    pub(crate) fn set(metric: Metric, value: f64) {
        gauge!(metric.name()).set(value);
    }
}

#[cfg(not(feature = "metrics"))]
mod facade {
    use super::{Metric, Operation, StreamOutcome};
    use crate::ErrorKind;

    pub(crate) fn count(_: Metric, _: Operation, _: u64) {}
    pub(crate) fn count_read_failure(_: ErrorKind) {}
    pub(crate) fn count_stream(_: Operation, _: StreamOutcome) {}
    pub(crate) fn add_seconds(_: Operation, _: &'static str, _: f64) {}
    pub(crate) fn record(_: Metric, _: Operation, _: f64) {}
    pub(crate) fn set(_: Metric, _: f64) {}
}

#[cfg(feature = "metrics")]
pub use facade::describe_metrics;
pub(crate) use facade::{add_seconds, count, count_read_failure, count_stream, record, set};
