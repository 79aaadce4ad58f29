//! Owns the set of what a reader holds, and tries it on the slots of a stream.
//! Refuses to know recipients, the key area around the slots, and what the stream key is checked against.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::OnceLock;

use age::secrecy::SecretString;
use age::{Callbacks, IdentityFile, NoCallbacks};

use crate::age_header::{self, Lock, WORK_FACTOR_MAX};
use crate::age_slot::{self, Refusal};
use crate::error::{KeyError, KeyMaterial, UnwrapError, said};
use crate::external_slot::ExternalSlot;
use crate::saved_text::saved_text;
use crate::scrypt_work::{check_work, scrypt_work};
use crate::slot::{KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, SealedSlot, SlotFault, check_slots};
use crate::stream_key::StreamKey;
use crate::wrapping_key::WrappingKey;

/// What a reader holds to open a stream: identities, a passphrase, key files, an external service.
#[derive(Default)]
pub struct Identities {
    age: Vec<Box<dyn age::Identity + Send + Sync>>,
    passphrase: Option<Passphrase>,
    wrapping_keys: Vec<WrappingKey>,
    external: Vec<External>,
}

impl Identities {
    /// An empty set, which opens nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing has been added yet.
    pub fn is_empty(&self) -> bool {
        self.age.is_empty()
            && self.passphrase.is_none()
            && self.wrapping_keys.is_empty()
            && self.external.is_empty()
    }

    /// Adds an age identity of any make. A passphrase goes through [`Identities::passphrase`], which bounds
    /// the work that a stream can ask for.
    #[must_use]
    pub fn identity(mut self, identity: Box<dyn age::Identity + Send + Sync>) -> Self {
        self.age.push(identity);
        self
    }

    /// Adds the identities of an identity file: lines `AGE-SECRET-KEY-1…` and `AGE-PLUGIN-…`, or with the
    /// feature `ssh` an SSH private key. Nothing can be asked: plugins must do without, an SSH key must not
    /// be encrypted.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for any other content, with the line where there is one; for identity files
    /// that are themselves encrypted, which are not supported; where a plugin's program is not on the `PATH`.
    pub fn identity_file(self, content: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        self.identity_file_with(content, NoCallbacks)
    }

    /// As [`Identities::identity_file`], with a way for plugins to speak to a person. The passphrase of an
    /// encrypted SSH key is asked for here and now, once.
    ///
    /// # Errors
    /// As [`Identities::identity_file`], and where an SSH key's passphrase is wrong or was not given.
    pub fn identity_file_with(
        mut self,
        content: impl AsRef<[u8]>,
        callbacks: impl Callbacks,
    ) -> Result<Self, KeyError> {
        let content = saved_text(content.as_ref())
            .map_err(|problem| KeyError::unreadable(KeyMaterial::IdentityFile, problem))?;
        let problem = match FileKind::of(content) {
            FileKind::Age => return self.age_identity_file(content, callbacks),
            FileKind::Ssh => match ssh_identity(content, callbacks) {
                Ok(identity) => {
                    self.age.push(identity);
                    return Ok(self);
                }
                Err(problem) => problem,
            },
            FileKind::Encrypted => "encrypted identity files are not supported: decrypt it first, for \
                                    example with `age -d`, and give the result"
                .to_owned(),
        };
        Err(KeyError::unreadable(KeyMaterial::IdentityFile, problem))
    }

    /// Opens passphrase slots with `passphrase`. A later passphrase replaces it.
    #[must_use]
    pub fn passphrase(mut self, passphrase: SecretString) -> Self {
        self.passphrase =
            Some(Passphrase { asked: OnceLock::from(Some(passphrase)), ask: Box::new(|| None) });
        self
    }

    /// Opens passphrase slots with the answer of `ask`, which is called at most once in the life of this set,
    /// and only where a passphrase slot is reached. `None` means that there is no answer.
    #[must_use]
    pub fn ask_passphrase(mut self, ask: impl Fn() -> Option<SecretString> + Send + Sync + 'static) -> Self {
        self.passphrase = Some(Passphrase { asked: OnceLock::new(), ask: Box::new(ask) });
        self
    }

    /// Adds a key that the caller holds.
    #[must_use]
    pub fn wrapping_key(mut self, key: WrappingKey) -> Self {
        self.wrapping_keys.push(key);
        self
    }

