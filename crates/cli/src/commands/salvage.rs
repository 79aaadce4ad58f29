//! `cofferdam restore --salvage`, and the list of what is lost that `verify` gives of a damaged stream.
//! It words what the library found.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Instant;

use cofferdam::{CancelToken, ErrorKind, GivenInstead, LostRange, Opener, Remedy, Source, Surveyed};
use serde::Serialize;

use crate::failure::{Failure, FailureKind};
use crate::io_arg::is_cut_off;
use crate::printable::Name;
use crate::progress::Watch;
use crate::report::Report;
use crate::sealed::Sealed;
use crate::size::Size;
use crate::text::count;

/// Salvages `sealed` into `target`, whose name says what it is. Never a success: what is there is not what was sealed.
pub(crate) fn run(
    opener: &Opener,
    sealed: &Sealed,
    source: Box<dyn Source>,
    target: &Path,
    watch: &Watch,
    report: Report,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut list = LostList::new(report, watch);
    let salvaged = opener.salvage(source, target, |lost| list.add(lost));
    watch.finish();
    let salvaged = salvaged.map_err(|error| {
        let no_offsets = error.kind() == ErrorKind::Usage && sealed.is_pipe();
        let is_foreign = error.remedy() == Some(Remedy::GiveStream(GivenInstead::OtherFormat));
        let failure = Failure::from(error).of_input(sealed);
        if is_foreign {
            return failure.advise("--salvage is for streams of ours: without it, `restore` takes this one. Nothing was salvaged.");
        }
        if no_offsets { failure } else { failure.advise_also("Nothing was salvaged.") }
    })?;
    let record = Record {
        output: Some(Name::from(target)),
        seconds: Some(begun.elapsed().as_secs_f64()),
        ..Record::new("salvaged", sealed, &salvaged)
    };
    let sentence = format!("salvaged {sealed} into {}: {}", Name::from(target), sentence(&salvaged));
    let done = format!("what is whole is in {}", Name::from(target));
    report.found(&record, sentence, &done)?;
    list.printed.map_err(|failure| failure.of_report(&done))?;
    Err(match salvaged.lost_ranges {
        0 if salvaged.has_whole_index => {
            Failure::new(ErrorKind::Damaged, "every segment is whole, and so is the index: none needed to be salvaged")
                .advise("Restore the stream: that proves more than this, and gives it its own name.")
        }
        0 => Failure::new(
            ErrorKind::Damaged,
            "every segment is whole; it is the stream's metadata or index that is not, so it cannot be restored",
        )
        .advise("All of the plaintext is in the salvaged file, as far as each segment can tell. No digest proves it as a whole."),
        _ => Failure::new(
            ErrorKind::Damaged,
            "what was salvaged is not what was sealed: parts of it are lost",
        )
        .advise(
            "The ranges above are zeros in it. Take them from another copy of the stream, if there is one.",
        ),
    })
}

/// Lists all that is lost of a stream that was found damaged, and adds to the failure what can be done. Where nothing can be
/// told, the failure stands alone.
pub(crate) fn list_lost(
    opener: &Opener,
    sealed: &Sealed,
    cancel: &CancelToken,
    watch: &Watch,
    report: Report,
    failure: Failure,
) -> Failure {
    if !matches!(
        failure.kind(),
        FailureKind::Library(ErrorKind::Damaged | ErrorKind::Truncated | ErrorKind::Io)
    ) {
        return failure;
    }
    if sealed.is_in_order() {
        let words = "Of what comes in order only the first fault is named; of a file that is named, all that is lost.";
        return failure.advise_also(words);
    }
    let source = match sealed.source(cancel, report) {
        Ok(source) => source,
        Err(unread) => return failure.advise_also(&not_listed(&unread.message)),
    };
    let mut list = LostList::new(report, watch);
    let surveyed = opener.survey(source, |lost| list.add(lost));
    watch.finish();
    let surveyed = match surveyed {
        Ok(surveyed) => surveyed,
        Err(error) if is_cut_off(error.kind()) => {
            return failure.advise_also(&not_listed(&error.to_string()));
        }
        Err(_) => return failure,
    };
    if failure.kind() == ErrorKind::Io && surveyed.lost_ranges == 0 && surveyed.has_whole_index {
        // To say that nothing is lost would read as if it were verified.
        return failure.advise_also(
            "It was looked at a second time, and every segment could be read and is whole. That is no verification: run this again.",
        );
    }
    let record = Record::new("surveyed", sealed, &surveyed);
    let said = report.finding(&record, format!("{sealed}: {}", sentence(&surveyed)));
    match list.printed.and(said) {
        Err(unsaid) => {
            failure.advise_also(&format!("The list of what is lost is missing: {}.", unsaid.message))
        }
        Ok(()) if surveyed.segments > 0 && (surveyed.lost_ranges > 0 || !surveyed.has_whole_index) => {
            failure.advise_also("`restore --salvage` saves what is whole.")
        }
        Ok(()) => failure,
    }
}

