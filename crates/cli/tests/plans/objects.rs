//! A plan for an object in a store: each step, its second run, and who comes in between. The stores are SeaweedFS, and one that speaks Google's
//! protocol, where each sending of a part has a tag of its own, as with a key of the store's for S3.

use std::fs;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use servers::{Fault, FaultProxy, GcsFake, Identity, Plan, Request, SeaweedFs};

use crate::cut_off::failing_command;
use crate::place::{Place, Ran, end_of, plaintext, started, wait_until};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Server {
    S3,
    Google,
}

impl Server {
    pub(crate) fn proxy(self, plan: Plan) -> FaultProxy {
        let address = match self {
            Server::S3 => SeaweedFs::shared().address(),
            Server::Google => GcsFake::shared().address(),
        };
        FaultProxy::start(address, plan).unwrap()
    }

    fn read(self, bucket: &str) -> Option<Vec<u8>> {
        match self {
            Server::S3 => SeaweedFs::shared().read(bucket, "db/target").unwrap(),
            Server::Google => GcsFake::shared().read(bucket, "db/target"),
        }
    }
}

/// A sealed stream here, and a bucket behind a proxy.
pub(crate) struct Store {
    pub(crate) place: Place,
    server: Server,
    bucket: String,
    pub(crate) proxy: FaultProxy,
}

/// Six segments of 6 MiB, and a bit.
const LEN: usize = (36 << 20) + 77;
/// Bytes per second at which a piece takes more than a minute.
const HELD: u64 = 64 << 10;

impl Store {
    pub(crate) fn new(server: Server) -> Store {
        Store::of(server, &plaintext(LEN), "6MiB")
    }

    fn of(server: Server, plain: &[u8], segment: &str) -> Store {
        let place = Place::new(plain, segment, "64KiB");
        let bucket = match server {
            Server::S3 => SeaweedFs::shared().new_bucket().unwrap(),
            Server::Google => GcsFake::shared().new_bucket(),
        };
        Store { place, server, bucket, proxy: server.proxy(Plan::none()) }
    }

    fn url(&self) -> String {
        let scheme = if self.server == Server::S3 { "s3" } else { "gs" };
        format!("{scheme}://{}/db/target", self.bucket)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_by(&self.proxy, arguments)
    }

    /// One that reaches the store by another proxy.
    pub(crate) fn command_by(&self, proxy: &FaultProxy, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        match self.server {
            Server::S3 => command.envs(SeaweedFs::shared().environment(proxy.address(), Identity::Owner)),
            Server::Google => command.envs(GcsFake::shared().environment(proxy.address()).unwrap()),
        };
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    pub(crate) fn plan(&self, parts: u64, more: &[&str]) -> Ran {
        let (parts, url) = (parts.to_string(), self.url());
        let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", &parts];
        self.run(&[&plan[..], more, &["sealed.cfd", &url]].concat())
    }

    fn part_command(&self, part: u64) -> Command {
        self.part_command_by(&self.proxy, part)
    }

    fn part_command_by(&self, proxy: &FaultProxy, part: u64) -> Command {
        let part = part.to_string();
        self.command_by(proxy, &["restore", "--key-file", "stream.key", "--plan", "plan", "--part", &part])
    }

    /// Starts a worker by a way of its own, and returns once it sends a piece, which it is not done with for as long as a test takes.
    fn start_slowly(&self, part: u64) -> (Child, FaultProxy) {
        let way = self.server.proxy(Plan::none());
        way.link().set_bandwidth(HELD);
        let worker = started(&mut self.part_command_by(&way, part));
        wait_until("a piece on its way", || way.seen().iter().any(|seen| seen.request.is_part()));
        (worker, way)
    }

    pub(crate) fn part(&self, part: u64) -> Ran {
        Ran::of(self.part_command(part).output().unwrap())
    }

    pub(crate) fn commit(&self) -> Ran {
        self.run(&["restore", "--plan", "plan", "--commit"])
    }

    /// Planned, and all parts run.
    pub(crate) fn with_parts(server: Server, parts: u64, more: &[&str]) -> Store {
        let store = Store::new(server);
        store.plan(parts, more).assert_done();
        (0..parts).for_each(|part| store.part(part).assert_done());
        store
    }

    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        self.server.read(&self.bucket)
    }

