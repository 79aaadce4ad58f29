//! Sealing into a store and restoring into one: what the program says, and what is at the store afterwards.
//! Which faults an upload gets over is tested beside its sink.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;

use servers::{Fault, FaultProxy, Identity, Plan, Request, SeaweedFs};

use crate::place::{Place, Ran, SMALL, end_of, json_lines, plaintext, wait_until};

/// A place with something to seal, and a bucket behind a proxy.
struct Store {
    place: Place,
    bucket: String,
    proxy: FaultProxy,
}

impl Store {
    fn new(segments: usize) -> Store {
        let store = SeaweedFs::shared();
        let proxy = FaultProxy::start(store.address(), Plan::none()).unwrap();
        Store { place: Place::with_sealed(segments), bucket: store.new_bucket().unwrap(), proxy }
    }

    fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.place.command(arguments.iter().map(OsStr::new));
        command.envs(SeaweedFs::shared().environment(self.proxy.address(), Identity::Owner));
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    fn seal(&self, options: &[&str], key: &str) -> Ran {
        let (recipient, url) = (self.place.recipient.clone(), self.url(key));
        self.run(&[&["seal", "-r", &recipient, "-o", &url][..], options, &SMALL, &["plain"]].concat())
    }

    fn read(&self, key: &str) -> Option<Vec<u8>> {
        SeaweedFs::shared().read(&self.bucket, key).unwrap()
    }

    fn open_uploads(&self) -> usize {
        SeaweedFs::shared().open_uploads(&self.bucket).unwrap()
    }
}

#[test]
fn a_stream_goes_into_a_store_and_comes_back_and_a_second_one_is_refused() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(40);
    let url = store.url("db.cfd");
    let sealed = store.seal(&["--json"], "db.cfd");
    sealed.assert_done();
    let record = &json_lines(&sealed.stdout)[0];
    assert_eq!((&record["event"], &record["output"]), (&"sealed".into(), &url.as_str().into()));
    assert_eq!(record["sealed_len"], store.read("db.cfd").unwrap().len());
    store.run(&["restore", "-i", "key.txt", &url, "restored"]).assert_done();
    assert!(store.place.read("restored") == store.place.read("plain"));
    assert_eq!(store.place.names(), ["key.txt", "plain", "restored", "sealed.cfd"], "nothing is left here");

    let before = store.read("db.cfd");
    store.seal(&[], "db.cfd").assert_failed(6, "`--force` replaces it");
    assert_eq!(store.read("db.cfd"), before);
    store.seal(&["--force"], "db.cfd").assert_done();
    assert_ne!(store.read("db.cfd"), before, "another stream key");
    // Its length is not known, and it is short.
    store.seal(&["--zstd"], "compressed.cfd").assert_done();
    store.run(&["verify", &store.url("compressed.cfd")]).assert_done();
    assert_eq!(store.open_uploads(), 0);
}

#[test]
fn plaintext_goes_into_a_store_from_a_file_and_from_a_store() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(40);
    let plain = store.place.read("plain");
    store.run(&["restore", "-i", "key.txt", "sealed.cfd", &store.url("plain")]).assert_done();
    assert!(store.read("plain").as_deref() == Some(&plain[..]));
    store.run(&["restore", "-i", "key.txt", "sealed.cfd", &store.url("plain")]).assert_failed(6, "it exists");
    store.seal(&[], "db.cfd").assert_done();
    let restored = store.run(&["restore", "-i", "key.txt", &store.url("db.cfd"), &store.url("copy")]);
    restored.assert_done();
    assert!(restored.text().contains(&store.url("copy")), "{}", restored.text());
    assert!(store.read("copy").as_deref() == Some(&plain[..]));
    let same = ["restore", "--force", "-i", "key.txt", &store.url("db.cfd"), &store.url("db.cfd")];
    store.run(&same).assert_failed(2, "the same object");
    let damaged = store.run(&["restore", "-i", "key.txt", "plain", &store.url("other")]);
    assert_eq!((damaged.code, store.read("other")), (11, None), "{}", damaged.stderr);
}

