//! `seal DIR`: what becomes of a directory, what is left out, and what is refused.
//! How the sealing resumes is told apart.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Command;

use crate::fixture::{difference, list};
use crate::injected::injected_at;
use crate::place::{Place, Ran, SMALL, plaintext};
use crate::programs::has;
use crate::vanishing::seal_while;
use crate::{extract, open, records, seal, with_sealed_tree, with_tree, write};

#[test]
fn a_directory_becomes_an_archive_that_tar_extracts_to_the_same_directory() {
    let place = with_tree();
    let sealed = seal(&place, &["--json", "--sequence", "7", "--metadata", "host=db1"]);
    sealed.assert_done();
    let record = &records(&sealed.stdout, "sealed")[0];
    assert_eq!((&record["sequence"], &record["tree"]["compressed"]), (&7.into(), &true.into()));
    let listing = list(&place.path("tree"));
    let is_kind = |mode: u32, kind: u32| mode & 0o170_000 == kind;
    let files = listing.values().filter(|found| is_kind(found.kind_and_mode, 0o100_000)).count();
    let directories = listing.values().filter(|found| is_kind(found.kind_and_mode, 0o040_000)).count();
    let tree = &record["tree"];
    let number = |field: &str| tree[field].as_u64().unwrap() as usize;
    assert_eq!(number("files") + number("hard_links"), files);
    assert_eq!(
        (number("directories"), number("hard_links"), number("symlinks"), number("others")),
        (directories, 2, 3, 1)
    );
    // Nothing is left: the plan names files in clear.
    assert_eq!(place.names(), ["key.txt", "tree", "tree.cfd"]);
    assert_eq!(place.state_names(), [""; 0]);
    extract(&place, "extracted");
    assert_eq!(difference(&listing, &list(&place.path("extracted"))), None);
}

#[test]
fn the_archive_is_the_same_from_a_pipe_to_a_pipe_and_by_restore() {
    let place = with_sealed_tree();
    let archive = open(&place, "cat", &["--tar"]);
    archive.assert_done();
    assert!(archive.stdout.len().is_multiple_of(512) && archive.stdout.ends_with(&[0; 1024]));
    let sealed = place.read("tree.cfd");
    for command in [
        &["cat", "-i", "key.txt", "--tar", "-"][..],
        &["cat", "-i", "key.txt", "-"],
        &["restore", "-i", "key.txt", "-", "-"],
    ] {
        let ran = place.run_fed(command, sealed.clone());
        ran.assert_done();
        assert!(ran.stdout == archive.stdout, "{command:?}");
    }
    assert!(open(&place, "restore", &["-"]).stdout == archive.stdout);
    let ranged = open(&place, "cat", &["--range", "..1MiB"]);
    assert!(ranged.stdout == archive.stdout[..1 << 20]);
    // Bytes are no tree, whatever they are.
    write(&place, "archive", &archive.stdout);
    place.seal("archive", "bytes.cfd").assert_done();
    place.run(["cat", "-i", "key.txt", "--tar", "bytes.cfd"]).assert_failed(2, "no tree");
    assert!(place.run(["cat", "-i", "key.txt", "bytes.cfd"]).stdout == archive.stdout);
}

#[test]
fn a_tree_goes_to_standard_output_and_leaves_nothing() {
    let place = with_tree();
    let ran = place.run(["seal", "-r", &place.recipient, "tree", "-o", "-", "--no-zstd"]);
    ran.assert_done();
    write(&place, "tree.cfd", &ran.stdout);
    assert_eq!(place.state_names(), [""; 0]);
    extract(&place, "extracted");
    assert_eq!(difference(&list(&place.path("tree")), &list(&place.path("extracted"))), None);
    let compression = |file: &str| {
        records(&place.run(["inspect", "--json", file]).stdout, "stream")[0]["compression"].clone()
    };
    assert_eq!(compression("tree.cfd"), "none");
    seal(&place, &["--force"]).assert_done();
    assert_eq!(compression("tree.cfd"), "zstd");
}

