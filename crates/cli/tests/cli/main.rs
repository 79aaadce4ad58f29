//! Runs the real program as a shell would, and judges it by what it writes and how it exits.
//! Knows nothing of the library.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod addresses;
mod bench;
mod cat;
mod demo;
mod device_faults;
mod device_place;
mod devices;
mod environment;
mod exhaustion;
mod exit_codes;
mod file_attributes;
mod foreign;
mod freshness;
mod holes;
mod injected;
mod inspecting;
mod interrupts;
mod json;
mod key_files;
mod keygen;
mod manual;
mod metrics;
mod named_files;
mod names;
mod pins_in_order;
mod pipes;
mod place;
mod programs;
mod publishing;
mod rates;
mod receiving;
mod reporting;
mod rewrapping;
mod salvaging;
mod seal_resuming;
mod sealing;
mod secrets;
mod seeding;
mod standard_streams;
mod stores;
mod threads;
mod uploading;
mod words;
