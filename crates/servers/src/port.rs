//! Owns ports of the loopback interface for servers that are told theirs, until they are dropped.
//! Knows nothing of who listens there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net;
use std::time::Duration;

/// Below the ports that Linux gives to clients unless told otherwise, so that none takes one before its server does.
const NUMBERS: std::ops::Range<u16> = 12_000..32_000;

/// How many numbers are tried.
const ATTEMPTS_MAX: usize = 1000;

/// How long an answer is awaited that the kernel gives at once, unless a listener's queue is full.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// A port of 127.0.0.1 that no other `Port` of any process on this machine has, and on which nothing listened.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    /// A name that the kernel lets one process have, and takes back when that ends, however it ends.
    _name: net::UnixListener,
}

impl Port {
    /// Takes a free one.
    pub(crate) fn take() -> io::Result<Port> {
        let mut numbers = fastrand::Rng::new();
        (0..ATTEMPTS_MAX)
            .find_map(|_| Port::try_take(numbers.u16(NUMBERS)))
            .ok_or_else(|| io::Error::new(io::ErrorKind::AddrInUse, "no free port on 127.0.0.1"))
    }

    fn try_take(number: u16) -> Option<Port> {
        let name = net::SocketAddr::from_abstract_name(format!("cofferdam-test-port-{number}")).ok()?;
        let name = net::UnixListener::bind_addr(&name).ok()?;
        let port = Port { number, _name: name };
        port.is_refused().then_some(port)
    }

    /// Asks by connecting: a socket that listened to find out could live on in a process that another thread is just
    /// starting, and stand in the way of the server.
    fn is_refused(&self) -> bool {
        TcpStream::connect_timeout(&self.address(), ANSWER_MAX)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// What `take` gives in the end: a process that another test is just starting has our sockets until it has
    /// become its program.
    fn soon<T>(take: impl Fn() -> Option<T>) -> Option<T> {
        let end = Instant::now() + Duration::from_secs(600);
        while Instant::now() < end {
            if let Some(taken) = take() {
                return Some(taken);
            }
            thread::sleep(Duration::from_millis(10));
        }
        None
    }

    #[test]
    fn a_port_has_one_holder_and_is_free_again_after_it() {
        let held = Port::take().unwrap();
        assert!(Port::try_take(held.number()).is_none());
        let number = held.number();
        drop(held);
        assert!(soon(|| Port::try_take(number)).is_some());
    }

    #[test]
    fn a_port_on_which_somebody_listens_is_not_taken() {
        let held = Port::take().unwrap();
        let _listener = TcpListener::bind(held.address()).unwrap();
        let number = held.number();
        drop(held);
        thread::sleep(Duration::from_millis(100)); // Longer than a process takes to become its program.
        assert!(Port::try_take(number).is_none());
    }
}
