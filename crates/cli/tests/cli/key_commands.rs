//! Keys that programs of the operator's wrap, unwrap and print: what they are asked, and whatever they do, how it ends.
//! The key service is `openssl` with an RSA key: who seals has its public half alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

use crate::drilling::wait_for_end;
use crate::place::{Place, Ran, SEGMENT_LEN, end_of, json_lines, plaintext, wait_until};
use crate::programs::has;

/// With `plain`, and `kms`, a service with a key pair. The stream's id is part of what it wraps.
fn place_with_service() -> Option<Place> {
    if !has("openssl") {
        return None;
    }
    let place = Place::new();
    fs::write(place.path("plain"), plaintext(3 * SEGMENT_LEN - 5)).unwrap();
    let pair = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "kms.key"];
    let public = ["pkey", "-in", "kms.key", "-pubout", "-out", "kms.pub"];
    for arguments in [&pair[..], &public] {
        let made =
            Command::new("openssl").args(arguments).current_dir(place.directory.path()).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    program(
        &place,
        "kms",
        "oaep='-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_oaep_label:'$COFFERDAM_STREAM_ID
         case $COFFERDAM_PURPOSE in
         wrap) exec openssl pkeyutl -encrypt -pubin -inkey kms.pub $oaep ;;
         unwrap) exec openssl pkeyutl -decrypt -inkey kms.key $oaep ;;
         esac
         exit 1",
    );
    Some(place)
}

/// A script of that name.
fn program(place: &Place, name: &str, lines: &str) {
    place.write_program(name, &format!("#!/bin/sh\n{lines}\n"));
}

fn seal(place: &Place, program: &str, output: &str) -> Ran {
    let command = format!("kms={program}");
    place.run(["seal", "--key-command", &command, "-o", output, "plain"])
}

fn verify(place: &Place, program: &str) -> Ran {
    place.run(["verify", "--key-command", &format!("kms={program}"), "sealed.cfd"])
}

