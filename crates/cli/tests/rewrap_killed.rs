//! Re-wrapping killed at every system call: the stream opens with the old identity or the new one each time.
//! The real program under strace, which delivers SIGKILL on entry to the chosen call.

#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cofferdam::{BytesSource, Identities, Identity, MemorySink, Opener, Recipients, Sealer};

#[path = "cli/programs.rs"]
mod programs;

use programs::has;

struct Owner {
    recipient: String,
    identity_file: PathBuf,
}

impl Owner {
    fn new(directory: &Path, name: &str) -> Owner {
        let identity = Identity::generate();
        let identity_file = directory.join(name);
        fs::write(&identity_file, identity.file_text("2026-01-01T00:00:00Z").unwrap().as_bytes()).unwrap();
        Owner { recipient: identity.recipient(), identity_file }
    }

    fn opens(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let identities = Identities::new().identity_file(fs::read(&self.identity_file).unwrap()).unwrap();
        let (sink, contents) = MemorySink::new();
        Opener::new(identities).open(BytesSource::new(sealed.to_vec()), sink).ok()?;
        contents.take()
    }
}

fn rewrap(sealed: &Path, owners: &[&Owner], to: &Owner) -> Vec<String> {
    let mut arguments = vec!["rewrap".to_owned(), "--quiet".to_owned()];
    for owner in owners {
        arguments.extend(["-i".to_owned(), owner.identity_file.display().to_string()]);
    }
    arguments.extend(["-r".to_owned(), to.recipient.clone(), sealed.display().to_string()]);
    arguments
}

/// Runs the program under strace with `options`; says whether it ended by itself, well.
fn strace(options: &[&str], arguments: &[String]) -> bool {
    let mut command = Command::new("strace");
    command.args(options).arg("--").arg(env!("CARGO_BIN_EXE_cofferdam")).args(arguments);
    let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status();
    status.unwrap().success()
}

/// The system calls of a whole run, in order: each with how often it has been made so far.
fn calls(log: &str) -> Vec<(String, u32)> {
    let mut made = HashMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let count = made.entry(name.to_owned()).or_insert(0);
        *count += 1;
        calls.push((name.to_owned(), *count));
    }
    calls
}

#[test]
fn killed_at_any_system_call_the_stream_opens_with_the_old_identity_or_the_new() {
    if !has("strace") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Owner::new(directory.path(), "old.txt"), Owner::new(directory.path(), "new.txt"));
    let plaintext: Vec<u8> = (0..20_000u32).map(|at| (at % 251) as u8).collect();
    let (sink, contents) = MemorySink::new();
    let recipients = Recipients::new().parse(&old.recipient).unwrap();
    Sealer::new(recipients).seal(BytesSource::new(plaintext.clone()), sink).unwrap();
    let pristine = contents.take().unwrap();
    let origin = 4096 + 2 * u32::from_le_bytes(pristine[112..116].try_into().unwrap()) as usize;
    let sealed = directory.path().join("stream.cfd");

    let log = directory.path().join("log");
    fs::write(&sealed, &pristine).unwrap();
    assert!(strace(&["-o", log.to_str().unwrap()], &rewrap(&sealed, &[&old], &new)));
    let calls = calls(&fs::read_to_string(&log).unwrap());
    let writes = calls.iter().filter(|(name, _)| name == "pwrite64").count();
    let syncs = calls.iter().filter(|(name, _)| name == "fdatasync").count();
    assert!(writes >= 2 && syncs == 2, "both copies are written and synced: {calls:?}");

    let mut opened = [0, 0];
    for (name, count) in &calls {
        // The program has to exist before it can be killed.
        if name == "execve" {
            continue;
        }
        fs::write(&sealed, &pristine).unwrap();
        let inject = format!("inject={name}:signal=SIGKILL:when={count}");
        let ended = strace(&["-e", &inject, "-o", "/dev/null"], &rewrap(&sealed, &[&old], &new));
        assert!(!ended || name == "exit_group", "{name} {count}: the program was not killed");
        let after = fs::read(&sealed).unwrap();
        assert_eq!(after[origin..], pristine[origin..], "{name} {count}: data bytes have changed");
        assert_eq!(after[..4096], pristine[..4096], "{name} {count}: the preamble has changed");
        let by = [&old, &new].map(|owner| owner.opens(&after).is_some_and(|opened| opened == plaintext));
        assert!(by.contains(&true), "{name} {count}: nobody can open the stream");
        for (count, opens) in opened.iter_mut().zip(by) {
            *count += u32::from(opens);
        }
        assert!(
            strace(&["-o", "/dev/null"], &rewrap(&sealed, &[&old, &new], &new)),
            "{name} {count}: run again"
        );
        let mended = fs::read(&sealed).unwrap();
        assert!(
            old.opens(&mended).is_none() && new.opens(&mended).as_ref() == Some(&plaintext),
            "{name} {count}"
        );
    }
    println!(
        "killed at {} system calls: opened by the old identity {}, by the new {}",
        calls.len(),
        opened[0],
        opened[1]
    );
    assert!(opened[0] > 0 && opened[1] > 0, "both sides of the change have been seen: {opened:?}");
}

#[test]
fn after_a_failed_sync_it_stops_and_says_which_copy_is_whole_and_not_to_try_again() {
    if !has("strace") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Owner::new(directory.path(), "old.txt"), Owner::new(directory.path(), "new.txt"));
    let (sink, contents) = MemorySink::new();
    let recipients = Recipients::new().parse(&old.recipient).unwrap();
    Sealer::new(recipients).seal(BytesSource::new(*b"a snapshot"), sink).unwrap();
    let pristine = contents.take().unwrap();
    let sealed = directory.path().join("stream.cfd");
    // Copy 0 serves, so copy 1 is written first.
    for (count, whole) in [(1, "copy 0 is whole"), (2, "copy 1 is whole")] {
        fs::write(&sealed, &pristine).unwrap();
        let inject = format!("inject=fdatasync:error=EIO:when={count}");
        let mut command = Command::new("strace");
        command.args(["-e", &inject, "-o", "/dev/null", "--", env!("CARGO_BIN_EXE_cofferdam")]);
        let ran = command.args(rewrap(&sealed, &[&old], &new)).output().unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{said}");
        assert!(said.contains(whole) && said.contains("Do not re-wrap it again here"), "{said}");
        let written = fs::read(&sealed).unwrap();
        let alone = if count == 1 { &old } else { &new };
        assert!(alone.opens(&with_only(&written, count - 1)).is_some(), "{whole}");
    }
}

/// The stream with one key copy, the other lost.
fn with_only(sealed: &[u8], copy: usize) -> Vec<u8> {
    let lost = 4096 * (2 - copy);
    let mut sealed = sealed.to_vec();
    sealed[lost..lost + 4096].fill(0);
    sealed
}
