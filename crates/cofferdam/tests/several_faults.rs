//! Owns streams with several faults at once: both readers report the class of the first, as the reference opener does.
//! Refuses to know single faults, which are taken exhaustively elsewhere.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod reference;
mod streams;

use cofferdam::{DigestKind, Opener, Pool, Sealer, Suite};
use reference::Verdict;

use streams::map::records;
use streams::{
    FRAME, KEY, READINGS, Reading, SEGMENT, Shared, class_of, counted, identities_of, open, recipients_of,
    seal, threads,
};

/// Streams that are damaged.
const CASES: usize = 6000;

/// One fault, most often near the edge of a record: there stand the fields that decide.
fn damage(sealed: &mut Vec<u8>, edges: &[usize], rng: &mut fastrand::Rng) -> String {
    if sealed.is_empty() {
        return "nothing is left".to_owned();
    }
    let near = (rng.choice(edges).unwrap() + rng.usize(..130)).saturating_sub(64);
    let at = (if rng.usize(..4) == 0 { rng.usize(..sealed.len()) } else { near }).min(sealed.len() - 1);
    let end = (at + 1 + rng.usize(..64)).min(sealed.len());
    match rng.usize(..8) {
        0 => {
            sealed.truncate(at);
            format!("cut at {at}")
        }
        1 => {
            sealed.drain(at..end);
            format!("{at}..{end} deleted")
        }
        2 => {
            let again = sealed[at..end].to_vec();
            sealed.splice(at..at, again);
            format!("{at}..{end} doubled")
        }
        3 => {
            sealed[at..end].fill(0);
            format!("{at}..{end} zeroed")
        }
        4 => {
            sealed[at..end].fill(0xFF);
            format!("{at}..{end} set")
        }
        5 => {
            let [from, to] = [0, 1].map(|_| *rng.choice(edges).unwrap().min(&sealed.len()));
            let len = rng.usize(..200).min(sealed.len() - from.max(to));
            sealed.copy_within(from..from + len, to);
            format!("{len} bytes from {from} to {to}")
        }
        _ => {
            let bit = rng.usize(..8);
            sealed[at] ^= 1 << bit;
            format!("bit {bit} of byte {at}")
        }
    }
}

fn due(verdict: Result<reference::Opened, Verdict>) -> &'static str {
    match verdict {
        Ok(_) => "success",
        Err(Verdict::Damaged(_)) => "damaged",
        Err(Verdict::NotAStream) => "not a stream",
        Err(Verdict::Truncated) => "truncated",
        Err(Verdict::NoKey) => "no key",
        Err(Verdict::Limit) => "limit",
        Err(Verdict::Unsupported) => "unsupported",
    }
}

/// Where the stream ends as it should, a reader that starts from the index sees that a frame which wants more than is left is
/// wrong, and nothing is missing.
fn knows_by_its_index(due: &str, class: &str, bad: &[u8], good: &[u8]) -> bool {
    let ends_well = bad.len() == good.len() && bad[bad.len() - 112..] == good[good.len() - 112..];
    (due, class) == ("truncated", "damaged") && ends_well
}

/// Damages a stream in [`CASES`] ways, and holds both readers against the reference opener.
fn compare(sealer: Sealer, seed: u64) {
    let plaintext = counted(2 * SEGMENT + FRAME + 9);
    let good = seal(&sealer.frame_len(FRAME as u32).segment_len(SEGMENT as u64), plaintext.clone());
    let edges: Vec<usize> =
        records(&good).iter().map(|record| record.range.start).chain([good.len()]).collect();
    let opener = Opener::new(identities_of(KEY)).pool(Pool::new(threads(2)).unwrap());
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut classes = std::collections::BTreeMap::<_, usize>::new();
    for case in 0..CASES {
        let mut bad = good.clone();
        let faults: Vec<String> =
            (0..1 + rng.usize(..4)).map(|_| damage(&mut bad, &edges, &mut rng)).collect();
        let due = due(reference::open(&bad, &reference::Key::KeyFile(KEY)));
        let bad = Shared::new(bad);
        for reading in READINGS {
            let outcome = open(&opener, reading, bad.clone());
            let class = class_of(&outcome);
            let known = reading == Reading::Seekable && knows_by_its_index(due, class, bad.as_ref(), &good);
            assert!(class == due || known, "case {case}, {reading:?}: {class} not {due}: {faults:?}");
            assert!(
                outcome.is_err() || outcome.unwrap().1 == plaintext,
                "case {case}, {reading:?}: {faults:?}"
            );
        }
        *classes.entry(due).or_default() += 1;
    }
    println!("{CASES} damaged streams: {classes:?}");
    for class in ["damaged", "not a stream", "truncated", "no key", "limit", "unsupported", "success"] {
        assert!(classes.contains_key(class), "no stream was {class}");
    }
}

#[test]
fn the_first_fault_decides_with_aes_and_blake3() {
    compare(Sealer::new(recipients_of(KEY)).suite(Suite::Aes256Gcm), 1);
}

#[test]
fn the_first_fault_decides_with_chacha20_and_tags() {
    compare(Sealer::new(recipients_of(KEY)).suite(Suite::ChaCha20Poly1305).digest(DigestKind::Tags), 2);
}

#[test]
fn the_first_fault_decides_with_sha_256_and_metadata() {
    let sealer = Sealer::new(recipients_of(KEY)).digest(DigestKind::Sha256);
    compare(sealer.metadata("host", "db1").metadata("taken", vec![7; 3000]), 3);
}
