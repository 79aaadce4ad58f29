//! The threads on which clients are served, from the first listener to an orderly end.
//! Knows the protocols by their listeners alone.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connections::Stop;
use crate::http::{HttpServer, HttpUrl};
use crate::nbd::NbdServer;
use crate::reads::{READS_MAX, Reads};
use crate::socket::ServerSocket;
use crate::{Export, Limits, Notice};

/// Serves one [`Export`]. Dropped, it ends at once, and its socket is removed.
pub struct Server {
    export: Arc<Export>,
    reads: Arc<Reads>,
    limits: Limits,
    stop: (watch::Sender<bool>, Stop),
    listeners: Vec<JoinHandle<()>>,
    sockets: Vec<ServerSocket>,
    /// Until it ends.
    runtime: Option<Runtime>,
}

impl Server {
    /// `notify` is told what does not go as a client wishes.
    ///
    /// # Errors
    /// Its threads cannot be started.
    pub fn new(export: Export, notify: Arc<dyn Fn(Notice<'_>) + Send + Sync>) -> io::Result<Server> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .max_blocking_threads(READS_MAX)
            .thread_name("cofferdam-serve")
            .enable_all()
            .build()?;
        let reads = Reads::new(export.source.clone(), notify);
        Ok(Server {
            export: Arc::new(export),
            reads,
            limits: Limits::default(),
            stop: Stop::new(),
            listeners: Vec::new(),
            sockets: Vec::new(),
            runtime: Some(runtime),
        })
    }

    /// With other limits, for listeners that are made afterwards.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Server {
        self.limits = limits;
        self
    }

    /// Serves HTTP/1.1 on 127.0.0.1: GET and HEAD, with ranges (RFC 9110 §14). Port 0 is one that the system chooses. Whoever has the
    /// URL can read; it has 192 random bits.
    ///
    /// # Errors
    /// The port cannot be had, or there are no random numbers.
    pub fn listen_http(&mut self, port: u16) -> io::Result<HttpUrl> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let server =
            HttpServer::new(self.export.clone(), self.reads.clone(), self.limits, listener.local_addr()?)?;
        let url = server.url();
        let runtime = self.runtime();
        let _within = runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let listening = runtime.spawn(server.serve(listener, self.stop.1.clone()));
        self.listeners.push(listening);
        Ok(url)
    }

    /// Serves NBD, read-only, on a Unix socket that is made at `path` with mode 0600, for processes of this user and of root. An
    /// abandoned socket of this user's there is replaced, nothing else.
    ///
    /// # Errors
    /// The socket cannot be made; [`io::ErrorKind::AlreadyExists`] and [`io::ErrorKind::AddrInUse`] for what is there.
    pub fn listen_nbd(&mut self, path: &Path) -> io::Result<()> {
        let (listener, socket) = ServerSocket::bind(path)?;
        self.sockets.push(socket);
        let server = NbdServer::new(self.export.clone(), self.reads.clone(), self.limits);
        let runtime = self.runtime();
        let _within = runtime.enter();
        let listener = tokio::net::UnixListener::from_std(listener)?;
        let listening = runtime.spawn(server.serve(listener, self.stop.1.clone()));
        self.listeners.push(listening);
        Ok(())
    }

    /// Takes no more connections and no more requests, and waits at most `grace` for those that are being answered. Reads of the
    /// source that are still running then are left alone.
    pub fn finish(mut self, grace: Duration) {
        self.stop.0.send_replace(true);
        let listeners = std::mem::take(&mut self.listeners);
        self.runtime().block_on(async {
            let all = async {
                for listener in listeners {
                    let _ = listener.await;
                }
            };
            // Whoever is not done by then is cut off.
            let _ = tokio::time::timeout(grace, all).await;
        });
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it is taken when the server is dropped")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.sockets.clear();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("export", &self.export).finish_non_exhaustive()
    }
}

/// How long answers that have begun may take when a server ends, usually.
pub const GRACE: Duration = Duration::from_secs(2);
/// One passes bytes on as fast as they are opened; a second one keeps new clients from waiting for it.
const THREADS: usize = 2;
