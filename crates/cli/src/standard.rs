//! Standard input and output as whoever started the program left them: open for what they are for, or not.
//!
//! Where one of the descriptors 0 to 2 is closed, the runtime opens `/dev/null` in its place before `main`, for reading and
//! writing (`sanitize_standard_fds` in the standard library's `sys/pal/unix/mod.rs`): reads give nothing, writes vanish, both
//! with success. So `/dev/null` open for *both* counts as closed. `</dev/null`, `>/dev/null` and systemd's `null` are open for
//! one of them, and are what they say. Programs that hand down `/dev/null` open for both (daemon(3), Python's `DEVNULL`)
//! cannot be told from a closed descriptor: they are refused where data would be lost, and nowhere else.

use std::fs::{self, File};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::Errno;

use crate::failure::Failure;

/// One of the two streams that bytes go through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standard {
    Input,
    Output,
}

impl Standard {
    /// The stream that is descriptor `number`.
    pub(crate) fn of_descriptor(number: u32) -> Option<Standard> {
        match number {
            0 => Some(Standard::Input),
            1 => Some(Standard::Output),
            _ => None,
        }
    }

    /// Whether bytes can go through it.
    pub(crate) fn is_usable(self) -> bool {
        self.check().is_ok()
    }

    /// Refuses a stream that is closed, or open the wrong way.
    pub(crate) fn refuse_unusable(self) -> Result<(), Failure> {
        self.check().map_err(|error| self.failure(error))
    }

    /// A descriptor of our own for it.
    pub(crate) fn open(self) -> Result<OwnedFd, Failure> {
        let opened = self.check().and_then(|()| self.fd().try_clone_to_owned());
        opened.map_err(|error| self.failure(error))
    }

    /// What it is open on, if that can be seen.
    pub(crate) fn metadata(self) -> Option<fs::Metadata> {
        File::from(self.fd().try_clone_to_owned().ok()?).metadata().ok()
    }

    pub(crate) fn is_block_device(self) -> bool {
        self.metadata().is_some_and(|metadata| metadata.file_type().is_block_device())
    }

    fn failure(self, error: io::Error) -> Failure {
        match self {
            Standard::Input => Failure::io("standard input could not be read", error)
                .advise("It was closed when the program started, or is not open for reading."),
            Standard::Output => Failure::io("standard output could not be written", error).advise(
                "It was closed when the program started, or is not open for writing. To throw away what is printed, \
                 redirect it: `>/dev/null`.",
            ),
        }
    }

    fn check(self) -> io::Result<()> {
        let fd = self.fd();
        let mode = fcntl_getfl(fd)? & OFlags::ACCMODE;
        let is_for_it = match self {
            Standard::Input => [OFlags::RDONLY, OFlags::RDWR].contains(&mode),
            Standard::Output => [OFlags::WRONLY, OFlags::RDWR].contains(&mode),
        };
        if is_for_it && !(mode == OFlags::RDWR && self.is_null()?) { Ok(()) } else { Err(Errno::BADF.into()) }
    }

    /// Where there is no `/dev/null` to compare with, as in a bare chroot, nothing was opened in its place either.
    fn is_null(self) -> io::Result<bool> {
        let metadata = File::from(self.fd().try_clone_to_owned()?).metadata()?;
        let is_same = |null: fs::Metadata| metadata.rdev() == null.rdev();
        Ok(metadata.file_type().is_char_device() && fs::metadata("/dev/null").is_ok_and(is_same))
    }

    fn fd(self) -> BorrowedFd<'static> {
        match self {
            Standard::Input => rustix::stdio::stdin(),
            Standard::Output => rustix::stdio::stdout(),
        }
    }
}
