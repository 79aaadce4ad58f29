//! Owns one upload: what is sealed, to where, what goes wrong, and what is looked at in the end.
//! Knows nothing of which ends are right.

use std::sync::Arc;
use std::time::Duration;

use cofferdam::{BytesSource, CancelToken, Error, ErrorKind, IfExists, MemorySink, ObjectTarget, Sealed};
use fastrand::Rng;
use servers::{FaultProxy, Plan};

use crate::common::{cancel_after, change, end, policy, said};
use crate::expected;
use crate::runs::Shown;
use crate::scenario::{Drawn, Scenario, UPLOADS};
use crate::stores::{Object, TARGETS};
use crate::streams::{long, opener, sealer, streams};

/// Seals through a proxy, looks at what is there, and seals again without faults.
pub(crate) fn run(seed: u64) -> Shown {
    let mut numbers = Rng::with_seed(seed);
    let plaintexts = || streams().iter().map(|stream| &*stream.plaintext).chain([long(); 3]);
    let plaintext = plaintexts().nth(numbers.usize(0..plaintexts().count())).unwrap();
    let store = TARGETS[numbers.usize(0..TARGETS.len())];
    let object = store.object(format!("upload-{seed}"));
    let drawn = Drawn::new(seed, &mut numbers, UPLOADS);
    let before = numbers.bool().then_some(OLD);
    before.iter().for_each(|bytes| object.put(bytes));
    let proxy = Arc::new(FaultProxy::start(store.address(), Plan::none()).unwrap());
    proxy.set_plan(drawn.plan(change(&drawn, &object, RIVAL, &proxy)));
    let cancel = CancelToken::new();
    if drawn.scenario == Scenario::Cancelled {
        cancel_after(&cancel, Duration::from_millis(numbers.u64(0..600)));
    }
    let if_exists = if before.is_some() { IfExists::Replace } else { IfExists::Refuse };
    let upload =
        Upload { object: &object, proxy: &proxy, plaintext, if_exists, read_timeout: READ_TIMEOUT, cancel };
    let sealed = upload.run();
    let mut shown = judge(&drawn, &upload, before, &sealed);
    if sealed.is_err() {
        shown.violations.extend(again(upload));
    }
    let context = format!("{} bytes to {store:?}, {:?} from {}", plaintext.len(), drawn.scenario, drawn.from);
    for violation in &mut shown.violations {
        *violation = format!("{context}: {violation}");
    }
    shown
}

struct Upload<'a> {
    object: &'a Object,
    proxy: &'a FaultProxy,
    plaintext: &'static [u8],
    if_exists: IfExists,
    read_timeout: Duration,
    cancel: CancelToken,
}

impl Upload<'_> {
    fn run(&self) -> Result<Sealed, Error> {
        let target =
            ObjectTarget::new(self.object.place(self.proxy.address())).retries(policy(self.read_timeout));
        let sealer = sealer().segment_len(1 << 20).if_exists(self.if_exists).cancel(self.cancel.clone());
        sealer.seal_to_object(BytesSource::new(self.plaintext), &target)
    }

    /// Whether what is there is a stream of this plaintext.
    fn is_in_place(&self, there: Option<&[u8]>) -> bool {
        let Some(there) = there else {
            return false;
        };
        let (sink, contents) = MemorySink::new();
        let opened = opener().open(BytesSource::new(there.to_vec()), sink);
        opened.is_ok() && contents.take().as_deref() == Some(self.plaintext)
    }
}

fn judge(drawn: &Drawn, upload: &Upload<'_>, before: Option<&[u8]>, sealed: &Result<Sealed, Error>) -> Shown {
    let counts = upload.proxy.counts();
    let there = upload.object.read();
    let (is_in_place, kind) = (upload.is_in_place(there.as_deref()), sealed.as_ref().err().map(Error::kind));
    let mut violations = Vec::new();
    let is_as_before = match drawn.scenario == Scenario::Changed && drawn.is_reached() {
        true => there.as_deref() == Some(RIVAL),
        false => there.as_deref() == before,
    };
    match sealed {
        Ok(_) if !is_in_place => violations.push("done, and the object is not the stream".to_owned()),
        Ok(_) if !expected::may_upload(drawn, upload.object.store) => {
            violations.push("done, and it cannot be".to_owned());
        }
        Ok(_) => {}
        Err(error) => {
            if !(is_as_before || is_in_place && error.kind() == ErrorKind::DurabilityUnknown) {
                violations.push(format!("failed, and the object is not as it was: {}", said(error)));
            }
            if !expected::may_fail_to_upload(drawn, error.kind()) {
                violations.push(format!(
                    "{:?} does not fit {:?}: {}",
                    error.kind(),
                    counts.faults,
                    said(error)
                ));
            }
        }
    }
    let open = upload.object.open_uploads();
    if open > 0 && !expected::may_leave_parts(drawn, kind, &counts.faults) {
        violations.push(format!("{open} uploads are left, after {}", end(sealed)));
    }
    let left = if open > 0 { ", parts left" } else { "" };
    let end = format!("{:?} {:?}: {}{left}", drawn.scenario, upload.object.store, end(sealed));
    Shown { end, requests: counts.requests, faults: counts.faults, violations }
}

/// The same once more, when all is well again.
fn again(upload: Upload<'_>) -> Option<String> {
    upload.proxy.set_plan(Plan::none());
    upload.proxy.set_outage(false);
    // Nothing is to be cut short any more, on a machine with other work.
    let (read_timeout, cancel) = (4 * READ_TIMEOUT, CancelToken::new());
    let upload = Upload { read_timeout, cancel, if_exists: IfExists::Replace, ..upload };
    match upload.run() {
        Ok(_) if upload.is_in_place(upload.object.read().as_deref()) => None,
        Ok(_) => Some("the second run is done, and the object is not the stream".to_owned()),
        Err(error) => Some(format!("the second run failed: {}", said(&error))),
    }
}

const OLD: &[u8] = b"what was there";

const RIVAL: &[u8] = b"what somebody else has put there";

const READ_TIMEOUT: Duration = Duration::from_secs(3);
