//! Advice in words, and as options of a command line.
//! It judges no figure; the library has.

use std::fmt;
use std::num::NonZeroUsize;

use cofferdam::measure::{Advice, Bottleneck, Choice, Measured, Stage, TIE};
use cofferdam::{DigestKind, Pool};

use super::tables::{digest_title, frame_title, gigabytes, suite_title};
use crate::text::{digest_name, suite_name};

/// What is said of the figures, and what to type.
pub(super) struct Sentences {
    pub(super) sentences: Vec<String>,
    pub(super) seal_options: Vec<String>,
    pub(super) restore_options: Vec<String>,
}

impl Sentences {
    /// `memory` is the budget that was asked for, which the advice holds for.
    pub(super) fn new(measured: &Measured, advice: &Advice, memory: Option<usize>) -> Sentences {
        let directory = measured.ground.directory.display().to_string();
        let threads = measured.threads.get();
        Sentences {
            sentences: vec![
                suite(advice),
                digest(advice),
                frame_size(&advice.frame_len),
                thread_count(&advice.threads),
                bottleneck(&format!("a restore to {directory}"), &advice.restore),
                together("restore", &advice.restore, threads),
                bottleneck(&format!("a seal to {directory}"), &advice.seal),
                together("seal", &advice.seal, threads),
            ],
            seal_options: [format_options(advice), resource_options(advice, memory)].concat(),
            restore_options: resource_options(advice, memory),
        }
    }

    /// Whether nothing needs to be typed.
    pub(super) fn are_defaults(&self) -> bool {
        self.seal_options.is_empty() && self.restore_options.is_empty()
    }
}

impl fmt::Display for Sentences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sentence in &self.sentences {
            writeln!(f, "{sentence}")?;
        }
        if self.are_defaults() {
            return write!(
                f,
                "The defaults are best here: neither seal nor restore needs an option for speed."
            );
        }
        let line = |command, options: &[String]| format!("\n  cofferdam {command} {} …", options.join(" "));
        f.write_str("As a command line:")?;
        f.write_str(&line("seal", &self.seal_options))?;
        if !self.restore_options.is_empty() {
            f.write_str(&line("restore", &self.restore_options))?;
        }
        Ok(())
    }
}

fn suite(advice: &Advice) -> String {
    let choice = &advice.suite;
    let best = suite_title(choice.best);
    let others = others(choice).map(|(other, time)| {
        let other = suite_title(other);
        if time <= TIE {
            format!("; {other} is as fast here")
        } else {
            format!(", {time:.1} times as fast as {other} here")
        }
    });
    format!("Suite: {best}{}.", others.collect::<String>())
}

fn digest(advice: &Advice) -> String {
    let choice = &advice.digest;
    let hashes = others(choice).filter(|(other, _)| *other != DigestKind::Tags);
    let hashes: String =
        hashes.map(|(other, time)| format!("; {} {}", digest_title(other), costs(time))).collect();
    let tags = choice.time_of(DigestKind::Tags).map_or(String::new(), |time| {
        format!("; tags {}, and rule out checks without a key", costs_many(time))
    });
    format!("Digest: {}{hashes}{tags}.", digest_title(choice.best))
}

fn frame_size(choice: &Choice<u32>) -> String {
    let others = others(choice).map(|(other, time)| format!("{} {}", frame_title(other), costs(time)));
    format!("Frame size: {}; {}.", frame_title(choice.best), others.collect::<Vec<_>>().join(", "))
}

/// Of many counts those that say something: one thread, the fewest that do as well, and more than are advised.
fn thread_count(choice: &Choice<NonZeroUsize>) -> String {
    let enough = others(choice).find(|(_, time)| *time <= TIE).map(|(count, _)| count);
    let telling = others(choice)
        .filter(|(count, _)| *count == NonZeroUsize::MIN || Some(*count) == enough || *count > choice.best);
    let others: String = telling
        .map(|(count, time)| match count.get() {
            1 => format!("; 1 {}", costs(time)),
            _ => format!("; {count} {}", costs_many(time)),
        })
        .collect();
    format!("Threads: {} of {}{others}.", choice.best, Pool::threads_of_the_machine())
}

fn bottleneck(what: &str, bottleneck: &Bottleneck) -> String {
    let told = |stage| format!("{} ({} GB/s)", stage_title(stage), gigabytes(bottleneck.limit(stage)));
    let slowest = bottleneck.slowest;
    let rival = if slowest == Stage::Frames { Stage::Write } else { Stage::Frames };
    format!("Bottleneck of {what}: {}, not {}.", told(slowest), told(rival))
}

fn together(what: &str, bottleneck: &Bottleneck, threads: usize) -> String {
    let Bottleneck { bound, measured, copy, .. } = bottleneck;
    let shared = if threads == 1 { "one thread".to_owned() } else { format!("{threads} threads") };
    format!(
        "All its steps on {shared} come to {} GB/s; the whole {what} did {} GB/s, a plain copy with its sync {} GB/s.",
        gigabytes(*bound),
        gigabytes(*measured),
        gigabytes(*copy),
    )
}

fn stage_title(stage: Stage) -> &'static str {
    match stage {
        Stage::Read => "reading the input",
        Stage::Frames => "cipher and digest",
        Stage::Write => "writing the file",
        Stage::Publish => "syncing it",
    }
}

/// The settings that were not chosen, each with the time it takes for what takes 1 with the best.
fn others<T: Copy + PartialEq>(choice: &Choice<T>) -> impl Iterator<Item = (T, f64)> {
    let settings =
        choice.speeds.iter().map(|(setting, _)| *setting).filter(|setting| *setting != choice.best);
    settings.filter_map(|setting| Some((setting, choice.time_of(setting)?)))
}

/// What a setting does that takes `time` where the best takes 1.
fn costs(time: f64) -> String {
    match time {
        long if long >= 2.0 => format!("takes {long:.1} times as long"),
        longer if longer > TIE => format!("costs {:.0} %", (longer - 1.0) * 100.0),
        same if same * TIE >= 1.0 => "does as well".to_owned(),
        shorter => format!("saves {:.0} % of the time", (1.0 - shorter) * 100.0),
    }
}

/// The same of several.
fn costs_many(time: f64) -> String {
    let one = costs(time);
    match one.split_once(' ') {
        Some(("does", rest)) => format!("do {rest}"),
        Some((verb, rest)) => format!("{} {rest}", verb.trim_end_matches('s')),
        None => one,
    }
}

fn format_options(advice: &Advice) -> Vec<String> {
    let mut options = Vec::new();
    let mut option = |name: &str, value: String| options.extend([name.to_owned(), value]);
    if advice.suite.best != advice.suite.default {
        option("--suite", suite_name(advice.suite.best).to_owned());
    }
    if advice.digest.best != advice.digest.default {
        option("--digest", digest_name(advice.digest.best).to_owned());
    }
    if advice.frame_len.best != advice.frame_len.default {
        option("--frame-size", frame_title(advice.frame_len.best).replace(' ', ""));
    }
    options
}

fn resource_options(advice: &Advice, memory: Option<usize>) -> Vec<String> {
    let mut options = Vec::new();
    if advice.threads.best != Pool::threads_of_the_machine() {
        options.extend(["--threads".to_owned(), advice.threads.best.to_string()]);
    }
    if let Some(bytes) = memory {
        options.extend(["--memory".to_owned(), bytes.to_string()]);
    }
    options
}
