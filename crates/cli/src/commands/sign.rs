//! `cofferdam sign`: verifies a sealed stream to its end, and signs it.
//! What is signed, and how, the library says.

use std::path::PathBuf;
use std::time::Instant;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::signatures::{PublicKey, Signature};
use cofferdam::{
    CancelToken, Error, GivenInstead, Pin, PinCheck, Remedy, Restored, inspect_source, stream_message,
};
use serde::Serialize;

use crate::expected::Expected;
use crate::failure::Failure;
use crate::foreign;
use crate::interrupt;
use crate::io_arg::{End, a_file, if_exists};
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::opening_args::OpeningArgs;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::{Channel, Report, print};
use crate::sealed::Sealed;
use crate::signatures::{KeyName, SignatureFile, Signer, SigningArgs, beside, has_neighbours};
use crate::size::Size;
use crate::standard::Standard;
use crate::text::{digest_name, pace};

/// Sign a sealed stream with an SSH key, once it has been verified to its end
///
/// A stream says nothing about who sealed it: whoever knows a recipient can seal for it. A signature does, for `--signed-by` of restore, verify,
/// cat, serve and drill. It is a small file beside the stream, SEALED.sig, of the kind that `ssh-keygen -Y` makes and verifies.
///
/// YOU VOUCH FOR WHAT IS IN THE STREAM NOW: if somebody has put another one in its place, that is what is signed. `seal` signs what it has sealed
/// itself; here, give the digest that `seal` has printed, with --expect-digest. Without a key that opens the stream its digests are compared; with
/// one, all of it is opened. Signing a second time changes nothing.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Sign {
    /// The sealed stream: a file, a block device, a FIFO, - for standard input, or a URL: s3:, gs:, az:, http: or https:
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    sealed: Sealed,

    /// Sign nothing, and print the line that a signature is over, for `ssh-keygen -Y sign -n stream@cofferdam`; also with --json
    #[arg(long, conflicts_with_all = ["ssh_key", "ssh_agent", "signature", "force"])]
    print: bool,

    #[command(flatten)]
    signing: SigningArgs,

    /// Where the signature goes [default: SEALED.sig; of a pipe or a URL it has to be given]
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(a_file))]
    signature: Option<PathBuf>,

    /// Replace a signature that is there, and is another
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    expected: Expected,

    #[command(flatten)]
    opening: OpeningArgs,
}

impl Sign {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        self.sealed.set_timeout(self.opening.timeout);
        let file = self.signature_file()?;
        let run = match self.opening.keys.is_given() {
            true => RunInfo::opening("sign"),
            false => RunInfo::without_key("sign"),
        };
        self.opening.resources.begin(run, &self.files(file.as_ref())?, report)?;
        let cancel = interrupt::install(report)?;
        let begun = Instant::now();
        let Some(file) = file else {
            let verified = self.verify(&cancel, report)?;
            return print(stream_message(verified.digest, verified.stream_digest)?.bytes());
        };
        let signer = self.signing.signer(&cancel)?.ok_or_else(|| {
            Failure::usage("nothing was given to sign with")
                .advise("Give a private key with --ssh-key, or --ssh-agent; --print leaves signing to you.")
        })?;
        let prior = PriorSignature::find(&file, &signer)?;
        let is_ours = prior.signature.is_some();
        self.refuse_blocked(prior, signer.public_key(), &cancel, report)?;
        let verified = self.verify(&cancel, report)?;
        let message = stream_message(verified.digest, verified.stream_digest)?;
        // It may be another one by now.
        let found = if is_ours { file.found()? } else { None };
        let is_there = found.is_some_and(|found| found.verify(signer.public_key(), &message).is_ok());
        match is_there {
            true => file.sync()?,
            false => file.write(&signer.sign(&message)?)?,
        }
        let record = Record::new(&self.sealed, &file, &signer, &verified, begun);
        let sentence = record.sentence(&signer.name(), verified.plaintext_len, is_there, begun);
        report.done(Channel::Stdout, &record, sentence, "the signature is in place")
    }

    /// Where no other signature can be put in the place of the one that is there, the stream has to be the one that it is of. A stream has the
    /// digest that it states, or does not verify: so that is found out before all of it is read, where it does not come in order.
    fn refuse_blocked(
        &self,
        prior: PriorSignature,
        key: &PublicKey,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<(), Failure> {
        let PriorSignature { signature: Some(signature), blocked: Some(blocked) } = prior else {
            return Ok(());
        };
        if self.sealed.is_in_order() {
            return Ok(());
        }
        // What is wrong with a stream that cannot be looked at its verification says.
        let Ok(stated) = inspect_source(self.sealed.source(cancel, report)?) else { return Ok(()) };
        let Some(trailer) = stated.trailer else { return Ok(()) };
        match stream_message(stated.digest, trailer.stream_digest) {
            Ok(message) if signature.verify(key, &message).is_err() => Err(blocked),
            _ => Ok(()),
        }
    }

    /// Reads all of the stream. One that cannot be signed is refused before its first segment.
    fn verify(&self, cancel: &CancelToken, report: Report) -> Result<Restored, Failure> {
        let watch = Watch::new(report, "verifying", Warnings::Kept);
        let identities = self.opening.keys.identities(cancel, report)?;
        metrics_file::has_keys();
        let opener = self.opening.opener(identities, &self.expected, cancel, watch.clone(), report)?;
        let opener = self.expected.pinned(foreign::refused_by(opener)).check_pin(HasLine);
        let verified = opener.verify(self.sealed.source(cancel, report)?);
        watch.finish();
        let verified = verified.map_err(|error| {
            let is_foreign = error.remedy() == Some(Remedy::GiveStream(GivenInstead::OtherFormat));
            let failure = Failure::from(error).of_input(&self.sealed);
            if is_foreign { failure.advise(OF_OTHERS) } else { failure }
        })?;
        verified.warnings.iter().for_each(|warning| report.warning(warning));
        Ok(verified)
    }

    /// Where the signature goes, if one is made.
    fn signature_file(&self) -> Result<Option<SignatureFile>, Failure> {
        if self.print {
            Standard::Output.refuse_unusable()?;
            return Ok(None);
        }
        let path = match (&self.signature, &self.sealed) {
            (Some(path), _) => path.clone(),
            (None, Sealed::Here(End::Path(path))) if has_neighbours(&self.sealed, path) => beside(path),
            (None, _) => {
                return Err(Failure::usage("nothing is put beside a pipe or a URL")
                    .advise("Say with --signature where the signature goes."));
            }
        };
        Ok(Some(SignatureFile::new(path, if_exists(self.force))))
    }

    fn files(&self, file: Option<&SignatureFile>) -> Result<NamedFiles, Failure> {
        let mut files = NamedFiles::default();
        self.opening.name_files(&self.sealed, &mut files)?;
        self.signing.name_files(&mut files)?;
        if let Some(file) = file {
            files.stages("the signature", &file.end())?;
        }
        Ok(files)
    }
}

