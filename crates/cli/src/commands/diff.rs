//! `cofferdam diff`: whether a directory is what a sealed tree holds, by content and attributes.
//! It reads both, and changes neither.

mod first_names;

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::ErrorKind;
use cofferdam::tree::{
    EntryKind, InOrder, LocatedEntry, Member, Mounts, TreeError, TreePath, TreeRoot, WalkOptions, walk,
};
use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use self::first_names::FirstNames;
use crate::failure::{Failure, FailureKind};
use crate::io_arg::a_file;
use crate::printable::Name;
use crate::report::{Channel, Form, Report};
use crate::sealed::Sealed;
use crate::text::{agree, count};
use crate::tree_args::name;
use crate::tree_reading::{OpenedTree, TreeReading, of_tree};

/// Compare a sealed tree with a directory, by content and attributes
///
/// Types, bytes, modes, owners, times of modification, targets of links, device numbers and extended attributes are compared; times of symbolic
/// links are not, nor is what the directory's sockets are. One line is printed for each path that differs, and for each file whose bytes could not be
/// read. All of the tree is read, and every byte of it is authentic.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Diff {
    /// The sealed tree: a file, or a URL (s3:, gs:, az:, http:, https:); not a pipe
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    sealed: Sealed,

    /// The directory
    #[arg(value_name = "DIR", value_parser = OsStringValueParser::new().try_map(a_file))]
    directory: PathBuf,

    /// Leave out, on both sides, what GLOB matches and all that is below it, as `seal` does; may be given more than once
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Compare other file systems that are mounted in the directory, too
    #[arg(long)]
    all_file_systems: bool,

    /// Do not compare owners and groups: a restore by another user than root gives files to that user
    #[arg(long)]
    no_owner: bool,

    #[command(flatten)]
    reading: TreeReading,
}

impl Diff {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        let of_glob = |what: String| Failure::usage(format!("a glob that cannot be read: {what}"));
        let options =
            WalkOptions::default().exclude(self.exclude.iter().map(String::as_str)).map_err(of_glob)?;
        let mounts = if self.all_file_systems { Mounts::Enter } else { Mounts::Skip };
        let root = TreeRoot::open(&self.directory).map_err(of_directory)?;
        let tree = self.reading.open("diff", &mut self.sealed, report)?;
        let begun = Instant::now();
        let cancel = tree.cancel.clone();
        let walk_options =
            options.clone().mounts(mounts).cancel_when(Arc::new(move || cancel.is_cancelled()));
        let names = FirstNames::read(&tree.catalog).map_err(|error| of_tree(error, &self.sealed))?;
        let names = names.ok_or_else(too_many_links)?;
        let mut comparison = Comparison {
            root: &root,
            members: tree.catalog.in_order(0..u64::MAX),
            held_back: None,
            names,
            options,
            owners: if self.no_owner { Owners::Ignore } else { Owners::Compare },
            buffers: [vec![0; PIECE_LEN], vec![0; PIECE_LEN]],
            paths: 0,
            differences: 0,
            only_there: 0,
            unread: 0,
            failure: None,
            sealed: &self.sealed,
            tree: &tree,
            report,
        };
        let mut take = |member: Member| {
            comparison.take(&member).map_err(|failure| {
                comparison.failure = Some(failure);
                TreeError::Io { what: "compare".into(), source: io::ErrorKind::Other.into() }
            })
        };
        let walked = walk(&root, &walk_options, &mut take);
        if let Some(failure) = comparison.failure.take() {
            return Err(failure.unless_interrupted(&tree.cancel));
        }
        walked.map_err(|error| of_directory(error).unless_interrupted(&tree.cancel))?;
        comparison.rest_of_tree()?;
        let Comparison { paths, differences, only_there, unread, .. } = comparison;
        let record = Record {
            event: "compared",
            input: self.sealed.name(),
            directory: Name::from(self.directory.as_path()),
            paths,
            differences,
            unread,
            seconds: begun.elapsed().as_secs_f64(),
        };
        // To people a failure says the same.
        if (unread, differences) == (0, 0) || report.form == Form::Json {
            report.summary(Channel::Stdout, &record, record.sentence())?;
        }
        match (unread, differences) {
            (0, 0) => Ok(()),
            (0, _) => {
                let failure = Failure::new(FailureKind::Differs, record.sentence());
                let may_be_left_out = only_there > 0 && self.exclude.is_empty();
                Err(if may_be_left_out { failure.advise(LEFT_OUT) } else { failure })
            }
            // Whether it is what was sealed is not known.
            _ => Err(Failure::new(ErrorKind::Io, record.sentence())),
        }
    }
}

