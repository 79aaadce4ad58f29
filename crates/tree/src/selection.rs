//! What of a directory becomes a tree: globs, file systems, and who may end the walk.
//! Walks nothing.

use std::{fmt, sync::Arc};

use crate::{EntryKind, Globs, TreePath};

/// What of a directory becomes a tree: all that is on its own file system, sockets apart.
#[derive(Clone, Debug, Default)]
pub struct WalkOptions {
    /// None takes everything.
    include: Option<Globs>,
    exclude: Globs,
    mounts: Mounts,
    /// A directory that is left out, by device and inode.
    own_directory: Option<(u64, u64)>,
    is_stamped: bool,
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
        self.include = Some(Globs::new(globs)?).filter(|globs| !globs.patterns().is_empty());
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

    /// Has a plan note of each file its inode and the time of its last change, whatever of, that nobody sets: with
    /// [`OnChange::Refuse`](crate::OnChange::Refuse) a file counts as changed if either is another one when it is read.
    #[must_use]
    pub fn stamped(mut self) -> WalkOptions {
        self.is_stamped = true;
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
        self.exclude.cover(path, kind)
    }

    /// The globs of [`exclude`](Self::exclude) that have matched nothing in any walk by these options or a clone of them. What is below a path that
    /// is left out is not looked at.
    pub fn unmatched_excludes(&self) -> Vec<&str> {
        self.exclude.unmatched().collect()
    }

    /// The same of [`include`](Self::include).
    pub fn unmatched_includes(&self) -> Vec<&str> {
        self.include.iter().flat_map(Globs::unmatched).collect()
    }

    /// What is chosen, in words that are the same if and only if the choice is.
    pub fn choice(&self) -> String {
        let mut text = format!("mounts {:?}\n", self.mounts);
        for (name, globs) in [("include", self.include.as_ref()), ("exclude", Some(&self.exclude))] {
            for glob in globs.iter().flat_map(|globs| globs.patterns()) {
                text.push_str(&format!("{name} {} {glob}\n", glob.len()));
            }
        }
        text
    }

    pub(crate) fn excludes(&self, path: &TreePath, kind: EntryKind) -> bool {
        self.exclude.note_match(path, kind)
    }

    pub(crate) fn includes(&self, path: &TreePath, kind: EntryKind) -> bool {
        self.include.as_ref().is_none_or(|globs| globs.note_match(path, kind))
    }

    /// Whether everything is taken that is not left out.
    pub fn includes_all(&self) -> bool {
        self.include.is_none()
    }

    pub(crate) fn is_stamped(&self) -> bool {
        self.is_stamped
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
