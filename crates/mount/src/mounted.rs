//! Something that is mounted, from the mount to its end.
//! Knows nothing of what is in it.

use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};

use crate::bounded_source::BoundedSource;
use crate::file_system::FileSystem;
use crate::mount_point::{Detached, MountPoint, NAME, file_system_at, unmount_at};
use crate::{Access, Contents, MountError, MountOptions, Notice};

/// Contents under a directory. Dropped, they are unmounted.
pub struct Mounted {
    /// Never dropped. Its drop would unmount whatever is at the path by then, which may be another's: a mount that was detached lasts as long as
    /// somebody has a file of it open, and its directory is free meanwhile. What is leaked is a descriptor, until the process ends.
    session: ManuallyDrop<BackgroundSession>,
    source: Arc<BoundedSource>,
    mount_point: MountPoint,
    path: PathBuf,
    file_system: (u32, u32),
    is_unmounted: bool,
}

/// How a mount ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmounted {
    /// Nobody used it.
    Clean,
    /// It is gone from its directory; programs that still use it get errors once this process ends.
    InUse,
    /// It had been unmounted by somebody else before.
    Before,
    /// Something else is mounted over it, and it was left: once this process ends, it is a dead mount below that.
    Covered,
}

impl Mounted {
    /// Mounts `contents` on `mount_point`. `notify` is told what cannot be read.
    ///
    /// # Errors
    /// [`MountError::System`] where the system does not let it: there is no FUSE, or not for this user.
    pub fn new(
        contents: Contents,
        mount_point: MountPoint,
        options: &MountOptions,
        notify: Arc<dyn Fn(&Notice<'_>) + Send + Sync>,
    ) -> Result<Mounted, MountError> {
        let system = |what| move |error: io::Error| MountError::system(what, error);
        let before = mount_point.file_system().map_err(system("look at the directory"))?;
        let source = contents.source.clone();
        let file_system = FileSystem::new(contents, notify);
        let config = config(options);
        let session = match mount_point.mount(options.access).map_err(system("mount"))? {
            Some(device) => {
                let begun = Session::from_fd(file_system, device, config.acl, config);
                begun.inspect_err(|_| drop(mount_point.path().map(|path| unmount_at(&path))))
            }
            None => {
                let path = mount_point.path().map_err(system("find the directory"))?;
                Session::new(file_system, &path, &config)
            }
        };
        let session = session.map_err(system("mount"))?;
        let session = session.spawn().map_err(system("start the mount's threads"))?;
        let session = ManuallyDrop::new(session);
        let at_path = mount_point.path().and_then(|path| file_system_at(&path).map(|found| (path, found)));
        let (path, found) = at_path.map_err(system("look at the mount"))?;
        if before == found {
            let source = io::Error::other(format!("{} does not lead to it", path.display()));
            return Err(MountError::system("look at the mount", source));
        }
        Ok(Mounted { session, source, mount_point, path, file_system: found, is_unmounted: false })
    }

    /// Where it was mounted, from the root on.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it has ended: somebody has unmounted it, and nobody uses it any more.
    pub fn is_finished(&self) -> bool {
        self.session.guard.is_finished()
    }

    /// Gives up what is being read, unmounts, and waits at most `grace` for those who use it to close it. What is mounted
    /// there and is not this mount is left alone.
    ///
    /// # Errors
    /// The system does not let it be unmounted: it is left as it is.
    pub fn unmount(mut self, grace: Duration) -> io::Result<Unmounted> {
        self.is_unmounted = true;
        if self.is_finished() {
            return Ok(Unmounted::Before);
        }
        match self.is_on_top() {
            Ok(true) => {}
            Ok(false) => return Ok(Unmounted::Covered),
            // Its directory is gone or cannot be reached; the same comes of the attempt.
            Err(error) => return Err(error),
        }
        let detached = match unmount_at(&self.mount_point.path()?)? {
            // A program other than root's detaches it in any case.
            Detached::AtOnce if self.ends_within(UNMOUNTED_PATIENCE) => return Ok(Unmounted::Clean),
            detached => detached,
        };
        self.source.end();
        let has_ended = self.ends_within(grace);
        Ok(if detached == Detached::AtOnce && has_ended { Unmounted::Clean } else { Unmounted::InUse })
    }

    fn is_on_top(&self) -> io::Result<bool> {
        file_system_at(&self.mount_point.path()?).map(|found| found == self.file_system)
    }

    fn ends_within(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        while !self.is_finished() && begun.elapsed() < patience {
            thread::sleep(POLL);
        }
        self.is_finished()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.source.end();
        if !self.is_unmounted && !self.is_finished() && matches!(self.is_on_top(), Ok(true)) {
            // Nobody could be told.
            let _ = self.mount_point.path().and_then(|path| unmount_at(&path));
        }
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Mounted").field("path", &self.path).finish_non_exhaustive()
    }
}

fn config(options: &MountOptions) -> Config {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(NAME.to_owned()),
        // As an option of the kernel's, which `Subtype` is for fusermount alone.
        MountOption::CUSTOM(format!("subtype={NAME}")),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::DefaultPermissions,
    ];
    config.acl = match options.access {
        Access::Owner => SessionACL::Owner,
        Access::AllUsers => SessionACL::All,
    };
    config.n_threads = Some(THREADS);
    config
}

/// Reads that are made at once: each waits for the source on a thread of its own, and holds at most 1 MiB.
pub const THREADS: usize = 16;
/// How long the threads may take to see that nobody uses it.
const UNMOUNTED_PATIENCE: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(5);
