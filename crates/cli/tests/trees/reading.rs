//! `ls`, `cat PATH` and `verify` of a sealed tree: by name, from a file or a server, with damage, and by other commands.
//! How little is read is the library's to test.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;

use servers::Nginx;
use servers::installed::is_skipped;

use crate::fixture::list;
use crate::place::Place;
use crate::{open, records, seal, with_sealed_tree, with_tree, write};

#[test]
fn all_is_listed_in_path_order_and_below_a_path_what_is_there() {
    let place = with_sealed_tree();
    let all = open(&place, "ls", &["--json"]);
    all.assert_done();
    let listing = list(&place.path("tree"));
    let entries = records(&all.stdout, "entry");
    assert_eq!(entries.len(), listing.len());
    for entry in &entries {
        let path = bytes_of(&entry["path"]);
        let found = &listing[if path == b"." { b"".as_slice() } else { &path }];
        assert_eq!(entry["mode"], format!("{:04o}", found.kind_and_mode & 0o7777), "{entry}");
        let owner = (u64::from(found.owner.0), u64::from(found.owner.1));
        assert_eq!((entry["uid"].as_u64().unwrap(), entry["gid"].as_u64().unwrap()), owner);
        if entry["type"] == "file" {
            assert_eq!(entry["size"], found.size);
            assert_eq!(
                (entry["modified_seconds"].as_i64().unwrap(), entry["modified_nanos"].as_i64().unwrap()),
                found.modified
            );
        }
    }
    let below = open(&place, "ls", &["a/b/c"]);
    assert_eq!(below.text(), "a/b/c\na/b/c/hard\na/b/c/script\n");
    for same in ["./a/b/c/", "/a/b/c"] {
        assert_eq!(open(&place, "ls", &[same]).stdout, below.stdout);
    }
    assert_eq!(open(&place, "ls", &["a.txt"]).text(), "a.txt\n");
    assert_eq!(open(&place, "ls", &["."]).text().lines().count(), listing.len());
    open(&place, "ls", &["a/b/nothing"]).assert_failed(2, "nothing at a/b/nothing");
    open(&place, "ls", &["../a"]).assert_failed(2, "..");
}

/// A name as JSON has it.
fn bytes_of(name: &serde_json::Value) -> Vec<u8> {
    match name["hex"].as_str() {
        Some(hex) => {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        }
        None => name.as_str().unwrap().as_bytes().to_vec(),
    }
}

#[test]
fn long_lines_say_what_ls_says_and_names_do_not_steer_the_terminal() {
    let place = with_tree();
    fs::write(place.path("tree").join("e\x1b]0;title\x07"), "").unwrap();
    seal(&place, &[]).assert_done();
    let long = open(&place, "ls", &["-l"]);
    let text = long.text();
    assert!(!text.contains('\x1b') && text.contains("e\\u{1b}]0;title\\u{7}"), "{text}");
    let line = |end: &str| {
        text.lines().find(|line| line.ends_with(end)).unwrap_or_else(|| panic!("{end}: {text}")).to_owned()
    };
    assert!(line(" a/link -> b").starts_with("lrwxrwxrwx"));
    assert!(line(" link to 0-before-its-target").starts_with("h"));
    assert!(line(" a-b").starts_with("drwxrwxrwt"));
    // Half a second before 1969-12-31 23:59:59.
    assert!(line(" a.txt").starts_with("-rw-------") && line(" a.txt").contains(" -2 "));
    assert!(line(" a/b/1").contains(" 2023-11-14T22:13:20Z ") && line(" a/b/1").starts_with("-rws--x--x"));
    assert!(text.contains("z.d/\\xff\\xfe not text\\n"));
    let json = open(&place, "ls", &["--json", "z.d"]);
    let names: Vec<_> = records(&json.stdout, "entry").iter().map(|entry| bytes_of(&entry["path"])).collect();
    assert!(names.contains(&b"z.d/\xff\xfe not text\n".to_vec()), "{names:?}");
}

/// JSON goes to terminals, too.
#[test]
fn no_name_in_json_steers_a_terminal_and_each_is_told_exactly() {
    let place = with_tree();
    let name = "c1\u{9b}31m del\u{7f} turned\u{202e}txt";
    fs::write(place.path("tree").join(name), "").unwrap();
    seal(&place, &[]).assert_done();
    let listed = open(&place, "ls", &["--json", name]);
    assert_eq!(records(&listed.stdout, "entry")[0]["path"], name);
    fs::remove_file(place.path("tree").join(name)).unwrap();
    let compared = open(&place, "diff", &["--json", "tree"]);
    assert!(records(&compared.stdout, "difference").iter().any(|record| record["path"] == name));
    for told in [listed.stdout, compared.stdout] {
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains(r"c1\u009b31m del\u007f turned\u202etxt"), "{told}");
        assert!(told.chars().all(|it| it == '\n' || !it.is_control() && it != '\u{202e}'), "{told}");
    }
}

