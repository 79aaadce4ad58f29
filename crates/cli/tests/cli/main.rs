//! Runs the real program as a shell would, and judges it by what it writes and how it exits.
//! Knows nothing of the library.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod addresses;
#[cfg(feature = "foreign")]
mod age_files;
mod archives;
mod bench;
mod cat;
#[cfg(feature = "foreign")]
mod converting;
mod demo;
mod device_faults;
mod device_place;
mod devices;
mod drill_age;
mod drill_checks;
mod drill_evidence;
mod drill_keys;
mod drill_metrics;
mod drill_samples;
mod drill_scratch;
mod drill_signals;
#[cfg(feature = "signatures")]
mod drill_signing;
mod drill_trust;
mod drilling;
mod drilling_postgres;
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
mod key_commands;
mod key_files;
mod keygen;
mod manual;
mod metrics;
mod named_files;
mod names;
mod other_tools;
mod pins_in_order;
mod pipes;
mod place;
mod programs;
mod publishing;
mod rates;
mod receiving;
mod receiving_metrics;
mod recipients;
mod reporting;
mod rewrapping;
mod runbook_faults;
mod runbooks;
mod salvaging;
mod seal_resuming;
mod sealing;
mod secrets;
mod seeding;
mod served;
mod services;
mod serving;
mod serving_far;
#[cfg(feature = "signatures")]
mod signed_far;
#[cfg(feature = "signatures")]
mod signing;
#[cfg(feature = "signatures")]
mod signing_again;
mod standard_streams;
mod stores;
mod threads;
mod uploading;
mod words;
