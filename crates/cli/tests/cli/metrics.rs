//! `--metrics-file`: the figures of a command are what happened, and what reads them understands the file.
//! Which figures there are is the library's; here they are compared with what others have counted.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use servers::installed::is_skipped;
use servers::{Fault, FaultProxy, Identity, Nginx, Plan, Request, SeaweedFs};

use crate::place::{Place, Ran, SEGMENT_LEN, json_lines, plaintext, wait_until};
use crate::served::{Disk, ServeProcess};

/// The samples of a file, by name and labels as they are written.
fn figures(place: &Place, name: &str) -> BTreeMap<String, f64> {
    let text = String::from_utf8(place.read(name)).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse().unwrap())
    };
    samples.map(sample).collect()
}

/// Fails unless the program that comes with Prometheus reads the file, and finds nothing to say about its names.
pub(crate) fn assert_is_understood(place: &Place, name: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = command.spawn() else {
        assert!(is_skipped(), "promtool is missing; `cargo xtask setup` installs it");
        return;
    };
    promtool.stdin.take().unwrap().write_all(&place.read(name)).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Bytes of the sealed segments, as `inspect` lists them.
fn segments_len(place: &Place) -> f64 {
    let listed = place.run(["inspect", "--json", "--segments", "sealed.cfd"]);
    let lines = json_lines(&listed.stdout);
    let lens = lines.iter().filter(|line| line["event"] == "segment").map(|line| line["wire_len"].as_u64());
    lens.map(Option::unwrap).sum::<u64>() as f64
}

/// Whether a request is for bytes beyond the beginning.
fn is_later(request: &Request) -> bool {
    request.is_read() && request.field("range").is_some_and(|range| !range.starts_with("bytes=0-"))
}

#[test]
fn what_a_restore_over_a_failing_network_counts_is_what_happened() {
    if is_skipped() {
        return;
    }
    let place = Place::with_sealed(40);
    let server = Nginx::start(place.directory.path()).unwrap();
    let faults = [
        Some(Fault::Status { code: 503, retry_after: Some(0) }),
        Some(Fault::CutAnswer { after: 2000 }),
        None,
        Some(Fault::ShiftedRange),
        Some(Fault::Status { code: 429, retry_after: Some(0) }),
    ];
    let proxy = FaultProxy::start(server.address(), Plan::script(is_later, faults)).unwrap();
    let url = proxy.url("sealed.cfd").replace("http://", "http://user:hidden@") + "?token=hidden";
    place.run(["restore", "-i", "key.txt", "--metrics-file", "m.prom", &url, "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    let figures = figures(&place, "m.prom");
    let counts = proxy.counts();
    assert_eq!(counts.faults.values().sum::<u64>(), 4, "{:?}", counts.faults);
    let plain_len = place.read("plain").len() as f64;
    let expected = [
        ("cofferdam_requests_total{direction=\"download\"}", counts.requests as f64),
        ("cofferdam_request_retries_total{direction=\"download\",cause=\"throttled\"}", 2.0),
        ("cofferdam_request_retries_total{direction=\"download\",cause=\"outage\"}", 1.0),
        ("cofferdam_request_retries_total{direction=\"download\",cause=\"bad_answer\"}", 1.0),
        ("cofferdam_read_bytes_total{operation=\"open\"}", segments_len(&place)),
        ("cofferdam_processed_bytes_total{operation=\"open\"}", plain_len),
        ("cofferdam_written_bytes_total{operation=\"open\"}", plain_len),
        ("cofferdam_committed_bytes_total{operation=\"open\"}", plain_len),
        ("cofferdam_committed_segments_total{operation=\"open\"}", 40.0),
        ("cofferdam_segment_duration_seconds_count{operation=\"open\"}", 40.0),
        ("cofferdam_streams_total{operation=\"open\",outcome=\"complete\"}", 1.0),
        ("cofferdam_in_flight_bytes", 0.0),
        ("cofferdam_memory_pressure", 0.0),
        ("cofferdam_exit_code", 0.0),
    ];
    for (series, value) in expected {
        assert_eq!(figures.get(series), Some(&value), "{series} of {figures:#?}");
    }
    for stage in ["feed", "read", "process", "write", "commit", "publish"] {
        let series = format!("cofferdam_stage_seconds_total{{operation=\"open\",stage=\"{stage}\"}}");
        assert!(figures[&series] > 0.0, "{series}");
    }
    assert!(figures["cofferdam_memory_limit_bytes"] > 0.0);
    // All of the stream has arrived once, and of what failed no more than the server sent.
    let received = figures["cofferdam_received_bytes_total"];
    let sealed_len = place.read("sealed.cfd").len() as f64;
    assert!(received >= sealed_len && received <= counts.bytes_down as f64, "{received} of {sealed_len}");
    assert_is_understood(&place, "m.prom");
    let text = String::from_utf8(place.read("m.prom")).unwrap();
    assert!(
        !text.contains("hidden") && !text.contains("127.0.0.1") && !text.contains("sealed.cfd"),
        "{text}"
    );
}

#[test]
fn each_command_says_what_it_has_done() {
    let place = Place::with_sealed(4);
    let (plain_len, segments_len) = (place.read("plain").len() as f64, segments_len(&place));
    for (arguments, operation, written) in [
        (&["verify", "-i", "key.txt", "sealed.cfd"][..], "open", plain_len),
        (&["verify", "sealed.cfd"], "open", 0.0),
        (&["cat", "-i", "key.txt", "sealed.cfd"], "open", plain_len),
        (&["restore", "-i", "key.txt", "sealed.cfd", "out"], "open", plain_len),
    ] {
        let ran = place.run([arguments, &["--metrics-file", "m.prom"]].concat());
        ran.assert_done();
        let figures = figures(&place, "m.prom");
        let of = |name: &str| figures.get(&format!("cofferdam_{name}_total{{operation=\"{operation}\"}}"));
        assert_eq!(of("committed_bytes"), Some(&plain_len), "{arguments:?}: {figures:#?}");
        assert_eq!(of("written_bytes").copied().unwrap_or(0.0), written, "{arguments:?}: {figures:#?}");
        assert_eq!(of("read_bytes"), Some(&segments_len), "{arguments:?}: {figures:#?}");
        assert_is_understood(&place, "m.prom");
    }
    let seal = ["seal", "--metrics-file", "m.prom", "-r", &place.recipient, "plain", "-o", "again.cfd"];
    place.run(seal).assert_done();
    let figures = figures(&place, "m.prom");
    assert_eq!(figures["cofferdam_processed_bytes_total{operation=\"seal\"}"], plain_len);
    assert_eq!(figures["cofferdam_streams_total{operation=\"seal\",outcome=\"complete\"}"], 1.0);
    assert_eq!(
        figures["cofferdam_written_bytes_total{operation=\"seal\"}"],
        place.read("again.cfd").len() as f64
    );
}

/// A part that fails is sent again, and counted where the store has taken it.
#[test]
fn what_an_upload_counts_is_what_happened() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(12 << 20)).unwrap();
    let store = SeaweedFs::shared();
    let bucket = store.new_bucket().unwrap();
    let faults = [Some(Fault::Status { code: 503, retry_after: Some(0) }), Some(Fault::LoseAnswer)];
    let proxy = FaultProxy::start(store.address(), Plan::script(Request::is_part, faults)).unwrap();
    let url = format!("s3://{bucket}/db.cfd");
    let mut command =
        place.command(["seal", "--metrics-file", "m.prom", "-r", &place.recipient, "plain", "-o", &url]);
    command.envs(store.environment(proxy.address(), Identity::Owner));
    Ran::of(command.output().unwrap()).assert_done();
    let figures = figures(&place, "m.prom");
    let sealed_len = store.read(&bucket, "db.cfd").unwrap().unwrap().len() as f64;
    for (series, value) in [
        ("cofferdam_requests_total{direction=\"upload\"}", proxy.counts().requests as f64),
        ("cofferdam_request_retries_total{direction=\"upload\",cause=\"throttled\"}", 1.0),
        ("cofferdam_request_retries_total{direction=\"upload\",cause=\"outage\"}", 1.0),
        ("cofferdam_sent_bytes_total", sealed_len),
        ("cofferdam_written_bytes_total{operation=\"seal\"}", sealed_len),
    ] {
        assert_eq!(figures.get(series), Some(&value), "{series} of {figures:#?}");
    }
    assert_is_understood(&place, "m.prom");
}

/// Reads of 4 KiB, each in another segment and far from both ends, which are read in any case. Each costs its frame and the segment's
/// header.
#[test]
fn what_serve_counts_is_what_was_asked_of_the_server_and_it_is_written_while_it_runs() {
    if is_skipped() {
        return;
    }
    let place = Place::new();
    let mut plain = vec![0; 8 << 20];
    fastrand::Rng::with_seed(5).fill(&mut plain);
    fs::write(place.path("plain"), &plain).unwrap();
    let recipient = place.recipient.clone();
    place
        .run(["seal", "-r", &recipient, "--segment-size", "1MiB", "-o", "sealed.cfd", "plain"])
        .assert_done();
    let server = Nginx::start(place.directory.path()).unwrap();
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    let url = proxy.url("sealed.cfd");
    let served = ServeProcess::start(&place, &["--nbd", "socket", "--metrics-file", "m.prom", &url]);
    let begun = proxy.counts();
    let mut disk = Disk::open(&place.path("socket"));
    for segment in [1, 3, 4, 6, 3, 1] {
        let at = segment * (1 << 20) + 300_000;
        assert!(disk.read(at, 4096).unwrap() == plain[at as usize..][..4096]);
    }
    let counts = proxy.counts();
    let (frame, header) = (65_536.0, 48.0);
    let expected = [
        ("cofferdam_read_bytes_total{operation=\"read\"}", 4.0 * (frame + 32.0 + header)),
        ("cofferdam_processed_bytes_total{operation=\"read\"}", 4.0 * frame),
        ("cofferdam_requests_total{direction=\"download\"}", counts.requests as f64),
    ];
    let is_written = || {
        let figures = figures(&place, "m.prom");
        expected.iter().all(|(series, value)| figures.get(*series) == Some(value))
    };
    // Nobody ends it: the file is written again by itself.
    wait_until("a file that says so", is_written);
    assert!(!figures(&place, "m.prom").contains_key("cofferdam_exit_code"));
    // The proxy counts the heads of answers, too.
    let down = (counts.bytes_down - begun.bytes_down) as f64;
    let heads_max = 1024.0 * (counts.requests - begun.requests) as f64;
    assert!((expected[0].1..expected[0].1 + heads_max).contains(&down), "{down}");
    served.end(Signal::TERM).assert_done();
    let figures = figures(&place, "m.prom");
    let received = figures["cofferdam_received_bytes_total"];
    let heads_max = 1024.0 * counts.requests as f64;
    assert!((received..received + heads_max).contains(&(counts.bytes_down as f64)), "{received}");
    assert!(figures["cofferdam_stage_seconds_total{operation=\"read\",stage=\"read\"}"] > 0.0);
    assert_eq!(figures["cofferdam_exit_code"], 0.0);
    assert_is_understood(&place, "m.prom");
}

/// Segments of 16 KiB, in frames of 4 KiB.
#[test]
fn what_a_range_a_survey_and_a_salvage_read_is_counted() {
    let place = Place::with_sealed(40);
    let of = |figures: &BTreeMap<String, f64>, name: &str, operation: &str| {
        figures.get(&format!("cofferdam_{name}_bytes_total{{operation=\"{operation}\"}}")).copied()
    };
    let cat = ["cat", "-i", "key.txt", "--range", "100000..110000", "--metrics-file", "m.prom", "sealed.cfd"];
    place.run(cat).assert_done();
    let read = figures(&place, "m.prom");
    // Frames 24 to 26: of segment 6 alone.
    assert_eq!(of(&read, "read", "read"), Some(3.0 * (4096.0 + 32.0) + 48.0));
    assert_eq!(of(&read, "processed", "read"), Some(3.0 * 4096.0));
    let (plain_len, segments_len) = (place.read("plain").len() as f64, segments_len(&place));
    place.damage_segment(20);
    let verify = ["verify", "-i", "key.txt", "--metrics-file", "m.prom", "sealed.cfd"];
    assert_eq!(place.run(verify).code, 3);
    let whole_len = plain_len - SEGMENT_LEN as f64;
    let surveyed = figures(&place, "m.prom");
    assert_eq!(of(&surveyed, "read", "survey"), Some(segments_len));
    assert_eq!(of(&surveyed, "processed", "survey"), Some(whole_len));
    let salvage =
        ["restore", "--salvage", "-i", "key.txt", "--metrics-file", "m.prom", "sealed.cfd", "out.salvaged"];
    assert_eq!(place.run(salvage).code, 3);
    let salvaged = figures(&place, "m.prom");
    assert_eq!(of(&salvaged, "read", "survey"), Some(segments_len));
    assert_eq!(of(&salvaged, "written", "survey"), Some(whole_len));
    assert_is_understood(&place, "m.prom");
}

/// Of a seed, what differs is compared and does not count.
#[test]
fn what_was_kept_and_what_a_seed_had_is_counted_apart() {
    let place = Place::with_sealed(40);
    let mut old = place.read("plain");
    old[30 * SEGMENT_LEN] ^= 1;
    fs::write(place.path("old"), old).unwrap();
    let restore =
        ["restore", "-i", "key.txt", "--seed", "old", "--metrics-file", "m.prom", "sealed.cfd", "out"];
    place.run(restore).assert_done();
    let figures = figures(&place, "m.prom");
    let plain_len = place.read("plain").len() as f64;
    // The last segment is never taken from a seed, and is shorter.
    let last_len = plain_len - (39 * SEGMENT_LEN) as f64;
    let fresh = SEGMENT_LEN as f64 + last_len;
    for (series, value) in [
        ("cofferdam_reused_bytes_total{operation=\"open\"}", plain_len - fresh),
        ("cofferdam_committed_bytes_total{operation=\"prove\"}", plain_len - fresh),
        ("cofferdam_committed_bytes_total{operation=\"open\"}", fresh),
        ("cofferdam_committed_segments_total{operation=\"open\"}", 2.0),
        ("cofferdam_written_bytes_total{operation=\"open\"}", fresh),
    ] {
        assert_eq!(figures.get(series), Some(&value), "{series} of {figures:#?}");
    }
    assert!(!figures.contains_key("cofferdam_committed_segments_total{operation=\"prove\"}"));
}

#[test]
fn a_stream_that_fails_says_so_and_what_was_rolled_back() {
    let place = Place::with_sealed(40);
    let mut sealed = place.read("sealed.cfd");
    let middle = sealed.len() / 2;
    sealed[middle] ^= 1;
    fs::write(place.path("damaged.cfd"), sealed).unwrap();
    let ran = place.run(["restore", "-i", "key.txt", "--metrics-file", "m.prom", "damaged.cfd", "out"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let figures = figures(&place, "m.prom");
    let of = |name: &str| figures[&format!("cofferdam_{name}_total{{operation=\"open\"}}")];
    assert_eq!(figures["cofferdam_streams_total{operation=\"open\",outcome=\"failed\"}"], 1.0);
    assert!(of("rolled_back_segments") >= 1.0);
    assert_eq!(of("committed_bytes"), of("committed_segments") * SEGMENT_LEN as f64);
    assert_eq!(figures["cofferdam_exit_code"], 3.0);
    // The next attempt proves what that one has kept, and counts it apart.
    let again = ["restore", "-i", "key.txt", "--metrics-file", "m.prom", "sealed.cfd", "out"];
    place.run(again).assert_done();
    let second = self::figures(&place, "m.prom");
    let kept = second["cofferdam_committed_bytes_total{operation=\"prove\"}"];
    assert!(kept >= of("committed_bytes"), "{second:#?}");
    assert_eq!(second["cofferdam_reused_bytes_total{operation=\"open\"}"], kept, "{second:#?}");
    let fresh = second["cofferdam_committed_bytes_total{operation=\"open\"}"];
    assert_eq!(fresh + kept, place.read("plain").len() as f64, "{second:#?}");
}

#[test]
fn a_file_that_cannot_be_written_is_known_before_anything_is_done() {
    let place = Place::with_sealed(4);
    let restore =
        |file: &str| place.run(["restore", "-i", "key.txt", "--metrics-file", file, "sealed.cfd", "out"]);
    restore("absent/m.prom").assert_failed(1, "absent/m.prom");
    assert!(!place.path("out").exists());
    for taken in ["out", "sealed.cfd", "key.txt"] {
        restore(taken).assert_failed(2, "the metrics file");
        assert!(!place.path("out").exists());
    }
    // Whatever else is there would be lost, also behind a link.
    fs::write(place.path("thesis"), "years of work").unwrap();
    std::os::unix::fs::symlink("thesis", place.path("link")).unwrap();
    for other in ["thesis", "link"] {
        let refused = restore(other);
        refused.assert_failed(6, other);
        assert!(!refused.stderr.contains("warning"), "said twice: {}", refused.stderr);
        assert_eq!(place.read("thesis"), b"years of work");
        assert!(!place.path("out").exists());
    }
    fs::write(place.path("empty.prom"), "").unwrap();
    restore("empty.prom").assert_done();
    fs::remove_file(place.path("out")).unwrap();
    restore("empty.prom").assert_done();
    fs::remove_file(place.path("out")).unwrap();
    restore("-").assert_failed(2, "--metrics-file");
    restore("s3://bucket/m.prom").assert_failed(2, "--metrics-file");
}

/// Whoever listens at `NOTIFY_SOCKET` hears how it gets on; see sd_notify(3).
#[test]
fn a_service_manager_is_told_how_a_command_gets_on() {
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(3_000_000)).unwrap();
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = place.command(["seal", "-r", &place.recipient, "plain", "-o", "sealed.cfd"]);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "30000000");
    Ran::of(command.output().unwrap()).assert_done();
    let mut message = [0; 4096];
    let len = socket.recv(&mut message).unwrap();
    let said = String::from_utf8_lossy(&message[..len]).into_owned();
    assert!(said.starts_with("STATUS=sealing ") && said.contains("\nWATCHDOG=1"), "{said}");
}
