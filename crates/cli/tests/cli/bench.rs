//! The bench: that it measures all it says, refuses what cannot be, and leaves nothing.
//! Its figures are the machine's, and are only looked at for being there.

use std::fs;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::place::{Place, Ran, end_of, json_lines, wait_until};

const QUICK: [&str; 6] = ["bench", "--quick", "--size", "8MiB", "--directory", "there"];

#[test]
fn a_quick_bench_shows_every_table_and_advice_and_leaves_nothing() {
    let place = place();
    let shown = place.run(QUICK.into_iter().chain(["--threads", "2"]));
    shown.assert_done();
    for words in [
        "files of 8.00 MiB",
        "AES-256-GCM, restore",
        "ChaCha20-Poly1305, seal",
        "BLAKE3 ",
        "write, as a restore does",
        "sync and rename it",
        "sync the copy",
        "seal     SHA-256, frames of 64 KiB (0.049 %)",
        "restore  tags, ",
        "restore  BLAKE3, frames of 16 KiB (0.195 %)",
    ] {
        assert!(shown.text().contains(words), "{words:?} is not in {}", shown.text());
    }
    // On a machine that is busy with other tests there is no advice, and the reason in its place.
    let is_advice = [
        "Suite: ",
        "Digest: ",
        "Frame size: ",
        "Threads: ",
        "Bottleneck of a restore to ",
        "Bottleneck of a seal to ",
    ];
    let is_said = is_advice.map(|words| shown.text().contains(words));
    let ends_in_advice =
        shown.text().contains("The defaults are best here") || shown.text().contains("As a command line:");
    let is_busy = shown.text().contains("No advice: the load was ");
    assert_eq!((is_said, ends_in_advice), ([!is_busy; 6], !is_busy), "{}", shown.text());
    assert_eq!(shown.stderr, "");
    assert_nothing_left(&place);
}

#[test]
fn the_object_has_the_documented_fields_and_every_figure_is_positive() {
    let place = place();
    let ran = place.run(QUICK.into_iter().chain(["--json", "--threads", "2", "--memory", "4MiB"]));
    ran.assert_done();
    let records = json_lines(&ran.stdout);
    assert_eq!((records.len(), ran.stderr.as_str()), (1, ""));
    let record = &records[0];
    assert_eq!(record["event"], "bench");
    let directory = fs::canonicalize(place.path("there")).unwrap();
    assert_eq!(record["directory"].as_str(), directory.to_str());
    assert_eq!((record["file_len"].as_u64(), record["threads"].as_u64()), (Some(8 << 20), Some(2)));
    assert!(record["free"].as_u64().unwrap() > 0);
    assert_eq!(record["load"].is_f64(), cfg!(target_os = "linux"), "{}", record["load"]);
    // The first is read from the device, if there is one behind the temporary directory.
    let files = 7 + usize::from(record["files"][0]["step"] == "read device");
    for (group, rows) in
        [("parts", 5), ("files", files), ("recipes", 6), ("frame_sizes", 8), ("thread_counts", 2)]
    {
        let found = record[group].as_array().unwrap();
        assert_eq!(found.len(), rows, "{group}");
        found.iter().for_each(assert_is_a_row);
    }
    let is_busy = record["load"].as_f64().is_some_and(|load| load > 0.5);
    assert_eq!(record["busy"].is_string(), is_busy, "{record}");
    assert_eq!(record["advice"].is_null(), is_busy, "{record}");
    if !is_busy {
        assert_is_advice(&record["advice"]);
    }
    assert_nothing_left(&place);
}

#[track_caller]
fn assert_is_advice(advice: &Value) {
    assert!(["aes256gcm", "chacha20poly1305"].contains(&advice["suite"].as_str().unwrap()));
    assert!(["blake3", "sha256"].contains(&advice["digest"].as_str().unwrap()));
    assert!(advice["frame_len"].is_u64() && advice["threads"].is_u64() && advice["sentences"].is_array());
    // The budget that was asked for is part of what was measured.
    assert_eq!(advice["are_defaults"], false);
    for options in [&advice["seal_options"], &advice["restore_options"]] {
        let options = options.as_array().unwrap();
        assert!(options.ends_with(&["--memory".into(), "4194304".into()]), "{options:?}");
    }
    for work in ["seal", "restore"] {
        let told = &advice[work];
        assert!(["read", "frames", "write", "publish"].contains(&told["slowest"].as_str().unwrap()));
        for figure in ["bound", "measured", "copy"] {
            assert!(told[figure].as_f64().unwrap() > 0.0, "{told}");
        }
        let limits = told["limits"].as_object().unwrap();
        assert_eq!(limits.len(), 4);
        assert!(limits.values().all(|limit| limit.as_f64().unwrap() > 0.0), "{told}");
    }
}

