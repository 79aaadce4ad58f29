//! Globs over the paths of a tree: which paths they match, and which are below one that they match.
//! Knows no tree and no walk.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::{EntryKind, TreePath, path::Escaped};

/// Globs over the paths of a tree, of which some match directories alone.
///
/// They are those of ripgrep, and match paths from the tree's root on: `*` and `?` match no `/`, `**` matches any number of directories,
/// `[ab]` and `{a,b}` one of several. One without a leading `/` matches at any depth (`*.log`, `cache/tmp`), one with it, or with `./`, from
/// the root on (`/tmp`); one that ends with `/` matches directories alone. None matches the root itself.
#[derive(Clone, Debug, Default)]
pub struct Globs {
    patterns: Vec<String>,
    of_all: GlobSet,
    of_directories: GlobSet,
    /// The patterns that each of the two sets is made of, by number.
    numbers: [Vec<usize>; 2],
    /// Of each pattern, whether it has matched a path that was noted. Clones have it in common.
    matched: Arc<[AtomicBool]>,
}

impl Globs {
    /// Reads globs. None at all match nothing.
    ///
    /// # Errors
    /// What is wrong with a glob; one that could match nothing but the root is.
    pub fn new<'a>(globs: impl IntoIterator<Item = &'a str>) -> Result<Globs, String> {
        let patterns: Vec<String> = globs.into_iter().map(str::to_owned).collect();
        let (mut of_all, mut of_directories) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let mut numbers = [Vec::new(), Vec::new()];
        for (number, pattern) in patterns.iter().enumerate() {
            let fault = |error| format!("{}: {error}", Escaped(pattern.as_bytes()));
            let path = pattern.strip_suffix('/').unwrap_or(pattern);
            if matches!(path, "" | ".") {
                return Err(format!(
                    "{}: a glob that matches nothing below the root",
                    Escaped(pattern.as_bytes())
                ));
            }
            let whole = match path.strip_prefix('/').or_else(|| path.strip_prefix("./")) {
                Some(anchored) => anchored.to_owned(),
                None => format!("**/{path}"),
            };
            let glob = GlobBuilder::new(&whole)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| fault(error.kind().to_string()))?;
            let is_of_all = path.len() == pattern.len();
            if is_of_all { &mut of_all } else { &mut of_directories }.add(glob);
            numbers[usize::from(!is_of_all)].push(number);
        }
        let build = |set: GlobSetBuilder| set.build().map_err(|error| error.to_string());
        let matched = patterns.iter().map(|_| AtomicBool::new(false)).collect();
        let (of_all, of_directories) = (build(of_all)?, build(of_directories)?);
        Ok(Globs { patterns, of_all, of_directories, numbers, matched })
    }

    /// Whether one of them matches this path.
    pub fn match_path(&self, path: &TreePath, kind: EntryKind) -> bool {
        let is_directory = kind == EntryKind::Directory;
        !path.is_root()
            && (self.of_all.is_match(path.as_path())
                || is_directory && self.of_directories.is_match(path.as_path()))
    }

    /// Whether one of them matches this path, or a directory that it is in.
    pub fn cover(&self, path: &TreePath, kind: EntryKind) -> bool {
        !self.patterns.is_empty()
            && (self.match_path(path, kind)
                || std::iter::successors(path.parent(), TreePath::parent)
                    .any(|directory| self.match_path(&directory, EntryKind::Directory)))
    }

    /// As [`match_path`](Self::match_path), and notes which of them did.
    pub(crate) fn note_match(&self, path: &TreePath, kind: EntryKind) -> bool {
        let is_matched = self.match_path(path, kind);
        if is_matched && self.unmatched().next().is_some() {
            let sets =
                [Some(&self.of_all), Some(&self.of_directories).filter(|_| kind == EntryKind::Directory)];
            for (set, numbers) in sets.iter().zip(&self.numbers) {
                let found = set.map(|set| set.matches(path.as_path())).unwrap_or_default();
                // Relaxed: whoever asks has waited for the walk.
                found.iter().for_each(|at| self.matched[numbers[*at]].store(true, Ordering::Relaxed));
            }
        }
        is_matched
    }

    /// Those that have matched no path that was noted.
    pub(crate) fn unmatched(&self) -> impl Iterator<Item = &str> {
        let matched = self.matched.iter().map(|matched| matched.load(Ordering::Relaxed));
        self.patterns.iter().zip(matched).filter(|(_, matched)| !matched).map(|(pattern, _)| &**pattern)
    }

    pub(crate) fn patterns(&self) -> &[String] {
        &self.patterns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn globs_match_at_any_depth_from_the_root_or_directories_alone() {
        let (file, directory) = (EntryKind::File, EntryKind::Directory);
        for (glob, text, kind, is_matched) in [
            ("*.log", "x.log", file, true),
            ("*.log", "a/b/x.log", file, true),
            ("*.log", "a/x.log/y", file, false),
            ("/*.log", "x.log", file, true),
            ("/*.log", "a/x.log", file, false),
            ("./*.log", "x.log", file, true),
            ("./*.log", "a/x.log", file, false),
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
            (".*", ".git", directory, true),
        ] {
            assert_eq!(
                Globs::new([glob]).unwrap().match_path(&path(text), kind),
                is_matched,
                "{glob} {text}"
            );
        }
        for glob in ["", "/", ".", "./", "[", "{a"] {
            assert!(Globs::new([glob]).is_err(), "{glob}");
        }
    }

    #[test]
    fn what_is_below_a_directory_that_is_matched_is_covered() {
        use EntryKind::{Directory, File};
        for (glob, text, kind, is_covered) in [
            ("b", "a/b", File, true),
            ("/b", "a/b", File, false),
            ("/a", "a/b/c", File, true),
            ("/a/b", "a/bc", File, false),
            ("*.log", "x/y/z.log", File, true),
            ("b/", "a/b", File, false),
            ("b/", "a/b", Directory, true),
            ("b/", "a/b/c/d", File, true),
            ("/a/*/c", "a/b/c", File, true),
            ("/a/*/c", "a/b/d/c", File, false),
            ("/a/**/c", "a/b/d/c", File, true),
        ] {
            assert_eq!(Globs::new([glob]).unwrap().cover(&path(text), kind), is_covered, "{glob} {text}");
        }
    }

    #[test]
    fn each_glob_that_has_matched_a_path_is_noted_in_clones_as_well() {
        let globs = Globs::new(["*.log", "tmp/", "/nothing", "x.*", "cache"]).unwrap();
        let clone = globs.clone();
        assert!(globs.note_match(&path("a/x.log"), EntryKind::File));
        assert!(!globs.note_match(&path("tmp"), EntryKind::File));
        assert_eq!(clone.unmatched().collect::<Vec<_>>(), ["tmp/", "/nothing", "cache"]);
        assert!(clone.note_match(&path("a/tmp"), EntryKind::Directory));
        assert_eq!(globs.unmatched().collect::<Vec<_>>(), ["/nothing", "cache"]);
        assert!(globs.note_match(&path("cache"), EntryKind::Directory));
        assert_eq!(globs.unmatched().collect::<Vec<_>>(), ["/nothing"]);
    }

    #[test]
    fn the_root_is_matched_by_none() {
        for glob in [".*", "*", "?", "**", "/**"] {
            let globs = Globs::new([glob]).unwrap();
            assert!(!globs.cover(&TreePath::root(), EntryKind::Directory), "{glob}");
        }
        assert!(!Globs::default().cover(&path("a"), EntryKind::File));
    }
}
