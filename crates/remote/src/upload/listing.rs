//! Uploads that nobody has completed or given up, of a machine that died for instance: listed, and given up one by one.
//! Knows of an upload what the store says: its key, its name and when it was begun.

use std::time::{Duration, SystemTime};
use std::{fmt, io};

use chrono::{DateTime, Utc};
use url::Url;

use super::address::Address;
use super::calls::{AttemptName, Calls, Dialect};
use super::persist::{Cause, Patience};
use super::settle::give_up;
use super::xml::UploadEntry;
use super::{UploadOptions, failed};
use crate::moment::http_date;
use crate::{Place, runtime};

/// The unfinished uploads of keys that begin in one way.
pub struct UnfinishedUploads {
    /// Some object there, by which the store is reached.
    sample: Place,
    prefix: String,
    shown: String,
    patience: Patience,
}

/// An upload that is neither completed nor given up.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct UnfinishedUpload {
    /// The key of the object that it would make.
    pub key: String,
    /// The store's name for it.
    pub id: String,
    /// When it was begun, by the store's clock; not every store says so.
    pub begun: Option<SystemTime>,
    /// How long ago that was when it was listed, by the store's clock or by this machine's, whichever says less; nothing where the store
    /// does not say when the upload was begun, or what time it is.
    pub age: Option<Duration>,
}

impl UnfinishedUploads {
    /// Of what is named by `url`: `s3://bucket`, `s3://bucket/some/prefix`, or the same of `gs:`. A prefix is compared byte by byte: one
    /// that is to end with a directory's name ends with `/`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] as [`Place::parse`]; [`io::ErrorKind::Unsupported`] where there is nothing to be listed: on an
    /// HTTP server, and on Azure, where blocks that nobody made a blob of expire within a week.
    pub fn open(
        url: &str,
        options: impl IntoIterator<Item = (String, String)>,
        how: &UploadOptions,
    ) -> io::Result<UnfinishedUploads> {
        // One slash, and no more: an empty name between two is a variable that was not set.
        let bare = url.strip_suffix('/').unwrap_or(url);
        let has_key = bare.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        let sample = if has_key { bare.to_owned() } else { format!("{bare}/x") };
        let sample = Place::parse(&sample, options)?;
        let mut prefix = if has_key { sample.key().to_string() } else { String::new() };
        if has_key && url.ends_with('/') {
            prefix.push('/');
        }
        let patience = Patience::of(&sample, how);
        let listing = UnfinishedUploads { sample, prefix, shown: url.to_owned(), patience };
        match listing.address(&listing.sample)?.dialect {
            Dialect::S3 | Dialect::Gcs => Ok(listing),
            Dialect::Azure => Err(io::Error::new(io::ErrorKind::Unsupported, AZURE)),
        }
    }

    /// Lists them, in the order of their keys.
    ///
    /// # Errors
    /// An [`UploadFault`](super::UploadFault); also where there are more than 100,000, or their keys and names have more than 64 MiB.
    pub fn uploads(&self) -> io::Result<Vec<UnfinishedUpload>> {
        let Address { dialect, object, container, wire, .. } = self.address(&self.sample)?;
        let calls = Calls { wire, dialect, object, attempt: AttemptName::new()?, settings: Vec::new() };
        let (patience, prefix) = (self.patience.clone(), self.prefix.clone());
        let listed = runtime::run(async move {
            let (mut listed, mut len, mut after) = (Vec::new(), 0, None::<(String, String)>);
            for _ in 0..PAGES_MAX {
                let list = || async { calls.list_uploads(&container, &prefix, after.as_ref()).await };
                let page = patience.persist("listing uploads", list).await?;
                let now = page.date.as_deref().and_then(parse_date);
                // Not every store keeps to the prefix.
                for upload in page.uploads.into_iter().filter(|upload| upload.key.starts_with(&prefix)) {
                    check_name(&upload.key).and_then(|()| check_name(&upload.upload_id))?;
                    len += upload.key.len() + upload.upload_id.len();
                    listed.push(UnfinishedUpload::of(upload, now, SystemTime::now()));
                }
                let Some(next) = page.next else { return Ok(listed) };
                // Of one key they come by their age, in no order of their names.
                if after.as_ref().is_some_and(|after| next.0 < after.0 || next == *after) {
                    return Err(Cause::unsendable("the store's list goes back"));
                }
                check_name(&next.0).and_then(|()| check_name(&next.1))?;
                after = Some(next);
                if listed.len() > UPLOADS_MAX || len > LISTED_LEN_MAX {
                    break;
                }
            }
            Err::<Vec<_>, Cause>(Cause::unsendable("there are too many to list; a longer prefix has fewer"))
        })?;
        let mut listed =
            listed.map_err(|cause| failed(&self.sample, &self.shown, "uploads cannot be listed", &cause))?;
        // Not every store keeps to it.
        listed.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(listed)
    }

