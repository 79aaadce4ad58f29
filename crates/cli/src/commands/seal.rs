//! `cofferdam seal`: a file, a directory or a pipe into a sealed stream.
//! It turns options into a sealer; the library seals.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::{
    CancelToken, ErrorKind, OnPartial, Recipients, Sealed, SealedTree, Sealer, TreeInput, descriptor_named,
};
use serde::Serialize;

use crate::credential::KeyPlace;
use crate::failure::Failure;
use crate::foreign::StreamFormat;
use crate::format_args::{Format, not_of_age};
use crate::interrupt;
use crate::io_arg::{End, if_exists};
use crate::key_file::KeyFile;
use crate::metrics_file::RunInfo;
use crate::named_files::NamedFiles;
use crate::peer::Goal;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::rate::RateArgs;
use crate::report::Report;
use crate::resources::Resources;
use crate::sealed::looks_like_a_url;
use crate::sealing_keys::SealingKeys;
use crate::signatures::{DueSignature, KeyName, SealSigning, is_in_place};
use crate::size::Size;
use crate::state_dir::{ListPlace, StateDir};
use crate::tar_args::{self, TarArgs};
use crate::text::{count, pace};
use crate::timeout::Timeout;
use crate::tree_args::{
    TreeArgs, TreeRecord, is_directory, warn_of_changed, warn_of_left_out, warn_of_unmatched,
};
use crate::uploading::Uploading;

/// Seal a file, a directory or a pipe for one or more recipients
///
/// The output appears once, complete and synced to disk, or not at all. It is INPUT.cfd unless -o says otherwise.
///
/// The mode and the time of modification of a regular file go into the stream, encrypted: a restore to a new name gives them back.
///
/// A directory becomes a tree: its files, directories, links, devices and FIFOs with owners, modes, times and extended attributes, as an
/// archive that `cofferdam cat --tar` gives back and any tar extracts, with a catalog behind it. `cofferdam ls`, `cat` and `diff` read it. A tree is
/// compressed unless --no-zstd says otherwise. A file that changes while it is read is sealed, flagged, and named in a warning; see --strict.
/// The list of its files is kept in the state directory, readable by you alone, until the sealing ends; where there is none, and without --resume,
/// in a file without a name, in TMPDIR or beside the output.
///
/// With --resume a sealing that is interrupted, by Ctrl-C, an error or a crash, leaves the sealed bytes beside the output
/// (.OUT.cofferdam-staging, .OUT.cofferdam-journal), and in your state directory a file of a few hundred bytes that only you
/// can read. THAT FILE HOLDS THE KEY OF THIS ONE STREAM. The same command resumes after the last segment that is whole and
/// matches the input. It needs no identity. The input has to be a regular file that has not changed since.
/// Recipients, metadata, sequence number, suite, digest, compression and sizes are those of the interrupted stream; other recipients on the
/// command line and another level of --zstd are not looked at, other metadata, numbers or sizes are refused. Threads and memory may differ. A tree
/// resumes by the list of files that it was begun with. Bytes beside the output
/// for which there is no state are not believed: that is exit code 8, and --restart replaces them. Without --resume
/// nothing is left behind, and what an interrupted run has left there is not thrown away: that is exit code 8, too.
/// `cofferdam status` and `cofferdam discard` show and remove what is left.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP, mut_arg("memory", |arg| arg.help(MEMORY).long_help(MEMORY_LONG)))]
pub(crate) struct Seal {
    /// What to seal: a file, a directory, a device, a FIFO, or - for standard input
    #[arg(value_name = "INPUT", value_parser = OsStringValueParser::new().try_map(parse_input))]
    input: End,

    /// Where the sealed stream goes: a file, an object in a store, or - for standard output [default: INPUT.cfd; of standard input,
    /// standard output]
    ///
    /// An object in a store is s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY, with credentials from the environment as for
    /// reading. It is sent while it is made, and appears at the end; what was sent is given up if it does not come to that. Nothing
    /// is resumed there.
    #[arg(short, long, value_name = "OUT", value_parser = OsStringValueParser::new().try_map(Goal::parse_output))]
    output: Option<Goal>,

