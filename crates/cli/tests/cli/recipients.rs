//! Who can open a stream: listed, and changed with the others left as they are.
//! What is written is the library's to show; here is whom an operator means, and what he is told.

use std::fs;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::place::{Place, Ran, end_of, json_lines, wait_until};

/// `sealed.cfd` for `key.txt`, `ben.txt`, an SSH key and a key file, in this order.
fn place() -> Place {
    let place = Place::with_sealed(2);
    place.run(["keygen", "--key-file", "-o", "k"]).assert_done();
    fs::write(place.path("ssh"), include_str!("../../../keys/tests/vectors/ssh_ed25519")).unwrap();
    let ben = identity(&place, "ben.txt");
    let all = ["-r", &place.recipient, "-r", &ben, "-r", SSH, "--new-key-file", "k"];
    place.run([&["rewrap", "-i", "key.txt", "sealed.cfd"][..], &all].concat()).assert_done();
    place
}

const SSH: &str = include_str!("../../../keys/tests/vectors/ssh_ed25519.pub");

fn identity(place: &Place, name: &str) -> String {
    let made = place.run(["keygen", "-o", name]);
    made.assert_done();
    made.text().trim().to_owned()
}

/// The exit codes of verifying with each of the four.
fn opened(place: &Place) -> [i32; 4] {
    let verify = |option, file| place.run(["verify", "--quiet", option, file, "sealed.cfd"]).code;
    [verify("-i", "key.txt"), verify("-i", "ben.txt"), verify("-i", "ssh"), verify("--key-file", "k")]
}

fn rewrap(place: &Place, arguments: &[&str]) -> Ran {
    place.run([&["rewrap", "-i", "key.txt", "sealed.cfd"], arguments].concat())
}

#[test]
fn a_list_says_kinds_and_with_a_key_whose() {
    let place = place();
    let before = place.read("sealed.cfd");
    let record = |arguments: &[&str]| -> Value {
        let ran = place.run([arguments, &["--json", "sealed.cfd"]].concat());
        ran.assert_done();
        json_lines(&ran.stdout).remove(0)
    };
    let tag = cofferdam::ssh_tag(SSH).unwrap();
    let one = |number: u8, stanza: &str, tag: Value, recipient: Value, opens: Value| json!({"number": number, "kind": "age", "stanza": stanza, "tag": tag, "recipient": recipient, "opens": opens, "post_quantum": false});
    let file =
        json!({"number": 4, "kind": "key-file", "recipient": null, "opens": null, "post_quantum": true});
    let keyless = record(&["recipients"]);
    assert_eq!((&keyless["authentic"], &keyless["generation"]), (&json!(false), &json!(2)));
    let (null, no) = (Value::Null, json!(false));
    let ssh = |opens: &Value| one(3, "ssh-ed25519", json!(tag), Value::Null, opens.clone());
    let unknown = |number| one(number, "X25519", null.clone(), null.clone(), null.clone());
    assert_eq!(keyless["recipients"], json!([unknown(1), unknown(2), ssh(&null), file]));
    assert_eq!(record(&["rewrap", "--list"])["recipients"], keyless["recipients"]);
    let own = record(&["recipients", "-i", "key.txt"]);
    assert_eq!(own["authentic"], true);
    let named = |number, opens: bool| {
        let recipient = if opens { json!(place.recipient) } else { Value::Null };
        one(number, "X25519", Value::Null, recipient, json!(opens))
    };
    assert_eq!(own["recipients"], json!([named(1, true), named(2, false), ssh(&no), file]));
    let table = place.run(["rewrap", "--list", "-i", "ssh", "sealed.cfd"]);
    assert!(
        table.text().contains(&format!("   3  age ssh-ed25519 {tag}  opens with what was given\n")),
        "{}",
        table.text()
    );
    assert!(table.text().contains("   4  key file\nA key has opened the stream"), "{}", table.text());
    identity(&place, "other.txt");
    place.run(["recipients", "-i", "other.txt", "sealed.cfd"]).assert_failed(4, "");
    assert!(place.read("sealed.cfd") == before);
    place.run(["recipients", "-"]).assert_failed(2, "not on standard input");
    assert_eq!(place.shell("cat sealed.cfd | cofferdam recipients /dev/fd/0").code, 2);
    place.run(["recipients", "plain"]).assert_failed(11, "");
    fs::write(place.path("cut"), &before[..5000]).unwrap();
    place.run(["recipients", "cut"]).assert_failed(5, "");
    assert_eq!(place.shell("cofferdam recipients sealed.cfd >/dev/full").code, 1);
}

