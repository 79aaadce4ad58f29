//! A disk in memory that can lose power, and calls that fail when they are told to: what sinks are tested on.
//! Knows no sink: it stands behind [`Storage`](storage::Storage), and whatever keeps files there can be tested.
//!
//! Two faults cannot be had from a real disk on demand. [`SimulatedDisk::crash_states`] gives the first: every disk
//! that a power cut may leave at this moment, as the rules of [`storage`] allow. [`HookedStorage`] gives the
//! second: it calls a closure before each call, which looks at the disk, or makes the call fail. [`FaultPlan`] is such a
//! closure's memory: the k-th call, once or for ever.
//!
//! # What the disk promises, and what not
//!
//! It keeps what was synced: bytes and length by `sync_data`, mode and owner also by `sync_all`, names by
//! [`Storage::sync`](storage::Storage::sync). Everything else is an *item* that is lost or kept by itself:
//!
//! - each sector of each write, torn at multiples of [`SECTOR_LEN`](storage::SECTOR_LEN);
//! - each change of a length, apart from the bytes: room that was taken without its bytes reads as zeros, and bytes
//!   beyond a length that was lost are not there;
//! - mode, owner and attributes together;
//! - each name that was made, renamed or removed. A rename is one item. A file that no kept name leads to is gone.
//!
//! Items that are kept take effect in the order they were made. That is more than a file system with a journal may
//! lose, and a sink that stands it stands on those as well. A sync that failed settles nothing, and the bytes that it was
//! asked for no later one settles ([`SimulatedDisk::doubt`]): Linux marks the pages clean, and says yes to the second
//! fsync over what is lost; `drop_page_cache` shows what is. Lengths, names and rights are the file system's own records, and a later sync that succeeds
//! settles them.
//!
//! # A sink under test
//!
//! Look at the disk before every call that changes it. Recover from each state as after a real crash, and check
//! that nothing that was promised is lost.
//!
//! ```
//! use std::{ffi::OsStr, sync::Arc};
//! use contract::IfExists;
//! use testing::simulation::{SimulatedDisk, HookedStorage};
//! use storage::Storage;
//!
//! let disk = SimulatedDisk::new();
//! disk.put("config", b"old");
//! let looking = disk.clone();
//! let storage = HookedStorage::new(Arc::new(disk.clone()), move |call| {
//!     if call.operation.changes() {
//!         for state in looking.crash_states(1) {
//!             let found = state.disk.contents("config");
//!             assert!([&b"old"[..], b"new"].contains(&found.as_deref().unwrap()), "{state}");
//!         }
//!     }
//!     None // the call is made, and does not fail
//! });
//!
//! // What is tested: the file is replaced as a whole.
//! let (from, to) = (OsStr::new("config~"), OsStr::new("config"));
//! let file = storage.create(from)?;
//! file.write_all_at(b"new", 0)?;
//! file.sync_all()?; // without this line the assertion fails
//! storage.rename(from, to, IfExists::Replace)?;
//! storage.sync()?;
//!
//! let left: Vec<_> = disk.crash_states(1).collect();
//! assert_eq!(left.len(), 1); // nothing is pending: all that a power cut may leave is the new file
//! assert_eq!(left[0].disk.contents("config").unwrap(), b"new");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # All of it at once
//!
//! A [`Trial`] says how one attempt at the whole work goes, recovery included, and what must hold. [`crashes`] then cuts the
//! power at every call, recovers, and for a part of the states cuts the power again at every call of the recovery;
//! [`faults`] makes every call fail in turn. `tests/crash_staged.rs` of this package does so with a staged file.
//!
//! A violation names its state: the number of the state, the seed of the samples, and which items were kept.

mod disk;
mod faults;
mod hooked;
mod medium;
mod states;
mod sweep;
mod trial;

pub use disk::SimulatedDisk;
pub use faults::{Fault, FaultPlan, Times};
pub use hooked::{Call, HookedStorage, Operation};
pub use states::{CrashState, CrashStates};
pub use sweep::{Extent, Report, crashes, faults};
pub use trial::{Done, Failure, Promises, Trial};

#[cfg(test)]
mod tests;
