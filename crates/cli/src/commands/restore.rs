//! `cofferdam restore`: a sealed stream into a file or a pipe.
//! It turns options into an opener; the library restores.

mod help;
mod plan;
mod plan_options;
mod plan_record;
#[cfg(feature = "signatures")]
mod shards;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::builder::ArgPredicate::IsPresent;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{
    CancelToken, IfNoTree, Opener, Remedy, Restored, RestoredPaths, Source, TreeOutcome, is_pipe,
};
use serde::Serialize;

use self::help::{AFTER_HELP, EXPECT_DIGEST};
use crate::commands::salvage;
use crate::expected::Expected;
use crate::failure::Failure;
use crate::foreign::StreamFormat;
use crate::foreign_args::{ForeignArgs, asserted_in, tell_asserted};
use crate::interrupt;
use crate::io_arg::{End, a_file, if_exists, is_cut_off};
use crate::key_args::OpeningKeys;
#[cfg(feature = "signatures")]
use crate::manifest_arg::ManifestArg;
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::opening_args::OpeningArgs;
use crate::peer::{Goal, Protection};
use crate::plan_args::PlanArgs;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::rate::RateArgs;
use crate::report::Report;
use crate::resources::Resources;
use crate::restored_tree::{RestoredTreeArgs, TreeRecord};
use crate::sealed::Sealed;
use crate::signatures::{KeyName, SignedByArgs};
use crate::size::Size;
use crate::staging_args::StagingArgs;
use crate::standard::Standard;
use crate::text::{Pair, count, pace, pairs};
use crate::timeout::Timeout;
use crate::uploading::Uploading;

/// Restore a sealed stream, all or nothing
///
/// The target changes once, after every byte has been verified, and is then synced to disk. If anything is wrong with
/// the stream, the target is as it was. To standard output goes one verified segment after another: there, only exit
/// code 0 says that it was all.
///
/// A target that is new gets the mode and the time of modification of the file that was sealed, where the stream keeps them; the rights
/// to run as its owner or group and the sticky bit never. One that is replaced keeps its own mode.
///
/// A stream that `cofferdam seal` has made of a directory becomes a directory: TARGET is then a name that is free, or with --force a directory, which is
/// replaced as a whole. Owners, modes, times, extended attributes, links and holes come back; what could not be set is said.
///
/// A TARGET that is a block device is written in place, through a log: see --wal.
///
/// An interrupted restore leaves what it has beside the target (.NAME.cofferdam-staging and .NAME.cofferdam-journal,
/// readable by you alone). The same command goes on from there by itself, once that has proved right; --restart begins
/// anew, and `cofferdam discard` removes it. To standard output nothing is kept.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP, mut_arg("expect_digest", |arg| arg.long_help(EXPECT_DIGEST)))]
pub(crate) struct Restore {
    /// By what name it was asked for.
    #[arg(skip = "restore")]
    command: &'static str,

    /// What becomes of a stream that is no tree.
    #[arg(skip = IfNoTree::OpenAll)]
    if_no_tree: IfNoTree,

