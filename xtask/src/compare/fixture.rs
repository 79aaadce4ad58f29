//! Owns the folder in which one contestant seals and restores, and one run of either.
//! Knows neither rounds nor tables.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::contestant::{COFFERDAM, Contestant, Direction};
use super::timed::Usage;

/// What the commands of all contestants are filled in with.
pub(crate) struct Keys {
    cofferdam: PathBuf,
    /// The key file's text, an age identity.
    identity: String,
    recipient: String,
}

impl Keys {
    /// Has the program at `cofferdam` make a key.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn new(cofferdam: &Path, scratch: &Path) -> Result<Keys, String> {
        let file = scratch.join(KEY_FILE);
        let made = Command::new(cofferdam).arg("keygen").arg("-o").arg(&file).output();
        let made = made.map_err(|error| format!("cannot start {}: {error}", cofferdam.display()))?;
        let identity = fs::read_to_string(&file)
            .map_err(|_| format!("keygen made no key: {}", String::from_utf8_lossy(&made.stderr)))?;
        let recipient = identity.lines().find_map(|line| line.strip_prefix(RECIPIENT_MARK));
        let recipient = recipient.ok_or("keygen wrote no recipient into its key file")?.to_owned();
        Ok(Keys { cofferdam: cofferdam.to_owned(), identity, recipient })
    }

    /// The words of a command, filled in.
    pub(crate) fn fill(&self, command: &[&str]) -> Vec<String> {
        let fill = |word: &&str| match *word {
            COFFERDAM => self.cofferdam.to_string_lossy().into_owned(),
            RECIPIENT => self.recipient.clone(),
            word => word.to_owned(),
        };
        command.iter().map(fill).collect()
    }
}

/// The folder of one contestant.
pub(crate) struct Fixture<'a> {
    pub(crate) contestant: &'static Contestant,
    keys: &'a Keys,
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl<'a> Fixture<'a> {
    /// Makes the folder in `scratch`.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn new(
        contestant: &'static Contestant,
        keys: &'a Keys,
        scratch: &Path,
    ) -> Result<Fixture<'a>, String> {
        let folder = scratch.join(contestant.name);
        let home = folder.join(HOME);
        let make = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&home)?;
            fs::write(folder.join(KEY_FILE), &keys.identity)?;
            fs::write(folder.join(PASSWORD_FILE), PASSWORD)
        };
        make().map_err(|error| format!("cannot prepare {}: {error}", folder.display()))?;
        let environment = environment(&home, contestant.environment);
        Ok(Fixture { contestant, keys, folder, environment })
    }

    /// Gives the contestant the plaintext at `path`, which lies on the same file system, without a copy.
    ///
    /// # Errors
    /// There can be no link.
    pub(crate) fn take(&self, path: &Path) -> Result<(), String> {
        fs::hard_link(path, self.folder.join(PLAIN))
            .map_err(|error| format!("cannot link {}: {error}", path.display()))
    }

    /// Takes the plaintext away again.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn give_back(&self) -> Result<(), String> {
        remove(&self.folder.join(PLAIN))
    }

    /// Seals or restores once. What an earlier run of the same direction made is removed before.
    ///
    /// # Errors
    /// The contestant fails.
    pub(crate) fn run(&self, direction: Direction) -> Result<Usage, String> {
        let command = self.keys.fill(self.contestant.way(direction).command);
        match direction {
            Direction::Seal => {
                remove(&self.folder.join(SEALED))?;
                if !self.contestant.prepare.is_empty() {
                    let prepare = self.keys.fill(self.contestant.prepare);
                    Usage::of(&prepare, &self.folder, &self.environment)?;
                }
                settle(&self.folder)?;
                Usage::of(&command, &self.folder, &self.environment)
            }
            Direction::Restore => {
                self.forget_restored()?;
                let restored = self.folder.join(RESTORED);
                fs::create_dir(&restored)
                    .map_err(|error| format!("cannot create {}: {error}", restored.display()))?;
                settle(&self.folder)?;
                Usage::of(&command, &restored, &self.environment)
            }
        }
    }

    /// The bytes that the sealed form has, all its files together.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn sealed_len(&self) -> Result<u64, String> {
        let sealed = self.folder.join(SEALED);
        len(&sealed).map_err(|error| format!("cannot measure {}: {error}", sealed.display()))
    }

    /// Where the last restore put the plaintext.
    pub(crate) fn restored(&self) -> PathBuf {
        self.folder.join(RESTORED).join(PLAIN)
    }

    /// Removes what the last restore made.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn forget_restored(&self) -> Result<(), String> {
        remove(&self.folder.join(RESTORED))
    }

    /// Removes all that the contestant made.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub(crate) fn clear(self) -> Result<(), String> {
        remove(&self.folder)
    }
}

/// Home, temporary files, the search path and what the contestant wants: nothing that this machine's user has set.
pub(crate) fn environment(home: &Path, own: &[(&str, &str)]) -> Vec<(String, String)> {
    let home = home.to_string_lossy().into_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let common = [("HOME", home.clone()), ("TMPDIR", home), ("PATH", path), ("LC_ALL", "C.UTF-8".to_owned())];
    let common = common.into_iter().map(|(name, value)| (name.to_owned(), value));
    common.chain(own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

/// Has the file system of `folder` write what it has not yet written, or it would still be busy with what ran before.
pub(crate) fn settle(folder: &Path) -> Result<(), String> {
    let status = Command::new("sync").arg("-f").arg(folder).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("sync -f {} ended with {status}", folder.display())),
        Err(error) => Err(format!("cannot start sync: {error}")),
    }
}

/// Removes a file, or a folder with all that is in it; what is not there is gone already.
pub(crate) fn remove(path: &Path) -> Result<(), String> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

fn len(path: &Path) -> io::Result<u64> {
    if !path.is_dir() {
        return Ok(path.metadata()?.len());
    }
    fs::read_dir(path)?.map(|entry| len(&entry?.path())).sum()
}

/// What stands before the recipient in a key file.
const RECIPIENT_MARK: &str = "# public key: ";
pub(crate) const RECIPIENT: &str = "{recipient}";

// The names that the commands of `contestants` use.
const PLAIN: &str = "plain";
const SEALED: &str = "sealed";
const RESTORED: &str = "restored";
const HOME: &str = "home";
pub(crate) const KEY_FILE: &str = "key.txt";
const PASSWORD_FILE: &str = "password";
const PASSWORD: &str = "password\n";
