//! Extended attributes of what has a name in a directory that is open, links not followed.
//! Knows no tree and no walk.

use std::{
    borrow::Cow,
    ffi::{CStr, CString, OsStr},
    io,
    os::{fd::AsFd, unix::ffi::OsStrExt},
};

use cofferdam_io::{proc_error, proc_path};
use nix::sched::{CloneFlags, unshare};
use rustix::{
    fs::{lgetxattr, llistxattr},
    io::Errno,
    process::fchdir,
};

use crate::{TreeError, TreePath, Xattr};

/// Reads attributes. A descriptor of the file itself would have to be opened for reading, which not every file allows; and only Linux 6.13
/// takes one of its directory. So they are read by a path, which is the name alone where the working directory is this thread's own.
pub(crate) struct XattrReader {
    base: Base,
    names: Vec<u8>,
    value: Vec<u8>,
}

/// What paths begin with.
enum Base {
    /// The directory's descriptor in /proc, which takes the system several times as long to find.
    Proc,
    /// The working directory: that of the last call, by the number that the caller has given it.
    OwnWorkingDirectory(Option<u64>),
}

impl XattrReader {
    /// For any thread.
    pub(crate) fn new() -> XattrReader {
        XattrReader { base: Base::Proc, names: vec![0; XATTRS_LEN_FIRST], value: Vec::new() }
    }

    /// For a thread that nobody else has and that ends with this: from now on it has a working directory of its own, which is any.
    pub(crate) fn of_own_thread() -> XattrReader {
        // Some sandboxes do not allow it.
        let base = match unshare(CloneFlags::CLONE_FS) {
            Ok(()) => Base::OwnWorkingDirectory(None),
            Err(_) => Base::Proc,
        };
        XattrReader { base, ..XattrReader::new() }
    }

    /// The attributes of what is called `name` in `directory`, by name; `path` is for errors. Directories of two calls are the same if and
    /// only if their numbers are.
    pub(crate) fn read(
        &mut self,
        directory: &impl AsFd,
        directory_number: u64,
        name: &CStr,
        path: &TreePath,
    ) -> Result<Vec<Xattr>, TreeError> {
        let place = self.place(directory, directory_number, name);
        let fault =
            |error: io::Error| TreeError::io(format!("read the extended attributes of {path}"), error);
        let len = loop {
            match llistxattr(&*place, &mut *self.names) {
                Err(Errno::RANGE) if self.names.len() < XATTRS_LEN_MAX => {
                    self.names.resize(self.names.len() * 16, 0);
                }
                Err(Errno::NOTSUP) => return Ok(Vec::new()),
                Err(error @ (Errno::NOENT | Errno::NOTDIR)) => return self.of_nothing(error).map_err(fault),
                len => break len.map_err(|error| fault(error.into()))?,
            }
        };
        let mut xattrs = Vec::new();
        for name in self.names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            self.value.resize(XATTRS_LEN_MAX, 0);
            match lgetxattr(&*place, OsStr::from_bytes(name), &mut *self.value) {
                Err(Errno::NODATA | Errno::NOENT) => {}
                len => {
                    let value = self.value[..len.map_err(|error| fault(error.into()))?].to_vec();
                    xattrs.push(Xattr { name: name.to_vec(), value });
                }
            }
        }
        xattrs.sort();
        Ok(xattrs)
    }

    /// What is not there has no attributes, unless it could not be looked for.
    fn of_nothing(&self, error: Errno) -> io::Result<Vec<Xattr>> {
        let told = match self.base {
            Base::OwnWorkingDirectory(Some(_)) => error.into(),
            _ => proc_error(error),
        };
        match told.kind() {
            io::ErrorKind::Unsupported => Err(told),
            _ => Ok(Vec::new()),
        }
    }

    /// A path of `name` in `directory`. A name has no `/`, so that alone it is one in the working directory.
    fn place<'a>(&mut self, directory: &impl AsFd, directory_number: u64, name: &'a CStr) -> Cow<'a, CStr> {
        if let Base::OwnWorkingDirectory(current) = &mut self.base {
            if *current == Some(directory_number) {
                return name.into();
            }
            if fchdir(directory).is_ok() {
                *current = Some(directory_number);
                return name.into();
            }
            *current = None;
        }
        let place = proc_path(directory, OsStr::from_bytes(name.to_bytes()));
        CString::new(place).expect("neither part has a NUL in it").into()
    }
}

/// What a list of names is first given room for.
const XATTRS_LEN_FIRST: usize = 256;
/// Linux keeps lists and values within this.
const XATTRS_LEN_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::{env, fs, os::unix::fs::symlink, thread};

    use rustix::fs::{XattrFlags, setxattr};

    use super::*;

    /// The attribute `user.note` of a file `f` in each of two directories, in turn, and of a link that leads to one of them.
    fn check(mut reader: XattrReader) {
        let scratch = tempfile::tempdir().unwrap();
        let directories = ["one", "other"].map(|name| {
            let directory = scratch.path().join(name);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("f"), "").unwrap();
            setxattr(directory.join("f"), "user.note", name.as_bytes(), XattrFlags::empty()).unwrap();
            symlink("f", directory.join("link")).unwrap();
            fs::File::open(directory).unwrap()
        });
        let mut values = |number: usize, name: &CStr| {
            let xattrs = reader.read(&directories[number], number as u64, name, &TreePath::root()).unwrap();
            let notes = xattrs.into_iter().filter(|xattr| xattr.name == b"user.note");
            notes.map(|xattr| xattr.value).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            assert_eq!((values(0, c"f"), values(1, c"f")), (vec![b"one".to_vec()], vec![b"other".to_vec()]));
            assert_eq!((values(1, c"link"), values(0, c"gone"), values(0, c".")), (vec![], vec![], vec![]));
        }
    }

    #[test]
    fn attributes_are_of_the_name_in_its_directory_from_any_thread_and_from_one_of_their_own() {
        let before = env::current_dir().unwrap();
        check(XattrReader::new());
        thread::spawn(|| {
            let reader = XattrReader::of_own_thread();
            let is_allowed = matches!(reader.base, Base::OwnWorkingDirectory(_));
            check(reader);
            // It is one that was removed when it had been checked.
            assert_eq!(env::current_dir().is_err(), is_allowed);
        })
        .join()
        .unwrap();
        // That of all other threads is what it was.
        assert_eq!(env::current_dir().unwrap(), before);
    }
}