    /// Tells whether the object is whole, from whatever thread.
    pub(crate) fn whole(&self) -> impl Fn() -> bool + Send + use<> {
        let (server, bucket, plain) = (self.server, self.bucket.clone(), self.place.read("plain"));
        move || server.read(&bucket).as_ref() == Some(&plain)
    }

    pub(crate) fn put(&self, bytes: &[u8]) {
        match self.server {
            Server::S3 => SeaweedFs::shared().put(&self.bucket, "db/target", bytes).unwrap(),
            Server::Google => GcsFake::shared().put(&self.bucket, "db/target", bytes),
        }
    }

    pub(crate) fn open_uploads(&self) -> usize {
        match self.server {
            Server::S3 => SeaweedFs::shared().open_uploads(&self.bucket).unwrap(),
            Server::Google => GcsFake::shared().open_uploads(&self.bucket),
        }
    }

    pub(crate) fn assert_whole(&self) {
        assert!(self.read().unwrap() == self.place.read("plain"));
    }

    /// Nothing is left but what the operator knows of.
    pub(crate) fn assert_tidy(&self) {
        let expected = ["plain", "plan", "plan.committed", "plan.key", "sealed.cfd", "stream.key"];
        assert_eq!(self.place.names(), expected);
        assert_eq!(self.open_uploads(), 0);
    }

    pub(crate) fn receipts(&self) -> Vec<std::path::PathBuf> {
        self.place.files_beside("plan", "receipt-")
    }

    /// How often the store was asked to put an object together.
    fn completions(&self) -> usize {
        self.proxy.seen().iter().filter(|seen| seen.request.is_complete()).count()
    }
}

pub(crate) fn servers() -> Vec<Server> {
    if servers::installed::is_skipped() { Vec::new() } else { vec![Server::S3, Server::Google] }
}

#[test]
fn an_object_is_planned_run_in_parts_and_committed_and_each_step_run_again_does_nothing() {
    for server in servers() {
        let store = Store::new(server);
        let planned = store.plan(3, &[]);
        planned.assert_done();
        assert!(
            planned.stdout.contains(&store.url()) && planned.stdout.contains("in 3 parts"),
            "{planned:?}"
        );
        assert!(store.plan(3, &[]).stdout.starts_with("planned before"));
        assert_eq!(store.open_uploads(), 1, "the second planner begins none");
        // It asks no store, and needs no credentials; and says that.
        let status = store.place.run(["restore", "--plan", "plan", "--status"]);
        status.assert_done();
        assert!(status.stdout.contains("0 of 3 parts have been run; missing: 0-2"), "{status:?}");
        assert!(status.stdout.contains("what the receipts say; the commit asks the store"), "{status:?}");
        for part in [2, 0, 1] {
            store.commit().assert_failed(19, "missing");
            store.part(part).assert_done();
            assert!(store.part(part).stdout.contains("was there before"));
            assert_eq!(store.read(), None);
        }
        let before = store.completions();
        let compared = store.run(&["restore", "--plan", "plan", "--commit", "--compare"]);
        compared.assert_failed(2, "nothing is read back");
        assert_eq!((store.read(), store.completions()), (None, before));
        store.commit().assert_done();
        assert_eq!(store.completions(), before + 1);
        store.assert_whole();
        store.assert_tidy();
        assert!(store.commit().stdout.contains("before"));
        assert!(store.part(1).stdout.contains("has been committed"));
        let status = store.run(&["restore", "--plan", "plan", "--status"]);
        assert!(status.stdout.contains("has put it in place"), "{status:?}");
        // What stands there later is its owner's.
        store.put(b"a newer state");
        store.commit().assert_done();
        assert_eq!((store.read().unwrap(), store.completions()), (b"a newer state".to_vec(), before + 1));
    }
}

