//! A plan for an object whose store answers late, or somebody in its place: what came meanwhile is seen, and nothing is taken for gone that may be there.

use std::sync::mpsc;
use std::time::Duration;

use servers::{Fault, FaultProxy, Plan, Request};

use crate::objects::{Server, Store, servers};
use crate::place::{started, wait_until};

/// The last request of a commit that was killed. It is on its way still: a proxy or a load balancer holds it.
struct HeldRequest {
    release: mpsc::Sender<()>,
    _proxy: FaultProxy,
}

impl HeldRequest {
    fn of_commit(store: &Store, server: Server) -> HeldRequest {
        let ((asked, was_asked), (release, released)) = (mpsc::channel(), mpsc::channel());
        let proxy = server.proxy(Plan::new(move |request| {
            if request.is_complete() {
                asked.send(()).unwrap();
                let _ = released.recv_timeout(A_TEST);
            }
            None
        }));
        let commit = ["restore", "--plan", "plan", "--commit"];
        let mut coordinator = started(&mut store.command_by(&proxy, &commit));
        was_asked.recv_timeout(A_TEST).unwrap();
        coordinator.kill().unwrap();
        coordinator.wait().unwrap();
        HeldRequest { release, _proxy: proxy }
    }

    /// The store carries it out before it sees the first request that `is_next` says yes to.
    fn comes_before(&self, store: &Store, mut is_next: impl FnMut(&Request) -> bool + Send + 'static) {
        let (release, is_whole) = (self.release.clone(), store.whole());
        store.proxy.set_plan(Plan::new(move |request| {
            if is_next(request) {
                release.send(()).unwrap();
                wait_until("the object", &is_whole);
            }
            None
        }));
    }
}

/// With the parts run; the object that is there, if one is, is replaced.
fn with_parts(server: Server, replaces: bool) -> Store {
    if !replaces {
        return Store::with_parts(server, 2, &[]);
    }
    let store = Store::new(server);
    store.put(b"old");
    store.plan(2, &["--force"]).assert_done();
    (0..2).for_each(|part| store.part(part).assert_done());
    store
}

const A_TEST: Duration = Duration::from_secs(600);

#[test]
fn an_object_that_comes_while_its_plan_is_given_up_is_told() {
    for server in servers() {
        for replaces in [false, true] {
            let store = with_parts(server, replaces);
            let held = HeldRequest::of_commit(&store, server);
            held.comes_before(&store, |request| request.method() == "DELETE");
            let given_up = store.run(&["restore", "--plan", "plan", "--give-up"]);
            given_up.assert_done();
            assert!(given_up.stdout.contains("has been put in place before"), "{given_up:?}");
            store.assert_whole();
            store.assert_tidy();
            assert!(store.commit().stdout.contains("before"));
        }
    }
}

/// The next commit, and the object comes before its second request of this kind.
fn check_committed_late(server: Server, method: &'static str, replaces: bool) {
    let store = with_parts(server, replaces);
    let held = HeldRequest::of_commit(&store, server);
    let mut asked = 0;
    held.comes_before(&store, move |request| {
        asked += u32::from(request.method() == method);
        asked == 2
    });
    store.commit().assert_done();
    store.assert_whole();
    store.assert_tidy();
    assert!(store.commit().stdout.contains("before"));
}

#[test]
fn an_object_that_comes_between_two_looks_of_the_next_commit_is_its_own() {
    for server in servers() {
        check_committed_late(server, "HEAD", false);
        check_committed_late(server, "HEAD", true);
    }
}

#[test]
fn an_object_that_comes_between_two_lists_of_its_pieces_is_its_own() {
    for server in servers() {
        check_committed_late(server, "GET", false);
    }
}

/// A proxy's page, another endpoint, a store under repair: the upload may be there still.
#[test]
fn only_the_store_itself_says_that_it_has_the_upload_no_more() {
    for server in servers() {
        let store = Store::with_parts(server, 2, &[]);
        let not_found = Fault::Status { code: 404, retry_after: None };
        store.proxy.set_plan(Plan::always(|_| true, not_found));
        store.commit().assert_failed(1, "404");
        for _ in 0..2 {
            store.run(&["restore", "--plan", "plan", "--give-up"]).assert_failed(1, "404");
        }
        store.proxy.set_plan(Plan::none());
        assert_eq!((store.receipts().len(), store.open_uploads()), (2, 1));
        store.commit().assert_done();
        store.assert_whole();
        store.assert_tidy();
    }
}

#[test]
fn a_commit_that_is_refused_says_that_what_was_sent_stays() {
    for server in servers() {
        let store = Store::with_parts(server, 2, &[]);
        let denied = Fault::Status { code: 403, retry_after: None };
        for is_refused in [Request::is_complete, Request::is_read] {
            store.proxy.set_plan(Plan::always(is_refused, denied.clone()));
            let refused = store.commit();
            refused.assert_failed(1, "what was sent stays at the store");
            assert!(!refused.stderr.contains("has been given up"), "{refused:?}");
            assert_eq!((store.receipts().len(), store.open_uploads()), (2, 1));
        }
        store.proxy.set_plan(Plan::none());
        store.commit().assert_done();
        store.assert_whole();
        store.assert_tidy();
    }
}
