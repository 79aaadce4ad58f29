//! The two ends of a command: a path, or `-` for standard input and output.
//! It keeps binary bytes off a terminal.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use cofferdam::{
    ErrorKind, IfExists, PipeSink, Source, descriptor_named, is_pipe, open_descriptor, open_path,
};

use crate::failure::Failure;
use crate::peer::{is_receivers, looks_like_an_address};
use crate::printable::Name;
use crate::report::Channel;
use crate::sealed::looks_like_a_url;
use crate::size::Size;
use crate::standard::Standard;

/// Where bytes come from or go to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// `-`.
    Standard,
    Path(PathBuf),
}

impl From<OsString> for End {
    fn from(argument: OsString) -> End {
        if argument == "-" { End::Standard } else { End::Path(argument.into()) }
    }
}

impl End {
    /// An argument that names something.
    pub(crate) fn parse(argument: OsString) -> Result<End, String> {
        if argument.is_empty() { Err(NO_NAME.to_owned()) } else { Ok(argument.into()) }
    }

    /// Opens it to read from.
    pub(crate) fn source(&self) -> Result<Box<dyn Source>, Failure> {
        match self {
            End::Standard => open_descriptor(Standard::Input.open()?)
                .map_err(|error| Failure::io("standard input could not be read", error)),
            End::Path(path) => {
                open_path(path).map_err(|error| Failure::io("the input could not be opened", error))
            }
        }
    }

    /// A sink that writes to standard output.
    pub(crate) fn stdout() -> Result<PipeSink<File>, Failure> {
        // A descriptor of our own: the library's handle would look for line ends in what goes through it.
        Ok(PipeSink::to_descriptor(File::from(Standard::Output.open()?)))
    }

    /// As an output: a path that leads to this process's own standard output (`/dev/stdout`) is `-`, unless a regular file is
    /// there, which has a name of its own.
    pub(crate) fn as_output(&self) -> End {
        match self {
            End::Path(path) if descriptor_named(path) == Some(1) && is_pipe(path) => End::Standard,
            _ => self.clone(),
        }
    }

    /// Refuses bytes of any kind on a terminal, unless they were asked for.
    pub(crate) fn refuse_terminal(&self, what: &str, if_exists: IfExists) -> Result<(), Failure> {
        if *self == End::Standard && if_exists == IfExists::Refuse && io::stdout().is_terminal() {
            return Err(Failure::usage(format!("{what} would go to the terminal"))
                .advise("Give a file or a pipe, or force it with --force."));
        }
        Ok(())
    }

    /// Adds to a failure what it means for this output, which the command calls a `noun`.
    pub(crate) fn explain(&self, error: cofferdam::Error, noun: &str) -> Failure {
        let says_nothing_else = !speaks_of_target(error.kind());
        let (kept, next) = (error.resumable_bytes(), NextRun::after(&error));
        let needs_room = error.kind() == ErrorKind::Io && is_out_of_room(&error);
        let failure = Failure::from(error);
        // What was left of something else is found by the output's name.
        let is_nameless = !failure.message.starts_with(&format!("{self}: "));
        let failure = match failure.kind() == ErrorKind::JournalMismatch && is_nameless {
            true => failure.of_part(self),
            false => failure,
        };
        match self {
            End::Standard => {
                failure.advise_also("What has gone to standard output, if anything, is not the whole.")
            }
            End::Path(path) if is_pipe(path) => {
                failure.advise_also("What has gone into the pipe, if anything, is not the whole.")
            }
            End::Path(_) => match kept {
                Some(kept) if needs_room => {
                    failure.advise_also("Make room there.").advise_also(&how_to_go_on(kept, next))
                }
                Some(kept) => failure.advise_also(&how_to_go_on(kept, next)),
                None if needs_room => {
                    failure.advise_also(MAKE_ROOM).advise_also(&format!("The {noun} is as it was."))
                }
                None if says_nothing_else => failure.advise_also(&format!("The {noun} is as it was.")),
                None => failure,
            },
        }
    }

    /// What has come about once the output is published.
    pub(crate) fn done(&self) -> String {
        match self {
            End::Standard => "all of it has gone to standard output".to_owned(),
            End::Path(_) => format!("{self} is in place and whole"),
        }
    }

    /// The same of what nothing proves to be whole.
    pub(crate) fn done_unproven(&self) -> String {
        match self {
            End::Standard => "what there is of it has gone to standard output".to_owned(),
            End::Path(path) if is_pipe(path) => format!("what there is of it has gone into {self}"),
            End::Path(path) if is_block_device(path) => format!("{self} has been written"),
            End::Path(_) => format!("{self} is in place"),
        }
    }

    /// As records name it.
    pub(crate) fn name(&self) -> Name {
        match self {
            End::Standard => Name::from(OsStr::new("-")),
            End::Path(path) => Name::from(path.as_path()),
        }
    }

