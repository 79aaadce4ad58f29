//! Who else could change what a drill obeys, runs, or restores into: by the owners and modes of files and of the directories above them.
//! It changes nothing.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::process::geteuid;

use super::lookup::Found;
use crate::failure::Failure;
use crate::printable::Name;

/// The group and all others: they could name another program to run, or put another directory in a new one's place.
pub(super) const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Refuses the file of a drill, which is called `name`, where others could change it, or put another in its place: it says which programs
/// are run, as whoever runs the drill.
pub(super) fn refuse_foreign_file(name: &Name, found: &Found) -> Result<(), Failure> {
    let metadata = found.file.metadata();
    let metadata = metadata.map_err(|error| Failure::io(format!("{name} could not be read"), error))?;
    if !is_own_alone(&metadata) {
        return Err(Failure::usage(format!(
            "{name}: others than you and root can write to it, and it names programs to run"
        ))
        .advise("Make it your own: `chown`, `chmod go-w`."));
    }
    match &found.shared {
        None => Ok(()),
        Some(directory) => Err(Failure::usage(format!(
            "{name}: {} is others' to write to, and it names programs to run",
            Name::from(&**directory)
        ))
        .advise("Keep it, and each link on the way to it, where nobody but you and root can write.")),
    }
}

/// Refuses a program, at `path`, that others could change, or put another in the place of.
pub(super) fn refuse_foreign_program(path: &Path, found: &Found) -> Result<(), Failure> {
    let name = Name::from(path);
    let metadata = found.file.metadata();
    let metadata =
        metadata.map_err(|error| Failure::io(format!("the check {name} could not be examined"), error))?;
    let whose = match &found.shared {
        Some(directory) => Name::from(&**directory),
        None if !is_own_alone(&metadata) => name.clone(),
        None => return Ok(()),
    };
    Err(Failure::usage(format!("the check {name} is not run: {whose} is others' to write to"))
        .advise("Make it your own, and keep it, and each link on the way to it, where nobody but you and root can write."))
}

/// The nearest of `directory` and those above it in which others could put something else under a name, if there is one. With the
/// sticky bit they cannot. `directory` is without links.
pub(super) fn shared_directory(directory: &Path) -> io::Result<Option<&Path>> {
    for directory in directory.ancestors() {
        let metadata = fs::metadata(directory)?;
        if is_shared(&metadata) {
            return Ok(Some(directory));
        }
    }
    Ok(None)
}

/// Whether in this directory others could put something else under a name that is there. With the sticky bit they cannot, unless it is
/// theirs.
pub(super) fn is_shared(directory: &Metadata) -> bool {
    let is_open = directory.mode() & WRITABLE_BY_OTHERS != 0 && !is_sticky(directory);
    is_open || !is_trusted(directory.uid())
}

pub(super) fn is_sticky(directory: &Metadata) -> bool {
    directory.mode() & STICKY != 0
}

/// This user, and root.
pub(super) fn is_trusted(user: u32) -> bool {
    [geteuid().as_raw(), 0].contains(&user)
}

/// Whether nobody but this user and root can write to it.
fn is_own_alone(metadata: &Metadata) -> bool {
    is_trusted(metadata.uid()) && metadata.mode() & WRITABLE_BY_OTHERS == 0
}

const STICKY: u32 = 0o1000;
