//! Paths of a tree: which bytes are one, and how they are ordered.
//! Knows no file system; that nothing outside of the tree has a path follows from the form alone.

use std::{
    cmp::Ordering,
    collections::HashMap,
    ffi::OsStr,
    fmt,
    hash::{BuildHasher, RandomState},
    iter::successors,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use crate::TreeError;

/// A path of a tree (TREE §2): relative, of whole components, never out of the tree. The root is `.`.
///
/// Paths are ordered as trees are walked: the root first, then by bytes, where `/` is less than any other.
///
/// ```
/// use tree::TreePath;
///
/// let file = TreePath::parse(b"base/1/1259")?;
/// assert!(TreePath::root() < file && file < TreePath::parse(b"base-old")?);
/// assert!(TreePath::parse(b"../etc/passwd").is_err() && TreePath::parse(b"/etc/passwd").is_err());
/// # Ok::<(), tree::NameFault>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TreePath(Box<[u8]>);

impl TreePath {
    /// The longest path in bytes: with a NUL behind it, the longest that Linux takes.
    pub const LEN_MAX: usize = 4_095;
    /// The longest component in bytes.
    pub const NAME_LEN_MAX: usize = 255;

    /// The tree's own directory.
    pub fn root() -> TreePath {
        TreePath(ROOT.into())
    }

    /// The path that these bytes are.
    ///
    /// # Errors
    /// They are none, and why.
    pub fn parse(bytes: &[u8]) -> Result<TreePath, NameFault> {
        check(bytes)?;
        Ok(TreePath(bytes.into()))
    }

    /// The path that these bytes are, of which that is known.
    pub(crate) fn of_checked(bytes: &[u8]) -> TreePath {
        debug_assert_eq!(check(bytes), Ok(()), "it is known to be a path");
        TreePath(bytes.into())
    }

    /// The path of a member of an archive, which may begin with `./` and, of a directory, end with `/` (T1.9).
    pub(crate) fn of_member(name: &[u8], ending: Ending) -> Result<TreePath, NameFault> {
        if matches!(name, b"." | b"./") && ending == Ending::SlashAllowed {
            return Ok(TreePath::root());
        }
        let name = name.strip_prefix(b"./").unwrap_or(name);
        let name = match ending {
            Ending::SlashAllowed => name.strip_suffix(b"/").unwrap_or(name),
            Ending::NoSlash => name,
        };
        match TreePath::parse(name)? {
            root if root.is_root() => Err(NameFault::Dots),
            path => Ok(path),
        }
    }

    /// The path of `name` in this directory.
    ///
    /// # Errors
    /// `name` is no component, or the path becomes too long.
    pub fn join(&self, name: &[u8]) -> Result<TreePath, NameFault> {
        check_component(name)?;
        let path = match self.is_root() {
            true => name.into(),
            false => [&self.0, b"/".as_slice(), name].concat(),
        };
        match path.len() > TreePath::LEN_MAX {
            true => Err(NameFault::TooLong),
            false => Ok(TreePath(path.into())),
        }
    }

    /// Its bytes; `.` of the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same for calls of the system, to be resolved beneath the tree's directory.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether it is the tree's own directory.
    pub fn is_root(&self) -> bool {
        &*self.0 == ROOT
    }

    /// The directory that it is in; none of the root.
    pub fn parent(&self) -> Option<TreePath> {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            _ if self.is_root() => None,
            Some(slash) => Some(TreePath(self.0[..slash].into())),
            None => Some(TreePath::root()),
        }
    }

    /// Its last component; `.` of the root.
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or(&self.0)
    }

    /// Whether it is somewhere below `directory`, which it is not itself.
    pub fn is_below(&self, directory: &TreePath) -> bool {
        is_below(&self.0, &directory.0)
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &TreePath) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &TreePath) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(out)
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "TreePath({self})")
    }
}

