//! The header of an `RSE1` stream: what its segments are sealed with, and the key that is derived from it.
//! It knows no segment.

use frame_worker::Suite;
use framing::limits::FRAME_LEN_MAX;
use hkdf::Hkdf;
use keys::{ForeignKey, Zeroizing};
use sha2::{Sha256, Sha512};

use crate::bytes::{bytes_at, le16_at, le32_at};
use crate::{Fault, FaultKind};

/// What the header of a stream says.
pub(super) struct Header {
    pub(super) suite: Suite,
    kdf: Kdf,
    /// Plaintext bytes of a segment, but for the last.
    pub(super) chunk_len: usize,
    /// Plaintext bytes of the stream, where it says them.
    pub(super) declared_len: Option<u64>,
}

enum Kdf {
    Sha256,
    Sha512,
    Blake3,
}

impl Header {
    pub(super) fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Header, Fault> {
        let version = le16_at(bytes, VERSION_AT);
        if version != VERSION {
            return Err(unsupported(format!("is of version {version}: 1 is known")));
        }
        if crc32fast::hash(&bytes[..CRC_AT]) != le32_at(bytes, CRC_AT) {
            return Err(Fault::damaged("the checksum of the RSE1 stream's header is wrong"));
        }
        let suite = match le16_at(bytes, CIPHER_AT) {
            1 => Suite::Aes256Gcm,
            2 => Suite::ChaCha20Poly1305,
            other => return Err(unsupported(format!("has the cipher {other}: 1 and 2 are known"))),
        };
        let kdf = match le16_at(bytes, KDF_AT) {
            1 => Kdf::Sha256,
            2 => Kdf::Sha512,
            5 => Kdf::Blake3,
            other => {
                return Err(unsupported(format!("derives its key in the way {other}: 1, 2 and 5 are read")));
            }
        };
        let compression = le16_at(bytes, COMPRESSION_AT);
        if compression != 0 {
            return Err(unsupported(format!("is compressed in the way {compression}, which is not read")));
        }
        let flags = le16_at(bytes, FLAGS_AT);
        let is_known = flags & !FLAGS_KNOWN == 0
            && PROFILES.contains(&le16_at(bytes, PROFILE_AT))
            && le16_at(bytes, STRATEGY_AT) <= 2
            && (1..=3).contains(&le16_at(bytes, DOMAIN_AT))
            && bytes[RESERVED_AT..].iter().all(|byte| *byte == 0)
            && bytes[SALT_AT..KEY_ID_AT].iter().any(|byte| *byte != 0);
        if !is_known {
            return Err(unsupported("has flags or fields that are not known".to_owned()));
        }
        let chunk_len = le32_at(bytes, CHUNK_LEN_AT) as usize;
        if !(1..=CHUNK_LEN_MAX).contains(&chunk_len) {
            let what =
                format!("the RSE1 stream has chunks of {chunk_len} bytes: 1 to {CHUNK_LEN_MAX} are read");
            return Err(Fault::new(FaultKind::Limit, what));
        }
        let declared_len = bytes_at(bytes, PLAINTEXT_LEN_AT).map(u64::from_le_bytes);
        let declared_len = declared_len.filter(|_| flags & HAS_PLAINTEXT_LEN != 0);
        Ok(Header { suite, kdf, chunk_len, declared_len })
    }

    /// The key of the stream that begins with `bytes`, out of the `master` key.
    pub(super) fn derive_key(
        &self,
        bytes: &[u8; HEADER_LEN],
        master: &ForeignKey,
    ) -> Result<Zeroizing<[u8; 32]>, Fault> {
        let salt = &bytes[SALT_AT..KEY_ID_AT];
        let info = [&bytes[..PLAINTEXT_LEN_AT], &bytes[KEY_ID_AT..HINT_AT]].concat();
        let mut key = Zeroizing::new([0; 32]);
        let derived = match self.kdf {
            Kdf::Sha256 => Hkdf::<Sha256>::new(Some(salt), master.bytes()).expand(&info, &mut *key),
            Kdf::Sha512 => Hkdf::<Sha512>::new(Some(salt), master.bytes()).expand(&info, &mut *key),
            Kdf::Blake3 => {
                let mut hasher = blake3::Hasher::new_derive_key(BLAKE3_CONTEXT);
                hasher.update(master.bytes()).update(salt).update(&info);
                hasher.finalize_xof().fill(&mut *key);
                Ok(())
            }
        };
        derived.expect("HKDF gives 32 bytes");
        Ok(key)
    }
}

fn unsupported(what: String) -> Fault {
    Fault::new(FaultKind::Unsupported, format!("the RSE1 stream {what}"))
}

/// What a stream begins with.
pub(crate) const MAGIC: &[u8; 4] = b"RSE1";
/// Bytes before the first segment.
pub(crate) const HEADER_LEN: usize = 80;
const VERSION: u16 = 1;
const VERSION_AT: usize = 4;
const PROFILE_AT: usize = 6;
const CIPHER_AT: usize = 8;
const KDF_AT: usize = 10;
const COMPRESSION_AT: usize = 12;
const STRATEGY_AT: usize = 14;
const DOMAIN_AT: usize = 16;
const FLAGS_AT: usize = 18;
const CHUNK_LEN_AT: usize = 20;
const PLAINTEXT_LEN_AT: usize = 24;
const CRC_AT: usize = 32;
const SALT_AT: usize = 40;
const KEY_ID_AT: usize = 56;
const HINT_AT: usize = 60;
const RESERVED_AT: usize = 72;
const HAS_PLAINTEXT_LEN: u16 = 1;
/// All but that of a dictionary for compression.
const FLAGS_KNOWN: u16 = 0x2F;
/// Pairs of cipher and key derivation. They are stated besides, and that is what counts.
const PROFILES: [u16; 5] = [0x0101, 0x0102, 0x0201, 0x0202, 0x0203];
const BLAKE3_CONTEXT: &str = "RSE1|HKDF|SESSION";
/// The library offers up to 4 MiB.
const CHUNK_LEN_MAX: usize = FRAME_LEN_MAX as usize;
