//! Streams that other tools have sealed: opened from file and pipe, refused or asserted where nothing proves them, and sealed anew.
//! The files are the tools' own: `crates/foreign/tests/vectors/other-tools`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::place::{Place, Ran, end_of, json_lines, wait_until};

/// What the tools sealed, the key, and whether the format proves it.
const SAMPLES: [(&str, &str, bool); 13] = [
    ("ecies-lib/small.enc", "ecies", false),
    ("ecies-lib/three_ck.enc", "ecies", false),
    ("ecies-lib/exact.enc", "ecies", false),
    ("ecies-lib/big.enc", "ecies", false),
    ("ecies-lib/multi_exact.enc", "ecies", false),
    ("ecies-lib/multi_three.enc", "ecies", true),
    ("harpocrates-agcm/empty.agcm", "agcm", false),
    ("harpocrates-agcm/three.agcm", "agcm", false),
    ("harpocrates-agcm/exact.agcm", "agcm", false),
    ("harpocrates-agcm/c64k.agcm", "agcm", false),
    ("streaming-crypto/aes_sha256_40000.rse1", "rse1", false),
    ("streaming-crypto/aes_sha256_exact32768.rse1", "rse1", false),
    ("streaming-crypto/chacha_b3_40000.rse1", "rse1", false),
];

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../foreign/tests/vectors/other-tools")
}

/// With the keys of all samples.
fn place() -> Place {
    let place = Place::new();
    let vector = |name: &str| fs::read(vectors().join(name)).unwrap();
    fs::write(place.path("ecies"), "1ab42cc412b618bdea3a599e3c9bae199ebf030895b039e9db1e30dafb12b727")
        .unwrap();
    fs::write(place.path("agcm"), vector("harpocrates-agcm/key.hex")).unwrap();
    fs::write(place.path("rse1"), vector("streaming-crypto/key.hex")).unwrap();
    place
}

fn sealed(sample: &str) -> Vec<u8> {
    fs::read(vectors().join(sample)).unwrap()
}

fn plain(sample: &str) -> Vec<u8> {
    fs::read(vectors().join(sample).with_extension("plain")).unwrap()
}

fn assert_asserted(ran: &Ran) {
    ran.assert_failed(13, "nothing proves that it is whole");
}

#[test]
fn each_stream_restores_from_file_and_pipe_and_is_asserted_where_nothing_proves_it() {
    let place = place();
    for (sample, key, proved) in SAMPLES {
        let file = vectors().join(sample);
        let file = file.to_str().unwrap();
        let restore = ["restore", "--foreign-key", key, "--accept-unproven"];
        for threads in ["1", "3"] {
            let restored =
                place.run(restore.iter().copied().chain(["--threads", threads, file, "from-file"]));
            let piped = place.run_fed(restore.iter().copied().chain(["-", "from-pipe"]), sealed(sample));
            let printed = place.run_fed(restore.iter().copied().chain(["-", "-"]), sealed(sample));
            for (ran, came) in [
                (&restored, place.read("from-file")),
                (&piped, place.read("from-pipe")),
                (&printed, printed.stdout.clone()),
            ] {
                match proved {
                    true => assert_eq!(ran.code, 0, "{sample}: {}", ran.stderr),
                    false => assert_asserted(ran),
                }
                assert!(came == plain(sample), "{sample}");
            }
            fs::remove_file(place.path("from-file")).unwrap();
            fs::remove_file(place.path("from-pipe")).unwrap();
        }
    }
    assert_eq!(place.names(), ["agcm", "ecies", "key.txt", "rse1"]);
}

