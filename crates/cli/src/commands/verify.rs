//! `cofferdam verify`: checks a sealed stream and writes nothing.
//! It says how much the check has shown; the library checks.

#[cfg(feature = "signatures")]
mod shards;

use std::time::Instant;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{CancelToken, Opener, Restored};
use serde::Serialize;

use crate::commands::salvage;
use crate::expected::Expected;
use crate::failure::Failure;
use crate::foreign::StreamFormat;
use crate::foreign_args::{ForeignArgs, asserted_in, tell_asserted};
use crate::interrupt;
#[cfg(feature = "signatures")]
use crate::manifest_arg::ManifestArg;
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::opening_args::OpeningArgs;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::{Channel, Report};
use crate::sealed::Sealed;
use crate::signatures::{KeyName, SignedByArgs};
use crate::size::Size;
use crate::text::{Pair, agree, count, pace, pairs};
use crate::tree_args::counted_gone;
use crate::tree_reading::check_tree;

/// Check a sealed stream, with a key or without
///
/// With a key, everything is checked: it can be restored. Without one, every digest and the structure: that finds damage,
/// but anyone can make a stream that is consistent. With the digest from a trusted place (`seal` prints it), the stream is
/// the very one.
///
/// Of a sealed tree, with a key and not from a pipe, its catalog is then compared with the headers of its archive.
///
/// Of a damaged or truncated file all segments are then looked at, and every range of the plaintext that is lost is listed.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Verify {
    /// The sealed stream: a file, a block device, a FIFO, - for standard input, or a URL: s3:, gs:, az:, http: or https:
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    sealed: Sealed,

    #[command(flatten)]
    expected: Expected,

    #[command(flatten)]
    signed_by: SignedByArgs,

    #[cfg(feature = "signatures")]
    #[command(flatten, next_help_heading = "Shards")]
    shards: ManifestArg,

    #[command(flatten)]
    foreign: ForeignArgs,

    #[command(flatten)]
    opening: OpeningArgs,
}

/// What the check has shown about who made the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Authenticity {
    /// Every tag and MAC, with the key.
    Checked,
    /// Digests, and a signature over them.
    Signed,
    /// Nothing but the digest that was expected.
    Pinned,
    NotChecked,
}