/// The plan has no key, no credential and nothing of the bytes; its directory of attempts is beside it.
#[test]
fn the_plan_says_what_workers_need_and_no_secret() {
    for server in servers() {
        let store = Store::with_parts(server, 2, &[]);
        let plan = String::from_utf8(store.place.read("plan")).unwrap();
        assert!(plan.contains(&format!("\ntarget {}\n", store.url())), "{plan}");
        assert!(!plan.contains(Identity::Owner.secret_key()) && !plan.contains(Identity::Owner.access_key()));
        // 3 segments of 6 MiB each and 77 bytes: by default pieces have 16 MiB, and none has less than 5.
        let numbers: Vec<&str> = plan.lines().filter(|line| line.starts_with("numbers ")).collect();
        assert_eq!(numbers.len(), 2, "{plan}");
        assert_eq!(store.receipts().len(), 2);
    }
}

#[test]
fn parts_that_are_too_short_for_a_store_are_joined_and_that_is_said() {
    for server in servers() {
        let store = Store::of(server, &plaintext((13 << 20) + 5), "1MiB");
        let planned = store.plan(14, &[]);
        planned.assert_done();
        assert!(planned.stdout.contains("in 3 parts") && planned.stdout.contains("5 MiB"), "{planned:?}");
        assert!(store.plan(14, &[]).stdout.starts_with("planned before"));
        (0..3).for_each(|part| store.part(part).assert_done());
        store.part(3).assert_failed(2, "there is no part 3");
        store.commit().assert_done();
        store.assert_whole();
    }
}

#[test]
fn a_short_object_is_one_part_and_an_empty_one_is_refused() {
    for server in servers() {
        let store = Store::of(server, b"short", "1MiB");
        store.plan(1, &[]).assert_done();
        store.part(0).assert_done();
        store.commit().assert_done();
        store.assert_whole();
        let empty = Store::of(server, b"", "1MiB");
        empty.plan(1, &[]).assert_failed(7, "without a byte");
        assert_eq!((empty.open_uploads(), empty.place.names().contains(&"plan".into())), (0, false));
    }
}

#[test]
fn a_worker_that_is_killed_in_the_middle_leaves_nothing_that_the_next_one_trips_over() {
    for server in servers() {
        let store = Store::new(server);
        store.plan(2, &[]).assert_done();
        store.part(1).assert_done();
        let (mut worker, way) = store.start_slowly(0);
        worker.kill().unwrap();
        worker.wait().unwrap();
        way.link().set_bandwidth(0);
        store.commit().assert_failed(19, "1 part missing: 0");
        assert_eq!(store.read(), None);
        store.part(0).assert_done();
        store.commit().assert_done();
        store.assert_whole();
        store.assert_tidy();
    }
}

/// Both send the same bytes under the same numbers; where each sending has a tag of its own, the object has of each piece the one that came last.
#[test]
fn of_two_attempts_at_one_part_either_will_do() {
    for server in servers() {
        let store = Store::new(server);
        store.plan(2, &[]).assert_done();
        store.part(1).assert_done();
        // Each sends before one of the others has left a receipt.
        let attempts = [(); 3].map(|()| store.start_slowly(0));
        attempts.iter().for_each(|(_, way)| way.link().set_bandwidth(0));
        attempts.map(|(attempt, way)| (end_of(attempt), way)).iter().for_each(|(ran, _)| ran.assert_done());
        assert_eq!(store.receipts().len(), 4);
        store.commit().assert_done();
        store.assert_whole();
        store.assert_tidy();
    }
}

/// An attempt that has no receipt has sent its pieces again after one that has: where tags differ, the store has what no receipt says.
#[test]
fn what_the_store_has_and_no_receipt_says_is_missing_and_run_again() {
    for server in servers() {
        let store = Store::new(server);
        store.plan(2, &[]).assert_done();
        (0..2).for_each(|part| store.part(part).assert_done());
        let [first] = store.place.files_beside("plan", "receipt-0").try_into().unwrap();
        fs::rename(&first, store.place.at("away")).unwrap();
        // The second attempt's receipt is lost, and the first one's is back.
        store.part(0).assert_done();
        store.place.files_beside("plan", "receipt-0").iter().for_each(|name| fs::remove_file(name).unwrap());
        fs::rename(store.place.at("away"), &first).unwrap();
        if server == Server::Google {
            store.commit().assert_failed(19, "1 part missing: 0");
            assert_eq!((store.read(), store.completions()), (None, 0));
            assert!(!first.exists());
            store.part(0).assert_done();
        }
        store.commit().assert_done();
        store.assert_whole();
        store.assert_tidy();
    }
}

