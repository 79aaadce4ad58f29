//! The synchronisation of this crate: everything that two threads touch at once.
//! It knows no frame and no stream. `loom-tests` compiles these files against its own primitives and tries every
//! interleaving, so they name no primitive but those of `prim`.

pub(crate) mod cancel;
pub(crate) mod gate;
pub(crate) mod mailbox;
pub(crate) mod marks;
pub(crate) mod reorder;

mod prim {
    pub(crate) use std::sync::Arc;
    pub(crate) use std::sync::atomic::{AtomicBool, Ordering};

    pub(crate) use parking_lot::{Condvar, Mutex};
}

#[cfg(test)]
mod tests;