#[test]
fn one_is_added_and_the_others_are_as_they_were() {
    let place = place();
    let new = identity(&place, "new.txt");
    let added = rewrap(&place, &["--add", "-r", &new]);
    added.assert_done();
    assert!(added.text().contains("generation 3"), "{}", added.text());
    assert_eq!(opened(&place), [0; 4]);
    place.run(["verify", "-i", "new.txt", "sealed.cfd"]).assert_done();
    // Run again: once more in the list, and that is said beforehand.
    rewrap(&place, &["--add", "-r", &new]).assert_done();
    let list = place.run(["recipients", "-i", "new.txt", "--json", "sealed.cfd"]);
    let record = &json_lines(&list.stdout)[0];
    let mine = record["recipients"].as_array().unwrap().iter().filter(|it| it["recipient"] == new.as_str());
    assert_eq!(mine.count(), 2);
    // Nobody is replaced by nobody.
    assert_eq!(rewrap(&place, &["--add"]).code, 2);
}

#[test]
fn those_who_are_meant_are_taken_out() {
    let place = place();
    let original = place.read("sealed.cfd");
    let ben = fs::read_to_string(place.path("ben.txt")).unwrap();
    let ben = ben.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    for (which, left) in [
        (&["1"][..], [4, 0, 0, 0]),
        (&["2"], [0, 4, 0, 0]),
        (&[SSH], [0, 0, 4, 0]),
        (&["4"], [0, 0, 0, 4]),
        (&[place.recipient.as_str()], [4, 0, 0, 0]),
        (&[ben.as_str(), "-i", "ben.txt"], [0, 4, 0, 0]),
        (&["2", "--remove", "4", "--remove", "2"], [0, 4, 0, 4]),
    ] {
        fs::write(place.path("sealed.cfd"), &original).unwrap();
        let removed = rewrap(&place, &[&["--json", "--generation", "2", "--remove"], which].concat());
        removed.assert_done();
        assert_eq!(opened(&place), left, "{which:?}");
        let record = &json_lines(&removed.stdout)[0];
        let gone = left.iter().filter(|code| **code != 0).count();
        assert_eq!((record["removed"].as_array().unwrap().len(), &record["generation"]), (gone, &json!(3)));
    }
    fs::write(place.path("sealed.cfd"), &original).unwrap();
    let said = rewrap(&place, &["--remove", "4", "--generation", "2"]);
    assert!(said.text().contains("without key file"), "{}", said.text());
}

#[test]
fn whom_nobody_can_tell_is_not_taken_out_and_never_the_last() {
    let place = place();
    let before = place.read("sealed.cfd");
    let ben = fs::read_to_string(place.path("ben.txt")).unwrap();
    let ben = ben.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
    for (arguments, code, words) in [
        (&["--remove", ben.as_str()][..], 2, "it cannot be told which of them that is"),
        (&["--remove", "kms"], 2, "it cannot be told which of them that is"),
        (&["--remove", "5"], 2, "no number 5 in the list of 4"),
        (&["--remove", "0"], 2, "no number 0 in the list of 4"),
        (
            &["--remove", "1", "--remove", "2", "--remove", "3", "--remove", "4"],
            2,
            "nobody could open the stream",
        ),
        (&["--remove", "1", "-r", ben.as_str()], 2, "others were given without --add"),
        (&["--list", "--remove", "1"], 2, "cannot be used with"),
        (&["--list", "-r", ben.as_str()], 2, "a list changes nothing"),
    ] {
        let of_list = ["--generation", "2"];
        let of_list = if arguments[0] == "--list" { &[][..] } else { &of_list };
        rewrap(&place, &[arguments, of_list].concat()).assert_failed(code, words);
        assert!(place.read("sealed.cfd") == before, "{arguments:?}");
    }
    // Who opens by the key file alone has no key of the age file.
    let with_file =
        place.run(["rewrap", "--key-file", "k", "--remove", "1", "--generation", "2", "sealed.cfd"]);
    with_file.assert_failed(2, "none of the identities given opens that");
    identity(&place, "other.txt");
    place
        .run(["rewrap", "-i", "other.txt", "--remove", "1", "--generation", "2", "sealed.cfd"])
        .assert_failed(4, "");
    assert!(place.read("sealed.cfd") == before);
}