#[test]
fn a_service_wraps_the_key_of_a_stream_and_every_command_opens_it() {
    let Some(place) = place_with_service() else { return };
    fs::rename(place.path("kms.key"), place.path("elsewhere")).unwrap();
    seal(&place, "./kms", "sealed.cfd").assert_done();
    verify(&place, "./kms").assert_failed(4, "kms: ./kms ended with exit code 1: ");
    fs::rename(place.path("elsewhere"), place.path("kms.key")).unwrap();
    verify(&place, "./kms").assert_done();
    place.run(["restore", "--key-command", "kms=./kms", "sealed.cfd", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    for range in [&[][..], &["--range", "0.."]] {
        let printed = place.run([&["cat", "--key-command", "kms=./kms", "sealed.cfd"], range].concat());
        printed.assert_done();
        assert!(printed.stdout == place.read("plain"), "{range:?}");
    }
    let listed = place.run(["inspect", "--json", "sealed.cfd"]);
    let record = &json_lines(&listed.stdout)[0];
    assert_eq!(record["key_copies"][0]["slots"][0]["kind"], "external");
    assert_eq!(record["key_copies"][0]["slots"][0]["name"], "kms");
}

#[test]
fn a_stream_goes_from_an_identity_to_a_service_and_to_another_one() {
    let Some(place) = place_with_service() else { return };
    place.seal("plain", "sealed.cfd").assert_done();
    place.run(["rewrap", "-i", "key.txt", "--new-key-command", "kms=./kms", "sealed.cfd"]).assert_done();
    assert_eq!(place.run(["verify", "-i", "key.txt", "sealed.cfd"]).code, 4);
    verify(&place, "./kms").assert_done();
    let to_other = ["rewrap", "--key-command", "kms=./kms", "--new-key-command", "other=./kms", "sealed.cfd"];
    place.run(to_other).assert_done();
    verify(&place, "./kms").assert_failed(4, "");
    place.run(["verify", "--key-command", "other=./kms", "sealed.cfd"]).assert_done();
}

/// What RSA-OAEP has its label for, and other services their encryption context.
#[test]
fn a_service_can_bind_a_key_to_its_stream() {
    let Some(place) = place_with_service() else { return };
    seal(&place, "./kms", "sealed.cfd").assert_done();
    seal(&place, "./kms", "other.cfd").assert_done();
    let (mut sealed, other) = (place.read("sealed.cfd"), place.read("other.cfd"));
    // The key copies of another stream of the same service.
    let end = place.segment(0).0;
    let area = 4096..4096 + 2 * (end - 4096).div_euclid(2 * 4096) * 4096;
    sealed[area.clone()].copy_from_slice(&other[area]);
    fs::write(place.path("sealed.cfd"), sealed).unwrap();
    verify(&place, "./kms").assert_failed(4, "ended with exit code 1");
}

#[test]
fn a_program_is_told_what_is_asked_and_given_what_was_allowed_and_nothing_else() {
    let Some(place) = place_with_service() else { return };
    program(
        &place,
        "asked",
        "env | grep -v '^\\(_\\|PWD\\|SHLVL\\)=' | sort >asked-$COFFERDAM_PURPOSE; \
                              ls /proc/self/fd >open; exec ./kms",
    );
    let run = |arguments: &str| {
        let line = format!(
            "exec env -i PATH=\"$PATH\" HOME=/h LC_TIME=C AWS_SECRET=s VAULT_ADDR=v \"$0\" {arguments} 9<key.txt"
        );
        let ran = place.shell_command(&line).output().unwrap();
        Ran::of(ran).assert_done();
    };
    run("seal --key-command 'kms=./asked' -o sealed.cfd plain");
    run("verify --command-env VAULT_ADDR --command-env UNSET --key-command 'kms=./asked' sealed.cfd");
    let stream_id = {
        let listed = place.run(["inspect", "--json", "sealed.cfd"]);
        json_lines(&listed.stdout)[0]["stream_id"].as_str().unwrap().to_owned()
    };
    let path = std::env::var("PATH").unwrap();
    let asked = |purpose: &str| String::from_utf8(place.read(&format!("asked-{purpose}"))).unwrap();
    let common = format!(
        "COFFERDAM_KEY_NAME=kms\nCOFFERDAM_PURPOSE=PURPOSE\nCOFFERDAM_STREAM_ID={stream_id}\nHOME=/h\nLC_TIME=C\nPATH={path}\n"
    );
    assert_eq!(asked("wrap"), common.replace("PURPOSE=PURPOSE", "PURPOSE=wrap"));
    assert_eq!(asked("unwrap"), common.replace("PURPOSE=PURPOSE", "PURPOSE=unwrap") + "VAULT_ADDR=v\n");
    // `ls` has opened the directory it lists.
    assert_eq!(String::from_utf8(place.read("open")).unwrap(), "0\n1\n2\n3\n");
    program(&place, "asked", "env | grep COFFERDAM_ >asked-identities; exec cat key.txt");
    place.seal("plain", "for-identity.cfd").assert_done();
    run("verify --identity-command ./asked for-identity.cfd");
    assert_eq!(asked("identities"), "COFFERDAM_PURPOSE=identities\n");
}

#[test]
fn a_program_that_wraps_badly_seals_nothing() {
    let Some(place) = place_with_service() else { return };
    let before = place.names();
    for (lines, words) in [
        ("echo no such key >&2; exit 3", "kms: ./bad ended with exit code 3: no such key"),
        ("kill -9 $$", "./bad ended with signal 9"),
        ("cat >/dev/null", "./bad printed nothing"),
        ("cat", "printed the key as it was given it"),
        ("printf wrapped:; od -An -tx1 -v | tr -d ' \\n'", "printed the key as it was given it"),
        ("head -c 4097 /dev/zero", "printed more than the 4096 bytes"),
        ("yes", "printed more than the 4096 bytes"),
        ("echo before; sleep 1000", "gave no answer in 1 s"),
    ] {
        program(&place, "bad", lines);
        // All the others end by themselves, and on a busy machine not within a second.
        let limit = if words.contains("no answer in 1 s") { "1s" } else { "60s" };
        let sealed = place.run(["seal", "--command-timeout", limit, "--key-command", "kms=./bad", "plain"]);
        sealed.assert_failed(1, words);
        fs::remove_file(place.path("bad")).unwrap();
        assert_eq!(place.names(), before, "{lines}");
    }
    seal(&place, "./absent", "sealed.cfd").assert_failed(1, "./absent is not there");
    fs::write(place.path("plain.sh"), "").unwrap();
    seal(&place, "./plain.sh", "sealed.cfd").assert_failed(1, "./plain.sh could not be started");
    fs::remove_file(place.path("plain.sh")).unwrap();
    for twice in ["kms=./a", "kms=./kms"] {
        place
            .run(["seal", "--key-command", "kms=./a", "--key-command", twice, "plain"])
            .assert_failed(2, "two key commands");
    }
    for command in ["kms", "=./kms", "kms=", "kms=./kms 'a b'", "kms=$HOME/kms"] {
        assert_eq!(place.run(["seal", "--key-command", command, "plain"]).code, 2, "{command}");
    }
    let too_long = "k".repeat(256);
    place.run(["seal", "--key-command", &format!("{too_long}=./kms"), "plain"]).assert_failed(2, "256 bytes");
    assert_eq!(place.names(), before);
}

#[test]
fn a_wrapped_key_has_4096_bytes_and_no_more() {
    let Some(place) = place_with_service() else { return };
    program(
        &place,
        "wide",
        "[ $COFFERDAM_PURPOSE = wrap ] && { ./kms; head -c 3840 /dev/zero; exit; }; head -c 256 | ./kms",
    );
    seal(&place, "./wide", "sealed.cfd").assert_done();
    verify(&place, "./wide").assert_done();
}

#[test]
fn a_program_that_does_not_unwrap_opens_nothing_and_says_why() {
    let Some(place) = place_with_service() else { return };
    seal(&place, "./kms", "sealed.cfd").assert_done();
    let before = place.names();
    for (lines, words) in [
        ("echo is sealed >&2; echo down >&2; exit 2", "kms: ./bad ended with exit code 2: is sealed / down"),
        ("head -c 31 /dev/zero", "./bad printed 31 bytes, and a key has 32"),
        ("head -c 33 /dev/zero", "./bad printed more than the 32 bytes"),
        ("true", "./bad printed 0 bytes"),
        ("echo \"$(printf '\\033[31m')red\" >&2; exit 1", "\\u{1b}[31mred"),
    ] {
        program(&place, "bad", lines);
        let ran = place.run(["restore", "--key-command", "kms=./bad", "sealed.cfd", "restored"]);
        ran.assert_failed(4, words);
        fs::remove_file(place.path("bad")).unwrap();
        assert_eq!(place.names(), before, "{lines}");
    }
    // A key of 32 bytes that is not this stream's: the service has mixed up its keys.
    program(&place, "bad", "head -c 32 /dev/zero");
    let words = "the key that ./bad gave for kms does not open the stream";
    verify(&place, "./bad").assert_failed(4, words);
    let add = ["rewrap", "--key-command", "kms=./kms", "--add", "-r", &place.recipient, "sealed.cfd"];
    place.run(add).assert_done();
    place.run(["verify", "--key-command", "kms=./bad", "-i", "key.txt", "sealed.cfd"]).assert_done();
}

/// However many wrapped keys of its name a stream has.
#[test]
fn a_program_that_has_failed_on_a_key_or_was_too_slow_is_not_asked_again() {
    let Some(place) = place_with_service() else { return };
    seal(&place, "./kms", "sealed.cfd").assert_done();
    let runs = || fs::read_to_string(place.path("runs")).unwrap_or_default().lines().count();
    let add =
        ["rewrap", "--key-command", "kms=./kms", "--add", "--new-key-command", "kms=./kms", "sealed.cfd"];
    place.run(add).assert_done();
    program(&place, "bad", "echo >>runs; exit 1");
    verify(&place, "./bad").assert_failed(4, "./bad ended with exit code 1");
    assert_eq!(runs(), 2, "once for each of the two");
    fs::remove_file(place.path("runs")).unwrap();
    program(&place, "slow", "echo >>runs; exec sleep 1000");
    // A machine that is busy may need longer to start it.
    let has_run = [1, 4, 16].into_iter().any(|seconds| {
        let limit = format!("{seconds}s");
        let slow = ["verify", "--key-command", "kms=./slow", "--command-timeout", &limit, "sealed.cfd"];
        place.run(slow).assert_failed(4, &format!("./slow gave no answer in {seconds} s"));
        assert!(runs() <= 1, "it is not asked for the second key");
        runs() == 1
    });
    assert!(has_run, "it was never started");
    // One that fails on one of them opens the stream with the other.
    program(&place, "picky", "test -e asked || { touch asked; exit 1; }; exec ./kms");
    verify(&place, "./picky").assert_done();
}

/// A person may have to touch something each time. A list that is looked at before it is changed is opened twice.
#[test]
fn what_a_program_has_unwrapped_it_is_not_asked_for_again() {
    let Some(place) = place_with_service() else { return };
    seal(&place, "./kms", "sealed.cfd").assert_done();
    place
        .run(["rewrap", "--key-command", "kms=./kms", "--add", "-r", &place.recipient, "sealed.cfd"])
        .assert_done();
    program(&place, "counted", "echo >>runs; exec ./kms");
    let by_program = ["--key-command", "kms=./counted"];
    for arguments in [
        &["verify", "sealed.cfd"][..],
        &["restore", "sealed.cfd", "restored"],
        &["cat", "--range", "..9", "sealed.cfd"],
        &["recipients", "sealed.cfd"],
        &["convert", "-r", &place.recipient, "sealed.cfd", "new.cfd"],
        &["rewrap", "--remove", "2", "--generation", "2", "-o", "copy.cfd", "sealed.cfd"],
        &["rewrap", "--add", "-r", &place.recipient, "sealed.cfd"],
        &["rewrap", "--remove", "kms", "--add", "-r", &place.recipient, "sealed.cfd"],
    ] {
        if !cfg!(feature = "foreign") && arguments[0] == "convert" {
            continue;
        }
        place.run([arguments, &by_program].concat()).assert_done();
        let runs = fs::read_to_string(place.path("runs")).unwrap().lines().count();
        assert_eq!(runs, 1, "{arguments:?}");
        fs::remove_file(place.path("runs")).unwrap();
    }
}

/// The same of a plugin of age's, which is a program too; and it is not asked for what it is not needed for.
#[test]
fn a_plugin_is_asked_once() {
    let place = Place::with_sealed(1);
    fs::create_dir(place.path("bin")).unwrap();
    program(&place, "bin/age-plugin-clear", PLUGIN);
    fs::write(place.path("plugin.txt"), PLUGIN_IDENTITY).unwrap();
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap());
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("PATH", &path).env("RUNS", place.path("runs"));
        Ran::of(command.output().unwrap())
    };
    let recipient = place.recipient.clone();
    run(&[
        "seal",
        "-r",
        &recipient,
        "-r",
        PLUGIN_RECIPIENT,
        "-r",
        &recipient,
        "-o",
        "for-plugin.cfd",
        "plain",
    ])
    .assert_done();
    let sealed = "for-plugin.cfd";
    for (arguments, asked) in [
        (&["verify", sealed][..], 1),
        (&["restore", sealed, "restored"], 1),
        (&["recipients", sealed], 1),
        (&["rewrap", "--remove", "1", "--generation", "1", "-o", "copy.cfd", sealed], 1),
        (&["rewrap", "--add", "-r", &recipient, sealed], 1),
        // Who has opened it is the key that comes first.
        (&["recipients", "-i", "key.txt", sealed], 0),
    ] {
        let keys = ["-i", "plugin.txt"];
        let arguments = match asked {
            0 => [arguments, &keys].concat(),
            _ => [&arguments[..1], &keys, &arguments[1..]].concat(),
        };
        let ran = run(&arguments);
        ran.assert_done();
        let runs = fs::read_to_string(place.path("runs")).unwrap_or_default().lines().count();
        assert_eq!(runs, asked, "{arguments:?}");
        let _ = fs::remove_file(place.path("runs"));
    }
    let listed = run(&["recipients", "--json", "-i", "plugin.txt", sealed]);
    let record = json_lines(&listed.stdout).remove(0);
    assert_eq!(record["authentic"], true);
    // That it is another's is not said of what nobody has tried.
    assert!(
        record["recipients"].as_array().unwrap().iter().all(|listed| listed["opens"].is_null()),
        "{record}"
    );
}

