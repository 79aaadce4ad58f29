//! What is secret in a URL is said by no command that refuses it, for people or as JSON.
//! That it is not said where it is used is in `stores`.

use std::fs;

use crate::place::Place;

/// Each has both words, in whichever part it is that may be secret.
const URLS: [&str; 6] = [
    "https://hunter2:S3CR3T@host.invalid/d/?sig=hunter2",
    "https://host.invalid/k?X-Amz-Signature=S3CR3T#hunter2",
    "az://container/k?sv=hunter2&sig=S3CR3T",
    "s3://hunter2:S3CR3T@bucket/k",
    "s3://hunter2:S3CR/3T@bucket/S3CR3T",
    "ftp://hunter2:S3CR3T@host.invalid/k",
];

#[test]
fn a_url_that_is_refused_or_misplaced_is_said_without_what_is_secret_in_it() {
    let place = Place::with_sealed(1);
    let recipient = place.recipient.clone();
    for url in URLS {
        let attached = [format!("-o{url}"), format!("--output={url}"), format!("--{url}")];
        let [short, long, unknown] = attached.each_ref().map(String::as_str);
        for (code, arguments) in [
            (2, &["verify", url, "too many"][..]),
            (2, &["verify", unknown]),
            (2, &["inspect", unknown, url]),
            (2, &["restore", "-i", "key.txt", "sealed.cfd", url, "--spool"]),
            (2, &["restore", "-i", "key.txt", "--seed", url, "sealed.cfd", "t"]),
            (2, &["restore", "-i", "key.txt", "--wal", url, "sealed.cfd", "t"]),
            (2, &["rewrap", "-i", "key.txt", "-r", &recipient, url]),
            (1, &["rewrap", "-i", "key.txt", "-r", &recipient, "-o", url, "sealed.cfd"]),
            (2, &["receive", "--listen", "127.0.0.1:0", url]),
            (2, &["seal", "-r", &recipient, short, "plain", "too many"]),
            (2, &["seal", "-r", &recipient, long, "--frame-size", "x", "plain"]),
            (2, &["seal", "-r", &recipient, url]),
            (1, &["restore", "-i", url, "sealed.cfd", "t"]),
            (1, &["keygen", "-o", url]),
            (2, &["status", url]),
            (2, &["discard", url]),
            (2, &[url]),
        ] {
            for form in [&[][..], &["--json"]] {
                let arguments = [form, arguments].concat();
                let ran = place.run(&arguments);
                assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
                for secret in ["hunter2", "S3CR"] {
                    let said = format!("{}{}", ran.stderr, ran.text());
                    assert!(!said.contains(secret), "{arguments:?}: {said}");
                }
            }
        }
    }
    for url in [
        "https://hunter2@h/d/",
        "https://u:hunter2@h/d/k?S3CR3T#x",
        "az://c/k?sig=hunter2",
        "s3://AK:hunter2@b/k",
    ] {
        for arguments in [&["verify", url][..], &["restore", "-i", "key.txt", "sealed.cfd", url]] {
            let ran = place.run(arguments);
            ran.assert_failed(2, "a file of that name is ./");
            assert!(!ran.stderr.contains("hunter2") && !ran.stderr.contains("S3CR3T"), "{}", ran.stderr);
        }
    }
}

#[test]
fn what_a_store_has_is_not_asked_of_this_machine() {
    let place = Place::with_sealed(1);
    for command in ["status", "discard"] {
        place
            .run([command, "s3://bucket/db.cfd"])
            .assert_failed(2, "`cofferdam uploads` lists what is left at a store");
        place.run([command, "tcp://127.0.0.1:7000"]).assert_failed(2, "goes to a receiver");
        fs::create_dir_all(place.path("s3:/bucket")).unwrap();
        place.run([command, "./s3://bucket/db.cfd"]).assert_done();
    }
}
