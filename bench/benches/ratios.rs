//! The pipeline in memory beside its bare loop, in turn: as a Markdown table by what can be chosen, or as lines for `--tsv`.
//! It knows no file, and chooses no default.
//!
//! Its rows go by threads, into memory or nowhere, by frames, segments and suites; words behind `--` name those that are wanted. `--tsv [KEY…]` prints
//! `KEY`, our time beside the bare loop's, and the spread, with tabs between: what `cargo xtask bench-gate` reads.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cofferdam::{DigestKind, Suite};
use cofferdam_bench::{Scale, Setting, Work, bare, bytes, is_wanted, pipeline, speeds, times};
use harness::{Effort, WarmUp, ratio};

fn main() {
    let scale = Scale::from_arguments();
    let plaintext: Arc<[u8]> = bytes(scale.plaintext_len()).into();
    if std::env::args().any(|argument| argument == "--tsv") {
        return lines(scale, &plaintext);
    }
    let about = format!(
        "{} MiB, {TABLE_ROUNDS} rounds in turn after one to warm up; GB/s are 10^9 bytes of plaintext. AES-256-GCM, frames of \
         64 KiB, segments of 8 MiB and all cores where nothing else is said. The ratio is the median of those of the rounds; \
         between the quartiles lies half of them.",
        scale.plaintext_len() >> 20
    );
    println!("{}", scale.preface(about));
    println!(
        "\n| work | digest | setting | bare loop GB/s | slowest to fastest | pipeline GB/s | slowest to fastest | of the bare \
         loop | quartiles |\n|---|---|---|---|---|---|---|---|---|"
    );
    for (_, kinds, digests, points) in GROUPS.into_iter().filter(|(name, ..)| is_wanted(name)) {
        for (work, digest) in works(kinds, digests) {
            points(digest).iter().for_each(|point| row(scale, work, point, &plaintext));
        }
    }
}

/// A name, kinds of work, digests, and the settings for a digest.
type Group = (&'static str, &'static [Work], &'static [DigestKind], fn(DigestKind) -> Vec<Point>);

const GROUPS: [Group; 5] = [
    ("threads", &BOTH_WAYS, &[DigestKind::Tags, DigestKind::Blake3], threads),
    ("memory", &[Work::OpenInto], &[DigestKind::Tags, DigestKind::Blake3], threads),
    ("frames", &BOTH_WAYS, &[DigestKind::Tags, DigestKind::Blake3], frames),
    ("segments", &BOTH_WAYS, &[DigestKind::Blake3], segments),
    ("suites", &BOTH_WAYS, &[DigestKind::Blake3, DigestKind::Sha256], suites),
];

const BOTH_WAYS: [Work; 2] = [Work::Open, Work::Seal];

/// One setting, and how it is called in the table.
type Point = (String, Setting);

fn works(kinds: &[Work], digests: &[DigestKind]) -> impl Iterator<Item = (Work, DigestKind)> {
    kinds.iter().flat_map(move |work| digests.iter().map(move |digest| (*work, *digest)))
}

/// One thread, and as many as the machine runs at once.
fn threads(digest: DigestKind) -> Vec<Point> {
    let mut counts = vec![NonZeroUsize::MIN, all()];
    counts.dedup();
    counts.into_iter().map(|count| (format!("threads: {count}"), Setting::new(digest, count))).collect()
}

fn frames(digest: DigestKind) -> Vec<Point> {
    let setting = |frame_len| Setting { frame_len, ..Setting::new(digest, all()) };
    [4, 64, 4096].map(|kib| (format!("frames: {kib} KiB"), setting(kib << 10))).into()
}

fn segments(digest: DigestKind) -> Vec<Point> {
    let setting = |segment_len| Setting { segment_len, ..Setting::new(digest, all()) };
    [1, 8, 1024].map(|mib| (format!("segments: {mib} MiB"), setting(mib << 20))).into()
}

fn suites(digest: DigestKind) -> Vec<Point> {
    let suites = [Suite::Aes256Gcm, Suite::ChaCha20Poly1305];
    suites.map(|suite| (format!("suite: {suite:?}"), Setting { suite, ..Setting::new(digest, all()) })).into()
}

fn row(scale: Scale, work: Work, (name, setting): &Point, plaintext: &Arc<[u8]>) {
    let [bare, ours] = both(work, setting, plaintext, scale.choose(TABLE_ROUNDS, 1));
    let ratio = ratio(&ours, &bare);
    println!(
        "| {work:?} | {:?} | {name} | {} | {} | {:.2} | {:.0} % |",
        setting.digest,
        speeds(plaintext.len(), &bare),
        speeds(plaintext.len(), &ours),
        // The gate has times, in which more is worse; a table of speeds has it the other way round.
        ratio.median.recip(),
        ratio.spread() * 100.0
    );
}

fn lines(scale: Scale, plaintext: &Arc<[u8]>) {
    for (work, digest) in works(&[Work::Open, Work::OpenInto, Work::Seal], GROUPS[0].2) {
        for (_, setting) in threads(digest) {
            let key = format!("{work:?}.memory.{digest:?}.{}.bare", setting.threads).to_lowercase();
            if is_wanted(&key) {
                let [bare, ours] = both(work, &setting, plaintext, scale.choose(LINE_ROUNDS, 1));
                let ratio = ratio(&ours, &bare);
                println!("{key}\t{:.4}\t{:.4}", ratio.median, ratio.spread());
            }
        }
    }
}

/// The times of the bare loop and of the pipeline.
fn both(work: Work, setting: &Setting, plaintext: &Arc<[u8]>, rounds: usize) -> [Vec<Duration>; 2] {
    let mut ways = [bare(work, setting, plaintext), pipeline(work, setting, plaintext)];
    times(&mut ways, Effort::of(rounds, WarmUp::FirstRound))
        .try_into()
        .expect("two ways have two lists of times")
}

fn all() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// A table's rows say roughly what each thing costs; a line is compared with what it was.
const TABLE_ROUNDS: usize = 15;
const LINE_ROUNDS: usize = 41;
