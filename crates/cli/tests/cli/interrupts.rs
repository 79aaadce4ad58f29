//! Signals: the program ends with the signal's code, and a restore goes on when it is run again.
//! Every wait is for something that can be seen.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, end_of, json_lines, plaintext, wait_until};
use crate::served::full_pipe;

#[test]
fn an_interrupted_restore_from_an_idle_fifo_is_130_and_goes_on_from_the_file() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Place::with_sealed(4);
        let mut fifo = open_fifo(&place);
        let restoring = place.spawn(["restore", "-i", "key.txt", "fifo", "target"]);
        let sealed = place.read("sealed.cfd");
        fifo.write_all(&sealed[..sealed.len() / 2]).unwrap();
        wait_until("the staging file", || place.path(".target.cofferdam-staging").exists());
        send(&restoring, signal);
        let ran = end_of(restoring);
        ran.assert_failed(code, "cofferdam: interrupted");
        assert!(ran.stderr.contains("The target is as it was"));
        assert!(!place.path("target").exists());
        let misspelt = place.run(["restore", "-i", "key.txt", "nowhere.cfd", "target"]);
        misspelt.assert_failed(1, "could not be opened");
        assert_eq!(
            misspelt.stderr.contains("is kept: run the same command again"),
            place.path(".target.cofferdam-journal").exists(),
            "{}",
            misspelt.stderr
        );
        place.run(["restore", "-i", "key.txt", "sealed.cfd", "target"]).assert_done();
        assert!(place.read("target") == place.read("plain"));
        assert_eq!(place.names(), ["fifo", "key.txt", "plain", "sealed.cfd", "target"]);
    }
}

#[test]
fn an_interrupted_restore_keeps_the_old_target() {
    let place = Place::with_sealed(4);
    fs::write(place.path("target"), b"old").unwrap();
    let mut restoring = place.spawn(["restore", "--force", "-i", "key.txt", "-", "target"]);
    let mut feed = restoring.stdin.take().unwrap();
    feed.write_all(&place.read("sealed.cfd")[..20_000]).unwrap();
    wait_until("the staging file", || place.path(".target.cofferdam-staging").exists());
    send(&restoring, Signal::INT);
    assert_eq!(end_of(restoring).code, 130);
    assert_eq!(place.read("target"), b"old");
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd", "target"]);
    drop(feed);
}

#[test]
fn an_interrupted_seal_from_an_idle_pipe_is_130_and_leaves_nothing() {
    let place = Place::new();
    let seal = ["seal", "--json", "-r", &place.recipient, "-", "-o", "out.cfd"].into_iter().chain(SMALL);
    let mut sealing = place.spawn(seal);
    let mut feed = sealing.stdin.take().unwrap();
    feed.write_all(&plaintext(3 * SEGMENT_LEN)).unwrap();
    wait_until("the staging file", || place.path(".out.cfd.cofferdam-staging").exists());
    send(&sealing, Signal::INT);
    let ran = end_of(sealing);
    let error = json_lines(ran.stderr.as_bytes()).pop().unwrap();
    assert_eq!(
        (ran.code, error["kind"].as_str(), error["exit_code"].as_i64()),
        (130, Some("interrupted"), Some(130))
    );
    assert_eq!(place.names(), ["key.txt"]);
    drop(feed);
}

#[test]
fn a_blocked_standard_output_does_not_hold_an_interrupted_restore() {
    let place = Place::new();
    // More than a pipe holds, so that the program is inside of a write.
    fs::write(place.path("plain"), plaintext(200 * SEGMENT_LEN)).unwrap();
    place.seal("plain", "sealed.cfd").assert_done();
    let mut restoring = place.spawn(["restore", "-i", "key.txt", "sealed.cfd", "-"]);
    let mut stdout = restoring.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 1]).unwrap();
    send(&restoring, Signal::INT);
    assert_eq!(end_of(restoring).code, 130);
}

#[test]
fn a_fifo_that_nobody_reads_does_not_hold_an_interrupted_restore() {
    let place = Place::with_sealed(1);
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let restoring = place.spawn(["restore", "-i", "key.txt", "sealed.cfd", "fifo"]);
    wait_until("the handler of signals", || catches_interrupts(&restoring));
    send(&restoring, Signal::INT);
    end_of(restoring).assert_failed(130, "cofferdam: interrupted");
    assert_eq!(place.names(), ["fifo", "key.txt", "plain", "sealed.cfd"]);
}

