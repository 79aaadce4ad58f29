//! A sink that is an object in a store: a multipart upload, completed at publish, given up otherwise.
//! Knows parts and their order; the requests are [`remote`]'s.
//!
//! The bytes of a stream are cut into parts of one length, the last one shorter. A part is held, in memory or in a spool file,
//! until the store has acknowledged it, and sent again from there. None of them can be seen at the store, and all of them
//! disappear if the stream does not come to its end. A stream of one part is put in place by one request.
//!
//! Several programs can send one object, each a range of it, by one upload: such a sink puts nothing in place, and its publish says what the
//! store calls the parts that it has.
//!
//! Publish is conditional where the store can: nothing is there, or the object that was there when the sink was opened is there still.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod held;
mod parts;
mod sink;

pub use parts::{ExpectedLen, NoRoom, PartPlan, RangeCut};
pub use sink::{ObjectOptions, ObjectRange, ObjectSink, SentTags};
