//! Owns the folder in which the program is tried: a sealed stream, its plaintext, a target, and what may stand there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::device::LoopDevice;

/// What stands at the target before the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Before {
    Nothing,
    Old,
    /// A block device, which a log is replayed into.
    Device,
}

/// What stands at the target after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    /// What stood there before.
    Old,
    /// The whole new contents.
    New,
    /// Some of both, on a device, and a log that completes it.
    Mixture,
}

/// A folder with a sealed stream, and the program that restores it.
pub(crate) struct Fixture {
    pub(crate) program: PathBuf,
    /// Of the target and its siblings alone.
    pub(crate) folder: PathBuf,
    scratch: Scratch,
    plaintext: Vec<u8>,
    before: Before,
    device: Option<LoopDevice>,
    options: Vec<String>,
}

impl Fixture {
    /// Seals `segments` segments, the last of them shorter, in a scratch folder of this name.
    pub(crate) fn new(
        program: &Path,
        name: &str,
        segments: usize,
        before: Before,
    ) -> Result<Fixture, String> {
        let scratch = Scratch::new(name)?;
        let folder = scratch.path.join("out");
        let plaintext = harness::bytes(segments * SEGMENT_LEN - SEGMENT_LEN / 3);
        let written = fs::create_dir(&folder)
            .and_then(|()| fs::write(scratch.path.join("key"), [7; 32]))
            .and_then(|()| fs::write(scratch.path.join("plain"), &plaintext));
        written.map_err(|error| format!("cannot write into {}: {error}", scratch.path.display()))?;
        let fixture = Fixture {
            program: program.into(),
            folder,
            scratch,
            plaintext,
            before,
            device: None,
            options: Vec::new(),
        };
        fixture.seal(&[])?;
        Ok(fixture)
    }

    /// The same, from a compressed stream of a plaintext of which every other frame compresses.
    ///
    /// # Errors
    /// It cannot be written or sealed.
    pub(crate) fn compressed(mut self) -> Result<Fixture, String> {
        self.plaintext.chunks_mut(4096).step_by(2).for_each(|frame| frame.fill(b'c'));
        fs::write(self.scratch.path.join("plain"), &self.plaintext)
            .map_err(|error| format!("cannot write into {}: {error}", self.scratch.path.display()))?;
        self.seal(&["--zstd", "--force"])?;
        Ok(self)
    }

    fn seal(&self, more: &[&str]) -> Result<(), String> {
        match self.command(&self.seal_arguments(more)).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("cannot seal: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("cannot start {}: {error}", self.program.display())),
        }
    }

    /// The same, with a block device for its target.
    ///
    /// # Errors
    /// The system gives none.
    pub(crate) fn onto_device(mut self) -> Result<Fixture, String> {
        // Whole pages, and one that no stream reaches.
        let len = (self.plaintext.len() / PAGE_LEN + 2) * PAGE_LEN;
        self.device = Some(LoopDevice::attach(&self.scratch.path.join("image"), len)?);
        self.set()?;
        Ok(self)
    }

    /// The same, with further options of `restore`.
    pub(crate) fn with_options(mut self, options: &[&str]) -> Fixture {
        self.options = options.iter().map(|&option| option.to_owned()).collect();
        self
    }

    /// The same, over a seed that has all but some segments.
    pub(crate) fn with_seed(mut self, changed: &[usize]) -> Result<Fixture, String> {
        let mut seed = self.plaintext.clone();
        changed.iter().for_each(|segment| seed[segment * SEGMENT_LEN + 5] ^= 1);
        let path = self.path("seed");
        fs::write(&path, seed).map_err(|error| format!("cannot write {path}: {error}"))?;
        self.options.extend(["--seed".to_owned(), path]);
        Ok(self)
    }

    /// Restores into another folder.
    pub(crate) fn into_folder(mut self, folder: PathBuf) -> Fixture {
        self.folder = folder;
        self
    }

    /// Empties the folder, and puts back what stood at the target.
    pub(crate) fn set(&self) -> Result<(), String> {
        let cannot = |error| format!("cannot empty {}: {error}", self.folder.display());
        for entry in fs::read_dir(&self.folder).map_err(cannot)? {
            fs::remove_file(entry.map_err(cannot)?.path()).map_err(cannot)?;
        }
        match self.before {
            Before::Nothing => Ok(()),
            Before::Old => fs::write(self.target(), OLD).map_err(cannot),
            Before::Device => self.device.as_ref().map_or(Ok(()), |device| device.put(&self.target())),
        }
    }

