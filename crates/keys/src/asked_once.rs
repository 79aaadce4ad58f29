//! Owns an identity that may ask somebody, as a plugin's does for a touch or a PIN: what it has opened it is not asked again.
//! Refuses to know what it asks, and whom.

use std::sync::{Mutex, PoisonError};

use age::{DecryptError, Identity};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

/// An identity, and what it has opened. One that has failed is asked again: the token may be there by then.
pub(crate) struct AskedOnce {
    identity: Box<dyn Identity + Send + Sync>,
    opened: Mutex<Vec<Opened>>,
}

/// The stanzas of an age file, and its key.
type Opened = (Vec<Stanza>, Zeroizing<[u8; FILE_KEY_BYTES]>);

impl AskedOnce {
    pub(crate) fn new(identity: Box<dyn Identity + Send + Sync>) -> AskedOnce {
        AskedOnce { identity, opened: Mutex::default() }
    }
}

impl Identity for AskedOnce {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        // Held while somebody is asked: another thread would ask the same.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = opened.iter().find(|(of, _)| of == stanzas) {
            return Some(Ok(FileKey::init_with_mut(|bytes| bytes.copy_from_slice(&key[..]))));
        }
        let found = self.identity.unwrap_stanzas(stanzas)?;
        if let Ok(key) = &found {
            if opened.len() == OPENED_MAX {
                opened.remove(0);
            }
            let of = stanzas.iter().map(copy).collect();
            opened.push((of, Zeroizing::new(*key.expose_secret())));
        }
        Some(found)
    }
}

fn copy(stanza: &Stanza) -> Stanza {
    Stanza { tag: stanza.tag.clone(), args: stanza.args.clone(), body: stanza.body.clone() }
}

/// Age files whose keys are kept: a stream has at most two for public keys, and a run few streams.
const OPENED_MAX: usize = 32;

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails by panicking.
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Gives the body of the first stanza, counts how often it was asked, and has nothing for an empty one.
    struct Counting(Arc<AtomicUsize>);

    impl Identity for Counting {
        fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
            // Only the number counts.
            self.0.fetch_add(1, Ordering::Relaxed);
            let body: [u8; FILE_KEY_BYTES] = stanza.body[..].try_into().ok()?;
            match body[0] {
                0 => Some(Err(DecryptError::DecryptionFailed)),
                _ => Some(Ok(FileKey::new(Box::new(body)))),
            }
        }
    }

    fn stanza(first: u8, body_len: usize) -> Stanza {
        Stanza { tag: "test".to_owned(), args: Vec::new(), body: vec![first; body_len] }
    }

    #[test]
    fn what_was_opened_is_not_asked_for_again_and_what_was_not_is() {
        let asked = Arc::new(AtomicUsize::new(0));
        let identity = AskedOnce::new(Box::new(Counting(asked.clone())));
        let key = |stanza: Stanza| {
            let found = identity.unwrap_stanzas(&[stanza])?;
            Some(found.map(|key| *key.expose_secret()).map_err(drop))
        };
        for (stanza, expected, count) in [
            (stanza(1, 16), Some(Ok([1; 16])), 1),
            (stanza(1, 16), Some(Ok([1; 16])), 1),
            (stanza(2, 16), Some(Ok([2; 16])), 2),
            (stanza(0, 16), Some(Err(())), 3),
            (stanza(0, 16), Some(Err(())), 4),
            (stanza(1, 15), None, 5),
            (stanza(1, 15), None, 6),
            (stanza(1, 16), Some(Ok([1; 16])), 6),
        ] {
            assert_eq!((key(stanza), asked.load(Ordering::Relaxed)), (expected, count));
        }
        for first in 3..=u8::try_from(OPENED_MAX + 2).unwrap() {
            key(stanza(first, 16));
        }
        let before = asked.load(Ordering::Relaxed);
        assert_eq!(key(stanza(1, 16)), Some(Ok([1; 16])), "it has been given up, and is asked again");
        assert_eq!(asked.load(Ordering::Relaxed), before + 1);
        assert_eq!(identity.opened.lock().unwrap().len(), OPENED_MAX);
    }
}