    /// Replace an output that exists: a file atomically, an object if it is still the one that was there at the start; with -o -, write
    /// to a terminal too
    #[arg(long)]
    force: bool,

    /// A pair to keep with the stream, encrypted; may be given more than once, 64 KiB in all. Keys that begin with
    /// `cofferdam.` are this program's
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_pair)]
    metadata: Vec<(String, String)>,

    /// Number the stream, encrypted, for `--min-sequence` of restore, cat and verify: a higher number for each backup of the same thing
    ///
    /// 0 to 18446744073709551615. Anyone who knows a recipient can seal a stream with any number: it protects against an older stream only
    /// where you know by other means who sealed.
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,

    #[command(flatten)]
    keys: SealingKeys,

    #[command(flatten)]
    signing: SealSigning,

    #[command(flatten)]
    trees: TreeArgs,

    #[command(flatten)]
    archive: TarArgs,

    #[command(flatten)]
    resuming: Resuming,

    #[command(flatten)]
    format: Format,

    #[command(flatten)]
    uploading: Uploading,

    #[command(flatten)]
    resources: Resources,

    #[command(flatten)]
    rate: RateArgs,

    #[command(flatten)]
    timeout: Timeout,
}

/// Whether an interruption loses what has been sealed.
#[derive(clap::Args)]
#[command(next_help_heading = "Interruptions")]
struct Resuming {
    /// Keep what has been sealed when interrupted, and go on from there when run again
    #[arg(long)]
    resume: bool,

    /// With --resume: discard what an interrupted run has left, and seal anew
    #[arg(long, requires = "resume")]
    restart: bool,

    /// No longer needed, and not read: resuming takes no identity
    #[arg(short, long = "identity", value_name = "FILE", requires = "resume", hide = true)]
    identities: Vec<KeyPlace>,

    /// With --resume: where the state is kept, which holds the stream's key; of a directory in any case, where the list of its files is kept
    /// [default: $XDG_STATE_HOME/cofferdam, else ~/.local/state/cofferdam]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl Seal {
    pub(crate) fn run(self, report: Report) -> Result<(), Failure> {
        self.refuse_what_age_lacks()?;
        let is_archive = self.archive.is_given();
        let tree = self.trees.input(&self.input, is_archive)?;
        self.refuse_state_dir(tree.is_some() || is_archive)?;
        let mut output = self.output()?;
        output.set_timeout(self.timeout);
        self.refuse_pipes(&output)?;
        self.uploading.check(&output)?;
        self.resources.begin(RunInfo::of("seal"), &self.files(&output)?, report)?;
        let place = self.list_place(tree.is_some() || is_archive, &output)?;
        output.refuse_terminal("the sealed stream", if_exists(self.force))?;
        let cancel = interrupt::install(report)?;
        let due = self.due_signature(&output, &cancel)?;
        let watch = Watch::new(report, "sealing", Warnings::AtOnce);
        if !self.resuming.identities.is_empty() {
            report
                .warning("-i is not needed to seal, and was not read: no identity has to be on this machine");
        }
        let sealer = self.sealer(self.keys.recipients(&cancel)?, &cancel, watch.clone())?;
        let sealer = self.rate.sealer(sealer, report)?;
        let begun = Instant::now();
        if let (Some(tree), Some(place)) = (tree, &place) {
            let tree = match place {
                ListPlace::State(_) => tree,
                ListPlace::Unnamed(directory) => tree.unnamed_in(directory),
            };
            let sealed = self.seal_tree(&sealer, &tree, &output, place.directory(), &cancel, report)?;
            let sealed = sealed.map_err(|error| self.explain(&output, error))?;
            watch.finish();
            warn_of_changed(&sealed.changed, report);
            if let Some(left_out) = &sealed.left_out {
                warn_of_left_out(left_out, report);
                warn_of_unmatched(tree.walk_options(), report);
            }
            let record = TreeRecord::new(&sealed, self.trees.compresses());
            return self.finish(&output, &sealed.sealed, Some(record), due, begun, report);
        }
        if let (true, Some(place)) = (is_archive, &place) {
            let (sealed, outcome) =
                tar_args::seal(&sealer, &self.input, &output, &self.uploading, place, report)?;
            let sealed = sealed.map_err(|error| tar_args::explain(self.explain(&output, error), &outcome))?;
            watch.finish();
            let counts = tar_args::counts_or_warning(&outcome, report);
            let record = TreeRecord::of_archive(counts, self.trees.compresses());
            return self.finish(&output, &sealed, Some(record), due, begun, report);
        }
        let sealed = match (&self.input, &output) {
            (End::Path(input), Goal::Here(End::Path(output))) => match &place {
                Some(place) => sealer.seal_file_resumable(input, output, place.directory()),
                None => sealer.seal_file(input, output),
            },
            (input, Goal::Here(End::Path(output))) => sealer.seal_to(input.source()?, output),
            (input, Goal::Here(End::Standard)) => sealer.seal(input.source()?, End::stdout()?),
            (input, Goal::There(url)) => self.uploading.seal(&sealer, input, url, report)?,
            (_, Goal::Receiver(_)) => unreachable!("an output is no receiver"),
        };
        let sealed = sealed.map_err(|error| self.explain(&output, error))?;
        watch.finish();
        if sealed.plaintext_len == 0 && self.input.is_pipe() {
            report.warning(EMPTY_PIPE);
        }
        self.finish(&output, &sealed, None, due, begun, report)
    }

