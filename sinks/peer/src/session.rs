//! One sender at the receiver, from its welcome until it leaves.
//! Knows no sink's inside: requests go to what is held, its answers back.
//!
//! The receiver's thread reads and writes; a thread of the session makes commits durable beside it, one checkpoint at a time, and
//! answers for itself. The lock on the sending half is held during one record.

use std::{
    io,
    net::Shutdown,
    sync::{Arc, mpsc},
    thread,
};

use contract::{Checkpoint, CommitError, StreamingSink, SyncTo};
use parking_lot::Mutex;

use super::{
    PeerError,
    address::Socket,
    admission::{Admission, Newcomer},
    channel::{Arrived, Incoming, Outgoing, Quiet},
    message::{Epoch, Reply, Request},
    receiver_sink::{Fault, ReceiverSink},
};

/// How a session ended.
pub(super) enum End {
    /// The sender left, was fenced, or broke the protocol. What it committed is kept.
    Left(Option<PeerError>),
    /// It gave its stream up.
    Discarded,
    /// It has heard that its stream is published.
    Heard,
    /// The receiver's sink failed.
    Sink(CommitError),
}

/// Serves `newcomer` until it leaves.
pub(super) fn serve<S: StreamingSink>(
    newcomer: Newcomer,
    held: &mut ReceiverSink<S>,
    admission: &Admission,
) -> End {
    let Newcomer { epoch, mut incoming, outgoing, .. } = newcomer;
    let outgoing = Arc::new(Mutex::new(outgoing));
    let welcome = Reply::Welcome { epoch, durability: held.durability(), state: held.state() };
    let sent = outgoing.lock().reply(&welcome);
    let mut session = Session { epoch, admission, held, outgoing, syncer: None };
    let ended = match sent {
        Ok(()) => session.run(&mut incoming),
        Err(error) => Ended::Left(Some(error)),
    };
    session.end(ended)
}

struct Session<'a, S> {
    epoch: Epoch,
    admission: &'a Admission,
    held: &'a mut ReceiverSink<S>,
    outgoing: Arc<Mutex<Outgoing>>,
    syncer: Option<Syncer>,
}

enum Ended {
    Left(Option<PeerError>),
    Discarded,
    Heard,
    Fault(Fault),
}

/// What to do after a request.
enum Next {
    Answer(Reply),
    Nothing,
    End(Ended),
}

