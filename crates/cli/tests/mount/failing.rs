//! What cannot be read is an error at the program that reads, said with its place; the rest can be read.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::Signal;
use servers::installed::is_skipped_without;
use servers::{FaultProxy, Nginx, Plan};

use crate::mount_process::wait_until;
use crate::place::{FRAME_LEN, Place, SEGMENT_LEN};

fn is_eio<T>(outcome: io::Result<T>) -> bool {
    outcome.is_err_and(|error| error.raw_os_error() == Some(Errno::IO.raw_os_error()))
}

fn make_files(tree: &Path) {
    let mut random = fastrand::Rng::with_seed(23);
    for (name, len) in [("big", 40 * SEGMENT_LEN), ("other", 3 * SEGMENT_LEN), ("small", 9)] {
        let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        fs::write(tree.join(name), bytes).unwrap();
    }
}

#[test]
fn a_damaged_frame_is_an_io_error_where_it_is_and_the_rest_is_read() {
    let Some(place) = Place::with_tree(make_files) else { return };
    let damaged = 20 * SEGMENT_LEN as u64;
    place.damage("big", damaged);
    let mounted = place.mount("tree.cfd");
    let (file, expected) =
        (File::open(place.path("mnt/big")).unwrap(), fs::read(place.path("tree/big")).unwrap());
    let mut buffer = vec![0; FRAME_LEN];
    assert!(is_eio(file.read_at(&mut buffer, damaged)));
    // A second time: nothing that was not authentic is kept.
    assert!(is_eio(file.read_at(&mut buffer, damaged)));
    assert!(is_eio(fs::read(place.path("mnt/big"))));
    for at in [0, damaged - 10 * FRAME_LEN as u64, damaged + 10 * FRAME_LEN as u64] {
        file.read_exact_at(&mut buffer, at).unwrap();
        assert!(buffer == expected[at as usize..][..FRAME_LEN]);
    }
    for name in ["other", "small"] {
        assert!(
            fs::read(place.path("mnt").join(name)).unwrap()
                == fs::read(place.path("tree").join(name)).unwrap()
        );
    }
    let ended = mounted.end(Signal::TERM);
    // Whoever has failed holds it open no longer than the reads above.
    drop(file);
    let first = ended.errors.lines().next().unwrap();
    let said: serde_json::Value = serde_json::from_str(first).unwrap();
    let message = said["message"].as_str().unwrap();
    assert!(said["event"] == "warning" && message.starts_with("big at byte "), "{message}");
    assert!(message.contains("could not be read") && message.contains("segment "), "{message}");
}

#[test]
fn a_stream_that_changes_under_a_mount_gives_its_old_bytes_or_errors() {
    let Some(place) = Place::with_tree(make_files) else { return };
    let mounted = place.mount("tree.cfd");
    let expected = fs::read(place.path("tree/big")).unwrap();
    let file = File::open(place.path("mnt/big")).unwrap();
    let mut first = [0; 100];
    file.read_exact_at(&mut first, 0).unwrap();
    // Another stream of the same length and key, in the same file.
    let other: Vec<u8> = expected.iter().map(|byte| !byte).collect();
    fs::write(place.path("tree/big"), other).unwrap();
    let length = fs::metadata(place.path("tree.cfd")).unwrap().len();
    let sealed = place.path("tree.cfd");
    fs::rename(&sealed, place.path("old.cfd")).unwrap();
    place.seal_tree();
    fs::copy(&sealed, place.path("old.cfd")).unwrap();
    assert_eq!(fs::metadata(place.path("old.cfd")).unwrap().len(), length);
    let mut buffer = vec![0; FRAME_LEN];
    let mut errors = 0;
    for at in (0..expected.len() - FRAME_LEN).step_by(SEGMENT_LEN / 2) {
        match file.read_at(&mut buffer, at as u64) {
            Ok(count) => assert!(buffer[..count] == expected[at..at + count]),
            failed => errors += u32::from(is_eio(failed)),
        }
    }
    // What the kernel or the program kept is right, and that is not all of it.
    assert!(errors > 10, "{errors}");
    wait_until("the warning", || mounted.said().contains("could not be read"));
}

#[test]
fn a_server_that_does_not_answer_is_an_io_error_in_time_and_can_be_unmounted() {
    if is_skipped_without(&["nginx"]) {
        return;
    }
    let Some(place) = Place::with_tree(make_files) else { return };
    fs::create_dir(place.path("www")).unwrap();
    fs::rename(place.path("tree.cfd"), place.path("www/tree.cfd")).unwrap();
    let nginx = Nginx::start(&place.path("www")).unwrap();
    let proxy = FaultProxy::start(nginx.address(), Plan::none()).unwrap();
    let mounted = place.mount_with(&proxy.url("/tree.cfd"), &["--timeout", "2s", "--memory", "16MiB"]);
    let file = File::open(place.path("mnt/big")).unwrap();
    let mut buffer = vec![0; FRAME_LEN];
    // On a busy machine a read may come to its limit on its own: it is made again.
    wait_until("the first bytes", || file.read_exact_at(&mut buffer, 0).is_ok());
    proxy.set_outage(true);
    assert!(is_eio(file.read_at(&mut buffer, 30 * SEGMENT_LEN as u64)));
    // What ended it is its own limit, however many times the kernel has asked.
    wait_until("the warning", || mounted.said().contains("it had not come after 2 s, and was given up"));
    // It comes back, and so does the file.
    proxy.set_outage(false);
    wait_until("the others", || file.read_exact_at(&mut buffer, 30 * SEGMENT_LEN as u64).is_ok());
    assert!(buffer == fs::read(place.path("tree/big")).unwrap()[30 * SEGMENT_LEN..][..FRAME_LEN]);
    drop(file);
    mounted.end_unused(Signal::TERM).assert_done("clean");
}
