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
    let under =
        |clause: &'static str, cases: Vec<Case>| cases.into_iter().map(move |case| case.clause(clause));
    success::cases()
        .into_iter()
        .chain(under("F14.2", preamble::cases()))
        .chain(under("F14.3", key_area::cases()))
        .chain(under("F14.4", metadata::cases()))
        .chain(segments::cases())
        .chain(under("F14.6", frames::cases()))
        .chain(trailer::cases())
        .chain(under("F14.1", truncated::cases()))
        .collect()
}

impl Plan {
    pub(super) fn seal(&self) -> Sealed {
        sealer::seal(self)
    }
}
