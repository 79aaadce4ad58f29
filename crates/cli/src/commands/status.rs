//! `cofferdam status`: what is kept for a target between two runs.
//! It says what the library found, and changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

use cofferdam::{Attempt, Leftovers, Within, leftovers};
use serde::Serialize;

use crate::failure::Failure;
use crate::io_arg::refuse_standard_target;
use crate::printable::Name;
use crate::report::{Channel, Report};
use crate::size::Size;
use crate::state_dir::StateDir;

/// Say what an interrupted restore or sealing has left for a target
///
/// It looks beside TARGET, and where states of sealings are kept; not at the log of a restore to a block device, which --wal names. It needs no key, proves nothing, changes nothing, and ends with 0
/// whether or not it finds something. What it shows may be at work right now.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Status {
    /// The target of a restore, or the output of a sealing
    #[arg(value_name = "TARGET")]
    target: PathBuf,

    #[command(flatten)]
    state_dir: StateDir,
}

impl Status {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        refuse_standard_target(&self.target)?;
        let found = leftovers(&self.target, self.state_dir.find_or_warn(report).as_deref())?;
        let record = Record::new(&self.target, &found);
        report.answer(Channel::Stdout, &record, sentence(&self.target, &found))
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    target: Name,
    attempt: Option<&'static str>,
    staging: Option<Name>,
    staging_len: Option<u64>,
    durable_len: Option<u64>,
    journal: Option<Name>,
    state: Option<Name>,
    stream_id: Option<String>,
    input_len: Option<u64>,
    plan: Option<Name>,
    shards: Option<Name>,
    parts: Vec<Name>,
    problems: Vec<String>,
    within: Option<WithinRecord>,
}

/// What is kept in a directory that is the target.
#[derive(Serialize)]
struct WithinRecord {
    attempt: Option<&'static str>,
    staging: Option<Name>,
    staging_len: Option<u64>,
    journal: Option<Name>,
    problems: Vec<String>,
}

impl WithinRecord {
    fn new(found: &Within) -> WithinRecord {
        WithinRecord {
            attempt: name_of(found.attempt),
            staging: found.staging.as_ref().map(|(path, _)| Name::from(path.as_path())),
            staging_len: found.staging.as_ref().map(|(_, len)| *len),
            journal: found.journal.as_deref().map(Name::from),
            problems: found.problems.clone(),
        }
    }
}

impl Record {
    fn new(target: &Path, found: &Leftovers) -> Record {
        let name = |path: &PathBuf| Name::from(path.as_path());
        Record {
            event: "status",
            target: Name::from(target),
            attempt: name_of(found.attempt),
            staging: found.staging.as_ref().map(|(path, _)| name(path)),
            staging_len: found.staging.as_ref().map(|(_, len)| *len),
            durable_len: found.durable_len,
            journal: found.journal.as_ref().map(name),
            state: found.state.as_ref().map(name),
            stream_id: found.sealing.as_ref().map(|(stream_id, _)| stream_id.to_string()),
            input_len: found.sealing.as_ref().map(|(_, len)| *len),
            plan: found.plan.as_ref().map(name),
            shards: found.shards.as_ref().map(name),
            parts: found.parts.iter().map(name).collect(),
            problems: found.problems.clone(),
            within: found.within.as_ref().map(WithinRecord::new),
        }
    }
}

fn name_of(attempt: Attempt) -> Option<&'static str> {
    match attempt {
        Attempt::Nothing => None,
        Attempt::Restore => Some("restore"),
        Attempt::Sealing => Some("sealing"),
        Attempt::Receiving => Some("receiving"),
        Attempt::Shards => Some("shards"),
        Attempt::Parts => Some("parts"),
        Attempt::Published => Some("published"),
        Attempt::Moving => Some("moving"),
        Attempt::InTheWay => Some("in-the-way"),
        _ => Some("unknown"),
    }
}

