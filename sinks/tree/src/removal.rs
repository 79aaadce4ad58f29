//! A directory removed with all that is in it, unless another file system is mounted there; and how much room that takes.
//! Follows no symbolic link, and removes nothing of what has come to the directory's name meanwhile, whoever changes what is around it.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use cofferdam_io::{descriptor_path, proc_error, retried};
use rustix::{
    fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, chmodat, fchmod, fstat, openat2, unlinkat},
    io::Errno,
};

use tree::MountId;

use crate::directory_id::{DirectoryId, Found};

/// What came of a removal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// Nothing is there any more.
    Done,
    /// A file system is mounted in it: nothing was removed.
    HoldsMounts,
    /// Something else has its name: nothing was removed.
    Another,
}

/// Removes the directory `opened` with all that is in it, if it is called `name` in `parent`: what is in it through a descriptor, whatever becomes of the
/// name meanwhile, and of directories that keep their owner out as well. Where it is not called so any more, nothing is removed.
///
/// # Errors
/// The medium's own; some of it may then be removed.
pub fn remove_directory(parent: &impl AsFd, name: &OsStr, opened: &impl AsFd) -> io::Result<Removal> {
    remove_tree(parent, name, DirectoryId::of(opened)?)
}

/// Removes the directory `expected`, if that is what is called `name` in `parent`. One that is not there is removed.
pub(crate) fn remove_tree(parent: &impl AsFd, name: &OsStr, expected: DirectoryId) -> io::Result<Removal> {
    // Looked at once: whatever gets the name from here on, what is removed is in the directory that was looked at.
    let place = match open_beneath(parent, name, OFlags::PATH) {
        Err(Errno::NOENT) => return Ok(Removal::Done),
        Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Removal::Another),
        Err(Errno::XDEV) => return Ok(Removal::HoldsMounts),
        place => place?,
    };
    let found = Found::of(&place)?;
    if found.id != expected {
        return Ok(Removal::Another);
    }
    // First it is looked for mounts, then removed: a tree that is kept is kept whole.
    let holds_mounts = visit(&place, found.mount, Modes::Leave, &mut |_, _, _| Ok(()))?;
    if holds_mounts {
        return Ok(Removal::HoldsMounts);
    }
    let remove = &mut |directory: &Dir, name: &OsStr, is_directory: bool| {
        let flags = if is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match unlinkat(directory.fd()?, name, flags) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    };
    if visit(&place, found.mount, Modes::Open, remove)? {
        return Ok(Removal::HoldsMounts);
    }
    // By its name, which another one may have by now: that goes only if it is empty.
    unlinkat(parent, name, AtFlags::REMOVEDIR)?;
    Ok(Removal::Done)
}

/// Bytes of room that the files beneath the directory `name` of `parent` take, one with several names once. What this user may not look into is not
/// counted, nor what goes meanwhile; where another file system is mounted, the count ends.
///
/// # Errors
/// The directory itself cannot be read.
pub(crate) fn allocated_len(parent: &impl AsFd, name: &OsStr) -> io::Result<u64> {
    let place = open_beneath(parent, name, OFlags::RDONLY)?;
    let mount = Found::of(&place)?.mount;
    let mut len = 0;
    let add = &mut |directory: &Dir, name: &OsStr, is_directory: bool| {
        if let (false, Ok(Some(found))) = (is_directory, Found::at(&directory.fd()?, name)) {
            // Each of its names has its part of it.
            len += found.allocated / u64::from(found.links.max(1));
        }
        Ok(())
    };
    match visit(&place, mount, Modes::Leave, add) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(len),
    }
}

/// What is done with a name in a directory, after all that is below it.
type Act<'a> = dyn FnMut(&Dir, &OsStr, bool) -> Result<(), Errno> + 'a;

/// What becomes of directories whose modes keep their owner out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Modes {
    /// They are passed over.
    Leave,
    /// Their owner is let in.
    Open,
}

