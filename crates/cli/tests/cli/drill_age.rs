//! How old a stream is, as its sealer says, and may be.

use serde_json::Value;

use crate::drilling::{drill, evidence, place, stream, write};

#[test]
fn an_old_stream_and_one_of_no_known_age_are_14_before_anything_is_restored() {
    let place = place(1);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seal = |name: &str, more: &[&str]| {
        let seal = ["seal", "-r", &place.recipient, "-o", name, "plain"];
        place.run(seal.iter().chain(more)).assert_done();
    };
    seal("old.cfd", &["--sequence", &(now - 200_000).to_string()]);
    seal("future.cfd", &["--sequence", &(now * 1000).to_string()]);
    seal("noted.cfd", &["--metadata", &format!("taken={}", now - 3700)]);
    let by_sequence = "max_age = \"2d\"\nsequence_is_time = true";
    let by_pair = |max: &str| format!("max_age = \"{max}\"\ntime_metadata = \"taken\"");
    for (sealed, rule, words) in [
        ("old.cfd", by_sequence, "it was sealed 2 d 7 h ago, and `max_age` is 2 d"),
        ("sealed.cfd", by_sequence, "has no sequence number, so its age is not known"),
        ("future.cfd", by_sequence, "lies in the future"),
        ("noted.cfd", &by_pair("1h"), "it was sealed 1 h … min ago, and `max_age` is 1 h"),
        ("sealed.cfd", &by_pair("1h"), "has no time under `taken` in its metadata"),
    ] {
        for mode in ["restore", "verify", "sample"] {
            write(&place, &[stream("db", sealed, &format!("mode = \"{mode}\"\n{rule}"))]);
            let ran = drill(&place);
            // A minute may begin meanwhile.
            words.split(" … ").for_each(|words| ran.assert_failed(14, words));
            let said = evidence(&place)["streams"][0].take();
            assert_eq!(said["open_seconds"], Value::Null, "{sealed}, {mode}");
        }
    }
    write(&place, &[stream("db", "noted.cfd", &format!("mode = \"verify\"\n{}", by_pair("2h")))]);
    drill(&place).assert_done();
    let said = evidence(&place)["streams"][0].take();
    assert!(said["age_seconds"].as_u64().unwrap() >= 3700, "{said}");
}
