//! Connections at once, and how they are told to end.
//! Knows no protocol.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Whether the server is to end, for one task.
#[derive(Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new() -> (watch::Sender<bool>, Stop) {
        let (sender, receiver) = watch::channel(false);
        (sender, Stop(receiver))
    }

    /// Returns when it is. May be dropped and called again.
    pub(crate) async fn asked(&mut self) {
        // A server that is gone has asked, too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// How long clients are waited for, and how many are served.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once, of each protocol: more wait in the system's queue. 256.
    pub connections: usize,
    /// From a connection's beginning, or the end of an answer, to the end of what is asked next, in HTTP; all of the handshake in NBD. 30
    /// seconds.
    pub asked_within: Duration,
    /// A client that takes no byte of an answer for so long is gone. 60 seconds. One of NBD that asks for nothing may stay. One that has
    /// closed its side of the connection is gone 2 seconds after it has taken what there was for it.
    pub taken_within: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let [asked_within, taken_within] = [30, 60].map(Duration::from_secs);
        Limits { connections: 256, asked_within, taken_within }
    }
}

/// Where connections come in.
pub(crate) trait Listener {
    /// A connection.
    type Stream;

    /// The next one.
    fn accept_one(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept_one(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn accept_one(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Takes connections of `listener` until `stop` is asked for, each served by a task; returns when the last of those has ended. While
/// `max` of them are served, others wait.
pub(crate) async fn serve_all<L: Listener, S>(
    listener: L,
    serve: impl Fn(L::Stream) -> S,
    max: usize,
    mut stop: Stop,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    loop {
        let next = async {
            while tasks.len() >= max {
                tasks.join_next().await;
            }
            listener.accept_one().await
        };
        let accepted = tokio::select! {
            () = stop.asked() => break,
            accepted = next => accepted,
        };
        while tasks.try_join_next().is_some() {}
        match accepted {
            Ok(connection) => {
                tasks.spawn(serve(connection));
            }
            // No descriptor is left, for instance: some client will go.
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
    // Whoever comes now is refused, not kept waiting.
    drop(listener);
    while tasks.join_next().await.is_some() {}
}

const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