    /// Gives `upload` up: what was sent of it is lost, also to a program that is still sending it.
    ///
    /// # Errors
    /// An [`UploadFault`](super::UploadFault): it may still be there.
    pub fn abort(&self, upload: &UnfinishedUpload) -> io::Result<()> {
        let shown = format!("{}/{}", self.sample.base(), escaped(&upload.key));
        let Address { dialect, container, wire, .. } = self.address(&self.sample)?;
        let Some(object) = object_in(&container, &upload.key) else {
            let cause = Cause::unsendable("a key with a `.` or `..` between slashes cannot be asked for");
            return Err(failed(&self.sample, &shown, "the upload could not be given up", &cause));
        };
        let calls = Calls { wire, dialect, object, attempt: AttemptName::new()?, settings: Vec::new() };
        let (id, at_most) = (upload.id.clone(), self.patience.abort_max);
        let gone = runtime::run(async move { give_up(&calls, &id, at_most).await })?;
        gone.map(drop)
            .map_err(|cause| failed(&self.sample, &shown, "the upload could not be given up", &cause))
    }

    fn address(&self, place: &Place) -> io::Result<Address> {
        Address::of(place, &self.patience.policy)
    }
}

/// # Errors
/// No store takes a key so long, and none has such a name for an upload.
fn check_name(name: &str) -> Result<(), Cause> {
    match name.len() > NAME_LEN_MAX {
        true => Err(Cause::unsendable("the store lists a key or a name that is longer than any")),
        false => Ok(()),
    }
}

/// The address of the object `key`, which a [`Place`] may refuse and a store may have; nothing if a URL would make another one of it.
fn object_in(container: &Url, key: &str) -> Option<Url> {
    let key = escaped(key);
    let object = Url::parse(&format!("{}/{key}", container.as_str().trim_end_matches('/'))).ok()?;
    object.as_str().ends_with(&format!("/{key}")).then_some(object)
}

fn escaped(key: &str) -> String {
    let mut escaped = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => escaped.push(byte.into()),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

impl UnfinishedUpload {
    /// `now` is the store's time, if it says so, and `own_now` what time it is here.
    fn of(upload: UploadEntry, now: Option<SystemTime>, own_now: SystemTime) -> UnfinishedUpload {
        let begun = parse_time(&upload.initiated);
        // One that was begun after the list was made is as old as that: a store may have several clocks.
        let age =
            now.zip(begun).map(|(now, begun)| now.min(own_now).duration_since(begun).unwrap_or_default());
        UnfinishedUpload { key: upload.key, id: upload.upload_id, begun, age }
    }
}

impl fmt::Debug for UnfinishedUploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnfinishedUploads").field("url", &self.shown).finish_non_exhaustive()
    }
}

/// A time as stores write it in a list (RFC 3339): `2010-11-10T20:48:33.000Z`. Fractions of a second are left out.
fn parse_time(text: &str) -> Option<SystemTime> {
    since_1970(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// A time as servers write it in a header, in whole seconds.
fn parse_date(text: &str) -> Option<SystemTime> {
    since_1970(http_date(text)?.and_utc())
}

fn since_1970(time: DateTime<Utc>) -> Option<SystemTime> {
    let seconds = u64::try_from(time.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

const UPLOADS_MAX: usize = 100_000;
/// Bytes of all their keys and names.
const LISTED_LEN_MAX: usize = 64 << 20;
/// Of a key or an upload's name, in bytes: S3 and Google take keys of up to 1,024.
const NAME_LEN_MAX: usize = 1024;
/// A store that gives short pages needs more of them; one that never comes to an end is left.
const PAGES_MAX: usize = 2000;
const AZURE: &str =
    "Azure has no uploads that could be listed: blocks that nobody made a blob of expire within a week";

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds as `date -u -d … +%s` gives them.
    #[test]
    fn times_of_stores_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2010-11-10T20:48:33.000Z", 1_289_422_113),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2000-03-01T00:00:00.5Z", 951_868_800),
            ("2010-11-10T21:48:33+01:00", 1_289_422_113),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(
                parse_time(text),
                Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
                "{text}"
            );
        }
        let date = parse_date("Wed, 10 Nov 2010 20:48:33 GMT");
        assert_eq!(date, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_289_422_113)));
        for text in ["", "2010-11-10", "2010-11-10T20:48Z", "2010-13-10T20:48:33Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(parse_time(text), None, "{text}");
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
