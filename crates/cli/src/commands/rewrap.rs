//! `cofferdam rewrap`: changes who can open a stream, in place or in a copy.
//! It turns options into keys; the library writes the key area.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt;
use crate::io_arg::{End, if_exists, refuse_standard_input};
use crate::key_args::{NewKeys, OpeningKeys};
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::report::{Channel, Report};
use crate::sealed;
use crate::size::Size;
use crate::text::count;

/// Change who can open a stream, in place or in a copy
///
/// Those given now can open it, and nobody else; name everyone who should keep access. Only the key area is written, one of
/// its two copies after the other, so that the stream opens whenever this is cut off. This is not revocation: whoever could
/// open the stream before may have kept its key, or a copy of the file.
///
/// The key area has a fixed size. With -o the stream is copied, and the copy has room for more keys; the original stays
/// as it is. The data is copied unread, or shares its blocks with the original where the file system can (XFS, btrfs): verify the
/// copy before you remove the original.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Rewrap {
    /// The sealed file; not a pipe
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(sealed::parse_path))]
    sealed: PathBuf,

    /// Make a copy with room for more keys, and leave SEALED as it is
    #[arg(short, long, value_name = "NEW", value_parser = a_file)]
    output: Option<PathBuf>,

    /// Replace NEW if it exists, atomically
    #[arg(long, requires = "output")]
    force: bool,

    #[command(flatten)]
    opening: OpeningKeys,

    #[command(flatten)]
    new: NewKeys,
}

impl Rewrap {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        refuse_standard_input(&self.sealed)?;
        let mut files = NamedFiles::default();
        match &self.output {
            Some(output) => {
                files.reads("the sealed file", &End::Path(self.sealed.clone()))?;
                files.stages("the copy", &End::Path(output.clone()))?;
            }
            None => files.rewrites("the sealed file", &self.sealed),
        }
        self.opening.name_files(&mut files)?;
        self.new.name_files(&mut files)?;
        files.check()?;
        let cancel = interrupt::install(report)?;
        let identities = self.opening.some_identities(&cancel, report)?;
        let recipients = self.new.recipients(&self.opening.limits(), &cancel)?;
        let (rewrapped, file) = match &self.output {
            Some(output) => {
                let if_exists = if_exists(self.force);
                let copied =
                    cofferdam::rewrap_to(&self.sealed, output, &identities, &recipients, if_exists, &cancel);
                (copied, output)
            }
            None => (cofferdam::rewrap(&self.sealed, &identities, &recipients), &self.sealed),
        };
        let rewrapped = rewrapped.map_err(|error| {
            Failure::from(error).of_input(self.sealed.display()).unless_interrupted(&cancel)
        })?;
        let record = Record {
            event: "rewrapped",
            file: Name::from(file.as_path()),
            generation: rewrapped.generation,
            slots: rewrapped.slots,
            room_bytes: rewrapped.room_bytes,
        };
        let human = format!(
            "re-wrapped {}: {}, generation {}, room for {} more",
            record.file,
            count(record.slots as u64, "key slot"),
            record.generation,
            Size(record.room_bytes as u64),
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
    room_bytes: usize,
}

/// A copy is a file: what goes to a pipe is re-wrapped where it arrives.
fn a_file(name: &str) -> Result<PathBuf, String> {
    match name {
        "-" => Err("the copy is a file; ./- is one of that name".to_owned()),
        name => Ok(PathBuf::from(name)),
    }
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam rewrap -i old.txt -r age1… db.cfd          from the old identity to a new recipient
  cofferdam rewrap -p --new-passphrase db.cfd          another passphrase
  cofferdam rewrap -i key.txt -R all.txt -o new.cfd db.cfd   a copy, with room for more keys

Exit codes: 0 done, 1 reading or writing failed (the stream still opens), 2 usage, 3 damaged, 4 no key \
opens it, 5 truncated, 6 NEW exists, 7 a limit is exceeded or a feature is not supported, 9 another process re-wraps it, \
10 NEW may not be durable, 11 no Cofferdam stream, 130 interrupted (an old or a new identity opens it).";
