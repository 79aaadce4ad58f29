//! Where a receiver listens, and the socket between the two ends.
//! Knows nothing of what goes over it.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with, sockopt},
};

/// Where a receiver listens: `tcp://HOST:PORT` or `unix:PATH`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// Host and port, joined by a colon.
    Tcp(String),
    /// The path of a socket.
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AddressError {
    /// It begins with neither `tcp://` nor `unix:`.
    NoScheme,
    /// Nothing stands where the host belongs.
    NoHost,
    /// The port is missing, or no number from 0 to 65535.
    NoPort,
    /// Nothing follows `unix:`.
    NoPath,
}

impl fmt::Display for AddressError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            AddressError::NoScheme => "an address is tcp://HOST:PORT or unix:PATH",
            AddressError::NoHost => "no host: an address is tcp://HOST:PORT",
            AddressError::NoPort => {
                "no valid port: an address is tcp://HOST:PORT, the port a number up to 65535"
            }
            AddressError::NoPath => "no path: an address is unix:PATH",
        })
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        if let Some(path) = text.strip_prefix(UNIX_SCHEME) {
            return if path.is_empty() { Err(AddressError::NoPath) } else { Ok(Address::Unix(path.into())) };
        }
        let host_and_port = text.strip_prefix(TCP_SCHEME).ok_or(AddressError::NoScheme)?;
        // Colons within brackets are an IPv6 address's own.
        let (host, port) = match host_and_port.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (host_and_port, ""),
        };
        if host.is_empty() {
            return Err(AddressError::NoHost);
        }
        let is_port = port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok();
        if is_port { Ok(Address::Tcp(host_and_port.to_owned())) } else { Err(AddressError::NoPort) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host_and_port) => write!(out, "{TCP_SCHEME}{host_and_port}"),
            Address::Unix(path) => write!(out, "{UNIX_SCHEME}{}", path.display()),
        }
    }
}

/// Whether bytes stay on this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    Machine,
    Network,
}

