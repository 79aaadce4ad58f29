//! Owns the set of what a reader holds, and tries it on the slots of a stream.
//! Refuses to know recipients, the key area around the slots, and what the stream key is checked against.

#[cfg(feature = "age")]
use crate::age_identities::AgeIdentities;
use crate::error::UnwrapError;
use crate::external_slot::{ExternalKey, ExternalSlot};
use crate::foreign_key::ForeignKey;
#[cfg(not(feature = "age"))]
use crate::no_age::AgeIdentities;
use crate::recipient_list::{ListedRecipient, RecipientKind};
use crate::slot::{KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, Refusal, SealedSlot, SlotFault, check_slots};
use crate::stream_key::StreamKey;
use crate::wrapping_key::WrappingKey;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What a reader holds to open a stream: identities, a passphrase, key files, an external service.
///
/// Cheap to clone: clones share what they hold, and an answer to a question for a passphrase as well.
#[derive(Clone, Default)]
pub struct Identities {
    pub(crate) age: AgeIdentities,
    wrapping_keys: Vec<Arc<WrappingKey>>,
    external: Vec<Arc<External>>,
    foreign: Option<Arc<ForeignKey>>,
}

impl Identities {
    /// An empty set, which opens nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing has been added yet.
    pub fn is_empty(&self) -> bool {
        self.age.is_empty()
            && self.wrapping_keys.is_empty()
            && self.external.is_empty()
            && self.foreign.is_none()
    }

    /// Adds a key that the caller holds.
    #[must_use]
    pub fn wrapping_key(mut self, key: WrappingKey) -> Self {
        self.wrapping_keys.push(Arc::new(key));
        self
    }

    /// Adds the key of a stream that another tool has sealed, in place of one that was added before. It opens no stream of ours.
    #[must_use]
    pub fn foreign_key(mut self, key: ForeignKey) -> Self {
        self.foreign = Some(Arc::new(key));
        self
    }

    /// The key of a stream that another tool has sealed.
    pub fn foreign(&self) -> Option<&ForeignKey> {
        self.foreign.as_deref()
    }

