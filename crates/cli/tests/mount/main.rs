//! `cofferdam mount` with the kernel's FUSE: what programs see of a sealed tree or stream, who sees it, and how a mount ends.
//! Where there is no FUSE, each test says so on the terminal and returns.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod above;
mod access;
mod contents;
mod ending;
mod failing;
#[path = "../../../tree/tests/fixture/mod.rs"]
mod fixture;
mod mount_process;
mod place;
mod refused;
mod sealed_tree;
