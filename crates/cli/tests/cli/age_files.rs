//! Age files at the command line: from every kind of source, both ways with `age`, with the exit codes that streams of ours have.
//! Which bytes are refused is tested in the library.

use std::fs;
use std::process::{Command, Stdio};

use servers::Nginx;
use servers::installed::is_skipped;

use crate::device_place::Device;
use crate::place::{Place, Ran, end_of, fed, json_lines, plaintext};

/// A place with `plain`, and `sealed.age`, which `age` has sealed from it.
fn with_age_file(len: usize) -> Place {
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(len)).unwrap();
    seal_by_age(&place, &["-o", "sealed.age"]);
    place
}

fn seal_by_age(place: &Place, arguments: &[&str]) {
    let mut age = Command::new("age");
    age.args(["-r", &place.recipient]).args(arguments).arg("plain");
    assert!(age.current_dir(place.directory.path()).status().unwrap().success());
}

/// What `age` reads in `sealed`.
fn opened_by_age(place: &Place, sealed: Vec<u8>) -> Vec<u8> {
    let mut age = Command::new("age");
    age.args(["-d", "-i", "key.txt"]).current_dir(place.directory.path());
    let ran = fed(&mut age, sealed);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

const LEN: usize = 20 * 65_536 + 1000;

#[test]
fn an_age_file_is_restored_verified_and_printed_from_a_file_a_pipe_and_a_fifo() {
    let place = with_age_file(LEN);
    let plain = place.read("plain");
    let restored = place.run(["restore", "-i", "key.txt", "sealed.age", "restored"]);
    restored.assert_done();
    assert!(restored.text().contains("1.25 MiB, sealed as age"), "{}", restored.text());
    assert!(place.read("restored") == plain);
    for arguments in [["restore", "-i", "key.txt", "-", "piped"], ["restore", "-i", "key.txt", "-", "-"]] {
        let ran = place.run_fed(arguments, place.read("sealed.age"));
        ran.assert_done();
        let out = if arguments[4] == "-" { ran.stdout } else { place.read("piped") };
        assert!(out == plain, "{arguments:?}");
    }
    place
        .shell("mkfifo fifo; cat sealed.age > fifo & cofferdam restore -i key.txt fifo from-fifo")
        .assert_done();
    assert!(place.read("from-fifo") == plain);
    let printed = place.run(["cat", "-i", "key.txt", "sealed.age"]);
    assert!(printed.stdout == plain);
    let verified = place.run(["verify", "-i", "key.txt", "sealed.age"]);
    verified.assert_done();
    assert!(verified.text().contains("every chunk opens, to the last; sealed as age"), "{}", verified.text());
    place.run_fed(["verify", "-i", "key.txt", "-"], place.read("sealed.age")).assert_done();
}

#[test]
fn an_armored_file_is_read_in_order_and_so_has_no_ranges() {
    let place = with_age_file(LEN);
    seal_by_age(&place, &["-a", "-o", "armored.age"]);
    place.run(["restore", "-i", "key.txt", "armored.age", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    let inspected = place.run(["inspect", "armored.age"]);
    assert!(inspected.text().contains("age, armored"), "{}", inspected.text());
    let ranged = place.run(["cat", "-i", "key.txt", "--range", "0..4", "armored.age"]);
    ranged.assert_failed(2, "an armored age file can only be read in order");
}

#[test]
fn a_range_is_cut_out_of_an_age_file_and_one_beyond_it_is_refused() {
    let place = with_age_file(LEN);
    let plain = place.read("plain");
    for (range, begin, end) in [
        ("65530..65540", 65_530, 65_540),
        ("..3", 0, 3),
        ("-5", LEN - 5, LEN),
        ("131072..1200000", 131_072, 1_200_000),
    ] {
        let printed = place.run(["cat", "-i", "key.txt", "--range", range, "sealed.age"]);
        printed.assert_done();
        assert!(printed.stdout == plain[begin..end], "{range}");
    }
    place.run(["cat", "-i", "key.txt", "--range", "0..9000000", "sealed.age"]).assert_failed(2, "range");
    let numbered =
        place.run(["cat", "-i", "key.txt", "--min-sequence", "1", "--range", "0..1", "sealed.age"]);
    numbered.assert_failed(14, "has no sequence number");
    assert!(numbered.stdout.is_empty());
    let json = place.run(["cat", "--json", "-i", "key.txt", "--range", "0..1", "sealed.age"]);
    let record = &json_lines(json.stderr.as_bytes())[0];
    assert_eq!((&record["format"], &record["stream_id"]), (&"age".into(), &serde_json::Value::Null));
}

#[test]
fn an_age_file_on_a_server_is_read_like_one_at_hand() {
    if is_skipped() {
        return;
    }
    let place = with_age_file(40 * 65_536);
    let server = Nginx::start(place.directory.path()).unwrap();
    let url = server.url("sealed.age");
    place.run(["restore", "-i", "key.txt", &url, "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    place.run(["verify", "-i", "key.txt", &url]).assert_done();
    let part = place.run(["cat", "-i", "key.txt", "--range", "100000..2000000", &url]);
    assert!(part.stdout == place.read("plain")[100_000..2_000_000]);
    place.run(["inspect", &url]).assert_done();
    let sealed = place.read("sealed.age");
    fs::write(place.path("cut.age"), &sealed[..sealed.len() - 65_552]).unwrap();
    let cut = place.run(["restore", "-i", "key.txt", &server.url("cut.age"), "other"]);
    cut.assert_failed(5, "chunks are missing behind its last one");
    assert!(!place.path("other").exists());
}

/// A device has no length but its own: the file has to fill it.
#[test]
fn an_age_file_that_fills_a_block_device_is_read_from_it() {
    let device_len = 1 << 20;
    // The header that `age` writes has one length.
    let sealed_len = |plain_len| with_age_file(plain_len).read("sealed.age").len();
    let around = sealed_len(900_000) - 900_000 - 14 * 16;
    let place = with_age_file(device_len - around - 16 * 16);
    assert_eq!(place.read("sealed.age").len(), device_len);
    let Some(device) = Device::make(&place, "image", device_len) else { return };
    fs::write(&device.path, place.read("sealed.age")).unwrap();
    let path = device.path.to_str().unwrap();
    place.run(["restore", "-i", "key.txt", path, "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
}

#[test]
fn inspect_says_whom_an_age_file_is_for_without_a_key() {
    let place = with_age_file(100);
    let inspected = place.run(["inspect", "sealed.age"]);
    inspected.assert_done();
    for words in ["age\n", "X25519", "Nothing of this has been authenticated"] {
        assert!(inspected.text().contains(words), "{words}: {}", inspected.text());
    }
    let json = place.run(["inspect", "--json", "sealed.age"]);
    let record = &json_lines(&json.stdout)[0];
    assert_eq!(record["event"], "foreign stream");
    assert_eq!((&record["format"], &record["stanzas"][0]), (&"age".into(), &"X25519".into()));
    place.run(["inspect", "--segments", "sealed.age"]).assert_failed(2, "--segments");
}

#[test]
fn what_is_sealed_for_age_is_opened_by_age_from_a_file_and_from_pipes() {
    let place = Place::new();
    for len in [0, 1, 65_535, 65_536, 65_537, LEN] {
        let plain = plaintext(len);
        fs::write(place.path("plain"), &plain).unwrap();
        let sealed = place.run(["seal", "--force", "--format", "age", "-r", &place.recipient, "plain"]);
        sealed.assert_done();
        assert!(
            sealed.text().contains("into plain.age") && sealed.text().contains(" as age"),
            "{}",
            sealed.text()
        );
        assert!(opened_by_age(&place, place.read("plain.age")) == plain, "{len}");
        let piped = place.run_fed(["seal", "--format", "age", "-r", &place.recipient, "-"], plain.clone());
        piped.assert_done();
        assert!(opened_by_age(&place, piped.stdout) == plain, "{len} through pipes");
    }
    assert_eq!(place.names(), ["key.txt", "plain", "plain.age"]);
    let json = place.run(["seal", "--json", "--force", "--format", "age", "-r", &place.recipient, "plain"]);
    let record = &json_lines(&json.stdout)[0];
    assert_eq!((&record["format"], &record["stream_digest"]), (&"age".into(), &serde_json::Value::Null));
    assert_eq!(record["sealed_len"].as_u64().unwrap(), place.read("plain.age").len() as u64);
}

#[test]
fn an_option_that_an_age_file_cannot_have_is_refused_by_its_name() {
    let place = Place::new();
    fs::write(place.path("plain"), b"x").unwrap();
    for option in [
        &["--zstd"][..],
        &["--digest", "tags"],
        &["--suite", "aes256gcm"],
        &["--frame-size", "4KiB"],
        &["--segment-size", "1MiB"],
        &["--metadata", "a=b"],
        &["--sequence", "4"],
        &["--resume"],
        &["--ssh-key", "nowhere"],
        &["--ssh-agent"],
        &["--signature", "s.sig"],
    ] {
        let seal = ["seal", "--format", "age", "-r", &place.recipient, "plain"];
        place
            .run([&seal[..], option].concat())
            .assert_failed(2, &format!("{} is not for an age file", option[0]));
    }
    place.run(["keygen", "--key-file", "-o", "raw.key"]).assert_done();
    let keyed =
        place.run(["seal", "--format", "age", "-r", &place.recipient, "--key-file", "raw.key", "plain"]);
    keyed.assert_failed(2, "not for keys of other kinds");
    fs::write(place.path("words"), "correct horse\n").unwrap();
    let both = ["seal", "--format", "age", "-r", &place.recipient, "--passphrase-file", "words", "plain"];
    place.run(both).assert_failed(2, "a passphrase stands alone");
    assert_eq!(place.names(), ["key.txt", "plain", "raw.key", "words"]);
}

#[test]
fn a_passphrase_seals_and_opens_an_age_file() {
    let place = Place::new();
    fs::write(place.path("plain"), b"a snapshot").unwrap();
    fs::write(place.path("words"), "correct horse\n").unwrap();
    fs::write(place.path("wrong"), "battery staple\n").unwrap();
    place.run(["seal", "--format", "age", "--passphrase-file", "words", "plain"]).assert_done();
    let restore = |keys: [&str; 2]| place.run([&["restore"], &keys[..], &["plain.age", "restored"]].concat());
    restore(["--passphrase-file", "wrong"])
        .assert_failed(4, "the passphrase given does not open the age file");
    restore(["-i", "key.txt"]).assert_failed(4, "sealed with a passphrase, and none was given");
    restore(["--passphrase-file", "words"]).assert_done();
    assert_eq!(place.read("restored"), b"a snapshot");
}

#[test]
fn each_way_to_fail_has_the_exit_code_that_it_has_for_a_stream_of_ours() {
    let place = with_age_file(3 * 65_536);
    let sealed = place.read("sealed.age");
    let write = |name: &str, bytes: &[u8]| fs::write(place.path(name), bytes).unwrap();
    let mut damaged = sealed.clone();
    damaged[sealed.len() - 2 * 65_552 + 5] ^= 1;
    write("damaged.age", &damaged);
    write("cut.age", &sealed[..sealed.len() - 65_552]);
    write("longer.age", &[&sealed[..], &[7; 100]].concat());
    write("there", b"the old one");
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    let restore = |arguments: &[&str]| place.run([&["restore"], arguments].concat());
    restore(&["sealed.age", "t"]).assert_failed(2, "Give an identity with -i");
    restore(&["-i", "key.txt", "damaged.age", "t"]).assert_failed(3, "chunk 1 fails authentication");
    restore(&["-i", "other.txt", "sealed.age", "t"]).assert_failed(4, "none of the identities given opens");
    restore(&["-i", "key.txt", "cut.age", "t"]).assert_failed(5, "Its end is missing");
    restore(&["-i", "key.txt", "longer.age", "t"]).assert_failed(3, "cut short, or added to, or changed");
    restore(&["-i", "key.txt", "sealed.age", "there"]).assert_failed(6, "--force");
    restore(&["-i", "key.txt", "--seed", "plain", "sealed.age", "t"]).assert_failed(2, "a seed is of no use");
    restore(&["-i", "key.txt", "--expect-digest", &"00".repeat(32), "sealed.age", "t"])
        .assert_failed(7, "an age file has no stream digest");
    restore(&["-i", "key.txt", "--min-sequence", "1", "sealed.age", "t"]).assert_failed(14, "");
    place.run(["verify", "sealed.age"]).assert_failed(2, "verified with a key only");
    let serve = place.run(["rewrap", "-i", "key.txt", "-r", &place.recipient, "sealed.age"]);
    serve.assert_failed(11, "an age file");
    assert_eq!(place.read("there"), b"the old one");
    assert!(!place.path("t").exists());
    let hidden: Vec<String> = place.names().into_iter().filter(|name| name.starts_with('.')).collect();
    // The damaged one had been begun, and its first chunk was right.
    assert!(hidden.iter().all(|name| name.starts_with(".t.cofferdam-")), "{hidden:?}");
}

/// Of what comes out of a pipe that is cut, or goes into one that is closed, the exit code says that it is not the whole.
#[test]
fn a_pipe_that_ends_early_on_either_side_is_no_success() {
    let place = with_age_file(LEN);
    let sealed = place.read("sealed.age");
    let cut = place.run_fed(["restore", "-i", "key.txt", "-", "t"], sealed[..sealed.len() / 2].to_vec());
    assert!(matches!(cut.code, 3 | 5), "{}", cut.stderr);
    assert!(!place.path("t").exists());
    let closed =
        place.shell("cofferdam restore -i key.txt sealed.age - 2>said | head -c 10 >/dev/null; cat said");
    assert!(closed.text().contains("not the whole") || closed.text().is_empty(), "{}", closed.text());
    let mut command = place.command(["restore", "-i", "key.txt", "sealed.age", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran: Ran = end_of(child);
    assert_ne!(ran.code, 0, "{}", ran.stderr);
}

/// Nothing in an age file says which of the bytes that are kept are right.
#[test]
fn an_interrupted_restore_says_that_the_next_one_opens_all_again() {
    let place = with_age_file(40 * 65_536);
    let mut damaged = place.read("sealed.age");
    let at = damaged.len() - 5 * 65_552;
    damaged[at] ^= 1;
    fs::write(place.path("damaged.age"), damaged).unwrap();
    let restore = ["restore", "-i", "key.txt", "--threads", "1", "--durability", "each"];
    let ran = place.run(restore.into_iter().chain(["damaged.age", "t"]));
    ran.assert_failed(3, "opens all of the stream again, and writes only what differs");
    assert!(!ran.stderr.contains("go on from there"), "{}", ran.stderr);
    place.run(restore.into_iter().chain(["sealed.age", "t"])).assert_done();
    assert_eq!(place.read("t"), place.read("plain"));
}
