//! The client of each kind of store, made for a place.
//! Knows no request. It makes none again: that is done here, where the answer is seen.

use std::{fs, io, sync::Arc, time::Duration};

use object_store::{
    ClientOptions, HeaderMap, HeaderValue, ObjectStore, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey},
    azure::{MicrosoftAzure, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder},
    http::{HttpBuilder, HttpStore},
};

use reqwest::header::AUTHORIZATION;

use crate::{
    client::Redirects,
    connector::RecordingConnector,
    place::{IDENTITY_ENDPOINT, Place, PlaceKind, SERVICE_ACCOUNT},
    settings,
};

/// The settings of a client for a place, its options with them. The library's builders take them by the same names, and have no trait for it.
/// An option that its builder takes by a method alone is named with that.
macro_rules! settings_of {
    ($builder:ident, $place:expr $(, $option:ident => $take:ident)?) => {{
        let mut settings = $builder::new().with_client_options(client_options());
        for (name, value) in $place.options() {
            $(if name == $option {
                settings::check(name, value)?;
                settings = settings.$take(value);
                continue;
            })?
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                settings::check(name, value)?;
                settings = settings.with_config(key, value);
            }
        }
        settings
            .with_url($place.base())
            .with_retry(no_retries())
            .with_http_connector(RecordingConnector::of_store())
    }};
}

/// A store's client.
pub(crate) enum Store {
    S3 { store: Arc<AmazonS3>, settings: Box<AmazonS3Builder> },
    Gcs { store: Arc<GoogleCloudStorage>, settings: Box<GoogleCloudStorageBuilder> },
    Azure { store: Arc<MicrosoftAzure>, settings: Box<MicrosoftAzureBuilder> },
    Http { store: Arc<HttpStore> },
}

impl Store {
    /// The client for `place`. Nothing is sent.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`]: an option's value cannot be read, or the URL names no such store.
    pub(crate) fn open(place: &Place) -> io::Result<Self> {
        let made = match place.kind() {
            PlaceKind::S3 => Self::s3(place),
            PlaceKind::Gcs => Self::gcs(place),
            PlaceKind::Azure => Self::azure(place),
            PlaceKind::Http => Self::http(place),
        };
        made.map_err(|error| {
            let message = format!("{place}: {}", place.redact(&error.to_string()));
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })
    }

    /// The client as any store.
    pub(crate) fn any(&self) -> Arc<dyn ObjectStore> {
        match self {
            Self::S3 { store, .. } => store.clone(),
            Self::Gcs { store, .. } => store.clone(),
            Self::Azure { store, .. } => store.clone(),
            Self::Http { store } => store.clone(),
        }
    }

    fn s3(place: &Place) -> object_store::Result<Self> {
        check_token_file(place)?;
        let settings = settings_of!(AmazonS3Builder, place);
        Ok(Self::S3 { store: Arc::new(settings.clone().build()?), settings: Box::new(settings) })
    }

    fn gcs(place: &Place) -> object_store::Result<Self> {
        let settings =
            settings_of!(GoogleCloudStorageBuilder, place, SERVICE_ACCOUNT => with_service_account_path);
        Ok(Self::Gcs { store: Arc::new(settings.clone().build()?), settings: Box::new(settings) })
    }

    fn azure(place: &Place) -> object_store::Result<Self> {
        let settings = settings_of!(MicrosoftAzureBuilder, place, IDENTITY_ENDPOINT => with_msi_endpoint);
        Ok(Self::Azure { store: Arc::new(settings.clone().build()?), settings: Box::new(settings) })
    }

    /// The whole URL is the base, and the key is empty: so it is sent as it was written, its query with it.
    fn http(place: &Place) -> object_store::Result<Self> {
        let options = client_options().with_allow_http(place.base().starts_with("http:"));
        let mut headers = HeaderMap::new();
        if let Some(mut value) = place.authorization().and_then(|value| HeaderValue::try_from(value).ok()) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // The query may be a signature.
        let has_secret = !headers.is_empty() || place.base().contains('?');
        let redirects = if has_secret { Redirects::WithinServer } else { Redirects::Anywhere };
        let builder = HttpBuilder::new()
            .with_url(place.base())
            .with_client_options(options)
            .with_retry(no_retries())
            .with_http_connector(RecordingConnector::of_server(redirects, headers));
        Ok(Self::Http { store: Arc::new(builder.build()?) })
    }
}

