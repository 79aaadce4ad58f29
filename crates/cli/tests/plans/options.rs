//! Each option of a restore at each step of a plan: the step does what it says, or refuses it. None is passed over without a word.

use std::fs;

use crate::place::Place;

/// Options that a step of a plan for a file does something with. Each other one is refused there: whoever adds an option puts it here, or has it refused.
const DONE: [(&[&str], &[&str]); 5] = [
    (
        &["--parts", "2", "sealed.cfd", "target"],
        &[
            "--force",
            "--no-preserve",
            "--keep-old",
            "--numeric-owner",
            "--no-owner",
            "--devices",
            "--set-id",
            "--expect-digest",
            "--min-sequence",
            "--signed-by",
            "--signature",
            "--identity",
            "--passphrase",
            "--passphrase-file",
            "--key-file",
            "--key-command",
            "--identity-command",
            "--command-timeout",
            "--command-env",
            "--threads",
            "--memory",
            "--limit-rate",
            "--limit-rate-file",
            "--metrics-file",
            "--timeout",
        ],
    ),
    (
        &["--part", "0"],
        &[
            "--expect-digest",
            "--min-sequence",
            "--signed-by",
            "--signature",
            "--identity",
            "--passphrase",
            "--passphrase-file",
            "--key-file",
            "--key-command",
            "--identity-command",
            "--command-timeout",
            "--command-env",
            "--threads",
            "--memory",
            "--limit-rate",
            "--limit-rate-file",
            "--metrics-file",
            "--timeout",
        ],
    ),
    (&["--commit"], &["--compare", "--expect-digest", "--threads", "--metrics-file"]),
    (&["--status"], &["--expect-digest"]),
    (&["--give-up"], &["--expect-digest"]),
];
/// What names the step, and how it reports.
const EVERYWHERE: [&str; 10] = [
    "--plan",
    "--parts",
    "--part",
    "--commit",
    "--status",
    "--give-up",
    "--plan-key",
    "--help",
    "--quiet",
    "--json",
];

/// The long options that the help lists, and what each takes.
fn options_of_help(place: &Place) -> Vec<(String, Option<String>)> {
    let help = place.run(["restore", "-h"]);
    help.assert_done();
    let is_name = |name: &str| name[2..].bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let option_of = |line: &str| {
        let line = line.trim_start();
        let long = line.find("--").filter(|at| *at == 0 || line.starts_with('-') && *at == "-x, ".len())?;
        let mut words = line[long..].split_whitespace();
        let name = words.next().filter(|name| is_name(name))?.to_owned();
        Some((name, words.next().filter(|word| word.starts_with('<')).map(str::to_owned)))
    };
    let mut found: Vec<_> = help.stdout.lines().filter_map(option_of).collect();
    found.sort();
    // A line of a description may begin with an option's name, without what that takes.
    let last = found.clone();
    found.retain(|(name, value)| {
        value.is_some() || !last.iter().any(|(other, more)| other == name && more.is_some())
    });
    found.dedup();
    found
}

/// A value that the option takes.
fn value_of(placeholder: &str) -> String {
    match placeholder {
        "<HEX>" => "0".repeat(64),
        "<WHEN>" => "never".to_owned(),
        "<DURABILITY>" => "each".to_owned(),
        "<N>" | "<COUNT>" => "2".to_owned(),
        "<SIZE>" => "64MiB".to_owned(),
        "<RATE>" => "1GiB".to_owned(),
        "<DURATION>" => "10s".to_owned(),
        "<NAME=PROGRAM>" => "kms=true".to_owned(),
        "<PROGRAM>" => "true".to_owned(),
        "<DIR>" => ".".to_owned(),
        _ => "there".to_owned(),
    }
}

