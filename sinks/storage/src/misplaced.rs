//! A target that was published, but is not where it should be.
//! Knows nothing of how that was found.

use std::{error, fmt, path::PathBuf};

/// Found once the rename was made: somebody has moved things at the same time. It is the inner error of
/// [`CommitError::Unknown`](contract::CommitError::Unknown); of [`CommitError::NotCommitted`](contract::CommitError::NotCommitted), if it was seen in time.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Misplaced {
    /// The directory has been moved, removed or covered by a mount, and the target with it.
    Moved {
        /// Where the target is now, where the system tells.
        path: Option<PathBuf>,
    },
    /// Another file than the one that was verified stands at the target.
    Swapped {
        /// The target.
        path: PathBuf,
    },
    /// Something else than the directory that was verified stands at the target, or nothing.
    SwappedTree {
        /// The target.
        path: PathBuf,
        /// Where the directory is that was the target before, if it is still there.
        replaced: Option<PathBuf>,
    },
    /// A directory that is written into, the target itself or the one that the target is in: its path leads to another one by now, or to none.
    Renamed {
        /// Its path.
        path: PathBuf,
        /// Where the directory is now that it was at the start, where the system tells.
        now: Option<PathBuf>,
    },
}

impl fmt::Display for Misplaced {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved { path: Some(path) } => {
                write!(out, "the target's directory was moved meanwhile: the target is {}", path.display())
            }
            Self::Moved { path: None } => {
                write!(
                    out,
                    "the target's directory was moved, removed or covered by a mount meanwhile, and the target with it"
                )
            }
            Self::Renamed { path, now: Some(now) } => {
                let (path, now) = (path.display(), now.display());
                write!(out, "{path} was renamed meanwhile: what was restored is in {now}")
            }
            Self::Renamed { path, now: None } => {
                write!(
                    out,
                    "{} was renamed, removed or covered by a mount meanwhile, with what was restored in it",
                    path.display()
                )
            }
            Self::SwappedTree { path, replaced } => {
                write!(out, "{}: what stands here is not the directory that was verified", path.display())?;
                match replaced {
                    Some(replaced) => {
                        write!(out, "; the one that was to be replaced is {}", replaced.display())
                    }
                    None => Ok(()),
                }
            }
            Self::Swapped { path } => {
                write!(out, "{}: another file stands here than the one that was verified", path.display())
            }
        }
    }
}

impl error::Error for Misplaced {}
