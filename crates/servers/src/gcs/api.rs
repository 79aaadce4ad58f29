//! Owns what the requests of the XML API mean, and how it answers.
//! Keeps nothing.

use std::sync::Arc;

use parking_lot::Mutex;

use super::bucket::{Bucket, Buckets, Metadata, NO_SUCH_KEY, Object, PRECONDITION_FAILED, Refusal};
use super::date;
use crate::http::Head;

/// The body of an answer.
pub(super) enum Body {
    Text(String),
    Object(Arc<[u8]>, std::ops::Range<usize>),
}

impl Body {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Body::Text(text) => text.as_bytes(),
            Body::Object(bytes, range) => &bytes[range.clone()],
        }
    }
}

type Answer = Result<(Head, Body), Refusal>;

/// Does what is asked, and says how it went.
pub(super) fn answer(buckets: &Mutex<Buckets>, head: &Head, body: Vec<u8>) -> (Head, Body) {
    let (head, body) = Asked::new(head).answer(&mut buckets.lock(), body).unwrap_or_else(|refusal| {
        let Refusal(status, code) = refusal;
        let text = format!("{XML}<Error><Code>{code}</Code><Message>{code}</Message></Error>");
        (
            Head::new(format!("HTTP/1.1 {status} {code}")).with("Content-Type", "application/xml"),
            Body::Text(text),
        )
    });
    (head.with("Content-Length", body.bytes().len()), body)
}

/// A request, taken apart.
struct Asked<'a> {
    head: &'a Head,
    bucket: String,
    key: String,
    query: Vec<(String, String)>,
}

