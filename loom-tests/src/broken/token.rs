//! A cancel token with one fault.
//! Its name says which.

use crate::prim::{Arc, AtomicBool, Ordering};

/// Stores and loads without an order.
#[derive(Clone)]
pub(crate) struct Relaxed(Arc<AtomicBool>);

impl Relaxed {
    pub(crate) fn new() -> Relaxed {
        Relaxed(Arc::new(AtomicBool::new(false)))
    }

    pub(crate) fn cancel(&self) {
        // Relaxed is the fault.
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        // Relaxed is the fault.
        self.0.load(Ordering::Relaxed)
    }
}