/// Between the list and the last request: the store itself compares the tags.
#[test]
fn a_piece_that_is_sent_again_while_the_object_is_put_together_is_seen_by_the_store() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Arc::new(Store::with_parts(Server::Google, 2, &[]));
    let before = store.place.files_beside("plan", "receipt-1");
    before.iter().for_each(|name| fs::rename(name, store.place.at("away")).unwrap());
    store.part(1).assert_done();
    // Two receipts, and the store has the pieces of the second; a third attempt comes in between.
    fs::rename(store.place.at("away"), &before[0]).unwrap();
    let (late, done) = (store.clone(), AtomicBool::new(false));
    store.proxy.set_plan(Plan::new(move |request: &Request| {
        if request.is_complete() && !done.swap(true, Ordering::Relaxed) {
            // By another way: this one is held up.
            late.send_again_beside();
        }
        None
    }));
    let committed = store.commit();
    committed.assert_failed(19, "part");
    assert_eq!(store.read(), None);
    store.proxy.set_plan(Plan::none());
    (0..2).for_each(|part| store.part(part).assert_done());
    store.commit().assert_done();
    store.assert_whole();
}

impl Store {
    /// As an operator does, or a rule of the bucket.
    fn give_upload_up(&self) {
        if self.server == Server::Google {
            let target = format!("/{}/db/target?uploadId={}", self.bucket, self.upload_id());
            let answer = servers::request(GcsFake::shared().address(), "DELETE", &target, &[], &[]).unwrap();
            assert_eq!(answer.status(), 204);
            return;
        }
        let prefix = format!("s3://{}/", self.bucket);
        wait_until("it is older by the store's clock", || {
            self.run(&["uploads", "--abort-older", "0s", &prefix]).assert_done();
            self.open_uploads() == 0
        });
    }

    fn remove_bucket(&self) {
        match self.server {
            Server::S3 => SeaweedFs::shared().remove_bucket(&self.bucket).unwrap(),
            Server::Google => GcsFake::shared().remove_bucket(&self.bucket),
        }
    }

    fn upload_id(&self) -> String {
        let plan = String::from_utf8(self.place.read("plan")).unwrap();
        plan.lines().find_map(|line| line.strip_prefix("upload ")).unwrap().to_owned()
    }

    /// Sends the first piece again past the proxy, as an attempt without a receipt does.
    fn send_again_beside(&self) {
        let target = format!("/{}/db/target?partNumber=1&uploadId={}", self.bucket, self.upload_id());
        let plain = self.place.read("plain");
        let answer =
            servers::request(GcsFake::shared().address(), "PUT", &target, &[], &plain[..6 << 20]).unwrap();
        assert_eq!(answer.status(), 200);
    }
}

/// A worker is stopped while it sends; the plan is committed without it; then it goes on.
#[test]
fn a_worker_that_comes_back_after_the_commit_changes_nothing_and_ends_well() {
    for server in servers() {
        let store = Store::new(server);
        store.plan(2, &[]).assert_done();
        store.part(1).assert_done();
        let (zombie, way) = store.start_slowly(0);
        let process = rustix::process::Pid::from_child(&zombie);
        let signal = |signal| rustix::process::kill_process(process, signal).unwrap();
        signal(rustix::process::Signal::STOP);
        way.link().set_bandwidth(0);
        store.part(0).assert_done();
        store.commit().assert_done();
        store.assert_whole();
        let watch = Watch::begin(&store);
        signal(rustix::process::Signal::CONT);
        let ended = end_of(zombie);
        ended.assert_done();
        assert!(ended.stdout.contains("has been committed"), "{ended:?}");
        watch.end();
        store.assert_whole();
        store.assert_tidy();
        let refused = way.seen().iter().filter(|seen| seen.status == 404).count();
        assert!(refused > 0 || server == Server::S3, "Google's store refuses what comes after the end");
    }
}

/// Reads the object again and again: it is whole at every moment.
struct Watch {
    ends: Arc<AtomicBool>,
    watcher: thread::JoinHandle<u64>,
}

