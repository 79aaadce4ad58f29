//! What a service manager hears of a command: whoever listens at `NOTIFY_SOCKET`, see sd_notify(3).

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::drilling;
use crate::place::{Place, Ran, end_of, plaintext};

/// A service manager that wants to hear something each 30 seconds.
struct NotifySocket(UnixDatagram);

impl NotifySocket {
    fn of(place: &Place, command: &mut Command) -> NotifySocket {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        // Longer than any machine needs; what comes sooner ends it.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
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
