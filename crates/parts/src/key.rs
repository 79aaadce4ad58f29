//! The key of a plan: 32 random bytes, the MACs under it, and what derives from it.
//! It knows no file. Whoever has it can write plans and receipts, and opens no stream with it.

use std::error::Error;
use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::PlanId;

/// Authenticates the plan and all that is said under it. Each plan has its own.
#[derive(Clone)]
pub struct PlanKey(Zeroizing<[u8; PlanKey::LEN]>);

impl PlanKey {
    /// Bytes of a key.
    pub const LEN: usize = 32;

    /// Draws a key from the operating system's random numbers.
    ///
    /// # Errors
    /// The operating system gave none.
    pub fn generate() -> Result<PlanKey, RandomError> {
        let mut bytes = Zeroizing::new([0; PlanKey::LEN]);
        getrandom::fill(&mut *bytes).map_err(RandomError)?;
        Ok(PlanKey(bytes))
    }

    /// The key that the content of a key file is: 64 hexadecimal digits, and a line end or none. `None` if it is anything else.
    pub fn parse(content: &[u8]) -> Option<PlanKey> {
        let digits = content.strip_suffix(b"\n").unwrap_or(content);
        let mut bytes = Zeroizing::new([0; PlanKey::LEN]);
        if digits.len() != 2 * PlanKey::LEN {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(PlanKey(bytes))
    }

    /// The content of a key file.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(2 * PlanKey::LEN + 1));
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(digit.into(), 16));
            }
        }
        text.push('\n');
        text
    }

    /// What names the attempt to put the target of this plan in place, in whatever journal is kept of it. Nobody without the key makes it.
    pub fn target_label(&self, plan: PlanId) -> [u8; 32] {
        self.mac(format!("cofferdam-target 1\nplan {plan}\n").as_bytes())
    }

    /// The key of the digests of pieces.
    pub(crate) fn of_pieces(&self, plan: PlanId) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.mac(format!("cofferdam-pieces 1\nplan {plan}\n").as_bytes()))
    }

    /// HMAC-SHA-256 (RFC 2104). What is under it begins with its kind, so that no record is taken for one of another kind.
    pub(crate) fn mac(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("a MAC's key may have any length");
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    pub(crate) fn verify(&self, message: &[u8], mac: &[u8; 32]) -> bool {
        self.mac(message).ct_eq(mac).into()
    }
}

impl fmt::Debug for PlanKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PlanKey")
    }
}

/// The operating system gave no random numbers.
#[derive(Debug)]
pub struct RandomError(getrandom::Error);

impl fmt::Display for RandomError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the operating system gave no random numbers: {}", self.0)
    }
}

impl Error for RandomError {}

/// Draws an id.
pub(crate) fn random_id() -> Result<[u8; 16], RandomError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(RandomError)?;
    Ok(id)
}
