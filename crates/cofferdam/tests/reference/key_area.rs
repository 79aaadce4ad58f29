//! Owns the key area of the reference opener: two copies, their slots, and the one key that they lead to.
//! Refuses to know what the key is used for after its commitment and the copy's MAC have been checked.

use super::primitives::{Input, Keys, all_zero, expand, hmac, open_aead, u16_at, u32_at, u64_at};
use super::{Key, Verdict, ensure, sound};
use sha2::{Digest, Sha256};

/// Takes the usable copy of the highest generation (the first of two equal ones), and the other if its MAC is wrong.
pub(super) fn open_key_area(input: &mut Input<'_>, pre: &[u8], key: &Key) -> Result<(Keys, usize), Verdict> {
    let len = u32_at(pre, 112) as usize;
    let copies = [input.take(len)?, input.take(len)?];
    let mut usable: Vec<_> = copies.into_iter().filter(|copy| is_usable(copy)).collect();
    usable.sort_by_key(|copy| std::cmp::Reverse(u64_at(copy, 8)));
    for copy in &usable {
        let keys = Keys::derive(pre, &open_a_slot(copy, pre, key)?);
        sound(keys.commitment == pre[80..112], "the key is not the one committed to")?;
        let mac = |copy: &[u8]| hmac(&keys.key_area, "keys-mac", &[pre, &copy[..len - 64]]);
        let is_good = |copy: &[u8]| mac(copy) == copy[len - 64..len - 32];
        if is_good(copy) {
            let bad = copies.iter().filter(|copy| !is_usable(copy) || !is_good(copy)).count();
            return Ok((keys, bad));
        }
    }
    Err(Verdict::Damaged("both key copies"))
}

fn is_usable(copy: &[u8]) -> bool {
    let (slots_end, mac_at) = (32 + u32_at(copy, 16) as usize, copy.len() - 64);
    copy[..8] == *b"CFDKEYS\0"
        && Sha256::digest(&copy[..copy.len() - 32])[..] == copy[copy.len() - 32..]
        && all_zero(&copy[22..32])
        && slots_end <= mac_at
        && all_zero(&copy[slots_end..mac_at])
}

fn open_a_slot(copy: &[u8], pre: &[u8], key: &Key) -> Result<[u8; 32], Verdict> {
    ensure(u16_at(copy, 20) <= 16, Verdict::Limit)?;
    let mut area = Input { bytes: &copy[32..32 + u32_at(copy, 16) as usize], at: 0 };
    let (overrun, mut slots) = (|_| Verdict::Damaged("slots overrun their area"), Vec::new());
    for _ in 0..u16_at(copy, 20) {
        let header = area.take(8).map_err(overrun)?;
        let (kind, body) = (u16_at(header, 0), area.take(u32_at(header, 4) as usize).map_err(overrun)?);
        sound(all_zero(&header[2..4]) && (kind != 2 || body.len() == 80), "slot header")?;
        let lines = body.split(|byte| *byte == b'\n').take_while(|line| !line.starts_with(b"---"));
        ensure(kind != 1 || lines.filter(|line| line.starts_with(b"-> ")).count() <= 256, Verdict::Limit)?;
        slots.push((kind, body));
    }
    sound(area.at == area.bytes.len(), "bytes after the slots")?;
    let opened = slots.into_iter().find_map(|(kind, body)| match (kind, key) {
        (1, Key::AgeIdentity(text)) => age::decrypt(&text.parse::<age::x25519::Identity>().ok()?, body).ok(),
        (2, Key::KeyFile(key)) => {
            let (prk, _) = hkdf::Hkdf::<Sha256>::extract(Some(&body[..32]), key);
            open_aead(1, &expand(&prk, "slot2", &pre[..80]), b"", &body[32..])
        }
        _ => None, // kinds that this reader does not know are skipped
    });
    opened.ok_or(Verdict::NoKey)?.try_into().map_err(|_| Verdict::Damaged("size of the stream key"))
}
