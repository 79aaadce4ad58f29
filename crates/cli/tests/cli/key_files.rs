//! Key material as editors and other programs write it: byte order marks, other encodings, text in place of a key.
//! What a key opens is in the tests of the library.

use std::fs;
use std::path::Path;

use crate::place::{Place, Ran};

const MARK: &[u8] = b"\xef\xbb\xbf";

#[test]
fn a_byte_order_mark_is_no_part_of_any_key_material() {
    let place = Place::with_sealed(1);
    place.run(["keygen", "--key-file", "-o", "k"]).assert_done();
    fs::write(place.path("words"), "correct horse\n").unwrap();
    fs::write(place.path("names"), format!("{}\n", place.recipient)).unwrap();
    for file in ["key.txt", "k", "words", "names"] {
        fs::write(place.path(&format!("{file}-marked")), [MARK, &place.read(file)].concat()).unwrap();
    }
    let open =
        |option: &str, file: &str, sealed: &str| place.run(["verify", option, file, sealed]).assert_done();
    open("-i", "key.txt-marked", "sealed.cfd");
    place.run(["seal", "-R", "names-marked", "-o", "a.cfd", "plain"]).assert_done();
    open("-i", "key.txt", "a.cfd");
    for (option, file, sealed) in [("--key-file", "k", "b.cfd"), ("--passphrase-file", "words", "c.cfd")] {
        let marked = format!("{file}-marked");
        place.run(["seal", option, &marked, "-o", sealed, "plain"]).assert_done();
        open(option, file, sealed);
        open(option, &marked, sealed);
    }
}

#[test]
fn text_in_utf_16_is_refused_with_what_to_do() {
    let place = Place::with_sealed(1);
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let text = String::from_utf8(place.read("key.txt")).unwrap();
    fs::write(place.path("wide"), [b"\xff\xfe", &wide(&text)[..]].concat()).unwrap();
    place.run(["verify", "-i", "wide", "sealed.cfd"]).assert_failed(2, "save it as UTF-8");
    place.run(["verify", "--key-file", "wide", "sealed.cfd"]).assert_failed(2, "save it as UTF-8");
    place.run(["seal", "-R", "wide", "plain"]).assert_failed(2, "save it as UTF-8");
    place.run(["seal", "--passphrase-file", "wide", "plain"]).assert_failed(2, "save it as UTF-8");
}

#[test]
fn a_key_of_text_seals_nothing_and_opens_with_a_warning() {
    let place = Place::with_sealed(1);
    // From `openssl rand -hex 16`, and 31 characters with the line end of an editor.
    for text in ["0123456789abcdef0123456789abcdef", "a passphrase of 31 characters !\n"] {
        assert_eq!(text.len(), 32);
        fs::write(place.path("weak"), text).unwrap();
        let refused = place.run(["seal", "--key-file", "weak", "-o", "x.cfd", "plain"]);
        refused.assert_failed(2, "its 32 bytes are text");
        let rewrap = ["rewrap", "-i", "key.txt", "--new-key-file", "weak", "sealed.cfd"];
        place.run(rewrap).assert_failed(2, "its 32 bytes are text");
        let listen = ["receive", "--listen", "127.0.0.1:0", "--peer-key", "weak", "x"];
        place.run(listen).assert_failed(2, "its 32 bytes are text");
        // What an earlier release sealed with it still has to open: as far as the key goes, nothing is refused.
        let opened = place.run(["verify", "--key-file", "weak", "sealed.cfd"]);
        opened.assert_failed(4, "warning: weak: its 32 bytes are text");
    }
    fs::write(place.path("uniform"), [0x80; 32]).unwrap();
    place.run(["seal", "--key-file", "uniform", "-o", "x.cfd", "plain"]).assert_done();
}

/// Runs it as a service of systemd's, with credentials in `directory`.
fn as_service(place: &Place, directory: &Path, arguments: &[&str]) -> Ran {
    let mut command = place.command(arguments);
    Ran::of(command.env("CREDENTIALS_DIRECTORY", directory).output().unwrap())
}

