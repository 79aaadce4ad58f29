//! `cofferdam recipients`: who can open a stream, as far as that can be known.
//! It changes nothing; `rewrap` does.

use std::fmt::Write as _;
use std::path::Path;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{Identities, ListedRecipient, RecipientKind, RecipientList};
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt;
use crate::io_arg::{End, refuse_standard_input};
use crate::key_args::OpeningKeys;
use crate::named_files::NamedFiles;
use crate::printable::{Name, line};
use crate::report::{Channel, Report};
use crate::sealed::Sealed;
use crate::standard::Standard;
use crate::text::count;
use crate::timeout::Timeout;

/// List who can open a stream, as far as that can be known
///
/// Of age's X25519 and post-quantum recipients a stream does not say whose they are; of SSH keys it has the beginning of a hash, and of
/// what a service wraps the name. With a key the list is authenticated, and says which of them that key is. Without one it is a claim.
/// `rewrap --add` and `--remove` change the list; its generation says which list a number of it is of.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Recipients {
    /// The sealed file, or a URL: s3:, gs:, az:, http: or https:; not a pipe
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    sealed: Sealed,

    #[command(flatten)]
    keys: OpeningKeys,

    #[command(flatten)]
    timeout: Timeout,
}

impl Recipients {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        self.sealed.set_timeout(self.timeout);
        if let Sealed::Here(End::Standard) = &self.sealed {
            refuse_standard_input(Path::new("-"))?;
        }
        let mut files = NamedFiles::default();
        self.sealed.name_files(&mut files)?;
        self.keys.name_files(&mut files)?;
        print(&self.sealed, &self.keys, files, report)
    }
}

/// Prints the list of `sealed`; authenticated, where `keys` has any.
pub(crate) fn print(
    sealed: &Sealed,
    keys: &OpeningKeys,
    files: NamedFiles,
    report: Report,
) -> Result<(), Failure> {
    Standard::Output.refuse_unusable()?;
    files.check()?;
    let cancel = interrupt::install(report)?;
    let identities = keys.identities(&cancel, report)?;
    let list = list(sealed, identities.as_ref(), &cancel, report)?;
    let record = Record::new(sealed, &list);
    report.answer(Channel::Stdout, &record, record.table())
}

/// Who can open `sealed`. Warnings are said.
pub(crate) fn list(
    sealed: &Sealed,
    identities: Option<&Identities>,
    cancel: &cofferdam::CancelToken,
    report: Report,
) -> Result<RecipientList, Failure> {
    let listed = cofferdam::list_recipients(sealed.source(cancel, report)?, identities, cancel);
    let list = listed.map_err(|error| Failure::from(error).of_input(sealed))?;
    list.warnings.iter().for_each(|warning| report.warning(warning));
    Ok(list)
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: Name,
    stream_id: String,
    generation: u64,
    authentic: bool,
    recipients: Vec<RecipientRecord>,
}

/// One of them.
#[derive(Serialize)]
pub(crate) struct RecipientRecord {
    number: usize,
    #[serde(flatten)]
    kind: KindRecord,
    recipient: Option<String>,
    opens: Option<bool>,
    post_quantum: Option<bool>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum KindRecord {
    Age { stanza: String, tag: Option<String> },
    Passphrase,
    KeyFile,
    External { name: String },
    Unknown { number_of_kind: u16 },
}

impl Record {
    fn new(sealed: &Sealed, list: &RecipientList) -> Record {
        Record {
            event: "recipients",
            input: sealed.name(),
            stream_id: list.stream_id.to_string(),
            generation: list.generation,
            authentic: list.is_authentic,
            recipients: list.recipients.iter().map(RecipientRecord::new).collect(),
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let many = count(self.recipients.len() as u64, "recipient");
        let _ = writeln!(text, "{}: {many}, generation {}", self.input, self.generation);
        for record in &self.recipients {
            let mark = match (record.opens, &record.recipient) {
                (_, Some(recipient)) => format!("  {}", line(recipient)),
                (Some(true), None) => "  opens with what was given".to_owned(),
                _ => String::new(),
            };
            let _ = writeln!(text, "{:>4}  {}{mark}", record.number, record.name());
        }
        text.push_str(match self.authentic {
            true => "A key has opened the stream, and the list is authentic.",
            false => "Nothing of this has been authenticated; a key that opens the stream does that.",
        });
        text
    }
}

impl RecipientRecord {
    pub(crate) fn new(listed: &ListedRecipient) -> RecipientRecord {
        let kind = match &listed.kind {
            RecipientKind::Age { stanza, tag } => {
                KindRecord::Age { stanza: stanza.clone(), tag: tag.clone() }
            }
            RecipientKind::Passphrase => KindRecord::Passphrase,
            RecipientKind::KeyFile => KindRecord::KeyFile,
            RecipientKind::External(name) => KindRecord::External { name: name.clone() },
            RecipientKind::Unknown(number) => KindRecord::Unknown { number_of_kind: *number },
            _ => KindRecord::Unknown { number_of_kind: 0 },
        };
        RecipientRecord {
            number: listed.number,
            kind,
            recipient: listed.recipient.clone(),
            opens: listed.opens,
            post_quantum: listed.kind.is_post_quantum(),
        }
    }

    /// In words, on one line.
    pub(crate) fn name(&self) -> String {
        match &self.kind {
            KindRecord::Age { stanza, tag: None } => format!("age {}", line(stanza)),
            KindRecord::Age { stanza, tag: Some(tag) } => format!("age {} {}", line(stanza), line(tag)),
            KindRecord::Passphrase => "passphrase".to_owned(),
            KindRecord::KeyFile => "key file".to_owned(),
            KindRecord::External { name } => format!("external {}", line(name)),
            KindRecord::Unknown { number_of_kind } => format!("unknown kind {number_of_kind}"),
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam recipients db.cfd                    kinds, and whom, as far as the stream says so
  cofferdam recipients -i key.txt db.cfd         which of them is mine? Is the list authentic?
  cofferdam recipients --json s3://b/db.cfd | jq .recipients

Exit codes: 0 done, 1 reading failed, 2 usage, 3 damaged, 4 no key given opens it, 5 truncated, 7 a limit is exceeded or a feature is not \
supported, 11 no Cofferdam stream, 12 the file changed while it was read, 15 nothing has come from the store for too long, 130 interrupted.";
