//! `cofferdam cat`: plaintext to standard output, all of it or a range of bytes.
//! It turns options into an opener; the library opens what the range needs.

use std::ffi::OsString;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use cofferdam::tree::{EntryKind, TreeError, TreePath};
use cofferdam::{IfNoTree, Reader, StreamingSink as _};
use serde::Serialize;

use crate::byte_range::ByteRange;
use crate::commands::ls::kind_name;
use crate::commands::restore::Restore;
use crate::expected::Expected;
use crate::failure::Failure;
use crate::foreign_args::ForeignArgs;
use crate::interrupt;
use crate::io_arg::{End, if_exists};
use crate::metrics_file::{self, RunInfo};
use crate::named_files::NamedFiles;
use crate::opening_args::OpeningArgs;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::{Channel, Report};
use crate::sealed::Sealed;
use crate::signatures::SignedByArgs;
use crate::size::Size;
use crate::text::pace;
use crate::tree_args::name;
use crate::tree_reading::{catalog_of, not_there, of_tree, parse_path};

/// Print the plaintext of a sealed stream, a range of it, or a file of a sealed tree
///
/// Without --range and PATH this is `restore SEALED -`: one verified segment after another, and exit code 0 says that it was all.
///
/// Of a sealed tree that is its archive, for any tar: the catalog behind it is left out. A range is of all of the plaintext.
///
/// With --range or PATH only the parts of the file are read that the bytes need. Each byte that comes out is authentic and at its place.
/// That the rest of the stream is there and unchanged is not looked at: `verify` says that.
#[derive(clap::Args)]
#[command(after_long_help = AFTER_HELP, mut_arg("expect_digest", |arg| arg.long_help(EXPECT_DIGEST)))]
pub(crate) struct Cat {
    /// The sealed stream: a file, or a URL (s3:, gs:, az:, http:, https:); without --range also a FIFO, or - for standard input
    #[arg(value_name = "SEALED", value_parser = OsStringValueParser::new().try_map(Sealed::parse))]
    sealed: Sealed,

    /// Bytes of the plaintext: A..B without B, A.. to the end, ..B, or -N for the last N bytes
    ///
    /// Sizes may have units: 4KiB, 1GiB, … A range that is not within the stream is refused, and the length is said.
    #[arg(long, value_name = "A..B", allow_hyphen_values = true)]
    range: Option<ByteRange>,

    /// A file of a sealed tree, by its path from the tree's directory on: its bytes alone are read and printed
    #[arg(value_name = "PATH", conflicts_with = "range")]
    path: Option<OsString>,

    /// The archive of a sealed tree, the very bytes that were sealed; a stream that is no tree is refused
    #[arg(long, conflicts_with_all = ["range", "path"])]
    tar: bool,

    /// Write to a terminal too
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    expected: Expected,

    #[command(flatten)]
    signed_by: SignedByArgs,

    #[command(flatten)]
    foreign: ForeignArgs,

    #[command(flatten)]
    opening: OpeningArgs,
}

impl Cat {
    pub(crate) fn run(mut self, report: Report) -> Result<(), Failure> {
        self.sealed.set_timeout(self.opening.timeout);
        self.signed_by.set_timeout(self.opening.timeout);
        let part = match (self.range, &self.path) {
            (Some(range), _) => Part::Range(range),
            (None, Some(path)) => Part::File(parse_path(path)?),
            (None, None) => {
                let if_no_tree = if self.tar { IfNoTree::Refuse } else { IfNoTree::OpenAll };
                let Cat { sealed, force, expected, signed_by, foreign, opening, .. } = self;
                return Restore::to_standard_output(
                    sealed, force, expected, signed_by, opening, foreign, if_no_tree,
                )
                .run(report);
            }
        };
        self.print(&part, report)
    }

