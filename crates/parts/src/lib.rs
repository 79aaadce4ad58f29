//! What many machines need to know to restore one stream together: the plan, and what each says it has done, under MACs.
//! It refuses to know files, streams and engines: it takes texts and gives texts (docs/PARTS.md, docs/MANIFEST.md).
//!
//! A [`Plan`] cuts one stream into parts, ranges of whole segments, each with the chain before and after it. An attempt at a part
//! draws an [`AttemptName`], writes a file of its own, and then says so in a [`PartReceipt`]. Whoever commits takes one receipt for
//! each part, and what it tells of, if the file is still what the receipt says.
//!
//! A plan cannot be made that does not tile its stream, and none is parsed: its parts meet in segments, in plaintext and in the
//! chain, from the beginning of the stream to its digest. A receipt is parsed for a plan, and says exactly what the plan says
//! of its part. So as many receipts as the plan has parts, one for each, are the whole stream.
//!
//! ```
//! use parts::{NewPlan, PartExtent, Plan, PlanKey, PlanTarget};
//!
//! let key = PlanKey::generate()?;
//! let plan = Plan::new(NewPlan {
//!     stream_id: [1; 16],
//!     stream_digest: [3; 32],
//!     source: "/backup/db.cfd".into(),
//!     target: PlanTarget::Path("/srv/db".into()),
//!     replaces: false,
//!     mode: Some(0o640),
//!     modified: None,
//!     tree: None,
//!     len: None,
//!     parts: vec![
//!         PartExtent { segments: 0..2, plaintext: 0..200, chain_before: [0; 32], chain_after: [2; 32] },
//!         PartExtent { segments: 2..3, plaintext: 200..250, chain_before: [2; 32], chain_after: [3; 32] },
//!     ],
//! })?;
//! let text = plan.to_text(&key);
//! assert_eq!(Plan::parse(text.as_bytes(), &key)?, plan);
//! assert!(Plan::parse(text.replace("/srv/db", "/etc/db").as_bytes(), &key).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_debug_implementations)]

mod error;
mod extent;
mod key;
mod layout;
mod manifest;
mod note;
mod pieces;
mod plan;
mod receipt;
mod text;
mod tree_target;
mod upload;

pub use error::RecordError;
pub use extent::PartExtent;
pub use key::{PlanKey, RandomError};
pub use layout::{MemberRange, PartLayout, PartPlace};
pub use manifest::{Manifest, Shard, ShardName, UnusableManifest};
pub use note::{Committed, Completing, FileIdentity, Publishing};
pub use pieces::{Piece, PieceDigest, PieceDigester, PieceHasher};
pub use plan::{Modified, NewPlan, Plan, PlanId, PlanTarget, UnusablePlan};
pub use receipt::{AttemptName, FileState, FileStates, PartReceipt};
pub use tree_target::{TreeOwners, TreeTarget};
pub use upload::{PartCut, PlannedUpload};

/// The most parts that a plan has.
pub const PARTS_MAX: usize = 10_000;
/// The most pieces that stores take of one object (Amazon S3 User Guide, "Amazon S3 multipart upload limits").
pub const UPLOAD_NUMBERS_MAX: u64 = 10_000;
/// The fewest bytes that stores take of a piece of an object, unless it is the last (the same).
pub const UPLOAD_PIECE_LEN_MIN: u64 = 5 << 20;
/// The most bytes that stores take of a piece of an object (the same).
pub const UPLOAD_PIECE_LEN_MAX: u64 = 5 << 30;
/// The most shards that a manifest has.
pub const SHARDS_MAX: usize = 10_000;
/// The most bytes that the text of a manifest has.
pub const MANIFEST_LEN_MAX: usize = 8 << 20;
/// The most bytes that the text of a plan has.
pub const PLAN_LEN_MAX: usize = 8 << 20;
/// The most bytes that the text of a receipt has.
pub const RECEIPT_LEN_MAX: usize = 64 << 20;
/// The most pieces that a receipt has: of 512 KiB each, 350 GiB.
pub const RECEIPT_PIECES_MAX: usize = 700_000;
/// The most files of members that an attempt has, beside its part's own.
pub const RECEIPT_MEMBERS_MAX: usize = 16_384;
/// No file of a member has so many bytes before the first that counts: blocks of file systems, which they share, are no longer.
pub const PAD_MAX: u64 = 64 << 10;
/// The most bytes that the text of any other record has.
pub const NOTE_LEN_MAX: usize = 4096;

/// A line of a part: three words at most of 20 digits each, two digests, and what is between them.
const PART_LINE_LEN_MAX: usize = 5 + 5 * 21 + 2 * 65;
/// A line of a part's cut.
const NUMBERS_LINE_LEN_MAX: usize = 8 + 4 * 21;
/// What comes before them, paths included: each byte may take three.
const HEAD_LEN_MAX: usize = 512 + 2 * 3 * PATH_LEN_MAX + 2 * 3 * upload::STORE_NAME_LEN_MAX;
/// Bytes of a path or a URL.
const PATH_LEN_MAX: usize = 8192;
/// What comes before the pieces of a receipt.
const RECEIPT_HEAD_LEN_MAX: usize = 1024;
/// A line of a piece: its length and its digest.
const PIECE_LINE_LEN_MAX: usize = 6 + 20 + 1 + 64 + 1;
/// A line of a member: five numbers, of 20 digits at most.
const MEMBER_LINE_LEN_MAX: usize = 6 + 5 * 21 + 1;
const _: () = assert!(
    RECEIPT_HEAD_LEN_MAX
        + RECEIPT_MEMBERS_MAX * MEMBER_LINE_LEN_MAX
        + RECEIPT_PIECES_MAX * PIECE_LINE_LEN_MAX
        < RECEIPT_LEN_MAX
);
const _: () = assert!(HEAD_LEN_MAX + PARTS_MAX * (PART_LINE_LEN_MAX + NUMBERS_LINE_LEN_MAX) < PLAN_LEN_MAX);
