//! A salt that is used again, planted: the test over many attempts at one sealing finds it.
//! A program of its own, since a planted mistake is planted for the whole process.
#![cfg(all(feature = "seeded-bugs", debug_assertions))]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

#[path = "seal_resume/attempts.rs"]
mod attempts;
#[allow(dead_code, reason = "the attempts use a part of it")]
#[path = "seal_resume/place.rs"]
mod place;
mod reference;
mod streams;

use std::panic::catch_unwind;

use contract::seeded::{Bug, plant};

#[test]
fn a_salt_that_is_used_again_is_found() {
    attempts::many_attempts();
    let planted = plant(Bug::SaltReused);
    let found = catch_unwind(attempts::many_attempts);
    drop(planted);
    let message = found.expect_err("not found").downcast::<&str>().unwrap();
    assert_eq!(*message, "one nonce, two bodies");
    println!("seeded {:?}: found: {message}", Bug::SaltReused);
}
