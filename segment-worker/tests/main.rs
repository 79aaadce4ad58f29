//! Whole streams through `open` and `seal`, over feeds and sinks made for the purpose.
//! They know no wire format: a stream here is segments of frames, and its layout is arithmetic.

mod budget;
mod cancel;
mod deadlock;
mod faults;
mod round_trip;
mod support;
