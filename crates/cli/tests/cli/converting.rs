//! Streams of ours and age files that are sealed anew: what goes along, what is demanded of OLD, and what is left if it does not hold.
//! Streams of other tools are tested beside these.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use servers::installed::is_skipped;
use servers::{Identity, Nginx, SeaweedFs};

use crate::place::{Place, Ran, SEGMENT_LEN, SMALL, fed, json_lines, plaintext};

/// With `old.cfd` of three segments, number 7, with a note, sealed from `plain`; and `ben.txt` for whom it is sealed anew.
fn place() -> (Place, String) {
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(3 * SEGMENT_LEN - 5)).unwrap();
    fs::set_permissions(place.path("plain"), fs::Permissions::from_mode(0o640)).unwrap();
    let file = fs::File::options().write(true).open(place.path("plain")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789)).unwrap();
    let recipient = place.recipient.clone();
    let named = ["--metadata", "host=db1", "--sequence", "7", "-o", "old.cfd", "plain"];
    place.run([&["seal", "-r", &recipient][..], &SMALL, &named].concat()).assert_done();
    let ben = place.run(["keygen", "-o", "ben.txt"]).text().trim().to_owned();
    (place, ben)
}

fn convert(place: &Place, ben: &str, options: &[&str], ends: [&str; 2]) -> Ran {
    place.run([&["convert", "-i", "key.txt", "-r", ben], options, &ends].concat())
}

fn verified(place: &Place, identity: &str, sealed: &str) -> Value {
    let ran = place.run(["verify", "--json", "-i", identity, sealed]);
    ran.assert_done();
    json_lines(&ran.stdout).remove(0)
}

