//! The pipeline in memory beside its bare loop, pair by pair, as a Markdown table, or as lines of ratios for `--tsv`.
//! It knows nothing of criterion, which runs one row to its end before the next and so compares minutes, not code.
//!
//! `--tsv [KEY…]` prints `KEY`, our time beside the bare loop's, and the spread, with tabs between: what
//! `cargo xtask bench-gate` reads.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use cofferdam::DigestKind;
use cofferdam_bench::{
    Pairs, Parts, Row, Scale, Setting, Work, bare_rows, bytes, pipeline_row, rows, speeds, timed,
};

fn main() {
    let scale = Scale::from_arguments();
    let plaintext: Arc<[u8]> = bytes(scale.plaintext_len()).into();
    if std::env::args().any(|argument| argument == "--tsv") {
        lines(scale, &plaintext);
    } else {
        tables(scale, &plaintext);
    }
}

fn tables(scale: Scale, plaintext: &Arc<[u8]>) {
    println!("{}\n", preface(scale));
    println!(
        "| work | digest | threads | row | median GB/s | slowest to fastest | of the bare loop | quartiles |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for case in cases(scale) {
        case.table(pairs(scale, TABLE_PAIRS), plaintext);
    }
}

fn lines(scale: Scale, plaintext: &Arc<[u8]>) {
    let parts = Parts::from_arguments();
    for case in cases(scale).filter(|case| parts.has(&case.key())) {
        let setting = Setting::new(case.digest, case.threads);
        let bare = bare_rows(case.work, &setting, plaintext);
        let ours = pipeline_row(case.work, &setting, plaintext);
        let ratio = beside(&bare[0], &ours, pairs(scale, LINE_PAIRS)).ratio();
        println!("{}\t{:.4}\t{:.4}", case.key(), ratio.median, ratio.spread);
    }
}

fn preface(scale: Scale) -> String {
    match scale {
        Scale::Measure => format!(
            "{} MiB, AES-256-GCM, {} pairs of runs after one to warm up, each row side by side with the bare loop; GB/s \
             are 10^9 bytes of plaintext. The ratio is the median of the pairs' ratios; between the quartiles lies \
             half of them.",
            scale.plaintext_len() >> 20,
            pairs(scale, TABLE_PAIRS)
        ),
        Scale::Smoke => "Everything runs; the figures mean nothing. For figures: cargo bench.".to_owned(),
    }
}

/// One kind of work, on so many threads.
struct Case {
    work: Work,
    digest: DigestKind,
    threads: NonZeroUsize,
}

fn cases(scale: Scale) -> impl Iterator<Item = Case> {
    let works = [Work::Open, Work::Seal].into_iter();
    let works = works.flat_map(|work| [DigestKind::Tags, DigestKind::Blake3].map(|digest| (work, digest)));
    works.flat_map(move |(work, digest)| {
        scale.threads().into_iter().map(move |threads| Case { work, digest, threads })
    })
}

impl Case {
    fn key(&self) -> String {
        format!("{:?}.memory.{:?}.{}.bare", self.work, self.digest, self.threads).to_lowercase()
    }

    fn table(&self, pairs: usize, plaintext: &Arc<[u8]>) {
        let rows = rows(self.work, self.digest, self.threads, plaintext);
        let (bare, others) = rows.split_first().expect("the bare loop is always there");
        for (index, row) in others.iter().enumerate() {
            let pairs = beside(bare, row, pairs);
            if index == 0 {
                self.line(plaintext.len(), bare.name, &pairs.others(), "1.00 | ");
            }
            let ratio = pairs.ratio();
            // The gate has times, in which more is worse; a table of speeds has it the other way round.
            let speed = format!("{:.2} | {:.0} %", ratio.median.recip(), ratio.spread * 100.0);
            self.line(plaintext.len(), row.name, &pairs.ours(), &speed);
        }
    }

    fn line(&self, len: usize, name: &str, times: &[Duration], ratio: &str) {
        let Case { work, digest, threads } = self;
        println!("| {work:?} | {digest:?} | {threads} | {name} | {} | {ratio} |", speeds(len, times));
    }
}

fn beside(bare: &Row, ours: &Row, count: usize) -> Pairs {
    Pairs::measure(|| timed(&bare.run), || timed(&ours.run), count)
}

fn pairs(scale: Scale, measured: usize) -> usize {
    match scale {
        Scale::Measure => measured,
        Scale::Smoke => 1,
    }
}

/// A table's rows say roughly what each thing costs; a line is compared with what it was.
const TABLE_PAIRS: usize = 15;
const LINE_PAIRS: usize = 41;
