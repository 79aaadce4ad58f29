//! Files with holes: what is not read when they are sealed, and what a restore takes of the disk.
//! What a sink does with zeros is tested where it is.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use crate::place::{Place, SMALL, plaintext};

const LEN: u64 = (8 << 20) + 100;
const DATA_LEN: usize = 10_000;

/// A file of `len` bytes that is a hole but for some bytes at these places.
fn sparse_file(path: &Path, len: u64, places: &[u64]) {
    let file = File::create(path).unwrap();
    file.set_len(len).unwrap();
    places.iter().for_each(|place| file.write_all_at(&plaintext(DATA_LEN), *place).unwrap());
}

/// Bytes that a file takes of its disk.
fn taken(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// The most that so many bytes of data at this many places take, with what a file system needs to find them.
fn taken_max(places: usize) -> u64 {
    (64 << 10) + places as u64 * (DATA_LEN as u64 + 2 * 4096)
}

#[test]
fn a_restored_file_has_the_holes_of_the_one_that_was_sealed_unless_they_are_to_be_written() {
    let place = Place::new();
    let [plain, restored] = ["plain", "restored"].map(|name| place.path(name));
    for places in [&[][..], &[0], &[LEN - DATA_LEN as u64], &[4096 * 77 - 5, 4096 * 900]] {
        sparse_file(&plain, LEN, places);
        for zstd in [&[][..], &["--zstd"]] {
            let seal = ["seal", "--force", "-r", &place.recipient, "plain"];
            place.run(seal.iter().chain(zstd)).assert_done();
            for (sparse, most, least) in [
                (&[][..], taken_max(places.len()), 0),
                (&["--sparse", "auto"], taken_max(places.len()), 0),
                (&["--sparse", "never"], u64::MAX, LEN),
            ] {
                let restore = ["restore", "--force", "-i", "key.txt", "plain.cfd", "restored"];
                place.run(restore.iter().chain(sparse)).assert_done();
                assert!(fs::read(&restored).unwrap() == fs::read(&plain).unwrap(), "{places:?} {zstd:?}");
                let found = taken(&restored);
                assert!((least..=most).contains(&found), "{places:?} {zstd:?} {sparse:?}: {found}");
            }
        }
    }
}

#[test]
fn from_pipes_on_both_ways_holes_are_left_as_well() {
    let place = Place::new();
    sparse_file(&place.path("plain"), LEN, &[4096 * 77 - 5]);
    let line = "cat plain | cofferdam seal -r $R - | cofferdam restore -i key.txt - restored";
    place.shell(line).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    assert!(taken(&place.path("restored")) <= taken_max(1));
    // A file on standard input has a position that is not ours to move.
    place
        .shell("cofferdam seal -r $R - < plain > sealed && cofferdam verify -i key.txt sealed")
        .assert_done();
    place.run(["restore", "--force", "-i", "key.txt", "sealed", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
}

#[test]
fn a_restore_that_was_cut_off_goes_on_over_its_holes() {
    let place = Place::new();
    let plain = place.path("plain");
    // The segment in the middle is data, so that it can be damaged; zeros are before and behind it.
    sparse_file(&plain, 40 * 16_384, &[16_384 * 20]);
    for zstd in [&[][..], &["--zstd"]] {
        let seal = ["seal", "--force", "-r", &place.recipient, "-o", "sealed.cfd", "plain"];
        place.run(seal.iter().chain(zstd).copied().chain(SMALL)).assert_done();
        let good = place.read("sealed.cfd");
        place.damage_segment(20);
        let restore =
            ["restore", "--force", "--durability", "each", "-i", "key.txt", "sealed.cfd", "restored"];
        place.run(restore).assert_failed(3, "segment 20");
        let [staging] = [".restored.cofferdam-staging"].map(|name| place.path(name));
        assert!(taken(&staging) <= taken_max(1), "{zstd:?}: {}", taken(&staging));
        fs::write(place.path("sealed.cfd"), &good).unwrap();
        let resumed = place.run(restore);
        resumed.assert_done();
        assert!(resumed.text().contains("kept from before"), "{}", resumed.text());
        assert!(place.read("restored") == place.read("plain"));
        assert!(
            taken(&place.path("restored")) <= taken_max(1),
            "{zstd:?}: {}",
            taken(&place.path("restored"))
        );
    }
}

/// `COFFERDAM_SPARSE_GIB=100` makes it as long as the file of the published figures.
#[test]
fn a_long_file_of_little_data_is_a_short_stream_and_takes_little_room() {
    let gib = env::var("COFFERDAM_SPARSE_GIB").map_or(2, |gib| gib.parse().unwrap());
    let place = Place::new();
    let [plain, restored] = ["plain", "restored"].map(|name| place.path(name));
    let places: Vec<u64> = (0..gib).map(|number| (number << 30) + 4096 * 1234).collect();
    sparse_file(&plain, gib << 30, &places);
    place.run(["seal", "--zstd", "-r", &place.recipient, "plain"]).assert_done();
    let sealed_len = fs::metadata(place.path("plain.cfd")).unwrap().len();
    assert!(sealed_len <= gib * (2 << 20), "{sealed_len} bytes for {gib} GiB");
    place.run(["verify", "-i", "key.txt", "plain.cfd"]).assert_done();
    place.run(["restore", "-i", "key.txt", "plain.cfd", "restored"]).assert_done();
    assert_eq!(fs::metadata(&restored).unwrap().len(), gib << 30);
    assert!(taken(&restored) <= taken_max(places.len()), "{}", taken(&restored));
    let file = File::open(&restored).unwrap();
    let mut found = vec![0; DATA_LEN];
    for place in places {
        file.read_exact_at(&mut found, place).unwrap();
        assert!(found == plaintext(DATA_LEN), "at {place}");
    }
}