#[test]
fn each_option_is_used_by_a_step_or_refused() {
    let place = Place::small();
    fs::write(place.at("there"), "something").unwrap();
    let options = options_of_help(&place);
    assert!(options.len() > 45, "{options:?}");
    let (mut refused, mut known) = (0, EVERYWHERE.to_vec());
    for (step, done) in DONE {
        let is_planning = step[0] == "--parts";
        if !is_planning && place.attempts().is_none() {
            place.plan(2, &[]).assert_done();
        }
        known.extend(done);
        let before = (place.names(), place.attempt_files(""));
        for (name, value) in &options {
            if EVERYWHERE.contains(&name.as_str()) || done.contains(&name.as_str()) {
                continue;
            }
            // Without these the command line is none at all.
            let needs = match name.as_str() {
                "--keep-old" => &["--force"][..],
                "--signature" | "--manifest" => &["--signed-by", "there"],
                _ => &[],
            };
            let opens = is_planning || step[0] == "--part";
            let key: &[&str] = if opens { &["--key-file", "stream.key"] } else { &[] };
            let value = value.as_deref().map(value_of);
            let option: Vec<&str> = [name.as_str()].into_iter().chain(value.as_deref()).collect();
            let arguments = [&["restore", "--plan", "plan"], key, &option, needs, step].concat();
            let ran = place.run(&arguments);
            let is_named =
                ran.stderr.contains(name.as_str()) || needs.iter().any(|word| ran.stderr.contains(word));
            assert_eq!(ran.code, Some(2), "{arguments:?} is neither done nor refused: {ran:?}");
            assert!(is_named && !ran.stderr.contains("unexpected argument"), "{arguments:?}: {ran:?}");
            assert_eq!((place.names(), place.attempt_files("")), before, "{arguments:?}");
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
    // What is listed here and is no option any more was meant to be another one.
    let names: Vec<&str> = options.iter().map(|(name, _)| name.as_str()).collect();
    known.iter().for_each(|name| assert!(names.contains(name), "{name}: {names:?}"));
}

/// The environment is a machine's, and names what other steps need.
#[test]
fn a_key_that_the_environment_names_is_no_option_of_a_step() {
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    (0..2).for_each(|part| place.part(part).assert_done());
    let mut commit = place.commit_command();
    commit.env("COFFERDAM_IDENTITY", "nowhere");
    crate::place::Ran::of(commit.output().unwrap()).assert_done();
    assert_eq!(place.read("target"), place.read("plain"));
}

/// The figures of a part are not to be put over what the other parts need.
#[test]
fn the_metrics_of_a_part_replace_none_of_its_plans_files() {
    let place = Place::small();
    place.plan(2, &[]).assert_done();
    let part = ["restore", "--key-file", "stream.key", "--plan", "plan", "--part", "0", "--metrics-file"];
    for name in ["plan", "plan.key", "plan.committed", "sealed.cfd", "stream.key"] {
        let before = place.names();
        place.run([&part[..], &[name]].concat()).assert_failed(2, "are the same file");
        assert_eq!(place.names(), before);
    }
    (0..2).for_each(|part| place.part(part).assert_done());
    place.commit().assert_done();
}

/// Whoever names a plan and no step is asked for the step, and for nothing else.
#[test]
fn a_plan_without_a_step_is_asked_for_the_step() {
    let place = Place::small();
    let ran = place.run(["restore", "--plan", "plan"]);
    ran.assert_failed(2, "--parts <N>|--part <I>|--commit|--status|--give-up");
    let (asked, _) = ran.stderr.split_once("Usage:").unwrap();
    assert!(!asked.contains("SEALED") && !asked.contains("TARGET"), "{ran:?}");
    let parts = ["restore", "--key-file", "stream.key", "--plan", "plan", "--parts", "2"];
    place.run(parts).assert_failed(2, "Give SEALED, and a TARGET");
    place.run([&parts[..], &["sealed.cfd"]].concat()).assert_failed(2, "Give SEALED, and a TARGET");
    place.run(["restore", "--key-file", "stream.key"]).assert_failed(2, "<SEALED>");
    assert_eq!(place.names(), ["plain", "sealed.cfd", "stream.key"]);
}
