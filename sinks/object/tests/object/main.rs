//! The object sink against real servers, and a proxy before them that fails as networks do.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod contract_kept;
mod faults;
mod parts;
mod races;
mod stores;
mod unfinished;