/// What is wrong with a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NameFault {
    /// It has no bytes, or a component of it has none.
    Empty,
    /// It begins with `/`.
    Absolute,
    /// A component is `.` or `..`.
    Dots,
    /// It has a NUL in it.
    Nul,
    /// It, or a component, is longer than a system takes.
    TooLong,
    /// Another member has the same.
    Duplicate,
    /// It lies below a member that is not a directory.
    BelowNonDirectory,
    /// It is a hard link to what is no earlier member, or one that has no bytes of its own to share.
    LinkTarget,
}

impl fmt::Display for NameFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            NameFault::Empty => "is empty, or has an empty component",
            NameFault::Absolute => "is absolute",
            NameFault::Dots => "has a component that is `.` or `..`",
            NameFault::Nul => "has a NUL in it",
            NameFault::TooLong => "is longer than 4,095 bytes, or has a component of more than 255",
            NameFault::Duplicate => "occurs twice",
            NameFault::BelowNonDirectory => "lies below one that is not a directory",
            NameFault::LinkTarget => "is a hard link to none of the files before it",
        })
    }
}

impl std::error::Error for NameFault {}

/// Whether a member's name may end with `/`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    SlashAllowed,
    NoSlash,
}

/// Looks at all paths of a tree, in path order, whether they can be in one tree (T2.2).
#[derive(Debug, Default)]
pub(crate) struct PathOrder {
    /// Empty before the first one.
    last: Vec<u8>,
    /// The last member that is no directory; empty before the first such.
    leaf: Vec<u8>,
}

impl PathOrder {
    /// Takes the next one: the bytes of a [`TreePath`].
    pub(crate) fn push(&mut self, path: &[u8], is_directory: bool) -> Result<(), TreeError> {
        let order = if self.last.is_empty() { Ordering::Less } else { compare(&self.last, path) };
        // What is below a member follows it at once: looking at the last one is enough.
        let fault = match order {
            Ordering::Equal => Some(NameFault::Duplicate),
            Ordering::Greater => {
                let what = format!("{} comes after a path that is greater", Escaped(path));
                return Err(TreeError::catalog(0, what));
            }
            Ordering::Less if !self.leaf.is_empty() && is_below(path, &self.leaf) => {
                Some(NameFault::BelowNonDirectory)
            }
            Ordering::Less => None,
        };
        if let Some(fault) = fault {
            return Err(TreeError::name(path, fault));
        }
        if !is_directory {
            path.clone_into(&mut self.leaf);
        }
        path.clone_into(&mut self.last);
        Ok(())
    }
}

/// In the order of paths.
fn compare(one: &[u8], other: &[u8]) -> Ordering {
    // No path has a NUL in it, so that a directory comes before what is in it, and that before all else that begins like the directory.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    match (one == ROOT, other == ROOT) {
        (false, false) => {}
        (one, other) => return other.cmp(&one),
    }
    match one.iter().zip(other).find(|(one, other)| one != other) {
        Some((one, other)) => key(one).cmp(&key(other)),
        None => one.len().cmp(&other.len()),
    }
}

/// Whether one path is somewhere below another, which it is not itself.
fn is_below(path: &[u8], directory: &[u8]) -> bool {
    match directory == ROOT {
        true => path != ROOT,
        false => path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/")),
    }
}

/// The paths of a tree without upper and lower case, for file systems that do not tell them apart. Takes 24 bytes of memory for
/// each path, and more while it grows.
#[derive(Debug, Default)]
pub(crate) struct FoldedPaths {
    /// By their hash without case; with what tells them apart with it.
    seen: HashMap<u128, u64>,
    keys: [RandomState; 3],
}

impl FoldedPaths {
    /// Takes the next one, and the directories that it is in. Gives what of them differs from an earlier one in case alone.
    pub(crate) fn push(&mut self, path: &TreePath) -> Option<TreePath> {
        let above = successors(Some(path.clone()), TreePath::parent).take_while(|path| !path.is_root());
        for path in above {
            // Bytes that are no text are folded as what stands for them: a refusal too many at worst.
            let folded = String::from_utf8_lossy(path.as_bytes()).to_lowercase();
            let [high, low] = [0, 1].map(|at| u128::from(self.keys[at].hash_one(&folded)));
            let exact = self.keys[2].hash_one(path.as_bytes());
            match self.seen.insert(high << 64 | low, exact) {
                None => {}
                // It was here, and so were those above it.
                Some(known) if known == exact => return None,
                Some(_) => return Some(path),
            }
        }
        None
    }
}

