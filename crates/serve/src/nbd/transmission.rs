//! The requests of a client: several of one connection at once, each answered when its bytes are there (proto.md, "Transmission").
//! A read that fails is an error of the device at the client; what is no request ends the connection.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Buf;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinError, JoinSet};

use super::NbdServer;
use super::wire::{
    CMD_CACHE, CMD_DISC, CMD_READ, CMD_TRIM, CMD_WRITE, CMD_WRITE_ZEROES, EINVAL, EIO, EPERM,
    REQUEST_LEN_MAX, Request, simple_reply,
};
use crate::client_stream::ClientStream;
use crate::connections::Stop;
use crate::reads::{ClientShare, MemoryLease};

/// Answers requests until the client asks for no more, or `stop` is asked for: what was asked before is answered.
///
/// # Errors
/// What came is no request, or too long; the connection's own. What was not answered by then is not.
pub(super) async fn transmit(
    server: &Arc<NbdServer>,
    stream: ClientStream<UnixStream>,
    share: ClientShare,
    mut stop: Stop,
) -> io::Result<()> {
    let mut reader = stream.clone();
    let replies = Arc::new(Replies {
        writer: Mutex::new(stream),
        cached: Semaphore::new(REPLIES_LEN_MAX as usize),
        waiting: Semaphore::new(REPLIES_LEN_MAX as usize),
        share,
    });
    let mut partial = PartialRequest::default();
    let mut tasks = JoinSet::new();
    loop {
        while tasks.len() >= REQUESTS_MAX {
            answered(tasks.join_next().await)?;
        }
        let request = tokio::select! {
            biased;
            () = stop.asked() => break,
            Some(done) = tasks.join_next(), if !tasks.is_empty() => {
                answered(Some(done))?;
                continue;
            }
            request = partial.read(&mut reader) => request?,
        };
        match request {
            None | Some(Request { command: CMD_DISC, .. }) => break,
            Some(request) => {
                if request.command == CMD_WRITE {
                    discard(&mut reader, request.len).await?;
                }
                tasks.spawn(answer(server.clone(), request, replies.clone()));
            }
        }
    }
    while let Some(done) = tasks.join_next().await {
        answered(Some(done))?;
    }
    Ok(())
}

/// A request of which a part may have come.
#[derive(Default)]
struct PartialRequest {
    bytes: [u8; Request::LEN],
    filled: usize,
}

impl PartialRequest {
    /// The next request, or `None` at the connection's end. May be dropped and called again: what has come stays.
    async fn read(&mut self, reader: &mut ClientStream<UnixStream>) -> io::Result<Option<Request>> {
        while self.filled < Request::LEN {
            match reader.read(&mut self.bytes[self.filled..]).await? {
                0 if self.filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.filled += count,
            }
        }
        self.filled = 0;
        Request::parse(&self.bytes).map(Some).ok_or_else(no_request)
    }
}

/// Where the replies of a connection go.
struct Replies {
    writer: Mutex<ClientStream<UnixStream>>,
    /// Bytes of the shared memory that one connection has at most: for what the source keeps, and for what waits for the source.
    cached: Semaphore,
    waiting: Semaphore,
    /// Where there is none to share: a client that takes nothing keeps nobody else from reading.
    share: ClientShare,
}

impl Replies {
    /// Sends a reply as a whole. One that is cut off leaves the connection of no use: it ends with this error.
    async fn send(&self, mut reply: impl Buf) -> io::Result<()> {
        self.writer.lock().await.write_all_buf(&mut reply).await
    }
}

