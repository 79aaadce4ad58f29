//! `cofferdam mount`: the files of a sealed tree, or a sealed stream as one file, under a directory of this machine, for as long as it runs.
//! It turns options into a reader and a mount; the libraries read and mount.

use std::io;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ::mount::{
    Access, Contents, ContentsKind, MountError, MountOptions, MountPoint, Mounted, Notice, Owners, Unmounted,
};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::tree::TreeError;
use cofferdam::{CancelToken, ContentKind, ErrorKind, Reader, tree_error};
use rustix::process::{getegid, geteuid};
use serde::Serialize;

use crate::complaints::Complaints;
use crate::expected::Expected;
use crate::failure::{Failure, with_causes};
use crate::interrupt;
use crate::io_arg::a_file;
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::opening_args::OpeningArgs;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::Report;
use crate::sealed::Sealed;
use crate::service::{self, Status};
use crate::signatures::SignedByArgs;
use crate::size::Size;
use crate::standard::Standard;
use crate::text::count;

/// Mount a sealed stream read-only, without restoring it: a tree as its files, any other stream as one file
///
/// Frames are opened as they are asked for, and kept within --memory. It stays in the foreground, says where it is mounted, and ends when it is
/// unmounted (`umount DIR`, `fusermount3 -u DIR`), or by Ctrl-C or SIGTERM, which unmount it, with exit code 0.
///
/// Nothing can be written; set-id bits and devices have no effect; modes and ACLs are enforced. Only the user who mounts gets to it, unless
/// --allow-other. Mounted by root, files have the owners that were sealed, by number; mounted by another user, all of them are that user's.
///
/// Each byte that is read is authentic and at its place; that the rest of the stream is there and unchanged is not looked at: `verify`
/// says that. What cannot be read, or is not authentic, is an I/O error (EIO) at the program that reads, and a warning here, never other
/// bytes; the rest can be read. A read of a store takes no longer than --timeout in all.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP, mut_arg("expect_digest", |arg| arg.long_help(EXPECT_DIGEST)))]
pub(crate) struct Mount {
    /// The sealed stream: a file, or a URL (s3:, gs:, az:, http:, https:); not a pipe
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    sealed: Sealed,

    /// Where to mount it: a directory that is there, and empty
    #[arg(value_name = "DIR", value_parser = OsStringValueParser::new().try_map(a_file))]
    directory: PathBuf,

    /// Let other users get to it, as far as modes and ACLs allow
    ///
    /// Whoever is not root needs the line `user_allow_other` in /etc/fuse.conf for it. The one file of a stream that is no tree can be read
    /// by everybody then.
    #[arg(long)]
    allow_other: bool,

    #[command(flatten)]
    expected: Expected,

    #[command(flatten)]
    signed_by: SignedByArgs,

    #[command(flatten)]
    opening: OpeningArgs,
}

impl Mount {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        self.sealed.set_timeout(self.opening.timeout);
        self.signed_by.set_timeout(self.opening.timeout);
        self.opening.resources.begin(RunInfo::opening("mount"), &self.files()?, report)?;
        let signals = interrupt::install(report)?;
        // Before anybody is asked for a passphrase.
        let mount_point = MountPoint::open(&self.directory).map_err(|error| self.not_mounted(error))?;
        // The signals end the mount; reads that it has begun may end by themselves first.
        let reading = CancelToken::new();
        let opened = self.reader(&signals, &reading, report);
        let reader = opened.map_err(|failure| failure.unless_interrupted(&signals))?;
        let (options, stream_id) = (self.options(), reader.stream_id().to_string());
        let contents = self.contents(reader, &options)?;
        interrupt::roll_back_from_now_on();
        if signals.is_cancelled() {
            return Err(Failure::interrupted());
        }
        let mut record = MountedRecord::new(&self.sealed, stream_id, &contents);
        let complaints = Complaints::new(report, reading.clone());
        let notify = Arc::new(move |notice: &Notice<'_>| complaints.tell(|| Some(sentence(notice))));
        let mounted = Mounted::new(contents, mount_point, &options, notify);
        let mounted = mounted.map_err(|error| self.not_mounted(error))?;
        record.directory = Name::from(mounted.path());
        let begun = Instant::now();
        let printed = wait(&signals, &mounted, &record, report);
        reading.cancel();
        let ended = end(mounted, record, begun, report);
        printed.and(ended)
    }

    fn files(&self) -> Result<NamedFiles, Failure> {
        Standard::Output.refuse_unusable()?;
        let mut files = NamedFiles::default();
        self.opening.name_files(&self.sealed, &mut files)?;
        self.signed_by.name_files(&self.sealed, &mut files)?;
        Ok(files)
    }

