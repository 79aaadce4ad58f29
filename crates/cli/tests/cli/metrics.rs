//! `--metrics-file`: the figures of a command are what happened, and what reads them understands the file.
//! Which figures there are is the library's; here they are compared with what others have counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use servers::installed::is_skipped;
use servers::{Fault, FaultProxy, Identity, Nginx, Plan, Request, SeaweedFs};

use crate::place::{Place, Ran, SEGMENT_LEN, end_of, json_lines, plaintext, wait_until};
use crate::served::{Disk, ServeProcess};

/// The samples of a file, by name and labels as they are written, without the one that each has: the file's name.
pub(crate) fn figures(place: &Place, name: &str) -> BTreeMap<String, f64> {
    let run = format!("{{run=\"{}\"", name.strip_suffix(".prom").unwrap());
    let without_run = |series: &str| {
        let (name, labels) = series.split_once(&run).unwrap_or_else(|| panic!("{series} has not {run}"));
        let labels = labels.strip_prefix(',').map(|labels| format!("{{{labels}"));
        labels.map_or_else(|| name.to_owned(), |labels| format!("{name}{labels}"))
    };
    let series = series(place, name).into_iter();
    series.map(|(series, value)| (without_run(&series), value)).collect()
}

/// The same, with the label that says which run it was of.
fn series(place: &Place, name: &str) -> Vec<(String, f64)> {
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
    assert_eq!(figures["cofferdam_read_failures_total{cause=\"damaged\"}"], 0.0);
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

/// node_exporter reads all files of its directory as one, and drops what has the same name and labels as something before it.
#[test]
fn files_of_two_runs_have_no_series_in_common() {
    let place = Place::with_sealed(4);
    fs::write(place.path("damaged.cfd"), place.read("sealed.cfd")).unwrap();
    let mut damaged = place.read("damaged.cfd");
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(place.path("damaged.cfd"), damaged).unwrap();
    let restore = |file: &str, sealed: &str, target: &str| {
        place.run(["restore", "-i", "key.txt", "--metrics-file", file, sealed, target])
    };
    restore("app.prom", "sealed.cfd", "a").assert_done();
    assert_eq!(restore("db.prom", "damaged.cfd", "b").code, 3);
    let names = |file: &str| series(&place, file).into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let (app, db) = (names("app.prom"), names("db.prom"));
    assert!(app.is_disjoint(&db), "{:?}", app.intersection(&db).collect::<Vec<_>>());
    assert!(
        app.contains("cofferdam_exit_code{run=\"app\"}") && db.contains("cofferdam_exit_code{run=\"db\"}")
    );
    // As one exposition: each family once, with the samples of both.
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in ["app.prom", "db.prom"] {
        let text = String::from_utf8(place.read(file)).unwrap();
        let mut family = String::new();
        for line in text.lines().skip(1) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                family = help.split(' ').next().unwrap().to_owned();
            }
            let lines = families.entry(family.clone()).or_default();
            if !line.starts_with('#') || !lines.iter().any(|known| known == line) {
                lines.push(line.to_owned());
            }
        }
    }
    let merged = families.into_values().flatten().map(|line| line + "\n").collect::<String>();
    fs::write(place.path("merged.prom"), merged).unwrap();
    assert_is_understood(&place, "merged.prom");
}

#[test]
fn a_run_says_which_command_it_was_and_whether_a_key_proved_what_it_opened() {
    let place = Place::with_sealed(1);
    let info = |arguments: &[&str]| {
        place.run([arguments, &["--metrics-file", "m.prom"]].concat()).assert_done();
        let figures = figures(&place, "m.prom");
        let mut infos = figures.into_iter().filter(|(name, _)| name.starts_with("cofferdam_run_info"));
        let (name, value) = infos.next().unwrap();
        assert_eq!((value, infos.next()), (1.0, None));
        name.strip_prefix("cofferdam_run_info").unwrap().to_owned()
    };
    let recipient = place.recipient.clone();
    for (arguments, labels) in [
        (&["verify", "sealed.cfd"][..], "{command=\"verify\",authenticity=\"none\"}"),
        (&["verify", "-i", "key.txt", "sealed.cfd"], "{command=\"verify\",authenticity=\"checked\"}"),
        (&["cat", "-i", "key.txt", "sealed.cfd"], "{command=\"cat\",authenticity=\"checked\"}"),
        (
            &["restore", "-i", "key.txt", "sealed.cfd", "out"],
            "{command=\"restore\",authenticity=\"checked\"}",
        ),
        (&["seal", "-r", &recipient, "plain", "-o", "again.cfd"], "{command=\"seal\"}"),
    ] {
        assert_eq!(info(arguments), labels);
    }
}

/// A monitor that knows of no event cannot count the first one.
#[test]
fn what_has_not_happened_is_zero() {
    let place = Place::with_sealed(1);
    place.run(["verify", "--metrics-file", "m.prom", "sealed.cfd"]).assert_done();
    let figures = figures(&place, "m.prom");
    for series in [
        "cofferdam_rolled_back_segments_total{operation=\"open\"}",
        "cofferdam_streams_total{operation=\"open\",outcome=\"failed\"}",
        "cofferdam_streams_total{operation=\"seal\",outcome=\"failed\"}",
        "cofferdam_read_failures_total{cause=\"damaged\"}",
        "cofferdam_request_retries_total{direction=\"download\",cause=\"outage\"}",
        "cofferdam_received_bytes_total",
    ] {
        assert_eq!(figures.get(series), Some(&0.0), "{series}");
    }
}

