//! `cofferdam manifest`: says which sealed streams are the shards of one snapshot, and signs it.
//! It takes the digests that streams state; the library makes the text.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::shards::{MANIFEST_LEN_MAX, Manifest as Text, Shard, ShardName};
use cofferdam::signatures::Message;
use cofferdam::{CancelToken, DigestKind, ErrorKind, IfExists, inspect_source};
use serde::Serialize;

use crate::failure::Failure;
use crate::interrupt;
use crate::io_arg::{End, a_file};
use crate::named_files::NamedFiles;
use crate::printable::Name;
use crate::report::{Channel, Report, print};
use crate::sealed::Sealed;
use crate::signatures::{KeyName, SignatureFile, Signer, SigningArgs, beside};
use crate::size::Size;
use crate::text::count;
use crate::timeout::Timeout;
use crate::whole_file::{self, Fault, Kind, Links};

/// Make a signed manifest of the streams that are one snapshot
///
/// An engine that is sharded seals each shard by itself. The manifest names the streams by their digests, and each by what it becomes: `restore
/// --manifest` then makes one directory of all of them, or nothing, and `verify --manifest` says what is missing.
///
/// The digest is taken that each stream states of itself: YOU VOUCH FOR THE STREAMS THAT ARE THERE NOW. Whether they are whole `verify
/// --manifest` says. No key that opens them is needed. The signature is beside the manifest, MANIFEST.sig, of the kind that `ssh-keygen -Y`
/// makes and verifies, in the namespace manifest@cofferdam. The same command again changes nothing.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Manifest {
    /// The streams: each a file or a URL. What it becomes is its name without .cfd, or NAME; a file whose name has = in it is ./A=B
    #[arg(value_name = "[NAME=]SEALED", required = true)]
    streams: Vec<OsString>,

    /// The file of the manifest, which is new
    #[arg(
        long,
        short,
        value_name = "MANIFEST",
        required_unless_present = "print",
        value_parser = OsStringValueParser::new().try_map(a_file)
    )]
    output: Option<PathBuf>,

    /// Sign nothing, and print the manifest, for `ssh-keygen -Y sign -n manifest@cofferdam` where the key is; also with --json
    #[arg(long, conflicts_with_all = ["output", "ssh_key", "ssh_agent"])]
    print: bool,

    /// Say of each stream its last name alone: it is looked for beside the manifest, wherever that is, in a store too
    #[arg(long)]
    relative: bool,

    /// The snapshot's number, for --min-sequence of restore and verify
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,

    #[command(flatten)]
    signing: SigningArgs,

    #[command(flatten)]
    timeout: Timeout,
}

