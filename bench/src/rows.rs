//! What is compared in memory: for one kind of work, the bare loops and the pipeline, as closures.
//! It takes no time and judges nothing.

use std::num::NonZeroUsize;
use std::sync::Arc;

use cofferdam::{
    BytesSource, DigestKind, FRAME_LEN_DEFAULT, Identities, MemorySink, NullSink, Opener, Recipients,
    SEGMENT_LEN_DEFAULT, Sealer, StreamingSink, Suite, WrappingKey,
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

/// What can be chosen of a stream, and on how many threads it is worked on.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The AEAD.
    pub suite: Suite,
    /// What segments are digested with.
    pub digest: DigestKind,
    /// Plaintext bytes of a frame.
    pub frame_len: usize,
    /// Plaintext bytes of a segment.
    pub segment_len: u64,
    /// Threads that work on frames.
    pub threads: NonZeroUsize,
}

impl Setting {
    /// AES-256-GCM; frames and segments at their defaults.
    pub fn new(digest: DigestKind, threads: NonZeroUsize) -> Setting {
        Setting {
            suite: Suite::Aes256Gcm,
            digest,
            frame_len: FRAME_LEN_DEFAULT as usize,
            segment_len: SEGMENT_LEN_DEFAULT,
            threads,
        }
    }

    fn sealer(&self) -> Sealer {
        Sealer::new(Recipients::new().wrapping_key(key()))
            .suite(self.suite)
            .digest(self.digest)
            .frame_len(self.frame_len as u32)
            .segment_len(self.segment_len)
            .threads(self.threads)
    }

    fn opener(&self) -> Opener {
        Opener::new(Identities::new().wrapping_key(key())).threads(self.threads)
    }

    /// What the pipeline works on: the plaintext, or a stream of it, which has been opened once and was that plaintext.
    fn input(&self, work: Work, plaintext: &Arc<[u8]>) -> Arc<[u8]> {
        if work == Work::Seal {
            return plaintext.clone();
        }
        let (sink, contents) = MemorySink::new();
        self.sealer().seal(source(plaintext), sink).expect(WORKS);
        let sealed: Arc<[u8]> = contents.take().expect("the stream was published").into();
        let (sink, opened) = MemorySink::new();
        self.opener().open(source(&sealed), sink).expect(WORKS);
        assert!(opened.take().as_deref() == Some(&**plaintext), "what was opened is what was sealed");
        sealed
    }
}

/// One way of doing the work, once a call.
pub struct Row {
    /// How it is called in the tables.
    pub name: &'static str,
    /// Does it, its threads included. The input has been made before.
    pub run: Box<dyn Fn()>,
}

/// The rows of a table, the bare loop first, that they are all compared with. AES-256-GCM; frames, segments and memory
/// at their defaults.
pub fn rows(work: Work, digest: DigestKind, threads: NonZeroUsize, plaintext: &Arc<[u8]>) -> Vec<Row> {
    let setting = Setting::new(digest, threads);
    let mut rows = bare_rows(work, &setting, plaintext);
    rows.extend(pipeline_rows(work, &setting, plaintext));
    rows
}

/// The bare loop that works where its input lies, and the one that copies it first.
pub fn bare_rows(work: Work, setting: &Setting, plaintext: &Arc<[u8]>) -> Vec<Row> {
    let input: Arc<[u8]> = match work {
        Work::Open => BareLoop::new(setting, Reading::Borrowed).sealed(plaintext).into(),
        Work::Seal => plaintext.clone(),
    };
    let row = |name, reading| {
        let (bare, input) = (BareLoop::new(setting, reading), input.clone());
        let run: Box<dyn Fn()> = match work {
            Work::Open => Box::new(move || bare.open(&input)),
            Work::Seal => Box::new(move || bare.seal(&input)),
        };
        Row { name, run }
    };
    vec![row("bare loop", Reading::Copied), row("bare loop, input where it lies", Reading::Borrowed)]
}

/// The pipeline, with a sink that drops what it takes, and with one that keeps it.
fn pipeline_rows(work: Work, setting: &Setting, plaintext: &Arc<[u8]>) -> [Row; 2] {
    let input = setting.input(work, plaintext);
    let keeps = pipeline(work, setting, input.clone(), || MemorySink::new().0);
    let drops = pipeline(work, setting, input, NullSink::new);
    [Row { name: "pipeline, sink drops", run: drops }, Row { name: "pipeline, sink keeps", run: keeps }]
}

/// The pipeline, with a sink that drops what it takes.
pub fn pipeline_row(work: Work, setting: &Setting, plaintext: &Arc<[u8]>) -> Row {
    let input = setting.input(work, plaintext);
    Row { name: "pipeline, sink drops", run: pipeline(work, setting, input, NullSink::new) }
}

fn pipeline<S: StreamingSink>(
    work: Work,
    setting: &Setting,
    input: Arc<[u8]>,
    sink: impl Fn() -> S + 'static,
) -> Box<dyn Fn()> {
    match work {
        Work::Seal => {
            let sealer = setting.sealer();
            Box::new(move || {
                sealer.seal(source(&input), sink()).expect(WORKS);
            })
        }
        Work::Open => {
            let opener = setting.opener();
            Box::new(move || {
                opener.open(source(&input), sink()).expect(WORKS);
            })
        }
    }
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
        let plaintext: Arc<[u8]> = bytes(FRAME_LEN_DEFAULT as usize + 1).into();
        for work in [Work::Open, Work::Seal] {
            for digest in [DigestKind::Blake3, DigestKind::Tags] {
                let rows = rows(work, digest, NonZeroUsize::new(2).unwrap(), &plaintext);
                assert_eq!(rows.len(), 4);
                rows.iter().for_each(|row| (row.run)());
            }
        }
    }
}