    /// The output is in place: it is signed, and all is told.
    fn finish(
        &self,
        output: &Goal,
        sealed: &Sealed,
        tree: Option<TreeRecord>,
        due: Option<DueSignature>,
        begun: Instant,
        report: Report,
    ) -> Result<(), Failure> {
        let signing =
            due.as_ref().map(|due| due.sign_stream(sealed.digest, sealed.stream_digest)).transpose();
        let made = due.filter(|_| signing.as_ref().map_or_else(is_in_place, |_| true));
        let record = Record { tree, ..Record::new(&self.input, output, sealed, made.as_ref(), begun) };
        let done = report.done(output.channel(), &record, record.sentence(begun), output.done());
        signing.map_err(|failure| not_signed(failure, output)).and(done)
    }

    fn seal_tree(
        &self,
        sealer: &Sealer,
        tree: &TreeInput,
        output: &Goal,
        state_dir: &Path,
        cancel: &CancelToken,
        report: Report,
    ) -> Result<Result<SealedTree, cofferdam::Error>, Failure> {
        let sealed = match output {
            Goal::Here(End::Path(output)) if self.resuming.resume => {
                return Ok(sealer.seal_tree_resumable(tree, output, state_dir));
            }
            Goal::Here(End::Path(output)) => return Ok(sealer.seal_tree(tree, output, state_dir)),
            Goal::Receiver(_) => unreachable!("an output is no receiver"),
            Goal::Here(End::Standard) | Goal::There(_) => tree.plan(state_dir, cancel),
        };
        let planned = match sealed {
            Ok(planned) => planned,
            Err(error) => return Ok(Err(error)),
        };
        let sealer = sealer.clone().tree();
        let sealed = match output {
            Goal::There(url) => self.uploading.seal_source(&sealer, planned.source(), None, url, report),
            _ => sealer.seal(planned.source(), End::stdout()?),
        };
        Ok(sealed.map(|sealed| planned.sealed_as(sealed)))
    }