/// What keeps a run from being one is in its metrics, and not yesterday's success.
#[test]
fn a_run_that_is_refused_says_so() {
    let place = Place::with_sealed(1);
    for (arguments, words) in [
        (&["-i", "credential:absent", "sealed.cfd", "out"][..], "credential:absent: "),
        (&["--key-file", "credential:a/b", "sealed.cfd", "out"], "without a slash"),
        (&["-i", "absent.txt", "sealed.cfd", "out"], "absent.txt"),
        (&["-i", "key.txt", "sealed.cfd", "sealed.cfd"], "are the same file"),
    ] {
        let good = ["restore", "--force", "-i", "key.txt", "--metrics-file", "m.prom", "sealed.cfd", "out"];
        place.run(good).assert_done();
        assert_eq!(figures(&place, "m.prom")["cofferdam_exit_code"], 0.0);
        let ran = place.run([&["restore", "--force", "--metrics-file", "m.prom"], arguments].concat());
        assert!(ran.code != 0 && ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
        let figures = figures(&place, "m.prom");
        assert_eq!(figures["cofferdam_exit_code"], f64::from(ran.code), "{arguments:?}");
        // Nobody has had a key.
        let info = figures.get("cofferdam_run_info{command=\"restore\",authenticity=\"unknown\"}");
        assert_eq!(info, Some(&1.0), "{arguments:?}: {figures:#?}");
    }
    // As JSON, it is a failure like any.
    let json = place.run(["verify", "--json", "-i", "credential:absent", "sealed.cfd"]);
    let failure = json_lines(json.stderr.as_bytes()).pop().unwrap();
    assert_eq!((&failure["event"], &failure["kind"]), (&"error".into(), &"usage".into()), "{failure}");
    assert!(failure["advice"].as_str().unwrap().contains("LoadCredentialEncrypted="), "{failure}");
    assert!(!failure["message"].as_str().unwrap().contains("--help"), "{failure}");
}

/// Whether somebody holds a lock of the file at `path`, which is made a moment before it is locked (proc_locks(5)).
fn is_locked(path: &Path) -> bool {
    let Ok(metadata) = fs::metadata(path) else { return false };
    let inode = format!(":{} ", metadata.ino());
    fs::read_to_string("/proc/locks").unwrap().lines().any(|lock| lock.contains(&inode))
}

/// The first run waits for its input as long as the test likes.
#[test]
fn two_runs_do_not_share_a_file() {
    let place = Place::with_sealed(1);
    let seal = ["seal", "--metrics-file", "m.prom", "-r", &place.recipient, "-", "-o", "slow.cfd"];
    let mut command = place.command(seal);
    let mut sealing =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the first file", || place.path("m.prom").exists());
    let verify = ["verify", "--metrics-file", "m.prom", "sealed.cfd"];
    // Its next file is staged a moment after the first is there.
    let staged = place.path(".m.prom.cofferdam-staging");
    wait_until("the next one", || is_locked(&staged));
    place.run(verify).assert_failed(9, "another run keeps its metrics in m.prom");
    assert!(!figures(&place, "m.prom").contains_key("cofferdam_exit_code"));
    drop(sealing.stdin.take());
    end_of(sealing).assert_done();
    assert_eq!(figures(&place, "m.prom")["cofferdam_run_info{command=\"seal\"}"], 1.0);
    assert!(!staged.exists());
    place.run(verify).assert_done();
    // One that was killed is not waited for.
    fs::remove_file(place.path("slow.cfd")).unwrap();
    let mut killed = place.command(seal).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the next one", || staged.exists());
    killed.kill().unwrap();
    killed.wait().unwrap();
    place.run(verify).assert_done();
    assert!(!staged.exists());
}

#[test]
fn a_run_whose_next_file_was_tidied_away_says_at_the_end_how_it_went() {
    let place = Place::new();
    let seal = ["seal", "--metrics-file", "m.prom", "-r", &place.recipient, "-", "-o", "slow.cfd"];
    let mut sealing = place
        .command(seal)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let staged = place.path(".m.prom.cofferdam-staging");
    wait_until("the first file", || place.path("m.prom").exists());
    wait_until("the next one", || is_locked(&staged));
    fs::remove_file(&staged).unwrap();
    drop(sealing.stdin.take());
    let ran = end_of(sealing);
    ran.assert_done();
    assert!(!ran.stderr.contains("m.prom"), "{}", ran.stderr);
    assert_eq!(figures(&place, "m.prom")["cofferdam_exit_code"], 0.0);
}

#[test]
fn reads_that_fail_while_it_is_served_are_counted_by_cause() {
    let place = Place::with_sealed(40);
    place.damage_segment(20);
    let served = ServeProcess::start(&place, &["--nbd", "socket", "--metrics-file", "m.prom", "sealed.cfd"]);
    let mut disk = Disk::open(&place.path("socket"));
    let at = 20 * SEGMENT_LEN as u64;
    assert!(disk.read(0, 4096).is_ok());
    assert!((0..SEGMENT_LEN as u64 / 4096).any(|frame| disk.read(at + frame * 4096, 4096).is_err()));
    served.end(Signal::TERM).assert_done();
    let figures = figures(&place, "m.prom");
    assert!(figures["cofferdam_read_failures_total{cause=\"damaged\"}"] >= 1.0, "{figures:#?}");
    assert_eq!(figures["cofferdam_read_failures_total{cause=\"io\"}"], 0.0);
    assert_eq!(figures["cofferdam_run_info{command=\"serve\",authenticity=\"checked\"}"], 1.0);
    // Nobody has measured it.
    assert!(!figures.contains_key("cofferdam_memory_pressure"), "{figures:#?}");
    assert_is_understood(&place, "m.prom");
}