#[test]
fn without_the_option_what_nothing_proves_is_refused_before_anything_is_written() {
    let place = place();
    for (sample, key, proved) in SAMPLES {
        let file = vectors().join(sample);
        let file = file.to_str().unwrap();
        let restored = place.run(["restore", "--foreign-key", key, file, "target"]);
        let verified = place.run(["verify", "--foreign-key", key, file]);
        let printed = place.run(["cat", "--foreign-key", key, file]);
        if proved {
            for ran in [&restored, &verified, &printed] {
                ran.assert_done();
            }
            assert!(place.read("target") == plain(sample) && printed.stdout == plain(sample));
            fs::remove_file(place.path("target")).unwrap();
            continue;
        }
        for ran in [&restored, &verified, &printed] {
            ran.assert_failed(2, "nothing proves that it is whole");
            assert!(ran.stderr.contains("`--accept-unproven` opens it, with exit code 13"), "{}", ran.stderr);
        }
        assert!(printed.stdout.is_empty(), "{sample}");
        let piped = place.run_fed(["restore", "--foreign-key", key, "-", "target"], sealed(sample));
        piped.assert_failed(2, "nothing proves that it is whole");
        // Of one format that shows at the end of a pipe only: what has come by then is kept, and is no target.
        let kept = sample == "ecies-lib/multi_exact.enc";
        assert_eq!(place.path(".target.cofferdam-staging").exists(), kept, "{sample}");
        assert!(!place.path("target").exists());
        if kept {
            place.run(["discard", "target"]).assert_done();
        }
    }
    assert_eq!(place.names(), ["agcm", "ecies", "key.txt", "rse1"]);
}

#[test]
fn verify_and_cat_say_what_is_not_proved() {
    let place = place();
    let file = vectors().join("harpocrates-agcm/three.agcm");
    let options = ["--foreign-key", "agcm", "--accept-unproven", file.to_str().unwrap()];
    let verified = place.run(["verify", "--json"].into_iter().chain(options));
    assert_eq!(verified.code, 13, "{}", verified.stderr);
    let record = &json_lines(&verified.stdout)[0];
    assert_eq!((record["event"].as_str(), record["format"].as_str()), (Some("asserted"), Some("AGCM")));
    assert_eq!(record["plaintext_len"], 40);
    let error = json_lines(verified.stderr.as_bytes()).pop().unwrap();
    assert_eq!((error["kind"].as_str(), error["exit_code"].as_i64()), (Some("unproven"), Some(13)));
    let printed = place.run(["cat"].into_iter().chain(options));
    assert_asserted(&printed);
    assert!(printed.stderr.contains("under one nonce"), "{}", printed.stderr);
    assert!(printed.stdout == plain("harpocrates-agcm/three.agcm"));
}

#[test]
fn a_second_run_and_a_target_that_exists_are_as_with_our_own() {
    let place = place();
    let file = vectors().join("ecies-lib/big.enc");
    let restore =
        ["restore", "--foreign-key", "ecies", "--accept-unproven", file.to_str().unwrap(), "target"];
    assert_asserted(&place.run(restore));
    place.run(restore).assert_failed(6, "target: this file exists already");
    fs::write(place.path("target"), "old").unwrap();
    assert_asserted(&place.run(restore.iter().copied().chain(["--force"])));
    assert!(place.read("target") == plain("ecies-lib/big.enc"));
}

#[test]
fn a_wrong_key_no_key_and_damage_are_told_apart_and_publish_nothing() {
    let place = place();
    let file = vectors().join("streaming-crypto/aes_sha256_40000.rse1");
    let file = file.to_str().unwrap();
    let restore = |key: &[&str], file: &str| {
        place.run([&["restore", "--accept-unproven"], key, &[file, "target"]].concat())
    };
    restore(&["--foreign-key", "agcm"], file).assert_failed(4, "another key than the one given");
    let keyless = restore(&["-i", "key.txt"], file);
    keyless.assert_failed(4, "this is an RSE1 stream, as streaming-crypto writes it");
    assert!(keyless.stderr.contains("--foreign-key FILE"), "{}", keyless.stderr);
    restore(&["--foreign-key", "key.txt"], file).assert_failed(2, "hexadecimal digits");
    let mut damaged = sealed("streaming-crypto/aes_sha256_40000.rse1");
    let len = damaged.len();
    damaged[len - 2000] ^= 1;
    fs::write(place.path("damaged"), &damaged).unwrap();
    restore(&["--foreign-key", "rse1"], "damaged").assert_failed(3, "chunk 2 has the checksum of another");
    fs::write(place.path("cut"), &damaged[..20_000]).unwrap();
    restore(&["--foreign-key", "rse1", "--restart"], "cut").assert_failed(5, "");
    assert!(!place.path("target").exists());
}

