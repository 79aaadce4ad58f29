//! The conformance suite, over connections of each kind and over different sinks at the receiver.
//! Knows no fault.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use contract::AttemptId;
use local::{Opened, StagedFile};
use parking_lot::Mutex;
use peer::{Address, Security};
use storage::StageOptions;
use testing::conformance::{SinkUnderTest, check_all};

use crate::{
    post::{Post, key, loopback, try_connect},
    store::MemStore,
};

/// A fresh receiver per sink. Those whose stream is never published end with the process.
fn check_over(security: &Security, address: impl Fn() -> Address) {
    let violations = check_all(&mut || {
        let store: Arc<Mutex<MemStore>> = Arc::default();
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let post = Post::over(store.clone(), directory, &address(), security.clone());
        let (address, security) = (post.address.clone(), security.clone());
        let under_test = SinkUnderTest::new(try_connect(&address, security.clone()).unwrap(), move || {
            let _alive = &post;
            store.lock().target.clone()
        });
        under_test.handing_on().reopening(move || try_connect(&address, security.clone()))
    });
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn over_loopback_in_plaintext_the_peer_keeps_the_contract() {
    check_over(&Security::PlaintextOnThisMachine, loopback);
}

#[test]
fn over_loopback_with_a_key_the_peer_keeps_the_contract() {
    check_over(&key(7), loopback);
}

#[test]
fn over_a_unix_socket_the_peer_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    check_over(&Security::PlaintextOnThisMachine, || {
        // Unique names, and one test thread makes them: the order with other accesses does not matter.
        Address::Unix(directory.path().join(count.fetch_add(1, Ordering::Relaxed).to_string()))
    });
}

#[test]
fn over_a_staged_file_with_a_journal_the_peer_keeps_the_contract() {
    let mut directories = Vec::new();
    let violations = check_all(&mut || {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        directories.push(directory.clone());
        let target = directory.path().join("target");
        let path = target.clone();
        let security = Security::PlaintextOnThisMachine;
        let open = move || Ok(staged(&path));
        let post = Post::with(Arc::default(), directory, &loopback(), security, open);
        let address = post.address.clone();
        let under_test = SinkUnderTest::new(post.connect(), move || {
            let _alive = &post;
            fs::read(&target).ok()
        });
        under_test.handing_on().reopening(move || try_connect(&address, Security::PlaintextOnThisMachine))
    });
    assert!(violations.is_empty(), "{violations:#?}");
}

fn staged(path: &Path) -> StagedFile {
    let attempt_id = AttemptId::new(b"a receiver").unwrap();
    match StagedFile::open(path, &StageOptions::default(), &attempt_id).unwrap() {
        Opened::Fresh(sink) | Opened::Resumable { sink, .. } => sink,
        Opened::Published(_) => panic!("published already"),
    }
}
