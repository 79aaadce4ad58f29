//! What is between a store's client and its connections: it writes down how each request of ours was answered.
//! Knows no store. Errors of the client library name neither status nor headers reliably; these do.

use std::{borrow::Cow, fmt, io, sync::Arc, time::Duration};

use futures_util::{StreamExt, future::BoxFuture};
use object_store::{
    ClientOptions, HeaderMap,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
        HttpService,
    },
};
use parking_lot::Mutex;

use crate::{
    client::{Redirects, client},
    credentials, moment,
};

/// Makes clients whose answers are recorded.
#[derive(Debug)]
pub(crate) struct RecordingConnector {
    redirects: Redirects,
    headers: HeaderMap,
}

impl RecordingConnector {
    /// Clients that ask the store alone, and whoever gives its credentials.
    pub(crate) fn of_store() -> Self {
        Self { redirects: Redirects::Never, headers: HeaderMap::new() }
    }

    /// Clients that send `headers` with each request.
    pub(crate) fn of_server(redirects: Redirects, headers: HeaderMap) -> Self {
        Self { redirects, headers }
    }
}

impl HttpConnector for RecordingConnector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = HttpClient::new(client(options, self.headers.clone(), self.redirects)?);
        Ok(service(move |request| recorded(client.clone(), request)))
    }
}

async fn recorded(client: HttpClient, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let Some(recorder) = request.extensions().get::<Recorder>().cloned() else {
        return bounded(client.execute(request).await?).await;
    };
    recorder.record(Exchange::Sent);
    let response = client.execute(request).await?;
    let (parts, body) = response.into_parts();
    let mut answer = Answer { status: parts.status.as_u16(), headers: parts.headers.clone(), code: None };
    if parts.status.is_success() {
        let is_usable = has_usable_range(&answer);
        recorder.record(Exchange::Answered(answer));
        if !is_usable {
            let error =
                io::Error::new(io::ErrorKind::InvalidData, "it ends beyond the last byte that there can be");
            return Err(HttpError::new(HttpErrorKind::Decode, error));
        }
        return Ok(HttpResponse::from_parts(parts, body));
    }
    let text = beginning_of(body).await;
    answer.code = code_of(&text);
    recorder.record(Exchange::Answered(answer));
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(text)))
}

/// A client whose requests `answer` answers.
pub(crate) fn service<F, A>(answer: F) -> HttpClient
where
    F: Fn(HttpRequest) -> A + Send + Sync + 'static,
    A: Future<Output = Result<HttpResponse, HttpError>> + Send + 'static,
{
    HttpClient::new(Service(answer))
}

struct Service<F>(F);

impl<F, A> HttpService for Service<F>
where
    F: Fn(HttpRequest) -> A + Send + Sync + 'static,
    A: Future<Output = Result<HttpResponse, HttpError>> + Send + 'static,
{
    // As the attribute `async_trait` would write it, which the trait is declared with.
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin((self.0)(request))
    }
}

impl<F> fmt::Debug for Service<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Service")
    }
}

/// Where the answer to one request is written down. It travels with the request, in its extensions.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Exchange>>);

impl Recorder {
    fn record(&self, exchange: Exchange) {
        *self.0.lock() = exchange;
    }

    /// What has become of the request, taken out.
    pub(crate) fn take(&self) -> Exchange {
        std::mem::take(&mut *self.0.lock())
    }
}

/// How far a request came.
#[derive(Default)]
pub(crate) enum Exchange {
    /// It was not sent: there were no credentials, for instance.
    #[default]
    Unsent,
    /// It was sent, and no answer has come.
    Sent,
    /// It was answered.
    Answered(Answer),
}

/// The head of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    /// The store's word for what went wrong, `NoSuchKey` for instance.
    pub(crate) code: Option<String>,
}

impl Answer {
    /// A header, if it is there once and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        moment::only(&self.headers, name)
    }

    /// How long the server asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        moment::retry_after(&self.headers)
    }

    /// All that a header says, however often it is there; what is no text as far as it can be shown.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()))
    }
}

