//! `cofferdam ls`: what is in a sealed tree.
//! It reads the catalog, and no file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::tree::{Entry, EntryKind, InOrder, TreeError, TreePath};
use serde::Serialize;

use crate::clock::rfc3339;
use crate::failure::Failure;
use crate::json;
use crate::printable::Name;
use crate::report::{Form, Report};
use crate::sealed::Sealed;
use crate::standard::Standard;
use crate::tree_args::name;
use crate::tree_reading::{TreeReading, not_there, of_tree, parse_path};

/// List what is in a sealed tree, or below a path of it
///
/// One path a line, each directory before what is in it. Only the catalog is read, or the part of it that is needed. What is printed is authentic: it is what
/// whoever sealed the tree has sealed. That the files' bytes are there and unchanged is not looked at: `verify` says that.
///
/// Characters that act on a terminal are written out, bytes that are not UTF-8 as \xff. With --json names are exact.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Ls {
    /// The sealed tree: a file, or a URL (s3:, gs:, az:, http:, https:); not a pipe
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    sealed: Sealed,

    /// What to list, with all that is below it: a path from the tree's directory on
    #[arg(value_name = "PATH")]
    path: Option<OsString>,

    /// Type, mode, owner, group, bytes and time of modification (UTC) too, and where links lead
    #[arg(short, long)]
    long: bool,

    #[command(flatten)]
    reading: TreeReading,
}

impl Ls {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        let path = self.path.as_deref().map(parse_path).transpose()?;
        let output = Standard::Output.open()?;
        let tree = self.reading.open("ls", &mut self.sealed, report)?;
        let of_tree = |error| of_tree(error, &self.sealed);
        let first = match &path {
            Some(path) => tree.catalog.place_of(path).map_err(of_tree)?,
            None => 0,
        };
        let mut lines = Lines {
            out: BufWriter::with_capacity(BUFFER_LEN, output.into()),
            form: report.form,
            is_long: self.long,
        };
        let members = tree.catalog.in_order(first..u64::MAX);
        match (list(members, path.as_ref(), &mut lines), path) {
            (Err(Fault::Reading(error)), _) => Err(of_tree(error)),
            (Err(Fault::Writing(error)), _) => Err(Failure::io("the output could not be written", error)),
            (Ok(0), Some(path)) => Err(not_there(&path, &self.sealed)),
            (Ok(_), _) => Ok(()),
        }
    }
}

/// Writes a line for each of `members` that is at `path` or below it, up to the first that is not, and gives how many there were.
fn list(members: InOrder<'_>, path: Option<&TreePath>, lines: &mut Lines) -> Result<u64, Fault> {
    let mut written = 0;
    for located in members {
        let entry = located?.entry;
        if path.is_some_and(|path| entry.path != *path && !entry.path.is_below(path)) {
            break;
        }
        lines.write(&entry).map_err(Fault::Writing)?;
        written += 1;
    }
    lines.out.flush().map_err(Fault::Writing)?;
    Ok(written)
}

enum Fault {
    Reading(TreeError),
    Writing(io::Error),
}

impl From<TreeError> for Fault {
    fn from(error: TreeError) -> Fault {
        Fault::Reading(error)
    }
}

/// Entries on their way to standard output.
struct Lines {
    out: BufWriter<File>,
    form: Form,
    is_long: bool,
}

impl Lines {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        match self.form {
            Form::Json => {
                json::write(&mut self.out, &EntryRecord::new(entry))?;
                self.out.write_all(b"\n")
            }
            Form::Human if self.is_long => self.write_long(entry),
            Form::Human => writeln!(self.out, "{}", name(&entry.path)),
        }
    }

    fn write_long(&mut self, entry: &Entry) -> io::Result<()> {
        write!(
            self.out,
            "{} {:>5} {:>5} {:>12} {} {}",
            mode_text(entry.kind, entry.mode),
            entry.uid,
            entry.gid,
            entry.size,
            time_text(entry),
            name(&entry.path)
        )?;
        match link(entry) {
            Some(link) if entry.kind == EntryKind::HardLink => write!(self.out, " link to {link}")?,
            Some(link) => write!(self.out, " -> {link}")?,
            None => {}
        }
        self.out.write_all(match (entry.gone, entry.changed) {
            (true, _) => b" (gone while it was sealed: zeros)\n",
            (false, true) => b" (changed while it was sealed)\n",
            (false, false) => b"\n",
        })
    }
}

