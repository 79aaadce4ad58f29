//! `cofferdam drill`: restores what a file names to a scratch place, has it checked, and writes down what came of it.
//! It opens streams as `restore` and `verify` do, and leaves nothing of them behind.

mod attempt;
mod check;
mod drawing;
mod evidence;
mod file;
mod freshness;
mod keys;
mod leftovers;
mod lookup;
mod metrics;
mod program;
mod removal;
mod scratch;
mod trust;

use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{CancelToken, ErrorKind, Identities, IfExists};
use serde::Serialize;

use self::attempt::{Attempts, OnFailure};
use self::evidence::{Evidence, Outcome, StreamRecord};
use self::file::DrillFile;
use crate::clock::Utc;
use crate::failure::Failure;
use crate::interrupt;
use crate::io_arg::{End, a_file};
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::rate::RateArgs;
use crate::report::{Report, print};
use crate::resources::Resources;
use crate::signatures::{SigningArgs, is_in_place};
use crate::size::Size;
use crate::text::count;
use crate::timeout::Timeout;
use crate::{clock, duration_text, whole_file};

/// Show that backups can be restored: restore, check, and write down what came of it
///
/// FILE, in TOML, names sealed streams and what is done with each: all of it is restored to a scratch directory and a check is run
/// on the result; or it is verified; or a sample of its segments is opened. All of them are tried, whatever becomes of the others.
/// `cofferdam drill --example` prints such a file with all that it may say.
///
/// The evidence, a JSON file, which may be signed, says for each stream when it was tried, which stream it was (id, digest, sequence number), how old
/// (where the sealer has said when it was sealed), how long it took, how the check ended and what it printed last, and what failed.
///
/// A check runs as you, in the scratch directory and in a session of its own, with an environment of PATH, HOME, USER, LOGNAME,
/// LANG, LC_…, TZ and TMPDIR alone, and with no input or other open file. What it has started is ended with it. What is restored is plaintext, readable by you
/// alone, and removed at the end; what a drill leaves that is killed, the next one with the same scratch directory removes.
///
/// Keys that are not there, or do not answer for as long as --timeout says, fail their stream; the others are tried.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP, mut_arg("metrics_file", |option| option.help(METRICS_HELP).long_help(METRICS_LONG_HELP)))]
pub(crate) struct Drill {
    /// The file that says what to do. Nobody but you and root may write to it, nor to a directory that it is in: it names programs to run
    #[arg(value_name = "FILE", required_unless_present = "example", value_parser = OsStringValueParser::new().try_map(a_file))]
    file: Option<PathBuf>,

    /// Print a file with all that it may say
    #[arg(long, conflicts_with = "file")]
    example: bool,

    /// Where the evidence goes, in the place of what FILE says
    ///
    /// It replaces evidence of an earlier drill, and no other file.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(a_file))]
    evidence: Option<PathBuf>,

    /// Keep what was restored of a stream that fails, which is plaintext
    ///
    /// Only what was restored whole, and failed its check: of a restore that failed nothing is kept.
    #[arg(long)]
    keep: bool,

    #[command(flatten)]
    signing: SigningArgs,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    rate: RateArgs,

    #[command(flatten)]
    timeout: Timeout,
}

