//! Owns what restores and uploads have in common: patience, what happens meanwhile, how an end is said.
//! Judges nothing.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cofferdam::remote::RetryPolicy;
use cofferdam::{CancelToken, Error};
use servers::FaultProxy;

use crate::scenario::{Drawn, Scenario};
use crate::stores::Object;

/// As an operator's, but that nobody waits for minutes. A server that shares its processors with all the others may take
/// `read_timeout` for a part.
pub(crate) fn policy(read_timeout: Duration) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    policy.first_wait = Duration::from_millis(20);
    policy.longest_wait = Duration::from_millis(500);
    policy.no_progress = 20 * read_timeout;
    policy.read_timeout = read_timeout;
    policy
}

/// What is done before the request from which on all is otherwise.
pub(crate) fn change(
    drawn: &Drawn,
    object: &Object,
    other: &'static [u8],
    proxy: &Arc<FaultProxy>,
) -> impl FnOnce() + Send + 'static {
    let (scenario, outage, object, proxy) =
        (drawn.scenario, drawn.outage, object.clone(), Arc::downgrade(proxy));
    move || match scenario {
        Scenario::Changed => object.put(other),
        Scenario::Outage => {
            // The request that this is before is one of those that are cut.
            let begin = move || {
                let set = |outage| proxy.upgrade().map(|proxy| proxy.set_outage(outage));
                set(true);
                thread::sleep(outage);
                set(false);
            };
            thread::spawn(begin);
        }
        _ => {}
    }
}

pub(crate) fn end<T>(outcome: &Result<T, Error>) -> String {
    outcome.as_ref().map_or_else(|error| format!("{:?}", error.kind()), |_| "identical".to_owned())
}

/// An error with its causes.
pub(crate) fn said(error: &Error) -> String {
    let (mut said, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        said = format!("{said}: {cause}");
        next = cause.source();
    }
    said
}

pub(crate) fn cancel_after(cancel: &CancelToken, delay: Duration) {
    let cancel = cancel.clone();
    thread::spawn(move || {
        thread::sleep(delay);
        cancel.cancel();
    });
}

/// In memory: a disk's syncs are not what is looked at here.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}
