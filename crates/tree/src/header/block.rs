//! One ustar block: its fields, its checksum (TREE T1.5).
//! Knows nothing of extended headers, and not what fields mean together.

use crate::limits::BLOCK_LEN;

/// The fields of a ustar block, as they stand there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Block {
    pub(super) name: Vec<u8>,
    pub(super) mode: u64,
    /// None in base 256, as of the next two: a record has to say it.
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) size: u64,
    pub(super) seconds: Option<u64>,
    pub(super) typeflag: u8,
    pub(super) link: Vec<u8>,
    pub(super) user: Vec<u8>,
    pub(super) group: Vec<u8>,
    pub(super) device: (u64, u64),
    pub(super) prefix: Vec<u8>,
}

impl Block {
    /// Reads a block.
    ///
    /// # Errors
    /// What of it is outside of the strict profile.
    pub(super) fn parse(bytes: &[u8; BLOCK_LEN]) -> Result<Block, &'static str> {
        if bytes[MAGIC.at..MAGIC.end()] != *b"ustar\x0000" {
            return Err(match &bytes[MAGIC.at..MAGIC.end()] {
                b"ustar  \0" => "GNU tar's own format; have it write `posix`",
                _ => "no ustar header",
            });
        }
        if number(bytes, CHECKSUM)? != u64::from(checksum(bytes)) {
            return Err("the checksum of a header is wrong");
        }
        Ok(Block {
            name: text(bytes, NAME),
            mode: number(bytes, MODE)?,
            uid: number_or_record(bytes, UID)?,
            gid: number_or_record(bytes, GID)?,
            size: number(bytes, SIZE)?,
            seconds: number_or_record(bytes, SECONDS)?,
            typeflag: bytes[TYPEFLAG.at],
            link: text(bytes, LINK),
            user: text(bytes, USER),
            group: text(bytes, GROUP),
            device: (number(bytes, MAJOR)?, number(bytes, MINOR)?),
            prefix: text(bytes, PREFIX),
        })
    }

    /// Appends the block to `out`. Texts and numbers fit their fields.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut block = [0; BLOCK_LEN];
        let texts = [
            (NAME, &self.name),
            (LINK, &self.link),
            (USER, &self.user),
            (GROUP, &self.group),
            (PREFIX, &self.prefix),
        ];
        for (field, text) in texts {
            block[field.at..][..text.len()].copy_from_slice(text);
        }
        let numbers = [
            (MODE, self.mode),
            (UID, self.uid.unwrap_or(0)),
            (GID, self.gid.unwrap_or(0)),
            (SIZE, self.size),
            (SECONDS, self.seconds.unwrap_or(0)),
            (MAJOR, self.device.0),
            (MINOR, self.device.1),
        ];
        for (field, number) in numbers {
            put_number(&mut block, field, number);
        }
        block[TYPEFLAG.at] = self.typeflag;
        block[MAGIC.at..MAGIC.end()].copy_from_slice(b"ustar\x0000");
        // POSIX leaves open how it ends; this is what all tar programs write.
        let sum = checksum(&block);
        block[CHECKSUM.at..CHECKSUM.end()].copy_from_slice(b"000000\0 ");
        put_digits(&mut block[CHECKSUM.at..CHECKSUM.at + CHECKSUM_DIGITS], u64::from(sum));
        out.extend_from_slice(&block);
    }

    /// A block of no name, no owner, no bytes.
    pub(super) fn new(typeflag: u8) -> Block {
        Block {
            name: Vec::new(),
            mode: 0,
            uid: Some(0),
            gid: Some(0),
            size: 0,
            seconds: Some(0),
            typeflag,
            link: Vec::new(),
            user: Vec::new(),
            group: Vec::new(),
            device: (0, 0),
            prefix: Vec::new(),
        }
    }
}

/// Whether a block is a header of any tar program, by its checksum. Old ones have summed bytes with a sign.
pub(super) fn is_header(bytes: &[u8; BLOCK_LEN]) -> bool {
    let of_signs = || {
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(byte.cast_signed())).sum::<i64>();
        sum(bytes) - sum(&bytes[CHECKSUM.at..CHECKSUM.end()]) + CHECKSUM.len as i64 * i64::from(b' ')
    };
    match number(bytes, CHECKSUM) {
        Ok(said) => said == u64::from(checksum(bytes)) || i64::try_from(said) == Ok(of_signs()),
        Err(_) => false,
    }
}

/// Where a field is in a block.
#[derive(Clone, Copy)]
pub(super) struct Field {
    at: usize,
    /// In bytes. A text may fill it; a number has a NUL at its end when we write it.
    pub(super) len: usize,
}

impl Field {
    const fn end(self) -> usize {
        self.at + self.len
    }

    /// The greatest number that fits.
    pub(super) const fn number_max(self) -> u64 {
        (1 << (3 * (self.len - 1))) - 1
    }
}

