//! Owns the spans of streams, segments and requests, as a program that listens hears them.
//! One test alone: who listens, listens to the whole process.
#![cfg(all(feature = "tracing", feature = "remote"))]
#![allow(clippy::unwrap_used)] // A test fails by panicking.

mod streams;

use std::fmt::{Debug, Write as _};
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cofferdam::remote::{Place, RemoteOptions, RemoteSource};
use cofferdam::{BytesSource, MemorySink};
use servers::Nginx;
use servers::installed::is_skipped;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use streams::{SEGMENT, counted, opener, scratch, seal, small_sealer};

/// Keeps each span as `name field=value … in PARENT`, those of this project alone, and counts those that have closed.
#[derive(Clone, Default)]
struct Listener(Arc<Heard>);

#[derive(Default)]
struct Heard {
    spans: Mutex<Vec<String>>,
    begun: AtomicU64,
    closed: AtomicU64,
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

fn is_ours(target: &str) -> bool {
    ["stream", "remote"].iter().any(|ours| target.starts_with(ours))
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !is_ours(attributes.metadata().target()) {
            return;
        }
        let mut said = attributes.metadata().name().to_owned();
        attributes.record(&mut Fields(&mut said));
        if let Some(parent) = context.span(id).and_then(|span| span.parent()) {
            write!(said, " in {}", parent.name()).unwrap();
        }
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        self.0.spans.lock().unwrap().push(said);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if context.span(&id).is_some_and(|span| is_ours(span.metadata().target())) {
            self.0.closed.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_stream_its_segments_and_its_requests_are_spans_without_secrets() {
    let listener = Listener::default();
    let subscriber = tracing_subscriber::registry().with(listener.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let take = || std::mem::take(&mut *listener.0.spans.lock().unwrap());

    let sealed = seal(&small_sealer(), counted(3 * SEGMENT + 1));
    let spans = take();
    assert!(spans[0].starts_with("stream operation=\"seal\" stream_id="), "{spans:?}");
    let segments: Vec<_> = (0..4).map(|index| format!("segment index={index} in stream")).collect();
    assert_eq!(spans[1..], segments);

    let (sink, _) = MemorySink::new();
    let restored = opener().open(BytesSource::new(sealed.clone()), sink).unwrap();
    let spans = take();
    assert_eq!(spans[0], format!("stream operation=\"open\" stream_id={}", restored.stream_id));
    assert_eq!(spans[1..], segments);

    if !is_skipped() {
        let directory = scratch();
        fs::write(directory.path().join("0.cfd"), sealed).unwrap();
        let server = Nginx::start(directory.path()).unwrap();
        let url = server.url("0.cfd").replace("http://", "http://user:hidden@") + "?token=hidden";
        let caller = tracing::info_span!("caller");
        let source = caller
            .in_scope(|| RemoteSource::open(Place::parse(&url, []).unwrap(), RemoteOptions::new()))
            .unwrap();
        let (sink, _) = MemorySink::new();
        opener().open(source, sink).unwrap();
        let spans = take();
        let requests: Vec<_> = spans.iter().filter(|span| span.starts_with("request ")).collect();
        assert!(!requests.is_empty(), "{spans:?}");
        for request in requests {
            assert!(request.contains(&format!("place={}", server.url("0.cfd"))), "{request}");
            assert!(request.ends_with(" in caller"), "{request}");
            assert!(!request.contains("hidden"), "{request}");
        }
    }
    assert_eq!(listener.0.begun.load(Ordering::SeqCst), listener.0.closed.load(Ordering::SeqCst));
}
