//! nginx: RFC 9110 on ranges and conditions.

use std::fs;

use servers::{Nginx, request};

use crate::{assert_bytes, bytes};

struct Site {
    folder: tempfile::TempDir,
    nginx: Nginx,
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let nginx = Nginx::start(folder.path()).unwrap();
        Site { folder, nginx }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let file = self.folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    fn get(&self, target: &str, fields: &[(&str, &str)]) -> servers::Answer {
        request(self.nginx.address(), "GET", target, fields, &[]).unwrap()
    }
}

#[test]
fn a_file_is_served_whole_and_in_ranges_with_a_strong_tag() {
    let site = Site::new();
    site.write("file", b"0123456789");
    let whole = site.get("/file", &[]);
    assert_bytes(&whole, 200, None, b"0123456789");
    assert_eq!(whole.field("accept-ranges"), Some("bytes"));
    assert!(whole.field("etag").unwrap().starts_with('"'));
    let ranges = [
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=2-5", "bytes 2-5/10", "2345"),
        ("bytes=8-", "bytes 8-9/10", "89"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=5-100", "bytes 5-9/10", "56789"),
    ];
    for (range, told, body) in ranges {
        assert_bytes(&site.get("/file", &[("Range", range)]), 206, Some(told), body.as_bytes());
    }
    let beyond = site.get("/file", &[("Range", "bytes=10-")]);
    assert_eq!((beyond.status(), beyond.field("content-range")), (416, Some("bytes */10")));
    let head = request(site.nginx.address(), "HEAD", "/file", &[], &[]).unwrap();
    assert_eq!((head.status(), head.field("content-length")), (200, Some("10")));
    assert_eq!(head.field("etag"), whole.field("etag"));
}

#[test]
fn a_changed_file_does_not_meet_the_condition() {
    let site = Site::new();
    site.write("file", b"0123456789");
    let tag = site.get("/file", &[]).field("etag").unwrap().to_owned();
    let fields = [("If-Match", &*tag), ("Range", "bytes=1-2")];
    assert_bytes(&site.get("/file", &fields), 206, Some("bytes 1-2/10"), b"12");
    site.write("file", b"another file");
    assert_eq!(site.get("/file", &fields).status(), 412);
}

#[test]
fn what_is_missing_and_what_is_denied_are_told_apart() {
    let site = Site::new();
    site.write("denied/file", b"x");
    assert_eq!(site.get("/denied/file", &[]).status(), 403);
    assert_eq!(site.get("/file", &[]).status(), 404);
}

#[test]
fn a_large_file_comes_whole() {
    let site = Site::new();
    let large = bytes((3 << 20) + 1);
    site.write("file", &large);
    assert_bytes(&site.get("/file", &[]), 200, None, &large);
}

#[test]
fn two_servers_run_beside_each_other() {
    let (first, second) = (Site::new(), Site::new());
    first.write("file", b"first");
    second.write("file", b"second");
    assert_eq!(first.get("/file", &[]).body, b"first");
    assert_eq!(second.get("/file", &[]).body, b"second");
}
