//! Owns what stands for age identities and recipients in a build without the feature `age`: nobody, and no slot.
//! Refuses to know age.

use crate::error::KeyError;
use crate::identities::Judge;
use crate::recipient_list::ListedRecipient;
use crate::slot::SealedSlot;
use crate::stream_key::StreamKey;

/// No identity and no passphrase.
#[derive(Clone, Default, Debug)]
pub(crate) struct AgeIdentities;

impl AgeIdentities {
    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn has_passphrase(&self) -> bool {
        false
    }

    pub(crate) fn mark(&self, _: &[SealedSlot], _: &mut [ListedRecipient]) {}

    /// As a set without age identities does it: the slot is passed over.
    pub(crate) fn open(&self, _: &[SealedSlot], _: usize, _: &mut Judge<'_>) -> Option<StreamKey> {
        None
    }
}

/// No recipient and no passphrase.
#[derive(Clone, Default, Debug)]
pub(crate) struct AgeRecipients;

impl AgeRecipients {
    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn slot_count(&self) -> usize {
        0
    }

    pub(crate) fn check_count(&self) -> Result<(), KeyError> {
        Ok(())
    }

    pub(crate) fn shared_slot(&self, _: &StreamKey) -> Result<Option<SealedSlot>, KeyError> {
        Ok(None)
    }

    pub(crate) fn passphrase_slots(&self, _: &StreamKey) -> Result<Vec<SealedSlot>, KeyError> {
        Ok(Vec::new())
    }
}
