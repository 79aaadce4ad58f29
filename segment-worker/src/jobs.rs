//! Jobs that no thread has begun: of one stream, or of all on a budget.
//! It does not know what they do, only that they wait for nothing.

use crate::sync::queue::Queue;

/// Jobs on their way to a thread, oldest first. Bounded as the runs of their streams are.
pub(crate) struct Jobs(Queue<Box<dyn FnOnce() + Send>>);

impl Jobs {
    pub(crate) fn new() -> Jobs {
        Jobs(Queue::new())
    }

    /// Leaves `job` to whoever calls [`Jobs::do_one`] next.
    pub(crate) fn leave(&self, job: impl FnOnce() + Send + 'static) {
        self.0.leave(Box::new(job));
    }

    /// Does the oldest job that was left, if there is one, and says whether it did.
    pub(crate) fn do_one(&self) -> bool {
        self.0.take().map(|job| job()).is_some()
    }
}
