//! Owns the plaintexts and their sealed streams, made once: of all the shapes that are read in different ways.
//! Knows no store.

use std::sync::OnceLock;

use cofferdam::{
    BytesSource, CompressionLevel, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey,
};

/// A plaintext and what it is sealed into.
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) plaintext: Vec<u8>,
    pub(crate) sealed: Vec<u8>,
}

const KEY: [u8; 32] = [7; 32];

pub(crate) fn opener() -> Opener {
    Opener::new(Identities::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

pub(crate) fn sealer() -> Sealer {
    Sealer::new(Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY)))
}

/// The streams.
pub(crate) fn streams() -> &'static [Stream] {
    static STREAMS: OnceLock<Vec<Stream>> = OnceLock::new();
    STREAMS.get_or_init(|| {
        let small = || sealer().frame_len(4096).segment_len(64 << 10);
        let large = || sealer().frame_len(64 << 10).segment_len(1 << 20);
        let zstd = |sealer: Sealer| sealer.compression(CompressionLevel::default());
        vec![
            stream("empty", sealer(), vec![]),
            stream("short", sealer(), noise(300)),
            stream("many small segments", small(), noise(1_000_000)),
            stream("compressed", zstd(small()), text(2_500_000)),
            stream("large segments", large(), noise(6_300_000)),
            stream("large compressed", zstd(large()), text(8_000_000)),
        ]
    })
}

/// A plaintext whose sealed stream is uploaded in several parts by any store.
pub(crate) fn long() -> &'static [u8] {
    static LONG: OnceLock<Vec<u8>> = OnceLock::new();
    LONG.get_or_init(|| noise(12_345_678))
}

/// A stream that stands in the place of any other, and is none of them: neither its bytes nor its length.
pub(crate) fn other() -> &'static Stream {
    static OTHER: OnceLock<Stream> = OnceLock::new();
    OTHER.get_or_init(|| stream("other", sealer().frame_len(4096).segment_len(64 << 10), noise(1_234_567)))
}

/// A stream that is restored many times at once.
pub(crate) fn many() -> &'static Stream {
    static MANY: OnceLock<Stream> = OnceLock::new();
    MANY.get_or_init(|| stream("many", sealer(), noise(16 << 20)))
}

fn stream(name: &str, sealer: Sealer, plaintext: Vec<u8>) -> Stream {
    let (sink, contents) = MemorySink::new();
    sealer.seal(BytesSource::new(plaintext.clone()), sink).unwrap();
    Stream { name: name.replace(' ', "-"), plaintext, sealed: contents.take().unwrap() }
}

fn noise(len: usize) -> Vec<u8> {
    let mut numbers = fastrand::Rng::with_seed(len as u64);
    std::iter::repeat_with(|| numbers.u8(..)).take(len).collect()
}

/// What compresses, and is different everywhere.
fn text(len: usize) -> Vec<u8> {
    (0u64..)
        .flat_map(|line| format!("line {line}, {}\n", line * line % 9973).into_bytes())
        .take(len)
        .collect()
}