    /// Adds an external service. `hook` gets the name and the ciphertext of a slot of kind 3, and only of one
    /// whose name is among `names`: a stream may not choose which service it is sent to.
    #[must_use]
    pub fn external(
        mut self,
        names: impl IntoIterator<Item = impl Into<String>>,
        hook: impl Fn(&str, &[u8]) -> Result<StreamKey, Box<dyn Error + Send + Sync>> + Send + Sync + 'static,
    ) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.external.push(External { names, hook: Box::new(hook) });
        self
    }

    /// Tries everything in the set on `slots`, in their order, and returns the first key that `accept` takes:
    /// the caller's check against the preamble's commitment. `preamble_head` is bytes 0..80 of the preamble.
    ///
    /// A slot is tried if there is something in the set for its kind: an age file needs an age identity, one with a
    /// passphrase the passphrase.
    ///
    /// # Errors
    /// [`UnwrapError::Limit`] and [`UnwrapError::Malformed`] as [`check_slots`] finds them, before any
    /// identity is tried. Where no key was accepted: [`UnwrapError::Memory`] if a slot could not be tried for want of
    /// memory, else [`UnwrapError::Mismatch`] if a slot opened, else `Malformed` or `Limit` if a slot was found at fault
    /// while it was tried (the scrypt work factor is above 20, together they ask for more than [`SCRYPT_WORK_MAX`](crate::SCRYPT_WORK_MAX),
    /// the payload is not 32 bytes), else [`UnwrapError::NoKey`].
    pub fn unwrap(
        &self,
        slots: &[SealedSlot],
        preamble_head: &[u8; 80],
        accept: &mut dyn FnMut(&StreamKey) -> bool,
    ) -> Result<StreamKey, UnwrapError> {
        self.unwrap_unless(slots, preamble_head, accept, &|| false)
    }

    /// As [`Identities::unwrap`], and asks `cancelled` before each slot: one with a passphrase takes seconds.
    ///
    /// # Errors
    /// As [`Identities::unwrap`], and [`UnwrapError::Cancelled`].
    pub fn unwrap_unless(
        &self,
        slots: &[SealedSlot],
        preamble_head: &[u8; 80],
        accept: &mut dyn FnMut(&StreamKey) -> bool,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<StreamKey, UnwrapError> {
        check_slots(slots)?;
        let mut findings = Findings::default();
        let work = scrypt_work(slots);
        // Every key of the set is tried on a slot, also behind one that opens it to something else (FORMAT F5.13).
        let mut accepted = |index, key: StreamKey, findings: &mut Findings| {
            let right = accept(&key);
            if !right {
                findings.mismatch = findings.mismatch.or(Some(index));
            }
            right.then_some(key)
        };
        for (index, slot) in slots.iter().enumerate() {
            if cancelled() {
                return Err(UnwrapError::Cancelled);
            }
            let mut judge = |opened: Result<StreamKey, Refusal>| match opened {
                Ok(key) => accepted(index, key, &mut findings),
                Err(refusal) => {
                    findings.record(index, refusal);
                    None
                }
            };
            let opened = match slot.kind {
                KIND_AGE => self.open_age(&slot.body, work, &mut judge),
                KIND_WRAPPING_KEY => {
                    let keys = self.wrapping_keys.iter();
                    keys.filter_map(|key| key.unwrap(&slot.body, preamble_head))
                        .find_map(|key| judge(Ok(key)))
                }
                KIND_EXTERNAL => self.open_external(&slot.body, &mut judge),
                _ => None,
            };
            if let Some(key) = opened {
                return Ok(key);
            }
        }
        Err(findings.into_error(slots.len()))
    }

    /// Tries the identities one by one: within one call age stops at the first that fails for good, and a
    /// plugin that fails must not hide the identity after it.
    fn open_age(&self, body: &[u8], work: u64, judge: &mut Judge<'_>) -> Option<StreamKey> {
        let header = match age_header::parse(body) {
            Ok(header) => header,
            Err(fault) => return judge(Err(Refusal::Fault(fault))),
        };
        match header.lock {
            Lock::Identity => {
                let identities = self.age.iter().map(|identity| &**identity as &dyn age::Identity);
                identities.map(|identity| age_slot::open(body, identity)).find_map(judge)
            }
            Lock::Passphrase(factor) => {
                let passphrase = self.passphrase.as_ref()?;
                judge(check_work(factor, work).and_then(|()| open_by_passphrase(body, passphrase.ask_once())))
            }
            Lock::Mixed if self.age.is_empty() && self.passphrase.is_none() => None,
            Lock::Mixed => {
                let fault = SlotFault::Malformed("its age file has a passphrase beside other recipients");
                judge(Err(Refusal::Fault(fault)))
            }
        }
    }

    fn open_external(&self, body: &[u8], judge: &mut Judge<'_>) -> Option<StreamKey> {
        let slot = match ExternalSlot::parse(body) {
            Ok(slot) => slot,
            Err(fault) => return judge(Err(Refusal::Fault(fault))),
        };
        let asked = self.external.iter().filter(|external| external.names.contains(slot.name));
        asked.map(|external| (external.hook)(slot.name, slot.ciphertext)).find_map(|answer| {
            judge(answer.map_err(|error| Refusal::Noted(format!("{}: {error}", slot.name))))
        })
    }

    fn age_identity_file(mut self, content: &[u8], callbacks: impl Callbacks) -> Result<Self, KeyError> {
        let unreadable = |problem: String| KeyError::unreadable(KeyMaterial::IdentityFile, problem);
        if let Some(problem) = other_than_identities(content) {
            return Err(unreadable(problem.to_owned()));
        }
        let identities = IdentityFile::from_buffer(content)
            .map_err(|error| unreadable(said(error)))?
            .with_callbacks(callbacks)
            .into_identities()
            .map_err(|error| unreadable(said(error)))?;
        if identities.is_empty() {
            return Err(unreadable("it holds no identity".to_owned()));
        }
        self.age.extend(identities);
        Ok(self)
    }
}

