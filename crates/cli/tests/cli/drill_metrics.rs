//! What a drill says to Prometheus, of each stream and its mode.
//! It does not say what a drill does.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::drilling::{checked, place, stream, write};
use crate::metrics::assert_is_understood;
use crate::place::{Place, Ran, SEGMENT_LEN};

#[test]
fn metrics_keep_when_a_stream_last_passed() {
    let place = place(1);
    place.seal("plain", "other.cfd").assert_done();
    let streams = |check: &str| {
        write(
            &place,
            &[checked(check, ""), stream("a \\\"quoted\\\" one", "other.cfd", "mode = \"verify\"")],
        );
        place.run(["drill", "--metrics-file", "d.prom", "drill.toml"]).code
    };
    let value = |name: &str, stream: &str| {
        let mode = if stream == "db" { "restore" } else { "verify" };
        metric(&place, name, stream, mode)
    };
    assert_eq!(streams("exit 1"), 16);
    assert_eq!((value("success", "db"), value("last_success_timestamp_seconds", "db")), (Some(0.0), None));
    let quoted = "a \\\"quoted\\\" one";
    assert_eq!(value("success", quoted), Some(1.0));
    assert_eq!(streams("exit 0"), 0);
    let passed = value("last_success_timestamp_seconds", "db").unwrap();
    assert!(passed > 1.7e9, "{passed}");
    assert_eq!(value("restored_bytes", "db"), Some((SEGMENT_LEN - 5) as f64));
    // One that can be told from the next drill's.
    let text = String::from_utf8(place.read("d.prom")).unwrap();
    fs::write(place.path("d.prom"), text.replace(&format!("{passed}"), "1700000001")).unwrap();
    assert_eq!(streams("exit 1"), 16);
    assert_eq!(value("last_success_timestamp_seconds", "db"), Some(1_700_000_001.0));
    assert!(value("last_run_timestamp_seconds", "db").unwrap() >= passed);
    assert_eq!(value("success", "db"), Some(0.0));
    assert!(value("duration_seconds", "db").unwrap() > 0.0);
    // A time that is still to come is a wrong clock's.
    let text = String::from_utf8(place.read("d.prom")).unwrap();
    fs::write(place.path("d.prom"), text.replace("1700000001", "99999999999")).unwrap();
    assert_eq!(streams("exit 1"), 16);
    assert_eq!(value("last_success_timestamp_seconds", "db"), None);
    assert_eq!(streams("exit 0"), 0);
    let mode = fs::metadata(place.path("d.prom")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o644, "a collector has to read it");
    assert_is_understood(&place, "d.prom");
    let text = String::from_utf8(place.read("d.prom")).unwrap();
    for family in ["success", "last_success_timestamp_seconds", "duration_seconds", "restored_bytes"] {
        let name = format!("cofferdam_drill_{family}");
        assert_eq!(text.matches(&format!("# TYPE {name} gauge\n")).count(), 1, "{text}");
        assert_eq!(text.matches(&format!("# HELP {name} ")).count(), 1, "{text}");
    }
}

#[test]
fn an_interrupted_drill_says_of_each_stream_what_was_last_found_out() {
    let place = place(1);
    let run = |first: &str, second: &str| {
        write(&place, &[checked(first, ""), checked(second, "").replace("\"db\"", "\"later\"")]);
        place.run(["drill", "--metrics-file", "d.prom", "drill.toml"]).code
    };
    let success = |stream: &str| metric(&place, "success", stream, "restore");
    let passed_at = || metric(&place, "last_success_timestamp_seconds", "db", "restore");
    assert_eq!(run("true", "true"), 0);
    assert_eq!(["db", "later"].map(success), [Some(1.0), Some(1.0)]);
    let before = passed_at();
    assert_eq!(run("false", "kill -TERM $PPID; sleep 1000"), 143);
    assert_eq!(["db", "later"].map(success), [Some(0.0), Some(1.0)]);
    assert_eq!(passed_at(), before);
    assert_eq!(run("kill -TERM $PPID; sleep 1000", "false"), 143);
    assert_eq!(["db", "later"].map(success), [Some(0.0), Some(1.0)]);
    assert_is_understood(&place, "d.prom");
}

#[test]
fn metrics_of_a_sample_and_of_a_check_without_a_key_say_that_they_are() {
    let place = place(1);
    let keyless = stream("c", "sealed.cfd", "mode = \"verify\"").replace("identity = [\"key.txt\"]", "");
    write(
        &place,
        &[
            stream("a", "sealed.cfd", "mode = \"sample\""),
            stream("b", "sealed.cfd", "mode = \"verify\""),
            keyless,
        ],
    );
    place.run(["drill", "--metrics-file", "d.prom", "drill.toml"]).assert_done();
    for (stream, mode) in [("a", "sample"), ("b", "verify"), ("c", "verify-without-key")] {
        assert_eq!(metric(&place, "success", stream, mode), Some(1.0), "{stream}");
    }
}

