//! SeaweedFS: what Amazon's documents say of GetObject, PutObject, uploads in parts, and conditions.

use std::net::SocketAddr;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use servers::{Answer, Fault, FaultKind, FaultProxy, Identity, Plan, Request, SeaweedFs, request};

use crate::{assert_bytes, bytes, run};

const PART_LEN: usize = 5 << 20;

/// A key of the open bucket that no other test has.
fn key(name: &str) -> String {
    format!("/{}/{name}", SeaweedFs::OPEN_BUCKET)
}

fn ask(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
    request(SeaweedFs::shared().address(), method, target, fields, body).unwrap()
}

fn ask_ok(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
    let answer = ask(method, target, fields, body);
    assert!((200..300).contains(&answer.status()), "{method} {target}: {}", answer.text());
    answer
}

fn tag(answer: &Answer) -> String {
    answer.field("etag").unwrap().to_owned()
}

/// What stands between an element's marks.
fn element<'a>(text: &'a str, name: &str) -> &'a str {
    let rest = text.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{text}")).1;
    rest.split_once(&format!("</{name}>")).unwrap().0
}

fn initiate(key: &str) -> String {
    element(&ask_ok("POST", &format!("{key}?uploads"), &[], &[]).text(), "UploadId").to_owned()
}

/// Sends `parts`, and returns what completes the upload.
fn send_parts(key: &str, upload: &str, parts: &[&[u8]]) -> String {
    let mut list = String::from("<CompleteMultipartUpload>");
    for (number, part) in (1..).zip(parts) {
        let target = format!("{key}?partNumber={number}&uploadId={upload}");
        let tag = tag(&ask_ok("PUT", &target, &[], part));
        list += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
    }
    list + "</CompleteMultipartUpload>"
}

fn complete(key: &str, upload: &str, fields: &[(&str, &str)], list: &str) -> Answer {
    ask("POST", &format!("{key}?uploadId={upload}"), fields, list.as_bytes())
}

#[test]
fn an_object_is_served_whole_and_in_ranges_with_a_strong_tag() {
    let key = key("ranges");
    let put = ask_ok("PUT", &key, &[], b"0123456789");
    let whole = ask("GET", &key, &[], &[]);
    assert_bytes(&whole, 200, None, b"0123456789");
    assert_eq!(whole.field("etag"), put.field("etag"));
    assert!(tag(&whole).starts_with('"'));
    for (range, told, body) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-5", "bytes 2-5/10", "2345"),
        ("bytes=8-", "bytes 8-9/10", "89"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=5-100", "bytes 5-9/10", "56789"),
    ] {
        assert_bytes(&ask("GET", &key, &[("Range", range)], &[]), 206, Some(told), body.as_bytes());
    }
    assert_eq!(ask("GET", &key, &[("Range", "bytes=10-")], &[]).status(), 416);
    let head = ask("HEAD", &key, &[], &[]);
    assert_eq!((head.status(), head.field("content-length")), (200, Some("10")));
}

#[test]
fn a_changed_object_does_not_meet_the_condition() {
    let key = key("changed");
    let tag = tag(&ask_ok("PUT", &key, &[], b"0123456789"));
    let fields = [("If-Match", &*tag), ("Range", "bytes=1-2")];
    assert_bytes(&ask("GET", &key, &fields, &[]), 206, Some("bytes 1-2/10"), b"12");
    ask_ok("PUT", &key, &[], b"abcdefghij");
    assert_eq!(ask("GET", &key, &fields, &[]).status(), 412);
    ask_ok("DELETE", &key, &[], &[]);
    assert_eq!(ask("GET", &key, &fields, &[]).status(), 404);
}

#[test]
fn an_object_is_created_once_and_replaced_by_who_knows_its_tag() {
    let key = key("created");
    let first = tag(&ask_ok("PUT", &key, &[("If-None-Match", "*")], b"first"));
    assert_eq!(ask("PUT", &key, &[("If-None-Match", "*")], b"second").status(), 412);
    let third = tag(&ask_ok("PUT", &key, &[("If-Match", &first)], b"third"));
    assert_eq!(ask("PUT", &key, &[("If-Match", &first)], b"fourth").status(), 412);
    assert_ne!(first, third);
    assert_bytes(&ask("GET", &key, &[], &[]), 200, None, b"third");
}

