//! The pipeline in memory by frame size, segment size, threads, digest and suite, each beside its bare loops.
//! It knows no file, and chooses no default; every point of a curve takes turns with all others of it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cofferdam::{DigestKind, Suite};
use cofferdam_bench::{
    Parts, Row, Scale, Setting, Warm, Work, bare_rows, bytes, in_turn, pipeline_row, timed,
};
use framing::limits::{FRAME_LEN_MAX, FRAME_LEN_MIN};

fn main() {
    let (scale, parts) = (Scale::from_arguments(), Parts::from_arguments());
    let plaintext: Arc<[u8]> = bytes(scale.plaintext_len()).into();
    println!("{}", preface(scale));
    for (name, points) in [
        ("frames", frames as fn(DigestKind) -> Vec<Point>),
        ("segments", segments),
        ("threads", threads),
        ("suites", suites),
    ] {
        if parts.has(name) {
            curves(scale, name, &plaintext, points);
        }
    }
}

fn preface(scale: Scale) -> String {
    match scale {
        Scale::Measure => format!(
            "{} MiB; AES-256-GCM and all cores, where nothing else is said; {} rounds in turn after one to warm up; \
             GB/s are 10^9 bytes of plaintext.",
            scale.plaintext_len() >> 20,
            scale.rounds()
        ),
        Scale::Smoke => "Everything runs; the figures mean nothing. For figures: cargo bench.".to_owned(),
    }
}

/// One setting, and how it is called in its curve.
type Point = (String, Setting);

fn frames(digest: DigestKind) -> Vec<Point> {
    let lens = std::iter::successors(Some(FRAME_LEN_MIN), |len| Some(len * 2));
    let lens = lens.take_while(|len| *len <= FRAME_LEN_MAX);
    let setting = |frame_len| Setting { frame_len, ..Setting::new(digest, all()) };
    lens.map(|len| (format!("{} KiB", len >> 10), setting(len as usize))).collect()
}

fn segments(digest: DigestKind) -> Vec<Point> {
    let setting = |segment_len| Setting { segment_len, ..Setting::new(digest, all()) };
    SEGMENT_MIB.map(|mib| (format!("{mib} MiB"), setting(mib << 20))).into()
}

fn threads(digest: DigestKind) -> Vec<Point> {
    let counts = (1..=all().get()).filter_map(NonZeroUsize::new);
    counts.map(|count| (count.to_string(), Setting::new(digest, count))).collect()
}

fn suites(digest: DigestKind) -> Vec<Point> {
    let suites = [Suite::Aes256Gcm, Suite::ChaCha20Poly1305];
    suites.map(|suite| (format!("{suite:?}"), Setting { suite, ..Setting::new(digest, all()) })).into()
}

fn curves(scale: Scale, name: &str, plaintext: &Arc<[u8]>, points: impl Fn(DigestKind) -> Vec<Point>) {
    println!(
        "\n| work | digest | {name} | bare loop GB/s | input where it lies GB/s | pipeline GB/s | slowest to fastest \
         | of the bare loop |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for work in [Work::Open, Work::Seal] {
        for digest in [DigestKind::Tags, DigestKind::Blake3, DigestKind::Sha256] {
            if digest != DigestKind::Sha256 || name == "suites" {
                curve(scale, work, plaintext, &points(digest));
            }
        }
    }
}

/// Prints the rows of `points`, which share work and digest.
fn curve(scale: Scale, work: Work, plaintext: &Arc<[u8]>, points: &[Point]) {
    let ways: Vec<Row> = points
        .iter()
        .flat_map(|(_, setting)| {
            let mut ways = bare_rows(work, setting, plaintext);
            ways.push(pipeline_row(work, setting, plaintext));
            ways
        })
        .collect();
    let timed_ways: Vec<Box<dyn Fn() -> Duration + '_>> =
        ways.iter().map(|way| Box::new(|| timed(&way.run)) as Box<dyn Fn() -> Duration>).collect();
    let times = in_turn(&timed_ways, scale.rounds(), Warm::Once);
    let speed = |time: &Duration| plaintext.len() as f64 / time.as_secs_f64() / 1e9;
    for ((name, setting), times) in points.iter().zip(times.chunks(WAYS_A_POINT)) {
        let [bare, lying, pipeline] = [0, 1, 2].map(|way: usize| speed(&times[way][scale.rounds() / 2]));
        let (slowest, fastest) = (speed(&times[2][scale.rounds() - 1]), speed(&times[2][0]));
        println!(
            "| {work:?} | {:?} | {name} | {bare:.2} | {lying:.2} | {pipeline:.2} | {slowest:.2} to {fastest:.2} \
             | {:.2} |",
            setting.digest,
            pipeline / bare
        );
    }
}

fn all() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Up to the longest that the format has. The longest two are longer than what is sealed here.
const SEGMENT_MIB: [u64; 8] = [1, 2, 4, 8, 16, 64, 256, 1024];
/// Two bare loops and the pipeline.
const WAYS_A_POINT: usize = 3;
