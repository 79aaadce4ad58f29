//! What a random get takes through a mount, through the file system over the sealed tree, and out of the restored directory, in turns. It asserts
//! no time.

use std::path::Path;

use crate::rocksdb::{Place, recipient_of, text};

#[test]
fn what_a_get_through_a_mount_costs() {
    // Minutes, and nothing but figures: for whoever asks for them.
    if std::env::var_os("COFFERDAM_ENGINES_COSTS").is_none() {
        return;
    }
    // On a disk.
    let Some(place) = Place::new(Some(Path::new(env!("CARGO_TARGET_TMPDIR"))), 2 << 30) else { return };
    place.restore();
    let Some(_mounted) = place.mount() else { return };
    let micros = |database: &str, times: &str| -> f64 {
        text(&place.rocksdb(&["gets", database, times])).trim().parse().unwrap()
    };
    println!("random gets of 1 KiB | microseconds through the mount | out of the directory | ratio");
    // The first ones find nothing in memory: neither the kernel nor the program has read it.
    for (round, times) in
        [("first 20,000", "20000"), ("again", "20000"), ("200,000", "200000"), ("again", "200000")]
    {
        let (mounted, restored) = (micros("mnt", times), micros("restored", times));
        println!("{round} | {mounted:.1} | {restored:.1} | {:.2}", mounted / restored);
    }
}

#[test]
fn what_a_get_out_of_the_sealed_tree_costs() {
    if std::env::var_os("COFFERDAM_ENGINES_COSTS").is_none() {
        return;
    }
    let Some(place) = Place::new(Some(Path::new(env!("CARGO_TARGET_TMPDIR"))), 2 << 30) else { return };
    place.restore();
    // As the command seals it where nothing is said.
    let recipient = recipient_of(&place);
    let seal = ["seal", "-q", "--state-dir", "state", "-r", &recipient, "-o", "compressed.cfd", "checkpoint"];
    text(&place.run(env!("CARGO_BIN_EXE_cofferdam"), &seal));
    let micros = |database: &str, times: &str, threads: &str| -> f64 {
        text(&place.rocksdb(&["gets", database, times, threads])).trim().parse().unwrap()
    };
    println!("random gets of 1 KiB | microseconds out of the sealed tree | out of the directory | ratio");
    for sealed in ["sealed.cfd", "compressed.cfd"] {
        for (times, threads) in [("20000", "1"), ("20000", "2"), ("100000", "1")] {
            // What the page cache has of either is there from then on.
            micros("restored", times, threads);
            for _ in 0..3 {
                let (there, restored) = (micros(sealed, times, threads), micros("restored", times, threads));
                let ratio = there / restored;
                println!("{sealed}: {times} by each of {threads} | {there:.1} | {restored:.1} | {ratio:.2}");
            }
        }
    }
}
