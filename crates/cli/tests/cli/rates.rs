//! `--limit-rate` and `--limit-rate-file`: a rate of a byte per second lets nothing through that would be waited for.
//! How fast anything is, no test here looks at.

use std::fs;

use crate::place::{Place, end_of, json_lines, plaintext, wait_until};

/// What of a stream goes through all of it, with what it leaves beside a target while it runs.
fn commands(place: &Place) -> Vec<(Vec<String>, Option<&'static str>)> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    vec![
        (words("restore -i key.txt sealed.cfd target"), Some(".target.cofferdam-staging")),
        (words("verify -i key.txt sealed.cfd"), None),
        (words("cat -i key.txt sealed.cfd"), None),
        (words("cat -i key.txt --range 1.. sealed.cfd"), None),
        (words(&format!("seal -r {} plain -o out.cfd", place.recipient)), Some(".out.cfd.cofferdam-staging")),
    ]
}

#[test]
fn a_rate_in_a_file_is_followed_while_the_command_runs() {
    let place = Place::with_sealed(40);
    for (command, staging) in commands(&place) {
        fs::write(place.path("rate"), "1\n").unwrap();
        let limited = ["--limit-rate-file", "rate"].map(str::to_owned);
        let mut running = place.spawn(command.iter().cloned().chain(limited));
        if let Some(staging) = staging {
            wait_until("the staging file", || place.path(staging).exists());
        }
        assert!(running.try_wait().unwrap().is_none(), "{command:?} ends at a byte per second");
        fs::write(place.path("new"), "0\n").unwrap();
        fs::rename(place.path("new"), place.path("rate")).unwrap();
        end_of(running).assert_done();
    }
    assert!(place.read("target") == place.read("plain"));
}

#[test]
fn what_was_interrupted_at_a_low_rate_is_resumed_without_one() {
    let place = Place::with_sealed(40);
    let restore = ["restore", "-i", "key.txt", "sealed.cfd", "target"];
    let running = place.spawn(restore.into_iter().chain(["--limit-rate", "1"]));
    wait_until("the staging file", || place.path(".target.cofferdam-staging").exists());
    rustix::process::kill_process(rustix::process::Pid::from_child(&running), rustix::process::Signal::INT)
        .unwrap();
    end_of(running).assert_failed(130, "interrupted");
    place.run(restore).assert_done();
    assert!(place.read("target") == place.read("plain"));
}

#[test]
fn a_file_without_a_rate_is_warned_of_once_and_what_was_said_before_holds() {
    let place = Place::with_sealed(4);
    for content in [None, Some(""), Some("fast"), Some("10MiB 5MiB")] {
        match content {
            Some(content) => fs::write(place.path("rate"), content).unwrap(),
            None => assert!(!place.path("rate").exists()),
        }
        let ran = place.run([
            "--json",
            "verify",
            "-i",
            "key.txt",
            "--limit-rate",
            "1GiB/s",
            "--limit-rate-file",
            "rate",
            "sealed.cfd",
        ]);
        ran.assert_done();
        let lines = json_lines(ran.stderr.as_bytes());
        let warnings: Vec<_> = lines.iter().filter(|line| line["event"] == "warning").collect();
        assert_eq!(warnings.len(), 1, "{content:?}: {}", ran.stderr);
        let message = warnings[0]["message"].as_str().unwrap();
        assert!(message.contains("rate has no rate") && message.contains("1.00 GiB/s"), "{message}");
    }
}

#[test]
fn rates_that_are_none_are_refused_and_a_rate_file_is_never_replaced() {
    let place = Place::with_sealed(4);
    for rate in ["fast", "1.5MiB", "-1", ""] {
        let limit = format!("--limit-rate={rate}");
        place.run(["verify", &limit, "sealed.cfd"]).assert_failed(2, "--limit-rate");
    }
    place.run(["verify", "--limit-rate-file", "-", "sealed.cfd"]).assert_failed(2, "--limit-rate-file");
    fs::write(place.path("rate"), "1GiB").unwrap();
    let restore = ["restore", "--force", "-i", "key.txt", "--limit-rate-file", "rate", "sealed.cfd", "rate"];
    place.run(restore).assert_failed(2, "rate");
    assert_eq!(place.read("rate"), b"1GiB");
}

#[test]
fn a_rate_and_little_memory_change_nothing_of_what_comes_out() {
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(3_000_000)).unwrap();
    let fast = ["--limit-rate", "10GB", "--memory", "8MiB"];
    let seal = ["seal", "--zstd", "-r", &place.recipient, "plain", "-o", "sealed.cfd"];
    place.run(seal.into_iter().chain(fast)).assert_done();
    place.run(["restore", "-i", "key.txt", "sealed.cfd", "target"].into_iter().chain(fast)).assert_done();
    assert!(place.read("target") == plaintext(3_000_000));
}
