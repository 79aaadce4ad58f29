//! `cofferdam rewrap`: changes who can open a stream, in place or in a copy.
//! It turns options into keys; the library writes the key area.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{
    CancelToken, ErrorKind, Identities, ListedRecipient, RecipientChange, RecipientKind, RecipientList,
    Recipients,
};
use serde::Serialize;

use crate::commands::recipients::{self, RecipientRecord};

use crate::failure::Failure;
use crate::interrupt;
use crate::io_arg::{End, if_exists, refuse_standard_input};
use crate::key_args::OpeningKeys;
use crate::named_files::NamedFiles;
use crate::printable::{Name, line};
use crate::report::{Channel, Report};
use crate::sealed::{self, Sealed};
use crate::sealing_keys::NewKeys;
use crate::size::Size;
use crate::text::count;

/// Change who can open a stream, in place or in a copy
///
/// Those given now can open it, and nobody else; name everyone who should keep access. With --add or --remove all others stay. Only the key area is written, one of
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

    /// List who can open the stream, as `recipients` does, and change nothing
    #[arg(long, conflicts_with_all = ["output", "add", "remove", "generation"])]
    list: bool,

    /// Let those given in as well: who can open it now still can. Run again, this adds them again
    #[arg(long)]
    add: bool,

    /// Take WHICH out, and leave the others: a number of --list (with --generation), the name of a service, an SSH public key, or an age recipient whose identity
    /// is given with -i; may be given more than once
    ///
    /// The last one is not taken out. Several age recipients share a part of the stream: to take some of them out, one of them has to be given
    /// with -i.
    #[arg(long, value_name = "WHICH")]
    remove: Vec<String>,

    /// The generation of the list that was looked at, as it says; a number of --remove needs it. If the stream has been re-wrapped
    /// since, it is left as it is: exit code 12
    #[arg(long, value_name = "N")]
    generation: Option<u64>,

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
        if self.list {
            self.refuse_new_of_list()?;
            let mut files = NamedFiles::default();
            self.opening.name_files(&mut files)?;
            let sealed = Sealed::Here(End::Path(self.sealed));
            return recipients::print(&sealed, &self.opening, files, report);
        }
        self.refuse_unadded()?;
        self.refuse_unlisted()?;
        if self.names_new() {
            self.new.name_files(&mut files)?;
        }
        files.check()?;
        let cancel = interrupt::install(report)?;
        let identities = self.opening.some_identities(&cancel, report)?;
        let removed = self.removed(&identities, &cancel, report)?;
        let new = || self.new.recipients(&self.opening.limits(), &cancel);
        let new = self.names_new().then(new).transpose()?;
        let change = removed.change(self.add, new.as_ref(), self.generation);
        let (rewrapped, file) = match &self.output {
            Some(output) => {
                let if_exists = if_exists(self.force);
                let copied =
                    cofferdam::rewrap_to(&self.sealed, output, &identities, change, if_exists, &cancel);
                (copied, output)
            }
            None => (cofferdam::rewrap_unless(&self.sealed, &identities, change, &cancel), &self.sealed),
        };
        let rewrapped = rewrapped.map_err(|error| {
            Failure::from(error).of_input(self.sealed.display()).unless_interrupted(&cancel)
        })?;
        if self.remove.is_empty() {
            // Else the list has said them.
            rewrapped.warnings.iter().for_each(|warning| report.warning(warning));
        }
        let record = Record {
            event: "rewrapped",
            file: Name::from(file.as_path()),
            generation: rewrapped.generation,
            slots: rewrapped.slots,
            room_bytes: rewrapped.room_bytes,
            removed: removed.records,
        };
        let gone: Vec<String> = record.removed.iter().map(RecipientRecord::name).collect();
        let gone =
            if gone.is_empty() { String::new() } else { format!(" without {},", line(&gone.join(", "))) };
        let human = format!(
            "re-wrapped {}:{gone} {}, generation {}, room for {} more",
            record.file,
            count(record.slots as u64, "key slot"),
            record.generation,
            Size(record.room_bytes as u64),
        );
        report.done(Channel::Stdout, &record, human, format!("{} is re-wrapped", record.file))
    }
}

impl Rewrap {
    /// Whether anybody comes in. Where some are only taken out, what the environment names is not looked at.
    fn names_new(&self) -> bool {
        self.add || self.remove.is_empty()
    }

    fn refuse_new_of_list(&self) -> Result<(), Failure> {
        // The parser lets a requirement pass that conflicts with an option given.
        if self.force {
            return Err(Failure::usage("a list replaces nothing, and --force is for a copy")
                .advise("Leave --force away."));
        }
        if self.new.is_given() {
            return Err(Failure::usage(
                "a list changes nothing, and others were given who could open the stream",
            )
            .advise("Leave --list away to change who can, or leave those away."));
        }
        Ok(())
    }

    fn refuse_unadded(&self) -> Result<(), Failure> {
        if !self.names_new() && self.new.is_given() {
            return Err(Failure::usage("some are taken out, and others were given without --add")
                .advise("With --add these come in, and the others stay. Without --remove these take the place of all others."));
        }
        Ok(())
    }