    fn reader(
        &self,
        signals: &CancelToken,
        reading: &CancelToken,
        report: Report,
    ) -> Result<Reader, Failure> {
        let watch = Watch::new(report, "reading", Warnings::AtOnce);
        let identities = self.opening.keys.some_identities(signals, report)?;
        metrics_file::has_keys();
        let opener = self.opening.opener(Some(identities), &self.expected, reading, watch, report)?;
        let opener = self.expected.pinned(opener);
        let (opener, _) = self.signed_by.demand(opener, &self.sealed, reading, report)?;
        let of_input = |error| Failure::from(error).of_input(&self.sealed);
        opener.reader(self.sealed.source(reading, report)?).map_err(of_input)
    }

    fn contents(&self, reader: Reader, options: &MountOptions) -> Result<Contents, Failure> {
        let of_input = |error| Failure::from(error).of_input(&self.sealed);
        let name = self.sealed.plaintext_name();
        let kind = match ContentKind::of_metadata(reader.metadata()).map_err(of_input)? {
            Some(ContentKind::Tree) => ContentsKind::Tree(name),
            _ => ContentsKind::File(name),
        };
        Contents::open(Arc::new(reader), kind, options).map_err(|error| match error {
            MountError::Tree(error) => of_input(tree_error(error)),
            other => self.not_mounted(other),
        })
    }

    fn options(&self) -> MountOptions {
        let (user, group) = (geteuid(), getegid());
        let owners = match user.is_root() {
            true => Owners::AsSealed,
            false => Owners::All { user: user.as_raw(), group: group.as_raw() },
        };
        let access = if self.allow_other { Access::AllUsers } else { Access::Owner };
        MountOptions::default().access(access).owners(owners).patience(self.opening.timeout.limit())
    }

    fn not_mounted(&self, error: MountError) -> Failure {
        let directory = Name::from(self.directory.as_path());
        let advice = match &error {
            MountError::NotEmpty => {
                "What is in it would be hidden: make an empty directory for the mount.".to_owned()
            }
            MountError::DeadMount => format!(
                "`fusermount3 -u -z {directory}`, or as root `umount -l {directory}`, takes it away; then mount again."
            ),
            MountError::TooManyHardLinks { .. } => "Restore the tree instead.".to_owned(),
            MountError::System { what: "mount", .. } => {
                "It takes FUSE: /dev/fuse, and for a user other than root the program fusermount3 \
                 (Debian's package fuse3), and a directory of that user's."
                    .to_owned()
            }
            _ => "Give a directory that is there, is empty, and is yours.".to_owned(),
        };
        let kind = match error {
            MountError::NotEmpty => ErrorKind::TargetExists,
            MountError::TooManyHardLinks { .. } => ErrorKind::Limit,
            _ => ErrorKind::Io,
        };
        // The cause is in the words.
        Failure::new(kind, format!("{directory}: {error}")).advise(advice)
    }
}

/// Says where it is mounted, and waits until the end is asked for, or it has been unmounted.
fn wait(
    signals: &CancelToken,
    mounted: &Mounted,
    record: &MountedRecord,
    report: Report,
) -> Result<(), Failure> {
    let printing = report.begin_answer(record, record.sentence());
    // Whoever is told that it is ready may look for the line at once.
    printing.ended(UNREAD_PATIENCE).transpose()?;
    let status = Status::new();
    service::is_ready();
    while !signals.is_cancelled() && !mounted.is_finished() {
        thread::sleep(POLL);
        printing.ended(Duration::ZERO).transpose()?;
        status.progressed(|| format!("{} is mounted at {}", record.input, record.directory));
    }
    Ok(())
}

/// Unmounts it, if nobody has, and says how that went.
fn end(mounted: Mounted, record: MountedRecord, begun: Instant, report: Report) -> Result<(), Failure> {
    let directory = record.directory.clone();
    let how = mounted.unmount(GRACE).map_err(|error| not_unmounted(&directory, error))?;
    match how {
        Unmounted::InUse => report.warning(format!(
            "{directory} was still in use: it is unmounted, and programs that have files of it open get errors from now on"
        )),
        Unmounted::Covered => return Err(covered(&directory)),
        Unmounted::Clean | Unmounted::Before => {}
    }
    let unmounted = UnmountedRecord::new(record, how, begun);
    let sentence = unmounted.sentence();
    report.say_last(unmounted, sentence, GRACE);
    Ok(())
}

/// What could not be read, in a clause that says why, down to the place in the sealed stream.
fn sentence(notice: &Notice<'_>) -> String {
    let why = match notice.error.downcast_ref::<TreeError>() {
        // It has the words of its cause, and the cause its own causes.
        Some(TreeError::Io { source, .. }) => with_causes(source),
        _ => with_causes(notice.error),
    };
    format!("{} could not be read: {why}", notice.what)
}

