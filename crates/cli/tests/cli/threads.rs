//! How many threads may be asked for.
//! What they do is the library's.

use std::thread;

use crate::place::Place;

#[test]
fn more_threads_than_any_machine_uses_are_refused_before_one_is_made() {
    let place = Place::with_sealed(1);
    for count in ["0", "-1", "1025", "100000", "18446744073709551616", "many"] {
        for command in [
            &["verify", "sealed.cfd"][..],
            &["restore", "-i", "key.txt", "sealed.cfd", "made"],
            &["seal", "-R", "absent", "-o", "made", "plain"],
            &["bench", "--quick"],
            &["demo", "plain"],
        ] {
            let threads = format!("--threads={count}");
            let ran = place.run(command.iter().copied().chain([&*threads]));
            ran.assert_failed(2, "a number of threads is a whole number from 1 to 1024");
        }
    }
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd"]);
}

#[test]
fn more_than_four_threads_for_a_processor_are_warned_about() {
    let place = Place::with_sealed(1);
    let useful = 4 * thread::available_parallelism().unwrap().get();
    for (threads, is_warned) in [(useful, false), (useful + 1, true), (1024, 1024 > useful)] {
        if threads > 1024 {
            continue;
        }
        let threads = threads.to_string();
        let ran = place.run(["verify", "-i", "key.txt", "sealed.cfd", "--threads", &threads]);
        ran.assert_done();
        assert_eq!(ran.stderr.contains("warning"), is_warned, "{threads}: {}", ran.stderr);
        assert_eq!(ran.stderr.contains(&format!("{threads} threads")), is_warned, "{}", ran.stderr);
        let quiet = place.run(["verify", "-q", "-i", "key.txt", "sealed.cfd", "--threads", &threads]);
        assert_eq!(quiet.stderr, "");
    }
}
