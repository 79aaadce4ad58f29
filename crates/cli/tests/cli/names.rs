//! Names of files that are not plain text: what a person sees, and what a program reads.
//! A name is any bytes but `/` and NUL, and whoever makes files chooses it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use serde_json::json;

use crate::place::{Place, Ran, json_lines};

/// A title for the terminal's window, a line of its own, text turned around.
const STEERING: &str = "e\u{1b}]0;x\u{7}\nf\u{202e}g";
const STEERING_SHOWN: &str = "e\\u{1b}]0;x\\u{7}\\nf\\u{202e}g";

#[test]
fn no_message_lets_a_name_steer_the_terminal() {
    let place = Place::with_sealed(1);
    let sealed = format!("{STEERING}.cfd");
    fs::write(place.path(&sealed), place.read("sealed.cfd")).unwrap();
    fs::write(place.path(STEERING), "text").unwrap();
    let recipient = place.recipient.clone();
    let cases: [&[&str]; 12] = [
        &["seal", "-r", &recipient, "-o", "s.cfd", STEERING],
        &["seal", "-r", &recipient, "--force", "-o", &format!("{STEERING}2"), "plain"],
        &["seal", "-r", &recipient, "-o", STEERING, "plain"],
        &["restore", "-i", "key.txt", &sealed, "t"],
        &["restore", "-i", "key.txt", "sealed.cfd", STEERING],
        &["restore", "-i", STEERING, "sealed.cfd", "t2"],
        &["verify", &sealed],
        &["verify", STEERING],
        &["inspect", &sealed],
        &["rewrap", "-i", "key.txt", "-r", &recipient, &sealed],
        &["keygen", "-o", STEERING],
        &["verify", "sealed.cfd", STEERING],
    ];
    for arguments in cases {
        let ran = place.run(arguments);
        assert!(ran.stderr.contains(STEERING_SHOWN) || ran.text().contains(STEERING_SHOWN), "{ran:?}");
        assert_steers_nothing(&ran);
    }
}

#[test]
fn what_a_plugin_is_called_comes_without_marks_that_nobody_sees() {
    let place = Place::with_sealed(1);
    // From the documentation of age-plugin-yubikey; there is no such program here.
    let recipient = "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t";
    let mut command = place.command(["seal", "-r", recipient, "plain"]);
    let ran = Ran::of(command.env("PATH", "").output().unwrap());
    ran.assert_failed(2, "'age-plugin-yubikey'");
    assert_steers_nothing(&ran);
}

#[test]
fn a_name_that_is_not_utf_8_is_told_exactly_in_json_and_shown_in_words() {
    let place = Place::with_sealed(1);
    let [input, sealed, output] = ["n\u{1}", "n\u{1}.cfd", "o\u{1}"].map(|name| {
        OsString::from(OsStr::from_bytes(
            &name.bytes().map(|byte| if byte == 1 { 0xff } else { byte }).collect::<Vec<_>>(),
        ))
    });
    fs::write(place.directory.path().join(&input), "a snapshot").unwrap();
    let hex = |name: &str| json!({ "hex": name });
    let record = |arguments: &[&OsStr]| {
        let ran = place.run(arguments);
        ran.assert_done();
        json_lines(&ran.stdout).remove(0)
    };
    let [seal, restore, verify, inspect, option] =
        ["seal", "restore", "verify", "inspect", "--json"].map(OsStr::new);
    let with_key = [OsStr::new("-i"), OsStr::new("key.txt")];
    let for_key = [OsStr::new("-r"), OsStr::new(&place.recipient)];
    let made = record(&[&[seal, option], &for_key[..], &[&input]].concat());
    assert_eq!((&made["input"], &made["output"]), (&hex("6eff"), &hex("6eff2e636664")));
    let restored = record(&[&[restore, option], &with_key[..], &[&sealed, &output]].concat());
    assert_eq!((&restored["input"], &restored["output"]), (&hex("6eff2e636664"), &hex("6fff")));
    assert_eq!(record(&[verify, option, &sealed])["input"], hex("6eff2e636664"));
    assert_eq!(record(&[inspect, option, &sealed])["input"], hex("6eff2e636664"));
    let shown = place.run([&[verify][..], &[&sealed]].concat());
    assert!(shown.text().starts_with("n\\xff.cfd: "), "{shown:?}");
}

/// Nothing but text and line ends.
#[track_caller]
fn assert_steers_nothing(ran: &Ran) {
    for text in [&ran.stderr, ran.text()] {
        let steers = |character: char| {
            character != '\n'
                && (character.is_control()
                    || ('\u{2028}'..='\u{202e}').contains(&character)
                    || ('\u{2066}'..='\u{2069}').contains(&character))
        };
        assert!(!text.contains(steers), "{text:?}");
    }
}
