//! Owns the sweep over the size of a small file system: the disk is full at every point of the restore.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use super::fixture::{Before, Fixture, Holds, Scratch};
use super::tally::Tally;
use super::{Extent, Setting};

/// Restores onto file systems of all sizes up to one that has room enough.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    let mut tally = Tally::new("disk full");
    let folder = Scratch::new("full")?;
    let step = match setting.extent {
        Extent::Full => PAGE_LEN,
        Extent::Short => 8 * PAGE_LEN,
    };
    for (name, before) in [("full-new", Before::Nothing), ("full-old", Before::Old)] {
        let fixture =
            Fixture::new(&setting.program, name, SEGMENTS, before)?.into_folder(folder.path.clone());
        let room_enough = fixture.plain_len() + ROOM_BESIDE;
        for size in (PAGE_LEN..=room_enough).step_by(step) {
            match Mounted::new(&folder.path, size) {
                Ok(mounted) => sweep_one(&fixture, size, &mut tally, mounted)?,
                Err(why) => {
                    println!("crash disk full: skipped, no tmpfs can be mounted here: {why}");
                    return Ok(());
                }
            }
        }
    }
    tally.close()
}

fn sweep_one(fixture: &Fixture, size: usize, tally: &mut Tally, mounted: Mounted<'_>) -> Result<(), String> {
    let place = format!("a disk of {size} bytes");
    // No room for the old target: there is nothing to see.
    if fixture.set().is_err() {
        return Ok(());
    }
    let ended = fixture.command(&fixture.arguments()).output();
    let ended = ended.map_err(|error| format!("cannot start the program: {error}"))?;
    if let Some(signal) = ended.status.signal() {
        tally.check::<()>(&place, Err(format!("P4: ended by signal {signal}")));
    }
    let Some(holds) = tally.check(&place, fixture.holds()) else { return Ok(()) };
    match (ended.status.code(), holds) {
        (Some(0), Holds::New) => tally.count("whole"),
        (Some(code), Holds::Old) if code != 0 => tally.count(format!("refused, exit {code}")),
        (code, holds) => {
            tally.check::<()>(&place, Err(format!("exit {code:?}, and the target is {holds:?}")));
        }
    }
    if holds == Holds::Old {
        mounted.grow()?;
        tally.check(&format!("{place}, grown"), fixture.resume());
    }
    Ok(())
}

/// A tmpfs over a folder, gone when it is dropped.
struct Mounted<'a> {
    folder: &'a Path,
}

impl Mounted<'_> {
    fn new(folder: &Path, size: usize) -> Result<Mounted<'_>, String> {
        let options = format!("size={size},mode=0700");
        mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], folder)?;
        Ok(Mounted { folder })
    }

    /// Gives it room enough.
    fn grow(&self) -> Result<(), String> {
        mount(&["-o", "remount,size=64m", "tmpfs"], self.folder)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(self.folder).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("cannot unmount {}: unmount it by hand", self.folder.display());
        }
    }
}

fn mount(arguments: &[&str], folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let output = Command::new("mount").args(arguments).arg(folder).output();
    let output = output.map_err(|error| format!("cannot start mount: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

const SEGMENTS: usize = 20;
const PAGE_LEN: usize = 4096;
/// Room that the journal, the old target and the folder itself may need.
const ROOM_BESIDE: usize = 16 * PAGE_LEN;