#[test]
fn a_signal_ends_a_command_though_nobody_reads_what_it_says() {
    let place = Place::with_sealed(1);
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let (unread, errors) = full_pipe();
    let mut command = place.command(["verify", "-i", "fifo", "sealed.cfd"]);
    let waiting = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
    wait_until("the handler of signals", || catches_interrupts(&waiting));
    send(&waiting, Signal::TERM);
    assert_eq!(end_of(waiting).code, 143);
    drop(unread);
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_not_a_signal() {
    let place = Place::with_sealed(4);
    // A shell sets it; 512 bytes each. Of a pipe nobody knows beforehand that it will be too much.
    let limited = "cat sealed.cfd | (ulimit -f 32 && exec \"$0\" restore -i key.txt - target)";
    let mut shell = Command::new("sh");
    shell.args(["-c", limited, env!("CARGO_BIN_EXE_cofferdam")]).current_dir(place.directory.path());
    Ran::of(shell.output().unwrap()).assert_failed(1, "File too large");
    assert!(!place.path("target").exists());
    place.run(["restore", "-i", "key.txt", "sealed.cfd", "target"]).assert_done();
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd", "target"]);
}

#[test]
fn an_interrupted_check_of_an_idle_pipe_is_130() {
    let place = Place::with_sealed(4);
    let mut verifying = place.spawn(["verify", "--json", "-i", "key.txt", "-"]);
    let mut feed = verifying.stdin.take().unwrap();
    feed.write_all(&place.read("sealed.cfd")[..40_000]).unwrap();
    // Its first line of progress shows that it has begun.
    let mut stderr = verifying.stderr.take().unwrap();
    stderr.read_exact(&mut [0; 1]).unwrap();
    send(&verifying, Signal::INT);
    assert_eq!(end_of(verifying).code, 130);
}

#[test]
fn a_signal_ends_a_command_that_waits_for_a_key() {
    let place = Place::with_sealed(1);
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for (index, arguments) in [
        "restore -i fifo sealed.cfd target",
        "restore --key-file fifo sealed.cfd target",
        "restore --passphrase-file fifo sealed.cfd target",
        "restore -i key.txt --peer-key fifo sealed.cfd tcp://127.0.0.1:9",
        "seal -R fifo -o target plain",
        "seal --key-file fifo -o target plain",
        "seal --resume --passphrase-file fifo -o target plain",
        "verify -i fifo sealed.cfd",
        "rewrap -i key.txt -R fifo sealed.cfd",
        "receive --listen 127.0.0.1:0 --peer-key fifo target",
        "restore -i - sealed.cfd target",
    ]
    .iter()
    .enumerate()
    {
        let (signal, code) = [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)][index % 3];
        let waiting = place.spawn(arguments.split(' '));
        wait_until("the handler of signals", || catches_interrupts(&waiting));
        send(&waiting, signal);
        let ran = end_of_open(waiting);
        assert_eq!(ran.code, code, "{arguments}: {}", ran.stderr);
        ran.assert_failed(code, "cofferdam: interrupted");
        assert_eq!(place.names(), ["fifo", "key.txt", "plain", "sealed.cfd"], "{arguments}");
    }
}

/// As `timeout` does it: to the program, and to all of its group.
#[test]
fn a_signal_that_comes_twice_at_once_is_one() {
    let mut told = 0;
    // Of two that are sent before the first has been taken the kernel makes one, so not each round tells.
    for _ in 0..20 {
        let place = Place::with_sealed(6);
        let mut fifo = open_fifo(&place);
        let restoring = place.spawn(["restore", "-i", "key.txt", "fifo", "target"]);
        fifo.write_all(&place.read("sealed.cfd")[..3 * SEGMENT_LEN]).unwrap();
        wait_until("the staging file", || place.path(".target.cofferdam-staging").exists());
        let begun = Instant::now();
        // As timeout(1) does: to the program, and to its group.
        send(&restoring, Signal::TERM);
        send(&restoring, Signal::TERM);
        let is_at_once = begun.elapsed() < AT_ONCE;
        let ran = end_of(restoring);
        assert_eq!(ran.code, 143, "{}", ran.stderr);
        // On a busy machine the second may come so late that it is another one.
        if is_at_once {
            ran.assert_failed(143, "The target is as it was");
            told += 1;
        }
    }
    assert!(told > 0, "none came at once");
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let place = Place::with_sealed(4);
    let mut shell = place.shell_command("trap '' INT TERM HUP QUIT; exec \"$0\" restore -i key.txt - target");
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut restoring = shell.spawn().unwrap();
    let mut feed = restoring.stdin.take().unwrap();
    let sealed = place.read("sealed.cfd");
    feed.write_all(&sealed[..sealed.len() / 2]).unwrap();
    wait_until("the staging file", || place.path(".target.cofferdam-staging").exists());
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        send(&restoring, signal);
    }
    feed.write_all(&sealed[sealed.len() / 2..]).unwrap();
    drop(feed);
    end_of(restoring).assert_done();
    assert!(place.read("target") == place.read("plain"));
}

#[test]
fn a_signal_that_quits_gives_the_terminal_its_echo_back() {
    let place = Place::with_sealed(1);
    fs::write(place.path("words"), "a passphrase").unwrap();
    place.run(["seal", "--passphrase-file", "words", "-o", "locked.cfd", "plain"]).assert_done();
    let shown = place.on_terminal(
        "ulimit -c 0
        stty -g >before
        (until stty -a </dev/tty | grep -q -- '-echo '; do :; done; kill -QUIT $(cat pid)) &
        sh -c 'echo $$ >pid; exec \"$COFFERDAM\" restore -p locked.cfd target'
        echo \"code $?\"
        stty -g >after",
    );
    // What a shell says of a process that SIGQUIT, which is 3, has ended.
    assert!(shown.contains("code 131"), "{shown}");
    assert_eq!(place.read("before"), place.read("after"));
    assert!(!place.path("target").exists());
}

fn open_fifo(place: &Place) -> File {
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // For reading too: then opening does not wait for the program.
    OpenOptions::new().read(true).write(true).open(place.path("fifo")).unwrap()
}

/// As `end_of`, with standard input kept open until then: its end is none for the program.
fn end_of_open(mut child: Child) -> Ran {
    let stdin = child.stdin.take();
    let ran = end_of(child);
    drop(stdin);
    ran
}

/// What the kernel says of the signals that a process handles.
pub(crate) fn catches_interrupts(child: &Child) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() >> (Signal::INT.as_raw() - 1) & 1 == 1
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Half of the time within which the program takes the second for the first.
const AT_ONCE: Duration = Duration::from_millis(100);
