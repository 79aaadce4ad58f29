//! Where requests for a place go: the address that the store's own client would use, and what it signs with.
//! Sends nothing.

use std::io;
use std::sync::Arc;

use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::AzureConfigKey;
use object_store::client::{ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind};
use object_store::gcp::GoogleConfigKey;
use object_store::{ClientOptions, GetOptions, ObjectStore};
use parking_lot::Mutex;
use url::Url;

use super::calls::Dialect;
use super::wire::{Signer, Wire};
use crate::connector::service;
use crate::place::{Place, PlaceKind};
use crate::retry::RetryPolicy;
use crate::store::Store;
use crate::telemetry::CallerSpan;
use crate::{client, runtime};

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
    /// settings that make no client, or an address without TLS that they do not allow.
    pub(super) fn of(place: &Place, policy: &RetryPolicy) -> io::Result<Address> {
        let store = Store::open(place)?;
        refuse_unheeded(place, &store)?;
        let (dialect, heard, signer) = match &store {
            Store::S3 { store, settings } => {
                let asker = |ear| settings.clone().with_skip_signature(true).with_http_connector(ear).build();
                (Dialect::S3, Heard::by(place, asker)?, s3_signer(store, settings))
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
        let Heard { object, container, options } = heard;
        let allows_http = client::allows_http(&options).map_err(|error| unusable(place, &error))?;
        if object.scheme() != "https" && !allows_http {
            let what = format!(
                "{place}: its address begins with http:, which has to be allowed in the store's settings"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let (client, stall_max) =
            client::sending_client(&options).map_err(|error| unusable(place, &error))?;
        let wire = Wire {
            client,
            signer,
            stall_max: stall_max.unwrap_or(policy.read_timeout).min(policy.no_progress),
            policy: policy.clone(),
            place: place.clone(),
            caller: CallerSpan::current(),
        };
        let mut settings = encryption_of(&store);
        let content_type = options.get_config_value(&ClientConfigKey::DefaultContentType);
        settings.extend(content_type.map(|value| (dialect.content_type_header(), value)));
        Ok(Address { dialect, object, container, wire, settings })
    }
}

fn s3_signer(store: &AmazonS3, settings: &AmazonS3Builder) -> Signer {
    let say = |key| settings.get_config_value(&key);
    let is_open = is_true(say(AmazonS3ConfigKey::SkipSignature));
    Signer::S3 {
        credentials: (!is_open).then(|| store.credentials().clone()),
        region: say(AmazonS3ConfigKey::Region).unwrap_or_else(|| "us-east-1".to_owned()),
        requester_pays: is_true(say(AmazonS3ConfigKey::RequestPayer)),
        signs_payload: !is_true(say(AmazonS3ConfigKey::UnsignedPayload)),
    }
}

/// The addresses that a store's client has been heard to ask for, and the settings of its connections.
struct Heard {
    object: Url,
    container: Url,
    options: ClientOptions,
}

impl Heard {
    /// Makes a client that reaches nobody and is not asked to sign, and listens to it.
    fn by<S: ObjectStore>(
        place: &Place,
        asker: impl FnOnce(Ear) -> object_store::Result<S>,
    ) -> io::Result<Heard> {
        let ear = Ear::default();
        let heard = ear.0.clone();
        let store = asker(ear).map_err(|error| unusable(place, &error))?;
        let key = place.key().clone();
        runtime::run(async move {
            let head = GetOptions { head: true, ..GetOptions::default() };
            // They fail, each after it was heard.
            let _ = store.get_opts(&key, head).await;
            let _ = store.list(None).next().await;
        })?;
        let (urls, options) = std::mem::take(&mut *heard.lock());
        match (<[Url; 2]>::try_from(urls), options) {
            (Ok([object, container]), Some(options)) => Ok(Heard { object, container, options }),
            _ => Err(io::Error::other(format!("{place}: the client library asks for it in an unknown way"))),
        }
    }
}

/// Hears what is asked for, and with which settings, and passes nothing on.
#[derive(Clone, Debug, Default)]
struct Ear(Arc<Mutex<(Vec<Url>, Option<ClientOptions>)>>);

impl HttpConnector for Ear {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        self.0.lock().1 = Some(options.clone());
        let heard = self.0.clone();
        Ok(service(move |request| {
            if let Ok(mut url) = Url::parse(&request.uri().to_string()) {
                url.set_query(None);
                heard.lock().0.push(url);
            }
            let nobody = io::Error::other("nobody is there");
            std::future::ready(Err(HttpError::new(HttpErrorKind::Unknown, nobody)))
        }))
    }
}

fn unusable(place: &Place, error: &object_store::Error) -> io::Error {
    let what = format!("{place}: {}", place.redact(&error.to_string()));
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn is_true(value: Option<String>) -> bool {
    value
        .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "on" | "yes" | "y"))
}

/// What the store is to encrypt with, where the settings say.
fn encryption_of(store: &Store) -> Vec<(&'static str, String)> {
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
fn refuse_unheeded(place: &Place, store: &Store) -> io::Result<()> {
    let what = match store {
        Store::S3 { settings, .. } => unheeded_of_s3(&|key| settings.get_config_value(&key)),
        Store::Azure { settings, .. } => {
            settings.get_config_value(&AzureConfigKey::EncryptionKey).map(|_| A_KEY_OF_ONES_OWN)
        }
        Store::Gcs { .. } | Store::Http { .. } => None,
    };
    match what {
        Some(what) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, format!("{place}: uploads do not know {what}")))
        }
        None => Ok(()),
    }
}

fn unheeded_of_s3(say: &dyn Fn(AmazonS3ConfigKey) -> Option<String>) -> Option<&'static str> {
    let customer_key = "aws_sse_customer_key_base64".parse().ok();
    let conditions = say(AmazonS3ConfigKey::ConditionalPut).unwrap_or_default();
    if customer_key.and_then(say).is_some() {
        Some(A_KEY_OF_ONES_OWN)
    } else if is_true(say(AmazonS3ConfigKey::S3Express)) {
        Some("a directory bucket")
    } else if say(AmazonS3ConfigKey::Checksum).is_some() {
        Some("a checksum algorithm (the setting aws_checksum_algorithm)")
    } else if conditions.trim().eq_ignore_ascii_case("disabled") {
        Some("a store without conditions (the setting aws_conditional_put)")
    } else {
        None
    }
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

const A_KEY_OF_ONES_OWN: &str = "a key of one's own for the store's encryption";
