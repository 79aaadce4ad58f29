//! `cofferdam rewrap`: changes who can open a stream, in place.
//! It turns options into keys; the library writes the key area.

use std::path::PathBuf;

use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt;
use crate::io_arg::refuse_standard_input;
use crate::key_args::{NewKeys, OpeningKeys};
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::report::{Channel, Report};
use crate::text::count;

/// Change who can open a stream, in place
///
/// Those given now can open it, and nobody else; name everyone who should keep access. Only the key area is written, one of
/// its two copies after the other, so that the stream opens whenever this is cut off. This is not revocation: whoever could
/// open the stream before may have kept its key, or a copy of the file.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Rewrap {
    /// The sealed file; not a pipe
    #[arg(value_name = "SEALED")]
    sealed: PathBuf,

    #[command(flatten)]
    opening: OpeningKeys,

    #[command(flatten)]
    new: NewKeys,
}

impl Rewrap {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        refuse_standard_input(&self.sealed)?;
        let mut files = NamedFiles::default();
        files.rewrites("the sealed file", &self.sealed);
        self.opening.name_files(&mut files)?;
        self.new.name_files(&mut files)?;
        files.check()?;
        interrupt::install(report)?;
        let identities = self.opening.some_identities(report)?;
        let recipients = self.new.recipients()?;
        let rewrapped = cofferdam::rewrap(&self.sealed, &identities, &recipients)
            .map_err(|error| Failure::from(error).of_input(self.sealed.display()))?;
        let record = Record {
            event: "rewrapped",
            file: Name::from(self.sealed.as_path()),
            generation: rewrapped.generation,
            slots: rewrapped.slots,
        };
        let human = format!(
            "re-wrapped {}: {}, generation {}",
            record.file,
            count(record.slots as u64, "key slot"),
            record.generation
        );
        report.done(Channel::Stdout, &record, human, format!("{} is re-wrapped", record.file))
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    file: Name,
    generation: u64,
    slots: usize,
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam rewrap -i old.txt -r age1… db.cfd          from the old identity to a new recipient
  cofferdam rewrap -p --new-passphrase db.cfd          another passphrase

Exit codes: 0 done, 1 reading or writing failed (the stream still opens), 2 usage, 3 damaged, 4 no key \
opens it, 5 truncated, 7 a limit is exceeded or a feature is not supported, 9 another process re-wraps it, \
11 no Cofferdam stream, 130 interrupted (an old or a new identity opens it).";