/// ecies-lib writes nothing for no plaintext, and so does a program that has failed.
#[test]
fn an_empty_input_replaces_nothing_whatever_key_is_given_and_whatever_is_accepted() {
    let place = place();
    fs::write(place.path("empty"), "").unwrap();
    fs::write(place.path("target"), "there").unwrap();
    let restore = ["restore", "--foreign-key", "ecies", "--accept-unproven", "--force"];
    for ran in [
        place.run(restore.into_iter().chain(["empty", "target"])),
        place.run_fed(restore.into_iter().chain(["-", "target"]), Vec::new()),
        place.run(["verify", "--foreign-key", "ecies", "--accept-unproven", "empty"]),
        place.run(["cat", "--foreign-key", "ecies", "--accept-unproven", "empty"]),
        convert(&place, &["--foreign-key", "ecies", "--accept-unproven", "--force"], "empty", "target"),
    ] {
        ran.assert_failed(5, "the input is empty");
    }
    assert_eq!(place.read("target"), b"there");
}

#[test]
fn a_receiver_gets_nothing_that_is_not_proved() {
    let place = place();
    let file = vectors().join("ecies-lib/small.enc");
    let ran = place.run([
        "restore",
        "--foreign-key",
        "ecies",
        "--accept-unproven",
        file.to_str().unwrap(),
        "tcp://127.0.0.1:1",
    ]);
    ran.assert_failed(2, "not for a receiver");
}

fn convert(place: &Place, options: &[&str], old: &str, new: &str) -> Ran {
    let recipient = place.recipient.clone();
    place.run([&["convert", "-r", &recipient], options, &[old, new]].concat())
}

#[test]
fn a_stream_of_another_tool_is_sealed_anew_and_restores_to_the_same() {
    let place = place();
    for (sample, key, proved) in SAMPLES {
        let file = vectors().join(sample);
        let file = file.to_str().unwrap();
        let converted =
            convert(&place, &["--foreign-key", key, "--accept-unproven", "--zstd"], file, "new.cfd");
        match proved {
            true => converted.assert_done(),
            false => assert_asserted(&converted),
        }
        place.run(["restore", "-i", "key.txt", "new.cfd", "target"]).assert_done();
        assert!(place.read("target") == plain(sample), "{sample}");
        assert_eq!(place.names(), ["agcm", "ecies", "key.txt", "new.cfd", "rse1", "target"]);
        convert(&place, &["--foreign-key", key, "--accept-unproven"], file, "new.cfd")
            .assert_failed(6, "new.cfd: this file exists already");
        fs::remove_file(place.path("new.cfd")).unwrap();
        fs::remove_file(place.path("target")).unwrap();
        if !proved {
            let refused = convert(&place, &["--foreign-key", key], file, "new.cfd");
            refused.assert_failed(2, "nothing proves that it is whole");
            assert_eq!(place.names(), ["agcm", "ecies", "key.txt", "rse1"]);
        }
    }
}

#[test]
fn a_conversion_of_a_damaged_or_cut_stream_leaves_nothing_whatever_its_pipe_has_taken() {
    let place = place();
    let whole = sealed("harpocrates-agcm/c64k.agcm");
    let mut damaged = whole.clone();
    let len = damaged.len();
    damaged[len - 5] ^= 1;
    for (bytes, code) in [(&damaged[..], 3), (&whole[..len - 1], 5), (&whole[..30], 5), (&whole[..3], 11)] {
        fs::write(place.path("old"), bytes).unwrap();
        let options = ["--foreign-key", "agcm", "--accept-unproven"];
        let ran = convert(&place, &options, "old", "new.cfd");
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains("old: "), "{}", ran.stderr);
        let recipient = place.recipient.clone();
        let piped = [&["convert", "-r", &recipient], &options[..], &["-", "new.cfd"]].concat();
        assert_eq!(place.run_fed(piped, bytes.to_vec()).code, code);
        assert_eq!(place.names(), ["agcm", "ecies", "key.txt", "old", "rse1"]);
    }
}

#[test]
fn a_conversion_goes_from_pipe_to_pipe() {
    let place = place();
    let recipient = place.recipient.clone();
    let arguments = ["convert", "-r", &recipient, "--foreign-key", "ecies", "--json", "-", "-"];
    let converted = place.run_fed(arguments, sealed("ecies-lib/multi_three.enc"));
    assert_eq!(converted.code, 0, "{}", converted.stderr);
    let record = json_lines(converted.stderr.as_bytes()).pop().unwrap();
    assert_eq!((record["event"].as_str(), record["proved"].as_bool()), (Some("converted"), Some(true)));
    fs::write(place.path("new.cfd"), &converted.stdout).unwrap();
    let printed = place.run(["cat", "-i", "key.txt", "new.cfd"]);
    assert!(printed.stdout == plain("ecies-lib/multi_three.enc"));
}

