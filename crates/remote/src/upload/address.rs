//! Where requests for a place go: the address that the store's own client would use, and what it signs with.
//! Sends nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpService,
};
use object_store::gcp::GoogleConfigKey;
use object_store::{ClientOptions, GetOptions, ObjectStore};
use parking_lot::Mutex;
use url::Url;

use super::calls::Dialect;
use super::wire::{Signer, Wire};
use crate::place::{Place, PlaceKind};
use crate::retry::RetryPolicy;
use crate::runtime;
use crate::store::Store;

/// Where an object is, for requests of our own.
pub(super) struct Address {
    pub(super) dialect: Dialect,
    pub(super) object: Url,
    pub(super) container: Url,
    pub(super) wire: Wire,
    pub(super) settings: Vec<(&'static str, String)>,
}

impl Address {
    /// # Errors
    /// [`io::ErrorKind::Unsupported`]: a server of files, or a setting that uploads cannot heed; [`io::ErrorKind::InvalidInput`]:
    /// settings that make no client.
    pub(super) fn of(place: &Place, policy: &RetryPolicy) -> io::Result<Address> {
        let store = Store::open(place)?;
        let (dialect, asker, signer) = match &store {
            Store::S3 { store, settings } => {
                let say = |key| settings.get_config_value(&key);
                refuse_unheeded(place, &say)?;
                let is_open = is_true(say(AmazonS3ConfigKey::SkipSignature));
                let signer = Signer::S3 {
                    credentials: (!is_open).then(|| store.credentials().clone()),
                    region: say(AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned()),
                };
                let asker = |ear| settings.clone().with_skip_signature(true).with_http_connector(ear).build();
                (Dialect::S3, Heard::by(place, asker)?, signer)
            }
            Store::Gcs { store, settings } => {
                let is_open = is_true(settings.get_config_value(&GoogleConfigKey::SkipSignature));
                let signer = Signer::Gcs { credentials: (!is_open).then(|| store.credentials().clone()) };
                let asker = |ear| settings.clone().with_skip_signature(true).with_http_connector(ear).build();
                (Dialect::Gcs, Heard::by(place, asker)?, signer)
            }
            Store::Azure { store, settings } => {
                let is_open = is_true(settings.get_config_value(&AzureConfigKey::SkipSignature));
                let asker = |ear| settings.clone().with_skip_signature(true).with_http_connector(ear).build();
                let heard = Heard::by(place, asker)?;
                let account = settings.get_config_value(&AzureConfigKey::AccountName);
                let account = account.unwrap_or_else(|| account_in(&heard.object));
                let credentials = (!is_open).then(|| store.credentials().clone());
                (Dialect::Azure, heard, Signer::Azure { credentials, account })
            }
            Store::Http { .. } => return Err(no_uploads(place)),
        };
        let settings = settings_of(&store);
        let allows_http = asker.object.scheme() == "https" || allows_http(&store);
        if !allows_http {
            let what = format!(
                "{place}: its address begins with http:, which has to be allowed in the store's settings"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let wire = Wire { client: client()?, signer, stall_max: policy.read_timeout };
        Ok(Address { dialect, object: asker.object, container: asker.container, wire, settings })
    }
}

/// The addresses that a store's client has been heard to ask for.
struct Heard {
    object: Url,
    container: Url,
}

impl Heard {
    /// Makes a client that reaches nobody and is not asked to sign, and listens to it.
    fn by<S: ObjectStore>(
        place: &Place,
        asker: impl FnOnce(Ear) -> object_store::Result<S>,
    ) -> io::Result<Heard> {
        let ear = Ear::default();
        let heard = ear.0.clone();
        let unusable = |error: object_store::Error| {
            let what = format!("{place}: {}", place.redact(&error.to_string()));
            io::Error::new(io::ErrorKind::InvalidInput, what)
        };
        let store = asker(ear).map_err(unusable)?;
        let key = place.key().clone();
        runtime::run(async move {
            let head = GetOptions { head: true, ..GetOptions::default() };
            // They fail, each after it was heard.
            let _ = store.get_opts(&key, head).await;
            let _ = store.list(None).next().await;
        })?;
        let heard = std::mem::take(&mut *heard.lock());
        match <[Url; 2]>::try_from(heard) {
            Ok([object, container]) => Ok(Heard { object, container }),
            Err(_) => {
                Err(io::Error::other(format!("{place}: the client library asks for it in an unknown way")))
            }
        }
    }
}

/// Hears what is asked for, and passes nothing on.
#[derive(Clone, Debug, Default)]
struct Ear(Arc<Mutex<Vec<Url>>>);

impl HttpConnector for Ear {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Ear {
    // As the attribute `async_trait` would write it, which the trait is declared with.
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> BoxFuture<'async_trait, Result<HttpResponse, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        if let Ok(mut url) = Url::parse(&request.uri().to_string()) {
            url.set_query(None);
            self.0.lock().push(url);
        }
        Box::pin(async { Err(HttpError::new(HttpErrorKind::Unknown, io::Error::other("nobody is there"))) })
    }
}

fn client() -> io::Result<reqwest::Client> {
    // Over one connection of HTTP/2 some stores are slow; limits of time are those of whoever sends.
    let client = reqwest::Client::builder()
        .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_MAX)
        .build();
    client.map_err(|error| io::Error::other(format!("no HTTP client can be made: {}", error.without_url())))
}

fn is_true(value: Option<String>) -> bool {
    value
        .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "on" | "yes" | "y"))
}

