//! Seal, restore and verify: what happens where all is well.
//! What goes wrong is in `exit_codes`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, plaintext};

#[test]
fn what_is_sealed_is_restored_for_every_length_around_frame_and_segment() {
    let place = Place::new();
    for len in [0, 1, 4095, 4096, 4097, SEGMENT_LEN - 1, SEGMENT_LEN, SEGMENT_LEN + 1, 2 * SEGMENT_LEN + 77] {
        let plain = plaintext(len);
        fs::write(place.path("plain"), &plain).unwrap();
        place
            .run(["seal", "--force", "-r", &place.recipient, "plain"].into_iter().chain(SMALL))
            .assert_done();
        place.run(["restore", "--force", "-i", "key.txt", "plain.cfd", "restored"]).assert_done();
        assert!(place.read("restored") == plain, "{len} bytes");
    }
    assert_eq!(place.names(), ["key.txt", "plain", "plain.cfd", "restored"]);
}

#[test]
fn every_suite_and_digest_goes_both_ways_and_is_what_inspect_says() {
    let place = Place::new();
    let plain = plaintext(3 * SEGMENT_LEN);
    fs::write(place.path("plain"), &plain).unwrap();
    for suite in ["aes256gcm", "chacha20poly1305"] {
        for digest in ["blake3", "sha256", "tags"] {
            let format = ["--suite", suite, "--digest", digest, "--force", "--threads", "2"];
            let seal = ["seal", "-r", &place.recipient, "plain"];
            place.run(seal.into_iter().chain(format).chain(SMALL)).assert_done();
            let inspected = place.run(["inspect", "plain.cfd"]);
            assert!(inspected.text().contains(suite) && inspected.text().contains(digest));
            let restore = ["restore", "--force", "-i", "key.txt", "--memory", "1MiB", "--threads", "3"];
            place.run(restore.into_iter().chain(["plain.cfd", "restored"])).assert_done();
            assert!(place.read("restored") == plain, "{suite}, {digest}");
        }
    }
}

#[test]
fn any_one_of_several_keys_opens_the_stream() {
    let place = Place::new();
    fs::write(place.path("plain"), b"for many").unwrap();
    fs::write(place.path("words"), "correct horse\nnot this line\n").unwrap();
    place.run(["keygen", "--key-file", "-o", "raw.key"]).assert_done();
    let other = place.run(["keygen", "-o", "other.txt"]);
    fs::write(place.path("team"), format!("# the team\n\n{}", other.text())).unwrap();
    let keys = ["-r", &place.recipient, "-R", "team", "--key-file", "raw.key", "--passphrase-file", "words"];
    place.run(["seal", "plain"].into_iter().chain(keys)).assert_done();
    let openers =
        [["-i", "key.txt"], ["-i", "other.txt"], ["--key-file", "raw.key"], ["--passphrase-file", "words"]];
    for opener in openers {
        place.run(["restore", "--force", "plain.cfd", "restored"].into_iter().chain(opener)).assert_done();
        assert_eq!(place.read("restored"), b"for many", "{opener:?}");
        fs::remove_file(place.path("restored")).unwrap();
    }
}

#[test]
fn metadata_travels_encrypted_and_is_printed_on_restore() {
    let place = Place::new();
    fs::write(place.path("plain"), b"x").unwrap();
    let pairs = ["--metadata", "host=db1", "--metadata", "note=a=b"];
    place.run(["seal", "-r", &place.recipient, "plain"].into_iter().chain(pairs)).assert_done();
    assert!(!place.read("plain.cfd").windows(3).any(|window| window == b"db1"));
    let restored = place.run(["restore", "-i", "key.txt", "plain.cfd", "restored"]);
    restored.assert_done();
    assert!(restored.text().contains("\nhost=db1\nnote=a=b\n"), "{}", restored.text());
}

#[test]
fn verify_says_how_much_it_has_shown() {
    let place = Place::with_sealed(3);
    let keyless = place.run(["verify", "sealed.cfd"]);
    keyless.assert_done();
    assert!(keyless.text().contains("consistent; authenticity not checked"), "{}", keyless.text());
    let keyed = place.run(["verify", "-i", "key.txt", "sealed.cfd"]);
    keyed.assert_done();
    assert!(keyed.text().contains("verified: every frame opens"), "{}", keyed.text());
    let digest = keyed.text().lines().find_map(|line| line.strip_prefix("stream digest ")).unwrap();
    let pinned = place.run(["verify", "--expect-digest", digest, "sealed.cfd"]);
    pinned.assert_done();
    assert!(pinned.text().contains("the very stream of the expected digest"), "{}", pinned.text());
    let other = "00".repeat(32);
    assert_eq!(place.run(["verify", "--expect-digest", &other, "sealed.cfd"]).code, 3);
    assert_eq!(place.run(["verify", "--expect-digest", "00", "sealed.cfd"]).code, 2);
    assert_eq!(place.names(), ["key.txt", "plain", "sealed.cfd"]);
}

