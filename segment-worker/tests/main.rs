//! Whole streams through `open` and `seal`, over feeds and sinks made for the purpose.
//! They know no wire format: a stream here is segments of frames, and its layout is arithmetic.

#![allow(clippy::unwrap_used, reason = "tests may unwrap, their helpers too")]

mod budget;
mod cancel;
mod deadlock;
mod durability;
mod edges;
mod faults;
mod going_on;
mod parts;
mod proved;
mod round_trip;
mod stopping;
mod structure;
mod support;
