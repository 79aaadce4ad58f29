//! The timed steps: copy, seal, verify, restore, some rounds of them, the best of each kept.
//! It says nothing; the tale does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cofferdam::{CancelToken, FileSource, Identities, Identity, Opener, Recipients, Sealer, Zeroizing};
use serde::Serialize;

use crate::failure::Failure;
use crate::printable::Name;
use crate::progress::{Warnings, Watch};
use crate::report::Report;
use crate::resources::Resources;

use super::broken_promise;
use super::input::Input;
use super::scratch::Scratch;

/// A step that is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Copy,
    Seal,
    VerifyKeyless,
    Verify,
    Restore,
}

impl Step {
    /// In the order in which a round runs them.
    pub(super) const ALL: [Step; 5] =
        [Step::Copy, Step::Seal, Step::VerifyKeyless, Step::Verify, Step::Restore];

    pub(super) fn name(self) -> &'static str {
        match self {
            Step::Copy => "plain copy",
            Step::Seal => "seal",
            Step::VerifyKeyless => "verify without key",
            Step::Verify => "verify with key",
            Step::Restore => "restore",
        }
    }
}

/// An identity, in a file of its own, and its recipient.
pub(super) struct Keys {
    path: PathBuf,
    recipient: String,
    text: Zeroizing<String>,
}

impl Keys {
    pub(super) fn make(path: &Path, identity: &Identity) -> Result<Keys, Failure> {
        let text = identity.file_text("by cofferdam demo")?;
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Failure::io(format!("{} could not be written", path.display()), error))?;
        Ok(Keys { path: path.to_owned(), recipient: identity.recipient(), text })
    }

    pub(super) fn identities(&self) -> Result<Identities, Failure> {
        Ok(Identities::new().identity_file(self.text.as_bytes())?)
    }

    pub(super) fn record(&self) -> impl Serialize {
        KeyRecord {
            event: "demo",
            step: "keygen",
            path: Name::from(self.path.as_path()),
            recipient: self.recipient.clone(),
        }
    }

    pub(super) fn sentence(&self) -> String {
        format!("key           {}\nrecipient     {}", Name::from(self.path.as_path()), self.recipient)
    }
}

/// Rounds of all steps on one input.
pub(super) struct Rounds<'a> {
    pub(super) count: u64,
    pub(super) scratch: &'a Scratch,
    pub(super) keys: &'a Keys,
    pub(super) cancel: &'a CancelToken,
    input: &'a Input,
    resources: &'a Resources,
    report: Report,
    best: [Duration; Step::ALL.len()],
}

impl<'a> Rounds<'a> {
    pub(super) fn new(
        input: &'a Input,
        scratch: &'a Scratch,
        keys: &'a Keys,
        resources: &'a Resources,
        cancel: &'a CancelToken,
        report: Report,
    ) -> Rounds<'a> {
        let count = if input.len <= SHORT_INPUT { ROUNDS } else { 1 };
        let best = [Duration::MAX; Step::ALL.len()];
        Rounds { count, scratch, keys, cancel, input, resources, report, best }
    }

    /// Runs every step in every round. What the last round made stays.
    pub(super) fn run_all(&mut self) -> Result<(), Failure> {
        for _ in 0..self.count {
            for (step, place) in Step::ALL.into_iter().zip(0..) {
                self.remove_output(step)?;
                let begun = Instant::now();
                self.run(step)?;
                self.best[place] = self.best[place].min(begun.elapsed());
            }
            remove(&self.scratch.path(COPY))?;
        }
        Ok(())
    }

    /// The shortest time of a step.
    pub(super) fn best(&self, step: Step) -> Duration {
        self.best[step as usize]
    }

    /// Whether what was restored is what was sealed.
    pub(super) fn compare(&self) -> Result<(), Failure> {
        if are_equal(&self.input.path, &self.restored(), self.cancel)? {
            return Ok(());
        }
        Err(broken_promise("the restored file and the input differ"))
    }

    pub(super) fn input(&self) -> &Path {
        &self.input.path
    }

    pub(super) fn sealed(&self) -> PathBuf {
        self.scratch.path("sealed.cfd")
    }

    pub(super) fn restored(&self) -> PathBuf {
        self.scratch.path("restored")
    }

    /// An opener as the steps use it.
    pub(super) fn opener(&self, opener: Opener, verb: &'static str) -> Opener {
        let watch = Watch::new(self.report, verb, Warnings::AtOnce);
        self.resources.opener(opener, self.cancel, watch)
    }

    fn run(&self, step: Step) -> Result<(), Failure> {
        let keys = self.keys;
        match step {
            Step::Copy => copy(&self.input.path, &self.scratch.path(COPY), self.cancel),
            Step::Seal => {
                let recipients = Recipients::new().parse(&keys.recipient)?;
                let watch = Watch::new(self.report, "sealing", Warnings::AtOnce);
                let sealer = self.resources.sealer(Sealer::new(recipients), self.cancel, watch);
                sealer.seal_file(&self.input.path, self.sealed())?;
                Ok(())
            }
            Step::VerifyKeyless => self.verify(Opener::keyless()),
            Step::Verify => self.verify(Opener::new(keys.identities()?)),
            Step::Restore => {
                let opener = self.opener(Opener::new(keys.identities()?), "restoring");
                opener.restore_file(self.sealed(), self.restored())?;
                Ok(())
            }
        }
    }

    fn verify(&self, opener: Opener) -> Result<(), Failure> {
        let source = FileSource::open(self.sealed())
            .map_err(|error| Failure::io("the sealed file could not be opened", error))?;
        self.opener(opener, "verifying").verify(source)?;
        Ok(())
    }

    /// Before the clock runs: every round makes its files anew.
    fn remove_output(&self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Copy | Step::VerifyKeyless | Step::Verify => Ok(()),
            Step::Seal => remove(&self.sealed()),
            Step::Restore => remove(&self.restored()),
        }
    }

    pub(super) fn record(&self, step: Step) -> impl Serialize {
        let seconds = self.best(step).as_secs_f64();
        StepRecord {
            event: "demo",
            step: step.name(),
            rounds: self.count,
            seconds,
            bytes_per_second: (self.input.len as f64 / seconds.max(f64::MIN_POSITIVE)).round(),
            beside_copy: self.best(Step::Copy).as_secs_f64() / seconds.max(f64::MIN_POSITIVE),
        }
    }
}