impl Drill {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        let Some(path) = self.file.as_ref().filter(|_| !self.example) else {
            return print(EXAMPLE.as_bytes());
        };
        let mut file = DrillFile::read(path)?;
        for stream in &mut file.streams {
            stream.sealed.set_timeout(self.timeout);
            stream.signed_by.set_timeout(self.timeout);
        }
        let evidence = self.evidence.clone().or_else(|| file.evidence.clone()).ok_or_else(|| {
            Failure::usage(format!("{} names no `evidence`", file.name))
                .advise("Name it there, or with --evidence.")
        })?;
        let limit = self.timeout.limit();
        let mut files = NamedFiles::default();
        let failed = keys::name_files(&file.streams, limit, &mut files);
        self.check_files(path, &file, &evidence, files)?;
        self.resources.warn(report);
        let cancel = interrupt::install(report)?;
        let due = self.signing.due_beside(&evidence, IfExists::Replace, &cancel)?;
        let begun = Utc(clock::seconds());
        // While keys are read, a signal ends the program: they may come from something that never answers.
        let keys = keys::read(&file.streams, failed, limit, &cancel, report);
        let (streams, failure) = self.run_all(&file, keys, &cancel, report)?;
        let now = Utc(clock::seconds());
        let found = Evidence::new(&file, begun, now, streams, failure.as_ref());
        let written = found.write(&evidence, file.evidence_mode).inspect_err(|_| report.progress(&found));
        let signed = match (&due, &written) {
            (Some(due), Ok(bytes)) => due.sign_evidence(bytes).map_err(not_signed),
            _ => Ok(()),
        };
        let written = written.map(drop);
        let metrics = self.resources.metrics_file();
        let metrics = metrics.map_or(Ok(()), |path| {
            metrics::write(path, &file.place.to_string(), &found.streams, now, written.is_ok())
        });
        let is_signed = signed.as_ref().map_or_else(is_in_place, |()| true);
        let signature = due.filter(|_| written.is_ok() && is_signed).map(|due| due.name());
        let sentence = sentence(&found, &evidence, written.is_ok(), signature);
        let done = "the drill has ended, and its evidence is written";
        let reported =
            report.done_unless(&cancel, &Record { event: "drilled", evidence: &found }, sentence, done);
        // What a stream has failed with comes first; of the others each is said.
        let mut failures = failure
            .into_iter()
            .chain([written, signed, metrics, reported].into_iter().filter_map(Result::err));
        let first = failures.next();
        failures.for_each(|failure| report.failure(&failure));
        first.map_or(Ok(()), Err)
    }

    /// Before the first stream: a drill may take hours. `files` are those of the keys.
    fn check_files(
        &self,
        path: &Path,
        file: &DrillFile,
        evidence: &Path,
        mut files: NamedFiles,
    ) -> Result<(), Failure> {
        files.reads("the file of the drill", &End::Path(path.to_owned()))?;
        for stream in &file.streams {
            stream.sealed.name_files(&mut files)?;
            stream.signed_by.name_files(&stream.sealed, &mut files)?;
        }
        self.rate.name_files(&mut files)?;
        self.signing.name_files(&mut files)?;
        files.stages_report("the evidence", evidence)?;
        self.resources.name_files(&mut files)?;
        files.check()?;
        evidence::refuse_other_file(evidence)?;
        whole_file::refuse_unwritable(evidence)?;
        let metrics = self.resources.metrics_file();
        metrics.map_or(Ok(()), metrics::refuse_other_file)?;
        metrics.map_or(Ok(()), whole_file::refuse_unwritable)
    }

    /// Tries all streams; what the first one that failed did so with decides how the drill ends.
    fn run_all(
        &self,
        file: &DrillFile,
        keys: Vec<Result<Option<Identities>, Failure>>,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<(Vec<StreamRecord>, Option<Failure>), Failure> {
        let rate = self.rate.limit(report)?;
        interrupt::writes_scratch_alone();
        file.scratch.iter().for_each(|place| leftovers::remove_leftovers(place, report));
        let on_failure = if self.keep { OnFailure::Keep } else { OnFailure::Remove };
        let attempts = Attempts { resources: &self.resources, rate, cancel, report, on_failure };
        let streams = file.streams.len();
        let mut failures = Vec::new();
        let mut records = Vec::new();
        for (stream, keys) in file.streams.iter().zip(keys) {
            let (record, failure) = attempts.run(stream, keys);
            if let Some(failure) = failure.as_ref().filter(|failure| streams > 1 && !is_interrupted(failure))
            {
                report.failure(failure);
            }
            failures.extend(failure);
            records.push(record);
        }
        let is_stopped = records.iter().any(|record: &StreamRecord| record.result == Outcome::NotTried);
        Ok((records, ended(failures, streams, is_stopped)))
    }
}

/// What the program ends with: the failure of the one stream, or how many there are. Of several, each has been said. A drill that
/// `is_stopped` has not come to all streams.
fn ended(mut failures: Vec<Failure>, streams: usize, is_stopped: bool) -> Option<Failure> {
    if let Some(at) = failures.iter().position(is_interrupted) {
        return Some(failures.swap_remove(at));
    }
    if is_stopped {
        return Some(Failure::interrupted());
    }
    let failed = failures.len();
    let first = failures.into_iter().next()?;
    match streams {
        1 => Some(first),
        _ => Some(Failure::new(
            first.kind(),
            format!("{failed} of {} failed", count(streams as u64, "stream")),
        )),
    }
}

