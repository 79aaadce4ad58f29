//! Restoring over a seed: a file that may hold much of the plaintext already, such as the copy of yesterday.
//! Its bytes are taken into the sink and are claims there, as what an earlier attempt left is. It proves nothing.

use std::io;
use std::ops::Range;
use std::path::Path;

use segment_worker::ProvedSegments;
use storage::{Seed, SeedError, Taken, TargetError};

use crate::index::Walk;
use crate::open::RunContext;
use crate::resume::Gaps;
use crate::{Error, ErrorKind, Warning};

/// Opens the file at `path` to take bytes over from it.
///
/// # Errors
/// [`ErrorKind::Usage`] where something other than a regular file stands there.
pub fn open_seed(path: &Path) -> Result<Seed, Error> {
    Seed::open(path).map_err(|error| match error {
        SeedError::NotAFile(what) => {
            Error::new(ErrorKind::Usage, format!("the seed {} is {what}", path.display()))
                .advise("A seed is a regular file, such as an earlier restore of the same thing.")
        }
        SeedError::Io(error) => Error::io(format!("the seed {} could not be opened", path.display()), error),
        _ => Error::new(ErrorKind::Usage, format!("{} is no seed", path.display())),
    })
}

/// A seed, and how a sink takes its bytes over.
pub(crate) struct Seeding<S> {
    pub(crate) seed: Seed,
    pub(crate) take: fn(&mut S, &Seed, Range<u64>) -> io::Result<Taken>,
    pub(crate) check_room: fn(&S, u64) -> Result<(), TargetError>,
}

impl<S> Seeding<S> {
    /// Has `sink` take over what of the seed lies where nothing has been proved yet. What cannot be read is warned of once, and
    /// comes from the stream.
    pub(crate) fn fill_gaps(
        &self,
        sink: &mut S,
        walk: &Walk<'_>,
        proved: &ProvedSegments,
        means: &RunContext<'_>,
    ) -> Result<Option<Warning>, Error> {
        let mut warning = None;
        let mut bytes = 0;
        for gap in Gaps::new(walk, proved, TAKEN_AT_ONCE) {
            if means.cancel.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
            }
            let taken = (self.take)(sink, &self.seed, gap?)
                .map_err(|error| Error::io("the seed could not be copied to beside the target", error))?;
            bytes += taken.bytes;
            if let Some((at, _)) = taken.unreadable {
                warning.get_or_insert(Warning::SeedUnreadable { at });
            }
            if let Some(observer) = means.observer {
                observer.seeding(bytes);
            }
        }
        Ok(warning)
    }

    /// Refuses what will not fit beside what was taken.
    pub(crate) fn check_room(&self, sink: &S, len: u64) -> Result<(), Error> {
        (self.check_room)(sink, len).map_err(Error::target)
    }
}

/// Bytes that are taken over before somebody looks whether to stop.
const TAKEN_AT_ONCE: u64 = 64 << 20;
