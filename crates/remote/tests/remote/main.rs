//! A place is read from a server that fails, changes and lies: what is read is the object that was opened, or an error says why not.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod changes;
mod credentials;
mod fetch;
mod in_order;
mod offsets;
mod redirects;
mod refusals;
mod retries;
mod server;
mod stores;
mod upload_ends;
mod upload_notices;
mod uploads;

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cofferdam_io::{FetchError, FetchFault, ReadAt};
use remote::{Place, RemoteOptions, RemoteSource, Retry, RetryPolicy};
use server::{Object, Reply, Request, Server};
use sources::{Arrival, Source};

/// Retries that do not keep a test waiting.
fn policy() -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    policy.first_wait = Duration::from_millis(2);
    policy.longest_wait = Duration::from_millis(10);
    policy
}

fn options() -> RemoteOptions {
    RemoteOptions::new().retries(policy())
}

fn open(url: &str) -> io::Result<RemoteSource> {
    open_with(url, options())
}

fn open_with(url: &str, options: RemoteOptions) -> io::Result<RemoteSource> {
    RemoteSource::open(Place::parse(url, []).unwrap(), options)
}

/// Options that write down each retry.
fn observed(options: RemoteOptions) -> (RemoteOptions, Arc<Mutex<Vec<Retry>>>) {
    let seen: Arc<Mutex<Vec<Retry>>> = Arc::default();
    let own = seen.clone();
    (options.on_retry(Arc::new(move |retry| own.lock().unwrap().push(retry.clone()))), seen)
}

/// A source that is opened at a server that is well as long as it answers its first request, with limits that a busy machine may come to
/// before: then another one is opened.
fn opened_at(
    object: &Object,
    script: impl Fn(usize, &Request) -> Reply + Clone + Send + 'static,
    policy: &RetryPolicy,
) -> (Server, RemoteSource) {
    let begun = Instant::now();
    loop {
        let server = Server::scripted(object.clone(), script.clone());
        match open_with(&server.url(), options().retries(policy.clone())) {
            Ok(source) => return (server, source),
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(600), "{error}"),
        }
    }
}

fn at(source: &RemoteSource) -> Arc<dyn ReadAt> {
    source.positioned().expect("it is ranged")
}

fn read(at: &dyn ReadAt, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; len];
    at.read_exact_at(offset, &mut buffer).map(|()| buffer)
}

fn read_in_order(source: &mut RemoteSource) -> io::Result<Vec<u8>> {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 10_007]);
    loop {
        match source.read_within(&mut buffer, Duration::from_secs(60))? {
            Arrival::Bytes(count) => all.extend_from_slice(&buffer[..count]),
            Arrival::End => return Ok(all),
            Arrival::NothingYet => {}
        }
    }
}

fn fault(error: &io::Error) -> FetchFault {
    FetchError::of(error).unwrap_or_else(|| panic!("{error:?}")).fault()
}
