//! Owns the kills of restores of directories: at each call that changes files, over nothing and over another directory, then the next run.
//! Knows what a directory is made of, and nothing of how the program puts it in its place.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::fixture::{EXIT_EXISTS, Holds, Scratch, TARGET};
use super::shutdown::Mounted;
use super::tally::Tally;
use super::tracer::{self, Moment};
use super::{Extent, Setting};
use fastrand::Rng;

/// Kills a restore of thirty files at every call, or at a sample of them.
pub(crate) fn run(setting: &Setting) -> Result<(), String> {
    let mut tally = Tally::new("directories, killed at system calls");
    for (name, is_old_there, options) in [
        ("new directory", false, &[][..]),
        ("replaced directory", true, &["--force"]),
        ("replaced and kept directory", true, &["--force", "--keep-old"]),
    ] {
        let fixture = TreeFixture::new(&setting.program, &name.replace(' ', "-"), is_old_there, options)?;
        kill_at_each(setting, &fixture, name, &mut tally)?;
        if setting.extent == Extent::Full {
            cut_off_at_times(setting, fixture, name, &mut tally)?;
        }
    }
    tally.close()
}

/// Cuts an XFS off from its medium at some moment of a restore, and looks after a restart which directory is there; then goes on.
fn cut_off_at_times(
    setting: &Setting,
    mut fixture: TreeFixture,
    name: &str,
    tally: &mut Tally,
) -> Result<(), String> {
    let scratch = Scratch::new(&format!("cut-{}", name.replace(' ', "-")))?;
    let mounted = match Mounted::new(&scratch.path) {
        Ok(mounted) => mounted,
        Err(why) => {
            println!("crash trees: no power cuts, no XFS can be mounted on a loop device here: {why}");
            return Ok(());
        }
    };
    fixture.folder = mounted.folder.join("out");
    fs::create_dir(&fixture.folder).map_err(|error| error.to_string())?;
    let begun = Instant::now();
    fixture.set()?;
    fixture.resume()?;
    let whole = begun.elapsed().as_nanos() as u64;
    let mut rng = Rng::with_seed(setting.seed);
    for cut in 0..CUTS {
        fixture.set()?;
        // What stood there before was there for long.
        Command::new("sync").status().map_err(|error| format!("cannot start sync: {error}"))?;
        let mut command = Command::new(&fixture.program);
        command.args(fixture.arguments()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("cannot start the program: {error}"))?;
        let behind = Duration::from_nanos(rng.u64(..whole * 5 / 4));
        thread::sleep(behind);
        mounted.cut_off()?;
        let ended = child.wait_with_output().map_err(|error| error.to_string())?;
        mounted.restart()?;
        let place = format!("{name}, power cut {cut} after {behind:?}");
        let Some(holds) = tally.check(&place, fixture.holds()) else { continue };
        tally.count(format!("power cut, exit {:?}, then {holds:?}", ended.status.code()));
        let said = match (ended.status.code(), holds) {
            (Some(0), Holds::Old) => {
                Err("it said that it was done, and the old directory is there".to_owned())
            }
            _ => Ok(()),
        };
        tally.check(&place, said);
        tally.check(&place, fixture.resume());
    }
    Ok(())
}

fn kill_at_each(
    setting: &Setting,
    fixture: &TreeFixture,
    name: &str,
    tally: &mut Tally,
) -> Result<(), String> {
    fixture.set()?;
    let run = |moment| tracer::run(&fixture.program, &fixture.arguments(), &fixture.folder, moment);
    let whole = run(Moment::Never)?;
    if whole.code != Some(0) || fixture.holds()? != Holds::New {
        return Err(format!("{name}: the restore does not work undisturbed: exit {:?}", whole.code));
    }
    tally.add(format!("calls ({name})"), whole.calls.len());
    let stride = match setting.extent {
        Extent::Full => 1,
        Extent::Short => whole.calls.len().div_ceil(CALLS_SHORT_MAX),
    };
    let mut rng = Rng::with_seed(setting.seed);
    // The last ones are those around the rename: each of them, in the short run too.
    let last = whole.calls.len().saturating_sub(CALLS_LAST);
    let numbers = (1..=last).step_by(stride).chain(last + 1..=whole.calls.len());
    for number in numbers {
        for moment in [Moment::Before(number), Moment::After(number)] {
            fixture.set()?;
            let killed = run(moment)?;
            if killed.code.is_some() {
                tally.count("ended before its kill");
                continue;
            }
            let call = killed.calls.last().unwrap_or(&"no call");
            let place = format!("{name}, {moment:?} of {} ({call})", whole.calls.len());
            let Some(holds) = tally.check(&place, fixture.holds()) else { continue };
            tally.count(format!("killed, target {holds:?}"));
            tally.check(&place, fixture.resume());
            // The same kill, and then another at some call of the run that goes on.
            fixture.set()?;
            run(moment)?;
            let second = Moment::Before(1 + rng.u64(..whole.calls.len() as u64) as usize);
            let again = run(second)?;
            let place = format!("{place}, then {second:?} of the next run");
            if tally.check(&place, fixture.holds()).is_some() {
                tally.count(match again.code {
                    None => "killed again",
                    Some(_) => "done before it was killed again",
                });
                tally.check(&place, fixture.resume());
            }
        }
    }
    Ok(())
}

