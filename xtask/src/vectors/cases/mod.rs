//! Owns the list of all vectors, one file of cases for each part of a stream.
//! Refuses to know the cases themselves.

mod age_slots;
mod compressed;
mod copies;
mod frames;
mod key_area;
mod keyless;
mod metadata;
mod overflow;
mod pages;
mod preamble;
mod reserved;
mod segments;
mod success;
mod trailer;
mod truncated;
mod units;

use super::case::Case;
use super::plan::Plan;
use super::sealed::Sealed;
use super::sealer;

/// The case that most of the newer ones are patches of.
const SMALL: &str = "success-small";

pub(super) fn all() -> Vec<Case> {
    let under =
        |clause: &'static str, cases: Vec<Case>| cases.into_iter().map(move |case| case.clause(clause));
    let base = Plan::small().seal();
    let small = Case::good(SMALL, "one short frame: the base of patches", base.clone());
    let patches = |cases: Vec<Case>| cases.into_iter().map(|case| case.patch_of(SMALL, &base.bytes));
    std::iter::once(small)
        .chain(success::cases())
        .chain(under("F14.2", preamble::cases()))
        .chain(under("F14.3", key_area::cases()))
        .chain(under("F14.4", metadata::cases()))
        .chain(segments::cases())
        .chain(under("F14.6", frames::cases()))
        .chain(trailer::cases())
        .chain(under("F14.1", truncated::cases()))
        .chain(patches(under("F14.1", units::cases()).collect()))
        .chain(patches(age_slots::cases()))
        .chain(patches(copies::cases()))
        .chain(patches(overflow::cases()))
        .chain(pages::cases())
        .chain(patches(reserved::cases()))
        .chain(compressed::cases())
        .map(keyless::mark)
        .collect()
}

impl Plan {
    pub(super) fn seal(&self) -> Sealed {
        sealer::seal(self)
    }
}
