//! The check of a drill: what it is given, how it ends, and what ends with it.
//! Checks are lines of shell; whatever a test waits for can be seen.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

use crate::drilling::{
    check, checked, copy_program, drill, drill_as_user, evidence, has_ended, place, scratch_names, stream,
    wait_for_end, write,
};
use crate::place::{Ran, SEGMENT_LEN};
use crate::programs::{has, skipped};

#[test]
fn a_check_that_fails_is_16_and_what_it_said_is_written_down() {
    let (_, ran, said) = check("echo something; echo 'pages 3 and 4: wrong' >&2; exit 7", "");
    ran.assert_failed(16, "db: the check ended with 7: pages 3 and 4: wrong");
    assert!(
        ran.stderr.contains("Nothing of what was restored is left; `--keep` keeps it."),
        "{}",
        ran.stderr
    );
    assert_eq!(
        (&said["result"], &said["error"]["kind"]),
        (&Value::from("failed"), &Value::from("check-failed"))
    );
    assert_eq!(said["check"]["exit_code"].as_i64(), Some(7));
    assert_eq!(said["check"]["output_tail"], "something\npages 3 and 4: wrong\n");
    // The stream itself was restored.
    assert_eq!(said["authenticity"], "checked");
    assert_eq!(said["plaintext_bytes"].as_u64(), Some(3 * SEGMENT_LEN as u64 - 5));

    let (_, ran, said) = check("kill -SEGV $$", "");
    ran.assert_failed(16, "was ended by signal 11");
    assert_eq!((said["check"]["exit_code"].as_i64(), said["check"]["signal"].as_i64()), (None, Some(11)));

    // One that tidies up more than it needs to has not failed.
    check("cd / && rm -r \"$OLDPWD\"", "").1.assert_done();

    let place = place(1);
    write(&place, &[stream("db", "sealed.cfd", "mode = \"restore\"\ncheck = [\"no-such-program\", \"{}\"]")]);
    drill(&place).assert_failed(16, "the check could not be run: no-such-program: ");
    assert!(scratch_names(&place).is_empty());
}

#[test]
fn a_check_that_hangs_is_stopped_with_all_that_it_has_started() {
    // One that heeds no signal, one in the background, and one that has left the group and its parent.
    let line = "trap '' TERM; sleep 1000 & setsid -f sh -c 'trap \"\" TERM; echo $$ >daemon; exec sleep 1000'; \
                until test -s daemon; do sleep 0.05; done; cat daemon; echo $!; while :; do sleep 1; done";
    // A machine that is busy may need longer to start them.
    for seconds in [2, 8, 32] {
        let (_, ran, said) = check(line, &format!("check_timeout = \"{seconds}s\""));
        ran.assert_failed(16, &format!("the check had not ended after {seconds} s, and was stopped"));
        let ended = (&said["check"]["timed_out"], &said["check"]["exit_code"]);
        assert_eq!(ended, (&Value::from(true), &Value::Null));
        if said["check"]["output_tail"].as_str().unwrap().lines().count() == 2 {
            return assert_gone(&said["check"]["output_tail"], 2);
        }
    }
    panic!("the check has not come to its loop");
}

#[test]
fn a_check_that_leaves_a_daemon_behind_passes_and_the_daemon_is_ended() {
    let line = "sleep 1000 & echo $!; setsid -f sh -c 'echo $$ >daemon; exec sleep 1000'; \
                until test -s daemon; do sleep 0.05; done; cat daemon";
    let (_, ran, said) = check(line, "");
    ran.assert_done();
    assert_gone(&said["check"]["output_tail"], 2);
}

#[test]
fn a_check_ends_with_all_that_it_has_started_and_with_nothing_else() {
    let place = place(1);
    // A process that is older than the check, and loses its parent while that runs.
    let line = "cd ../..; kill $(cat parent); until test \"$(cut -d' ' -f4 /proc/$(cat stranger)/stat)\" = $PPID; do sleep 0.05; done";
    write(&place, &[checked(line, "")]);
    let ran = place.shell(
        "sh -c 'sleep 1000 & echo $! >stranger; wait' >/dev/null 2>&1 & echo $! >parent; \
         until test -s stranger; do sleep 0.05; done; exec \"$0\" drill drill.toml",
    );
    let stranger = fs::read_to_string(place.path("stranger")).unwrap().trim().parse().unwrap();
    let goes_on = !has_ended(stranger);
    let _ = kill_process(Pid::from_raw(stranger).unwrap(), Signal::KILL);
    ran.assert_done();
    assert!(goes_on, "{}", ran.stderr);
}

#[test]
fn a_check_has_a_session_of_its_own_and_nothing_that_the_drill_was_started_with() {
    let place = place(1);
    let line =
        "test \"$(cut -d' ' -f6 /proc/$$/stat)\" = $$ && test ! -e /proc/$$/fd/3 && test ! -e /proc/$$/fd/9";
    let later = stream("later", "/dev/fd/9", "mode = \"verify\"");
    write(&place, &[checked(line, ""), later]);
    let with = "exec 3<key.txt 9<sealed.cfd; test -e /proc/$$/fd/3 && test -e /proc/$$/fd/9 && exec";
    place.shell(&format!("{with} \"$0\" drill drill.toml")).assert_done();
}

