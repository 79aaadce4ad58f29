//! Owns a sealing in many attempts, and the look at every frame that any of them let out.
//! Refuses to know how salts are drawn: one nonce for two bodies is what must not be.

use std::collections::HashMap;
use std::fs;

use cofferdam::Pool;

use crate::place::{Place, Spot, frames, whole_segments};
use crate::streams::map::segments;
use crate::streams::{SEGMENT, counted, small_sealer, threads};

/// Seals in many attempts, each cut off, shortened, and of an input that has changed where it was not sealed yet. No frame
/// is encrypted to two different bodies.
pub(crate) fn many_attempts() {
    let mut place = Place::new(counted(24 * SEGMENT + 5));
    let mut seen: HashMap<Spot, Vec<u8>> = HashMap::new();
    let mut attempts = 0;
    let mut note = |bytes: &[u8]| {
        for (spot, frame) in frames(bytes) {
            let before = seen.entry(spot).or_insert_with(|| frame.clone());
            assert!(*before == frame, "one nonce, two bodies");
        }
        seen.len()
    };
    let mut count = 0;
    // There, jobs run ahead of what the caller commits.
    let pool = Pool::new(threads(3)).unwrap();
    // Steps of two segments forward, and now and then something of it is lost again.
    for until in (2..=24).step_by(2) {
        let mut left = place.seal_until(small_sealer().pool(pool.clone()), until);
        count = note(&left.staging);
        attempts += 1;
        let lost = [0, 100, SEGMENT + 300, 2 * SEGMENT + 5000][until as usize / 2 % 4];
        let end = left.staging.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        left.staging.truncate(end.saturating_sub(lost));
        place.put(&left);
        // What of the input is not sealed may change, and does, in a way that nothing shows.
        let at = whole_segments(&left.staging) * SEGMENT;
        if at < place.plaintext.len() {
            let time = place.modified();
            place.plaintext[at] ^= 0x55;
            fs::write(place.input(), &place.plaintext).unwrap();
            place.touch(time);
        }
    }
    place.seal(&small_sealer()).unwrap();
    let whole = place.take_sealed();
    let due = segments(&whole).len() * 6;
    count = count.max(note(&whole));
    assert!(attempts == 12 && count > due + 20, "{count} frames in {attempts} attempts, {due} in the result");
}
