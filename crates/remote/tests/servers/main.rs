//! A place is read from the servers that people run: nginx, SeaweedFS for S3, Azurite for Azure, and a small server of Google's
//! interface; also through a proxy that fails.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod azure;
mod gcs;
mod reading;
mod s3;
mod web;

use std::{io, sync::Arc, time::Duration};

use cofferdam_io::{FetchError, FetchFault};
use remote::{Place, RemoteOptions, RemoteSource, RetryPolicy};
use servers::FaultKind;

const MIB: usize = 1 << 20;

/// Retries that do not keep a test waiting, but for a busy server.
fn options() -> RemoteOptions {
    let mut policy = RetryPolicy::default();
    policy.first_wait = Duration::from_millis(5);
    policy.longest_wait = Duration::from_millis(100);
    policy.read_timeout = Duration::from_secs(10);
    RemoteOptions::new().retries(policy)
}

/// The same, with no patience for answers that stall.
fn impatient() -> RemoteOptions {
    let mut policy = RetryPolicy::default();
    policy.first_wait = Duration::from_millis(5);
    policy.longest_wait = Duration::from_millis(100);
    policy.read_timeout = Duration::from_millis(1500);
    RemoteOptions::new().retries(policy)
}

fn open(
    url: &str,
    environment: Vec<(&'static str, String)>,
    options: RemoteOptions,
) -> io::Result<RemoteSource> {
    let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value));
    RemoteSource::open(Place::parse(url, environment)?, options)
}

/// The faults after which asking again helps, but for the trickle: that is only slow.
fn passing() -> Vec<FaultKind> {
    FaultKind::PASSING.into_iter().filter(|kind| *kind != FaultKind::Trickle).collect()
}

fn bytes(seed: u64, len: usize) -> Arc<Vec<u8>> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    Arc::new(bytes)
}

fn fault(error: &io::Error) -> FetchFault {
    FetchError::of(error).unwrap_or_else(|| panic!("{error:?}")).fault()
}