impl Manifest {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        let streams = self.streams()?;
        self.check_files(&streams)?;
        let cancel = interrupt::install(report)?;
        let output = match &self.output {
            Some(output) if !self.print => output,
            _ => return print(self.manifest(streams, &cancel, report)?.to_text().as_bytes()),
        };
        let signer = self.signing.signer(&cancel)?.ok_or_else(|| {
            Failure::usage(
                "a manifest is believed for its signature alone, and nothing was given to sign with",
            )
            .advise("Give a private key with --ssh-key, or --ssh-agent; --print leaves signing to you.")
        })?;
        let signature = SignatureFile::new(beside(output), IfExists::Refuse);
        let manifest = self.manifest(streams, &cancel, report)?;
        let text = manifest.to_text();
        let message = Message::manifest(text.clone().into_bytes());
        let is_signed = is_signed(&signature, &signer, &message)?;
        write(output, text.as_bytes())?;
        match is_signed {
            true => signature.sync()?,
            false => signature.write(&signer.sign(&message)?)?,
        }
        let record = Record {
            event: "manifest",
            output: Name::from(&**output),
            signature: signature.name(),
            shards: manifest.shards().len() as u64,
            plaintext_len: manifest.plaintext_len(),
            sequence: manifest.sequence(),
            signed_by: signer.name(),
        };
        let sentence = format!(
            "{}: {}, {}\nsigned by {}: {}",
            record.output,
            count(record.shards, "shard"),
            Size(record.plaintext_len),
            record.signed_by,
            record.signature
        );
        report.done(Channel::Stdout, &record, sentence, "the manifest is in place, and signed")
    }

    /// What the streams say of themselves.
    fn manifest(
        &self,
        streams: Vec<(ShardName, Sealed)>,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Text, Failure> {
        let mut shards = Vec::new();
        for (name, stream) in streams {
            self.refuse_elsewhere(&stream)?;
            let shard = self.shard(name, &stream, cancel, report);
            shards.push(shard.map_err(|failure| failure.unless_interrupted(cancel))?);
        }
        Text::new(self.sequence, shards).map_err(|error| Failure::usage(error.to_string()))
    }

    /// A file that is elsewhere would not be found by what is said relatively. Where the manifest goes with a store's streams is not known here.
    fn refuse_elsewhere(&self, stream: &Sealed) -> Result<(), Failure> {
        let (true, Some(output), Sealed::Here(End::Path(path))) = (self.relative, &self.output, stream)
        else {
            return Ok(());
        };
        match (id_of_parent(path), id_of_parent(output)) {
            (Some(of_stream), Some(of_manifest)) if of_stream != of_manifest => Err(Failure::usage(format!(
                "{stream} is not beside the manifest, where --relative has it looked for"
            ))
            .advise("Write the manifest into the streams' directory, or leave --relative out.")),
            _ => Ok(()),
        }
    }

    fn streams(&self) -> Result<Vec<(ShardName, Sealed)>, Failure> {
        self.streams
            .iter()
            .map(|argument| {
                let (name, stream) = split(argument);
                let mut stream = Sealed::parse(stream.to_owned()).map_err(Failure::usage)?;
                if stream.is_in_order() {
                    return Err(Failure::usage(format!("{stream}: a shard is a file or an object, and no pipe")));
                }
                stream.set_timeout(self.timeout);
                let name = name.map_or_else(|| stream.plaintext_name(), OsStr::to_owned);
                let shown = Name::from(&*name).to_string();
                let name = ShardName::new(name).ok_or_else(|| {
                    Failure::usage(format!("no shard can be called {shown}"))
                        .advise("A name has 1 to 200 bytes, no / in it, and no point at its beginning: give NAME=SEALED.")
                })?;
                Ok((name, stream))
            })
            .collect()
    }

    fn check_files(&self, streams: &[(ShardName, Sealed)]) -> Result<(), Failure> {
        let mut files = NamedFiles::default();
        for (_, stream) in streams {
            stream.name_files(&mut files)?;
        }
        self.signing.name_files(&mut files)?;
        if let Some(output) = &self.output {
            files.stages("the manifest", &End::Path(output.clone()))?;
            files.stages("the signature", &End::Path(beside(output)))?;
        }
        files.check()
    }

    fn shard(
        &self,
        name: ShardName,
        stream: &Sealed,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Shard, Failure> {
        let refused = |kind, what: &str, advice: &str| {
            Err(Failure::new(kind, format!("{stream}: {what}")).advise(advice))
        };
        let stated = inspect_source(stream.source(cancel, report)?);
        let stated = stated.map_err(|error| Failure::from(error).of_input(stream))?;
        if stated.digest == DigestKind::Tags {
            let what = "a stream with the digest `tags` is no shard: its digest fixes no bytes";
            return refused(ErrorKind::Unsupported, what, "Seal it with another digest.");
        }
        match stated.trailer {
            None => refused(ErrorKind::Truncated, "it has no end", "Let the seal finish, or fetch it again."),
            Some(trailer) => Ok(Shard {
                name,
                stream_digest: trailer.stream_digest.0,
                plaintext_len: trailer.plaintext_len,
                source: self.described(stream)?,
            }),
        }
    }

    /// Where whoever has the manifest finds the stream.
    fn described(&self, stream: &Sealed) -> Result<OsString, Failure> {
        let shown = match stream {
            Sealed::Here(End::Path(path)) => std::path::absolute(path)
                .map(OsString::from)
                .map_err(|error| Failure::io("this process's directory could not be found", error))?,
            Sealed::Here(End::Standard) => OsString::from("-"),
            Sealed::There(url) => url.to_string().into(),
        };
        let last = Path::new(&shown).file_name().filter(|_| self.relative);
        Ok(last.map_or_else(|| shown.clone(), |last| Path::new(".").join(last).into()))
    }
}

fn write(output: &Path, text: &[u8]) -> Result<(), Failure> {
    let name = Name::from(output);
    let kind = Kind { name: "manifest", len_max: MANIFEST_LEN_MAX as u64 + 1, links: Links::Refused };
    let exists = || {
        Failure::new(ErrorKind::TargetExists, format!("{name} exists, and says something else"))
            .advise("Give the manifest another name: one that was signed is not replaced.")
    };
    match whole_file::read_own(output, kind, |content| content.starts_with(BEGIN))? {
        Some(standing) if standing.content == text => return Ok(()),
        Some(_) => return Err(exists()),
        None => whole_file::refuse_other_leftovers(output, |kept| kept.starts_with(BEGIN))?,
    }
    whole_file::write(output, None, text, READABLE).map_err(|fault| match fault {
        Fault::Refused(error) => whole_file::refused(&error, format!("{name} could not be written")),
        Fault::NotWritten(error) if error.kind() == std::io::ErrorKind::AlreadyExists => exists(),
        Fault::NotWritten(error) => Failure::io(format!("{name} could not be written"), error),
        Fault::Unknown(error) => Failure::new(
            ErrorKind::DurabilityUnknown,
            format!("{name} is in place, and may not survive a power cut: {error}"),
        ),
    })
}

/// Whether the signature is there already: of the same key, and right. Another one is not replaced.
fn is_signed(file: &SignatureFile, signer: &Signer, message: &Message) -> Result<bool, Failure> {
    match file.found()? {
        None => Ok(false),
        Some(found) if found.verify(signer.public_key(), message).is_ok() => Ok(true),
        Some(_) => Err(file.exists().advise("Move it away, or give the manifest another name.")),
    }
}

/// Which directory a file is in; `None` where that cannot be looked at.
fn id_of_parent(path: &Path) -> Option<(u64, u64)> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let found = fs::metadata(parent.unwrap_or(Path::new("."))).ok()?;
    Some((found.dev(), found.ino()))
}