/// The file of recipients that the environment names says who comes in, not who stays.
#[test]
fn the_environment_adds_nobody_where_some_are_only_taken_out() {
    let place = place();
    let new = identity(&place, "new.txt");
    fs::write(place.path("list"), &new).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = place.command([&["rewrap", "-i", "key.txt", "sealed.cfd"], arguments].concat());
        Ran::of(command.env("COFFERDAM_RECIPIENTS", "list").output().unwrap())
    };
    run(&["--remove", "2", "--generation", "2"]).assert_done();
    assert_eq!(place.run(["verify", "-i", "new.txt", "sealed.cfd"]).code, 4);
    run(&["--add", "--remove", "3", "--generation", "3"]).assert_done();
    assert_eq!(place.run(["verify", "-i", "new.txt", "sealed.cfd"]).code, 0);
    assert_eq!(opened(&place), [0, 4, 0, 4]);
}

#[test]
fn a_service_is_taken_out_by_its_name_and_one_comes_in_for_another() {
    let place = place();
    let new = identity(&place, "new.txt");
    place.write_program("xor", "#!/bin/sh\ntr '\\000-\\377' '\\200-\\377\\000-\\177'\n");
    rewrap(&place, &["--add", "--new-key-command", "kms=./xor"]).assert_done();
    place.run(["verify", "--key-command", "kms=./xor", "sealed.cfd"]).assert_done();
    rewrap(&place, &["--remove", "kms", "--add", "-r", &new]).assert_done();
    assert_eq!(place.run(["verify", "--key-command", "kms=./xor", "sealed.cfd"]).code, 4);
    place.run(["verify", "-i", "new.txt", "sealed.cfd"]).assert_done();
    assert_eq!(opened(&place), [0; 4]);
}

#[test]
fn a_number_that_is_a_services_name_too_is_refused() {
    let place = place();
    place.write_program("xor", "#!/bin/sh\ntr '\\000-\\377' '\\200-\\377\\000-\\177'\n");
    rewrap(&place, &["--add", "--new-key-command", "1=./xor"]).assert_done();
    let before = place.read("sealed.cfd");
    rewrap(&place, &["--remove", "1", "--generation", "3"]).assert_failed(2, "the name of a key service");
    assert!(place.read("sealed.cfd") == before);
    rewrap(&place, &["--list", "--force"]).assert_failed(2, "--force is for a copy");
    rewrap(&place, &["--remove", "01", "--generation", "3"]).assert_done();
    assert_eq!(place.run(["verify", "--key-command", "1=./xor", "sealed.cfd"]).code, 0);
}

/// Whoever has the storage can write a key copy with a checksum that is right. Names in it mean nobody.
#[test]
fn who_is_taken_out_is_looked_up_in_the_list_that_a_key_vouches_for() {
    let place = place();
    place.write_program("xor", "#!/bin/sh\ntr '\\000-\\377' '\\200-\\377\\000-\\177'\n");
    for name in ["kms", "hsm"] {
        rewrap(&place, &["--add", "--new-key-command", &format!("{name}=./xor")]).assert_done();
    }
    let mut sealed = place.read("sealed.cfd");
    let found = |name: &[u8]| -> Vec<usize> {
        (0..sealed.len() - 3).filter(|&at| &sealed[at..at + 3] == name).take(2).collect()
    };
    let (kms, hsm) = (found(b"kms"), found(b"hsm"));
    let len = kms[1] - kms[0];
    let copy = &mut sealed[4096..4096 + len];
    copy[kms[0] - 4096..][..3].copy_from_slice(b"hsm");
    copy[hsm[0] - 4096..][..3].copy_from_slice(b"kms");
    // FORMAT §5: the checksum of a copy is over what is used of it and its MAC.
    let slots_len = u32::from_le_bytes(copy[16..20].try_into().unwrap()) as usize;
    let checksum = Sha256::digest([&copy[..32 + slots_len], &copy[len - 64..len - 32]].concat());
    copy[len - 32..].copy_from_slice(&checksum);
    fs::write(place.path("sealed.cfd"), &sealed).unwrap();
    rewrap(&place, &["--remove", "kms"]).assert_done();
    let verify = |name: &str| {
        place.run(["verify", "--quiet", "--key-command", &format!("{name}=./xor"), "sealed.cfd"]).code
    };
    assert_eq!([verify("kms"), verify("hsm")], [4, 0]);
}