    fn print(self, part: &Part, report: Report) -> Result<(), Failure> {
        let mut files = NamedFiles::default();
        self.opening.name_files(&self.sealed, &mut files)?;
        self.signed_by.name_files(&self.sealed, &mut files)?;
        self.foreign.name_files(&mut files)?;
        files.writes("the output", &End::Standard)?;
        self.opening.resources.begin(RunInfo::opening("cat"), &files, report)?;
        End::Standard.refuse_terminal("the plaintext", if_exists(self.force))?;
        let cancel = interrupt::install(report)?;
        let watch = Watch::new(report, "reading", Warnings::AtOnce);
        let identities = self.foreign.some_identities(&self.opening.keys, &cancel, report)?;
        metrics_file::has_keys();
        let opener = self.opening.opener(Some(identities), &self.expected, &cancel, watch, report)?;
        let opener = self.expected.pinned(opener);
        let (opener, _) = self.signed_by.demand(opener, &self.sealed, &cancel, report)?;
        let begun = Instant::now();
        let of_input = |error| Failure::from(error).of_input(&self.sealed);
        let source = self.sealed.source(&cancel, report)?;
        #[cfg(feature = "foreign")]
        if cofferdam::is_foreign(&source).map_err(of_input)? {
            let reader = opener.foreign_reader(source).map_err(of_input)?;
            let (format, len) = (reader.format().name(), reader.len());
            let range = part.range()?.within(len)?;
            return self.print_from(
                reader,
                len,
                Kind { format, stream_id: None, path: None },
                range,
                begun,
                report,
            );
        }
        let reader = opener.reader(source).map_err(of_input)?;
        let (len, stream_id) = (reader.len(), Some(reader.stream_id().to_string()));
        let (range, path) = match part {
            Part::Range(range) => (range.within(len)?, None),
            Part::File(path) => (self.file_in(&reader, path, report)?, Some(name(path))),
        };
        self.print_from(reader, len, Kind { format: "cofferdam", stream_id, path }, range, begun, report)
    }

    /// Where the bytes of the file at `path` are.
    fn file_in(&self, reader: &Reader, path: &TreePath, report: Report) -> Result<Range<u64>, Failure> {
        let reader = Arc::new(reader.clone());
        let of_tree = |error| of_tree(error, &self.sealed);
        let catalog = catalog_of(&reader, &self.sealed)?;
        let find = |path: &TreePath| match catalog.find(path).map_err(of_tree)? {
            Some(found) => Ok(found),
            None => Err(not_there(path, &self.sealed)),
        };
        let mut found = find(path)?;
        if found.entry.kind == EntryKind::HardLink {
            let target = TreePath::parse(&found.entry.link);
            found =
                find(&target.map_err(|fault| of_tree(TreeError::Name { path: path.to_string(), fault }))?)?;
        }
        if found.entry.kind != EntryKind::File {
            let kind = match found.entry.kind {
                EntryKind::Symlink => "symbolic link",
                kind => kind_name(kind),
            };
            let what = format!("{} is no file but a {kind}", name(path));
            return Err(
                Failure::usage(what).advise("`cofferdam ls -l` says what it is, and where links lead.")
            );
        }
        // Headers decide (TREE T6.3).
        found.read_member(&*reader).map_err(of_tree)?;
        if found.entry.changed {
            let what = match found.entry.gone {
                true => "was gone while it was sealed: zeros stand for what could not be read",
                false => "changed while it was sealed: its bytes may be of several moments",
            };
            report.warning(format!("{} {what}", name(path)));
        }
        Ok(found.data_at()..found.data_at() + found.entry.size)
    }

    /// Of a plaintext of `len` bytes.
    fn print_from(
        &self,
        mut reader: impl Read + Seek,
        len: u64,
        kind: Kind,
        range: Range<u64>,
        begun: Instant,
        report: Report,
    ) -> Result<(), Failure> {
        copy(&mut reader, range.clone()).map_err(|fault| match fault {
            Fault::Reading(error) => End::Standard.explain(error, "output").of_input(&self.sealed),
            Fault::Other(failure) => failure,
        })?;
        let Kind { format, stream_id, path } = kind;
        let (input, Range { start: begin, end }) = (self.sealed.name(), range);
        let seconds = begun.elapsed().as_secs_f64();
        let record =
            Record { event: "read", input, path, format, stream_id, begin, end, plaintext_len: len, seconds };
        report.done(Channel::Stderr, &record, record.sentence(begun), End::Standard.done())
    }
}

/// What is read, for the record.
struct Kind {
    format: &'static str,
    stream_id: Option<String>,
    path: Option<Name>,
}

