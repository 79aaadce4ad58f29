//! Uploads that nobody has completed or given up, of a machine that died for instance: listed, and given up one by one.
//! Knows of an upload what the store says: its key, its name and when it was begun.

use std::time::{Duration, SystemTime};
use std::{fmt, io};

use super::address::Address;
use super::calls::{AttemptName, Calls, Dialect};
use super::persist::{Cause, Patience};
use super::settle::give_up;
use super::{UploadOptions, failed};
use crate::{Place, runtime};

/// The unfinished uploads of keys that begin in one way.
pub struct UnfinishedUploads {
    /// Some object there, by which the store is reached.
    sample: Place,
    prefix: String,
    shown: String,
    options: Vec<(String, String)>,
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
        let options: Vec<_> = options.into_iter().collect();
        // One slash, and no more: an empty name between two is a variable that was not set.
        let bare = url.strip_suffix('/').unwrap_or(url);
        let has_key = bare.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        let sample = if has_key { bare.to_owned() } else { format!("{bare}/x") };
        let sample = Place::parse(&sample, options.clone())?;
        let mut prefix = if has_key { sample.key().to_string() } else { String::new() };
        if has_key && url.ends_with('/') {
            prefix.push('/');
        }
        let patience = Patience::of(&sample, how);
        let listing = UnfinishedUploads { sample, prefix, shown: url.to_owned(), options, patience };
        match listing.address(&listing.sample)?.dialect {
            Dialect::S3 | Dialect::Gcs => Ok(listing),
            Dialect::Azure => Err(io::Error::new(io::ErrorKind::Unsupported, AZURE)),
        }
    }

    /// Lists them, in the order of their keys.
    ///
    /// # Errors
    /// An [`UploadFault`](super::UploadFault); also where there are more than 100,000.
    pub fn uploads(&self) -> io::Result<Vec<UnfinishedUpload>> {
        let Address { dialect, object, container, wire, .. } = self.address(&self.sample)?;
        let calls = Calls { wire, dialect, object, attempt: AttemptName::new()?, settings: Vec::new() };
        let (patience, prefix) = (self.patience.clone(), self.prefix.clone());
        let listed = runtime::run(async move {
            let (mut listed, mut after) = (Vec::new(), None::<(String, String)>);
            for _ in 0..PAGES_MAX {
                let list = || async { calls.list_uploads(&container, &prefix, after.as_ref()).await };
                let page = patience.persist("listing uploads", list).await?;
                listed.extend(page.uploads);
                let Some(next) = page.next else { return Ok(listed) };
                // Of one key they come by their age, in no order of their names.
                if after.as_ref().is_some_and(|after| next.0 < after.0 || next == *after) {
                    return Err(Cause::unsendable("the store's list goes back"));
                }
                after = Some(next);
                if listed.len() > UPLOADS_MAX {
                    break;
                }
            }
            Err::<Vec<_>, Cause>(Cause::unsendable("there are too many to list; a longer prefix has fewer"))
        })?;
        let listed =
            listed.map_err(|cause| failed(&self.sample, &self.shown, "uploads cannot be listed", &cause))?;
        let ours = listed.into_iter().filter(|upload| upload.key.starts_with(&self.prefix));
        let read = |upload: super::xml::UploadEntry| UnfinishedUpload {
            begun: parse_time(&upload.initiated),
            key: upload.key,
            id: upload.upload_id,
        };
        let mut ours: Vec<_> = ours.map(read).collect();
        // Not every store keeps to it.
        ours.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(ours)
    }

    /// Gives `upload` up: what was sent of it is lost, also to a program that is still sending it.
    ///
    /// # Errors
    /// An [`UploadFault`](super::UploadFault): it may still be there.
    pub fn abort(&self, upload: &UnfinishedUpload) -> io::Result<()> {
        let place = Place::parse(&self.url_of(&upload.key), self.options.clone())?;
        let Address { dialect, object, wire, .. } = self.address(&place)?;
        let calls = Calls { wire, dialect, object, attempt: AttemptName::new()?, settings: Vec::new() };
        let (id, at_most) = (upload.id.clone(), self.patience.abort_max);
        let gone = runtime::run(async move { give_up(&calls, &id, at_most).await })?;
        gone.map(drop)
            .map_err(|cause| failed(&place, &place.to_string(), "the upload could not be given up", &cause))
    }

    fn url_of(&self, key: &str) -> String {
        let mut url = format!("{}/", self.sample.base());
        for byte in key.bytes() {
            match byte {
                b'/' | b'-' | b'.' | b'_' | b'~' => url.push(byte.into()),
                byte if byte.is_ascii_alphanumeric() => url.push(byte.into()),
                byte => url.push_str(&format!("%{byte:02X}")),
            }
        }
        url
    }

    fn address(&self, place: &Place) -> io::Result<Address> {
        Address::of(place, &self.patience.policy)
    }
}

impl fmt::Debug for UnfinishedUploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnfinishedUploads").field("url", &self.shown).finish_non_exhaustive()
    }
}

/// A time in UTC as stores write it (RFC 3339): `2010-11-10T20:48:33.000Z`. Fractions of a second are left out.
fn parse_time(text: &str) -> Option<SystemTime> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.split(['.', ':']).map(number);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let valid = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !valid {
        return None;
    }
    // Days of the civil calendar, years counted from March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970;
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;
const UPLOADS_MAX: usize = 100_000;
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
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(
                parse_time(text),
                Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for text in
            ["", "2010-11-10", "2010-11-10T20:48Z", "2010-13-10T20:48:33Z", "2010-11-10T20:48:33+01:00"]
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