/// Bytes as text: what is no UTF-8, and control characters, as `\xNN`.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char.is_control() || char == '\\' {
                    true => write!(out, "{}", char.escape_default())?,
                    false => write!(out, "{char}")?,
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(out, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Whether these bytes are a path.
pub(crate) fn check(bytes: &[u8]) -> Result<(), NameFault> {
    match bytes {
        b"" => Err(NameFault::Empty),
        ROOT => Ok(()),
        [b'/', ..] => Err(NameFault::Absolute),
        _ if bytes.len() > TreePath::LEN_MAX => Err(NameFault::TooLong),
        _ if bytes.contains(&0) => Err(NameFault::Nul),
        _ => bytes.split(|byte| *byte == b'/').try_for_each(check_name),
    }
}

fn check_component(name: &[u8]) -> Result<(), NameFault> {
    match name {
        _ if name.contains(&0) => Err(NameFault::Nul),
        _ if name.contains(&b'/') => Err(NameFault::Absolute),
        _ => check_name(name),
    }
}

/// Whether what is between two `/`, in which there is no NUL, is a component.
fn check_name(name: &[u8]) -> Result<(), NameFault> {
    match name {
        b"" => Err(NameFault::Empty),
        b"." | b".." => Err(NameFault::Dots),
        _ if name.len() > TreePath::NAME_LEN_MAX => Err(NameFault::TooLong),
        _ => Ok(()),
    }
}

/// The path of the root.
pub(crate) const ROOT: &[u8] = b".";

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_path_stays_in_the_tree() {
        for good in ["a", "a/b", "..a", "a/...", ".a/b.", " ", "\u{fc}", "-rf"] {
            assert_eq!(path(good).as_bytes(), good.as_bytes());
        }
        assert!(TreePath::parse(b"\xff\xfe/a").is_ok());
        let faults: [(&[u8], NameFault); 12] = [
            (b"", NameFault::Empty),
            (b"a//b", NameFault::Empty),
            (b"a/", NameFault::Empty),
            (b"/", NameFault::Absolute),
            (b"/a", NameFault::Absolute),
            (b"..", NameFault::Dots),
            (b"../a", NameFault::Dots),
            (b"a/..", NameFault::Dots),
            (b"a/../b", NameFault::Dots),
            (b"./a", NameFault::Dots),
            (b"a/./b", NameFault::Dots),
            (b"a\0b", NameFault::Nul),
        ];
        for (bytes, fault) in faults {
            assert_eq!(TreePath::parse(bytes), Err(fault), "{}", Escaped(bytes));
        }
    }

    #[test]
    fn lengths_have_their_limits() {
        let component = |len: usize| vec![b'n'; len];
        assert!(TreePath::parse(&component(255)).is_ok());
        assert_eq!(TreePath::parse(&component(256)), Err(NameFault::TooLong));
        let long = |len: usize| "d/".repeat(len).into_bytes().into_iter().take(len).collect::<Vec<_>>();
        assert!(TreePath::parse(&long(4_095)).is_ok());
        assert_eq!(TreePath::parse(&[long(4_095), b"e".to_vec()].concat()), Err(NameFault::TooLong));
        assert_eq!(path("a").join(&component(256)), Err(NameFault::TooLong));
        assert_eq!(TreePath::parse(&long(4_093)).unwrap().join(b"ab"), Err(NameFault::TooLong));
        assert!(TreePath::parse(&long(4_093)).unwrap().join(b"a").is_ok());
    }

    #[test]
    fn what_is_below_a_directory_follows_it_at_once() {
        let mut paths: Vec<TreePath> =
            ["a-b", "a/b/c", "b", ".", "a", "a/b", "a.txt", "a/b-c"].map(path).to_vec();
        paths.sort();
        let texts: Vec<String> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(texts, [".", "a", "a/b", "a/b/c", "a/b-c", "a-b", "a.txt", "b"]);
    }

    #[test]
    fn parents_names_and_what_is_below() {
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(TreePath::root()));
        assert_eq!(TreePath::root().parent(), None);
        assert_eq!((path("a/b").name(), path("a").name()), (b"b".as_slice(), b"a".as_slice()));
        assert!(path("a/b").is_below(&path("a")) && path("a").is_below(&TreePath::root()));
        assert!(!path("ab").is_below(&path("a")) && !path("a").is_below(&path("a")));
        assert_eq!(TreePath::root().join(b"a").unwrap(), path("a"));
        assert_eq!(path("a").join(b"b").unwrap(), path("a/b"));
        for bad in ["", ".", "..", "a/b", "a\0"] {
            assert!(path("a").join(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_member_of_an_archive_may_begin_with_a_dot() {
        let of = |name: &str, ending| TreePath::of_member(name.as_bytes(), ending);
        for root in [".", "./"] {
            assert_eq!(of(root, Ending::SlashAllowed), Ok(TreePath::root()));
            assert!(of(root, Ending::NoSlash).is_err());
        }
        assert_eq!(of("./a/b/", Ending::SlashAllowed), Ok(path("a/b")));
        assert_eq!(of("a/b", Ending::SlashAllowed), Ok(path("a/b")));
        assert_eq!(of("./a", Ending::NoSlash), Ok(path("a")));
        for bad in ["a/", "././a", ".//a", "/a", "./../a", "./.", ""] {
            assert!(of(bad, Ending::NoSlash).is_err(), "{bad:?}");
        }
        for bad in ["a//", "././", ".//", "/", "./..", "./.", ""] {
            assert!(of(bad, Ending::SlashAllowed).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paths_that_cannot_be_in_one_tree_are_refused() {
        let all = |paths: &[(&str, bool)]| {
            let mut order = PathOrder::default();
            paths.iter().try_for_each(|(text, is_directory)| order.push(text.as_bytes(), *is_directory))
        };
        let fault = |outcome| match outcome {
            Err(TreeError::Name { fault, .. }) => Some(fault),
            _ => None,
        };
        assert!(all(&[(".", true), ("a", true), ("a/b", false), ("a-b", false), ("b/c", false)]).is_ok());
        assert_eq!(fault(all(&[("a", false), ("a", false)])), Some(NameFault::Duplicate));
        assert_eq!(fault(all(&[("a", false), ("a/b", false)])), Some(NameFault::BelowNonDirectory));
        assert_eq!(fault(all(&[("a", false), ("a/b/c", false)])), Some(NameFault::BelowNonDirectory));
        assert_eq!(fault(all(&[(".", false), ("a", false)])), Some(NameFault::BelowNonDirectory));
        assert!(matches!(all(&[("b", false), ("a", false)]), Err(TreeError::Catalog { .. })));
    }

    #[test]
    fn paths_that_differ_in_case_alone_are_found_with_the_directories_that_they_are_in() {
        let mut folded = FoldedPaths::default();
        for text in ["a", "b", "a/B", "a/C/d", "a/C/e", "a/C", "\u{e4}"] {
            assert_eq!(folded.push(&path(text)), None, "{text}");
        }
        for (text, found) in
            [("B", "B"), ("a/b", "a/b"), ("\u{c4}", "\u{c4}"), ("A/x", "A"), ("a/c/f", "a/c")]
        {
            assert_eq!(folded.push(&path(text)), Some(path(found)), "{text}");
        }
    }

    #[test]
    fn paths_are_shown_without_control_characters() {
        let shown = TreePath::parse(b"a\x1b[2J\xff\\n\xc3\xbc\n").unwrap().to_string();
        assert_eq!(shown, "a\\u{1b}[2J\\xff\\\\n\u{fc}\\n");
    }
}