#[test]
fn a_pipe_needs_room_for_its_parts_or_a_directory_or_a_limit_before_its_first_byte() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    let (recipient, url) = (store.place.recipient.clone(), store.url("piped.cfd"));
    let run = |options: &[&str], input: Vec<u8>| {
        let arguments =
            [&["seal", "--memory", "32MiB", "-r", &recipient, "-o", &url][..], options, &["-"]].concat();
        let mut command = store.command(&arguments);
        crate::place::fed(&mut command, input)
    };
    let input = plaintext(9 << 20);
    let refused = run(&[], input.clone());
    refused.assert_failed(2, "parts of 64 MiB");
    for words in ["--memory", "--spool", "--max-size"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert_eq!(store.proxy.counts().requests, 0, "nothing is asked for");
    run(&["--max-size", "8MiB"], input.clone()).assert_failed(7, "too long");
    assert_eq!((store.read("piped.cfd"), store.open_uploads()), (None, 0));
    run(&["--max-size", "1GiB"], input.clone()).assert_done();
    store.run(&["verify", &url]).assert_done();
    run(&["--force", "--spool", "."], input).assert_done();
    store.run(&["verify", &url]).assert_done();
    assert_eq!(store.place.names(), ["key.txt", "plain", "sealed.cfd"]);
}

#[test]
fn what_a_store_cannot_do_is_refused_first_and_said() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    let state = store.place.states.path().to_str().unwrap().to_owned();
    store.seal(&["--resume", "--state-dir", &state], "db.cfd").assert_failed(2, "nothing to resume");
    let url = store.url("db.cfd");
    for option in [["--spool", "."], ["--max-size", "1GiB"]] {
        let here = [&["seal", "-r", &store.place.recipient][..], &option, &["plain"]].concat();
        store.run(&here).assert_failed(2, "for a target in a store");
    }
    for (option, words) in [(["--seed", "plain"], "--seed is of no use"), (["--wal", "log"], "--wal is for")]
    {
        store
            .run(&[&["restore", "-i", "key.txt"][..], &option, &["sealed.cfd", &url]].concat())
            .assert_failed(2, words);
    }
    store
        .run(&["receive", "--listen", "127.0.0.1:0", &url])
        .assert_failed(2, "only `restore` goes to an address");
    store.run(&["uploads", "az://container"]).assert_failed(2, "");
    store.run(&["uploads", "--abort-older", "7", &url]).assert_failed(2, "as in 36h");
    let denied = SeaweedFs::shared().environment(store.proxy.address(), Identity::Reader);
    let mut sealing = store.command(&["seal", "--json", "-r", &store.place.recipient, "-o", &url, "plain"]);
    let denied = Ran::of(sealing.envs(denied).output().unwrap());
    let said = json_lines(denied.stderr.as_bytes());
    assert_eq!((denied.code, &said.last().unwrap()["kind"]), (1, &"denied".into()), "{}", denied.stderr);
    assert!(!denied.stderr.contains(Identity::Reader.secret_key()));
    assert_eq!(store.read("db.cfd"), None);
}

#[test]
fn a_setting_that_cannot_be_read_is_2_whoever_reads_it() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    let (url, recipient) = (store.url("db.cfd"), store.place.recipient.clone());
    for arguments in [
        &["seal", "-r", &recipient, "-o", &url, "plain"][..],
        &["verify", &url],
        &["restore", "-i", "key.txt", &url, "target"],
        &["inspect", &url],
    ] {
        let mut command = store.command(arguments);
        let ran = Ran::of(command.env("AWS_ALLOW_HTTP", "maybe").output().unwrap());
        ran.assert_failed(2, "allow_http");
    }
    assert_eq!(store.proxy.counts().requests, 0, "nothing is asked for");
}

/// S3 answers 403 to whoever may put and not list.
#[test]
fn who_may_not_look_at_what_force_replaces_is_warned() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    store.seal(&[], "db.cfd").assert_done();
    let denied = Fault::Status { code: 403, retry_after: None };
    store.proxy.set_plan(Plan::always(|request| request.method() == "HEAD", denied));
    let before = store.read("db.cfd");
    let refused = store.seal(&[], "db.cfd");
    assert_eq!((refused.code, store.read("db.cfd")), (6, before), "{}", refused.stderr);
    assert!(!refused.stderr.contains("whoever wrote it"), "{}", refused.stderr);
    let replaced = store.seal(&["--force"], "db.cfd");
    replaced.assert_done();
    assert!(replaced.stderr.contains("may not be looked at"), "{}", replaced.stderr);
    assert!(replaced.stderr.contains("whoever wrote it"), "{}", replaced.stderr);
}