/// What is compared, and how far it is.
struct Comparison<'a> {
    tree: &'a OpenedTree,
    sealed: &'a Sealed,
    root: &'a TreeRoot,
    /// What is left of the tree, in path order.
    members: InOrder<'a>,
    /// The first of them, if it has been looked at.
    held_back: Option<LocatedEntry>,
    names: FirstNames,
    options: WalkOptions,
    owners: Owners,
    /// For bytes of the tree and of the directory.
    buffers: [Vec<u8>; 2],
    paths: u64,
    differences: u64,
    /// Those that are in the directory alone.
    only_there: u64,
    /// Files of the directory whose bytes could not be read.
    unread: u64,
    failure: Option<Failure>,
    report: Report,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owners {
    Compare,
    Ignore,
}

impl Comparison<'_> {
    /// The next path of the directory. Those of the tree before it are not there.
    fn take(&mut self, member: &Member) -> Result<(), Failure> {
        while let Some(entry) = self.next_entry()? {
            if entry.entry.path > member.path {
                // A directory that no member of its own says is one all the same.
                let is_implied =
                    member.kind == EntryKind::Directory && entry.entry.path.is_below(&member.path);
                self.held_back = Some(entry);
                if is_implied {
                    return Ok(());
                }
                break;
            }
            if entry.entry.path == member.path {
                let what = self.compare(&entry, member)?;
                return self.tell(&member.path, Side::Both, what);
            }
            self.tell(&entry.entry.path, Side::Tree, Vec::new())?;
        }
        self.tell(&member.path, Side::Directory, Vec::new())
    }

    fn rest_of_tree(&mut self) -> Result<(), Failure> {
        while let Some(entry) = self.next_entry()? {
            self.tell(&entry.entry.path, Side::Tree, Vec::new())?;
        }
        Ok(())
    }

    fn next_entry(&mut self) -> Result<Option<LocatedEntry>, Failure> {
        if self.held_back.is_some() {
            return Ok(self.held_back.take());
        }
        for located in self.members.by_ref() {
            if self.tree.cancel.is_cancelled() {
                return Err(Failure::interrupted());
            }
            let located = located.map_err(|error| of_tree(error, self.sealed))?;
            if !self.options.leaves_out(&located.entry.path, located.entry.kind) {
                return Ok(Some(located));
            }
        }
        Ok(None)
    }

    /// Counts a path, and says what differs there.
    fn tell(&mut self, path: &TreePath, side: Side, what: Vec<&'static str>) -> Result<(), Failure> {
        self.paths += 1;
        if side == Side::Both && what.is_empty() {
            return Ok(());
        }
        self.differences += 1;
        self.only_there += u64::from(side == Side::Directory);
        let record = Difference { event: "difference", path: name(path), only_in: side.name(), what };
        self.report.answer(Channel::Stdout, &record, record.line())
    }

    /// What of a path differs, in words.
    fn compare(&mut self, entry: &LocatedEntry, there: &Member) -> Result<Vec<&'static str>, Failure> {
        let of_tree = |error| of_tree(error, self.sealed);
        let header = entry.read_member(&*self.tree.reader).map_err(of_tree)?;
        let (file, link) = self.names.resolve(&self.tree.catalog, entry).map_err(of_tree)?;
        let sealed = match &file {
            Some(file) if file.number != entry.number => {
                file.read_member(&*self.tree.reader).map_err(of_tree)?
            }
            _ => header,
        };
        let kind = if link.is_some() { EntryKind::HardLink } else { sealed.kind };
        if kind != there.kind {
            return Ok(vec!["type"]);
        }
        if let Some(link) = link {
            return Ok(if link.as_bytes() == there.link { Vec::new() } else { vec!["link"] });
        }
        let is_content_other = kind == EntryKind::File
            && (sealed.size != there.size || !self.has_same_bytes(file.as_ref().unwrap_or(entry), there)?);
        let owner = |member: &Member| (member.uid, member.gid);
        let found = [
            (is_content_other, "content"),
            (sealed.mode != there.mode && kind != EntryKind::Symlink, "mode"),
            (self.owners == Owners::Compare && owner(&sealed) != owner(there), "owner"),
            (sealed.modified != there.modified && kind != EntryKind::Symlink, "time"),
            (sealed.link != there.link, "link"),
            (sealed.device != there.device, "device"),
            (sealed.xattrs != there.xattrs, "attributes"),
        ];
        Ok(found.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect())
    }

    /// Of a file that has the same length in both. One that cannot be read is told, and as far as is known is the same.
    fn has_same_bytes(&mut self, entry: &LocatedEntry, there: &Member) -> Result<bool, Failure> {
        match self.compare_bytes(entry, there)? {
            Ok(is_same) => Ok(is_same),
            Err(error) => {
                self.unread += 1;
                let record = Unread { event: "unread", path: name(&there.path), error: error.to_string() };
                self.report.answer(Channel::Stdout, &record, record.line()).map(|()| true)
            }
        }
    }

    /// The inner error is the directory's file's, the outer one the tree's.
    fn compare_bytes(&mut self, entry: &LocatedEntry, there: &Member) -> Result<io::Result<bool>, Failure> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match self.root.open_at(&there.path, flags, Mode::empty()) {
            Ok(file) => file,
            // It has changed since it was walked.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {
                return Ok(Ok(false));
            }
            Err(error) => return Ok(Err(error.into())),
        };
        let mut reader = (*self.tree.reader).clone();
        let [of_tree, of_file] = &mut self.buffers;
        let mut at = 0;
        let sought = reader.seek(SeekFrom::Start(entry.data_at()));
        sought.map_err(|error| of_reader(error, self.sealed))?;
        while at < there.size {
            let len = usize::try_from(there.size - at).map_or(PIECE_LEN, |left| left.min(PIECE_LEN));
            let (of_tree, of_file) = (&mut of_tree[..len], &mut of_file[..len]);
            reader.read_exact(of_tree).map_err(|error| of_reader(error, self.sealed))?;
            match file.read_exact_at(of_file, at) {
                Ok(()) if of_tree == of_file => {}
                Ok(()) => return Ok(Ok(false)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Ok(false)),
                Err(error) => return Ok(Err(error)),
            }
            at += len as u64;
        }
        Ok(Ok(is_regular(&file)))
    }
}

