//! Owns age files that stand by themselves: their header, opened or made, and the key of the payload behind it.
//! Refuses to know the payload. The age library reads, checks and writes the header; what it has of the file key is taken
//! from it where it passes the key to an identity, or gets it from one.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::io::Write as _;

use age::{DecryptError, EncryptError, Encryptor};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::secrecy::ExposeSecret as _;
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::age_header::{self, Lock, STANZA_COUNT_MAX, VERSION, WORK_FACTOR_MAX, stanza_count, stanza_kinds};
use crate::age_slot;
use crate::error::{KeyError, said};
use crate::identities::Identities;
use crate::recipients::Recipients;
use crate::scrypt_work::check_work;
use crate::slot::{Refusal, SlotFault};
use crate::stream_key::drawing;

/// An age file whose header has been opened.
pub struct AgePayload {
    /// Bytes before the payload: the header and the nonce behind it.
    pub head_len: usize,
    /// The payload's key.
    pub key: Zeroizing<[u8; 32]>,
    /// The kinds of its stanzas, in their order.
    pub stanzas: Vec<String>,
}

impl fmt::Debug for AgePayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgePayload").field("head_len", &self.head_len).finish_non_exhaustive()
    }
}

/// Why the header of an age file was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgeFileError {
    /// More of the file is needed: so many bytes in all.
    More(usize),
    /// It is of another version than 1.
    Version,
    /// It is not what the format asks for.
    Malformed(&'static str),
    /// An identity opens it, and its MAC is another: somebody has changed it.
    Altered,
    /// None of the identities opens it.
    NoKey {
        /// Whether it is a passphrase that it takes.
        passphrase: bool,
        /// Whether something of that kind was given at all.
        given: bool,
        /// Why an identity that might have opened it did not.
        notes: Vec<String>,
    },
    /// A count or a work factor is above its limit.
    Limit {
        /// What is too large, with its unit.
        what: &'static str,
        /// What was found.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// Its passphrase takes more memory than the operating system gives.
    Memory {
        /// Bytes that were asked for.
        needed: usize,
    },
    /// The caller has cancelled.
    Cancelled,
}

impl Identities {
    /// Opens the header of the age file that begins with `beginning`, with whatever of this set opens one: identities or a
    /// passphrase. Asks `cancelled` before each, for a passphrase takes seconds.
    ///
    /// # Errors
    /// [`AgeFileError::More`] until header and nonce are there; any other is final.
    pub fn open_age_file(
        &self,
        beginning: &[u8],
        cancelled: &dyn Fn() -> bool,
    ) -> Result<AgePayload, AgeFileError> {
        let header_len = header_len(beginning)?;
        let head_len = header_len + NONCE_LEN;
        let (head, nonce) = match beginning.get(..head_len) {
            Some(head) => (head, &head[header_len..]),
            None => return Err(AgeFileError::More(head_len)),
        };
        let lock = age_header::parse(head).map_err(AgeFileError::of_header)?.lock;
        let mut findings = Findings::default();
        let found = self.age.try_file(lock, head, cancelled, &mut findings)?;
        let Some(file_key) = found else {
            return Err(findings.into_error(lock, self.age.has_for(lock)));
        };
        let key = payload_key(&file_key, nonce);
        Ok(AgePayload { head_len, key, stanzas: stanza_kinds(head) })
    }
}

/// The kinds of the stanzas of the age file that begins with `beginning`, and the bytes before its payload. It takes no key, and
/// authenticates nothing.
///
/// # Errors
/// As [`Identities::open_age_file`], as far as that needs no key.
pub fn inspect_age_file(beginning: &[u8]) -> Result<(usize, Vec<String>), AgeFileError> {
    let header_len = header_len(beginning)?;
    age_header::parse(&beginning[..header_len]).map_err(AgeFileError::of_header)?;
    Ok((header_len + NONCE_LEN, stanza_kinds(beginning)))
}

/// A new age file: what stands before its payload, and the payload's key.
pub struct NewAgeFile {
    /// The bytes before the payload.
    pub head: Vec<u8>,
    /// The payload's key, of this file alone.
    pub key: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for NewAgeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewAgeFile").field("head_len", &self.head.len()).finish_non_exhaustive()
    }
}

