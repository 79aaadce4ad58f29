//! The pipeline in memory beside its bare loops, in turn, as one Markdown table of medians and ratios.
//! It knows nothing of criterion, which runs one row to its end before the next and so compares minutes, not code.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::DigestKind;
use cofferdam_bench::{Scale, Warm, Work, bytes, columns, in_turn, rows, timed};

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
    let ways: Vec<Box<dyn Fn() -> Duration + '_>> =
        rows.iter().map(|row| Box::new(|| timed(&row.run)) as Box<dyn Fn() -> Duration>).collect();
    let times = in_turn(&ways, scale.rounds(), Warm::Once);
    for (row, row_times) in rows.iter().zip(&times) {
        let columns = columns(plaintext.len(), row_times, &times[0]);
        println!("| {work:?} | {digest:?} | {threads} | {} | {columns} |", row.name);
    }
}
