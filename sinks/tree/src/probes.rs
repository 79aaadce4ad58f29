//! What the file system of a target can do, tried in the private directory before a byte is written, and not found out at publish.
//! Who is killed or refused meanwhile leaves what is removed with the directory, or by the next attempt.

use std::{
    ffi::{OsStr, OsString},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, RenameFlags, fstatfs, makedev, mkdirat, mknodat, openat, renameat,
        renameat_with, unlinkat,
    },
    io::Errno,
    process::geteuid,
};
use storage::{
    TargetError,
    names::{NAME_LEN_MAX, SUFFIX_LEN_MAX, beside},
};

use crate::{
    directory_id::Found,
    options::Placement,
    target::{DIRECTORY, Target},
};

/// Removes what a process that was killed while it tried the file system for a directory that is to be replaced has left beside `target`, and says what
/// that was. Nothing is ever in it but empty directories of its own. What is another user's stays.
///
/// # Errors
/// [`TargetError::Io`].
pub fn remove_probe(target: impl AsRef<Path>) -> Result<Option<PathBuf>, TargetError> {
    let target = Target::open(target.as_ref(), Placement::Whole)?;
    let (name, path) = (target.exchange_name(), target.exchange_path());
    let fault = |error: Errno| TargetError::io(&path, "remove", error);
    match Found::at(&target.parent, &name).map_err(fault)? {
        Some(found) if found.is_directory() && found.owner.0 == geteuid().as_raw() => {}
        _ => return Ok(None),
    }
    let probe = match openat(&target.parent, &*name, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        probe => probe.map_err(fault)?,
    };
    target.remove_exchange(&probe, &name).map_err(fault)?;
    Ok(Found::at(&target.parent, &name).map_err(fault)?.is_none().then_some(path))
}

