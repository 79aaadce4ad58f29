//! What it costs to make segments durable as they commit, in groups, or at the end alone: one restore to a disk, in turn.
//! It knows no disk; where the files go is for its caller to say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use cofferdam::{BytesSource, Durability, Identities, MemorySink, Opener, Recipients, Sealer, WrappingKey};
use cofferdam_bench::{Scale, Warm, bytes, columns, in_turn, timed};

fn main() {
    let scale = Scale::from_arguments();
    let parent = env::var_os(DIRECTORY).map_or_else(env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(&parent).expect("the directory can be written");
    let (len, rounds) = stream(scale);
    let (sink, sealed) = MemorySink::new();
    let recipients = Recipients::new().wrapping_key(WrappingKey::from_bytes(KEY));
    Sealer::new(recipients).seal(BytesSource::new(bytes(len)), sink).expect(WORKS);
    let sealed: Arc<[u8]> = sealed.take().expect(WORKS).into();

    let target = directory.path().join("target");
    let way = |durability| -> Box<dyn Fn() -> Duration + '_> {
        let identities = Identities::new().wrapping_key(WrappingKey::from_bytes(KEY));
        let opener = Opener::new(identities).durability(durability);
        let (sealed, target) = (&sealed, &target);
        Box::new(move || {
            let source = BytesSource::new(sealed.clone());
            let time = timed(|| drop(opener.restore_to(source, target).expect(WORKS)));
            fs::remove_file(target).expect(WORKS);
            time
        })
    };
    let group = |mib: u64| Durability::Group { bytes: mib << 20, interval: Duration::from_secs(5) };
    let rows = [
        ("at the end alone", Durability::AtFinish),
        ("groups of 256 MiB or 5 s (default)", group(256)),
        ("groups of 64 MiB", group(64)),
        ("each segment of 8 MiB", Durability::Each),
    ];
    let times = in_turn(&rows.map(|(_, durability)| way(durability)), rounds, Warm::EachTurn);
    println!(
        "{} MiB to {}, {rounds} rounds in turn, each after one that is not timed.\n",
        len >> 20,
        parent.display()
    );
    println!("| made durable | median GB/s | slowest to fastest | of the first row |");
    println!("|---|---|---|---|");
    for ((name, _), row) in rows.iter().zip(&times) {
        println!("| {name} | {} |", columns(len, row, &times[0]));
    }
}

/// Bytes and rounds: some groups, or a segment and a byte.
fn stream(scale: Scale) -> (usize, usize) {
    match scale {
        Scale::Measure => (1 << 30, 9),
        Scale::Smoke => (scale.plaintext_len(), 1),
    }
}

const KEY: [u8; 32] = [7; 32];
/// Where the files go; without it, where temporary files do.
const DIRECTORY: &str = "COFFERDAM_BENCH_DIRECTORY";
const WORKS: &str = "nothing fails here that the bench is about";
