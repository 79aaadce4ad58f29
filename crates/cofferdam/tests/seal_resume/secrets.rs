//! What many attempts at one sealing let out: no nonce twice, and one secret in the state, for its user alone.
//! Keys are derived by other code than the sealer's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit};
use cofferdam::CancelToken;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::attempts::many_attempts;
use crate::place::{Interruption, Left, Place};
use crate::streams::{KEY, SEGMENT, counted, names_in, small_sealer};

#[test]
fn over_many_attempts_no_frame_is_ever_encrypted_to_two_different_bodies() {
    many_attempts();
}

#[test]
fn the_state_is_short_private_and_holds_the_key_of_its_stream_and_no_other_secret() {
    let place = Place::new(counted(6 * SEGMENT));
    let Left { staging, journal, state, state_path } = place.seal_until(small_sealer(), 3);
    assert!(state.len() < 5000, "{} bytes", state.len());
    assert_eq!(state[16..48], stream_key(&staging));
    for part in KEY.windows(4) {
        assert!(
            !state.windows(4).any(|window| window == part),
            "a part of a recipient's key is in the state"
        );
    }
    for part in place.plaintext.chunks_exact(16).step_by(16) {
        assert!(!state.windows(16).any(|window| window == part), "plaintext is in the state");
    }
    assert_eq!(mode_of(&state_path), 0o600);
    assert!(journal.len() < 1000, "{} bytes", journal.len());
    for part in stream_key(&staging).windows(4).chain(KEY.windows(4)) {
        assert!(!journal.windows(4).any(|window| window == part), "a part of a key is beside the output");
    }
}

#[test]
fn a_state_directory_is_made_for_one_user_and_so_are_those_above_it() {
    let place = Place::new(counted(6 * SEGMENT));
    let states = place.states.path().join("state/cofferdam");
    let (token, input, output) = (CancelToken::new(), place.input(), place.output());
    let observer = Arc::new(Interruption { segments: 2, token: token.clone() });
    let interrupted = small_sealer().observer(observer).cancel(token);
    interrupted.seal_file_resumable(&input, &output, &states).unwrap_err();
    assert_eq!([mode_of(&states), mode_of(states.parent().unwrap())], [0o700; 2]);
    assert!(small_sealer().seal_file_resumable(&input, &output, &states).unwrap().resumed_bytes > 0);
    assert_eq!(names_in(&states), Vec::<PathBuf>::new());
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
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
