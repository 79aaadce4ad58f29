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
//! Kind 1 is the feature `age`, on by default: the age library brings most of what this crate depends on. Without it such
//! slots are still checked, and passed over as by a reader who holds no identity.
//!
//! Secrets are zeroed when dropped, and `Debug` shows none of them. Whoever held a stream key can keep it: wrapping the
//! key anew for others does not take the stream back from those who could open it before.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

#[cfg(feature = "age")]
mod age_edit;
#[cfg(feature = "age")]
mod age_file;
#[cfg_attr(not(feature = "age"), expect(dead_code, reason = "the grammar is checked, and nothing is opened"))]
mod age_header;
#[cfg(feature = "age")]
mod age_identities;
#[cfg(feature = "age")]
mod age_recipients;
#[cfg(feature = "age")]
mod age_slot;
#[cfg(feature = "age")]
mod asked_once;
#[cfg(feature = "age")]
mod callbacks;
mod error;
mod external_slot;
mod foreign_key;
mod identities;
#[cfg(feature = "age")]
mod keygen;
mod moment;
#[cfg(not(feature = "age"))]
mod no_age;
#[cfg(feature = "pq")]
mod post_quantum;
mod recipient_list;
mod recipients;
mod saved_text;
mod schedule;
#[cfg(feature = "age")]
mod scrypt_work;
mod secret;
#[cfg(feature = "age")]
mod secret_string;
mod slot;
mod slot_edit;
mod stream_key;
mod wrapping_key;
#[cfg(feature = "pq")]
mod xwing;

#[cfg(feature = "unstable-age")]
pub use age;
pub use zeroize::Zeroizing;

#[cfg(feature = "age")]
pub use age_edit::ssh_tag;
#[cfg(feature = "age")]
pub use age_file::{AgeFileError, AgePayload, NewAgeFile, inspect_age_file};
pub use age_header::{SCRYPT_WORK_MAX, STANZA_COUNT_MAX, WORK_FACTOR, WORK_FACTOR_MAX};
#[cfg(feature = "age")]
pub use callbacks::{Callbacks, NoCallbacks};
pub use error::{KeyError, KeyMaterial, UnwrapError};
pub use external_slot::{EXTERNAL_NAME_LEN_MAX, ExternalKey};
pub use foreign_key::ForeignKey;
pub use identities::Identities;
#[cfg(feature = "age")]
pub use keygen::Identity;
pub use recipient_list::{ListedRecipient, RecipientKind, list_recipients};
pub use recipients::Recipients;
pub use schedule::{AeadSecret, JournalKey, KeySchedule, macs_equal};
#[cfg(feature = "age")]
pub use secret_string::SecretString;
pub use slot::{
    KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, SLOT_BODY_LEN_MAX, SLOT_COUNT_MAX, SLOT_HEADER_LEN,
    SLOTS_LEN_MAX, SealedSlot, check_slots,
};
pub use stream_key::{STREAM_KEY_LEN, StreamKey, random};
pub use wrapping_key::{WRAPPING_KEY_LEN, WrappingKey};
