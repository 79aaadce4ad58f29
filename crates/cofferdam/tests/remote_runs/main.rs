//! Restores from stores and uploads to them through a proxy that fails, each by a seed: all end in the identical result, or in the
//! error that fits what went wrong. None hangs. `cargo xtask remote` runs many.
#![cfg(feature = "remote")]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod common;
mod expected;
mod many;
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

/// How many restores under one budget.
const MANY_VARIABLE: &str = "COFFERDAM_REMOTE_MANY";

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

#[test]
fn many_restores_under_one_budget_end_and_give_back_while_memory_is_short() {
    if servers::installed::is_skipped() {
        return;
    }
    many::run(number(MANY_VARIABLE).unwrap_or(6) as usize);
}

fn seeds(count: &str, otherwise: u64) -> std::ops::Range<u64> {
    let first = number(SEED_VARIABLE).unwrap_or(1);
    first..first + number(count).unwrap_or(otherwise)
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|value| value.parse().expect(variable))
}