fn allows_http(store: &Store) -> bool {
    let key = ClientConfigKey::AllowHttp;
    match store {
        Store::S3 { settings, .. } => is_true(settings.get_config_value(&AmazonS3ConfigKey::Client(key))),
        // Those that tests and proxies set by an address of their own: it says itself how it is reached.
        Store::Gcs { .. } => true,
        Store::Azure { settings, .. } => {
            is_true(settings.get_config_value(&AzureConfigKey::UseEmulator))
                || is_true(settings.get_config_value(&AzureConfigKey::Client(key)))
        }
        Store::Http { .. } => false,
    }
}

/// What the store is to encrypt with, where the settings say.
fn settings_of(store: &Store) -> Vec<(&'static str, String)> {
    let Store::S3 { settings, .. } = store else { return Vec::new() };
    let say = |name: &str| name.parse().ok().and_then(|key| settings.get_config_value(&key));
    let header = match say("aws_server_side_encryption").as_deref() {
        Some("sse-kms" | "aws:kms") => "aws:kms",
        Some("aws:kms:dsse") => "aws:kms:dsse",
        Some("AES256" | "sse-s3") => "AES256",
        _ => return Vec::new(),
    };
    let mut headers = vec![("x-amz-server-side-encryption", header.to_owned())];
    headers.extend(say("aws_sse_kms_key_id").map(|id| ("x-amz-server-side-encryption-aws-kms-key-id", id)));
    let key = say("aws_sse_bucket_key_enabled");
    headers.extend(key.map(|is| ("x-amz-server-side-encryption-bucket-key-enabled", is)));
    headers
}

/// What would be sent in another way than was asked for is not sent.
fn refuse_unheeded(place: &Place, say: &dyn Fn(AmazonS3ConfigKey) -> Option<String>) -> io::Result<()> {
    let customer_key = "aws_sse_customer_key_base64".parse().ok();
    let what = if customer_key.and_then(say).is_some() {
        "a key of one's own for the store's encryption"
    } else if is_true(say(AmazonS3ConfigKey::S3Express)) {
        "a directory bucket"
    } else {
        return Ok(());
    };
    Err(io::Error::new(io::ErrorKind::Unsupported, format!("{place}: uploads do not know {what}")))
}

/// The account is the first word of the host, or of the path where an emulator has all of them on one host.
fn account_in(object: &Url) -> String {
    let host = object.host_str().unwrap_or_default();
    let first = match host.contains(".blob.") || host.contains(".dfs.") {
        true => host.split('.').next(),
        false => object.path_segments().and_then(|mut segments| segments.next()),
    };
    first.unwrap_or_default().to_owned()
}

pub(super) fn no_uploads(place: &Place) -> io::Error {
    let what = format!(
        "{place}: nothing is uploaded to an HTTP server: what it does with half an upload is not said anywhere"
    );
    io::Error::new(io::ErrorKind::Unsupported, what)
}

/// Whether uploads go there at all.
pub(super) fn takes_uploads(kind: PlaceKind) -> bool {
    kind != PlaceKind::Http
}

/// How long a connection may take to be made; then it is tried again.
const CONNECT_MAX: Duration = Duration::from_secs(10);