impl Watch {
    fn begin(store: &Store) -> Watch {
        let is_whole = store.whole();
        let ends = Arc::new(AtomicBool::new(false));
        let asked = ends.clone();
        let watcher = thread::spawn(move || {
            let mut looks = 0;
            while looks == 0 || !asked.load(Ordering::Relaxed) {
                assert!(is_whole(), "the object has changed after the commit");
                looks += 1;
            }
            looks
        });
        Watch { ends, watcher }
    }

    fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        assert!(self.watcher.join().unwrap() > 0);
    }
}

/// The request that makes the object is carried out, and its answer lost.
#[test]
fn a_lost_answer_is_resolved_by_the_same_commit_and_by_the_next_one() {
    for server in servers() {
        let store = Store::with_parts(server, 2, &[]);
        store.proxy.set_plan(Plan::script(Request::is_complete, [Some(Fault::LoseAnswer)]));
        store.commit().assert_done();
        store.assert_whole();
        store.assert_tidy();
        assert!(store.commit().stdout.contains("before"));
    }
}

/// Killed before the last request is sent, while it is out, and after it was carried out.
#[test]
fn a_coordinator_that_is_killed_around_the_last_request_is_followed_by_one_that_ends_it() {
    for server in servers() {
        for fault in
            [Fault::CutRequest { after: 10 }, Fault::Stall { after: 0, at_most: Duration::from_secs(3600) }]
        {
            let store = Store::with_parts(server, 2, &[]);
            store.proxy.set_plan(Plan::always(Request::is_complete, fault.clone()));
            let mut coordinator = started(&mut store.command(&["restore", "--plan", "plan", "--commit"]));
            wait_until("the last request", || store.completions() > 0);
            if matches!(fault, Fault::Stall { .. }) {
                wait_until("the object", || store.read().is_some());
            }
            coordinator.kill().unwrap();
            coordinator.wait().unwrap();
            store.proxy.set_plan(Plan::none());
            let was_made = store.read().is_some();
            let before = store.completions();
            let next = store.commit();
            next.assert_done();
            assert_eq!(next.stdout.contains("before"), was_made, "{next:?}");
            assert_eq!(store.completions() == before, was_made, "what is there is not put together again");
            store.assert_whole();
            store.assert_tidy();
        }
    }
}

/// The object was put in place, the coordinator died, and somebody saved something else there: it is not replaced, with --force neither.
#[test]
fn what_somebody_saved_after_a_commit_that_died_is_left_alone() {
    for server in servers() {
        for force in [&[][..], &["--force"]] {
            let store = Store::new(server);
            if !force.is_empty() {
                store.put(b"old");
            }
            store.plan(2, force).assert_done();
            (0..2).for_each(|part| store.part(part).assert_done());
            let silence = Fault::Stall { after: 0, at_most: Duration::from_secs(3600) };
            store.proxy.set_plan(Plan::always(Request::is_complete, silence));
            let mut coordinator = started(&mut store.command(&["restore", "--plan", "plan", "--commit"]));
            let plain = store.place.read("plain");
            wait_until("the object", || store.read().as_ref() == Some(&plain));
            coordinator.kill().unwrap();
            coordinator.wait().unwrap();
            store.proxy.set_plan(Plan::none());
            store.put(b"what an engine saved");
            for _ in 0..2 {
                store.commit().assert_failed(8, "something else stands there since");
                assert_eq!(store.read().unwrap(), b"what an engine saved");
            }
            store.run(&["restore", "--plan", "plan", "--give-up"]).assert_done();
            assert_eq!(store.read().unwrap(), b"what an engine saved");
            store.commit().assert_failed(8, "given up");
        }
    }
}

#[test]
fn of_coordinators_at_once_one_commits_and_the_others_say_so() {
    for server in servers() {
        let store = Store::with_parts(server, 2, &[]);
        let commits: Vec<_> =
            (0..5).map(|_| started(&mut store.command(&["restore", "--plan", "plan", "--commit"]))).collect();
        let said: Vec<Ran> = commits.into_iter().map(end_of).collect();
        assert!(said.iter().all(|ran| matches!(ran.code, Some(0 | 9))), "{said:?}");
        let first = said.iter().filter(|ran| ran.code == Some(0) && !ran.stdout.contains("before"));
        assert_eq!((first.count(), store.completions()), (1, 1), "{said:?}");
        store.assert_whole();
        store.assert_tidy();
    }
}

