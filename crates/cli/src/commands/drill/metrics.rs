//! What a drill says to Prometheus: a file of metrics, each with the stream's name and the mode of its drill as labels.
//! It knows no stream; it takes what the evidence has.

use std::path::Path;

use super::evidence::{Outcome, StreamRecord};
use crate::clock::Utc;
use crate::failure::Failure;
use crate::prometheus::{self, Family, FamilyKind, series};
use crate::whole_file;

/// Refuses a file that no drill has written: it would be lost.
pub(super) fn refuse_other_file(path: &Path) -> Result<(), Failure> {
    read(path).map(drop)
}

/// Replaces the file after a drill that ended `now`. Of a stream whose drill an interruption has kept from its end, what an earlier one
/// said stays; where that is so of all of them, the file does.
pub(super) fn write(path: &Path, streams: &[StreamRecord], now: Utc) -> Result<(), Failure> {
    let previous = read(path)?;
    match streams.iter().any(has_ended) {
        true => prometheus::write(path, HEAD, &families(streams, now, &previous)),
        false => Ok(()),
    }
}

fn read(path: &Path) -> Result<PreviousFile, Failure> {
    let is_own =
        |text: &[u8]| text.starts_with(format!("# {HEAD}\n").as_bytes()) && std::str::from_utf8(text).is_ok();
    let text = whole_file::read_own(path, "file of a drill's metrics", LEN_MAX, is_own)?;
    Ok(PreviousFile(String::from_utf8(text).unwrap_or_default()))
}

fn families(streams: &[StreamRecord], now: Utc, previous: &PreviousFile) -> [Family; METRICS.len()] {
    METRICS.each_ref().map(|metric| {
        let mut family = Family::new(FamilyKind::Gauge, metric.name, metric.help);
        for stream in streams {
            let labels = [("stream", stream.name.as_str()), ("mode", stream.depth())];
            let value = match has_ended(stream) {
                true => (metric.value)(stream, now),
                false => None,
            };
            let is_kept = !has_ended(stream) || metric.name == LAST_SUCCESS;
            let value = value.or_else(|| previous.value(metric, &labels, now).filter(|_| is_kept));
            value.iter().for_each(|value| family.sample(&labels, *value));
        }
        family
    })
}

fn has_ended(stream: &StreamRecord) -> bool {
    matches!(stream.result, Outcome::Passed | Outcome::Failed)
}

/// One of those that each stream has.
struct Metric {
    name: &'static str,
    help: &'static str,
    /// Of a drill that ended at that time; none where it was not found out.
    value: fn(&StreamRecord, Utc) -> Option<f64>,
}

const METRICS: [Metric; 6] = [
    Metric {
        name: "cofferdam_drill_success",
        help: "Whether the last drill of this stream passed, check included.",
        value: |stream, _| Some(if stream.result == Outcome::Passed { 1.0 } else { 0.0 }),
    },
    Metric {
        name: "cofferdam_drill_last_run_timestamp_seconds",
        help: "When the last drill of this stream ended, in seconds since 1970.",
        value: |_, now| Some(now.0 as f64),
    },
    Metric {
        name: LAST_SUCCESS,
        help: "When the last drill of this stream that passed ended, in seconds since 1970.",
        value: |stream, now| (stream.result == Outcome::Passed).then_some(now.0 as f64),
    },
    Metric {
        name: "cofferdam_drill_duration_seconds",
        help: "How long the last drill of this stream took, check included.",
        value: |stream, _| stream.seconds,
    },
    Metric {
        name: "cofferdam_drill_restored_bytes",
        help: "Bytes of plaintext that the last drill of this stream restored, verified or sampled.",
        value: |stream, _| Some(stream.proved_bytes() as f64),
    },
    Metric {
        name: "cofferdam_drill_snapshot_timestamp_seconds",
        help: "When the stream was sealed, as its sealer says, in seconds since 1970.",
        value: |stream, _| stream.sealed_at.map(|at| at.0 as f64),
    },
];

/// What earlier drills have left in the file.
struct PreviousFile(String);

impl PreviousFile {
    /// A number as a drill has written it, or nothing. A time that is still to come was a wrong clock's.
    fn value(&self, metric: &Metric, labels: &[(&str, &str)], now: Utc) -> Option<f64> {
        let head = format!("{} ", series(metric.name, labels));
        let number: f64 = self.0.lines().find_map(|line| line.strip_prefix(&*head))?.parse().ok()?;
        let bound = if metric.name.ends_with("_timestamp_seconds") { now.0 as f64 } else { f64::MAX };
        (0.0..=bound).contains(&number).then_some(number)
    }
}

const LAST_SUCCESS: &str = "cofferdam_drill_last_success_timestamp_seconds";
/// The first line, by which a file is known to be ours.
const HEAD: &str = "Written by cofferdam drill, which reads back when a stream last passed.";
/// Bytes that are read back.
const LEN_MAX: u64 = 16 << 20;