    /// Where to report when this is the output.
    pub(crate) fn channel(&self) -> Channel {
        match self {
            End::Standard => Channel::Stderr,
            End::Path(_) => Channel::Stdout,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl End {
    /// Whether what is read here comes from another program, which may have failed.
    pub(crate) fn is_pipe(&self) -> bool {
        let metadata = match self {
            End::Standard => Standard::Input.metadata(),
            End::Path(path) => fs::metadata(path).ok(),
        };
        let kind = metadata.map(|metadata| metadata.file_type());
        kind.is_some_and(|kind| kind.is_fifo() || kind.is_socket())
    }
}

/// Refuses `-` where the command needs a file: `./-` is a file of that name.
pub(crate) fn refuse_standard_input(path: &Path) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        return Err(Failure::usage("this works on a file, not on standard input")
            .advise("Give the sealed file's name; `verify` takes a pipe."));
    }
    Ok(())
}

/// Refuses `-` where nothing is kept beside it: `./-` is a file of that name. The same of a receiver: what is
/// kept is there; and of a store, where parts of an upload may be left.
pub(crate) fn refuse_standard_target(path: &Path) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        return Err(Failure::usage("nothing is kept of what goes to standard output")
            .advise("Give the target's name."));
    }
    if looks_like_a_url(path.as_os_str()) && !is_receivers(path.as_os_str()) {
        return Err(Failure::usage("this takes the name of a target on this machine, not a URL")
            .advise("`cofferdam uploads` lists what is left at a store. A file of this name is ./…"));
    }
    if looks_like_an_address(path.as_os_str()) {
        let what = format!("{}: nothing is kept here of what goes to a receiver", Name::from(path));
        return Err(Failure::usage(what)
            .advise("Ask on the receiver's machine, by the name of its target. A file of this name is ./…"));
    }
    Ok(())
}

fn is_block_device(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_block_device())
}

/// Whether errors of this kind say by themselves what the target is, or are of what came before it was looked at.
fn speaks_of_target(kind: ErrorKind) -> bool {
    use ErrorKind::{DurabilityUnknown, JournalMismatch, TargetExists, TargetLocked, Usage};
    matches!(kind, DurabilityUnknown | JournalMismatch | TargetExists | TargetLocked | Usage)
}

/// What the same command does with what is kept.
#[derive(Clone, Copy)]
pub(crate) enum NextRun {
    GoesOn,
    /// It opens all of the stream again, and compares.
    Compares,
}

impl NextRun {
    pub(crate) fn after(error: &cofferdam::Error) -> NextRun {
        if error.opens_all_again() { NextRun::Compares } else { NextRun::GoesOn }
    }
}

/// What is kept after a failure, and what to do with it.
pub(crate) fn how_to_go_on(kept: u64, next: NextRun) -> String {
    let what = match kept {
        0 => "what an earlier attempt has left is".to_owned(),
        kept => format!("{} are", Size(kept)),
    };
    let again = match next {
        NextRun::GoesOn => "run the same command again to go on from there",
        NextRun::Compares => {
            "the same command opens all of the stream again, and writes only what differs; run it again"
        }
    };
    format!("The target is as it was. Beside it {what} kept: {again}, or with `--restart` to begin anew.")
}

/// A file with a name: a log, a seed, a file with a rate.
pub(crate) fn a_file(name: OsString) -> Result<PathBuf, String> {
    if looks_like_a_url(&name) {
        return Err("it is a file, not a URL; a file of that name is ./…".to_owned());
    }
    match End::parse(name)? {
        End::Standard => Err("it is a file; ./- is one of that name".to_owned()),
        End::Path(path) => Ok(path),
    }
}

/// Whether a file system is full, or this user's share of it.
pub(crate) fn is_out_of_room(error: &cofferdam::Error) -> bool {
    has_cause(error, &[io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded])
}

pub(crate) fn has_cause(error: &cofferdam::Error, kinds: &[io::ErrorKind]) -> bool {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    let mut causes = causes.filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|cause| kinds.contains(&cause.kind()))
}

/// Whether what there is of the bytes may be right: the rest of them could not be had.
pub(crate) fn is_cut_off(kind: ErrorKind) -> bool {
    use ErrorKind::{Cancelled, Denied, Io, NoProgress};
    matches!(kind, Cancelled | Denied | Io | NoProgress)
}

/// What `--force` says.
pub(crate) fn if_exists(force: bool) -> IfExists {
    if force { IfExists::Replace } else { IfExists::Refuse }
}

pub(crate) const MAKE_ROOM: &str = "Make room there, then run the same command again.";
/// Said of an argument that a script left empty, a variable that is not set for instance.
pub(crate) const NO_NAME: &str = "the name is empty";
