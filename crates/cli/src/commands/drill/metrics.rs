//! What a drill says to Prometheus: a file of metrics, each with the drill's file, the stream's name and the mode of its drill as labels.
//! It knows no stream; it takes what the evidence has.

use std::path::Path;

use super::evidence::{Outcome, StreamRecord};
use crate::clock::Utc;
use crate::failure::Failure;
use crate::prometheus::{self, Family, FamilyKind, series};
use crate::whole_file::{self, Kind, Links};

/// Refuses a file that no drill has written: it would be lost.
pub(super) fn refuse_other_file(path: &Path) -> Result<(), Failure> {
    read(path)?;
    prometheus::refuse_other_leftovers(path, HEAD)
}

/// Replaces the file after a drill that ended `now`, in a `run` of that name. A stream has passed only if there `is_evidence` of it. Of a stream whose drill an
/// interruption has kept from its end, and of one that this drill does not name, what an earlier one said stays; where none has come to
/// its end, the file does.
pub(super) fn write(
    path: &Path,
    run: &str,
    streams: &[StreamRecord],
    now: Utc,
    is_evidence: bool,
) -> Result<(), Failure> {
    let previous = read(path)?;
    match streams.iter().any(has_ended) {
        true => prometheus::write(path, HEAD, &families(run, streams, now, is_evidence, &previous)),
        false => Ok(()),
    }
}

fn read(path: &Path) -> Result<PreviousFile, Failure> {
    let head = format!("# {HEAD}\n");
    let is_own = |text: &[u8]| {
        text.is_empty() || text.starts_with(head.as_bytes()) && std::str::from_utf8(text).is_ok()
    };
    let kind = Kind { name: "file of a drill's metrics", len_max: LEN_MAX, links: Links::Followed };
    let standing = whole_file::read_own(path, kind, is_own)?;
    let text = standing.map_or(Vec::new(), |standing| standing.content);
    Ok(PreviousFile(String::from_utf8(text).unwrap_or_default()))
}

fn families(
    run: &str,
    streams: &[StreamRecord],
    now: Utc,
    is_evidence: bool,
    previous: &PreviousFile,
) -> [Family; METRICS.len()] {
    let drills: Vec<Drill> = streams.iter().map(|stream| Drill::of(run, stream)).collect();
    let others = previous.drills(&drills);
    METRICS.each_ref().map(|metric| {
        let mut family = Family::new(FamilyKind::Gauge, metric.name, metric.help);
        for (stream, drill) in streams.iter().zip(&drills) {
            let ended = Ended { stream, now, has_passed: is_evidence && stream.result == Outcome::Passed };
            let value = if has_ended(stream) { (metric.value)(&ended) } else { None };
            let is_kept = !has_ended(stream) || metric.name == LAST_SUCCESS;
            let value = value.or_else(|| previous.value(metric, drill, now).filter(|_| is_kept));
            value.iter().for_each(|value| family.sample(&drill.labels(), *value));
        }
        for drill in &others {
            let value = previous.value(metric, drill, now);
            value.iter().for_each(|value| family.sample(&drill.labels(), *value));
        }
        family
    })
}

fn has_ended(stream: &StreamRecord) -> bool {
    matches!(stream.result, Outcome::Passed | Outcome::Failed)
}

/// What has figures of its own: a stream of one drill's file, in one mode.
#[derive(PartialEq, Eq)]
struct Drill {
    run: String,
    stream: String,
    mode: String,
}

impl Drill {
    fn of(run: &str, stream: &StreamRecord) -> Drill {
        Drill { run: run.to_owned(), stream: stream.name.clone(), mode: stream.depth().to_owned() }
    }

    fn labels(&self) -> [(&str, &str); 3] {
        [("run", &self.run), ("stream", &self.stream), ("mode", &self.mode)]
    }