    /// The sealed stream: a file, a block device, a FIFO, - for standard input, or a URL: s3:, gs:, az:, http: or https:
    #[arg(
        value_name = "SEALED",
        required = false,
        required_unless_present = BY_PLAN,
        default_value_if(BY_PLAN, IsPresent, Some(STANDARD)),
        value_parser = OsStringValueParser::new().try_map(Sealed::parse)
    )]
    sealed: Sealed,

    /// Where the plaintext goes: a file, a block device (with --wal), a FIFO, - for standard output, a receiver at tcp://HOST:PORT or
    /// unix:PATH, or an object in a store, as s3://BUCKET/KEY (gs:, az:), WHERE IT LIES UNENCRYPTED
    #[arg(
        value_name = "TARGET",
        required = false,
        required_unless_present = BY_PLAN,
        default_value_if(BY_PLAN, IsPresent, Some(STANDARD)),
        value_parser = OsStringValueParser::new().try_map(Goal::parse)
    )]
    target: Goal,

    /// Replace a target that exists: a file atomically, an object if it is still the one that was there at the start, a block device
    /// through --wal; with -, write to a terminal too
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    expected: Expected,

    #[command(flatten)]
    staging: StagingArgs,

    /// A file that may hold much of the plaintext already, such as yesterday's copy or the target itself: only the rest is read
    ///
    /// What OLD has at the same places is copied beside the target, sharing the room where the file system can (XFS,
    /// btrfs), and proved there, segment by segment, as what an interrupted restore left is. Nothing is believed of it: it may be
    /// of another snapshot, shorter, longer, or changing. It is read once, and never written. SEALED must be a file or a URL, and
    /// TARGET a file.
    #[arg(long, value_name = "OLD", conflicts_with = "wal", value_parser = OsStringValueParser::new().try_map(a_file))]
    seed: Option<PathBuf>,

    /// For a block device as TARGET, with --force: the log that the stream goes through, a file on another device
    ///
    /// The device is written once all of the stream is in the log and verified. A crash after that leaves a mixture of old and new on
    /// the device; the same command finishes. Keep SEALED and the log until it ends with 0: the log is then removed. It needs as much
    /// room as the plaintext, which it holds, readable by you alone. To give a restore up use --restart, or remove the file; the
    /// device then stays as it is. What is on the device behind the stream's end stays.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sparse", "no_preserve"], value_parser = OsStringValueParser::new().try_map(a_file))]
    wal: Option<PathBuf>,

    /// Save the segments of a damaged stream that are whole, into a file whose name ends in .salvaged
    ///
    /// What is lost is zeros there, and listed. Never exit code 0: the file is not what was sealed. SEALED is a file or a URL; it may be
    /// truncated. The memory has to hold a segment.
    #[arg(long, conflicts_with_all = ["restart", "no_preserve", "durability", "wal", "seed"])]
    salvage: bool,

    #[command(flatten)]
    keys: OpeningKeys,

    #[command(flatten)]
    signed_by: SignedByArgs,

    #[command(flatten)]
    tree: RestoredTreeArgs,

    #[command(flatten)]
    plan: PlanArgs,

    #[cfg(feature = "signatures")]
    #[command(flatten, next_help_heading = "Shards")]
    shards: ManifestArg,

    #[command(flatten)]
    foreign: ForeignArgs,

    #[command(flatten)]
    protection: Protection,

    #[command(flatten)]
    uploading: Uploading,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    rate: RateArgs,

    #[command(flatten)]
    timeout: Timeout,
}