    /// The signature that is to be made. Of what cannot be signed that is said before it is sealed.
    fn due_signature(&self, output: &Goal, cancel: &CancelToken) -> Result<Option<DueSignature>, Failure> {
        if self.signing.is_given() && self.format.is_of_tags() {
            let what = "a stream with the digest `tags` cannot be signed: its digest fixes no bytes";
            return Err(Failure::new(ErrorKind::Unsupported, what).advise("Seal it with another digest."));
        }
        self.signing.due(output, if_exists(self.force), cancel)
    }

    fn sealer(
        &self,
        recipients: Recipients,
        cancel: &CancelToken,
        watch: Arc<Watch>,
    ) -> Result<Sealer, Failure> {
        let on_partial = if self.resuming.restart { OnPartial::Discard } else { OnPartial::Resume };
        let sealer = Sealer::new(recipients).if_exists(if_exists(self.force)).on_partial(on_partial);
        let sealer = self.format.apply(sealer)?;
        let level =
            self.trees.compression(is_directory(&self.input) || self.archive.is_given(), self.format.level());
        let sealer = level.into_iter().fold(sealer, Sealer::compression);
        let sealer = self.resources.sealer(sealer, cancel, watch);
        let sealer = self.sequence.into_iter().fold(sealer, Sealer::sequence);
        let pairs = self.metadata.iter();
        Ok(pairs.fold(sealer, |sealer, (key, value)| sealer.metadata(key.as_bytes(), value.as_bytes())))
    }

    /// Adds to a failure what is left of the sealing, and what to do with it.
    fn explain(&self, output: &Goal, error: cofferdam::Error) -> Failure {
        if !self.resuming.resume {
            return output.explain(error, "output");
        }
        let (kept, kind) = (error.resumable_bytes(), error.kind());
        let failure = Failure::from(error);
        match kept {
            Some(kept) => failure.advise_also(&how_to_go_on(kept)),
            None if kind == ErrorKind::Cancelled => failure.advise_also(STILL_KEPT),
            None if kind == ErrorKind::SourceChanged && self.trees.is_strict() => {
                failure.advise_also("`--resume --restart` walks the directory anew.")
            }
            None => failure,
        }
    }

    /// Before anything is read or asked for.
    fn refuse_what_age_lacks(&self) -> Result<(), Failure> {
        self.format.refuse_what_age_lacks()?;
        if self.format.is_age() && is_directory(&self.input) {
            return Err(Failure::usage("an age file cannot say that it is a directory").advise(
                "Seal without --format, or pack it: `tar c DIR | cofferdam seal --format age … -`.",
            ));
        }
        self.archive.check(&self.input, self.format.is_age())?;
        let given = [
            (!self.metadata.is_empty(), "--metadata"),
            (self.sequence.is_some(), "--sequence"),
            (self.resuming.resume, "--resume"),
        ];
        match given.iter().chain(&self.signing.given()).find(|(given, _)| *given) {
            Some((_, option)) if self.format.is_age() => Err(not_of_age(option)),
            _ => Ok(()),
        }
    }

    /// What comes through a pipe comes once, and what has gone into one is gone.
    fn refuse_pipes(&self, output: &Goal) -> Result<(), Failure> {
        if !self.resuming.resume {
            return Ok(());
        }
        let what = match (&self.input, output) {
            (End::Standard, _) => "standard input cannot be read a second time",
            (_, Goal::Here(End::Standard)) => "what has gone to standard output is not kept",
            (_, Goal::There(_)) => "what has gone to a store is not kept when it is interrupted",
            _ => return Ok(()),
        };
        Err(Failure::usage(format!("{what}: there would be nothing to resume"))
            .advise("Leave --resume away, or seal from a file into a file."))
    }

    fn files(&self, output: &Goal) -> Result<NamedFiles, Failure> {
        let mut files = NamedFiles::default();
        files.reads("the input", &self.input)?;
        self.keys.name_files(&mut files)?;
        self.rate.name_files(&mut files)?;
        self.resources.name_files(&mut files)?;
        files.reads_all(&KeyFile::all("--identity", &self.resuming.identities))?;
        output.name_files(&mut files)?;
        self.signing.name_files(output, &mut files)?;
        Ok(files)
    }

