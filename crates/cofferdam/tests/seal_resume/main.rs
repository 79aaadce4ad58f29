//! Owns sealings that are interrupted and gone on with, or not.
//! Refuses to know how the sealer finds out where to go on.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod attempts;
mod cuts;
mod place;
mod planted;
#[path = "../reference/mod.rs"]
mod reference;
mod refusals;
mod secrets;
mod states;
#[path = "../streams/mod.rs"]
mod streams;
