//! Connections at once, and how they are told to end.
//! Knows no protocol.

use std::future::Future;
use std::io;
use std::time::Duration;

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
    /// A client that takes no byte of an answer for so long is gone. 60 seconds. One of NBD that asks for nothing may stay.
    pub taken_within: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        let [asked_within, taken_within] = [30, 60].map(Duration::from_secs);
        Limits { connections: 256, asked_within, taken_within }
    }
}

/// Takes connections of `accept` until `stop` is asked for, each served by a task; returns when the last of those has ended. While
/// `max` of them are served, others wait.
pub(crate) async fn serve_all<C, A, S>(
    accept: impl Fn() -> A,
    serve: impl Fn(C) -> S,
    max: usize,
    mut stop: Stop,
) where
    A: Future<Output = io::Result<C>>,
    S: Future<Output = ()> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    loop {
        let next = async {
            while tasks.len() >= max {
                tasks.join_next().await;
            }
            accept().await
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
    // The listener goes: whoever comes now is refused, not kept waiting.
    drop(accept);
    while tasks.join_next().await.is_some() {}
}

const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