impl Recipients {
    /// Makes the header of an age file for all of this set, with a new file key.
    ///
    /// # Errors
    /// [`KeyError::NoRecipients`] for an empty set; [`KeyError::Unsuitable`] for keys that are no age recipients, and for a passphrase
    /// beside anything else; [`KeyError::Recipient`] where age or a plugin refuses; [`KeyError::TooMany`];
    /// [`KeyError::Memory`]; [`KeyError::Random`].
    pub fn new_age_file(&self) -> Result<NewAgeFile, KeyError> {
        self.check_count()?;
        if self.has_other_than_age() {
            let problem = "an age file is for age recipients or a passphrase, not for keys of other kinds";
            return Err(KeyError::Unsuitable { problem });
        }
        self.age.with_recipients_of_file(new_file)?
    }
}

/// Makes a header for `recipients`.
pub(crate) fn new_file(recipients: &[&dyn age::Recipient]) -> Result<NewAgeFile, KeyError> {
    let taken = Taken::default();
    let takers: Vec<_> = recipients.iter().map(|inner| Taker { inner: *inner, taken: &taken }).collect();
    let head = drawing(|| encrypt(takers.iter().map(|taker| taker as &dyn age::Recipient)))??;
    match stanza_count(&head) {
        count if count > STANZA_COUNT_MAX => {
            return Err(KeyError::TooMany { what: "age stanzas", count, max: STANZA_COUNT_MAX });
        }
        _ => {}
    }
    let file_key = taken.0.take().expect("age has wrapped the file key for each recipient");
    let nonce = &head[head.len() - NONCE_LEN..];
    Ok(NewAgeFile { key: payload_key(&file_key, nonce), head })
}

/// Header and nonce, of which nothing is sealed with the library.
fn encrypt<'a>(recipients: impl Iterator<Item = &'a dyn age::Recipient>) -> Result<Vec<u8>, KeyError> {
    let refused = |problem: String| KeyError::Recipient { problem };
    let encryptor = Encryptor::with_recipients(recipients).map_err(age_slot::not_together)?;
    let mut head = Vec::new();
    let mut writer = encryptor.wrap_output(&mut head).map_err(|error| refused(said(error)))?;
    writer.flush().map_err(|error| refused(said(error)))?;
    drop(writer);
    Ok(head)
}

/// Opens the header in `head` with `identity`, and gives the file key. [`age_header::parse`] has passed it.
pub(crate) fn open(head: &[u8], identity: &dyn age::Identity) -> Result<FileKeyBytes, FileRefusal> {
    let taken = Taken::default();
    let taker = Taker { inner: identity, taken: &taken };
    let decryptor = age_slot::parse(head).map_err(|fault| FileRefusal::Slot(Refusal::Fault(fault)))?;
    match decryptor.decrypt(std::iter::once(&taker as &dyn age::Identity)) {
        Ok(_) => Ok(taken.0.take().expect("what opens the header has given the file key")),
        Err(DecryptError::InvalidMac) => Err(FileRefusal::Altered),
        Err(error) => Err(FileRefusal::Slot(age_slot::refusal(error))),
    }
}

pub(crate) type FileKeyBytes = Zeroizing<[u8; FILE_KEY_BYTES]>;

/// Why one identity did not open a header.
pub(crate) enum FileRefusal {
    Altered,
    Slot(Refusal),
}

/// What trying the identities has shown, for the verdict if none opens the file.
#[derive(Default)]
pub(crate) struct Findings {
    notes: Vec<String>,
    fault: Option<AgeFileError>,
}

