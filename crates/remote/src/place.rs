//! Where an object is: a URL, taken apart, and the options that a store takes.
//! Makes no request. What is secret in either is in no text that this crate makes.

use std::{fmt, io};

use base64::prelude::{BASE64_STANDARD, Engine};
use object_store::path::Path;
use percent_encoding::percent_decode_str;
use url::Url;

/// An object in a store, or a file on an HTTP server.
///
/// Its text form, also for debugging, is the URL without its query and without a user name or password: those may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    kind: PlaceKind,
    /// Scheme and authority of a store, `s3://bucket`; the whole URL on an HTTP server, but for the user in it.
    base: String,
    /// `user:password` in base 64, as RFC 7617 sends it.
    user: Option<String>,
    key: Path,
    shown: String,
    options: Vec<(String, String)>,
}

/// What is spoken to a [`Place`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PlaceKind {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage, its XML interface.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A server of files.
    Http,
}

impl Place {
    /// Whether `text` names a place, and not a file: it begins with one of the schemes, and `://`.
    pub fn is_url(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| PlaceKind::of_scheme(scheme).is_some())
    }

    /// Takes `url` apart: `s3://bucket/key` (also `s3a`), `gs://bucket/key`, `az://container/key` (also `azure`, `adl`, `abfs`,
    /// `abfss`, and `abfss://container@account.dfs.core.windows.net/key`), `http://…`, `https://…`. A key is what the path says
    /// after its percent escapes have been decoded once. `options` are read as `object_store` reads variables of the
    /// environment: those of a store begin with `AWS_`, `GOOGLE_` or `AZURE_`, others are ignored.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`], with what is wrong: another scheme, no bucket, an empty key or one that ends with `/`, a `?` or
    /// `#` in a key that is not escaped (in a URL they would end it), a `%` that escapes nothing, and keys that the client library
    /// cannot send: with an empty, `.` or `..` segment, or a control character.
    pub fn parse(url: &str, options: impl IntoIterator<Item = (String, String)>) -> io::Result<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("not a URL: it has no scheme"))?;
        let kind = PlaceKind::of_scheme(scheme)
            .ok_or_else(|| invalid("not a URL of a store or server: s3, gs, az, http and https are known"))?;
        match kind {
            PlaceKind::Http => Self::on_server(url),
            kind => Self::in_store(kind, scheme, rest, options),
        }
    }

    fn in_store(
        kind: PlaceKind,
        scheme: &str,
        rest: &str,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> io::Result<Self> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() || authority.contains(['?', '#', ':', '%', '\\']) {
            return Err(invalid(&format!("no {} between `{scheme}://` and the key", kind.container_noun())));
        }
        if authority.contains('@') && kind != PlaceKind::Azure {
            return Err(invalid("a user name or password cannot be given in this URL"));
        }
        let base = format!("{scheme}://{authority}");
        let key =
            parse_key(path).map_err(|what| invalid(&format!("{base}/{}: {what}", without_query(path))))?;
        let options = options.into_iter().filter(|(name, _)| kind.takes_option(name)).collect();
        Ok(Self { kind, shown: format!("{base}/{path}"), base, user: None, key, options })
    }

    fn on_server(url: &str) -> io::Result<Self> {
        let mut parsed = Url::parse(url).map_err(|error| invalid(&format!("not a URL: {error}")))?;
        let user = basic_user(&parsed)?;
        // Neither fails where there is a host, and `http` always has one.
        let _ = parsed.set_username("");
        let _ = parsed.set_password(None);
        let mut shown = parsed.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        let shown = String::from(shown);
        if parsed.fragment().is_some() {
            return Err(invalid(&format!("{shown}: `#` ends the path of a URL; write it as %23")));
        }
        if parsed.path().ends_with('/') {
            return Err(invalid(&format!("{shown}: it names no file")));
        }
        Ok(Self {
            kind: PlaceKind::Http,
            base: parsed.into(),
            user,
            key: Path::default(),
            shown,
            options: Vec::new(),
        })
    }

    /// What is spoken to it.
    pub fn kind(&self) -> PlaceKind {
        self.kind
    }

    /// Whether both name one object, however each is written: `s3a` is `s3`, an escape in a key is its character. Where it cannot be
    /// told they do: options are not compared, nor letters of a bucket by their case, nor an Azure account that one does not name. A store's
    /// object and a file on a server are never taken for one, though a store may serve its objects as files too.
    pub fn is_same_object(&self, other: &Self) -> bool {
        let is_one = |[one, other]: [Option<&str>; 2]| match (one, other) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => true,
        };
        self.kind == other.kind
            && match self.kind {
                PlaceKind::Http => self.base == other.base,
                _ => {
                    let [one, other_one] = [self, other].map(Self::container_and_account);
                    self.key == other.key
                        && is_one([Some(one.0), Some(other_one.0)])
                        && is_one([one.1, other_one.1])
                }
            }
    }

    /// `container@account.dfs.…` names both.
    fn container_and_account(&self) -> (&str, Option<&str>) {
        let (_, authority) = self.base.split_once("://").unwrap_or_default();
        match authority.split_once('@') {
            Some((container, host)) => (container, host.split('.').next()),
            None => (authority, None),
        }
    }

    /// The object whose name is that of this one and `suffix`, which has nothing in it that a URL would escape: in the same bucket or on the
    /// same server, and asked for with the same user, query and options.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`], if no such name can be asked for.
    pub fn beside(&self, suffix: &str) -> io::Result<Self> {
        let mut beside = self.clone();
        beside.shown.push_str(suffix);
        if self.kind == PlaceKind::Http {
            let mut url = Url::parse(&self.base).map_err(|error| invalid(&format!("not a URL: {error}")))?;
            let path = format!("{}{suffix}", url.path());
            url.set_path(&path);
            beside.base = url.into();
        } else {
            let key = format!("{}{suffix}", self.key);
            beside.key = Path::parse(key).map_err(|error| invalid(&format!("{}: {error}", beside.shown)))?;
        }
        Ok(beside)
    }

    /// The key in its bucket or container, decoded; nothing on an HTTP server.
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// What the store's own client is made from: scheme and bucket, or the whole URL on an HTTP server, secrets with it.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// What an HTTP server is told of who asks, as the value of a header; secret.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.user.as_ref().map(|user| format!("Basic {user}"))
    }

    pub(crate) fn options(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `text` without what is secret in the place, in case somebody else's message has it.
    pub(crate) fn redact(&self, text: &str) -> String {
        let secrets = self.secrets();
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"))
    }

    fn secrets(&self) -> Vec<String> {
        let mut secrets: Vec<String> = self
            .options
            .iter()
            .filter(|(name, _)| SECRET_OPTIONS.iter().any(|part| name.to_ascii_uppercase().contains(part)))
            .map(|(_, value)| value.clone())
            .collect();
        if let Some(parsed) = (self.kind == PlaceKind::Http).then(|| Url::parse(&self.base).ok()).flatten() {
            secrets.extend(parsed.query().map(str::to_owned));
        }
        secrets.extend(self.user.clone());
        secrets.retain(|secret| !secret.is_empty());
        secrets
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.shown)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Place({})", self.shown)
    }
}