#[test]
fn an_upload_in_parts_is_seen_when_it_is_completed() {
    let key = key("parts");
    let whole = bytes(2 * PART_LEN + 17);
    let parts: Vec<&[u8]> = whole.chunks(PART_LEN).collect();
    let upload = initiate(&key);
    let list = send_parts(&key, &upload, &parts);
    assert_eq!(ask("HEAD", &key, &[], &[]).status(), 404);
    let listed = ask_ok("GET", &format!("{key}?uploadId={upload}"), &[], &[]);
    assert_eq!(listed.text().matches("<Part>").count(), 3);
    assert_eq!(complete(&key, &upload, &[], &list).status(), 200);
    assert_bytes(&ask("GET", &key, &[], &[]), 200, None, &whole);
    let range = format!("bytes={}-{}", PART_LEN - 3, PART_LEN + 3);
    let told = format!("bytes {}-{}/{}", PART_LEN - 3, PART_LEN + 3, whole.len());
    let read = ask("GET", &key, &[("Range", &range)], &[]);
    assert_bytes(&read, 206, Some(&told), &whole[PART_LEN - 3..PART_LEN + 4]);
}

#[test]
fn a_part_that_is_sent_again_replaces_the_first() {
    let key = key("again");
    let upload = initiate(&key);
    send_parts(&key, &upload, &[b"first"]);
    let list = send_parts(&key, &upload, &[b"second"]);
    assert_eq!(complete(&key, &upload, &[], &list).status(), 200);
    assert_bytes(&ask("GET", &key, &[], &[]), 200, None, b"second");
}

#[test]
fn an_upload_is_completed_on_conditions() {
    let key = key("conditions");
    let begin = |bytes: &[u8]| {
        let upload = initiate(&key);
        let list = send_parts(&key, &upload, &[bytes]);
        (upload, list)
    };
    let (upload, list) = begin(b"first");
    assert_eq!(complete(&key, &upload, &[("If-None-Match", "*")], &list).status(), 200);
    let first = tag(&ask("HEAD", &key, &[], &[]));
    let (upload, list) = begin(b"second");
    assert_eq!(complete(&key, &upload, &[("If-None-Match", "*")], &list).status(), 412);
    assert_eq!(complete(&key, &upload, &[("If-Match", "\"other\"")], &list).status(), 412);
    assert_eq!(ask("GET", &key, &[], &[]).body, b"first");
    assert_eq!(complete(&key, &upload, &[("If-Match", &first)], &list).status(), 200);
    assert_eq!(ask("GET", &key, &[], &[]).body, b"second");
}

#[test]
fn an_aborted_upload_leaves_nothing() {
    let server = SeaweedFs::shared();
    let key = key("aborted");
    let upload = initiate(&key);
    let list = send_parts(&key, &upload, &[b"part"]);
    assert!(ask("GET", &format!("/{}?uploads", SeaweedFs::OPEN_BUCKET), &[], &[]).text().contains(&upload));
    ask_ok("DELETE", &format!("{key}?uploadId={upload}"), &[], &[]);
    assert!(!ask("GET", &format!("/{}?uploads", SeaweedFs::OPEN_BUCKET), &[], &[]).text().contains(&upload));
    assert_eq!(complete(&key, &upload, &[], &list).status(), 404);
    assert_eq!(ask("PUT", &format!("{key}?partNumber=1&uploadId={upload}"), &[], b"part").status(), 404);
    assert_eq!(server.read(SeaweedFs::OPEN_BUCKET, "aborted").unwrap(), None);
}

#[test]
fn open_uploads_are_counted_by_bucket() {
    let server = SeaweedFs::shared();
    let bucket = server.new_bucket().unwrap();
    let store = store(&bucket, Identity::Owner);
    assert_eq!(server.open_uploads(&bucket).unwrap(), 0);
    run(async {
        let mut upload = store.put_multipart(&Path::from("key")).await.unwrap();
        upload.put_part(b"part".to_vec().into()).await.unwrap();
        assert_eq!(server.open_uploads(&bucket).unwrap(), 1);
        upload.abort().await.unwrap();
    });
    assert_eq!(server.open_uploads(&bucket).unwrap(), 0);
}

