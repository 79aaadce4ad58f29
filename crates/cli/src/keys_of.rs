//! From options to keys: who a stream is sealed for, and what opens it.
//! It reads key files and asks for passphrases; it makes no key.

use std::path::{Path, PathBuf};

use cofferdam::peer::PresharedKey;
use cofferdam::{Identities, KeyError, Recipients, WrappingKey};

use crate::failure::Failure;
use crate::passphrase;
use crate::report::Report;
use crate::terminal::Terminal;

/// Options that open a stream.
#[derive(clap::Args)]
#[command(next_help_heading = "What opens the stream")]
pub(crate) struct OpeningKeys {
    /// An age identity file, or an SSH private key; may be given more than once
    #[arg(short, long = "identity", value_name = "FILE")]
    identities: Vec<PathBuf>,

    /// Ask for the passphrase on the terminal
    #[arg(short, long)]
    passphrase: bool,

    /// Take the passphrase from the first line of FILE; /dev/fd/N names a descriptor
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    passphrase_file: Option<PathBuf>,

    /// A key file of 32 bytes, as 64 hexadecimal digits or raw; may be given more than once
    #[arg(long = "key-file", value_name = "FILE")]
    key_files: Vec<PathBuf>,
}

impl OpeningKeys {
    /// Reads all of them; `None` if none was given.
    pub(crate) fn identities(&self, report: Report) -> Result<Option<Identities>, Failure> {
        let mut identities = with_identity_files(Identities::new(), &self.identities)?;
        for path in &self.key_files {
            identities = identities.wrapping_key(wrapping_key(path, report)?);
        }
        if let Some(path) = &self.passphrase_file {
            identities = identities.passphrase(passphrase::from_file(path)?);
        }
        if self.passphrase {
            passphrase::check_terminal()?;
            identities = identities.ask_passphrase(passphrase::ask);
        }
        Ok((!identities.is_empty()).then_some(identities))
    }

    /// Reads all of them.
    pub(crate) fn some_identities(&self, report: Report) -> Result<Identities, Failure> {
        self.identities(report)?.ok_or_else(|| {
            Failure::usage("nothing was given that could open the stream")
                .advise("Give an identity with -i, a passphrase with -p, or a key with --key-file.")
        })
    }
}

/// Options that say who a new stream is for.
#[derive(clap::Args)]
#[command(next_help_heading = "Who can open the stream (any one of them can)")]
pub(crate) struct SealingKeys {
    /// A recipient: age1…, a plugin's, or an SSH public key; may be given more than once
    #[arg(short, long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,

    /// A file of recipients, one a line; may be given more than once
    #[arg(short = 'R', long = "recipients-file", value_name = "FILE")]
    recipients_files: Vec<PathBuf>,

    /// Ask for a new passphrase on the terminal, twice
    #[arg(short, long)]
    passphrase: bool,

    /// Take a passphrase from the first line of FILE; /dev/fd/N names a descriptor
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    passphrase_file: Option<PathBuf>,

    /// A key file of 32 bytes, as `keygen --key-file` makes it; may be given more than once
    #[arg(long = "key-file", value_name = "FILE")]
    key_files: Vec<PathBuf>,
}

/// Options that say who can open a stream from now on.
#[derive(clap::Args)]
#[command(next_help_heading = "Who can open the stream from now on (any one of them can)")]
pub(crate) struct NewKeys {
    /// A recipient: age1…, a plugin's, or an SSH public key; may be given more than once
    #[arg(short, long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,

    /// A file of recipients, one a line; may be given more than once
    #[arg(short = 'R', long = "recipients-file", value_name = "FILE")]
    recipients_files: Vec<PathBuf>,

    /// Ask for a new passphrase on the terminal, twice
    #[arg(long)]
    new_passphrase: bool,

    /// Take the new passphrase from the first line of FILE; /dev/fd/N names a descriptor
    #[arg(long, value_name = "FILE", conflicts_with = "new_passphrase")]
    new_passphrase_file: Option<PathBuf>,

    /// A new key file of 32 bytes, as `keygen --key-file` makes it; may be given more than once
    #[arg(long = "new-key-file", value_name = "FILE")]
    new_key_files: Vec<PathBuf>,
}