#[test]
fn a_restore_of_another_digest_than_the_expected_one_touches_nothing() {
    let place = Place::with_sealed(3);
    let sealed = place.seal("plain", "again.cfd");
    let digest_of = |ran: &Ran| {
        let text = ran.text();
        let digest = text.lines().find_map(|line| line.strip_prefix("stream digest ")).map(str::to_owned);
        digest.unwrap()
    };
    let verified = place.run(["verify", "-i", "key.txt", "sealed.cfd"]);
    let (digest, other) = (digest_of(&verified), digest_of(&sealed));
    fs::write(place.path("target"), b"old").unwrap();
    let restore = |digest: &str, target: &str| {
        place.run(["restore", "-i", "key.txt", "--force", "--expect-digest", digest, "sealed.cfd", target])
    };
    let before = place.names();
    restore(&other, "target").assert_failed(3, "digest is not the expected one");
    assert!(place.read("target") == b"old");
    assert_eq!(place.names(), before);
    // What goes to a pipe cannot be taken back: nothing has gone.
    let refused = restore(&other, "-");
    assert_eq!((refused.code, refused.stdout.len()), (3, 0), "{}", refused.stderr);
    assert_eq!(restore("00", "target").code, 2);
    restore(&digest, "target").assert_done();
    assert!(place.read("target") == place.read("plain"));
    let piped = ["restore", "-i", "key.txt", "--expect-digest", &other, "-", "by-pipe"];
    assert_eq!(place.run_fed(piped, place.read("sealed.cfd")).code, 3);
    assert!(!place.path("by-pipe").exists());
}

#[test]
fn a_digest_of_tags_cannot_be_expected() {
    let place = Place::new();
    fs::write(place.path("plain"), b"x").unwrap();
    place.run(["seal", "-r", &place.recipient, "--digest", "tags", "plain"]).assert_done();
    let digest = "00".repeat(32);
    let pinned = ["restore", "-i", "key.txt", "--expect-digest", &digest, "plain.cfd", "target"];
    place.run(pinned).assert_failed(7, "cannot be pinned");
    let pinned = ["verify", "-i", "key.txt", "--expect-digest", &digest, "plain.cfd"];
    place.run(pinned).assert_failed(7, "cannot be pinned");
    assert!(!place.path("target").exists());
}

#[test]
fn force_replaces_a_target_and_keeps_its_mode() {
    let place = Place::with_sealed(1);
    fs::write(place.path("target"), b"old").unwrap();
    fs::set_permissions(place.path("target"), fs::Permissions::from_mode(0o640)).unwrap();
    place.run(["restore", "-i", "key.txt", "--force", "sealed.cfd", "target"]).assert_done();
    assert!(place.read("target") == place.read("plain"));
    let mode = fs::metadata(place.path("target")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn quiet_says_nothing_where_all_is_well_and_says_errors() {
    let place = Place::with_sealed(1);
    for arguments in [
        vec!["-q", "seal", "-r", &place.recipient, "plain"],
        vec!["verify", "--quiet", "sealed.cfd"],
        vec!["restore", "--quiet", "-i", "key.txt", "sealed.cfd", "restored"],
    ] {
        let ran = place.run(&arguments);
        ran.assert_done();
        assert!(ran.stdout.is_empty() && ran.stderr.is_empty(), "{arguments:?}: {ran:?}");
    }
    let refused = place.run(["restore", "--quiet", "-i", "key.txt", "sealed.cfd", "restored"]);
    refused.assert_failed(6, "cofferdam: restored: this file exists already");
}

#[test]
fn a_compressed_stream_is_shorter_says_so_and_is_restored() {
    let place = Place::new();
    let plaintext = b"a line that is like all others\n".repeat(40_000);
    fs::write(place.path("plain"), &plaintext).unwrap();
    place.run(["keygen", "--key-file", "-o", "k"]).assert_done();
    for (option, name) in [("--zstd", "usual.cfd"), ("--zstd=1", "fast.cfd"), ("--zstd=19", "small.cfd")] {
        place.run(["seal", "--key-file", "k", option, "-o", name, "plain"]).assert_done();
        assert!(place.read(name).len() < plaintext.len() / 20, "{option}");
        let inspected = place.run(["inspect", "--json", name]);
        assert!(inspected.text().contains("\"compression\":\"zstd\""), "{}", inspected.text());
        place.run(["verify", name]).assert_done();
        place.run(["restore", "--key-file", "k", "--force", name, "out"]).assert_done();
        assert!(place.read("out") == plaintext, "{option}");
    }
    for level in ["0", "20", "-1", "much", ""] {
        place.run(["seal", "--key-file", "k", &format!("--zstd={level}"), "plain"]).assert_failed(2, "");
    }
    place.run(["seal", "--key-file", "k", "-o", "none.cfd", "plain"]).assert_done();
    assert!(place.run(["inspect", "--json", "none.cfd"]).text().contains("\"compression\":\"none\""));
}
