//! Restoring over a seed: a file that may hold much of the plaintext already, such as the copy of yesterday.
//! Its bytes are taken into the sink and are claims there, as what an earlier attempt left is. It proves nothing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use local::CopyOnRead;
use storage::{Seed, SeedError, TargetError};

use crate::{Error, ErrorKind};

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
    pub(crate) seed: Arc<Seed>,
    pub(crate) copy_on_read: fn(&S, Arc<Seed>) -> CopyOnRead,
    pub(crate) keep_copied: fn(&mut S) -> io::Result<()>,
    pub(crate) prepare_room: fn(&mut S, u64) -> Result<(), TargetError>,
}

impl<S> Seeding<S> {
    /// The seed's bytes, in `sink` by the time that they have been read.
    pub(crate) fn copy_on_read(&self, sink: &S) -> Arc<CopyOnRead> {
        Arc::new((self.copy_on_read)(sink, self.seed.clone()))
    }

    /// They have all been read: what of them is right need not be again.
    pub(crate) fn keep_copied(&self, sink: &mut S) -> Result<(), Error> {
        (self.keep_copied)(sink)
            .map_err(|error| Error::io("the seed could not be copied to beside the target", error))
    }

    /// Looks after the room of what is not there yet: refuses it, takes it, or tells that it may not fit.
    pub(crate) fn prepare_room(&self, sink: &mut S, len: u64) -> Result<(), Error> {
        (self.prepare_room)(sink, len).map_err(Error::target)
    }
}
