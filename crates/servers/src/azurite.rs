//! Owns an Azurite that serves Azure's blobs: containers, keys with and without rights.
//! Knows no client: what one needs is said as variables of its environment.

use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::client::{self, Answer};
use crate::installed;
use crate::port::Port;
use crate::process::{Launch, Place, Process};

/// A running Azurite. It ends when it is dropped.
#[derive(Debug)]
pub struct Azurite {
    port: Port,
    containers: AtomicU32,
    process: Process,
}

/// Who asks, by what a request is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// With the account's key: may do all.
    Key,
    /// With a signature that grants reading and listing.
    Reading,
    /// With a key that is not the account's.
    OtherKey,
}

impl Azurite {
    /// The account's name.
    pub const ACCOUNT: &str = "cofferdam";

    /// Starts one that keeps its data in `place`, and returns when it answers.
    ///
    /// # Errors
    /// Azurite or Node.js is not installed, or it does not start.
    pub fn start(place: Place) -> io::Result<Azurite> {
        let port = Port::take()?;
        let mut launch = Launch::new(installed::on_path("node")?, place.folder()?)
            .argument(installed::AZURITE.installed()?)
            .argument("--blobPort")
            .argument(port.number().to_string())
            .environment("AZURITE_ACCOUNTS", format!("{}:{KEY}", Azurite::ACCOUNT));
        for argument in ARGUMENTS {
            launch = launch.argument(*argument);
        }
        let address = port.address();
        let process = launch.start(|| client::request(address, "GET", "/", &[], &[]).is_ok())?;
        Ok(Azurite { port, containers: AtomicU32::new(0), process })
    }

    /// The one that all tests of this process share, in memory: each takes a container of its own.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn shared() -> &'static Azurite {
        static SHARED: OnceLock<io::Result<Azurite>> = OnceLock::new();
        let server = SHARED.get_or_init(|| Azurite::start(Place::Memory));
        server.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The variables that have a client ask `endpoint`, this server or a proxy before it, with this access.
    pub fn environment(&self, endpoint: SocketAddr, access: Access) -> Vec<(&'static str, String)> {
        let credential = match access {
            Access::Key => ("AZURE_STORAGE_ACCOUNT_KEY", KEY.to_owned()),
            Access::Reading => ("AZURE_STORAGE_SAS_KEY", READING.to_owned()),
            Access::OtherKey => ("AZURE_STORAGE_ACCOUNT_KEY", OTHER_KEY.to_owned()),
        };
        vec![
            ("AZURE_STORAGE_ENDPOINT", format!("http://{endpoint}/{}", Azurite::ACCOUNT)),
            ("AZURE_ALLOW_HTTP", "true".into()),
            ("AZURE_STORAGE_ACCOUNT_NAME", Azurite::ACCOUNT.into()),
            credential,
        ]
    }

    /// Makes an empty container and returns its name.
    ///
    /// # Errors
    /// The server's.
    pub fn new_container(&self) -> io::Result<String> {
        self.make_container(&[])
    }

    /// Makes an empty container whose blobs all may read, also by a wrong signature or none, and returns its name.
    ///
    /// # Errors
    /// The server's.
    pub fn new_public_container(&self) -> io::Result<String> {
        self.make_container(&[("x-ms-blob-public-access", "blob")])
    }

    fn make_container(&self, fields: &[(&str, &str)]) -> io::Result<String> {
        // Only the number matters, and that no other has it.
        let name = format!("container-{}", self.containers.fetch_add(1, Ordering::Relaxed));
        self.ask("PUT", &format!("{name}?restype=container"), fields, &[])?.accepted()?;
        Ok(name)
    }

    /// Stores a blob: whatever is there is replaced.
    ///
    /// # Errors
    /// The server's.
    pub fn put(&self, container: &str, key: &str, bytes: &[u8]) -> io::Result<()> {
        let kind = [("x-ms-blob-type", "BlockBlob")];
        self.ask("PUT", &format!("{container}/{key}"), &kind, bytes)?.accepted().map(drop)
    }

    /// A blob's bytes; none where there is no such blob.
    ///
    /// # Errors
    /// The server's.
    pub fn read(&self, container: &str, key: &str) -> io::Result<Option<Vec<u8>>> {
        let answer = self.ask("GET", &format!("{container}/{key}"), &[], &[])?;
        match answer.status() {
            404 => Ok(None),
            _ => answer.accepted().map(|answer| Some(answer.body)),
        }
    }

    /// Asks for what comes after the account in a target, with a signature that allows all.
    ///
    /// # Errors
    /// Those of [`request`](crate::request).
    pub fn ask(
        &self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let joint = if target.contains('?') { '&' } else { '?' };
        let target = format!("/{}/{target}{joint}{ALL}", Azurite::ACCOUNT);
        client::request(self.address(), method, &target, fields, body)
    }

    /// Its process, for who measures what it takes.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

const ARGUMENTS: &[&str] = &[
    "--blobHost",
    "127.0.0.1",
    "--location",
    ".",
    "--skipApiVersionCheck",
    "--disableTelemetry",
    "--disableProductStyleUrl",
    "--silent",
];

/// The account's key: "a-key-of-tests-alone" in Base64.
const KEY: &str = "YS1rZXktb2YtdGVzdHMtYWxvbmU=";

const OTHER_KEY: &str = "YW5vdGhlci1rZXk=";

/// Signatures of the account, made with its key as Azure's "Create an account SAS" says, good until 2099. This grants all on blobs.
const ALL: &str = "sv=2021-10-04&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z&spr=https%2Chttp&sig=O0oAg9Ud%2Fi%2FNv3TZXqZZRBVbpK65%2Bsj5I8WqxsHuqYU%3D";

/// This grants reading and listing.
const READING: &str = "sv=2021-10-04&ss=b&srt=sco&sp=rl&se=2099-01-01T00%3A00%3A00Z&spr=https%2Chttp&sig=Pd3O2dXDGUcqF0EQk2%2BLza8%2BA395oBcQKDpTwPwiKjk%3D";
