//! Requests for the bytes of one object, made again at the byte they reached.
//! Knows not what is done with the bytes, nor in which order ranges are asked for.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cofferdam_io::{FetchError, FetchFault};
use futures_util::{StreamExt, stream::BoxStream};
use object_store::{GetOptions, GetRange, GetResult, ObjectStore};
use tokio::time::timeout;

use crate::{
    connector::{Answer, Exchange, Recorder},
    failure::{Failure, Known, broken_body},
    identity::{Identity, Pin, contradiction, is_plain},
    telemetry::Direction,
    tries::{Context, Tries},
};

/// Makes requests to one place.
pub(crate) struct Requester {
    pub(crate) context: Context,
    pub(crate) store: Arc<dyn ObjectStore>,
}

impl Requester {
    /// One request, one try. The answer's head comes with it if there was one.
    pub(crate) async fn get(
        &self,
        mut options: GetOptions,
    ) -> Result<(GetResult, Answer), (Option<object_store::Error>, Exchange)> {
        let recorder = Recorder::default();
        options.extensions.insert(recorder.clone());
        self.context.counters.request();
        let limit = self.context.options.retries.read_timeout;
        let asked = self.store.get_opts(self.context.place.key(), options);
        let asked = self.context.caller.request(Direction::Download, &self.context.place, asked);
        let answered = timeout(limit, asked).await;
        match (answered, recorder.take()) {
            (Ok(Ok(found)), Exchange::Answered(answer)) => Ok((found, answer)),
            (Ok(Ok(_)), exchange) | (Err(_), exchange) => Err((None, exchange)),
            (Ok(Err(error)), exchange) => Err((Some(error), exchange)),
        }
    }

    /// What a try that [`get`](Self::get) failed with means.
    pub(crate) fn failure(
        &self,
        error: Option<&object_store::Error>,
        exchange: &Exchange,
        known: Known,
    ) -> Failure {
        match error {
            Some(error) => Failure::of(&self.context.place, error, exchange, known),
            None => Failure::outage(format!(
                "no answer for {} s",
                self.context.options.retries.read_timeout.as_secs_f32()
            )),
        }
    }
}

/// The bytes of a range, piece by piece as they arrive, each once and in order, whatever happens to connections.
pub(crate) struct RangeBody {
    requester: Arc<Requester>,
    identity: Arc<Identity>,
    wanted: Range<u64>,
    begin: Beginning,
    tries: Tries,
    stream: Option<BoxStream<'static, object_store::Result<Bytes>>>,
    /// Bytes of the present stream before those that are wanted.
    skip: u64,
    latency: Option<Duration>,
    /// When bytes were last handed to whoever asks for them.
    handed_at: Option<Instant>,
}

/// Where a try can begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beginning {
    /// At any byte.
    Anywhere,
    /// At the first one alone: what is not wanted is read and dropped. Without a strong validator it begins once.
    Start,
}

impl RangeBody {
    pub(crate) fn new(
        requester: Arc<Requester>,
        identity: Arc<Identity>,
        wanted: Range<u64>,
        begin: Beginning,
    ) -> Self {
        let tries = Tries::new(&requester.context);
        Self {
            requester,
            identity,
            wanted,
            begin,
            tries,
            stream: None,
            skip: 0,
            latency: None,
            handed_at: None,
        }
    }

