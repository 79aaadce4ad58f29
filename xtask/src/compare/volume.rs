//! Owns where programs are compared: the plaintext, the keys, a folder for each of them, and their runs in turn.
//! Knows no table and judges nothing.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::{Effort, Variant, WarmUp, interleaved};

use super::contestant::{COFFERDAM, Contestant, Direction, RECIPIENT};
use super::input::Input;
use super::place::{Place, room_of};
use super::scratch::Scratch;
use super::timed::Usage;

/// A folder with a plaintext in it, and who can open what is sealed there.
pub(crate) struct Volume {
    keys: Keys,
    content: Content,
    scratch: Scratch,
}

/// What the plaintext is.
enum Content {
    File(Input),
    /// A directory.
    Tree,
}

impl Volume {
    /// Writes a plaintext of `size` bytes in `place`. The program at `cofferdam` makes a key. Up to `files` as long lie there
    /// at once.
    ///
    /// # Errors
    /// Too little room; no key.
    pub(crate) fn new(place: &Place, cofferdam: &Path, size: u64, files: u64) -> Result<Volume, String> {
        place.check_room(files * room_of(size) + ROOM_BASE)?;
        let scratch = Scratch::new(&place.directory)?;
        let (keys, input) = (Keys::new(cofferdam, scratch.path())?, Input::new(size)?);
        input.write(&scratch.path().join(PLAIN))?;
        Ok(Volume { keys, content: Content::File(input), scratch })
    }

    /// With a directory in place of a file, which `make` makes; it has `size` bytes, about.
    ///
    /// # Errors
    /// As [`Volume::new`], and those of `make`.
    pub(crate) fn of_tree(
        place: &Place,
        cofferdam: &Path,
        size: u64,
        make: &dyn Fn(&Path) -> Result<(), String>,
    ) -> Result<Volume, String> {
        place.check_room(TREES * room_of(size) + ROOM_BASE)?;
        let scratch = Scratch::new(&place.directory)?;
        let keys = Keys::new(cofferdam, scratch.path())?;
        make(&scratch.path().join(PLAIN))?;
        Ok(Volume { keys, content: Content::Tree, scratch })
    }

    /// A folder for `contestant`, by a `name` that no other has, with the plaintext in it. `program` is what it calls
    /// `{cofferdam}`.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn fixture<'a>(
        &'a self,
        name: &str,
        contestant: &'static Contestant,
        program: &'a Path,
    ) -> Result<Fixture<'a>, String> {
        let folder = self.scratch.path().join(name);
        let (home, plain) = (folder.join("home"), self.scratch.path().join(PLAIN));
        let make = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&home)?;
            fs::write(folder.join(KEY_FILE), &self.keys.identity)?;
            fs::write(folder.join("password"), "password\n")?;
            match self.content {
                Content::File(_) => fs::hard_link(&plain, folder.join(PLAIN)),
                Content::Tree => Ok(()),
            }
        };
        make().map_err(|error| format!("cannot prepare {}: {error}", folder.display()))?;
        let environment = environment(&home, contestant.environment);
        let lent = matches!(self.content, Content::Tree).then_some(plain);
        Ok(Fixture { contestant, program, keys: &self.keys, folder, lent, environment })
    }

    /// # Errors
    /// What the last restore of `fixture` left is not the plaintext.
    pub(crate) fn check(&self, fixture: &Fixture<'_>) -> Result<(), String> {
        let wrong = |what| format!("{} does not restore what it sealed: {what}", fixture.contestant.name);
        let restored = fixture.folder.join(RESTORED).join(PLAIN);
        match &self.content {
            Content::File(input) => input.check(&restored).map_err(wrong),
            Content::Tree => check_tree(&self.scratch.path().join(PLAIN), &restored).map_err(wrong),
        }
    }
}

/// The samples of each of `fixtures`, which take turns. A sample is a block: a run to warm up, since a run depends on what the
/// program before it has left of the machine's memory, and the median of `runs`.
///
/// # Errors
/// A program that fails.
pub(crate) fn in_turn(
    fixtures: &[&Fixture<'_>],
    direction: Direction,
    effort: Effort,
    runs: usize,
) -> Result<Vec<Vec<Usage>>, String> {
    let mut variants: Vec<_> = fixtures.iter().map(|fixture| block(fixture, direction, runs)).collect();
    interleaved(&mut variants, Effort { warm_up: WarmUp::None, ..effort })
}

fn block<'a>(fixture: &'a Fixture<'a>, direction: Direction, runs: usize) -> Variant<'a, Usage, String> {
    Box::new(move || {
        fixture.run(direction)?;
        let mut samples = (0..runs).map(|_| fixture.run(direction)).collect::<Result<Vec<_>, _>>()?;
        fixture.forget_restored()?;
        samples.sort_unstable_by_key(|sample| sample.wall);
        Ok(samples[samples.len() / 2])
    })
}

/// The wall times of samples.
pub(crate) fn walls(samples: &[Usage]) -> Vec<Duration> {
    samples.iter().map(|sample| sample.wall).collect()
}

/// Who can open what is sealed: an age identity, which our program's key files are.
pub(crate) struct Keys {
    identity: String,
    recipient: String,
}

impl Keys {
    /// Has the program at `cofferdam` make a key file in `folder`.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn new(cofferdam: &Path, folder: &Path) -> Result<Keys, String> {
        let file = folder.join(KEY_FILE);
        let made = Command::new(cofferdam).arg("keygen").arg("-o").arg(&file).output();
        let made = made.map_err(|error| format!("cannot start {}: {error}", cofferdam.display()))?;
        let identity = fs::read_to_string(&file)
            .map_err(|_| format!("keygen made no key: {}", String::from_utf8_lossy(&made.stderr)))?;
        let recipient = identity.lines().find_map(|line| line.strip_prefix(RECIPIENT_MARK));
        let recipient = recipient.ok_or("keygen wrote no recipient into its key file")?.to_owned();
        Ok(Keys { identity, recipient })
    }

    /// The words of a command, filled in. What stands between single quotes is one word, blanks and all.
    pub(crate) fn fill(&self, command: &str, program: &Path) -> Vec<String> {
        let fill = |word| match word {
            COFFERDAM => program.to_string_lossy().into_owned(),
            RECIPIENT => self.recipient.clone(),
            word => word.to_owned(),
        };
        let mut words = Vec::new();
        for (index, part) in command.split('\'').enumerate() {
            match index % 2 {
                0 => words.extend(part.split_whitespace().map(fill)),
                _ => words.push(part.replace(RECIPIENT, &self.recipient)),
            }
        }
        words
    }
}

