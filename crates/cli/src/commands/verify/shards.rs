//! `cofferdam verify --manifest`: each stream that a signed manifest names, whether it is there, and whether it is right.
//! It says of all of them what it has found; the library checks.

use std::time::Instant;

use cofferdam::shards::Shard;
use cofferdam::{CancelToken, ErrorKind, Opener, StreamDigest};
use serde::Serialize;

use super::Verify;
use crate::failure::{Failure, FailureKind};
use crate::interrupt;
use crate::manifest_arg::{is_missing, open_stream, stream_of};
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::Report;
use crate::sealed::Sealed;
use crate::signatures::KeyName;
use crate::size::Size;
use crate::text::{count, pace};
use crate::tree_reading::check_tree;

impl Verify {
    /// The shards of a snapshot. The first that is wrong decides the exit code, unless some are missing: that is said first.
    pub(super) fn run_manifest(&self, files: &NamedFiles, report: Report) -> Result<(), Failure> {
        if self.foreign.is_given() {
            return Err(Failure::usage("a manifest names streams of Cofferdam's own alone")
                .advise("Leave out the options for streams of other programs."));
        }
        let run = match self.opening.keys.is_given() {
            true => RunInfo::opening("verify"),
            false => RunInfo::without_key("verify"),
        };
        self.opening.resources.begin(run, files, report)?;
        let cancel = interrupt::install(report)?;
        let begun = Instant::now();
        let signed = self.signed_by.manifest(&self.sealed, &cancel, report)?;
        if let Some(least) = self.expected.min_sequence() {
            signed.require_sequence(least).map_err(|error| Failure::from(error).of_input(&self.sealed))?;
        }
        let watch = Watch::new(report, "verifying", Warnings::AtOnce);
        let identities = self.opening.keys.identities(&cancel, report)?;
        metrics_file::has_keys();
        let opener = identities.map_or_else(Opener::keyless, Opener::new);
        let resources = &self.opening.resources;
        let opener = self.opening.rate.opener(resources.opener(opener, &cancel, watch.clone()), report)?;
        let (mut missing, mut wrong) = (Vec::new(), Vec::new());
        for shard in signed.manifest().shards() {
            let stream = stream_of(shard, &self.sealed, self.opening.timeout)?;
            let Err(failure) = self.verify_shard(&opener, shard, &stream, &cancel, report) else { continue };
            if cancel.is_cancelled() {
                return Err(Failure::interrupted());
            }
            let is_missing = is_missing(&stream, &cancel, report);
            let record = ShardRecord::wrong(shard, &stream, is_missing, &failure);
            let sentence = match is_missing {
                true => format!("{}: missing: there is no {stream}", record.name),
                false => format!("{}: {}", record.name, failure.message),
            };
            report.finding(&record, sentence)?;
            if is_missing { missing.push(shard.name.to_string()) } else { wrong.push((shard, failure)) }
        }
        watch.finish();
        self.conclude(missing, wrong)?;
        let manifest = signed.manifest();
        let record = ShardsRecord {
            event: "verified-shards",
            input: self.sealed.name(),
            shards: manifest.shards().len() as u64,
            plaintext_len: manifest.plaintext_len(),
            sequence: manifest.sequence(),
            signed_by: KeyName::from(signed.signer()),
            seconds: begun.elapsed().as_secs_f64(),
        };
        let sentence = format!(
            "{}: {}\n{}, {}\nsigned by {}",
            record.input,
            match record.shards {
                1 => "its one shard is there, and the very stream that was signed".to_owned(),
                shards => format!("all of {shards} shards are there, and the very streams that were signed"),
            },
            Size(record.plaintext_len),
            pace(record.plaintext_len, begun.elapsed()),
            record.signed_by
        );
        report.found(&record, sentence, "nothing wrong was found")
    }

    fn verify_shard(
        &self,
        opener: &Opener,
        shard: &Shard,
        stream: &Sealed,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<(), Failure> {
        let source = open_stream(stream, cancel, report)?;
        let opener = opener.clone().expect_digest(StreamDigest(shard.stream_digest));
        let verified = opener.verify(source).map_err(|error| Failure::from(error).of_input(stream))?;
        if verified.plaintext_len != shard.plaintext_len {
            let what = format!(
                "{stream}: it has {}, and the manifest says {}",
                count(verified.plaintext_len, "byte"),
                shard.plaintext_len
            );
            return Err(Failure::new(ErrorKind::DigestMismatch, what)
                .advise("Look who has made the manifest, and make another."));
        }
        // Of a tree: whether its catalog says what its headers say.
        let counts = check_tree(&verified, || Ok(opener.reader(open_stream(stream, cancel, report)?)?));
        counts.map_err(|failure| failure.of_input(stream))?;
        let record = ShardRecord {
            event: "shard",
            name: Name::from(shard.name.as_os_str()),
            input: stream.name(),
            state: "verified",
            plaintext_len: shard.plaintext_len,
            kind: None,
            message: None,
        };
        report.finding(&record, format!("{}: verified, {}", record.name, Size(shard.plaintext_len)))
    }

    fn conclude(&self, missing: Vec<String>, wrong: Vec<(&Shard, Failure)>) -> Result<(), Failure> {
        if !missing.is_empty() {
            let shown = missing.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join(", ");
            let more = if missing.len() > SHOWN_MAX { ", …" } else { "" };
            let what =
                format!("{}: {} missing: {shown}{more}", self.sealed, count(missing.len() as u64, "shard"));
            return Err(Failure::new(FailureKind::PartsMissing, what)
                .advise("Bring the streams to where the manifest says that they are."));
        }
        let others = wrong.len().saturating_sub(1) as u64;
        match wrong.into_iter().next() {
            None => Ok(()),
            Some((shard, failure)) => {
                let failure = failure.of_part(format_args!("shard {}", shard.name));
                Err(if others > 0 {
                    failure.advise_also(&format!("{} wrong beside it.", count(others, "other shard")))
                } else {
                    failure
                })
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
    kind: Option<&'static str>,
    message: Option<String>,
}

impl ShardRecord {
    fn wrong(shard: &Shard, stream: &Sealed, is_missing: bool, failure: &Failure) -> ShardRecord {
        ShardRecord {
            event: "shard",
            name: Name::from(shard.name.as_os_str()),
            input: stream.name(),
            state: if is_missing { "missing" } else { "wrong" },
            plaintext_len: shard.plaintext_len,
            kind: Some(failure.kind_name()),
            message: Some(failure.message.clone()),
        }
    }
}

#[derive(Serialize)]
struct ShardsRecord {
    event: &'static str,
    input: Name,
    shards: u64,
    plaintext_len: u64,
    sequence: Option<u64>,
    signed_by: KeyName,
    seconds: f64,
}

/// More names than this are not read by anybody; each was said before.
const SHOWN_MAX: usize = 20;
