//! Zstandard, one frame at a time: what goes into an AEAD in a compressed stream (FORMAT §8).
//! It knows no key and no header. Contexts are kept and lent, since making one costs more than a frame does.

use std::fmt;
use std::ops::RangeInclusive;

use framing::Shape;
#[cfg(feature = "zstd")]
use parking_lot::Mutex;

#[cfg(feature = "zstd")]
use self::context::{Compressor, Decompressor};

/// How hard zstd tries: 1 is fast, 19 slow; above that it takes memory that a reader pays too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompressionLevel(i32);

impl CompressionLevel {
    /// All that there are.
    pub const RANGE: RangeInclusive<i32> = 1..=19;

    /// Level `level`, or `None` outside of [`CompressionLevel::RANGE`].
    pub fn new(level: i32) -> Option<CompressionLevel> {
        CompressionLevel::RANGE.contains(&level).then_some(CompressionLevel(level))
    }
}

impl Default for CompressionLevel {
    /// zstd's own default.
    fn default() -> CompressionLevel {
        CompressionLevel(3)
    }
}

impl fmt::Display for CompressionLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// This build has no zstd, or there is no memory for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CodecError {
    /// The crate was built without its feature `zstd`.
    NotBuiltIn,
    /// A context could not be allocated.
    NoMemory,
}

/// The zstd contexts of one stream. Each call borrows one, and makes one if all are lent, so that there are never more
/// than there are threads at work.
#[cfg(feature = "zstd")]
pub struct Codec {
    level: CompressionLevel,
    frame_len: u32,
    compressors: Mutex<Vec<Compressor>>,
    decompressors: Mutex<Vec<Decompressor>>,
}

/// Without the feature `zstd` there is none.
#[cfg(not(feature = "zstd"))]
pub struct Codec(std::convert::Infallible);

/// What came of a compressed frame.
#[cfg_attr(not(feature = "zstd"), expect(dead_code, reason = "without zstd nothing comes of it"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decompressed {
    /// Its plaintext.
    Whole,
    /// Nothing: the text that was to be decompressed is not there.
    NoText,
    /// Nothing: the text is not what a writer makes of a frame.
    Malformed,
}

#[cfg(not(feature = "zstd"))]
#[expect(missing_docs, reason = "as with the feature, where they do something")]
impl Codec {
    pub fn new(_: CompressionLevel, _: Shape) -> Result<Codec, CodecError> {
        Err(CodecError::NotBuiltIn)
    }

    pub fn sealing_len(&self) -> Result<usize, CodecError> {
        match self.0 {}
    }

    pub fn opening_len(&self) -> Result<usize, CodecError> {
        match self.0 {}
    }

    pub(crate) fn compress<T>(&self, _: &[u8], _: impl FnOnce(Option<&[u8]>) -> T) -> Result<T, CodecError> {
        match self.0 {}
    }

    pub(crate) fn decompress(
        &self,
        _: &mut [u8],
        _: usize,
        _: impl FnOnce(&mut [u8]) -> bool,
    ) -> Result<Decompressed, CodecError> {
        match self.0 {}
    }
}

#[cfg(feature = "zstd")]
impl Codec {
    /// For the frames of a stream of `shape`.
    ///
    /// # Errors
    /// [`CodecError::NoMemory`] if zstd cannot allocate.
    pub fn new(level: CompressionLevel, shape: Shape) -> Result<Codec, CodecError> {
        Ok(Codec {
            level,
            frame_len: shape.frame_len(),
            compressors: Mutex::default(),
            decompressors: Mutex::default(),
        })
    }

    /// Bytes that sealing takes per thread, beside its buffers. One context is made to measure them.
    ///
    /// # Errors
    /// [`CodecError::NoMemory`] if zstd cannot allocate.
    pub fn sealing_len(&self) -> Result<usize, CodecError> {
        let mut context = Compressor::new(self.level, self.frame_len)?;
        let plaintext = vec![0; self.frame_len as usize];
        context.compress(&plaintext).ok_or(CodecError::NoMemory)?;
        let len = context.len();
        self.compressors.lock().push(context);
        Ok(len)
    }

    /// Bytes that opening takes per thread, beside its buffers.
    ///
    /// # Errors
    /// [`CodecError::NoMemory`] if zstd cannot allocate.
    pub fn opening_len(&self) -> Result<usize, CodecError> {
        let context = Decompressor::new(self.frame_len)?;
        let len = context.len();
        self.decompressors.lock().push(context);
        Ok(len)
    }

    /// Calls `seal` with `plaintext` as one zstd frame, or with `None` where that would not be shorter.
    pub(crate) fn compress<T>(
        &self,
        plaintext: &[u8],
        seal: impl FnOnce(Option<&[u8]>) -> T,
    ) -> Result<T, CodecError> {
        let lent = self.compressors.lock().pop();
        let mut context = match lent {
            Some(context) => context,
            None => Compressor::new(self.level, self.frame_len)?,
        };
        let sealed = seal(context.compress(plaintext));
        self.compressors.lock().push(context);
        Ok(sealed)
    }

    /// Has `open` write `text_len` bytes of text, and decompresses them to exactly all of `plaintext`.
    pub(crate) fn decompress(
        &self,
        plaintext: &mut [u8],
        text_len: usize,
        open: impl FnOnce(&mut [u8]) -> bool,
    ) -> Result<Decompressed, CodecError> {
        let lent = self.decompressors.lock().pop();
        let mut context = match lent {
            Some(context) => context,
            None => Decompressor::new(self.frame_len)?,
        };
        let result = match open(context.text_mut(text_len)) {
            false => Decompressed::NoText,
            true if context.decompress(text_len, plaintext) => Decompressed::Whole,
            true => Decompressed::Malformed,
        };
        self.decompressors.lock().push(context);
        Ok(result)
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec").finish_non_exhaustive()
    }
}

