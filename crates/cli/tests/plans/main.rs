//! Restores by many processes: the real program as planner, workers and coordinators, killed and paused, and a file of theirs watched.
//! Knows nothing of the library.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod between;
mod cut_off;
mod demanded;
mod examples;
#[path = "../../../tree/tests/fixture/mod.rs"]
mod fixture;
mod kept;
mod killed;
mod members;
mod misplaced;
mod objects;
mod objects_late;
mod options;
mod place;
mod seeds;
mod shards;
mod shared_disks;
mod steps;
mod tree_watch;
mod trees;
mod trees_killed;
mod vouched;
mod watch;
