//! What stores are asked for when an object is written: looked at, begun, its parts, put together, given up.
//! Knows each store's form of these requests; how often one is sent, and what an answer means for the whole, is not its own.

use std::io;

use reqwest::{Method, StatusCode};
use url::Url;

use super::persist::Cause;
use super::shared::StoredPart;
use super::wire::{Answer, Ask, Body, Wire};
use super::xml;
use crate::telemetry;

/// One object of one store, by requests.
pub(crate) struct Calls {
    pub(crate) wire: Wire,
    pub(crate) dialect: Dialect,
    /// The object's own address, without a query.
    pub(crate) object: Url,
    /// Names this attempt among all others: it is kept with the object.
    pub(crate) attempt: AttemptName,
    /// What the store is to encrypt with, and the like; sent where an object begins.
    pub(crate) settings: Vec<(&'static str, String)>,
}

/// Whose requests they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// Amazon's.
    S3,
    /// Google's XML interface: the same for parts; preconditions by generation, and none for parts put together.
    Gcs,
    /// Blocks and lists of them.
    Azure,
}

/// 128 random bits in hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AttemptName(String);

/// An object that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) etag: Option<String>,
    pub(crate) generation: Option<String>,
    pub(crate) attempt: Option<AttemptName>,
}

/// What must hold where the object is to be put.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    /// Nothing is there.
    Absent,
    /// What was seen is there still.
    Unchanged(Found),
    /// Nothing: whatever is there is replaced.
    Anything,
}

/// What became of the giving up of an upload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Aborted {
    /// The store had it and has it no more: it can never be completed.
    Now,
    /// The store had none of that name.
    Before,
}

/// A page of unfinished uploads, and where the next begins.
pub(crate) struct Page {
    pub(crate) uploads: Vec<xml::UploadEntry>,
    /// When it was made, as its answer says (`Date`, RFC 9110 §6.6.1).
    pub(crate) date: Option<String>,
    pub(crate) next: Option<(String, String)>,
}

impl AttemptName {
    /// # Errors
    /// The operating system gave no random numbers.
    pub(crate) fn new() -> io::Result<AttemptName> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| {
            io::Error::other(format!("the operating system gave no random numbers: {error}"))
        })?;
        Ok(AttemptName::from_bytes(random))
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> AttemptName {
        AttemptName(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// The same bits.
    pub(crate) fn bytes(&self) -> [u8; 16] {
        u128::from_str_radix(&self.0, 16).unwrap_or_default().to_be_bytes()
    }

    /// The id of a block: all of one blob's have the same length, and are digits of base 64.
    fn block(&self, index: usize) -> String {
        format!("{}{index:08x}", self.0)
    }
}

impl Found {
    /// Whether a request can be made on the condition that it is there still.
    pub(crate) fn is_named(&self, dialect: Dialect) -> bool {
        self.version(dialect).is_some()
    }

    /// What that condition names.
    pub(crate) fn version(&self, dialect: Dialect) -> Option<&str> {
        match dialect {
            Dialect::Gcs => self.generation.as_deref(),
            Dialect::S3 | Dialect::Azure => self.etag.as_deref(),
        }
    }

    /// An object of which nothing else is known.
    pub(crate) fn of_version(dialect: Dialect, version: &str) -> Found {
        let version = Some(version.to_owned());
        match dialect {
            Dialect::Gcs => Found { etag: None, generation: version, attempt: None },
            Dialect::S3 | Dialect::Azure => Found { etag: version, generation: None, attempt: None },
        }
    }

    /// Whether it is the same object still, as far as such a condition tells.
    pub(crate) fn is_version_of(&self, before: &Found, dialect: Dialect) -> bool {
        self.is_named(dialect) && self.version(dialect) == before.version(dialect)
    }
}

impl Dialect {
    fn metadata_header(self) -> &'static str {
        match self {
            Dialect::S3 => "x-amz-meta-cofferdamattempt",
            Dialect::Gcs => "x-goog-meta-cofferdamattempt",
            // Names of its metadata are identifiers: no hyphen within the name.
            Dialect::Azure => "x-ms-meta-cofferdamattempt",
        }
    }

    pub(super) fn content_type_header(self) -> &'static str {
        match self {
            Dialect::Azure => "x-ms-blob-content-type",
            Dialect::S3 | Dialect::Gcs => "content-type",
        }
    }

    /// Whether parts are put together on a condition.
    pub(crate) fn completes_on_condition(self) -> bool {
        self != Dialect::Gcs
    }

    /// Whether an upload has a name of its own, by which it can be given up: what is given up is never completed.
    pub(crate) fn names_uploads(self) -> bool {
        self != Dialect::Azure
    }
}

