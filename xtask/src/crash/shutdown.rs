//! Owns the file system that shuts down under a publish: XFS on a loop device, between the rename and the syncs after it.
//! Knows nothing of what the program does about it, only that it must not say "done" of what a restart takes back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::fixture::{Before, Fixture, Holds, Scratch};
use super::tally::Tally;
use super::{Extent, Setting};

/// Shuts the file system down before each sync after the rename, and looks after a restart which target is there. Only in
/// the full run: it takes a privilege, and programs that few machines have.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    if setting.extent == Extent::Short {
        return Ok(());
    }
    let mut tally = Tally::new("shut down");
    for (name, before) in [("shut-new", Before::Nothing), ("shut-old", Before::Old)] {
        for sync in SYNCS_AFTER_RENAME {
            let scratch = Scratch::new(&format!("{name}-{sync}"))?;
            let mounted = match Mounted::new(&scratch.path) {
                Ok(mounted) => mounted,
                Err(why) => {
                    println!("crash shut down: skipped, no XFS can be mounted on a loop device here: {why}");
                    return Ok(());
                }
            };
            let fixture =
                Fixture::new(&setting.program, name, SEGMENTS, before)?.into_folder(mounted.folder.clone());
            fixture.set()?;
            // What stood there before was there for long.
            run_program("sync", &[])?;
            let place = format!("{name}, before sync {sync}");
            let ended = shut_down(&fixture, &mounted, sync)?;
            mounted.restart()?;
            if let Some(holds) = tally.check(&place, fixture.holds()) {
                tally.count(format!("exit {:?}, then {holds:?}", ended.status.code()));
                // 10 says that it is unknown; 0 would have to be true.
                let said = match (ended.status.code(), holds) {
                    (Some(EXIT_UNKNOWN), _) | (Some(0), Holds::New) => Ok(()),
                    (code, holds) => {
                        Err(format!("exit {code:?}, and after a restart the target is {holds:?}"))
                    }
                };
                tally.check(&place, said);
            }
        }
    }
    tally.close()
}

/// Runs the program with its `sync`th fsync held up, and shuts the file system down as soon as the target has changed.
fn shut_down(fixture: &Fixture, mounted: &Mounted, sync: usize) -> Result<Output, String> {
    let hold_up = format!("inject=fsync:delay_enter={HELD_UP_MICROS}:when={sync}");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &hold_up, "--"])
        .arg(&fixture.program)
        .args(fixture.arguments());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot start strace: {error}"))?;
    wait_for_the_new(fixture, &mut child)?;
    mounted.cut_off()?;
    child.wait_with_output().map_err(|error| format!("cannot wait for the program: {error}"))
}

fn wait_for_the_new(fixture: &Fixture, child: &mut Child) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while fixture.holds() != Ok(Holds::New) {
        let has_ended = child.try_wait().map_err(|error| error.to_string())?.is_some();
        if has_ended || Instant::now() > deadline {
            let _ = child.kill();
            return Err("the program has not come to its rename".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// An XFS over a folder, in a file of its own; gone when it is dropped.
pub(super) struct Mounted {
    pub(super) folder: PathBuf,
    image: PathBuf,
}

impl Mounted {
    pub(super) fn new(scratch: &Path) -> Result<Mounted, String> {
        let mounted = Mounted { folder: scratch.join("mounted"), image: scratch.join("image") };
        let image = fs::File::create(&mounted.image).and_then(|image| image.set_len(IMAGE_LEN));
        image.and_then(|()| fs::create_dir(&mounted.folder)).map_err(|error| error.to_string())?;
        run_program("mkfs.xfs", &["-q", &mounted.image.display().to_string()])?;
        run_program("xfs_io", &["-V"])?;
        run_program("strace", &["-V"])?;
        mounted.mount()?;
        Ok(mounted)
    }

    fn mount(&self) -> Result<(), String> {
        run_program(
            "mount",
            &["-o", "loop", &self.image.display().to_string(), &self.folder.display().to_string()],
        )
    }

    /// Cuts it off from its medium, as a power cut does.
    pub(super) fn cut_off(&self) -> Result<(), String> {
        run_program("xfs_io", &["-x", "-c", "shutdown", &self.folder.display().to_string()])
    }

    /// What is not on the medium is lost, and what is in its log is brought back.
    pub(super) fn restart(&self) -> Result<(), String> {
        run_program("umount", &[&self.folder.display().to_string()])?;
        self.mount()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if run_program("umount", &[&self.folder.display().to_string()]).is_err() {
            eprintln!("{}: unmount it by hand, if it is mounted", self.folder.display());
        }
    }
}

fn run_program(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("cannot start {program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

const SEGMENTS: usize = 3;
/// Before the rename the staging file, the journal and the directory are synced; after it the target, then the directory.
const SYNCS_AFTER_RENAME: [usize; 2] = [4, 5];
/// Long enough to see the rename and to shut down.
const HELD_UP_MICROS: u32 = 3_000_000;
const PATIENCE: Duration = Duration::from_secs(60);
/// The least that mkfs.xfs takes is 300 MiB.
const IMAGE_LEN: u64 = 400 << 20;
/// The exit code of a target whose durability is unknown.
const EXIT_UNKNOWN: i32 = 10;