#[test]
fn receipts_that_are_lost_doubled_or_of_another_plan_or_key_are_what_they_are_for_a_file() {
    for server in servers() {
        let (store, other) = (Store::with_parts(server, 2, &[]), Store::with_parts(server, 2, &[]));
        let attempts = store.place.directory_beside("plan").unwrap();
        let [receipt] = store.place.files_beside("plan", "receipt-1").try_into().unwrap();
        let text = fs::read(&receipt).unwrap();
        // Under another attempt's name, and under another part's.
        let doubled = attempts.join(format!("receipt-1-{}", "ab".repeat(16)));
        fs::write(doubled, &text).unwrap();
        let (_, attempt) = receipt.to_str().unwrap().rsplit_once('-').unwrap();
        fs::rename(&receipt, attempts.join(format!("receipt-0-{attempt}"))).unwrap();
        for file in other.place.files_beside("plan", "receipt-1") {
            fs::copy(&file, attempts.join(file.file_name().unwrap())).unwrap();
        }
        store.commit().assert_failed(19, "1 part missing: 1");
        store.part(1).assert_done();
        store.commit().assert_done();
        store.assert_whole();
    }
}

#[test]
fn an_object_that_exists_is_replaced_only_if_the_plan_says_so_and_if_it_is_the_one_that_was_there() {
    for server in servers() {
        let store = Store::new(server);
        store.put(b"old");
        store.plan(2, &[]).assert_failed(6, "it exists");
        assert_eq!((store.open_uploads(), store.receipts().len()), (0, 0));
        store.plan(2, &["--force"]).assert_done();
        (0..2).for_each(|part| store.part(part).assert_done());
        assert_eq!(store.read().unwrap(), b"old");
        store.commit().assert_done();
        store.assert_whole();

        // It comes after the plan: with --force too what was to be replaced was nothing.
        for more in [&[][..], &["--force"]] {
            let store = Store::new(server);
            store.plan(2, more).assert_done();
            (0..2).for_each(|part| store.part(part).assert_done());
            store.put(b"another's");
            store.commit().assert_failed(6, "another object is there by now");
            assert_eq!((store.read().unwrap(), store.completions()), (b"another's".to_vec(), 0));
            assert_nothing_was_asked_for(&store);
        }
        let store = Store::new(server);
        store.put(b"old");
        store.plan(2, &["--force"]).assert_done();
        (0..2).for_each(|part| store.part(part).assert_done());
        store.put(b"another's");
        store.commit().assert_failed(6, "another object than when it was planned");
        assert_eq!((store.read().unwrap(), store.completions()), (b"another's".to_vec(), 0));
        assert_nothing_was_asked_for(&store);
    }
}

/// Nobody is told that a commit which was refused may have put the object in place.
fn assert_nothing_was_asked_for(store: &Store) {
    let given_up = store.run(&["restore", "--plan", "plan", "--give-up", "--json"]);
    given_up.assert_done();
    assert!(given_up.stdout.contains("\"outcome\":\"removed\""), "{}", given_up.stdout);
    assert_eq!((store.read().unwrap(), store.open_uploads()), (b"another's".to_vec(), 0));
}

/// Somebody has removed it, or this is another machine: gigabytes at the store are not called nothing.
#[test]
fn a_plan_whose_directory_is_not_here_is_not_given_up_while_the_store_has_its_upload() {
    for server in servers() {
        let store = Store::new(server);
        store.plan(2, &[]).assert_done();
        store.part(0).assert_done();
        let attempts = store.place.directory_beside("plan").unwrap();
        fs::rename(&attempts, store.place.at("elsewhere")).unwrap();
        let give_up = ["restore", "--plan", "plan", "--give-up"];
        store.run(&give_up).assert_failed(8, "the store still has what was sent");
        assert_eq!(store.open_uploads(), 1);
        fs::rename(store.place.at("elsewhere"), &attempts).unwrap();
        store.run(&give_up).assert_done();
        assert_eq!(store.open_uploads(), 0);
        // Now nothing is kept anywhere.
        store.run(&give_up).assert_done();
    }
}