/// Whether the range that it brings ends where the client library can say so: it adds one to the last byte's number.
fn has_usable_range(answer: &Answer) -> bool {
    let last = |range: &str| range.split_once('-')?.1.split('/').next()?.trim().parse().ok();
    answer.values("content-range").all(|range| last(&range) != Some(u64::MAX))
}

/// An answer to a request that is not ours, for credentials: all of it if it is as long as those are and can be used, and of an error its
/// code alone, since the library puts the text into its own error.
async fn bounded(response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let (parts, body) = response.into_parts();
    if !parts.status.is_success() {
        let code = code_of(&beginning_of(body).await).unwrap_or_default();
        return Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(code)));
    }
    let mut text = Vec::new();
    let mut chunks = body.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if text.len() + chunk.len() > CREDENTIALS_MAX {
            let error = io::Error::new(
                io::ErrorKind::InvalidData,
                "who gives the credentials answers with more than 64 KiB",
            );
            return Err(HttpError::new(HttpErrorKind::Decode, error));
        }
        text.extend_from_slice(&chunk);
    }
    if !credentials::are_usable(&text) {
        let error = io::Error::new(
            io::ErrorKind::InvalidData,
            "who gives the credentials answers with a character that cannot be sent, or a time that no clock has",
        );
        return Err(HttpError::new(HttpErrorKind::Decode, error));
    }
    Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(text)))
}

/// The beginning of an answer that tells of an error. Whoever made it may go on for ever.
async fn beginning_of(body: HttpResponseBody) -> Vec<u8> {
    let mut text = Vec::new();
    let mut chunks = body.bytes_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        let room = ERROR_TEXT_MAX - text.len();
        text.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if text.len() == ERROR_TEXT_MAX {
            break;
        }
    }
    text
}

/// What stands between `<Code>` and its end: S3, GCS and Azure all answer so.
fn code_of(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let (_, after) = text.split_once("<Code>")?;
    let (code, _) = after.split_once("</Code>")?;
    let is_word =
        !code.is_empty() && code.len() <= CODE_LEN_MAX && code.bytes().all(|b| b.is_ascii_alphanumeric());
    is_word.then(|| code.to_owned())
}

/// Of the text of an error, in bytes; it holds the code near its beginning.
const ERROR_TEXT_MAX: usize = 16 * 1024;
/// Of an answer with credentials, in bytes; tokens have a few KiB.
const CREDENTIALS_MAX: usize = 64 * 1024;
/// The longest code that is passed on.
const CODE_LEN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_code_is_a_word_between_its_tags_and_nothing_else_is_passed_on() {
        for (text, code) in [
            (
                "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>m</Message></Error>",
                Some("NoSuchKey"),
            ),
            ("<Error><Code></Code></Error>", None),
            ("<Error><Code>two words</Code></Error>", None),
            ("<Error><Code>unfinished", None),
            ("not found", None),
            ("", None),
        ] {
            assert_eq!(code_of(text.as_bytes()).as_deref(), code, "{text}");
        }
        assert_eq!(code_of(format!("<Code>{}</Code>", "a".repeat(65)).as_bytes()), None);
        assert_eq!(code_of(b"\xFF<Code>SlowDown</Code>\xFF").as_deref(), Some("SlowDown"));
    }

    fn answer(headers: &[(&'static str, &str)]) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        Answer { status: 503, headers: headers.collect(), code: None }
    }

    #[test]
    fn a_range_up_to_the_last_number_is_not_passed_on() {
        let is_usable = |range| has_usable_range(&answer(&[("content-range", range)]));
        for range in [
            "bytes 0-18446744073709551615/100",
            "bytes 0-18446744073709551615/*",
            "bytes 5-18446744073709551615",
        ] {
            assert!(!is_usable(range), "{range}");
        }
        for range in [
            "bytes 0-18446744073709551614/100",
            "bytes 0-99/100",
            "bytes */100",
            "nonsense",
            "bytes 0-184467440737095516150/1",
        ] {
            assert!(is_usable(range), "{range}");
        }
    }
}
