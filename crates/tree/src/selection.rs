//! What of a directory becomes a tree: globs, file systems, and who may end the walk.
//! Walks nothing.

use std::{fmt, sync::Arc};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::{EntryKind, TreePath, path::Escaped};

/// What of a directory becomes a tree: all that is on its own file system, sockets apart.
///
/// Globs are those of ripgrep, and match paths from the tree's directory on: `*` and `?` match no `/`, `**` matches any number of directories,
/// `[ab]` and `{a,b}` one of several. One without a leading `/` matches at any depth (`*.log`, `cache/tmp`), one with it from the tree's
/// directory on (`/tmp`); one that ends with `/` matches directories alone.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    include: Option<Globs>,
    exclude: Option<Globs>,
    mounts: Mounts,
    /// A directory that is left out, by device and inode.
    own_directory: Option<(u64, u64)>,
    cancel: Option<CancelWhen>,
}

/// What becomes of other file systems that are mounted in the tree.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Mounts {
    /// Their mount points become empty directories.
    #[default]
    Skip,
    /// They are walked as well.
    Enter,
}

impl WalkOptions {
    /// Leaves out what one of these globs matches, and all that is below it.
    ///
    /// # Errors
    /// What is wrong with a glob.
    pub fn exclude<'a>(mut self, globs: impl IntoIterator<Item = &'a str>) -> Result<WalkOptions, String> {
        self.exclude = Globs::new(globs)?;
        Ok(self)
    }

    /// Takes, of what is no directory, only what one of these globs matches, or what is below a directory that one matches. Directories
    /// are taken all the same. What [`exclude`](Self::exclude) leaves out stays out.
    ///
    /// # Errors
    /// What is wrong with a glob.
    pub fn include<'a>(mut self, globs: impl IntoIterator<Item = &'a str>) -> Result<WalkOptions, String> {
        self.include = Globs::new(globs)?;
        Ok(self)
    }

    /// Says what becomes of other file systems.
    #[must_use]
    pub fn mounts(mut self, mounts: Mounts) -> WalkOptions {
        self.mounts = mounts;
        self
    }

    /// Leaves out the directory with this device and inode number, and all that is below it: one that whoever seals writes to meanwhile.
    #[must_use]
    pub fn without_directory(mut self, device: u64, inode: u64) -> WalkOptions {
        self.own_directory = Some((device, inode));
        self
    }

    /// Ends the walk once `is_cancelled` says so. It is asked for each member.
    #[must_use]
    pub fn cancel_when(mut self, is_cancelled: Arc<dyn Fn() -> bool + Send + Sync>) -> WalkOptions {
        self.cancel = Some(CancelWhen(is_cancelled));
        self
    }

    /// Whether globs leave out this path, or a directory that it is in.
    pub fn leaves_out(&self, path: &TreePath, kind: EntryKind) -> bool {
        let mut above = path.parent();
        while let Some(directory) = above {
            if self.excludes(&directory, EntryKind::Directory) {
                return true;
            }
            above = directory.parent();
        }
        self.excludes(path, kind)
    }

    /// What is chosen, in words that are the same if and only if the choice is.
    pub fn choice(&self) -> String {
        let mut text = format!("mounts {:?}\n", self.mounts);
        for (name, globs) in [("include", &self.include), ("exclude", &self.exclude)] {
            for glob in globs.iter().flat_map(|globs| &globs.patterns) {
                text.push_str(&format!("{name} {} {glob}\n", glob.len()));
            }
        }
        text
    }

    pub(crate) fn excludes(&self, path: &TreePath, kind: EntryKind) -> bool {
        self.exclude.as_ref().is_some_and(|globs| globs.match_path(path, kind))
    }

    pub(crate) fn includes(&self, path: &TreePath, kind: EntryKind) -> bool {
        self.include.as_ref().is_none_or(|globs| globs.match_path(path, kind))
    }

    pub(crate) fn includes_all(&self) -> bool {
        self.include.is_none()
    }

    /// Whether other file systems are walked as well.
    pub fn enters_mounts(&self) -> bool {
        self.mounts == Mounts::Enter
    }

    pub(crate) fn is_own_directory(&self, device: u64, inode: u64) -> bool {
        self.own_directory == Some((device, inode))
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(|CancelWhen(is_cancelled)| is_cancelled())
    }
}

