//! What a receiver counts is what has come, what was kept, and what the target has of it.

use crate::metrics::{assert_is_understood, figures};
use crate::place::{Place, SEGMENT_LEN};
use crate::receiving::{Fed, Receiver, restored_from, wait_for_checkpoint};

#[test]
fn a_receiver_counts_what_has_come_and_apart_from_it_what_an_earlier_one_has_kept() {
    let place = Place::with_sealed(6);
    let plain_len = place.read("plain").len() as f64;
    let listen = |metrics| Receiver::start(&place, &["--listen", "unix:socket", "--metrics-file", metrics]);
    let of =
        |file: &str, name: &str| figures(&place, file)[&format!("cofferdam_{name}{{operation=\"receive\"}}")];
    let ended = |file: &str, outcome: &str| {
        figures(&place, file)
            [&format!("cofferdam_streams_total{{operation=\"receive\",outcome=\"{outcome}\"}}")]
    };
    let first = listen("first.prom");
    let sender = Fed::start(&place, 3);
    wait_for_checkpoint(&place, 2 * SEGMENT_LEN as u64);
    assert_eq!(first.interrupt(), 130);
    assert_ne!(sender.end(), 0);
    let second = listen("second.prom");
    let kept = restored_from(&place) as f64;
    assert_eq!(second.end().0, 0);
    assert!(place.read("target") == place.read("plain"));

    let segments = kept / SEGMENT_LEN as f64;
    for (name, value) in [
        ("committed_bytes_total", kept),
        ("committed_segments_total", segments),
        ("durable_bytes_total", kept),
        ("segment_duration_seconds_count", segments),
        ("reused_bytes_total", 0.0),
    ] {
        assert_eq!(of("first.prom", name), value, "{name}");
    }
    assert!(of("first.prom", "written_bytes_total") >= kept);
    assert_eq!((ended("first.prom", "complete"), ended("first.prom", "failed")), (0.0, 1.0));
    for (name, value) in [
        ("reused_bytes_total", kept),
        ("read_bytes_total", plain_len - kept),
        ("written_bytes_total", plain_len - kept),
        ("committed_bytes_total", plain_len - kept),
        ("committed_segments_total", 6.0 - segments),
        ("rolled_back_segments_total", 0.0),
    ] {
        assert_eq!(of("second.prom", name), value, "{name}");
    }
    assert_eq!((ended("second.prom", "complete"), ended("second.prom", "failed")), (1.0, 0.0));
    let figures = figures(&place, "second.prom");
    for stage in ["write", "commit", "publish"] {
        let series = format!("cofferdam_stage_seconds_total{{operation=\"receive\",stage=\"{stage}\"}}");
        assert!(figures[&series] > 0.0, "{series}");
    }
    assert_eq!(figures["cofferdam_run_info{command=\"receive\"}"], 1.0);
    assert_eq!(figures["cofferdam_committed_bytes_total{operation=\"open\"}"], 0.0);
    assert_is_understood(&place, "first.prom");
    assert_is_understood(&place, "second.prom");
}
