//! Security keys made of software: what a device puts under a signature is PROTOCOL.u2f of OpenSSH's.
//! Writes signatures by itself, and shares no code with what reads them.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256, Sha512};
use signatures::Message;

/// The flags of a signature for which somebody has touched the device, and of one for which nobody has.
pub(crate) const TOUCHED: u8 = 1;
pub(crate) const NOT_TOUCHED: u8 = 0;

pub(crate) enum Device {
    Ed25519(ed25519_dalek::SigningKey),
    Ecdsa(p256::ecdsa::SigningKey),
}

impl Device {
    /// One of each kind.
    pub(crate) fn both() -> [Device; 2] {
        [
            Device::Ed25519(ed25519_dalek::SigningKey::from_bytes(&[7; 32])),
            Device::Ecdsa(p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap()),
        ]
    }

    fn kind(&self) -> &'static str {
        match self {
            Device::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
            Device::Ecdsa(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// The public key, as it stands in signatures.
    pub(crate) fn public_blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, self.kind().as_bytes());
        match self {
            Device::Ed25519(key) => put(&mut blob, key.verifying_key().as_bytes()),
            Device::Ecdsa(key) => {
                put(&mut blob, b"nistp256");
                put(&mut blob, key.verifying_key().to_encoded_point(false).as_bytes());
            }
        }
        put(&mut blob, APPLICATION);
        blob
    }

    /// The line of its public key.
    pub(crate) fn public_line(&self) -> String {
        format!("{} {} a device\n", self.kind(), BASE64_STANDARD.encode(self.public_blob()))
    }

    /// What the device answers, asked to sign `data`, with these flags.
    pub(crate) fn sign(&self, data: &[u8], flags: u8) -> Vec<u8> {
        let mut signed = Sha256::digest(APPLICATION).to_vec();
        signed.push(flags);
        signed.extend(COUNTER);
        signed.extend(Sha256::digest(data));
        let mut made = Vec::new();
        put(&mut made, self.kind().as_bytes());
        match self {
            Device::Ed25519(key) => put(&mut made, &key.sign(&signed).to_bytes()),
            Device::Ecdsa(key) => {
                let signature: p256::ecdsa::Signature = key.sign(&signed);
                let mut numbers = Vec::new();
                let (r, s) = signature.split_bytes();
                for number in [r, s] {
                    put(&mut numbers, &positive(&number));
                }
                put(&mut made, &numbers);
            }
        }
        made.push(flags);
        made.extend(COUNTER);
        made
    }

    /// The text of a signature by it.
    pub(crate) fn signature_text(&self, message: &Message, flags: u8) -> String {
        self.text_of(message, b"", &self.sign(&signed_data(message, b""), flags))
    }

    /// The same, with `made` by the device, and something in the field that is reserved.
    pub(crate) fn text_of(&self, message: &Message, reserved: &[u8], made: &[u8]) -> String {
        let mut bytes = b"SSHSIG\0\0\0\x01".to_vec();
        for field in [&self.public_blob(), message.namespace().as_bytes(), reserved, b"sha512", made] {
            put(&mut bytes, field);
        }
        let base64 = BASE64_STANDARD.encode(bytes);
        format!("-----BEGIN SSH SIGNATURE-----\n{base64}\n-----END SSH SIGNATURE-----\n")
    }
}

/// What is signed of `message`.
pub(crate) fn signed_data(message: &Message, reserved: &[u8]) -> Vec<u8> {
    let mut data = b"SSHSIG".to_vec();
    for field in [message.namespace().as_bytes(), reserved, b"sha512", &Sha512::digest(message.bytes())] {
        put(&mut data, field);
    }
    data
}

/// A positive number, as SSH writes one: as short as it can be, and never negative.
fn positive(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap();
    let zero = (bytes[start] >= 0x80).then_some(0);
    zero.into_iter().chain(bytes[start..].iter().copied()).collect()
}

fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    to.extend(bytes);
}

const APPLICATION: &[u8] = b"ssh:";
const COUNTER: [u8; 4] = [0, 0, 0, 9];
