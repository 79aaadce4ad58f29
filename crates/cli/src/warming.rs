//! `--warm`: what an earlier run has recorded is fetched before clients ask for it.
//! It knows no client; the reader fetches.

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Instant;

use cofferdam::{CancelToken, Reader};
use serde::Serialize;
use serve::WorkingSet;

use crate::failure::{Failure, with_causes};
use crate::printable::Name;
use crate::report::{Channel, Report};
use crate::size::Size;
use crate::whole_file::{Links, open_regular};

/// Reads what an earlier run, or anybody else, has written.
pub(crate) fn read_working_set(path: &Path) -> Result<WorkingSet, Failure> {
    let name = Name::from(path);
    let mut text = Vec::new();
    let read = open_regular(path, Links::Followed)
        .and_then(|file| file.take(WorkingSet::TEXT_LEN_MAX + 1).read_to_end(&mut text));
    read.map_err(|error| Failure::io(format!("{name} could not be read"), error))?;
    if text.len() as u64 > WorkingSet::TEXT_LEN_MAX {
        return Err(Failure::usage(format!("{name} is too long for a file of `serve --record`")));
    }
    WorkingSet::parse(&text).map_err(|error| {
        Failure::usage(format!("{name} is no file of `serve --record`: {error}"))
            .advise("Leave --warm out: it only saves time.")
    })
}

/// What of `warm` is in the stream. Ranges of another stream are likely to be right: images of two days are alike.
pub(crate) fn ranges_within(warm: &WorkingSet, reader: &Reader, report: Report) -> Vec<Range<u64>> {
    if warm.tag() != reader.stream_id().to_string() {
        report.warning(
            "the file of --warm was recorded of another stream: what it names is fetched first all the same",
        );
    }
    let len = reader.len();
    let within = warm.ranges().iter().map(|range| range.start.min(len)..range.end.min(len));
    let within: Vec<_> = within.filter(|range| !range.is_empty()).collect();
    let left_out = warm.touched_len() - len_of(&within);
    if left_out > 0 {
        report
            .warning(format!("{} that the file of --warm names are beyond the stream's end", Size(left_out)));
    }
    within
}

fn len_of(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// Fetches in the background. Whatever comes of it, clients are served.
pub(crate) fn warm_up(
    reader: &Reader,
    ranges: Vec<Range<u64>>,
    reading: &CancelToken,
    report: Report,
) -> thread::JoinHandle<()> {
    let (reader, reading) = (reader.clone(), reading.clone());
    thread::spawn(move || {
        let begun = Instant::now();
        match reader.prefetch(&ranges) {
            Ok(()) => {
                let warmed =
                    Warmed { event: "warmed", len: len_of(&ranges), seconds: begun.elapsed().as_secs_f64() };
                // Nothing hangs on whether anybody reads this.
                let _ = report.summary(Channel::Stderr, &warmed, warmed.sentence());
            }
            Err(_) if reading.is_cancelled() => {}
            Err(error) => report
                .warning(format!("not all that --warm names was fetched first: {}", with_causes(&error))),
        }
    })
}

#[derive(Serialize)]
struct Warmed {
    event: &'static str,
    len: u64,
    seconds: f64,
}

impl Warmed {
    fn sentence(&self) -> String {
        format!(
            "{} that --warm names, or as much of it as is kept, were fetched in {:.1} s",
            Size(self.len),
            self.seconds
        )
    }
}
