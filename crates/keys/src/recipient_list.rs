//! Owns the list of those who can open a stream, as far as its slots say who that is.
//! Refuses to know who opens it, and how a slot is opened.

use crate::age_header;
use crate::external_slot::ExternalSlot;
use crate::slot::{KIND_AGE, KIND_EXTERNAL, KIND_WRAPPING_KEY, SealedSlot};

/// One of those who can open a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ListedRecipient {
    /// Its place in the list, from 1.
    pub number: usize,
    /// The slot that it opens, counted from 0.
    pub slot: usize,
    /// What it is.
    pub kind: RecipientKind,
    /// Whether what was given opens it; `None` where that was not tried.
    pub opens: Option<bool>,
    /// The recipient, `age1…`: known only of those whose identity was given.
    pub recipient: Option<String>,
    /// Of an age file, which of its stanzas.
    pub(crate) stanza: Option<usize>,
}

/// What can open a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecipientKind {
    /// A recipient of age, by the type of its stanza: `X25519`, `mlkem768x25519`, `ssh-ed25519`, `ssh-rsa`, or a plugin's.
    Age {
        /// The stanza's type.
        stanza: String,
        /// Of an SSH key, the beginning of its hash, as the stanza has it.
        tag: Option<String>,
    },
    /// A passphrase.
    Passphrase,
    /// A key that the caller holds: a [`WrappingKey`](crate::WrappingKey).
    KeyFile,
    /// An external service of this name.
    External(String),
    /// A slot of a kind that this release does not know.
    Unknown(u16),
}

impl RecipientKind {
    /// Whether what is wrapped for it withstands a quantum computer. `None` where that is not known: of plugins and services.
    pub fn is_post_quantum(&self) -> Option<bool> {
        match self {
            Self::Age { stanza, .. } if POST_QUANTUM.contains(&&**stanza) => Some(true),
            Self::Age { stanza, .. } if CLASSIC.contains(&&**stanza) => Some(false),
            Self::Passphrase | Self::KeyFile => Some(true),
            Self::Age { .. } | Self::External(_) | Self::Unknown(_) => None,
        }
    }
}

/// Lists those who can open the stream of `slots`, which [`check_slots`](crate::check_slots) has passed, in the order of the slots. The
/// stanza that age adds for nobody is left out.
pub fn list_recipients(slots: &[SealedSlot]) -> Vec<ListedRecipient> {
    let mut list = Vec::new();
    for (slot, sealed) in slots.iter().enumerate() {
        for (stanza, kind) in kinds(sealed) {
            list.push(ListedRecipient {
                number: list.len() + 1,
                slot,
                kind,
                opens: None,
                recipient: None,
                stanza,
            });
        }
    }
    list
}

/// What opens one slot.
fn kinds(slot: &SealedSlot) -> Vec<(Option<usize>, RecipientKind)> {
    let alone = |kind| vec![(None, kind)];
    match slot.kind {
        KIND_AGE => {
            let stanzas = age_header::stanzas(&slot.body).into_iter().enumerate();
            stanzas
                .filter(|(_, stanza)| !stanza.is_grease())
                .map(|(at, stanza)| (Some(at), kind_of(&stanza)))
                .collect()
        }
        KIND_WRAPPING_KEY => alone(RecipientKind::KeyFile),
        KIND_EXTERNAL => {
            let name = ExternalSlot::parse(&slot.body).map(|slot| slot.name.to_owned());
            alone(RecipientKind::External(name.unwrap_or_default()))
        }
        other => alone(RecipientKind::Unknown(other)),
    }
}

fn kind_of(stanza: &age_header::StanzaPlace<'_>) -> RecipientKind {
    let tag = || stanza.arguments.get(1).map(|tag| (*tag).to_owned());
    match stanza.kind() {
        "scrypt" => RecipientKind::Passphrase,
        kind => RecipientKind::Age { stanza: kind.to_owned(), tag: SSH.contains(&kind).then(tag).flatten() },
    }
}

/// Types of stanzas that withstand a quantum computer.
const POST_QUANTUM: [&str; 2] = ["mlkem768x25519", "mlkem768p256tag"];
/// Types of stanzas that do not.
const CLASSIC: [&str; 4] = ["X25519", "p256tag", SSH[0], SSH[1]];
const SSH: [&str; 2] = ["ssh-ed25519", "ssh-rsa"];

#[cfg(test)]
mod tests {
    use super::*;

    fn age(stanzas: &str) -> SealedSlot {
        let body = format!("age-encryption.org/v1\n{stanzas}--- {}\nthe payload\n", "A".repeat(43));
        SealedSlot { kind: KIND_AGE, body: body.into_bytes() }
    }

    #[test]
    fn everybody_has_a_number_and_grease_has_none() {
        let slots = [
            age(
                "-> X25519 share\n\n-> q-grease\n\n-> ssh-ed25519 fCt7bg share\nAAAA\n-> piv-p256 tag share\n\n",
            ),
            SealedSlot { kind: KIND_WRAPPING_KEY, body: vec![0; 80] },
            SealedSlot { kind: KIND_EXTERNAL, body: b"\x03\0kmsopaque".to_vec() },
            SealedSlot { kind: 900, body: Vec::new() },
            age("-> scrypt salt 18\n\n"),
        ];
        let age = |stanza: &str, tag: Option<&str>| RecipientKind::Age {
            stanza: stanza.to_owned(),
            tag: tag.map(str::to_owned),
        };
        let found: Vec<_> =
            list_recipients(&slots).into_iter().map(|it| (it.number, it.slot, it.stanza, it.kind)).collect();
        assert_eq!(
            found,
            [
                (1, 0, Some(0), age("X25519", None)),
                (2, 0, Some(2), age("ssh-ed25519", Some("fCt7bg"))),
                (3, 0, Some(3), age("piv-p256", None)),
                (4, 1, None, RecipientKind::KeyFile),
                (5, 2, None, RecipientKind::External("kms".to_owned())),
                (6, 3, None, RecipientKind::Unknown(900)),
                (7, 4, Some(0), RecipientKind::Passphrase),
            ]
        );
    }
}