/// What is in the place of the signature before the work. What is none of this key's and cannot be replaced is refused at once.
struct PriorSignature {
    /// A signature of this key's, of this stream or of another.
    signature: Option<Signature>,
    /// Why none could be put in its place.
    blocked: Option<Failure>,
}

impl PriorSignature {
    fn find(file: &SignatureFile, signer: &Signer) -> Result<PriorSignature, Failure> {
        let found = file.found()?.filter(|found| found.names(signer.public_key()));
        match (found, file.refuse_unwritable()) {
            (None, writable) => writable.map(|()| PriorSignature { signature: None, blocked: None }),
            (signature, writable) => Ok(PriorSignature { signature, blocked: writable.err() }),
        }
    }
}

/// Accepts every stream that there is a line for.
#[derive(Debug)]
struct HasLine;

impl PinCheck for HasLine {
    fn check(&self, pin: &Pin) -> Result<(), Error> {
        stream_message(pin.digest, pin.stream_digest).map(drop)
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: Name,
    signature: Name,
    signed_by: KeyName,
    stream_id: String,
    digest: &'static str,
    stream_digest: String,
    sequence: Option<u64>,
    seconds: f64,
}

impl Record {
    fn new(
        sealed: &Sealed,
        file: &SignatureFile,
        signer: &Signer,
        verified: &Restored,
        begun: Instant,
    ) -> Record {
        Record {
            event: "signed",
            input: sealed.name(),
            signature: file.name(),
            signed_by: signer.name(),
            stream_id: verified.stream_id.to_string(),
            digest: digest_name(verified.digest),
            stream_digest: verified.stream_digest.to_string(),
            sequence: verified.sequence(),
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn sentence(&self, signer: &KeyName, plaintext_len: u64, is_there: bool, begun: Instant) -> String {
        let said = if is_there { "had been signed already" } else { "signed" };
        format!(
            "{}: {said} by {signer}, in {}\n{}, {}\nstream digest {}",
            self.input,
            self.signature,
            Size(plaintext_len),
            pace(plaintext_len, begun.elapsed()),
            self.stream_digest,
        )
    }
}

const OF_OTHERS: &str = "It has no digest of ours that could be signed. `ssh-keygen -Y sign -n file -f KEY FILE` signs any file, all bytes of it; or \
                         seal it anew with `cofferdam convert`, and sign that.";

const AFTER_HELP: &str = "\
Examples:
  cofferdam sign --ssh-key ~/.ssh/id_ed25519 db.cfd       into db.cfd.sig
  cofferdam sign --ssh-agent --expect-digest 3f… db.cfd   the very stream that was sealed, with the agent's key
  cofferdam sign --ssh-key k --signature db.sig s3://backups/db.cfd
  cofferdam sign --print db.cfd | ssh-keygen -Y sign -n stream@cofferdam -f key > db.cfd.sig
  cofferdam sign --print db.cfd | ssh-keygen -Y verify -n stream@cofferdam -f allowed -I me -s db.cfd.sig

Exit codes: 0 signed, or signed already, 1 reading, writing or signing failed, 2 usage, 3 damaged, tampered with, or of another digest, \
4 no key opens it, 5 truncated, 6 another signature is there, 7 a limit is exceeded or a feature is not supported, or the stream has the digest \
`tags`, 10 in place but its durability is unknown, 11 no Cofferdam stream, 12 the sealed stream changed while it was read, 14 older than --min-sequence \
asks for, 15 nothing has come from the store for too long, 130 interrupted: no signature has been made.";
