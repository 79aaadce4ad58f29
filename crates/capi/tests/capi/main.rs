//! The C ABI, as C programs see it: built from the installed header by pkg-config, run plain, under valgrind and with ASan.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod header;
mod installed;
mod programs;
