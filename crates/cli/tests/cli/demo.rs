//! The demo: that it does all it says, leaves nothing, and that its commands work by hand.
//! Its figures are the machine's, and are only looked at for being there.

use std::fs;
use std::process::Command;

use crate::place::{Place, json_lines, plaintext};

#[test]
fn the_demo_runs_every_step_and_leaves_nothing_behind() {
    let place = Place::new();
    // One segment, so that nothing of it is kept.
    fs::write(place.path("input"), plaintext(900_000)).unwrap();
    fs::create_dir(place.path("scratch")).unwrap();
    let shown = place.run(["demo", "--dir", "scratch", "input"]);
    shown.assert_done();
    for words in [
        "plain copy",
        "seal",
        "verify without key",
        "verify with key",
        "restore",
        "equal, byte for byte",
        "flipped       bit",
        "(exit code 3)",
        "target        untouched: the same file with the same content, and nothing beside it",
    ] {
        assert!(shown.text().contains(words), "{words}: {}", shown.text());
    }
    assert_eq!(fs::read_dir(place.path("scratch")).unwrap().count(), 0);
}

/// 20 MB are three segments of 8 MiB. The wrong bit is in the second one, so the first is kept (docs/OPERATIONS.md, section 1).
#[test]
fn the_demo_of_several_segments_shows_what_a_refused_restore_keeps() {
    let place = Place::new();
    fs::write(place.path("input"), plaintext(20_000_000)).unwrap();
    fs::create_dir(place.path("scratch")).unwrap();
    let shown = place.run(["demo", "--dir", "scratch", "input"]);
    shown.assert_done();
    assert!(shown.text().contains("beside it 8.00 MiB that proved right"), "{}", shown.text());
    assert_eq!(fs::read_dir(place.path("scratch")).unwrap().count(), 0);
}

#[test]
fn the_commands_that_the_demo_prints_work_by_hand() {
    let place = Place::new();
    fs::write(place.path("in put"), plaintext(100_000)).unwrap();
    fs::create_dir(place.path("hand")).unwrap();
    let shown = place.run(["demo", "--dir", ".", "in put"]);
    shown.assert_done();
    let (_, by_hand) = shown.text().split_once("By hand, in an empty directory:\n").unwrap();
    let lines: Vec<&str> = by_hand.lines().map(str::trim).collect();
    let (last, before) = lines.split_last().unwrap();
    // The last one is the refusal.
    let script = format!("set -e\n{}\nset +e\n{last}\nexit $?", before.join("\n"));
    let ran = Command::new("sh").arg("-c").arg(&script).current_dir(place.path("hand")).output().unwrap();
    assert_eq!(ran.status.code(), Some(3), "{script}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(place.read("hand/restored") == plaintext(100_000));
}

#[test]
fn the_demo_keeps_its_files_if_asked_and_speaks_json() {
    let place = Place::new();
    fs::write(place.path("input"), b"").unwrap();
    let shown = place.run(["demo", "--json", "--quiet", "--keep", "--dir", ".", "input"]);
    shown.assert_done();
    let records = json_lines(&shown.stdout);
    let step = |name: &str| records.iter().find(|record| record["step"] == name).unwrap();
    assert_eq!(step("compare")["equal"], true);
    assert_eq!(step("refusal")["exit_code"], 3);
    assert_eq!(step("refusal")["target_untouched"], true);
    assert!(step("restore")["beside_copy"].as_f64().unwrap() > 0.0);
    let kept = step("scratch")["path"].as_str().unwrap();
    let identity = format!("{kept}/key.txt");
    place.run(["verify", "-i", &identity, &format!("{kept}/sealed.cfd")]).assert_done();
}

#[test]
fn the_demo_refuses_what_is_no_file() {
    let place = Place::new();
    place.run(["demo", "."]).assert_failed(2, "not a regular file");
    place.run(["demo", "absent"]).assert_failed(1, "absent");
}
