//! Advice in words, and as options of a command line.
//! It judges no figure; the library has.

use std::fmt;
use std::num::NonZeroUsize;

use cofferdam::{DigestKind, Pool, Suite};
use measure::{Advice, Bottleneck, Choice, Load, Measured, Stage, Step, TIE, figure_of};

use super::tables::{digest_title, frame_title, gigabytes, suite_title};
use crate::printable::Name;
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
        let directory = Name::from(measured.volume.directory.as_path()).to_string();
        let threads = measured.threads.get();
        Sentences {
            sentences: [
                suite(&advice.suite),
                digest(&advice.digest),
                frame_size(&advice.frame_len),
                thread_count(&advice.threads),
                bottleneck(&format!("a restore to {directory}"), &advice.restore),
                together("restore", &advice.restore, threads),
                bottleneck(&format!("a seal to {directory}"), &advice.seal),
                together("seal", &advice.seal, threads),
            ]
            .into_iter()
            .chain(slow_device(measured, advice))
            .collect(),
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

/// Why no advice follows from the figures, where something else was at work.
pub(super) fn busy(load: Load) -> Option<String> {
    load.is_busy().then(|| {
        format!(
            "No advice: the load was {:.2} in the minute before, so the figures may be those of other work. Stop what runs \
             beside this, wait a minute or two, and measure again. Right after another bench the load is that bench's own.",
            load.0
        )
    })
}

fn suite(choice: &Choice<Suite>) -> String {
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

fn digest(choice: &Choice<DigestKind>) -> String {
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

/// The slowest stage, beside the one that it is compared with: frames, or writing.
fn bottleneck(what: &str, bottleneck: &Bottleneck) -> String {
    let told = |stage| format!("{} ({} GB/s)", stage_title(stage), gigabytes(bottleneck.limit(stage)));
    let slowest = bottleneck.slowest;
    let rival = if slowest == Stage::Frames { Stage::Write } else { Stage::Frames };
    let is_tie = bottleneck.limit(rival) <= bottleneck.limit(slowest) * TIE;
    let than = if is_tie { "as much as" } else { "not" };
    format!("Bottleneck of {what}: {}, {than} {}.", told(slowest), told(rival))
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

/// What the figures of restores leave out, where it would show.
fn slow_device(measured: &Measured, advice: &Advice) -> Option<String> {
    let device = figure_of(&measured.files, Step::ReadDevice, measured.threads)?.speed();
    (device < advice.restore.measured).then(|| {
        format!(
            "A sealed file that lies here and is not in memory is read at {} GB/s: then that is the bottleneck.",
            gigabytes(device)
        )
    })
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Arguments;

    fn choice<T: Copy + PartialEq>(default: T, speeds: &[(T, f64)]) -> Choice<T> {
        Choice::among(default, speeds.to_vec()).unwrap()
    }

    fn limits(read: f64, frames: f64, write: f64, slowest: Stage) -> Bottleneck {
        let stages =
            [(Stage::Read, read), (Stage::Frames, frames), (Stage::Write, write), (Stage::Publish, 1e15)];
        Bottleneck { stages, slowest, bound: 2.5e9, measured: 2.4e9, copy: 2e9 }
    }

    #[test]
    fn a_load_above_a_half_stands_in_place_of_advice() {
        assert_eq!(busy(Load(0.5)), None);
        let told = busy(Load(1.846)).unwrap();
        assert!(told.starts_with("No advice: the load was 1.85 in the minute before"), "{told}");
        assert!(told.contains("measure again"), "{told}");
    }

    #[test]
    fn what_is_advised_can_be_typed() {
        let [one, two] = [1, 3].map(|count| NonZeroUsize::new(count).unwrap());
        let advice = Advice {
            suite: choice(Suite::Aes256Gcm, &[(Suite::Aes256Gcm, 1e9), (Suite::ChaCha20Poly1305, 2e9)]),
            digest: choice(DigestKind::Blake3, &[(DigestKind::Blake3, 1e9), (DigestKind::Sha256, 2e9)]),
            frame_len: choice(65536, &[(65536, 1e9), (1 << 20, 2e9)]),
            threads: choice(one, &[(one, 1e9), (two, 2e9)]),
            seal: limits(1e9, 1e9, 1e9, Stage::Read),
            restore: limits(1e9, 1e9, 1e9, Stage::Read),
        };
        let resources = resource_options(&advice, Some(8 << 20));
        let seal =
            [&["cofferdam", "seal", "-p", "in"].map(str::to_owned)[..], &format_options(&advice), &resources];
        let restore = [&["cofferdam", "restore", "-p", "in", "out"].map(str::to_owned)[..], &resources];
        assert_eq!(format_options(&advice).len(), 6);
        for line in [seal.concat(), restore.concat()] {
            assert!(Arguments::try_parse_from(&line).is_ok(), "{line:?}");
        }
    }

    #[test]
    fn a_suite_is_told_beside_the_other_one() {
        let suites = |chacha| [(Suite::Aes256Gcm, 8e9), (Suite::ChaCha20Poly1305, chacha)];
        assert_eq!(
            suite(&choice(Suite::Aes256Gcm, &suites(2e9))),
            "Suite: AES-256-GCM, 4.0 times as fast as ChaCha20-Poly1305 here."
        );
        assert_eq!(
            suite(&choice(Suite::Aes256Gcm, &suites(8.1e9))),
            "Suite: AES-256-GCM; ChaCha20-Poly1305 is as fast here."
        );
        assert_eq!(
            suite(&choice(Suite::Aes256Gcm, &suites(12e9))),
            "Suite: ChaCha20-Poly1305, 1.5 times as fast as AES-256-GCM here."
        );
    }

    #[test]
    fn other_digests_are_told_with_what_they_cost() {
        let mut digests =
            choice(DigestKind::Blake3, &[(DigestKind::Blake3, 2e9), (DigestKind::Sha256, 1.5e9)]);
        assert_eq!(digest(&digests), "Digest: BLAKE3; SHA-256 costs 33 %.");
        digests.speeds.push((DigestKind::Tags, 2.5e9));
        assert_eq!(
            digest(&digests),
            "Digest: BLAKE3; SHA-256 costs 33 %; tags save 20 % of the time, and rule out checks without a key."
        );
    }

    #[test]
    fn frame_sizes_are_told_with_what_they_cost() {
        let sizes = choice(65536, &[(16384, 1.0e9), (65536, 2.4e9), (262_144, 2.4e9), (1 << 20, 2.2e9)]);
        assert_eq!(
            frame_size(&sizes),
            "Frame size: 64 KiB; 16 KiB takes 2.4 times as long, 256 KiB does as well, 1 MiB costs 9 %."
        );
    }

    #[test]
    fn of_many_thread_counts_the_telling_ones_are_told() {
        let count = |count| NonZeroUsize::new(count).unwrap();
        let told = |speeds: &[(usize, f64)]| {
            let speeds: Vec<_> = speeds.iter().map(|&(threads, speed)| (count(threads), speed)).collect();
            let told = thread_count(&choice(speeds[speeds.len() - 1].0, &speeds));
            told.split_once("; ").unwrap().1.to_owned()
        };
        assert_eq!(told(&[(1, 1e9), (2, 1.9e9)]), "1 costs 90 %.");
        assert_eq!(
            told(&[(1, 1e9), (2, 2e9), (4, 4e9), (8, 4e9)]),
            "1 takes 4.0 times as long; 4 do as well."
        );
        assert_eq!(told(&[(1, 1e9), (2, 2e9), (4, 1.6e9)]), "1 takes 2.0 times as long; 4 cost 25 %.");
    }

    #[test]
    fn the_slowest_stage_is_told_beside_what_one_would_suspect() {
        assert_eq!(
            bottleneck("a restore to /srv", &limits(20e9, 7.5e9, 3e9, Stage::Write)),
            "Bottleneck of a restore to /srv: writing the file (3.00 GB/s), not cipher and digest (7.50 GB/s)."
        );
        assert_eq!(
            bottleneck("a restore to /srv", &limits(20e9, 2e9, 2.05e9, Stage::Frames)),
            "Bottleneck of a restore to /srv: cipher and digest (2.00 GB/s), as much as writing the file (2.05 GB/s)."
        );
    }
}
