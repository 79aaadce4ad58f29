//! The HTTP client under a store's own: which settings it heeds, and where it goes when an answer points elsewhere.
//! Knows no store and no request. The one that `object_store` would make goes anywhere, and says there where it came from.

use std::{
    error::Error,
    net::{SocketAddr, ToSocketAddrs},
    time::Duration,
};

use object_store::{ClientOptions, HeaderMap, client::ClientConfigKey};
use reqwest::{
    Certificate, NoProxy, Proxy,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use url::Url;

/// Which redirects are followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Redirects {
    /// None: what was signed for one store is not sent to another.
    Never,
    /// Those to the same scheme, host and port, since the URL has a secret in it.
    WithinServer,
    /// Those to any server, but from `https:` to `http:`.
    Anywhere,
}

impl Redirects {
    /// What is not followed is the answer.
    fn policy(self) -> Policy {
        Policy::custom(move |attempt| match self.lead_on(attempt.previous(), attempt.url()) {
            true => attempt.follow(),
            false => attempt.stop(),
        })
    }

    /// Whether one from the last of `visited`, of which there is one at least, to `next` is followed.
    fn lead_on(self, visited: &[Url], next: &Url) -> bool {
        let was_secure = visited.iter().any(|url| url.scheme() == "https");
        let is_usable = next.scheme() == "https" || (next.scheme() == "http" && !was_secure);
        let is_within = visited.iter().all(|url| url.origin() == next.origin());
        let allowed = match self {
            Self::Never => false,
            Self::WithinServer => is_within,
            Self::Anywhere => true,
        };
        allowed && is_usable && visited.len() <= REDIRECTS_MAX
    }
}

/// The client for `options`, which sends `headers` with each request. It speaks HTTP/1.1, so settings of HTTP/2 are not looked at.
///
/// # Errors
/// A setting cannot be read or used.
pub(crate) fn client(
    options: &ClientOptions,
    headers: HeaderMap,
    redirects: Redirects,
) -> object_store::Result<reqwest::Client> {
    let settings = Settings(options);
    let mut builder = builder(&settings, headers, redirects)?;
    if let Some(limit) = settings.duration(ClientConfigKey::ReadTimeout)? {
        builder = builder.read_timeout(limit);
    }
    builder.build().map_err(no_client)
}

/// The client for requests that bring bytes, to one store alone; and how long such a request may move nothing, where `options` say: the
/// client itself would take the time for which a body is sent for silence.
///
/// # Errors
/// As [`client`].
pub(crate) fn sending_client(
    options: &ClientOptions,
) -> object_store::Result<(reqwest::Client, Option<Duration>)> {
    let settings = Settings(options);
    let client = builder(&settings, HeaderMap::new(), Redirects::Never)?.build().map_err(no_client)?;
    Ok((client, settings.duration(ClientConfigKey::ReadTimeout)?))
}

/// Whether `options` allow requests without TLS.
///
/// # Errors
/// The setting cannot be read.
pub(crate) fn allows_http(options: &ClientOptions) -> object_store::Result<bool> {
    Settings(options).is_on(ClientConfigKey::AllowHttp)
}

fn builder(
    settings: &Settings<'_>,
    headers: HeaderMap,
    redirects: Redirects,
) -> object_store::Result<reqwest::ClientBuilder> {
    use ClientConfigKey as Key;
    let mut builder = reqwest::Client::builder()
        .http1_only()
        .default_headers(headers)
        .redirect(redirects.policy())
        .referer(false)
        .https_only(!settings.is_on(Key::AllowHttp)?)
        .tls_danger_accept_invalid_certs(settings.is_on(Key::AllowInvalidCertificates)?)
        .pool_idle_timeout(settings.duration(Key::PoolIdleTimeout)?.unwrap_or(POOL_IDLE_MAX));
    if let Some(agent) = settings.text(Key::UserAgent) {
        builder = builder.user_agent(agent);
    }
    if settings.is_on(Key::NoSystemCertificates)? {
        builder = builder.tls_certs_only([]);
    }
    if let Some(limit) = settings.duration(Key::Timeout)? {
        builder = builder.timeout(limit);
    }
    if let Some(limit) = settings.duration(Key::ConnectTimeout)? {
        builder = builder.connect_timeout(limit);
    }
    if let Some(count) = settings.text(Key::PoolMaxIdlePerHost) {
        let count = count.parse().map_err(|_| unusable(Key::PoolMaxIdlePerHost.as_ref()))?;
        builder = builder.pool_max_idle_per_host(count);
    }
    if let Some(url) = settings.text(Key::ProxyUrl) {
        let mut proxy = Proxy::all(url).map_err(no_client)?;
        if let Some(certificate) = settings.text(Key::ProxyCaCertificate) {
            let certificate = Certificate::from_pem(certificate.as_bytes()).map_err(no_client)?;
            builder = builder.tls_certs_merge([certificate]);
        }
        if let Some(excludes) = settings.text(Key::ProxyExcludes) {
            proxy = proxy.no_proxy(NoProxy::from_string(&excludes));
        }
        builder = builder.proxy(proxy);
    }
    if settings.is_on(Key::RandomizeAddresses)? {
        builder = builder.dns_resolver(Shuffled);
    }
    Ok(builder)
}