/// A folder with a sealed directory, and the program that restores it.
struct TreeFixture {
    program: PathBuf,
    /// Of the target and its siblings alone.
    folder: PathBuf,
    scratch: Scratch,
    tree: Listing,
    old: Option<Listing>,
    options: Vec<String>,
}

/// What is at each path: mode, owner, time, contents or target of a link, and how many names it has.
type Listing = BTreeMap<PathBuf, (u32, u32, i64, Vec<u8>, u64)>;

impl TreeFixture {
    fn new(program: &Path, name: &str, is_old_there: bool, options: &[&str]) -> Result<TreeFixture, String> {
        let scratch = Scratch::new(name)?;
        let folder = scratch.path.join("out");
        let cannot = |error| format!("cannot write into {}: {error}", scratch.path.display());
        fs::create_dir(&folder).map_err(cannot)?;
        fs::write(scratch.path.join("key"), [7; 32]).map_err(cannot)?;
        let tree = scratch.path.join("tree");
        make_tree(&tree).map_err(cannot)?;
        let mut fixture = TreeFixture {
            program: program.into(),
            folder,
            tree: list(&tree).map_err(cannot)?,
            old: None,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            scratch,
        };
        if is_old_there {
            fixture.set_old()?;
            fixture.old = Some(list(&fixture.target()).map_err(|error| error.to_string())?);
        }
        let seal = ["seal", "--quiet", "--frame-size", "4KiB", "--segment-size", "16KiB", "--key-file"];
        let mut command = Command::new(program);
        command.args(seal).arg(fixture.path("key")).arg("-o").arg(fixture.path("sealed")).arg(&tree);
        command.env("XDG_STATE_HOME", fixture.path("states")).stdin(Stdio::null());
        match command.output() {
            Ok(output) if output.status.success() => Ok(fixture),
            Ok(output) => Err(format!("cannot seal: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("cannot start {}: {error}", program.display())),
        }
    }

    /// Empties the folder, and puts back what stood at the target.
    fn set(&self) -> Result<(), String> {
        let cannot = |error| format!("cannot empty {}: {error}", self.folder.display());
        fs::remove_dir_all(&self.folder).and_then(|()| fs::create_dir(&self.folder)).map_err(cannot)?;
        if self.old.is_some() {
            self.set_old()?;
        }
        Ok(())
    }

    fn set_old(&self) -> Result<(), String> {
        let made = fs::create_dir_all(self.target().join("old/deep"))
            .and_then(|()| fs::write(self.target().join("old/deep/file"), "what stood here before"))
            .and_then(|()| fs::write(self.target().join("00"), "another than the new one's"));
        made.map_err(|error| format!("cannot make the old directory: {error}"))
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["restore".to_owned(), "--threads".to_owned(), "1".to_owned()];
        arguments.extend(self.options.iter().cloned());
        let rest = [PathBuf::from("--key-file"), self.path("key"), self.path("sealed"), self.target()];
        arguments.extend(rest.iter().map(|argument| argument.display().to_string()));
        arguments
    }

    /// What is at the target.
    fn holds(&self) -> Result<Holds, String> {
        let target = self.target();
        let found = match target.exists() {
            true => Some(list(&target).map_err(|error| format!("the target cannot be read: {error}"))?),
            false => None,
        };
        match found {
            Some(found) if same_but_root(&found, &self.tree) => Ok(Holds::New),
            found if found.as_ref().map(without_times) == self.old.as_ref().map(without_times) => {
                Ok(Holds::Old)
            }
            found => Err(format!(
                "P2: the target is neither old nor new: {} names",
                found.map_or(0, |found| found.len())
            )),
        }
    }

    /// Runs the same command again. The target is the new one then, root and all, and beside it is what was to be kept.
    fn resume(&self) -> Result<(), String> {
        let had = self.holds()?;
        let mut command = Command::new(&self.program);
        let ended = command.args(self.arguments()).stdin(Stdio::null()).output();
        let ended = ended.map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        let was_done = ended.status.code() == Some(EXIT_EXISTS) && had == Holds::New;
        if !ended.status.success() && !was_done {
            let said = String::from_utf8_lossy(&ended.stderr);
            return Err(format!("the next run ended with {}: {said}", ended.status));
        }
        let found = list(&self.target()).map_err(|error| error.to_string())?;
        if found != self.tree {
            return Err("the next run ended well, and the target is not the new one".into());
        }
        let mut kept = 0;
        for entry in fs::read_dir(&self.folder).map_err(|error| error.to_string())?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == TARGET {
                continue;
            }
            if !name.starts_with("target.cofferdam-old") {
                return Err(format!("{name} stays behind after the next run"));
            }
            let old = list(&entry.path()).map_err(|error| error.to_string())?;
            kept += usize::from(Some(without_times(&old)) == self.old.as_ref().map(without_times));
        }
        let wanted = usize::from(self.options.iter().any(|option| option == "--keep-old"));
        match kept == wanted {
            true => Ok(()),
            false => Err(format!("{kept} old directories are there, and {wanted} was to be kept")),
        }
    }

    fn target(&self) -> PathBuf {
        self.folder.join(TARGET)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path.join(name)
    }
}

/// Right after the rename the root is its owner's alone, and has the time of its last change.
fn same_but_root(one: &Listing, other: &Listing) -> bool {
    let without_root =
        |listing: &Listing| listing.iter().filter(|(path, _)| !path.as_os_str().is_empty()).count();
    without_root(one) == without_root(other)
        && one
            .iter()
            .filter(|(path, _)| !path.as_os_str().is_empty())
            .all(|(path, found)| other.get(path) == Some(found))
}

/// The old directory is made anew each time.
fn without_times(listing: &Listing) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    listing
        .iter()
        .map(|(path, (mode, _, _, contents, _))| (path.clone(), (*mode, contents.clone())))
        .collect()
}

