//! Which segments a sample has: drawn at random, so that nobody can tell beforehand.
//! It knows numbers alone.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::failure::Failure;

/// `count` different segments of a stream that has `segments`, or all of them where it has no more. The system's random numbers: whoever
/// keeps the stream cannot tell which they will be.
pub(super) fn draw(count: u64, segments: u64) -> Result<BTreeSet<u64>, Failure> {
    if count >= segments {
        return Ok((0..segments).collect());
    }
    let mut drawn = BTreeSet::new();
    // Floyd's: each set is as likely as any other.
    for last in segments - count..segments {
        let at = below(last + 1)?;
        if !drawn.insert(at) {
            drawn.insert(last);
        }
    }
    Ok(drawn)
}

/// A random number that is less than `bound`, which is not 0.
fn below(bound: u64) -> Result<u64, Failure> {
    let random =
        getrandom::u64().map_err(|error| Failure::io("no random numbers", std::io::Error::other(error)))?;
    // The high half of the product: its bias is less than bound / 2^64.
    Ok(((u128::from(random) * u128::from(bound)) >> 64) as u64)
}

/// Neighbours are opened at once.
pub(super) fn runs(drawn: &BTreeSet<u64>) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for segment in drawn {
        match runs.last_mut() {
            Some(run) if run.end == *segment => run.end += 1,
            _ => runs.push(*segment..segment + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_different_segments_are_drawn_as_asked_for_and_each_can_be() {
        let draw = |count, segments| draw(count, segments).unwrap_or_else(|_| panic!("no random numbers"));
        for (count, segments) in [(1, 1), (1, 2), (5, 6), (16, 1000), (4096, 1 << 40)] {
            let drawn = draw(count, segments);
            assert_eq!(drawn.len() as u64, count);
            assert!(drawn.iter().all(|segment| *segment < segments));
        }
        for (count, segments) in [(7, 7), (16, 3), (1, 0)] {
            assert!(draw(count, segments).into_iter().eq(0..segments));
        }
        // That one of three does not come in 200 draws has a chance of 10^-34.
        let seen: BTreeSet<u64> = (0..200).flat_map(|_| draw(1, 3)).collect();
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn neighbours_are_one_run() {
        let of = |segments: &[u64]| runs(&segments.iter().copied().collect());
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[0, 1, 2, 5, 7, 8]), [0..3, 5..6, 7..9]);
    }
}
