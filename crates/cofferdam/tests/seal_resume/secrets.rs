//! What many attempts at one sealing let out: no nonce twice, and no secret in the state.
//! Keys are derived by other code than the sealer's.

use std::collections::HashMap;
use std::fs;

use aes_gcm::aead::{Aead, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::place::{Left, Place, Spot, frames, whole_segments};
use crate::streams::map::segments;
use crate::streams::{KEY, SEGMENT, counted, small_sealer, threads};

#[test]
fn over_many_attempts_no_frame_is_ever_encrypted_to_two_different_bodies() {
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
    // Steps of two segments forward, and now and then something of it is lost again.
    for until in (2..=24).step_by(2) {
        let mut left = place.seal_until(small_sealer().threads(threads(3)), until);
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

#[test]
fn the_state_is_short_and_has_no_secret_in_it() {
    let place = Place::new(counted(6 * SEGMENT));
    let Left { staging, state } = place.seal_until(small_sealer(), 3);
    assert!(state.len() < 1000, "{} bytes", state.len());
    for secret in [stream_key(&staging), KEY] {
        for part in secret.windows(4) {
            assert!(!state.windows(4).any(|window| window == part), "a part of a key is in the state");
        }
    }
    for part in place.plaintext.chunks_exact(16).step_by(16) {
        assert!(!state.windows(16).any(|window| window == part), "plaintext is in the state");
    }
}

/// The stream key, from the kind-2 slot (FORMAT F5.10), by other code than the sealer's.
fn stream_key(sealed: &[u8]) -> [u8; 32] {
    let slot = &sealed[4096 + 40..4096 + 120];
    let mut secret = [0; 44];
    let info = [b"cofferdam/v1/slot2\0", &sealed[..80]].concat();
    Hkdf::<Sha256>::new(Some(&slot[..32]), &KEY).expand(&info, &mut secret).unwrap();
    let cipher = aes_gcm::Aes256Gcm::new(secret[..32].try_into().unwrap());
    let opened = cipher.decrypt(secret[32..].try_into().unwrap(), &slot[32..]).unwrap();
    opened.try_into().unwrap()
}