/// A connected socket. Clones are the same socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects within `limit`, to the first of the address's machines that answers.
    pub(super) fn connect(address: &Address, limit: Duration) -> io::Result<Socket> {
        let host_and_port = match address {
            Address::Unix(path) => return Ok(Socket::Unix(UnixStream::connect(path)?)),
            Address::Tcp(host_and_port) => host_and_port,
        };
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for resolved in host_and_port.to_socket_addrs()?.take(RESOLVED_MAX) {
            match TcpStream::connect_timeout(&resolved, limit) {
                Ok(stream) => return Socket::tcp(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// A dead machine at the other end is found by the kernel's own probes, also while nothing is to be said.
    fn tcp(stream: TcpStream) -> io::Result<Socket> {
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        #[cfg(target_os = "linux")]
        {
            sockopt::set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
            sockopt::set_tcp_keepintvl(&stream, KEEPALIVE_INTERVAL)?;
            sockopt::set_tcp_keepcnt(&stream, KEEPALIVE_COUNT)?;
        }
        Ok(Socket::Tcp(stream))
    }

    pub(super) fn reach(&self) -> Reach {
        let is_loopback =
            |end: io::Result<SocketAddr>| end.is_ok_and(|end| end.ip().to_canonical().is_loopback());
        match self {
            Socket::Unix(_) => Reach::Machine,
            Socket::Tcp(stream) if is_loopback(stream.peer_addr()) => Reach::Machine,
            Socket::Tcp(_) => Reach::Network,
        }
    }

    /// How long one read or write may take before it fails with [`io::ErrorKind::WouldBlock`].
    pub(super) fn set_limit(&self, limit: Duration) -> io::Result<()> {
        match self {
            Socket::Tcp(stream) => {
                stream.set_read_timeout(Some(limit)).and(stream.set_write_timeout(Some(limit)))
            }
            Socket::Unix(stream) => {
                stream.set_read_timeout(Some(limit)).and(stream.set_write_timeout(Some(limit)))
            }
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        match self {
            Socket::Tcp(stream) => stream.try_clone().map(Socket::Tcp),
            Socket::Unix(stream) => stream.try_clone().map(Socket::Unix),
        }
    }

    /// A socket that is gone already needs no shutting: errors are dropped.
    pub(super) fn shut(&self, how: Shutdown) {
        let _ = match self {
            Socket::Tcp(stream) => stream.shutdown(how),
            Socket::Unix(stream) => stream.shutdown(how),
        };
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.read(buffer),
            Socket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.write(bytes),
            Socket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket that waits for connections. The path of a Unix socket goes when it is dropped.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, path: PathBuf },
}

impl Listener {
    pub(super) fn bind(address: &Address) -> io::Result<Listener> {
        match address {
            Address::Tcp(host_and_port) => TcpListener::bind(host_and_port.as_str()).map(Listener::Tcp),
            Address::Unix(path) => Ok(Listener::Unix { listener: bind_private(path)?, path: path.clone() }),
        }
    }

    /// The address as bound: port 0 has become a port.
    pub(super) fn address(&self) -> io::Result<Address> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().map(|bound| Address::Tcp(bound.to_string())),
            Listener::Unix { path, .. } => Ok(Address::Unix(path.clone())),
        }
    }

    pub(super) fn reach(&self) -> Reach {
        match self {
            Listener::Unix { .. } => Reach::Machine,
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(bound) if bound.ip().to_canonical().is_loopback() => Reach::Machine,
                _ => Reach::Network,
            },
        }
    }

    /// The next connection; `None` if none came within `limit`, or the one that came went again, or cannot be taken yet.
    pub(super) fn accept(&self, limit: Timespec) -> io::Result<Option<Socket>> {
        match poll(&mut [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN)], Some(&limit)) {
            Ok(0) | Err(Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let accepted = match self {
            Listener::Tcp(listener) => listener.accept().and_then(|(stream, _)| Socket::tcp(stream)),
            Listener::Unix { listener, .. } => listener.accept().map(|(stream, _)| Socket::Unix(stream)),
        };
        match accepted {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if is_passing(error.kind()) => Ok(None),
            Err(error) if is_exhaustion(&error) => {
                // The connection stays in the kernel's queue, and would be announced again at once.
                let _ = poll(&mut [], Some(&limit));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What accept(2) says of a connection that ended before it was taken.
fn is_passing(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, Interrupted, InvalidInput, NotConnected, WouldBlock,
    };
    matches!(
        kind,
        ConnectionAborted | ConnectionReset | Interrupted | InvalidInput | NotConnected | WouldBlock
    )
}

/// What accept(2) says while descriptors or memory are short: others give some back.
fn is_exhaustion(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| short.contains(&error))
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix { listener, .. } => listener.as_fd(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix { path, .. } = self {
            // Left behind it does no harm: the next one that binds finds nobody listening and takes it away.
            let _ = fs::remove_file(path);
        }
    }
}

/// Binds a socket that the owner alone can connect to: its mode is set before it listens.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    remove_dead_socket(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// A socket that a killed receiver left has nobody behind it.
fn remove_dead_socket(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    let is_socket = found.file_type().is_socket();
    if !is_socket {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file has this name, and it is no socket",
        ));
    }
    let is_dead = is_socket
        && UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_dead { fs::remove_file(path) } else { Ok(()) }
}

const TCP_SCHEME: &str = "tcp://";
const UNIX_SCHEME: &str = "unix:";
/// Addresses of one host that are tried.
const RESOLVED_MAX: usize = 8;
/// Connections that the kernel keeps while a greeting is under way.
const BACKLOG: i32 = 16;
#[cfg(target_os = "linux")]
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
#[cfg(target_os = "linux")]
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
#[cfg(target_os = "linux")]
const KEEPALIVE_COUNT: u32 = 4;

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in
            ["tcp://127.0.0.1:80", "tcp://[::1]:0", "tcp://store.example:65535", "unix:/run/a b", "unix:x"]
        {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_no_address() {
        use AddressError::{NoHost, NoPath, NoPort, NoScheme};
        let cases = [
            ("", NoScheme),
            ("h:1", NoScheme),
            ("/run/x", NoScheme),
            ("tcp:127.0.0.1:1", NoScheme),
            ("unix", NoScheme),
            ("tcp://", NoHost),
            ("tcp://:1", NoHost),
            ("tcp://h", NoPort),
            ("tcp://h:", NoPort),
            ("tcp://h:65536", NoPort),
            ("tcp://h:+1", NoPort),
            ("tcp://h:x", NoPort),
            ("tcp://[::1]", NoPort),
            ("unix:", NoPath),
        ];
        for (text, problem) in cases {
            assert_eq!(text.parse::<Address>(), Err(problem), "{text}");
        }
    }

    #[test]
    fn a_connection_for_which_there_is_no_descriptor_is_taken_later() {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "address::tests::child_that_runs_out_of_descriptors", "--nocapture"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        assert!(String::from_utf8_lossy(&child.stdout).contains(TAKEN_LATER));
    }

    /// Runs in a process of its own: the limit is a process's.
    #[test]
    fn child_that_runs_out_of_descriptors() {
        if env::var_os(CHILD).is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("socket"));
        let listener = Listener::bind(&address).unwrap();
        let _sender = Socket::connect(&address, Duration::ZERO).unwrap();
        // poll(2) fails where the limit is below what it is given.
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(1), ..limit }).unwrap();
        let moment = Timespec { tv_sec: 0, tv_nsec: 1 };
        let none = listener.accept(moment).map(|socket| socket.is_none());
        setrlimit(Resource::Nofile, limit).unwrap();
        assert!(none.unwrap(), "a socket beyond the limit");
        assert!(listener.accept(Timespec { tv_sec: 60, tv_nsec: 0 }).unwrap().is_some());
        println!("{TAKEN_LATER}");
    }

    const CHILD: &str = "COFFERDAM_NO_DESCRIPTORS";
    const TAKEN_LATER: &str = "the connection was taken later";

    #[test]
    fn the_socket_of_a_killed_receiver_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let address = Address::Unix(path.clone());
        // Nobody listens there, not even a process that another test just starts and that has this socket open, too.
        let dead = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        bind(&dead, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        drop(dead);
        let listener = Listener::bind(&address).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Listener::bind(&address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, b"somebody's").unwrap();
        assert_eq!(Listener::bind(&address).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    }
}