#[test]
fn the_output_has_the_name_of_the_directory_and_lies_beside_it() {
    let place = with_tree();
    place.run(["seal", "-r", &place.recipient, "tree/"]).assert_done();
    assert_eq!(place.names(), ["key.txt", "tree", "tree.cfd"]);
    for directory in [".", "tree/..", "/"] {
        place.run(["seal", "-r", &place.recipient, directory, "--json"]).assert_failed(2, "-o");
    }
}

/// The paths that a sealing with these options takes, joined by spaces.
fn taken(place: &Place, options: &[&str]) -> String {
    seal(place, &[options, &["--force"]].concat()).assert_done();
    open(place, "ls", &[]).text().lines().collect::<Vec<_>>().join(" ")
}

#[test]
fn globs_choose_files_and_are_told() {
    let place = Place::new();
    for name in ["tree/a/x.log", "tree/a/b/y", "tree/tmp/z", "tree/x.log"] {
        fs::create_dir_all(place.path(name).parent().unwrap()).unwrap();
        write(&place, name, b"");
    }
    assert_eq!(taken(&place, &[]), ". a a/b a/b/y a/x.log tmp tmp/z x.log");
    assert_eq!(taken(&place, &["--exclude", "*.log"]), ". a a/b a/b/y tmp tmp/z");
    assert_eq!(taken(&place, &["--exclude", "/x.log", "--exclude", "tmp/"]), ". a a/b a/b/y a/x.log");
    assert_eq!(taken(&place, &["--include", "*.log", "--exclude", "/tmp"]), ". a a/b a/x.log x.log");
    let told = seal(&place, &["--force", "--json", "--exclude", "*.log"]);
    assert_eq!(records(&told.stdout, "sealed")[0]["tree"]["left_out"]["by_globs"], 2);
    assert!(seal(&place, &["--force", "--exclude", "*.log"]).text().contains("left out: 2 paths by globs"));
    seal(&place, &["--force", "--exclude", "["]).assert_failed(2, "glob");
    for option in
        [&["--exclude", "x"][..], &["--include", "x"], &["--strict"], &["--all-file-systems"], &["--no-zstd"]]
    {
        let command = ["seal", "-r", &place.recipient, "key.txt", "-o", "k.cfd"];
        place.run([&command[..], option].concat()).assert_failed(2, "is for directories");
    }
}

#[test]
fn an_output_within_the_directory_is_refused_unless_it_is_left_out() {
    let place = with_tree();
    let seal_into = |output: &str, more: &[&str]| {
        place.run([&["seal", "-r", &place.recipient, "tree", "-o", output], more].concat())
    };
    seal_into("tree/a/out.cfd", &[]).assert_failed(2, "lies in the directory");
    seal_into("tree/a/out.cfd", &["--resume"]).assert_failed(2, "lies in the directory");
    place
        .run(["seal", "-r", &place.recipient, ".", "-o", "out.cfd"])
        .assert_failed(2, "lies in the directory");
    assert_eq!(place.names(), ["key.txt", "tree"]);
    seal_into("tree/empty/out.cfd", &["--exclude", "/empty/"]).assert_done();
    let listed = place.run(["ls", "-i", "key.txt", "tree/empty/out.cfd"]);
    assert!(!listed.text().contains("empty") && listed.text().contains("a/b/1"), "{}", listed.text());
}

#[test]
fn what_this_program_writes_meanwhile_is_left_out() {
    let place = with_tree();
    let ran = seal(&place, &["--json", "--state-dir", "tree/a/states"]);
    ran.assert_done();
    assert_eq!(records(&ran.stdout, "sealed")[0]["tree"]["left_out"]["state_directory"], 1);
    assert!(!open(&place, "ls", &[]).text().contains("states"));
}

#[test]
fn a_directory_is_not_the_state_directory_of_its_own_sealing() {
    let place = with_tree();
    for more in [&[][..], &["--resume"]] {
        let ran = seal(&place, &[&["--state-dir", "tree"], more].concat());
        ran.assert_failed(2, "the state directory is the directory that is sealed");
    }
    assert!(!place.path("tree.cfd").exists());
    assert!(!fs::read_dir(place.path("tree")).unwrap().any(|entry| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().contains("plan") || name.to_string_lossy().starts_with("walk-")
    }));
}

