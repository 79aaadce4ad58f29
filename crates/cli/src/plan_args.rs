//! The options of a restore by many processes: the plan, its key, and which step of it this run is.
//! It knows no plan; the library has them.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser as _};

use crate::credential::{ADVICE, KeyPlace};
use crate::failure::Failure;
use crate::io_arg::{End, a_file};
use crate::key_file::{KeyFile, PLAN_KEY};

/// A restore by many processes, step by step.
#[derive(Default, clap::Args)]
#[command(next_help_heading = "Many machines")]
pub(crate) struct PlanArgs {
    /// Restore by many processes, which share a file system: the file of the plan, and one of the options below
    ///
    /// One process plans, with --parts; any number of them run parts, each with --part, on any machine; then one commits, with --commit.
    /// Each step may be killed and run again, and run twice at once. Before the commit TARGET is as it was. FILE and the directory of
    /// TARGET are on a file system that all of them share, under the same paths; where TARGET is an object in a store, FILE alone.
    #[arg(
        long,
        value_name = "FILE",
        requires = "plan_step",
        conflicts_with_all = ["salvage", "wal", "seed", "restart", "durability"],
        value_parser = OsStringValueParser::new().try_map(a_file)
    )]
    plan: Option<PathBuf>,

    /// Plan the restore of SEALED to TARGET in N parts, at most one for each segment: FILE and its key are made, and nothing is restored
    ///
    /// What decides how TARGET is made is given here, and kept in the plan: --force, and what is said of directories above, --into and --path apart.
    /// If FILE is there already and plans the same, that is the plan. An object is made of at most as many parts as have 5 MiB, the last one aside.
    #[arg(long, value_name = "N", requires = "plan", group = "plan_step", value_parser = parse_parts)]
    parts: Option<NonZeroU64>,

    /// Run part I of the plan, from 0 on: it needs what opens the stream, and the plan's key
    ///
    /// If it has been run, or the plan has been committed, nothing is done. SEALED may be given where this machine finds the
    /// stream elsewhere than the plan says; TARGET is the plan's.
    #[arg(long, value_name = "I", requires = "plan", group = "plan_step", value_parser = parse_part)]
    part: Option<u64>,

    /// Put TARGET in place, once all parts have been run: it needs the plan's key, and nothing that opens the stream
    ///
    /// What the parts have written is put together and compared, and the target changes once. Parts that are missing, or whose files are wrong,
    /// are named, with exit code 19. If it has been committed before, nothing is done.
    #[arg(long, requires = "plan", group = "plan_step")]
    commit: bool,

    /// With --commit, read back and compare all of a file that is put together, also what the file system vouches for
    ///
    /// Without it, bytes that the file system shares are not read where it says of a part's file what it said when that was written: its number, its length, and
    /// when it was last changed. Give this where a machine or a disk has gone down since that is known to lose what was synced. Of a directory all is compared as it is written, with or without.
    #[arg(long, requires = "commit")]
    compare: bool,

    /// Say how far the plan is, and which parts are missing
    #[arg(long, requires = "plan", group = "plan_step")]
    status: bool,

    /// Give the plan up: what its parts have written is removed, and none can be run any more
    #[arg(long, requires = "plan", group = "plan_step")]
    give_up: bool,

    /// The file with the plan's key, 64 hexadecimal digits, which --parts makes if it is not there [default: the plan's name, and .key]
    ///
    /// Whoever has it can have anything taken for a part; it opens no stream. Without the option, the file that COFFERDAM_PLAN_KEY names is
    /// taken, where that is set.
    #[arg(long, value_name = "FILE", requires = "plan")]
    plan_key: Option<KeyPlace>,
}

/// What this run does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Plan(NonZeroU64),
    Part(u64),
    Commit,
    Status,
    GiveUp,
}

impl PlanArgs {
    /// The plan's file, and what is done; `None` of an ordinary restore.
    pub(crate) fn step(&self) -> Option<(&Path, Step)> {
        let step = match (self.parts, self.part) {
            (Some(parts), _) => Step::Plan(parts),
            (None, Some(part)) => Step::Part(part),
            (None, None) if self.commit => Step::Commit,
            (None, None) if self.status => Step::Status,
            (None, None) => Step::GiveUp,
        };
        self.plan.as_deref().map(|plan| (plan, step))
    }

    /// Whether the commit compares what the file system vouches for, too.
    pub(crate) fn compares_all(&self) -> bool {
        self.compare
    }

    /// Where the plan's key is, or is to be.
    pub(crate) fn key_path(&self, plan: &Path) -> Result<PathBuf, Failure> {
        let named = self.plan_key.clone().map(|place| KeyFile { place, named_by: "--plan-key" });
        let Some(file) = named.or_else(|| KeyFile::of_environment(PLAN_KEY)) else {
            let mut name = plan.as_os_str().to_owned();
            name.push(".key");
            return Ok(name.into());
        };
        match file.place.end() {
            Ok(End::Path(path)) => Ok(path),
            Ok(End::Standard) => {
                Err(Failure::usage("the plan's key is in a file").advise("Name it with --plan-key."))
            }
            Err(missing) => Err(Failure::usage(format!("{file}: {missing}")).advise(ADVICE)),
        }
    }
}

fn parse_parts(text: &str) -> Result<NonZeroU64, String> {
    text.parse().map_err(|_| "a number of parts is a whole number, from 1 on".to_owned())
}

fn parse_part(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a part is one whole number: the first one is 0".to_owned())
}
