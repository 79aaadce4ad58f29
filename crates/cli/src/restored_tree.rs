//! The options of a restore whose stream is a tree, and what is said of the directory that it becomes.
//! It restores nothing; the library does.

use std::io;
use std::path::Path;

use cofferdam::tree::Globs;
use cofferdam::tree_sink::{
    DeviceFiles, LeftOut, OldTree, Owners, Placement, Restored, SetIdBits, TreeOptions,
};
use cofferdam::{ErrorKind, Opener, TreeOutcome, is_pipe};
use serde::Serialize;

use crate::failure::Failure;
use crate::io_arg::End;
use crate::peer::Goal;
use crate::printable::Name;
use crate::report::Report;
use crate::text::{agree, count};

/// How a directory that was sealed becomes one again.
#[derive(Default, clap::Args)]
#[command(next_help_heading = "Streams that are directories")]
pub(crate) struct RestoredTreeArgs {
    /// With --force, keep the directory that is replaced, as TARGET.cofferdam-old
    ///
    /// If that name is taken, it is TARGET.cofferdam-old-2, and so on: nothing is ever replaced there. A directory in which another file system is
    /// mounted is kept in any case.
    #[arg(long, requires = "force", conflicts_with_all = ["part", "commit", "status", "give_up"])]
    keep_old: bool,

    /// Move the directory's contents into TARGET, a directory that exists (a mount point, say), once all of it has been verified
    ///
    /// What SEALED does not have stays; directories that both have get the sealed one's mode, times and owner, TARGET itself apart. A file that has the name of one in
    /// SEALED is refused before anything is changed, or with --force replaced. NOT ALL AT ONCE: each name changes by one rename, and a crash meanwhile
    /// leaves some of both; the same command brings it to its end.
    #[arg(long, conflicts_with = "keep_old")]
    into: bool,

    /// As root, give files to the user and group of the number that was sealed, and not to those of the name
    #[arg(long)]
    numeric_owner: bool,

    /// As root, leave all files to root, as other users' restores leave them to themselves
    #[arg(long, conflicts_with = "numeric_owner")]
    no_owner: bool,

    /// Make device files, which takes root; they are left out and counted otherwise
    #[arg(long)]
    devices: bool,

    /// Restore only what GLOB matches, and what is below a directory that it matches; may be given several times
    ///
    /// `*` and `?` match no `/`, `**` any number of directories, `{a,b}` one of several; with a leading / from the sealed directory on,
    /// without at any depth; with one at the end directories alone. Only those parts of SEALED are read, which has to be a file or a
    /// URL, and ONLY THOSE BYTES ARE PROVED to be as they were sealed: that the rest is whole, `cofferdam verify` says. Nothing
    /// is kept if it is interrupted.
    #[arg(long, value_name = "GLOB", conflicts_with_all = ["seed", "wal", "salvage", "durability", "sparse"])]
    path: Vec<String>,

    /// Restore the bits that let a file run as its owner or group; they are left out and counted otherwise
    #[arg(long)]
    set_id: bool,
}

impl RestoredTreeArgs {
    /// Whether TARGET is there already.
    #[cfg(feature = "signatures")]
    pub(crate) fn is_into(&self) -> bool {
        self.into
    }

    /// Whether a directory that is replaced is removed.
    pub(crate) fn removes_old(&self) -> bool {
        !self.keep_old && !self.into
    }

