//! `credential:NAME`: a file of keys that systemd gives to a service, in the place of a path.
//! It reads one variable of the environment, and no key.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::io_arg::End;

/// An argument that names a file of keys: a path, `-`, or a credential. A file of such a name is `./credential:…`.
pub(crate) fn parse(argument: OsString) -> Result<End, String> {
    match argument.as_bytes().strip_prefix(PREFIX) {
        Some(name) => find(OsStr::from_bytes(name), env::var_os(DIRECTORY)).map(End::Path),
        None => Ok(End::from(argument)),
    }
}

/// Where the credential `name` is, of those in `directory`.
fn find(name: &OsStr, directory: Option<OsString>) -> Result<PathBuf, String> {
    let is_name = !name.is_empty() && name != "." && name != ".." && !name.as_bytes().contains(&b'/');
    if !is_name {
        return Err("a credential has a name without a slash, as in credential:backup-key".to_owned());
    }
    let directory = directory.filter(|directory| !directory.is_empty()).ok_or_else(|| {
        format!(
            "{DIRECTORY} is not set: systemd sets it for a service that has LoadCredentialEncrypted= or LoadCredential="
        )
    })?;
    let directory = Path::new(&directory);
    if !directory.is_absolute() {
        return Err(format!("{DIRECTORY} is no absolute path"));
    }
    let path = directory.join(name);
    match path.is_file() {
        true => Ok(path),
        false => Err(
            "this service was given no credential of that name: LoadCredentialEncrypted=NAME:FILE in its \
                      unit gives it one"
                .to_owned(),
        ),
    }
}

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
            assert_eq!(parse(argument.into()), Ok(end));
        }
    }
}
