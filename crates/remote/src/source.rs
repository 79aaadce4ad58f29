//! The bytes of a place as a source: opened with one request, then read at offsets, or in order where the server has no better.
//! Knows not how requests are made again, nor what is fetched ahead.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use cofferdam_io::{FetchError, ReadAt};
use futures_util::StreamExt;
use object_store::{GetOptions, GetRange, GetResult};
use sources::{Arrival, Source};
use tokio::time::timeout;

use crate::{
    Place, RemoteOptions, Tally,
    connector::Exchange,
    failure::{Failure, Known, broken_body},
    far::FarBytes,
    identity::{Identity, Pin},
    inflow::{Inflow, Piece},
    request::{Beginning, RangeBody, Requester, check_len, refuse_contradiction, refuse_encoded},
    runtime::{self, CANCEL_POLL, PATIENCE_MAX},
    store::Store,
    tries::{Context, Tries},
};

/// The bytes of an object in a store, or of a file on an HTTP server.
///
/// Which object it is is asked once, when it is opened; every later request has that as its condition, and every answer is compared
/// with it. If it is replaced or removed meanwhile, reading fails with [`FetchFault::Changed`](cofferdam_io::FetchFault::Changed), and nothing of the new one is
/// read.
///
/// It can be read at offsets if the server gives ranges, and says of its files what tells one from another: a strong ETag, a version,
/// or a time of modification at least a minute ago. Otherwise it is read once, in order, with a single request, which begins again
/// only if there is a strong ETag; [`in_order_since`](Self::in_order_since) says why.
pub struct RemoteSource {
    requester: Arc<Requester>,
    identity: Arc<Identity>,
    access: Access,
    next: u64,
    inflow: Option<Inflow>,
    /// What the reader has not taken yet of what has come.
    left: Bytes,
}

enum Access {
    Ranged(Arc<FarBytes>),
    InOrder { since: &'static str },
}

impl RemoteSource {
    /// Opens `place` with one request, of its first 64 KiB; with one or two more where it gives no ranges. Whoever calls waits, also
    /// through the retries.
    ///
    /// # Errors
    /// [`FetchError`] inside; [`io::ErrorKind::InvalidInput`] where the place's options make no client, and
    /// [`io::ErrorKind::Unsupported`] in a forked process.
    pub fn open(place: Place, options: RemoteOptions) -> io::Result<Self> {
        let store = Store::open(&place)?.any();
        let requester = Arc::new(Requester { context: Context::new(place, options), store });
        let cancelled = requester.context.options.cancelled.clone();
        let opening = requester.clone();
        let opened = runtime::run_unless(async move { open(&opening).await }, &*cancelled)?
            .ok_or_else(|| requester.context.cancelled())??;
        let identity = Arc::new(opened.identity);
        let access = match opened.first {
            First::Head(head) => Access::Ranged(Arc::new(FarBytes::new(&requester, &identity, head)?)),
            First::InOrder { since } => Access::InOrder { since },
        };
        Ok(Self { requester, identity, access, next: 0, inflow: None, left: Bytes::new() })
    }

    /// What the requests have cost so far.
    pub fn tally(&self) -> Tally {
        self.requester.context.counters.tally()
    }

    /// Where the bytes are.
    pub fn place(&self) -> &Place {
        &self.requester.context.place
    }

    /// Why they can only be read in order, if so: words that come after the place.
    pub fn in_order_since(&self) -> Option<&'static str> {
        match self.access {
            Access::Ranged(_) => None,
            Access::InOrder { since } => Some(since),
        }
    }

    /// Waits at most `patience` for the next bytes, and says whether there are some.
    fn refill(&mut self, patience: Duration) -> io::Result<bool> {
        if self.inflow.is_none() {
            self.inflow = Some(self.start()?);
        }
        let context = &self.requester.context;
        let inflow = self.inflow.as_ref().expect("it was started");
        let until = Instant::now() + patience.min(PATIENCE_MAX);
        loop {
            if (context.options.cancelled)() {
                return Err(context.cancelled().into());
            }
            let left = until.saturating_duration_since(Instant::now());
            match inflow.next(left.min(CANCEL_POLL))? {
                Piece::Bytes(bytes) => self.left = bytes,
                Piece::NothingYet if left <= CANCEL_POLL => return Ok(false),
                Piece::NothingYet => continue,
                Piece::End => return Err(io::Error::other("a request ended without its bytes")),
            }
            return Ok(true);
        }
    }

    fn start(&self) -> io::Result<Inflow> {
        let begin = match self.access {
            Access::Ranged(_) => Beginning::Anywhere,
            Access::InOrder { .. } => Beginning::Start,
        };
        let wanted = self.next..self.identity.len();
        let body = RangeBody::new(self.requester.clone(), self.identity.clone(), wanted, begin);
        Ok(Inflow::start(&runtime::handle()?, body))
    }
}

impl Source for RemoteSource {
    fn len(&self) -> Option<u64> {
        Some(self.identity.len())
    }

