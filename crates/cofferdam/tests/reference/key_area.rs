//! Owns the key area of the reference opener (FORMAT §5): two copies, their slots, and the key that they lead to.
//! Refuses to know what the key is used for after its commitment and the copy's MAC have been checked.

use super::primitives::{Input, Keys, all_zero, expand, hmac, open_aead, u16_at, u32_at, u64_at};
use super::{Key, Verdict, ensure, sound};
use sha2::{Digest, Sha256};

/// Takes the usable copy of the higher generation, the first on a tie, and the other one if its MAC is wrong.
pub(super) fn open_key_area(
    input: &mut Input<'_>,
    pre: &[u8],
    key: &Key,
) -> Result<(Keys, KeyCopies), Verdict> {
    let len = u32_at(pre, 112) as usize;
    let copies = [input.take(len)?, input.take(len)?];
    let mut usable: Vec<_> = copies.into_iter().filter(|copy| is_usable(copy)).collect();
    usable.sort_by_key(|copy| std::cmp::Reverse(u64_at(copy, 8)));
    for copy in &usable {
        let keys = open_copy(copy, pre, key)?;
        let mac = |copy: &[u8]| hmac(&keys.key_area, "keys-mac", &[pre, &copy[..len - 64]]);
        let has_mac = |copy: &[u8]| mac(copy) == copy[len - 64..len - 32];
        if has_mac(copy) {
            let both = copies.iter().all(|copy| is_usable(copy) && has_mac(copy));
            let agree = copies[0] == copies[1] || u64_at(copies[0], 8) != u64_at(copies[1], 8);
            return Ok((keys, if both && agree { KeyCopies::Good } else { KeyCopies::Faulty }));
        }
    }
    Err(Verdict::Damaged("both key copies"))
}

/// Whether a complete verification accepts the pair: a stream opens with one good copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyCopies {
    Good,
    Faulty,
}

fn is_usable(copy: &[u8]) -> bool {
    let (slots_end, mac_at) = (32 + u32_at(copy, 16) as usize, copy.len() - 64);
    copy[..8] == *b"CFDKEYS\0"
        && Sha256::digest(&copy[..copy.len() - 32])[..] == copy[copy.len() - 32..]
        && all_zero(&copy[22..32])
        && slots_end <= mac_at
        && all_zero(&copy[slots_end..mac_at])
}

/// The first slot that opens to the committed key decides; one that opens to anything else is remembered as damage.
fn open_copy(copy: &[u8], pre: &[u8], key: &Key) -> Result<Keys, Verdict> {
    ensure(u16_at(copy, 20) <= 16, Verdict::Limit)?;
    let slots = split_slots(&copy[32..32 + u32_at(copy, 16) as usize], u16_at(copy, 20))?;
    slots.iter().try_for_each(|(kind, body)| check_shape(*kind, body))?;
    let mut verdict = Verdict::NoKey;
    for (kind, body) in slots {
        let keys = open_slot(kind, body, pre, key).map(|stream_key| Keys::derive(pre, &stream_key));
        match keys {
            Ok(keys) if keys.commitment == pre[80..112] => return Ok(keys),
            Ok(_) => verdict = Verdict::Damaged("a slot holds a key that is not committed to"),
            Err(Verdict::NoKey) => {}
            Err(fault) => verdict = fault,
        }
    }
    Err(verdict)
}

fn split_slots(area: &[u8], count: u16) -> Result<Vec<(u16, &[u8])>, Verdict> {
    let (mut area, mut slots) = (Input { bytes: area, at: 0 }, Vec::new());
    let overrun = |_| Verdict::Damaged("slots overrun their area");
    for _ in 0..count {
        let header = area.take(8).map_err(overrun)?;
        let body = area.take(u32_at(header, 4) as usize).map_err(overrun)?;
        sound(all_zero(&header[2..4]), "reserved bytes of a slot")?;
        slots.push((u16_at(header, 0), body));
    }
    sound(area.at == area.bytes.len(), "bytes after the slots")?;
    Ok(slots)
}

fn check_shape(kind: u16, body: &[u8]) -> Result<(), Verdict> {
    match kind {
        1 => {
            let lines = body.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"---"));
            ensure(lines.filter(|line| line.starts_with(b"-> ")).count() <= 256, Verdict::Limit)?;
            sound(age::Decryptor::new(body).is_ok(), "age header")
        }
        2 => sound(body.len() == 80, "size of a key-file slot"),
        3 => {
            sound(body.len() > 2 && body[..2] != [0, 0], "name of an external key")?;
            let name_len = u16_at(body, 0) as usize;
            ensure(name_len <= 255, Verdict::Limit)?;
            let name = body.get(2..2 + name_len).map(std::str::from_utf8);
            sound(name.is_some_and(|name| name.is_ok()), "name of an external key")
        }
        _ => Ok(()), // kinds that this reader does not know are skipped
    }
}

fn open_slot(kind: u16, body: &[u8], pre: &[u8], key: &Key) -> Result<[u8; 32], Verdict> {
    match (kind, key) {
        (1, Key::AgeIdentity(text)) => {
            let identity: age::x25519::Identity = text.parse().map_err(|_| Verdict::NoKey)?;
            let payload = age::decrypt(&identity, body).map_err(|error| match error {
                age::DecryptError::NoMatchingKeys => Verdict::NoKey,
                _ => Verdict::Damaged("age file"),
            })?;
            payload.try_into().map_err(|_| Verdict::Damaged("size of the age payload"))
        }
        (2, Key::KeyFile(key)) => {
            let (prk, _) = hkdf::Hkdf::<Sha256>::extract(Some(&body[..32]), key);
            let opened = open_aead(1, &expand(&prk, "slot2", &pre[..80]), b"", &body[32..]);
            opened.and_then(|key| key.try_into().ok()).ok_or(Verdict::NoKey)
        }
        _ => Err(Verdict::NoKey),
    }
}
