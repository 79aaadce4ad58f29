//! A plan's key in a file of its own, for the owner alone.
//! It knows no plan.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ::parts::PlanKey;

use super::{not_found, put};
use crate::{Error, ErrorKind, record_file};

/// The key for a plan that is to be made: the one that is in the file, or one that is drawn, and gets into the file with the plan. Planning that is refused makes no
/// file.
#[derive(Debug)]
pub struct PlanKeyFile {
    path: PathBuf,
    key: PlanKey,
    is_there: bool,
}

impl PlanKeyFile {
    /// Reads the key at `path`, or draws one if nothing is there.
    ///
    /// # Errors
    /// As [`open_key`], of a file that is there; the system gave no random numbers.
    pub fn open_or_draw(path: impl AsRef<Path>) -> Result<PlanKeyFile, Error> {
        let path = path.as_ref().to_owned();
        if let Some(key) = find_key(&path)? {
            return Ok(PlanKeyFile { path, key, is_there: true });
        }
        let key = PlanKey::generate().map_err(|error| not_made(&path, io::Error::other(error)))?;
        Ok(PlanKeyFile { path, key, is_there: false })
    }

    /// The key of a plan that was found: whoever has made that since has put its key here before.
    ///
    /// # Errors
    /// As [`open_key`].
    pub(super) fn of_found_plan(&mut self) -> Result<&PlanKey, Error> {
        if let Some(key) = if self.is_there { None } else { find_key(&self.path)? } {
            (self.key, self.is_there) = (key, true);
        }
        Ok(&self.key)
    }

    /// Puts it into the file, unless it is there. If somebody was faster, theirs is the key.
    ///
    /// # Errors
    /// It could not be written; as [`open_key`].
    pub(super) fn put(self) -> Result<PlanKey, Error> {
        let PlanKeyFile { path, key, is_there } = self;
        if is_there {
            return Ok(key);
        }
        match put(&path, key.to_text().as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open_key(&path),
            put => put.map(|()| key).map_err(|error| not_made(&path, error)),
        }
    }
}

/// Reads the plan's key at `path`.
///
/// # Errors
/// [`ErrorKind::Io`]: it is not there, or cannot be read; [`ErrorKind::Usage`]: it is none, or others could have put it there or know it.
pub fn open_key(path: impl AsRef<Path>) -> Result<PlanKey, Error> {
    let path = path.as_ref();
    find_key(path)?.ok_or_else(|| not_found(format!("there is no plan's key at {}", path.display())))
}

fn find_key(path: &Path) -> Result<Option<PlanKey>, Error> {
    let failed = |error| Error::io(format!("{} could not be read", path.display()), error);
    let Some(file) = record_file::open_regular(path).map_err(failed)? else { return Ok(None) };
    let metadata = file.metadata().map_err(failed)?;
    // A secret of Kubernetes is root's, and a group's to read.
    let (is_ours, for_others) = match metadata.uid() {
        0 => (true, 0o037),
        owner => (owner == rustix::process::geteuid().as_raw(), 0o077),
    };
    if !is_ours || metadata.mode() & for_others != 0 {
        let what = format!(
            "{} is another user's, or open to others: who knows a plan's key can have any bytes taken for the stream's",
            path.display()
        );
        return Err(Error::new(ErrorKind::Usage, what).advise(
            "Give a key that is this user's alone (chmod 600), or remove that one if it is not yours.",
        ));
    }
    let content = crate::Zeroizing::new(record_file::read_of(&file, KEY_LEN_MAX).map_err(failed)?);
    match PlanKey::parse(&content) {
        Some(key) => Ok(Some(key)),
        None => Err(Error::new(ErrorKind::Usage, format!("{} is no key of a plan", path.display()))
            .advise("It has 64 hexadecimal digits. Give the one that was made with the plan.")),
    }
}

fn not_made(path: &Path, error: io::Error) -> Error {
    Error::io(format!("the plan's key could not be made at {}", path.display()), error)
}

/// Bytes of a key file, its line end included.
const KEY_LEN_MAX: usize = 2 * PlanKey::LEN + 1;