/// What stands before the first `=`, if that can be a name and no path, and what stands after it.
fn split(argument: &OsStr) -> (Option<&OsStr>, &OsStr) {
    let bytes = argument.as_bytes();
    match bytes.iter().position(|byte| matches!(byte, b'=' | b'/')) {
        Some(at) if bytes[at] == b'=' => {
            (Some(OsStr::from_bytes(&bytes[..at])), OsStr::from_bytes(&bytes[at + 1..]))
        }
        _ => (None, argument),
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    output: Name,
    signature: Name,
    shards: u64,
    plaintext_len: u64,
    sequence: Option<u64>,
    signed_by: KeyName,
}

const BEGIN: &[u8] = b"cofferdam-manifest ";
/// A manifest is no secret.
const READABLE: u32 = 0o644;

const AFTER_HELP: &str = "\
Examples:
  cofferdam manifest --ssh-key ~/.ssh/id_ed25519 -o may.manifest orders.cfd users.cfd
  cofferdam manifest --ssh-agent --relative --sequence 17 -o may.manifest shard-*.cfd
  cofferdam manifest --ssh-key key -o may.manifest orders=s3://backups/1.cfd users=s3://backups/2.cfd
  cofferdam manifest --print --relative shard-*.cfd > may.manifest    and where the key is:
  ssh-keygen -Y sign -n manifest@cofferdam -f key may.manifest
  cofferdam restore -i key.txt --manifest --signed-by sealers.pub may.manifest /srv/restored
  cofferdam verify --manifest --signed-by sealers.pub may.manifest

Exit codes: 0 done, 1 reading or writing failed, 2 usage, 3 what a stream says of itself is damaged, 5 a stream is truncated, 6 the manifest exists \
and says something else, or another signature is there, 7 a feature is not supported, 9 another process writes the manifest, 10 in place but its \
durability is unknown, 11 no Cofferdam stream, 12 a stream changed while it was read, 15 nothing has come from the store for too long, 130 interrupted.";
