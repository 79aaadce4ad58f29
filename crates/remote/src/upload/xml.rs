//! The few documents that S3, Google's XML interface and Azure answer with, and those they are sent.
//! Knows no request.

use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::escape::partial_escape;
use quick_xml::events::Event;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use url::Url;

/// The answer to the beginning of an upload.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Initiated {
    pub(super) upload_id: String,
}

/// The answer to the completion of an upload.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Completed {
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    bucket: Option<String>,
    key: Option<String>,
    /// It has none, and says so if it has one.
    error: Option<IgnoredAny>,
}

impl Completed {
    /// Whether it says that `object` is in place: it names it, as far as it names any.
    pub(super) fn is_of(&self, object: &Url) -> bool {
        let path = percent_decode_str(object.path()).decode_utf8_lossy();
        let Some(before) = path.strip_suffix(self.key.as_deref().unwrap_or_default()) else { return false };
        let is_named = match (&self.key, &self.bucket) {
            (None, _) => true,
            (Some(_), Some(bucket)) => before == "/" || before.ends_with(&format!("/{bucket}/")),
            (Some(_), None) => before.ends_with('/'),
        };
        let is_tagged = !self.etag.trim_matches(['"', ' ']).is_empty();
        is_named && is_tagged && self.error.is_none()
    }
}

/// An error, which S3 also sends with status 200.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Refusal {
    #[serde(default)]
    pub(super) code: String,
}

/// A page of unfinished uploads.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Uploads {
    #[serde(default)]
    pub(super) is_truncated: bool,
    #[serde(default)]
    pub(super) next_key_marker: String,
    #[serde(default)]
    pub(super) next_upload_id_marker: String,
    #[serde(rename = "Upload", default)]
    pub(super) uploads: Vec<UploadEntry>,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UploadEntry {
    pub(super) key: String,
    pub(super) upload_id: String,
    #[serde(default)]
    pub(super) initiated: String,
}

/// A page of the parts of an upload.
#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Parts {
    #[serde(default)]
    pub(super) is_truncated: bool,
    #[serde(default)]
    pub(super) next_part_number_marker: u64,
    #[serde(rename = "Part", default)]
    pub(super) parts: Vec<PartEntry>,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PartEntry {
    pub(super) part_number: u64,
    #[serde(rename = "ETag")]
    pub(super) etag: String,
    pub(super) size: u64,
}

/// A document that begins in one way.
pub(super) trait Document: DeserializeOwned {
    /// The name of its outermost element.
    const ROOT: &'static str;
}

impl Document for Initiated {
    const ROOT: &'static str = "InitiateMultipartUploadResult";
}

impl Document for Completed {
    const ROOT: &'static str = "CompleteMultipartUploadResult";
}

impl Document for Uploads {
    const ROOT: &'static str = "ListMultipartUploadsResult";
}

impl Document for Parts {
    const ROOT: &'static str = "ListPartsResult";
}

impl Document for Refusal {
    const ROOT: &'static str = "Error";
}

/// What `text` says, if it is such a document.
pub(super) fn parse<T: Document>(text: &[u8]) -> Option<T> {
    // The deserializer takes any root for the one that is wanted.
    (root(text)? == T::ROOT).then(|| quick_xml::de::from_reader(text).ok()).flatten()
}

/// The code of the error that `text` is, if it is one.
pub(super) fn refusal(text: &[u8]) -> Option<String> {
    parse::<Refusal>(text).map(|refusal| refusal.code)
}

/// The name of the outermost element, without the prefix of its namespace, if nothing stands beside that.
fn root(text: &[u8]) -> Option<String> {
    let mut reader = Reader::from_reader(text);
    let (mut root, mut depth) = (None, 0);
    loop {
        match reader.read_event().ok()? {
            Event::Start(_) | Event::Empty(_) if depth == 0 && root.is_some() => return None,
            Event::Start(element) => {
                root = root.or(String::from_utf8(element.local_name().as_ref().to_vec()).ok());
                depth += 1;
            }
            Event::Empty(element) => {
                root = root.or(String::from_utf8(element.local_name().as_ref().to_vec()).ok());
            }
            Event::End(_) => depth -= 1,
            Event::Text(text) if depth == 0 && !text.trim_ascii().is_empty() => return None,
            Event::Eof => return root.filter(|_| depth == 0),
            _ => {}
        }
    }
}

/// The list of parts that completes an upload of S3 or Google: their tags, in order, numbered from 1.
pub(super) fn complete<'a>(tags: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::from("<CompleteMultipartUpload>");
    for (tag, number) in tags.into_iter().zip(1..) {
        let tag = partial_escape(tag);
        text.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"));
    }
    text.push_str("</CompleteMultipartUpload>");
    text
}

