//! Owns one restore: what is read, from where, what goes wrong, and what is looked at in the end.
//! Knows nothing of which ends are right.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::remote::{RemoteOptions, RemoteSource};
use cofferdam::{CancelToken, Error, IfExists, Opener, Restored};
use fastrand::Rng;
use servers::{FaultProxy, Plan};

use crate::common::{cancel_after, change, end, policy, said, scratch};
use crate::expected;
use crate::runs::Shown;
use crate::scenario::{Drawn, RESTORES, Scenario};
use crate::stores::{Object, STORES};
use crate::streams::{Stream, opener, other, streams};

/// Restores through a proxy, looks at what is there, and restores again without faults.
pub(crate) fn run(seed: u64) -> Shown {
    let mut numbers = Rng::with_seed(seed);
    let stream = &streams()[numbers.usize(0..streams().len())];
    let store = STORES[numbers.usize(0..STORES.len())];
    let object = store.object(format!("{}-{seed}", stream.name));
    let drawn = Drawn::new(seed, &mut numbers, RESTORES);
    object.put(&stream.sealed);
    let proxy = Arc::new(FaultProxy::start(store.address(), Plan::none()).unwrap());
    proxy.set_plan(drawn.plan(change(&drawn, &object, &other().sealed, &proxy)));
    let folder = scratch();
    let target = folder.path().join("target");
    let old = numbers.bool().then(|| b"what was there".to_vec());
    if let Some(old) = &old {
        fs::write(&target, old).unwrap();
    }
    let cancel = CancelToken::new();
    if drawn.scenario == Scenario::Cancelled {
        cancel_after(&cancel, Duration::from_millis(numbers.u64(0..400)));
    }
    let restore = Restore { object: &object, proxy: &proxy, target: &target, cancel };
    let restored = restore.run();
    let mut shown = judge(&drawn, stream, &restored, &restore, old.as_deref());
    if restored.is_err() {
        shown.violations.extend(again(restore, stream));
    }
    let context = format!("{} from {store:?}, {:?} from {}", stream.name, drawn.scenario, drawn.from);
    for violation in &mut shown.violations {
        *violation = format!("{context}: {violation}");
    }
    shown
}

struct Restore<'a> {
    object: &'a Object,
    proxy: &'a FaultProxy,
    target: &'a Path,
    cancel: CancelToken,
}

impl Restore<'_> {
    fn run(&self) -> Result<Restored, Error> {
        let cancel = self.cancel.clone();
        let options = RemoteOptions::new()
            .retries(policy(READ_TIMEOUT))
            .cancel_when(Arc::new(move || cancel.is_cancelled()));
        let source = RemoteSource::open(self.object.place(self.proxy.address()), options)
            .map_err(|error| Error::io("the sealed stream could not be opened", error))?;
        let opener: Opener = opener().if_exists(IfExists::Replace).cancel(self.cancel.clone());
        opener.restore_to(source, self.target)
    }
}

fn judge(
    drawn: &Drawn,
    stream: &Stream,
    restored: &Result<Restored, Error>,
    restore: &Restore<'_>,
    old: Option<&[u8]>,
) -> Shown {
    let counts = restore.proxy.counts();
    let there = fs::read(restore.target).ok();
    let mut violations = Vec::new();
    match restored {
        Ok(_) if there.as_deref() != Some(&*stream.plaintext) => {
            violations.push("done, and the target is not the plaintext".to_owned());
        }
        Ok(_) if !expected::may_succeed(drawn) => violations.push("done, and it cannot be".to_owned()),
        Ok(_) => {}
        Err(error) => {
            if there.as_deref() != old {
                violations.push(format!("failed, and the target is not as it was: {}", said(error)));
            }
            if !expected::may_fail(drawn, error.kind(), &counts.faults) {
                violations.push(format!(
                    "{:?} does not fit {:?}: {}",
                    error.kind(),
                    counts.faults,
                    said(error)
                ));
            }
        }
    }
    let end = format!("{:?} {:?}: {}", drawn.scenario, restore.object.store, end(restored));
    Shown { end, requests: counts.requests, faults: counts.faults, violations }
}

/// The same once more, when all is well again.
fn again(restore: Restore<'_>, stream: &Stream) -> Option<String> {
    restore.proxy.set_plan(Plan::none());
    restore.proxy.set_outage(false);
    restore.object.put(&stream.sealed);
    let restore = Restore { cancel: CancelToken::new(), ..restore };
    match restore.run() {
        Ok(_) if fs::read(restore.target).unwrap() == stream.plaintext => None,
        Ok(_) => Some("the second run is done, and the target is not the plaintext".to_owned()),
        Err(error) => Some(format!("the second run failed: {}", said(&error))),
    }
}

const READ_TIMEOUT: Duration = Duration::from_millis(800);
