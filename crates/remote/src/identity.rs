//! Which object it is: what was said of it first, how that is made a condition of each request, and compared with each answer.
//! Makes no request.

use std::time::{SystemTime, UNIX_EPOCH};

use object_store::{GetOptions, GetResult, ObjectMeta};

use crate::{Place, connector::Answer, failure::Failure};

/// The object that was there when the place was opened.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    meta: ObjectMeta,
    pin: Pin,
}

/// What a later request can be tied to the same bytes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pin {
    /// A strong validator, RFC 9110 §8.8.3: the same one means the same bytes.
    ETag,
    /// The store's own number of this version of the object.
    Version,
    /// When it was modified, long enough ago that it cannot have been modified twice in that second: RFC 9110 §8.8.2.2.
    Modified,
    /// Nothing: two requests may get two objects.
    Nothing,
}

impl Identity {
    /// Of the object that `meta` is about.
    pub(crate) fn of(meta: ObjectMeta) -> Self {
        let pin = if meta.e_tag.as_deref().is_some_and(is_strong) {
            Pin::ETag
        } else if meta.version.is_some() {
            Pin::Version
        } else if was_long_ago(meta.last_modified.timestamp()) {
            Pin::Modified
        } else {
            Pin::Nothing
        };
        Self { meta, pin }
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.meta.size
    }

    pub(crate) fn pin(&self) -> Pin {
        self.pin
    }

    /// A request that fails if the object is another one.
    pub(crate) fn condition(&self) -> GetOptions {
        let mut options = GetOptions::default();
        match self.pin {
            Pin::ETag => options.if_match.clone_from(&self.meta.e_tag),
            Pin::Version => options.version.clone_from(&self.meta.version),
            Pin::Modified => options.if_unmodified_since = Some(self.meta.last_modified),
            Pin::Nothing => {}
        }
        options
    }

    /// Whether an answer that could be used is about the same object. Not every server heeds conditions.
    ///
    /// # Errors
    /// It is another one.
    pub(crate) fn compare(&self, place: &Place, found: &GetResult) -> Result<(), Failure> {
        let (was, is) = (&self.meta, &found.meta);
        let differs =
            |what, was: &str, is: &str| Failure::changed(place, &format!("its {what} was {was} and is {is}"));
        if was.size != is.size {
            return Err(differs("length", &was.size.to_string(), &is.size.to_string()));
        }
        let texts = [("ETag", &was.e_tag, &is.e_tag), ("version", &was.version, &is.version)];
        for (what, was, is) in texts {
            match (was, is) {
                (Some(was), Some(is)) if was != is => return Err(differs(what, was, is)),
                (Some(_), None) => {
                    return Err(Failure::bad_answer(format!(
                        "its answer has no {what}, as the first one had"
                    )));
                }
                _ => {}
            }
        }
        if was.last_modified != is.last_modified && matches!(self.pin, Pin::Modified | Pin::Nothing) {
            // A year has more digits than that form has where a time zone leads beyond the last one.
            let [was, is] = [was, is].map(|meta| meta.last_modified.to_string());
            return Err(differs("time of modification", &was, &is));
        }
        Ok(())
    }

    /// The same of an answer that could not be used: whether that is because the object is another one.
    ///
    /// # Errors
    /// It is.
    pub(crate) fn compare_tag(&self, place: &Place, answer: &Answer) -> Result<(), Failure> {
        match (&self.meta.e_tag, answer.header("etag")) {
            (Some(was), Some(is)) if was != is => {
                Err(Failure::changed(place, &format!("its ETag was {was} and is {is}")))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a body is the bytes of the object as they are. `aws-chunked` is how some were sent to the store, not how they come.
pub(crate) fn is_plain(answer: &Answer) -> bool {
    answer.values("content-encoding").all(|encoding| {
        ["", "identity", "aws-chunked"].contains(&encoding.trim().to_ascii_lowercase().as_str())
    })
}

/// A header that says two things of the object. The client library takes the first.
pub(crate) fn contradiction(answer: &Answer) -> Option<&'static str> {
    HEADERS_OF_OBJECT.into_iter().find(|name| {
        let mut values = answer.values(name);
        values.next().is_some_and(|first| values.any(|other| other != first))
    })
}

/// RFC 9110 §8.8.3: a weak one begins with `W/`.
fn is_strong(tag: &str) -> bool {
    !tag.starts_with("W/") && !tag.trim_matches('"').is_empty()
}

fn was_long_ago(modified: i64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // The client library gives 0 where the server did not say.
    modified > 0 && i64::try_from(now).is_ok_and(|now| modified + MODIFIED_AGE_MIN_SECS <= now)
}

/// What an answer says of the object, or which of its bytes it brings: each at most once, RFC 9110 §5.3.
const HEADERS_OF_OBJECT: [&str; 7] = [
    "etag",
    "last-modified",
    "content-length",
    "content-range",
    "x-amz-version-id",
    "x-goog-generation",
    "x-ms-version-id",
];
/// RFC 9110 §8.8.2.2 speaks of a second, by the server's own clock; a minute allows for ours.
const MODIFIED_AGE_MIN_SECS: i64 = 60;
