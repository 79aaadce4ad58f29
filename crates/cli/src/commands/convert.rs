//! `cofferdam convert`: a stream that another tool has sealed, or this one, sealed anew.
//! It turns options into an opener and a sealer; the library has them work on one stream.

use std::num::NonZeroUsize;
use std::thread;
use std::time::Instant;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{
    CancelToken, ErrorKind, Identities, Opener, Plaintext, Remedy, Sealed as SealedStream, Sealer,
    sequence_of,
};
use serde::Serialize;

use crate::expected::Expected;
use crate::failure::Failure;
use crate::foreign::StreamFormat;
use crate::foreign_args::{ForeignArgs, SealedAnew, tell_asserted_anew};
use crate::format_args::Format;
use crate::interrupt;
use crate::io_arg::{End, if_exists};
use crate::key_args::OpeningKeys;
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::peer::Goal;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::Report;
use crate::resources::Resources;
use crate::sealed::Sealed;
use crate::sealing_keys::NewKeys;
use crate::signatures::{KeyName, SignedByArgs};
use crate::size::Size;
use crate::text::{count, pace};
use crate::timeout::Timeout;
use crate::uploading::Uploading;

/// Seal anew what another tool has sealed, or this one, without plaintext on a disk
///
/// OLD is an age file, a stream of harpocrates (AGCM), ecies-lib (ECIE, MREC) or streaming-crypto (RSE1), or one of ours: to compress it, say, or to
/// leave the key behind that its recipients have had. (`rewrap` changes the recipients of one of ours and leaves the data as it is.) It is opened and
/// sealed in one pass. Of a stream of ours NEW has the metadata, the sequence number, and the mode and time of the file, which an age file has no
/// place for; it has another digest, and no signature. NEW appears once all of OLD has been proved, and is then synced to disk; otherwise not at all. Of some formats nothing proves that a stream is
/// whole: those are refused, unless --accept-unproven says otherwise; NEW then proves itself, and not that it is all of what was
/// sealed once.
///
/// An interrupted run leaves nothing behind, and the next one begins anew.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Convert {
    /// What is sealed anew: a file, a FIFO, - for standard input, or a URL: s3:, gs:, az:, http: or https:
    #[arg(value_name = "OLD", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    old: Sealed,

    /// Where the sealed stream goes: a file, an object in a store (s3:, gs:, az:), or - for standard output
    #[arg(value_name = "NEW", value_parser = OsStringValueParser::new().try_map(Goal::parse_output))]
    new: Goal,

    /// Replace an output that exists: a file atomically, an object if it is still the one that was there at the start; with -, write
    /// to a terminal too
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    opening: OpeningKeys,

    #[command(flatten)]
    foreign: ForeignArgs,

    #[command(flatten)]
    expected: Expected,

    #[command(flatten)]
    signed_by: SignedByArgs,

    #[command(flatten)]
    sealing: NewKeys,

    #[command(flatten)]
    format: Format,

    #[command(flatten)]
    uploading: Uploading,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    timeout: Timeout,
}

