//! Every file that a command names, by device and inode: none is replaced that the same command reads.
//! It knows no content, and what a command does with a file only as far as read or written.

use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cofferdam::{StagedFile, descriptor_named, is_pipe};

use crate::failure::Failure;
use crate::io_arg::End;
use crate::key_file::KeyFile;
use crate::standard::Standard;

/// The files of one command.
#[derive(Default)]
pub(crate) struct NamedFiles {
    uses: Vec<Use>,
    /// What standard input was given for.
    stdin: Vec<String>,
}

struct Use {
    /// As the operator would call it.
    what: String,
    /// What it is made for, if that is another file.
    owner: Option<String>,
    purpose: Purpose,
    identity: Identity,
    /// Where it is, if it is read: what a directory would take along that is replaced.
    place: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    /// Read, and the same file may be what is replaced: it is opened before, and its bytes are taken as they are found.
    Seed,
    Written,
    /// Put in the place of another file, which stays what it is for those who have it open.
    Replaced,
    /// Changed where it is: there is no output to give another name.
    Rewritten,
}

/// What makes two names one file.
#[derive(PartialEq, Eq)]
enum Identity {
    Inode {
        device: u64,
        inode: u64,
    },
    /// Nothing is there yet: the directory, and the name in it.
    Absent {
        device: u64,
        directory: u64,
        name: OsString,
    },
}

impl NamedFiles {
    /// `end` is read: refused if that is a standard stream that cannot be.
    pub(crate) fn reads(&mut self, what: impl Into<String>, end: &End) -> Result<(), Failure> {
        let what = what.into();
        if stream_of(end, Standard::Input) == Some(Standard::Input) {
            Standard::Input.refuse_unusable()?;
            self.stdin.push(what.clone());
        }
        let metadata = match end {
            End::Standard => Standard::Input.metadata(),
            End::Path(path) => fs::metadata(path).ok(),
        };
        let place = match end {
            End::Path(path) => fs::canonicalize(path).ok(),
            End::Standard => None,
        };
        let read = |identity| Use { what, owner: None, purpose: Purpose::Read, identity, place };
        self.uses.extend(metadata.as_ref().and_then(Identity::of_file).map(read));
        Ok(())
    }

