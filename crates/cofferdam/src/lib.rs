//! Cofferdam seals snapshots into encrypted, segmented streams and restores them on all cores, all or nothing.
//! This crate is the engine's public interface: it joins the parts and does none of their work.
//!
//! # In three calls
//!
//! ```
//! use cofferdam::{Identities, Identity, Recipients};
//!
//! # let directory = tempfile::tempdir()?;
//! # let (input, sealed, target) =
//! #     (directory.path().join("db"), directory.path().join("db.cfd"), directory.path().join("db.restored"));
//! # std::fs::write(&input, "a snapshot")?;
//! let identity = Identity::generate();
//! cofferdam::seal(&input, &sealed, Recipients::new().parse(&identity.recipient())?)?;
//!
//! let identities = Identities::new().identity_file(identity.file_text("2026-01-01")?.as_str())?;
//! let restored = cofferdam::restore(&sealed, &target, identities)?;
//! assert_eq!(restored.plaintext_len, 10);
//! assert_eq!(std::fs::read(&target)?, b"a snapshot");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! After an error the target is as it was: not there, or the old one. That holds for a damaged stream, a full disk, a
//! cancelled call and a crash; see [`StagedFile`] for the steps. What a restore had written by then is kept beside
//! the target, private, and the same call proves it and resumes: [`Error::resumable_bytes`] says how much, and
//! [`Opener::on_partial`] can discard it. [`Sealer::seal_file_resumable`] does the same for a seal. [`leftovers`]
//! says what is kept for a target, and [`discard()`] removes it.
//!
//! # With choices
//!
//! [`Sealer`] and [`Opener`] take everything that can be chosen: cipher suite, digest, frame and segment length, threads or
//! a shared [`Pool`], memory or a shared [`Budget`], an [`Observer`], a [`CancelToken`], metadata, a pinned digest.
//!
//! ```
//! use std::num::NonZeroUsize;
//! use cofferdam::{BytesSource, DigestKind, MemorySink, Recipients, Sealer, Suite, WrappingKey};
//!
//! let (sink, sealed) = MemorySink::new();
//! let report = Sealer::new(Recipients::new().wrapping_key(WrappingKey::generate()?))
//!     .suite(Suite::ChaCha20Poly1305)
//!     .digest(DigestKind::Sha256)
//!     .threads(NonZeroUsize::MIN)
//!     .memory(4 << 20)
//!     .metadata("host", "db1")
//!     .seal(BytesSource::new(vec![0; 1 << 20]), sink)?;
//! assert_eq!(report.segments, 1);
//! assert_eq!(sealed.take().map(|bytes| bytes.len() as u64), Some(report.wire_len));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Many streams at once
//!
//! Clones of a [`Sealer`] or an [`Opener`] share its [`Pool`] and its [`Budget`]: fifty streams then use the pool's threads and hold
//! no more memory than one budget allows. Each stream is driven by the thread that calls, which blocks until the stream ends.
//!
//! [`Sealer::writer`] is the other direction: a [`Write`](std::io::Write) that seals what it is given. [`Opener::metadata`] reads the
//! pairs of a stream and none of its segments.
//!
//! # From async code
//!
//! Every call blocks. Make it on a thread for blocking work (tokio's `spawn_blocking`), and give it a [`CancelToken`]: that work
//! does not end when its future is dropped, so cancel the token then.
//!
//! # Databases in use
//!
//! A file must not change while it is sealed; if a change is noticed, that is [`ErrorKind::SourceChanged`]. Seal a snapshot of the
//! volume, or one that the database makes (`VACUUM INTO` of SQLite), or push rows into a [`SealWriter`].
//!
//! # From anywhere, to anywhere
//!
//! Bytes come from a [`Source`]: a [`FileSource`], whose parts all threads read at once, a [`PipeSource`], bytes in memory,
//! any reader, or, with the feature `remote`, an object in a store, which is fetched ahead of the threads ([`Fetch`]). They go to a [`StreamingSink`]: a [`StagedFile`], a [`MemorySink`], a [`PipeSink`], or one of your own, which
//! the conformance suite of the crate `cofferdam-testing` can check.
//!
//! # Who can open a stream
//!
//! [`Recipients`] takes age recipients (X25519, plugins, SSH keys with the feature `ssh`), passphrases, and keys that the
//! caller holds; [`Identities`] is the other half. [`rewrap`] changes the recipients of a sealed file in place.
//!
//! # What is proved when
//!
//! [`Opener::open`] returns `Ok` only when every frame was authentic, every segment complete and in its place, and
//! the trailer said the same. [`Opener::verify`] does that without writing. Without a key ([`Opener::keyless`]) it
//! proves that the stream is consistent, not who made it; with [`Opener::expect_digest`] and a pin from a trusted
//! place it proves every byte. The same pin tells a reader with a key that this is the pinned stream, and not one
//! that somebody else made for that key.
//! [`Opener::check_pin`] has the caller judge the pin; with the feature `signatures`, `SignedBy` takes what an SSH key has signed.
//!
//! # Any byte of it
//!
//! [`Opener::reader`] reads the plaintext of a sealed file at any place, and opens only the frames that are needed: a
//! [`Reader`] is [`Read`](std::io::Read) and [`Seek`](std::io::Seek), and [`Reader::read_at`] serves many threads. What it
//! gives is authentic and at its place; that the stream is whole it does not say. [`Opener::open_segments`] opens whole
//! segments, a part of a stream, with a [`Receipt`].
//!
//! # Errors
//!
//! There is one [`Error`]: its [`ErrorKind`], where in the stream, and what to do, as a sentence and as a [`Remedy`] for programs.
//! Nothing in it is secret.
//!
//! # What may grow
//!
//! Errors, reports and options may get further variants and fields, and are `#[non_exhaustive]`. The enums that the engine has to
//! treat in full stay as they are until the next major version: [`Suite`], [`DigestKind`], [`IfExists`], [`OnPartial`],
//! [`Durability`], [`Visibility`], [`CommitError`], [`Arrival`].
//!
//! # Examples
//!
//! The folder `examples` has one for each question: `many_streams`, `push_rows`, `list_backups`, `from_tokio`, `custom_sink`,
//! `into_sqlite`, `replay_log`, `wal_into_engine`, `progress_and_cancel`, `seal_file`, `restore_file`. Types that come from the crates
//! below this one bring their own examples, which name those crates (`database`, `contract`); read `cofferdam` there.
//!
//! # Feature flags
//!
//! - `age` (default): age recipients and identities, and passphrases. Without it a stream is sealed for keys that the caller
//!   holds, and two thirds of the dependencies are not built.
//! - `fast` (default): ciphers through aws-lc-rs, which needs a C compiler to build.
//! - `portable`: ciphers in pure Rust; without `fast` they are the ones used.
//! - `foreign`: streams that other programs have sealed: age files are opened (`Opener::foreign`), and made (`Sealer::sealed_as`).
//! - `parts`: one stream restored by many processes or machines: the module `parts`. With `signatures` also several streams that become one
//!   directory, as a signed manifest says: the module `shards`.
//! - `peer`: a stream goes over a socket to a receiver, which publishes it: the module `peer`.
//! - `remote`: sealed streams in object stores and on HTTP servers: `RemoteSource`, and the module `remote`; objects in stores as
//!   targets: `ObjectTarget`.
//! - `pq`: age's post-quantum recipients and identities, ML-KEM-768 with X25519.
//! - `ssh`: SSH keys as recipients and identities.
//! - `sqlite`, `postgres`: the module `database`, restores into tables.
//! - `wal`: block devices as targets (`Opener::log`), and the module `wal`: a log that is replayed into a file or a device, or read
//!   by a storage engine.
//! - `metrics`: what streams and requests do, as figures of the `metrics` facade (`describe_metrics`); `tracing`: spans of streams,
//!   segments and requests.
//! - `tree`: directories: the modules `tree` and `tree_sink`, `Sealer::tree`, `Opener::trees`, `tree_content`.
//! - `mmap`: `MappedFile`, a target written through a map; `ring`: `RingSink`, for a reader in the same process.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

