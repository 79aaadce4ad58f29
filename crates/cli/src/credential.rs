//! Where a file of keys is: at a path, in standard input, or with `credential:NAME`, which systemd gives to a service.
//! It reads one variable of the environment, and no key.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::io_arg::End;
use crate::printable::Name;

/// A place that an argument names. A file of such a name is `./credential:…`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum KeyPlace {
    At(End),
    /// A name in the service's directory of credentials, which is looked up when it is read.
    Credential(OsString),
}

impl From<OsString> for KeyPlace {
    fn from(argument: OsString) -> KeyPlace {
        match argument.as_bytes().strip_prefix(PREFIX) {
            Some(name) => KeyPlace::Credential(OsStr::from_bytes(name).to_owned()),
            None => KeyPlace::At(End::from(argument)),
        }
    }
}

impl KeyPlace {
    /// The same, where a path is relative to `directory`.
    pub(crate) fn within(self, directory: &Path) -> KeyPlace {
        match self {
            KeyPlace::At(End::Path(path)) => KeyPlace::At(End::Path(directory.join(path))),
            place => place,
        }
    }

    /// What can be opened there. The error says why a credential is none of this service.
    pub(crate) fn end(&self) -> Result<End, &'static str> {
        match self {
            KeyPlace::At(end) => Ok(end.clone()),
            KeyPlace::Credential(name) => find(name, env::var_os(DIRECTORY)).map(End::Path),
        }
    }
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyPlace::At(end) => end.fmt(f),
            KeyPlace::Credential(name) => {
                let argument = [PREFIX, name.as_bytes()].concat();
                Name::from(&*OsString::from_vec(argument)).fmt(f)
            }
        }
    }
}

/// Where the credential `name` is, of those in `directory`.
fn find(name: &OsStr, directory: Option<OsString>) -> Result<PathBuf, &'static str> {
    let is_name = !name.is_empty() && name != "." && name != ".." && !name.as_bytes().contains(&b'/');
    if !is_name {
        return Err("a credential has a name without a slash, as in credential:backup-key");
    }
    let directory = directory.filter(|directory| !directory.is_empty()).ok_or(
        "CREDENTIALS_DIRECTORY is not set: systemd sets it for a service that has LoadCredentialEncrypted= or LoadCredential=",
    )?;
    let directory = Path::new(&directory);
    if !directory.is_absolute() {
        return Err("CREDENTIALS_DIRECTORY is no absolute path");
    }
    let path = directory.join(name);
    match path.is_file() {
        true => Ok(path),
        false => Err("this service was given no credential of that name"),
    }
}

/// What to do where a credential is not there.
pub(crate) const ADVICE: &str = "LoadCredentialEncrypted=NAME:FILE in its unit gives a service one. By hand, set \
                                 CREDENTIALS_DIRECTORY to the directory that the keys are in.";
const PREFIX: &[u8] = b"credential:";
/// What systemd names a service's directory of credentials in (systemd.exec(5)).
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_credential_is_a_file_in_the_directory_of_the_service_and_nowhere_else() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("of-unit")).unwrap();
        for file in ["of-unit/key", "outside"] {
            fs::write(place.path().join(file), "").unwrap();
        }
        let directory = place.path().join("of-unit");
        let find = |name: &str| find(OsStr::new(name), Some(directory.clone().into()));
        assert_eq!(find("key"), Ok(directory.join("key")));
        for name in ["", ".", "..", "../outside", "/etc/passwd", "key/", "a/key"] {
            assert!(find(name).unwrap_err().contains("without a slash"), "{name}");
        }
        assert!(find("other").unwrap_err().contains("no credential of that name"));
    }

    #[test]
    fn what_is_missing_is_said() {
        let find = |directory: Option<&str>| find(OsStr::new("key"), directory.map(OsString::from));
        for directory in [None, Some("")] {
            assert!(find(directory).unwrap_err().contains("CREDENTIALS_DIRECTORY is not set"));
        }
        assert!(find(Some("run/credentials")).unwrap_err().contains("no absolute path"));
    }

    #[test]
    fn other_arguments_are_as_before() {
        for (argument, end) in [
            ("-", End::Standard),
            ("key.txt", End::Path("key.txt".into())),
            ("./credential:key", End::Path("./credential:key".into())),
            ("Credential:key", End::Path("Credential:key".into())),
        ] {
            let place = KeyPlace::from(OsString::from(argument));
            assert_eq!((place.to_string(), place.end()), (end.to_string(), Ok(end)));
        }
        let place = KeyPlace::from(OsString::from("credential:key"));
        assert_eq!(place.to_string(), "credential:key");
        assert_eq!(place.clone().within(Path::new("/etc")), place);
    }
}