    /// Where the state is kept, or a tree's plan, if one is to be.
    fn list_place(&self, is_tree: bool, output: &Goal) -> Result<Option<ListPlace>, Failure> {
        let states = StateDir { path: self.resuming.state_dir.clone() };
        Ok(match (self.resuming.resume, is_tree) {
            (true, _) => Some(ListPlace::State(states.require()?)),
            (false, true) => Some(ListPlace::find(&states, output.path())?),
            (false, false) => None,
        })
    }

    fn refuse_state_dir(&self, is_tree: bool) -> Result<(), Failure> {
        match self.resuming.state_dir.is_some() && !self.resuming.resume && !is_tree {
            true => Err(Failure::usage("--state-dir is for --resume, for directories and for --tar")
                .advise("Leave the option out, or give --resume.")),
            false => Ok(()),
        }
    }

    fn output(&self) -> Result<Goal, Failure> {
        match (&self.output, &self.input) {
            (Some(output), _) => Ok(output.as_output()),
            (None, End::Path(input)) if is_directory(&self.input) && input.file_name().is_none() => {
                Err(Failure::usage("a directory of this name has none to derive the output's from")
                    .advise("Say with -o where the sealed stream goes, outside of the directory."))
            }
            (None, End::Path(input)) if descriptor_named(input).is_none() => {
                // Without the slash that a directory may end with: the output belongs beside it.
                let input = input.file_name().map_or(input.clone(), |name| input.with_file_name(name));
                let mut name = input.into_os_string();
                name.push(if self.format.is_age() { AGE_EXTENSION } else { EXTENSION });
                Ok(Goal::Here(End::Path(PathBuf::from(name))))
            }
            // A descriptor has no name of its own, and nothing belongs beside /dev/fd/63.
            (None, _) if !io::stdout().is_terminal() => Ok(Goal::Here(End::Standard)),
            (None, input) => {
                let what = if *input == End::Standard { "standard input" } else { "a descriptor" };
                Err(Failure::usage(format!("{what} has no name to derive the output's from"))
                    .advise("Say with -o where the sealed stream goes; `-o -` is standard output."))
            }
        }
    }
}