/// The list of blocks that makes a blob of Azure, in order.
pub(super) fn block_list<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for id in ids {
        text.push_str(&format!("<Uncommitted>{}</Uncommitted>", partial_escape(id)));
    }
    text.push_str("</BlockList>");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the Amazon S3 API Reference, CreateMultipartUpload and CompleteMultipartUpload.
    #[test]
    fn the_examples_of_the_reference_are_read_and_written() {
        let initiated = r#"<?xml version="1.0" encoding="UTF-8"?>
            <InitiateMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>example-bucket</Bucket>
              <Key>example-object</Key>
              <UploadId>VXBsb2FkIElEIGZvciA2aWWpbmcncyBteS1tb3ZpZS5tMnRzIHVwbG9hZA</UploadId>
            </InitiateMultipartUploadResult>"#;
        let id = "VXBsb2FkIElEIGZvciA2aWWpbmcncyBteS1tb3ZpZS5tMnRzIHVwbG9hZA";
        assert_eq!(parse::<Initiated>(initiated.as_bytes()).unwrap().upload_id, id);
        let error = r#"<?xml version="1.0" encoding="UTF-8"?>

            <Error>
             <Code>InternalError</Code>
             <Message>We encountered an internal error. Please try again.</Message>
             <RequestId>656c76696e6727732072657175657374</RequestId>
             <HostId>Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==</HostId>
            </Error>"#;
        assert_eq!(refusal(error.as_bytes()).as_deref(), Some("InternalError"));
        let done = r#"<?xml version="1.0" encoding="UTF-8"?>
            <CompleteMultipartUploadResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
             <Location>http://Example-Bucket.s3.region.amazonaws.com/Example-Object</Location>
             <Bucket>Example-Bucket</Bucket>
             <Key>Example-Object</Key>
             <ETag>"3858f62230ac3c915f300c664312c11f-9"</ETag>
            </CompleteMultipartUploadResult>"#;
        assert_eq!(refusal(done.as_bytes()), None);
        let etag = "\"3858f62230ac3c915f300c664312c11f-9\"";
        assert_eq!(parse::<Completed>(done.as_bytes()).unwrap().etag, etag);
        let parts =
            complete(["\"a54357aff0632cce46d942af68356b38\"", "\"0c78aef83f66abc1fa1e8477f296d394\""]);
        assert_eq!(
            parts,
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"a54357aff0632cce46d942af68356b38\"</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>\"0c78aef83f66abc1fa1e8477f296d394\"</ETag></Part></CompleteMultipartUpload>"
        );
    }

    #[test]
    fn a_completion_names_the_object_and_nothing_else() {
        let named = |url: &str, fields: &str| {
            let text = format!("<CompleteMultipartUploadResult>{fields}</CompleteMultipartUploadResult>");
            parse::<Completed>(text.as_bytes()).is_some_and(|done| done.is_of(&Url::parse(url).unwrap()))
        };
        const PATH: &str = "http://store/bucket/db/a%20b";
        for fields in [
            "<ETag>\"1-2\"</ETag>",
            "<ETag>1-2</ETag><Key>db/a b</Key>",
            "<Location>l</Location><Bucket>bucket</Bucket><Key>db/a b</Key><ETag>1-2</ETag><ChecksumType>FULL</ChecksumType>",
        ] {
            assert!(named(PATH, fields), "{fields}");
        }
        assert!(named("http://bucket.store/k", "<Bucket>bucket</Bucket><Key>k</Key><ETag>1</ETag>"));
        for fields in [
            "<ETag></ETag>",
            "<ETag>\"\"</ETag>",
            "<Key>db/a b</Key>",
            "<ETag>1-2</ETag><Key>b</Key>",
            "<ETag>1-2</ETag><Key>db/a</Key>",
            "<ETag>1-2</ETag><Key></Key>",
            "<ETag>1-2</ETag><Bucket>other</Bucket><Key>db/a b</Key>",
            "<ETag>1-2</ETag><Error><Code>InternalError</Code></Error>",
            "<ETag>1-2</ETag><Error/>",
        ] {
            assert!(!named(PATH, fields), "{fields}");
        }
    }

    #[test]
    fn no_document_is_taken_for_another() {
        let fields = "<ETag>1</ETag><UploadId>1</UploadId><Code>1</Code>";
        for text in [
            "",
            "   ",
            "<html><body>Welcome</body></html>",
            "no XML",
            "<Comp",
            &format!("<Other>{fields}</Other>"),
        ] {
            assert_eq!(parse::<Completed>(text.as_bytes()), None, "{text}");
            assert_eq!(parse::<Initiated>(text.as_bytes()), None, "{text}");
            assert_eq!(parse::<Uploads>(text.as_bytes()), None, "{text}");
            assert_eq!(refusal(text.as_bytes()), None, "{text}");
        }
        let whole = "<Error><Code>1</Code></Error>";
        for text in
            [&whole[..20], &format!("{whole}{whole}"), &format!("{whole} more"), &format!("more {whole}")]
        {
            assert_eq!(refusal(text.as_bytes()), None, "{text}");
        }
        assert!(refusal(format!("<!-- a -->{whole}\n<!-- b -->\n").as_bytes()).is_some());
        let error = "  \n<?xml version=\"1.0\"?>\n<Error\n xmlns=\"http://s3.amazonaws.com/\"><Code>SlowDown</Code></Error>";
        assert_eq!(refusal(error.as_bytes()).as_deref(), Some("SlowDown"));
        assert_eq!(refusal(b"<s3:Error xmlns:s3='x'><s3:Code/></s3:Error>").as_deref(), Some(""));
        assert_eq!(refusal(b"<Error><Message>m</Message></Error>").as_deref(), Some(""));
    }

    /// The example of the Amazon S3 API Reference, ListParts.
    #[test]
    fn a_page_of_parts_is_read() {
        let page = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListPartsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>example-bucket</Bucket>
              <Key>example-object</Key>
              <UploadId>XXBsb2FkIElEIGZvciBlbHZpbmcncyVcdS1tb3ZpZS5tMnRzEEEwbG9hZA</UploadId>
              <Initiator><ID>arn:aws:iam::111122223333:user/some-user</ID></Initiator>
              <StorageClass>STANDARD</StorageClass>
              <PartNumberMarker>1</PartNumberMarker>
              <NextPartNumberMarker>3</NextPartNumberMarker>
              <MaxParts>2</MaxParts>
              <IsTruncated>true</IsTruncated>
              <Part>
                <PartNumber>2</PartNumber>
                <LastModified>2010-11-10T20:48:34.000Z</LastModified>
                <ETag>"7778aef83f66abc1fa1e8477f296d394"</ETag>
                <Size>10485760</Size>
              </Part>
              <Part>
                <PartNumber>3</PartNumber>
                <LastModified>2010-11-10T20:48:33.000Z</LastModified>
                <ETag>"aaaa18db4cc2f85cedef654fccc4a4x8"</ETag>
                <Size>10485760</Size>
              </Part>
            </ListPartsResult>"#;
        let page: Parts = parse(page.as_bytes()).unwrap();
        assert_eq!((page.is_truncated, page.next_part_number_marker), (true, 3));
        let seen: Vec<_> =
            page.parts.iter().map(|part| (part.part_number, part.etag.as_str(), part.size)).collect();
        assert_eq!(
            seen,
            [
                (2, "\"7778aef83f66abc1fa1e8477f296d394\"", 10_485_760),
                (3, "\"aaaa18db4cc2f85cedef654fccc4a4x8\"", 10_485_760)
            ]
        );
    }

    /// As the reference has it for ListMultipartUploads, with a key that XML has to escape.
    #[test]
    fn a_page_of_uploads_is_read() {
        let page = r#"<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
          <Bucket>bucket</Bucket><KeyMarker></KeyMarker><UploadIdMarker></UploadIdMarker>
          <NextKeyMarker>my-movie.m2ts</NextKeyMarker>
          <NextUploadIdMarker>YW55IGlkZWEgd2h5</NextUploadIdMarker>
          <MaxUploads>3</MaxUploads><IsTruncated>true</IsTruncated>
          <Upload><Key>a &amp; b</Key><UploadId>X1</UploadId><Initiator><ID>i</ID></Initiator>
            <StorageClass>STANDARD</StorageClass><Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>
          <Upload><Key>c</Key><UploadId>X2</UploadId><Initiated>2010-11-10T20:48:34.000Z</Initiated></Upload>
        </ListMultipartUploadsResult>"#;
        let page: Uploads = parse(page.as_bytes()).unwrap();
        assert!(page.is_truncated);
        assert_eq!(
            (page.next_key_marker.as_str(), page.next_upload_id_marker.as_str()),
            ("my-movie.m2ts", "YW55IGlkZWEgd2h5")
        );
        let seen: Vec<_> =
            page.uploads.iter().map(|upload| (upload.key.as_str(), upload.upload_id.as_str())).collect();
        assert_eq!(seen, [("a & b", "X1"), ("c", "X2")]);
    }
}
