//! From options to keys that open a stream.
//! It reads key files and asks for passphrases; it makes no key.

use cofferdam::peer::PresharedKey;
use cofferdam::{CancelToken, Identities, WrappingKey};

use crate::credential::KeyPlace;
use crate::failure::Failure;
use crate::key_command::{KeyCommand, ProgramArgs, with_printed_identities};
use crate::key_file::{IDENTITY, KeyFile, PASSPHRASE_FILE};
use crate::named_files::NamedFiles;
use crate::passphrase;
use crate::program::{Limits, Program};
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

    /// Have PROGRAM unwrap the key that the stream has under NAME: 32 bytes; may be given more than once
    ///
    /// It finds the wrapped key in standard input and prints the key. COFFERDAM_PURPOSE is `unwrap`, COFFERDAM_KEY_NAME the name, and
    /// COFFERDAM_STREAM_ID the stream's id in hexadecimal digits. PROGRAM is words with spaces between them, the first one a path or a name in
    /// PATH; no shell reads it. It has no terminal.
    #[arg(long = "key-command", value_name = "NAME=PROGRAM", value_parser = KeyCommand::parse)]
    key_commands: Vec<KeyCommand>,

    /// Have PROGRAM print identities, as a file of -i has them; may be given more than once
    ///
    /// PROGRAM is words with spaces between them, as in `pass show backup`; no shell reads it. COFFERDAM_PURPOSE is `identities`.
    #[arg(long = "identity-command", value_name = "PROGRAM", value_parser = Program::parse)]
    identity_commands: Vec<Program>,

    #[command(flatten)]
    programs: ProgramArgs,
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
        OpeningKeys {
            identities,
            passphrase: false,
            passphrase_file,
            key_files,
            key_commands: Vec::new(),
            identity_commands: Vec::new(),
            programs: ProgramArgs::default(),
        }
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
        self.passphrase
            || passphrase.is_some()
            || !identities.is_empty()
            || !key_files.is_empty()
            || self.has_commands()
    }

    /// One of the options, if any is given, whatever the environment names.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--identity", !self.identities.is_empty()),
            ("--passphrase", self.passphrase),
            ("--passphrase-file", self.passphrase_file.is_some()),
            ("--key-file", !self.key_files.is_empty()),
            ("--key-command", !self.key_commands.is_empty()),
            ("--identity-command", !self.identity_commands.is_empty()),
        ];
        let given = given.into_iter().find(|(_, is_given)| *is_given).map(|(option, _)| option);
        given.or_else(|| self.programs.first_given())
    }

    /// How programs are run.
    pub(crate) fn limits(&self) -> Limits {
        self.programs.limits()
    }

    /// Reads all of them; `None` if none was given. Programs are ended once `cancel` is cancelled, those too that are asked later.
    pub(crate) fn identities(
        &self,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Option<Identities>, Failure> {
        let (files, limits) = (self.files(), self.limits());
        let mut identities = with_identity_files(Identities::new(), &files.identities)?;
        for program in &self.identity_commands {
            identities = with_printed_identities(program, identities, &limits, cancel)?;
        }
        identities = KeyCommand::opening(&self.key_commands, identities, &limits, cancel)?;
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
    pub(crate) fn some_identities(
        &self,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Identities, Failure> {
        some_of(self.identities(cancel, report)?)
    }

    /// What the options say or, where they say nothing, the environment. One option is enough for that: whoever names a key
    /// means that one.
    fn files(&self) -> OpeningFiles {
        let is_given = self.passphrase
            || self.passphrase_file.is_some()
            || !self.identities.is_empty()
            || !self.key_files.is_empty()
            || self.has_commands();
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

    fn has_commands(&self) -> bool {
        !self.key_commands.is_empty() || !self.identity_commands.is_empty()
    }
}

/// Refuses to open with nothing.
pub(crate) fn some_of(identities: Option<Identities>) -> Result<Identities, Failure> {
    identities.ok_or_else(|| {
        Failure::usage("nothing was given that could open the stream").advise(
            "Give an identity with -i, a passphrase with -p, a key with --key-file, or a program that has one with --key-command; or \
             name an identity file in COFFERDAM_IDENTITY.",
        )
    })
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
pub(crate) fn refuse_text(file: &KeyFile, content: &[u8]) -> Result<(), Failure> {
    if WrappingKey::is_text(content) {
        return Err(Failure::usage(format!("{file}: {TEXT_KEY}")).advise(
            "Make a key file with `cofferdam keygen --key-file`; a passphrase goes with -p or --passphrase-file.",
        ));
    }
    Ok(())
}

pub(crate) fn parse_wrapping_key(file: &KeyFile, content: &[u8]) -> Result<WrappingKey, Failure> {
    WrappingKey::parse(content).map_err(|error| Failure::keys(file, error))
}

const TEXT_KEY: &str = "its 32 bytes are text, which is easier to guess than a key of 32 random bytes";
