//! The keys that the file of a drill names: which of them open, and one that cannot be had fails its stream alone.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::drilling::{drill, evidence, place, stream, write};
use crate::place::Ran;

#[test]
fn a_key_that_is_a_pipe_fails_its_stream_alone() {
    let place = place(1);
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let by = |name: &str, key: &str| {
        stream(name, "sealed.cfd", "mode = \"verify\"").replace("identity = [\"key.txt\"]", key)
    };
    write(
        &place,
        &[
            by("a", "identity = [\"fifo\"]"),
            by("b", "key_file = [\"fifo\"]"),
            by("c", "passphrase_file = \"fifo\""),
            by("good", "identity = [\"key.txt\"]"),
        ],
    );
    drill(&place).assert_failed(2, "3 of 4 streams failed");
    let found = evidence(&place);
    let results = [0, 1, 2, 3].map(|index| found["streams"][index]["result"].as_str().unwrap());
    assert_eq!(results, ["failed", "failed", "failed", "passed"]);
    assert!(
        found["streams"][0]["error"]["message"]
            .as_str()
            .unwrap()
            .ends_with("/fifo is a pipe: a drill is repeated")
    );
}

/// Who reads the controlling end of a terminal waits for what is typed at the other.
#[test]
fn a_key_that_never_answers_fails_its_stream_alone() {
    let place = place(1);
    let silent = stream("silent", "sealed.cfd", "mode = \"verify\"").replace("key.txt", "/dev/ptmx");
    write(&place, &[silent, stream("good", "sealed.cfd", "mode = \"verify\"")]);
    let ran = place.run(["drill", "--timeout", "1s", "drill.toml"]);
    ran.assert_failed(15, "silent: the keys could not be read within 1 s");
    let found = evidence(&place);
    let kinds = [0, 1].map(|index| found["streams"][index]["error"]["kind"].as_str());
    assert_eq!(kinds, [Some("no-progress"), None]);
}

#[test]
fn any_key_that_the_file_names_opens_and_none_of_the_environment_does() {
    let place = place(1);
    place.run(["keygen", "--key-file", "-o", "k"]).assert_done();
    fs::write(place.path("words"), "correct horse\n").unwrap();
    place.run(["seal", "--key-file", "k", "-o", "by-key.cfd", "plain"]).assert_done();
    place.run(["seal", "--passphrase-file", "words", "-o", "by-words.cfd", "plain"]).assert_done();
    let with = |name: &str, sealed: &str, keys: &str| {
        stream(name, sealed, "mode = \"verify\"").replace("identity = [\"key.txt\"]", keys)
    };
    write(
        &place,
        &[
            with("by key", "by-key.cfd", "key_file = [\"k\"]"),
            with("by words", "by-words.cfd", "passphrase_file = \"words\""),
            with("by credential", "sealed.cfd", "identity = [\"credential:key.txt\"]"),
            with("without", "sealed.cfd", ""),
        ],
    );
    let mut command = place.command(["drill", "drill.toml"]);
    command.env("COFFERDAM_IDENTITY", "key.txt").env("CREDENTIALS_DIRECTORY", place.directory.path());
    Ran::of(command.output().unwrap()).assert_done();
    let found = evidence(&place);
    let said = |index: usize| found["streams"][index]["authenticity"].as_str().unwrap();
    assert_eq!([0, 1, 2, 3].map(said), ["checked", "checked", "checked", "not checked"]);
}
