//! HTTP/1.1 on loopback: connections, their limits, and who may ask.
//! Which bytes are asked for, the answer finds out.

mod answer;
mod body;
mod conditions;
mod range;
mod token;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use self::token::Token;
use crate::client_stream::ClientStream;
use crate::connections::{Stop, serve_all};
use crate::reads::{ClientShare, HTTP_READS_MAX, ReadSlots, Reads};
use crate::{Export, Limits};

/// What all connections share.
pub(crate) struct HttpServer {
    export: Arc<Export>,
    reads: Arc<Reads>,
    limits: Limits,
    slots: ReadSlots,
    token: Token,
    address: SocketAddr,
}

/// Where bytes are served. Whoever knows it can read them: it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl {
    address: SocketAddr,
    path: String,
}

impl HttpServer {
    pub(crate) fn new(
        export: Arc<Export>,
        reads: Arc<Reads>,
        limits: Limits,
        address: SocketAddr,
    ) -> io::Result<Arc<HttpServer>> {
        let (token, slots) = (Token::random()?, ReadSlots::new(HTTP_READS_MAX));
        Ok(Arc::new(HttpServer { export, reads, limits, slots, token, address }))
    }

    pub(crate) fn url(&self) -> HttpUrl {
        HttpUrl { address: self.address, path: format!("/{}/{}", self.token.digits(), self.export.name()) }
    }

    pub(crate) async fn serve(self: Arc<HttpServer>, listener: TcpListener, stop: Stop) {
        let serve = |stream| self.clone().serve_one(stream, stop.clone());
        serve_all(listener, serve, self.limits.connections, stop.clone()).await;
    }

    /// One connection, to its end. What is wrong with it is its client's.
    async fn serve_one(self: Arc<HttpServer>, stream: TcpStream, mut stop: Stop) {
        let _ = stream.set_nodelay(true);
        let (share, stream) = (ClientShare::new(self.slots.clone()), ClientStream::new(stream));
        let service = service_fn(|request| {
            let (server, share) = (self.clone(), share.clone());
            async move { Ok::<_, Infallible>(server.answer(&request, &share).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.asked_within)
            .max_buf_size(HEAD_LEN_MAX)
            // Who has closed one side may still read an answer: the stream knows for how long.
            .half_close(true)
            .serve_connection(TokioIo::new(stream.clone()), service);
        let mut connection = pin!(connection);
        let mut is_stopping = false;
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = stream.gone(self.limits.taken_within) => return,
                () = stop.asked(), if !is_stopping => {
                    connection.as_mut().graceful_shutdown();
                    is_stopping = true;
                }
            }
        }
    }

    /// Whether a request was meant for this server, and not for a name that somebody made lead here. A browser says which.
    fn is_own_host(&self, host: &str) -> bool {
        host == self.address.to_string() || self.address.port() == 80 && host == self.address.ip().to_string()
    }

    /// Whether `path` is the one that is served.
    fn is_own_path(&self, path: &str) -> bool {
        let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
        parts.is_some_and(|(token, name)| self.token.is(token) && name == self.export.name())
    }
}

impl HttpUrl {
    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is asked for there.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

/// Without what is secret in it.
impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpUrl").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Of a head; and what is buffered of an answer.
const HEAD_LEN_MAX: usize = 16 << 10;