/// The folder of one contestant.
pub(crate) struct Fixture<'a> {
    pub(crate) contestant: &'static Contestant,
    program: &'a Path,
    keys: &'a Keys,
    folder: PathBuf,
    /// A directory of which there is one for all: it lies in the folder while it is sealed.
    lent: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

impl Fixture<'_> {
    /// Seals or restores once. What an earlier run of the same direction made is removed before.
    ///
    /// # Errors
    /// The contestant fails.
    pub(crate) fn run(&self, direction: Direction) -> Result<Usage, String> {
        let command = self.keys.fill(self.contestant.command(direction), self.program);
        match direction {
            Direction::Seal => {
                remove(&self.folder.join(SEALED))?;
                if !self.contestant.prepare.is_empty() {
                    let prepare = self.keys.fill(self.contestant.prepare, self.program);
                    Usage::of(&prepare, &self.folder, &self.environment)?;
                }
                settle(&self.folder)?;
                self.lend(|| Usage::of(&command, &self.folder, &self.environment))
            }
            Direction::Restore => {
                self.forget_restored()?;
                let restored = self.folder.join(RESTORED);
                fs::create_dir(&restored)
                    .map_err(|error| format!("cannot create {}: {error}", restored.display()))?;
                settle(&self.folder)?;
                Usage::of(&command, &restored, &self.environment)
            }
        }
    }

    fn lend(&self, run: impl FnOnce() -> Result<Usage, String>) -> Result<Usage, String> {
        let Some(plain) = &self.lent else { return run() };
        let here = self.folder.join(PLAIN);
        let failed = |error| format!("cannot move {}: {error}", plain.display());
        fs::rename(plain, &here).map_err(failed)?;
        let usage = run();
        fs::rename(&here, plain).map_err(failed)?;
        usage
    }

    /// The bytes that the sealed form has, all its files together.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn sealed_len(&self) -> Result<u64, String> {
        let sealed = self.folder.join(SEALED);
        len(&sealed).map_err(|error| format!("cannot measure {}: {error}", sealed.display()))
    }

    fn forget_restored(&self) -> Result<(), String> {
        remove(&self.folder.join(RESTORED))
    }

    /// Removes all that the contestant made.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub(crate) fn clear(self) -> Result<(), String> {
        remove(&self.folder)
    }
}

/// Home, temporary files, the search path and what the contestant wants: nothing that this machine's user has set.
pub(crate) fn environment(home: &Path, own: &[(&str, &str)]) -> Vec<(String, String)> {
    let home = home.to_string_lossy().into_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let common = [("HOME", &*home), ("TMPDIR", &*home), ("PATH", &*path), ("LC_ALL", "C.UTF-8")];
    common.iter().chain(own).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Has the file system of `folder` write what it has not yet written, or it would still be busy with what ran before.
fn settle(folder: &Path) -> Result<(), String> {
    match Command::new("sync").arg("-f").arg(folder).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("sync -f {} ended with {status}", folder.display())),
        Err(error) => Err(format!("cannot start sync: {error}")),
    }
}

/// Removes a file, or a folder with all that is in it; what is not there is gone already.
pub(crate) fn remove(path: &Path) -> Result<(), String> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Whether two directories have the same in them, rights, owners and times too.
fn check_tree(plain: &Path, restored: &Path) -> Result<(), String> {
    let slash = |path: &Path| format!("{}/", path.display());
    let mut rsync = Command::new("rsync");
    rsync.args(["-aHn", "--checksum", "--delete", "--itemize-changes", &slash(plain), &slash(restored)]);
    let output = rsync.output().map_err(|error| format!("cannot start rsync, which compares: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    match said.is_empty() {
        true => Ok(()),
        false => Err(format!("it differs: {}", String::from_utf8_lossy(&said[..said.len().min(1_000)]))),
    }
}

fn len(path: &Path) -> io::Result<u64> {
    if !path.is_dir() {
        return Ok(path.metadata()?.len());
    }
    fs::read_dir(path)?.map(|entry| len(&entry?.path())).sum()
}

/// What stands before the recipient in a key file.
const RECIPIENT_MARK: &str = "# public key: ";
/// What the contestants take whatever the size: caches, indexes, temporary files.
const ROOM_BASE: u64 = 128 << 20;
/// A tree, the sealed forms of all contestants, one of them restored.
const TREES: u64 = 10;

// The names that the contestants' commands use.
const PLAIN: &str = "plain";
const SEALED: &str = "sealed";
const RESTORED: &str = "restored";
pub(crate) const KEY_FILE: &str = "key.txt";