    /// Of the labels in a line that a drill has written, and of nothing else.
    fn parse(line: &str) -> Option<Drill> {
        let (name, labelled) = line.split_once("{run=\"")?;
        let (labelled, _number) = labelled.rsplit_once("\"} ")?;
        let (labelled, mode) = labelled.rsplit_once("\",mode=\"")?;
        // A name may have in it what stands between two of them, but not written so.
        labelled.match_indices(STREAM_LABEL).find_map(|(at, _)| {
            let (run, stream) = (value_of(&labelled[..at]), value_of(&labelled[at + STREAM_LABEL.len()..]));
            let drill = Drill { run, stream, mode: mode.to_owned() };
            line.starts_with(&format!("{} ", series(name, &drill.labels()))).then_some(drill)
        })
    }
}

/// The value of a label, as it is written. A name is one line, so these two are all that is written otherwise.
fn value_of(written: &str) -> String {
    written.replace("\\\"", "\"").replace("\\\\", "\\")
}

/// A drill of a stream that has come to its end.
struct Ended<'a> {
    stream: &'a StreamRecord,
    now: Utc,
    /// With evidence of it.
    has_passed: bool,
}

/// One of those that each stream has.
struct Metric {
    name: &'static str,
    help: &'static str,
    /// None where it was not found out.
    value: fn(&Ended<'_>) -> Option<f64>,
}

const METRICS: [Metric; 6] = [
    Metric {
        name: "cofferdam_drill_success",
        help: "Whether the last drill of this stream passed, check included, and its evidence was written.",
        value: |ended| Some(if ended.has_passed { 1.0 } else { 0.0 }),
    },
    Metric {
        name: LAST_RUN,
        help: "When the last drill of this stream ended, in seconds since 1970.",
        value: |ended| Some(ended.now.0 as f64),
    },
    Metric {
        name: LAST_SUCCESS,
        help: "When the last drill of this stream that passed ended, in seconds since 1970.",
        value: |ended| ended.has_passed.then_some(ended.now.0 as f64),
    },
    Metric {
        name: "cofferdam_drill_duration_seconds",
        help: "How long the last drill of this stream took, check included.",
        value: |ended| ended.stream.seconds,
    },
    Metric {
        name: "cofferdam_drill_restored_bytes",
        help: "Bytes of plaintext that the last drill of this stream restored, verified or sampled.",
        value: |ended| Some(ended.stream.proved_bytes() as f64),
    },
    Metric {
        name: "cofferdam_drill_snapshot_timestamp_seconds",
        help: "When the stream was sealed, as its sealer says, in seconds since 1970.",
        value: |ended| ended.stream.sealed_at.map(|at| at.0 as f64),
    },
];

/// What earlier drills have left in the file.
struct PreviousFile(String);

impl PreviousFile {
    /// Those of which it says when they were last tried, without `these`: the first ones, which are of the latest drills.
    fn drills(&self, these: &[Drill]) -> Vec<Drill> {
        let lines = self.0.lines().filter(|line| line.starts_with(LAST_RUN));
        let drills = lines.filter_map(Drill::parse).filter(|drill| !these.contains(drill));
        drills.take(OTHER_DRILLS_MAX).collect()
    }

    /// A number as a drill has written it, or nothing. A time that is still to come was a wrong clock's.
    fn value(&self, metric: &Metric, drill: &Drill, now: Utc) -> Option<f64> {
        let head = format!("{} ", series(metric.name, &drill.labels()));
        let number: f64 = self.0.lines().find_map(|line| line.strip_prefix(&*head))?.parse().ok()?;
        let bound = if metric.name.ends_with("_timestamp_seconds") { now.0 as f64 } else { f64::MAX };
        (0.0..=bound).contains(&number).then_some(number)
    }
}

const STREAM_LABEL: &str = "\",stream=\"";
const LAST_RUN: &str = "cofferdam_drill_last_run_timestamp_seconds";
const LAST_SUCCESS: &str = "cofferdam_drill_last_success_timestamp_seconds";
/// The first line, by which a file is known to be ours.
const HEAD: &str = "Written by cofferdam drill, which reads back when a stream last passed.";
/// Of streams that the file of this drill does not name.
const OTHER_DRILLS_MAX: usize = 1024;
/// Bytes that are read back.
const LEN_MAX: u64 = 16 << 20;