/// Seals a directory in which a file has grown since it was walked.
fn seal_growing(place: &Place, more: &[&str]) -> Ran {
    let path = place.path("tree/z.d/growing");
    fs::write(&path, b"some").unwrap();
    // Before it there is more than is read ahead.
    fs::write(place.path("tree/first"), plaintext(48 << 20)).unwrap();
    seal_while(place, "tree", more, || {
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"more").unwrap();
    })
}

#[test]
fn a_file_that_changes_is_flagged_and_named_or_refused_by_strict() {
    let place = with_tree();
    seal_growing(&place, &["--strict"]).assert_failed(12, "growing");
    assert_eq!(
        (place.names(), place.state_names()),
        (vec!["key.txt".to_owned(), "tree".to_owned()], Vec::new())
    );
    let ran = seal_growing(&place, &["--json"]);
    ran.assert_done();
    let record = &records(&ran.stdout, "sealed")[0]["tree"];
    assert_eq!((&record["changed"], &record["changed_paths"][0]), (&1.into(), &"z.d/growing".into()));
    let warning = &records(ran.stderr.as_bytes(), "warning")[0]["message"];
    assert!(
        warning.as_str().unwrap().contains("1 file changed")
            && warning.as_str().unwrap().contains("z.d/growing")
    );
    let listed = open(&place, "ls", &["--json"]);
    let changed: Vec<_> =
        records(&listed.stdout, "entry").into_iter().filter(|entry| entry["changed"] == true).collect();
    assert!(changed.len() == 1 && changed[0]["path"] == "z.d/growing", "{changed:?}");
    let printed = open(&place, "cat", &["z.d/growing"]);
    printed.assert_done();
    assert!(printed.stderr.contains("changed while it was sealed"), "{}", printed.stderr);
}

#[test]
fn what_only_files_or_pipes_can_is_refused_for_directories() {
    let place = with_tree();
    let age = ["seal", "--format", "age", "-r", &place.recipient, "tree", "-o", "tree.age"];
    place.run(age).assert_failed(2, "directory");
    seal(&place, &["--metadata", "cofferdam.content=tar+catalog/1"]).assert_failed(2, "cofferdam.");
    seal(&place, &["--zstd", "--no-zstd"]).assert_failed(2, "--no-zstd");
    let resumable = ["seal", "--resume", "-r", &place.recipient, "tree", "-o", "tree.cfd"];
    let mut command = place.command(resumable);
    command.env_remove("XDG_STATE_HOME").env_remove("HOME");
    Ran::of(command.output().unwrap()).assert_failed(2, "--state-dir");
    assert_eq!(place.names(), ["key.txt", "tree"]);
}

/// As in a container without a home, or a service without a user.
#[test]
fn a_directory_is_sealed_where_there_is_no_state_directory() {
    let place = with_tree();
    // None is said; one that cannot be made.
    for home in [None, Some("/proc/nobody")] {
        for temporary in ["/proc/nobody", "."] {
            let run = |arguments: &[&str]| {
                let mut command = place.command([&["seal", "-r", &place.recipient][..], arguments].concat());
                command.env_remove("XDG_STATE_HOME").env_remove("HOME").env("TMPDIR", temporary);
                command.envs(home.map(|home| ("HOME", home)));
                Ran::of(command.output().unwrap())
            };
            run(&["tree", "-o", "tree.cfd"]).assert_done();
            extract(&place, "extracted");
            assert_eq!(difference(&list(&place.path("tree")), &list(&place.path("extracted"))), None);
            // What was extracted.
            run(&["--tar", "archive.tar", "-o", "tar.cfd"]).assert_done();
            match temporary {
                // Nothing is beside standard output.
                "/proc/nobody" => run(&["tree", "-o", "-"]).assert_failed(2, "TMPDIR"),
                _ => run(&["tree", "-o", "-"]).assert_done(),
            }
            for made in ["tree.cfd", "tar.cfd"] {
                fs::remove_file(place.path(made)).unwrap();
            }
            fs::remove_dir_all(place.path("extracted")).unwrap();
            assert_eq!(place.names(), ["archive.tar", "key.txt", "tree"]);
        }
    }
    assert_eq!(place.state_names(), [""; 0]);
}