    /// Adds an external service. `hook` gets name, stream and ciphertext of a slot of kind 3, and only of one
    /// whose name is among `names`: a stream may not choose which service it is sent to.
    #[must_use]
    pub fn external(
        self,
        names: impl IntoIterator<Item = impl Into<String>>,
        hook: impl Fn(ExternalKey<'_>, &[u8]) -> Result<StreamKey, Box<dyn Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.external_by("its service", names, hook)
    }

    /// The same, of a service that is called `by` in messages: the program's name, say.
    #[must_use]
    pub fn external_by(
        mut self,
        by: impl Into<String>,
        names: impl IntoIterator<Item = impl Into<String>>,
        hook: impl Fn(ExternalKey<'_>, &[u8]) -> Result<StreamKey, Box<dyn Error + Send + Sync>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        self.external.push(Arc::new(External { by: by.into(), names, hook: Box::new(hook) }));
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
    /// memory, else [`UnwrapError::Mismatch`] if a slot opened other than by an external service, else `Malformed` or `Limit` if a slot was found at fault
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

    /// As [`Identities::unwrap`], and asks `cancelled` before each slot, and after the last one: a passphrase takes
    /// seconds, and a service may be slow.
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
        for (index, slot) in slots.iter().enumerate() {
            if cancelled() {
                return Err(UnwrapError::Cancelled);
            }
            // Every key of the set is tried on a slot, also behind one that opens it to something else (FORMAT F5.13).
            let mut judge = |opened: Result<StreamKey, Refusal>| match opened {
                Ok(key) if accept(&key) => Some(key),
                // Whatever a service gives says nothing of the slot.
                Ok(_) if slot.kind == KIND_EXTERNAL => None,
                Ok(_) => {
                    findings.mismatch = findings.mismatch.or(Some(index));
                    None
                }
                Err(refusal) => {
                    findings.record(index, refusal);
                    None
                }
            };
            let opened = match slot.kind {
                KIND_AGE => self.age.open(slots, index, &mut judge),
                KIND_WRAPPING_KEY => {
                    let keys = self.wrapping_keys.iter();
                    keys.filter_map(|key| key.unwrap(&slot.body, preamble_head))
                        .find_map(|key| judge(Ok(key)))
                }
                KIND_EXTERNAL => self.open_external(&slot.body, preamble_head, &mut judge),
                _ => None,
            };
            if let Some(key) = opened {
                return Ok(key);
            }
        }
        // What was cancelled while a service was asked has shown nothing.
        match cancelled() {
            true => Err(UnwrapError::Cancelled),
            false => Err(findings.into_error(slots.len())),
        }
    }

    /// Marks in `list`, which is of these `slots`, what this set opens, and whose it is where an identity says so. Everything that is in
    /// the set is tried, also where another one has opened the stream: a passphrase takes a second, a service is asked again. Plugins are
    /// not: they may ask somebody, so of what only they could open nothing is said. `accept` is
    /// the check against the preamble's commitment. What is left when `cancelled` says so is not tried.
    pub fn mark_opened(
        &self,
        slots: &[SealedSlot],
        list: &mut [ListedRecipient],
        preamble_head: &[u8; 80],
        accept: &mut dyn FnMut(&StreamKey) -> bool,
        cancelled: &dyn Fn() -> bool,
    ) {
        if !self.age.is_empty() && !cancelled() {
            self.age.mark(slots, list);
        }
        for listed in list {
            let slot = &slots[listed.slot];
            let mut judge = |opened: Result<StreamKey, Refusal>| opened.ok().filter(|key| accept(key));
            let opened = match &listed.kind {
                _ if cancelled() => return,
                RecipientKind::Passphrase if self.age.has_passphrase() => {
                    self.age.open(slots, listed.slot, &mut judge).is_some()
                }
                RecipientKind::KeyFile if !self.wrapping_keys.is_empty() => {
                    let keys = self.wrapping_keys.iter();
                    let mut found = keys.filter_map(|key| key.unwrap(&slot.body, preamble_head));
                    found.any(|key| judge(Ok(key)).is_some())
                }
                RecipientKind::External(name)
                    if self.external.iter().any(|external| external.names.contains(name)) =>
                {
                    self.open_external(&slot.body, preamble_head, &mut judge).is_some()
                }
                _ => continue,
            };
            listed.opens = Some(opened);
        }
    }

    fn open_external(
        &self,
        body: &[u8],
        preamble_head: &[u8; 80],
        judge: &mut Judge<'_>,
    ) -> Option<StreamKey> {
        let slot = match ExternalSlot::parse(body) {
            Ok(slot) => slot,
            Err(fault) => return judge(Err(Refusal::Fault(fault))),
        };
        let asked = self.external.iter().filter(|external| external.names.contains(slot.name));
        let key = ExternalKey::new(slot.name, preamble_head);
        asked.map(|external| (external, (external.hook)(key, slot.ciphertext))).find_map(
            |(external, answer)| {
                let refusal = match answer {
                    Ok(key) => match judge(Ok(key)) {
                        Some(key) => return Some(key),
                        None => {
                            let External { by, .. } = &**external;
                            format!("the key that {by} gave for {} does not open the stream", slot.name)
                        }
                    },
                    Err(error) => format!("{}: {error}", slot.name),
                };
                judge(Err(Refusal::Noted(refusal)))
            },
        )
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<&str> =
            self.external.iter().flat_map(|external| external.names.iter().map(String::as_str)).collect();
        f.debug_struct("Identities")
            .field("age", &self.age)
            .field("wrapping_keys", &self.wrapping_keys.len())
            .field("external", &names)
            .field("foreign", &self.foreign)
            .finish()
    }
}

/// An external service and the names that it answers for.
struct External {
    by: String,
    names: BTreeSet<String>,
    hook: Box<ExternalHook>,
}

/// What one try at a slot gives: its key if it is the stream's, or nothing, which is noted.
pub(crate) type Judge<'a> = dyn FnMut(Result<StreamKey, Refusal>) -> Option<StreamKey> + 'a;

type ExternalHook =
    dyn Fn(ExternalKey<'_>, &[u8]) -> Result<StreamKey, Box<dyn Error + Send + Sync>> + Send + Sync;

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
