//! Owns the age half of those who may open a stream: recipients and passphrases, read and wrapped for.
//! Refuses to know the other kinds of slots.

use std::fmt;
use std::sync::Arc;

use crate::age_header::{SCRYPT_WORK_MAX, STANZA_COUNT_MAX, WORK_FACTOR, WORK_FACTOR_MAX, WorkFactor};
use crate::age_slot;
use crate::callbacks::{AgeCallbacks, Callbacks, NoCallbacks};
use crate::error::{KeyError, KeyMaterial, said};
use crate::recipients::Recipients;
use crate::scrypt_work::probe_memory;
use crate::secret_string::SecretString;
use crate::slot::{KIND_AGE, SealedSlot};
use crate::stream_key::StreamKey;

impl Recipients {
    /// Adds an age recipient of any make. A passphrase goes through [`Recipients::passphrase`], since age
    /// lets it stand with no other recipient.
    ///
    /// Of the feature `unstable-age`: the type is of the age crate, and changes with its versions.
    #[cfg(feature = "unstable-age")]
    #[must_use]
    pub fn recipient(mut self, recipient: Box<dyn age::Recipient + Send + Sync>) -> Self {
        self.age.recipients.push(recipient.into());
        self
    }

    /// Adds the recipient that `text` names: `age1…`, a plugin's `age1NAME1…`, with the feature `pq` `age1pq1…`, and with the
    /// feature `ssh` a line `ssh-ed25519 …` or `ssh-rsa …`. A plugin must find its way without asking anything.
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
    pub fn parse_with(mut self, text: &str, callbacks: impl Callbacks) -> Result<Self, KeyError> {
        let recipient = parse_recipient(without_mark(text).trim(), callbacks)
            .map_err(|problem| KeyError::unreadable(KeyMaterial::Recipient, problem))?;
        self.age.recipients.push(recipient);
        Ok(self)
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
        let before = self.age.recipients.len();
        for (index, line) in without_mark(text).lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let recipient = parse_recipient(line, callbacks.clone()).map_err(|problem| {
                KeyError::Unreadable { what: KeyMaterial::Recipient, line: Some(index + 1), problem }
            })?;
            self.age.recipients.push(recipient);
        }
        if self.age.recipients.len() == before {
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
        if passphrase.expose().is_empty() {
            return unreadable("it is empty");
        }
        if !(1..=WORK_FACTOR_MAX).contains(&work_factor) {
            return unreadable("the scrypt work factor is not 1 to 20");
        }
        let mut recipient = age::scrypt::Recipient::new(passphrase.to_age());
        recipient.set_work_factor(work_factor);
        let factor = WorkFactor(work_factor.into());
        self.age.passphrases.push(Arc::new((recipient, factor)));
        Ok(self)
    }
}

/// Age recipients and passphrases.
#[derive(Clone, Default)]
pub(crate) struct AgeRecipients {
    recipients: Vec<Arc<dyn age::Recipient + Send + Sync>>,
    passphrases: Vec<Arc<(age::scrypt::Recipient, WorkFactor)>>,
}

impl AgeRecipients {
    pub(crate) fn is_empty(&self) -> bool {
        self.recipients.is_empty() && self.passphrases.is_empty()
    }

    /// One for all recipients, and one for each passphrase.
    pub(crate) fn slot_count(&self) -> usize {
        usize::from(!self.recipients.is_empty()) + self.passphrases.len()
    }

    pub(crate) fn check_count(&self) -> Result<(), KeyError> {
        if self.recipients.len() >= STANZA_COUNT_MAX {
            // The exact count is known only once age has asked every recipient, plugins among them.
            let (count, max) = (self.recipients.len(), STANZA_COUNT_MAX - 1);
            return Err(KeyError::TooMany { what: "age recipients", count, max });
        }
        let work: u64 = self.passphrases.iter().map(|passphrase| passphrase.1.work()).sum();
        if work > SCRYPT_WORK_MAX {
            let (count, max) = (work as usize, SCRYPT_WORK_MAX as usize);
            return Err(KeyError::TooMany { what: "steps of scrypt over all passphrases", count, max });
        }
        Ok(())
    }

    /// The slot of all recipients together, if there are any.
    pub(crate) fn shared_slot(&self, stream_key: &StreamKey) -> Result<Option<SealedSlot>, KeyError> {
        if self.recipients.is_empty() {
            return Ok(None);
        }
        let recipients = self.recipients.iter().map(|recipient| &**recipient as &dyn age::Recipient);
        Ok(Some(SealedSlot { kind: KIND_AGE, body: age_slot::seal(recipients, stream_key)? }))
    }