    /// A number is of one list. Which list was looked at, only whoever did can say.
    fn refuse_unlisted(&self) -> Result<(), Failure> {
        let number = self.remove.iter().find(|which| which.parse::<usize>().is_ok());
        match (number, self.generation) {
            (Some(number), None) => {
                Err(Failure::usage(format!("{number} is a number of a list, and of which one is not said"))
                    .advise(
                        "Add --generation with the number that `cofferdam recipients` says beside the list.",
                    ))
            }
            (None, Some(_)) if !self.add && self.remove.is_empty() => {
                Err(Failure::usage("--generation is for --add and --remove: all others are replaced here")
                    .advise("Leave it away."))
            }
            _ => Ok(()),
        }
    }

    /// Whom `--remove` means, in the list as it is now.
    fn removed(
        &self,
        identities: &Identities,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Removed, Failure> {
        if self.remove.is_empty() {
            return Ok(Removed::default());
        }
        let sealed = Sealed::Here(End::Path(self.sealed.clone()));
        // Without a key the list would be what the copy says that anybody could have written.
        let list = recipients::list(&sealed, Some(identities), cancel, report)?;
        if self.generation.is_some_and(|looked_at| looked_at != list.generation) {
            let what = format!("{sealed}: its list is of generation {} now", list.generation);
            return Err(Failure::new(ErrorKind::SourceChanged, what).advise(LIST_AGAIN));
        }
        let mut numbers: Vec<usize> =
            self.remove.iter().map(|which| find(which, &list)).collect::<Result<_, _>>()?;
        numbers.sort_unstable();
        numbers.dedup();
        let records = list.recipients.iter().filter(|listed| numbers.contains(&listed.number));
        let records = records.map(RecipientRecord::new).collect();
        Ok(Removed { numbers, records, generation: Some(list.generation) })
    }
}

/// Those who are taken out.
#[derive(Default)]
struct Removed {
    numbers: Vec<usize>,
    records: Vec<RecipientRecord>,
    generation: Option<u64>,
}

impl Removed {
    fn change<'a>(
        &'a self,
        add: bool,
        new: Option<&'a Recipients>,
        looked_at: Option<u64>,
    ) -> RecipientChange<'a> {
        let generation = self.generation.or(looked_at);
        match new {
            Some(new) if !add => RecipientChange::Replace(new),
            add => RecipientChange::Edit { remove: &self.numbers, add, generation },
        }
    }
}

/// The number of the one that `which` means.
fn find(which: &str, list: &RecipientList) -> Result<usize, Failure> {
    if let Ok(number) = which.parse::<usize>() {
        let is_of_another = |listed: &ListedRecipient| {
            listed.number != number && matches!(&listed.kind, RecipientKind::External(name) if name == which)
        };
        return match list.recipients.iter().find(|listed| is_of_another(listed)) {
            None => Ok(number),
            Some(service) => Err(Failure::usage(format!(
                "{number}: that is a number of the list, and the name of a key service, number {}",
                service.number
            ))
            .advise("Give the service by its number, and another by its number with a 0 before it: 01 is the first.")),
        };
    }
    let is_meant = |listed: &&ListedRecipient| match &listed.kind {
        RecipientKind::External(name) => name == which,
        RecipientKind::Age { tag: Some(tag), .. } => cofferdam::ssh_tag(which).as_ref() == Some(tag),
        _ => listed.recipient.as_deref() == Some(which),
    };
    let mut found = list.recipients.iter().filter(is_meant);
    match (found.next(), found.next()) {
        (Some(listed), None) => Ok(listed.number),
        (Some(_), Some(_)) => Err(Failure::usage(format!("{}: more than one of them", line(which)))
            .advise("Give their numbers, as `cofferdam recipients` lists them.")),
        (None, _) => Err(Failure::usage(format!("{}: it cannot be told which of them that is", line(which))).advise(
            "Give the number, as `cofferdam recipients` lists them. A stream does not say whose an age recipient is; that is known \
             where its identity is given with -i.",
        )),
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    file: Name,
    generation: u64,
    slots: usize,
    room_bytes: usize,
    removed: Vec<RecipientRecord>,
}

/// A copy is a file: what goes to a pipe is re-wrapped where it arrives.
fn a_file(name: &str) -> Result<PathBuf, String> {
    match name {
        "-" => Err("the copy is a file; ./- is one of that name".to_owned()),
        name => Ok(PathBuf::from(name)),
    }
}

const LIST_AGAIN: &str = "List who can open it again: the numbers may be others'.";

const AFTER_HELP: &str = "\
Examples:
  cofferdam rewrap -i old.txt -r age1… db.cfd          from the old identity to a new recipient
  cofferdam rewrap -p --new-passphrase db.cfd          another passphrase
  cofferdam rewrap -i key.txt -R all.txt -o new.cfd db.cfd   a copy, with room for more keys
  cofferdam rewrap --list db.cfd                       who can open it
  cofferdam rewrap -i key.txt --add -r age1… db.cfd    one more
  cofferdam rewrap -i key.txt --remove 2 --generation 1 db.cfd   without the second of that list

Exit codes: 0 done, 1 reading or writing failed (the stream still opens), 2 usage, 3 damaged, 4 no key \
opens it, 5 truncated, 6 NEW exists, 7 a limit is exceeded or a feature is not supported, 9 another process re-wraps it, \
10 NEW may not be durable, 11 no Cofferdam stream, 12 re-wrapped since it was listed, 130 interrupted (an old or a new identity opens it).";
