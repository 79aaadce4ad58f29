//! Owns the block device that a restore is tried on: a file behind a loop device, under a name in the fixture's folder.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A loop device, as long as this lives.
pub(crate) struct LoopDevice {
    path: PathBuf,
    len: usize,
}

impl LoopDevice {
    /// Over a file of `len` bytes at `image`.
    ///
    /// # Errors
    /// The system gives none: it takes root, and a kernel with such devices.
    pub(crate) fn attach(image: &Path, len: usize) -> Result<LoopDevice, String> {
        fs::write(image, vec![OLD; len]).map_err(|error| format!("{}: {error}", image.display()))?;
        let output = Command::new("losetup").args(["--find", "--show"]).arg(image).output();
        let output = output.map_err(|error| format!("losetup cannot be started: {error}"))?;
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match output.status.success() && Path::new(&path).exists() {
            true => Ok(LoopDevice { path: path.into(), len }),
            false => Err(format!("losetup: {}", String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    /// Puts the device under the name `at`, and makes it as it was at first.
    ///
    /// # Errors
    /// No device can be made there, or none opened.
    pub(crate) fn put(&self, at: &Path) -> Result<(), String> {
        let copied = Command::new("cp").arg("--archive").args([&self.path, at]).status();
        if !copied.is_ok_and(|status| status.success()) {
            return Err(format!("no device can be made at {}", at.display()));
        }
        let written =
            File::options().write(true).open(at).and_then(|file| file.write_all_at(&vec![OLD; self.len], 0));
        written.map_err(|error| format!("{}: {error}", at.display()))
    }

    /// Whether these bytes of one are as they were at first.
    pub(crate) fn is_old(bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| *byte == OLD)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let detached = Command::new("losetup").arg("--detach").arg(&self.path).status();
        if !detached.is_ok_and(|status| status.success()) {
            eprintln!("{} stays attached", self.path.display());
        }
    }
}

/// What all of it is filled with before.
const OLD: u8 = 0xEE;