#[test]
fn a_credential_of_a_service_opens_wherever_an_identity_is_taken() {
    let place = Place::with_sealed(1);
    place.run(["keygen", "--key-file", "-o", "k"]).assert_done();
    fs::write(place.path("words"), "correct horse\n").unwrap();
    for (option, file, sealed) in
        [("--key-file", "k", "by-key.cfd"), ("--passphrase-file", "words", "by-words.cfd")]
    {
        place.run(["seal", option, file, "-o", sealed, "plain"]).assert_done();
    }
    let directory = place.path("credentials");
    fs::create_dir(&directory).unwrap();
    for (file, name) in [("key.txt", "identity"), ("k", "backup.key"), ("words", "words")] {
        fs::rename(place.path(file), directory.join(name)).unwrap();
    }
    let run = |arguments: &[&str]| as_service(&place, &directory, arguments);
    let identity = ["-i", "credential:identity", "sealed.cfd"];
    for command in [&["verify"][..], &["cat"], &["rewrap", "-r", &place.recipient]] {
        run(&[command, &identity].concat()).assert_done();
    }
    run(&["restore", "-i", "credential:identity", "sealed.cfd", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    run(&["verify", "--key-file", "credential:backup.key", "by-key.cfd"]).assert_done();
    run(&["verify", "--passphrase-file", "credential:words", "by-words.cfd"]).assert_done();
}

#[test]
fn a_credential_that_is_not_there_is_a_usage_error_that_says_what_is_missing() {
    let place = Place::with_sealed(1);
    let verify =
        |name: &str| ["verify", "-i", &format!("credential:{name}"), "sealed.cfd"].map(str::to_owned);
    let mut outside = place.command(verify("key"));
    let outside = Ran::of(outside.env_remove("CREDENTIALS_DIRECTORY").output().unwrap());
    outside.assert_failed(2, "CREDENTIALS_DIRECTORY is not set");
    for (name, words) in
        [("key", "no credential of that name"), ("../key.txt", "without a slash"), ("", "without a slash")]
    {
        let arguments = verify(name);
        let arguments = arguments.each_ref().map(String::as_str);
        as_service(&place, &place.path("nowhere"), &arguments).assert_failed(2, words);
    }
    // It is a name like others.
    fs::rename(place.path("key.txt"), place.path("credential:key")).unwrap();
    place.run(["verify", "-i", "./credential:key", "sealed.cfd"]).assert_done();
}

/// Wherever a file of keys is named, with the options of those who seal, re-wrap and receive, and in the environment.
#[test]
fn a_credential_is_taken_wherever_a_file_of_keys_is_named() {
    let place = Place::with_sealed(1);
    place.run(["keygen", "--key-file", "-o", "k"]).assert_done();
    let directory = place.path("credentials");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("words"), "correct horse\n").unwrap();
    fs::write(directory.join("names"), format!("{}\n", place.recipient)).unwrap();
    fs::rename(place.path("k"), directory.join("k")).unwrap();
    fs::copy(place.path("key.txt"), directory.join("identity")).unwrap();
    let run = |arguments: &[&str]| as_service(&place, &directory, arguments);
    for (option, output) in [
        (&["--key-file", "credential:k"][..], "by-key.cfd"),
        (&["--passphrase-file", "credential:words"], "by-words.cfd"),
        (&["-R", "credential:names"], "by-names.cfd"),
    ] {
        run(&[&["seal", "plain", "-o", output], option].concat()).assert_done();
    }
    for options in [
        &["--key-file", "credential:k", "by-key.cfd"][..],
        &["--passphrase-file", "credential:words", "by-words.cfd"],
        &["-i", "credential:identity", "by-names.cfd"],
    ] {
        run(&[&["verify"], options].concat()).assert_done();
    }
    for new in [
        ["--new-key-file", "credential:k"],
        ["--new-passphrase-file", "credential:words"],
        ["-R", "credential:names"],
    ] {
        let rewrap = ["rewrap", "-i", "credential:identity", "--force", "-o", "new.cfd", "sealed.cfd"];
        run(&[&rewrap[..], &new].concat()).assert_done();
    }
    // A key that is there is read, and another is not: the one is no credential, the other no address.
    let receive = |key: &str| run(&["receive", "--listen", "unix:no/where/s", "--peer-key", key, "x"]);
    receive("credential:absent").assert_failed(2, "credential:absent: this service was given no credential");
    receive("credential:k").assert_failed(1, "could not be listened at");
    let by_variable = |arguments: &[&str], variable: &str, value: &str| {
        let mut command = place.command(arguments);
        let command = command.env("CREDENTIALS_DIRECTORY", &directory).env(variable, value);
        Ran::of(command.output().unwrap())
    };
    by_variable(&["cat", "sealed.cfd"], "COFFERDAM_IDENTITY", "credential:identity").assert_done();
    let seal = ["seal", "--force", "plain", "-o", "by-names.cfd"];
    by_variable(&seal, "COFFERDAM_RECIPIENTS", "credential:names").assert_done();
    by_variable(&["verify", "by-words.cfd"], "COFFERDAM_PASSPHRASE_FILE", "credential:words").assert_done();
    let absent = by_variable(&["cat", "sealed.cfd"], "COFFERDAM_IDENTITY", "credential:absent");
    absent.assert_failed(2, "credential:absent (named by COFFERDAM_IDENTITY): this service was given no");
}