#[test]
fn what_is_given_up_is_gone_at_the_store_too_and_an_upload_that_somebody_gave_up_is_said() {
    for server in servers() {
        let store = Store::with_parts(server, 2, &[]);
        assert_eq!(store.open_uploads(), 1);
        for _ in 0..2 {
            store.run(&["restore", "--plan", "plan", "--give-up"]).assert_done();
            assert_eq!((store.open_uploads(), store.read()), (0, None));
        }
        store.part(0).assert_failed(8, "given up");
        store.commit().assert_failed(8, "given up");
        store.plan(2, &[]).assert_failed(8, "given up");

        let store = Store::new(server);
        store.plan(2, &[]).assert_done();
        store.part(0).assert_done();
        store.give_upload_up();
        assert_eq!(store.open_uploads(), 0);
        if server == Server::Google {
            store.part(1).assert_failed(8, "no upload of this plan any more");
            store.commit().assert_failed(19, "1 part missing: 1");
        } else {
            // SeaweedFS takes parts of an upload that it has no more; what it lacks is seen by the commit.
            store.part(1);
            assert!(matches!(store.commit().code, Some(8 | 19)));
        }
        assert_eq!(store.read(), None);
    }
}

/// What was sent went with the bucket; but a wrong endpoint says the same of a bucket that is there.
#[test]
fn a_bucket_that_is_gone_is_said_and_nothing_is_removed() {
    for server in servers() {
        let store = Store::new(server);
        store.plan(2, &[]).assert_done();
        store.part(0).assert_done();
        store.remove_bucket();
        let step = |step: &str| store.run(&["restore", "--plan", "plan", step]);
        let is_told = |ran: Ran| {
            ran.assert_failed(1, "(NoSuchBucket): there is no such bucket");
            assert!(ran.stderr.contains("at the endpoint that the environment names"), "{ran:?}");
            assert!(!ran.stderr.contains("stays at the store"), "{ran:?}");
            ran.stderr
        };
        is_told(store.part(1));
        // A receipt says what the store is not asked.
        let said = step("--status");
        said.assert_done();
        assert!(said.stdout.contains("this is what the receipts say"), "{said:?}");
        assert!(is_told(step("--give-up")).contains("what was sent has gone with it: remove the plan"));
        assert_eq!(store.receipts().len(), 1);
        let store = Store::with_parts(server, 2, &[]);
        store.remove_bucket();
        let step = |step: &str| store.run(&["restore", "--plan", "plan", step]);
        assert!(is_told(step("--commit")).contains("what was sent has gone with it: remove the plan"));
        assert!(store.place.directory_beside("plan").is_some());
        // SeaweedFS makes it.
        if server == Server::S3 {
            continue;
        }
        let another = Store::new(server);
        another.remove_bucket();
        is_told(another.plan(2, &[]));
        assert!(!another.place.at("plan").exists() && !another.place.at("plan.key").exists());
    }
}

#[test]
fn what_no_step_can_mean_for_an_object_is_2() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(Server::S3);
    let plan = |target: &str, more: &[&str]| {
        let plan = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2"];
        store.run(&[&plan[..], more, &["sealed.cfd", target]].concat())
    };
    let secret = plan("s3://user:secret@bucket/key", &[]);
    secret.assert_failed(2, "no bucket between `s3://` and the key");
    assert!(!secret.stderr.contains("secret"), "{secret:?}");
    plan("s3://bucket/key?secret", &[]).assert_failed(2, "`?` ends the path");
    plan("https://host/key", &[]).assert_failed(2, "nothing is uploaded to an HTTP server");
    plan("az://container/key", &[]).assert_failed(2, "Azure");
    plan(&store.url(), &["--max-size", "1GiB"]).assert_failed(2, "--max-size");
    plan("target", &["--spool", "."]).assert_failed(2, "for a target in a store");
    // What a step for an object does nothing with.
    for more in [&["--spool", "."][..], &["--no-preserve"], &["--set-id"], &["--keep-old", "--force"]] {
        plan(&store.url(), more).assert_failed(2, "of no use");
    }
    assert_eq!(store.proxy.counts().requests, 0);
    store.plan(2, &[]).assert_done();
    store.plan(2, &["--force"]).assert_failed(8, "plans something else already");
    for named in ["--commit", "--status", "--give-up"] {
        store
            .run(&["restore", "--plan", "plan", named, "--spool", "."])
            .assert_failed(2, "--spool is of no use");
    }
    store
        .run(&["restore", "--plan", "plan", "--status", "--timeout", "1m"])
        .assert_failed(2, "asks no store");
    plan("target", &[]).assert_failed(8, "plans something else already");
    let mut nobody =
        store.place.command(["restore", "--key-file", "stream.key", "--plan", "plan", "--part", "0"]);
    nobody.env("AWS_ENDPOINT", format!("http://{}", store.proxy.address())).env("AWS_ALLOW_HTTP", "true");
    nobody.envs([
        ("AWS_ACCESS_KEY_ID", "NOBODY"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
        ("AWS_REGION", "us-east-1"),
    ]);
    let denied = Ran::of(nobody.output().unwrap());
    assert!(!denied.stderr.contains("none"), "{denied:?}");
    denied.assert_failed(1, "credentials");
}