#[test]
fn a_request_that_is_made_again_is_said_and_a_lost_last_answer_is_none_of_it() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(40);
    store.proxy.set_plan(Plan::script(|request| request.method() == "PUT", [Some(Fault::LoseAnswer)]));
    let sealed = store.seal(&["--json"], "lost.cfd");
    sealed.assert_done();
    let said = json_lines(sealed.stderr.as_bytes());
    assert_eq!(said.iter().filter(|said| said["event"] == "retry").count(), 1, "{said:?}");
    assert!(store.read("lost.cfd").is_some());
    let busy = Fault::Status { code: 503, retry_after: Some(0) };
    store.proxy.set_plan(Plan::script(|request| request.method() == "PUT", [Some(busy)]));
    let sealed = store.seal(&[], "busy.cfd");
    sealed.assert_done();
    assert!(sealed.stderr.contains("503") && sealed.stderr.contains("trying again"), "{}", sealed.stderr);
}

/// A large stream to a store so slow that it takes minutes, until a part is on its way.
fn sealing_slowly(store: &Store) -> Child {
    sealing_slowly_to(store, "large.cfd")
}

fn sealing_slowly_to(store: &Store, key: &str) -> Child {
    std::fs::write(store.place.path("large"), plaintext(40 << 20)).unwrap();
    store.proxy.link().set_bandwidth(64 << 10);
    let url = store.url(key);
    let mut sealing = store.command(&["seal", "-r", &store.place.recipient, "-o", &url, "large"]);
    let sealing = crate::place::spawned(&mut sealing);
    wait_until("a part is on its way", || store.proxy.counts().bytes_up > 100 << 10);
    sealing
}

#[test]
fn a_signal_ends_an_upload_and_nothing_of_it_is_left_or_that_is_said() {
    if servers::installed::is_skipped() {
        return;
    }
    for is_left in [false, true] {
        let store = Store::new(1);
        let sealing = sealing_slowly(&store);
        if is_left {
            let denied = Fault::Status { code: 403, retry_after: None };
            store.proxy.set_plan(Plan::always(|request| request.method() == "DELETE", denied));
        }
        let process = rustix::process::Pid::from_child(&sealing);
        rustix::process::kill_process(process, rustix::process::Signal::INT).unwrap();
        let ended = end_of(sealing);
        assert_eq!(ended.code, 130, "{}", ended.stderr);
        assert!(ended.stderr.contains("has been given up"), "{}", ended.stderr);
        let list = format!("`cofferdam uploads s3://{}/` lists it", store.bucket);
        assert_eq!(ended.stderr.contains(&list), is_left, "{}", ended.stderr);
        store.proxy.link().set_bandwidth(0);
        assert_eq!((store.read("large.cfd"), store.open_uploads()), (None, usize::from(is_left)));
    }
}

/// The store has the last request, and does not answer. What is true of a file, that the same command finishes, is not of an object.
#[test]
fn a_signal_while_the_last_answer_is_awaited_says_so_and_a_second_one_names_the_object() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    let is_put = |request: &Request| request.method() == "PUT";
    let silence = Fault::Stall { after: 0, at_most: std::time::Duration::from_secs(3600) };
    store.proxy.set_plan(Plan::always(is_put, silence));
    let url = store.url("db/one.cfd");
    let mut sealing = store.command(&["seal", "-r", &store.place.recipient, "-o", &url, "plain"]);
    let mut sealing = crate::place::spawned(&mut sealing);
    let process = rustix::process::Pid::from_child(&sealing);
    let interrupt = || rustix::process::kill_process(process, rustix::process::Signal::INT);
    wait_until("the last request is out", || store.proxy.counts().faults.values().sum::<u64>() > 0);
    interrupt().unwrap();
    let mut said = BufReader::new(sealing.stderr.take().unwrap());
    let waits = format!(
        "interrupted while {url} was being put in place: waiting for the store's answer, at most 370 s"
    );
    let mut first = String::new();
    while !first.contains("put in place") {
        assert_ne!(said.read_line(&mut first).unwrap(), 0, "{first}");
    }
    assert!(first.contains(&waits), "{first}");
    wait_until("a second signal, which is no echo of the first, ends it", || {
        let _ = interrupt();
        sealing.try_wait().unwrap().is_some()
    });
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(sealing.wait().unwrap().code(), Some(10), "{rest}");
    assert!(!rest.contains("waiting") && !rest.contains("finishes"), "said once, and nothing false: {rest}");
    let prefix = url.strip_suffix("one.cfd").unwrap();
    assert!(rest.contains(&url) && rest.contains(&format!("`cofferdam uploads {prefix}`")), "{rest}");
}

