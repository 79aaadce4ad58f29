//! The servers as the tests of other crates rely on them, asked as HTTP and the stores' documents say.
//! Knows no code of Cofferdam.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod azure;
mod gcs;
mod proxy;
mod s3;
mod web;

use servers::Answer;

/// Asserts what a whole or partial answer to a read says.
fn assert_bytes(answer: &Answer, status: u16, range: Option<&str>, body: &[u8]) {
    assert_eq!(answer.status(), status, "{}", answer.text());
    assert_eq!(answer.field("content-range"), range);
    assert_eq!(answer.field("content-length"), Some(&*body.len().to_string()));
    assert!(answer.body == body, "{} other bytes", answer.body.len());
}

/// Bytes that do not repeat at distances that errors have.
fn bytes(len: usize) -> Vec<u8> {
    let mut numbers = fastrand::Rng::with_seed(len as u64);
    std::iter::repeat_with(|| numbers.u8(..)).take(len).collect()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