/// Where a path is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Both,
    Tree,
    Directory,
}

impl Side {
    fn name(self) -> Option<&'static str> {
        match self {
            Side::Both => None,
            Side::Tree => Some("tree"),
            Side::Directory => Some("directory"),
        }
    }
}

#[derive(Serialize)]
struct Difference {
    event: &'static str,
    path: Name,
    only_in: Option<&'static str>,
    what: Vec<&'static str>,
}

impl Difference {
    fn line(&self) -> String {
        match self.only_in {
            Some(side) => format!("only in the {side}: {}", self.path),
            None => format!("differs in {}: {}", self.what.join(", "), self.path),
        }
    }
}

/// A file of the directory whose bytes could not be read.
#[derive(Serialize)]
struct Unread {
    event: &'static str,
    path: Name,
    error: String,
}

impl Unread {
    fn line(&self) -> String {
        format!("could not be read: {}: {}", self.path, self.error)
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: Name,
    directory: Name,
    paths: u64,
    differences: u64,
    unread: u64,
    seconds: f64,
}

impl Record {
    fn sentence(&self) -> String {
        let Record { input, directory, .. } = self;
        let paths = count(self.paths, "path");
        let compared = match self.differences {
            0 if self.unread > 0 => format!("of {paths} compared, none differs"),
            0 => return format!("{directory} is what {input} holds: {paths} compared"),
            differences => {
                let differ = agree(differences, "{differs|differ}");
                format!("{directory} is not what {input} holds: of {paths} compared, {differences} {differ}")
            }
        };
        match self.unread {
            0 => compared,
            unread => format!("{compared}, and the bytes of {} could not be read", count(unread, "file")),
        }
    }
}

fn of_directory(error: TreeError) -> Failure {
    match error {
        TreeError::Io { what, source } => Failure::io(format!("cannot {what}"), source),
        other => Failure::new(ErrorKind::Limit, other.to_string()),
    }
}

fn too_many_links() -> Failure {
    let what = format!("a tree of more than {} hard links cannot be compared", first_names::HARD_LINKS_MAX);
    Failure::new(ErrorKind::Limit, what).advise("Restore it, and compare the two directories.")
}

fn of_reader(error: io::Error, sealed: &Sealed) -> Failure {
    match error.downcast::<cofferdam::Error>() {
        Ok(error) => Failure::from(error).of_input(sealed),
        Err(error) => Failure::io("the plaintext could not be read", error),
    }
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.is_file())
}

/// What is compared at a time.
const PIECE_LEN: usize = 256 << 10;

const LEFT_OUT: &str = "Was some of it left out as it was sealed? `--exclude` leaves the same out here.";

const AFTER_HELP: &str = "\
Examples:
  cofferdam diff -i key.txt srv.cfd /srv           is it still what was sealed?
  cofferdam diff -i key.txt --exclude 'tmp/' srv.cfd /srv
                                                   the same, where `seal` was given that
  cofferdam diff --json -i key.txt srv.cfd /srv | jq -r 'select(.event == \"difference\").path'

Exit codes: 0 nothing differs, 18 something differs, 1 reading failed, of some file or altogether, 2 usage, also no tree, 3 damaged, tampered with, of another digest, or \
not the tree that it says it is, 4 no key opens it, 5 truncated, 7 a limit is exceeded or a feature is not supported, 11 no Cofferdam stream, \
12 the sealed stream changed while it was read, 14 older than asked for, 15 nothing has come from the store for too long, 17 not signed by \
anybody of --signed-by, 130 interrupted.";