fn text(bytes: &[u8; BLOCK_LEN], field: Field) -> Vec<u8> {
    let bytes = &bytes[field.at..field.end()];
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn number(bytes: &[u8; BLOCK_LEN], field: Field) -> Result<u64, &'static str> {
    let bytes = &bytes[field.at..field.end()];
    if is_base_256(bytes) {
        return Err("a number in base 256");
    }
    let start = bytes.iter().position(|byte| *byte != b' ').unwrap_or(bytes.len());
    let digits = bytes[start..].iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
    let end = start + digits.clone().count();
    if !bytes[end..].iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Err("a number that is not octal");
    }
    // At most twelve digits of three bits.
    Ok(digits.fold(0, |sum, digit| sum << 3 | u64::from(digit - b'0')))
}

fn number_or_record(bytes: &[u8; BLOCK_LEN], field: Field) -> Result<Option<u64>, &'static str> {
    match is_base_256(&bytes[field.at..field.end()]) {
        true => Ok(None),
        false => number(bytes, field).map(Some),
    }
}

fn is_base_256(field: &[u8]) -> bool {
    field[0] & 0x80 != 0
}

fn put_number(block: &mut [u8; BLOCK_LEN], field: Field, number: u64) {
    assert!(number <= field.number_max(), "numbers are compared with their fields before");
    put_digits(&mut block[field.at..field.end() - 1], number);
}

/// Fills `digits` with those of `number`, octal, which has no more.
fn put_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number & 7) as u8;
        number >>= 3;
    }
}

/// The sum of all bytes, those of its own field counted as spaces.
fn checksum(bytes: &[u8; BLOCK_LEN]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(bytes) - sum(&bytes[CHECKSUM.at..CHECKSUM.end()]) + CHECKSUM.len as u32 * u32::from(b' ')
}

pub(super) const NAME: Field = Field { at: 0, len: 100 };
const MODE: Field = Field { at: 100, len: 8 };
pub(super) const UID: Field = Field { at: 108, len: 8 };
const GID: Field = Field { at: 116, len: 8 };
pub(super) const SIZE: Field = Field { at: 124, len: 12 };
pub(super) const SECONDS: Field = Field { at: 136, len: 12 };
const CHECKSUM: Field = Field { at: 148, len: 8 };
/// The greatest sum, of 512 bytes, has six.
const CHECKSUM_DIGITS: usize = 6;
const TYPEFLAG: Field = Field { at: 156, len: 1 };
pub(super) const LINK: Field = Field { at: 157, len: 100 };
/// With the version behind it.
const MAGIC: Field = Field { at: 257, len: 8 };
pub(super) const USER: Field = Field { at: 265, len: 32 };
const GROUP: Field = Field { at: 297, len: 32 };
const MAJOR: Field = Field { at: 329, len: 8 };
const MINOR: Field = Field { at: 337, len: 8 };
pub(super) const PREFIX: Field = Field { at: 345, len: 155 };

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> [u8; BLOCK_LEN] {
        let mut out = Vec::new();
        let full = Block { name: b"n".to_vec(), mode: 0o644, size: 8, ..Block::new(b'0') };
        full.write(&mut out);
        out.try_into().unwrap()
    }

    fn summed(mut bytes: [u8; BLOCK_LEN]) -> [u8; BLOCK_LEN] {
        let sum = format!("{:06o}\0 ", checksum(&bytes));
        bytes[148..156].copy_from_slice(sum.as_bytes());
        bytes
    }

    #[test]
    fn a_number_is_octal_digits_between_spaces_and_an_end() {
        let size = |field: &[u8; 12]| {
            let mut bytes = block();
            bytes[124..136].copy_from_slice(field);
            Block::parse(&summed(bytes)).map(|block| block.size)
        };
        assert_eq!(size(b"00000000010\0"), Ok(8));
        assert_eq!(size(b"         10 "), Ok(8));
        assert_eq!(size(b"777777777777"), Ok((1 << 36) - 1));
        assert_eq!(size(&[0; 12]), Ok(0));
        for bad in [b"00000000018\0", b"-0000000010\0", b"10 10      \0", b"0x000000010\0"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
        assert!(size(b"\x80\0\0\0\0\0\0\0\0\0\0\x08").is_err());
    }

    #[test]
    fn a_changed_byte_is_seen_by_the_checksum() {
        assert!(Block::parse(&block()).is_ok());
        for at in [0, 99, 124, 156, 345, 511] {
            let mut bytes = block();
            bytes[at] ^= 1;
            assert!(Block::parse(&bytes).is_err(), "byte {at}");
        }
    }

    #[test]
    fn other_formats_are_told_by_the_magic() {
        let mut bytes = block();
        bytes[257..265].copy_from_slice(b"ustar  \0");
        assert!(Block::parse(&summed(bytes)).unwrap_err().contains("GNU"));
        bytes[257..265].fill(0);
        assert!(Block::parse(&summed(bytes)).is_err());
    }
}