/// Acts on all that is in the directory `place`. Whether a file system is mounted there: it then stops.
fn visit(place: &OwnedFd, mount: MountId, modes: Modes, act: &mut Act<'_>) -> io::Result<bool> {
    let is_passed_over =
        |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied && modes == Modes::Leave;
    let opened = open(place, ".".as_ref(), modes).and_then(|top| Ok((names(&top)?, top)));
    let (listed, top) = match opened {
        Err(error) if is_passed_over(&error) => return Ok(false),
        opened => opened?,
    };
    // Paths beneath `top`, and the names in them that are left. Descriptors are not kept: a tree may be deeper than a process has any.
    let mut stack = vec![(Vec::new(), listed)];
    while let Some((path, left)) = stack.last_mut() {
        let Some(name) = left.pop() else {
            let (path, _) = stack.pop().unwrap_or_default();
            if let Some((above, _)) = stack.last() {
                let directory = reopen(&top, above, modes)?;
                act(&directory, OsStr::from_bytes(last(&path)), true)?;
            }
            continue;
        };
        let directory = reopen(&top, path, modes)?;
        // All that are no directories at once: the directory is open.
        let mut next = Some(name);
        let mut below = None;
        while let Some(name) = next {
            let found = match Found::at(&directory.fd()?, OsStr::from_bytes(&name)) {
                Err(Errno::ACCESS) if modes == Modes::Leave => None,
                found => found?,
            };
            let Some(found) = found else {
                next = left.pop();
                continue;
            };
            if found.mount != mount {
                return Ok(true);
            }
            if found.is_directory() {
                below = Some(name);
                break;
            }
            act(&directory, OsStr::from_bytes(&name), false)?;
            next = left.pop();
        }
        if let Some(name) = below {
            let path = if path.is_empty() { name } else { [path, b"/".as_slice(), &name].concat() };
            let listed = reopen(&top, &path, modes).and_then(|directory| names(&directory.fd()?));
            let names = match listed {
                Err(error) if is_passed_over(&error) => Vec::new(),
                names => names?,
            };
            stack.push((path, names));
        }
    }
    Ok(false)
}

fn open(parent: &impl AsFd, path: &OsStr, modes: Modes) -> io::Result<OwnedFd> {
    match open_beneath(parent, path, OFlags::RDONLY) {
        Err(Errno::ACCESS) if modes == Modes::Open => {
            // By its descriptor: nothing else can have come to the path. A directory's own `.` is found only by who may search it.
            match path.as_bytes() {
                b"." => let_in(parent)?,
                _ => let_in(&open_beneath(parent, path, OFlags::PATH)?)?,
            }
            Ok(open_beneath(parent, path, OFlags::RDONLY)?)
        }
        directory => {
            let directory = directory?;
            if modes == Modes::Open && fstat(&directory)?.st_mode & 0o700 != 0o700 {
                // Of others' it fails, and the removal says so itself.
                let _ = fchmod(&directory, Mode::RWXU);
            }
            Ok(directory)
        }
    }
}

fn open_beneath(parent: &impl AsFd, path: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retried(|| openat2(parent, path, flags, Mode::empty(), resolve))
}

fn let_in(closed: &impl AsFd) -> io::Result<()> {
    chmodat(CWD, descriptor_path(closed), Mode::RWXU, AtFlags::empty()).map_err(proc_error)
}

fn reopen(top: &OwnedFd, path: &[u8], modes: Modes) -> io::Result<Dir> {
    let mut rest = if path.is_empty() { b".".as_slice() } else { path };
    let mut above = None;
    // The system takes no longer path at once, and whoever made the tree need not have given one.
    while rest.len() > PATH_LEN_MAX {
        let end = rest[..PATH_LEN_MAX].iter().rposition(|byte| *byte == b'/').unwrap_or(rest.len());
        above = Some(open(above.as_ref().unwrap_or(top), OsStr::from_bytes(&rest[..end]), modes)?);
        rest = rest.get(end + 1..).unwrap_or(b".");
    }
    Ok(Dir::new(open(above.as_ref().unwrap_or(top), OsStr::from_bytes(rest), modes)?)?)
}

/// The names in a directory, in the order of paths: whoever looks them up in a catalog comes to its pages one after the other.
pub(crate) fn names(directory: &impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if !matches!(&*name, b"." | b"..") {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// Bytes of a path that is opened at once: PATH_MAX, less the NUL.
const PATH_LEN_MAX: usize = 4_095;

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{mkdirat, openat};

    use super::*;

    #[test]
    fn a_tree_that_is_deeper_than_a_path_may_be_long_is_removed() {
        let scratch = tempfile::tempdir().unwrap();
        let parent = OwnedFd::from(fs::File::open(scratch.path()).unwrap());
        for (name_len, depth) in [(255, 40), (200, 21)] {
            let name = "n".repeat(name_len);
            mkdirat(&parent, "deep", Mode::RWXU).unwrap();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let mut directory = openat(&parent, "deep", flags, Mode::empty()).unwrap();
            for _ in 0..depth {
                mkdirat(&directory, &*name, Mode::RWXU).unwrap();
                openat(&directory, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
                directory = openat(&directory, &*name, flags, Mode::empty()).unwrap();
            }
            let id = Found::at(&parent, OsStr::new("deep")).unwrap().unwrap().id;
            assert_eq!(remove_tree(&parent, OsStr::new("deep"), id).unwrap(), Removal::Done);
            assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{depth} names of {name_len} bytes");
        }
    }
}
