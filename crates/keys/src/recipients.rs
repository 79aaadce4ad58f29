//! Owns the set of those who may open a stream, and wraps its key for each of them.
//! Refuses to know identities, and where the slots are written.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "age")]
use crate::age_recipients::AgeRecipients;
use crate::error::KeyError;
use crate::external_slot::{ExternalKey, ExternalSlot};
#[cfg(not(feature = "age"))]
use crate::no_age::AgeRecipients;
use crate::slot::{
    KIND_EXTERNAL, KIND_WRAPPING_KEY, SLOT_COUNT_MAX, SLOT_HEADER_LEN, SLOTS_LEN_MAX, SealedSlot,
};
use crate::stream_key::StreamKey;
use crate::wrapping_key::WrappingKey;

/// Those who may open a stream: each of them can open it alone.
///
/// ```
/// use keys::{Identities, Identity, Recipients, StreamKey};
///
/// let identity = Identity::generate();
/// let recipients = Recipients::new().parse(&identity.recipient())?;
/// let stream_key = StreamKey::generate()?;
/// let preamble_head = [0; 80];
/// let slots = recipients.wrap(&stream_key, &preamble_head)?;
///
/// let identities = Identities::new().identity_file(identity.file_text("today")?.as_bytes())?;
/// let found = identities.unwrap(&slots, &preamble_head, &mut |key| key.expose() == stream_key.expose())?;
/// assert_eq!(found.expose(), stream_key.expose());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Cheap to clone: clones share the keys that they hold.
#[derive(Clone, Default)]
pub struct Recipients {
    pub(crate) age: AgeRecipients,
    wrapping_keys: Vec<Arc<WrappingKey>>,
    external: Vec<External>,
}

/// A key of an external service: wrapped already, or wrapped when a stream is sealed.
#[derive(Clone)]
enum External {
    Wrapped(SealedSlot),
    Asked(String, Arc<WrapHook>),
}

type WrapHook =
    dyn Fn(ExternalKey<'_>, &StreamKey) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> + Send + Sync;

impl Recipients {
    /// An empty set, which wraps nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nobody has been added yet.
    pub fn is_empty(&self) -> bool {
        self.age.is_empty() && self.wrapping_keys.is_empty() && self.external.is_empty()
    }

    /// Adds a key that the caller holds.
    #[must_use]
    pub fn wrapping_key(mut self, key: WrappingKey) -> Self {
        self.wrapping_keys.push(Arc::new(key));
        self
    }

    /// Adds the stream key as an external service wrapped it. `name` says which service and key, for the hook
    /// that will unwrap it; `ciphertext` is stored as it is.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for an empty name; [`KeyError::TooMany`] where name or ciphertext is too
    /// long.
    pub fn external(mut self, name: &str, ciphertext: &[u8]) -> Result<Self, KeyError> {
        let slot = external_slot(name, ciphertext)?;
        self.external.push(External::Wrapped(slot));
        Ok(self)
    }

    /// Adds an external service: `wrap` gets each stream's key, and gives what is stored for the hook of
    /// [`Identities::external`](crate::Identities::external). `name` says which service and key.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for an empty name, [`KeyError::TooMany`] for one that is too long. What `wrap` refuses, and a
    /// ciphertext that is too long, is the error of [`Recipients::wrap`].
    pub fn external_with(
        mut self,
        name: &str,
        wrap: impl Fn(ExternalKey<'_>, &StreamKey) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Self, KeyError> {
        external_slot(name, &[])?;
        self.external.push(External::Asked(name.to_owned(), Arc::new(wrap)));
        Ok(self)
    }

    /// Wraps `stream_key` for everyone in the set. `preamble_head` is bytes 0..80 of the stream's preamble.
    ///
    /// The slots stand in the order in which a reader should try them: one age file for all age recipients,
    /// key files, external keys, and last the passphrases, which cost a second and a question each.
    ///
    /// # Errors
    /// [`KeyError::NoRecipients`] for an empty set; [`KeyError::TooMany`] above 16 slots, 256 age stanzas
    /// (255 recipients and one that age adds), the length of a key area, or 2^22 steps of scrypt over all passphrases;
    /// [`KeyError::Recipient`] where age or a plugin refuses; [`KeyError::Memory`]; [`KeyError::Random`].
    pub fn wrap(
        &self,
        stream_key: &StreamKey,
        preamble_head: &[u8; 80],
    ) -> Result<Vec<SealedSlot>, KeyError> {
        self.check_count()?;
        let mut slots = Vec::from_iter(self.age.shared_slot(stream_key)?);
        for key in &self.wrapping_keys {
            slots.push(SealedSlot { kind: KIND_WRAPPING_KEY, body: key.wrap(stream_key, preamble_head)? });
        }
        for external in &self.external {
            slots.push(external.slot(stream_key, preamble_head)?);
        }
        slots.extend(self.age.passphrase_slots(stream_key)?);
        check_len(&slots)?;
        Ok(slots)
    }

    /// Whether there is somebody who is no age recipient.
    #[cfg(feature = "age")]
    pub(crate) fn has_other_than_age(&self) -> bool {
        !self.wrapping_keys.is_empty() || !self.external.is_empty()
    }

    pub(crate) fn check_count(&self) -> Result<(), KeyError> {
        if self.is_empty() {
            return Err(KeyError::NoRecipients);
        }
        let count = self.age.slot_count() + self.wrapping_keys.len() + self.external.len();
        if count > SLOT_COUNT_MAX {
            return Err(KeyError::TooMany { what: "key slots", count, max: SLOT_COUNT_MAX });
        }
        self.age.check_count()
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipients")
            .field("age", &self.age)
            .field("wrapping_keys", &self.wrapping_keys.len())
            .field("external", &self.external.len())
            .finish()
    }
}

impl External {
    fn slot(&self, stream_key: &StreamKey, preamble_head: &[u8; 80]) -> Result<SealedSlot, KeyError> {
        match self {
            External::Wrapped(slot) => Ok(slot.clone()),
            External::Asked(name, wrap) => {
                let refused = |error| KeyError::Recipient { problem: format!("{name}: {error}") };
                let key = ExternalKey::new(name, preamble_head);
                external_slot(name, &wrap(key, stream_key).map_err(refused)?)
            }
        }
    }
}

fn external_slot(name: &str, ciphertext: &[u8]) -> Result<SealedSlot, KeyError> {
    Ok(SealedSlot { kind: KIND_EXTERNAL, body: ExternalSlot { name, ciphertext }.encode()? })
}

pub(crate) fn check_len(slots: &[SealedSlot]) -> Result<(), KeyError> {
    let len = slots.iter().map(|slot| SLOT_HEADER_LEN + slot.body.len()).sum();
    if len > SLOTS_LEN_MAX {
        return Err(KeyError::TooMany { what: "bytes of key slots", count: len, max: SLOTS_LEN_MAX });
    }
    Ok(())
}