/// What is asked for of the plaintext.
enum Part {
    Range(ByteRange),
    /// Of a tree.
    File(TreePath),
}

impl Part {
    /// Of a stream that is no tree.
    #[cfg(feature = "foreign")]
    fn range(&self) -> Result<ByteRange, Failure> {
        match self {
            Part::Range(range) => Ok(*range),
            Part::File(_) => {
                Err(Failure::usage("the stream is no tree, and has no files to be found by a path")
                    .advise("Leave the path out: `cat` prints all of it."))
            }
        }
    }
}

/// Why a range has not come out whole.
enum Fault {
    Reading(cofferdam::Error),
    Other(Failure),
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Fault {
        Fault::Other(failure)
    }
}

/// Writes `range`, which is within the stream, to standard output.
fn copy(reader: &mut (impl Read + Seek), range: Range<u64>) -> Result<(), Fault> {
    let unread = |error| Failure::io("the plaintext could not be read", error);
    let unwritten = |error| Failure::io("the output could not be written", error);
    let mut output = End::stdout()?;
    output.begin_segment(0, 0).map_err(unwritten)?;
    let mut buffer = vec![0; BUFFER_LEN];
    let (mut written, len) = (0, range.end - range.start);
    reader.seek(SeekFrom::Start(range.start)).map_err(unread)?;
    while written < len {
        let want = usize::try_from(len - written).map_or(BUFFER_LEN, |left| left.min(BUFFER_LEN));
        let count = reader.read(&mut buffer[..want]).map_err(fault)?;
        if count == 0 {
            return Err(unread(io::ErrorKind::UnexpectedEof.into()).into());
        }
        output.write_tentative(written, &buffer[..count]).map_err(unwritten)?;
        written += count as u64;
    }
    Ok(())
}

/// The library's own error, which a read carries.
fn fault(error: io::Error) -> Fault {
    match error.downcast::<cofferdam::Error>() {
        Ok(error) => Fault::Reading(error),
        Err(error) => Fault::Other(Failure::io("the plaintext could not be read", error)),
    }
}

#[derive(Serialize)]
struct Record {
    event: &'static str,
    input: Name,
    path: Option<Name>,
    format: &'static str,
    stream_id: Option<String>,
    begin: u64,
    end: u64,
    plaintext_len: u64,
    seconds: f64,
}

impl Record {
    fn sentence(&self, begun: Instant) -> String {
        let len = self.end - self.begin;
        if let Some(path) = &self.path {
            let (len, input) = (Size(len), &self.input);
            return format!(
                "read {path} of {input}, {len}: all of it is authentic, and the rest was not looked at"
            );
        }
        format!(
            "read {} of {}, from byte {} on, {}; all of them are authentic, and the rest was not looked at",
            Size(len),
            self.input,
            self.begin,
            pace(len, begun.elapsed()),
        )
    }
}

/// Of one read; the reader gives no more at once with frames of the usual length.
const BUFFER_LEN: usize = 512 << 10;

const EXPECT_DIGEST: &str = "\
The stream digest that it must have: 64 hexadecimal digits, as `seal` prints it

With a range the index is compared with it before anything is written. Somebody who has the stream's key can still have put other \
frames into a segment: only a restore or `verify` of the whole compares those. Not of a stream with `--digest tags`.";

const AFTER_HELP: &str = "\
Examples:
  cofferdam cat -i key.txt --tar srv.cfd | tar x               a tree's archive
  cofferdam cat -i key.txt srv.cfd etc/fstab                   one file of a tree
  cofferdam cat -i key.txt --range 1GiB..1025MiB db.cfd        a MiB out of the middle
  cofferdam cat -i key.txt --range -4KiB db.cfd | xxd          the last 4 KiB

Exit codes: 0 all that was asked for has come out, 1 reading or writing failed, 2 usage, or the range is not within the stream, \
3 damaged, tampered with, or of another digest, 4 no key opens it, 5 truncated, 7 a limit is exceeded or a feature is not \
supported, 11 the input is no Cofferdam stream, 12 the sealed stream changed while it was read, 13 nothing proves that it was the whole, 14 older than asked for, 15 nothing has come from the store for too long, 17 not signed by anybody of --signed-by, 130 interrupted. After any but 0 \
what has come out is not the whole.";