    /// Refuses what a plan's directory is not made by.
    pub(crate) fn check_planning(&self) -> Result<(), Failure> {
        let options = [("--into", self.into), ("--path", !self.path.is_empty())];
        match options.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => {
                let what = format!(
                    "{option}: a plan is for a directory that is new, or replaced as a whole, with all that was sealed"
                );
                Err(Failure::usage(what).advise("Restore by one process, without a plan."))
            }
        }
    }

    /// Refuses them in a step that takes them from the plan.
    pub(crate) fn refuse_planned(&self) -> Result<(), Failure> {
        match self.first_given() {
            None => Ok(()),
            Some(option) => Err(Failure::usage(format!("{option}: the plan says how a directory is made"))
                .advise("Leave it out, or make another plan with it.")),
        }
    }

    /// Refuses them where no directory is made.
    pub(crate) fn check(&self, goal: &Goal) -> Result<(), Failure> {
        let is_here = matches!(goal, Goal::Here(End::Path(path)) if !is_pipe(path));
        match self.first_given().filter(|_| !is_here) {
            None => Ok(()),
            Some(option) => {
                let what = format!("{option} is of no use: the target is no directory on this machine");
                Err(Failure::usage(what).advise("Leave the option out."))
            }
        }
    }

    /// Has `opener` make a directory of a stream that is one.
    pub(crate) fn opener(&self, opener: Opener, outcome: &TreeOutcome) -> Opener {
        let options = self.options();
        let opener = opener.trees(options, outcome);
        if self.first_given().is_some() { opener.only_trees() } else { opener }
    }

    /// The same for a stream of several, of which some may be no directories: those know nothing of the options.
    #[cfg(feature = "signatures")]
    pub(crate) fn opener_of_shard(&self, opener: Opener, outcome: &TreeOutcome) -> Opener {
        opener.trees(self.options(), outcome)
    }

    /// Whether what is there may be replaced, as `force` says. To put a part of a tree in the place of a directory would lose all the rest: it is refused, and
    /// where nothing is there, nothing is replaced that comes there meanwhile.
    pub(crate) fn may_replace(&self, force: bool, goal: &Goal) -> Result<bool, Failure> {
        if self.path.is_empty() || !force || self.keep_old || self.into {
            return Ok(force);
        }
        if let Some(path) = goal.path()
            && let Err(error) = path.symlink_metadata()
            && error.kind() == io::ErrorKind::NotFound
        {
            return Ok(false);
        }
        let what = format!("--path with --force would replace all of {goal} by what --path chooses");
        Err(Failure::usage(what).advise(
            "--into moves that into it, and removes nothing else; with --keep-old the directory that is there is kept beside it.",
        ))
    }

    /// What to do where there is a directory already, and only some paths are to be restored.
    pub(crate) fn advice_of_paths(&self, kind: ErrorKind, target: &Path) -> Option<&'static str> {
        let is_there = kind == ErrorKind::TargetExists && !self.into && target.is_dir();
        is_there.then_some(
            "--into moves what is chosen into it. With `--force --keep-old` it is replaced as a whole, and kept beside.",
        )
    }

    /// The members that are to be restored, if not all of them are.
    pub(crate) fn selection(&self) -> Result<Option<Globs>, Failure> {
        if self.path.is_empty() {
            return Ok(None);
        }
        let selection = Globs::new(self.path.iter().map(String::as_str));
        selection.map(Some).map_err(|problem| {
            let failure = Failure::usage(format!("--path: {problem}"));
            // It is the one character of a glob that names of files often have.
            match self.path.iter().any(|glob| glob.contains('[')) {
                true => {
                    failure.advise("A [ that means itself is written [[]. Without --path all is restored.")
                }
                false => failure.advise("Without --path all is restored."),
            }
        })
    }

    /// How they are restored.
    pub(crate) fn options(&self) -> TreeOptions {
        let owners = match (self.numeric_owner, self.no_owner) {
            (true, _) => Owners::ByNumber,
            (_, true) => Owners::Ours,
            _ => Owners::ByName,
        };
        TreeOptions::default()
            .owners(owners)
            .old_tree(if self.keep_old { OldTree::Keep } else { OldTree::Remove })
            .placement(if self.into { Placement::Into } else { Placement::Whole })
            .device_files(if self.devices { DeviceFiles::Restore } else { DeviceFiles::LeaveOut })
            .set_id_bits(if self.set_id { SetIdBits::Restore } else { SetIdBits::LeaveOut })
    }

    /// The first of the options that was given.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let options = [
            ("--path", !self.path.is_empty()),
            ("--into", self.into),
            ("--keep-old", self.keep_old),
            ("--numeric-owner", self.numeric_owner),
            ("--no-owner", self.no_owner),
            ("--devices", self.devices),
            ("--set-id", self.set_id),
        ];
        options.into_iter().find(|(_, is_given)| *is_given).map(|(option, _)| option)
    }
}

