//! The process that measures another, as `cargo xtask compare` starts it.
//! Knows no program that is compared.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Output};

/// `timed` with these words, in a folder of its own with a file in it.
fn timed(folder: &str, words: &[&str]) -> io::Result<Output> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("plain"), "twelve bytes")?;
    Command::new(env!("CARGO_BIN_EXE_xtask")).arg("timed").args(words).current_dir(folder).output()
}

#[test]
fn commands_are_run_in_order_and_what_they_took_is_printed() {
    let output = timed("order", &["cp", "plain", "copy", ";", "cp", "copy", "again"]).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let [wall, processors, peak] =
        printed.trim_end().split('\t').map(|number| number.parse::<u64>().unwrap()).collect::<Vec<_>>()[..]
    else {
        panic!("not three numbers: {printed}");
    };
    assert!(wall > 0 && processors < 60_000_000, "{printed}");
    assert!(
        (1 << 20..1 << 30).contains(&peak),
        "a program takes more than a MiB, and `cp` no GiB: {printed}"
    );
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("order/again");
    assert_eq!(fs::read_to_string(copy).unwrap(), "twelve bytes");
}

#[test]
fn a_command_that_fails_has_no_measurement() {
    let output = timed("failing", &["cp", "no-such-file", "copy", ";", "cp", "plain", "late"]).unwrap();
    assert!(!output.status.success());
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no-such-file"), "what the command said is passed on: {said}");
    assert!(!Path::new(env!("CARGO_TARGET_TMPDIR")).join("failing/late").exists());
}