/// The settings of a client, which the library keeps to itself but for their texts.
struct Settings<'a>(&'a ClientOptions);

impl Settings<'_> {
    fn text(&self, key: ClientConfigKey) -> Option<String> {
        self.0.get_config_value(&key)
    }

    fn is_on(&self, key: ClientConfigKey) -> object_store::Result<bool> {
        match self.text(key).unwrap_or_default().to_ascii_lowercase().as_str() {
            "1" | "true" | "on" | "yes" | "y" => Ok(true),
            "" | "0" | "false" | "off" | "no" | "n" => Ok(false),
            _ => Err(unusable(key.as_ref())),
        }
    }

    fn duration(&self, key: ClientConfigKey) -> object_store::Result<Option<Duration>> {
        let read = |text: String| humantime::parse_duration(&text).map_err(|_| unusable(key.as_ref()));
        self.text(key).map(read).transpose()
    }
}

fn unusable(key: &str) -> object_store::Error {
    no_client(format!("the setting {key} has a value that cannot be read"))
}

fn no_client(why: impl Into<Box<dyn Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "HTTP client", source: why.into() }
}

/// A name's addresses in any order, so that connections spread over the machines of a store.
struct Shuffled;

impl Resolve for Shuffled {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let look_up = move || (name.as_str(), 0).to_socket_addrs().map(Vec::from_iter);
            let mut addresses: Vec<SocketAddr> = tokio::task::spawn_blocking(look_up).await??;
            fastrand::shuffle(&mut addresses);
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// In a row; RFC 9110 §15.4 leaves it to the client.
const REDIRECTS_MAX: usize = 10;
/// How long an idle connection is kept; the default of the client library below.
const POOL_IDLE_MAX: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_no_further_than_they_may() {
        let leads = |redirects: Redirects, visited: &[&str], next: &str| {
            let visited: Vec<_> = visited.iter().map(|url| Url::parse(url).unwrap()).collect();
            redirects.lead_on(&visited, &Url::parse(next).unwrap())
        };
        for (visited, next, within, anywhere) in [
            (&["http://a/1"][..], "http://a/2", true, true),
            (&["https://a/1"], "https://a:443/2?x", true, true),
            (&["https://a/1"], "https://b/1", false, true),
            (&["https://a/1"], "https://a:8443/1", false, true),
            (&["http://a/1"], "https://a/1", false, true),
            (&["https://a/1"], "http://a/1", false, false),
            (&["https://a:8443/1"], "http://a:8443/1", false, false),
            (&["https://a/1", "https://b/1"], "https://a/1", false, true),
            (&["https://a/1", "https://b/1"], "http://b/1", false, false),
            (&["https://a/1"], "ftp://a/1", false, false),
            (&["http://a/1"; 10], "http://a/1", true, true),
            (&["http://a/1"; 11], "http://a/1", false, false),
        ] {
            assert!(!leads(Redirects::Never, visited, next), "{visited:?} {next}");
            assert_eq!(leads(Redirects::WithinServer, visited, next), within, "{visited:?} {next}");
            assert_eq!(leads(Redirects::Anywhere, visited, next), anywhere, "{visited:?} {next}");
        }
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_named_without_its_value() {
        let made = |key, value: &str| {
            client(&ClientOptions::new().with_config(key, value), HeaderMap::new(), Redirects::Never)
        };
        for (key, good) in [
            (ClientConfigKey::AllowHttp, "Yes"),
            (ClientConfigKey::ConnectTimeout, "3 s"),
            (ClientConfigKey::PoolMaxIdlePerHost, "7"),
            (ClientConfigKey::ProxyUrl, "http://proxy:3128"),
        ] {
            assert!(made(key, good).is_ok(), "{key:?}");
            if key != ClientConfigKey::ProxyUrl {
                let error = made(key, "5ecret").unwrap_err().to_string();
                assert!(error.contains(key.as_ref()) && !error.contains("5ecret"), "{error}");
            }
        }
    }
}
