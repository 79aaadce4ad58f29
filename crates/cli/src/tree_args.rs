//! A directory as the input of `seal`: which of its files, and what is told of them.
//! It walks nothing; the library does.

use std::ffi::OsStr;

use cofferdam::tree::{ChangedFiles, EntryCounts, LeftOut, Mounts, OnChange, TreePath, WalkOptions};
use cofferdam::{CompressionLevel, SealedTree, TreeInput};
use serde::Serialize;

use crate::failure::Failure;
use crate::io_arg::End;
use crate::printable::Name;
use crate::report::Report;
use crate::size::Size;
use crate::text::{agree, count};

/// What of a directory is sealed, and how.
#[derive(clap::Args)]
#[command(next_help_heading = "Directories")]
pub(crate) struct TreeArgs {
    /// Leave out what GLOB matches, and all that is below it; may be given more than once
    ///
    /// A glob without a leading `/` matches at any depth, `*.log` or `cache/tmp`; one with it from the directory on, `/tmp`; one that ends
    /// with `/` matches directories alone. `*` and `?` match no `/`, `**` matches any number of directories, `[ab]` and `{a,b}` one of several.
    /// Quote it, so that the shell does not expand it.
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,

    /// Take only files that GLOB matches, or that are below a directory that it matches; may be given more than once. Directories are
    /// taken all the same, and what --exclude matches stays out
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,

    /// Walk other file systems that are mounted in the directory, too; without it their mount points become empty directories
    #[arg(long)]
    all_file_systems: bool,

    /// Refuse a file that changes while it is read, if only in its attributes or names, or by being another one that looks like it: nothing is sealed
    /// then, and the exit code is 12
    #[arg(long)]
    strict: bool,

    /// Do not compress: a directory is compressed with zstd, level 3, where nothing else is said
    #[arg(long, conflicts_with = "zstd")]
    no_zstd: bool,
}

impl TreeArgs {
    /// The directory that `input` is; none where it is none.
    pub(crate) fn input(&self, input: &End, is_archive: bool) -> Result<Option<TreeInput>, Failure> {
        if is_archive {
            return Ok(None);
        }
        let End::Path(directory) = input else { return self.refuse().map(|()| None) };
        if !is_directory(input) {
            return self.refuse().map(|()| None);
        }
        let of_glob = |what: String| Failure::usage(format!("a glob that cannot be read: {what}"));
        let walk =
            WalkOptions::default().exclude(self.exclude.iter().map(String::as_str)).map_err(of_glob)?;
        let walk = walk.include(self.include.iter().map(String::as_str)).map_err(of_glob)?;
        let walk = walk.mounts(if self.all_file_systems { Mounts::Enter } else { Mounts::Skip });
        let on_change = if self.strict { OnChange::Refuse } else { OnChange::Flag };
        Ok(Some(TreeInput::new(directory).walk(walk).on_change(on_change)))
    }

    /// How hard a tree is compressed where nothing is said, which `given` is.
    pub(crate) fn compression(
        &self,
        is_tree: bool,
        given: Option<CompressionLevel>,
    ) -> Option<CompressionLevel> {
        let by_default = is_tree && given.is_none() && !self.no_zstd;
        by_default.then(|| CompressionLevel::new(LEVEL_DEFAULT)).flatten()
    }

