//! From options to keys: who a stream is sealed for, and what opens it.
//! It reads key files and asks for passphrases; it makes no key.

use std::path::Path;

use cofferdam::peer::PresharedKey;
use cofferdam::{Identities, KeyError, Recipients, WrappingKey};

use crate::credential::KeyPlace;
use crate::failure::Failure;
use crate::key_file::{IDENTITY, KeyFile, PASSPHRASE_FILE, RECIPIENTS};
use crate::named_files::NamedFiles;
use crate::passphrase;
use crate::report::Report;
use crate::terminal::Terminal;

/// Options that open a stream.
#[derive(clap::Args)]
#[command(next_help_heading = "What opens the stream")]
pub(crate) struct OpeningKeys {
    /// An age identity file, or an SSH private key; - for standard input; may be given more than once
    ///
    /// credential:NAME is a file that systemd gives to a service, by LoadCredentialEncrypted= or LoadCredential= in its unit; the same with
    /// --key-file and --passphrase-file, and in the variables below. A file of that name is ./credential:NAME.
    ///
    /// Without any option that opens the stream, the files that COFFERDAM_IDENTITY and COFFERDAM_PASSPHRASE_FILE name are
    /// taken, where those are set.
    #[arg(short, long = "identity", value_name = "FILE")]
    identities: Vec<KeyPlace>,

    /// Ask for the passphrase on the terminal
    #[arg(short, long)]
    passphrase: bool,

    /// Take the passphrase from the first line of FILE; - is standard input, /dev/fd/N a descriptor
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    passphrase_file: Option<KeyPlace>,

    /// A key file of 32 bytes, as 64 hexadecimal digits or raw; - for standard input; may be given more than once
    #[arg(long = "key-file", value_name = "FILE")]
    key_files: Vec<KeyPlace>,
}

/// What opens a stream, wherever it was named.
struct OpeningFiles {
    identities: Vec<KeyFile>,
    key_files: Vec<KeyFile>,
    passphrase: Option<KeyFile>,
}

impl OpeningKeys {
    /// Those that a file of the operator's names, and nobody is asked for.
    pub(crate) fn of_files(
        identities: Vec<KeyPlace>,
        key_files: Vec<KeyPlace>,
        passphrase_file: Option<KeyPlace>,
    ) -> OpeningKeys {
        OpeningKeys { identities, passphrase: false, passphrase_file, key_files }
    }

    /// Notes the files that will be read.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        let OpeningFiles { identities, key_files, passphrase } = self.files();
        files.reads_all(identities.iter().chain(&key_files).chain(&passphrase))
    }

    /// Refuses a file that might never answer.
    pub(crate) fn refuse_pipes(&self) -> Result<(), Failure> {
        let OpeningFiles { identities, key_files, passphrase } = self.files();
        let is_pipe = |key: &&KeyFile| key.place.end().is_ok_and(|end| end.is_pipe());
        let pipe = identities.iter().chain(&key_files).chain(&passphrase).find(is_pipe);
        pipe.map_or(Ok(()), |pipe| {
            Err(Failure::usage(format!("{pipe} is a pipe: a drill is repeated")).advise("Name a file."))
        })
    }

    /// Whether there is anything that could open a stream.
    pub(crate) fn is_given(&self) -> bool {
        let OpeningFiles { identities, key_files, passphrase } = self.files();
        self.passphrase || passphrase.is_some() || !identities.is_empty() || !key_files.is_empty()
    }

    /// Reads all of them; `None` if none was given.
    pub(crate) fn identities(&self, report: Report) -> Result<Option<Identities>, Failure> {
        let files = self.files();
        let mut identities = with_identity_files(Identities::new(), &files.identities)?;
        for file in &files.key_files {
            identities = identities.wrapping_key(wrapping_key(file, report)?);
        }
        if let Some(file) = &files.passphrase {
            identities = identities.passphrase(passphrase::from_file(file)?);
        }
        if self.passphrase {
            passphrase::check_terminal()?;
            identities = identities.ask_passphrase(passphrase::ask);
        }
        Ok((!identities.is_empty()).then_some(identities))
    }

    /// Reads all of them.
    pub(crate) fn some_identities(&self, report: Report) -> Result<Identities, Failure> {
        some_of(self.identities(report)?)
    }

    /// What the options say or, where they say nothing, the environment. One option is enough for that: whoever names a key
    /// means that one.
    fn files(&self) -> OpeningFiles {
        let is_given = self.passphrase
            || self.passphrase_file.is_some()
            || !self.identities.is_empty()
            || !self.key_files.is_empty();
        if !is_given {
            return OpeningFiles {
                identities: KeyFile::of_environment(IDENTITY).into_iter().collect(),
                key_files: Vec::new(),
                passphrase: KeyFile::of_environment(PASSPHRASE_FILE),
            };
        }
        OpeningFiles {
            identities: KeyFile::all("--identity", &self.identities),
            key_files: KeyFile::all("--key-file", &self.key_files),
            passphrase: KeyFile::all("--passphrase-file", &self.passphrase_file).pop(),
        }
    }
}

