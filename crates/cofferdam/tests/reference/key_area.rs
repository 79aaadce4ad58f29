//! Owns the key area of the reference opener (FORMAT §5): two copies, their slots, and the key that they lead to.
//! Refuses to know what the key is used for after its commitment and the copy's MAC have been checked.

use super::primitives::{Input, Keys, all_zero, expand, hmac, open_aead, u16_at, u32_at, u64_at};
use super::{Key, Verdict, ensure, sound};
use sha2::{Digest, Sha256};

/// Takes the usable copy of the higher generation, the first on a tie, and the other one if its MAC is wrong.
pub(super) fn open_key_area(
    input: &mut Input<'_>,
    pre: &[u8],
    key: Option<&Key>,
) -> Result<(Keys, KeyCopies), Verdict> {
    let len = u32_at(pre, 112) as usize;
    let copies = [input.take(len)?, input.take(len)?];
    let mut usable: Vec<_> = copies.into_iter().filter(|copy| is_usable(copy)).collect();
    usable.sort_by_key(|copy| std::cmp::Reverse(u64_at(copy, 8)));
    for copy in &usable {
        let keys = match key {
            Some(key) => open_copy(copy, pre, key)?,
            None => slots_of(copy).map(|_| Keys::unknown())?,
        };
        let mac = |copy: &[u8]| hmac(&keys.key_area, "keys-mac", &[pre, used(copy)]);
        let has_mac = |copy: &[u8]| !keys.are_known() || mac(copy) == copy[len - 64..len - 32];
        if has_mac(copy) {
            let both = copies.iter().all(|copy| is_usable(copy) && has_mac(copy) && slots_of(copy).is_ok());
            let agree = copies[0] == copies[1] || u64_at(copies[0], 8) != u64_at(copies[1], 8);
            return Ok((keys, if both && agree { KeyCopies::Good } else { KeyCopies::Faulty }));
        }
    }
    let earlier_draft = copies.iter().any(|copy| copy.starts_with(b"CFDKEYS\0"));
    ensure(!(usable.is_empty() && earlier_draft), Verdict::Unsupported)?;
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
    copy[..8] == *b"CFDKEY1\0"
        && slots_end <= mac_at
        && Sha256::digest([used(copy), &copy[mac_at..mac_at + 32]].concat())[..] == copy[mac_at + 32..]
        && all_zero(&copy[22..32])
        && all_zero(&copy[slots_end..mac_at])
}

/// What MAC and checksum cover of a copy: all before the zeros.
fn used(copy: &[u8]) -> &[u8] {
    &copy[..32 + u32_at(copy, 16) as usize]
}

/// The first slot that opens to the committed key decides. One that opens to anything else is damage; else the first that
/// shows a fault while it is tried has its class.
fn open_copy(copy: &[u8], pre: &[u8], key: &Key) -> Result<Keys, Verdict> {
    let slots = slots_of(copy)?;
    let scrypt = slots.iter().filter_map(|(kind, body)| work_factor(*kind, body));
    let work = scrypt.filter(|factor| *factor <= 20).map(|factor| 1_u64 << factor).sum();
    let (mut mismatch, mut fault) = (false, None);
    for (kind, body) in slots {
        for key in key.each() {
            match open_slot(kind, body, pre, key, work).map(|stream_key| Keys::derive(pre, &stream_key)) {
                Ok(keys) if keys.commitment == pre[80..112] => return Ok(keys),
                Ok(_) => mismatch = true,
                Err(Verdict::NoKey) => {}
                Err(found) => fault = fault.or(Some(found)),
            }
        }
    }
    ensure(!mismatch, Verdict::Damaged("a slot holds a key that is not committed to"))?;
    Err(fault.unwrap_or(Verdict::NoKey))
}

impl Key {
    fn each(&self) -> Vec<&Key> {
        match self {
            Key::Several(keys) => keys.iter().flat_map(Key::each).collect(),
            one => vec![one],
        }
    }
}

/// The slots, and each of them well formed.
fn slots_of(copy: &[u8]) -> Result<Vec<(u16, &[u8])>, Verdict> {
    ensure(u16_at(copy, 20) <= 16, Verdict::Limit)?;
    let slots = split_slots(&copy[32..32 + u32_at(copy, 16) as usize], u16_at(copy, 20))?;
    slots.iter().try_for_each(|(kind, body)| check_shape(*kind, body))?;
    Ok(slots)
}

fn split_slots(area: &[u8], count: u16) -> Result<Vec<(u16, &[u8])>, Verdict> {
    let (mut area, mut slots) = (Input { bytes: area, at: 0 }, Vec::new());
    let overrun = |_| Verdict::Damaged("slots overrun their area");
    for _ in 0..count {
        let header = area.take(8).map_err(overrun)?;
        sound(all_zero(&header[2..4]), "reserved bytes of a slot")?;
        let body = area.take(u32_at(header, 4) as usize).map_err(overrun)?;
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
            sound(age_stanzas(body).is_some(), "age header")
        }
        2 => sound(body.len() == 80, "size of a key-file slot"),
        3 => {
            sound(body.len() > 2 && body[..2] != [0, 0], "name of an external key")?;
            let name = body.get(2..2 + u16_at(body, 0) as usize);
            let name = name.ok_or(Verdict::Damaged("name of an external key"))?;
            ensure(name.len() <= 255, Verdict::Limit)?;
            sound(std::str::from_utf8(name).is_ok(), "name of an external key")
        }
        _ => Ok(()), // kinds that this reader does not know are skipped
    }
}