fn not_unmounted(directory: &Name, error: io::Error) -> Failure {
    Failure::io(format!("{directory} could not be unmounted"), error).advise(format!(
        "`fusermount3 -u -z {directory}`, or as root `umount -l {directory}`, takes the dead mount away."
    ))
}

fn covered(directory: &Name) -> Failure {
    let what =
        format!("something else is mounted over {directory}, and was left: below it is a dead mount now");
    Failure::new(ErrorKind::Io, what).advise(
        "Unmount what is above it; then `umount -l`, or `fusermount3 -u -z`, takes the dead mount away.",
    )
}

#[derive(Serialize)]
struct MountedRecord {
    event: &'static str,
    input: Name,
    stream_id: String,
    directory: Name,
    content: &'static str,
    entries: u64,
    data_len: u64,
}

impl MountedRecord {
    /// Of what is about to be mounted, without the directory.
    fn new(sealed: &Sealed, stream_id: String, contents: &Contents) -> MountedRecord {
        MountedRecord {
            event: "mounted",
            input: sealed.name(),
            stream_id,
            directory: Name::from(Path::new("")),
            content: if contents.is_tree() { "tree" } else { "file" },
            entries: contents.entries(),
            data_len: contents.data_len(),
        }
    }

    fn sentence(&self) -> String {
        let (input, directory, len) = (&self.input, &self.directory, Size(self.data_len));
        match self.content {
            "tree" => {
                let members = count(self.entries, "member");
                format!("{input} is mounted at {directory}, read-only: {members}, {len}")
            }
            _ => format!("{input} is mounted at {directory}, read-only: one file, {len}"),
        }
    }
}

#[derive(Serialize)]
struct UnmountedRecord {
    event: &'static str,
    input: Name,
    stream_id: String,
    directory: Name,
    how: &'static str,
    seconds: f64,
}

impl UnmountedRecord {
    fn new(mounted: MountedRecord, how: Unmounted, begun: Instant) -> UnmountedRecord {
        let MountedRecord { input, stream_id, directory, .. } = mounted;
        let how = match how {
            Unmounted::InUse => "in use",
            Unmounted::Before => "before",
            Unmounted::Clean | Unmounted::Covered => "clean",
        };
        let seconds = begun.elapsed().as_secs_f64();
        UnmountedRecord { event: "unmounted", input, stream_id, directory, how, seconds }
    }

    fn sentence(&self) -> String {
        format!("{} was mounted at {} for {:.1} s", self.input, self.directory, self.seconds)
    }
}

/// How long those who use it have to close it, once it is unmounted.
const GRACE: Duration = Duration::from_secs(2);
/// How long its first line is waited for before it says that it is ready.
const UNREAD_PATIENCE: Duration = Duration::from_secs(1);
/// How soon a signal, or that somebody has unmounted it, is seen.
const POLL: Duration = Duration::from_millis(50);

const EXPECT_DIGEST: &str = "\
The stream digest that it must have: 64 hexadecimal digits, as `seal` prints it

The index is compared with it before anything is mounted: see `cofferdam cat --help`.";

const AFTER_HELP: &str = "\
Examples:
  cofferdam mount -i key.txt srv.cfd /mnt/srv           the files of a sealed directory
  cofferdam mount -i key.txt s3://b/db.img.cfd /mnt/db  /mnt/db/db.img, out of a store
  sqlite3 'file:/mnt/srv/app.db?immutable=1' .tables    a database in it, which nobody writes
  mount -t overlay -o nosuid,nodev,lowerdir=/mnt/srv,upperdir=up,workdir=work none /mnt/rw
                                                        to write above it, as root (and OPERATIONS, section 23)
  umount /mnt/srv                                       ends it; so do Ctrl-C and SIGTERM

A program that waits for a read of a store cannot be killed until the read ends, at the latest after --timeout. If this command is killed \
(SIGKILL), a dead mount is left: `fusermount3 -u -z DIR`, or as root `umount -l DIR`, takes it away.

Exit codes: 0 unmounted, by a signal or by somebody, 1 reading failed before it was mounted, the system did not let it be mounted or \
unmounted, or something else is mounted over it, 2 usage, 3 damaged, tampered with, of another digest, or a tree that is none, 4 no key opens \
it, 5 truncated, 6 the directory is not empty, 7 a limit is exceeded or a feature is not supported, 11 the input is no Cofferdam stream, 12 the \
sealed stream changed while it was opened, 14 older than asked for, 15 nothing has come from the store for too long, 17 not signed by anybody \
of --signed-by, 130, 129 or 143 interrupted before it was mounted.";
