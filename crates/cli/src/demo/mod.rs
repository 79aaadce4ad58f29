//! `cofferdam demo`: every step on a real file, timed beside a plain copy, and a refusal to look at.
//! It uses the library as any program would, and leaves nothing behind.

mod input;
mod refusal;
mod rounds;
mod scratch;

use std::path::PathBuf;

use cofferdam::{ErrorKind, Identity};
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt;
use crate::metrics_file::RunInfo;
use crate::named_files::NamedFiles;
use crate::report::{Channel, Form, Report};
use crate::resources::Resources;
use crate::size::Size;
use crate::text::count;

use self::input::Input;
use self::refusal::Refusal;
use self::rounds::{Keys, Rounds, Step};
use self::scratch::Scratch;

/// Show every step on a real file, timed beside a plain copy
///
/// Makes a key, seals FILE, verifies it without and with the key, restores it, compares, then flips one bit and shows the
/// refusal. Works in a scratch directory that is removed at the end.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Demo {
    /// The file to use [default: the largest library of this machine's Rust toolchain]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Keep the scratch directory, with key, sealed and restored file
    #[arg(long)]
    keep: bool,

    /// Make the scratch directory in DIR [default: the temporary directory, or here if there is too little room]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    #[command(flatten)]
    resources: Resources,
}

impl Demo {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        self.resources.begin(RunInfo::of("demo"), &NamedFiles::default(), report)?;
        let cancel = interrupt::install(report)?;
        interrupt::roll_back_from_now_on();
        let input = Input::choose(self.file.as_deref())?;
        let scratch = Scratch::make(self.dir.as_deref(), input.len, self.keep)?;
        let narrator = Narrator { report };
        narrator.say(&input.record(), &input.sentence())?;
        narrator.say(&scratch.record(), &scratch.sentence())?;
        let keys = Keys::make(&scratch.path("key.txt"), &Identity::try_generate()?)?;
        narrator.say(&keys.record(), &keys.sentence())?;

        let mut rounds = Rounds::new(&input, &scratch, &keys, &self.resources, &cancel, report);
        input.read_once(&cancel)?;
        rounds.run_all()?;
        narrator.table(&rounds, &input)?;
        rounds.compare()?;
        narrator.say(&Done { event: "demo", step: "compare", equal: true }, COMPARED)?;

        let refusal = Refusal::provoke(&rounds)?;
        narrator.say(&refusal.record(), &refusal.sentence())?;
        narrator.by_hand(&input, &refusal)?;
        scratch.end()
    }
}

/// Tells what happens, for people or as JSON.
struct Narrator {
    report: Report,
}

impl Narrator {
    fn say(&self, record: &impl Serialize, human: &str) -> Result<(), Failure> {
        self.report.summary(Channel::Stdout, record, human)
    }

    fn table(&self, rounds: &Rounds<'_>, input: &Input) -> Result<(), Failure> {
        let copy = rounds.best(Step::Copy);
        let mut text = format!(
            "\n{:<22}{:>10}{:>14}{:>20}\n",
            format!("best of {}", count(rounds.count, "round")),
            "seconds",
            "pace",
            "beside the copy"
        );
        for step in Step::ALL {
            let took = rounds.best(step).as_secs_f64();
            let pace = Size((input.len as f64 / took.max(f64::MIN_POSITIVE)) as u64);
            let beside = copy.as_secs_f64() / took.max(f64::MIN_POSITIVE);
            text.push_str(&format!(
                "{:<22}{took:>10.3}{:>14}{beside:>19.2}×\n",
                step.name(),
                format!("{pace}/s")
            ));
            self.json_only(&rounds.record(step))?;
        }
        text.push_str(TIMED);
        self.human_only(&text)
    }

    fn by_hand(&self, input: &Input, refusal: &Refusal) -> Result<(), Failure> {
        let program =
            std::env::current_exe().map_err(|error| Failure::io("this program has no path", error))?;
        let directory = program.parent().map(|parent| quoted(&parent.display().to_string()));
        let file = quoted(&input.path.display().to_string());
        self.human_only(&format!(
            "\nBy hand, in an empty directory:\n\
             \x20 PATH={}:\"$PATH\"\n\
             \x20 recipient=$(cofferdam keygen -o key.txt)\n\
             \x20 cofferdam seal -r \"$recipient\" -o sealed.cfd {file}\n\
             \x20 cofferdam verify sealed.cfd\n\
             \x20 cofferdam verify -i key.txt sealed.cfd\n\
             \x20 cofferdam restore -i key.txt sealed.cfd restored\n\
             \x20 cmp {file} restored\n\
             \x20 cp sealed.cfd damaged.cfd\n\
             \x20 printf 'damage' | dd of=damaged.cfd bs=1 seek={} conv=notrunc\n\
             \x20 cofferdam restore -i key.txt --force damaged.cfd restored",
            directory.unwrap_or_default(),
            refusal.position,
        ))
    }

    fn human_only(&self, text: &str) -> Result<(), Failure> {
        match self.report.form {
            Form::Human => self.say(&(), text),
            Form::Json => Ok(()),
        }
    }

    fn json_only(&self, record: &impl Serialize) -> Result<(), Failure> {
        match self.report.form {
            Form::Human => Ok(()),
            Form::Json => self.say(record, ""),
        }
    }
}

/// For a shell: in single quotes, if anything in it could mean something.
fn quoted(text: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+=:@%".contains(character);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Something went otherwise than the engine promises.
fn broken_promise(what: &str) -> Failure {
    Failure::new(ErrorKind::Io, what).advise("This is a fault of the program; please report it.")
}

#[derive(Serialize)]
struct Done {
    event: &'static str,
    step: &'static str,
    equal: bool,
}

const COMPARED: &str = "\ncompared      the restored file and the input are equal, byte for byte";
const TIMED: &str = "\
Timed is the whole step: opening the input (it was read once before, so it comes from memory), all the work, and for
copy, seal and restore the output synced to disk. The copy reads and writes 1 MiB at a time on one thread.";

const AFTER_HELP: &str = "\
Examples:
  cofferdam demo
  cofferdam demo /var/backups/db.img
  cofferdam demo --keep --dir /mnt/fast big.iso

Exit codes: 0 everything was as promised, 1 it was not or the machine failed, 2 usage, 130 interrupted.";
