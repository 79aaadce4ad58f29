//! The directory that the demo works in: made where there is room, removed at the end.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use cofferdam::ErrorKind;
use rustix::fs::statvfs;
use serde::Serialize;

use crate::failure::Failure;
use crate::printable::Name;
use crate::size::Size;

/// A directory of our own, readable by its owner alone.
pub(super) struct Scratch {
    directory: PathBuf,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Removed,
    Kept,
}

impl Scratch {
    /// Makes it in `asked`, or else in the first place that has room for what the demo writes.
    pub(super) fn make(asked: Option<&Path>, input_len: u64, keep: bool) -> Result<Scratch, Failure> {
        let needed = input_len.saturating_mul(COPIES_MAX).saturating_add(HEADROOM);
        let places = match asked {
            Some(place) => vec![place.to_owned()],
            None => vec![std::env::temp_dir(), PathBuf::from(".")],
        };
        let roomy = places.iter().find(|place| free(place).is_some_and(|free| free >= needed));
        let place = roomy.ok_or_else(|| {
            Failure::new(ErrorKind::Io, format!("there is no room for the demo: it needs {}", Size(needed)))
                .advise("Say with --dir where there is room, or give a smaller file.")
        })?;
        let failed = |error| Failure::io(format!("{}: no directory can be made", place.display()), error);
        let place = fs::canonicalize(place).map_err(failed)?;
        let directory = place.join(format!("cofferdam-demo-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
        Ok(Scratch { directory, fate: if keep { Fate::Kept } else { Fate::Removed } })
    }

    /// A name in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Removes it, unless it is to be kept.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        if self.fate == Fate::Removed {
            self.fate = Fate::Kept; // What follows is the one attempt.
            fs::remove_dir_all(&self.directory).map_err(|error| {
                Failure::io(format!("{} could not be removed", self.directory.display()), error)
            })?;
        }
        Ok(())
    }

    pub(super) fn record(&self) -> impl Serialize {
        ScratchRecord {
            event: "demo",
            step: "scratch",
            path: Name::from(self.directory.as_path()),
            kept: self.fate == Fate::Kept,
        }
    }

    pub(super) fn sentence(&self) -> String {
        let fate = match self.fate {
            Fate::Removed => "removed at the end",
            Fate::Kept => "kept",
        };
        format!("scratch       {}, {fate}", Name::from(self.directory.as_path()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.fate == Fate::Removed {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Bytes that an unprivileged user can still write there.
fn free(place: &Path) -> Option<u64> {
    let told = statvfs(place).ok()?;
    told.f_bavail.checked_mul(told.f_frsize)
}

#[derive(Serialize)]
struct ScratchRecord {
    event: &'static str,
    step: &'static str,
    path: Name,
    kept: bool,
}

/// At once there are the sealed file, a damaged copy of it, the target, and the refused attempt's staging file.
const COPIES_MAX: u64 = 4;
/// For headers, indexes, and a file system that rounds up.
const HEADROOM: u64 = 64 * 1024 * 1024;
