//! What whoever mounts may want to know while it lasts.
//! Knows nobody who reads.

use std::{error, fmt};

/// Something could not be read, and a program that asked for it has got `EIO`. Told on a thread of the mount, which waits meanwhile.
#[derive(Debug)]
pub struct Notice<'a> {
    /// What was asked for, in words: of which file, and where.
    pub what: String,
    /// Why it could not be read.
    pub error: &'a (dyn error::Error + 'static),
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} could not be read: {}", self.what, self.error)
    }
}
