//! Runs the real program as a shell would, and judges it by what it writes and how it exits.
//! Knows nothing of the library.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod bench;
mod demo;
mod exit_codes;
mod inspecting;
mod interrupts;
mod json;
mod keygen;
mod manual;
mod pipes;
mod place;
mod receiving;
mod rewrapping;
mod seal_resuming;
mod sealing;
