//! Passphrases: from the terminal, or from a file or descriptor for scripts; never from an argument.
//! It knows no stream.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use cofferdam::{ErrorKind, SecretString, Zeroizing};

use crate::failure::Failure;
use crate::size::Size;
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

/// The first line of the file at `path`, without its end.
pub(crate) fn from_file(path: &Path) -> Result<SecretString, Failure> {
    let content = read_secret(path)?;
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = text_of(path.display(), line)?;
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Failure::usage(format!("{}: the first line, the passphrase, is empty", path.display())));
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

/// All of a small file that may hold secrets, in memory that is zeroed afterwards.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error| Failure::io(format!("{} could not be read", name_of(path)), error);
    let file = File::open(path).map_err(failed)?;
    // The capacity is never outgrown: a vector that grows leaves copies of its content behind.
    let mut content = Zeroizing::new(Vec::with_capacity(SECRET_LEN_MAX + 1));
    file.take(SECRET_LEN_MAX as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > SECRET_LEN_MAX {
        let problem = format!("{} is longer than {}", path.display(), Size(SECRET_LEN_MAX as u64));
        return Err(Failure::usage(problem).advise("Is it the right file?"));
    }
    Ok(content)
}

/// The path, for messages; not where a secret was given in place of the file that holds it.
fn name_of(path: &Path) -> String {
    let name = path.to_string_lossy();
    let is_identity = name.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-");
    let is_key = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_identity || is_key {
        true => "a file whose name is itself a secret key (give the name of a file that holds it)".to_owned(),
        false => name.into_owned(),
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

/// Bytes of a key file, an identity file, a recipients file, or a file with a passphrase.
const SECRET_LEN_MAX: usize = 256 * 1024;
