//! The files as they are, on a clock that stands still: a time-out never fires.
//! They know no way out of a wake-up that is lost, so that it is a deadlock, which loom reports.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "the models use a part of each file, and it is public elsewhere"
)]
#[path = "../../segment-worker/src/sync/cancel.rs"]
pub(crate) mod cancel;
#[allow(dead_code, reason = "the models use a part of each file")]
#[path = "../../segment-worker/src/sync/gate.rs"]
pub(crate) mod gate;
#[allow(dead_code, reason = "the models use a part of each file")]
#[path = "../../segment-worker/src/sync/mailbox.rs"]
pub(crate) mod mailbox;
#[path = "../../segment-worker/src/sync/marks.rs"]
pub(crate) mod marks;
#[allow(dead_code, reason = "the models use a part of each file")]
#[path = "../../segment-worker/src/sync/reorder.rs"]
pub(crate) mod reorder;

mod prim {
    pub(crate) use crate::prim::{Arc, AtomicBool, Condvar, Mutex, Ordering};
}
