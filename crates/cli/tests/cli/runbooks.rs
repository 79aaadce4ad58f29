//! docs/RUNBOOKS.md, typed word by word in an empty system: the program, its libraries, bash, the coreutils and sqlite3.
//! What a block should show is the `text` block after it, in which `…` stands for anything on its line; without one, nothing is shown.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use tempfile::TempDir;

use crate::drilling::copy_program;
use crate::place::{Ran, wait_until};
use crate::programs::{has, skipped};

/// Commands of the page, and what they should show.
#[derive(Debug)]
pub(crate) struct Block {
    line: usize,
    pub(crate) commands: String,
    shown: String,
}

/// A system of its own.
pub(crate) struct Root {
    directory: TempDir,
    entry: Entry,
}

/// How that becomes the root of a process, as far as this machine permits.
#[derive(Clone, Copy)]
enum Entry {
    AsRoot,
    /// As the root of a user namespace.
    Mapped,
}

#[test]
fn every_command_of_the_page_does_what_the_page_says() {
    let Some(root) = Root::new() else { return };
    let page = page();
    let blocks = blocks(&page);
    assert!(blocks.len() > 20, "{}", blocks.len());
    blocks.iter().for_each(|block| root.type_block(block));
    // What the timers start.
    for (unit, commands) in root.units() {
        let ran = root.run(&commands);
        assert_eq!(ran.code, 0, "{unit}: {commands}\n{}", ran.text());
    }
}

#[test]
fn the_page_has_a_section_for_each_situation_that_says_when_and_what_if_not() {
    let page = page();
    let sections: Vec<&str> = page.split("\n## ").skip(1).collect();
    let names: Vec<&str> = sections.iter().filter_map(|section| section.lines().next()).collect();
    let expected =
        ["1. Backup", "2. Drill", "3. Key rotation", "4. Lost key", "5. Damaged archive", "6. New machine"];
    assert_eq!(names, expected);
    for section in sections {
        for part in ["**When:**", "```sh\n", "```text\n", "**If not:**"] {
            assert!(section.contains(part), "{part} in {section:.20}");
        }
    }
}

#[test]
fn what_stands_for_anything_stands_for_a_part_of_its_line() {
    for (expected, shown, is_same) in [
        ("a … c\n", "a b c\n", true),
        ("a … c\n", "a  c\n", true),
        ("a … c\n", "a b\nc\n", false),
        ("a …\n", "a b c\n", true),
        ("…-…-x\n", "1-2-3-x\n", true),
        ("a … c\n", "a b c d\n", false),
        ("a\n", "a\nb\n", false),
        ("a\nb\n", "a\n", false),
        ("", "", true),
    ] {
        assert_eq!(compare(expected, shown).is_ok(), is_same, "{expected:?} {shown:?}");
    }
}

/// Backups are named after the second, and a reader is slower than this.
fn wait_for_a_new_second(commands: &str) {
    let now = || UNIX_EPOCH.elapsed().unwrap().as_secs();
    let before = now();
    if commands.contains("backup.sh") {
        wait_until("the next second", || now() > before);
    }
}

pub(crate) fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/RUNBOOKS.md")).unwrap()
}

/// The blocks of a section, by how its heading begins, that are typed here.
pub(crate) fn section(heading: &str) -> Vec<Block> {
    let page = page();
    let found = page.split("\n## ").find(|section| section.starts_with(heading));
    blocks(found.unwrap_or_else(|| panic!("no section {heading}")))
}

/// The blocks that are typed here, in order. One of `sh` alone is; `sh not run here` is not.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // Of the block that ended last, if nothing but empty lines has followed.
    let mut was_typed = false;
    let mut lines = page.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            was_typed &= line.is_empty();
            continue;
        };
        let body: String =
            lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").fold(String::new(), join);
        match kind {
            "sh" => blocks.push(Block { line: at + 1, commands: body, shown: String::new() }),
            "text" if was_typed => blocks.last_mut().unwrap().shown = body,
            "text" | "sh not run here" => {}
            _ => panic!("line {}: a block of {kind:?}", at + 1),
        }
        was_typed = kind == "sh";
    }
    blocks
}

fn join(text: String, line: &str) -> String {
    text + line + "\n"
}

/// Whether each line is as it should be.
fn compare(expected: &str, shown: &str) -> Result<(), String> {
    let (expected, shown): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), shown.lines().collect());
    for (index, line) in expected.iter().enumerate() {
        let Some(found) = shown.get(index) else { return Err(format!("missing: {line}")) };
        if !fits(line, found) {
            return Err(format!("expected: {line}\nfound:    {found}"));
        }
    }
    shown.get(expected.len()).map_or(Ok(()), |line| Err(format!("not on the page: {line}")))
}

fn fits(pattern: &str, line: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('…') else { return pattern == line };
    let Some(after) = line.strip_prefix(head) else { return false };
    after.char_indices().any(|(at, _)| fits(rest, &after[at..])) || fits(rest, "")
}