impl NewKeys {
    pub(crate) fn recipients(self) -> Result<Recipients, Failure> {
        let keys = SealingKeys {
            recipients: self.recipients,
            recipients_files: self.recipients_files,
            passphrase: self.new_passphrase,
            passphrase_file: self.new_passphrase_file,
            key_files: self.new_key_files,
        };
        keys.recipients()
    }
}

impl SealingKeys {
    /// Reads all of them; at least one has to be given.
    pub(crate) fn recipients(&self) -> Result<Recipients, Failure> {
        self.both(&[]).map(|(recipients, _)| recipients)
    }

    /// As [`SealingKeys::recipients`], with what opens a stream that was sealed for them before: the same passphrase and
    /// key files, and `identities` from files of their own.
    pub(crate) fn both(&self, identities: &[PathBuf]) -> Result<(Recipients, Identities), Failure> {
        let mut recipients = Recipients::new();
        let mut opening = with_identity_files(Identities::new(), identities)?;
        for text in &self.recipients {
            recipients = recipients.parse_with(text, Terminal).map_err(|error| no_recipient(text, error))?;
        }
        for path in &self.recipients_files {
            recipients = with_recipients_file(recipients, path)?;
        }
        for path in &self.key_files {
            // Read once: it may be a descriptor that gives its bytes once.
            let content = passphrase::read_secret(path)?;
            refuse_text(path, &content)?;
            recipients = recipients.wrapping_key(parse_wrapping_key(path, &content)?);
            opening = opening.wrapping_key(parse_wrapping_key(path, &content)?);
        }
        let passphrase = match &self.passphrase_file {
            Some(path) => Some(passphrase::from_file(path)?),
            None if self.passphrase => Some(passphrase::ask_new()?),
            None => None,
        };
        if let Some(passphrase) = passphrase {
            recipients = recipients.passphrase(passphrase.clone())?;
            opening = opening.passphrase(passphrase);
        }
        if recipients.is_empty() {
            return Err(Failure::usage("nobody was given who could open the stream")
                .advise("Give a recipient with -r or -R, a passphrase, or a key file."));
        }
        Ok((recipients, opening))
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

fn with_identity_files(mut identities: Identities, paths: &[PathBuf]) -> Result<Identities, Failure> {
    for path in paths {
        let content = passphrase::read_secret(path)?;
        identities = identities
            .identity_file_with(content.as_slice(), Terminal)
            .map_err(|error| Failure::keys(path.display(), error))?;
    }
    Ok(identities)
}

fn with_recipients_file(recipients: Recipients, path: &Path) -> Result<Recipients, Failure> {
    let content = passphrase::read_secret(path)?;
    let text = passphrase::text_of(path.display(), &content)?;
    recipients.recipients_file_with(text, Terminal).map_err(|error| Failure::keys(path.display(), error))
}

/// The key of a connection, from a key file.
pub(crate) fn preshared_key(path: &Path) -> Result<PresharedKey, Failure> {
    let content = passphrase::read_secret(path)?;
    refuse_text(path, &content)?;
    cofferdam::peer::preshared_key(&content).map_err(|error| Failure::keys(path.display(), error))
}

/// A key that opens what is sealed already, however weak it is.
fn wrapping_key(path: &Path, report: Report) -> Result<WrappingKey, Failure> {
    let content = passphrase::read_secret(path)?;
    if WrappingKey::is_text(&content) {
        report.warning(format!("{}: {TEXT_KEY}; seal nothing more with it", path.display()));
    }
    parse_wrapping_key(path, &content)
}

/// No new stream is put under a key that can be guessed.
fn refuse_text(path: &Path, content: &[u8]) -> Result<(), Failure> {
    if WrappingKey::is_text(content) {
        return Err(Failure::usage(format!("{}: {TEXT_KEY}", path.display())).advise(
            "Make a key file with `cofferdam keygen --key-file`; a passphrase goes with -p or --passphrase-file.",
        ));
    }
    Ok(())
}

fn parse_wrapping_key(path: &Path, content: &[u8]) -> Result<WrappingKey, Failure> {
    WrappingKey::parse(content).map_err(|error| Failure::keys(path.display(), error))
}

const TEXT_KEY: &str = "its 32 bytes are text, which is easier to guess than a key of 32 random bytes";