    /// The next bytes; nothing after the last one.
    ///
    /// # Errors
    /// Final, after all tries.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        if let Some(handed_at) = self.handed_at.take() {
            self.tries.paused(handed_at.elapsed());
        }
        loop {
            match self.try_next().await {
                Ok(bytes) => {
                    self.handed_at = Some(Instant::now());
                    return Ok(bytes);
                }
                Err(failure) => {
                    self.stream = None;
                    self.refuse_to_begin_again(&failure)?;
                    let what = what_of(&self.wanted);
                    let requester = self.requester.clone();
                    self.tries.again(&requester.context, failure, &what).await?;
                }
            }
        }
    }

    /// # Errors
    /// It could only begin at the start, with bytes of which nobody says that they are the same.
    fn refuse_to_begin_again(&self, failure: &Failure) -> Result<(), FetchError> {
        let may =
            self.begin == Beginning::Anywhere || self.wanted.start == 0 || self.identity.pin() == Pin::ETag;
        match failure {
            Failure::Setback(setback) if !may => Err(FetchError::new(
                // Not that of a place without ranges: nobody asked for some.
                FetchFault::Refused,
                format!(
                    "{}: {} at byte {}, and the server gives neither ranges nor a strong ETag to go on with; \
                     run the same again, or fetch it as a whole by other means",
                    self.requester.context.place, setback.cause, self.wanted.start
                ),
            )),
            _ => Ok(()),
        }
    }

    /// How long the first answer took.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    async fn try_next(&mut self) -> Result<Option<Bytes>, Failure> {
        let context = &self.requester.context;
        let limit = context.options.retries.read_timeout;
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None if self.wanted.is_empty() => return Ok(None),
            None => self.open().await?,
        };
        loop {
            let context = &self.requester.context;
            let mut bytes = match timeout(limit, stream.next()).await {
                Ok(Some(Ok(bytes))) => bytes,
                Ok(Some(Err(error))) => return Err(broken_body(&context.place, &error)),
                Ok(None) if self.wanted.is_empty() => return Ok(None),
                Ok(None) => return Err(Failure::outage("the answer ended too early")),
                Err(_) => {
                    return Err(Failure::outage(format!("nothing arrived for {} s", limit.as_secs_f32())));
                }
            };
            context.counters.arrived(bytes.len());
            let skipped = self.skip.min(bytes.len() as u64);
            self.skip -= skipped;
            let _ = bytes.split_to(skipped as usize);
            let what = || what_of(&self.wanted);
            if bytes.is_empty() {
                self.tries.skipped(context, skipped as usize, what).map_err(Failure::Final)?;
                continue;
            }
            if bytes.len() as u64 > self.wanted.end - self.wanted.start {
                return Err(Failure::bad_answer("the answer is longer than it said"));
            }
            self.tries.arrived(context, bytes.len(), what).map_err(Failure::Final)?;
            self.wanted.start += bytes.len() as u64;
            self.stream = Some(stream);
            return Ok(Some(bytes));
        }
    }

    async fn open(&mut self) -> Result<BoxStream<'static, object_store::Result<Bytes>>, Failure> {
        let mut options = self.identity.condition();
        if self.begin == Beginning::Anywhere {
            options.range = Some(GetRange::Bounded(self.wanted.clone()));
        }
        let begun = Instant::now();
        let (found, answer) = match self.requester.get(options).await {
            Ok(found) => found,
            Err((error, exchange)) => return Err(self.unusable(error.as_ref(), &exchange)),
        };
        self.latency.get_or_insert(begun.elapsed());
        refuse_contradiction(&answer)?;
        let place = &self.requester.context.place;
        self.identity.compare(place, &found)?;
        refuse_encoded(&self.requester.context, &answer)?;
        self.skip = match self.begin {
            Beginning::Anywhere => 0,
            Beginning::Start => self.wanted.start,
        };
        check_len(&answer, self.skip + self.wanted.end - self.wanted.start)?;
        Ok(found.into_stream())
    }

    fn unusable(&self, error: Option<&object_store::Error>, exchange: &Exchange) -> Failure {
        if let Exchange::Answered(answer) = exchange
            && answer.status < 300
        {
            if let Err(changed) = self.identity.compare_tag(&self.requester.context.place, answer) {
                return changed;
            }
            if answer.status == 200 && self.begin == Beginning::Anywhere {
                return Failure::bad_answer("it was asked for a range and answered with the whole (200)");
            }
        }
        self.requester.failure(error, exchange, Known::Pinned)
    }
}

fn what_of(wanted: &Range<u64>) -> String {
    format!(", bytes {}..{}", wanted.start, wanted.end)
}

/// # Errors
/// The answer announces more or fewer bytes than it should.
pub(crate) fn check_len(answer: &Answer, expected: u64) -> Result<(), Failure> {
    match answer.header("content-length") {
        Some(len) if len.trim().parse() == Ok(expected) => Ok(()),
        Some(len) => Err(Failure::bad_answer(format!("it announces {len} bytes instead of {expected}"))),
        None => Err(Failure::bad_answer("it does not say how long it is")),
    }
}

/// # Errors
/// The answer says two things of the object.
pub(crate) fn refuse_contradiction(answer: &Answer) -> Result<(), Failure> {
    match contradiction(answer) {
        Some(header) => Err(Failure::bad_answer(format!("it has two headers `{header}` that differ"))),
        None => Ok(()),
    }
}

/// # Errors
/// The body is not the object's bytes, but some encoding of them.
pub(crate) fn refuse_encoded(context: &Context, answer: &Answer) -> Result<(), Failure> {
    if is_plain(answer) {
        return Ok(());
    }
    let message = format!(
        "{}: it comes encoded (Content-Encoding: {}), so that its bytes are not those of the object; have it stored or served as it is",
        context.place,
        answer.values("content-encoding").collect::<Vec<_>>().join(", ")
    );
    Err(Failure::Final(FetchError::new(FetchFault::Refused, message)))
}