#[test]
fn an_interrupted_conversion_leaves_nothing() {
    let place = place();
    let recipient = place.recipient.clone();
    let mut converting = place.spawn([
        "convert",
        "-r",
        &recipient,
        "--foreign-key",
        "agcm",
        "--accept-unproven",
        "-",
        "new.cfd",
    ]);
    let mut feed = converting.stdin.take().unwrap();
    feed.write_all(&sealed("harpocrates-agcm/c64k.agcm")[..150_000]).unwrap();
    wait_until("the staging file", || place.path(".new.cfd.cofferdam-staging").exists());
    kill_process(Pid::from_child(&converting), Signal::INT).unwrap();
    let ran = end_of(converting);
    ran.assert_failed(130, "interrupted");
    assert_eq!(place.names(), ["agcm", "ecies", "key.txt", "rse1"]);
    drop(feed);
}

#[test]
fn an_output_that_cannot_be_written_ends_a_conversion_whose_input_would_never_end() {
    let place = place();
    let recipient = place.recipient.clone();
    let mut converting = place.spawn([
        "convert",
        "-r",
        &recipient,
        "--foreign-key",
        "agcm",
        "--accept-unproven",
        "-",
        "no/where/new.cfd",
    ]);
    let mut feed = converting.stdin.take().unwrap();
    // It may be gone by now.
    let _ = feed.write_all(&sealed("harpocrates-agcm/c64k.agcm")[..100_000]);
    let ran = end_of(converting);
    ran.assert_failed(1, "no such directory");
    drop(feed);
}

#[test]
fn what_nothing_proves_passes_no_drill_and_is_not_served() {
    let place = place();
    for sample in ["ecies-lib/big.enc", "harpocrates-agcm/c64k.agcm", "streaming-crypto/chacha_b3_40000.rse1"]
    {
        fs::write(place.path("sealed"), sealed(sample)).unwrap();
        fs::create_dir_all(place.path("scratch")).unwrap();
        let stream =
            "[[stream]]\nname = \"old\"\nsealed = \"sealed\"\nidentity = [\"key.txt\"]\nmode = \"verify\"\n";
        fs::write(
            place.path("drill.toml"),
            format!("scratch = \"scratch\"\nevidence = \"e.json\"\n\n{stream}"),
        )
        .unwrap();
        let drilled = place.run(["drill", "drill.toml"]);
        assert_eq!(drilled.code, 11, "{sample}: {}", drilled.stderr);
        let evidence: serde_json::Value = serde_json::from_slice(&place.read("e.json")).unwrap();
        assert_eq!(evidence["result"], "failed", "{sample}");
        let ranged =
            place.run(["cat", "--foreign-key", "agcm", "--accept-unproven", "--range", "..5", "sealed"]);
        assert!(ranged.code != 0 && ranged.stdout.is_empty(), "{sample}: {}", ranged.stderr);
        #[cfg(feature = "serve")]
        assert_ne!(place.run(["serve", "-i", "key.txt", "sealed"]).code, 0);
    }
}

#[test]
fn an_inspection_says_what_a_stream_is_and_what_it_cannot_prove() {
    let place = place();
    for (sample, ..) in SAMPLES {
        let file = vectors().join(sample);
        let inspected = place.run(["inspect", "--json", file.to_str().unwrap()]);
        assert_eq!(inspected.code, 0, "{sample}: {}", inspected.stderr);
        let record = &json_lines(&inspected.stdout)[0];
        let format = String::from_utf8(sealed(sample)[..4].to_vec()).unwrap();
        assert_eq!(record["format"], format);
        assert!(record["unproved"].is_string(), "{sample}");
    }
}

/// The target is in place, and so is the exit code, if nobody hears of it.
#[test]
fn a_closed_standard_output_does_not_make_a_success_of_it() {
    let place = place();
    fs::write(place.path("sealed"), sealed("ecies-lib/big.enc")).unwrap();
    let ran = place.shell("cofferdam restore --foreign-key ecies --accept-unproven sealed target >&-");
    assert_eq!(ran.code, 13, "{}", ran.stderr);
    assert!(place.read("target") == plain("ecies-lib/big.enc"));
    let ran = place
        .shell("cofferdam convert --foreign-key ecies --accept-unproven -r $R sealed new.cfd >/dev/full");
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("new.cfd"), "{}", ran.stderr);
    place.run(["restore", "-i", "key.txt", "new.cfd", "again"]).assert_done();
    assert!(place.read("again") == plain("ecies-lib/big.enc"));
}

