//! A bench as one JSON object.
//! Its fields are those that `cofferdam bench --help` lists.

use measure::{Advice, Bottleneck, Measured, Row, Stage, Step, Work};
use serde::Serialize;

use super::sentences::Sentences;
use crate::printable::Name;
use crate::text::{digest_name, suite_name};

#[derive(Serialize)]
pub(super) struct Record<'a> {
    event: &'static str,
    directory: Name,
    file_system: Option<FileSystemRecord>,
    free: u64,
    load: Option<f64>,
    file_len: u64,
    threads: usize,
    parts: Vec<RowRecord>,
    files: Vec<RowRecord>,
    recipes: Vec<RowRecord>,
    frame_sizes: Vec<RowRecord>,
    thread_counts: Vec<RowRecord>,
    busy: Option<&'a str>,
    advice: Option<AdviceRecord<'a>>,
}

#[derive(Serialize)]
struct FileSystemRecord {
    kind: String,
    mount_point: Name,
}

#[derive(Serialize)]
struct RowRecord {
    step: &'static str,
    suite: Option<&'static str>,
    digest: Option<&'static str>,
    frame_len: Option<u32>,
    ends: Option<&'static str>,
    threads: usize,
    bytes: u64,
    seconds: f64,
    rounds: usize,
    bytes_per_second: f64,
}

#[derive(Serialize)]
struct AdviceRecord<'a> {
    suite: &'static str,
    digest: &'static str,
    frame_len: u32,
    threads: usize,
    are_defaults: bool,
    seal_options: &'a [String],
    restore_options: &'a [String],
    sentences: &'a [String],
    seal: BottleneckRecord,
    restore: BottleneckRecord,
}

#[derive(Serialize)]
struct BottleneckRecord {
    slowest: &'static str,
    limits: Limits,
    bound: f64,
    measured: f64,
    copy: f64,
}

#[derive(Serialize)]
struct Limits {
    read: f64,
    frames: f64,
    write: f64,
    publish: f64,
}

impl<'a> Record<'a> {
    pub(super) fn with_advice(measured: &Measured, advice: &Advice, sentences: &'a Sentences) -> Record<'a> {
        Record::new(measured, None, Some(AdviceRecord::new(advice, sentences)))
    }

    /// `busy` says why.
    pub(super) fn without_advice(measured: &Measured, busy: &'a str) -> Record<'a> {
        Record::new(measured, Some(busy), None)
    }

    fn new(measured: &Measured, busy: Option<&'a str>, advice: Option<AdviceRecord<'a>>) -> Record<'a> {
        let volume = &measured.volume;
        let rows = |rows: &[Row]| rows.iter().map(RowRecord::new).collect();
        Record {
            event: "bench",
            directory: Name::from(volume.directory.as_path()),
            file_system: volume.file_system.as_ref().map(|found| FileSystemRecord {
                kind: found.kind.clone(),
                mount_point: Name::from(found.mount_point.as_path()),
            }),
            free: volume.free,
            load: measured.load.map(|load| load.0),
            file_len: measured.file_len,
            threads: measured.threads.get(),
            parts: rows(&measured.parts),
            files: rows(&measured.files),
            recipes: rows(&measured.recipes),
            frame_sizes: rows(&measured.frame_sizes),
            thread_counts: rows(&measured.thread_counts),
            busy,
            advice,
        }
    }
}

impl RowRecord {
    fn new(row: &Row) -> RowRecord {
        let record = RowRecord {
            step: step_name(row.step),
            suite: None,
            digest: None,
            frame_len: None,
            ends: None,
            threads: row.threads.get(),
            bytes: row.figure.bytes,
            seconds: row.figure.seconds,
            rounds: row.figure.rounds,
            bytes_per_second: row.figure.speed().round(),
        };
        match row.step {
            Step::Cipher(_, suite) => RowRecord { suite: Some(suite_name(suite)), ..record },
            Step::Digest(digest) => RowRecord { digest: Some(digest_name(digest)), ..record },
            Step::Stream(_, recipe) => RowRecord {
                suite: Some(suite_name(recipe.suite)),
                digest: Some(digest_name(recipe.digest)),
                frame_len: Some(recipe.frame_len),
                ends: Some("files"),
                ..record
            },
            _ => record,
        }
    }
}

impl<'a> AdviceRecord<'a> {
    fn new(advice: &Advice, sentences: &'a Sentences) -> AdviceRecord<'a> {
        AdviceRecord {
            suite: suite_name(advice.suite.best),
            digest: digest_name(advice.digest.best),
            frame_len: advice.frame_len.best,
            threads: advice.threads.best.get(),
            are_defaults: sentences.are_defaults(),
            seal_options: &sentences.seal_options,
            restore_options: &sentences.restore_options,
            sentences: &sentences.sentences,
            seal: BottleneckRecord::new(&advice.seal),
            restore: BottleneckRecord::new(&advice.restore),
        }
    }
}

impl BottleneckRecord {
    fn new(bottleneck: &Bottleneck) -> BottleneckRecord {
        let limit = |stage| bottleneck.limit(stage).round();
        BottleneckRecord {
            slowest: match bottleneck.slowest {
                Stage::Read => "read",
                Stage::Frames => "frames",
                Stage::Write => "write",
                Stage::Publish => "publish",
            },
            limits: Limits {
                read: limit(Stage::Read),
                frames: limit(Stage::Frames),
                write: limit(Stage::Write),
                publish: limit(Stage::Publish),
            },
            bound: bottleneck.bound.round(),
            measured: bottleneck.measured.round(),
            copy: bottleneck.copy.round(),
        }
    }
}

fn step_name(step: Step) -> &'static str {
    match step {
        Step::Cipher(Work::Seal, _) => "seal frames",
        Step::Cipher(Work::Open, _) => "open frames",
        Step::Digest(_) => "digest",
        Step::ReadDevice => "read device",
        Step::ReadFile => "read file",
        Step::WriteFile => "write file",
        Step::PublishFile => "publish file",
        Step::CopyFile => "copy file",
        Step::SyncCopy => "sync copy",
        Step::Stream(Work::Seal, _) => "seal",
        Step::Stream(Work::Open, _) => "open",
        _ => "unknown",
    }
}