fn sentence(path: &Path, found: &Leftovers) -> String {
    let target = Name::from(path);
    if found.is_empty() {
        return format!("nothing is kept for {target}");
    }
    if let (Some(within), true) = (&found.within, found.is_empty_beside()) {
        return within_lines(&target, within).join("\n");
    }
    let mut lines = vec![format!("{target}: {}", headline(path, found))];
    lines.extend(found.staging.as_ref().map(staging_line));
    if let Some(len) = found.durable_len {
        lines.push(format!("  of that, made durable: {}", Size(len)));
    }
    lines.extend(found.journal.iter().map(|path| format!("  {}: the journal", Name::from(path.as_path()))));
    if let Some(path) = &found.state {
        let of = found.sealing.as_ref();
        let of = of.map_or(String::new(), |(_, len)| format!(", of an input of {}", Size(*len)));
        let path = Name::from(path.as_path());
        lines.push(format!("  {path}: the state of a sealing, which holds its key{of}"));
    }
    if let Some(path) = &found.plan {
        lines.push(format!("  {}: the plan of a tree, which names its files", Name::from(path.as_path())));
    }
    if let Some(path) = &found.shards {
        lines.push(format!("  {}: shards of a manifest, in clear", Name::from(path.as_path())));
    }
    lines.extend(found.parts.iter().map(|path| of_plan(path)));
    lines.extend(found.problems.iter().map(|problem| format!("  {problem}")));
    lines.extend(found.within.iter().flat_map(|within| within_lines(&target, within)));
    lines.join("\n")
}

/// Of the directory of a plan, which no command finds without the plan.
pub(super) fn of_plan(path: &Path) -> String {
    let path = Name::from(path);
    format!(
        "  {path}: parts of a plan, in clear; `restore --plan FILE --give-up` removes them. If the plan is lost, remove the directory yourself"
    )
}

fn within_lines(target: &Name, within: &Within) -> Vec<String> {
    let is = match within.attempt {
        Attempt::Restore => "a restore into it has not ended; the same command goes on from there",
        Attempt::Moving => {
            "a restore into it was cut off while it moved files there; the same command brings that to its end"
        }
        Attempt::InTheWay => {
            "what is in it at a name that a restore into it needs is refused by the next one"
        }
        _ => "what a restore into it has left is of no use; the next one removes it",
    };
    let mut lines = vec![format!("{target}: {is}")];
    lines.extend(within.staging.as_ref().map(staging_line));
    lines.extend(within.journal.iter().map(|path| format!("  {}: the journal", Name::from(path.as_path()))));
    lines.extend(within.problems.iter().map(|problem| format!("  {problem}")));
    lines
}

/// How much is there: of a directory, what its files take up.
fn staging_line((path, len): &(PathBuf, u64)) -> String {
    let allocated = if path.symlink_metadata().is_ok_and(|found| found.is_dir()) { " allocated" } else { "" };
    format!("  {}: {}{allocated}", Name::from(path.as_path()), Size(*len))
}

fn headline(path: &Path, found: &Leftovers) -> &'static str {
    let is_empty = |shards: &PathBuf| fs::read_dir(shards).is_ok_and(|mut names| names.next().is_none());
    match (found.attempt, &found.staging, &found.state) {
        (Attempt::Restore, ..) => "a restore has not ended; the same command goes on from there",
        (Attempt::Sealing, Some(_), Some(_)) if found.sealing.is_none() => {
            "a sealing has not ended, and its state cannot be used"
        }
        (Attempt::Sealing, Some(_), Some(_)) => {
            "a sealing has not ended; the same command goes on from there"
        }
        (Attempt::Sealing, Some(_), None) => "a sealing has not ended, and no state of it is kept here",
        (Attempt::Receiving, ..) => {
            "a restore that comes from elsewhere has not ended; the same `receive` goes on from there"
        }
        (Attempt::Shards, ..) if found.shards.as_ref().is_some_and(is_empty) && path.exists() => {
            "nothing is left of a restore of shards but its empty directory: this may be what it has made; `cofferdam discard` removes that"
        }
        (Attempt::Shards, ..) => {
            "a restore of shards has not ended; the same command goes on with those that are left"
        }
        (Attempt::Parts, ..) => "a restore in parts has not ended; its plan's commands go on from there",
        (Attempt::Published, ..) => {
            "an attempt has put the target in place, and was cut off while it tidied up"
        }
        (Attempt::InTheWay, ..) => {
            "something is at a name that is needed beside it; the next run refuses that"
        }
        (Attempt::Nothing, None, Some(_)) => "the state of a sealing is kept, and none of its bytes",
        (Attempt::Nothing, ..) => "what is kept is of no use; the next run replaces it",
        _ => "something is kept that is not known here",
    }
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam status db.img
  cofferdam status --json db.img.cfd

Exit codes: 0 done, whatever was found, 1 the target's directory could not be read, 2 usage.";