/// The evidence is in place all the same. An old signature of it is one of other evidence.
fn not_signed(mut failure: Failure) -> Failure {
    if is_in_place(&failure) {
        return failure;
    }
    failure.message = format!("the evidence is not signed: {}", failure.message);
    failure
}

fn is_interrupted(failure: &Failure) -> bool {
    failure.kind() == ErrorKind::Cancelled
}

#[derive(Serialize)]
struct Record<'a> {
    event: &'static str,
    #[serde(flatten)]
    evidence: &'a Evidence,
}

fn sentence(found: &Evidence, path: &Path, is_written: bool, signature: Option<Name>) -> String {
    let mut lines: Vec<String> = found.streams.iter().map(line).collect();
    let passed = found.streams.iter().filter(|stream| stream.result == Outcome::Passed).count();
    let evidence = match is_written {
        true => match signature {
            Some(signature) => format!("the evidence is in {}, signed in {signature}", Name::from(path)),
            None => format!("the evidence is in {}", Name::from(path)),
        },
        false => "the evidence could not be written".to_owned(),
    };
    let streams = count(found.streams.len() as u64, "stream");
    lines.push(format!("{passed} of {streams} passed; {evidence}"));
    lines.join("\n")
}

fn line(stream: &StreamRecord) -> String {
    let said = match stream.result {
        Outcome::Passed => "passed",
        Outcome::Failed => "FAILED",
        Outcome::Interrupted => "interrupted",
        Outcome::NotTried => "not tried",
    };
    let mut parts = vec![format!("{}: {said}", stream.name)];
    if let Some(seconds) = stream.open_seconds {
        let of = match &stream.sample {
            Some(sample) => {
                format!(" in a sample of {} of {} segments", sample.segments.len(), sample.of_segments)
            }
            None => String::new(),
        };
        parts.push(format!("{}{of} in {seconds:.2} s", Size(stream.proved_bytes())));
    }
    if let Some(age) = stream.age_seconds {
        parts.push(format!("sealed {} ago", duration_text::words(std::time::Duration::from_secs(age))));
    }
    parts.join(", ")
}

const METRICS_HELP: &str =
    "Write to this file, for Prometheus, when each stream was last drilled, and whether it passed";
const METRICS_LONG_HELP: &str = "\
Write to this file, for Prometheus, when each stream was last drilled, and whether it passed

As node_exporter's textfile collector reads it: a name in .prom. Each series has FILE's path as its label `run`. The time of the last drill that passed is read back from the file, \
and kept when one fails. Of a stream whose drill was interrupted, of one that FILE does not name, and of one in another mode, what stood \
there stays: remove the file to have it forgotten. A drill whose evidence could not be written has not passed.";

/// What `--example` prints.
const EXAMPLE: &str = include_str!("example.toml");

const AFTER_HELP: &str = "\
Example of FILE:
  scratch = \"/var/tmp\"
  evidence = \"drill.json\"

  [[stream]]
  name = \"app database\"
  sealed = \"s3://backups/app.db.cfd\"
  identity = [\"backup-key.txt\"]
  mode = \"restore\"
  check = [\"pg_restore\", \"--list\", \"{}\"]
  check_timeout = \"10m\"
  max_age = \"26h\"
  sequence_is_time = true

Examples:
  cofferdam drill --example > drill.toml
  cofferdam drill drill.toml
  cofferdam drill --evidence evidence/$(date +%F).json drill.toml
  cofferdam drill --ssh-key /etc/drill/id_ed25519 drill.toml   the evidence is signed, in drill.json.sig
  cofferdam drill --metrics-file /var/lib/prometheus/node-exporter/cofferdam_drill.prom drill.toml

Exit codes: 0 every stream has passed. Otherwise that of the first stream in FILE that has not; the evidence has each one's: 1 \
reading or writing failed, or there is no room, 2 usage, 3 damaged, tampered with, or of another digest, 4 no key opens it, 5 truncated, \
7 a limit is exceeded or a feature is not supported, 11 no Cofferdam stream, 12 the sealed stream changed while it was read, 14 older \
than `min_sequence` or `max_age` asks for, or of no known age, 15 nothing has come from the store, or from where a key is, for too long, 16 the check failed, was stopped, or could \
not be run, 17 not signed by anybody of `signed_by`. 130 interrupted. 1 or 10 where the evidence or the metrics could not be written, 6 where they would replace another file.";