impl PlaceKind {
    fn of_scheme(scheme: &str) -> Option<Self> {
        match scheme.to_ascii_lowercase().as_str() {
            "s3" | "s3a" => Some(Self::S3),
            "gs" => Some(Self::Gcs),
            "az" | "azure" | "adl" | "abfs" | "abfss" => Some(Self::Azure),
            "http" | "https" => Some(Self::Http),
            _ => None,
        }
    }

    fn container_noun(self) -> &'static str {
        match self {
            Self::Azure => "container",
            _ => "bucket",
        }
    }

    fn takes_option(self, name: &str) -> bool {
        match self {
            Self::S3 => name.starts_with("AWS_"),
            Self::Gcs => name.starts_with("GOOGLE_") || name == SERVICE_ACCOUNT,
            Self::Azure => name.starts_with("AZURE_") || name == IDENTITY_ENDPOINT,
            Self::Http => false,
        }
    }
}

/// The variable of a service account's file that `object_store` reads beside those that begin with `GOOGLE_`.
pub(crate) const SERVICE_ACCOUNT: &str = "SERVICE_ACCOUNT";
/// Where Azure's App Service gives credentials; set there.
pub(crate) const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";

/// An option whose name has one of these may be a secret.
const SECRET_OPTIONS: [&str; 7] = ["SECRET", "TOKEN", "KEY", "SAS", "PASSWORD", "CREDENTIAL", "PROXY_URL"];

