//! What an answer means for the request that it answers: done, refused for good, or to be sent again, and when.
//! Knows no request; which statuses are the caller's own affair, it is told.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::StatusCode;

use super::options::{UploadNotice, UploadOptions};
use super::wire::Answer;
use super::xml;
use crate::Place;
use crate::failure::{SetbackKind, chain_of, inner_cause, is_temporary, is_throttling, said_once};
use crate::moment::retry_after;
use crate::retry::{Backoff, Retry, RetryPolicy};
use crate::telemetry::{self, Direction};

/// Why a request brought nothing.
#[derive(Debug)]
pub(crate) enum Cause {
    /// No answer, or not all of it: whether the store has done what was asked is not known.
    Lost(String),
    /// Nothing moved for too long.
    Stalled,
    /// The store said so.
    Status { status: StatusCode, code: Option<String>, retry_after: Option<Duration> },
    /// It cannot be sent, or not understood, however often.
    Unsendable(String),
    /// The answer is longer than any that is due: what it says is not known.
    TooLong,
    /// There are no credentials to sign with.
    Credentials(String),
    /// The caller wants no more.
    Cancelled,
    /// The program has a fault, or a library: what became of the request is not known.
    Panicked,
}

impl Cause {
    pub(crate) fn unsendable(why: &str) -> Cause {
        Cause::Unsendable(why.to_owned())
    }

    /// The same kinds as of what is read.
    fn kind(&self) -> SetbackKind {
        match self {
            _ if self.is_throttling() => SetbackKind::Throttled,
            Cause::Credentials(_) => SetbackKind::NoCredentials,
            Cause::Unsendable(_) | Cause::TooLong => SetbackKind::BadAnswer,
            Cause::Lost(_) | Cause::Stalled | Cause::Status { .. } | Cause::Cancelled | Cause::Panicked => {
                SetbackKind::Outage
            }
        }
    }

    /// Without the address, whose query may be a signature.
    pub(crate) fn lost(error: reqwest::Error) -> Cause {
        Cause::Lost(said_once(&chain_of(&error.without_url())))
    }

    pub(crate) fn credentials(error: object_store::Error) -> Cause {
        Cause::Credentials(inner_cause(&error))
    }

    /// What an answer that is no success says.
    pub(crate) fn of(answer: &Answer) -> Cause {
        let code = xml::refusal(&answer.body)
            .or_else(|| answer.header("x-ms-error-code").map(str::to_owned))
            .filter(|code| {
                code.len() <= CODE_LEN_MAX && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
        Cause::Status { status: answer.status, code, retry_after: retry_after(&answer.headers) }
    }

    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Cause::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Cause::Status { code, .. } => code.as_deref(),
            _ => None,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Cause::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the store asks for fewer requests.
    pub(crate) fn is_throttling(&self) -> bool {
        self.status().is_some_and(|status| is_throttling(status.as_u16(), self.code()))
    }

    /// Whether the store does not let this user do it.
    pub(crate) fn is_forbidden(&self) -> bool {
        self.status() == Some(StatusCode::FORBIDDEN)
    }

    /// Whether the same request may bring something else.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Cause::Lost(_) | Cause::Stalled => true,
            // A server for credentials that is not reached may be a moment later.
            Cause::Credentials(_) => true,
            Cause::Status { status, code, .. } => is_temporary(status.as_u16(), code.as_deref()),
            Cause::Unsendable(_) | Cause::TooLong | Cause::Cancelled | Cause::Panicked => false,
        }
    }

    /// Whether the store may have done what was asked all the same.
    pub(crate) fn is_doubtful(&self) -> bool {
        match self {
            Cause::Lost(_) | Cause::Stalled | Cause::TooLong | Cause::Panicked => true,
            // It has not been looked at.
            Cause::Status { status, .. } if status.as_u16() == 429 => false,
            Cause::Status { .. } => self.may_pass(),
            Cause::Unsendable(_) | Cause::Credentials(_) | Cause::Cancelled => false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Lost(why) => write!(f, "the connection failed: {why}"),
            Cause::Stalled => f.write_str("next to nothing moved on the connection for too long"),
            Cause::TooLong => f.write_str("the answer is longer than any that is due"),
            Cause::Status { status, code: Some(code), .. } => {
                write!(f, "the store answered {status} ({code})")
            }
            Cause::Status { status, .. } => write!(f, "the store answered {status}"),
            Cause::Unsendable(why) => write!(f, "the request makes no sense here: {why}"),
            Cause::Credentials(why) => write!(f, "there are no credentials: {why}"),
            Cause::Cancelled => f.write_str("interrupted"),
            Cause::Panicked => f.write_str("a request panicked"),
        }
    }
}

/// How long one is patient, who may end that, and who is told of what is sent again.
#[derive(Clone)]
pub(crate) struct Patience {
    /// What is secret in it is in no message.
    pub(crate) place: Place,
    pub(crate) policy: RetryPolicy,
    pub(crate) abort_max: Duration,
    pub(crate) in_request: OnCancel,
    pub(crate) is_cancelled: Arc<dyn Fn() -> bool + Send + Sync>,
    pub(crate) on_retry: Arc<dyn Fn(&Retry) + Send + Sync>,
    pub(crate) on_notice: Arc<dyn Fn(&UploadNotice) + Send + Sync>,
}

