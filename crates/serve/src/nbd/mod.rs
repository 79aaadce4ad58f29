//! NBD: fixed newstyle, read-only, on a Unix socket (proto.md of github.com/NetworkBlockDevice/nbd).
//! Here are connections and who may make them; the rest is said by the handshake and the requests.

mod handshake;
mod transmission;
mod wire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::process::geteuid;
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use self::handshake::{Handshake, negotiate};
use self::transmission::transmit;
use crate::client_stream::ClientStream;
use crate::connections::{Stop, serve_all};
use crate::reads::{ClientShare, NBD_CLIENT_READS_MAX, ReadSlots, Reads};
use crate::{Export, Limits, Notice};

pub use self::wire::REQUEST_LEN_MAX;

/// What all connections share.
pub(crate) struct NbdServer {
    export: Arc<Export>,
    reads: Arc<Reads>,
    limits: Limits,
    /// Of the processes that are connected, by their numbers.
    slots: Mutex<HashMap<i32, Weak<Semaphore>>>,
}

impl NbdServer {
    pub(crate) fn new(export: Arc<Export>, reads: Arc<Reads>, limits: Limits) -> Arc<NbdServer> {
        Arc::new(NbdServer { export, reads, limits, slots: Mutex::default() })
    }

    pub(crate) async fn serve(self: Arc<NbdServer>, listener: UnixListener, stop: Stop) {
        let serve = |stream| self.clone().serve_one(stream, stop.clone());
        serve_all(listener, serve, self.limits.connections, stop.clone()).await;
    }

    /// One connection, to its end. What is wrong with it is its client's.
    async fn serve_one(self: Arc<NbdServer>, mut stream: UnixStream, mut stop: Stop) {
        let Some(client) = stream.peer_cred().ok().filter(|client| self.is_allowed(client)) else { return };
        let negotiated = tokio::select! {
            () = stop.asked() => return,
            done = tokio::time::timeout(self.limits.asked_within, negotiate(&self.export, &mut stream)) => done,
        };
        if let Ok(Ok(Handshake::Transmission)) = negotiated {
            let share = ClientShare::new(self.slots_of(&client));
            let stream = ClientStream::new(stream);
            tokio::select! {
                _ = transmit(&self, stream.clone(), share, stop) => {}
                () = stream.gone(self.limits.taken_within) => {}
            }
        }
    }

    /// The slots of a process, which all its connections share. Where the system does not say which it is, the connection's own.
    fn slots_of(&self, client: &UCred) -> ReadSlots {
        let Some(process) = client.pid().filter(|process| *process != OTHER_NAMESPACE) else {
            return ReadSlots::new(NBD_CLIENT_READS_MAX);
        };
        // What it guards is whole at every step.
        let mut all = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, slots| slots.strong_count() > 0);
        if let Some(slots) = all.get(&process).and_then(Weak::upgrade) {
            return ReadSlots(slots);
        }
        let slots = ReadSlots::new(NBD_CLIENT_READS_MAX);
        all.insert(process, Arc::downgrade(&slots.0));
        slots
    }

    /// The mode keeps others out already, unless the socket was passed on, or somebody has changed the mode.
    fn is_allowed(&self, client: &UCred) -> bool {
        let is_allowed = [geteuid().as_raw(), ROOT].contains(&client.uid());
        if !is_allowed {
            (self.reads.notify)(Notice::StrangerRefused { user: client.uid() });
        }
        is_allowed
    }
}

const ROOT: u32 = 0;
/// What the system says of a process that has no number in this process's namespace, as between containers (pid_namespaces(7)).
const OTHER_NAMESPACE: i32 = 0;