impl<S: StreamingSink> Session<'_, S> {
    fn run(&mut self, incoming: &mut Incoming) -> Ended {
        loop {
            let request = match incoming.request(Quiet::Allowed) {
                Ok(Arrived::Message(request)) => request,
                Ok(Arrived::End) => return self.check_fence().err().unwrap_or(Ended::Left(None)),
                Err(error) => return Ended::Left(Some(error)),
            };
            let next = self.check_fence().and_then(|()| self.obey(&request).map_err(Ended::Fault));
            match next {
                Ok(Next::Answer(reply)) => {
                    let sent = self.outgoing.lock().reply(&reply);
                    // Whether the sender hears of it or not, the sink is of no more use.
                    if reply == Reply::Discarded {
                        return Ended::Discarded;
                    }
                    if let Err(error) = sent {
                        return Ended::Left(Some(error));
                    }
                }
                Ok(Next::Nothing) => {}
                Ok(Next::End(ended)) | Err(ended) => return ended,
            }
        }
    }

    /// Every request is refused once another sender has come, whatever it asks for.
    fn check_fence(&self) -> Result<(), Ended> {
        self.admission.check(self.epoch).map_err(|fenced| Ended::Fault(Fault::Refused(fenced)))
    }

    fn obey(&mut self, request: &Request<'_>) -> Result<Next, Fault> {
        match request {
            Request::Hello { .. } => Err(Fault::Refused(PeerError::Protocol("a second greeting"))),
            Request::Resume { segment, at } => {
                self.held.resume(*segment, *at)?;
                Ok(Next::Answer(Reply::Resumed))
            }
            Request::Begin { segment, at } => self.held.begin(*segment, *at).map(|()| Next::Nothing),
            Request::Data { at, bytes } => self.held.write(*at, bytes).map(|()| Next::Nothing),
            Request::Commit { epoch, segment, hash, checkpoint } => {
                self.check_epoch(*epoch)?;
                self.held.commit(*segment, hash, checkpoint)?;
                Ok(Next::Answer(Reply::Committed { epoch: *epoch, segment: *segment }))
            }
            Request::RollBack => {
                self.held.roll_back()?;
                Ok(Next::Answer(Reply::RolledBack))
            }
            Request::SyncTo { checkpoint } => self.make_durable(checkpoint.clone()),
            Request::Finish { epoch, len } => {
                self.check_epoch(*epoch)?;
                self.join_syncer()?;
                self.held.publish(*len)?;
                self.admission.set_published();
                Ok(Next::Answer(Reply::Finished { epoch: *epoch, len: *len }))
            }
            Request::Discard => {
                self.join_syncer()?;
                self.held.sink.discard()?;
                Ok(Next::Answer(Reply::Discarded))
            }
            Request::Bye if self.held.is_published() => Ok(Next::End(Ended::Heard)),
            Request::Bye => Ok(Next::End(Ended::Left(None))),
        }
    }

    fn check_epoch(&self, epoch: Epoch) -> Result<(), Fault> {
        if epoch == self.epoch {
            return Ok(());
        }
        Err(Fault::Refused(PeerError::Fenced { epoch: self.epoch.0 }))
    }

    fn make_durable(&mut self, checkpoint: Checkpoint) -> Result<Next, Fault> {
        let Some(durability) = self.held.sink.durability() else {
            return Err(Fault::Refused(PeerError::Protocol("a sync where commits are durable")));
        };
        let syncer = match &mut self.syncer {
            Some(syncer) => syncer,
            none => none.insert(Syncer::start(durability, self.outgoing.clone())?),
        };
        match syncer.checkpoints.try_send(checkpoint) {
            Ok(()) => Ok(Next::Nothing),
            // Its end is seen when it is joined.
            Err(mpsc::TrySendError::Disconnected(_)) => self.join_syncer().map(|()| Next::Nothing),
            Err(mpsc::TrySendError::Full(_)) => {
                Err(Fault::Refused(PeerError::Protocol("a sync before the last one was answered")))
            }
        }
    }

    fn join_syncer(&mut self) -> Result<(), Fault> {
        match self.syncer.take() {
            Some(syncer) => Ok(syncer.join()?),
            None => Ok(()),
        }
    }

    /// Tells the sender why, if there is a reason, and brings what is held into order.
    fn end(mut self, ended: Ended) -> End {
        // A sync that failed is why the rest failed.
        let ended = match self.join_syncer() {
            Ok(()) => ended,
            Err(fault) => Ended::Fault(fault),
        };
        if let Ended::Fault(fault) = &ended {
            let mut outgoing = self.outgoing.lock();
            // A sender that is gone hears it when it asks again, or not at all.
            let _ = outgoing.reply(&Reply::Refused(refusal(fault)));
            outgoing.finish();
        }
        match ended {
            Ended::Fault(Fault::Sink(error)) => End::Sink(error),
            Ended::Discarded => End::Discarded,
            Ended::Heard => End::Heard,
            Ended::Fault(Fault::Refused(error)) => self.settle(Some(error)),
            Ended::Left(why) => self.settle(why),
        }
    }

    fn settle(self, why: Option<PeerError>) -> End {
        match self.held.settle() {
            Ok(()) => End::Left(why),
            Err(Fault::Refused(error)) => End::Left(Some(error)),
            Err(Fault::Sink(error)) => End::Sink(error),
        }
    }
}

fn refusal(fault: &Fault) -> PeerError {
    match fault {
        Fault::Refused(error) => error.clone(),
        Fault::Sink(CommitError::NotCommitted(error)) => PeerError::NotDone(error.to_string()),
        Fault::Sink(CommitError::Unknown(error)) => PeerError::OutcomeUnknown(error.to_string()),
    }
}

/// The thread that makes commits durable.
struct Syncer {
    checkpoints: mpsc::SyncSender<Checkpoint>,
    thread: thread::JoinHandle<io::Result<()>>,
}

impl Syncer {
    fn start(durability: Arc<dyn SyncTo>, outgoing: Arc<Mutex<Outgoing>>) -> io::Result<Syncer> {
        // A sender waits for each answer, so that one place is enough.
        let (checkpoints, due) = mpsc::sync_channel(1);
        let socket = outgoing.lock().socket()?;
        let work = move || sync_all(&*durability, &due, &outgoing, &socket);
        let thread = thread::Builder::new().name("peer-sync".to_owned()).spawn(work)?;
        Ok(Syncer { checkpoints, thread })
    }

    fn join(self) -> io::Result<()> {
        drop(self.checkpoints);
        let panicked = |_| Err(io::Error::other("a sync panicked"));
        self.thread.join().unwrap_or_else(panicked)
    }
}

/// Makes each checkpoint durable and says so. The first failure ends it, and with it the session.
fn sync_all(
    durability: &dyn SyncTo,
    due: &mpsc::Receiver<Checkpoint>,
    outgoing: &Mutex<Outgoing>,
    socket: &Socket,
) -> io::Result<()> {
    for checkpoint in due {
        if let Err(error) = durability.make_durable(&checkpoint) {
            socket.shut(Shutdown::Read);
            return Err(error);
        }
        // A sender that is gone is noticed by who reads from it.
        let _ = outgoing.lock().reply(&Reply::Durable { checkpoint });
    }
    Ok(())
}