impl Verify {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        self.sealed.set_timeout(self.opening.timeout);
        self.signed_by.set_timeout(self.opening.timeout);
        let mut files = NamedFiles::default();
        self.opening.name_files(&self.sealed, &mut files)?;
        self.foreign.name_files(&mut files)?;
        self.signed_by.name_files(&self.sealed, &mut files)?;
        #[cfg(feature = "signatures")]
        if self.shards.manifest {
            return self.run_manifest(&files, report);
        }
        let run = match self.opening.keys.is_given() || self.foreign.is_given() {
            true => RunInfo::opening("verify"),
            false => RunInfo::without_key("verify"),
        };
        self.opening.resources.begin(run, &files, report)?;
        let cancel = interrupt::install(report)?;
        let watch = Watch::new(report, "verifying", Warnings::Kept);
        let identities = self.foreign.identities(&self.opening.keys, &cancel, report)?;
        metrics_file::has_keys();
        let authenticity = match (&identities, self.expected.expect_digest) {
            (Some(_), _) => Authenticity::Checked,
            (None, _) if self.signed_by.is_given() => Authenticity::Signed,
            (None, Some(_)) => Authenticity::Pinned,
            (None, None) => Authenticity::NotChecked,
        };
        let opener = self.opening.opener(identities, &self.expected, &cancel, watch.clone(), report)?;
        let opener = self.foreign.opener(opener);
        let demanding = self.expected.pinned(opener.clone());
        let (demanding, signer) = self.signed_by.demand(demanding, &self.sealed, &cancel, report)?;
        let begun = Instant::now();
        let verified = demanding.verify(self.sealed.source(&cancel, report)?);
        watch.finish();
        if let Some(asserted) = asserted_in(&verified) {
            let (input, done) = (self.sealed.name(), "every chunk opens");
            return Err(tell_asserted(input, None, asserted, done, Channel::Stdout, begun, report));
        }
        let verified = verified.map_err(|error| {
            let failure = Failure::from(error).of_input(&self.sealed);
            salvage::list_lost(&opener, &self.sealed, &cancel, &watch, report, failure)
        })?;
        verified.warnings.iter().for_each(|warning| report.warning(warning));
        let tree = self.check_tree(&demanding, &verified, &cancel, report)?;
        let record = Record { tree, ..Record::new(&self.sealed, authenticity, signer, &verified, begun) };
        report.found(&record, record.sentence(authenticity, begun), "nothing wrong was found")
    }

    /// Of a tree that can be read a second time: whether its catalog and its headers fit together. Its frames have been checked by then.
    fn check_tree(
        &self,
        opener: &Opener,
        verified: &Restored,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Option<TreeCounts>, Failure> {
        if self.sealed.is_in_order() {
            return Ok(None);
        }
        let counts = check_tree(verified, || Ok(opener.reader(self.sealed.source(cancel, report)?)?));
        let counts = counts.map_err(|failure| failure.of_input(&self.sealed))?;
        Ok(counts.map(|counts| TreeCounts {
            files: counts.files,
            directories: counts.directories,
            symlinks: counts.symlinks,
            hard_links: counts.hard_links,
            others: counts.others,
            data_len: counts.data_len,
            changed: counts.changed,
            gone: counts.gone,
            gone_len: counts.gone_len,
        }))
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: Name,
    authenticity: &'static str,
    format: &'static str,
    stream_id: String,
    segments: Option<u64>,
    plaintext_len: u64,
    stream_digest: Option<String>,
    signed_by: Option<KeyName>,
    sequence: Option<u64>,
    metadata: Vec<Pair>,
    tree: Option<TreeCounts>,
    seconds: f64,
}

/// Of a tree whose catalog and headers fit together.
#[derive(Serialize)]
struct TreeCounts {
    files: u64,
    directories: u64,
    symlinks: u64,
    hard_links: u64,
    others: u64,
    data_len: u64,
    changed: u64,
    gone: u64,
    gone_len: u64,
}

impl TreeCounts {
    /// What the catalog says of files that were not the same all the time, a line each.
    fn flags(&self) -> String {
        let mut text = String::new();
        match self.changed - self.gone {
            0 => {}
            written => text.push_str(&format!(
                "\n{} changed while the directory was sealed; the bytes may be of several moments",
                count(written, "file")
            )),
        }
        if self.gone > 0 {
            let (gone, len) = (counted_gone(self.gone), Size(self.gone_len));
            text.push_str(&format!(
                "\n{gone} gone when the directory was sealed; {len} of zeros stand for {}",
                agree(self.gone, "{it|them}")
            ));
        }
        text
    }
}

impl Record {
    fn new(
        sealed: &Sealed,
        authenticity: Authenticity,
        signed_by: Option<KeyName>,
        verified: &Restored,
        begun: Instant,
    ) -> Record {
        let format = StreamFormat::of_restored(verified);
        Record {
            event: "verified",
            input: sealed.name(),
            authenticity: match authenticity {
                Authenticity::Checked => "checked",
                Authenticity::Signed => "signed",
                Authenticity::Pinned => "pinned",
                Authenticity::NotChecked => "not checked",
            },
            format: format.name(),
            stream_id: verified.stream_id.to_string(),
            segments: format.if_ours(verified.segments),
            plaintext_len: verified.plaintext_len,
            stream_digest: format.if_ours(verified.stream_digest.to_string()),
            signed_by,
            sequence: verified.sequence(),
            metadata: pairs(&verified.metadata),
            tree: None,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn sentence(&self, authenticity: Authenticity, begun: Instant) -> String {
        let (Some(segments), Some(stream_digest)) = (self.segments, &self.stream_digest) else {
            return format!(
                "{}: verified: every chunk opens, to the last; sealed as {}, which does not say by whom\n{}, {}",
                self.input,
                self.format,
                Size(self.plaintext_len),
                pace(self.plaintext_len, begun.elapsed()),
            );
        };
        let found = match authenticity {
            Authenticity::Checked => "verified: every frame opens, and all of it can be restored",
            Authenticity::Signed => "consistent, and the very stream that was signed",
            Authenticity::Pinned => "consistent, and the very stream of the expected digest",
            Authenticity::NotChecked => "consistent; authenticity not checked",
        };
        let signed = self.signed_by.as_ref().map_or(String::new(), |signer| format!("\nsigned by {signer}"));
        let sequence = self.sequence.map_or(String::new(), |sequence| format!("\nsequence {sequence}"));
        let tree = self.tree.as_ref().map_or(String::new(), |tree| {
            let entries = tree.files + tree.directories + tree.symlinks + tree.hard_links + tree.others;
            let members = count(entries, "member");
            format!("\na tree of {members}; its catalog says what its headers say{}", tree.flags())
        });
        format!(
            "{}: {found}\n{} in {}, {}{tree}\nstream digest {stream_digest}{signed}{sequence}",
            self.input,
            Size(self.plaintext_len),
            count(segments, "segment"),
            pace(self.plaintext_len, begun.elapsed()),
        )
    }
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam verify db.cfd                              without a key: is it whole?
  cofferdam verify -i key.txt db.cfd                   with the key: does it restore?
  cofferdam verify --expect-digest 3f… db.cfd          is it the one that was sealed?
  cofferdam verify --signed-by sealers.pub db.cfd      is it one that they have sealed?
  cofferdam verify --manifest --signed-by sealers.pub may.manifest   are all shards of the snapshot there, and right?

Exit codes: 0 all that could be checked is right, 1 reading failed, 2 usage, 3 damaged, tampered with, or \
of another digest, 4 no key opens it, 5 truncated, 7 a limit is exceeded or a feature is not \
supported, 11 no Cofferdam stream, 12 the sealed stream changed while it was read, 13 every chunk opens, and nothing proves that it is whole, 14 the stream is \
older than --min-sequence asks for, 15 nothing has come from the store for too long, 17 not signed by anybody of --signed-by, 19 shards of the manifest are missing, 130 interrupted.";