impl Calls {
    /// The object that is there, if one is.
    pub(crate) async fn head(&self) -> Result<Option<Found>, Cause> {
        let answer = self.wire.send(&Ask::new(Method::HEAD, &self.object)).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(Found {
                etag: answer.header("etag").map(str::to_owned),
                generation: answer.header("x-goog-generation").map(str::to_owned),
                attempt: answer
                    .header(self.dialect.metadata_header())
                    .map(|name| AttemptName(name.to_owned())),
            })),
            _ => Err(Cause::of(&answer)),
        }
    }

    /// Begins an upload in parts, and gives its name.
    pub(crate) async fn create(&self) -> Result<String, Cause> {
        if !self.dialect.names_uploads() {
            return Ok(String::new());
        }
        let ask = self.beginning(Method::POST).query("uploads", "");
        let answer = success(self.wire.send(&ask).await?)?;
        let begun = xml::parse::<xml::Initiated>(&answer.body).filter(|begun| !begun.upload_id.is_empty());
        begun.map(|begun| begun.upload_id).ok_or_else(|| unreadable(&answer))
    }

    /// Sends part `index`, from 0, of the upload `id`. Gives what the store calls it.
    pub(crate) async fn put_part(&self, id: &str, index: usize, body: Body) -> Result<String, Cause> {
        let len = body.len();
        let ask = Ask::new(Method::PUT, &self.object).body(body);
        if self.dialect == Dialect::Azure {
            let block = self.attempt.block(index);
            let ask = ask.query("comp", "block").query("blockid", &block);
            success(self.wire.send(&ask).await?)?;
            telemetry::sent(len);
            return Ok(block);
        }
        let ask = ask.query("partNumber", &(index + 1).to_string()).query("uploadId", id);
        let answer = success(self.wire.send(&ask).await?)?;
        let tag = answer.header("etag").map(str::to_owned);
        let tag = tag.ok_or_else(|| Cause::unsendable("the store gave a part no tag"))?;
        telemetry::sent(len);
        Ok(tag)
    }

    /// Puts the parts together and makes them the object, if `condition` holds where the store can say so.
    pub(crate) async fn complete(
        &self,
        id: &str,
        tags: &[String],
        condition: &Condition,
    ) -> Result<(), Cause> {
        let tags = tags.iter().map(String::as_str);
        let ask = match self.dialect {
            Dialect::Azure => {
                let list = Body::Memory(xml::block_list(tags).into());
                let ask = self.beginning(Method::PUT).query("comp", "blocklist").body(list);
                with_condition(ask, self.dialect, condition)
            }
            Dialect::S3 => {
                let list = Body::Memory(xml::complete(tags).into());
                let ask = Ask::new(Method::POST, &self.object).query("uploadId", id).body(list);
                with_condition(ask.header("content-type", "application/xml"), self.dialect, condition)
            }
            Dialect::Gcs => {
                let list = Body::Memory(xml::complete(tags).into());
                let ask = Ask::new(Method::POST, &self.object).query("uploadId", id).body(list);
                ask.header("content-type", "application/xml")
            }
        };
        let answer = success(self.wire.send(&ask.slow()).await?)?;
        match self.dialect {
            Dialect::Azure => stored(&answer, "etag"),
            Dialect::S3 | Dialect::Gcs => {
                let done = xml::parse::<xml::Completed>(&answer.body);
                let is_done = is_final(&answer) && done.is_some_and(|done| done.is_of(&self.object));
                is_done.then_some(()).ok_or_else(|| unproven(&answer))
            }
        }
    }

    /// Makes `body` the object, in one request, if `condition` holds.
    pub(crate) async fn put_whole(&self, body: Body, condition: &Condition) -> Result<(), Cause> {
        let len = body.len();
        let ask = self.beginning(Method::PUT).body(body);
        let ask = match self.dialect {
            Dialect::Azure => ask.header("x-ms-blob-type", "BlockBlob"),
            Dialect::S3 | Dialect::Gcs => ask,
        };
        let answer = success(self.wire.send(&with_condition(ask, self.dialect, condition)).await?)?;
        match self.dialect {
            Dialect::Gcs => stored(&answer, "x-goog-generation"),
            Dialect::S3 | Dialect::Azure => stored(&answer, "etag"),
        }?;
        telemetry::sent(len);
        Ok(())
    }

    /// Gives the upload `id` up.
    pub(crate) async fn abort(&self, id: &str) -> Result<Aborted, Cause> {
        if id.is_empty() {
            // A store may take that for the removal of the object.
            return Err(Cause::unsendable("an upload without a name cannot be given up"));
        }
        let ask = Ask::new(Method::DELETE, &self.object).query("uploadId", id);
        let answer = self.wire.send(&ask).await?;
        match is_gone(&answer) {
            true => Ok(Aborted::Before),
            false => success(answer).map(|_| Aborted::Now),
        }
    }

    /// Whether the store still has the upload `id`, or anything of it.
    pub(crate) async fn has_upload(&self, id: &str) -> Result<bool, Cause> {
        let ask = Ask::new(Method::GET, &self.object).query("uploadId", id).query("max-parts", "1");
        let answer = self.wire.send(&ask).await?;
        match is_gone(&answer) {
            true => Ok(false),
            false => success(answer).map(|_| true),
        }
    }

    /// Lists a page of the parts that the store has of the upload `id`, those with numbers greater than `after`, and where the next page
    /// begins; `None` if it has no such upload.
    pub(crate) async fn list_parts(
        &self,
        id: &str,
        after: u64,
    ) -> Result<Option<(Vec<StoredPart>, Option<u64>)>, Cause> {
        let ask = Ask::new(Method::GET, &self.object).query("uploadId", id);
        let marker = after.to_string();
        let ask = if after > 0 { ask.query("part-number-marker", &marker) } else { ask };
        let answer = self.wire.send(&ask).await?;
        if is_gone(&answer) {
            return Ok(None);
        }
        let answer = success(answer)?;
        let page: xml::Parts = xml::parse(&answer.body).ok_or_else(|| unreadable(&answer))?;
        let next = page.is_truncated.then_some(page.next_part_number_marker);
        if next.is_some_and(|next| next <= after || next > NUMBERS_MAX)
            || page.parts.len() as u64 > NUMBERS_MAX
        {
            return Err(Cause::unsendable("the store's list of parts goes back, or on beyond any number"));
        }
        let stored =
            |part: xml::PartEntry| StoredPart { number: part.part_number, len: part.size, tag: part.etag };
        Ok(Some((page.parts.into_iter().map(stored).collect(), next)))
    }

    /// Lists unfinished uploads of keys that begin with `prefix`; `container` is the address of all of them.
    pub(crate) async fn list_uploads(
        &self,
        container: &Url,
        prefix: &str,
        after: Option<&(String, String)>,
    ) -> Result<Page, Cause> {
        let mut ask = Ask::new(Method::GET, container).query("uploads", "").query("prefix", prefix);
        if let Some((key, id)) = after {
            ask = ask.query("key-marker", key).query("upload-id-marker", id);
        }
        let answer = success(self.wire.send(&ask).await?)?;
        let page: xml::Uploads = xml::parse(&answer.body).ok_or_else(|| unreadable(&answer))?;
        if page.uploads.iter().any(|upload| upload.upload_id.is_empty() || upload.key.is_empty()) {
            return Err(Cause::unsendable("the store lists an upload without a key or without a name"));
        }
        let next = page.is_truncated.then_some((page.next_key_marker, page.next_upload_id_marker));
        let date = answer.header("date").map(str::to_owned);
        Ok(Page { uploads: page.uploads, date, next })
    }

    /// A request that says what the object will be besides its bytes.
    fn beginning(&self, method: Method) -> Ask {
        let ask =
            Ask::new(method, &self.object).header(self.dialect.metadata_header(), self.attempt.0.clone());
        let ask = ask.header(self.dialect.content_type_header(), CONTENT_TYPE);
        // Of two headers of one name the later one is sent.
        self.settings.iter().fold(ask, |ask, (name, value)| ask.header(name, value.clone()))
    }
}

