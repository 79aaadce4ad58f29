//! Owns a listening socket of this process, a thread per connection, and the end of all of them.
//! Knows nothing of what is said on the connections.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::Mutex;

/// Takes connections until it is dropped, which ends them.
pub(crate) struct Listener {
    address: SocketAddr,
    streams: Arc<Streams>,
    accepting: Option<JoinHandle<()>>,
}

/// The streams of the connections that are open, to be cut from outside.
#[derive(Default)]
pub(crate) struct Streams {
    open: Mutex<HashMap<u64, Vec<TcpStream>>>,
    refusing: AtomicBool,
    ended: AtomicBool,
}

impl Listener {
    /// Serves each connection by `serve` on a thread of its own. The number is for [`Streams::keep`].
    pub(crate) fn start(
        name: &'static str,
        serve: impl Fn(u64, TcpStream, &Streams) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Listener> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let streams = Arc::new(Streams::default());
        let accepting = thread::Builder::new().name(name.into()).spawn({
            let streams = Arc::clone(&streams);
            move || accept(&listener, name, &streams, &Arc::new(serve))
        })?;
        Ok(Listener { address, streams, accepting: Some(accepting) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections, and each new one at once, until it is told otherwise.
    pub(crate) fn refuse(&self, refusing: bool) {
        // Partner of the load in `keep`, whose lock orders the two: a stream is cut here or there.
        self.streams.refusing.store(refusing, Ordering::Release);
        if refusing {
            self.streams.cut_all();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Partner of the load in `accept`, which the connection below wakes.
        self.streams.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.refuse(true);
    }
}

impl Streams {
    /// Has `stream` cut with the connection of this number, and at once where connections are refused.
    pub(crate) fn keep(&self, connection: u64, stream: &TcpStream) -> io::Result<()> {
        let mut open = self.open.lock();
        if self.refusing.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        open.entry(connection).or_default().push(stream.try_clone()?);
        Ok(())
    }

    fn cut_all(&self) {
        cut(self.open.lock().values().flatten());
    }
}

fn cut<'a>(streams: impl IntoIterator<Item = &'a TcpStream>) {
    for stream in streams {
        // The other end may have done so already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn accept<S>(listener: &TcpListener, name: &str, streams: &Arc<Streams>, serve: &Arc<S>)
where
    S: Fn(u64, TcpStream, &Streams) -> io::Result<()> + Send + Sync + 'static,
{
    for number in 0.. {
        let Ok((stream, _)) = listener.accept() else {
            continue;
        };
        if streams.ended.load(Ordering::Acquire) {
            return;
        }
        let (streams, serve) = (Arc::clone(streams), Arc::clone(serve));
        let serve = move || {
            // Whatever ends a connection, the other end has seen it.
            let _ = streams.keep(number, &stream).and_then(|()| serve(number, stream, &streams));
            cut(streams.open.lock().remove(&number).iter().flatten());
        };
        let _ = thread::Builder::new().name(format!("{name} {number}")).spawn(serve);
    }
}