/// The arguments of each stanza of an age header, if it keeps to the grammar of C2SP's age.
fn age_stanzas(body: &[u8]) -> Option<Vec<Vec<&[u8]>>> {
    let mut lines = body.split_inclusive(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\n"));
    let mut stanzas = Vec::new();
    (lines.next()?? == b"age-encryption.org/v1").then_some(())?;
    loop {
        let line = lines.next()??;
        if let Some(mac) = line.strip_prefix(b"--- ") {
            return (mac.len() == 43 && is_base64(mac) && !stanzas.is_empty()).then_some(stanzas);
        }
        let arguments: Vec<_> = line.strip_prefix(b"-> ")?.split(|byte| *byte == b' ').collect();
        let visible = |text: &&[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
        arguments.iter().all(visible).then(|| stanzas.push(arguments))?;
        loop {
            let line = lines.next()??;
            (line.len() <= 64 && is_base64(line)).then_some(())?;
            if line.len() < 64 {
                break;
            }
        }
    }
}

/// Canonical and without padding: the bits of the last character that stand for nothing are 0.
fn is_base64(text: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |byte: &u8| ALPHABET.iter().position(|letter| letter == byte);
    let values: Option<Vec<_>> = text.iter().map(value).collect();
    let step = [1, 65, 16, 4][text.len() % 4]; // one character left over is never right
    values.is_some_and(|values| values.last().is_none_or(|last| step <= 64 && last % step == 0))
}

/// Of a slot with a passphrase alone; what is too large for a number is the largest.
fn work_factor(kind: u16, body: &[u8]) -> Option<u64> {
    match &age_stanzas(body).filter(|_| kind == 1)?[..] {
        [stanza] if stanza[0] == b"scrypt" && stanza.len() == 3 => {
            let digits = std::str::from_utf8(stanza[2]).ok()?;
            let canonical = digits.bytes().all(|digit| digit.is_ascii_digit()) && !digits.starts_with('0');
            canonical.then(|| digits.parse().unwrap_or(u64::MAX))
        }
        _ => None,
    }
}

fn open_slot(kind: u16, body: &[u8], pre: &[u8], key: &Key, work: u64) -> Result<[u8; 32], Verdict> {
    match (kind, key) {
        (1, Key::AgeIdentity(text)) if !is_scrypt_alone(body) => {
            let identity: age::x25519::Identity = text.parse().map_err(|_| Verdict::NoKey)?;
            open_age(body, &identity)
        }
        (1, Key::Passphrase(text)) if is_scrypt_anywhere(body) => {
            let within = |factor| factor <= 20 && work <= 1 << 22;
            ensure(work_factor(kind, body).is_none_or(within), Verdict::Limit)?;
            let mut identity = age::scrypt::Identity::new(text.clone().into());
            identity.set_max_work_factor(20);
            open_age(body, &identity)
        }
        (2, Key::KeyFile(key)) => {
            let (prk, _) = hkdf::Hkdf::<Sha256>::extract(Some(&body[..32]), key);
            let opened = open_aead(1, &expand(&prk, "slot2", &pre[..80]), b"", &body[32..]);
            opened.and_then(|key| key.try_into().ok()).ok_or(Verdict::NoKey)
        }
        _ => Err(Verdict::NoKey),
    }
}

fn is_scrypt_anywhere(body: &[u8]) -> bool {
    age_stanzas(body).is_some_and(|stanzas| stanzas.iter().any(|stanza| stanza[0] == b"scrypt"))
}

fn is_scrypt_alone(body: &[u8]) -> bool {
    is_scrypt_anywhere(body) && age_stanzas(body).is_some_and(|stanzas| stanzas.len() == 1)
}

fn open_age(body: &[u8], identity: &dyn age::Identity) -> Result<[u8; 32], Verdict> {
    use age::DecryptError::{DecryptionFailed, KeyDecryptionFailed, NoMatchingKeys};
    let damaged = |_: std::io::Error| Verdict::Damaged("age payload");
    let file = age::Decryptor::new(body).map_err(|_| Verdict::Damaged("age file"))?;
    let mut payload = file.decrypt(std::iter::once(identity)).map_err(|error| match error {
        NoMatchingKeys | DecryptionFailed | KeyDecryptionFailed => Verdict::NoKey,
        _ => Verdict::Damaged("age file"),
    })?;
    let mut key = Vec::new();
    std::io::Read::read_to_end(&mut payload, &mut key).map_err(damaged)?;
    key.try_into().map_err(|_| Verdict::Damaged("size of the age payload"))
}