/// Thirty files, links of both kinds, directories in which nobody may write.
fn make_tree(root: &Path) -> std::io::Result<()> {
    for directory in ["a/b", "closed"] {
        fs::create_dir_all(root.join(directory))?;
    }
    let mut rng = Rng::with_seed(30);
    for number in 0..30 {
        let directory = ["", "a", "a/b", "closed"][number % 4];
        let bytes: Vec<u8> =
            (0..[0, 1, 5_000, 30_000][(number % 4) ^ (number % 3)]).map(|_| rng.u8(..)).collect();
        fs::write(root.join(directory).join(format!("{number:02}")), bytes)?;
    }
    symlink("b/../b", root.join("a/link"))?;
    fs::hard_link(root.join("00"), root.join("a/hard"))?;
    fs::set_permissions(root.join("a/b/02"), fs::Permissions::from_mode(0o400))?;
    fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o555))?;
    fs::set_permissions(root, fs::Permissions::from_mode(0o750))
}

fn list(root: &Path) -> std::io::Result<Listing> {
    let (mut listing, mut left) = (Listing::new(), vec![PathBuf::new()]);
    while let Some(path) = left.pop() {
        let found = fs::symlink_metadata(root.join(&path))?;
        let contents = match found.file_type() {
            kind if kind.is_dir() => {
                for entry in fs::read_dir(root.join(&path))? {
                    left.push(path.join(entry?.file_name()));
                }
                Vec::new()
            }
            kind if kind.is_symlink() => {
                fs::read_link(root.join(&path))?.into_os_string().into_encoded_bytes()
            }
            _ => fs::read(root.join(&path))?,
        };
        let links = if found.is_dir() { 1 } else { found.nlink() };
        listing.insert(path, (found.mode(), found.uid(), found.mtime(), contents, links));
    }
    Ok(listing)
}

/// Power cuts of each setting.
const CUTS: usize = 30;
/// Calls at which the short run kills, before the last ones.
const CALLS_SHORT_MAX: usize = 8;
/// The calls of publish and of what follows.
const CALLS_LAST: usize = 12;