impl Findings {
    /// The first fault is kept, and every note.
    pub(crate) fn record(&mut self, refusal: FileRefusal) {
        let fault = match refusal {
            FileRefusal::Slot(Refusal::Closed) => return,
            FileRefusal::Slot(Refusal::Noted(note)) => return self.notes.push(note),
            FileRefusal::Altered => AgeFileError::Altered,
            FileRefusal::Slot(Refusal::Memory(needed)) => AgeFileError::Memory { needed },
            FileRefusal::Slot(Refusal::Fault(fault)) => AgeFileError::of_header(fault),
        };
        self.fault.get_or_insert(fault);
    }

    fn into_error(self, lock: Lock, given: bool) -> AgeFileError {
        let passphrase = matches!(lock, Lock::Passphrase(_));
        self.fault.unwrap_or(AgeFileError::NoKey { passphrase, given, notes: self.notes })
    }
}

impl AgeFileError {
    fn of_header(fault: SlotFault) -> AgeFileError {
        match fault {
            SlotFault::Malformed(problem) => AgeFileError::Malformed(problem),
            SlotFault::Limit { what, found, max } => AgeFileError::Limit { what, found, max },
        }
    }
}

/// Whether a passphrase of this work factor may be computed.
pub(crate) fn check_factor(lock: Lock) -> Result<(), Refusal> {
    match lock {
        Lock::Passphrase(factor) => check_work(factor, 0),
        Lock::Identity | Lock::Mixed => Ok(()),
    }
}

/// An identity for the passphrase that was asked for.
pub(crate) fn passphrase_identity(passphrase: age::secrecy::SecretString) -> age::scrypt::Identity {
    let mut identity = age::scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    identity
}

/// Bytes of the header that `beginning` begins with, the line that ends it included.
fn header_len(beginning: &[u8]) -> Result<usize, AgeFileError> {
    let first = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let whole_first = first.len() < beginning.len();
    if whole_first && first != VERSION || !VERSION.starts_with(first) {
        return Err(match first.starts_with(ANY_VERSION) && !first.starts_with(VERSION) {
            true => AgeFileError::Version,
            false => AgeFileError::Malformed("its first line is not that of an age v1 file"),
        });
    }
    let mut at = 0;
    for line in beginning.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        if line.starts_with(b"---") && line.ends_with(b"\n") {
            return Ok(at);
        }
    }
    Err(AgeFileError::More((2 * beginning.len()).max(MORE_LEN)))
}

/// C2SP age.md: HKDF-SHA-256 of the file key, salted with the nonce, for "payload".
fn payload_key(file_key: &FileKeyBytes, nonce: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(nonce), &file_key[..])
        .expand(b"payload", &mut key[..])
        .expect("32 bytes are one block of the hash");
    key
}

/// A file key on its way through the library.
#[derive(Default)]
struct Taken(RefCell<Option<FileKeyBytes>>);

impl Taken {
    fn copy(&self, key: &FileKey) {
        let mut bytes = Zeroizing::new([0; FILE_KEY_BYTES]);
        bytes.copy_from_slice(key.expose_secret());
        self.0.replace(Some(bytes));
    }
}

/// An identity or a recipient that keeps what file key passes.
struct Taker<'a, T: ?Sized> {
    inner: &'a T,
    taken: &'a Taken,
}

impl age::Identity for Taker<'_, dyn age::Identity + '_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.inner.unwrap_stanza(stanza)
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        let found = self.inner.unwrap_stanzas(stanzas)?;
        if let Ok(key) = &found {
            self.taken.copy(key);
        }
        Some(found)
    }
}

impl age::Recipient for Taker<'_, dyn age::Recipient + '_> {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        self.taken.copy(key);
        self.inner.wrap_file_key(key)
    }
}

/// Bytes behind the header, before the payload.
const NONCE_LEN: usize = 16;
/// So much of a file is asked for at first, if its header has no end before.
const MORE_LEN: usize = 1024;
/// Of all versions.
const ANY_VERSION: &[u8] = b"age-encryption.org/";
