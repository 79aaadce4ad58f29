//! NBD: fixed newstyle, read-only, on a Unix socket (proto.md of github.com/NetworkBlockDevice/nbd).
//! Here are connections and who may make them; the rest is said by the handshake and the requests.

mod handshake;
mod transmission;
mod wire;

use std::sync::Arc;

use rustix::process::geteuid;
use tokio::net::{UnixListener, UnixStream};

use self::handshake::{Handshake, negotiate};
use self::transmission::transmit;
use crate::connections::{Stop, serve_all};
use crate::reads::Reads;
use crate::{Export, Limits, Notice};

pub use self::wire::REQUEST_LEN_MAX;

/// What all connections share.
pub(crate) struct NbdServer {
    export: Arc<Export>,
    reads: Arc<Reads>,
    limits: Limits,
}

impl NbdServer {
    pub(crate) fn new(export: Arc<Export>, reads: Arc<Reads>, limits: Limits) -> Arc<NbdServer> {
        Arc::new(NbdServer { export, reads, limits })
    }

    pub(crate) async fn serve(self: Arc<NbdServer>, listener: UnixListener, stop: Stop) {
        let listener = Arc::new(listener);
        let accept = move || {
            let listener = listener.clone();
            async move { listener.accept().await.map(|(stream, _)| stream) }
        };
        let serve = |stream| self.clone().serve_one(stream, stop.clone());
        serve_all(accept, serve, self.limits.connections, stop.clone()).await;
    }

    /// One connection, to its end. What is wrong with it is its client's.
    async fn serve_one(self: Arc<NbdServer>, mut stream: UnixStream, mut stop: Stop) {
        if !self.is_allowed(&stream) {
            return;
        }
        let negotiated = tokio::select! {
            () = stop.asked() => return,
            done = tokio::time::timeout(self.limits.asked_within, negotiate(&self.export, &mut stream)) => done,
        };
        if let Ok(Ok(Handshake::Transmission)) = negotiated {
            let _ = transmit(&self, stream, stop).await;
        }
    }

    /// The mode keeps others out already, unless the socket was passed on, or somebody has changed the mode.
    fn is_allowed(&self, stream: &UnixStream) -> bool {
        let Ok(peer) = stream.peer_cred() else { return false };
        let is_allowed = [geteuid().as_raw(), ROOT].contains(&peer.uid());
        if !is_allowed {
            (self.reads.notify)(Notice::StrangerRefused { user: peer.uid() });
        }
        is_allowed
    }
}

const ROOT: u32 = 0;