impl Restore {
    /// To standard output, with every other choice at its default.
    pub(crate) fn to_standard_output(
        sealed: Sealed,
        force: bool,
        expected: Expected,
        signed_by: SignedByArgs,
        opening: OpeningArgs,
        foreign: ForeignArgs,
        if_no_tree: IfNoTree,
    ) -> Restore {
        let OpeningArgs { keys, resources, rate, timeout } = opening;
        Restore {
            command: "cat",
            if_no_tree,
            sealed,
            target: Goal::Here(End::Standard),
            force,
            staging: StagingArgs::default(),
            tree: RestoredTreeArgs::default(),
            salvage: false,
            wal: None,
            seed: None,
            expected,
            signed_by,
            #[cfg(feature = "signatures")]
            shards: ManifestArg::default(),
            keys,
            foreign,
            plan: PlanArgs::default(),
            protection: Protection::default(),
            uploading: Uploading::default(),
            resources,
            rate,
            timeout,
        }
    }

    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        self.sealed.set_timeout(self.timeout);
        self.signed_by.set_timeout(self.timeout);
        self.target.set_timeout(self.timeout);
        if let Some((plan, step)) = self.plan.step().map(|(plan, step)| (plan.to_owned(), step)) {
            return self.run_step(&plan, step, report);
        }
        #[cfg(feature = "signatures")]
        if self.shards.manifest {
            return self.run_manifest(report);
        }
        self.target = self.target.as_output();
        let salvaged = self.salvage.then(|| salvage::labelled(self.target.path())).transpose()?;
        let salvaged = salvaged.map(Path::to_owned);
        self.staging.check(&self.target)?;
        self.tree.check(&self.target)?;
        let selection = self.tree.selection()?;
        self.force = self.tree.may_replace(self.force, &self.target)?;
        self.refuse_seed()?;
        self.refuse_unproven_receipt()?;
        self.uploading.check(&self.target)?;
        self.resources.begin(RunInfo::opening(self.command), &self.files()?, report)?;
        self.refuse_same_object()?;
        self.target.refuse_terminal("the plaintext", if_exists(self.force))?;
        let cancel = interrupt::install(report)?;
        let watch = Watch::new(report, "restoring", Warnings::AtOnce);
        let outcome = TreeOutcome::default();
        let opener = self.tree.opener(self.opener(&cancel, watch.clone(), report)?, &outcome);
        let demanded = self.signed_by.demand(opener, &self.sealed, &cancel, report);
        let (opener, signer) = demanded.map_err(|failure| self.explain_unopened(failure))?;
        if let Some(target) = salvaged {
            let source = self.sealed.source(&cancel, report)?;
            return salvage::run(&opener, &self.sealed, source, &target, &watch, report);
        }
        let begun = Instant::now();
        self.target.refuse_options(&self.protection, self.force)?;
        self.refuse_log()?;
        if let (Some(selection), Some(target)) = (&selection, self.target.path()) {
            let source = self.source(&cancel, report)?;
            let restored = opener.restore_paths(source, target, selection, &self.tree.options());
            let restored = restored.map_err(|error| {
                let advice = self.tree.advice_of_paths(error.kind(), target);
                let failure = self.explain(error).of_input(&self.sealed);
                advice.into_iter().fold(failure, Failure::advise)
            })?;
            watch.finish();
            return self.tell_paths(signer, &restored, begun, report);
        }
        let restored = self.open(&opener, &cancel, report)?;
        if let Some(asserted) = asserted_in(&restored) {
            watch.finish();
            let (input, output, done) = (self.sealed.name(), self.target.name(), self.target.done_unproven());
            return Err(tell_asserted(
                input,
                Some(output),
                asserted,
                &done,
                self.target.channel(),
                begun,
                report,
            ));
        }
        let restored = restored.map_err(|error| self.explain(error).of_input(&self.sealed))?;
        let tree = outcome.restored().map(|restored| TreeRecord::new(&restored));
        let record = Record::new(&self, signer, &restored, tree, begun);
        watch.finish();
        record.tree.iter().for_each(|tree| tree.warn(report));
        report.done(self.target.channel(), &record, record.sentence(begun), self.target.done())
    }

    /// Restores it. What keeps it from being begun is a failure already.
    fn open(
        &self,
        opener: &Opener,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Result<Restored, cofferdam::Error>, Failure> {
        Ok(match (&self.sealed, &self.target) {
            (Sealed::Here(End::Path(sealed)), Goal::Here(End::Path(target))) => {
                opener.restore_file(sealed, target)
            }
            // By its name, so that a device is seen to be the one that would be written.
            (Sealed::Here(End::Standard), Goal::Here(End::Path(target)))
                if Standard::Input.is_block_device() =>
            {
                opener.restore_file("/dev/stdin", target)
            }
            (_, Goal::Here(End::Path(target))) => opener.restore_to(self.source(cancel, report)?, target),
            (_, Goal::Here(End::Standard)) => {
                opener.open_archive(self.source(cancel, report)?, End::stdout()?, self.if_no_tree)
            }
            (_, Goal::There(url)) => {
                self.uploading.restore(opener, self.source(cancel, report)?, url, report)
            }
            (_, Goal::Receiver(address)) => {
                let source = self.source(cancel, report)?;
                opener.open(source, self.protection.connect(address, self.staging.restart)?)
            }
        })
    }

    fn tell_paths(
        &self,
        signed_by: Option<KeyName>,
        restored: &RestoredPaths,
        begun: Instant,
        report: Report,
    ) -> Result<(), Failure> {
        let tree = TreeRecord::new(&restored.tree);
        tree.warn(report);
        let record = PathsRecord {
            event: "restored-paths",
            input: self.sealed.name(),
            output: self.target.name(),
            stream_id: restored.stream_id.to_string(),
            signed_by,
            metadata: pairs(&restored.metadata),
            tree,
            seconds: begun.elapsed().as_secs_f64(),
        };
        let mut text = format!(
            "restored some paths of {} into {}: {}, {}; only these bytes were read and proved",
            record.input,
            record.output,
            record.tree.contents(),
            Size(restored.tree.counts.data_len)
        );
        if let Some(old) = record.tree.kept_old() {
            text.push_str(&format!("\nthe directory that was there is {old}"));
        }
        report.done(self.target.channel(), &record, text, self.target.done())
    }

    fn opener(&self, cancel: &CancelToken, watch: Arc<Watch>, report: Report) -> Result<Opener, Failure> {
        let identities = self.foreign.some_identities(&self.keys, cancel, report)?;
        metrics_file::has_keys();
        let opener = self.staging.opener(Opener::new(identities).if_exists(if_exists(self.force)));
        let opener = self.foreign.opener(self.expected.pinned(self.expected.not_older(opener)));
        let opener = self.wal.iter().fold(opener, |opener, log| opener.log(log));
        let opener = self.seed.iter().fold(opener, |opener, seed| opener.seed(seed));
        self.rate.opener(self.resources.opener(opener, cancel, watch), report)
    }

    /// Opens the sealed stream. With a pin or a signature, one that a server gives only in order is refused where the target shows segments at once:
    /// the server could have another stream shown by giving no ranges. Whoever gives a pipe has chosen it.
    fn source(&self, cancel: &CancelToken, report: Report) -> Result<Box<dyn Source>, Failure> {
        let source = self.sealed.source(cancel, report).map_err(|failure| self.explain_unopened(failure))?;
        let is_compared_late = matches!(self.sealed, Sealed::There(_))
            && source.positioned().is_none()
            && source.len() != Some(0);
        let option = match self.expected.expect_digest {
            Some(_) => Some("--expect-digest"),
            None => self.signed_by.is_given().then_some("--signed-by"),
        };
        if let Some(option) = option.filter(|_| is_compared_late && self.target.shows_at_once()) {
            let what = format!(
                "{} can only be read in order: its digest would be compared with {option} after segments have gone out",
                self.sealed
            );
            return Err(Failure::usage(what).advise(
                "Restore it to a file, or fetch it into one and give that; a file is compared first.",
            ));
        }
        Ok(source)
    }

    fn files(&self) -> Result<NamedFiles, Failure> {
        let mut files = NamedFiles::default();
        self.sealed.name_files(&mut files)?;
        self.keys.name_files(&mut files)?;
        self.signed_by.name_files(&self.sealed, &mut files)?;
        self.foreign.name_files(&mut files)?;
        self.rate.name_files(&mut files)?;
        self.resources.name_files(&mut files)?;
        self.protection.name_files(&mut files)?;
        self.target.name_files(&mut files)?;
        if let Some(log) = &self.wal {
            files.writes("the log", &End::Path(log.clone()))?;
        }
        if let Some(seed) = &self.seed {
            files.seeds("the seed", seed);
        }
        if let Goal::Here(End::Path(target)) = &self.target
            && self.force
            && self.tree.removes_old()
            && target.is_dir()
        {
            files.refuse_within(target)?;
        }
        Ok(files)
    }

    /// A receiver has no word for what is not proved: it would report the target as whole.
    fn refuse_unproven_receipt(&self) -> Result<(), Failure> {
        if self.foreign.accepts_unproven() && matches!(self.target, Goal::Receiver(_)) {
            return Err(Failure::usage(
                "--accept-unproven is not for a receiver, which would take the stream for a whole one",
            )
            .advise(NOT_FOR_RECEIVERS));
        }
        Ok(())
    }

    fn refuse_same_object(&self) -> Result<(), Failure> {
        if let (Sealed::There(sealed), Goal::There(target)) = (&self.sealed, &self.target)
            && sealed.is_same_object(target)
        {
            return Err(Failure::usage("the input and the output are the same object")
                .advise("Give the output another name. The input is then yours to remove."));
        }
        Ok(())
    }

    /// A log is for what has a path here.
    fn refuse_log(&self) -> Result<(), Failure> {
        match (&self.wal, &self.target) {
            (None, _) => Ok(()),
            (Some(_), Goal::Here(End::Path(_))) => {
                interrupt::writes_in_place();
                Ok(())
            }
            (Some(_), Goal::Here(End::Standard) | Goal::Receiver(_) | Goal::There(_)) => {
                Err(Failure::usage("--wal is for a block device").advise("Leave the option out."))
            }
        }
    }

    /// Of a stream that could not even be opened.
    fn explain_unopened(&self, failure: Failure) -> Failure {
        failure.advise_also(match &self.target {
            Goal::Here(End::Path(path)) if self.wal.is_none() && !is_pipe(path) => "The target is as it was.",
            _ => "Nothing has been written.",
        })
    }

    /// The option that is for trees alone is named, and the stream that is none.
    fn no_tree(&self) -> Failure {
        let option = match self.if_no_tree {
            IfNoTree::Refuse => "--tar",
            _ => self.tree.first_given().unwrap_or("an option"),
        };
        let what = format!("{}: the stream is no tree, and {option} is for trees alone", self.sealed);
        Failure::usage(what).advise("Leave the option out.")
    }

    fn explain(&self, error: cofferdam::Error) -> Failure {
        if error.remedy() == Some(Remedy::AskForNoTree) {
            return self.no_tree();
        }
        if error.remedy() == Some(Remedy::AcceptUnproven) && matches!(self.target, Goal::Receiver(_)) {
            return Failure::from(error).advise(NOT_FOR_RECEIVERS);
        }
        let Some(log) = &self.wal else { return self.target.explain(error, "target") };
        // Where nothing says more, it comes before the log is replayed.
        let (kept, is_cut_off) = (error.resumable_bytes(), is_cut_off(error.kind()));
        let begins_anew = error.opens_all_again();
        let failure = Failure::from(error);
        let log = Name::from(log.as_path());
        match kept {
            Some(_) if begins_anew => failure.advise_also(
                "This run has not written to the device. The same command opens all of the stream again.",
            ),
            Some(_) if self.sealed.is_pipe() => failure.advise_also(
                "This run has not written to the device. From a pipe the same command begins anew; from a file it goes on.",
            ),
            Some(kept) => failure.advise_also(&format!(
                "This run has not written to the device. {} are kept in {log}: run the same command again to go on from there, \
                 or with `--restart` to begin anew.",
                Size(kept)
            )),
            None if is_cut_off => failure.advise_also("This run has not written to the device."),
            None => failure,
        }
    }

    /// Before anybody is asked for a passphrase, or a receiver greeted.
    fn refuse_seed(&self) -> Result<(), Failure> {
        let staged = matches!(&self.target, Goal::Here(End::Path(path)) if !is_pipe(path));
        if self.seed.is_none() || staged {
            return Ok(());
        }
        Err(Failure::usage("--seed is of no use: the target is no file on this machine")
            .advise("Restore to a file, or without --seed."))
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: Name,
    output: Name,
    format: &'static str,
    stream_id: String,
    segments: Option<u64>,
    plaintext_len: u64,
    stream_digest: Option<String>,
    signed_by: Option<KeyName>,
    sequence: Option<u64>,
    kept: u64,
    seeded: u64,
    metadata: Vec<Pair>,
    tree: Option<TreeRecord>,
    seconds: f64,
}

/// Of a restore of some paths.
#[derive(Serialize)]
struct PathsRecord {
    event: &'static str,
    input: Name,
    output: Name,
    stream_id: String,
    signed_by: Option<KeyName>,
    metadata: Vec<Pair>,
    tree: TreeRecord,
    seconds: f64,
}

impl Record {
    fn new(
        command: &Restore,
        signed_by: Option<KeyName>,
        restored: &Restored,
        tree: Option<TreeRecord>,
        begun: Instant,
    ) -> Record {
        let format = StreamFormat::of_restored(restored);
        Record {
            event: "restored",
            input: command.sealed.name(),
            output: command.target.name(),
            format: format.name(),
            stream_id: restored.stream_id.to_string(),
            segments: format.if_ours(restored.segments),
            plaintext_len: restored.plaintext_len,
            stream_digest: format.if_ours(restored.stream_digest.to_string()),
            signed_by,
            sequence: restored.sequence(),
            kept: restored.resumed_bytes,
            seeded: restored.seeded_bytes,
            metadata: pairs(&restored.metadata),
            tree,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn sentence(&self, begun: Instant) -> String {
        let mut text = format!("restored {} into {}: ", self.input, self.output);
        if let Some(tree) = &self.tree {
            text.push_str(&format!("{}, ", tree.contents()));
        }
        text.push_str(&Size(self.plaintext_len).to_string());
        match self.segments {
            Some(segments) => text.push_str(&format!(" in {}", count(segments, "segment"))),
            None => text.push_str(&format!(", sealed as {}", self.format)),
        }
        if (self.kept, self.seeded) == (0, 0) {
            text.push_str(&format!(", {}", pace(self.plaintext_len, begun.elapsed())));
        }
        for (bytes, what) in [(self.kept, "kept from before"), (self.seeded, "taken from the seed")] {
            if bytes > 0 {
                text.push_str(&format!(", {} of it {what}", Size(bytes)));
            }
        }
        if let Some(old) = self.tree.as_ref().and_then(TreeRecord::kept_old) {
            text.push_str(&format!("\nthe directory that was there is {old}"));
        }
        if let Some(signer) = &self.signed_by {
            text.push_str(&format!("\nsigned by {signer}"));
        }
        if let Some(sequence) = self.sequence {
            text.push_str(&format!("\nsequence {sequence}"));
        }
        // What the program keeps for itself says nothing of what was sealed with `--metadata`.
        for Pair { key, value } in self.metadata.iter().filter(|pair| !pair.is_ours()) {
            text.push_str(&format!("\n{key}={value}"));
        }
        text
    }
}

const NOT_FOR_RECEIVERS: &str = "A receiver takes only what is proved. Restore it to a file with --accept-unproven, look at that, and send the file.";

/// A step of a plan, most of which know stream and target from it. What is not given then reads as standard input and output, which no step has:
/// the step that needs them says so, and whoever has named no step is asked for one alone.
const BY_PLAN: &str = "plan";
const STANDARD: &str = "-";
