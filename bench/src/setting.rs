//! What is compared in memory: the bare loop and the pipeline, for one kind of work and one choice of everything else.
//! It judges nothing.

use std::num::NonZeroUsize;
use std::sync::Arc;

use cofferdam::{
    BytesSource, DigestKind, FRAME_LEN_DEFAULT, MemorySink, NullSink, Opener, SEGMENT_LEN_DEFAULT, Sealer,
    Suite,
};
use harness::timed;

use crate::{BareLoop, Timed, opener, sealer};

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Wire to plaintext.
    Open,
    /// Wire to plaintext, in memory of the caller's that was written before.
    OpenInto,
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
        sealer()
            .suite(self.suite)
            .digest(self.digest)
            .frame_len(self.frame_len as u32)
            .segment_len(self.segment_len)
            .threads(self.threads)
    }

    fn opener(&self) -> Opener {
        opener().threads(self.threads)
    }

    /// A stream of `plaintext`, which has been opened once and was that plaintext.
    fn sealed(&self, plaintext: &Arc<[u8]>) -> Arc<[u8]> {
        let (sink, contents) = MemorySink::new();
        self.sealer().seal(BytesSource::new(plaintext.clone()), sink).expect(WORKS);
        let sealed: Arc<[u8]> = contents.take().expect("the stream was published").into();
        let (sink, opened) = MemorySink::new();
        self.opener().open(BytesSource::new(sealed.clone()), sink).expect(WORKS);
        assert!(opened.take().as_deref() == Some(&**plaintext), "what was opened is what was sealed");
        sealed
    }
}

/// The loop that the pipeline is compared with.
pub fn bare(work: Work, setting: &Setting, plaintext: &Arc<[u8]>) -> Timed<'static> {
    let (bare, plaintext) = (BareLoop::new(setting), plaintext.clone());
    match work {
        Work::Open => {
            let wire = bare.sealed(&plaintext);
            Box::new(move || Ok(timed(|| bare.open(&wire))))
        }
        Work::OpenInto => {
            let (wire, mut memory) = (bare.sealed(&plaintext), vec![1; plaintext.len()]);
            Box::new(move || Ok(timed(|| bare.open_into(&wire, &mut memory))))
        }
        Work::Seal => Box::new(move || Ok(timed(|| bare.seal(&plaintext)))),
    }
}

/// The pipeline, with a sink that drops what it takes, or with the caller's memory.
pub fn pipeline(work: Work, setting: &Setting, plaintext: &Arc<[u8]>) -> Timed<'static> {
    match work {
        Work::Seal => {
            let (sealer, plaintext) = (setting.sealer(), plaintext.clone());
            Box::new(move || {
                let source = BytesSource::new(plaintext.clone());
                Ok(timed(|| {
                    sealer.seal(source, NullSink::new()).expect(WORKS);
                }))
            })
        }
        Work::OpenInto => {
            let (opener, sealed) = (setting.opener(), setting.sealed(plaintext));
            let mut memory = vec![1; plaintext.len()];
            Box::new(move || {
                let source = BytesSource::new(sealed.clone());
                Ok(timed(|| {
                    opener.open_into(source, &mut memory).expect(WORKS);
                }))
            })
        }
        Work::Open => {
            let (opener, sealed) = (setting.opener(), setting.sealed(plaintext));
            Box::new(move || {
                let source = BytesSource::new(sealed.clone());
                Ok(timed(|| {
                    opener.open(source, NullSink::new()).expect(WORKS);
                }))
            })
        }
    }
}

const WORKS: &str = "a stream in memory has nothing that could fail";
