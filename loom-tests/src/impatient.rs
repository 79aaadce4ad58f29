//! The gate and the marks again, on a clock that runs ahead: a timed wait is over as soon as the others have had a turn.
//! Nobody wakes it, so that what it sees it has looked for itself.

#[allow(dead_code, reason = "the models use a part of each file")]
#[path = "../../segment-worker/src/sync/gate.rs"]
pub(crate) mod gate;
#[allow(dead_code, reason = "the models use a part of each file")]
#[path = "../../segment-worker/src/sync/marks.rs"]
pub(crate) mod marks;

mod prim {
    pub(crate) use crate::prim::{Arc, Hasty as Condvar, Mutex};
}
