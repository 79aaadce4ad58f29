//! The file that the demo works on: the one named, or the largest library of the Rust toolchain.
//! It only reads.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use cofferdam::CancelToken;
use serde::Serialize;

use crate::failure::Failure;
use crate::printable::Name;
use crate::size::Size;

/// What the demo seals.
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) len: u64,
    why: &'static str,
}

impl Input {
    pub(super) fn choose(named: Option<&Path>) -> Result<Input, Failure> {
        let (path, why) = match named {
            Some(path) => (path.to_owned(), "as asked"),
            None => match largest_library() {
                Some(path) => (path, "the largest library of this machine's Rust toolchain"),
                None => (this_program()?, "this program itself, as there is no Rust toolchain"),
            },
        };
        let path = fs::canonicalize(&path)
            .map_err(|error| Failure::io(format!("{} could not be found", path.display()), error))?;
        let metadata = fs::metadata(&path)
            .map_err(|error| Failure::io(format!("{} could not be examined", path.display()), error))?;
        if !metadata.is_file() {
            return Err(Failure::usage(format!("{} is not a regular file", path.display()))
                .advise("The demo reads its input several times; give it a file."));
        }
        Ok(Input { path, len: metadata.len(), why })
    }

    /// Reads it to its end, so that every step finds it in memory.
    pub(super) fn read_once(&self, cancel: &CancelToken) -> Result<(), Failure> {
        let failed = |error| Failure::io(format!("{} could not be read", self.path.display()), error);
        let mut file = File::open(&self.path).map_err(failed)?;
        let mut buffer = vec![0; BLOCK_LEN];
        while file.read(&mut buffer).map_err(failed)? > 0 {
            if cancel.is_cancelled() {
                return Err(Failure::interrupted());
            }
        }
        Ok(())
    }

    pub(super) fn record(&self) -> impl Serialize {
        InputRecord { event: "demo", step: "input", path: Name::from(self.path.as_path()), len: self.len }
    }

    pub(super) fn sentence(&self) -> String {
        format!("input         {}, {} ({})", Name::from(self.path.as_path()), Size(self.len), self.why)
    }
}

fn largest_library() -> Option<PathBuf> {
    let answer = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(answer.stdout).ok().filter(|_| answer.status.success())?;
    let mut largest = None;
    look_into(&Path::new(sysroot.trim()).join("lib"), DEPTH_MAX, &mut largest);
    largest.map(|(_, path)| path)
}

/// Keeps the largest library under `directory`. What cannot be read is passed over.
fn look_into(directory: &Path, depth_left: usize, largest: &mut Option<(u64, PathBuf)>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        // Of the entry itself: symbolic links are not followed, so that there is no way round in a circle.
        let Ok(metadata) = entry.metadata() else { continue };
        let path = entry.path();
        if metadata.is_dir() && depth_left > 0 {
            look_into(&path, depth_left - 1, largest);
        } else if metadata.is_file()
            && is_library(&path)
            && largest.as_ref().is_none_or(|l| metadata.len() > l.0)
        {
            *largest = Some((metadata.len(), path));
        }
    }
}

fn is_library(path: &Path) -> bool {
    path.extension().is_some_and(|extension| LIBRARIES.iter().any(|library| extension == *library))
}

fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::io("this program has no path", error))
}

#[derive(Serialize)]
struct InputRecord {
    event: &'static str,
    step: &'static str,
    path: Name,
    len: u64,
}

const LIBRARIES: [&str; 3] = ["so", "rlib", "dylib"];
/// Directories below `lib` of a toolchain.
const DEPTH_MAX: usize = 5;
const BLOCK_LEN: usize = 1024 * 1024;