impl Root {
    /// With the directories that every system has, and with what these commands call.
    pub(crate) fn new() -> Option<Root> {
        if !has("sqlite3") {
            return None;
        }
        let mut root = Root { directory: tempfile::tempdir().unwrap(), entry: Entry::AsRoot };
        root.fill();
        for entry in [Entry::AsRoot, Entry::Mapped] {
            root.entry = entry;
            if root.run("true").code == 0 {
                return Some(root);
            }
        }
        skipped("this needs to change its root directory");
        None
    }

    fn fill(&self) {
        for directory in [
            "bin",
            "dev",
            "etc/systemd/system",
            "mnt",
            "proc",
            "srv",
            "tmp",
            "usr/local/bin",
            "var/lib",
            "var/tmp",
        ] {
            fs::create_dir_all(self.path(directory)).unwrap();
        }
        fs::set_permissions(self.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(self.path("dev/null"), "").unwrap();
        let mut libraries = BTreeSet::new();
        let mut programs =
            vec![(PathBuf::from(env!("CARGO_BIN_EXE_cofferdam")), "usr/local/bin/cofferdam".to_owned())];
        let names = PROGRAMS.iter().chain(is_there("dash").then_some(&"dash"));
        programs.extend(names.map(|name| (found(name), format!("bin/{name}"))));
        for (program, to) in &programs {
            copy_program(program, &self.path(to));
            libraries.extend(libraries_of(program));
        }
        // Where this system has it: it runs no EXIT trap after a signal, as bash does.
        let shell = if self.path("bin/dash").exists() { "dash" } else { "bash" };
        symlink(shell, self.path("bin/sh")).unwrap();
        for library in libraries {
            let to = self.path(library.strip_prefix("/").unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            // One of them starts the programs.
            copy_program(&library, &to);
        }
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Types a block of the page, which does and shows what the page says.
    pub(crate) fn type_block(&self, block: &Block) {
        let ran = self.run(&block.commands);
        let said = ran.text();
        assert_eq!(ran.code, 0, "line {}: {}\n{said}", block.line, block.commands);
        if let Err(difference) = compare(&block.shown, said) {
            panic!("line {}: {}\n{difference}\n--- it shows\n{said}", block.line, block.commands);
        }
    }

    /// Types `commands` there. What is shown on either stream is in `stdout`.
    pub(crate) fn run(&self, commands: &str) -> Ran {
        wait_for_a_new_second(commands);
        let enter = "set -e; mount --bind /dev/null \"$0/dev/null\"; mount -t proc proc \"$0/proc\"; \
                     exec chroot \"$0\" /bin/bash -ec \"$1\" 2>&1";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child"]);
        if let Entry::Mapped = self.entry {
            command.arg("--map-root-user");
        }
        command.args(["sh", "-c", enter]).arg(self.directory.path()).arg(format!("cd /\n{commands}"));
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LC_ALL", "C").env("HOME", "/").stdin(Stdio::null());
        command
            .output()
            .map_or_else(|_| Ran { code: 127, stdout: Vec::new(), stderr: String::new() }, Ran::of)
    }

    /// The services that the page makes, each as a line of shell: its credentials are those of the page's directory of keys.
    fn units(&self) -> Vec<(String, String)> {
        let files = fs::read_dir(self.path("etc/systemd/system")).unwrap().flatten();
        let mut units = Vec::new();
        for file in files.filter(|file| file.path().extension().is_some_and(|kind| kind == "service")) {
            let text = fs::read_to_string(file.path()).unwrap();
            let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
            let command = value("ExecStart=").unwrap();
            let mut line = command.to_owned();
            if let Some(credential) = value("LoadCredentialEncrypted=") {
                let (name, _) = credential.split_once(':').unwrap();
                line = format!(
                    "mkdir -p /tmp/credentials; cp /etc/cofferdam/keys/{name} /tmp/credentials/; \
                     CREDENTIALS_DIRECTORY=/tmp/credentials {line}"
                );
            }
            units.push((file.file_name().into_string().unwrap(), line));
        }
        assert_eq!(units.len(), 3, "{units:?}");
        units
    }
}

fn is_there(name: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).any(|folder| folder.join(name).is_file())
}

/// Where a program is.
fn found(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no {name} on the search path"))
}

/// What `ldd` says that a program needs, the loader included.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let listed = Command::new("ldd").arg(program).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let paths = listed.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(|path| PathBuf::from(path.trim_end_matches(':'))).filter(|path| path.is_file()).collect()
}

/// Beside the program itself.
const PROGRAMS: [&str; 20] = [
    "bash", "cat", "chmod", "chown", "cp", "date", "dd", "find", "head", "ls", "mkdir", "mv", "readlink",
    "rm", "sqlite3", "tail", "tr", "true", "ln", "wc",
];