#[test]
fn what_a_check_has_started_as_another_user_is_said_and_in_the_evidence() {
    if !geteuid().is_root() {
        skipped("this needs to be root");
        return;
    }
    let place = place(1);
    // As sudo does it: the user may not end what it starts.
    fs::create_dir(place.path("user")).unwrap();
    let as_root = place.path("user/as-root");
    copy_program(&program("setpriv"), &as_root);
    fs::set_permissions(&as_root, fs::Permissions::from_mode(0o4755)).unwrap();
    let path = as_root.display();
    let line = format!("{path} --reuid 0 --regid 0 --clear-groups setsid -f sleep 1000");
    let ran = drill_as_user(&place, &line, &[]);
    let evidence: Value = serde_json::from_slice(&place.read("user/evidence.json")).unwrap();
    let said = &evidence["streams"][0];
    if ran.stderr.contains("setpriv: ") || said["check"]["exit_code"].as_i64() != Some(0) {
        skipped(&format!("no program becomes root here: {}", ran.stderr));
        return;
    }
    let left = said["check"]["left_processes"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{said}");
    let left = left[0].as_i64().unwrap() as i32;
    kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
    ran.assert_done();
    assert!(ran.stderr.contains(&format!("could not be ended: process {left}")), "{}", ran.stderr);
    assert!(said["warnings"][0].as_str().unwrap().contains("could not be ended"), "{said}");
}

/// Where it is on the search path.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file()).unwrap()
}

/// The processes whose numbers a check has printed.
fn assert_gone(output: &Value, count: usize) {
    let numbers: Vec<i32> = output.as_str().unwrap().lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers.len(), count, "{output}");
    numbers.into_iter().for_each(wait_for_end);
}

#[test]
fn of_what_a_check_writes_the_end_is_kept_and_nothing_that_steers_a_terminal() {
    let (_, ran, said) = check("head -c 5000000 /dev/zero | tr '\\0' 'x'; printf '\\033[2J\\377end'", "");
    ran.assert_done();
    assert_eq!(said["check"]["output_bytes"].as_u64(), Some(5_000_000 + 8));
    let tail = said["check"]["output_tail"].as_str().unwrap();
    assert!(tail.ends_with("x\\u{1b}[2J\u{fffd}end"), "{:?}", &tail[tail.len() - 40..]);
    assert!(tail.len() < 5000, "{}", tail.len());
}

#[test]
fn a_check_is_given_the_file_and_neither_input_nor_secrets() {
    let place = place(1);
    let line = "cat; pwd; echo \"$1\"; env | cut -d= -f1 | sort; umask >/dev/null; ls -a";
    write(&place, &[checked(line, "")]);
    let mut command = place.command(["drill", "drill.toml"]);
    command.env("AWS_SECRET_ACCESS_KEY", "S3CR3T").env("COFFERDAM_IDENTITY", "key.txt").env("TZ", "UTC");
    command.env("CREDENTIALS_DIRECTORY", "/nowhere");
    Ran::of(command.output().unwrap()).assert_done();
    let said = evidence(&place)["streams"][0].take();
    let output = said["check"]["output_tail"].as_str().unwrap();
    for secret in ["AWS", "COFFERDAM", "CREDENTIALS", "XDG_STATE_HOME", "S3CR3T"] {
        assert!(!output.contains(secret), "{secret}: {output}");
    }
    for there in ["\nPATH\n", "\nTZ\n", "\nTMPDIR\n", "\nrestored\n"] {
        assert!(output.contains(there), "{there}: {output}");
    }
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(format!("{}/restored", lines[0]), lines[1]);
    let scratch = fs::canonicalize(place.path("scratch")).unwrap();
    assert!(lines[0].starts_with(&*scratch.to_string_lossy()), "{}", lines[0]);
}

#[test]
fn a_check_may_take_longer_than_any_clock_goes() {
    check("true", "check_timeout = \"18446744073709551615s\"").1.assert_done();
}

#[test]
fn a_database_that_was_sealed_damaged_is_found_by_its_own_check() {
    if !has("sqlite3") {
        return;
    }
    let place = place(1);
    let rows = "create table t(n integer primary key, text); with recursive c(n) as (select 1 union all \
                select n + 1 from c where n < 20000) insert into t select n, hex(randomblob(20)) from c; \
                create index i on t(text);";
    let made = Command::new("sqlite3").arg(place.path("db")).arg(rows).status().unwrap();
    assert!(made.success());
    let whole = place.read("db");
    for (damage, code) in [(false, 0), (true, 16)] {
        let mut bytes = whole.clone();
        if damage {
            let middle = bytes.len() / 2;
            bytes[middle..middle + 3000].fill(0x5a);
        }
        fs::write(place.path("db"), bytes).unwrap();
        let seal = ["seal", "--force", "-r", &place.recipient, "-o", "sealed.cfd", "db"];
        place.run(seal).assert_done();
        // As the example has it.
        write(
            &place,
            &[checked("test \"$(sqlite3 \"$1\" 'PRAGMA integrity_check' | tee -a /dev/stderr)\" = ok", "")],
        );
        let ran = drill(&place);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        let said = evidence(&place)["streams"][0].take();
        let output = said["check"]["output_tail"].as_str().unwrap();
        assert_eq!(output.trim() == "ok", !damage, "{output}");
        assert!(scratch_names(&place).is_empty());
    }
}

/// The end that is kept begins where a URL is already under way.
#[test]
fn what_is_secret_in_a_url_is_not_kept_where_the_rest_of_it_is_cut_off() {
    let place = place(1);
    let (url, end) = ("https://host.invalid/db.cfd?sig=TOPSECRET1234567890", "67890");
    for kept in [4096, 2 * 4096] {
        let line = format!("echo '{url}'; head -c {} /dev/zero | tr '\\0' y", kept - end.len() - 1);
        write(&place, &[checked(&line, "")]);
        drill(&place).assert_done();
        let said = evidence(&place)["streams"][0]["check"]["output_tail"].as_str().unwrap().to_owned();
        assert!(said.ends_with("yyy") && said.len() > 4000, "{said}");
        assert!(!said.contains(end), "{said}");
    }
}
