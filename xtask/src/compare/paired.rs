//! Owns the ratios of one contestant's processes to those of another, in blocks that take turns.
//! Knows neither of them, and judges nothing.
//!
//! A ratio comes from a block of runs of the one and a block of the other, each with a run to warm up, since a run depends on
//! what the program before it has left of the machine's memory; it is that of the blocks' medians. The machine itself
//! moves more slowly than two blocks take.

use std::path::Path;
use std::time::Duration;

use super::contestant::Direction;
use super::contestants;
use super::fixture::{Fixture, Keys};
use super::input::{Input, Kind};
use super::place::{Place, room_of};
use super::rounds::{Limits, Rounds};
use super::scratch::Scratch;

/// What stands beside what: names of contestants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) ours: &'static str,
    pub(crate) other: &'static str,
    pub(crate) direction: Direction,
}

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    /// Bytes of plaintext.
    pub(crate) size: u64,
    /// Pairs of blocks.
    pub(crate) pairs: usize,
    /// Runs of a block that count.
    pub(crate) runs: usize,
}

/// The ratio of each pair of blocks.
///
/// # Errors
/// Too little room; a program that fails or restores other bytes than it sealed.
pub(crate) fn ratios(
    place: &Place,
    cofferdam: &Path,
    case: Case,
    extent: Extent,
) -> Result<Vec<f64>, String> {
    let Extent { size, pairs, runs } = extent;
    let limits = Limits { rounds: runs, patience: Duration::MAX };
    let block = |fixture: &Fixture<'_>| -> Result<Rounds, String> {
        let mut rounds = Rounds::new(limits);
        while rounds.want_more() {
            rounds.add(fixture.run(case.direction)?);
        }
        fixture.forget_restored()?;
        Ok(rounds)
    };
    on_ground(place, cofferdam, size, case, |ours, other, input| {
        ours.run(Direction::Seal)?;
        other.run(Direction::Seal)?;
        let ratios = (0..pairs).map(|_| {
            let other = block(other)?;
            Ok(block(ours)?.paired(&other))
        });
        let ratios = ratios.collect::<Result<_, String>>()?;
        ours.run(Direction::Restore)?;
        input.check(&ours.restored())?;
        Ok(ratios)
    })
}

/// What the sealed form of `case.ours` has beyond its plaintext of `size` bytes, beside that.
///
/// # Errors
/// Too little room; a seal that fails.
pub(crate) fn overhead(place: &Place, cofferdam: &Path, case: Case, size: u64) -> Result<f64, String> {
    on_ground(place, cofferdam, size, case, |ours, _, _| {
        ours.run(Direction::Seal)?;
        Ok(ours.sealed_len()? as f64 / size as f64 - 1.0)
    })
}

/// Calls `work` with the scenes of both contestants, and what they seal.
fn on_ground<T>(
    place: &Place,
    cofferdam: &Path,
    size: u64,
    case: Case,
    work: impl FnOnce(&Fixture<'_>, &Fixture<'_>, &Input) -> Result<T, String>,
) -> Result<T, String> {
    place.check_room(FILES * room_of(size))?;
    let scratch = Scratch::new(&place.directory)?;
    let keys = Keys::new(cofferdam, scratch.path())?;
    let (input, plain) = (Input::new(Kind::Real, size)?, scratch.path().join("plain"));
    input.write(&plain)?;
    let fixture = |name: &str| -> Result<Fixture<'_>, String> {
        let contestant = contestants::find(name).ok_or_else(|| format!("no contestant is called {name}"))?;
        let fixture = Fixture::new(contestant, &keys, scratch.path())?;
        fixture.take(&plain)?;
        Ok(fixture)
    };
    work(&fixture(case.ours)?, &fixture(case.other)?, &input)
}

/// A plaintext, two sealed forms, one of them restored.
const FILES: u64 = 4;