    /// Calls `make` with those that an age file by itself is for: all recipients, or one passphrase and nobody else.
    pub(crate) fn with_recipients_of_file<T>(
        &self,
        make: impl FnOnce(&[&dyn age::Recipient]) -> T,
    ) -> Result<T, KeyError> {
        match &self.passphrases[..] {
            [] => {
                let recipients = self.recipients.iter().map(|recipient| &**recipient as &dyn age::Recipient);
                Ok(make(&recipients.collect::<Vec<_>>()))
            }
            [only] if self.recipients.is_empty() => {
                let (passphrase, factor) = &**only;
                probe_memory(*factor).map_err(|needed| KeyError::Memory { needed })?;
                Ok(make(&[passphrase as &dyn age::Recipient]))
            }
            _ => {
                let problem = "in an age file a passphrase stands alone, beside no other and no recipient";
                Err(KeyError::Unsuitable { problem })
            }
        }
    }

    /// The slots of the passphrases.
    pub(crate) fn passphrase_slots(&self, stream_key: &StreamKey) -> Result<Vec<SealedSlot>, KeyError> {
        let slot = |(passphrase, factor): &(age::scrypt::Recipient, WorkFactor)| {
            probe_memory(*factor).map_err(|needed| KeyError::Memory { needed })?;
            let recipient = std::iter::once(passphrase as &dyn age::Recipient);
            Ok(SealedSlot { kind: KIND_AGE, body: age_slot::seal(recipient, stream_key)? })
        };
        self.passphrases.iter().map(|passphrase| slot(passphrase)).collect()
    }
}

impl fmt::Debug for AgeRecipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeRecipients")
            .field("recipients", &self.recipients.len())
            .field("passphrases", &self.passphrases.len())
            .finish()
    }
}

/// Editors of Windows put a byte order mark before UTF-8.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Native recipients are tried before plugins, since a plugin's name may be anything after `age1`.
fn parse_recipient(
    text: &str,
    callbacks: impl Callbacks,
) -> Result<Arc<dyn age::Recipient + Send + Sync>, String> {
    if text.starts_with("ssh-") {
        return parse_ssh_recipient(text);
    }
    if let Ok(recipient) = text.parse::<age::x25519::Recipient>() {
        return Ok(Arc::new(recipient));
    }
    if let Ok(recipient) = text.parse::<age::tag::Recipient>() {
        return Ok(Arc::new(recipient));
    }
    if let Ok(recipient) = text.parse::<age::tagpq::Recipient>() {
        return Ok(Arc::new(recipient));
    }
    if let Some(recipient) = post_quantum_recipient(text) {
        return recipient;
    }
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return Err("this is a secret key; give its public half, which begins with age1".to_owned());
    }
    let recipient = text
        .parse::<age::plugin::Recipient>()
        .map_err(|_| "not a recipient: one begins with age1 and has no letter wrong".to_owned())?;
    let name = recipient.plugin().to_owned();
    age::plugin::RecipientPluginV1::new(&name, &[recipient], &[], AgeCallbacks(callbacks))
        .map(|plugin| Arc::new(plugin) as _)
        .map_err(said)
}

/// A plugin's recipient may begin in the same way: none is asked for what this build has itself.
#[cfg(feature = "pq")]
fn post_quantum_recipient(text: &str) -> Option<Result<Arc<dyn age::Recipient + Send + Sync>, String>> {
    use crate::post_quantum::{PqRecipient, RECIPIENT_PREFIX};
    text.starts_with(RECIPIENT_PREFIX).then(|| {
        PqRecipient::parse(text).map(|recipient| Arc::new(recipient) as _).ok_or_else(|| {
            "not a post-quantum recipient: one has 1,959 letters, and none of them wrong".to_owned()
        })
    })
}

/// Without them a plugin that is called `pq` may know such recipients.
#[cfg(not(feature = "pq"))]
fn post_quantum_recipient(_: &str) -> Option<Result<Arc<dyn age::Recipient + Send + Sync>, String>> {
    None
}

#[cfg(feature = "ssh")]
fn parse_ssh_recipient(text: &str) -> Result<Arc<dyn age::Recipient + Send + Sync>, String> {
    use age::ssh::ParseRecipientKeyError::{RsaModulusTooLarge, RsaModulusTooSmall, Unsupported};
    match text.parse::<age::ssh::Recipient>() {
        Ok(recipient) => Ok(Arc::new(recipient)),
        Err(RsaModulusTooLarge) => Err("this SSH key's modulus is above 4096 bits".to_owned()),
        Err(RsaModulusTooSmall) => Err("this SSH key's modulus is below 2048 bits".to_owned()),
        Err(Unsupported(kind)) => {
            Err(format!("SSH keys of the kind {kind} cannot decrypt; ssh-ed25519 and ssh-rsa can"))
        }
        Err(_) => Err("not an SSH public key".to_owned()),
    }
}

#[cfg(not(feature = "ssh"))]
fn parse_ssh_recipient(_: &str) -> Result<Arc<dyn age::Recipient + Send + Sync>, String> {
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
