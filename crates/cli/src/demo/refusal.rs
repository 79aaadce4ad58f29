//! One flipped bit, and what comes of it: a refusal, and a target that is as it was, beside what proved right before it.
//! It checks that itself, and does not take the engine's word.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use cofferdam::{IfExists, Opener};
use serde::Serialize;

use crate::failure::Failure;
use crate::size::Size;

use super::broken_promise;
use super::rounds::{Rounds, are_equal, copy};

/// What the engine said to a stream with one wrong bit.
pub(super) struct Refusal {
    pub(super) position: u64,
    bit: u32,
    failure: Failure,
}

impl Refusal {
    /// Flips a bit in a copy of the sealed file and restores that over the restored file, which exists.
    pub(super) fn provoke(rounds: &Rounds<'_>) -> Result<Refusal, Failure> {
        let damaged = rounds.scratch.path("damaged.cfd");
        copy(&rounds.sealed(), &damaged, rounds.cancel)?;
        let position = middle(&rounds.sealed())?;
        let bit = (position % 8) as u32;
        flip(&damaged, position, bit)?;
        let (before, names_before) = (identity(&rounds.restored())?, names_beside(&rounds.restored())?);
        let opener = Opener::new(rounds.keys.identities()?).if_exists(IfExists::Replace);
        let refused = rounds.opener(opener, "restoring").restore_file(&damaged, rounds.restored());
        let failure = match refused {
            Ok(_) => return Err(broken_promise("a stream with a flipped bit was restored")),
            Err(error) if error.kind() == cofferdam::ErrorKind::Damaged => Failure::from(error),
            Err(error) => return Err(error.into()),
        };
        let is_untouched = identity(&rounds.restored())? == before
            && are_equal(rounds.input(), &rounds.restored(), rounds.cancel)?;
        if !is_untouched {
            return Err(broken_promise("a refused restore changed its target"));
        }
        let names_more = if failure.kept.is_some() { NAMES_KEPT } else { 0 };
        if names_beside(&rounds.restored())? != names_before + names_more {
            return Err(broken_promise("a refused restore left other files than it said"));
        }
        Ok(Refusal { position, bit, failure })
    }

    pub(super) fn record(&self) -> impl Serialize {
        RefusalRecord {
            event: "demo",
            step: "refusal",
            position: self.position,
            bit: self.bit,
            message: self.failure.message.clone(),
            exit_code: self.failure.exit_code(),
            target_untouched: true,
            kept: self.failure.kept,
        }
    }

    pub(super) fn sentence(&self) -> String {
        let beside = self.failure.kept.map_or("nothing beside it".to_owned(), |kept| {
            format!("beside it {} that proved right, to go on from with a good copy", Size(kept))
        });
        format!(
            "flipped       bit {} of byte {} in a copy of the sealed file\n\
             refused       {} (exit code {})\n\
             target        untouched: the same file with the same content, and {beside}",
            self.bit,
            self.position,
            self.failure.message,
            self.failure.exit_code(),
        )
    }
}

/// The middle of the middle segment.
fn middle(sealed: &Path) -> Result<u64, Failure> {
    let inspection = cofferdam::inspect(sealed)?;
    let middle_segment = inspection.trailer.map_or(0, |trailer| trailer.segments / 2);
    let mut position = None;
    inspection.for_each_segment(|segment| {
        if segment.index == middle_segment {
            position = Some(segment.position + segment.wire_len / 2);
        }
    })?;
    position.ok_or_else(|| broken_promise("the sealed file lists no segment"))
}

fn flip(path: &Path, position: u64, bit: u32) -> Result<(), Failure> {
    let flipped = OpenOptions::new().read(true).write(true).open(path).and_then(|file| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, position)?;
        file.write_all_at(&[byte[0] ^ 1 << bit], position)
    });
    flipped.map_err(|error| Failure::io(format!("{} could not be changed", path.display()), error))
}

/// Inode, length and time of change.
fn identity(path: &Path) -> Result<(u64, u64, i64, i64), Failure> {
    let metadata = fs::metadata(path).map_err(|error| not_examined(path, error))?;
    Ok((metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec()))
}

/// How many names there are in its directory.
fn names_beside(path: &Path) -> Result<usize, Failure> {
    let names = fs::read_dir(path.parent().unwrap_or(path)).map_err(|error| not_examined(path, error))?;
    Ok(names.count())
}

fn not_examined(path: &Path, error: io::Error) -> Failure {
    Failure::io(format!("{} could not be examined", path.display()), error)
}

/// A restore that can be gone on with has left two: its journal and its staging file.
const NAMES_KEPT: usize = 2;

#[derive(Serialize)]
struct RefusalRecord {
    event: &'static str,
    step: &'static str,
    position: u64,
    bit: u32,
    message: String,
    exit_code: u8,
    target_untouched: bool,
    kept: Option<u64>,
}
