//! Why a request failed: whether to make it again, and what to say if not.
//! Goes by the recorded answer; the client library's own error serves where there was none.

use std::{error::Error, time::Duration};

use cofferdam_io::{FetchError, FetchFault};
use object_store::client::{HttpError, HttpErrorKind};

use crate::{
    Place, PlaceKind,
    connector::{Answer, Exchange},
};

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It would fail again.
    Final(FetchError),
    /// It may not fail again.
    Setback(Setback),
}

/// Why a request failed that is worth making again.
#[derive(Debug)]
pub(crate) struct Setback {
    pub(crate) kind: SetbackKind,
    /// In words that fit after the place and a colon, without anything secret.
    pub(crate) cause: String,
    /// How long the server asks to wait.
    pub(crate) after: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SetbackKind {
    /// The connection failed, or the server did.
    Outage,
    /// The server asks for fewer requests.
    Throttled,
    /// It was answered, but not with what was asked for: a fault of the server or of something before it, which seldom goes by itself.
    BadAnswer,
    /// It was not sent, since there was nothing to sign it with.
    NoCredentials,
}

impl SetbackKind {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [SetbackKind; 4] =
        [SetbackKind::Outage, SetbackKind::Throttled, SetbackKind::BadAnswer, SetbackKind::NoCredentials];

    /// As figures are told apart by it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SetbackKind::Outage => "outage",
            SetbackKind::Throttled => "throttled",
            SetbackKind::BadAnswer => "bad_answer",
            SetbackKind::NoCredentials => "no_credentials",
        }
    }
}

/// What the client knows of the object, and so how an answer is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// Nothing yet.
    Nothing,
    /// It has been there: its absence is a change.
    Pinned,
}

impl Failure {
    pub(crate) fn outage(cause: impl Into<String>) -> Self {
        Self::Setback(Setback { kind: SetbackKind::Outage, cause: cause.into(), after: None })
    }

    pub(crate) fn bad_answer(cause: impl Into<String>) -> Self {
        Self::Setback(Setback { kind: SetbackKind::BadAnswer, cause: cause.into(), after: None })
    }

    pub(crate) fn changed(place: &Place, how: &str) -> Self {
        let message =
            format!("{place} changed while it was read: {how}; nothing of both is mixed, read it again");
        Self::Final(FetchError::new(FetchFault::Changed, message))
    }

    /// Of a request to `place` that ended with `error` after `exchange`.
    pub(crate) fn of(place: &Place, error: &object_store::Error, exchange: &Exchange, known: Known) -> Self {
        match exchange {
            Exchange::Answered(answer) if answer.status < 300 => {
                Self::bad_answer(format!("its answer cannot be used: {}", cause_of(place, error)))
            }
            Exchange::Answered(answer) => Self::of_answer(place, answer, known),
            Exchange::Sent => Self::Setback(Setback {
                kind: if is_outage(error) { SetbackKind::Outage } else { SetbackKind::BadAnswer },
                cause: cause_of(place, error),
                after: None,
            }),
            Exchange::Unsent => Self::Setback(Setback {
                kind: SetbackKind::NoCredentials,
                cause: format!("no credentials: {}", cause_of(place, error)),
                after: None,
            }),
        }
    }

    fn of_answer(place: &Place, answer: &Answer, known: Known) -> Self {
        let status = status_of(answer);
        let refused = |fault, text: String| Self::Final(FetchError::new(fault, text));
        if is_temporary(answer.status, answer.code.as_deref()) {
            return Self::Setback(Setback {
                kind: if is_throttling(answer.status, answer.code.as_deref()) {
                    SetbackKind::Throttled
                } else {
                    SetbackKind::Outage
                },
                cause: format!("the server answered {status}"),
                after: answer.retry_after(),
            });
        }
        match (answer.status, known) {
            (404 | 410, Known::Pinned) => Self::changed(place, &format!("it is no longer there ({status})")),
            (412, Known::Pinned) => Self::changed(place, &format!("it is another one now ({status})")),
            (416, Known::Pinned) => Self::changed(place, &format!("it is shorter now ({status})")),
            (404 | 410, Known::Nothing) => refused(
                FetchFault::NotFound,
                format!(
                    "{place}: there is nothing by this name ({status}); check it, and which server and region is asked"
                ),
            ),
            (401 | 403, _) => refused(
                FetchFault::Denied,
                format!("{place}: access was denied ({status}); check the credentials and what they allow"),
            ),
            (300..=399, _) => {
                let advice = match place.kind() {
                    PlaceKind::Http => {
                        "and is not followed from https: to http:, more than 10 times, or, with a user or a query in the URL, to \
                         another server; give the address that it points to"
                    }
                    _ => "which is not followed; check the address, and the region of a bucket",
                };
                refused(
                    FetchFault::Refused,
                    format!("{place}: the server points elsewhere ({status}), {advice}"),
                )
            }
            _ => refused(FetchFault::Refused, format!("{place}: the server refused the request ({status})")),
        }
    }
}