/// What a part that fails has sent stays at the store, and so does what all others have.
#[test]
fn a_part_that_fails_takes_nothing_of_the_others_along() {
    for server in servers() {
        let store = Store::new(server);
        store.plan(3, &[]).assert_done();
        let sealed = store.place.read("sealed.cfd");
        let mut damaged = sealed.clone();
        // In the last segment of the second part: most of it has been sent by then.
        let at = sealed.len() / 6 * 4 - 100_000;
        damaged[at] ^= 1;
        fs::write(store.place.at("sealed.cfd"), &damaged).unwrap();
        let codes: Vec<_> = (0..3).map(|part| store.part(part).code).collect();
        assert_eq!(codes.iter().filter(|code| **code == Some(3)).count(), 1, "{codes:?}");
        assert_eq!((store.open_uploads(), store.receipts().len()), (1, 2));
        let failed = codes.iter().position(|code| *code == Some(3)).unwrap() as u64;
        store.commit().assert_failed(19, &format!("1 part missing: {failed}"));
        fs::write(store.place.at("sealed.cfd"), &sealed).unwrap();
        store.part(failed).assert_done();
        store.commit().assert_done();
        store.assert_whole();
        store.assert_tidy();
    }
}

/// Connections break and answers are lost, all the way.
#[test]
fn what_may_pass_is_got_over_in_every_step() {
    use servers::FaultKind::{CutAnswer, CutRequest, Delay, LoseAnswer, Status};
    for server in servers() {
        for seed in 0..3 {
            let store = Store::new(server);
            let faults = [CutRequest, CutAnswer, LoseAnswer, Status, Delay];
            store.proxy.set_plan(Plan::seeded(seed, 4, &faults));
            store.plan(3, &[]).assert_done();
            (0..3).for_each(|part| store.part(part).assert_done());
            let committed = store.commit();
            assert_eq!(committed.code, Some(0), "{server:?} {seed}: {committed:?}");
            store.assert_whole();
            assert!(store.commit().stdout.contains("before"));
            assert!(store.proxy.counts().faults.values().sum::<u64>() > 0);
        }
    }
}

/// The upload belongs to the plan that is there, though it could not be synced; and goes with one that is not.
#[test]
fn an_upload_whose_plan_could_not_be_made_durable_is_found_with_it() {
    if servers::installed::is_skipped() {
        return;
    }
    let (mut kept, mut gone) = (0, 0);
    for when in 1..10 {
        let store = Store::of(Server::S3, &plaintext(12 << 20), "6MiB");
        let url = store.url();
        let plan =
            ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2", "sealed.cfd", &url];
        let ran = failing_command("fsync", "EIO", when, &mut store.command(&plan));
        let has_plan = store.place.at("plan").exists();
        assert_eq!(store.open_uploads(), usize::from(has_plan), "{when}: {ran:?}");
        match (ran.code, has_plan) {
            (Some(0), _) => break,
            (_, true) => kept += 1,
            (_, false) => gone += 1,
        }
        store.plan(2, &[]).assert_done();
        assert_eq!(store.open_uploads(), 1);
        (0..2).for_each(|part| store.part(part).assert_done());
        store.commit().assert_done();
        store.assert_whole();
    }
    assert!(kept > 0 && gone > 0, "{kept} {gone}");
}
