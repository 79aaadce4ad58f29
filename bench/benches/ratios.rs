//! The pipeline in memory beside its bare loops, in turn, as one Markdown table of medians and ratios.
//! It knows nothing of criterion, which runs one row to its end before the next and so compares minutes, not code.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cofferdam::DigestKind;
use cofferdam_bench::{Row, Scale, Work, bytes, rows};

fn main() {
    let scale = Scale::from_arguments();
    let plaintext: Arc<[u8]> = bytes(scale.plaintext_len()).into();
    println!("{}\n", preface(scale));
    println!("| work | digest | threads | row | median GB/s | slowest to fastest | of the bare loop |");
    println!("|---|---|---|---|---|---|---|");
    for work in [Work::Open, Work::Seal] {
        for digest in [DigestKind::Tags, DigestKind::Blake3] {
            for threads in scale.threads() {
                table(scale, work, digest, threads, &plaintext);
            }
        }
    }
}

fn preface(scale: Scale) -> String {
    match scale {
        Scale::Measure => format!(
            "{} MiB, AES-256-GCM, {} rounds in turn after one to warm up; GB/s are 10^9 bytes of plaintext.",
            scale.plaintext_len() >> 20,
            scale.rounds()
        ),
        Scale::Smoke => "Everything runs; the figures mean nothing. For figures: cargo bench.".to_owned(),
    }
}

fn table(scale: Scale, work: Work, digest: DigestKind, threads: NonZeroUsize, plaintext: &Arc<[u8]>) {
    let rows = rows(work, digest, threads, plaintext);
    let times = in_turn(&rows, scale.rounds());
    let speed = |time: Duration| plaintext.len() as f64 / time.as_secs_f64() / 1e9;
    let bare = speed(median(&times[0]));
    for (row, times) in rows.iter().zip(&times) {
        let speed_median = speed(median(times));
        println!(
            "| {work:?} | {digest:?} | {threads} | {} | {speed_median:.2} | {:.2} to {:.2} | {:.2} |",
            row.name,
            speed(times[times.len() - 1]),
            speed(times[0]),
            speed_median / bare,
        );
    }
}

/// The times of each row, sorted, the rows having taken turns.
fn in_turn(rows: &[Row], rounds: usize) -> Vec<Vec<Duration>> {
    rows.iter().for_each(|row| (row.run)());
    let mut times = vec![Vec::with_capacity(rounds); rows.len()];
    for _ in 0..rounds {
        for (row, times) in rows.iter().zip(&mut times) {
            let start = Instant::now();
            (row.run)();
            times.push(start.elapsed());
        }
    }
    times.iter_mut().for_each(|times| times.sort_unstable());
    times
}

fn median(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}
