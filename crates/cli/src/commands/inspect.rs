//! `cofferdam inspect`: what a sealed file says of itself.
//! It needs no key, and so vouches for nothing.

use std::fmt::Write as _;
use std::path::Path;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{Inspection, KeyCopySummary, SegmentSummary, SlotSummary};
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt;
use crate::io_arg::{End, refuse_standard_input};
use crate::named_files::NamedFiles;
use crate::printable::{Name, line};
use crate::report::{Channel, Report};
use crate::sealed::Sealed;
use crate::size::Size;
use crate::standard::Standard;
use crate::text::{compression_name, count, digest_name, hex, suite_name};
use crate::timeout::Timeout;

/// Show what a sealed file says of itself: header, keys, segments
///
/// No key is needed, and nothing of it is authenticated: `verify` does that.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Inspect {
    /// The sealed file, or a URL: s3:, gs:, az:, http: or https:; not a pipe
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    sealed: Sealed,

    /// List every segment too
    #[arg(long)]
    segments: bool,

    #[command(flatten)]
    timeout: Timeout,
}

impl Inspect {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        self.sealed.set_timeout(self.timeout);
        if let Sealed::Here(End::Standard) = &self.sealed {
            refuse_standard_input(Path::new("-"))?;
        }
        Standard::Output.refuse_unusable()?;
        self.sealed.name_files(&mut NamedFiles::default())?;
        #[cfg(feature = "foreign")]
        if let Some(found) = self.inspect_foreign(report)? {
            let record = ForeignRecord::new(&self.sealed, found);
            return report.answer(Channel::Stdout, &record, record.table());
        }
        let inspection = self.inspect(report)?;
        inspection.warnings.iter().for_each(|warning| report.warning(warning));
        let record = StreamRecord::new(&self.sealed, &inspection);
        report.answer(Channel::Stdout, &record, record.table())?;
        if !self.segments {
            return Ok(());
        }
        let mut printed = Ok(());
        inspection.for_each_segment(|segment| {
            if printed.is_ok() {
                let record = SegmentRecord::new(segment);
                printed = report.answer(Channel::Stdout, &record, record.row());
            }
        })?;
        printed
    }
}

impl Inspect {
    /// What a file says of itself that another program has sealed; `None` of any other, and of what cannot be read.
    #[cfg(feature = "foreign")]
    fn inspect_foreign(&self, report: Report) -> Result<Option<cofferdam::ForeignInspection>, Failure> {
        let found = match &self.sealed {
            Sealed::Here(End::Path(path)) => match cofferdam::FileSource::open(path) {
                Ok(source) => cofferdam::inspect_foreign(source),
                Err(_) => return Ok(None),
            },
            sealed => cofferdam::inspect_foreign(sealed.source(&interrupt::install(report)?, report)?),
        };
        let found = found.map_err(|error| Failure::from(error).of_input(&self.sealed))?;
        if found.is_some() && self.segments {
            return Err(Failure::usage("--segments is for streams that have segments; this is none"));
        }
        Ok(found)
    }

    fn inspect(&self, report: Report) -> Result<Inspection, Failure> {
        let inspected = match &self.sealed {
            Sealed::Here(End::Path(path)) => cofferdam::inspect(path),
            sealed => cofferdam::inspect_source(sealed.source(&interrupt::install(report)?, report)?),
        };
        inspected.map_err(|error| Failure::from(error).of_input(&self.sealed))
    }
}

#[cfg(feature = "foreign")]
#[derive(Serialize)]
struct ForeignRecord {
    event: &'static str,
    input: Name,
    format: &'static str,
    armored: bool,
    stanzas: Vec<String>,
    unproved: Option<String>,
    head_len: usize,
    sealed_len: u64,
}

#[cfg(feature = "foreign")]
impl ForeignRecord {
    fn new(sealed: &Sealed, found: cofferdam::ForeignInspection) -> ForeignRecord {
        let is_age = found.format == cofferdam::Format::Age;
        ForeignRecord {
            event: "foreign stream",
            input: sealed.name(),
            format: found.format.name(),
            armored: found.armored,
            stanzas: if is_age { found.notes.clone() } else { Vec::new() },
            unproved: if is_age { None } else { Some(found.notes.join("; ")) },
            head_len: found.head_len,
            sealed_len: found.sealed_len,
        }
    }

    fn table(&self) -> String {
        let mut rows = vec![
            ("file", format!("{}, {} ({} bytes)", self.input, Size(self.sealed_len), self.sealed_len)),
            (
                "format",
                if self.armored { format!("{}, armored", self.format) } else { self.format.to_owned() },
            ),
        ];
        match &self.unproved {
            Some(unproved) => rows.push(("not proved", unproved.clone())),
            None if self.armored => {}
            None => {
                rows.push(("recipients", names_of(&self.stanzas)));
                rows.push(("header", format!("{} bytes", self.head_len)));
            }
        }
        table(rows)
    }
}

/// Of stanzas, without what age adds under a random name for readers to ignore: it tells an operator nothing.
fn names_of(stanzas: &[String]) -> String {
    let names = stanzas.iter().map(String::as_str).filter(|name| !name.ends_with("-grease"));
    line(&names.collect::<Vec<_>>().join(", ")).to_string()
}

fn table(rows: Vec<(&str, String)>) -> String {
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<14} {value}");
    }
    text.push_str("Nothing of this has been authenticated; `cofferdam verify` does that.");
    text
}

