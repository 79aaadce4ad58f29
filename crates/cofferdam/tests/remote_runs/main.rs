//! Restores from stores and uploads to them through a proxy that fails, each by a seed: all end in the identical result, or in the
//! error that fits what went wrong. None hangs. `cargo xtask remote` runs many.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod common;
mod expected;
mod restores;
mod runs;
mod scenario;
mod stores;
mod streams;
mod uploads;

use std::env;

/// How many restores, where it is said: otherwise as many as a test may take.
const RESTORES_VARIABLE: &str = "COFFERDAM_REMOTE_RESTORES";

/// How many uploads.
const UPLOADS_VARIABLE: &str = "COFFERDAM_REMOTE_SEALS";

/// The first seed, where it is said.
const SEED_VARIABLE: &str = "COFFERDAM_REMOTE_SEED";

#[test]
fn restores_end_in_the_identical_result_or_the_right_error() {
    if servers::installed::is_skipped() {
        return;
    }
    runs::run_all("restores", seeds(RESTORES_VARIABLE, 12), restores::run);
}

#[test]
fn uploads_end_with_the_object_in_place_or_with_the_right_error() {
    if servers::installed::is_skipped() {
        return;
    }
    runs::run_all("uploads", seeds(UPLOADS_VARIABLE, 6), uploads::run);
}

fn seeds(count: &str, otherwise: u64) -> std::ops::Range<u64> {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().expect(name));
    let first = number(SEED_VARIABLE).unwrap_or(1);
    first..first + number(count).unwrap_or(otherwise)
}
