//! The figures of a bench as tables for people.
//! It decides nothing and leaves nothing out.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use cofferdam::{DigestKind, Suite, limits};
use measure::{Ends, Figure, Measured, Recipe, Row, Step, Work, figure_of};

use crate::printable::Name;
use crate::size::Size;
use crate::text::count;

/// All tables, and what they were measured with.
pub(super) fn of(measured: &Measured) -> String {
    let mut text = heading(measured);
    parts(&mut text, measured);
    files(&mut text, measured);
    recipes(&mut text, measured);
    thread_counts(&mut text, measured);
    frame_sizes(&mut text, measured);
    text
}

fn heading(measured: &Measured) -> String {
    let volume = &measured.volume;
    let kind = match &volume.file_system {
        Some(found) if found.kind == "tmpfs" => " (tmpfs: memory, not a disk)".to_owned(),
        Some(found) => format!(" ({}, mounted at {})", found.kind, Name::from(found.mount_point.as_path())),
        None => String::new(),
    };
    let rounds = measured.files.iter().chain(&measured.recipes).map(|row| row.figure.rounds as u64).min();
    format!(
        "directory   {}{kind}\n\
         measured    files of {} in the page cache, streams of {} in memory; median of {}\n\
         figures     GB/s: 10^9 bytes of plaintext a second\n",
        Name::from(volume.directory.as_path()),
        Size(measured.file_len),
        Size(measured.memory_len),
        count(rounds.unwrap_or_default(), "round"),
    )
}

fn parts(text: &mut String, measured: &Measured) {
    title(text, "Parts, in frames of 64 KiB", &thread_columns(measured));
    for suite in [Suite::Aes256Gcm, Suite::ChaCha20Poly1305] {
        for (work, verb) in [(Work::Seal, "seal"), (Work::Open, "open")] {
            let name = format!("{}, {verb}", suite_title(suite));
            by_threads(text, measured, &measured.parts, &name, &[Step::Cipher(work, suite)]);
        }
    }
    for digest in [DigestKind::Blake3, DigestKind::Sha256] {
        by_threads(text, measured, &measured.parts, digest_title(digest), &[Step::Digest(digest)]);
    }
    by_threads(text, measured, &measured.parts, "copy, memory to memory", &[Step::CopyMemory]);
}

fn files(text: &mut String, measured: &Measured) {
    title(text, "Files, in the directory", &thread_columns(measured));
    let rows: [(&str, &[Step]); 6] = [
        ("read, not from the page cache", &[Step::ReadDevice]),
        ("read from the page cache", &[Step::ReadFile]),
        ("write, as a restore does", &[Step::WriteFile]),
        ("write, sync and rename", &[Step::WriteFile, Step::PublishFile]),
        ("copy, 256 KiB at a time", &[Step::CopyFile]),
        ("copy and sync", &[Step::CopyFile, Step::SyncCopy]),
    ];
    let is_measured = |steps: &[Step]| measured.files.iter().any(|row| steps.contains(&row.step));
    for (name, steps) in rows.into_iter().filter(|(_, steps)| is_measured(steps)) {
        by_threads(text, measured, &measured.files, name, steps);
    }
}

fn recipes(text: &mut String, measured: &Measured) {
    title(text, &on_all_threads(measured, "Suites and digests"), &STREAM_COLUMNS);
    for recipe in recipes_of(&measured.recipes) {
        let name = format!("{} with {}", suite_title(recipe.suite), digest_title(recipe.digest));
        row(text, &name, stream_speeds(measured, &measured.recipes, recipe));
    }
}

fn thread_counts(text: &mut String, measured: &Measured) {
    title(text, "Threads", &["seal in memory", "open in memory", "", "restore to file"]);
    let recipe = Recipe::default_here();
    let works = [(Work::Seal, Ends::Memory), (Work::Open, Ends::Memory), (Work::Open, Ends::Files)];
    let restores = measured.thread_counts.iter().filter(|row| ends_of(row) == Some(Ends::Files));
    for threads in restores.map(|row| row.threads) {
        let [seal, open, restore] = works.map(|(work, ends)| {
            let step = Step::Stream(work, ends, recipe);
            speed(figure_of(&measured.thread_counts, step, threads))
        });
        row(text, &count(threads.get() as u64, "thread"), [seal, open, String::new(), restore]);
    }
}

