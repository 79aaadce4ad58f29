//! What is the caller's, its memory and its callbacks: used by the engine's threads only as long as the call lasts.
//! Knows nothing of what is behind it.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

/// Something that is the caller's. The engine's threads enter for each use; after the end nobody does.
///
/// The engine ends a stream when its last result has come, and a job may still be dropping what it held. So what a job holds is the gate, and
/// not what is behind it.
pub struct Gate<T>(RwLock<Option<T>>);

impl<T> Gate<T> {
    /// Uses what is behind the gate, which stays open meanwhile.
    ///
    /// # Errors
    /// The call has ended; those of `work`.
    pub fn enter<R>(&self, work: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        match &*self.0.read() {
            Some(inside) => work(inside),
            None => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the call that this belongs to has ended")),
        }
    }
}

/// The call's own end of a gate. Dropped, it waits for whoever is inside, and closes: what was behind it is dropped here.
pub struct Lease<T>(Arc<Gate<T>>);

impl<T> Lease<T> {
    /// Lends `inside`.
    pub fn new(inside: T) -> Lease<T> {
        Lease(Arc::new(Gate(RwLock::new(Some(inside)))))
    }

    /// What the engine gets.
    pub fn gate(&self) -> Arc<Gate<T>> {
        self.0.clone()
    }
}

impl<T> Drop for Lease<T> {
    fn drop(&mut self) {
        let inside = self.0.0.write().take();
        // With the gate unlocked: what is dropped may call the caller.
        drop(inside);
    }
}

/// A lease of whatever kind, to be held until a call ends.
pub trait Held: Send + Sync {}
impl<T: Send + Sync> Held for Lease<T> {}
