//! What the file system of a target can do, tried in the private directory before a byte is written, and not found out at publish.
//! Who is killed or refused meanwhile leaves what is removed with the directory, or by the next attempt.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{
        AtFlags, FileType, Mode, RenameFlags, fstatfs, makedev, mkdirat, mknodat, renameat, renameat_with,
        unlinkat,
    },
    io::Errno,
};
use storage::TargetError;

use crate::{directory_id::Found, target::Target};

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

    /// Tries beside the target whether two directories can exchange their names there.
    pub(crate) fn try_exchange(&self) -> Result<(), TargetError> {
        let fault = |error: io::Error| TargetError::io(&self.staging_path(), "prepare", error);
        let beside = tempfile::Builder::new().prefix(".cofferdam-probe-").tempdir_in(self.own_directory());
        let beside = beside.map_err(fault)?;
        let made = [PROBE, PROBE_AGAIN].iter().try_for_each(|name| fs::create_dir(beside.path().join(name)));
        let directory = made.and_then(|()| File::open(beside.path())).map_err(fault)?;
        exchange(&directory).map_err(|error| self.no_exchange(error).unwrap_or_else(|| fault(error.into())))
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
/// statfs(2): OVERLAYFS_SUPER_MAGIC.
const OVERLAY: i64 = 0x794c_7630;
