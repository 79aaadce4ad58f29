//! Owns the servers of each kind, with an object for each run, and its URL through a proxy.
//! Knows nothing of what is stored.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;

use cofferdam::remote::Place;
use servers::{Access, Azurite, GcsFake, Identity, Nginx, SeaweedFs};

/// A kind of store, or a server of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Store {
    S3,
    Gcs,
    Azure,
    Web,
}

/// What is restored from.
pub(crate) const STORES: [Store; 4] = [Store::S3, Store::Gcs, Store::Azure, Store::Web];

/// What is uploaded to.
pub(crate) const TARGETS: [Store; 3] = [Store::S3, Store::Gcs, Store::Azure];

/// An object of a run's own.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) store: Store,
    key: String,
}

impl Store {
    pub(crate) fn address(self) -> SocketAddr {
        match self {
            Store::S3 => SeaweedFs::shared().address(),
            Store::Gcs => GcsFake::shared().address(),
            Store::Azure => Azurite::shared().address(),
            Store::Web => web().1.address(),
        }
    }

    pub(crate) fn object(self, key: String) -> Object {
        Object { store: self, key }
    }

    /// The bucket or container of all runs.
    fn bucket(self) -> &'static str {
        static GCS: OnceLock<String> = OnceLock::new();
        static AZURE: OnceLock<String> = OnceLock::new();
        match self {
            // Its uploads can be listed without a signature.
            Store::S3 => SeaweedFs::OPEN_BUCKET,
            Store::Gcs => GCS.get_or_init(|| GcsFake::shared().new_bucket()),
            Store::Azure => AZURE.get_or_init(|| Azurite::shared().new_public_container().unwrap()),
            Store::Web => "",
        }
    }
}

impl Object {
    /// Puts these bytes there, past the proxy.
    pub(crate) fn put(&self, bytes: &[u8]) {
        let (bucket, key) = (self.store.bucket(), &*self.key);
        match self.store {
            Store::S3 => SeaweedFs::shared().put(bucket, key, bytes).unwrap(),
            Store::Gcs => GcsFake::shared().put(bucket, key, bytes),
            Store::Azure => Azurite::shared().put(bucket, key, bytes).unwrap(),
            Store::Web => {
                // A file in the place of another: who reads the first goes on reading it.
                let (path, beside) = (web().0.join(key), web().0.join(format!("{key}.new")));
                fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path)).unwrap();
            }
        }
    }

    /// What is there, past the proxy.
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        let (bucket, key) = (self.store.bucket(), &*self.key);
        match self.store {
            Store::S3 => SeaweedFs::shared().read(bucket, key).unwrap(),
            Store::Gcs => GcsFake::shared().read(bucket, key),
            Store::Azure => Azurite::shared().read(bucket, key).unwrap(),
            Store::Web => fs::read(web().0.join(key)).ok(),
        }
    }

    /// How many uploads to it are neither completed nor aborted. Azure's cannot be listed so: a block that no blob has got
    /// disappears by itself.
    pub(crate) fn open_uploads(&self) -> usize {
        if !matches!(self.store, Store::S3 | Store::Gcs) {
            return 0;
        }
        let target = format!("/{}?uploads&prefix={}", self.store.bucket(), self.key);
        let listed = servers::request(self.store.address(), "GET", &target, &[], &[]).unwrap();
        assert_eq!(listed.status(), 200);
        listed.text().matches(&format!("<Key>{}</Key>", self.key)).count()
    }

    /// Its place, asked through `endpoint`.
    pub(crate) fn place(&self, endpoint: SocketAddr) -> Place {
        let (bucket, key) = (self.store.bucket(), &self.key);
        let (url, variables) = match self.store {
            Store::S3 => {
                let variables = SeaweedFs::shared().environment(endpoint, Identity::Owner);
                (format!("s3://{bucket}/{key}"), variables)
            }
            Store::Gcs => (format!("gs://{bucket}/{key}"), GcsFake::shared().environment(endpoint).unwrap()),
            Store::Azure => {
                (format!("az://{bucket}/{key}"), Azurite::shared().environment(endpoint, Access::Key))
            }
            Store::Web => (format!("http://{endpoint}/{key}"), vec![]),
        };
        Place::parse(&url, variables.into_iter().map(|(name, value)| (name.to_owned(), value))).unwrap()
    }
}

/// The folder of the server of files, and the server.
fn web() -> &'static (PathBuf, Nginx) {
    static WEB: OnceLock<(tempfile::TempDir, (PathBuf, Nginx))> = OnceLock::new();
    let (_, web) = WEB.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let server = Nginx::start(folder.path()).unwrap();
        let path = folder.path().to_owned();
        (folder, (path, server))
    });
    web
}