fn open_by_passphrase(body: &[u8], passphrase: Option<&SecretString>) -> Result<StreamKey, Refusal> {
    let mut identity = age::scrypt::Identity::new(passphrase.ok_or(Refusal::Closed)?.clone());
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    age_slot::open(body, &identity)
}

/// A passphrase that is known, or will be once somebody has been asked.
struct Passphrase {
    asked: OnceLock<Option<SecretString>>,
    ask: Box<dyn Fn() -> Option<SecretString> + Send + Sync>,
}

impl Passphrase {
    fn ask_once(&self) -> Option<&SecretString> {
        self.asked.get_or_init(&self.ask).as_ref()
    }
}

/// An external service and the names that it answers for.
struct External {
    names: BTreeSet<String>,
    hook: Box<ExternalHook>,
}

/// What one try at a slot gives: its key if it is the stream's, or nothing, which is noted.
type Judge<'a> = dyn FnMut(Result<StreamKey, Refusal>) -> Option<StreamKey> + 'a;

type ExternalHook = dyn Fn(&str, &[u8]) -> Result<StreamKey, Box<dyn Error + Send + Sync>> + Send + Sync;

/// What trying the slots has shown, for the verdict if none gives the key.
#[derive(Default)]
struct Findings {
    mismatch: Option<usize>,
    fault: Option<(usize, SlotFault)>,
    memory: Option<(usize, usize)>,
    notes: Vec<String>,
}

impl Findings {
    fn record(&mut self, slot: usize, refusal: Refusal) {
        match refusal {
            Refusal::Closed => {}
            Refusal::Noted(note) => self.notes.push(note),
            Refusal::Memory(needed) => self.memory = self.memory.or(Some((slot, needed))),
            Refusal::Fault(fault) => self.fault = self.fault.take().or(Some((slot, fault))),
        }
    }

    fn into_error(self, slots: usize) -> UnwrapError {
        if let Some((slot, needed)) = self.memory {
            return UnwrapError::Memory { slot, needed };
        }
        match (self.mismatch, self.fault) {
            (Some(slot), _) => UnwrapError::Mismatch { slot },
            (None, Some((slot, fault))) => fault.at(slot),
            (None, None) => UnwrapError::NoKey { slots, notes: self.notes },
        }
    }
}

/// What an identity file holds, by its first bytes.
enum FileKind {
    Age,
    Ssh,
    Encrypted,
}

impl FileKind {
    fn of(content: &[u8]) -> Self {
        let content = content.trim_ascii_start();
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| content.starts_with(prefix.as_bytes()));
        if begins(&["age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----"]) {
            Self::Encrypted
        } else if begins(&["-----BEGIN OPENSSH PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----"]) {
            Self::Ssh
        } else {
            Self::Age
        }
    }
}

/// What was given in place of an identity file, where that can be seen.
fn other_than_identities(content: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(content) else {
        return Some("this is no text, as an identity file is; was the sealed file given in its place?");
    };
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    if first.starts_with("age1") || first.starts_with("ssh-") {
        return Some("this is a recipient, which seals; what opens is the identity that belongs to it");
    }
    let is_key_file = first.len() == 64 && first.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_key_file.then_some("this is a key file, and no identity file")
}

/// Decrypts an encrypted key at once: age would ask, and do the slow derivation, again for every stanza.
#[cfg(feature = "ssh")]
fn ssh_identity(
    content: &[u8],
    callbacks: impl Callbacks,
) -> Result<Box<dyn age::Identity + Send + Sync>, String> {
    use age::ssh::Identity;
    match Identity::from_buffer(content, None).map_err(said)? {
        Identity::Unsupported(_) => Err("an SSH key of this kind or encryption is not supported; \
                                         `ssh-keygen -o -p` may convert it"
            .to_owned()),
        Identity::Encrypted(key) => {
            let passphrase = callbacks
                .request_passphrase("Passphrase of the SSH key")
                .ok_or("the SSH key is encrypted and no passphrase was given")?;
            let key = key.decrypt(passphrase).map_err(|_| "the SSH key's passphrase is wrong")?;
            Ok(Box::new(Identity::from(key)))
        }
        identity => Ok(Box::new(identity)),
    }
}

#[cfg(not(feature = "ssh"))]
fn ssh_identity(_: &[u8], _: impl Callbacks) -> Result<Box<dyn age::Identity + Send + Sync>, String> {
    Err("this build has no SSH keys; build it with the feature `ssh`".to_owned())
}
