//! Owns the age half of lists and changes: which stanza of a slot an identity opens, and a header with some of them taken out.
//! Refuses to know the other kinds of slots. The file key and the payload stay as they are.

use std::collections::BTreeSet;

use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza, read};
use age_core::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::age_header::{self, StanzaPlace, VERSION};
use crate::age_identities::AgeIdentities;
use crate::recipient_list::{ListedRecipient, RecipientKind};
use crate::schedule::{expand, extract, mac, macs_equal};
use crate::slot::SealedSlot;

impl AgeIdentities {
    /// The age file in `body` without the stanzas of these numbers, and with the MAC of the header that is left. `None` where no
    /// identity opens it.
    pub(crate) fn without_stanzas(&self, body: &[u8], gone: &BTreeSet<usize>) -> Option<Vec<u8>> {
        let header = Header::of(body)?;
        let key = self.file_key(&header)?;
        let kept = header.stanzas.iter().enumerate().filter(|(number, _)| !gone.contains(number));
        let lines: Vec<&[u8]> = kept.map(|(_, stanza)| &body[stanza.lines.clone()]).collect();
        let mut changed = [VERSION, b"\n", &lines.concat(), MARK].concat();
        let mac = BASE64_STANDARD_NO_PAD.encode(mac_of(&key, &changed));
        changed.extend([b" ", mac.as_bytes(), b"\n", &body[header.len..]].concat());
        Some(changed)
    }

    /// Marks what of `list` an identity of this set opens, and whose it is where that is known. No plugin is asked, which might ask somebody
    /// for each stanza: nothing is said of stanzas of other types than age's own and SSH keys, nor of those that a plugin alone might open.
    pub(crate) fn mark(&self, slots: &[SealedSlot], list: &mut [ListedRecipient]) {
        for listed in list {
            let RecipientKind::Age { stanza: kind, .. } = &listed.kind else { continue };
            let Some(at) = listed.stanza.filter(|_| QUIET.contains(&&**kind)) else { continue };
            let body = &slots[listed.slot].body;
            let Some(header) = Header::of(body) else { continue };
            let Some(stanza) = header.stanzas.get(at).and_then(|place| header.stanza(place)) else {
                continue;
            };
            let opens = |identity: &dyn age::Identity| {
                let key = identity.unwrap_stanza(&stanza).and_then(Result::ok);
                key.is_some_and(|key| header.is_of(&bytes_of(&key)))
            };
            listed.recipient =
                self.named().find(|(identity, _)| opens(*identity)).map(|(_, name)| name.to_owned());
            let is_opened = listed.recipient.is_some() || self.quiet().any(opens);
            listed.opens = (is_opened || !self.may_ask()).then_some(is_opened);
        }
    }

    /// The key of the file whose header this is, which is authentic by it.
    fn file_key(&self, header: &Header<'_>) -> Option<FileKeyBytes> {
        let stanzas: Vec<Stanza> = header.stanzas.iter().filter_map(|place| header.stanza(place)).collect();
        let keys = self.identities().filter_map(|identity| identity.unwrap_stanzas(&stanzas)?.ok());
        keys.map(|key| bytes_of(&key)).find(|key| header.is_of(key))
    }
}

/// What a stanza for the SSH public key on this line (`ssh-ed25519 AAAA… …`) says of whose it is: the beginning of the key's hash.
/// `None` for anything else.
pub fn ssh_tag(public_key: &str) -> Option<String> {
    let mut words = public_key.split_ascii_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    let is_known = ["ssh-ed25519", "ssh-rsa"].contains(&kind);
    // OpenSSH pads its base64; the blob says its own kind, which age hashes with it.
    let blob = BASE64_STANDARD.decode(key).ok().filter(|_| is_known)?;
    Some(BASE64_STANDARD_NO_PAD.encode(&Sha256::digest(blob)[..SSH_TAG_LEN]))
}

type FileKeyBytes = Zeroizing<[u8; FILE_KEY_BYTES]>;

/// A header that parses.
struct Header<'a> {
    body: &'a [u8],
    len: usize,
    stanzas: Vec<StanzaPlace<'a>>,
}

impl<'a> Header<'a> {
    fn of(body: &'a [u8]) -> Option<Header<'a>> {
        let len = age_header::parse(body).ok()?.len;
        Some(Header { body, len, stanzas: age_header::stanzas(body) })
    }

    fn stanza(&self, place: &StanzaPlace<'_>) -> Option<Stanza> {
        let (_, stanza) = read::age_stanza(&self.body[place.lines.clone()]).ok()?;
        Some(Stanza::from(stanza))
    }

    /// Whether its MAC is by this key.
    fn is_of(&self, key: &FileKeyBytes) -> bool {
        let end = self.stanzas.last().map_or(0, |stanza| stanza.lines.end) + MARK.len();
        let Some(claimed) = self.body.get(end + 1..self.len - 1) else { return false };
        let claimed = BASE64_STANDARD_NO_PAD.decode(claimed).ok().and_then(|mac| mac.try_into().ok());
        claimed.is_some_and(|claimed| macs_equal(&claimed, &mac_of(key, &self.body[..end])))
    }
}

/// C2SP age.md: HMAC-SHA-256 over the header up to and with `---`, under HKDF-SHA-256 of the file key, without salt, for "header".
fn mac_of(key: &FileKeyBytes, header: &[u8]) -> [u8; 32] {
    mac(&expand(&extract(&[], &key[..]), &[b"header"]), &[header])
}

fn bytes_of(key: &FileKey) -> FileKeyBytes {
    let mut bytes = Zeroizing::new([0; FILE_KEY_BYTES]);
    bytes.copy_from_slice(key.expose_secret());
    bytes
}

/// Bytes of the hash.
const SSH_TAG_LEN: usize = 4;
/// What the line of the MAC begins with.
const MARK: &[u8] = b"---";
/// Types of stanzas that are opened without asking anybody.
const QUIET: [&str; 4] = ["X25519", "mlkem768x25519", "ssh-ed25519", "ssh-rsa"];
