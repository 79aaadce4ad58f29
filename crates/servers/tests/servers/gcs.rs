//! The server of ours for GCS, as `object_store` speaks to it and as Google's documents of the XML API say.

use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion,
};
use servers::{Answer, GcsFake, request};

use crate::{assert_bytes, bytes, run};

const PART_LEN: usize = 5 << 20;

fn store(bucket: &str) -> GoogleCloudStorage {
    let server = GcsFake::shared();
    let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(bucket);
    for (name, value) in server.environment(server.address()).unwrap() {
        let key: GoogleConfigKey = name.to_ascii_lowercase().parse().unwrap();
        builder = builder.with_config(key, value);
    }
    builder.build().unwrap()
}

fn new_store() -> (String, GoogleCloudStorage) {
    let bucket = GcsFake::shared().new_bucket();
    let store = store(&bucket);
    (bucket, store)
}

fn ask(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
    request(GcsFake::shared().address(), method, target, fields, body).unwrap()
}

#[test]
fn an_object_is_served_whole_and_in_ranges_with_a_strong_tag() {
    let (bucket, store) = new_store();
    let path = Path::from("a folder/key");
    let put = run(store.put(&path, b"0123456789".to_vec().into())).unwrap();
    let target = format!("/{bucket}/a%20folder%2Fkey");
    let whole = ask("GET", &target, &[], &[]);
    assert_bytes(&whole, 200, None, b"0123456789");
    assert_eq!(whole.field("etag"), put.e_tag.as_deref());
    assert_eq!(whole.field("x-goog-generation"), put.version.as_deref());
    for (range, told, body) in [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-5", "bytes 2-5/10", "2345"),
        ("bytes=8-", "bytes 8-9/10", "89"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=5-100", "bytes 5-9/10", "56789"),
    ] {
        let answer = ask("GET", &target, &[("Range", range)], &[]);
        assert_bytes(&answer, 206, Some(told), body.as_bytes());
    }
    assert_eq!(ask("GET", &target, &[("Range", "bytes=10-")], &[]).status(), 416);
    let head = ask("HEAD", &target, &[], &[]);
    assert_eq!((head.status(), head.field("content-length")), (200, Some("10")));
    assert_eq!(run(store.get_range(&path, 3..6)).unwrap(), b"345"[..]);
    assert_eq!(run(store.head(&path)).unwrap().size, 10);
}

#[test]
fn a_changed_object_does_not_meet_the_condition() {
    let (_, store) = new_store();
    let path = Path::from("key");
    let first = run(store.put(&path, b"first".to_vec().into())).unwrap();
    let by_tag = || GetOptions { if_match: first.e_tag.clone(), ..GetOptions::default() };
    let by_version = || GetOptions { version: first.version.clone(), ..GetOptions::default() };
    run(store.get_opts(&path, by_tag())).unwrap();
    run(store.get_opts(&path, by_version())).unwrap();
    run(store.put(&path, b"other".to_vec().into())).unwrap();
    assert!(matches!(run(store.get_opts(&path, by_tag())), Err(Error::Precondition { .. })));
    assert!(matches!(run(store.get_opts(&path, by_version())), Err(Error::NotFound { .. })));
}

#[test]
fn an_object_is_created_once_and_replaced_by_who_knows_its_generation() {
    let (bucket, store) = new_store();
    let path = Path::from("key");
    let put = |mode: PutMode, bytes: &[u8]| run(store.put_opts(&path, bytes.to_vec().into(), mode.into()));
    let first = UpdateVersion::from(put(PutMode::Create, b"first").unwrap());
    assert!(matches!(put(PutMode::Create, b"second"), Err(Error::AlreadyExists { .. })));
    put(PutMode::Update(first.clone()), b"third").unwrap();
    assert!(matches!(put(PutMode::Update(first), b"fourth"), Err(Error::Precondition { .. })));
    assert_eq!(GcsFake::shared().read(&bucket, "key").unwrap(), b"third");
}

#[test]
fn an_upload_in_parts_is_seen_when_it_is_completed() {
    let (bucket, store) = new_store();
    let (server, path) = (GcsFake::shared(), Path::from("key"));
    let whole = bytes(2 * PART_LEN + 17);
    run(async {
        let upload = store.create_multipart(&path).await.unwrap();
        let mut parts = Vec::new();
        for (at, part) in whole.chunks(PART_LEN).enumerate() {
            store.put_part(&path, &upload, at, b"replaced by the next".to_vec().into()).await.unwrap();
            parts.push(store.put_part(&path, &upload, at, part.to_vec().into()).await.unwrap());
        }
        assert_eq!((server.open_uploads(&bucket), server.read(&bucket, "key")), (1, None));
        let done = store.complete_multipart(&path, &upload, parts.clone()).await.unwrap();
        assert_eq!(done.e_tag, store.head(&path).await.unwrap().e_tag);
        store.complete_multipart(&path, &upload, parts).await.unwrap_err();
    });
    assert_eq!(server.open_uploads(&bucket), 0);
    assert!(server.read(&bucket, "key").unwrap() == whole);
}

#[test]
fn an_aborted_upload_leaves_nothing() {
    let (bucket, store) = new_store();
    let path = Path::from("key");
    run(async {
        let upload = store.create_multipart(&path).await.unwrap();
        let part = store.put_part(&path, &upload, 0, b"part".to_vec().into()).await.unwrap();
        assert!(ask("GET", &format!("/{bucket}?uploads"), &[], &[]).text().contains(&upload));
        store.abort_multipart(&path, &upload).await.unwrap();
        assert!(!ask("GET", &format!("/{bucket}?uploads"), &[], &[]).text().contains(&upload));
        let late = store.complete_multipart(&path, &upload, vec![part]).await;
        assert!(matches!(late, Err(Error::NotFound { .. }) | Err(Error::Generic { .. })), "{late:?}");
    });
    let server = GcsFake::shared();
    assert_eq!((server.open_uploads(&bucket), server.read(&bucket, "key")), (0, None));
}

#[test]
fn conditions_on_uploads_in_parts_are_not_implemented() {
    let (bucket, _) = new_store();
    let target = format!("/{bucket}/key");
    let fields = [("x-goog-if-generation-match", "0")];
    let refused = ask("POST", &format!("{target}?uploads"), &fields, &[]);
    assert_eq!(refused.status(), 400);
    assert!(refused.text().contains("<Code>NotImplemented</Code>"));
    let begun = ask("POST", &format!("{target}?uploads"), &[], &[]).text();
    let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap();
    assert_eq!(ask("POST", &format!("{target}?uploadId={id}"), &fields, &[]).status(), 400);
}

#[test]
fn a_small_part_a_wrong_tag_and_a_wrong_order_are_refused() {
    let (bucket, _) = new_store();
    let target = format!("/{bucket}/key");
    let begun = ask("POST", &format!("{target}?uploads"), &[], &[]).text();
    let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap();
    let tags = ["1", "2"].map(|number| {
        let target = format!("{target}?partNumber={number}&uploadId={id}");
        ask("PUT", &target, &[], b"small").field("etag").unwrap().to_owned()
    });
    let complete = |parts: [(u16, &str); 2]| {
        let part =
            |(number, tag)| format!("<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>");
        let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.map(part).concat());
        ask("POST", &format!("{target}?uploadId={id}"), &[], body.as_bytes()).text()
    };
    assert!(complete([(1, &tags[0]), (2, &tags[1])]).contains("EntityTooSmall"));
    assert!(complete([(1, &tags[1]), (2, &tags[1])]).contains("InvalidPart"));
    assert!(complete([(2, &tags[1]), (1, &tags[0])]).contains("InvalidPartOrder"));
    assert_eq!(ask("PUT", &format!("{target}?partNumber=10001&uploadId={id}"), &[], b"x").status(), 400);
}

