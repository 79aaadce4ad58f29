//! What a drill says to Prometheus: a file of metrics, each with the stream's name as its label.
//! It knows no stream; it takes what the evidence has.

use std::path::{Path, PathBuf};

use super::evidence::{Outcome, StreamRecord};
use crate::clock::Utc;
use crate::failure::Failure;
use crate::prometheus::{self, Family, FamilyKind, series};
use crate::whole_file;

/// The file, and what an earlier drill has left in it.
pub(super) struct MetricsFile {
    path: PathBuf,
    earlier: String,
}

impl MetricsFile {
    /// Reads what is there. A file that no drill has written is refused: it would be lost.
    pub(super) fn open(path: &Path) -> Result<MetricsFile, Failure> {
        let is_own = |text: &[u8]| {
            text.starts_with(format!("# {HEAD}\n").as_bytes()) && std::str::from_utf8(text).is_ok()
        };
        let earlier = whole_file::read_own(path, "file of a drill's metrics", LEN_MAX, is_own)?;
        let earlier = String::from_utf8(earlier).unwrap_or_default();
        Ok(MetricsFile { path: path.to_owned(), earlier })
    }

    /// Replaces it, after a drill that ended `now`.
    pub(super) fn write(&self, streams: &[StreamRecord], now: Utc) -> Result<(), Failure> {
        prometheus::write(&self.path, HEAD, &self.families(streams, now))
    }

    fn families(&self, streams: &[StreamRecord], Utc(now): Utc) -> [Family; 6] {
        let mut success =
            gauge("cofferdam_drill_success", "Whether the last drill of this stream passed, check included.");
        let mut last_run = gauge(
            "cofferdam_drill_last_run_timestamp_seconds",
            "When the last drill of this stream ended, in seconds since 1970.",
        );
        let mut last_success = gauge(
            LAST_SUCCESS,
            "When the last drill of this stream that passed ended, in seconds since 1970.",
        );
        let mut duration = gauge(
            "cofferdam_drill_duration_seconds",
            "How long the last drill of this stream took, check included.",
        );
        let mut restored = gauge(
            "cofferdam_drill_restored_bytes",
            "Bytes of plaintext that the last drill of this stream restored or verified.",
        );
        let mut sealed_at = gauge(
            "cofferdam_drill_snapshot_timestamp_seconds",
            "When the stream was sealed, as its sealer says, in seconds since 1970.",
        );
        for stream in streams {
            let labels = [("stream", stream.name.as_str())];
            let has_passed = stream.result == Outcome::Passed;
            success.sample(&labels, if has_passed { 1.0 } else { 0.0 });
            last_run.sample(&labels, now as f64);
            let passed_at = if has_passed { Some(now) } else { self.last_success(&labels, now) };
            passed_at.iter().for_each(|at| last_success.sample(&labels, *at as f64));
            stream.seconds.iter().for_each(|seconds| duration.sample(&labels, *seconds));
            restored.sample(&labels, stream.proved_bytes() as f64);
            stream.sealed_at.iter().for_each(|at| sealed_at.sample(&labels, at.0 as f64));
        }
        [success, last_run, last_success, duration, restored, sealed_at]
    }

    /// What an earlier drill said: a line as we write it, or nothing. A time that is still to come was a wrong clock's.
    fn last_success(&self, labels: &[(&str, &str)], now: u64) -> Option<u64> {
        let head = format!("{} ", series(LAST_SUCCESS, labels));
        let number = self.earlier.lines().find_map(|line| line.strip_prefix(&*head))?;
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        number.parse().ok().filter(|at| is_plain && *at <= now)
    }
}

fn gauge(name: &str, help: &str) -> Family {
    Family::new(FamilyKind::Gauge, name, help)
}

const LAST_SUCCESS: &str = "cofferdam_drill_last_success_timestamp_seconds";
/// The first line, by which a file is known to be ours.
const HEAD: &str = "Written by cofferdam drill, which reads back when a stream last passed.";
/// Bytes that are read back.
const LEN_MAX: u64 = 16 << 20;