/// What a directory is made of, and what it lacks.
#[derive(Serialize)]
pub(crate) struct TreeRecord {
    files: u64,
    directories: u64,
    symlinks: u64,
    hard_links: u64,
    others: u64,
    changed_while_sealed: u64,
    gone_while_sealed: u64,
    owners_left_out: u64,
    xattrs_left_out: u64,
    set_id_bits_left_out: u64,
    devices_left_out: u64,
    times_left_out: u64,
    group_rights_left_out: u64,
    old_tree: Option<Name>,
    old_tree_not_removed: Option<String>,
}

impl TreeRecord {
    pub(crate) fn new(restored: &Restored) -> TreeRecord {
        let Restored { counts, left_out, .. } = restored;
        let LeftOut { owners, xattrs, set_id_bits, devices, times, group_rights, .. } = *left_out;
        TreeRecord {
            files: counts.files,
            directories: counts.directories,
            symlinks: counts.symlinks,
            hard_links: counts.hard_links,
            others: counts.others,
            changed_while_sealed: counts.changed,
            gone_while_sealed: counts.gone,
            owners_left_out: owners,
            xattrs_left_out: xattrs,
            set_id_bits_left_out: set_id_bits,
            devices_left_out: devices,
            times_left_out: times,
            group_rights_left_out: group_rights,
            old_tree: restored.old_tree.as_deref().map(Name::from),
            old_tree_not_removed: restored.not_removed.clone(),
        }
    }

    /// `12 files, 3 directories, 1 symbolic link`.
    pub(crate) fn contents(&self) -> String {
        let directories = match self.directories {
            1 => "1 directory".to_owned(),
            directories => format!("{directories} directories"),
        };
        let mut text = format!("{}, {directories}", count(self.files, "file"));
        for (number, noun) in
            [(self.symlinks, "symbolic link"), (self.hard_links, "hard link"), (self.others, "other")]
        {
            if number > 0 {
                text.push_str(&format!(", {}", count(number, noun)));
            }
        }
        text
    }

    /// Says what is not as it was sealed, and what is still there.
    pub(crate) fn warn(&self, report: Report) {
        let lacks = [
            (
                self.changed_while_sealed - self.gone_while_sealed,
                "had changed while {it was|they were} sealed: {its|their} bytes may be of several moments",
            ),
            (
                self.gone_while_sealed,
                "had gone while the directory was sealed: zeros stand for what could not be read",
            ),
            (self.owners_left_out, "did not get {its|their} owner or group; root can give {it|them}"),
            (self.xattrs_left_out, "did not get all of {its|their} extended attributes or ACLs"),
            (
                self.set_id_bits_left_out,
                "did not get {its|their} set-id bits or capabilities; --set-id restores them",
            ),
            (
                self.devices_left_out,
                "{was not made, being a device file; --devices makes it|were not made, being device files; --devices makes them}",
            ),
            (
                self.times_left_out,
                "did not get {its|their} time, which this file system cannot hold, but the nearest one",
            ),
            (
                self.group_rights_left_out,
                "got fewer rights by {its|their} mode than were sealed: those were for another group, or bounded by an ACL",
            ),
        ];
        for (number, what) in lacks.into_iter().filter(|(number, _)| *number > 0) {
            report.warning(format!("{}: {}", count(number, "file"), agree(number, what)));
        }
        if let (Some(old), Some(why)) = (&self.old_tree, &self.old_tree_not_removed) {
            report.warning(format!(
                "the directory that was replaced could not be put away and is now {old}: {why}"
            ));
        }
    }

    /// Where the directory is that was replaced, if it was to be kept.
    pub(crate) fn kept_old(&self) -> Option<&Name> {
        self.old_tree.as_ref().filter(|_| self.old_tree_not_removed.is_none())
    }
}
