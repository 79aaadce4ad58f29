//! Passphrases: from the terminal, or from a file or descriptor for scripts; never from an argument.

use std::fmt;
use std::io;

use cofferdam::{ErrorKind, SecretString};

use crate::failure::Failure;
use crate::key_file::KeyFile;
use crate::terminal;

/// Asks twice: a typing error here would lose the stream.
pub(crate) fn ask_new() -> Result<SecretString, Failure> {
    let first = terminal::ask_hidden("New passphrase: ").map_err(no_answer)?;
    if first.is_empty() {
        return Err(Failure::usage("the passphrase is empty"));
    }
    let second = terminal::ask_hidden("The same again: ").map_err(no_answer)?;
    if *first != *second {
        return Err(Failure::usage("the two passphrases differ"));
    }
    Ok(secret(&first))
}

/// Makes sure that there is a terminal to ask on, before the time comes.
pub(crate) fn check_terminal() -> Result<(), Failure> {
    terminal::check().map_err(no_answer)
}

/// Asks once. `None`: no answer came.
pub(crate) fn ask() -> Option<SecretString> {
    terminal::ask_hidden("Passphrase: ").ok().map(|answer| secret(&answer))
}

/// The first line of `file`, without its end.
pub(crate) fn from_file(file: &KeyFile) -> Result<SecretString, Failure> {
    let content = file.read()?;
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = text_of(file, line)?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Failure::usage(format!("{file}: the first line, the passphrase, is empty")));
    }
    Ok(secret(line))
}

/// The content of a file of key material as text, without the byte order mark that editors of Windows put before UTF-8.
pub(crate) fn text_of(origin: impl fmt::Display, content: &[u8]) -> Result<&str, Failure> {
    match std::str::from_utf8(content) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(_) if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") => {
            Err(Failure::usage(format!("{origin}: this is text in UTF-16; save it as UTF-8")))
        }
        Err(_) => {
            Err(Failure::usage(format!("{origin}: this is no text (in UTF-8)"))
                .advise("Is it the right file?"))
        }
    }
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

fn no_answer(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => Failure::interrupted(),
        _ => Failure::new(
            ErrorKind::Usage,
            format!("there is no terminal to ask for a passphrase on: {error}"),
        )
        .advise("Without a terminal, give it with --passphrase-file FILE; /dev/fd/N names a descriptor."),
    }
}
