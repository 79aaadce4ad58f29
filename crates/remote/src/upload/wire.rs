//! One signed request and its answer: what goes out, byte by byte, and what came back.
//! Knows how stores want requests signed; what a request asks for, and whether it is sent again, is others'.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::gcp::GcpCredentialProvider;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;

use super::persist::Cause;
use crate::Place;
use crate::retry::{Backoff, RetryPolicy};
use crate::telemetry::{self, CallerSpan, Direction};

/// The way to one store: its HTTP client, and who signs.
pub(crate) struct Wire {
    pub(crate) client: reqwest::Client,
    pub(crate) signer: Signer,
    /// How long a request may move nothing: no longer than nothing may get on at all.
    pub(crate) stall_max: Duration,
    pub(crate) policy: RetryPolicy,
    /// Where requests go, without secrets.
    pub(crate) place: Place,
    pub(crate) caller: CallerSpan,
}

/// How a store wants to know who asks. Without credentials requests go unsigned.
pub(crate) enum Signer {
    /// SigV4.
    S3 {
        credentials: Option<AwsCredentialProvider>,
        region: String,
        /// Whoever asks pays, and says so.
        requester_pays: bool,
        /// Unless the settings say otherwise.
        signs_payload: bool,
    },
    /// A bearer token.
    Gcs { credentials: Option<GcpCredentialProvider> },
    /// A shared key, a token, or a signature in the query.
    Azure { credentials: Option<AzureCredentialProvider>, account: String },
}

/// A request that has not been signed.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
    /// It may take long until the answer begins.
    pub(crate) is_slow: bool,
}

/// What a request carries. The same bytes each time it is sent.
#[derive(Clone, Debug)]
pub enum Body {
    /// Bytes in memory.
    Memory(Bytes),
    /// A range of a file, which nobody changes meanwhile.
    File {
        /// The file.
        file: Arc<File>,
        /// Where the range begins, in bytes.
        offset: u64,
        /// Its length in bytes.
        len: usize,
    },
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Body {
    pub(crate) fn empty() -> Body {
        Body::Memory(Bytes::new())
    }

    /// Its length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a length on the wire, not a collection's size")]
    pub fn len(&self) -> usize {
        match self {
            Body::Memory(bytes) => bytes.len(),
            Body::File { len, .. } => *len,
        }
    }
}

impl Ask {
    pub(crate) fn new(method: Method, url: &Url) -> Ask {
        Ask { method, url: url.clone(), headers: Vec::new(), body: Body::empty(), is_slow: false }
    }

    #[must_use]
    pub(crate) fn query(mut self, name: &str, value: &str) -> Ask {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Ask {
        self.headers.push((name, value.into()));
        self
    }

    /// Has it wait longer for its answer: the store puts together what it got.
    #[must_use]
    pub(crate) fn slow(mut self) -> Ask {
        self.is_slow = true;
        self
    }

    #[must_use]
    pub(crate) fn body(mut self, body: Body) -> Ask {
        self.body = body;
        self
    }
}

impl Answer {
    /// A header that is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

impl Wire {
    /// Sends `ask` once, freshly signed, and reads the answer. Whatever its status: that it came is all that `Ok` says.
    pub(crate) async fn send(&self, ask: &Ask) -> Result<Answer, Cause> {
        let signed = tokio::time::timeout(self.stall_max, self.signed(ask)).await;
        let request =
            signed.map_err(|_| Cause::Credentials(format!("none came within {:?}", self.stall_max)))??;
        telemetry::request(Direction::Upload);
        let moved = Arc::new(Moved::new());
        let (parts, _) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| Cause::unsendable("its address is none"))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        if ask.body.len() > 0 {
            *request.body_mut() = Some(reqwest::Body::wrap_stream(chunks(ask.body.clone(), moved.clone())));
        }
        let stall_max = if ask.is_slow { slow(&self.policy).max(self.stall_max) } else { self.stall_max };
        let exchange = async {
            tokio::select! {
                answer = self.exchange(request, &moved) => answer,
                () = moved.stalled(stall_max, self.policy.no_progress) => Err(Cause::Stalled),
            }
        };
        self.caller.request(Direction::Upload, &self.place, exchange).await
    }

    async fn exchange(&self, request: reqwest::Request, moved: &Moved) -> Result<Answer, Cause> {
        let mut response = self.client.execute(request).await.map_err(Cause::lost)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        // An answer that trickles would never end either.
        let mut backoff = Backoff::new(&self.policy, Instant::now());
        while let Some(chunk) = response.chunk().await.map_err(Cause::lost)? {
            moved.note();
            if body.len() + chunk.len() > ANSWER_LEN_MAX {
                return Err(Cause::TooLong);
            }
            body.extend_from_slice(&chunk);
            if !backoff.arrived(Instant::now(), body.len() as u64) {
                return Err(Cause::Stalled);
            }
        }
        Ok(Answer { status, headers, body: body.into() })
    }

