//! The figures of a bench as tables for people.
//! It decides nothing and leaves nothing out.

use std::fmt::Write as _;

use cofferdam::{DigestKind, Suite, limits};
use measure::{Measured, Recipe, Row, Step, Work};

use crate::printable::Name;
use crate::size::Size;
use crate::text::count;

/// All tables, and what they were measured with.
pub(super) fn of(measured: &Measured) -> String {
    let mut text = heading(measured);
    table(&mut text, "Parts, in frames of 64 KiB", &measured.parts);
    table(&mut text, "Files, in the directory", &measured.files);
    table(&mut text, "File to file, by digest", &measured.recipes);
    table(&mut text, "File to file, by frame size (they add)", &measured.frame_sizes);
    table(&mut text, "File to file, by number of threads", &measured.thread_counts);
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
         measured    files of {} in the page cache; median of {}\n\
         figures     GB/s: 10^9 bytes of plaintext per second\n",
        Name::from(volume.directory.as_path()),
        Size(measured.file_len),
        count(rounds.unwrap_or_default(), "round"),
    )
}

fn table(text: &mut String, title: &str, rows: &[Row]) {
    let _ = write!(text, "\n{title:<NAME_WIDTH$}{:>NUMBER_WIDTH$}{:>NUMBER_WIDTH$}\n", "threads", "GB/s");
    for row in rows {
        let (name, speed) = (name(row.step), gigabytes(row.figure.speed()));
        let _ = writeln!(
            text,
            "  {name:<width$}{:>NUMBER_WIDTH$}{speed:>NUMBER_WIDTH$}",
            row.threads,
            width = NAME_WIDTH - 2,
        );
    }
}

fn name(step: Step) -> String {
    let named = match step {
        Step::Cipher(work, suite) => return format!("{}, {}", suite_title(suite), verb(work)),
        Step::Digest(digest) => digest_title(digest),
        Step::ReadDevice => "read, not from the page cache",
        Step::ReadFile => "read from the page cache",
        Step::WriteFile => "write, as a restore does",
        Step::PublishFile => "sync and rename it",
        Step::CopyFile => "copy, 256 KiB at a time",
        Step::SyncCopy => "sync the copy",
        Step::Stream(work, recipe) => return format!("{:<8} {}", verb(work), recipe_title(recipe)),
        _ => "another step",
    };
    named.to_owned()
}

fn verb(work: Work) -> &'static str {
    match work {
        Work::Seal => "seal",
        Work::Open => "restore",
    }
}

fn recipe_title(recipe: Recipe) -> String {
    let overhead = 100.0 * limits::FRAME_OVERHEAD as f64 / f64::from(recipe.frame_len);
    format!("{}, frames of {} ({overhead:.3} %)", digest_title(recipe.digest), frame_title(recipe.frame_len))
}

/// 10^9 bytes per second, with three digits.
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

const NAME_WIDTH: usize = 50;
const NUMBER_WIDTH: usize = 9;