    pub(crate) fn reads_all<'a>(
        &mut self,
        files: impl IntoIterator<Item = &'a KeyFile>,
    ) -> Result<(), Failure> {
        files.into_iter().try_for_each(|file| match file.place.end() {
            Ok(end) => self.reads(format!("the file of {}", file.named_by), &end),
            // There is no such file: whoever reads it says so.
            Err(_) => Ok(()),
        })
    }

    /// `end` is written, or replaced: refused if that is a standard stream that cannot be.
    pub(crate) fn writes(&mut self, what: &str, end: &End) -> Result<(), Failure> {
        self.write_as(Purpose::Written, what, end)
    }

    fn write_as(&mut self, purpose: Purpose, what: &str, end: &End) -> Result<(), Failure> {
        if stream_of(end, Standard::Output) == Some(Standard::Output) {
            Standard::Output.refuse_unusable()?;
        }
        let identity = match end {
            End::Standard => Standard::Output.metadata().as_ref().and_then(Identity::of_file),
            End::Path(path) => Identity::of_target(path),
        };
        self.add(what.to_owned(), purpose, identity);
        Ok(())
    }

    /// `path` is a seed of what is staged for the output.
    pub(crate) fn seeds(&mut self, what: &str, path: &Path) {
        let identity = fs::metadata(path).ok().as_ref().and_then(Identity::of_file);
        self.add(what.to_owned(), Purpose::Seed, identity);
    }

    /// `path` is changed in place.
    pub(crate) fn rewrites(&mut self, what: &str, path: &Path) {
        self.add(what.to_owned(), Purpose::Rewritten, Identity::of_target(path));
    }

    /// As [`NamedFiles::writes`], of an output that is staged: what stands beside it may be written and removed as well, and a seed
    /// may be what it replaces.
    pub(crate) fn stages(&mut self, what: &str, end: &End) -> Result<(), Failure> {
        self.stage_as(Purpose::Replaced, what, end)
    }

    /// The same of a file in which the command says what it has done, which no seed may be.
    pub(crate) fn stages_report(&mut self, what: &str, path: &Path) -> Result<(), Failure> {
        self.stage_as(Purpose::Written, what, &End::Path(path.to_owned()))
    }

    fn stage_as(&mut self, purpose: Purpose, what: &str, end: &End) -> Result<(), Failure> {
        let End::Path(path) = end else { return self.writes(what, end) };
        self.write_as(purpose, what, end)?;
        // What keeps that from being looked at keeps the output from being made, and is told then.
        let Ok(beside) = StagedFile::paths_beside(path) else { return Ok(()) };
        if is_pipe(path) {
            return Ok(());
        }
        let target = Identity::of_target(path);
        let [probe, second] = beside.probes;
        let paths = [
            (beside.staging, "staging file"),
            (beside.journal, "journal"),
            (probe, "probe"),
            (second, "probe"),
        ];
        for (path, name) in paths {
            // A publish by a link that was cut off has left the target a second name.
            let identity = Identity::of_entry(&path).filter(|own| target.as_ref() != Some(own));
            let (what, owner) = (format!("the {name} of {what}"), Some(what.to_owned()));
            self.uses.extend(identity.map(|identity| Use {
                what,
                owner,
                purpose: Purpose::Written,
                identity,
                place: None,
            }));
        }
        Ok(())
    }

    /// Refuses a directory to be replaced that holds a file which is read: it would be removed with the directory.
    pub(crate) fn refuse_within(&self, directory: &Path) -> Result<(), Failure> {
        let Ok(directory) = fs::canonicalize(directory) else { return Ok(()) };
        let is_within = |used: &&Use| used.place.as_ref().is_some_and(|place| place.starts_with(&directory));
        match self.uses.iter().find(is_within) {
            None => Ok(()),
            Some(used) => Err(Failure::usage(format!(
                "{} lies in the directory that is to be replaced, and would be removed with it",
                used.what
            ))
            .advise("Move it away first, or keep the directory that is replaced (--keep-old).")),
        }
    }

    /// Notes those of `others` as well.
    pub(crate) fn append(&mut self, others: NamedFiles) {
        self.uses.extend(others.uses);
        self.stdin.extend(others.stdin);
    }

    /// Refuses a file that would be written and is named for something else too: it may be the only copy. Refuses to read
    /// standard input twice: its bytes come once.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if let [first, second, ..] = &self.stdin[..] {
            let what = format!("{first} and {second} cannot both be standard input");
            return Err(
                Failure::usage(what).advise("Give one of them as a file; /dev/fd/N names a descriptor.")
            );
        }
        self.refuse_same(|_| true)
    }

    /// The same, of the file alone that the command calls `what`, and of what stands beside it.
    pub(crate) fn check_one(&self, what: &str) -> Result<(), Failure> {
        self.refuse_same(|used| used.what == what || used.owner.as_deref() == Some(what))
    }

    /// Refuses two names of one file that is changed, where one of the two `is_meant`.
    fn refuse_same(&self, is_meant: impl Fn(&Use) -> bool) -> Result<(), Failure> {
        for (index, one) in self.uses.iter().enumerate() {
            let either_is = |other: &Use, purpose| [one.purpose, other.purpose].contains(&purpose);
            let is_changed = |other: &Use| {
                either_is(other, Purpose::Written)
                    || either_is(other, Purpose::Rewritten)
                    || either_is(other, Purpose::Replaced) && !either_is(other, Purpose::Seed)
            };
            let mut others = self.uses[index + 1..].iter();
            // What stands beside one output is the program's own: a run that was killed may have left two names of one file.
            let is_own = |other: &Use| one.owner.is_some() && other.owner == one.owner;
            let is_same = |other: &&Use| {
                other.identity == one.identity && (is_meant(one) || is_meant(other)) && !is_own(other)
            };
            if let Some(other) = others.find(|other| is_same(other) && is_changed(other)) {
                let what = format!("{} and {} are the same file", one.what, other.what);
                return Err(Failure::usage(what).advise(advice_of(one, other)));
            }
        }
        Ok(())
    }

    fn add(&mut self, what: String, purpose: Purpose, identity: Option<Identity>) {
        let added = |identity| Use { what, owner: None, purpose, identity, place: None };
        self.uses.extend(identity.map(added));
    }
}

impl Identity {
    /// Of a regular file. Anything else is not replaced, and can be named as often as one likes.
    fn of_file(metadata: &Metadata) -> Option<Identity> {
        let (device, inode) = (metadata.dev(), metadata.ino());
        metadata.is_file().then_some(Identity::Inode { device, inode })
    }

    fn of_target(path: &Path) -> Option<Identity> {
        match fs::metadata(path) {
            Ok(metadata) => Identity::of_file(&metadata),
            Err(_) => Identity::of_absent(path),
        }
    }

    /// Of what has this name itself, and is no link to it.
    fn of_entry(path: &Path) -> Option<Identity> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Identity::of_file(&metadata),
            Err(_) => Identity::of_absent(path),
        }
    }

    fn of_absent(path: &Path) -> Option<Identity> {
        let directory = fs::metadata(directory_of(path)).ok()?;
        let name = path.file_name()?.to_owned();
        Some(Identity::Absent { device: directory.dev(), directory: directory.ino(), name })
    }
}

/// What to do about two names of one file.
fn advice_of(one: &Use, other: &Use) -> &'static str {
    let purposes = [one.purpose, other.purpose];
    let is_input = |used: &Use| used.what == INPUT && used.purpose == Purpose::Read;
    if purposes.contains(&Purpose::Rewritten) {
        return "One of the two was meant to be another file: what holds keys is not written to.";
    }
    match purposes.iter().all(|purpose| matches!(purpose, Purpose::Written | Purpose::Replaced)) {
        true => "Give one of the two another name.",
        false if is_input(one) || is_input(other) => {
            "Give the output another name. The input is then yours to remove."
        }
        false => "Give what is written another name.",
    }
}

/// The standard stream that an argument means: by `-`, or by a path that leads to it.
fn stream_of(end: &End, standard: Standard) -> Option<Standard> {
    match end {
        End::Standard => Some(standard),
        End::Path(path) => Standard::of_descriptor(descriptor_named(path)?),
    }
}

/// What a command calls that which it seals or opens.
const INPUT: &str = "the input";

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
