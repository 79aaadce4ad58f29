//! The answer to one request: who asks, for what, and under which conditions.
//! Knows no connection.

use std::ops::Range;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HOST, HeaderName,
    HeaderValue, RANGE,
};
use hyper::{Method, Request, Response, StatusCode};

use super::HttpServer;
use super::body::Body;
use super::conditions::{Verdict, allows_range, judge};
use super::range::Wanted;
use crate::reads::ClientShare;

impl HttpServer {
    /// Says nothing of what is here to whoever does not know the URL.
    pub(super) async fn answer(&self, request: &Request<Incoming>, share: &ClientShare) -> Response<Body> {
        if let Err(refusal) = self.check_host(request) {
            return refused(refusal);
        }
        if !self.is_own_path(request.uri().path()) {
            return refused(StatusCode::NOT_FOUND);
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED);
            set(&mut answer, ALLOW, "GET, HEAD");
            return answer;
        }
        let tag = format!("\"{}\"", self.export.tag);
        let mut answer = match judge(request.headers(), &tag) {
            Verdict::Failed => refused(StatusCode::PRECONDITION_FAILED),
            Verdict::NotModified => with_status(StatusCode::NOT_MODIFIED, Body::of("")),
            Verdict::Answer => self.bytes(request, &tag, share).await,
        };
        if !answer.status().is_server_error() {
            set(&mut answer, ETAG, &tag);
            set(&mut answer, ACCEPT_RANGES, "bytes");
        }
        answer
    }

    /// One field `Host`, and none of a name that somebody else has given this address; the same of a target that names a host itself.
    fn check_host(&self, request: &Request<Incoming>) -> Result<(), StatusCode> {
        let mut hosts = request.headers().get_all(HOST).into_iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(StatusCode::BAD_REQUEST) };
        let is_own = host.to_str().is_ok_and(|host| self.is_own_host(host))
            && request.uri().authority().is_none_or(|authority| self.is_own_host(authority.as_str()));
        if is_own { Ok(()) } else { Err(StatusCode::MISDIRECTED_REQUEST) }
    }

    /// The bytes that are wanted, or their head.
    async fn bytes(&self, request: &Request<Incoming>, tag: &str, share: &ClientShare) -> Response<Body> {
        let len = self.export.len();
        let is_head = request.method() == Method::HEAD;
        // A range is of GET alone (RFC 9110 §14.2), and one of several fields is none.
        let mut ranges = request.headers().get_all(RANGE).into_iter();
        let range = ranges.next().filter(|_| ranges.next().is_none());
        let range = range.filter(|_| !is_head && allows_range(request.headers(), tag));
        let range = range.and_then(|range| range.to_str().ok());
        let (status, range) = match range.map_or(Wanted::Whole, |range| Wanted::parse(range, len)) {
            Wanted::Whole => (StatusCode::OK, 0..len),
            Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            Wanted::Unsatisfiable => {
                let mut answer = refused(StatusCode::RANGE_NOT_SATISFIABLE);
                set(&mut answer, CONTENT_RANGE, &format!("bytes */{len}"));
                return answer;
            }
        };
        let body = match is_head || range.is_empty() {
            true => Ok(Body::of("")),
            false => Body::begin(&self.reads, range.clone(), share).await,
        };
        match body {
            Ok(body) => answered(status, body, range, len),
            // The first line says what is wrong; nothing of the bytes is in it.
            Err(error) => {
                let said = error.to_string();
                let said = said.lines().next().unwrap_or_default().replace(char::is_control, " ");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                text(status, format!("these bytes could not be read: {said}\n"))
            }
        }
    }
}

fn answered(status: StatusCode, body: Body, range: Range<u64>, len: u64) -> Response<Body> {
    let mut answer = with_status(status, body);
    set(&mut answer, CONTENT_TYPE, "application/octet-stream");
    set(&mut answer, CONTENT_LENGTH, &(range.end - range.start).to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut answer, CONTENT_RANGE, &format!("bytes {}-{}/{len}", range.start, range.end - 1));
    }
    answer
}

/// An answer that is its status.
fn refused(status: StatusCode) -> Response<Body> {
    text(status, format!("{}\n", status.canonical_reason().unwrap_or_default()))
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut answer = with_status(status, Body::of(text));
    set(&mut answer, CONTENT_TYPE, "text/plain; charset=utf-8");
    answer
}

/// Nobody in between keeps plaintext.
fn with_status(status: StatusCode, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    set(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

fn set(answer: &mut Response<Body>, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("letters, digits and marks of our own");
    answer.headers_mut().insert(name, value);
}
