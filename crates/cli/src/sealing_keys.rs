//! From options to those whom a stream is sealed for.
//! It reads files and asks for passphrases; it makes no key.

use std::path::Path;

use cofferdam::{CancelToken, KeyError, Recipients};

use crate::credential::KeyPlace;
use crate::failure::Failure;
use crate::key_args::{parse_wrapping_key, refuse_text};
use crate::key_command::{KeyCommand, ProgramArgs};
use crate::key_file::{KeyFile, PASSPHRASE_FILE, RECIPIENTS};
use crate::named_files::NamedFiles;
use crate::passphrase;
use crate::program::Limits;
use crate::terminal::Terminal;

/// Options that say who a new stream is for.
#[derive(clap::Args)]
#[command(next_help_heading = "Who can open the stream (any one of them can)")]
pub(crate) struct SealingKeys {
    /// A recipient: age1…, a plugin's, or an SSH public key; may be given more than once
    ///
    /// Without any option that says who can open the stream, the files that COFFERDAM_RECIPIENTS and
    /// COFFERDAM_PASSPHRASE_FILE name are taken, where those are set.
    #[arg(short, long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,

    /// A file of recipients, one a line; - for standard input; may be given more than once
    ///
    /// credential:NAME is a file that systemd gives to a service; the same with the other options that name a file of keys, and in the
    /// variables. A file of that name is ./credential:NAME.
    #[arg(short = 'R', long = "recipients-file", value_name = "FILE")]
    recipients_files: Vec<KeyPlace>,

    /// Ask for a new passphrase on the terminal, twice
    #[arg(short, long)]
    passphrase: bool,

    /// Take a passphrase from the first line of FILE; - is standard input, /dev/fd/N a descriptor
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    passphrase_file: Option<KeyPlace>,

    /// A key file of 32 bytes, as `keygen --key-file` makes it; - for standard input; may be given more than once
    #[arg(long = "key-file", value_name = "FILE")]
    key_files: Vec<KeyPlace>,

    /// Have PROGRAM wrap the stream's key, for whoever has the same program to open it with; may be given more than once
    ///
    /// It finds the key, 32 bytes, in standard input, and prints at most 4096 bytes, which the stream keeps under NAME. COFFERDAM_PURPOSE is
    /// `wrap`, COFFERDAM_KEY_NAME the name, and COFFERDAM_STREAM_ID the stream's id in hexadecimal digits. PROGRAM is words with spaces between
    /// them, the first one a path or a name in PATH; no shell reads it. It has no terminal.
    #[arg(long = "key-command", value_name = "NAME=PROGRAM", value_parser = KeyCommand::parse)]
    key_commands: Vec<KeyCommand>,

    #[command(flatten)]
    programs: ProgramArgs,
}

/// Options that say who can open a stream from now on.
#[derive(clap::Args)]
#[command(next_help_heading = "Who can open the stream from now on (any one of them can)")]
pub(crate) struct NewKeys {
    /// A recipient: age1…, a plugin's, or an SSH public key; may be given more than once
    ///
    /// Without any option that says who can open the stream from now on, the file that COFFERDAM_RECIPIENTS names is taken,
    /// where that is set.
    #[arg(short, long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,

    /// A file of recipients, one a line; - for standard input; may be given more than once
    ///
    /// credential:NAME is a file that systemd gives to a service; the same with the other options that name a file of keys, and in the
    /// variables. A file of that name is ./credential:NAME.
    #[arg(short = 'R', long = "recipients-file", value_name = "FILE")]
    recipients_files: Vec<KeyPlace>,

    /// Ask for a new passphrase on the terminal, twice
    #[arg(long)]
    new_passphrase: bool,

    /// Take the new passphrase from the first line of FILE; - is standard input, /dev/fd/N a descriptor
    #[arg(long, value_name = "FILE", conflicts_with = "new_passphrase")]
    new_passphrase_file: Option<KeyPlace>,

    /// A new key file of 32 bytes, as `keygen --key-file` makes it; - for standard input; may be given more than once
    #[arg(long = "new-key-file", value_name = "FILE")]
    new_key_files: Vec<KeyPlace>,

    /// Have PROGRAM wrap the key, as --key-command of `seal` does; may be given more than once
    #[arg(long = "new-key-command", value_name = "NAME=PROGRAM", value_parser = KeyCommand::parse)]
    new_key_commands: Vec<KeyCommand>,
}

/// Who a stream will be for, wherever that was said.
struct SealingFiles<'a> {
    recipients: &'a [String],
    lists: Vec<KeyFile>,
    key_files: Vec<KeyFile>,
    key_commands: &'a [KeyCommand],
    passphrase: Option<NewPassphrase>,
}

enum NewPassphrase {
    Asked,
    In(KeyFile),
}

impl NewKeys {
    /// Whether an option says who can open the stream from now on.
    pub(crate) fn is_given(&self) -> bool {
        self.of_options().is_given()
    }

