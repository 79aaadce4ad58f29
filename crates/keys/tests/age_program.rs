//! Exchanges slots and identity files with the real `age` and `age-keygen` programs, and is skipped where they are not installed.

#![cfg(feature = "age")]
#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use keys::{Identities, Identity, KIND_AGE, Recipients, SealedSlot, StreamKey};

#[test]
fn the_age_program_opens_our_slot() {
    if !has("age") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (anna, bert) = (Identity::generate(), Identity::generate());
    let recipients = Recipients::new().parse(&anna.recipient()).unwrap().parse(&bert.recipient()).unwrap();
    let slots = recipients.wrap(&StreamKey::from_bytes(KEY), &HEAD).unwrap();
    for identity in [anna, bert] {
        let identity_file = write_identity(&identity, directory.path());
        let output = run("age", &["-d", "-i", &identity_file], &slots[0].body);
        assert_eq!(output.stdout, KEY);
    }
}

#[test]
fn what_the_age_program_made_opens_as_a_slot() {
    if !has("age") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (anna, bert) = (Identity::generate(), Identity::generate());
    let recipients_file = directory.path().join("recipients.txt");
    std::fs::write(&recipients_file, format!("# us\n{}\n{}\n", anna.recipient(), bert.recipient())).unwrap();
    let by_argument = run("age", &["-r", &anna.recipient(), "-r", &bert.recipient()], &KEY);
    let by_file = run("age", &["-R", recipients_file.to_str().unwrap()], &KEY);
    for output in [by_argument, by_file] {
        let slots = [SealedSlot { kind: KIND_AGE, body: output.stdout }];
        for identity in [&anna, &bert] {
            let identities =
                Identities::new().identity_file(identity.file_text("now").unwrap().as_bytes()).unwrap();
            let found = identities.unwrap(&slots, &HEAD, &mut |_| true).unwrap();
            assert_eq!(found.expose(), &KEY);
        }
    }
}

#[test]
fn age_keygen_reads_the_identity_file_that_we_write() {
    if !has("age") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::generate();
    let identity_file = write_identity(&identity, directory.path());
    let output = run("age-keygen", &["-y", &identity_file], b"");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), identity.recipient());
}

#[test]
fn we_read_the_identity_file_that_age_keygen_writes() {
    if !has("age") {
        return;
    }
    let text = String::from_utf8(run("age-keygen", &[], b"").stdout).unwrap();
    let recipient = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
    let slots = Recipients::new().parse(recipient).unwrap().wrap(&StreamKey::from_bytes(KEY), &HEAD).unwrap();
    let identities = Identities::new().identity_file(&text).unwrap();
    assert_eq!(identities.unwrap(&slots, &HEAD, &mut |_| true).unwrap().expose(), &KEY);
}

/// Whether the program is here; where it is not, the test that asks returns, and this has said so on the terminal.
fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        // Not captured, as what `eprintln!` prints would be.
        let _ =
            writeln!(std::io::stderr(), "skipped {test}: no {program} here; `cargo xtask setup` installs it");
    }
    found
}

fn write_identity(identity: &Identity, directory: &Path) -> String {
    let path = directory.join(format!("{}.txt", identity.recipient()));
    std::fs::write(&path, identity.file_text("2025-01-01T00:00:00Z").unwrap().as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

const KEY: [u8; 32] = [0xc5; 32];
const HEAD: [u8; 80] = [0x3a; 80];
