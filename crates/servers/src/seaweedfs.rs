//! Owns a SeaweedFS that serves S3: buckets, identities with and without rights, and a door beside S3 for what prepares tests.
//! Knows no client: what one needs is said as variables of its environment.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::client;
use crate::installed;
use crate::port::Port;
use crate::process::{Launch, Place, Process};

/// A running SeaweedFS. It ends when it is dropped.
#[derive(Debug)]
pub struct SeaweedFs {
    s3: SocketAddr,
    filer: SocketAddr,
    buckets: AtomicU32,
    _ports: Vec<Port>,
    process: Process,
}

/// Who asks, by the keys that a request is signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// May do all.
    Owner,
    /// May read and list.
    Reader,
    /// Is known, and may do nothing.
    Stranger,
    /// Is not known.
    Unknown,
}

impl Identity {
    const KNOWN: [Identity; 3] = [Identity::Owner, Identity::Reader, Identity::Stranger];

    /// The access key's name.
    pub fn access_key(self) -> &'static str {
        match self {
            Identity::Owner => "OWNER",
            Identity::Reader => "READER",
            Identity::Stranger => "STRANGER",
            Identity::Unknown => "UNKNOWN",
        }
    }

    /// The access key itself.
    pub fn secret_key(self) -> &'static str {
        "a-key-of-tests-alone"
    }

    fn actions(self) -> &'static str {
        match self {
            Identity::Owner => r#""Admin","Read","Write","List","Tagging""#,
            Identity::Reader => r#""Read","List""#,
            Identity::Stranger | Identity::Unknown => r#""Read:nothing-at-all""#,
        }
    }
}

impl SeaweedFs {
    /// A bucket in which all may do all without a signature, for requests made by hand. Any other lets all read.
    pub const OPEN_BUCKET: &str = "open";

    /// The region that signatures name.
    pub const REGION: &str = "us-east-1";

    /// Starts one that keeps its data in `place`, and returns when it takes objects.
    ///
    /// # Errors
    /// SeaweedFS is not installed or does not start.
    pub fn start(place: Place) -> io::Result<SeaweedFs> {
        let program = installed::SEAWEEDFS.installed()?;
        let folder = place.folder()?;
        let rights = folder.path().join("identities.json");
        fs::write(&rights, identities())?;
        fs::create_dir(folder.path().join("data"))?;
        let ports = PORTS.iter().map(|_| Port::take()).collect::<io::Result<Vec<_>>>()?;
        let port = |option| PORTS.iter().position(|name| *name == option).map_or(0, |at| ports[at].number());
        let mut launch = Launch::new(program, folder).argument("-logtostderr").argument("server");
        for (option, port) in PORTS.iter().zip(&ports) {
            launch = launch.argument(format!("-{option}={}", port.number()));
        }
        for argument in ARGUMENTS {
            launch = launch.argument(*argument);
        }
        launch = launch.argument(format!("-s3.config={}", rights.display()));
        launch = launch.environment(GROWTH, VOLUMES_OF_BUCKET);
        for (kind, option) in SOCKETS {
            launch = launch.leaves(format!("/tmp/seaweedfs-{kind}-{}.sock", port(option)).into());
        }
        let at = |option| SocketAddr::from(([127, 0, 0, 1], port(option)));
        let (s3, filer) = (at("s3.port"), at("filer.port"));
        let process = launch.start(|| takes_objects(s3, filer))?;
        Ok(SeaweedFs { s3, filer, buckets: AtomicU32::new(0), _ports: ports, process })
    }

    /// The one that all tests of this process share, in memory: each takes a bucket of its own.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn shared() -> &'static SeaweedFs {
        static SHARED: OnceLock<io::Result<SeaweedFs>> = OnceLock::new();
        let server = SHARED.get_or_init(|| SeaweedFs::start(Place::Memory));
        server.as_ref().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Where it speaks S3.
    pub fn address(&self) -> SocketAddr {
        self.s3
    }

