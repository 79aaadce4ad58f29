//! Owns X-Wing (draft-connolly-cfrg-xwing-kem) as a KEM of HPKE, number 0x647a, for the age crate's generation of HPKE: the next one
//! brings its own, and cannot stand beside it yet. ML-KEM, X25519 and the hashes are libraries'.
//! Refuses to know age, and a share of X25519 that gives zeros.

use hpke::generic_array::typenum::{Sum, U32};
use hpke::kem::SharedSecret;
use hpke::rand_core::{CryptoRng, RngCore};
use hpke::{Deserializable, HpkeError, Kem, Serializable};
use ml_kem::kem::{Decapsulate as _, Encapsulate as _};
use ml_kem::{EncodedSizeUser, KemCore, MlKem768};
use sha3::digest::{ExtendableOutput as _, FixedOutput as _, Update as _, XofReader as _};
use sha3::{Sha3_256, Shake256};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

/// The KEM.
pub(crate) struct XWing;

/// 32 bytes, from which all else derives. Zeroed when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SecretKey(Zeroizing<[u8; SEED_LEN]>);

/// A key of ML-KEM-768, and a point of X25519.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey(Box<[u8; PUBLIC_LEN]>);

/// A ciphertext of ML-KEM-768, and a point of X25519.
#[derive(Clone)]
pub(crate) struct Share(Box<[u8; SHARE_LEN]>);

impl SecretKey {
    pub(crate) fn new(seed: Zeroizing<[u8; SEED_LEN]>) -> SecretKey {
        SecretKey(seed)
    }

    pub(crate) fn seed(&self) -> &[u8; SEED_LEN] {
        &self.0
    }

    /// The secret keys of both halves.
    fn expanded(&self) -> (MlSecret, Zeroizing<[u8; 32]>) {
        let mut reader = Shake256::default().chain(&self.0[..]).finalize_xof();
        let [mut d, mut z, mut x] = [(); 3].map(|()| Zeroizing::new([0; 32]));
        for part in [&mut d, &mut z, &mut x] {
            reader.read(&mut part[..]);
        }
        let (secret, _) = MlKem768::generate_deterministic(&(*d).into(), &(*z).into());
        (secret, x)
    }
}

impl PublicKey {
    fn halves(&self) -> (&[u8; ML_PUBLIC_LEN], &[u8; 32]) {
        halves(&self.0)
    }
}

/// Whether X25519 gives zeros with this share, whatever the secret: it would add nothing.
pub(crate) fn is_of_low_order(share: &[u8; 32]) -> bool {
    x25519([1; 32], *share) == [0; 32]
}

impl Kem for XWing {
    type PublicKey = PublicKey;
    type PrivateKey = SecretKey;
    type EncappedKey = Share;
    type NSecret = U32;

    const KEM_ID: u16 = 0x647a;

    fn sk_to_pk(secret: &SecretKey) -> PublicKey {
        let (ml, x) = secret.expanded();
        let mut public = Box::new([0; PUBLIC_LEN]);
        let (of_ml, of_x) = public.split_at_mut(ML_PUBLIC_LEN);
        of_ml.copy_from_slice(&ml.encapsulation_key().as_bytes());
        of_x.copy_from_slice(&x25519(*x, X25519_BASEPOINT_BYTES));
        PublicKey(public)
    }

    /// draft-ietf-hpke-pq: SHAKE256.LabeledDerive(ikm, "DeriveKeyPair", "", 32).
    fn derive_keypair(key_material: &[u8]) -> (SecretKey, PublicKey) {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        let label = b"DeriveKeyPair";
        let hash = Shake256::default()
            .chain(key_material)
            .chain(b"HPKE-v1KEM")
            .chain(Self::KEM_ID.to_be_bytes())
            .chain((label.len() as u16).to_be_bytes())
            .chain(label)
            .chain((SEED_LEN as u16).to_be_bytes());
        hash.finalize_xof_into(&mut seed[..]);
        let secret = SecretKey(seed);
        let public = Self::sk_to_pk(&secret);
        (secret, public)
    }

    fn decap(
        secret: &SecretKey,
        sender: Option<&PublicKey>,
        share: &Share,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        let (of_ml, of_x) = halves::<SHARE_LEN, ML_SHARE_LEN>(&share.0);
        if sender.is_some() || is_of_low_order(of_x) {
            return Err(HpkeError::DecapError);
        }
        let (ml, x) = secret.expanded();
        let by_ml = ml.decapsulate(&(*of_ml).into()).map_err(|()| HpkeError::DecapError)?;
        let by_x = Zeroizing::new(x25519(*x, *of_x));
        Ok(combined(&by_ml, &by_x, of_x, &x25519(*x, X25519_BASEPOINT_BYTES)))
    }

    fn encap<R: CryptoRng + RngCore>(
        public: &PublicKey,
        sender: Option<(&SecretKey, &PublicKey)>,
        random: &mut R,
    ) -> Result<(SharedSecret<Self>, Share), HpkeError> {
        let (of_ml, of_x) = public.halves();
        if sender.is_some() || is_of_low_order(of_x) {
            return Err(HpkeError::EncapError);
        }
        let (ml_share, by_ml) =
            MlPublic::from_bytes(&(*of_ml).into()).encapsulate(random).map_err(|()| HpkeError::EncapError)?;
        let mut x = Zeroizing::new([0; 32]);
        random.fill_bytes(&mut x[..]);
        let x_share = x25519(*x, X25519_BASEPOINT_BYTES);
        let by_x = Zeroizing::new(x25519(*x, *of_x));
        let mut share = Box::new([0; SHARE_LEN]);
        let (of_share_ml, of_share_x) = share.split_at_mut(ML_SHARE_LEN);
        of_share_ml.copy_from_slice(&ml_share);
        of_share_x.copy_from_slice(&x_share);
        Ok((combined(&by_ml, &by_x, &x_share, of_x), Share(share)))
    }
}

