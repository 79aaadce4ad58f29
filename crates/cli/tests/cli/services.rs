//! What a service manager hears of a command: whoever listens at `NOTIFY_SOCKET`, see sd_notify(3).

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::drilling;
use crate::place::{Place, Ran, end_of, plaintext, wait_until};
use crate::served::full_pipe;

/// A service manager that wants to hear something each 30 seconds.
struct NotifySocket(UnixDatagram);

impl NotifySocket {
    fn of(place: &Place, command: &mut Command) -> NotifySocket {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        // Longer than any machine needs; what comes sooner ends it.
        socket.set_read_timeout(Some(Duration::from_secs(600))).unwrap();
        command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "30000000");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        NotifySocket(socket)
    }

    fn next(&self) -> String {
        let mut message = [0; 4096];
        let len = self.0.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).into_owned()
    }

    /// Waits until it has been told `status`, with a sign of life, for the `count`th time.
    fn wait_for(&self, status: &str, count: usize) {
        let is_meant = |said: &String| said.starts_with(status) && said.contains("\nWATCHDOG=1");
        std::iter::repeat_with(|| self.next()).filter(is_meant).nth(count - 1).unwrap();
    }
}

#[test]
fn a_service_manager_is_told_how_a_command_gets_on() {
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(3_000_000)).unwrap();
    let mut command = place.command(["seal", "-r", &place.recipient, "plain", "-o", "sealed.cfd"]);
    let manager = NotifySocket::of(&place, &mut command);
    Ran::of(command.output().unwrap()).assert_done();
    let said = manager.next();
    assert!(said.starts_with("STATUS=sealing ") && said.contains("\nWATCHDOG=1"), "{said}");
}

/// A receiver may wait for days.
#[test]
fn a_receiver_that_waits_for_its_sender_says_so_again_and_again() {
    let place = Place::new();
    let mut command = place.command(["receive", "--listen", "unix:socket", "target"]);
    let manager = NotifySocket::of(&place, &mut command);
    let receiver = command.spawn().unwrap();
    manager.wait_for("STATUS=listening at unix:socket", 3);
    kill_process(Pid::from_child(&receiver), Signal::TERM).unwrap();
    assert_eq!(end_of(receiver).code, 143);
}

/// The check waits until the test has heard enough.
#[test]
fn a_drill_whose_check_runs_says_so_again_and_again() {
    let place = drilling::place(1);
    place.shell("mkfifo gate").assert_done();
    let line = format!("cat '{}'", place.path("gate").display());
    drilling::write(&place, &[drilling::checked(&line, "")]);
    let mut command = place.command(["drill", "drill.toml"]);
    let manager = NotifySocket::of(&place, &mut command);
    let drill = command.spawn().unwrap();
    manager.wait_for("STATUS=checking what was restored", 3);
    fs::write(place.path("gate"), "").unwrap();
    end_of(drill).assert_done();
}

/// A service manager that hangs is not waited for, neither by the work nor by its end.
#[test]
fn a_service_manager_that_does_not_read_keeps_nothing_from_being_done() {
    let place = drilling::place(1);
    drilling::write(&place, &[drilling::checked("true", "")]);
    let unread = UnixDatagram::bind(place.path("notify")).unwrap();
    let filling = UnixDatagram::unbound().unwrap();
    filling.set_nonblocking(true).unwrap();
    while filling.send_to(b"STATUS=x", place.path("notify")).is_ok() {}
    let spawn = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "30000000");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for arguments in [
        &["verify", "sealed.cfd"][..],
        &["restore", "-i", "key.txt", "sealed.cfd", "out"],
        &["cat", "-i", "key.txt", "sealed.cfd"],
        &["drill", "drill.toml"],
    ] {
        end_of(spawn(arguments)).assert_done();
    }
    let served = spawn(&["serve", "-i", "key.txt", "--nbd", "socket", "sealed.cfd"]);
    wait_until("the socket", || place.path("socket").exists());
    kill_process(Pid::from_child(&served), Signal::TERM).unwrap();
    end_of(served).assert_done();
    drop(unread);
}

/// Clients of a socket need no URL.
#[test]
fn a_server_whose_url_nobody_reads_is_ready_and_can_be_ended() {
    let place = Place::with_sealed(1);
    let mut command = place.command(["serve", "-i", "key.txt", "--nbd", "socket", "sealed.cfd"]);
    let manager = NotifySocket::of(&place, &mut command);
    let (_unread, full) = full_pipe();
    let served = command.stdout(full).spawn().unwrap();
    std::iter::repeat_with(|| manager.next()).find(|said| said.starts_with("READY=1")).unwrap();
    manager.wait_for("STATUS=serving sealed.cfd", 1);
    kill_process(Pid::from_child(&served), Signal::TERM).unwrap();
    end_of(served).assert_done();
}

#[test]
fn a_drill_whose_report_nobody_reads_can_be_ended() {
    let place = drilling::place(1);
    drilling::write(&place, &[drilling::checked("true", "")]);
    let (_unread, full) = full_pipe();
    let mut command = place.command(["drill", "drill.toml"]);
    let drill = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the evidence", || place.path("evidence.json").exists());
    kill_process(Pid::from_child(&drill), Signal::TERM).unwrap();
    let ran = end_of(drill);
    ran.assert_failed(143, "the drill has ended, and its evidence is written; only the report of it failed");
    assert!(ran.stderr.contains("1 of 1 stream passed"), "{}", ran.stderr);
}
