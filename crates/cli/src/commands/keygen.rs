//! `cofferdam keygen`: makes an age identity, or a key file.
//! It writes a file that only its owner can read, and replaces none.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use cofferdam::{ErrorKind, Identity, TargetError, TargetKind, WrappingKey, Zeroizing, is_pipe};
use serde::Serialize;

use crate::clock;
use crate::failure::Failure;
use crate::io_arg::End;
use crate::printable::Name;
use crate::report::{Channel, Form, Report, print};
use crate::standard::Standard;
use crate::whole_file::{self, Fault};

/// Make an age identity and print its recipient, or make a key file
///
/// The identity file is one that the `age` program takes too. It is made readable by its owner alone, and never replaces a
/// file. Without -o it goes to standard output, and the recipient to standard error.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Keygen {
    /// Where the identity goes, or - for standard output [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<End>,

    /// Make a key file instead: 32 random bytes as hexadecimal digits, for seal --key-file
    #[arg(long)]
    key_file: bool,

    /// Make a post-quantum identity, ML-KEM-768 with X25519: what is sealed for it withstands a quantum computer. Its recipient has 1,959
    /// letters, and needs an age program of version 1.3 or later
    #[cfg(feature = "pq")]
    #[arg(long, conflicts_with = "key_file")]
    pq: bool,
}

impl Keygen {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        let output = match self.output.as_ref().map(End::as_output) {
            Some(End::Path(path)) => Some(path),
            Some(End::Standard) | None => None,
        };
        if output.is_none() || !self.key_file || report.form == Form::Json {
            // Before the secret is made: what cannot be printed would be lost.
            Standard::Output.refuse_unusable()?;
        }
        let (secret, recipient) = if self.key_file { key_file()? } else { self.identity()? };
        let record = Record {
            event: "keygen",
            kind: if self.key_file { "key-file" } else { "age" },
            recipient: recipient.clone(),
            file: output.as_deref().map(Name::from),
        };
        let Some(path) = &output else {
            print(secret.as_bytes())?;
            // On a terminal the recipient has just been seen, in the identity's own text.
            let is_told = report.form == Form::Human && (recipient.is_none() || io::stdout().is_terminal());
            return match (is_told, recipient) {
                (true, _) => Ok(()),
                (false, recipient) => report.answer(Channel::Stderr, &record, recipient.unwrap_or_default()),
            };
        };
        match is_pipe(path) {
            true => write_into(path, secret.as_bytes())?,
            false => write_new(path, secret.as_bytes())?,
        }
        match (report.form, recipient) {
            (Form::Human, None) => Ok(()),
            (_, recipient) => {
                let done = format!("the key is in {}", Name::from(path.as_path()));
                let answered = report.answer(Channel::Stdout, &record, recipient.unwrap_or_default());
                answered.map_err(|failure| failure.of_report(done))
            }
        }
    }
}

impl Keygen {
    fn identity(&self) -> Result<(Zeroizing<String>, Option<String>), Failure> {
        let identity = self.draw()?;
        Ok((identity.file_text(&clock::now())?, Some(identity.recipient())))
    }

    #[cfg(feature = "pq")]
    fn draw(&self) -> Result<Identity, Failure> {
        Ok(if self.pq { Identity::try_generate_post_quantum()? } else { Identity::try_generate()? })
    }

    #[cfg(not(feature = "pq"))]
    fn draw(&self) -> Result<Identity, Failure> {
        Ok(Identity::try_generate()?)
    }
}

fn key_file() -> Result<(Zeroizing<String>, Option<String>), Failure> {
    let digits = WrappingKey::generate()?.to_hex();
    let mut line = Zeroizing::new(String::with_capacity(digits.len() + 1));
    line.push_str(&digits);
    line.push('\n');
    Ok((line, None))
}

/// Hands it to whoever reads the pipe.
fn write_into(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let written = OpenOptions::new().write(true).open(path).and_then(|mut pipe| pipe.write_all(content));
    written.map_err(|error| Failure::io(format!("{} could not be written", path.display()), error))
}

/// Makes the file as a whole, durably, or not at all: a run that is killed leaves no half of a key in the next one's way, and
/// a stream sealed for a key that a power cut takes would be lost.
fn write_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let exists = || {
        Failure::new(ErrorKind::TargetExists, format!("{} exists", path.display()))
            .advise("A key is never replaced. Give another name, or remove the file yourself.")
    };
    let cannot = |what: &str, error: &dyn fmt::Display| {
        Failure::new(ErrorKind::Io, format!("{} could not be {what}: {error}", path.display()))
    };
    // One that was killed has left another key, of the same length.
    whole_file::refuse_other_leftovers(path, |kept| kept.len() == content.len())?;
    whole_file::write(path, None, content, PRIVATE).map_err(|fault| match fault {
        Fault::Refused(TargetError::Exists { .. } | TargetError::Symlink { .. }) => exists(),
        Fault::Refused(TargetError::NotAFile { kind, .. }) if kind != TargetKind::Directory => exists(),
        Fault::Refused(error) => cannot("made", &error),
        Fault::NotWritten(error) if error.kind() == io::ErrorKind::AlreadyExists => exists(),
        Fault::NotWritten(error) => cannot("written", &error),
        Fault::Unknown(error) => {
            let what = format!("{} is in place, and may not survive a power cut: {error}", path.display());
            Failure::new(ErrorKind::DurabilityUnknown, what)
                .advise("Remove it and make another once its file system works.")
        }
    })
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    kind: &'static str,
    recipient: Option<String>,
    file: Option<Name>,
}

/// A key is its owner's alone.
const PRIVATE: u32 = 0o600;

const AFTER_HELP: &str = "\
Examples:
  cofferdam keygen -o key.txt                          prints the recipient, age1…
  cofferdam keygen --pq -o key.txt                     its recipient is age1pq1…
  cofferdam keygen --key-file -o backup.key            a key for seal --key-file
  cofferdam keygen | age -p > key.age                  an identity under a passphrase

Exit codes: 0 done, 1 writing failed, 2 usage, 6 the file exists, 8 something that was interrupted is kept \
beside it, 9 another process makes it, 10 in place but its durability \
is unknown.";
