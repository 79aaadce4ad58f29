//! One frame in, one frame out: AEAD, digest fragment, and the thread pool that frames are worked on in.
//! It keeps no state between frames and knows no file, no sink and no order.
//!
//! A [`FrameWorker`] belongs to one segment: it holds that segment's key and may be shared by any number of
//! threads. [`FrameWorker::seal`] and [`FrameWorker::open`] work on borrowed bytes and write into buffers that they
//! are given, so the caller decides about copies. What a frame adds to its segment's digest comes back as a
//! [`Fragment`], to be absorbed by a [`SegmentDigest`] in index order.
//!
//! ```
//! use frame_worker::{Backend, DigestKind, FrameIndex, FrameWorker, Shape, Suite};
//!
//! let shape = Shape::new(4096, 4)?;
//! let worker = FrameWorker::new(Backend::default(), Suite::Aes256Gcm, DigestKind::Blake3, shape, &[1; 32], &[2; 12]);
//! let mut wire = vec![0; 4 + frame_worker::FRAME_OVERHEAD];
//! let sealed = worker.seal(FrameIndex(0), b"data", &mut wire)?;
//!
//! let mut plaintext = [0; 4];
//! let opened = worker.open(FrameIndex(0), &wire, &mut plaintext)?;
//! assert_eq!(&plaintext, b"data");
//! assert_eq!(opened, sealed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod chunks;
mod cipher;
mod closing;
mod codec;
mod digest;
mod error;
mod pool;
mod worker;

pub use chunks::{ChunkFault, ChunkRun};
pub use cipher::{Backend, Cipher, Forged};
pub use closing::{Closing, ClosingFields, OpenedTable};
pub use codec::{Codec, CodecError, CompressionLevel};
pub use digest::{ChainValue, Fragment, PlaintextFragment, SegmentDigest, SegmentEnd, digests_equal};
pub use error::FrameError;
pub use framing::limits::{CLOSING_LEN, FRAME_OVERHEAD, SEGMENT_HEADER_LEN};
pub use framing::{Compression, DigestKind, FrameIndex, SegmentIndex, Shape, Suite};
pub use pool::{Pool, PoolError, THREADS_MAX, check_threads};
pub use worker::{FrameWorker, OpenedFrame};