    /// Notes the files that will be read.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        self.files().name(files)
    }

    /// Reads all of them; at least one has to be given. Programs are run as `limits` say, and ended once `cancel` is cancelled.
    pub(crate) fn recipients(&self, limits: &Limits, cancel: &CancelToken) -> Result<Recipients, Failure> {
        self.files().read(limits, cancel)
    }

    fn files(&self) -> SealingFiles<'_> {
        self.of_options().or_else(|| (KeyFile::of_environment(RECIPIENTS), None))
    }

    fn of_options(&self) -> SealingFiles<'_> {
        let file = KeyFile::all("--new-passphrase-file", &self.new_passphrase_file).pop();
        SealingFiles {
            recipients: &self.recipients,
            lists: KeyFile::all("--recipients-file", &self.recipients_files),
            key_files: KeyFile::all("--new-key-file", &self.new_key_files),
            key_commands: &self.new_key_commands,
            passphrase: NewPassphrase::of(file, self.new_passphrase),
        }
    }
}

impl SealingKeys {
    /// Notes the files that will be read.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        self.files().name(files)
    }

    /// Reads all of them; at least one has to be given. Programs are ended once `cancel` is cancelled.
    pub(crate) fn recipients(&self, cancel: &CancelToken) -> Result<Recipients, Failure> {
        self.files().read(&self.programs.limits(), cancel)
    }

    fn files(&self) -> SealingFiles<'_> {
        let file = KeyFile::all("--passphrase-file", &self.passphrase_file).pop();
        SealingFiles {
            recipients: &self.recipients,
            lists: KeyFile::all("--recipients-file", &self.recipients_files),
            key_files: KeyFile::all("--key-file", &self.key_files),
            key_commands: &self.key_commands,
            passphrase: NewPassphrase::of(file, self.passphrase),
        }
        .or_else(|| (KeyFile::of_environment(RECIPIENTS), KeyFile::of_environment(PASSPHRASE_FILE)))
    }
}

impl NewPassphrase {
    fn of(file: Option<KeyFile>, is_asked: bool) -> Option<NewPassphrase> {
        match file {
            Some(file) => Some(NewPassphrase::In(file)),
            None => is_asked.then_some(NewPassphrase::Asked),
        }
    }

    fn file(&self) -> Option<&KeyFile> {
        match self {
            NewPassphrase::Asked => None,
            NewPassphrase::In(file) => Some(file),
        }
    }
}

impl SealingFiles<'_> {
    /// Where no option says anything, a list and a passphrase of the environment's. Whoever says who can open the stream
    /// means these and nobody else.
    fn or_else(self, environment: impl FnOnce() -> (Option<KeyFile>, Option<KeyFile>)) -> Self {
        if self.is_given() {
            return self;
        }
        let (list, passphrase) = environment();
        Self { lists: list.into_iter().collect(), passphrase: passphrase.map(NewPassphrase::In), ..self }
    }

    fn is_given(&self) -> bool {
        let Self { recipients, lists, key_files, key_commands, passphrase } = self;
        !recipients.is_empty()
            || !lists.is_empty()
            || !key_files.is_empty()
            || !key_commands.is_empty()
            || passphrase.is_some()
    }

    fn name(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        let passphrase = self.passphrase.as_ref().and_then(NewPassphrase::file);
        files.reads_all(self.lists.iter().chain(&self.key_files).chain(passphrase))
    }

    /// Reads all of them; at least one has to be given.
    fn read(&self, limits: &Limits, cancel: &CancelToken) -> Result<Recipients, Failure> {
        let mut recipients = Recipients::new();
        for text in self.recipients {
            recipients = recipients.parse_with(text, Terminal).map_err(|error| no_recipient(text, error))?;
        }
        for file in &self.lists {
            recipients = with_recipients_file(recipients, file)?;
        }
        for file in &self.key_files {
            let content = file.read()?;
            refuse_text(file, &content)?;
            recipients = recipients.wrapping_key(parse_wrapping_key(file, &content)?);
        }
        recipients = KeyCommand::sealing(self.key_commands, recipients, limits, cancel)?;
        let passphrase = match &self.passphrase {
            Some(NewPassphrase::In(file)) => Some(passphrase::from_file(file)?),
            Some(NewPassphrase::Asked) => Some(passphrase::ask_new()?),
            None => None,
        };
        if let Some(passphrase) = passphrase {
            recipients = recipients.passphrase(passphrase)?;
        }
        if recipients.is_empty() {
            return Err(Failure::usage("nobody was given who could open the stream").advise(
                "Give a recipient with -r or -R, a passphrase, a key file, or a key command; or name a file of recipients in \
                 COFFERDAM_RECIPIENTS.",
            ));
        }
        Ok(recipients)
    }
}

/// A text that names no recipient may name a file that does.
fn no_recipient(text: &str, error: KeyError) -> Failure {
    let failure = Failure::keys(shown(text), error);
    match Path::new(text).is_file() {
        true => failure.advise("This is a file: -R takes recipients from a file."),
        false => failure,
    }
}

/// A recipient in a message. An identity given by mistake is a secret, and is not repeated.
fn shown(text: &str) -> &str {
    if text.trim_start().to_ascii_uppercase().starts_with("AGE-") { "-r" } else { text }
}

fn with_recipients_file(recipients: Recipients, file: &KeyFile) -> Result<Recipients, Failure> {
    let content = file.read()?;
    let text = passphrase::text_of(file, &content)?;
    recipients.recipients_file_with(text, Terminal).map_err(|error| Failure::keys(file, error))
}
