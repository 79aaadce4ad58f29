//! Owns the zstd frames of the vectors, put together by hand from RFC 8878: raw and repeated blocks, and headers right or wrong.
//! Refuses to know an encoder: no version of the library may change a vector.

use super::plan::Frame;

const MAGIC: u32 = 0xFD2F_B528;
const SINGLE_SEGMENT: u8 = 1 << 5;

/// What a zstd frame says. A fault is a field that is not what [`ZstdFrame::of`] makes it.
#[derive(Clone)]
pub(super) struct ZstdFrame<'a> {
    pub(super) magic: u32,
    /// Beside the bits that say how long the content size is.
    pub(super) descriptor: u8,
    /// What stands between the descriptor and the content size: a window descriptor, the id of a dictionary.
    pub(super) before_size: &'a [u8],
    pub(super) content_size: ContentSize,
    pub(super) blocks: &'a [Block],
    /// What stands after the last block: a checksum, or what must not be there.
    pub(super) after_blocks: &'a [u8],
}

/// The field, by its bytes: how long it is follows from it.
#[derive(Clone, Copy)]
pub(super) enum ContentSize {
    Absent,
    One(u8),
    /// What the field says plus 256.
    Two(u16),
    Four(u32),
    Eight(u64),
}

/// A block; the last one of a frame says that it is.
#[derive(Clone)]
pub(super) enum Block {
    Raw(Vec<u8>),
    /// One byte so many times.
    Run(u8, usize),
    /// Any type with these bits of size, and what follows the block's header.
    Other {
        block_type: u8,
        size: usize,
        content: Vec<u8>,
    },
}

impl ZstdFrame<'_> {
    /// The right frame of these blocks, with the shortest header.
    pub(super) fn of(blocks: &[Block]) -> ZstdFrame<'_> {
        ZstdFrame {
            magic: MAGIC,
            descriptor: SINGLE_SEGMENT,
            before_size: &[],
            content_size: ContentSize::shortest(content(blocks).len()),
            blocks,
            after_blocks: &[],
        }
    }

    /// A DATA frame of what the blocks say.
    pub(super) fn frame(&self) -> Frame {
        Frame::Compressed { plaintext: content(self.blocks), text: self.text() }
    }

    /// The bytes.
    pub(super) fn text(&self) -> Vec<u8> {
        let (size_bits, size) = self.content_size.field();
        let descriptor = [self.descriptor | size_bits << 6];
        let header = [&self.magic.to_le_bytes()[..], &descriptor, self.before_size, &size].concat();
        let last = self.blocks.len() - 1;
        let blocks = self.blocks.iter().enumerate().flat_map(|(at, block)| block.bytes(at == last));
        header.into_iter().chain(blocks).chain(self.after_blocks.iter().copied()).collect()
    }
}

impl ContentSize {
    pub(super) fn shortest(len: usize) -> ContentSize {
        match u16::try_from(len) {
            Ok(len @ 0..256) => ContentSize::One(len as u8),
            Ok(len) => ContentSize::Two(len - 256),
            Err(_) => ContentSize::Four(u32::try_from(len).expect("a frame is small")),
        }
    }

    /// The bits of the descriptor that say how long it is, and its bytes.
    fn field(self) -> (u8, Vec<u8>) {
        match self {
            ContentSize::Absent => (0, Vec::new()),
            ContentSize::One(size) => (0, vec![size]),
            ContentSize::Two(size) => (1, size.to_le_bytes().to_vec()),
            ContentSize::Four(size) => (2, size.to_le_bytes().to_vec()),
            ContentSize::Eight(size) => (3, size.to_le_bytes().to_vec()),
        }
    }
}

impl Block {
    fn bytes(&self, last: bool) -> Vec<u8> {
        let (block_type, size, content) = match self {
            Block::Raw(bytes) => (0, bytes.len(), bytes.clone()),
            Block::Run(byte, len) => (1, *len, vec![*byte]),
            Block::Other { block_type, size, content } => (*block_type, *size, content.clone()),
        };
        let header = size << 3 | usize::from(block_type) << 1 | usize::from(last);
        [&header.to_le_bytes()[..3], &content].concat()
    }
}

/// What the blocks say.
fn content(blocks: &[Block]) -> Vec<u8> {
    let bytes = |block: &Block| match block {
        Block::Raw(bytes) => bytes.clone(),
        Block::Run(byte, len) => vec![*byte; *len],
        Block::Other { .. } => Vec::new(),
    };
    blocks.iter().flat_map(bytes).collect()
}