/// A bucket for each test of a program, and for each of the tables in them.
#[test]
fn there_is_room_for_many_buckets() {
    let server = SeaweedFs::shared();
    for number in 0..32 {
        let bucket = server.new_bucket().unwrap();
        server.put(&bucket, "key", b"bytes").unwrap_or_else(|error| panic!("bucket {number}: {error}"));
    }
}

fn store(bucket: &str, who: Identity) -> AmazonS3 {
    store_at(SeaweedFs::shared().address(), bucket, who)
}

fn store_at(endpoint: SocketAddr, bucket: &str, who: Identity) -> AmazonS3 {
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
    for (name, value) in SeaweedFs::shared().environment(endpoint, who) {
        let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse().unwrap();
        builder = builder.with_config(key, value);
    }
    builder.build().unwrap()
}

#[test]
fn each_identity_may_do_what_it_may() {
    let server = SeaweedFs::shared();
    let bucket = server.new_bucket().unwrap();
    let path = Path::from("folder/key");
    let put = |who| run(store(&bucket, who).put(&path, b"bytes".to_vec().into()));
    let get = |who| run(async { store(&bucket, who).get(&path).await?.bytes().await });
    put(Identity::Owner).unwrap();
    assert_eq!(get(Identity::Owner).unwrap(), b"bytes"[..]);
    assert_eq!(get(Identity::Reader).unwrap(), b"bytes"[..]);
    assert!(matches!(put(Identity::Reader), Err(Error::PermissionDenied { .. })));
    assert!(matches!(get(Identity::Stranger), Err(Error::PermissionDenied { .. })));
    assert!(matches!(get(Identity::Unknown), Err(Error::PermissionDenied { .. })));
    assert_eq!(server.read(&bucket, "folder/key").unwrap().unwrap(), b"bytes");
}

#[test]
fn a_missing_bucket_and_a_missing_object_are_not_found() {
    let bucket = SeaweedFs::shared().new_bucket().unwrap();
    let get = |bucket: &str| run(store(bucket, Identity::Owner).get(&Path::from("key"))).unwrap_err();
    assert!(matches!(get(&bucket), Error::NotFound { .. }));
    assert!(matches!(get("no-such-bucket"), Error::NotFound { .. }));
}

#[test]
fn what_is_put_beside_s3_is_an_object_whose_tag_changes_with_it() {
    let server = SeaweedFs::shared();
    let bucket = server.new_bucket().unwrap();
    let target = format!("/{bucket}/key");
    server.put(&bucket, "key", b"first").unwrap();
    let first = ask("GET", &target, &[], &[]);
    assert_bytes(&first, 200, None, b"first");
    server.put(&bucket, "key", b"other").unwrap();
    assert_eq!(ask("GET", &target, &[("If-Match", &tag(&first))], &[]).status(), 412);
    assert_bytes(&ask("GET", &target, &[], &[]), 200, None, b"other");
}

#[test]
fn a_signed_range_is_answered_by_the_whole_through_the_proxy() {
    let server = SeaweedFs::shared();
    let bucket = server.new_bucket().unwrap();
    server.put(&bucket, "key", b"0123456789").unwrap();
    let proxy = FaultProxy::start(server.address(), Plan::none()).unwrap();
    let store = store_at(proxy.address(), &bucket, Identity::Owner);
    let read = || run(store.get_range(&Path::from("key"), 2..5));
    assert_eq!(read().unwrap(), b"234"[..]);
    proxy.set_plan(Plan::always(Request::is_read, Fault::WholeBody));
    read().unwrap_err();
    assert_eq!(proxy.seen().iter().map(|seen| seen.status).collect::<Vec<_>>(), [206, 200]);
    assert_eq!(proxy.counts().faults[&FaultKind::WholeBody], 1);
}
