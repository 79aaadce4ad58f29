//! `cofferdam seal`: a file or a pipe into a sealed stream.
//! It turns options into a sealer; the library seals.

use std::path::PathBuf;
use std::time::Instant;

use cofferdam::{DigestKind, Sealed, Sealer, Suite};
use serde::Serialize;

use crate::ends::{End, existing};
use crate::failure::Failure;
use crate::interrupt;
use crate::keys_of::SealingKeys;
use crate::progress::{Warnings, Watch};
use crate::report::Report;
use crate::resources::Resources;
use crate::size::Size;
use crate::text::{count, hex, pace};

/// Seal a file or a pipe for one or more recipients
///
/// The output appears once, complete and synced to disk, or not at all. It is INPUT.cfd unless -o says otherwise.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Seal {
    /// What to seal: a file, a device, a FIFO, or - for standard input
    #[arg(value_name = "INPUT")]
    input: End,

    /// Where the sealed stream goes, or - for standard output [default: INPUT.cfd]
    #[arg(short, long, value_name = "OUT")]
    output: Option<End>,

    /// Replace an output that exists, atomically; with -o -, write to a terminal too
    #[arg(long)]
    force: bool,

    /// A pair to keep with the stream, encrypted; may be given more than once, 64 KiB in all
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    metadata: Vec<(String, String)>,

    #[command(flatten)]
    keys: SealingKeys,

    #[command(flatten)]
    format: Format,

    #[command(flatten)]
    resources: Resources,
}

/// How the stream is made.
#[derive(clap::Args)]
#[command(next_help_heading = "Format")]
struct Format {
    /// The cipher [default: aes256gcm where the processor has instructions for it, else chacha20poly1305]
    #[arg(long, value_enum)]
    suite: Option<SuiteName>,

    /// What segments are digested with; `tags` is fastest, and rules out checks without a key
    #[arg(long, value_enum, default_value = "blake3")]
    digest: DigestName,

    /// Plaintext bytes of a frame: 4KiB to 4MiB, a multiple of 4KiB [default: 64KiB]
    #[arg(long, value_name = "SIZE")]
    frame_size: Option<Size>,

    /// Plaintext bytes of a segment: a multiple of the frame's, at most 1GiB [default: 8MiB]
    #[arg(long, value_name = "SIZE")]
    segment_size: Option<Size>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum SuiteName {
    Aes256gcm,
    Chacha20poly1305,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum DigestName {
    Blake3,
    Sha256,
    Tags,
}

impl Seal {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        let output = self.output()?;
        output.refuse_terminal("the sealed stream", existing(self.force))?;
        let cancel = interrupt::install(output.stake(), report)?;
        let watch = Watch::new(report, "sealing", Warnings::AtOnce);
        let sealer = self.format.apply(Sealer::new(self.keys.recipients()?))?;
        let sealer = self.resources.sealer(sealer.existing(existing(self.force)), &cancel, watch.clone());
        let sealer = self
            .metadata
            .iter()
            .fold(sealer, |sealer, (key, value)| sealer.metadata(key.as_bytes(), value.as_bytes()));
        let begun = Instant::now();
        let sealed = match (&self.input, &output) {
            (End::Path(input), End::Path(output)) => sealer.seal_file(input, output),
            (input, End::Path(output)) => sealer.seal_to(input.source()?, output),
            (input, End::Standard) => sealer.seal(input.source()?, End::stdout()?),
        };
        let sealed = sealed.map_err(|error| output.explain(error))?;
        let record = Record::new(&self.input, &output, &sealed, begun);
        watch.finish();
        report.summary(output.channel(), &record, record.sentence(begun))
    }

    fn output(&self) -> Result<End, Failure> {
        match (&self.output, &self.input) {
            (Some(output), _) => Ok(output.clone()),
            (None, End::Path(input)) => {
                let mut name = input.clone().into_os_string();
                name.push(EXTENSION);
                Ok(End::Path(PathBuf::from(name)))
            }
            (None, End::Standard) => {
                Err(Failure::usage("standard input has no name to derive the output's from")
                    .advise("Say with -o where the sealed stream goes; `-o -` is standard output."))
            }
        }
    }
}

impl Format {
    fn apply(&self, sealer: Sealer) -> Result<Sealer, Failure> {
        let mut sealer = sealer.digest(match self.digest {
            DigestName::Blake3 => DigestKind::Blake3,
            DigestName::Sha256 => DigestKind::Sha256,
            DigestName::Tags => DigestKind::Tags,
        });
        if let Some(suite) = self.suite {
            sealer = sealer.suite(match suite {
                SuiteName::Aes256gcm => Suite::Aes256Gcm,
                SuiteName::Chacha20poly1305 => Suite::ChaCha20Poly1305,
            });
        }
        if let Some(size) = self.frame_size {
            let bytes = u32::try_from(size.0).map_err(|_| Failure::usage("a frame has at most 4 MiB"))?;
            sealer = sealer.frame_len(bytes);
        }
        Ok(match self.segment_size {
            Some(size) => sealer.segment_len(size.0),
            None => sealer,
        })
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: String,
    output: String,
    stream_id: String,
    segments: u64,
    plaintext_len: u64,
    sealed_len: u64,
    stream_digest: String,
    seconds: f64,
}

impl Record {
    fn new(input: &End, output: &End, sealed: &Sealed, begun: Instant) -> Record {
        Record {
            event: "sealed",
            input: input.to_string(),
            output: output.to_string(),
            stream_id: hex(&sealed.stream_id.0),
            segments: sealed.segments,
            plaintext_len: sealed.plaintext_len,
            sealed_len: sealed.wire_len,
            stream_digest: hex(&sealed.stream_digest.0),
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn sentence(&self, begun: Instant) -> String {
        format!(
            "sealed {} into {}: {} in {}, {}\nstream digest {}",
            self.input,
            self.output,
            Size(self.plaintext_len),
            count(self.segments, "segment"),
            pace(self.plaintext_len, begun.elapsed()),
            self.stream_digest,
        )
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a pair is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What sealed files end in.
const EXTENSION: &str = ".cfd";

const AFTER_HELP: &str = "\
Examples:
  cofferdam seal -r age1… db.img                         into db.img.cfd
  cofferdam seal -R team.txt -r age1… -o db.cfd db.img   for a team and one more
  pg_dump app | cofferdam seal -p -o app.cfd -           a pipe, with a passphrase
  cofferdam seal --key-file k --metadata host=db1 x      with a key file and a note inside

Exit codes: 0 done, 1 reading or writing failed, 2 usage, 6 the output exists, 7 a limit is exceeded, \
9 another process writes the output, 10 in place but its durability is unknown, 130 interrupted: nothing \
is left behind.";