#[derive(Serialize)]
struct StreamRecord {
    event: &'static str,
    input: Name,
    stream_id: String,
    suite: &'static str,
    digest: &'static str,
    compression: &'static str,
    frame_len: u32,
    segment_len: u64,
    sealed_len: u64,
    metadata_len: u64,
    key_copies: Vec<Option<KeyCopyRecord>>,
    trailer: Option<TrailerRecord>,
}

#[derive(Serialize)]
struct KeyCopyRecord {
    generation: u64,
    slots: Vec<SlotRecord>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum SlotRecord {
    Age { stanzas: Vec<String> },
    KeyFile,
    External { name: String },
    Unknown { number: u16 },
}

#[derive(Serialize)]
struct TrailerRecord {
    segments: u64,
    plaintext_len: u64,
    stream_digest: String,
}

#[derive(Serialize)]
struct SegmentRecord {
    event: &'static str,
    index: u64,
    position: u64,
    wire_len: u64,
    plaintext_offset: u64,
    plaintext_len: u64,
    frame_count: u32,
    digest: String,
}

impl StreamRecord {
    fn new(sealed: &Sealed, inspection: &Inspection) -> StreamRecord {
        StreamRecord {
            event: "stream",
            input: sealed.name(),
            stream_id: inspection.stream_id.to_string(),
            suite: suite_name(inspection.suite),
            digest: digest_name(inspection.digest),
            compression: compression_name(inspection.compression),
            frame_len: inspection.frame_len,
            segment_len: inspection.segment_len,
            sealed_len: inspection.sealed_len,
            metadata_len: inspection.metadata_len,
            key_copies: inspection.key_copies.iter().map(|copy| copy.as_ref().map(key_copy)).collect(),
            trailer: inspection.trailer.map(|trailer| TrailerRecord {
                segments: trailer.segments,
                plaintext_len: trailer.plaintext_len,
                stream_digest: trailer.stream_digest.to_string(),
            }),
        }
    }

    fn table(&self) -> String {
        let mut rows = vec![
            ("file", format!("{}, {} ({} bytes)", self.input, Size(self.sealed_len), self.sealed_len)),
            ("stream id", self.stream_id.clone()),
            ("suite", self.suite.to_owned()),
            ("digest", self.digest.to_owned()),
            ("compression", self.compression.to_owned()),
            ("frames of", Size(u64::from(self.frame_len)).to_string()),
            ("segments of", Size(self.segment_len).to_string()),
            ("metadata", format!("{} encrypted", Size(self.metadata_len))),
        ];
        for (name, copy) in ["key copy 0", "key copy 1"].into_iter().zip(&self.key_copies) {
            rows.push((name, copy.as_ref().map_or("damaged".to_owned(), KeyCopyRecord::sentence)));
        }
        match &self.trailer {
            Some(trailer) => {
                let len = Size(trailer.plaintext_len);
                let segments = count(trailer.segments, "segment");
                rows.push((
                    "plaintext",
                    format!("{len} ({}) in {segments}", count(trailer.plaintext_len, "byte")),
                ));
                rows.push(("stream digest", trailer.stream_digest.clone()));
            }
            None => rows.push(("trailer", "none: the file does not end with one".to_owned())),
        }
        table(rows)
    }
}

impl KeyCopyRecord {
    fn sentence(&self) -> String {
        let slots: Vec<String> = self.slots.iter().map(SlotRecord::name).collect();
        format!("generation {}: {}", self.generation, slots.join("; "))
    }
}

impl SlotRecord {
    fn name(&self) -> String {
        match self {
            SlotRecord::Age { stanzas } => format!("age ({})", names_of(stanzas)),
            SlotRecord::KeyFile => "key file".to_owned(),
            SlotRecord::External { name } => format!("external ({})", line(name)),
            SlotRecord::Unknown { number } => format!("unknown kind {number}"),
        }
    }
}

impl SegmentRecord {
    fn new(segment: &SegmentSummary) -> SegmentRecord {
        SegmentRecord {
            event: "segment",
            index: segment.index,
            position: segment.position,
            wire_len: segment.wire_len,
            plaintext_offset: segment.plaintext_offset,
            plaintext_len: segment.plaintext_len,
            frame_count: segment.frame_count,
            digest: hex(&segment.digest),
        }
    }

    fn row(&self) -> String {
        format!(
            "segment {} at {} ({} bytes): plaintext {} to {}, {}, digest {}",
            self.index,
            self.position,
            self.wire_len,
            self.plaintext_offset,
            self.plaintext_offset.saturating_add(self.plaintext_len),
            count(u64::from(self.frame_count), "frame"),
            self.digest,
        )
    }
}

fn key_copy(copy: &KeyCopySummary) -> KeyCopyRecord {
    let slots = copy.slots.iter().map(|slot| match slot {
        SlotSummary::Age(stanzas) => SlotRecord::Age { stanzas: stanzas.clone() },
        SlotSummary::KeyFile => SlotRecord::KeyFile,
        SlotSummary::External(name) => SlotRecord::External { name: name.clone() },
        other => SlotRecord::Unknown { number: other.kind() },
    });
    KeyCopyRecord { generation: copy.generation, slots: slots.collect() }
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam inspect db.cfd
  cofferdam inspect --json --segments db.cfd | tail -n +2 | jq -r .digest

Exit codes: 0 done, 1 reading failed, 2 usage, 3 damaged, 5 truncated, 7 a limit is exceeded \
or a feature is not supported, 11 no Cofferdam stream, 12 the file changed while it was read.";