/// Answers one request: at once if it can be, or else when it is its turn.
async fn answer(server: Arc<NbdServer>, request: Request, replies: Arc<Replies>) -> io::Result<()> {
    if let Err(error) = check(&request, server.export.len()) {
        return replies.send(&simple_reply(error, request.cookie)[..]).await;
    }
    if request.command == CMD_READ && answer_from_cache(&server, &request, &replies).await? {
        return Ok(());
    }
    let len = if request.command == CMD_CACHE { CACHE_LEN.min(request.len) } else { request.len };
    let _memory = replies.waiting.acquire_many(len).await.map_err(io::Error::other)?;
    let lease = server.reads.lease(len as usize, &replies.share).await?;
    if request.command == CMD_CACHE {
        let read = server.reads.read_over(request.range(), lease, &replies.share).await;
        let head = simple_reply(read.map_or(EIO, |_| 0), request.cookie);
        return replies.send(&head[..]).await;
    }
    if lease.len() < len as usize {
        return answer_in_pieces(&server, &request, &replies, lease).await;
    }
    match server.reads.read(request.offset, len as usize, lease, &replies.share).await {
        Ok(piece) => replies.send(Buf::chain(&simple_reply(0, request.cookie)[..], &piece[..])).await,
        Err(_) => replies.send(&simple_reply(EIO, request.cookie)[..]).await,
    }
}

/// Answers a request to read if all of it is kept, and there is memory for it. It waits for no slot, and for no memory that a read
/// holds which waits for one.
async fn answer_from_cache(server: &NbdServer, request: &Request, replies: &Replies) -> io::Result<bool> {
    let _memory = replies.cached.acquire_many(request.len).await.map_err(io::Error::other)?;
    let len = request.len as usize;
    let Some(lease) = server.reads.lease_for_cached(len, &replies.share).await? else { return Ok(false) };
    let Some(piece) = server.reads.read_cached(request.offset, len, lease).await? else { return Ok(false) };
    replies.send(Buf::chain(&simple_reply(0, request.cookie)[..], &piece[..])).await?;
    Ok(true)
}

/// Answers a request to read that is longer than its `lease`. A reply says first that all of it can be read, so it is all read
/// before, and again while it is sent. The lease is the connection's own: whoever waits for it has not taken the writer.
///
/// # Errors
/// What could be read cannot any more: no reply says so, and the connection ends.
async fn answer_in_pieces(
    server: &NbdServer,
    request: &Request,
    replies: &Replies,
    lease: MemoryLease,
) -> io::Result<()> {
    let Ok(mut lease) = server.reads.read_over(request.range(), lease, &replies.share).await else {
        return replies.send(&simple_reply(EIO, request.cookie)[..]).await;
    };
    let mut writer = replies.writer.lock().await;
    writer.write_all(&simple_reply(0, request.cookie)).await?;
    let Range { start: mut at, end } = request.range();
    while at < end {
        let len = (end - at).min(lease.len() as u64);
        let piece = server.reads.read(at, len as usize, lease, &replies.share).await?;
        writer.write_all(&piece).await?;
        lease = piece.into_lease();
        at += len;
    }
    Ok(())
}

/// Whether a request can be granted.
fn check(request: &Request, len: u64) -> Result<(), u32> {
    let end = request.offset.checked_add(u64::from(request.len));
    let is_within = end.is_some_and(|end| end <= len);
    match request.command {
        CMD_WRITE | CMD_TRIM | CMD_WRITE_ZEROES => Err(EPERM),
        // No flag was offered.
        CMD_READ if request.flags == 0 && is_within && request.len <= REQUEST_LEN_MAX => Ok(()),
        CMD_CACHE if request.flags == 0 && is_within => Ok(()),
        _ => Err(EINVAL),
    }
}

/// Reads over what a client would have written.
async fn discard(reader: &mut ClientStream<UnixStream>, len: u32) -> io::Result<()> {
    if len > REQUEST_LEN_MAX {
        return Err(no_request());
    }
    let discarded = tokio::io::copy(&mut reader.take(u64::from(len)), &mut tokio::io::sink()).await?;
    if discarded == u64::from(len) { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn answered(done: Option<Result<io::Result<()>, JoinError>>) -> io::Result<()> {
    done.map_or(Ok(()), |done| done.map_err(io::Error::other)?)
}

fn no_request() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the client sent no request")
}

/// Requests of a connection at once, most of which wait: more do so in its socket.
const REQUESTS_MAX: usize = 128;
/// Bytes that are kept, or are read, for a connection and that its client has not taken: those of one request at least.
const REPLIES_LEN_MAX: u32 = REQUEST_LEN_MAX;
/// Bytes of one read for a client that will read later.
const CACHE_LEN: u32 = 1 << 20;
