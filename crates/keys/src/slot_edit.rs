//! Owns changes to who can open a stream that leave the others as they are: slots taken out, and others added.
//! Refuses to know where the slots are written, and who asks for it.

use std::collections::BTreeSet;

use crate::error::{KeyError, KeyMaterial};
use crate::identities::Identities;
use crate::recipient_list::{ListedRecipient, RecipientKind, list_recipients};
use crate::recipients::{Recipients, check_len};
use crate::slot::{SLOT_COUNT_MAX, SealedSlot};
use crate::stream_key::StreamKey;

impl Identities {
    /// The slots of a stream without those of the list whose numbers `removed` has, and with those of `added`. All others stay as they
    /// are, byte for byte, but for an age file out of which some are taken: its header gets another MAC, for which one of this set
    /// has to open that file.
    ///
    /// `slots` are authentic, `stream_key` is what they yield, and `preamble_head` is bytes 0..80 of the stream's preamble.
    ///
    /// # Errors
    /// [`KeyError::Unreadable`] for a number that is not in the list, for an age file that none of this set opens, and where classic and
    /// post-quantum recipients would stand beside each other by this; [`KeyError::NoRecipients`] where nobody would be left; else as
    /// [`Recipients::wrap`].
    pub fn change_slots(
        &self,
        slots: &[SealedSlot],
        removed: &[usize],
        added: Option<&Recipients>,
        stream_key: &StreamKey,
        preamble_head: &[u8; 80],
    ) -> Result<Vec<SealedSlot>, KeyError> {
        let list = list_recipients(slots);
        let removed: BTreeSet<usize> = removed.iter().copied().collect();
        if let Some(number) = removed.iter().find(|number| !(1..=list.len()).contains(number)) {
            return Err(no_such(*number, list.len()));
        }
        let mut changed = Vec::new();
        for (index, slot) in slots.iter().enumerate() {
            let of_slot = || list.iter().filter(|listed| listed.slot == index);
            let gone: Vec<&ListedRecipient> =
                of_slot().filter(|listed| removed.contains(&listed.number)).collect();
            match gone.len() {
                0 => changed.push(slot.clone()),
                all if all == of_slot().count() => {}
                _ => changed.push(self.without_stanzas(slot, &gone)?),
            }
        }
        let kept = list_recipients(&changed);
        let new = added.map(|added| added.wrap(stream_key, preamble_head)).transpose()?.unwrap_or_default();
        refuse_mixture(&kept, &list_recipients(&new))?;
        changed.extend(new);
        // A passphrase costs a second and a question: it is tried last.
        changed.sort_by_key(is_passphrase);
        check(&changed)?;
        Ok(changed)
    }

    #[cfg(feature = "age")]
    fn without_stanzas(&self, slot: &SealedSlot, gone: &[&ListedRecipient]) -> Result<SealedSlot, KeyError> {
        let stanzas: BTreeSet<usize> = gone.iter().filter_map(|listed| listed.stanza).collect();
        let body = self.age.without_stanzas(&slot.body, &stanzas).ok_or_else(|| not_opened(gone))?;
        Ok(SealedSlot { kind: crate::slot::KIND_AGE, body })
    }

    #[cfg(not(feature = "age"))]
    fn without_stanzas(&self, _: &SealedSlot, gone: &[&ListedRecipient]) -> Result<SealedSlot, KeyError> {
        Err(not_opened(gone))
    }
}

fn check(slots: &[SealedSlot]) -> Result<(), KeyError> {
    let is_somebody = |listed: &ListedRecipient| !matches!(listed.kind, RecipientKind::Unknown(_));
    if !list_recipients(slots).iter().any(is_somebody) {
        return Err(KeyError::NoRecipients);
    }
    if slots.len() > SLOT_COUNT_MAX {
        return Err(KeyError::TooMany { what: "key slots", count: slots.len(), max: SLOT_COUNT_MAX });
    }
    check_work(slots)?;
    check_len(slots)
}

#[cfg(feature = "age")]
fn check_work(slots: &[SealedSlot]) -> Result<(), KeyError> {
    let work = crate::scrypt_work::scrypt_work(slots);
    match work > crate::SCRYPT_WORK_MAX {
        true => {
            let (count, max) = (work as usize, crate::SCRYPT_WORK_MAX as usize);
            Err(KeyError::TooMany { what: "steps of scrypt over all passphrases", count, max })
        }
        false => Ok(()),
    }
}

#[cfg(not(feature = "age"))]
fn check_work(_: &[SealedSlot]) -> Result<(), KeyError> {
    Ok(())
}

/// Whoever adds a classic recipient to post-quantum ones takes away what those were for; the other way round adds nothing.
fn refuse_mixture(kept: &[ListedRecipient], new: &[ListedRecipient]) -> Result<(), KeyError> {
    let public = |listed: &&ListedRecipient| matches!(listed.kind, RecipientKind::Age { .. });
    let has = |list: &[ListedRecipient], post_quantum| {
        list.iter().filter(public).any(|listed| listed.kind.is_post_quantum() == Some(post_quantum))
    };
    if has(kept, true) && has(new, false) || has(kept, false) && has(new, true) {
        let problem = "the stream would be for post-quantum recipients and for others, and open as those do: replace all at once";
        return Err(KeyError::unreadable(KeyMaterial::Recipient, problem));
    }
    Ok(())
}

fn is_passphrase(slot: &SealedSlot) -> bool {
    let kinds = list_recipients(std::slice::from_ref(slot));
    kinds.iter().any(|listed| listed.kind == RecipientKind::Passphrase)
}

fn no_such(number: usize, count: usize) -> KeyError {
    let problem = format!("there is no number {number} in the list of {count}");
    KeyError::unreadable(KeyMaterial::Recipient, problem)
}

fn not_opened(gone: &[&ListedRecipient]) -> KeyError {
    let numbers: Vec<String> = gone.iter().map(|listed| listed.number.to_string()).collect();
    let problem = format!(
        "number {} is in one age file with others, and none of the identities given opens that: give one that does, or name \
         everyone who should keep access",
        numbers.join(" and ")
    );
    KeyError::unreadable(KeyMaterial::Recipient, problem)
}