#[derive(Serialize)]
struct EntryRecord {
    event: &'static str,
    path: Name,
    #[serde(rename = "type")]
    kind: &'static str,
    size: u64,
    mode: String,
    uid: u32,
    gid: u32,
    modified: Option<String>,
    modified_seconds: i64,
    modified_nanos: u32,
    changed: bool,
    gone: bool,
    link: Option<Name>,
}

impl EntryRecord {
    fn new(entry: &Entry) -> EntryRecord {
        EntryRecord {
            event: "entry",
            path: name(&entry.path),
            kind: kind_name(entry.kind),
            size: entry.size,
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            modified: utc(entry.modified.seconds),
            modified_seconds: entry.modified.seconds,
            modified_nanos: entry.modified.nanos,
            changed: entry.changed,
            gone: entry.gone,
            link: link(entry),
        }
    }
}

pub(crate) fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::HardLink => "hard link",
        EntryKind::Symlink => "symlink",
        EntryKind::CharDevice => "character device",
        EntryKind::BlockDevice => "block device",
        EntryKind::Directory => "directory",
        EntryKind::Fifo => "fifo",
    }
}

fn link(entry: &Entry) -> Option<Name> {
    use std::os::unix::ffi::OsStrExt as _;
    entry.kind.is_link().then(|| Name::from(std::ffi::OsStr::from_bytes(&entry.link)))
}

/// As ls(1) has it.
fn mode_text(kind: EntryKind, mode: u32) -> String {
    let kind = match kind {
        EntryKind::File => '-',
        EntryKind::HardLink => 'h',
        EntryKind::Symlink => 'l',
        EntryKind::CharDevice => 'c',
        EntryKind::BlockDevice => 'b',
        EntryKind::Directory => 'd',
        EntryKind::Fifo => 'p',
    };
    let mut text = String::from(kind);
    for (shift, set, shown) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & set != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => shown,
            (true, false) => shown.to_ascii_uppercase(),
        });
    }
    text
}

fn time_text(entry: &Entry) -> String {
    utc(entry.modified.seconds).unwrap_or_else(|| format!("{:>20}", entry.modified.seconds))
}

/// A time between 1970 and 9999; others are told in seconds.
fn utc(seconds: i64) -> Option<String> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds <= LAST_SECOND).map(rfc3339)
}

/// The end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;
/// What goes out at once.
const BUFFER_LEN: usize = 64 << 10;

const AFTER_HELP: &str = "\
Examples:
  cofferdam ls -i key.txt srv.cfd                  all of it
  cofferdam ls -l -i key.txt srv.cfd base/1        one directory
  cofferdam ls --json -i key.txt s3://b/srv.cfd | jq -r 'select(.changed).path'

Exit codes: 0 done, 1 reading or writing failed, 2 usage, also no tree, or nothing at PATH, 3 damaged, tampered with, of another digest, or \
not the tree that it says it is, 4 no key opens it, 5 truncated, 7 a limit is exceeded or a feature is not supported, 11 no Cofferdam stream, \
12 the sealed stream changed while it was read, 14 older than asked for, 15 nothing has come from the store for too long, 17 not signed by \
anybody of --signed-by, 130 interrupted.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_those_of_ls() {
        // From `ls -l` of files with these modes.
        for (kind, mode, text) in [
            (EntryKind::File, 0o644, "-rw-r--r--"),
            (EntryKind::Directory, 0o1777, "drwxrwxrwt"),
            (EntryKind::Directory, 0o1776, "drwxrwxrwT"),
            (EntryKind::File, 0o4711, "-rws--x--x"),
            (EntryKind::File, 0o2644, "-rw-r-Sr--"),
            (EntryKind::Symlink, 0o777, "lrwxrwxrwx"),
            (EntryKind::Fifo, 0, "p---------"),
        ] {
            assert_eq!(mode_text(kind, mode), text);
        }
    }
}