/// An argument that begins like a URL is refused: plaintext is not fetched. A file of such a name is `./https:…`.
fn parse_input(argument: OsString) -> Result<End, String> {
    match looks_like_a_url(&argument) {
        true => Err("plaintext is not read from a URL: pipe it, as in `curl … | cofferdam seal … -` (a file of that name is ./…)"
            .to_owned()),
        false => End::parse(argument),
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
    sealed_len: u64,
    stream_digest: Option<String>,
    sequence: Option<u64>,
    kept: u64,
    signature: Option<Name>,
    signed_by: Option<KeyName>,
    tree: Option<TreeRecord>,
    seconds: f64,
}

impl Record {
    fn new(
        input: &End,
        output: &Goal,
        sealed: &Sealed,
        signature: Option<&DueSignature>,
        begun: Instant,
    ) -> Record {
        let format = StreamFormat::of_sealed(sealed);
        Record {
            event: "sealed",
            input: input.name(),
            output: output.name(),
            format: format.name(),
            stream_id: sealed.stream_id.to_string(),
            segments: format.if_ours(sealed.segments),
            plaintext_len: sealed.plaintext_len,
            sealed_len: sealed.wire_len,
            stream_digest: format.if_ours(sealed.stream_digest.to_string()),
            sequence: sealed.sequence,
            kept: sealed.resumed_bytes,
            signature: signature.map(DueSignature::name),
            signed_by: signature.map(DueSignature::signer),
            tree: None,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn sentence(&self, begun: Instant) -> String {
        let how = match self.kept {
            0 => pace(self.plaintext_len, begun.elapsed()),
            kept => format!("{} of it kept from before", Size(kept)),
        };
        let mut text = format!("sealed {} into {}: {}", self.input, self.output, Size(self.plaintext_len));
        match (self.segments, &self.stream_digest) {
            (Some(segments), Some(digest)) => {
                text.push_str(&format!(" in {}, {how}", count(segments, "segment")));
                text.extend(self.tree.iter().map(|tree| format!("\n{}", tree.sentence())));
                text.push_str(&format!("\nstream digest {digest}"));
            }
            _ => text.push_str(&format!(" as {}, {how}", self.format)),
        }
        if let (Some(signature), Some(signer)) = (&self.signature, &self.signed_by) {
            text.push_str(&format!("\nsigned by {signer}, in {signature}"));
        }
        text
    }
}

/// The output is in place all the same.
fn not_signed(mut failure: Failure, output: &Goal) -> Failure {
    if is_in_place(&failure) {
        failure.message = format!("{}; {}", output.done(), failure.message);
        return failure;
    }
    failure.message = format!("{}; it is not signed: {}", output.done(), failure.message);
    failure.advise_also("`cofferdam sign` signs it now; its digest has been printed.")
}

fn how_to_go_on(kept: u64) -> String {
    format!(
        "The output is as it was. {} are sealed and kept beside it: the same command goes on from there; `cofferdam \
         discard` removes them, and `--resume --restart` seals anew.",
        Size(kept)
    )
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a pair is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A sealing reads from no store.
const MEMORY: &str =
    "Bytes of frames held in memory at most: 4MiB, 1GiB, … [default: 32MiB, less where little is left]";
const MEMORY_LONG: &str = "\
Bytes of frames held in memory at most: 4MiB, 1GiB, … [default: 32MiB, less where little is left]

Without it, a quarter of what the machine and the cgroup have left is used, if that is less. While memory is short, less of it is \
used than could be: see the operations guide.";
const STILL_KEPT: &str =
    "The output is as it was. What an earlier run has kept beside it, if there was one, is kept still.";
const EMPTY_PIPE: &str = "nothing came through the pipe, and an empty stream was sealed: look whether the program before it has failed";
/// What sealed files end in.
const EXTENSION: &str = ".cfd";
/// The same of age files.
const AGE_EXTENSION: &str = ".age";

const AFTER_HELP: &str = "\
Examples:
  cofferdam seal -r age1… db.img                         into db.img.cfd
  cofferdam seal -R team.txt -r age1… -o db.cfd db.img   for a team and one more
  pg_dump app | cofferdam seal -p -o app.cfd -           a pipe, with a passphrase
  pg_dump app | cofferdam seal -r age1… - | ssh store 'cat > app.cfd'
  cofferdam seal -r age1… -o s3://backups/db.cfd db.img  into a store
  cofferdam seal --key-file k --metadata host=db1 x      with a key file and a note inside
  cofferdam seal -r age1… --ssh-key ~/.ssh/id_ed25519 x  and sign it, into x.cfd.sig
  cofferdam seal --format age -r age1… db.img            into db.img.age, for `age -d`
  cofferdam seal --resume -r age1… big.img               run it again after an interruption
  cofferdam seal -r age1… /srv/db                        a directory, into /srv/db.cfd
  pg_basebackup -Ft -X fetch -D - | cofferdam seal --tar -r age1… -o base.cfd -
  cofferdam seal -r age1… --exclude 'tmp/' -o s.cfd /srv  all but directories named tmp

Exit codes: 0 done, 1 reading or writing failed, 2 usage, 6 the output exists, 7 a limit is exceeded, 8 what is kept \
for the output is of another input, damaged, or without a state, 9 another process writes the output, or has \
written the object meanwhile, 10 in place but its durability is unknown, or whether the object is in place is unknown, 12 the input changed, also since the interruption, 15 the store did not answer for too long, 130 interrupted: nothing is left behind, unless --resume was given.";