/// The README's code, which has to compile.
#[cfg(all(doctest, feature = "age"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(feature = "tree")]
mod archive;
mod convert;
#[cfg(feature = "wal")]
mod device;
mod files;
#[cfg(feature = "foreign")]
mod foreign;
mod key_setters;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "remote")]
mod object_target;
mod opener;
#[cfg(feature = "parts")]
pub mod parts;
#[cfg(feature = "peer")]
pub mod peer;
#[cfg(feature = "parts")]
mod private_dir;
#[cfg(feature = "parts")]
mod record_file;
mod resource_setters;
mod seal_writer;
mod sealer;
mod segments;
#[cfg(all(feature = "parts", feature = "signatures"))]
pub mod shards;
#[cfg(feature = "signatures")]
mod signed_by;
mod simple;
#[cfg(feature = "tree")]
mod tar_input;
#[cfg(feature = "tree")]
mod tree_input;
#[cfg(feature = "tree")]
mod tree_leftovers;
#[cfg(feature = "tree")]
mod tree_paths;
#[cfg(feature = "tree")]
mod tree_restore;
#[cfg(feature = "tree")]
mod trees;

/// What the less common calls of [`StagedFile`], `MappedFile` and the module `wal` name: attempts beside a target, and the
/// directory in which they are.
pub mod staging {
    pub use local::{Beside, Opened, PathsBeside, Published, Seen, TargetNotice, WriterId};
    pub use storage::{
        CopiedMetadata, Disk, FileId, FileStamp, FileTime, JournalProblem, Lock, Ownership, Storage,
        StorageFile,
    };
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[doc(inline)]
pub use ::database;
#[cfg(feature = "mmap")]
pub use ::mmap::MappedFile;
#[cfg(feature = "remote")]
#[doc(inline)]
pub use ::remote;
#[cfg(feature = "signatures")]
#[doc(inline)]
pub use ::signatures;
#[cfg(feature = "tree")]
#[doc(inline)]
pub use ::tree;
#[cfg(feature = "tree")]
#[doc(inline)]
pub use ::tree_sink;
#[cfg(feature = "wal")]
#[doc(inline)]
pub use ::wal;
#[cfg(feature = "tree")]
pub use archive::{IfNoTree, check_tree};
pub use cofferdam_io::{Fetch, FetchError, FetchFault, Lending, ReadAt, WriteAt};
pub use contract::{
    AttemptId, Checkpoint, CommitError, Durability, IfExists, SinkCapabilities, StreamingSink, SyncTo,
    Visibility,
};
pub use convert::{Converted, Plaintext};
pub use files::is_pipe;
pub use frame_worker::{
    Backend, Compression, CompressionLevel, DigestKind, Pool, PoolError, Suite, THREADS_MAX,
};
pub use framing::{FORMAT_VERSION, ParseHexError, StreamId, limits};
#[cfg(feature = "age")]
pub use keys::{Callbacks, Identity, NoCallbacks, SecretString, ssh_tag};
pub use keys::{
    ExternalKey, ForeignKey, Identities, KeyError, KeyMaterial, ListedRecipient, RecipientKind, Recipients,
    StreamKey, WrappingKey, Zeroizing,
};
pub use local::{MemoryContents, MemoryOptions, MemorySink, NullCount, NullSink, PipeSink, StagedFile};
#[cfg(feature = "ring")]
pub use local::{RingReader, RingSink};
#[cfg(feature = "metrics")]
pub use metrics::describe_metrics;
#[cfg(feature = "remote")]
pub use object_target::{ObjectTarget, upload_error};
pub use opener::Opener;
#[cfg(feature = "remote")]
pub use remote::RemoteSource;
pub use seal_writer::SealWriter;
pub use sealer::Sealer;
pub use segment_worker::{Budget, CancelToken, MemoryPressure, ReleasePolicy};
#[cfg(feature = "signatures")]
pub use signed_by::{SignedBy, stream_message};
pub use simple::{open, restore, rewrap_to, seal};
pub use sources::{
    Arrival, BytesSource, FileSource, PipeSource, ReaderSource, Source, descriptor_named, open_descriptor,
    open_path,
};
pub use storage::{
    BlockDevice, ByteCount, OnPartial, Sparse, StageOptions, TargetError, TargetKind, classify,
};
#[cfg(feature = "foreign")]
pub use stream::{
    Asserted, ForeignInspection, ForeignReader, ForeignSummary, Format, Wholeness, inspect_foreign,
    is_foreign,
};
pub use stream::{
    Attempt, Attributes, ContentKind, Error, ErrorKind, FRAME_LEN_COMPRESSED, FRAME_LEN_DEFAULT, Foreign,
    GivenInstead, InTheWay, Inspection, Kept, KeyCopySummary, Leftovers, LostRange, MEMORY_DEFAULT, Metadata,
    Observer, Pin, PinCheck, Progress, RateLimit, Reader, Receipt, RecipientChange, RecipientList, Remedy,
    Restored, Rewrapped, SEGMENT_LEN_DEFAULT, Sealed, SealedAs, SegmentSummary, SlotSummary, StreamDigest,
    StreamHead, Surveyed, SystemMemory, TrailerSummary, Warning, Within, default_suite, inspect,
    inspect_source, list_recipients, rewrap, rewrap_unless, sequence_of,
};
#[cfg(not(feature = "tree"))]
pub use stream::{discard, leftovers};
#[cfg(feature = "tree")]
pub use tar_input::TarInput;
#[cfg(feature = "tree")]
pub use tree_input::{PlannedTree, SealedTree, TreeInput, check_state_dir};
#[cfg(feature = "tree")]
pub use tree_leftovers::{discard, leftovers};
#[cfg(feature = "tree")]
pub use tree_paths::RestoredPaths;
#[cfg(feature = "tree")]
pub use tree_restore::{TreeOutcome, refuse_within};
#[cfg(feature = "tree")]
pub use trees::{tree_content, tree_error, tree_sink_error};
