//! A Unix socket under a path: never open to others, in nobody's way, and gone when its server is.
//! Knows no protocol.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, fchmod, open, renameat_with};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use rustix::process::geteuid;

/// The name of a socket that a server listens on. Dropped, it removes it, if it still is that socket's.
#[derive(Debug)]
pub(crate) struct ServerSocket {
    path: PathBuf,
    id: (u64, u64),
}

impl ServerSocket {
    /// A socket at `path`, for its owner alone, and its listener, which does not block.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]: something is there that is no socket, or another user's;
    /// [`io::ErrorKind::AddrInUse`]: somebody listens there; [`io::ErrorKind::InvalidInput`]: no client could name it, since the path is too
    /// long. The system's own.
    pub(crate) fn bind(path: &Path) -> io::Result<(UnixListener, ServerSocket)> {
        if path.as_os_str().len() > PATH_LEN_MAX {
            refused(io::ErrorKind::InvalidInput, TOO_LONG)?;
        }
        if let Ok(found) = fs::symlink_metadata(path) {
            remove_abandoned(path, &found)?;
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // A socket gives the file its own mode, less the umask (unix_bind in Linux's net/unix/af_unix.c): at no moment has the file another.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        // Until it listens, it looks like an abandoned one, so it has another name: whoever begins meanwhile would remove it.
        let unpublished = path.with_file_name(unpublished_name()?);
        bind_to(&socket, &unpublished)?;
        let made = fs::symlink_metadata(&unpublished)?;
        let mut own = ServerSocket { path: unpublished, id: id_of(&made) };
        if made.permissions().mode() & 0o077 != 0 {
            let what = "this file system does not let a socket be its owner's alone";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        listen(&socket, BACKLOG)?;
        match renameat_with(CWD, &own.path, CWD, path, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => refused(io::ErrorKind::AddrInUse, BEGUN)?,
            renamed => renamed?,
        }
        path.clone_into(&mut own.path);
        Ok((UnixListener::from(socket), own))
    }
}

impl Drop for ServerSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| id_of(&found) == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket of this user's that nobody listens on: a server that was killed has left it.
fn remove_abandoned(path: &Path, found: &Metadata) -> io::Result<()> {
    if !found.file_type().is_socket() {
        return refused(io::ErrorKind::AlreadyExists, "there is something of this name, which is no socket");
    }
    if found.uid() != geteuid().as_raw() {
        return refused(io::ErrorKind::AlreadyExists, "there is a socket of this name of another user");
    }
    // Whoever listens there may have no time for more connections: that is not waited for.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&client, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => {}
        Err(Errno::NOENT) => return Ok(()),
        _ => return refused(io::ErrorKind::AddrInUse, "another program listens on the socket of this name"),
    }
    // Two that begin at once may both see it. Whoever moves the other's new one puts it back.
    let aside = path.with_file_name(unpublished_name()?);
    renameat_with(CWD, path, CWD, &aside, RenameFlags::NOREPLACE)?;
    if fs::symlink_metadata(&aside).is_ok_and(|moved| id_of(&moved) == id_of(found)) {
        return fs::remove_file(&aside);
    }
    renameat_with(CWD, &aside, CWD, path, RenameFlags::NOREPLACE)?;
    refused(io::ErrorKind::AddrInUse, BEGUN)
}

/// Gives the socket a name. It may be longer than the one that it gets later, which is as long as such a path can be: then the directory is
/// named by its descriptor.
fn bind_to(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    if let Ok(address) = SocketAddrUnix::new(path) {
        return Ok(bind(socket, &address)?);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let directory = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    let short = directory.join(path.file_name().unwrap_or_default());
    Ok(bind(socket, &SocketAddrUnix::new(&short)?)?)
}

/// A short name, as paths of sockets must be, that nobody else has.
fn unpublished_name() -> io::Result<String> {
    let number = getrandom::u32().map_err(io::Error::other)?;
    Ok(format!(".{number:x}"))
}

fn refused(kind: io::ErrorKind, what: &str) -> io::Result<()> {
    Err(io::Error::new(kind, what))
}

/// What makes it this one and no other of its name.
fn id_of(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Bytes that leave room for the zero byte after them, which Linux can do without, and programs cannot (unix(7)).
const PATH_LEN_MAX: usize = 107;
const TOO_LONG: &str = "the path of a socket has at most 107 bytes";
const BEGUN: &str = "another program has begun to listen on the socket of this name";
/// Connections that wait in the system's queue.
const BACKLOG: i32 = 128;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn kind(path: &Path) -> Option<io::ErrorKind> {
        ServerSocket::bind(path).err().map(|error| error.kind())
    }

    #[test]
    fn a_socket_is_its_owners_alone_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (listener, socket) = ServerSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(kind(&path), Some(io::ErrorKind::AddrInUse));
        drop(socket);
        assert!(!path.exists());
        drop(listener);
    }

    #[test]
    fn of_many_that_begin_at_once_one_listens_and_leaves_only_when_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        for _ in 0..500 {
            let start = Barrier::new(4);
            let begin = || {
                start.wait();
                ServerSocket::bind(&path)
            };
            let begun = thread::scope(|scope| {
                let all = [(); 4].map(|()| scope.spawn(begin));
                all.map(|one| one.join().unwrap())
            });
            let (won, lost): (Vec<_>, Vec<_>) = begun.into_iter().partition(Result::is_ok);
            assert_eq!(won.len(), 1);
            UnixStream::connect(&path).unwrap();
            assert!(lost.iter().all(|lost| lost.as_ref().unwrap_err().kind() == io::ErrorKind::AddrInUse));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            drop(won);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn an_abandoned_socket_is_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        drop(UnixListener::bind(path("abandoned")).unwrap());
        assert_eq!(kind(&path("abandoned")), None);
        fs::write(path("file"), "precious").unwrap();
        symlink(path("abandoned"), path("link")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        for name in ["file", "link", "folder"] {
            assert_eq!(kind(&path(name)), Some(io::ErrorKind::AlreadyExists), "{name}");
        }
        assert_eq!(fs::read(path("file")).unwrap(), b"precious");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_longest_path_that_a_client_can_name_is_listened_at_and_no_longer_one() {
        let folder = tempfile::tempdir().unwrap();
        // That of a directory, and one letter.
        let path = |len: usize| {
            let directory = folder.path().join("d".repeat(len - folder.path().as_os_str().len() - 3));
            fs::create_dir_all(&directory).unwrap();
            directory.join("s")
        };
        for len in [60, 98, 106, 107] {
            assert_eq!(path(len).as_os_str().len(), len);
            let (_listener, socket) = ServerSocket::bind(&path(len)).unwrap();
            UnixStream::connect(path(len)).unwrap();
            drop(socket);
            // An abandoned one of that length is replaced, too.
            drop(UnixListener::bind(path(len)).unwrap());
            assert_eq!(kind(&path(len)), None);
        }
        for len in [108, 130] {
            assert_eq!(kind(&path(len)), Some(io::ErrorKind::InvalidInput), "{len}");
            assert_eq!(fs::read_dir(path(len).parent().unwrap()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_file_beside_an_abandoned_socket_is_not_lost_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let beside = folder.path().join(format!("socket.abandoned-{}", std::process::id()));
        drop(UnixListener::bind(&path).unwrap());
        fs::write(&beside, "precious").unwrap();
        assert_eq!(kind(&path), None);
        assert_eq!(fs::read(&beside).unwrap(), b"precious");
    }

    #[test]
    fn a_server_that_takes_no_more_connections_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let flags = SocketFlags::NONBLOCK;
        let stream = || socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let (busy, address) = (stream(), SocketAddrUnix::new(&path).unwrap());
        bind(&busy, &address).unwrap();
        listen(&busy, 0).unwrap();
        let waiting: Vec<_> =
            std::iter::repeat_with(stream).take_while(|client| connect(client, &address).is_ok()).collect();
        assert_eq!(kind(&path), Some(io::ErrorKind::AddrInUse));
        drop(waiting);
    }

    #[test]
    fn another_socket_of_the_name_is_left_alone_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (_listener, socket) = ServerSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }
}
