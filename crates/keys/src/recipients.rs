//! Owns the set of those who may open a stream, and wraps its key for each of them.
//! Refuses to know identities, and where the slots are written.

use age::secrecy::{ExposeSecret, SecretString};
use age::{Callbacks, NoCallbacks};

use crate::age_header::{SCRYPT_WORK_MAX, STANZA_COUNT_MAX, WORK_FACTOR, WORK_FACTOR_MAX, WorkFactor};
use crate::age_slot;
use crate::error::{KeyError, KeyMaterial, said};
use crate::external_slot::ExternalSlot;
use crate::scrypt_work::probe_memory;
use crate::slot::{
    KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, SLOT_COUNT_MAX, SLOT_HEADER_LEN, SLOTS_LEN_MAX, SealedSlot,
};
use crate::stream_key::StreamKey;
use crate::wrapping_key::WrappingKey;

/// Those who may open a stream. Any one of them can, by himself.
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
#[derive(Default)]
pub struct Recipients {
    age: Vec<Box<dyn age::Recipient + Send>>,
    passphrases: Vec<(age::scrypt::Recipient, WorkFactor)>,
    wrapping_keys: Vec<WrappingKey>,
    external: Vec<SealedSlot>,
}

impl Recipients {
    /// An empty set, which wraps nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nobody has been added yet.
    pub fn is_empty(&self) -> bool {
        self.age.is_empty()
            && self.passphrases.is_empty()
            && self.wrapping_keys.is_empty()
            && self.external.is_empty()
    }

    /// Adds an age recipient of any make. A passphrase goes through [`Recipients::passphrase`], since age
    /// lets it stand with no other recipient.
    #[must_use]
    pub fn recipient(mut self, recipient: Box<dyn age::Recipient + Send>) -> Self {
        self.age.push(recipient);
        self
    }

    /// Adds the recipient that `text` names: `age1…`, a plugin's `age1NAME1…`, and with the feature `ssh` a
    /// line `ssh-ed25519 …` or `ssh-rsa …`. A plugin must find its way without asking anything.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for any other text, and where the plugin's program is not on the `PATH`.
    pub fn parse(self, text: &str) -> Result<Self, KeyError> {
        self.parse_with(text, NoCallbacks)
    }

    /// As [`Recipients::parse`], with a way for plugins to speak to a person.
    ///
    /// # Errors
    /// As [`Recipients::parse`].
    pub fn parse_with(self, text: &str, callbacks: impl Callbacks) -> Result<Self, KeyError> {
        let recipient = parse_recipient(without_mark(text).trim(), callbacks)
            .map_err(|problem| KeyError::unreadable(KeyMaterial::Recipient, problem))?;
        Ok(self.recipient(recipient))
    }

    /// Adds the recipients of a recipients file: one a line as [`Recipients::parse`] reads it, beside empty
    /// lines and lines that begin with `#`.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] with the line at fault, or where the file names nobody.
    pub fn recipients_file(self, text: &str) -> Result<Self, KeyError> {
        self.recipients_file_with(text, NoCallbacks)
    }

    /// As [`Recipients::recipients_file`], with a way for plugins to speak to a person.
    ///
    /// # Errors
    /// As [`Recipients::recipients_file`].
    pub fn recipients_file_with(mut self, text: &str, callbacks: impl Callbacks) -> Result<Self, KeyError> {
        let before = self.age.len();
        for (index, line) in without_mark(text).lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let recipient = parse_recipient(line, callbacks.clone()).map_err(|problem| {
                KeyError::Unreadable { what: KeyMaterial::Recipient, line: Some(index + 1), problem }
            })?;
            self.age.push(recipient);
        }
        if self.age.len() == before {
            return Err(KeyError::unreadable(KeyMaterial::Recipient, "the file names no recipient"));
        }
        Ok(self)
    }

    /// Adds a passphrase, in an age file of its own, with scrypt work factor 18: wrapping and opening take
    /// about a second and 256 MiB of memory each.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for an empty passphrase.
    pub fn passphrase(self, passphrase: SecretString) -> Result<Self, KeyError> {
        self.passphrase_with_work_factor(passphrase, WORK_FACTOR)
    }

    /// As [`Recipients::passphrase`] with another work factor, the binary logarithm of scrypt's N. Every step
    /// down halves what guessing costs an attacker: below 18 it is for tests only.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for an empty passphrase, or a work factor that is not 1 to 20.
    pub fn passphrase_with_work_factor(
        mut self,
        passphrase: SecretString,
        work_factor: u8,
    ) -> Result<Self, KeyError> {
        let unreadable = |problem| Err(KeyError::unreadable(KeyMaterial::Passphrase, problem));
        if passphrase.expose_secret().is_empty() {
            return unreadable("it is empty");
        }
        if !(1..=WORK_FACTOR_MAX).contains(&work_factor) {
            return unreadable("the scrypt work factor is not 1 to 20");
        }
        let mut recipient = age::scrypt::Recipient::new(passphrase);
        recipient.set_work_factor(work_factor);
        self.passphrases.push((recipient, WorkFactor(work_factor.into())));
        Ok(self)
    }

    /// Adds a key that the caller holds.
    #[must_use]
    pub fn wrapping_key(mut self, key: WrappingKey) -> Self {
        self.wrapping_keys.push(key);
        self
    }

    /// Adds the stream key as an external service wrapped it. `name` says which service and key, for the hook
    /// that will unwrap it; `ciphertext` is stored as it is.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for an empty name; [`KeyError::TooMany`] where name or ciphertext is too
    /// long.
    pub fn external(mut self, name: &str, ciphertext: &[u8]) -> Result<Self, KeyError> {
        let body = ExternalSlot { name, ciphertext }.encode()?;
        self.external.push(SealedSlot { kind: KIND_EXTERNAL, body });
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
        let mut slots = Vec::new();
        if !self.age.is_empty() {
            let recipients = self.age.iter().map(|recipient| &**recipient as &dyn age::Recipient);
            slots.push(SealedSlot { kind: KIND_AGE, body: age_slot::seal(recipients, stream_key)? });
        }
        for key in &self.wrapping_keys {
            slots.push(SealedSlot { kind: KIND_WRAPPING_KEY, body: key.wrap(stream_key, preamble_head)? });
        }
        slots.extend(self.external.iter().cloned());
        for (passphrase, factor) in &self.passphrases {
            probe_memory(*factor).map_err(|needed| KeyError::Memory { needed })?;
            let recipient = std::iter::once(passphrase as &dyn age::Recipient);
            slots.push(SealedSlot { kind: KIND_AGE, body: age_slot::seal(recipient, stream_key)? });
        }
        check_len(&slots)?;
        Ok(slots)
    }

    fn check_count(&self) -> Result<(), KeyError> {
        if self.is_empty() {
            return Err(KeyError::NoRecipients);
        }
        let count = usize::from(!self.age.is_empty())
            + self.wrapping_keys.len()
            + self.external.len()
            + self.passphrases.len();
        if count > SLOT_COUNT_MAX {
            return Err(KeyError::TooMany { what: "key slots", count, max: SLOT_COUNT_MAX });
        }
        if self.age.len() >= STANZA_COUNT_MAX {
            // The exact count is known only once age has asked every recipient, plugins among them.
            let max = STANZA_COUNT_MAX - 1;
            return Err(KeyError::TooMany { what: "age recipients", count: self.age.len(), max });
        }
        let work: u64 = self.passphrases.iter().map(|(_, factor)| factor.work()).sum();
        if work > SCRYPT_WORK_MAX {
            let (count, max) = (work as usize, SCRYPT_WORK_MAX as usize);
            return Err(KeyError::TooMany { what: "steps of scrypt over all passphrases", count, max });
        }
        Ok(())
    }
}