#[test]
fn an_object_is_copied_and_composed_on_conditions() {
    let (bucket, store) = new_store();
    let [from, to] = ["folder/from", "to"].map(Path::from);
    run(store.put(&from, b"first".to_vec().into())).unwrap();
    let copy = |mode| run(store.copy_opts(&from, &to, CopyOptions::default().with_mode(mode)));
    copy(CopyMode::Create).unwrap();
    assert!(matches!(copy(CopyMode::Create), Err(Error::AlreadyExists { .. })));
    copy(CopyMode::Overwrite).unwrap();
    let body = b"<ComposeRequest><Component><Name>folder/from</Name></Component><Component><Name>to</Name></Component></ComposeRequest>";
    let compose = |generation| {
        let fields = [("x-goog-if-generation-match", generation)];
        ask("PUT", &format!("/{bucket}/whole?compose"), &fields, body).status()
    };
    assert_eq!([compose("0"), compose("0")], [200, 412]);
    assert_eq!(GcsFake::shared().read(&bucket, "whole").unwrap(), b"firstfirst");
}

#[test]
fn objects_are_listed_by_prefix_in_pages() {
    let (bucket, store) = new_store();
    let server = GcsFake::shared();
    for number in 0..1003 {
        server.put(&bucket, &format!("many/{number:04}"), b"x");
    }
    server.put(&bucket, "other & <else>", b"xyz");
    let listed = run(store.list_with_delimiter(None)).unwrap();
    assert_eq!(listed.common_prefixes, [Path::from("many")]);
    assert_eq!((listed.objects[0].location.as_ref(), listed.objects[0].size), ("other & <else>", 3));
    let many = run(store.list_with_delimiter(Some(&Path::from("many")))).unwrap();
    assert_eq!(many.objects.len(), 1003);
    assert_eq!(many.objects[1002].location, Path::from("many/1002"));
}

#[test]
fn what_is_missing_and_what_is_denied_are_told_apart() {
    let (_, mine) = new_store();
    let path = Path::from("key");
    assert!(matches!(run(mine.get(&path)), Err(Error::NotFound { .. })));
    assert!(matches!(run(mine.delete(&path)), Err(Error::NotFound { .. })));
    assert!(matches!(run(store("no-such-bucket").get(&path)), Err(Error::NotFound { .. })));
    let denied = store(GcsFake::DENIED_BUCKET);
    assert!(matches!(run(denied.get(&path)), Err(Error::PermissionDenied { .. })));
    assert!(matches!(run(denied.put(&path, b"x".to_vec().into())), Err(Error::PermissionDenied { .. })));
}