    /// The variables that have a client ask `endpoint`, this server or a proxy before it, as `who`.
    pub fn environment(&self, endpoint: SocketAddr, who: Identity) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT", format!("http://{endpoint}")),
            ("AWS_ALLOW_HTTP", "true".into()),
            ("AWS_REGION", SeaweedFs::REGION.into()),
            ("AWS_ACCESS_KEY_ID", who.access_key().into()),
            ("AWS_SECRET_ACCESS_KEY", who.secret_key().into()),
        ]
    }

    /// Makes an empty bucket, and returns its name.
    ///
    /// # Errors
    /// The server's.
    pub fn new_bucket(&self) -> io::Result<String> {
        // Only the number matters, and that no other has it.
        let name = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        make_bucket(self.filer, &name)?;
        Ok(name)
    }

    /// Removes a bucket with all that is in it, without S3.
    ///
    /// # Errors
    /// The server's.
    pub fn remove_bucket(&self, name: &str) -> io::Result<()> {
        let target = format!("/buckets/{name}?recursive=true");
        client::request(self.filer, "DELETE", &target, &[], &[])?.accepted().map(drop)
    }

    /// Stores an object without S3: whatever is there is replaced.
    ///
    /// # Errors
    /// The server's.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> io::Result<()> {
        client::request(self.filer, "PUT", &object(bucket, key), &[], bytes)?.accepted().map(drop)
    }

    /// An object's bytes, without S3; none where there is no such object.
    ///
    /// # Errors
    /// The server's.
    pub fn read(&self, bucket: &str, key: &str) -> io::Result<Option<Vec<u8>>> {
        let answer = client::request(self.filer, "GET", &object(bucket, key), &[], &[])?;
        match answer.status() {
            404 => Ok(None),
            _ => answer.accepted().map(|answer| Some(answer.body)),
        }
    }

    /// How many uploads of a bucket are neither completed nor aborted.
    ///
    /// # Errors
    /// The server's.
    pub fn open_uploads(&self, bucket: &str) -> io::Result<usize> {
        let target = format!("/buckets/{bucket}/.uploads/?limit=10000");
        let answer = client::request(self.filer, "GET", &target, &[("Accept", "application/json")], &[])?;
        match answer.status() {
            404 => Ok(0),
            _ => answer.accepted().map(|answer| answer.text().matches("\"FullPath\"").count()),
        }
    }

    /// Its process, for who measures what it takes.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

fn object(bucket: &str, key: &str) -> String {
    format!("/buckets/{bucket}/{key}")
}

/// Makes a bucket, unless there is one.
fn make_bucket(filer: SocketAddr, name: &str) -> io::Result<()> {
    let answer = client::request(filer, "POST", &format!("/buckets/{name}/"), &[], &[])?;
    match answer.status() {
        409 => Ok(()),
        _ => answer.accepted().map(drop),
    }
}

/// Its parts find each other one after another.
fn takes_objects(s3: SocketAddr, filer: SocketAddr) -> bool {
    let put = |key: &str| {
        let target = format!("/{}/{key}", SeaweedFs::OPEN_BUCKET);
        client::request(s3, "PUT", &target, &[], b"ready").and_then(client::Answer::accepted)
    };
    make_bucket(filer, SeaweedFs::OPEN_BUCKET).is_ok() && put("ready").is_ok()
}

fn identities() -> String {
    let open = SeaweedFs::OPEN_BUCKET;
    let known = Identity::KNOWN.map(|who| {
        let (key, secret, actions) = (who.access_key(), who.secret_key(), who.actions());
        format!(
            r#"{{"name":"{who:?}","credentials":[{{"accessKey":"{key}","secretKey":"{secret}"}}],"actions":[{actions}]}}"#
        )
    });
    let all = format!(
        r#"{{"name":"anonymous","actions":["Read","Admin:{open}","Read:{open}","Write:{open}","List:{open}"]}}"#
    );
    format!(r#"{{"identities":[{},{all}]}}"#, known.join(","))
}

/// The options that name ports. Where one is left out, two servers on one machine take the same.
const PORTS: [&str; 10] = [
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "s3.port.iceberg",
    "s3.port.lance",
];

/// How many volumes it makes for the first object of a bucket: seven, if nobody says. Where no more may be made, what is put into
/// another bucket is refused.
const GROWTH: &str = "WEED_MASTER_VOLUME_GROWTH_COPY_1";
const VOLUMES_OF_BUCKET: &str = "4";

const ARGUMENTS: &[&str] = &[
    "-dir=data",
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-filer",
    "-filer.localSocket=filer.sock",
    "-s3",
    "-s3.localSocket=s3.sock",
    "-s3.allowDeleteBucketNotEmpty",
    "-master.volumeSizeLimitMB=1024",
    "-volume.max=1000",
    "-idleTimeout=3600",
    "-s3.idleTimeout=3600",
];

/// The sockets that it puts where no option names, and the ports that name them.
const SOCKETS: [(&str, &str); 4] = [
    ("master-grpc", "master.port.grpc"),
    ("volume-grpc", "volume.port.grpc"),
    ("filer-grpc", "filer.port.grpc"),
    ("s3-grpc", "s3.port.grpc"),
];
