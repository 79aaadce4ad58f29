//! The numbers of the protocol, and its messages as bytes, all big-endian (proto.md, "Values").
//! Reads and writes nothing.

use std::ops::Range;

/// What a server sends first: `NBDMAGIC` and `IHAVEOPT`.
pub(super) const GREETING: [u64; 2] = [0x4e42_444d_4147_4943, OPTION_MAGIC];
/// `IHAVEOPT`, before each option of a client.
pub(super) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;

/// Handshake flags, of both sides.
pub(super) const FIXED_NEWSTYLE: u16 = 1 << 0;
pub(super) const NO_ZEROES: u16 = 1 << 1;

/// Options of a client.
pub(super) const OPT_EXPORT_NAME: u32 = 1;
pub(super) const OPT_ABORT: u32 = 2;
pub(super) const OPT_LIST: u32 = 3;
pub(super) const OPT_INFO: u32 = 6;
pub(super) const OPT_GO: u32 = 7;

/// Replies to options.
pub(super) const REP_ACK: u32 = 1;
pub(super) const REP_SERVER: u32 = 2;
pub(super) const REP_INFO: u32 = 3;
pub(super) const REP_ERR_UNSUP: u32 = (1 << 31) + 1;
pub(super) const REP_ERR_INVALID: u32 = (1 << 31) + 3;
pub(super) const REP_ERR_UNKNOWN: u32 = (1 << 31) + 6;

/// What is said of an export.
const INFO_EXPORT: u16 = 0;
const INFO_BLOCK_SIZE: u16 = 3;

/// `HAS_FLAGS`, `READ_ONLY`, `CAN_MULTI_CONN` and `SEND_CACHE`: nothing changes, so all connections see the same.
pub(super) const TRANSMISSION_FLAGS: u16 = 1 << 0 | 1 << 1 | 1 << 8 | 1 << 10;

/// Commands of a client.
pub(super) const CMD_READ: u16 = 0;
pub(super) const CMD_WRITE: u16 = 1;
pub(super) const CMD_DISC: u16 = 2;
pub(super) const CMD_TRIM: u16 = 4;
pub(super) const CMD_CACHE: u16 = 5;
pub(super) const CMD_WRITE_ZEROES: u16 = 6;

/// Errors, which are those of POSIX.
pub(super) const EPERM: u32 = 1;
pub(super) const EIO: u32 = 5;
pub(super) const EINVAL: u32 = 22;

/// The most bytes that one request reads, which clients are told.
pub const REQUEST_LEN_MAX: u32 = 32 << 20;

/// What a client wants of the export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    pub(super) flags: u16,
    pub(super) command: u16,
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) len: u32,
}

impl Request {
    pub(super) const LEN: usize = 28;

    /// `None` if this is no request.
    pub(super) fn parse(bytes: &[u8; Request::LEN]) -> Option<Request> {
        let mut fields = Fields(bytes);
        let magic = fields.u32()?;
        let request = Request {
            flags: fields.u16()?,
            command: fields.u16()?,
            cookie: fields.u64()?,
            offset: fields.u64()?,
            len: fields.u32()?,
        };
        (magic == REQUEST_MAGIC).then_some(request)
    }

    /// The bytes that it means, which are checked to be there.
    pub(super) fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.len)
    }
}

/// What is sent before the bytes that were read, or instead of them. 0 is no error.
pub(super) fn simple_reply(error: u32, cookie: u64) -> [u8; 16] {
    let mut reply = [0; 16];
    reply[..4].copy_from_slice(&SIMPLE_REPLY_MAGIC.to_be_bytes());
    reply[4..8].copy_from_slice(&error.to_be_bytes());
    reply[8..].copy_from_slice(&cookie.to_be_bytes());
    reply
}

/// The reply `kind` to `option`.
pub(super) fn option_reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).expect("replies are short");
    let head = [&OPTION_REPLY_MAGIC.to_be_bytes()[..], &option.to_be_bytes(), &kind.to_be_bytes()];
    [&head.concat(), &len.to_be_bytes()[..], data].concat()
}

/// What `REP_INFO` says of an export of `len` bytes.
pub(super) fn info_export(len: u64) -> Vec<u8> {
    [&INFO_EXPORT.to_be_bytes()[..], &len.to_be_bytes(), &TRANSMISSION_FLAGS.to_be_bytes()].concat()
}

/// And of its blocks: any byte can be read, `preferred` many at once cost least.
pub(super) fn info_block_size(preferred: u32) -> Vec<u8> {
    let sizes = [1, preferred, REQUEST_LEN_MAX].map(u32::to_be_bytes);
    [&INFO_BLOCK_SIZE.to_be_bytes()[..], &sizes.concat()].concat()
}

/// An export's name in the list of them.
pub(super) fn server_name(name: &str) -> Vec<u8> {
    let len = u32::try_from(name.len()).expect("names are short");
    [&len.to_be_bytes()[..], name.as_bytes()].concat()
}

/// The name that `OPT_INFO` and `OPT_GO` ask for. What they want to know of it is all told. `None` if that is not how they look.
pub(super) fn asked_name(data: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields(data);
    let len = fields.u32()? as usize;
    let name = fields.take(len)?;
    let count = usize::from(fields.u16()?);
    (fields.0.len() == 2 * count).then_some(name)
}

/// Fields in order.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        self.take(LEN)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_28_bytes_behind_its_mark() {
        let mut bytes = *b"\x25\x60\x95\x13\x00\x01\x00\x05cookies!\0\0\0\x01\0\0\0\x02\0\0\x10\0";
        let request = Request {
            flags: 1,
            command: 5,
            cookie: u64::from_be_bytes(*b"cookies!"),
            offset: 1 << 32 | 2,
            len: 4096,
        };
        assert_eq!(Request::parse(&bytes), Some(request));
        bytes[0] ^= 1;
        assert_eq!(Request::parse(&bytes), None);
    }

    #[test]
    fn a_name_is_asked_for_with_as_many_questions_as_it_says() {
        assert_eq!(asked_name(b"\0\0\0\0\0\0"), Some(&b""[..]));
        assert_eq!(asked_name(b"\0\0\0\x02ab\0\x02\0\x03\0\x01"), Some(&b"ab"[..]));
        for wrong in [
            &b""[..],
            b"\0\0\0",
            b"\0\0\0\x01",
            b"\0\0\0\x03ab\0\0",
            b"\xff\xff\xff\xffab\0\0",
            b"\0\0\0\0\0\x01",
            b"\0\0\0\0\0\x01\0",
            b"\0\0\0\0\0\0\0",
        ] {
            assert_eq!(asked_name(wrong), None, "{wrong:?}");
        }
    }
}