/// The key that a path names. `Path::parse` would take off a slash at either end, and so name another object.
fn parse_key(path: &str) -> Result<Path, String> {
    if path.is_empty() {
        return Err("it has no key".into());
    }
    if let Some(mark) = path.chars().find(|mark| matches!(mark, '?' | '#')) {
        let escape = if mark == '?' { "%3F" } else { "%23" };
        return Err(format!("`{mark}` ends the path of a URL; write it as {escape}"));
    }
    if !escapes_are_whole(path) {
        return Err("`%` begins an escape in a URL; write it as %25".into());
    }
    if path.ends_with('/') || path.ends_with("%2F") || path.ends_with("%2f") {
        return Err("a key that ends with `/` names a directory".into());
    }
    if path.starts_with('/') || path.starts_with("%2F") || path.starts_with("%2f") {
        return Err("a key that begins with `/` cannot be asked for".into());
    }
    Path::from_url_path(path).map_err(|error| match error {
        object_store::path::Error::NonUnicode { .. } => "its escapes are no UTF-8".into(),
        object_store::path::Error::EmptySegment { .. } => {
            "a key with `//` in it, which stores allow, has no name in the client library that asks for it; copy the object to another key".into()
        }
        _ => "a key with a `.` or `..` segment, or with a control character, cannot be asked for"
            .into(),
    })
}

fn basic_user(url: &Url) -> io::Result<Option<String>> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from);
    let (Ok(user), Ok(password)) = (decoded(url.username()), decoded(url.password().unwrap_or_default()))
    else {
        return Err(invalid("the escapes of the user name or password in the URL are no UTF-8"));
    };
    let is_given = !user.is_empty() || !password.is_empty();
    Ok(is_given.then(|| BASE64_STANDARD.encode(format!("{user}:{password}"))))
}

fn escapes_are_whole(path: &str) -> bool {
    path.split('%')
        .skip(1)
        .all(|after| after.len() >= 2 && after.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit))
}

fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> io::Result<Place> {
        Place::parse(url, [])
    }

    #[test]
    fn a_key_is_the_path_decoded_once() {
        for (url, kind, key) in [
            ("s3://bucket/db.cfd", PlaceKind::S3, "db.cfd"),
            ("S3A://bucket/a/b/c", PlaceKind::S3, "a/b/c"),
            ("gs://bucket/with%20space", PlaceKind::Gcs, "with space"),
            ("gs://bucket/with space", PlaceKind::Gcs, "with space"),
            ("s3://bucket/100%25", PlaceKind::S3, "100%"),
            ("s3://bucket/100%2525", PlaceKind::S3, "100%25"),
            ("s3://bucket/what%3F%23", PlaceKind::S3, "what?#"),
            ("az://container/Schnappsch%C3%BCsse/ü", PlaceKind::Azure, "Schnappschüsse/ü"),
            ("s3://bucket/a+b&c=d", PlaceKind::S3, "a+b&c=d"),
            ("abfss://container@account.dfs.core.windows.net/k", PlaceKind::Azure, "k"),
        ] {
            let place = parse(url).unwrap();
            assert_eq!((place.kind(), place.key().as_ref()), (kind, key), "{url}");
        }
    }

    #[test]
    fn what_would_name_another_object_is_refused() {
        for url in [
            "s3://bucket",
            "s3://bucket/",
            "s3:///key",
            "s3://bucket/dir/",
            "s3://bucket//key",
            "s3://bucket/%2Fkey",
            "s3://bucket/a//b",
            "s3://bucket/a/../b",
            "s3://bucket/./b",
            "s3://bucket/a/%2e%2e/b",
            "s3://bucket/key?versionId=1",
            "s3://bucket/key#part",
            "s3://bucket/100%",
            "s3://bucket/%zz",
            "s3://bucket/%F",
            "s3://bucket/%FF",
            "s3://bucket/a%00b",
            "s3://bucket/dir%2F",
            "s3://user:secret@bucket/key",
            "s3://bucket:80/key",
            "gs://?/key",
            "ftp://host/file",
            "file:///etc/passwd",
            "db.cfd",
            "http://",
            "http://host",
            "https://host/",
            "https://host/dir/",
            "https://host/file#part",
            "https://host/%/../..",
        ] {
            let error = parse(url).expect_err(url);
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
            assert!(!error.to_string().contains("versionId"), "{error}");
        }
    }

    #[test]
    fn a_key_that_the_library_has_no_name_for_is_refused_with_the_reason() {
        for (url, reason) in [
            ("s3://bucket/a//b", "client library"),
            ("gs://bucket/a/%2Fb", "client library"),
            ("s3://bucket/a/../b", "`..`"),
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn only_what_begins_with_a_scheme_is_a_url() {
        for url in ["s3://b/k", "gs://b/k", "az://c/k", "http://h/f", "HTTPS://h/f", "abfss://c/k"] {
            assert!(Place::is_url(url), "{url}");
        }
        for file in ["./s3://b/k", "s3:/b/k", "s3", "a.cfd", "/s3://b", "ftp://h/f", "-", ""] {
            assert!(!Place::is_url(file), "{file}");
        }
    }

    #[test]
    fn one_object_is_known_however_it_is_written() {
        let same = [
            ("s3://b/k", "s3://b/k"),
            ("s3://b/k", "s3a://b/k"),
            ("S3://b/k", "s3://B/%6b"),
            ("s3://b/a%2Fk", "s3://b/a/k"),
            ("s3://b/a%20k", "s3://b/a k"),
            ("az://c/k", "azure://c/k"),
            ("abfss://c@one.dfs.core.windows.net/k", "az://c/k"),
            ("abfss://c@one.dfs.core.windows.net/k", "abfs://c@One.blob.core.windows.net/k"),
            ("https://u:p@h/k", "HTTPS://H:443/k"),
        ];
        let others = [
            ("s3://b/k", "s3://b/K"),
            ("s3://b/k", "s3://c/k"),
            ("s3://b/%6b", "s3://b/%256b"),
            ("s3://b/k", "gs://b/k"),
            ("az://c/k", "az://d/k"),
            ("abfss://c@one.dfs.core.windows.net/k", "abfss://c@two.dfs.core.windows.net/k"),
            ("https://h/k?version=1", "https://h/k?version=2"),
        ];
        for (is_same, pairs) in [(true, &same[..]), (false, &others[..])] {
            for (one, other) in pairs {
                let [a, b] = [one, other].map(|url| parse(url).unwrap());
                assert_eq!((a.is_same_object(&b), b.is_same_object(&a)), (is_same, is_same), "{one} {other}");
            }
        }
    }

    /// A query is often what gives access, and belongs to the server as a user does.
    #[test]
    fn what_is_beside_an_object_is_in_the_same_place_and_asked_for_alike() {
        for (url, key, base, shown) in [
            ("s3://b/dir/db%2B.cfd", "dir/db+.cfd.sig", "s3://b", "s3://b/dir/db%2B.cfd.sig"),
            ("gs://b/a b", "a b.sig", "gs://b", "gs://b/a b.sig"),
            ("http://u:p@h:8/a%20b?token=1", "", "http://h:8/a%20b.sig?token=1", "http://h:8/a%20b.sig"),
        ] {
            let (place, beside) = (parse(url).unwrap(), parse(url).unwrap().beside(".sig").unwrap());
            assert_eq!((beside.key().as_ref(), beside.base()), (key, base), "{url}");
            assert_eq!((beside.to_string().as_str(), beside.kind()), (shown, place.kind()), "{url}");
            assert_eq!(beside.authorization(), place.authorization(), "{url}");
        }
        let options = [("AWS_REGION".to_owned(), "eu-west-1".to_owned())];
        let place = Place::parse("s3://b/k", options).unwrap();
        assert_eq!(
            place.beside(".sig").unwrap().options().collect::<Vec<_>>(),
            [("AWS_REGION", "eu-west-1")]
        );
    }

    #[test]
    fn nothing_secret_is_shown() {
        let place = parse("https://user:pa55word@host:8443/dir/file?X-Amz-Signature=5ecret").unwrap();
        assert_eq!(place.to_string(), "https://host:8443/dir/file");
        assert_eq!(format!("{place:?}"), "Place(https://host:8443/dir/file)");
        assert_eq!(place.redact("GET /dir/file?X-Amz-Signature=5ecret"), "GET /dir/file?…");
        assert_eq!(place.base(), "https://host:8443/dir/file?X-Amz-Signature=5ecret");

        let options =
            [("AWS_SECRET_ACCESS_KEY", "5ecret"), ("AWS_REGION", "eu-west-1"), ("GOOGLE_TOKEN", "other")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let place = Place::parse("s3://bucket/key", options).unwrap();
        assert_eq!(
            place.options().map(|(name, _)| name).collect::<Vec<_>>(),
            ["AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
        );
        assert!(!format!("{place:?}{place}").contains("5ecret"));
        assert_eq!(place.redact("5ecret in eu-west-1"), "… in eu-west-1");
    }

    #[test]
    fn an_address_on_a_server_is_sent_as_it_is_written() {
        let place = parse("http://host/a%2Fb/c%20d?x=1&y=%2F").unwrap();
        assert_eq!(place.base(), "http://host/a%2Fb/c%20d?x=1&y=%2F");
        assert_eq!(place.key().as_ref(), "");
    }
}