/// Globs, of which some match directories alone.
#[derive(Clone, Debug)]
struct Globs {
    patterns: Vec<String>,
    of_all: GlobSet,
    of_directories: GlobSet,
}

impl Globs {
    /// None of no globs, which choose nothing.
    fn new<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Option<Globs>, String> {
        let patterns: Vec<String> = globs.into_iter().map(str::to_owned).collect();
        if patterns.is_empty() {
            return Ok(None);
        }
        let (mut of_all, mut of_directories) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in &patterns {
            let fault = |error| format!("{}: {error}", Escaped(pattern.as_bytes()));
            let path = pattern.strip_suffix('/').unwrap_or(pattern);
            if path.is_empty() {
                return Err(format!("{}: a glob that matches nothing", Escaped(pattern.as_bytes())));
            }
            let whole = match path.strip_prefix('/') {
                Some(anchored) => anchored.to_owned(),
                None => format!("**/{path}"),
            };
            let glob = GlobBuilder::new(&whole)
                .literal_separator(true)
                .build()
                .map_err(|error| fault(error.kind().to_string()))?;
            if path.len() == pattern.len() { &mut of_all } else { &mut of_directories }.add(glob);
        }
        let build = |set: GlobSetBuilder| set.build().map_err(|error| error.to_string());
        Ok(Some(Globs { of_all: build(of_all)?, of_directories: build(of_directories)?, patterns }))
    }

    fn match_path(&self, path: &TreePath, kind: EntryKind) -> bool {
        self.of_all.is_match(path.as_path())
            || kind == EntryKind::Directory && self.of_directories.is_match(path.as_path())
    }
}

/// Asked whether the walk is to end.
#[derive(Clone)]
struct CancelWhen(Arc<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for CancelWhen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("CancelWhen")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_at_any_depth_from_the_root_or_directories_alone() {
        let matched = |glob: &str, path: &str, kind| {
            let options = WalkOptions::default().exclude([glob]).unwrap();
            options.excludes(&TreePath::parse(path.as_bytes()).unwrap(), kind)
        };
        let (file, directory) = (EntryKind::File, EntryKind::Directory);
        for (glob, path, kind, is_matched) in [
            ("*.log", "x.log", file, true),
            ("*.log", "a/b/x.log", file, true),
            ("*.log", "a/x.log/y", file, false),
            ("/*.log", "x.log", file, true),
            ("/*.log", "a/x.log", file, false),
            ("a/b", "a/b", file, true),
            ("a/b", "c/a/b", file, true),
            ("a/b", "xa/b", file, false),
            ("a/*", "a/b/c", file, false),
            ("a/**", "a/b/c", file, true),
            ("/a/**/d", "a/b/c/d", file, true),
            ("tmp/", "tmp", directory, true),
            ("tmp/", "x/tmp", directory, true),
            ("tmp/", "tmp", file, false),
            ("{a,b}?", "b1", file, true),
            ("[ab]", "c", file, false),
        ] {
            assert_eq!(matched(glob, path, kind), is_matched, "{glob} {path}");
        }
        for glob in ["", "/", "[", "{a"] {
            assert!(WalkOptions::default().exclude([glob]).is_err(), "{glob}");
        }
    }

    #[test]
    fn what_is_below_a_directory_that_is_left_out_is_left_out() {
        let options = WalkOptions::default().exclude(["/a/b/"]).unwrap();
        let leaves_out =
            |path: &str| options.leaves_out(&TreePath::parse(path.as_bytes()).unwrap(), EntryKind::File);
        assert!(leaves_out("a/b/c") && leaves_out("a/b/c/d"));
        assert!(!leaves_out("a/b") && !leaves_out("a/c") && !leaves_out("x/a/b/c"));
    }

    #[test]
    fn other_choices_have_other_words() {
        let all = || WalkOptions::default();
        let choices = [
            all(),
            all().exclude(["a"]).unwrap(),
            all().include(["a"]).unwrap(),
            all().exclude(["a", "b"]).unwrap(),
            all().exclude(["a\nexclude 1 b"]).unwrap(),
            all().mounts(Mounts::Enter),
        ]
        .map(|options| options.choice());
        let distinct: std::collections::HashSet<_> = choices.iter().collect();
        assert_eq!(distinct.len(), choices.len(), "{choices:?}");
        assert_eq!(all().exclude(["a"]).unwrap().choice(), choices[1]);
    }
}
