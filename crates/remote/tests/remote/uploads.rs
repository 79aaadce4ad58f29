//! An object is put into a store that answers "yes" to everything, as somebody between here and the store may: that is not believed.

mod listing;
mod sending;
pub(crate) mod settings;
mod shared;

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use remote::Place;
use remote::upload::{Body, Upload, UploadFault, UploadFaultKind, UploadOptions};

use super::policy;

/// A store at which nothing ever is, and whose answers to all but HEAD are what `answer` makes of the request's head.
fn store(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Vec<(String, String)> {
    settings_of(serve(move |head| match head.starts_with("HEAD") {
        true => (404, "\r\n".to_owned()),
        false => answer(head),
    }))
}

/// A server whose answers are what `answer` makes of the request's head: a status, and all that comes after the first line.
pub(crate) fn serve(answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> SocketAddr {
    serve_when(|_| {}, answer)
}

/// As [`serve`], and before it reads a request's body it does `first`.
pub(crate) fn serve_when(
    first: impl Fn(&str) + Send + Sync + 'static,
    answer: impl Fn(&str) -> (u16, String) + Send + Sync + 'static,
) -> SocketAddr {
    serve_each(move |mut stream| {
        let head = take_request(&stream, &first)?;
        let (status, rest) = answer(&head);
        if rest == SILENCE {
            // Until whoever asks has had enough.
            return stream.read(&mut [0]).map(drop);
        }
        write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\n{rest}")
    })
}

/// A server that does with each connection what `each` does.
fn serve_each(each: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, each) = (stream.unwrap(), each.clone());
            // Whoever asks may be gone before it is answered.
            thread::spawn(move || drop(each(stream)));
        }
    });
    address
}

/// Reads a request, and gives its head. Before its body `first` is done.
fn take_request(stream: &TcpStream, first: &dyn Fn(&str)) -> io::Result<String> {
    let mut lines = BufReader::new(stream);
    let (mut head, mut len) = (String::new(), 0);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            len = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
        head += &line;
    }
    first(&head);
    lines.read_exact(&mut vec![0; len])?;
    Ok(head)
}

/// An answer that never comes.
pub(crate) const SILENCE: &str = "(silence)";

pub(crate) fn settings_of(address: SocketAddr) -> Vec<(String, String)> {
    settings([
        ("AWS_ENDPOINT", &format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "an-id"),
        ("AWS_SECRET_ACCESS_KEY", "5ecret"),
    ])
}

pub(crate) fn settings<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// Waits that no test waits for, and limits that no busy machine reaches.
pub(crate) fn options() -> UploadOptions {
    let mut options = UploadOptions::default();
    options.retry = policy();
    options.abort_max = Duration::from_secs(60);
    options
}

/// The same, for what ends at a limit alone.
pub(crate) fn impatient() -> UploadOptions {
    let mut options = options();
    options.retry.no_progress = Duration::from_secs(5);
    options
}

/// The same, for who has enough of it once as many answers have been `given`: one that is not believed is asked for again.
fn until_given(given: &Arc<AtomicUsize>) -> UploadOptions {
    let (given, mut options) = (given.clone(), options());
    // Relaxed: the count says nothing but itself.
    options.is_cancelled = Arc::new(move || given.load(Ordering::Relaxed) >= 3);
    options
}

pub(crate) fn open(settings: Vec<(String, String)>) -> Upload {
    open_with(settings, &options())
}

fn open_with(settings: Vec<(String, String)>, options: &UploadOptions) -> Upload {
    Upload::open(&Place::parse("s3://bucket/key", settings).unwrap(), options).unwrap()
}

/// What stands behind the head of an answer that is no store's.
const NO_ANSWERS: [&str; 5] = [
    "\r\n",
    "\r\n   ",
    "Content-Type: text/html\r\n\r\n<html><body>Welcome to our hotel</body></html>",
    "\r\n<Error><Message>no code</Message></Error>",
    "\r\n<?xml version=\"1.0\"?><CompleteMultipartUploadRes",
];

pub(crate) const BEGUN: &str =
    "\r\n<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
const COMPLETED: &str =
    "\r\n<CompleteMultipartUploadResult><ETag>\"1-1\"</ETag></CompleteMultipartUploadResult>";
pub(crate) const STORED: &str = "ETag: \"1\"\r\n\r\n";

pub(crate) fn small() -> Body {
    Body::Memory(b"small".as_slice().into())
}

pub(crate) fn fault_of(error: &io::Error) -> UploadFaultKind {
    UploadFault::within(error).unwrap_or_else(|| panic!("{error:?}")).kind()
}

/// A store that takes everything, and the heads of what it was asked.
pub(crate) fn listening() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = heads.clone();
    let address = serve(move |head| {
        heard.lock().unwrap().push(head.to_ascii_lowercase());
        match head.starts_with("HEAD") {
            true => (404, "\r\n".to_owned()),
            false => (200, STORED.to_owned()),
        }
    });
    (address, heads)
}
