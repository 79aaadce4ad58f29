//! A drill that is interrupted: in each phase, between two streams, and before any of them.
//! It has not passed, and leaves nothing.

use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::drilling::{
    checked, drill, evidence, place, scratch_names, stream, wait_for_check, wait_for_end, write,
};
use crate::interrupts::catches_interrupts;
use crate::place::{end_of, wait_until};

#[test]
fn a_signal_ends_a_drill_in_each_phase_and_leaves_nothing() {
    let place = place(400);
    for mode in ["restore", "verify", "sample"] {
        let slow = stream("slow", "sealed.cfd", &format!("mode = \"{mode}\"\n"));
        let sample = if mode == "sample" { "sample = 400\n" } else { "" };
        write(&place, &[slow + sample, checked("true", "").replace("\"db\"", "\"later\"")]);
        let mut drilling = place.spawn(["drill", "--json", "--limit-rate", "64KiB", "drill.toml"]);
        // Its first line of progress shows that it has begun.
        let mut stderr = drilling.stderr.take().unwrap();
        std::io::Read::read_exact(&mut stderr, &mut [0; 1]).unwrap();
        send(&drilling, Signal::INT);
        let ran = end_of(drilling);
        assert_eq!(ran.code, 130, "{mode}");
        assert!(scratch_names(&place).is_empty());
        let found = evidence(&place);
        assert_eq!((&found["result"], found["exit_code"].as_u64()), (&Value::from("interrupted"), Some(130)));
        assert_eq!(found["streams"][0]["result"], "interrupted");
        assert_eq!(found["streams"][1]["result"], "not-tried");
        for stream in [0, 1] {
            let said = (&found["streams"][stream]["authenticity"], &found["streams"][stream]["pinned"]);
            assert_eq!(said, (&Value::Null, &Value::Null), "{mode}");
        }
    }
    write(&place, &[checked("sleep 1000 & echo $! >pid; echo ready >ready; wait", "")]);
    let drilling = place.spawn(["drill", "--metrics-file", "d.prom", "drill.toml"]);
    let pid = wait_for_check(&place);
    send(&drilling, Signal::TERM);
    end_of(drilling).assert_failed(143, "db: interrupted");
    wait_for_end(pid.as_raw_nonzero().get());
    assert!(scratch_names(&place).is_empty());
    assert!(!place.path("d.prom").exists(), "nothing was found out");
}

#[test]
fn a_drill_that_is_stopped_between_two_streams_has_not_passed() {
    let place = place(1);
    // Whether the check has ended by then or not: the second stream is not tried, or it is stopped.
    let later = checked("sleep 1000", "").replace("\"db\"", "\"later\"");
    write(&place, &[checked("kill -TERM $PPID", ""), later]);
    for _ in 0..5 {
        let ran = drill(&place);
        assert_eq!(ran.code, 143, "{}", ran.stderr);
        let found = evidence(&place);
        assert_eq!((&found["result"], found["exit_code"].as_u64()), (&"interrupted".into(), Some(143)));
        let later = found["streams"][1]["result"].as_str().unwrap();
        assert!(["not-tried", "interrupted"].contains(&later), "{later}");
        assert!(scratch_names(&place).is_empty());
    }
    // The signal comes to the check as well.
    write(&place, &[checked("kill -TERM $PPID $$", "")]);
    drill(&place).assert_failed(143, "db: interrupted");
    assert_eq!(evidence(&place)["streams"][0]["result"], "interrupted");
}

#[test]
fn a_signal_ends_a_drill_that_waits_for_a_key() {
    let place = place(1);
    // A terminal at whose other end nobody is. A pipe is refused.
    write(&place, &[stream("db", "sealed.cfd", "mode = \"restore\"").replace("key.txt", "/dev/ptmx")]);
    let drilling = place.spawn(["drill", "drill.toml"]);
    wait_until("the handler of signals", || catches_interrupts(&drilling));
    send(&drilling, Signal::INT);
    end_of(drilling).assert_failed(130, "cofferdam: interrupted");
    assert!(scratch_names(&place).is_empty() && !place.path("evidence.json").exists());
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}