fn digest_of(place: &Place, sealed: &str) -> String {
    verified(place, "key.txt", sealed)["stream_digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_stream_of_ours_keeps_metadata_number_mode_and_time_and_nothing_else() {
    let (place, ben) = place();
    let options = ["--json", "--zstd", "--suite", "chacha20poly1305", "--digest", "sha256"];
    let converted = convert(&place, &ben, &options, ["old.cfd", "new.cfd"]);
    converted.assert_done();
    let record = json_lines(&converted.stdout).remove(0);
    assert_eq!((&record["sequence"], &record["format"]), (&7.into(), &"cofferdam".into()));
    let (old, new) = (verified(&place, "key.txt", "old.cfd"), verified(&place, "ben.txt", "new.cfd"));
    assert_eq!(new["metadata"], old["metadata"]);
    assert!(new["metadata"].to_string().contains("host"), "{}", new["metadata"]);
    assert_eq!(new["sequence"], 7);
    assert_eq!(new["stream_digest"], record["stream_digest"]);
    for own in ["stream_id", "stream_digest"] {
        assert_ne!(new[own], old[own], "{own}");
    }
    assert_eq!(place.run(["verify", "-i", "key.txt", "new.cfd"]).code, 4);
    place.run(["restore", "-i", "ben.txt", "new.cfd", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    let found = fs::metadata(place.path("restored")).unwrap();
    assert_eq!(
        (found.mode() & 0o7777, found.mtime(), found.mtime_nsec()),
        (0o640, 1_234_567_890, 123_456_789)
    );
    // Of what was converted already it is all the same, and from pipe to pipe.
    let again = ["convert", "-i", "ben.txt", "-r", &place.recipient, "-", "-"];
    let piped = place.run_fed(again, place.read("new.cfd"));
    piped.assert_done();
    fs::write(place.path("third.cfd"), piped.stdout).unwrap();
    let third = verified(&place, "key.txt", "third.cfd");
    assert_eq!((&third["metadata"], &third["sequence"]), (&old["metadata"], &7.into()));
}

#[test]
fn a_second_conversion_replaces_only_with_force_and_never_its_input() {
    let (place, ben) = place();
    let old = place.read("old.cfd");
    convert(&place, &ben, &[], ["old.cfd", "new.cfd"]).assert_done();
    let new = place.read("new.cfd");
    convert(&place, &ben, &[], ["old.cfd", "new.cfd"]).assert_failed(6, "new.cfd: this file exists already");
    assert!(place.read("new.cfd") == new);
    convert(&place, &ben, &["--force"], ["old.cfd", "new.cfd"]).assert_done();
    assert!(place.read("new.cfd") != new);
    fs::hard_link(place.path("old.cfd"), place.path("same.cfd")).unwrap();
    for output in ["old.cfd", "same.cfd"] {
        convert(&place, &ben, &["--force"], ["old.cfd", output]).assert_failed(2, "the same file");
    }
    assert!(place.read("old.cfd") == old);
}

/// From a file before anything is made of it, from a pipe before it is published.
#[test]
fn what_is_not_the_stream_that_is_expected_is_not_sealed_anew() {
    let (place, ben) = place();
    place.seal("plain", "other.cfd").assert_done();
    let (digest, other) = (digest_of(&place, "old.cfd"), digest_of(&place, "other.cfd"));
    let names = place.names();
    for (options, code, words) in [
        (["--expect-digest", &other], 3, "digest is not the expected one"),
        (["--min-sequence", "8"], 14, "its sequence number is 7"),
    ] {
        convert(&place, &ben, &options, ["old.cfd", "new.cfd"]).assert_failed(code, words);
        let printed = convert(&place, &ben, &options, ["old.cfd", "-"]);
        printed.assert_failed(code, words);
        assert_eq!(printed.stdout, b"", "{options:?}");
        let piped = [&["convert", "-i", "key.txt", "-r", &ben], &options[..], &["-", "new.cfd"]].concat();
        place.run_fed(piped, place.read("old.cfd")).assert_failed(code, words);
        assert_eq!(place.names(), names, "{options:?}");
    }
    let expected = ["--expect-digest", &digest, "--min-sequence", "7"];
    convert(&place, &ben, &expected, ["old.cfd", "new.cfd"]).assert_done();
    let piped = [&["convert", "-i", "key.txt", "-r", &ben], &expected[..], &["-", "piped.cfd"]].concat();
    place.run_fed(piped, place.read("old.cfd")).assert_done();
    assert_eq!(verified(&place, "ben.txt", "piped.cfd")["sequence"], 7);
}

#[cfg(feature = "signatures")]
#[test]
fn what_is_not_signed_by_whom_it_has_to_be_is_not_sealed_anew() {
    let (place, ben) = place();
    crate::signing::write_keys(&place);
    let demand = ["--signed-by", "sealer.pub"];
    let names = place.names();
    convert(&place, &ben, &demand, ["old.cfd", "new.cfd"]).assert_failed(17, "there is no signature");
    assert_eq!(place.names(), names);
    place.run(["sign", "--ssh-key", "sealer", "old.cfd"]).assert_done();
    let converted = convert(&place, &ben, &[&demand[..], &["--json"]].concat(), ["old.cfd", "new.cfd"]);
    converted.assert_done();
    let record = json_lines(&converted.stdout).remove(0);
    assert_eq!(record["signed_by"]["comment"], "sealer");
    // What was made of it is another stream, and has no signature.
    assert!(!place.path("new.cfd.sig").exists());
    // A stream of somebody's who knows the recipient, with the genuine signature of another beside it.
    place.seal("plain", "forged.cfd").assert_done();
    fs::copy(place.path("old.cfd.sig"), place.path("forged.cfd.sig")).unwrap();
    let names = place.names();
    convert(&place, &ben, &demand, ["forged.cfd", "x.cfd"]).assert_failed(17, "has not signed this stream");
    let piped = ["convert", "-i", "key.txt", "-r", &ben, "--signed-by", "sealer.pub", "-", "x.cfd"];
    place.run_fed(piped, place.read("forged.cfd")).assert_failed(2, "--signature");
    let piped = [&piped[..7], &["--signature", "old.cfd.sig", "-", "x.cfd"]].concat();
    place.run_fed(&piped, place.read("forged.cfd")).assert_failed(17, "has not signed this stream");
    assert_eq!(place.names(), names);
    place.run_fed(&piped, place.read("old.cfd")).assert_done();
}

#[test]
fn a_damaged_stream_leaves_nothing_and_a_damaged_key_copy_is_said() {
    let (place, ben) = place();
    let whole = place.read("old.cfd");
    let names = place.names();
    for (bytes, code) in [
        (&whole[..whole.len() - 1], 5),
        (&[&whole[..whole.len() - 2000], &[7; 2000]].concat()[..], 3),
        (&whole[..100], 5),
    ] {
        fs::write(place.path("old.cfd"), bytes).unwrap();
        assert_eq!(convert(&place, &ben, &[], ["old.cfd", "new.cfd"]).code, code);
        let piped = ["convert", "-i", "key.txt", "-r", &ben, "-", "new.cfd"];
        assert_ne!(place.run_fed(piped, bytes.to_vec()).code, 0);
        assert_eq!(place.names(), names);
    }
    fs::write(place.path("old.cfd"), &whole).unwrap();
    place.run(["convert", "-i", "ben.txt", "-r", &ben, "old.cfd", "new.cfd"]).assert_failed(4, "old.cfd: ");
    assert_eq!(place.names(), names);
    let mut damaged = whole;
    damaged[4096 + 40] ^= 1;
    fs::write(place.path("old.cfd"), damaged).unwrap();
    let converted = convert(&place, &ben, &[], ["old.cfd", "new.cfd"]);
    converted.assert_done();
    assert!(converted.stderr.contains("key copy 0 of the stream is damaged"), "{}", converted.stderr);
}

/// What `age` reads in `sealed` with `identity`.
fn opened_by_age(place: &Place, identity: &str, sealed: &str) -> Vec<u8> {
    let mut age = Command::new("age");
    age.args(["-d", "-i", identity]).current_dir(place.directory.path());
    let ran = fed(&mut age, place.read(sealed));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

#[test]
fn an_age_file_is_made_of_an_age_file_and_of_a_stream_of_ours() {
    let (place, ben) = place();
    let age = ["--format", "age"];
    let converted = convert(&place, &ben, &age, ["old.cfd", "new.age"]);
    converted.assert_done();
    // What it has no place for is not lost without a word.
    let said = "the metadata of old.cfd, 3 pairs, with its sequence number 7, is not in new.age";
    assert!(converted.stderr.contains(said), "{}", converted.stderr);
    assert!(opened_by_age(&place, "ben.txt", "new.age") == place.read("plain"));

    let back = ["convert", "-i", "ben.txt", "-r", &place.recipient, "--json"];
    let converted = place.run([&back[..], &age, &["new.age", "back.age"]].concat());
    converted.assert_done();
    assert!(!converted.stderr.contains("metadata"), "{}", converted.stderr);
    let record = json_lines(&converted.stdout).remove(0);
    assert_eq!((&record["format"], &record["stream_digest"]), (&"age".into(), &Value::Null));
    assert!(opened_by_age(&place, "key.txt", "back.age") == place.read("plain"));
    assert_eq!(place.run(["verify", "-i", "ben.txt", "back.age"]).code, 4);

    let mut cut = place.read("new.age");
    cut.truncate(cut.len() - 1);
    fs::write(place.path("cut.age"), cut).unwrap();
    let names = place.names();
    assert_ne!(place.run([&back[..], &age, &["cut.age", "x.age"]].concat()).code, 0);
    for option in [&["--zstd"][..], &["--digest", "sha256"], &["--segment-size", "1MiB"]] {
        let refused = convert(&place, &ben, &[&age, option].concat(), ["old.cfd", "x.age"]);
        refused.assert_failed(2, "is not for an age file");
    }
    // Nothing pins an age file, and nothing numbers it.
    let digest = digest_of(&place, "old.cfd");
    for (option, code) in [(["--expect-digest", &digest], 7), (["--min-sequence", "1"], 14)] {
        let ran = place.run([&back[..], &option, &["new.age", "x.cfd"]].concat());
        assert_eq!(ran.code, code, "{}", ran.stderr);
    }
    assert_eq!(place.names(), names);
}

#[test]
fn a_stream_on_a_server_goes_into_a_store_and_a_wrong_one_does_not() {
    if is_skipped() {
        return;
    }
    let (place, ben) = place();
    let (server, store) = (Nginx::start(place.directory.path()).unwrap(), SeaweedFs::shared());
    let bucket = store.new_bucket().unwrap();
    let (old, new) = (server.url("old.cfd"), format!("s3://{bucket}/new.cfd"));
    let digest = digest_of(&place, "old.cfd");
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.envs(store.environment(store.address(), Identity::Owner));
        Ran::of(command.output().unwrap())
    };
    let convert =
        |options: &[&str]| run(&[&["convert", "-i", "key.txt", "-r", &ben], options, &[&old, &new]].concat());
    convert(&["--expect-digest", &"0".repeat(64)]).assert_failed(3, "digest is not the expected one");
    convert(&["--min-sequence", "8"]).assert_failed(14, "");
    let left = || (store.read(&bucket, "new.cfd").unwrap(), store.open_uploads(&bucket).unwrap());
    assert_eq!(left(), (None, 0));
    convert(&["--expect-digest", &digest, "--min-sequence", "7"]).assert_done();
    convert(&[]).assert_failed(6, "it exists");
    run(&["restore", "-i", "ben.txt", "--min-sequence", "7", &new, "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    assert_eq!(fs::metadata(place.path("restored")).unwrap().mode() & 0o777, 0o640);
}
