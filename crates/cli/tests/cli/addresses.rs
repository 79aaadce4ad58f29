//! Targets that look like a receiver's address and are none: no file appears under such a name.
//! What a receiver does is in `receiving`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::place::Place;

#[test]
fn what_looks_like_an_address_and_is_none_is_2_and_says_why() {
    let place = Place::with_sealed(1);
    let cases = [
        ("unix:", "no path"),
        ("tcp://127.0.0.1:99999", "no valid port"),
        ("tcp://127.0.0.1:0", "no valid port"),
        ("tcp://localhost", "no valid port"),
        ("tcp://[::1]", "no valid port"),
        ("tcp://:7000", "no host"),
        ("tcp:127.0.0.1:1", "an address is tcp://HOST:PORT"),
        ("TCP://127.0.0.1:1", "an address is tcp://HOST:PORT"),
        ("https://store.example/x", "nothing is uploaded to an HTTP server"),
        ("ftp://store.example/x", "s3, gs, az, http and https are known"),
        ("s3://bucket", "a file of that name is ./"),
    ];
    for (target, words) in cases {
        let ran = place.run(["restore", "-i", "key.txt", "sealed.cfd", target]);
        ran.assert_failed(2, words);
        let of_store = !["tcp", "TCP", "unix"].iter().any(|scheme| target.starts_with(scheme));
        let words = if of_store { words } else { "only `restore` goes to an address" };
        place.seal("plain", target).assert_failed(2, words);
        let receive = ["receive", "--listen", "127.0.0.1:0", target];
        place.run(receive).assert_failed(2, "only `restore` goes to an address");
    }
    let not_text = [&b"restore"[..], b"-i", b"key.txt", b"sealed.cfd", b"unix:\xff"].map(OsStr::from_bytes);
    place.run(not_text).assert_failed(2, "UTF-8");
    for listen in ["127.0.0.1", "127.0.0.1:99999", "tcp://127.0.0.1"] {
        place.run(["receive", "--listen", listen, "t"]).assert_failed(2, "no valid port");
    }
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd"]);
}

/// Found by the names alone: nobody is asked, and none has to be there.
#[test]
fn an_object_is_not_restored_onto_itself_however_it_is_written() {
    let place = Place::with_sealed(1);
    for (sealed, target) in [
        ("s3://bucket/db.cfd", "s3://bucket/db.cfd"),
        ("s3://bucket/db.cfd", "s3a://bucket/db.cfd"),
        ("s3://bucket/db.cfd", "S3://bucket/d%62.cfd"),
        ("az://container/db.cfd", "abfss://container@account.dfs.core.windows.net/db.cfd"),
    ] {
        for [sealed, target] in [[sealed, target], [target, sealed]] {
            place
                .run(["restore", "--force", "-i", "key.txt", sealed, target])
                .assert_failed(2, "the input and the output are the same object");
        }
    }
}

#[test]
fn with_a_dot_before_it_such_a_name_is_a_file() {
    let place = Place::with_sealed(1);
    place.run(["restore", "-i", "key.txt", "sealed.cfd", "./unix:"]).assert_done();
    place.seal("plain", "./tcp:x").assert_done();
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd", "tcp:x", "unix:"]);
}

#[test]
fn a_receiver_that_cannot_be_reached_is_told_from_one_that_refuses() {
    let place = Place::with_sealed(1);
    let nowhere = place.run(["restore", "-i", "key.txt", "sealed.cfd", "tcp://nowhere.invalid:7000"]);
    nowhere.assert_failed(1, "the receiver at tcp://nowhere.invalid:7000 could not be reached: ");
    assert!(!nowhere.stderr.contains("uncategorized"), "{}", nowhere.stderr);
    let over_a_network = place.run(["restore", "-i", "key.txt", "sealed.cfd", "unix:nobody"]);
    over_a_network.assert_failed(1, "the receiver at unix:nobody could not be reached: No such file");
}
