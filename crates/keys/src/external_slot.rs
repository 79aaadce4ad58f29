//! Owns the body of a slot of kind 3: whose key it is, and the ciphertext that only they can read.
//! Refuses to know any key service.

use crate::error::{KeyError, KeyMaterial};
use crate::slot::{SLOT_BODY_LEN_MAX, SlotFault};

/// The parsed body of a slot of kind 3.
pub(crate) struct ExternalSlot<'a> {
    pub(crate) name: &'a str,
    pub(crate) ciphertext: &'a [u8],
}

impl<'a> ExternalSlot<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, SlotFault> {
        let (name_len, rest) = body
            .split_first_chunk::<2>()
            .ok_or(SlotFault::Malformed("an external key ends inside its name's length"))?;
        let name_len = usize::from(u16::from_le_bytes(*name_len));
        // What contradicts the bytes that are there is damage; only then is there a limit to speak of (FORMAT F2.4).
        let (name, ciphertext) = rest
            .split_at_checked(name_len)
            .ok_or(SlotFault::Malformed("an external key ends inside its name"))?;
        if name_len > EXTERNAL_NAME_LEN_MAX {
            return Err(SlotFault::Limit {
                what: "bytes in an external key's name",
                found: name_len as u64,
                max: EXTERNAL_NAME_LEN_MAX as u64,
            });
        }
        let name = std::str::from_utf8(name)
            .map_err(|_| SlotFault::Malformed("an external key's name is not UTF-8"))?;
        if name.is_empty() {
            return Err(SlotFault::Malformed("an external key has no name"));
        }
        Ok(Self { name, ciphertext })
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, KeyError> {
        if self.name.is_empty() {
            return Err(KeyError::unreadable(KeyMaterial::ExternalKey, "give it a name"));
        }
        let too_many = |what, count, max| KeyError::TooMany { what, count, max };
        let name_len = u16::try_from(self.name.len())
            .ok()
            .filter(|len| usize::from(*len) <= EXTERNAL_NAME_LEN_MAX)
            .ok_or(too_many("bytes in an external key's name", self.name.len(), EXTERNAL_NAME_LEN_MAX))?;
        let ciphertext_len_max = SLOT_BODY_LEN_MAX - 2 - self.name.len();
        if self.ciphertext.len() > ciphertext_len_max {
            return Err(too_many("bytes of an external key", self.ciphertext.len(), ciphertext_len_max));
        }
        Ok([&name_len.to_le_bytes()[..], self.name.as_bytes(), self.ciphertext].concat())
    }
}

/// What an external service is asked about: the key of one stream, under one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ExternalKey<'a> {
    /// Which service and key: the name of the slot.
    pub name: &'a str,
    /// The stream, as its preamble names it. A service that binds the key to it (as "encryption context", say) unwraps it for no
    /// other one.
    pub stream_id: [u8; 16],
}

impl<'a> ExternalKey<'a> {
    pub(crate) fn new(name: &'a str, preamble_head: &[u8; 80]) -> Self {
        let stream_id = preamble_head[STREAM_ID_AT..].first_chunk();
        Self { name, stream_id: *stream_id.expect("the stream's id is within the preamble's head") }
    }
}

/// Where the preamble has the stream's id (FORMAT §4).
const STREAM_ID_AT: usize = 32;
/// Most bytes of an external key's name, which is UTF-8 and not empty.
pub const EXTERNAL_NAME_LEN_MAX: usize = 255;

const _: () = assert!(2 + EXTERNAL_NAME_LEN_MAX <= SLOT_BODY_LEN_MAX);
