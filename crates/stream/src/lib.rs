//! One stream, from a source through workers into a sink: its records, its index, and how it resumes after an interruption.
//! It takes no decision that is the caller's, and moves no byte itself: workers do.
//!
//! A stream is preamble, key area and metadata ([`Envelope`]), then segments, then the index (FORMAT §3). Feeds cut
//! it into steps for the segment worker, and know whether the source can be read at offsets or only once.
//! [`OpenOptions`] and [`SealOptions`] put the parts together; `cofferdam` has the builders that fill them in.
//!
//! What an earlier attempt has left is a claim until it is proved: kept plaintext is sealed again in memory, a kept sealed stream
//! is opened, and the chain over their closing frames has to meet the next one that is read.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod checkpoint;
#[cfg(feature = "foreign")]
mod chunked;
mod compare_input;
mod compare_sink;
mod content;
#[cfg(feature = "peer")]
mod counted_sink;
mod cut_sink;
mod default_lens;
mod digest;
mod envelope;
mod error;
mod far;
mod feed;
mod fetch_memory;
mod fetch_queue;
mod file_attributes;
mod file_input;
mod index;
mod index_chain;
mod inspect;
mod kept_beginning;
mod kept_segments;
mod key_area;
mod leftovers;
mod memory;
mod not_a_stream;
mod one_segment;
mod open;
mod page_fetch;
mod part;
mod partition;
mod pin;
mod plan_dir;
mod progress;
mod rate_limit;
mod reader;
mod reader_memory;
mod recipient_list;
mod remedy;
mod resources;
mod restore_id;
mod restored;
mod resume;
mod rewrap;
mod seal;
mod seal_resume;
mod sealing_state;
mod seeding;
mod seekable_envelope;
mod segment_fetch;
mod segment_reader;
mod sequence;
mod skip_committed;
mod state_dir;
mod stop;
mod stream_head;
mod stream_metrics;
mod survey;
mod system_memory;
mod telemetry;
mod tentative;
mod throughput;
mod trailer;

#[cfg(feature = "peer")]
pub use checkpoint::claim_of;
#[cfg(feature = "foreign")]
pub use chunked::{
    Asserted, ForeignInspection, ForeignReader, ForeignSummary, Format, Wholeness, inspect_foreign,
    is_foreign,
};
#[cfg(feature = "peer")]
pub use compare_sink::is_difference;
pub use compare_sink::{CompareSink, changed_since};
pub use content::ContentKind;
#[cfg(feature = "peer")]
pub use counted_sink::CountedSink;
pub use cut_sink::CutSink;
pub use default_lens::{FRAME_LEN_COMPRESSED, FRAME_LEN_DEFAULT, SEGMENT_LEN_DEFAULT};
pub use digest::StreamDigest;
pub use envelope::Envelope;
pub use error::{Error, ErrorKind};
pub use feed::PATIENCE;
pub use file_attributes::Attributes;
pub use file_input::{FileInput, PlanAge};
pub use inspect::{
    Inspection, KeyCopySummary, SegmentSummary, SlotSummary, TrailerSummary, inspect, inspect_source,
};
pub use leftovers::{Attempt, Leftovers, Within, check_state_dir, discard, leftovers};
pub use one_segment::OpenedSegment;
pub use open::{Foreign, OpenOptions, ReadPlaintext};
pub use part::Receipt;
pub use partition::{ChainedSegments, Partition};
pub use pin::{Pin, PinCheck};
pub use plan_dir::{PlanDir, plan_digest};
pub use progress::{Observer, Progress, Warning, tell_notices};
pub use rate_limit::RateLimit;
pub use reader::Reader;
pub use recipient_list::{RecipientList, list_recipients};
pub use remedy::{GivenInstead, InTheWay, Kept, Remedy};
pub use resources::Resources;
pub use restore_id::{PARTS_ID, RECEIVER_ID};
pub use restored::Restored;
pub use rewrap::{RecipientChange, Rewrapped, rewrap, rewrap_copy, rewrap_unless};
pub use seal::{FormatOptions, SealOptions, Sealed, SealedAs, SealedLen, default_suite};
pub use seal_resume::{ResumableSeal, sealing_label};
pub use seeding::open_seed;
pub use segment_reader::SegmentReader;
pub use sequence::sequence_of;
pub use stream_head::StreamHead;
pub use survey::{LostRange, Surveyed};
pub use system_memory::{MEMORY_DEFAULT, SystemMemory};
#[cfg(feature = "metrics")]
pub use telemetry::describe_metrics;
pub use tentative::{LogId, OfSource, Opening, Tentative, TreeId, resolved, restore_into, tell_kept};

use framing::StreamId;

/// The caller's key-value pairs.
pub type Metadata = Vec<(Vec<u8>, Vec<u8>)>;
