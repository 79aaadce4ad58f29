//! Azurite: what Azure's documents say of blobs, blocks and conditions.

use object_store::azure::{AzureConfigKey, MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use servers::{Access, Answer, Azurite, Fault, FaultKind, FaultProxy, Plan};

use crate::{assert_bytes, bytes, run};

const BLOB: (&str, &str) = ("x-ms-blob-type", "BlockBlob");

/// A container of a test's own.
struct Container {
    server: &'static Azurite,
    name: String,
}

impl Container {
    fn new() -> Container {
        let server = Azurite::shared();
        Container { server, name: server.new_container().unwrap() }
    }

    fn ask(&self, method: &str, key: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        self.server.ask(method, &format!("{}/{key}", self.name), fields, body).unwrap()
    }

    /// Stores blocks of which no blob is made yet, and returns what makes one of them.
    fn send_blocks(&self, key: &str, blocks: &[&[u8]]) -> String {
        let mut list = String::from("<BlockList>");
        for (id, block) in ["MDE=", "MDI=", "MDM="].iter().zip(blocks) {
            let target = format!("{key}?comp=block&blockid={}", id.replace('=', "%3D"));
            assert_eq!(self.ask("PUT", &target, &[], block).status(), 201);
            list += &format!("<Latest>{id}</Latest>");
        }
        list + "</BlockList>"
    }

    fn commit(&self, key: &str, fields: &[(&str, &str)], list: &str) -> u16 {
        self.ask("PUT", &format!("{key}?comp=blocklist"), fields, list.as_bytes()).status()
    }

    fn store(&self, endpoint: std::net::SocketAddr, access: Access) -> MicrosoftAzure {
        let mut builder = MicrosoftAzureBuilder::new().with_container_name(&self.name);
        for (name, value) in self.server.environment(endpoint, access) {
            let key: AzureConfigKey = name.to_ascii_lowercase().parse().unwrap();
            builder = builder.with_config(key, value);
        }
        builder.build().unwrap()
    }
}

fn tag(answer: &Answer) -> String {
    answer.field("etag").unwrap().to_owned()
}

#[test]
fn a_blob_is_served_whole_and_in_ranges_with_a_strong_tag() {
    let container = Container::new();
    assert_eq!(container.ask("PUT", "key", &[BLOB], b"0123456789").status(), 201);
    let whole = container.ask("GET", "key", &[], &[]);
    assert_bytes(&whole, 200, None, b"0123456789");
    assert!(tag(&whole).starts_with('"'));
    for (range, told, body) in [("bytes=2-5", "bytes 2-5/10", "2345"), ("bytes=8-", "bytes 8-9/10", "89")] {
        let answer = container.ask("GET", "key", &[("Range", range)], &[]);
        assert_bytes(&answer, 206, Some(told), body.as_bytes());
    }
    // It takes a range that begins right after the end for an empty one.
    assert_eq!(container.ask("GET", "key", &[("Range", "bytes=11-")], &[]).status(), 416);
    let head = container.ask("HEAD", "key", &[], &[]);
    assert_eq!((head.status(), head.field("content-length")), (200, Some("10")));
}

#[test]
fn a_changed_blob_does_not_meet_the_condition() {
    let container = Container::new();
    let first = tag(&container.ask("PUT", "key", &[BLOB], b"first"));
    assert_eq!(container.ask("GET", "key", &[("If-Match", &first)], &[]).status(), 200);
    container.ask("PUT", "key", &[BLOB], b"other");
    assert_eq!(container.ask("GET", "key", &[("If-Match", &first)], &[]).status(), 412);
}

#[test]
fn a_blob_is_created_once_and_replaced_by_who_knows_its_tag() {
    let container = Container::new();
    let put = |fields: &[_], body: &[u8]| container.ask("PUT", "key", &[&[BLOB][..], fields].concat(), body);
    let first = tag(&put(&[("If-None-Match", "*")], b"first"));
    assert_eq!(put(&[("If-None-Match", "*")], b"second").status(), 409);
    assert_eq!(put(&[("If-Match", &first)], b"third").status(), 201);
    assert_eq!(put(&[("If-Match", &first)], b"fourth").status(), 412);
    assert_eq!(container.ask("GET", "key", &[], &[]).body, b"third");
}

#[test]
fn blocks_are_a_blob_when_they_are_committed() {
    let container = Container::new();
    let whole = bytes((5 << 20) + 17);
    let list = container.send_blocks("key", &whole.chunks(5 << 20).collect::<Vec<_>>());
    assert_eq!(container.ask("GET", "key", &[], &[]).status(), 404);
    assert_eq!(container.commit("key", &[("If-None-Match", "*")], &list), 201);
    assert_bytes(&container.ask("GET", "key", &[], &[]), 200, None, &whole);
    let list = container.send_blocks("key", &[b"another"]);
    assert_eq!(container.commit("key", &[("If-None-Match", "*")], &list), 409);
    assert_eq!(container.commit("key", &[("If-Match", "\"0x1\"")], &list), 412);
    assert_bytes(&container.ask("GET", "key", &[], &[]), 200, None, &whole);
}

#[test]
fn each_access_may_do_what_it_may() {
    let container = Container::new();
    let path = Path::from("folder/key");
    let put = |access| {
        run(container.store(container.server.address(), access).put(&path, b"bytes".to_vec().into()))
    };
    let get = |access| {
        run(async { container.store(container.server.address(), access).get(&path).await?.bytes().await })
    };
    put(Access::Key).unwrap();
    assert_eq!(get(Access::Key).unwrap(), b"bytes"[..]);
    assert_eq!(get(Access::Reading).unwrap(), b"bytes"[..]);
    assert!(matches!(put(Access::Reading), Err(Error::PermissionDenied { .. })));
    let denied = get(Access::OtherKey);
    assert!(matches!(denied, Err(Error::PermissionDenied { .. })), "{denied:?}");
    let missing = run(container.store(container.server.address(), Access::Key).head(&Path::from("no")));
    assert!(matches!(missing, Err(Error::NotFound { .. })));
    assert_eq!(container.server.read(&container.name, "folder/key").unwrap().unwrap(), b"bytes");
    assert_eq!(container.server.read(&container.name, "no").unwrap(), None);
}

#[test]
fn a_signed_range_is_answered_by_the_whole_through_the_proxy() {
    let server = Azurite::shared();
    let container = Container { server, name: server.new_public_container().unwrap() };
    container.server.put(&container.name, "key", b"0123456789").unwrap();
    let plan = Plan::always(servers::Request::is_read, Fault::WholeBody);
    let proxy = FaultProxy::start(container.server.address(), plan).unwrap();
    let store = container.store(proxy.address(), Access::Key);
    run(store.get_range(&Path::from("key"), 2..5)).unwrap_err();
    let seen = proxy.seen();
    assert_eq!((seen.len(), seen[0].status), (1, 200));
    assert_eq!(proxy.counts().faults[&FaultKind::WholeBody], 1);
    let put = run(store.put_opts(&Path::from("key"), b"x".to_vec().into(), PutMode::Create.into()));
    assert!(matches!(put, Err(Error::AlreadyExists { .. })));
}