/// Between looking at a list and changing it somebody else may have changed it: a number then means another one.
#[test]
fn a_number_is_of_the_list_that_was_looked_at_and_of_no_other() {
    let place = place();
    let new = identity(&place, "new.txt");
    let listed =
        json_lines(&place.run(["recipients", "-i", "key.txt", "--json", "sealed.cfd"]).stdout).remove(0);
    let looked_at = listed["generation"].to_string();
    rewrap(&place, &["--remove", "2"]).assert_failed(2, "of which one is not said");
    // Somebody else takes the first one out and lets one in, so that there is a number 2 still.
    place
        .run(["rewrap", "-i", "ben.txt", "--remove", &place.recipient, "-i", "key.txt", "sealed.cfd"])
        .assert_done();
    place.run(["rewrap", "-i", "ben.txt", "--add", "-r", &new, "sealed.cfd"]).assert_done();
    let before = place.read("sealed.cfd");
    for change in [
        &["--remove", "2"][..],
        &["--remove", SSH],
        &["--add", "-r", &new],
        &["--remove", "2", "-o", "copy.cfd"],
    ] {
        let late = ["rewrap", "-i", "ben.txt", "--generation", &looked_at];
        let refused = place.run([&late[..], change, &["sealed.cfd"]].concat());
        refused.assert_failed(12, "List who can open it again");
        assert!(place.read("sealed.cfd") == before && !place.path("copy.cfd").exists(), "{change:?}");
    }
    // Nor of a list that is still to come.
    place
        .run(["rewrap", "-i", "ben.txt", "--remove", "2", "--generation", "9", "sealed.cfd"])
        .assert_failed(12, "");
    place
        .run(["rewrap", "-i", "ben.txt", "-r", &new, "--generation", "4", "sealed.cfd"])
        .assert_failed(2, "--generation is for");
    assert!(place.read("sealed.cfd") == before);
    place.run(["rewrap", "-i", "ben.txt", "--remove", "2", "--generation", "4", "sealed.cfd"]).assert_done();
    assert_eq!(opened(&place), [4, 0, 4, 0]);
}

/// One of two at once has the stream, and the other is told; what it would have done is not done later.
#[test]
fn of_two_rewraps_at_once_one_is_refused() {
    let place = place();
    let new = identity(&place, "new.txt");
    let xor = "exec tr '\\000-\\377' '\\200-\\377\\000-\\177'";
    let waits = format!("#!/bin/sh\n: >asked\nuntil [ -e answer ]; do sleep 0.05; done\n{xor}\n");
    for (name, script) in [("xor", format!("#!/bin/sh\n{xor}\n")), ("slow", waits)] {
        place.write_program(name, &script);
    }
    rewrap(&place, &["--add", "--new-key-command", "kms=./xor"]).assert_done();
    let first = place.spawn(["rewrap", "--key-command", "kms=./slow", "--add", "-r", &new, "sealed.cfd"]);
    wait_until("the program", || place.path("asked").exists());
    let before = place.read("sealed.cfd");
    let second = ["--remove", "2", "--generation", "3"];
    rewrap(&place, &second).assert_failed(9, "another process re-wraps this stream");
    assert!(place.read("sealed.cfd") == before);
    fs::write(place.path("answer"), "").unwrap();
    end_of(first).assert_done();
    // What was looked at before is not the list now.
    rewrap(&place, &second).assert_failed(12, "its list is of generation 4 now");
    assert_eq!(opened(&place), [0; 4]);
    place.run(["verify", "-i", "new.txt", "sealed.cfd"]).assert_done();
}