    fn positioned(&self) -> Option<Arc<dyn ReadAt>> {
        match &self.access {
            Access::Ranged(far) => Some(far.clone()),
            Access::InOrder { .. } => None,
        }
    }

    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<Arrival> {
        if self.next == self.identity.len() {
            return Ok(Arrival::End);
        }
        if buffer.is_empty() {
            return Ok(Arrival::Bytes(0));
        }
        if self.left.is_empty() && !self.refill(patience)? {
            return Ok(Arrival::NothingYet);
        }
        let taken = self.left.split_to(self.left.len().min(buffer.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        self.next += taken.len() as u64;
        Ok(Arrival::Bytes(taken.len()))
    }
}

impl fmt::Debug for RemoteSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RemoteSource")
            .field("place", self.place())
            .field("len", &self.identity.len())
            .field("in_order_since", &self.in_order_since())
            .finish_non_exhaustive()
    }
}

struct Opened {
    identity: Identity,
    first: First,
}

enum First {
    /// It can be read at offsets, and begins so.
    Head(Bytes),
    InOrder {
        since: &'static str,
    },
}

/// How the first bytes come, which each try asks for from the beginning.
struct HeadProgress {
    tries: Tries,
    /// How far a try has come at most: what comes again is no progress.
    reached: usize,
}

impl HeadProgress {
    /// Bytes up to `end` have come, the last `len` of them now.
    ///
    /// # Errors
    /// Too few have for too long.
    fn arrived(&mut self, context: &Context, len: usize, end: usize) -> Result<(), FetchError> {
        context.counters.arrived(len);
        let further = end.saturating_sub(self.reached);
        self.reached += further;
        match further {
            0 => self.tries.skipped(context, len, String::new),
            further => self.tries.arrived(context, further, String::new),
        }
    }
}

async fn open(requester: &Requester) -> Result<Opened, FetchError> {
    let mut progress = HeadProgress { tries: Tries::new(&requester.context), reached: 0 };
    loop {
        match try_open(requester, &mut progress).await {
            Ok(opened) => return Ok(opened),
            Err(failure) => progress.tries.again(&requester.context, failure, "").await?,
        }
    }
}

async fn try_open(requester: &Requester, progress: &mut HeadProgress) -> Result<Opened, Failure> {
    let head = GetOptions { range: Some(GetRange::Bounded(0..HEAD_LEN)), ..GetOptions::default() };
    let (found, answer) = match requester.get(head).await {
        Ok(found) => found,
        Err((_, Exchange::Answered(answer))) if answer.status == 200 => {
            return in_order(requester, "the server gives no ranges of it").await;
        }
        // RFC 9110 §15.5.17: not one byte of the first ones is there.
        Err((_, Exchange::Answered(answer))) if answer.status == 416 => {
            return in_order(requester, "the server says that it is empty").await;
        }
        Err((error, exchange)) => return Err(requester.failure(error.as_ref(), &exchange, Known::Nothing)),
    };
    refuse_contradiction(&answer)?;
    refuse_encoded(&requester.context, &answer)?;
    let identity = Identity::of(found.meta.clone());
    if identity.pin() == Pin::Nothing {
        return in_order(
            requester,
            "the server does not say by what to tell it from another (no strong ETag)",
        )
        .await;
    }
    check_len(&answer, HEAD_LEN.min(identity.len()))?;
    let head = whole(requester, found, progress).await?;
    if head.len() as u64 != HEAD_LEN.min(identity.len()) {
        return Err(Failure::outage("the answer ended too early"));
    }
    Ok(Opened { identity, first: First::Head(head) })
}

/// What it is, asked without a range. The answer's body is not read: whoever reads asks again, and compares.
async fn in_order(requester: &Requester, since: &'static str) -> Result<Opened, Failure> {
    let (found, answer) = requester
        .get(GetOptions::default())
        .await
        .map_err(|(error, exchange)| requester.failure(error.as_ref(), &exchange, Known::Nothing))?;
    refuse_contradiction(&answer)?;
    refuse_encoded(&requester.context, &answer)?;
    Ok(Opened { identity: Identity::of(found.meta), first: First::InOrder { since } })
}

async fn whole(
    requester: &Requester,
    found: GetResult,
    progress: &mut HeadProgress,
) -> Result<Bytes, Failure> {
    let limit = requester.context.options.retries.read_timeout;
    let mut stream = found.into_stream();
    let mut head = BytesMut::new();
    loop {
        match timeout(limit, stream.next()).await {
            Ok(Some(Ok(bytes))) if head.len() + bytes.len() <= HEAD_LEN as usize => {
                head.extend_from_slice(&bytes);
                progress.arrived(&requester.context, bytes.len(), head.len()).map_err(Failure::Final)?;
            }
            Ok(Some(Ok(_))) => return Err(Failure::bad_answer("the answer is longer than it said")),
            Ok(Some(Err(error))) => return Err(broken_body(&requester.context.place, &error)),
            Ok(None) => return Ok(head.freeze()),
            Err(_) => return Err(Failure::outage(format!("nothing arrived for {} s", limit.as_secs_f32()))),
        }
    }
}

/// Of the first request, in bytes: preamble, key area and metadata of nearly every stream.
const HEAD_LEN: u64 = 64 * 1024;