#[test]
fn what_nothing_proves_is_an_outcome_of_its_own_and_not_called_whole() {
    let place = place();
    fs::write(place.path("old"), sealed("ecies-lib/big.enc")).unwrap();
    let options = ["--foreign-key", "ecies", "--accept-unproven", "--metrics-file", "m.prom", "old"];
    let restored = place.run(["restore"].iter().chain(&options).chain(&["target"]));
    restored.assert_failed(13, "target is in place, and nothing proves that it is whole");
    let figures = crate::metrics::figures(&place, "m.prom");
    let of =
        |outcome| figures[&format!("cofferdam_streams_total{{operation=\"open\",outcome=\"{outcome}\"}}")];
    assert_eq!([of("complete"), of("asserted"), of("failed")], [0.0, 1.0, 0.0]);
    assert_eq!(figures["cofferdam_exit_code"], 13.0);
    let printed = place.run(["restore"].iter().chain(&options).chain(&["-"]));
    printed.assert_failed(13, "what there is of it has gone to standard output, and nothing proves");
}

/// No line of it reads like a success.
#[test]
fn a_conversion_of_what_nothing_proves_has_one_result_which_says_so() {
    let place = place();
    fs::write(place.path("old"), sealed("ecies-lib/big.enc")).unwrap();
    let options = ["--foreign-key", "ecies", "--accept-unproven"];
    let said = convert(&place, &options, "old", "new.cfd");
    said.assert_failed(13, "nothing proves that it is whole");
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.lines().next().unwrap().ends_with("NOT PROVED TO BE WHOLE"), "{text}");
    let ran = convert(&place, &[&options[..], &["--json", "--force"]].concat(), "old", "new.cfd");
    let records = json_lines(&ran.stdout);
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!((record["event"].as_str(), record["output"].as_str()), (Some("asserted"), Some("new.cfd")));
    assert_eq!(record["sealed_len"], place.read("new.cfd").len());
}

#[test]
fn commands_for_our_own_streams_say_what_a_file_is_and_which_ones_take_it() {
    let place = place();
    fs::write(place.path("old"), sealed("ecies-lib/big.enc")).unwrap();
    for arguments in [&["rewrap", "-i", "key.txt", "-r", &place.recipient, "old"][..], &["recipients", "old"]]
    {
        let ran = place.run(arguments);
        ran.assert_failed(11, "it looks like an ECIE stream, as ecies-lib writes it");
        assert!(
            ran.stderr.contains("`cofferdam restore`, `verify`, `cat` and `convert` take it"),
            "{}",
            ran.stderr
        );
    }
    let salvaged = place.run(["restore", "--salvage", "--foreign-key", "ecies", "old", "t.salvaged"]);
    salvaged.assert_failed(11, "an ECIE stream");
    assert!(salvaged.stderr.contains("--salvage is for streams of ours"), "{}", salvaged.stderr);
    // One that is shorter than what a stream of ours begins with, and all that is left of one.
    let small = sealed("ecies-lib/small.enc");
    for short in [&small[..], &small[..4]] {
        fs::write(place.path("short"), short).unwrap();
        let salvaged = place.run(["restore", "--salvage", "--foreign-key", "ecies", "short", "t.salvaged"]);
        salvaged.assert_failed(11, "an ECIE stream");
        assert!(salvaged.stderr.contains("--salvage is for streams of ours"), "{}", salvaged.stderr);
    }
    // That is a beginning of ours.
    fs::write(place.path("short"), b"\x89CFD").unwrap();
    place.run(["restore", "--salvage", "-i", "key.txt", "short", "t.salvaged"]).assert_failed(5, "");
    let little =
        convert(&place, &["--foreign-key", "ecies", "--accept-unproven", "--memory", "1KiB"], "old", "n");
    assert!(little.stderr.contains("Half of `--memory` is for opening"), "{}", little.stderr);
    let armor = "-----BEGIN AGE ENCRYPTED FILE-----\naGVsbG8gd29ybGQ=\n-----END AGE ENCRYPTED FILE-----\n";
    fs::write(place.path("armor"), armor).unwrap();
    place.run(["restore", "-i", "key.txt", "armor", "t"]).assert_failed(3, "not that of an age v1 file");
}
