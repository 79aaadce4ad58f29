//! Where the files are that programs have open, so that a read needs no look into the catalog.
//! Knows nothing of what is in them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::node::Extent;

/// By the number that the kernel has for each. As many as programs have open.
#[derive(Default)]
pub(crate) struct OpenFiles {
    next: AtomicU64,
    files: RwLock<HashMap<u64, Arc<Extent>>>,
}

impl OpenFiles {
    /// Its number.
    pub(crate) fn open(&self, extent: Extent) -> u64 {
        // Relaxed: numbers need to differ and nothing else.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.files.write().insert(number, Arc::new(extent));
        number
    }

    pub(crate) fn find(&self, number: u64) -> Option<Arc<Extent>> {
        self.files.read().get(&number).cloned()
    }

    pub(crate) fn close(&self, number: u64) {
        self.files.write().remove(&number);
    }
}