#[test]
fn what_a_killed_program_has_left_is_listed_and_given_up_by_age_alone() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    let mut sealing = sealing_slowly(&store);
    sealing.kill().unwrap();
    sealing.wait().unwrap();
    store.proxy.link().set_bandwidth(0);
    assert_eq!(store.read("large.cfd"), None);
    let prefix = store.url("la");
    let listed = store.run(&["uploads", "--json", &prefix]);
    listed.assert_done();
    let record = &json_lines(&listed.stdout)[0];
    assert_eq!((&record["event"], &record["key"]), (&"upload".into(), &"large.cfd".into()));
    assert_eq!(record["aborted"], false);
    assert!(record["age_seconds"].as_u64().unwrap() < 3600);
    // It is younger, or of another key.
    store.run(&["uploads", "--abort-older", "1h", &prefix]).assert_done();
    store.run(&["uploads", "--abort-older", "0s", &store.url("other")]).assert_done();
    assert_eq!(json_lines(&store.run(&["uploads", "--json", &prefix]).stdout).len(), 1);
    wait_until("a second has passed by the store's clock", || {
        let given_up = store.run(&["uploads", "--abort-older", "0s", &prefix]);
        given_up.assert_done();
        given_up.text().contains("given up")
    });
    let listed = store.run(&["uploads", &format!("s3://{}", store.bucket)]);
    listed.assert_done();
    assert_eq!(listed.text(), "");
    assert!(listed.stderr.contains("0 unfinished uploads"), "{}", listed.stderr);
}

#[test]
fn an_upload_that_cannot_be_given_up_keeps_none_of_the_others_and_is_1() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    for (count, key) in [(1, "a.cfd"), (2, "b.cfd"), (3, "c.cfd")] {
        let mut sealing = sealing_slowly_to(&store, key);
        wait_until("an upload is begun", || store.open_uploads() == count);
        sealing.kill().unwrap();
        sealing.wait().unwrap();
    }
    store.proxy.link().set_bandwidth(0);
    let denied = Fault::Status { code: 403, retry_after: None };
    let is_kept = |request: &Request| request.method() == "DELETE" && request.target().contains("b.cfd");
    store.proxy.set_plan(Plan::always(is_kept, denied));
    let prefix = format!("s3://{}", store.bucket);
    let mut all = String::new();
    wait_until("all are older by the store's clock", || {
        let ran = store.run(&["uploads", "--abort-older", "0s", &prefix]);
        all += ran.text();
        let has_tried = ran.stderr.contains("b.cfd: the upload could not be given up");
        assert_eq!(ran.code, i32::from(has_tried), "{}", ran.stderr);
        let ends = ran.stderr.contains("1 unfinished upload could not be given up");
        assert_eq!(ends, has_tried, "{}", ran.stderr);
        has_tried && all.contains("a.cfd: ") && all.matches("given up").count() == 2
    });
    let listed = store.run(&["uploads", "--json", &prefix]);
    listed.assert_done();
    let records = json_lines(&listed.stdout);
    assert_eq!(records.iter().map(|record| &record["key"]).collect::<Vec<_>>(), ["b.cfd"]);
}

/// The one that loses is told, and what is there is the winner's.
#[test]
fn of_two_sealers_of_one_name_one_wins() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(40);
    let url = store.url("one.cfd");
    let start = || {
        let mut sealing =
            store.command(&["seal", "--json", "-r", &store.place.recipient, "-o", &url, "plain"]);
        crate::place::spawned(&mut sealing)
    };
    // Both look, and find nothing, before either puts it there: until then a head takes a minute.
    store.proxy.link().set_latency(std::time::Duration::from_millis(300));
    store.proxy.link().set_bandwidth(8);
    let sealing = [start(), start()];
    wait_until("both look", || {
        store.proxy.seen().iter().filter(|seen| seen.request.method() == "HEAD").count() > 1
    });
    store.proxy.link().set_bandwidth(0);
    let ends = sealing.map(end_of);
    store.proxy.link().set_latency(std::time::Duration::ZERO);
    let mut codes = ends.each_ref().map(|end| end.code);
    codes.sort_unstable();
    assert!([[0, 6], [0, 9]].contains(&codes), "{ends:?}");
    let winner = ends.iter().find(|end| end.code == 0).unwrap();
    let verified = store.run(&["verify", "--json", &url]);
    assert_eq!(
        json_lines(&verified.stdout)[0]["stream_digest"],
        json_lines(&winner.stdout)[0]["stream_digest"]
    );
    assert!(store.proxy.seen().iter().filter(|seen| seen.request.method() == "PUT").count() >= 2);
}

