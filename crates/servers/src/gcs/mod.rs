//! A small server of the XML API of Google Cloud Storage, in this process, since none that is public serves it as the real one does.
//! It keeps objects in memory and checks no signature. It knows what clients of objects ask for, and nothing of buckets' settings.

mod api;
mod bucket;
mod date;

use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tempfile::TempDir;

use crate::http::{Head, incoming};
use crate::listener::Listener;
use bucket::Buckets;

/// A running server. It ends when it is dropped.
pub struct GcsFake {
    listener: Listener,
    buckets: Arc<Mutex<Buckets>>,
    number: AtomicU32,
    accounts: TempDir,
    /// The endpoints for which there is an account.
    named: Mutex<Vec<SocketAddr>>,
}

impl GcsFake {
    /// A bucket in which nobody may do anything: 403.
    pub const DENIED_BUCKET: &str = "denied";

    /// Starts one.
    ///
    /// # Errors
    /// There is no port to listen on, or no room for the file of an account.
    pub fn start() -> io::Result<GcsFake> {
        let buckets = Arc::new(Mutex::new(Buckets::default()));
        let listener = Listener::start("gcs", {
            let buckets = Arc::clone(&buckets);
            move |_, stream, _| serve(stream, &buckets)
        })?;
        Ok(GcsFake {
            listener,
            buckets,
            number: AtomicU32::new(0),
            accounts: tempfile::tempdir()?,
            named: Mutex::default(),
        })
    }

    /// The one that all tests of this process share: each takes a bucket of its own.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn shared() -> &'static GcsFake {
        static SHARED: OnceLock<io::Result<GcsFake>> = OnceLock::new();
        let server = SHARED.get_or_init(GcsFake::start);
        server.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// The variables that have a client ask `endpoint`, this server or a proxy before it.
    ///
    /// # Errors
    /// The file of a service account, which names the endpoint, cannot be written.
    pub fn environment(&self, endpoint: SocketAddr) -> io::Result<Vec<(&'static str, String)>> {
        let account = self.accounts.path().join(format!("{}.json", endpoint.port()));
        let text = format!(
            r#"{{"gcs_base_url":"http://{endpoint}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#
        );
        // Written once: others may read it.
        let mut named = self.named.lock();
        if !named.contains(&endpoint) {
            fs::write(&account, text)?;
            named.push(endpoint);
        }
        drop(named);
        let account = account.to_string_lossy().into_owned();
        Ok(vec![("GOOGLE_SERVICE_ACCOUNT", account), ("GOOGLE_ALLOW_HTTP", "true".into())])
    }

    /// Makes an empty bucket, and returns its name.
    pub fn new_bucket(&self) -> String {
        // Only the number matters, and that no other has it.
        let name = format!("bucket-{}", self.number.fetch_add(1, Ordering::Relaxed));
        self.buckets.lock().make(&name);
        name
    }

    /// Removes a bucket with all that is in it.
    pub fn remove_bucket(&self, name: &str) {
        self.buckets.lock().remove(name);
    }

    /// Stores an object: whatever is there is replaced. Nothing happens where there is no such bucket.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let mut buckets = self.buckets.lock();
        if let Ok(bucket) = buckets.of(bucket) {
            bucket.store(key, bytes.into(), Vec::new());
        }
    }

    /// An object's bytes; none where there is no such object.
    pub fn read(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let mut buckets = self.buckets.lock();
        buckets.of(bucket).ok()?.object(key, None).ok().map(|object| object.bytes.to_vec())
    }

    /// How many uploads of a bucket are neither completed nor aborted.
    pub fn open_uploads(&self, bucket: &str) -> usize {
        self.buckets.lock().of(bucket).map_or(0, |bucket| bucket.uploads.len())
    }
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, buckets: &Mutex<Buckets>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut to = stream.try_clone()?;
    let mut from = incoming(stream);
    while let Some(head) = Head::read(&mut from)? {
        if head.field("expect").is_some() {
            to.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let body = head.request_body()?.read(&mut from, BODY_LEN_MAX)?;
        let (answer, body) = api::answer(buckets, &head, body);
        to.write_all(&answer.bytes())?;
        if head.method() != "HEAD" {
            to.write_all(body.bytes())?;
        }
        if head.closes() {
            break;
        }
    }
    Ok(())
}

/// Bytes of a request's body.
const BODY_LEN_MAX: usize = 1 << 30;