    /// The arguments that restore the stream.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["restore".to_owned()];
        if self.before != Before::Nothing {
            arguments.push("--force".to_owned());
        }
        if self.before == Before::Device {
            arguments.extend(["--wal".to_owned(), self.folder.join(LOG).display().to_string()]);
        }
        arguments.extend(self.options.iter().cloned());
        arguments.extend(["--key-file".to_owned(), self.path("key")]);
        arguments.extend([self.path("sealed"), self.target().display().to_string()]);
        arguments
    }

    /// The program with these arguments, started nowhere, its output kept.
    pub(crate) fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What stands at the target.
    ///
    /// # Errors
    /// It is neither what stood there before nor the whole new contents.
    pub(crate) fn holds(&self) -> Result<Holds, String> {
        let found = fs::read(self.target()).ok();
        if self.before == Before::Device {
            return self.device_holds(&found.unwrap_or_default());
        }
        let old = match self.before {
            Before::Nothing => None,
            Before::Old | Before::Device => Some(OLD),
        };
        if found.as_deref() == Some(&self.plaintext[..]) {
            Ok(Holds::New)
        } else if found.as_deref() == old {
            Ok(Holds::Old)
        } else {
            let len = found.map_or(0, |found| found.len());
            Err(format!("P2: the target is neither old nor new: {len} bytes of {}", self.plaintext.len()))
        }
    }

    fn device_holds(&self, found: &[u8]) -> Result<Holds, String> {
        let (stream, behind) =
            found.split_at_checked(self.plaintext.len()).ok_or("the device cannot be read")?;
        if !LoopDevice::is_old(behind) {
            return Err("what lies on the device behind the stream has changed".into());
        }
        match (stream == self.plaintext, LoopDevice::is_old(stream)) {
            (true, _) => Ok(Holds::New),
            (false, true) => Ok(Holds::Old),
            (false, false) if self.folder.join(LOG).exists() => Ok(Holds::Mixture),
            (false, false) => Err("P2: the device is a mixture, and no log says what is missing".into()),
        }
    }

    /// Runs the same command again, and checks that the target is whole and nothing is left beside it.
    ///
    /// # Errors
    /// It does not end well, the target is not the new one, or files stay behind.
    pub(crate) fn resume(&self) -> Result<Resumed, String> {
        let had = self.holds()?;
        let mut arguments = self.arguments();
        arguments.push("--json".to_owned());
        let ended = self.command(&arguments).output();
        let ended = ended.map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        // The target was in its place already, and nothing else was left to do.
        let was_done = ended.status.code() == Some(EXIT_EXISTS) && had == Holds::New;
        if !ended.status.success() && !was_done {
            let said = String::from_utf8_lossy(&ended.stderr);
            return Err(format!("the next run ended with {}: {said}", ended.status));
        }
        match self.holds()? {
            Holds::New => {}
            Holds::Old | Holds::Mixture => {
                return Err("the next run ended well, and the target is not the new one".into());
            }
        }
        match self.left_behind() {
            None if was_done => Ok(Resumed { kept: self.plaintext.len() }),
            None => Ok(Resumed { kept: kept(&ended.stdout)? }),
            Some(name) => Err(format!("{name} stays behind after the next run")),
        }
    }

    /// A file in the folder that is not the target.
    pub(crate) fn left_behind(&self) -> Option<String> {
        let entries = fs::read_dir(&self.folder).ok()?;
        let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.find(|name| name != TARGET)
    }

    /// Bytes that the whole target has.
    pub(crate) fn plain_len(&self) -> usize {
        self.plaintext.len()
    }

    fn seal_arguments(&self, more: &[&str]) -> Vec<String> {
        let size = SEGMENT_LEN.to_string();
        let arguments = ["seal", "--quiet", "--frame-size", "4KiB", "--segment-size", &size, "--key-file"];
        let mut arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        arguments
            .extend([self.path("key")].into_iter().chain(more.iter().map(|&argument| argument.to_owned())));
        arguments.extend(["-o".to_owned(), self.path("sealed"), self.path("plain")]);
        arguments
    }

    fn target(&self) -> PathBuf {
        self.folder.join(TARGET)
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path.join(name).display().to_string()
    }
}

/// What a run said of what was there before it.
pub(crate) struct Resumed {
    /// Plaintext bytes that it kept.
    pub(crate) kept: usize,
}

/// The field of that name in the record of a restore.
fn kept(record: &[u8]) -> Result<usize, String> {
    let record = String::from_utf8_lossy(record);
    let digits =
        record.split_once("\"kept\":").map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next());
    let kept = digits.flatten().and_then(|digits| digits.parse().ok());
    kept.ok_or_else(|| format!("the next run does not say what it kept: {record}"))
}

/// A folder for what is tried, gone when it is dropped.
pub(crate) struct Scratch {
    pub(crate) path: PathBuf,
}

impl Scratch {
    pub(crate) fn new(name: &str) -> Result<Scratch, String> {
        let path = std::env::temp_dir().join(format!("cofferdam-crash-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Scratch { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.path);
    }
}

pub(crate) const SEGMENT_LEN: usize = 16 * 1024;
pub(crate) const TARGET: &str = "target";
const LOG: &str = "log";
const PAGE_LEN: usize = 4096;
const OLD: &[u8] = b"what stood here before";

/// The exit code of a target that is there already.
pub(crate) const EXIT_EXISTS: i32 = 6;
/// The exit code of a target that another process writes.
pub(crate) const EXIT_HELD: i32 = 9;