/// Both copies are written over: whoever does not say that one was damaged has hidden it.
#[test]
fn a_damaged_key_copy_is_said_once_when_it_is_written_over() {
    let place = place();
    let whole = place.read("sealed.cfd");
    let new = identity(&place, "new.txt");
    let all = ["-r", &place.recipient, "-r", &new];
    for change in [&["--add", "-r", &new][..], &["--remove", "4", "--generation", "2"], &all] {
        let mut damaged = whole.clone();
        damaged[4096 + 40] ^= 1;
        fs::write(place.path("sealed.cfd"), damaged).unwrap();
        let first = rewrap(&place, change);
        first.assert_done();
        assert_eq!(
            first.stderr.matches("key copy 0 of the stream is damaged").count(),
            1,
            "{}",
            first.stderr
        );
        let again = rewrap(&place, &all);
        again.assert_done();
        assert_eq!(again.stderr, "", "{change:?}");
    }
}

#[test]
fn a_copy_with_more_room_has_the_list_with_its_changes() {
    let place = place();
    let before = place.read("sealed.cfd");
    let new = identity(&place, "new.txt");
    let list = ["--generation", "2"];
    rewrap(&place, &[&["--add", "--remove", "2", "-r", &new, "-o", "copy.cfd"][..], &list].concat())
        .assert_done();
    assert!(place.read("sealed.cfd") == before);
    place.run(["restore", "-i", "new.txt", "copy.cfd", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    assert_eq!(place.run(["verify", "-i", "ben.txt", "copy.cfd"]).code, 4);
    place.run(["verify", "-i", "ssh", "copy.cfd"]).assert_done();
}

#[cfg(feature = "pq")]
#[test]
fn a_post_quantum_recipient_is_made_sealed_for_and_not_mixed() {
    let place = Place::with_sealed(2);
    let made = place.run(["keygen", "--pq", "-o", "pq.txt"]);
    made.assert_done();
    let hybrid = made.text().trim().to_owned();
    assert_eq!((&hybrid[..7], hybrid.len()), ("age1pq1", 1959));
    place.run(["seal", "-r", &hybrid, "-o", "pq.cfd", "plain"]).assert_done();
    place.run(["restore", "-i", "pq.txt", "pq.cfd", "restored"]).assert_done();
    assert!(place.read("restored") == place.read("plain"));
    assert_eq!(place.run(["verify", "-i", "key.txt", "pq.cfd"]).code, 4);
    let list = json_lines(&place.run(["recipients", "-i", "pq.txt", "--json", "pq.cfd"]).stdout).remove(0);
    let expected = json!([{"number": 1, "kind": "age", "stanza": "mlkem768x25519", "tag": null, "recipient": hybrid, "opens": true,
        "post_quantum": true}]);
    assert_eq!(list["recipients"], expected);
    let mixed = place.run(["seal", "-r", &hybrid, "-r", &place.recipient, "-o", "x.cfd", "plain"]);
    mixed.assert_failed(2, "do not go together");
    assert!(!place.path("x.cfd").exists());
    let both = ["-r", &hybrid, "-r", &place.recipient];
    place
        .run([&["rewrap", "-i", "pq.txt"][..], &both, &["pq.cfd"]].concat())
        .assert_failed(2, "do not go together");
    place
        .run([&["seal", "--format", "age", "-o", "x.age"][..], &both, &["plain"]].concat())
        .assert_failed(2, "do not go together");
    assert!(!place.path("x.age").exists());
    place
        .run(["rewrap", "-i", "pq.txt", "--add", "-r", &place.recipient, "pq.cfd"])
        .assert_failed(2, "replace all at once");
    place
        .run(["rewrap", "-i", "key.txt", "--add", "-r", &hybrid, "sealed.cfd"])
        .assert_failed(2, "replace all at once");
    // From the old kind to the new one, in place: there is room.
    place.run(["rewrap", "-i", "key.txt", "-r", &hybrid, "sealed.cfd"]).assert_done();
    place.run(["verify", "-i", "pq.txt", "sealed.cfd"]).assert_done();
    place.run(["keygen", "--pq", "--key-file"]).assert_failed(2, "cannot be used with");
    place.run(["seal", "-r", &hybrid[..1958], "plain"]).assert_failed(2, "not a post-quantum recipient");
}