    pub(crate) fn compresses(&self) -> bool {
        !self.no_zstd
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Of an input that is no directory.
    fn refuse(&self) -> Result<(), Failure> {
        let given = [
            (!self.exclude.is_empty(), "--exclude"),
            (!self.include.is_empty(), "--include"),
            (self.all_file_systems, "--all-file-systems"),
            (self.strict, "--strict"),
            (self.no_zstd, "--no-zstd"),
        ];
        match given.iter().find(|(given, _)| *given) {
            Some((_, option)) => {
                Err(Failure::usage(format!("{option} is for directories, and the input is none"))
                    .advise("Leave the option out."))
            }
            None => Ok(()),
        }
    }
}

/// Whether `end` names a directory.
pub(crate) fn is_directory(end: &End) -> bool {
    matches!(end, End::Path(path) if path.is_dir())
}

/// Says which files were not the same all the time, and which were gone.
pub(crate) fn warn_of_changed(changed: &ChangedFiles, report: Report) {
    let written = changed.count - changed.gone;
    if written > 0 {
        report.warning(format!(
            "{} changed while the directory was sealed, and what is sealed of {} may be of several moments: {}",
            count(written, "file"),
            agree(written, "{it|them}"),
            named(&changed.first, written),
        ));
    }
    if changed.gone > 0 {
        let (gone, len) = (counted_gone(changed.gone), Size(changed.gone_len));
        let paths = named(&changed.first_gone, changed.gone);
        report.warning(format!(
            "{gone} gone when {} to be read: {len} of zeros stand for {}: {paths}",
            agree(changed.gone, "{it was|they were}"),
            agree(changed.gone, "{it|them}"),
        ));
    }
}

/// `3 files were`.
pub(crate) fn counted_gone(gone: u64) -> String {
    format!("{} {}", count(gone, "file"), agree(gone, "{was|were}"))
}

/// Says what was sealed with less than it has.
pub(crate) fn warn_of_left_out(left_out: &LeftOut, report: Report) {
    if left_out.owner_names > 0 {
        report.warning(format!(
            "{}: sealed with the numbers of owner and group alone, for the system's name services could not say whose {}",
            count(left_out.owner_names, "file"),
            agree(left_out.owner_names, "{it is|they are}"),
        ));
    }
}

/// Says which globs have chosen nothing: they may be mistyped.
pub(crate) fn warn_of_unmatched(walk: &WalkOptions, report: Report) {
    for (option, globs) in
        [("--exclude", walk.unmatched_excludes()), ("--include", walk.unmatched_includes())]
    {
        if !globs.is_empty() {
            let globs: Vec<_> = globs.iter().map(|glob| Name::from(OsStr::new(glob)).to_string()).collect();
            report.warning(format!(
                "nothing is matched by {option} {}; what is below a path that is left out was not looked at",
                globs.join(", ")
            ));
        }
    }
}

/// The first of these paths, and how many more there are of `all`.
fn named(first: &[TreePath], all: u64) -> String {
    let paths: Vec<_> = first.iter().take(CHANGED_NAMED_MAX).map(|path| name(path).to_string()).collect();
    match all.saturating_sub(paths.len() as u64) {
        0 => paths.join(", "),
        more => format!("{}, and {more} more", paths.join(", ")),
    }
}

/// What was sealed of a directory, for the record.
#[derive(Serialize)]
pub(crate) struct TreeRecord {
    files: u64,
    directories: u64,
    symlinks: u64,
    hard_links: u64,
    others: u64,
    data_len: u64,
    compressed: bool,
    changed: u64,
    changed_paths: Vec<Name>,
    gone: u64,
    gone_len: u64,
    gone_paths: Vec<Name>,
    left_out: Option<LeftOutRecord>,
    /// False of an archive that is outside of the profile of trees.
    catalog: bool,
}

#[derive(Serialize)]
struct LeftOutRecord {
    by_globs: u64,
    mounts: u64,
    sockets: u64,
    gone: u64,
    state_directory: u64,
    owner_names: u64,
}

impl TreeRecord {
    pub(crate) fn new(sealed: &SealedTree, compressed: bool) -> TreeRecord {
        let left_out = |left_out: LeftOut| LeftOutRecord {
            by_globs: left_out.by_globs,
            mounts: left_out.mounts,
            sockets: left_out.sockets,
            gone: left_out.gone,
            state_directory: left_out.own_directories,
            owner_names: left_out.owner_names,
        };
        TreeRecord {
            changed: sealed.changed.count,
            changed_paths: sealed.changed.first.iter().map(name).collect(),
            gone: sealed.changed.gone,
            gone_len: sealed.changed.gone_len,
            gone_paths: sealed.changed.first_gone.iter().map(name).collect(),
            left_out: sealed.left_out.map(left_out),
            ..TreeRecord::of_archive(Some(sealed.counts), compressed)
        }
    }

    /// Of an archive that has passed; without counts it has no catalog.
    pub(crate) fn of_archive(counts: Option<EntryCounts>, compressed: bool) -> TreeRecord {
        let catalog = counts.is_some();
        let counts = counts.unwrap_or_default();
        TreeRecord {
            files: counts.files,
            directories: counts.directories,
            symlinks: counts.symlinks,
            hard_links: counts.hard_links,
            others: counts.others,
            data_len: counts.data_len,
            compressed,
            changed: 0,
            changed_paths: Vec::new(),
            gone: 0,
            gone_len: 0,
            gone_paths: Vec::new(),
            left_out: None,
            catalog,
        }
    }

    pub(crate) fn sentence(&self) -> String {
        let all = [
            (self.files, "file", "files"),
            (self.directories, "directory", "directories"),
            (self.symlinks, "symbolic link", "symbolic links"),
            (self.hard_links, "hard link", "hard links"),
            (self.others, "device or FIFO", "devices and FIFOs"),
        ];
        let mut text = match self.catalog {
            true => format!("a tree of {}", counted(&all).unwrap_or_else(|| "nothing".to_owned())),
            false => "an archive without a catalog".to_owned(),
        };
        if self.compressed {
            text.push_str(", compressed with zstd");
        }
        let left_out = self.left_out.as_ref().and_then(|left_out| {
            counted(&[
                (left_out.by_globs, "path by globs", "paths by globs"),
                (left_out.mounts, "mount point", "mount points"),
                (left_out.sockets, "socket", "sockets"),
                (left_out.gone, "that was gone", "that were gone"),
                (left_out.state_directory, "state directory", "state directories"),
            ])
        });
        text.extend(left_out.map(|left_out| format!("; left out: {left_out}")));
        text
    }
}

/// Those that there are, in words.
fn counted(numbers: &[(u64, &str, &str)]) -> Option<String> {
    let there = numbers.iter().filter(|(number, ..)| *number > 0);
    let words: Vec<_> = there
        .map(|(number, one, many)| format!("{number} {}", if *number == 1 { one } else { many }))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// A path of a tree, as records name it.
pub(crate) fn name(path: &TreePath) -> Name {
    Name::from(path.as_path())
}

/// The level of zstd where nothing is said.
const LEVEL_DEFAULT: i32 = 3;
/// Changed files that a warning names.
const CHANGED_NAMED_MAX: usize = 10;
