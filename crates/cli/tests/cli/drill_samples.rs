//! A drill that opens a sample of a stream's segments.

use std::fs;

use crate::drilling::{drill, evidence, place, stream, write};

#[test]
fn a_sample_finds_damage_where_it_looks_and_says_where_that_was() {
    let place = place(6);
    place.damage_segment(4);
    write(&place, &[stream("db", "sealed.cfd", "mode = \"sample\"\nsample = 6")]);
    drill(&place).assert_failed(3, "segment 4");
    let damaged = stream("db", "sealed.cfd", "mode = \"sample\"\nsample = 1");
    let mut outcomes = [0; 2];
    // That one of the two does not come in 60 draws has a chance of less than 1 in 50,000.
    for _ in 0..60 {
        write(&place, std::slice::from_ref(&damaged));
        let ran = drill(&place);
        let said = evidence(&place)["streams"][0].take();
        match said["sample"]["segments"][0].as_u64() {
            Some(drawn) => assert!(ran.code == 0 && drawn != 4, "{drawn}: {}", ran.stderr),
            None => assert_eq!(ran.code, 3, "{}", ran.stderr),
        }
        outcomes[usize::from(ran.code == 3)] += 1;
        if !outcomes.contains(&0) {
            return;
        }
    }
    panic!("no sample was drawn at random: {outcomes:?}");
}

#[test]
fn a_sample_tries_its_keys_no_more_often_the_more_segments_it_draws() {
    let place = place(40);
    let mut sealed = place.read("sealed.cfd");
    // Whoever opens the key area says that its first copy is damaged.
    sealed[4096 + 100] ^= 1;
    fs::write(place.path("sealed.cfd"), sealed).unwrap();
    let openings = |segments: u64| {
        write(&place, &[stream("db", "sealed.cfd", &format!("mode = \"sample\"\nsample = {segments}"))]);
        let ran = drill(&place);
        ran.assert_done();
        ran.stderr.matches("key copy 0").count()
    };
    // Of 20 of 40, some are no neighbours.
    let one = openings(1);
    assert!(one > 0);
    assert_eq!(openings(20), one);
}