/// A stream may not choose which program it is sent to.
#[test]
fn a_program_is_not_run_for_a_key_of_another_name() {
    let Some(place) = place_with_service() else { return };
    seal(&place, "./kms", "sealed.cfd").assert_done();
    program(&place, "other", "touch was-run; exec ./kms");
    place.run(["verify", "--key-command", "other=./other", "sealed.cfd"]).assert_failed(4, "");
    assert!(!place.path("was-run").exists());
    place
        .run(["verify", "--key-command", "other=./other", "--key-command", "kms=./kms", "sealed.cfd"])
        .assert_done();
}

#[test]
fn identities_come_from_a_program() {
    let place = Place::with_sealed(2);
    place.run(["restore", "--identity-command", "cat key.txt", "sealed.cfd", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    program(&place, "bad", "echo locked >&2; cat key.txt; exit 1");
    let failed = place.run(["verify", "--identity-command", "./bad", "sealed.cfd"]);
    failed.assert_failed(1, "the identity command ./bad ended with exit code 1: locked");
    place
        .run(["verify", "--identity-command", "echo secret-words", "sealed.cfd"])
        .assert_failed(2, "what echo has printed");
    place
        .run(["verify", "--identity-command", "true", "sealed.cfd"])
        .assert_failed(2, "it holds no identity");
    place
        .run(["verify", "--identity-command", "yes", "sealed.cfd"])
        .assert_failed(1, "printed more than the 262144 bytes");
    // An option says what opens the stream: the environment is not looked at.
    let mut command = place.command(["verify", "--identity-command", "cat other.txt", "sealed.cfd"]);
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    let ran = Ran::of(command.env("COFFERDAM_IDENTITY", "key.txt").output().unwrap());
    assert_eq!(ran.code, 4, "{}", ran.stderr);
}

/// The lines of OPERATIONS, with a key of gpg's that asks nobody.
#[test]
fn identities_come_from_a_password_store() {
    if !has("pass") || !has("gpg") {
        return;
    }
    let place = Place::with_sealed(1);
    fs::create_dir(place.path("gnupg")).unwrap();
    fs::set_permissions(place.path("gnupg"), fs::Permissions::from_mode(0o700)).unwrap();
    let script = "set -e
export GNUPGHOME=$PWD/gnupg PASSWORD_STORE_DIR=$PWD/store
trap 'gpgconf --kill gpg-agent' EXIT
gpg --batch --quiet --passphrase '' --quick-generate-key backup@example.org default default never
pass init backup@example.org >/dev/null
cofferdam keygen 2>recipient | pass insert --multiline backup >/dev/null
cofferdam seal -r \"$(cat recipient)\" -o new.cfd plain
cofferdam restore --identity-command 'pass show backup' --command-env PASSWORD_STORE_DIR new.cfd restored
if cofferdam verify --identity-command 'pass show absent' --command-env PASSWORD_STORE_DIR new.cfd; then exit 99; fi
! cofferdam verify --identity-command 'pass show backup' --command-env PASSWORD_STORE_DIR sealed.cfd";
    let ran = place.shell(script);
    ran.assert_failed(0, "absent is not in the password store");
    assert!(place.read("restored") == place.read("plain"));
}

#[test]
fn a_signal_ends_a_program_with_all_that_it_has_started() {
    let Some(place) = place_with_service() else { return };
    seal(&place, "./kms", "sealed.cfd").assert_done();
    fs::copy(place.path("sealed.cfd"), place.path("rewrapped.cfd")).unwrap();
    // One that does not end when it is asked to.
    program(&place, "slow", "trap '' TERM; sleep 1000 & echo $! >pid.new; mv pid.new pid; wait; sleep 1000");
    let before = place.names();
    for arguments in [
        &["seal", "--key-command", "kms=./slow", "-o", "new.cfd", "plain"][..],
        &["restore", "--key-command", "kms=./slow", "sealed.cfd", "restored"],
        &["verify", "--key-command", "kms=./slow", "sealed.cfd"],
        &["verify", "--identity-command", "./slow", "sealed.cfd"],
        &["cat", "--key-command", "kms=./slow", "--range", "0..", "sealed.cfd"],
        &["serve", "--key-command", "kms=./slow", "sealed.cfd"],
        &["rewrap", "--key-command", "kms=./slow", "-r", &place.recipient, "rewrapped.cfd"],
        &["rewrap", "--key-command", "kms=./kms", "--new-key-command", "k=./slow", "rewrapped.cfd"],
    ] {
        let running = place.spawn(arguments);
        wait_until("the program", || place.path("pid").exists());
        let sleeper: i32 = fs::read_to_string(place.path("pid")).unwrap().trim().parse().unwrap();
        send(&running, Signal::INT);
        let ran = end_of(running);
        assert_eq!(ran.code, 130, "{arguments:?}: {}", ran.stderr);
        wait_for_end(sleeper);
        fs::remove_file(place.path("pid")).unwrap();
        assert_eq!(place.names(), before, "{arguments:?}");
    }
    assert!(place.read("rewrapped.cfd") == place.read("sealed.cfd"));
}

#[test]
fn a_program_whose_time_is_over_is_ended_with_all_that_it_has_started() {
    let Some(place) = place_with_service() else { return };
    seal(&place, "./kms", "sealed.cfd").assert_done();
    program(&place, "slow", "trap '' TERM; sleep 1000 & echo $! >pid.new; mv pid.new pid; wait; sleep 1000");
    // A machine that is busy may need longer to start them.
    let has_started = [1, 4, 16].into_iter().any(|seconds| {
        let limit = format!("{seconds}s");
        let slow = ["verify", "--command-timeout", &limit, "--key-command", "kms=./slow", "sealed.cfd"];
        place.run(slow).assert_failed(4, &format!("./slow gave no answer in {seconds} s"));
        place.path("pid").exists()
    });
    assert!(has_started, "they were never started");
    wait_for_end(fs::read_to_string(place.path("pid")).unwrap().trim().parse().unwrap());
    // What it leaves behind when it ends by itself is ended, too.
    program(&place, "leaves", "./kms; sleep 1000 & echo $! >pid");
    verify(&place, "./leaves").assert_done();
    wait_for_end(fs::read_to_string(place.path("pid")).unwrap().trim().parse().unwrap());
}

/// Whatever the service says the second time.
#[test]
fn a_sealing_that_resumes_keeps_the_key_as_it_was_wrapped_first() {
    let Some(place) = place_with_service() else { return };
    fs::write(place.path("plain"), plaintext(200 * SEGMENT_LEN)).unwrap();
    program(&place, "once", "[ -e asked ] && exec head -c 80 /dev/zero; touch asked; exec ./kms");
    let seal = [
        "seal",
        "--resume",
        "--frame-size",
        "4KiB",
        "--segment-size",
        "16KiB",
        "--key-command",
        "kms=./once",
        "plain",
    ];
    let slow = [&seal[..], &["--limit-rate", "256KiB"]].concat();
    let sealing = place.spawn(slow);
    wait_until("some bytes", || {
        fs::metadata(place.path(".plain.cfd.cofferdam-staging")).is_ok_and(|kept| kept.len() > 1 << 17)
    });
    send(&sealing, Signal::INT);
    end_of(sealing).assert_failed(130, "");
    let sealed = place.run(seal);
    sealed.assert_done();
    assert!(
        sealed.stderr.contains("kept from before") || sealed.text().contains("kept from before"),
        "{sealed:?}"
    );
    place.run(["restore", "--key-command", "kms=./kms", "plain.cfd", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
}

fn send(to: &Child, signal: Signal) {
    kill_process(Pid::from_child(to), signal).unwrap();
}

/// A plugin that hides nothing: the body of its stanza is the file key itself. It notes when it is asked to open.
const PLUGIN: &str = "while read -r line; do
  case \"$line\" in
    '-> wrap-file-key'|'-> recipient-stanza 0 clear') read -r key ;;
    '-> done') read -r empty; break ;;
  esac
done
case \"$1\" in
  --age-plugin=recipient-v1) printf -- '-> recipient-stanza 0 clear\\n%s\\n' \"$key\" ;;
  --age-plugin=identity-v1) echo >>\"$RUNS\"; printf -- '-> file-key 0\\n%s\\n' \"$key\" ;;
esac
read -r answer
read -r empty
printf -- '-> done\\n\\n'";
/// Bech32 (BIP 173) of the human-readable parts `age1clear` and `age-plugin-clear-`, and no data.
const PLUGIN_RECIPIENT: &str = "age1clear1up74dn";
const PLUGIN_IDENTITY: &str = "AGE-PLUGIN-CLEAR-19K2EAL\n";
