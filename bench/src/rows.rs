//! What is compared in memory: for one kind of work, the bare loops and the pipeline, as closures.
//! It takes no time and judges nothing.

use std::num::NonZeroUsize;
use std::sync::Arc;

use cofferdam::{
    BytesSource, DigestKind, Identities, MemorySink, NullSink, Opener, Pool, Recipients, Sealer,
    StreamingSink, Suite, WrappingKey,
};

use crate::{BareLoop, Reading};

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Wire to plaintext.
    Open,
    /// Plaintext to wire.
    Seal,
}

/// One way of doing the work, once a call.
pub struct Row {
    /// How it is called in the tables.
    pub name: &'static str,
    /// Does it. Threads and input have been made before.
    pub run: Box<dyn Fn()>,
}

/// The rows of a table, the bare loop first, that they are all compared with. AES-256-GCM; frames, segments and memory
/// at their defaults.
pub fn rows(work: Work, digest: DigestKind, threads: NonZeroUsize, plaintext: &Arc<[u8]>) -> Vec<Row> {
    let mut rows = bare_rows(work, digest, threads, plaintext);
    rows.extend(pipeline_rows(work, digest, threads, plaintext));
    rows
}

fn bare_rows(work: Work, digest: DigestKind, threads: NonZeroUsize, plaintext: &Arc<[u8]>) -> Vec<Row> {
    let bare = |reading| BareLoop::new(Suite::Aes256Gcm, digest, reading, threads);
    let input: Arc<[u8]> = match work {
        Work::Open => bare(Reading::Borrowed).sealed(plaintext).into(),
        Work::Seal => plaintext.clone(),
    };
    let row = |name, reading| {
        let (bare, input) = (bare(reading), input.clone());
        let run: Box<dyn Fn()> = match work {
            Work::Open => Box::new(move || bare.open(&input)),
            Work::Seal => Box::new(move || bare.seal(&input)),
        };
        Row { name, run }
    };
    vec![row("bare loop", Reading::Borrowed), row("bare loop with the source's copy", Reading::Copied)]
}

fn pipeline_rows(work: Work, digest: DigestKind, threads: NonZeroUsize, plaintext: &Arc<[u8]>) -> [Row; 2] {
    let pool = Pool::new(threads).expect("the machine gives threads");
    let input = match work {
        Work::Seal => plaintext.clone(),
        Work::Open => {
            let (sink, contents) = MemorySink::new();
            sealer(digest, &pool).seal(source(plaintext), sink).expect(WORKS);
            contents.take().expect("the stream was published").into()
        }
    };
    let drops = pipeline(work, digest, &pool, input.clone(), NullSink::new);
    let keeps = pipeline(work, digest, &pool, input, || MemorySink::new().0);
    [Row { name: "pipeline, sink drops", run: drops }, Row { name: "pipeline, sink keeps", run: keeps }]
}

fn pipeline<S: StreamingSink>(
    work: Work,
    digest: DigestKind,
    pool: &Pool,
    input: Arc<[u8]>,
    sink: impl Fn() -> S + 'static,
) -> Box<dyn Fn()> {
    match work {
        Work::Seal => {
            let sealer = sealer(digest, pool);
            Box::new(move || {
                sealer.seal(source(&input), sink()).expect(WORKS);
            })
        }
        Work::Open => {
            let opener = Opener::new(Identities::new().wrapping_key(key())).pool(pool.clone());
            Box::new(move || {
                opener.open(source(&input), sink()).expect(WORKS);
            })
        }
    }
}

fn sealer(digest: DigestKind, pool: &Pool) -> Sealer {
    let recipients = Recipients::new().wrapping_key(key());
    Sealer::new(recipients).suite(Suite::Aes256Gcm).digest(digest).pool(pool.clone())
}

/// Bytes without a pattern that repeats soon. What they are does not matter to any cipher.
pub fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; len];
    for word in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
    bytes
}

fn source(bytes: &Arc<[u8]>) -> BytesSource {
    BytesSource::new(bytes.clone())
}

fn key() -> WrappingKey {
    WrappingKey::from_bytes([7; 32])
}

const WORKS: &str = "a stream in memory has nothing that could fail";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_every_table_runs() {
        let plaintext: Arc<[u8]> = bytes(BareLoop::FRAME_LEN + 1).into();
        for work in [Work::Open, Work::Seal] {
            for digest in [DigestKind::Blake3, DigestKind::Tags] {
                let rows = rows(work, digest, NonZeroUsize::new(2).unwrap(), &plaintext);
                assert_eq!(rows.len(), 4);
                rows.iter().for_each(|row| (row.run)());
            }
        }
    }
}
