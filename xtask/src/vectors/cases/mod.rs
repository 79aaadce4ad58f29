//! Owns the list of all vectors, one file of cases for each part of a stream.
//! Refuses to know the cases themselves.

mod frames;
mod key_area;
mod metadata;
mod preamble;
mod segments;
mod success;
mod trailer;
mod truncated;

use super::case::Case;
use super::plan::Plan;
use super::sealed::Sealed;
use super::sealer;

pub(super) fn all() -> Vec<Case> {
    [
        success::cases(),
        preamble::cases(),
        key_area::cases(),
        metadata::cases(),
        segments::cases(),
        frames::cases(),
        trailer::cases(),
        truncated::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Plan {
    pub(super) fn seal(&self) -> Sealed {
        sealer::seal(self)
    }
}
