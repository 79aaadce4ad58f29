//! Every exit code, each from a cause of its own, and what is at the target then.
//! The codes are those of docs/DESIGN.md; 130 and its kin are in `interrupts`.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::place::{Place, Ran, end_of, wait_until};

#[test]
fn plaintext_is_not_fetched_from_a_url_and_that_is_said() {
    let place = Place::with_sealed(1);
    for url in ["https://host.invalid/db.img", "s3://bucket/db.img", "ftp://host.invalid/db.img"] {
        let ran = place.run(["seal", "-r", &place.recipient, "-o", "out.cfd", url]);
        ran.assert_failed(2, "plaintext is not read from a URL");
        assert!(ran.stderr.contains("curl … | cofferdam seal … -"), "{}", ran.stderr);
    }
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd"]);
}

#[test]
fn a_machine_that_fails_is_1() {
    let place = Place::with_sealed(1);
    place.run(["verify", "absent.cfd"]).assert_failed(1, "absent.cfd: No such file");
    place
        .run(["restore", "-i", "absent.txt", "sealed.cfd", "t"])
        .assert_failed(1, "absent.txt could not be read");
    place.run(["restore", "-i", "key.txt", "sealed.cfd", "no/t"]).assert_failed(1, "no such directory");
    assert_eq!(place.seal("absent", "t").code, 1);
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_1() {
    let place = Place::with_sealed(1);
    for arguments in [vec!["inspect", "sealed.cfd"], vec!["completions", "bash"], vec!["keygen"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let ran = Ran::of(place.command(&arguments).stdout(full).output().unwrap());
        ran.assert_failed(1, "standard output could not be written");
    }
}

#[test]
fn what_cannot_be_meant_is_2() {
    let place = Place::with_sealed(1);
    let recipient = place.recipient.clone();
    let cases: [(&[&str], &str); 11] = [
        (&["unseal"], "unrecognized subcommand"),
        (&["seal", "plain"], "nobody was given who could open the stream"),
        (&["seal", "-r", "age1nobody", "plain"], "age1nobody: recipient: not a recipient"),
        (&["seal", "-r", &recipient, "--frame-size", "2KiB", "plain"], "Frames have 4 KiB"),
        (&["seal", "-r", &recipient, "--frame-size", "8GiB", "plain"], "at most 4 MiB"),
        (&["seal", "-r", &recipient, "--memory", "lots", "plain"], "a size is a whole number and a unit"),
        (&["seal", "-r", &recipient, "--metadata", "pair", "plain"], "a pair is KEY=VALUE"),
        (&["seal", "-R", "/dev/null", "plain"], "the file names no recipient"),
        (&["restore", "sealed.cfd", "t"], "nothing was given that could open the stream"),
        (&["restore", "-i", "plain", "sealed.cfd", "t"], "plain: "),
        (&["rewrap", "-i", "key.txt", "sealed.cfd"], "nobody was given who could open the stream"),
    ];
    for (arguments, words) in cases {
        place.run(arguments).assert_failed(2, words);
    }
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd"]);
}

#[test]
fn a_file_is_not_replaced_by_what_is_made_from_it() {
    let place = Place::with_sealed(1);
    std::os::unix::fs::symlink(place.path("sealed.cfd"), place.path("link")).unwrap();
    let (sealed, plain) =
        (fs::read(place.path("sealed.cfd")).unwrap(), fs::read(place.path("plain")).unwrap());
    let recipient = place.recipient.clone();
    let cases: [&[&str]; 3] = [
        &["restore", "--force", "-i", "key.txt", "sealed.cfd", "sealed.cfd"],
        &["restore", "--force", "-i", "key.txt", "sealed.cfd", "link"],
        &["seal", "--force", "-r", &recipient, "-o", "plain", "plain"],
    ];
    for arguments in cases {
        place.run(arguments).assert_failed(2, "the input and the output are the same file");
    }
    assert_eq!(fs::read(place.path("sealed.cfd")).unwrap(), sealed);
    assert_eq!(fs::read(place.path("plain")).unwrap(), plain);
}

#[test]
fn an_identity_given_for_a_recipient_is_refused_and_not_repeated() {
    let place = Place::new();
    let text = fs::read_to_string(place.path("key.txt")).unwrap();
    let secret = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    let refused = place.run(["seal", "-r", secret, "key.txt"]);
    refused.assert_failed(2, "this is a secret key");
    assert!(!refused.stderr.contains(secret));
}

#[test]
fn a_secret_given_for_the_file_that_holds_it_is_not_repeated() {
    let place = Place::with_sealed(1);
    let text = fs::read_to_string(place.path("key.txt")).unwrap();
    let identity = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap();
    let key = "5e".repeat(32);
    for (option, secret) in [("-i", identity), ("--key-file", &key)] {
        let refused = place.run(["restore", option, secret, "sealed.cfd", "target"]);
        refused.assert_failed(1, "give the name of a file that holds it");
        assert!(!refused.stderr.contains(secret));
    }
}

#[test]
fn a_damaged_stream_is_3_and_says_where() {
    let place = Place::with_sealed(4);
    place.damage_segment(2);
    fs::write(place.path("target"), b"old").unwrap();
    let refused = place.run(["restore", "-i", "key.txt", "--force", "sealed.cfd", "target"]);
    refused.assert_failed(3, "segment 2, frame");
    assert!(refused.stderr.contains("sealed.cfd: "), "which file: {}", refused.stderr);
    assert!(refused.stderr.contains("Fetch the stream again"));
    place.run(["verify", "-i", "key.txt", "sealed.cfd"]).assert_failed(3, "segment 2");
    place.run(["verify", "sealed.cfd"]).assert_failed(3, "segment 2");
    assert_eq!(place.read("target"), b"old");
    assert!(refused.stderr.contains("run the same command again to go on"), "{}", refused.stderr);
    let good = place.seal("plain", "other.cfd");
    good.assert_done();
    let another = place.run(["restore", "-i", "key.txt", "--force", "other.cfd", "target"]);
    another.assert_failed(8, "--restart");
    assert!(another.stderr.starts_with("cofferdam: target: "), "which one: {}", another.stderr);
    assert_eq!(place.read("target"), b"old");
    place.run(["restore", "-i", "key.txt", "--force", "--restart", "other.cfd", "target"]).assert_done();
    assert_eq!(place.names(), ["key.txt", "other.cfd", "plain", "sealed.cfd", "target"]);
}

#[test]
fn a_key_that_does_not_open_is_4() {
    let place = Place::with_sealed(1);
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    place.run(["keygen", "--key-file", "-o", "other.key"]).assert_done();
    fs::write(place.path("words"), "wrong").unwrap();
    fs::write(place.path("right"), "right").unwrap();
    place.run(["seal", "--passphrase-file", "right", "-o", "locked.cfd", "plain"]).assert_done();
    for (keys, sealed) in [
        (["-i", "other.txt"], "sealed.cfd"),
        (["--key-file", "other.key"], "sealed.cfd"),
        (["--passphrase-file", "words"], "locked.cfd"),
    ] {
        let refused = place.run(["restore", sealed, "t"].into_iter().chain(keys));
        refused.assert_failed(4, "Try another identity");
    }
    assert!(!place.path("t").exists());
}

#[test]
fn a_truncated_stream_is_5() {
    let place = Place::with_sealed(4);
    place.cut_segment(2);
    for arguments in [
        &["restore", "-i", "key.txt", "sealed.cfd", "t"][..],
        &["verify", "-i", "key.txt", "sealed.cfd"],
        &["verify", "sealed.cfd"],
    ] {
        place.run(arguments).assert_failed(5, "Its end is missing");
    }
    assert!(!place.path("t").exists());
    let kept = place.names();
    place.seal("plain", "t").assert_failed(8, "what an interrupted restore to this name left");
    assert_eq!(place.names(), kept, "a seal throws nothing away that a restore has kept");
}

#[test]
fn a_target_that_exists_is_6() {
    let place = Place::with_sealed(1);
    fs::write(place.path("target"), b"old").unwrap();
    std::os::unix::fs::symlink("target", place.path("link")).unwrap();
    place.run(["restore", "-i", "key.txt", "sealed.cfd", "target"]).assert_failed(6, "--force");
    place.run(["restore", "-i", "key.txt", "sealed.cfd", "link"]).assert_failed(6, "--force");
    place.seal("plain", "target").assert_failed(6, "--force");
    place.run(["keygen", "-o", "target"]).assert_failed(6, "A key is never replaced");
    assert_eq!(place.read("target"), b"old");
}

#[test]
fn a_limit_is_7() {
    let place = Place::with_sealed(1);
    let name = "key-area-external-name-len-256.cfdv";
    place.run(["verify", &vector(&place, name)]).assert_failed(7, "");
    assert_eq!(place.run(["verify", &vector(&place, "preamble-version-2.cfdv")]).code, 7);
}

#[test]
fn a_stream_that_needs_more_memory_than_it_may_use_is_7_for_readers_and_2_for_whoever_makes_it() {
    let place = Place::with_sealed(1);
    let words = "Give it more with `--memory`";
    place.run(["verify", "-i", "key.txt", "--memory", "1KiB", "sealed.cfd"]).assert_failed(7, words);
    place.run(["seal", "-r", &place.recipient, "--memory", "1KiB", "plain"]).assert_failed(2, words);
    // Standard output gets whole segments, so one has to be held: 16 KiB of plaintext here, and a run on its way in and out.
    let long = ["--segment-size", "1GiB", "-o", "long.cfd", "plain"];
    place.run(["seal", "-r", &place.recipient].into_iter().chain(long)).assert_done();
    let held = place.run(["restore", "-i", "key.txt", "--memory", "40KiB", "long.cfd", "-"]);
    held.assert_failed(7, words);
    assert_eq!(held.stdout, b"");
}

#[test]
fn every_vector_ends_in_the_code_of_its_class() {
    let place = Place::new();
    let folder = Path::new(VECTORS);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.ends_with(".cfdv") {
            continue;
        }
        let (header, sealed) = split(folder, &name);
        let field = |wanted: &'static str| header.lines().find_map(move |line| line.strip_prefix(wanted));
        let kinds = [("identity: ", "-i"), ("key: ", "--key-file"), ("passphrase: ", "--passphrase-file")];
        let mut options = Vec::new();
        for (kind, option) in kinds {
            let Some(key) = field(kind) else { continue };
            let file = option.trim_start_matches('-');
            fs::write(place.path(file), key).unwrap();
            options.extend([option, file]);
        }
        let due = match field("sequential: ").unwrap() {
            "success" => 0,
            "damaged" => 3,
            "not a stream" => 11,
            "no key" => 4,
            "truncated" => 5,
            "limit" | "unsupported" => 7,
            class => panic!("{name}: class {class}"),
        };
        // In order from a pipe, as the vectors are meant to be read.
        let restore = ["restore", "--restart"].into_iter().chain(options).chain(["-", "restored"]);
        let ran = place.run_fed(restore, sealed);
        assert_eq!(ran.code, due, "{name}: {}", ran.stderr);
        assert_eq!(place.path("restored").exists(), due == 0, "{name}");
        let _ = fs::remove_file(place.path("restored"));
        count += 1;
    }
    assert!(count >= 250, "{count} vectors");
}

#[test]
fn a_target_that_another_process_writes_is_9() {
    let place = Place::with_sealed(4);
    let sealed = place.read("sealed.cfd");
    let mut first = place.spawn(["restore", "-i", "key.txt", "-", "target"]);
    let mut feed = first.stdin.take().unwrap();
    feed.write_all(&sealed[..sealed.len() / 2]).unwrap();
    wait_until("the staging file", || place.path(STAGING).exists());
    place.run(["restore", "-i", "key.txt", "sealed.cfd", "target"]).assert_failed(9, "target");
    feed.write_all(&sealed[sealed.len() / 2..]).unwrap();
    drop(feed);
    end_of(first).assert_done();
    assert!(place.read("target") == place.read("plain"));
    assert!(!place.path(STAGING).exists());
}

/// Puts the stream of a vector into the directory.
fn vector(place: &Place, name: &str) -> String {
    let (_, sealed) = split(Path::new(VECTORS), name);
    fs::write(place.path("vector"), sealed).unwrap();
    "vector".to_owned()
}

/// The header of a vector, and its stream: the bytes behind it, or another vector's stream with its patches.
fn split(folder: &Path, name: &str) -> (String, Vec<u8>) {
    let file = fs::read(folder.join(name)).unwrap();
    let end = file.windows(2).position(|pair| pair == b"\n\n").unwrap();
    let header = String::from_utf8(file[..end].to_vec()).unwrap();
    let field = |wanted: &'static str| header.lines().filter_map(move |line| line.strip_prefix(wanted));
    let Some(base) = field("base: ").next().map(str::to_owned) else {
        return (header, file[end + 2..].to_vec());
    };
    let (_, mut sealed) = split(folder, &base);
    sealed.truncate(field("len: ").next().unwrap().parse().unwrap());
    for (at, digits) in field("patch: ").map(|patch| patch.split_once('=').unwrap()) {
        let at: usize = at.parse().unwrap();
        for (index, byte) in sealed[at..at + digits.len() / 2].iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).unwrap();
        }
    }
    (header, sealed)
}

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors");
const STAGING: &str = ".target.cofferdam-staging";