    async fn signed(&self, ask: &Ask) -> Result<HttpRequest, Cause> {
        let signs_body = ask.url.scheme() == "http";
        let body = match &ask.body {
            Body::Memory(bytes) if signs_body => HttpRequestBody::from(bytes.clone()),
            _ => HttpRequestBody::empty(),
        };
        let is_spooled = matches!(ask.body, Body::File { .. });
        let mut request = HttpRequest::new(body);
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() =
            ask.url.as_str().parse().map_err(|_| Cause::unsendable("its address is none"))?;
        for (name, value) in &ask.headers {
            let value = HeaderValue::from_str(value).map_err(|_| Cause::unsendable("a header is no text"))?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        if matches!(ask.method, Method::PUT | Method::POST) {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(ask.body.len()));
        }
        match &self.signer {
            Signer::S3 { credentials: Some(credentials), region, requester_pays, signs_payload } => {
                let credential = credentials.get_credential().await.map_err(Cause::credentials)?;
                // What is encrypted on its way is protected by that; a file is not read twice to be hashed.
                AwsAuthorizer::new(&credential, "s3", region)
                    .with_request_payer(*requester_pays)
                    .with_sign_payload(signs_body && *signs_payload && !is_spooled)
                    .try_authorize(&mut request, None)
                    .map_err(Cause::credentials)?;
            }
            Signer::Gcs { credentials: Some(credentials) } => {
                let credential = credentials.get_credential().await.map_err(Cause::credentials)?;
                let bearer = format!("Bearer {}", credential.bearer);
                let mut bearer =
                    HeaderValue::from_str(&bearer).map_err(|_| Cause::unsendable("the token is no text"))?;
                bearer.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, bearer);
            }
            Signer::Azure { credentials: Some(credentials), account } => {
                let credential = credentials.get_credential().await.map_err(Cause::credentials)?;
                AzureAuthorizer::new(&credential, account)
                    .try_authorize(&mut request)
                    .map_err(Cause::credentials)?;
            }
            Signer::S3 { credentials: None, .. }
            | Signer::Gcs { credentials: None }
            | Signer::Azure { credentials: None, .. } => {}
        }
        Ok(request)
    }
}

/// How long a store may put together what it got without a word.
pub(super) fn slow(policy: &RetryPolicy) -> Duration {
    SLOW.min(policy.no_progress)
}

/// When a request moved bytes last, in milliseconds after it began.
struct Moved {
    begun: Instant,
    last: AtomicU64,
    /// Milliseconds that what was handed over last may take to reach the store, where that is more than any request may move nothing.
    on_its_way: AtomicU64,
}

impl Moved {
    fn new() -> Moved {
        Moved { begun: Instant::now(), last: AtomicU64::new(0), on_its_way: AtomicU64::new(0) }
    }

    fn note(&self) {
        // Read by `stalled` alone, which looks again soon: nothing else depends on the order.
        self.last.store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// The last of `len` bytes are handed over: up to [`BUFFERED_LEN_MAX`] of them lie in buffers of this machine.
    fn handed_over(&self, len: usize) {
        let millis = len.min(BUFFERED_LEN_MAX) as u64 * 1000 / SLOWEST_PER_SEC;
        self.on_its_way.store(millis, Ordering::Relaxed);
    }

    /// Returns once nothing has moved for `stall_max`, or for as long as what lies in buffers may take, where that is longer; but for no
    /// more than half of `patience` then, so that there is time for another try.
    async fn stalled(&self, stall_max: Duration, patience: Duration) {
        loop {
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let idle = self.begun.elapsed().saturating_sub(last);
            let on_its_way = Duration::from_millis(self.on_its_way.load(Ordering::Relaxed));
            let limit = stall_max.max(on_its_way.min(patience / 2));
            match limit.checked_sub(idle).filter(|left| !left.is_zero()) {
                Some(left) => tokio::time::sleep(left).await,
                None => return,
            }
        }
    }
}

/// The body in pieces; each that is taken has moved.
fn chunks(body: Body, moved: Arc<Moved>) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let len = body.len();
    stream::iter((0..len).step_by(CHUNK_LEN)).then(move |at| {
        moved.note();
        let (body, piece) = (body.clone(), CHUNK_LEN.min(len - at));
        if at + piece == len {
            moved.handed_over(len);
        }
        async move {
            match body {
                Body::Memory(bytes) => Ok(bytes.slice(at..at + piece)),
                Body::File { file, offset, .. } => {
                    let read = move || {
                        let mut bytes = vec![0; piece];
                        file.read_exact_at(&mut bytes, offset + at as u64).map(|()| Bytes::from(bytes))
                    };
                    tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
                }
            }
        }
    })
}

/// Bytes that a connection is given at once.
const CHUNK_LEN: usize = 256 << 10;
/// Memory of a connection beside the part that it sends: what it was given and has not passed on, and its own buffers.
pub const CONNECTION_LEN: usize = 2 * CHUNK_LEN;
/// What the system takes of a connection's bytes ahead of their being sent (tcp(7), `tcp_wmem`: 4 MiB unless set otherwise).
const BUFFERED_LEN_MAX: usize = 8 << 20;
/// Whatever carries less is given up, with patience enough: a part that lies in buffers takes minutes.
const SLOWEST_PER_SEC: u64 = 32 << 10;
/// How long a store may put together what it got without a word, unless nobody waits as long for anything.
const SLOW: Duration = Duration::from_secs(300);
/// Longer than a list of a thousand uploads with keys of 1 KiB.
const ANSWER_LEN_MAX: usize = 16 << 20;