/// The combiner of X-Wing.
fn combined(by_ml: &[u8], by_x: &[u8; 32], x_share: &[u8; 32], x_public: &[u8; 32]) -> SharedSecret<XWing> {
    let hash = Sha3_256::default().chain(by_ml).chain(by_x).chain(x_share).chain(x_public).chain(LABEL);
    SharedSecret(hash.finalize_fixed())
}

fn halves<const LEN: usize, const ML_LEN: usize>(bytes: &[u8; LEN]) -> (&[u8; ML_LEN], &[u8; 32]) {
    const { assert!(LEN == ML_LEN + 32) };
    let ml = bytes.first_chunk().expect("the length has been asserted");
    (ml, bytes.last_chunk().expect("the length has been asserted"))
}

fn exactly<const LEN: usize>(bytes: &[u8]) -> Result<&[u8; LEN], HpkeError> {
    bytes.try_into().map_err(|_| HpkeError::IncorrectInputLength(LEN, bytes.len()))
}

impl Serializable for SecretKey {
    type OutputSize = U32;

    fn write_exact(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0[..]);
    }
}

impl Deserializable for SecretKey {
    fn from_bytes(bytes: &[u8]) -> Result<SecretKey, HpkeError> {
        exactly(bytes).map(|seed| SecretKey(Zeroizing::new(*seed)))
    }
}

impl Serializable for PublicKey {
    type OutputSize = Sum<<MlPublic as EncodedSizeUser>::EncodedSize, U32>;

    fn write_exact(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0[..]);
    }
}

impl Deserializable for PublicKey {
    /// FIPS 203 §7.2 has a key refused whose numbers are not below the modulus: such a key, read and written again, is another one.
    fn from_bytes(bytes: &[u8]) -> Result<PublicKey, HpkeError> {
        let public = PublicKey(Box::new(*exactly(bytes)?));
        let (of_ml, _) = public.halves();
        match MlPublic::from_bytes(&(*of_ml).into()).as_bytes()[..] == of_ml[..] {
            true => Ok(public),
            false => Err(HpkeError::ValidationError),
        }
    }
}

impl Serializable for Share {
    type OutputSize = Sum<<MlKem768 as KemCore>::CiphertextSize, U32>;

    fn write_exact(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0[..]);
    }
}

impl Deserializable for Share {
    fn from_bytes(bytes: &[u8]) -> Result<Share, HpkeError> {
        exactly(bytes).map(|share| Share(Box::new(*share)))
    }
}

type MlSecret = <MlKem768 as KemCore>::DecapsulationKey;
type MlPublic = <MlKem768 as KemCore>::EncapsulationKey;

/// Bytes of a secret key.
pub(crate) const SEED_LEN: usize = 32;
/// Bytes of a public key.
pub(crate) const PUBLIC_LEN: usize = ML_PUBLIC_LEN + 32;
/// Bytes of a share.
pub(crate) const SHARE_LEN: usize = ML_SHARE_LEN + 32;
const ML_PUBLIC_LEN: usize = 1184;
const ML_SHARE_LEN: usize = 1088;
const LABEL: &[u8] = br"\.//^\";

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the bytes that it was made with.
    struct Given<'a>(&'a [u8]);

    impl RngCore for Given<'_> {
        fn next_u32(&mut self) -> u32 {
            unreachable!("bytes are asked for")
        }

        fn next_u64(&mut self) -> u64 {
            unreachable!("bytes are asked for")
        }

        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            let (given, rest) = self.0.split_at(bytes.len());
            bytes.copy_from_slice(given);
            self.0 = rest;
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), hpke::rand_core::Error> {
            self.fill_bytes(bytes);
            Ok(())
        }
    }

    impl CryptoRng for Given<'_> {}

    /// The vectors of draft-connolly-cfrg-xwing-kem; `xwing.txt` has for each a line of seed, public key, randomness, ciphertext, secret.
    #[test]
    fn the_drafts_vectors() {
        let lines = include_str!("../tests/vectors/xwing.txt").lines().filter(|line| !line.starts_with('#'));
        let mut count = 0;
        for line in lines {
            let fields: Vec<Vec<u8>> = line.split(' ').map(|field| hex::decode(field).unwrap()).collect();
            let [seed, public, random, share, shared] = &fields[..] else { panic!("{line}") };
            let secret = SecretKey::from_bytes(seed).unwrap();
            let own = XWing::sk_to_pk(&secret);
            assert_eq!(own.to_bytes().as_slice(), public);
            let (found, made) =
                XWing::encap(&PublicKey::from_bytes(public).unwrap(), None, &mut Given(random)).unwrap();
            assert_eq!(
                (made.to_bytes().as_slice(), found.0.as_slice()),
                (share.as_slice(), shared.as_slice())
            );
            let found = XWing::decap(&secret, None, &Share::from_bytes(share).unwrap()).unwrap();
            assert_eq!(found.0.as_slice(), shared);
            count += 1;
        }
        assert_eq!(count, 3);
    }

    #[test]
    fn a_public_key_with_a_number_above_the_modulus_is_none() {
        let (_, public) = XWing::derive_keypair(&[1; 32]);
        let mut bytes = public.to_bytes();
        assert_eq!(PublicKey::from_bytes(&bytes).unwrap(), public);
        // The first number, of 12 bits: 4095.
        bytes[0] = 0xff;
        bytes[1] |= 0x0f;
        assert!(PublicKey::from_bytes(&bytes).is_err());
    }
}