#[test]
fn a_drill_without_evidence_has_not_passed() {
    let place = place(1);
    let value = |name: &str| metric(&place, name, "db", "restore");
    let run = |check: &str| {
        write(&place, &[checked(check, "")]);
        place.run(["drill", "--metrics-file", "d.prom", "drill.toml"])
    };
    run("echo mine >../../evidence.json").assert_failed(6, "is no evidence of a drill");
    assert_eq!((value("success"), value("last_success_timestamp_seconds")), (Some(0.0), None));
    assert!(value("last_run_timestamp_seconds").unwrap() > 1.7e9);
    fs::remove_file(place.path("evidence.json")).unwrap();
    run("true").assert_done();
    let passed = value("last_success_timestamp_seconds").unwrap();
    let text = String::from_utf8(place.read("d.prom")).unwrap();
    fs::write(place.path("d.prom"), text.replace(&format!("{passed}"), "1700000001")).unwrap();
    run("echo mine >../../evidence.json").assert_failed(6, "is no evidence of a drill");
    assert_eq!(
        (value("success"), value("last_success_timestamp_seconds")),
        (Some(0.0), Some(1_700_000_001.0))
    );
}

#[test]
fn what_other_drills_have_said_stays() {
    let place = place(1);
    let names = ["a \\\"quoted\\\\\\\" one", "} 5", "one\\\",mode=\\\"restore"];
    let run = |streams: &[String]| {
        write(&place, streams);
        place.run(["drill", "--metrics-file", "d.prom", "drill.toml"])
    };
    let verified = |name: &str| stream(name, "sealed.cfd", "mode = \"verify\"");
    run(&names.map(verified)).assert_done();
    run(&[checked("false", "")]).assert_failed(16, "the check ended with 1");
    // The same stream, in another way.
    run(&[stream("db", "sealed.cfd", "mode = \"sample\"")]).assert_done();
    for name in names {
        for family in
            ["success", "last_run_timestamp_seconds", "last_success_timestamp_seconds", "restored_bytes"]
        {
            assert!(
                metric(&place, family, name, "verify").is_some_and(|value| value > 0.0),
                "{family} of {name}"
            );
        }
    }
    assert_eq!(metric(&place, "success", "db", "restore"), Some(0.0));
    assert_eq!(metric(&place, "success", "db", "sample"), Some(1.0));
    assert_is_understood(&place, "d.prom");
    // What is tried again is said anew, once.
    run(&[checked("true", ""), verified(names[0])]).assert_done();
    assert_eq!(metric(&place, "success", "db", "restore"), Some(1.0));
    let text = String::from_utf8(place.read("d.prom")).unwrap();
    let series: Vec<&str> = text.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0)).collect();
    let kinds = series.iter().filter(|series| !series.starts_with('#')).collect::<BTreeSet<_>>();
    assert_eq!(kinds.len(), series.iter().filter(|series| !series.starts_with('#')).count(), "{text}");
    assert_is_understood(&place, "d.prom");
    // Lines that no drill has written are not taken over.
    let odd = format!(
        "{text}cofferdam_drill_last_run_timestamp_seconds{{run=\"r\",stream=\"odd\",mode=\"x\",more=\"y\"}} 5\n"
    );
    fs::write(place.path("d.prom"), odd).unwrap();
    run(&[checked("true", "")]).assert_done();
    assert!(!String::from_utf8(place.read("d.prom")).unwrap().contains("odd"));
}

/// node_exporter reads all files of its directory as one, and a file of metrics may be that of several drills.
#[test]
fn two_drills_that_name_a_stream_alike_have_no_series_in_common() {
    let place = place(1);
    for (name, check) in [("good.toml", "true"), ("bad.toml", "false")] {
        write(&place, &[checked(check, "")]);
        fs::rename(place.path("drill.toml"), place.path(name)).unwrap();
    }
    let run = |file: &str, metrics: &str| place.run(["drill", "--metrics-file", metrics, file]).code;
    let series = |metrics: &str| {
        let text = String::from_utf8(place.read(metrics)).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!((run("good.toml", "good.prom"), run("bad.toml", "bad.prom")), (0, 16));
    let (good, bad) = (series("good.prom"), series("bad.prom"));
    assert!(good.is_disjoint(&bad), "{:?}", good.intersection(&bad).collect::<Vec<_>>());
    // In one file, too, and wherever a drill is started from.
    assert_eq!((run("good.toml", "d.prom"), run("bad.toml", "d.prom")), (0, 16));
    let success = |file: &str| metric_of(&place, file, "success", "db", "restore");
    assert_eq!((success("good.toml"), success("bad.toml")), (Some(1.0), Some(0.0)));
    let mut command = place.command(["drill", "--metrics-file", "../d.prom", "../good.toml"]);
    command.current_dir(place.path("scratch"));
    Ran::of(command.output().unwrap()).assert_done();
    assert_eq!(series("d.prom").len(), good.len() + bad.len(), "{:#?}", series("d.prom"));
    assert_is_understood(&place, "d.prom");
}

/// Of a metric in `d.prom`.
fn metric(place: &Place, name: &str, stream: &str, mode: &str) -> Option<f64> {
    metric_of(place, "drill.toml", name, stream, mode)
}

/// The same, of the drill with that file.
fn metric_of(place: &Place, file: &str, name: &str, stream: &str, mode: &str) -> Option<f64> {
    let text = String::from_utf8(place.read("d.prom")).unwrap();
    let run = fs::canonicalize(place.directory.path()).unwrap().join(file);
    let head =
        format!("cofferdam_drill_{name}{{run=\"{}\",stream=\"{stream}\",mode=\"{mode}\"}} ", run.display());
    text.lines().find_map(|line| line.strip_prefix(&head).map(|value| value.parse::<f64>().unwrap()))
}