/// The number of a status, with the store's word if there is one.
fn status_of(answer: &Answer) -> String {
    match &answer.code {
        Some(code) => format!("{} {code}", answer.status),
        None => answer.status.to_string(),
    }
}

/// RFC 9110 §15, RFC 6585 §4, and what stores say in spite of the status.
pub(crate) fn is_temporary(status: u16, code: Option<&str>) -> bool {
    let said = code.is_some_and(|code| TEMPORARY_CODES.contains(&code));
    let never = matches!(status, 501 | 505 | 511);
    said || matches!(status, 408 | 425 | 429) || (status >= 500 && !never)
}

/// Whether it asks for fewer requests, or later ones.
pub(crate) fn is_throttling(status: u16, code: Option<&str>) -> bool {
    matches!(status, 429 | 503) || code == Some("SlowDown")
}

const TEMPORARY_CODES: [&str; 5] =
    ["RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable", "ServerBusy"];

/// Whether it may go by itself that a request had no answer: not so a certificate that is not trusted, an address that may not be asked
/// without TLS, or what is no HTTP.
fn is_outage(error: &object_store::Error) -> bool {
    let chain = chain_of(error);
    let kind = chain.iter().find_map(|error| error.downcast_ref::<HttpError>()).map(HttpError::kind);
    let is_known = !matches!(kind, None | Some(HttpErrorKind::Decode | HttpErrorKind::Unknown));
    // The library does not know each error of the system: "no route to host" on a connection that was open, for instance.
    let of_system = chain.iter().any(|error| error.is::<std::io::Error>());
    let distrust = chain.iter().any(|error| error.to_string().contains("certificate"));
    (is_known || of_system) && !distrust
}

/// An error, and what caused it, from the outside in.
pub(crate) fn chain_of<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source()).collect()
}

/// What the errors of a chain say, without what an outer one has said already.
pub(crate) fn said_once(chain: &[&(dyn Error + 'static)]) -> String {
    let sentences = chain.iter().map(|error| error.to_string());
    sentences
        .reduce(|said, sentence| if said.contains(&sentence) { said } else { format!("{said}: {sentence}") })
        .unwrap_or_default()
}

/// The same, without what is secret in `place`.
fn cause_of(place: &Place, error: &object_store::Error) -> String {
    place.redact(&inner_cause(error))
}

/// The innermost sentences of an error. The outer ones have the URL, with its query.
pub(crate) fn inner_cause(error: &object_store::Error) -> String {
    let chain = chain_of(error);
    let inner =
        chain.iter().position(|error| error.is::<HttpError>()).map_or(chain.len() - 1, |http| http + 1);
    let said = said_once(&chain[inner.min(chain.len() - 1)..]);
    // Of an answer without a body.
    said.trim_end_matches([':', ' ']).to_owned()
}

/// The same, of a body that broke off.
pub(crate) fn broken_body(place: &Place, error: &object_store::Error) -> Failure {
    Failure::outage(format!("the connection broke: {}", cause_of(place, error)))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn failed(kind: HttpErrorKind, source: io::Error) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: Box::new(HttpError::new(kind, source)) }
    }

    #[test]
    fn an_error_of_the_system_may_go_by_itself_and_distrust_does_not() {
        let unreachable = || io::Error::from(io::ErrorKind::HostUnreachable);
        for kind in [HttpErrorKind::Unknown, HttpErrorKind::Connect, HttpErrorKind::Interrupted] {
            assert!(is_outage(&failed(kind, unreachable())), "{kind:?}");
            let distrusted = io::Error::other("invalid peer certificate: UnknownIssuer");
            assert!(!is_outage(&failed(kind, distrusted)), "{kind:?}");
        }
        let nonsense = HttpError::new(HttpErrorKind::Unknown, std::fmt::Error);
        let nonsense = object_store::Error::Generic { store: "test", source: Box::new(nonsense) };
        assert!(!is_outage(&nonsense));
    }

    #[test]
    fn a_cause_is_what_lies_under_the_request() {
        let place = Place::parse("https://host/file?signature=5ecret", []).expect("a URL");
        let error = failed(HttpErrorKind::Connect, io::Error::other("refused at /file?signature=5ecret"));
        assert_eq!(cause_of(&place, &error), "refused at /file?…");
    }
}