impl Convert {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        self.format.refuse_what_age_lacks()?;
        self.old.set_timeout(self.timeout);
        self.new.set_timeout(self.timeout);
        self.signed_by.set_timeout(self.timeout);
        self.new = self.new.as_output();
        self.uploading.check(&self.new)?;
        self.resources.begin(RunInfo::opening("convert"), &self.files()?, report)?;
        self.refuse_same_object()?;
        self.new.refuse_terminal("the sealed stream", if_exists(self.force))?;
        let cancel = interrupt::install(report)?;
        let watch = Watch::new(report, "converting", Warnings::AtOnce);
        let identities = self.foreign.some_identities(&self.opening, &cancel, report)?;
        metrics_file::has_keys();
        let recipients = self.sealing.recipients(&self.opening.limits(), &cancel)?;
        let sealer = self.format.apply(Sealer::new(recipients).if_exists(if_exists(self.force)))?;
        let sealer = self.resources.sealer(sealer, &cancel, watch.clone()).threads(self.threads());
        let (opener, signer) = self.opener(identities, &cancel, report)?;
        let half = self.resources.memory().map(|memory| memory / 2);
        let sealer = half.into_iter().fold(sealer, Sealer::memory);
        let opener = half.into_iter().fold(opener, Opener::memory);
        let begun = Instant::now();
        let mut sealed = None;
        let source = self.old.source(&cancel, report)?;
        let len_max = source.len().map(len_max);
        let converted = opener.convert(source, |mut plaintext| {
            let sealer = self.keeping(sealer, &mut plaintext, &cancel, report)?;
            let made = self.seal(&sealer, plaintext, len_max, report);
            sealed = made.as_ref().ok().cloned();
            made
        });
        watch.finish();
        match (converted, sealed) {
            (Ok(converted), _) => {
                converted.opened.warnings.iter().for_each(|warning| report.warning(warning));
                let record = Record::new(&self, signer, &converted.sealed, begun);
                report.done(self.new.channel(), &record, record.sentence(begun), self.new.done())
            }
            (Err(error), Some(sealed)) if error.kind() == ErrorKind::Unproven => {
                let Some(asserted) = error.as_asserted() else { return Err(error.into()) };
                let anew = SealedAnew {
                    sealed_stream_id: sealed.stream_id.to_string(),
                    sealed_len: sealed.wire_len,
                    stream_digest: StreamFormat::of_sealed(&sealed).if_ours(sealed.stream_digest.to_string()),
                };
                let (old, new) = (self.old.name(), self.new.name());
                Err(tell_asserted_anew(old, new, asserted, anew, self.new.channel(), begun, report))
            }
            (Err(error), _) => Err(self.explain(error)),
        }
    }

    /// For no other stream than the one that is expected, and by whom it has to be signed.
    fn opener(
        &self,
        identities: Identities,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<(Opener, Option<KeyName>), Failure> {
        let opener = self.foreign.opener(Opener::new(identities)).threads(self.threads());
        let opener = self.expected.pinned(self.expected.not_older(opener));
        self.signed_by.demand(opener, &self.old, cancel, report)
    }

    /// `sealer`, for what OLD has beside its plaintext. Where NEW has no place for that, it is said.
    fn keeping(
        &self,
        sealer: Sealer,
        plaintext: &mut Plaintext,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Sealer, cofferdam::Error> {
        let metadata = plaintext.metadata(cancel)?;
        if !self.format.is_age() {
            return Ok(sealer.keep_metadata(metadata));
        }
        if !metadata.is_empty() {
            let pairs = count(metadata.len() as u64, "pair");
            let number = sequence_of(&metadata)
                .map_or(String::new(), |number| format!(", with its sequence number {number},"));
            report.warning(format!(
                "the metadata of {}, {pairs}{number} is not in {}: an age file has no place for it",
                self.old,
                self.new.name()
            ));
        }
        Ok(sealer)
    }

    fn seal(
        &self,
        sealer: &Sealer,
        plaintext: Plaintext,
        len_max: Option<u64>,
        report: Report,
    ) -> Result<SealedStream, cofferdam::Error> {
        match &self.new {
            Goal::Here(End::Path(path)) => sealer.seal_to(plaintext, path),
            Goal::Here(End::Standard) => {
                let output =
                    End::stdout().map_err(|failure| cofferdam::Error::new(ErrorKind::Io, failure.message))?;
                sealer.seal(plaintext, output)
            }
            Goal::There(url) => self.uploading.seal_source(sealer, plaintext, len_max, url, report),
            Goal::Receiver(_) => unreachable!("an output is no receiver"),
        }
    }

    fn explain(&self, error: cofferdam::Error) -> Failure {
        use Remedy::{RaiseMemory, RaiseMemoryOrSpool};
        let lacks_memory = matches!(error.remedy(), Some(RaiseMemory { .. } | RaiseMemoryOrSpool { .. }));
        let failure = self.new.explain(error, "output").of_input(&self.old);
        match lacks_memory && self.resources.memory().is_some() {
            true => failure.advise_also("Half of `--memory` is for opening OLD, and half for sealing NEW."),
            false => failure,
        }
    }

    /// Threads for each of the two.
    fn threads(&self) -> NonZeroUsize {
        let all = self.resources.threads().or_else(|| thread::available_parallelism().ok());
        let half = all.map_or(1, |all| all.get().div_ceil(2));
        NonZeroUsize::new(half).unwrap_or(NonZeroUsize::MIN)
    }

    fn files(&self) -> Result<NamedFiles, Failure> {
        let mut files = NamedFiles::default();
        self.old.name_files(&mut files)?;
        self.opening.name_files(&mut files)?;
        self.foreign.name_files(&mut files)?;
        self.signed_by.name_files(&self.old, &mut files)?;
        self.sealing.name_files(&mut files)?;
        self.resources.name_files(&mut files)?;
        self.new.name_files(&mut files)?;
        Ok(files)
    }

    fn refuse_same_object(&self) -> Result<(), Failure> {
        if let (Sealed::There(old), Goal::There(new)) = (&self.old, &self.new)
            && old.is_same_object(new)
        {
            return Err(Failure::usage("the input and the output are the same object")
                .advise("Give the output another name. The input is then yours to remove."));
        }
        Ok(())
    }
}

/// The most bytes that a stream of `old_len` has when it is sealed anew: its plaintext is shorter, and what is added to that, with the shortest
/// frames there are, is less than a fiftieth.
fn len_max(old_len: u64) -> u64 {
    old_len.saturating_add(old_len / 50).saturating_add(1 << 20)
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: Name,
    output: Name,
    proved: bool,
    format: &'static str,
    stream_id: String,
    segments: Option<u64>,
    plaintext_len: u64,
    sealed_len: u64,
    stream_digest: Option<String>,
    sequence: Option<u64>,
    /// Who has signed OLD.
    signed_by: Option<KeyName>,
    seconds: f64,
}

impl Record {
    fn new(command: &Convert, signed_by: Option<KeyName>, sealed: &SealedStream, begun: Instant) -> Record {
        let format = StreamFormat::of_sealed(sealed);
        Record {
            event: "converted",
            input: command.old.name(),
            output: command.new.name(),
            proved: true,
            format: format.name(),
            stream_id: sealed.stream_id.to_string(),
            segments: format.if_ours(sealed.segments),
            plaintext_len: sealed.plaintext_len,
            sealed_len: sealed.wire_len,
            stream_digest: format.if_ours(sealed.stream_digest.to_string()),
            sequence: sealed.sequence,
            signed_by,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn sentence(&self, begun: Instant) -> String {
        let mut text = format!(
            "sealed {} anew as {}: {}, {}",
            self.input,
            self.output,
            Size(self.plaintext_len),
            pace(self.plaintext_len, begun.elapsed()),
        );
        if let Some(digest) = &self.stream_digest {
            text.push_str(&format!("\nstream digest {digest}"));
        }
        if let Some(sequence) = self.sequence {
            text.push_str(&format!("\nsequence {sequence}"));
        }
        if let Some(signer) = &self.signed_by {
            text.push_str(&format!("\n{} is signed by {signer}; what it was sealed into is not", self.input));
        }
        text
    }
}

const AFTER_HELP: &str = "\
Examples:
  cofferdam convert -i key.txt -r age1… db.age db.cfd                      an age file
  cofferdam convert --foreign-key k.hex -r age1… db.mrec db.cfd            a stream of ecies-lib for several recipients
  cofferdam convert --foreign-key k.hex --accept-unproven --zstd -r age1… db.agcm db.cfd   one that nothing proves: exit code 13
  cofferdam convert -i key.txt -r age1… --zstd old.cfd new.cfd              one of ours, compressed
  cofferdam convert -i key.txt --format age -r age1… db.cfd db.age         for `age -d`
  cofferdam convert -i key.txt -r age1… s3://old/db.age s3://new/db.cfd    from store to store

Exit codes: 0 done, 1 reading or writing failed, 2 usage, or nothing proves that OLD is whole, 3 damaged, tampered with, or of another digest, 4 no key opens it, \
5 truncated, 6 NEW exists, 7 a limit is exceeded or a feature is not supported, 9 another process writes NEW, 10 in place but its durability \
is unknown, 11 OLD is of no format that is known, 12 OLD changed while it was read, 13 done, and nothing proves that OLD was whole, 14 OLD is older than --min-sequence asks for, \
15 nothing has come from the store for too long, 17 OLD is not signed by anybody of --signed-by, 130 interrupted: nothing is left behind.";