#[test]
fn the_options_that_a_bench_advises_are_those_of_seal_and_restore() {
    let place = place();
    fs::write(place.path("plain"), b"a snapshot").unwrap();
    let ran = place.run(QUICK.into_iter().chain(["--json", "--threads", "1", "--memory", "8MiB"]));
    let record = json_lines(&ran.stdout).remove(0);
    if record["advice"].is_null() {
        // The machine is busy: there is nothing to try.
        return;
    }
    let options = |name: &str| -> Vec<String> {
        let options = record["advice"][name].as_array().unwrap().iter();
        options.map(|option| option.as_str().unwrap().to_owned()).collect()
    };
    let recipient = place.recipient.clone();
    let seal = ["seal", "-r", &recipient, "plain"].map(str::to_owned);
    place.run(seal.into_iter().chain(options("seal_options"))).assert_done();
    let restore = ["restore", "-i", "key.txt", "plain.cfd", "target"].map(str::to_owned);
    place.run(restore.into_iter().chain(options("restore_options"))).assert_done();
    assert_eq!(place.read("target"), b"a snapshot");
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_is_written() {
    let place = place();
    fs::write(place.path("file"), b"").unwrap();
    let refusals: [(&[&str], i32, &str); 6] = [
        (&["--size", "1MiB"], 2, "say nothing"),
        (&["--size", "17179869183GiB"], 1, "there is no room"),
        (&["--threads", "5000"], 2, "from 1 to 1024"),
        (&["--memory", "4KiB"], 2, "too small"),
        (&["--directory", "absent"], 1, "absent"),
        (&["--directory", "file"], 1, "not a directory"),
    ];
    for (arguments, code, words) in refusals {
        let ran = place.run(["bench", "--quick"].into_iter().chain(arguments.iter().copied()));
        ran.assert_failed(code, words);
        assert_eq!(ran.text(), "", "{arguments:?}");
    }
    assert_eq!(place.names(), ["file", "key.txt", "there"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let place = place();
    // Nobody can write there, whatever his rights; and it tells no room, or it does not let files be made.
    let ran = place.run(["bench", "--quick", "--size", "8MiB", "--directory", "/proc"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("/proc"), "{}", ran.stderr);
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_that_leaves_nothing() {
    let place = place();
    // A shell sets it; 512 bytes each.
    let limited = "ulimit -f 1024 && exec \"$0\" bench --quick --size 8MiB --directory there";
    let mut shell = Command::new("sh");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_cofferdam")]).current_dir(place.directory.path());
    Ran::of(shell.output().unwrap()).assert_failed(1, "could not be written");
    assert_nothing_left(&place);
}

#[test]
fn a_signal_ends_a_bench_with_its_code_and_leaves_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let place = place();
        let bench = place.spawn(["bench", "--size", "16MiB", "--directory", "there"]);
        wait_until("a file of the bench", || place.path("there").read_dir().unwrap().next().is_some());
        kill_process(Pid::from_child(&bench), signal).unwrap();
        end_of(bench).assert_failed(code, "interrupted");
        assert_nothing_left(&place);
    }
}

/// With an empty directory to measure in.
fn place() -> Place {
    let place = Place::new();
    fs::create_dir(place.path("there")).unwrap();
    place
}

#[track_caller]
fn assert_nothing_left(place: &Place) {
    assert_eq!(fs::read_dir(place.path("there")).unwrap().count(), 0);
}

#[track_caller]
fn assert_is_a_row(row: &Value) {
    assert!(row["step"].is_string(), "{row}");
    for field in ["threads", "bytes", "seconds", "rounds", "bytes_per_second"] {
        assert!(row[field].as_f64().is_some_and(|figure| figure > 0.0), "{field} of {row}");
    }
    for field in ["suite", "digest", "frame_len", "ends"] {
        assert!(row.get(field).is_some(), "{field} of {row}");
    }
}