#[test]
fn a_key_with_marks_of_its_own_is_that_key() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    store.seal(&[], "a%20b/%25%3F%23+ü.cfd").assert_done();
    assert!(store.read("a%20b/%25%3F%23+%C3%BC.cfd").is_some());
    let is_part = |request: &Request| request.is_part();
    assert_eq!(store.proxy.seen().iter().filter(|seen| is_part(&seen.request)).count(), 0);
}

#[test]
fn what_another_tool_sealed_is_opened_and_sealed_anew_from_store_to_store() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../foreign/tests/vectors/other-tools/ecies-lib");
    let vector = |name: &str| std::fs::read(std::path::Path::new(vectors).join(name)).unwrap();
    std::fs::write(
        store.place.path("ecies"),
        "1ab42cc412b618bdea3a599e3c9bae199ebf030895b039e9db1e30dafb12b727",
    )
    .unwrap();
    let recipient = store.place.recipient.clone();
    for (name, code) in [("multi_three", 0), ("big", 13)] {
        let (old, new) = (store.url(&format!("{name}.enc")), store.url(&format!("{name}.cfd")));
        let sealed = vector(&format!("{name}.enc"));
        SeaweedFs::shared().put(&store.bucket, &format!("{name}.enc"), &sealed).unwrap();
        let options = ["--foreign-key", "ecies", "--accept-unproven"];
        let restored = store.run(&[&["restore"], &options[..], &[&old, "target"]].concat());
        assert_eq!(restored.code, code, "{}", restored.stderr);
        assert!(store.place.read("target") == vector(&format!("{name}.plain")));
        let convert = [&["convert", "-r", &recipient], &options[..], &[&old, &new]].concat();
        let converted = store.run(&convert);
        assert_eq!(converted.code, code, "{}", converted.stderr);
        store.run(&["restore", "-i", "key.txt", "--force", &new, "target"]).assert_done();
        assert!(store.place.read("target") == vector(&format!("{name}.plain")));
        store.run(&convert).assert_failed(6, "it exists");
        std::fs::remove_file(store.place.path("target")).unwrap();
        // What is damaged is not made an object of, and no part of it stays.
        let mut damaged = sealed;
        *damaged.last_mut().unwrap() ^= 1;
        SeaweedFs::shared().put(&store.bucket, "damaged", &damaged).unwrap();
        let (old, new) = (store.url("damaged"), store.url("none"));
        let refused = [&["convert", "-r", &recipient], &options[..], &[&old, &new]].concat();
        store.run(&refused).assert_failed(3, "damaged");
        assert_eq!((store.read("none"), store.open_uploads()), (None, 0));
    }
    let url = store.url("big.enc");
    let same =
        ["convert", "-r", &recipient, "--foreign-key", "ecies", "--accept-unproven", "--force", &url, &url];
    store.run(&same).assert_failed(2, "the same object");
}

#[test]
fn an_age_file_goes_into_a_store_and_from_there_to_another_object_or_nowhere() {
    if servers::installed::is_skipped() {
        return;
    }
    let store = Store::new(1);
    // Of several parts.
    let plain = plaintext((20 << 20) + 77);
    std::fs::write(store.place.path("large"), &plain).unwrap();
    let (recipient, sealed, copy) = (store.place.recipient.clone(), store.url("db.age"), store.url("copy"));
    let seal = ["seal", "--format", "age", "-r", &recipient, "-o", &sealed, "large"];
    store.run(&seal).assert_done();
    let bytes = store.read("db.age").unwrap();
    std::fs::write(store.place.path("fetched.age"), &bytes).unwrap();
    let age = ["-d", "-i", "key.txt", "-o", "opened", "fetched.age"];
    let age = std::process::Command::new("age").args(age).current_dir(store.place.directory.path()).status();
    assert!(age.unwrap().success());
    assert!(store.place.read("opened") == plain);
    store.run(&seal).assert_failed(6, "it exists");
    assert!(store.read("db.age").as_deref() == Some(&bytes[..]));

    store.run(&["restore", "-i", "key.txt", &sealed, &copy]).assert_done();
    assert!(store.read("copy").as_deref() == Some(&plain[..]));
    // Cut behind a chunk, and changed in its middle: what is made of either is nothing.
    let cut = &bytes[..bytes.len() - (77 + 16)];
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    for (bad, code) in [(cut, 5), (&changed, 3)] {
        SeaweedFs::shared().put(&store.bucket, "bad.age", bad).unwrap();
        let ran = store.run(&["restore", "-i", "key.txt", &store.url("bad.age"), &store.url("none")]);
        assert_eq!((ran.code, store.read("none")), (code, None), "{}", ran.stderr);
    }
    assert_eq!(store.open_uploads(), 0);
}