/// What a cancellation does to a request that is on its way. No other follows it either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnCancel {
    CutOff,
    /// Whoever sent it ends it: a store may be at a part still whose connection has ended.
    LetEnd,
}

impl Patience {
    pub(crate) fn of(place: &Place, options: &UploadOptions) -> Patience {
        Patience {
            place: place.clone(),
            policy: options.retry.clone(),
            abort_max: options.abort_max,
            in_request: OnCancel::CutOff,
            is_cancelled: options.is_cancelled.clone(),
            on_retry: options.on_retry.clone(),
            on_notice: options.on_notice.clone(),
        }
    }

    /// Makes a call until it succeeds, is refused for good, is cancelled, or has brought nothing for too long.
    pub(crate) async fn persist<T, F>(&self, what: &str, mut call: impl FnMut() -> F) -> Result<T, Cause>
    where
        F: Future<Output = Result<T, Cause>>,
    {
        let mut backoff = Backoff::new(&self.policy, Instant::now());
        let mut unsigned = 0;
        loop {
            let called = match self.in_request {
                OnCancel::CutOff => tokio::select! {
                    called = call() => called,
                    () = self.cancelled() => Err(Cause::Cancelled),
                },
                OnCancel::LetEnd => call().await,
            };
            unsigned += u32::from(matches!(called, Err(Cause::Credentials(_))));
            match called {
                Err(cause) if unsigned == UNSIGNED_MAX => return Err(cause),
                Err(cause) if cause.may_pass() => self.wait_after(what, cause, &mut backoff).await?,
                called => return called,
            }
        }
    }

    /// Waits as long as is due after `cause`, which may pass; gives it back where no further attempt is to be made.
    pub(crate) async fn wait_after(
        &self,
        what: &str,
        cause: Cause,
        backoff: &mut Backoff,
    ) -> Result<(), Cause> {
        let Some(wait) = backoff.next_wait(Instant::now(), cause.retry_after()) else { return Err(cause) };
        telemetry::retry(Direction::Upload, cause.kind().name());
        let (what, cause) = (what.to_owned(), self.place.redact(&cause.to_string()));
        (self.on_retry)(&Retry { what, cause, attempt: backoff.attempt(), wait });
        self.pause(wait).await
    }

    /// Waits, unless cancelled.
    pub(crate) async fn pause(&self, pause: Duration) -> Result<(), Cause> {
        let until = Instant::now() + pause;
        loop {
            if (self.is_cancelled)() {
                return Err(Cause::Cancelled);
            }
            match until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                Some(left) => tokio::time::sleep(left.min(TICK)).await,
                None => return Ok(()),
            }
        }
    }

    /// Comes back once cancelled.
    pub(crate) async fn cancelled(&self) {
        while !(self.is_cancelled)() {
            tokio::time::sleep(TICK).await;
        }
    }
}

/// How often there may be nothing to sign a request with: a server for credentials may be out of reach for a moment.
const UNSIGNED_MAX: u32 = 3;
/// How long a wait goes on after a cancellation.
pub(crate) const TICK: Duration = Duration::from_millis(50);
/// Codes are words; what is longer is somebody's text.
const CODE_LEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn status(status: u16, code: Option<&str>) -> Cause {
        Cause::Status {
            status: StatusCode::from_u16(status).unwrap(),
            code: code.map(str::to_owned),
            retry_after: None,
        }
    }

    /// The example of RFC 9110 §5.6.7, seven seconds after it.
    #[test]
    fn a_store_may_ask_for_a_moment_too() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:30 GMT");
        for after in ["7", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            let headers = [date, ("retry-after", after)]
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
            let headers = headers.into_iter().collect();
            let answer = Answer { status: StatusCode::SERVICE_UNAVAILABLE, headers, body: Bytes::new() };
            assert_eq!(Cause::of(&answer).retry_after(), Some(Duration::from_secs(7)), "{after}");
        }
    }

    #[test]
    fn a_store_that_asks_for_less_is_told_from_one_that_is_out_of_order() {
        for (number, code) in [(503, Some("SlowDown")), (429, None), (503, None), (400, Some("SlowDown"))] {
            assert_eq!(status(number, code).kind(), SetbackKind::Throttled, "{number} {code:?}");
            assert!(status(number, code).is_throttling());
        }
        assert_eq!(status(500, Some("InternalError")).kind(), SetbackKind::Outage);
    }

    #[test]
    fn what_may_pass_is_sent_again_and_what_is_final_is_not() {
        for code in [408, 429, 500, 502, 503, 504] {
            assert!(status(code, None).may_pass(), "{code}");
        }
        for code in [301, 400, 401, 403, 404, 405, 409, 410, 411, 412, 413, 416, 501] {
            assert!(!status(code, None).may_pass(), "{code}");
        }
        assert!(status(400, Some("RequestTimeout")).may_pass());
        assert!(status(200, Some("InternalError")).may_pass());
        assert!(Cause::Stalled.may_pass() && !Cause::Cancelled.may_pass());
    }
}