impl<'a> Asked<'a> {
    fn new(head: &'a Head) -> Asked<'a> {
        let (path, query) = head.target().split_once('?').unwrap_or((head.target(), ""));
        let path = path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let query = pairs.map(|(name, value)| (decoded(name), decoded(&value.replace('+', " ")))).collect();
        Asked { head, bucket: decoded(bucket), key: decoded(key), query }
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn answer(&self, buckets: &mut Buckets, body: Vec<u8>) -> Answer {
        if let Some(source) = self.head.field("x-goog-copy-source") {
            return self.copy(buckets, &decoded(source));
        }
        let bucket = buckets.of(&self.bucket)?;
        let upload = self.query("uploadId");
        match (self.head.method(), upload) {
            ("GET", None) if self.key.is_empty() && self.query("uploads").is_some() => {
                Ok(list_uploads(bucket))
            }
            ("GET", None) if self.key.is_empty() => Ok(self.list(bucket)),
            ("GET" | "HEAD", None) => self.read(bucket),
            ("PUT", None) if self.query("compose").is_some() => self.compose(bucket, &body),
            ("PUT", None) => {
                bucket.check(&self.key, self.generation_match()?)?;
                Ok(stored(bucket.store(&self.key, body.into(), self.metadata())))
            }
            ("DELETE", None) => {
                bucket.check(&self.key, self.generation_match()?)?;
                bucket.delete(&self.key).map(|()| no_content())
            }
            ("POST", None) if self.query("uploads").is_some() => self.initiate(bucket),
            ("PUT", Some(id)) => {
                let number = self.query("partNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
                let tag = bucket.take_part(&self.key, id, number, body)?;
                Ok((ok().with("ETag", tag), Body::Text(String::new())))
            }
            ("GET", Some(id)) => self.list_parts(bucket, id),
            ("POST", Some(id)) => self.complete(bucket, id, &body),
            ("DELETE", Some(id)) => bucket.abort(&self.key, id).map(|()| no_content()),
            _ => Err(Refusal(405, "MethodNotAllowed")),
        }
    }

    /// What `x-goog-if-generation-match` says.
    fn generation_match(&self) -> Result<Option<u64>, Refusal> {
        let parsed = self.head.field("x-goog-if-generation-match").map(str::parse).transpose();
        parsed.map_err(|_| Refusal(400, "InvalidArgument"))
    }

    /// The fields that are kept with an object.
    fn metadata(&self) -> Metadata {
        let fields = self.head.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        fields.filter(|(name, _)| name.starts_with("x-goog-meta-")).collect()
    }

    fn read(&self, bucket: &Bucket) -> Answer {
        let generation = self.query("generation").map(str::parse).transpose();
        let generation = generation.map_err(|_| Refusal(400, "InvalidArgument"))?;
        let object = bucket.object(&self.key, generation)?;
        bucket.check(&self.key, self.generation_match()?)?;
        let tag = object.tag();
        let names = |value: &str| value == "*" || value.split(',').any(|other| other.trim() == tag);
        if self.head.field("if-match").is_some_and(|value| !names(value)) {
            return Err(PRECONDITION_FAILED);
        }
        let head = |status: &str| {
            let head = Head::new(format!("HTTP/1.1 {status}"));
            let with_metadata = |head: Head, (name, value): &(String, String)| head.with(name, value);
            object
                .metadata
                .iter()
                .fold(head, with_metadata)
                .with("ETag", &tag)
                .with("x-goog-generation", object.generation)
                .with("Last-Modified", date::of_http(object.modified))
                .with("Accept-Ranges", "bytes")
                .with("Content-Type", "application/octet-stream")
        };
        if self.head.field("if-none-match").is_some_and(names) {
            return Ok((head("304 Not Modified"), Body::Text(String::new())));
        }
        let len = object.bytes.len();
        match self.head.field("range").and_then(|value| range(value, len)) {
            None => Ok((head("200 OK"), Body::Object(Arc::clone(&object.bytes), 0..len))),
            Some(range) if range.is_empty() => Err(Refusal(416, "InvalidRange")),
            Some(range) => {
                let told = format!("bytes {}-{}/{len}", range.start, range.end - 1);
                let head = head("206 Partial Content").with("Content-Range", told);
                Ok((head, Body::Object(Arc::clone(&object.bytes), range)))
            }
        }
    }

    fn copy(&self, buckets: &mut Buckets, source: &str) -> Answer {
        let (bucket, key) = source.trim_start_matches('/').split_once('/').ok_or(NO_SUCH_KEY)?;
        let bytes = Arc::clone(&buckets.of(bucket)?.object(key, None)?.bytes);
        let bucket = buckets.of(&self.bucket)?;
        bucket.check(&self.key, self.generation_match()?)?;
        Ok(told("CopyObjectResult", bucket.store(&self.key, bytes, self.metadata())))
    }

    /// Makes an object of up to 32 others.
    fn compose(&self, bucket: &mut Bucket, body: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(body);
        let mut whole = Vec::new();
        let components = elements(&text, "Component");
        if !(1..=COMPONENTS_MAX).contains(&components.len()) {
            return Err(Refusal(400, "InvalidArgument"));
        }
        for component in components {
            let name = elements(component, "Name").first().map_or_else(String::new, |name| unescaped(name));
            let generation = elements(component, "Generation").first().and_then(|it| it.parse().ok());
            whole.extend_from_slice(&bucket.object(&name, generation)?.bytes);
        }
        bucket.check(&self.key, self.generation_match()?)?;
        Ok(stored(bucket.store(&self.key, whole.into(), self.metadata())))
    }

    /// The real one refuses conditions on uploads in parts, as not implemented.
    fn refuse_conditions(&self) -> Result<(), Refusal> {
        let is_condition = |name: &str| name.starts_with("x-goog-if-") || name.starts_with("if-");
        let mut names = self.head.fields.iter().map(|(name, _)| name.to_ascii_lowercase());
        if names.any(|name| is_condition(&name)) { Err(Refusal(400, "NotImplemented")) } else { Ok(()) }
    }

    fn initiate(&self, bucket: &mut Bucket) -> Answer {
        self.refuse_conditions()?;
        let id = bucket.initiate(&self.key, self.metadata());
        let (name, key) = (escaped(&self.bucket), escaped(&self.key));
        Ok(xml(&format!(
            "<InitiateMultipartUploadResult><Bucket>{name}</Bucket><Key>{key}</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        )))
    }

    fn complete(&self, bucket: &mut Bucket, id: &str, body: &[u8]) -> Answer {
        self.refuse_conditions()?;
        let text = String::from_utf8_lossy(body);
        let part = |part: &&str| {
            let number = elements(part, "PartNumber").first()?.parse().ok()?;
            Some((number, unescaped(elements(part, "ETag").first()?)))
        };
        let parts: Option<Vec<_>> = elements(&text, "Part").iter().map(part).collect();
        let parts = parts.ok_or(Refusal(400, "MalformedCompleteMultipartUploadRequest"))?;
        Ok(told("CompleteMultipartUploadResult", bucket.complete(&self.key, id, &parts)?))
    }

    fn list_parts(&self, bucket: &mut Bucket, id: &str) -> Answer {
        let parts = bucket.upload(&self.key, id)?.parts.iter().map(|(number, part)| {
            let (tag, len) = (escaped(&part.tag), part.bytes.len());
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag><Size>{len}</Size></Part>")
        });
        let parts: String = parts.collect();
        Ok(xml(&format!("<ListPartsResult><IsTruncated>false</IsTruncated>{parts}</ListPartsResult>")))
    }

    /// The objects of a bucket by name, or what their names begin with up to a delimiter.
    fn list(&self, bucket: &Bucket) -> (Head, Body) {
        let prefix = self.query("prefix").unwrap_or_default();
        let after = self.query("continuation-token").or(self.query("start-after")).unwrap_or_default();
        let max = self.query("max-keys").and_then(|max| max.parse().ok()).unwrap_or(KEYS_MAX).min(KEYS_MAX);
        let (mut text, mut last, mut count, mut is_truncated) = (String::new(), String::new(), 0, false);
        for (key, object) in bucket.objects.iter().filter(|(key, _)| key.starts_with(prefix)) {
            let entry = self.common_prefix(key, prefix).unwrap_or(key);
            if entry <= after || entry == last {
                continue;
            }
            if count == max {
                is_truncated = true;
                break;
            }
            text += &if entry == key { contents(key, object) } else { common(entry) };
            last = entry.to_owned();
            count += 1;
        }
        let next = match is_truncated {
            true => format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last)),
            false => String::new(),
        };
        xml(&format!(
            "<ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>{text}{next}</ListBucketResult>"
        ))
    }

    fn common_prefix<'k>(&self, key: &'k str, prefix: &str) -> Option<&'k str> {
        let delimiter = self.query("delimiter").filter(|delimiter| !delimiter.is_empty())?;
        let at = key[prefix.len()..].find(delimiter)?;
        Some(&key[..prefix.len() + at + delimiter.len()])
    }
}

fn ok() -> Head {
    Head::new("HTTP/1.1 200 OK")
}

fn no_content() -> (Head, Body) {
    (Head::new("HTTP/1.1 204 No Content"), Body::Text(String::new()))
}

fn xml(text: &str) -> (Head, Body) {
    (ok().with("Content-Type", "application/xml"), Body::Text(format!("{XML}{text}")))
}

fn stored(object: &Object) -> (Head, Body) {
    let head = ok().with("ETag", object.tag()).with("x-goog-generation", object.generation);
    (head, Body::Text(String::new()))
}

/// An object that was made, told in a body too.
fn told(name: &str, object: &Object) -> (Head, Body) {
    let (tag, modified) = (escaped(&object.tag()), date::of_xml(object.modified));
    let (head, body) =
        xml(&format!("<{name}><ETag>{tag}</ETag><LastModified>{modified}</LastModified></{name}>"));
    (head.with("x-goog-generation", object.generation), body)
}

fn contents(key: &str, object: &Object) -> String {
    let (key, tag, len) = (escaped(key), escaped(&object.tag()), object.bytes.len());
    let modified = date::of_xml(object.modified);
    format!(
        "<Contents><Key>{key}</Key><Size>{len}</Size><LastModified>{modified}</LastModified><ETag>{tag}</ETag></Contents>"
    )
}

fn common(prefix: &str) -> String {
    format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(prefix))
}

fn list_uploads(bucket: &Bucket) -> (Head, Body) {
    let uploads = bucket.uploads.iter().map(|(id, upload)| {
        let (key, begun) = (escaped(&upload.key), date::of_xml(upload.begun));
        format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{begun}</Initiated></Upload>")
    });
    let uploads: String = uploads.collect();
    xml(&format!(
        "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{uploads}</ListMultipartUploadsResult>"
    ))
}

/// The one range that is asked for, empty where it is beyond the end; none where it is to be ignored (RFC 9110, 14.2).
fn range(value: &str, len: usize) -> Option<std::ops::Range<usize>> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.parse::<usize>().ok();
    match (first, last) {
        ("", last) => Some(len - number(last)?.min(len)..len),
        (first, "") => Some(number(first)?.min(len)..len),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| first.min(len)..last.saturating_add(1).min(len))
        }
    }
}

/// What stands between the marks of each element of a name, in order.
fn elements<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let pieces = text.split(open.as_str()).skip(1);
    pieces.filter_map(|piece| piece.split_once(close.as_str()).map(|(inside, _)| inside)).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&#34;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&amp;", "&")
}

/// Without the percent signs of RFC 3986.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// Entries of a list.
const KEYS_MAX: usize = 1000;

/// Objects that one is composed of.
const COMPONENTS_MAX: usize = 32;