/// Refuses to open with nothing.
pub(crate) fn some_of(identities: Option<Identities>) -> Result<Identities, Failure> {
    identities.ok_or_else(|| {
        Failure::usage("nothing was given that could open the stream").advise(
            "Give an identity with -i, a passphrase with -p, or a key with --key-file; or name an identity file in \
             COFFERDAM_IDENTITY.",
        )
    })
}

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
}

/// Who a stream will be for, wherever that was said.
struct SealingFiles<'a> {
    recipients: &'a [String],
    lists: Vec<KeyFile>,
    key_files: Vec<KeyFile>,
    passphrase: Option<NewPassphrase>,
}

enum NewPassphrase {
    Asked,
    In(KeyFile),
}

impl NewKeys {
    /// Notes the files that will be read.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        self.files().name(files)
    }

    /// Reads all of them; at least one has to be given.
    pub(crate) fn recipients(&self) -> Result<Recipients, Failure> {
        self.files().read()
    }

    fn files(&self) -> SealingFiles<'_> {
        let file = KeyFile::all("--new-passphrase-file", &self.new_passphrase_file).pop();
        SealingFiles {
            recipients: &self.recipients,
            lists: KeyFile::all("--recipients-file", &self.recipients_files),
            key_files: KeyFile::all("--new-key-file", &self.new_key_files),
            passphrase: NewPassphrase::of(file, self.new_passphrase),
        }
        .or_else(|| (KeyFile::of_environment(RECIPIENTS), None))
    }
}

impl SealingKeys {
    /// Notes the files that will be read.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        self.files().name(files)
    }

    /// Reads all of them; at least one has to be given.
    pub(crate) fn recipients(&self) -> Result<Recipients, Failure> {
        self.files().read()
    }

    fn files(&self) -> SealingFiles<'_> {
        let file = KeyFile::all("--passphrase-file", &self.passphrase_file).pop();
        SealingFiles {
            recipients: &self.recipients,
            lists: KeyFile::all("--recipients-file", &self.recipients_files),
            key_files: KeyFile::all("--key-file", &self.key_files),
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
        let Self { recipients, lists, key_files, passphrase } = &self;
        let is_given =
            !recipients.is_empty() || !lists.is_empty() || !key_files.is_empty() || passphrase.is_some();
        if is_given {
            return self;
        }
        let (list, passphrase) = environment();
        Self { lists: list.into_iter().collect(), passphrase: passphrase.map(NewPassphrase::In), ..self }
    }

    fn name(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        let passphrase = self.passphrase.as_ref().and_then(NewPassphrase::file);
        files.reads_all(self.lists.iter().chain(&self.key_files).chain(passphrase))
    }

    /// Reads all of them; at least one has to be given.
    fn read(&self) -> Result<Recipients, Failure> {
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
                "Give a recipient with -r or -R, a passphrase, or a key file; or name a file of recipients in \
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

fn with_identity_files(mut identities: Identities, files: &[KeyFile]) -> Result<Identities, Failure> {
    for file in files {
        let content = file.read()?;
        identities = identities
            .identity_file_with(content.as_slice(), Terminal)
            .map_err(|error| Failure::keys(file, error))?;
    }
    Ok(identities)
}

fn with_recipients_file(recipients: Recipients, file: &KeyFile) -> Result<Recipients, Failure> {
    let content = file.read()?;
    let text = passphrase::text_of(file, &content)?;
    recipients.recipients_file_with(text, Terminal).map_err(|error| Failure::keys(file, error))
}

/// The key of a connection, from a key file.
pub(crate) fn preshared_key(file: &KeyFile) -> Result<PresharedKey, Failure> {
    let content = file.read()?;
    refuse_text(file, &content)?;
    cofferdam::peer::preshared_key(&content).map_err(|error| Failure::keys(file, error))
}

/// A key that opens what is sealed already, however weak it is.
fn wrapping_key(file: &KeyFile, report: Report) -> Result<WrappingKey, Failure> {
    let content = file.read()?;
    if WrappingKey::is_text(&content) {
        report.warning(format!("{file}: {TEXT_KEY}; seal nothing more with it"));
    }
    parse_wrapping_key(file, &content)
}

/// No new stream is put under a key that can be guessed.
fn refuse_text(file: &KeyFile, content: &[u8]) -> Result<(), Failure> {
    if WrappingKey::is_text(content) {
        return Err(Failure::usage(format!("{file}: {TEXT_KEY}")).advise(
            "Make a key file with `cofferdam keygen --key-file`; a passphrase goes with -p or --passphrase-file.",
        ));
    }
    Ok(())
}

fn parse_wrapping_key(file: &KeyFile, content: &[u8]) -> Result<WrappingKey, Failure> {
    WrappingKey::parse(content).map_err(|error| Failure::keys(file, error))
}

const TEXT_KEY: &str = "its 32 bytes are text, which is easier to guess than a key of 32 random bytes";
