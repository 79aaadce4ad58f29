//! A file of keys, recipients or a passphrase, and what named it: an option, or the environment.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::Read;

use cofferdam::Zeroizing;

use crate::credential::{self, KeyPlace};
use crate::failure::Failure;
use crate::io_arg::End;
use crate::size::Size;
use crate::standard::Standard;

/// A file that is read whole, or standard input.
pub(crate) struct KeyFile {
    pub(crate) place: KeyPlace,
    /// The option or the variable.
    pub(crate) named_by: &'static str,
}

impl KeyFile {
    /// The files that were given with an option.
    pub(crate) fn all<'a>(
        named_by: &'static str,
        places: impl IntoIterator<Item = &'a KeyPlace>,
    ) -> Vec<KeyFile> {
        places.into_iter().map(|place| KeyFile { place: place.clone(), named_by }).collect()
    }

    /// The file that `variable` names. A variable that is empty is as good as none.
    pub(crate) fn of_environment(variable: &'static str) -> Option<KeyFile> {
        let name = env::var_os(variable).filter(|name| !name.is_empty())?;
        Some(KeyFile { place: KeyPlace::from(name), named_by: variable })
    }

    /// All of it, in memory that is zeroed afterwards: it may hold secrets.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let failed = |error| Failure::io(format!("{} could not be read", self.name()), error);
        let file = match self.end()? {
            End::Standard => File::from(Standard::Input.open()?),
            End::Path(path) => File::open(path).map_err(failed)?,
        };
        // The capacity is never outgrown: a vector that grows leaves copies of its content behind.
        let mut content = Zeroizing::new(Vec::with_capacity(LEN_MAX + 1));
        file.take(LEN_MAX as u64 + 1).read_to_end(&mut content).map_err(failed)?;
        if content.len() > LEN_MAX {
            return Err(Failure::usage(format!("{self} is longer than {}", Size(LEN_MAX as u64)))
                .advise("Is it the right file?"));
        }
        Ok(content)
    }

    /// What is opened. A credential that is not there is a failure as that of any other file.
    fn end(&self) -> Result<End, Failure> {
        self.place.end().map_err(|missing| {
            Failure::usage(format!("{}: {missing}", self.name())).advise(credential::ADVICE)
        })
    }

    /// The path, for messages; not where a secret was given in place of the file that holds it.
    fn name(&self) -> String {
        let name = self.to_string();
        let bare = name.strip_prefix("credential:").unwrap_or(&name);
        let is_identity = bare.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-");
        let is_key = bare.len() == 64 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_identity || is_key {
            true => {
                "a file whose name is itself a secret key (give the name of a file that holds it)".to_owned()
            }
            false if self.named_by.starts_with('-') => name,
            false => format!("{name} (named by {})", self.named_by),
        }
    }
}

impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            KeyPlace::At(End::Standard) => f.write_str("standard input"),
            place => place.fmt(f),
        }
    }
}

/// The variable that names an identity file: `-i` of whoever opens.
pub(crate) const IDENTITY: &str = "COFFERDAM_IDENTITY";
/// The variable that names a file of recipients: `-R` of whoever seals.
pub(crate) const RECIPIENTS: &str = "COFFERDAM_RECIPIENTS";
/// The variable that names a file with a passphrase: `--passphrase-file` of either.
pub(crate) const PASSPHRASE_FILE: &str = "COFFERDAM_PASSPHRASE_FILE";
/// The variable that names the file of a plan's key: `--plan-key` of a restore by many processes.
pub(crate) const PLAN_KEY: &str = "COFFERDAM_PLAN_KEY";
/// Bytes of a key file, an identity file, a recipients file, or a file with a passphrase.
const LEN_MAX: usize = 256 * 1024;