/// Copies as `cp` does without the file system's help: reads, writes, and syncs, as a restore does.
pub(super) fn copy(from: &Path, to: &Path, cancel: &CancelToken) -> Result<(), Failure> {
    let mut reader = open(from)?;
    let failed = |error| Failure::io(format!("{} could not be written", to.display()), error);
    let mut writer = OpenOptions::new().write(true).create_new(true).open(to).map_err(failed)?;
    let mut buffer = vec![0; BLOCK_LEN];
    loop {
        let len = read(&mut reader, &mut buffer, from)?;
        if len == 0 {
            return writer.sync_all().map_err(failed);
        }
        refuse_cancelled(cancel)?;
        writer.write_all(&buffer[..len]).map_err(failed)?;
    }
}

/// Compares two files, byte by byte.
pub(super) fn are_equal(one: &Path, other: &Path, cancel: &CancelToken) -> Result<bool, Failure> {
    let (mut one_file, mut other_file) = (open(one)?, open(other)?);
    let mut one_block = vec![0; BLOCK_LEN];
    let mut other_block = vec![0; BLOCK_LEN];
    loop {
        let one_len = read_full(&mut one_file, &mut one_block, one)?;
        let other_len = read_full(&mut other_file, &mut other_block, other)?;
        if one_block[..one_len] != other_block[..other_len] {
            return Ok(false);
        }
        if one_len == 0 {
            return Ok(true);
        }
        refuse_cancelled(cancel)?;
    }
}

fn read_full(file: &mut File, buffer: &mut [u8], path: &Path) -> Result<usize, Failure> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read(file, &mut buffer[filled..], path)? {
            0 => break,
            len => filled += len,
        }
    }
    Ok(filled)
}

fn read(file: &mut File, buffer: &mut [u8], path: &Path) -> Result<usize, Failure> {
    file.read(buffer).map_err(|error| Failure::io(format!("{} could not be read", path.display()), error))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::io(format!("{} could not be opened", path.display()), error))
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::io(format!("{} could not be removed", path.display()), error))
        }
        _ => Ok(()),
    }
}

fn refuse_cancelled(cancel: &CancelToken) -> Result<(), Failure> {
    if cancel.is_cancelled() { Err(Failure::interrupted()) } else { Ok(()) }
}

#[derive(Serialize)]
struct KeyRecord {
    event: &'static str,
    step: &'static str,
    path: Name,
    recipient: String,
}

#[derive(Serialize)]
struct StepRecord {
    event: &'static str,
    step: &'static str,
    rounds: u64,
    seconds: f64,
    bytes_per_second: f64,
    beside_copy: f64,
}

const COPY: &str = "copy";
const BLOCK_LEN: usize = 1024 * 1024;
const ROUNDS: u64 = 3;
/// Inputs up to this many bytes go through several rounds.
const SHORT_INPUT: u64 = 1024 * 1024 * 1024;
