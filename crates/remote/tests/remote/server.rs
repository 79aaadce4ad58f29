//! A server of one object that answers as a test says: with what was asked for, less of it, slowly, or something else.
//! Speaks HTTP/1.1 with ranges and conditions as RFC 9110 has them, written apart from the code under test.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Bytes of a length, from a seed.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// What is served.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Arc<Vec<u8>>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

impl Object {
    pub(crate) fn new(bytes: Vec<u8>, etag: &str) -> Self {
        Self { bytes: Arc::new(bytes), etag: Some(etag.to_owned()), last_modified: Some(LONG_AGO.to_owned()) }
    }
}

pub(crate) const LONG_AGO: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Request {
    /// The first and the last byte that are asked for.
    pub(crate) fn range(&self) -> Option<(u64, u64)> {
        let (first, last) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().unwrap(), last.parse().unwrap()))
    }
}

/// How to answer. The default is as the RFC says.
#[derive(Clone, Default)]
pub(crate) struct Reply {
    status: Option<u16>,
    text: Option<String>,
    headers: Vec<(&'static str, Option<String>)>,
    whole: bool,
    heedless: bool,
    cut_after: Option<usize>,
    stall_after: Option<usize>,
    pieces: Option<usize>,
    pause: Duration,
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::default()
    }

    /// This status, and a short text.
    pub(crate) fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// With this body.
    pub(crate) fn text(mut self, text: &str) -> Self {
        self.text = Some(text.to_owned());
        self
    }

    /// All of the object, whatever range was asked for.
    pub(crate) fn whole() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// And that of all of the object, whatever range was asked for.
    pub(crate) fn whole_too(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Conditions are not looked at.
    pub(crate) fn heedless(mut self) -> Self {
        self.heedless = true;
        self
    }

    /// With this header instead of its own.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, Some(value.to_owned())));
        self
    }

    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.headers.push((name, None));
        self
    }

    /// The connection is closed after this many bytes of the body.
    pub(crate) fn cut(after: usize) -> Self {
        Self { cut_after: Some(after), ..Self::default() }
    }

    /// And the connection is closed after this many bytes of the body.
    pub(crate) fn cut_too(mut self, after: usize) -> Self {
        self.cut_after = Some(after);
        self
    }

    /// Nothing more comes after this many bytes of the body.
    pub(crate) fn stall(after: usize) -> Self {
        Self { stall_after: Some(after), ..Self::default() }
    }

    /// The body comes in pieces of this length, after a pause each.
    pub(crate) fn trickle(len: usize, pause: Duration) -> Self {
        Self { pieces: Some(len), pause, ..Self::default() }
    }

    /// The body comes in pieces of this length.
    pub(crate) fn pieces(len: usize) -> Self {
        Self { pieces: Some(len), ..Self::default() }
    }
}

type Script = dyn FnMut(usize, &Request) -> Reply + Send;

struct Shared {
    object: Mutex<Object>,
    script: Mutex<Box<Script>>,
    requests: Mutex<Vec<Request>>,
    closing: AtomicBool,
}

/// The server. Dropped, it ends.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    pub(crate) fn start(object: Object) -> Self {
        Self::scripted(object, |_, _| Reply::ok())
    }

    /// `script` is asked for each request; they are counted from 0.
    pub(crate) fn scripted(
        object: Object,
        script: impl FnMut(usize, &Request) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            object: Mutex::new(object),
            script: Mutex::new(Box::new(script)),
            requests: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        let own = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if own.closing.load(Ordering::Acquire) {
                    return;
                }
                let shared = own.clone();
                thread::spawn(move || {
                    // Whoever asked may have gone.
                    let _ = serve(&shared, stream.unwrap());
                });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/object", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn script(&self, script: impl FnMut(usize, &Request) -> Reply + Send + 'static) {
        *self.shared.script.lock().unwrap() = Box::new(script);
    }

    pub(crate) fn replace(&self, object: Object) {
        *self.shared.object.lock().unwrap() = object;
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub(crate) fn ranges(&self) -> Vec<Option<(u64, u64)>> {
        self.requests().iter().map(Request::range).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = read_request(&mut reader)? {
        let number = {
            let mut requests = shared.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        let reply = (shared.script.lock().unwrap())(number, &request);
        let object = shared.object.lock().unwrap().clone();
        if !answer(shared, &stream, &request, &reply, &object)? {
            return Ok(());
        }
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Ok(Some(Request { target, headers }))
}

/// Answers, and says whether the connection goes on.
fn answer(
    shared: &Shared,
    mut stream: &TcpStream,
    request: &Request,
    reply: &Reply,
    object: &Object,
) -> io::Result<bool> {
    let len = object.bytes.len();
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    let (status, body): (u16, &[u8]) = match (reply.status, request.range()) {
        (Some(status), _) => (status, reply.text.as_deref().unwrap_or("as the test says").as_bytes()),
        _ if !reply.heedless && !holds(request, object) => (412, b"another one"),
        (None, Some((first, last))) if !reply.whole => {
            let end = (last as usize + 1).min(len);
            if first as usize >= len {
                headers.insert("content-range", format!("bytes */{len}"));
                (416, b"beyond the end")
            } else {
                headers.insert("content-range", format!("bytes {first}-{}/{len}", end - 1));
                (206, &object.bytes[first as usize..end])
            }
        }
        _ => (200, &object.bytes),
    };
    headers.insert("content-length", body.len().to_string());
    headers.extend(object.etag.clone().map(|tag| ("etag", tag)));
    headers.extend(object.last_modified.clone().map(|time| ("last-modified", time)));
    for (name, value) in &reply.headers {
        match value {
            Some(value) => drop(headers.insert(name, value.clone())),
            None => drop(headers.remove(name)),
        }
    }
    let mut head = format!("HTTP/1.1 {status} As It Is\r\n");
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    send(shared, stream, reply, body)
}

fn send(shared: &Shared, mut stream: &TcpStream, reply: &Reply, body: &[u8]) -> io::Result<bool> {
    let end = reply.cut_after.or(reply.stall_after).unwrap_or(body.len()).min(body.len());
    for piece in body[..end].chunks(reply.pieces.unwrap_or(body.len().max(1))) {
        thread::sleep(reply.pause);
        stream.write_all(piece)?;
    }
    if reply.stall_after.is_some() {
        while !shared.closing.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(5));
        }
    }
    Ok(end == body.len() && reply.cut_after.is_none())
}

/// RFC 9110 §13.1.1 and §13.1.4, as far as they are used here.
fn holds(request: &Request, object: &Object) -> bool {
    if let Some(tag) = request.headers.get("if-match") {
        return object.etag.as_ref() == Some(tag) && !tag.starts_with("W/");
    }
    match request.headers.get("if-unmodified-since") {
        Some(time) => object.last_modified.as_ref() == Some(time),
        None => true,
    }
}