fn check_len(slots: &[SealedSlot]) -> Result<(), KeyError> {
    let len = slots.iter().map(|slot| SLOT_HEADER_LEN + slot.body.len()).sum();
    if len > SLOTS_LEN_MAX {
        return Err(KeyError::TooMany { what: "bytes of key slots", count: len, max: SLOTS_LEN_MAX });
    }
    Ok(())
}

/// Editors of Windows put a byte order mark before UTF-8.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Native recipients are tried before plugins, since a plugin's name may be anything after `age1`.
fn parse_recipient(text: &str, callbacks: impl Callbacks) -> Result<Box<dyn age::Recipient + Send>, String> {
    if text.starts_with("ssh-") {
        return parse_ssh_recipient(text);
    }
    if let Ok(recipient) = text.parse::<age::x25519::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if let Ok(recipient) = text.parse::<age::tag::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if let Ok(recipient) = text.parse::<age::tagpq::Recipient>() {
        return Ok(Box::new(recipient));
    }
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return Err("this is a secret key; give its public half, which begins with age1".to_owned());
    }
    let recipient = text
        .parse::<age::plugin::Recipient>()
        .map_err(|_| "not a recipient: one begins with age1 and has no letter wrong".to_owned())?;
    let name = recipient.plugin().to_owned();
    age::plugin::RecipientPluginV1::new(&name, &[recipient], &[], callbacks)
        .map(|plugin| Box::new(plugin) as _)
        .map_err(said)
}

#[cfg(feature = "ssh")]
fn parse_ssh_recipient(text: &str) -> Result<Box<dyn age::Recipient + Send>, String> {
    use age::ssh::ParseRecipientKeyError::{RsaModulusTooLarge, RsaModulusTooSmall, Unsupported};
    match text.parse::<age::ssh::Recipient>() {
        Ok(recipient) => Ok(Box::new(recipient)),
        Err(RsaModulusTooLarge) => Err("this SSH key's modulus is above 4096 bits".to_owned()),
        Err(RsaModulusTooSmall) => Err("this SSH key's modulus is below 2048 bits".to_owned()),
        Err(Unsupported(kind)) => {
            Err(format!("SSH keys of the kind {kind} cannot decrypt; ssh-ed25519 and ssh-rsa can"))
        }
        Err(_) => Err("not an SSH public key".to_owned()),
    }
}

#[cfg(not(feature = "ssh"))]
fn parse_ssh_recipient(_: &str) -> Result<Box<dyn age::Recipient + Send>, String> {
    Err("this build has no SSH keys; build it with the feature `ssh`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrases(factors: &[u8]) -> Recipients {
        factors.iter().fold(Recipients::new(), |recipients, &factor| {
            recipients.passphrase_with_work_factor(SecretString::from("correct horse"), factor).unwrap()
        })
    }

    /// FORMAT F5.18: 2^22 steps in all, sixteen slots of the factor that is written. Counted before one is computed.
    #[test]
    fn passphrases_ask_for_four_million_steps_together_and_no_more() {
        for factors in [&[18; 16][..], &[20; 4], &[20, 20, 20, 19, 19], &[1]] {
            assert_eq!(passphrases(factors).check_count(), Ok(()), "{factors:?}");
        }
        for factors in [&[20, 20, 20, 20, 1][..], &[20; 5], &[19, 18, 18, 18, 18, 18, 18, 20, 20, 20]] {
            let refused = passphrases(factors).check_count().unwrap_err();
            let count: usize = factors.iter().map(|factor| 1 << factor).sum();
            let what = "steps of scrypt over all passphrases";
            assert_eq!(refused, KeyError::TooMany { what, count, max: 4_194_304 }, "{factors:?}");
        }
    }
}
