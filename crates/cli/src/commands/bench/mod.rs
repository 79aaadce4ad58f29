//! `cofferdam bench`: what this machine can do, which choices suit it, and what a restore here waits for.
//! It turns options into a plan; the library measures and advises.

mod record;
mod sentences;
mod tables;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use cofferdam::ErrorKind;
use indicatif::ProgressBar;
use measure::{Pace, Phase, Plan, advise, measure};

use crate::failure::Failure;
use crate::interrupt;
use crate::metrics_file::RunInfo;
use crate::named_files::NamedFiles;
use crate::report::{Channel, Form, Report, Volume};
use crate::resources::Resources;
use crate::size::Size;
use crate::standard::Standard;

use self::record::Record;
use self::sentences::{Sentences, busy};

/// Measure this machine, and say which choices suit it
///
/// Measures ciphers and the digest, reading and writing in DIR, and then whole streams from file to file as `seal` and
/// `restore` do it, with every check, synced and renamed. It says which suite, digest, frame size and thread count suit, and
/// what a restore to DIR waits for. The steps of a table take turns, and the median of up to five rounds counts; a difference of
/// 5 % or less is no reason to leave the default.
///
/// It needs no rights but to write in DIR, takes about half a minute, and removes what it wrote, after Ctrl-C too. What else the
/// machine does meanwhile is in the figures: where the load of the minute before was above 0.5, they are shown without
/// advice (on Linux).
///
/// Files that are sealed or restored come from the page cache, as right after they were written. Where the sealed stream
/// comes from a slow disk or a network, that is what a restore waits for.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Bench {
    /// The directory that a restore would go to: files are measured in it
    #[arg(long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,

    /// Bytes of each file: at least 8MiB; three of them need room [default: 256MiB, less on a slow disk]
    #[arg(long, value_name = "SIZE")]
    size: Option<Size>,

    /// Measure each step once: seconds instead of half a minute, and figures that vary
    #[arg(long)]
    quick: bool,

    #[command(flatten)]
    resources: Resources,
}

impl Bench {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        Standard::Output.refuse_unusable()?;
        self.resources.begin(RunInfo::of("bench"), &NamedFiles::default(), report)?;
        let cancel = interrupt::install(report)?;
        interrupt::roll_back_from_now_on();
        let plan = Plan {
            directory: self.directory,
            file_len: self.size.map(|size| size.0),
            threads: self.resources.threads(),
            memory: self.resources.memory(),
            pace: if self.quick { Pace::Quick } else { Pace::Thorough },
        };
        let spinner = spinner(report);
        let measured = measure(&plan, &cancel, &|phase| spinner.set_message(doing(phase)));
        spinner.finish_and_clear();
        let measured = measured?;
        let tables = tables::of(&measured);
        if let Some(busy) = measured.load.and_then(busy) {
            let record = Record::without_advice(&measured, &busy);
            return report.answer(Channel::Stdout, &record, format!("{tables}\n{busy}"));
        }
        let advice = advise(&measured)
            .ok_or_else(|| Failure::new(ErrorKind::Io, "a step is missing among what was measured"))?;
        let sentences = Sentences::new(&measured, &advice, plan.memory);
        let record = Record::with_advice(&measured, &advice, &sentences);
        report.answer(Channel::Stdout, &record, format!("{tables}\n{sentences}"))
    }
}

/// Shows what is being measured, on a terminal.
fn spinner(report: Report) -> ProgressBar {
    let is_shown =
        report.form == Form::Human && report.volume == Volume::Normal && io::stderr().is_terminal();
    if !is_shown {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(TICK);
    spinner
}

fn doing(phase: Phase) -> &'static str {
    match phase {
        Phase::Parts => "measuring ciphers and the digest (1 of 5)",
        Phase::Files => "measuring files (2 of 5)",
        Phase::Recipes => "measuring streams by digest (3 of 5)",
        Phase::FrameSizes => "measuring streams by frame size (4 of 5)",
        Phase::ThreadCounts => "measuring restores by number of threads (5 of 5)",
    }
}

const TICK: Duration = Duration::from_millis(100);

const AFTER_HELP: &str = "\
Examples:
  cofferdam bench --directory /var/lib/db     where the restore would go
  cofferdam bench --quick                     a first look, in seconds
  cofferdam bench --json | jq .advice         for scripts

What is measured, by its \"step\" in JSON:
  seal frames, open frames  frames of 64 KiB, between buffers in the processor's cache
  digest                    the same frames digested
  read device               a file that the system was asked to forget; not where DIR is in memory
  read file                 from the page cache, 512 KiB at a time, by all threads at offsets
  write file                as a restore writes: beside its name, by all threads at offsets
  publish file              that file synced, renamed, its directory synced
  copy file                 as cp without the file system's help: read and write, 256 KiB at a time
  sync copy                 that copy synced
  seal, open                a whole stream, from file to file: \"ends\" is \"files\"

JSON is one object: directory, file_system (kind, mount_point), free, load (of the minute before), file_len, threads; \
parts, files, recipes, frame_sizes, thread_counts, each a list of {step, suite, digest, frame_len, ends, threads, bytes, seconds, \
rounds, bytes_per_second}; busy, a sentence where the machine was, and advice is absent; else advice: suite, digest, frame_len, threads, are_defaults, seal_options, \
restore_options, sentences, and for seal and restore {slowest (\"read\", \"frames\", \"write\", \"publish\"), limits \
(of the same four), bound, measured, copy}, all in bytes a second. Sizes are bytes, absent values null.

Suite, digest and frame size are fixed when a stream is sealed, and hold for whoever restores it, on whatever machine.

Exit codes: 0 done, 1 no room, or DIR cannot be written, 2 usage, 129, 130, 143 interrupted.";
