//! `cofferdam discard`: removes what is kept for a target between two runs.
//! It says what the library removed.

use std::path::PathBuf;

use cofferdam::{discard, leftovers};
use serde::Serialize;

use super::status::of_plan;
use crate::failure::Failure;
use crate::io_arg::refuse_standard_target;
use crate::printable::Name;
use crate::report::{Channel, Report};
use crate::state_dir::StateDir;

/// Remove what an interrupted restore or sealing has left for a target
///
/// The staging file and the journal beside TARGET are removed, and the state of a sealing. The log of a restore to a block device is
/// yours to remove, or `restore --restart` does. TARGET itself is not touched. What is at work
/// is left alone, and so is what belongs to another user.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Discard {
    /// The target of a restore, or the output of a sealing
    #[arg(value_name = "TARGET")]
    target: PathBuf,

    #[command(flatten)]
    state_dir: StateDir,
}

impl Discard {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        refuse_standard_target(&self.target)?;
        let removed = discard(&self.target, self.state_dir.find_or_warn(report).as_deref())?;
        // What has been removed is told, whatever else cannot be looked at.
        let parts = leftovers(&self.target, None).map(|found| found.parts).unwrap_or_default();
        let record = Record {
            event: "discarded",
            target: Name::from(self.target.as_path()),
            removed: removed.iter().map(|path| Name::from(path.as_path())).collect(),
            parts: parts.iter().map(|path| Name::from(path.as_path())).collect(),
        };
        let mut lines: Vec<String> = record.removed.iter().map(|name| format!("removed {name}")).collect();
        if !parts.is_empty() {
            lines.push(format!("{}: what belongs to a plan stays", record.target));
            lines.extend(parts.iter().map(|path| of_plan(path)));
        }
        let sentence = match lines.is_empty() {
            true => format!("nothing is kept for {}", record.target),
            false => lines.join("\n"),
        };
        report.done(Channel::Stdout, &record, sentence, "what was kept has been removed")
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    target: Name,
    removed: Vec<Name>,
    /// Of plans, which stay.
    parts: Vec<Name>,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam discard db.img
  cofferdam discard db.img.cfd

Exit codes: 0 done, also where nothing was kept, 1 something could not be removed, 2 usage, 8 what is kept is another \
user's, or not a file of ours, 9 another process is writing the target.";