#[test]
fn each_file_is_printed_by_its_path_and_nothing_else_is() {
    let place = with_sealed_tree();
    let mut printed = 0;
    for (path, found) in list(&place.path("tree")) {
        let command = ["cat", "-i", "key.txt", "tree.cfd"].map(OsStr::new);
        let ran = place.run(command.into_iter().chain([OsStr::from_bytes(if path.is_empty() {
            b"."
        } else {
            &path
        })]));
        if found.kind_and_mode & 0o170_000 == 0o100_000 {
            ran.assert_done();
            assert!(ran.stdout == found.contents, "{}", path.escape_ascii());
            printed += 1;
        } else {
            ran.assert_failed(2, "is no file but a");
            assert!(ran.stdout.is_empty());
        }
    }
    assert!(printed > 10);
    let told = open(&place, "cat", &["--json", "a/b/4"]);
    let record = &records(told.stderr.as_bytes(), "read")[0];
    assert_eq!(
        (&record["path"], record["end"].as_u64().unwrap() - record["begin"].as_u64().unwrap()),
        (&"a/b/4".into(), 513)
    );
    open(&place, "cat", &["nothing"]).assert_failed(2, "nothing at nothing");
    open(&place, "cat", &["a.txt", "--range", "..1"]).assert_failed(2, "--range");
}

#[test]
fn what_is_no_tree_is_said_to_be_none() {
    let place = Place::with_sealed(2);
    for command in [
        &["ls", "-i", "key.txt", "sealed.cfd"][..],
        &["cat", "-i", "key.txt", "sealed.cfd", "x"],
        &["diff", "-i", "key.txt", "sealed.cfd", "."],
    ] {
        place.run(command).assert_failed(2, "no tree");
    }
    place.run_fed(["ls", "-i", "key.txt", "-"], place.read("sealed.cfd")).assert_failed(2, "offsets");
}

#[test]
fn damage_fails_what_needs_it_and_nothing_else() {
    let place = with_tree();
    seal(&place, &["--no-zstd"]).assert_done();
    // In the middle of the longest file, which `a/b/7` is.
    let range = &records(open(&place, "cat", &["--json", "a/b/7"]).stderr.as_bytes(), "read")[0];
    let middle = (range["begin"].as_u64().unwrap() + range["end"].as_u64().unwrap()) / 2;
    let inspected = place.run(["inspect", "--json", "--segments", "tree.cfd"]);
    let segments = records(&inspected.stdout, "segment");
    let number = |record: &serde_json::Value, field: &str| record[field].as_u64().unwrap();
    let hit = segments.iter().rev().find(|segment| number(segment, "plaintext_offset") <= middle).unwrap();
    let mut sealed = place.read("tree.cfd");
    sealed[(number(hit, "position") + number(hit, "wire_len") / 2) as usize] ^= 1;
    write(&place, "tree.cfd", &sealed);
    open(&place, "ls", &[]).assert_done();
    assert_eq!(open(&place, "cat", &["a.txt"]).stdout, b"beside a/\n");
    open(&place, "cat", &["a/b/7"]).assert_failed(3, "");
    open(&place, "cat", &["--tar"]).assert_failed(3, "");
    open(&place, "diff", &["tree"]).assert_failed(3, "");
    open(&place, "verify", &[]).assert_failed(3, "");
}

#[test]
fn verify_compares_the_catalog_and_convert_and_rewrap_keep_the_tree() {
    let place = with_sealed_tree();
    let members = open(&place, "ls", &[]).text().lines().count();
    let verified = open(&place, "verify", &[]);
    assert!(verified.text().contains(&format!("a tree of {members} members")), "{}", verified.text());
    let record = &records(&open(&place, "verify", &["--json"]).stdout, "verified")[0];
    assert_eq!(record["tree"]["hard_links"], 2);
    // From a pipe it is not read twice, and without a key it is bytes.
    let piped = place.run_fed(["verify", "--json", "-i", "key.txt", "-"], place.read("tree.cfd"));
    assert_eq!(records(&piped.stdout, "verified")[0]["tree"], serde_json::Value::Null);
    place.run(["verify", "tree.cfd"]).assert_done();
    place.run(["inspect", "tree.cfd"]).assert_done();
    let listed = open(&place, "ls", &["--json"]).stdout;
    place.run(["convert", "-i", "key.txt", "-r", &place.recipient, "tree.cfd", "again.cfd"]).assert_done();
    assert!(place.run(["ls", "--json", "-i", "key.txt", "again.cfd"]).stdout == listed);
    place.run(["keygen", "-o", "other.txt"]).assert_done();
    let other = place.run(["keygen", "-o", "third.txt"]);
    place.run(["rewrap", "-i", "key.txt", "--add", "-r", other.text().trim(), "tree.cfd"]);
    assert!(open(&place, "ls", &["--json"]).stdout == listed);
}

#[test]
fn a_tree_on_a_server_is_read_as_one_in_a_file() {
    if is_skipped() {
        return;
    }
    let place = with_sealed_tree();
    let server = Nginx::start(place.directory.path()).unwrap();
    let url = server.url("tree.cfd");
    for more in [&["ls", "-l"][..], &["ls", "--json", "a"]] {
        let of_url = place.run([&more[..1], &["-i", "key.txt", &url], &more[1..]].concat());
        of_url.assert_done();
        assert!(
            of_url.stdout
                == place.run([&more[..1], &["-i", "key.txt", "tree.cfd"], &more[1..]].concat()).stdout
        );
    }
    assert_eq!(place.run(["cat", "-i", "key.txt", &url, "a.txt"]).stdout, b"beside a/\n");
    assert!(
        place.run(["cat", "-i", "key.txt", "--tar", &url]).stdout == open(&place, "cat", &["--tar"]).stdout
    );
    place.run(["diff", "-i", "key.txt", &url, "tree"]).assert_done();
}
