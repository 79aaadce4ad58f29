//! Paths of what is in a directory that is open, for system calls that take no descriptor of it.
//! Knows no file.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, AsRawFd},
        unix::ffi::OsStrExt,
    },
};

use rustix::{fs::stat, io::Errno};

/// A path of what is called `name` in `directory`, whatever the directory is called by now. Errors of calls that get it go through [`proc_error`].
pub fn proc_path(directory: &impl AsFd, name: &OsStr) -> Vec<u8> {
    [descriptor_path(directory).as_bytes(), b"/", name.as_bytes()].concat()
}

/// A path of what is open as `file`, by which a directory is found that nobody may search. Errors of calls that get it go through [`proc_error`].
pub fn descriptor_path(file: &impl AsFd) -> String {
    format!("{DESCRIPTORS}/{}", file.as_fd().as_raw_fd())
}

/// The error of a call that got a [`proc_path`]. Without /proc nothing is found, which says nothing of the name.
pub fn proc_error(error: Errno) -> io::Error {
    match error {
        Errno::NOENT | Errno::NOTDIR if stat(DESCRIPTORS).is_err() => {
            io::Error::new(io::ErrorKind::Unsupported, "this needs /proc, which is not mounted")
        }
        error => error.into(),
    }
}

const DESCRIPTORS: &str = "/proc/self/fd";
