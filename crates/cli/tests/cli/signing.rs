//! `cofferdam sign`, and streams that somebody has to have signed: whose signatures are believed, where they are, and what replaces
//! them. OpenSSH's own programs judge what is signed here, and sign what is restored.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::place::{Place, Ran, end_of, fed, json_lines, plaintext, wait_until};
use crate::programs::has;

const SEALER: &str = include_str!("keys/sealer");
const SEALER_PUB: &str = include_str!("keys/sealer.pub");
const FORGER: &str = include_str!("keys/forger");

/// Writes the keys of who seals, and of somebody else, into the place.
pub(crate) fn write_keys(place: &Place) {
    for (name, content) in [("sealer", SEALER), ("sealer.pub", SEALER_PUB), ("forger", FORGER)] {
        fs::write(place.path(name), content).unwrap();
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// With `sealed.cfd` of some segments, and the keys; nothing is signed.
fn place(segments: usize) -> Place {
    let place = Place::with_sealed(segments);
    write_keys(&place);
    place
}

fn sign(place: &Place, options: &[&str]) -> Ran {
    place.run([&["sign", "--ssh-key", "sealer"], options].concat())
}

fn signed_place(segments: usize) -> Place {
    let place = place(segments);
    sign(&place, &["sealed.cfd"]).assert_done();
    place
}

/// What each command says that demands a signature; none of them shows or leaves anything if it refuses.
fn assert_refused_everywhere(place: &Place, options: &[&str], code: i32, words: &str) {
    let names = place.names();
    let commands: [&[&str]; 6] = [
        &["restore", "-i", "key.txt", "sealed.cfd", "restored"],
        &["restore", "-i", "key.txt", "sealed.cfd", "-"],
        &["verify", "-i", "key.txt", "sealed.cfd"],
        &["verify", "sealed.cfd"],
        &["cat", "-i", "key.txt", "--range", "..9", "sealed.cfd"],
        &["serve", "-i", "key.txt", "sealed.cfd"],
    ];
    for command in commands {
        let refused = place.run([command, options].concat());
        refused.assert_failed(code, words);
        assert_eq!(refused.stdout, b"", "{command:?}");
        assert_eq!(place.names(), names, "{command:?}");
    }
}

fn openssh(place: &Place, line: &str) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(place.directory.path()).stdin(Stdio::null());
    command.env("COFFERDAM", env!("CARGO_BIN_EXE_cofferdam"));
    Ran::of(command.output().unwrap())
}

#[test]
fn what_is_signed_is_taken_by_every_command_and_the_signer_is_named() {
    let place = place(3);
    let signed = sign(&place, &["--json", "sealed.cfd"]);
    signed.assert_done();
    let record = json_lines(&signed.stdout).remove(0);
    assert_eq!((&record["event"], &record["signature"]), (&"signed".into(), &"sealed.cfd.sig".into()));
    assert_eq!(record["signed_by"]["comment"], "sealer");
    assert_eq!(fs::metadata(place.path("sealed.cfd.sig")).unwrap().permissions().mode() & 0o777, 0o644);

    let restored = place.run([
        "restore",
        "--json",
        "-i",
        "key.txt",
        "--signed-by",
        "sealer.pub",
        "sealed.cfd",
        "restored",
    ]);
    restored.assert_done();
    assert_eq!(json_lines(&restored.stdout)[0]["signed_by"], record["signed_by"]);
    assert!(place.read("restored") == place.read("plain"));

    let verify = |options: &[&str]| {
        let verified = place
            .run([&["verify", "--json", "--signed-by", "sealer.pub"], options, &["sealed.cfd"]].concat());
        verified.assert_done();
        json_lines(&verified.stdout).remove(0)
    };
    assert_eq!(verify(&[])["authenticity"], "signed");
    let verified = verify(&["-i", "key.txt"]);
    assert_eq!(
        (&verified["authenticity"], &verified["signed_by"]),
        (&"checked".into(), &record["signed_by"])
    );
    assert_eq!(verified["stream_digest"], record["stream_digest"]);

    let cat =
        place.run(["cat", "-i", "key.txt", "--signed-by", "sealer.pub", "--range", "..9", "sealed.cfd"]);
    cat.assert_done();
    assert!(cat.stdout == place.read("plain")[..9]);
    let all = place.run(["cat", "-i", "key.txt", "--signed-by", "sealer.pub", "sealed.cfd"]);
    assert!(all.stdout == place.read("plain"), "{}", all.stderr);
}

#[test]
fn openssh_accepts_what_is_signed_here() {
    if !has("ssh-keygen") {
        return;
    }
    let place = signed_place(2);
    fs::write(place.path("allowed"), format!("me {SEALER_PUB}")).unwrap();
    let verify = |namespace: &str, file: &str| {
        openssh(
            &place,
            &format!(
                "\"$COFFERDAM\" sign --print {file} | ssh-keygen -Y verify -f allowed -I me -n {namespace} -s sealed.cfd.sig"
            ),
        )
    };
    verify("stream@cofferdam", "sealed.cfd").assert_done();
    assert_ne!(verify("file", "sealed.cfd").code, 0);
    place.seal("plain", "other.cfd").assert_done();
    assert_ne!(verify("stream@cofferdam", "other.cfd").code, 0);
}

#[test]
fn what_openssh_signs_is_accepted_here() {
    if !has("ssh-keygen") {
        return;
    }
    let place = place(2);
    let line = "\"$COFFERDAM\" sign --print sealed.cfd | ssh-keygen -Y sign -q -n stream@cofferdam -f sealer > sealed.cfd.sig";
    openssh(&place, line).assert_done();
    place.run(["verify", "--signed-by", "sealer.pub", "sealed.cfd"]).assert_done();
    // And what it has signed for something else is not.
    let line =
        "\"$COFFERDAM\" sign --print sealed.cfd | ssh-keygen -Y sign -q -n file -f sealer > sealed.cfd.sig";
    openssh(&place, line).assert_done();
    assert_refused_everywhere(&place, &["--signed-by", "sealer.pub"], 17, "in the namespace \"file\"");
}

#[test]
fn the_line_that_is_signed_is_what_the_format_says() {
    let place = place(2);
    let digest = |sealed: &str| {
        let verified = place.run(["verify", "--json", sealed]);
        json_lines(&verified.stdout)[0]["stream_digest"].as_str().unwrap().to_owned()
    };
    for form in [&[][..], &["--json"], &["--quiet"], &["-i", "key.txt"]] {
        let printed = place.run([&["sign", "--print", "sealed.cfd"], form].concat());
        printed.assert_done();
        assert_eq!(printed.text(), format!("cofferdam stream 1 blake3 {}\n", digest("sealed.cfd")));
    }
    let recipient = place.recipient.clone();
    place.run(["seal", "-r", &recipient, "--digest", "sha256", "-o", "other.cfd", "plain"]).assert_done();
    let printed = place.run(["sign", "--print", "other.cfd"]);
    assert_eq!(printed.text(), format!("cofferdam stream 1 sha256 {}\n", digest("other.cfd")));
    place.shell("cofferdam sign --print sealed.cfd >&-").assert_failed(1, "standard output");
    place.shell("cofferdam sign --print sealed.cfd > /dev/full").assert_failed(1, "standard output");
}

#[test]
fn a_stream_without_a_good_signature_is_17_and_nothing_of_it_is_shown() {
    let place = place(2);
    let options = ["--signed-by", "sealer.pub"];
    assert_refused_everywhere(&place, &options, 17, "there is no signature: sealed.cfd.sig does not exist");
    assert_refused_everywhere(
        &place,
        &["--signed-by", "sealer.pub", "--signature", "elsewhere.sig"],
        17,
        "elsewhere.sig does not exist",
    );
    place.run(["sign", "--ssh-key", "forger", "sealed.cfd"]).assert_done();
    assert_refused_everywhere(&place, &options, 17, "which is not trusted here");
    // Of another stream for the same recipient, as anybody can make one.
    place.seal("plain", "other.cfd").assert_done();
    sign(&place, &["other.cfd"]).assert_done();
    fs::copy(place.path("other.cfd.sig"), place.path("sealed.cfd.sig")).unwrap();
    assert_refused_everywhere(&place, &options, 17, "has not signed this stream");

    let genuine = place.read("other.cfd.sig");
    fs::copy(place.path("other.cfd"), place.path("sealed.cfd")).unwrap();
    place.run(["verify", "--signed-by", "sealer.pub", "sealed.cfd"]).assert_done();
    let middle = genuine.len() / 2;
    let mut flipped = genuine.clone();
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    for damaged in [&genuine[..middle], b"", b"-----BEGIN SSH SIGNATURE-----\n", &flipped, &[b'x'; 70_000]] {
        fs::write(place.path("sealed.cfd.sig"), damaged).unwrap();
        assert_refused_everywhere(&place, &options, 17, "");
    }
}

#[test]
fn a_target_that_is_the_signature_is_refused() {
    let place = signed_place(1);
    let signature = place.read("sealed.cfd.sig");
    let restore = ["restore", "--force", "-i", "key.txt", "--signed-by", "sealer.pub", "sealed.cfd"];
    for target in ["sealed.cfd.sig", "sealer.pub"] {
        place.run([&restore[..], &[target]].concat()).assert_failed(2, "the same file");
    }
    assert!(place.read("sealed.cfd.sig") == signature);
}

/// Whoever can write beside a stream can put a pipe there, or a device.
#[test]
fn what_is_no_file_in_the_place_of_a_signature_is_not_waited_for() {
    let place = place(1);
    mknodat(CWD, place.path("sealed.cfd.sig"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert_refused_everywhere(&place, &["--signed-by", "sealer.pub"], 17, "it is no regular file");
    sign(&place, &["--force", "sealed.cfd"]).assert_failed(6, "is no file");
    fs::remove_file(place.path("sealed.cfd.sig")).unwrap();
    symlink("/dev/zero", place.path("sealed.cfd.sig")).unwrap();
    assert_refused_everywhere(&place, &["--signed-by", "sealer.pub"], 17, "it is no regular file");
}

#[test]
fn a_list_of_keys_that_is_none_is_a_usage_error() {
    let place = signed_place(1);
    for (content, words) in [
        (String::new(), "there is no SSH public key in it"),
        (format!("me {SEALER_PUB}"), "line 1"),
        (format!("{SEALER_PUB}no-touch-required {SEALER_PUB}"), "line 2"),
        (SEALER.to_owned(), "line 1"),
    ] {
        fs::write(place.path("list"), content).unwrap();
        assert_refused_everywhere(&place, &["--signed-by", "list"], 2, words);
    }
    assert_refused_everywhere(&place, &["--signature", "sealed.cfd.sig"], 2, "--signed-by");
    let fed_by_stdin = ["verify", "--signed-by", "-", "sealed.cfd"];
    place.run_fed(fed_by_stdin, SEALER_PUB.as_bytes().to_vec()).assert_done();
    place
        .run_fed(["verify", "--signed-by", "-", "--signature", "sealed.cfd.sig", "-"], Vec::new())
        .assert_failed(2, "cannot both be standard input");
}

#[test]
fn of_a_pipe_the_signature_has_to_be_named_and_is_compared_at_the_end() {
    let place = signed_place(3);
    let sealed = place.read("sealed.cfd");
    let piped = ["restore", "-i", "key.txt", "--signed-by", "sealer.pub", "-", "restored"];
    let refused = place.run_fed(piped, sealed.clone());
    refused.assert_failed(2, "--signature");
    assert!(!place.path("restored").exists());
    let named = |input| place.run_fed([&piped[..], &["--signature", "sealed.cfd.sig"]].concat(), input);
    place.seal("plain", "other.cfd").assert_done();
    named(place.read("other.cfd")).assert_failed(17, "has not signed this stream");
    assert!(!place.path("restored").exists());
    // What came of it is kept, and stands in the way of another stream until it is given up.
    named(sealed.clone()).assert_failed(8, "of another stream");
    place.run(["discard", "restored"]).assert_done();
    named(sealed.clone()).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    // A shell's pipe as the signature.
    let line =
        "cat sealed.cfd | cofferdam verify --signed-by sealer.pub --signature /dev/fd/3 - 3<sealed.cfd.sig";
    place.shell(line).assert_done();
    let line = "cat sealed.cfd.sig | cofferdam verify --signed-by sealer.pub --signature - sealed.cfd";
    place.shell(line).assert_done();
}

#[test]
fn a_stream_with_the_digest_tags_is_not_signed_and_demands_are_refused() {
    let place = place(2);
    let recipient = place.recipient.clone();
    let tags = ["seal", "-r", &recipient, "--digest", "tags", "--force", "-o", "sealed.cfd", "plain"];
    place.run(tags).assert_done();
    sign(&place, &["-i", "key.txt", "sealed.cfd"]).assert_failed(7, "tags");
    sign(&place, &["sealed.cfd"]).assert_failed(7, "tags");
    place.run(["sign", "--print", "-i", "key.txt", "sealed.cfd"]).assert_failed(7, "tags");
    assert!(!place.path("sealed.cfd.sig").exists());
    // A genuine signature, of another stream.
    place.seal("plain", "other.cfd").assert_done();
    sign(&place, &["--signature", "sealed.cfd.sig", "other.cfd"]).assert_done();
    assert_refused_everywhere(&place, &["--signed-by", "sealer.pub"], 7, "tags");
    place.run([&tags[..], &["--ssh-key", "sealer"]].concat()).assert_failed(7, "tags");
}

#[test]
fn only_what_has_verified_to_its_end_is_signed() {
    let place = place(3);
    let whole = place.read("sealed.cfd");
    place.damage_segment(1);
    sign(&place, &["sealed.cfd"]).assert_failed(3, "");
    sign(&place, &["-i", "key.txt", "sealed.cfd"]).assert_failed(3, "");
    fs::write(place.path("sealed.cfd"), &whole[..whole.len() - 1]).unwrap();
    sign(&place, &["sealed.cfd"]).assert_failed(5, "");
    fs::write(place.path("sealed.cfd"), &whole).unwrap();
    sign(&place, &["--expect-digest", &"0".repeat(64), "sealed.cfd"]).assert_failed(3, "digest");
    sign(&place, &["-i", "key.txt", "--min-sequence", "1", "sealed.cfd"]).assert_failed(14, "");
    place
        .run(["sign", "--print", "--expect-digest", &"0".repeat(64), "sealed.cfd"])
        .assert_failed(3, "digest");
    assert!(!place.path("sealed.cfd.sig").exists());
    place.run(["sign", "sealed.cfd"]).assert_failed(2, "nothing was given to sign with");
    place.run(["sign", "--print", "--ssh-key", "sealer", "sealed.cfd"]).assert_failed(2, "--print");
}

#[test]
fn a_second_run_changes_nothing_and_another_signature_is_replaced_only_with_force() {
    let place = signed_place(2);
    let first = place.read("sealed.cfd.sig");
    let again = sign(&place, &["sealed.cfd"]);
    again.assert_done();
    assert!(again.text().contains("had been signed already"), "{}", again.text());
    place.run(["sign", "--ssh-key", "forger", "sealed.cfd"]).assert_failed(6, "sealed.cfd.sig exists");
    assert!(place.read("sealed.cfd.sig") == first);
    // Sealed anew: the old signature is of the old stream.
    let recipient = place.recipient.clone();
    place.run(["seal", "-r", &recipient, "--force", "-o", "sealed.cfd", "plain"]).assert_done();
    place.run(["verify", "--signed-by", "sealer.pub", "sealed.cfd"]).assert_failed(17, "");
    sign(&place, &["sealed.cfd"]).assert_failed(6, "sealed.cfd.sig exists");
    sign(&place, &["--force", "sealed.cfd"]).assert_done();
    place.run(["verify", "--signed-by", "sealer.pub", "sealed.cfd"]).assert_done();
    // What is no signature is nobody's to replace.
    for name in ["plain", "key.txt"] {
        let content = place.read(name);
        sign(&place, &["--force", "--signature", name, "sealed.cfd"]).assert_failed(6, "is no signature");
        assert!(place.read(name) == content);
    }
    sign(&place, &["--force", "--signature", "sealed.cfd", "sealed.cfd"]).assert_failed(2, "the same file");
    symlink("plain", place.path("link.sig")).unwrap();
    sign(&place, &["--force", "--signature", "link.sig", "sealed.cfd"]).assert_failed(6, "symbolic link");
    sign(&place, &["--signature", "no/where.sig", "sealed.cfd"]).assert_failed(1, "no/where.sig");
}

/// It is the one copy of what a restore has done so far, or a file of somebody's.
#[test]
fn what_is_kept_at_the_name_of_a_signature_is_not_thrown_away() {
    let place = place(3);
    fs::copy(place.path("sealed.cfd"), place.path("damaged.cfd")).unwrap();
    place.run(["restore", "-i", "key.txt", "sealed.cfd", "whole"]).assert_done();
    place.damage_segment(2);
    for name in ["x", "damaged.cfd.sig"] {
        place.run(["restore", "-i", "key.txt", "sealed.cfd", name]).assert_failed(3, "segment 2");
        let (journal, staging) = (format!(".{name}.cofferdam-journal"), format!(".{name}.cofferdam-staging"));
        let kept = (place.read(&journal), place.read(&staging));
        let recipient = place.recipient.clone();
        let seal =
            ["seal", "-r", &recipient, "--ssh-key", "sealer", "--signature", name, "-o", "new", "plain"];
        for options in [&["sign", "--signature", name][..], &["sign", "--force", "--signature", name]] {
            let ran = place.run([options, &["--ssh-key", "sealer", "damaged.cfd"]].concat());
            ran.assert_failed(8, "something that was interrupted is kept beside it");
        }
        place.run(seal).assert_failed(8, "something that was interrupted is kept beside it");
        assert!(!place.path("new").exists(), "it is refused before the work");
        assert!((place.read(&journal), place.read(&staging)) == kept);
        place.run(["discard", name]).assert_done();
    }
    let mine = place.path(".x.cofferdam-staging");
    fs::write(&mine, b"mine").unwrap();
    sign(&place, &["--signature", "x", "damaged.cfd"]).assert_failed(6, "would be replaced");
    assert_eq!(fs::read(&mine).unwrap(), b"mine");
    // What a killed run of its own has left is in nobody's way.
    fs::write(&mine, b"-----BEGIN SSH SIGNATURE-----\nU1NI").unwrap();
    sign(&place, &["--signature", "x", "damaged.cfd"]).assert_done();
}

#[test]
fn seal_signs_what_it_has_sealed() {
    let place = Place::new();
    write_keys(&place);
    fs::write(place.path("plain"), plaintext(100_000)).unwrap();
    let recipient = place.recipient.clone();
    let seal = |options: &[&str]| {
        place.run([&["seal", "--json", "-r", &recipient, "--ssh-key", "sealer"], options].concat())
    };
    let sealed = seal(&["plain"]);
    sealed.assert_done();
    let record = json_lines(&sealed.stdout).remove(0);
    assert_eq!(
        (&record["signature"], &record["signed_by"]["comment"]),
        (&"plain.cfd.sig".into(), &"sealer".into())
    );
    let demanding = ["verify", "--signed-by", "sealer.pub"];
    place.run([&demanding[..], &["plain.cfd"]].concat()).assert_done();

    // A pipe and a store have nothing beside them.
    seal(&["-o", "-", "plain"]).assert_failed(2, "--signature");
    seal(&["-o", "s3://bucket/plain.cfd", "plain"]).assert_failed(2, "--signature");
    let piped = seal(&["-o", "-", "--signature", "piped.sig", "plain"]);
    piped.assert_done();
    let named = [&demanding[..], &["--signature", "piped.sig", "-"]].concat();
    place.run_fed(named, piped.stdout).assert_done();

    // What is there is not replaced, and that is said before anything is sealed.
    let before = place.names();
    fs::remove_file(place.path("plain.cfd")).unwrap();
    seal(&["plain"]).assert_failed(6, "plain.cfd.sig exists");
    assert!(!place.path("plain.cfd").exists());
    seal(&["--force", "plain"]).assert_done();
    assert_eq!(place.names(), before);
    place.run([&demanding[..], &["plain.cfd"]].concat()).assert_done();
    seal(&["--force", "--signature", "plain", "plain"]).assert_failed(2, "the same file");
    place
        .run(["seal", "-r", &recipient, "--signature", "x.sig", "plain"])
        .assert_failed(2, "nothing was given to sign with");
    seal(&["--digest", "tags", "-o", "tags.cfd", "plain"]).assert_failed(7, "tags");
    assert!(!place.path("tags.cfd").exists());
}

#[test]
fn a_key_under_a_passphrase_is_asked_for_on_the_terminal() {
    if !has("ssh-keygen") || !has("script") || !has("setsid") {
        return;
    }
    let place = place(1);
    openssh(&place, "ssh-keygen -q -p -P '' -N 'correct horse' -f sealer").assert_done();
    let mut command = Command::new("setsid");
    command.args(["--wait", env!("CARGO_BIN_EXE_cofferdam"), "sign", "--ssh-key", "sealer", "sealed.cfd"]);
    command.current_dir(place.directory.path());
    fed(&mut command, Vec::new()).assert_failed(2, "there is no terminal");
    let shown = place.on_terminal(
        "(sleep 0; printf 'correct horse\\n') | script -qec '\"$COFFERDAM\" sign --ssh-key sealer sealed.cfd' /dev/null\necho code $?\n",
    );
    assert!(shown.contains("Passphrase of sealer"), "{shown}");
    assert!(shown.contains("code 0"), "{shown}");
    place.run(["verify", "--signed-by", "sealer.pub", "sealed.cfd"]).assert_done();
}

#[test]
fn files_that_are_no_private_key_are_refused_with_what_to_do() {
    let place = place(1);
    for (name, words) in [("sealer.pub", "it is no SSH private key"), ("plain", "it is no SSH private key")] {
        place.run(["sign", "--ssh-key", name, "sealed.cfd"]).assert_failed(2, words);
    }
    fs::write(place.path("pem"), "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n")
        .unwrap();
    place.run(["sign", "--ssh-key", "pem", "sealed.cfd"]).assert_failed(2, "ssh-keygen -p -f");
    place.run(["sign", "--ssh-key", "absent", "sealed.cfd"]).assert_failed(1, "absent could not be read");
}

/// With an agent of OpenSSH's on `agent`, which ends with the test.
fn run_with_agent(place: &Place, line: &str) -> Ran {
    openssh(
        place,
        &format!(
            "rm -f agent; eval \"$(ssh-agent -s -a agent)\" >/dev/null; trap 'kill $SSH_AGENT_PID' EXIT; {line}"
        ),
    )
}

#[test]
fn an_agent_signs() {
    if !has("ssh-agent") || !has("ssh-add") {
        return;
    }
    let place = place(1);
    let sign = "\"$COFFERDAM\" sign --ssh-agent";
    run_with_agent(&place, &format!("{sign} sealed.cfd")).assert_failed(2, "has no key that could sign");
    run_with_agent(&place, &format!("ssh-add -q sealer; {sign} sealed.cfd")).assert_done();
    place.run(["verify", "--signed-by", "sealer.pub", "sealed.cfd"]).assert_done();
    fs::remove_file(place.path("sealed.cfd.sig")).unwrap();
    let both = "ssh-add -q forger; ssh-add -q sealer";
    run_with_agent(&place, &format!("{both}; {sign} sealed.cfd")).assert_failed(2, "has 2 keys");
    run_with_agent(&place, &format!("{both}; {sign} --agent-key sealer.pub sealed.cfd")).assert_done();
    place.run(["verify", "--signed-by", "sealer.pub", "sealed.cfd"]).assert_done();
    run_with_agent(&place, &format!("ssh-add -q forger; {sign} --agent-key sealer.pub --force sealed.cfd"))
        .assert_failed(2, "does not have the key");
    let seal = format!(
        "ssh-add -q sealer; \"$COFFERDAM\" seal --ssh-agent -r {} -o other.cfd plain",
        place.recipient
    );
    run_with_agent(&place, &seal).assert_done();
    place.run(["verify", "--signed-by", "sealer.pub", "other.cfd"]).assert_done();
}

/// The agent's key is not left out of account where something else signs, or nothing.
#[test]
fn which_key_of_an_agent_is_refused_where_no_agent_signs() {
    let place = place(1);
    let of_agent = ["--agent-key", "sealer.pub"];
    for others in [
        &["sign", "--ssh-key", "sealer", "sealed.cfd"][..],
        &["sign", "--print", "sealed.cfd"],
        &["sign", "sealed.cfd"],
        &["seal", "--ssh-key", "sealer", "-r", &place.recipient, "-o", "new.cfd", "plain"],
        &["seal", "-r", &place.recipient, "-o", "new.cfd", "plain"],
    ] {
        let refused = place.run([others, &of_agent].concat());
        refused.assert_failed(2, "no agent signs");
        assert_eq!(refused.stdout, b"", "{others:?}");
    }
    assert!(!place.path("sealed.cfd.sig").exists() && !place.path("new.cfd").exists());
}

/// A comment is the agent's to choose.
#[test]
fn the_comment_of_an_agents_key_does_not_steer_a_terminal() {
    let place = place(1);
    let listener = UnixListener::bind(place.path("agent")).unwrap();
    let mut command = place.command(["sign", "--ssh-agent", "sealed.cfd"]);
    command.env("SSH_AUTH_SOCK", place.path("agent"));
    let child = crate::place::spawned(&mut command);
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    let framed = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let mut answer = vec![12, 0, 0, 0, 2];
    for (key, comment) in [([1; 32], &b"two\nlines"[..]), ([2; 32], b"\x1b[31mred")] {
        answer.extend(framed(&[framed(b"ssh-ed25519"), framed(&key)].concat()));
        answer.extend(framed(comment));
    }
    stream.write_all(&framed(&answer)).unwrap();
    let ended = end_of(child);
    ended.assert_failed(2, "(two\\nlines), SHA256:");
    assert!(
        ended.stderr.contains("(\\u{1b}[31mred)") && !ended.stderr.contains('\u{1b}'),
        "{}",
        ended.stderr
    );
}

#[test]
fn without_an_agent_that_is_said_before_the_work() {
    let place = place(1);
    let sign = |socket: &str| {
        let mut command = place.command(["sign", "--ssh-agent", "sealed.cfd"]);
        Ran::of(command.env("SSH_AUTH_SOCK", socket).output().unwrap())
    };
    sign("").assert_failed(2, "SSH_AUTH_SOCK is not set");
    sign("nobody").assert_failed(1, "the SSH agent cannot be reached");
    sign("plain").assert_failed(1, "the SSH agent cannot be reached");
}

/// It may be waiting for a touch.
#[test]
fn waiting_for_an_agent_ends_with_a_signal() {
    let place = place(1);
    let listener = UnixListener::bind(place.path("agent")).unwrap();
    let mut command = place.command(["sign", "--ssh-agent", "sealed.cfd"]);
    command.env("SSH_AUTH_SOCK", place.path("agent"));
    let child = crate::place::spawned(&mut command);
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = [0; 5];
    stream.read_exact(&mut request).unwrap();
    assert_eq!(request, [0, 0, 0, 1, 11]);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = end_of(child);
    assert_eq!(ended.code, 130, "{}", ended.stderr);
    assert!(!place.path("sealed.cfd.sig").exists());
    wait_until("the end of the connection", || stream.read(&mut [0]).unwrap() == 0);
}

#[test]
fn an_agent_that_fails_after_a_sealing_leaves_what_was_sealed() {
    let place = place(1);
    // It has the key, and refuses to sign.
    let key = fs::read_to_string(place.path("sealer.pub")).unwrap();
    let base64 = key.split(' ').nth(1).unwrap();
    let blob =
        Command::new("sh").args(["-c", &format!("echo {base64} | base64 -d")]).output().unwrap().stdout;
    let listener = UnixListener::bind(place.path("agent")).unwrap();
    let serving = std::thread::spawn(move || {
        use std::io::Write as _;
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let listed = [&[12, 0, 0, 0, 1][..], &len(&blob), &blob, &[0; 4]].concat();
        for answer in [listed, vec![5]] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 4];
            stream.read_exact(&mut head).unwrap();
            let mut request = vec![0; u32::from_be_bytes(head) as usize];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&[&len(&answer)[..], &answer].concat()).unwrap();
        }
    });
    let recipient = place.recipient.clone();
    let mut command = place.command(["seal", "--ssh-agent", "-r", &recipient, "-o", "new.cfd", "plain"]);
    let ran = Ran::of(command.env("SSH_AUTH_SOCK", place.path("agent")).output().unwrap());
    serving.join().unwrap();
    ran.assert_failed(1, "it is not signed");
    assert!(ran.stderr.contains("cofferdam sign"), "{}", ran.stderr);
    assert!(ran.text().contains("stream digest"), "{}", ran.text());
    place.run(["verify", "-i", "key.txt", "new.cfd"]).assert_done();
    assert!(!place.path("new.cfd.sig").exists());
}
