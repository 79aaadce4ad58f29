//! Mistakes that can be planted in the product, one line each, to show that the tests find them.
//! Knows no test. Without the feature `seeded-bugs`, and in every release build, none is ever planted: the question is a constant.

/// A mistake that is easily made, and must be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Bug {
    /// Staged file: a mark is kept without the sync of the bytes that it vouches for.
    StagingSyncSkipped = 1,
    /// Staged file: a mark is kept before the sync of the bytes that it vouches for.
    MarkBeforeData,
    /// Staged file: a sync that failed is tried again, and believed.
    SyncRetried,
    /// Staged file: a mark is kept in a journal whose header and name are not durable.
    FootingSkipped,
    /// Staged file: both slots are written at once.
    BothSlotsAtOnce,
    /// Staged file: renamed with no intent noted before.
    IntentMissing,
    /// Staged file: renamed before its bytes are synced.
    RenameBeforeSync,
    /// Staged file: published without a sync of the directory.
    DirectorySyncMissing,
    /// Staged file: after a failed sync, what memory holds is taken for what the medium has.
    CacheBelieved,
    /// Mapped file: linked in before its bytes are synced.
    LinkBeforeSync,
    /// Log: a slot says that records are durable before they are synced.
    LsnBeforeRecords,
    /// Log: a record is believed whatever its checksum.
    TornTailBelieved,
    /// Log: removed before the target that it was replayed into is synced.
    ReplayUnsynced,
    /// Engine: a segment's digest is not compared.
    DigestUnchecked,
    /// Engine: a segment is committed before its proof is made.
    CommitBeforeProof,
    /// Restore: a checkpoint is believed whatever its MAC.
    CheckpointUnkeyed,
    /// Restore: what an earlier attempt left is kept unproved.
    KeptUnproved,
    /// Seal: a segment that is sealed again takes the salt of the attempt before.
    SaltReused,
}

/// Whether this mistake is to be made.
#[cfg(not(all(feature = "seeded-bugs", debug_assertions)))]
#[inline(always)]
pub const fn planted(_bug: Bug) -> bool {
    false
}

#[cfg(all(feature = "seeded-bugs", debug_assertions))]
pub use self::switch::{plant, planted};

/// Does it, unless this mistake is to leave it out.
///
/// # Errors
/// Its own.
#[inline(always)]
pub fn unless<E>(bug: Bug, act: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if planted(bug) { Ok(()) } else { act() }
}

/// Does it only if this mistake is to be made.
///
/// # Errors
/// Its own.
#[inline(always)]
pub fn when<E>(bug: Bug, act: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if planted(bug) { act() } else { Ok(()) }
}

/// Does it, and after a failure again if this mistake is to be made.
///
/// # Errors
/// Its own.
#[inline(always)]
pub fn retried<E>(bug: Bug, act: impl Fn() -> Result<(), E>) -> Result<(), E> {
    act().or_else(|error| if planted(bug) { act() } else { Err(error) })
}

#[cfg(all(feature = "seeded-bugs", debug_assertions))]
mod switch {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    /// Whether this mistake is to be made.
    pub fn planted(bug: Bug) -> bool {
        // Set before the work begins and unset after it has ended: nothing else hangs on it.
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }

    /// Plants a mistake, in the whole process, until the guard goes. Only one at a time: a test that plants some runs in a
    /// process of its own.
    pub fn plant(bug: Bug) -> Planted {
        PLANTED.store(bug as u8, Ordering::Relaxed);
        Planted(())
    }

    /// Takes the mistake away when it is dropped.
    #[derive(Debug)]
    pub struct Planted(());

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.store(NONE, Ordering::Relaxed);
        }
    }

    const NONE: u8 = 0;
    static PLANTED: AtomicU8 = AtomicU8::new(NONE);
}
