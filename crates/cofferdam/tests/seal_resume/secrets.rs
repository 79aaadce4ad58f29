//! What many attempts at one sealing let out: no nonce twice, and no secret in the state.
//! Keys are derived by other code than the sealer's.

use aes_gcm::aead::{Aead, KeyInit};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::attempts::many_attempts;
use crate::place::{Left, Place};
use crate::streams::{KEY, SEGMENT, counted, small_sealer};

#[test]
fn over_many_attempts_no_frame_is_ever_encrypted_to_two_different_bodies() {
    many_attempts();
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
