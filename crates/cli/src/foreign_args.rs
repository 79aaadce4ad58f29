//! The options for streams that other tools have sealed: their key, and whether one is taken that nothing proves; and how the latter ends.
//! It knows no format; the library does.

use std::time::Instant;

use cofferdam::{Asserted, CancelToken, Error, ErrorKind, Foreign, ForeignKey, Identities, Opener};
use serde::Serialize;

use crate::credential::KeyPlace;
use crate::failure::Failure;
use crate::key_args::{OpeningKeys, some_of};
use crate::key_file::KeyFile;
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::report::{Channel, Report};
use crate::size::Size;
use crate::text::pace;

/// Options for streams that other tools have sealed.
#[derive(Default, clap::Args)]
#[command(next_help_heading = "Streams that other tools have sealed")]
pub(crate) struct ForeignArgs {
    /// The key of a stream of harpocrates (AGCM), ecies-lib (ECIE, MREC) or streaming-crypto (RSE1); - for standard input
    ///
    /// FILE has it as hexadecimal digits or raw: 32 bytes; of RSE1 16, 24 or 32. Of ECIE and MREC it is the recipient's secret key of
    /// secp256k1. credential:NAME as with -i. An age file is opened with -i or a passphrase.
    #[arg(long, value_name = "FILE")]
    foreign_key: Option<KeyPlace>,

    /// Open a stream also if nothing proves that it is whole, as of AGCM, ECIE and RSE1: exit code 13
    ///
    /// What comes out was opened with the key, chunk by chunk. Chunks may be missing, or moved: what its format does not prove is said.
    /// Without this option such a stream is refused. It changes nothing where a stream proves itself, and not for a receiver.
    #[arg(long)]
    accept_unproven: bool,
}

impl ForeignArgs {
    /// Notes the file that will be read.
    pub(crate) fn name_files(&self, files: &mut NamedFiles) -> Result<(), Failure> {
        files.reads_all(&self.key_file())
    }

    /// Whether a key was given.
    pub(crate) fn is_given(&self) -> bool {
        self.foreign_key.is_some()
    }

    /// Whether a stream is taken that nothing proves.
    pub(crate) fn accepts_unproven(&self) -> bool {
        self.accept_unproven
    }

    /// All that `keys` has, and the key of another tool's stream; `None` if there is nothing.
    pub(crate) fn identities(
        &self,
        keys: &OpeningKeys,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Option<Identities>, Failure> {
        let identities = keys.identities(cancel, report)?;
        let Some(file) = self.key_file() else { return Ok(identities) };
        let key = ForeignKey::parse(&file.read()?).map_err(|error| Failure::keys(&file, error))?;
        Ok(Some(identities.unwrap_or_default().foreign_key(key)))
    }

    /// The same, of which there has to be something.
    pub(crate) fn some_identities(
        &self,
        keys: &OpeningKeys,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Identities, Failure> {
        some_of(self.identities(keys, cancel, report)?)
    }

    /// `opener`, for streams of other tools as well.
    pub(crate) fn opener(&self, opener: Opener) -> Opener {
        opener.foreign(if self.accept_unproven { Foreign::AcceptUnproven } else { Foreign::Open })
    }

    fn key_file(&self) -> Option<KeyFile> {
        KeyFile::all("--foreign-key", &self.foreign_key).pop()
    }
}

/// What has been published though nothing proves it, where that is how a run has ended.
pub(crate) fn asserted_in<T>(ended: &Result<T, Error>) -> Option<&Asserted> {
    ended.as_ref().err().and_then(Error::as_asserted)
}

/// Says what has been sealed anew of a stream that nothing proves, and ends with that.
pub(crate) fn tell_asserted_anew(
    input: Name,
    output: Name,
    asserted: &Asserted,
    anew: SealedAnew,
    channel: Channel,
    begun: Instant,
    report: Report,
) -> Failure {
    let done = format!("sealed anew as {output}");
    let record = Record { anew: Some(anew), ..Record::new(input, Some(output), asserted, begun) };
    record.tell(&done, channel, begun, report)
}

/// Says what has been opened that nothing proves, and ends with that: `done` is what has come of it.
pub(crate) fn tell_asserted(
    input: Name,
    output: Option<Name>,
    asserted: &Asserted,
    done: &str,
    channel: Channel,
    begun: Instant,
    report: Report,
) -> Failure {
    Record::new(input, output, asserted, begun).tell(done, channel, begun, report)
}

/// What was made of a stream that nothing proves: a stream of ours, which proves itself.
#[derive(Serialize)]
pub(crate) struct SealedAnew {
    /// Names the new stream.
    pub(crate) sealed_stream_id: String,
    /// Its bytes.
    pub(crate) sealed_len: u64,
    /// Its digest, if it has one.
    pub(crate) stream_digest: Option<String>,
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: Name,
    output: Option<Name>,
    format: &'static str,
    missing: &'static str,
    stream_id: String,
    plaintext_len: u64,
    #[serde(flatten)]
    anew: Option<SealedAnew>,
    seconds: f64,
}

impl Record {
    fn new(input: Name, output: Option<Name>, asserted: &Asserted, begun: Instant) -> Record {
        Record {
            event: "asserted",
            input,
            output,
            format: asserted.format.name(),
            missing: asserted.missing,
            stream_id: asserted.stream_id.to_string(),
            plaintext_len: asserted.plaintext_len,
            anew: None,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn tell(&self, done: &str, channel: Channel, begun: Instant, report: Report) -> Failure {
        let mut sentence = format!(
            "opened {}: {}, {}; NOT PROVED TO BE WHOLE",
            self.input,
            Size(self.plaintext_len),
            pace(self.plaintext_len, begun.elapsed()),
        );
        if let (Some(anew), Some(output)) = (&self.anew, &self.output) {
            sentence.push_str(&format!("\nsealed anew as {output}"));
            if let Some(digest) = &anew.stream_digest {
                sentence.push_str(&format!("\nstream digest {digest}"));
            }
        }
        let what = format!("{}: {done}, and nothing proves that it is whole: {}", self.input, self.missing);
        match report.done(channel, self, sentence, &what) {
            Ok(()) => Failure::new(ErrorKind::Unproven, what).advise(
                "Look whether it is what you expect by other means, its length or a digest for instance.",
            ),
            Err(failure) => failure,
        }
    }
}