fn not_listed(why: &str) -> String {
    format!("What else is lost was not looked for to the end: {why}.")
}

/// The target of `--salvage`, whose name has to say what it is.
pub(crate) fn labelled(target: Option<&Path>) -> Result<&Path, Failure> {
    let has_label = |path: &Path| path.extension() == Some(OsStr::new(LABEL)) && path.file_stem().is_some();
    // Where the name is a link, what it leads to is replaced.
    let is_labelled =
        |target: &&Path| has_label(target) && fs::canonicalize(target).map_or(true, |file| has_label(&file));
    target.filter(is_labelled).ok_or_else(|| {
        Failure::usage(format!("what is salvaged goes to a file whose name ends in .{LABEL}")).advise(
            "It is not what was sealed, and nobody may take it for that. Rename it when you know what is missing.",
        )
    })
}

const LABEL: &str = "salvaged";

/// Prints ranges as they are found.
struct LostList<'a> {
    report: Report,
    watch: &'a Watch,
    printed: Result<(), Failure>,
}

impl<'a> LostList<'a> {
    fn new(report: Report, watch: &'a Watch) -> LostList<'a> {
        LostList { report, watch, printed: Ok(()) }
    }

    fn add(&mut self, lost: &LostRange) {
        if self.printed.is_ok() {
            self.watch.finish();
            self.printed = self.report.finding(&LostRecord::new(lost), describe(lost));
        }
    }
}

fn describe(lost: &LostRange) -> String {
    let begin = lost.plaintext_offset;
    let bytes = match lost.plaintext_len {
        Some(0) => format!("the end of the stream at byte {begin}"),
        Some(len) => format!("bytes {begin}..{} ({})", begin + len, Size(len)),
        None => format!("all bytes from {begin} on"),
    };
    let first = lost.first_segment;
    let segments = match lost.segments {
        Some(1) => format!("segment {first}"),
        Some(segments) => format!("segments {first} to {}", first + segments - 1),
        None => format!("segment {first} and all after it"),
    };
    format!("lost: {bytes}, {segments}: {}", lost.reason)
}

fn sentence(surveyed: &Surveyed) -> String {
    let whole = format!("{} whole, {}", count(surveyed.segments, "segment"), Size(surveyed.plaintext_len));
    match (surveyed.lost_ranges, surveyed.end_is_known) {
        (0, _) => format!("{whole}; nothing is lost of the plaintext"),
        (ranges, true) => format!("{whole}; lost {} in {}", Size(surveyed.lost_len), count(ranges, "range")),
        (1, false) if surveyed.lost_len == 0 => format!("{whole}; lost what the missing end had"),
        (ranges, false) => format!(
            "{whole}; lost {} and what the missing end had, in {}",
            Size(surveyed.lost_len),
            count(ranges, "range")
        ),
    }
}

#[derive(Serialize)]
struct LostRecord<'a> {
    event: &'static str,
    first_segment: u64,
    segments: Option<u64>,
    plaintext_offset: u64,
    plaintext_len: Option<u64>,
    reason: &'a str,
}

impl<'a> LostRecord<'a> {
    fn new(lost: &'a LostRange) -> LostRecord<'a> {
        LostRecord {
            event: "lost",
            first_segment: lost.first_segment,
            segments: lost.segments,
            plaintext_offset: lost.plaintext_offset,
            plaintext_len: lost.plaintext_len,
            reason: &lost.reason,
        }
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Name>,
    stream_id: String,
    segments: u64,
    plaintext_len: u64,
    lost_ranges: u64,
    lost_len: u64,
    has_whole_index: bool,
    end_is_known: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
}

impl Record {
    fn new(event: &'static str, sealed: &Sealed, surveyed: &Surveyed) -> Record {
        Record {
            event,
            input: sealed.name(),
            output: None,
            stream_id: surveyed.stream_id.to_string(),
            segments: surveyed.segments,
            plaintext_len: surveyed.plaintext_len,
            lost_ranges: surveyed.lost_ranges,
            lost_len: surveyed.lost_len,
            has_whole_index: surveyed.has_whole_index,
            end_is_known: surveyed.end_is_known,
            seconds: None,
        }
    }
}
