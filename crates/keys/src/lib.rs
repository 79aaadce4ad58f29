//! Owns the keys of a stream: the stream key, what derives from it, and who may open it.
//! Refuses to know frames, files and threads; it takes byte arrays and gives byte arrays.
//!
//! A stream has one random [`StreamKey`]. [`KeySchedule`] derives everything else from it (FORMAT §10).
//! [`Recipients`] wraps it into [`SealedSlot`]s, one way in each; [`Identities`] opens one of them again:
//!
//! | kind | who opens it | body |
//! |---|---|---|
//! | 1 | age identities: X25519, plugins, SSH keys | one age v1 file for all of them |
//! | 1 | a passphrase | an age v1 file of its own |
//! | 2 | the holder of a [`WrappingKey`] | the key under AES-256-GCM, bound to the preamble |
//! | 3 | an external service, through the caller's hook | a name and an opaque ciphertext |
//!
//! Secrets are zeroed when dropped and have no `Debug`. Whoever held a stream key can keep it: wrapping the
//! key anew for others does not take the stream back from those who could open it before.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod age_header;
mod age_slot;
mod error;
mod external_slot;
mod identities;
mod keygen;
mod moment;
mod recipients;
mod saved_text;
mod schedule;
mod scrypt_work;
mod secret;
mod slot;
mod stream_key;
mod wrapping_key;

pub use age;
pub use age::secrecy::SecretString;
pub use age::{Callbacks, NoCallbacks};
pub use zeroize::Zeroizing;

pub use age_header::{SCRYPT_WORK_MAX, STANZA_COUNT_MAX, WORK_FACTOR, WORK_FACTOR_MAX};
pub use error::{KeyError, KeyMaterial, UnwrapError};
pub use external_slot::EXTERNAL_NAME_LEN_MAX;
pub use identities::Identities;
pub use keygen::Identity;
pub use recipients::Recipients;
pub use schedule::{AeadSecret, JournalKey, KeySchedule, macs_equal};
pub use slot::{
    KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, SLOT_BODY_LEN_MAX, SLOT_COUNT_MAX, SLOT_HEADER_LEN,
    SLOTS_LEN_MAX, SealedSlot, check_slots,
};
pub use stream_key::{STREAM_KEY_LEN, StreamKey, random};
pub use wrapping_key::{WRAPPING_KEY_LEN, WrappingKey};