fn with_condition(ask: Ask, dialect: Dialect, condition: &Condition) -> Ask {
    match (condition, dialect) {
        (Condition::Anything, _) => ask,
        (Condition::Absent, Dialect::Gcs) => ask.header("x-goog-if-generation-match", "0"),
        (Condition::Absent, Dialect::S3 | Dialect::Azure) => ask.header("if-none-match", "*"),
        (Condition::Unchanged(found), Dialect::Gcs) => found
            .generation
            .iter()
            .fold(ask, |ask, generation| ask.header("x-goog-if-generation-match", generation)),
        (Condition::Unchanged(found), Dialect::S3 | Dialect::Azure) => {
            found.etag.iter().fold(ask, |ask, etag| ask.header("if-match", etag))
        }
    }
}

/// Whether the store says that it has no such upload (Amazon S3 API Reference, "Error responses": NoSuchUpload). Any other 404 may be from somebody
/// between here and the store, or from another server than the upload is at.
fn is_gone(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && Cause::of(answer).code() == Some("NoSuchUpload")
}

/// An answer that says so, and has no error for a body.
fn success(answer: Answer) -> Result<Answer, Cause> {
    match answer.status.is_success() && xml::refusal(&answer.body).is_none() {
        true => Ok(answer),
        false => Err(Cause::of(&answer)),
    }
}

/// An answer that has `header`, which stores give to what they have stored, and no body, which they do not.
fn stored(answer: &Answer, header: &str) -> Result<(), Cause> {
    let is_named = answer.header(header).is_some_and(|value| !value.trim_matches(['"', ' ']).is_empty());
    let is_stored = is_final(answer) && is_named && answer.body.trim_ascii().is_empty();
    is_stored.then_some(()).ok_or_else(|| unproven(answer))
}

/// Whether it says that something is done, and not that it was taken and may be.
fn is_final(answer: &Answer) -> bool {
    matches!(answer.status, StatusCode::OK | StatusCode::CREATED)
}

/// It may be from somebody between here and the store: whether the store has done what was asked is not known.
fn unproven(answer: &Answer) -> Cause {
    Cause::Lost(format!("the answer ({}) does not say that anything was stored", answer.status))
}

fn unreadable(answer: &Answer) -> Cause {
    Cause::Unsendable(format!("the store's answer ({}) is not one of the kind that was due", answer.status))
}

/// The greatest number of a part (Amazon S3 User Guide, "Amazon S3 multipart upload limits").
const NUMBERS_MAX: u64 = 10_000;
/// Sealed or plain, they are bytes.
const CONTENT_TYPE: &str = "application/octet-stream";