fn frame_sizes(text: &mut String, measured: &Measured) {
    title(text, &on_all_threads(measured, "Frame sizes (they add)"), &STREAM_COLUMNS);
    for recipe in recipes_of(&measured.frame_sizes) {
        let overhead = 100.0 * limits::FRAME_OVERHEAD as f64 / f64::from(recipe.frame_len);
        let name = format!("{:<8}({overhead:.3} %)", frame_title(recipe.frame_len));
        row(text, &name, stream_speeds(measured, &measured.frame_sizes, recipe));
    }
}

fn on_all_threads(measured: &Measured, what: &str) -> String {
    format!("{what}, on {}", count(measured.threads.get() as u64, "thread"))
}

/// Each once, in order.
fn recipes_of(rows: &[Row]) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    for row in rows {
        if let Step::Stream(_, _, recipe) = row.step
            && !recipes.contains(&recipe)
        {
            recipes.push(recipe);
        }
    }
    recipes
}

/// The cells below [`STREAM_COLUMNS`].
fn stream_speeds(measured: &Measured, rows: &[Row], recipe: Recipe) -> impl Iterator<Item = String> {
    let works = [Ends::Memory, Ends::Files].map(|ends| [(Work::Seal, ends), (Work::Open, ends)]);
    let steps = works.into_iter().flatten().map(move |(work, ends)| Step::Stream(work, ends, recipe));
    steps.map(|step| speed(figure_of(rows, step, measured.threads)))
}

fn ends_of(row: &Row) -> Option<Ends> {
    if let Step::Stream(_, ends, _) = row.step { Some(ends) } else { None }
}

/// One thread, and as many as there are.
fn counts(measured: &Measured) -> Vec<NonZeroUsize> {
    let one = NonZeroUsize::MIN;
    if measured.threads == one { vec![one] } else { vec![one, measured.threads] }
}

fn thread_columns(measured: &Measured) -> Vec<String> {
    counts(measured).into_iter().map(|threads| count(threads.get() as u64, "thread")).collect()
}

/// `steps` one after another.
fn by_threads(text: &mut String, measured: &Measured, rows: &[Row], name: &str, steps: &[Step]) {
    let cells = counts(measured).into_iter().map(|threads| {
        let figures: Option<Vec<Figure>> = steps.iter().map(|&step| figure_of(rows, step, threads)).collect();
        speed(figures.map(|figures| Figure {
            bytes: figures[0].bytes,
            seconds: figures.iter().map(|figure| figure.seconds).sum(),
            rounds: figures[0].rounds,
        }))
    });
    row(text, name, cells);
}

fn title(text: &mut String, name: &str, columns: &[impl AsRef<str>]) {
    text.push('\n');
    let _ = write!(text, "{name:<NAME_WIDTH$}");
    for column in columns {
        let _ = write!(text, "{:>COLUMN_WIDTH$}", column.as_ref());
    }
    text.push('\n');
}

fn row(text: &mut String, name: &str, cells: impl IntoIterator<Item = String>) {
    let _ = write!(text, "  {name:<width$}", width = NAME_WIDTH - 2);
    for cell in cells {
        let _ = write!(text, "{cell:>COLUMN_WIDTH$}");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
}

fn speed(figure: Option<Figure>) -> String {
    figure.map_or(String::new(), |figure| gigabytes(figure.speed()))
}

/// 10^9 bytes a second, with three digits.
pub(super) fn gigabytes(speed: f64) -> String {
    let gigabytes = speed / 1e9;
    let decimals = match gigabytes {
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{gigabytes:.decimals$}")
}

pub(super) fn suite_title(suite: Suite) -> &'static str {
    match suite {
        Suite::Aes256Gcm => "AES-256-GCM",
        Suite::ChaCha20Poly1305 => "ChaCha20-Poly1305",
    }
}

pub(super) fn digest_title(digest: DigestKind) -> &'static str {
    match digest {
        DigestKind::Blake3 => "BLAKE3",
        DigestKind::Sha256 => "SHA-256",
        DigestKind::Tags => "tags",
    }
}

/// Frames are whole kibibytes.
pub(super) fn frame_title(frame_len: u32) -> String {
    match frame_len {
        len if len.is_multiple_of(1 << 20) => format!("{} MiB", len >> 20),
        len => format!("{} KiB", len >> 10),
    }
}

const STREAM_COLUMNS: [&str; 4] = ["seal in memory", "open in memory", "seal to file", "restore to file"];
const NAME_WIDTH: usize = 36;
const COLUMN_WIDTH: usize = 16;
