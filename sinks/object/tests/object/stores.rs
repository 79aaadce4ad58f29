//! The stores that the tests run against, each with room of its own for a test; and streams to be written there.
//! Knows no fault.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use contract::{Checkpoint, CommitError, IfExists, StreamingSink as _};
use object::{ExpectedLen, ObjectOptions, ObjectSink};
use remote::upload::UploadFault;
use remote::upload::UploadFaultKind;
use remote::{Place, RetryPolicy};
use servers::{Access, Azurite, FaultProxy, GcsFake, Identity, Plan, SeaweedFs};

/// A store that a test runs against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Server {
    S3,
    Azure,
    Gcs,
}

impl Server {
    pub(crate) const ALL: [Server; 3] = [Server::S3, Server::Azure, Server::Gcs];

    fn address(self) -> SocketAddr {
        match self {
            Server::S3 => SeaweedFs::shared().address(),
            Server::Azure => Azurite::shared().address(),
            Server::Gcs => GcsFake::shared().address(),
        }
    }

    pub(crate) fn put(self, bucket: &str, key: &str, bytes: &[u8]) {
        let put = match self {
            Server::S3 => SeaweedFs::shared().put(bucket, key, bytes),
            Server::Azure => Azurite::shared().put(bucket, key, bytes),
            Server::Gcs => {
                GcsFake::shared().put(bucket, key, bytes);
                Ok(())
            }
        };
        put.unwrap();
    }
}

/// A bucket of a test's own, behind a proxy.
pub(crate) struct Bucket {
    pub(crate) server: Server,
    pub(crate) name: String,
    pub(crate) proxy: FaultProxy,
    options: Vec<(String, String)>,
}

impl Bucket {
    /// Of S3.
    pub(crate) fn new() -> Bucket {
        Bucket::of(Server::S3)
    }

    pub(crate) fn of(server: Server) -> Bucket {
        let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
        let name = match server {
            Server::S3 => SeaweedFs::shared().new_bucket(),
            Server::Azure => Azurite::shared().new_container(),
            Server::Gcs => Ok(GcsFake::shared().new_bucket()),
        };
        let at = proxy.address();
        let options = owned(match server {
            Server::S3 => SeaweedFs::shared().environment(at, Identity::Owner),
            Server::Azure => Azurite::shared().environment(at, Access::Key),
            Server::Gcs => GcsFake::shared().environment(at).unwrap(),
        });
        Bucket { server, name: name.unwrap(), proxy, options }
    }

    pub(crate) fn place(&self, key: &str) -> Place {
        Place::parse(&self.url(key), self.options()).unwrap()
    }

    /// Of S3, as somebody else.
    pub(crate) fn place_as(&self, key: &str, who: Identity) -> Place {
        let options = SeaweedFs::shared().environment(self.proxy.address(), who);
        Place::parse(&self.url(key), owned(options)).unwrap()
    }

    pub(crate) fn url(&self, key: &str) -> String {
        let scheme = match self.server {
            Server::S3 => "s3",
            Server::Azure => "az",
            Server::Gcs => "gs",
        };
        format!("{scheme}://{}/{key}", self.name)
    }

    pub(crate) fn options(&self) -> Vec<(String, String)> {
        self.options.clone()
    }

    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.server.put(&self.name, key, bytes);
    }

    pub(crate) fn read(&self, key: &str) -> Option<Vec<u8>> {
        let read = match self.server {
            Server::S3 => SeaweedFs::shared().read(&self.name, key),
            Server::Azure => Azurite::shared().read(&self.name, key),
            Server::Gcs => Ok(GcsFake::shared().read(&self.name, &key.replace("%20", " "))),
        };
        read.unwrap()
    }

    /// Uploads that can be given up and were not; of Azure there are none.
    pub(crate) fn open_uploads(&self) -> usize {
        match self.server {
            Server::S3 => SeaweedFs::shared().open_uploads(&self.name).unwrap(),
            Server::Azure => 0,
            Server::Gcs => GcsFake::shared().open_uploads(&self.name),
        }
    }
}

fn owned(options: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Each store, with a length of one request and one of several parts.
pub(crate) fn each_store() -> Vec<(Server, usize)> {
    Server::ALL.into_iter().flat_map(|server| [(server, 10), (server, THREE_PARTS)]).collect()
}

/// Options for a stream of that length, with requests that are soon made again.
pub(crate) fn options(len: usize) -> ObjectOptions {
    let mut options = ObjectOptions::new(MEMORY);
    options.expected_len = ExpectedLen::Exactly(len as u64);
    options.upload.retry = short_waits();
    options
}

pub(crate) fn replacing(len: usize) -> ObjectOptions {
    let mut options = options(len);
    options.if_exists = IfExists::Replace;
    options
}

/// As the default, but waits are short. No test here waits for its limits, and a machine that builds something else beside it comes near
/// to shorter ones.
pub(crate) fn short_waits() -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    policy.first_wait = Duration::from_millis(10);
    policy.longest_wait = Duration::from_millis(100);
    policy
}

/// Bytes of which no two places are alike for long.
pub(crate) fn stream(len: usize, seed: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

/// Writes `bytes` in segments, and commits each.
pub(crate) fn write(sink: &mut ObjectSink, bytes: &[u8]) -> io::Result<()> {
    let mut at = 0;
    for (index, segment) in (0..).zip(bytes.chunks(SEGMENT_LEN)) {
        sink.begin_segment(index, at)?;
        for piece in segment.chunks(PIECE_LEN) {
            sink.write_tentative(at, piece)?;
            at += piece.len() as u64;
        }
        sink.commit_segment(&Checkpoint::from_bytes([7; Checkpoint::LEN])).map_err(|error| match error {
            CommitError::NotCommitted(error) | CommitError::Unknown(error) => error,
        })?;
    }
    Ok(())
}

/// Opens, writes and publishes.
pub(crate) fn upload(place: &Place, bytes: &[u8], options: &ObjectOptions) -> Result<(), CommitError> {
    let mut sink = ObjectSink::open(place, options).map_err(CommitError::NotCommitted)?;
    write(&mut sink, bytes).map_err(CommitError::NotCommitted)?;
    sink.publish(bytes.len() as u64)
}

/// What kind of fault it was, and whether the outcome is known.
pub(crate) fn kind(failed: Result<(), CommitError>) -> (UploadFaultKind, bool) {
    let error = failed.unwrap_err();
    let is_known = matches!(error, CommitError::NotCommitted(_));
    (fault(error.io()), is_known)
}

pub(crate) fn fault(error: &io::Error) -> UploadFaultKind {
    UploadFault::within(error).unwrap_or_else(|| panic!("{error:?}")).kind()
}

pub(crate) const MIB: usize = 1 << 20;
/// Parts of 5 MiB then, of which four are held.
pub(crate) const MEMORY: usize = 23 * MIB;
/// Two whole parts and a short one.
pub(crate) const THREE_PARTS: usize = 12 * MIB + 345;
/// No multiple of it is a part's end.
const SEGMENT_LEN: usize = 3 * MIB + 1;
const PIECE_LEN: usize = 700_001;