#[test]
fn a_glob_that_matches_nothing_is_told_and_globs_that_choose_no_file_are_refused() {
    let place = Place::new();
    for name in ["tree/a/x.log", "tree/tmp/z"] {
        fs::create_dir_all(place.path(name).parent().unwrap()).unwrap();
        write(&place, name, b"");
    }
    let told = seal(&place, &["--exclude", "tmp/", "--exclude", "*.lgo", "--exclude", "tmp/z"]);
    told.assert_done();
    assert!(told.stderr.contains("nothing is matched by --exclude *.lgo, tmp/z;"), "{}", told.stderr);
    let told = seal(&place, &["--force", "--include", "*.log", "--include", "secret", "--exclude", "tmp/"]);
    told.assert_done();
    assert!(told.stderr.contains("nothing is matched by --include secret;"), "{}", told.stderr);
    assert!(!told.stderr.contains("--exclude"), "{}", told.stderr);
    fs::remove_file(place.path("tree.cfd")).unwrap();
    for more in [&["--include", "nosuch"][..], &["--include", "*.log", "--exclude", "a", "--resume"]] {
        seal(&place, more).assert_failed(2, "no file is chosen by the globs");
        assert_eq!((place.names().len(), place.state_names().len()), (2, 0), "{:?}", place.names());
    }
}

/// Whoever copies over a file, with its time, leaves one that looks as before.
#[test]
fn with_strict_a_directory_that_was_exchanged_for_a_copy_is_the_end() {
    let place = with_tree();
    fs::create_dir(place.path("tree/z.d/inner")).unwrap();
    write(&place, "tree/z.d/inner/file", b"some");
    fs::write(place.path("tree/first"), plaintext(48 << 20)).unwrap();
    let exchange = || {
        let line = "mv tree/z.d/inner old && cp -a old tree/z.d/inner && rm -r old";
        let mut shell = Command::new("sh");
        assert!(shell.args(["-c", line]).current_dir(place.directory.path()).status().unwrap().success());
    };
    seal_while(&place, "tree", &[], exchange).assert_done();
    fs::remove_file(place.path("tree.cfd")).unwrap();
    seal_while(&place, "tree", &["--strict"], exchange).assert_failed(12, "z.d/inner/file changed");
}

/// A directory server may be away. That is not the same as that nobody has the number.
#[test]
fn files_whose_owners_the_name_services_cannot_name_are_counted_and_told() {
    if !has("strace") {
        return;
    }
    let place = with_tree();
    let state_dir = place.states.path().to_str().unwrap();
    let command =
        ["seal", "--json", "--state-dir", state_dir, "-r", &place.recipient, "tree", "-o", "tree.cfd"];
    let arguments = [&command[..], &SMALL].concat();
    // Where they are to be asked cannot be read; or is not said, and is then the list of users.
    for (fault, is_down) in [("openat:error=EIO", true), ("openat:error=ENOENT", false)] {
        let sealed = injected_at(&place, &["/etc/nsswitch.conf"], &[fault], &arguments).output().unwrap();
        let sealed = Ran::of(sealed);
        sealed.assert_done();
        let tree = &records(&sealed.stdout, "sealed")[0]["tree"];
        let number = |field: &str| tree[field].as_u64().unwrap();
        let all = number("files") + number("directories") + number("symlinks") + number("others");
        assert_eq!(tree["left_out"]["owner_names"], if is_down { all } else { 0 }, "{fault}");
        let told = format!("{all} files: sealed with the numbers of owner and group alone");
        assert_eq!(sealed.stderr.contains(&told), is_down, "{}", sealed.stderr);
        let archive = open(&place, "cat", &["--tar"]);
        write(&place, "archive.tar", &archive.stdout);
        let listed =
            Command::new("tar").args(["tvf", "archive.tar"]).current_dir(place.directory.path()).output();
        let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
        let owner = if is_down { " 0/0 " } else { " root/root " };
        assert!(listed.lines().next().unwrap().contains(owner), "{listed}");
        fs::remove_file(place.path("tree.cfd")).unwrap();
    }
}