/// A token of a container goes into a header as it stands in its file, and the library panics at one that cannot.
///
/// # Errors
/// It cannot. Where it cannot be read, or is not needed, nothing is said here.
fn check_token_file(place: &Place) -> object_store::Result<()> {
    let option = |key: AmazonS3ConfigKey| {
        let is_it = move |name: &str| {
            name.to_ascii_lowercase().parse().is_ok_and(|named: AmazonS3ConfigKey| named == key)
        };
        place.options().find(|(name, _)| is_it(name)).map(|(_, value)| value)
    };
    let is_unused = option(AmazonS3ConfigKey::AccessKeyId).is_some();
    let Some(file) = option(AmazonS3ConfigKey::ContainerAuthorizationTokenFile).filter(|_| !is_unused) else {
        return Ok(());
    };
    match fs::read(file) {
        Ok(token) if HeaderValue::from_bytes(&token).is_err() => Err(object_store::Error::Generic {
            store: "S3",
            source: "the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names has a line break, or another character that no token has; \
                     write the token alone into it"
                .into(),
        }),
        _ => Ok(()),
    }
}

/// HTTP/1.1, as the library's default is: over one connection of HTTP/2, Google's store stops at some 250 MB/s. How long a
/// request may take is not limited, only how long it may bring nothing, and that is looked at where its body is read.
fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(USER_AGENT))
        .with_http1_only()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
}

fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

const USER_AGENT: &str = concat!("cofferdam/", env!("CARGO_PKG_VERSION"));
/// How long a connection may take to be made; then it is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use object_store::azure::AzureConfigKey;

    use super::*;

    fn place(url: &str, options: &[(&str, &str)]) -> Place {
        Place::parse(url, options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
            .unwrap()
    }

    #[test]
    fn options_are_read_as_variables_of_the_environment_are() {
        let options = [
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ENDPOINT_URL", "http://localhost:1"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        let Store::S3 { settings, .. } = Store::open(&place("s3://bucket/key", &options)).unwrap() else {
            panic!("another store")
        };
        assert_eq!(settings.get_config_value(&AmazonS3ConfigKey::Region).as_deref(), Some("eu-west-1"));
        assert_eq!(
            settings.get_config_value(&AmazonS3ConfigKey::Endpoint).as_deref(),
            Some("http://localhost:1")
        );

        let options = [("AZURE_STORAGE_ACCOUNT_NAME", "account"), ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")];
        let Store::Azure { settings, .. } = Store::open(&place("az://container/key", &options)).unwrap()
        else {
            panic!("another store")
        };
        assert_eq!(settings.get_config_value(&AzureConfigKey::AccountName).as_deref(), Some("account"));
    }

    #[test]
    fn a_value_that_cannot_be_read_is_an_error_without_secrets() {
        let options =
            [("AZURE_STORAGE_ACCOUNT_NAME", "account"), ("AZURE_STORAGE_ACCOUNT_KEY", "no base 64!")];
        let Err(error) = Store::open(&place("az://container/key", &options)) else { panic!("accepted") };
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(!error.to_string().contains("no base 64!"), "{error}");
    }

    #[test]
    fn a_token_that_no_header_can_have_is_refused_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let opened = |token: &[u8], more: &[(&str, &str)]| {
            fs::write(&file, token).unwrap();
            let path = file.to_str().unwrap();
            let mut options = vec![("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path), ("AWS_REGION", "r")];
            options.extend(more);
            Store::open(&place("s3://bucket/key", &options)).map(drop)
        };
        for token in [&b"5ecret\n"[..], b"5ecret\r\n", b"two\nlines", b"\0"] {
            let error = opened(token, &[]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(
                error.to_string().contains("the token alone") && !error.to_string().contains("5ecret"),
                "{error}"
            );
            // Who has a key needs none.
            assert!(opened(token, &[("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "k")]).is_ok());
        }
        assert!(opened(b"5ecret", &[]).is_ok());
    }
}
