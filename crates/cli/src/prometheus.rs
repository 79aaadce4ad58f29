//! Metrics as Prometheus reads them: the text format, and a file of it that is replaced as a whole.
//! It knows no metric.

use std::fmt::{self, Write as _};
use std::path::Path;

use cofferdam::{ErrorKind, TargetError};

use crate::failure::Failure;
use crate::printable::Name;
use crate::whole_file::{self, Fault, Kind, Links, ReplacedFile, Staged, UNWRITTEN};

/// What all samples of one name have in common.
pub(crate) struct Family {
    name: String,
    help: String,
    kind: FamilyKind,
    /// Lines, as they are written.
    samples: Vec<String>,
}

/// What a number means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FamilyKind {
    /// It only grows, from 0 where the program begins.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How many values were at most so much.
    Histogram,
}

impl Family {
    /// Names follow Prometheus' conventions: lower case, the base unit last.
    pub(crate) fn new(kind: FamilyKind, name: &str, help: &str) -> Family {
        Family { name: name.to_owned(), help: help.to_owned(), kind, samples: Vec::new() }
    }

    /// Adds a sample with its labels.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample_of("", labels, value);
    }

    /// Adds a sample whose name is the family's and `suffix`: `_bucket`, `_sum` and `_count` of a histogram.
    pub(crate) fn sample_of(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let name = format!("{}{suffix}", self.name);
        self.samples.push(format!("{} {}", series(&name, labels), Value(value)));
    }
}

impl fmt::Display for Family {
    /// Nothing where there are no samples.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.samples.is_empty() {
            return Ok(());
        }
        let kind = match self.kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        };
        let help = self.help.replace('\\', r"\\").replace('\n', r"\n");
        writeln!(f, "# HELP {} {help}\n# TYPE {} {kind}", self.name, self.name)?;
        self.samples.iter().try_for_each(|sample| writeln!(f, "{sample}"))
    }
}

/// A name with its labels, as a sample's line begins.
pub(crate) fn series(name: &str, labels: &[(&str, &str)]) -> String {
    let mut text = name.to_owned();
    for (index, (label, value)) in labels.iter().enumerate() {
        let before = if index == 0 { '{' } else { ',' };
        let value = value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n");
        let _ = write!(text, "{before}{label}=\"{value}\"");
    }
    if !labels.is_empty() {
        text.push('}');
    }
    text
}

/// A number as the format has it.
pub(crate) struct Value(pub(crate) f64);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value}"),
        }
    }
}

/// Puts `families` into the file at `path`, after a comment `head`: a reader finds the old file or the new one, whole. A file that does
/// not begin with that comment is refused, each time: it is somebody else's.
pub(crate) fn write(path: &Path, head: &str, families: &[Family]) -> Result<(), Failure> {
    stage(path, head)?.write(path, head, families)
}

/// A file of metrics that will be written. Until then no other program writes one of its name.
pub(crate) struct StagedMetrics(Staged);

/// What [`write`] begins with.
pub(crate) fn stage(path: &Path, head: &str) -> Result<StagedMetrics, Failure> {
    let name = Name::from(path);
    let standing = standing(path, head)?;
    refuse_other_leftovers(path, head)?;
    let staged = whole_file::stage(path, standing);
    staged.map(StagedMetrics).map_err(|error| match error {
        TargetError::Held { .. } => {
            Failure::new(ErrorKind::TargetLocked, format!("another run keeps its metrics in {name}"))
                .advise("Give each job a metrics file of its own, or let that run end.")
        }
        error => whole_file::refused(&error, format!("the metrics could not be written to {name}")),
    })
}

/// Refuses a place where a file of metrics with this `head` could not be made without something else being lost that is kept beside it.
pub(crate) fn refuse_other_leftovers(path: &Path, head: &str) -> Result<(), Failure> {
    let head = format!("# {head}\n");
    whole_file::refuse_other_leftovers(path, |kept| kept.starts_with(head.as_bytes()))
}

impl StagedMetrics {
    /// What [`write`] ends with, where `path` and `head` are those that it was staged with.
    pub(crate) fn write(self, path: &Path, head: &str, families: &[Family]) -> Result<(), Failure> {
        // Something else may have come there since.
        standing(path, head)?;
        let text = families.iter().fold(format!("# {head}\n"), |text, family| text + &family.to_string());
        self.0.write(text.as_bytes(), FOR_EVERYBODY).map_err(|fault| match fault {
            Fault::Refused(error) => not_written(&Name::from(path), &error),
            Fault::NotWritten(error) | Fault::Unknown(error) => not_written(&Name::from(path), &error),
        })
    }
}

fn standing(path: &Path, head: &str) -> Result<Option<ReplacedFile>, Failure> {
    let kind = Kind { name: "file of these metrics", len_max: HEAD_LEN_MAX, links: Links::Followed };
    let head = format!("# {head}\n");
    whole_file::read_own(path, kind, |content| content.is_empty() || content.starts_with(head.as_bytes()))
}

fn not_written(name: &Name, error: &dyn fmt::Display) -> Failure {
    Failure::new(ErrorKind::Io, format!("the metrics could not be written to {name}: {error}"))
        .advise(UNWRITTEN)
}

/// No comment is longer.
const HEAD_LEN_MAX: u64 = 4096;
/// A collector is another user's.
const FOR_EVERYBODY: u32 = 0o644;

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected text follows https://prometheus.io/docs/instrumenting/exposition_formats/.
    #[test]
    fn a_family_is_its_help_its_type_and_its_samples() {
        let mut family = Family::new(
            FamilyKind::Gauge,
            "job_last_success_timestamp_seconds",
            "When it last\nwent \\ well.",
        );
        assert_eq!(family.to_string(), "");
        family.sample(&[], 1_767_225_599.0);
        family.sample(&[("stream", "a \"quoted\"\\ name\nof two lines"), ("mode", "äöü")], 0.25);
        let expected = "\
# HELP job_last_success_timestamp_seconds When it last\\nwent \\\\ well.
# TYPE job_last_success_timestamp_seconds gauge
job_last_success_timestamp_seconds 1767225599
job_last_success_timestamp_seconds{stream=\"a \\\"quoted\\\"\\\\ name\\nof two lines\",mode=\"äöü\"} 0.25
";
        assert_eq!(family.to_string(), expected);
    }

    #[test]
    fn numbers_are_as_the_format_has_them() {
        for (value, text) in
            [(0.0, "0"), (f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf"), (f64::NAN, "NaN")]
        {
            assert_eq!(Value(value).to_string(), text);
        }
    }
}