#[cfg(feature = "zstd")]
mod context {
    //! One thread's share of a codec: zstd's own state, and room for one text.

    use zstd::zstd_safe::{
        CCtx, CParameter, DCtx, ErrorCode, find_frame_compressed_size, get_frame_content_size,
    };

    use super::{CodecError, CompressionLevel};

    pub(super) struct Compressor {
        zstd: CCtx<'static>,
        text: Vec<u8>,
    }

    impl Compressor {
        pub(super) fn new(level: CompressionLevel, frame_len: u32) -> Result<Compressor, CodecError> {
            let mut zstd = CCtx::try_create().ok_or(CodecError::NoMemory)?;
            // A window as long as the frame makes it a single segment, so that a reader needs no window beside the plaintext.
            let window_log = frame_len.next_power_of_two().trailing_zeros();
            for parameter in [
                CParameter::CompressionLevel(level.0),
                CParameter::WindowLog(window_log),
                CParameter::ContentSizeFlag(true),
                CParameter::ChecksumFlag(false),
                CParameter::DictIdFlag(false),
            ] {
                zstd.set_parameter(parameter).map_err(no_memory)?;
            }
            Ok(Compressor { zstd, text: zeroed(frame_len)? })
        }

        /// `plaintext` as one zstd frame, if that is shorter and looks like it.
        pub(super) fn compress(&mut self, plaintext: &[u8]) -> Option<&[u8]> {
            let room = plaintext.len().checked_sub(1)?;
            if !self.looks_compressible(plaintext) {
                return None;
            }
            // Too little room is zstd's way to say that it is not shorter.
            let len = self.zstd.compress2(&mut self.text[..room], plaintext).ok()?;
            Some(&self.text[..len])
        }

        /// Whether any of the samples becomes shorter by a thirty-second, which random bytes never do. A frame that
        /// has few of them is not sampled: it is tried.
        fn looks_compressible(&mut self, plaintext: &[u8]) -> bool {
            if plaintext.len() < 4 * SAMPLE_EVERY {
                return true;
            }
            plaintext.chunks_exact(SAMPLE_EVERY).enumerate().any(|(index, chunk)| {
                // Each from another place, so that no page size hides the same kind of bytes from all of them.
                let at = index * SAMPLE_STEP % (SAMPLE_EVERY - SAMPLE_LEN);
                let room = SAMPLE_LEN - SAMPLE_LEN / 32;
                self.zstd.compress2(&mut self.text[..room], &chunk[at..at + SAMPLE_LEN]).is_ok()
            })
        }

        pub(super) fn len(&self) -> usize {
            self.zstd.sizeof() + self.text.len()
        }
    }

    pub(super) struct Decompressor {
        zstd: DCtx<'static>,
        text: Vec<u8>,
    }

    impl Decompressor {
        pub(super) fn new(frame_len: u32) -> Result<Decompressor, CodecError> {
            let zstd = DCtx::try_create().ok_or(CodecError::NoMemory)?;
            Ok(Decompressor { zstd, text: zeroed(frame_len)? })
        }

        pub(super) fn text_mut(&mut self, len: usize) -> &mut [u8] {
            &mut self.text[..len]
        }

        /// Whether the first `len` bytes of the text are one frame as FORMAT F8.10 wants it, of exactly `plaintext`. What
        /// does not fit into that is never written.
        pub(super) fn decompress(&mut self, len: usize, plaintext: &mut [u8]) -> bool {
            let text = &self.text[..len];
            is_strict(text, plaintext.len())
                && self.zstd.decompress(plaintext, text).is_ok_and(|written| written == plaintext.len())
        }

        pub(super) fn len(&self) -> usize {
            self.zstd.sizeof() + self.text.len()
        }
    }

    /// Whether `text` is one zstd frame and nothing else, a single segment of `plaintext_len` bytes by its own header, with
    /// neither dictionary nor checksum.
    fn is_strict(text: &[u8], plaintext_len: usize) -> bool {
        let Some((&MAGIC, [descriptor, ..])) = text.split_first_chunk::<4>() else { return false };
        let size = get_frame_content_size(text);
        descriptor & !CONTENT_SIZE_FIELD == SINGLE_SEGMENT
            && matches!(size, Ok(Some(size)) if size == plaintext_len as u64)
            && find_frame_compressed_size(text) == Ok(text.len())
    }

    fn zeroed(len: u32) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len as usize).map_err(|_| CodecError::NoMemory)?;
        bytes.resize(len as usize, 0);
        Ok(bytes)
    }

    /// The parameters are within zstd's bounds, so that nothing else can be wrong.
    fn no_memory(_: ErrorCode) -> CodecError {
        CodecError::NoMemory
    }

    /// How much of a frame says whether the whole is worth compressing: so much of every so many bytes, and so much further on
    /// in each. What repeats itself only at a distance is taken for incompressible.
    const SAMPLE_LEN: usize = 2 * 1024;
    const SAMPLE_EVERY: usize = 64 * 1024;
    const SAMPLE_STEP: usize = 20 * 1024 + 512;

    /// RFC 8878 §3.1.1: a zstd frame, not a skippable one.
    const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
    /// RFC 8878 §3.1.1.1.1: bits 7 and 6 say how long the content size is; bit 5 is Single_Segment. The others are a checksum,
    /// a dictionary, and reserved.
    const CONTENT_SIZE_FIELD: u8 = 0b1100_0000;
    const SINGLE_SEGMENT: u8 = 0b0010_0000;
}
