//! Who else could change what a drill obeys, runs, or restores into: by the owners and modes of files and of the directories above them.
//! It opens nothing, and changes nothing.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::failure::Failure;
use crate::printable::Name;

/// The group and all others: they could name another program to run, or put another directory in a new one's place.
pub(super) const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Refuses the file of a drill, at `path`, where others could change it, or put another in its place: it says which programs are run,
/// as whoever runs the drill.
pub(super) fn refuse_foreign_file(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    let name = Name::from(path);
    if !is_own_alone(metadata) {
        return Err(Failure::usage(format!(
            "{name}: others than you and root can write to it, and it names programs to run"
        ))
        .advise("Make it your own: `chown`, `chmod go-w`."));
    }
    match shared_place(path).map_err(|error| Failure::io(format!("{name} could not be read"), error))? {
        None => Ok(()),
        Some(directory) => Err(Failure::usage(format!(
            "{name}: {} is others' to write to, and it names programs to run",
            Name::from(&*directory)
        ))
        .advise("Keep it where nobody but you and root can write.")),
    }
}

/// Refuses a program that others could change, or put another in the place of. A bare name is looked for on the search path, and
/// what is missing nobody can run: of either nothing is said here.
pub(super) fn refuse_foreign_program(program: &Path) -> Result<(), Failure> {
    if !program.is_absolute() {
        return Ok(());
    }
    let name = Name::from(program);
    let found = fs::metadata(program).and_then(|metadata| Ok((metadata, shared_place(program)?)));
    let whose = match found {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::io(format!("the check {name} could not be examined"), error)),
        Ok((_, Some(directory))) => Name::from(&*directory),
        Ok((metadata, None)) if !is_own_alone(&metadata) => name.clone(),
        Ok((_, None)) => return Ok(()),
    };
    Err(Failure::usage(format!("the check {name} is not run: {whose} is others' to write to"))
        .advise("Make it your own, and keep it where nobody but you and root can write."))
}

/// A directory in which others could put something else in the place of what is at `path`: where its name is, or where a link of that
/// name leads.
fn shared_place(path: &Path) -> io::Result<Option<PathBuf>> {
    let named_in = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let named_in = fs::canonicalize(named_in.unwrap_or(Path::new(".")))?;
    let found = fs::canonicalize(path)?;
    let found_in = found.parent().unwrap_or(&found);
    let shared = shared_directory(&named_in)?.or(shared_directory(found_in)?);
    Ok(shared.map(Path::to_owned))
}

/// The nearest of `directory` and those above it in which others could put something else under a name, if there is one. With the
/// sticky bit they cannot. `directory` is without links.
pub(super) fn shared_directory(directory: &Path) -> io::Result<Option<&Path>> {
    for directory in directory.ancestors() {
        let metadata = fs::metadata(directory)?;
        let is_shared = metadata.mode() & WRITABLE_BY_OTHERS != 0 && metadata.mode() & STICKY == 0;
        if is_shared || !has_trusted_owner(&metadata) {
            return Ok(Some(directory));
        }
    }
    Ok(None)
}

/// Whether nobody but this user and root can write to it.
fn is_own_alone(metadata: &Metadata) -> bool {
    has_trusted_owner(metadata) && metadata.mode() & WRITABLE_BY_OTHERS == 0
}

fn has_trusted_owner(metadata: &Metadata) -> bool {
    [geteuid().as_raw(), 0].contains(&metadata.uid())
}

const STICKY: u32 = 0o1000;
