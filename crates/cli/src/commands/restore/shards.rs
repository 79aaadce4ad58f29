//! `cofferdam restore --manifest`: the streams that a signed manifest names, into one directory, all of them or none.
//! It turns options into calls; the library judges and restores.

use std::time::Instant;

use cofferdam::shards::{Shard, ShardRun, ShardsTarget, SignedManifest};
use cofferdam::{CancelToken, Opener, TreeOutcome, is_pipe};
use serde::Serialize;

use super::Restore;
use crate::failure::Failure;
use crate::interrupt;
use crate::io_arg::End;
use crate::manifest_arg::{open_stream, stream_of};
use crate::metrics_file::{self, RunInfo};
use crate::peer::Goal;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::{Channel, Report};
use crate::restored_tree::TreeRecord;
use crate::sealed::Sealed;
use crate::signatures::KeyName;
use crate::size::Size;
use crate::text::{count, pace};

impl Restore {
    /// The shards of a snapshot.
    pub(super) fn run_manifest(&self, report: Report) -> Result<(), Failure> {
        let target = match &self.target {
            Goal::Here(End::Path(target)) if !is_pipe(target) => target,
            _ => return Err(Failure::usage("shards become a directory").advise("Name one as TARGET.")),
        };
        self.refuse_of_streams()?;
        self.uploading.check(&self.target)?;
        self.target.refuse_options(&self.protection, self.force)?;
        self.resources.begin(RunInfo::opening(self.command), &self.files()?, report)?;
        let cancel = interrupt::install(report)?;
        let begun = Instant::now();
        let untouched = |failure: Failure| failure.advise_also("Nothing has been put in place.");
        let manifest = self.signed_by.manifest(&self.sealed, &cancel, report).map_err(untouched)?;
        if let Some(least) = self.expected.min_sequence() {
            manifest
                .require_sequence(least)
                .map_err(|error| untouched(Failure::from(error).of_input(&self.sealed)))?;
        }
        // What no stream can be is refused before anything is made.
        let streams: Result<Vec<Sealed>, Failure> = manifest
            .manifest()
            .shards()
            .iter()
            .map(|shard| stream_of(shard, &self.sealed, self.timeout))
            .collect();
        let streams = streams.map_err(untouched)?;
        let watch = Watch::new(report, "restoring", Warnings::AtOnce);
        let identities = self.foreign.some_identities(&self.keys, &cancel, report)?;
        metrics_file::has_keys();
        let opener = self.staging.opener(Opener::new(identities));
        let opener = self.rate.opener(self.resources.opener(opener, &cancel, watch.clone()), report)?;
        interrupt::roll_back_from_now_on();
        let opened = match self.staging.restart {
            true => ShardsTarget::open_anew(&manifest, target),
            false => ShardsTarget::open(&manifest, target),
        };
        let Some(place) = opened? else {
            watch.finish();
            let record = ShardsRecord::new(self, &manifest, begun, true);
            let sentence = format!("{} has been put in place before", record.output);
            return report.done(Channel::Stdout, &record, sentence, self.target.done());
        };
        for (shard, stream) in manifest.manifest().shards().iter().zip(&streams) {
            let restored = self.restore_shard(&opener, &place, shard, stream, &cancel, report);
            restored.map_err(|failure| failure.unless_interrupted(&cancel).advise_also(RESUMED))?;
        }
        watch.finish();
        if let Some(left) = place.publish()? {
            let (left, target) = (Name::from(&*left), self.target.name());
            report.warning(format!(
                "{left} could not be removed, and has no shard in it: `cofferdam discard {target}` removes it"
            ));
        }
        let record = ShardsRecord::new(self, &manifest, begun, false);
        let mut sentence = format!(
            "{}: {}, {}, {}\nsigned by {}",
            record.output,
            count(record.shards, "shard"),
            Size(record.plaintext_len),
            pace(record.plaintext_len, begun.elapsed()),
            record.signed_by
        );
        if let Some(sequence) = record.sequence {
            sentence.push_str(&format!("\nsequence {sequence}"));
        }
        report.done(Channel::Stdout, &record, sentence, self.target.done())
    }

    fn restore_shard(
        &self,
        opener: &Opener,
        place: &ShardsTarget,
        shard: &Shard,
        stream: &Sealed,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<(), Failure> {
        let begun = Instant::now();
        let named = |failure: Failure| failure.of_part(format_args!("shard {}", shard.name));
        let outcome = TreeOutcome::default();
        let opener = self.tree.opener_of_shard(opener.clone(), &outcome);
        let state = match place.has(&opener, shard)? {
            true => "restored before",
            false => {
                let source = open_stream(stream, cancel, report).map_err(named)?;
                let run = place.restore(&opener, shard, source);
                match run.map_err(|error| named(Failure::from(error).of_input(stream)))? {
                    ShardRun::Restored(_) => "restored",
                    _ => "restored before",
                }
            }
        };
        let tree = outcome.restored().map(|restored| TreeRecord::new(&restored));
        tree.iter().for_each(|tree| tree.warn(report));
        let record = ShardRecord {
            event: "shard",
            name: Name::from(shard.name.as_os_str()),
            input: stream.name(),
            state,
            plaintext_len: shard.plaintext_len,
            seconds: begun.elapsed().as_secs_f64(),
        };
        let sentence = format!("{}: {state}, {}", record.name, Size(shard.plaintext_len));
        report.summary(Channel::Stdout, &record, sentence)
    }

    /// Options that say something of one stream, and nothing of several.
    fn refuse_of_streams(&self) -> Result<(), Failure> {
        let refused = [
            ("--force", self.force),
            ("--salvage", self.salvage),
            ("--wal", self.wal.is_some()),
            ("--seed", self.seed.is_some()),
            ("--path", self.tree.selection()?.is_some()),
            ("--into", self.tree.is_into()),
            ("the options for streams of other programs", self.foreign.is_given()),
            ("--accept-unproven", self.foreign.accepts_unproven()),
        ];
        match refused.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => {
                let what = format!("{option}: not of use where several streams become one new directory");
                Err(Failure::usage(what).advise("Leave it out."))
            }
        }
    }
}

#[derive(Serialize)]
struct ShardRecord {
    event: &'static str,
    name: Name,
    input: Name,
    state: &'static str,
    plaintext_len: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct ShardsRecord {
    event: &'static str,
    input: Name,
    output: Name,
    shards: u64,
    plaintext_len: u64,
    sequence: Option<u64>,
    signed_by: KeyName,
    was_there: bool,
    seconds: f64,
}

impl ShardsRecord {
    fn new(restore: &Restore, manifest: &SignedManifest, begun: Instant, was_there: bool) -> ShardsRecord {
        let signed_by = KeyName::from(manifest.signer());
        let manifest = manifest.manifest();
        ShardsRecord {
            event: "restored-shards",
            input: restore.sealed.name(),
            output: restore.target.name(),
            shards: manifest.shards().len() as u64,
            plaintext_len: manifest.plaintext_len(),
            sequence: manifest.sequence(),
            signed_by,
            was_there,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }
}

const RESUMED: &str =
    "Nothing has been put in place; the same command goes on with the shards that are left.";