impl Target {
    /// Tries what publish takes that not every file system has: renames that exchange, and that replace nothing; and whether the directory that is to be
    /// replaced can be renamed. A new directory does without: see [`rename_new`](crate::rename_new). After [`tells_case`](Self::tells_case), whose
    /// directory it takes.
    pub(crate) fn probe(&self, staging: &OwnedFd) -> Result<(), TargetError> {
        let fault = |error| TargetError::io(&self.staging_path(), "prepare", error);
        let tried = mkdirat(staging, PROBE_AGAIN, Mode::RWXU)
            .and_then(|()| exchange(staging))
            .and_then(|()| unlinkat(staging, PROBE_AGAIN, AtFlags::REMOVEDIR))
            .and_then(|()| renameat_with(staging, PROBE, staging, PROBE_AGAIN, RenameFlags::NOREPLACE))
            .and_then(|()| unlinkat(staging, PROBE_AGAIN, AtFlags::REMOVEDIR));
        match tried.map_err(|error| self.no_exchange(error).unwrap_or_else(|| fault(error))) {
            Err(TargetError::NoExchange { .. }) if self.replaced.is_none() && !self.is_merged() => {
                for name in [PROBE, PROBE_AGAIN] {
                    match unlinkat(staging, name, AtFlags::REMOVEDIR) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(error) => return Err(fault(error)),
                    }
                }
                return Ok(());
            }
            tried => tried?,
        }
        let is_overlay = fstatfs(&self.parent).is_ok_and(|found| found.f_type == OVERLAY);
        if is_overlay && self.replaced.is_some() {
            return self.check_renamed(staging);
        }
        Ok(())
    }

    /// Tries beside the target whether two directories can exchange their names there, in a directory whose name is fixed by the target's: what one that was killed
    /// has left there is gone with it. Several may try it at once: each makes what is missing, and whoever comes last removes it.
    pub(crate) fn try_exchange(&self) -> Result<(), TargetError> {
        let (name, path) = (self.exchange_name(), self.exchange_path());
        for _ in 0..ATTEMPTS_MAX {
            match self.exchange_at(&name, &path)? {
                // Another one has removed it meanwhile.
                Err(Errno::NOENT) => {}
                Err(error @ (Errno::ACCESS | Errno::PERM | Errno::ROFS)) => {
                    let directory = self.own_directory().to_owned();
                    return Err(TargetError::NotWritable { directory, source: error.into() });
                }
                tried => {
                    return tried.map_err(|error| {
                        self.no_exchange(error).unwrap_or_else(|| TargetError::io(&path, "prepare", error))
                    });
                }
            }
        }
        Err(TargetError::Held { path: self.path.clone(), staging: path })
    }

    fn exchange_at(&self, name: &OsStr, path: &Path) -> Result<Result<(), Errno>, TargetError> {
        match mkdirat(&self.parent, name, Mode::RWXU) {
            Ok(()) => {}
            Err(Errno::EXIST) => match Found::at(&self.parent, name) {
                Ok(Some(found)) if !found.is_directory() => {
                    return Err(TargetError::InTheWay { staging: path.to_owned() });
                }
                Ok(Some(found)) if found.owner.0 != geteuid().as_raw() => {
                    return Err(TargetError::NotOurs { path: path.to_owned(), owner: found.owner.0 });
                }
                found => return Ok(found.and_then(|_| self.exchange_in(name))),
            },
            Err(error) => return Ok(Err(error)),
        }
        Ok(self.exchange_in(name))
    }

    fn exchange_in(&self, name: &OsStr) -> Result<(), Errno> {
        let probe = openat(&self.parent, name, DIRECTORY, Mode::empty())?;
        let made =
            [PROBE, PROBE_AGAIN].iter().try_for_each(|name| match mkdirat(&probe, *name, Mode::RWXU) {
                Err(Errno::EXIST) => Ok(()),
                made => made,
            });
        let tried = made.and_then(|()| exchange(&probe));
        tried.and(self.remove_exchange(&probe, name))
    }

    /// Removes it, unless somebody else is at it, who does then.
    fn remove_exchange(&self, probe: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        let gone = |removed| match removed {
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            removed => removed,
        };
        for made in [PROBE, PROBE_AGAIN] {
            gone(unlinkat(probe, made, AtFlags::REMOVEDIR))?;
        }
        gone(unlinkat(&self.parent, name, AtFlags::REMOVEDIR))
    }

    fn exchange_name(&self) -> OsString {
        beside(&self.name, EXCHANGE, NAME_LEN_MAX)
    }

    fn exchange_path(&self) -> PathBuf {
        self.own_directory().join(self.exchange_name())
    }

    /// What it is that says that no names are exchanged there.
    fn no_exchange(&self, error: Errno) -> Option<TargetError> {
        let directory = self.path.parent().unwrap_or(Path::new(".")).to_owned();
        let is_refused = matches!(error, Errno::INVAL | Errno::NOTSUP | Errno::NOSYS);
        is_refused.then_some(TargetError::NoExchange { directory })
    }

    /// Whether upper and lower case are told apart in the private directory, and so in all that is made in it. A directory is left there.
    pub(crate) fn tells_case(&self, staging: &OwnedFd) -> Result<bool, TargetError> {
        let fault = |error| TargetError::io(&self.staging_path(), "prepare", error);
        mkdirat(staging, PROBE, Mode::RWXU).map_err(fault)?;
        let other = Found::at(staging, PROBE.to_uppercase().as_ref()).map_err(fault)?;
        Ok(other.is_none())
    }

    /// Refuses a directory that its overlay does not rename, because it is in a lower layer. The overlay says so of a rename onto a directory that is not
    /// empty, before it finds out that no such rename can be.
    fn check_renamed(&self, staging: &OwnedFd) -> Result<(), TargetError> {
        let below = format!("{PROBE}/{PROBE_AGAIN}");
        let made = mkdirat(staging, PROBE, Mode::RWXU).and_then(|()| mkdirat(staging, &*below, Mode::RWXU));
        made.map_err(|error| TargetError::io(&self.staging_path(), "prepare", error))?;
        let renamed = renameat(&self.parent, &*self.name, staging, PROBE);
        let put_back = match renamed {
            // Somebody has removed what was in the way.
            Ok(()) => renameat(staging, PROBE, &self.parent, &*self.name),
            Err(_) => unlinkat(staging, &*below, AtFlags::REMOVEDIR)
                .and_then(|()| unlinkat(staging, PROBE, AtFlags::REMOVEDIR)),
        };
        put_back.map_err(|error| TargetError::io(&self.staging_path(), "prepare", error))?;
        match renamed {
            Err(Errno::XDEV) => Err(TargetError::LowerDirectory { path: self.path.clone() }),
            _ => Ok(()),
        }
    }

    /// Tries whether device files can be made in the private directory.
    pub(crate) fn try_devices(&self, staging: &OwnedFd) -> Result<(), TargetError> {
        // Not 0:0, which anybody may make: overlays mark by it what was removed.
        let device = makedev(1, 3);
        match mknodat(staging, PROBE, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, device) {
            Ok(()) => unlinkat(staging, PROBE, AtFlags::empty())
                .map_err(|error| TargetError::io(&self.staging_path(), "prepare", error)),
            // An earlier attempt's file. Whether devices can be made is found out later.
            Err(Errno::EXIST) => Ok(()),
            Err(error) => {
                let directory = self.path.parent().unwrap_or(Path::new(".")).to_owned();
                Err(TargetError::NoDeviceFiles { directory, source: error.into() })
            }
        }
    }
}

fn exchange(directory: impl AsFd) -> Result<(), Errno> {
    renameat_with(&directory, PROBE, &directory, PROBE_AGAIN, RenameFlags::EXCHANGE)
}

/// Names in the private directory, gone before anything else is in it.
const PROBE: &str = "probe";
const PROBE_AGAIN: &str = "probe2";
/// What is beside a target as long as it is tried whether it could be replaced.
const EXCHANGE: &[u8] = b".cofferdam-exchange";
const _: () = assert!(EXCHANGE.len() <= SUFFIX_LEN_MAX);
/// Attempts at trying it, while others remove theirs.
const ATTEMPTS_MAX: usize = 64;
/// statfs(2): OVERLAYFS_SUPER_MAGIC.
const OVERLAY: i64 = 0x794c_7630;
