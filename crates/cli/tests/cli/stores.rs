//! Sealed streams that lie on a server or in a store: named by a URL, and read as a file is.
//! Which faults a source gets over is tested beside it; here is what the program says, and what it leaves.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use servers::installed::is_skipped;
use servers::{Fault, FaultProxy, Identity, Nginx, Plan, Request, SeaweedFs};

use crate::place::{Place, Ran, SEGMENT_LEN, end_of, json_lines, plaintext};

/// A place whose directory is served, and the server.
fn served(segments: usize) -> (Place, Nginx) {
    let place = Place::with_sealed(segments);
    let server = Nginx::start(place.directory.path()).unwrap();
    (place, server)
}

/// Whether a request is for bytes beyond the beginning.
fn is_later(request: &Request) -> bool {
    request.is_read() && request.field("range").is_some_and(|range| !range.starts_with("bytes=0-"))
}

#[test]
fn a_url_is_restored_verified_inspected_and_printed_like_a_file() {
    if is_skipped() {
        return;
    }
    let (place, server) = served(40);
    let url = server.url("sealed.cfd");
    place.run(["restore", "-i", "key.txt", &url, "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    let restored = place.run(["restore", "--json", "-i", "key.txt", &url, "again"]);
    assert_eq!(json_lines(&restored.stdout)[0]["input"], url);
    for key in [&["-i", "key.txt"][..], &[]] {
        let verified = place.run([&["verify"], key, &[&url]].concat());
        verified.assert_done();
        assert!(verified.text().contains(&url), "{}", verified.text());
    }
    let of_file = place.run(["inspect", "--segments", "sealed.cfd"]);
    let inspected = place.run(["inspect", "--segments", &url]);
    inspected.assert_done();
    assert_eq!(inspected.text(), of_file.text().replace("sealed.cfd", &url));
    let printed = place.run(["cat", "-i", "key.txt", &url]);
    assert!(printed.stdout == place.read("plain"));
    // What cannot even be opened says what has become of the target.
    let absent = ["restore", "-i", "key.txt", &server.url("absent.cfd")];
    place.run([&absent[..], &["again.new"]].concat()).assert_failed(1, "The target is as it was.");
    place.run([&absent[..], &["-"]].concat()).assert_failed(1, "Nothing has been written.");
    let part = place.run(["cat", "-i", "key.txt", "--range", "20000..500000", &url]);
    part.assert_done();
    assert!(part.stdout == place.read("plain")[20_000..500_000]);
}

#[test]
fn an_object_in_a_store_is_read_with_the_credentials_of_the_environment() {
    if is_skipped() {
        return;
    }
    let place = Place::with_sealed(40);
    let store = SeaweedFs::shared();
    let bucket = store.new_bucket().unwrap();
    store.put(&bucket, "a%20b/db.cfd", &place.read("sealed.cfd")).unwrap();
    let url = format!("s3://{bucket}/a%20b/db.cfd");
    let run = |who, arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.envs(store.environment(store.address(), who));
        Ran::of(command.output().unwrap())
    };
    run(Identity::Reader, &["restore", "-i", "key.txt", &url, "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    run(Identity::Reader, &["verify", &url]).assert_done();
    let denied = run(Identity::Stranger, &["restore", "--json", "-i", "key.txt", &url, "other"]);
    assert_eq!((denied.code, &json_lines(denied.stderr.as_bytes())[0]["kind"]), (1, &"denied".into()));
    let absent = run(Identity::Reader, &["verify", &format!("{url}.old")]);
    absent.assert_failed(1, "db.cfd.old");
    assert!(!place.path("other").exists());
}

/// What fails once is read when it is looked for what is lost: then nothing is, and nothing is verified either.
#[test]
fn a_check_whose_reading_failed_does_not_say_that_nothing_is_lost() {
    if is_skipped() {
        return;
    }
    let (place, server) = served(40);
    let refused = Fault::Status { code: 400, retry_after: None };
    let proxy = FaultProxy::start(server.address(), Plan::script(is_later, [Some(refused)])).unwrap();
    let verified = place.run(["verify", "-i", "key.txt", &proxy.url("sealed.cfd")]);
    verified.assert_failed(1, "the server refused the request (400");
    assert_eq!(verified.text(), "");
    assert!(verified.stderr.contains("That is no verification: run this again."), "{}", verified.stderr);
}

#[test]
fn over_a_seed_from_this_machine_only_the_rest_is_fetched() {
    if is_skipped() {
        return;
    }
    let (place, server) = served(100);
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    let mut old = place.read("plain");
    old[30 * SEGMENT_LEN + 7] ^= 1;
    fs::write(place.path("old"), old).unwrap();
    let url = proxy.url("sealed.cfd");
    place.run(["restore", "-i", "key.txt", "--seed", "old", &url, "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    // The beginning and the end of the stream, and two segments.
    let fetched = proxy.counts().bytes_down;
    assert!(fetched < 260_000, "{fetched} of {} bytes", place.read("sealed.cfd").len());
}

#[test]
fn what_is_not_there_or_may_not_be_read_or_changes_has_its_exit_code_and_no_secret_is_said() {
    if is_skipped() {
        return;
    }
    let (place, server) = served(40);
    fs::create_dir(place.path(Nginx::DENIED)).unwrap();
    fs::copy(place.path("sealed.cfd"), place.path(Nginx::DENIED).join("sealed.cfd")).unwrap();
    let proxy = FaultProxy::start(server.address(), Plan::always(is_later, Fault::OtherTag)).unwrap();
    let denied = server.url(&format!("{}/sealed.cfd", Nginx::DENIED));
    for (url, code, kind) in [
        (server.url("nothing.cfd"), 1, "io"),
        (denied, 1, "denied"),
        (proxy.url("sealed.cfd"), 12, "source-changed"),
    ] {
        let secret = url.replace("http://", "http://user:hidden@") + "?token=hidden";
        for command in ["restore", "verify"] {
            let target: &[&str] = if command == "restore" { &["target"] } else { &[] };
            let ran = place.run([&[command, "--json", "-i", "key.txt", &secret], target].concat());
            let said = json_lines(ran.stderr.as_bytes());
            let error = said.last().unwrap();
            assert_eq!((ran.code, &error["kind"]), (code, &kind.into()), "{error}");
            assert!(error["message"].as_str().unwrap().contains(&url), "{error} of {url}");
            assert!(!ran.stderr.contains("hidden") && !ran.text().contains("hidden"), "{}", ran.stderr);
        }
    }
    assert!(!place.path("target").exists());
}

#[test]
fn a_request_that_is_made_again_is_said() {
    if is_skipped() {
        return;
    }
    let (place, server) = served(40);
    let busy = || Fault::Status { code: 503, retry_after: Some(0) };
    let plan = || Plan::script(is_later, [Some(busy()), Some(busy())]);
    let proxy = FaultProxy::start(server.address(), plan()).unwrap();
    let url = proxy.url("sealed.cfd");
    let verified = place.run(["verify", &url]);
    verified.assert_done();
    let said: Vec<&str> = verified.stderr.lines().filter(|line| line.contains("trying again in")).collect();
    assert_eq!(said.len(), 2, "{}", verified.stderr);
    assert!(said.iter().all(|line| line.contains(&url) && line.contains("503")), "{said:?}");
    proxy.set_plan(plan());
    let verified = place.run(["verify", "--json", &url]);
    let said = json_lines(verified.stderr.as_bytes());
    assert_eq!(said.iter().filter(|said| said["event"] == "retry").count(), 2, "{said:?}");
    proxy.set_plan(plan());
    assert_eq!(place.run(["verify", "--quiet", &url]).stderr, "");
}

#[test]
fn a_restore_that_was_killed_fetches_the_rest_alone() {
    if is_skipped() {
        return;
    }
    let (place, server) = served(500);
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    let url = proxy.url("sealed.cfd");
    let sealed_len = place.read("sealed.cfd").len() as u64;
    proxy.link().set_bandwidth(1 << 20);
    let restore = ["restore", "--json", "-i", "key.txt", &url, "restored"];
    let mut killed = place.spawn(restore);
    let half = (plaintext(500 * SEGMENT_LEN - 5).len() / 2) as u64;
    let lines = BufReader::new(killed.stderr.take().unwrap()).lines();
    let mut records = lines.map(|line| json_lines(line.unwrap().as_bytes()).remove(0));
    let is_half =
        |record: &serde_json::Value| record["committed"].as_u64().is_some_and(|bytes| bytes >= half);
    assert!(records.any(|record| is_half(&record)), "half of it is restored");
    killed.kill().unwrap();
    killed.wait().unwrap();
    proxy.link().set_bandwidth(0);
    let before = proxy.counts().bytes_down;
    place.run(restore).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    let fetched = proxy.counts().bytes_down - before;
    assert!(fetched * 100 <= sealed_len * 55, "{fetched} of {sealed_len} bytes");
}

/// What is kept is of one stream: another one at the same URL neither goes on with it nor removes it.
#[test]
fn another_stream_at_the_same_url_is_refused_as_another_file_is() {
    if is_skipped() {
        return;
    }
    let (place, server) = served(200);
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    let url = proxy.url("sealed.cfd");
    proxy.link().set_bandwidth(1 << 20);
    let restore = ["restore", "--json", "-i", "key.txt", &url, "restored"];
    let mut killed = place.spawn(restore);
    let mut lines = BufReader::new(killed.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("\"progress\"")));
    killed.kill().unwrap();
    killed.wait().unwrap();
    proxy.link().set_bandwidth(0);
    let first = place.read("sealed.cfd");
    fs::write(place.path("other"), plaintext(9 * SEGMENT_LEN)).unwrap();
    fs::remove_file(place.path("sealed.cfd")).unwrap();
    place.seal("other", "sealed.cfd").assert_done();
    place.run(restore).assert_failed(8, "restore");
    assert!(!place.path("restored").exists());
    // The first one is back: what was kept of it still serves.
    fs::write(place.path("sealed.cfd"), first).unwrap();
    let restored = place.run(restore);
    restored.assert_done();
    assert!(json_lines(&restored.stdout)[0]["kept"].as_u64() > Some(0));
    assert!(place.read("restored") == place.read("plain"));
}

#[test]
fn a_signal_ends_a_restore_that_waits_for_a_server() {
    if is_skipped() {
        return;
    }
    let (place, server) = served(40);
    let stall = Fault::Stall { after: 3000, at_most: std::time::Duration::from_secs(600) };
    let proxy = FaultProxy::start(server.address(), Plan::always(is_later, stall)).unwrap();
    let url = proxy.url("sealed.cfd");
    let restoring = place.spawn(["restore", "-i", "key.txt", &url, "restored"]);
    crate::place::wait_until("a request that stalls", || proxy.counts().requests > 1);
    let process = rustix::process::Pid::from_child(&restoring);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    assert_eq!(end_of(restoring).code, 143);
    assert!(!place.path("restored").exists());
}

/// It is opened a second time for the list.
#[test]
fn a_list_of_what_is_lost_that_did_not_come_to_its_end_says_so() {
    if is_skipped() {
        return;
    }
    let (place, server) = served(8);
    place.damage_segment(0);
    let verify = |limit: &str| {
        let opened = AtomicUsize::new(0);
        let plan = Plan::new(move |request| {
            let opened = opened.fetch_add(usize::from(!is_later(request)), Ordering::Relaxed);
            let stall = Fault::Stall { after: 0, at_most: std::time::Duration::from_secs(600) };
            (opened >= 2 && is_later(request)).then_some(stall)
        });
        let proxy = FaultProxy::start(server.address(), plan).unwrap();
        place.run(["verify", "-i", "key.txt", "--timeout", limit, &proxy.url("sealed.cfd")])
    };
    // A machine that is busy may need longer to come to the list.
    let found = ["1s", "4s", "16s"].into_iter().map(verify).find(|ran| ran.code == 3);
    found.unwrap().assert_failed(3, "What else is lost was not looked for to the end");
}

#[test]
fn what_looks_like_a_url_and_is_none_is_2_and_with_a_dot_it_is_a_file() {
    let place = Place::with_sealed(1);
    for (name, words) in [
        ("ftp://host/db.cfd", "a file of that name is ./"),
        ("s3://bucket", "a file of that name is ./"),
        ("s3://bucket/", "a file of that name is ./"),
        ("http://host/folder/", "names no file"),
        ("https:/user:5ecret@host/db.cfd", "a file of that name is ./"),
        ("S3:/bucket/db.cfd", "a file of that name is ./"),
    ] {
        for command in ["verify", "inspect", "cat"] {
            let refused = place.run([command, name]);
            refused.assert_failed(2, words);
            assert!(!refused.stderr.contains("5ecret"), "{}", refused.stderr);
        }
        place.run(["restore", "-i", "key.txt", name, "t"]).assert_failed(2, words);
        place.run(["rewrap", "-i", "key.txt", "-r", &place.recipient, name]).assert_failed(2, "in a store");
    }
    fs::create_dir_all(place.path("s3:/bucket")).unwrap();
    fs::copy(place.path("sealed.cfd"), place.path("s3:/bucket/db.cfd")).unwrap();
    place.run(["verify", "./s3://bucket/db.cfd"]).assert_done();
}

/// Nobody answers: each command that takes a URL waits as long as it is told, and not its five minutes.
#[test]
fn a_timeout_says_how_long_a_server_that_says_nothing_is_waited_for() {
    let place = Place::with_sealed(2);
    // Connections are made, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let url = format!("{endpoint}/sealed.cfd");
    let commands: [&[&str]; 8] = [
        &["verify", &url],
        &["inspect", &url],
        &["restore", "-i", "key.txt", &url, "restored"],
        &["cat", "-i", "key.txt", &url],
        &["cat", "-i", "key.txt", "--range", "0..9", &url],
        &["seal", "-r", &place.recipient, "-o", "s3://bucket/key", "plain"],
        &["restore", "-i", "key.txt", "sealed.cfd", "s3://bucket/key"],
        &["uploads", "s3://bucket/"],
    ];
    thread::scope(|scope| {
        for arguments in commands {
            let mut command = place.command([arguments, &["--timeout", "1s"]].concat());
            command.envs([
                ("AWS_ENDPOINT", endpoint.as_str()),
                ("AWS_ALLOW_HTTP", "true"),
                ("AWS_REGION", "nowhere"),
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "secret"),
            ]);
            scope.spawn(move || {
                let ran = Ran::of(command.output().unwrap());
                assert_eq!(ran.code, 15, "{arguments:?}: {}", ran.stderr);
            });
        }
    });
    place.run(["verify", "--timeout", "0s", &url]).assert_failed(2, "at least 1s");
}
